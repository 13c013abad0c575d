"""Usage of every limit, pods and nodes on every path and day.

This module answers: how full is each limit in the busiest minute of each day, and how many pods and
nodes does each hold row of the policy ask? Everything follows from the loads of that one minute.

Shapes: D draws, N local days.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

import numpy as np

from capmodel.capacity.db_connections import busy_connections
from capmodel.capacity.db_lines import queries_of
from capmodel.capacity.estate import (
    AUTOSCALED,
    SATURATED,
    Estate,
    Limit,
    pooled_callers,
)
from capmodel.capacity.phases import by_phase
from capmodel.capacity.replicas import ceil_units
from capmodel.capacity.use import DatabaseUse
from capmodel.capacity.zones import (
    autoscaled_pods,
    nodes_needed,
    planned_rate,
    pods_needed,
    pool_instant,
    pool_pods_per_zone,
    zone_fill,
    zone_fills,
    zone_pods,
)

if TYPE_CHECKING:
    from capmodel.capacity.loads import Loads

__all__ = [
    "at_its_busiest",
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
    "queries_at_peak",
    "saturation_of",
    "storage_usage",
    "usage_of",
    "zone_fill",
    "zone_fills",
    "zone_pods",
]


BUSY_QUANTILE: Final = 0.99
"""Share of instants in which the sessions behind a proxy suffice [ratio]."""
SECONDS_A_DAY: Final = 86_400.0
KIB_PER_GIB: Final = 1024.0**2


def usage_of(limit: Limit, estate: Estate, loads: Loads) -> np.ndarray:
    """Return a limit's usage in the busiest minute of each day, without failures.

    Storage has no busiest minute: see :func:`storage_usage`.

    Returns
    -------
    numpy.ndarray
        Shape (D, N) [the limit's unit].
    """
    return _used(estate, loads, limit)


@by_phase
def _used(estate: Estate, loads: Loads, limit: Limit) -> np.ndarray:
    return _USAGE[limit.kind](limit, estate, loads)


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


def _load(limit: Limit, _estate: Estate, loads: Loads) -> np.ndarray:
    return loads.day_peak(limit.node)


def _nodes(limit: Limit, estate: Estate, loads: Loads) -> np.ndarray:
    return nodes_needed(estate, loads, limit.node, AUTOSCALED)


def _replicas(limit: Limit, estate: Estate, loads: Loads) -> np.ndarray:
    return ceil_units(pods_needed(estate, loads, limit.node, AUTOSCALED))


def _service_usage(limit: Limit, estate: Estate, loads: Loads) -> np.ndarray:
    service = estate.services[limit.node]
    load = loads.day_peak(limit.node)
    pods: np.ndarray | float = float(service.maximum or 0)
    if service.maximum is None:
        wanted = autoscaled_pods(estate, limit.node, load)
        pods = np.where(np.isfinite(wanted), wanted, 0.0)  # where none suffices: rates.infeasible
    per_pod = service.load_per_pod(estate.targets(limit.node))
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
    on_writer = database.reads_on_writer
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
    on_writer = database.reads_on_writer
    mix = {
        user: max(caller.reads * on_writer * per_read + caller.writes * per_write, 1e-12)
        for user, caller in database.used_by.items()
    }
    return loads.instant(mix)


def _database_cores(limit: Limit, estate: Estate, loads: Loads) -> np.ndarray:
    name = limit.node
    use = estate.databases[name]
    instant = database_instant(estate, loads, name, use)
    callers = {user: loads.at(user, instant) for user in estate.topology.databases[name].used_by}
    reads, writes = database_rates(estate, name, callers)
    cores = use.cores(np.asarray(reads), np.asarray(writes))
    return np.broadcast_to(cores, (len(cores), len(loads.dates)))  # without callers: idle each day


def _database_line(limit: Limit, estate: Estate, loads: Loads) -> np.ndarray:
    use = estate.database_lines[limit.key].use
    reads, writes = queries_at_peak(estate, loads, limit.node, use)
    used = use.cores(np.asarray(reads), np.asarray(writes))
    return np.broadcast_to(used, (len(used), len(loads.dates)))


def queries_at_peak(
    estate: Estate, loads: Loads, name: str, use: DatabaseUse | None
) -> tuple[np.ndarray | float, np.ndarray | float]:
    """Return (reads, writes) of all callers in the minute of the day in which a use is largest.

    Without a use, the minute with the most queries.
    """
    database = estate.topology.databases[name]
    per_read, per_write = use.central[1:] if use is not None else (1.0, 1.0)
    mix = {
        user: max(caller.reads * per_read + caller.writes * per_write, 1e-12)
        for user, caller in database.used_by.items()
    }
    instant = loads.instant(mix)
    return queries_of(database, {user: loads.at(user, instant) for user in database.used_by})


def at_its_busiest(
    estate: Estate, loads: Sequence[Loads], name: str
) -> tuple[np.ndarray, np.ndarray]:
    """Return (reads, writes) of each path in the season minute with the most work, shape (S, D).

    Work is counted in cores at the central cost per query, in queries where none is known.
    """
    use = estate.databases.get(name)
    per_read, per_write = use.central[1:] if use is not None else (1.0, 1.0)
    found: list[tuple[np.ndarray, np.ndarray]] = []
    for load in loads:
        both = queries_at_peak(estate, load, name, use)
        rows = load.root_peak(next(iter(load.factor))).shape
        reads, writes = (np.broadcast_to(np.atleast_2d(part), rows) for part in both)
        best = (per_read * reads + per_write * writes).argmax(axis=1)
        draws = np.arange(len(best))
        found.append((reads[draws, best], writes[draws, best]))
    return np.stack([r for r, _ in found]), np.stack([w for _, w in found])


def storage_usage(estate: Estate, loads: Loads, name: str, as_of: np.datetime64) -> np.ndarray:
    """Return a database's storage at the end of each day, shape (D, N) [GiB].

    Loads are those of the whole horizon: what is written stays.
    """
    database = estate.topology.databases[name]
    volume = database.storage
    if volume is None or volume.used_gib is None:
        return np.full((1, len(loads.dates)), np.nan)
    ahead = (loads.dates - as_of).astype(float) + 1.0
    steady = volume.used_gib + volume.gib_per_day * ahead[None, :]
    if volume.kib_per_write == 0:
        return steady
    means = {user: loads.day_mean(user) for user in database.used_by}
    _, writes = queries_of(database, means)
    gib_a_day = np.asarray(writes) * SECONDS_A_DAY * volume.kib_per_write / KIB_PER_GIB
    return np.asarray(steady + np.cumsum(gib_a_day, axis=1))


@by_phase
def connections_instant(estate: Estate, loads: Loads, name: str) -> dict[str, np.ndarray]:
    """Return the roots' loads in the minute of the day with the most connections to a database."""
    mix = {
        caller.name: caller.per_pod * max(min(planned_rate(estate, caller.name), 1e9), 1e-12)
        for caller in pooled_callers(estate, name)
    }
    return loads.instant(mix)


def _connections(limit: Limit, estate: Estate, loads: Loads) -> np.ndarray:
    name = limit.node
    database = estate.topology.databases[name]
    if database.proxy:
        reads, writes = queries_at_peak(estate, loads, name, None)
        qps = np.asarray(reads + writes)
        busy = busy_connections(qps, hold_s=database.hold_s, quantile=BUSY_QUANTILE)
        return np.asarray(busy + database.other_connections.total)
    instant = connections_instant(estate, loads, name)
    total: np.ndarray | float = database.other_connections.total
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
            pods = _pods_with_surge(estate, loads, service, instant)
            parts.append(DeclaredShare(service, "pods", per_pod, pods))
    for pool, per_node in estate.declared[name].per_node.items():
        nodes = nodes_needed(estate, loads, pool, AUTOSCALED) + _spare_nodes(estate, pool)
        parts.append(DeclaredShare(pool, "nodes", per_node, nodes))
    return parts


@by_phase
def _pods_with_surge(
    estate: Estate, loads: Loads, name: str, instant: Mapping[str, np.ndarray]
) -> np.ndarray:
    """Return a service's pods in an instant of each day while a rollout adds to them."""
    pods = autoscaled_pods(estate, name, loads.at(name, instant))
    return ceil_units(pods * (1 + estate.surge[None, :]))


def _declared_usage(limit: Limit, estate: Estate, loads: Loads) -> np.ndarray:
    """Return ``constant + sum of per_request * load + per_pod * pods + per_node * nodes``."""
    total = estate.topology.limits[limit.node].constant + sum(
        share.usage for share in declared_shares(estate, loads, limit.node)
    )
    first = next(iter(loads.factor))
    return np.broadcast_to(np.asarray(total), loads.root_peak(first).shape)


def _spare_nodes(estate: Estate, pool: str) -> int:
    """Return the nodes that stand beside those that the pods need, in all zones."""
    return estate.topology.pools[pool].spare_nodes_per_zone * estate.topology.pools[pool].zones


def declared_mix(estate: Estate, name: str) -> dict[str, float]:
    """Return what one request of each node adds to a declared limit, pods being continuous."""
    limit = estate.topology.limits[name]
    mix = dict(limit.per_request)
    for service, per_pod in limit.per_pod.items():
        if estate.services[service].known:
            pods = min(planned_rate(estate, service), 1e9)
            mix[service] = mix.get(service, 0.0) + per_pod * pods
    return {node: max(unit, 1e-12) for node, unit in mix.items()}


def _addresses(limit: Limit, estate: Estate, loads: Loads) -> np.ndarray:
    """Return the addresses that each zone takes while old and new pods of a rollout exist."""
    pods, nodes = zone_pods(estate, loads, limit.node)
    alive = ceil_units(np.asarray(sum(pods.values())) * (1 + estate.surge[None, :]))
    return estate.networks[limit.node].zone_use(nodes, alive)


def _throttled(limit: Limit, estate: Estate, loads: Loads) -> np.ndarray:
    """Return the share of throttled periods: the autoscaler holds pods at their target any day."""
    share = estate.throttled[limit.node].share
    return np.broadcast_to(share, next(iter(loads.factor.values())).shape)


_USAGE: Final[Mapping[str, Callable[[Limit, Estate, Loads], np.ndarray]]] = MappingProxyType(
    {
        "pods": _service_usage,
        "replicas": _replicas,
        "nodes": _nodes,
        "connections": _connections,
        "database_cores": _database_cores,
        "database": _database_line,
        "quota": _load,
        "declared": _declared_usage,
        "addresses": _addresses,
        "throttling": _throttled,
    }
)
