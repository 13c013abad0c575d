"""Lead-time rules as data: when each kind of thing can be asked for, and who says so.

This module answers: from an in-place date, when does the window to ask open, by when should one
ask, when is it too late, and how long is one bound? Days count back from the day on which the thing
must stand; business days are full ones strictly between.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal, Self

from pydantic import Field, model_validator

from capmodel.orders.calendar import request_by
from capmodel.orders.spec import Action, Days, Spec, Weekday

__all__ = ["LEAD_TIMES", "AskDates", "LeadTime", "LeadTimeChange", "RuleName", "ask_dates"]

RuleName = Literal[
    "ec2_reservation",
    "db_reservation",
    "db_class",
    "quota",
    "event_review",
    "load_balancer_units",
    "config",
    "load_test",
]
"""The built-in rules."""

_DAY: Final = dt.timedelta(days=1)
_HOURS = r"^([01]\d|2[0-3]):[0-5]\d-([01]\d|2[0-3]):[0-5]\d$"


class LeadTime(Spec):
    """One rule: when a kind of thing can be asked for."""

    name: RuleName
    what: str
    """What is asked for, in words."""
    before: Literal["in_place", "event"] = "in_place"
    """What the days count back from: the day on which it must stand, or the event itself."""
    earliest_days: Days | None = None
    """The window to ask opens [days before]; None: any time."""
    recommended_days: Days | None = None
    """Recommended day to ask [days before]; None: the latest."""
    latest_days: Days = 0
    """Hard latest day to ask [days before]."""
    days: Literal["calendar", "business"] = "calendar"
    """How the days are counted; business days are full ones strictly between."""
    min_term_days: Days | None = None
    """Shortest commitment, counted from the in-place date [days]; None: none."""
    min_vcpu: Annotated[int, Field(ge=1)] | None = None
    """Smallest request [vCPU, per zone where `per_zone`]; None: any size."""
    per_zone: bool = False
    """Whether `min_vcpu` counts one zone."""
    weekdays: tuple[Weekday, ...] = ()
    """Days of the week with a window; empty: every day."""
    hours: Annotated[str, Field(pattern=_HOURS)] | None = None
    """The window's local hours, say ``02:00-04:00``; None: any."""
    action: Action | None = None
    """What a freeze may stop; None: nothing happens on our side."""
    source: Annotated[str, Field(min_length=1)]
    as_of: dt.date
    """Date of the source, or of its reading where it bears none."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        days = [self.latest_days, self.recommended_days, self.earliest_days]
        given = [d for d in days if d is not None]
        if given != sorted(given):
            msg = (
                f"latest_days {self.latest_days}, recommended_days {self.recommended_days} and "
                f"earliest_days {self.earliest_days} are not in ascending order"
            )
            raise ValueError(msg)
        return self

    def changed(self, fields: dict[str, Any]) -> LeadTime:
        """Return the rule with other fields, checked again."""
        return LeadTime.model_validate(self.model_dump() | fields)


class LeadTimeChange(Spec):
    """Fields of a rule that a study states itself; those left out stay as they are."""

    earliest_days: Days | None = None
    recommended_days: Days | None = None
    latest_days: Days | None = None
    days: Literal["calendar", "business"] | None = None
    min_term_days: Days | None = None
    min_vcpu: Annotated[int, Field(ge=1)] | None = None
    weekdays: tuple[Weekday, ...] | None = None
    hours: Annotated[str, Field(pattern=_HOURS)] | None = None
    source: Annotated[str, Field(min_length=1)] = "the study"
    as_of: dt.date | None = None

    def fields(self) -> dict[str, Any]:
        """Return what is stated."""
        stated = self.model_dump(exclude_none=True, exclude={"source"})
        return stated | {"source": self.source}


_READ: Final = dt.date(2026, 11, 23)
_EC2: Final = (
    "botocore 1.44.5 EC2 2016-11-15 CreateCapacityReservationRequest (5 to 120 days, 32 vCPU); "
    "Amazon EC2 User Guide, future-dated Capacity Reservations (56 days recommended, 14 days)"
)
_RDS: Final = (
    "botocore 1.44.5 RDS 2014-10-31 CreateDBCapacityReservationRequest (5 to 120 days, 14 days; "
    "84 days for db.x classes); Amazon RDS User Guide, DB capacity reservations (32 vCPU per zone)"
)

LEAD_TIMES: Final[tuple[LeadTime, ...]] = (
    LeadTime(
        name="ec2_reservation", what="future-dated EC2 capacity reservation", earliest_days=120,
        recommended_days=56, latest_days=5, min_term_days=14, min_vcpu=32, action="reservation",
        source=_EC2, as_of=_READ,
    ),
    LeadTime(
        name="db_reservation", what="future-dated RDS or Aurora capacity reservation",
        earliest_days=120, latest_days=5, min_term_days=14, min_vcpu=32, per_zone=True,
        action="reservation", source=_RDS, as_of=_READ,
    ),
    LeadTime(
        name="db_class", what="database class change in a maintenance window", latest_days=10,
        days="business", action="db_class",
        source="assumed: two working weeks of notice; state your own change process", as_of=_READ,
    ),
    LeadTime(
        name="quota", what="higher quota of a partner or of the cloud",
        source="the limit's own lead_days: the topology's, else the catalog's, else none known",
        as_of=_READ,
    ),
    LeadTime(
        name="event_review", what="the provider's review of the event", before="event",
        earliest_days=56, recommended_days=56, latest_days=28,
        source="assumed: such programmes ask for 4 to 8 weeks before the event; ask your provider",
        as_of=_READ,
    ),
    LeadTime(
        name="load_balancer_units", what="load-balancer capacity units", before="event",
        recommended_days=14, latest_days=1, action="pre_scale",
        source="Elastic Load Balancing User Guide, capacity reservations (minutes to hours; two "
        "decreases a day); two weeks before the event is a house rule", as_of=_READ,
    ),
    LeadTime(
        name="config", what="deployed change of a setting", action="config",
        source="the change's own lead_days, else none", as_of=_READ,
    ),
    LeadTime(
        name="load_test", what="load test against the season's target", before="event",
        earliest_days=84, recommended_days=84, latest_days=42,
        source="assumed: rolling tests from twelve to six weeks before the event leave time to "
        "mend what they find", as_of=_READ,
    ),
)  # fmt: skip
"""The built-in rules; a study's `orders.rules` changes fields of them by name."""


