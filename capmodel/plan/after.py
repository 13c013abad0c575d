"""What is left of the risk once everything is ordered: the bounds as they will be."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from capmodel.capacity.db_connections import ladder_connections
from capmodel.capacity.db_storage import storage_limits
from capmodel.capacity.estate import RAISED_BY_OTHERS
from capmodel.capacity.quota_relief import to_ask_for
from capmodel.capacity.replicas import SLACK, ceil_units
from capmodel.capacity.risk import mixture_value
from capmodel.plan.frames_databases import storage_needed
from capmodel.plan.frames_limits import MIXTURE
from capmodel.plan.size_databases import ladder_of
from capmodel.schema import order_statistic

if TYPE_CHECKING:
    import numpy as np

    from capmodel.capacity.databases import ClassLadder
    from capmodel.capacity.estate import Limit
    from capmodel.capacity.sizing import LimitPaths
    from capmodel.catalog import DbClass
    from capmodel.plan.make import Solved
    from capmodel.plan.supply import Supply
    from capmodel.topology import Database

__all__ = ["exceeded_after", "hard_after", "quota_ask", "quota_needed"]


def exceeded_after(solved: Solved, supply: Supply) -> dict[tuple[str, str], np.ndarray]:
    """Return by (node, limit) on which paths it is exceeded once everything is ordered, (S, D)."""
    needs = solved.needs
    after: dict[tuple[str, str], np.ndarray] = {}
    row = needs.saturated
    for name, need in needs.pods.items():
        maximum = solved.estate.services[name].maximum
        if maximum is not None:
            allowed = supply.services[MIXTURE, name].allowed(maximum)
            after[name, "pods"] = ceil_units(need[row]) > allowed
    for name, need in needs.nodes.items():
        pool = solved.estate.topology.pools[name]
        standing = max(pool.today or 0, supply.pools[MIXTURE, name].placed.nodes)
        after[name, "nodes"] = ceil_units(need[row]) * pool.zones > standing
    for path in solved.paths:
        hard = hard_after(solved, supply, path)
        pooled = path.limit.kind == "connections"
        peak = supply.databases.connections[path.limit.node] if pooled else path.full_peak
        if math.isfinite(hard):
            after[path.limit.key] = peak > hard
    return after


def hard_after(solved: Solved, supply: Supply, path: LimitPaths) -> float:
    """Return a database's or quota's hard value after the orders; nan for other limits."""
    limit = path.limit
    if limit.kind in RAISED_BY_OTHERS:
        return (
            max(limit.hard, quota_ask(solved, path))
            if quota_needed(solved, path) > limit.hard
            else limit.hard
        )
    if limit.node not in solved.estate.topology.databases:
        return math.nan
    if limit.kind == "storage":
        return max(storage_needed(solved, limit.node) or 0.0, limit.hard)
    database, need = (
        solved.estate.topology.databases[limit.node],
        supply.databases.needs[MIXTURE, limit.node],
    )
    if limit.name == "reader_cpu_cores":
        # More readers share the reads: the hottest one's bound grows in proportion.
        return need.ordered.vcpu * need.readers / max(database.readers, 1)
    if need.ordered.name == database.db_class or limit.name == "applier":
        return limit.hard
    return _of_class(limit, database, need.ordered, ladder=ladder_of(solved, limit.node))


def _of_class(limit: Limit, database: Database, ordered: DbClass, *, ladder: ClassLadder) -> float:
    """Return a limit's hard value on another class; today's where no table states it."""
    held = storage_limits(ordered, database.storage)
    values: dict[str, float | None] = {
        "cpu_cores": float(ordered.vcpu),
        "network_gbps": ordered.network_gbps,
        "iops": held.iops,
        "throughput_mib": held.throughput_mib,
        "connections": ladder_connections(ladder, ordered)[0],
    }
    found = values[limit.name]
    return limit.hard if found is None else found


def quota_needed(solved: Solved, path: LimitPaths) -> float:
    """Return the bound that holds the P50 within policy and the tier's risk within it."""
    weights = solved.request.weights
    p50 = mixture_value(path.season_peak, 0.5, weights)
    high = solved.sizes[path.limit.tier].sizes[path.limit.key]
    return float(math.ceil(max(p50 / path.limit.policy_x, high) - SLACK))


def quota_ask(solved: Solved, path: LimitPaths) -> float:
    """Return the bound to ask for: what is needed, with the margin of a request made once."""
    likeliest = int(solved.request.weights.argmax())
    peaks = path.season_peak[likeliest]
    load = float(peaks[order_statistic(peaks, 0.5)])
    ask_x = solved.request.orders.quota.ask_x
    return to_ask_for(quota_needed(solved, path), load=load, ask_x=ask_x)
