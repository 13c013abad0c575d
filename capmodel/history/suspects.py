"""Values that cannot be what their column says: mixed units, impossible sizes, jumps, caps.

Every rule is conservative: growth, launches and events must never look like a unit mistake, an
autoscaler at the top of its day must not look like a cap.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from capmodel.history.arrays import Bools, Floats, Ints, runs_of, sorted_median
from capmodel.history.localtime import Axis

__all__ = ["LevelJump", "Saturation", "find_spikes", "level_jumps", "saturated", "size_suspects"]

UNIT_FACTORS: Final[Mapping[float, str]] = {
    60.0: "per minute and per second",
    1000.0: "thousandths (millicores, ms) and wholes",
    1024.0: "MiB and GiB",
    3600.0: "per hour and per second",
}
"""Ratios between units that are often confused."""
UNIT_TOLERANCE_LOG: Final = 0.15
"""A level jump is near a factor when their logs differ by at most this (±16 %)."""
UNIT_WINDOW_DAYS: Final = 7
"""A whole week on both sides of a jump, so that weekdays cancel and no event fills the median."""
UNIT_LASTING_DAYS: Final = 28
"""The jump must last: seen over this many days on both sides (fewer at the ends), it is still …"""
UNIT_LASTING_LOG: Final = 0.4
"""… this near the factor (growth and season may have gone on by half)."""
UNIT_SUDDEN_SHARE: Final = 0.8
"""Share of the log jump that must happen from one day to the day after the next."""
COMPANION_RATIO: Final = 3.0
"""When another quantity of the service moves by this much too, the change is real."""

MAX_CORES_PER_POD: Final = 128.0
"""Median busy cores per pod beyond which the column holds percent or millicores [cores]."""
MAX_GIB_PER_POD: Final = 4096.0
"""Median memory per pod beyond which the column holds MiB or bytes [GiB]."""
MAX_GIB: Final = 1e8
"""Memory or storage beyond which the column holds bytes [GiB]: 100 PB."""

SPIKE_RATIO: Final = 100.0
"""A counter jump is this many times the largest value outside …"""
SPIKE_SHARE: Final = 0.001
"""… the top share of steps (at least three of them)."""

CAP_BLOCK_DAYS: Final = 28
"""Stretch with one ceiling: last season's cap shows although it was raised since."""
CAP_FLAT: Final = 0.995
"""At the ceiling: at least this share of the stretch's maximum."""
CAP_RUN: Final = 3
"""Steps in a row at the ceiling."""
CAP_STEPS: Final = 6
"""Steps in such runs that a stretch must have."""
CAP_SHORTFALL: Final = 1.1
"""The load must ask for this much more than the ceiling, by the line through the other steps."""
CAP_R2: Final = 0.8
"""That line must explain this share of the variance."""
CAP_SPARE_PODS: Final = 1.5
"""Replicas come in whole pods: the line must ask for this many more than the ceiling [pods]."""
CAP_QUANTITIES: Final = ("cpu_cores", "connections", "replicas", "iops_read", "iops_write")


@dataclass(frozen=True, slots=True)
class LevelJump:
    """A sudden lasting change of level near a factor between units."""

    row: int
    day: int
    ratio: float
    factor: float


def daily_levels(values: Floats, axis: Axis) -> Floats:
    """Return the log of the mean positive value of each 24-hour block, shape (S, N)."""
    per_day = axis.steps_per_day
    n_days = values.shape[1] // per_day
    blocks = values[:, : n_days * per_day].reshape(len(values), n_days, per_day)
    good = blocks > 0
    count = good.sum(axis=2)
    total = np.where(good, blocks, 0.0).sum(axis=2)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(count > 0, np.log(total / count), np.nan)


def level_jumps(levels: Mapping[str, Floats], quantity: str) -> list[LevelJump]:
    """Return the jumps of a quantity that look like a change of unit, one per series.

    The 7-day medians before and after a day differ by a factor between units; four fifths of it
    come within two days; it lasts for weeks; and no other quantity of the service moves along.

    Parameters
    ----------
    levels
        Quantity → log daily levels, shape (S, N), from ``daily_levels``.
    quantity
        The one to judge.
    """
    level = levels[quantity]
    if level.shape[1] < 2 * UNIT_WINDOW_DAYS:
        return []
    jump = _week_jumps(level)
    near = np.stack([np.abs(np.abs(jump) - np.log(factor)) for factor in UNIT_FACTORS])
    with np.errstate(invalid="ignore"):
        near_enough = np.fmin.reduce(near) <= UNIT_TOLERANCE_LOG
        low = level[:, UNIT_WINDOW_DAYS - 1 : -UNIT_WINDOW_DAYS]
        high = level[:, UNIT_WINDOW_DAYS + 1 : level.shape[1] - UNIT_WINDOW_DAYS + 2]
        step = (high - low) * np.sign(jump)
        sudden = step >= UNIT_SUDDEN_SHARE * np.abs(jump)
    hits = near_enough & sudden
    found = []
    for row in np.flatnonzero(hits.any(axis=1)):
        candidates = np.flatnonzero(hits[row])
        for at in candidates[np.argsort(-step[row, candidates], kind="stable")].tolist():
            factor = list(UNIT_FACTORS)[int(near[:, row, at].argmin())]
            change = float(jump[row, at])
            if not _lasts(level[row], at + UNIT_WINDOW_DAYS, factor):
                continue
            if not _moves_along(levels, quantity, int(row), at, change):
                day = at + UNIT_WINDOW_DAYS
                found.append(LevelJump(int(row), day, float(np.exp(change)), factor))
                break
    return found


