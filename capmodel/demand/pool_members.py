"""The members of the autoregressive pool: what each of them expects of the next hours.

This module answers: which simple forecasters compete in :class:`.pool.AutoregressivePool`, how much
past does each need, and what does each expect as of several origins? Steps are hours: lags stand
around a day, two days and a week because the work of people does.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal

import numpy as np

from capmodel.demand.autoregression import extend_ar, fit_ar, fit_ar_at

__all__ = [
    "DAY",
    "QUICK",
    "THOROUGH",
    "WEEK",
    "Autoregression",
    "Member",
    "Past",
    "Repeat",
    "Scale",
    "expect",
    "steps_needed",
]

DAY: Final = 24
WEEK: Final = 168
LOG_OFFSET: Final = 0.01
"""Added to y / mean before the logarithm: a quiet hour stays finite, 1 % of the mean is zero."""
ROWS_PER_LAG: Final = 2
"""Rows without which a lag's coefficient is not estimated: with fewer the ridge decides alone."""
LEAST_PROFILE_WEEKS: Final = 2
"""A mean week of one week leaves no deviations from it [weeks]."""

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


@dataclass(frozen=True, slots=True, eq=False)
class _Scaled:
    """The series on one scale, with what was seen as of each origin."""

    z: np.ndarray
    """Shape (T, S)."""
    lowest: np.ndarray
    """Shape (E, S)."""
    highest: np.ndarray
    level: np.ndarray
    """Mean of the series, 1 where that is zero, shape (S,) [unit of the series]."""


@dataclass(frozen=True, slots=True, eq=False)
class Past:
    """What the members may look at: S series of one length, and the origins to forecast from."""

    values: np.ndarray
    """Shape (T, S) [unit of the series], gaps bridged."""
    seen: np.ndarray | None
    """True where a value was measured, shape (T, S); None means everywhere."""
    origins: tuple[int, ...]
    """Steps that each forecast may see, rising, E of them."""
    scaled: Mapping[str, _Scaled]

    @classmethod
    def of(
        cls,
        values: np.ndarray,
        seen: np.ndarray,
        *,
        origins: tuple[int, ...],
        scales: Iterable[Scale],
    ) -> Past:
        """Put the series on each scale: ``y``, or ``log(y / mean + 0.01)``.

        The mean is that of the whole series: it sets where the offset bends the logarithm, nothing
        else, so that every origin may share it.
        """
        mean = np.where(seen, values, 0.0).sum(axis=0) / seen.sum(axis=0)
        level = np.where(mean > 0, mean, 1.0)
        scaled = {}
        for scale in scales:
            z = np.log(values / level + LOG_OFFSET) if scale == "log" else values
            lowest = np.stack([z[:origin].min(axis=0) for origin in origins])
            highest = np.stack([z[:origin].max(axis=0) for origin in origins])
            scaled[scale] = _Scaled(z, lowest, highest, level)
        return cls(values, None if seen.all() else seen, origins, MappingProxyType(scaled))


def expect(member: Member, past: Past, *, horizon: int) -> np.ndarray:
    """Return a member's forecast as of every origin.

    An autoregression's forecast is kept within the range seen before the origin on its scale,
    widened on either side by the range's own width.

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
    if member.scale == "linear":
        return path
    return np.asarray(np.maximum(np.exp(path) - LOG_OFFSET, 0.0) * scaled.level)


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