@dataclass(frozen=True, slots=True)
class AskDates:
    """When to ask for something that must stand on a day; None where the rule has no such date."""

    stands: dt.date
    opens: dt.date | None
    recommended: dt.date | None
    latest: dt.date
    commit_until: dt.date | None


def ask_dates(
    rule: LeadTime, stands: dt.date, *, holidays: Collection[dt.date] = frozenset()
) -> AskDates:
    """Return when to ask, counted back from the day on which the thing must stand.

    Parameters
    ----------
    rule
        The lead times.
    stands
        Day on which it must stand, or execute.
    holidays
        Days that are no business days; used where the rule counts those.

    Examples
    --------
    >>> found = ask_dates(LEAD_TIMES[0], dt.date(2026, 11, 20))
    >>> str(found.opens), str(found.recommended), str(found.latest), str(found.commit_until)
    ('2026-07-23', '2026-09-25', '2026-11-15', '2026-12-04')
    """

    def back(days: int | None) -> dt.date | None:
        if days is None:
            return None
        if rule.days == "business":
            return request_by(stands, notice_business_days=days, holidays=holidays)
        return stands - days * _DAY

    latest = back(rule.latest_days)
    return AskDates(
        stands=stands,
        opens=back(rule.earliest_days),
        recommended=back(rule.recommended_days),
        latest=stands if latest is None else latest,
        commit_until=None if rule.min_term_days is None else stands + rule.min_term_days * _DAY,
    )
