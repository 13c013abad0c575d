"""A service's own forecast beside what its callers imply.

This module answers: does a service's own history disagree with the top-down figure, and which of
the two is used?
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from capmodel.capacity.loads import call_weights
from capmodel.demand import DemandFit
from capmodel.peaks import is_event_day
from capmodel.scenario import Scenario, assumed_lift, day_factor, with_window_lifts
from capmodel.schema import Finding

if TYPE_CHECKING:
    from capmodel.demand.paths import RootPaths
    from capmodel.plan.model import CapacityFit
    from capmodel.plan.request import PlanRequest

__all__ = ["OwnForecast", "judge_own"]

GAP: Final = 0.10
"""A service's own forecast and the top-down one may differ by this before a finding names both."""
OWN_DRAWS: Final = 101


@dataclass(frozen=True, slots=True)
class OwnForecast:
    """A service's season peak from its own history beside what its callers imply (hour means)."""

    service: str
    own_p50: float
    top_down_p50: float

    @property
    def gap_x(self) -> float:
        """Own / top-down [ratio]."""
        return self.own_p50 / self.top_down_p50


def judge_own(
    fit: CapacityFit,
    request: PlanRequest,
    paths: Mapping[str, RootPaths],
    factors: list[dict[str, np.ndarray]],
) -> tuple[tuple[OwnForecast, ...], dict[str, float], tuple[Finding, ...]]:
    """Return own forecasts, the services that are sized by theirs, and what to say of them."""
    own = _own_forecasts(fit, request, paths, factors)
    larger, findings = _larger_forecast(own)
    return own, larger, findings


def _own_paths(
    demand: DemandFit, request: PlanRequest, root_of: Mapping[str, str]
) -> tuple[RootPaths, ...]:
    """Return paths of services from their own history, with the lifts assumed for their roots."""
    lifts = {
        event: {n: by_root[root] for n, root in root_of.items() if root in by_root}
        for event, by_root in request.scenarios[0].lift.items()
    }
    return demand.roots(
        list(root_of), request.start, request.end, draws=OWN_DRAWS, seed=request.seed, lifts=lifts
    )


def _own_forecasts(
    fit: CapacityFit,
    request: PlanRequest,
    paths: Mapping[str, RootPaths],
    factors: list[dict[str, np.ndarray]],
) -> tuple[OwnForecast, ...]:
    """Return season peaks (median of hour means) of services from their own history.

    Growth, lifts and demand ratios of the first scenario apply to both: a service follows the root
    that feeds it. Left out is what cannot be compared: a service that several roots feed (no single
    growth), one that was born since last season, one that its callers are declared never to call,
    and one with an event without evidence.
    """
    if not isinstance(fit.demand, DemandFit):
        return ()
    scenario = request.scenarios[0]
    feeding = {name: fit.topology.roots_of(name) for name in fit.owns}
    names = [
        n
        for n in fit.owns
        if len(feeding[n]) == 1 and _knows_events(fit, paths[feeding[n][0]], scenario, n)
    ]
    if not names:
        return ()
    drawn = _own_paths(fit.demand, request, {n: feeding[n][0] for n in names})
    weights = call_weights(
        fit.topology,
        fit.calls,
        is_event=is_event_day(fit.events, request.dates),
        draws=request.draws,
        seed=request.seed,
    )
    result = []
    for path in drawn:
        root = feeding[path.service][0]
        if root in scenario.growth_yoy_x and np.isnan(path.to_growth).any():
            continue  # born since last season: there is no level that growth could be applied to
        follows = Scenario(
            name="own",
            growth_yoy_x=_renamed(scenario.growth_yoy_x, root, path.service),
            demand_x=_renamed(scenario.demand_x, root, path.service),
            lift_x=scenario.lift_x,
        )
        top_factor = factors[0][root] * weights[path.service][root]
        caller = with_window_lifts(paths[root], scenario)
        top_down = _median_peak(caller, top_factor, request.season)
        if top_down == 0:
            continue  # declared to receive nothing: there is no ratio
        lifted = with_window_lifts(path, follows)
        own_p50 = _median_peak(lifted, day_factor(path, follows), request.season)
        result.append(OwnForecast(path.service, own_p50=own_p50, top_down_p50=top_down))
    return tuple(result)


def _knows_events(fit: CapacityFit, root: RootPaths, scenario: Scenario, service: str) -> bool:
    """Return whether a service has seen each event of the horizon, or the scenario assumes it."""
    spans = {day.name: day.span for day in fit.events.days}
    return isinstance(fit.demand, DemandFit) and all(
        fit.demand.effect(service, event) is not None
        or assumed_lift(scenario, root.service, event, spans.get(event, event)) is not None
        for event in {*root.event, *(window.event for window in root.windows)} - {""}
    )


def _median_peak(path: RootPaths, factor: np.ndarray, season: np.ndarray) -> float:
    """Return the median over paths of the season's busiest hour mean [1/s]."""
    seconds = 60.0 if path.quantity == "per_min" else 1.0
    days = path.shape.max(axis=2) * factor / seconds
    return float(np.median(days[:, season].max(axis=1)))


def _renamed(values: Mapping[str, float], root: str, service: str) -> dict[str, float]:
    return {service: values[root]} if root in values else {}


def _larger_forecast(
    own: tuple[OwnForecast, ...],
) -> tuple[dict[str, float], tuple[Finding, ...]]:
    """Return the services whose own forecast is larger by more than the gap, and the findings."""
    larger: dict[str, float] = {}
    findings = []
    for forecast in own:
        if abs(forecast.gap_x - 1) <= GAP:
            continue
        used = "own history" if forecast.gap_x > 1 else "callers"
        findings.append(
            Finding(
                code="forecast_gap",
                severity="warning",
                service=forecast.service,
                message=(
                    f"season peak from its own history {forecast.own_p50:.4g}/s, from its callers "
                    f"{forecast.top_down_p50:.4g}/s; the larger ({used}) is used"
                ),
                data={"own_p50": forecast.own_p50, "top_down_p50": forecast.top_down_p50},
            )
        )
        if forecast.gap_x > 1:
            larger[forecast.service] = forecast.gap_x
    return larger, tuple(findings)
