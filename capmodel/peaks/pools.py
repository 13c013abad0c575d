"""A distribution of peak minute / hour mean that depends on the hour's rate.

This module answers: which ratio has an hour of this rate at this probability? Three kinds of
evidence: a stated number, usable hours of fine data, and none (the prior of
:mod:`capmodel.peaks.counting`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np

from capmodel.peaks.counting import MINUTES, counting_excess, prior_ratio
from capmodel.regression import huber_nnls
from capmodel.schema import Basis

__all__ = [
    "MIN_HOURS",
    "BurstPool",
    "Observed",
    "Prior",
    "Stated",
    "observed_pool",
    "prior_pool",
    "rate_slope",
    "stated_pool",
]

MIN_HOURS: Final = 24
"""Fewest hours of a pool."""

SLOPE_SD: Final = 0.1
"""Prior sd of the slope of log ratio on log rate, around 0. Counting noise alone has a slope of
-0.1 at a ratio of 1.3 and of -0.25 at 2."""

WINDOW_HOURS: Final = 60
WINDOW_SHARE: Final = 0.25
"""Center and spread are taken from neighbours in rate: a quarter of the hours, at least 60."""

UPPER: Final = 0.9
"""The spread is that of the upper half: this quantile less the median."""

LEAST_SPREAD: Final = 0.1
"""Smallest spread of neighbours as a share of that of all hours: no division by zero."""

BUSY: Final = 0.75
"""Where a pool is described by one number, it is at this quantile of its rates."""


@dataclass(frozen=True, slots=True)
class Stated:
    """One number, whatever the rate."""

    ratio: float

    def quantile(self, u: np.ndarray, per_min: np.ndarray | None) -> np.ndarray:
        """Return the number."""
        shape = u.shape if per_min is None else np.broadcast_shapes(u.shape, per_min.shape)
        return np.full(shape, self.ratio)


@dataclass(frozen=True, slots=True)
class Prior:
    """No fine data: assumed unevenness, and counting noise at the hour's rate."""

    def quantile(self, u: np.ndarray, per_min: np.ndarray | None) -> np.ndarray:
        """Return :func:`capmodel.peaks.counting.prior_ratio`; no rate: no counting noise."""
        return prior_ratio(u, per_min)


@dataclass(frozen=True, slots=True, eq=False)
class Observed:
    """Usable hours: ``log B = center(rate) + spread(rate) * residual``, within 1 and the largest.

    ``center`` and ``spread`` are linear in log rate between knots ``log_rate`` (K,) and held
    beyond the lowest and the highest rate seen; ``residual`` (n,) are the sorted residuals of all
    hours. Below the lowest rate the counting noise is added that a rate that low has more.
    """

    log_rate: np.ndarray
    center: np.ndarray
    spread: np.ndarray
    residual: np.ndarray
    busy_per_min: float
    max_x: float
    """Largest ratio seen."""
    slope: float
    """Slope of log ratio on log rate, shrunk toward 0."""
    step_min: float = 1.0

    @property
    def range_per_min(self) -> tuple[float, float]:
        """Lowest and highest rate seen [1/min]."""
        return float(np.exp(self.log_rate[0])), float(np.exp(self.log_rate[-1]))

    def quantile(self, u: np.ndarray, per_min: np.ndarray | None) -> np.ndarray:
        """Return the ratio at probability `u` in hours of mean `per_min`; None: a busy hour's."""
        rate = np.asarray(self.busy_per_min) if per_min is None else per_min
        low = self.range_per_min[0]
        log_rate = np.log(np.maximum(rate, low))
        n = len(self.residual)
        log_x = self.residual[np.minimum((u * n).astype(np.intp), n - 1)]
        log_x = log_x * np.interp(log_rate, self.log_rate, self.spread)
        log_x += np.interp(log_rate, self.log_rate, self.center)
        ratio = np.asarray(np.exp(np.clip(log_x, 0.0, math.log(self.max_x))))
        below = np.broadcast_to((rate > 0) & (rate < low), ratio.shape)
        if below.any():
            rate, u = np.broadcast_to(rate, ratio.shape), np.broadcast_to(u, ratio.shape)
            more = self._more_counting(u[below], rate[below])
            ratio[below] = 1 + np.sqrt((ratio[below] - 1) ** 2 + more)
        return ratio

    def _more_counting(self, u: np.ndarray, rate: np.ndarray) -> np.ndarray:
        """Return by how much the square of counting's excess is above that of the lowest rate."""
        windows = MINUTES / self.step_min
        here = counting_excess(rate * self.step_min, windows, u)
        edge = counting_excess(np.asarray(self.range_per_min[0] * self.step_min), windows, u)
        return np.asarray(np.maximum(here**2 - edge**2, 0.0))

    def center_at(self, per_min: np.ndarray) -> np.ndarray:
        """Return the middle of log B in hours of these rates, held beyond the range."""
        return np.asarray(np.interp(np.log(per_min), self.log_rate, self.center))


