"""The model-free first look: years on one event-aligned axis, and the lift of every event day.

This module answers: how many times normal was each event day, by arithmetic alone? It fits nothing.
All values are local-day means of the demand quantity with misleading cells masked; a day counts
only when at least ``MIN_DAY_SHARE`` of its hours were observed (23 hours make a full spring day).

**Overlay.** ``multiple_of_normal`` is the day over the median of the same weekday in the
``OVERLAY_WEEKS`` weeks that end before day -14, at least ``OVERLAY_MIN`` of them observed.

**Lifts.** ``normal`` uses, on each side of the event day, the ``SIDE_WEEKS`` nearest days of the
same weekday that are no event days themselves and lie at most ``REACH_WEEKS`` weeks away. With b
and a the means of the sides before and after, and d_b, d_a their mean distances in weeks, ::

    normal = (b d_a + a d_b) / (d_a + d_b)

which is the plain mean when both sides are alike, and exact for any series that grows by the same
amount each week. Where one side has no day, ``normal`` is the mean of the other and growth does not
cancel: ``sides`` says so.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from capmodel.errors import InputError, nearest
from capmodel.history.arrays import Floats, sorted_median
from capmodel.history.localtime import Axis, local_cube

if TYPE_CHECKING:
    from capmodel.events import Events

__all__ = ["DayMeans", "day_means", "lift_table", "normal_level", "overlay"]

MIN_DAY_SHARE: Final = 5 / 6
"""Share of a day's hours that must be observed: 20 of 24."""
OVERLAY_DAYS: Final = 14
"""Days shown on both sides of the event."""
OVERLAY_WEEKS: Final = 8
"""Weeks whose median is normal in the overlay."""
OVERLAY_MIN: Final = 4
"""Observed weeks that this median needs."""
SIDE_WEEKS: Final = 4
"""Days of the same weekday on each side of an event day."""
REACH_WEEKS: Final = 8
"""How far these days may lie away [weeks]."""

LIFT_COLUMNS: Final = (
    *("service", "event", "year", "date", "actual", "normal"),
    *("lift_x", "n_days_normal", "sides"),
)

Dates = npt.NDArray[np.datetime64]


@dataclass(frozen=True, slots=True)
class DayMeans:
    """Local-day means of demand: dates (N,), values (N, S), NaN where too little was observed."""

    dates: Dates
    values: Floats
    services: tuple[str, ...]


def day_means(values: Floats, axis: Axis, services: tuple[str, ...]) -> DayMeans:
    """Return the mean of each local day of series of shape (S, T)."""
    dates, cube = local_cube(values, start=axis.start, step_min=axis.step_min, tz=axis.tz)
    seen = ~np.isnan(cube)
    count = seen.sum(axis=1)
    total = np.where(seen, cube, 0.0).sum(axis=1)
    with np.errstate(invalid="ignore"):
        means = np.where(count >= MIN_DAY_SHARE * cube.shape[1], total / count, np.nan)
    return DayMeans(dates, means, services)


def overlay(means: DayMeans, event: str, events: Events) -> pd.DataFrame:
    """Lay the days around each occurrence of an event over each other.

    Parameters
    ----------
    means
        Local-day means.
    event
        Name of an event day.
    events
        The calendar.

    Returns
    -------
    DataFrame
        ``event, year, days_from, date, service, value, multiple_of_normal``; a day outside the
        history has no value.

    Raises
    ------
    InputError
        When the calendar has no such event, or the history no such day.
    """
    if event not in events.names:
        near = nearest(event, events.names)
        raise InputError.of(
            "overlay",
            got=f"event {event!r}",
            expected=f"one of {', '.join(events.names) or 'none'}",
            do=f'Did you mean "{near}"?' if near else "Add it to the calendar with add().",
        )
    dates = np.array(events.dates_of(event), dtype="datetime64[D]")
    inside = dates[(dates >= means.dates[0]) & (dates <= means.dates[-1])]
    if len(inside) == 0:
        raise InputError.of(
            "overlay",
            got=f"{event} on {', '.join(map(str, dates))}",
            expected=f"a date between {means.dates[0]} and {means.dates[-1]}",
            do="Choose an event that the history has seen.",
        )
    return pd.concat([_around(means, event, date) for date in inside], ignore_index=True)


