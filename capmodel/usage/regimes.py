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


def find_steps(  # noqa: PLR0913  each argument is one documented choice
    design: np.ndarray,
    y: np.ndarray,
    day: np.ndarray,
    *,
    background: np.ndarray,
    min_change: float,
    min_days: int,
    k: float,
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

    Returns
    -------
    tuple of Step
    """
    n_days = int(day.max()) + 1
    count = np.bincount(day, minlength=n_days)
    # A quarter of an ordinary day's rows; fewer cannot stand for the day.
    enough = max(int(np.median(count[count > 0]) // 4), 1)
    stride = slice(None, None, _stride(len(y)))
    factor = np.ones(len(y))
    found: tuple[ChangePoint, ...] = ()
    for _ in range(3):
        line = huber_nnls(design[stride], (y / factor)[stride], k=k, tolerance=1e-4)
        fitted = np.maximum(design @ line.value, 1e-12)
        median = group_median(np.log(y / fitted), day, n_days, min_count=enough)
        before = [step.index for step in found]
        found = change_points(median, min_size=np.log1p(min_change), min_segment=min_days)
        if [step.index for step in found] == before:
            break
        factor = _factors(found, n_days)[day]
    return _sized(design, y, day, found, background=background, k=k)


def _stride(rows: int) -> int:
    stride = max(rows // _SCAN_ROWS, 1)
    # Coprime to 60, 24 and 168: every minute, hour and hour of the week stays represented.
    while stride > 1 and any(stride % prime == 0 for prime in (2, 3, 5, 7)):
        stride += 1
    return stride


def _factors(steps: tuple[ChangePoint, ...], n_days: int) -> np.ndarray:
    log = np.zeros(n_days)
    for step in steps:
        log[step.index :] += step.size
    return np.asarray(np.exp(log - log[-1]))


def _sized(
    design: np.ndarray,
    y: np.ndarray,
    day: np.ndarray,
    found: tuple[ChangePoint, ...],
    *,
    background: np.ndarray,
    k: float,
) -> tuple[Step, ...]:
    edges = [0, *(step.index for step in found), int(day.max()) + 1]
    steps = []
    for number, step in enumerate(found):
        since = max(edges[number], step.index - _SIZING_DAYS)
        until = min(edges[number + 2], step.index + _SIZING_DAYS)
        before = (day >= since) & (day < step.index)
        after = (day >= step.index) & (day < until)
        value = mm_nnls(design[after], y[after], k=k, tolerance=1e-4).value
        log, changed, widen = _step_size(design[before], y[before], value, background)
        error = 1.96 * step.se * widen
        low, high = np.exp(log - error), np.exp(log + error)
        steps.append(Step(step.index, float(np.exp(log)), float(low), float(high), changed))
    return tuple(steps)


def _step_size(
    design: np.ndarray, y: np.ndarray, after: np.ndarray, background: np.ndarray
) -> tuple[float, str, float]:
    """Return the log step, what changed, and the share that widens its error.

    The line after the step is held against the rows before it twice: with all usage changed by one
    factor, and with the requests' part alone. The reading with less scatter is taken.
    """
    idle = design @ (after * background)
    requests = design @ (after * ~background)
    whole = np.log(y / np.maximum(idle + requests, 1e-12))
    usable = (y > idle) & (requests > 0)
    if usable.mean() > 0.9 and idle.any():  # noqa: PLR2004  most rows, or the reading is void
        part = np.log((y - idle)[usable] / requests[usable])
        share = float(np.median(requests / (idle + requests)))
        if scaled_mad(part, center=None) * share < scaled_mad(whole, center=None):
            return -float(np.median(part)), "requests", 1 / share
    return -float(np.median(whole)), "all", 1.0
