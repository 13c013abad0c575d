"""Services whose hours are mostly zero: events counted, not logarithms regressed.

This module answers: what may a service ask for that is silent in most hours? Its rate is today's
level times an hour-of-week profile times the ratio of an event day, each a gamma-Poisson estimate
that believes a number as far as events were counted (:mod:`.rates`); how events clump is
:mod:`.clumping`'s. There is no trend and no yearly season: a plan that knows of growth states it,
and last season's level is carried over. (The methods for intermittent stock, Croston's (1972) and
its kin, smooth the gaps between demands to one number for the next period; a peak months ahead
needs the week's profile, the event and the clumps.)

References
----------
Croston, J. D. (1972). Forecasting and stock control for intermittent demands. Operational Research
Quarterly 23(3), 289-303.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np

from capmodel.demand.clumping import Clumping, measure_clumping, one_event
from capmodel.demand.design import HOURS, event_names_on, public_weekday, weekdays
from capmodel.demand.event_columns import WHOLE_DAY, effect_hours, events_on
from capmodel.demand.groups import KIN_AT
from capmodel.demand.lending import FLEET, ONE_DONOR_SD, Lender
from capmodel.demand.rates import HALF_EVENT, CountErrors, Past, Weeks, fit_profile, level_errors
from capmodel.demand.uncertainty import SEEN_SHARE, ErrorPrior
from capmodel.schema import Basis

if TYPE_CHECKING:
    from capmodel.demand.panel import Panel
    from capmodel.events import Events

__all__ = ["CountCohort", "CountModel", "CountedEvent", "fit_counts"]

ROUNDS: Final = 2


@dataclass(frozen=True, slots=True, eq=False)
class CountedEvent:
    """The ratio of an event's hours to ordinary ones, as a log effect."""

    terms: np.ndarray
    """Log effect by the event's terms (``event_hour_terms``), shape (b,)."""
    n: int
    """Own past occurrences."""
    sd: float
    """Log standard error."""
    donors: tuple[str, ...]
    """Whose evidence is in it."""
    basis: Basis
    always_busy: bool = False
    """Whether no occurrence was silent."""
    besides: np.ndarray | float = 0.0
    """Log effect of a public holiday by hour, which is in no term, shape (24,)."""

    def hours(self, start_hour: int, end_hour: int) -> np.ndarray:
        """Return the log effect by local hour of a day on which it covers these, shape (24,)."""
        return effect_hours(self.terms, start_hour, end_hour, besides=self.besides)


@dataclass(frozen=True, slots=True, eq=False)
class CountModel:
    """The fit of one sparse service."""

    level: np.ndarray
    """Smoothed mean demand of an hour, by day from its first one on, shape (n,) [its quantity]."""
    today: float
    """Level that the days ahead start from [its quantity]."""
    profile: np.ndarray
    """Rate of an hour of the week over the level, Monday first, mean 1, shape (7, 24)."""
    clumping: Clumping
    errors: CountErrors
    events: Mapping[str, CountedEvent]
    half_life: int
    """How fast today's level forgets [weeks]."""
    counted: float
    """Independent arrivals that would tell today's level as well as the history does."""

    def level_on(self, day: np.ndarray) -> np.ndarray:
        """Return the level some days after the first one, today's after the last, shape (N,)."""
        last = len(self.level) - 1
        return np.asarray(np.where(day > last, self.today, self.level[np.clip(day, 0, last)]))

    def silent_on(self, event: str) -> float:
        """Return the probability of a day without demand, given its event or ''."""
        found = self.events.get(event)
        return 0.0 if found is not None and found.always_busy else self.clumping.silent


@dataclass(frozen=True, slots=True, eq=False)
class CountCohort:
    """All services that are counted; a sibling of :class:`capmodel.demand.cohort.Cohort`."""

    services: tuple[str, ...]
    dates: np.ndarray
    """Local days of the history, shape (N,), datetime64[D]."""
    models: tuple[CountModel, ...]
    day_mean: np.ndarray
    """Mean demand of each day, gaps filled by the fit; NaN where mostly gap; shape (N, S)."""
    first: int = 0
    """First day of the window on the fleet's days."""
    is_borrowing: bool = False

    def rate(self, dates: np.ndarray, column: int) -> np.ndarray:
        """Return a service's expected demand without events on local days, shape (N, 24).

        Days before its first one have the level of that.
        """
        model = self.models[column]
        level = model.level_on(self._day(dates, column))
        return np.asarray(model.profile[weekdays(dates)] * level[:, None])

    def level_log(self, dates: np.ndarray) -> np.ndarray:
        """Return the log level on local days, shape (N, S); NaN before a service's first day."""
        out = np.empty((len(dates), len(self.models)))
        for column, model in enumerate(self.models):
            day = self._day(dates, column)
            out[:, column] = np.where(day < 0, np.nan, np.log(model.level_on(day)))
        return out

    def _day(self, dates: np.ndarray, column: int) -> np.ndarray:
        """Return how many days after a service's first one some days are, shape (N,)."""
        born = len(self.dates) - len(self.models[column].level)
        return np.asarray((dates - self.dates[0]).astype(int) - born)


