"""One day of one event: its name, its date, and what it is a part of."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Final

__all__ = ["OBSERVED", "PUBLIC_HOLIDAY", "EventDay", "day_name"]

PUBLIC_HOLIDAY: Final = "public_holiday"
OBSERVED: Final = "_observed"
"""Ends the name of a public holiday kept on another date than its own."""


@dataclass(frozen=True, slots=True)
class EventDay:
    """One local day of one event."""

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

    @property
    def rank(self) -> int:
        """Return the place in the order that names days (see the module): 0 comes first."""
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
