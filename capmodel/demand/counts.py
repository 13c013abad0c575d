"""Services whose hours are mostly zero: events counted, not logarithms regressed.

This module answers: what may a service ask for that is silent in most hours? Its rate is today's
level times an hour-of-week profile times the ratio of an event day, each a gamma-Poisson estimate
that believes a number as far as events were counted; how events clump is :mod:`.clumping`'s. There
is no trend: a plan that knows of growth assumes it. (The methods for intermittent stock demand,
Croston's and its kin, smooth the gaps between demands to one number for the next period; a peak
months ahead needs the week's profile, the event and the clumps.)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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


@dataclass(frozen=True, slots=True, eq=False)
class _Past:
    """One service's history and its calendar."""

    values: np.ndarray
    """Demand with NaN for gaps, shape (N, 24)."""
    seen: np.ndarray
    """Ordinary hours that were observed, shape (N, 24) bool."""
    weekday: np.ndarray
    week: np.ndarray
    """Weeks of seven days up to the last one, from 0, shape (N,)."""
    names: np.ndarray
    """Each day's event, '' on ordinary days, shape (N,)."""

    @classmethod
    def of(cls, values: np.ndarray, dates: np.ndarray, names: np.ndarray) -> _Past:
        """Lay out a service's days from its first one on."""
        back = (len(dates) - 1 - np.arange(len(dates))) // WEEK
        return cls(
            values=values,
            seen=~np.isnan(values) & (names == "")[:, None],
            weekday=weekdays(dates),
            week=back[0] - back,
            names=names,
        )


def fit_counts(
    panel: Panel,
    columns: Sequence[int],
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
    services = tuple(panel.services[i] for i in columns)
    lent = _Lent.of(lender, events)
    models, means = [], []
    for service, column in zip(services, columns, strict=True):
        first = int(panel.first_day[column])
        values = panel.values[:, :, column]
        past = _Past.of(values[first:], panel.dates[first:], names[first:])
        model = _fit_one(past, lent=lent, service=service, prior=prior)
        rate = model.profile[past.weekday] * model.level[:, None]
        before = np.full(first, model.level[0])
        models.append(replace_level(model, np.concatenate([before, model.level])))
        means.append(np.concatenate([np.full(first, np.nan), _day_mean(values[first:], rate)]))
    return CountCohort(
        services=services,
        dates=panel.dates,
        models=tuple(models),
        day_mean=np.stack(means, axis=1),
    )
