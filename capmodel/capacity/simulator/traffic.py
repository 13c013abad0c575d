"""Requests of a tick: served, queued, refused, expired, called again.

This module answers: what becomes of the requests that arrive while the ready pods can serve only so
many? A fluid of requests: fractions are kept, nothing is lost or made. Every call, first or again,
ends as served, refused or queued: ``offered + retried = served + refused + queued``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from capmodel.capacity.replicas import SLACK
from capmodel.capacity.simulator.arrays import Arrays, Ring

__all__ = ["Totals", "Traffic"]

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


@dataclass(slots=True, eq=False)
class Totals:
    """Requests since the start, shape (D, S)."""

    offered: Floats
    retried: Floats
    served: Floats
    refused: Floats
    """Shed or expired, every call counted."""
    expired: Floats
    lost: Floats
    """Refused calls after which the client gave up."""

    @classmethod
    def zero(cls, like: Floats) -> Totals:
        """Return totals of nothing, shaped like `like`."""
        offered, retried, served, refused, expired, lost = (np.zeros_like(like) for _ in range(6))
        return cls(offered, retried, served, refused, expired, lost)


class Traffic:
    """Calls of every draw and service, shape (D, S)."""

    __slots__ = ("_again", "_arrays", "_ever", "_gone", "_mix", "_taken", "backlog", "totals")

    def __init__(self, arrays: Arrays, like: Floats) -> None:
        """Begin without a backlog."""
        self._arrays = arrays
        self.backlog = np.zeros_like(like)
        self.totals = Totals.zero(like)
        # Calls since the start that were let in, at the beginning of each tick; those of them that
        # were served or expired.
        self._taken = Ring(arrays.timeout_ticks, like)
        self._ever = np.zeros_like(like)
        self._gone = np.zeros_like(like)
        # Calls to send again, by attempt: row k holds attempt k + 2. No rows without retries.
        rows = int(arrays.attempts.max()) - 1
        self._again = np.zeros((rows, *like.shape))
        self._mix = Ring(arrays.timeout_ticks, np.zeros((rows + 1, *like.shape)))

    @property
    def due(self) -> Floats:
        """Calls that will be sent again in the next tick."""
        return np.asarray(self._again.sum(axis=0))

    def play(self, tick: int, offered: Floats, capacity: Floats) -> tuple[Bools, Floats]:
        """Serve one tick.

        Parameters
        ----------
        tick
            Index of the tick.
        offered
            First calls of the tick, shape (D, S).
        capacity
            Calls that the ready pods can serve in the tick, shape (D, S).

        Returns
        -------
        tuple
            Whether arriving calls exceed the capacity, and the served calls, shape (D, S) each.
        """
        arrays, totals = self._arrays, self.totals
        calls = np.concatenate([offered[None], self._again]) if len(self._again) else offered[None]
        arriving = calls.sum(axis=0)
        totals.offered += offered
        totals.retried += arriving - offered
        above = arriving > capacity * (1.0 + SLACK)
        excess = np.maximum(arriving - arrays.shed_above * capacity, 0.0)
        shed = np.where(arrays.sheds, excess, 0.0)
        taken = arriving - shed
        waiting = self.backlog + taken
        served = np.minimum(waiting, capacity)
        expired = self._expire(tick, taken, served, waiting - served)
        self.backlog = waiting - served - expired
        totals.served += served
        totals.refused += shed + expired
        totals.expired += expired
        if len(self._again):
            self._call_again(tick, calls, arriving, shed, expired)
        else:
            totals.lost += shed + expired
        return above, served

    def _expire(self, tick: int, taken: Floats, served: Floats, left: Floats) -> Floats:
        """Return what was let in `timeout` ticks ago or earlier and still waits, oldest first."""
        arrays = self._arrays
        self._ever += taken
        # At the end of this tick everything up to tick - timeout must have left.
        self._taken.write(tick + 1, self._ever)
        due = self._taken.read(tick + 1 - arrays.timeout_ticks)
        late = np.clip(due - self._gone - served, 0.0, left)
        expired = np.where((arrays.timeout_ticks > 0) & ~arrays.sheds, late, 0.0)
        self._gone += served + expired
        return np.asarray(expired)

    def _call_again(
        self, tick: int, calls: Floats, arriving: Floats, shed: Floats, expired: Floats
    ) -> None:
        """Send failed calls again in the next tick, as far as attempts and budget allow.

        Calls of a tick are alike, whichever attempt they are. What expires now arrived `timeout`
        ticks ago, all of it: what is older had expired before.
        """
        arrays, totals = self._arrays, self.totals
        mix = np.divide(calls, arriving, out=np.zeros_like(calls), where=arriving > 0)
        self._mix.write(tick, mix)
        failed = shed * mix + expired * self._mix.read(tick - arrays.timeout_ticks)
        attempt = np.arange(2, len(calls) + 1)[:, None, None]
        again = np.where(attempt <= arrays.attempts, failed[:-1], 0.0)
        wish = again.sum(axis=0)
        limited = np.isfinite(arrays.budget)
        most = np.where(limited, arrays.budget, 0.0) * calls[0]
        allowed = np.where(limited, np.minimum(wish, most), wish)
        share = np.divide(allowed, wish, out=np.zeros_like(wish), where=wish > 0)
        self._again = again * share
        totals.lost += shed + expired - self._again.sum(axis=0)
