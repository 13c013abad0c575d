"""The plan's frames: their names, units and JSON form."""

from __future__ import annotations

import math
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

import numpy as np
import pandas as pd

__all__ = ["FRAMES", "MONEY", "UNITS", "frame_from_json", "frame_to_json"]

FRAMES: Final = (
    "demand", "fan", "yoy", "calendar_yoy", "lifts", "fits", "limits", "ladder", "shares",
    "callers", "services", "nodes", "databases", "sizing", "schedule", "provisioning", "mix",
    "mix_floor", "cost", "waterfall", "cost_hour", "cost_month", "unit_cost", "cost_term",
    "commitments", "reservations", "levers", "orders", "tripwires", "tripwire_curve", "release",
    "lead_times", "load_tests", "remedies", "options", "overlays", "event_hour", "rightsizing",
    "lookback", "risk", "register", "summary", "tornado", "factors", "changes", "assumptions",
    "findings",
)  # fmt: skip
"""In the order in which a reader meets them."""

MONEY: Final = (
    "usd", "usd_season", "usd_p50", "usd_p90", "over_usd", "under_usd", "regret_usd", "vs_plan_usd",
    "usd_low", "usd_high", "usd_plan", "swing_usd", "usd_if_known", "saves_usd",
    "usd_avoided", "usd_past_season",
    "usd_of_waiting", "usd_one_shot", "usd_expected",
    "on_demand_usd", "spot_usd", "existing_usd", "saving_usd", "paid_usd", "waste_usd", "used_usd",
    "idle_usd", "discount_usd", "idle_net_usd",
)  # fmt: skip
"""Columns of `Decimal` USD, written as text with two decimals."""

UNITS: Final[Mapping[str, str]] = {
    "usd": "USD",
    "usd_season": "USD",
    "usd_p50": "USD",
    "usd_p90": "USD",
    "over_usd": "USD",
    "under_usd": "USD",
    "regret_usd": "USD",
    "usd_avoided": "USD",
    "usd_past_season": "USD",
    "unit_hours_saved": "instance h",
    "min_vcpu": "vCPU",
    "usd_of_waiting": "USD",
    "usd_one_shot": "USD",
    "usd_expected": "USD",
    "units_before": "nodes",
    "units_after": "nodes",
    "one_shot_units": "nodes",
    "expected_units": "nodes",
    "run_rate_per_day": "driver's events/day",
    "threshold_per_day": "driver's events/day",
    "threshold_per_min": "driver's events/min",
    "need_p10": "nodes",
    "need_p50": "nodes",
    "need_p90": "nodes",
    "need_sized": "nodes",
    "on_demand_usd": "USD",
    "spot_usd": "USD",
    "existing_usd": "USD",
    "saving_usd": "USD",
    "paid_usd": "USD",
    "waste_usd": "USD",
    "used_usd": "USD",
    "idle_usd": "USD",
    "discount_usd": "USD",
    "idle_net_usd": "USD",
    "usd_per_hour_mean": "USD/h",
    "usd_per_hour_p50": "USD/h",
    "usd_per_hour_p90": "USD/h",
    "usage_usd_per_hour": "USD/h",
    "existing_usd_per_hour": "USD/h",
    "above_usd_per_hour": "USD/h",
    "covers_usd_per_hour": "USD/h",
    "pays_usd_per_hour": "USD/h",
    "units_thousand": "thousand events",
    "usd_per_1k": "USD per 1,000 events",
    "years": "years",
    "vs_plan_usd": "USD",
    "usd_low": "USD",
    "usd_high": "USD",
    "usd_plan": "USD",
    "swing_usd": "USD",
    "usd_if_known": "USD",
    "saves_usd": "USD",
    "expected_shortfall": "unit",
    "shortfall_if": "unit",
    "nodes_low": "nodes",
    "nodes_high": "nodes",
    "nodes_plan": "nodes",
    "swing_nodes": "nodes",
    "units": "pods or nodes, or the limit's unit",
    "units_p50": "pods or nodes",
    "unit_hours_mean": "node h",
    "unit_hours_p50": "node h",
    "unit_hours_p90": "node h",
    "short_hours_mean": "h",
    "short_hours_p90": "h",
    "peak_units_p50": "nodes",
    "peak_units_max": "nodes",
    "price_usd_per_hour": "USD/h",
    "peak_p10": "quantity",
    "peak_p50": "quantity or unit",
    "peak_p90": "quantity",
    "peak_p95": "quantity or unit",
    "hours": "h",
    "lead_days": "days",
    "nodes": "nodes",
    "required": "nodes",
    "replicas_needed": "pods",
    "cpu_cores_p50": "cores",
    "connections_p50": "connections",
    "replicas": "pods",
    "minutes_above_hard_p50": "min",
    "minutes_above_hard_p95": "min",
    "backlog_p95": "requests",
    "drain_min_p95": "min",
    "pods_start": "pods",
    "pods_peak": "pods",
    "nodes_start": "nodes",
    "nodes_peak": "nodes",
    "pre_scale_pods": "pods",
    "pre_scale_nodes": "nodes",
    "pre_scale_min_before": "min",
    "pods_at_theirs": "pods",
    "hpa_percent": "percent of the request",
    "freed_usd_per_hour": "USD/h",
    "theirs": "unit",
    "ours": "unit",
    "least": "unit",
    "short": "unit",
}
"""Units that a saved frame states beside its columns; ratios have none."""


def frame_to_json(frame: pd.DataFrame) -> dict[str, Any]:
    """Return ``{columns, units, rows}`` of plain values; missing is null."""
    columns = list(frame.columns)
    rows = [[_plain(v) for v in row] for row in frame.itertuples(index=False, name=None)]
    return {"columns": columns, "units": [UNITS.get(c, "") for c in columns], "rows": rows}


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, str | Decimal):
        return value
    if isinstance(value, bool | np.bool_):
        return bool(value)
    if isinstance(value, int | np.integer):
        return int(value)
    if isinstance(value, float | np.floating):
        return float(value) if math.isfinite(value) else None
    return str(value)


def frame_from_json(data: Mapping[str, Any]) -> pd.DataFrame:
    """Return the frame of :func:`frame_to_json`; money is `Decimal` again, null is NaN."""
    frame = pd.DataFrame(data["rows"], columns=data["columns"])
    for column in frame.columns:
        if column in MONEY:
            # pandas reads null beside text as NaN
            money = [Decimal(v) if isinstance(v, str) else None for v in frame[column]]
            frame[column] = pd.Series(money, index=frame.index, dtype=object)
        elif len(frame) and frame[column].isna().all():
            frame[column] = np.nan  # text is never missing, so nulls alone are numbers
    return frame
