"""What a union of limits promises for seasons that did not size it, and sizes that keep it.

This module answers: sized on these draws, how often will *any* limit be exceeded in a season that
is not among them, and which sizes keep that within the accepted risk? A level read off the draws
looks better on them than it is: the draws that set the sizes cannot exceed them.

Why. With n equal draws and one limit at its k-th largest need, a new season exceeds it with
probability ``k / (n + 1)``, the draws themselves with ``(k - 1) / n``: no matter. With L limits,
each has its own k largest draws. At correlation 0 the maximum of each of 60 limits over 1,000
draws leaves no draw above, yet a new season breaks one of 60 records with probability
``1 - (1 - 1/1001)**60 = 5.8 %``. Two remedies:

* Judge each draw by the others only (:func:`left_out_level`): a draw that holds a record counts as
  exceeded by it. No assumption; the left-out share of n draws is unbiased for sizing on n - 1
  (Lachenbruch & Mickey 1968). It says when the draws are too few.
* Score instead of rank (:func:`union_sizes`): any increasing score of each limit's need may share
  out the risk, since only the quantile of the largest score over the limits sets p_any, and that is
  a well supported one (the 20th largest of 1,000 for 2 %). The score is the exponential tail above
  P95; scores are cross-fitted, so that no draw is judged by a tail that it helped to fit.

Shapes: L limits, S scenarios, D draws. Draw d has the same luck under every scenario and is left
out, or held out, under all of them at once. Path (s, d) has weight ``weights[s] / D``.

References
----------
Lachenbruch & Mickey 1968, *Estimation of Error Rates in Discriminant Analysis*, Technometrics
10(1), 1-11. Pickands 1975, *Statistical Inference Using Extreme Order Statistics*, Annals of
Statistics 3(1), 119-131 (the tail above a high threshold; here its exponential case).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from capmodel.errors import InputError, Problem

__all__ = [
    "LeftOutLevel",
    "UnionSizes",
    "left_out_level",
    "left_out_risk",
    "union_sizes",
    "weight_problems",
]

TAIL: Final = 0.05
"""Share of the weight whose mean excess gives a limit's tail [ratio]."""

FOLDS: Final = 10
"""Parts of the draws; each is scored by tails fitted on the others."""

FEWEST_DRAWS: Final = 2 * FOLDS
"""Below it no tail is fitted: sizes are the largest draws, and p_any says what that is worth."""

_AXES: Final = 3

_NOISE: Final = 1e-12
"""Rounding of sums of weights, relative to 1."""

_UNSUMMED: Final = 1e-9
"""How far probabilities may sum from 1."""


@dataclass(frozen=True, slots=True)
class LeftOutLevel:
    """A common level for the limits of a tier, judged by draws that did not set the sizes."""

    level: float
    """Each limit is sized at this quantile of its own need; 1 is its largest draw."""
    p_any: float
    """Expected probability that a new season exceeds any of the sizes."""
    kept: bool
    """False where even the largest draws are expected to be exceeded too often: draw more."""


@dataclass(frozen=True, slots=True, eq=False)
class UnionSizes:
    """Sizes of the limits of a tier that keep their union within a risk."""

    sizes: np.ndarray
    """Shape (L,) [each limit's unit]; inf where no size keeps the risk."""
    alpha: float
    """Each limit's own share of the risk, by its fitted tail."""
    p_any: float
    """Expected probability that a new season exceeds any size; of limits with a finite size."""
    beyond: np.ndarray
    """Whether a size lies above the limit's largest finite draw, by its fitted tail, shape (L,)."""
    infeasible: np.ndarray
    """Probability that a limit needs more than any size, shape (L,)."""


