"""Gaps filled by the fit, outliers pulled in, lower bounds raised to what they stand for.

This module answers: which gap-free series without outliers do the observed hours stand for? The
answer and the fit under the reference configuration depend on each other; both are found together.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from capmodel.demand.design import HOURS, Window, predict, project
from capmodel.demand.systems import Systems
from capmodel.history.arrays import sorted_median
from capmodel.regression import MAD_TO_SD

__all__ = ["Filled", "fill"]

CLIP_AT: Final = 4.0
"""Huber's clip [robust standard deviations]."""
CLIP_FLOOR: Final = 0.02
"""Smallest robust standard deviation of a residual [z], so that noise-free data is not clipped."""
CLIP_PASSES: Final = 2
FEW_GAPS: Final = 0.02
"""Share of gaps above which filling them takes one pass more [ratio]."""
BOUND_PASSES: Final = 6
"""More passes where there are lower bounds: each raises them by a part of what is missing."""
SOLVE_TOLERANCE: Final = 1e-7
SOLVE_STEPS: Final = 60
WEEK: Final = 7
SPARSE_DAYS: Final = 14
SPARSE_GAPS: Final = 0.10
"""Gaps in any fortnight up to which filling them with the last fit converges at once [ratio]."""
SPARSE_EVENT_HOURS: Final = 5
"""The same for the hours of an event day [hours]."""
SAMPLE_EVERY: Final = 11
"""The spread of a long series is taken from every 11th hour: 11 shares no factor with a week."""
SAMPLE_LEAST: Final = 5000


@dataclass(frozen=True, slots=True, eq=False)
class Filled:
    """The series as the fit sees them: gaps filled by the fit, outliers pulled in."""

    z: np.ndarray
    """Shape (N, 24, S), no gaps."""
    spread: np.ndarray
    """Robust standard deviation of the ordinary days' residuals [z], shape (S,)."""
    unsolved: np.ndarray
    """Relative residual of the gap equations at the last step, shape (S,)."""


def fill(systems: Systems, z: np.ndarray, *, censored: np.ndarray | None = None) -> Filled:
    """Fill gaps with the fit and pull outliers toward it, until both agree with the fit.

    Solves ``(X'WX + Lambda) b = X'Wz`` with W zero in gaps, then replaces z by Huber's pseudo-data
    ``fit + clip(z - fit, +-4 s)``, s the residual's scaled median absolute deviation. The hours of
    events are never clipped: their extremes are what the plan is about. Where gaps are sparse the
    equations are solved by filling them with the last fit (each pass shrinks the error to the share
    of gaps); elsewhere by conjugate gradients preconditioned with the factor of the gap-free
    system. A censored hour is a lower bound: it takes its expectation above what was seen,
    ``fit + s * phi(a) / (1 - Phi(a))`` with ``a = (z - fit) / s`` (the E step for a normal).

    Parameters
    ----------
    systems
        N training days, their columns and factors.
    z
        Standardised series with NaN for gaps, shape (N, 24, S).
    censored
        Hours whose value is only a lower bound, shape (N, 24, S) bool; None: there are none.

    References
    ----------
    Huber, P. J. (1964). Robust estimation of a location parameter. Annals of Mathematical
    Statistics 35(1), 73-101.
    Hestenes, M. R., & Stiefel, E. (1952). Methods of conjugate gradients for solving linear
    systems. Journal of Research of the National Bureau of Standards 49(6), 409-436.
    Dempster, A. P., Laird, N. M., & Rubin, D. B. (1977). Maximum likelihood from incomplete data
    via the EM algorithm. Journal of the Royal Statistical Society B 39(1), 1-38, section 4.
    """
    gap = np.isnan(z)
    dense = _dense_gaps(gap, systems.window)
    passes = _passes_needed(gap, dense, censored)
    filled = Filled(z=np.empty_like(z), spread=np.zeros(z.shape[2]), unsolved=np.zeros(z.shape[2]))
    # Series of one route go together; none takes another's: a service does not depend on the rest.
    for is_dense, count in sorted(set(zip(dense.tolist(), passes.tolist(), strict=True))):
        chosen = (dense == is_dense) & (passes == count)
        part = _Part.of(z, gap, censored, chosen)
        solved = _solved_dense(systems, part) if is_dense else _solved_sparse(systems)
        pseudo, filled.spread[chosen] = _passes(systems, part, fit=solved.fit, count=count)
        filled.z[:, :, chosen] = pseudo
        filled.unsolved[chosen] = solved.unsolved
    return filled


