"""The policy of ordering: lead times, freezes, waivers, and what was placed already.

This module answers: by when must capacity stand, which rules apply, and does the section `orders`
of a study contradict itself? Dates are local; it knows no quantities.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from itertools import pairwise
from typing import Annotated, Any, Final, Literal, Self

from pydantic import Field, model_validator

from capmodel.errors import InputError
from capmodel.orders.calendar import Freeze, PublicHolidays, Waiver
from capmodel.orders.lead_times import LEAD_TIMES, LeadTime, LeadTimeChange, RuleName
from capmodel.orders.load_tests import LoadTest, LoadTestPolicy
from capmodel.orders.looks import Looks
from capmodel.orders.spec import Days, Spec

__all__ = [
    "DbClassLead",
    "DeclaredOrder",
    "Fallback",
    "InPlace",
    "Match",
    "NodeLead",
    "OrdersPolicy",
    "Placed",
    "QuotaAsk",
    "ReleasePolicy",
    "State",
    "in_place_by",
    "placed_at",
]

Match = Literal["open", "targeted"]
"""Which instances a reservation takes: any that match, the running ones first; or those that name
it."""

State = Literal["planned", "requested", "granted", "in_place", "released", "cancelled"]
"""What has become of an order."""

_DAY: Final = dt.timedelta(days=1)
_STEPS: Final[Mapping[str, int]] = {"requested": 1, "granted": 2, "in_place": 3, "released": 4}


class InPlace(Spec):
    """When capacity must stand: days before an event."""

    event: str
    """Name of an event day, for example `black_friday`."""
    days_before: Days = 7
    """Days between the capacity standing and the event [days]."""


class NodeLead(Spec):
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
    match: Match = "targeted"
    """Which instances take it. EC2 dates ahead only `targeted` reservations; an `open` one is
    filled by running instances first."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if not self.latest_days <= self.recommended_days <= self.earliest_days:
            msg = (
                f"latest_days {self.latest_days}, recommended_days {self.recommended_days} and "
                f"earliest_days {self.earliest_days} are not in ascending order"
            )
            raise ValueError(msg)
        return self


class DbClassLead(Spec):
    """The rules of a database's class change."""

    execute: dt.date | None = None
    """Day of the change; None: the last day outside every freeze, no later than in place."""
    notice_business_days: Days = 10
    """Full weekdays strictly between request and execution [days]."""
    waiver: str = ""
    """Who allowed a change inside a freeze, and why; '' for none. `waivers` of the section have an
    end."""

    @property
    def waivers(self) -> tuple[Waiver, ...]:
        """The waiver in words, without an end."""
        if not self.waiver:
            return ()
        who, _, why = self.waiver.partition(", ")
        reason = why or "no reason stated"
        return (Waiver(id=who, until=dt.date.max, reason=reason, actions=("db_class",)),)


class QuotaAsk(Spec):
    """How much of somebody else's limit is asked for."""

    ask_x: Annotated[float, Field(ge=1)] = 1.5
    """Asked for / P50 of the likeliest scenario, at least: a request takes weeks and costs nothing
    [ratio]."""


class Placed(Spec):
    """One step of an order that was really taken."""

    id: Annotated[str, Field(min_length=1)]
    """The order, as the book names it, say ``nodes:general``."""
    state: Literal["requested", "granted", "in_place", "released", "cancelled"]
    date: dt.date
    """Local day of the step."""
    count: Annotated[int, Field(ge=1)] | None = None
    """How many it was for; None: all that the plan asks."""


class Fallback(Spec):
    """What is done where the answer is no, or none."""

    action: Annotated[str, Field(min_length=1)]
    by: dt.date
    """The day until which an answer is waited for."""
    latest: dt.date
    """The last day on which the fallback can still be carried out."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.latest < self.by:
            msg = f"latest {self.latest} is before by {self.by}"
            raise ValueError(msg)
        return self


class DeclaredOrder(Spec):
    """An order that no limit asks for: a review, load-balancer units, a database reservation."""

    id: Annotated[str, Field(min_length=1)]
    rule: RuleName
    """Whose lead times apply."""
    item: Annotated[str, Field(min_length=1)]
    """What it is for."""
    action: Annotated[str, Field(min_length=1)]
    """What is asked for, in words."""
    execute: dt.date | None = None
    """Day on which it stands or happens; None: in place, or the event where the rule counts from
    it, outside of every freeze that stops it."""
    count: Annotated[int, Field(ge=1)] | None = None
    vcpu: Annotated[int, Field(ge=1)] | None = None
    """Size of a reservation, per zone for a database's [vCPU]."""
    depends_on: tuple[str, ...] = ()
    """Orders that must be done before this one can be asked for, by id."""


class ReleasePolicy(Spec):
    """How capacity is given back after the season's events."""

    every_days: Annotated[int, Field(ge=1)] = 7
    """Days between two stages: one change at a time, each with a look at what it did [days]."""


