"""The tables of a fit: growth and lifts of demand, usage per load, calls, bursts, imbalance."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import pandas as pd

from capmodel.demand import DemandFit
from capmodel.usage import UsageFit

if TYPE_CHECKING:
    from collections.abc import Mapping

    from capmodel.plan import CapacityFit

__all__ = ["SHOWN", "fit_tables"]

_Z_95: Final = 1.959963985

SHOWN: Final[Mapping[str, tuple[str, ...]]] = {
    "growth": ("service", "last_season_yoy_x", "run_rate_yoy_x", "fitted_yoy_x"),
    "lifts": (
        "service", "event", "n_events", "lift_x", "lift_p10", "lift_p90", "peak_hour_lift_x",
        "left_out_error", "basis",
    ),
    "usage": (
        "service", "resource", "term", "value", "low", "high", "unit", "identifiable",
        "load_max", "regime_from", "regime_change_x", "basis",
    ),
    "calls": ("caller", "node", "calls_x", "low", "high", "event_x", "basis"),
    "bursts": (
        "service", "hours", "n_hours", "median_x", "p95_x", "max_x", "dispersion_p50", "basis",
        "note",
    ),
    "imbalance": (
        "service", "unit", "quantity", "imbalance_x", "low", "high", "persistent_x",
        "n_intervals", "basis",
    ),
}  # fmt: skip
"""Table to the columns that a reader is shown."""


def fit_tables(fit: CapacityFit) -> dict[str, pd.DataFrame]:
    """Return what was fitted or declared, by name; growth and lifts of the plan's roots only."""
    tables: dict[str, pd.DataFrame] = {}
    if isinstance(fit.demand, DemandFit):
        tables = {"growth": fit.demand.growth(), "lifts": fit.demand.lifts()}
        tables = {
            name: frame[frame["service"].isin(fit.roots)].reset_index(drop=True)
            for name, frame in tables.items()
        }
    else:
        tables = {name: pd.DataFrame(columns=list(SHOWN[name])) for name in ("growth", "lifts")}
    tables["usage"] = UsageFit(fits=tuple(fit.usage.values())).to_frame()
    tables["calls"] = _calls(fit)
    tables["bursts"] = fit.peaks.summary
    tables["imbalance"] = fit.imbalance.to_frame()
    return tables


def _calls(fit: CapacityFit) -> pd.DataFrame:
    rows = [
        {
            "caller": edge.caller,
            "node": edge.node,
            "calls_x": edge.ratio,
            "low": edge.ratio * math.exp(-_Z_95 * edge.log_se),
            "high": edge.ratio * math.exp(_Z_95 * edge.log_se),
            "event_x": edge.event_x,
            "basis": edge.basis,
        }
        for edge in fit.calls.values()
    ]
    return pd.DataFrame(rows, columns=list(SHOWN["calls"]))
