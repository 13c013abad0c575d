"""Every pod of a zone on a node: the packing that decides whether counts of nodes really do.

This module answers: do these nodes hold these pods, on which node does each stand, and which pods
are left over? Arithmetic is in whole millicores, KiB and pods.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from capmodel.capacity.mix.division import Division, divide
from capmodel.capacity.mix.exact import place_all
from capmodel.capacity.mix.spec import Floats, Ints, Pool

__all__ = ["ZonePlacement", "place_zone"]

_EXCHANGES: Final = 300
"""Exchanges of pods between two nodes, at most, in one zone."""
_LEVEL: Final = 1e-3
"""Difference in free cores less free memory [share of the largest node] that is let be."""
_WORTHWHILE: Final = 0.98
_PARTNERS: Final = 4
_PASSES: Final = 2
_TURNS: Final = 500
"""Pods that are made room for by moving or displacing others, at most, in one zone."""


@dataclass(frozen=True, slots=True, eq=False)
class ZonePlacement:
    """Pods of one zone on its nodes.

    ``node_type`` the type of each of N nodes (N,); ``held`` pods of each service on each node
    (N, S); ``left`` pods of each service that found no node (S,).
    """

    node_type: Ints
    held: Ints
    left: Ints


@dataclass(slots=True, eq=False)
class _Nodes:
    """Nodes while they fill: their room and what is free of it (N, 3), pods held (N, S)."""

    pool: Pool
    room: Ints
    free: Ints
    held: Ints
    largest: int
    """Cores of the largest node [millicores]."""

    def add(self, node: int | Ints, service: int, pods: int | Ints) -> None:
        """Put pods of a service on one node, or on several different ones."""
        self.held[node, service] += pods
        self.free[node] -= np.multiply.outer(pods, self.pool.request[service])

    def balance(self, among: Ints, service: int, pods: int) -> int:
        """Put pods where the fullest resource stays emptiest, one a node; return those left."""
        request, cap = self.pool.request[service], self.pool.node_cap[service]
        while pods:
            after = self.free[among] - request
            fits = (after >= 0).all(axis=1) & (self.held[among, service] < cap)
            open_to = np.flatnonzero(fits)
            if not open_to.size:
                break
            emptiest = (after[open_to] / self.room[among[open_to]]).min(axis=1)
            best = among[open_to[np.argsort(-emptiest, kind="stable")[:pods]]]
            self.add(best, service, np.ones(best.size, dtype=np.int64))
            pods -= best.size
        return pods

    def tilt(self, node: int | Ints, free: Ints) -> Floats:
        """Return free cores less free memory, each as a share of the node, by the node's cores."""
        share = free[..., :2] / self.room[node, :2]
        return np.asarray((share[..., 0] - share[..., 1]) * self.room[node, 0] / self.largest)

    def exchange(self, rich: int, poor: int, before: float) -> bool:
        """Exchange a pod of each of two nodes, or move one, if that levels both; say whether."""
        none = self.pool.pods.size
        request = np.vstack([self.pool.request, np.zeros_like(self.pool.request[:1])])
        gives, takes = (np.append(np.flatnonzero(self.held[k]), none) for k in (rich, poor))
        gain = request[takes][None] - request[gives][:, None]
        after_rich, after_poor = self.free[rich] - gain, self.free[poor] + gain
        fits = (after_rich >= 0).all(axis=2) & (after_poor >= 0).all(axis=2)
        full = self.held >= self.pool.node_cap
        fits &= ~np.append(full[rich], False)[takes] & ~np.append(full[poor], False)[gives, None]
        after = np.abs(self.tilt(rich, after_rich)) + np.abs(self.tilt(poor, after_poor))
        after = np.where(fits, after, np.inf)
        a, b = divmod(int(after.argmin()), takes.size)
        if after[a, b] > _WORTHWHILE * before:
            return False
        for service, source, target in ((int(gives[a]), rich, poor), (int(takes[b]), poor, rich)):
            if service != none:
                self.add(source, service, -1)
                self.add(target, service, 1)
        return True

    def move_for(self, service: int) -> bool:
        """Move one pod to another node such that a pod of the service fits; False where none."""
        pool = self.pool
        takes = _holds(self.free, pool.request) & (self.held < pool.node_cap)
        gives = _holds(self.free - pool.request[service], -pool.request)
        gives &= (self.held > 0) & (self.held[:, [service]] < pool.node_cap[service])
        # A node is no target for its own pod.
        gives &= takes.sum(axis=0) - takes > 0
        if not gives.any():
            return False
        node, moved = divmod(int(np.where(gives, pool.size, np.inf).argmin()), pool.size.size)
        target = next(int(k) for k in np.flatnonzero(takes[:, moved]) if k != node)
        self.add(node, moved, -1)
        self.add(target, moved, 1)
        self.add(node, service, 1)
        return True

    def displace_for(self, service: int) -> list[int]:
        """Put a pod in the place of smaller ones; return the services of those, empty for none.

        Pods of one service where they do, those that take the least room; else of several on the
        node that lacks least.
        """
        pool, request = self.pool, self.pool.request[service]
        smaller = pool.size < pool.size[service]
        open_to = self.held[:, service] < pool.node_cap[service]
        missing = np.maximum(request - self.free, 0)
        count = _pods_for(missing, pool.request)
        can = (count <= self.held) & smaller & open_to[:, None]
        if can.any():
            volume = np.where(can, count * pool.size, np.inf)
            node, gone = divmod(int(volume.argmin()), pool.size.size)
            out = [gone] * int(count[node, gone])
        else:
            enough = (self.free + (self.held * smaller) @ pool.request >= request).all(axis=1)
            lack = np.where(enough & open_to, (missing / self.room).max(axis=1), np.inf)
            node = int(lack.argmin())
            out = self._several_out(node, service) if np.isfinite(lack[node]) else []
        for gone in out:
            self.add(node, gone, -1)
        if out:
            self.add(node, service, 1)
        return out

    def _several_out(self, node: int, service: int) -> list[int]:
        """Return the pods of a node, largest first, that make room for one of a service."""
        pool, missing, out = self.pool, self.pool.request[service] - self.free[node], []
        for one in pool.largest_first:
            if pool.size[one] >= pool.size[service] or not self.held[node, one]:
                continue
            if not (pool.request[one] * (missing > 0)).any():
                continue
            pods = int(
                min(
                    self.held[node, one],
                    _pods_for(missing.clip(0)[None], pool.request[[one]])[0, 0],
                )
            )
            out += [one] * pods
            missing = missing - pods * pool.request[one]
        return out


