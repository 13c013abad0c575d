"""The chain of factors behind each limit: demand, calls, use per request, peak, policy.

This module answers: how does the path at the P50 of the season lead from business events to the
usage of a limit? A quantile is an order statistic, so the chain is one path's and multiplies out.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd

from capmodel.capacity.estate import AUTOSCALED, pod_requests
from capmodel.capacity.evaluate import (
    connections_instant,
    database_instant,
    declared_mix,
    declared_shares,
    pool_instant,
    pool_pods_per_zone,
)
from capmodel.capacity.replicas import ceil_units
from capmodel.capacity.use import targets_of
from capmodel.demand import DemandFit
from capmodel.plan.frames_limits import scenario_weights, scenarios_of
from capmodel.plan.paths import At, at_p50
from capmodel.plan.supply_databases import connection_sheet
from capmodel.scenario import assumed_lift
from capmodel.schema import Basis

if TYPE_CHECKING:
    import numpy as np

    from capmodel.capacity.sizing import LimitPaths
    from capmodel.plan.make import Solved

__all__ = ["factors_frame"]

FACTOR_COLUMNS = ["scenario", "node", "limit", "step", "factor", "value", "unit", "basis", "source"]


@dataclass(frozen=True, slots=True)
class Factor:
    """One step of a chain."""

    factor: str
    value: float
    unit: str
    basis: Basis
    source: str


def factors_frame(solved: Solved, beyond: Mapping[str, float]) -> pd.DataFrame:
    """Return every limit's chain in every scenario and the mixture.

    `beyond` is the planned load / the largest that a fit has seen, by node.
    """
    rows = []
    for scenario in scenarios_of(solved):
        weights = scenario_weights(solved, scenario)
        for path in solved.paths:
            at = at_p50(solved, path, weights)
            for step, factor in enumerate(_chain(solved, path, scenario, at, beyond), 1):
                rows.append(
                    (scenario, *path.limit.key, step, factor.factor, factor.value, factor.unit,
                     factor.basis, factor.source)
                )  # fmt: skip
    return pd.DataFrame(rows, columns=FACTOR_COLUMNS)


def _chain(
    solved: Solved, path: LimitPaths, scenario: str, at: At, beyond: Mapping[str, float]
) -> Iterator[Factor]:
    limit = path.limit
    if limit.kind == "nodes":
        yield from _pool_steps(solved, limit.node, at)
    elif limit.kind == "connections":
        yield from _connection_steps(solved, path, scenario, at)
    elif limit.kind == "database_cores":
        yield from _database_steps(solved, limit.node, at)
    elif limit.kind == "quota":
        yield from _load_steps(solved, limit.node, at)
    elif limit.kind == "replicas":
        yield from _replicas_steps(solved, limit.node, at)
    elif limit.kind == "declared":
        yield from _declared_steps(solved, limit.node, at)
    else:
        yield from _service_steps(solved, path, at, beyond.get(limit.node, 0.0))
    usage = float(path.season_peak[at.scenario, at.draw])
    yield Factor("usage, P50 of the season", usage, limit.unit, limit.basis, "product of the above")
    if math.isfinite(limit.hard):
        yield Factor("/ hard limit", limit.hard, limit.unit, "assumed", limit.source)
        yield Factor("utilization", limit.share(usage), "ratio", limit.basis, "usage / limit")
        yield Factor("policy", limit.policy_x, "ratio", "assumed", "policy.utilization")
    if limit.imbalance_x > 1 and limit.kind == "pods":
        service = solved.estate.services[limit.node]
        yield Factor(
            "hottest pod / mean pod, against the hard limit",
            limit.imbalance_x,
            "ratio",
            service.imbalance_basis,
            service.imbalance_source,
        )


def _load_steps(solved: Solved, node: str, at: At) -> Iterator[Factor]:
    """Yield the roots' busiest minute, the calls, and the node's load."""
    instant = at.loads.instant({node: 1.0})
    for root, weight in at.loads.weights[node].items():
        yield from _root_steps(solved, root, at, instant)
        if node != root:
            yield Factor(
                f"x requests per event of {root}",
                at.of(weight),
                "ratio",
                solved.estate.call_basis[node],
                solved.estate.topology.paths_text(node, root=root),
            )
    if node in at.loads.remainder:
        own = at.of(at.loads.remainder[node])
        source = "service's own minutes beside its driver's"
        yield Factor("x own busiest minute / what calls carry", own, "ratio", "fitted", source)
    load = at.of(at.loads.at(node, instant))
    yield Factor(
        f"= load of {node}", load, "1/s", solved.estate.call_basis[node], "forced flow law"
    )


def _root_steps(
    solved: Solved, root: str, at: At, instant: Mapping[str, np.ndarray]
) -> Iterator[Factor]:
    """Yield a root's load in an instant: hour mean and burst, or the load where roots meet."""
    minutes = at.loads.roots[root]
    scenario = solved.request.scenarios[at.scenario]
    event = minutes.root.event[at.day]
    growth = scenario.growth_yoy_x.get(root)
    spans = {day.name: day.span for day in solved.fit.events.days}
    lift = assumed_lift(scenario, root, event, spans.get(event, event)) if event else None
    burst = at.of(minutes.burst_x)
    is_event = bool(solved.futures.event_days[at.day])
    pool = solved.fit.peaks.pool(root, "event" if is_event else "ordinary")
    burst_source = pool.note or f"{pool.n_hours} hours of fine history"
    if minutes.root.shape.shape[2] == 1:
        burst, burst_source = _declared_burst(solved, root)
    peak = at.of(at.loads.root_peak(root))
    words = [str(solved.request.dates[at.day]), event or "ordinary day"]
    words.append(f"growth {growth:g} on last season" if growth else _without_growth(solved, root))
    shown = minutes.root.lift_x[at.day] if lift is None else lift
    if event and math.isfinite(shown):
        words.append(f"lift {shown:.4g} ({'fitted' if lift is None else 'assumed'})")
    words += [
        f"{window.event} with lift {window.lift_x:.4g} in its hours"
        for window in minutes.root.windows
        if window.day == at.day and window.event != event and math.isfinite(window.lift_x)
    ]
    if root in scenario.demand_x:
        words.append(f"demand_x {scenario.demand_x[root]:g}")
    if root in scenario.peak:
        words.append("stretched to the season peak that the scenario states")
    stated = growth or lift is not None or root in {**scenario.demand_x, **scenario.peak}
    basis: Basis = "assumed" if stated else minutes.root.basis
    if len(instant) > 1:
        # Roots peak in different hours: what adds up is each one's load in the common minute.
        load = at.of(instant[root])
        yield Factor(f"{root}, in the busiest minute of all", load, "1/s", basis, ", ".join(words))
        return
    yield Factor(f"{root}, mean of the busiest hour", peak / burst, "1/s", basis, ", ".join(words))
    burst_basis = pool.basis
    words_of_burst = "x busiest minute / mean of its hour"
    yield Factor(words_of_burst, burst, "ratio", burst_basis, burst_source)


