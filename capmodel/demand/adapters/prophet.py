"""Prophet, one Stan fit per service, behind the same face as our own model.

This module answers: what does Prophet forecast for this fleet, and which futures does it draw? It
contains what Prophet does to the process: its warnings and log lines become findings, numpy's
global stream and the environment are put back, Stan's files are deleted.
"""

from __future__ import annotations

import logging
import tempfile
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from capmodel.demand.adapters.base import Adapter, Fitted, fit_each
from capmodel.demand.adapters.contained import contained, environment_kept, numpy_seeded
from capmodel.demand.adapters.series import Series, hours_of, unseen_events
from capmodel.demand.design import HOURS, event_names_on, weekdays
from capmodel.demand.scale import LOG_OFFSET, restore

if TYPE_CHECKING:
    import pandas as pd

    from capmodel.demand.panel import Panel
    from capmodel.events import Events
    from capmodel.schema import Finding

__all__ = ["Prophet"]

LOGGERS: Final = {"prophet": logging.INFO, "cmdstanpy": logging.WARNING}
"""Prophet says at INFO which seasonality it leaves out; cmdstanpy only that it runs."""
BATCH: Final = 100
"""Paths simulated at a time: bounds the memory."""
STAN_SEED: Final = 1
"""Names Stan's stream; the optimiser starts from given values and draws nothing."""
DAY_CURVES: Final = {"weekday": (0, 4), "saturday": (5, 5), "sunday": (6, 6)}
"""Name of a daily curve to its first and last weekday, Monday 0."""
Positive = Annotated[float, Field(gt=0)]
Order = Annotated[int, Field(ge=0, le=50)] | None


class Prophet(Adapter):
    """Prophet (Taylor & Letham 2018), with its own defaults where nothing else is asked for.

    ``y = trend + seasonality + events + noise``, or ``y = trend * (1 + seasonality + events) +
    noise``: a piecewise linear trend, Fourier series for year, week and day, one effect per named
    event day. Fitted on the naive local clock, because Prophet refuses time zones: the repeated
    hour of autumn is averaged, the missing one of spring is a gap, and gaps are left out. Paths are
    Prophet's ``predictive_samples``: changes of trend as frequent and large as past ones, from the
    service's last observed day, and independent noise by the hour.

    A Prophet holiday is the whole local day: it moves all 24 hours by the same amount (or ratio,
    if `log` or multiplicative), whatever hours the event has. An event without a past occurrence
    changes nothing, and a finding names it.

    Requires the package ``prophet``. About 4 CPU-seconds per service for two years of hours.

    References
    ----------
    Taylor, S. J., & Letham, B. (2018). Forecasting at scale. The American Statistician 72(1),
    37-45.

    Examples
    --------
    >>> Prophet(seasonality_mode="multiplicative", log=False).n_changepoints
    25
    """

    growth: Literal["linear", "flat"] = "linear"
    """Trend: piecewise linear, or constant."""
    seasonality_mode: Literal["additive", "multiplicative"] = "additive"
    """How seasonality and events act on the trend."""
    yearly_order: Order = None
    """Fourier order of the year; None leaves it to Prophet, 0 leaves it out."""
    weekly_order: Order = None
    """Fourier order of the week; None leaves it to Prophet, 0 leaves it out."""
    daily_order: Order = None
    """Fourier order of the day; None leaves it to Prophet, 0 leaves it out."""
    split_days: bool = False
    """Whether weekdays, Saturdays and Sundays have daily curves of their own (`daily_order`)."""
    seasonality_prior_scale: Positive = 10.0
    """Standard deviation of the seasonal coefficients' prior [ratio of the largest value]."""
    event_prior_scale: Positive = 10.0
    """Standard deviation of the event effects' prior [ratio of the largest value]."""
    changepoint_prior_scale: Positive = 0.05
    """Scale of the Laplace prior on changes of trend; larger bends more."""
    changepoint_range: Annotated[float, Field(gt=0, le=1)] = 0.8
    """Part of the history, from its start, in which the trend may bend [ratio]."""
    n_changepoints: Annotated[int, Field(ge=0)] = 25
    """Places at which it may."""
    log: bool = False
    """Whether ``log(y / mean + 0.01)`` is fitted instead of y. Without it, paths stop at 0."""
    interval_draws: Annotated[int, Field(ge=1)] = 1000
    """Most paths that Prophet simulates; a forecast of more draws uses each several times."""

    @model_validator(mode="after")
    def _has_curves(self) -> Self:
        if self.split_days and not self.daily_order:
            msg = "split_days needs a daily_order of 1 or more, such as 10"
            raise ValueError(msg)
        return self

    def _fit_panel(self, panel: Panel, *, events: Events, reached: np.ndarray) -> Fitted:
        library = _load()
        fitted = fit_each(
            panel,
            partial(_fit_one, self, library=library, events=events, days=panel.dates),
            model="Prophet",
            reached=reached,
            loggers=LOGGERS,
        )
        observed = (~np.isnan(panel.values)).any(axis=1)
        unseen = unseen_events(
            events, panel.dates, observed, services=panel.services, instead="an ordinary day"
        )
        return Fitted(fitted.futures, refused=fitted.refused, notes=(*fitted.notes, *unseen))


