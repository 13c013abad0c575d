"""Usl: fit the Universal Scalability Law to throughput measured at several concurrencies.

This module answers: at which concurrency does this system peak, how much does it deliver there, and
do the data show that at all? A peak that was not measured is an interval, never a number.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Annotated, Final

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field

from capmodel.laws.scalability import amdahl_limit, usl_peak
from capmodel.schema import Finding, Findings, rng_for
from capmodel.usage.linear import extrapolation_log_sd
from capmodel.usage.scaling_fits import usl_curve, usl_fit, usl_jacobian, usl_peaks, usl_refit
from capmodel.usage.scaling_rows import BEYOND_KNEE, ENOUGH_N, ScalingRows, scaling_rows
from capmodel.usage.usl_result import COEFFICIENTS, TERMS, UslFit

__all__ = ["Usl", "UslFit"]

_RARE: Final = 0.025
"""Share of resamples without a peak above which the 95 % interval of N* has no upper end."""

_LEAST_FREEDOM: Final = 1e-6
"""1 − leverage of a row that a coefficient follows exactly; its residual is rounding."""


class Usl(BaseModel):
    """Fit ``X(N) = gamma N/(1 + alpha (N − 1) + beta N (N − 1))`` to measured throughput.

    Bounded least squares (0 ≤ alpha, beta ≤ 1, gamma > 0) from 16 starts. Intervals come from
    refitted resamples (wild bootstrap), which are valid at a bound; standard errors are given only
    where no coefficient sits on one. The fit is labelled *extrapolated*, and its peak is an
    interval, with fewer than 6 distinct n or unless they span the knee: some n at or below
    ``peak_x/gamma``, where the line of the first user meets the peak, and at least two beyond.

    The law is the wrong shape for a pool of threads or connections: compare it with others by
    :func:`capmodel.usage.compare_scaling`.

    References
    ----------
    Gunther (2007), *Guerrilla Capacity Planning*, chapters 5–6. Wu (1986), Annals of Statistics 14,
    1261–1295 (wild bootstrap). MacKinnon and White (1985), Journal of Econometrics 29, 305–325
    (residual/(1 − leverage)).

    Examples
    --------
    >>> n = np.array([1, 4, 8, 16, 32, 48, 64])
    >>> x = 20 * n / (1 + 0.02 * (n - 1) + 0.0005 * n * (n - 1))
    >>> fit = Usl().fit(n, x)
    >>> round(fit.alpha, 6), round(fit.beta, 6), round(fit.gamma, 6), round(fit.peak_n, 4)
    (0.02, 0.0005, 20.0, 44.2719)
    """

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    min_n: Annotated[float, Field(ge=0)] = 1.0
    """Rows with n below are dropped: there the continuous curve rises faster than load, and bends
    the fit (mean requests in flight are often below 1)."""
    resamples: Annotated[int, Field(ge=100, le=100_000)] = 1000
    """Resamples behind the intervals."""
    hardware_limit_x: Annotated[float, Field(gt=0)] | None = None
    """Throughput that cores or slots cannot exceed; predictions are capped by it, the fit is not.
    """

    def fit(
        self,
        n: npt.ArrayLike,
        x: npt.ArrayLike,
        *,
        weights: npt.ArrayLike | None = None,
        seed: int = 0,
    ) -> UslFit:
        """Fit the law to measurements.

        Parameters
        ----------
        n
            Concurrency [users without think time, threads, nodes or mean in flight], shape (N,).
        x
            Throughput [1/s, or any unit of work per time], shape (N,).
        weights
            Weights of squared residuals, shape (N,): replicates behind a row, or 1/sd². None: all
            equal.
        seed
            Of the resamples.

        Returns
        -------
        UslFit
            Coefficients, peak, intervals and findings.

        Raises
        ------
        InputError
            For arrays that do not match, values that are no measurement, or fewer than 4
            distinct n.
        """
        rows = scaling_rows(n, x, weights=weights, min_n=self.min_n)
        theta = usl_fit(rows.n, rows.x, rows.weights, amdahl=False)
        return _result(self, rows, theta, rng=rng_for(seed, "usl"))


def _result(spec: Usl, rows: ScalingRows, theta: np.ndarray, *, rng: np.random.Generator) -> UslFit:
    alpha, beta, gamma = (float(value) for value in theta)
    at_bound = _bounds_hit(theta)
    freedom = len(rows.n) - 3
    spread = np.sqrt(freedom / rng.chisquare(freedom, spec.resamples))
    draws = _resampled(rows, theta, spread, rng)
    noise = rng.standard_normal((spec.resamples, 2)) * np.column_stack(
        [spread, np.ones_like(spread)]
    )
    peak = usl_peak(alpha=alpha, beta=beta, gamma=gamma)
    extrapolated = _why_extrapolated(rows, peak.x / gamma)
    rss = float(rows.weights @ (rows.x - usl_curve(theta, rows.n)) ** 2)
    fit = UslFit(
        alpha=alpha,
        beta=beta,
        gamma=gamma,
        peak_n=math.nan if extrapolated else peak.n,
        peak_x=math.nan if extrapolated else peak.x,
        limit_x=math.nan if extrapolated else amdahl_limit(alpha=alpha, gamma=gamma),
        knee_n=peak.x / gamma,
        intervals=_intervals(rows, draws, noise, knee_seen=_knee_seen(rows, peak.x / gamma)),
        se=_standard_errors(rows, theta, rss, at_bound),
        at_bound=at_bound,
        no_peak_share=float(np.mean(draws[:, 1] == 0)),
        extrapolated=extrapolated,
        rows=rows,
        rss=rss,
        resid_sd=math.sqrt(rss / freedom),
        r2=_r2(rows, rss),
        hardware_limit_x=math.inf if spec.hardware_limit_x is None else spec.hardware_limit_x,
        draws=draws,
        noise=noise,
        findings=Findings(),
    )
    return replace(fit, findings=Findings(tuple(_doubts(fit))))


def _bounds_hit(theta: np.ndarray) -> dict[str, float]:
    named = dict(zip(COEFFICIENTS[:2], theta[:2].tolist(), strict=True))
    return {name: value for name, value in named.items() if value in {0.0, 1.0}}


def _r2(rows: ScalingRows, rss: float) -> float:
    spread = rows.weights @ (rows.x - np.average(rows.x, weights=rows.weights)) ** 2
    return 1 - rss / float(spread) if spread > 0 else math.nan


def _standard_errors(
    rows: ScalingRows, theta: np.ndarray, rss: float, at_bound: Mapping[str, float]
) -> dict[str, float]:
    """Return ``sqrt(diag(s² (JᵀWJ)⁻¹))``; NaN at a bound, where the normal theory fails."""
    if at_bound:
        return dict.fromkeys(COEFFICIENTS, math.nan)
    jacobian = usl_jacobian(theta, rows.n) * np.sqrt(rows.weights)[:, None]
    scale = np.sqrt(np.sum(jacobian**2, axis=0))
    inverse = np.linalg.inv((jacobian / scale).T @ (jacobian / scale))
    se = np.sqrt(np.diag(inverse) * rss / (len(rows.n) - 3)) / scale
    return dict(zip(COEFFICIENTS, se.tolist(), strict=True))


def _resampled(
    rows: ScalingRows, theta: np.ndarray, spread: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Refit resamples of the measurements, shape (B, 3).

    A wild bootstrap: row i scatters by ``z · residual/(1 − leverage)``, its distance from the curve
    that the other rows give, so that scatter may grow with throughput. `spread` (B,) is ``sqrt(df /
    χ²(df))``: with few rows the scatter itself is hardly known.
    """
    n, root = rows.n, np.sqrt(rows.weights)
    fitted = usl_curve(theta, n)
    hit = _bounds_hit(theta)
    free = [k for k, name in enumerate(COEFFICIENTS) if name not in hit]
    span = np.linalg.qr(usl_jacobian(theta, n)[:, free] * root[:, None])[0]
    freedom = np.maximum(1 - np.sum(span**2, axis=1), _LEAST_FREEDOM)
    normal = rng.standard_normal((len(spread), len(n)))
    drawn = fitted + normal * spread[:, None] * (rows.x - fitted) / freedom
    weights = np.broadcast_to(rows.weights, drawn.shape)
    return usl_refit(n, drawn, weights, start=theta, amdahl=False)


