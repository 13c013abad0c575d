"""The order book: what to ask for, from whom, by when, and how urgent that is as of a date.

This module answers it for nodes, database classes and partners' quotas; nothing reads the clock.
How much to order, and at what price, comes from the plan.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Final, Literal

from capmodel.errors import InputError
from capmodel.orders.rules import OrdersPolicy, freeze_note, last_open_day, request_by

if TYPE_CHECKING:
    from capmodel.schema import Status

__all__ = [
    "ORDER_COLUMNS",
    "ConfigRequest",
    "DbRequest",
    "NodeRequest",
    "Order",
    "QuotaRequest",
    "config_order",
    "db_order",
    "node_order",
    "order_book",
    "quota_order",
]

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
)
"""The columns of the plan's frame `orders`."""

_DAY: Final = dt.timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Order:
    """One row of the order book; dates are local, None where a rule has no such date.

    ``from_value`` and ``to_value`` are the columns `from` and `to`; ``usd`` is the season's bill of
    what is ordered [USD]; ``commit_until`` is the first day on which a commitment may end.
    """

    id: str
    item: str
    kind: Literal["nodes", "db_class", "quota", "config", "storage"]
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
    reason: str
    fallback: str
    commit_until: dt.date | None = None

    def row(self) -> dict[str, object]:
        """Return the order as a row of the frame `orders`: dates as ISO text, '' where none."""
        values: dict[str, object] = {
            "from": self.from_value,
            "to": self.to_value,
            **{c: getattr(self, c) for c in ORDER_COLUMNS if c not in {"from", "to"}},
        }
        for column in ("in_place_by", "request_opens", "recommended_by", "latest_by"):
            date = values[column]
            values[column] = date.isoformat() if isinstance(date, dt.date) else ""
        return {column: values[column] for column in ORDER_COLUMNS}


@dataclass(frozen=True, slots=True)
class NodeRequest:
    """More nodes for a pool: ``vcpu`` of one node, counts today and required, why, and the bill."""

    pool: str
    instance_type: str
    vcpu: int
    today: int
    required: int
    because: str = ""
    usd: Decimal | None = None


@dataclass(frozen=True, slots=True)
class DbRequest:
    """Another class for a database: ``instances`` counts the writer and its readers."""

    database: str
    from_class: str
    to_class: str
    instances: int = 1
    because: str = ""
    fallback: str = ""
    usd: Decimal | None = None


@dataclass(frozen=True, slots=True)
class QuotaRequest:
    """A higher limit of somebody else: values with their unit, and days from request to grant.

    ``of`` says what is raised: a partner's quota, or a limit of the cloud.
    """

    external: str
    from_limit: float
    to_limit: float
    lead_days: int
    unit: str = "rps"
    because: str = ""
    fallback: str = ""
    of: Literal["quota", "limit"] = "quota"


def node_order(
    request: NodeRequest, *, policy: OrdersPolicy, in_place: dt.date, as_of: dt.date
) -> Order | None:
    """Return the order of more nodes: a future-dated reservation, or on demand where it is small.

    The request window opens `earliest_days` before the in-place date; GREEN until the recommended
    day, AMBER from the day after it, RED after the hard latest day. Below the smallest reservation
    the nodes are launched on demand, AMBER because nothing guarantees them.

    Parameters
    ----------
    request
        The pool, its node, and how many stand and are required.
    policy
        Lead times and freezes.
    in_place
        Day on which the nodes must stand, see :func:`capmodel.orders.in_place_by`.
    as_of
        The plan's date.

    Returns
    -------
    Order or None
        None where today's nodes suffice.

    Raises
    ------
    InputError
        When the in-place date lies in a freeze that does not exempt reservations.

    Examples
    --------
    >>> from capmodel.orders import OrdersPolicy
    >>> order = node_order(
    ...     NodeRequest("general", "m6i.4xlarge", vcpu=16, today=24, required=90),
    ...     policy=OrdersPolicy(),
    ...     in_place=dt.date(2026, 11, 20),
    ...     as_of=dt.date(2026, 9, 26),
    ... )
    >>> order.status, order.count, str(order.recommended_by), str(order.latest_by)
    ('AMBER', 66, '2026-09-25', '2026-11-15')
    """
    count = request.required - request.today
    if count <= 0:
        return None
    lead = policy.nodes
    # Nodes come up in the freeze whichever way they are bought.
    frozen = freeze_note(policy, in_place, action="reservation", item=f"pools.{request.pool}")
    if count * request.vcpu < lead.min_vcpu:
        return _on_demand_order(request, policy=policy, in_place=in_place, as_of=as_of)
    opens = in_place - lead.earliest_days * _DAY
    recommended = in_place - lead.recommended_days * _DAY
    latest = in_place - lead.latest_days * _DAY
    until = in_place + lead.min_term_days * _DAY
    status, timing = _window_status(as_of, opens=opens, recommended=recommended, latest=latest)
    return Order(
        id=f"nodes:{request.pool}",
        item=request.pool,
        kind="nodes",
        action=f"reserve {count} more {request.instance_type} for {request.pool}",
        from_value=str(request.today),
        to_value=str(request.required),
        count=count,
        in_place_by=in_place,
        request_opens=opens,
        recommended_by=recommended,
        latest_by=latest,
        status=status,
        usd=request.usd,
        reason=_join(request.because, timing, frozen, f"commitment ends not before {until}"),
        fallback=f"after {latest}: launch on demand, which guarantees no capacity",
        commit_until=until,
    )


