"""The order book: what to ask for, from whom, by when, and how urgent that is as of a date.

This module answers it for nodes, database classes, settings and partners' quotas; nothing reads the
clock. How much to order, and at what price, comes from the plan.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import TYPE_CHECKING, Final, Literal

from capmodel.errors import InputError
from capmodel.orders.calendar import freeze_note, last_open_day
from capmodel.orders.lead_times import AskDates, LeadTime, ask_dates
from capmodel.orders.order import Order
from capmodel.orders.rules import OrdersPolicy
from capmodel.orders.spec import WEEKDAYS
from capmodel.orders.status import order_status

if TYPE_CHECKING:
    from capmodel.orders.rules import Placed

__all__ = [
    "ConfigRequest",
    "DbRequest",
    "NodeRequest",
    "QuotaRequest",
    "check_execution",
    "config_order",
    "dates_of",
    "db_order",
    "node_order",
    "order_book",
    "quota_order",
    "stated",
]

_DAY: Final = dt.timedelta(days=1)
_HOLIDAYS_BACK: Final = dt.timedelta(days=400)


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


def dates_of(policy: OrdersPolicy, rule: LeadTime, stands: dt.date) -> AskDates:
    """Return when to ask for what must stand on a day, with the policy's public holidays."""
    off = policy.holidays
    held = frozenset[dt.date]() if off is None else off.between(stands - _HOLIDAYS_BACK, stands)
    return ask_dates(rule, stands, holidays=held)


def stated(order: Order, step: Placed | None, *, as_of: dt.date) -> Order:
    """Return an order with what was last done about it, and with its status on a date."""
    status, timing = order_status(order.row(), step, as_of=as_of)
    return replace(
        order,
        status=status,
        timing=timing,
        state="planned" if step is None else step.state,
        state_on=None if step is None else step.date,
        placed_count=None if step is None else step.count,
    )


