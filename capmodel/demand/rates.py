"""The rate at which the events of a sparse service come: its week, its level, its errors.

This module answers: how many events an hour are expected today, and how wrong may that be in three
months? The level remembers weeks with a half-life that its own past chose; the week's profile is
believed as far as events were counted.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from capmodel.demand.clumping import Clumping, sums
from capmodel.demand.design import HOURS, weekdays
from capmodel.demand.uncertainty import DRIFT_DAYS, PRIOR_DF, ErrorPrior

__all__ = ["HALF_EVENT", "CountErrors", "Past", "Profile", "Weeks", "fit_profile", "level_errors"]

HALF_LIVES: Final = (4, 8, 16, 32, 64)
"""How fast the level may forget; the next quarter decides [weeks]."""
USUAL_HALF_LIFE: Final = 16
"""Half-life of histories too short to choose [weeks]."""
NO_EVIDENCE: Final = 1.0
"""Log likelihood by which a level that forgets faster must be better."""
WARM_UP: Final = 26
"""History before the first backtest of the level [weeks]."""
QUARTER: Final = 13
"""Length of a backtest [weeks]."""
HALF_EVENT: Final = 0.5
"""What a prior that knows nothing counts [arrivals]; `assumed`."""
RULE_OF_THREE: Final = 3.0
"""An hour of the week silent in n weeks is busy with a probability below 3 / n (95 %)."""
WEEK: Final = 7


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
class Past:
    """One service's history, from its first day on, and its calendar."""

    values: np.ndarray
    """Demand, 0 for gaps, shape (N, 24)."""
    known: np.ndarray
    """Observed hours, shape (N, 24) bool."""
    ordinary: np.ndarray
    """Observed hours of days without an event, all where every day has one, (N, 24) bool."""
    weekday: np.ndarray
    week: np.ndarray
    """Weeks of seven days up to the last one, from 0, shape (N,)."""
    censored: np.ndarray
    """Hours of each day that are only lower bounds, shape (N,)."""

    @classmethod
    def of(
        cls,
        values: np.ndarray,
        dates: np.ndarray,
        names: np.ndarray,
        *,
        censored: np.ndarray | None,
    ) -> Past:
        """Lay out a service's days."""
        back = (len(dates) - 1 - np.arange(len(dates))) // WEEK
        known = ~np.isnan(values)
        ordinary = known & (names == "")[:, None]
        return cls(
            values=np.where(known, values, 0.0),
            known=known,
            ordinary=ordinary if ordinary.any() else known,
            weekday=weekdays(dates),
            week=back[0] - back,
            censored=np.zeros(len(dates)) if censored is None else censored.sum(axis=1),
        )

    def by_cell(self, values: np.ndarray) -> np.ndarray:
        """Return sums over ordinary hours by hour of the week, shape (7, 24)."""
        out = np.zeros((WEEK, HOURS))
        np.add.at(out, self.weekday, np.where(self.ordinary, values, 0.0))
        return out


@dataclass(frozen=True, slots=True, eq=False)
class Profile:
    """A service's hours of the week; arrays of shape (7, 24)."""

    rate: np.ndarray
    """Rate over the level, mean 1."""
    prior: np.ndarray
    """The product of weekday and hour of day that the rate is shrunk toward."""
    total: np.ndarray
    due: np.ndarray
    """What the prior expected."""
    spread: float
    """Variance of a total over its mean."""
    between: float
    """Variance of the rates around the prior, relative to it."""
    scale: float
    """What makes the sums of total and due equal."""

    def by_others(self, past: Past, level: np.ndarray) -> np.ndarray:
        """Return what each hour's rate would be without its own value, shape (N, 24)."""
        cell = past.weekday
        prior = self.prior[cell] * level[:, None] * self.scale
        total = self.total[cell] - past.values
        due = self.due[cell] - prior
        return np.asarray(prior * _posterior(total, due, self.spread, self.between))


