"""The estate ready to be loaded: every limit as one object, and its usage on every path and day.

This module answers: which limits are there, how full is each in the busiest minute of each day, and
how many pods and nodes would each hold row of the policy need? A limit is a usage function of loads
and provisioned units, a hard value and a policy, whatever it bounds (cores, memory, connections,
nodes, a partner's quota). It knows no money.

Shapes: D draws, N local days.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from capmodel.capacity.curves import (
    AnyCurve,
    PodsCurve,
    PooledCaller,
)
from capmodel.capacity.nodes import Usable
from capmodel.capacity.replicas import ceil_units
from capmodel.capacity.use import DatabaseUse, PodUse, ServiceUse, targets_of
from capmodel.errors import InputError
from capmodel.schema import Basis
from capmodel.topology import Hold

if TYPE_CHECKING:
    from capmodel.capacity.loads import Loads
    from capmodel.topology import Topology


__all__ = ["Estate", "Limit", "nodes_needed", "pods_needed", "usage_of", "zone_fill"]

LimitName = Literal["cpu_cores", "memory_gib", "replicas", "connections", "quota", "nodes"]
AUTOSCALED = Hold(failure="none", quantile=0.5, up_to="utilization")
"""The row whose target the autoscaler runs at: the mean of the pods at the planned utilization."""
SATURATED = Hold(failure="none", quantile="1-risk", up_to="hard")
"""The row at which requests are lost: the hottest pod full."""


@dataclass(frozen=True, slots=True, eq=False)
class Estate:
    """Topology with what each part uses and offers: all that sizing needs besides the loads."""

    topology: Topology
    services: Mapping[str, ServiceUse]
    databases: Mapping[str, DatabaseUse]
    nodes: Mapping[str, Usable]
    today: Mapping[str, float]
    """Central load of each node in today's busiest minute [1/s]."""
    surge: np.ndarray
    """Extra pods of a rollout on each day, shape (N,) [ratio]."""
    season_surge: float
    """The largest of them in the season, for curves, which have no days [ratio]."""
    database_cores: Mapping[str, float]
    max_connections: Mapping[str, float]
    call_basis: Mapping[str, Basis]
    """Evidence of a node's calls and demand."""


@dataclass(frozen=True, slots=True)
class Limit:
    """One bound on a usage."""

    node: str
    name: LimitName
    unit: str
    tier: int
    hard: float
    """The bound [unit]; nan where nothing bounds the usage."""
    policy_x: float
    """Planned share of the bound [ratio]."""
    imbalance_x: float
    """Hottest pod / mean pod, compared with the hard value only."""
    basis: Basis
    curve: AnyCurve
    """Usage as the policy sees it: pods at the planned utilization."""
    follows_load: bool = True
    """False where usage was fitted and follows something else than the load: no GREEN then."""
    own_saturation: AnyCurve | None = None
    """Usage as the hard value sees it, where it differs: the hottest pod, nodes of full pods."""

    @property
    def saturation(self) -> AnyCurve:
        """Usage as the hard value sees it, by multiple of today."""
        return self.own_saturation or self.curve

    @property
    def key(self) -> tuple[str, str]:
        """(node, name)."""
        return self.node, self.name

    @property
    def policy(self) -> float:
        """Usage that the policy plans to [unit]."""
        return self.policy_x * self.hard


def pods_curve(estate: Estate, name: str, hold: Hold = AUTOSCALED) -> PodsCurve:
    """Return a service's pods under a row (the autoscaler's by default), by multiple of today."""
    service = estate.services[name]
    targets = targets_of(hold, estate.topology.policy)
    return PodsCurve(
        slope=min(
            service.pods_per_load(targets, hard=hold.up_to == "hard") * estate.today[name], 1e9
        ),
        minimum=service.minimum,
        maximum=service.maximum,
    )


def pooled_callers(estate: Estate, name: str) -> tuple[PooledCaller, ...]:
    """Return the services that hold pools on a database, with the surge of a season day."""
    database = estate.topology.databases[name]
    return tuple(
        PooledCaller(
            name=user,
            pods=pods_curve(estate, user),
            per_pod=caller.pool_max * caller.processes,
            surge=estate.season_surge,
        )
        for user, caller in database.used_by.items()
        if caller.pool_max and _has_pods(estate, user)
    )


def _has_pods(estate: Estate, name: str) -> bool:
    """Return whether a service's pods are a number: they follow from load, or the maximum holds."""
    service = estate.services[name]
    return service.known and (service.maximum is not None or infeasible_use(estate, name) is None)


def pool_services(estate: Estate, pool: str) -> tuple[str, ...]:
    """Return the services whose pods run on a pool and whose pod count follows from load.

    Left out are those that no number of pods keeps within the policy: they need other pods first.
    """
    return tuple(
        name
        for name, service in estate.topology.services.items()
        if service.pool == pool
        and service.pod is not None
        and estate.services[name].known
        and infeasible_use(estate, name) is None
    )


