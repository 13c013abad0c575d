"""The futures of a plan: root paths under every scenario, and what reaches each node in them.

This module answers: which paths does each root take, how do calls carry them to services, and does
a service's own history disagree with what its callers imply?
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from capmodel.capacity.loads import (
    CallRatio,
    Loads,
    RootMinutes,
    Weights,
    call_weights,
    joint_roots,
    root_minutes,
    stated_peak_factor,
)
from capmodel.demand import DemandFit, declared_roots
from capmodel.demand.luck import normal_scores
from capmodel.demand.widening import widened
from capmodel.errors import InputError, Problem
from capmodel.peaks import is_event_day
from capmodel.plan.own_forecasts import OwnForecast, judge_own
from capmodel.plan.scenarios import Assumed, assume, cores_of, mix_of
from capmodel.scenario import (
    Added,
    Scenario,
    assumed_lift,
    day_factor,
    sharpened,
    with_added,
    with_window_lifts,
)
from capmodel.schema import Finding, rng_for

if TYPE_CHECKING:
    from capmodel.demand.paths import RootPaths
    from capmodel.plan.model import CapacityFit
    from capmodel.plan.request import PlanRequest
    from capmodel.topology import Topology

__all__ = ["Drawn", "Futures", "make_futures"]


@dataclass(frozen=True, slots=True, eq=False)
class Futures:
    """Everything random, drawn once: all scenarios share the same luck."""

    roots: Mapping[str, RootMinutes]
    """Hours before any scenario, bursts at the rates of the first one; the rest is in `loads`."""
    scenarios: tuple[Scenario, ...]
    """With the growth that anchors ask for."""
    loads: tuple[Loads, ...]
    """One per scenario."""
    calls: Mapping[tuple[str, str], CallRatio]
    """Edges as used."""
    larger: Mapping[str, float]
    """Services sized by their own history: own / top-down [ratio]."""
    own: tuple[OwnForecast, ...]
    """For the first scenario, the services whose own history is forecast too."""
    event_days: np.ndarray
    """Days of the event regime, shape (N,)."""
    findings: tuple[Finding, ...]
    factors: tuple[Mapping[str, np.ndarray], ...] = ()
    """Root to what each scenario makes of its level, before a stated peak, shape (D, N)."""


Judged = tuple[tuple[OwnForecast, ...], dict[str, float], tuple[Finding, ...]]
"""Own forecasts, what is sized by them, and the findings."""


@dataclass(frozen=True, slots=True, eq=False)
class Drawn:
    """What another plan of the same fit, days, seed and draws has drawn already."""

    futures: Futures
    excess_x: Mapping[str, float] = field(default_factory=dict)
    """Root to what multiplies its burst's excess over 1 [ratio]."""

    @property
    def paths(self) -> dict[str, RootPaths]:
        """The roots' paths before any scenario."""
        return {name: minutes.root for name, minutes in self.futures.roots.items()}

    @property
    def judged(self) -> Judged:
        """Own forecasts, what is sized by them, and the findings."""
        return self.futures.own, dict(self.futures.larger), self.futures.findings


def make_futures(
    fit: CapacityFit,
    request: PlanRequest,
    *,
    known: Mapping[str, float] | None = None,
    drawn: Drawn | None = None,
) -> Futures:
    """Draw the roots, apply the scenarios, and carry the loads down the calls.

    ``known`` are the services that are known to follow their own history, with own / top-down
    [ratio]; None compares the two forecasts.

    With `drawn`, roots keep the paths drawn there, minutes of unchanged rates are those made there,
    and which services are sized by their own history stays as it was judged there.
    """
    paths = _root_paths(fit, request) if drawn is None else drawn.paths
    event_days = is_event_day(fit.events, request.dates)
    spans = {day.name: day.span for day in fit.events.days}
    assumed = assume(fit, request, paths, spans=spans)
    request = replace(request, scenarios=tuple(one.scenario for one in assumed))
    factors = [
        {name: day_factor(p, s, spans=spans) for name, p in paths.items()}
        for s in request.scenarios
    ]
    if known is not None:
        judged: Judged = (), dict(known), ()
    else:
        judged = drawn.judged if drawn else judge_own(fit, request, paths, factors)
    own, larger, findings = judged
    carried = _Carried(fit, request, _external_calls(fit, larger), larger, event_days)
    weights = carried.under({})
    joint = joint_roots(_sharing_groups(fit), weights)
    minutes = _continued(_Minutes(fit, event_days, request.seed, joint), drawn)
    remainder = _remainders(fit, request, weights)
    loads = tuple(
        _load_under(one, factor, paths, request, minutes=minutes, carried=carried,
                    weights=weights, remainder=remainder)
        for one, factor in zip(assumed, factors, strict=True)
    )  # fmt: skip
    roots = {name: minutes.of(path, factors[0][name]) for name, path in paths.items()}
    return Futures(
        roots=roots,
        scenarios=request.scenarios,
        loads=loads,
        calls=carried.calls,
        larger=larger,
        own=own,
        event_days=event_days,
        findings=findings,
        factors=tuple(factors),
    )


