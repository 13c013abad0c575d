"""Headroom: the busiest of many windows by chance alone, and a factor for a stated risk.

This module answers: how high is the highest of n windows when arrivals are as smooth as they can
be, and by what factor must capacity exceed the median so that the risk is the one stated? State
the horizon with the risk: 1 % that the worst minute of the event exceeds capacity is not 1 % of
its minutes; the two differ by the largest of n windows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.special import betainc, ndtr, ndtri, ndtri_exp, pdtrc, xlog1py

from capmodel.errors import InputError, Problem
from capmodel.laws.arguments import number, raise_any

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import ArrayLike

__all__ = [
    "combine_log_sd",
    "critical_ratio",
    "headroom_x",
    "negative_binomial_peak",
    "normal_peak_x",
    "p_exceed",
    "poisson_peak",
    "smooth_poisson_peak",
    "z_max",
]


def z_max(windows: ArrayLike, p: ArrayLike) -> np.ndarray:
    """Return the `p` quantile of the largest of n independent standard normals.

    Formula: ``z = Phi⁻¹(p^(1/n))``.

    Parameters
    ----------
    windows
        Number of windows n [1], any shape.
    p
        Probability that no window lies above, in (0, 1).

    Returns
    -------
    numpy.ndarray
        z, of the broadcast shape.

    Raises
    ------
    InputError
        If `windows` is below 1 or `p` outside (0, 1).

    Examples
    --------
    >>> z_max(3600, [0.5, 0.95, 0.99]).round(8).tolist()
    [3.55012745, 4.18516366, 4.54157649]
    """
    raise_any([*_windows(windows), *_probability(p)])
    return np.asarray(ndtri_exp(np.log(p) / np.asarray(windows, dtype=np.float64)))


def normal_peak_x(
    mean: ArrayLike, windows: ArrayLike, p: ArrayLike, *, dispersion: ArrayLike = 1.0
) -> np.ndarray:
    """Return the largest of n window counts relative to their mean, in normal approximation.

    Formula: ``1 + z_n(p) · sqrt(I/m)``.

    Parameters
    ----------
    mean
        Mean count per window m [1].
    windows, p
        As in :func:`z_max`.
    dispersion
        Index of dispersion I = variance / mean of the counts [ratio]; 1 is Poisson.

    Returns
    -------
    numpy.ndarray
        Peak / mean [ratio].

    Raises
    ------
    InputError
        For a mean or dispersion that is not positive, or as :func:`z_max`.

    Examples
    --------
    >>> round(float(normal_peak_x(1000, 3600, 0.95)), 3)
    1.132
    """
    raise_any([*_mean(mean), *_dispersion(dispersion), *_windows(windows), *_probability(p)])
    share = np.asarray(dispersion, dtype=np.float64) / np.asarray(mean, dtype=np.float64)
    return np.asarray(1.0 + z_max(windows, p) * np.sqrt(share))


def poisson_peak(mean: ArrayLike, windows: ArrayLike, p: ArrayLike) -> np.ndarray:
    """Return the `p` quantile of the largest of n independent Poisson counts.

    The smallest k with ``F(k)^n >= p``: the floor under every burst ratio, since no real arrivals
    are smoother. From :func:`smooth_poisson_peak` and a few steps, so that millions of cells cost
    little.

    Parameters
    ----------
    mean
        Mean count per window [1], any shape.
    windows, p
        As in :func:`z_max`.

    Returns
    -------
    numpy.ndarray
        k, integers.

    Raises
    ------
    InputError
        For a mean that is not positive, or as :func:`z_max`.

    Examples
    --------
    The busiest second of an hour at 100 per second, 95 % sure:

    >>> int(poisson_peak(100, 3600, 0.95))
    145
    """
    raise_any([*_mean(mean), *_windows(windows), *_probability(p)])
    guess = np.ceil(np.maximum(_expanded(mean, windows, p) - 0.5, 0.0))
    m, share = np.broadcast_arrays(
        np.asarray(mean, dtype=np.float64), -np.expm1(_log_share(windows, p))
    )
    k = _smallest_from(guess.ravel(), m.ravel(), share.ravel())
    return np.asarray(k.reshape(guess.shape).astype(np.int64))


def smooth_poisson_peak(mean: ArrayLike, windows: ArrayLike, p: ArrayLike) -> np.ndarray:
    """Return :func:`poisson_peak` as a continuous number, good from a mean of about 100.

    Formula: Cornish and Fisher's expansion, ``m + z sqrt(m) + (z² − 1)/6`` with ``z = z_max``.

    Parameters
    ----------
    mean, windows, p
        As in :func:`poisson_peak`.

    Returns
    -------
    numpy.ndarray
        Count, not rounded.

    Raises
    ------
    InputError
        As :func:`poisson_peak`.

    References
    ----------
    Johnson, Kemp and Kotz 2005, *Univariate Discrete Distributions*, section 4.5.

    Examples
    --------
    >>> smooth_poisson_peak(100, 3600, 0.95).round(1).item()
    144.6
    """
    raise_any([*_mean(mean), *_windows(windows), *_probability(p)])
    return _expanded(mean, windows, p)


def _log_share(windows: ArrayLike, p: ArrayLike) -> np.ndarray:
    """Return the log probability that one window lies below the `p` quantile of the largest."""
    return np.asarray(np.log(p) / np.asarray(windows, dtype=np.float64))


def _expanded(mean: ArrayLike, windows: ArrayLike, p: ArrayLike) -> np.ndarray:
    m, z = np.asarray(mean, dtype=np.float64), ndtri_exp(_log_share(windows, p))
    return np.asarray(m + z * np.sqrt(m) + (z**2 - 1) / 6)


def _smallest_from(k: np.ndarray, mean: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Step from a guess to the smallest k that a window exceeds with at most this share, (N,)."""
    open_cells = np.flatnonzero(pdtrc(k, mean) > share)
    while len(open_cells):
        k[open_cells] += 1
        open_cells = open_cells[pdtrc(k[open_cells], mean[open_cells]) > share[open_cells]]
    open_cells = np.flatnonzero(k > 0)
    while len(open_cells):
        lower = k[open_cells] - 1
        enough = pdtrc(lower, mean[open_cells]) <= share[open_cells]
        open_cells = open_cells[enough]
        k[open_cells] -= 1
        open_cells = open_cells[k[open_cells] > 0]
    return k


