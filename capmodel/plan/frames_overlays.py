"""What each failure overlay breaks, as things stand and after the orders, as a frame."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from capmodel.capacity.db_failures import DbFailure
from capmodel.capacity.db_needs import DbDemand, DbHold, DbNeeds, Role, needs_of
from capmodel.capacity.disturb import Disturbed, disturb
from capmodel.capacity.estate import RAISED_BY_OTHERS, Estate, pool_services
from capmodel.capacity.evaluate import (
    at_its_busiest,
    pods_needed,
    pool_instant,
    saturation_of,
    usage_of,
    zone_fill,
)
from capmodel.capacity.loads import Loads, Weights, call_weights
from capmodel.capacity.risk import mixture_value
from capmodel.capacity.sizing import whole_nodes, whole_pods
from capmodel.plan.after import hard_after
from capmodel.plan.frames_changes import STAGES
from capmodel.plan.frames_limits import MIXTURE
from capmodel.plan.scenarios import mix_of
from capmodel.plan.size_databases import setup_of
from capmodel.topology import Hold, LoseZones

if TYPE_CHECKING:
    from capmodel.capacity.sizing import LimitPaths
    from capmodel.plan.make import Solved
    from capmodel.plan.supply import Supply
    from capmodel.scenario import Overlay, Scenario

__all__ = ["TOGETHER", "overlays_frame"]

TOGETHER = "all together"
_SHOWN = frozenset({"connections", "database_cores", "database"}) | RAISED_BY_OTHERS
"""Limits whose usage is compared; pods, nodes and instances are counted."""
COLUMNS = [
    "overlay", "stage", "node", "limit", "needed", "today", "utilization_today", "after_orders",
    "breaks_today", "breaks", "broken_by",
]  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class Failed:
    """The season under failures."""

    words: str
    stage: str
    estate: Estate
    loads: tuple[Loads, ...]
    disturbed: Disturbed

    @property
    def degraded_x(self) -> float:
        """The utilization that the policy accepts under a failure [ratio]."""
        policy = self.disturbed.topology.policy
        return policy.utilization_degraded or policy.utilization.cpu_cores

    def accepted(self, policy_x: float) -> float:
        """Return the utilization that a failure may bring a limit to: never below the planned."""
        return max(policy_x, self.degraded_x)

    @property
    def hold(self) -> Hold:
        """What the policy promises of a failure: the P50 within the degraded utilization."""
        lost = self.disturbed.zones_lost
        failure = LoseZones(lose_zones=lost) if lost else "none"
        return Hold(failure=failure, quantile=0.5, up_to="utilization_degraded")


def overlays_frame(solved: Solved, supply: Supply) -> pd.DataFrame:
    """Return what the mixture's P50 season peak needs under each overlay, beside what is there.

    Each overlay alone, then all of them together. ``stage`` is where it acts, after all that
    scenarios change: ``retry``, then ``cache``, then ``losses``, so the order of a set cannot
    matter. ``needed`` units keep the utilization that the policy accepts under a failure
    (``utilization_degraded``), inf where no zone is left; ``breaks`` is after the orders;
    ``utilization_today`` is how full today's units run once the failure has taken its part, idle
    usage taken as proportional; ``broken_by`` names the overlays that break the limit by
    themselves. Limits that an overlay does not touch have no row.
    """
    overlays = solved.request.overlays
    sets: list[tuple[str, Sequence[Overlay]]] = [(o.words, (o,)) for o in overlays]
    if len(overlays) > 1:
        sets.append((TOGETHER, overlays))
    rows = [
        row
        for words, chosen in sets
        for row in _rows(solved, supply, _failed(solved, words, chosen))
    ]
    return pd.DataFrame(_with_culprits(rows), columns=COLUMNS)


def _with_culprits(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Name the overlays that break a limit alone; where none does, all together do."""
    alone: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        if row["breaks"] and row["overlay"] != TOGETHER:
            alone.setdefault((row["node"], row["limit"]), []).append(row["overlay"])
    return [
        row
        | {
            "broken_by": "; ".join(alone.get((row["node"], row["limit"]), [TOGETHER]))
            if row["breaks"]
            else ""
        }
        for row in rows
    ]


