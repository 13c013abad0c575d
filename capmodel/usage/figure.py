"""What a figure of one usage line shows: rows, the line over load, and where it extrapolates.

This module answers: which points and which line stand for this fit on paper? It draws nothing.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
import pandas as pd

from capmodel.usage.linear import NORMAL_5_50_95, LinearUsage
from capmodel.usage.terms import follows

__all__ = ["figure_data"]

_STEPS: Final = 81
_BEYOND: Final = 1.5
"""How far beyond the largest load seen the line is drawn [ratio]."""

_ROLES: Final = {"used": "used", "load_test": "load_test", "saturated": "censored"}


def figure_data(
    usage: LinearUsage, *, planned_rps: float | None = None
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the points and the line of a figure, per pod where pods were counted.

    Parameters
    ----------
    usage
        The line.
    planned_rps
        Load that the line should reach [1/s, per pod where pods were counted].

    Returns
    -------
    points, line
        ``load, usage, role`` of some rows (empty for declared usage), and ``load, p05, p50, p95,
        extrapolating`` from 0 to half as much again as was seen, or to the planned load.
    """
    seen = usage.load_per_pod_max if "per_pod" in usage.terms else usage.load_total_max
    top = _BEYOND * seen if math.isfinite(seen) else 0.0
    top = max(top, 1.1 * (planned_rps or 0.0)) or 100.0
    load = np.linspace(0.0, top, _STEPS)
    loads = _loads_at(usage, load)
    p05, p50, p95 = usage.quantiles(loads, normal=np.array(NORMAL_5_50_95)).T
    beyond = load > seen if math.isfinite(seen) else np.zeros(_STEPS, dtype=bool)
    line = pd.DataFrame({"load": load, "p05": p05, "p50": p50, "p95": p95, "extrapolating": beyond})
    sample = usage.sample
    if sample is None:
        return pd.DataFrame({"load": [], "usage": [], "role": []}), line
    roles = [_ROLES.get(role, "dropped") for role in sample.role.tolist()]
    return pd.DataFrame({"load": sample.load, "usage": sample.usage, "role": roles}), line


def _loads_at(usage: LinearUsage, load: np.ndarray) -> np.ndarray:
    """Return the load matrix of one pod (or of the node) at these requests, shape (T, K)."""
    typical = usage.typical if len(usage.typical) else np.ones(len(usage.terms))
    columns = []
    for k, term in enumerate(usage.terms):
        if term == "per_request_above_knee":
            columns.append(np.maximum(load - usage.knee_per_pod, 0.0))
        elif follows(term) == "requests":
            columns.append(typical[k] * load)
        else:
            columns.append(np.full(len(load), 0.0 if term == "per_work" else typical[k]))
    return np.column_stack(columns)