def _intervals(
    rows: ScalingRows, draws: np.ndarray, noise: np.ndarray, *, knee_seen: bool
) -> dict[str, tuple[float, float]]:
    """Return the 95 % interval of every term, from the resamples.

    Throughput beyond what the curve reaches within the range widens like a load beyond its range.
    Until the knee was seen, the intervals begin where the data end: other shapes level off there.
    """
    n_max = np.array([rows.n[-1]])
    peak_n, peak_x = usl_peaks(draws)
    seen_x = usl_curve(draws, np.minimum(peak_n, n_max)[:, None])[:, 0]
    finite = np.isfinite(peak_x)
    beyond = np.where(finite, peak_x, seen_x) / seen_x
    peak_x = peak_x * np.exp(extrapolation_log_sd(beyond, 1.0) * noise[:, 1])
    alpha = draws[:, 0]
    limit = np.where(alpha > 0, draws[:, 2] / np.where(alpha > 0, alpha, 1.0), np.inf)
    values = (*draws.T, peak_n, peak_x, limit)
    intervals = {term: _interval(v) for term, v in zip(TERMS, values, strict=True)}
    if not knee_seen:
        reached = {"peak_n": float(n_max[0]), "peak_x": _interval(seen_x)[0]}
        reached["limit_x"] = reached["peak_x"]
        for term, value in reached.items():
            low, high = intervals[term]
            intervals[term] = (min(low, value), max(high, value))
    return intervals


