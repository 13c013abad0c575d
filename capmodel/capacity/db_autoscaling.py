"""When a database's volume is full, and whether storage autoscaling grows it in time.

This module answers: on which day does use exceed the allocation, which fill beats the six hours
that autoscaling waits, and what does it do along simulated paths? The growth itself is fitted by
`capmodel.usage.storage`; it takes steps and days, and knows no dates.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from capmodel.laws.arguments import number, raise_any

__all__ = ["StorageRun", "autoscale_storage", "days_until_full", "fastest_fill_gib_per_h"]

Floats = npt.NDArray[np.float64]

# Amazon RDS User Guide, *Managing capacity automatically with storage autoscaling* (June 2023).
_LOW_FREE_X: Final = 0.10
_LOW_FOR_S: Final = 300.0
_WAIT_H: Final = 6.0
_PREDICT_H: Final = 7.0
_LEAST_GIB: Final = 5.0
_LEAST_X: Final = 0.10
_EPS: Final = 1e-9


@dataclass(frozen=True, slots=True, eq=False)
class StorageRun:
    """Storage autoscaling over time, per draw.

    ``allocated_gib`` shape (D, T) [GiB]; ``first_full`` index of the first step in which use
    exceeds the allocation, T where none does, shape (D,); ``expansions`` made, shape (D,).
    """

    allocated_gib: Floats
    first_full: npt.NDArray[np.int64]
    expansions: npt.NDArray[np.int64]

    @property
    def p_full(self) -> float:
        """Share of draws in which the volume fills up although it may grow [ratio]."""
        return float(np.mean(self.first_full < self.allocated_gib.shape[1]))


def days_until_full(used_gib: npt.ArrayLike, *, allocated_gib: float) -> Floats:
    """Return the day on which storage is full: the first index above the allocation, else inf.

    Parameters
    ----------
    used_gib
        Storage in use at the end of each day, shape (T,) or (D, T) [GiB].
    allocated_gib
        Size of the volume [GiB].

    Examples
    --------
    >>> days_until_full([[90, 95, 101], [90, 91, 92]], allocated_gib=100).tolist()
    [2.0, inf]
    """
    raise_any(
        [
            *number("used_gib", used_gib, "Give GiB, without gaps.", least=0),
            *number("allocated_gib", allocated_gib, "Give the volume's size.", above=0),
        ]
    )
    over = np.atleast_2d(np.asarray(used_gib, dtype=np.float64)) > allocated_gib + _EPS
    return np.where(over.any(axis=1), over.argmax(axis=1).astype(np.float64), np.inf)


def fastest_fill_gib_per_h(
    allocated_gib: npt.ArrayLike, *, rate_gib_per_h: npt.ArrayLike
) -> Floats:
    """Return the fill that autoscaling's six hours still survive after it grew once.

    Formula: ``(0.1 A + max(5, 0.1 A, 7 r)) / 6``: the free tenth at which it triggers and what it
    adds, over the wait until it may add again. A steady fill r survives whatever its rate, for
    seven hours of it are added; a fill that speeds up after the trigger need not.

    Parameters
    ----------
    allocated_gib
        Size A at the trigger [GiB].
    rate_gib_per_h
        Growth r in the hour before the trigger [GiB/h].

    Examples
    --------
    >>> float(fastest_fill_gib_per_h(1000, rate_gib_per_h=10).round(2))
    33.33
    """
    do = "Give GiB."
    raise_any(
        [
            *number("allocated_gib", allocated_gib, do, above=0),
            *number("rate_gib_per_h", rate_gib_per_h, do, least=0),
        ]
    )
    size = np.asarray(allocated_gib, dtype=np.float64)
    added = _added(size, np.asarray(rate_gib_per_h, dtype=np.float64))
    return np.asarray((_LOW_FREE_X * size + added) / _WAIT_H)


def autoscale_storage(
    used_gib: npt.ArrayLike,
    *,
    allocated_gib: float,
    max_gib: float,
    step_s: float = 300.0,
    changed_h_ago: float = math.inf,
) -> StorageRun:
    """Simulate storage autoscaling along paths of use.

    It triggers when at most 10 % of the allocation has been free for five minutes and the last
    change is six hours old; it adds the largest of 5 GiB, 10 % and seven hours of the growth of the
    past hour, up to the maximum. It never shrinks.

    Parameters
    ----------
    used_gib
        Storage in use at each step, shape (T,) or (D, T) [GiB].
    allocated_gib
        Allocation at the start [GiB].
    max_gib
        Maximum storage threshold [GiB].
    step_s
        Time from step to step, at most five minutes [s].
    changed_h_ago
        Age of the last change of storage at the start [h].

    Returns
    -------
    StorageRun
        Allocation, the first full step and the expansions, per draw.

    Raises
    ------
    InputError
        For a maximum below the allocation, or steps that the five minutes would not see.

    References
    ----------
    Amazon RDS User Guide, *Managing capacity automatically with Amazon RDS storage autoscaling*.

    Examples
    --------
    >>> hours = np.arange(0, 24, 1 / 12)
    >>> steady = 880 + 10 * hours
    >>> sudden = np.where(hours < 3, steady, 910 + 50 * (hours - 3))
    >>> run = autoscale_storage([steady, sudden], allocated_gib=1000, max_gib=4000)
    >>> run.first_full.tolist(), run.expansions.tolist()
    ([288, 82], [3, 4])
    """
    used = np.atleast_2d(np.asarray(used_gib, dtype=np.float64))
    raise_any(
        [
            *number("used_gib", used, "Give GiB, without gaps.", least=0),
            *number("allocated_gib", allocated_gib, "Give the volume's size.", above=0),
            *number("max_gib", max_gib, "It never shrinks.", least=allocated_gib),
            *number("step_s", step_s, "Use finer steps.", above=0, most=_LOW_FOR_S),
        ]
    )
    draws, steps = used.shape
    size = np.full(draws, float(allocated_gib))
    low_s = np.full(draws, -step_s)
    since_s = np.full(draws, changed_h_ago * 3600.0)
    hour = max(round(3600.0 / step_s), 1)
    sizes = np.empty_like(used)
    expansions = np.zeros(draws, dtype=np.int64)
    for t in range(steps):
        now = used[:, t]
        low = size - now <= _LOW_FREE_X * size + _EPS
        low_s = np.where(low, low_s + step_s, -step_s)
        grow = (low_s >= _LOW_FOR_S - _EPS) & (since_s >= _WAIT_H * 3600.0 - _EPS)
        grow &= size < max_gib
        if grow.any():
            start = max(t - hour, 0)
            rate = (now - used[:, start]) / max((t - start) * step_s / 3600.0, _EPS)
            size = np.where(grow, np.minimum(size + _added(size, rate), max_gib), size)
            since_s = np.where(grow, 0.0, since_s)
            expansions += grow
        since_s = since_s + step_s
        sizes[:, t] = size
    over = used > sizes + _EPS
    first = np.where(over.any(axis=1), over.argmax(axis=1), steps).astype(np.int64)
    return StorageRun(allocated_gib=sizes, first_full=first, expansions=expansions)


def _added(size: Floats, rate_gib_per_h: Floats) -> Floats:
    """Return what one expansion adds [GiB]."""
    predicted = _PREDICT_H * np.maximum(rate_gib_per_h, 0.0)
    return np.asarray(np.maximum(np.maximum(_LEAST_GIB, _LEAST_X * size), predicted))
