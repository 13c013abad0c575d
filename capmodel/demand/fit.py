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

from capmodel.demand.cohort import RESIDUAL_DAYS, Cohort
from capmodel.demand.counts import CountCohort
from capmodel.demand.effects import EventEffect, event_effect
from capmodel.demand.event_columns import events_on
from capmodel.demand.groups import Luck
from capmodel.demand.horizon import check_ahead, check_day, check_horizon
from capmodel.demand.lending import Lender
from capmodel.demand.outlook import (
    Days,
    Medians,
    assumed_lifts,
    medians_of,
    no_precedent,
    outlook,
)
from capmodel.demand.paths import DemandForecast, Outlook, RootPaths, draw_root, draw_weeks
from capmodel.demand.protocol import Lifts
from capmodel.demand.tables import explain_table, growth_table, lifts_table, summary_table
from capmodel.errors import InputError, nearest
from capmodel.schema import Findings

if TYPE_CHECKING:
    import pandas as pd

    from capmodel.events import Events

__all__ = ["DemandFit"]

SEASON_DAYS: Final = 90
"""Length of the coming season where none is given [days]."""


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
    """Services fitted in logs, by the week in which they were born."""
    counts: CountCohort | None
    """Services that are silent in many hours, fitted by counting; None where there are none."""
    lender: Lender | None
    luck: Luck
    """Which share of a season's luck all services have in common."""
    lift_growth_x: Mapping[str, float]
    """Event day (or span) to how much its lift is assumed to grow in a year [ratio]."""
    refused: Findings
    """Services set aside, each with its reason."""
    findings: Findings
    """Everything noticed, the refused services included."""

    def lifts(self) -> pd.DataFrame:
        """Return the fitted lift of every event that a service, or its donors, has seen.

        ``lift_x = sum of the local day's median demand with the event / without it``, at the
        event's last occurrence; an event of some hours has its lift over these besides. The 80 %
        interval is that of *next* year's lift: the event's spread between years and the error of
        its fitted effect, Student t.

        Returns
        -------
        pandas.DataFrame
            service, event, n_events, lift_x, lift_p10, lift_p90, window_lift_x (over the hours that
            the event covers; `lift_x` where these are the whole day), peak_hour_lift_x (at the
            busiest hour of the event day), left_out_error (how far off a past occurrence was, when
            predicted from the others alone [ratio]), basis, donors (comma-separated). Events
            without any precedent are absent.
        """
        return lifts_table(self)

    def growth(
        self, start: str | dt.date | None = None, end: str | dt.date | None = None
    ) -> pd.DataFrame:
        """Return how fast demand grows, by three measures, each comparing like days.

        ``last_season_yoy_x``: trimmed mean log ratio of last season's days to their event-aligned
        counterparts a year earlier; ``run_rate_yoy_x``: the same for the last 28 days. Both are
        model-free (gaps excepted); of services that are counted they are ratios of totals.
        ``fitted_yoy_x``: the fitted level over the last 28 days to the fitted level a year earlier.

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
            Assumed lifts by event day (or span) and service [ratio]; they replace fitted ones. Of
            the day's sum, of a windowed event over its hours.

        Raises
        ------
        InputError
            When an event in the horizon has no precedent and no assumed lift, and for a horizon
            that is empty, in the past, or longer than the history.
        """
        dates = check_ahead(start, end, past=self.dates, draws=draws)
        for service in sorted(
            {name for by_service in (lifts or {}).values() for name in by_service}
        ):
            self.locate(service)
        outlooks = {o.service: o for o in self._outlooks(self.services, dates, lifts=lifts)}
        source = draw_weeks(dates, self.dates[-RESIDUAL_DAYS:], draws=draws, seed=seed)

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
        dates = check_ahead(start, end, past=self.dates, draws=draws)
        outlooks = self._outlooks(names, dates, lifts=lifts)
        source = draw_weeks(dates, self.dates[-RESIDUAL_DAYS:], draws=draws, seed=seed)
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
    def parts(self) -> tuple[Cohort | CountCohort, ...]:
        """Services that were fitted together: the cohorts, and those that are counted."""
        return self.cohorts if self.counts is None else (*self.cohorts, self.counts)

    def locate(self, service: str) -> tuple[Cohort | CountCohort, int]:
        """Return with whom a service was fitted, and its column there.

        Raises
        ------
        InputError
            When the service was refused (with the reason) or is unknown (with the nearest).
        """
        for part in self.parts:
            if service in part.services:
                return part, part.services.index(service)
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
        part, column = self.locate(service)
        return event_effect(part, column, event, lender=self.lender)

    def has_precedents(self, service: str, start: str | dt.date, end: str | dt.date) -> bool:
        """Return whether each event of the horizon was seen, by the service or by a donor."""
        acting = events_on(self.events, check_horizon(start, end))
        names = {event.name for several in acting for event in several}
        return all(self.effect(service, name) is not None for name in names)

    def _effect_ahead(self, service: str, event: str, days: Days) -> EventEffect | None:
        """Return an event's effect in the horizon: grown where somebody assumes that it grows."""
        effect = self.effect(service, event)
        yearly_x = self.lift_growth_x.get(event, self.lift_growth_x.get(days.spans[event]))
        if effect is None or yearly_x is None:
            return effect
        occurrences = np.array(self.events.dates_of(event), dtype="datetime64[D]")
        past = occurrences[(occurrences >= self.dates[0]) & (occurrences <= self.dates[-1])]
        ahead = occurrences[(occurrences >= days.dates[0]) & (occurrences <= days.dates[-1])]
        if not len(past):
            return effect
        years = (ahead[0].astype(int) - past.astype(int).mean()) / 365.25
        return effect.grown(yearly_x, float(years))

    def _outlooks(
        self, services: tuple[str, ...], dates: np.ndarray, *, lifts: Lifts | None
    ) -> list[Outlook]:
        days = Days.of(self, dates)
        assumed = assumed_lifts(lifts or {}, events=self.events, days=days)
        medians: dict[int, Medians] = {}
        outlooks, problems = [], []
        for service in services:
            part, _ = self.locate(service)
            effects = {name: self._effect_ahead(service, name, days) for name in days.spans}
            problems += [
                no_precedent(service, event)
                for several in days.acting
                for event in several
                if effects[event.name] is None and (event.name, service) not in assumed
            ]
            if problems:
                continue
            if id(part) not in medians:
                medians[id(part)] = medians_of(part, days)
            outlooks.append(
                outlook(
                    self,
                    service,
                    days=days,
                    medians=medians[id(part)],
                    effects=effects,
                    assumed=assumed,
                )
            )
        if problems:
            raise InputError(problems)
        return outlooks