@dataclass(frozen=True, slots=True, eq=False)
class _Part:
    """Series that take the same route."""

    z: np.ndarray
    gap: np.ndarray
    censored: np.ndarray | None
    """None where none of them has lower bounds."""

    @classmethod
    def of(
        cls, z: np.ndarray, gap: np.ndarray, censored: np.ndarray | None, chosen: np.ndarray
    ) -> _Part:
        if not chosen.all():
            z, gap = z[:, :, chosen], gap[:, :, chosen]
            censored = None if censored is None else censored[:, :, chosen]
        has_bounds = censored is not None and bool(censored.any())
        return cls(z=z, gap=gap, censored=censored if has_bounds else None)


def _passes_needed(gap: np.ndarray, dense: np.ndarray, censored: np.ndarray | None) -> np.ndarray:
    """Return how many passes each series takes, shape (S,)."""
    share = gap.sum(axis=1, dtype=np.uint8).sum(axis=0, dtype=np.int64) / (len(gap) * HOURS)
    passes = CLIP_PASSES + (dense | (share > FEW_GAPS))
    if censored is not None:
        passes = passes + BOUND_PASSES * censored.any(axis=(0, 1))
    return np.asarray(passes)


def _dense_gaps(gap: np.ndarray, window: Window) -> np.ndarray:
    """Return which series have a fortnight or an event with too many gaps, shape (S,) bool."""
    n = len(gap) // SPARSE_DAYS * SPARSE_DAYS
    by_day = gap.sum(axis=1, dtype=np.uint8)  # eight times less to carry than whole integers
    fortnights = (
        by_day[len(gap) - n :].reshape(-1, SPARSE_DAYS, gap.shape[2]).sum(axis=1, dtype=np.int64)
    )
    dense = (fortnights > SPARSE_GAPS * SPARSE_DAYS * HOURS).any(axis=0)
    dense |= (by_day[~window.ordinary] > SPARSE_EVENT_HOURS).any(axis=0)
    for _, day, start, end in window.windowed:
        missing = gap[day, start:end].sum(axis=0)
        dense |= missing > SPARSE_EVENT_HOURS / HOURS * (end - start)
    return np.asarray(dense)


def _started(z: np.ndarray, gap: np.ndarray, ordinary: np.ndarray) -> np.ndarray:
    """Return the series with gaps started: as a week before, on event days between neighbours.

    A good start saves a pass over the data; and an event's columns rest on its own few days, so a
    start far off would be believed.
    """
    out = np.where(gap, 0, z)
    day, hour, s = np.nonzero(gap)
    week_before = np.where(day >= WEEK, day - WEEK, np.minimum(day + WEEK, len(z) - 1))
    out[day, hour, s] = out[week_before, hour, s]
    events = np.flatnonzero(~ordinary)
    missing = gap[events]
    if missing.any():
        before, after = out[events], out[events]
        for h in range(1, HOURS):
            before[:, h] = np.where(missing[:, h], before[:, h - 1], before[:, h])
            after[:, -1 - h] = np.where(missing[:, -1 - h], after[:, -h], after[:, -1 - h])
        out[events] = np.where(missing, (before + after) / 2, out[events])
    return out


Fit = Callable[[np.ndarray, np.ndarray | None], np.ndarray]
"""Pseudo-data and the last coefficients to the new coefficients."""


@dataclass(frozen=True, slots=True, eq=False)
class _Route:
    """A way to fit series with gaps."""

    fit: Fit
    unsolved: np.ndarray | float
    """Relative residuals of the last fit, shape (S,); 0 where nothing is iterated."""


def _passes(
    systems: Systems, part: _Part, *, fit: Fit, count: int
) -> tuple[np.ndarray, np.ndarray]:
    """Alternate fit and pseudo-data; return the last pseudo-data and the spread."""
    design, rows = systems.window.design, systems.window.rows
    has_gaps = bool(part.gap.any())
    pseudo = _started(part.z, part.gap, systems.window.ordinary) if has_gaps else part.z
    spread = np.zeros(part.z.shape[2])
    beta = None
    for _ in range(count):
        beta = fit(pseudo, beta)
        fitted = predict(design, rows, beta)
        residual = part.z - fitted
        spread = _spread(residual[systems.window.ordinary])
        if has_gaps:
            residual[part.gap] = 0
        pseudo = _pulled_in(systems, residual, spread, part.censored)
        pseudo += fitted
    return np.asarray(pseudo), spread


def _solved_sparse(systems: Systems) -> _Route:
    """Return the fit to series whose gaps hold the last fit."""
    design, rows = systems.window.design, systems.window.rows
    return _Route(
        fit=lambda pseudo, _: systems.reference(project(design, rows, pseudo)), unsolved=0
    )


