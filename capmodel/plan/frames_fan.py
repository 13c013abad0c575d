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
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from capmodel.capacity.loads import Loads, RootMinutes
    from capmodel.plan.make import Solved

__all__ = ["fan_frame", "week_of"]

COLUMNS: Final = [
    "scenario", "service", "date", "luck", "walk_sd", "common_sd", "shock_sd", "week_sd", "day_sd",
    "burst_x",
]  # fmt: skip
Z_975: Final = 1.959963984540054
"""Half the distance between P2.5 and P97.5, in standard deviations."""
SAME: Final = 1e-9
BURST_DRAWS: Final = 201
"""Paths that the median burst of a day is taken over."""


def week_of(dates: np.ndarray) -> np.ndarray:
    """Return the number of each day's week, from Monday, shape (N,)."""
    # 1970-01-01 was a Thursday.
    return np.asarray((dates.astype("datetime64[D]").astype(int) + 3) // 7)


def fan_frame(solved: Solved) -> pd.DataFrame:
    """Return one row per root and day; scenarios whose luck is the first one's are left out."""
    parts = []
    spans = {day.name: day.span for day in solved.fit.events.days}
    for root in solved.fit.roots:
        first: np.ndarray | None = None
        for name, loads in zip(solved.request.names, solved.futures.loads, strict=True):
            factor = loads.factor[root]
            luck = np.log(factor)
            luck = luck - luck.mean(axis=0)
            if first is not None and np.allclose(luck, first, rtol=0, atol=SAME):
                continue
            first = luck if first is None else first
            stated = _stated_sd(solved, name, root)
            parts.append(_rows(solved, loads, root, luck, spans, scenario=name, stated=stated))
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=COLUMNS)


def _stated_sd(solved: Solved, scenario: str, root: str) -> float | None:
    """Return the log standard deviation of a stated season peak, None where none is stated."""
    at = solved.request.names.index(scenario)
    stated = solved.request.scenarios[at].peak.get(root)
    return None if stated is None else float(stated.sigma)


def _rows(  # noqa: PLR0913  what one root is under one scenario
    solved: Solved,
    loads: Loads,
    root: str,
    luck: np.ndarray,
    spans: dict[str, str],
    *,
    scenario: str,
    stated: float | None,
) -> pd.DataFrame:
    minutes = loads.roots[root]
    dates, n = solved.request.dates, len(solved.request.dates)
    names = [
        f"{spans.get(event, event)} {str(day)[:4]}" if event else ""
        for event, day in zip(minutes.root.event, dates, strict=True)
    ]
    if stated is None:
        shock = minutes.root.shock
        walk = np.maximum.accumulate(_spread(luck - shock + shock.mean(axis=0), n))
        struck = np.flatnonzero(shock.any(axis=0))
        shock_sd = np.zeros(n)
        shock_sd[struck] = _spread(shock[:, struck], len(struck))
    else:
        walk, shock_sd = np.full(n, stated), np.zeros(n)
    noise = _noise(minutes, dates)
    columns: dict[str, Any] = {
        "scenario": scenario,
        "service": root,
        "date": dates.astype(str),
        "luck": [name if sd > 0 else "" for name, sd in zip(names, shock_sd, strict=True)],
        "walk_sd": walk,
        "common_sd": noise["common"] if stated is None else np.zeros(n),
        "shock_sd": shock_sd,
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
    by_day = np.ascontiguousarray(log.T)
    by_day.partition((low, draws - 1 - low), axis=1)
    width = by_day[:, draws - 1 - low] - by_day[:, low]
    return np.broadcast_to(width / (2 * Z_975), (n,)).copy()


def _noise(minutes: RootMinutes, dates: np.ndarray) -> dict[str, np.ndarray]:
    """Split the days' own noise into what all days, a week and a day have in common.

    Nested analysis of variance of the standardised logarithms, balanced by mean sizes: Searle,
    Casella & McCulloch (1992), Variance components, chapter 3.
    """
    n = len(dates)
    peak = minutes.day_peak
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
