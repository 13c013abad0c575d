"""Make a plan: draw the futures, load the estate, size by risk, then put it into frames."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from capmodel.capacity.estate import Estate, Limit
from capmodel.capacity.evaluate import at_its_busiest, storage_usage
from capmodel.capacity.limits import limits_of
from capmodel.capacity.phases import with_phases
from capmodel.capacity.risk import first_limit, probability, standard_error
from capmodel.capacity.sizing import (
    LimitPaths,
    Needs,
    Season,
    Sized,
    TierSizes,
    limit_paths,
    needs_of,
    tier_sizes,
)
from capmodel.plan.assemble import assemble
from capmodel.plan.equip import make_estate
from capmodel.plan.futures import Futures, make_futures
from capmodel.plan.prices import Prices, priced
from capmodel.plan.request import PlanRequest

if TYPE_CHECKING:
    from capmodel.capacity.loads import Loads
    from capmodel.plan.model import CapacityFit
    from capmodel.plan.planset import PlanSet
    from capmodel.topology import Topology

__all__ = ["PlanRequest", "Solved", "make_plan", "solve"]

ALL = slice(None)


@dataclass(frozen=True, slots=True, eq=False)
class LimitRisk:
    """How likely a limit is exceeded, as the estate stands today."""

    saturate: np.ndarray
    """Whether any minute of the season exceeds it, shape (S, D)."""
    first: np.ndarray
    """Whether it is the first limit to be exceeded on the path, shape (S, D)."""


@dataclass(frozen=True, slots=True, eq=False)
class Solved:
    """All arrays of a plan, before they become frames."""

    fit: CapacityFit
    request: PlanRequest
    prices: Prices
    """The catalog as given, and at scenarios' own prices; the request's is the mixture's."""
    futures: Futures
    estate: Estate
    season: Season
    season_loads: tuple[Loads, ...]
    """One per scenario, of the season's days only."""
    called_by: Mapping[tuple[str, str], str]
    """(node, root) to the paths of calls between them in words, (node, '') to all of the node's."""
    paths: tuple[LimitPaths, ...]
    needs: Needs
    sizes: Mapping[int, TierSizes]
    """Tier to what each of its limits needs, so that all together keep the risk."""
    risks: Mapping[int, float]
    """Tier to accepted risk."""
    database_queries: Mapping[str, tuple[np.ndarray, np.ndarray]]
    """Database to (reads, writes) in the season minute with the most work, shape (S, D) [1/s]."""
    limit_risk: Mapping[tuple[str, str], LimitRisk]
    tier_any: Mapping[int, np.ndarray]
    """Whether any limit of the tier is exceeded as things stand, shape (S, D)."""
    before: Solved | None = None
    """The same without the scenarios' efficiency; None where there is none."""

    def sized(self, tier: int, key: tuple[str, str] | None = None) -> Sized:
        """Return how a tier is sized; with a limit's key, to the mixture's size of it."""
        sizes = self.sizes[tier]
        size = None if key is None else sizes.sizes.get(key)
        return Sized(holds=self.needs.holds, tier=tier, level=sizes.level, size=size)

    def p_any(self, tier: int) -> tuple[float, float]:
        """Return (probability, standard error) that any limit of a tier is exceeded."""
        hit = self.tier_any[tier]
        weights = self.request.weights
        return probability(hit, weights), standard_error(hit, weights)


def solve(fit: CapacityFit, request: PlanRequest, *, futures: Futures | None = None) -> Solved:
    """Return the arrays of a plan; with `futures`, nothing is drawn again."""
    futures = make_futures(fit, request) if futures is None else futures
    catalog, prices = priced(request)
    request = replace(request, scenarios=futures.scenarios, catalog=catalog)
    estate = make_estate(fit, request, futures.calls, larger=futures.larger)
    solved = _solved(_Asked(fit, request, prices), futures, estate)
    if not any(load.cores_x for load in futures.loads):
        return solved
    loads = tuple(replace(load, cores_x={}) for load in futures.loads)
    before = _solved(_Asked(fit, request, prices), replace(futures, loads=loads), solved.estate)
    return replace(solved, before=before)


