"""Services whose hours are mostly zero: events counted, not logarithms regressed.

This module answers: what may a service ask for that is silent in most hours? Its rate is today's
level times an hour-of-week profile times the ratio of an event day, each a gamma-Poisson estimate
that believes a number as far as events were counted; how events clump is :mod:`.clumping`'s. There
is no trend: a plan that knows of growth assumes it. (The methods for intermittent stock demand,
Croston's and its kin, smooth the gaps between demands to one number for the next period; a peak
months ahead needs the week's profile, the event and the clumps.)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np

from capmodel.demand.clumping import Clumping, measure_clumping, one_event, sums
from capmodel.demand.design import HOURS, event_names_on, public_weekday, weekdays
from capmodel.demand.groups import KIN_AT
from capmodel.demand.lending import FLEET, ONE_DONOR_SD, Lender
from capmodel.demand.uncertainty import DRIFT_DAYS, PRIOR_DF, SEEN_HOURS, ErrorPrior

if TYPE_CHECKING:
    from capmodel.demand.panel import Panel
    from capmodel.events import Events

__all__ = ["CountCohort", "CountErrors", "CountedEvent", "fit_counts"]

HALF_LIVES: Final = (4, 8, 16, 32, 64)
"""How fast the level may forget; the next quarter decides [weeks]."""
USUAL_HALF_LIFE: Final = 16
"""Half-life of histories too short to choose [weeks]."""
WARM_UP: Final = 26
"""History before the first backtest of the level [weeks]."""
QUARTER: Final = 13
"""Length of a backtest [weeks]."""
HALF_EVENT: Final = 0.5
"""Prior worth of an event's ratio that nobody else has seen [events]; `assumed`."""
RULE_OF_THREE: Final = 3.0
"""An hour of the week silent in n weeks is busy with a probability below 3 / n (95 %)."""
WEEK: Final = 7
ROUNDS: Final = 2


@dataclass(frozen=True, slots=True, eq=False)
class CountedEvent:
    """The ratio of an event day to an ordinary one, as a log effect."""

    hours: np.ndarray
    """Log effect by hour, shape (24,)."""
    n: int
    """Own past occurrences."""
    sd: float
    """Log standard error."""
    donors: tuple[str, ...]
    """Whose evidence is in it."""


@dataclass(frozen=True, slots=True)
class CountErrors:
    """Log errors beyond the history, of one service."""

    level_sd: float
    level_df: float
    drift_sd: float
    """After 90 days; grows with the square root of the time."""
    drift_df: float
    backtest_rms: float
    """Root mean squared log error of a quarter's total; NaN where history is too short."""


@dataclass(frozen=True, slots=True, eq=False)
class CountModel:
    """The fit of one sparse service."""

    level: np.ndarray
    """Smoothed mean demand of an hour, by day of the history, shape (N,) [its quantity]."""
    profile: np.ndarray
    """Rate of an hour of the week over the level, Monday first, mean 1, shape (7, 24)."""
    clumping: Clumping
    errors: CountErrors
    events: Mapping[str, CountedEvent]
    half_life: int
    """How fast the level forgets [weeks]."""
    counted: float
    """Events that today's level rests on, each as informative as an independent one."""


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

    def rate(self, dates: np.ndarray) -> np.ndarray:
        """Return the expected demand without events on local days, shape (N, 24, S)."""
        weekday = weekdays(dates)
        rates = [m.profile[weekday] * m.level[self._day(dates), None] for m in self.models]
        return np.stack(rates, axis=2)

    def level_log(self, dates: np.ndarray) -> np.ndarray:
        """Return the log level on local days, today's after the history, shape (N, S)."""
        day = self._day(dates)
        return np.log(np.stack([model.level[day] for model in self.models], axis=1))

    def _day(self, dates: np.ndarray) -> np.ndarray:
        day = (dates - self.dates[0]).astype(int)
        return np.asarray(np.clip(day, 0, len(self.dates) - 1))


