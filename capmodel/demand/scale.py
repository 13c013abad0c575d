"""Demand to the standardised log series and back.

This module answers: in which units is demand compared between services of any size?
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

__all__ = ["LOG_OFFSET", "Scale", "restore", "standardise"]

LOG_OFFSET: Final = 0.01
"""Added to y / mean before the logarithm: a quiet hour stays finite, 1 % of the mean is zero."""
SCALE_FLOOR: Final = 1e-4
"""Smallest log standard deviation; a constant series has none of its own."""


@dataclass(frozen=True, slots=True, eq=False)
class Scale:
    """What takes demand to the standardised log series and back, per service, shape (S,)."""

    mean: np.ndarray
    """Mean demand [the quantity's unit]."""
    center: np.ndarray
    """Mean of the log series [log]."""
    sd: np.ndarray
    """Standard deviation of the log series [log]."""


def standardise(values: np.ndarray) -> tuple[np.ndarray, Scale]:
    """Return ``z = (log(y / mean + 0.01) - center) / sd`` and the constants.

    The transform is monotone, so quantiles map back exactly.

    Parameters
    ----------
    values
        Demand with NaN for gaps, shape (N, 24, S) [the quantity's unit]; z keeps its type.
    """
    gap = np.isnan(values)
    count = np.prod(values.shape[:2]) - gap.sum(axis=1, dtype=np.uint8).sum(axis=0, dtype=np.int64)
    mean = _total(values, gap) / count
    log = values / mean.astype(values.dtype)
    log += values.dtype.type(LOG_OFFSET)
    np.log(log, out=log)
    center = _total(log, gap) / count
    log -= center.astype(values.dtype)
    sd = np.maximum(np.sqrt(_total(log * log, gap) / count), SCALE_FLOOR)
    log /= sd.astype(values.dtype)
    return log, Scale(mean=mean, center=center, sd=sd)


def _total(values: np.ndarray, gap: np.ndarray) -> np.ndarray:
    """Return the sum of the observed hours: a day in the values' type, days in float64."""
    return np.asarray(np.where(gap, 0, values).sum(axis=1).sum(axis=0, dtype=float))


def restore(log: np.ndarray, mean: np.ndarray | float) -> np.ndarray:
    """Return demand from the log series: ``mean * max(exp(log) - 0.01, 0)``.

    The offset that made zero finite is taken off again; what lay below it was zero.
    """
    return np.asarray(np.maximum(np.exp(log) - LOG_OFFSET, 0.0) * mean)
