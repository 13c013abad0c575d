"""Rows per unit: which services, intervals, pods, zones and readers a long frame holds.

This module answers: what does a frame of unit series say, row by row, and what in it cannot be
used? It computes nothing from the values.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

import numpy as np

from capmodel.errors import InputError, Problem

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["UNITS", "Rows", "Unit", "UnitTable", "unit_rows"]

Unit = Literal["pod", "zone", "reader"]
UNITS: Final[tuple[Unit, ...]] = ("pod", "zone", "reader")

_WHERE: Final = "unit series"


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """One service's rows of one kind of unit, without rows that have no value.

    ``time`` [ns since 1970, UTC], ``code`` (which unit) and ``value``, each of shape (R,);
    ``dropped`` counts the rows left out.
    """

    service: str
    unit: Unit
    quantity: str
    time: np.ndarray
    code: np.ndarray
    value: np.ndarray
    dropped: Mapping[str, int]

    def problem(self) -> tuple[str, str] | None:
        """Return code and reason of what makes these rows unusable, None if nothing does."""
        bad = ~np.isfinite(self.value) | (self.value < 0)
        if bad.any():
            why = f"{self.quantity} below 0 or infinite in {np.count_nonzero(bad)} rows"
            return "imbalance_negative", why
        order = np.lexsort((self.time, self.code))
        time, code = self.time[order], self.code[order]
        twice = int(np.count_nonzero((np.diff(time) == 0) & (np.diff(code) == 0)))
        if twice:
            why = f"{twice} rows repeat a {self.unit} and time: sum or drop what a restart doubled"
            return "imbalance_duplicates", why
        return None


@dataclass(frozen=True, slots=True, eq=False)
class UnitTable:
    """All rows of a frame, ordered so that each service and kind of unit is one slice."""

    services: tuple[str, ...]
    rows: Mapping[tuple[str, Unit], Rows]

    def of(self, service: str, unit: Unit) -> Rows | None:
        """Return a service's rows of this kind of unit, None if it has none."""
        return self.rows.get((service, unit))


def unit_rows(frame: pd.DataFrame) -> UnitTable:
    """Read a long frame of unit series.

    Parameters
    ----------
    frame
        ``service``, ``time``, one of ``pod``, ``zone``, ``reader`` filled per row, and one column
        of values.

    Raises
    ------
    InputError
        Naming everything that is wrong with columns, units and times.

    Examples
    --------
    >>> import pandas as pd
    >>> time = pd.Timestamp("2026-09-07", tz="UTC")
    >>> frame = pd.DataFrame({"service": ["a"], "time": [time], "pod": ["p"], "rps": [1.0]})
    >>> unit_rows(frame).of("a", "pod").quantity
    'rps'
    """
    problems, quantity = _columns(frame)
    if problems:
        raise InputError(problems)
    kinds = [unit for unit in UNITS if unit in frame.columns]
    filled = np.column_stack([frame[unit].notna().to_numpy() for unit in kinds])
    time, problem = _times(frame["time"])
    problems = [*_units(filled, kinds), *([problem] if problem else [])]
    if frame["service"].isna().any():
        do = "Name the service of each row."
        problems.append(Problem(f"{_WHERE}, service", "rows without one", "a name", do))
    if problems:
        raise InputError(problems)
    return _table(frame, kinds, filled, time, quantity)


