"""Outages: cells at or near zero in a service that is busy at that hour of the week.

An outage hour is not low demand. A cell is *down* when it is below ``OUTAGE_RATIO`` of the usual
value: the median of the same local hour of the week over the ``LEVEL_WEEKS`` weeks around it, so
that growth of any size is no outage. A run of down cells is an outage when

- the service was up before it (a service not yet launched is not down);
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
import numpy.typing as npt

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
INTERMITTENT_SHARE: Final = 0.10
"""A service that is down more often than this works in bursts; it has no outages."""
PARTIAL_RATIO: Final = 0.9
"""A step beside an outage is partial below this share of the day's level …"""
PARTIAL_SDS: Final = 4.0
"""… and this many robust standard deviations below it."""
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
    return np.ascontiguousarray(levels[block_of_day[days.day_of_step], hour_of_week].T)


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
    empty = np.zeros(0, dtype=np.int64)
    nothing = Runs(empty, empty, empty)
    mask = np.zeros(values.shape, dtype=bool)
    partial = np.zeros(len(values), dtype=np.int64)
    with np.errstate(invalid="ignore"):
        highest = np.fmax.reduce(values, axis=1)
        rows = np.flatnonzero(np.fmin.reduce(values, axis=1) < OUTAGE_RATIO * highest)
    if len(rows) == 0:
        return Outages(nothing, nothing, mask, partial)
    part = values[rows]
    usual = usual_levels(part, axis, days)
    busy = _busy(usual, None if events_per_unit is None else events_per_unit[rows])
    with np.errstate(invalid="ignore"):
        down = busy & (part < OUTAGE_RATIO * usual)
    seen = np.maximum(np.sum(busy & ~np.isnan(part), axis=1), 1)
    zeros = _long_zeros(part, axis)
    runs = _bridged(part, busy, down).without(zeros)
    cells = _count_in(runs, down)
    often = np.bincount(runs.row, weights=cells, minlength=len(part)) > INTERMITTENT_SHARE * seen
    runs = runs.keep(~often[runs.row])
    outage, closed = _sorted_out(runs, part, busy & ~down, axis, days)
    kept = closed + zeros
    for row, first, length in zip(outage.row, outage.first, outage.length, strict=True):
        span = slice(first, first + length)
        mask[rows[row], span] = down[row, span] | ~busy[row, span]
        beside = _partial_steps(part[row], usual[row], down[row], first, first + length, axis)
        mask[rows[row], beside] = True
        partial[rows[row]] += len(beside)
    outage, kept = (Runs(rows[r.row], r.first, r.length) for r in (outage, kept))
    return Outages(outage, kept, mask, partial)


def _busy(usual: Floats, events_per_unit: Floats | None) -> Bools:
    """Return where a series is usually busy enough that a zero means something, (S, T)."""
    with np.errstate(invalid="ignore"):
        if events_per_unit is not None:
            return usual * events_per_unit[:, None] >= MIN_EVENTS
        floor = QUIET_RATIO * sorted_median(usual, axis=1)
        return (usual >= floor[:, None]) & (usual > 0)


def _bridged(values: Floats, busy: Bools, down: Bools) -> Runs:
    """Return the runs of down cells, joined over quiet cells in which nothing arrived either."""
    with np.errstate(invalid="ignore"):
        silent = ~busy & ~(values > 0)
    runs = runs_of(down | silent)
    runs = runs.keep(_count_in(runs, down) > 0)
    # Trim silent cells from both ends: the run begins and ends with a cell that should be busy.
    last = runs.first + runs.length - 1
    steps = np.arange(down.shape[1])
    following = np.minimum.accumulate(np.where(down, steps, down.shape[1])[:, ::-1], axis=1)[
        :, ::-1
    ]
    preceding = np.maximum.accumulate(np.where(down, steps, -1), axis=1)
    first, last = following[runs.row, runs.first], preceding[runs.row, last]
    return Runs(runs.row, first, last - first + 1)


def _long_zeros(values: Floats, axis: Axis) -> Runs:
    """Return the runs of exact zeros too long for an outage, in series usually above zero."""
    with np.errstate(invalid="ignore"):
        runs = runs_of(values == 0)
        begun = np.logical_or.accumulate(values > 0, axis=1)
        usually = sorted_median(values, axis=1) > 0
    long = runs.length * axis.step_min > ZERO_DAYS * DAY_MIN
    return runs.keep(long & begun[runs.row, runs.first] & usually[runs.row])


def _count_in(runs: Runs, mask: Bools) -> Ints:
    """Return how many cells of each run are True in `mask`."""
    held = np.zeros((mask.shape[0], mask.shape[1] + 1), dtype=np.int64)
    np.cumsum(mask, axis=1, out=held[:, 1:])
    counted: Ints = held[runs.row, runs.first + runs.length] - held[runs.row, runs.first]
    return counted


def _sorted_out(
    runs: Runs, values: Floats, up: Bools, axis: Axis, days: LocalDays
) -> tuple[Runs, Runs]:
    """Return the runs that are outages, and the whole days of zeros that are only reported."""
    ever = np.logical_or.accumulate(up, axis=1)
    with np.errstate(invalid="ignore"):
        exact = _count_in(runs, values > 0) == 0
    minutes = runs.length * axis.step_min
    short = minutes <= np.where(exact, ZERO_DAYS * DAY_MIN, NEAR_ZERO_HOURS * 60)
    begun = ever[runs.row, runs.first]
    closed = _whole_days(runs, up, days) & (axis.step_min != DAY_MIN)
    return runs.keep(begun & short & ~closed), runs.keep(begun & short & exact & closed)


def _whole_days(runs: Runs, up: Bools, days: LocalDays) -> npt.NDArray[np.bool_]:
    """Return which runs fill their local days: nothing was up on the first and on the last one."""
    edges = np.searchsorted(days.day_of_step, np.arange(len(days.dates) + 1))
    begin = edges[days.day_of_step[runs.first]]
    end = edges[days.day_of_step[runs.first + runs.length - 1] + 1]
    full: Bools = _count_in(Runs(runs.row, begin, end - begin), up) == 0
    return full


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
