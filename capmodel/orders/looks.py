"""When the run rate is looked at before the rest is ordered, and what waiting until then costs.

This module answers: on which days is there a look, and which of them is the last that leaves time
to act? Dates are local; nothing reads the clock.
"""

from __future__ import annotations

import datetime as dt
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["Looks", "look_dates"]


class Looks(BaseModel):
    """The rhythm of looks at the run rate: the section `orders.looks` of a study."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    every_days: Annotated[int, Field(ge=1)] = 7
    """Days between looks, the first so long after the plan's date [days]."""
    window_days: Annotated[int, Field(ge=7, le=91)] = 28
    """Event-free days whose mean is read [days]."""
    unseen_days: Annotated[int, Field(ge=1, le=91)] = 14
    """Event-free days after the history that a look must hold, at least [days]."""
    late_price_x: Annotated[float, Field(ge=1, le=10)] = 1.0
    """Price of a unit ordered at the look / ordered now [ratio]; 1 where none is stated."""
    p_refused: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Probability that an order at the look is refused; 0 where none is stated."""


def look_dates(as_of: dt.date, until: dt.date, *, every_days: int) -> tuple[dt.date, ...]:
    """Return the days of looks after a plan's date, up to a last one.

    Parameters
    ----------
    as_of
        The plan's date; the first look comes `every_days` after it.
    until
        Last day on which a look may be, inclusive.
    every_days
        Days between looks [days].

    Examples
    --------
    >>> as_of, latest = dt.date(2026, 9, 21), dt.date(2026, 11, 15)
    >>> dates = look_dates(as_of, latest, every_days=7)
    >>> len(dates), str(dates[0]), str(dates[-1])
    (7, '2026-09-28', '2026-11-09')
    """
    count = max((until - as_of).days // every_days, 0)
    return tuple(as_of + dt.timedelta(every_days * (k + 1)) for k in range(count))