def fit_counts(
    panel: Panel,
    columns: np.ndarray,
    *,
    events: Events,
    lender: Lender | None,
    prior: ErrorPrior,
) -> CountCohort:
    """Fit services by counting their events.

    Values that are only lower bounds count as observed.

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
    known = _Known.of(lender, events)
    models, means = [], []
    for column in columns.tolist():
        first = int(panel.first_day[column])
        past = _Past.of(panel.values[first:, :, column], panel.dates[first:], names[first:])
        model = _fit_one(past, panel.services[column], known=known, prior=prior)
        mean = _day_mean(past, model)
        level = np.concatenate([np.full(first, model.level[0]), model.level])
        models.append(replace(model, level=level))
        means.append(np.concatenate([np.full(first, np.nan), mean]))
    return CountCohort(
        services=tuple(panel.services[i] for i in columns),
        dates=panel.dates,
        models=tuple(models),
        day_mean=np.stack(means, axis=1),
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Past:
    """One service's history, from its first day on, and its calendar."""

    values: np.ndarray
    """Demand, 0 for gaps, shape (N, 24)."""
    known: np.ndarray
    """Observed hours, shape (N, 24) bool."""
    ordinary: np.ndarray
    """Observed hours of days without an event, shape (N, 24) bool."""
    weekday: np.ndarray
    week: np.ndarray
    """Weeks of seven days up to the last one, from 0, shape (N,)."""
    names: np.ndarray
    """Each day's event, '' on ordinary days, shape (N,)."""

    @classmethod
    def of(cls, values: np.ndarray, dates: np.ndarray, names: np.ndarray) -> _Past:
        """Lay out a service's days."""
        back = (len(dates) - 1 - np.arange(len(dates))) // WEEK
        known = ~np.isnan(values)
        return cls(
            values=np.where(known, values, 0.0),
            known=known,
            ordinary=known & (names == "")[:, None],
            weekday=weekdays(dates),
            week=back[0] - back,
            names=names,
        )

    def by_cell(self, values: np.ndarray) -> np.ndarray:
        """Return sums over ordinary hours by hour of the week, shape (7, 24)."""
        out = np.zeros((WEEK, HOURS))
        np.add.at(out, self.weekday, np.where(self.ordinary, values, 0.0))
        return out


def _fit_one(past: _Past, service: str, *, known: _Known, prior: ErrorPrior) -> CountModel:
    """Fit one service: its week first, then its level, its clumps, and all again with these."""
    active = past.values[past.values > 0]
    event = one_event(active)
    least = float(active.min()) if event is None else event
    clumping = Clumping(least, least, 0.0, hour=0.0, day=0.0, week=0.0, silent=0.0)
    hours = int(past.ordinary.sum())
    overall = (float(past.values[past.ordinary].sum()) + HALF_EVENT * least) / hours
    level = np.full(len(past.week), overall)
    for _ in range(ROUNDS):
        profile = _profile(past, level, clumping)
        weeks = _Weeks.of(past, profile, clumping)
        half_life = weeks.best_half_life()
        level = weeks.smoothed(half_life)[past.week]
        expected = profile[past.weekday] * level[:, None]
        clumping = measure_clumping(
            past.values, expected, seen=past.ordinary, week=past.week, event=event
        )
    weeks = _Weeks.of(past, profile, clumping)
    errors, counted = _errors(weeks, half_life, level, prior)
    return CountModel(
        level=level,
        profile=profile,
        clumping=clumping,
        errors=errors,
        events=_events(past, expected, clumping, service=service, known=known),
        half_life=half_life,
        counted=counted,
    )


def _profile(past: _Past, level: np.ndarray, clumping: Clumping) -> np.ndarray:
    """Return the rate of each hour of the week over the level, mean 1, shape (7, 24).

    Hours of the day are shrunk toward each other, weekdays alike, then each hour of the week toward
    the product of both.
    """
    total = past.by_cell(past.values)
    exposure = past.by_cell(np.broadcast_to(level[:, None], past.values.shape))
    squares = past.by_cell(np.broadcast_to(level[:, None] ** 2, past.values.shape))
    exposure *= total.sum() / exposure.sum() if total.any() else 1.0
    within, day, week = clumping.shares
    luck = float(squares.sum() / exposure.sum())
    rate = np.ones((WEEK, HOURS))
    for axis, share in ((0, within + day + week), (1, within + HOURS * (day + week)), (None, 0.0)):
        if axis is None:
            share = within + day + week
        seen, due = total, exposure * rate
        if axis is not None:
            seen, due = seen.sum(axis=axis, keepdims=True), due.sum(axis=axis, keepdims=True)
        rate = rate * _believed(seen, due, clumping.linear + share * luck)
    n_weeks = past.by_cell(np.ones(past.values.shape))
    bound = RULE_OF_THREE * clumping.size / np.maximum(n_weeks, 1) / level.mean()
    rate = np.where(total == 0, np.minimum(rate, bound), rate)
    return np.asarray(rate / rate.mean())


def _believed(seen: np.ndarray, due: np.ndarray, spread: float) -> np.ndarray:
    """Return the posterior mean of each rate over its prior one.

    ``(spread + t seen) / (spread + t due)`` with t the variance between the rates by moments,
    ``t = sum((seen - due)^2 - spread due) / sum(due^2)``: gamma priors of mean 1 (Clayton & Kaldor
    1987) on sums of variance `spread` times their mean.
    """
    excess = float(((seen - due) ** 2 - spread * due).sum() / (due**2).sum())
    t = max(excess, 0.0)
    return np.asarray((spread + t * seen) / (spread + t * due))


