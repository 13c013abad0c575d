"""Tails with a guard: a level beyond the data, its interval, or the reason why there is none.

This module answers: which level is exceeded once in a stated number of observations, when only few
lie above the threshold? Dirty data look like a heavy tail, so a shape above 0.5 gives no number
before somebody has looked. Event days are not exchangeable with ordinary days: give the residual
around an event's forecast, never the event itself.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from scipy.special import chdtri

from capmodel.laws.arguments import number, raise_any, root, whole
from capmodel.laws.extremes import fit_gpd, gpd_nllh, gpd_return_level

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import ArrayLike

__all__ = ["FEW_EXCEEDANCES", "XI_HELD", "XI_REVIEW", "GpdTail", "decluster", "gpd_tail"]

XI_REVIEW: Final = 0.5
"""Above this shape the variance is infinite: in operations, mostly dirty data and no tail."""

FEW_EXCEEDANCES: Final = 50
"""Below this number of exceedances the shape is held, not estimated."""

XI_HELD: Final = (0.0, 0.25)
"""Where the shape is held then."""

_XI_FREE: Final = (-0.5, 3.0)


@dataclass(frozen=True, slots=True)
class GpdTail:
    """A level beyond the data, or the reason why there is none.

    Attributes
    ----------
    level, low, high
        The level and its profile-likelihood interval [unit of the data]; NaN with `needs_review`.
    sigma, xi
        Of the generalised Pareto distribution that the level comes from.
    xi_free
        The shape of highest likelihood when nothing holds it.
    xi_basis
        ``fitted``, ``held`` (few exceedances) or ``given``.
    threshold, zeta, n
        Threshold, share of observations above it, exceedances.
    needs_review, reason
        Whether the tail must be looked at before it may give a number, and why; '' otherwise.
    """

    level: float
    low: float
    high: float
    sigma: float
    xi: float
    xi_free: float
    xi_basis: str
    threshold: float
    zeta: float
    n: int
    needs_review: bool
    reason: str


def gpd_tail(
    exceedances: ArrayLike,
    *,
    threshold: float,
    zeta: float,
    period: float,
    xi: float | None = None,
    confidence: float = 0.95,
) -> GpdTail:
    """Return the level that one observation in `period` exceeds, unless the tail needs review.

    With 50 exceedances or more the shape is estimated; with fewer it is held in [0, 0.25]. A shape
    above 0.5, estimated or merely wanted by the few exceedances, gives no level: clean the data,
    raise the threshold, take the season and events out, or state `xi`. The interval holds all
    levels whose profile likelihood is within half the chi-squared quantile of the best, at `zeta`
    as given: the share of exceedances is known far better than the tail.

    Parameters
    ----------
    exceedances
        Values above the threshold, declustered (:func:`decluster`), shape (n,).
    threshold
        u [unit of the data].
    zeta
        Share of observations (clusters, if declustered) above the threshold, in (0, 1].
    period
        m [observations].
    xi
        A shape given from elsewhere (a larger fleet, a prior) within (−0.5, 3); no guard then.
    confidence
        Of the interval, in (0, 1).

    Returns
    -------
    GpdTail
        With ``needs_review`` and no number where the guard stops it.

    Raises
    ------
    InputError
        For fewer than 10 exceedances, values that are not above the threshold, or a period at
        which the level would lie below the threshold.

    References
    ----------
    Coles 2001, sections 2.6.6 and 4.3; Smith 1985, Biometrika 72.

    Examples
    --------
    >>> p = (np.arange(200) + 0.5) / 200
    >>> tail = gpd_tail(1000 + 150 * -np.log(1 - p), threshold=1000, zeta=0.02, period=36500)
    >>> tail.needs_review, 0 < tail.low < tail.level < tail.high
    (False, True)
    >>> dirty = gpd_tail(
    ...     1000 + 150 * ((1 - p) ** -0.9 - 1), threshold=1000, zeta=0.02, period=36500
    ... )
    >>> dirty.needs_review, dirty.level
    (True, nan)
    """
    do = "Keep only what lies above the threshold."
    problems = number("exceedances", exceedances, do, above=threshold)
    problems += number("confidence", confidence, "Write 0.95 for 95 %.", above=0, below=1)
    if xi is not None:
        do = "Leave it out to estimate it."
        problems += number("xi", xi, do, above=_XI_FREE[0], below=_XI_FREE[1])
    raise_any(problems)
    values = np.asarray(exceedances, dtype=np.float64).ravel()
    excesses = values - threshold
    free = fit_gpd(excesses, xi_bounds=_XI_FREE)
    basis, bounds = _shape(len(values), xi)
    fit = free if bounds == _XI_FREE else fit_gpd(excesses, xi_bounds=bounds)
    level = float(
        gpd_return_level(period, threshold=threshold, sigma=fit.sigma, xi=fit.xi, zeta=zeta)
    )
    reason = _doubt(free.xi) if basis != "given" and free.xi > XI_REVIEW else ""
    low = high = math.nan
    if reason:
        level = math.nan
    else:
        rise = _log_rise(period * zeta)
        span = _profile_interval(excesses, level - threshold, rise, bounds, confidence)
        low, high = threshold + span[0], threshold + span[1]
    return GpdTail(
        level=level,
        low=low,
        high=high,
        sigma=fit.sigma,
        xi=fit.xi,
        xi_free=free.xi,
        xi_basis=basis,
        threshold=float(threshold),
        zeta=float(zeta),
        n=len(values),
        needs_review=bool(reason),
        reason=reason,
    )


def decluster(values: ArrayLike, *, threshold: float, run: int) -> np.ndarray:
    """Return where the maximum of each cluster of exceedances stands.

    A cluster ends after `run` consecutive values at or below the threshold; the next exceedance
    starts a new one. Neighbouring exceedances are one event, and a tail fitted to all of them
    would be too sure of itself.

    Parameters
    ----------
    values
        A regular series, shape (T,); NaN is a gap and counts as not above the threshold.
    threshold
        u [unit of the data].
    run
        Values at or below the threshold that end a cluster [steps], at least 1; 30 minutes or more
        of traffic.

    Returns
    -------
    numpy.ndarray
        Indices of the cluster maxima, the first one of ties, ascending. Their number over that of
        the exceedances is the runs estimate of the extremal index.

    Raises
    ------
    InputError
        For a run below 1.

    References
    ----------
    Coles 2001, section 5.3.2; Smith & Weissman 1994, JRSS B 56.

    Examples
    --------
    >>> decluster([9, 1, 8, 1, 1, 7, 7.5, 1], threshold=5, run=2).tolist()
    [0, 6]
    """
    raise_any(whole("run", run))
    x = np.asarray(values, dtype=np.float64)
    above = np.flatnonzero(x > threshold)
    starts = np.flatnonzero(np.diff(above, prepend=-run - 1) > run)
    clusters = np.split(above, starts[1:]) if len(above) else []
    return np.array([c[np.argmax(x[c])] for c in clusters], dtype=np.intp)


def _shape(n: int, xi: float | None) -> tuple[str, tuple[float, float]]:
    if xi is not None:
        return "given", (float(xi), float(xi))
    return ("held", XI_HELD) if n < FEW_EXCEEDANCES else ("fitted", _XI_FREE)


def _doubt(xi: float) -> str:
    return (
        f"shape {xi:.2f} above {XI_REVIEW}: look for gaps, restarts and event days among the "
        "largest values, then clean, raise the threshold, or state xi"
    )


def _log_rise(times: float) -> Callable[[float], float]:
    """Return xi → (times^xi − 1)/xi: the level's excess in units of sigma."""
    log_times = math.log(times)
    return lambda xi: math.expm1(xi * log_times) / xi if xi else log_times


