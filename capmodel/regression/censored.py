"""Rows held at a limit: their usage is a lower bound of what the load asked for (Tobit, robustly).

This module answers: what would rows at a cap have pulled, given what rows below it show? It works
on arrays.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from scipy.special import ndtr

from capmodel.regression.losses import bisquare_pull, huber_pull
from capmodel.regression.steps import ROUNDING, Pull, Residuals, median, scaled_mad

__all__ = ["Censored", "Survival", "certainty", "spread_by_load", "survival"]

_GRID: Final = np.linspace(-8.0, 8.0, 1601)
"""Standard deviations at which what the normal expects is tabulated."""

_QUOTIENT: Final = 0.1
"""Step of the difference quotient that a curvature is taken from [standard deviations]."""

_STRATA: Final = 8
"""Strata of rows by fitted value, whose scales say how residuals widen with the load."""

_STRATUM_ROWS: Final = 25
"""Fewest rows of a stratum."""

_LEAST_STRATA: Final = 3
"""Fewest strata that a power is fitted to."""

_CLEARLY: Final = 3.0
"""Standard errors within which a power is none: a doubtful one would only widen intervals."""

_LOG_MAD: Final = 1.17
"""Standard deviation of the log of a median absolute deviation, times √n, at the normal."""


@dataclass(frozen=True, slots=True, eq=False)
class Survival:
    """The distribution of residuals of which some are only known to exceed a value.

    In rising order of residuals (N,), an exact one before a bound of the same size: ``order`` of
    the rows, ``mass`` of each residual (0 for bounds), ``above`` the probability beyond it, and
    ``left`` what lies beyond the last exact one.
    """

    order: np.ndarray
    mass: np.ndarray
    above: np.ndarray
    left: float


def survival(
    residual: np.ndarray, at_limit: np.ndarray, row_weight: np.ndarray | None = None
) -> Survival:
    """Return the product-limit distribution of residuals, some of them lower bounds.

    Parameters
    ----------
    residual
        Residuals, and lower bounds of residuals, shape (T,).
    at_limit
        Which are lower bounds, shape (T,).
    row_weight
        How many rows each counts as, shape (T,).

    Returns
    -------
    Survival

    References
    ----------
    Kaplan & Meier (1958), J. American Statistical Association 53, 457–481.

    Examples
    --------
    >>> found = survival(np.array([1.0, 2.0, 3.0, 4.0]), np.array([False, True, False, False]))
    >>> found.mass.tolist()
    [0.25, 0.0, 0.375, 0.375]
    """
    order = np.argsort(np.where(at_limit, np.nextafter(residual, np.inf), residual))
    weight = np.ones(len(residual)) if row_weight is None else row_weight[order]
    at_risk = np.cumsum(weight[::-1])[::-1]
    exact = np.where(at_limit[order], 0.0, weight)
    stays = 1 - np.divide(exact, at_risk, out=np.zeros_like(exact), where=exact > 0)
    above = np.cumprod(np.maximum(stays, 0.0))
    mass = np.concatenate([[1.0], above[:-1]]) - above
    return Survival(order, mass, above, float(above[-1]))


@dataclass(frozen=True, slots=True, eq=False)
class Censored:
    """ψ of rows below the limit, and its expectation beyond the bound for rows held at it.

    What lies beyond a bound is read off the product-limit distribution of all residuals; beyond the
    largest exact one, off the normal. So the line is, in the mean, the one that ψ would have found
    without the limit, whatever the distribution of residuals, as long as its form is one at all
    loads. Its width may follow the load: ψ is ``h·ψ(r/h)`` with h the row's ``spread`` (T,).
    ``constant`` is Huber's k or Tukey's c; ``scale`` None takes that of the residuals.

    References
    ----------
    Buckley & James (1979), Biometrika 66, 429–436; Ritov (1990), Annals of Statistics 18, 303–328
    (any ψ); Lai & Ying (1994), Annals of Statistics 22, 1222–1255.
    """

    family: Literal["huber", "bisquare"]
    constant: float
    scale: float | None
    at_limit: np.ndarray
    row_weight: np.ndarray | None
    spread: np.ndarray

    def pull(self, at: Residuals) -> Pull:
        """Return what every row does; a bound counts as much as it bends, at the normal."""
        residual = at.residual / self.spread
        found = survival(residual, self.at_limit, self.row_weight)
        ordered = residual[found.order]
        scale = _scale(ordered, found) if self.scale is None else self.scale
        plain = self.plain(residual, scale)
        expected = self.beyond(found, ordered, plain.score[found.order], scale)
        held = self.at_limit[found.order]
        rows = found.order[held]
        score, slope, weight = plain.score.copy(), plain.slope.copy(), plain.weight.copy()
        score[rows] = expected[held]
        slope[rows] = np.interp(residual[rows] / max(scale, ROUNDING), _GRID, self._normal()[1])
        weight[rows] = np.clip(slope[rows], 0.0, 1.0)
        score *= self.spread
        return Pull(score=score, weight=weight, slope=slope, scale=scale, cut=plain.cut)

    def plain(self, residual: np.ndarray, scale: float) -> Pull:
        """Return what rows with these residuals do when none is held at a limit."""
        pull = huber_pull if self.family == "huber" else bisquare_pull
        return pull(residual, self.constant, scale)

    def beyond(
        self, found: Survival, ordered: np.ndarray, score: np.ndarray, scale: float
    ) -> np.ndarray:
        """Return ψ's expectation beyond each residual, in rising order of residuals."""
        exact = np.flatnonzero(found.mass)
        last = int(exact[-1]) if len(exact) else -1
        unit = max(scale, ROUNDING)
        normal = unit * np.interp(ordered / unit, _GRID, self._normal()[0])
        if last < 0:
            return np.asarray(normal)
        part = found.mass * score
        later = np.cumsum(part[::-1])[::-1] - part + found.left * normal[last]
        before = np.arange(len(ordered)) < last
        return np.asarray(np.where(before, later / np.where(before, found.above, 1.0), normal))

    def _normal(self) -> tuple[np.ndarray, np.ndarray]:
        """Return ``g(u) = E[ψ(ε) | ε > u]`` of a standard normal ε on the grid, and g'(u)."""
        score = self.plain(_GRID, 1.0).score
        density, above = np.exp(-(_GRID**2) / 2) / np.sqrt(2 * np.pi), ndtr(-_GRID)
        strips = (score * density)[1:] + (score * density)[:-1]
        area = np.append(np.cumsum(strips[::-1])[::-1], 0.0) * (_GRID[1] - _GRID[0]) / 2
        expected = area / above + above[-1] * score[-1] / above
        return expected, density / above * (expected - score)


