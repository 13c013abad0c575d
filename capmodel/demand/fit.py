"""A fitted demand model: what it learned, and the forecasts and paths that follow from it.

This module answers: how strong is each event, how fast does demand grow, and what may it be on the
days ahead? It knows neither topology nor scenario; growth and lifts that somebody assumes are
applied later, to the paths handed out here.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from capmodel.demand.cohort import Cohort
from capmodel.demand.design import HOURS, event_names_on, public_weekday
from capmodel.demand.effects import EventEffect, event_effect
from capmodel.demand.groups import Luck
from capmodel.demand.lending import Lender
from capmodel.demand.paths import (
    DemandForecast,
    Outlook,
    RootPaths,
    check_day,
    check_horizon,
    draw_root,
    draw_weeks,
)
from capmodel.demand.scale import restore
from capmodel.demand.tables import explain_table, growth_table, lifts_table, summary_table
from capmodel.demand.uncertainty import PRIOR_DF, SHOCK_PRIOR_SD
from capmodel.errors import InputError, Problem, nearest
from capmodel.schema import Basis, Findings, worst_basis

if TYPE_CHECKING:
    import pandas as pd

    from capmodel.events import Events

__all__ = ["DemandFit"]

SEASON_DAYS: Final = 90
"""Length of the coming season where none is given [days]."""

Lifts = Mapping[str, Mapping[str, float]]
"""Event day (or span) to service to the assumed lift [ratio]."""


@dataclass(frozen=True, slots=True, eq=False)
class DemandFit:
    """Every service's demand model, fitted together; a new object for every fit.

    Growth and lifts are in :meth:`growth` and :meth:`lifts`, futures in :meth:`forecast` (hours,
    quantiles, peaks) and :meth:`roots` (the raw paths that a plan builds on).
    """

    services: tuple[str, ...]
    quantities: tuple[str, ...]
    """Demand quantity of each service."""
    dates: np.ndarray
    """Local days of the history, shape (N,), datetime64[D]."""
    first_day: np.ndarray
    """First observed day of each service, shape (S,)."""
    business_tz: str
    events: Events
    configurations: tuple[str, ...]
    cohorts: tuple[Cohort, ...]
    lender: Lender | None
    luck: Luck
    """Which share of a season's luck all services have in common."""
    refused: Findings
    """Services set aside, each with its reason."""
    findings: Findings
    """Everything noticed, the refused services included."""

    def lifts(self) -> pd.DataFrame:
        """Return the fitted lift of every event that a service, or its donors, has seen.

        ``lift_x = sum of the local day's median demand with the event / without it``, at the
        event's last occurrence. The 80 % interval is that of *next* year's lift: the event's
        spread between years and the error of its fitted effect, Student t.

        Returns
        -------
        pandas.DataFrame
            service, event, n_events, lift_x, lift_p10, lift_p90, peak_hour_lift_x (at the busiest
            hour of the event day), basis, donors (comma-separated). Events without any precedent
            are absent.
        """
        return lifts_table(self)

    def growth(
        self, start: str | dt.date | None = None, end: str | dt.date | None = None
    ) -> pd.DataFrame:
        """Return how fast demand grows, by three measures, each comparing like days.

        ``last_season_yoy_x``: trimmed mean log ratio of last season's days to their event-aligned
        counterparts a year earlier; ``run_rate_yoy_x``: the same for the last 28 days. Both are
        model-free (gaps excepted). ``fitted_yoy_x``: the fitted level over the last 28 days to
        the fitted level a year earlier.

        Parameters
        ----------
        start, end
            The coming season [local days, end exclusive]; its event-aligned counterpart is "last
            season". None: the day after the history, 90 days after the start.

        Returns
        -------
        pandas.DataFrame
            service, last_season_yoy_x, run_rate_yoy_x, fitted_yoy_x [ratio]; NaN where a year is
            missing.
        """
        first = self.dates[-1] + 1 if start is None else check_day(start, where="season.start")
        coming = check_horizon(str(first), str(first + SEASON_DAYS) if end is None else end)
        return growth_table(self, coming)

    def forecast(
        self,
        start: str | dt.date,
        end: str | dt.date,
        *,
        seed: int = 0,
        draws: int = 1000,
        lifts: Lifts | None = None,
    ) -> DemandForecast:
        """Forecast every service over local days.

        Parameters
        ----------
        start, end
            Local days, end exclusive; not before the history's last day.
        seed
            Same seed, same paths.
        draws
            Number of sample paths.
        lifts
            Assumed lifts by event day (or span) and service [ratio]; they replace fitted ones.

        Raises
        ------
        InputError
            When an event in the horizon has no precedent and no assumed lift, and for a horizon
            that is empty, in the past, or longer than the history.
        """
        dates = self._horizon(start, end, draws=draws)
        for service in sorted(
            {name for by_service in (lifts or {}).values() for name in by_service}
        ):
            self.locate(service)
        outlooks = {o.service: o for o in self._outlooks(self.services, dates, lifts=lifts)}
        source = draw_weeks(dates, self._drawable_days, draws=draws, seed=seed)

        def draw(service: str) -> RootPaths:
            return draw_root(outlooks[service], source=source, seed=seed, draws=draws)

        return DemandForecast(
            services=self.services,
            business_tz=self.business_tz,
            dates=dates,
            draws=draws,
            seed=seed,
            draw=draw,
        )

    def roots(
        self,
        services: Iterable[str],
        start: str | dt.date,
        end: str | dt.date,
        *,
        seed: int = 0,
        draws: int = 1000,
        lifts: Lifts | None = None,
    ) -> tuple[RootPaths, ...]:
        """Return the sample paths of some services, their factors kept apart.

        Parameters and errors are those of :meth:`forecast`; only these services need precedents,
        and lifts of other services are left to whoever draws those.
        """
        names = tuple(services)
        dates = self._horizon(start, end, draws=draws)
        outlooks = self._outlooks(names, dates, lifts=lifts)
        source = draw_weeks(dates, self._drawable_days, draws=draws, seed=seed)
        return tuple(draw_root(o, source=source, seed=seed, draws=draws) for o in outlooks)

    def summary(self) -> pd.DataFrame:
        """Return one row per service: what it was fitted on, and how well it was predicted."""
        return summary_table(self)

    def to_frame(self) -> pd.DataFrame:
        """Return :meth:`summary`."""
        return self.summary()

    def explain(self, service: str) -> pd.DataFrame:
        """Return what a service's fit consists of: item, value, unit."""
        self.locate(service)
        return explain_table(self, service)

    @property
    def _drawable_days(self) -> np.ndarray:
        return self.dates[-self.cohorts[0].residual.shape[0] :]

    def locate(self, service: str) -> tuple[Cohort, int]:
        """Return a service's cohort and its column there.

        Raises
        ------
        InputError
            When the service was refused (with the reason) or is unknown (with the nearest).
        """
        for cohort in self.cohorts:
            if service in cohort.services:
                return cohort, cohort.services.index(service)
        reasons = [f.message for f in self.findings if f.service == service]
        near = nearest(service, self.services)
        raise InputError.of(
            f'service "{service}"',
            got=reasons[0] if reasons else "no fitted demand of this name",
            expected=f"one of {len(self.services)} fitted services",
            do="Declare its demand, or mend its history."
            if reasons
            else (f'Did you mean "{near}"?' if near else "See the fit's `services`."),
        )

    def effect(self, service: str, event: str) -> EventEffect | None:
        """Return the effect of an event on a service, None where nobody has seen it."""
        cohort, column = self.locate(service)
        return event_effect(cohort, column, event, lender=self.lender)

    def has_precedents(self, service: str, start: str | dt.date, end: str | dt.date) -> bool:
        """Return whether each event of the horizon was seen, by the service or by a donor."""
        names = set(event_names_on(self.events, check_horizon(start, end))) - {""}
        return all(self.effect(service, name) is not None for name in names)

    def _horizon(self, start: str | dt.date, end: str | dt.date, *, draws: int) -> np.ndarray:
        dates = check_horizon(start, end)
        last = self.dates[-1]
        checks = (
            (draws < 1, "draws", draws, "at least 1", "Use 1000."),
            (
                dates[0] < last,
                "horizon.start",
                dates[0],
                f"a day from {last}, the history's last, onwards",
                "Fit an earlier part of the history to judge the past.",
            ),
            (
                dates[-1] - last > len(self.dates) * np.timedelta64(1, "D"),
                "horizon.end",
                dates[-1],
                f"at most {len(self.dates)} days ahead, the length of the history",
                "Shorten the horizon or give a longer history.",
            ),
        )
        problems = [
            Problem(where, str(got), expected, do)
            for bad, where, got, expected, do in checks
            if bad
        ]
        if problems:
            raise InputError(problems)
        return dates

    def _outlooks(
        self, services: tuple[str, ...], dates: np.ndarray, *, lifts: Lifts | None
    ) -> list[Outlook]:
        days = _Days.of(self, dates)
        assumed = _assumed_lifts(lifts or {}, events=self.events, days=days)
        medians: dict[int, _Medians] = {}
        outlooks, problems = [], []
        for service in services:
            cohort, _ = self.locate(service)
            effects = [self.effect(service, name) if name else None for name in days.names]
            missing = [
                n
                for n, (name, effect) in enumerate(zip(days.names, effects, strict=True))
                if name and effect is None and (name, service) not in assumed
            ]
            problems += [_no_precedent(service, days, n) for n in missing]
            if problems:
                continue
            if id(cohort) not in medians:
                medians[id(cohort)] = _Medians.of(cohort, days)
            wanted = [assumed.get((name, service)) for name in days.names]
            outlooks.append(
                _outlook(
                    self,
                    service,
                    days=days,
                    medians=medians[id(cohort)],
                    effects=effects,
                    wanted=wanted,
                )
            )
        if problems:
            raise InputError(problems)
        return outlooks


