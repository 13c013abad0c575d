"""Capacity reservations of the season's nodes: how many in each zone, from when to when, idle how.

This module answers: what is reserved of each instance type in each zone, between which dates, with
which probability does it suffice, what does it cost, and what of that is paid for nodes that do not
run? A reservation guarantees capacity and costs its on-demand price used or not; Savings Plans and
reserved instances discount what is idle too. How much shortfall is acceptable is a stated policy:
nobody sells the risk at a price.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd

from capmodel.capacity.estate import AUTOSCALED
from capmodel.capacity.replicas import ceil_units
from capmodel.commitments import apply_layers
from capmodel.cost import cents, season_hours
from capmodel.plan.frames_commitments import Proposal
from capmodel.plan.frames_limits import MIXTURE
from capmodel.plan.term_usage import Hours, Item
from capmodel.schema import order_statistic

if TYPE_CHECKING:
    from capmodel.plan.term_usage import TermUsage

__all__ = ["reservations_frame"]

COLUMNS: Final = [
    "pool", "instance_type", "zone", "count", "start", "end", "hours", "quantile",
    "price_usd_per_hour", "usd", "used_usd", "idle_usd", "discount_usd", "idle_net_usd",
    "idle_share", "status", "basis", "as_of", "source", "reason",
]  # fmt: skip
MONEY: Final = ("usd", "used_usd", "idle_usd", "discount_usd", "idle_net_usd")


@dataclass(frozen=True, slots=True)
class Booking:
    """What is reserved of a pool beyond today's nodes, in all zones."""

    item: Item
    count: int
    standing: int
    """On-demand nodes of today, which the reservation comes on top of."""
    start: dt.date
    end: dt.date
    quantile: float
    """Share of paths on which it suffices [ratio]."""
    reason: str


def reservations_frame(proposal: Proposal, orders: pd.DataFrame) -> pd.DataFrame:
    """Return one row per pool and zone in which nodes are to be reserved.

    ``usd = used_usd + idle_usd`` and ``idle_usd = discount_usd + idle_net_usd``, to the cent:
    ``idle_share`` is the mean share of the reserved node-hours in which the autoscaler runs no node
    on them, ``discount_usd`` what the commitments that exist and those proposed take off the idle
    hours. Reserved are a policy's count, its quantile of the season's need, or what is ordered,
    each beyond today's nodes; dates are those of the order.
    """
    usage = proposal.usage
    rows: list[dict[str, Any]] = []
    for item in usage.items:
        if item.kind != "nodes":
            continue
        booking = _booking(usage, item, orders)
        if booking.count > 0:
            rows += _rows(proposal, booking)
    return pd.DataFrame(rows, columns=COLUMNS)


def _booking(usage: TermUsage, item: Item, orders: pd.DataFrame) -> Booking:
    request, pool = usage.solved.request, usage.solved.estate.topology.pools[item.name]
    policy = request.purchase
    spot = policy.spot.get(item.name)

    def on_demand(nodes: np.ndarray | float) -> np.ndarray:
        whole = np.asarray(nodes, dtype=np.float64)
        return whole if spot is None else whole - spot.nodes(whole)

    standing = int(on_demand(pool.today or 0))
    peaks, weights = _needs(usage, item)
    peaks = on_demand(peaks)
    ordered = int(on_demand(usage.standing[MIXTURE, item.key])) - standing
    if item.name in policy.reserve:
        count, reason = policy.reserve[item.name], "the policy's count"
    elif policy.p_shortfall is not None:
        wanted = 1.0 - policy.p_shortfall
        count = int(peaks[order_statistic(peaks, wanted, weights)]) - standing
        reason = f"{wanted:.1%} of paths need no more, pods filled to their requests"
    else:
        count, reason = ordered, "what is ordered"
    start, dated = _start(orders, item.name, request.season_start)
    end = max(request.season_end, start + dt.timedelta(days=request.orders.nodes.min_term_days))
    enough = float(weights[peaks <= standing + count].sum() / weights.sum())
    said = "; ".join(filter(None, [reason, dated, *usage.notes]))
    return Booking(item, count, standing, start, end, enough, said)


