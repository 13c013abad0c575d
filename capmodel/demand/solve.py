"""The numbers of the batched fit: transform, gaps, outliers, backtests and their combination.

This module answers: given a design and standardised series with gaps, which coefficients explain
them, which configuration does so best out of sample, and by how much does it err there? Services
lie side by side in columns; one factorisation serves them all.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from capmodel.demand.design import HOURS, Window, gram, predict, project
from capmodel.regression import scaled_mad

__all__ = [
    "Backtests",
    "Filled",
    "Scale",
    "Selection",
    "backtest_windows",
    "fill",
    "restore",
    "select",
    "standardise",
]

LOG_OFFSET: Final = 0.01
"""Added to y / mean before the logarithm: a quiet hour stays finite, 1 % of the mean is zero."""
SCALE_FLOOR: Final = 1e-4
"""Smallest log standard deviation; a constant series has none of its own."""
CLIP_AT: Final = 4.0
"""Huber's clip [robust standard deviations]."""
CLIP_FLOOR: Final = 0.02
"""Smallest robust standard deviation of a residual [z], so that noise-free data is not clipped."""
CLIP_PASSES: Final = 2
SOLVE_TOLERANCE: Final = 1e-7
SOLVE_STEPS: Final = 60
ERROR_FLOOR: Final = 1e-8
BACKTEST_DAYS: Final = 90
BACKTEST_SHIFT_DAYS: Final = 28
BACKTESTS: Final = 3
SHORTEST_TRAINING: Final = 0.4
"""A cut-off that leaves less of the window for training is not used [ratio]."""


@dataclass(frozen=True, slots=True, eq=False)
class Scale:
    """What takes demand to the standardised log series and back, per service, shape (S,)."""

    mean: np.ndarray
    """Mean demand [the quantity's unit]."""
    center: np.ndarray
    """Mean of the log series [log]."""
    sd: np.ndarray
    """Standard deviation of the log series [log]."""


def standardise(values: np.ndarray) -> tuple[np.ndarray, Scale]:
    """Return ``z = (log(y / mean + 0.01) - center) / sd`` and the constants.

    The transform is monotone, so quantiles map back exactly.

    Parameters
    ----------
    values
        Demand with NaN for gaps, shape (N, 24, S) [the quantity's unit].
    """
    flat = values.reshape(-1, values.shape[-1])
    mean = np.nanmean(flat, axis=0)
    log = np.log(flat / mean + LOG_OFFSET)
    center = np.nanmean(log, axis=0)
    sd = np.maximum(np.nanstd(log, axis=0), SCALE_FLOOR)
    return ((log - center) / sd).reshape(values.shape), Scale(mean=mean, center=center, sd=sd)


def restore(log: np.ndarray, mean: np.ndarray | float) -> np.ndarray:
    """Return demand from the log series: ``mean * max(exp(log) - 0.01, 0)``.

    The offset that made zero finite is taken off again; what lay below it was zero.
    """
    return np.asarray(np.maximum(np.exp(log) - LOG_OFFSET, 0.0) * mean)


@dataclass(frozen=True, slots=True, eq=False)
class Filled:
    """The series as the fit sees them: gaps filled by the fit, outliers pulled in."""

    z: np.ndarray
    """Shape (N, 24, S), no gaps."""
    unsolved: np.ndarray
    """Relative residual of the gap equations at the last step, shape (S,)."""


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


