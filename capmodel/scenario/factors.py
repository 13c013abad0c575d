"""What a scenario multiplies a root's paths by: growth, demand ratio, lifts.

This module answers: how do growth, lifts and demand ratios change the forecast's paths? It is pure:
paths in, factors out.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import numpy as np

from capmodel.errors import InputError

if TYPE_CHECKING:
    from capmodel.demand.paths import RootPaths
    from capmodel.scenario.core import Scenario

__all__ = ["ALL_EVENTS", "RATIO_RANGE", "assumed_lift", "day_factor", "with_window_lifts"]

RATIO_RANGE: Final = (0.5, 4.0)
"""Growth and demand ratios outside are refused: usually a percentage, or a change, was meant."""
ALL_EVENTS: Final = "all_events"
"""In `lift_x`: every event day that is not named."""


def assumed_lift(scenario: Scenario, root: str, event: str, span: str) -> float | None:
    """Return the lift a scenario assumes for an event day (by its name, else by its span)."""
    for name in (event, span):
        value = scenario.lift.get(name, {}).get(root)
        if value is not None:
            return value
    return None


def day_factor(
    root: RootPaths, scenario: Scenario, *, spans: Mapping[str, str] | None = None
) -> np.ndarray:
    """Return what multiplies a root's hourly shape on each day under a scenario.

    ``factor = exp(level + shock + trend) * demand_x * assumed lift / fitted lift`` with
    ``trend = to_growth + ln growth`` where growth is given, else the fitted drift.

    Parameters
    ----------
    root
        Paths of one root over D draws and N local days.
    scenario
        The assumptions.
    spans
        Event day to the span it belongs to, for lifts stated per span.

    Returns
    -------
    numpy.ndarray
        Shape (D, N) [ratio].

    Raises
    ------
    InputError
        When growth is given for a root without last season.
    """
    spans = spans or {}
    growth = scenario.growth_yoy_x.get(root.service)
    if growth is None:
        trend = root.drift
    else:
        if np.isnan(root.to_growth).any():
            raise InputError.of(
                f"scenarios.{scenario.name}.growth_yoy_x.{root.service}",
                got=f"growth {growth}, but last season's level is not known",
                expected="a root whose history (or declared level) covers last season",
                do="Use demand_x, which multiplies the forecast itself.",
            )
        trend = (root.to_growth + math.log(growth))[None, :]
    log_factor = root.level[:, None] + root.shock + trend
    factor = np.exp(log_factor) * scenario.demand_x.get(root.service, 1.0)
    override = np.ones(len(root.dates))
    windows = {(window.day, window.event) for window in root.windows}
    for i, event in enumerate(root.event):
        if event and (i, event) not in windows:
            span = spans.get(event, event)
            override[i] = _lift_factor(root, scenario, event, span, root.lift_x[i])
    return np.asarray(factor * override[None, :])


def with_window_lifts(root: RootPaths, scenario: Scenario) -> RootPaths:
    """Return a root with the lifts that a scenario assumes for windowed events in its shape.

    ``shape * assumed lift / fitted lift`` in the hours of the window; the root itself where the
    scenario changes none. :func:`day_factor` leaves these lifts out: it knows whole days only.

    Raises
    ------
    InputError
        When a lift is assumed for a root whose own lift is not known.
    """
    factors = [_lift_factor(root, scenario, w.event, w.span, w.lift_x) for w in root.windows]
    if all(factor == 1 for factor in factors):
        return root
    shape, lift_x, windows = root.shape.copy(), root.lift_x.copy(), []
    for window, factor in zip(root.windows, factors, strict=True):
        shape[:, window.day, window.slots] *= factor
        windows.append(replace(window, lift_x=window.lift_x * factor))
        if window.event == root.event[window.day]:
            lift_x[window.day] = windows[-1].lift_x
    return replace(root, shape=shape, lift_x=lift_x, windows=tuple(windows))


def _lift_factor(
    root: RootPaths, scenario: Scenario, event: str, span: str, lift_x: float
) -> float:
    """Return assumed lift / the lift that the paths hold, times what multiplies lifts."""
    named = (name for name in (event, span, ALL_EVENTS) if name in scenario.lift_x)
    times = next((scenario.lift_x[name] for name in named), 1.0)
    lift = assumed_lift(scenario, root.service, event, span)
    if lift is None:
        return times
    if np.isnan(lift_x):
        raise InputError.of(
            f"scenarios.{scenario.name}.lift.{event}.{root.service}",
            got=f"lift {lift}, but the forecast does not say which lift it contains",
            expected="a root whose own lift of the event is known",
            do="Put the lift into the given forecast, or use demand_x.",
        )
    return float(lift / lift_x * times)
