"""Growth read two ways: on comparable days, and on the same month of the calendar.

This module answers: how much of a month's growth is a holiday that moved across its border? An
event is compared with its own last occurrence; a calendar compares whatever shares a date.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd

from capmodel.demand import DemandFit
from capmodel.plan.equip import root_basis
from capmodel.plots.labels import humanize
from capmodel.scenario import day_factor

if TYPE_CHECKING:
    from capmodel.events import Events
    from capmodel.plan.make import Solved

__all__ = ["calendar_sentences", "calendar_yoy_frame"]

COLUMNS: Final = [
    "scenario", "driver", "window", "comparable_yoy_x", "over_actual_x", "calendar_yoy_x",
    "moved_in", "moved_out", "basis",
]  # fmt: skip
APART: Final = 0.05
"""A month is remarked upon where its two readings differ by more than this [ratio]."""


def calendar_yoy_frame(solved: Solved) -> pd.DataFrame:
    """Return both readings of growth for whole months and event days of the horizon.

    ``comparable_yoy_x = mean forecast of the days / mean fitted level of their counterparts``, an
    event's counterpart being its last occurrence: what `growth_yoy_x` means, free of the luck of
    single days. ``over_actual_x`` is the same against what the counterparts really were,
    ``calendar_yoy_x`` against the same dates of last year. Forecasts are medians of day means.
    ``moved_in`` names the events of a month whose last occurrence lay in another one,
    ``moved_out`` the opposite.

    Returns
    -------
    pandas.DataFrame
        One row per scenario, driver and window (``2026-11``, ``cyber_monday``); none where the
        history does not hold last year's days.
    """
    fit = solved.fit
    rows: list[dict[str, Any]] = []
    if isinstance(fit.demand, DemandFit):
        spans = {day.name: day.span for day in fit.events.days}
        for root in (r for r in fit.roots if r in fit.demand.services):
            past = _day_means(fit.demand, root)
            path = solved.futures.roots[root].root
            hours = path.shape.mean(axis=2)
            for scenario, load in zip(solved.request.scenarios, solved.futures.loads, strict=True):
                own = load.roots[root].root
                mean = hours if own is path else own.shape.mean(axis=2)
                days = np.median(mean * day_factor(own, scenario, spans=spans), axis=0)
                level = np.median(hours, axis=0) * np.exp(path.to_growth)
                coming = _by_day(path.dates, days)
                rows += [
                    {"scenario": scenario.name, "driver": root, **row,
                     "basis": "assumed" if root in scenario.growth_yoy_x else root_basis(fit, root)}
                    for row in _windows(coming, _by_day(path.dates, level), past, fit.events)
                ]  # fmt: skip
    return pd.DataFrame(rows, columns=COLUMNS)


def _by_day(dates: np.ndarray, values: np.ndarray) -> dict[dt.date, float]:
    return dict(zip(dates.astype(dt.date).tolist(), values.tolist(), strict=True))


def _day_means(demand: DemandFit, root: str) -> dict[dt.date, float]:
    """Return the mean demand of each day of the history that is known."""
    cohort, column = demand.locate(root)
    means = cohort.day_mean[:, column]
    dates = demand.dates[cohort.first :].astype(dt.date)
    return {d: m for d, m in zip(dates.tolist(), means.tolist(), strict=True) if np.isfinite(m)}


def _windows(
    coming: dict[dt.date, float],
    level: dict[dt.date, float],
    past: dict[dt.date, float],
    events: Events,
) -> list[dict[str, Any]]:
    """Return the readings of every whole month, then of every event day."""
    by_month: dict[str, list[dt.date]] = {}
    for day in coming:
        by_month.setdefault(f"{day:%Y-%m}", []).append(day)
    windows = {m: days for m, days in by_month.items() if len(days) == _month_length(days[0])}
    windows.update({e.name: [d] for d in coming for e in events.on(d)})
    found = []
    for name, days in windows.items():
        alike = [events.counterpart(day) for day in days]
        same = _year_before(days)
        readings = [
            _ratio(coming, days, level, days),
            _ratio(coming, days, past, alike),
            _ratio(coming, days, past, same),
        ]
        if not np.isnan(readings).any():
            moved_in, moved_out = _moved(name, events) if name in by_month else ("", "")
            found.append(
                {"window": name, "comparable_yoy_x": readings[0], "over_actual_x": readings[1],
                 "calendar_yoy_x": readings[2], "moved_in": moved_in, "moved_out": moved_out}
            )  # fmt: skip
    return found


def _month_length(day: dt.date) -> int:
    following = (day.replace(day=28) + dt.timedelta(days=4)).replace(day=1)
    return (following - day.replace(day=1)).days


def _year_before(days: list[dt.date]) -> list[dt.date]:
    """Return the same dates of last year; a leap day has none."""
    leap = dt.date(2024, 2, 29)
    return [
        day.replace(year=day.year - 1)
        for day in days
        if (day.month, day.day) != (leap.month, leap.day)
    ]


def _ratio(
    coming: dict[dt.date, float],
    days: list[dt.date],
    past: dict[dt.date, float],
    before: list[dt.date],
) -> float:
    if not before or any(day not in past for day in before):
        return float("nan")
    was = float(np.mean([past[d] for d in before]))
    # A service that is mostly silent may have had no demand then: no ratio.
    return float(np.mean([coming[d] for d in days])) / was if was > 0 else float("nan")


def _moved(month: str, events: Events) -> tuple[str, str]:
    """Return the spans that touch a month this year only, and those that did last year only."""
    year, number = (int(part) for part in month.split("-"))
    now = _names_in(events, year, number)
    before = _names_in(events, year - 1, number)
    return ", ".join(n for n in now if n not in before), ", ".join(
        n for n in before if n not in now
    )


def _names_in(events: Events, year: int, month: int) -> list[str]:
    inside = [d.span for d in events.days if (d.date.year, d.date.month) == (year, month)]
    return list(dict.fromkeys(inside))


def calendar_sentences(frame: pd.DataFrame, *, scenario: str) -> list[str]:
    """Return a sentence for each month whose calendar reading misleads, for one scenario.

    Only events that moved across a month's border explain such a gap, so only months with one are
    remarked upon.
    """
    sentences = []
    for row in frame[frame["scenario"] == scenario].to_dict("records"):
        moved = [*_words(row["moved_in"], is_new=True), *_words(row["moved_out"], is_new=False)]
        apart = abs(row["calendar_yoy_x"] / row["comparable_yoy_x"] - 1) > APART
        if moved and apart:
            sentences.append(
                f"{row['driver']} in {row['window']} reads {row['calendar_yoy_x'] - 1:+.0%} on the "
                f"same month of last year but {row['comparable_yoy_x'] - 1:+.0%} on comparable "
                f"days: {'; '.join(moved)}."
            )
    return sentences


def _words(names: str, *, is_new: bool) -> list[str]:
    """Return in words which events a month has gained or lost, nothing where there are none."""
    if not names:
        return []
    listed, several = ", ".join(map(humanize, names.split(", "))), ", " in names
    if is_new:
        return [f"{listed} {'fall' if several else 'falls'} in it this year and did not last year"]
    return [f"{listed} fell in it last year and {'do' if several else 'does'} not this year"]
