"""The proof of a mix: pods counted node by node, and placed anew after every loss.

This module answers: does each node hold what the mix puts on it, and do all pods still find a place
when zones go, or nodes?
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np

from capmodel.capacity.mix.packing import node_losses
from capmodel.capacity.mix.place import place_zone
from capmodel.capacity.mix.result import Mix
from capmodel.capacity.mix.spec import Ints, Pool

__all__ = ["Loss", "Verification", "verify"]


@dataclass(frozen=True, slots=True)
class Loss:
    """A loss that was simulated: what went, and the pods that found no place [pods]."""

    lost: str
    unplaced: int


@dataclass(frozen=True, slots=True)
class Verification:
    """What the simulation found.

    ``misplaced`` pods that the mix leaves out of a zone [pods]; ``overfull_nodes`` nodes beyond
    their room or their share of a service; ``zone_losses`` each set of zones lost; ``node_losses``
    each loss of the spare nodes in each zone.
    """

    misplaced: int
    overfull_nodes: int
    zone_losses: tuple[Loss, ...]
    node_losses: tuple[Loss, ...]

    @property
    def holds(self) -> bool:
        """Whether every pod has its place, before and after each loss."""
        losses = (*self.zone_losses, *self.node_losses)
        return not (self.misplaced or self.overfull_nodes or any(one.unplaced for one in losses))


def verify(mix: Mix) -> Verification:
    """Replay a mix pod by pod, then take away zones and nodes and place all pods again.

    For each set of as many zones as may be lost, the pods that must stand are spread over the
    zones left, within one pod of each other, and placed anew on their nodes. Where that leaves any
    over, a pod keeps to the places that the mix has for its service. Each zone then loses its spare
    nodes, of each type that may be the worst loss.

    Parameters
    ----------
    mix
        A feasible mix.

    Returns
    -------
    Verification

    Examples
    --------
    >>> from capmodel.capacity.mix import Candidate, choose_mix
    >>> from capmodel.capacity.nodes import PodShape, Usable
    >>> node = Usable("m6i.4xlarge", cpu_cores=15.59, memory_gib=55.8, pods=234)
    >>> mix = choose_mix(
    ...     [PodShape("api", 2, 4)], [40], candidates=[Candidate(node, 0.768)], zones=3, lose=1
    ... )
    >>> found = verify(mix)
    >>> found.holds, [loss.lost for loss in found.zone_losses]
    (True, ['zones 0', 'zones 1', 'zones 2'])
    """
    pool = mix.pool
    held = [_held(mix, zone) for zone in range(pool.zones)]
    kinds = [np.repeat(np.arange(len(pool.types)), mix.counts[:, z]) for z in range(pool.zones)]
    short = sum(int(np.abs(pool.pods - one.sum(axis=0)).sum()) for one in held)
    overfull = sum(_overfull(pool, *one) for one in zip(kinds, held, strict=True))
    known: dict[tuple[bytes, bytes], int] = {}
    zone_losses = []
    for lost in itertools.combinations(range(pool.zones), pool.lose):
        left = 0
        rest = [zone for zone in range(pool.zones) if zone not in lost]
        for zone, pods in zip(rest, _spread(pool.need, len(rest)), strict=True):
            key = (mix.counts[:, zone].tobytes(), pods.tobytes())
            if key not in known:
                known[key] = _unplaced(pool, mix.counts[:, zone], pods, held[zone])
            left += known[key]
        if lost:
            zone_losses.append(Loss(lost=f"zones {', '.join(map(str, lost))}", unplaced=left))
    return Verification(
        misplaced=short,
        overfull_nodes=overfull,
        zone_losses=tuple(zone_losses),
        node_losses=tuple(_node_losses(mix)),
    )


def _held(mix: Mix, zone: int) -> Ints:
    """Return the pods of each service on each node of a zone (N, S), as the placements say."""
    counts = mix.counts[:, zone]
    first = np.cumsum(counts) - counts
    held = np.zeros((int(counts.sum()), mix.pool.pods.size), dtype=np.int64)
    here = mix.placements[mix.placements[:, 0] == zone]
    np.add.at(held, (first[here[:, 1]] + here[:, 2], here[:, 3]), here[:, 4])
    return held


def _overfull(pool: Pool, kind: Ints, held: Ints) -> int:
    """Return the nodes that hold more than their room, or than their share of a service."""
    beyond = (held @ pool.request > pool.room[kind]).any(axis=1)
    return int((beyond | (held > pool.node_cap).any(axis=1) | (held < 0).any(axis=1)).sum())


def _spread(need: Ints, zones: int) -> list[Ints]:
    """Return the pods of each zone (S,), within one pod of each other for each service."""
    turn = np.arange(need.size)
    return [need // zones + ((zone - turn) % zones < need % zones) for zone in range(zones)]


def _unplaced(pool: Pool, counts: Ints, pods: Ints, planned: Ints) -> int:
    """Return the pods of a zone that find no place on its nodes, each node's room checked."""
    anew = place_zone(pool, counts, pods)
    if not anew.left.any() and not _overfull(pool, anew.node_type, anew.held):
        return int(np.abs(anew.held.sum(axis=0) - pods).sum())
    before = np.cumsum(planned, axis=0) - planned
    kept = np.clip(pods - before, 0, planned)
    return int((pods - kept.sum(axis=0)).sum())


def _node_losses(mix: Mix) -> list[Loss]:
    pool = mix.pool
    found = []
    known: dict[bytes, int] = {}
    for zone in range(pool.zones):
        counts = np.ascontiguousarray(mix.counts[:, zone])
        for rest in node_losses(pool, counts):
            if rest.tobytes() not in known:
                anew = place_zone(pool, rest, pool.pods)
                short = np.abs(pool.pods - anew.held.sum(axis=0)).sum()
                known[rest.tobytes()] = int(short) + _overfull(pool, anew.node_type, anew.held)
            gone = counts - rest
            names = ", ".join(f"{gone[i]} {pool.types[i]}" for i in np.flatnonzero(gone))
            found.append(Loss(lost=f"{names} in zone {zone}", unplaced=known[rest.tobytes()]))
    return found
