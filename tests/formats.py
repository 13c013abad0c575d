"""The money of a plan as each format tells it: read back from the files, to the cent.

A reader returns season totals by scenario, orders by id and the deciding waterfall, as a person or
a program finds them there; nothing is taken from the plan in memory.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import openpyxl
from html_page import Page

from capmodel.plan import PlanSet

Steps = list[tuple[str, str, int, Decimal]]


class Money(NamedTuple):
    """Season totals by scenario, USD of the orders that have any, and the mixture's waterfall."""

    totals: dict[str, Decimal]
    orders: dict[str, Decimal]
    waterfall: Steps


def written(plans: PlanSet, folder: Path) -> dict[str, Path]:
    """Write a plan in every format and return the files, CSV as the folder."""
    plans.write(folder / "review")
    plans.to_xlsx(folder / "plan.xlsx")
    return {
        "html": folder / "review" / "review.html",
        "md": folder / "review" / "review.md",
        "csv": folder / "review" / "csv",
        "xlsx": folder / "plan.xlsx",
        "json": folder / "review" / "plan.json",
    }


def usd(text: Any) -> Decimal:
    """Return an amount as it is written for people or machines."""
    plain = str(text).replace(",", "").replace("\N{MINUS SIGN}", "-")
    return Decimal(plain).quantize(Decimal("0.01"))


def _whole(text: Any) -> int:
    return int(float(str(text).replace(",", "").replace("\N{MINUS SIGN}", "-")))


def _summed(rows: Iterable[dict[str, Any]]) -> dict[str, Decimal]:
    totals: dict[str, Decimal] = {}
    for row in rows:
        totals[row["scenario"]] = totals.get(row["scenario"], Decimal(0)) + usd(row["usd"])
    return totals


def _from_rows(frames: Callable[[str], list[dict[str, Any]]]) -> Money:
    return Money(
        totals=_summed(frames("cost")),
        orders={r["id"]: usd(r["usd"]) for r in frames("orders") if r["usd"] not in {None, ""}},
        waterfall=[
            (r["pool"], r["step"], _whole(r["nodes"]), usd(r["usd"]))
            for r in frames("waterfall")
            if r["scenario"] == "mixture"
        ],
    )


def from_json(path: Path) -> Money:
    """Read plan.json."""
    frames = json.loads(path.read_text(encoding="utf-8"))["plan"]["frames"]
    return _from_rows(
        lambda name: [
            dict(zip(frames[name]["columns"], row, strict=True)) for row in frames[name]["rows"]
        ]
    )


def from_csv(folder: Path) -> Money:
    """Read the CSV files."""

    def rows(name: str) -> list[dict[str, Any]]:
        with (folder / f"{name}.csv").open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))

    return _from_rows(rows)


def from_xlsx(path: Path) -> Money:
    """Read the workbook's values; money must be numbers there."""
    book = openpyxl.load_workbook(path)

    def rows(name: str) -> list[dict[str, Any]]:
        header, *lines = book[name].values
        return [dict(zip(map(str, header), line, strict=True)) for line in lines]

    for sheet in ("Scenarios", "Orders", "Cost", "Waterfall"):
        held = {type(r["usd"]) for r in rows(sheet) if not str(r["usd"]).startswith("=")}
        assert held <= {int, float, type(None)}, sheet
    orders = [r for r in rows("Orders") if r["item"] is not None]
    return Money(
        totals={row["scenario"]: usd(row["usd"]) for row in rows("Scenarios")},
        orders={row["id"]: usd(row["usd"]) for row in orders if row["usd"] is not None},
        waterfall=[
            (r["pool"], r["step"], _whole(r["nodes"]), usd(r["usd"]))
            for r in rows("Waterfall")
            if r["scenario"] == "mixture"
        ],
    )


def from_html(path: Path) -> Money:
    """Read the review's tables as they are shown."""
    page = Page(path.read_text(encoding="utf-8"))

    def rows(caption: str) -> list[dict[str, str]]:
        # A head holds its unit too: "Season cost USD".
        heads = page.heads[caption][: len(page.tables[caption][0])]
        texts = [[text for text, _ in row] for row in page.tables[caption]]
        return [dict(zip(heads, row, strict=True)) for row in texts]

    return Money(
        totals={r["Scenario"]: usd(r["Season total USD"]) for r in rows("Season totals")},
        orders=_decisions(rows("Decisions to take"), "Season cost USD"),
        waterfall=_steps(rows("Waterfall as numbers, mixture"), "Season cost USD"),
    )


def from_markdown(path: Path) -> Money:
    """Read the summary's tables, and the waterfall out of the details."""
    tables = markdown_tables(path.read_text(encoding="utf-8"))
    return Money(
        totals={r["Scenario"]: usd(r["Season total [USD]"]) for r in tables["## Season cost"]},
        orders=_decisions(tables["## The ask"], "Cost [USD]"),
        waterfall=_steps(tables["**Waterfall as numbers, mixture**"], "Season cost [USD]"),
    )


def markdown_tables(text: str) -> dict[str, list[dict[str, str]]]:
    """Return the tables of a Markdown text by the line that stands above them."""
    tables: dict[str, list[dict[str, str]]] = {}
    above = ""
    header: list[str] = []
    for line in text.splitlines():
        if not line.startswith("|"):
            above, header = line or above, []
            continue
        cells = [cell.strip().replace("\\", "") for cell in line.strip("|").split("|")]
        if not header:
            header = cells
            tables[above] = []
        elif set(line) - set("|-:"):
            tables[above].append(dict(zip(header, cells, strict=True)))
    return tables


def _decisions(rows: Iterable[dict[str, str]], column: str) -> dict[str, Decimal]:
    return {r["No."]: usd(r[column]) for r in rows if r.get(column, "\N{EN DASH}") != "\N{EN DASH}"}


def _steps(rows: Iterable[dict[str, str]], column: str) -> Steps:
    return [(r["Pool"], r["Step"], _whole(r["Nodes"]), usd(r[column])) for r in rows]


READERS: dict[str, Callable[[Path], Money]] = {
    "html": from_html, "md": from_markdown, "csv": from_csv, "xlsx": from_xlsx, "json": from_json,
}  # fmt: skip