def _table(
    frame: pd.DataFrame, kinds: list[Unit], filled: np.ndarray, time: np.ndarray, quantity: str
) -> UnitTable:
    import pandas as pd  # noqa: PLC0415  kept out of import time

    service, names = pd.factorize(frame["service"].astype(str), sort=True)
    value = frame[quantity].to_numpy(dtype=np.float64, na_value=np.nan)
    found: dict[tuple[str, Unit], Rows] = {}
    for k, unit in enumerate(kinds):
        mine = np.flatnonzero(filled[:, k])
        code, _ = pd.factorize(frame[unit].iloc[mine])
        order = np.argsort(service[mine], kind="stable")
        ends = np.searchsorted(service[mine][order], np.arange(len(names) + 1))
        for s, name in enumerate(names):
            part = order[ends[s] : ends[s + 1]]
            if not len(part):
                continue
            at = mine[part]
            known = ~np.isnan(value[at])
            missing = len(at) - int(np.count_nonzero(known))
            found[str(name), unit] = Rows(
                service=str(name),
                unit=unit,
                quantity=quantity,
                time=time[at[known]],
                code=code[part[known]],
                value=value[at[known]],
                dropped={"rows_without_value": missing} if missing else {},
            )
    return UnitTable(tuple(str(name) for name in names), found)


def _columns(frame: pd.DataFrame) -> tuple[list[Problem], str]:
    from pandas.api.types import is_bool_dtype, is_numeric_dtype  # noqa: PLC0415  import time

    columns = [str(c) for c in frame.columns]
    got = f"columns {', '.join(columns) or 'none'}"
    problems = []
    if frame.columns.has_duplicates:
        twice = sorted(set(frame.columns[frame.columns.duplicated()]))
        return [Problem(_WHERE, f"columns twice: {', '.join(twice)}", "each once", "Rename.")], ""
    missing = [c for c in ("service", "time") if c not in columns]
    if missing:
        do = "Give one row per service, interval and unit."
        problems.append(Problem(_WHERE, got, f"also {' and '.join(missing)}", do))
    if not set(UNITS) & set(columns):
        do = "Name the unit of each row."
        problems.append(Problem(_WHERE, got, f"one of the columns {', '.join(UNITS)}", do))
    values = [c for c in frame.columns if str(c) not in {"service", "time", *UNITS}]
    numeric = [str(c) for c in values if is_numeric_dtype(frame[c]) and not is_bool_dtype(frame[c])]
    if len(values) != 1 or not numeric:
        do = "Keep one: fit each quantity from a frame of its own."
        expected = "exactly one column of numbers beside them (cpu_cores, rps, connections, …)"
        problems.append(Problem(_WHERE, got, expected, do))
    return problems, numeric[0] if numeric else ""


def _units(filled: np.ndarray, kinds: list[Unit]) -> list[Problem]:
    count = filled.sum(axis=1)
    problems = []
    if (count > 1).any():
        both = " and ".join(kinds)
        problems.append(
            Problem(
                where=f"{_WHERE}, {int(np.count_nonzero(count > 1))} rows",
                got=f"{both} filled at once",
                expected="one kind of unit per row",
                do=f"Keep one of the columns; sum over the other for a frame of {kinds[-1]}s.",
            )
        )
    if (count == 0).any():
        problems.append(
            Problem(
                where=f"{_WHERE}, {int(np.count_nonzero(count == 0))} rows",
                got=f"no {' or '.join(kinds)}",
                expected="the name of a unit",
                do="Name the unit of each row, or leave totals out.",
            )
        )
    return problems


def _times(column: pd.Series) -> tuple[np.ndarray, Problem | None]:
    import pandas as pd  # noqa: PLC0415  kept out of import time

    expected = "timestamps (without a zone: UTC)"
    if pd.api.types.is_numeric_dtype(column):
        do = 'Convert epochs with pandas.to_datetime(…, unit="s").'
        return np.empty(0), Problem(f"{_WHERE}, time", "numbers", expected, do)
    try:
        stamps = pd.to_datetime(column, utc=True)
    except (ValueError, TypeError) as error:
        do = "Write ISO 8601, like 2026-11-27T15:04:00Z."
        return np.empty(0), Problem(f"{_WHERE}, time", str(error).split("\n")[0], expected, do)
    if stamps.isna().any():
        do = "Leave out rows without a time."
        return np.empty(0), Problem(f"{_WHERE}, time", "missing times", expected, do)
    return stamps.dt.tz_localize(None).to_numpy("datetime64[ns]").astype(np.int64), None
