"""The rest of a season, given the days seen so far.

This module answers: how much of a high (or low) start will last, and how high can the rest go?
Logarithms of the days' busiest minutes are taken for jointly normal, with the parts that the plan's
fan holds; scenarios are weighed by how well each explains what was seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from capmodel.schema import rng_for

__all__ = ["LEAST_DAY_SD", "PRIOR_DF", "Fan", "Revised", "covariance", "revise", "stated_sd"]

PRIOR_DF: Final = 4.0
"""Weight of the fan's own spread against a start that departs by more [degrees of freedom]."""
LEAST_DAY_SD: Final = 0.02
"""A day's own log standard deviation is taken for no less; `assumed`, where a plan states none."""
LEAST_STATED_SD: Final = 0.05
"""Log standard deviation that a scenario's stated level is given when it is tracked; `assumed`."""
PATHS: Final = 2000
QUANTILES: Final = (0.10, 0.50, 0.90, 0.99)
GRID: Final = 1001
REACH: Final = 4.0
"""Standard deviations on either side of a day's median that its grid covers."""
NEGLIGIBLE: Final = 1e-6
"""Scenarios less likely than this do not stretch the grid [ratio]."""


@dataclass(frozen=True, slots=True, eq=False)
class Fan:
    """One root's days under one scenario."""

    log_p50: np.ndarray
    """Median of the day's busiest minute, as a logarithm, shape (N,)."""
    covariance: np.ndarray
    """Of the logarithms, shape (N, N)."""
    weight: float
    """Probability of the scenario [ratio]."""


@dataclass(frozen=True, slots=True, eq=False)
class Revised:
    """The days to come, given those seen; M of them."""

    weights: np.ndarray
    """Probability of each scenario, shape (S,)."""
    quantiles: np.ndarray
    """P10, P50, P90 and P99 of each day's busiest minute, shape (M, 4)."""
    highest: np.ndarray
    """The same of the highest of them."""
    paths: np.ndarray
    """Their highest on each path, sorted."""
    surprise_x: float
    """Squared distance of what was seen from the likeliest scenario, over its expectation."""


def covariance(  # noqa: PLR0913  the parts of a fan
    *,
    walk: np.ndarray,
    common: np.ndarray,
    shock: np.ndarray,
    luck: tuple[str, ...],
    week: np.ndarray,
    week_sd: np.ndarray,
    day: np.ndarray,
) -> np.ndarray:
    """Return the covariance of the days' logarithms from the parts of the fan, shape (N, N).

    ``cov_ij = walk_min(i,j)^2 + common_i common_j + [same luck] shock_i shock_j
    + [same week] week_i week_j + [i = j] day_i^2``.

    Parameters
    ----------
    walk, common, shock, week_sd, day
        Log standard deviations, shape (N,).
    luck
        Name of the event's year of each day, '' for none.
    week
        Number of each day's week, shape (N,).
    """
    names = np.array(luck)
    same = (names[:, None] == names[None, :]) & (names != "")[:, None]
    total = np.minimum.outer(walk, walk) ** 2 + np.outer(common, common)
    total += np.where(same, np.outer(shock, shock), 0.0)
    total += np.where(week[:, None] == week[None, :], np.outer(week_sd, week_sd), 0.0)
    total[np.diag_indices(len(walk))] += np.maximum(day, LEAST_DAY_SD) ** 2
    return np.asarray(total)


def stated_sd(levels: Sequence[float]) -> tuple[float, ...]:
    """Return the log standard deviation of each scenario's level while it is tracked.

    A scenario states its growth as one number and stands for what lies around it: half the way to
    the nearest other level, and no less than 0.05. Else a start between two scenarios would be
    taken for one of them with bad luck.

    Parameters
    ----------
    levels
        Each scenario's level, as a logarithm.

    Examples
    --------
    >>> [round(sd, 3) for sd in stated_sd([7.0, 7.2, 7.5])]
    [0.1, 0.1, 0.15]
    >>> stated_sd([7.0])
    (0.05,)
    """
    found = []
    for i, level in enumerate(levels):
        others = [abs(level - other) for j, other in enumerate(levels) if j != i]
        found.append(max(LEAST_STATED_SD, min(others, default=0.0) / 2))
    return tuple(found)


