"""Coefficients that wander: a Kalman filter for the cost of a unit of load.

This module answers: what does a unit of load use by now, and which row says that it changed? It
works on arrays.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

__all__ = ["CoefficientDrift", "coefficient_drift"]

_ALARM: Final = 4.0
"""Innovations beyond this are changes of cost, not noise [standard deviations]."""


@dataclass(frozen=True, slots=True, eq=False)
class CoefficientDrift:
    """Coefficients after each row, and how far each row was from what was expected.

    ``value`` (T, K) and ``covariance`` (T, K, K) after the row, ``innovation`` (T,) usage less its
    prediction, ``innovation_variance`` (T,), and ``z`` (T,) their ratio in standard deviations.
    """

    value: np.ndarray
    covariance: np.ndarray
    innovation: np.ndarray
    innovation_variance: np.ndarray

    @property
    def z(self) -> np.ndarray:
        """Innovations [standard deviations]."""
        return np.asarray(self.innovation / np.sqrt(self.innovation_variance))

    @property
    def alarms(self) -> np.ndarray:
        """Rows whose usage the coefficients cannot explain: ``|z| > 4``."""
        return np.flatnonzero(np.abs(self.z) > _ALARM)


def coefficient_drift(
    design: np.ndarray,
    y: np.ndarray,
    *,
    start: np.ndarray,
    start_variance: np.ndarray,
    step_variance: np.ndarray,
    noise_variance: float | np.ndarray,
) -> CoefficientDrift:
    """Follow coefficients that move by a random walk: ``β_t = β_{t−1} + w``, ``y = xᵀβ_t + v``.

    Parameters
    ----------
    design, y
        Loads (T, K) and usage (T,), in order of time.
    start, start_variance
        Coefficients before the first row, and how well they are known, shape (K,).
    step_variance
        Variance of w, of one row to the next, shape (K,).
    noise_variance
        Variance of v, one for all rows or shape (T,); for relative noise of sd s that is (s·ŷ)².

    Returns
    -------
    CoefficientDrift

    Notes
    -----
    The filter follows an outlier as it follows a change; one alarm is a row to look at, a run of
    them a change of cost (:func:`capmodel.regression.change_points` dates it).

    References
    ----------
    Kalman (1960), J. Basic Engineering 82, 35–45; Harvey (1989), *Forecasting, Structural Time
    Series Models and the Kalman Filter*, section 3.2.

    Examples
    --------
    >>> rps = np.array([100.0, 120.0, 95.0, 138.0, 140.0])
    >>> cores = np.array([0.52, 0.61, 0.48, 0.70, 0.90])
    >>> drift = coefficient_drift(
    ...     rps[:, None],
    ...     cores,
    ...     start=np.array([0.005]),
    ...     start_variance=np.array([1e-6]),
    ...     step_variance=np.array([1e-8]),
    ...     noise_variance=4e-4,
    ... )
    >>> drift.z.round(2).tolist(), drift.alarms.tolist()
    ([0.2, -0.39, -0.26, -0.11, 6.55], [4])
    """
    rows, columns = design.shape
    noise = np.broadcast_to(np.asarray(noise_variance, dtype=float), (rows,))
    value, covariance = np.asarray(start, dtype=float), np.diag(start_variance)
    values, covariances = np.empty((rows, columns)), np.empty((rows, columns, columns))
    innovation, variance = np.empty(rows), np.empty(rows)
    for t, x in enumerate(design):
        covariance = covariance + np.diag(step_variance)
        spread = covariance @ x
        innovation[t], variance[t] = y[t] - x @ value, x @ spread + noise[t]
        value = value + spread / variance[t] * innovation[t]
        covariance = covariance - np.outer(spread, spread) / variance[t]
        values[t], covariances[t] = value, covariance
    return CoefficientDrift(values, covariances, innovation, variance)
