"""How days of one season err together, as a frame: what a live tracker conditions on.

This module answers: when the first days come in high, how much of that will last? The logarithm of
a day's busiest minute departs from its median by

    walk + common + shock + week + day

where ``walk`` (level and trend) is shared from the day on which it happened, ``common`` by all
days, ``shock`` by the days of one event in one year, ``week`` by the days of one calendar week, and
``day`` by nothing. The frame holds the standard deviation of each part on each day.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd

from capmodel.demand.paths import Z_975

if TYPE_CHECKING:
    from capmodel.capacity.loads import RootMinutes
    from capmodel.plan.make import Solved

__all__ = ["fan_frame", "week_of"]

COLUMNS: Final = [
    "scenario", "service", "date", "luck", "walk_sd", "common_sd", "shock_sd", "week_sd", "day_sd",
    "burst_x",
]  # fmt: skip
SAME: Final = 1e-9
BURST_DRAWS: Final = 201
"""Paths that the median burst of a day is taken over."""
NOISE_DRAWS: Final = 501
"""Paths that the days' own noise is taken over."""
MOST_ROOTS: Final = 20
"""Roots up to which every plan holds its fan."""


def week_of(dates: np.ndarray) -> np.ndarray:
    """Return the number of each day's week, from Monday, shape (N,)."""
    # 1970-01-01 was a Thursday.
    return np.asarray((dates.astype("datetime64[D]").astype(int) + 3) // 7)


def fan_frame(solved: Solved) -> pd.DataFrame:
    """Return one row per root and day; a scenario whose luck another one has is left out.

    A few roots cost 5 ms each. Where there are many, the frame stands where it is asked for.
    """
    roots = solved.fit.roots
    if len(roots) > MOST_ROOTS and "fan" not in solved.request.also:
        return pd.DataFrame(columns=COLUMNS)
    spans = {day.name: day.span for day in solved.fit.events.days}
    parts = []
    for root in roots:
        shown = set()
        for at, scenario in enumerate(solved.request.scenarios):
            stated = scenario.peak.get(root)
            # Scenarios that give growth drop the trend's error; all else moves medians alone.
            luck = root in scenario.growth_yoy_x, None if stated is None else stated.sigma
            if luck not in shown:
                shown.add(luck)
                minutes = solved.futures.loads[at].roots[root]
                parts.append(_rows(minutes, spans, scenario=scenario.name, luck=luck))
    return pd.concat(parts, ignore_index=True)


def _rows(
    minutes: RootMinutes,
    spans: Mapping[str, str],
    *,
    scenario: str,
    luck: tuple[bool, float | None],
) -> pd.DataFrame:
    path, n = minutes.root, len(minutes.root.dates)
    grows, stated = luck
    noise = _noise(minutes, path.dates)
    if stated is None:
        errors = path.level[:, None] + (0.0 if grows else path.drift)
        walk = np.maximum.accumulate(_spread(np.broadcast_to(errors, (len(errors), n)), n))
        struck = np.flatnonzero(path.shock.any(axis=0))
        shock = np.zeros(n)
        shock[struck] = _spread(path.shock[:, struck], len(struck))
    else:
        walk, shock, noise["common"] = np.full(n, stated), np.zeros(n), np.zeros(n)
    names = [
        f"{spans.get(event, event)} {str(day)[:4]}" if event and sd > 0 else ""
        for event, day, sd in zip(path.event, path.dates, shock, strict=True)
    ]
    columns: dict[str, Any] = {
        "scenario": scenario,
        "service": path.service,
        "date": path.dates.astype(str),
        "luck": names,
        "walk_sd": walk,
        "common_sd": noise["common"],
        "shock_sd": shock,
        "week_sd": noise["week"],
        "day_sd": noise["day"],
        "burst_x": _bursts(minutes, n),
    }
    return pd.DataFrame(columns, columns=COLUMNS)


def _spread(log: np.ndarray, n: int) -> np.ndarray:
    """Return the standard deviation that the middle 95 % of draws show, shape (N,).

    Luck has fat tails, whose sample variance says more about the one wildest draw.
    """
    draws = len(log)
    if draws == 1 or not log.any():
        return np.zeros(n)
    if np.allclose(log, log[:, :1], rtol=0, atol=SAME):
        log = log[:, :1]
    low = math.ceil(0.025 * draws) - 1
    by_day = np.array(log.T, order="C")
    by_day.partition((low, draws - 1 - low), axis=1)
    width = by_day[:, draws - 1 - low] - by_day[:, low]
    return np.broadcast_to(width / (2 * Z_975), (n,)).copy()


def _noise(minutes: RootMinutes, dates: np.ndarray) -> dict[str, np.ndarray]:
    """Split the days' own noise into what all days, a week and a day have in common.

    Nested analysis of variance of the standardised logarithms, balanced by mean sizes: Searle,
    Casella & McCulloch (1992), Variance components, chapter 3.
    """
    n = len(dates)
    peak = minutes.day_peak[:NOISE_DRAWS]
    if len(peak) == 1:
        return {name: np.zeros(n) for name in ("common", "week", "day")}
    happens = (peak > 0).all(axis=0)
    log = np.log(np.where(happens, peak, 1.0))
    log -= log.mean(axis=0)
    sd = _spread(log, n)
    known = sd > 0
    if not known.any():
        return {name: np.zeros(n) for name in ("common", "week", "day")}
    common, week = _shares(log[:, known] / sd[known], week_of(dates)[known])
    rest = max(1 - common - week, 0.0)
    return {
        "common": sd * np.sqrt(common), "week": sd * np.sqrt(week), "day": sd * np.sqrt(rest),
    }  # fmt: skip


def _shares(own: np.ndarray, week: np.ndarray) -> tuple[float, float]:
    """Return which share of unit variance all days have in common, and which a week."""
    days = own.shape[1]
    groups = [own[:, week == w] for w in np.unique(week)]
    several = [g for g in groups if g.shape[1] > 1]
    if not several or len(groups) < 2:  # noqa: PLR2004  one week says nothing about weeks
        return 0.0, 0.0
    day = float(np.mean([g.var(axis=1, ddof=1).mean() for g in several]))
    size = days / len(groups)
    of_weeks = float(np.mean([g.mean(axis=1).var() for g in groups]))
    of_all = float(own.mean(axis=1).var())
    between = (of_weeks - of_all - day * (1 / size - 1 / days)) / (1 - 1 / len(groups))
    week_share = max(between, 0.0)
    common = max(of_all - week_share / len(groups) - day / days, 0.0)
    total = common + week_share + day
    return common / total, week_share / total


def _bursts(minutes: RootMinutes, n: int) -> np.ndarray:
    """Return the median of busiest minute over the busiest hour's mean, by day, shape (N,)."""
    seconds = 60.0 if minutes.root.quantity == "per_min" else 1.0
    few = slice(0, BURST_DRAWS)
    hour = minutes.root.shape[few].max(axis=2)
    peak = minutes.day_peak[few] * seconds
    ratio = np.where(hour > 0, peak / np.where(hour > 0, hour, 1.0), 1.0)
    return np.broadcast_to(np.median(ratio, axis=0), (n,))
