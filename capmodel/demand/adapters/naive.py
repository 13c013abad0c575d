"""Plain rules: the value a period ago, and last year's day, aligned by its events.

This module answers: what would the coming hours be if they only repeated what was? These are the
benchmarks that a model has to beat, and all services are handled as one array. Paths are the rule
times its own past errors, as whole weeks, the same weeks for every service.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Final, Literal, Protocol

import numpy as np
from pydantic import Field

from capmodel.demand.adapters.base import Adapter, Fitted, refusal
from capmodel.demand.adapters.series import (
    carried,
    fill_gaps,
    gap_finding,
    never_observed,
    unseen_events,
)
from capmodel.demand.paths import draw_weeks
from capmodel.demand.scale import LOG_OFFSET
from capmodel.demand.uncertainty import fill_weeks
from capmodel.schema import Finding

if TYPE_CHECKING:
    from capmodel.demand.panel import Panel
    from capmodel.events import Events

__all__ = ["LastYearAligned", "SeasonalNaive"]

HOURS: Final = 24
WEEK: Final = 7
YEAR: Final = 364
"""52 weeks: a year later on the same weekday [days]."""
FARTHEST: Final = 428
"""Days that the last occurrence of an event may lie back and count as last season's [days]."""
RECENT_DAYS: Final = 728
"""Past days whose errors may be drawn for future ones: two years of whole weeks [days]."""
ENOUGH_DAYS: Final = 28
"""Days of errors below which a shorter lead's errors are taken instead [days]."""
CENTERED_WEEKS: Final = 8
"""Weeks of errors from which on each hour of the week is centred on its own median."""
LEVEL_DAYS: Final = 28
"""Days that say where the level stands [days]."""
LEVEL_HOURS: Final = 14 * HOURS
"""Hours of them that must be known, and known a year before [h]."""


class _Rule(Protocol):
    """A rule that forecasts from the past of a service, and what it missed before."""

    @property
    def same_weekday(self) -> bool:
        """Whether a day is forecast from days of its own weekday."""

    def point(self, column: int, dates: np.ndarray) -> np.ndarray:
        """Return the forecast of local days, shape (n, 24) [the service's quantity]."""

    def leads(self, column: int, dates: np.ndarray) -> np.ndarray:
        """Return which lead's errors each local day has, shape (n,)."""

    def errors(self, column: int, lead: int) -> np.ndarray:
        """Return the past log errors at a lead, NaN where there are none, shape (N, 24)."""


@dataclass(frozen=True, slots=True, eq=False)
class _Past:
    """The history of all services, without gaps."""

    services: tuple[str, ...]
    dates: np.ndarray
    first_day: np.ndarray
    mean: np.ndarray
    """Mean demand, shape (S,) [the service's quantity]."""
    filled: np.ndarray
    """Shape (S, N, 24) [the service's quantity]."""
    known: np.ndarray
    """Whether it was observed, shape (S, N, 24) bool."""

    def log(self, values: np.ndarray, column: int) -> np.ndarray:
        """Return ``log(values / mean + 0.01)`` of one service."""
        return np.asarray(np.log(values / self.mean[column] + LOG_OFFSET))

    def ahead(self, dates: np.ndarray) -> np.ndarray:
        """Return how many days after the history's last one some days are."""
        return np.asarray((dates - self.dates[-1]).astype(int))


@dataclass(frozen=True, slots=True, eq=False)
class _Bootstrapped:
    """A rule's forecast times its own past errors, a whole week at a time (Künsch 1989)."""

    past: _Past
    rule: _Rule

    def draw(self, service: str, dates: np.ndarray, *, seed: int, draws: int) -> np.ndarray:
        """Draw paths; see :class:`capmodel.demand.adapters.base.Futures`."""
        column = self.past.services.index(service)
        recent = self.past.dates[-RECENT_DAYS:]
        source = draw_weeks(dates, recent, draws=draws, seed=seed)
        leads = self.rule.leads(column, dates)
        paths = np.empty((draws, len(dates), HOURS))
        for lead in np.unique(leads).tolist():
            errors = self.rule.errors(column, lead)[-len(recent) :]
            errors = _centered(errors, same_weekday=self.rule.same_weekday)
            paths[:, leads == lead] = np.exp(errors)[source[:, leads == lead]]
        mean = self.past.mean[column]
        paths *= self.rule.point(column, dates) / mean + LOG_OFFSET
        paths -= LOG_OFFSET
        np.maximum(paths, 0.0, out=paths)
        paths *= mean
        return paths


