"""Three ways to provide a pool's nodes on the same paths: static, scheduled, autoscaled.

This module answers: what does each take in node-hours and USD of the season, and for how long does
it leave the pool too small? *Static* holds the nodes that the plan orders, *scheduled* those of the
schedule, *autoscaled* follows the load at the planned utilization, late by `DELAY_H`. A pool is too
small in an hour in which its pods, each filled to its request, do not find room.

An hour is as busy as its mean says beside the day's busiest hour, which holds the day's busiest
minute. Every local day counts as 24 hours, also where clocks change. The first `DRAWS` paths of
each scenario are played: they share their luck over the scenarios.

Shapes: S scenarios, D draws, N local days of the season, 24 hours.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd

from capmodel.capacity.estate import AUTOSCALED, SATURATED, pool_services
from capmodel.capacity.evaluate import zone_fills
from capmodel.capacity.provisioning import (
    Autoscaler,
    Provisioning,
    autoscaled_units,
    compare_provisioning,
    scheduled_units,
    static_units,
)
from capmodel.capacity.replicas import ceil_units
from capmodel.cost import cents
from capmodel.plan.frames_limits import BEYOND, MIXTURE
from capmodel.plan.frames_schedule import Schedule, packing_x
from capmodel.plan.term_usage import day_profile

if TYPE_CHECKING:
    from capmodel.capacity.estate import Estate
    from capmodel.capacity.loads import Loads
    from capmodel.plan.make import Solved
    from capmodel.plan.supply import Supply

__all__ = ["DELAY_H", "provisioning_frame"]

PROVISIONING_COLUMNS = [
    "scenario", "pool", "way", "draws", "hours", "unit_hours_mean", "unit_hours_p50",
    "unit_hours_p90", "of_largest_x", "usd", "usd_p50", "usd_p90", "short_hours_mean",
    "short_hours_p90", "p_short", "mc_se", "peak_units_p50", "peak_units_max", "status", "reason",
]  # fmt: skip
MONEY: Final = ("usd", "usd_p50", "usd_p90")

DRAWS: Final = 100
"""Paths of each scenario that are played hour by hour."""

DELAY_H: Final = 240 / 3600
"""From a rise of the load to pods that serve on a new node [h]: the event hour's priors, 60 s for
the metric, 15 s for the sync, 120 s for the node and 45 s for the pod."""

HOURS: Final = 24


def provisioning_frame(solved: Solved, supply: Supply, schedule: Schedule) -> pd.DataFrame:
    """Return one row per pool and way, for the mixture; one GREY row where there are no hours.

    ``usd = unit_hours * the pool's price``, on demand. A way is RED where any hour of the season is
    likelier too small than the tier's risk allows, by two standard errors.
    """
    rows: list[dict[str, Any]] = []
    for name in solved.needs.nodes:
        daily = schedule.daily("nodes", name)[solved.season.days]
        reason = _without_hours(solved, name) or _without_nodes(daily)
        nodes = None if reason else _hourly(solved, name, packing_x(solved, supply, name))
        if nodes is None:
            reason = reason or "on some paths no number of nodes suffices"
            rows.append({"scenario": MIXTURE, "pool": name, "way": "", "status": "GREY",
                         "reason": reason} | dict.fromkeys(MONEY))  # fmt: skip
        else:
            rows += _compared(solved, supply, name, daily, nodes)
    return pd.DataFrame(rows, columns=PROVISIONING_COLUMNS)


def _roots(solved: Solved, pool: str) -> list[str]:
    topology = solved.estate.topology
    feeding = (topology.roots_of(name) for name in pool_services(solved.estate, pool))
    return sorted({root for roots in feeding for root in roots})


def _without_hours(solved: Solved, pool: str) -> str:
    """Return why a pool's load has no hours, '' where it has."""
    flat = [
        root
        for root in _roots(solved, pool)
        if any(load.roots[root].root.shape.shape[2] != HOURS for load in solved.futures.loads)
    ]
    if not flat:
        return ""
    return f"no hours are known of {', '.join(flat)}: a level stands for the whole day"


def _without_nodes(daily: np.ndarray) -> str:
    return "" if np.isfinite(daily).all() else "in some window no number of nodes suffices"


