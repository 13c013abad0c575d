"""The rows of the frames `tripwires` and `tripwire_curve`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from capmodel.choice import Ask, Lattice, Tripwires, Wire
from capmodel.cost import cents, node_line
from capmodel.plan.equip import root_basis
from capmodel.plan.run_rates import MINUTES_PER_DAY, RunRate
from capmodel.plan.supply_databases import hours_of

if TYPE_CHECKING:
    from capmodel.plan.make import Solved

__all__ = ["COLUMNS", "CURVE_COLUMNS", "Wired", "curve_rows", "one_shot_row", "wired_rows"]

COLUMNS: Final = [
    "order", "item", "kind", "step", "driver", "quantity", "window_start", "look_on", "latest_by",
    "threshold_per_day", "threshold_per_min", "p_fires", "action", "count", "units_before",
    "units_after", "usd", "usd_of_waiting", "p_short_if_refused", "one_shot_units",
    "expected_units", "p_short", "p_short_one_shot", "p_one_shot_fails",
    "p_any", "usd_one_shot", "usd_expected",
    "sigma_log", "sigma_log_seen", "explained_x", "fallback", "reason", "basis",
]  # fmt: skip
CURVE_COLUMNS: Final = [
    "order", "item", "driver", "quantity", "run_rate_per_day", "p_below", "need_p10", "need_p50",
    "need_p90", "need_sized", "units",
]  # fmt: skip
CURVE_POINTS: Final = 49


@dataclass(frozen=True, slots=True, eq=False)
class Wired:
    """A node order in two parts."""

    pool: str
    rate: RunRate
    wires: Tripwires
    asks: tuple[Ask, ...]
    lattice: Lattice
    one_shot: float
    """Units of one order for everything [nodes]."""
    p_short_one_shot: float
    """Probability that the need at the risk row exceeds them."""
    p_one_shot_fails: float
    """Probability that a plan made on the day of the look asks for more than that."""
    share: float
    """Share of the tier's level that the risk row is sized at [ratio]."""
    p_any: float = 0.0
    """Probability that any limit of the tier is exceeded with all wires of the tier."""


def one_shot_row(order: Mapping[Any, Any], reason: str) -> dict[str, Any]:
    """Return the one row of an order that is sized once."""
    missing = dict.fromkeys(COLUMNS, math.nan)
    texts = dict.fromkeys(("driver", "quantity", "window_start", "look_on"), "")
    money = dict.fromkeys(("usd_of_waiting", "usd_expected"))
    count = order["count"]
    return missing | texts | money | {
        "order": order["id"],
        "item": order["item"],
        "kind": order["kind"],
        "step": 0,
        "latest_by": order["latest_by"],
        "action": order["action"],
        "count": math.nan if count is None else float(count),
        "usd": order["usd"],
        "usd_one_shot": order["usd"],
        "fallback": order["fallback"],
        "reason": reason,
        "basis": "assumed",
    }  # fmt: skip


def wired_rows(solved: Solved, order: Mapping[Any, Any], wired: Wired) -> list[dict[str, Any]]:
    """Return the first order, with what both stages cost and risk, then one row per wire."""
    late_x = Decimal(repr(solved.request.orders.looks.late_price_x))
    found, standing = wired.wires, wired.lattice.standing
    first = round(found.now - standing)
    bills = [_bill(solved, wired.pool, wire.after - wire.before) for wire in found.wires]
    late = [cents(bill * late_x) for bill in bills]
    now = _bill(solved, wired.pool, first)
    expected = now + sum(
        (Decimal(repr(w.p_fires)) * usd for w, usd in zip(found.wires, late, strict=True)),
        Decimal(0),
    )
    law = found.law
    name = solved.estate.nodes[wired.pool].instance_type
    head = _head(solved, order, wired)
    start = head | {
        "step": 0,
        "action": f"reserve {first} more {name} for {wired.pool} now"
        if first
        else "order nothing before the look",
        "count": float(first),
        "units_before": standing,
        "units_after": found.now,
        "usd": now,
        "one_shot_units": wired.one_shot,
        "expected_units": found.expected_units,
        "p_short": found.p_short,
        "p_short_one_shot": wired.p_short_one_shot,
        "p_one_shot_fails": wired.p_one_shot_fails,
        "p_any": wired.p_any,
        "usd_one_shot": order["usd"],
        "usd_expected": cents(expected),
        "sigma_log": law.sigma_log,
        "sigma_log_seen": law.sigma_log_seen,
        "explained_x": law.explained,
        "reason": _reason(solved, wired),
    }
    return [start] + [
        head | _wire(wire, usd=usd, waiting=usd - bill)
        | {"step": k, "action": f"reserve {wire.after - wire.before:.0f} more {name} for "
           f"{wired.pool}"}
        for k, (wire, usd, bill) in enumerate(zip(found.wires, late, bills, strict=True), start=1)
    ]  # fmt: skip


