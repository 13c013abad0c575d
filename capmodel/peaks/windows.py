"""From the busiest step of an hour to its busiest window of seconds.

This module answers: a queue feels seconds, the history holds minutes; how much higher is the
busiest window within the busiest minute? Histories have steps of whole minutes, so this is always
extrapolated, and labelled so.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.special import ndtri_exp

from capmodel.peaks.counting import PRIOR_MEDIAN_X, counting_excess
from capmodel.peaks.ratios import Unevenness

__all__ = [
    "ASSUMED_HALF",
    "ASSUMED_SLOPE",
    "WindowFactor",
    "assumed_window",
    "extrapolated_window",
    "inner_variance",
]

ASSUMED_SLOPE: Final = -0.18
"""Slope of log sd on log length of the mean where no minutes tell: H = 0.82, self-similar web
traffic (Crovella and Bestavros 1997, IEEE/ACM Trans. Networking 5(6), report H near 0.8)."""

_Z_60: Final = 2.273900672
"""Median of the largest of 60 standard normals."""

ASSUMED_HALF: Final = ((PRIOR_MEDIAN_X - 1) / _Z_60) ** 2 * (1 - 2 ** (2 * ASSUMED_SLOPE))
"""Relative variance lost from one minute to two where no minutes tell: that of the prior."""

STEEPEST: Final = -0.5
"""Independent steps: no real traffic averages out faster, and a steeper slope is sampling error."""

_FLAT: Final = 1e-6


def inner_variance(share: float, *, slope: float, half: float) -> float:
    """Return the relative variance between windows within one step.

    Formula: ``sum over halvings of D``, each ``2^(-2 slope)`` times the one before:
    ``D · (share^(2 slope) − 1)/(1 − 2^(2 slope))``.

    Parameters
    ----------
    share
        Window / step, in (0, 1] [ratio].
    slope
        Of :func:`capmodel.peaks.ratios.variance_slope`.
    half
        D: relative variance lost from one step to two [ratio²].

    Returns
    -------
    float
        [ratio²]

    References
    ----------
    Beran 1994, *Statistics for Long-Memory Processes*, section 4.4 (aggregated variance).

    Examples
    --------
    Independent noise of minutes with variance 1 has 60 in seconds, 59 of it within minutes:

    >>> round(inner_variance(1 / 60, slope=-0.5, half=0.5), 9)
    59.0
    >>> inner_variance(1.0, slope=-0.2, half=0.5)
    0.0
    """
    if abs(slope) < _FLAT:
        return half * -math.log2(share)
    return float(half * (share ** (2 * slope) - 1) / (1 - 2 ** (2 * slope)))


@dataclass(frozen=True, slots=True)
class WindowFactor:
    """Busiest window / mean of the step that holds it: a distribution by rate.

    ``1 + sqrt(z_n(u)² v + (K(u; m)/m − 1)²)``: the largest of n windows, v the variance between
    windows (:func:`inner_variance`), K the largest of n Poisson counts of mean m; at most n.
    """

    window_s: float
    step_min: float
    variance: float
    note: str

    @property
    def windows(self) -> float:
        """Windows in a step."""
        return self.step_min * 60 / self.window_s

    def quantile(self, u: np.ndarray, per_min: np.ndarray) -> np.ndarray:
        """Return the factor at probability `u` in steps of this rate.

        Parameters
        ----------
        u
            Probability, any shape.
        per_min
            Rate in the busiest step [1/min], broadcast with `u`.

        Returns
        -------
        numpy.ndarray
            Ratio in [1, windows].
        """
        n = self.windows
        uneven = np.maximum(ndtri_exp(np.log(np.maximum(u, 1e-300)) / n), 0.0)
        counted = counting_excess(np.asarray(per_min) * self.window_s / 60, n, u)
        return np.asarray(np.minimum(1 + np.hypot(uneven * math.sqrt(self.variance), counted), n))


def extrapolated_window(
    found: Unevenness, *, window_s: float, step_min: float
) -> WindowFactor | None:
    """Return the factor from a service's own steps; None where the window is the step.

    Its own slope (no steeper than -0.5) and unevenness are continued to shorter windows; what its
    hours do not tell is assumed.

    Parameters
    ----------
    found
        Of the service.
    window_s
        Length of the window [s].
    step_min
        Length of a step [min].

    Examples
    --------
    >>> found = Unevenness(slope=-0.2, half=0.001)
    >>> factor = extrapolated_window(found, window_s=1, step_min=1)
    >>> factor.quantile(np.array([0.5, 0.95]), np.array(6000.0)).round(3).tolist()
    [1.379, 1.526]
    """
    share = window_s / (step_min * 60)
    if share == 1:
        return None
    known = math.isfinite(found.slope) and math.isfinite(found.half)
    slope = max(found.slope, STEEPEST) if known else ASSUMED_SLOPE
    half = found.half if math.isfinite(found.half) else ASSUMED_HALF
    source = f"its slope {slope:.2f}" if known else f"an assumed slope {slope:.2f}"
    return WindowFactor(
        window_s=window_s,
        step_min=step_min,
        variance=inner_variance(share, slope=slope, half=half),
        note=f"to {window_s:g} s extrapolated from {step_min:g} min with {source}",
    )


def assumed_window(window_s: float) -> WindowFactor | None:
    """Return the factor from a minute where no minutes tell; None for a window of a minute."""
    return extrapolated_window(Unevenness(), window_s=window_s, step_min=1)