def fit_counts(
    panel: Panel,
    columns: np.ndarray,
    *,
    events: Events,
    lender: Lender | None,
    prior: ErrorPrior,
) -> CountCohort:
    """Fit services by counting their events.

    Lower bounds count as observed; an event that holds any is based on them (`censored`).

    Parameters
    ----------
    panel, columns
        Demand, and the positions of the services to count.
    events
        The calendar, past and future.
    lender
        What the services fitted in logs know of events; None where there are none.
    prior
        Errors of level and trend, from the fleet.
    """
    names = np.array(event_names_on(events, panel.dates))
    known = _Known.of(lender, events, panel.dates)
    models = []
    day_mean = np.full((len(panel.dates), len(columns)), np.nan)
    for s, column in enumerate(columns.tolist()):
        first = int(panel.first_day[column])
        bounds = panel.censored_in(first, columns[s : s + 1])
        past = Past.of(
            panel.values[first:, :, column],
            panel.dates[first:],
            names[first:],
            censored=None if bounds is None else bounds[:, :, 0],
        )
        model = _fit_one(past, panel.services[column], known=known, prior=prior)
        day_mean[first:, s] = _day_mean(past, model)
        models.append(model)
    return CountCohort(
        services=tuple(panel.services[i] for i in columns),
        dates=panel.dates,
        models=tuple(models),
        day_mean=day_mean,
    )