def left_out_risk(needs: np.ndarray, weights: np.ndarray, level: float) -> float:
    """Return how often a new season exceeds any limit that is sized at a level of these draws.

    Formula: the weight of paths that exceed, in any limit, the size that the *other* draws give.

    Parameters
    ----------
    needs
        Season's need of each limit, shape (L, S, D) [any unit per limit].
    weights
        Probability of each scenario, shape (S,).
    level
        Quantile at which every limit is sized, as :func:`capmodel.capacity.risk.union_level` gives.

    Examples
    --------
    The largest of 99 draws is exceeded by a new one with probability 1/100, not 0:

    >>> left_out_risk(np.arange(100.0)[None, None, :], np.ones(1), level=1.0)
    0.01
    """
    needs, weights = _checked(needs, weights)
    share = _least_share_above(needs, weights)
    hit = share <= 1 - level + _NOISE
    return float(weights @ hit.mean(axis=1))


def left_out_level(needs: np.ndarray, weights: np.ndarray, risk: float) -> LeftOutLevel:
    """Return the lowest common level at which a new season exceeds any limit within the risk.

    As :func:`capmodel.capacity.risk.union_level`, with each path's rank taken among the other
    draws. One limit and n equal draws: the k-th largest with the largest ``k <= risk * n``.

    Parameters
    ----------
    needs, weights
        As :func:`left_out_risk` takes them.
    risk
        Accepted probability of the union.

    Returns
    -------
    LeftOutLevel
        With ``kept=False`` and level 1 where the draws are too few for so many limits.

    Examples
    --------
    >>> found = left_out_level(np.arange(100.0)[None, None, :], np.ones(1), risk=0.02)
    >>> found.p_any, found.kept, 0.98 < found.level < 0.99
    (0.02, True, True)
    """
    needs, weights = _checked(needs, weights, risk)
    share = _least_share_above(needs, weights)
    allowed = _largest_share(share, weights, risk)
    if allowed is None:
        records = float(weights @ (share <= 0).mean(axis=1))
        return LeftOutLevel(level=1.0, p_any=records, kept=False)
    p_any = float(weights @ (share <= allowed).mean(axis=1))
    return LeftOutLevel(level=float(max(1 - allowed, 1 - risk)), p_any=p_any, kept=True)