def _declared_burst(solved: Solved, root: str) -> tuple[float, str]:
    """Return busiest minute / mean of its hour of a declared level, and where it comes from.

    A declared level is a busiest minute already: without a declared factor its hour is unknown.
    """
    driver = solved.estate.topology.drivers.get(root)
    if driver is None or driver.peak_minute_x is None:
        return 1.0, "the declared level is a busiest minute, its hour is not known"
    return driver.peak_minute_x, "topology, peak_minute_x"


def _without_growth(solved: Solved, root: str) -> str:
    demand = solved.fit.demand
    if demand is None or root not in demand.services:
        return "declared level"
    return "fitted trend" if isinstance(demand, DemandFit) else "given forecast"


def _replicas_steps(solved: Solved, name: str, at: At) -> Iterator[Factor]:
    service = solved.estate.services[name]
    yield from _load_steps(solved, name, at)
    yield Factor(
        "x pods today", float(service.today_pods or 0), "pods", "assumed", "replicas.today"
    )
    today, basis = service.today_rps, solved.estate.call_basis[name]
    yield Factor("/ load today", today, "1/s", basis, "pods follow load, no usage is known")


def _service_steps(solved: Solved, path: LimitPaths, at: At, beyond_x: float) -> Iterator[Factor]:
    limit = path.limit
    service = solved.estate.services[limit.node]
    targets = targets_of(AUTOSCALED, solved.estate.topology.policy)
    per_pod = service.load_per_pod(targets)
    yield from _load_steps(solved, limit.node, at)
    use = service.uses_of(limit.name)[0]
    for steeper in service.uses_of(limit.name)[1:]:
        if per_pod > steeper.holds_from:
            use = steeper
    slope = at.of(use.per_request_at(per_pod))
    note = "topology, usage" if use.basis == "assumed" else "usage fit"
    if beyond_x > 1:
        note += f", {beyond_x:.2g} x the largest load per pod seen"
    yield Factor("x per_request", slope, f"{limit.unit} per 1/s", use.basis, note)
    if service.maximum is not None:
        background = at.of(use.per_pod_draws) * service.maximum
        yield Factor(
            "+ per_pod x replicas.max",
            background,
            limit.unit,
            use.basis,
            f"{service.maximum} pods may run",
        )


