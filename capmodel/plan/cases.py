"""One input of a plan at another value.

This module answers: what of the plan has to be made again when one input moves?
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from capmodel.plan.futures import Drawn, Futures, make_futures
from capmodel.schema import Basis

if TYPE_CHECKING:
    from capmodel.plan.make import Solved
    from capmodel.plan.model import CapacityFit
    from capmodel.plan.request import PlanRequest
    from capmodel.scenario import Scenario

__all__ = ["TENTH", "Case", "Move", "plain_scenarios"]

TENTH: Final = 0.1
"""How far an input without evidence of its own is moved, either way [ratio]."""


def plain_scenarios(solved: Solved) -> tuple[Scenario, ...]:
    """Return the plan's scenarios with the growth that anchors asked for, and no price.

    Anchors are not solved again, so that an input that moves is not made good by growth; prices
    stand in the catalog already.
    """
    done: dict[str, Any] = {"anchor": (), "price": ()}
    return tuple(scenario.model_copy(update=done) for scenario in solved.request.scenarios)


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """One input at one value: what differs from the plan, None or 1 where nothing does."""

    fit: CapacityFit | None = None
    scenarios: tuple[Scenario, ...] | None = None
    excess_x: Mapping[str, float] = field(default_factory=dict)
    """Root to what multiplies its burst's excess over 1 [ratio]."""
    demand: bool = False
    """Whether calls changed: loads are carried down again."""
    price_x: float = 1.0

    def inputs(self, solved: Solved) -> tuple[CapacityFit, PlanRequest, Futures]:
        """Return what the case is solved with: demand is made again only where it differs."""
        fit = solved.fit if self.fit is None else self.fit
        scenarios = plain_scenarios(solved) if self.scenarios is None else self.scenarios
        request = replace(solved.request, scenarios=scenarios)
        if self.scenarios is None and not self.excess_x and not self.demand:
            return fit, request, solved.futures
        drawn = Drawn(solved.futures, excess_x=self.excess_x)
        return fit, request, make_futures(fit, request, drawn=drawn)


@dataclass(frozen=True, slots=True, eq=False)
class Move:
    """One input: its range, where that comes from, and the plan at either end."""

    name: str
    kind: str
    node: str
    low: float
    central: float
    high: float
    unit: str
    source: str
    basis: Basis
    at_low: Case
    at_high: Case
    measure: str
    """What would narrow the range."""
    if_known: tuple[tuple[float, Case], ...] = ()
    """(probability, the plan where the input is known), where the plan holds its uncertainty."""