def _week_jumps(level: Floats) -> Floats:
    """Return the log jump between the weeks before and from day 7, 8, …, shape (S, N - 13)."""
    windows = np.lib.stride_tricks.sliding_window_view(level, UNIT_WINDOW_DAYS, axis=1)
    medians = sorted_median(windows, axis=2)
    return medians[:, UNIT_WINDOW_DAYS:] - medians[:, :-UNIT_WINDOW_DAYS]


def _lasts(level: Floats, day: int, factor: float) -> bool:
    """Return whether the jump at `day` is still near the factor over the weeks around it."""
    weeks = level[max(day - UNIT_LASTING_DAYS, 0) : day], level[day : day + UNIT_LASTING_DAYS]
    before, after = (float(np.nanmedian(part)) for part in weeks)
    return bool(abs(abs(after - before) - np.log(factor)) <= UNIT_LASTING_LOG)


def _moves_along(
    levels: Mapping[str, Floats], quantity: str, row: int, at: int, jump: float
) -> bool:
    """Return whether another quantity of the service jumps the same way at the same time."""
    for name, level in levels.items():
        if name == quantity:
            continue
        other = float(_week_jumps(level[row : row + 1, at : at + 2 * UNIT_WINDOW_DAYS])[0, 0])
        if other * np.sign(jump) >= np.log(COMPANION_RATIO):
            return True
    return False


def size_suspects(whole: Mapping[str, Floats]) -> list[tuple[int, str, str, dict[str, float]]]:
    """Return values of impossible size: (row, quantity, message, data)."""
    found: list[tuple[int, str, str, dict[str, float]]] = []
    pods = whole.get("replicas")
    per_pod = {
        "cpu_cores": (MAX_CORES_PER_POD, "percent or millicores, not busy cores"),
        "memory_gib": (MAX_GIB_PER_POD, "MiB or bytes, not GiB"),
    }
    for name, (most, guess) in per_pod.items():
        if pods is None or name not in whole:
            continue
        with np.errstate(divide="ignore", invalid="ignore"):
            each = sorted_median(np.where(pods > 0, whole[name] / pods, np.nan), axis=1)
            rows = np.flatnonzero(each > most)
        for row in rows:
            message = f"{name}: {each[row]:.4g} per pod; it looks like {guess}"
            found.append((int(row), name, message, {"per_pod": float(each[row])}))
    for name in ("memory_gib", "storage_gib"):
        if name not in whole:
            continue
        with np.errstate(invalid="ignore"):
            top = np.fmax.reduce(whole[name], axis=1)
            rows = np.flatnonzero(top > MAX_GIB)
        for row in rows:
            message = f"{name}: up to {top[row]:.4g}; it looks like bytes, not GiB"
            found.append((int(row), name, message, {"max": float(top[row])}))
    return found + _rate_mismatches(whole)


def _rate_mismatches(whole: Mapping[str, Floats]) -> list[tuple[int, str, str, dict[str, float]]]:
    """Return services whose per_min and rps are the same number: one of them has the wrong unit."""
    if "per_min" not in whole or "rps" not in whole:
        return []
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(whole["rps"] > 0, whole["per_min"] / whole["rps"], np.nan)
        median = sorted_median(ratio, axis=1)
        spread = sorted_median(np.abs(ratio / median[:, None] - 1), axis=1)
        equal = np.abs(np.log(median)) < np.log1p(0.01)
        rows = np.flatnonzero(equal & (spread < 0.01))  # noqa: PLR2004  the same number
    message = "per_min and rps hold the same numbers, but a minute has 60 seconds"
    return [(int(r), "per_min", message, {"per_min_over_rps": float(median[r])}) for r in rows]