def _least_share_above(needs: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return each path's smallest share of other draws at or above it, over limits, (S, D)."""
    least = np.ones(needs.shape[1:])
    for need in needs:
        np.minimum(least, _share_above(need, weights), out=least)
    return least


def _share_above(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the share of the weight of other draws at or above each path's value, shape (S, D).

    0 for a record, and for a single draw, which nothing else can judge.
    """
    scenarios, draws = values.shape
    if draws == 1:
        return np.zeros(values.shape)
    order = np.argsort(values, axis=None, kind="stable")
    ranked = values.ravel()[order]
    above = np.cumsum(np.repeat(weights / draws, draws)[order][::-1])[::-1]
    above = np.append(above, 0.0)
    total = above[np.searchsorted(ranked, values, side="left")]
    own = np.zeros(values.shape)
    for other in range(scenarios):
        own += np.where(values[other] >= values, weights[other] / draws, 0.0)
    share = (total - own) / (1 - 1 / draws)
    return np.asarray(np.where(share < _NOISE, 0.0, share))


def _largest_share(share: np.ndarray, weights: np.ndarray, risk: float) -> float | None:
    """Return the largest share such that paths at or below it weigh at most the risk.

    None where the paths of share 0 weigh more. Halfway between two shares that occur.
    """
    draws = share.shape[1]
    order = np.argsort(share, axis=None, kind="stable")
    ranked = share.ravel()[order]
    reached = np.cumsum(np.repeat(weights / draws, draws)[order])
    over = ranked[reached > risk + _NOISE]
    if over.size == 0 or over[0] <= 0:
        return None if over.size else float(ranked[-1])
    lower = ranked[ranked < over[0] - _NOISE]
    if lower.size:
        return float((lower[-1] + over[0]) / 2)
    return float(over[0] / 2)


@dataclass(frozen=True, slots=True)
class _Tail:
    """One limit's need: its draws up to P95, an exponential tail above."""

    values: np.ndarray
    """Sorted values, infinite ones included, shape (n,)."""
    above: np.ndarray
    """Weight strictly above each of them, shape (n,)."""
    start: float
    """Where the tail begins: the smallest value with at most `TAIL` of the weight above it."""
    excess: float
    """Mean excess of the finite values above the start."""

    def score(self, x: np.ndarray) -> np.ndarray:
        """Return ``log(TAIL / exceedance(x))``, increasing in x, inf where x is.

        The exceedance counts equal needs too: x is above a size exactly when the size is at most
        the next smaller value, above which they all lie.
        """
        at = np.searchsorted(self.values, x, side="left") - 1
        share = np.where(at < 0, 1.0, self.above[np.maximum(at, 0)])
        body = -np.log(np.maximum(share, TAIL) / TAIL)
        if not np.isfinite(self.start):
            return np.asarray(np.where(np.isinf(x), np.inf, body))
        over = x > self.start
        rise = np.where(over & np.isfinite(x), x - self.start, 0.0)
        tail = rise / self.excess if self.excess > 0 else np.where(over, np.inf, 0.0)
        return np.asarray(np.where(over, np.where(np.isinf(x), np.inf, tail), body))

    def size(self, score: float) -> float:
        """Return the largest value with at most that score: what is above it has a larger one."""
        if score >= 0 or not np.isfinite(self.start):
            return self.start + max(score, 0.0) * self.excess
        within = self.score(self.values) <= score + _NOISE
        return float(self.values[within].max(initial=self.values[0]))


def _tail(need: np.ndarray, weights: np.ndarray) -> _Tail:
    """Fit the tail of one limit's need, shape (S, D)."""
    draws = need.shape[1]
    each = np.repeat(weights / draws, draws)
    order = np.argsort(need, axis=None)  # of equal needs any may come first
    values, each = need.ravel()[order], each[order]
    last = np.searchsorted(values, values, side="right")
    above = 1.0 - np.cumsum(each)[last - 1]
    start = float(values[np.argmax(above <= TAIL + _NOISE)])
    over = (values > start) & np.isfinite(values) & (each > 0)
    excess = float(np.average(values[over] - start, weights=each[over])) if over.any() else 0.0
    return _Tail(values=values, above=above, start=start, excess=excess)


def union_sizes(needs: np.ndarray, weights: np.ndarray, risk: float) -> UnionSizes:
    """Return the sizes at one common share of risk that a new season exceeds within the risk.

    Formula: with G_l the exceedance of limit l (draws up to P95, above it
    ``0.05 * exp(-(x - P95) / mean excess)``), the score of a path is the largest
    ``log(0.05 / G_l(need_l))`` over the limits; its threshold z is the order statistic that a new
    path exceeds with probability at most the risk; sizes are ``G_l^-1(0.05 * exp(-z))``. A wrong
    tail shifts risk between limits, not their union. Where the draws are too few for the order
    statistic (``draws < 1 / risk``), the scores' own tail continues it.

    Parameters
    ----------
    needs
        Season's need of each limit, shape (L, S, D) [any unit per limit]; inf where no number of
        units suffices. Such paths are exceeded at any size and use up risk; a limit whose own
        weight of them is above the risk has no size and is left out of the union of the others.
    weights
        Probability of each scenario, shape (S,).
    risk
        Accepted probability of the union.

    Returns
    -------
    UnionSizes
        Below `FEWEST_DRAWS` draws the largest of them, with the p_any of that.

    Examples
    --------
    Sixty independent needs, 1,000 draws: sized where a new season exceeds any with 2 %.

    >>> draws = np.random.default_rng(0).standard_normal((60, 1, 1000))
    >>> found = union_sizes(draws, np.ones(1), risk=0.02)
    >>> later = np.random.default_rng(1).standard_normal((60, 10_000))
    >>> bool((later > found.sizes[:, None]).any(axis=0).mean() < 0.025)
    True
    """
    needs, weights = _checked(needs, weights, risk)
    infeasible = np.array([float(weights @ np.isinf(need).mean(axis=1)) for need in needs])
    if needs.shape[2] < FEWEST_DRAWS:
        return _few_draws(needs, weights, infeasible)
    held = np.flatnonzero(infeasible <= risk + _NOISE)
    sizes = np.full(len(needs), np.inf)
    if held.size == 0:
        return UnionSizes(sizes, 0.0, 1.0, np.zeros(len(needs), dtype=bool), infeasible)
    kept = needs[held]
    score = _scores(kept, weights, risk)
    z, p_any = _threshold(score, weights, risk)
    sizes[held] = [_tail(need, weights).size(z) for need in kept]
    largest = np.array([_largest_finite(need, weights) for need in needs])
    return UnionSizes(
        sizes=sizes,
        alpha=float(TAIL * np.exp(-z)),
        p_any=p_any,
        beyond=np.isfinite(sizes) & (sizes > largest),
        infeasible=infeasible,
    )


def _largest_finite(need: np.ndarray, weights: np.ndarray) -> float:
    finite = need[weights > 0][np.isfinite(need[weights > 0])]
    return float(finite.max()) if finite.size else np.inf


def _scores(needs: np.ndarray, weights: np.ndarray, risk: float) -> np.ndarray:
    """Return each path's largest score over the limits, by tails of the other folds, (S, D)."""
    scenarios, draws = needs.shape[1:]
    fold = np.tile(np.arange(draws) % FOLDS, scenarios)
    others = 1.0 - np.bincount(fold[:draws], minlength=FOLDS) / draws
    each = np.repeat(weights / draws, draws)
    score = np.full(scenarios * draws, math.log(TAIL))
    for need in needs:
        flat = need.ravel()
        order = np.argsort(flat)
        # The threshold lies among the paths of the risk: what is far below needs no score.
        from_top = np.cumsum(each[order][::-1])[::-1]
        top = order[from_top <= max(4 * TAIL, 2 * risk) + _NOISE]
        if top.size:
            found = _fold_scores(flat[top], each[top], fold[top], others)
            score[top] = np.maximum(score[top], found)
    return score.reshape(scenarios, draws)


def _fold_scores(
    values: np.ndarray, each: np.ndarray, fold: np.ndarray, others: np.ndarray
) -> np.ndarray:
    """Return the scores of one limit's largest paths, each by the tail of the other folds.

    What :class:`_Tail` says when it is fitted without a fold, for all folds from one sorting.

    Parameters
    ----------
    values
        The largest needs, sorted, shape (P,).
    each, fold
        Weight and fold of each of these paths, shape (P,).
    others
        Weight outside each fold, of all paths, shape (FOLDS,).
    """
    outside = (each / others[:, None]) * (fold != np.arange(FOLDS)[:, None])
    after = np.searchsorted(values, values, side="right")
    from_top = np.zeros((FOLDS, len(values) + 1))
    from_top[:, :-1] = np.cumsum(outside[:, ::-1], axis=1)[:, ::-1]
    above = from_top[:, after]
    reached = from_top[:, np.searchsorted(values, values, side="left")]
    begins = (above <= TAIL + _NOISE).argmax(axis=1)
    start = values[begins]
    finite = np.isfinite(values)
    kept = outside * (np.arange(len(values)) >= after[begins][:, None]) * finite
    mass = kept.sum(axis=1)
    mean = np.divide(kept @ np.where(finite, values, 0.0), mass, out=start.copy(), where=mass > 0)
    excess = np.zeros(FOLDS)
    np.subtract(mean, start, out=excess, where=mass > 0)
    return _scored(values, fold, reached, start, excess)


def _scored(
    values: np.ndarray,
    part: np.ndarray,
    reached: np.ndarray,
    start: np.ndarray,
    excess: np.ndarray,
) -> np.ndarray:
    """Return :meth:`_Tail.score` of sorted values, each by the tail of its fold, shape (P,).

    `reached` is the weight at or above each value, by fold, shape (FOLDS, P).
    """
    share = reached[part, np.arange(len(values))]
    body = -np.log(np.maximum(share, TAIL) / TAIL)
    own_start, own_excess = start[part], excess[part]
    infinite = np.isinf(values)
    over = (values > own_start) & np.isfinite(own_start)
    rise = np.where(over & ~infinite, values - np.where(over, own_start, 0.0), 0.0)
    tail = np.divide(
        rise, own_excess, out=np.full(len(values), np.inf), where=over & (own_excess > 0)
    )
    return np.where(infinite, np.inf, np.where(over, tail, body))


def _threshold(score: np.ndarray, weights: np.ndarray, risk: float) -> tuple[float, float]:
    """Return the threshold that a new path's score exceeds within the risk, and how often."""
    share = _share_above(score, weights)
    allowed = _largest_share(share, weights, risk)
    tail = _tail(score, weights)
    if allowed is not None:
        z = float(tail.values[np.argmax(tail.above <= allowed + _NOISE)])
        if np.isfinite(z):
            return z, float(weights @ (share <= allowed).mean(axis=1))
    never = float(weights @ np.isinf(score).mean(axis=1))
    finite = score[(weights > 0)[:, None] & np.isfinite(score)]
    largest = float(finite.max()) if finite.size else 0.0
    z = tail.size(float(np.log(TAIL / risk))) if never <= risk else largest
    return (max(z, largest) if np.isfinite(z) else largest), max(risk, never)


def _few_draws(needs: np.ndarray, weights: np.ndarray, infeasible: np.ndarray) -> UnionSizes:
    """Return the largest draws as sizes, with what a new season makes of them."""
    return UnionSizes(
        sizes=needs[:, weights > 0].max(axis=(1, 2)),
        alpha=0.0,
        p_any=left_out_risk(needs, weights, 1.0),
        beyond=np.zeros(len(needs), dtype=bool),
        infeasible=infeasible,
    )


def _checked(
    needs: np.ndarray, weights: np.ndarray, risk: float = 0.5
) -> tuple[np.ndarray, np.ndarray]:
    """Return needs and weights as arrays, or raise what is wrong with them."""
    needs, weights = np.asarray(needs, dtype=np.float64), np.asarray(weights, dtype=np.float64)
    problems = []
    if needs.ndim != _AXES or 0 in needs.shape or np.isnan(needs).any():
        problems.append(
            Problem(
                where="needs",
                got=f"shape {needs.shape}, {int(np.isnan(needs).sum())} NaN",
                expected="shape (limits, scenarios, draws), none empty, no NaN",
                do="Leave out limits without evidence; write inf where no size suffices.",
            )
        )
    if needs.ndim == _AXES:
        problems += weight_problems(weights, needs.shape[1])
    if not 0 < risk < 1:
        problems.append(
            Problem(
                where="risk",
                got=str(risk),
                expected="a probability in (0, 1)",
                do="Write 0.02 for 2 %.",
            )
        )
    if problems:
        raise InputError(problems)
    return needs, weights


def weight_problems(weights: np.ndarray, scenarios: int) -> list[Problem]:
    """Return what is wrong with the probabilities of the scenarios; nothing where they sum to 1."""
    shaped = weights.shape == (scenarios,)
    if shaped and (weights >= 0).all() and abs(weights.sum() - 1) <= _UNSUMMED:
        return []
    return [
        Problem(
            where="weights",
            got=f"{weights.tolist()}, sum {weights.sum():g}",
            expected=f"probabilities of {scenarios} scenarios that sum to 1",
            do="Give one per scenario.",
        )
    ]
