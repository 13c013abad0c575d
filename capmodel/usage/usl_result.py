"""The result of a USL fit: coefficients, peak, intervals, predictions.

This module answers: what does the fitted curve say, how sure is that, and where does it stop being
evidence?
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from capmodel.errors import InputError, ModelError
from capmodel.laws.scalability import (
    usl_concurrency_at_latency,
    usl_concurrency_at_throughput,
    usl_throughput,
)
from capmodel.schema import Findings
from capmodel.usage.linear import extrapolation_log_sd
from capmodel.usage.scaling_fits import usl_curve
from capmodel.usage.scaling_rows import ScalingRows

__all__ = ["COEFFICIENTS", "TERMS", "UslFit"]

COEFFICIENTS: Final = ("alpha", "beta", "gamma")
TERMS: Final = (*COEFFICIENTS, "peak_n", "peak_x", "limit_x")


@dataclass(frozen=True, slots=True, eq=False)
class UslFit:
    """A fitted scaling curve.

    Attributes
    ----------
    alpha, beta, gamma
        Contention, coherency delay [ratio] and throughput at N = 1.
    peak_n, peak_x
        ``N* = sqrt((1 − alpha)/beta)`` and X*. With beta at its bound 0 there is no peak: N* is
        inf, X* the limit. NaN where the fit is extrapolated: read the interval.
    limit_x
        Amdahl limit gamma/alpha; NaN where the fit is extrapolated.
    knee_n
        ``peak_x/gamma`` of the curve: where the line of the first user meets the peak.
    intervals
        95 % interval of every term. That of ``peak_x`` counts a resample without a peak by its
        limit. Until the knee was seen, those of the peak begin where the data end: other shapes
        level off there.
    se
        Standard errors of the coefficients; NaN where one of them is at a bound.
    at_bound
        Bound of each coefficient that sits on one.
    no_peak_share
        Share of resamples without a peak.
    extrapolated
        Why the peak is no number; '' where it is one.
    rows
        The measurements used, and what was dropped by reason.
    rss, resid_sd, r2
        Weighted residual sum of squares, its standard deviation with N − 3 degrees of freedom [unit
        of x], share of the variance explained.
    hardware_limit_x
        Declared cap of predictions; inf without one.
    draws
        Coefficients of the resamples, shape (B, 3).
    noise
        Scores of scatter (Student's t) and of extrapolation (normal), shape (B, 2).
    findings
        What is doubtful about the fit.
    """

    alpha: float
    beta: float
    gamma: float
    peak_n: float
    peak_x: float
    limit_x: float
    knee_n: float
    intervals: Mapping[str, tuple[float, float]]
    se: Mapping[str, float]
    at_bound: Mapping[str, float]
    no_peak_share: float
    extrapolated: str
    rows: ScalingRows
    rss: float
    resid_sd: float
    r2: float
    hardware_limit_x: float
    draws: np.ndarray
    noise: np.ndarray
    findings: Findings

    @property
    def n_min_seen(self) -> float:
        """The smallest concurrency measured."""
        return float(self.rows.n[0])

    @property
    def n_max_seen(self) -> float:
        """The largest concurrency measured."""
        return float(self.rows.n[-1])

    def predict(self, n: npt.ArrayLike) -> pd.DataFrame:
        """Predict throughput at given concurrencies, flagged outside the range seen.

        Parameters
        ----------
        n
            Concurrency > 0, shape (M,) or a number.

        Returns
        -------
        pandas.DataFrame
            ``n``, ``x``, ``p05``, ``p95`` of one measurement (coefficients and scatter, not below
            0), ``extrapolating`` (n outside the range seen), ``capped`` (x is the hardware limit).
            Outside the range the log standard deviation grows by 0.10·ln(n/n_max); until the knee
            was seen, p05 beyond the range is not above p05 at its end.

        Raises
        ------
        InputError
            For n that is not finite and positive.
        """
        at = np.atleast_1d(np.asarray(n, dtype=float))
        point = usl_throughput(at, alpha=self.alpha, beta=self.beta, gamma=self.gamma)
        low, high = self._band(at)
        beyond = at > self.n_max_seen
        if self.extrapolated and beyond.any():
            low = np.where(beyond, np.minimum(low, self._band(np.array([self.n_max_seen]))[0]), low)
        limit = self.hardware_limit_x
        return pd.DataFrame(
            {
                "n": at,
                "x": np.minimum(point, limit),
                "p05": np.minimum(low, limit),
                "p95": np.minimum(high, limit),
                "extrapolating": beyond | (at < self.n_min_seen),
                "capped": point > limit,
            }
        )

    def _band(self, n: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        outside = np.maximum(n / self.n_max_seen, self.n_min_seen / n)
        wider = extrapolation_log_sd(outside, 1.0) * self.noise[:, 1:]
        drawn = usl_curve(self.draws, n) * np.exp(wider) + self.resid_sd * self.noise[:, :1]
        low, high = np.quantile(np.maximum(drawn, 0.0), [0.05, 0.95], axis=0)
        return low, high

    def throughput_at(self, n: float, *, extrapolate: bool = False) -> float:
        """Return the throughput at concurrency n [unit of x], capped by the hardware limit.

        Parameters
        ----------
        n
            Concurrency > 0.
        extrapolate
            Answer outside the range seen, too.

        Raises
        ------
        ModelError
            Outside the range seen, unless `extrapolate`.
        """
        self._seen(n, extrapolate=extrapolate)
        curve = usl_throughput(float(n), alpha=self.alpha, beta=self.beta, gamma=self.gamma)
        return min(curve, self.hardware_limit_x)

    def latency_at(self, n: float, *, extrapolate: bool = False) -> float:
        """Return the mean latency n/X(n) at concurrency n [s where x is in 1/s].

        Parameters and errors as in :meth:`throughput_at`.
        """
        return n / self.throughput_at(n, extrapolate=extrapolate)

    def n_at_throughput(self, x: float, *, extrapolate: bool = False) -> float:
        """Return the concurrency, below the peak, at which throughput is x.

        Parameters
        ----------
        x
            Throughput > 0 [unit of x].
        extrapolate
            Answer outside the range seen, too.

        Raises
        ------
        InputError
            For a throughput above the curve's peak or the hardware limit.
        ModelError
            Where the answer lies outside the range seen, unless `extrapolate`.
        """
        if x > self.hardware_limit_x:
            raise InputError.of(
                "x",
                got=f"{x:g}",
                expected=f"at most hardware_limit_x {self.hardware_limit_x:g}",
                do="Plan other hardware, not another concurrency.",
            )
        n = usl_concurrency_at_throughput(
            float(x), alpha=self.alpha, beta=self.beta, gamma=self.gamma
        )
        self._seen(n, extrapolate=extrapolate)
        return n

    def n_at_latency(self, r: float, *, extrapolate: bool = False) -> float:
        """Return the concurrency at which the mean latency is r [s where x is in 1/s].

        Parameters
        ----------
        r
            Mean latency.
        extrapolate
            Answer outside the range seen, too.

        Raises
        ------
        InputError
            For a latency below that of an empty system.
        ModelError
            Where the answer lies outside the range seen, unless `extrapolate`.
        """
        n = usl_concurrency_at_latency(float(r), alpha=self.alpha, beta=self.beta, gamma=self.gamma)
        n = min(n, r * self.hardware_limit_x)
        self._seen(n, extrapolate=extrapolate)
        return n

    def throughput_at_latency(self, r: float, *, extrapolate: bool = False) -> float:
        """Return the throughput N(r)/r at which the mean latency is r.

        Parameters and errors as in :meth:`n_at_latency`.
        """
        return self.n_at_latency(r, extrapolate=extrapolate) / r

    def _seen(self, n: float, *, extrapolate: bool) -> None:
        # A root of the curve at a measured n may differ from it by rounding.
        inside = self.n_min_seen * (1 - 1e-9) <= n <= self.n_max_seen * (1 + 1e-9)
        if not (inside or extrapolate):
            raise ModelError.of(
                "n",
                got=f"N = {n:.6g}",
                expected=f"{self.n_min_seen:g} to {self.n_max_seen:g}, the range measured",
                do="Measure there; or use predict, which widens, or extrapolate=True.",
            )

    def to_frame(self) -> pd.DataFrame:
        """Return one row per term: ``term``, ``value``, ``se``, ``low``, ``high``, ``note``."""
        notes = {name: f"at its bound {bound:g}" for name, bound in self.at_bound.items()}
        if self.extrapolated:
            notes |= dict.fromkeys(("peak_n", "peak_x", "limit_x"), "extrapolated")
        elif self.beta == 0:
            notes |= {"peak_n": "no peak", "peak_x": "limit, no peak"}
        rows = [
            (
                term,
                float(getattr(self, term)),
                self.se.get(term, math.nan),
                *self.intervals[term],
                notes.get(term, ""),
            )
            for term in TERMS
        ]
        return pd.DataFrame(rows, columns=["term", "value", "se", "low", "high", "note"])

    @property
    def summary(self) -> pd.DataFrame:
        """One row: equation, peak or why there is none, fit and range."""
        row = {
            "equation": self.equation,
            "peak": _peak_text(self),
            "no_peak_share": self.no_peak_share,
            "r2": self.r2,
            "n_used": len(self.rows.n),
            "n_max_seen": self.n_max_seen,
            "extrapolated": self.extrapolated,
        }
        return pd.DataFrame([row])

    @property
    def equation(self) -> str:
        """The fitted equation as text."""
        return (
            f"X(N) = {self.gamma:.4g}·N / "
            f"(1 + {self.alpha:.4g}·(N − 1) + {self.beta:.4g}·N·(N − 1))"
        )

    def explain(self) -> str:
        """Return, as text, the equation, its evidence, the peak and everything doubtful."""
        lines = [self.equation]
        for name in COEFFICIENTS:
            low, high = self.intervals[name]
            text = f"  {name} {getattr(self, name):.4g}, 95 % {low:.4g} to {high:.4g}"
            bound = self.at_bound.get(name)
            lines.append(text + ("" if bound is None else f", at its bound {bound:g}"))
        lines.append(f"  {_peak_text(self)}")
        lines.append(f"  resamples without a peak: {self.no_peak_share:.1%}")
        lines.append(f"  scatter {self.resid_sd:.4g}, r2 {self.r2:.4f}")
        dropped = ", ".join(f"{count} {reason}" for reason, count in self.rows.dropped.items())
        lines.append(
            f"  rows used {len(self.rows.n)} at {self.rows.n_distinct} different N, "
            f"{self.n_min_seen:g} to {self.n_max_seen:g}; dropped: {dropped or 'none'}"
        )
        if math.isfinite(self.hardware_limit_x):
            lines.append(f"  predictions capped at {self.hardware_limit_x:g}")
        lines += [f"  {finding.code}: {finding.message}" for finding in self.findings]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        return self.summary.to_html(index=False) + self.to_frame().to_html(index=False)


def _peak_text(fit: UslFit) -> str:
    (n_low, n_high), (x_low, x_high) = fit.intervals["peak_n"], fit.intervals["peak_x"]
    if fit.extrapolated:
        where = f"at N from {n_low:.4g} to {n_high:.4g}"
        if math.isinf(n_high):
            where = f"beyond N = {n_low:.4g} or nowhere"
        return (
            f"extrapolated, {fit.extrapolated}: a peak {where}, highest throughput {x_low:.5g} to "
            f"{x_high:.5g} (95 %)"
        )
    if fit.beta == 0:
        return (
            f"no peak, Amdahl limit gamma/alpha = {fit.limit_x:.5g}, 95 % {x_low:.5g} to "
            f"{x_high:.5g}"
        )
    return (
        f"peak {fit.peak_x:.5g}, 95 % {x_low:.5g} to {x_high:.5g}, at N = {fit.peak_n:.4g}, "
        f"95 % {n_low:.4g} to {n_high:.4g}"
    )
