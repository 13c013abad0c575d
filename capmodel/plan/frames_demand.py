"""Demand, year-over-year, lifts and fits, as frames."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from capmodel.capacity.risk import mixture_quantiles
from capmodel.demand import DemandFit
from capmodel.plan.equip import root_basis
from capmodel.plan.frames_limits import MIXTURE, scenario_weights
from capmodel.schema import worst_basis
from capmodel.usage import UsageFit

if TYPE_CHECKING:
    from capmodel.capacity.loads import Loads
    from capmodel.plan.make import Solved

__all__ = ["demand_frame", "fits_frame", "lifts_frame", "yoy_frame"]

QUANTILES = (0.10, 0.50, 0.90, 0.95)
DEMAND_COLUMNS = [
    "scenario", "service", "kind", "quantity", "window", "date", "event", "peak_p10", "peak_p50",
    "peak_p90", "peak_p95", "own_p50", "gap_x", "basis", "paths",
]  # fmt: skip
YOY_COLUMNS = [
    "scenario", "driver", "last_season_yoy_x", "run_rate_yoy_x", "scenario_yoy_x",
    "change_from_today_x", "basis",
]  # fmt: skip
GROWTH_COLUMNS = ("last_season_yoy_x", "run_rate_yoy_x")
LIFT_COLUMNS = [
    "service", "event", "n_events", "lift_x", "lift_p10", "lift_p90", "window_lift_x",
    "peak_hour_lift_x", "left_out_error", "basis", "donors",
]  # fmt: skip
FIT_COLUMNS = [
    "service", "resource", "term", "value", "low", "high", "unit", "identifiable", "load_max",
    "load_per_pod_max", "n_used", "r2", "regime_from", "regime_change_x", "basis",
]  # fmt: skip


def demand_frame(solved: Solved) -> pd.DataFrame:
    """Return busiest minutes: roots by day and season, services and externals by season."""
    rows: list[dict[str, Any]] = []
    for name, loads in zip(solved.request.names, solved.futures.loads, strict=True):
        for root in solved.fit.roots:
            rows += _root_days(solved, name, root, loads)
    for node in solved.estate.topology.order:
        peaks = solved.needs.load_peak[node]
        rows += [_season_row(solved, s, node, peaks) for s in (*solved.request.names, MIXTURE)]
    return pd.DataFrame(rows, columns=DEMAND_COLUMNS)


def _unit(solved: Solved, node: str) -> tuple[str, float]:
    per_minute = node in solved.estate.topology.drivers
    return ("per_min", 60.0) if per_minute else ("rps", 1.0)


def _root_days(solved: Solved, scenario: str, root: str, loads: Loads) -> list[dict[str, Any]]:
    quantity, x = _unit(solved, root)
    peak = np.sort(loads.root_peak(root) * x, axis=0)
    at = [max(math.ceil(q * len(peak) - 1e-9) - 1, 0) for q in QUANTILES]
    path = solved.futures.roots[root].root
    return [
        {
            "scenario": scenario,
            "service": root,
            "kind": "root",
            "quantity": quantity,
            "window": "day",
            "date": str(day),
            "event": path.event[i],
            **_quantile_columns(peak[at, i]),
            "own_p50": math.nan,
            "gap_x": math.nan,
            "basis": root_basis(solved.fit, root),
            "paths": root,
        }
        for i, day in enumerate(solved.request.dates)
    ]


def _quantile_columns(values: np.ndarray) -> dict[str, float]:
    names = ("peak_p10", "peak_p50", "peak_p90", "peak_p95")
    return dict(zip(names, (float(v) for v in values), strict=True))


def _season_row(solved: Solved, scenario: str, node: str, peaks: np.ndarray) -> dict[str, Any]:
    quantity, x = _unit(solved, node)
    weights = scenario_weights(solved, scenario)
    values = np.array([peaks[at] * x for at in mixture_quantiles(peaks, QUANTILES, weights)])
    topology = solved.estate.topology
    kind = (
        "root"
        if node in solved.fit.roots
        else "external"
        if node in topology.externals
        else "service"
    )
    own = {o.service: o for o in solved.futures.own}.get(node)
    show = own is not None and scenario == solved.request.names[0]
    return {
        "scenario": scenario,
        "service": node,
        "kind": kind,
        "quantity": quantity,
        "window": "season",
        "date": "",
        "event": "",
        **_quantile_columns(values),
        "own_p50": own.own_p50 if own and show else math.nan,
        "gap_x": own.gap_x if own and show else math.nan,
        "basis": solved.estate.call_basis[node],
        "paths": solved.called_by[node, ""],
    }


def yoy_frame(solved: Solved) -> pd.DataFrame:
    """Return each root's growth: last season's, the run rate's, the scenario's, from today."""
    fit = solved.fit
    growth = _growth(solved)
    rows = []
    for scenario in solved.request.scenarios:
        for root in fit.roots:
            known = growth.get(root, {})
            run_rate = known.get("run_rate_yoy_x", math.nan)
            stated = scenario.growth_yoy_x.get(root, math.nan)
            rows.append(
                {
                    "scenario": scenario.name,
                    "driver": root,
                    "last_season_yoy_x": known.get("last_season_yoy_x", math.nan),
                    "run_rate_yoy_x": run_rate,
                    "scenario_yoy_x": stated,
                    "change_from_today_x": stated / run_rate,
                    "basis": "assumed" if root in scenario.growth_yoy_x else root_basis(fit, root),
                }
            )
    return pd.DataFrame(rows, columns=YOY_COLUMNS)


def _growth(solved: Solved) -> dict[str, dict[str, float]]:
    """Return each forecast service's growth against the season that the plan is for."""
    if not isinstance(solved.fit.demand, DemandFit):
        return {}
    season = solved.request.season_start, solved.request.season_end
    return {
        str(row["service"]): {name: float(row[name]) for name in GROWTH_COLUMNS}
        for row in solved.fit.demand.growth(*season).to_dict("records")
    }