def fill(window: Window, z: np.ndarray, *, penalty: np.ndarray) -> Filled:
    """Fill gaps with the fit and pull outliers toward it, until both agree with the fit.

    Solves ``(X'WX + Lambda) b = X'Wz`` with W zero in gaps, by conjugate gradients preconditioned
    with the factor of the gap-free system, then replaces z by Huber's pseudo-data
    ``fit + clip(z - fit, +-4 s)``, s the residual's scaled median absolute deviation. Days with
    events are never clipped: their extremes are what the plan is about.

    Parameters
    ----------
    window
        N training days and the columns on them.
    z
        Standardised series with NaN for gaps, shape (N, 24, S).
    penalty
        Ridge diagonal, shape (p,).

    References
    ----------
    Huber, P. J. (1964). Robust estimation of a location parameter. Annals of Mathematical
    Statistics 35(1), 73-101.
    Hestenes, M. R., & Stiefel, E. (1952). Methods of conjugate gradients for solving linear
    systems. Journal of Research of the National Bureau of Standards 49(6), 409-436.
    """
    design, rows = window.design, window.rows
    seen = ~np.isnan(z)
    factor = cho_factor(gram(design, rows) + np.diag(penalty), check_finite=False)
    weight = seen.astype(float)

    def precondition(v: np.ndarray) -> np.ndarray:
        return np.asarray(cho_solve(factor, v, check_finite=False))

    def apply(v: np.ndarray) -> np.ndarray:
        image = project(design, rows, weight * predict(design, rows, v))
        return np.asarray(image + penalty[:, None] * v)

    pseudo = np.where(seen, z, 0.0)
    beta = np.zeros((design.p, z.shape[2]))
    unsolved = np.zeros(z.shape[2])
    for step in range(CLIP_PASSES + 1):
        rhs = project(design, rows, pseudo)
        if seen.all():
            beta = precondition(rhs)
        else:
            start = beta if step else precondition(rhs)
            beta, unsolved = _conjugate_gradients(apply, precondition, rhs=rhs, start=start)
        fitted = predict(design, rows, beta)
        if step < CLIP_PASSES:
            pseudo = np.where(seen, _clipped(z, fitted, seen=seen, ordinary=window.ordinary), 0.0)
    return Filled(z=np.where(seen, pseudo, fitted), unsolved=unsolved)


def _clipped(
    z: np.ndarray, fitted: np.ndarray, *, seen: np.ndarray, ordinary: np.ndarray
) -> np.ndarray:
    residual = z - fitted
    for s in range(z.shape[2]):
        usual = residual[ordinary, :, s][seen[ordinary, :, s]]
        spread = scaled_mad(usual) if len(usual) else 0.0
        bound = CLIP_AT * max(spread, CLIP_FLOOR)
        residual[ordinary, :, s] = np.clip(residual[ordinary, :, s], -bound, bound)
    return np.asarray(fitted + residual)


@dataclass(frozen=True, slots=True)
class Backtests:
    """The backtests of one training window [days from its start]."""

    cuts: tuple[int, ...]
    """Each fits the days before it and is judged on the `days` after it."""
    days: int
    n_days: int

    @property
    def edges(self) -> tuple[int, ...]:
        """Where segments begin and end, so that every fit and judgement is a sum of segments."""
        ends = (cut + self.days for cut in self.cuts)
        return tuple(sorted({0, *self.cuts, *ends, self.n_days}))


