"""How wrong a fit may be: level, trend, day noise, and events from year to year.

This module answers: by how much did the fit miss out of sample, at which of the three levels
(season, service, day), and how much does an event differ between its own years? Everything is in
log units of demand, per service, and rests on that service's own past only.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np

from capmodel.demand.design import Window, predict
from capmodel.demand.solve import Selection

__all__ = [
    "PRIOR_DF",
    "SHOCK_PRIOR_SD",
    "EventSpread",
    "OutOfSample",
    "event_spread",
    "fill_weeks",
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
BUCKETS: Final = (0, 14, 30, 60, 90)
"""Backtest days after the cut-off that are averaged together: level first, then drift [days]."""
FEWEST_BUCKET_DAYS: Final = 5
INFLATION_RANGE: Final = (1.0, 3.0)
"""Out-of-sample / in-sample noise is kept within [ratio]; below 1 would be luck."""
AMBIENT_DAYS: Final = 7
"""Days on either side of an event that say where the level stood."""
SEEN_HOURS: Final = 12
"""Hours of an event day that must be observed for it to count as a precedent."""
WEEK: Final = 7


@dataclass(frozen=True, slots=True, eq=False)
class OutOfSample:
    """Log errors beyond the training window, per service, shape (S,)."""

    level_sd: np.ndarray
    drift_sd: np.ndarray
    """After 90 days; grows with the square root of the time."""
    df: float
    """Degrees of freedom behind both: the prior's, and one per 90 days of distinct backtest."""
    inflation: np.ndarray
    """Day noise out of sample / in sample [ratio]."""


