"""The instance mix of each pool with several types: the floor of what it can cost, as a frame.

This module answers: with types pinned by count and zone, what would the pods of the ordered pool
cost at least, how far is that from a proven bound, and what does the scheduler's way cost more?
The order itself stays as scheduled: nodes opened one by one on the pool's first type.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from capmodel.capacity.mix import Candidate, MixRules, choose_mix, verify
from capmodel.capacity.nodes import PodShape, Usable
from capmodel.plan.equip_nodes import usable_node
from capmodel.plan.frames_limits import MIXTURE
from capmodel.plan.supply_databases import hours_of
from capmodel.schema import Finding, Findings

if TYPE_CHECKING:
    from capmodel.capacity.mix import Mix
    from capmodel.catalog import NodeType
    from capmodel.plan.make import Solved
    from capmodel.plan.supply import PoolNeed, Supply
    from capmodel.topology import WorkPerCore

__all__ = ["PoolMixes", "pool_mixes"]

MIX_COLUMNS = [
    "pool", "zone", "instance_type", "nodes", "nodes_today", "pods", "cpu_cores_utilization",
    "memory_gib_utilization", "pods_utilization",
]  # fmt: skip
FLOOR_COLUMNS = [
    "pool", "types", "mix", "usd_per_hour", "floor_usd_per_hour", "gap", "best_single_type",
    "best_single_usd_per_hour", "as_scheduled_usd_per_hour", "packing_efficiency", "usd",
    "unplaced_after_loss", "infeasible", "source",
]  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class PoolMixes:
    """``mix``: nodes by pool, zone and type; ``floor``: a row for each pool; and findings."""

    mix: pd.DataFrame
    floor: pd.DataFrame
    findings: Findings


def pool_mixes(solved: Solved, supply: Supply) -> PoolMixes:
    """Return the mix of every pool that lists several types, where the plan asks for mixes.

    ``usd`` is what pinning the mix saves over the season against the order as scheduled; negative
    where it would cost more. ``floor_usd_per_hour`` is a proven bound, ``gap`` the distance to it.
    """
    rows: list[dict[Hashable, Any]] = []
    floors: list[dict[str, Any]] = []
    findings: list[Finding] = []
    for (scenario, name), need in supply.pools.items():
        types = solved.estate.topology.pools[name].types
        if scenario != MIXTURE or len(types) < 2 or "mix" not in solved.request.also:  # noqa: PLR2004
            continue
        mix = _mix(solved, name, need)
        floors.append(_floor(solved, name, need, mix))
        if mix.infeasible:
            findings.append(Finding("mix_infeasible", "warning", name, mix.infeasible))
            continue
        nodes = mix.to_frame().drop(columns="weight")
        rows += nodes.assign(pool=name)[MIX_COLUMNS].to_dict("records")
        findings += _assumed_work(solved, name, mix)
    return PoolMixes(
        mix=pd.DataFrame(rows, columns=MIX_COLUMNS),
        floor=pd.DataFrame(floors, columns=FLOOR_COLUMNS),
        findings=Findings(tuple(findings)),
    )


def _mix(solved: Solved, name: str, need: PoolNeed) -> Mix:
    """Return the mix that holds the pods of the path that sizes the pool, through its hold row."""
    pool = solved.estate.topology.pools[name]
    lose = need.needed.hold.zones_lost
    shapes = [PodShape(row["service"], row["cpu_cores"], row["memory_gib"]) for row in need.sheet]
    pods = [int(row["per_zone"]) * (pool.zones - lose) for row in need.sheet]
    rules = pool.mix.model_dump(exclude={"work"})
    return choose_mix(
        shapes,
        pods,
        candidates=_candidates(solved, name),
        zones=pool.zones,
        lose=lose,
        rules=MixRules(**rules, spare_nodes_per_zone=pool.spare_nodes_per_zone),
    )


def _candidates(solved: Solved, name: str) -> list[Candidate]:
    """Return the pool's types with their room for the first type's work, priced per hour."""
    pool, catalog = solved.estate.topology.pools[name], solved.request.catalog
    today = pool.today or 0
    each, rest = divmod(today, pool.zones)
    found = []
    for position, kind in enumerate(pool.types):
        node = catalog.node_type(kind)
        room = usable_node(pool, kind, catalog)
        standing = (
            tuple(each + (zone < rest) for zone in range(pool.zones)) if position == 0 else ()
        )
        found.append(
            Candidate(
                usable=_for_work(room, pool.mix.work, node),
                weight=float(node.price_usd_per_hour),
                today=standing if today else (),
            )
        )
    return found


def _for_work(room: Usable, work: Mapping[str, WorkPerCore], node: NodeType) -> Usable:
    """Return a node's cores as cores of the first type: fewer are needed where each does more."""
    stated = work.get(node.name) or work.get(node.arch)
    return room if stated is None else replace(room, cpu_cores=room.cpu_cores / stated.cores_x)


def _floor(solved: Solved, name: str, need: PoolNeed, mix: Mix) -> dict[str, Any]:
    node = solved.request.catalog.node_type(solved.estate.nodes[name].instance_type)
    scheduled = need.placed.nodes * float(node.price_usd_per_hour)
    pool = solved.estate.topology.pools[name]
    feasible = not mix.infeasible
    found = verify(mix) if feasible else None
    losses = (*found.zone_losses, *found.node_losses) if found else ()
    totals = mix.counts.sum(axis=1)
    parts = [f"{n} {kind}" for kind, n in zip(mix.types, totals, strict=True) if n]
    saved = (scheduled - mix.weight) * hours_of(solved) if feasible else math.nan
    stated = [f"{key}: {work.source}" for key, work in pool.mix.work.items()]
    return {
        "pool": name,
        "types": ", ".join(mix.types),
        "mix": ", ".join(parts),
        "usd_per_hour": mix.weight,
        "floor_usd_per_hour": mix.lp_bound,
        "gap": mix.gap if feasible else math.nan,
        "best_single_type": mix.best_single_type,
        "best_single_usd_per_hour": mix.best_single_weight,
        "as_scheduled_usd_per_hour": scheduled,
        "packing_efficiency": need.placed.packing.efficiency,
        "usd": Decimal(str(round(saved, 2))).quantize(Decimal("0.01")) if feasible else None,
        "unplaced_after_loss": float(max((loss.unplaced for loss in losses), default=0)),
        "infeasible": mix.infeasible,
        "source": "; ".join(stated),
    }


def _assumed_work(solved: Solved, name: str, mix: Mix) -> list[Finding]:
    """Tell where another architecture is taken to do the same work per core, unmeasured."""
    pool, catalog = solved.estate.topology.pools[name], solved.request.catalog
    first = catalog.node_type(pool.types[0]).arch
    used = [kind for kind, n in zip(mix.types, np.sum(mix.counts, axis=1), strict=True) if n]
    others = [
        kind
        for kind in used
        if catalog.node_type(kind).arch != first
        and not {kind, catalog.node_type(kind).arch} & set(pool.mix.work)
    ]
    if not others:
        return []
    message = (
        f"{', '.join(others)} are another architecture than {pool.types[0]}, and taken to do the "
        "same work per core: state mix.work with its source"
    )
    return [Finding("work_per_core_assumed", "warning", name, message)]
