"""Lay rows on one regular UTC grid: step, phase, duplicates; what does not fit becomes a finding.

This module answers: which cell does each row belong to, and what was irregular on the way there?
The order of the rows changes nothing. What a duplicate means is decided here and said in the
finding: identical rows count once, conflicting ones are averaged (and disqualify the history
unless that is accepted by name).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from capmodel.errors import InputError
from capmodel.history.localtime import DAY_MIN, STEPS_MIN, Axis, midnights
from capmodel.history.reading import Rows
from capmodel.schema import Finding

__all__ = ["Gridded", "lay_out"]

FAR_GAP_DAYS: Final = 30
"""Rows beyond an empty stretch this long …"""
FAR_SHARE: Final = 0.01
"""… that hold less than this share of all rows come from a wrong clock."""
SAME_VALUE_RTOL: Final = 1e-9
"""Duplicates that differ by less than this ratio are identical."""
MAX_CELLS: Final = 1_000_000_000
"""Cells per quantity above which a grid is refused: 8 GB of memory."""
_US_PER_MIN: Final = 60_000_000

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Gridded:
    """Dense arrays on one grid, each (S, T), and what was found on the way."""

    axis: Axis
    values: Mapping[tuple[str, str], Floats]
    tags: Mapping[str, Bools]
    notes: tuple[Finding, ...]


@dataclass(frozen=True, slots=True)
class _Placed:
    """The step of every row, counted from the grid's start, and what is special about rows."""

    axis: Axis
    step: Ints  # (n,)
    off_grid: Bools  # (n,) moved to the nearest step
    averaged: Bools  # (n,) of a service with a finer step


def lay_out(rows: Rows, *, tz: str, step_min: int | None = None) -> Gridded:
    """Lay `rows` on a regular grid.

    Parameters
    ----------
    rows
        Checked rows in any order.
    tz
        Business zone.
    step_min
        Step [min]; None infers it: the commonest difference per service, then the commonest of
        the services.

    Raises
    ------
    InputError
        When no step can be inferred, it is not supported, or the grid would not fit in memory.
    """
    notes = list(rows.notes)
    near = _near(rows.time_us)
    if not near.all():
        notes.append(_far_finding(rows, near))
        rows = _subset(rows, near)
    steps = _steps_of_services(rows)
    step = _common_step(steps) if step_min is None else step_min
    _check_step(step, labels=rows.labels, given=step_min is not None)
    finer = (steps != 0) & (steps < step)
    time_us, labels = rows.time_us, rows.labels
    if step == DAY_MIN and not labels:
        time_us = _date_labels(rows, finer, tz, notes)
    placed = _place(rows, time_us, finer, step, tz)
    notes += _step_findings(rows, steps, step)
    notes += _off_grid_findings(rows, placed)
    values = _scatter(rows, placed, notes)
    return Gridded(placed.axis, values, _tag_masks(rows, placed), tuple(notes))


def _near(time_us: Ints) -> Bools:
    """Return which rows lie where the bulk of the rows lies, shape (n,)."""
    day = time_us // (DAY_MIN * _US_PER_MIN)
    occupied = np.sort(pd.unique(day))
    breaks = occupied[1:][np.diff(occupied) > FAR_GAP_DAYS]
    if len(breaks) == 0:
        return np.ones(len(day), dtype=bool)
    cluster = np.searchsorted(breaks, day, side="right")
    return (np.bincount(cluster) >= FAR_SHARE * len(day))[cluster]


def _far_finding(rows: Rows, near: Bools) -> Finding:
    times = pd.to_datetime(np.sort(rows.time_us[~near]), unit="us", utc=True)
    services = sorted({rows.services[code] for code in rows.service[~near].tolist()})
    data = {"rows": len(times), "first": times[0].isoformat(), "last": times[-1].isoformat()}
    message = (
        f"{len(times)} rows of {', '.join(services[:3])} are dated {times[0]:%Y-%m-%d} to "
        f"{times[-1]:%Y-%m-%d}, more than {FAR_GAP_DAYS} days from all others: a wrong clock; "
        "they are set aside"
    )
    service = services[0] if len(services) == 1 else ""
    return Finding("clock_jump", "warning", service, message, data)


