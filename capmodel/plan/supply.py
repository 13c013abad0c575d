"""What must be provisioned: replicas, nodes and database classes, per scenario and ordered.

This module answers: how many pods and nodes does each scenario ask, which hold row and which path
ask it, and which database class holds? Per-scenario needs are shown; only the mixture's is ordered.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from capmodel.capacity.estate import pod_requests
from capmodel.capacity.evaluate import pool_instant, pool_pods_per_zone
from capmodel.capacity.nodes import PodShape, PoolNodes, nodes_for
from capmodel.capacity.redundancy import n_plus_one_per_zone
from capmodel.capacity.sizing import (
    HoldNeed,
    hold_needs,
    largest,
    whole_nodes,
    whole_pods,
)
from capmodel.plan.frames_limits import MIXTURE, scenario_weights, scenarios_of
from capmodel.plan.paths import at_need
from capmodel.plan.pod_checks import PodCheck, pod_checks
from capmodel.plan.supply_databases import DatabaseSupply, make_databases

if TYPE_CHECKING:
    from capmodel.plan.make import Solved

__all__ = [
    "PoolNeed",
    "ServiceNeed",
    "Supply",
    "make_pools",
    "make_supply",
    "packed_per_zone",
]


@dataclass(frozen=True, slots=True, eq=False)
class ServiceNeed:
    """Replicas of a service in one scenario (or the mixture)."""

    rows: tuple[HoldNeed, ...]
    needed: HoldNeed
    minimum: int
    rps: float
    """Load on the path that asks for them [1/s]."""

    @property
    def replicas(self) -> float:
        """Pods, at least the declared minimum; inf where no number suffices."""
        return max(self.needed.units, float(self.minimum))

    def allowed(self, maximum: float) -> float:
        """Return the pods that may run once all is ordered; nothing is where none would suffice."""
        return max(maximum, self.replicas) if math.isfinite(self.replicas) else float(maximum)


@dataclass(frozen=True, slots=True, eq=False)
class PoolNeed:
    """Nodes of a pool in one scenario (or the mixture), every pod placed."""

    rows: tuple[HoldNeed, ...]
    needed: HoldNeed
    placed: PoolNodes
    sheet: tuple[Mapping[str, Any], ...]
    """One row per service: the load and pods of the path that sizes the pool."""


@dataclass(frozen=True, slots=True, eq=False)
class Supply:
    """Needs by (scenario, name)."""

    services: Mapping[tuple[str, str], ServiceNeed]
    pools: Mapping[tuple[str, str], PoolNeed]
    databases: DatabaseSupply
    checks: Mapping[str, PodCheck]
    """Services with a pod to their targets."""


def make_supply(solved: Solved, *, mixture_only: bool = False) -> Supply:
    """Return what every scenario and the mixture need, and what relieves the databases.

    With `mixture_only`, what is ordered and nothing of the single scenarios.
    """
    names = (MIXTURE,) if mixture_only else scenarios_of(solved)
    services = {(s, n): _service(solved, s, n) for s in names for n in solved.needs.pods}
    pools = make_pools(solved)
    ordered = {
        name: need.replicas for (scenario, name), need in services.items() if scenario == MIXTURE
    }
    databases = make_databases(solved, ordered, names=names)
    return Supply(services=services, pools=pools, databases=databases, checks=pod_checks(solved))


def make_pools(solved: Solved) -> dict[tuple[str, str], PoolNeed]:
    """Return the nodes of each pool in every scenario and in the mixture."""
    names = scenarios_of(solved)
    return {(s, n): _pool(solved, s, n) for s in names for n in solved.needs.nodes}


def _service(solved: Solved, scenario: str, name: str) -> ServiceNeed:
    topology = solved.estate.topology
    service = topology.services[name]
    zones = topology.pools[service.pool].zones if service.pool else None
    rows = hold_needs(
        solved.needs.pods[name],
        solved.needs.pods_day[name],
        sized=solved.sized(topology.tier_of(name), (name, "pods") if scenario == MIXTURE else None),
        weights=scenario_weights(solved, scenario),
        whole=partial(whole_pods, zones=zones),
    )
    needed = largest(rows)
    return ServiceNeed(
        rows=rows,
        needed=needed,
        minimum=solved.estate.services[name].minimum,
        rps=float(solved.needs.load_peak[name][needed.scenario, needed.draw]),
    )


def _pool(solved: Solved, scenario: str, name: str) -> PoolNeed:
    topology = solved.estate.topology
    zones = topology.pools[name].zones
    rows = hold_needs(
        solved.needs.nodes[name],
        solved.needs.nodes_day[name],
        sized=solved.sized(
            topology.tier_of(name), (name, "nodes") if scenario == MIXTURE else None
        ),
        weights=scenario_weights(solved, scenario),
        whole=partial(whole_nodes, zones=zones),
    )
    finite = [row for row in rows if math.isfinite(row.units)] or list(rows)
    ranked = sorted(finite, key=lambda row: -row.units)
    needed, (nodes, sheet) = ranked[0], _placed(solved, scenario, name, ranked[0])
    for row in ranked[1:]:
        # The row that needs the most by totals may pack better than another: those near it, by its
        # own loss in packing and a tenth more, are packed too.
        loss = nodes.nodes / needed.units if needed.units > 0 else 1.0
        if row.units * loss * 1.1 <= nodes.nodes:
            break
        found = _placed(solved, scenario, name, row)
        if found[0].nodes > nodes.nodes:
            needed, (nodes, sheet) = row, found
    spare = topology.pools[name].spare_nodes_per_zone
    return PoolNeed(
        rows=rows,
        needed=needed,
        placed=_with_spare(nodes, zones=zones, spare=spare),
        sheet=sheet,
    )


def packed_per_zone(solved: Solved, pool: str, row: HoldNeed) -> int:
    """Return the nodes of one zone that the pods of a hold row's path fill, every pod placed."""
    return _placed(solved, MIXTURE, pool, row)[0].per_zone


