"""The members of the autoregressive pool: what each of them expects of the next hours.

This module answers: which simple forecasters compete in :class:`.pool.AutoregressivePool`, how much
past does each need, and what does each expect as of several origins? Steps are hours: lags stand
around a day, two days and a week because the work of people does.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal

import numpy as np

from capmodel.demand.autoregression import extend_ar, fit_ar, fit_ar_at

__all__ = [
    "LEAST_TRAINING",
    "QUICK",
    "THOROUGH",
    "WEEK",
    "Autoregression",
    "Member",
    "Past",
    "Repeat",
    "Scale",
    "backtest_origins",
    "expect",
    "steps_needed",
    "whole_days",
]

DAY: Final = 24
WEEK: Final = 168
LOG_OFFSET: Final = 0.01
"""Added to y / mean before the logarithm: a quiet hour stays finite, 1 % of the mean is zero."""
ROWS_PER_LAG: Final = 2
"""Rows without which a lag's coefficient is not estimated: with fewer the ridge decides alone."""
LEAST_PROFILE_WEEKS: Final = 2
"""A mean week of one week leaves no deviations from it [weeks]."""
BRIDGE_ROUNDS: Final = 2
BRIDGE_RIDGE: Final = 5.0
"""[rows]"""
LEAST_LAG_CYCLES: Final = 3
"""A gap is bridged by lags that fit so often into the series."""

LEAST_TRAINING: Final = 2 * DAY
"""Steps before the first origin without which nothing is forecast."""
TRAINING_SHARE: Final = 0.6
"""Origins, but for the last one, leave at least this share of the history for training [ratio]."""

Scale = Literal["log", "linear"]


@dataclass(frozen=True, slots=True)
class Repeat:
    """The mean of the last whole cycles, repeated; with one cycle, the seasonal naive forecast."""

    period: int
    """[steps]"""
    cycles: int = 1
    family: str = "repeat"


@dataclass(frozen=True, slots=True)
class Autoregression:
    """A least-squares autoregression (:mod:`.autoregression`) of one form of the series."""

    family: str
    """Members of a family are alike; each family has the same say before the backtests."""
    scale: Scale
    lags: tuple[int, ...]
    """[steps]"""
    ridge: float
    """[rows]"""
    difference: int = 0
    """The change over so many steps is modelled; 0 means the level [steps]."""
    profile: int = 0
    """The deviation from the mean of up to so many weeks is modelled; 0 means the level [weeks]."""
    recent: int | None = None
    """Steps that the coefficients may see; None means all."""


Member = Repeat | Autoregression


def _around(*centers: int) -> set[int]:
    """Return the lags within one step of each center."""
    return {center + side for center in centers for side in (-1, 0, 1)}


HOURS: Final = (1, 2, 3)
DAYS: Final = tuple(range(DAY, WEEK + 1, DAY))
SEASONAL: Final = tuple(sorted({*HOURS, *DAYS, *_around(DAY, 2 * DAY, WEEK)}))
"""The last hours, the same hour of each day back to a week, and its neighbours."""
DENSE: Final = tuple(sorted({*range(1, DAY + 3), *_around(*DAYS), WEEK + 2}))
"""Every hour of the last day, and the same hour of each day with its neighbours."""
PRODUCT: Final = (*HOURS, DAY, DAY + 1, DAY + 2, WEEK, WEEK + 1, WEEK + 2)
"""Where the product of an hourly, a daily and a weekly polynomial has its terms."""
OF_DAILY_CHANGE: Final = (*HOURS, DAY, DAY + 1, 2 * DAY)
OF_DAILY_CHANGE_LONG: Final = tuple(sorted({*HOURS, *_around(DAY), 2 * DAY, WEEK - DAY, WEEK}))
OF_WEEKLY_CHANGE: Final = (1, 2, DAY, DAY + 1, WEEK)
OF_DEVIATION: Final = tuple(sorted({*HOURS, *_around(DAY)}))
"""Short of a week: deviations from a mean of few weeks oppose each other a week apart."""


def _autoregressions(scale: Scale, *, thorough: bool) -> dict[str, Member]:
    """Return the autoregressions of one scale; ridges of 1, 5 and 50 rows: little, some, much."""
    members = {
        "seasonal": Autoregression("level", scale, SEASONAL, 5.0),
        "product": Autoregression("level", scale, PRODUCT, 5.0),
        "daily_change": Autoregression("daily", scale, OF_DAILY_CHANGE, 1.0, difference=DAY),
        "weekly_change": Autoregression("weekly", scale, OF_WEEKLY_CHANGE, 1.0, difference=WEEK),
        "deviation": Autoregression("deviation", scale, OF_DEVIATION, 5.0, profile=4),
    }
    if thorough:
        members |= {
            "seasonal_held": Autoregression("level", scale, SEASONAL, 50.0),
            "dense": Autoregression("level", scale, DENSE, 5.0),
            "dense_held": Autoregression("level", scale, DENSE, 50.0),
            "recent": Autoregression("level", scale, PRODUCT, 5.0, recent=24 * DAY),
            "daily_change_long": Autoregression(
                "daily", scale, OF_DAILY_CHANGE_LONG, 1.0, difference=DAY
            ),
            "hourly_change": Autoregression("hourly", scale, SEASONAL, 5.0, difference=1),
            "deviation_long": Autoregression("deviation", scale, OF_DEVIATION, 5.0, profile=9),
        }
    return {f"{scale}_{name}": member for name, member in members.items()}


