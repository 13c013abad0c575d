"""Pods by the size of a pod: how many of each allowed size keep the policy, and the least request.

This module answers: on the paths of one season, how many pods of each size does every hold row of
the policy ask, how much memory do their pods then need, and how small may the request of a given
number of pods be? All sizes are computed at once; :mod:`capmodel.capacity.rightsizing` chooses.

Shapes: P paths (scenarios × draws), K pod sizes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from capmodel.capacity.replicas import ceil_units, zone_cover
from capmodel.capacity.risk import row_quantiles
from capmodel.capacity.use import PodUse, targets_of
from capmodel.errors import InputError
from capmodel.topology import Hold, Policy
from capmodel.usage import extrapolation_log_sd

__all__ = ["MEDIAN", "PodNeeds", "PodPaths", "ceil_to", "path_quantile"]

MEDIAN: Final = 0.5


@dataclass(frozen=True, slots=True, eq=False)
class PodNeeds:
    """Pods of each size, and the hold row that asks them."""

    whole: np.ndarray
    """Shape (K,) [pods]; inf where no number of pods of this size holds."""
    continuous: np.ndarray
    """The same unrounded, shape (K,) [pods]."""
    binding: tuple[str, ...]
    """Per size: the row in words, or ``minimum``."""


@dataclass(frozen=True, slots=True, eq=False)
class PodPaths:
    """The busiest minute of one season on every path, and the policy that must hold there."""

    uses: tuple[PodUse, ...]
    load: np.ndarray
    """Shape (P,) [1/s]."""
    weights: np.ndarray | None
    """Weight of each path, shape (P,); None: equal."""
    policy: Policy
    cpu_target: float
    """Planned utilization of the CPU request, in rows up to ``utilization`` [ratio]."""
    level: float
    """Quantile of rows at ``1-risk``."""
    imbalance_x: float
    zones: int | None
    """Zones that the pods spread over; None: not known, and no row's loss is covered."""
    floor: int
    """Fewest pods [pods]."""

    def pods(self, sizes: np.ndarray, resource: str = "cpu_cores") -> PodNeeds:
        """Return the pods that each size of a request needs, by one resource.

        Formula per row: the quantile of :func:`capmodel.capacity.replicas.replicas_for`, then
        :func:`capmodel.capacity.replicas.zone_cover` where the row loses zones.
        """
        rows_whole, rows_unrounded, names = [], [], []
        for hold in self.policy.hold:
            need = self.quantile(self._row(hold, sizes, resource), self._level(hold))
            lost = self._lost(hold)
            whole, unrounded = ceil_units(need), need
            if lost:
                whole = zone_cover(need, zones=self._zones, lost=lost)
                unrounded = need * self._zones / (self._zones - lost)
            rows_whole.append(whole)
            rows_unrounded.append(unrounded)
            names.append(hold.words)
        stack = np.stack(rows_whole)
        whole = stack.max(axis=0)
        # Zones of unequal counts: with two or more to lose, the fullest ones may be those that go.
        if max(self._lost(hold) for hold in self.policy.hold) > 1:
            whole = zone_cover(whole, zones=self._zones, lost=0)
        binding = tuple(
            names[row] if n > self.floor else "minimum"
            for row, n in zip(stack.argmax(axis=0), whole, strict=True)
        )
        return PodNeeds(
            whole=np.maximum(whole, self.floor),
            continuous=np.maximum(np.stack(rows_unrounded).max(axis=0), self.floor),
            binding=binding,
        )

    def _row(self, hold: Hold, sizes: np.ndarray, resource: str) -> np.ndarray:
        """Return one row's pods on every path, unrounded, shape (K, P)."""
        target, imbalance = self.target(hold, resource), self._imbalance(hold)
        x = self.load_per_pod(sizes, target, resource)
        need = np.zeros((len(sizes), len(self.load)))
        for use in self._lines(resource):
            room = (target * sizes)[:, None] - imbalance * self._paths(use.per_pod_draws)
            busy = imbalance * self._slopes(use, x) * self.load
            pods = np.full(need.shape, np.inf)
            np.divide(busy, room, out=pods, where=room > 0)
            need = np.maximum(need, pods)
        return need

    def load_per_pod(self, sizes: np.ndarray, target: float, resource: str) -> np.ndarray:
        """Return the load that fills a pod of each size to a target, central, shape (K,) [1/s]."""
        x = np.full(len(sizes), np.inf)
        for use in self._lines(resource):
            if use.per_request > 0:
                x = np.minimum(x, np.maximum((target * sizes - use.per_pod) / use.per_request, 0.0))
        return np.where(np.isfinite(x), x, 0.0)

    def reach(self, sizes: np.ndarray, uses: Sequence[PodUse]) -> np.ndarray:
        """Return a pod's load at the target / the largest that any fit has seen, shape (K,)."""
        x = self.load_per_pod(sizes, self.cpu_target, "cpu_cores")
        x = np.minimum(x, self.quantile(self.load[None, :], MEDIAN)[0] / max(self.floor, 1))
        seen = min((use.load_per_pod_max for use in uses), default=math.inf)
        return np.asarray(x / seen)

    def memory(
        self, sizes: np.ndarray, pods: np.ndarray, *, quantile: float, margin_x: float, slack: float
    ) -> np.ndarray:
        """Return the memory request of the pods of each CPU size, unrounded, shape (K,) [GiB].

        The larger of what the policy's rows on memory ask, and `margin_x` times the quantile of the
        hottest pod's memory: at the season's load over `pods`, over those that are left where a row
        loses zones, and at the fill at which the autoscaler leaves a pod.

        Parameters
        ----------
        sizes, pods
            CPU request and its unrounded pods, shape (K,).
        quantile, margin_x
            Of the hottest pod's memory.
        slack
            ``1 + tolerance`` of the autoscaler [ratio].
        """
        median = self.quantile(self.load[None, :], MEDIAN)[0]
        settled = self.load_per_pod(sizes, slack * self.cpu_target, "cpu_cores")[:, None]
        fullest = np.minimum(settled, self.load / max(self.floor, 1))
        ask = np.zeros(len(sizes))
        for hold in self.policy.hold:
            left = pods * (self._zones - self._lost(hold)) / self._zones
            level, x = self._level(hold), median / left
            row = self._imbalance(hold) * self._usage("memory_gib", self.load / left[:, None], x)
            ask = np.maximum(ask, self.quantile(row, level) / self.target(hold, "memory_gib"))
            planned = self.load[None, :]
            if self._lost(hold):  # a failure is planned for at its own quantile, not on top of all
                planned = self.quantile(planned, level)[:, None]
            fullest = np.maximum(fullest, planned / left[:, None])
        x = np.maximum(settled[:, 0], median / pods)
        hottest = self.imbalance_x * self._usage("memory_gib", fullest, x)
        return np.asarray(np.maximum(ask, margin_x * self.quantile(hottest, quantile)))

    def least(self, pods: float, resource: str) -> float:
        """Return the smallest request with which `pods` pods keep every row [resource]."""
        ask = 0.0
        for hold in self.policy.hold:
            left = pods - self._lost(hold) * math.ceil(pods / self._zones)
            if left <= 0:
                return math.inf
            x = self.quantile(self.load[None, :], MEDIAN) / left
            usage = self._imbalance(hold) * self._usage(resource, self.load[None, :] / left, x)
            value = self.quantile(usage, self._level(hold))[0]
            ask = max(ask, float(value) / self.target(hold, resource))
        return ask

    def target(self, hold: Hold, resource: str) -> float:
        """Return the accepted utilization of a row [ratio]."""
        own = resource == "cpu_cores" and hold.up_to == "utilization"
        return self.cpu_target if own else targets_of(hold, self.policy)[resource]

    def quantile(self, values: np.ndarray, q: float) -> np.ndarray:
        """Return :func:`path_quantile` of each row of the last axis."""
        return path_quantile(values, q, self.weights)

    @property
    def _zones(self) -> int:
        return self.zones or 1

    def _lost(self, hold: Hold) -> int:
        return 0 if self.zones is None else hold.zones_lost

    def _level(self, hold: Hold) -> float:
        return self.level if isinstance(hold.quantile, str) else hold.quantile

    def _imbalance(self, hold: Hold) -> float:
        return self.imbalance_x if hold.up_to == "hard" else 1.0

    def _lines(self, resource: str) -> list[PodUse]:
        return [use for use in self.uses if use.resource == resource]

    def _usage(self, resource: str, per_pod: np.ndarray, x: np.ndarray) -> np.ndarray:
        """Return a pod's usage at a load per pod of shape (K, P), which is x at the median."""
        lines = [
            self._paths(use.per_pod_draws) + self._slopes(use, x) * per_pod
            for use in self._lines(resource)
        ]
        return np.asarray(np.maximum.reduce(lines))

    def _slopes(self, use: PodUse, x: np.ndarray) -> np.ndarray:
        """Return per_request on every path, widened beyond the range seen, shape (K, P)."""
        slopes = self._paths(use.per_request_draws)[None, :]
        if math.isinf(use.load_per_pod_max):
            return slopes
        sd = extrapolation_log_sd(x, use.load_per_pod_max)[:, None]
        return np.asarray(slopes * np.exp(sd * self._paths(use.widening)))

    def _paths(self, draws: np.ndarray) -> np.ndarray:
        """Return draws of shape (D, 1) on every path: each scenario has the same ones."""
        flat = np.ravel(draws)
        if len(self.load) % len(flat):
            raise InputError.of(
                "usage draws",
                got=f"{len(flat)} for {len(self.load)} paths",
                expected="one, or as many as each scenario has",
                do="Draw usage as often as demand.",
            )
        return np.tile(flat, len(self.load) // len(flat))


def path_quantile(values: np.ndarray, q: float, weights: np.ndarray | None) -> np.ndarray:
    """Return the order statistic that is the `q` quantile of each row, shape (K,).

    :func:`capmodel.schema.order_statistic` for many rows at once.

    Parameters
    ----------
    values
        Shape (K, P).
    q
        Probability in (0, 1).
    weights
        Weight of each path, shape (P,); None: equal.

    Examples
    --------
    >>> path_quantile(np.array([[3.0, 1.0, 2.0]]), 0.5, None).tolist()
    [2.0]
    """
    count = values.shape[1]
    if weights is None:
        place = min(max(math.ceil(q * count - 1e-9) - 1, 0), count - 1)
        return np.asarray(np.partition(values, place, axis=1)[:, place])
    return np.asarray(row_quantiles(values, (q,), weights)[0])


def ceil_to(values: np.ndarray, step: float) -> np.ndarray:
    """Return values rounded up to multiples of a step, at least one.

    Examples
    --------
    >>> ceil_to(np.array([0.0, 1.0, 1.01]), 0.25).tolist()
    [0.25, 1.0, 1.25]
    """
    return np.asarray(np.maximum(ceil_units(values / step), 1.0) * step)
