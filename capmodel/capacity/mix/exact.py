"""Complete search for a placement on a handful of nodes, where rules of thumb give up too early.

This module answers: do these few pods fit these few nodes at all?
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from capmodel.capacity.mix.spec import Ints, Pool

__all__ = ["place_all"]

_MAX_PODS: Final = 40
_MAX_NODES: Final = 12
_STEPS: Final = 3000


def place_all(pool: Pool, kind: Ints, pods: Ints) -> Ints | None:
    """Return pods of each service on each node (N, S), or None where no placement was found.

    Pods are tried largest first, depth first, on every node that differs from those tried in type,
    free room or pods of the service. None also above 40 pods or 12 nodes, and after 3,000 steps.
    """
    if pods.sum() > _MAX_PODS or kind.size > _MAX_NODES:
        return None
    if (pods @ pool.request > pool.room[kind].sum(axis=0)).any():
        return None
    order = [service for service in pool.largest_first for _ in range(pods[service])]
    search = _Search(
        order=order,
        request=[tuple(row) for row in pool.request.tolist()],
        cap=pool.node_cap.tolist(),
        free=[tuple(row) for row in pool.room[kind].tolist()],
        held=np.zeros((kind.size, pods.size), dtype=np.int64),
    )
    return search.held if search.place(0, 0) else None


@dataclass(slots=True, eq=False)
class _Search:
    """Pods still to place and the nodes as they stand."""

    order: list[int]
    request: list[tuple[int, ...]]
    cap: list[int]
    free: list[tuple[int, ...]]
    held: Ints
    steps: int = 0

    def place(self, pod: int, start: int) -> bool:
        """Place the pods from one on, equal pods on nodes of rising index."""
        if pod == len(self.order):
            return True
        service = self.order[pod]
        request, tried = self.request[service], set()
        same_next = pod + 1 < len(self.order) and self.order[pod + 1] == service
        for node in range(start, len(self.free)):
            before = self.free[node]
            state = (before, int(self.held[node, service]))
            after = tuple(room - size for room, size in zip(before, request, strict=True))
            if state in tried or min(after) < 0 or state[1] >= self.cap[service]:
                continue
            self.steps += 1
            if self.steps > _STEPS:
                return False
            tried.add(state)
            self.free[node] = after
            self.held[node, service] += 1
            if self.place(pod + 1, node if same_next else 0):
                return True
            self.free[node] = before
            self.held[node, service] -= 1
        return False
