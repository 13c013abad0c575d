"""Days on which things may happen: business days, change freezes and their waivers.

This module answers: when is the last weekday to ask, and may an action happen on a day? Dates are
local.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Sequence
from typing import Annotated, Final, Self

from pydantic import Field, model_validator

from capmodel.errors import InputError
from capmodel.orders.spec import WEEKDAYS, Action, Spec, Weekday

__all__ = [
    "Freeze",
    "PublicHolidays",
    "Waiver",
    "first_open_day",
    "freeze_note",
    "last_open_day",
    "request_by",
]

_SATURDAY: Final = 5
_DAY: Final = dt.timedelta(days=1)
_FURTHEST_DAYS: Final = 3660


class Freeze(Spec):
    """A change freeze in local days; the end is exclusive."""

    start: dt.date
    end: dt.date
    exempt: tuple[Action, ...] = ("reservation", "pre_scale")
    """Actions that go on inside the freeze."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.end <= self.start:
            msg = f"end {self.end} is not after start {self.start}"
            raise ValueError(msg)
        return self


class Waiver(Spec):
    """Leave to act inside a freeze: who gave it, until when, why, and for what."""

    id: Annotated[str, Field(min_length=1)]
    """The change ticket or the decision."""
    until: dt.date
    """Last day on which it holds."""
    reason: Annotated[str, Field(min_length=1)]
    orders: tuple[str, ...] = ()
    """Orders that it is for, by id."""
    actions: tuple[Action, ...] = ()
    """Actions that it is for, whatever the order."""

    @model_validator(mode="after")
    def _for_something(self) -> Self:
        if not (self.orders or self.actions):
            msg = "for nothing: name orders or actions"
            raise ValueError(msg)
        return self

    @property
    def words(self) -> str:
        """The waiver as a note says it."""
        until = "" if self.until == dt.date.max else f" until {self.until}"
        return f"{self.id}{until}, {self.reason}"


class PublicHolidays(Spec):
    """Public holidays that are no business days, by the ``holidays`` package."""

    country: str
    """Code of the country, say ``US``."""
    subdiv: str | None = None
    """Code of the state or province; None: those of the whole country."""

    def between(self, first: dt.date, last: dt.date) -> frozenset[dt.date]:
        """Return the holidays of the years from `first` to `last`.

        Raises
        ------
        InputError
            For a country or part of one that the package does not know.

        Examples
        --------
        >>> days = PublicHolidays(country="US").between(dt.date(2026, 10, 1), dt.date(2026, 11, 1))
        >>> dt.date(2026, 10, 12) in days
        True
        """
        import holidays  # noqa: PLC0415  heavy, and most policies name no country

        try:
            found = holidays.country_holidays(
                self.country, subdiv=self.subdiv, years=range(first.year, last.year + 1)
            )
        except NotImplementedError as error:
            raise InputError.of(
                "orders.holidays",
                got=f"{self.country} {self.subdiv or ''}".strip(),
                expected="a country of the holidays package, and a part of it",
                do="Write the ISO codes, such as US and NY.",
            ) from error
        return frozenset(found)


def request_by(
    execute: dt.date, *, notice_business_days: int, holidays: Collection[dt.date] = frozenset()
) -> dt.date:
    """Return the latest business day that leaves the notice before an execution.

    The notice counts full business days strictly between request and execution; a request date on
    a weekend rolls backward. Public holidays count as weekdays unless they are given.

    Parameters
    ----------
    execute
        Day of the execution.
    notice_business_days
        Full business days between request and execution [days].
    holidays
        Days that are no business days besides Saturdays and Sundays.

    Examples
    --------
    >>> str(request_by(dt.date(2026, 11, 1), notice_business_days=10))
    '2026-10-16'
    >>> columbus = {dt.date(2026, 10, 12)}
    >>> str(request_by(dt.date(2026, 10, 16), notice_business_days=5, holidays=columbus))
    '2026-10-07'
    """
    day = execute
    left = notice_business_days
    while left:
        day -= _DAY
        left -= _is_business(day, holidays)
    if notice_business_days:
        day -= _DAY
    while not _is_business(day, holidays):
        day -= _DAY
    return day


def _is_business(day: dt.date, holidays: Collection[dt.date]) -> bool:
    return day.weekday() < _SATURDAY and day not in holidays