def negative_binomial_peak(
    mean: ArrayLike, windows: ArrayLike, p: ArrayLike, dispersion: ArrayLike
) -> np.ndarray:
    """Return the `p` quantile of the largest of n independent negative binomial counts.

    Formula: ``r = m/(I − 1)``, success probability ``1/I``, smallest k with ``F(k)^n >= p``.

    Parameters
    ----------
    mean, windows, p
        As in :func:`poisson_peak`.
    dispersion
        Index of dispersion I = variance / mean [ratio], above 1.

    Returns
    -------
    numpy.ndarray
        k, integers.

    Raises
    ------
    InputError
        For a dispersion of 1 or less (that is Poisson), or as :func:`poisson_peak`.

    Examples
    --------
    >>> negative_binomial_peak(1000, 3600, 0.95, [2, 5, 20]).tolist()
    [1195, 1321, 1702]
    """
    problems = [*_mean(mean), *_windows(windows), *_probability(p)]
    problems += number("dispersion", dispersion, "Use poisson_peak for 1.", above=1)
    raise_any(problems)
    m, index = np.asarray(mean, dtype=np.float64), np.asarray(dispersion, dtype=np.float64)
    r = m / (index - 1.0)
    return _smallest_count(
        lambda k: np.asarray(betainc(k + 1.0, r, 1.0 - 1.0 / index)), np.maximum(m, r), windows, p
    )


def _smallest_count(
    above: Callable[[np.ndarray], np.ndarray], mean: np.ndarray, windows: ArrayLike, p: ArrayLike
) -> np.ndarray:
    """Bisect for the smallest k at which n·ln(1 − above(k)) >= ln p, elementwise."""
    n, target = np.asarray(windows, dtype=np.float64), np.log(p)

    def reached(k: np.ndarray) -> np.ndarray:
        return np.asarray(xlog1py(n, -above(k)) >= target)

    shape = reached(np.asarray(mean)).shape
    low, high = np.full(shape, -1.0), np.ceil(np.broadcast_to(mean, shape)) + 1.0
    while not (enough := reached(high)).all():
        high = np.where(enough, high, 2.0 * high)
    while (high - low > 1).any():
        middle = np.floor((low + high) / 2)
        # A pair that has met bisects to its own lower end, where nothing changes.
        up = reached(np.maximum(middle, 0.0)) & (middle >= 0)
        low, high = np.where(up, low, middle), np.where(up, middle, high)
    return np.asarray(high.astype(np.int64))


def headroom_x(log_sd: ArrayLike, p: ArrayLike) -> np.ndarray:
    """Return the factor over the median that a lognormal requirement exceeds with 1 − p.

    Formula: ``exp(Phi⁻¹(p) · sigma)``.

    Parameters
    ----------
    log_sd
        Standard deviation sigma of the requirement's natural logarithm, >= 0, any shape; of several
        factors by :func:`combine_log_sd`.
    p
        Probability of having enough, in (0, 1).

    Returns
    -------
    numpy.ndarray
        Capacity / median requirement [ratio].

    Raises
    ------
    InputError
        For a negative sigma, or `p` outside (0, 1).

    Examples
    --------
    >>> headroom_x(0.15, [0.9, 0.95, 0.99]).round(4).tolist()
    [1.212, 1.2798, 1.4176]
    """
    raise_any([*_log_sd(log_sd), *_probability(p)])
    return np.asarray(np.exp(ndtri(np.asarray(p)) * np.asarray(log_sd, dtype=np.float64)))