def _around(means: DayMeans, event: str, date: np.datetime64) -> pd.DataFrame:
    """Return the long rows of one occurrence."""
    offsets = np.arange(-OVERLAY_DAYS, OVERLAY_DAYS + 1)
    at = int((date - means.dates[0]).astype(np.int64))
    value = _rows(means.values, at + offsets)
    # The eight same weekdays before day -14: the latest one is 15 to 21 days before the event.
    latest = -OVERLAY_DAYS - 7 + (offsets + OVERLAY_DAYS) % 7
    weeks = at + latest[:, None] - 7 * np.arange(OVERLAY_WEEKS)
    before = _rows(means.values, weeks.ravel()).reshape(len(offsets), OVERLAY_WEEKS, -1)
    enough = (~np.isnan(before)).sum(axis=1) >= OVERLAY_MIN
    normal = np.where(enough, sorted_median(before, axis=1), np.nan)
    with np.errstate(divide="ignore", invalid="ignore"):
        multiple = np.where(normal > 0, value / normal, np.nan)
    n_services = len(means.services)
    dates = date + offsets
    return pd.DataFrame(
        {
            "event": event,
            "year": int(str(date)[:4]),
            "days_from": np.tile(offsets, n_services),
            "date": [str(day) for day in np.tile(dates, n_services)],
            "service": np.repeat(np.array(means.services, dtype=object), len(offsets)),
            "value": value.T.ravel(),
            "multiple_of_normal": multiple.T.ravel(),
        }
    )


def lift_table(means: DayMeans, events: Events) -> pd.DataFrame:
    """Return the lift of every event day inside the history, by the module's rule.

    Parameters
    ----------
    means
        Local-day means.
    events
        The calendar; its days never count as normal.

    Returns
    -------
    DataFrame
        ``service, event, year, date, actual, normal, lift_x, n_days_normal, sides`` (``both``,
        ``before``, ``after`` or ``none``), sorted by service and date.
    """
    all_days = np.array([day.date for day in events.days], dtype="datetime64[D]")
    is_event = np.isin(means.dates, all_days)
    ordinary = np.where(is_event[:, None], np.nan, means.values)
    frames = []
    for day in events.days:
        at = int((np.datetime64(day.date, "D") - means.dates[0]).astype(np.int64))
        if not 0 <= at < len(means.dates):
            continue
        actual = means.values[at]
        normal, n_days, sides = normal_level(ordinary, at)
        with np.errstate(divide="ignore", invalid="ignore"):
            lift = np.where(normal > 0, actual / normal, np.nan)
        frames.append(
            pd.DataFrame(
                {
                    "service": list(means.services),
                    "event": day.name,
                    "year": day.date.year,
                    "date": day.date.isoformat(),
                    "actual": actual,
                    "normal": normal,
                    "lift_x": lift,
                    "n_days_normal": n_days,
                    "sides": sides,
                }
            )
        )
    if not frames:
        return pd.DataFrame(columns=list(LIFT_COLUMNS))
    table = pd.concat(frames, ignore_index=True)
    return table.sort_values(["service", "date", "event"], kind="stable", ignore_index=True)


def normal_level(ordinary: Floats, at: int) -> tuple[Floats, npt.NDArray[np.int64], list[str]]:
    """Return the normal value of day `at`, how many days it rests on, and on which sides they lie.

    Parameters
    ----------
    ordinary
        Local-day means with event days NaN, shape (N, S).
    at
        The event day's row.

    Examples
    --------
    >>> growing = np.arange(100.0)[:, None]  # grows by 1 a day: cancels exactly
    >>> growing[43] = np.nan  # the week before is an event too
    >>> float(normal_level(growing, 50)[0][0])
    50.0
    """
    weeks = np.arange(1, REACH_WEEKS + 1)
    level, distance, count = [], [], []
    for sign in (-1, 1):
        candidates = _rows(ordinary, at + sign * 7 * weeks)
        seen = ~np.isnan(candidates)
        used = seen & (np.cumsum(seen, axis=0) <= SIDE_WEEKS)
        n = used.sum(axis=0)
        with np.errstate(invalid="ignore"):
            level.append(np.where(used, candidates, 0.0).sum(axis=0) / n)
            distance.append((used * weeks[:, None]).sum(axis=0) / n)
        count.append(n)
    (before, after), (far_before, far_after) = level, distance
    with np.errstate(invalid="ignore"):
        both = (before * far_after + after * far_before) / (far_before + far_after)
    normal = np.where(count[0] == 0, after, np.where(count[1] == 0, before, both))
    names = np.array(["none", "before", "after", "both"])
    sides = names[(count[0] > 0) * 1 + (count[1] > 0) * 2]
    return normal, count[0] + count[1], sides.tolist()


def _rows(values: Floats, index: npt.NDArray[np.int64]) -> Floats:
    """Return rows of `values`, NaN where the index lies outside."""
    inside = (index >= 0) & (index < len(values))
    rows = values[np.where(inside, index, 0)]
    return np.where(inside[:, None], rows, np.nan)
