"""Cost, waterfall and remedies, as frames."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from capmodel.capacity.databases import status_of
from capmodel.capacity.estate import AUTOSCALED, nodes_needed
from capmodel.capacity.remedies import Remedy
from capmodel.capacity.risk import mixture_quantile
from capmodel.cost import CostLine, database_line, node_line, total_usd, waterfall
from capmodel.plan.frames_limits import MIXTURE, scenario_weights
from capmodel.plan.supply import hours_of, scenarios_of

if TYPE_CHECKING:
    from capmodel.capacity.sizing import LimitPaths
    from capmodel.plan.make import Solved
    from capmodel.plan.supply import Supply

__all__ = ["cost_frame", "cost_lines", "remedies_frame", "waterfall_frame"]

COST_COLUMNS = [
    "scenario", "item", "kind", "type", "count", "hours", "price_usd_per_hour", "usd", "as_of",
    "source",
]  # fmt: skip
REMEDY_COLUMNS = [
    "node", "limit", "rank", "remedy", "from", "to", "utilization_after", "status_after",
    "usd_season", "lead_days", "basis",
]  # fmt: skip
WATERFALL_COLUMNS = ["scenario", "pool", "step", "nodes", "usd"]


def cost_lines(solved: Solved, supply: Supply, scenario: str) -> tuple[CostLine, ...]:
    """Return what a scenario's capacity costs over the season, on demand."""
    catalog, topology, hours = solved.request.catalog, solved.estate.topology, hours_of(solved)
    lines = [
        node_line(
            pool,
            node=catalog.node_type(solved.estate.nodes[pool].instance_type),
            count=need.placed.nodes,
            hours=hours,
        )
        for (name, pool), need in supply.pools.items()
        if name == scenario
    ]
    for (name, database), need in supply.databases.items():
        if name != scenario:
            continue
        declared = topology.databases[database]
        lines.append(
            database_line(
                database, db_class=need.ordered, instances=1 + declared.readers, hours=hours
            )
        )
    return tuple(lines)


def today_usd(solved: Solved) -> Decimal | None:
    """Return what today's nodes and classes would cost over the same season, on demand [USD].

    None where some pool does not declare the nodes that it has today.
    """
    catalog, topology, hours = solved.request.catalog, solved.estate.topology, hours_of(solved)
    if any(topology.pools[name].today is None for name in solved.needs.nodes):
        return None
    lines = [
        node_line(
            name,
            node=catalog.node_type(solved.estate.nodes[name].instance_type),
            count=topology.pools[name].today or 0,
            hours=hours,
        )
        for name in solved.needs.nodes
    ]
    lines += [
        database_line(
            name,
            db_class=catalog.db_class(database.engine, database.db_class),
            instances=1 + database.readers,
            hours=hours,
        )
        for name, database in topology.databases.items()
    ]
    return total_usd(lines)


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
    the largest row of all, every pod placed.
    """
    rows: list[dict[str, Any]] = []
    hours = hours_of(solved)
    days = {pool: _ordinary_and_peak(solved, pool) for pool in solved.needs.nodes}
    for (scenario, pool), need in supply.pools.items():
        node = solved.request.catalog.node_type(solved.estate.nodes[pool].instance_type)
        ordinary, peak = days[pool]
        weights = scenario_weights(solved, scenario)
        organic, event = (float(v[mixture_quantile(v, 0.5, weights)]) for v in (ordinary, peak))
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
            "efficiency": placed,
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
    season = solved.request.season
    named = next(iter(solved.futures.roots.values())).root.event
    calm = season & np.array([not event for event in named])
    pairs = zip(solved.futures.loads, solved.needs.instants[pool], strict=True)
    days = [nodes_needed(solved.estate, load, pool, AUTOSCALED, at) for load, at in pairs]
    kept = calm if calm.any() else season
    ordinary = np.stack([np.median(d[:, kept], axis=1) for d in days])
    return ordinary, np.stack([d[:, season].max(axis=1) for d in days])


def remedies_frame(solved: Solved, supply: Supply) -> pd.DataFrame:
    """Return ranked relief for every limit that is AMBER or RED in the mixture."""
    rows: list[dict[str, Any]] = []
    for (name, limit), remedies in supply.remedies.items():
        rows += [_remedy_row(name, limit, rank, r) for rank, r in enumerate(remedies, 1)]
    rows += _other_remedies(solved, supply)
    return pd.DataFrame(rows, columns=REMEDY_COLUMNS)


def _remedy_row(node: str, limit: str, rank: int, remedy: Remedy) -> dict[str, Any]:
    return {
        "node": node,
        "limit": limit,
        "rank": rank,
        "remedy": remedy.remedy,
        "from": remedy.from_value,
        "to": remedy.to_value,
        "utilization_after": remedy.utilization_after,
        "status_after": remedy.status_after,
        "usd_season": remedy.usd_season,
        "lead_days": float(remedy.lead_days),
        "basis": remedy.basis,
    }


def _other_remedies(solved: Solved, supply: Supply) -> list[dict[str, Any]]:
    """Return the plain relief of quotas, autoscaler bounds and pools: have as much as is needed."""
    topology = solved.estate.topology
    rows = []
    for path in solved.paths:
        limit = path.limit
        if not math.isfinite(limit.hard) or limit.node in topology.databases:
            continue
        p50 = float(
            path.season_peak[mixture_quantile(path.season_peak, 0.5, solved.request.weights)]
        )
        units = limit.hard  # what the bound counts: nodes, requests, or the autoscaler's pods
        if limit.name == "quota":
            wanted = quota_needed(solved, path)
            words, lead = "raise the quota", topology.externals[limit.node].lead_days
        elif limit.name == "nodes":
            wanted = float(supply.pools[MIXTURE, limit.node].placed.nodes)
            words, lead = "add nodes", solved.request.orders.nodes.recommended_days
        else:
            need = supply.services[MIXTURE, limit.node]
            units = float(solved.estate.services[limit.node].maximum or 1)
            wanted = need.replicas
            words, lead = "raise replicas.max", 0
        if not math.isfinite(wanted) or (wanted <= units and p50 <= limit.policy):
            continue
        after = p50 / limit.hard * units / max(wanted, units)
        rows.append(
            _remedy_row(
                limit.node,
                limit.name,
                1,
                Remedy(
                    remedy=words,
                    from_value=f"{units:,.6g}",
                    to_value=f"{max(wanted, units):,.6g}",
                    utilization_after=after,
                    status_after=status_of(after, policy_x=limit.policy_x),
                    usd_season=None,
                    lead_days=lead,
                    basis=limit.basis,
                ),
            )
        )
    return rows


def quota_needed(solved: Solved, path: LimitPaths) -> float:
    """Return the quota that holds the P50 within policy and the tier's level within the bound."""
    weights = solved.request.weights
    level = solved.levels[path.limit.tier]
    p50 = float(path.season_peak[mixture_quantile(path.season_peak, 0.5, weights)])
    high = float(path.season_peak[mixture_quantile(path.season_peak, level, weights)])
    return float(math.ceil(max(p50 / path.limit.policy_x, high) - 1e-9))