def find_spikes(values: Floats) -> Bools:
    """Return the cells in which a rate is absurdly high: a counter that jumped or started over.

    Parameters
    ----------
    values
        Rates, shape (S, T).
    """
    mask = np.zeros(values.shape, dtype=bool)
    n_steps = values.shape[1]
    top = max(3, int(np.ceil(SPIKE_SHARE * n_steps)))
    if n_steps < 10 * top:
        return mask
    seen = ~np.isnan(values)
    with np.errstate(invalid="ignore"):
        mean = np.where(seen, values, 0.0).sum(axis=1) / np.maximum(seen.sum(axis=1), 1)
        # A cheap necessary condition spares the sorting: mean <= (1/ratio + top share) * maximum.
        share = 1 / SPIKE_RATIO + top / np.maximum(seen.sum(axis=1), 1)
        rows = np.flatnonzero(np.fmax.reduce(values, axis=1) * share >= mean)
    for row in rows:
        ordered = np.sort(values[row][seen[row]])
        if len(ordered) < 10 * top:
            continue
        bound = SPIKE_RATIO * ordered[-top - 1]
        if bound > 0:
            with np.errstate(invalid="ignore"):
                mask[row] = values[row] > bound
    return mask


@dataclass(frozen=True, slots=True)
class Saturation:
    """Cells of one series that stayed at a ceiling although the load asked for more."""

    row: int
    steps: Ints
    ceiling: float
    asked: float


def saturated(usage: Floats, demand: Floats, axis: Axis, *, whole_units: bool) -> list[Saturation]:
    """Return where a usage is flat at its ceiling while demand goes on rising.

    In stretches of 28 days: at least six steps, in runs of three or more, within 0.5 % of the
    stretch's maximum, at loads for which the line through the other steps (R² ≥ 0.8) asks for at
    least 10 % more than the ceiling.

    Parameters
    ----------
    usage, demand
        Shape (S, T).
    axis
        The grid.
    whole_units
        True for replicas, which come in whole pods.
    """
    length = min(CAP_BLOCK_DAYS * axis.steps_per_day, usage.shape[1])
    blocks = usage.shape[1] // length
    offset = usage.shape[1] - blocks * length  # the last stretch ends with the history
    y = usage[:, offset:].reshape(-1, length)
    with np.errstate(invalid="ignore"):
        flat = y >= CAP_FLAT * np.fmax.reduce(y, axis=1)[:, None]
    runs = runs_of(flat)
    runs = runs.keep(runs.length >= CAP_RUN)
    held = np.bincount(runs.row, weights=runs.length, minlength=len(y))
    rows = np.flatnonzero(held >= CAP_STEPS)
    if len(rows) == 0:
        return []
    x = demand[:, offset:].reshape(-1, length)[rows]
    asked, trusted = _asked(x, y[rows], flat[rows])
    ceiling = np.fmax.reduce(y[rows], axis=1)
    spare = CAP_SPARE_PODS if whole_units else 0.0
    bound = np.maximum(CAP_SHORTFALL * ceiling, ceiling + spare)[:, None]
    with np.errstate(invalid="ignore"):
        short = flat[rows] & (asked >= bound) & trusted[:, None]
    found: dict[int, list[Saturation]] = {}
    for i in np.flatnonzero(short.sum(axis=1) >= CAP_STEPS):
        lengths = runs_of(short[i : i + 1]).length
        if lengths[lengths >= CAP_RUN].sum() < CAP_STEPS:
            continue
        series, block = divmod(int(rows[i]), blocks)
        steps = offset + block * length + np.flatnonzero(short[i])
        most = float(asked[i][short[i]].max())
        found.setdefault(series, []).append(Saturation(series, steps, float(ceiling[i]), most))
    return [stretch for series in sorted(found) for stretch in found[series]]


def _asked(x: Floats, y: Floats, flat: Bools) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """Return what the line through the cells below the ceiling asks for, and its trust."""
    use = ~flat & ~np.isnan(x) & ~np.isnan(y)
    n = np.maximum(use.sum(axis=1), 1)[:, None]
    x0, y0 = np.where(use, x, 0.0), np.where(use, y, 0.0)
    mean_x, mean_y = x0.sum(axis=1, keepdims=True) / n, y0.sum(axis=1, keepdims=True) / n
    dx, dy = np.where(use, x - mean_x, 0.0), np.where(use, y - mean_y, 0.0)
    sxx, sxy = (dx * dx).sum(axis=1), (dx * dy).sum(axis=1)
    syy = (dy * dy).sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        slope = sxy / sxx
        r2 = sxy * sxy / (sxx * syy)
        trusted = (n[:, 0] >= 2 * CAP_STEPS) & (slope > 0) & (r2 >= CAP_R2)
        return mean_y + slope[:, None] * (x - mean_x), trusted
