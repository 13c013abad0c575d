"""The tables that a demand fit prints: lifts, growth, summary, explanation.

This module answers: how are fitted numbers put side by side for a reader? It fits nothing.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from capmodel.demand.cohort import Cohort
from capmodel.demand.counts import CountCohort
from capmodel.demand.design import HOURS, predict
from capmodel.demand.effects import EventEffect
from capmodel.demand.event_columns import events_on
from capmodel.demand.outlook import Days, level_log, medians_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pandas as pd

    from capmodel.demand.fit import DemandFit
    from capmodel.events import EventDay

__all__ = ["explain_table", "growth_table", "lifts_table", "summary_table"]

RUN_RATE_DAYS: Final = 28
FEWEST_PAIRS: Final = 7
"""Fewer comparable days than this give no growth [days]."""
TRIM: Final = 0.2
"""Share of days cut off at either end of the ratios [ratio]."""
LIFT_COLUMNS: Final = (
    "service",
    "event",
    "n_events",
    "lift_x",
    "lift_p10",
    "lift_p90",
    "window_lift_x",
    "peak_hour_lift_x",
    "left_out_error",
    "basis",
    "donors",
)
UPPER: Final = 0.9
MOST_DONORS: Final = 8
"""Donors named before the rest are counted."""


def lifts_table(fit: DemandFit) -> pd.DataFrame:
    """Return one row per service and event with evidence; see :meth:`DemandFit.lifts`."""
    import pandas as pd  # noqa: PLC0415  kept out of import time

    last = {event.name: event for acting in events_on(fit.events, fit.dates) for event in acting}
    order = [last[name] for name in sorted(last)]
    dates = np.array([event.date for event in order], dtype="datetime64[D]")
    rows: list[dict[str, Any]] = []
    for part in fit.parts if order else ():
        medians = medians_of(part, Days.of(fit, dates))
        for s, service in enumerate(part.services):
            effects = [fit.effect(service, event.name) for event in order]
            hours = np.array(
                [
                    np.zeros(HOURS) if e is None else e.hours(event.start_hour, event.end_hour)
                    for e, event in zip(effects, order, strict=True)
                ]
            )
            # What public holidays share is a part of theirs, not of a window's on such a day.
            without = medians.quiet(s), medians.with_events(s, np.zeros_like(hours))
            with_events = medians.with_events(s, hours)
            rows += [
                _lift_row(service, event, effect, with_events[e], without[event.is_windowed][e])
                for e, (event, effect) in enumerate(zip(order, effects, strict=True))
                if effect is not None
            ]
    frame = pd.DataFrame(rows, columns=list(LIFT_COLUMNS))
    return frame.sort_values(["service", "event"], ignore_index=True)


def _lift_row(
    service: str, event: EventDay, effect: EventEffect, with_event: np.ndarray, without: np.ndarray
) -> dict[str, Any]:
    """Return one row of lifts from an event day's hours with and without the event, (24,) each."""
    covered = slice(event.start_hour, event.end_hour)
    inside, total = float(with_event[covered].sum()), float(without.sum())
    outside = float(with_event.sum()) - inside if event.is_windowed else 0.0
    peak = int(with_event.argmax())
    spread = _t_width(effect.shock_df) * float(np.hypot(effect.shock_sd, effect.coefficient_sd))
    return {
        "service": service,
        "event": event.name,
        "n_events": effect.n_events,
        "lift_x": (outside + inside) / total,
        "lift_p10": (outside + inside * np.exp(-spread)) / total,
        "lift_p90": (outside + inside * np.exp(spread)) / total,
        "window_lift_x": inside / float(without[covered].sum()),
        "peak_hour_lift_x": float(with_event[peak] / without[peak]),
        "left_out_error": float(np.expm1(effect.left_out_error)),
        "basis": effect.basis,
        "donors": _listed(effect.donors),
    }


def _listed(names: tuple[str, ...]) -> str:
    """Return names with commas, a long list cut short with its count."""
    more = len(names) - MOST_DONORS
    return ", ".join(names[:MOST_DONORS]) + (f" and {more} more" if more > 0 else "")


