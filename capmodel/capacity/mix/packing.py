"""Whether node counts hold a zone's pods, also after the loss of spare nodes.

This module answers: placed one by one, and once more on what is left when the largest nodes fail,
do all pods stand?
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from capmodel.capacity.mix.division import Division, divide
from capmodel.capacity.mix.place import ZonePlacement, place_zone
from capmodel.capacity.mix.spec import Ints, Pool

__all__ = ["Packed", "Packer", "node_losses"]


@dataclass(frozen=True, slots=True, eq=False)
class Packed:
    """A zone's placement on all nodes, and the pods left over in the worst of all losses (S,)."""

    placement: ZonePlacement
    left: Ints

    @property
    def holds(self) -> bool:
        """Whether no pod is left over."""
        return not self.left.any()


@dataclass(slots=True, eq=False)
class Packer:
    """Packs zones of a pool, each set of counts once."""

    pool: Pool
    _packed: dict[bytes, Packed] = field(default_factory=dict)
    _divided: dict[bytes, Division] = field(default_factory=dict)

    def divide(self, counts: Ints) -> Division:
        """Return the pods of a zone divided over the types of its counts (T,)."""
        key = counts.tobytes()
        if key not in self._divided:
            self._divided[key] = divide(self.pool, counts, self.pool.pods)
        return self._divided[key]

    def pack(self, counts: Ints) -> Packed:
        """Return the placement on counts of one zone (T,), and the worst that a loss leaves."""
        key = counts.tobytes()
        if key not in self._packed:
            self._packed[key] = self._pack(counts)
        return self._packed[key]

    def _pack(self, counts: Ints) -> Packed:
        pool = self.pool
        whole = place_zone(pool, counts, pool.pods, division=self.divide(counts))
        worst = whole.left
        for rest in node_losses(pool, counts):
            left = place_zone(pool, rest, pool.pods).left
            if left @ pool.size > worst @ pool.size:
                worst = left
        return Packed(placement=whole, left=worst)


def node_losses(pool: Pool, counts: Ints) -> Iterator[Ints]:
    """Yield the counts left (T,) after the loss of the spare nodes, for each type that may go.

    Nodes of one type go first, then the largest of the others. A type that another type in use
    exceeds in every resource is passed over: to lose the other is worse.
    """
    spare = pool.rules.spare_nodes_per_zone
    if not spare or not pool.pods.any():
        return
    used = np.flatnonzero(counts)
    largest = used[np.lexsort((-pool.room[used, 1], -pool.room[used, 0]))]
    for kind in used:
        larger = (pool.room[used] >= pool.room[kind]).all(axis=1) & (counts[used] >= spare)
        larger &= (pool.room[used] > pool.room[kind]).any(axis=1)
        if larger.any():
            continue
        rest, lost = counts.copy(), spare
        for one in (kind, *largest):
            gone = min(lost, int(rest[one]))
            rest[one] -= gone
            lost -= gone
        yield rest