def _head(solved: Solved, order: Mapping[Any, Any], wired: Wired) -> dict[str, Any]:
    root, look = wired.rate.driver, wired.rate.window.look
    assumed = any(
        root in scenario.growth_yoy_x or root in scenario.demand_x
        for scenario in solved.futures.scenarios
    )
    money = dict.fromkeys(("usd_of_waiting", "usd_one_shot", "usd_expected"))
    return dict.fromkeys(COLUMNS, math.nan) | money | {
        "order": order["id"],
        "item": order["item"],
        "kind": order["kind"],
        "driver": root,
        "quantity": wired.rate.quantity,
        "window_start": wired.rate.window.start.isoformat(),
        "look_on": look.isoformat(),
        "latest_by": order["latest_by"],
        "fallback": order["fallback"],
        "reason": "",
        "basis": "assumed" if assumed else root_basis(solved.fit, root),
    }  # fmt: skip


def _wire(wire: Wire, *, usd: Decimal, waiting: Decimal) -> dict[str, Any]:
    return {
        "threshold_per_day": wire.above * MINUTES_PER_DAY,
        "threshold_per_min": wire.above,
        "p_fires": wire.p_fires,
        "count": wire.after - wire.before,
        "units_before": wire.before,
        "units_after": wire.after,
        "usd": usd,
        "usd_of_waiting": waiting,
        "p_short_if_refused": wire.p_short_if_refused,
    }


def _bill(solved: Solved, pool: str, count: float) -> Decimal:
    node = solved.request.catalog.node_type(solved.estate.nodes[pool].instance_type)
    return node_line(pool, node=node, count=round(count), hours=hours_of(solved)).usd


def _reason(solved: Solved, wired: Wired) -> str:
    """Return what the wires rest on, and where they end."""
    rules, window = solved.request.orders.looks, wired.rate.window
    low, high = (x * MINUTES_PER_DAY for x in (wired.wires.low, wired.wires.high))
    top = max(wired.wires.wires[-1].after, wired.one_shot)
    seen = f"the paths show {low:,.0f} to {high:,.0f} a day"
    parts = [
        f"{len(window.days)} event-free days, {window.unseen} of them after the history",
        f"{seen}; above that order up to {top:.0f} and make a new plan",
    ]
    if rules.late_price_x == 1 and rules.p_refused == 0:
        parts.append("no late price and no refusal is stated (orders.looks): waiting costs 0 USD")
    else:
        parts.append(
            f"assumed: a late unit costs {rules.late_price_x:g} times as much and is refused with "
            f"probability {rules.p_refused:.0%}"
        )
    if wired.share < 1:
        parts.append(f"sized at {wired.share:g} of the tier's level, which keeps the tier's risk")
    return "; ".join(parts)


def curve_rows(solved: Solved, order: Mapping[Any, Any], wired: Wired) -> list[dict[str, Any]]:
    """Return the need by run rate under the row that sizes the middle, and the units that stand."""
    found = wired.wires
    law = found.law
    grid = np.geomspace(law.low, law.high, CURVE_POINTS)
    grid[0], grid[-1] = law.low, law.high
    weights = solved.request.weights
    fan = {name: law.size(grid, 1 - q, tail=False)
           for name, q in (("need_p10", 0.1), ("need_p50", 0.5), ("need_p90", 0.9))}  # fmt: skip
    sized = np.max(
        [
            one.size(grid, a.exceedance, tail=a.is_risk)
            for one, a in zip(found.laws, wired.asks, strict=True)
        ],
        axis=0,
    )
    units = found.units(grid)
    return [
        {
            "order": order["id"],
            "item": order["item"],
            "driver": wired.rate.driver,
            "quantity": wired.rate.quantity,
            "run_rate_per_day": float(x) * MINUTES_PER_DAY,
            "p_below": float(weights @ (wired.rate.per_min <= x).mean(axis=1)),
            **{name: float(values[k]) for name, values in fan.items()},
            "need_sized": float(sized[k]),
            "units": float(units[k]),
        }
        for k, x in enumerate(grid)
    ]
