"""Steps towards a robust line: reweighted or Newton, on the normal equations where these are safe.

This module answers: which coefficients balance weighted residuals, quickly? It works on arrays.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, Protocol

import numpy as np
from scipy.optimize import nnls as _scipy_nnls

__all__ = [
    "MAD_TO_SD",
    "ROUNDING",
    "Loss",
    "Pull",
    "Residuals",
    "Rows",
    "Solution",
    "gram",
    "median",
    "nnls",
    "scaled_mad",
    "stride",
]

MAD_TO_SD: Final = 1.482602218505602
"""Median absolute deviation to standard deviation at the normal: 1/Φ⁻¹(3/4)."""

ROUNDING: Final = 1e-9
"""Residuals below this are no outliers, even where most rows are fitted exactly (scale 0)."""

_FLOOR: Final = 0.01
"""Relative weights stop growing below this share of the mean fitted value."""

_WORST: Final = 1e-11
"""Normal equations whose extreme eigenvalues (columns of unit length) differ more are not used."""

_CONTRACTS: Final = 0.5
"""A step that moved more than this share of the one before is not followed by a Newton step."""

_NEAR: Final = 0.1
"""A line that moved by less than this many standard deviations is near enough for Newton steps."""

_JUMP: Final = 0.5
"""Where rows at a limit change places with others, a line jumps by about this [scale/rows]."""

_START_ROWS: Final = 2000
"""Rows of the stride through a long series that the first steps are taken on."""

_START_TOLERANCE: Final = 1e-3

_START_STEPS: Final = 20


def scaled_mad(
    values: np.ndarray, *, center: float | None = 0.0, weight: np.ndarray | None = None
) -> float:
    """Return ``1.4826 · median|values − center|``; ``center=None`` takes the median.

    With `weight`, medians are weighted: a weight of 2 counts as two values.

    Examples
    --------
    >>> scaled_mad(np.array([-1.0, 0.0, 1.0, 50.0]))
    1.482602218505602
    """
    middle = median(values, weight) if center is None else center
    size = np.abs(values - middle) if middle else np.abs(values)
    return MAD_TO_SD * median(size, weight)


def median(values: np.ndarray, weight: np.ndarray | None) -> float:
    """Return the median; with `weight` (T,), a weight of 2 counts as two values."""
    if weight is None:
        half = len(values) // 2
        part = np.partition(values, half)
        if len(values) % 2:
            return float(part[half])
        return float((part[:half].max() + part[half]) / 2)
    order = np.argsort(values)
    reached = np.cumsum(weight[order])
    sides = (np.searchsorted(reached, reached[-1] / 2, side=side) for side in ("left", "right"))
    return float(np.mean([values[order[min(at, len(values) - 1)]] for at in sides]))


def nnls(design: np.ndarray, target: np.ndarray, *, nonnegative: bool = True) -> np.ndarray:
    """Return the least-squares coefficients, non-negative unless told otherwise.

    The tall system is reduced to K + 1 rows by one QR factorisation, whose residual sum differs
    from the full one by a constant; columns are scaled to unit length first. So the active-set
    steps (Lawson & Hanson 1974, chapter 23) do not touch the data again.

    Parameters
    ----------
    design
        Regressors, shape (T, K).
    target
        Response, shape (T,).
    nonnegative
        False solves the ordinary problem.

    Returns
    -------
    numpy.ndarray
        Coefficients, shape (K,); 0 for a column of zeros.

    Examples
    --------
    >>> nnls(np.array([[1.0, 0.0], [1.0, 1.0], [1.0, 2.0]]), np.array([3.0, 2.0, 1.0])).round(12)
    array([2., 0.])
    """
    length = np.linalg.norm(design, axis=0)
    used = length > 0
    value = np.zeros(design.shape[1])
    if not used.any():
        return value
    scaled = design[:, used] / length[used]
    # mode "r" returns the array alone, whatever the stubs say.
    triangle = np.asarray(np.linalg.qr(np.column_stack([scaled, target]), mode="r"))
    left, right = triangle[:, :-1], triangle[:, -1]
    if nonnegative:
        solution = _scipy_nnls(left, right)[0]
    else:
        solution = np.linalg.lstsq(left, right, rcond=None)[0]
    value[used] = solution / length[used]
    return value


def gram(columns: np.ndarray, weight: np.ndarray | None = None) -> np.ndarray:
    """Return ``Σ w x xᵀ`` of columns (K, T), shape (K, K)."""
    weighted = columns if weight is None else columns * weight
    half = np.zeros((len(columns), len(columns)))
    # One product per column: for few long columns that is faster than one product of both.
    for k, column in enumerate(weighted):
        half[k, : k + 1] = columns[: k + 1] @ column
    return np.asarray(half + np.tril(half, -1).T)


@dataclass(frozen=True, slots=True, eq=False)
class Residuals:
    """Fitted values, what residuals are divided by, and the divided residuals, all (T,)."""

    fitted: np.ndarray
    divisor: np.ndarray
    residual: np.ndarray


@dataclass(frozen=True, slots=True, eq=False)
class Pull:
    """What rows do to a line, all (T,) in units of divided residuals.

    ``score`` is ψ(r), ``weight`` in [0, 1] what a reweighted step takes (ψ(r)/r), ``slope`` is
    ψ'(r); ``scale`` that of the residuals, ``cut`` where ψ bends (Huber) or ends in 0 (bisquare).
    """

    score: np.ndarray
    weight: np.ndarray
    slope: np.ndarray
    scale: float
    cut: float


class Loss(Protocol):
    """Turns residuals into what they do to the line."""

    def pull(self, at: Residuals) -> Pull:
        """Return what every row does."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Solution:
    """Where the steps ended, how many there were, and whether the last one settled it."""

    value: np.ndarray
    steps: int
    converged: bool


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """One problem: loads by column (K, T), usage (T,), and how to iterate on them.

    ``at_limit`` and ``row_weight`` (T,) or None; ``spread`` (T,) how wide residuals are where rows
    stand at a limit, 1 elsewhere; ``prior`` and ``prior_precision`` (K,), the latter
    0 where there is no prior.
    """

    columns: np.ndarray
    y: np.ndarray
    relative: bool
    nonnegative: bool
    max_iterations: int
    tolerance: float
    at_limit: np.ndarray | None
    spread: np.ndarray
    row_weight: np.ndarray | None
    prior: np.ndarray
    prior_precision: np.ndarray

    def at(self, value: np.ndarray) -> Residuals:
        """Return fitted values, divisors and divided residuals of a line."""
        fitted = value @ self.columns
        if not self.relative:
            return Residuals(fitted, np.ones_like(fitted), self.y - fitted)
        if self.row_weight is None:
            mean = float(np.mean(np.abs(fitted)))
        else:
            mean = float(np.average(np.abs(fitted), weights=self.row_weight))
        divisor = np.maximum(fitted, _FLOOR * mean if mean > 0 else 1.0)
        return Residuals(fitted, divisor, (self.y - fitted) / divisor)

    def start(self, loss: Callable[[Rows], Loss]) -> tuple[np.ndarray, bool]:
        """Return a line, and whether it is near: that of a stride through the rows, if many.

        ψ is monotone for the losses this is used with, so the start decides nothing but time.
        """
        step = stride(len(self.y), _START_ROWS)
        part = slice(None, None, step)
        few = replace(
            self,
            columns=np.ascontiguousarray(self.columns[:, part]),
            y=self.y[part],
            at_limit=None if self.at_limit is None else self.at_limit[part],
            spread=self.spread[part],
            row_weight=None if self.row_weight is None else self.row_weight[part],
            tolerance=_START_TOLERANCE,
            max_iterations=_START_STEPS,
        )
        root = 1.0 if few.row_weight is None else np.sqrt(few.row_weight)
        value = nnls((few.columns * root).T, few.y * root, nonnegative=self.nonnegative)
        if step == 1:
            return value, False
        return few.iterate(value, loss(few), newton=False).value, True

    def iterate(self, value: np.ndarray, loss: Loss, *, newton: bool) -> Solution:
        """Step until what is left to move is below the tolerance of the largest contribution.

        Newton steps near the solution (`newton`: from the start), reweighted ones, which always
        descend, elsewhere. What a step leaves is judged by how much the steps shrink.
        """
        length = np.sqrt(np.mean(self.columns**2, axis=1))
        before = np.inf
        for step in range(1, self.max_iterations + 1):
            at = self.at(value)
            pull = loss.pull(at)
            new = self._step(value, at, pull, newton=newton)
            largest = max(float(np.max(np.abs(new) * length)), np.finfo(float).tiny)
            with np.errstate(over="ignore"):  # from a line to none at all
                moved = float(np.max(np.abs(new - value) * length) / largest)
            value = new
            shrinks = moved / before if step > 1 and moved < before else 1.0
            scale = pull.scale / (1.0 if self.relative else largest)
            jump = 0.0 if self.at_limit is None else _JUMP * scale / len(self.y)
            if moved * shrinks <= max(self.tolerance, jump):
                return Solution(value, step, converged=True)
            newton = moved <= min(_CONTRACTS * before, _NEAR * scale)
            before = moved
        return Solution(value, self.max_iterations, converged=False)

    def _step(self, value: np.ndarray, at: Residuals, pull: Pull, *, newton: bool) -> np.ndarray:
        precision = max(pull.scale, ROUNDING) ** 2 * self.prior_precision
        inverse = 1 / at.divisor
        weighted = inverse if self.row_weight is None else inverse * self.row_weight
        force = self.columns @ (pull.score * weighted) - precision * (value - self.prior)
        for bend in (self._bend(at, pull), pull.weight) if newton else (pull.weight,):
            curvature = gram(self.columns, bend * inverse * weighted)
            curvature.flat[:: len(value) + 1] += precision
            new = _solve(value, curvature, force, nonnegative=self.nonnegative)
            if new is not None:
                return new
        # The pseudo-target puts score/weight above the line, so any least squares will do.
        root = np.sqrt(np.maximum(pull.weight, 1e-12) * inverse * weighted)
        target = at.fitted + pull.score / np.maximum(pull.weight, 1e-12) * at.divisor
        design = np.vstack([(self.columns * root).T, np.diag(np.sqrt(precision))])
        right = np.concatenate([target * root, np.sqrt(precision) * self.prior])
        return nnls(design, right, nonnegative=self.nonnegative)

    def _bend(self, at: Residuals, pull: Pull) -> np.ndarray:
        # d/dβ of ψ((y − ŷ)/ŷ)/ŷ: the divisor follows the line too.
        if not self.relative:
            return pull.slope
        return np.asarray(pull.slope * (1 + at.residual) + pull.score)


