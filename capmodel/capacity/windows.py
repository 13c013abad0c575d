"""The windows of a schedule: the local ISO weeks and the declared events of a horizon.

This module answers: which local days are sized together? What each window needs, so that all of
them share the season's risk, is :mod:`capmodel.capacity.schedule`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from capmodel.errors import InputError, Problem

__all__ = [
    "Window",
    "calendar_windows",
]


@dataclass(frozen=True, slots=True)
class Window:
    """Some local days of the horizon that are provisioned alike."""

    name: str
    """``2026-W48``, or the event's name."""
    kind: Literal["week", "event"]
    days: tuple[int, ...]
    """Indices of its local days, rising."""


def calendar_windows(
    dates: np.ndarray, events: Sequence[tuple[str, int, int]] = (), *, apart: bool = True
) -> tuple[Window, ...]:
    """Return the local ISO weeks of a horizon and the event spans inside it.

    Parameters
    ----------
    dates
        Consecutive local days, shape (N,), datetime64[D]; weeks at the edges may be parts.
    events
        (name, first index, last index) over `dates`, both inclusive.
    apart
        Whether days of an event belong to the event alone, for a schedule that steps up for it; a
        week of event days only is then no window. False keeps weeks whole: they cover their events.

    Returns
    -------
    tuple of Window
        In order of their first days, a week before an event that begins with it.

    Raises
    ------
    InputError
        When days are missing or an event lies outside the horizon.

    Examples
    --------
    >>> days = np.arange(np.datetime64("2026-11-23"), np.datetime64("2026-12-07"))
    >>> windows = calendar_windows(days, [("black_friday", 4, 4), ("cyber_monday", 7, 7)])
    >>> [(w.name, len(w.days)) for w in windows]
    [('2026-W48', 6), ('black_friday', 1), ('cyber_monday', 1), ('2026-W49', 6)]
    """
    dates = np.asarray(dates, dtype="datetime64[D]")
    _check_calendar(dates, events)
    taken = {day for _, first, last in events for day in range(first, last + 1)} if apart else set()
    weeks: dict[str, list[int]] = {}
    for index, date in enumerate(dates.tolist()):
        if index not in taken:
            year, week, _ = date.isocalendar()
            weeks.setdefault(f"{year}-W{week:02d}", []).append(index)
    windows = [Window(name, "week", tuple(days)) for name, days in weeks.items()]
    windows += [Window(name, "event", tuple(range(a, b + 1))) for name, a, b in events]
    return tuple(sorted(windows, key=lambda w: (w.days[0], w.kind == "event")))


def _check_calendar(dates: np.ndarray, events: Sequence[tuple[str, int, int]]) -> None:
    problems = []
    if dates.ndim != 1 or not dates.size or (np.diff(dates) != np.timedelta64(1, "D")).any():
        problems.append(
            Problem(
                where="dates",
                got=f"{dates.size} days that do not follow one another"
                if dates.size
                else "no days",
                expected="consecutive local days",
                do="Give every day of the horizon once, in order.",
            )
        )
    problems += [
        Problem(
            where=f"events.{name}",
            got=f"days {first} to {last}",
            expected=f"0 <= first <= last < {dates.size}",
            do="Cut the event to the horizon.",
        )
        for name, first, last in events
        if not 0 <= first <= last < dates.size
    ]
    if problems:
        raise InputError(problems)