def _pulled_in(
    systems: Systems, residual: np.ndarray, spread: np.ndarray, censored: np.ndarray | None
) -> np.ndarray:
    """Return the residuals with outliers of ordinary hours pulled in and lower bounds raised."""
    bound = (CLIP_AT * np.maximum(spread, CLIP_FLOOR)).astype(residual.dtype)
    at = None if censored is None else np.nonzero(censored)
    if at is not None:
        scale = np.maximum(spread, CLIP_FLOOR)[at[2]]
        raised = scale * _mean_above(residual[at] / scale)
    window = systems.window
    for first, last in _stretches(window.ordinary):
        np.clip(residual[first:last], -bound, bound, out=residual[first:last])
    for day in np.flatnonzero(~window.ordinary & window.ordinary_hours.any(axis=1)):
        hours = np.flatnonzero(window.ordinary_hours[day])  # around a windowed event
        residual[day, hours] = np.clip(residual[day, hours], -bound, bound)
    if at is not None:
        residual[at] = raised
    return residual


def _mean_above(lowest: np.ndarray) -> np.ndarray:
    """Return the mean of a standard normal variable above a bound, ``phi(a) / (1 - Phi(a))``."""
    from scipy.special import log_ndtr  # noqa: PLC0415  the package loads faster without it

    log_density = -(lowest**2) / 2 - np.log(2 * np.pi) / 2
    return np.asarray(np.exp(log_density - log_ndtr(-lowest)))


def _stretches(mask: np.ndarray) -> list[tuple[int, int]]:
    """Return (first, end) of each run of True."""
    edges = np.flatnonzero(np.diff(np.r_[False, mask, False]))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))


def _spread(residual: np.ndarray) -> np.ndarray:
    """Return ``1.4826 median |r|`` of each series, NaN left out, shape (S,)."""
    flat = residual.reshape(-1, residual.shape[-1])
    if len(flat) > SAMPLE_LEAST:
        flat = flat[::SAMPLE_EVERY]
    return np.asarray(np.nan_to_num(MAD_TO_SD * sorted_median(np.abs(flat), axis=0)), dtype=float)


def _solved_dense(systems: Systems, part: _Part) -> _Route:
    """Return the fit that solves the gap equations themselves, in float64."""
    design, rows = systems.window.design, systems.window.rows
    weight = (~part.gap).astype(float)
    penalty = systems.reference_penalty[:, None]

    def apply(v: np.ndarray) -> np.ndarray:
        return np.asarray(project(design, rows, weight * predict(design, rows, v)) + penalty * v)

    def precondition(v: np.ndarray) -> np.ndarray:
        return systems.reference(v.astype(systems.dtype)).astype(float)

    unsolved = np.zeros(part.z.shape[2])

    def fit(pseudo: np.ndarray, last: np.ndarray | None) -> np.ndarray:
        rhs = project(design, rows, weight * pseudo)
        start = precondition(rhs) if last is None else last
        beta, unsolved[:] = _conjugate_gradients(apply, precondition, rhs=rhs, start=start)
        return beta

    return _Route(fit=fit, unsolved=unsolved)


def _conjugate_gradients(
    apply: Callable[[np.ndarray], np.ndarray],
    precondition: Callable[[np.ndarray], np.ndarray],
    *,
    rhs: np.ndarray,
    start: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Solve many positive definite systems at once; return the solutions and relative residuals.

    Preconditioned conjugate gradients (Hestenes & Stiefel 1952), each column with its own steps;
    a column that has converged stands still.
    """
    x = start.copy()
    residual = rhs - apply(x)
    scaled = precondition(residual)
    power = (residual * scaled).sum(axis=0)
    goal = np.maximum((rhs * precondition(rhs)).sum(axis=0), np.finfo(float).tiny)
    direction = scaled
    for _ in range(SOLVE_STEPS):
        active = power > SOLVE_TOLERANCE**2 * goal
        if not active.any():
            break
        image = apply(direction)
        curvature = (direction * image).sum(axis=0)
        step = np.where(active, power / np.where(active, curvature, 1.0), 0.0)
        x += step * direction
        residual = residual - step * image
        scaled = precondition(residual)
        new_power = (residual * scaled).sum(axis=0)
        ratio = np.where(active, new_power / np.where(active, power, 1.0), 0.0)
        direction = scaled + ratio * direction
        power = np.where(active, new_power, power)
    return x, np.sqrt(np.maximum(power, 0.0) / goal)
