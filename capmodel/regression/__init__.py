"""Robust regression kernels on arrays: lines, their covariance, identifiability, change points.

This package answers: what does a unit of load use, how sure is that, and when did it change? It
knows arrays only: no services, no dates, no units. Rows may be wrong, held at a limit, or count for
many; coefficients may be known from before.
"""

from __future__ import annotations

from capmodel.regression.certainty import remaining_share, sandwich_covariance
from capmodel.regression.changes import ChangePoint, change_points, group_median, long_run_scale
from capmodel.regression.drift import CoefficientDrift, coefficient_drift
from capmodel.regression.lines import BISQUARE_C, HUBER_K, RobustFit, huber_nnls, mm_nnls
from capmodel.regression.steps import MAD_TO_SD, nnls, scaled_mad, stride

__all__ = [
    "BISQUARE_C",
    "HUBER_K",
    "MAD_TO_SD",
    "ChangePoint",
    "CoefficientDrift",
    "RobustFit",
    "change_points",
    "coefficient_drift",
    "group_median",
    "huber_nnls",
    "long_run_scale",
    "mm_nnls",
    "nnls",
    "remaining_share",
    "sandwich_covariance",
    "scaled_mad",
    "stride",
]
