"""Outages: cells at or near zero in a service that is busy at that hour of the week.

An outage hour is not low demand. A cell is *down* when it is below ``OUTAGE_RATIO`` of the usual
value: the median of the same local hour of the week over the ``LEVEL_WEEKS`` weeks around it, so
that growth of any size is no outage. A run of down cells is an outage when

- the service ran at ``RUNNING_RATIO`` of its usual level or more over the day before (a service
  that is being launched is not down);
- it lasts at most ``NEAR_ZERO_HOURS``, or ``ZERO_DAYS`` when it is exactly zero;
- the usual demand is at least ``MIN_EVENTS`` in a step, so that chance cannot explain it;
- it does not fill whole local days (a business that is closed on a holiday is not down either);
- fewer than ``INTERMITTENT_SHARE`` of the service's busy cells are down.

Zeros for whole local days, and for more than ``ZERO_DAYS`` in a service that is usually not at
zero, are reported as ``zero_run`` and kept. The steps on
both sides of an outage are masked too when they are clearly below the day's other steps.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Final

import numpy as np

from capmodel.history.arrays import Bools, Floats, Ints, Runs, runs_of, sorted_median
from capmodel.history.localtime import DAY_MIN, Axis, LocalDays, local_cube

__all__ = ["OUTAGE_RATIO", "Outages", "find_outages", "usual_levels"]

OUTAGE_RATIO: Final = 0.05
"""Below this share of the usual value a cell is down."""
LEVEL_WEEKS: Final = 8
"""Weeks whose median is the usual value of an hour of the week."""
NEAR_ZERO_HOURS: Final = 12
"""Longest outage that leaves a trickle [h]."""
ZERO_DAYS: Final = 7
"""Longest outage of exact zeros [d]; longer ones may be a closed season."""
MIN_EVENTS: Final = 30
"""Usual events in a step below which zero may be chance: exp(-30) is about 1e-13."""
QUIET_RATIO: Final = 0.1
"""A usage is busy where its usual value is at least this share of its median usual value."""
RUNNING_RATIO: Final = 0.25
"""An outage interrupts a service that ran at this share of its usual level or more."""
INTERMITTENT_SHARE: Final = 0.10
"""A service that is down more often than this works in bursts; it has no outages."""
PARTIAL_RATIO: Final = 0.9
"""A step beside an outage is partial below this share of the day's level …"""
PARTIAL_SDS: Final = 4.0
"""… and this many robust standard deviations below it."""
ROWS_AT_ONCE: Final = 64
"""Series handled at a time, which bounds memory."""
_MAD_TO_SD: Final = 1.4826


@dataclass(frozen=True, slots=True)
class Outages:
    """Outage runs and suspicious zero runs, and the mask (S, T) with partial steps beside them."""

    runs: Runs
    zero_runs: Runs
    mask: Bools
    partial: Ints  # (S,) partial steps masked


