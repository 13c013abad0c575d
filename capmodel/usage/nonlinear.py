"""Tests for a bend of usage in load.

This module answers: is usage straight in load, and if not, where does it bend and by how much? It
works on arrays.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from scipy.special import stdtrit

from capmodel.regression import RobustFit, group_median, mm_nnls, sandwich_covariance
from capmodel.usage.hinge import TOP_ROWS, HingeFit, Scan, candidate_knees, fit_hinge

__all__ = [
    "MATERIAL",
    "SIGNIFICANT",
    "BendTest",
    "Slope",
    "Verdict",
    "find_bend",
    "independent_groups",
]

SIGNIFICANT: Final = 0.05
"""Probability, under a straight line, of a hinge as clear as one that counts."""

MATERIAL: Final = 0.03
"""Error of the straight line at the largest loads from which a bend counts [share of usage]."""

_FLIPS: Final = 999
"""Random sign changes of the groups' scores."""

_MIN_GROUPS: Final = 6
"""Fewer groups cannot reach 5 %: all signs agree by chance in 2 of 2^groups cases."""

_MIN_DAYS: Final = 8
"""With fewer days, blocks of consecutive rows are what is exchanged."""

_BLOCKS: Final = 32
"""Blocks of consecutive rows, where there are no days."""

_ROUNDING: Final = 1e-9
"""Relative residuals below this are rounding around an exact line."""

Verdict = Literal["straight", "convex", "concave", "untested"]


