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
    from capmodel.demand.shapes import Dice

__all__ = ["Clumping", "CountShape", "measure_clumping", "one_event", "sums"]

DAY_PRIOR: Final = 0.1
"""Prior variance of the luck that a day's hours share: 0.1 is 30 % up or down; `assumed`."""
WEEK_PRIOR: Final = 0.02
"""The same of a week's days; `assumed`."""
CONCENTRATED: Final = 0.1
"""Share of demand below which what hours say of each other is too little [ratio]."""
ON_STEP: Final = 0.05
"""A value belongs to a step if it lies within this share of the step from a multiple."""
MOST_ON_STEP: Final = 0.95
"""Share of the values that must be multiples for the step to be one event [ratio]."""
REGULAR: Final = 0.5
"""Variance over mean, in events, below which work arrives by the clock rather than by chance."""
SMALLEST: Final = 1e-3
"""Smallest size of an arrival against a busy hour's mean [ratio]."""
MATCHED: Final = 0.01
"""Empty hours and silent days are explained when this share of them all is off [ratio]."""
FINE: Final = 0.01
"""One event against one arrival where demand has no step [ratio]."""
ROUNDS: Final = 3
WEEK: Final = 7


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

    @classmethod
    def assumed(cls, event: float) -> Clumping:
        """Return what holds before anything was measured: single events, days that vary."""
        return cls(
            event=event,
            size=event,
            size_variance=0.0,
            hour=0.0,
            day=DAY_PRIOR,
            week=WEEK_PRIOR,
            silent=0.0,
        )

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
        dice.strike(arrivals)
        if c.hour > 0:
            arrivals *= _luck(rng, c.hour, arrivals.shape)
        counts = rng.poisson(arrivals).astype(float)
        counts += self._extras(counts, rng)
        counts *= (c.event / season)[:, :, None]
        return np.asarray(counts)

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


