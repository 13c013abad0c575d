"""What every adapter shares: a history in, one fitted object out, a bad service set aside.

This module answers: how does a library that models one series at a time, or a plain rule, become a
model of a fleet that a backtest can judge and a plan can build on? A path here is all *shape*: what
a library calls the level's error, the trend's and the day's is mixed in its draws and cannot be
told apart, so growth and lifts that somebody assumes cannot be applied to it.
"""

from __future__ import annotations

import datetime as dt
from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

import numpy as np
from pydantic import BaseModel, ConfigDict

from capmodel.demand.adapters.contained import Message, contained
from capmodel.demand.adapters.series import Series, Unfit
from capmodel.demand.design import HOURS, event_names_on
from capmodel.demand.horizon import check_ahead
from capmodel.demand.panel import SET_ASIDE, Panel, nothing_usable, read_panel
from capmodel.demand.paths import DemandForecast, RootPaths
from capmodel.demand.windows import unknown_windows
from capmodel.errors import InputError, ModelError, Problem, nearest
from capmodel.history.localtime import local_cube
from capmodel.schema import Finding, Findings, rng_for

if TYPE_CHECKING:
    import pandas as pd

    from capmodel.demand.protocol import Lifts
    from capmodel.events import Events
    from capmodel.history import History

__all__ = ["AdaptedFit", "Adapter", "Fitted", "Futures", "Sampler", "fit_each", "refusal"]

QUIET: Final[Mapping[str, int]] = {}
"""No logger to collect from."""


class Futures(Protocol):
    """What is left of a fit: something that draws the coming hours of its services."""

    def draw(self, service: str, dates: np.ndarray, *, seed: int, draws: int) -> np.ndarray:
        """Return paths on local days, shape (D, N, 24) [the service's quantity]."""


class Sampler(Protocol):
    """The fit of one service."""

    def draw(self, dates: np.ndarray, *, rng: np.random.Generator, draws: int) -> np.ndarray:
        """Return paths on local days, shape (D, N, 24) [the service's quantity]."""


