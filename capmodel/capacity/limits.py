"""Every limit of an estate as one kind of object.

This module answers: what bounds what, at which value, how much of it is planned, and how does the
usage grow with the multiple of today's traffic? Usage on paths comes from `evaluate`.
"""

from __future__ import annotations

import math

from capmodel.capacity.curves import (
    BentCurve,
    ConnectionsCurve,
    LinearCurve,
    NodesCurve,
    NodesOfPool,
    PodsOnPool,
    PooledCaller,
    SumCurve,
)
from capmodel.capacity.estate import (
    AUTOSCALED,
    SATURATED,
    Estate,
    Limit,
    pod_requests,
    pods_curve,
    pool_services,
    pooled_callers,
)
from capmodel.capacity.evaluate import database_rates
from capmodel.capacity.use import PodUse, ServiceUse, targets_of
from capmodel.schema import worst_basis
from capmodel.topology import Hold

__all__ = ["limits_of"]


def limits_of(estate: Estate) -> tuple[Limit, ...]:
    """Return every limit of the estate, in the order of the topology."""
    topology = estate.topology
    limits: list[Limit] = []
    for name in topology.services:
        limits += _service_limits(estate, name)
    for name in topology.databases:
        limits += _database_limits(estate, name)
    limits += [_quota_limit(estate, name) for name in topology.externals]
    limits += [_nodes_limit(estate, name) for name in topology.pools if pool_services(estate, name)]
    limits += [_declared_limit(estate, name) for name in topology.limits]
    return tuple(limits)


def _service_limits(estate: Estate, name: str) -> list[Limit]:
    service = estate.services[name]
    policy = estate.topology.policy
    bound = math.nan if service.maximum is None else float(service.maximum)
    if not service.uses and service.known:
        return [_replicas_limit(estate, name)]
    limits = []
    for resource in dict.fromkeys(use.resource for use in service.uses):
        use, *_ = service.uses_of(resource)
        lines = [_service_line(estate, service, one) for one in service.uses_of(resource)]
        limits.append(
            Limit(
                node=name,
                name=resource,
                kind="pods",
                unit="cores" if resource == "cpu_cores" else "GiB",
                tier=estate.topology.tier_of(name),
                hard=bound * use.request,
                policy_x=float(getattr(policy.utilization, use.resource)),
                imbalance_x=service.imbalance_x,
                basis=worst_basis([use.basis, estate.call_basis[name]]),
                curve=_curve(lines, 1.0),
                follows_load=use.follows_load,
                own_saturation=_curve(lines, service.imbalance_x),
                source=f"topology, {name}.replicas.max x pod",
            )
        )
    return limits


def _curve(lines: list[LinearCurve], x: float) -> LinearCurve | BentCurve:
    """Return usage along one line, or along the larger of two, times a factor."""
    first, *steeper = (LinearCurve(constant=c.constant * x, slope=c.slope * x) for c in lines)
    return BentCurve(flat=first, steep=steeper[0]) if steeper else first


def _service_line(estate: Estate, service: ServiceUse, use: PodUse) -> LinearCurve:
    """Return a service's usage with all pods that may run; without a bound, with those that do."""
    today = estate.today[service.name]
    if service.maximum is not None:
        return LinearCurve(constant=use.per_pod * service.maximum, slope=use.per_request * today)
    pods = service.pods_per_load(targets_of(AUTOSCALED, estate.topology.policy))
    idle = use.per_pod * pods if math.isfinite(pods) else 0.0
    return LinearCurve(constant=0.0, slope=(use.per_request + idle) * today)


def _replicas_limit(estate: Estate, name: str) -> Limit:
    """Return the bound on the pods of a service whose use is not known, only its pods today."""
    service = estate.services[name]
    per_load = service.pods_per_load(targets_of(AUTOSCALED, estate.topology.policy))
    return Limit(
        node=name,
        name="replicas",
        kind="replicas",
        unit="pods",
        tier=estate.topology.tier_of(name),
        hard=math.nan if service.maximum is None else float(service.maximum),
        policy_x=1.0,
        imbalance_x=1.0,
        basis=worst_basis([service.basis, estate.call_basis[name]]),
        curve=LinearCurve(constant=0.0, slope=per_load * estate.today[name]),
        source=f"topology, {name}.replicas.max",
    )