def _fit_one(past: Past, service: str, *, known: _Known, prior: ErrorPrior) -> CountModel:
    """Fit one service: its week first, then its level, its clumps, and all again with these."""
    active = past.values[past.values > 0]
    event = one_event(active)
    least = float(active.min()) if event is None else event
    clumping = Clumping.assumed(least)
    total = float(past.values[past.ordinary].sum()) + HALF_EVENT * least
    level = np.full(len(past.week), total / int(past.ordinary.sum()))
    for _ in range(ROUNDS):
        hours = fit_profile(past, level, clumping)
        weeks = Weeks.of(past, hours.rate, clumping)
        smoothing = weeks.best_smoothing()
        level = weeks.smoothed(smoothing)[past.week]
        others = weeks.smoothed(smoothing, own=False)[past.week]
        expected, seen = hours.by_others(past, others), past.ordinary
        if not past.values[seen].any():  # it lives on event days alone: these tell how it clumps
            seen = past.known & np.asarray(past.values.any(axis=1))[:, None]
            expected = np.full(seen.shape, past.values[seen].mean())
        clumping = measure_clumping(past.values, expected, seen=seen, event=event)
    profile = hours.rate
    expected = profile[past.weekday] * level[:, None]
    weeks = Weeks.of(past, profile, clumping)
    half_life = weeks.best_half_life()
    errors, counted = level_errors(weeks, half_life, prior)
    return CountModel(
        level=level,
        today=float(weeks.past_level(half_life)[-1]),
        profile=profile,
        clumping=clumping,
        errors=errors,
        events=_events(past, expected, clumping, service=service, known=known),
        half_life=half_life,
        counted=counted,
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Known:
    """What the fleet knows of events."""

    lender: Lender | None
    names: tuple[str, ...]
    """Every event day of the calendar, past or future; those of some hours only last."""
    hours: Mapping[str, tuple[tuple[int, tuple[int, int]], ...]]
    """Event to its days before the end of the history, the last one -1, and its hours on each."""
    public: frozenset[str]
    """Those that are public holidays on a weekday."""

    @classmethod
    def of(cls, lender: Lender | None, events: Events, past: np.ndarray) -> _Known:
        dates = np.array([day.date for day in events.days], dtype="datetime64[D]")
        on = public_weekday(events, dates)
        hours: dict[str, list[tuple[int, tuple[int, int]]]] = {name: [] for name in events.names}
        for n, acting in enumerate(events_on(events, past), -len(past)):
            for event in acting:
                hours[event.name].append((n, (event.start_hour, event.end_hour)))
        windowed = {day.name for day in events.days if day.is_windowed}
        return cls(
            lender=lender,
            names=tuple(sorted(events.names, key=lambda name: (name in windowed, name))),
            hours={name: tuple(days) for name, days in hours.items()},
            public=frozenset(d.name for d, is_on in zip(events.days, on, strict=True) if is_on),
        )

    def event(self, service: str, name: str) -> CountedEvent | None:
        """Return what the fleet lends, None where nobody has seen the event.

        Donors are services of another kind: their spread is at least that of a single donor.
        """
        lent = self.lender.event(service, name) if self.lender is not None else None
        if lent is None or self.lender is None:
            return None
        besides: np.ndarray | float = 0.0
        if name in self.public:
            group = self.lender.groups.get(service, FLEET)
            blocks = self.lender.blocks
            besides = blocks.get(group, blocks[FLEET])["public_weekday"]
        return CountedEvent(
            lent.coefficients, n=0, sd=max(lent.sd, ONE_DONOR_SD), donors=lent.donors,
            basis="borrowed", besides=besides,
        )  # fmt: skip

    def seen(self, past: Past, name: str) -> list[tuple[int, tuple[int, int]]]:
        """Return the days on which a service saw most of an event, and its hours on each."""
        n = len(past.week)
        return [
            (n + back, hours)
            for back, hours in self.hours[name]
            if n + back >= 0 and past.known[n + back, slice(*hours)].mean() >= SEEN_SHARE
        ]


def _events(
    past: Past, expected: np.ndarray, clumping: Clumping, *, service: str, known: _Known
) -> dict[str, CountedEvent]:
    """Return the effect of every event that the service, or a donor, has seen.

    Events of whole days come first: they are judged by hours outside windows, and windows by how
    much more came than on such a day.
    """
    found = {}
    expected = expected.copy()
    windows = np.zeros(expected.shape, dtype=bool)
    for several in known.hours.values():
        for back, hours in several:
            if hours != WHOLE_DAY and len(windows) + back >= 0:
                windows[back, slice(*hours)] = True
    for name in known.names:
        lent = known.event(service, name)
        days = known.seen(past, name)
        if days:
            found[name] = _ratio(past, expected, clumping, windows=windows, days=days, lent=lent)
        elif lent is not None:
            found[name] = lent
        for day, hours in days:
            if hours == WHOLE_DAY:
                expected[day] *= np.exp(found[name].hours(*hours))
    return found


def _ratio(
    past: Past,
    expected: np.ndarray,
    clumping: Clumping,
    *,
    windows: np.ndarray,
    days: list[tuple[int, tuple[int, int]]],
    lent: CountedEvent | None,
) -> CountedEvent:
    """Return the posterior of an event's ratio to what was due without it.

    ``ratio = prior (p + k) / (p + m)``, the mean of a gamma posterior: k arrivals were seen and m
    were due under the prior, the donors' ratio or 1, which itself counts p arrivals. An arrival is
    worth ``mean / variance`` of a day's total, at the larger of both rates. Evidence three standard
    errors away from the prior drops it (the biweight of :mod:`.groups`): a peak that was seen is
    not smoothed away.
    """
    prior = CountedEvent(np.zeros(1), 0, 0.0, (), "fitted") if lent is None else lent
    rows = np.array([day for day, _ in days])
    covered = np.array([_covers(windows[day], hours) for day, hours in days]) & past.known[rows]
    due = np.where(covered, expected[rows], 0.0)
    due = due * np.exp([prior.hours(*hours) for _, hours in days])
    seen = np.where(covered, past.values[rows], 0.0).sum(axis=1)
    always_busy = bool((seen > 0).all())
    if always_busy:
        clumping = replace(clumping, silent=0.0)
    total = np.maximum(seen, np.minimum(HALF_EVENT * clumping.linear, due.sum(axis=1)))
    own = float(total.sum() / due.sum())
    level = due * max(own, 1.0)
    mean = level.sum(axis=1)
    worth = mean / clumping.variance(mean, (level**2).sum(axis=1), mean**2)
    k, exposure = float(total @ worth), float(due.sum(axis=1) @ worth)
    p = HALF_EVENT if lent is None else 1 / lent.sd**2
    p *= max(1 - (np.log(own) / KIN_AT) ** 2 * k, 0.0) ** 2
    terms = prior.terms.copy()
    terms[0] += np.log((p + k) / (p + exposure))
    return CountedEvent(
        terms=terms,
        besides=prior.besides,
        n=len(days),
        sd=float(1 / np.sqrt(p + k)),
        donors=lent.donors if lent is not None and p > 0 else (),
        basis="censored" if past.censored[rows].any() else "fitted",
        always_busy=always_busy,
    )


def _covers(windows: np.ndarray, hours: tuple[int, int]) -> np.ndarray:
    """Return which hours of a day tell an event's effect, shape (24,) bool.

    A whole-day event's are those outside windows, where there are any.
    """
    if hours == WHOLE_DAY and not windows.all():
        return ~windows
    out = np.zeros(HOURS, dtype=bool)
    out[slice(*hours)] = True
    return out


def _day_mean(past: Past, model: CountModel) -> np.ndarray:
    """Return each day's mean demand, gaps filled by the rate; NaN where most is gap; (N,)."""
    rate = model.profile[past.weekday] * model.level[:, None]
    mean = np.where(past.known, past.values, rate).mean(axis=1)
    mean[past.known.mean(axis=1) < SEEN_SHARE] = np.nan
    return np.asarray(mean)
