"""How the events of a sparse service clump: in size, and in lucky hours, days and weeks.

This module answers: if a service sees two events an hour on average, how many may one hour, one
day or one week see? Poisson counting alone says far too few: work arrives in batches, and a busy
day is busy at all its hours.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from capmodel.demand.paths import Dice

__all__ = ["Clumping", "CountShape", "measure_clumping", "one_event", "sums"]

DAY_PRIOR: Final = 0.1
"""Prior variance of the luck that a day's hours share: 0.1 is 30 % up or down; `assumed`."""
WEEK_PRIOR: Final = 0.02
"""The same of a week's days; `assumed`."""
PRIOR_DAYS: Final = 14
"""Weight of both priors [days of history]."""
ON_STEP: Final = 0.05
"""A value belongs to a step if it lies within this share of the step from a multiple."""
MOST_ON_STEP: Final = 0.95
"""Share of the values that must be multiples for the step to be one event [ratio]."""
REGULAR: Final = 0.5
"""Variance over mean, in events, below which work arrives by the clock rather than by chance."""
SMALLEST: Final = 1e-3
"""Smallest size of an arrival against a busy hour's mean [ratio]."""
FINE: Final = 0.01
"""One event against one arrival where demand has no step [ratio]."""
BINS: Final = 20
ROUNDS: Final = 3


@dataclass(frozen=True, slots=True)
class Clumping:
    """What one arrival brings, and how luck varies around the expected rate."""

    event: float
    """Demand of one event over an hour: the step of the series [the quantity's unit]."""
    size: float
    """Mean demand of one arrival [the quantity's unit]."""
    size_variance: float
    """Squared coefficient of variation of arrivals [ratio^2]."""
    hour: float
    """Variance of the luck of one hour, mean 1."""
    day: float
    """Variance of the luck that the hours of a day share, silent days left out."""
    week: float
    """Variance of the luck that the days of a week share."""
    silent: float
    """Probability of a day on which nothing arrives, whatever was expected."""

    @property
    def linear(self) -> float:
        """Variance over mean of an hour whose luck is known [the quantity's unit]."""
        return self.size * (1 + self.size_variance)

    @property
    def shares(self) -> tuple[float, float, float]:
        """Variance, relative to the mean's square, within an hour, a day, a week; they add up."""
        day = (1 + self.day) / (1 - self.silent) * (1 + self.week)
        return day * self.hour, day - 1 - self.week, self.week

    def variance(self, total: np.ndarray, hour: np.ndarray, day: np.ndarray) -> np.ndarray:
        """Return the variance of a sum over parts of a week.

        Parameters
        ----------
        total, hour, day
            Expected sum, and the sums of the squares of its hours and of its days; same shapes.
        """
        by_hour, by_day, by_week = self.shares
        return np.asarray(self.linear * total + by_hour * hour + by_day * day + by_week * total**2)


