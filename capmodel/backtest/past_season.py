"""The season that is replayed: last year's days, lead times and freezes, moved by the event.

This module answers: which local days were the same season of an earlier year, and which dates did
the orders of that year have? A moving holiday moves everything with it.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from capmodel.backtest.origins import whole_days
from capmodel.errors import InputError
from capmodel.orders import OrdersPolicy

if TYPE_CHECKING:
    from capmodel.events import Events
    from capmodel.history import History
    from capmodel.plan import Study

__all__ = ["PastSeason", "past_season"]

WEEK: Final = 7
YEAR_DAYS: Final = 365.2425
LEAST_BEFORE_DAYS: Final = 364
"""A season before the replayed one must be seen: a plan without it knows no event."""


@dataclass(frozen=True, slots=True)
class PastSeason:
    """Local days, the end exclusive, and how far they lie before the study's own."""

    year: int
    start: dt.date
    end: dt.date
    shift_days: int
    """Days between this season and the study's."""
    last_start: dt.date
    """First day of the season before it."""
    last_end: dt.date
    orders: OrdersPolicy
    """The study's lead times and freezes with their dates of that year; nothing is placed yet."""


def past_season(
    study: Study, history: History, events: Events, *, year: int | None = None
) -> PastSeason:
    """Return the study's season as it fell in an earlier year.

    Aligned on the event that capacity must stand for (``orders.in_place``), where one is named;
    else by whole weeks, so that weekdays stay.

    Parameters
    ----------
    study
        Whose season, or horizon without one, is moved.
    history
        What happened; it must hold the whole season and the year before it.
    events
        The calendar of all these years.
    year
        Year in which the season starts; None: the last one that the history holds whole.

    Raises
    ------
    InputError
        When the history does not hold that season, or no season before it.
    """
    span = study.season or study.horizon
    first, stop = (day.astype(dt.date) for day in whole_days(history))
    wanted = span.start.year - 1 if year is None else year
    shift = _shift(study, events, span.start, span.end, wanted)
    if year is None:
        while span.end - dt.timedelta(shift) > stop and wanted > first.year:
            wanted -= 1
            shift = _shift(study, events, span.start, span.end, wanted)
    start, end = (day - dt.timedelta(shift) for day in (span.start, span.end))
    before = _shift(study, events, span.start, span.end, wanted - 1)
    if end > stop or start - dt.timedelta(LEAST_BEFORE_DAYS) < first:
        raise InputError.of(
            "replay",
            got=f"the season {start} to {end} of {wanted}, with a history of whole days "
            f"from {first} to {stop - dt.timedelta(1)}",
            expected="a history that holds the season and the year before it",
            do="Choose another year, or give a longer history.",
        )
    return PastSeason(
        year=wanted,
        start=start,
        end=end,
        shift_days=shift,
        last_start=span.start - dt.timedelta(before),
        last_end=span.end - dt.timedelta(before),
        orders=_moved(study.orders, shift),
    )


def _shift(study: Study, events: Events, start: dt.date, end: dt.date, year: int) -> int:
    """Return the days from the season that starts in a year to the study's."""
    wanted = study.orders.in_place
    if wanted is not None and wanted.event in events.names:
        dates = events.dates_of(wanted.event)
        now = [day for day in dates if start <= day < end]
        later = now[0].year - start.year if now else 0  # an event in January of a winter's season
        then = [day for day in dates if day.year == year + later]
        if now and then:
            return (now[0] - then[0]).days
    weeks = round(YEAR_DAYS * (start.year - year) / WEEK)
    return WEEK * weeks


def _moved(policy: OrdersPolicy, days: int) -> OrdersPolicy:
    """Return a policy with every date that many days earlier, and nothing placed."""
    fields = {k: v for k, v in policy.model_dump(by_alias=True).items() if k != "placed"}
    return OrdersPolicy.model_validate(_earlier(fields, days))


def _earlier(value: Any, days: int) -> Any:
    if isinstance(value, dt.date):
        return value - dt.timedelta(days)
    if isinstance(value, Mapping):
        return {key: _earlier(inner, days) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_earlier(inner, days) for inner in value]
    return value
