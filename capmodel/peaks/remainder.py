"""What a service's minutes have of their own beside those of what feeds it.

This module answers: when a service's load is carried down from its driver, busiest minute and all,
how far is the service's own busiest minute from the carried one? The driver's part is shared by
all that it feeds; this part is each service's alone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from capmodel.peaks.pools import MIN_HOURS
from capmodel.regression import scaled_mad

__all__ = ["Remainder", "fit_remainder"]


@dataclass(frozen=True, slots=True)
class Remainder:
    """Lognormal factor on a service's load in the busiest minute."""

    log_median: float
    """Median of log(own ratio / carried ratio)."""
    log_sd: float
    n_hours: int

    def draw(self, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
        """Return one factor per cell [ratio].

        Examples
        --------
        >>> Remainder(0.0, 0.0, 100).draw((2,), np.random.default_rng(0)).tolist()
        [1.0, 1.0]
        """
        return np.asarray(np.exp(self.log_median + self.log_sd * rng.standard_normal(shape)))


def fit_remainder(own: np.ndarray, carried: np.ndarray, per_min: np.ndarray) -> Remainder | None:
    """Return the remainder of the busier half of a service's hours, None for fewer than 24.

    ``log R = median(log own − log carried)`` with variance ``var(log own) − var(log carried)``, no
    more than the variance of the difference and no less than 0: carried ratio times an independent
    R then spreads like the service's own ratio, and nothing counts twice.

    Parameters
    ----------
    own
        Busiest minute / mean of the service's hours, shape (n,) [ratio].
    carried
        The same of its callers' minutes, weighted by calls, in the same hours, shape (n,).
    per_min
        Mean of the service's hours [1/min], shape (n,).

    Returns
    -------
    Remainder or None

    Examples
    --------
    >>> carried = np.exp(np.random.default_rng(0).normal(0.2, 0.1, 200))
    >>> fit_remainder(carried * 1.1, carried, np.ones(200)).log_sd
    0.0
    """
    busy = per_min >= np.median(per_min) if len(per_min) else np.zeros(0, dtype=bool)
    n = int(np.count_nonzero(busy))
    if n < MIN_HOURS:
        return None
    own, carried = np.log(own[busy]), np.log(carried[busy])
    gap = own - carried
    spread, source, apart = (scaled_mad(v, center=None) ** 2 for v in (own, carried, gap))
    variance = max(min(spread - source, apart), 0.0)
    # Rounding of two equal variances is no spread.
    variance = 0.0 if variance < 1e-12 * source else variance
    return Remainder(float(np.median(gap)), math.sqrt(variance), n)
