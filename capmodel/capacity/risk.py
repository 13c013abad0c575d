"""Probabilities over joint paths: saturation, first breach, and the level that keeps a union.

This module answers: how likely is a hard limit exceeded, which limit is first, and at which common
level must every limit of a tier be sized so that *any* of them is exceeded with at most the
accepted probability? Arrays only; it knows no topology.

Mixture: scenarios are strata. Draw d of scenario s has weight ``probability_s / draws``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from capmodel.schema import order_statistic

__all__ = [
    "FirstBreach",
    "first_breach",
    "first_limit",
    "mixture_quantile",
    "mixture_quantiles",
    "mixture_value",
    "probability",
    "row_quantiles",
    "standard_error",
    "union_level",
]


def probability(hit: np.ndarray, weights: np.ndarray) -> float:
    """Return the mixture probability of an event.

    Parameters
    ----------
    hit
        Whether the event happens, shape (scenarios, draws).
    weights
        Probability of each scenario, shape (scenarios,).
    """
    return float(weights @ hit.mean(axis=1))


def standard_error(hit: np.ndarray, weights: np.ndarray) -> float:
    """Return the Monte-Carlo standard error of :func:`probability`.

    All scenarios share their luck, so the draws are the sample: ``se = sd(sum_s w_s hit_sd) /
    sqrt(D)``. Where every draw says the same, ``(hits + 1) / (draws + 2)`` stands for the
    probability, so that a rare event never reports an error of zero.
    """
    draws = hit.shape[1]
    shares = weights @ hit
    spread = float(shares.std())
    if spread > 0:
        return spread / math.sqrt(draws)
    p = (shares.sum() + 1) / (draws + 2)
    return math.sqrt(p * (1 - p) / draws)


def mixture_quantile(values: np.ndarray, q: float, weights: np.ndarray) -> tuple[int, int]:
    """Return (scenario, draw) of the path that is the `q` quantile of the mixture.

    Parameters
    ----------
    values
        Shape (scenarios, draws).
    q
        Probability in (0, 1).
    weights
        Probability of each scenario, shape (scenarios,).
    """
    return mixture_quantiles(values, (q,), weights)[0]


def mixture_value(values: np.ndarray, q: float, weights: np.ndarray) -> float:
    """Return the value at :func:`mixture_quantile`."""
    return float(values[mixture_quantile(values, q, weights)])


def row_quantiles(values: np.ndarray, qs: Sequence[float], weights: np.ndarray) -> np.ndarray:
    """Return the order statistics that are the quantiles of each row, shape (Q, K).

    The values of :func:`mixture_quantile` for many rows at once.

    Parameters
    ----------
    values
        Shape (K, P).
    qs
        Probabilities in (0, 1).
    weights
        Weight of each path, shape (P,).

    Examples
    --------
    >>> row_quantiles(np.array([[3.0, 1.0, 2.0]]), (0.5, 0.9), np.ones(3)).tolist()
    [[2.0], [3.0]]
    """
    order = np.argsort(values, axis=1)  # of equal values any may come first
    reached = np.cumsum(weights[order], axis=1)
    target = np.asarray(qs)[:, None] * reached[:, -1] * (1 - 1e-12)
    rows = np.arange(len(values))
    at = [np.minimum((reached < t[:, None]).sum(axis=1), values.shape[1] - 1) for t in target]
    return np.stack([values[rows, order[rows, k]] for k in at])


def mixture_quantiles(
    values: np.ndarray, qs: Sequence[float], weights: np.ndarray
) -> list[tuple[int, int]]:
    """Return :func:`mixture_quantile` at several probabilities."""
    draws = values.shape[1]
    alone = np.flatnonzero(weights)
    if len(alone) == 1:
        only = int(alone[0])
        return [(only, order_statistic(values[only], q)) for q in qs]
    flat = values.ravel()
    order = np.argsort(flat, kind="stable")
    cumulative = np.cumsum(np.repeat(weights / draws, draws)[order])
    found = []
    for q in qs:
        position = np.searchsorted(cumulative, q * cumulative[-1] * (1 - 1e-12), side="left")
        at = int(order[min(int(position), len(order) - 1)])
        found.append((at // draws, at % draws))
    return found


def union_level(needs: np.ndarray, weights: np.ndarray, risk: float) -> float:
    """Return the common level at which every limit must be sized so that the union holds.

    A limit sized at the ``level`` quantile c of its own need is exceeded on a path exactly when
    ``P(need < the path's need) >= level``. With u that probability, *any* limit is exceeded when
    ``max u >= level``; the level is the smallest for which this happens, on the same joint paths,
    with at most the probability `risk`. ``alpha = 1 - level`` is each limit's own share.

    Parameters
    ----------
    needs
        Need of each limit on each path, shape (limits, paths) [any unit per limit].
    weights
        Weight of each path, shape (paths,), summing to 1.
    risk
        Accepted probability of the union.

    Returns
    -------
    float
        The level, ``1 - risk`` or above.

    Examples
    --------
    >>> same = np.tile(np.arange(100.0), (2, 1))
    >>> round(union_level(same, np.full(100, 0.01), 0.02), 3)
    0.98
    """
    highest = np.zeros(needs.shape[1])
    for need in needs:
        order = np.argsort(need, kind="stable")
        below = np.concatenate([[0.0], np.cumsum(weights[order])])
        highest = np.maximum(highest, below[np.searchsorted(need[order], need, side="left")])
    at = order_statistic(highest, 1 - risk, weights)
    # Half the smallest weight above the last accepted rank: strictly above it, below the next. Ties
    # (a need that never varies) would allow a level below 1 - risk; a single limit never gets more.
    level = highest[at] + weights[weights > 0].min() / 2
    return float(min(max(level, 1 - risk), 1.0))


@dataclass(frozen=True, slots=True, eq=False)
class FirstBreach:
    """When a limit is first exceeded on each path."""

    day: np.ndarray
    """Index of the first day above the limit, shape (draws,); the number of days where never."""
    ratio: np.ndarray
    """Usage / limit on that day, shape (draws,); 0 where never."""


def first_breach(usage: np.ndarray, hard: float, *, peak: np.ndarray | None = None) -> FirstBreach:
    """Return the first day on which usage exceeds a limit, path by path.

    Parameters
    ----------
    usage
        Busiest minute of each day, shape (D, N) [the limit's unit].
    hard
        The limit [the same unit].
    peak
        The largest usage of each path, shape (D,), where it is known already.
    """
    if peak is not None and not (peak > hard).any():
        return FirstBreach(day=np.full(len(usage), usage.shape[1]), ratio=np.zeros(len(usage)))
    over = usage > hard
    never = ~over.any(axis=1)
    day = np.where(never, usage.shape[1], over.argmax(axis=1))
    at = np.minimum(day, usage.shape[1] - 1)
    with np.errstate(divide="ignore"):  # a bound of 0 is exceeded infinitely
        ratio = np.where(never, 0.0, usage[np.arange(len(usage)), at] / np.float64(hard))
    return FirstBreach(day=day, ratio=ratio)


def first_limit(breaches: list[FirstBreach], days: int) -> np.ndarray:
    """Return which limit breaks first on each path, -1 where none does.

    On one day, the limit exceeded by the largest ratio reached its bound earliest in the day's
    rise and counts as first.

    Parameters
    ----------
    breaches
        One per limit.
    days
        Number of days N, the value of `FirstBreach.day` that means never.
    """
    if not breaches:
        return np.zeros(0, dtype=int)
    day = np.stack([b.day for b in breaches])
    ratio = np.stack([b.ratio for b in breaches])
    key = day - 1.0 + 1.0 / (1.0 + ratio)  # day - ratio / (1 + ratio), for an infinite one too
    first = key.argmin(axis=0)
    return np.where(day.min(axis=0) >= days, -1, first)
