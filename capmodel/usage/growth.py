"""Usage that grows by the day at equal load: leaks and caches.

This module answers: is memory at the same load higher today than some weeks ago, steadily? It works
on arrays.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from capmodel.regression import group_median, long_run_scale

__all__ = ["grows", "rather_grows"]

_LEAST_DAYS: Final = 14
_LEAST_GROWTH: Final = 0.02
"""Growth over the days seen that counts [share of usage]."""

_SURE: Final = 3.0
"""Standard errors that the growth must exceed."""

_MIN_DAILY_ROWS: Final = 4


def grows(ratio: np.ndarray, day: np.ndarray) -> bool:
    """Return whether usage at equal load rises steadily with the days.

    A least-squares line through the daily medians of ``ln(y/ŷ)``: its rise over the days seen must
    exceed 2 %, and three standard errors, with the long-run scale of what is left of the medians
    (:func:`capmodel.regression.long_run_scale`: days are correlated).

    Parameters
    ----------
    ratio
        Usage over the line, shape (T,).
    day
        Day number of each row, shape (T,).

    Examples
    --------
    >>> day = np.repeat(np.arange(30), 24)
    >>> noise = np.random.default_rng(0).normal(0, 0.02, len(day))
    >>> grows(np.exp(noise), day), grows(np.exp(noise + 0.004 * day), day)
    (False, True)
    """
    at, median = _daily(ratio, day)
    if len(at) < _LEAST_DAYS:
        return False
    slope, left = _line(at, median)
    x = at - at.mean()
    error = long_run_scale(left) / np.sqrt(float(x @ x))
    rise = slope * (at[-1] - at[0] + 1)
    return bool(rise > _LEAST_GROWTH and slope > _SURE * error)


def rather_grows(ratio: np.ndarray, day: np.ndarray, steps: Sequence[int]) -> bool:
    """Return whether steady growth explains the daily medians better than steps on these days.

    A stair follows any slope, with a tread's error left; so the straight line stands where it
    leaves the smaller sum of squares, though it has one coefficient instead of one per step.

    Parameters
    ----------
    ratio, day
        As for :func:`grows`.
    steps
        First day after each step.

    Examples
    --------
    >>> day = np.repeat(np.arange(60), 24)
    >>> noise = np.random.default_rng(0).normal(0, 0.02, len(day))
    >>> leak, deploy = np.exp(noise + 0.004 * day), np.exp(noise + 0.2 * (day >= 30))
    >>> rather_grows(leak, day, [30]), rather_grows(deploy, day, [30])
    (True, False)
    """
    at, median = _daily(ratio, day)
    if len(at) < _LEAST_DAYS:
        return False
    slope, left = _line(at, median)
    regime = np.searchsorted(np.asarray(steps), at + int(day.min()), side="right")
    mean = np.bincount(regime, weights=median) / np.maximum(np.bincount(regime), 1)
    return bool(slope > 0 and left @ left < np.sum((median - mean[regime]) ** 2))


def _daily(ratio: np.ndarray, day: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the days from the first with enough rows, and the medians of ln ratio on them."""
    first = int(day.min())
    n_days = int(day.max()) - first + 1
    median = group_median(np.log(ratio), day - first, n_days, min_count=_MIN_DAILY_ROWS)
    known = np.flatnonzero(np.isfinite(median))
    return known, median[known]


def _line(at: np.ndarray, median: np.ndarray) -> tuple[float, np.ndarray]:
    """Return the least-squares slope per day, and what is left."""
    x = at - at.mean()
    slope = float(x @ median / (x @ x))
    return slope, median - median.mean() - slope * x
