"""One path of a plan on one day: the loads and coefficients that a row of the plan rests on."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from capmodel.capacity.phases import estate_under
from capmodel.capacity.risk import mixture_quantile

if TYPE_CHECKING:
    import numpy as np

    from capmodel.capacity.estate import Estate
    from capmodel.capacity.loads import Loads
    from capmodel.capacity.sizing import HoldNeed, LimitPaths
    from capmodel.plan.make import Solved

__all__ = ["At", "at_need", "at_p50"]


@dataclass(frozen=True, slots=True, eq=False)
class At:
    """One path and day of one scenario; its loads and estate hold that path and day alone."""

    scenario: int
    draw: int
    day: int
    loads: Loads
    estate: Estate

    @classmethod
    def of_path(cls, solved: Solved, scenario: int, draw: int, day: int) -> At:
        """Return the path's loads and coefficients; nothing is computed for other paths."""
        draws, days = slice(draw, draw + 1), slice(day, day + 1)
        loads = solved.futures.loads[scenario].take(draws, days)
        state = {name: float(x[0]) for name, x in loads.cores_x.items()}
        return cls(
            scenario=scenario,
            draw=draw,
            day=day,
            loads=replace(loads, cores_x={}),
            estate=estate_under(solved.estate, state).take(draws, days),
        )

    def of(self, values: np.ndarray) -> float:
        """Return the value of an array broadcastable to (D, N) at this path and day."""
        return float(values[min(self.draw, len(values) - 1), min(self.day, values.shape[1] - 1)])


def at_p50(solved: Solved, path: LimitPaths, weights: np.ndarray) -> At:
    """Return the path at the P50 of a limit's season peak, on the day of its peak."""
    s, d = mixture_quantile(path.season_peak, 0.5, weights)
    return At.of_path(solved, s, d, int(path.peak_day[s, d]))


def at_need(solved: Solved, need: HoldNeed) -> At:
    """Return the path and day that ask for a hold row's units."""
    return At.of_path(solved, need.scenario, need.draw, need.day)