def _members(*, thorough: bool) -> Mapping[str, Member]:
    return MappingProxyType(
        {
            "last_day": Repeat(DAY),
            "last_week": Repeat(WEEK),
            "mean_3_days": Repeat(DAY, 3),
            "mean_2_weeks": Repeat(WEEK, 2),
            **_autoregressions("log", thorough=thorough),
            **_autoregressions("linear", thorough=thorough),
        }
    )


QUICK: Final = _members(thorough=False)
"""Every kind of member once on either scale."""
THOROUGH: Final = _members(thorough=True)
"""The quick ones, more lag sets and ridges, hourly changes, recent weeks alone, longer profiles."""


def steps_needed(member: Member) -> int:
    """Return the least steps before an origin with which a member can forecast [steps].

    Examples
    --------
    >>> steps_needed(Repeat(WEEK, 2))
    336
    """
    if isinstance(member, Repeat):
        return member.period * member.cycles
    rows = member.difference + member.lags[-1] + ROWS_PER_LAG * len(member.lags)
    return max(rows, LEAST_PROFILE_WEEKS * WEEK if member.profile else 0, member.recent or 0)


def whole_days(horizon: int) -> int:
    """Return the horizon, rounded up to days: every origin then has the clock of the last step."""
    return math.ceil(horizon / DAY) * DAY


