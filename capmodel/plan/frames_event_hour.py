"""The event hour as a frame: what happens while the season's busiest hour begins.

This module answers: as the estate stands today and as ordered, for how long is a service above what
its ready pods serve, what queues up, how many pods and nodes would have to stand before, and when
must they be told to? Each run is played by :mod:`capmodel.capacity.simulator`.

Runs: *as it stands* (declared bounds of replicas; today's nodes, and as many as the pool's ``max``
allows, or today's where it has none), *with pre-scale* (the same, with the pods that the search
asks for standing before the hour), *as ordered* (the mixture's replicas as minimum, its nodes
standing, the ordered database classes and pool sizes). The search runs where a tier does not keep
its risk.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd

from capmodel.capacity.replicas import SLACK
from capmodel.capacity.simulator import EventHour, PreScale, Shed, required_pre_scale
from capmodel.capacity.simulator.arrays import arrays_of
from capmodel.capacity.simulator.engine import Start, demand_array, play, standing_start
from capmodel.plan.event_hour import EventDemand, event_demand, groups_of
from capmodel.plan.event_hour_cluster import (
    EventCluster,
    event_cluster,
    overload_of,
    warm_up_s,
)
from capmodel.schema import order_statistic
from capmodel.topology import Dynamics, NodeDynamics

if TYPE_CHECKING:
    from capmodel.plan.make import Solved
    from capmodel.plan.supply import Supply
    from capmodel.schema import Status

__all__ = ["COLUMNS", "event_hour_frame", "event_hour_note", "with_event_hour"]

COLUMNS: Final = [
    "service", "pool", "run", "hour", "profile", "paths", "minutes_above_hard_p50",
    "minutes_above_hard_p95", "share_surviving", "backlog_p95", "drain_min_p95", "pods_start",
    "pods_peak", "nodes_start", "nodes_peak", "pre_scale_pods", "pre_scale_nodes",
    "pre_scale_min_before", "pre_scale_from", "limits", "status", "basis",
]  # fmt: skip
STANDS: Final = "as it stands"
PRE_SCALED: Final = "with pre-scale"
ORDERED: Final = "as ordered"


@dataclass(frozen=True, slots=True, eq=False)
class _Run:
    """One run of a group; S services."""

    name: str
    played: EventCluster
    hour: EventHour
    pods_start: np.ndarray
    """Shape (S,) [pods]."""
    nodes_start: float
    """As the simulator counts them."""
    too_few: np.ndarray
    """Whether even the most pods that may run are too few on more paths than accepted, (S,)."""
    failing: np.ndarray
    """Whether it keeps its tier's risk not, on any path above hard itself, (S,)."""
    blocked: tuple[str, ...]
    """Bounds that the pods of the hour before exceed already: no pre-scale is searched then."""
    search: PreScale | None = None
    """What has to stand, where a tier does not keep its risk."""


def event_hour_frame(solved: Solved, supply: Supply) -> pd.DataFrame:
    """Return one row per service and run, empty where the request asks for none.

    P50 and P95 are order statistics of the paths that were played (`paths` of them). ``backlog`` is
    in requests; ``drain_min_p95`` is missing where requests still queue at the end. A pre-scale is
    searched where a tier does not keep its risk, for all services of the group together; its time
    is that of the order, before the first tick that would be above hard on any path. GREEN: the
    tier's risk is kept, or this service has no part in it. AMBER: the pre-scale keeps it. RED: none
    does, and `limits` says why. GREY: not played, and `limits` says why.
    """
    if "event_hour" not in solved.request.also:
        return pd.DataFrame(columns=COLUMNS)
    groups, grey = groups_of(solved)
    topology = solved.estate.topology
    rows: list[dict[str, Any]] = []
    for group in groups:
        demand = event_demand(solved, group)
        for run in _runs(solved, supply, demand):
            rows += _rows(demand, run)
    for name, reason in grey.items():
        row = {"service": name, "pool": topology.services[name].pool or "", "run": STANDS}
        rows.append({**row, "hour": "", "profile": "", "limits": reason, "status": "GREY"})
    order = {name: k for k, name in enumerate(topology.services)}
    rows.sort(key=lambda row: order[row["service"]])
    frame = pd.DataFrame(rows, columns=COLUMNS)
    told = ["" if pd.isna(value) else str(value) for value in frame["pre_scale_from"]]
    return frame.assign(pre_scale_from=told, basis="assumed")