def _holds(free: Ints, request: Ints) -> npt.NDArray[np.bool_]:
    """Return whether what is free (N, 3) is at least a request (S, 3) in every resource (N, S)."""
    first, second, third = (
        np.greater_equal.outer(free[:, k], request[:, k]) for k in range(request.shape[1])
    )
    return np.asarray(first & second & third)


def _pods_for(missing: Ints, request: Ints) -> Floats:
    """Return how many pods (S, 3) free what is missing (N, 3), ``inf`` if none does (N, S)."""
    pods = np.zeros((len(missing), len(request)))
    for k in range(request.shape[1]):
        short = np.flatnonzero(missing[:, k])
        with np.errstate(divide="ignore"):
            each = np.ceil(missing[short, k, None] / request[:, k])
        pods[short] = np.maximum(pods[short], each)
    return pods


def place_zone(
    pool: Pool, counts: Ints, pods: Ints, *, division: Division | None = None
) -> ZonePlacement:
    """Place a zone's pods on its nodes.

    A linear programme divides each service over the types (:func:`~.division.divide`). Each type's
    whole part is spread evenly over its nodes; what division leaves goes, largest pods first, to
    the node whose fullest resource stays emptiest. For a pod that fits nowhere a smaller one is
    moved, or smaller ones are displaced and placed again; where that fails, nodes with cores to
    spare exchange pods with nodes with memory to spare. A handful of nodes is searched completely.

    Parameters
    ----------
    pool
        Shapes of pods and nodes, and the blast-radius rule.
    counts
        Nodes of each type (T,).
    pods
        Pods of each service (S,).
    division
        Their division over the types; made here when None.

    Returns
    -------
    ZonePlacement
        Also where pods are left over.

    References
    ----------
    Panigrahy, R., Talwar, K., Uyeda, L., Wieder, U. (2011). *Heuristics for Vector Bin Packing*,
    Microsoft Research: why the largest resource alone is a poor guide.
    """
    kind = np.repeat(np.arange(counts.size), counts)
    held = np.zeros((kind.size, pods.size), dtype=np.int64)
    if not kind.size:
        return ZonePlacement(node_type=kind, held=held, left=pods.copy())
    room = pool.room[kind]
    nodes = _Nodes(pool=pool, room=room, free=room.copy(), held=held, largest=int(room[:, 0].max()))
    split = (division or divide(pool, counts, pods)).pods
    left = _spread(nodes, kind, split, pods)
    left = _make_room(nodes, left)
    for _ in range(_PASSES if left.any() else 0):
        _even_out(nodes)
        left = _make_room(nodes, left)
        if not left.any():
            break
    if left.any():
        complete = place_all(pool, kind, pods)
        if complete is not None:
            return ZonePlacement(node_type=kind, held=complete, left=np.zeros_like(pods))
    return ZonePlacement(node_type=kind, held=nodes.held, left=left)


