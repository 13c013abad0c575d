"""The batched demand model: every service at once on one shared design.

This module answers: how is the fleet's demand fitted? It groups services by age, calls the numbers
and gathers what could not be fitted; the fit itself answers questions (:mod:`.fit`).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Final

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, field_validator

from capmodel.demand.cohort import LONG_DAYS, Cohort, fit_cohort
from capmodel.demand.counts import fit_counts
from capmodel.demand.design import Window
from capmodel.demand.fit import DemandFit
from capmodel.demand.groups import Luck, pool_events, shared_luck
from capmodel.demand.lending import Lender
from capmodel.demand.panel import MANY_ZEROS, Panel, read_panel
from capmodel.demand.penalties import CONFIGURATIONS
from capmodel.demand.systems import Systems
from capmodel.demand.uncertainty import ErrorPrior, fleet_prior, out_of_sample
from capmodel.errors import InputError, Problem, nearest
from capmodel.schema import Finding, Findings

if TYPE_CHECKING:
    from capmodel.demand.fleet import FleetFit
    from capmodel.events import Events
    from capmodel.history import History

__all__ = ["Batched"]

CHUNK: Final = 512
"""Services solved side by side: bounds the memory at a few hundred MB."""
WEEK: Final = 7


class Batched(BaseModel):
    """Batched generalised-ridge regression of log demand on calendar, trend and events.

    ``z_ts = (log(y_ts / mean_s + 0.01) - center_s) / sd_s = x_t' b_s + e_ts`` with columns shared
    by all services: level and trend, day of week, hour of day, hour of week, yearly harmonics and
    their interplay with hour and weekend, and every named event day with an hour shape of its own.
    ``b = (X'X + Lambda)^-1 X'z`` under several penalties, combined by their backtests. The method
    follows the regression tradition of Hyndman & Athanasopoulos (2021, chapter 7), with ridge
    penalties (Hoerl & Kennard 1970) in place of variable selection. Services that are silent in
    many hours are counted instead (:mod:`capmodel.demand.counts`).

    References
    ----------
    Hyndman, R. J., & Athanasopoulos, G. (2021). Forecasting: principles and practice, 3rd ed.,
    chapter 7. OTexts.
    Hoerl, A. E., & Kennard, R. W. (1970). Ridge regression: biased estimation for nonorthogonal
    problems. Technometrics 12(1), 55-67.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> from capmodel.history import History
    >>> time = pd.date_range("2026-01-01", periods=90 * 24, freq="h", tz="UTC")
    >>> busy = 100 + 50 * np.sin(2 * np.pi * (time.hour - 8) / 24)
    >>> history = History.from_frame(
    ...     pd.DataFrame({"service": "api", "time": time, "rps": busy}), business_tz="UTC"
    ... )
    >>> forecast = Batched().fit(history).forecast("2026-04-01", "2026-04-08", draws=100)
    >>> forecast.quantile(0.5)["api"].idxmax().hour
    14
    """

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    configurations: tuple[str, ...] = tuple(CONFIGURATIONS)
    """Names of the trend configurations that compete (``penalties.CONFIGURATIONS``)."""
    kappa: Annotated[float, Field(ge=0)] = 2.0
    """Sharpness of the combination by backtest error; 0 ignores it, large values select."""

    counts_above: Annotated[float, Field(ge=0, le=1)] = MANY_ZEROS
    """Share of zero hours above which a service is counted (:mod:`.counts`) instead of fitted in
    logs [ratio]; 1 counts none."""
    groups: dict[str, str] = Field(default_factory=dict)
    """Service to the name of its group (storefront, payments, ...): services of a group lend each
    other the effects of events, and young ones the shape of the year."""
    lift_growth_x: dict[str, Annotated[float, Field(ge=0.5, le=2)]] = Field(default_factory=dict)
    """Event day (or span) to how much its lift grows in a year [ratio], counted from the middle of
    its past occurrences; without, lifts stay as they were."""

    @field_validator("configurations")
    @classmethod
    def _known(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            if name not in CONFIGURATIONS:
                near = nearest(name, CONFIGURATIONS)
                hint = f'; did you mean "{near}"?' if near else ""
                msg = f'unknown configuration "{name}", known: {", ".join(CONFIGURATIONS)}{hint}'
                raise ValueError(msg)
        if not names or len(set(names)) < len(names):
            msg = "give one or more distinct configurations"
            raise ValueError(msg)
        return names

    def fit(self, history: History, *, events: Events | None = None) -> DemandFit:
        """Fit every service that carries demand; set the unusable ones aside with their reason.

        Parameters
        ----------
        history
            Demand per service (``per_min``, else ``rps``), hourly or finer; not modified.
        events
            The calendar, past and future; None means none.

        Returns
        -------
        DemandFit
            ``refused`` holds the services set aside, ``findings`` what was noticed.

        Raises
        ------
        InputError
            When no service can be fitted, naming each one's reason.
        """
        # The two-thread matrix products of small systems spend their time waiting for each other.
        from threadpoolctl import threadpool_limits  # noqa: PLC0415  imported where it is used

        from capmodel.events import Events as Calendar  # noqa: PLC0415  only where none is given

        calendar = Calendar.none() if events is None else events
        _check_names(self.lift_growth_x, calendar)
        panel = read_panel(history)
        zeros = _zero_share(panel)
        silent = zeros > self.counts_above
        with threadpool_limits(limits=1, user_api="blas"):
            cohorts, lender = self._cohorts(panel, calendar, np.flatnonzero(~silent))
            prior = fleet_prior([c.misses for c in cohorts if c.misses is not None])
            cohorts, luck = _judged_together(cohorts, prior, self.groups)
            counted = np.flatnonzero(silent)
            counts = (
                fit_counts(panel, counted, events=calendar, lender=lender, prior=prior)
                if len(counted)
                else None
            )
        return DemandFit(
            services=panel.services,
            quantities=panel.quantities,
            dates=panel.dates,
            first_day=panel.first_day,
            business_tz=history.business_tz,
            events=calendar,
            configurations=self.configurations,
            cohorts=tuple(cohorts),
            counts=counts,
            lender=lender,
            luck=luck,
            lift_growth_x=self.lift_growth_x,
            refused=Findings(panel.refused),
            findings=Findings(
                (*panel.refused, *_routes(panel, zeros, silent), *_unsolved(cohorts))
            ),
        )

    def fit_fleet(  # noqa: PLR0913  every option is a plain, named value
        self,
        values: np.ndarray | Iterable[np.ndarray],
        *,
        start: str | dt.date,
        business_tz: str,
        events: Events | None = None,
        quantiles: Sequence[float] = (0.5, 0.9, 0.95, 0.99),
        services: Sequence[str] | None = None,
        workers: int = 1,
    ) -> FleetFit:
        """Fit thousands of services given as arrays, in single precision, without joint paths.

        Parameters
        ----------
        values
            Demand by local hour with NaN for gaps, shape (services, hours), whole local days; or
            an iterable of such blocks, each read once, so that a fleet need not fit in memory.
            Not modified.
        start
            First local day.
        business_tz
            IANA zone of the local hours.
        events
            The calendar, past and future; None means none.
        quantiles
            Probabilities inside (0, 1) that forecasts will be asked for.
        services
            Names, one a row; None numbers them.
        workers
            Threads, each with chunks of services of its own.

        Returns
        -------
        FleetFit
            Services that cannot be fitted are set aside with a finding; the others go on.

        Raises
        ------
        InputError
            When blocks differ in length or hold no whole days, a quantile is outside (0, 1), or no
            service is usable.
        """
        from threadpoolctl import threadpool_limits  # noqa: PLC0415  imported where it is used

        from capmodel.demand.fleet import fit_fleet  # noqa: PLC0415  plans need it not
        from capmodel.events import Events as Calendar  # noqa: PLC0415  only where none is given

        with threadpool_limits(limits=1, user_api="blas"):
            return fit_fleet(
                values,
                start=start,
                business_tz=business_tz,
                events=Calendar.none() if events is None else events,
                configurations=[CONFIGURATIONS[name] for name in self.configurations],
                kappa=self.kappa,
                groups=self.groups,
                quantiles=quantiles,
                services=services,
                workers=workers,
            )

    def _cohorts(
        self, panel: Panel, events: Events, columns: np.ndarray
    ) -> tuple[list[Cohort], Lender | None]:
        """Fit the long cohorts first, so that they can lend to the short ones."""
        configurations = [CONFIGURATIONS[name] for name in self.configurations]
        cohorts: list[Cohort] = []
        lender: Lender | None = None
        is_long = True
        systems: Systems | None = None
        for first, members in _groups(panel.first_day, columns):
            if is_long and len(panel.dates) - first < LONG_DAYS:
                lender, is_long = Lender.of(cohorts, self.groups), False
            if systems is None or systems.window.design.n_days != len(panel.dates) - first:
                systems = Systems.of(Window.over(panel.dates[first:], events), configurations)
            cohorts.append(
                fit_cohort(
                    panel,
                    members,
                    first=first,
                    systems=systems,
                    kappa=self.kappa,
                    lender=lender,
                )
            )
        return cohorts, Lender.of(cohorts, self.groups) if is_long else lender


def _check_names(lift_growth_x: Mapping[str, float], events: Events) -> None:
    """Refuse a growth of an event that the calendar lacks."""
    known = {*events.names, *events.spans}
    problems = [
        Problem(
            f"lift_growth_x.{name}",
            "an event that the calendar lacks",
            f"one of the calendar's {len(known)} names",
            f'Did you mean "{near}"?' if (near := nearest(name, known)) else "Add it.",
        )
        for name in lift_growth_x
        if name not in known
    ]
    if problems:
        raise InputError(problems)


def _judged_together(
    cohorts: list[Cohort], prior: ErrorPrior, groups: Mapping[str, str]
) -> tuple[list[Cohort], Luck]:
    """Return the cohorts with what only the whole fleet can tell: errors, shared luck, effects."""
    misses = [c.misses for c in cohorts if c.misses is not None]
    luck = shared_luck([c.spread for c in cohorts], misses)
    pooled = pool_events(cohorts, groups, luck)
    return [
        replace(c, errors=out_of_sample(c.misses, prior, n_services=len(c.services)))
        for c in pooled
    ], luck


def _unsolved(cohorts: Iterable[Cohort]) -> Iterator[Finding]:
    """Yield which services' gaps are filled less exactly than they should be."""
    for cohort in cohorts:
        for name, unsolved in zip(cohort.services, cohort.unsolved, strict=True):
            if unsolved:
                text = f"{name}: filling its gaps did not converge; its forecast is less certain"
                yield Finding("gaps_not_converged", "warning", name, text)


def _zero_share(panel: Panel) -> np.ndarray:
    """Return each service's share of zeros among its observed hours, shape (S,) [ratio]."""
    seen = (~np.isnan(panel.values)).sum(axis=(0, 1))
    return np.asarray((panel.values == 0).sum(axis=(0, 1)) / seen)


def _routes(panel: Panel, zeros: np.ndarray, counted: np.ndarray) -> Iterator[Finding]:
    """Yield what the panel noticed; of services with many zeros, how they are forecast."""
    share = dict(zip(panel.services, zeros.tolist(), strict=True))
    by_count = {name for name, is_so in zip(panel.services, counted, strict=True) if is_so}
    for note in panel.notes:
        if note.code != "many_zeros":
            yield note
    for name in panel.services:
        if name not in by_count and share[name] <= MANY_ZEROS:
            continue
        text = f"{name}: {share[name]:.0%} of the hours are zero; "
        text += (
            "its events are counted; no trend or yearly season is fitted: state its growth, if any"
            if name in by_count
            else "a log model describes such a series badly, lower counts_above to count its events"
        )
        data = {"zero_share": share[name], "route": "counts" if name in by_count else "logs"}
        yield Finding("many_zeros", "warning", name, text, data)


def _groups(first_day: np.ndarray, columns: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """Yield the first day and the columns of each cohort, oldest first, in bounded chunks."""
    weeks = first_day[columns] // WEEK
    for week in np.unique(weeks):
        members = columns[weeks == week]
        for chunk in range(0, len(members), CHUNK):
            yield int(week) * WEEK, members[chunk : chunk + CHUNK]
