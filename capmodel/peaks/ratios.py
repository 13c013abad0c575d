"""Hours of fine data, one by one: busiest step / mean, dispersion, and how averaging smooths.

This module answers: what does one usable hour of minutes say about bursts? It works on arrays and
knows no service and no calendar.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.special import pdtr

__all__ = [
    "HourTable",
    "Unevenness",
    "burst_ratios",
    "dispersion_index",
    "halving_variance",
    "unevenness",
    "usable_hours",
    "variance_slope",
]

MIN_COVERAGE: Final = 50 / 60
"""Share of an hour's minutes that must be there."""

INTERRUPTED: Final = 0.1
"""An hour with a minute below this share of its median minute was interrupted, not bursty."""

CHANCE: Final = 1e-6
"""... unless an hour of Poisson counts has so low a minute with more than this probability."""

LONGEST_MIN: Final = 10
"""Longest mean that the slope of the variance is fitted to [min]."""


@dataclass(frozen=True, slots=True, eq=False)
class HourTable:
    """The usable hours of a series.

    ``steps`` are the values, shape (hours, steps per hour), NaN is a gap; ``start`` the index of
    each hour's first step; ``dropped`` the hours left out by reason (hours without any value are
    not counted).
    """

    steps: np.ndarray
    start: np.ndarray
    dropped: Mapping[str, int]

    @property
    def mean(self) -> np.ndarray:
        """Mean of each hour [unit of the series], shape (hours,)."""
        return np.asarray(np.nanmean(self.steps, axis=1)) if len(self.steps) else np.empty(0)

    @property
    def ratio(self) -> np.ndarray:
        """Busiest step / mean of each hour [ratio], shape (hours,)."""
        top = np.nanmax(self.steps, axis=1) if len(self.steps) else np.empty(0)
        return np.asarray(top / self.mean)

    def keep(self, hours: np.ndarray) -> HourTable:
        """Return these hours only (mask or indices)."""
        return HourTable(self.steps[hours], self.start[hours], self.dropped)


def usable_hours(
    series: np.ndarray, *, steps_per_hour: int, events_per_unit: float = math.inf
) -> HourTable:
    """Return the hours that can be judged.

    An hour counts when at least 50 of its 60 minutes are there, any of them is positive, and none
    was interrupted: below a tenth of the hour's median minute, and too low to be chance.

    Parameters
    ----------
    series
        Rates from a full hour's start on, shape (T,), NaN is a gap.
    steps_per_hour
        60 for minutes.
    events_per_unit
        Events in a step at a rate of one unit (1 for minutes in events per minute). At few events
        a minute without any is no interruption. Infinite: nothing is chance.

    Returns
    -------
    HourTable

    Examples
    --------
    >>> minutes = np.full(120, 100.0)
    >>> minutes[70:90] = 0.0
    >>> hours = usable_hours(minutes, steps_per_hour=60)
    >>> hours.start.tolist(), hours.dropped
    ([0], {'interrupted_hour': 1})
    """
    hours = len(series) // steps_per_hour
    table = series[: hours * steps_per_hour].reshape(hours, steps_per_hour)
    count = np.isfinite(table).sum(axis=1)
    some = np.flatnonzero(count > 0)
    full = some[count[some] >= math.ceil(MIN_COVERAGE * steps_per_hour)]
    table = table[full]
    calm = np.zeros(0, dtype=bool)
    if len(full):
        calm = (np.nanmax(table, axis=1) > 0) & ~_interrupted(table, events_per_unit)
    dropped = {
        "incomplete_hour": len(some) - len(full),
        "interrupted_hour": int(np.count_nonzero(~calm)),
    }
    reasons = {reason: n for reason, n in dropped.items() if n}
    return HourTable(table[calm], full[calm] * steps_per_hour, reasons)


def _interrupted(table: np.ndarray, events_per_unit: float) -> np.ndarray:
    low, middle = np.nanmin(table, axis=1), np.nanmedian(table, axis=1)
    broken = low < INTERRUPTED * middle
    if math.isfinite(events_per_unit):
        chance = pdtr(np.maximum(low, 0.0) * events_per_unit, middle * events_per_unit)
        broken &= chance * table.shape[1] < CHANCE
    return np.asarray(broken)


def burst_ratios(
    series: np.ndarray, *, steps_per_hour: int, events_per_unit: float = math.inf
) -> tuple[np.ndarray, np.ndarray, np.ndarray, Mapping[str, int]]:
    """Return busiest step / mean of each usable hour.

    Parameters
    ----------
    series, steps_per_hour, events_per_unit
        As in :func:`usable_hours`.

    Returns
    -------
    ratios, rate, start, dropped
        Ratio and mean rate per usable hour, the index of its first step, and the hours left out
        by reason (hours without any value are not counted).

    Examples
    --------
    >>> minutes = np.full(120, 100.0)
    >>> minutes[70] = 150.0
    >>> ratios, rate, start, _ = burst_ratios(minutes, steps_per_hour=60)
    >>> ratios.round(4).tolist(), start.tolist()
    ([1.0, 1.4876], [0, 60])
    """
    hours = usable_hours(series, steps_per_hour=steps_per_hour, events_per_unit=events_per_unit)
    return hours.ratio, hours.mean, hours.start, hours.dropped


