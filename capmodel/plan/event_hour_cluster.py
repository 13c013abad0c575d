"""The cluster of an event hour: services, nodes and databases as the simulator reads them.

This module answers: with how many pods, nodes and connections does a group enter its event hour, as
the estate stands today or as ordered, and how fast may each of them follow?
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from capmodel.capacity.estate import AUTOSCALED
from capmodel.capacity.replicas import SLACK, ceil_units
from capmodel.capacity.risk import mixture_value
from capmodel.capacity.simulator import (
    Autoscaler,
    Cluster,
    DatabaseSpec,
    NodePool,
    Queue,
    Retries,
    ScalePolicy,
    ServiceSpec,
    Shed,
)
from capmodel.capacity.simulator.arrays import arrays_of
from capmodel.plan.after import hard_after
from capmodel.plan.frames_limits import MIXTURE
from capmodel.topology import Dynamics, NodeDynamics
from capmodel.topology.dynamics import PRIOR_QUEUE_S

if TYPE_CHECKING:
    from capmodel.capacity.nodes import Usable
    from capmodel.plan.event_hour import EventDemand
    from capmodel.plan.make import Solved
    from capmodel.plan.supply import Supply
    from capmodel.topology import Database, Service

__all__ = ["EventCluster", "event_cluster", "overload_of", "warm_up_s"]

UNBOUNDED: Final = 10**6
"""Stands for a bound that nobody declared [pods or nodes]."""


@dataclass(frozen=True, slots=True, eq=False)
class EventCluster:
    """A group as the simulator reads it."""

    cluster: Cluster
    """Its nodes are counted as if each held one kind of pod: the simulator's way."""
    packed_x: float
    """The simulator's nodes / nodes on which the pods of the start are packed together [ratio]."""

    def standing(self, played: float) -> float:
        """Return the real nodes that stand where the simulator's do; nan without a pool."""
        if self.cluster.nodes is None:
            return math.nan
        return float(math.floor(played / self.packed_x + SLACK))

    def needed(self, played: float) -> float:
        """Return the real nodes that are needed where the simulator's are; nan without a pool."""
        if self.cluster.nodes is None:
            return math.nan
        return float(ceil_units(played / self.packed_x))

    @property
    def blocked(self) -> tuple[str, ...]:
        """Shared bounds that the pods of the start exceed by themselves."""
        cluster, arrays = self.cluster, arrays_of(self.cluster)
        pool = cluster.nodes
        short = pool is not None and ceil_units(arrays.pods @ arrays.node_share) > pool.max_nodes
        wanted = arrays.pods @ arrays.pools
        full = [
            f"max_connections of {database.name}"
            for database, asked in zip(cluster.databases, wanted.tolist(), strict=True)
            if asked > database.max_connections
        ]
        return (*(["max_nodes"] if short else []), *full)


def event_cluster(solved: Solved, demand: EventDemand, supply: Supply | None) -> EventCluster:
    """Return a group's cluster as it stands or, with a supply, as ordered.

    Where the pods of the hour before need more than today's nodes, those have come already, as far
    as the pool may grow.
    """
    pools = _pools(solved, demand, supply)
    services = tuple(
        _service(solved, demand, k, supply, pools.get(name, {}))
        for k, name in enumerate(demand.group.services)
    )
    used = {database for by_service in pools.values() for database in by_service}
    cluster = Cluster(
        services=services,
        nodes=_node_pool(solved, demand.group.pool, supply),
        databases=tuple(_database(solved, demand, name, supply) for name in sorted(used)),
    )
    pool = cluster.nodes
    if pool is None:
        return EventCluster(cluster, 1.0)
    arrays = arrays_of(cluster)
    apart = float(arrays.pods @ arrays.node_share)
    packed_x = max(apart / _packed(services, solved.estate.nodes[demand.group.pool]), 1.0)
    most = _times(pool.max_nodes, packed_x)
    changed = {
        "max_nodes": most,
        "launch_per_min": pool.launch_per_min * packed_x,
        "spare_nodes": _times(pool.spare_nodes, packed_x),
    }
    if pool.nodes is not None:
        needed = int(ceil_units(apart)) + changed["spare_nodes"]
        changed["nodes"] = min(max(_times(pool.nodes, packed_x), needed), most)
    # Validated again: a cluster is copied with whatever its update holds.
    nodes = NodePool.model_validate({**pool.model_dump(), **changed})
    return EventCluster(cluster.model_copy(update={"nodes": nodes}), packed_x)