def db_order(
    request: DbRequest, *, policy: OrdersPolicy, in_place: dt.date, as_of: dt.date
) -> Order:
    """Return the order of another database class: executed before the freeze, asked for in time.

    GREEN until the latest day that leaves the notice, RED after it.

    Parameters
    ----------
    request
        The database and its classes.
    policy
        Day of execution, notice and freezes.
    in_place
        Day on which the class must stand at the latest.
    as_of
        The plan's date.

    Raises
    ------
    InputError
        When the execution comes after the in-place date, or inside a freeze without an exemption
        or a waiver.

    Examples
    --------
    >>> from capmodel.orders import Freeze, OrdersPolicy
    >>> order = db_order(
    ...     DbRequest("core-db", "db.r6g.4xlarge", "db.r6g.8xlarge"),
    ...     policy=OrdersPolicy(
    ...         freeze=(Freeze(start=dt.date(2026, 11, 2), end=dt.date(2027, 1, 4)),)
    ...     ),
    ...     in_place=dt.date(2026, 11, 20),
    ...     as_of=dt.date(2026, 9, 1),
    ... )
    >>> str(order.in_place_by), str(order.latest_by), order.status
    ('2026-11-01', '2026-10-16', 'GREEN')
    """
    lead = policy.db_class
    execute = lead.execute or last_open_day(policy, in_place, action="db_class")
    where = f"databases.{request.database}"
    if execute > in_place:
        raise InputError.of(
            f"{where}: orders.db_class.execute",
            got=f"{execute}",
            expected=f"no later than {in_place}, when capacity must be in place",
            do="Move the execution forward.",
        )
    frozen = freeze_note(policy, execute, action="db_class", item=where, waiver=lead.waiver)
    latest = request_by(execute, notice_business_days=lead.notice_business_days)
    timing = (
        f"overdue: had to be requested by {latest}"
        if as_of > latest
        else f"request {lead.notice_business_days} business days before {execute}"
    )
    return Order(
        id=f"db_class:{request.database}",
        item=request.database,
        kind="db_class",
        action=f"change {request.database} from {request.from_class} to {request.to_class}",
        from_value=request.from_class,
        to_value=request.to_class,
        count=request.instances,
        in_place_by=execute,
        request_opens=None,
        recommended_by=None,
        latest_by=latest,
        status="RED" if as_of > latest else "GREEN",
        usd=request.usd,
        reason=_join(request.because, timing, frozen),
        fallback=request.fallback,
    )


def quota_order(request: QuotaRequest, *, in_place: dt.date, as_of: dt.date) -> Order:
    """Return the order of a higher quota: asked for `lead_days` before it must stand.

    The change happens at the partner, so no freeze of ours applies. GREEN until the latest day,
    RED after it.

    Examples
    --------
    >>> order = quota_order(
    ...     QuotaRequest("credit-bureau", 80, 126, lead_days=42),
    ...     in_place=dt.date(2026, 11, 20),
    ...     as_of=dt.date(2026, 9, 21),
    ... )
    >>> order.action, str(order.latest_by), order.status
    ('raise the quota of credit-bureau from 80 to 126 rps', '2026-10-09', 'GREEN')
    """
    if request.to_limit <= request.from_limit:
        raise InputError.of(
            f"externals.{request.external}",
            got=f"a quota of {request.to_limit:g} to replace {request.from_limit:g}",
            expected="a higher quota",
            do="Order a quota only where the present one does not hold.",
        )
    latest = in_place - request.lead_days * _DAY
    overdue = as_of > latest
    timing = (
        f"overdue: had to be requested by {latest}"
        if overdue
        else f"{request.lead_days} days from request to grant"
    )
    values = f"{request.from_limit:g}", f"{request.to_limit:g}"
    return Order(
        id=f"quota:{request.external}",
        item=request.external,
        kind="quota",
        action=f"raise the {request.of} of {request.external} from {values[0]} to {values[1]} "
        f"{request.unit}",
        from_value=values[0],
        to_value=values[1],
        count=None,
        in_place_by=in_place,
        request_opens=None,
        recommended_by=None,
        latest_by=latest,
        status="RED" if overdue else "GREEN",
        usd=None,
        reason=_join(request.because, timing),
        fallback=request.fallback,
    )