def _profile_interval(
    excesses: np.ndarray,
    level: float,
    rise: Callable[[float], float],
    bounds: tuple[float, float],
    confidence: float,
) -> tuple[float, float]:
    """Return the levels (as excesses) at which the profile deviance is chi-squared's quantile."""
    unit = float(excesses.mean())
    y, best = excesses / unit, level / unit
    allowed = float(chdtri(1, 1 - confidence)) / 2
    least = _profile(best, y, rise, bounds)

    def beyond(log_level: float) -> float:
        return _profile(math.exp(log_level), y, rise, bounds) - least - allowed

    ends = []
    for toward in (-0.25, 0.25):
        step, inner = toward, math.log(best)
        while beyond(inner + step) < 0:
            inner, step = inner + step, 2 * step
        ends.append(unit * math.exp(root(beyond, *sorted((inner, inner + step)))))
    return ends[0], ends[1]


def _profile(
    level: float, y: np.ndarray, rise: Callable[[float], float], bounds: tuple[float, float]
) -> float:
    """Return the smallest nllh among the distributions whose level this is."""
    from scipy.optimize import minimize_scalar  # noqa: PLC0415  heavy

    def nllh(xi: float) -> float:
        return gpd_nllh(level / rise(xi), xi, y)

    grid = np.linspace(*bounds, 1 if bounds[0] == bounds[1] else 36)
    values = [nllh(float(xi)) for xi in grid]
    at = int(np.argmin(values))
    if len(grid) == 1:
        return values[0]
    around = (float(grid[max(at - 1, 0)]), float(grid[min(at + 1, len(grid) - 1)]))
    found = minimize_scalar(nllh, bounds=around, method="bounded", options={"xatol": 1e-10})
    return min(values[at], float(found.fun))
