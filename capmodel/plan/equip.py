"""From fit and request to the estate: what every part uses, offers and receives today."""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

from capmodel.capacity.db_connections import class_connections
from capmodel.capacity.db_lines import DatabaseLine, database_lines, summed
from capmodel.capacity.estate import DeclaredBound, Estate, pod_rates
from capmodel.capacity.loads import CallRatio, point_weights, weights_basis
from capmodel.capacity.nodes import Usable
from capmodel.capacity.pods import replicas_floor
from capmodel.capacity.use import (
    POD_RESOURCES,
    DatabaseUse,
    ServiceUse,
    database_use,
    pod_uses,
)
from capmodel.demand import DemandFit
from capmodel.plan.equip_nodes import cpu_limit_x, node_networks, pool_nodes, throttled_of
from capmodel.schema import Basis, worst_basis

if TYPE_CHECKING:
    from capmodel.catalog import Quota, Quotas
    from capmodel.plan.model import CapacityFit
    from capmodel.plan.request import PlanRequest
    from capmodel.topology import Topology

__all__ = ["make_estate", "quota_of"]


def make_estate(
    fit: CapacityFit,
    request: PlanRequest,
    calls: Mapping[tuple[str, str], CallRatio],
    *,
    larger: Mapping[str, float] = MappingProxyType({}),
) -> Estate:
    """Return the estate of a fit, ready to be loaded.

    `larger` are the services sized by their own history: own / top-down [ratio].
    """
    topology = _with_risk(fit.topology, request.risk)
    today = {name: load * larger.get(name, 1.0) for name, load in today_loads(fit, calls).items()}
    surge = _surge(fit, request)
    connections = {name: _max_connections(fit, request, name) for name in topology.databases}
    nodes = pool_nodes(topology, request.catalog)
    services = {
        name: _service_use(fit, request, name, today=today[name], nodes=nodes)
        for name in topology.services
    }
    return Estate(
        topology=topology,
        services=services,
        rates=pod_rates(topology, services),
        databases={
            name: database_use(fit.usage[name, "cpu_cores"], draws=request.draws, seed=request.seed)
            for name in topology.databases
            if (name, "cpu_cores") in fit.usage
        },
        database_lines={
            (name, limit): line
            for name in topology.databases
            for limit, line in _database_lines(fit, request, name).items()
        },
        nodes=nodes,
        today=today,
        surge=surge,
        season_surge=float(surge[request.season].max()),
        database_cores={
            name: float(request.catalog.db_class(db.engine, db.db_class).vcpu)
            for name, db in topology.databases.items()
        },
        max_connections={name: bound for name, (bound, _) in connections.items()},
        connection_source={name: source for name, (_, source) in connections.items()},
        call_basis={name: _demand_basis(fit, calls, name) for name in topology.order},
        declared={name: _declared_bound(fit, request, name) for name in topology.limits},
        throttled=throttled_of(topology, services, fit.findings),
        networks=node_networks(topology, request.catalog),
    )


def _with_risk(topology: Topology, accepted: float | None) -> Topology:
    """Return the topology with this risk for every tier, itself where none is asked for."""
    if accepted is None:
        return topology
    risk = topology.policy.risk.model_copy(update={"tier_0": accepted, "other": accepted})
    return topology.replace(policy=topology.policy.model_copy(update={"risk": risk}))


def _declared_bound(fit: CapacityFit, request: PlanRequest, name: str) -> DeclaredBound:
    """Return a declared limit's bound: the topology's own, else the row of the catalog's limits."""
    limit, pools = fit.topology.limits[name], fit.topology.pools
    quota = quota_of(fit.topology, request.quotas, name)
    per_node = {
        pool: float(request.catalog.node_type(pools[pool].types[0]).vcpu)
        if used == "vcpus"
        else float(used)
        for pool, used in limit.per_node.items()
    }
    source = f"topology, limits.{name}.hard"
    if limit.hard is None and quota is not None:
        source = f"catalog, {quota.service} {quota.name} of {quota.as_of}, {quota.source}"
    lead = limit.lead_days
    if lead is None:
        lead = 0 if quota is None else quota.lead_days or 0
    return DeclaredBound(
        hard=float(limit.hard if limit.hard is not None else quota.value if quota else math.nan),
        per_node=per_node,
        lead_days=lead,
        source=source,
    )


def quota_of(topology: Topology, quotas: Quotas, name: str) -> Quota | None:
    """Return the row of the catalog that a declared limit names; the request has checked it."""
    limit = topology.limits[name]
    if limit.quota is None:
        return None
    service, _, row = limit.quota.rpartition(".")
    return quotas.get(row, service=service)