def _runs(solved: Solved, supply: Supply, demand: EventDemand) -> Iterator[_Run]:
    """Yield the runs of a group."""
    tiers = np.array([solved.estate.topology.services[n].tier for n in demand.group.services])
    risks = np.array([solved.risks[tier] for tier in tiers.tolist()])
    standing = event_cluster(solved, demand, None)
    first = _played(STANDS, standing, demand, (tiers, risks))
    yield first
    if first.search is not None and first.search.feasible:
        yield _played(PRE_SCALED, standing, demand, (tiers, risks), pods=first.search.pods)
    yield _played(ORDERED, event_cluster(solved, demand, supply), demand, (tiers, risks))


def _played(
    name: str,
    played: EventCluster,
    demand: EventDemand,
    policy: tuple[np.ndarray, np.ndarray],
    *,
    pods: np.ndarray | None = None,
) -> _Run:
    """Play a run and, where a tier does not keep its risk, search what has to stand before it.

    Parameters
    ----------
    name, played, demand
        What is played.
    policy
        Each service's tier and that tier's accepted risk, shape (S,) each.
    pods
        Stand at the start beside those of the cluster, shape (S,); no search is made then.
    """
    cluster, arrays = played.cluster, arrays_of(played.cluster)
    _, risks = policy
    today = np.tile(arrays.pods, (len(demand.paths), 1))
    held = today if pods is None else np.maximum(today, pods)
    nodes = standing_start(cluster.nodes, arrays, today, held)
    start = Start(pods=held, nodes=nodes, floor=np.where(held > today, held, 0.0))
    hour = play(cluster, demand_array(cluster, demand.offered), start)
    # A service that no pods may carry is told as such; it does not hide what the others need.
    most = arrays.max_pods * (arrays.effective - arrays.idle) / arrays.per_request
    too_few = (demand.offered.max(axis=1) > most * (1 + SLACK)).mean(axis=0) > risks + SLACK
    failing = _failing(hour.minutes_above_hard > 0, too_few, policy)
    blocked = played.blocked
    search = None
    if pods is None and not blocked and (failing & ~too_few).any():
        carried = np.where(too_few, np.minimum(demand.offered, most * (1 - SLACK)), demand.offered)
        # A share of paths is a sum of floats: a hair above the risk is not above it.
        search = required_pre_scale(cluster, carried, risk=float(risks.min()) + SLACK)
    return _Run(
        name=name,
        played=played,
        hour=hour,
        pods_start=held[0],
        nodes_start=float(nodes[0]),
        too_few=too_few,
        failing=failing,
        blocked=blocked,
        search=search,
    )


def _failing(
    above: np.ndarray, too_few: np.ndarray, policy: tuple[np.ndarray, np.ndarray]
) -> np.ndarray:
    """Return the services with a part in a tier that does not keep its risk, shape (S,).

    `above` is whether a path is above hard, shape (K, S).
    """
    tiers, risks = policy
    failing = too_few.copy()
    for tier in np.unique(tiers):
        judged = (tiers == tier) & ~too_few
        if above[:, judged].any(axis=1).mean() > risks[tiers == tier][0] + SLACK:
            failing |= judged & above.any(axis=0)
    return failing


def _rows(demand: EventDemand, run: _Run) -> Iterator[dict[str, Any]]:
    """Yield one row per service."""
    hour, search = run.hour, run.search
    for k, name in enumerate(demand.group.services):
        above = hour.minutes_above_hard[:, k]
        drain_min = _quantile(hour.drain_s[:, k], 0.95) / 60.0
        status: Status = "GREEN"
        if run.failing[k]:
            helps = search is not None and search.feasible and not run.too_few[k]
            status = "AMBER" if helps else "RED"
        yield {
            "service": name,
            "pool": demand.group.pool,
            "run": run.name,
            "hour": demand.hour,
            "profile": demand.profile,
            "paths": len(demand.paths),
            "minutes_above_hard_p50": _quantile(above, 0.5),
            "minutes_above_hard_p95": _quantile(above, 0.95),
            "share_surviving": float((above == 0).mean()),
            "backlog_p95": _quantile(hour.largest_backlog[:, k], 0.95),
            "drain_min_p95": drain_min if math.isfinite(drain_min) else math.nan,
            "pods_start": float(run.pods_start[k]),
            "pods_peak": _quantile(hour.peak_pods[:, k], 0.95),
            "nodes_start": run.played.standing(run.nodes_start),
            "nodes_peak": run.played.standing(_quantile(hour.peak_nodes, 0.95)),
            **_pre_scale(demand, run, k),
            "limits": "; ".join(_limits(run, k, queued=math.isinf(drain_min))),
            "status": status,
        }