def _packed(services: tuple[ServiceSpec, ...], node: Usable) -> float:
    """Return the nodes that the pods of the start fill together, by the tightest resource."""
    return max(
        sum(s.pods * s.requested_cores for s in services) / node.cpu_cores,
        sum(s.pods * s.memory_gib for s in services) / node.memory_gib,
        sum(s.pods for s in services) / node.pods,
    )


def _times(nodes: int, packed_x: float) -> int:
    """Return the simulator's nodes for real ones: all that fits these finds room on them."""
    return math.ceil(nodes * packed_x - SLACK)


def _service(
    solved: Solved, demand: EventDemand, k: int, supply: Supply | None, pools: dict[str, int]
) -> ServiceSpec:
    """Return a service's spec, with the pods that its autoscaler runs in the hour before."""
    name, line = demand.group.services[k], demand.lines[k]
    use, declared = solved.estate.services[name], solved.estate.topology.services[name]
    least = max(use.minimum, 1)
    most = UNBOUNDED if use.maximum is None else max(use.maximum, least)
    need = supply.services.get((MIXTURE, name)) if supply is not None else None
    if need is not None and math.isfinite(need.replicas):
        least = max(least, int(need.replicas))
        most = max(most, least)
    settled = float(ceil_units(demand.start_rps[k] / line.rps_at_target))
    dynamics = declared.dynamics or Dynamics()
    scaling, retries = dynamics.autoscaler, dynamics.retries
    room = line.effective_cores - line.idle_cores
    return ServiceSpec(
        name=name,
        per_request_core_s=line.per_request_core_s,
        requested_cores=line.requested_cores,
        effective_cores=line.effective_cores,
        idle_cores=line.idle_cores,
        memory_gib=line.memory_gib,
        pods=int(min(max(settled, least), most)),
        autoscaler=Autoscaler(
            target=line.target,
            min_pods=least,
            max_pods=most,
            tolerance=scaling.tolerance,
            metric_delay_s=scaling.metric_delay_s,
            up=ScalePolicy(**scaling.up.model_dump()),
            down=ScalePolicy(**scaling.down.model_dump()),
            down_window_s=scaling.down_window_s,
        ),
        pod_start_s=dynamics.pod_start_s,
        warm_up_s=warm_up_s(declared),
        startup_cores=_startup_cores(declared, dynamics, room),
        ready=dynamics.ready,
        overload=overload_of(dynamics),
        retries=retries and Retries(attempts=retries.attempts, budget=retries.budget),
        pools=pools,
    )


def _startup_cores(declared: Service, dynamics: Dynamics, room: float) -> float:
    """Return what a ready pod burns for itself until it is warm: at most nearly all it can use."""
    if dynamics.ready == "after_warm_up" or declared.pod is None:
        return 0.0
    return min(declared.pod.startup_cpu_cores or 0.0, 0.999 * room)


def overload_of(dynamics: Dynamics) -> Queue | Shed:
    """Return what becomes of requests above the capacity."""
    if dynamics.shed_above is not None:
        return Shed(above=dynamics.shed_above)
    return Queue(timeout_s=PRIOR_QUEUE_S if dynamics.queue_s is None else dynamics.queue_s)


