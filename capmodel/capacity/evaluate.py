"""Usage of every limit, pods and nodes on every path and day.

This module answers: how full is each limit in the busiest minute of each day, and how many pods and
nodes does each hold row of the policy ask? Everything follows from the loads of that one minute.

Shapes: D draws, N local days.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from capmodel.capacity.estate import (
    AUTOSCALED,
    SATURATED,
    Estate,
    Limit,
    pod_requests,
    pool_services,
    pooled_callers,
    surviving_zones,
)
from capmodel.capacity.replicas import ceil_units
from capmodel.capacity.use import DatabaseUse, targets_of
from capmodel.topology import Hold

if TYPE_CHECKING:
    from capmodel.capacity.loads import Loads

__all__ = [
    "autoscaled_pods",
    "connections_instant",
    "database_instant",
    "database_rates",
    "declared_mix",
    "declared_shares",
    "nodes_needed",
    "pods_needed",
    "pool_instant",
    "pool_pods_per_zone",
    "saturation_of",
    "usage_of",
    "zone_fill",
    "zone_fills",
]


def usage_of(limit: Limit, estate: Estate, loads: Loads) -> np.ndarray:
    """Return a limit's usage in the busiest minute of each day, without failures.

    Returns
    -------
    numpy.ndarray
        Shape (D, N) [the limit's unit].
    """
    if limit.kind == "quota":
        return loads.day_peak(limit.node)
    if limit.kind == "nodes":
        return nodes_needed(estate, loads, limit.node, AUTOSCALED)
    if limit.kind == "database_cores":
        return _database_cores(estate, loads, limit.node)
    if limit.kind == "connections":
        return _connections(estate, loads, limit.node)
    if limit.kind == "replicas":
        return ceil_units(pods_needed(estate, loads, limit.node, AUTOSCALED))
    if limit.kind == "declared":
        return _declared_usage(estate, loads, limit.node)
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
    if limit.kind == "nodes":
        return nodes_needed(estate, loads, limit.node, SATURATED)
    return usage if limit.imbalance_x == 1.0 else usage * limit.imbalance_x


def pods_at(estate: Estate, name: str, load: np.ndarray, hold: Hold) -> np.ndarray:
    """Return the pods that a load needs under a hold row, unrounded; inf where none suffices."""
    rate = estate.rate(name, hold)
    if np.isinf(rate).any():
        finite = np.isfinite(rate)
        return np.where(finite, np.where(finite, rate, 0.0) * load, np.inf)
    return np.asarray(rate * load)


def pods_needed(estate: Estate, loads: Loads, name: str, hold: Hold) -> np.ndarray:
    """Return the pods that a hold row asks of a service each day, unrounded, shape (D, N).

    Before zone cover and before the autoscaler's bounds.
    """
    return pods_at(estate, name, loads.day_peak(name), hold)


def autoscaled_pods(estate: Estate, name: str, load: np.ndarray) -> np.ndarray:
    """Return the pods that the autoscaler runs at a load: at its target, within its bounds."""
    service = estate.services[name]
    pods = ceil_units(pods_at(estate, name, load, AUTOSCALED))
    ceiling = np.inf if service.maximum is None else service.maximum
    return np.asarray(np.clip(pods, service.minimum, ceiling, out=pods))


def _service_usage(limit: Limit, estate: Estate, loads: Loads) -> np.ndarray:
    service = estate.services[limit.node]
    load = loads.day_peak(limit.node)
    pods: np.ndarray | float = float(service.maximum or 0)
    if service.maximum is None:
        wanted = autoscaled_pods(estate, limit.node, load)
        pods = np.where(np.isfinite(wanted), wanted, 0.0)  # where none suffices: rates.infeasible
    per_pod = service.load_per_pod(targets_of(AUTOSCALED, estate.topology.policy))
    # A line that bends upwards is the larger of two.
    lines = [
        estate.drawn(use.per_request_at(per_pod)) * load + estate.drawn(use.per_pod_draws) * pods
        for use in service.uses_of(limit.name)
    ]
    return np.asarray(np.maximum.reduce(lines)) if len(lines) > 1 else lines[0]


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


def database_instant(
    estate: Estate, loads: Loads, name: str, use: DatabaseUse | None = None
) -> dict[str, np.ndarray]:
    """Return the roots' loads in the minute of the day in which a database's writer is busiest.

    `use` is what counts as busy, its cores by default.
    """
    database = estate.topology.databases[name]
    _, per_read, per_write = (use or estate.databases[name]).central
    on_writer = 1.0 - database.reads_on_readers
    mix = {
        user: max(caller.reads * on_writer * per_read + caller.writes * per_write, 1e-12)
        for user, caller in database.used_by.items()
    }
    return loads.instant(mix)


def _database_cores(estate: Estate, loads: Loads, name: str) -> np.ndarray:
    use = estate.databases[name]
    instant = database_instant(estate, loads, name, use)
    callers = {user: loads.at(user, instant) for user in estate.topology.databases[name].used_by}
    reads, writes = database_rates(estate, name, callers)
    cores = use.cores(np.asarray(reads), np.asarray(writes))
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


def _connections(estate: Estate, loads: Loads, name: str) -> np.ndarray:
    instant = connections_instant(estate, loads, name)
    total: np.ndarray | float = 0.0
    for caller in pooled_callers(estate, name):
        pods = autoscaled_pods(estate, caller.name, loads.at(caller.name, instant))
        pods *= 1 + estate.surge[None, :]
        total = total + ceil_units(pods) * caller.per_pod
    return np.asarray(total)


@dataclass(frozen=True, slots=True, eq=False)
class DeclaredShare:
    """One user's part of a declared limit."""

    user: str
    kind: str
    """requests, pods or nodes."""
    each: float
    """Usage of one of them [the limit's unit]."""
    count: np.ndarray
    """Requests per second, pods or nodes, shape (D, N)."""

    @property
    def usage(self) -> np.ndarray:
        """Usage of all of them, shape (D, N) [the limit's unit]."""
        return self.each * self.count


def declared_shares(estate: Estate, loads: Loads, name: str) -> list[DeclaredShare]:
    """Return each user's part of a declared limit in its busiest minute.

    Loads and pods are those of the limit's busiest minute; each pool's nodes are those of its own.
    """
    limit = estate.topology.limits[name]
    instant = loads.instant(declared_mix(estate, name))
    parts = [
        DeclaredShare(node, "requests", per_request, loads.at(node, instant))
        for node, per_request in limit.per_request.items()
    ]
    for service, per_pod in limit.per_pod.items():
        if estate.services[service].known and service not in estate.rates.infeasible:
            pods = autoscaled_pods(estate, service, loads.at(service, instant))
            with_surge = ceil_units(pods * (1 + estate.surge[None, :]))
            parts.append(DeclaredShare(service, "pods", per_pod, with_surge))
    for pool, per_node in estate.declared[name].per_node.items():
        nodes = nodes_needed(estate, loads, pool, AUTOSCALED)
        parts.append(DeclaredShare(pool, "nodes", per_node, nodes))
    return parts


def _declared_usage(estate: Estate, loads: Loads, name: str) -> np.ndarray:
    """Return ``constant + sum of per_request * load + per_pod * pods + per_node * nodes``."""
    total = estate.topology.limits[name].constant + sum(
        share.usage for share in declared_shares(estate, loads, name)
    )
    first = next(iter(loads.factor))
    return np.broadcast_to(np.asarray(total), loads.root_peak(first).shape)


def declared_mix(estate: Estate, name: str) -> dict[str, float]:
    """Return what one request of each node adds to a declared limit, pods being continuous."""
    limit = estate.topology.limits[name]
    targets = targets_of(AUTOSCALED, estate.topology.policy)
    mix = dict(limit.per_request)
    for service, per_pod in limit.per_pod.items():
        if estate.services[service].known:
            pods = min(estate.services[service].pods_per_load(targets), 1e9)
            mix[service] = mix.get(service, 0.0) + per_pod * pods
    return {node: max(unit, 1e-12) for node, unit in mix.items()}


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
    instant = pool_instant(estate, loads, pool) if instant is None else instant
    return {
        name: _per_zone(estate, pool, name, loads.at(name, instant), hold)
        for name in pool_services(estate, pool)
    }


def _per_zone(estate: Estate, pool: str, name: str, load: np.ndarray, hold: Hold) -> np.ndarray:
    zones = estate.topology.pools[pool].zones
    pods = pods_at(estate, name, load, hold)
    pods = ceil_units(pods / surviving_zones(zones, hold, pool))
    return np.maximum(pods, float(ceil_units(estate.services[name].minimum / zones)), out=pods)


def zone_fills(
    estate: Estate,
    loads: Loads,
    pool: str,
    holds: Sequence[Hold],
    instant: Mapping[str, np.ndarray] | None = None,
) -> list[np.ndarray]:
    """Return the nodes of one surviving zone that each hold row asks of a pool, unrounded.

    ``max over cores, GiB and pods of sum of the zone's requests / usable``, pods being whole: the
    lower bound of the packing, which :func:`capmodel.capacity.nodes.pack_zone` then confirms on the
    path that sizes the pool.

    Returns
    -------
    list of numpy.ndarray
        One array of shape (D, N) for each row [nodes].
    """
    node = estate.nodes[pool]
    offered = (node.cpu_cores, node.memory_gib, float(node.pods))
    instant = pool_instant(estate, loads, pool) if instant is None else instant
    rows = [[np.zeros((1, 1)) for _ in offered] for _ in holds]
    for name in pool_services(estate, pool):
        load = loads.at(name, instant)
        share = [r / o for r, o in zip(pod_requests(estate, name), offered, strict=True)]
        for row, hold in zip(rows, holds, strict=True):
            pods = _per_zone(estate, pool, name, load, hold)
            for k, x in enumerate(share):
                row[k] = row[k] + pods * x
    return [np.maximum.reduce(row) for row in rows]


def zone_fill(
    estate: Estate,
    loads: Loads,
    pool: str,
    hold: Hold,
    instant: Mapping[str, np.ndarray] | None = None,
) -> np.ndarray:
    """Return :func:`zone_fills` of one row, shape (D, N) [nodes]."""
    return zone_fills(estate, loads, pool, (hold,), instant)[0]


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
