"""What a report is made of: material in, tables, figures and sentences out, not yet any markup."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final, Literal

import pandas as pd

from capmodel.plots.canvas import Marks
from capmodel.plots.labels import (
    MISSING,
    count,
    decimals_for,
    exact,
    humanize,
    is_missing,
    multiple,
    number,
    percent,
    usd,
)
from capmodel.schema import MIXTURE

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = [
    "Cell",
    "Column",
    "Fact",
    "Figure",
    "Material",
    "Note",
    "Section",
    "Table",
    "make_material",
    "pivot",
    "table",
]

Kind = Literal[
    "text",
    "code",
    "name",
    "count",
    "num",
    "mixed",
    "ratio",
    "x",
    "price",
    "usd",
    "date",
    "day",
    "status",
    "flag",
]
"""How a column is written: ``num`` shares decimals over the column, ``mixed`` has several units,
``date`` names the weekday, ``day`` does not."""

HEAD_ROWS: Final = 25
MOST_ROWS: Final = 300
_NUMERIC: Final = frozenset({"count", "num", "mixed", "ratio", "x", "price", "usd"})


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell: what is read, and the exact value behind it ('' when the text is the value)."""

    text: str
    value: str = ""
    kind: str = "text"


@dataclass(frozen=True, slots=True)
class Column:
    """How one column of a frame is shown; `error` names the column of its standard error."""

    name: str
    title: str
    kind: Kind = "text"
    unit: str = ""
    error: str = ""

    @property
    def numeric(self) -> bool:
        """Numbers stand on the right."""
        return self.kind in _NUMERIC


@dataclass(frozen=True, slots=True)
class Table:
    """Rows shown at once, rows shown on request, and how many are left to the CSV."""

    caption: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    more: tuple[tuple[Cell, ...], ...] = ()
    left_out: int = 0
    frame: str = ""
    template: str = "table"


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure by its name in ``plots``, drawn when the page is written."""

    name: str
    alt: str
    scenario: str = "base"
    of: str | None = None
    caption: str = ""
    template: str = "figure"


@dataclass(frozen=True, slots=True)
class Note:
    """A paragraph; `weight` is 'plain', or 'empty' where there is nothing to show."""

    text: str
    weight: Literal["plain", "empty"] = "plain"
    template: str = "note"


@dataclass(frozen=True, slots=True)
class Fact:
    """One of the few numbers at the head of the report."""

    label: str
    text: str
    detail: str = ""
    status: str = ""


Block = Table | Figure | Note


@dataclass(frozen=True, slots=True)
class Section:
    """A numbered part of the report; `anchor` is its address in the page."""

    anchor: str
    title: str
    lead: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Material:
    """Everything that a report is made from, with the questions that its parts keep asking."""

    frames: Mapping[str, pd.DataFrame]
    title: str
    headline: tuple[str, ...]
    provenance: Mapping[str, str]
    scenarios: tuple[str, ...]
    probability: Mapping[str, float]
    marks: Marks
    notes: Mapping[str, str] = field(default_factory=dict)

    @property
    def lead(self) -> str:
        """The scenario that figures show: base, or the first there is."""
        return "base" if "base" in self.scenarios or not self.scenarios else self.scenarios[0]

    @property
    def decides(self) -> str:
        """The scenario that is ordered: the mixture where there is one."""
        return MIXTURE if not self.at("limits", MIXTURE).empty else self.lead

    @property
    def columns(self) -> tuple[str, ...]:
        """The scenarios in their order, the mixture last."""
        return (*self.scenarios, MIXTURE)

    def frame(self, name: str) -> pd.DataFrame:
        """Return a frame, empty where the plan has none."""
        return self.frames.get(name, pd.DataFrame())

    def at(self, name: str, scenario: str) -> pd.DataFrame:
        """Return a frame's rows of one scenario, in the frame's order."""
        return where(self.frame(name), scenario=scenario)

    def deciding(self, name: str) -> pd.DataFrame:
        """Return the rows of the scenario that is ordered, else of the one that figures show."""
        rows = self.at(name, self.decides)
        return self.at(name, self.lead) if rows.empty else rows


def where(frame: pd.DataFrame, **wanted: str) -> pd.DataFrame:
    """Return the rows whose columns hold these texts; none where a column is missing."""
    for column, value in wanted.items():
        if column not in frame.columns:
            return frame.iloc[:0]
        frame = frame[frame[column].astype(str) == value]
    return frame


def make_material(  # noqa: PLR0913  the report's inputs, named
    frames: Mapping[str, pd.DataFrame],
    *,
    title: str,
    headline: Sequence[str],
    provenance: Mapping[str, str],
    scenarios: Sequence[str] | Mapping[str, float] | None,
    marks: Marks | None,
    notes: Mapping[str, str] | None,
) -> Material:
    """Collect the inputs; scenarios not given come in the frames' order of appearance."""
    probability = dict(scenarios) if isinstance(scenarios, Mapping) else {}
    names = list(scenarios or ())
    if not names:
        for frame in frames.values():
            found = frame["scenario"] if "scenario" in frame.columns else ()
            names += [str(s) for s in dict.fromkeys(found) if str(s) not in names]
    marks = marks or Marks()
    if not marks.as_of and provenance.get("as_of"):
        marks = replace(marks, as_of=str(provenance["as_of"])[:10])
    return Material(
        frames=frames,
        title=title,
        headline=tuple(" ".join(str(sentence).split()) for sentence in headline),
        provenance={str(k): str(v) for k, v in provenance.items()},
        scenarios=tuple(name for name in names if name and name != MIXTURE),
        probability=probability,
        marks=marks,
        notes=dict(notes or {}),
    )


