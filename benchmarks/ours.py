"""Our own forecasts of the benchmark's tasks: points, coverage, and the peaks of a later month.

This module answers: what does ``capmodel.demand.Batched`` say of each fleet, do its quantiles hold,
and does its quantile of the busiest hour? All quantiles of a service come from one draw of paths.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from peer_worker import cpu_seconds, peak_mb
from scores import Score, score
from tasks import MOST_GAPS, Task, fleet, known_calendar

from capmodel.demand import Batched, DemandFit, DemandForecast

UPPER = (0.9, 0.95, 0.99)
PEAK = (0.5, 0.8, 0.95)
LEAD_DAYS = (63, 120, 150)
WINDOW_DAYS = 30
PEAK_HORIZON_DAYS = max(LEAD_DAYS) + WINDOW_DAYS


@dataclass(frozen=True, slots=True)
class Covered:
    """How many hours of one task were at or below each of the quantiles ``UPPER``."""

    series: str
    hours: int
    """Hours that were measured."""
    hits: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class PeakCase:
    """The busiest hour of a window, and its quantiles ``PEAK`` as forecast."""

    series: str
    lead_days: int
    actual: float
    forecast: tuple[float, ...]


def by_fleet(tasks: list[Task]) -> list[list[Task]]:
    """Return the tasks that share group and days, as fleets."""
    fleets: dict[tuple[str, str, int], list[Task]] = {}
    for task in tasks:
        key = (task.group, str(task.origin), len(task.train))
        fleets.setdefault(key, []).append(task)
    return list(fleets.values())


def forecast_points(members: list[Task], *, draws: int) -> tuple[dict[str, Score], list[Covered]]:
    """Fit a fleet once and judge its median and its upper quantiles, task by task."""
    started = cpu_seconds()
    fit, future = _forecast(members, draws=draws)
    quantiles = {
        task.name: _quantiles(future.paths(task.series), (0.5, *UPPER))
        for task in members
        if task.series in fit.services
    }
    cpu_s = (cpu_seconds() - started) / len(members)
    scores, covered = {}, []
    for task in members:
        if task.name not in quantiles:
            why = next(f.message for f in fit.refused if f.service == task.series)
            none = np.full(task.actual.shape, np.nan)
            scores[task.name] = score(task, none, cpu_s=cpu_s, peak_mb=peak_mb(), failed=why)
            continue
        median, *upper = quantiles[task.name]
        scores[task.name] = score(task, median, cpu_s=cpu_s, peak_mb=peak_mb())
        measured = int(np.isfinite(task.actual).sum())
        hits = tuple(int((task.actual <= high).sum()) for high in upper)
        covered.append(Covered(task.series, measured, hits))
    return scores, covered


def forecast_peaks(members: list[Task], *, draws: int) -> Iterator[PeakCase]:
    """Yield the busiest hour of each window, judged over the hours that were measured.

    A window that is mostly gap, or in which nothing happened, says nothing about a peak.
    """
    fit, future = _forecast(members, draws=draws)
    for task in (one for one in members if one.series in fit.services):
        paths = future.paths(task.series)
        for lead in LEAD_DAYS:
            window = slice(lead, lead + WINDOW_DAYS)
            actual = task.actual[window]
            seen = np.isfinite(actual)
            if seen.mean() < 1 - MOST_GAPS or actual[seen].max() <= 0:
                continue
            highest = paths[:, window][:, seen].max(axis=1)
            quantiles = _quantiles(highest, PEAK)
            yield PeakCase(
                task.series, lead, float(actual[seen].max()), tuple(float(x) for x in quantiles)
            )


def _forecast(members: list[Task], *, draws: int) -> tuple[DemandFit, DemandForecast]:
    origin = members[0].origin
    fit = Batched().fit(fleet(members), events=known_calendar(members[0]))
    end = origin + np.timedelta64(len(members[0].actual), "D")
    return fit, fit.forecast(str(origin), str(end), draws=draws)


def _quantiles(paths: np.ndarray, levels: tuple[float, ...]) -> np.ndarray:
    """Return order statistics over the paths (the first axis), shape (Q, ...)."""
    return np.asarray(np.quantile(paths, levels, axis=0, method="inverted_cdf"))
