"""What nodes offer to pods, and what a CPU limit does to them: topology and catalog together.

This module answers: what does a node of each pool leave to pods, which addresses may its zones
take, does every pod fit a node at all, how far may a pod burst there, and how often does a CPU
limit stop it?
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from capmodel.capacity.addresses import group_max_pods
from capmodel.capacity.curves import NodeNetwork
from capmodel.capacity.estate import AUTOSCALED, Throttled
from capmodel.capacity.nodes import Usable, usable
from capmodel.capacity.throttling import throttling
from capmodel.errors import InputError, Problem
from capmodel.plan.suspects import THROTTLED_CODE, suspect_gib

if TYPE_CHECKING:
    from capmodel.capacity.use import ServiceUse
    from capmodel.catalog import Catalog
    from capmodel.schema import Findings
    from capmodel.topology import Pod, Pool, Service, Topology

__all__ = [
    "cpu_limit_x",
    "node_networks",
    "pool_nodes",
    "service_s_of",
    "throttled_of",
    "usable_node",
]

_EVEN: Final = 1e-9
"""Dispersion of arrivals without any variance; the estimate wants one above 0 [ratio]."""


def pool_nodes(topology: Topology, catalog: Catalog) -> dict[str, Usable]:
    """Return what a node of each pool leaves to pods, by its first type.

    A mixed node group runs as many pods on every node as that of its types which may run fewest.

    Raises
    ------
    InputError
        For every pod that is larger than an empty node of its pool, both named.
    """
    nodes = {name: _node(pool, catalog) for name, pool in topology.pools.items()}
    problems = [
        problem
        for name, service in topology.services.items()
        if service.pod is not None and service.pool is not None
        for problem in _too_large(
            name, service.pod, nodes[service.pool], topology.pools[service.pool], catalog
        )
    ]
    if problems:
        raise InputError(problems)
    return nodes


def _node(pool: Pool, catalog: Catalog) -> Usable:
    node = usable_node(pool, pool.types[0], catalog)
    if not pool.mixed:
        return node
    most = group_max_pods(
        [catalog.node_type(kind) for kind in pool.types],
        prefix_mode=pool.prefix_mode,
        custom_networking=pool.custom_networking,
    )
    left = min(node.pods, most - pool.daemonsets.pods)
    if left < 1:
        raise InputError.of(
            f"daemonsets on {', '.join(pool.types)}",
            got=f"{pool.daemonsets.pods} pods on nodes that may run {most}",
            expected="room for at least one pod on each node",
            do="Leave the smallest type out of the mixed group, or correct the daemonsets.",
        )
    return replace(node, pods=left)


def usable_node(pool: Pool, kind: str, catalog: Catalog) -> Usable:
    """Return what a node of a type leaves to pods in a pool: its network mode and daemonsets."""
    return usable(
        catalog.node_type(kind),
        prefix_mode=pool.prefix_mode,
        custom_networking=pool.custom_networking,
        daemonset_cpu_cores=pool.daemonsets.cpu_cores,
        daemonset_memory_gib=pool.daemonsets.memory_gib,
        daemonset_pods=pool.daemonsets.pods,
    )


def _too_large(name: str, pod: Pod, node: Usable, pool: Pool, catalog: Catalog) -> list[Problem]:
    """Return the problem of a pod that no empty node holds."""
    if _fits(pod, node):
        return []
    offered = [node, *(usable_node(pool, kind, catalog) for kind in pool.types[1:])]
    larger = [other.instance_type for other in offered[1:] if _fits(pod, other)]
    meant = suspect_gib(pod.memory_gib)
    do = "Choose a larger instance type for the pool, or a smaller pod."
    if larger:
        do = f"The pool is sized on its first type: name {larger[0]} first."
    elif meant is not None and not _fits(pod.model_copy(update={"memory_gib": meant}), node):
        do += f" Memory in GiB: {pod.memory_gib:g} looks like {meant:g} in another unit."
    elif meant is not None:
        do = f"Give memory in GiB: {pod.memory_gib:g} looks like {meant:g} in another unit."
    return [
        Problem(
            where=f"services.{name}.pod",
            got=f"a request of {pod.cpu_cores:g} cores and {pod.memory_gib:g} GiB",
            expected="at most what an empty node leaves to pods: "
            + "; ".join(
                f"{o.instance_type} {o.cpu_cores:g} cores, {o.memory_gib:.2f} GiB" for o in offered
            ),
            do=do,
        )
    ]


def _fits(pod: Pod, node: Usable) -> bool:
    return pod.cpu_cores <= node.cpu_cores + _EVEN and pod.memory_gib <= node.memory_gib + _EVEN


def node_networks(topology: Topology, catalog: Catalog) -> dict[str, NodeNetwork]:
    """Return the interfaces and settings of the pools whose subnets are declared."""
    networks = {}
    for name, pool in topology.pools.items():
        if pool.subnet is None:
            continue
        node = catalog.node_type(pool.types[0])
        networks[name] = NodeNetwork(
            enis=node.enis,
            ips_per_eni=node.ips_per_eni,
            prefix_mode=pool.prefix_mode,
            custom_networking=pool.custom_networking,
            warm_eni=pool.subnet.warm_eni,
            warm_prefix=pool.subnet.warm_prefix,
            warm_ip=pool.subnet.warm_ip,
            minimum_ip=pool.subnet.minimum_ip,
            daemonset_pods=pool.daemonsets.pods,
        )
    return networks


def cpu_limit_x(service: Service, nodes: Mapping[str, Usable]) -> float:
    """Return the cores that a pod may use at most / its request: its limit, and its node's cores.

    1 without a limit: see :meth:`capmodel.capacity.use.ServiceUse.targets`.
    """
    pod = service.pod
    if pod is None or pod.cpu_limit_cores is None:
        return 1.0
    most = math.inf if service.pool is None else nodes[service.pool].cpu_cores
    return max(min(pod.cpu_limit_cores, most) / pod.cpu_cores, 1.0)


def throttled_of(
    topology: Topology, services: Mapping[str, ServiceUse], findings: Findings
) -> dict[str, Throttled]:
    """Return how often CPU limits stop pods: measured, else estimated at the planned utilization.

    `findings` are the fit's: they carry what the history has measured.
    """
    measured = {f.service: float(f.data["share"]) for f in findings if f.code == THROTTLED_CODE}
    found = {}
    for name, service in topology.services.items():
        if name in measured:
            source = "history, P95 of throttled_share in its last 28 days"
            found[name] = Throttled(measured[name], known=True, basis="measured", source=source)
        elif service.pod is not None and service.pod.cpu_limit_cores is not None:
            found[name] = _estimated(service, service.pod.cpu_limit_cores, services[name], topology)
    return found


def service_s_of(service: Service, use: ServiceUse, targets: Mapping[str, float]) -> float:
    """Return CPU per request [s], declared or the slope of cores at the target; 0 if unknown."""
    if service.slo is not None and service.slo.service_s is not None:
        return service.slo.service_s
    per_pod = use.load_per_pod(targets)
    slopes = [u.per_request for u in use.uses_of("cpu_cores") if u.holds_from <= per_pod]
    return slopes[-1] if slopes else 0.0


def _estimated(service: Service, limit: float, use: ServiceUse, topology: Topology) -> Throttled:
    """Return the estimate for the hottest pod while the autoscaler holds the mean at its target."""
    targets = use.targets(AUTOSCALED, topology.policy)
    service_s = service_s_of(service, use, targets)
    lines = use.uses_of("cpu_cores")
    if not lines or service_s == 0:
        reason = "measure it: CPU per request is not known"
        return Throttled(math.nan, known=False, basis=use.basis, source=reason)
    per_pod = use.load_per_pod(targets)
    busy = max(line.per_pod + line.per_request * per_pod for line in lines) * use.imbalance_x
    slo = service.slo
    found = throttling(
        usage_cores=min(busy, limit),
        limit_cores=limit,
        service_s=service_s,
        service_scv=1.0 if slo is None else slo.service_scv,
        dispersion=1.0 if slo is None else max(slo.arrival_scv, _EVEN),
    )
    source = "estimate at the planned utilization"
    if found.measure:
        source = f"measure it, an estimate does not do: {found.reason}"
    return Throttled(found.share, known=not found.measure, basis=use.basis, source=source)
