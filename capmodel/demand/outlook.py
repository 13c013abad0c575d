"""What a fit knows about each service on the days of a horizon, before anything is drawn.

This module answers: which medians, events and errors hold on these days, for services fitted in
logs and for services that are counted alike? :class:`Medians` is the seam between the two.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

import numpy as np

from capmodel.demand.clumping import CountShape
from capmodel.demand.cohort import Cohort
from capmodel.demand.counts import CountCohort
from capmodel.demand.design import HOURS, event_names_on, public_weekday
from capmodel.demand.effects import EventEffect
from capmodel.demand.event_columns import events_on
from capmodel.demand.paths import Outlook
from capmodel.demand.protocol import Lifts
from capmodel.demand.scale import restore
from capmodel.demand.shapes import LogShape, Shape
from capmodel.demand.uncertainty import PRIOR_DF, SHOCK_PRIOR_SD
from capmodel.demand.windows import EventWindow
from capmodel.errors import InputError, Problem, nearest
from capmodel.schema import Basis, worst_basis

if TYPE_CHECKING:
    from capmodel.demand.fit import DemandFit
    from capmodel.events import EventDay, Events

__all__ = [
    "Days",
    "Errors",
    "Medians",
    "assumed_lifts",
    "level_log",
    "medians_of",
    "no_precedent",
    "outlook",
]

WEEK: Final = 7


@dataclass(frozen=True, slots=True, eq=False)
class Days:
    """The calendar of a horizon."""

    dates: np.ndarray
    names: tuple[str, ...]
    """What names each day, '' on ordinary days."""
    acting: tuple[tuple[EventDay, ...], ...]
    """The events of each day: the one of the whole day, and windows."""
    public: np.ndarray
    """Public holidays on a weekday, shape (N,) bool."""
    counterpart: np.ndarray
    """The latest event-aligned counterpart inside the history, shape (N,), datetime64[D]."""

    @classmethod
    def of(cls, fit: DemandFit, dates: np.ndarray) -> Days:
        """Read the calendar of some local days."""
        return cls(
            dates=dates,
            names=event_names_on(fit.events, dates),
            acting=events_on(fit.events, dates),
            public=public_weekday(fit.events, dates),
            counterpart=np.array(
                [
                    _last_counterpart(fit.events, day, fit.dates[-1])
                    for day in dates.astype(dt.date)
                ],
                dtype="datetime64[D]",
            ),
        )

    @property
    def spans(self) -> dict[str, str]:
        """Span of each event of the horizon."""
        return {event.name: event.span for several in self.acting for event in several}

    @property
    def whole(self) -> tuple[EventDay | None, ...]:
        """The event of each whole day, None where there is none."""
        first = ((*several, None)[0] for several in self.acting)
        return tuple(None if event is None or event.is_windowed else event for event in first)

    @property
    def windowed(self) -> tuple[tuple[int, EventDay], ...]:
        """Day and event of every window."""
        return tuple(
            (n, event)
            for n, several in enumerate(self.acting)
            for event in several
            if event.is_windowed
        )


def _luck(event: EventDay) -> str:
    """Return span and year: what one shock is drawn for."""
    return f"{event.span} {event.date.year}"


def _last_counterpart(events: Events, day: dt.date, last: np.datetime64) -> dt.date:
    """Return the day's counterpart a season earlier, and earlier again until it was observed."""
    other = events.counterpart(day)
    while np.datetime64(other, "D") > last:
        other = events.counterpart(other)
    return other


@dataclass(frozen=True, slots=True)
class Errors:
    """Log errors of one service beyond its history."""

    level_sd: float
    level_df: float
    drift_sd: float
    """After 90 days; grows with the square root of the time."""
    drift_df: float