def _subset(rows: Rows, keep: Bools) -> Rows:
    return Rows(
        rows.services,
        rows.classes,
        rows.service[keep],
        rows.service_class[keep],
        rows.time_us[keep],
        rows.labels,
        {name: cells[keep] for name, cells in rows.values.items()},
        {name: mask[keep] for name, mask in rows.tags.items()},
        rows.notes,
    )


def _steps_of_services(rows: Rows) -> Ints:
    """Return the commonest difference between neighbouring rows of each service [min].

    Differences are rounded to minutes, so that a jittering clock keeps its step. 0 means that a
    service has one row only, -1 that its rows are less than half a minute apart.
    """
    steps = np.zeros(len(rows.services), dtype=np.int64)
    series = rows.service * len(rows.classes) + rows.service_class
    time = rows.time_us - rows.time_us.min()
    along = np.diff(series)
    if np.any((along < 0) | ((along == 0) & (np.diff(time) < 0))):
        order = np.lexsort((time, series))
        series, time = series[order], time[order]
    difference = np.diff(time)
    kept = (np.diff(series) == 0) & (difference > 0)
    if not kept.any():
        return steps
    minutes = (difference[kept] + _US_PER_MIN // 2) // _US_PER_MIN
    service = series[1:][kept] // len(rows.classes)
    commonest = int(np.bincount(np.minimum(minutes, 32 * DAY_MIN)).argmax())
    total = np.bincount(service, minlength=len(steps))
    agree = np.bincount(service[minutes == commonest], minlength=len(steps))
    steps[2 * agree > total] = commonest or -1
    for code in np.flatnonzero((2 * agree <= total) & (total > 0)):
        found, count = np.unique(minutes[service == code], return_counts=True)
        steps[code] = int(found[count.argmax()]) or -1
    return steps


def _common_step(steps: Ints) -> int:
    """Return the step of most services; the finer of two equally common ones."""
    known, count = np.unique(steps[steps != 0], return_counts=True)
    if len(known) == 0:
        raise InputError.of(
            "history",
            got="at most one row per service",
            expected="two rows of a service, to see the step",
            do="Give step_min=60 (or what the step is).",
        )
    return int(known[count.argmax()])


def _check_step(step: int, *, labels: bool, given: bool) -> None:
    where = "step_min" if given else "history"
    if step not in STEPS_MIN:
        got = f"a step of {step} min" if step > 0 else "rows less than half a minute apart"
        raise InputError.of(
            where,
            got=got,
            expected=f"a step of {', '.join(map(str, STEPS_MIN))} min",
            do="Average the rows to whole minutes or hours; where most rows are missing, give the "
            "true step as step_min=.",
        )
    if labels and step != DAY_MIN:
        raise InputError.of(
            where,
            got=f"dates with a step of {step} min",
            expected="one row per date (step 1440)",
            do="Give moments with clock time and zone for a finer step.",
        )


def _date_labels(rows: Rows, finer: Bools, tz: str, notes: list[Finding]) -> Ints:
    """Return the label of the local day that holds most of each daily interval [us]."""
    half_day = np.where(finer[rows.service], 0, DAY_MIN * _US_PER_MIN // 2)
    instants = pd.to_datetime(rows.time_us + half_day, unit="us", utc=True)
    clock = instants.tz_convert(tz).tz_localize(None).to_numpy()
    dates = clock.astype("datetime64[D]")
    starts = rows.time_us.astype("datetime64[us]").astype("datetime64[s]")
    distinct, position = np.unique(dates, return_inverse=True)
    shift = (starts - midnights(distinct, tz)[position]).astype(np.int64)
    off = (shift != 0) & ~finer[rows.service]
    if off.any():
        hours = float(np.median(shift[off])) / 3600
        message = (
            f"{int(off.sum())} daily rows begin {hours:+.3g} hours from local midnight ({tz}); "
            "each counts as the local day that holds most of it"
        )
        data = {"rows": int(off.sum()), "median_shift_hours": hours}
        notes.append(Finding("shifted_days", "warning", "", message, data))
    return dates.astype("datetime64[us]").astype(np.int64)


def _place(rows: Rows, time_us: Ints, finer: Bools, step: int, tz: str) -> _Placed:
    """Return the step of every row on the grid whose phase most rows share."""
    step_us = step * _US_PER_MIN
    averaged = finer[rows.service]
    remainder = time_us % step_us
    regular = remainder[~averaged] if not averaged.all() else remainder
    phase = int(regular[0])
    if np.any(regular != phase):
        found, count = np.unique(regular, return_counts=True)
        phase = int(found[count.argmax()])
    off_grid = (remainder != phase) & ~averaged
    # Off the grid: the nearest step, the earlier of two equally near.
    shift = np.where(off_grid, step_us // 2 - 1, 0)
    position = (time_us - phase + shift) // step_us
    first = int(position.min())
    n_steps = int(position.max()) - first + 1
    if n_steps * len(rows.services) * len(rows.classes) > MAX_CELLS:
        raise InputError.of(
            "history",
            got=f"{len(rows.services)} services × {n_steps} steps of {step} min",
            expected=f"at most {MAX_CELLS:,} cells",
            do="Give fewer services, a shorter span or a coarser step.",
        )
    start = np.datetime64((first * step_us + phase) // 1_000_000, "s")
    return _Placed(Axis(start, n_steps, step, tz), position - first, off_grid, averaged)


def _step_findings(rows: Rows, steps: Ints, step: int) -> list[Finding]:
    findings = []
    for code in np.flatnonzero((steps != 0) & (steps != step)):
        name, own = rows.services[code], int(steps[code])
        fate = "its rows would be averaged" if own < step else "the steps between would be gaps"
        every = f"every {own} min" if own > 0 else "within the minute"
        message = f"rows come {every}, but the history's step is {step} min; {fate}"
        data = {"step_min": own, "history_step_min": step}
        findings.append(Finding("mixed_step", "error", name, message, data))
    return findings


def _off_grid_findings(rows: Rows, placed: _Placed) -> list[Finding]:
    findings: list[Finding] = []
    if not placed.off_grid.any():
        return findings
    count = np.bincount(rows.service[placed.off_grid], minlength=len(rows.services))
    for code in np.flatnonzero(count):
        here = placed.off_grid & (rows.service == code)
        first = placed.axis.local_text(int(placed.step[here].min()))
        last = placed.axis.local_text(int(placed.step[here].max()))
        message = (
            f"{count[code]} rows between {first} and {last} lie off the grid of "
            f"{placed.axis.step_min} min (a clock that jumped or jitters); each is moved to the "
            "nearest step, a row that belongs there wins"
        )
        data = {"rows": int(count[code]), "first": first, "last": last}
        findings.append(Finding("clock_jump", "warning", rows.services[code], message, data))
    return findings


def _scatter(rows: Rows, placed: _Placed, notes: list[Finding]) -> dict[tuple[str, str], Floats]:
    """Return one (S, T) array per quantity and class; duplicates are resolved and noted."""
    n_services, n_classes, n_steps = len(rows.services), len(rows.classes), placed.axis.n_steps
    size = n_services * n_classes * n_steps
    cell = (rows.service * n_classes + rows.service_class) * n_steps + placed.step
    usable = np.ones(len(cell), dtype=bool)
    if placed.off_grid.any():
        belongs = np.zeros(size, dtype=bool)
        belongs[cell[~placed.off_grid]] = True
        usable = ~(placed.off_grid & belongs[cell])
    count = np.bincount(cell[usable], minlength=size)
    single = usable & (count[cell] == 1)
    several = np.flatnonzero(usable & (count[cell] > 1))
    meant = placed.averaged | placed.off_grid
    duplicates = _Duplicates(cell[several], meant[several])
    values: dict[tuple[str, str], Floats] = {}
    for name, column in rows.values.items():
        flat = np.full(size, np.nan)
        flat[cell[single]] = column[single]
        if len(several):
            duplicates.resolve(column[several], flat)
        cube = flat.reshape(n_services, n_classes, n_steps)
        kept = [c for c in range(n_classes) if not np.isnan(cube[:, c]).all()]
        values |= {(name, rows.classes[c]): np.ascontiguousarray(cube[:, c]) for c in kept}
        if not kept:
            values[name, ""] = np.full((n_services, n_steps), np.nan)
    notes += duplicates.findings(rows, placed.axis)
    return values


class _Duplicates:
    """Rows that share a cell: resolves them per quantity, remembers which cells were what."""

    def __init__(self, cell: Ints, meant: Bools) -> None:
        self._cell = cell
        self._meant = meant
        self._identical: list[Ints] = []
        self._conflicting: list[Ints] = []

    def resolve(self, column: Floats, flat: Floats) -> None:
        """Write one value per shared cell into `flat`: the value, or the mean of different ones."""
        seen = np.flatnonzero(~np.isnan(column))
        if len(seen) == 0:
            return
        # Sorted by value too, so that the mean has the same bits in any row order.
        order = seen[np.lexsort((column[seen], self._cell[seen]))]
        cell, value = self._cell[order], column[order]
        first = np.flatnonzero(np.diff(cell, prepend=-1))
        size = np.diff(first, append=len(cell))
        low, high = value[first], value[first + size - 1]
        differ = high - low > SAME_VALUE_RTOL * np.maximum(np.abs(low), np.abs(high))
        flat[cell[first]] = np.where(differ, np.add.reduceat(value, first) / size, low)
        counted = (size > 1) & ~np.logical_or.reduceat(self._meant[order], first)
        self._identical.append(cell[first][counted & ~differ])
        self._conflicting.append(cell[first][counted & differ])

    def findings(self, rows: Rows, axis: Axis) -> list[Finding]:
        """Return one finding per service and kind."""
        conflicting = _distinct(self._conflicting)
        identical = np.setdiff1d(_distinct(self._identical), conflicting)
        per_service = len(rows.classes) * axis.n_steps
        found = []
        for cells, conflict in ((conflicting, True), (identical, False)):
            for code in np.unique(cells // per_service):
                steps = np.unique(cells[cells // per_service == code] % axis.n_steps)
                found.append(
                    _duplicate_finding(rows.services[code], steps, axis, conflict=conflict)
                )
        return found


def _distinct(parts: list[Ints]) -> Ints:
    return np.unique(np.concatenate(parts)) if parts else np.zeros(0, dtype=np.int64)


def _duplicate_finding(service: str, steps: Ints, axis: Axis, *, conflict: bool) -> Finding:
    first, last = axis.local_text(int(steps.min())), axis.local_text(int(steps.max()))
    data = {"steps": len(steps), "first": first, "last": last}
    span = f"{len(steps)} steps between {first} and {last}" if len(steps) > 1 else f"step {first}"
    if conflict:
        message = f"{span}: rows for the same time differ; if accepted, their mean is used"
        return Finding("conflicting_duplicates", "error", service, message, data)
    message = f"{span}: the same row comes more than once; it counts once"
    return Finding("identical_duplicates", "warning", service, message, data)


def _tag_masks(rows: Rows, placed: _Placed) -> dict[str, Bools]:
    """Return one (S, T) mask per tag."""
    masks = {}
    for tag, tagged in sorted(rows.tags.items()):
        mask = np.zeros((len(rows.services), placed.axis.n_steps), dtype=bool)
        mask[rows.service[tagged], placed.step[tagged]] = True
        masks[tag] = mask
    return masks
