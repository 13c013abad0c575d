"""From the mean of an hour to its busiest minute, and from the mean pod to the hottest.

``fit_peaks(fine)`` → :class:`PeakFit`, burst ratios per service learned from fine data or assumed.
"""

from __future__ import annotations

from capmodel.peaks.bursts import (
    EVENT_TAG,
    PRIOR_MEDIAN_X,
    PRIOR_P95_X,
    BurstPool,
    PeakFit,
    burst_ratios,
    fit_peaks,
    hour_mean_undersize,
    is_event_day,
)

__all__ = [
    "EVENT_TAG",
    "PRIOR_MEDIAN_X",
    "PRIOR_P95_X",
    "BurstPool",
    "PeakFit",
    "burst_ratios",
    "fit_peaks",
    "hour_mean_undersize",
    "is_event_day",
]