def node_order(
    request: NodeRequest, *, policy: OrdersPolicy, in_place: dt.date, as_of: dt.date
) -> Order | None:
    """Return the order of more nodes: a future-dated reservation, or on demand where it is small.

    The request window opens `earliest_days` before the in-place date; GREEN until the recommended
    day, AMBER from the day after it, RED after the hard latest day. Below the smallest reservation
    the nodes are launched on demand, AMBER because nothing guarantees them. An ``open`` reservation
    is filled by the running nodes first, so ``today + count`` are written into it to guarantee
    `count` more; a ``targeted`` one comes on top of what runs.

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
    # Nodes come up in the freeze whichever way they are bought.
    frozen = freeze_note(
        policy.freeze, in_place, action="reservation", item=f"nodes:{request.pool}",
        where=f"pools.{request.pool}", waivers=policy.waivers,
    )  # fmt: skip
    rule = policy.lead("ec2_reservation")
    vcpu = count * request.vcpu
    small = vcpu < policy.nodes.min_vcpu
    dates = dates_of(policy, _on_demand(rule) if small else rule, in_place)
    what = f"{count} more {request.instance_type} for {request.pool}"
    order = Order(
        id=f"nodes:{request.pool}",
        item=request.pool,
        kind="nodes",
        action=f"launch {what} on demand" if small else f"reserve {what}",
        from_value=str(request.today),
        to_value=str(request.required),
        count=count,
        in_place_by=in_place,
        request_opens=dates.opens,
        recommended_by=dates.recommended,
        latest_by=dates.latest,
        status="GREEN",
        usd=request.usd,
        because=request.because,
        fallback="on demand, which guarantees no capacity",
        notes=frozen,
        rule=rule,
    )
    order = _too_small(order, vcpu, policy) if small else _reserved(order, request, policy)
    return stated(order, None, as_of=as_of)


def _on_demand(rule: LeadTime) -> LeadTime:
    """Return the lead times of what is launched on the day, without a reservation."""
    none = dict.fromkeys(("earliest_days", "recommended_days", "min_term_days", "min_vcpu"))
    return rule.changed({**none, "latest_days": 0})


def _too_small(order: Order, vcpu: int, policy: OrdersPolicy) -> Order:
    least = policy.nodes.min_vcpu
    rejected = f"a reservation of {vcpu} vCPU is rejected: the smallest is {least} vCPU"
    rule = None if order.rule is None else _on_demand(order.rule)
    return replace(order, notes=rejected, least_status="AMBER", rule=rule)


def _reserved(order: Order, request: NodeRequest, policy: OrdersPolicy) -> Order:
    """Return an order as a reservation: which number to write into it, and its way out."""
    count = order.count or 0
    which, total = "", count
    if policy.nodes.match == "open":
        total = request.today + count
        which = (
            f"open: the {request.today} running fill it first, so reserve {total} to guarantee "
            f"{count} more"
        )
    return replace(
        order,
        notes=_join(order.notes, which),
        match=policy.nodes.match,
        reserve_total=total,
        commit_until=order.in_place_by + policy.nodes.min_term_days * _DAY,
        fallback=f"after {order.latest_by}: launch {order.fallback}",
        fallback_by=order.latest_by,
        fallback_latest=order.in_place_by,
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
        When the execution comes after the in-place date, outside the maintenance window's days of
        the week, or inside a freeze without an exemption or a waiver.

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
    rule = policy.lead("db_class")
    name = f"db_class:{request.database}"
    execute = policy.db_class.execute or last_open_day(
        policy.freeze, in_place, action="db_class", weekdays=rule.weekdays
    )
    check_execution(rule, execute, in_place, where=f"{name}: orders.db_class.execute")
    frozen = freeze_note(
        policy.freeze, execute, action="db_class", item=name,
        where=f"databases.{request.database}", waivers=(*policy.waivers, *policy.db_class.waivers),
    )  # fmt: skip
    dates = dates_of(policy, rule, execute)
    hours = f"window {rule.hours}" if rule.hours else ""
    other = _config_day(policy, in_place)
    order = Order(
        id=name,
        item=request.database,
        kind="db_class",
        action=f"change {request.database} from {request.from_class} to {request.to_class}",
        from_value=request.from_class,
        to_value=request.to_class,
        count=request.instances,
        in_place_by=execute,
        request_opens=dates.opens,
        recommended_by=dates.recommended,
        latest_by=dates.latest,
        status="GREEN",
        usd=request.usd,
        because=request.because,
        fallback=request.fallback,
        notes=_join(f"{rule.latest_days} {rule.days} days before {execute}", hours, frozen),
        fallback_by=min(dates.latest, other) if request.fallback else None,
        fallback_latest=other if request.fallback else None,
        rule=rule,
    )
    return stated(order, None, as_of=as_of)


def check_execution(rule: LeadTime, execute: dt.date, in_place: dt.date, *, where: str) -> None:
    """Refuse an execution after the in-place date, or on a day of the week without a window."""
    if execute > in_place:
        raise InputError.of(
            where,
            got=f"{execute}",
            expected=f"no later than {in_place}, when capacity must be in place",
            do="Move the execution forward.",
        )
    if rule.weekdays and WEEKDAYS[execute.weekday()] not in rule.weekdays:
        raise InputError.of(
            where,
            got=f"{execute}, a {WEEKDAYS[execute.weekday()]}",
            expected=f"a day with a window: {', '.join(rule.weekdays)}",
            do="Move the execution into a window.",
        )


def _config_day(policy: OrdersPolicy, in_place: dt.date) -> dt.date:
    """Return the last day on which a setting can still be deployed: where fallbacks end."""
    return last_open_day(
        policy.freeze, in_place, action="config", weekdays=policy.lead("config").weekdays
    )


def quota_order(
    request: QuotaRequest,
    *,
    in_place: dt.date,
    as_of: dt.date,
    policy: OrdersPolicy | None = None,
) -> Order:
    """Return the order of a higher quota: asked for `lead_days` before it must stand.

    The change happens at the partner, so no freeze of ours applies to it; its fallback is a setting
    of ours, which a freeze does stop. GREEN until the latest day, RED after it.

    Parameters
    ----------
    request
        The limit today and asked for, and the days that it takes.
    in_place
        Day on which it must stand.
    as_of
        The plan's date.
    policy
        Freezes and changes of the rule; None: the built-in rule, no freeze.

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
    policy = policy or OrdersPolicy()
    rule = _with_lead(policy.lead("quota"), request.lead_days)
    dates = dates_of(policy, rule, in_place)
    other = _config_day(policy, in_place)
    values = f"{request.from_limit:g}", f"{request.to_limit:g}"
    order = Order(
        id=f"quota:{request.external}",
        item=request.external,
        kind="quota",
        action=f"raise the {request.of} of {request.external} from {values[0]} to {values[1]} "
        f"{request.unit}",
        from_value=values[0],
        to_value=values[1],
        count=None,
        in_place_by=in_place,
        request_opens=dates.opens,
        recommended_by=dates.recommended,
        latest_by=dates.latest,
        status="GREEN",
        usd=None,
        because=request.because,
        fallback=request.fallback,
        notes=f"{rule.latest_days} {_day_words(rule)} from request to grant",
        fallback_by=other if request.fallback else None,
        fallback_latest=other if request.fallback else None,
        rule=rule,
    )
    return stated(order, None, as_of=as_of)


def _day_words(rule: LeadTime) -> str:
    return "business days" if rule.days == "business" else "days"


def _with_lead(rule: LeadTime, lead_days: int) -> LeadTime:
    """Return a rule with the thing's own days, which are longer or known where the rule's are."""
    latest = max(rule.latest_days, lead_days)
    bounds = {
        name: max(days, latest)
        for name in ("recommended_days", "earliest_days")
        if (days := getattr(rule, name)) is not None
    }
    return rule.changed({"latest_days": latest, **bounds})


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
    execute = _config_day(policy, in_place)
    rule = _with_lead(policy.lead("config"), request.lead_days)
    dates = dates_of(policy, rule, execute)
    names = [request.service, request.setting, *filter(None, [request.database])]
    on = f" on {request.database}" if request.database else ""
    order = Order(
        id=":".join(["config", *names]),
        item=request.service,
        kind=request.kind,
        action=f"change {request.setting} of {request.service}{on} from {request.from_value} to "
        f"{request.to_value}",
        from_value=request.from_value,
        to_value=request.to_value,
        count=None,
        in_place_by=execute,
        request_opens=dates.opens,
        recommended_by=dates.recommended,
        latest_by=dates.latest,
        status="GREEN",
        usd=None,
        because=request.because,
        fallback=request.fallback,
        notes=f"deployed by {execute}",
        fallback_by=dates.latest if request.fallback else None,
        fallback_latest=execute if request.fallback else None,
        rule=rule,
    )
    return stated(order, None, as_of=as_of)


def order_book(orders: Sequence[Order]) -> tuple[Order, ...]:
    """Return orders in the order in which they fall due."""
    return tuple(sorted(orders, key=lambda order: (order.latest_by, order.id)))


def _join(*parts: str) -> str:
    return "; ".join(part for part in parts if part)
