"""How good is a forecast: the field's standard measures, on arrays.

This package answers: how far is a forecast from what happened, is it biased, do its quantiles hold,
and is it better than a naive one? It knows neither services nor dates.

The last axis is time; leading axes (series, origins, …) broadcast, and every measure has one value
for each of them. Steps whose actual is NaN are left out and counted (:func:`n_judged`); a forecast
that is NaN where the actual is known makes the measure NaN, never better. No judged step gives NaN.

>>> from capmodel import accuracy
>>> float(accuracy.wape([100.0, 300.0], [110.0, 270.0]))
0.1
"""

from __future__ import annotations

from capmodel.accuracy.naive import is_seasonal, naive2, seasonal_indices, seasonal_naive
from capmodel.accuracy.points import (
    bias,
    geometric_mean_ratio,
    mae,
    mase,
    n_judged,
    owa,
    seasonal_scale,
    smape,
    wape,
)
from capmodel.accuracy.quantiles import (
    Share,
    binomial_interval,
    clustered_share,
    coverage,
    msis,
    pinball,
)

__all__ = [
    "Share",
    "bias",
    "binomial_interval",
    "clustered_share",
    "coverage",
    "geometric_mean_ratio",
    "is_seasonal",
    "mae",
    "mase",
    "msis",
    "n_judged",
    "naive2",
    "owa",
    "pinball",
    "seasonal_indices",
    "seasonal_naive",
    "seasonal_scale",
    "smape",
    "wape",
]