def table(
    frame: pd.DataFrame,
    columns: Sequence[Column],
    *,
    caption: str,
    name: str = "",
    head: int = HEAD_ROWS,
) -> Table:
    """Turn a frame into a table; columns that are absent or hold nothing are left away."""
    shown = [c for c in columns if c.name in frame.columns and not _is_empty(frame[c.name])]
    written = [_cells(frame, c) for c in shown]
    rows = tuple(zip(*written, strict=True)) if written else ()
    return Table(
        caption=caption,
        columns=tuple(shown),
        rows=rows[:head],
        more=rows[head:MOST_ROWS],
        left_out=max(len(rows) - MOST_ROWS, 0),
        frame=name,
    )


def _is_empty(values: pd.Series) -> bool:
    return all(is_missing(v) for v in values)


def _cells(frame: pd.DataFrame, column: Column) -> list[Cell]:
    values = frame[column.name].tolist()
    decimals = {"num": decimals_for(values), "price": 4}.get(column.kind)
    cells = [_cell(value, column.kind, decimals) for value in values]
    if column.error and column.error in frame.columns:
        errors = frame[column.error].tolist()
        cells = [_with_error(c, e) for c, e in zip(cells, errors, strict=True)]
    return cells


def _cell(value: object, kind: str, decimals: int | None) -> Cell:
    if is_missing(value):
        return Cell(MISSING, "", "missing")
    if kind in _NUMERIC:
        texts = {"ratio": percent, "x": multiple, "usd": usd, "count": count}
        text = texts[kind](value) if kind in texts else number(value, decimals)
        return Cell(text, exact(value), kind)
    if kind == "flag":
        return Cell("yes" if str(value).lower() == "true" else "no", exact(value), kind)
    if kind == "name":
        return Cell(humanize(str(value)), str(value), kind)
    if isinstance(value, (list, tuple)):
        value = ", ".join(str(part) for part in value)
    # An address in running text is evidence, not a link: its scheme is left away so that the page
    # names no resource that a browser could load.
    text = exact(value).replace("https://", "").replace("http://", "")
    return Cell(text, "", kind)


def _with_error(cell: Cell, error: object) -> Cell:
    if cell.kind == "missing" or is_missing(error):
        return cell
    half = f"{100 * float(str(error)):.1f}"
    text = (
        cell.text
        if half == "0.0"
        else f"{cell.text.removesuffix(' %')} \N{PLUS-MINUS SIGN} {half} %"
    )
    return Cell(text, cell.value, cell.kind)


def pivot(
    frame: pd.DataFrame, keys: Sequence[str], value: str, scenarios: Iterable[str]
) -> pd.DataFrame:
    """Put one value per scenario side by side: keys, then a column for each scenario that has it.

    Keys keep the order in which the frame names them first.
    """
    needed = [*keys, "scenario", value]
    if frame.empty or any(column not in frame.columns for column in needed):
        return pd.DataFrame(columns=list(keys))
    cells: dict[tuple[str, ...], dict[str, object]] = {}
    for *key, scenario, held in frame[needed].itertuples(index=False, name=None):
        cells.setdefault(tuple(str(k) for k in key), {})[str(scenario)] = held
    names = [s for s in scenarios if any(s in held for held in cells.values())]
    rows = [[*key, *(held.get(s) for s in names)] for key, held in cells.items()]
    return pd.DataFrame(rows, columns=[*keys, *names], dtype=object)