def certainty(loss: Censored, z: np.ndarray, at: Residuals) -> tuple[np.ndarray, np.ndarray]:
    """Return the curvature (K, K) and the rows' influence on the sum of scores (K, T).

    Both count that the distribution beyond the bounds is estimated from the same rows. The
    curvature is the difference quotient of ``−Σ v z ψ`` over a tenth of the scale. The influence of
    a row is ``v ∫ (z − z̄(t) + z̄·n·S(t)/Y(t)) (ψ(t) − g(t)) dM(t)``, with M the row's count less
    its hazard, Y(t) the rows whose residual is at least t and z̄(t) their mean.

    Parameters
    ----------
    loss
        With its scale.
    z
        Divided loads by column, shape (K, T).
    at
        Residuals of the line.

    References
    ----------
    Lai & Ying (1994), Annals of Statistics 22, 1222–1255 (censored M-estimators); Gill (1980),
    *Censoring and Stochastic Integrals* (the product-limit estimate as a martingale integral).
    """
    weight = np.ones(z.shape[1]) if loss.row_weight is None else loss.row_weight
    curvature = np.zeros((len(z), len(z)))
    for k, column in enumerate(z):
        size = float(np.sqrt(np.mean(column**2)))
        if size > 0:
            h = _QUOTIENT * max(loss.scale or 0.0, ROUNDING) / size
            low, high = (_force(loss, z * weight, at, sign * h * column) for sign in (-1, 1))
            curvature[:, k] = (low - high) / (2 * h)
    return curvature, _influence(loss, z, at, weight)