def lifts_frame(solved: Solved) -> pd.DataFrame:
    """Return fitted lifts of the roots, and the lifts that scenarios assume."""
    rows: list[dict[str, Any]] = []
    if isinstance(solved.fit.demand, DemandFit):
        fitted = solved.fit.demand.lifts()
        fitted = fitted[fitted["service"].isin(solved.fit.roots)]
        rows += [
            dict(zip(LIFT_COLUMNS, row, strict=True)) for row in fitted[LIFT_COLUMNS].to_numpy()
        ]
    for scenario in solved.request.scenarios:
        for event, lifts in scenario.lift.items():
            rows += [
                {
                    "service": root,
                    "event": event,
                    "n_events": 0,
                    "lift_x": lift,
                    "lift_p10": math.nan,
                    "lift_p90": math.nan,
                    "window_lift_x": lift,
                    "peak_hour_lift_x": math.nan,
                    "left_out_error": math.nan,
                    "basis": "assumed",
                    "donors": f"scenario {scenario.name}",
                }
                for root, lift in lifts.items()
            ]
    return pd.DataFrame(rows, columns=LIFT_COLUMNS)


def fits_frame(solved: Solved) -> pd.DataFrame:
    """Return every coefficient that the plan uses: usage fits and calls."""
    usage = UsageFit(fits=tuple(solved.fit.usage.values())).to_frame()
    rows: list[dict[str, Any]] = []
    for edge in solved.futures.calls.values():
        spread = 1.959963985 * edge.log_se
        rows.append(
            {
                "service": edge.node,
                "resource": "calls",
                "term": f"per {edge.caller}",
                "value": edge.ratio,
                "low": edge.ratio * math.exp(-spread),
                "high": edge.ratio * math.exp(spread),
                "unit": "ratio",
                "identifiable": True,
                "load_max": math.nan,
                "load_per_pod_max": math.nan,
                "n_used": 0,
                "r2": math.nan,
                "regime_from": "",
                "regime_change_x": math.nan,
                "basis": worst_basis([edge.basis]),
            }
        )
    calls = pd.DataFrame(rows, columns=FIT_COLUMNS)
    return usage if calls.empty else pd.concat([usage, calls], ignore_index=True)
