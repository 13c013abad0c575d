"""The first weeks of a forecast: where the last residuals carry it.

This module answers: yesterday and last week ran above the calendar's expectation; for how long will
that go on? An autoregression of the regression's residuals says so, by the hour.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from capmodel.demand.autoregression import AutoregressionFit, extend_ar, fit_ar
from capmodel.demand.design import HOURS

__all__ = ["SHORT_RANGE_DAYS", "ShortRange", "fit_short_range"]

LAGS: Final = (1, 2, 3, 4, 23, 24, 25, 48, 72, 96, 120, 144, 168, 336, 504, 672)
"""The last hours, the same hour of the last week's days, and of the last four weeks [hours]."""
RIDGE: Final = 5.0
"""Penalty of the coefficients [rows]."""
FIT_DAYS: Final = 364
"""Residuals further back say little about how they persist today [days]."""
LEAST_DAYS: Final = 56
"""Shorter histories get no correction: their residuals are too small a sample [days]."""
SHORT_RANGE_DAYS: Final = 42
"""The correction is carried this far; by then it has faded [days]."""


@dataclass(frozen=True, slots=True, eq=False)
class ShortRange:
    """An autoregression of residuals and the last of them."""

    fit: AutoregressionFit | None
    """None where the history is too short."""
    tail: np.ndarray
    """Last residuals that were observed, shape (672, S) [z]."""
    skip: int
    """Hours between the last observed one and the end of the last local day."""

    def correction(self, n_days: int) -> np.ndarray | None:
        """Return what to add on the days after the window, shape (<= n_days, 24, S) [z].

        Days beyond the short range get nothing; None where there is no correction at all.
        """
        days = min(n_days, SHORT_RANGE_DAYS)
        if self.fit is None or days == 0:
            return None
        path = extend_ar(self.fit, self.tail, self.skip + days * HOURS)
        # The residuals' own mean is the regression's business.
        return np.asarray((path - self.fit.mean)[self.skip :].reshape(days, HOURS, -1))


def fit_short_range(residual: np.ndarray) -> ShortRange:
    """Fit the autoregression of a cohort's residuals.

    Parameters
    ----------
    residual
        Residuals without outliers, NaN for gaps, shape (N, 24, S) [z]. A gap counts as no residual:
        leaving out every row with a gap in one of 16 lags would leave few, and those believed.
    """
    flat = residual.reshape(-1, residual.shape[2])
    seen = np.flatnonzero((~np.isnan(flat)).any(axis=1))
    last = int(seen[-1]) + 1 if len(seen) else 0
    if last < LEAST_DAYS * HOURS:
        return ShortRange(fit=None, tail=flat[:0], skip=0)
    recent = np.nan_to_num(flat[max(last - FIT_DAYS * HOURS, 0) : last])
    return ShortRange(
        fit=fit_ar(recent, lags=LAGS, ridge=RIDGE),
        tail=recent[-max(LAGS) :],
        skip=len(flat) - last,
    )
