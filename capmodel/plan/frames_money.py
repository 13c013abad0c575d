"""Cost, waterfall and remedies, as frames."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from capmodel.capacity.estate import AUTOSCALED
from capmodel.capacity.replicas import ceil_units
from capmodel.capacity.risk import mixture_value
from capmodel.cost import (
    CostLine,
    database_line,
    database_lines,
    node_line,
    spot_line,
    total_usd,
    waterfall,
)
from capmodel.plan.frames_limits import MIXTURE, scenario_weights, scenarios_of
from capmodel.plan.prices import class_in, node_in
from capmodel.plan.supply import make_pools
from capmodel.plan.supply_databases import hours_of

if TYPE_CHECKING:
    from capmodel.plan.make import Solved
    from capmodel.plan.supply import Supply

__all__ = ["cost_frame", "cost_lines", "waterfall_frame"]

COST_COLUMNS = [
    "scenario", "item", "kind", "type", "count", "hours", "price_usd_per_hour", "usd", "as_of",
    "source",
]  # fmt: skip
WATERFALL_COLUMNS = ["scenario", "pool", "step", "nodes", "usd"]


def cost_lines(solved: Solved, supply: Supply, scenario: str) -> tuple[CostLine, ...]:
    """Return what a scenario's capacity costs over the season, on demand."""
    topology, hours = solved.estate.topology, hours_of(solved)
    lines = [
        line
        for (name, pool), need in supply.pools.items()
        if name == scenario
        for line in _pool_lines(solved, scenario, pool, need.placed.nodes)
    ]
    for (name, database), need in supply.databases.needs.items():
        if name != scenario:
            continue
        declared = topology.databases[database]
        lines.append(
            database_line(
                database,
                db_class=class_in(solved, scenario, need.ordered),
                instances=1 + need.readers + declared.standby,
                hours=hours,
            )
        )
    return tuple(lines)


def _pool_lines(solved: Solved, scenario: str, pool: str, nodes: int) -> list[CostLine]:
    """Return what a pool's nodes cost over the season: on demand, and the share that is on Spot."""
    node = node_in(solved, scenario, solved.estate.nodes[pool].instance_type)
    hours, spot = hours_of(solved), solved.request.purchase.spot.get(pool)
    if spot is None:
        return [node_line(pool, node=node, count=nodes, hours=hours)]
    return [
        node_line(pool, node=node, count=nodes - int(spot.nodes(nodes)), hours=hours),
        spot_line(
            pool,
            node=node,
            count=int(spot.units(nodes)),
            hours=hours,
            discount=spot.discount,
            source=spot.source,
        ),
    ]


def today_usd(solved: Solved) -> Decimal | None:
    """Return what today's nodes and classes would cost over the same season, on demand [USD].

    None where some pool does not declare the nodes that it has today.
    """
    catalog, topology, hours = solved.request.catalog, solved.estate.topology, hours_of(solved)
    if any(topology.pools[name].today is None for name in solved.needs.nodes):
        return None
    lines = [
        line
        for name in solved.needs.nodes
        for line in _pool_lines(solved, MIXTURE, name, topology.pools[name].today or 0)
    ]
    return total_usd([*lines, *database_lines(topology, catalog=catalog, hours=hours)])


def cost_frame(solved: Solved, supply: Supply) -> pd.DataFrame:
    """Return one row per scenario and item; the mixture's row is what is ordered."""
    rows = [
        {
            "scenario": scenario,
            "item": line.item,
            "kind": line.kind,
            "type": line.type,
            "count": float(line.count),
            "hours": line.hours,
            "price_usd_per_hour": float(line.price_usd_per_hour),
            "usd": line.usd,
            "as_of": line.as_of.isoformat(),
            "source": line.source,
        }
        for scenario in scenarios_of(solved)
        for line in cost_lines(solved, supply, scenario)
    ]
    return pd.DataFrame(rows, columns=COST_COLUMNS)


def waterfall_frame(solved: Solved, supply: Supply) -> pd.DataFrame:
    """Return the steps from today's nodes to the plan's, in nodes and USD of the season.

    Each step is the difference of cumulative needs at stated conditions: today's nodes; the P50 of
    an ordinary season day; the P50 of the season's peak; the largest hold row without a failure;
    the largest row of all, every pod placed; the same with the cores that the scenario's efficiency
    leaves. The steps before the last know no efficiency.
    """
    rows: list[dict[str, Any]] = []
    hours = hours_of(solved)
    before = solved.before or solved
    pools = supply.pools if before is solved else make_pools(before)
    days = {pool: _ordinary_and_peak(before, pool) for pool in before.needs.nodes}
    for (scenario, pool), need in pools.items():
        node = node_in(solved, scenario, solved.estate.nodes[pool].instance_type)
        ordinary, peak = days[pool]
        weights = scenario_weights(solved, scenario)
        organic, event = (mixture_value(v, 0.5, weights) for v in (ordinary, peak))
        placed = need.placed.nodes
        organic, event = (v if math.isfinite(v) else placed for v in (organic, event))
        held = [r.units for r in need.rows if not r.hold.zones_lost and math.isfinite(r.units)]
        without = max(held, default=event)
        declared = solved.estate.topology.pools[pool].today
        today = int(organic) if declared is None else declared
        cumulative = {
            "today": today,
            "organic": int(organic),
            "event": int(event),
            "headroom": int(max(without, event)),
            "failure cover": placed,
            "efficiency": supply.pools[scenario, pool].placed.nodes,
        }
        steps = waterfall(cumulative, price_usd_per_hour=node.price_usd_per_hour, hours=hours)
        rows += [
            {
                "scenario": scenario,
                "pool": pool,
                "step": step.step,
                "nodes": float(step.nodes),
                "usd": step.usd,
            }
            for step in steps
        ]
    return pd.DataFrame(rows, columns=WATERFALL_COLUMNS)


def _ordinary_and_peak(solved: Solved, pool: str) -> tuple[np.ndarray, np.ndarray]:
    """Return each path's nodes on an ordinary season day and at the season's peak, shape (S, D).

    At the planned target and without failures; ordinary is the median event-free day.
    """
    days = solved.season.days
    calm = np.array(
        [not event for event in next(iter(solved.futures.roots.values())).root.event[days]]
    )
    kept = calm if calm.any() else np.ones_like(calm)
    zones = solved.estate.topology.pools[pool].zones
    nodes = [zones * ceil_units(fill[AUTOSCALED]) for fill in solved.needs.fills[pool]]
    ordinary = np.stack([np.median(n[:, kept], axis=1) for n in nodes])
    return ordinary, np.stack([n.max(axis=1) for n in nodes])