def _freeze_at(freezes: Sequence[Freeze], day: dt.date, *, action: Action) -> Freeze | None:
    """Return a freeze that stops an action on a day, else one that exempts it, else None."""
    at = [freeze for freeze in freezes if freeze.start <= day < freeze.end]
    stopping = [freeze for freeze in at if action not in freeze.exempt]
    return next(iter([*stopping, *at]), None)


def freeze_note(
    freezes: Sequence[Freeze],
    day: dt.date,
    *,
    action: Action,
    item: str,
    where: str = "",
    waivers: Sequence[Waiver] = (),
) -> str:
    """Return what the freezes mean for an action on a day, '' outside every freeze.

    Parameters
    ----------
    freezes
        Every freeze.
    day
        Day of the execution.
    action
        What is done.
    item
        The id of the order, which waivers name.
    where
        What a message names; '' for the id.
    waivers
        Those of the study, and of the order.

    Raises
    ------
    InputError
        Where a freeze stops the action and no waiver holds on that day.

    Examples
    --------
    >>> freeze = Freeze(start=dt.date(2026, 11, 2), end=dt.date(2027, 1, 4))
    >>> freeze_note([freeze], dt.date(2026, 11, 20), action="reservation", item="nodes:general")
    'inside the freeze from 2026-11-02, which exempts it (reservation)'
    """
    freeze = _freeze_at(freezes, day, action=action)
    if freeze is None:
        return ""
    if action in freeze.exempt:
        return f"inside the freeze from {freeze.start}, which exempts it ({action})"
    found = [w for w in waivers if item in w.orders or action in w.actions]
    holding = next((w for w in found if w.until >= day), None)
    if holding is not None:
        return f"inside the freeze from {freeze.start}, by waiver: {holding.words}"
    expired = f"; waiver {found[0].id} ended on {found[0].until}" if found else ""
    raise InputError.of(
        where or item,
        got=f"an action ({action}) on {day}, inside the freeze from {freeze.start} to "
        f"{freeze.end}{expired}",
        expected="a day outside the freeze, an exemption or a waiver that still holds",
        do=f"Act before {freeze.start}, add {action} to the freeze's exempt list, or state the "
        "waiver.",
    )


def last_open_day(
    freezes: Sequence[Freeze], day: dt.date, *, action: Action, weekdays: Sequence[Weekday] = ()
) -> dt.date:
    """Return the last day, no later than `day`, on which no freeze stops an action.

    Parameters
    ----------
    freezes
        Every freeze.
    day
        The latest day that will do.
    action
        What is done.
    weekdays
        Days of the week with a window for it; empty: every day.

    Examples
    --------
    >>> freeze = Freeze(start=dt.date(2026, 11, 2), end=dt.date(2027, 1, 4))
    >>> str(last_open_day([freeze], dt.date(2026, 11, 20), action="config"))
    '2026-11-01'
    """
    return _open_day(freezes, day, action=action, weekdays=weekdays, step=-1)


def first_open_day(
    freezes: Sequence[Freeze], day: dt.date, *, action: Action, weekdays: Sequence[Weekday] = ()
) -> dt.date:
    """Return the first day, no earlier than `day`, on which no freeze stops an action.

    Parameters
    ----------
    freezes, action, weekdays
        As :func:`last_open_day` takes them.
    day
        The earliest day that will do.

    Examples
    --------
    >>> freeze = Freeze(start=dt.date(2026, 11, 2), end=dt.date(2027, 1, 4))
    >>> str(first_open_day([freeze], dt.date(2026, 12, 2), action="db_class", weekdays=["sunday"]))
    '2027-01-10'
    """
    return _open_day(freezes, day, action=action, weekdays=weekdays, step=1)


def _open_day(
    freezes: Sequence[Freeze],
    day: dt.date,
    *,
    action: Action,
    weekdays: Sequence[Weekday],
    step: int,
) -> dt.date:
    for _ in range(_FURTHEST_DAYS):
        freeze = _freeze_at(freezes, day, action=action)
        if freeze is not None and action not in freeze.exempt:
            day = freeze.start - _DAY if step < 0 else freeze.end
        elif weekdays and WEEKDAYS[day.weekday()] not in weekdays:
            day += step * _DAY
        else:
            return day
    raise InputError.of(
        "orders.freeze",
        got=f"no day without a freeze within {_FURTHEST_DAYS} days of {day}",
        expected=f"a day on which {action} may happen",
        do="Shorten a freeze, or exempt the action.",
    )