def usual_levels(values: Floats, axis: Axis, days: LocalDays) -> Floats:
    """Return the usual value of each cell: the median of its local hour of the week nearby.

    Parameters
    ----------
    values
        Series, shape (S, T).
    axis, days
        The grid and its local days.

    Returns
    -------
    ndarray
        Shape (S, T); NaN where the weeks around hold no observation of that hour.
    """
    _, cube = local_cube(values, start=axis.start, step_min=axis.step_min, tz=axis.tz)
    n_days, slots, n_series = cube.shape
    n_weeks = -(-n_days // 7)
    padded = np.full((n_weeks * 7, slots, n_series), np.nan)
    padded[:n_days] = cube
    weeks = padded.reshape(n_weeks, 7 * slots, n_series)
    blocks = max(n_weeks // LEVEL_WEEKS, 1)
    edges = np.linspace(0, n_weeks, blocks + 1).round().astype(int)
    levels = np.stack([sorted_median(weeks[a:b], axis=0) for a, b in itertools.pairwise(edges)])
    week_of_day = np.arange(n_days) // 7
    block_of_day = np.searchsorted(edges[1:-1], week_of_day, side="right")
    slot = 0 if slots == 1 else days.hour_of_step
    hour_of_week = (days.day_of_step % 7) * slots + slot
    flat = np.ascontiguousarray(levels.reshape(-1, n_series).T)
    at = block_of_day[days.day_of_step] * 7 * slots + hour_of_week
    usual: Floats = np.take(flat, at, axis=1)
    return usual


def find_outages(
    values: Floats, axis: Axis, days: LocalDays, *, events_per_unit: Floats | None
) -> Outages:
    """Return the outages of series on a grid.

    Parameters
    ----------
    values
        Series, shape (S, T).
    axis, days
        The grid and its local days.
    events_per_unit
        Events in a step when the value is 1, shape (S,), for demand (3600 for requests per second
        by the hour); None for a usage, which has no counts.
    """
    mask = np.zeros(values.shape, dtype=bool)
    partial = np.zeros(len(values), dtype=np.int64)
    outage = closed = Runs.none()
    with np.errstate(invalid="ignore"):
        lowest, highest = np.fmin.reduce(values, axis=1), np.fmax.reduce(values, axis=1)
        rows = np.flatnonzero(lowest < OUTAGE_RATIO * highest)
    zeros = _long_zeros(values, np.flatnonzero(lowest == 0), axis)
    for begin in range(0, len(rows), ROWS_AT_ONCE):
        block = rows[begin : begin + ROWS_AT_ONCE]
        part = values[block]
        usual = usual_levels(part, axis, days)
        busy = _busy(usual, None if events_per_unit is None else events_per_unit[block])
        with np.errstate(invalid="ignore"):
            down = busy & (part < OUTAGE_RATIO * usual)
        for i in np.flatnonzero(down.any(axis=1)):
            row = block[i]
            found = _down_runs(part[i], usual[i], busy[i], down[i], axis)
            found = found.at(row).without(zeros)
            whole = _whole_days(found, busy[i] & ~down[i], part[i], axis, days)
            closed += found.keep(whole)
            found = found.keep(~whole)
            outage += found
            for first, length in zip(found.first, found.length, strict=True):
                span = slice(first, first + length)
                mask[row, span] = down[i, span] | ~busy[i, span]
                beside = _partial_steps(part[i], usual[i], down[i], first, first + length, axis)
                mask[row, beside] = True
                partial[row] += len(beside)
    return Outages(outage, closed + zeros, mask, partial)


def _busy(usual: Floats, events_per_unit: Floats | None) -> Bools:
    """Return where a series is usually busy enough that a zero means something, (S, T)."""
    with np.errstate(invalid="ignore"):
        if events_per_unit is not None:
            return usual * events_per_unit[:, None] >= MIN_EVENTS
        floor = QUIET_RATIO * sorted_median(usual, axis=1)
        return (usual >= floor[:, None]) & (usual > 0)


def _down_runs(values: Floats, usual: Floats, busy: Bools, down: Bools, axis: Axis) -> Runs:
    """Return the runs of down cells of one series that are short, rare and come out of activity.

    Runs are joined over quiet cells in which nothing arrived either; row is 0.
    """
    with np.errstate(invalid="ignore"):
        silent = ~busy & ~(values > 0)
    runs = runs_of((down | silent)[None])
    # Trim silent cells from both ends: a run begins and ends with a cell that should be busy.
    cells = np.flatnonzero(down)
    begin = np.searchsorted(cells, runs.first)
    end = np.searchsorted(cells, runs.first + runs.length)
    some = end > begin
    first, last = cells[begin[some]], cells[end[some] - 1]
    runs = Runs(runs.row[some], first, last - first + 1)
    seen = np.count_nonzero(busy & ~np.isnan(values))
    if (end - begin).sum() > INTERMITTENT_SHARE * seen:
        return Runs.none()
    exact = np.array([not np.any(values[a:b] > 0) for a, b in runs.spans()], dtype=bool)
    longest = np.where(exact, ZERO_DAYS * DAY_MIN, NEAR_ZERO_HOURS * 60)
    runs = runs.keep(runs.length * axis.step_min <= longest)
    running = busy & ~down & ~np.isnan(values)
    was_up = [_was_running(values, usual, running, a, axis) for a, _ in runs.spans()]
    return runs.keep(np.array(was_up, dtype=bool))


def _was_running(values: Floats, usual: Floats, running: Bools, first: int, axis: Axis) -> bool:
    """Return whether the series ran near its usual level over the last day with values."""
    begin = max(first - 7 * axis.steps_per_day, 0)
    before = begin + np.flatnonzero(running[begin:first])[-axis.steps_per_day :]
    if len(before) == 0:
        return False
    return float(np.median(values[before] / usual[before])) >= RUNNING_RATIO


def _long_zeros(values: Floats, rows: Ints, axis: Axis) -> Runs:
    """Return the runs of exact zeros too long for an outage, in series usually above zero."""
    found = Runs.none()
    for row in rows:
        series = values[row]
        runs = runs_of(series[None] == 0)
        runs = runs.keep(runs.length * axis.step_min > ZERO_DAYS * DAY_MIN)
        if len(runs.row) == 0:
            continue
        positive = np.flatnonzero(series > 0)
        if len(positive) > np.count_nonzero(series == 0):
            found += runs.keep(runs.first > positive[0]).at(row)
    return found


def _whole_days(runs: Runs, up: Bools, values: Floats, axis: Axis, days: LocalDays) -> Bools:
    """Return which runs are zeros that fill their local days, the first one and the last one."""
    whole = np.zeros(len(runs.row), dtype=bool)
    if axis.step_min == DAY_MIN:
        return whole  # every run of a daily history fills its days
    edges = np.searchsorted(days.day_of_step, np.arange(len(days.dates) + 1))
    for i, (first, end) in enumerate(runs.spans()):
        day = slice(edges[days.day_of_step[first]], edges[days.day_of_step[end - 1] + 1])
        whole[i] = not np.any(up[day]) and not np.any(values[first:end] > 0)
    return whole


def _partial_steps(
    values: Floats, usual: Floats, down: Bools, first: int, end: int, axis: Axis
) -> list[int]:
    """Return the steps just before `first` and just at `end` that an outage partly covers."""
    around = np.arange(
        max(first - axis.steps_per_day, 0), min(end + axis.steps_per_day, len(values))
    )
    beside = [step for step in (first - 1, end) if 0 <= step < len(values)]
    others = around[((around < first - 1) | (around > end)) & ~down[around]]
    with np.errstate(invalid="ignore", divide="ignore"):
        local = values[others] / usual[others]
    local = local[np.isfinite(local)]
    if len(local) < 4:  # noqa: PLR2004  no level to compare with
        return []
    level = float(np.median(local))
    sd = _MAD_TO_SD * float(np.median(np.abs(local - level)))
    bound = min(PARTIAL_RATIO * level, level - PARTIAL_SDS * sd)
    with np.errstate(invalid="ignore"):
        return [step for step in beside if values[step] < bound * usual[step]]
