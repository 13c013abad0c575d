"""A scenario: a named, complete set of assumptions about the future, and its pure application.

This module answers: how do growth, lifts and stated peaks change the forecast's paths? It carries
no capacity and no money. Failures are overlays (`capmodel.scenario.overlays`): never scenarios with
a probability.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import date
from typing import TYPE_CHECKING, Annotated, Any, Final, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from capmodel.errors import InputError, Problem, nearest

if TYPE_CHECKING:
    from capmodel.demand.paths import RootPaths

__all__ = [
    "Efficiency",
    "LogNormal",
    "Scenario",
    "check_names",
    "day_factor",
    "mixture_weights",
    "with_window_lifts",
]

RATIO_RANGE: Final = (0.5, 4.0)
"""Growth and demand ratios outside are refused: usually a percentage, or a change, was meant."""
Z_95: Final = 1.6448536269514722


class _Spec(BaseModel):
    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, populate_by_name=True
    )


class LogNormal(_Spec):
    """A log-normal distribution stated by two quantiles.

    ``sigma = ln(p95 / p50) / 1.644854``.

    Examples
    --------
    >>> round(LogNormal(p50=6000, p95=7070).sigma, 4)
    0.0998
    """

    p50: Annotated[float, Field(gt=0)]
    p95: Annotated[float, Field(gt=0)]

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.p95 < self.p50:
            msg = f"p95 {self.p95} is below p50 {self.p50}"
            raise ValueError(msg)
        return self

    @property
    def sigma(self) -> float:
        """Log standard deviation."""
        return math.log(self.p95 / self.p50) / Z_95


class Efficiency(_Spec):
    """A change in what a pool's services use per request, from a date on; carried, not applied."""

    pool: str
    cores_x: Annotated[float, Field(gt=0, le=4)]
    since: Annotated[date | None, Field(alias="from")] = None
    source: str


class Scenario(_Spec):
    """A named, complete set of assumptions about the future.

    Examples
    --------
    >>> base = Scenario(name="base", probability=0.55, growth_yoy_x={"checkouts": 1.25})
    >>> base.replace(name="high", probability=0.2, growth_yoy_x={"checkouts": 1.5}).name
    'high'
    """

    name: Annotated[str, Field(min_length=1)]
    probability: Annotated[float, Field(ge=0, le=1)] | None = None
    growth_yoy_x: dict[str, float] = Field(default_factory=dict)
    """Per root: ratio to last season's event-aligned level; replaces the fitted trend."""
    demand_x: dict[str, float] = Field(default_factory=dict)
    """Per root: multiplies the forecast, whose fitted trend stays; 1.0 changes nothing."""
    lift: dict[str, dict[str, Annotated[float, Field(gt=0)]]] = Field(default_factory=dict)
    """Per event day (or span) and root: the assumed lift, instead of the fitted one; of an event
    of some hours the lift of these."""
    peak: dict[str, LogNormal] = Field(default_factory=dict)
    """Per root: the season's busiest minute, stated as a distribution [the root's unit]."""
    efficiency: tuple[Efficiency, ...] = ()

    @model_validator(mode="after")
    def _ratios(self) -> Self:
        problems = [
            problem
            for field in ("growth_yoy_x", "demand_x")
            for root, value in getattr(self, field).items()
            if (problem := _ratio_problem(f"{self.name}.{field}.{root}", value)) is not None
        ]
        problems += [
            Problem(
                where=f"{self.name}.growth_yoy_x.{root}",
                got="growth_yoy_x and demand_x for the same root",
                expected="one of the two",
                do="growth_yoy_x replaces the fitted trend, demand_x multiplies it: keep one.",
            )
            for root in sorted(set(self.growth_yoy_x) & set(self.demand_x))
        ]
        if problems:
            raise InputError(problems)
        return self

    def replace(self, **changes: Any) -> Self:
        """Return a copy with these fields changed, validated again."""
        return type(self).model_validate({**self.model_dump(by_alias=True), **changes})