def _failed(solved: Solved, words: str, overlays: Sequence[Overlay]) -> Failed:
    """Return the season's estate and loads under a set of overlays."""
    made = disturb(solved.estate.topology, solved.futures.calls, overlays)
    season = solved.season.days
    estate = replace(solved.estate.take(slice(None), season), topology=made.topology)
    loads = solved.season_loads
    if made.touched & set(made.topology.order):
        loads = tuple(
            replace(load, weights=_weights(solved, made, scenario)).take(slice(None), season)
            for load, scenario in zip(solved.futures.loads, solved.request.scenarios, strict=True)
        )
    stages = sorted({overlay.stage for overlay in overlays}, key=STAGES.index)
    stage = ", ".join(stages)
    return Failed(words=words, stage=stage, estate=estate, loads=loads, disturbed=made)


def _weights(solved: Solved, made: Disturbed, scenario: Scenario) -> dict[str, Weights]:
    """Return each node's requests per event of each root, with a scenario's mix and the retries."""
    request = solved.request
    weights = call_weights(
        made.topology,
        made.calls,
        is_event=solved.futures.event_days,
        draws=request.draws,
        seed=request.seed,
        edge_x=mix_of(scenario, request.dates),
    )
    return {
        node: {
            root: weight * made.root_x.get(root, 1.0) * solved.futures.larger.get(node, 1.0)
            for root, weight in by_root.items()
        }
        for node, by_root in weights.items()
    }


def _rows(solved: Solved, supply: Supply, failed: Failed) -> Iterator[dict[str, Any]]:
    yield from _pool_rows(solved, supply, failed)
    yield from _service_rows(solved, supply, failed)
    if failed.disturbed.zones_lost:
        yield from _instance_rows(solved, supply, failed)
    for path in solved.paths:
        if path.limit.kind == "database_cores" and failed.disturbed.zones_lost:
            continue  # the instances that are left: _instance_rows
        if path.limit.kind in _SHOWN:
            yield from _usage_row(solved, supply, failed, path)


def _pool_rows(solved: Solved, supply: Supply, failed: Failed) -> Iterator[dict[str, Any]]:
    made, hold = failed.disturbed, failed.hold
    for name in solved.needs.nodes:
        if not made.zones_lost and not made.touched & set(pool_services(solved.estate, name)):
            continue
        pool = made.topology.pools[name]
        needed = math.inf
        if made.zones_lost < pool.zones:
            fill = [
                zone_fill(failed.estate, load, name, hold, pool_instant(failed.estate, load, name))
                for load in failed.loads
            ]
            needed = whole_nodes(_season_p50(solved, fill), hold, zones=pool.zones)
        after = float(max(supply.pools[MIXTURE, name].placed.nodes, pool.today or 0))
        yield _row(failed, (name, "nodes"), needed, (pool.today, after))


def _service_rows(solved: Solved, supply: Supply, failed: Failed) -> Iterator[dict[str, Any]]:
    made, hold = failed.disturbed, failed.hold
    for name in solved.needs.pods:
        service = made.topology.services[name]
        if service.pool is None or service.replicas.max is None:
            continue
        if not made.zones_lost and name not in made.touched:
            continue
        zones = made.topology.pools[service.pool].zones
        needed = math.inf
        if made.zones_lost < zones:
            pods = [pods_needed(failed.estate, load, name, hold) for load in failed.loads]
            needed = whole_pods(_season_p50(solved, pods), hold, zones=zones)
        after = supply.services[MIXTURE, name].allowed(service.replicas.max)
        yield _row(failed, (name, "replicas"), needed, (service.replicas.max, after))


