"""A first-come first-served queue, simulated: the truth that the laws are compared with."""

from __future__ import annotations

import heapq
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

BATCHES = 40
WARM_UP = 0.05


@dataclass(frozen=True, slots=True, eq=False)
class Simulated:
    """Waits and responses of customers after the warm-up, in order of arrival."""

    wait: np.ndarray
    response: np.ndarray

    def interval(self, values: np.ndarray, *, level: float = 0.999) -> tuple[float, float]:
        """Interval of a mean from means of consecutive batches, which hardly depend."""
        means = np.array([batch.mean() for batch in np.array_split(values, BATCHES)])
        half = stdtrit(BATCHES - 1, (1 + level) / 2) * means.std(ddof=1) / np.sqrt(BATCHES)
        return float(means.mean() - half), float(means.mean() + half)


def simulate(between: np.ndarray, service: np.ndarray, *, servers: int) -> Simulated:
    """Kiefer and Wolfowitz (1955): each customer takes the server that is free first."""
    free = [0.0] * servers
    wait = np.empty(len(service))
    for i, (now, need) in enumerate(
        zip(np.cumsum(between).tolist(), service.tolist(), strict=True)
    ):
        start = max(now, free[0])
        heapq.heapreplace(free, start + need)
        wait[i] = start - now
    kept = slice(int(WARM_UP * len(wait)), None)
    return Simulated(wait[kept], wait[kept] + service[kept])


def hyperexponential(rng: np.random.Generator, n: int, *, mean: float, scv: float) -> np.ndarray:
    """Two exponential phases with balanced means."""
    often = (1 + np.sqrt((scv - 1) / (scv + 1))) / 2
    first = rng.random(n) < often
    phase = np.where(first, mean / (2 * often), mean / (2 * (1 - often)))
    return np.asarray(rng.exponential(phase))