@dataclass(frozen=True, slots=True, eq=False)
class _Asked:
    """What a plan is made from."""

    fit: CapacityFit
    request: PlanRequest
    prices: Prices


def _solved(asked: _Asked, futures: Futures, estate: Estate) -> Solved:
    fit, request = asked.fit, asked.request
    estate = with_phases(estate, [load.cores_x for load in futures.loads])
    columns = np.flatnonzero(request.season)
    season = Season(int(columns[0]), int(columns[-1]) + 1)
    loads = tuple(load.take(ALL, season.days) for load in futures.loads)
    in_season = estate.take(ALL, season.days)
    needs = needs_of(in_season, loads, season=season)
    paths = tuple(
        limit_paths(
            limit,
            in_season,
            loads,
            season=season,
            fills=needs.fills[limit.node] if limit.kind == "nodes" else None,
            usages=_storage(estate, request, futures, limit, season),
        )
        for limit in limits_of(estate)
    )
    tiers = sorted({estate.topology.tier_of(n) for n in _all_nodes(estate)})
    risks = {tier: estate.topology.policy.risk.of(tier) for tier in tiers}
    sizes = tier_sizes(estate, paths, needs, request.weights, risks=risks)
    limit_risk, tier_any = _risk_today(paths, tiers, int(request.season.sum()))
    return Solved(
        fit=fit,
        request=request,
        prices=asked.prices,
        futures=futures,
        estate=estate,
        season=season,
        season_loads=loads,
        called_by=_paths_in_words(estate.topology),
        paths=paths,
        needs=needs,
        sizes=sizes,
        risks=risks,
        database_queries={
            name: at_its_busiest(in_season, loads, name) for name in estate.topology.databases
        },
        limit_risk=limit_risk,
        tier_any=tier_any,
    )


def _storage(
    estate: Estate, request: PlanRequest, futures: Futures, limit: Limit, season: Season
) -> list[np.ndarray] | None:
    """Return the season's storage by scenario, counted from as_of; None for other limits."""
    if limit.kind != "storage":
        return None
    as_of = np.datetime64(request.as_of)
    days = [storage_usage(estate, load, limit.node, as_of) for load in futures.loads]
    return [np.broadcast_to(d, (request.draws, d.shape[1]))[:, season.days] for d in days]


def _paths_in_words(topology: Topology) -> dict[tuple[str, str], str]:
    """Return them once: every scenario and limit shows the same."""
    words = {}
    for node in topology.order:
        words[node, ""] = topology.paths_text(node)
        for root in topology.roots_of(node):
            words[node, root] = topology.paths_text(node, root=root)
    return words


def _all_nodes(estate: Estate) -> tuple[str, ...]:
    topology = estate.topology
    return (
        *topology.services,
        *topology.databases,
        *topology.externals,
        *topology.pools,
        *topology.limits,
    )


def _risk_today(
    paths: tuple[LimitPaths, ...], tiers: list[int], season_days: int
) -> tuple[dict[tuple[str, str], LimitRisk], dict[int, np.ndarray]]:
    """Return what exceeds what, path by path, with the units that exist today."""
    bounded = [p for p in paths if np.isfinite(p.limit.hard)]
    if not bounded:
        return {}, {}
    scenarios, draws = bounded[0].season_peak.shape
    first = np.stack(
        [first_limit([p.breaches[s] for p in bounded], season_days) for s in range(scenarios)]
    )
    risk = {
        p.limit.key: LimitRisk(saturate=p.full_peak > p.limit.hard, first=first == position)
        for position, p in enumerate(bounded)
    }
    tier_any = {
        tier: np.logical_or.reduce(
            [
                np.zeros((scenarios, draws), dtype=bool),
                *(risk[p.limit.key].saturate for p in bounded if p.limit.tier == tier),
            ]
        )
        for tier in tiers
    }
    return risk, tier_any


def make_plan(fit: CapacityFit, request: PlanRequest) -> PlanSet:
    """Return the plan of a request."""
    return assemble(solve(fit, request), solve=solve)
