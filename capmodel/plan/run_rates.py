"""The run rate that will have been read by a day, on every path of a plan.

This module answers: what will the dashboard's mean of the last event-free days show on the day of a
look, under each scenario and draw? Days of the horizon come from the paths, with today's level
error, the trend's and the day's own luck; earlier days are what the history measured, the same on
every path. An event's luck is not in it: event days are left out.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from capmodel.demand import DemandFit
from capmodel.scenario import day_factor

if TYPE_CHECKING:
    from capmodel.plan.make import Solved

__all__ = [
    "MINUTES_PER_DAY",
    "RunRate",
    "Window",
    "day_means",
    "run_rate",
    "says_nothing",
    "window_of",
]

MINUTES_PER_DAY: Final = 1440.0
SECONDS_PER_MINUTE: Final = 60.0


@dataclass(frozen=True, slots=True, eq=False)
class Window:
    """The event-free days before a look, newest last; no day between them is unknown."""

    look: dt.date
    days: tuple[dt.date, ...]
    unseen: int
    """How many of them lie in the horizon, beyond the history [days]."""

    @property
    def start(self) -> dt.date:
        """The first day, or the look itself where no day is known."""
        return self.days[0] if self.days else self.look


@dataclass(frozen=True, slots=True, eq=False)
class RunRate:
    """A driver's mean over a window of days on every path."""

    driver: str
    quantity: str
    window: Window
    per_min: np.ndarray
    """Mean demand, shape (S, D) [1/min]."""


def says_nothing(solved: Solved, root: str) -> str:
    """Return why a root's paths do not tell early days from the season, '' where they do."""
    demand = solved.fit.demand
    if isinstance(demand, DemandFit) and root in demand.services:
        return ""
    if demand is not None and root in demand.services:
        return f"the given forecast of {root} does not say how its days hang together"
    return f"the level of {root} is declared: no history says what early days tell of the season"


def window_of(solved: Solved, look: dt.date, known: Mapping[dt.date, float]) -> Window:
    """Return the last event-free days before a look, up to the policy's number of them.

    Going back from the look, it ends before a day that is neither in the horizon nor in the
    history (`known`, see :func:`day_means`): a dashboard's mean must hold all days of its span.
    """
    rules, events, start = solved.request.orders.looks, solved.fit.events, solved.request.start
    end = solved.request.end
    days: list[dt.date] = []
    day = look - dt.timedelta(1)
    while len(days) < rules.window_days and (start <= day < end or (day < start and day in known)):
        if not events.acting(day):
            days.append(day)
        day -= dt.timedelta(1)
    unseen = sum(day >= start for day in days)
    return Window(look=look, days=tuple(reversed(days)), unseen=unseen)


def run_rate(solved: Solved, root: str, window: Window) -> RunRate:
    """Return the mean of a window's days on every path, a scenario's growth and lifts in it."""
    request, fit = solved.request, solved.fit
    start = request.start
    columns = [(day - start).days for day in window.days if day >= start]
    known = day_means(solved, root)
    before = sum(known[day] for day in window.days if day < start)
    spans = {day.name: day.span for day in fit.events.days}
    means = []
    for scenario, load in zip(solved.futures.scenarios, solved.futures.loads, strict=True):
        path = load.roots[root].root
        days = (
            path.shape[:, columns].mean(axis=2)
            * day_factor(path, scenario, spans=spans)[:, columns]
        )
        means.append(np.broadcast_to((days.sum(axis=1) + before) / len(window.days), request.draws))
    quantity = solved.futures.roots[root].root.quantity
    per_min = np.stack(means) * (SECONDS_PER_MINUTE if quantity == "rps" else 1.0)
    return RunRate(driver=root, quantity=quantity, window=window, per_min=per_min)


def day_means(solved: Solved, root: str) -> dict[dt.date, float]:
    """Return the history's last known day means, as many as a window may reach back."""
    demand = solved.fit.demand
    if not isinstance(demand, DemandFit) or root not in demand.services:
        return {}
    cohort, column = demand.locate(root)
    reach = slice(-4 * solved.request.orders.looks.window_days, None)
    dates = demand.dates[cohort.first :][reach].astype(dt.date).tolist()
    means = cohort.day_mean[:, column][reach].tolist()
    return {d: m for d, m in zip(dates, means, strict=True) if np.isfinite(m)}
