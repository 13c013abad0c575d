"""Sizing by risk: what each limit needs on every path, and the units that keep the policy.

This module answers: at which common level must the limits of a tier be sized, how many pods and
nodes does each hold row of the policy ask, and which path asks it? Buffers are alternatives at
their own conditions, never multiplied: the largest hold row is what is required.

Shapes: S scenarios, D draws, N local days. Needs are season peaks, shape (S, D).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from capmodel.capacity.estate import (
    SATURATED,
    Estate,
    Limit,
    pods_needed,
    pool_instant,
    pool_services,
    saturation_of,
    usage_of,
    zone_fill,
)
from capmodel.capacity.replicas import ceil_units, zone_cover
from capmodel.capacity.risk import FirstBreach, first_breach, mixture_quantile, union_level
from capmodel.schema import order_statistic

if TYPE_CHECKING:
    from capmodel.capacity.loads import Loads
    from capmodel.topology import Hold


__all__ = [
    "HoldNeed",
    "LimitPaths",
    "Needs",
    "hold_needs",
    "levels_of",
    "limit_paths",
    "needs_of",
    "whole_nodes",
    "whole_pods",
]


@dataclass(frozen=True, slots=True, eq=False)
class LimitPaths:
    """A limit's usage under every scenario, summarised path by path."""

    limit: Limit
    season_peak: np.ndarray
    """Busiest minute of the season, shape (S, D) [the limit's unit]."""
    peak_day: np.ndarray
    """Index of the day it falls on, shape (S, D)."""
    day_p50: np.ndarray
    """P50 of each day's busiest minute, shape (S, N) [the limit's unit]."""
    full_peak: np.ndarray
    """The season's largest usage as the hard value sees it, shape (S, D) [the limit's unit]."""
    full_day_p50: np.ndarray
    """P50 of each day's usage as the hard value sees it, shape (S, N) [the limit's unit]."""
    breaches: tuple[FirstBreach, ...]
    """First breach of the hard value within the season, one per scenario."""


def limit_paths(
    limit: Limit, estate: Estate, loads: Sequence[Loads], *, season: np.ndarray
) -> LimitPaths:
    """Return a limit's summary over scenarios; the full day matrix is not kept.

    Parameters
    ----------
    limit, estate
        The limit and what it bounds.
    loads
        One per scenario.
    season
        Which days belong to the season, shape (N,).
    """
    inside = np.flatnonzero(season)
    peaks, days, medians, full_peaks, full_medians, breaches = [], [], [], [], [], []
    for load in loads:
        usage = usage_of(limit, estate, load)
        full = saturation_of(limit, estate, load, usage)
        in_season = usage[:, inside]
        best = in_season.argmax(axis=1)
        peaks.append(in_season[np.arange(len(best)), best])
        days.append(inside[best])
        medians.append(_median(usage))
        full_peaks.append(full[:, inside].max(axis=1))
        full_medians.append(medians[-1] if full is usage else _median(full))
        breaches.append(first_breach(full[:, inside], limit.hard))
    return LimitPaths(
        limit=limit,
        season_peak=np.stack(peaks),
        peak_day=np.stack(days),
        day_p50=np.stack(medians),
        full_peak=np.stack(full_peaks),
        full_day_p50=np.stack(full_medians),
        breaches=tuple(breaches),
    )


def _median(days: np.ndarray) -> np.ndarray:
    """Return each day's P50 over the draws, an order statistic, shape (N,)."""
    middle = (len(days) - 1) // 2
    return np.asarray(np.partition(days, middle, axis=0)[middle])


@dataclass(frozen=True, slots=True, eq=False)
class Needs:
    """What each hold row asks on every path, unrounded: whole units come last."""

    holds: tuple[Hold, ...]
    """The policy's rows; a row at saturation is added to the arrays where the policy has none."""
    saturated: int
    """Which row of the arrays is at saturation: the hottest pod full, no failure."""
    pods: Mapping[str, np.ndarray]
    """Service to pods before zones, shape (holds, S, D)."""
    nodes: Mapping[str, np.ndarray]
    """Pool to nodes of one zone, shape (holds, S, D)."""
    pods_day: Mapping[str, np.ndarray]
    nodes_day: Mapping[str, np.ndarray]
    """The day of each need, the same shapes."""
    instants: Mapping[str, tuple[Mapping[str, np.ndarray], ...]]
    """Pool to the roots' loads in its busiest minute of each day, one per scenario."""


