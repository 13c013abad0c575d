"""From the mean of an hour to its busiest minute, and from the mean pod to the hottest.

``fit_peaks(fine)`` → :class:`PeakFit`, burst ratios per service and rate, learned from fine data or
assumed. ``fit_imbalance(units)`` → :class:`ImbalanceFit`, hottest pod, zone or reader / mean.
"""

from __future__ import annotations

from capmodel.peaks.bursts import PeakFit, hour_mean_undersize
from capmodel.peaks.counting import PRIOR_MEDIAN_X, PRIOR_P95_X
from capmodel.peaks.fitting import EVENT_TAG, fit_peaks, is_event_day
from capmodel.peaks.imbalance import ImbalanceFit, fit_imbalance
from capmodel.peaks.pools import BurstPool
from capmodel.peaks.ratios import Unevenness, burst_ratios, dispersion_index, variance_slope
from capmodel.peaks.remainder import Remainder
from capmodel.peaks.windows import WindowFactor

__all__ = [
    "EVENT_TAG",
    "PRIOR_MEDIAN_X",
    "PRIOR_P95_X",
    "BurstPool",
    "ImbalanceFit",
    "PeakFit",
    "Remainder",
    "Unevenness",
    "WindowFactor",
    "burst_ratios",
    "dispersion_index",
    "fit_imbalance",
    "fit_peaks",
    "hour_mean_undersize",
    "is_event_day",
    "variance_slope",
]
