"""Business time: which local day and hour a step of the UTC grid belongs to.

This module answers: how does a regular UTC grid fold into local days of 24 hours, exactly, over
both daylight-saving changes and in zones that are not whole hours off UTC? It knows no quantity.

A grid with a step of 1440 minutes holds *local days*. Local days are not equally long in UTC, so
such a grid is labelled: the step of 2026-11-01 stands at 2026-11-01 00:00 "UTC" in any zone.
"""

from __future__ import annotations

import datetime as dt
import zoneinfo
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from capmodel.errors import InputError, nearest

__all__ = [
    "DAY_MIN",
    "STEPS_MIN",
    "Axis",
    "LocalCube",
    "LocalDays",
    "at_second",
    "check_tz",
    "hours_in",
    "local_cube",
    "local_days",
    "midnights",
]

DAY_MIN: Final = 1440
STEPS_MIN: Final[tuple[int, ...]] = (1, 2, 3, 4, 5, 6, 10, 12, 15, 20, 30, 60, DAY_MIN)
"""Steps a history may have [min]: parts of an hour, the hour, the local day."""

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Dates = npt.NDArray[np.datetime64]


def check_tz(tz: str) -> str:
    """Return `tz` if it names an IANA time zone.

    Raises
    ------
    InputError
        Names the nearest known zone.

    Examples
    --------
    >>> check_tz("America/New_York")
    'America/New_York'
    """
    try:
        zoneinfo.ZoneInfo(tz)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError) as error:
        near = nearest(tz, zoneinfo.available_timezones())
        raise InputError.of(
            "business_tz",
            got=repr(tz),
            expected="an IANA time zone such as 'America/New_York'",
            do=f"Did you mean {near!r}?" if near else "See zoneinfo.available_timezones().",
        ) from error
    return tz


@dataclass(frozen=True, slots=True)
class LocalDays:
    """Where each step of a grid lies in local time.

    ``dates`` are the consecutive local dates that the grid touches, shape (N,); ``day_of_step``
    indexes them and ``hour_of_step`` is the hour on the local clock at the step's start, both
    shape (T,). No step lies outside, so ``day_of_step`` is never negative.
    """

    dates: Dates
    day_of_step: Ints
    hour_of_step: Ints

    @property
    def weekday(self) -> Ints:
        """Weekday of each date, Monday 0 … Sunday 6, shape (N,)."""
        # 1970-01-01 was a Thursday.
        return (self.dates.astype("datetime64[D]").astype(np.int64) + 3) % 7


class LocalCube(NamedTuple):
    """Values folded into local days: ``dates`` (N,) and ``cube`` (N, 24, S); NaN = nothing seen."""

    dates: Dates
    cube: Floats


