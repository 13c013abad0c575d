"""The plan as a workbook for people who add up: numbers as numbers, every total beside its sum.

A total is written twice: as the value that the other formats show, and as a formula over the lines
that it is the sum of, with the difference of the two. Only openpyxl's absence is looked for here.
"""

from __future__ import annotations

import datetime as dt
import io
import math
import re
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from capmodel.documents import write_bytes_atomic
from capmodel.errors import InputError
from capmodel.plots.labels import is_missing
from capmodel.report.decide import season_totals
from capmodel.report.views import Material, make_material

if TYPE_CHECKING:
    import pandas as pd
    from openpyxl import Workbook
    from openpyxl.worksheet.worksheet import Worksheet

__all__ = ["write_xlsx"]

USD: Final = "#,##0.00"
_MONEY: Final = re.compile(r"(^|_)usd(_|$)")
_RATIO: Final = re.compile(r"^(probability|share|risk|alpha|p_|utilization)")
_MODIFIED: Final = re.compile(rb"(<dcterms:modified[^>]*>)[^<]*(</dcterms:modified>)")
_NUMBER: Final = re.compile(r"-?(0|[1-9]\d{0,14})(\.\d{1,15})?")
"""Text of a column that holds names beside numbers, such as an order's from and to."""
_EARLIEST: Final = (1980, 1, 1, 0, 0, 0)
_WIDEST: Final = 60


@dataclass(frozen=True, slots=True)
class Formula:
    """A formula; every other text that begins with '=' stays text."""

    text: str


def write_xlsx(
    frames: Mapping[str, pd.DataFrame],
    path: str | Path,
    *,
    title: str,
    headline: Sequence[str],
    provenance: Mapping[str, str],
    scenarios: Sequence[str] | Mapping[str, float] | None = None,
) -> None:
    """Write the workbook: Summary, Scenarios, Services, Orders, Assumptions, Cost, Waterfall.

    Parameters
    ----------
    frames, title, headline, provenance, scenarios
        As `to_html` takes them.
    path
        The file to write; equal input gives equal bytes.

    Raises
    ------
    InputError
        Where openpyxl is not installed.
    """
    try:
        from openpyxl import Workbook  # noqa: PLC0415  the extra xlsx
    except ImportError as error:
        raise InputError.of(
            "to_xlsx",
            got="no module openpyxl",
            expected="the extra xlsx",
            do='Install it: python -m pip install "capmodel[xlsx]".',
        ) from error
    material = make_material(
        frames, title=title, headline=headline, provenance=provenance, scenarios=scenarios,
        marks=None, notes=None,
    )  # fmt: skip
    book = Workbook()
    if book.active is not None:
        book.remove(book.active)
    cost, waterfall = material.frame("cost"), material.frame("waterfall")
    totals = season_totals(material)
    _summary(book, material, totals)
    _scenarios(book, material, totals, lines=len(cost))
    _sheet(book, "Services", material.frame("services"))
    _orders(book, material.frame("orders"))
    _sheet(book, "Assumptions", material.frame("assumptions"))
    _sheet(book, "Cost", cost)
    _waterfall(book, waterfall)
    day = dt.datetime.fromisoformat(provenance["as_of"][:10])
    book.properties.creator = "capmodel"
    book.properties.created = book.properties.modified = day
    write_bytes_atomic(path, _repeatable(book, day))