def _database_steps(solved: Solved, name: str, at: At) -> Iterator[Factor]:
    database = solved.estate.topology.databases[name]
    use = solved.estate.databases[name]
    instant = database_instant(at.estate, at.loads, name)
    reads = writes = 0.0
    for root in sorted(instant):
        yield from _root_steps(solved, root, at, instant)
    for user, caller in database.used_by.items():
        load = at.of(at.loads.at(user, instant))
        reads += load * caller.reads * (1 - database.reads_on_readers)
        writes += load * caller.writes
        yield Factor(
            f"load of {user}",
            load,
            "1/s",
            solved.estate.call_basis[user],
            f"{caller.reads:g} reads and {caller.writes:g} writes per request (declared)",
        )
    yield Factor("= reads on the writer", reads, "1/s", "assumed", "sum over callers")
    yield Factor("= writes", writes, "1/s", "assumed", "sum over callers")
    source = "topology, usage" if use.basis == "assumed" else "usage fit"
    yield Factor("x per_read", at.of(use.per_read), "core-s/read", use.basis, source)
    yield Factor("x per_write", at.of(use.per_write), "core-s/write", use.basis, source)
    yield Factor("+ idle", at.of(use.idle), "cores", use.basis, source)


def _connection_steps(solved: Solved, path: LimitPaths, scenario: str, at: At) -> Iterator[Factor]:
    name = path.limit.node
    database = solved.estate.topology.databases[name]
    surge = float(solved.estate.surge[at.day])
    sheet = connection_sheet(solved, scenario, name, {path.limit.key: path})
    instant = connections_instant(at.estate, at.loads, name)
    for root in sorted(instant):
        yield from _root_steps(solved, root, at, instant)
    for row in sheet:
        caller = database.used_by[row["service"]]
        basis = solved.estate.services[row["service"]].basis
        pods = row["pods"]
        yield Factor(f"pods of {row['service']}", pods, "pods", basis, f"at {row['rps']:.4g}/s")
        yield Factor(
            f"= connections of {row['service']}",
            row["connections"],
            "connections",
            basis,
            f"{float(ceil_units(pods * (1 + surge))):g} pods with {surge:.0%} surge x "
            f"{caller.processes} processes x pool_max {caller.pool_max}",
        )


def _pool_steps(solved: Solved, name: str, at: At) -> Iterator[Factor]:
    instant = pool_instant(at.estate, at.loads, name)
    for root in sorted(instant):
        yield from _root_steps(solved, root, at, instant)
    per_zone = pool_pods_per_zone(at.estate, at.loads, name, AUTOSCALED, instant)
    zones = solved.estate.topology.pools[name].zones
    for service, pods in per_zone.items():
        cores, gib, _ = pod_requests(solved.estate, service)
        load = at.of(at.loads.at(service, instant))
        yield Factor(
            f"pods of {service} per zone",
            at.of(pods),
            "pods",
            solved.estate.services[service].basis,
            f"at {load:.4g}/s over {zones} zones; {cores:g} cores and {gib:g} GiB each",
        )
    node = solved.estate.nodes[name]
    yield Factor(
        "/ usable cores of a node",
        node.cpu_cores,
        "cores",
        "measured",
        f"{node.instance_type} after reserve and daemonsets; also {node.memory_gib:.4g} GiB, "
        f"{node.pods} pods",
    )
    yield Factor("x zones", float(zones), "zones", "assumed", "topology")


def _declared_steps(solved: Solved, name: str, at: At) -> Iterator[Factor]:
    limit, unit = solved.estate.topology.limits[name], solved.estate.topology.limits[name].unit
    instant = at.loads.instant(declared_mix(at.estate, name))
    for root in sorted(instant):
        yield from _root_steps(solved, root, at, instant)
    for share in declared_shares(at.estate, at.loads, name):
        words = f"{at.of(share.count):.6g} {share.kind} x {share.each:.6g} {unit}"
        basis = solved.estate.call_basis.get(share.user, "assumed")
        yield Factor(f"+ {share.kind} of {share.user}", at.of(share.usage), unit, basis, words)
    if limit.constant:
        yield Factor("+ constant", limit.constant, unit, "assumed", "topology")
