"""One order: what is asked for, when, what has become of it, and what happens otherwise."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from capmodel.orders.lead_times import LeadTime
    from capmodel.orders.rules import Match, State
    from capmodel.schema import Status

__all__ = ["ORDER_COLUMNS", "Kind", "Order"]

Kind = Literal[
    "nodes",
    "db_class",
    "quota",
    "config",
    "storage",
    "db_reservation",
    "event_review",
    "load_balancer_units",
    "load_test",
]
"""What is asked for."""

ORDER_COLUMNS: Final = (
    "id",
    "item",
    "kind",
    "action",
    "from",
    "to",
    "count",
    "in_place_by",
    "request_opens",
    "recommended_by",
    "latest_by",
    "status",
    "usd",
    "reason",
    "fallback",
    "state",
    "state_on",
    "placed_count",
    "match",
    "reserve_total",
    "depends_on",
    "fallback_by",
    "fallback_latest",
    "commit_until",
    "release_on",
    "timing",
    "least_status",
)
"""The columns of the plan's frame `orders`."""

_DATES: Final = (
    "in_place_by", "request_opens", "recommended_by", "latest_by", "state_on", "fallback_by",
    "fallback_latest", "commit_until", "release_on",
)  # fmt: skip
_RENAMED: Final = {"from": "from_value", "to": "to_value"}


@dataclass(frozen=True, slots=True)
class Order:
    """One row of the order book; dates are local, None where a rule has no such date.

    ``from_value`` and ``to_value`` are the columns `from` and `to`; ``usd`` is the season's bill of
    what is ordered [USD].
    """

    id: str
    item: str
    kind: Kind
    action: str
    from_value: str
    to_value: str
    count: int | None
    in_place_by: dt.date
    request_opens: dt.date | None
    recommended_by: dt.date | None
    latest_by: dt.date
    status: Status
    usd: Decimal | None
    because: str
    """Why it is needed."""
    fallback: str
    commit_until: dt.date | None = None
    """First day on which a commitment may end."""
    state: State = "planned"
    state_on: dt.date | None = None
    """Day of that state."""
    placed_count: int | None = None
    """How many were asked for already; None: all, or not counted."""
    match: Match | Literal[""] = ""
    """Which instances a reservation takes, '' for what is none."""
    reserve_total: int | None = None
    """Instances to write into the reservation, so that `count` more are guaranteed."""
    depends_on: tuple[str, ...] = ()
    """Orders that must be done before this one can be asked for."""
    fallback_by: dt.date | None = None
    """The day until which an answer is waited for."""
    fallback_latest: dt.date | None = None
    """Last day on which the fallback can still be carried out."""
    release_on: dt.date | None = None
    """First day on which some of it may be given back."""
    timing: str = ""
    """What the status says of the dates."""
    notes: str = ""
    """What else there is to know: notice, freezes, waivers, which number to reserve."""
    least_status: Status = "GREEN"
    """The status that no date improves."""
    rule: LeadTime | None = None
    """The lead times that its dates follow from."""

    @property
    def reason(self) -> str:
        """Why it is needed, how its dates stand, and what else there is to know."""
        until = self.commit_until
        bound = f"commitment ends not before {until}" if until else ""
        return "; ".join(filter(None, [self.because, self.timing, self.notes, bound]))

    def row(self) -> dict[str, object]:
        """Return the order as a row of the frame `orders`: dates as ISO text, '' where none."""
        values = {c: getattr(self, _RENAMED.get(c, c)) for c in ORDER_COLUMNS}
        for column in _DATES:
            date = values[column]
            values[column] = date.isoformat() if isinstance(date, dt.date) else ""
        values["depends_on"] = ", ".join(self.depends_on)
        return values
