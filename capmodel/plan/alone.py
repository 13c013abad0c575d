"""One scenario out of several, as the plan that would be made for it alone, and a plan's totals.

This module answers: if this scenario were certain, what would be ordered? Draws are shared, so
nothing is drawn again: the arrays are cut, and the tiers are sized anew at the scenario's own
level, as a plan of that scenario alone does.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from decimal import Decimal
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

from capmodel.capacity.risk import probability
from capmodel.capacity.sizing import tier_sizes
from capmodel.cost import total_usd
from capmodel.plan.frames_limits import MIXTURE
from capmodel.plan.frames_money import cost_lines
from capmodel.plan.prices import Prices

if TYPE_CHECKING:
    from collections.abc import Mapping

    from capmodel.capacity.sizing import LimitPaths, Needs
    from capmodel.catalog import Catalog
    from capmodel.plan.make import Solved
    from capmodel.plan.supply import Supply

__all__ = ["Totals", "alone", "tier_risk", "totals"]


@dataclass(frozen=True, slots=True)
class Totals:
    """What a plan orders, in one line."""

    nodes: float
    """Of all pools."""
    pods: float
    """Of all services whose pods are known; inf where no number suffices."""
    usd: Decimal
    """Season's bill on demand."""


def totals(solved: Solved, supply: Supply) -> Totals:
    """Return nodes, pods and USD of what the mixture needs."""
    pods = [need.replicas for (scenario, _), need in supply.services.items() if scenario == MIXTURE]
    nodes = [
        need.placed.nodes for (scenario, _), need in supply.pools.items() if scenario == MIXTURE
    ]
    return Totals(
        nodes=float(sum(nodes)),
        pods=math.fsum(pods),
        usd=total_usd(cost_lines(solved, supply, MIXTURE)),
    )


def tier_risk(
    solved: Solved, after: Mapping[tuple[str, str], np.ndarray], tier: int
) -> tuple[float, float]:
    """Return the mixture's p_any of a tier as things stand, and once everything is ordered.

    `after` says by (node, limit) on which paths it is exceeded then, shape (S, D).
    """
    topology, weights = solved.estate.topology, solved.request.weights
    hit = solved.tier_any[tier]
    own = [rest for key, rest in after.items() if topology.tier_of(key[0]) == tier]
    left = np.logical_or.reduce([np.zeros_like(hit), *own])
    return probability(hit, weights), probability(left, weights)


def alone(solved: Solved, scenario: int) -> Solved:
    """Return the arrays of one scenario as a plan of its own.

    Parameters
    ----------
    solved
        Arrays of all scenarios.
    scenario
        Which of them, by position.

    Returns
    -------
    Solved
        One scenario of weight 1, its tiers sized at their own level.
    """
    cut = slice(scenario, scenario + 1)
    request, futures = solved.request, solved.futures
    catalog = _catalog_of(solved, request.names[scenario])
    one = replace(
        request,
        scenarios=request.scenarios[cut],
        weights=np.ones(1),
        catalog=catalog,
    )
    paths = tuple(_cut_path(path, cut) for path in solved.paths)
    needs = _cut_needs(solved.needs, cut)
    return replace(
        solved,
        request=one,
        futures=replace(futures, loads=futures.loads[cut], factors=futures.factors[cut]),
        season_loads=solved.season_loads[cut],
        paths=paths,
        needs=needs,
        sizes=tier_sizes(solved.estate, paths, needs, one.weights, risks=solved.risks),
        database_queries={
            name: (reads[cut], writes[cut])
            for name, (reads, writes) in solved.database_queries.items()
        },
        limit_risk={
            key: replace(risk, saturate=risk.saturate[cut], first=risk.first[cut])
            for key, risk in solved.limit_risk.items()
        },
        tier_any={tier: hit[cut] for tier, hit in solved.tier_any.items()},
        prices=Prices(catalog, {}),
        before=None,
    )


def _catalog_of(solved: Solved, scenario: str) -> Catalog:
    """Return the catalog at a scenario's own prices."""
    catalog, own = solved.request.catalog, solved.prices.rows
    if not own:
        return catalog
    rows = {key: own.get((scenario, key), row) for key, row in catalog.rows.items()}
    return replace(catalog, rows=MappingProxyType(rows))


def _cut_path(path: LimitPaths, cut: slice) -> LimitPaths:
    return replace(
        path,
        season_peak=path.season_peak[cut],
        peak_day=path.peak_day[cut],
        policy_day=path.policy_day[cut],
        full_peak=path.full_peak[cut],
        hard_day=path.hard_day[cut],
        breaches=path.breaches[cut],
    )


def _cut_needs(needs: Needs, cut: slice) -> Needs:
    return replace(
        needs,
        load_peak={name: peak[cut] for name, peak in needs.load_peak.items()},
        pods={name: need[:, cut] for name, need in needs.pods.items()},
        nodes={name: need[:, cut] for name, need in needs.nodes.items()},
        pods_day={name: day[cut] for name, day in needs.pods_day.items()},
        nodes_day={name: day[:, cut] for name, day in needs.nodes_day.items()},
        fills={name: by_scenario[cut] for name, by_scenario in needs.fills.items()},
        instants={name: by_scenario[cut] for name, by_scenario in needs.instants.items()},
    )
