"""Usage that grows by the day at equal load: leaks and caches.

This module answers: is memory at the same load higher today than some weeks ago, steadily? It works
on arrays.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from capmodel.regression import group_median, long_run_scale

__all__ = ["grows"]

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
    first = int(day.min())
    n_days = int(day.max()) - first + 1
    if n_days < _LEAST_DAYS:
        return False
    median = group_median(np.log(ratio), day - first, n_days, min_count=_MIN_DAILY_ROWS)
    known = np.flatnonzero(np.isfinite(median))
    if len(known) < _LEAST_DAYS:
        return False
    x = known - known.mean()
    slope = float(x @ median[known] / (x @ x))
    left = median[known] - median[known].mean() - slope * x
    error = long_run_scale(left) / np.sqrt(float(x @ x))
    return bool(slope * n_days > _LEAST_GROWTH and slope > _SURE * error)
