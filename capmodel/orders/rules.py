"""The rules of ordering: lead times, change freezes, and the dates that follow from them.

This module answers: by when must capacity stand, when is the last day to ask, and may an action
happen on a day? Dates are local; it knows no quantities.
"""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from capmodel.errors import InputError
from capmodel.orders.looks import Looks

__all__ = [
    "Action",
    "DbClassLead",
    "Freeze",
    "InPlace",
    "NodeLead",
    "OrdersPolicy",
    "freeze_note",
    "in_place_by",
    "last_open_day",
    "request_by",
]

Action = Literal["reservation", "pre_scale", "db_class", "config"]
"""What a change freeze stops, unless the freeze exempts it."""

Days = Annotated[int, Field(ge=0)]

_SATURDAY: Final = 5
_DAY: Final = dt.timedelta(days=1)


class _Spec(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class InPlace(_Spec):
    """When capacity must stand: days before an event."""

    event: str
    """Name of an event day, for example `black_friday`."""
    days_before: Days = 7
    """Days between the capacity standing and the event [days]."""


class Freeze(_Spec):
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


class NodeLead(_Spec):
    """The rules of a future-dated capacity reservation, counted back from the in-place date."""

    latest_days: Days = 5
    """Hard latest day of the request [days before]."""
    recommended_days: Days = 56
    """Recommended day of the request [days before]."""
    earliest_days: Days = 120
    """The request window opens [days before]."""
    min_term_days: Days = 14
    """Shortest commitment, counted from the in-place date [days]."""
    min_vcpu: Annotated[int, Field(ge=1)] = 32
    """Smallest reservation [vCPU]."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if not self.latest_days <= self.recommended_days <= self.earliest_days:
            msg = (
                f"latest_days {self.latest_days}, recommended_days {self.recommended_days} and "
                f"earliest_days {self.earliest_days} are not in ascending order"
            )
            raise ValueError(msg)
        return self


class DbClassLead(_Spec):
    """The rules of a database's class change."""

    execute: dt.date | None = None
    """Day of the change; None: the last day outside every freeze, no later than in place."""
    notice_business_days: Days = 10
    """Full weekdays strictly between request and execution [days]."""
    waiver: str = ""
    """Who allowed a change inside a freeze, and why; '' for none."""


class QuotaAsk(_Spec):
    """How much of somebody else's limit is asked for."""

    ask_x: Annotated[float, Field(ge=1)] = 1.5
    """Asked for / P50 of the likeliest scenario, at least: a request takes weeks and costs nothing
    [ratio]."""


class OrdersPolicy(_Spec):
    """Lead times and freezes: the section `orders` of a study.

    Examples
    --------
    >>> policy = OrdersPolicy.model_validate(
    ...     {
    ...         "in_place": {"event": "black_friday", "days_before": 7},
    ...         "freeze": [{"start": "2026-11-02", "end": "2027-01-04"}],
    ...     }
    ... )
    >>> policy.nodes.recommended_days, policy.freeze[0].exempt
    (56, ('reservation', 'pre_scale'))
    """

    in_place: InPlace | None = None
    """None: the start of the season."""
    freeze: tuple[Freeze, ...] = ()
    nodes: NodeLead = Field(default_factory=NodeLead)
    db_class: DbClassLead = Field(default_factory=DbClassLead)
    quota: QuotaAsk = Field(default_factory=QuotaAsk)
    looks: Looks = Field(default_factory=Looks)
    """Looks at the run rate, before which a part of an order may wait."""


def in_place_by(
    policy: OrdersPolicy, *, event_date: dt.date | None, season_start: dt.date
) -> dt.date:
    """Return the day on which ordered capacity must stand.

    Parameters
    ----------
    policy
        The rules.
    event_date
        The day of `policy.in_place.event` in this season, None where it does not occur.
    season_start
        First day of the season, used where the policy names no event.

    Raises
    ------
    InputError
        When the policy names an event that does not occur.

    Examples
    --------
    >>> policy = OrdersPolicy(in_place=InPlace(event="black_friday", days_before=7))
    >>> str(
    ...     in_place_by(policy, event_date=dt.date(2026, 11, 27), season_start=dt.date(2026, 11, 2))
    ... )
    '2026-11-20'
    """
    if policy.in_place is None:
        return season_start
    if event_date is None:
        raise InputError.of(
            "orders.in_place.event",
            got=f'"{policy.in_place.event}", which does not occur in the season',
            expected="an event day of the calendar inside the season",
            do="Name another event, or add this one to the calendar.",
        )
    return event_date - policy.in_place.days_before * _DAY


def request_by(execute: dt.date, *, notice_business_days: int) -> dt.date:
    """Return the latest weekday that leaves the notice before an execution.

    The notice counts full weekdays strictly between request and execution; a request date on a
    weekend rolls backward. Public holidays count as weekdays.

    Examples
    --------
    >>> str(request_by(dt.date(2026, 11, 1), notice_business_days=10))
    '2026-10-16'
    """
    day = execute
    left = notice_business_days
    while left:
        day -= _DAY
        left -= day.weekday() < _SATURDAY
    if notice_business_days:
        day -= _DAY
    while day.weekday() >= _SATURDAY:
        day -= _DAY
    return day


def _freeze_at(policy: OrdersPolicy, day: dt.date, *, action: Action) -> Freeze | None:
    """Return a freeze that stops an action on a day, else one that exempts it, else None."""
    at = [freeze for freeze in policy.freeze if freeze.start <= day < freeze.end]
    stopping = [freeze for freeze in at if action not in freeze.exempt]
    return next(iter([*stopping, *at]), None)


def freeze_note(
    policy: OrdersPolicy, day: dt.date, *, action: Action, item: str, waiver: str = ""
) -> str:
    """Return what the freeze means for an action on a day, '' outside every freeze."""
    freeze = _freeze_at(policy, day, action=action)
    if freeze is None:
        return ""
    if action in freeze.exempt:
        return f"inside the freeze from {freeze.start}, which exempts it ({action})"
    if waiver:
        return f"inside the freeze from {freeze.start}, by waiver: {waiver}"
    raise InputError.of(
        item,
        got=f"an action ({action}) on {day}, inside the freeze from {freeze.start} to {freeze.end}",
        expected="a day outside the freeze, an exemption or a waiver",
        do=f"Act before {freeze.start}, add {action} to the freeze's exempt list, or state the "
        "waiver.",
    )


def last_open_day(policy: OrdersPolicy, day: dt.date, *, action: Action) -> dt.date:
    """Return the last day, no later than `day`, on which no freeze stops an action."""
    while True:
        freeze = _freeze_at(policy, day, action=action)
        if freeze is None or action in freeze.exempt:
            return day
        day = freeze.start - _DAY
