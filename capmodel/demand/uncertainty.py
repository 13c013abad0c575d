"""How wrong a fit may be: level, trend, day noise, and events from year to year.

This module answers: by how much did the fit miss out of sample, at which of the three levels
(season, service, day), and how much does an event differ between its own years? Everything is in
log units of demand, per service, and rests on that service's own past only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Final, NamedTuple

import numpy as np

from capmodel.demand.event_columns import WHOLE_DAY, WindowDay
from capmodel.demand.solve import Selection, cut_error
from capmodel.demand.systems import Systems
from capmodel.history.arrays import sorted_median

__all__ = [
    "PRIOR_DF",
    "SHOCK_PRIOR_SD",
    "ErrorPrior",
    "EventSpread",
    "Misses",
    "OutOfSample",
    "event_spread",
    "fill_weeks",
    "fleet_prior",
    "measure_misses",
    "out_of_sample",
]

PRIOR_DF: Final = 4.0
"""Weight of every prior below [degrees of freedom]; `assumed`."""
LEVEL_PRIOR_SD: Final = 0.02
"""Prior log standard deviation of today's level; `assumed`."""
DRIFT_PRIOR_SD: Final = 0.05
"""Prior log standard deviation of the trend's error after 90 days; `assumed`."""
DRIFT_DAYS: Final = 90.0
SHOCK_PRIOR_SD: Final = 0.10
"""Prior log standard deviation of an event between its years; `assumed`."""
BUCKETS: Final = (0, 14, 30, 60, 90, 120)
"""Backtest days after the cut-off that are averaged together: level first, then drift [days]."""
FEWEST_BUCKET_DAYS: Final = 5
OUTLYING: Final = 9.0
"""A service's squared miss counts up to this multiple of the fleet's median one [ratio]."""
INFLATION_RANGE: Final = (1.0, 3.0)
"""Out-of-sample / in-sample noise is kept within [ratio]; below 1 would be luck."""
AMBIENT_DAYS: Final = 7
"""Days on either side of an event that say where the level stood."""
SEEN_SHARE: Final = 0.5
"""Share of an event's hours that must be observed for a day to count as a precedent [ratio]."""
WEEK: Final = 7


@dataclass(frozen=True, slots=True, eq=False)
class Misses:
    """What the backtests missed, in log units of demand; K cut-offs, S services."""

    level: np.ndarray
    """Mean error over the first fortnight, shape (K, S)."""
    drift: np.ndarray
    """Change of the mean error since then, scaled to 90 days, shape (K, B, S); NaN without."""
    noise_out: np.ndarray
    """Mean square of what is left of the hour, shape (S,)."""
    noise_in: np.ndarray
    """The same in sample, on the same days, shape (S,)."""
    seasons: float
    """Distinct backtest time in units of one backtest: the windows overlap."""