def _instance_rows(solved: Solved, supply: Supply, failed: Failed) -> Iterator[dict[str, Any]]:
    """Yield the cores of writer and readers once the zones' instances are gone.

    The writer is taken to be among them: the standby or a reader takes over, with a cold cache.
    """
    made = failed.disturbed
    weights = np.repeat(solved.request.weights / solved.request.draws, solved.request.draws)
    for name in solved.estate.databases:
        database = made.topology.databases[name]
        reads, writes = at_its_busiest(failed.estate, failed.loads, name)
        demand = DbDemand(reads.reshape(-1, 1), writes.reshape(-1, 1), weights=weights)
        zones = min(made.zones_lost, database.zones)
        hold = DbHold(failed.words, 0.5, failure=DbFailure(failed.words, zones_lost=zones))
        need = supply.databases.needs[MIXTURE, name]
        today = float(solved.estate.database_cores[name])
        roles: tuple[tuple[Role, str], ...] = (
            ("writer", "cpu_cores"), ("reader", "reader_cpu_cores")
        )  # fmt: skip
        accepted = failed.accepted(made.topology.policy.utilization.database_cpu_cores)
        for role, limit in roles:
            asked = [
                needs_of(demand, hold, setup=setup_of(solved, name), readers=readers)
                for readers in (database.readers, need.readers)
            ]
            if all(role not in one.by_role for one in asked):
                continue
            used = [_cores_of(one, role) / accepted for one in asked]
            after = float(need.ordered.vcpu)
            row = _row(failed, (name, limit), used[0], (today, after), accepted)
            yield row | {"breaks": used[1] > need.ordered.vcpu}


def _cores_of(needs: DbNeeds, role: Role) -> float:
    """Return what an instance needs; inf where none is left to be the writer."""
    if needs.after.recovery == "outage":
        return math.inf
    return needs.by_role.get(role, {}).get("cpu_cores", 0.0)


def _usage_row(
    solved: Solved, supply: Supply, failed: Failed, path: LimitPaths
) -> Iterator[dict[str, Any]]:
    """Yield a limit whose usage a failure changes, or whose zones it takes."""
    limit, made = path.limit, failed.disturbed
    declared = made.topology.limits.get(limit.node)
    zones = declared.zones if declared is not None else None
    filled = {limit.node}
    if limit.kind == "addresses":
        zones = made.topology.pools[limit.node].zones
        filled = set(pool_services(solved.estate, limit.node))
    zoned = made.zones_lost > 0 and zones is not None
    if not filled & made.touched and not zoned:
        return
    peaks = []
    for load in failed.loads:
        usage = usage_of(limit, failed.estate, load)
        peaks.append(saturation_of(limit, failed.estate, load, usage))
    accepted = failed.accepted(limit.policy_x)
    needed = _season_p50(solved, peaks) / accepted
    if zoned and zones is not None:
        left = zones - made.zones_lost
        needed = needed * zones / left if left > 0 else math.inf
    after = hard_after(solved, supply, path)
    yield _row(failed, limit.key, needed, (limit.hard, after), accepted)


def _season_p50(solved: Solved, days: list[np.ndarray]) -> float:
    peaks = np.stack([d.max(axis=1) for d in days])
    return mixture_value(peaks, 0.5, solved.request.weights)


def _row(
    failed: Failed,
    key: tuple[str, str],
    needed: float,
    available: tuple[float | None, float],
    accepted: float | None = None,
) -> dict[str, Any]:
    """Return one row; `accepted` is the utilization that `needed` units keep."""
    today, after = available
    node, limit = key
    full = (accepted or failed.degraded_x) * needed / today if today else math.nan
    return {
        "overlay": failed.words,
        "stage": failed.stage,
        "node": node,
        "limit": limit,
        "needed": needed,
        "today": math.nan if today is None else float(today),
        "utilization_today": full,
        "after_orders": after,
        "breaks_today": today is not None and needed > today,
        "breaks": needed > after,
    }
