"""One cohort: services born in the same week, fitted on one design with one factorisation.

This module answers: what are the coefficients, residuals and errors of these services over their
own window, and what may services with a short history borrow from those with a long one?
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from capmodel.demand.design import HOURS, Design, Rows, Window, predict
from capmodel.demand.filling import Filled, fill
from capmodel.demand.lending import Lender
from capmodel.demand.scale import Scale, restore, standardise
from capmodel.demand.shortrange import ShortRange, fit_short_range
from capmodel.demand.solve import Selection, Statistics, select, statistics
from capmodel.demand.systems import Systems
from capmodel.demand.uncertainty import (
    ErrorPrior,
    EventSpread,
    Misses,
    OutOfSample,
    event_spread,
    fill_weeks,
    measure_misses,
    out_of_sample,
)

if TYPE_CHECKING:
    from capmodel.demand.panel import Panel

__all__ = [
    "LONG_DAYS",
    "Cohort",
    "Numbers",
    "fit_cohort",
    "fit_numbers",
]

LONG_DAYS: Final = 400
"""A shorter history has not seen a whole year: it borrows yearly and event effects [days]."""
RESIDUAL_DAYS: Final = 728
"""Past days whose residuals may be drawn for future ones: two years of whole weeks [days]."""
LEVEL_BLOCKS: Final = ("intercept", "linear", "hinge", "ramp", "yearly")
"""What "level" means when a growth is asked for or shown."""
UNSOLVED: Final = 1e-4
"""Relative residual of the gap equations above which a service is named."""


@dataclass(frozen=True, slots=True, eq=False)
class Cohort:
    """The fit of services that share a window; arrays are (.., S) in the order of `services`."""

    services: tuple[str, ...]
    first: int
    """First day of the window on the fleet's days."""
    design: Design
    beta: np.ndarray
    """Coefficients of z, shape (p, S)."""
    scale: Scale
    weights: np.ndarray
    """Share of each configuration, shape (C, S)."""
    backtest_rms: np.ndarray
    """Root mean squared backtest log error of the combination's best member, shape (S,)."""
    misses: Misses | None
    """What the backtests missed; None where the window is too short for any."""
    errors: OutOfSample
    """Shrunk toward what is assumed, and toward the fleet's once the fleet is fitted."""
    spread: EventSpread
    """Per event of ``design.event_names``, shape (S, E)."""
    residual: np.ndarray
    """Log residuals of the fleet's last days without gaps, shape (R, 24, S)."""
    day_mean: np.ndarray
    """Mean demand of each window day, gaps filled by the fit; NaN where mostly gap; (N, S)."""
    short_range: ShortRange
    """Where the last weeks' residuals carry the first weeks of a forecast."""
    is_borrowing: bool
    unsolved: np.ndarray

    @property
    def log_beta(self) -> np.ndarray:
        """Coefficients in log units of demand, shape (p, S)."""
        return np.asarray(self.beta * self.scale.sd)

    def quiet_log(self, rows: Rows) -> np.ndarray:
        """Return the log median (over `scale.mean`) without events, shape (N, 24, S)."""
        events = self.design.mask("event", "public_weekday")[:, None]
        z = predict(self.design, rows, np.where(events, 0.0, self.beta))
        return np.asarray(z * self.scale.sd + self.scale.center)

    def short_range_log(self, dates: np.ndarray) -> np.ndarray:
        """Return what the last residuals add on local days, shape (N, 24, S) [log]."""
        ahead = (dates - self.design.origin).astype(int) - self.design.n_days
        out = np.zeros((len(dates), HOURS, len(self.services)))
        correction = self.short_range.correction(int(ahead.max()) + 1)
        if correction is not None:
            near = (ahead >= 0) & (ahead < len(correction))
            out[near] = correction[ahead[near]] * self.scale.sd
        return out

    def level_log(self, rows: Rows) -> np.ndarray:
        """Return the log level: what is neither week, hour nor event, shape (N, S)."""
        level = self.design.mask(*LEVEL_BLOCKS)[:, None]
        z = predict(self.design, rows, np.where(level, self.beta, 0.0))[:, 0]
        return np.asarray(z * self.scale.sd + self.scale.center)

    def event_terms(self, event: int, column: int) -> np.ndarray:
        """Return the log effect of one event on one service, by the event's terms, shape (b,)."""
        return np.asarray(self.beta[self.design.of_event(event), column] * self.scale.sd[column])

    def public_hours(self) -> np.ndarray:
        """Return the log effect of a public holiday on a weekday, shape (24, S)."""
        columns = self.design.block("public_weekday").columns
        return np.asarray(self.beta[columns] * self.scale.sd)


