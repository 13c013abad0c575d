"""Orders that a study declares: reviews, load-balancer units, reservations of databases.

This module answers: under a rule's lead times, when is an order due that no limit asks for, and is
it large enough and outside of the freeze?
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Final

from capmodel.errors import InputError
from capmodel.orders.book import check_execution, dates_of, stated
from capmodel.orders.calendar import freeze_note, last_open_day
from capmodel.orders.order import Kind, Order

if TYPE_CHECKING:
    from capmodel.orders.lead_times import LeadTime, RuleName
    from capmodel.orders.rules import DeclaredOrder, OrdersPolicy

__all__ = ["declared_order"]

_KINDS: Final[dict[RuleName, Kind]] = {
    "ec2_reservation": "nodes",
    "db_reservation": "db_reservation",
    "db_class": "db_class",
    "quota": "quota",
    "event_review": "event_review",
    "load_balancer_units": "load_balancer_units",
    "config": "config",
    "load_test": "load_test",
}


def declared_order(
    declared: DeclaredOrder,
    *,
    policy: OrdersPolicy,
    in_place: dt.date,
    event: dt.date,
    as_of: dt.date,
) -> Order:
    """Return an order that the study declares, under the lead times of its rule.

    Parameters
    ----------
    declared
        What is asked for.
    policy
        Lead times, freezes and waivers.
    in_place, event
        Days that rules count back from.
    as_of
        The plan's date.

    Raises
    ------
    InputError
        For a reservation that is smaller than its rule allows, and for an execution inside a freeze
        that neither exempts it nor is waived.

    Examples
    --------
    >>> from capmodel.orders import DeclaredOrder, OrdersPolicy
    >>> review = DeclaredOrder(
    ...     id="review", rule="event_review", item="AWS", action="book the event review"
    ... )
    >>> order = declared_order(
    ...     review,
    ...     policy=OrdersPolicy(),
    ...     in_place=dt.date(2026, 11, 20),
    ...     event=dt.date(2026, 11, 27),
    ...     as_of=dt.date(2026, 9, 21),
    ... )
    >>> str(order.recommended_by), str(order.latest_by), order.status
    ('2026-10-02', '2026-10-30', 'GREEN')
    """
    where = f"orders.declared.{declared.id}"
    rule = policy.lead(declared.rule)
    _check_size(declared, rule, where=where)
    stands, frozen = declared.execute, ""
    if stands is None:
        stands = in_place if rule.before == "in_place" else event
        if rule.action in {"db_class", "config"}:
            stands = last_open_day(
                policy.freeze, stands, action=rule.action, weekdays=rule.weekdays
            )
    elif rule.action in {"db_class", "config"}:
        check_execution(rule, stands, in_place, where=where)
    if rule.action is not None:
        frozen = freeze_note(
            policy.freeze, stands, action=rule.action, item=declared.id, waivers=policy.waivers
        )
    dates = dates_of(policy, rule, stands)
    order = Order(
        id=declared.id,
        item=declared.item,
        kind=_KINDS[declared.rule],
        action=declared.action,
        from_value="",
        to_value="",
        count=declared.count,
        in_place_by=stands,
        request_opens=dates.opens,
        recommended_by=dates.recommended,
        latest_by=dates.latest,
        status="GREEN",
        usd=None,
        because=rule.what,
        fallback="",
        commit_until=dates.commit_until,
        notes=frozen,
        rule=rule,
    )
    return stated(order, None, as_of=as_of)


def _check_size(declared: DeclaredOrder, rule: LeadTime, *, where: str) -> None:
    """Refuse a reservation whose size is not stated, or too small."""
    if rule.min_vcpu is None:
        return
    zone = " in each zone" if rule.per_zone else ""
    expected = f"{rule.min_vcpu} vCPU or more{zone}, the smallest {rule.what}"
    if declared.vcpu is None:
        raise InputError.of(
            f"{where}.vcpu", got="no size", expected=expected, do="State the vCPU of the request."
        )
    if declared.vcpu < rule.min_vcpu:
        raise InputError.of(
            f"{where}.vcpu",
            got=f"{declared.vcpu} vCPU{zone}",
            expected=expected,
            do="Reserve more, or launch on demand, which guarantees no capacity.",
        )
