"""How fast a database's storage grows, and in how many days a limit is reached.

This module answers: what is the growth per day, how sure is that, what was a purge or an import
and no growth, and when is the volume full? It counts days from any origin; dates are the caller's.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.special import stdtrit

from capmodel.errors import InputError, Problem
from capmodel.laws.arguments import number, raise_any, whole
from capmodel.regression import RobustFit, change_points, group_median, mm_nnls, scaled_mad

__all__ = [
    "DaysToFull",
    "RateChange",
    "StorageGrowth",
    "StorageStep",
    "binlog_gib",
    "rows_gib_per_day",
    "storage_growth",
]

Floats = npt.NDArray[np.float64]

_GIB: Final = 2.0**30
_SECONDS_PER_DAY: Final = 86_400.0

STEP_SCALES: Final = 6.0
"""A day's change this many scales from the median change is a step, if it lasts."""

STEP_DAYS: Final = 2.0
"""A step is at least this many days of median growth."""

RECURRING: Final = 3
"""Steps up that come this often are how the database grows, not events."""

RATE_CHANGE: Final = 0.25
"""Smallest change of the rate that starts a regime, of the mean size of daily changes [ratio]."""

_AROUND: Final = 5
_LASTING: Final = 3
"""Days on each side of a step that are looked at, and the fewest: bad values come and go."""

_CENTURY: Final = 36_525.0
_WEEK: Final = 7
_RATE_SEGMENT: Final = 14
_TREND_VARIANCE: Final = 1.2
"""Variance of the fitted slope of a random walk over that of its mean step (6/5)."""


@dataclass(frozen=True, slots=True)
class StorageStep:
    """A change of storage from one day to `day` that is no growth: purge, rebuild or import."""

    day: int
    change_gib: float


@dataclass(frozen=True, slots=True)
class RateChange:
    """A change of the growth rate from `day` on."""

    day: int
    change_gib_per_day: float


@dataclass(frozen=True, slots=True)
class DaysToFull:
    """Days from the last day seen to a limit, with a 95 % interval; inf beyond a century."""

    days: float
    earliest: float
    latest: float


@dataclass(frozen=True, slots=True)
class StorageGrowth:
    """Growth of storage over days.

    Attributes
    ----------
    gib_per_day, low, high
        Growth between steps with its 95 % interval [GiB/day].
    level_gib
        Storage on the last day, on the line [GiB].
    first_day, last_day, n_days
        First and last day used, and days with a value between them.
    steps
        Purges, rebuilds and imports of those days, which the growth leaves out.
    rate_changes
        Every change of the rate seen; growth is that since the last one.
    """

    gib_per_day: float
    low: float
    high: float
    level_gib: float
    first_day: int
    last_day: int
    n_days: int
    steps: tuple[StorageStep, ...]
    rate_changes: tuple[RateChange, ...]

    @property
    def net_gib_per_day(self) -> float:
        """Growth with all steps in it: what remains if purges go on as they did [GiB/day]."""
        steps = sum(step.change_gib for step in self.steps)
        return self.gib_per_day + steps / (self.last_day - self.first_day)

    def days_to_full(self, limit_gib: float, *, steps_go_on: bool = False) -> DaysToFull:
        """Return when storage reaches a limit at this growth.

        Parameters
        ----------
        limit_gib
            Size of the volume, or the level that is allowed [GiB].
        steps_go_on
            True takes the net growth: purges go on as they did. Without it no purge is counted on.

        Raises
        ------
        InputError
            For a limit that is not positive.
        """
        raise_any(number("limit_gib", limit_gib, "Give the size of the volume.", above=0))
        room = max(limit_gib - self.level_gib, 0.0)
        shift = self.net_gib_per_day - self.gib_per_day if steps_go_on else 0.0
        days, earliest, latest = (
            _days(room, rate + shift) for rate in (self.gib_per_day, self.high, self.low)
        )
        return DaysToFull(days=days, earliest=earliest, latest=latest)