def _needs(usage: TermUsage, item: Item) -> tuple[np.ndarray, np.ndarray]:
    """Return the plan's paths of the season's nodes without a failure, and their weights, (S * D,).

    Up to the hard value where the policy holds such a row, else as the autoscaler asks.
    """
    solved = usage.solved
    needs, zones = solved.needs, solved.estate.topology.pools[item.name].zones
    hard = [row for row, hold in enumerate(needs.holds) if hold.at_saturation]
    fills = (
        needs.nodes[item.name][hard[0]]
        if hard
        else np.stack([fill[AUTOSCALED].max(axis=1) for fill in needs.fills[item.name]])
    )
    nodes = zones * ceil_units(fills * usage.packing_x[item.name])
    weights = np.repeat(solved.request.weights / fills.shape[1], fills.shape[1])
    return nodes.ravel(), weights


def _start(orders: pd.DataFrame, pool: str, season_start: dt.date) -> tuple[dt.date, str]:
    """Return the day on which a pool's order must stand; the season's first without an order."""
    rows = orders[orders["id"] == f"nodes:{pool}"]
    if rows.empty:
        return season_start, "no order of nodes: it starts with the season"
    return dt.date.fromisoformat(str(rows["in_place_by"].iloc[0])), ""


def _rows(proposal: Proposal, booking: Booking) -> list[dict[str, Any]]:
    solved = proposal.usage.solved
    zones = solved.estate.topology.pools[booking.item.name].zones
    hours = season_hours(booking.start, booking.end, tz=solved.fit.business_tz)
    each, rest = divmod(booking.count, zones)
    node = solved.request.catalog.node_type(booking.item.row.name)
    least = solved.request.orders.nodes.min_vcpu
    small = booking.count * node.vcpu < least
    share, taken_off = _idle(proposal, booking)
    rows = []
    for zone in range(zones):
        count = each + (zone < rest)
        if not count:
            continue
        money = _money(count, hours, node.price_usd_per_hour, share=share, taken_off=taken_off)
        reason = f"below {least} vCPU nothing is reserved ahead: launch on demand; "
        rows.append(
            {
                "pool": booking.item.name,
                "instance_type": node.name,
                "zone": f"zone {zone + 1}",
                "count": float(count),
                "start": str(booking.start),
                "end": str(booking.end),
                "hours": hours,
                "quantile": booking.quantile,
                "price_usd_per_hour": float(node.price_usd_per_hour),
                **(dict.fromkeys(MONEY) if small else money),
                "idle_share": share,
                "status": "AMBER" if small else "GREEN",
                "basis": "assumed",
                "as_of": node.as_of.isoformat(),
                "source": node.source,
                "reason": (reason if small else "") + booking.reason,
            }
        )
    return rows


def _money(
    count: int, hours: float, price: Decimal, *, share: float, taken_off: float
) -> Mapping[str, Decimal]:
    """Return the parts of a reservation's cost; each pair sums exactly, being differences."""
    exact = count * Decimal(hours) * price
    total = cents(exact)
    idle = min(cents(exact * Decimal(repr(round(share, 12)))), total)
    discount = min(cents(exact * Decimal(repr(round(share * taken_off, 12)))), idle)
    return {
        "usd": total,
        "used_usd": total - idle,
        "idle_usd": idle,
        "discount_usd": discount,
        "idle_net_usd": idle - discount,
    }


def _idle(proposal: Proposal, booking: Booking) -> tuple[float, float]:
    """Return the idle share of the reserved hours, and what commitments take off their price."""
    usage, item = proposal.usage, booking.item
    when = usage.hours(booking.start, min(booking.end, usage.known_until))
    running = np.asarray(usage.following(MIXTURE, item.name, when), dtype=np.float64)
    spot = usage.solved.request.purchase.spot.get(item.name)
    running = running if spot is None else running - spot.nodes(running)
    used = np.clip(running - booking.standing, 0.0, booking.count)
    share = float(1.0 - used.mean() / booking.count)
    if share <= 0:
        return 0.0, 0.0
    idle = (booking.count - used) * item.price
    off = _discount(proposal, item, when, running=running * item.price, idle=idle)
    return share, min(max(off / float(idle.mean()), 0.0), 1.0)


def _discount(
    proposal: Proposal, item: Item, when: Hours, *, running: np.ndarray, idle: np.ndarray
) -> float:
    """Return the mean discount on idle hours: what covering them beside all else takes off."""
    others = proposal.usage.usage(MIXTURE, when)
    layers = proposal.layers(when)
    saved = []
    for usage in (running, running + idle):
        spending = apply_layers({**others, item.key: usage}, layers)
        saved.append(
            sum(
                float(part.mean()) * layer.discounts[key]
                for layer, found in zip(layers, spending.covered, strict=True)
                for key, part in found.items()
            )
        )
    return saved[1] - saved[0]
