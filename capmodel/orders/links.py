"""What must be done before what: a quota before a reservation, a reservation before a pool.

This module answers: by when must a prerequisite stand, so that what depends on it can still be
asked for in time? Dates only ever move forward, to an earlier day.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from graphlib import CycleError, TopologicalSorter
from typing import TYPE_CHECKING

from capmodel.errors import InputError, Problem, nearest
from capmodel.orders.book import dates_of, stated
from capmodel.orders.calendar import last_open_day

if TYPE_CHECKING:
    import datetime as dt

    from capmodel.orders.order import Order
    from capmodel.orders.rules import OrdersPolicy

__all__ = ["linked_orders"]


def linked_orders(
    orders: Sequence[Order],
    before: Mapping[str, Sequence[str]],
    *,
    policy: OrdersPolicy,
    as_of: dt.date,
) -> tuple[Order, ...]:
    """Return orders with their prerequisites, whose dates leave time to ask for what follows.

    A prerequisite must stand by the latest day on which the dependant can be asked for, and is
    recommended early enough for the dependant's recommended day.

    Parameters
    ----------
    orders
        The book.
    before
        Order to those that must be done before it can be asked for, by id.
    policy
        Freezes, which a moved execution keeps out of.
    as_of
        The plan's date.

    Raises
    ------
    InputError
        For an unknown order, and for orders that wait for one another.

    Examples
    --------
    >>> import datetime as dt
    >>> from capmodel.orders import NodeRequest, OrdersPolicy, QuotaRequest
    >>> from capmodel.orders import node_order, quota_order
    >>> policy, stands, as_of = OrdersPolicy(), dt.date(2026, 11, 20), dt.date(2026, 9, 1)
    >>> nodes = node_order(
    ...     NodeRequest("general", "m6i.4xlarge", 16, 24, 90),
    ...     policy=policy,
    ...     in_place=stands,
    ...     as_of=as_of,
    ... )
    >>> vcpu = quota_order(
    ...     QuotaRequest("vcpu", 1000, 1440, lead_days=7), in_place=stands, as_of=as_of
    ... )
    >>> links = {"nodes:general": ["quota:vcpu"]}
    >>> first, _ = linked_orders([vcpu, nodes], links, policy=policy, as_of=as_of)
    >>> str(vcpu.latest_by), str(first.recommended_by), str(first.latest_by)
    ('2026-11-13', '2026-09-18', '2026-11-08')
    """
    book = {order.id: order for order in orders}
    problems = [
        _unknown(f"orders.depends_on.{dependant}", name, book)
        for dependant, names in before.items()
        for name in (dependant, *names)
        if name not in book
    ]
    if problems:
        raise InputError(problems)
    try:
        ranked = tuple(TopologicalSorter(before).static_order())
    except CycleError as error:
        raise InputError.of(
            "orders.depends_on",
            got=f"orders that wait for one another: {' -> '.join(reversed(error.args[1]))}",
            expected="prerequisites without a cycle",
            do="Remove one of these dependencies.",
        ) from error
    for name in reversed(ranked):
        names = tuple(before.get(name, ()))
        book[name] = replace(book[name], depends_on=names)
        for prerequisite in names:
            book[prerequisite] = _in_time_for(book[name], book[prerequisite], policy)
    return tuple(stated(book[order.id], None, as_of=as_of) for order in orders)


def _unknown(where: str, name: str, book: Mapping[str, Order]) -> Problem:
    close = nearest(name, book)
    return Problem(
        where=where,
        got=f'unknown order "{name}"',
        expected=f"an order of the book: {', '.join(book) or 'none'}",
        do=f'Did you mean "{close}"?' if close else "Correct the id, or remove it.",
    )


def _in_time_for(dependant: Order, order: Order, policy: OrdersPolicy) -> Order:
    """Return a prerequisite that stands before its dependant is asked for."""
    moved = _standing_by(order, dependant.latest_by, policy)
    asked = dependant.recommended_by
    if asked is None or moved.rule is None:
        return moved
    recommended = _standing_by(order, asked, policy).latest_by
    first = min(recommended, moved.recommended_by or recommended)
    return replace(moved, recommended_by=min(first, moved.latest_by))


def _standing_by(order: Order, day: dt.date, policy: OrdersPolicy) -> Order:
    """Return an order that stands by a day, with the dates that its own rule then gives."""
    rule = order.rule
    if rule is None or order.in_place_by <= day:
        return order
    if rule.action in {"db_class", "config"}:
        day = last_open_day(policy.freeze, day, action=rule.action, weekdays=rule.weekdays)
    dates = dates_of(policy, rule, day)
    by, latest = order.fallback_by, order.fallback_latest
    moved = f"stands by {day}, so that what depends on it can be asked for"
    return replace(
        order,
        in_place_by=day,
        request_opens=dates.opens,
        recommended_by=dates.recommended,
        latest_by=dates.latest,
        commit_until=dates.commit_until,
        fallback_by=None if by is None else min(by, day),
        fallback_latest=latest,
        notes="; ".join(filter(None, [order.notes, moved])),
    )
