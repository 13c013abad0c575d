"""Changes of the cost per unit of load: steps in the ratio of usage to a fitted line.

This module answers: on which day did the cost change, and by how much? It works on arrays; days
are numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from capmodel.regression import (
    ChangePoint,
    change_points,
    group_median,
    huber_nnls,
    mm_nnls,
    scaled_mad,
    stride,
)

__all__ = ["Step", "find_steps"]

_SCAN_ROWS: Final = 6000
"""Rows that the scan's line is fitted to: a stride through the history, so cost stays flat."""

_SIZING_DAYS: Final = 120
"""Days on either side of a step that size it."""


@dataclass(frozen=True, slots=True)
class Step:
    """A change of cost: first day after it, ratio after/before with 95 % interval, what changed."""

    day: int
    change_x: float
    low: float
    high: float
    changed: str


@dataclass(frozen=True, slots=True, eq=False)
class _History:
    """Loads (T, K), usage, day and which rows are lower bounds (T,), which columns idle (K,)."""

    design: np.ndarray
    y: np.ndarray
    day: np.ndarray
    at_limit: np.ndarray
    background: np.ndarray

    def between(self, since: int, until: int) -> _History:
        """Return the rows from one day to before another."""
        part = (self.day >= since) & (self.day < until)
        return _History(
            self.design[part], self.y[part], self.day[part], self.at_limit[part], self.background
        )


def find_steps(  # noqa: PLR0913  each argument is one documented choice
    design: np.ndarray,
    y: np.ndarray,
    day: np.ndarray,
    *,
    background: np.ndarray,
    min_change: float,
    min_days: int,
    k: float,
    at_limit: np.ndarray | None = None,
) -> tuple[Step, ...]:
    """Find the days on which usage of the same load changed by more than `min_change`.

    Daily medians of ``ln(y/ŷ)`` around one line are searched for steps; the line is then refitted
    to usage divided by the step's factor and the search repeated, so that a change of load is not
    read as a change of cost. That line is Huber's: it runs between regimes, where a redescending
    one could settle on one of them. Steps are sized by the bisquare line of the rows after them.

    Parameters
    ----------
    design, y, day
        Loads (T, K), usage (T,), day number (T,).
    background
        Which columns do not follow requests, shape (K,).
    min_change
        Smallest change reported [ratio − 1].
    min_days
        Fewest days between changes.
    k
        Huber's constant.
    at_limit
        Rows whose usage is a lower bound, shape (T,); None: none.

    Returns
    -------
    tuple of Step
    """
    held = np.zeros(len(y), dtype=bool) if at_limit is None else at_limit
    n_days = int(day.max()) + 1
    count = np.bincount(day, minlength=n_days)
    # A quarter of an ordinary day's rows; fewer cannot stand for the day.
    enough = max(int(np.median(count[count > 0]) // 4), 1)
    part = slice(None, None, stride(len(y), _SCAN_ROWS))
    factor = np.ones(len(y))
    found: tuple[ChangePoint, ...] = ()
    for _ in range(3):
        line = huber_nnls(
            design[part], (y / factor)[part], k=k, tolerance=1e-4, at_limit=held[part]
        )
        fitted = np.maximum(design @ line.value, 1e-12)
        median = group_median(np.log(y / fitted), day, n_days, min_count=enough, at_limit=held)
        before = [step.index for step in found]
        found = change_points(median, min_size=np.log1p(min_change), min_segment=min_days)
        if [step.index for step in found] == before:
            break
        factor = _factors(found, n_days)[day]
    return _sized(_History(design, y, day, held, background), found, k=k)


def _factors(steps: tuple[ChangePoint, ...], n_days: int) -> np.ndarray:
    log = np.zeros(n_days)
    for step in steps:
        log[step.index :] += step.size
    return np.asarray(np.exp(log - log[-1]))


def _sized(rows: _History, found: tuple[ChangePoint, ...], *, k: float) -> tuple[Step, ...]:
    edges = [0, *(step.index for step in found), int(rows.day.max()) + 1]
    steps = []
    for number, step in enumerate(found):
        since = max(edges[number], step.index - _SIZING_DAYS)
        until = min(edges[number + 2], step.index + _SIZING_DAYS)
        before, after = rows.between(since, step.index), rows.between(step.index, until)
        line = mm_nnls(after.design, after.y, k=k, tolerance=1e-4, at_limit=after.at_limit)
        log, changed, widen = _step_size(before, line.value)
        error = 1.96 * step.se * widen
        low, high = np.exp(log - error), np.exp(log + error)
        steps.append(Step(step.index, float(np.exp(log)), float(low), float(high), changed))
    return tuple(steps)


def _step_size(before: _History, after: np.ndarray) -> tuple[float, str, float]:
    """Return the log step, what changed, and the share that widens its error.

    The line after the step is held against the rows before it twice: with all usage changed by one
    factor, and with the requests' part alone. The reading with less scatter is taken.
    """
    y, held = before.y, before.at_limit
    idle = before.design @ (after * before.background)
    requests = before.design @ (after * ~before.background)
    whole = np.log(y / np.maximum(idle + requests, 1e-12))
    usable = (y > idle) & (requests > 0)
    if usable.mean() > 0.9 and idle.any():  # noqa: PLR2004  most rows, or the reading is void
        part = np.log((y - idle)[usable] / requests[usable])
        share = float(np.median(requests / (idle + requests)))
        if scaled_mad(part, center=None) * share < scaled_mad(whole, center=None):
            return -_median(part, held[usable]), "requests", 1 / share
    return -_median(whole, held), "all", 1.0


def _median(log: np.ndarray, held: np.ndarray) -> float:
    """Return the median of log ratios of which some are lower bounds."""
    bounded = float(group_median(log, np.zeros(len(log), dtype=int), 1, at_limit=held)[0])
    # Beyond the largest exact ratio the median is unknown: the bounds themselves are what is left.
    return bounded if np.isfinite(bounded) else float(np.median(log))