@dataclass(frozen=True, slots=True)
class Slope:
    """Usage per request with its 95 % interval [unit of usage per 1/s]."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, eq=False)
class BendTest:
    """What :func:`find_bend` found.

    Attributes
    ----------
    verdict
        ``convex`` or ``concave`` where the hinge is significant (5 %) and the straight line errs by
        more than 3 % at the largest loads; ``untested`` where load per pod varies too little, or
        rows come from too few days, to say anything; else ``straight``.
    p_hinge, p_reset
        Probability of a hinge, or of powers of the fitted values, as clear as this under a
        straight line; NaN if untested.
    knee
        Load per pod where the best bend lies [1/s per pod]; NaN without one.
    below, above
        Usage per request at the mix seen, below and above the knee. Their intervals take the knee
        as known.
    excess
        Usage of the bent line over the straight one, the median at the top 1 % of loads per pod (at
        least 20 rows) [ratio]; negative for concave.
    groups
        Days, or blocks of consecutive rows, that count as independent.
    decile_upper, decile_residual
        By decile of fitted usage per pod (that is, of utilization): its upper edge [unit of usage]
        and the median of ``y/ŷ − 1`` around the straight line, shape (10,).
    """

    verdict: Verdict
    p_hinge: float
    p_reset: float
    knee: float
    below: Slope
    above: Slope
    excess: float
    groups: int
    decile_upper: np.ndarray
    decile_residual: np.ndarray

    @property
    def advice(self) -> str:
        """What a plan should do about it, '' for a straight line."""
        if self.verdict == "convex":
            return (
                f"a request costs {self.above.value:.4g} instead of {self.below.value:.4g} beyond "
                f"{self.knee:.4g} requests/s per pod: fit with a convex term, or plan beyond the "
                f"knee at {self.above.high:.4g}; the straight line is {self.excess:.1%} low there"
            )
        if self.verdict == "concave":
            return (
                f"a request costs {self.above.value:.4g} beyond {self.knee:.4g} requests/s per pod "
                f"and {self.below.value:.4g} below: extend usage at the cost of the top, "
                f"{self.above.value:.4g} ({self.above.low:.4g} to {self.above.high:.4g}); the cost "
                "at low load, where requests share less work, does not hold there"
            )
        if self.verdict == "untested":
            return "load per pod varied too little, or over too few days, to see a bend: load-test"
        return ""


def find_bend(  # noqa: PLR0913  each argument is one documented choice
    design: np.ndarray,
    y: np.ndarray,
    *,
    rps: np.ndarray,
    background: np.ndarray,
    pods: np.ndarray | None = None,
    day: np.ndarray | None = None,
    line: RobustFit | None = None,
    row_weight: np.ndarray | None = None,
) -> BendTest:
    """Test whether usage is straight in load, against a bend in load per pod.

    The scores of the straight line, ``ψ(r)·h̃`` for every candidate hinge h (h̃: what the line's
    own columns leave of it), are summed by day. Under a straight line each day's sum is as likely
    to be negative as positive, whatever the correlation within the day; so the largest
    ``|Σ_d s_d| / √(Σ_d s_d²)`` over all knees is held against its values under random sign
    changes of whole days. RESET is the same test with the second and third power of fitted
    usage per pod. A background at its bound 0 counts as a bend too where the rows ask for a
    negative one: no service has that, but a convex one looks so over a narrow range.

    Parameters
    ----------
    design
        Loads, shape (T, K).
    y
        Usage, shape (T,). Rows at a cap are no usage and look concave: leave them out.
    rps
        All requests [1/s], shape (T,).
    background
        Which columns do not follow requests, shape (K,).
    pods
        Pods, shape (T,); None: none counted, load is of the whole service.
    day
        Non-negative day number of each row, shape (T,). None, or fewer than 8 days: 32 blocks of
        consecutive rows take their place.
    line
        The straight line ``mm_nnls(design, y)`` of these rows and columns, where it is known.
    row_weight
        Weight of each row, shape (T,); None: 1 each.

    Returns
    -------
    BendTest

    Notes
    -----
    A load test on a single day cannot prove a bend: that day's conditions may have been its cause.
    Effects that follow the hour (a nightly job) are bends only where load follows the hour too, and
    the bisquare weights leave gross ones out.

    References
    ----------
    Ramsey (1969), Journal of the Royal Statistical Society B 31, 350–371 (RESET); Davies (1987),
    Biometrika 74, 33–43 (supremum over knees); Kline & Santos (2012), Journal of Econometric
    Methods 1, 23–41 (scores); Canay, Romano & Shaikh (2017), Econometrica 85, 1013–1030 (sign
    changes of few clusters).

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> rps = rng.uniform(10, 60, 3000)
    >>> cores = (0.08 * rps + 0.0004 * rps**2) * np.exp(rng.normal(0, 0.05, 3000))
    >>> test = find_bend(rps[:, None], cores, rps=rps, background=np.array([False]))
    >>> test.verdict, test.p_hinge < 0.01
    ('convex', True)
    """
    fit = mm_nnls(design, y, row_weight=row_weight) if line is None else line
    counted = np.ones_like(rps) if pods is None else pods
    group = independent_groups(day, len(y))
    n_groups = int(group.max()) + 1 if len(group) else 0
    upper, residual = _by_decile(y, fit, counted)
    knees = candidate_knees(rps / counted)
    if n_groups < _MIN_GROUPS or not len(knees):
        none = Slope(math.nan, math.nan, math.nan)
        return BendTest(
            "untested", math.nan, math.nan, math.nan, none, none, 0.0, n_groups, upper, residual
        )
    scores = _Scores.of(design, fit, group, row_weight)
    p_hinge = _p_hinge(scores, Scan.of(rps, counted, knees), fit, background)
    p_reset = _p_reset(scores, fit, counted)
    bent = fit_hinge(design, y, rps=rps, pods=counted, line=fit, row_weight=row_weight)
    mix = np.where(background, 0.0, design.sum(axis=0)) / rps.sum()
    below, above = _slopes(bent, y, mix, group, row_weight)
    excess = _excess(bent, fit, rps / counted)
    bends = p_hinge < SIGNIFICANT and abs(excess) > MATERIAL and excess * bent.value[-1] > 0
    verdict: Verdict = "straight" if not bends else ("convex" if excess > 0 else "concave")
    return BendTest(
        verdict, p_hinge, p_reset, bent.knee, below, above, excess, n_groups, upper, residual
    )


def independent_groups(day: np.ndarray | None, rows: int) -> np.ndarray:
    """Return what counts as independent, numbered from 0, shape (T,).

    Days; or, without days or with fewer than eight, 32 blocks of consecutive rows.

    Examples
    --------
    >>> independent_groups(np.repeat(np.arange(3, 12), 2), 18)[:5].tolist()
    [0, 0, 1, 1, 2]
    >>> int(independent_groups(None, 640).max())
    31
    """
    if day is not None:
        known, which = np.unique(day, return_inverse=True)
        if len(known) >= _MIN_DAYS:
            return np.asarray(which)
    return np.arange(rows) * _BLOCKS // max(rows, _BLOCKS)


@dataclass(frozen=True, slots=True, eq=False)
class _Scores:
    """The straight line's scores: z (T, K) of unit length, ψ and ψ' (T,), groups, their sums."""

    z: np.ndarray
    score: np.ndarray
    slope: np.ndarray
    divisor: np.ndarray
    group: np.ndarray
    by_group: np.ndarray
    inverse: np.ndarray

    @classmethod
    def of(
        cls, design: np.ndarray, fit: RobustFit, group: np.ndarray, row_weight: np.ndarray | None
    ) -> _Scores:
        weight = np.ones(len(group)) if row_weight is None else row_weight
        z = design / fit.divisor[:, None]
        length = np.linalg.norm(z, axis=0)
        z /= np.where(length > 0, length, 1.0)
        score = np.where(np.abs(fit.score) > _ROUNDING, weight * fit.score, 0.0)
        slope = weight * fit.slope
        inverse = np.linalg.pinv(z.T @ (z * slope[:, None]), hermitian=True)
        by_group = np.column_stack([np.bincount(group, weights=score * c) for c in z.T])
        return cls(z, score, slope, fit.divisor, group, by_group, np.asarray(inverse))

    def left(self, sums: np.ndarray, cross: np.ndarray) -> np.ndarray:
        """Return group sums (G, M) of directions without what the line's columns explain."""
        return np.asarray(sums - self.by_group @ (self.inverse @ cross))


