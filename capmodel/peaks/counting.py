"""What counting alone does to a peak, and the unevenness that is assumed without fine data.

This module answers: how much higher than its mean is the busiest of n windows when nothing is
known but the mean? At few events the answer is the chance of counting; at many it is the assumed
unevenness of the rate within the hour.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from scipy.special import ndtri

from capmodel.laws.headroom import poisson_peak, smooth_poisson_peak

__all__ = [
    "MINUTES",
    "PRIOR_MEDIAN_X",
    "PRIOR_P95_X",
    "counting_excess",
    "prior_ratio",
    "uneven_ratio",
]

PRIOR_MEDIAN_X: Final = 1.2
PRIOR_P95_X: Final = 1.6
"""Peak minute / hour mean without fine data, at rates at which counting noise is nothing: median
1.2, 95 % below 1.6. Rounded from 2,084 full hours of the 1998 World Cup site (median 1.215, p95
1.587)."""

MINUTES: Final = 60.0
"""Windows of an hour when a window is a minute."""

PRIOR_SIGMA: Final = math.log(PRIOR_P95_X / PRIOR_MEDIAN_X) / 1.6448536269514722

_SMOOTH: Final = 100.0
"""From this mean on a ratio of counts is continuous: a step of one is 1 % of the mean."""

_LEAST, _MOST = 1e-300, 1 - 1e-16


def counting_excess(mean: np.ndarray, windows: float, u: np.ndarray) -> np.ndarray:
    """Return largest count / mean - 1 of n Poisson counts, 0 where that is negative.

    :func:`capmodel.laws.headroom.poisson_peak`, from a mean of 100 on as a continuous number.

    Parameters
    ----------
    mean
        Mean count per window [1], any shape; a mean of 0 has no excess.
    windows
        Number of windows n [1].
    u
        Probability, broadcast with `mean`.

    Examples
    --------
    One event an hour is a minute at sixty times the mean:

    >>> counting_excess(np.array(1 / 60), 60, np.array(0.5)).round(9).tolist()
    59.0
    """
    mean = np.asarray(mean, dtype=float)
    mean, u = np.broadcast_arrays(mean, np.asarray(u, dtype=float))
    some = np.where(mean > 0, mean, 1.0)
    u = np.clip(u, _LEAST, _MOST)  # a uniform draw may be exactly 0
    count = smooth_poisson_peak(some, windows, u)
    few = some < _SMOOTH
    if few.any():
        count[few] = poisson_peak(some[few], windows, u[few])
    return np.asarray(np.where(mean > 0, np.maximum(count / some - 1, 0.0), 0.0))


def uneven_ratio(u: np.ndarray) -> np.ndarray:
    """Return the assumed ratio at high rates: lognormal, median 1.2, p95 1.6, cut at 1.

    Examples
    --------
    >>> uneven_ratio(np.array([0.01, 0.5, 0.95])).round(6).tolist()
    [1.0, 1.2, 1.6]
    """
    return np.asarray(np.maximum(np.exp(math.log(PRIOR_MEDIAN_X) + PRIOR_SIGMA * ndtri(u)), 1.0))


def prior_ratio(u: np.ndarray, mean: np.ndarray | None) -> np.ndarray:
    """Return peak minute / hour mean without fine data, at an hour's rate.

    Formula: ``1 + sqrt((U(u) − 1)² + (K(u; m)/m − 1)²)`` with U the assumed unevenness
    (:func:`uneven_ratio`) and K the busiest of 60 Poisson counts: variances of rate and of counting
    add, which is ``1 + z_60(u) · sqrt(I/m)`` with ``I = 1 + m · cv²``. Exact in both limits.

    Parameters
    ----------
    u
        Probability, any shape.
    mean
        Mean of the hour [1/min], broadcast with `u`; None: so high that counting noise is nothing.

    Returns
    -------
    numpy.ndarray
        Ratio >= 1.

    Examples
    --------
    >>> prior_ratio(np.array([0.5, 0.95]), np.array(1e6)).round(2).tolist()
    [1.2, 1.6]
    >>> prior_ratio(np.array([0.5, 0.95]), np.array(4.0)).round(2).tolist()
    [2.27, 3.09]
    """
    uneven = uneven_ratio(u)
    if mean is None:
        return uneven
    return np.asarray(1 + np.hypot(uneven - 1, counting_excess(mean, MINUTES, u)))