def revise(
    fans: tuple[Fan, ...],
    *,
    seen: np.ndarray,
    log_actual: np.ndarray,
    rest: np.ndarray,
    seed: int,
) -> Revised:
    """Return the rest of the season given the days seen.

    With mean m and covariance C, split into seen (o) and rest (r): mean ``m_r + C_ro C_oo^-1
    (y - m_o)``, covariance ``C_rr - C_ro C_oo^-1 C_or`` (Rasmussen & Williams 2006, eq. A.6),
    multiplied by ``max(1, (4 + d^2) / (4 + n))`` where the n days seen depart by a squared
    Mahalanobis distance d^2: the conditional of a multivariate t of 4 degrees of freedom (Ding
    2016), which is never let narrow by a calm start. A scenario's probability is its prior times
    the density of what was seen.

    Parameters
    ----------
    fans
        One for each scenario.
    seen, rest
        Indices of the days, shapes (n,) and (M,).
    log_actual
        Logarithm of the actual peaks of the days seen, shape (n,).
    seed
        Streams are named ("track", ...).

    References
    ----------
    Rasmussen, C. E., & Williams, C. K. I. (2006). Gaussian Processes for Machine Learning. MIT
    Press; Ding, P. (2016). On the conditional distribution of the multivariate t distribution. The
    American Statistician 70(3), 293-295.
    """
    parts = [_conditional(fan, seen, log_actual, rest) for fan in fans]
    log_weights = np.array(
        [np.log(fan.weight) + part.log_density for fan, part in zip(fans, parts, strict=True)]
    )
    weights = np.exp(log_weights - log_weights.max())
    weights /= weights.sum()
    normal = rng_for(seed, "track", "days").standard_normal((PATHS, len(rest)))
    normal = np.concatenate([normal, -normal])  # medians stay where they are
    highest = np.concatenate([(part.mean + normal @ part.root.T).max(axis=1) for part in parts])
    share = np.repeat(weights / len(normal), len(normal))
    best = int(np.argmax(weights))
    return Revised(
        weights=weights,
        quantiles=np.exp(_day_quantiles(parts, weights)),
        highest=np.exp(_weighted(highest, share)),
        paths=np.exp(_even(highest, share)),
        surprise_x=parts[best].distance / max(len(seen), 1),
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Part:
    mean: np.ndarray
    root: np.ndarray
    log_density: float
    distance: float


def _conditional(fan: Fan, seen: np.ndarray, log_actual: np.ndarray, rest: np.ndarray) -> _Part:
    from scipy.linalg import cho_factor, cho_solve  # noqa: PLC0415  the package loads faster so

    mean, whole = fan.log_p50[rest], fan.covariance[np.ix_(rest, rest)]
    log_density, distance, n = 0.0, 0.0, len(seen)
    if n:
        factor = cho_factor(fan.covariance[np.ix_(seen, seen)], lower=True)
        across = fan.covariance[np.ix_(seen, rest)]
        error = log_actual - fan.log_p50[seen]
        solved = cho_solve(factor, error)
        distance = float(error @ solved)
        mean = mean + across.T @ solved
        whole = whole - across.T @ cho_solve(factor, across)
        whole = whole * max(1.0, (PRIOR_DF + distance) / (PRIOR_DF + n))
        # A multivariate t density: a start unlike every scenario does not settle on one for that.
        log_density = -float(np.log(np.diag(factor[0])).sum())
        log_density -= (PRIOR_DF + n) / 2 * float(np.log1p(distance / PRIOR_DF))
    values, vectors = np.linalg.eigh((whole + whole.T) / 2)
    root = vectors * np.sqrt(np.maximum(values, 0.0))
    # The symmetric root does not depend on the signs and the order of the vectors.
    return _Part(mean, root @ vectors.T, log_density, distance)


def _day_quantiles(parts: Sequence[_Part], weights: np.ndarray) -> np.ndarray:
    """Return quantiles of each day's mixture of normals, from a grid, shape (M, 4)."""
    from scipy.special import ndtr  # noqa: PLC0415  the package loads faster without it

    mean = np.stack([part.mean for part in parts])
    sd = np.stack([np.sqrt((part.root**2).sum(axis=1)) for part in parts])
    shown = (weights > NEGLIGIBLE)[:, None]
    low = np.where(shown, mean - REACH * sd, np.inf).min(axis=0)
    high = np.where(shown, mean + REACH * sd, -np.inf).max(axis=0)
    grid = low + (high - low) * np.linspace(0, 1, GRID)[:, None]
    total = np.einsum("s,sgm->gm", weights, ndtr((grid - mean[:, None]) / sd[:, None]))
    return np.array([np.interp(QUANTILES, total[:, m], grid[:, m]) for m in range(grid.shape[1])])


def _weighted(values: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Return P10, P50, P90 and P99 of weighted draws, interpolated between them."""
    order = np.argsort(values, kind="stable")
    cumulative = np.cumsum(share[order]) - share[order] / 2
    return np.asarray(np.interp(QUANTILES, cumulative, values[order]))


def _even(values: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Return weighted draws as 1,000 equally likely ones, sorted."""
    order = np.argsort(values, kind="stable")
    cumulative = np.cumsum(share[order]) - share[order] / 2
    return np.asarray(np.interp((np.arange(1000) + 0.5) / 1000, cumulative, values[order]))