@dataclass(frozen=True, slots=True)
class Axis:
    """A regular grid: first interval's start (UTC), number of steps, step, business zone."""

    start: np.datetime64
    n_steps: int
    step_min: int
    tz: str

    @property
    def step(self) -> np.timedelta64:
        """Length of a step."""
        return np.timedelta64(self.step_min * 60, "s")

    @property
    def end(self) -> np.datetime64:
        """End of the last interval (exclusive), UTC."""
        return self.start + self.n_steps * self.step

    @property
    def steps_per_day(self) -> int:
        """Steps in a day of 24 hours."""
        return DAY_MIN // self.step_min

    def times(self) -> pd.DatetimeIndex:
        """Return the starts of the intervals, tz-aware UTC with a frequency, shape (T,)."""
        index = pd.date_range(
            pd.Timestamp(self.start, tz="UTC"), periods=self.n_steps, freq=f"{self.step_min}min"
        )
        return index.as_unit("us")

    def days(self) -> LocalDays:
        """Return the local day and hour of every step."""
        return local_days(self.start, self.n_steps, self.step_min, self.tz)

    def local_text(self, step: int) -> str:
        """Return the local clock time at the start of `step` as text, to the minute."""
        instant = pd.Timestamp(self.start + step * self.step, tz="UTC")
        if self.step_min == DAY_MIN:
            return instant.strftime("%Y-%m-%d")
        return instant.tz_convert(self.tz).strftime("%Y-%m-%d %H:%M")

    def length_text(self, steps: int) -> str:
        """Return a number of steps as a length of time in plain words."""
        minutes = steps * self.step_min
        for unit, size in (("day", DAY_MIN), ("hour", 60), ("minute", 1)):
            if minutes >= 2 * size or minutes == size:
                number = (
                    f"{minutes / size:.3g}" if minutes < 100 * size else f"{minutes / size:.0f}"
                )
                return f"{number} {unit}{'' if number == '1' else 's'}"
        return f"{minutes} minutes"

    def instant(self, value: str | dt.date | pd.Timestamp, *, where: str) -> np.datetime64:
        """Return a boundary as an instant of this grid.

        A date is its local midnight; a moment must carry its time zone.

        Raises
        ------
        InputError
            When `value` is a clock time without a zone, or no time at all.
        """
        try:
            moment = pd.Timestamp(value)
        except (ValueError, TypeError) as error:
            raise InputError.of(
                where,
                got=repr(value),
                expected="a date 'YYYY-MM-DD' or a moment with its zone",
                do="Write for example '2026-10-01'.",
            ) from error
        if moment.tz is None:
            if moment != moment.normalize():
                raise InputError.of(
                    where,
                    got=f"{value!r} without a time zone",
                    expected="a date, or a moment with its zone",
                    do=f"Give pd.Timestamp({str(value)!r}, tz={self.tz!r}).",
                )
            date = np.array([moment.to_datetime64()], dtype="datetime64[D]")
            return at_second(date[0] if self.labels else midnights(date, self.tz)[0])
        if self.labels:
            moment = moment.tz_convert(self.tz).tz_localize(None).normalize()
        else:
            moment = moment.tz_convert("UTC").tz_localize(None)
        return at_second(moment.to_datetime64())

    @property
    def labels(self) -> bool:
        """Whether the steps are local days, labelled by date."""
        return self.step_min == DAY_MIN


def at_second(moment: np.datetime64) -> np.datetime64:
    """Return an instant in whole seconds."""
    whole: np.datetime64 = np.array([moment]).astype("datetime64[s]")[0]
    return whole


def midnights(dates: Dates, tz: str) -> npt.NDArray[np.datetime64]:
    """Return the instant (UTC) at which each local date begins.

    Where midnight is skipped by a clock change the day begins at the change; where it comes twice,
    at the first.

    Parameters
    ----------
    dates
        Local dates, shape (N,).
    tz
        IANA zone.

    Examples
    --------
    >>> midnights(np.array(["2026-11-01", "2026-11-02"], dtype="datetime64[D]"), "America/New_York")
    array(['2026-11-01T04:00:00', '2026-11-02T05:00:00'], dtype='datetime64[s]')
    """
    naive = pd.DatetimeIndex(dates.astype("datetime64[s]"))
    first = np.ones(len(naive), dtype=bool)
    local = naive.tz_localize(tz, ambiguous=first, nonexistent="shift_forward")
    return local.tz_convert("UTC").tz_localize(None).to_numpy().astype("datetime64[s]")


def hours_in(dates: Dates, tz: str) -> Ints:
    """Return how many hours each local day has: 23, 24 or 25 (whole hours).

    Parameters
    ----------
    dates
        Local dates, shape (N,).
    tz
        IANA zone.

    Examples
    --------
    >>> days = np.array(["2026-03-08", "2026-07-04", "2026-11-01"], dtype="datetime64[D]")
    >>> hours_in(days, "America/New_York")
    array([23, 24, 25])
    """
    dates = np.asarray(dates, dtype="datetime64[D]")
    seconds = (midnights(dates + 1, tz) - midnights(dates, tz)).astype(np.int64)
    return np.rint(seconds / 3600).astype(np.int64)