def backtest_origins(n_steps: int, horizon: int, *, most: int) -> tuple[int, ...]:
    """Return the backtest origins, rising: whole days before the end, half a horizon apart."""
    span = whole_days(horizon)
    apart = max(span // 2 // DAY, 1) * DAY
    least = max(LEAST_TRAINING, math.ceil(TRAINING_SHARE * n_steps))
    last = n_steps - span
    earlier = (last - k * apart for k in range(1, most))
    return (*sorted(origin for origin in earlier if origin >= least), last)


@dataclass(frozen=True, slots=True, eq=False)
class _Scaled:
    """The series on one scale, with what was seen as of each origin."""

    z: np.ndarray
    """Shape (T, S)."""
    lowest: np.ndarray
    """Shape (E, S)."""
    highest: np.ndarray


@dataclass(frozen=True, slots=True, eq=False)
class Past:
    """What the members may look at: S series of one length, and the origins to forecast from."""

    values: np.ndarray
    """Shape (T, S) [unit of the series], gaps bridged."""
    seen: np.ndarray | None
    """True where a value was measured, shape (T, S); None means everywhere."""
    origins: tuple[int, ...]
    """Steps that each forecast may see, rising, E of them."""
    level: np.ndarray
    """Mean of each series, 1 where that is not above 0, shape (S,) [unit of the series]."""
    floor: np.ndarray
    """0 for a series that was never below, else -inf, shape (S,)."""
    scaled: Mapping[str, _Scaled]

    @classmethod
    def of(cls, values: np.ndarray, *, origins: tuple[int, ...], scales: tuple[Scale, ...]) -> Past:
        """Bridge the gaps and put the series on each scale: ``y``, or ``log(y / mean + 0.01)``.

        The mean is that of the whole series: it sets where the offset bends the logarithm and
        nothing else, so every origin may share it.

        Parameters
        ----------
        values
            NaN for gaps, shape (T, S); the first row is complete.
        origins, scales
            See above; gaps are bridged on the first scale.
        """
        seen = ~np.isnan(values)
        mean = np.nanmean(values, axis=0)
        level = np.where(mean > 0, mean, 1.0)
        floor = np.where((values < 0).any(axis=0), -np.inf, 0.0)
        bridged = values
        if not seen.all():
            z = _bridged(_to(scales[0], values, level), seen)
            bridged = np.where(seen, values, np.maximum(_from(scales[0], z, level), floor))
        scaled: dict[str, _Scaled] = {}
        for scale in scales:
            z = _to(scale, bridged, level)
            lowest = np.stack([z[:origin].min(axis=0) for origin in origins])
            highest = np.stack([z[:origin].max(axis=0) for origin in origins])
            scaled[scale] = _Scaled(z, lowest, highest)
        return cls(
            values=bridged,
            seen=None if seen.all() else seen,
            origins=origins,
            level=level,
            floor=floor,
            scaled=MappingProxyType(scaled),
        )


def _to(scale: Scale, values: np.ndarray, level: np.ndarray) -> np.ndarray:
    return np.asarray(np.log(values / level + LOG_OFFSET) if scale == "log" else values)


def _from(scale: Scale, z: np.ndarray, level: np.ndarray) -> np.ndarray:
    return np.asarray((np.exp(z) - LOG_OFFSET) * level if scale == "log" else z)


def _bridged(z: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Fill each gap with what the steps before it let expect, shape (T, S).

    First with the change of the day before, then twice with the one-step forecast of an
    autoregression whose targets were all seen: the coefficients rest on the last filling, the
    filling on the coefficients. No value leaves the range seen.
    """
    gaps = np.flatnonzero(~seen.all(axis=1))
    low, high = np.nanmin(z, axis=0), np.nanmax(z, axis=0)
    filled = z.copy()
    for t in gaps:
        ahead = filled[t - 1] + (filled[t - DAY] - filled[t - DAY - 1] if t > DAY else 0.0)
        filled[t] = np.where(seen[t], z[t], np.clip(ahead, low, high))
    lags = tuple(lag for lag in SEASONAL if lag <= len(z) // LEAST_LAG_CYCLES)
    back, weight = np.array(lags), seen.astype(float)
    for _ in range(BRIDGE_ROUNDS):
        fit = fit_ar(filled, lags=lags, ridge=BRIDGE_RIDGE, weight=weight)
        deviation = filled - fit.mean
        for t in gaps[gaps >= lags[-1]]:
            ahead = np.einsum("sl,ls->s", fit.coefficients, deviation[t - back]) + fit.mean
            deviation[t] = np.where(seen[t], z[t], np.clip(ahead, low, high)) - fit.mean
        filled = np.where(seen, z, deviation + fit.mean)
    return filled


def expect(member: Member, past: Past, *, horizon: int) -> np.ndarray:
    """Return a member's forecast as of every origin.

    An autoregression's forecast is kept within the range seen before the origin on its scale,
    widened on either side by the range's own width, and not below zero where the series never was.

    Parameters
    ----------
    member
        One whose :func:`steps_needed` the first origin has.
    past
        S series and E origins.
    horizon
        H [steps].

    Returns
    -------
    ndarray
        Shape (H, E, S) [unit of the series].
    """
    if isinstance(member, Repeat):
        return _repeated(member, past, horizon=horizon)
    scaled = past.scaled[member.scale]
    if member.profile:
        path = _deviating(member, past, scaled.z, horizon=horizon)
    else:
        path = _changing(member, past, scaled.z, horizon=horizon)
    width = scaled.highest - scaled.lowest
    path = np.clip(path, scaled.lowest - width, scaled.highest + width)
    return np.asarray(np.maximum(_from(member.scale, path, past.level), past.floor))


def _repeated(member: Repeat, past: Past, *, horizon: int) -> np.ndarray:
    phase = np.arange(horizon) % member.period
    reach = member.period * member.cycles
    shape = (member.cycles, member.period, -1)
    return np.stack(
        [
            past.values[origin - reach : origin].reshape(shape).mean(axis=0)[phase]
            for origin in past.origins
        ],
        axis=1,
    )


def _changing(member: Autoregression, past: Past, z: np.ndarray, *, horizon: int) -> np.ndarray:
    """Forecast the level, or the change over `difference` steps, as of every origin at once."""
    over = member.difference
    origins = tuple(origin - over for origin in past.origins)
    seen = past.seen
    if over:
        x = z[over:] - z[:-over]
        seen = None if seen is None else seen[over:] & seen[:-over]
    else:
        x = z
    fit = fit_ar_at(
        x,
        lags=member.lags,
        ridge=member.ridge,
        origins=origins,
        recent=member.recent,
        weight=None if seen is None else seen.astype(float),
    )
    reach = member.lags[-1]
    tail = np.stack([x[origin - reach : origin] for origin in origins], axis=1)
    path = extend_ar(fit, tail.reshape(reach, -1), horizon).reshape(horizon, *tail.shape[1:])
    if not over:
        return path
    last = np.stack([z[origin - over : origin] for origin in past.origins], axis=1)
    return _summed(path, last)


def _summed(changes: np.ndarray, last: np.ndarray) -> np.ndarray:
    """Return levels from changes over ``len(last)`` steps, `last` being the levels before."""
    over, path = len(last), np.empty_like(changes)
    for start in range(0, len(changes), over):
        part = changes[start : start + over]
        path[start : start + over] = last[: len(part)] + part
        last = path[start : start + over]
    return path


def _deviating(member: Autoregression, past: Past, z: np.ndarray, *, horizon: int) -> np.ndarray:
    """Forecast the mean week, and the deviation from it, as of each origin."""
    hours = np.arange(horizon) % WEEK
    paths = []
    for origin in past.origins:
        n_weeks = min(member.profile, origin // WEEK)
        window = slice(origin - n_weeks * WEEK, origin)
        weeks = z[window].reshape(n_weeks, WEEK, -1)
        profile = weeks.mean(axis=0)
        deviation = (weeks - profile).reshape(n_weeks * WEEK, -1)
        weight = None if past.seen is None else past.seen[window].astype(float)
        fit = fit_ar(deviation, lags=member.lags, ridge=member.ridge, weight=weight)
        paths.append(extend_ar(fit, deviation, horizon) + profile[hours])
    return np.stack(paths, axis=1)