def _solve(
    value: np.ndarray, curvature: np.ndarray, force: np.ndarray, *, nonnegative: bool
) -> np.ndarray | None:
    """Return where ``½ δᵀAδ − fᵀδ`` is least from `value`; None where A is no safe curvature."""
    diagonal = np.diag(curvature)
    if diagonal.min() < 0:
        return None
    used = diagonal > 0
    new = np.zeros_like(value)
    if not used.any():
        return new
    length = np.sqrt(diagonal[used])
    scaled = curvature[np.ix_(used, used)] / np.outer(length, length)
    spread = np.linalg.eigvalsh(scaled)
    if not spread[0] > _WORST * spread[-1]:
        return None
    # Unused columns go to 0 without moving the others: their curvature is 0.
    old, right = value[used] * length, force[used] / length
    moved = old + np.linalg.solve(scaled, right)
    if nonnegative and moved.min() < 0:
        triangle = np.linalg.cholesky(scaled)
        goal = np.linalg.solve(triangle, scaled @ old + right)
        free = _scipy_nnls(triangle.T, goal)[0] > 0
        # Solved again as a step from `value`: rounding then is that of the step, not of the value.
        moved = np.where(free, old, 0.0)
        push = right + scaled @ (old - moved)
        moved[free] += np.linalg.solve(scaled[np.ix_(free, free)], push[free])
        moved = np.maximum(moved, 0.0)
    new[used] = moved / length
    return new


def stride(rows: int, wanted: int) -> int:
    """Return a step through `rows` rows that leaves about `wanted` of them.

    It is coprime to 60, 24 and 168: every minute, hour and hour of the week stays represented.

    Examples
    --------
    >>> stride(20160, 2000), stride(3000, 2000)
    (11, 1)
    """
    step = max(rows // wanted, 1)
    while step > 1 and any(step % prime == 0 for prime in (2, 3, 5, 7)):
        step += 1
    return step