class Medians(Protocol):
    """What services fitted together expect of some days."""

    def quiet(self, column: int) -> np.ndarray:
        """Return a service's demand without events, shape (N, 24) [its quantity]."""

    def with_events(self, column: int, effects: np.ndarray) -> np.ndarray:
        """Return its demand with the log effects of events by hour, both of shape (N, 24)."""

    def shape(self, column: int, effects: np.ndarray, factor: np.ndarray) -> Shape:
        """Return what draws its hours, times a factor on each, shape (N, 24)."""

    def to_growth(self, column: int) -> np.ndarray:
        """Return the log level of each day's counterpart over the day's own, shape (N,)."""

    def errors(self, column: int) -> Errors:
        """Return its errors beyond the history."""


def medians_of(part: Cohort | CountCohort, days: Days) -> Medians:
    """Return what services fitted together expect of some days."""
    return _Counted(part, days) if isinstance(part, CountCohort) else _Logs.of(part, days)


def level_log(part: Cohort | CountCohort, dates: np.ndarray) -> np.ndarray:
    """Return the log level, which is neither week, hour nor event, on local days, shape (N, S)."""
    if isinstance(part, CountCohort):
        return part.level_log(dates)
    return part.level_log(part.design.rows(dates))


@dataclass(frozen=True, slots=True, eq=False)
class _Logs:
    """Medians of services fitted in logs."""

    cohort: Cohort
    log: np.ndarray
    """Log medians without events, shape (N, 24, S)."""
    growth: np.ndarray
    """Log level of each day's counterpart over the day's own, shape (N, S)."""
    public: np.ndarray

    @classmethod
    def of(cls, cohort: Cohort, days: Days) -> _Logs:
        now = cohort.design.rows(days.dates)
        before = cohort.design.rows(days.counterpart)
        log = cohort.quiet_log(now)
        if days.dates.max() >= cohort.design.origin + cohort.design.n_days:
            log += cohort.short_range_log(days.dates)
        return cls(
            cohort=cohort,
            log=log,
            growth=cohort.level_log(before) - cohort.level_log(now),
            public=days.public,
        )

    def quiet(self, column: int) -> np.ndarray:
        return restore(self.log[:, :, column], float(self.cohort.scale.mean[column]))

    def with_events(self, column: int, effects: np.ndarray) -> np.ndarray:
        return restore(self._eventful(column, effects), float(self.cohort.scale.mean[column]))

    def _eventful(self, column: int, effects: np.ndarray) -> np.ndarray:
        shared = np.where(self.public[:, None], self.cohort.public_hours()[:, column], 0.0)
        return np.asarray(self.log[:, :, column] + shared + effects)

    def shape(self, column: int, effects: np.ndarray, factor: np.ndarray) -> Shape:
        return LogShape(
            mean=float(self.cohort.scale.mean[column]),
            log_median=self._eventful(column, effects),
            factor=factor,
            residual=self.cohort.residual[:, :, column] * self.cohort.errors.inflation[column],
        )

    def to_growth(self, column: int) -> np.ndarray:
        return np.asarray(self.growth[:, column])

    def errors(self, column: int) -> Errors:
        found = self.cohort.errors
        return Errors(
            level_sd=float(found.level_sd[column]),
            level_df=found.df,
            drift_sd=float(found.drift_sd[column]),
            drift_df=found.df,
        )


@dataclass(frozen=True, slots=True, eq=False)
class _Counted:
    """Rates of services that are counted."""

    cohort: CountCohort
    days: Days

    def quiet(self, column: int) -> np.ndarray:
        return self.cohort.rate(self.days.dates, column)

    def with_events(self, column: int, effects: np.ndarray) -> np.ndarray:
        return np.asarray(self.quiet(column) * np.exp(effects))

    def shape(self, column: int, effects: np.ndarray, factor: np.ndarray) -> Shape:
        model = self.cohort.models[column]
        week = (self.days.dates.astype(int) + 3) // WEEK
        return CountShape(
            rate=self.with_events(column, effects) * factor,
            silent=np.array([model.silent_on(name) for name in self.days.names]),
            week=week - week[0],
            clumping=model.clumping,
        )

    def to_growth(self, column: int) -> np.ndarray:
        now, before = (
            self.cohort.level_log(dates)[:, column]
            for dates in (self.days.dates, self.days.counterpart)
        )
        return np.asarray(before - now)

    def errors(self, column: int) -> Errors:
        found = self.cohort.models[column].errors
        return Errors(found.level_sd, found.level_df, found.drift_sd, found.drift_df)


