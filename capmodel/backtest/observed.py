"""What really arrived, as loads that limits can be held against, minute by minute where known.

This module answers: in each minute of a past season, what did every node receive, and how many
minutes does a value stand for? Where only hours were measured, an hour's mean stands for its sixty
minutes, so minutes above a limit are a lower bound there.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np

from capmodel.capacity.loads import Loads, RootMinutes, call_weights
from capmodel.demand.paths import RootPaths
from capmodel.errors import InputError
from capmodel.history import local_days, offered_per_second
from capmodel.peaks import is_event_day

if TYPE_CHECKING:
    from capmodel.capacity.loads import CallRatio
    from capmodel.history import History
    from capmodel.plan import CapacityFit

__all__ = ["Observed", "certain_calls", "observed_loads"]

HOUR_MIN: Final = 60


@dataclass(frozen=True, slots=True, eq=False)
class Observed:
    """One path that happened; N columns in the order of time."""

    loads: Loads
    """One draw, N columns in place of days."""
    minutes: np.ndarray
    """Minutes that each column stands for, shape (N,) [min]."""
    dates: np.ndarray
    """Local day of each column, shape (N,), datetime64[D]."""
    time: np.ndarray
    """Start of each column, UTC, shape (N,), datetime64[s]."""
    missing_h: float
    """Hours of the span that were not measured, and are left out [h]."""

    def take(self, columns: slice) -> Observed:
        """Return a part of the time."""
        return replace(
            self,
            loads=self.loads.take(slice(None), columns),
            minutes=self.minutes[columns],
            dates=self.dates[columns],
            time=self.time[columns],
        )

    @property
    def by_minute(self) -> float:
        """Share of the measured time that is known by the minute [ratio]."""
        total = float(self.minutes.sum())
        return float(self.minutes[self.minutes < HOUR_MIN].sum()) / total if total else 0.0


def observed_loads(
    fit: CapacityFit,
    history: History,
    fine: History | None,
    *,
    start: dt.date,
    end: dt.date,
) -> Observed:
    """Return the loads of every node in a past span, from what was asked of its roots.

    Services follow their roots at the fitted calls, on event days at those of event days: what they
    received themselves is not read, so that every provision is judged on the same traffic.

    Parameters
    ----------
    fit
        Whose roots, calls and calendar count.
    history, fine
        Hours, and minutes where there are some.
    start, end
        Local days, the end exclusive.

    Raises
    ------
    InputError
        When a root was not measured in the span at all.
    """
    coarse = history.masked().between(start, end)
    hours = {root: _per_second(coarse, root) for root in fit.roots}
    unseen = [root for root, values in hours.items() if np.isnan(values).all()]
    if unseen:
        raise InputError.of(
            f"replay of {start} to {end}",
            got=f"no demand of {', '.join(unseen)}",
            expected="a season in which every driver was measured",
            do="Choose another season, or leave the driver out of the topology.",
        )
    columns = _columns(coarse, fine, hours, fit.roots)
    known = ~np.any([np.isnan(values) for values in columns.values.values()], axis=0)
    days = local_days(coarse.start, coarse.n_steps, coarse.step_min, coarse.business_tz)
    dates = days.dates[days.day_of_step][columns.step][known]
    values = {root: v[known] for root, v in columns.values.items()}
    return Observed(
        loads=_loads(fit, values, dates),
        minutes=columns.minutes[known],
        dates=dates,
        time=columns.time[known],
        missing_h=float(columns.minutes[~known].sum()) / HOUR_MIN,
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Columns:
    """Steps of the coarse history, split into minutes where all roots have them."""

    values: Mapping[str, np.ndarray]
    step: np.ndarray
    minutes: np.ndarray
    time: np.ndarray


def _per_second(history: History, root: str) -> np.ndarray:
    if root not in history.services:
        return np.full(history.n_steps, np.nan)
    return offered_per_second(history, root)


def _columns(
    coarse: History, fine: History | None, hours: Mapping[str, np.ndarray], roots: tuple[str, ...]
) -> _Columns:
    """Return each step, or its minutes where every root was measured in all of them."""
    split = _minutes_of(coarse, fine, roots)
    per_step = np.where(split.whole, split.each, 1)
    step = np.repeat(np.arange(coarse.n_steps), per_step)
    inside = np.arange(len(step)) - np.repeat(np.cumsum(per_step) - per_step, per_step)
    length = coarse.step_min / per_step[step]
    start = coarse.start.astype("datetime64[s]")
    seconds = step * coarse.step_min * 60 + (inside * length * 60).astype(int)
    values = {
        root: np.where(split.whole[step], split.values[root][step, inside], hours[root][step])
        for root in roots
    }
    return _Columns(
        values=values,
        step=step,
        minutes=length,
        time=start + seconds.astype("timedelta64[s]"),
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Split:
    whole: np.ndarray
    """Steps of which every minute of every root is known, shape (T,)."""
    each: int
    values: Mapping[str, np.ndarray]
    """Root to values by step and minute, shape (T, each) [1/s]."""


def _minutes_of(coarse: History, fine: History | None, roots: tuple[str, ...]) -> _Split:
    steps = coarse.n_steps
    if fine is None or coarse.step_min % fine.step_min or fine.step_min >= coarse.step_min:
        empty = {root: np.full((steps, 1), np.nan) for root in roots}
        return _Split(np.zeros(steps, dtype=bool), 1, empty)
    each = coarse.step_min // fine.step_min
    clean = fine.masked()
    offset = (clean.start - coarse.start) / np.timedelta64(fine.step_min * 60, "s")
    values = {}
    for root in roots:
        grid = np.full(steps * each, np.nan)
        at = np.arange(clean.n_steps) + round(float(offset))
        inside = (at >= 0) & (at < len(grid))
        grid[at[inside]] = _per_second(clean, root)[inside]
        values[root] = grid.reshape(steps, each)
    whole = np.all([~np.isnan(grid).any(axis=1) for grid in values.values()], axis=0)
    return _Split(np.asarray(whole), each, values)


def _loads(fit: CapacityFit, values: Mapping[str, np.ndarray], dates: np.ndarray) -> Loads:
    n = len(dates)
    ones, zeros = np.ones((1, n)), np.zeros((1, n))
    roots = {
        name: RootMinutes(
            root=RootPaths(
                service=name,
                quantity="rps",
                dates=dates,
                event=("",) * n,
                shape=rate[None, :, None],
                level=np.zeros(1),
                drift=zeros,
                shock=zeros,
                to_growth=np.zeros(n),
                lift_x=np.ones(n),
                basis="measured",
            ),
            day_peak=rate[None, :],
            burst_x=ones,
            minutes=None,
        )
        for name, rate in values.items()
    }
    weights = call_weights(
        fit.topology,
        certain_calls(fit.calls),
        is_event=is_event_day(fit.events, dates),
        draws=1,
        seed=0,
    )
    return Loads(dates=dates, roots=roots, factor=dict.fromkeys(roots, ones), weights=weights)


def certain_calls(calls: Mapping[tuple[str, str], CallRatio]) -> dict[tuple[str, str], CallRatio]:
    """Return the calls at their central ratios."""
    return {
        key: replace(edge, log_se=0.0, day_log_sd=0.0, event_log_se=0.0)
        for key, edge in calls.items()
    }