def fit_profile(past: Past, level: np.ndarray, clumping: Clumping) -> Profile:
    """Return the rate of each hour of the week over the level.

    Hours of the day are shrunk toward each other, weekdays alike, then each hour of the week toward
    the product of both, by gamma priors whose variance the totals tell (empirical Bayes). An hour
    of the week that was always silent gets no more than three arrivals in all its weeks.

    References
    ----------
    Clayton, D., & Kaldor, J. (1987). Empirical Bayes estimates of age-standardized relative risks
    for use in disease mapping. Biometrics 43(3), 671-681.
    Hanley, J. A., & Lippman-Hand, A. (1983). If nothing goes wrong, is everything all right? JAMA
    249(13), 1743-1745.
    """
    total = past.by_cell(past.values)
    exposure = past.by_cell(np.broadcast_to(level[:, None], past.values.shape))
    squares = past.by_cell(np.broadcast_to(level[:, None] ** 2, past.values.shape))
    typical = float(squares.sum() / exposure.sum())
    scale = max(float(total.sum()), clumping.size) / float(exposure.sum())
    exposure *= scale
    n = past.by_cell(np.ones(past.values.shape))
    within, day, week = clumping.shares
    spread = clumping.linear + (within + day + week) * typical
    by_hour = _believed(total.sum(0), exposure.sum(0), n.sum(0), spread, clumping.size)
    whole = spread + (HOURS - 1) * (day + week) * typical
    due = (exposure * by_hour).sum(1)
    by_weekday = _believed(total.sum(1), due, n.sum(1), whole, clumping.size)
    prior = by_weekday[:, None] * by_hour
    due = exposure * prior
    between = _between(total, due, spread)
    rate = prior * _posterior(total, due, spread, between)
    bound = RULE_OF_THREE * clumping.size / np.maximum(exposure, clumping.size)
    rate = np.where(total == 0, np.minimum(rate, bound), rate)
    return Profile(rate / rate.mean(), prior, total, due, spread, between, scale)


def _between(total: np.ndarray, due: np.ndarray, spread: float) -> float:
    """Return the variance of rates around their prior by moments, relative to the prior.

    ``t = sum((total - due)^2 - spread due) / sum(due^2)`` for totals of variance ``spread due``.
    """
    excess = float(((total - due) ** 2 - spread * due).sum() / (due**2).sum())
    return max(excess, 0.0)


def _posterior(total: np.ndarray, due: np.ndarray, spread: float, between: float) -> np.ndarray:
    """Return the mean of a gamma posterior whose prior has mean 1 and variance `between`."""
    return np.asarray((spread + between * total) / (spread + between * due))


def _believed(
    total: np.ndarray, due: np.ndarray, n: np.ndarray, spread: float, size: float
) -> np.ndarray:
    """Return rates over 1; what was always silent is expected to see half an arrival in all."""
    rate = _posterior(total, due, spread, _between(total, due, spread))
    bound = HALF_EVENT * size / np.maximum(due, size * np.minimum(n, 1))
    return np.where(total == 0, np.minimum(rate, bound), rate)


@dataclass(frozen=True, slots=True, eq=False)
class Weeks:
    """A service's weeks; arrays of shape (W,).

    Their level is a gamma-Poisson mean that forgets: older totals and exposures count half every
    half-life, the discounting of Harvey & Fernandes (1989).

    References
    ----------
    Harvey, A. C., & Fernandes, C. (1989). Time series models for count or qualitative observations.
    Journal of Business & Economic Statistics 7(4), 407-417.
    """

    total: np.ndarray
    """Demand of the ordinary hours observed [quantity * h]."""
    exposure: np.ndarray
    """Their expected demand at level 1 [h]."""
    hour: np.ndarray
    """Sum of squares of the expected hours at level 1."""
    day: np.ndarray
    """Sum of squares of the expected days at level 1."""
    clumping: Clumping

    @classmethod
    def of(cls, past: Past, profile: np.ndarray, clumping: Clumping) -> Weeks:
        """Add up the ordinary hours of each week."""
        rate = np.where(past.ordinary, profile[past.weekday], 0.0)
        total, _, _ = sums(np.where(past.ordinary, past.values, 0.0))
        return cls(total, *sums(rate), clumping)

    @property
    def overall(self) -> float:
        """Mean level of all weeks, half an event added: never quite zero."""
        return float((self.total.sum() + self.least) / self.exposure.sum())

    @property
    def least(self) -> float:
        """Half an event, the weight of the overall level in each week's."""
        return HALF_EVENT * self.clumping.size

    def past_level(self, half_life: int) -> np.ndarray:
        """Return the level as each week's end knew it: older weeks count half every half-life."""
        return self._level(
            _remembered(self.total, half_life), _remembered(self.exposure, half_life)
        )

    def smoothed(self, half_life: int, *, own: bool = True) -> np.ndarray:
        """Return the level of each week seen from both sides, or by other weeks than its own."""
        total, exposure = (
            _remembered(x, half_life)
            + _remembered(x[::-1], half_life)[::-1]
            - (1 if own else 2) * x
            for x in (self.total, self.exposure)
        )
        return self._level(total, exposure)

    def _level(self, total: np.ndarray, exposure: np.ndarray) -> np.ndarray:
        if not self.total.any():  # it lives on event days alone: one level for all weeks
            return np.full(len(total), self.overall)
        return np.asarray((total + self.least) / (exposure + self.least / self.overall))

    def variance(self, level: np.ndarray) -> np.ndarray:
        """Return the variance of each week's total at a level."""
        return self.clumping.variance(
            self.exposure * level, self.hour * level**2, self.day * level**2
        )

    def best_half_life(self) -> int:
        """Return the half-life whose level predicted a quarter best, the longest in doubt."""
        cuts = self.cuts
        if not len(cuts):
            return USUAL_HALF_LIFE
        ahead, due = _ahead(self.total, cuts), _ahead(self.exposure, cuts)
        # Quarters overlap: each week is in as many of them as a quarter has weeks.
        return self._likeliest(
            ahead / QUARTER, due / QUARTER, lambda half_life: self.past_level(half_life)[cuts]
        )

    def best_smoothing(self) -> int:
        """Return the half-life whose level tells a week from its neighbours best."""
        return self._likeliest(
            self.total, self.exposure, lambda half_life: self.smoothed(half_life, own=False)
        )

    def _likeliest(
        self, total: np.ndarray, exposure: np.ndarray, level_of: Callable[[int], np.ndarray]
    ) -> int:
        """Return the half-life of the likeliest level, by Poisson likelihood of arrivals."""
        usual = self.exposure * self.overall
        spread = float(self.variance(np.full(len(usual), self.overall)).sum() / usual.sum())
        scores = []
        for half_life in HALF_LIVES:
            level = level_of(half_life)
            scores.append(float(total @ np.log(level) - exposure @ level) / spread)
        enough = max(scores) - NO_EVIDENCE
        return max(h for h, x in zip(HALF_LIVES, scores, strict=True) if x >= enough)

    @property
    def cuts(self) -> np.ndarray:
        """Weeks with half a year before and a quarter after, most of which was observed."""
        cuts = np.arange(WARM_UP - 1, len(self.total) - QUARTER)
        return cuts[_ahead(self.exposure, cuts) > QUARTER * WEEK * HOURS / 2]