def out_of_sample(
    window: Window,
    z: np.ndarray,
    *,
    fitted: np.ndarray,
    selection: Selection,
    sd: np.ndarray,
) -> OutOfSample:
    """Measure the errors of the backtests and shrink them toward the priors.

    With ``e_b`` the mean log error of bucket b, centred ``h_b`` days after the cut-off,

    ``level_sd^2 = (4 * 0.02^2 + nu * mean e_0^2) / (4 + nu)``,
    ``drift_sd^2 = (4 * 0.05^2 + nu * mean (e_b - e_0)^2 * 90 / (h_b - h_0)) / (4 + nu)``,

    the posterior scale of a normal variance under a scaled inverse chi-squared prior, where nu
    counts *distinct* backtest time in units of the horizon, because the windows overlap.

    Parameters
    ----------
    window, z
        The training days and the series without gaps on them, shape (N, 24, S).
    fitted
        The fit in sample [z], shape (N, 24, S).
    selection
        The combined coefficients as of each cut-off.
    sd
        Log units per z, shape (S,).

    References
    ----------
    Gelman, A., et al. (2013). Bayesian Data Analysis, 3rd ed., section 2.6.
    """
    windows = selection.windows
    misses = [
        miss
        for cut, beta in zip(windows.cuts, selection.cut_betas, strict=True)
        if (miss := _miss(window, z, fitted=fitted, cut=cut, days=windows.days, beta=beta))
    ]
    if not misses:
        none = np.zeros(z.shape[2])
        return OutOfSample(
            level_sd=_posterior_sd(none, LEVEL_PRIOR_SD, 0.0),
            drift_sd=_posterior_sd(none, DRIFT_PRIOR_SD, 0.0),
            df=PRIOR_DF,
            inflation=np.ones(z.shape[2]),
        )
    nu = (windows.n_days - windows.cuts[0]) / windows.days
    drifts = [m.drift_square for m in misses if m.drift_square is not None]
    drift = np.mean(drifts, axis=0) if drifts else np.zeros(z.shape[2])
    noise_out = np.mean([m.noise_out for m in misses], axis=0)
    noise_in = np.mean([m.noise_in for m in misses], axis=0)
    ratio = np.sqrt(noise_out / np.maximum(noise_in, np.finfo(float).tiny))
    return OutOfSample(
        level_sd=_posterior_sd(
            np.mean([m.level_square for m in misses], axis=0) * sd**2, LEVEL_PRIOR_SD, nu
        ),
        drift_sd=_posterior_sd(drift * sd**2, DRIFT_PRIOR_SD, nu if drifts else 0.0),
        df=PRIOR_DF + nu,
        inflation=np.clip(ratio, *INFLATION_RANGE),
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Miss:
    """The errors of one backtest [z^2], each shape (S,)."""

    level_square: np.ndarray
    drift_square: np.ndarray | None
    noise_out: np.ndarray
    noise_in: np.ndarray


def _miss(
    window: Window, z: np.ndarray, *, fitted: np.ndarray, cut: int, days: int, beta: np.ndarray
) -> _Miss | None:
    """Split the errors after a cut-off into level, drift and what is left of the day."""
    after = np.arange(cut, cut + days)
    error = z[after] - predict(window.design, window.part(after), beta)
    keep = window.ordinary[after]
    buckets = [
        np.flatnonzero(keep & (after - cut >= low) & (after - cut < high))
        for low, high in pairwise(BUCKETS)
    ]
    buckets = [bucket for bucket in buckets if len(bucket) >= FEWEST_BUCKET_DAYS]
    if not buckets:
        return None
    means = np.array([error[bucket].mean(axis=(0, 1)) for bucket in buckets])
    centers = np.array([bucket.mean() for bucket in buckets])
    drift = None
    if len(buckets) > 1:
        ratio = DRIFT_DAYS / (centers[1:] - centers[0])
        drift = (((means[1:] - means[0]) ** 2) * ratio[:, None]).mean(axis=0)
    around = [error[bucket] - mean for bucket, mean in zip(buckets, means, strict=True)]
    used = after[np.concatenate(buckets)]
    return _Miss(
        level_square=means[0] ** 2,
        drift_square=drift,
        noise_out=(np.concatenate(around) ** 2).mean(axis=(0, 1)),
        noise_in=((z[used] - fitted[used]) ** 2).mean(axis=(0, 1)),
    )


def _posterior_sd(mean_square: np.ndarray, prior_sd: float, nu: float) -> np.ndarray:
    return np.asarray(np.sqrt((PRIOR_DF * prior_sd**2 + nu * mean_square) / (PRIOR_DF + nu)))


@dataclass(frozen=True, slots=True, eq=False)
class EventSpread:
    """How events of one training window vary, each shape (S, E)."""

    n: np.ndarray
    """Observed occurrences."""
    shock_sd: np.ndarray
    """Log standard deviation of an event between its years."""
    shock_df: np.ndarray
    coefficient_sd: np.ndarray
    """Log standard error of the fitted effect."""


def event_spread(
    residual: np.ndarray,
    weight: np.ndarray,
    *,
    event_of_day: np.ndarray,
    leverage: np.ndarray,
) -> EventSpread:
    """Return how much each event differed between its own years.

    ``d_i`` is the demand-weighted mean log residual of occurrence i, less where the level stood in
    the fortnight around it. With n occurrences and variance ``v`` of the d_i,

    ``shock_sd^2 = max(v, (4 * 0.10^2 + (n - 1) v) / (4 + n - 1))``,

    with 4 + n - 1 degrees of freedom: past seasons, never services. The prior may widen what the
    own seasons show but never narrow it. The effect's standard error follows from the leverage
    of a whole day, because hours of one day err together:
    ``coefficient_sd^2 = leverage * (shock_sd^2 + day_sd^2)``.

    Parameters
    ----------
    residual
        Log residuals with NaN for gaps, shape (N, 24, S).
    weight
        Fitted demand, shape (N, 24, S).
    event_of_day
        Index of each day's event, -1 on ordinary days, shape (N,).
    leverage
        Leverage of one event day on its own mean, shape (E,).
    """
    s = residual.shape[2]
    seen = ~np.isnan(residual)
    total = (weight * seen).sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        day = np.where(seen, residual * weight, 0.0).sum(axis=1) / total
    day[seen.sum(axis=1) < SEEN_HOURS] = np.nan
    calm = np.where((event_of_day < 0)[:, None], day, np.nan)
    day_var = np.array([_mean_square(calm[:, i]) for i in range(s)])
    shape = (s, len(leverage))
    n, variance = np.zeros(shape, dtype=int), np.zeros(shape)
    for e in range(len(leverage)):
        days = np.flatnonzero(event_of_day == e)
        for i in range(s):
            own = days[~np.isnan(day[days, i])]
            n[i, e] = len(own)
            if len(own) > 1:
                gaps = [day[d, i] - _ambient(calm[:, i], d) for d in own]
                variance[i, e] = np.var(gaps, ddof=1)
    spare = np.maximum(n - 1, 0)
    posterior = (PRIOR_DF * SHOCK_PRIOR_SD**2 + spare * variance) / (PRIOR_DF + spare)
    shock_var = np.maximum(posterior, variance)
    own_leverage = np.maximum(leverage[None, :], 1 / np.maximum(n, 1))
    return EventSpread(
        n=n,
        shock_sd=np.sqrt(shock_var),
        shock_df=PRIOR_DF + spare,
        coefficient_sd=np.sqrt(own_leverage * (shock_var + day_var[:, None])),
    )


def _mean_square(values: np.ndarray) -> float:
    known = values[~np.isnan(values)]
    return float((known**2).mean()) if len(known) else 0.0


def _ambient(calm: np.ndarray, day: int) -> float:
    near = calm[max(day - AMBIENT_DAYS, 0) : day + AMBIENT_DAYS + 1]
    near = near[~np.isnan(near)]
    return float(np.median(near)) if len(near) else 0.0


def fill_weeks(residual: np.ndarray, *, first_day: int) -> np.ndarray:
    """Return residuals for every day and hour, so that whole past weeks can be drawn.

    A gap takes the same weekday and hour of the nearest earlier week, else of the nearest later
    one; days before the service existed repeat its own days, a whole number of weeks later. A
    weekday and hour never observed gets 0.

    Parameters
    ----------
    residual
        Log residuals of one service with NaN for gaps, shape (N, 24), consecutive days.
    first_day
        The service's first day.
    """
    n = len(residual)
    own_weeks = max((n - first_day) // WEEK, 1) * WEEK
    source = np.arange(n)
    before = source < first_day
    source[before] += -(-(first_day - source[before]) // own_weeks) * own_weeks
    out = residual[np.minimum(source, n - 1)]
    pad = -n % WEEK
    padded = np.concatenate([np.full((pad, out.shape[1]), np.nan), out])
    weeks = padded.reshape(-1, WEEK, out.shape[1])
    for array in (weeks, weeks[::-1]):
        for i in range(1, len(array)):
            array[i] = np.where(np.isnan(array[i]), array[i - 1], array[i])
    return np.asarray(np.nan_to_num(weeks.reshape(-1, out.shape[1])[pad:], nan=0.0))
