"""The inputs of a plan that may be wrong, each with a range: the demand's here.

This module answers: how far may growth, lifts and bursts be off by their own evidence, and which
inputs of a plan are worth moving at all?
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

import numpy as np

from capmodel.demand import DemandFit
from capmodel.plan.cases import TENTH, Case, Move, plain_scenarios
from capmodel.plan.moves_estate import calls, databases, policies, slopes
from capmodel.plots.labels import humanize
from capmodel.scenario import Scenario, assumed_lift
from capmodel.schema import Basis

if TYPE_CHECKING:
    from capmodel.plan.make import Solved
    from capmodel.plan.supply import Supply

__all__ = ["moves_of"]

EXCESS: Final = 0.2
"""How far a burst's excess over 1 is moved [ratio]."""
WIDTHS: Final = (0.5, 4.0)
"""Bounds of growth and demand ratios, see :mod:`capmodel.scenario`."""


def moves_of(solved: Solved, supply: Supply) -> tuple[Move, ...]:
    """Return every input that is moved, by kind."""
    return tuple(
        move
        for found in (
            _growth(solved),
            _lifts(solved),
            _bursts(solved),
            slopes(solved, supply),
            calls(solved, supply),
            policies(solved),
            databases(solved),
        )
        for move in found
    )


def _growth(solved: Solved) -> Iterator[Move]:
    """Yield the level of each root: between the scenarios' own, else a tenth either way."""
    scenarios, weights = plain_scenarios(solved), solved.request.weights
    for root in solved.fit.roots:
        kind = _level_kind(scenarios, root)
        held = [_level(s, kind, root) for s in scenarios]
        likely = [x for x, weight in zip(held, weights, strict=True) if weight > 0]
        central = float(weights @ np.array(held))
        low, high, source = min(likely), max(likely), "the scenarios' lowest and highest"
        spread = low < high
        if not spread:
            low, high, source = central * (1 - TENTH), central * (1 + TENTH), "10 % either way"
            if kind != "peak":
                low, high = max(low, WIDTHS[0]), min(high, WIDTHS[1])
        at = {x: _at_level(scenarios, kind, root, x) for x in (low, high, *likely)}
        words = {"peak": "stated peak", "growth_yoy_x": "growth", "demand_x": "demand"}[kind]
        yield Move(
            name=f"{words} of {root}",
            kind="growth",
            node=root,
            low=low,
            central=central,
            high=high,
            unit="x" if kind != "peak" else "the root's unit",
            source=source,
            basis="assumed" if kind != "demand_x" else _root_basis(solved, root),
            at_low=at[low],
            at_high=at[high],
            measure="look again when the run rate of October is known",
            if_known=tuple(
                (float(weight), at[x])
                for weight, x in zip(weights, held, strict=True)
                if weight > 0 and spread
            ),
        )


def _root_basis(solved: Solved, root: str) -> Basis:
    demand = solved.fit.demand
    return "fitted" if isinstance(demand, DemandFit) and root in demand.services else "assumed"


def _level_kind(scenarios: tuple[Scenario, ...], root: str) -> str:
    """Return the field by which the scenarios state a root's level."""
    if any(root in s.peak for s in scenarios):
        return "peak"
    return "growth_yoy_x" if all(root in s.growth_yoy_x for s in scenarios) else "demand_x"


def _level(scenario: Scenario, kind: str, root: str) -> float:
    if kind == "peak":
        return scenario.peak[root].p50 if root in scenario.peak else math.nan
    values = scenario.growth_yoy_x if kind == "growth_yoy_x" else scenario.demand_x
    return values.get(root, 1.0)


def _at_level(scenarios: tuple[Scenario, ...], kind: str, root: str, x: float) -> Case:
    return Case(scenarios=tuple(_with_level(s, kind, root, x) for s in scenarios))