def _summary(book: Workbook, material: Material, totals: Mapping[str, Decimal]) -> None:
    sheet = _start(book, "Summary", ("item", "value", "unit", "sum", "difference"))
    rows: list[list[Any]] = [["title", material.title]]
    rows += [[f"headline {i}", text] for i, text in enumerate(material.headline, 1)]
    decides = material.decides if material.decides in totals else material.lead
    if decides in totals:
        at = list(totals).index(decides) + 2
        line = len(rows) + 2
        rows.append(
            [f"season total, {decides}", totals[decides], "USD", Formula(f"=Scenarios!D{at}"),
             Formula(f"=ROUND(B{line}-D{line},2)")]
        )  # fmt: skip
    rows += [
        [f"risk of tier {row['tier']}, {row['scenario']}, after orders", row["p_any_after_orders"],
         "ratio"]
        for row in material.deciding("risk").to_dict("records")
    ]  # fmt: skip
    rows += [[key, value] for key, value in material.provenance.items()]
    for row in rows:
        _append(sheet, row)
    for line in range(2, sheet.max_row + 1):
        kind = str(sheet.cell(line, 3).value)
        for column in (2, 4, 5):
            sheet.cell(line, column).number_format = {"USD": USD, "ratio": "0.0%"}.get(
                kind, "General"
            )
    _widths(sheet)


def _scenarios(
    book: Workbook, material: Material, totals: Mapping[str, Decimal], *, lines: int
) -> None:
    columns = ("scenario", "probability", "usd", "sum of the cost lines", "difference")
    sheet = _start(book, "Scenarios", columns)
    scenario, usd = _columns_of(material.frame("cost"), "scenario", "usd")
    for line, (name, total) in enumerate(totals.items(), 2):
        added = (
            f"=SUMIFS(Cost!{usd}2:{usd}{lines + 1},Cost!{scenario}2:{scenario}{lines + 1},A{line})"
        )
        difference = Formula(f"=ROUND(C{line}-D{line},2)")
        _append(sheet, [name, material.probability.get(name), total, Formula(added), difference])
        sheet.cell(line, 2).number_format = "0.0%"
        for column in (3, 4, 5):
            sheet.cell(line, column).number_format = USD
    _widths(sheet)


def _orders(book: Workbook, orders: pd.DataFrame) -> None:
    sheet = _sheet(book, "Orders", orders)
    amounts = [Decimal(str(v)) for v in orders.get("usd", ()) if not is_missing(v)]
    if not amounts:
        return
    at = list(orders.columns).index("usd") + 1
    (letter,) = _columns_of(orders, "usd")
    last = sheet.max_row
    for offset, word, value in (
        (1, "total", sum(amounts, Decimal(0))),
        (2, "sum of the lines", Formula(f"=SUM({letter}2:{letter}{last})")),
        (3, "difference", Formula(f"=ROUND({letter}{last + 1}-{letter}{last + 2},2)")),
    ):
        _put(sheet, last + offset, 1, word)
        _put(sheet, last + offset, at, value)
        sheet.cell(last + offset, at).number_format = USD


def _waterfall(book: Workbook, frame: pd.DataFrame) -> None:
    """Write the steps; beside each total stand the sums of the steps above it."""
    sheet = _sheet(book, "Waterfall", frame)
    if frame.empty:
        return
    nodes, usd = _columns_of(frame, "nodes", "usd")
    width = len(frame.columns)
    for offset, word in enumerate(("sum of nodes", "sum of usd", "difference"), 1):
        _head(sheet, width + offset, word)
    first = 2
    for line, step in enumerate(frame["step"], 2):
        if step != "plan":
            continue
        _put(sheet, line, width + 1, Formula(f"=SUM({nodes}{first}:{nodes}{line - 1})"))
        _put(sheet, line, width + 2, Formula(f"=SUM({usd}{first}:{usd}{line - 1})"))
        column = _letter(width + 2)
        _put(sheet, line, width + 3, Formula(f"=ROUND({usd}{line}-{column}{line},2)"))
        for at in (width + 2, width + 3):
            sheet.cell(line, at).number_format = USD
        first = line + 1