def _placed(
    solved: Solved, scenario: str, name: str, row: HoldNeed
) -> tuple[PoolNodes, tuple[Mapping[str, Any], ...]]:
    """Return the nodes that a hold row's path fills, every pod placed, and the sheet behind."""
    zones = solved.estate.topology.pools[name].zones
    at = at_need(solved, row)
    instant = pool_instant(at.estate, at.loads, name)
    per_zone = pool_pods_per_zone(at.estate, at.loads, name, row.hold, instant)
    shapes, counts, sheet = [], [], []
    for service, pods in per_zone.items():
        if not math.isfinite(at.of(pods)):
            continue  # no number of pods suffices on this path: the finding infeasible tells
        cores, gib, _ = pod_requests(at.estate, service, row.hold)
        count = int(at.of(pods))
        shapes.append(PodShape(service, cores, gib))
        counts.append(count)
        sheet.append(
            {
                "scenario": scenario,
                "unit": name,
                "kind": "nodes",
                "hold": row.hold.words,
                "date": str(solved.request.dates[row.day]),
                "service": service,
                "rps": at.of(at.loads.at(service, instant)),
                "pods": float(count * zones),
                "per_zone": float(count),
                "cpu_cores": cores,
                "memory_gib": gib,
                "connections": math.nan,
            }
        )
    nodes = nodes_for(shapes, counts, usable=solved.estate.nodes[name], zones=zones)
    if math.isfinite(row.units) and row.units > nodes.nodes:
        # A size beyond every draw has no path of its own: the nearest holds less.
        nodes = replace(nodes, nodes=int(row.units), per_zone=int(row.units) // zones)
    return nodes, tuple(sheet)


def _with_spare(placed: PoolNodes, *, zones: int, spare: int) -> PoolNodes:
    """Return a placement with empty nodes beside it in each zone, for those that drain."""
    if not spare:
        return placed
    per_zone = int(n_plus_one_per_zone(placed.per_zone, spare=spare))
    return replace(placed, nodes=zones * per_zone, per_zone=per_zone)