def _centered(errors: np.ndarray, *, same_weekday: bool) -> np.ndarray:
    """Return errors for every day, so that the paths' median is the rule's forecast, (R, 24).

    Centred on the median of each hour of the week; where there are few weeks, on that of each
    weekday, or on the overall one if weekdays cannot differ. Days without errors repeat others of
    their weekday.
    """
    days = np.flatnonzero((~np.isnan(errors)).any(axis=1))
    out = errors.copy()
    if len(days) >= CENTERED_WEEKS * WEEK:
        for weekday in range(WEEK):
            seen = ~np.isnan(errors[weekday::WEEK]).all(axis=0)
            out[weekday::WEEK, seen] -= np.nanmedian(errors[weekday::WEEK, seen], axis=0)
    elif same_weekday:
        out -= np.nanmedian(errors)
    else:
        for weekday in set((days % WEEK).tolist()):
            out[weekday::WEEK] -= np.nanmedian(errors[weekday::WEEK])
    return fill_weeks(out, first_day=int(days[0]))


def _prepared(
    panel: Panel, values: np.ndarray, *, model: str, reached: np.ndarray, least_days: int
) -> tuple[_Past, list[Finding], list[Finding]]:
    """Fill what the rule left open; return the past, the refused services and the filled ones.

    Parameters
    ----------
    panel
        The services.
    values
        Their demand as far as the rule itself fills gaps, shape (N, 24, S).
    model
        Name of the adapter.
    reached
        Hours that exist and that the history reaches, shape (N, 24) bool.
    least_days
        Days from a service's first one to the history's last that the rule needs.
    """
    n = len(panel.dates)
    never = never_observed(panel.values)
    refused, notes = [], []
    for i, service in enumerate(panel.services):
        days = int(n - panel.first_day[i])
        if days < least_days:
            reason = f"{days} days of history, {least_days} are needed"
            refused.append(refusal("too_short", service, model=model, reason=reason))
        elif never[i]:
            reason = f"{never[i]} hours of the week were never observed"
            refused.append(refusal("hours_missing", service, model=model, reason=reason))
        else:
            own = np.isnan(panel.values[:, :, i]).ravel()
            since = slice(int((~own).argmax()), None)
            hours = reached.ravel()[since]
            how = "each holds the hour a whole number of periods or weeks before, else after it"
            notes += gap_finding(
                service, gaps=int((own[since] & hours).sum()), hours=int(hours.sum()), how=how
            )
    # Each service's hours side by side: a sum is then the same whoever else is in the fleet.
    observed = np.ascontiguousarray(np.moveaxis(panel.values, 2, 0), dtype=float)
    past = _Past(
        services=panel.services,
        dates=panel.dates,
        first_day=panel.first_day,
        mean=np.array([np.nanmean(one) for one in observed]),
        filled=np.ascontiguousarray(np.moveaxis(fill_gaps(values), 2, 0), dtype=float),
        known=~np.isnan(observed),
    )
    return past, refused, notes


def _without_errors(
    past: _Past, compared: np.ndarray, *, model: str, refused: list[Finding]
) -> list[Finding]:
    """Refuse those services that no past forecast of the rule can be judged on.

    Parameters
    ----------
    compared
        Whether a service has an hour that the rule would have forecast, shape (S,) bool.
    """
    done = {finding.service for finding in refused}
    reason = "no hour was observed both now and a period before"
    return [
        refusal("no_errors", service, model=model, reason=reason)
        for service, can in zip(past.services, compared, strict=True)
        if not can and service not in done
    ]


