"""Tripwires of a plan: per order, what to watch, when to look, above what to order how much more.

This module answers: which part of an order may wait for a look at the run rate, what does that save
at the same accepted risk, and which options close before there is anything to see? Only nodes come
in numbers that a later order can add to; everything else, and every order without a look in time,
is sized once, at full risk, as the order book has it.

The units of a look are those that a plan made on that day would order: each hold row of the policy
at its own quantile, given the run rate. The tier's risk is kept over all its limits together: where
wires make a breach of one limit coincide less with the others', each gets a smaller share.

Shapes: S scenarios, D draws.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd

from capmodel.capacity.risk import mixture_quantiles, probability
from capmodel.choice import Ask, Late, Lattice, Tripwires, tripwires
from capmodel.orders import look_dates
from capmodel.plan.after import exceeded_after
from capmodel.plan.frames_limits import MIXTURE
from capmodel.plan.run_rates import RunRate, Window, day_means, run_rate, says_nothing, window_of
from capmodel.plan.supply import packed_per_zone
from capmodel.plan.tripwire_rows import (
    COLUMNS,
    CURVE_COLUMNS,
    Wired,
    curve_rows,
    one_shot_row,
    wired_rows,
)

if TYPE_CHECKING:
    from capmodel.plan.make import Solved
    from capmodel.plan.supply import Supply

__all__ = ["tripwire_frames"]

LEAST_EXPLAINED: Final = 0.05
"""A look helps where the run rate explains so much of the need's variance in logs [ratio]."""

LEAST_SAVED: Final = 0.01
"""And where it saves so much of what one order costs [ratio], or one order would fall short."""

PACKED_AT: Final = (0.1, 0.5, 0.9)
"""Quantiles of the need whose paths are packed, for what whole pods lose on whole nodes."""

SHARES: Final = (1.0, 0.5, 0.25, 0.125, 0.0625)
"""Shares of the tier's level that wired limits are tried at, until the tier's risk is kept."""

FULL: Final = "sized one-shot at full risk"
DECLARED: Final = "the study declares it, and no forecast sizes it"


def tripwire_frames(
    solved: Solved, supply: Supply, orders: pd.DataFrame
) -> dict[str, pd.DataFrame]:
    """Return the frames `tripwires`, a row per order and step, and `tripwire_curve`.

    The curve is the need by run rate of the orders that have wires.

    Parameters
    ----------
    solved, supply
        The plan's arrays and what they need.
    orders
        The frame `orders`.
    """
    reasons: dict[str, str] = {}
    watched: dict[str, _Watched] = {}
    for order in orders.to_dict("records"):
        found = _watch(solved, supply, order)
        if isinstance(found, str):
            reasons[order["id"]] = found
        else:
            watched[order["id"]] = found
    after = exceeded_after(solved, supply) if watched else {}
    wired, refused = _wired(solved, watched, after)
    reasons |= refused
    rows: list[dict[str, Any]] = []
    curve: list[dict[str, Any]] = []
    for order in orders.to_dict("records"):
        if order["id"] in wired:
            rows += wired_rows(solved, order, wired[order["id"]])
            curve += curve_rows(solved, order, wired[order["id"]])
        else:
            rows.append(one_shot_row(order, reasons[order["id"]]))
    return {
        "tripwires": pd.DataFrame(rows, columns=COLUMNS),
        "tripwire_curve": pd.DataFrame(curve, columns=CURVE_COLUMNS),
    }


@dataclass(frozen=True, slots=True, eq=False)
class _Watched:
    """A node order that may wait for a look."""

    pool: str
    tier: int
    asks: tuple[Ask, ...]
    lattice: Lattice
    one_shot: float
    """Units that the plan orders at once, those that stand included [nodes]."""
    rates: tuple[RunRate, ...]
    """Of each driver that feeds the pool and says something."""