def infeasible_use(estate: Estate, name: str) -> tuple[PodUse, Hold] | None:
    """Return the (resource, row) that no number of pods of a service keeps, None where all hold."""
    policy = estate.topology.policy
    for hold in (AUTOSCALED, *policy.hold, SATURATED):
        targets = targets_of(hold, policy)
        use = estate.services[name].infeasible(targets, hard=hold.up_to == "hard")
        if use is not None:
            return use, hold
    return None


def pod_requests(estate: Estate, name: str) -> tuple[float, float, float]:
    """Return cores, GiB and pods (1) that one pod of a service takes from a node."""
    pod = estate.topology.services[name].pod
    return (pod.cpu_cores, pod.memory_gib, 1.0) if pod else (0.0, 0.0, 1.0)


def database_rates(
    estate: Estate, name: str, loads: Mapping[str, np.ndarray | float]
) -> tuple[np.ndarray | float, np.ndarray | float]:
    """Return (reads, writes) that reach a database's writer, for its callers' loads [1/s]."""
    database = estate.topology.databases[name]
    on_writer = 1.0 - database.reads_on_readers
    reads: np.ndarray | float = 0.0
    writes: np.ndarray | float = 0.0
    for user, caller in database.used_by.items():
        reads = reads + loads[user] * caller.reads * on_writer
        writes = writes + loads[user] * caller.writes
    return reads, writes


def usage_of(limit: Limit, estate: Estate, loads: Loads) -> np.ndarray:
    """Return a limit's usage in the busiest minute of each day, without failures.

    Returns
    -------
    numpy.ndarray
        Shape (D, N) [the limit's unit].
    """
    if limit.name == "quota":
        return loads.day_peak(limit.node)
    if limit.name == "nodes":
        return nodes_needed(estate, loads, limit.node, AUTOSCALED)
    if limit.node in estate.databases and limit.name == "cpu_cores":
        return _database_cores(estate, loads, limit.node)
    if limit.name == "connections":
        return _connections(estate, loads, limit.node)
    if limit.name == "replicas":
        targets = targets_of(AUTOSCALED, estate.topology.policy)
        service = estate.services[limit.node]
        return ceil_units(service.pods(loads.day_peak(limit.node), targets=targets, hard=False))
    return _service_usage(limit, estate, loads)


def saturation_of(limit: Limit, estate: Estate, loads: Loads, usage: np.ndarray) -> np.ndarray:
    """Return what is compared with the hard value in the busiest minute of each day.

    The hottest pod for limits of pods; for nodes, those that hold the pods when each is full: pods
    at the planned utilization that find no node wait, and the others run hotter until they are.

    Parameters
    ----------
    limit, estate, loads
        As :func:`usage_of` takes them.
    usage
        What that returned, shape (D, N).
    """
    if limit.name == "nodes":
        return nodes_needed(estate, loads, limit.node, SATURATED)
    return usage if limit.imbalance_x == 1.0 else usage * limit.imbalance_x


def _service_usage(limit: Limit, estate: Estate, loads: Loads) -> np.ndarray:
    service = estate.services[limit.node]
    targets = targets_of(AUTOSCALED, estate.topology.policy)
    load = loads.day_peak(limit.node)
    pods: np.ndarray | float = float(service.maximum or 0)
    if service.maximum is None:
        wanted = autoscaled_pods(estate, limit.node, load)
        pods = np.where(np.isfinite(wanted), wanted, 0.0)  # where none suffices: infeasible_use
    per_pod = service.load_per_pod(targets)
    # A line that bends upwards is the larger of two.
    lines = [
        use.per_pod_draws * pods + use.per_request_at(per_pod) * load
        for use in service.uses_of(limit.name)
    ]
    return np.asarray(np.maximum.reduce(lines))


def database_instant(estate: Estate, loads: Loads, name: str) -> dict[str, np.ndarray]:
    """Return the roots' loads in the minute of the day in which a database's writer is busiest."""
    database = estate.topology.databases[name]
    _, per_read, per_write = estate.databases[name].central
    on_writer = 1.0 - database.reads_on_readers
    mix = {
        user: max(caller.reads * on_writer * per_read + caller.writes * per_write, 1e-12)
        for user, caller in database.used_by.items()
    }
    return loads.instant(mix)


def _database_cores(estate: Estate, loads: Loads, name: str) -> np.ndarray:
    instant = database_instant(estate, loads, name)
    callers = {user: loads.at(user, instant) for user in estate.topology.databases[name].used_by}
    reads, writes = database_rates(estate, name, callers)
    cores = estate.databases[name].cores(np.asarray(reads), np.asarray(writes))
    return np.broadcast_to(cores, (len(cores), len(loads.dates)))  # without callers: idle each day


def connections_instant(estate: Estate, loads: Loads, name: str) -> dict[str, np.ndarray]:
    """Return the roots' loads in the minute of the day with the most connections to a database."""
    targets = targets_of(AUTOSCALED, estate.topology.policy)
    mix = {
        caller.name: caller.per_pod
        * max(min(estate.services[caller.name].pods_per_load(targets), 1e9), 1e-12)
        for caller in pooled_callers(estate, name)
    }
    return loads.instant(mix)


