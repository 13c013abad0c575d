"""The specs as arrays, and the memory of the last ticks.

This module answers: what does a cluster look like to arithmetic over draws and services? Arrays of
services have shape (S,); state has shape (D, S). Times are whole ticks, rounded up.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from capmodel.capacity.replicas import SLACK, ceil_units
from capmodel.capacity.simulator.specs import (
    TICK_S,
    Autoscaler,
    Cluster,
    NodePool,
    Queue,
    ScalePolicy,
    ServiceSpec,
    Shed,
)

__all__ = ["Arrays", "Policy", "Ring", "arrays_of", "nodes_for", "ticks_up"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.intp]
Bools = npt.NDArray[np.bool_]

_FIXED = Autoscaler(target=1.0, min_pods=1, max_pods=1)
"""Stands in the arrays of a service without an autoscaler, masked by ``scales``."""


@dataclass(frozen=True, slots=True, eq=False)
class Policy:
    """Speed of scaling in one direction, shape (S,) each."""

    pods: Floats
    share: Floats
    ticks: Ints


@dataclass(frozen=True, slots=True, eq=False)
class Arrays:
    """A cluster as arrays; shape (S,) where nothing else is said."""

    per_request: Floats
    idle: Floats
    requested: Floats
    effective: Floats
    startup: Floats
    """CPU that a ready pod burns until it is warm; 0 where readiness waits for the warm-up."""
    pods: Floats
    scales: Bools
    target: Floats
    tolerance: Floats
    min_pods: Floats
    max_pods: Floats
    metric_ticks: Ints
    sync_ticks: Ints
    up: Policy
    down: Policy
    down_ticks: Ints
    """Syncs of this age no longer count for the highest recommendation."""
    start_ticks: Ints
    """From a place on a node to the wish for connections."""
    warm_ticks: Ints
    """From the first request to full speed."""
    sheds: Bools
    shed_above: Floats
    timeout_ticks: Ints
    """Ticks after which a request expires; 0: never."""
    attempts: Ints
    budget: Floats
    node_share: Floats
    """Share of a node that a pod takes."""
    pools: Floats
    """Connections of a pod, shape (S, K)."""
    max_connections: Floats
    """Shape (K,)."""
    ramp: Floats
    """Connections that can be opened per tick, shape (K,)."""


def ticks_up(seconds: float) -> int:
    """Return the whole ticks that cover a time: ``ceil(seconds / 15)``."""
    return int(ceil_units(seconds / TICK_S))


def nodes_for(pods: Floats, node_share: Floats, pool: NodePool) -> Floats:
    """Return the nodes that hold some pods and the spare ones: the sum of shares, rounded up.

    Parameters
    ----------
    pods
        Shape (..., S) [pods].
    node_share
        Share of a node that a pod takes, shape (S,) [ratio].
    pool
        The pool that counts its spare nodes.
    """
    return np.asarray(ceil_units(pods @ node_share) + pool.spare_nodes)


def arrays_of(cluster: Cluster) -> Arrays:
    """Return a cluster's specs as arrays."""
    services = cluster.services
    autoscalers = [service.autoscaler or _FIXED for service in services]
    after_start = [service.ready == "after_start" for service in services]
    warm = [ticks_up(service.warm_up_s) for service in services]
    started = [ticks_up(service.pod_start_s) for service in services]
    both = [ticks_up(service.pod_start_s + service.warm_up_s) for service in services]
    queues = [s.overload if isinstance(s.overload, Queue) else Queue() for s in services]
    sheds = [s.overload if isinstance(s.overload, Shed) else Shed() for s in services]
    retries = [service.retries for service in services]
    budgets = [None if r is None else r.budget for r in retries]
    return Arrays(
        per_request=_floats([s.per_request_core_s for s in services]),
        idle=_floats([s.idle_cores for s in services]),
        requested=_floats([s.requested_cores for s in services]),
        effective=_floats([s.effective_cores for s in services]),
        startup=_floats([s.startup_cores for s in services]) * np.array(after_start),
        pods=_floats([s.pods for s in services]),
        scales=np.array([s.autoscaler is not None for s in services]),
        target=_floats([a.target for a in autoscalers]),
        tolerance=_floats([a.tolerance for a in autoscalers]),
        min_pods=_floats([1 if s.autoscaler is None else s.autoscaler.min_pods for s in services]),
        max_pods=_floats(
            [np.inf if s.autoscaler is None else s.autoscaler.max_pods for s in services]
        ),
        metric_ticks=_ints([ticks_up(a.metric_delay_s) for a in autoscalers]),
        sync_ticks=_ints([ticks_up(a.sync_s) for a in autoscalers]),
        up=_policy([a.up for a in autoscalers]),
        down=_policy([a.down for a in autoscalers]),
        down_ticks=_ints([max(ticks_up(a.down_window_s), 1) for a in autoscalers]),
        start_ticks=_ints(
            [s if a else b for s, b, a in zip(started, both, after_start, strict=True)]
        ),
        warm_ticks=_ints([w if a else 0 for w, a in zip(warm, after_start, strict=True)]),
        sheds=np.array([isinstance(s.overload, Shed) for s in services]),
        shed_above=_floats([shed.above for shed in sheds]),
        timeout_ticks=_ints([ticks_up(q.timeout_s) if q.timeout_s else 0 for q in queues]),
        attempts=_ints([1 if r is None else r.attempts for r in retries]),
        budget=_floats([np.inf if b is None else b for b in budgets]),
        node_share=_node_share(services, cluster.nodes),
        pools=_floats(
            [[s.pools.get(d.name, 0) for d in cluster.databases] for s in services]
        ).reshape(len(services), len(cluster.databases)),
        max_connections=_floats([d.max_connections for d in cluster.databases]),
        ramp=_floats(
            [np.inf if d.ramp_per_s is None else d.ramp_per_s * TICK_S for d in cluster.databases]
        ),
    )