def _p_hinge(scores: _Scores, scan: Scan, fit: RobustFit, background: np.ndarray) -> float:
    sums = scan.sums(scores.score / scores.divisor, scores.group)
    cross = np.vstack([scan.sums(scores.slope * c / scores.divisor) for c in scores.z.T])
    hinges = scores.left(sums, cross)
    negative = [
        _negative_background(scores, int(k)) for k in np.flatnonzero(background & (fit.value == 0))
    ]
    both = np.column_stack([hinges, -hinges, *negative])
    return _p_largest(both, np.sqrt(np.sum(both**2, axis=0)))


def _negative_background(scores: _Scores, k: int) -> np.ndarray:
    """Return the group sums (G,) that are positive where background k should be negative."""
    others = np.arange(scores.z.shape[1]) != k
    gram = scores.z.T @ (scores.z * scores.slope[:, None])
    share = np.linalg.pinv(gram[np.ix_(others, others)], hermitian=True) @ gram[others, k]
    return np.asarray(scores.by_group[:, others] @ share - scores.by_group[:, k])


def _p_reset(scores: _Scores, fit: RobustFit, pods: np.ndarray) -> float:
    u = fit.fitted / pods
    u = (u - np.median(u)) / max(float(np.ptp(u)), 1e-300)
    powers = np.column_stack([u**2, u**3]) * (pods / fit.divisor)[:, None]
    sums = np.column_stack([np.bincount(scores.group, weights=scores.score * p) for p in powers.T])
    left = scores.left(sums, scores.z.T @ (powers * scores.slope[:, None]))
    # Rotated to uncorrelated sums of unit variance, the statistic is a length.
    values, vectors = np.linalg.eigh(left.T @ left)
    used = values > 1e-12 * max(float(values[-1]), 1e-300)
    rotated = left @ (vectors[:, used] / np.sqrt(values[used]))
    flips = _flips(len(left)) @ rotated
    return _p(float(np.sum(rotated.sum(axis=0) ** 2)), np.sum(flips**2, axis=1))


def _p_largest(sums: np.ndarray, spread: np.ndarray) -> float:
    used = spread > _ROUNDING * float(spread.max())
    if not used.any():
        return 1.0
    unit = sums[:, used] / spread[used]
    return _p(float(unit.sum(axis=0).max()), (_flips(len(sums)) @ unit).max(axis=1))


def _flips(groups: int) -> np.ndarray:
    # The same signs on every run: a finding must not come and go.
    return np.random.default_rng(groups).choice([-1.0, 1.0], size=(_FLIPS, groups))


def _p(found: float, under_flips: np.ndarray) -> float:
    as_large = int(np.count_nonzero(under_flips >= found * (1 - _ROUNDING)))
    return (1 + as_large) / (1 + len(under_flips))


def _slopes(
    bent: HingeFit,
    y: np.ndarray,
    mix: np.ndarray,
    group: np.ndarray,
    row_weight: np.ndarray | None,
) -> tuple[Slope, Slope]:
    """Return usage per request at the mix seen, below and above the knee."""
    combinations = [mix, mix]
    if math.isfinite(bent.knee):
        combinations = [np.append(mix, 0.0), np.append(mix, bent.sign)]
    covariance = sandwich_covariance(bent.columns, y, bent.fit, day=group, row_weight=row_weight)
    spread = float(stdtrit(max(int(group.max()), 1), 0.975))
    slopes = []
    for c in combinations:
        value, half = float(c @ bent.fit.value), spread * math.sqrt(float(c @ covariance @ c))
        slopes.append(Slope(value, value - half, value + half))
    return slopes[0], slopes[1]


def _excess(bent: HingeFit, straight: RobustFit, load: np.ndarray) -> float:
    n = max(len(load) // 100, TOP_ROWS)
    top = np.argpartition(load, -n)[-n:]
    return float(np.median((bent.fit.fitted[top] - straight.fitted[top]) / straight.divisor[top]))


def _by_decile(y: np.ndarray, fit: RobustFit, pods: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    usage = fit.fitted / pods
    upper = np.quantile(usage, np.linspace(0.1, 1.0, 10))
    decile = np.minimum(np.searchsorted(upper, usage, side="left"), 9)
    return upper, group_median((y - fit.fitted) / fit.divisor, decile, 10)