def storage_growth(
    time_days: npt.ArrayLike, storage_gib: npt.ArrayLike, *, min_days: int = 28
) -> StorageGrowth:
    """Fit the growth of storage per day: a robust line through daily medians, steps left out.

    A day's change of more than six scales and two days' growth off the median change, which lasts
    for at least three days, is a step: a purge or rebuild, and up to two steps up (imports). Steps
    up that come more often are growth. What happened in the last two days is a bad value until it
    has lasted. Where the rate itself changed, only the days since then
    count. The interval comes from changes over whole weeks, because storage adds up what every day
    brings: ``se² = 1.2 · mean(D²)/7/T`` with D the seven-day changes around the line and T the
    days, and Student's t by the number of weeks. It is too wide where storage only flickers.

    Parameters
    ----------
    time_days
        Time of each value from any origin, never decreasing, shape (T,) [days].
    storage_gib
        Storage in use, shape (T,); NaN is a gap [GiB].
    min_days
        Fewest days with a value, from 28: four weeks.

    Returns
    -------
    StorageGrowth

    Raises
    ------
    InputError
        For times that run backwards, negative storage, or too few days.

    References
    ----------
    Durlauf & Phillips (1988), Econometrica 56, 1333–1354 (a trend fitted to a random walk).

    Examples
    --------
    >>> day = np.arange(60)
    >>> used = 800 + 2.5 * day - 120.0 * (day >= 40)  # a purge on day 40
    >>> growth = storage_growth(day, used)
    >>> round(growth.gib_per_day, 6), growth.steps[0].day, round(growth.steps[0].change_gib, 6)
    (2.5, 40, -120.0)
    >>> round(growth.days_to_full(1_000).days, 6)
    69.0
    """
    time, storage = _checked(time_days, storage_gib, min_days)
    day, level = _daily(time, storage)
    _enough(day, min_days)
    at = _steps(day, level)
    changes = _rate_changes(day, level, at)
    first = changes[-1].day if changes else int(day[0])
    kept = day >= first
    day, level = day[kept], level[kept]
    starts = np.array([d for d in at if d > first], dtype=np.int64)
    design = np.column_stack([np.ones(len(day)), day - first, day[:, None] >= starts])
    fit = mm_nnls(design, level, relative=False, nonnegative=False)
    half = _half_width(day, level, fit)
    rate = float(fit.value[1])
    sizes = zip(starts, fit.value[2:], strict=True)
    return StorageGrowth(
        gib_per_day=rate,
        low=rate - half,
        high=rate + half,
        level_gib=float(fit.fitted[-1]),
        first_day=first,
        last_day=int(day[-1]),
        n_days=len(day),
        steps=tuple(StorageStep(int(start), float(size)) for start, size in sizes),
        rate_changes=changes,
    )


def _checked(
    time_days: npt.ArrayLike, storage_gib: npt.ArrayLike, min_days: int
) -> tuple[Floats, Floats]:
    time, storage = np.asarray(time_days, dtype=float), np.asarray(storage_gib, dtype=float)
    problems = whole("min_days", min_days, least=4 * _WEEK)
    if time.ndim != 1 or time.shape != storage.shape:
        got = f"{time.shape} and {storage.shape}"
        problems.append(
            Problem("time_days and storage_gib", got, "two arrays of one length", "Align them.")
        )
        raise InputError(problems)
    problems += number("time_days", time, "Give the time of every value in days.")
    if not problems and np.any(np.diff(time) < 0):
        got = f"{float(np.diff(time).min()):g} days from one value to the next"
        problems.append(
            Problem("time_days", got, "times that never decrease", "Sort, or mend the clock.")
        )
    if np.any(storage < 0) or np.any(np.isinf(storage)):
        problems.append(
            Problem("storage_gib", f"{float(np.nanmin(storage)):g}", "finite GiB >= 0", "Correct.")
        )
    raise_any(problems)
    return time, storage


def _daily(time: Floats, storage: Floats) -> tuple[npt.NDArray[np.int64], Floats]:
    """Return the days that have a value (N,) and their median storage (N,)."""
    known = np.isfinite(storage)
    if not known.any():
        return np.array([], dtype=np.int64), np.array([])
    day = np.floor(time[known]).astype(np.int64)
    first = int(day.min())
    level = group_median(storage[known], day - first, int(day.max()) - first + 1)
    seen = np.flatnonzero(np.isfinite(level))
    return seen + first, level[seen]


def _enough(day: npt.NDArray[np.int64], min_days: int) -> None:
    if len(day) < min_days:
        raise InputError.of(
            "storage_gib",
            got=f"{len(day)} days with a value",
            expected=f"at least {min_days}",
            do="Add history, or state growth from rows with rows_gib_per_day.",
        )


def _steps(day: npt.NDArray[np.int64], level: Floats) -> list[int]:
    """Return the days on which storage stepped, and stayed."""
    gap = np.diff(day)
    change = np.diff(level)
    usual = float(np.median(change / gap))
    off = change - usual * gap
    least = max(STEP_SCALES * scaled_mad(off, center=None), STEP_DAYS * abs(usual))
    rounding = 1e-9 * float(np.max(np.abs(level)))
    trendless = level - usual * day
    lasting = [
        (i, off[i])
        for i in np.flatnonzero(np.abs(off) > max(least, rounding))
        if _lasts(trendless, int(i), float(off[i]))
    ]
    up = [i for i, size in lasting if size > 0]
    events = [i for i, size in lasting if size < 0 or len(up) < RECURRING]
    return [int(day[i + 1]) for i in events]