def _watch(solved: Solved, supply: Supply, order: Mapping[Any, Any]) -> _Watched | str:
    """Return what an order's look would see, or why it is sized one-shot."""
    latest = dt.date.fromisoformat(order["latest_by"])
    if latest < solved.request.as_of:
        return f"its latest date {latest} has passed: {FULL}, ask at once"
    nodes = order["kind"] == "nodes"
    roots = _roots(solved, str(order["item"])) if nodes else solved.fit.roots
    telling = [root for root in roots if not says_nothing(solved, root)]
    if not telling:
        return f"{says_nothing(solved, roots[0])}: {FULL}"
    windows = [(root, _last_window(solved, root, latest)) for root in telling]
    rates = [(root, window) for root, window in windows if window is not None]
    if not rates:
        return _closed(solved, latest, telling)
    if order["kind"] == "db_class":
        return f"a class is one step that no later order adds to: {FULL}"
    if not nodes or not order["to"]:
        why = "asking costs nothing and waiting saves nothing" if order["to"] else DECLARED
        return f"{why}: {FULL}"
    pool = str(order["item"])
    return _Watched(
        pool=pool,
        tier=solved.estate.topology.tier_of(pool),
        asks=_asks(solved, supply, pool),
        lattice=_lattice(solved, pool),
        one_shot=float(supply.pools[MIXTURE, pool].placed.nodes),
        rates=tuple(run_rate(solved, root, window) for root, window in rates),
    )


def _roots(solved: Solved, pool: str) -> tuple[str, ...]:
    topology = solved.estate.topology
    users = (name for name, service in topology.services.items() if service.pool == pool)
    return tuple(dict.fromkeys(root for user in users for root in topology.roots_of(user)))


def _last_window(solved: Solved, root: str, latest: dt.date) -> Window | None:
    """Return what the last look up to a date sees, None where that is too little."""
    rules = solved.request.orders.looks
    looks = look_dates(solved.request.as_of, latest, every_days=rules.every_days)
    if not looks:
        return None
    window = window_of(solved, looks[-1], day_means(solved, root))
    return window if window.unseen >= rules.unseen_days else None


def _first_look(solved: Solved, roots: tuple[str, ...] | list[str]) -> dt.date | None:
    """Return the first look of the rhythm that sees enough of some root, before the season ends."""
    rules = solved.request.orders.looks
    last = solved.request.season_end - dt.timedelta(1)
    known = [day_means(solved, root) for root in roots if not says_nothing(solved, root)]
    for look in look_dates(solved.request.as_of, last, every_days=rules.every_days):
        if any(window_of(solved, look, means).unseen >= rules.unseen_days for means in known):
            return look
    return None


def _closed(solved: Solved, latest: dt.date, roots: tuple[str, ...] | list[str]) -> str:
    first = _first_look(solved, roots)
    if first is None:
        return f"closes {latest}, and no look before the season's end sees enough: {FULL}"
    return f"closes {latest}, before the next look {first}: {FULL}"


def _asks(solved: Solved, supply: Supply, pool: str) -> tuple[Ask, ...]:
    """Return each hold row's need in nodes of all zones, unrounded, packing in it."""
    zones = solved.estate.topology.pools[pool].zones
    nodes = zones * _packed_x(solved, supply, pool)
    holds, fills = solved.needs.holds, solved.needs.nodes[pool]
    return tuple(
        Ask(
            need=fills[holds.index(row.hold)] * nodes,
            exceedance=1.0 - row.quantile,
            is_risk=row.hold.at_saturation,
        )
        for row in supply.pools[MIXTURE, pool].rows
    )


def _packed_x(solved: Solved, supply: Supply, pool: str) -> float:
    """Return nodes that first fit takes / the zone's fill [ratio].

    A few paths of the row that sizes the pool are packed and added up; half a node is taken off
    each, since whole nodes hide up to one. The plan's own size gives the plan's own nodes.
    """
    need, spare = (
        supply.pools[MIXTURE, pool],
        solved.estate.topology.pools[pool].spare_nodes_per_zone,
    )
    row, weights = need.needed, solved.request.weights
    k = solved.needs.holds.index(row.hold)
    fills, days = solved.needs.nodes[pool][k], solved.needs.nodes_day[pool][k]
    size = float(fills[row.scenario, row.draw])
    if row.hold.at_saturation:
        size = solved.sizes[solved.estate.topology.tier_of(pool)].sizes[pool, "nodes"]
    per_zone = need.placed.per_zone - spare
    if not 0 < size < math.inf:
        return 1.0
    placed, fill = per_zone - 0.5, size
    for s, d in mixture_quantiles(fills, PACKED_AT, weights):
        if np.isfinite(fills[s, d]):
            path = replace(row, scenario=s, draw=d, day=int(days[s, d]), units=0.0)
            placed += packed_per_zone(solved, pool, path) - 0.5
            fill += float(fills[s, d])
    # Inside what the plan's own packing allows.
    least = (per_zone - 1) / size * (1 + 1e-9)
    return max(min(max(placed / fill, least), per_zone / size), 1.0)