@dataclass(frozen=True, slots=True, eq=False)
class BurstPool:
    """A distribution of peak minute / hour mean.

    ``law`` is the evidence, ``basis`` what it rests on, ``n_hours`` counts the hours behind it,
    ``dropped`` those left out by reason.
    """

    law: Stated | Observed | Prior
    basis: Basis
    n_hours: int = 0
    dropped: Mapping[str, int] = field(default_factory=dict)
    note: str = ""

    @property
    def by_rate(self) -> bool:
        """Whether the ratio depends on the hour's rate."""
        return not isinstance(self.law, Stated)

    def quantile(
        self, u: np.ndarray | float, per_min: np.ndarray | float | None = None
    ) -> np.ndarray:
        """Return the ratio at probabilities `u`; never below 1.

        Parameters
        ----------
        u
            Probability, any shape.
        per_min
            Mean of the hour [1/min], broadcast with `u`; None: that of a busy hour of the pool
            (the 75 % quantile of its rates; without fine data, so high that counting is smooth).

        Returns
        -------
        numpy.ndarray
            Ratio, of the broadcast shape.
        """
        rate = None if per_min is None else np.asarray(per_min, dtype=float)
        return self.law.quantile(np.asarray(u, dtype=float), rate)

    def shifted(self, log_shift: float, *, basis: Basis, note: str) -> BurstPool:
        """Return the pool with an event effect added to log B."""
        law = self.law
        if isinstance(law, Observed):
            largest = law.max_x * math.exp(max(log_shift, 0.0))
            law = replace(law, center=law.center + log_shift, max_x=largest)
        return replace(self, law=law, basis=basis, note=note)


def stated_pool(ratio: float) -> BurstPool:
    """Return the degenerate case: a factor given as a number.

    Examples
    --------
    >>> stated_pool(1.35).quantile([0.1, 0.9]).tolist()
    [1.35, 1.35]
    """
    return BurstPool(Stated(float(ratio)), "assumed", note="declared")


def prior_pool(why: str) -> BurstPool:
    """Return the prior, with the reason for it."""
    return BurstPool(Prior(), "assumed", note=f"prior: {why}")


def rate_slope(log_ratio: np.ndarray, log_rate: np.ndarray) -> float:
    """Return the slope of log ratio on log rate, shrunk toward 0 by how little it is known.

    Formula: Huber's slope times ``tau²/(tau² + se²)`` with tau = 0.1: with little range of rate
    the standard error is large and the slope goes to 0.

    Parameters
    ----------
    log_ratio, log_rate
        Of usable hours, shape (n,).

    Returns
    -------
    float
        eta [1].

    Examples
    --------
    >>> rate = np.linspace(0, 5, 200)
    >>> noise = np.random.default_rng(0).normal(0, 0.1, 200)
    >>> round(rate_slope(0.6 - 0.1 * rate + noise, rate), 2)
    -0.1
    >>> abs(rate_slope(0.6 - 0.1 * rate + noise, rate / 1000)) < 0.1
    True
    """
    x = log_rate - np.median(log_rate)
    if not np.ptp(x) > 0:
        return 0.0
    design = np.column_stack([np.ones(len(x)), x])
    line = huber_nnls(design, log_ratio, relative=False, nonnegative=False)
    error = line.scale**2 / float(np.square(x - x.mean()).sum())
    return float(line.value[1] * SLOPE_SD**2 / (SLOPE_SD**2 + error))