def _interval(values: np.ndarray) -> tuple[float, float]:
    # Order statistics: between a number and infinity there is nothing to interpolate.
    low = float(np.quantile(values, 0.025, method="lower"))
    return low, float(np.quantile(values, 0.975, method="higher"))


def _knee_seen(rows: ScalingRows, knee_n: float) -> bool:
    return int(np.sum(np.unique(rows.n) > knee_n)) >= BEYOND_KNEE


def _why_extrapolated(rows: ScalingRows, knee_n: float) -> str:
    levels = np.unique(rows.n)
    if len(levels) < ENOUGH_N:
        return f"{len(levels)} different N, fewer than {ENOUGH_N}"
    if not math.isfinite(knee_n):
        return f"throughput rises in proportion to N up to {levels[-1]:g}"
    if not _knee_seen(rows, knee_n):
        return f"the knee of the curve, N = {knee_n:.4g}, is not inside N up to {levels[-1]:g}"
    if levels[0] > knee_n:
        return f"the knee of the curve, N = {knee_n:.4g}, lies below the smallest N {levels[0]:g}"
    return ""


def _doubts(fit: UslFit) -> Iterator[Finding]:
    """Yield what a reader must know before using the fit."""
    if fit.rows.dropped:
        left = ", ".join(f"{count} {reason}" for reason, count in fit.rows.dropped.items())
        yield Finding("usl_rows_dropped", "info", "", f"dropped: {left}", dict(fit.rows.dropped))
    if fit.extrapolated:
        low, high = fit.intervals["peak_x"]
        yield Finding(
            "usl_extrapolated",
            "warning",
            "",
            f"{fit.extrapolated}: the highest throughput is between {low:.5g} and {high:.5g}, no "
            "number; measure on both sides of the knee",
            {"peak_x_low": low, "peak_x_high": high},
        )
    yield from _bound_notes(fit)
    if fit.beta == 0 or fit.extrapolated:
        return
    if fit.peak_n > fit.n_max_seen:
        yield Finding(
            "usl_peak_beyond_range",
            "warning",
            "",
            f"the peak at N = {fit.peak_n:.4g} lies beyond the largest N measured, "
            f"{fit.n_max_seen:g}",
            {"peak_n": fit.peak_n, "n_max_seen": fit.n_max_seen},
        )
    if fit.no_peak_share > _RARE:
        yield Finding(
            "usl_peak_uncertain",
            "warning",
            "",
            f"{fit.no_peak_share:.0%} of the resamples have no peak",
            {"no_peak_share": fit.no_peak_share},
        )
    if fit.peak_x > fit.hardware_limit_x:
        yield Finding(
            "usl_above_hardware_limit",
            "warning",
            "",
            f"the peak {fit.peak_x:.5g} is above the declared limit {fit.hardware_limit_x:g}: "
            "predictions are capped",
            {"peak_x": fit.peak_x, "hardware_limit_x": fit.hardware_limit_x},
        )


def _bound_notes(fit: UslFit) -> Iterator[Finding]:
    if fit.at_bound.get("beta") == 0:
        limit = amdahl_limit(alpha=fit.alpha, gamma=fit.gamma)
        shown = "no limit seen" if math.isinf(limit) else f"Amdahl limit gamma/alpha = {limit:.5g}"
        # A limit that was not approached is no number either: the interval says what is known.
        message = "no peak in the fitted form" if fit.extrapolated else f"no peak, {shown}"
        yield Finding("usl_no_peak", "info", "", f"beta at its bound 0: {message}")
    for name, bound in fit.at_bound.items():
        if (name, bound) != ("beta", 0.0):
            message = f"{name} at its bound {bound:g}: standard errors are not valid"
            yield Finding("usl_at_bound", "info", "", message, {name: bound})