@dataclass(frozen=True, slots=True, eq=False)
class Numbers:
    """What fitting some services on one window gives, before anybody asks a question."""

    z: np.ndarray
    """Standardised series less what is borrowed, NaN for gaps, shape (N, 24, S)."""
    scale: Scale
    prior: np.ndarray | None
    """Borrowed coefficients, shape (p, S); None where nothing is borrowed."""
    offset: np.ndarray | float
    """What the borrowed coefficients predict, of the shape of z; 0 without."""
    filled: Filled
    stats: Statistics
    selection: Selection
    fitted: np.ndarray
    """Fit of the filled series, of the shape of z."""

    @property
    def beta(self) -> np.ndarray:
        """Coefficients, the borrowed ones included, shape (p, S)."""
        own = self.selection.beta
        return own if self.prior is None else np.asarray(own + self.prior)


def fit_numbers(
    systems: Systems,
    values: np.ndarray,
    *,
    kappa: float,
    services: Sequence[str] = (),
    lender: Lender | None = None,
    censored: np.ndarray | None = None,
) -> Numbers:
    """Fit services that share a window.

    With a lender the ridge is toward its coefficients, ``(G + Lambda)(b - b0) = X'(z - X b0)``.

    Parameters
    ----------
    systems
        The window's factors.
    values
        Demand with NaN for gaps, shape (N, 24, S), of the systems' type.
    kappa
        Sharpness of the combination.
    services, lender
        Who borrows, and what; None to stand alone.
    censored
        Hours whose value is only a lower bound, shape (N, 24, S) bool.
    """
    window = systems.window
    z, scale = standardise(values)
    prior: np.ndarray | None = None
    offset: np.ndarray | float = 0.0
    if lender is not None:
        prior = lender.prior(window.design, services, scale.sd).astype(systems.dtype)
        offset = predict(window.design, window.rows, prior)
        z -= offset
    filled = fill(systems, z, censored=censored)
    stats = statistics(systems, filled.z)
    selection = select(systems, stats, kappa=kappa)
    return Numbers(
        z=z,
        scale=scale,
        prior=prior,
        offset=offset,
        filled=filled,
        stats=stats,
        selection=selection,
        fitted=predict(window.design, window.rows, selection.beta),
    )


def fit_cohort(
    panel: Panel,
    columns: np.ndarray,
    *,
    first: int,
    systems: Systems,
    kappa: float,
    lender: Lender | None,
) -> Cohort:
    """Fit services of a panel that share a window, from its day `first` on, for a plan.

    Parameters are those of :func:`fit_numbers`; `columns` are the services' positions.
    """
    window = systems.window
    values = panel.values[first:, :, columns]
    services = tuple(panel.services[i] for i in columns)
    numbers = fit_numbers(
        systems,
        values,
        kappa=kappa,
        services=services,
        lender=lender,
        censored=panel.censored_in(first, columns),
    )
    scale, selection = numbers.scale, numbers.selection
    residual = (numbers.z - numbers.fitted) * scale.sd
    median = restore((numbers.fitted + numbers.offset) * scale.sd + scale.center, scale.mean)
    usual = numbers.filled.z - numbers.fitted
    misses = measure_misses(
        systems, numbers.filled.z, fitted=numbers.fitted, selection=selection, sd=scale.sd
    )
    return Cohort(
        services=services,
        first=first,
        design=window.design,
        beta=numbers.beta,
        scale=scale,
        weights=selection.weights,
        backtest_rms=np.sqrt(selection.errors.min(axis=0)) * scale.sd,
        misses=misses,
        errors=out_of_sample(misses, ErrorPrior(), n_services=len(services)),
        spread=_spread(systems, residual, median, panel.censored_in(first, columns)),
        residual=_drawable(residual, window, first=first, n_days=len(panel.dates)),
        day_mean=_day_mean(values, median),
        short_range=fit_short_range(np.where(np.isnan(numbers.z), np.nan, usual)),
        is_borrowing=lender is not None,
        unsolved=numbers.filled.unsolved > UNSOLVED,
    )


def _day_mean(values: np.ndarray, median: np.ndarray) -> np.ndarray:
    """Return each day's mean demand, gaps filled by the fit; NaN where most is gap; (N, S)."""
    seen = ~np.isnan(values)
    mean = np.where(seen, values, median).mean(axis=1)
    mean[seen.sum(axis=1) < HOURS // 2] = np.nan
    return np.asarray(mean)


def _spread(
    systems: Systems, residual: np.ndarray, median: np.ndarray, censored: np.ndarray | None
) -> EventSpread:
    return event_spread(
        residual,
        median,
        event_of_day=systems.window.event_of_day,
        leverage=systems.day_leverage,
        windowed=systems.window.windowed,
        censored=censored,
    )


def _drawable(residual: np.ndarray, window: Window, *, first: int, n_days: int) -> np.ndarray:
    """Return the last two years' residuals of the fleet's days, events and gaps replaced."""
    length = min(RESIDUAL_DAYS, n_days)
    skip = n_days - length
    usual = np.where(window.ordinary_hours[:, :, None], residual, np.nan)
    whole = np.full((length, HOURS, residual.shape[2]), np.nan)
    start = max(first - skip, 0)
    whole[start:] = usual[max(skip - first, 0) :]
    return fill_weeks(whole, first_day=start)