def autoscaled_pods(estate: Estate, name: str, load: np.ndarray) -> np.ndarray:
    """Return the pods that the autoscaler runs at a load: at its target, within its bounds."""
    service = estate.services[name]
    targets = targets_of(AUTOSCALED, estate.topology.policy)
    pods = service.pods(load, targets=targets, hard=False)
    ceiling = np.inf if service.maximum is None else service.maximum
    return np.asarray(np.clip(ceil_units(pods), service.minimum, ceiling))


def _connections(estate: Estate, loads: Loads, name: str) -> np.ndarray:
    instant = connections_instant(estate, loads, name)
    total: np.ndarray | float = 0.0
    for caller in pooled_callers(estate, name):
        pods = autoscaled_pods(estate, caller.name, loads.at(caller.name, instant))
        total = total + ceil_units(pods * (1 + estate.surge[None, :])) * caller.per_pod
    return np.asarray(total)


def pods_needed(estate: Estate, loads: Loads, name: str, hold: Hold) -> np.ndarray:
    """Return the pods that a hold row asks of a service each day, unrounded, shape (D, N).

    Before zone cover and before the autoscaler's bounds.
    """
    targets = targets_of(hold, estate.topology.policy)
    return estate.services[name].pods(
        loads.day_peak(name), targets=targets, hard=hold.up_to == "hard"
    )


def pool_instant(estate: Estate, loads: Loads, pool: str) -> dict[str, np.ndarray]:
    """Return the roots' loads in the minute of the day in which a pool holds the most pods."""
    targets = targets_of(AUTOSCALED, estate.topology.policy)
    node = estate.nodes[pool]
    mix = {}
    for name in pool_services(estate, pool):
        cores, gib, _ = pod_requests(estate, name)
        share = max(cores / node.cpu_cores, gib / node.memory_gib, 1.0 / node.pods)
        mix[name] = max(min(estate.services[name].pods_per_load(targets), 1e9) * share, 1e-12)
    return loads.instant(mix)


def pool_pods_per_zone(
    estate: Estate,
    loads: Loads,
    pool: str,
    hold: Hold,
    instant: Mapping[str, np.ndarray] | None = None,
) -> dict[str, np.ndarray]:
    """Return each service's pods in one surviving zone under a hold row, shape (D, N).

    `instant` is the pool's :func:`pool_instant` where it is known already.
    """
    zones = estate.topology.pools[pool].zones
    left = surviving_zones(zones, hold, pool)
    instant = pool_instant(estate, loads, pool) if instant is None else instant
    targets = targets_of(hold, estate.topology.policy)
    per_zone = {}
    for name in pool_services(estate, pool):
        pods = estate.services[name].pods(
            loads.at(name, instant), targets=targets, hard=hold.up_to == "hard"
        )
        least = ceil_units(estate.services[name].minimum / zones)
        per_zone[name] = np.maximum(ceil_units(pods / left), least)
    return per_zone


def surviving_zones(zones: int, hold: Hold, pool: str) -> int:
    """Return the zones left under a hold row's failure."""
    left = zones - hold.zones_lost
    if left < 1:
        raise InputError.of(
            f"pools.{pool}.zones",
            got=f"{zones} zones and a policy that survives the loss of {hold.zones_lost}",
            expected="more zones than may be lost",
            do="Add zones to the pool or lower lose_zones in policy.hold.",
        )
    return left


def zone_fill(
    estate: Estate,
    loads: Loads,
    pool: str,
    hold: Hold,
    instant: Mapping[str, np.ndarray] | None = None,
) -> np.ndarray:
    """Return the nodes of one surviving zone that a hold row asks of a pool each day, unrounded.

    ``max over cores, GiB and pods of sum of the zone's requests / usable``, pods being whole: the
    lower bound of the packing, which :func:`capmodel.capacity.nodes.pack_zone` then confirms on the
    path that sizes the pool.

    Returns
    -------
    numpy.ndarray
        Shape (D, N) [nodes].
    """
    node = estate.nodes[pool]
    usable = (node.cpu_cores, node.memory_gib, float(node.pods))
    per_zone = pool_pods_per_zone(estate, loads, pool, hold, instant)
    fill: np.ndarray | float = 0.0
    for k, offered in enumerate(usable):
        total = sum(pods * pod_requests(estate, name)[k] for name, pods in per_zone.items())
        fill = np.maximum(fill, np.asarray(total) / offered)
    return np.asarray(fill)


def nodes_needed(
    estate: Estate,
    loads: Loads,
    pool: str,
    hold: Hold,
    instant: Mapping[str, np.ndarray] | None = None,
) -> np.ndarray:
    """Return the whole nodes of all zones that a hold row asks of a pool each day, shape (D, N).

    Zones hold equal counts: ``zones * ceil(zone_fill)``.
    """
    fill = zone_fill(estate, loads, pool, hold, instant)
    return np.asarray(estate.topology.pools[pool].zones * ceil_units(fill))