def _ratio_problem(where: str, value: float) -> Problem | None:
    low, high = RATIO_RANGE
    if low <= value <= high:
        return None
    meant = 1 + value / 100 if value > high else 1 + value
    return Problem(
        where=where,
        got=str(value),
        expected=f"a ratio between {low} and {high} (1.25 means 25 % more)",
        do=f"Did you mean {meant:g}?",
    )


def mixture_weights(scenarios: Sequence[Scenario]) -> np.ndarray:
    """Return the scenarios' probabilities, equal when none is stated.

    Raises
    ------
    InputError
        When a name is used twice, only some probabilities are stated, or they do not sum to 1.
    """
    names = [s.name for s in scenarios]
    stated = [s.probability for s in scenarios if s.probability is not None]
    if len(set(names)) < len(names) or "mixture" in names or not names:
        raise InputError.of(
            "scenarios",
            got=", ".join(names) or "none",
            expected='one or more scenarios with distinct names, none called "mixture"',
            do="Rename the scenario that repeats.",
        )
    if not stated:
        return np.full(len(scenarios), 1.0 / len(scenarios))
    total = math.fsum(stated)
    if len(stated) < len(scenarios) or abs(total - 1) > 1e-9:  # noqa: PLR2004  DESIGN §5
        shares = ", ".join(f"{s.name} {s.probability}" for s in scenarios)
        raise InputError.of(
            "scenarios.probability",
            got=f"{shares} (sum {total:.9g})",
            expected="probabilities that are all absent, or all present and sum to 1",
            do="Change them so that they sum to 1.",
        )
    return np.array(stated)


def check_names(
    scenarios: Iterable[Scenario],
    *,
    roots: Iterable[str],
    events: Iterable[str],
    follows: Mapping[str, Sequence[str]] | None = None,
) -> None:
    """Refuse scenarios that speak of unknown roots or events, naming the nearest known.

    `follows` names the roots of what is called: it grows with them and has no growth of its own.

    Raises
    ------
    InputError
        With one problem for each unknown name.
    """
    roots, events = tuple(roots), tuple(events)
    problems = []
    for scenario in scenarios:
        named: dict[str, Iterable[str]] = {
            "growth_yoy_x": scenario.growth_yoy_x,
            "demand_x": scenario.demand_x,
            "peak": scenario.peak,
            **{f"lift.{event}": lifts for event, lifts in scenario.lift.items()},
        }
        for field, values in named.items():
            problems += [
                _follower(f"scenarios.{scenario.name}", field, root, follows[root])
                if follows is not None and root in follows
                else _unknown(f"scenarios.{scenario.name}.{field}", root, "driver", roots)
                for root in values
                if root not in roots
            ]
        problems += [
            _unknown(f"scenarios.{scenario.name}.lift", event, "event", events)
            for event in scenario.lift
            if event not in events
        ]
    if problems:
        raise InputError(problems)


def _follower(scenario: str, field: str, name: str, roots: Sequence[str]) -> Problem:
    noun = {"growth_yoy_x": "growth", "demand_x": "demand", "peak": "the peak"}.get(field, "lifts")
    return Problem(
        where=f"{scenario}.{field}",
        got=f'"{name}", which has calls',
        expected=f"a root: {' or '.join(roots)}",
        do=f"{name} follows {' and '.join(roots)}; state {noun} there.",
    )


def _unknown(where: str, name: str, kind: str, known: tuple[str, ...]) -> Problem:
    close = nearest(name, known)
    return Problem(
        where=where,
        got=f'unknown {kind} "{name}"',
        expected=f"one of: {', '.join(known) or 'none'}",
        do=f'Did you mean "{close}"?' if close else f"Remove it or declare the {kind}.",
    )


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
    """Return assumed lift / the lift that the paths hold, 1 where none is assumed."""
    lift = assumed_lift(scenario, root.service, event, span)
    if lift is None:
        return 1.0
    if np.isnan(lift_x):
        raise InputError.of(
            f"scenarios.{scenario.name}.lift.{event}.{root.service}",
            got=f"lift {lift}, but the forecast does not say which lift it contains",
            expected="a root whose own lift of the event is known",
            do="Put the lift into the given forecast, or use demand_x.",
        )
    return float(lift / lift_x)