def _t_width(df: float) -> float:
    from scipy.special import stdtrit  # noqa: PLC0415  the package loads faster without it

    return float(stdtrit(df, UPPER))


def growth_table(fit: DemandFit, coming: np.ndarray) -> pd.DataFrame:
    """Return one row per service; see :meth:`DemandFit.growth`."""
    import pandas as pd  # noqa: PLC0415  kept out of import time

    season = np.array(
        [fit.events.counterpart(day) for day in coming.astype(dt.date)], dtype="datetime64[D]"
    )
    # The last local day is seldom whole.
    recent = fit.dates[-RUN_RATE_DAYS - 1 : -1]
    pairs = {"last_season_yoy_x": _pairs(fit, season), "run_rate_yoy_x": _pairs(fit, recent)}
    rows = []
    for service in fit.services:
        part, column = fit.locate(service)
        day_mean = np.full(len(fit.dates), np.nan)
        day_mean[part.first :] = part.day_mean[:, column]
        ratio = _ratio_of_sums if isinstance(part, CountCohort) else _typical_ratio
        measured = {name: ratio(day_mean, *pair) for name, pair in pairs.items()}
        fitted = _fitted_growth(fit, part, column)
        rows.append({"service": service, **measured, "fitted_yoy_x": fitted})
    columns = ["service", "last_season_yoy_x", "run_rate_yoy_x", "fitted_yoy_x"]
    return pd.DataFrame(rows, columns=columns)