def needs_of(estate: Estate, loads: Sequence[Loads], *, season: np.ndarray) -> Needs:
    """Return what every hold row asks of every service and pool, path by path."""
    holds = estate.topology.policy.hold
    row = hard_row(holds)
    rows_asked = holds if row is not None else (*holds, SATURATED)
    inside = np.flatnonzero(season)

    def peak(days: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        best = days[:, inside].argmax(axis=1)
        return days[np.arange(len(days)), inside[best]], inside[best]

    def pods_of(name: str, hold: Hold) -> list[np.ndarray]:
        return [pods_needed(estate, load, name, hold) for load in loads]

    def nodes_of(name: str, hold: Hold) -> list[np.ndarray]:
        pairs = zip(loads, instants[name], strict=True)
        return [zone_fill(estate, load, name, hold, instant) for load, instant in pairs]

    def stack(
        need: Callable[[str, Hold], list[np.ndarray]], name: str
    ) -> tuple[np.ndarray, np.ndarray]:
        rows = [[peak(days) for days in need(name, hold)] for hold in rows_asked]
        return (
            np.stack([np.stack([value for value, _ in row]) for row in rows]),
            np.stack([np.stack([day for _, day in row]) for row in rows]),
        )

    services = [n for n in estate.topology.services if estate.services[n].known]
    pools = [n for n in estate.topology.pools if pool_services(estate, n)]
    instants = {n: tuple(pool_instant(estate, load, n) for load in loads) for n in pools}
    pods = {name: stack(pods_of, name) for name in services}
    nodes = {name: stack(nodes_of, name) for name in pools}
    return Needs(
        holds=holds,
        saturated=rows_asked.index(SATURATED) if row is None else row,
        pods={name: value for name, (value, _) in pods.items()},
        nodes={name: value for name, (value, _) in nodes.items()},
        pods_day={name: day for name, (_, day) in pods.items()},
        nodes_day={name: day for name, (_, day) in nodes.items()},
        instants=instants,
    )


def hard_row(holds: Sequence[Hold]) -> int | None:
    """Return the first row that asks for hard limits at the tier's risk, None without one."""
    for k, hold in enumerate(holds):
        if hold.quantile == "1-risk" and hold.zones_lost == 0 and hold.up_to == "hard":
            return k
    return None


def levels_of(
    estate: Estate,
    paths: Sequence[LimitPaths],
    needs: Needs,
    weights: np.ndarray,
    *,
    risks: Mapping[int, float],
) -> dict[int, float]:
    """Return each tier's common sizing level over the union of its limits.

    Parameters
    ----------
    estate, paths, needs
        What is bounded, and what it needs.
    weights
        Probability of each scenario, shape (S,).
    risks
        Accepted probability by tier.

    Returns
    -------
    dict
        Tier to level; ``1 - level`` is the share of risk of each of its limits.
    """
    row = hard_row(needs.holds)
    by_tier: dict[int, list[np.ndarray]] = {tier: [] for tier in risks}
    for path in paths:
        if path.limit.name in {"connections", "quota"} or path.limit.node in estate.databases:
            by_tier[path.limit.tier].append(path.season_peak.ravel())
    if row is not None:
        for name, need in needs.pods.items():
            by_tier[estate.topology.tier_of(name)].append(need[row].ravel())
        for name, need in needs.nodes.items():
            by_tier[estate.topology.tier_of(name)].append(need[row].ravel())
    levels = {}
    for tier, rows in by_tier.items():
        if not rows:
            levels[tier] = 1 - risks[tier]
            continue
        draws = rows[0].size // len(weights)
        levels[tier] = union_level(np.stack(rows), np.repeat(weights / draws, draws), risks[tier])
    return levels


@dataclass(frozen=True, slots=True)
class HoldNeed:
    """What one hold row asks, and the path that asks it."""

    hold: Hold
    quantile: float
    units: float
    """Pods or nodes, with zone cover."""
    scenario: int
    draw: int
    day: int


def hold_needs(
    need: np.ndarray,
    day: np.ndarray,
    *,
    holds: Sequence[Hold],
    level: float,
    weights: np.ndarray,
    whole: Callable[[float, Hold], float],
) -> tuple[HoldNeed, ...]:
    """Return each hold row's units at its quantile of a scenario or of the mixture.

    The path is chosen by the unrounded need, so that paths with the same whole units do not tie.

    Parameters
    ----------
    need, day
        Need and its day, shape (holds, S, D).
    holds
        The policy's rows.
    level
        The tier's sizing level, for rows at ``1-risk``.
    weights
        Probability of each scenario, shape (S,); a single scenario has one weight of 1.
    whole
        Units to provision for a need under a row: :func:`whole_pods` or :func:`whole_nodes`.
    """
    result = []
    for k, hold in enumerate(holds):
        q = level if hold.quantile == "1-risk" else hold.quantile
        scenario, draw = mixture_quantile(need[k], q, weights)
        result.append(
            HoldNeed(
                hold=hold,
                quantile=q,
                units=whole(float(need[k, scenario, draw]), hold),
                scenario=scenario,
                draw=draw,
                day=int(day[k, scenario, draw]),
            )
        )
    return tuple(result)


def whole_pods(need: float, hold: Hold, *, zones: int | None) -> float:
    """Return whole pods; after a loss of zones, those that are left still hold the need."""
    if hold.zones_lost and zones is not None:
        return float(zone_cover(ceil_units(need), zones=zones, lost=hold.zones_lost))
    return float(ceil_units(need))


def whole_nodes(need: float, hold: Hold, *, zones: int) -> float:
    """Return whole nodes of all zones for the fill of one; the fill carries the row's failure."""
    del hold
    return float(zones * ceil_units(need))


def largest(needs: Sequence[HoldNeed]) -> HoldNeed:
    """Return the hold row that asks the most; of equals the first."""
    return max(needs, key=lambda need: need.units)


def order_value(values: np.ndarray, q: float) -> float:
    """Return the `q` order statistic of the draws of one scenario."""
    return float(values[order_statistic(values, q)])
