"""The naive forecasts that others are measured against.

This module answers: what does the last value, the last season or M4's Naive2 say? The last axis is
time.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from capmodel.accuracy.arrays import Bools, Floats, check_length, check_season, divide
from capmodel.errors import InputError

__all__ = ["is_seasonal", "naive2", "seasonal_indices", "seasonal_naive"]

ONE_SIDED_95: Final = 1.645
"""Normal quantile of the M4 seasonality test, as its code writes it (two-sided 90 %)."""


def seasonal_naive(train: npt.ArrayLike, horizon: int, m: int) -> Floats:
    """Return the last season, repeated: ``f_(T+h) = y_(T+h-m*ceil(h/m))``, shape (..., horizon).

    With m = 1 it is the naive forecast.

    References
    ----------
    Hyndman & Athanasopoulos (2021), section 5.2.

    Examples
    --------
    >>> seasonal_naive([1.0, 2.0, 3.0], 3, 2)
    array([2., 3., 2.])
    """
    y = np.asarray(train, dtype=float)
    check_length(y, check_season(m))
    return np.asarray(y[..., -m:][..., np.arange(horizon) % m])


def is_seasonal(train: npt.ArrayLike, m: int) -> Bools:
    """Return whether a series passes M4's seasonality test, shape (...).

    ``|r_m| > 1.645 sqrt((1 + 2 (r_1^2 + ... + r_(m-1)^2)) / T)`` with the autocorrelations r: the
    90 % limit of Bartlett's formula. Fewer than 3 seasons never pass.

    Parameters
    ----------
    train
        Shape (..., T), complete.
    m
        Season [steps].

    References
    ----------
    Makridakis et al. (2020), see :func:`smape`; Fiorucci et al. (2016), International Journal of
    Forecasting 32(4), 1151-1161, section 3.
    """
    y = np.asarray(train, dtype=float)
    length = y.shape[-1]
    if check_season(m) == 1 or length < 3 * m:
        return np.zeros(y.shape[:-1], dtype=bool)
    centred = y - y.mean(axis=-1, keepdims=True)
    lagged = [(centred[..., k:] * centred[..., : length - k]).sum(axis=-1) for k in range(m + 1)]
    r = divide(np.stack(lagged[1:], axis=-1), lagged[0][..., None])
    limit = ONE_SIDED_95 * np.sqrt((1 + 2 * (r[..., :-1] ** 2).sum(axis=-1)) / length)
    return np.asarray(np.abs(r[..., -1]) > limit)


def seasonal_indices(train: npt.ArrayLike, m: int) -> Floats:
    """Return the multiplicative seasonal indices of the last m steps, shape (..., m), mean 1.

    Classical decomposition: the trend is the centred moving average over a season (2 x m for an
    even m), the index of a phase is the mean of ``y / trend``, scaled to a mean of 1.

    References
    ----------
    Hyndman & Athanasopoulos (2021), section 3.4; R's ``stats::decompose``.
    """
    y = np.asarray(train, dtype=float)
    check_length(y, 2 * check_season(m))
    weights = np.full(m, 1 / m) if m % 2 else np.r_[0.5, np.ones(m - 1), 0.5] / m
    windows = np.lib.stride_tricks.sliding_window_view(y, len(weights), axis=-1)
    trend = windows @ weights
    first = len(weights) // 2
    ratio = divide(y[..., first : first + trend.shape[-1]], trend)
    # Phase 0 is the first of the last m steps.
    phase = (first + np.arange(trend.shape[-1]) - y.shape[-1]) % m
    index = np.stack([ratio[..., phase == p].mean(axis=-1) for p in range(m)], axis=-1)
    return np.asarray(index / index.mean(axis=-1, keepdims=True))


def naive2(train: npt.ArrayLike, horizon: int, m: int) -> Floats:
    """Return M4's Naive2: the last value, seasonally adjusted where the series is seasonal.

    ``f_(T+h) = y_T / s_T * s_(T+h)`` with the indices s of :func:`seasonal_indices` where
    :func:`is_seasonal`, the last value elsewhere.

    Parameters
    ----------
    train
        Shape (..., T), complete and positive.
    horizon
        Steps ahead.
    m
        Season [steps].

    Returns
    -------
    ndarray
        Shape (..., horizon).

    Raises
    ------
    InputError
        When a value is missing, infinite or not positive.

    References
    ----------
    Makridakis et al. (2020), see :func:`smape`.
    """
    y = np.asarray(train, dtype=float)
    if not (np.isfinite(y).all() and (y > 0).all()):
        raise InputError.of(
            "naive2: train",
            got="values that are missing, infinite or not positive",
            expected="complete positive series: the decomposition is multiplicative",
            do="Fill the gaps, or compare with seasonal_naive.",
        )
    flat = seasonal_naive(y, horizon, 1)
    seasonal = is_seasonal(y, m)
    if not seasonal.any():
        return flat
    index = seasonal_indices(y, m)
    adjusted = flat / index[..., -1:] * index[..., np.arange(horizon) % m]
    return np.where(seasonal[..., None], adjusted, flat)