def _force(loss: Censored, z: np.ndarray, at: Residuals, change: np.ndarray) -> np.ndarray:
    """Return the sum of scores of a line that differs by this share of the divisor."""
    follows = np.where(at.divisor == at.fitted, 1 + change, 1.0)
    residual = (at.residual - change) / follows
    moved = Residuals(at.fitted + change * at.divisor, at.divisor * follows, residual)
    return np.asarray((z / follows) @ loss.pull(moved).score)


def _influence(loss: Censored, z: np.ndarray, at: Residuals, weight: np.ndarray) -> np.ndarray:
    scale = loss.scale or 0.0
    residual = at.residual / loss.spread
    found = survival(residual, loss.at_limit, loss.row_weight)
    order = found.order
    score = loss.plain(residual, scale).score[order]
    z, weight = (z * loss.spread)[:, order], weight[order]
    at_risk = np.maximum(np.cumsum(weight[::-1])[::-1], np.finfo(float).tiny)
    exact = found.mass > 0
    before = np.concatenate([[1.0], found.above[:-1]])
    surprise = score - loss.beyond(found, residual[order], score, scale)
    # The last exact residual with nothing beyond it has no "beyond" to be compared with.
    surprise[at_risk <= weight] = 0.0
    total = (z * weight).sum(axis=1, keepdims=True)
    later = np.cumsum((z * weight)[:, ::-1], axis=1)[:, ::-1]
    common = surprise * (total * before - later) / at_risk
    hazard = np.where(exact, weight / at_risk, 0.0)
    influence = np.where(exact, z * surprise + common, 0.0)
    influence -= z * np.cumsum(hazard * surprise) + np.cumsum(hazard * common, axis=1)
    back = np.empty_like(influence)
    back[:, order] = influence * weight
    return back


def spread_by_load(at: Residuals, at_limit: np.ndarray) -> np.ndarray:
    """Return how wide residuals are at each row's load, as a power of the fitted value, (T,).

    The power is the slope of ``ln s`` on ``ln ŷ`` over eight strata of rows by fitted value, each
    with the scale of its product-limit distribution; strata whose bounds hide it say nothing. It is
    0, and the spread 1, with fewer than three strata, or where it is within three standard errors.
    """
    order = np.argsort(at.divisor)
    points = []
    for rows in np.array_split(order, _STRATA):
        if len(rows) < _STRATUM_ROWS:
            return np.ones(len(order))
        residual = at.residual[rows]
        found = survival(residual, at_limit[rows])
        size = np.append(np.abs(residual[found.order]), np.inf)
        middle = median(size, np.append(found.mass, found.left))
        if 0 < middle <= np.max(residual[~at_limit[rows]], initial=0.0):
            points.append((float(np.mean(np.log(at.divisor[rows]))), float(np.log(middle))))
    x, y = np.array(points).reshape(-1, 2).T
    x = x - x.mean() if len(x) else x
    if len(x) < _LEAST_STRATA or not x.any():
        return np.ones(len(order))
    power = float(x @ y / (x @ x))
    # The log of a median absolute deviation of n normal values varies by 1.17/√n.
    error = _LOG_MAD / np.sqrt(len(order) / _STRATA) / np.sqrt(x @ x)
    if abs(power) <= _CLEARLY * error:
        return np.ones(len(order))
    return np.asarray((at.divisor / np.exp(np.mean(np.log(at.divisor)))) ** np.clip(power, -1, 1))


def _scale(ordered: np.ndarray, found: Survival) -> float:
    # What lies beyond the last exact residual is at least that large.
    mass = found.mass.copy()
    mass[np.flatnonzero(mass)[-1] if mass.any() else -1] += found.left
    return scaled_mad(ordered, weight=mass)