def _database_limits(estate: Estate, name: str) -> list[Limit]:
    topology = estate.topology
    database = topology.databases[name]
    tier = topology.tier_of(name)
    basis = worst_basis(estate.call_basis[user] for user in database.used_by)
    limits = []
    if name in estate.databases:
        use = estate.databases[name]
        idle, per_read, per_write = use.central
        reads, writes = database_rates(estate, name, {u: estate.today[u] for u in database.used_by})
        limits.append(
            Limit(
                node=name,
                name="cpu_cores",
                kind="database_cores",
                unit="cores",
                tier=tier,
                hard=estate.database_cores[name],
                policy_x=topology.policy.utilization.database_cpu_cores,
                imbalance_x=1.0,
                basis=worst_basis([use.basis, basis]),
                curve=LinearCurve(
                    constant=idle, slope=float(per_read * reads + per_write * writes)
                ),
                follows_load=use.follows_load,
                source=f"catalog, {database.db_class}",
            )
        )
    callers = pooled_callers(estate, name)
    if callers:
        limits.append(
            Limit(
                node=name,
                name="connections",
                kind="connections",
                unit="connections",
                tier=tier,
                hard=estate.max_connections[name],
                policy_x=topology.policy.utilization.connections,
                imbalance_x=1.0,
                basis=worst_basis([basis, *(estate.services[c.name].basis for c in callers)]),
                curve=ConnectionsCurve(callers=callers),
                source=f"catalog, {database.db_class}"
                if database.max_connections is None
                else f"topology, {name}.max_connections",
            )
        )
    return limits


def _quota_limit(estate: Estate, name: str) -> Limit:
    external = estate.topology.externals[name]
    return Limit(
        node=name,
        name="quota",
        kind="quota",
        unit="1/s",
        tier=estate.topology.tier_of(name),
        hard=external.limit_rps,
        policy_x=estate.topology.policy.utilization.quota,
        imbalance_x=1.0,
        basis=estate.call_basis[name],
        curve=LinearCurve(constant=0.0, slope=estate.today[name]),
        lead_days=external.lead_days,
        source=f"topology, {name}.limit_rps",
    )


def _nodes_limit(estate: Estate, name: str) -> Limit:
    pool = estate.topology.pools[name]
    members = pool_services(estate, name)
    bound = pool.max if pool.max is not None else pool.today
    return Limit(
        node=name,
        name="nodes",
        kind="nodes",
        unit="nodes",
        tier=estate.topology.tier_of(name),
        hard=math.nan if bound is None else float(bound),
        policy_x=estate.topology.policy.utilization.nodes,
        imbalance_x=1.0,
        basis=worst_basis(
            b for m in members for b in (estate.services[m].basis, estate.call_basis[m])
        ),
        curve=_nodes_curve(estate, name, AUTOSCALED),
        own_saturation=_nodes_curve(estate, name, SATURATED),
        source=f"topology, {name}.max, or the nodes of today",
    )


def _nodes_curve(estate: Estate, name: str, hold: Hold) -> NodesCurve:
    """Return a pool's nodes; a pod that the autoscaler may not run yet is needed all the same."""
    node = estate.nodes[name]
    return NodesCurve(
        zones=estate.topology.pools[name].zones,
        usable=(node.cpu_cores, node.memory_gib, float(node.pods)),
        services=tuple(
            PodsOnPool(
                name=m,
                pods=pods_curve(estate, m, hold).model_copy(update={"maximum": None}),
                requests=pod_requests(estate, m),
            )
            for m in pool_services(estate, name)
        ),
    )


def _declared_limit(estate: Estate, name: str) -> Limit:
    declared, bound = estate.topology.limits[name], estate.declared[name]
    policy = estate.topology.policy.utilization.quota
    users = estate.topology.users_of_limit(name)
    loads = sum(per * estate.today[node] for node, per in declared.per_request.items())
    curve = SumCurve(
        line=LinearCurve(constant=declared.constant, slope=loads),
        pods=tuple(
            PooledCaller(
                name=service,
                pods=pods_curve(estate, service),
                per_pod=per_pod,
                surge=estate.season_surge,
            )
            for service, per_pod in declared.per_pod.items()
            if estate.services[service].known and service not in estate.rates.infeasible
        ),
        pools=tuple(
            NodesOfPool(per_node=per_node, nodes=_nodes_curve(estate, pool, AUTOSCALED))
            for pool, per_node in bound.per_node.items()
        ),
    )
    hottest = curve.model_copy(update={"imbalance_x": declared.imbalance_x})
    return Limit(
        node=name,
        name="usage",
        kind="declared",
        unit=declared.unit,
        tier=estate.topology.tier_of(name),
        hard=bound.hard,
        policy_x=policy if declared.policy_x is None else declared.policy_x,
        imbalance_x=declared.imbalance_x,
        basis=worst_basis(["assumed", *(estate.call_basis[u] for u in users)]),
        curve=curve,
        own_saturation=hottest if declared.imbalance_x > 1 else None,
        lead_days=bound.lead_days,
        source=bound.source,
    )