def _hourly(solved: Solved, pool: str, loss: float) -> tuple[np.ndarray, np.ndarray] | None:
    """Return nodes at the autoscaler's target and with every pod full, (S, D, N * 24) each.

    None where they are infinite.
    """
    draws, zones = slice(0, DRAWS), solved.estate.topology.pools[pool].zones
    estate = solved.estate.take(draws, solved.season.days)
    followed, full = [], []
    for load in solved.futures.loads:
        fills = _hour_fills(estate, load.take(draws, solved.season.days), solved, pool)
        followed.append(zones * ceil_units(fills[0] * loss))
        full.append(zones * ceil_units(fills[1]))
    nodes = np.stack(followed), np.stack(full)
    return nodes if all(np.isfinite(n).all() for n in nodes) else None


def _hour_fills(
    estate: Estate, loads: Loads, solved: Solved, pool: str
) -> tuple[np.ndarray, np.ndarray]:
    """Return the fill of one zone by hour at the target and with pods full, (D, N * 24) each."""
    draws, days = slice(0, DRAWS), solved.season.days
    profiles = {root: _profile(loads, root, draws, days) for root in _roots(solved, pool)}
    peaks = {root: loads.root_peak(root) for root in profiles}
    rows: tuple[list[np.ndarray], list[np.ndarray]] = ([], [])
    for hour in range(HOURS):
        instant = {root: peaks[root] * profiles[root][:, :, hour] for root in profiles}
        fills = zone_fills(estate, loads, pool, (AUTOSCALED, SATURATED), instant)
        for row, fill in zip(rows, fills, strict=True):
            row.append(fill)
    target, full = (np.stack(row, axis=2).reshape(len(row[0]), -1) for row in rows)
    return target, full


def _profile(loads: Loads, root: str, draws: slice, days: slice) -> np.ndarray:
    """Return each hour's mean over that of the day's busiest hour, (D or 1, N, 24) [ratio]."""
    shape = loads.roots[root].root.shape
    return day_profile((shape if len(shape) == 1 else shape[draws])[:, days])


def _compared(
    solved: Solved,
    supply: Supply,
    name: str,
    daily: np.ndarray,
    nodes: tuple[np.ndarray, np.ndarray],
) -> list[dict[str, Any]]:
    pool = solved.estate.topology.pools[name]
    followed, full = nodes
    scaler = Autoscaler(
        units_per_load=1.0,
        minimum=0.0,
        maximum=math.inf if pool.max is None else float(pool.max),
        delay_h=DELAY_H,
    )
    placed = float(supply.pools[MIXTURE, name].placed.nodes)
    ways = {
        "static": static_units(np.array([placed])),
        "scheduled": scheduled_units(daily, day_of_step=np.repeat(np.arange(len(daily)), HOURS)),
        "autoscaled": autoscaled_units(followed, scaler, step_h=1.0),
    }
    found = compare_provisioning(
        full, ways, hard_units_per_load=1.0, weights=solved.request.weights, step_h=1.0
    )
    node = solved.request.catalog.node_type(solved.estate.nodes[name].instance_type)
    risk = solved.risks[solved.estate.topology.tier_of(name)]
    most = max(way.unit_hours_mean for way in found.ways.values())
    return [
        {
            "scenario": MIXTURE,
            "pool": name,
            "way": way,
            "draws": full.shape[1],
            "hours": found.hours,
            **_figures(judged, most=most, price=node.price_usd_per_hour),
            "status": "RED" if judged.p_short > risk + BEYOND * judged.mc_se else "GREEN",
            "reason": "",
        }
        for way, judged in found.ways.items()
    ]


def _figures(judged: Provisioning, *, most: float, price: Decimal) -> Mapping[str, Any]:
    hours = (judged.unit_hours_mean, judged.unit_hours_p50, judged.unit_hours_p90)
    return {
        "unit_hours_mean": judged.unit_hours_mean,
        "unit_hours_p50": judged.unit_hours_p50,
        "unit_hours_p90": judged.unit_hours_p90,
        "of_largest_x": judged.unit_hours_mean / most if most else math.nan,
        **{
            column: cents(Decimal(repr(float(h))) * price)
            for column, h in zip(MONEY, hours, strict=True)
        },
        "short_hours_mean": judged.short_hours_mean,
        "short_hours_p90": judged.short_hours_p90,
        "p_short": judged.p_short,
        "mc_se": judged.mc_se,
        "peak_units_p50": judged.peak_units_p50,
        "peak_units_max": judged.peak_units_max,
    }
