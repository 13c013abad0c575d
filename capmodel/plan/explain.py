"""The chain of factors behind each limit: demand, calls, use per request, peak, policy.

This module answers: how does the path at the P50 of the season lead from business events to the
usage of a limit? A quantile is an order statistic, so the chain is one path's and multiplies out.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

import pandas as pd

from capmodel.capacity.estate import AUTOSCALED, pod_requests
from capmodel.capacity.evaluate import (
    declared_mix,
    declared_shares,
    pool_instant,
    pool_pods_per_zone,
    zone_pods,
)
from capmodel.plan.explain_databases import (
    connection_steps,
    database_steps,
    line_steps,
    storage_steps,
)
from capmodel.plan.factors import Factor, load_steps, root_steps
from capmodel.plan.frames_limits import scenario_weights, scenarios_of
from capmodel.plan.paths import At, at_p50

if TYPE_CHECKING:
    from capmodel.capacity.estate import Limit
    from capmodel.capacity.sizing import LimitPaths
    from capmodel.plan.make import Solved

__all__ = ["factors_frame"]

FACTOR_COLUMNS = ["scenario", "node", "limit", "step", "factor", "value", "unit", "basis", "source"]


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
    if limit.kind == "pods":
        yield from _service_steps(solved, path, at, beyond.get(limit.node, 0.0))
    else:
        yield from _STEPS[limit.kind](solved, path, scenario, at)
    usage = float(path.season_peak[at.scenario, at.draw])
    yield Factor("usage, P50 of the season", usage, limit.unit, limit.basis, "product of the above")
    if math.isfinite(limit.hard):
        yield Factor("/ hard limit", limit.hard, limit.unit, "assumed", limit.source)
        yield Factor("utilization", limit.share(usage), "ratio", limit.basis, "usage / limit")
        yield Factor("policy", limit.policy_x, "ratio", "assumed", _policy_source(solved, limit))
    if limit.imbalance_x > 1 and limit.kind == "pods":
        service = solved.estate.services[limit.node]
        yield Factor(
            "hottest pod / mean pod, against the hard limit",
            limit.imbalance_x,
            "ratio",
            service.imbalance_basis,
            service.imbalance_source,
        )


def _policy_source(solved: Solved, limit: Limit) -> str:
    """Return where the planned share of a limit comes from."""
    service = solved.estate.services.get(limit.node)
    if service is None or limit.name != "cpu_cores":
        return "policy.utilization"
    own = service.utilization is not None
    source = f"topology, {limit.node}.utilization" if own else "policy.utilization"
    return source if service.cpu_limit_x == 1.0 else f"{source} of the request / CPU limit"


def _throttling_steps(
    solved: Solved, path: LimitPaths, _scenario: str, _at: At
) -> Iterator[Factor]:
    found = solved.estate.throttled[path.limit.node]
    words = "share of throttled periods"
    yield Factor(words, found.share, "ratio", found.basis, found.source)


def _address_steps(solved: Solved, path: LimitPaths, _scenario: str, at: At) -> Iterator[Factor]:
    name = path.limit.node
    instant = pool_instant(at.estate, at.loads, name)
    for root in sorted(instant):
        yield from root_steps(solved, root, at, instant)
    pods, nodes = zone_pods(at.estate, at.loads, name, instant)
    for service, count in pods.items():
        basis = solved.estate.services[service].basis
        words = f"at {at.of(at.loads.at(service, instant)):.4g}/s"
        yield Factor(f"pods of {service} per zone", at.of(count), "pods", basis, words)
    surge, frozen = float(at.estate.surge[0]), "policy.surge, or rollback_surge inside the freeze"
    yield Factor("x (1 + surge of a rollout)", 1 + surge, "ratio", "assumed", frozen)
    pool, network = solved.estate.topology.pools[name], solved.estate.networks[name]
    words = f"{pool.spare_nodes_per_zone} of them to spare; {pool.types[0]} with {network.enis} "
    words += f"interfaces of {network.ips_per_eni} addresses"
    yield Factor("nodes per zone", at.of(nodes), "nodes", path.limit.basis, words)


def _quota_steps(solved: Solved, path: LimitPaths, _scenario: str, at: At) -> Iterator[Factor]:
    yield from load_steps(solved, path.limit.node, at)


def _replicas_steps(solved: Solved, path: LimitPaths, _scenario: str, at: At) -> Iterator[Factor]:
    name = path.limit.node
    service = solved.estate.services[name]
    yield from load_steps(solved, name, at)
    yield Factor(
        "x pods today", float(service.today_pods or 0), "pods", "assumed", "replicas.today"
    )
    today, basis = service.today_rps, solved.estate.call_basis[name]
    yield Factor("/ load today", today, "1/s", basis, "pods follow load, no usage is known")


def _service_steps(solved: Solved, path: LimitPaths, at: At, beyond_x: float) -> Iterator[Factor]:
    limit = path.limit
    service = at.estate.services[limit.node]
    per_pod = service.load_per_pod(at.estate.targets(limit.node))
    yield from load_steps(solved, limit.node, at)
    use = service.uses_of(limit.name)[0]
    for steeper in service.uses_of(limit.name)[1:]:
        if per_pod > steeper.holds_from:
            use = steeper
    slope = at.of(use.per_request_at(per_pod))
    note = "topology, usage" if use.basis == "assumed" else "usage fit"
    if service is not solved.estate.services[limit.node] and use.resource == "cpu_cores":
        note += ", with the scenario's efficiency"
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


def _pool_steps(solved: Solved, path: LimitPaths, _scenario: str, at: At) -> Iterator[Factor]:
    name = path.limit.node
    instant = pool_instant(at.estate, at.loads, name)
    for root in sorted(instant):
        yield from root_steps(solved, root, at, instant)
    per_zone = pool_pods_per_zone(at.estate, at.loads, name, AUTOSCALED, instant)
    zones = solved.estate.topology.pools[name].zones
    for service, pods in per_zone.items():
        cores, gib, _ = pod_requests(at.estate, service)
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


def _declared_steps(solved: Solved, path: LimitPaths, _scenario: str, at: At) -> Iterator[Factor]:
    name = path.limit.node
    limit, unit = solved.estate.topology.limits[name], solved.estate.topology.limits[name].unit
    instant = at.loads.instant(declared_mix(at.estate, name))
    for root in sorted(instant):
        yield from root_steps(solved, root, at, instant)
    for share in declared_shares(at.estate, at.loads, name):
        words = f"{at.of(share.count):.6g} {share.kind} x {share.each:.6g} {unit}"
        basis = solved.estate.call_basis.get(share.user, "assumed")
        yield Factor(f"+ {share.kind} of {share.user}", at.of(share.usage), unit, basis, words)
    if limit.constant:
        yield Factor("+ constant", limit.constant, unit, "assumed", "topology")


_STEPS: Final[Mapping[str, Callable[[Solved, LimitPaths, str, At], Iterator[Factor]]]] = (
    MappingProxyType(
        {
            "nodes": _pool_steps,
            "replicas": _replicas_steps,
            "quota": _quota_steps,
            "addresses": _address_steps,
            "throttling": _throttling_steps,
            "declared": _declared_steps,
            "database_cores": database_steps,
            "database": line_steps,
            "storage": storage_steps,
            "connections": connection_steps,
        }
    )
)