def _lattice(solved: Solved, pool: str) -> Lattice:
    topology = solved.estate.topology.pools[pool]
    node = solved.request.catalog.node_type(solved.estate.nodes[pool].instance_type)
    least = math.ceil(solved.request.orders.nodes.min_vcpu / node.vcpu)
    return Lattice(
        standing=float(topology.today or 0),
        step=topology.zones,
        least=max(least, 1),
        spare=topology.zones * topology.spare_nodes_per_zone,
    )


def _wired(
    solved: Solved, watched: Mapping[str, _Watched], after: Mapping[tuple[str, str], np.ndarray]
) -> tuple[dict[str, Wired], dict[str, str]]:
    """Return the orders that wires help, tier by tier, and why the others are sized one-shot."""
    wired: dict[str, Wired] = {}
    reasons: dict[str, str] = {}
    for tier in sorted({one.tier for one in watched.values()}):
        members = {name: one for name, one in watched.items() if one.tier == tier}
        keys = [p.limit.key for p in solved.paths if p.limit.tier == tier and p.limit.key in after]
        weights = solved.request.weights
        one_shot = _p_any([after[key] for key in keys], weights)
        accepted = max(solved.risks[tier], one_shot)
        for share in SHARES:
            found = {name: _hang(solved, one, share) for name, one in members.items()}
            good = {name: one for name, one in found.items() if isinstance(one, Wired)}
            pools = {(one.pool, "nodes"): one.wires.short for one in good.values()}
            parts = [after[key] for key in keys if key not in pools] + list(pools.values())
            p_any = _p_any(parts, weights)
            if p_any <= accepted:
                break
        else:
            words = f"wires would not keep the tier's risk over all its limits: {FULL}"
            good, found = {}, dict.fromkeys(members, words)
        wired |= {name: replace(one, p_any=p_any) for name, one in good.items()}
        reasons |= {name: one for name, one in found.items() if isinstance(one, str)}
    return wired, reasons


def _p_any(parts: list[np.ndarray], weights: np.ndarray) -> float:
    return probability(np.logical_or.reduce(parts), weights) if parts else 0.0


def _hang(solved: Solved, one: _Watched, share: float) -> Wired | str:
    """Return the wires on the driver that asks the least, or why a look does not help."""
    rules = solved.request.orders.looks
    asks = tuple(
        replace(ask, exceedance=ask.exceedance * share) if ask.is_risk else ask for ask in one.asks
    )
    if any(
        np.isinf(ask.need).mean(axis=1) @ solved.request.weights > ask.exceedance for ask in asks
    ):
        return f"on too many paths no number of nodes suffices: {FULL}"
    late = Late(price_x=rules.late_price_x, p_refused=rules.p_refused)
    weights, best = solved.request.weights, None
    for rate in one.rates:
        found = tripwires(asks, rate.per_min, weights, lattice=one.lattice, late=late)
        if found is not None and (best is None or found.law.explained > best[1].law.explained):
            best = rate, found
    if best is None:
        return f"looking does not help, no run rate tells enough to keep the risk: {FULL}"
    rate, found = best
    needed = one.lattice.whole(
        np.interp(np.log(rate.per_min), np.log(found.needed[0]), found.needed[1])
    )
    fails = probability(needed > one.one_shot, weights)
    words = _no_help(one, rate, found, fails=fails, risk=solved.risks[one.tier])
    if words:
        return f"looking does not help, {words}: {FULL}"
    short = np.zeros_like(found.short)
    for ask in one.asks:
        if ask.is_risk:
            short |= one.lattice.whole(ask.need) > one.one_shot
    return Wired(
        pool=one.pool,
        rate=rate,
        wires=found,
        asks=asks,
        lattice=one.lattice,
        one_shot=one.one_shot,
        p_short_one_shot=probability(short, weights),
        p_one_shot_fails=fails,
        share=share,
    )


def _no_help(one: _Watched, rate: RunRate, found: Tripwires, *, fails: float, risk: float) -> str:
    """Return why two orders are no better than one, '' where they are."""
    explained, standing = found.law.explained, one.lattice.standing
    if explained < LEAST_EXPLAINED:
        return f"the run rate of {rate.driver} explains {explained:.0%} of the need's spread"
    at_once = one.one_shot - standing
    if fails <= risk and found.expected_cost - standing > (1 - LEAST_SAVED) * at_once:
        return (
            f"two orders take {found.expected_units:.1f} nodes on average, one {one.one_shot:.0f}"
        )
    return ""