@dataclass(frozen=True, slots=True, eq=False)
class CountShape:
    """Hours of a sparse service, drawn as events."""

    rate: np.ndarray
    """Expected demand, events included, shape (N, 24) [the quantity's unit]."""
    silent: np.ndarray
    """Probability of a day on which nothing arrives, shape (N,)."""
    week: np.ndarray
    """Which days share a week's luck, shape (N,), from 0."""
    clumping: Clumping

    def draw(self, dice: Dice) -> np.ndarray:
        """Draw hours such that ``shape * exp(dice.luck)`` is a whole number of events, (D, N, 24).

        Arrivals are Poisson at the rate times season, week, day and hour luck, the last three
        gamma distributed with mean 1; each arrival brings one event and a negative binomial number
        more. Dividing by the season's luck lets a plan replace it, as it does for other services.
        """
        c, rng = self.clumping, dice.rng
        draws, n_days = dice.luck.shape
        season = np.exp(dice.luck)
        shared = _luck(rng, c.week, (draws, int(self.week[-1]) + 1))[:, self.week]
        shared *= season
        shared *= _luck(rng, c.day, (draws, n_days))
        shared *= (rng.random((draws, n_days)) >= self.silent) / (1 - self.silent)
        arrivals = self.rate / c.size * shared[:, :, None]
        if c.hour > 0:
            arrivals *= _luck(rng, c.hour, arrivals.shape)
        counts = rng.poisson(arrivals).astype(float)
        counts += self._extras(counts, rng)
        counts *= (c.event / season)[:, :, None]
        return counts

    def _extras(self, arrivals: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Draw what arrivals bring beyond one event each: Poisson with a gamma mean."""
        c = self.clumping
        mean = c.size / c.event - 1
        if mean <= 0:
            return np.zeros(1)
        excess = c.size_variance * (c.size / c.event) ** 2 - mean
        busy = arrivals > 0
        extras = np.zeros(arrivals.shape)
        expected = arrivals[busy] * mean
        if excess > 0:
            expected = rng.gamma(arrivals[busy] * mean**2 / excess) * (excess / mean)
        extras[busy] = rng.poisson(expected)
        return extras


def _luck(rng: np.random.Generator, variance: float, shape: tuple[int, ...]) -> np.ndarray:
    """Return gamma draws of mean 1; ones where nothing varies."""
    if variance <= 0:
        return np.ones(shape)
    return np.asarray(rng.gamma(1 / variance, variance, shape))


def one_event(values: np.ndarray) -> float | None:
    """Return the step that nearly all values are multiples of, None where there is none.

    The smallest positive value, else the smallest gap between values seen twice or more: an hour
    that was observed in part lies off the steps, but lies there alone.

    Parameters
    ----------
    values
        Demand without gaps, shape (n,).

    Examples
    --------
    >>> one_event(np.array([0, 2, 0, 4, 6, 0, 12]) / 60) * 60
    2.0
    """
    positive = values[values > 0]
    if not len(positive):
        return None
    found, times = np.unique(positive, return_counts=True)
    gaps = np.diff(found[times > 1])
    gaps = gaps[gaps > ON_STEP * found[0]]
    for step in (found[0], *gaps[gaps.argsort()[:1]]):
        ratio = positive / step
        off = np.abs(ratio - np.rint(ratio))
        if (off <= ON_STEP).mean() >= MOST_ON_STEP:
            return float(step)
    return None


def sums(values: np.ndarray, week: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return each week's sum, and the sums of the squares of its hours and of its days, (W,) each.

    Parameters
    ----------
    values
        By day and hour, 0 where unseen, shape (N, 24).
    week
        Each day's week, from 0, shape (N,).
    """
    day = values.sum(axis=1)
    squares = (values**2).sum(axis=1)
    return (
        np.bincount(week, day),
        np.bincount(week, squares),
        np.bincount(week, day**2),
    )


def measure_clumping(
    values: np.ndarray,
    expected: np.ndarray,
    *,
    seen: np.ndarray,
    week: np.ndarray,
    event: float | None,
) -> Clumping:
    """Estimate how demand scatters around what was expected, by moments.

    With residuals r and expectations m, ``sum r_i r_j = w sum m_i m_j`` over hours of one day gives
    the variance of shared luck, over days of one week the week's part. What is left of an hour is
    ``v = linear m + hour m^2`` (the variance functions of the NB1 and NB2 models together). The
    share of empty hours then tells many small arrivals from few large ones: under gamma luck of
    total variance a, ``P(0) = (1 + a m / size)^(-1/a)``.

    Parameters
    ----------
    values, expected
        Demand with NaN for gaps and its expectation, shape (N, 24).
    seen
        Ordinary hours that were observed, shape (N, 24) bool.
    week
        Each day's week, from 0, shape (N,).
    event
        The step of the series (:func:`one_event`), None without one.

    References
    ----------
    Cameron, A. C., & Trivedi, P. K. (2013). Regression Analysis of Count Data, 2nd ed., sections
    3.3 and 9.4 (moments), 3.5 (dispersion). Cambridge.
    Jorgensen, B. (1997). The Theory of Dispersion Models, chapter 4 (compound Poisson). Chapman.
    """
    residual = np.where(seen, values - expected, 0.0)
    mean = np.where(seen, expected, 0.0)
    r_week, r_hours, r_days = sums(residual, week)
    m_week, m_hours, m_days = sums(mean, week)
    n_days = int(seen.any(axis=1).sum())
    by_week = _ratio((r_week**2 - r_days).sum(), (m_week**2 - m_days).sum())
    both = _ratio((r_days - r_hours).sum(), (m_days - m_hours).sum())
    within = _within_hours(residual[seen] ** 2, mean[seen], shared=both, event=event)
    typical = float((mean**2).sum() / mean.sum())
    linear = max(within[0], SMALLEST * typical)
    if event is not None and linear < event:
        event = None
    guess = Clumping(
        event=linear * FINE if event is None else event,
        size=linear,
        size_variance=0.0,
        hour=within[1] / (1 + both),
        day=_shrunk(max((1 + both) / (1 + by_week) - 1, 0.0), DAY_PRIOR, n_days),
        week=_shrunk(by_week, WEEK_PRIOR, n_days),
        silent=0.0,
    )
    found = _matched_zeros(guess, mean, values, seen=seen)
    return found if event is not None else replace(found, event=FINE * found.size)


def _ratio(top: float, bottom: float) -> float:
    return max(float(top / bottom), 0.0) if bottom > 0 else 0.0


def _shrunk(value: float, prior: float, n_days: int) -> float:
    return (PRIOR_DAYS * prior + n_days * value) / (PRIOR_DAYS + n_days)


def _within_hours(
    squares: np.ndarray, mean: np.ndarray, *, shared: float, event: float | None
) -> tuple[float, float]:
    """Return a, b >= 0 of ``squares - shared mean^2 = a mean + b mean^2``, by bins of the mean.

    Bins of equal expected demand; weighted by the inverse variance of a bin's mean square. Where
    demand comes in steps, a is at least one, unless work arrives too regularly for chance.
    """
    from scipy.optimize import nnls  # noqa: PLC0415  the package loads faster without it

    order = np.argsort(mean)
    reached = np.cumsum(mean[order])
    index = np.minimum((reached * BINS / reached[-1]).astype(int), BINS - 1)
    n = np.bincount(index, minlength=BINS)
    kept = n > 0
    x, x2, y = (
        np.bincount(index, part[order], BINS)[kept] / n[kept] for part in (mean, mean**2, squares)
    )
    n, y = n[kept], np.maximum(y - shared * x2, 0.0)
    a, b = float(y @ n / (x @ n)), 0.0
    least = event if event is not None and a >= REGULAR * event else 0.0
    for _ in range(ROUNDS):
        fitted = a * x + (b + shared) * x2
        weight = np.sqrt(n / (fitted**2 * (2 + a / x)))
        columns = np.stack([x, x2], axis=1) * weight[:, None]
        beyond, b = nnls(columns, (y - least * x) * weight)[0].tolist()
        a = least + beyond
    return a, b


def _matched_zeros(
    guess: Clumping, mean: np.ndarray, values: np.ndarray, *, seen: np.ndarray
) -> Clumping:
    """Return the clumping with as many empty hours and silent days as there were."""
    empty = float((values[seen] == 0).sum())
    days = seen.any(axis=1)
    quiet = float((np.where(seen, values, 0.0)[days].sum(axis=1) == 0).sum())
    found = guess
    for _ in range(ROUNDS):
        found = _sized(found, guess, mean[seen], empty)
        found = _silenced(found, guess, mean[days], quiet)
    return found


def _sized(found: Clumping, guess: Clumping, mean: np.ndarray, empty: float) -> Clumping:
    """Return the size of an arrival that explains the empty hours.

    At most the variance over the mean; where even that leaves too few hours empty, variance moves
    from the hours' luck to the size.
    """
    typical = float((mean**2).sum() / mean.sum())
    shared = (1 + guess.day) * (1 + guess.week)
    linear = guess.size
    most = linear + shared * guess.hour * typical

    def at(size: float) -> Clumping:
        hour = guess.hour if size <= linear else (most - size) / (shared * typical)
        return replace(
            found, size=size, size_variance=max(linear / size - 1, 0.0), hour=max(hour, 0.0)
        )

    def excess(log_size: float) -> float:
        return float(_p_empty(at(float(np.exp(log_size))), mean).sum()) - empty

    return at(_root(excess, guess.event, most))


def _silenced(found: Clumping, guess: Clumping, mean: np.ndarray, quiet: float) -> Clumping:
    """Return the share of silent days that explains them, beyond those of luck; mean (N, 24)."""

    def at(silent: float) -> Clumping:
        return replace(found, silent=silent, day=max((1 + guess.day) * (1 - silent) - 1, 0.0))

    def lacking(log_active: float) -> float:
        return quiet - float(_p_silent(at(1 - float(np.exp(log_active))), mean).sum())

    return at(1 - _root(lacking, 1 / (1 + guess.day), 1.0))


def _p_empty(c: Clumping, mean: np.ndarray) -> np.ndarray:
    """Return the probability of an empty hour, any shape: all luck as one gamma variable."""
    luck = (1 + c.hour) * (1 + c.day) * (1 + c.week) - 1
    rate = mean / (c.size * (1 - c.silent))
    return np.asarray(c.silent + (1 - c.silent) * _gamma_transform(rate, luck))


def _p_silent(c: Clumping, mean: np.ndarray) -> np.ndarray:
    """Return the probability of a day without events, shape (N,) of mean (N, 24)."""
    rate = mean / (c.size * (1 - c.silent))
    total = -np.log(_gamma_transform(rate, c.hour)).sum(axis=1)
    luck = (1 + c.day) * (1 + c.week) - 1
    return np.asarray(c.silent + (1 - c.silent) * _gamma_transform(total, luck))


def _gamma_transform(rate: np.ndarray, variance: float) -> np.ndarray:
    """Return ``E exp(-rate G)`` for a gamma variable G of mean 1."""
    if variance <= 0:
        return np.asarray(np.exp(-rate))
    return np.asarray(np.exp(-np.log1p(variance * rate) / variance))


def _root(rising: Callable[[float], float], low: float, high: float) -> float:
    """Return where a rising function of the logarithm crosses zero, else the nearer bound."""
    from scipy.optimize import brentq  # noqa: PLC0415  the package loads faster without it

    first, last = float(np.log(low)), float(np.log(high))
    if first >= last or rising(first) >= 0:
        return low
    if rising(last) <= 0:
        return high
    return float(np.exp(brentq(rising, first, last, xtol=1e-3)))
