"""The best pool of a single instance type, under the same checks as a mix.

This module answers: what would one type alone weigh, and which type would it be?
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from capmodel.capacity.mix.cover import CoverRows
from capmodel.capacity.mix.packing import Packer
from capmodel.capacity.mix.spec import Ints, Pool

__all__ = ["SingleType", "best_single_type"]


@dataclass(frozen=True, slots=True)
class SingleType:
    """A type (its index) and its nodes in one zone."""

    kind: int
    nodes: int


def best_single_type(pool: Pool, rows: CoverRows, packer: Packer) -> SingleType | None:
    """Return the type that alone holds a zone's pods at the least weight; None where none can.

    Every pod is placed, with spare nodes and the blast radius as the rules say; rules on shares of
    types and on changes are left to the caller. Types are tried by their least possible weight
    until that is no lower than the best weight placed.
    """
    demand = rows.per_pod @ pool.pods
    asked = demand > 0
    with np.errstate(divide="ignore"):
        need = np.ceil(demand[asked, None] / rows.per_node[asked] - 1e-9).max(axis=0, initial=0.0)
    spare = pool.rules.spare_nodes_per_zone if asked.any() else 0
    least = np.maximum(need + spare, pool.rules.min_nodes_per_zone)
    least[~pool.allowed] = np.inf
    floor = least * pool.weight
    best, best_weight = None, np.inf
    for kind in np.lexsort((np.arange(floor.size), floor)):
        if floor[kind] >= best_weight:
            break
        nodes = _nodes_placed(pool, packer, int(kind), int(least[kind]), below=best_weight)
        if nodes is not None:
            best = SingleType(kind=int(kind), nodes=nodes)
            best_weight = nodes * float(pool.weight[kind])
    return best


def _nodes_placed(pool: Pool, packer: Packer, kind: int, nodes: int, *, below: float) -> int | None:
    """Return the fewest nodes of a type that hold every pod; None at or above a weight."""
    while nodes * pool.weight[kind] < below:
        left = packer.pack(_only(pool, kind, nodes)).left
        if not left.any():
            return nodes
        nodes += max(1, int((left @ pool.request / pool.room[kind]).max()))
    return None


def _only(pool: Pool, kind: int, nodes: int) -> Ints:
    counts = np.zeros(len(pool.types), dtype=np.int64)
    counts[kind] = nodes
    return counts
