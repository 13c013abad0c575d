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

from capmodel.capacity.estate import AUTOSCALED, SATURATED, Estate, Limit, pool_services
from capmodel.capacity.evaluate import (
    pods_needed,
    pool_instant,
    saturation_of,
    usage_of,
    zone_fills,
)
from capmodel.capacity.replicas import ceil_units, zone_cover
from capmodel.capacity.risk import FirstBreach, first_breach, mixture_quantile
from capmodel.capacity.union import union_sizes

if TYPE_CHECKING:
    from capmodel.capacity.loads import Loads
    from capmodel.topology import Hold


OWN_NEED = frozenset(
    {"connections", "quota", "database_cores", "database", "storage", "declared", "addresses"}
)
"""Limits whose usage is what must be provisioned; pods and nodes have needs of their own."""

__all__ = [
    "OWN_NEED",
    "HoldNeed",
    "LimitPaths",
    "Needs",
    "Season",
    "Sized",
    "TierSizes",
    "hold_needs",
    "limit_paths",
    "needs_of",
    "tier_sizes",
    "whole_nodes",
    "whole_pods",
]


@dataclass(frozen=True, slots=True)
class Season:
    """The local days that risk is counted over: consecutive columns of the horizon."""

    start: int
    end: int
    """Exclusive."""

    @property
    def days(self) -> slice:
        """The season's columns."""
        return slice(self.start, self.end)

    @property
    def never(self) -> int:
        """What stands for a day that does not come."""
        return -1


@dataclass(frozen=True, slots=True, eq=False)
class LimitPaths:
    """A limit's usage under every scenario, summarised path by path over the season."""

    limit: Limit
    season_peak: np.ndarray
    """Busiest minute of the season, shape (S, D) [the limit's unit]."""
    peak_day: np.ndarray
    """Index of the day of the horizon it falls on, shape (S, D)."""
    policy_day: np.ndarray
    """First day whose P50 exceeds the policy, index of the horizon, -1 for none, shape (S,)."""
    full_peak: np.ndarray
    """The season's largest usage as the hard value sees it, shape (S, D) [the limit's unit]."""
    hard_day: np.ndarray
    """First day whose P50, as the hard value sees it, exceeds that value; as `policy_day`."""
    breaches: tuple[FirstBreach, ...]
    """First breach of the hard value within the season, one per scenario; days of the season."""


def limit_paths(
    limit: Limit,
    estate: Estate,
    loads: Sequence[Loads],
    *,
    season: Season,
    fills: Sequence[Mapping[Hold, np.ndarray]] | None = None,
    usages: Sequence[np.ndarray] | None = None,
) -> LimitPaths:
    """Return a limit's summary over scenarios; the day matrices are not kept.

    Parameters
    ----------
    limit, estate
        The limit and what it bounds, the estate for the season's days.
    loads
        One per scenario, of the season's days.
    season
        Where these days stand in the horizon.
    fills
        For a limit of nodes, the fill of a zone by row, one mapping per scenario, where known.
    usages
        Usage by day where it does not follow from the season's loads alone (storage), one array per
        scenario.
    """
    peaks, days, full_peaks, breaches = [], [], [], []
    policy_days, hard_days = [], []
    for s, load in enumerate(loads):
        if usages is None:
            usage, full = _day_usage(limit, estate, load, None if fills is None else fills[s])
        else:
            usage = full = usages[s]
        best = usage.argmax(axis=1)
        peaks.append(usage[np.arange(len(best)), best])
        days.append(season.start + best)
        full_peak = peaks[-1] if full is usage else full.max(axis=1)
        full_peaks.append(full_peak)
        policy_days.append(_first_median_above(usage, limit.policy, peaks[-1], season))
        hard_days.append(_first_median_above(full, limit.hard, full_peak, season))
        breaches.append(first_breach(full, limit.hard, peak=full_peak))
    return LimitPaths(
        limit=limit,
        season_peak=np.stack(peaks),
        peak_day=np.stack(days),
        policy_day=np.array(policy_days),
        full_peak=np.stack(full_peaks),
        hard_day=np.array(hard_days),
        breaches=tuple(breaches),
    )


def _day_usage(
    limit: Limit, estate: Estate, load: Loads, fills: Mapping[Hold, np.ndarray] | None
) -> tuple[np.ndarray, np.ndarray]:
    """Return usage, and usage as the hard value sees it, in each day's busiest minute."""
    if fills is not None:
        zones = estate.topology.pools[limit.node].zones
        usage, full = (zones * ceil_units(fills[row]) for row in (AUTOSCALED, SATURATED))
        return usage, full
    usage = usage_of(limit, estate, load)
    return usage, saturation_of(limit, estate, load, usage)


