"""Local wall-clock windows: from which hour to which hour of which local days an event lasts.

This module answers: which hours of which local days lie between two readings of the wall clock?
The clock is the business's own and has 24 hours a day: what the changes of spring and autumn do to
an hour is for whoever folds a history into local days to say.
"""

from __future__ import annotations

import datetime as dt
import re
from typing import Final

import numpy as np

from capmodel.errors import InputError, Problem
from capmodel.events.days import DAY_HOURS

__all__ = ["MOST_DAYS", "local_day", "shown", "window_parts"]

MOST_DAYS: Final = 364
"""Longest event [days]: the same weekday a year later."""
_TIME: Final = re.compile(r"\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}(:00)?")


def local_day(value: object) -> dt.date | None:
    """Return a local date given as a date, a midnight, ISO text or a numpy day; None for others."""
    if isinstance(value, np.datetime64) and not np.isnat(value):
        day = value.astype("datetime64[D]")
        value = day.item() if day == value else value
    if isinstance(value, str):
        try:
            day = dt.date.fromisoformat(value)
        except ValueError:
            return None
        return day if day.isoformat() == value else None
    if isinstance(value, dt.datetime):
        return value.date() if value.tzinfo is None and value.time() == dt.time() else None
    return value if isinstance(value, dt.date) else None


def window_parts(start: object, end: object, *, where: str) -> tuple[tuple[dt.date, int, int], ...]:
    """Return (local day, first hour, hour before which it ends) of each day of a window.

    Parameters
    ----------
    start, end
        Local wall-clock times on the hour, ISO text or without a time zone, end exclusive; a start
        that is a date means its midnight.
    where
        What messages call the event.

    Raises
    ------
    InputError
        With every problem found: no local time, minutes, a time zone, an end that is not after the
        start, or more than 364 days.

    Examples
    --------
    >>> for day, first, last in window_parts("2026-11-20T22:00", "2026-11-21T02:00", where="sale"):
    ...     print(day, first, last)
    2026-11-20 22 24
    2026-11-21 0 2
    """
    day = local_day(start)
    first = _hour(start) if day is None else dt.datetime.combine(day, dt.time())
    last = None if _is_date(end) else _hour(end)
    problems = [
        _no_time(f"{where}: {field}", value)
        for field, value, hour in (("start", start, first), ("end", end, last))
        if hour is None
    ]
    if first is not None and last is not None:
        problems += _order_problems(first, last, where=where)
    if problems or first is None or last is None:
        raise InputError(problems)
    days = (last - dt.timedelta(hours=1)).toordinal() - first.toordinal() + 1
    return tuple(
        (
            first.date() + dt.timedelta(i),
            first.hour if i == 0 else 0,
            last.hour or DAY_HOURS if i == days - 1 else DAY_HOURS,
        )
        for i in range(days)
    )


def _hour(value: object) -> dt.datetime | None:
    """Return a local time on the hour; None for anything else."""
    if isinstance(value, np.datetime64) and not np.isnat(value):
        hour = value.astype("datetime64[h]")
        value = hour.item() if hour == value else None
    if isinstance(value, str) and _TIME.fullmatch(value):
        try:
            value = dt.datetime.fromisoformat(value)
        except ValueError:
            return None
    if not isinstance(value, dt.datetime) or value.tzinfo is not None:
        return None
    hour_of_day = dt.time(value.hour)
    return dt.datetime.combine(value.date(), hour_of_day) if value.time() == hour_of_day else None


def shown(value: object) -> str:
    """Return a value as somebody would write it."""
    return value.isoformat() if isinstance(value, dt.date) else repr(value)


def _is_date(value: object) -> bool:
    """Whether a value names a day, no hour: as an end it might mean either midnight of the day."""
    is_plain = isinstance(value, dt.date) and not isinstance(value, dt.datetime)
    return is_plain or (isinstance(value, str) and local_day(value) is not None)


def _no_time(where: str, value: object) -> Problem:
    expected = "a local time on the hour like 2026-11-20T18:00, without a time zone"
    day = local_day(value)
    if day is not None and _is_date(value):
        return Problem(where, f"the date {day}", expected, f"Write its hour: {day}T00:00.")
    return Problem(where, shown(value), expected, "Write the hour of the business's wall clock.")


def _order_problems(first: dt.datetime, last: dt.datetime, *, where: str) -> list[Problem]:
    span = f"{first:%Y-%m-%dT%H:%M} to {last:%Y-%m-%dT%H:%M}"
    if last <= first:
        do = "Swap them, or correct the date of the end."
        return [Problem(f"{where}: start, end", span, "an end after the start", do)]
    if last - first > dt.timedelta(days=MOST_DAYS):
        expected, do = f"at most {MOST_DAYS} days", "Correct the year of one of them."
        return [Problem(f"{where}: start, end", span, expected, do)]
    return []