@dataclass(frozen=True, slots=True, eq=False)
class _Weeks:
    """A service's weeks; arrays of shape (W,)."""

    total: np.ndarray
    """Demand of the ordinary hours observed [quantity * h]."""
    exposure: np.ndarray
    """Their expected demand at level 1 [h]."""
    hour: np.ndarray
    """Sum of squares of the expected hours at level 1."""
    day: np.ndarray
    """Sum of squares of the expected days at level 1."""
    clumping: Clumping

    @classmethod
    def of(cls, past: _Past, profile: np.ndarray, clumping: Clumping) -> _Weeks:
        """Add up the ordinary hours of each week."""
        rate = np.where(past.ordinary, profile[past.weekday], 0.0)
        total, _, _ = sums(np.where(past.ordinary, past.values, 0.0), past.week)
        return cls(total, *sums(rate, past.week), clumping)

    @property
    def overall(self) -> float:
        """Mean level of all weeks, half an event added: never quite zero."""
        return float((self.total.sum() + self.least) / self.exposure.sum())

    @property
    def least(self) -> float:
        """Half an event, the weight of the overall level in each week's."""
        return HALF_EVENT * self.clumping.size

    def past_level(self, half_life: int) -> np.ndarray:
        """Return the level as each week's end knew it: older weeks count half every half-life."""
        return self._level(
            _remembered(self.total, half_life), _remembered(self.exposure, half_life)
        )

    def smoothed(self, half_life: int) -> np.ndarray:
        """Return the level of each week seen from both sides; the last one's is today's."""
        total, exposure = (
            _remembered(x, half_life) + _remembered(x[::-1], half_life)[::-1] - x
            for x in (self.total, self.exposure)
        )
        return self._level(total, exposure)

    def _level(self, total: np.ndarray, exposure: np.ndarray) -> np.ndarray:
        return np.asarray((total + self.least) / (exposure + self.least / self.overall))

    def variance(self, level: np.ndarray) -> np.ndarray:
        """Return the variance of each week's total at a level."""
        return self.clumping.variance(
            self.exposure * level, self.hour * level**2, self.day * level**2
        )

    def best_half_life(self) -> int:
        """Return the half-life whose level predicted the next quarter best, by Poisson likelihood."""
        cuts = self.cuts
        if not len(cuts):
            return USUAL_HALF_LIFE
        ahead = _ahead(self.total, cuts)
        due = _ahead(self.exposure, cuts)
        scores = []
        for half_life in HALF_LIVES:
            level = self.past_level(half_life)[cuts]
            scores.append(float((ahead * np.log(level) - due * level).sum()))
        return HALF_LIVES[int(np.argmax(scores))]

    @property
    def cuts(self) -> np.ndarray:
        """Weeks with half a year before and a quarter after, most of which was observed."""
        cuts = np.arange(WARM_UP - 1, len(self.total) - QUARTER)
        return cuts[_ahead(self.exposure, cuts) > QUARTER * WEEK * HOURS / 2]


def _remembered(values: np.ndarray, half_life: float) -> np.ndarray:
    """Return ``m_w = x_w + m_(w-1) / 2^(1 / half_life)``."""
    from scipy.signal import lfilter  # noqa: PLC0415  the package loads faster without it

    return np.asarray(lfilter([1.0], [1.0, -(0.5 ** (1 / half_life))], values))


def _ahead(values: np.ndarray, cuts: np.ndarray) -> np.ndarray:
    """Return the sum over the quarter after each cut."""
    reached = np.concatenate([[0.0], np.cumsum(values)])
    return np.asarray(reached[cuts + 1 + QUARTER] - reached[cuts + 1])


def _errors(
    weeks: _Weeks, half_life: int, level: np.ndarray, prior: ErrorPrior
) -> tuple[CountErrors, float]:
    """Return how wrong level and trend may be, and how many events the level rests on.

    The level's relative variance is that of a weighted sum of weeks; with the prior's it has the
    degrees of freedom of Satterthwaite (1946), counting being certain of its own. What a quarter
    missed beyond both totals' counting is a random walk's mean over the quarter, a third of its
    variance at the end.
    """
    due = weeks.exposure * weeks.past_level(half_life)
    variance = weeks.variance(weeks.past_level(half_life))
    reached = np.maximum(_remembered(due, half_life), np.finfo(float).tiny)
    relative = _remembered(variance, half_life / 2) / reached**2
    counted = 1 / float(relative[-1])
    own = 1 / (counted + HALF_EVENT)
    level_variance = prior.level_sd**2 + own
    cuts = weeks.cuts
    nu, excess, rms = 0.0, 0.0, float("nan")
    if len(cuts):
        now = weeks.past_level(half_life)[cuts]
        coming = _ahead(weeks.total, cuts) + weeks.least
        error = np.log(coming / (_ahead(weeks.exposure, cuts) * now + weeks.least))
        scatter = _ahead(variance, cuts) / _ahead(due, cuts) ** 2 + relative[cuts]
        nu = len(cuts) / QUARTER
        excess = max(float((error**2 - scatter).mean()), 0.0)
        rms = float(np.sqrt((error**2).mean()))
    walk = 3 * excess * DRIFT_DAYS / (QUARTER * WEEK)
    drift = (PRIOR_DF * prior.drift_sd**2 + nu * walk) / (PRIOR_DF + nu)
    errors = CountErrors(
        level_sd=float(np.sqrt(level_variance)),
        level_df=PRIOR_DF * (level_variance / prior.level_sd**2) ** 2,
        drift_sd=float(np.sqrt(drift)),
        drift_df=PRIOR_DF + nu,
        backtest_rms=rms,
    )
    return errors, counted