def _spread(nodes: _Nodes, kind: Ints, split: Ints, pods: Ints) -> Ints:
    """Spread pods over the nodes of their types, evenly, then what is left; return those left."""
    members = {int(one): np.flatnonzero(kind == one) for one in np.unique(kind)}
    rest = split.copy()
    for one, at in members.items():
        each = split[one] // at.size
        # A division that overfills the type leaves pods over in any case: place them one by one.
        if (each @ nodes.pool.request <= nodes.room[at[0]]).all():
            nodes.held[at] += each
            nodes.free[at] -= each @ nodes.pool.request
            rest[one] -= each * at.size
    # The few pods that the division cut in two choose among all nodes; pods that their own type has
    # no room for wait until every type has taken its own.
    left, cut = np.zeros_like(pods), pods - split.sum(axis=0)
    everywhere = np.arange(kind.size)
    for service in nodes.pool.largest_first:
        if cut[service]:
            left[service] = nodes.balance(everywhere, service, int(cut[service]))
        for one, at in members.items():
            if rest[one, service]:
                left[service] += nodes.balance(at, service, int(rest[one, service]))
    return left


def _even_out(nodes: _Nodes) -> None:
    """Exchange pods between nodes with cores to spare and nodes with memory to spare.

    What is free of both is worth more than as much of each on two nodes.
    """
    everywhere = np.arange(len(nodes.room))
    stuck = np.zeros(everywhere.size, dtype=np.bool_)
    for _ in range(_EXCHANGES):
        tilt = nodes.tilt(everywhere, nodes.free)
        rich = int(np.where(stuck, -np.inf, tilt).argmax())
        if stuck[rich] or tilt[rich] - tilt.min() < _LEVEL:
            return
        partners = np.argsort(tilt, kind="stable")[:_PARTNERS]
        stuck[rich] = not any(
            nodes.exchange(rich, int(poor), abs(tilt[rich]) + abs(tilt[poor]))
            for poor in partners
            if poor != rich
        )


def _make_room(nodes: _Nodes, left: Ints) -> Ints:
    """Place pods left over by moving or displacing smaller ones; return those left in the end."""
    rank = {service: place for place, service in enumerate(nodes.pool.largest_first)}
    waiting = [(rank[int(i)], int(i)) for i in np.flatnonzero(left) for _ in range(left[i])]
    heapq.heapify(waiting)
    left = np.zeros_like(left)
    for _ in range(_TURNS):
        if not waiting:
            break
        _, service = heapq.heappop(waiting)
        if not nodes.balance(np.arange(len(nodes.room)), service, 1):
            continue
        if nodes.move_for(service):
            continue
        out = nodes.displace_for(service)
        if not out:
            left[service] += 1
        for one in out:
            heapq.heappush(waiting, (rank[one], one))
    for _, service in waiting:
        left[service] += 1
    return left