def dispersion_index(counts: np.ndarray) -> np.ndarray:
    """Return variance / mean of the counts of each hour around their own straight line.

    Formula: ``I = sum(residual²)/(n − 2) / mean``; 1 for Poisson counts.

    Parameters
    ----------
    counts
        Events per step, shape (hours, n) with n > 2.

    Returns
    -------
    numpy.ndarray
        Shape (hours,) [ratio]; NaN for hours with gaps.

    References
    ----------
    Cox and Lewis 1966, *The Statistical Analysis of Series of Events*, section 4.5.

    Examples
    --------
    A straight line disperses nothing:

    >>> dispersion_index(np.arange(60.0)[None, :]).round(9).tolist()
    [0.0]
    """
    n = counts.shape[1]
    place = np.arange(n) - (n - 1) / 2
    mean = counts.mean(axis=1)
    slope = counts @ place / (place @ place)
    residual = counts - mean[:, None] - slope[:, None] * place
    return np.asarray((residual**2).sum(axis=1) / (n - 2) / mean)


def halving_variance(table: np.ndarray, steps: int) -> np.ndarray:
    """Return the relative variance that is lost when means of k steps become means of 2k steps.

    Formula: ``D_k = mean((a − b)²)/4 / mean(hour)²`` over neighbouring means a, b of k steps: the
    energy of Haar's wavelet, which no removal of the hour's own mean or trend distorts.

    Parameters
    ----------
    table
        Shape (hours, n); 2k divides n.
    steps
        k [steps].

    Returns
    -------
    numpy.ndarray
        Shape (hours,) [ratio²]; NaN for hours with gaps.

    References
    ----------
    Abry and Veitch 1998, Wavelet analysis of long-range-dependent traffic. IEEE Trans. Inf. Theory
    44(1), section III.

    Examples
    --------
    >>> halving_variance(np.array([[1.0, 3.0, 1.0, 3.0]]), 1).tolist()
    [0.25]
    """
    hours, n = table.shape
    means = table.reshape(hours, n // steps, steps).mean(axis=2)
    gap = means[:, ::2] - means[:, 1::2]
    return np.asarray((gap**2).mean(axis=1) / 4 / table.mean(axis=1) ** 2)


def variance_slope(table: np.ndarray, *, step_min: int = 1) -> float:
    """Return the slope of log standard deviation of k-minute means on log k, k to 10 min.

    -0.5 where minutes are independent, nearer 0 the less averaging smooths (H = 1 + slope). From
    the medians over hours of :func:`halving_variance`, each divided by the median of its
    chi-square per degree of freedom.

    Parameters
    ----------
    table
        Hours, shape (hours, steps per hour).
    step_min
        Length of a step [min].

    Returns
    -------
    float
        NaN where fewer than two lengths can be told apart.

    Examples
    --------
    >>> noise = 100 + np.random.default_rng(0).normal(size=(500, 60))
    >>> round(variance_slope(noise), 2)
    -0.5
    """
    n = table.shape[1]
    lengths, energy = [], []
    for k in range(1, LONGEST_MIN // step_min // 2 + 1):
        if n % (2 * k) == 0:
            pairs = n // (2 * k)
            found = _median(halving_variance(table, k))
            lengths.append(k)
            energy.append(found / (1 - 2 / (9 * pairs)) ** 3)
    if len(lengths) < 2 or not min(energy) > 0:  # noqa: PLR2004  two points make a line
        return math.nan
    x, y = np.log(lengths), np.log(energy) / 2
    x = x - x.mean()
    return float(x @ y / (x @ x))


@dataclass(frozen=True, slots=True)
class Unevenness:
    """How uneven the steps of one service's usable hours are (medians over hours)."""

    dispersion_p10: float = math.nan
    dispersion_p50: float = math.nan
    dispersion_p90: float = math.nan
    """Index of dispersion of the counts per step, straight line removed [ratio]."""
    slope: float = math.nan
    """Slope of :func:`variance_slope`."""
    half: float = math.nan
    """Relative variance lost from one step to two, counting noise removed, busier half of hours."""


def unevenness(hours: HourTable, *, step_min: int) -> Unevenness:
    """Return dispersion and slope of a service's usable hours.

    Parameters
    ----------
    hours
        Usable hours in events per minute.
    step_min
        Length of a step [min].

    Returns
    -------
    Unevenness
        NaN where no hour is without gaps, or steps are too long to tell.
    """
    table = hours.steps[np.isfinite(hours.steps).all(axis=1)]
    if not len(table) or table.shape[1] <= 2:  # noqa: PLR2004  a line through two points
        return Unevenness()
    counts = table * step_min
    low, middle, high = np.quantile(dispersion_index(counts), [0.1, 0.5, 0.9])
    mean = counts.mean(axis=1)
    busy = mean >= np.median(mean)
    half = halving_variance(counts[busy], 1) - 1 / (2 * mean[busy])
    return Unevenness(
        dispersion_p10=float(low),
        dispersion_p50=float(middle),
        dispersion_p90=float(high),
        slope=variance_slope(table, step_min=step_min),
        half=max(_median(half), 0.0),
    )


def _median(values: np.ndarray) -> float:
    known = values[np.isfinite(values)]
    return float(np.median(known)) if len(known) else math.nan