def _pairs(fit: DemandFit, days: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return positions of comparable days and of their counterparts, both inside the history.

    A pair compares an event with the same event, or two ordinary days of the same weekday.
    """
    days = np.unique(days[(days >= fit.dates[0]) & (days <= fit.dates[-1])])
    before = np.array(
        [fit.events.counterpart(day) for day in days.astype(dt.date)], dtype="datetime64[D]"
    )
    kept = before >= fit.dates[0]
    days, before = days[kept], before[kept]
    if not len(days):
        return np.zeros(0, dtype=int), np.zeros(0, dtype=int)
    now, then = (
        [[event.name for event in acting] for acting in events_on(fit.events, some)]
        for some in (days, before)
    )
    same = np.array([one == other for one, other in zip(now, then, strict=True)])
    weekday = (days - before).astype(int) % 7 == 0
    kept = same & weekday
    return (days[kept] - fit.dates[0]).astype(int), (before[kept] - fit.dates[0]).astype(int)


def _typical_ratio(day_mean: np.ndarray, now: np.ndarray, before: np.ndarray) -> float:
    with np.errstate(divide="ignore", invalid="ignore"):
        log_ratio = np.log(day_mean[now] / day_mean[before])
    log_ratio = np.sort(log_ratio[np.isfinite(log_ratio)])
    if len(log_ratio) < FEWEST_PAIRS:
        return np.nan
    # A trimmed mean resists odd days as a median does, at half the noise on ordinary ones.
    cut = int(TRIM * len(log_ratio))
    return float(np.exp(log_ratio[cut : len(log_ratio) - cut].mean()))


def _ratio_of_sums(day_mean: np.ndarray, now: np.ndarray, before: np.ndarray) -> float:
    """Return the ratio of totals over days known in both years: single days may be empty."""
    known = ~np.isnan(day_mean[now]) & ~np.isnan(day_mean[before])
    total = float(day_mean[before][known].sum())
    if known.sum() < FEWEST_PAIRS or total == 0:
        return np.nan
    return float(day_mean[now][known].sum()) / total


def _fitted_growth(fit: DemandFit, part: Cohort | CountCohort, column: int) -> float:
    """Return the fitted level of the last 28 days over that of a year (365 days) earlier."""
    days = fit.dates[-RUN_RATE_DAYS:]
    if days[0] - 365 < fit.dates[part.first]:
        return np.nan
    now, before = (level_log(part, d)[:, column] for d in (days, days - 365))
    return float(np.exp((now - before).mean()))


def summary_table(fit: DemandFit) -> pd.DataFrame:
    """Return one row per service; see :meth:`DemandFit.summary`."""
    import pandas as pd  # noqa: PLC0415  kept out of import time

    rows = []
    for i, service in enumerate(fit.services):
        part, column = fit.locate(service)
        rows.append(
            {
                "service": service,
                "quantity": fit.quantities[i],
                "first_day": str(fit.dates[fit.first_day[i]]),
                "last_day": str(fit.dates[-1]),
                "basis": "borrowed" if part.is_borrowing else "fitted",
                **_summary_of(fit, part, column),
            }
        )
    return pd.DataFrame(rows)


def _summary_of(fit: DemandFit, part: Cohort | CountCohort, column: int) -> dict[str, Any]:
    """Return how a service was fitted, and how wrong that may be."""
    if isinstance(part, CountCohort):
        counted = part.models[column].errors
        return {
            "configuration": "counts",
            "backtest_rms_log": counted.backtest_rms,
            "level_sd_log": counted.level_sd,
            "drift_sd_log_90d": counted.drift_sd,
            "noise_inflation_x": 1.0,
        }
    errors = part.errors
    return {
        "configuration": fit.configurations[int(part.weights[:, column].argmax())],
        "backtest_rms_log": float(part.backtest_rms[column]),
        "level_sd_log": float(errors.level_sd[column]),
        "drift_sd_log_90d": float(errors.drift_sd[column]),
        "noise_inflation_x": float(errors.inflation[column]),
    }


def explain_table(fit: DemandFit, service: str) -> pd.DataFrame:
    """Return item, value, unit; see :meth:`DemandFit.explain`."""
    import pandas as pd  # noqa: PLC0415  kept out of import time

    part, column = fit.locate(service)
    quantity = fit.quantities[fit.services.index(service)]
    rows = (
        _explain_counted(part, column, quantity)
        if isinstance(part, CountCohort)
        else _explain_logs(fit, part, column, quantity)
    )
    return pd.DataFrame(rows, columns=["item", "value", "unit"])


def _explain_logs(
    fit: DemandFit, cohort: Cohort, column: int, quantity: str
) -> list[tuple[str, float, str]]:
    rows: list[tuple[str, float, str]] = [
        ("mean demand", float(cohort.scale.mean[column]), quantity),
        ("days in the window", float(cohort.design.n_days), "days"),
        ("columns of the design", float(cohort.design.p), "columns"),
    ]
    rows += [
        (f"weight of {name}", float(weight), "ratio")
        for name, weight in zip(fit.configurations, cohort.weights[:, column], strict=True)
    ]
    return rows + [
        (f"spread of {name}", float(value), "log") for name, value in _block_spreads(cohort, column)
    ]


def _explain_counted(
    cohort: CountCohort, column: int, quantity: str
) -> list[tuple[str, float, str]]:
    model = cohort.models[column]
    clumping = model.clumping
    return [
        ("level today", model.today, quantity),
        ("half-life of the level", float(model.half_life), "weeks"),
        ("independent arrivals behind the level", model.counted, "arrivals"),
        ("busiest hour of the week over the level", float(model.profile.max()), "ratio"),
        ("one event", clumping.event, quantity),
        ("size of an arrival", clumping.size, quantity),
        ("variation of sizes", clumping.size_variance, "ratio^2"),
        ("luck of an hour", clumping.hour, "ratio^2"),
        ("luck of a day", clumping.day, "ratio^2"),
        ("luck of a week", clumping.week, "ratio^2"),
        ("silent days", clumping.silent, "ratio"),
    ]


def _block_spreads(cohort: Cohort, column: int) -> Iterable[tuple[str, float]]:
    """Yield the log standard deviation that each block contributes over the window."""
    design = cohort.design
    rows = design.rows(design.origin + np.arange(design.n_days))
    for name in dict.fromkeys(block.name for block in design.blocks):
        beta = np.where(design.mask(name), cohort.beta[:, column], 0.0)[:, None]
        part = predict(design, rows, beta).reshape(-1, HOURS)
        yield name, float(part.std() * cohort.scale.sd[column])
