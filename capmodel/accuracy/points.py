"""Measures of point forecasts.

This module answers: how far is a forecast from what happened, is it biased, and how does it compare
with another? Shapes and gaps are those of :mod:`capmodel.accuracy`.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from capmodel.accuracy.arrays import Floats, check_season, divide, paired, seen_sum

__all__ = [
    "bias",
    "geometric_mean_ratio",
    "mae",
    "mase",
    "n_judged",
    "owa",
    "seasonal_scale",
    "smape",
    "wape",
]


def n_judged(actual: npt.ArrayLike) -> npt.NDArray[np.int64]:
    """Return how many steps have an actual, by series.

    Examples
    --------
    >>> int(n_judged([1.0, np.nan, 3.0]))
    2
    """
    return np.asarray((~np.isnan(np.asarray(actual, dtype=float))).sum(axis=-1), dtype=np.int64)


def mae(actual: npt.ArrayLike, forecast: npt.ArrayLike) -> Floats:
    """Return the mean absolute error ``mean|y - f|`` [unit of the series].

    Parameters
    ----------
    actual, forecast
        Shape (..., H); NaN actuals are left out.
    """
    y, f, seen = paired(actual, forecast)
    return divide(seen_sum(np.abs(y - f), seen), seen.sum(axis=-1))


def wape(actual: npt.ArrayLike, forecast: npt.ArrayLike) -> Floats:
    """Return the weighted absolute percentage error ``sum|y - f| / sum|y|`` [ratio].

    Parameters
    ----------
    actual, forecast
        Shape (..., H); NaN actuals are left out.

    References
    ----------
    Kolassa, S., & Schütz, W. (2007). Advantages of the MAD/Mean ratio over the MAPE. Foresight 6,
    40-43.

    Examples
    --------
    >>> float(wape([100.0, 300.0, np.nan], [110.0, 270.0, 5.0]))
    0.1
    """
    y, f, seen = paired(actual, forecast)
    return divide(seen_sum(np.abs(y - f), seen), seen_sum(np.abs(y), seen))


def bias(actual: npt.ArrayLike, forecast: npt.ArrayLike) -> Floats:
    """Return the relative bias ``sum(f - y) / sum|y|`` [ratio]: above 0, the forecast is high.

    Parameters
    ----------
    actual, forecast
        Shape (..., H); NaN actuals are left out.

    Examples
    --------
    >>> float(bias([100.0, 300.0], [110.0, 270.0]))
    -0.05
    """
    y, f, seen = paired(actual, forecast)
    return divide(seen_sum(f - y, seen), seen_sum(np.abs(y), seen))


def seasonal_scale(train: npt.ArrayLike, m: int) -> Floats:
    """Return the scale of MASE: ``mean|y_t - y_(t-m)|`` over the training part.

    Parameters
    ----------
    train
        What the model was fitted on, shape (..., T); pairs with a NaN are left out.
    m
        Season [steps]: 168 for hourly data with a weekly season, 24 for M4 Hourly.

    Returns
    -------
    ndarray
        Shape (...) [unit of the series]; NaN without any pair, 0 where every season is the same.

    References
    ----------
    Hyndman, R. J., & Koehler, A. B. (2006). Another look at measures of forecast accuracy.
    International Journal of Forecasting 22(4), 679-688, section 3; with the seasonal difference,
    Hyndman, R. J., & Athanasopoulos, G. (2021), Forecasting: principles and practice, section 5.8.
    """
    y = np.asarray(train, dtype=float)
    step = np.abs(y[..., check_season(m) :] - y[..., :-m])
    seen = ~np.isnan(step)
    return divide(seen_sum(step, seen), seen.sum(axis=-1))


def mase(actual: npt.ArrayLike, forecast: npt.ArrayLike, *, scale: npt.ArrayLike) -> Floats:
    """Return the mean absolute scaled error ``mean|y - f| / scale`` [ratio].

    Parameters
    ----------
    actual, forecast
        Shape (..., H); NaN actuals are left out.
    scale
        From :func:`seasonal_scale` of the training part, shape (...). Where it is 0 the result is
        infinite (NaN for a perfect forecast): such a series has no scale.

    References
    ----------
    Hyndman & Koehler (2006), see :func:`seasonal_scale`.

    Examples
    --------
    >>> scale = seasonal_scale([1.0, 2.0, 3.0, 6.0], 2)  # (|3 - 1| + |6 - 2|) / 2
    >>> float(mase([5.0, 8.0], [4.0, 6.0], scale=scale))
    0.5
    """
    return divide(mae(actual, forecast), np.asarray(scale, dtype=float))


def smape(actual: npt.ArrayLike, forecast: npt.ArrayLike) -> Floats:
    """Return the symmetric error of M4, ``200 mean(|y - f| / (|y| + |f|))`` [percent, 0 to 200].

    A step where both are 0 is no error.

    Parameters
    ----------
    actual, forecast
        Shape (..., H); NaN actuals are left out.

    References
    ----------
    Makridakis, S., Spiliotis, E., & Assimakopoulos, V. (2020). The M4 Competition: 100,000 time
    series and 61 forecasting methods. International Journal of Forecasting 36(1), 54-74, section 2.
    """
    y, f, seen = paired(actual, forecast)
    both = np.abs(y) + np.abs(f)
    each = np.where(both == 0, 0.0, divide(np.abs(y - f), both))
    return 200.0 * divide(seen_sum(each, seen), seen.sum(axis=-1))


def owa(smape_mean: float, mase_mean: float, *, naive2_smape: float, naive2_mase: float) -> float:
    """Return M4's overall weighted average of two means relative to Naive2's [ratio].

    ``(sMAPE / sMAPE of Naive2 + MASE / MASE of Naive2) / 2``, the means taken over series first.

    References
    ----------
    Makridakis et al. (2020), see :func:`smape`.

    Examples
    --------
    >>> owa(9.0, 0.9, naive2_smape=18.0, naive2_mase=3.0)
    0.4
    """
    return (smape_mean / naive2_smape + mase_mean / naive2_mase) / 2


def geometric_mean_ratio(errors: npt.ArrayLike, reference: npt.ArrayLike) -> Floats:
    """Return the geometric mean of ``error / reference`` over the last axis [ratio].

    Below 1 the errors are smaller; ``1 -`` this is the skill. The geometric mean is the only mean
    of ratios that does not depend on which of the two is called the reference. Two errors of 0 are
    equal; pairs with a NaN are left out.

    Parameters
    ----------
    errors, reference
        Errors of two forecasts of the same tasks, shape (..., tasks).

    References
    ----------
    Fleming, P. J., & Wallace, J. J. (1986). How not to lie with statistics: the correct way to
    summarize benchmark results. Communications of the ACM 29(3), 218-221; Davydenko, A., & Fildes,
    R. (2013). Measuring forecasting accuracy. International Journal of Forecasting 29(3), 510-522.

    Examples
    --------
    >>> float(geometric_mean_ratio([1.0, 4.0], [2.0, 2.0]))
    1.0
    """
    e, r = np.broadcast_arrays(np.asarray(errors, dtype=float), np.asarray(reference, dtype=float))
    ratio = np.where((e == 0) & (r == 0), 1.0, divide(e, r))
    seen = ~np.isnan(ratio)
    with np.errstate(divide="ignore"):
        log = np.log(np.where(seen, ratio, 1.0))
    return np.exp(divide(log.sum(axis=-1), seen.sum(axis=-1)))
