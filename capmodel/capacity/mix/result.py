"""The instance mix of a pool: counts per type and zone, every pod's node, and what it is worth.

This module answers: what does the mix hold, how far is it from the least possible, and what does it
save against one type alone?
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from capmodel.capacity.mix.spec import Floats, Ints, Pool
from capmodel.capacity.nodes import RESOURCES

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Mix", "utilization_of"]


@dataclass(frozen=True, slots=True, eq=False)
class Mix:
    """Nodes of each type in each zone, with every pod of the zone on one of them."""

    pool: Pool
    """The question: services, types in alphabetical order, zones, rules."""
    counts: Ints
    """Nodes of each type in each zone, shape (T, A); all 0 when infeasible."""
    weight: float
    """Weight of all nodes, without that of changes; NaN when infeasible [unit]."""
    lp_bound: float
    """Weight over all zones below which no nodes hold the pods: fractional nodes, liquid pods."""
    placements: Ints
    """Rows (zone, type, node of that type in that zone, service, pods), indices from 0, (P, 5)."""
    origin: Literal["mix", "single type", "today", ""]
    """What the counts are: of the search, of the best single type, or today's."""
    best_single_type: str
    """The type that alone holds every pod at the least weight; empty where none does."""
    best_single_weight: float
    """Its weight over all zones, rules on shares and changes left aside [unit]; NaN for none."""
    changes: int
    """Nodes added plus nodes removed against today [nodes]."""
    rounds: int
    """Rounds of covering and placing."""
    infeasible: str
    """The rules in the way, with their values; empty for a mix that holds."""

    @property
    def types(self) -> tuple[str, ...]:
        """The candidate types, in the order of the rows of `counts`."""
        return self.pool.types

    @property
    def gap(self) -> float:
        """Weight above the bound [ratio]; 0 for an empty pool."""
        return self.weight / self.lp_bound - 1 if self.lp_bound else self.weight

    @property
    def saving(self) -> float:
        """What pinning the mix saves against the best single type [ratio]; NaN without one."""
        if not self.best_single_weight:
            return 0.0
        return 1 - self.weight / self.best_single_weight

    @property
    def utilization(self) -> Mapping[str, float]:
        """Requests of the placed pods / room of the nodes, by resource [ratio]; NaN for none."""
        placed = self.pool.request[self.placements[:, 3]] * self.placements[:, 4:]
        return utilization_of(placed.sum(axis=0), self.counts.sum(axis=1) @ self.pool.room)

    def to_frame(self) -> pd.DataFrame:
        """Return a row for each type and zone with nodes in the mix or today.

        Columns ``zone`` (from 0), ``instance_type``, ``nodes``, ``nodes_today``, ``weight`` [unit],
        ``pods`` placed, and ``cpu_cores_utilization``, ``memory_gib_utilization``,
        ``pods_utilization`` [ratio].
        """
        import pandas as pd  # noqa: PLC0415  the package loads faster without it

        rows = []
        for zone in range(self.pool.zones):
            for kind, name in enumerate(self.types):
                nodes = int(self.counts[kind, zone])
                today = int(self.pool.today[zone, kind])
                if nodes or today:
                    rows.append(
                        {
                            "zone": zone,
                            "instance_type": name,
                            "nodes": nodes,
                            "nodes_today": today,
                            "weight": nodes * float(self.pool.weight[kind]),
                            **self._filled(zone, kind),
                        }
                    )
        columns = ["zone", "instance_type", "nodes", "nodes_today", "weight", "pods"]
        return pd.DataFrame(
            rows, columns=[*columns, *(f"{name}_utilization" for name in RESOURCES)]
        )

    def _filled(self, zone: int, kind: int) -> dict[str, float]:
        here = self.placements[(self.placements[:, 0] == zone) & (self.placements[:, 1] == kind)]
        placed = (self.pool.request[here[:, 3]] * here[:, 4:]).sum(axis=0)
        share = utilization_of(placed, self.counts[kind, zone] * self.pool.room[kind])
        return {
            "pods": int(here[:, 4].sum()),
            **{f"{name}_utilization": value for name, value in share.items()},
        }


def utilization_of(placed: Ints, room: Ints | Floats) -> dict[str, float]:
    """Return placed / room by resource [ratio], NaN where there is no room."""
    pairs = zip(RESOURCES, placed.tolist(), room.tolist(), strict=True)
    return {name: part / whole if whole else math.nan for name, part, whole in pairs}