def today_loads(fit: CapacityFit, calls: Mapping[tuple[str, str], CallRatio]) -> dict[str, float]:
    """Return each node's central load in today's busiest minute [1/s]; roots peak together."""
    weights = point_weights(fit.topology, calls)
    return {
        node: sum(w * fit.today[root].per_second for root, w in by_root.items())
        for node, by_root in weights.items()
    }


def _demand_basis(fit: CapacityFit, calls: Mapping[tuple[str, str], CallRatio], name: str) -> Basis:
    roots = fit.topology.roots_of(name)
    return worst_basis(
        [weights_basis(fit.topology, calls, name), *(root_basis(fit, r) for r in roots)]
    )


def root_basis(fit: CapacityFit, root: str) -> Basis:
    """Return the evidence of a root's forecast."""
    fitted = isinstance(fit.demand, DemandFit) and root in fit.demand.services
    return "fitted" if fitted else "assumed"


def _service_use(
    fit: CapacityFit,
    request: PlanRequest,
    name: str,
    *,
    today: float,
    nodes: Mapping[str, Usable],
) -> ServiceUse:
    service = fit.topology.services[name]
    zones = fit.topology.pools[service.pool].zones if service.pool else 1
    uses = []
    if service.pod is not None:
        requests = {"cpu_cores": service.pod.cpu_cores, "memory_gib": service.pod.memory_gib}
        uses = [
            use
            for resource in POD_RESOURCES
            if (name, resource) in fit.usage
            for use in pod_uses(
                fit.usage[name, resource],
                request=requests[resource],
                draws=request.draws,
                seed=request.seed,
                today_pods=service.replicas.today,
            )
        ]
    x, basis, source = _hottest_pod(fit, name)
    return ServiceUse(
        name=name,
        uses=tuple(uses),
        imbalance_x=x,
        imbalance_basis=basis,
        imbalance_source=source,
        today_rps=today,
        today_pods=service.replicas.today,
        minimum=replicas_floor(
            service.replicas.min, zones=zones, per_zone=service.replicas.min_per_zone
        ),
        maximum=service.replicas.max,
        utilization=service.utilization,
        cpu_limit_x=cpu_limit_x(service, nodes),
    )


def _hottest_pod(fit: CapacityFit, name: str) -> tuple[float, Basis, str]:
    """Return hottest pod / mean pod with its evidence: declared, measured, or the prior."""
    declared = fit.topology.services[name].imbalance_x
    if declared is not None:
        return declared, "assumed", "topology, imbalance_x"
    measured = fit.imbalance.get(name)
    if measured.basis == "measured":
        source = f"series per pod, P95 of {measured.n_intervals} busy intervals"
        return measured.imbalance_x, "measured", source
    return measured.imbalance_x, "assumed", "prior for per-request balancing"


def _max_connections(fit: CapacityFit, request: PlanRequest, name: str) -> tuple[float, str]:
    """Return declared, documented or computed connections and their source.

    Behind a proxy, the share of them that it may take.
    """
    database = fit.topology.databases[name]
    today = request.catalog.db_class(database.engine, database.db_class)
    found = class_connections(today, declared=database.max_connections, today=today)
    source = {
        "declared": f"topology, {name}.max_connections",
        "documented": f"catalog, {database.db_class}",
        "formula": f"formula of the memory of {database.db_class}, no table states it",
    }[found.basis]
    return float(found.value) * database.connections_share, source


def _database_lines(fit: CapacityFit, request: PlanRequest, name: str) -> dict[str, DatabaseLine]:
    """Return what a database's instances use besides the writer's cores, where it is known."""
    database = fit.topology.databases[name]

    def use_of(*resources: str) -> DatabaseUse | None:
        known = [fit.usage[name, r] for r in resources if (name, r) in fit.usage]
        uses = [database_use(u, draws=request.draws, seed=request.seed) for u in known]
        return summed(uses) if uses else None

    return database_lines(
        database,
        cores=use_of("cpu_cores"),
        operations=use_of("iops") or use_of("iops_read", "iops_write"),
        network=use_of("network_mbps"),
        db_class=request.catalog.db_class(database.engine, database.db_class),
        policy=fit.topology.policy.utilization,
    )


def _surge(fit: CapacityFit, request: PlanRequest) -> np.ndarray:
    """Return each day's extra pods of a rollout: the rollback's inside the freeze."""
    policy = fit.topology.policy
    frozen = np.zeros(len(request.dates), dtype=bool)
    for freeze in request.orders.freeze:
        frozen |= (request.dates >= np.datetime64(freeze.start)) & (
            request.dates < np.datetime64(freeze.end)
        )
    return np.where(frozen, policy.rollback_surge, policy.surge)