def _remembered(values: np.ndarray, half_life: float) -> np.ndarray:
    """Return ``m_w = x_w + m_(w-1) / 2^(1 / half_life)``."""
    from scipy.signal import lfilter  # noqa: PLC0415  the package loads faster without it

    return np.asarray(lfilter([1.0], [1.0, -(0.5 ** (1 / half_life))], values))


def _ahead(values: np.ndarray, cuts: np.ndarray) -> np.ndarray:
    """Return the sum over the quarter after each cut."""
    reached = np.concatenate([[0.0], np.cumsum(values)])
    return np.asarray(reached[cuts + 1 + QUARTER] - reached[cuts + 1])


def level_errors(weeks: Weeks, half_life: int, prior: ErrorPrior) -> tuple[CountErrors, float]:
    """Return how wrong level and trend may be, and how many events the level rests on.

    The level's relative variance is that of a weighted sum of weeks; with the prior's it has the
    degrees of freedom of Satterthwaite (1946), counting being certain of its own. What a quarter
    missed beyond both totals' counting is a random walk's mean over the quarter, a third of its
    variance at the end.

    References
    ----------
    Satterthwaite, F. E. (1946). An approximate distribution of estimates of variance components.
    Biometrics Bulletin 2(6), 110-114.
    """
    due = weeks.exposure * weeks.past_level(half_life)
    variance = weeks.variance(weeks.past_level(half_life))
    reached = np.maximum(_remembered(due, half_life), np.finfo(float).tiny)
    relative = _remembered(variance, half_life / 2) / reached**2
    counted = 1 / float(relative[-1])
    level_variance = prior.level_sd**2
    if weeks.total.any():  # else the ratios of its events hold the level
        level_variance += 1 / (counted + HALF_EVENT)
    drift, nu, rms = prior.drift_sd**2, 0.0, float("nan")
    cuts = weeks.cuts
    if len(cuts):
        now = weeks.past_level(half_life)[cuts]
        coming = _ahead(weeks.total, cuts) + weeks.least
        error = np.log(coming / (_ahead(weeks.exposure, cuts) * now + weeks.least))
        scatter = _ahead(variance, cuts) / _ahead(due, cuts) ** 2 + relative[cuts]
        nu = len(cuts) / QUARTER
        walk = max(float((error**2 - scatter).mean()), 0.0) * 3 * DRIFT_DAYS / (QUARTER * WEEK)
        drift = (PRIOR_DF * drift + nu * walk) / (PRIOR_DF + nu)
        rms = float(np.sqrt((error**2).mean()))
    errors = CountErrors(
        level_sd=float(np.sqrt(level_variance)),
        level_df=PRIOR_DF * (level_variance / prior.level_sd**2) ** 2,
        drift_sd=float(np.sqrt(drift)),
        drift_df=PRIOR_DF + nu,
        backtest_rms=rms,
    )
    return errors, counted
