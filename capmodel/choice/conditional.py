"""What a run rate seen by then says about the season's need: its centre, its spread, its tail.

This module answers: a planner who has read the run rate R on a day, which need X is left to fear?
On joint paths, with logs natural,

    ln X = m(ln R) + s(ln R) * u

with m piecewise linear (knots at quantiles of ln R, as many as predict left-out draws better), s
constant or growing away from the median (Glejser 1969), and u the residuals themselves: a
location-scale model whose quantiles cannot cross (He 1997). Scenarios are strata of one mixture, so
what R says about which of them is happening is in m and s too.

Draws must not flatter themselves (:mod:`capmodel.capacity.union`): u of a draw is by m and s that
were fitted without it, under all scenarios at once. Whatever m and s are, a size at a quantile of
u is then exceeded by new paths as often as that quantile says (Lei et al. 2018).

Shapes: S scenarios, D draws. Path (s, d) has weight ``weights[s] / D``.

References
----------
Glejser, H. (1969). A new test for heteroskedasticity. Journal of the American Statistical
Association 64(325), 316-323.
He, X. (1997). Quantile curves without crossing. The American Statistician 51(2), 186-192.
Lei, J., G'Sell, M., Rinaldo, A., Tibshirani, R. J., & Wasserman, L. (2018). Distribution-free
predictive inference for regression. Journal of the American Statistical Association 113(523),
1094-1111.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from capmodel.capacity.union import FOLDS, TAIL

__all__ = ["Conditional", "conditional_need"]

KNOTS: Final = ((), (0.5,), (0.25, 0.5, 0.75))
"""Quantiles of ln R at which the centre may bend: more of them as long as they predict better."""

BETTER: Final = 0.01
"""Share of the left-out error that more terms must save [ratio]."""

LEAST_SCALE: Final = 0.25
"""The spread falls nowhere below this share of its mean [ratio]."""

SCALES: Final = 65
"""Spreads at which the tail is summed; between them it is interpolated."""

_NOISE: Final = 1e-12


@dataclass(frozen=True, slots=True, eq=False)
class Conditional:
    """The need given the run rate; run rates are asked for inside `low` to `high`."""

    low: float
    high: float
    """Smallest and largest run rate of the paths [the run rate's unit]."""
    explained: float
    """Share of the variance of ln X that ln R explains in draws left out [ratio]."""
    sigma_log: float
    """Standard deviation of ln X before the run rate is seen."""
    sigma_log_seen: float
    """The same of what is left once it is seen, left-out."""
    _knots: np.ndarray
    _centre: np.ndarray
    _scale: np.ndarray
    _least: float
    _middle: float
    _residual: np.ndarray
    """u, sorted, infinite ones last, shape (n,)."""
    _above: np.ndarray
    """Weight strictly above each, shape (n,)."""
    _left_out: tuple[np.ndarray, np.ndarray]
    """Centre and spread of each path by the draws of the other folds, (S, D) each."""

    def size(self, run_rate: np.ndarray, exceedance: float, *, tail: bool = True) -> np.ndarray:
        """Return the need that is exceeded with a probability, given each run rate.

        An order statistic of the residuals; with `tail`, above P95, the exponential tail of the
        plan's own sizes, ``P95 + mean excess * ln(0.05 / exceedance)``: without any information in
        the run rate both are the same number. inf where too many paths have no finite need.

        Raises
        ------
        ValueError
            For a run rate that no path shows: nothing is extrapolated.
        """
        x = np.asarray(run_rate, dtype=np.float64)
        if x.size and (x.min() < self.low * (1 - 1e-9) or x.max() > self.high * (1 + 1e-9)):
            msg = f"run rates from {x.min():g} to {x.max():g}, seen {self.low:g} to {self.high:g}"
            raise ValueError(msg)
        log = np.log(x)
        centre = _basis(log, self._knots) @ self._centre
        scale = np.maximum(
            _vee(log, self._middle)[..., : len(self._scale)] @ self._scale, self._least
        )
        return self._sized(centre, scale, exceedance, tail=tail)

    def size_left_out(self, exceedance: float, *, tail: bool = True) -> np.ndarray:
        """Return the size at each path's own run rate, by a fit that has not seen it, (S, D)."""
        return self._sized(*self._left_out, exceedance, tail=tail)

    def _sized(
        self, centre: np.ndarray, scale: np.ndarray, exceedance: float, *, tail: bool
    ) -> np.ndarray:
        at = _first_within(self._above, max(exceedance, TAIL) if tail else exceedance)
        u = self._residual[at]
        finite = self._above[np.isfinite(self._residual)]
        if not np.isfinite(u) or finite[-1] > exceedance + _NOISE:
            return np.full(centre.shape, np.inf)
        if not tail or exceedance >= TAIL:
            return np.asarray(np.exp(centre + scale * u))
        spreads = np.unique(np.linspace(scale.min(), scale.max(), SCALES))
        return np.asarray(
            np.exp(centre) * np.interp(scale, spreads, self._tail(spreads, at, exceedance))
        )

    def _tail(self, spreads: np.ndarray, at: int, exceedance: float) -> np.ndarray:
        """Return the tail's size at each spread, as a ratio to the centre."""
        start = np.exp(spreads * self._residual[at])
        over = (self._residual > self._residual[at]) & np.isfinite(self._residual)
        if not over.any():
            return np.asarray(start)
        # The weight of each path from what is above it and above its predecessor.
        weight = -np.diff(np.concatenate([[1.0], self._above]))[over]
        if weight.sum() <= 0:
            return np.asarray(start)
        mean = np.exp(spreads[:, None] * self._residual[over]) @ weight / weight.sum()
        return np.asarray(start + math.log(TAIL / exceedance) * (mean - start))


def conditional_need(
    need: np.ndarray, run_rate: np.ndarray, weights: np.ndarray
) -> Conditional | None:
    """Fit what a run rate says about a need, on joint paths.

    Parameters
    ----------
    need
        The season's need on each path, shape (S, D) [any unit]; inf where no number suffices.
    run_rate
        What will have been read on the path by the day of the look, shape (S, D) [any unit].
    weights
        Probability of each scenario, shape (S,).

    Returns
    -------
    Conditional or None
        None where there is nothing to learn from: a need or run rate of zero, or a run rate that is
        the same on every path.

    Examples
    --------
    A need of twice the run rate, give or take 5 %:

    >>> rng = np.random.default_rng(0)
    >>> rate = 100 * np.exp(0.1 * rng.standard_normal((1, 4000)))
    >>> need = 2 * rate * np.exp(0.05 * rng.standard_normal(rate.shape))
    >>> law = conditional_need(need, rate, np.ones(1))
    >>> [round(float(x)) for x in law.size(np.array([90.0, 110.0]), 0.5)]
    [180, 220]
    >>> round(law.sigma_log_seen, 2), round(law.explained, 1)
    (0.05, 0.8)
    """
    draws = need.shape[1]
    each = np.repeat(weights / draws, draws)
    kept = each > 0
    y, x = need.ravel(), run_rate.ravel()
    if not ((y[kept] > 0).all() and (x[kept] > 0).all() and np.isfinite(x[kept]).all()):
        return None
    with np.errstate(divide="ignore"):  # of paths without weight
        log_need, log_rate = np.log(y), np.log(x)
    log_rate = np.where(kept, log_rate, log_rate[kept].mean())
    low, high = float(x[kept].min()), float(x[kept].max())
    finite = kept & np.isfinite(log_need)
    if not (high > low * (1 + _NOISE) and finite.any()):
        return None
    weight = np.where(finite, each, 0.0)
    target = np.where(finite, log_need, 0.0)
    fold = np.tile(np.arange(draws) % FOLDS, len(weights))
    knots, centre, predicted = _best_centre(log_rate, target, weight, fold)
    error = target - predicted
    middle = _quantile(log_rate, weight, 0.5)
    scale, least, spread = _best_scale(_vee(log_rate, middle), np.abs(error), weight, fold)
    residual = np.where(np.isinf(log_need), np.inf, error / spread)
    order = np.argsort(residual[kept], kind="stable")
    ranked = residual[kept][order]
    reached = np.cumsum(each[kept][order])
    above = np.maximum(1.0 - reached / reached[-1], 0.0)
    was, left = _deviation(target, weight), _deviation(error, weight)
    shape = need.shape
    return Conditional(
        low=low,
        high=high,
        explained=max(1.0 - (left / was) ** 2, 0.0) if was > 0 else 0.0,
        sigma_log=was,
        sigma_log_seen=left,
        _knots=knots,
        _centre=centre,
        _scale=scale,
        _least=least,
        _middle=middle,
        _residual=ranked,
        _above=above,
        _left_out=(predicted.reshape(shape), spread.reshape(shape)),
    )


def _first_within(above: np.ndarray, exceedance: float) -> int:
    """Return the first of sorted values with at most a weight above it."""
    return int(np.argmax(above <= exceedance + _NOISE))


def _basis(log_rate: np.ndarray, knots: np.ndarray) -> np.ndarray:
    """Return 1, ln R and what it is above each knot, shape (..., 2 + K)."""
    bends = [np.maximum(log_rate - knot, 0.0) for knot in knots]
    return np.stack([np.ones_like(log_rate), log_rate, *bends], axis=-1)


def _vee(log_rate: np.ndarray, middle: float) -> np.ndarray:
    """Return 1 and the distances above and below the middle, shape (..., 3)."""
    away = log_rate - middle
    return np.stack([np.ones_like(away), np.maximum(away, 0.0), np.maximum(-away, 0.0)], axis=-1)


def _best_centre(
    x: np.ndarray, y: np.ndarray, weight: np.ndarray, fold: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the knots that predict left-out draws, the coefficients, and those predictions."""
    best, lowest = None, np.inf
    for quantiles in KNOTS:
        knots = np.unique([_quantile(x, weight, q) for q in quantiles])
        centre, predicted = _left_out_fit(_basis(x, knots), y, weight, fold)
        error = float(weight @ (y - predicted) ** 2)
        if best is not None and error >= lowest * (1 - BETTER):
            break
        best, lowest = (knots, centre, predicted), error
    assert best is not None  # noqa: S101  there is a first choice
    return best


def _best_scale(
    vee: np.ndarray, size: np.ndarray, weight: np.ndarray, fold: np.ndarray
) -> tuple[np.ndarray, float, np.ndarray]:
    """Return coefficients of the spread, its floor, and each path's by the other folds.

    By the likelihood of a Laplace error, ``ln s + |e| / s``: constant unless the other is better.
    """
    best: tuple[np.ndarray, float, np.ndarray] | None = None
    lowest = np.inf
    mean = float(np.average(size, weights=weight))
    least = max(LEAST_SCALE * mean, np.finfo(float).tiny)
    for terms in (1, vee.shape[1]):
        scale, predicted = _left_out_fit(vee[:, :terms], size, weight, fold)
        spread = np.maximum(predicted, least)
        score = float(weight @ (np.log(spread) + size / spread)) / weight.sum()
        if best is None or score < lowest - BETTER:
            best, lowest = (scale, least, spread), score
    assert best is not None  # noqa: S101  there is a first choice
    return best


def _left_out_fit(
    terms: np.ndarray, y: np.ndarray, weight: np.ndarray, fold: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return coefficients of weighted least squares, and each path's fit by the other folds."""
    centre = np.average(terms, axis=0, weights=weight)
    centre[0] = 0.0  # the constant stays one
    away = terms - centre
    count = terms.shape[1]
    gram, moment = np.zeros((FOLDS + 1, count, count)), np.zeros((FOLDS + 1, count))
    weighted = away * weight[:, None]
    for k in range(FOLDS):
        part = np.flatnonzero(fold == k)
        some = weighted.take(part, axis=0).T
        gram[k], moment[k] = some @ away.take(part, axis=0), some @ y.take(part)
    whole_gram, whole_moment = gram.sum(axis=0), moment.sum(axis=0)
    # The empty fold leaves nothing out.
    solved = np.linalg.pinv(whole_gram - gram, hermitian=True)
    others = np.einsum("fij,fj->fi", solved, whole_moment - moment)
    fitted = others[-1]
    predicted = np.einsum("pk,pk->p", away, others[fold])
    whole = fitted.copy()
    whole[0] -= float(centre @ fitted)
    return whole, predicted


def _quantile(values: np.ndarray, weight: np.ndarray, q: float) -> float:
    order = np.argsort(values, kind="stable")
    reached = np.cumsum(weight[order])
    at = int(np.searchsorted(reached, q * reached[-1] * (1 - _NOISE)))
    return float(values[order[min(at, len(order) - 1)]])


def _deviation(values: np.ndarray, weight: np.ndarray) -> float:
    mean = np.average(values, weights=weight)
    return math.sqrt(float(np.average((values - mean) ** 2, weights=weight)))