@dataclass(frozen=True, slots=True, eq=False)
class Fitted:
    """What a fit of a panel came to."""

    futures: Futures
    refused: tuple[Finding, ...] = ()
    notes: tuple[Finding, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class AdaptedFit:
    """The fitted services of an adapter; a new object for every fit.

    Futures are in :meth:`forecast` (hours, quantiles, peaks) and :meth:`roots` (the raw paths).
    """

    model: str
    """Name of the adapter."""
    services: tuple[str, ...]
    quantities: tuple[str, ...]
    """Demand quantity of each service."""
    dates: np.ndarray
    """Local days of the history, shape (N,), datetime64[D]."""
    first_day: np.ndarray
    """First observed day of each service, shape (S,)."""
    business_tz: str
    events: Events
    futures: Futures
    refused: Findings
    """Services set aside, each with its reason."""
    findings: Findings
    """Everything noticed, the refused services included."""

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
            Same seed, same paths, whatever else draws random numbers.
        draws
            Number of sample paths.
        lifts
            Must be empty: which lift of an event a path contains is not known.

        Raises
        ------
        InputError
            For a horizon that is empty, in the past, or longer than the history, and for lifts.
        """
        dates = self._horizon(start, end, draws=draws, lifts=lifts)

        def draw(service: str) -> RootPaths:
            return self._draw(service, dates, seed=seed, draws=draws)

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
        """Return the sample paths of some services.

        Parameters and errors are those of :meth:`forecast`, and a service that was refused or is
        unknown. ``level``, ``drift`` and ``shock`` are 0: everything is in ``shape``. ``to_growth``
        is NaN, and so is ``lift_x`` on event days.
        """
        names = tuple(services)
        dates = self._horizon(start, end, draws=draws, lifts=lifts)
        if problems := [self._unknown(name) for name in names if name not in self.services]:
            raise InputError(problems)
        return tuple(self._draw(name, dates, seed=seed, draws=draws) for name in names)

    def to_frame(self) -> pd.DataFrame:
        """Return one row per fitted service: service, quantity, model, first_day, last_day."""
        import pandas as pd  # noqa: PLC0415  kept out of import time

        return pd.DataFrame(
            {
                "service": self.services,
                "quantity": self.quantities,
                "model": self.model,
                "first_day": self.dates[self.first_day].astype(str),
                "last_day": str(self.dates[-1]),
            }
        )

    def _draw(self, service: str, dates: np.ndarray, *, seed: int, draws: int) -> RootPaths:
        try:
            shape = self.futures.draw(service, dates, seed=seed, draws=draws)
        except Exception as error:
            raise _no_draw(self.model, service, f"{type(error).__name__}: {error}") from error
        if not np.isfinite(shape).all():
            raise _no_draw(self.model, service, "values that are not finite")
        event = event_names_on(self.events, dates)
        flat = np.zeros((1, len(dates)))
        return RootPaths(
            service=service,
            quantity=self.quantities[self.services.index(service)],
            dates=dates,
            event=event,
            shape=shape,
            level=np.zeros(draws),
            drift=flat,
            shock=flat,
            to_growth=np.full(len(dates), np.nan),
            lift_x=np.where([bool(name) for name in event], np.nan, 1.0),
            basis="fitted",
            windows=unknown_windows(self.events, dates, slots=shape.shape[2], lift_x=np.nan),
        )

    def _horizon(
        self, start: str | dt.date, end: str | dt.date, *, draws: int, lifts: Lifts | None
    ) -> np.ndarray:
        refused = Problem(
            "lifts",
            f"lifts for {', '.join(sorted(lifts or {}))}",
            f"none: which lifts the paths of {self.model} contain is not known",
            "Use Batched, which knows each event's lift, or leave them out.",
        )
        more = [refused] if lifts else []
        return check_ahead(start, end, past=self.dates, draws=draws, more=more)

    def _unknown(self, service: str) -> Problem:
        reasons = [f.message for f in self.findings if f.service == service]
        near = nearest(service, self.services)
        return Problem(
            f'service "{service}"',
            reasons[0] if reasons else "no fitted demand of this name",
            f"one of {len(self.services)} services that {self.model} fitted",
            "Declare its demand, or mend its history."
            if reasons
            else (f'Did you mean "{near}"?' if near else "See the fit's `services`."),
        )


def refusal(code: str, service: str, *, model: str, reason: str) -> Finding:
    """Return the finding that sets a service aside."""
    text = f"{service}: {model}: {reason}{SET_ASIDE}"
    return Finding(code, "error", service, text, {"model": model})


def _no_draw(model: str, service: str, got: str) -> ModelError:
    return ModelError.of(
        f'service "{service}"',
        got=got,
        expected=f"paths from {model}",
        do="Use another model for this service.",
    )


class Adapter(BaseModel):
    """A demand model that a library or a plain rule brings; see the classes that follow from it."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    def fit(self, history: History, *, events: Events | None = None) -> AdaptedFit:
        """Fit every service that carries demand; set the unusable ones aside with their reason.

        Parameters
        ----------
        history
            Demand per service (``per_min``, else ``rps``), hourly or finer; not modified.
        events
            The calendar, past and future; None means none.

        Returns
        -------
        AdaptedFit
            ``refused`` holds the services set aside, ``findings`` what was noticed.

        Raises
        ------
        InputError
            When no service can be fitted, naming each one's reason.
        """
        from capmodel.events import Events as Calendar  # noqa: PLC0415  only where none is given

        calendar = Calendar.none() if events is None else events
        panel = read_panel(history)
        fitted = self._fit_panel(panel, events=calendar, reached=_reached(history))
        bad = {finding.service for finding in fitted.refused}
        kept = [i for i, name in enumerate(panel.services) if name not in bad]
        refused = (*panel.refused, *fitted.refused)
        if not kept:
            raise nothing_usable(refused, expected=f"a service that {type(self).__name__} can fit")
        return AdaptedFit(
            model=type(self).__name__,
            services=tuple(panel.services[i] for i in kept),
            quantities=tuple(panel.quantities[i] for i in kept),
            dates=panel.dates,
            first_day=panel.first_day[kept],
            business_tz=history.business_tz,
            events=calendar,
            futures=fitted.futures,
            refused=Findings(refused),
            findings=Findings((*refused, *panel.notes, *fitted.notes)),
        )

    @abstractmethod
    def _fit_panel(self, panel: Panel, *, events: Events, reached: np.ndarray) -> Fitted:
        """Fit the services of a panel; `reached` are the hours there can be, shape (N, 24)."""


def _reached(history: History) -> np.ndarray:
    """Return the local hours that exist and that the history's grid reaches, shape (N, 24) bool."""
    _, cube = local_cube(
        np.ones((1, history.n_steps)),
        start=history.start,
        step_min=history.step_min,
        tz=history.business_tz,
    )
    return np.asarray(~np.isnan(cube[:, :, 0]))


@dataclass(frozen=True, slots=True, eq=False)
class _Each:
    """Samplers by service."""

    model: str
    samplers: Mapping[str, Sampler]
    loggers: Mapping[str, int]

    def draw(self, service: str, dates: np.ndarray, *, seed: int, draws: int) -> np.ndarray:
        """Draw from the stream (model, service), so that no service depends on another."""
        rng = rng_for(seed, self.model, service)
        # What it may say here it said when the fit was tried.
        with contained(self.loggers):
            return self.samplers[service].draw(dates, rng=rng, draws=draws)


def fit_each(
    panel: Panel,
    fit_one: Callable[[Series], tuple[Sampler, list[Finding]]],
    *,
    model: str,
    reached: np.ndarray,
    loggers: Mapping[str, int] = QUIET,
) -> Fitted:
    """Fit service by service; whatever goes wrong with one is its own finding.

    Paths of different services are drawn independently: a library that sees one series at a time
    does not know how they move together, so a peak of their sum is understated.

    Parameters
    ----------
    panel
        The services.
    fit_one
        Fits one series; returns its sampler and what was noticed.
    model
        Name of the adapter.
    reached
        Hours that exist and that the history reaches, shape (N, 24) bool.
    loggers
        The library's loggers; see :func:`contained`.
    """
    samplers: dict[str, Sampler] = {}
    refused: list[Finding] = []
    notes: list[Finding] = []
    for column, service in enumerate(panel.services):
        series = Series.of(panel, column, reached)
        own: list[Finding] = []
        with contained(loggers) as messages:
            try:
                sampler, own = fit_one(series)
                _try(sampler, panel.dates[-1:] + 1)
            except Exception as error:  # noqa: BLE001  a library may raise anything
                refused.append(_refusal(model, service, error))
            else:
                samplers[service] = sampler
        notes += [*own, *(_said(model, service, message) for message in messages)]
    futures = _Each(model, samplers, loggers)
    return Fitted(futures, refused=tuple(refused), notes=tuple(notes))


def _try(sampler: Sampler, day: np.ndarray) -> None:
    """Draw one day, so that a fit that cannot forecast is found out at once."""
    paths = sampler.draw(day, rng=np.random.default_rng(0), draws=2)
    if paths.shape != (2, 1, HOURS) or not np.isfinite(paths).all():
        raise Unfit("fit_failed", "its forecast is not finite")


def _refusal(model: str, service: str, error: Exception) -> Finding:
    code = error.code if isinstance(error, Unfit) else "fit_failed"
    reason = str(error) if isinstance(error, Unfit) else f"{type(error).__name__}: {error}"
    return refusal(code, service, model=model, reason=reason)


def _said(model: str, service: str, message: Message) -> Finding:
    text = f"{service}: {model} says: {' '.join(message.text.split())}"
    return Finding("library_message", message.severity, service, text, {"model": model})