def _lasts(trendless: Floats, i: int, size: float) -> bool:
    """Return whether the medians of the days before and after differ by half the step."""
    before = trendless[max(i + 1 - _AROUND, 0) : i + 1]
    after = trendless[i + 1 : i + 1 + _AROUND]
    if min(len(before), len(after)) < _LASTING:
        return False
    return float(np.median(after) - np.median(before)) * math.copysign(1, size) > abs(size) / 2


def _rate_changes(
    day: npt.NDArray[np.int64], level: Floats, at: list[int]
) -> tuple[RateChange, ...]:
    rate = np.diff(level) / np.diff(day)
    rate[np.isin(day[1:], at)] = np.nan
    size = float(np.nanmean(np.abs(rate)))
    if size == 0:
        return ()
    found = change_points(rate, min_size=RATE_CHANGE * size, min_segment=_RATE_SEGMENT)
    # The rate of index i is that into day i + 1, so the new line begins on day i.
    return tuple(RateChange(int(day[step.index]), step.size) for step in found)


def _half_width(day: npt.NDArray[np.int64], level: Floats, fit: RobustFit) -> float:
    """Return half the 95 % interval of the slope from seven-day changes around the line."""
    span = int(day[-1] - day[0])
    off = np.full(span + 1, np.nan)
    trusted = fit.weights > 0
    off[(day - day[0])[trusted]] = (level - fit.fitted)[trusted]
    weekly = off[_WEEK:] - off[:-_WEEK]
    weekly = weekly[np.isfinite(weekly)]
    weeks = span / _WEEK
    if not len(weekly) or weeks <= 1:
        return math.inf
    variance = _TREND_VARIANCE * float(np.mean(weekly**2)) / _WEEK / span
    return float(stdtrit(weeks - 1, 0.975)) * math.sqrt(variance)


def _days(room: float, rate: float) -> float:
    if room == 0:
        return 0.0
    return room / rate if rate * _CENTURY > room else math.inf


def rows_gib_per_day(
    rows_per_s: npt.ArrayLike, *, bytes_per_row: float, indexes_x: float
) -> Floats:
    """Return storage growth by rows that stay: ``rows/s · 86,400 · bytes_per_row · (1 + indexes)``.

    Parameters
    ----------
    rows_per_s
        Rows inserted less rows whose space is reused, any shape [1/s].
    bytes_per_row
        Bytes of a row in its clustered index, free space of its pages included [bytes].
    indexes_x
        Bytes of all secondary indexes per byte of row [ratio].

    Returns
    -------
    numpy.ndarray
        Growth [GiB/day].

    Raises
    ------
    InputError
        For negative or infinite numbers.

    Examples
    --------
    >>> float(rows_gib_per_day(1_000, bytes_per_row=200, indexes_x=0.5).round(2))
    24.14
    """
    do = "Give a mean, without gaps."
    raise_any(
        [
            *number("rows_per_s", rows_per_s, do, least=0),
            *number("bytes_per_row", bytes_per_row, do, least=0),
            *number("indexes_x", indexes_x, do, least=0),
        ]
    )
    per_day = np.asarray(rows_per_s, dtype=np.float64) * _SECONDS_PER_DAY * bytes_per_row
    return np.asarray(per_day * (1 + indexes_x) / _GIB)


def binlog_gib(binlog_mib_per_s: npt.ArrayLike, *, retention_h: float) -> Floats:
    """Return the storage that kept binlogs hold: ``rate · retention``.

    It adds to the volume once, not every day: a level, where rows are a growth.

    Parameters
    ----------
    binlog_mib_per_s
        Binlog written, mean over the retention, any shape [MiB/s].
    retention_h
        How long binlogs are kept [h].

    Returns
    -------
    numpy.ndarray
        Storage [GiB].

    Raises
    ------
    InputError
        For negative or infinite numbers.

    Examples
    --------
    >>> float(binlog_gib(2.0, retention_h=24).round(2))
    168.75
    """
    do = "Give a mean, without gaps."
    raise_any(
        [
            *number("binlog_mib_per_s", binlog_mib_per_s, do, least=0),
            *number("retention_h", retention_h, do, least=0),
        ]
    )
    return np.asarray(binlog_mib_per_s, dtype=np.float64) * retention_h * 3600 / 1024