def local_days(start: np.datetime64, n_steps: int, step_min: int, tz: str) -> LocalDays:
    """Return the local date and clock hour of every step of a grid.

    An interval belongs to the hour in which it starts; in a zone half an hour off UTC an hourly
    interval 05:30-06:30 counts as hour 5.

    Parameters
    ----------
    start
        Start of the first interval, UTC.
    n_steps
        Number of steps T.
    step_min
        Step [min]; 1440 means local days, labelled by date (see the module).
    tz
        IANA zone.

    Examples
    --------
    >>> days = local_days(np.datetime64("2026-11-01T04:00:00"), 25, 60, "America/New_York")
    >>> days.dates, days.hour_of_step[:4]
    (array(['2026-11-01'], dtype='datetime64[D]'), array([0, 1, 1, 2]))
    """
    instants = at_second(start) + np.arange(n_steps) * np.timedelta64(step_min * 60, "s")
    if step_min == DAY_MIN:
        clock = instants
    else:
        index = pd.DatetimeIndex(instants).tz_localize("UTC").tz_convert(check_tz(tz))
        clock = index.tz_localize(None).to_numpy().astype("datetime64[s]")
    date_of_step = clock.astype("datetime64[D]")
    hour_of_step = (clock - date_of_step).astype("timedelta64[h]").astype(np.int64)
    if n_steps == 0:
        return LocalDays(date_of_step, hour_of_step, hour_of_step)
    # The clock can run backwards within a day, so the first date is the smallest, not the first.
    dates = np.arange(date_of_step.min(), date_of_step.max() + 1)
    return LocalDays(dates, (date_of_step - dates[0]).astype(np.int64), hour_of_step)


def local_cube(values: Floats, *, start: np.datetime64, step_min: int = 60, tz: str) -> LocalCube:
    """Fold series on a UTC grid into local days of 24 hours.

    ``cube[d, h, s] = mean of the observed steps of series s that start in local hour h of day d``.
    The repeated hour of the autumn change is thus averaged, the missing one of spring is NaN, and
    so are the hours of partial first and last days that the grid does not reach.

    Parameters
    ----------
    values
        Series, shape (S, T), NaN = not observed.
    start
        Start of the first interval, UTC.
    step_min
        Step [min]. For 1440 the cube has one slot a day: shape (N, 1, S).
    tz
        IANA zone.

    Returns
    -------
    LocalCube
        ``dates`` (N,) and ``cube`` (N, 24, S).

    Examples
    --------
    >>> hours = np.arange(25.0)[None, :]
    >>> day = local_cube(hours, start=np.datetime64("2026-11-01T04:00"), tz="America/New_York")
    >>> day.cube[0, :3, 0]  # 01:00 came twice: (1 + 2) / 2
    array([0. , 1.5, 3. ])
    """
    n_series, n_steps = values.shape
    days = local_days(start, n_steps, step_min, tz)
    slots = 1 if step_min == DAY_MIN else 24
    flat = np.full((len(days.dates) * slots, n_series), np.nan)
    if n_steps:
        slot = days.day_of_step * slots + days.hour_of_step
        order = np.argsort(slot, kind="stable")
        occupied, first = np.unique(slot[order], return_index=True)
        folded = values[:, order] if np.any(np.diff(order) != 1) else values
        flat[occupied] = _mean_of_runs(folded, first).T
    return LocalCube(days.dates, flat.reshape(len(days.dates), slots, n_series))


def _mean_of_runs(values: Floats, first: Ints) -> Floats:
    """Return the mean over the observed cells of each run of columns beginning at `first`."""
    if len(first) == values.shape[1]:
        return values
    seen = ~np.isnan(values)
    total = np.add.reduceat(np.where(seen, values, 0.0), first, axis=1)
    count = np.add.reduceat(seen, first, axis=1, dtype=np.int64)
    with np.errstate(invalid="ignore"):
        return np.where(count > 0, total / count, np.nan)