def _first_median_above(days: np.ndarray, bound: float, peak: np.ndarray, season: Season) -> int:
    """Return the first day of the horizon whose P50 over the draws exceeds a bound, -1 for none.

    The P50 is an order statistic: it exceeds the bound where so many draws do that the lower middle
    one is among them. Counting spares the sorting.
    """
    if not (peak > bound).any():
        return season.never
    middle = (len(days) - 1) // 2
    over = (days > bound).sum(axis=0) >= len(days) - middle
    return season.start + int(over.argmax()) if over.any() else season.never


@dataclass(frozen=True, slots=True, eq=False)
class Needs:
    """What each hold row asks on every path, unrounded: whole units come last."""

    holds: tuple[Hold, ...]
    """The policy's rows; a row at saturation is added to the arrays where the policy has none."""
    saturated: int
    """Which row of the arrays is at saturation: the hottest pod full, no failure."""
    load_peak: Mapping[str, np.ndarray]
    """Driver, service or external to its busiest minute of the season, shape (S, D) [1/s]."""
    pods: Mapping[str, np.ndarray]
    """Service to pods before zones, shape (holds, S, D)."""
    nodes: Mapping[str, np.ndarray]
    """Pool to nodes of one zone, shape (holds, S, D)."""
    pods_day: Mapping[str, np.ndarray]
    """The day of each need, shape (S, D): pods are proportional to load in every row.

    Where cores per request change within the season, the day of the first row's need.
    """
    nodes_day: Mapping[str, np.ndarray]
    """The day of each need, shape (holds, S, D)."""
    fills: Mapping[str, tuple[Mapping[Hold, np.ndarray], ...]]
    """Pool to nodes of one zone by row, shape (D, days of the season), one per scenario."""
    instants: Mapping[str, tuple[Mapping[str, np.ndarray], ...]]
    """Pool to the roots' loads in its busiest minute of each season day, one per scenario."""


def needs_of(estate: Estate, loads: Sequence[Loads], *, season: Season) -> Needs:
    """Return what every hold row asks of every service and pool, path by path.

    `estate` and `loads` are those of the season's days.
    """
    holds = estate.topology.policy.hold
    row = hard_row(holds)
    asked = holds if row is not None else (*holds, SATURATED)
    load_peak, pods_day, pods = {}, {}, {}
    for name in estate.topology.order:
        days = [load.day_peak(name) for load in loads]
        best = np.stack([d.argmax(axis=1) for d in days])
        load_peak[name] = np.stack(
            [d[np.arange(len(d)), b] for d, b in zip(days, best, strict=True)]
        )
        if name in estate.services and estate.services[name].known:
            pods_day[name] = season.start + best
            if any(name in load.cores_x for load in loads):
                pods[name], pods_day[name] = _dated_pods(estate, loads, name, asked, season)
                continue
            pods[name] = np.stack(
                [_times(load_peak[name], estate.rate(name, hold)[:, 0]) for hold in asked]
            )
    nodes, nodes_day, fills, instants = {}, {}, {}, {}
    rows = tuple(dict.fromkeys((AUTOSCALED, SATURATED, *asked)))
    for name in estate.topology.pools:
        if not pool_services(estate, name):
            continue
        instants[name] = tuple(pool_instant(estate, load, name) for load in loads)
        fills[name] = tuple(
            dict(zip(rows, zone_fills(estate, load, name, rows, instant), strict=True))
            for load, instant in zip(loads, instants[name], strict=True)
        )
        per_row = [[fill[hold] for fill in fills[name]] for hold in asked]
        best = np.stack([[d.argmax(axis=1) for d in row] for row in per_row])
        nodes_day[name] = season.start + best
        nodes[name] = np.stack([[d.max(axis=1) for d in row] for row in per_row])
    return Needs(
        holds=holds,
        saturated=asked.index(SATURATED) if row is None else row,
        load_peak=load_peak,
        pods=pods,
        nodes=nodes,
        pods_day=pods_day,
        nodes_day=nodes_day,
        fills=fills,
        instants=instants,
    )


def _dated_pods(
    estate: Estate, loads: Sequence[Loads], name: str, holds: Sequence[Hold], season: Season
) -> tuple[np.ndarray, np.ndarray]:
    """Return a service's pods by row and their day, where a pod does not serve the same each day.

    Shapes (holds, S, D) and (S, D): the busiest day need not be the one with the most pods.
    """
    by_row = [[pods_needed(estate, load, name, hold) for load in loads] for hold in holds]
    day = season.start + np.stack([days.argmax(axis=1) for days in by_row[0]])
    return np.stack([[days.max(axis=1) for days in row] for row in by_row]), day


def _times(load: np.ndarray, rate: np.ndarray) -> np.ndarray:
    """Return load * rate, inf wherever the rate is, shape (S, D)."""
    finite = np.isfinite(rate)
    return np.where(finite, load * np.where(finite, rate, 0.0), np.inf)


def hard_row(holds: Sequence[Hold]) -> int | None:
    """Return the first row that asks for hard limits at the tier's risk, None without one."""
    return next((k for k, hold in enumerate(holds) if hold.at_saturation), None)