def sums(values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return each week's sum, and the sums of the squares of its hours and of its days, (W,) each.

    Weeks are seven days up to the last one.

    Parameters
    ----------
    values
        By day and hour, 0 where unseen, shape (N, 24).
    """
    day = _weeks(values.sum(axis=1))
    hour = _weeks((values**2).sum(axis=1))
    return day.sum(axis=1), hour.sum(axis=1), (day**2).sum(axis=1)


def _weeks(day: np.ndarray) -> np.ndarray:
    """Return daily values by week, shape (W, 7), zeros before the first day."""
    return np.concatenate([np.zeros(-len(day) % WEEK), day]).reshape(-1, WEEK)


def measure_clumping(
    values: np.ndarray, expected: np.ndarray, *, seen: np.ndarray, event: float | None
) -> Clumping:
    """Estimate how demand scatters around what was expected, by moments.

    With residuals r and expectations m, ``sum r_i r_j = w sum m_i m_j`` over pairs of hours of a
    day gives the variance of shared luck, over pairs of days of a week the week's part. What is
    left of an hour is ``v = linear m + hour m^2`` (the variance functions of the NB1 and NB2 models
    together). The share of empty hours tells many small arrivals from few large ones, that of
    silent days luck from days off.

    Parameters
    ----------
    values, expected
        Demand and its expectation, shape (N, 24).
    seen
        Ordinary hours that were observed, shape (N, 24) bool.
    event
        The step of the series (:func:`one_event`), None without one.

    References
    ----------
    Cameron, A. C., & Trivedi, P. K. (2013). Regression Analysis of Count Data, 2nd ed., chapters 3
    (NB1, NB2) and 9 (counts of one subject over time). Cambridge University Press.
    Jorgensen, B. (1997). The Theory of Dispersion Models, chapter 4 (compound Poisson). Chapman &
    Hall.
    """
    residual = np.where(seen, values - expected, 0.0)
    mean = np.where(seen, expected, 0.0)
    by_week, week_error = _shared_luck(_weeks(residual.sum(axis=1)), _weeks(mean.sum(axis=1)))
    by_day, day_error = _shared_luck(residual, mean)
    week = _trusted(by_week, week_error, WEEK_PRIOR)
    day = _trusted(max((1 + by_day) / (1 + week) - 1, 0.0), day_error, DAY_PRIOR)
    known, within = _within_hours(np.where(seen, values, 0.0), mean, event=event)
    # Single large arrivals look like lucky hours of their day, but not beside other days.
    beside = _two_variances(residual**2 - by_day * mean**2, mean, mean**2, event=event)[1]
    hour = min(within, beside / (1 + by_day))
    linear = known + _beyond(residual, mean, known=known, hour=hour)
    linear = max(linear, SMALLEST * float((mean**2).sum() / mean.sum()))
    if event is not None and linear < event:
        event = None
    guess = Clumping(
        event=linear * FINE if event is None else event,
        size=linear,
        size_variance=0.0,
        hour=hour,
        day=day,
        week=week,
        silent=0.0,
    )
    found = _matched_zeros(guess, mean, values, seen=seen)
    return found if event is not None else replace(found, event=FINE * found.size)


def _shared_luck(residual: np.ndarray, mean: np.ndarray) -> tuple[float, float]:
    """Return the variance of the luck that members of a row share, and its standard error.

    Parameters
    ----------
    residual, mean
        Shape (groups, members), 0 where unseen.
    """
    due = float((mean.sum(axis=1) ** 2 - (mean**2).sum(axis=1)).sum())
    squares = residual**2
    pairs = float((residual.sum(axis=1) ** 2 - squares.sum(axis=1)).sum())
    noise = 2 * float((squares.sum(axis=1) ** 2 - (squares**2).sum(axis=1)).sum())
    if due <= 0:
        return 0.0, 0.0  # one member at a time shares nothing
    return max(pairs / due, 0.0), float(np.sqrt(max(noise, 0.0)) / due)


def _trusted(estimate: float, error: float, prior: float) -> float:
    """Return an estimated variance, drawn toward its prior as far as it is uncertain.

    ``prior + (estimate - prior) s^2 / (s^2 + error^2)``, s the prior itself or, where more, what
    exceeds two standard errors: large luck that showed clearly is believed.
    """
    scale = max(prior, estimate - 2 * error)
    belief = scale**2 / (scale**2 + error**2)
    return (1 - belief) * prior + belief * estimate


def _within_hours(
    values: np.ndarray, mean: np.ndarray, *, event: float | None
) -> tuple[float, float]:
    """Return a, b of an hour's variance ``a m + b m^2`` once the day's luck is known.

    Given a day's total Y, hours of share p scatter around p Y with variance
    ``a Y p (1 - p) + b Y^2 p^2 (1 - 2 p + sum p^2)``: conditional on totals, shared luck drops out
    (Hausman, Hall & Griliches 1984). Days that have all their demand in one hour say nothing there;
    where these prevail, the scatter around the mean is taken instead.

    References
    ----------
    Hausman, J., Hall, B. H., & Griliches, Z. (1984). Econometric models for count data with an
    application to the patents-R&D relationship. Econometrica 52(4), 909-938.
    """
    total = values.sum(axis=1, keepdims=True)
    share = mean / np.maximum(mean.sum(axis=1, keepdims=True), np.finfo(float).tiny)
    due = share * total
    first = due * (1 - share)
    if first.sum() < CONCENTRATED * values.sum():
        return _two_variances((values - mean) ** 2, mean, mean**2, event=event)
    second = due**2 * np.maximum(1 - 2 * share + (share**2).sum(axis=1, keepdims=True), 0.0)
    return _two_variances((values - due) ** 2, first, second, event=event)


def _beyond(residual: np.ndarray, mean: np.ndarray, *, known: float, hour: float) -> float:
    """Return the variance over the mean that hours have beyond what they have within their day.

    A day that is one large arrival has no scatter given its total. What single hours scatter beyond
    shared luck, ``sum_d (Q - c (R^2 - Q) - known M - hour (P + c (R^2 - Q)))`` with Q and R the
    day's squares and sum of residuals, M and P those of expectations, c the ratio of the sums of P
    and of ``M^2 - P``, is the rest.
    """
    squares, pairs = (residual**2).sum(axis=1), residual.sum(axis=1) ** 2
    due, due_squares = mean.sum(axis=1), (mean**2).sum(axis=1)
    ratio = due_squares.sum() / max(float((due**2 - due_squares).sum()), np.finfo(float).tiny)
    shared = ratio * (pairs - squares)
    day = squares - shared - known * due - hour * (due_squares + shared)
    return max(float(day.sum() / due.sum()), 0.0)


def _two_variances(
    squares: np.ndarray, first: np.ndarray, second: np.ndarray, *, event: float | None
) -> tuple[float, float]:
    """Return a, b >= 0 of ``squares = a first + b second``, each hour weighted by its precision.

    Where demand comes in steps, a is at least one, unless work arrives too regularly for chance.
    """
    kept = first > 0
    x, x2, y = first[kept], second[kept], squares[kept]
    a, b = float(y.sum() / x.sum()), 0.0
    least = event if event is not None and a >= REGULAR * event else 0.0
    for _ in range(ROUNDS):
        # A squared residual scatters as a Poisson count's fourth moment and luck's do.
        fitted = np.maximum(a * x + b * x2, np.finfo(float).eps * x)
        weight = 1 / (fitted**2 * (2 + a / x))
        beyond, b = _nonnegative(x, x2, y - least * x, weight)
        a = least + beyond
    return a, b


def _nonnegative(
    x: np.ndarray, x2: np.ndarray, y: np.ndarray, weight: np.ndarray
) -> tuple[float, float]:
    """Return a, b >= 0 that minimise ``sum weight (y - a x - b x2)^2``."""
    xx, xz, zz = (float(weight @ part) for part in (x * x, x * x2, x2 * x2))
    xy, zy = float(weight @ (x * y)), float(weight @ (x2 * y))
    only = max(xy / xx, 0.0), max(zy / zz, 0.0) if zz > 0 else 0.0
    determinant = xx * zz - xz**2
    if determinant > np.finfo(float).eps * xx * zz:
        a, b = (xy * zz - zy * xz) / determinant, (zy * xx - xy * xz) / determinant
        if a >= 0 and b >= 0:
            return a, b
    # One of them is zero: the one that explains less alone.
    return (only[0], 0.0) if only[0] ** 2 * xx >= only[1] ** 2 * zz else (0.0, only[1])


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

    def excess(size: float) -> float:
        return float(_p_empty(at(size), mean).sum()) - empty

    if _by_chance(empty, _p_empty(at(linear), mean)):
        return at(linear)
    return at(_root(excess, guess.event, linear, most))


def _silenced(found: Clumping, guess: Clumping, mean: np.ndarray, quiet: float) -> Clumping:
    """Return the share of silent days that explains them, beyond those of luck; mean (N, 24)."""

    def at(active: float) -> Clumping:
        return replace(found, silent=1 - active, day=max((1 + guess.day) * active - 1, 0.0))

    def lacking(active: float) -> float:
        return quiet - float(_p_silent(at(active), mean).sum())

    if _by_chance(quiet, _p_silent(at(1.0), mean)):
        return at(1.0)
    return at(_root(lacking, 1 / len(mean), 1.0, 1.0))


def _p_empty(c: Clumping, mean: np.ndarray) -> np.ndarray:
    """Return the probability of an empty hour, any shape: all luck as one gamma variable."""
    luck = (1 + c.hour) * (1 + c.day) * (1 + c.week) - 1
    rate = mean / (c.size * (1 - c.silent))
    return np.asarray(c.silent + (1 - c.silent) * np.exp(-_gamma_exponent(rate, luck)))


def _p_silent(c: Clumping, mean: np.ndarray) -> np.ndarray:
    """Return the probability of a day without events, shape (N,) of mean (N, 24)."""
    rate = mean / (c.size * (1 - c.silent))
    total = _gamma_exponent(rate, c.hour).sum(axis=1)
    luck = (1 + c.day) * (1 + c.week) - 1
    return np.asarray(c.silent + (1 - c.silent) * np.exp(-_gamma_exponent(total, luck)))


def _gamma_exponent(rate: np.ndarray, variance: float) -> np.ndarray:
    """Return ``-log E exp(-rate G)`` for a gamma variable G of mean 1."""
    return np.asarray(np.log1p(variance * rate) / variance) if variance > 0 else rate


def _by_chance(found: float, probability: np.ndarray) -> bool:
    """Return whether so many cases are what was expected, within two standard errors and 1 %."""
    noise = 2 * float(np.sqrt((probability * (1 - probability)).sum()))
    return abs(float(probability.sum()) - found) <= noise + MATCHED * len(probability)


def _root(rising: Callable[[float], float], low: float, start: float, high: float) -> float:
    """Return where a rising function is zero on the way from a start to either bound."""
    from scipy.optimize import brentq  # noqa: PLC0415  the package loads faster without it

    here = rising(start)
    end = low if here > 0 else high
    if end == start or rising(end) * here > 0:
        return end
    return float(brentq(rising, start, end))
