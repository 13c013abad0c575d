"""Events as columns of the design: which act on a day, in which hours, with what shape.

This module answers: which coefficients does an event have, and what do they mean at each hour of a
day that it covers? An event's log effect is a sum of terms over its hours, the first one its mean.
Over a window of L hours, at its j-th hour, the terms are those of the discrete cosine transform,

    1, cos(pi k (j + 1/2) / L) for k = 1, 2, ... below L

so an event's shape moves with the start of its window and stretches with its length: an event that
lasted from 18:00 to 22:00 one year and from 10:00 to 13:00 the next has one shape, learned from
both, and a sale announced for another hour takes it there. Terms that a window is too short for are
left out on it; the mean of the others over the window is zero, so the first coefficient is the mean
log effect of every occurrence.

References
----------
Ahmed, N., Natarajan, T., & Rao, K. R. (1974). Discrete cosine transform. IEEE Transactions on
Computers C-23(1), 90-93.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from capmodel.events.days import DAY_HOURS

if TYPE_CHECKING:
    from capmodel.events import EventDay, Events

__all__ = [
    "EVENT_TERMS",
    "WHOLE_DAY",
    "EventColumns",
    "WindowDay",
    "effect_hours",
    "event_hour_terms",
    "events_on",
    "ordinary_hours",
]

EVENT_TERMS: Final = 11
"""Most terms of an event: on a whole day the last one turns every 2.4 hours."""
WHOLE_DAY: Final = (0, DAY_HOURS)


class WindowDay(NamedTuple):
    """A day of a training window on which a windowed event covers some hours."""

    event: int
    """Position in the design's event names."""
    day: int
    start_hour: int
    end_hour: int


def event_hour_terms(
    start_hour: int = 0, end_hour: int = DAY_HOURS, count: int = EVENT_TERMS
) -> np.ndarray:
    """Return the terms of an event at each local hour of a day, zero outside its hours.

    Unlike full harmonics these need not meet at the ends of the window, where an event's effect
    begins and ends with a step; they are orthogonal over the window.

    Parameters
    ----------
    start_hour, end_hour
        The hours covered, end exclusive.
    count
        Number of terms; those that the window is too short for are zero.

    Returns
    -------
    numpy.ndarray
        Shape (24, count).

    Examples
    --------
    >>> event_hour_terms(18, 20, 3)[17:21].round(3).tolist()
    [[0.0, 0.0, 0.0], [1.0, 0.707, 0.0], [1.0, -0.707, 0.0], [0.0, 0.0, 0.0]]
    """
    length = end_hour - start_hour
    k = np.arange(min(count, length))
    terms = np.zeros((DAY_HOURS, count))
    passed = (np.arange(length)[:, None] + 0.5) / length
    terms[start_hour:end_hour, : len(k)] = np.cos(np.pi * passed * k)
    return terms


def effect_hours(
    terms: np.ndarray, start_hour: int, end_hour: int, *, besides: np.ndarray | float = 0.0
) -> np.ndarray:
    """Return the log effect by local hour of a day on which an event covers these, shape (24,).

    Parameters
    ----------
    terms
        Log effect by the event's terms, shape (b,).
    start_hour, end_hour
        The hours covered, end exclusive; the effect is zero outside.
    besides
        Log effect that no term holds, by hour of the day, shape (24,) or one number.
    """
    effect = event_hour_terms(start_hour, end_hour, len(terms)) @ terms
    covered = slice(start_hour, end_hour)
    effect[covered] += np.broadcast_to(besides, DAY_HOURS)[covered]
    return np.asarray(effect)


def events_on(events: Events, dates: np.ndarray) -> tuple[tuple[EventDay, ...], ...]:
    """Return the events that act on each local day, the one that names it first."""
    return tuple(events.acting(date) for date in dates)


def ordinary_hours(events: Events, dates: np.ndarray) -> np.ndarray:
    """Return which hours no event covers, shape (N, 24) bool."""
    ordinary = np.ones((len(dates), DAY_HOURS), dtype=bool)
    for n, acting in enumerate(events_on(events, dates)):
        for event in acting:
            ordinary[n, event.start_hour : event.end_hour] = False
    return ordinary


@dataclass(frozen=True, slots=True, eq=False)
class EventColumns:
    """The events of a training window and what their columns look like.

    Each event has one set of coefficients. Its days have one indicator for each distinct window
    that the event has anywhere in the calendar, the future included.
    """

    names: tuple[str, ...]
    """Events with an occurrence in the training window, sorted; the others have no column."""
    widths: tuple[int, ...]
    """Number of terms: as many as the longest window in training has hours, at most 11."""
    hours: np.ndarray
    """Mean length of the occurrences in training, shape (E,) [hours]."""
    windows: tuple[tuple[tuple[int, int], ...], ...]
    """Distinct (start, end) hours of each event in the calendar."""

    @classmethod
    def over(cls, dates: np.ndarray, events: Events) -> EventColumns:
        """Gather the events of a training window, shape (N,) of consecutive local days."""
        lengths: dict[str, list[int]] = {}
        for acting in events_on(events, dates):
            for event in acting:
                lengths.setdefault(event.name, []).append(event.n_hours)
        windows: dict[str, set[tuple[int, int]]] = {name: set() for name in lengths}
        for event in events.days:
            if event.name in windows:
                windows[event.name].add((event.start_hour, event.end_hour))
        names = tuple(sorted(lengths))
        return cls(
            names=names,
            widths=tuple(min(max(lengths[name]), EVENT_TERMS) for name in names),
            hours=np.array([np.mean(lengths[name]) for name in names], dtype=float),
            windows=tuple(tuple(sorted(windows[name])) for name in names),
        )

    @property
    def whole_days(self) -> tuple[int, ...]:
        """Positions of the events that cover whole days wherever they occur."""
        return tuple(e for e, windows in enumerate(self.windows) if windows == (WHOLE_DAY,))

    @property
    def windowed(self) -> tuple[tuple[int, tuple[int, int]], ...]:
        """Position and hours of each window of the other events."""
        whole = set(self.whole_days)
        return tuple(
            (e, window)
            for e in range(len(self.names))
            if e not in whole
            for window in self.windows[e]
        )

    def factors(self, dates: np.ndarray, events: Events) -> np.ndarray:
        """Return the indicators: of `whole_days`, then of `windowed`; shape (N, F)."""
        keys = [(self.names[e], WHOLE_DAY) for e in self.whole_days]
        keys += [(self.names[e], window) for e, window in self.windowed]
        column = {key: f for f, key in enumerate(keys)}
        out = np.zeros((len(dates), len(keys)))
        for n, acting in enumerate(events_on(events, dates)):
            for event in acting:
                at = column.get((event.name, (event.start_hour, event.end_hour)))
                if at is not None:
                    out[n, at] = 1.0
        return out

    def days_of(
        self, dates: np.ndarray, events: Events
    ) -> tuple[np.ndarray, tuple[WindowDay, ...]]:
        """Return each day's whole-day event, -1 without, shape (N,); and every windowed one."""
        index = {name: e for e, name in enumerate(self.names)}
        event_of_day = np.full(len(dates), -1)
        windowed = []
        for n, acting in enumerate(events_on(events, dates)):
            for event in acting:
                if event.is_windowed:
                    hours = event.start_hour, event.end_hour
                    windowed.append(WindowDay(index[event.name], n, *hours))
                else:
                    event_of_day[n] = index[event.name]
        return event_of_day, tuple(windowed)
