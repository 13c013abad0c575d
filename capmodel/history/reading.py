"""Read a long frame into plain arrays: names checked, time in UTC, quantities as float64.

This module answers: is this table a history at all? It collects every problem and raises once. It
does not know the grid: duplicates, gaps and steps are found in ``capmodel.history.grid``.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from capmodel.errors import InputError, Problem, nearest
from capmodel.schema import QUANTITIES, Finding

__all__ = ["KEYS", "TAG_SEPARATOR", "Rows", "is_text", "numeric", "read_rows", "row_of"]

KEYS: Final[tuple[str, ...]] = ("service", "time", "class", "tag")
"""Columns that are no quantities; ``class`` and ``tag`` may be absent."""

TAG_SEPARATOR: Final = ","
"""Separates several tags of one row."""

_EMPTY: Final = ("", "na", "n/a", "#n/a", "nan", "null", "none")
"""How an empty cell is written in a column of text, in lower case."""

_ZONED: Final = r"(?:[zZ]|[+-]\d{2}:?\d{2})$"
_ISO_DATE: Final = r"\d{4}-\d{2}-\d{2}"

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Locate = Callable[[int], str]


def row_of(position: int) -> str:
    """Return the words for a row of a frame, counted from 0."""
    return f"row {position}"


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows of a long frame as arrays, in the order given.

    ``service`` and ``service_class`` are codes into ``services`` and ``classes`` (sorted);
    ``time_us`` counts microseconds since 1970 UTC, or is the label of a local date when ``labels``.
    """

    services: tuple[str, ...]
    classes: tuple[str, ...]
    service: Ints
    service_class: Ints
    time_us: Ints
    labels: bool
    values: Mapping[str, Floats]
    tags: Mapping[str, Bools]
    notes: tuple[Finding, ...]


def read_rows(frame: pd.DataFrame, *, locate: Locate = row_of) -> Rows:
    """Check a long frame and return its rows as arrays.

    Parameters
    ----------
    frame
        Columns ``service``, ``time``, optional ``class`` and ``tag``, and one per quantity.
    locate
        Words for a row's place (``row 17``, ``history.csv:19``), for messages.

    Raises
    ------
    InputError
        With every problem found.
    """
    problems = _column_problems(frame)
    if problems:
        raise InputError(problems)
    if len(frame) == 0:
        raise InputError.of(
            "history", got="no rows", expected="at least one row", do="Check the query or the file."
        )
    quantities = [name for name in QUANTITIES if name in frame.columns]
    services, service = _codes(frame["service"], "service", locate, problems)
    classes: tuple[str, ...] = ("",)
    service_class = np.zeros(len(frame), dtype=np.int64)
    if "class" in frame.columns:
        filled = frame["class"].astype(object).where(frame["class"].notna(), "")
        classes, service_class = _codes(filled, "class", locate, problems)
    time_us, labels = _instants(frame["time"], locate, problems)
    notes: list[Finding] = []
    values: dict[str, Floats] = {}
    for name in quantities:
        cells = numeric(frame[name], locate, problems)
        values[name] = _finite(cells, name, notes)
    if problems:
        raise InputError(problems)
    tags = _tags(frame["tag"]) if "tag" in frame.columns else {}
    return Rows(
        services, classes, service, service_class, time_us, labels, values, tags, tuple(notes)
    )


def _column_problems(frame: pd.DataFrame) -> list[Problem]:
    names = [str(name) for name in frame.columns]
    problems = [
        Problem(
            f'column "{name}"',
            f"it {names.count(name)} times",
            "each column once",
            "Rename or drop the other one.",
        )
        for name in dict.fromkeys(names)
        if names.count(name) > 1
    ]
    unknown = [name for name in names if name not in KEYS and name not in QUANTITIES]
    for required in ("service", "time"):
        if required not in names:
            do = f'Rename the column that holds it to "{required}".'
            near = nearest(required, unknown)
            if required in frame.index.names:
                do = f'"{required}" is in the index: call reset_index() first.'
            elif near:
                do = f'Rename "{near}" to "{required}", if that is what it holds.'
            problems.append(Problem("history", f"columns {names}", f'a column "{required}"', do))
    for name in unknown:
        near = nearest(name, QUANTITIES)
        do = f'Did you mean "{near}"? Rename it (mind the unit),' if near else "Rename it"
        problems.append(
            Problem(
                f'column "{name}"',
                "an unknown column",
                f"one of {', '.join((*KEYS, *QUANTITIES))}",
                f"{do} or drop it.",
            )
        )
    if not unknown and not any(name in QUANTITIES for name in names):
        problems.append(
            Problem(
                "history",
                f"columns {names}",
                "at least one quantity",
                f"Add one of {', '.join(QUANTITIES)}.",
            )
        )
    return problems


