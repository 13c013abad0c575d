"""The ladder of limits and the risk of each tier, as frames."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from capmodel.capacity.curves import multiple_at
from capmodel.capacity.risk import (
    mixture_quantiles,
    mixture_value,
    probability,
    standard_error,
)
from capmodel.capacity.sizing import OWN_NEED, hold_needs, whole_nodes, whole_pods
from capmodel.schema import MIXTURE, Status

if TYPE_CHECKING:
    from capmodel.capacity.curves import Curve
    from capmodel.capacity.estate import Limit
    from capmodel.capacity.sizing import HoldNeed, LimitPaths
    from capmodel.plan.make import Solved

__all__ = ["MIXTURE", "limits_frame", "risk_frame", "scenario_weights", "scenarios_of"]

BEYOND = 2.0
"""A status changes only where a probability passes its bound by this many standard errors."""
LIMIT_COLUMNS = [
    "scenario", "node", "limit", "unit", "tier", "hard", "policy_x", "today", "today_x",
    "peak_p50", "peak_p95", "utilization_p50", "utilization_p95", "p_saturate", "p_first", "p_any",
    "mc_se", "first_policy_breach", "first_hard_breach", "binds_at_x", "breaks_at_x", "status",
    "basis", "extrapolating", "remedy",
]  # fmt: skip


def scenario_weights(solved: Solved, scenario: str) -> np.ndarray:
    """Return the weights that stand for a scenario, or the mixture's."""
    if scenario == MIXTURE:
        return solved.request.weights
    return np.array([1.0 if name == scenario else 0.0 for name in solved.request.names])


def scenarios_of(solved: Solved) -> tuple[str, ...]:
    """Return the scenarios' names, then the mixture."""
    return (*solved.request.names, MIXTURE)


def limits_frame(solved: Solved, beyond: Mapping[str, float]) -> pd.DataFrame:
    """Return one row per scenario (and the mixture) and limit, what breaks first on top."""
    multiples = [_multiples(path.limit) for path in solved.paths]
    rows = [
        _row(solved, path, scenario, beyond) | found
        for scenario in scenarios_of(solved)
        for path, found in zip(solved.paths, multiples, strict=True)
    ]
    frame = pd.DataFrame(rows, columns=LIMIT_COLUMNS)
    return _ladder_order(frame, [*solved.request.names, MIXTURE])


def _ladder_order(frame: pd.DataFrame, scenarios: list[str]) -> pd.DataFrame:
    """Sort by scenario, then date of the hard breach, date of the policy breach, multiple."""
    keyed = frame.assign(
        _scenario=frame["scenario"].map({s: i for i, s in enumerate(scenarios)}),
        _hard=frame["first_hard_breach"].where(frame["first_hard_breach"] != "", "9999"),
        _policy=frame["first_policy_breach"].where(frame["first_policy_breach"] != "", "9999"),
        _x=frame["breaks_at_x"].fillna(math.inf),
    )
    keys = ["_scenario", "_hard", "_policy", "_x", "node", "limit"]
    return keyed.sort_values(keys, kind="stable")[LIMIT_COLUMNS].reset_index(drop=True)


def _row(
    solved: Solved, path: LimitPaths, scenario: str, beyond: Mapping[str, float]
) -> dict[str, Any]:
    limit = path.limit
    weights = scenario_weights(solved, scenario)
    p50, p95 = (
        float(path.season_peak[at])
        for at in mixture_quantiles(path.season_peak, (0.5, 0.95), weights)
    )
    risk = solved.limit_risk.get(limit.key)
    bounded = math.isfinite(limit.hard)
    p_saturate = probability(risk.saturate, weights) if risk else math.nan
    error = standard_error(risk.saturate, weights) if risk else math.nan
    hit = solved.tier_any.get(limit.tier)
    return {
        "scenario": scenario,
        "node": limit.node,
        "limit": limit.name,
        "unit": limit.unit,
        "tier": limit.tier,
        "hard": limit.hard,
        "policy_x": limit.policy_x,
        "peak_p50": p50,
        "peak_p95": p95,
        "utilization_p50": limit.share(p50),
        "utilization_p95": limit.share(p95),
        "p_saturate": p_saturate,
        "p_first": probability(risk.first, weights) if risk else math.nan,
        "p_any": probability(hit, weights) if hit is not None and bounded else math.nan,
        "mc_se": error,
        "first_policy_breach": _breach_date(solved, path.policy_day, weights),
        "first_hard_breach": _breach_date(solved, path.hard_day, weights),
        "status": _status(solved, path, scenario, p50, p_saturate, error),
        "basis": limit.basis,
        "extrapolating": beyond.get(limit.node, 0.0) > 1.0,
        "remedy": "",
    }