def assumed_lifts(lifts: Lifts, *, events: Events, days: Days) -> dict[tuple[str, str], float]:
    """Return assumed lifts by (event day, service), spans written out."""
    known = {*events.names, *events.spans}
    out: dict[tuple[str, str], float] = {}
    problems = []
    for event, by_service in lifts.items():
        if event not in known:
            near = nearest(event, known)
            problems.append(
                Problem(
                    f"lifts.{event}",
                    "an event that the calendar lacks",
                    f"one of the calendar's {len(known)} names",
                    f'Did you mean "{near}"?' if near else "Add it to the calendar.",
                )
            )
        for service, lift in by_service.items():
            if not (np.isfinite(lift) and lift > 0):
                problems.append(
                    Problem(f"lifts.{event}.{service}", str(lift), "a ratio above 0", "Write 2.5.")
                )
            for name, span in days.spans.items():
                if event in (name, span):
                    # A lift of the day itself beats one of the whole span.
                    out.setdefault((name, service), float(lift))
                    if event == name:
                        out[name, service] = float(lift)
    if problems:
        raise InputError(problems)
    return out


def no_precedent(service: str, event: EventDay) -> Problem:
    """Return the problem of an event that nobody has seen and nobody assumes a lift for."""
    return Problem(
        where=f"{service}: {event.name} on {event.date}",
        got="an event that neither this service nor a donor has seen before",
        expected="a past occurrence, or an assumed lift",
        do=f'Give one: lifts={{"{event.name}": {{"{service}": 2.0}}}}.',
    )


def outlook(
    fit: DemandFit,
    service: str,
    *,
    days: Days,
    medians: Medians,
    effects: Mapping[str, EventEffect | None],
    assumed: Mapping[tuple[str, str], float],
) -> Outlook:
    """Gather what the fit knows about a service on the horizon's days.

    Parameters
    ----------
    fit, service
        Whose, and which.
    days, medians
        The horizon, and what is expected of it.
    effects
        Effect of each event of the horizon, None where nobody has seen it.
    assumed
        Assumed lifts by event day and service [ratio].
    """
    part, column = fit.locate(service)
    position = fit.services.index(service)
    whole = [None if event is None else effects[event.name] for event in days.whole]
    own = np.array([np.zeros(HOURS) if e is None else e.hours() for e in whole])
    is_event = np.array([event is not None for event in days.whole])
    with_events = medians.with_events(column, own)
    fitted = np.where(is_event, _day_ratio(with_events, medians.quiet(column)), 1)
    lifts = {event: x for (event, name), x in assumed.items() if name == service}
    either = zip(fitted, days.whole, strict=True)
    lift = np.array([f if e is None else lifts.get(e.name, f) for f, e in either])
    placed = _placed(column, own, days=days, medians=medians, effects=effects, lifts=lifts)
    errors = medians.errors(column)
    bases: list[Basis] = ["borrowed" if part.is_borrowing else "fitted"]
    bases += [e.basis for e in effects.values() if e is not None]
    bases += ["assumed" for name in effects if name in lifts]
    return Outlook(
        service=service,
        quantity=fit.quantities[position],
        dates=days.dates,
        event=days.names,
        luck=tuple("" if event is None else _luck(event) for event in days.whole),
        days_ahead=(days.dates - fit.dates[-1]).astype(int),
        shape=medians.shape(column, placed.effects, (lift / fitted)[:, None] * placed.factor),
        level_sd=errors.level_sd,
        level_df=errors.level_df,
        drift_sd=errors.drift_sd,
        drift_df=errors.drift_df,
        shock_sd=_per_day(whole, "shock_sd", np.where(is_event, SHOCK_PRIOR_SD, 0.0)),
        shock_df=_per_day(whole, "shock_df", np.full(len(is_event), PRIOR_DF)),
        coefficient_sd=_per_day(whole, "coefficient_sd", np.zeros(len(is_event))),
        luck_shared=fit.luck.shock,
        drift_shared=fit.luck.drift,
        to_growth=np.where(
            days.counterpart >= fit.dates[fit.first_day[position]],
            medians.to_growth(column),
            np.nan,
        ),
        lift_x=_named_lift(lift, days.names, placed.windows),
        windows=placed.windows,
        basis=worst_basis(bases),
    )