def measure_misses(
    systems: Systems, z: np.ndarray, *, fitted: np.ndarray, selection: Selection, sd: np.ndarray
) -> Misses | None:
    """Split the errors after each cut-off into level, drift and the hours' own noise.

    With ``e_b`` the mean error of bucket b of the backtest's ordinary days, centred ``h_b`` days
    after the cut-off: level ``e_0``, drift ``(e_b - e_0) * sqrt(90 / (h_b - h_0))``.

    Parameters
    ----------
    systems, z
        The training days and the series without gaps on them, shape (N, 24, S).
    fitted
        The fit in sample [z], shape (N, 24, S).
    selection
        The combined coefficients as of each cut-off.
    sd
        Log units per z, shape (S,).
    """
    parts = [
        part
        for cut, beta in zip(systems.backtests.cuts, selection.cut_betas, strict=True)
        if (part := _miss(systems, z, fitted=fitted, cut=cut, beta=beta)) is not None
    ]
    if not parts:
        return None
    return Misses(
        level=np.array([part.level for part in parts]) * sd,
        drift=np.array([part.drift for part in parts]) * sd,
        noise_out=np.mean([part.noise_out for part in parts], axis=0) * sd**2,
        noise_in=np.mean([part.noise_in for part in parts], axis=0) * sd**2,
        seasons=(systems.backtests.n_days - systems.backtests.cuts[0]) / systems.backtests.days,
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Miss:
    """The errors of one backtest [z]."""

    level: np.ndarray
    drift: np.ndarray
    noise_out: np.ndarray
    noise_in: np.ndarray


def _miss(
    systems: Systems, z: np.ndarray, *, fitted: np.ndarray, cut: int, beta: np.ndarray
) -> _Miss | None:
    error = cut_error(systems, z, cut=cut, beta=beta)
    ahead = np.arange(len(error))
    keep = systems.window.ordinary[cut : cut + len(error)]
    buckets = [
        np.flatnonzero(keep & (ahead >= low) & (ahead < high)) for low, high in pairwise(BUCKETS)
    ]
    if len(buckets[0]) < FEWEST_BUCKET_DAYS:
        return None
    means: list[np.ndarray] = []
    drift, squares, used = [], [], []
    for days in buckets:
        if len(days) < FEWEST_BUCKET_DAYS:
            drift.append(np.full(z.shape[2], np.nan))
            continue
        mean = error[days].mean(axis=(0, 1), dtype=float)
        if means:
            change = (mean - means[0]) * np.sqrt(DRIFT_DAYS / (days.mean() - buckets[0].mean()))
            drift.append(change)
        means.append(mean)
        left = error[days] - mean.astype(error.dtype)
        squares.append(np.einsum("nhs,nhs->s", left, left).astype(float))
        used.append(days)
    days = cut + np.concatenate(used)
    inside = z[days] - fitted[days]
    cells = len(days) * inside.shape[1]
    return _Miss(
        level=means[0],
        drift=np.array(drift),
        noise_out=np.sum(squares, axis=0) / cells,
        noise_in=np.einsum("nhs,nhs->s", inside, inside).astype(float) / cells,
    )


@dataclass(frozen=True, slots=True, eq=False)
class OutOfSample:
    """Log errors beyond the training window, per service, shape (S,)."""

    level_sd: np.ndarray
    drift_sd: np.ndarray
    """After 90 days; grows with the square root of the time."""
    df: float
    """Degrees of freedom behind both: the prior's, and one per distinct backtest."""
    inflation: np.ndarray
    """Day noise out of sample / in sample [ratio]."""


@dataclass(frozen=True, slots=True)
class ErrorPrior:
    """What a fleet knows about errors before it looks at one service [log sd]."""

    level_sd: float = LEVEL_PRIOR_SD
    drift_sd: float = DRIFT_PRIOR_SD


def fleet_prior(misses: Sequence[Misses]) -> ErrorPrior:
    """Return the root mean squares of all services' misses, the assumed ones counting as four.

    Each service's square is capped at nine times the fleet's median one: a single service that
    broke must not widen all others.
    """
    level = np.concatenate([(m.level**2).mean(axis=0) for m in misses] or [np.zeros(0)])
    drift = np.concatenate([_mean_known(m.drift**2) for m in misses] or [np.zeros(0)])
    return ErrorPrior(
        level_sd=_pooled_sd(level, LEVEL_PRIOR_SD), drift_sd=_pooled_sd(drift, DRIFT_PRIOR_SD)
    )


def _mean_known(values: np.ndarray) -> np.ndarray:
    """Return the mean over all axes but the last, NaN left out; 0 where nothing is known."""
    flat = values.reshape(-1, values.shape[-1])
    known = ~np.isnan(flat)
    return np.asarray(np.where(known, flat, 0).sum(axis=0) / np.maximum(known.sum(axis=0), 1))


def _pooled_sd(squares: np.ndarray, prior_sd: float) -> float:
    if len(squares):
        squares = np.minimum(squares, OUTLYING * np.median(squares))
    total = PRIOR_DF * prior_sd**2 + squares.sum()
    return float(np.sqrt(total / (PRIOR_DF + len(squares))))


def out_of_sample(misses: Misses | None, prior: ErrorPrior, *, n_services: int) -> OutOfSample:
    """Shrink each service's errors toward the prior.

    ``level_sd^2 = (4 * prior^2 + nu * mean e_0^2) / (4 + nu)``, drift alike: the posterior scale of
    a normal variance under a scaled inverse chi-squared prior of 4 degrees of freedom, where nu
    counts *distinct* backtests.

    References
    ----------
    Gelman, A., et al. (2013). Bayesian Data Analysis, 3rd ed., section 2.6.
    """
    if misses is None:
        return OutOfSample(
            level_sd=np.full(n_services, prior.level_sd),
            drift_sd=np.full(n_services, prior.drift_sd),
            df=PRIOR_DF,
            inflation=np.ones(n_services),
        )
    nu = misses.seasons
    has_drift = bool((~np.isnan(misses.drift)).any())
    ratio = np.sqrt(misses.noise_out / np.maximum(misses.noise_in, np.finfo(float).tiny))
    return OutOfSample(
        level_sd=_posterior_sd((misses.level**2).mean(axis=0), prior.level_sd, nu),
        drift_sd=_posterior_sd(_mean_known(misses.drift**2), prior.drift_sd, nu * has_drift),
        df=PRIOR_DF + nu,
        inflation=np.clip(ratio, *INFLATION_RANGE),
    )


def _posterior_sd(mean_square: np.ndarray, prior_sd: float, nu: float) -> np.ndarray:
    return np.asarray(np.sqrt((PRIOR_DF * prior_sd**2 + nu * mean_square) / (PRIOR_DF + nu)))


@dataclass(frozen=True, slots=True, eq=False)
class EventSpread:
    """How events of one training window vary, each shape (S, E) unless it says otherwise."""

    n: np.ndarray
    """Observed occurrences."""
    variance: np.ndarray
    """Log variance of the event between its own years; 0 below two."""
    deviation: tuple[np.ndarray, ...]
    """Per event: each occurrence less the mean of all, NaN unless seen twice, shape (n_e, S)."""
    coefficient_sd: np.ndarray
    """Log standard error of the fitted effect."""
    leverage: np.ndarray
    """Share of one event day in its fitted mean effect."""
    day_variance: np.ndarray
    """Log variance of an ordinary day's mean over the event's hours."""
    censored: np.ndarray
    """Whether a past occurrence holds lower bounds, bool."""
    pooled: np.ndarray
    """Whether the group's evidence is in the effect, bool."""

    @property
    def shock_df(self) -> np.ndarray:
        """Degrees of freedom of the shock: the prior's and past seasons, never services."""
        return np.asarray(PRIOR_DF + np.maximum(self.n - 1, 0))

    @property
    def shock_sd(self) -> np.ndarray:
        """Log standard deviation of an event between its years.

        ``sd^2 = max(v, (4 * 0.10^2 + (n - 1) v) / (4 + n - 1))``: the prior may widen what the
        seasons show but never narrow it.
        """
        spare = np.maximum(self.n - 1, 0)
        posterior = PRIOR_DF * SHOCK_PRIOR_SD**2 + spare * self.variance
        return np.asarray(np.sqrt(np.maximum(posterior / (PRIOR_DF + spare), self.variance)))

    def left_out_error(self, event: int, column: int) -> float:
        """Return how far off each occurrence was when predicted from the others alone [log].

        The root mean square of ``d_i n / (n - 1)``, d_i the deviation from the mean of all n; NaN
        below two occurrences (leave-one-out of a mean: Allen 1974).

        References
        ----------
        Allen, D. M. (1974). The relationship between variable selection and data augmentation and a
        method for prediction. Technometrics 16(1), 125-127.
        """
        own = self.deviation[event][:, column]
        own = own[~np.isnan(own)]
        if len(own) < 2:  # noqa: PLR2004  one alone is predicted by nobody
            return float("nan")
        return float(np.sqrt(((own * len(own) / (len(own) - 1)) ** 2).mean()))


def event_spread(
    residual: np.ndarray,
    weight: np.ndarray | None,
    *,
    event_of_day: np.ndarray,
    leverage: np.ndarray,
    windowed: Sequence[WindowDay] = (),
    censored: np.ndarray | None = None,
) -> EventSpread:
    """Return how much each event differed between its own years.

    An occurrence deviates by the demand-weighted mean log residual of its day (of its hours, where
    it is a window), less where the level stood in the fortnight around it. The effect's standard
    error follows from the leverage of a whole day, because the hours of one day err together:
    ``coefficient_sd^2 = leverage * (shock_sd^2 + day_sd^2)``.

    Parameters
    ----------
    residual
        Log residuals with NaN for gaps, shape (N, 24, S).
    weight
        Fitted demand, shape (N, 24, S); None weighs all hours alike.
    event_of_day
        Index of each day's whole-day event, -1 on other days, shape (N,).
    leverage
        Leverage of one event day on its own mean, shape (E,).
    windowed
        Days and hours of windowed events.
    censored
        Hours that are lower bounds, shape (N, 24, S) bool; None: there are none.
    """
    seen = _occurrences(event_of_day, windowed, count=len(leverage))
    by_hours = {
        hours: _hours_residual(residual, weight, hours)
        for hours in {WHOLE_DAY, *(o.hours for several in seen for o in several)}
    }
    is_calm = np.ones(len(residual), dtype=bool)
    is_calm[[o.day for several in seen for o in several]] = False
    calm = {hours: np.where(is_calm[:, None], day, np.nan) for hours, day in by_hours.items()}
    noise = {hours: _mean_known(day[:, None, :] ** 2) for hours, day in calm.items()}
    shape = (residual.shape[2], len(leverage))
    n, variance, day_variance = np.zeros(shape, dtype=int), np.zeros(shape), np.zeros(shape)
    deviation = []
    for e, several in enumerate(seen):
        gaps = np.array(
            [by_hours[o.hours][o.day] - _ambient(calm[WHOLE_DAY], o.day) for o in several]
        ).reshape(len(several), shape[0])
        n[:, e] = (~np.isnan(gaps)).sum(axis=0)
        variance[:, e] = _variance_known(gaps)
        day_variance[:, e] = np.mean([noise[o.hours] for o in several], axis=0)
        mean = np.where(np.isnan(gaps), 0, gaps).sum(axis=0) / np.maximum(n[:, e], 1)
        deviation.append(np.where(n[:, e] > 1, gaps - mean, np.nan))
    spread = EventSpread(
        n=n,
        variance=variance,
        deviation=tuple(deviation),
        coefficient_sd=np.zeros(shape),
        leverage=np.maximum(leverage, 1 / np.maximum(n, 1)),
        day_variance=day_variance,
        censored=_censored_events(seen, censored, shape=shape),
        pooled=np.zeros(shape, dtype=bool),
    )
    error = spread.leverage * (spread.shock_sd**2 + spread.day_variance)
    return replace(spread, coefficient_sd=np.sqrt(error))


class _Occurrence(NamedTuple):
    """An event on one day of the training window, and the hours that it covers there."""

    day: int
    hours: tuple[int, int]


def _occurrences(
    event_of_day: np.ndarray, windowed: Sequence[WindowDay], *, count: int
) -> list[list[_Occurrence]]:
    """Return the occurrences of each event, by day."""
    out: list[list[_Occurrence]] = [[] for _ in range(count)]
    for day in np.flatnonzero(event_of_day >= 0).tolist():
        out[event_of_day[day]].append(_Occurrence(day, WHOLE_DAY))
    for event, day, start, end in windowed:
        out[event].append(_Occurrence(day, (start, end)))
    return [sorted(several) for several in out]


def _censored_events(
    seen: Sequence[Sequence[_Occurrence]], censored: np.ndarray | None, *, shape: tuple[int, int]
) -> np.ndarray:
    """Return which events of which services hold lower bounds, shape (S, E) bool."""
    out = np.zeros(shape, dtype=bool)
    if censored is not None:
        for e, several in enumerate(seen):
            for day, hours in several:
                out[:, e] |= censored[day, slice(*hours)].any(axis=0)
    return out


def _hours_residual(
    residual: np.ndarray, weight: np.ndarray | None, hours: tuple[int, int]
) -> np.ndarray:
    """Return each day's demand-weighted mean residual, NaN where most is gap, shape (N, S)."""
    residual = residual[:, slice(*hours)]
    gap = np.isnan(residual)
    count = residual.shape[1] - gap.sum(axis=1, dtype=np.uint8)
    known = np.where(gap, 0, residual)
    with np.errstate(invalid="ignore", divide="ignore"):
        if weight is None:
            day = known.sum(axis=1) / count
        else:
            weight = weight[:, slice(*hours)]
            total = np.einsum("nhs,nhs->ns", weight, (~gap).astype(weight.dtype))
            day = np.einsum("nhs,nhs->ns", known, weight) / total
    day[count < SEEN_SHARE * residual.shape[1]] = np.nan
    return np.asarray(day, dtype=float)


def _variance_known(values: np.ndarray) -> np.ndarray:
    """Return the sample variance along the first axis, NaN left out; 0 below two values."""
    known = ~np.isnan(values)
    count = known.sum(axis=0)
    mean = np.where(known, values, 0).sum(axis=0) / np.maximum(count, 1)
    square = np.where(known, (values - mean) ** 2, 0).sum(axis=0)
    return np.asarray(np.where(count > 1, square / np.maximum(count - 1, 1), 0.0))


def _ambient(calm: np.ndarray, day: int) -> np.ndarray:
    """Return the median residual of the days around, 0 where there is none, shape (S,)."""
    near = calm[max(day - AMBIENT_DAYS, 0) : day + AMBIENT_DAYS + 1]
    return np.asarray(np.nan_to_num(sorted_median(near, axis=0)))


def fill_weeks(residual: np.ndarray, *, first_day: int) -> np.ndarray:
    """Return residuals for every day and hour, so that whole past weeks can be drawn.

    A gap takes the same weekday and hour of the nearest earlier week, else of the nearest later
    one; days before the service existed repeat its own days, a whole number of weeks later. A
    weekday and hour never observed gets 0.

    Parameters
    ----------
    residual
        Log residuals with NaN for gaps, shape (N, 24) or (N, 24, S), consecutive days.
    first_day
        The first day of the services.
    """
    n = len(residual)
    own_weeks = max((n - first_day) // WEEK, 1) * WEEK
    source = np.arange(n)
    before = source < first_day
    source[before] += -(-(first_day - source[before]) // own_weeks) * own_weeks
    out = residual[np.minimum(source, n - 1)]
    pad = -n % WEEK
    padded = np.concatenate([np.full((pad, *out.shape[1:]), np.nan, dtype=out.dtype), out])
    weeks = padded.reshape(-1, WEEK, *out.shape[1:])
    for array in (weeks, weeks[::-1]):
        for i in range(1, len(array)):
            gap = np.isnan(array[i])
            if gap.any():
                array[i][gap] = array[i - 1][gap]
    return np.asarray(np.nan_to_num(weeks.reshape(padded.shape)[pad:], nan=0.0))
