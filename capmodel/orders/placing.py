"""What was done about the book's orders, and what happens where the answer is no.

This module answers: which state is each order in, does what was placed contradict the rules or the
calendar, and until when is an answer waited for?
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from capmodel.errors import InputError, Problem, nearest
from capmodel.orders.book import stated
from capmodel.orders.order import Kind, Order
from capmodel.orders.rules import placed_at

if TYPE_CHECKING:
    from capmodel.orders.rules import OrdersPolicy, Placed

__all__ = ["placed_orders", "with_fallbacks"]

_DAY: Final = dt.timedelta(days=1)


def placed_orders(
    orders: Sequence[Order],
    *,
    policy: OrdersPolicy,
    could_be: Mapping[str, Kind],
    vcpu: Mapping[str, int],
    as_of: dt.date,
) -> tuple[Order, ...]:
    """Return orders in the states that the policy's `placed` says, and those no longer asked for.

    Parameters
    ----------
    orders
        The book.
    policy
        What was placed, and the lead times.
    could_be
        Ids that the topology could ask for, whether it does now or not, with their kinds: a
        pool that has grown since asks for less.
    vcpu
        Order of nodes to the vCPU of one.
    as_of
        The plan's date.

    Raises
    ------
    InputError
        With every problem: an unknown id, a step after `as_of`, a reservation that is too small, a
        commitment that was given back before its end.
    """
    book = {order.id: order for order in orders}
    problems = []
    for step in policy.placed:
        problems += _step_problems(step, book.get(step.id), (*book, *could_be), as_of)
        problems += _size_problems(step, vcpu, policy)
        problems += _term_problems(step, book.get(step.id), policy)
    if problems:
        raise InputError(problems)
    result = [stated(order, placed_at(policy, order.id, as_of), as_of=as_of) for order in orders]
    for name in dict.fromkeys(step.id for step in policy.placed):
        last = placed_at(policy, name, as_of)
        if name not in book and last is not None:
            result.append(_no_longer_asked(last, could_be[name], as_of))
    return tuple(result)


def _step_problems(
    step: Placed, order: Order | None, known: Collection[str], as_of: dt.date
) -> list[Problem]:
    where = f"orders.placed.{step.id}"
    if step.id not in known:
        return [_unknown(where, step.id, known)]
    if step.date > as_of:
        expected = f"a day up to as_of, {as_of}: what was really done"
        do = "Correct the date, or move as_of."
        return [Problem(where, f"{step.state} on {step.date}", expected, do)]
    if order is not None and order.count and step.count and step.count > order.count:
        expected = f"{order.count} at most, what the plan asks beyond today"
        do = "Count what was asked for beyond today's, or raise `today` where it stands already."
        return [Problem(where, f"{step.count} {step.state}", expected, do)]
    return []


def _unknown(where: str, name: str, known: Collection[str]) -> Problem:
    close = nearest(name, known)
    return Problem(
        where=where,
        got=f'unknown order "{name}"',
        expected=f"one of: {', '.join(sorted(set(known))) or 'none'}",
        do=f'Did you mean "{close}"?' if close else "Correct the id, or remove it.",
    )


def _size_problems(step: Placed, vcpu: Mapping[str, int], policy: OrdersPolicy) -> list[Problem]:
    """Return what is wrong with the size of a reservation of nodes."""
    least = policy.nodes.min_vcpu
    if step.count is None or step.id not in vcpu or step.count * vcpu[step.id] >= least:
        return []
    got = f"a reservation of {step.count * vcpu[step.id]} vCPU ({step.state})"
    do = "Reserve more, or leave the step out: on demand there is nothing to place."
    return [Problem(f"orders.placed.{step.id}.count", got, f"{least} vCPU or more", do)]


def _term_problems(step: Placed, order: Order | None, policy: OrdersPolicy) -> list[Problem]:
    """Return what is wrong with giving something back."""
    steps = [s for s in policy.placed if s.id == step.id and s.date <= step.date]
    delivered = next((s for s in steps if s.state == "in_place"), None)
    given_back = step.state == "released" or (step.state == "cancelled" and delivered is not None)
    if not given_back:
        return []
    until = order.commit_until if order is not None else None
    if delivered is not None and step.id.startswith("nodes:"):
        until = delivered.date + policy.nodes.min_term_days * _DAY
    if until is None or step.date >= until:
        return []
    return [
        Problem(
            where=f"orders.placed.{step.id}",
            got=f"{step.state} on {step.date}",
            expected=f"no earlier than {until}, when the commitment ends",
            do="Correct the date; until then it cannot be given back.",
        )
    ]


def _no_longer_asked(step: Placed, kind: Kind, as_of: dt.date) -> Order:
    """Return a row for what was placed and the plan asks no more of."""
    order = Order(
        id=step.id,
        item=step.id.split(":")[1],
        kind=kind,
        action=f"nothing more: {step.state} on {step.date}",
        from_value="",
        to_value="",
        count=None,
        in_place_by=max(step.date, as_of),
        request_opens=None,
        recommended_by=None,
        latest_by=max(step.date, as_of),
        status="GREEN",
        usd=None,
        because="placed, and the plan asks for no more of it",
        fallback="",
    )
    return stated(order, step, as_of=as_of)


def with_fallbacks(
    orders: Sequence[Order],
    *,
    policy: OrdersPolicy,
    could_be: Collection[str] = (),
    as_of: dt.date,
) -> tuple[Order, ...]:
    """Return orders with the fallbacks that the policy states.

    A fallback of what could be ordered and is not needed now changes nothing; ``could_be`` holds
    such ids.

    Raises
    ------
    InputError
        For an unknown order, and for a fallback that comes after its order must stand.
    """
    book = {order.id: order for order in orders}
    problems = []
    for name, fallback in policy.fallbacks.items():
        where = f"orders.fallbacks.{name}"
        if name not in book:
            problems += [] if name in could_be else [_unknown(where, name, (*book, *could_be))]
            continue
        stands = book[name].in_place_by
        if fallback.latest > stands:
            got, expected = f"latest {fallback.latest}", f"no later than {stands}, in place"
            problems.append(Problem(where, got, expected, "Decide earlier."))
    if problems:
        raise InputError(problems)
    changed = {
        name: replace(
            book[name],
            fallback=stated_one.action,
            fallback_by=stated_one.by,
            fallback_latest=stated_one.latest,
        )
        for name, stated_one in policy.fallbacks.items()
        if name in book
    }
    return tuple(stated(changed.get(order.id, order), None, as_of=as_of) for order in orders)