def backtest_windows(n_days: int) -> Backtests:
    """Return three cut-offs four weeks apart, judged on 90 days, less where the window is short."""
    days = min(BACKTEST_DAYS, n_days // 4)
    shift = min(BACKTEST_SHIFT_DAYS, max(days // 3, 1))
    cuts = [n_days - days - k * shift for k in range(BACKTESTS)]
    usable = sorted(cut for cut in cuts if cut >= max(SHORTEST_TRAINING * n_days, 14))
    return Backtests(cuts=tuple(usable), days=days, n_days=n_days)


@dataclass(frozen=True, slots=True, eq=False)
class _Segment:
    """Sufficient statistics of the days of one segment, ordinary or event days."""

    start: int
    stop: int
    ordinary: bool
    gram: np.ndarray
    projected: np.ndarray
    square: np.ndarray
    n_days: int


@dataclass(frozen=True, slots=True, eq=False)
class Selection:
    """The combined coefficients and what the backtests said."""

    beta: np.ndarray
    """Shape (p, S)."""
    weights: np.ndarray
    """Share of each configuration, shape (C, S)."""
    errors: np.ndarray
    """Backtest mean squared error of each configuration [z^2], shape (C, S); NaN without."""
    cut_betas: tuple[np.ndarray, ...]
    """The combined coefficients as of each cut-off, shape (p, S) each."""
    windows: Backtests


def _segments(window: Window, z: np.ndarray, *, windows: Backtests) -> list[_Segment]:
    out = []
    for start, stop in pairwise(windows.edges):
        for is_ordinary in (True, False):
            days = start + np.flatnonzero(window.ordinary[start:stop] == is_ordinary)
            if not len(days):
                continue
            part, values = window.part(days), z[days]
            out.append(
                _Segment(
                    start=start,
                    stop=stop,
                    ordinary=is_ordinary,
                    gram=gram(window.design, part),
                    projected=project(window.design, part, values),
                    square=np.einsum("nhs,nhs->s", values, values),
                    n_days=len(days),
                )
            )
    return out


def _squared_error(parts: Sequence[_Segment], beta: np.ndarray) -> np.ndarray:
    """Return ``(z'z - 2 b'X'z + b'X'Xb) / cells`` from sufficient statistics, shape (S,)."""
    g = sum(part.gram for part in parts)
    xz = sum(part.projected for part in parts)
    zz = sum(part.square for part in parts)
    sse = zz - 2 * (beta * xz).sum(axis=0) + (beta * (g @ beta)).sum(axis=0)
    cells = HOURS * sum(part.n_days for part in parts)
    return np.maximum(np.asarray(sse) / cells, ERROR_FLOOR)


def _solve(parts: Sequence[_Segment], penalties: np.ndarray) -> list[np.ndarray]:
    """Return the ridge coefficients of each penalty, from summed statistics, shape (p, S) each."""
    g = np.asarray(sum(part.gram for part in parts))
    xz = np.asarray(sum(part.projected for part in parts))
    out = []
    for penalty in penalties:
        factor = cho_factor(g + np.diag(penalty), overwrite_a=True, check_finite=False)
        out.append(np.asarray(cho_solve(factor, xz, check_finite=False)))
    return out


def _combined(betas: Sequence[np.ndarray], weights: np.ndarray) -> np.ndarray:
    return np.asarray(sum(w * beta for w, beta in zip(weights, betas, strict=True)))


def select(window: Window, z: np.ndarray, *, penalties: np.ndarray, kappa: float) -> Selection:
    """Fit every configuration on all days and as of every cut-off, and combine them softly.

    ``b_g = (G + Lambda_g)^-1 X'z`` with one Cholesky factor per configuration and cut-off for all
    services; backtest errors come from the segments' sufficient statistics without another pass
    over the data, judged on ordinary days (an event that the training part has not seen yet says
    nothing about a trend). The combination ``w_g ~ exp(-kappa (E_g / min E - 1))`` costs nothing,
    since predictions are linear in b.

    Parameters
    ----------
    window
        N training days and the columns on them.
    z
        Series without gaps, shape (N, 24, S).
    penalties
        Ridge diagonals, shape (C, p).
    kappa
        Sharpness of the combination; 0 is the plain average.

    References
    ----------
    Hoerl, A. E., & Kennard, R. W. (1970). Ridge regression: biased estimation for nonorthogonal
    problems. Technometrics 12(1), 55-67.
    """
    windows = backtest_windows(len(z))
    segments = _segments(window, z, windows=windows)
    by_cut, scored = [], []
    for cut in windows.cuts:
        betas = _solve([part for part in segments if part.stop <= cut], penalties)
        by_cut.append(betas)
        judged = [
            part
            for part in segments
            if part.start >= cut and part.stop <= cut + windows.days and part.ordinary
        ]
        if judged:
            scored.append([_squared_error(judged, beta) for beta in betas])
    shape = (len(penalties), z.shape[2])
    errors, weights = np.full(shape, np.nan), np.full(shape, 1 / len(penalties))
    if scored:
        errors = np.mean(scored, axis=0)
        weights = np.exp(-kappa * (errors / errors.min(axis=0) - 1))
        weights /= weights.sum(axis=0)
    return Selection(
        beta=_combined(_solve(segments, penalties), weights),
        weights=weights,
        errors=errors,
        cut_betas=tuple(_combined(betas, weights) for betas in by_cut),
        windows=windows,
    )
