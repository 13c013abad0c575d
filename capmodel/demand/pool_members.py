"""The members of the autoregressive pool: what each of them expects of the next hours.

This module answers: which simple forecasters compete in :class:`.pool.AutoregressivePool`, how much
past does each need, and what does each forecast as of several origins at once? Steps are hours: the
lags stand around a day, two days and a week because the work of people does.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal

import numpy as np

from capmodel.demand.autoregression import extend_ar, fit_ar_at

__all__ = ["DAY", "MEMBERS", "WEEK", "Autoregression", "Past", "Repeat", "expect", "steps_needed"]

DAY: Final = 24
WEEK: Final = 168
LOG_OFFSET: Final = 0.01
"""Added to y / mean before the logarithm: a quiet hour stays finite, 1 % of the mean is zero."""
ROWS_PER_LAG: Final = 2
"""Rows without which a lag's coefficient is not estimated: fewer and the ridge decides alone."""

Scale = Literal["log", "linear"]


@dataclass(frozen=True, slots=True)
class Repeat:
    """The mean of the last whole cycles, repeated: with one cycle the seasonal naive forecast."""

    period: int
    """[steps]"""
    cycles: int = 1


@dataclass(frozen=True, slots=True)
class Autoregression:
    """A least-squares autoregression (:func:`.autoregression.fit_ar`) on one scale."""

    scale: Scale
    lags: tuple[int, ...]
    ridge: float
    """[rows]"""
    difference: int = 0
    """The change over so many steps is what is modelled; 0 means the level itself [steps]."""
    recent: int | None = None
    """Steps that the coefficients may see; None means all."""


Member = Repeat | Autoregression


def _around(centers: Iterable[int], reach: int = 1) -> set[int]:
    """Return the lags within `reach` steps of each center."""
    return {center + side for center in centers for side in range(-reach, reach + 1)}


DAYS_OF_WEEK: Final = tuple(range(DAY, WEEK + 1, DAY))
SEASONAL: Final = tuple(sorted({1, 2, 3, *_around((DAY, 2 * DAY, WEEK)), *DAYS_OF_WEEK}))
"""The last hours, the same hour of each day back to a week, and its neighbours."""
DENSE: Final = tuple(sorted({*range(1, DAY + 3), *_around(DAYS_OF_WEEK), WEEK + 2}))
"""Every hour of the last day, and every day of the last week with its neighbours."""
PRODUCT: Final = tuple(base + k for base in (0, DAY, WEEK) for k in (0, 1, 2) if base + k) + (3,)
"""What the product of short, daily and weekly autoregressions reaches (Box & Jenkins 1976)."""
DAILY_CHANGE: Final = (1, 2, 3, DAY, DAY + 1, 2 * DAY)
DAILY_CHANGE_LONG: Final = (1, 2, 3, DAY - 1, DAY, DAY + 1, 2 * DAY, WEEK - DAY, WEEK)
WEEKLY_CHANGE: Final = (1, 2, DAY, DAY + 1, WEEK)


def _both_scales(
    name: str, lags: tuple[int, ...], *, ridge: float, difference: int = 0
) -> dict[str, Member]:
    scales: tuple[Scale, ...] = ("log", "linear")
    return {
        f"{scale}_{name}": Autoregression(scale, lags, ridge, difference) for scale in scales
    }


QUICK: Final = MappingProxyType[str, Member](
    {
        "last_day": Repeat(DAY),
        "last_week": Repeat(WEEK),
        "mean_3_days": Repeat(DAY, 3),
        "mean_2_weeks": Repeat(WEEK, 2),
        **_both_scales("seasonal", SEASONAL, ridge=5.0),
        **_both_scales("product", PRODUCT, ridge=5.0),
        **_both_scales("daily_change", DAILY_CHANGE, ridge=1.0, difference=DAY),
        **_both_scales("weekly_change", WEEKLY_CHANGE, ridge=1.0, difference=WEEK),
    }
)
THOROUGH: Final = MappingProxyType[str, Member](
    {
        **QUICK,
        **_both_scales("seasonal_held", SEASONAL, ridge=50.0),
        **_both_scales("dense", DENSE, ridge=5.0),
        **_both_scales("dense_held", DENSE, ridge=50.0),
        **_both_scales("daily_change_long", DAILY_CHANGE_LONG, ridge=1.0, difference=DAY),
        **_both_scales("hourly_change", SEASONAL, ridge=5.0, difference=1),
        "log_recent": Autoregression("log", PRODUCT, 5.0, recent=24 * DAY),
    }
)
MEMBERS=THOROUGH
Past=expect=steps_needed=None
