"""The first links of every chain: a root's busiest minute, the calls, the load of a node."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from capmodel.demand import DemandFit
from capmodel.scenario import assumed_lift
from capmodel.schema import Basis

if TYPE_CHECKING:
    import numpy as np

    from capmodel.plan.make import Solved
    from capmodel.plan.paths import At
    from capmodel.scenario import Scenario

__all__ = ["Factor", "load_steps", "root_steps"]


@dataclass(frozen=True, slots=True)
class Factor:
    """One step of a chain."""

    factor: str
    value: float
    unit: str
    basis: Basis
    source: str


def load_steps(solved: Solved, node: str, at: At) -> Iterator[Factor]:
    """Yield the roots' busiest minute, the calls, and the node's load."""
    instant = at.loads.instant({node: 1.0})
    for root, weight in at.loads.weights[node].items():
        yield from root_steps(solved, root, at, instant)
        if node != root:
            yield Factor(
                f"x requests per event of {root}",
                at.of(weight),
                "ratio",
                solved.estate.call_basis[node],
                solved.called_by[node, root],
            )
    if node in at.loads.remainder:
        own = at.of(at.loads.remainder[node])
        source = "service's own minutes beside its driver's"
        yield Factor("x own busiest minute / what calls carry", own, "ratio", "fitted", source)
    load = at.of(at.loads.at(node, instant))
    yield Factor(
        f"= load of {node}", load, "1/s", solved.estate.call_basis[node], "forced flow law"
    )


def root_steps(
    solved: Solved, root: str, at: At, instant: Mapping[str, np.ndarray]
) -> Iterator[Factor]:
    """Yield a root's load in an instant: hour mean and burst, or the load where roots meet."""
    minutes = at.loads.roots[root]
    scenario = solved.request.scenarios[at.scenario]
    event = minutes.root.event[at.day]
    growth = scenario.growth_yoy_x.get(root)
    spans = {day.name: day.span for day in solved.fit.events.days}
    lift = assumed_lift(scenario, root, event, spans.get(event, event)) if event else None
    burst = at.of(minutes.burst_x)
    is_event = bool(solved.futures.event_days[at.day])
    pool = solved.fit.peaks.pool(root, "event" if is_event else "ordinary")
    burst_source = pool.note or f"{pool.n_hours} hours of fine history"
    if minutes.root.shape.shape[2] == 1:
        burst, burst_source = _declared_burst(solved, root)
    peak = at.of(at.loads.root_peak(root))
    words = [str(solved.request.dates[at.day]), event or "ordinary day"]
    words.append(f"growth {growth:g} on last season" if growth else _without_growth(solved, root))
    shown = minutes.root.lift_x[at.day] if lift is None else lift
    if event and math.isfinite(shown):
        words.append(f"lift {shown:.4g} ({'fitted' if lift is None else 'assumed'})")
    words += [
        f"{window.event} with lift {window.lift_x:.4g} in its hours"
        for window in minutes.root.windows
        if window.day == at.day and window.event != event and math.isfinite(window.lift_x)
    ]
    if root in scenario.demand_x:
        words.append(f"demand_x {scenario.demand_x[root]:g}")
    extra = _added_words(scenario, root)
    words += extra
    if root in scenario.peak:
        words.append("stretched to the season peak that the scenario states")
    stated = growth or extra or lift is not None or root in {**scenario.demand_x, **scenario.peak}
    basis: Basis = "assumed" if stated else minutes.root.basis
    if len(instant) > 1:
        # Roots peak in different hours: what adds up is each one's load in the common minute.
        load = at.of(instant[root])
        yield Factor(f"{root}, in the busiest minute of all", load, "1/s", basis, ", ".join(words))
        return
    yield Factor(f"{root}, mean of the busiest hour", peak / burst, "1/s", basis, ", ".join(words))
    burst_basis = pool.basis
    words_of_burst = "x busiest minute / mean of its hour"
    yield Factor(words_of_burst, burst, "ratio", burst_basis, burst_source)


def _added_words(scenario: Scenario, root: str) -> list[str]:
    """Return what a scenario adds to a root, in words."""
    kinds = (
        ("launch", scenario.launches),
        ("push", scenario.pushes),
        ("onboarding", scenario.onboarding),
    )
    return [
        f"{kind} {one.name} included" for kind, entries in kinds for one in entries
        if one.root == root
    ]  # fmt: skip


def _declared_burst(solved: Solved, root: str) -> tuple[float, str]:
    """Return busiest minute / mean of its hour of a declared level, and where it comes from.

    A declared level is a busiest minute already: without a declared factor its hour is unknown.
    """
    driver = solved.estate.topology.drivers.get(root)
    if driver is None or driver.peak_minute_x is None:
        return 1.0, "the declared level is a busiest minute, its hour is not known"
    return driver.peak_minute_x, "topology, peak_minute_x"


def _without_growth(solved: Solved, root: str) -> str:
    demand = solved.fit.demand
    if demand is None or root not in demand.services:
        return "declared level"
    return "fitted trend" if isinstance(demand, DemandFit) else "given forecast"