def observed_pool(
    ratio: np.ndarray,
    per_min: np.ndarray,
    *,
    slope: float,
    step_min: float = 1.0,
    dropped: Mapping[str, int] | None = None,
) -> BurstPool | None:
    """Return the pool of usable hours, None for fewer than 24.

    ``log B = mu(rate) + eta · log(rate) + s(rate) · residual``: mu and s are the median and the
    upper spread (90 % quantile less median) of ``log B − eta · log(rate)`` among neighbours in
    rate, so that a curve, small hours and event hours each keep their own; below 120 hours there is
    one neighbourhood, and mu and s are numbers. From the middle of the outermost neighbourhoods to
    the edges of the range the line follows their own slope, shrunk alike. Residuals of all hours
    are one pool, because a tail needs them all; no ratio is above the largest seen.

    Parameters
    ----------
    ratio
        Busiest step / mean of each hour, shape (n,).
    per_min
        Mean of each hour [1/min], shape (n,).
    slope
        eta, see :func:`rate_slope`.
    step_min
        Length of a step [min].
    dropped
        Hours left out, by reason.

    Returns
    -------
    BurstPool or None
        ``basis=measured``.

    Examples
    --------
    >>> pool = observed_pool(np.full(48, 1.3), np.linspace(10, 90, 48), slope=0.0)
    >>> pool.quantile([0.5, 0.99], 1000).round(6).tolist()
    [1.3, 1.3]
    """
    n = len(ratio)
    if n < MIN_HOURS:
        return None
    order = np.argsort(per_min, kind="stable")
    x, y = np.log(per_min[order]), np.log(ratio[order])
    at, rows = _neighbourhoods(x)
    level = np.median((y - slope * x)[rows], axis=1) + slope * at
    outer = [rate_slope(y[r], x[r]) if len(at) > 1 else slope for r in (rows[0], rows[-1])]
    knots, center = _to_edges(x, at, level, outer[0], outer[1])
    residual = y - np.interp(x, knots, center)
    spread = np.quantile(residual[rows], UPPER, axis=1) - np.median(residual[rows], axis=1)
    # Where most hours are alike there is no spread to divide by.
    spread = np.maximum(
        spread, LEAST_SPREAD * float(np.quantile(residual, UPPER) - np.median(residual))
    )
    spread = _to_edges(x, at, np.where(spread > 0, spread, 1.0), 0.0, 0.0)[1]
    residual = residual / np.interp(x, knots, spread)
    law = Observed(
        log_rate=knots,
        center=center,
        spread=spread,
        residual=np.sort(residual),
        busy_per_min=float(np.quantile(per_min, BUSY)),
        max_x=float(ratio.max()),
        slope=slope,
        step_min=step_min,
    )
    return BurstPool(law, "measured", n, dropped or {})


def _neighbourhoods(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the median log rate of half-overlapping windows of sorted hours, and their rows."""
    n = len(x)
    width = max(WINDOW_HOURS, math.ceil(WINDOW_SHARE * n)) if n >= 2 * WINDOW_HOURS else n
    steps = math.ceil((n - width) / (width / 2))
    starts = np.unique(np.linspace(0, n - width, steps + 1).astype(np.intp))
    rows = starts[:, None] + np.arange(width)
    at, first = np.unique(np.median(x[rows], axis=1), return_index=True)
    return at, rows[first]


def _to_edges(
    x: np.ndarray, at: np.ndarray, level: np.ndarray, low_slope: float, high_slope: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return knots from edge to edge, and `level` at `at` continued to both edges."""
    low = level[0] + low_slope * (x[0] - at[0])
    high = level[-1] + high_slope * (x[-1] - at[-1])
    return np.concatenate([x[:1], at, x[-1:]]), np.concatenate([[low], level, [high]])