class OrdersPolicy(Spec):
    """Lead times, freezes, waivers and what was placed: the section `orders` of a study.

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
    >>> policy.lead("db_class").latest_days, policy.lead("db_class").days
    (10, 'business')
    """

    in_place: InPlace | None = None
    """None: the start of the season."""
    freeze: tuple[Freeze, ...] = ()
    waivers: tuple[Waiver, ...] = ()
    """Leave to act inside a freeze."""
    nodes: NodeLead = Field(default_factory=NodeLead)
    db_class: DbClassLead = Field(default_factory=DbClassLead)
    quota: QuotaAsk = Field(default_factory=QuotaAsk)
    rules: dict[RuleName, LeadTimeChange] = Field(default_factory=dict)
    """Fields of the built-in lead times that are other here, by rule."""
    holidays: PublicHolidays | None = None
    """Public holidays that are no business days; None: they count as weekdays."""
    placed: tuple[Placed, ...] = ()
    """What was done already."""
    declared: tuple[DeclaredOrder, ...] = ()
    """Orders beside those that the plan derives."""
    depends_on: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    """Order to those that must be done before it can be asked for, beside what is derived."""
    fallbacks: dict[str, Fallback] = Field(default_factory=dict)
    """By order: what is done where the answer is no."""
    release: ReleasePolicy = Field(default_factory=ReleasePolicy)
    load_tests: tuple[LoadTest, ...] = ()
    """Evidence that services reach what the season asks."""
    load_test: LoadTestPolicy = Field(default_factory=LoadTestPolicy)
    """What a load test has to show."""
    looks: Looks = Field(default_factory=Looks)
    """Looks at the run rate, before which a part of an order may wait."""

    @model_validator(mode="before")
    @classmethod
    def _rules_of_sections(cls, data: Any) -> Any:
        """Take over into `nodes` and `db_class` what `rules` says of them."""
        if not isinstance(data, Mapping) or not isinstance(data.get("rules"), Mapping):
            return data
        merged = dict(data)
        for rule, section, names in _SECTIONS:
            change, own = _stated(data["rules"].get(rule)), _stated(data.get(section, {}))
            stated = {own: change[n] for n, own in names.items() if change.get(n) is not None}
            for name, value in stated.items():
                if own.get(name, value) != value:
                    msg = f"rules.{rule} says {value}, {section}.{name} {own[name]}: state it once"
                    raise ValueError(msg)
            if stated:
                merged[section] = {**own, **stated}
        return merged

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        ids = [order.id for order in self.declared]
        twice = sorted({i for i in ids if ids.count(i) > 1})
        if twice:
            msg = f"declared: {', '.join(twice)} more than once"
            raise ValueError(msg)
        for rule in self.rules:
            self.lead(rule)
        for name in dict.fromkeys(step.id for step in self.placed):
            _check_steps(name, [step for step in self.placed if step.id == name])
        return self

    def lead(self, name: RuleName) -> LeadTime:
        """Return a rule with this policy's changes.

        Examples
        --------
        >>> policy = OrdersPolicy.model_validate({"rules": {"event_review": {"latest_days": 35}}})
        >>> policy.lead("event_review").latest_days, policy.lead("event_review").source
        (35, 'the study')
        """
        rule = next(rule for rule in LEAD_TIMES if rule.name == name)
        fields: dict[str, Any] = {}
        for of, section, names in _SECTIONS:
            if of == name:
                fields = {n: getattr(getattr(self, section), own) for n, own in names.items()}
        if name in self.rules:
            fields |= self.rules[name].fields()
        elif any(getattr(rule, key) != value for key, value in fields.items()):
            fields["source"] = "the study"
        return rule.changed(fields)


_NODE_FIELDS: Final = (
    "latest_days", "recommended_days", "earliest_days", "min_term_days", "min_vcpu",
)  # fmt: skip
_SECTIONS: Final[tuple[tuple[RuleName, str, Mapping[str, str]], ...]] = (
    (
        "ec2_reservation",
        "nodes",
        dict(zip(_NODE_FIELDS, _NODE_FIELDS, strict=True)),
    ),
    ("db_class", "db_class", {"latest_days": "notice_business_days"}),
)
"""Sections that hold fields of a rule: the rule, the section, and the fields by their names."""


def _stated(section: Any) -> dict[str, Any]:
    """Return the fields that a section states; what is no section is left to its own check."""
    if isinstance(section, Spec):
        return section.model_dump(exclude_unset=True)
    return dict(section) if isinstance(section, Mapping) else {}


def _check_steps(name: str, steps: list[Placed]) -> None:
    """Refuse steps of one order that are not in the order in which they can happen."""
    for earlier, later in pairwise(steps):
        backward = _STEPS.get(later.state, 0) <= _STEPS.get(earlier.state, 0)
        started = later.state == "cancelled" or earlier.state == "cancelled"
        if later.date < earlier.date or (backward and not started):
            msg = (
                f"placed: {name} is {later.state} on {later.date} after {earlier.state} on "
                f"{earlier.date}; list its steps in the order in which they happened"
            )
            raise ValueError(msg)


def placed_at(policy: OrdersPolicy, order: str, as_of: dt.date) -> Placed | None:
    """Return the last step of an order that was taken by a date, None for none.

    Examples
    --------
    >>> steps = [
    ...     {"id": "nodes:general", "state": "requested", "date": "2026-09-14"},
    ...     {"id": "nodes:general", "state": "granted", "date": "2026-09-18"},
    ... ]
    >>> policy = OrdersPolicy.model_validate({"placed": steps})
    >>> step = placed_at(policy, "nodes:general", dt.date(2026, 9, 15))
    >>> step.state, placed_at(policy, "nodes:general", dt.date(2026, 9, 1))
    ('requested', None)
    """
    steps = [step for step in policy.placed if step.id == order and step.date <= as_of]
    return steps[-1] if steps else None


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