def is_text(series: pd.Series) -> bool:
    """Return whether a column holds text or mixed objects."""
    return bool(pd.api.types.is_object_dtype(series) or pd.api.types.is_string_dtype(series))


def _codes(
    column: pd.Series, name: str, locate: Locate, problems: list[Problem]
) -> tuple[tuple[str, ...], Ints]:
    """Return the sorted distinct names and each row's code."""
    codes, uniques = pd.factorize(column)
    missing = codes < 0
    names = np.array([str(value) for value in uniques], dtype=object)
    blank = np.isin(codes, [i for i, text in enumerate(names) if name == "service" and not text])
    if np.any(missing | blank):
        bad = np.flatnonzero(missing | blank)
        problems.append(
            Problem(
                f'{locate(int(bad[0]))}, column "{name}"',
                f"{len(bad)} empty cells",
                f"a {name} name in every row",
                "Fill or drop those rows.",
            )
        )
        return (), codes.astype(np.int64)
    ordered = sorted(set(names.tolist()))
    rank = {text: i for i, text in enumerate(ordered)}
    lookup = np.array([rank[text] for text in names], dtype=np.int64)
    return tuple(ordered), lookup[codes]


def numeric(column: pd.Series, locate: Locate, problems: list[Problem]) -> Floats:
    """Return a quantity as float64; a cell that is no number becomes a problem with its row."""
    if pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column):
        return np.array(column.to_numpy(dtype=np.float64, na_value=np.nan))
    if is_text(column):
        numbers = pd.to_numeric(column, errors="coerce")
        cells = numbers.to_numpy(dtype=np.float64, na_value=np.nan)
        empty = column.isna() | column.astype(str).str.strip().str.lower().isin(_EMPTY)
        bad = np.flatnonzero(np.isnan(cells) & ~empty.to_numpy(dtype=bool))
        if len(bad) == 0:
            return np.array(cells)
        where, got = locate(int(bad[0])), f"{column.iloc[int(bad[0])]!r}"
        more = f" and {len(bad) - 1} more cells" if len(bad) > 1 else ""
        problems.append(
            Problem(
                f'{where}, column "{column.name}"',
                f"{got}{more}",
                "a number, or an empty cell where nothing was measured",
                "Correct the cells (no thousands separators, no units, no words).",
            )
        )
        return np.array(cells)
    problems.append(
        Problem(f'column "{column.name}"', f"type {column.dtype}", "numbers", "Convert the column.")
    )
    return np.full(len(column), np.nan)


def _finite(cells: Floats, name: str, notes: list[Finding]) -> Floats:
    infinite = np.isinf(cells)
    if infinite.any():
        count = int(infinite.sum())
        message = f"{name}: {count} infinite values are treated as gaps"
        notes.append(
            Finding("not_finite", "warning", "", message, {"quantity": name, "rows": count})
        )
        cells[infinite] = np.nan
    return cells


def _tags(column: pd.Series) -> dict[str, Bools]:
    """Return one mask over the rows per tag; a cell may hold several, separated by commas."""
    codes, uniques = pd.factorize(column)
    tags: dict[str, Bools] = {}
    for code, cell in enumerate(uniques):
        for tag in filter(None, (part.strip() for part in str(cell).split(TAG_SEPARATOR))):
            rows = codes == code
            tags[tag] = tags[tag] | rows if tag in tags else rows
    return tags


