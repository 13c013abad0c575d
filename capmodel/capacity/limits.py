"""Every limit of an estate as one kind of object.

This module answers: what bounds what, at which value, how much of it is planned, and how does the
usage grow with the multiple of today's traffic? Usage on paths comes from `evaluate`.
"""

from __future__ import annotations

import math

from capmodel.capacity.curves import (
    AddressesCurve,
    BentCurve,
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
)
from capmodel.capacity.limits_databases import database_limits
from capmodel.capacity.use import PodUse, ServiceUse
from capmodel.schema import Basis, worst_basis
from capmodel.topology import Hold
from capmodel.usage.saturation import THROTTLED_SHARE

__all__ = ["limits_of"]


def limits_of(estate: Estate) -> tuple[Limit, ...]:
    """Return every limit of the estate, in the order of the topology."""
    topology = estate.topology
    limits: list[Limit] = []
    for name in topology.services:
        limits += _service_limits(estate, name)
        if name in estate.throttled:
            limits.append(_throttling_limit(estate, name))
    for name in topology.databases:
        limits += database_limits(estate, name)
    limits += [_quota_limit(estate, name) for name in topology.externals]
    limits += [_nodes_limit(estate, name) for name in topology.pools if pool_services(estate, name)]
    limits += [_addresses_limit(estate, n) for n in estate.networks if pool_services(estate, n)]
    limits += [_declared_limit(estate, name) for name in topology.limits]
    return tuple(limits)


def _service_limits(estate: Estate, name: str) -> list[Limit]:
    """Return the bounds on what a service's pods use, all that may run together.

    Of cores that is the CPU limit where one is set, else the request; see
    :meth:`capmodel.capacity.use.ServiceUse.targets`.
    """
    service = estate.services[name]
    targets = estate.targets(name)
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
                hard=bound * use.request * service.limit_x(resource),
                policy_x=targets[resource] / service.limit_x(resource),
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
    pods = service.pods_per_load(estate.targets(service.name))
    idle = use.per_pod * pods if math.isfinite(pods) else 0.0
    return LinearCurve(constant=0.0, slope=(use.per_request + idle) * today)


def _replicas_limit(estate: Estate, name: str) -> Limit:
    """Return the bound on the pods of a service whose use is not known, only its pods today."""
    service = estate.services[name]
    per_load = service.pods_per_load(estate.targets(name))
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


def _throttling_limit(estate: Estate, name: str) -> Limit:
    """Return the bound on the share of periods in which a CPU limit stops the pods.

    Without a bound where the share has to be measured first: GREY. The mean usage of a minute says
    nothing of it, so the row of cores cannot stand for it.
    """
    found = estate.throttled[name]
    return Limit(
        node=name,
        name="throttling",
        kind="throttling",
        unit="ratio",
        tier=estate.topology.tier_of(name),
        hard=THROTTLED_SHARE if found.known else math.nan,
        policy_x=1.0,
        imbalance_x=1.0,
        basis=found.basis,
        curve=LinearCurve(constant=found.share, slope=0.0),
        source=found.source,
    )


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
        basis=_pool_basis(estate, name),
        curve=_nodes_curve(estate, name, AUTOSCALED),
        own_saturation=_nodes_curve(estate, name, SATURATED),
        source=f"topology, {name}.max, or the nodes of today",
    )


def _nodes_curve(estate: Estate, name: str, hold: Hold, *, spare: int = 0) -> NodesCurve:
    """Return a pool's nodes; a pod that the autoscaler may not run yet is needed all the same."""
    node = estate.nodes[name]
    return NodesCurve(
        zones=estate.topology.pools[name].zones,
        usable=(node.cpu_cores, node.memory_gib, float(node.pods)),
        services=tuple(
            PodsOnPool(
                name=m,
                pods=pods_curve(estate, m, hold).model_copy(update={"maximum": None}),
                requests=pod_requests(estate, m, hold),
            )
            for m in pool_services(estate, name)
        ),
        spare_per_zone=spare,
    )


def _addresses_limit(estate: Estate, name: str) -> Limit:
    """Return the bound on the addresses of one zone, of nodes with their spare and of pods.

    As the autoscaler runs them, without failures: what nodes that stand for the loss of a zone and
    that zone's pods take is shown by the overlay ``lose_zones``.
    """
    pool = estate.topology.pools[name]
    nodes = _nodes_curve(estate, name, AUTOSCALED, spare=pool.spare_nodes_per_zone)
    free = math.nan if pool.subnet is None else float(pool.subnet.free_addresses_per_zone)
    return Limit(
        node=name,
        name="addresses",
        kind="addresses",
        unit="addresses",
        tier=estate.topology.tier_of(name),
        hard=free,
        policy_x=estate.topology.policy.utilization.quota,
        imbalance_x=1.0,
        basis=_pool_basis(estate, name),
        curve=AddressesCurve(nodes=nodes, network=estate.networks[name], surge=estate.season_surge),
        lead_days=0 if pool.subnet is None else pool.subnet.lead_days,
        source=f"topology, {name}.subnet.free_addresses_per_zone",
    )


def _pool_basis(estate: Estate, name: str) -> Basis:
    return worst_basis(
        basis
        for member in pool_services(estate, name)
        for basis in (estate.services[member].basis, estate.call_basis[member])
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
            NodesOfPool(
                per_node=per_node,
                nodes=_nodes_curve(
                    estate,
                    pool,
                    AUTOSCALED,
                    spare=estate.topology.pools[pool].spare_nodes_per_zone,
                ),
            )
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
