"""The hottest of several units: ratios per interval, the busiest of them, what persists.

This module answers: on arrays of intervals, units and values, how far is the hottest above the mean
when the total is highest, how sure is that, and how much of it would stay? It knows no service.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

__all__ = [
    "MIN_BLOCKS",
    "MIN_INTERVALS",
    "QUANTILE",
    "HottestRatios",
    "block_interval",
    "busiest",
    "hottest_ratios",
    "persistent_x",
]

QUANTILE: Final = 0.95
"""Of hottest / mean over the busiest intervals."""

BUSY_SHARE: Final = 0.1
"""Share of usable intervals that are the busiest."""

MIN_INTERVALS: Final = 30
"""Fewest busiest intervals, and so fewest usable ones."""

MIN_BLOCKS: Final = 5
"""Fewest days, or hours, that can be resampled."""

_PAIR: Final = 2
_DRAWS: Final = 400
_DAY_NS: Final = 86_400_000_000_000
_HOUR_NS: Final = 3_600_000_000_000


@dataclass(frozen=True, slots=True, eq=False)
class HottestRatios:
    """Usable intervals in order of time, and the rows within them.

    ``ratio`` (hottest / mean), ``total``, ``time`` [ns] and ``count`` (units that count) have shape
    (N,); ``row_interval`` (index into these), ``row_unit`` and ``row_load`` (relative to the
    interval's mean) shape (R,). ``most_units`` is the largest number present at a time, ``dropped``
    what was left out by reason.
    """

    ratio: np.ndarray
    total: np.ndarray
    time: np.ndarray
    count: np.ndarray
    row_interval: np.ndarray
    row_unit: np.ndarray
    row_load: np.ndarray
    most_units: int
    dropped: Mapping[str, int]


def hottest_ratios(
    time: np.ndarray, unit: np.ndarray, value: np.ndarray, *, edge: int
) -> HottestRatios:
    """Return hottest / mean of each interval with at least two settled units.

    Parameters
    ----------
    time, unit, value
        Time [ns], number of the unit and its value, each of shape (R,); no pair of time and unit
        twice, values finite and not negative.
    edge
        Intervals after a unit appears and before it disappears that do not count. Units there at
        the first or last interval are taken to have run before, or to run on.

    Examples
    --------
    >>> ratios = hottest_ratios(
    ...     np.array([0, 0, 1, 1, 2, 2]), np.array([0, 1] * 3), np.array([1.0, 3.0] * 3), edge=1
    ... )
    >>> ratios.ratio.tolist(), ratios.row_load.tolist()
    ([1.5, 1.5, 1.5], [0.5, 1.5, 0.5, 1.5, 0.5, 1.5])
    """
    times, t = np.unique(time, return_inverse=True)
    n = len(times)
    settled = _settled(t, unit, n, edge)
    total = np.bincount(t, weights=value, minlength=n)
    most = int(np.bincount(t, minlength=n).max(initial=0))
    t, unit, value = t[settled], unit[settled], value[settled]
    count = np.bincount(t, minlength=n)
    summed = np.bincount(t, weights=value, minlength=n)
    top = np.zeros(n)
    np.maximum.at(top, t, value)
    several = count >= _PAIR
    usable = several & (summed > 0)
    mean = np.divide(summed, count, out=np.ones(n), where=usable)
    at = np.cumsum(usable) - 1
    kept = usable[t]
    dropped = {
        "rows_at_the_ends_of_a_unit": int(np.count_nonzero(~settled)),
        "intervals_with_one_unit": int(np.count_nonzero(~several)),
        "intervals_without_load": int(np.count_nonzero(several & ~usable)),
    }
    return HottestRatios(
        # Rounding of the mean can leave equal units a hair below it.
        ratio=np.maximum(top[usable] / mean[usable], 1.0),
        total=total[usable],
        time=times[usable],
        count=count[usable],
        row_interval=at[t[kept]],
        row_unit=unit[kept],
        row_load=value[kept] / mean[t[kept]],
        most_units=most,
        dropped={reason: k for reason, k in dropped.items() if k},
    )


def _settled(t: np.ndarray, unit: np.ndarray, n: int, edge: int) -> np.ndarray:
    """Return which rows are at least `edge` intervals away from where their unit comes or goes."""
    order = np.lexsort((t, unit))
    ts, us = t[order], unit[order]
    new = np.ones(len(ts), dtype=bool)
    new[1:] = (us[1:] != us[:-1]) | (ts[1:] != ts[:-1] + 1)
    run = np.cumsum(new) - 1
    first = ts[new]
    last = np.append(ts[np.flatnonzero(new)[1:] - 1], ts[-1:])
    # A run that touches the history's start or end has no such end: n intervals are far enough.
    old = np.where(first == 0, n, 0)[run] + ts - first[run]
    left = np.where(last == n - 1, n, 0)[run] + last[run] - ts
    settled = np.empty(len(t), dtype=bool)
    settled[order] = (old >= edge) & (left >= edge)
    return settled


def busiest(total: np.ndarray) -> np.ndarray:
    """Return the tenth of intervals with the highest totals, at least 30, in order of time.

    Examples
    --------
    >>> busiest(np.arange(1000.0))[[0, -1]].tolist()
    [900, 999]
    """
    n = max(math.ceil(BUSY_SHARE * len(total)), MIN_INTERVALS)
    return np.sort(np.argsort(-total, kind="stable")[:n])


def block_interval(
    ratio: np.ndarray, time: np.ndarray, rng: np.random.Generator
) -> tuple[float, float]:
    """Return the 95 % interval of the P95 of `ratio`, by resampling whole days (UTC).

    Below five days hours are resampled, which is too sure where the same units stay hot for hours;
    below five hours there is no interval: NaN.
    """
    blocks, block = np.unique(time // _DAY_NS, return_inverse=True)
    if len(blocks) < MIN_BLOCKS:
        blocks, block = np.unique(time // _HOUR_NS, return_inverse=True)
    n = len(blocks)
    if n < MIN_BLOCKS:
        return math.nan, math.nan
    order = np.argsort(ratio, kind="stable")
    ordered, block = ratio[order], block[order]
    found = np.empty(_DRAWS)
    for i, times in enumerate(rng.multinomial(n, np.full(n, 1 / n), _DRAWS)):
        weight = np.cumsum(times[block])
        found[i] = ordered[np.searchsorted(weight, QUANTILE * weight[-1] * (1 - 1e-12))]
    low, high = np.quantile(found, [0.025, 0.975])
    return float(low), float(high)


def persistent_x(ratios: HottestRatios, busy: np.ndarray) -> float:
    """Return what a day's hottest unit has on intervals that it was not chosen on, at least 1.

    Every other busy interval of a day (UTC) chooses, the rest are read, and the other way round;
    days weigh by their busy intervals. A unit that was hottest by chance has no more than the mean
    where it is read. NaN where no day has two units seen often enough.
    """
    rank = np.full(len(ratios.ratio), -1)
    rank[busy] = np.arange(len(busy))
    inside = rank[ratios.row_interval] >= 0
    interval, load = ratios.row_interval[inside], ratios.row_load[inside]
    half = rank[interval] % 2
    day = ratios.time[interval] // _DAY_NS
    key = np.column_stack([day, ratios.row_unit[inside]])
    pairs, pair = np.unique(key, axis=0, return_inverse=True)
    pair = pair.ravel()
    counts, sums = np.zeros((2, len(pairs))), np.zeros((2, len(pairs)))
    np.add.at(counts, (half, pair), 1.0)
    np.add.at(sums, (half, pair), load)
    value = weight = 0.0
    for day_of in np.unique(pairs[:, 0]):
        here = np.flatnonzero(pairs[:, 0] == day_of)
        seen = counts[:, here].min(axis=0)
        # A unit seen on few intervals of the day is hot or cold by the hour, not by balance.
        here = here[seen >= max(float(seen.max()) / 4, 1.0)]
        if len(here) < _PAIR:
            continue
        mean = sums[:, here] / counts[:, here]
        n = float(counts[:, here].max())
        value += n * float(mean[1, mean[0].argmax()] + mean[0, mean[1].argmax()]) / 2
        weight += n
    return max(value / weight, 1.0) if weight else math.nan