@dataclass(frozen=True, slots=True, eq=False)
class _Days:
    """The calendar of a horizon."""

    dates: np.ndarray
    names: tuple[str, ...]
    spans: tuple[str, ...]
    luck: tuple[str, ...]
    """Span and year: what one shock is drawn for, '' on ordinary days."""
    public: np.ndarray
    """Public holidays on a weekday, shape (N,) bool."""
    counterpart: np.ndarray
    """The latest event-aligned counterpart inside the history, shape (N,), datetime64[D]."""

    @classmethod
    def of(cls, fit: DemandFit, dates: np.ndarray) -> _Days:
        span = {day.name: day.span for day in fit.events.days}
        names = event_names_on(fit.events, dates)
        spans = tuple(span.get(name, "") for name in names)
        years = dates.astype("datetime64[Y]").astype(str)
        return cls(
            dates=dates,
            names=names,
            spans=spans,
            luck=tuple(f"{s} {year}" if s else "" for s, year in zip(spans, years, strict=True)),
            public=public_weekday(fit.events, dates),
            counterpart=np.array(
                [
                    _last_counterpart(fit.events, day, fit.dates[-1])
                    for day in dates.astype(dt.date)
                ],
                dtype="datetime64[D]",
            ),
        )


def _last_counterpart(events: Events, day: dt.date, last: np.datetime64) -> dt.date:
    """Return the day's counterpart a season earlier, and earlier again until it was observed."""
    other = events.counterpart(day)
    while np.datetime64(other, "D") > last:
        other = events.counterpart(other)
    return other


