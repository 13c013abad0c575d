"""Extreme values: distributions of block maxima and of excesses, and the levels they give.

This module answers: which level does one block in T exceed, and which one observation in m? Guarded
answers from raw exceedances are in ``capmodel.laws.tails``.

Traps. scipy's shape is ``c = −xi`` for ``scipy.stats.genextreme`` and ``c = +xi`` for
``scipy.stats.genpareto``; here ``xi`` is positive for a heavy tail, always. Extremes of a growing
or seasonal series are growth, not tail: take both out first.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from scipy.special import exprel

from capmodel.errors import InputError, Problem
from capmodel.laws.arguments import number, raise_any, root

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import ArrayLike

__all__ = [
    "GevFit",
    "GpdFit",
    "fit_gev",
    "fit_gpd",
    "fit_gpd_pwm",
    "gev_return_level",
    "gpd_nllh",
    "gpd_quantile",
    "gpd_return_level",
    "gpd_scale",
]

_MIN_EXTREMES: Final = 10
_XI_FREE: Final = (-0.5, 3.0)  # below -0.5 maximum likelihood is not regular (Smith 1985)
_OUTSIDE: Final = 1e100  # nllh outside the support; infinity would make differences undefined


@dataclass(frozen=True, slots=True, eq=False)
class GevFit:
    """Generalised extreme value distribution fitted to block maxima.

    ``loc`` and ``scale`` [unit of the data], ``xi`` [1], ``se`` their standard errors, shape (3,),
    from the observed information, ``nllh`` the negative log likelihood and ``n`` the maxima.
    """

    loc: float
    scale: float
    xi: float
    se: np.ndarray
    nllh: float
    n: int


def fit_gev(maxima: ArrayLike) -> GevFit:
    """Fit a generalised extreme value distribution to block maxima by maximum likelihood.

    Parameters
    ----------
    maxima
        Block maxima (say, of weeks), detrended and without their season, shape (n,).

    Returns
    -------
    GevFit
        In R's and Coles' sign: ``xi > 0`` is a heavy tail (scipy's ``c`` is ``−xi``).

    Raises
    ------
    InputError
        For fewer than 10 maxima, values that are not finite, or maxima that are all equal.

    References
    ----------
    Coles 2001, *An Introduction to Statistical Modeling of Extreme Values*, section 3.3.

    Examples
    --------
    >>> fit = fit_gev(-np.log(-np.log((np.arange(200) + 0.5) / 200)))  # a Gumbel sample
    >>> abs(fit.loc) < 0.01, abs(fit.scale - 1) < 0.01, abs(fit.xi) < 0.01
    (True, True, True)
    """
    from scipy.optimize import fmin  # noqa: PLC0415  heavy

    x = _sample("maxima", maxima)
    center, spread = float(np.median(x)), float(x.std())
    if not spread:
        raise InputError.of(
            "maxima", got="equal values", expected="values that differ", do="Use longer blocks."
        )
    y = (x - center) / spread
    scale = math.sqrt(6) / math.pi
    start = np.array([y.mean() - np.euler_gamma * scale, math.log(scale), 0.01])
    # From its own end once more: a simplex can collapse early.
    for _ in range(2):
        start = np.asarray(
            fmin(_gev_nllh, start, args=(y,), xtol=1e-10, ftol=1e-13, maxiter=5000, disp=False)
        )
    best = np.array([start[0], math.exp(start[1]), start[2]])
    information = _hessian(
        lambda v: _gev_nllh(np.array([v[0], math.log(v[1]), v[2]]), y), best, step=1e-4
    )
    variance = np.diag(np.linalg.pinv(information, hermitian=True))
    units = np.array([spread, spread, 1.0])
    # The likelihood is not regular below xi = −1/2: there is no such standard error.
    se = np.sqrt(np.where(variance > 0, variance, np.nan)) * units
    return GevFit(
        loc=center + spread * float(best[0]),
        scale=spread * float(best[1]),
        xi=float(best[2]),
        se=se if best[2] > _XI_FREE[0] else np.full(3, np.nan),
        nllh=_gev_nllh(start, y) + len(x) * math.log(spread),
        n=len(x),
    )


def gev_return_level(period: ArrayLike, *, loc: float, scale: float, xi: float) -> np.ndarray:
    """Return the level that one block in `period` exceeds.

    Formula: ``loc + scale/xi · ((−ln(1 − 1/T))^−xi − 1)``; ``xi = 0``: ``loc − scale·ln(−ln(…))``.

    Parameters
    ----------
    period
        Return period T [blocks], above 1, any shape.
    loc, scale, xi
        Of the distribution, see :class:`GevFit`.

    Returns
    -------
    numpy.ndarray
        Level [unit of loc].

    Raises
    ------
    InputError
        For a period of 1 or less, or a scale that is not positive.

    Examples
    --------
    >>> round(float(gev_return_level(100, loc=100, scale=20, xi=0.1)), 6)
    216.819525
    """
    problems = number("period", period, "Ask for a rarer level.", above=1)
    raise_any([*problems, *number("scale", scale, "Fit it to maxima that differ.", above=0)])
    t = np.asarray(period, dtype=np.float64)
    return np.asarray(loc + scale * _box_cox(-np.log(-np.log1p(-1.0 / t)), xi))


@dataclass(frozen=True, slots=True, eq=False)
class GpdFit:
    """Generalised Pareto distribution fitted to excesses over a threshold.

    ``sigma`` [unit of the data], ``xi`` [1], ``se`` their standard errors, shape (2,), NaN where xi
    is given or at its bound, ``nllh`` the negative log likelihood, ``n`` the excesses.
    """

    sigma: float
    xi: float
    se: np.ndarray
    nllh: float
    n: int


def fit_gpd(excesses: ArrayLike, *, xi_bounds: tuple[float, float] = _XI_FREE) -> GpdFit:
    """Fit a generalised Pareto distribution to excesses by maximum likelihood.

    For a given xi the scale solves ``mean((1 + xi)·y/(1 + xi·y)) = 1``, ``y = x/sigma``, which has
    one root; xi is where the profile likelihood is highest.

    Parameters
    ----------
    excesses
        Values minus threshold, declustered, above 0, shape (n,).
    xi_bounds
        Smallest and largest xi, within (−1, ∞); equal bounds give xi.

    Raises
    ------
    InputError
        For fewer than 10 excesses, values that are not above 0, or impossible bounds.

    References
    ----------
    Pickands 1975, Annals of Statistics 3; Smith 1985, Biometrika 72 (regular for xi > −1/2).

    Examples
    --------
    >>> p = (np.arange(200) + 0.5) / 200
    >>> fit = fit_gpd(1500 * ((1 - p) ** -0.1 - 1))
    >>> round(fit.sigma, 4), round(fit.xi, 6)
    (151.1535, 0.090398)
    """
    x = _sample("excesses", excesses, above=0)
    low, high = xi_bounds
    if not -1 < low <= high:
        raise InputError.of(
            "xi_bounds", got=xi_bounds, expected="-1 < low <= high", do="Order the bounds."
        )
    unit = float(x.mean())
    y = x / unit
    grid = np.linspace(low, high, 36) if high > low else np.array([low])
    nllh = [gpd_nllh(gpd_scale(xi, y), xi, y) for xi in grid]
    best = int(np.argmin(nllh))
    left, right = grid[max(best - 1, 0)], grid[min(best + 1, len(grid) - 1)]
    xi, inside = float(grid[best]), False
    if _profile_score(left, y) < 0 < _profile_score(right, y):
        xi, inside = root(lambda v: _profile_score(v, y), float(left), float(right)), True
    sigma = gpd_scale(xi, y)
    se = np.full(2, np.nan)
    if inside:
        information = _hessian(lambda v: gpd_nllh(v[0], v[1], y), np.array([sigma, xi]), step=1e-4)
        se = np.sqrt(np.diag(np.linalg.inv(information))) * np.array([unit, 1.0])
    return GpdFit(
        sigma=sigma * unit,
        xi=xi,
        se=se,
        nllh=gpd_nllh(sigma, xi, y) + len(x) * math.log(unit),
        n=len(x),
    )


def fit_gpd_pwm(excesses: ArrayLike) -> GpdFit:
    """Fit a generalised Pareto distribution by probability-weighted moments.

    Formula: ``a0 = mean(x)``, ``a1 = mean((1 − p_j)·x_(j))`` with ``p_j = (j − 0.35)/n``;
    ``xi = 2 − a0/(a0 − 2·a1)``, ``sigma = 2·a0·a1/(a0 − 2·a1)``. Steadier than maximum likelihood
    in small samples, for ``xi < 1/2``.

    Parameters
    ----------
    excesses
        As in :func:`fit_gpd`.

    Raises
    ------
    InputError
        As in :func:`fit_gpd`.

    References
    ----------
    Hosking & Wallis 1987, Technometrics 29, equations 9 and 10.

    Examples
    --------
    >>> p = (np.arange(200) + 0.5) / 200
    >>> fit = fit_gpd_pwm(1500 * ((1 - p) ** -0.1 - 1))
    >>> round(fit.sigma, 6), round(fit.xi, 8)
    (149.558454, 0.09967143)
    """
    x = np.sort(_sample("excesses", excesses, above=0))
    a0 = float(x.mean())
    a1 = float(np.mean((1.0 - (np.arange(1, len(x) + 1) - 0.35) / len(x)) * x))
    sigma, xi = 2 * a0 * a1 / (a0 - 2 * a1), 2 - a0 / (a0 - 2 * a1)
    return GpdFit(sigma, xi, np.full(2, np.nan), gpd_nllh(sigma, xi, x), len(x))


def gpd_quantile(p: ArrayLike, *, threshold: float, sigma: float, xi: float) -> np.ndarray:
    """Return the `p` quantile of values that exceed the threshold.

    Formula: ``u + sigma/xi · ((1 − p)^−xi − 1)``; ``xi = 0``: ``u − sigma·ln(1 − p)``.

    Parameters
    ----------
    p
        Probability among exceedances, in (0, 1), any shape.
    threshold
        u [unit of the data].
    sigma, xi
        Of the distribution, see :class:`GpdFit`.

    Raises
    ------
    InputError
        For a probability outside (0, 1), or a sigma that is not positive.

    Examples
    --------
    >>> round(float(gpd_quantile(0.99, threshold=1000, sigma=150, xi=0.1)), 6)
    1877.339789
    """
    problems = number("p", p, "Write 0.99 for 99 %.", above=0, below=1)
    raise_any([*problems, *_scale(sigma)])
    chance = np.asarray(p, dtype=np.float64)
    return np.asarray(threshold + sigma * _box_cox(-np.log1p(-chance), xi))


def gpd_return_level(
    period: ArrayLike, *, threshold: float, sigma: float, xi: float, zeta: float
) -> np.ndarray:
    """Return the level that one observation in `period` exceeds.

    Formula: ``u + sigma/xi · ((m·zeta)^xi − 1)``; ``xi = 0``: ``u + sigma·ln(m·zeta)``.

    Parameters
    ----------
    period
        m [observations], any shape: years × observations a year for a level in years.
    threshold, sigma, xi
        As in :func:`gpd_quantile`.
    zeta
        Share of observations above the threshold, in (0, 1]; of clusters, if declustered.

    Raises
    ------
    InputError
        Where ``m·zeta`` is not above 1: the level would lie below the threshold.

    References
    ----------
    Coles 2001, section 4.3.3.

    Examples
    --------
    The 10-year level of daily values of which 2 % exceed 1,000:

    >>> level = gpd_return_level(3650, threshold=1000, sigma=150, xi=0.1, zeta=0.02)
    >>> round(float(level), 6)
    1803.68739
    """
    problems = number("zeta", zeta, "Divide exceedances by observations.", above=0, most=1)
    raise_any([*problems, *_scale(sigma)])
    do = f"A level above the threshold needs more than 1/zeta = {1 / zeta:g} observations."
    raise_any(number("period", period, do, above=1 / zeta))
    times = np.asarray(period, dtype=np.float64) * zeta
    return np.asarray(threshold + sigma * _box_cox(np.log(times), xi))


def gpd_nllh(sigma: float, xi: float, excesses: np.ndarray) -> float:
    """Return the negative log likelihood ``n·ln sigma + (1 + xi)·Σ ln(1 + xi·x/sigma)/xi``.

    Excesses above 0, shape (n,); 1e100 where one lies outside the support.
    """
    z = xi * excesses / sigma
    if sigma <= 0 or z.min() <= -1:
        return _OUTSIDE
    total = np.sum(np.log1p(z)) / xi if xi else np.sum(excesses) / sigma
    return float(len(excesses) * math.log(sigma) + (1 + xi) * total)


def gpd_scale(xi: float, excesses: np.ndarray) -> float:
    """Return the scale of highest likelihood for a given xi: the root of its score."""
    top, mean = float(excesses.max()), float(excesses.mean())

    def score(log_sigma: float) -> float:
        y = excesses / math.exp(log_sigma)
        return float(np.mean((1 + xi) * y / (1 + xi * y))) - 1

    # Falling in sigma: above 1 near the edge of the support (or near 0), below 1 far out.
    low = math.log(-xi * top * (1 + 1e-12)) if xi < 0 else math.log(mean)
    while xi >= 0 and score(low) < 0:
        low -= 1.0
    high = max(low, math.log(mean)) + 1.0
    while score(high) > 0:
        high += 1.0
    return math.exp(root(score, low, high))


def _profile_score(xi: float, y: np.ndarray) -> float:
    """Return the derivative of the profile nllh by xi: the partial one at the best scale."""
    v = y / gpd_scale(xi, y)
    z = xi * v
    # ln(1 + z)/xi and its derivative by xi, by series where the difference would cancel.
    small = np.abs(z) < 1e-4  # noqa: PLR2004  z² is then below rounding of the third term
    safe = np.where(small, 1.0, z)
    value = np.where(small, 1 - z / 2 + z**2 / 3, np.log1p(safe) / safe) * v
    slope = np.where(small, -0.5 + 2 * z / 3, (safe / (1 + safe) - np.log1p(safe)) / safe**2) * v**2
    return float(np.sum(value) + (1 + xi) * np.sum(slope))


def _gev_nllh(parameters: np.ndarray, y: np.ndarray) -> float:
    location, log_scale, xi = parameters
    z = (y - location) / math.exp(log_scale)
    if xi <= -1 or (1 + xi * z).min() <= 0:
        return _OUTSIDE
    t = np.log1p(xi * z) / xi if xi else z
    if t.min() < -500:  # noqa: PLR2004  exp would overflow; no such sample is likely
        return _OUTSIDE
    return float(len(y) * log_scale + (1 + xi) * t.sum() + np.exp(-t).sum())


def _hessian(function: Callable[[np.ndarray], float], at: np.ndarray, *, step: float) -> np.ndarray:
    """Return second derivatives by central differences, shape (K, K)."""
    k = len(at)
    moves = np.eye(k) * step
    result = np.empty((k, k))
    for i in range(k):
        for j in range(i + 1):
            a, b = moves[i], moves[j]
            second = function(at + a + b) - function(at + a - b)
            second += function(at - a - b) - function(at - a + b)
            result[i, j] = result[j, i] = second / (4 * step * step)
    return result


def _box_cox(log_x: np.ndarray, xi: float) -> np.ndarray:
    """Return ``(x^xi − 1)/xi`` from ln x, continuous through xi = 0."""
    return np.asarray(log_x * exprel(xi * log_x))


def _scale(sigma: float) -> list[Problem]:
    return number("sigma", sigma, "Fit it to excesses above 0.", above=0)


def _sample(name: str, values: ArrayLike, *, above: float | None = None) -> np.ndarray:
    """Return a sample as floats, or say what is wrong with it."""
    problems = number(name, values, "Leave gaps, and what is not above, out.", above=above)
    x = np.asarray(values, dtype=np.float64).ravel() if not problems else np.empty(0)
    if not problems and len(x) < _MIN_EXTREMES:
        do = "Use shorter blocks, a lower threshold, or more data."
        problems = [Problem(name, f"{len(x)} values", f"at least {_MIN_EXTREMES}", do)]
    raise_any(problems)
    return x
