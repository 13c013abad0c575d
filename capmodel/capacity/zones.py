"""Pods that loads need, and the nodes that hold them, zone by zone.

This module answers: how many pods does a service run on each path and day, and how many nodes of
one surviving zone do the pods of a pool fill under each hold row of the policy?

Shapes: D draws, N local days.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from capmodel.capacity.estate import (
    AUTOSCALED,
    Estate,
    pod_requests,
    pool_services,
    surviving_zones,
)
from capmodel.capacity.phases import by_phase
from capmodel.capacity.replicas import ceil_units

if TYPE_CHECKING:
    from capmodel.capacity.loads import Loads
    from capmodel.topology import Hold

__all__ = [
    "autoscaled_pods",
    "nodes_needed",
    "planned_rate",
    "pods_at",
    "pods_needed",
    "pool_instant",
    "pool_pods_per_zone",
    "zone_fill",
    "zone_fills",
    "zone_pods",
]


def pods_at(estate: Estate, name: str, load: np.ndarray, hold: Hold) -> np.ndarray:
    """Return the pods that a load needs under a hold row, unrounded; inf where none suffices."""
    rate = estate.rate(name, hold)
    if np.isinf(rate).any():
        finite = np.isfinite(rate)
        return np.where(finite, np.where(finite, rate, 0.0) * load, np.inf)
    return np.asarray(rate * load)


@by_phase
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


@by_phase
def pool_instant(estate: Estate, loads: Loads, pool: str) -> dict[str, np.ndarray]:
    """Return the roots' loads in the minute of the day in which a pool holds the most pods."""
    node = estate.nodes[pool]
    mix = {}
    for name in pool_services(estate, pool):
        cores, gib, _ = pod_requests(estate, name)
        share = max(cores / node.cpu_cores, gib / node.memory_gib, 1.0 / node.pods)
        mix[name] = max(min(planned_rate(estate, name), 1e9) * share, 1e-12)
    return loads.instant(mix)


def planned_rate(estate: Estate, name: str) -> float:
    """Return a service's central pods per unit of load at the autoscaler's target."""
    return estate.services[name].pods_per_load(estate.targets(name))


@by_phase
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


@by_phase
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
        for row, hold in zip(rows, holds, strict=True):
            pods = _per_zone(estate, pool, name, load, hold)
            taken = pod_requests(estate, name, hold)
            for k, x in enumerate(t / o for t, o in zip(taken, offered, strict=True)):
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


@by_phase
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


@by_phase
def zone_pods(
    estate: Estate, loads: Loads, pool: str, instant: Mapping[str, np.ndarray] | None = None
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Return one zone's pods by service, before a rollout's surge, and its nodes with the spare.

    In the pool's busiest minute of each day and as the autoscaler runs them, each of shape (D, N);
    inf where no number of pods suffices.
    """
    pods = pool_pods_per_zone(estate, loads, pool, AUTOSCALED, instant)
    node = estate.nodes[pool]
    offered = (node.cpu_cores, node.memory_gib, float(node.pods))
    filled = [
        np.asarray(sum(n * pod_requests(estate, name)[k] for name, n in pods.items())) / most
        for k, most in enumerate(offered)
    ]
    spare = estate.topology.pools[pool].spare_nodes_per_zone
    return pods, ceil_units(np.maximum.reduce(filled)) + spare
