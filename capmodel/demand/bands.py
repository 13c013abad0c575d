"""Quantiles of single hours without drawing paths.

This module answers: between which values does each hour of a forecast lie? The noise of the hour is
a quantile of past residuals; level, trend and event err by Student t; the widths add in squares.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from capmodel.demand.design import HOURS
from capmodel.demand.uncertainty import DRIFT_DAYS, OutOfSample

__all__ = ["BLOCK_HOURS", "hour_bands", "noise_table"]

BLOCK_HOURS: Final = 6
"""Noise is told apart by quarter of the day: nights are noisier than evenings [hours]."""
BLOCKS: Final = HOURS // BLOCK_HOURS
SAMPLE_DAYS: Final = 200
"""Days whose residuals are sorted, evenly spread over the window: enough for a P99 [days]."""


def noise_table(residual: np.ndarray, quantiles: tuple[float, ...]) -> np.ndarray:
    """Return quantiles of residuals by quarter of the day, shape (Q, 4, S).

    Parameters
    ----------
    residual
        Residuals of ordinary days with NaN for gaps, shape (N, 24, S).
    quantiles
        Probabilities, Q of them.
    """
    stride = max(len(residual) // SAMPLE_DAYS, 1)
    while stride > 1 and stride % 7 == 0:
        stride -= 1  # every weekday must have its turn
    sample = residual[::stride]
    table = np.empty((len(quantiles), BLOCKS, residual.shape[2]), dtype=residual.dtype)
    for block in range(BLOCKS):
        hours = sample[:, block * BLOCK_HOURS : (block + 1) * BLOCK_HOURS]
        ordered = np.sort(hours.reshape(-1, residual.shape[2]), axis=0)  # NaN sorts last
        count = (~np.isnan(ordered)).sum(axis=0)
        for i, q in enumerate(quantiles):
            at = np.maximum(np.ceil(q * count).astype(int) - 1, 0)
            table[i, block] = np.take_along_axis(ordered, at[None], axis=0)[0]
    return np.nan_to_num(table)


def hour_bands(
    log_median: np.ndarray,
    noise: np.ndarray,
    errors: OutOfSample,
    *,
    quantiles: tuple[float, ...],
    days_ahead: np.ndarray,
    event_sd: np.ndarray,
) -> np.ndarray:
    """Return the log quantiles of each hour, shape (Q, N, 24, S).

    ``median + n_50 +- sqrt((a (n_q - n_50))^2 + (t_q w)^2)`` with n the noise, a its inflation out
    of sample, and ``w^2 = level_sd^2 + drift_sd^2 * days / 90 + event_sd^2``, exact for normals.

    Parameters
    ----------
    log_median
        Shape (N, 24, S) [log].
    noise
        Quantiles of residuals by quarter of the day, the first one the median, (Q + 1, 4, S) [log].
    errors
        Level, drift and inflation of each service.
    quantiles
        Probabilities, Q of them.
    days_ahead
        Days since the last observed one, shape (N,).
    event_sd
        Log standard deviation of the events, 0 in ordinary hours, shape (N, 24, S), or (N, 1, S)
        where they cover whole days.
    """
    from scipy.special import stdtrit  # noqa: PLC0415  the package loads faster without it

    ahead = np.maximum(days_ahead, 0)[:, None] / DRIFT_DAYS
    season = (errors.level_sd**2 + errors.drift_sd**2 * ahead)[:, None, :] + event_sd**2
    season = season.astype(log_median.dtype)
    middle = np.repeat(noise[0], BLOCK_HOURS, axis=0)
    out = np.empty((len(quantiles), *log_median.shape), dtype=log_median.dtype)
    for i, q in enumerate(quantiles):
        width = (noise[i + 1] - noise[0]) * errors.inflation.astype(noise.dtype)
        t_square = log_median.dtype.type(stdtrit(errors.df, q) ** 2)
        np.multiply(season, t_square, out=out[i])
        out[i] += np.repeat(width**2, BLOCK_HOURS, axis=0)
        np.sqrt(out[i], out=out[i])
        if q < 0.5:  # noqa: PLR2004  the median
            np.negative(out[i], out=out[i])
        out[i] += log_median
        out[i] += middle
    return out
