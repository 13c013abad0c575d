"""Lines of usage with one bend in load per pod.

This module answers: where does a request begin to cost more, or less, and what does it cost beyond?
It works on arrays.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from capmodel.regression import RobustFit, mm_nnls

__all__ = [
    "TOP_ROWS",
    "HingeFit",
    "Scan",
    "candidate_knees",
    "convex_fit",
    "fit_hinge",
    "hinge_column",
]

TOP_ROWS: Final = 20
"""Fewest rows on either side of a knee."""

_RANGE: Final = 1.1
"""Load per pod that varies by less than this factor (95th to 5th percentile) shows no bend."""

_ROUNDING: Final = 1e-9
"""Squares below this share are rounding."""


@dataclass(frozen=True, slots=True, eq=False)
class HingeFit:
    """A line with one bend: ``usage = design · b + extra · max(rps − knee·pods, 0)``.

    ``knee`` [1/s per pod] is NaN where no bend improves the line (``extra`` is then 0), ``value``
    (K + 1,) are the coefficients, the extra slope last. ``fit`` is the robust fit behind them and
    ``columns`` (T, K + 1) its loads, the last one the hinge times ``sign``; without a bend it is
    the straight line, on K columns.
    """

    knee: float
    value: np.ndarray
    sign: int
    columns: np.ndarray
    fit: RobustFit


def hinge_column(rps: np.ndarray, pods: np.ndarray | None, knee: float) -> np.ndarray:
    """Return the load beyond the knee, ``max(rps − knee·pods, 0)`` [1/s], shape (T,).

    Homogeneous: twice the requests on twice the pods have twice the load beyond the knee.

    Parameters
    ----------
    rps
        All requests [1/s], shape (T,).
    pods
        Pods, shape (T,); None: the knee is in requests of the whole service.
    knee
        Load per pod at the bend [1/s per pod].

    Examples
    --------
    >>> hinge_column(np.array([30.0, 60.0]), np.array([2.0, 2.0]), 20.0)
    array([ 0., 20.])
    """
    return np.maximum(rps - knee * (np.ones_like(rps) if pods is None else pods), 0.0)


def convex_fit(
    design: np.ndarray,
    y: np.ndarray,
    *,
    rps: np.ndarray,
    pods: np.ndarray | None = None,
    line: RobustFit | None = None,
    row_weight: np.ndarray | None = None,
) -> HingeFit:
    """Fit a line that may only bend upward: :func:`fit_hinge` with an extra slope ≥ 0.

    Use grows with every load then, and beyond the range at the steeper slope.

    Parameters
    ----------
    design, y, rps, pods, line, row_weight
        As for :func:`fit_hinge`.

    Returns
    -------
    HingeFit
        With ``knee`` NaN and the straight line where no upward bend improves it.

    Examples
    --------
    >>> rps = np.linspace(10, 60, 400)
    >>> cores = 0.08 * rps + 0.04 * np.maximum(rps - 40, 0)
    >>> bent = convex_fit(rps[:, None], cores, rps=rps)
    >>> round(bent.knee, 1), bent.value.round(3).tolist()
    (40.0, [0.08, 0.04])
    """
    return fit_hinge(design, y, rps=rps, pods=pods, sign=1, line=line, row_weight=row_weight)


def fit_hinge(  # noqa: PLR0913  each argument is one documented choice
    design: np.ndarray,
    y: np.ndarray,
    *,
    rps: np.ndarray,
    pods: np.ndarray | None = None,
    sign: Literal[-1, 0, 1] = 0,
    line: RobustFit | None = None,
    row_weight: np.ndarray | None = None,
) -> HingeFit:
    """Fit a line with one bend in load per pod, robustly, at the knee that improves it most.

    Coefficients of `design` are non-negative and the extra slope has the given sign; the robust
    line is :func:`capmodel.regression.mm_nnls`. The knee is the one on a grid (percentiles and
    equal steps of load per pod) whose hinge takes most of the weighted squares of the straight
    line's relative residuals, then once more with the weights of the bent line on a finer grid.

    Parameters
    ----------
    design
        Loads, shape (T, K).
    y
        Usage, shape (T,).
    rps
        All requests [1/s], shape (T,).
    pods
        Pods, shape (T,); None: none counted.
    sign
        1: convex; −1: concave; 0: whichever improves the line more.
    line
        The straight line ``mm_nnls(design, y)`` where it is known already.
    row_weight
        Weight of each row, shape (T,); None: 1 each.

    Returns
    -------
    HingeFit

    References
    ----------
    Hansen, B. E. (2017), Regression kink with an unknown threshold, Journal of Business & Economic
    Statistics 35, 228–240.

    Examples
    --------
    >>> rps = np.linspace(10, 60, 400)
    >>> cores = 0.08 * rps - 0.03 * np.maximum(rps - 30, 0)
    >>> fit_hinge(rps[:, None], cores, rps=rps).value.round(3).tolist()
    [0.08, -0.03]
    """
    counted = np.ones_like(rps) if pods is None else pods
    straight = mm_nnls(design, y, row_weight=row_weight) if line is None else line
    flat = HingeFit(math.nan, np.append(straight.value, 0.0), 1, design, straight)
    found, knees = flat, candidate_knees(rps / counted)
    for _ in range(2):
        scan = Scan.of(rps, counted, knees)
        knee, side = _best_knee(scan, design, y, found.fit, row_weight=row_weight, sign=sign)
        if not side:
            return flat
        columns = np.column_stack([design, side * hinge_column(rps, counted, knee)])
        fit = mm_nnls(columns, y, row_weight=row_weight)
        if not fit.value[-1]:
            return flat
        value = np.append(fit.value[:-1], side * fit.value[-1])
        found = HingeFit(knee, value, side, columns, fit)
        knees = _finer(knees, knee)
    return found


def candidate_knees(load: np.ndarray) -> np.ndarray:
    """Return candidate knees with enough rows on either side, rising; none where load is even.

    Percentiles follow production's rows, equal steps reach into a load test's.
    """
    if len(load) < 4 * TOP_ROWS:
        return np.empty(0)
    ends = TOP_ROWS / len(load)
    low, high, bottom, top = np.quantile(load, [ends, 1 - ends, 0.05, 0.95])
    if top <= _RANGE * bottom:
        return np.empty(0)
    middle = np.quantile(load, np.linspace(0.10, 0.95, 18))
    grid = np.concatenate([middle, np.linspace(low, high, 12)[1:-1]])
    return np.unique(grid[(grid > low) & (grid < high)])


def _finer(knees: np.ndarray, knee: float) -> np.ndarray:
    at = int(np.searchsorted(knees, knee))
    return np.linspace(knees[max(at - 1, 0)], knees[min(at + 1, len(knees) - 1)], 41)


@dataclass(frozen=True, slots=True, eq=False)
class Scan:
    """Every hinge at once: load and pods (T,), knees (M,), how many knees each row is beyond."""

    rps: np.ndarray
    pods: np.ndarray
    knees: np.ndarray
    beyond: np.ndarray

    @classmethod
    def of(cls, rps: np.ndarray, pods: np.ndarray, knees: np.ndarray) -> Scan:
        """Make the scan of rising knees."""
        return cls(rps, pods, knees, np.searchsorted(knees, rps / pods, side="left"))

    def sums(self, factor: np.ndarray, group: np.ndarray | None = None) -> np.ndarray:
        """Return ``Σ factor·hinge`` by group and knee, (G, M), in one pass over the rows."""
        rps, pods = (self._beyond(factor * x, group) for x in (self.rps, self.pods))
        return np.asarray(rps - self.knees * pods)

    def squares(self, factor: np.ndarray) -> np.ndarray:
        """Return ``Σ factor·hinge²`` by knee, (M,)."""
        two = self._beyond(factor * self.rps * self.pods, None)[0]
        one, three = (self._beyond(factor * x**2, None)[0] for x in (self.rps, self.pods))
        return np.asarray(one - 2 * self.knees * two + self.knees**2 * three)

    def _beyond(self, values: np.ndarray, group: np.ndarray | None) -> np.ndarray:
        width = len(self.knees) + 1
        n = 1 if group is None else int(group.max()) + 1
        cell = self.beyond if group is None else group * width + self.beyond
        sums = np.bincount(cell, weights=values, minlength=n * width).reshape(n, width)
        return np.asarray(sums[:, ::-1].cumsum(axis=1)[:, ::-1][:, 1:])


def _best_knee(
    scan: Scan,
    design: np.ndarray,
    y: np.ndarray,
    fit: RobustFit,
    *,
    row_weight: np.ndarray | None,
    sign: int,
) -> tuple[float, int]:
    """Return the knee whose hinge takes most of the weighted squares, and its sign; 0 for none.

    Only columns that the fit uses count: a column at its bound 0 stays there.
    """
    weight = fit.weights if row_weight is None else fit.weights * row_weight
    free = fit.value[: design.shape[1]] > 0
    z = design[:, free] / fit.divisor[:, None]
    target = y / fit.divisor
    gram = np.linalg.pinv(z.T @ (z * weight[:, None]), hermitian=True)
    cross = np.vstack([scan.sums(weight * column / fit.divisor) for column in z.T])
    # Residuals around the columns alone: the fit may hold a hinge already.
    left = target - z @ (gram @ (z.T @ (weight * target)))
    pull = scan.sums(weight * left / fit.divisor)[0]
    square = scan.squares(weight / fit.divisor**2) - np.einsum("km,kl,lm->m", cross, gram, cross)
    least = _ROUNDING * scan.squares(weight / fit.divisor**2)
    gain = np.where(square > least, pull**2 / np.maximum(square, 1e-300), 0.0)
    if sign:
        gain = np.where(sign * pull > 0, gain, 0.0)
    best = int(np.argmax(gain))
    if gain[best] <= _ROUNDING**2 * float(weight @ target**2):
        return math.nan, 0
    return float(scan.knees[best]), int(np.sign(pull[best]))
