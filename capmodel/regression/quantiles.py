"""Quantile regression by linear programming: non-negative lines that do not cross.

This module answers: which lines of load does usage stay below in a share q of intervals? It works
on arrays.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.linalg import block_diag
from scipy.optimize import linprog

from capmodel.errors import InputError, ModelError
from capmodel.regression.steps import nnls

__all__ = ["bootstrap_lines", "check_loss", "quantile_lines", "quantile_nnls"]

_DIRECT_ROWS: Final = 1000
"""Problems up to this size are solved as they are."""

_BAND_ROWS: Final = 200
"""Fewest rows near a line whose side is left to the program to find."""

_SHARES: Final = (0.3, 0.1, 0.05, 0.05)
"""Rows that the check loss is smoothed over, step by step [share]."""

_MANY: Final = 0.5
"""Rows on the wrong side, beyond this share of the free ones, call for a wider band."""

_TOLERANCE: Final = 1e-10
"""Of the solver, on columns and usage scaled to mean 1; its smallest."""


def check_loss(residual: np.ndarray, q: float) -> float:
    """Return ``Σ ρ(u)``, ``ρ(u) = u (q − 1{u < 0})``: what a quantile line minimizes.

    Examples
    --------
    >>> round(check_loss(np.array([-1.0, 2.0]), 0.9), 12)
    1.9
    """
    return float(np.sum(residual * (q - (residual < 0))))


def quantile_nnls(
    design: np.ndarray, y: np.ndarray, *, q: float, nonnegative: bool = True
) -> np.ndarray:
    """Return the coefficients of one quantile line, see :func:`quantile_lines`.

    Parameters
    ----------
    design
        Loads, shape (T, K).
    y
        Usage, shape (T,).
    q
        Level in (0, 1).
    nonnegative
        False solves the ordinary problem.

    Returns
    -------
    numpy.ndarray
        Coefficients, shape (K,).

    Examples
    --------
    >>> rps = np.arange(1.0, 10.0)
    >>> cores = 0.1 * rps
    >>> cores[4] = 7.0  # one wild row moves no median
    >>> quantile_nnls(rps[:, None], cores, q=0.5).round(12).tolist()
    [0.1]
    """
    return np.asarray(quantile_lines(design, y, levels=(q,), nonnegative=nonnegative)[0])


def quantile_lines(
    design: np.ndarray,
    y: np.ndarray,
    *,
    levels: Sequence[float],
    nonnegative: bool = True,
    weights: np.ndarray | None = None,
    near: np.ndarray | None = None,
) -> np.ndarray:
    """Return the lines that leave a share q of rows below, for rising levels q, without crossing.

    Minimizes ``Σ_j Σ_t w_t ρ_j(y_t − x_t b_j)`` over ``b_1 ≥ 0`` and offsets ``b_{j+1} − b_j ≥ 0``.
    Loads are never negative, so ordered coefficients order the lines at every load, seen or not;
    and lines ordered at every load have ordered coefficients.

    Parameters
    ----------
    design
        Loads, shape (T, K).
    y
        Usage, shape (T,).
    levels
        Rising levels in (0, 1), L of them.
    nonnegative
        False leaves the first line free; the offsets stay non-negative.
    weights
        Non-negative weight of each row, shape (T,); None: 1 each.
    near
        Lines that the answer is likely to be near, shape (L, K). They save time and change nothing.

    Returns
    -------
    numpy.ndarray
        Coefficients, shape (L, K); 0 for a column of zeros.

    Raises
    ------
    InputError
        If the levels do not rise within (0, 1).
    ModelError
        If the solver fails, which numbers of one order of magnitude never made it do.

    Notes
    -----
    The dual has one bounded variable per row and few constraints, and HiGHS solves it:
    ``max Σ y a``, ``Xᵀ a ≤ (1 − q) Xᵀ 1``, ``0 ≤ a ≤ 1``; the coefficients are its multipliers.
    Levels are solved one by one; where those lines are ordered they solve the joint problem, as
    it only adds constraints.

    Large problems are reduced without approximation: a row far above a line that is likely near
    (from a sample) gets the linear loss ``q u`` and a row far below ``(q − 1) u``, which fixes its
    a at 1 or 0. Both are lower bounds of ρ, equal to it where the sign is right; so a solution of
    the reduced problem that gives every fixed row its sign solves the whole one. Rows with the
    wrong sign are freed, and the program solved again.

    References
    ----------
    Koenker & Bassett (1978), Econometrica 46, 33–50; Koenker (2005), *Quantile Regression*, section
    6.2 (dual); Portnoy & Koenker (1997), Statistical Science 12, 279–300, section 5
    (preprocessing); Bondell, Reich & Wang (2010), Biometrika 97, 825–838 (non-crossing).

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> rps = rng.uniform(10, 60, 5000)
    >>> cores = 0.085 * rps * np.exp(rng.normal(0, 0.1, 5000))
    >>> lines = quantile_lines(rps[:, None], cores, levels=(0.5, 0.95))
    >>> lines.round(3).tolist()  # 0.085 and 0.085 · exp(0.1645)
    [[0.085], [0.1]]
    """
    if not (levels and min(levels) > 0 and max(levels) < 1 and (np.diff(levels) > 0).all()):
        raise InputError.of(
            "levels",
            got=list(levels),
            expected="rising numbers in (0, 1)",
            do="Write a median and a 95 % line as (0.5, 0.95).",
        )
    rows = np.ones(len(y), dtype=bool) if weights is None else weights > 0
    used = np.any(design[rows] != 0, axis=0)
    lines = np.zeros((len(levels), design.shape[1]))
    if not used.any():
        return lines
    x, target = design[np.ix_(rows, used)], y[rows]
    units = np.abs(x).mean(axis=0) / (float(np.abs(target).mean()) or 1.0)
    problem = _Problem(
        x=x / np.abs(x).mean(axis=0),
        y=target / (float(np.abs(target).mean()) or 1.0),
        weights=np.ones(len(target)) if weights is None else weights[rows],
        nonnegative=nonnegative,
    )
    guess = None if near is None else near[:, used] * units
    lines[:, used] = _lines(problem, tuple(levels), guess) / units
    return lines


@dataclass(frozen=True, slots=True, eq=False)
class _Problem:
    """Rows with columns and usage scaled to mean 1: (T, K), (T,), weights (T,)."""

    x: np.ndarray
    y: np.ndarray
    weights: np.ndarray
    nonnegative: bool

    def sample(self, rows: np.ndarray) -> _Problem:
        return _Problem(self.x[rows], self.y[rows], self.weights[rows], self.nonnegative)


def _lines(problem: _Problem, levels: tuple[float, ...], near: np.ndarray | None) -> np.ndarray:
    each = [
        _solve(problem, (q,), None if near is None else near[[j]]) for j, q in enumerate(levels)
    ]
    lines = np.concatenate(each)
    if (np.diff(lines, axis=0) >= 0).all():
        return lines
    return _solve(problem, levels, np.maximum.accumulate(lines, axis=0))


def _solve(problem: _Problem, levels: tuple[float, ...], near: np.ndarray | None) -> np.ndarray:
    """Return the lines (L, K): the whole program, or reduced ones until every sign is right."""
    rows, columns = problem.x.shape
    if rows * len(levels) <= _DIRECT_ROWS:
        return _whole(problem, levels)
    if near is None:
        # Any sample will do, the result does not depend on it; the same one on every run.
        some = np.random.default_rng(0).choice(rows, _DIRECT_ROWS // 2, replace=False)
        near = _whole(problem.sample(some), levels)
    if problem.nonnegative or len(levels) == 1:
        near = _sharpened(problem, levels, near)
    residual = problem.y - near @ problem.x.T
    size = max(int((columns * rows) ** (2 / 3)) // 4, _BAND_ROWS)
    while size < rows:
        lines = _free_until_right(problem, levels, _nearest(problem, residual, size), residual > 0)
        if lines is not None:
            return lines
        size *= 2
    return _whole(problem, levels)


def _whole(problem: _Problem, levels: tuple[float, ...]) -> np.ndarray:
    everything = np.ones((len(levels), len(problem.y)), dtype=bool)
    lines = _program(problem, levels, everything, everything)
    if lines is None:
        raise ModelError.of(
            f"quantile lines of {len(problem.y)} rows",
            got="no solution of a program that always has one",
            expected="finite loads and usage",
            do="Look for values that differ by more than ten orders of magnitude.",
        )
    return lines


def _sharpened(problem: _Problem, levels: tuple[float, ...], lines: np.ndarray) -> np.ndarray:
    """Return lines nearer to the answer: Newton steps on ρ smoothed over ever fewer rows.

    He et al. (2023), Journal of Econometrics 232, 367–388, with a uniform kernel; each step is the
    minimum of the local parabola over non-negative offsets.
    """
    columns = lines.shape[1]
    stack = np.kron(np.tril(np.ones((len(levels), len(levels)))), np.eye(columns))
    for share in _SHARES:
        parts = [_parabola(problem, q, b, share) for q, b in zip(levels, lines, strict=True)]
        gradient = stack.T @ np.concatenate([part[0] for part in parts])
        curvature = stack.T @ block_diag(*(part[1] for part in parts)) @ stack
        values, vectors = np.linalg.eigh(curvature)
        if values[0] <= 1e-9 * values[-1]:
            return lines
        offsets = np.diff(lines, axis=0, prepend=np.zeros((1, columns))).ravel()
        root = (vectors * np.sqrt(values)).T
        target = (vectors / np.sqrt(values)).T @ (curvature @ offsets + gradient)
        offsets = nnls(root, target, nonnegative=problem.nonnegative)
        lines = (stack @ offsets).reshape(lines.shape)
    return lines


def _parabola(
    problem: _Problem, q: float, line: np.ndarray, share: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return the descent (K,) and curvature (K, K) of the loss smoothed over a share of rows."""
    residual = problem.y - problem.x @ line
    size = np.abs(residual)
    width = float(np.partition(size, int(share * len(size)))[int(share * len(size))]) or 1.0
    pull = q - np.clip((width - residual) / (2 * width), 0.0, 1.0)
    inside = size < width
    near = problem.x[inside]
    curvature = near.T @ (near * problem.weights[inside, None]) / (2 * width)
    return problem.x.T @ (problem.weights * pull), curvature