class SeasonalNaive(Adapter):
    """Each hour is what it was a whole number of periods ago, at the history's end.

    ``y(T + h) = y(T + h - k m)`` with period m and k the smallest number that reaches back into the
    history (Hyndman & Athanasopoulos 2021, section 5.2). A gap holds the value of one more period
    ago. Path errors are the rule's own log errors k periods ahead, centred, drawn as whole weeks,
    the same for all services; where fewer than 28 days of such errors exist, those of fewer periods
    times ``sqrt(k / periods)`` (their section 5.5).

    References
    ----------
    Hyndman, R. J., & Athanasopoulos, G. (2021). Forecasting: principles and practice, 3rd ed.
    OTexts.
    Künsch, H. R. (1989). The jackknife and the bootstrap for general stationary observations.
    Annals of Statistics 17(3), 1217-1241.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> from capmodel.history import History
    >>> time = pd.date_range("2026-01-01", periods=42 * 24, freq="h", tz="UTC")
    >>> busy = 100.0 + 50 * (time.day_of_week < 5)
    >>> df = pd.DataFrame({"service": "api", "time": time, "rps": busy})
    >>> fit = SeasonalNaive(period_hours=168).fit(History.from_frame(df, business_tz="UTC"))
    >>> median = fit.forecast("2026-02-12", "2026-02-16", draws=100).quantile(0.5)["api"]
    >>> median.groupby(median.index.day).mean().round(6).tolist()
    [150.0, 150.0, 100.0, 100.0]
    """

    period_hours: Literal[24, 168, 8736] = 168
    """The period: a day, a week, or 52 weeks (364 days) [h]."""

    def _fit_panel(self, panel: Panel, *, events: Events, reached: np.ndarray) -> Fitted:
        days = self.period_hours // HOURS
        past, refused, notes = _prepared(
            panel,
            carried(np.asarray(panel.values, dtype=float), days),
            model="SeasonalNaive",
            reached=reached,
            least_days=days + WEEK,
        )
        compared = (past.known[:, days:] & past.known[:, :-days]).any(axis=(1, 2))
        refused += _without_errors(past, compared, model="SeasonalNaive", refused=refused)
        if len(events):
            text = "SeasonalNaive knows no events: it repeats its period whatever the calendar says"
            notes.append(Finding("events_unused", "info", "", text))
        futures = _Bootstrapped(past, _Repeat(past, days))
        return Fitted(futures, refused=tuple(refused), notes=tuple(notes))