@dataclass(frozen=True, slots=True)
class ConfigRequest:
    """A changed setting of a service: what it bounds, its value today and the value needed.

    ``database`` is the one that the setting speaks of, '' where it speaks of none.
    """

    service: str
    setting: str
    from_value: str
    to_value: str
    lead_days: int = 0
    because: str = ""
    fallback: str = ""
    database: str = ""
    kind: Literal["config", "storage"] = "config"


def config_order(
    request: ConfigRequest, *, policy: OrdersPolicy, in_place: dt.date, as_of: dt.date
) -> Order:
    """Return the order of a changed setting: deployed on the last day that no freeze stops.

    GREEN until the latest day that leaves the lead time, RED after it.

    Examples
    --------
    >>> from capmodel.orders import Freeze, OrdersPolicy
    >>> order = config_order(
    ...     ConfigRequest("api", "replicas.max", "60", "84"),
    ...     policy=OrdersPolicy(
    ...         freeze=(Freeze(start=dt.date(2026, 11, 2), end=dt.date(2027, 1, 4)),)
    ...     ),
    ...     in_place=dt.date(2026, 11, 20),
    ...     as_of=dt.date(2026, 9, 1),
    ... )
    >>> str(order.in_place_by), order.status, order.action
    ('2026-11-01', 'GREEN', 'change replicas.max of api from 60 to 84')
    """
    execute = last_open_day(policy, in_place, action="config")
    latest = execute - request.lead_days * _DAY
    overdue = as_of > latest
    timing = f"overdue: had to be decided by {latest}" if overdue else f"deployed by {execute}"
    names = [request.service, request.setting, *filter(None, [request.database])]
    on = f" on {request.database}" if request.database else ""
    return Order(
        id=":".join(["config", *names]),
        item=request.service,
        kind=request.kind,
        action=f"change {request.setting} of {request.service}{on} from {request.from_value} to "
        f"{request.to_value}",
        from_value=request.from_value,
        to_value=request.to_value,
        count=None,
        in_place_by=execute,
        request_opens=None,
        recommended_by=None,
        latest_by=latest,
        status="RED" if overdue else "GREEN",
        usd=None,
        reason=_join(request.because, timing),
        fallback=request.fallback,
    )


def order_book(orders: Sequence[Order]) -> tuple[Order, ...]:
    """Return orders in the order in which they fall due."""
    return tuple(sorted(orders, key=lambda order: (order.latest_by, order.id)))


def _on_demand_order(
    request: NodeRequest, *, policy: OrdersPolicy, in_place: dt.date, as_of: dt.date
) -> Order:
    count = request.required - request.today
    vcpu = count * request.vcpu
    late = as_of > in_place
    return Order(
        id=f"nodes:{request.pool}",
        item=request.pool,
        kind="nodes",
        action=f"launch {count} more {request.instance_type} for {request.pool} on demand",
        from_value=str(request.today),
        to_value=str(request.required),
        count=count,
        in_place_by=in_place,
        request_opens=None,
        recommended_by=None,
        latest_by=in_place,
        status="RED" if late else "AMBER",
        usd=request.usd,
        reason=_join(
            request.because,
            f"a reservation of {vcpu} vCPU is rejected: the smallest is "
            f"{policy.nodes.min_vcpu} vCPU",
            f"overdue: had to stand by {in_place}" if late else "",
        ),
        fallback="on demand, which guarantees no capacity",
    )


def _window_status(
    as_of: dt.date, *, opens: dt.date, recommended: dt.date, latest: dt.date
) -> tuple[Status, str]:
    if as_of > latest:
        return "RED", f"overdue: the hard latest request was {latest}"
    if as_of > recommended:
        return "AMBER", f"inside recommended lead: was due by {recommended}"
    if as_of < opens:
        return "GREEN", f"request window opens {opens}"
    return "GREEN", f"request window open since {opens}"


def _join(*parts: str) -> str:
    return "; ".join(part for part in parts if part)