@dataclass(frozen=True, slots=True, eq=False)
class _Medians:
    """Log medians of a cohort on the days of a horizon."""

    quiet: np.ndarray
    """Without events, shape (N, 24, S)."""
    level: np.ndarray
    """Fitted level of the day, shape (N, S)."""
    level_before: np.ndarray
    """Fitted level of the day's counterpart, shape (N, S)."""

    @classmethod
    def of(cls, cohort: Cohort, days: _Days) -> _Medians:
        now = cohort.design.rows(days.dates)
        before = cohort.design.rows(days.counterpart)
        return cls(
            quiet=cohort.quiet_log(now) + cohort.short_range_log(days.dates),
            level=cohort.level_log(now),
            level_before=cohort.level_log(before),
        )


def _assumed_lifts(lifts: Lifts, *, events: Events, days: _Days) -> dict[tuple[str, str], float]:
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
            for name, span in zip(days.names, days.spans, strict=True):
                if name and event in (name, span):
                    # A lift of the day itself beats one of the whole span.
                    out.setdefault((name, service), float(lift))
                    if event == name:
                        out[name, service] = float(lift)
    if problems:
        raise InputError(problems)
    return out


def _no_precedent(service: str, days: _Days, n: int) -> Problem:
    name = days.names[n]
    return Problem(
        where=f"{service}: {name} on {days.dates[n]}",
        got="an event that neither this service nor a donor has seen before",
        expected="a past occurrence, or an assumed lift",
        do=f'Give one: lifts={{"{name}": {{"{service}": 2.0}}}}.',
    )