def _free_until_right(
    problem: _Problem, levels: tuple[float, ...], free: np.ndarray, above: np.ndarray
) -> np.ndarray | None:
    """Return the lines (L, K) with every fixed row on the side where it was fixed.

    A few rows on the wrong side are freed; many mean that the band is too narrow: None, as where
    the fixed rows leave the program unbounded.
    """
    free = free.copy()
    many = _MANY * int(free.sum())
    while (lines := _program(problem, levels, free, above)) is not None:
        left = problem.y - lines @ problem.x.T
        wrong = ~free & np.where(above, left < 0, left > 0)
        n = int(wrong.sum())
        if not n:
            return lines
        if n > many:
            return None
        free |= wrong
    return None


def _nearest(problem: _Problem, residual: np.ndarray, size: int) -> np.ndarray:
    """Return the `size` rows nearest each line (L, T), in units of its error at the row."""
    rows = residual.shape[1]
    gram = problem.x.T @ problem.x
    leverage = np.einsum("tk,kl,tl->t", problem.x, np.linalg.pinv(gram, hermitian=True), problem.x)
    distance = np.abs(residual) / np.sqrt(np.maximum(leverage, 1e-6 / rows))
    free = np.zeros(residual.shape, dtype=bool)
    np.put_along_axis(free, np.argpartition(distance, size, axis=1)[:, :size], values=True, axis=1)
    return free