def _day_ratio(with_events: np.ndarray, quiet: np.ndarray) -> np.ndarray:
    """Return days' demand with events over that without, 1 where there is none without, (N,)."""
    without = quiet.sum(axis=1)
    ratio = np.ones(len(without))
    return np.asarray(np.divide(with_events.sum(axis=1), without, out=ratio, where=without > 0))


@dataclass(frozen=True, slots=True, eq=False)
class _Placed:
    """The windowed events of a horizon in the hours of one service."""

    effects: np.ndarray
    """Log effects of all events by hour, shape (N, 24)."""
    factor: np.ndarray
    """What assumed lifts of windows multiply the hours by, shape (N, 24) [ratio]."""
    windows: tuple[EventWindow, ...]


def _placed(
    column: int,
    own: np.ndarray,
    *,
    days: Days,
    medians: Medians,
    effects: Mapping[str, EventEffect | None],
    lifts: Mapping[str, float],
) -> _Placed:
    """Add the windowed events to the effects of whole days, shape (N, 24)."""
    total, factor = own.copy(), np.ones_like(own)
    windows = []
    plain = medians.with_events(column, own) if days.windowed else own
    for n, event in days.windowed:
        effect, hours = effects[event.name], slice(event.start_hour, event.end_hour)
        fitted = 1.0
        if effect is not None:
            alone = own.copy()
            alone[n] += effect.hours(event.start_hour, event.end_hour)
            total[n] += alone[n] - own[n]
            fitted = _lift(medians.with_events(column, alone)[n, hours], plain[n, hours])
        lift = lifts.get(event.name, fitted)
        factor[n, hours] *= lift / fitted
        windows.append(
            EventWindow(
                day=n,
                event=event.name,
                span=event.span,
                start_slot=event.start_hour,
                end_slot=event.end_hour,
                lift_x=lift,
                luck=_luck(event),
                shock_sd=SHOCK_PRIOR_SD if effect is None else effect.shock_sd,
                shock_df=PRIOR_DF if effect is None else effect.shock_df,
                coefficient_sd=0.0 if effect is None else effect.coefficient_sd,
            )
        )
    return _Placed(effects=total, factor=factor, windows=tuple(windows))


def _lift(with_event: np.ndarray, without: np.ndarray) -> float:
    """Return the ratio of sums; 1 over hours without demand, which no event could lift."""
    return float(with_event.sum() / without.sum()) if without.sum() > 0 else 1.0


def _named_lift(
    lift: np.ndarray, names: Sequence[str], windows: Sequence[EventWindow]
) -> np.ndarray:
    """Return each day's lift by what names it: a window's over its hours, shape (N,)."""
    out = lift.copy()
    for window in windows:
        if window.event == names[window.day]:
            out[window.day] = window.lift_x
    return out


def _per_day(
    effects: Sequence[EventEffect | None], field: str, otherwise: np.ndarray
) -> np.ndarray:
    """Return a field of each day's effect, `otherwise` where the day has none."""
    return np.array(
        [
            value if effect is None else getattr(effect, field)
            for effect, value in zip(effects, otherwise, strict=True)
        ],
        dtype=float,
    )