def _outlook(
    fit: DemandFit,
    service: str,
    *,
    days: _Days,
    medians: _Medians,
    effects: list[EventEffect | None],
    wanted: list[float | None],
) -> Outlook:
    """Gather what the fit knows about a service on the horizon's days."""
    cohort, column = fit.locate(service)
    position = fit.services.index(service)
    mean = float(cohort.scale.mean[column])
    quiet = medians.quiet[:, :, column]
    shared = np.where(days.public[:, None], cohort.public_hours()[:, column], 0.0)
    own = np.array([np.zeros(HOURS) if e is None else e.hours for e in effects])
    log_median = quiet + shared + own
    is_event = np.array([bool(name) for name in days.names])
    ratio = restore(log_median, mean).sum(axis=1) / restore(quiet, mean).sum(axis=1)
    fitted = np.where(is_event, ratio, 1.0)
    lift = np.array([f if w is None else w for f, w in zip(fitted, wanted, strict=True)])
    to_growth = medians.level_before[:, column] - medians.level[:, column]
    errors = cohort.errors
    bases: list[Basis] = ["borrowed" if cohort.is_borrowing else "fitted"]
    bases += [e.basis for e in effects if e is not None]
    bases += ["assumed" for w in wanted if w is not None]
    return Outlook(
        service=service,
        quantity=fit.quantities[position],
        dates=days.dates,
        event=days.names,
        luck=days.luck,
        days_ahead=(days.dates - fit.dates[-1]).astype(int),
        mean=mean,
        log_median=log_median,
        factor=lift / fitted,
        residual=cohort.residual[:, :, column] * errors.inflation[column],
        level_sd=float(errors.level_sd[column]),
        drift_sd=float(errors.drift_sd[column]),
        df=errors.df,
        shock_sd=_per_day(effects, "shock_sd", np.where(is_event, SHOCK_PRIOR_SD, 0.0)),
        shock_df=_per_day(effects, "shock_df", np.full(len(is_event), PRIOR_DF)),
        coefficient_sd=_per_day(effects, "coefficient_sd", np.zeros(len(is_event))),
        luck_shared=fit.luck.shock,
        drift_shared=fit.luck.drift,
        to_growth=np.where(
            days.counterpart >= fit.dates[fit.first_day[position]], to_growth, np.nan
        ),
        lift_x=lift,
        basis=worst_basis(bases),
    )


def _per_day(effects: list[EventEffect | None], field: str, otherwise: np.ndarray) -> np.ndarray:
    """Return a field of each day's effect, `otherwise` where the day has none."""
    return np.array(
        [
            value if effect is None else getattr(effect, field)
            for effect, value in zip(effects, otherwise, strict=True)
        ],
        dtype=float,
    )
