"""What each scenario means for this plan's roots, calls and services, before anything is loaded.

This module answers: which growth do its anchors ask for, what does it add to each root, and which
ratios do its dated changes put on calls and cores on each day?
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from capmodel.capacity.phases import estate_under
from capmodel.demand import DemandFit
from capmodel.errors import InputError, Problem
from capmodel.scenario import (
    Added,
    Scenario,
    Timetable,
    added_to,
    product_of,
    solve_anchors,
)

if TYPE_CHECKING:
    from capmodel.demand.paths import RootPaths
    from capmodel.plan.make import Solved
    from capmodel.plan.model import CapacityFit
    from capmodel.plan.request import PlanRequest
    from capmodel.topology import Topology

__all__ = ["Assumed", "assume", "at_peak", "cores_of", "mix_of"]

ADDITIVE = ("launches", "pushes", "onboarding")


@dataclass(frozen=True, slots=True, eq=False)
class Assumed:
    """One scenario with the growth that its anchors ask for, and what it adds."""

    scenario: Scenario
    added: Mapping[str, Added]
    """Root to what is added to it; roots without additions are left out."""


def assume(
    fit: CapacityFit,
    request: PlanRequest,
    paths: Mapping[str, RootPaths],
    *,
    spans: Mapping[str, str],
) -> list[Assumed]:
    """Return every scenario's growth and additions.

    Raises
    ------
    InputError
        Where an anchor cannot be met, and for merchants in a history that a root does not have.
    """
    _check_held(fit, request.scenarios)
    timetable: Timetable | None = None
    result = []
    for scenario in request.scenarios:
        if not scenario.anchor and not any(getattr(scenario, field) for field in ADDITIVE):
            result.append(Assumed(scenario, {}))
            continue
        timetable = timetable or _timetable(fit, request)
        found = {name: added_to(scenario, path, timetable) for name, path in paths.items()}
        added = {name: one for name, one in found.items() if one is not None}
        solved = solve_anchors(scenario, paths, added, timetable=timetable, spans=spans)
        result.append(Assumed(solved, added))
    return result


def _check_held(fit: CapacityFit, scenarios: Sequence[Scenario]) -> None:
    """Refuse merchants that a history is said to hold, where the root is not forecast from one."""
    held = fit.demand.services if isinstance(fit.demand, DemandFit) else ()
    problems = [
        Problem(
            where=f"scenarios.{scenario.name}.onboarding.{merchant.name}",
            got=f"in_history_since of {merchant.root}, whose level is stated",
            expected="a root that is forecast from its history",
            do="Leave in_history_since out, and the merchant too if the level holds it.",
        )
        for scenario in scenarios
        for merchant in scenario.onboarding
        if merchant.in_history_since is not None and merchant.root not in held
    ]
    if problems:
        raise InputError(problems)


def _timetable(fit: CapacityFit, request: PlanRequest) -> Timetable:
    days: list[dt.date] = request.dates.astype(dt.date).tolist()
    counterparts = np.array([fit.events.counterpart(day) for day in days], dtype="datetime64[D]")
    return Timetable.of(request.dates, counterparts, business_tz=fit.business_tz)


def mix_of(scenario: Scenario, dates: np.ndarray) -> dict[tuple[str, str], np.ndarray]:
    """Return (caller, node) to the ratio that a scenario puts on its calls, shape (1, N)."""
    edges = dict.fromkeys((one.caller, one.node) for one in scenario.mix)
    return {
        edge: product_of([m for m in scenario.mix if (m.caller, m.node) == edge], dates)[None, :]
        for edge in edges
    }


def cores_of(scenario: Scenario, topology: Topology, dates: np.ndarray) -> dict[str, np.ndarray]:
    """Return service to the ratio that a scenario puts on its cores on each day, shape (N,)."""
    by_pool = {
        pool: product_of([e for e in scenario.efficiency if e.pool == pool], dates)
        for pool in dict.fromkeys(change.pool for change in scenario.efficiency)
    }
    return {
        name: by_pool[service.pool]
        for name, service in topology.services.items()
        if service.pool in by_pool and (by_pool[service.pool] != 1.0).any()
    }


def at_peak(solved: Solved) -> Solved:
    """Return the plan with each service's cores as on the day on which most paths need its pods.

    For what looks at the season's peak alone. Where scenarios differ, the most cores count.
    """
    changed = {name for load in solved.futures.loads for name in load.cores_x}
    state, weights = {}, solved.request.weights
    for name in sorted(changed & set(solved.needs.pods_day)):
        days = solved.needs.pods_day[name]
        counted = np.bincount(days.ravel(), weights=np.repeat(weights, days.shape[1]))
        day = int(counted.argmax())
        state[name] = max(
            float(load.cores_x[name][day]) if name in load.cores_x else 1.0
            for load, weight in zip(solved.futures.loads, weights, strict=True)
            if weight > 0
        )
    return replace(solved, estate=estate_under(solved.estate, state))