def _with_level(scenario: Scenario, kind: str, root: str, x: float) -> Scenario:
    if kind == "peak":
        stated = scenario.peak[root]
        scaled = {"p50": x, "p95": stated.p95 * x / stated.p50}
        return scenario.replace(peak={**scenario.model_dump()["peak"], root: scaled})
    if kind == "demand_x" and root in scenario.growth_yoy_x:
        # Some scenarios state growth and some do not: what multiplies the forecast multiplies it.
        grown = scenario.growth_yoy_x[root] * x
        return scenario.replace(growth_yoy_x={**scenario.growth_yoy_x, root: grown})
    return scenario.replace(**{kind: {**getattr(scenario, kind), root: x}})


def _lifts(solved: Solved) -> Iterator[Move]:
    """Yield the lift of the event on which each root peaks, by its own evidence."""
    scenarios = plain_scenarios(solved)
    main = int(solved.request.weights.argmax())
    for root, minutes in solved.futures.roots.items():
        days = np.median(solved.season_loads[main].root_peak(root), axis=0)
        day = solved.season.start + int(days.argmax())
        event, lift_x = minutes.root.event[day], float(minutes.root.lift_x[day])
        spans = {d.name: d.span for d in solved.fit.events.days}
        stated = [assumed_lift(s, root, event, spans.get(event, event)) for s in scenarios]
        evidence = _lift_range(solved, root, event)
        if not event or math.isnan(lift_x) or root in scenarios[main].peak:
            continue
        if evidence is None or stated[main] is not None:
            low_x, high_x, source = 1 - TENTH, 1 + TENTH, "10 % either way"
            basis: Basis = "assumed"
        else:
            low_x, high_x, basis = evidence
            source = "P10 to P90 of the event's own evidence"
        central = stated[main] or lift_x
        low, high = (
            Case(
                scenarios=tuple(
                    s.replace(lift=_with_lift(s, event, root, (own or lift_x) * x))
                    for s, own in zip(scenarios, stated, strict=True)
                )
            )
            for x in (low_x, high_x)
        )
        yield Move(
            name=f"lift of {humanize(event)} on {root}",
            kind="lift",
            node=root,
            low=central * low_x,
            central=central,
            high=central * high_x,
            unit="x",
            source=source,
            basis=basis,
            at_low=low,
            at_high=high,
            measure="more past seasons, or what merchants plan",
        )


def _with_lift(
    scenario: Scenario, event: str, root: str, lift: float
) -> dict[str, dict[str, float]]:
    return {**scenario.lift, event: {**scenario.lift.get(event, {}), root: lift}}


def _lift_range(solved: Solved, root: str, event: str) -> tuple[float, float, Basis] | None:
    """Return P10 and P90 of a lift as multiples of it, None where no history tells it."""
    if not isinstance(solved.fit.demand, DemandFit):
        return None
    frame = solved.fit.demand.lifts()
    rows = frame[(frame["service"] == root) & (frame["event"] == event)]
    if rows.empty:
        return None
    row = rows.iloc[0]
    return row["lift_p10"] / row["lift_x"], row["lift_p90"] / row["lift_x"], row["basis"]


def _bursts(solved: Solved) -> Iterator[Move]:
    """Yield the burst within the hour of each root that has hours at all."""
    main = solved.request.scenarios[int(solved.request.weights.argmax())]
    for root, minutes in solved.futures.roots.items():
        burst_x = solved.fit.today[root].burst_x
        if minutes.root.shape.shape[2] == 1 or not burst_x > 1 or root in main.peak:
            continue
        low, high = (1 + (burst_x - 1) * x for x in (1 - EXCESS, 1 + EXCESS))
        yield Move(
            name=f"peak minute / hour mean of {root}",
            kind="burst",
            node=root,
            low=low,
            central=burst_x,
            high=high,
            unit="x",
            source="a fifth of its excess over 1 either way",
            basis=solved.fit.peaks.basis(root, event=True),
            at_low=Case(excess_x={root: 1 - EXCESS}),
            at_high=Case(excess_x={root: 1 + EXCESS}),
            measure="minutes of the last event",
        )
