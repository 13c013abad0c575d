"""The tables that a demand fit prints: lifts, growth, summary, explanation.

This module answers: how are fitted numbers put side by side for a reader? It fits nothing.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from capmodel.demand.cohort import Cohort
from capmodel.demand.design import HOURS, event_names_on, predict, public_weekday
from capmodel.demand.scale import restore

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pandas as pd

    from capmodel.demand.fit import DemandFit

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
    "peak_hour_lift_x",
    "basis",
    "donors",
)
UPPER: Final = 0.9
MOST_DONORS: Final = 8
"""Donors named before the rest are counted."""


def lifts_table(fit: DemandFit) -> pd.DataFrame:
    """Return one row per service and event with evidence; see :meth:`DemandFit.lifts`."""
    import pandas as pd  # noqa: PLC0415  kept out of import time

    last = {name: i for i, name in enumerate(event_names_on(fit.events, fit.dates)) if name}
    order = sorted(last)
    dates = fit.dates[[last[name] for name in order]]
    public = public_weekday(fit.events, dates) if len(dates) else np.zeros(0, dtype=bool)
    rows: list[dict[str, Any]] = []
    for cohort in fit.cohorts if order else ():
        quiet = cohort.quiet_log(cohort.design.rows(dates))
        shared = cohort.public_hours()
        for s, service in enumerate(cohort.services):
            for e, event in enumerate(order):
                effect = fit.effect(service, event)
                if effect is None:
                    continue
                hours = effect.hours + (shared[:, s] if public[e] else 0.0)
                mean = float(cohort.scale.mean[s])
                without = restore(quiet[e, :, s], mean)
                with_event = restore(quiet[e, :, s] + hours, mean)
                lift = float(with_event.sum() / without.sum())
                peak = int(with_event.argmax())
                spread = _t_width(effect.shock_df) * float(
                    np.hypot(effect.shock_sd, effect.coefficient_sd)
                )
                rows.append(
                    {
                        "service": service,
                        "event": event,
                        "n_events": effect.n_events,
                        "lift_x": lift,
                        "lift_p10": lift * np.exp(-spread),
                        "lift_p90": lift * np.exp(spread),
                        "peak_hour_lift_x": float(with_event[peak] / without[peak]),
                        "basis": effect.basis,
                        "donors": _listed(effect.donors),
                    }
                )
    frame = pd.DataFrame(rows, columns=list(LIFT_COLUMNS))
    return frame.sort_values(["service", "event"], ignore_index=True)


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
        cohort, column = fit.locate(service)
        day_mean = np.full(len(fit.dates), np.nan)
        day_mean[cohort.first :] = cohort.day_mean[:, column]
        measured = {name: _typical_ratio(day_mean, *pair) for name, pair in pairs.items()}
        fitted = _fitted_growth(fit, cohort, column)
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
    same = np.array(event_names_on(fit.events, days)) == np.array(
        event_names_on(fit.events, before)
    )
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


def _fitted_growth(fit: DemandFit, cohort: Cohort, column: int) -> float:
    """Return the fitted level of the last 28 days over that of a year (365 days) earlier."""
    design = cohort.design
    days = fit.dates[-RUN_RATE_DAYS:]
    if days[0] - 365 < design.origin:
        return np.nan
    now = cohort.level_log(design.rows(days))[:, column]
    before = cohort.level_log(design.rows(days - 365))[:, column]
    return float(np.exp((now - before).mean()))


def summary_table(fit: DemandFit) -> pd.DataFrame:
    """Return one row per service; see :meth:`DemandFit.summary`."""
    import pandas as pd  # noqa: PLC0415  kept out of import time

    rows = []
    for i, service in enumerate(fit.services):
        cohort, column = fit.locate(service)
        errors = cohort.errors
        rows.append(
            {
                "service": service,
                "quantity": fit.quantities[i],
                "first_day": str(fit.dates[fit.first_day[i]]),
                "last_day": str(fit.dates[-1]),
                "basis": "borrowed" if cohort.is_borrowing else "fitted",
                "configuration": fit.configurations[int(cohort.weights[:, column].argmax())],
                "backtest_rms_log": float(cohort.backtest_rms[column]),
                "level_sd_log": float(errors.level_sd[column]),
                "drift_sd_log_90d": float(errors.drift_sd[column]),
                "noise_inflation_x": float(errors.inflation[column]),
            }
        )
    return pd.DataFrame(rows)


def explain_table(fit: DemandFit, service: str) -> pd.DataFrame:
    """Return item, value, unit; see :meth:`DemandFit.explain`."""
    import pandas as pd  # noqa: PLC0415  kept out of import time

    cohort, column = fit.locate(service)
    rows: list[tuple[str, float, str]] = [
        (
            "mean demand",
            float(cohort.scale.mean[column]),
            fit.quantities[fit.services.index(service)],
        ),
        ("days in the window", float(cohort.design.n_days), "days"),
        ("columns of the design", float(cohort.design.p), "columns"),
    ]
    rows += [
        (f"weight of {name}", float(weight), "ratio")
        for name, weight in zip(fit.configurations, cohort.weights[:, column], strict=True)
    ]
    rows += [
        (f"spread of {name}", float(value), "log") for name, value in _block_spreads(cohort, column)
    ]
    return pd.DataFrame(rows, columns=["item", "value", "unit"])


def _block_spreads(cohort: Cohort, column: int) -> Iterable[tuple[str, float]]:
    """Yield the log standard deviation that each block contributes over the window."""
    design = cohort.design
    rows = design.rows(design.origin + np.arange(design.n_days))
    for block in design.blocks:
        beta = np.where(design.mask(block.name), cohort.beta[:, column], 0.0)[:, None]
        part = predict(design, rows, beta).reshape(-1, HOURS)
        yield block.name, float(part.std() * cohort.scale.sd[column])