def _load_under(  # noqa: PLR0913  what all scenarios share, by name
    assumed: Assumed,
    factor: Mapping[str, np.ndarray],
    paths: Mapping[str, RootPaths],
    request: PlanRequest,
    *,
    minutes: _Minutes,
    carried: _Carried,
    weights: Mapping[str, Weights],
    remainder: Mapping[str, np.ndarray],
) -> Loads:
    """Return the load of every node under one scenario."""
    scenario, made = assumed.scenario, {}
    for name, path in paths.items():
        added = assumed.added.get(name)
        lifted = with_added(with_window_lifts(path, scenario), added, factor[name])
        made[name] = minutes.of(lifted, factor[name], added)
    mix = mix_of(scenario, request.dates)
    return Loads(
        dates=request.dates,
        roots=made,
        factor={
            name: _with_stated_peak(factor[name], made[name], scenario, request) for name in made
        },
        weights=carried.under(mix) if mix else weights,
        remainder=remainder,
        cores_x=cores_of(scenario, carried.fit.topology, request.dates),
    )


def _continued(minutes: _Minutes, drawn: Drawn | None) -> _Minutes:
    """Return what makes minutes with those that stand already, but for other bursts."""
    if drawn is None:
        return minutes
    known = drawn.futures
    pairs = tuple(zip(known.factors, known.loads, strict=True))
    made = {
        root: [(factor[root], load.roots[root]) for factor, load in pairs]
        for root in known.roots
        if root not in drawn.excess_x
    }
    return replace(minutes, excess_x=drawn.excess_x, made=made)


@dataclass(frozen=True, slots=True, eq=False)
class _Carried:
    """What is needed to carry demand down the calls."""

    fit: CapacityFit
    request: PlanRequest
    calls: Mapping[tuple[str, str], CallRatio]
    larger: Mapping[str, float]
    event_days: np.ndarray

    def under(self, mix: Mapping[tuple[str, str], np.ndarray]) -> dict[str, Weights]:
        """Return each node's requests per event of each root, with a scenario's mix of calls."""
        weights: dict[str, Weights] = dict(
            call_weights(
                self.fit.topology,
                self.calls,
                is_event=self.event_days,
                draws=self.request.draws,
                seed=self.request.seed,
                edge_x=mix,
            )
        )
        for name, gap_x in self.larger.items():
            weights[name] = {root: weight * gap_x for root, weight in weights[name].items()}
        return weights


def _root_paths(fit: CapacityFit, request: PlanRequest) -> dict[str, RootPaths]:
    """Return paths of every root: declared ones flat, the others forecast."""
    topology = fit.topology
    declared = {
        name: (today.value, topology.drivers[name].sigma_log if name in topology.drivers else 0.0)
        for name, today in fit.today.items()
        if _is_declared(topology, name) and not np.isnan(today.value) and not _covered(fit, name)
    }
    paths: dict[str, RootPaths] = {}
    if declared:
        flat = declared_roots(
            declared,
            start=request.start,
            end=request.end,
            events=fit.events,
            draws=request.draws,
            seed=request.seed,
            quantity={name: fit.today[name].quantity for name in declared},
        )
        paths.update({p.service: p for p in flat})
    forecast = [name for name in fit.roots if name not in declared]
    if forecast:
        if fit.demand is None:
            raise InputError.of(
                ", ".join(forecast),
                got="no forecast",
                expected="history, a given forecast, or today's level declared",
                do="Declare today_per_min (drivers) or today_rps (services).",
            )
        lifts = _shared_lifts(request.scenarios)
        if isinstance(fit.demand, DemandFit):
            _require_lifts(fit, fit.demand, request, forecast)
        drawn = fit.demand.roots(
            forecast,
            request.start,
            request.end,
            draws=request.draws,
            seed=request.seed,
            lifts=lifts,
        )
        paths.update({p.service: p for p in drawn})
    return {name: _widened(paths[name], request) for name in fit.roots}


def _widened(path: RootPaths, request: PlanRequest) -> RootPaths:
    """Return a root's paths, their season luck wider where the ledger's seasons ask for it."""
    asked = request.ledger.widening(path.service)
    if not asked.widens:
        return path
    return widened(path, scale_x=asked.scale_x, df=asked.df, seed=request.seed)


def _require_lifts(
    fit: CapacityFit, demand: DemandFit, request: PlanRequest, roots: list[str]
) -> None:
    """Refuse events that nobody has seen and that some scenario does not assume a lift for.

    Raises
    ------
    InputError
        With one problem for each scenario, event and root.
    """
    spans = {day.name: day.span for date in request.dates for day in fit.events.acting(date)}
    problems: dict[tuple[str, str, str], Problem] = {}
    for name, span in spans.items():
        for root in roots:
            if root not in demand.services or demand.effect(root, name) is not None:
                continue
            for scenario in request.scenarios:
                if assumed_lift(scenario, root, name, span) is None:
                    problems[scenario.name, span, root] = Problem(
                        where=f"scenarios.{scenario.name}.lift",
                        got=f'no lift of "{span}" for {root}, and history holds no such event',
                        expected="a past occurrence, or an assumed lift [ratio]",
                        do=f"Assume one: lift: {{{span}: {{{root}: 1.2}}}} (20 % more).",
                    )
    if problems:
        raise InputError(problems.values())