@dataclass(frozen=True, slots=True, eq=False)
class _Repeat:
    """The rule of the seasonal naive; its lead is a number of periods."""

    past: _Past
    days: int
    """The period [days]."""

    @property
    def same_weekday(self) -> bool:
        """Whether the period is whole weeks."""
        return self.days % WEEK == 0

    def point(self, column: int, dates: np.ndarray) -> np.ndarray:
        """Return the values a whole number of periods ago."""
        back = self.leads(column, dates) * self.days
        rows = len(self.past.dates) - 1 + self.past.ahead(dates) - back
        return np.asarray(self.past.filled[column, rows])

    def leads(self, column: int, dates: np.ndarray) -> np.ndarray:  # noqa: ARG002  all the same
        """Return how many periods each day reaches back."""
        return np.asarray(np.maximum(-(-self.past.ahead(dates) // self.days), 1))

    def errors(self, column: int, lead: int) -> np.ndarray:
        """Return the log ratio of each hour to that of `lead` periods before."""
        own_days = len(self.past.dates) - int(self.past.first_day[column])
        known = self.past.known[column]
        log = np.where(known, self.past.log(self.past.filled[column], column), np.nan)
        longest = min(lead, max((own_days - ENOUGH_DAYS) // self.days, 1))
        for periods in range(longest, 0, -1):
            shift = periods * self.days
            out = np.full(log.shape, np.nan)
            out[shift:] = (log[shift:] - log[:-shift]) * np.sqrt(lead / periods)
            if _is_enough(out):
                break
        return out


def _is_enough(errors: np.ndarray) -> bool:
    return int((~np.isnan(errors)).any(axis=1).sum()) >= ENOUGH_DAYS


class LastYearAligned(Adapter):
    """Last season's day times how much the level has grown since, events on their own days.

    ``y(d) = y(c) * g ** (((T - c) + damping * (d - T)) / 364)`` with T the history's last day, c
    the day's counterpart of last season (:meth:`Events.counterpart`: the same event, else the same
    weekday 364 days earlier, and a season earlier again until it was observed), and g the ratio of
    the last 28 days to their counterparts, over hours known in both. The exponent is 1 for a day
    364 days after its counterpart without damping; growth up to T counts in full, growth after it
    as far as it is expected to go on. A day whose counterpart lies before the service's first day
    takes the same weekday 364 days earlier.

    Path errors are those that the rule would have made in the past at the same lead (in steps of
    28 days), centred, drawn as whole weeks, the same for all services. Gaps hold the same weekday
    and hour of a neighbouring week; a finding counts them.

    References
    ----------
    Hyndman, R. J., & Athanasopoulos, G. (2021). Forecasting: principles and practice, 3rd ed.,
    section 5.2 (seasonal naive). OTexts.
    Gardner, E. S., & McKenzie, E. (1985). Forecasting trends in time series. Management Science
    31(10), 1237-1246 (damping).

    Examples
    --------
    >>> LastYearAligned(damping=0.5).growth
    'ratio'
    """

    growth: Literal["none", "ratio"] = "ratio"
    """``ratio``: the level ratio above; ``none``: last season's values as they were."""
    damping: Annotated[float, Field(ge=0, le=1)] = 1.0
    """Share of the growth that goes on after the history: 1 all, 0 none [ratio]."""

    def _fit_panel(self, panel: Panel, *, events: Events, reached: np.ndarray) -> Fitted:
        least = YEAR + ENOUGH_DAYS + (LEVEL_DAYS if self.growth == "ratio" else 0)
        past, refused, notes = _prepared(
            panel, panel.values, model="LastYearAligned", reached=reached, least_days=least
        )
        counterpart = _counterparts(events, panel.dates)
        ratio = np.zeros((len(panel.services), len(panel.dates)))
        if self.growth == "ratio":
            ratio = _level_ratio(past, counterpart)
        both = past.known & past.known[:, np.maximum(counterpart, 0)]
        both &= (counterpart >= 0)[:, None] & ~np.isnan(ratio)[:, :, None]
        compared = both.any(axis=(1, 2))
        refused += _without_errors(past, compared, model="LastYearAligned", refused=refused)
        done = {finding.service for finding in refused}
        reason = f"the level of the last {LEVEL_DAYS} days and that of a year before are not known"
        refused += [
            refusal("level_unknown", service, model="LastYearAligned", reason=reason)
            for service, growth in zip(panel.services, ratio[:, -1], strict=True)
            if np.isnan(growth) and service not in done
        ]
        rule = _Aligned(past, events, counterpart, ratio=ratio, damping=self.damping)
        observed = np.asarray(past.known.any(axis=2)).T
        observed[:-FARTHEST] = False
        notes += unseen_events(
            events,
            panel.dates,
            observed,
            services=panel.services,
            instead="the day 364 days earlier",
        )
        return Fitted(_Bootstrapped(past, rule), refused=tuple(refused), notes=tuple(notes))


def _counterparts(events: Events, dates: np.ndarray) -> np.ndarray:
    """Return the position of each day's counterpart, negative before the first day, shape (N,)."""
    other = [events.counterpart(day) for day in dates.astype(dt.date)]
    return np.asarray((np.array(other, dtype="datetime64[D]") - dates[0]).astype(int))


def _level_ratio(past: _Past, counterpart: np.ndarray) -> np.ndarray:
    """Return the log ratio of the 28 days up to each day to their counterparts, shape (S, N).

    NaN where fewer than 14 days' hours are known in both, or one of the sums is not positive.
    """
    rows = np.maximum(counterpart, 0)
    both = past.known & past.known[:, rows] & (counterpart >= 0)[:, None]
    sums = np.stack(
        [
            np.where(both, past.filled, 0.0).sum(axis=2),
            np.where(both, past.filled[:, rows], 0.0).sum(axis=2),
            both.sum(axis=2).astype(float),
        ]
    )
    total = np.cumsum(sums, axis=2)
    total[:, :, LEVEL_DAYS:] -= total[:, :, :-LEVEL_DAYS].copy()
    now, before, hours = total
    usable = (hours >= LEVEL_HOURS) & (now > 0) & (before > 0)
    ratio = np.where(usable, now, 1.0) / np.where(usable, before, 1.0)
    return np.where(usable, np.log(ratio), np.nan)


@dataclass(frozen=True, slots=True, eq=False)
class _Aligned:
    """The rule of the aligned last year; its lead is a number of days."""

    past: _Past
    events: Events
    counterpart: np.ndarray
    """Position of each history day's counterpart, shape (N,); negative where there is none."""
    ratio: np.ndarray
    """Log level ratio as of each day, shape (S, N)."""
    damping: float

    @property
    def same_weekday(self) -> bool:
        """Whether ordinary days are forecast from their weekday: they are."""
        return True

    def point(self, column: int, dates: np.ndarray) -> np.ndarray:
        """Return the counterparts' values times the growth since."""
        last = len(self.past.dates) - 1
        day = last + self.past.ahead(dates)
        other = np.array([self._observed(date, column) for date in dates.astype(dt.date)])
        years = ((last - other) + self.damping * (day - last)) / YEAR
        factor = np.exp(self.ratio[column, -1] * years)
        return np.asarray(self.past.filled[column, other] * factor[:, None])

    def leads(self, column: int, dates: np.ndarray) -> np.ndarray:
        """Return the lead in steps of 28 days, as far as there are enough errors."""
        if not self.ratio.any():
            return np.zeros(len(dates), dtype=int)
        own_days = len(self.past.dates) - int(self.past.first_day[column])
        most = max(own_days - YEAR - LEVEL_DAYS - ENOUGH_DAYS, 0) // LEVEL_DAYS
        steps = -(-self.past.ahead(dates) // LEVEL_DAYS)
        return np.asarray(np.minimum(steps, most) * LEVEL_DAYS)

    def errors(self, column: int, lead: int) -> np.ndarray:
        """Return the log ratio of each hour to what the rule would have said `lead` days before."""
        past = self.past
        rows, known = np.maximum(self.counterpart, 0), past.known[column]
        seen = past.filled[column, rows]
        log = past.log(past.filled[column], column)
        both = known & known[rows] & (self.counterpart >= past.first_day[column])[:, None]
        for ahead in range(lead, -1, -LEVEL_DAYS):
            origin = np.arange(len(past.dates)) - ahead
            growth = np.where(origin >= 0, self.ratio[column, np.maximum(origin, 0)], np.nan)
            years = ((origin - rows) + self.damping * ahead) / YEAR
            said = past.log(seen * np.exp(growth * years)[:, None], column)
            out = np.where(both, log - said, np.nan)
            if _is_enough(out):
                break
        return out

    def _observed(self, date: dt.date, column: int) -> int:
        """Return the position of the latest counterpart inside the history."""
        first = self.past.dates[0].astype(dt.date)
        last = len(self.past.dates) - 1
        asked, position = (date - first).days, last + 1
        while position > last:
            date = self.events.counterpart(date)
            position = int((date - first).days)
        if position < self.past.first_day[column]:
            position = asked - YEAR * max(-((last - asked) // YEAR), 1)
        return position