@dataclass(frozen=True, slots=True, eq=False)
class TierSizes:
    """At which size each limit of a tier keeps the tier's risk over all of them together."""

    alpha: float
    """Each limit's own share of the risk."""
    p_any: float
    """Expected probability that a season which is not among the draws exceeds any size."""
    sizes: Mapping[tuple[str, str], float]
    """(node, limit) to what it needs [the limit's unit]; pods and nodes unrounded, of one zone."""
    beyond: frozenset[tuple[str, str]]
    """Limits sized above their largest draw, by the tail of their needs."""

    @property
    def level(self) -> float:
        """The quantile at which each limit stands."""
        return 1.0 - self.alpha


def tier_sizes(
    estate: Estate,
    paths: Sequence[LimitPaths],
    needs: Needs,
    weights: np.ndarray,
    *,
    risks: Mapping[int, float],
) -> dict[int, TierSizes]:
    """Return each tier's sizes at one common share of its risk.

    A level read off the same draws that it sizes looks better than it is; the sizes are those that
    a season which is not among them exceeds within the risk (:mod:`capmodel.capacity.union`).

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
        Tier to sizes; without a limit the share is the whole risk.
    """
    row = hard_row(needs.holds)
    by_tier: dict[int, dict[tuple[str, str], np.ndarray]] = {tier: {} for tier in risks}
    for path in paths:
        if path.limit.kind in OWN_NEED and np.isfinite(path.limit.hard):
            by_tier[path.limit.tier][path.limit.key] = path.full_peak
    if row is not None:
        for kind, found in (("pods", needs.pods), ("nodes", needs.nodes)):
            for name, need in found.items():
                tier = estate.topology.tier_of(name)
                if needs.holds[row].holds_for(tier):
                    by_tier[tier][name, kind] = need[row]
    sizes = {}
    for tier, rows in by_tier.items():
        if not rows:
            sizes[tier] = TierSizes(risks[tier], 0.0, {}, frozenset())
            continue
        union = union_sizes(np.stack([*rows.values()]), weights, risks[tier])
        sizes[tier] = TierSizes(
            alpha=union.alpha,
            p_any=union.p_any,
            sizes=dict(zip(rows, union.sizes.tolist(), strict=True)),
            beyond=frozenset(key for key, over in zip(rows, union.beyond, strict=True) if over),
        )
    return sizes


@dataclass(frozen=True, slots=True)
class Sized:
    """At which rows, tier and level something is sized."""

    holds: tuple[Hold, ...]
    tier: int
    level: float
    """The tier's sizing level, for rows at ``1-risk``."""
    size: float | None = None
    """What the row at saturation asks of the mixture, unrounded; None: its `level` of the draws."""


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
    sized: Sized,
    weights: np.ndarray,
    whole: Callable[[float, Hold], float],
) -> tuple[HoldNeed, ...]:
    """Return each hold row's units at its quantile of a scenario or of the mixture.

    The path is chosen by the unrounded need, so that paths with the same whole units do not tie.

    Parameters
    ----------
    need
        Shape (holds, S, D).
    day
        The day of each need, of the same shape or (S, D) where the rows share it.
    sized
        The policy's rows, and the tier and level that they are asked at.
    weights
        Probability of each scenario, shape (S,); a single scenario has one weight of 1.
    whole
        Units to provision for a need under a row: :func:`whole_pods` or :func:`whole_nodes`.
    """
    result = []
    for k, hold in enumerate(sized.holds):
        if not hold.holds_for(sized.tier):
            continue
        q = sized.level if hold.quantile == "1-risk" else hold.quantile
        asked = sized.size if hold.at_saturation else None
        if asked is None:
            scenario, draw = mixture_quantile(need[k], q, weights)
            asked = float(need[k, scenario, draw])
        else:
            scenario, draw = nearest_path(need[k], asked, weights)
        days = day if day.ndim == need.ndim - 1 else day[k]
        result.append(
            HoldNeed(
                hold=hold,
                quantile=q,
                units=whole(asked, hold),
                scenario=scenario,
                draw=draw,
                day=int(days[scenario, draw]),
            )
        )
    return tuple(result)


def nearest_path(need: np.ndarray, size: float, weights: np.ndarray) -> tuple[int, int]:
    """Return (scenario, draw) of the path nearest above a size; where none is, the largest.

    Parameters
    ----------
    need
        Shape (S, D).
    size
        What is provided, in the unit of the need.
    weights
        Probability of each scenario, shape (S,); those without any are not looked at.
    """
    likely = np.where((weights > 0)[:, None], need, -np.inf)
    reaches = likely >= size
    ranked = np.where(reaches, -likely, -np.inf) if reaches.any() else likely
    scenario, draw = divmod(int(ranked.argmax()), need.shape[1])
    return scenario, draw


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
