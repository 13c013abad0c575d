"""A scenario: a named, complete set of assumptions about the future.

This module answers: what is assumed, do the assumptions go together, and how likely is each set? It
carries no capacity and no money. Failures are overlays (`capmodel.scenario.overlays`): never
scenarios with a probability.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final, Self

import numpy as np
from pydantic import Field, field_validator, model_validator

from capmodel.errors import InputError, Problem
from capmodel.scenario.additive import Launch, Onboarding, Push, launch_problems
from capmodel.scenario.anchor import Anchor
from capmodel.scenario.base import Spec
from capmodel.scenario.changes import CallMix, Efficiency, Price
from capmodel.scenario.factors import RATIO_RANGE

__all__ = ["LogNormal", "Scenario", "mixture_weights"]

Z_95: Final = 1.6448536269514722
LISTED: Final = ("anchor", "launches", "pushes", "onboarding", "mix", "efficiency", "price")
"""Fields whose entries have no order: they are kept sorted, so that any order is the same."""


class LogNormal(Spec):
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


class Scenario(Spec):
    """A named, complete set of assumptions about the future.

    They act in fixed stages, whatever the order in which they are written: growth, then `demand_x`,
    `lift`, `mix`, additive demand (`launches`, `pushes`, `onboarding`); overlays after them
    (retries, caches, losses); `efficiency` on what serves the demand, `price` on what that costs.
    The mix is a ratio on calls, so it holds for added requests as for all others.

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
    lift_x: dict[str, Annotated[float, Field(gt=0)]] = Field(default_factory=dict)
    """Per event day (or span), or ``all_events``: multiplies every root's lift, fitted or assumed;
    the most special of the three holds [ratio]."""
    peak: dict[str, LogNormal] = Field(default_factory=dict)
    """Per root: the season's busiest minute, stated as a distribution [the root's unit]."""
    anchor: tuple[Anchor, ...] = ()
    """Totals over days, from which the growth of their roots is solved; one or several."""
    launches: tuple[Launch, ...] = ()
    pushes: tuple[Push, ...] = ()
    onboarding: tuple[Onboarding, ...] = ()
    mix: tuple[CallMix, ...] = ()
    """Changes of calls per request."""
    efficiency: tuple[Efficiency, ...] = ()
    price: tuple[Price, ...] = ()

    @field_validator("anchor", mode="before")
    @classmethod
    def _one_or_several(cls, given: Any) -> Any:
        return (given,) if isinstance(given, Anchor | Mapping) else given

    @field_validator(*LISTED)
    @classmethod
    def _in_any_order(cls, given: tuple[Spec, ...]) -> tuple[Spec, ...]:
        return tuple(sorted(given, key=lambda one: one.model_dump_json()))

    @model_validator(mode="after")
    def _go_together(self) -> Self:
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
        problems += [
            *_anchor_problems(self),
            *_peak_problems(self),
            *_price_problems(self),
            *launch_problems(self.name, self.launches),
        ]
        if problems:
            raise InputError(problems)
        return self

    @property
    def anchored(self) -> frozenset[str]:
        """Roots whose growth follows from a total."""
        return frozenset(anchor.root for anchor in self.anchor)

    def states_growth(self, root: str) -> bool:
        """Return whether growth on last season is stated for a root, or follows from a total."""
        return root in self.growth_yoy_x or root in self.anchored

    def with_growth(self, solved: Mapping[str, float]) -> Self:
        """Return the scenario with the growth that its anchors ask for beside them."""
        return self.model_copy(update={"growth_yoy_x": {**self.growth_yoy_x, **solved}})

    def as_stated(self) -> Self:
        """Return the scenario without the growth that was solved for its anchors."""
        kept = {r: x for r, x in self.growth_yoy_x.items() if r not in self.anchored}
        return self.model_copy(update={"growth_yoy_x": kept})

    def replace(self, **changes: Any) -> Self:
        """Return a copy with these fields changed, validated again."""
        stated = self.as_stated().model_dump(by_alias=True)
        return type(self).model_validate({**stated, **changes})


def _anchor_problems(scenario: Scenario) -> list[Problem]:
    """Return the anchors beside another statement about their root's level."""
    fields = ("growth_yoy_x", "demand_x", "peak")
    problems = []
    for anchor in scenario.anchor:
        beside = [field for field in fields if anchor.root in getattr(scenario, field)]
        if sum(other.root == anchor.root for other in scenario.anchor) > 1:
            beside.append("another anchor")
        if beside:
            problems.append(
                Problem(
                    where=f"{scenario.name}.anchor.{anchor.root}",
                    got=f"an anchor and {', '.join(beside)} for the same root",
                    expected="one of them: the anchor's total says how much the root grows",
                    do="Keep one; a field that is inherited goes with null.",
                )
            )
    return list(dict.fromkeys(problems))


def _peak_problems(scenario: Scenario) -> list[Problem]:
    """Return the additions to roots whose season peak is stated as a whole."""
    return [
        Problem(
            where=f"{scenario.name}.{field}.{one.name}",
            got=f"an addition to {one.root}, whose season peak is stated",
            expected="a stated peak, which holds everything, or additions to a forecast",
            do="Put it into the peak, or leave the peak to the forecast.",
        )
        for field in ("launches", "pushes", "onboarding")
        for one in getattr(scenario, field)
        if one.root in scenario.peak
    ]


def _price_problems(scenario: Scenario) -> list[Problem]:
    types = [price.type for price in scenario.price]
    return [
        Problem(
            where=f"{scenario.name}.price.{name}",
            got="two prices",
            expected="one price for each type",
            do="Keep the one that holds in the season.",
        )
        for name in dict.fromkeys(types)
        if types.count(name) > 1
    ]


def _ratio_problem(where: str, value: float) -> Problem | None:
    low, high = RATIO_RANGE
    if low <= value <= high:
        return None
    meant = 1 + value / 100 if value > high else 1 + value
    return Problem(
        where=where,
        got=str(value),
        expected=f"a ratio between {low} and {high} (1.25 means 25 % more)",
        do=f"Did you mean {meant:g}?" if math.isfinite(value) else "Write a number.",
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
