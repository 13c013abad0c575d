"""What an event hour came to.

This module answers: for how long was a service above what its ready pods serve, what became of the
requests, how long did the backlog last, and what did the cluster peak at?
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from capmodel.capacity.simulator.specs import TICK_S
from capmodel.errors import InputError, nearest

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["EventHour", "Gauges", "Trace"]

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Trace:
    """Every tick of a simulation, at its end; T ticks."""

    replicas: Floats
    """Pods asked for, shape (T, D, S)."""
    ready: Floats
    """Pods that serve, shape (T, D, S)."""
    utilization: Floats
    """Busy / requested cores of the ready pods, shape (T, D, S); NaN without one."""
    backlog: Floats
    """Queued requests, shape (T, D, S)."""
    nodes: Floats
    """Ready nodes, shape (T, D)."""
    connections: Floats
    """Open connections, shape (T, D, K)."""


@dataclass(frozen=True, slots=True, eq=False)
class EventHour:
    """One simulated event hour: D draws, S services, K databases.

    Every call, first or again, ends in one place:
    ``offered + retried = served + refused + queued``. Every request ends in one place:
    ``offered = served + lost + queued + retry_due``.
    """

    services: tuple[str, ...]
    databases: tuple[str, ...]
    ticks: int
    """Length [ticks of 15 s]."""
    minutes_above_hard: Floats
    """Time in which arriving calls exceeded what the ready pods serve, shape (D, S) [min]."""
    first_above_hard_s: Floats
    """Start of the first such tick, shape (D, S) [s from the start]; NaN where there is none."""
    last_above_hard_s: Floats
    """End of the last such tick, shape (D, S) [s from the start]; NaN where there is none."""
    offered: Floats
    """First calls, shape (D, S) [requests]."""
    retried: Floats
    """Calls sent again, shape (D, S) [requests]."""
    served: Floats
    refused: Floats
    """Shed or expired calls, shape (D, S) [requests]."""
    expired: Floats
    """Of the refused: waited too long, shape (D, S) [requests]."""
    lost: Floats
    """Requests whose client gave up, shape (D, S) [requests]."""
    queued: Floats
    """Backlog at the end, shape (D, S) [requests]."""
    retry_due: Floats
    """Calls that would be sent again after the end, shape (D, S) [requests]."""
    largest_backlog: Floats
    """Shape (D, S) [requests]."""
    drain_s: Floats
    """From the end of the last tick above hard to an empty queue, shape (D, S) [s]; ``inf`` where
    requests are queued at the end, 0 where none waited."""
    peak_pods: Floats
    """Most pods asked for, shape (D, S) [pods]."""
    peak_unplaced: Floats
    """Most pods without room on a node, shape (D, S) [pods]."""
    peak_refused_pods: Floats
    """Most started pods without connections, shape (D, S) [pods]."""
    peak_nodes: Floats
    """Most ready nodes, shape (D,) [nodes]; 0 without a node pool."""
    peak_connections: Floats
    """Most open connections, shape (D, K) [connections]."""
    peak_wanted_connections: Floats
    """Most connections that started pods asked for, shape (D, K): above the table where it is full
    [connections]."""
    trace: Trace | None = None
    """Every tick, where it was asked for."""

    @property
    def survives(self) -> Bools:
        """Whether no service was above hard in any tick, shape (D,)."""
        return np.asarray((self.minutes_above_hard == 0).all(axis=1))

    @property
    def share_surviving(self) -> float:
        """Share of the draws in which no service was above hard in any tick [ratio]."""
        return float(self.survives.mean())

    def to_frame(self, name: str = "services") -> pd.DataFrame:
        """Return a frame by name.

        Parameters
        ----------
        name
            ``services``: one row per draw and service. ``draws``: one row per draw, with nodes and
            each database's open and wanted connections.

        Raises
        ------
        InputError
            For another name; names the nearest.
        """
        import pandas as pd  # noqa: PLC0415  seconds of import; simulations need none

        if name == "services":
            return pd.DataFrame(self._service_columns())
        if name != "draws":
            near = nearest(name, ("services", "draws"))
            raise InputError.of(
                "to_frame",
                got=repr(name),
                expected="services or draws",
                do=f'Did you mean "{near}"?' if near else "Choose one of these.",
            )
        columns: dict[str, npt.NDArray[np.generic]] = {
            "draw": np.arange(len(self.peak_nodes)),
            "survives": self.survives,
            "peak_nodes": self.peak_nodes,
        }
        for k, database in enumerate(self.databases):
            columns[f"peak_connections_{database}"] = self.peak_connections[:, k]
            columns[f"peak_wanted_connections_{database}"] = self.peak_wanted_connections[:, k]
        return pd.DataFrame(columns)

    def _service_columns(self) -> dict[str, npt.NDArray[np.generic]]:
        draws, count = self.offered.shape
        requests = ("offered", "retried", "served", "refused", "expired", "lost", "queued")
        flat = {
            "minutes_above_hard": self.minutes_above_hard,
            "first_above_hard_s": self.first_above_hard_s,
            "last_above_hard_s": self.last_above_hard_s,
            **{f"{part}_requests": getattr(self, part) for part in (*requests, "retry_due")},
            "largest_backlog_requests": self.largest_backlog,
            "drain_s": self.drain_s,
            "peak_pods": self.peak_pods,
            "peak_unplaced_pods": self.peak_unplaced,
            "peak_refused_pods": self.peak_refused_pods,
        }
        return {
            "draw": np.repeat(np.arange(draws), count),
            "service": np.tile(np.array(self.services, dtype=object), draws),
            **{column: values.ravel() for column, values in flat.items()},
        }


@dataclass(slots=True, eq=False)
class Gauges:
    """What is watched while the ticks go by; see :class:`EventHour`."""

    above: Floats
    first: Floats
    last: Floats
    last_queued: Floats
    backlog: Floats
    pods: Floats
    unplaced: Floats
    refused_pods: Floats
    nodes: Floats
    connections: Floats
    wanted: Floats

    @classmethod
    def new(cls, draws: int, services: int, databases: int) -> Gauges:
        """Return gauges that have seen nothing."""
        never = [np.full((draws, services), -1.0) for _ in range(3)]
        counts = [np.zeros((draws, services)) for _ in range(5)]
        tables = [np.zeros((draws, databases)) for _ in range(2)]
        return cls(
            above=counts[0],
            first=never[0],
            last=never[1],
            last_queued=never[2],
            backlog=counts[1],
            pods=counts[2],
            unplaced=counts[3],
            refused_pods=counts[4],
            nodes=np.zeros(draws),
            connections=tables[0],
            wanted=tables[1],
        )

    def mark(self, tick: int, above: Bools, backlog: Floats) -> None:
        """Note the ticks above hard and those that end with a backlog."""
        if above.any():
            self.above += above
            self.first[above & (self.first < 0)] = tick
            self.last[above] = tick
        queued = backlog > 0
        if queued.any():
            self.last_queued[queued] = tick
            np.maximum(self.backlog, backlog, out=self.backlog)

    def first_s(self) -> Floats:
        """Return the start of the first tick above hard [s]."""
        return np.where(self.first < 0, np.nan, self.first * TICK_S)

    def last_s(self) -> Floats:
        """Return the end of the last tick above hard [s]."""
        return np.where(self.last < 0, np.nan, (self.last + 1) * TICK_S)

    def drain_s(self, queued: Floats) -> Floats:
        """Return the time from the last tick above hard to an empty queue [s].

        A queue that is empty at the end of tick q + 1 took that tick too.
        """
        ticks = np.where(self.last_queued < self.last, 0.0, self.last_queued + 1 - self.last)
        ticks = np.where(self.last_queued < 0, 0.0, ticks)
        return np.where(queued > 0, np.inf, ticks * TICK_S)
