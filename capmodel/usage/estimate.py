"""One regression of usage on loads, and what it can and cannot tell apart.

This module answers: which coefficients do these rows identify, and what is safe to say of the
others? It works on arrays.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from scipy.special import stdtrit

from capmodel.regression import (
    RobustFit,
    huber_nnls,
    mm_nnls,
    remaining_share,
    sandwich_covariance,
)

if TYPE_CHECKING:
    from capmodel.usage.rows import Rows

__all__ = ["Estimate", "Prior", "convex_excess", "estimate"]

COLLINEAR: Final = 1e-3
"""Below this remaining share two loads are one: only their sum is fitted."""

MODEL_ERROR: Final = 0.005
"""Systematic error that any linear model of usage may have [share of usage]."""

RELATIVE_WIDTH: Final = 0.10
"""An identified coefficient is known to this share of itself (half its interval)."""

RELATIVE_BIAS: Final = 0.20
"""The systematic error moves an identified coefficient by at most this share of itself."""

_TOP_ROWS: Final = 20

NEGLIGIBLE: Final = 0.02
"""A background that cannot exceed this share of usage is identified as negligible."""


@dataclass(frozen=True, slots=True, eq=False)
class Estimate:
    """Coefficients with covariance, 95 % interval and identifiability, all (K,) or (K, K)."""

    value: np.ndarray
    covariance: np.ndarray
    low: np.ndarray
    high: np.ndarray
    identifiable: np.ndarray
    fit: RobustFit
    r2: float


@dataclass(frozen=True, slots=True, eq=False)
class Prior:
    """What is known of the coefficients before the rows speak: value and sd, each (K,).

    An sd of infinity says nothing about its coefficient.
    """

    value: np.ndarray
    sd: np.ndarray


def estimate(
    rows: Rows,
    *,
    k: float,
    row_weight: np.ndarray | None = None,
    prior: Prior | None = None,
) -> Estimate:
    """Fit usage to loads; where loads move as one, fit their sum and say so.

    The line is the MM-estimate of :func:`capmodel.regression.mm_nnls`, Huber's where that keeps it.
    Two rules apply before the fit, both on the columns weighted by 1/ŷ. Loads whose remaining share
    is below 0.001 get one common coefficient (equal cost per query; the total is what the data
    know). A background (pods, idle) that is then still proportional to the load is set to 0 and its
    usage left with the requests: the total stays right wherever pods go on following the load, and
    no intercept is invented.

    After the fit a coefficient is *identifiable* when it was fitted on its own, half its 95 %
    interval is at most 10 % of it, and a systematic error of 0.5 % of usage in the worst direction
    (``0.005/√share``, in units of the coefficient's own contribution) could move it by at most
    20 %. A background bounded, by the same two errors, below 2 % of usage is identified as
    negligible; a slope is not, because plans multiply it by loads beyond those seen.

    Parameters
    ----------
    rows
        Loads, usage, days, and which rows are only lower bounds.
    k
        Huber's constant of the start.
    row_weight
        Weight of each row, shape (T,); None: all equal.
    prior
        What the release before says.

    References
    ----------
    Belsley, Kuh, Welsch (1980), *Regression Diagnostics*, chapter 3 (collinearity).
    """
    design, y, background, day = rows.design, rows.y, rows.background, rows.day
    first = huber_nnls(design, y, k=k, tolerance=1e-4)
    z = design / first.divisor[:, None]
    mapping, pooled, dropped = _mapping(z, background)
    reduced = design @ mapping
    fit = mm_nnls(reduced, y, k=k)
    covariance = mapping @ sandwich_covariance(reduced, y, fit, day=day) @ mapping.T
    value = mapping @ fit.value
    groups = len(y) if day is None else len(np.unique(day))
    spread = float(stdtrit(max(groups - mapping.shape[1], 1), 0.975))
    half = spread * np.sqrt(np.diag(covariance))

    size = np.sqrt(np.mean(z**2, axis=0))
    share = remaining_share(z)
    alone = ~(pooled | dropped) & (size > 0)
    systematic = MODEL_ERROR / np.sqrt(np.maximum(share, 1e-12)) / np.where(size > 0, size, 1.0)
    tight = (half <= RELATIVE_WIDTH * value) & (systematic <= RELATIVE_BIAS * value)
    # A slope is multiplied by loads beyond those seen, so its share of usage seen bounds nothing.
    negligible = background & ((value + half + systematic) * size <= NEGLIGIBLE)
    if dropped.any():
        # Requests now carry the background too: they are not told apart either.
        alone &= background
    low, high = _interval(value, half, z, pooled=pooled, dropped=dropped)
    return Estimate(
        value=value,
        covariance=covariance,
        low=low,
        high=high,
        identifiable=alone & (tight | negligible),
        fit=fit,
        r2=_r2(y, fit),
    )


def _mapping(z: np.ndarray, background: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return fitted-to-stated coefficients (K, k), which are pooled (K,), which dropped (K,)."""
    columns = z.shape[1]
    seen = np.any(z != 0, axis=0)
    pooled = np.zeros(columns, dtype=bool)
    loads = np.flatnonzero(~background & seen)
    pooled[loads] = remaining_share(z[:, loads]) < COLLINEAR
    blocks = [np.eye(columns)[:, [c]] for c in np.flatnonzero(seen & ~pooled)]
    if pooled.any():
        blocks.append(pooled[:, None].astype(float))
    mapping = np.hstack(blocks)
    dropped = np.zeros(columns, dtype=bool)
    # Last first, and looking again after each: of two backgrounds that move as one, one stays.
    for position in reversed(range(mapping.shape[1])):
        here = mapping[:, position] > 0
        if (here & background).any() and remaining_share(z @ mapping)[position] < COLLINEAR:
            dropped |= here
            mapping = np.delete(mapping, position, axis=1)
    return mapping, pooled, dropped


def _interval(
    value: np.ndarray,
    half: np.ndarray,
    z: np.ndarray,
    *,
    pooled: np.ndarray,
    dropped: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the interval (K,), (K,); for loads that move as one, all that their sum allows."""
    low, high = np.maximum(value - half, 0.0), value + half
    mean = z.mean(axis=0)
    seen = mean > 0
    if pooled.any():
        low[pooled] = 0.0
        high[pooled] = float(high[pooled].max() * mean[pooled].sum()) / mean[pooled]
    if dropped.any():
        # Everything but the requests' part could be background, and all of the requests' could.
        low[:] = 0.0
        high[dropped] = float((value * mean).sum()) / mean[dropped]
    high[~seen] = np.nan
    return low, high


def _r2(y: np.ndarray, fit: RobustFit) -> float:
    middle = np.average(y, weights=fit.weights)
    total = float(np.sum(fit.weights * (y - middle) ** 2))
    left = float(np.sum(fit.weights * (y - fit.fitted) ** 2))
    return 1 - left / total if total > 0 else float("nan")


def convex_excess(
    y: np.ndarray,
    fit: RobustFit,
    *,
    load: np.ndarray,
    day: np.ndarray | None,
    among: np.ndarray | None = None,
) -> float:
    """Return by how much usage exceeds the line at the largest loads seen, 0 when it does not.

    The median of ``y/ŷ − 1`` over the top 1 % of rows by load (at least 20). It counts when four
    rows in five lie above the line, on three days or more, and the median exceeds three standard
    errors, with days (or rows, without days) as the independent ones. The rows are taken as they
    are: their robust weights would hide what is asked, since at a bend the top rows look like
    outliers.

    Parameters
    ----------
    y, fit
        Usage (T,) and its line.
    load
        Load per pod, or in total, shape (T,).
    day
        Day number per row, or None.
    among
        Which rows are looked at, shape (T,); None: all.

    Returns
    -------
    float
        Excess [ratio].

    Examples
    --------
    >>> rps = np.linspace(10, 60, 2000)
    >>> cores = 0.08 * rps * (1 + 0.3 * np.maximum(rps / 50 - 1, 0))
    >>> fit = huber_nnls(rps[:, None], cores)
    >>> round(convex_excess(cores, fit, load=rps, day=None), 2)
    0.06
    """
    rows = np.arange(len(y)) if among is None else np.flatnonzero(among)
    n = max(len(rows) // 100, _TOP_ROWS)
    if len(rows) < 2 * n:
        return 0.0
    top = rows[np.argpartition(load[rows], -n)[-n:]]
    excess = y[top] / np.maximum(fit.fitted[top], fit.divisor[top]) - 1
    independent = n if day is None else len(np.unique(day[top]))
    middle = float(np.median(excess))
    sure = middle > 3 * fit.scale / np.sqrt(independent)
    return middle if sure and independent >= 3 and np.mean(excess > 0) >= 0.8 else 0.0  # noqa: PLR2004  the rule above