def warm_up_s(declared: Service) -> float:
    """Return the time from a running container to full speed [s]."""
    dynamics = declared.dynamics
    if dynamics is not None and dynamics.warm_up_s is not None:
        return dynamics.warm_up_s
    return (declared.pod.startup_s if declared.pod else None) or 0.0


def _node_pool(solved: Solved, name: str, supply: Supply | None) -> NodePool | None:
    """Return a pool's nodes; as it stands they end where the ladder's limit does."""
    if not name:
        return None
    pool, node = solved.estate.topology.pools[name], solved.estate.nodes[name]
    dynamics = pool.dynamics or NodeDynamics()
    nodes, most = pool.today, pool.max if pool.max is not None else pool.today
    need = supply.pools.get((MIXTURE, name)) if supply is not None else None
    if need is not None:
        nodes = max(nodes or 0, need.placed.nodes)
        most = None if most is None else max(most, nodes)
    most = UNBOUNDED if most is None else max(most, 1)
    return NodePool(
        cores=node.cpu_cores,
        memory_gib=node.memory_gib,
        max_pods=node.pods,
        max_nodes=most,
        launch_per_min=dynamics.launch_per_min,
        nodes=None if nodes is None else max(nodes, 1),
        node_start_s=dynamics.node_start_s,
        spare_nodes=dynamics.spare_nodes,
    )


def _pools(solved: Solved, demand: EventDemand, supply: Supply | None) -> dict[str, dict[str, int]]:
    """Return service to database to connections of one pod, for tables that bound pools."""
    found: dict[str, dict[str, int]] = {}
    for name, database in _bounding(solved).items():
        for user in database.used_by:
            per_pod = _per_pod(database, user, _relieved(supply, name))
            if per_pod and user in demand.group.services:
                found.setdefault(user, {})[name] = per_pod
    return found


def _bounding(solved: Solved) -> dict[str, Database]:
    """Return the databases whose connections are pools, and bounded; a proxy lends sessions."""
    known = solved.estate.max_connections
    return {
        name: database
        for name, database in solved.estate.topology.databases.items()
        if not database.proxy and math.isfinite(known[name])
    }


def _relieved(supply: Supply | None, database: str) -> dict[str, int]:
    """Return the pool sizes that are ordered."""
    relief = supply.databases.relieved.get(database) if supply is not None else None
    return {} if relief is None else {service: after for service, _, after in relief.changes}


def _per_pod(database: Database, user: str, relieved: Mapping[str, int]) -> int:
    caller = database.used_by[user]
    return relieved.get(user, caller.pool_max) * caller.processes


def _database(
    solved: Solved, demand: EventDemand, name: str, supply: Supply | None
) -> DatabaseSpec:
    """Return a table of connections without what others hold of it in their P50 peak."""
    estate, weights = solved.estate, solved.request.weights
    database, size = estate.topology.databases[name], estate.max_connections[name]
    if supply is not None:
        path = next(p for p in solved.paths if p.limit.key == (name, "connections"))
        size = hard_after(solved, supply, path)
    held = database.other_connections.total
    for user in database.used_by:
        per_pod = _per_pod(database, user, _relieved(supply, name))
        if user in demand.group.services or not per_pod or user not in solved.needs.pods:
            continue
        peaks = solved.needs.load_peak[user]
        load = mixture_value(peaks, 0.5, weights)
        held += per_pod * _pods_at(solved, user, load)
    return DatabaseSpec(name=name, max_connections=max(int(size - held), 1))


def _pods_at(solved: Solved, name: str, load: float) -> float:
    """Return the pods that the autoscaler runs at a load."""
    use = solved.estate.services[name]
    rate = float(np.median(solved.estate.rate(name, AUTOSCALED)))
    most = math.inf if use.maximum is None else float(use.maximum)
    wanted = float(ceil_units(load * rate)) if math.isfinite(rate) else most
    pods = min(max(wanted, float(use.minimum)), most)
    return pods if math.isfinite(pods) else 0.0