def _program(
    problem: _Problem, levels: tuple[float, ...], free: np.ndarray, above: np.ndarray
) -> np.ndarray | None:
    """Return the lines (L, K) by the dual over the free rows (L, T), the others fixed at `above`.

    None where the fixed rows leave the problem unbounded (the dual infeasible).
    """
    wx = problem.x * problem.weights[:, None]
    # Constraint i: the sum over levels j ≥ i, as offset i lifts line i and every one above it.
    right = np.array(
        [
            (1 - q) * wx.sum(axis=0) - wx[is_above & ~is_free].sum(axis=0)
            for q, is_free, is_above in zip(levels, free, above, strict=True)
        ]
    )
    right = np.cumsum(right[::-1], axis=0)[::-1]
    left = np.vstack(
        [
            np.hstack([wx[is_free].T * (j >= i) for j, is_free in enumerate(free)])
            for i in range(len(levels))
        ]
    )
    cost = -np.concatenate([(problem.weights * problem.y)[is_free] for is_free in free])
    bound = np.zeros(len(levels) * wx.shape[1], dtype=bool)
    bound[: wx.shape[1]] = not problem.nonnegative
    result = linprog(
        cost,
        A_ub=left[~bound],
        b_ub=right.ravel()[~bound],
        A_eq=left[bound],
        b_eq=right.ravel()[bound],
        bounds=(0, 1),
        method="highs",
        options={
            "primal_feasibility_tolerance": _TOLERANCE,
            "dual_feasibility_tolerance": _TOLERANCE,
        },
    )
    if not result.success:
        return None
    offsets = np.zeros(right.size)
    offsets[bound] = -result.eqlin.marginals
    offsets[~bound] = np.maximum(-result.ineqlin.marginals, 0.0)
    return np.cumsum(offsets.reshape(right.shape), axis=0)


def bootstrap_lines(  # noqa: PLR0913  each argument is one documented choice
    design: np.ndarray,
    y: np.ndarray,
    lines: np.ndarray,
    *,
    levels: Sequence[float],
    group: np.ndarray,
    draws: int,
    rng: np.random.Generator,
) -> np.ndarray:
    """Return the lines of `draws` histories made of whole groups drawn with replacement.

    Parameters
    ----------
    design, y, levels
        As for :func:`quantile_lines`.
    lines
        Its result, shape (L, K).
    group
        What is drawn as one, by number, shape (T,): the day of each row, so that whatever the rows
        of a day have in common stays together.
    draws
        Number of histories.
    rng
        Source of randomness.

    Returns
    -------
    numpy.ndarray
        Coefficients, shape (draws, L, K).

    References
    ----------
    Künsch (1989), Annals of Statistics 17, 1217–1241 (blocks); Hagemann (2017), JASA 112, 446–456
    (clusters, quantile regression).
    """
    known, which = np.unique(group, return_inverse=True)
    drawn = []
    for _ in range(draws):
        count = np.bincount(rng.integers(0, len(known), len(known)), minlength=len(known))
        drawn.append(quantile_lines(design, y, levels=levels, weights=count[which], near=lines))
    return np.array(drawn).reshape(draws, *lines.shape)