def _pre_scale(demand: EventDemand, run: _Run, k: int) -> dict[str, Any]:
    """Return what has to stand for one service, nothing where no search was made."""
    search = run.search
    if search is None:
        nothing = dict.fromkeys(
            ("pre_scale_pods", "pre_scale_nodes", "pre_scale_min_before"), math.nan
        )
        return {**nothing, "pre_scale_from": ""}
    return {
        "pre_scale_pods": float(search.pods[k]),
        "pre_scale_nodes": run.played.needed(search.nodes),
        "pre_scale_min_before": search.lead_s / 60.0,
        "pre_scale_from": demand.local_time(search.latest_order_s),
    }


def _limits(run: _Run, k: int, *, queued: bool) -> list[str]:
    """Return what stands in a service's way: its own maximum, shared bounds, a queue that stays."""
    own = f"max_pods of {run.played.cluster.names[k]}"
    searched = run.search.limits if run.search is not None else run.blocked
    shared = [limit for limit in searched if not limit.startswith("max_pods of ")]
    found = [own] if run.too_few[k] or own in searched else []
    if run.failing[k]:
        found += shared
    return [*found, "requests still queue at the end"] if queued else found


def _quantile(values: np.ndarray, q: float) -> float:
    return float(values[order_statistic(values, q)])


def event_hour_note(solved: Solved, frame: pd.DataFrame) -> dict[str, str]:
    """Return how the event hour was played, under the report's section; none where it was not."""
    played = frame[frame["status"] != "GREY"]
    if "event_hour" not in solved.request.also or played.empty:
        return {}
    counts = sorted({int(n) for n in played["paths"]})
    paths = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    words = (
        f"The event hour is played in ticks of 15 s on {paths} paths, a stratified sample of the "
        "mixture; start-up times and speeds are assumed where none are declared."
    )
    if played["profile"].str.contains("step").any():
        words += " A declared level has no hours: it steps at once from today's level to its peak."
    return {"services": words}


def with_event_hour(assumptions: pd.DataFrame, solved: Solved) -> pd.DataFrame:
    """Return the assumptions with the times and speeds that the event hour rests on."""
    if "event_hour" not in solved.request.also:
        return assumptions
    topology = solved.estate.topology
    rows: list[tuple[str, str, str, str]] = []
    groups, _ = groups_of(solved)
    services = [name for group in groups for name in group.services]
    if any(topology.services[name].dynamics is None for name in services):
        rows += _dynamics_rows("", Dynamics(), "prior: none declared")
    for name in services:
        declared = topology.services[name]
        if declared.dynamics is not None:
            rows += _dynamics_rows(f" of {name}", declared.dynamics, "topology, dynamics")
        if warm_up_s(declared):
            text = f"{warm_up_s(declared):g}"
            rows.append((f"warm-up of {name}", text, "s", "topology, dynamics or startup_s"))
    for pool in dict.fromkeys(group.pool for group in groups if group.pool):
        found = topology.pools[pool].dynamics
        source = "prior: none declared" if found is None else "topology, dynamics"
        nodes = found or NodeDynamics()
        rows += [
            (f"node start of {pool}", f"{nodes.node_start_s:g}", "s", source),
            (f"node launches of {pool}", f"{nodes.launch_per_min:g}", "1/min", source),
            (f"spare nodes of {pool}", str(nodes.spare_nodes), "nodes", source),
        ]
    added = pd.DataFrame(
        [(f"event hour: {n}", v, u, "assumed", s) for n, v, u, s in rows],
        columns=assumptions.columns,
    )
    return pd.concat([assumptions, added], ignore_index=True)


def _dynamics_rows(of: str, dynamics: Dynamics, source: str) -> list[tuple[str, str, str, str]]:
    scaling, retries = dynamics.autoscaler, dynamics.retries
    up, overload = scaling.up, overload_of(dynamics)
    if isinstance(overload, Shed):
        excess = ("shed above", f"{overload.above:g}", "ratio of capacity")
    else:
        excess = ("longest wait", f"{overload.timeout_s:g}", "s")
    again = "none"
    if retries is not None:
        budget = "no budget" if retries.budget is None else f"budget {retries.budget:g}"
        again = f"{retries.attempts} attempts, {budget}"
    figures = [
        ("pod start", f"{dynamics.pod_start_s:g}", "s"),
        ("metric delay", f"{scaling.metric_delay_s:g}", "s"),
        ("autoscaler tolerance", f"{scaling.tolerance:g}", "ratio"),
        (
            "scale-up",
            f"{up.max_pods} pods or {up.max_percent:g} %",
            f"per {up.period_s:g} s",
        ),
        ("scale-down window", f"{scaling.down_window_s:g}", "s"),
        excess,
        ("retries", again, ""),
    ]
    return [(f"{name}{of}", value, unit, source) for name, value, unit in figures]