def _node_share(services: tuple[ServiceSpec, ...], pool: NodePool | None) -> Floats:
    if pool is None:
        return np.zeros(len(services))
    cores = _floats([s.requested_cores for s in services])
    memory = _floats([s.memory_gib for s in services])
    fit = np.minimum(np.floor(pool.cores / cores + SLACK), pool.max_pods)
    by_memory = np.full_like(fit, np.inf)
    np.divide(pool.memory_gib, memory, out=by_memory, where=memory > 0)
    return np.asarray(1.0 / np.minimum(fit, np.floor(by_memory + SLACK)))


def _policy(policies: list[ScalePolicy]) -> Policy:
    return Policy(
        pods=_floats([p.max_pods for p in policies]),
        share=_floats([p.max_percent for p in policies]) / 100.0,
        ticks=_ints([ticks_up(p.period_s) for p in policies]),
    )


def _floats(values: list[float] | list[int] | list[list[int]]) -> Floats:
    return np.asarray(values, dtype=np.float64)


def _ints(values: list[int]) -> Ints:
    return np.asarray(values, dtype=np.intp)


class Ring:
    """Values of the last (or the next) ticks, one slice per tick, reused in a circle.

    Each service may look back, or plan ahead, by its own number of ticks.
    """

    __slots__ = ("_columns", "values")

    def __init__(self, reach: Ints, like: Floats, fill: float = 0.0) -> None:
        """Make a ring that reaches the farthest of `reach` ticks, of slices like `like`."""
        self.values = np.full((int(reach.max(initial=0)) + 1, *like.shape), fill)
        self._columns = np.arange(like.shape[-1])

    def write(self, tick: int, values: Floats) -> None:
        """Set the slice of a tick."""
        self.values[tick % len(self.values)] = values

    def read(self, ticks: Ints) -> Floats:
        """Return each service's value at its own tick; of ticks before 0, what the ring began with.

        A tick before 0 reads its slot, so the ring must not have been written there yet: callers
        look back at most as far as the ring reaches.
        """
        slots = ticks % len(self.values)
        if (slots == slots[0]).all():
            return np.asarray(self.values[slots[0]])
        # The services' axis is last; an index array beside a slice puts it first.
        return np.asarray(np.moveaxis(self.values[slots, ..., self._columns], 0, -1))

    def add(self, ticks: Ints, values: Floats) -> None:
        """Add to each service's slice of its own tick."""
        slots = ticks % len(self.values)
        self.values[slots, ..., self._columns] += np.moveaxis(values, -1, 0)

    def take(self, tick: int) -> Floats:
        """Return a tick's slice and empty it."""
        slot = tick % len(self.values)
        taken = np.array(self.values[slot])
        self.values[slot] = 0.0
        return taken

    def keep(self, total: Floats, *, first: int) -> None:
        """Drop what is planned last until `total` is left; tick `first` is the earliest planned."""
        order = (first + np.arange(len(self.values))) % len(self.values)
        kept = np.minimum(np.cumsum(self.values[order], axis=0), total)
        self.values[order] = np.diff(kept, axis=0, prepend=np.zeros((1, *total.shape)))