def p_exceed(log_sd: ArrayLike, headroom: ArrayLike) -> np.ndarray:
    """Return the probability that a lognormal requirement exceeds its median times `headroom`.

    Formula: ``Phi(−ln(headroom)/sigma)``, the inverse of :func:`headroom_x`.

    Parameters
    ----------
    log_sd
        As in :func:`headroom_x`; 0 means the requirement is its median for sure.
    headroom
        Capacity / median requirement [ratio], above 0.

    Returns
    -------
    numpy.ndarray
        Probability in [0, 1].

    Raises
    ------
    InputError
        For a negative sigma, or a headroom that is not positive.

    Examples
    --------
    >>> round(float(p_exceed(0.15, 1.3)), 7)
    0.0401373
    """
    do = "Give capacity / median requirement."
    raise_any([*_log_sd(log_sd), *number("headroom", headroom, do, above=0)])
    sigma, gap = np.broadcast_arrays(np.asarray(log_sd, dtype=np.float64), np.log(headroom))
    z = np.where(gap >= 0, np.inf, -np.inf)
    np.divide(gap, sigma, out=z, where=sigma > 0)
    return np.asarray(ndtr(-z))


def combine_log_sd(log_sd: ArrayLike, *, correlation: ArrayLike | None = None) -> float:
    """Return the log standard deviation of a product of uncertain positive factors.

    Formula: ``sqrt(s' R s)``; independent factors: ``sqrt(Σ s²)``. Multiplying each factor's own
    quantile instead supposes that all are unlucky together (every correlation 1).

    Parameters
    ----------
    log_sd
        Of each factor (growth, lift, burst, use per request, mix), shape (K,), >= 0.
    correlation
        R, shape (K, K); None: independent. Growth and lift learned from one history are not.

    Raises
    ------
    InputError
        For a negative sigma, or an R that is no correlation matrix of K factors.

    Examples
    --------
    >>> round(combine_log_sd([0.08, 0.06, 0.10, 0.05]), 12)
    0.15
    """
    raise_any(_log_sd(log_sd))
    sigma = np.atleast_1d(np.asarray(log_sd, dtype=np.float64))
    if correlation is None:
        return float(np.sqrt(np.sum(sigma**2)))
    matrix = np.asarray(correlation, dtype=np.float64)
    valid = (
        matrix.shape == (len(sigma), len(sigma))
        and np.allclose(matrix, matrix.T)
        and np.allclose(np.diag(matrix), 1.0)
        and float(np.linalg.eigvalsh(matrix)[0]) > -1e-9  # noqa: PLR2004  rounding of a zero
    )
    if not valid:
        raise InputError.of(
            "correlation",
            got=matrix.tolist(),
            expected=f"a correlation matrix of {len(sigma)} factors: symmetric, ones on the "
            "diagonal, no negative eigenvalue",
            do="Estimate all pairs from the same rows.",
        )
    return float(np.sqrt(max(float(sigma @ matrix @ sigma), 0.0)))


def critical_ratio(under: ArrayLike, over: ArrayLike) -> np.ndarray:
    """Return the probability of having enough that costs least: the newsvendor's ratio.

    Formula: ``p* = under/(under + over)``.

    Parameters
    ----------
    under
        Cost of one unit too little [any currency per unit], above 0.
    over
        Cost of one unit too many, above 0, in the same unit.

    Returns
    -------
    numpy.ndarray
        p* in (0, 1).

    Raises
    ------
    InputError
        For a cost that is not positive.

    References
    ----------
    Arrow, Harris & Marschak 1951, Econometrica 19.

    Examples
    --------
    >>> float(critical_ratio(9, 1))
    0.9
    """
    do = "Give what one unit costs."
    raise_any([*number("under", under, do, above=0), *number("over", over, do, above=0)])
    short, spare = np.asarray(under, dtype=np.float64), np.asarray(over, dtype=np.float64)
    return np.asarray(short / (short + spare))


def _mean(mean: ArrayLike) -> list[Problem]:
    return number("mean", mean, "Leave out the windows without arrivals.", above=0)


def _dispersion(dispersion: ArrayLike) -> list[Problem]:
    return number("dispersion", dispersion, "Give variance / mean of the counts.", above=0)


def _windows(windows: ArrayLike) -> list[Problem]:
    return number("windows", windows, "Count the windows of the horizon.", least=1)


def _probability(p: ArrayLike) -> list[Problem]:
    return number("p", p, "Write 0.95 for 95 %.", above=0, below=1)


def _log_sd(log_sd: ArrayLike) -> list[Problem]:
    do = "Give the standard deviation of the natural logarithm."
    return number("log_sd", log_sd, do, least=0)