def _multiples(limit: Limit) -> dict[str, float]:
    """Return what a limit's curves say, the same in every scenario."""
    today = limit.curve.usage(1.0)
    return {
        "today": today,
        "today_x": limit.share(today),
        "binds_at_x": _multiple(limit.curve, limit.policy),
        "breaks_at_x": _multiple(limit.saturation, limit.hard),
    }


def _multiple(curve: Curve, bound: float) -> float:
    if not math.isfinite(bound):
        return math.nan
    x = multiple_at(curve, bound)
    return x if math.isfinite(x) else math.nan


def _breach_date(solved: Solved, first: np.ndarray, weights: np.ndarray) -> str:
    """Return the first day of the season whose P50 usage exceeds a bound, '' where none does.

    For the mixture: the day by which scenarios of at least half the probability have breached.
    `first` is each scenario's, -1 for never, shape (S,).
    """
    never = len(solved.request.dates)
    days = np.where(first < 0, never, first)
    order = np.argsort(days, kind="stable")
    reached = np.cumsum(weights[order]) >= 0.5 - 1e-12
    day = int(days[order[int(reached.argmax())]])
    return "" if day == never else str(solved.request.dates[day])


def _status(
    solved: Solved,
    path: LimitPaths,
    scenario: str,
    p50: float,
    p_saturate: float,
    error: float,
) -> Status:
    """Return the status of a scenario row or the mixture row.

    A scenario's: RED where the P50 exceeds the hard value or a promised failure would, AMBER where
    it exceeds the policy or the limit's own probability the risk. The mixture's: RED where the
    tier's risk is exceeded and the limit must grow for it.
    """
    limit = path.limit
    if not math.isfinite(limit.hard):
        return "GREY"
    risk = solved.risks[limit.tier]
    likely = p_saturate > risk + BEYOND * error
    if scenario == MIXTURE:
        p_any, any_error = solved.p_any(limit.tier)
        broken = p_any > risk + BEYOND * any_error and p_saturate > BEYOND * error
        if broken and _needs_more(solved, path):
            return "RED"
    elif mixture_value(
        path.full_peak, 0.5, scenario_weights(solved, scenario)
    ) > limit.hard or _fails_under_failure(solved, path, scenario):
        return "RED"
    if p50 > limit.policy or likely:
        return "AMBER"
    return "GREEN" if limit.follows_load else "GREY"


def _needs_more(solved: Solved, path: LimitPaths) -> bool:
    """Return whether a limit must grow for its tier to keep the risk.

    A limit that is rarely exceeded and fits within its share of the tier's risk stays as it is:
    what brings the tier back is ordered elsewhere.
    """
    limit = path.limit
    if limit.kind in OWN_NEED:
        return solved.sizes[limit.tier].sizes[limit.key] > limit.hard
    if limit.kind == "throttling":
        return True  # measured inside a pod: no number of pods is its need
    rows = _rows(solved, path, MIXTURE)
    sized = [row for row, _ in rows if row.hold.at_saturation]
    return not sized or any(row.units > most for row, most in rows if row.hold.at_saturation)


