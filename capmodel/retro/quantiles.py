"""Where an actual lies in what was planned, read from a few quantiles.

This module answers: which quantile of the plan did happen, and what is the quantile of a mixture of
scenarios of which only P10, P50, P90 and P95 are known?
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

__all__ = ["LEVELS", "mixture_quantiles", "normal_score", "pit"]

LEVELS: Final = (0.10, 0.50, 0.90, 0.95)
"""The quantiles that a plan holds."""
GRID: Final = 1201
REACH: Final = 4.0
"""Normal scores on either side that the grid of a mixture covers."""


def normal_score(value: float, quantiles: Sequence[float]) -> float:
    """Return the normal score of a value among the P10, P50, P90 and P95 of a positive quantity.

    The score is linear in the logarithm between the known quantiles, and beyond them goes on as
    steeply as between the outermost two: a log-normal forecast gives ``(ln y - ln p50) / sigma``
    exactly.

    Parameters
    ----------
    value
        What happened, above 0.
    quantiles
        Its planned P10, P50, P90 and P95 [the same unit], above 0.

    Returns
    -------
    float
        NaN where the plan has no spread, or something is not positive.

    Examples
    --------
    >>> p10, p50, p90, p95 = (1000 * np.exp(0.1 * z) for z in (-1.281552, 0, 1.281552, 1.644854))
    >>> round(normal_score(1000 * np.exp(0.2), (p10, p50, p90, p95)), 6)
    2.0
    """
    from scipy.special import ndtri  # noqa: PLC0415  the package loads faster without it

    known = np.asarray(quantiles, dtype=float)
    if not (value > 0 and (known > 0).all()):
        return float("nan")
    logs, scores = np.log(known), ndtri(np.array(LEVELS))
    distinct = np.concatenate([[True], np.diff(logs) > 0])
    logs, scores = logs[distinct], scores[distinct]
    if len(logs) < 2:  # noqa: PLR2004  a slope takes two points
        return float("nan")
    x = float(np.log(value))
    at = int(np.clip(np.searchsorted(logs, x), 1, len(logs) - 1))
    slope = (scores[at] - scores[at - 1]) / (logs[at] - logs[at - 1])
    return float(scores[at - 1] + slope * (x - logs[at - 1]))


def pit(value: float, quantiles: Sequence[float]) -> float:
    """Return the planned probability of at most a value: its probability integral transform.

    References
    ----------
    Dawid, A. P. (1984). Statistical theory: the prequential approach. Journal of the Royal
    Statistical Society A 147(2), 278-292.

    Examples
    --------
    >>> round(pit(5986.0, (5030.0, 5986.0, 7319.0, 7737.0)), 6)
    0.5
    """
    from scipy.special import ndtr  # noqa: PLC0415  the package loads faster without it

    return float(ndtr(normal_score(value, quantiles)))


def mixture_quantiles(
    quantiles: Sequence[Sequence[float]], weights: Sequence[float]
) -> tuple[float, ...]:
    """Return P10, P50, P90 and P95 of a mixture of which each part's are known.

    Each part is taken for log-normal between its quantiles, see :func:`normal_score`; the mixture's
    distribution is their weighted sum, turned around on a grid of 1,201 logarithms.

    Parameters
    ----------
    quantiles
        One row of P10, P50, P90 and P95 per part, above 0.
    weights
        Of each part, summing to 1.

    Examples
    --------
    >>> rows = [(90.0, 100.0, 110.0, 113.0)] * 2
    >>> [round(q) for q in mixture_quantiles(rows, (0.4, 0.6))]
    [90, 100, 110, 113]
    """
    from scipy.special import ndtr, ndtri  # noqa: PLC0415  the package loads faster without it

    logs = np.log(np.asarray(quantiles, dtype=float))
    if (np.ptp(logs, axis=1) == 0).any():
        order = np.argsort(logs[:, 1])
        at = np.searchsorted(np.cumsum(np.asarray(weights)[order]), np.array(LEVELS) - 1e-12)
        return tuple(float(np.exp(logs[order[i], 1])) for i in np.minimum(at, len(order) - 1))
    scores = ndtri(np.array(LEVELS))
    reach = np.array([-REACH, REACH])
    ends = logs[:, [0, 3]] + (reach - scores[[0, 3]]) * np.stack(
        [
            (logs[:, 1] - logs[:, 0]) / (scores[1] - scores[0]),
            (logs[:, 3] - logs[:, 1]) / (scores[3] - scores[1]),
        ],
        axis=1,
    )
    grid = np.linspace(ends.min(), ends.max(), GRID)
    total = np.zeros(GRID)
    for row, end, weight in zip(logs, ends, weights, strict=True):
        at = np.concatenate([[end[0]], row, [end[1]]])
        known = np.concatenate([[-REACH], scores, [REACH]])
        total += weight * ndtr(np.interp(grid, at, known))
    return tuple(float(np.exp(np.interp(q, total, grid))) for q in LEVELS)