def _instants(column: pd.Series, locate: Locate, problems: list[Problem]) -> tuple[Ints, bool]:
    """Return microseconds since 1970 UTC, and whether they are labels of local dates."""
    count = len(problems)
    nothing = np.zeros(len(column), dtype=np.int64)
    missing = np.flatnonzero(column.isna().to_numpy())
    if len(missing):
        problems.append(
            Problem(
                f'{locate(int(missing[0]))}, column "time"',
                f"{len(missing)} empty cells",
                "a time in every row",
                "Fill or drop those rows.",
            )
        )
        return nothing, False
    if pd.api.types.is_datetime64_any_dtype(column):
        moments = column
    elif is_text(column):
        moments = _parsed(column, locate, problems)
    else:
        problems.append(
            Problem(
                'column "time"',
                f"type {column.dtype}",
                "moments with a time zone, or dates",
                'Epoch seconds: convert with pd.to_datetime(df["time"], unit="s", utc=True).',
            )
        )
    if len(problems) > count:
        return nothing, False
    index = pd.DatetimeIndex(moments)
    if index.tz is None:
        midnight = index == index.normalize()
        if not midnight.all():
            problems.append(_naive_problem(column, int(np.argmin(midnight)), locate))
            return nothing, False
        return index.as_unit("us").asi8.astype(np.int64), True
    return index.tz_convert("UTC").as_unit("us").asi8.astype(np.int64), False


def _naive_problem(column: pd.Series, position: int, locate: Locate) -> Problem:
    return Problem(
        f'{locate(position)}, column "time"',
        f"{str(column.iloc[position])!r} without a time zone",
        "moments with a zone (…Z or …-05:00), or dates without clock time",
        "Localise the column (tz_localize), or read the file with "
        'naive_tz="America/New_York" to say what the clock meant.',
    )


def _parsed(column: pd.Series, locate: Locate, problems: list[Problem]) -> pd.Series:
    """Return text or datetime objects as a datetime column: zoned, or naive midnights for dates."""
    first = column.iloc[0]
    if not isinstance(first, str):
        return _from_objects(column, locate, problems)
    text = column.astype(str).str.strip()
    dates = text.str.fullmatch(_ISO_DATE).to_numpy(dtype=bool)
    zoned = text.str.contains(_ZONED, regex=True).to_numpy(dtype=bool) & ~dates
    if not dates.all() and not zoned.all():
        whole = pd.to_datetime(text, errors="coerce", format="ISO8601", utc=True)
        if not whole.isna().any():
            position = int(np.argmin(zoned))
            problems.append(_naive_problem(column, position, locate))
            return column
    moments = pd.to_datetime(text, errors="coerce", format="ISO8601", utc=not dates.all())
    bad = np.flatnonzero(moments.isna().to_numpy())
    if len(bad):
        problems.append(
            Problem(
                f'{locate(int(bad[0]))}, column "time"',
                repr(column.iloc[int(bad[0])]),
                "ISO 8601 such as 2026-11-23T14:00:00-05:00, or a date 2026-11-23",
                "Write times in ISO 8601.",
            )
        )
    return moments


def _from_objects(column: pd.Series, locate: Locate, problems: list[Problem]) -> pd.Series:
    """Return a column of ``datetime.date`` or ``datetime.datetime`` objects as datetimes."""
    cells = column.tolist()
    strange = [i for i, cell in enumerate(cells) if not isinstance(cell, dt.date)]
    if strange:
        problems.append(
            Problem(
                f'{locate(strange[0])}, column "time"',
                repr(cells[strange[0]]),
                "a moment with a time zone, or a date",
                "Convert the column with pd.to_datetime.",
            )
        )
        return column
    moments = [cell for cell in cells if isinstance(cell, dt.datetime)]
    naive = [i for i, c in enumerate(cells) if isinstance(c, dt.datetime) and c.tzinfo is None]
    if moments and (naive or len(moments) < len(cells)):
        problems.append(_naive_problem(column, naive[0] if naive else 0, locate))
        return column
    return pd.Series(pd.to_datetime(cells, utc=bool(moments)), name=column.name)