@dataclass(frozen=True, slots=True, eq=False)
class _Known:
    """What the fleet knows of events."""

    lender: Lender | None
    names: tuple[str, ...]
    """Every event day of the calendar, past or future."""
    public: frozenset[str]
    """Those that are public holidays on a weekday."""

    @classmethod
    def of(cls, lender: Lender | None, events: Events) -> _Known:
        dates = np.array([day.date for day in events.days], dtype="datetime64[D]")
        on = public_weekday(events, dates) if len(dates) else []
        return cls(
            lender=lender,
            names=tuple(sorted(set(events.names))),
            public=frozenset(d.name for d, is_on in zip(events.days, on, strict=True) if is_on),
        )

    def event(self, service: str, name: str) -> CountedEvent | None:
        """Return what the fleet lends, None where nobody has seen the event.

        Donors are services of another kind: their spread is at least that of a single donor.
        """
        lent = self.lender.event(service, name) if self.lender is not None else None
        if lent is None or self.lender is None:
            return None
        hours = lent.hours
        if name in self.public:
            group = self.lender.groups.get(service, FLEET)
            blocks = self.lender.blocks
            hours = hours + blocks.get(group, blocks[FLEET])["public_weekday"]
        return CountedEvent(hours, n=0, sd=max(lent.sd, ONE_DONOR_SD), donors=lent.donors)


def _events(
    past: _Past, expected: np.ndarray, clumping: Clumping, *, service: str, known: _Known
) -> dict[str, CountedEvent]:
    """Return the effect of every event that the service, or a donor, has seen."""
    found = {}
    for name in known.names:
        days = np.flatnonzero((past.names == name) & (past.known.sum(axis=1) >= SEEN_HOURS))
        lent = known.event(service, name)
        if len(days):
            found[name] = _ratio(past, expected, clumping, days=days, lent=lent)
        elif lent is not None:
            found[name] = lent
    return found


def _ratio(
    past: _Past,
    expected: np.ndarray,
    clumping: Clumping,
    *,
    days: np.ndarray,
    lent: CountedEvent | None,
) -> CountedEvent:
    """Return the posterior of an event's ratio to what was due without it.

    Own days count ``k = sum 1 / (variance of the log of a day's total)`` events; the prior, the
    donors' ratio or 1, counts `p`: ``ratio = (p + k) / (p / prior + k / own)``, the mean of a gamma
    posterior. Evidence three of its own standard errors away from the prior drops it (the biweight
    of :mod:`.groups`): a peak that was seen is not smoothed away.
    """
    due = np.where(past.known[days], expected[days], 0.0)
    shape = np.zeros(HOURS) if lent is None else lent.hours
    due = due * np.exp(shape)
    total = np.maximum(past.values[days].sum(axis=1), HALF_EVENT * clumping.linear)
    own = float(total.sum() / due.sum())
    scale = total / due.sum(axis=1)
    squares = (due**2).sum(axis=1) * scale**2
    variance = clumping.variance(total, squares, total**2)
    k = float((total**2 / variance).sum())
    distance = abs(np.log(own)) * np.sqrt(k)
    p = HALF_EVENT if lent is None else 1 / lent.sd**2
    p *= max(1 - (distance / KIN_AT) ** 2, 0.0) ** 2
    ratio = (p + k) / (p + k / own)
    return CountedEvent(
        hours=shape + np.log(ratio),
        n=len(days),
        sd=float(1 / np.sqrt(p + k)),
        donors=lent.donors if lent is not None and p > 0 else (),
    )


def _day_mean(past: _Past, model: CountModel) -> np.ndarray:
    """Return each day's mean demand, gaps filled by the rate; NaN where most is gap; (N,)."""
    rate = model.profile[past.weekday] * model.level[:, None]
    mean = np.where(past.known, past.values, rate).mean(axis=1)
    mean[past.known.sum(axis=1) < SEEN_HOURS] = np.nan
    return np.asarray(mean)