def _load() -> Any:
    """Import Prophet without its complaint about a plotting library."""
    with contained({"prophet.plot": logging.ERROR}):
        import prophet  # noqa: PLC0415  0.9 s, and for this adapter only
        from cmdstanpy.utils import get_logger  # noqa: PLC0415  comes with prophet

        # It adds its handler when first asked for; while ours is in place it would never do so.
        get_logger()
    return prophet.Prophet


def _fit_one(
    spec: Prophet, series: Series, *, library: Any, events: Events, days: np.ndarray
) -> tuple[_ProphetSampler, list[Finding]]:
    """Fit one service; `days` are those of the history, which bound the horizon."""
    mean = float(np.nanmean(series.values)) if spec.log else None
    y = series.values.ravel()
    frame = _frame(series.dates, split_days=spec.split_days)
    frame["y"] = y if mean is None else np.log(y / mean + LOG_OFFSET)
    until = days[-1] + len(days)
    with environment_kept("CMDSTAN"), tempfile.TemporaryDirectory() as scratch:
        model = library(
            growth=spec.growth,
            n_changepoints=spec.n_changepoints,
            changepoint_range=spec.changepoint_range,
            changepoint_prior_scale=spec.changepoint_prior_scale,
            seasonality_mode=spec.seasonality_mode,
            seasonality_prior_scale=spec.seasonality_prior_scale,
            yearly_seasonality=_order(spec.yearly_order),
            weekly_seasonality=_order(spec.weekly_order),
            daily_seasonality=0 if spec.split_days else _order(spec.daily_order),
            holidays=_holidays(events, series, until, prior_scale=spec.event_prior_scale),
            uncertainty_samples=BATCH,
        )
        if spec.split_days:
            for name in DAY_CURVES:
                model.add_seasonality(name, 1, spec.daily_order, condition_name=f"is_{name}")
        model.fit(frame, seed=STAN_SEED, output_dir=scratch)
    # What is left of Stan are the names of deleted files.
    model.stan_fit = model.stan_backend = None
    sampler = _ProphetSampler(
        model=model,
        last_day=series.dates[-1],
        mean=mean,
        most=spec.interval_draws,
        split_days=spec.split_days,
    )
    return sampler, []


def _order(order: int | None) -> int | Literal["auto"]:
    return "auto" if order is None else order


def _frame(dates: np.ndarray, *, split_days: bool) -> pd.DataFrame:
    """Return Prophet's frame of naive local hours, with its conditions."""
    import pandas as pd  # noqa: PLC0415  kept out of import time

    frame = pd.DataFrame({"ds": pd.DatetimeIndex(hours_of(dates).astype("datetime64[s]"))})
    if split_days:
        weekday = np.repeat(weekdays(dates), HOURS)
        for name, (first, last) in DAY_CURVES.items():
            frame[f"is_{name}"] = (weekday >= first) & (weekday <= last)
    return frame


def _holidays(
    events: Events, series: Series, until: np.datetime64, *, prior_scale: float
) -> pd.DataFrame | None:
    """Return the days of the events that the series has seen; None where it has seen none."""
    import pandas as pd  # noqa: PLC0415  kept out of import time

    dates = np.arange(series.dates[0], until + 1)
    names = np.array(event_names_on(events, dates))
    observed = np.zeros(len(dates), dtype=bool)
    observed[: len(series.dates)] = (~np.isnan(series.values)).any(axis=1)
    used = np.isin(names, names[observed]) & (names != "")
    if not used.any():
        return None
    return pd.DataFrame(
        {
            # Not the bare name: Prophet keeps some for itself, such as "weekly".
            "holiday": [f"event {name}" for name in names[used]],
            "ds": pd.DatetimeIndex(dates[used].astype("datetime64[s]")),
            "prior_scale": prior_scale,
        }
    )


@dataclass(frozen=True, slots=True, eq=False)
class _ProphetSampler:
    """A fitted Prophet."""

    model: Any
    last_day: np.datetime64
    """The service's last observed day."""
    mean: float | None
    """Unit of the log series; None where there is no logarithm."""
    most: int
    split_days: bool

    def draw(self, dates: np.ndarray, *, rng: np.random.Generator, draws: int) -> np.ndarray:
        """Draw paths; see :class:`capmodel.demand.adapters.base.Sampler`."""
        # From the last observed day on: Prophet's trend errors grow from the frame's first hour.
        days = np.arange(self.last_day, dates[-1] + 1)
        frame = _frame(days, split_days=self.split_days)
        distinct = min(draws, self.most)
        with numpy_seeded(int(rng.integers(2**32))):
            batches = [
                self.model.predictive_samples(frame.copy())["yhat"]
                for _ in range(-(-distinct // BATCH))
            ]
        hours = np.repeat(days >= dates[0], HOURS)
        paths = np.concatenate(batches, axis=1)[hours].T[np.arange(draws) % distinct]
        paths = np.maximum(paths, 0.0) if self.mean is None else restore(paths, self.mean)
        return np.asarray(paths.reshape(draws, len(dates), HOURS))
