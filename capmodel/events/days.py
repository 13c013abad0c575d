"""One day of one event: its name, its date, its hours, and what it is a part of.

This module answers: what is known of an event on one local day?
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Final

__all__ = ["DAY_HOURS", "OBSERVED", "PUBLIC_HOLIDAY", "EventDay", "day_name"]

DAY_HOURS: Final = 24

PUBLIC_HOLIDAY: Final = "public_holiday"
OBSERVED: Final = "_observed"
"""Ends the name of a public holiday kept on another date than its own."""


@dataclass(frozen=True, slots=True)
class EventDay:
    """One local day of one event, or the hours of it that the event covers."""

    name: str
    """The event's name, snake_case: ``cyber_monday``, ``launch_day_2``."""
    date: dt.date
    """The local date."""
    span: str
    """What the day is a part of: its own name, or the first day's where an event lasts longer."""
    tag: str
    """The group whose effect stands in where an event has too little history."""
    public: bool
    """Whether the day is a public holiday, on its own date or observed."""
    start_hour: int = 0
    """First local hour covered, 0 to 23."""
    end_hour: int = DAY_HOURS
    """Local hour before which it ends, 1 to 24."""

    @property
    def is_windowed(self) -> bool:
        """Whether it covers a part of the day only."""
        return self.n_hours < DAY_HOURS

    @property
    def n_hours(self) -> int:
        """Length on this day [hours]."""
        return self.end_hour - self.start_hour

    @property
    def rank(self) -> int:
        """Return the place in the order that names days (see the package): 0 comes first."""
        if self.is_windowed:
            return 5
        if self.tag == PUBLIC_HOLIDAY:
            return 4 if OBSERVED in self.name else 2
        return {"retail_peak": 1, "retail": 3}.get(self.tag, 0)


def day_name(name: str, i: int) -> str:
    """Return the name of the ith day (from 0) of an event.

    Examples
    --------
    >>> day_name("launch", 0), day_name("launch", 1), day_name("prime_day", 1)
    ('launch', 'launch_day_2', 'prime_day_2')
    """
    return name if i == 0 else f"{name.removesuffix('_day')}_day_{i + 1}"
