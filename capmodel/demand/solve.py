"""The numbers of the batched fit: backtests, their combination, coefficients.

This module answers: given gap-free standardised series, which coefficients explain them, which
configuration does so best out of sample, and by how much does it err there? Services lie side by
side in columns; one factorisation serves them all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from capmodel.demand.design import HOURS, predict, project
from capmodel.demand.systems import Segment, Systems, judged, trained

__all__ = [
    "Selection",
    "Statistics",
    "combined",
    "combined_at_cut",
    "cut_error",
    "select",
    "statistics",
]

ERROR_FLOOR: Final = 1e-8


@dataclass(frozen=True, slots=True, eq=False)
class Statistics:
    """All that fits and backtests need to know about the data: sums over segments."""

    whole: np.ndarray
    """``X'z`` over all days, shape (p, S)."""
    quiet: tuple[np.ndarray, ...]
    """``X'z`` over each segment's ordinary days and the quiet columns."""
    square: tuple[np.ndarray, ...]
    """``z'z`` over each segment's ordinary days, shape (S,)."""


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
    """The combined quiet coefficients as of each cut-off, zero elsewhere, shape (p, S) each."""


def statistics(systems: Systems, z: np.ndarray) -> Statistics:
    """Return the sufficient statistics of gap-free series, shape (N, 24, S), in one data pass."""
    quiet, square = [], []
    shape = (systems.window.design.p, z.shape[2])
    whole = np.zeros(shape, dtype=z.dtype)
    for part in systems.segments:
        days = z[part.start : part.stop]
        special = z[part.events]
        projected = project(systems.window.design, part.rows, days)
        calm = projected[systems.quiet]
        if len(special):
            calm -= project(systems.window.design, part.event_rows, special)[systems.quiet]
        whole += projected
        quiet.append(calm)
        square.append(_squares(days) - _squares(special))
    return Statistics(whole=whole, quiet=tuple(quiet), square=tuple(square))


def _squares(values: np.ndarray) -> np.ndarray:
    flat = values.reshape(-1, values.shape[-1])
    return np.asarray(np.einsum("ts,ts->s", flat, flat), dtype=float)


def select(systems: Systems, stats: Statistics, *, kappa: float) -> Selection:
    """Fit every configuration on all days and as of every cut-off, and combine them softly.

    ``b_g = (G + Lambda_g)^-1 X'z`` with one Cholesky factor per configuration and cut-off for all
    services; backtest errors come from the segments' sufficient statistics without another pass
    over the data, fitted and judged on ordinary days. The combination
    ``w_g ~ prior_g exp(-kappa (E_g / min E - 1))`` costs nothing: predictions are linear in b.

    Parameters
    ----------
    systems
        The window's factors.
    stats
        The series' sums.
    kappa
        Sharpness of the combination; 0 leaves the prior shares.

    References
    ----------
    Hoerl, A. E., & Kennard, R. W. (1970). Ridge regression: biased estimation for nonorthogonal
    problems. Technometrics 12(1), 55-67.
    """
    shape = (len(systems.penalties), stats.whole.shape[1])
    by_cut, scored = [], []
    for cut, solvers, gram in zip(
        systems.backtests.cuts, systems.training, systems.judged, strict=True
    ):
        rhs = _sum(stats.quiet, trained(systems.segments, cut))
        betas = [solve(rhs) for solve in solvers]
        by_cut.append(betas)
        positions = judged(systems.segments, cut, systems.backtests.days)
        if cells := _ordinary_hours(systems.segments, positions):
            xz, zz = _sum(stats.quiet, positions), _sum(stats.square, positions)
            scored.append([_squared_error(b, gram, xz, zz) / cells for b in betas])
    errors = np.full(shape, np.nan)
    weights = np.repeat(systems.prior[:, None], shape[1], axis=1)
    if scored:
        errors = np.maximum(np.mean(scored, axis=0), ERROR_FLOOR)
        weights *= np.exp(-kappa * (errors / errors.min(axis=0) - 1))
        weights /= weights.sum(axis=0)
    return Selection(
        beta=combined([solve(stats.whole) for solve in systems.final], weights),
        weights=weights,
        errors=errors,
        cut_betas=tuple(combined_at_cut(systems, betas, weights) for betas in by_cut),
    )


def _ordinary_hours(segments: Sequence[Segment], positions: Sequence[int]) -> int:
    parts = [segments[i] for i in positions]
    return HOURS * sum(part.stop - part.start - len(part.events) for part in parts)


def _sum(parts: Sequence[np.ndarray], positions: Sequence[int]) -> np.ndarray:
    return np.asarray(sum(parts[i] for i in positions))


def _squared_error(
    beta: np.ndarray, gram: np.ndarray, xz: np.ndarray, zz: np.ndarray
) -> np.ndarray:
    """Return ``z'z - 2 b'X'z + b'X'Xb`` of each series, shape (S,)."""
    return np.asarray(zz + np.einsum("ps,ps->s", beta, gram @ beta - 2 * xz), dtype=float)


def combined(betas: Sequence[np.ndarray], weights: np.ndarray) -> np.ndarray:
    """Return the weighted sum of the configurations' coefficients, shape (p, S)."""
    total = np.zeros_like(betas[0])
    for beta, weight in zip(betas, weights.astype(total.dtype), strict=True):
        total += weight * beta
    return total


def combined_at_cut(
    systems: Systems, betas: Sequence[np.ndarray], weights: np.ndarray
) -> np.ndarray:
    """Return the combined quiet coefficients among all columns, shape (p, S)."""
    whole = np.zeros((systems.window.design.p, weights.shape[1]), dtype=betas[0].dtype)
    whole[systems.quiet] = combined(betas, weights)
    return whole


def cut_error(systems: Systems, z: np.ndarray, *, cut: int, beta: np.ndarray) -> np.ndarray:
    """Return the errors on the days after a cut-off [z], shape (days, 24, S)."""
    days = slice(cut, cut + systems.backtests.days)
    rows = systems.window.part(np.arange(days.start, days.stop))
    return np.asarray(z[days] - predict(systems.window.design, rows, beta))
