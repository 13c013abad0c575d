"""Pods on their way to their first request: place, start, connections, warm-up; and the nodes.

This module answers: of the pods that were asked for, how many serve in this tick, and why do the
others not? State over draws and services, changed in place tick by tick.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from capmodel.capacity.replicas import SLACK
from capmodel.capacity.simulator.arrays import Arrays, Ring, nodes_for, ticks_up
from capmodel.capacity.simulator.specs import TICK_S, NodePool

__all__ = ["Fleet"]

Floats = npt.NDArray[np.float64]


@dataclass(slots=True, eq=False)
class Fleet:
    """Pods of every draw and service, shape (D, S), and nodes of every draw, shape (D,).

    Every replica is in exactly one of pending, starting, waiting and ready.
    """

    arrays: Arrays
    pool: NodePool | None
    replicas: Floats
    """Asked for."""
    pending: Floats
    """No node has room."""
    starting: Ring
    """Starting, by the tick in which they have started."""
    waiting: Floats
    """Started, without connections."""
    ready: Floats
    warming: Ring
    """Ready and not yet at full speed, by the tick in which they are warm."""
    credit: Floats
    """Connections that may be opened now, shape (D, K)."""
    nodes: Floats
    coming: Ring
    """Nodes on their way, by the tick in which they are ready; slices of shape (D, 1)."""

    @classmethod
    def standing(cls, arrays: Arrays, pool: NodePool | None, pods: Floats, nodes: Floats) -> Fleet:
        """Return a fleet whose pods run already, as far as nodes and connections reach.

        Parameters
        ----------
        arrays, pool
            The cluster.
        pods
            Pods at the start, shape (D, S).
        nodes
            Nodes at the start, shape (D,).
        """
        node_ticks = np.array([ticks_up(pool.node_start_s) + 1 if pool else 0])
        fleet = cls(
            arrays=arrays,
            pool=pool,
            replicas=pods.copy(),
            pending=pods.copy(),
            starting=Ring(arrays.start_ticks, pods),
            waiting=np.zeros_like(pods),
            ready=np.zeros_like(pods),
            warming=Ring(arrays.warm_ticks, pods),
            credit=np.full((len(pods), len(arrays.ramp)), np.inf),
            nodes=nodes.copy(),
            coming=Ring(node_ticks, nodes[:, None]),
        )
        placed = fleet._placeable()
        fleet.pending -= placed
        fleet.waiting += placed
        connected = fleet._connectable()
        fleet.waiting -= connected
        fleet.ready += connected
        fleet.credit[:] = 0.0
        return fleet

    def advance(self, tick: int) -> None:
        """Let nodes arrive, pods find a place, start, connect and get warm."""
        arrays = self.arrays
        self.nodes += self.coming.take(tick)[:, 0]
        if self.pending.any():
            placed = self._placeable()
            self.pending -= placed
            self.starting.add(tick + arrays.start_ticks, placed)
        self.waiting += self.starting.take(tick)
        most = arrays.pools.max(axis=0, initial=0.0)
        np.minimum(self.credit + arrays.ramp, arrays.ramp + most, out=self.credit)
        if self.waiting.any():
            connected = self._connectable()
            self.waiting -= connected
            self.ready += connected
            self.credit -= connected @ arrays.pools
            self.warming.add(tick + arrays.warm_ticks, connected)
        self.warming.take(tick)

    def rescale(self, replicas: Floats, tick: int) -> None:
        """Ask for another number of pods: new ones are pending, the least useful go first.

        The platform removes pending pods first and young ones before old ones (Kubernetes
        documentation, *ReplicaSet*, "Scaling a ReplicaSet"); here those that are not ready come
        between, and the ready ones that are not warm go before the warm ones.
        """
        change = replicas - self.replicas
        self.replicas = replicas
        self.pending += np.maximum(change, 0.0)
        surplus = np.maximum(-change, 0.0)
        if not surplus.any():
            return
        for part in (self.pending, self.waiting):
            gone = np.minimum(part, surplus)
            part -= gone  # noqa: PLW2901  the state's own array, changed in place
            surplus -= gone
        starting = self.starting.values.sum(axis=0)
        gone = np.minimum(starting, surplus)
        self.starting.keep(starting - gone, first=tick + 1)
        surplus -= gone
        self.ready -= surplus
        cold = self.warming.values.sum(axis=0)
        self.warming.keep(np.maximum(cold - surplus, 0.0), first=tick + 1)

    def order_nodes(self, tick: int) -> None:
        """Order nodes for every pod asked for, as fast as the provisioner launches them."""
        if self.pool is None:
            return
        wanted = np.minimum(
            nodes_for(self.replicas, self.arrays.node_share, self.pool), self.pool.max_nodes
        )
        rate = self.pool.launch_per_min * TICK_S / 60.0
        launches = np.floor((tick + 1) * rate + SLACK) - np.floor(tick * rate + SLACK)
        coming = self.coming.values.sum(axis=0)[:, 0]
        ordered = np.clip(wanted - self.nodes - coming, 0.0, launches)
        arrival = tick + 1 + ticks_up(self.pool.node_start_s)
        self.coming.add(np.array([arrival]), ordered[:, None])

    def cold(self) -> Floats:
        """Return the ready pods that are not yet at full speed, shape (D, S)."""
        return np.asarray(self.warming.values.sum(axis=0))

    def connections(self, *, wanted: bool = False) -> Floats:
        """Return the open connections (with `wanted`, those of waiting pods too), shape (D, K)."""
        pods = self.ready + self.waiting if wanted else self.ready
        return np.asarray(pods @ self.arrays.pools)

    def _placeable(self) -> Floats:
        """Whole pending pods that find room, services in order."""
        if self.pool is None:
            return self.pending.copy()
        share = self.arrays.node_share
        room = self.nodes - (self.replicas - self.pending) @ share
        return _served_in_order(self.pending, share, room)

    def _connectable(self) -> Floats:
        """Whole waiting pods that can open all their pools, services in order."""
        arrays = self.arrays
        free = np.minimum(self.credit, arrays.max_connections - self.connections())
        pods = self.waiting.copy()
        for k in range(free.shape[1]):
            allowed = _served_in_order(self.waiting, arrays.pools[:, k], free[:, k])
            np.minimum(pods, allowed, out=pods)
        return pods


def _served_in_order(pods: Floats, size: Floats, room: Floats) -> Floats:
    """Return how many of the pods fit, each of its service's size, the first service first.

    Parameters
    ----------
    pods
        Whole pods that ask, shape (D, S).
    size
        What one takes, shape (S,); 0: nothing.
    room
        What is free, shape (D,).
    """
    need = pods * size
    before = np.cumsum(need, axis=1) - need
    granted = np.clip(room[:, None] - before, 0.0, need)
    whole = np.full_like(pods, np.inf)
    np.divide(granted, size, out=whole, where=size > 0)
    return np.minimum(np.floor(whole + SLACK), pods)