def _is_declared(topology: Topology, name: str) -> bool:
    if name in topology.drivers:
        return topology.drivers[name].today_per_min is not None
    return topology.services[name].today_rps is not None


def _covered(fit: CapacityFit, name: str) -> bool:
    return fit.demand is not None and name in fit.demand.services


def _shared_lifts(scenarios: tuple[Scenario, ...]) -> dict[str, dict[str, float]]:
    """Return the lifts that every scenario assumes: precedents are not needed for these."""
    first, *others = scenarios
    return {
        event: {
            root: lift
            for root, lift in lifts.items()
            if all(root in other.lift.get(event, {}) for other in others)
        }
        for event, lifts in first.lift.items()
    }


@dataclass(frozen=True, slots=True, eq=False)
class _Minutes:
    """Makes busiest minutes; scenarios that give a root the same rates share them."""

    fit: CapacityFit
    event_days: np.ndarray
    seed: int
    joint: set[str]
    """Roots whose hours are kept."""
    excess_x: Mapping[str, float] = field(default_factory=dict)
    """Root to what multiplies its burst's excess over 1 [ratio]."""
    made: dict[str, list[tuple[np.ndarray, RootMinutes]]] = field(default_factory=dict)
    """Root to factors and what was made with them."""

    def of(self, path: RootPaths, factor: np.ndarray, added: Added | None = None) -> RootMinutes:
        """Return a root's busiest minutes, burst drawn at the rates that the factor makes.

        `added` is what the path holds besides: the first minutes of pushes stand above its hours.

        A season peak that a scenario states stretches the minutes afterwards; the burst is that of
        the rates before.
        """
        by_rate = self.fit.peaks.by_rate(path.service)
        made = self.made.setdefault(path.service, [])
        for known, minutes in made:
            if minutes.root is path and (not by_rate or np.array_equal(known, factor)):
                return minutes
        burst = sharpened(self._burst(path, factor), path, added, factor)
        minutes = root_minutes(path, burst, keep_hours=path.service in self.joint)
        made.append((factor, minutes))
        return minutes

    def _burst(self, path: RootPaths, factor: np.ndarray) -> np.ndarray:
        if path.shape.shape[2] == 1:
            return np.ones((1, 1, 1))  # a declared level already is the busiest minute
        per_min = path.shape * factor[:, :, None] * (60.0 if path.quantity == "rps" else 1.0)
        rng = rng_for(self.seed, "burst", path.service)
        burst = self.fit.peaks.burst(path.service, self.event_days, per_min, rng)
        excess_x = self.excess_x.get(path.service)
        return burst if excess_x is None else 1.0 + (burst - 1.0) * excess_x


def _remainders(
    fit: CapacityFit, request: PlanRequest, weights: Mapping[str, Weights]
) -> dict[str, np.ndarray]:
    """Draw what services' busiest minutes have of their own, shape (D, N) each."""
    shape = (request.draws, len(request.dates))
    return {
        name: remainder.draw(shape, rng_for(request.seed, "burst-remainder", name))
        for name, remainder in fit.peaks.remainders.items()
        if name in weights
    }


def _with_stated_peak(
    factor: np.ndarray, minutes: RootMinutes, scenario: Scenario, request: PlanRequest
) -> np.ndarray:
    name = minutes.root.service
    stated = scenario.peak.get(name)
    if stated is None:
        return factor
    seconds = 60.0 if minutes.root.quantity == "per_min" else 1.0
    normal = normal_scores(rng_for(request.seed, "peak", name), request.draws)
    peak = minutes.day_peak * factor * seconds
    stretch = stated_peak_factor(peak, stated=stated, season=request.season, normal=normal)
    return np.asarray(factor * stretch)


def _sharing_groups(fit: CapacityFit) -> list[list[str]]:
    topology = fit.topology
    groups = [[node] for node in topology.order]
    groups += [
        list(database.used_by) for database in topology.databases.values() if database.used_by
    ]
    groups += [
        members
        for pool in topology.pools
        if (members := [n for n, s in topology.services.items() if s.pool == pool])
    ]
    return groups


def _external_calls(
    fit: CapacityFit, larger: Mapping[str, float]
) -> dict[tuple[str, str], CallRatio]:
    """Return the edges, with a larger service's calls of externals raised alike.

    Services that it calls keep their own evidence; an external has none besides its caller.
    """
    return {
        (caller, node): replace(edge, ratio=edge.ratio * larger.get(caller, 1.0))
        if node in fit.topology.externals
        else edge
        for (caller, node), edge in fit.calls.items()
    }