def _sheet(book: Workbook, name: str, frame: pd.DataFrame) -> Worksheet:
    """Write a frame as a sheet of its own, one row per line."""
    sheet = _start(book, name, [str(column) for column in frame.columns])
    formats = [_format_of(str(column)) for column in frame.columns]
    for line, row in enumerate(frame.itertuples(index=False, name=None), 2):
        for column, (value, form) in enumerate(zip(row, formats, strict=True), 1):
            _put(sheet, line, column, value)
            if form and not isinstance(value, str):
                sheet.cell(line, column).number_format = form
    _widths(sheet)
    return sheet


def _format_of(column: str) -> str:
    if "per_hour" in column:
        return "#,##0.0000"
    if _MONEY.search(column):
        return USD
    return "0.0%" if _RATIO.match(column) else ""


def _start(book: Workbook, name: str, columns: Sequence[str]) -> Worksheet:
    sheet: Worksheet = book.create_sheet(name)
    for at, column in enumerate(columns, 1):
        _head(sheet, at, column)
    sheet.freeze_panes = "A2"
    return sheet


def _head(sheet: Worksheet, column: int, word: str) -> None:
    from openpyxl.styles import Font  # noqa: PLC0415  the extra xlsx

    _put(sheet, 1, column, word)
    sheet.cell(1, column).font = Font(bold=True)


def _append(sheet: Worksheet, values: Sequence[Any]) -> None:
    line = sheet.max_row + 1
    for column, value in enumerate(values, 1):
        _put(sheet, line, column, value)


def _put(sheet: Worksheet, line: int, column: int, value: Any) -> None:
    """Write one cell: numbers as numbers, missing as empty, text never as a formula."""
    if is_missing(value):
        return
    cell = sheet.cell(line, column)
    plain = value.item() if hasattr(value, "item") else value
    if isinstance(plain, Formula):
        cell.value = plain.text
    elif isinstance(plain, float) and not math.isfinite(plain):
        cell.value = "never" if plain > 0 else "-inf"
    elif isinstance(plain, float):
        cell.value = float(f"{plain:.9g}")
    elif isinstance(plain, bool | int | Decimal):
        cell.value = plain
    elif _NUMBER.fullmatch(str(plain)):
        cell.value = Decimal(str(plain))
    else:
        from openpyxl.cell.cell import ILLEGAL_CHARACTERS_RE  # noqa: PLC0415  the extra xlsx

        cell.value = ILLEGAL_CHARACTERS_RE.sub("\N{REPLACEMENT CHARACTER}", str(plain))
        cell.data_type = "s"


def _columns_of(frame: pd.DataFrame, *names: str) -> tuple[str, ...]:
    known = list(frame.columns)
    return tuple(_letter(known.index(name) + 1 if name in known else 1) for name in names)


def _letter(column: int) -> str:
    from openpyxl.utils import get_column_letter  # noqa: PLC0415  the extra xlsx

    return str(get_column_letter(column))


def _widths(sheet: Worksheet) -> None:
    for column in range(1, sheet.max_column + 1):
        cells = (sheet.cell(line, column).value for line in range(1, sheet.max_row + 1))
        longest = max((len(str(v)) for v in cells if v is not None), default=0)
        sheet.column_dimensions[_letter(column)].width = min(max(longest, 8) + 2, _WIDEST)


def _repeatable(book: Workbook, day: dt.datetime) -> bytes:
    """Return the workbook's bytes without the moment at which they were made."""
    made, fixed = io.BytesIO(), io.BytesIO()
    book.save(made)
    stamp = f"{day:%Y-%m-%dT%H:%M:%SZ}".encode()
    with zipfile.ZipFile(made) as source, zipfile.ZipFile(fixed, "w") as target:
        for name in sorted(source.namelist()):
            data = source.read(name)
            if name == "docProps/core.xml":
                data = _MODIFIED.sub(rb"\g<1>" + stamp + rb"\g<2>", data)
            entry = zipfile.ZipInfo(name, date_time=_EARLIEST)
            entry.compress_type = zipfile.ZIP_DEFLATED
            target.writestr(entry, data)
    return fixed.getvalue()
