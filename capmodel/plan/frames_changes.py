"""What each scenario changes, in the fixed order of stages, and what each change broke, as a frame.

This module answers: which assumptions act on demand, calls, cores and prices, who says so, and
which limit holds without one of them and breaks with it? Overlays go on where these stages end:
:mod:`capmodel.plan.frames_overlays`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd

from capmodel.capacity.phases import with_phases
from capmodel.capacity.sizing import limit_paths
from capmodel.plan.futures import make_futures
from capmodel.schema import order_statistic

if TYPE_CHECKING:
    from capmodel.capacity.sizing import LimitPaths
    from capmodel.plan.make import Solved
    from capmodel.scenario import CallMix, Efficiency, Launch, Onboarding, Price, Push, Scenario

__all__ = ["STAGES", "changes_frame", "scenario_changes"]

STAGES: Final = (
    "growth", "demand_x", "lift", "mix", "additive", "retry", "cache", "losses", "cores", "price",
)  # fmt: skip
"""The order in which assumptions act, whatever the order in which they are written; the last two
act on what serves the demand and on what it costs."""
COLUMNS: Final = ["scenario", "stage", "change", "value", "unit", "source", "breaks"]


@dataclass(frozen=True, slots=True)
class Change:
    """One assumption of a scenario."""

    stage: str
    words: str
    value: str
    unit: str
    source: str
    without: Scenario | None = None
    """The scenario without it, for what is compared."""


def scenario_changes(scenario: Scenario) -> Iterator[tuple[str, str, str, str]]:
    """Yield (name, value, unit, source) of what a scenario adds, mixes, saves and pays."""
    for change in _listed(scenario):
        yield change.words, change.value, change.unit, change.source


def changes_frame(solved: Solved) -> pd.DataFrame:
    """Return one row per scenario and change, by stage.

    ``breaks`` names the limits whose P50 season peak exceeds the hard value with the change and not
    without it, all else equal (an anchor's growth is kept); of growth, ratios of demand, lifts and
    prices it is ``not compared``, and of the others where the plan is made without its part
    ``changes``.
    """
    listed = [(s, change) for s in solved.request.scenarios for change in _all(s)]
    if "changes" not in solved.request.also:
        listed = [(s, replace(change, without=None)) for s, change in listed]
    compared = [change.without for _, change in listed if change.without is not None]
    broken = iter(_broken(solved, compared, [s for s, c in listed if c.without is not None]))
    rows = [
        {
            "scenario": scenario.name,
            "stage": change.stage,
            "change": change.words,
            "value": change.value,
            "unit": change.unit,
            "source": change.source,
            "breaks": "not compared" if change.without is None else next(broken),
        }
        for scenario, change in listed
    ]
    return pd.DataFrame(rows, columns=COLUMNS)


def _all(scenario: Scenario) -> list[Change]:
    """Return every change of a scenario in the order of the stages."""
    found = [
        Change(
            "growth",
            f"growth of {root}",
            f"{value:.6g}",
            "x last season",
            "solved from an anchor" if root in scenario.anchored else "scenario",
        )
        for root, value in scenario.growth_yoy_x.items()
    ]
    found += [
        Change("demand_x", f"demand of {root}", f"{value:.6g}", "x forecast", "scenario")
        for root, value in scenario.demand_x.items()
    ]
    found += [
        Change("lift", f"lift {event} of {root}", f"{value:.6g}", "ratio", "scenario")
        for event, lifts in scenario.lift.items()
        for root, value in lifts.items()
    ]
    return sorted([*found, *_listed(scenario)], key=lambda change: STAGES.index(change.stage))


def _listed(scenario: Scenario) -> Iterator[Change]:
    """Yield the entries of a scenario's lists, stage by stage."""
    for mix in scenario.mix:
        yield _mix(mix, _without(scenario, "mix", mix))
    for launch in scenario.launches:
        yield _launch(launch, _without(scenario, "launches", launch))
    for merchant in scenario.onboarding:
        yield _onboarding(merchant, _without(scenario, "onboarding", merchant))
    for push in scenario.pushes:
        yield _push(push, _without(scenario, "pushes", push))
    for saved in scenario.efficiency:
        yield _efficiency(saved, _without(scenario, "efficiency", saved))
    for price in scenario.price:
        yield _price(price)


def _without(scenario: Scenario, field: str, entry: object) -> Scenario:
    """Return the scenario as it is solved, without one entry."""
    kept = list(getattr(scenario, field))
    kept.remove(entry)
    return scenario.model_copy(update={"anchor": (), field: tuple(kept)})


def _mix(mix: CallMix, without: Scenario) -> Change:
    words = f"calls of {mix.node} per {mix.caller}{_days(mix.since, mix.until)}"
    return Change("mix", words, f"{mix.ratio_x:.6g}", "x calls", mix.source, without)


def _launch(launch: Launch, without: Scenario) -> Change:
    words = f"launch {launch.words}, {launch.root}"
    if launch.ramp_days > 1:
        words += f", full after {launch.ramp_days} days"
    if launch.half_life_days is not None:
        words += f", half of it every {launch.half_life_days:g} days after"
    return Change("additive", words, *_level(launch), launch.source, without)


def _onboarding(merchant: Onboarding, without: Scenario) -> Change:
    words = f"onboarding {merchant.name} from {merchant.start}, {merchant.root}"
    if merchant.in_history_since is not None:
        words += f", in the history since {merchant.in_history_since}"
    return Change("additive", words, *_level(merchant), merchant.source, without)


def _level(one: Launch | Onboarding) -> tuple[str, str]:
    if one.per_min is not None:
        return f"{one.per_min:.6g}", "1/min"
    return f"{one.rps:.6g}", "1/s"


def _push(push: Push, without: Scenario) -> Change:
    words = (
        f"push {push.name} at {push.start.isoformat(timespec='minutes')}, {push.root}: "
        f"{push.reach:,.0f} reached, {push.response:.4g} each, half within "
        f"{push.half_life_hours:g} h"
    )
    return Change("additive", words, f"{push.arrivals:.6g}", "events", push.source, without)


def _efficiency(saved: Efficiency, without: Scenario) -> Change:
    words = f"efficiency of {saved.pool}{_days(saved.since, None)}"
    return Change("cores", words, f"{saved.cores_x:.6g}", "x cores", saved.source, without)


def _price(price: Price) -> Change:
    words, source = f"price of {price.type}", f"{price.source}, {price.as_of}"
    if price.usd_per_hour is not None:
        return Change("price", words, str(price.usd_per_hour), "USD/h", source)
    return Change("price", words, f"{price.price_x:.6g}", "x catalog", source)


def _days(since: Any, until: Any) -> str:
    return (f" from {since}" if since else "") + (f" until {until}" if until else "")


def _broken(solved: Solved, variants: list[Scenario], full: list[Scenario]) -> list[str]:
    """Return for each variant the limits that its full scenario breaks and it does not."""
    if not variants:
        return []
    count = len(variants)
    named = tuple(s.model_copy(update={"name": f"{s.name} {i}"}) for i, s in enumerate(variants))
    request = replace(solved.request, scenarios=named, weights=np.full(count, 1.0 / count))
    futures = make_futures(solved.fit, request)
    loads = tuple(load.take(slice(None), solved.season.days) for load in futures.loads)
    estate = with_phases(solved.estate, [load.cores_x for load in futures.loads])
    estate = estate.take(slice(None), solved.season.days)
    position = {s.name: i for i, s in enumerate(solved.request.scenarios)}
    broken: list[list[str]] = [[] for _ in variants]
    for path in solved.paths:
        over = [i for i, s in enumerate(full) if _breaks(path, position[s.name])]
        if path.limit.kind == "storage" or not over:
            continue
        less = limit_paths(path.limit, estate, [loads[i] for i in over], season=solved.season)
        for k, i in enumerate(over):
            if not _breaks(less, k):
                broken[i].append(f"{path.limit.node} {path.limit.name}")
    return ["; ".join(limits) for limits in broken]


def _breaks(path: LimitPaths, scenario: int) -> bool:
    """Return whether the P50 of the season's peak exceeds the hard value; False where unbounded."""
    peaks = path.full_peak[scenario]
    return bool(peaks[order_statistic(peaks, 0.5)] > path.limit.hard)