def _fails_under_failure(solved: Solved, path: LimitPaths, scenario: str) -> bool:
    """Return whether a failure that the policy promises to survive needs more than exists."""
    limit = path.limit
    if limit.node in solved.needs.pods and limit.name != _first_use(solved, limit.node):
        return False
    rows = _rows(solved, path, scenario)
    return any(row.hold.zones_lost and row.units > most for row, most in rows)


def _rows(solved: Solved, path: LimitPaths, scenario: str) -> list[tuple[HoldNeed, float]]:
    """Return what each hold row asks of a pool or a service's pods, and the most there can be."""
    limit, needs = path.limit, solved.needs
    if limit.kind == "nodes":
        need, day, most = needs.nodes[limit.node], needs.nodes_day[limit.node], limit.hard
        zones = solved.estate.topology.pools[limit.node].zones
        whole = partial(whole_nodes, zones=zones)
    elif limit.node in needs.pods:
        service = solved.estate.topology.services[limit.node]
        if service.pool is None or service.replicas.max is None:
            return []
        need, day = needs.pods[limit.node], needs.pods_day[limit.node]
        zones, most = solved.estate.topology.pools[service.pool].zones, service.replicas.max
        whole = partial(whole_pods, zones=zones)
    else:
        return []
    kind = "nodes" if limit.kind == "nodes" else "pods"
    key = (limit.node, kind) if scenario == MIXTURE else None
    rows = hold_needs(
        need,
        day,
        sized=solved.sized(limit.tier, key),
        weights=scenario_weights(solved, scenario),
        whole=whole,
    )
    return [(row, float(most)) for row in rows]


def _first_use(solved: Solved, name: str) -> str:
    """Return the limit that stands for a service's pods in the ladder."""
    uses = solved.estate.services[name].uses
    return uses[0].resource if uses else "replicas"


def risk_frame(solved: Solved, after: Mapping[tuple[str, str], np.ndarray]) -> pd.DataFrame:
    """Return each tier's risk before and after the orders.

    Parameters
    ----------
    solved
        The plan's arrays.
    after
        (node, limit) to the paths on which it is exceeded once everything is ordered, (S, D).
    """
    rows = []
    for tier, risk in solved.risks.items():
        own = {
            key: hit for key, hit in after.items() if solved.estate.topology.tier_of(key[0]) == tier
        }
        for scenario in (*solved.request.names, MIXTURE):
            weights = scenario_weights(solved, scenario)
            hit = solved.tier_any.get(tier)
            if hit is None:
                continue
            p_any, error = probability(hit, weights), standard_error(hit, weights)
            left = np.logical_or.reduce([np.zeros_like(hit), *own.values()])
            rest, rest_error = probability(left, weights), standard_error(left, weights)
            rows.append(
                {
                    "tier": tier,
                    "scenario": scenario,
                    "risk": risk,
                    "alpha": solved.sizes[tier].alpha,
                    "p_any_sized": solved.sizes[tier].p_any,
                    "p_any": p_any,
                    "p_any_after_orders": rest,
                    "mc_se": error,
                    "contributors": _ranked(_hits_today(solved, tier), weights),
                    "contributors_after": _ranked(own, weights),
                    "status": "RED" if rest > risk + BEYOND * rest_error else "GREEN",
                }
            )
    columns = [
        "tier", "scenario", "risk", "alpha", "p_any_sized", "p_any", "p_any_after_orders", "mc_se",
        "contributors", "contributors_after", "status",
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=columns)


def _hits_today(solved: Solved, tier: int) -> dict[tuple[str, str], np.ndarray]:
    return {
        path.limit.key: solved.limit_risk[path.limit.key].saturate
        for path in solved.paths
        if path.limit.tier == tier and path.limit.key in solved.limit_risk
    }


def _ranked(hits: Mapping[tuple[str, str], np.ndarray], weights: np.ndarray) -> str:
    """Return the limits that are exceeded at all, the likeliest first."""
    share = {" ".join(key): probability(hit, weights) for key, hit in hits.items()}
    ranked = sorted(share.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(name for name, p in ranked if p > 0)
