"""The classical models of statsmodels, one fit per service: ETS, unobserved components, STL + ETS.

This module answers: what do exponential smoothing and structural time series say of this fleet? All
three fit ``z = (log(y / mean + 0.01) - center) / sd`` on the local clock and know no events. Their
paths are simulations of the fitted state space model with normal errors, from the hour after the
last observed one; hours of a horizon that were observed already hold what was observed.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from inspect import signature
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final, Literal

import numpy as np
from pydantic import Field

from capmodel.demand.adapters.base import Adapter, Fitted, fit_each
from capmodel.demand.adapters.series import Scaling, Series, hours_of
from capmodel.demand.design import HOURS
from capmodel.demand.panel import SHORTEST_DAYS
from capmodel.schema import Finding

if TYPE_CHECKING:
    from capmodel.demand.panel import Panel
    from capmodel.events import Events

__all__ = ["Ets", "StlEts", "UnobservedComponents"]

RECENT_DAYS: Final = 91
"""Thirteen whole weeks [days]."""
SIMULATED_CELLS: Final = 8_000_000
"""States that one call may simulate: bounds the memory at 64 MB."""
Simulate = Callable[[int, np.random.Generator, int], np.ndarray]
"""(steps, stream, draws) to z, shape (draws, steps)."""
Trend = Literal["none", "linear", "damped"]


class _Classical(Adapter):
    """What the three have in common."""

    _takes_gaps: ClassVar[bool] = False

    last_days: Annotated[int, Field(ge=SHORTEST_DAYS)] | None = RECENT_DAYS
    """Days fitted, the last ones of each service; None takes all. A finding says what was used."""
    log: bool = True
    """Whether the logarithm is fitted, so that components multiply. Without it, paths stop at 0."""

    def _fit_panel(self, panel: Panel, *, events: Events, reached: np.ndarray) -> Fitted:
        model = type(self).__name__
        fitted = fit_each(panel, self._fit_one, model=model, reached=reached)
        notes = list(fitted.notes)
        days = self.last_days
        if days is not None and days < len(panel.dates):
            text = f"{model} fits each service's last {days} days of up to {len(panel.dates)}"
            notes.append(Finding("last_days", "info", "", text, {"days": days}))
        if len(events):
            text = f"{model} knows no events: event days, past and coming, are taken as ordinary"
            notes.append(Finding("events_unused", "info", "", text))
        return Fitted(fitted.futures, refused=fitted.refused, notes=tuple(notes))

    def _fit_one(self, series: Series) -> tuple[_Simulated, list[Finding]]:
        series = series.last(self.last_days)
        z, scaling = Scaling.of(series.values, log=self.log)
        span = series.span
        notes: list[Finding] = []
        known = z.ravel()[span]
        if not self._takes_gaps:
            known, notes = series.filled(z)
        simulate, known = self._simulator(known)
        first_hour = hours_of(series.dates)[span.start]
        return _Simulated(first_hour, known=known, scaling=scaling, simulate=simulate), notes

    @abstractmethod
    def _simulator(self, z: np.ndarray) -> tuple[Simulate, np.ndarray]:
        """Fit a series, with gaps only if the library takes them, and return it without, (T,)."""


class Ets(_Classical):
    """Exponential smoothing as a state space model: ETS(A, trend, A) of the logarithm.

    Additive error and season; no trend, a linear or a damped one (Hyndman et al. 2008, chapter 2).
    Smoothing and damping are estimated by maximum likelihood, the initial states by the heuristic
    of their section 2.6.1. Gaps are filled first and a finding counts them.

    At hourly steps nearly every surprise moves the level, so that the level is a random walk by the
    hour and upper quantiles are of use for days, not for months: they widen with the square root of
    the hours.

    Requires ``statsmodels`` (``ETSModel``). A weekly period of hours has 168 seasonal states: about
    0.1 CPU-seconds per service for a fit, 2 for 1,000 paths of 90 days.

    References
    ----------
    Hyndman, R. J., Koehler, A. B., Ord, J. K., & Snyder, R. D. (2008). Forecasting with exponential
    smoothing: the state space approach. Springer.
    """

    period_hours: Literal[24, 168] = 168
    """Season: a day, or a week (the default, since services differ between weekdays) [h]."""
    trend: Trend = "damped"
    """Trend of the logarithm."""

    def _simulator(self, z: np.ndarray) -> tuple[Simulate, np.ndarray]:
        return _smoothing(z, trend=self.trend, period=self.period_hours), z


class StlEts(_Classical):
    """STL decomposition, then exponential smoothing of what is left without the season.

    ``z = season + rest`` by local regression (Cleveland et al. 1990); the rest is ETS(A, trend, N),
    and the last season repeats. The season's own error is not in the paths. Gaps are filled first
    and a finding counts them.

    Requires ``statsmodels`` (``STL``, ``ETSModel``). About 0.2 CPU-seconds per service for 91 days,
    1.5 for two years.

    References
    ----------
    Cleveland, R. B., Cleveland, W. S., McRae, J. E., & Terpenning, I. (1990). STL: a seasonal-trend
    decomposition procedure based on loess. Journal of Official Statistics 6(1), 3-73.
    """

    period_hours: Literal[24, 168] = 168
    """Season: a day, or a week (the default, since services differ between weekdays) [h]."""
    trend: Trend = "damped"
    """Trend of what is left without the season."""

    def _simulator(self, z: np.ndarray) -> tuple[Simulate, np.ndarray]:
        from statsmodels.tsa.seasonal import STL  # noqa: PLC0415  2.6 s, for this adapter only

        period = self.period_hours
        season = np.asarray(STL(z, period=period).fit().seasonal)
        rest = _smoothing(z - season, trend=self.trend, period=None)

        def simulate(steps: int, rng: np.random.Generator, draws: int) -> np.ndarray:
            return np.asarray(rest(steps, rng, draws) + np.resize(season[-period:], steps))

        return simulate, z


class UnobservedComponents(_Classical):
    """Structural time series: a level, fixed daily and weekly waves, autoregressive noise.

    ``z = level + trigonometric seasons + AR(1) + noise`` (Harvey 1989, chapter 2), by maximum
    likelihood and the Kalman filter, which takes gaps as they are. The periods are 24 and 168
    hours, both at once; the seventh wave of the week would be the first of the day, so the week has
    six at most.

    Requires ``statsmodels``. Time and memory grow with the history: two years of hours take 30
    CPU-seconds and 1.2 GB per service, the last 91 days (the default) about 2 seconds and 0.2 GB.

    References
    ----------
    Harvey, A. C. (1989). Forecasting, structural time series models and the Kalman filter.
    Cambridge University Press.
    """

    _takes_gaps: ClassVar[bool] = True

    level: Literal["local level", "local linear deterministic trend", "local linear trend"] = (
        "local level"
    )
    """The level: a random walk, with a fixed slope, or with a slope that is one itself."""
    daily_waves: Annotated[int, Field(ge=1, le=12)] = 6
    """Trigonometric terms of the 24-hour season."""
    weekly_waves: Annotated[int, Field(ge=0, le=6)] = 6
    """Trigonometric terms of the 168-hour season."""
    autoregressive: bool = True
    """Whether noise of neighbouring hours is correlated; without, the level takes it up."""

    def _simulator(self, z: np.ndarray) -> tuple[Simulate, np.ndarray]:
        seasons = [{"period": 24, "harmonics": self.daily_waves}]
        if self.weekly_waves:
            seasons.append({"period": 168, "harmonics": self.weekly_waves})
        options = {
            "level": self.level,
            "freq_seasonal": seasons,
            "stochastic_freq_seasonal": [False] * len(seasons),
            "autoregressive": 1 if self.autoregressive else None,
        }
        return _structural(z, options)


@dataclass(frozen=True, slots=True, eq=False)
class _Simulated:
    """A fitted state space model and the hours that led to it."""

    first_hour: np.datetime64
    """Local hour of the first known value."""
    known: np.ndarray
    """Fitted series without gaps, shape (T,) [z]."""
    scaling: Scaling
    simulate: Simulate

    def draw(self, dates: np.ndarray, *, rng: np.random.Generator, draws: int) -> np.ndarray:
        """Draw paths; see :class:`capmodel.demand.adapters.base.Sampler`."""
        begin = int((hours_of(dates)[0] - self.first_hour).astype(int))
        end = begin + len(dates) * HOURS
        seen = self.known[begin:end]
        z = np.empty((draws, end - begin))
        z[:, : len(seen)] = seen
        if end > len(self.known):
            coming = self.simulate(end - len(self.known), rng, draws)
            z[:, len(seen) :] = coming[:, coming.shape[1] - (end - begin - len(seen)) :]
        return self.scaling.demand(z).reshape(draws, len(dates), HOURS)


def _smoothing(z: np.ndarray, *, trend: Trend, period: int | None) -> Simulate:
    """Fit ETS(A, trend, A or N) to a series without gaps."""
    from statsmodels.tsa.exponential_smoothing import ets  # noqa: PLC0415  2.6 s, not for all

    model = ets.ETSModel(
        z,
        error="add",
        trend=None if trend == "none" else "add",
        damped_trend=trend == "damped",
        seasonal=None if period is None else "add",
        seasonal_periods=period,
        initialization_method="heuristic",
    )
    return partial(_smoothed_paths, model.fit(disp=False), 3 + (period or 0))


def _smoothed_paths(
    results: Any, states: int, steps: int, rng: np.random.Generator, draws: int
) -> np.ndarray:
    """Simulate an ETS; its errors are drawn here, so that every version draws the same."""
    batch = max(SIMULATED_CELLS // (steps * states), 1)
    sd = np.sqrt(results.scale)
    parts = []
    for first in range(0, draws, batch):
        count = min(batch, draws - first)
        errors = sd * rng.standard_normal((steps, count))
        part = results.simulate(steps, anchor="end", repetitions=count, random_errors=errors)
        parts.append(np.asarray(part).reshape(steps, count).T)
    return np.concatenate(parts)


def _structural(z: np.ndarray, options: Mapping[str, Any]) -> tuple[Simulate, np.ndarray]:
    """Fit unobserved components to a series with gaps; a gap holds what the filter predicts."""
    from statsmodels.tsa.statespace import structural  # noqa: PLC0415  2.6 s, not for all

    model = structural.UnobservedComponents(z, **options)
    params = model.fit(disp=False, return_params=True)
    filtered = model.filter(params, cov_type="none")
    # A model of one hour simulates the same futures and does not hold the filter's arrays.
    simulate = partial(
        _structural_paths,
        structural.UnobservedComponents(z[-1:], **options),
        np.asarray(params),
        filtered.predicted_state[:, -1].copy(),
        filtered.predicted_state_cov[:, :, -1].copy(),
    )
    return simulate, np.where(np.isnan(z), filtered.filter_results.forecasts[0], z)


def _structural_paths(  # noqa: PLR0913, PLR0917  what is bound first, then what a draw asks for
    model: Any,
    params: np.ndarray,
    state: np.ndarray,
    state_cov: np.ndarray,
    steps: int,
    rng: np.random.Generator,
    draws: int,
) -> np.ndarray:
    """Simulate from the state that the filter predicts for the hour after the last one."""
    start = rng.multivariate_normal(state, state_cov, size=draws).T
    stream = "rng" if "rng" in signature(model.simulate).parameters else "random_state"
    paths = model.simulate(
        params, steps, initial_state=start, anchor="start", repetitions=draws, **{stream: rng}
    )
    return np.asarray(paths).reshape(steps, draws).T
