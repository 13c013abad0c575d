"""One regression of usage on loads, and what it can and cannot tell apart.

This module answers: which coefficients do these rows identify, and what is safe to say of the
others? It works on arrays.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np
from scipy.special import stdtrit

from capmodel.regression import (
    RobustFit,
    huber_nnls,
    mm_nnls,
    remaining_share,
    sandwich_covariance,
    stride,
)

if TYPE_CHECKING:
    from capmodel.usage.rows import Rows

__all__ = ["Estimate", "Prior", "estimate", "pooling", "top_excess"]

COLLINEAR: Final = 1e-3
"""Below this remaining share two loads are one: only their sum is fitted."""

MODEL_ERROR: Final = 0.005
"""Systematic error that any linear model of usage may have [share of usage]."""

RELATIVE_WIDTH: Final = 0.10
"""An identified coefficient is known to this share of itself (half its interval)."""

RELATIVE_BIAS: Final = 0.20
"""The systematic error moves an identified coefficient by at most this share of itself."""

_COMPARED_ROWS: Final = 4000
"""Rows that loads are compared on for collinearity."""

_TOP_ROWS: Final = 20

NEGLIGIBLE: Final = 0.02
"""A background that cannot exceed this share of usage is identified as negligible."""

LITTLE_R2: Final = 0.25
"""Below this share of variance explained, usage follows something else than the load …"""

ORDINARY_NOISE: Final = 0.05
"""… if it scatters by more than an ordinary minute's noise, which alone may hide a narrow load."""

_R2_DECIMALS: Final = 9


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

    @property
    def explains_little(self) -> bool:
        """Whether usage varies, by more than ordinary noise, with something else than the load."""
        return self.r2 < LITTLE_R2 and self.fit.scale > ORDINARY_NOISE


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
    20 %; and the loads must explain a quarter of usage's variance where that exceeds ordinary noise
    (5 %). A background bounded, by the same two errors, below 2 % of usage is identified as
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
    background = rows.background
    told = np.zeros(len(rows.terms), dtype=bool) if prior is None else np.isfinite(prior.sd)
    z, near = _weighted(rows, k=k, row_weight=row_weight)
    mapping, pooled, dropped = pooling(z, background, told=told)
    fit, value, covariance = _fitted(
        rows,
        mapping,
        k=k,
        row_weight=row_weight,
        prior=prior,
        start=near if _is_identity(mapping) else None,
    )
    groups = len(rows.y) if rows.day is None else int(np.count_nonzero(np.bincount(rows.day)))
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
    found = Estimate(
        value=value,
        covariance=covariance,
        low=low,
        high=high,
        identifiable=alone & (tight | negligible),
        fit=fit,
        r2=_r2(rows.y, fit, among=~rows.at_limit),
    )
    if found.explains_little:
        return replace(found, identifiable=found.identifiable & background)
    return found


def _fitted(
    rows: Rows,
    mapping: np.ndarray,
    *,
    k: float,
    row_weight: np.ndarray | None,
    prior: Prior | None,
    start: np.ndarray | None,
) -> tuple[RobustFit, np.ndarray, np.ndarray]:
    """Return the line of the mapped loads, and its coefficients (K,) and covariance (K, K)."""
    reduced = rows.design if _is_identity(mapping) else rows.design @ mapping
    at_limit = rows.at_limit if rows.at_limit.any() else None
    known = _on_reduced(prior, mapping)
    value, sd = (None, None) if known is None else (known.value, known.sd)
    fit = mm_nnls(
        reduced,
        rows.y,
        k=k,
        at_limit=at_limit,
        row_weight=row_weight,
        prior=value,
        prior_sd=sd,
        start=start,
    )
    covariance = sandwich_covariance(
        reduced, rows.y, fit, day=rows.day, at_limit=at_limit, row_weight=row_weight, prior_sd=sd
    )
    return fit, mapping @ fit.value, mapping @ covariance @ mapping.T


def _is_identity(mapping: np.ndarray) -> bool:
    return mapping.shape[0] == mapping.shape[1] and bool((np.diag(mapping) == 1).all())


def _weighted(
    rows: Rows, *, k: float, row_weight: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """Return loads divided by fitted usage, of enough rows to compare, and that fit's line (K,).

    Of many rows a stride, and every row of a load test, whose loads may be the only different ones.
    """
    step = stride(len(rows.y), _COMPARED_ROWS)
    part = rows.load_test.copy()
    part[::step] = True
    first = huber_nnls(
        rows.design[part],
        rows.y[part],
        k=k,
        tolerance=1e-4,
        at_limit=rows.at_limit[part],
        row_weight=None if row_weight is None else row_weight[part],
    )
    return rows.design[part] / first.divisor[:, None], first.value


def pooling(
    z: np.ndarray, background: np.ndarray, *, told: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return fitted-to-stated coefficients (K, k), which are pooled (K,), which dropped (K,).

    Parameters
    ----------
    z
        Loads divided by fitted usage, shape (T, K).
    background
        Which terms do not follow requests, shape (K,).
    told
        Which a prior tells apart, whatever the loads do, shape (K,): they are not pooled.
    """
    told = np.zeros(len(background), dtype=bool) if told is None else told
    columns = z.shape[1]
    seen = np.any(z != 0, axis=0)
    pooled = np.zeros(columns, dtype=bool)
    loads = np.flatnonzero(~background & seen & ~told)
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


def _on_reduced(prior: Prior | None, mapping: np.ndarray) -> Prior | None:
    """Return the prior of the fitted coefficients (k,); of a pooled one nothing is known."""
    if prior is None:
        return None
    alone = mapping.sum(axis=0) == 1
    sd = np.where(np.isfinite(prior.sd), prior.sd, 0.0) @ mapping
    return Prior(
        value=np.where(alone, prior.value @ mapping, 0.0),
        sd=np.where(alone & (sd > 0), sd, np.inf),
    )


def _r2(y: np.ndarray, fit: RobustFit, *, among: np.ndarray) -> float:
    """Return the share of variance explained, of rows that are no lower bounds."""
    weights = np.where(among, fit.weights, 0.0)
    if not weights.any():
        return float("nan")
    middle = np.average(y, weights=weights)
    total = float(np.sum(weights * (y - middle) ** 2))
    left = float(np.sum(weights * (y - fit.fitted) ** 2))
    # Of two sums that are nearly equal the last digits are rounding, which machines do differently.
    return round(1 - left / total, _R2_DECIMALS) if total > 0 else float("nan")


def top_excess(
    y: np.ndarray,
    fit: RobustFit,
    *,
    load: np.ndarray,
    day: np.ndarray | None,
    among: np.ndarray | None = None,
) -> float:
    """Return by how much usage exceeds the line at the largest loads seen, 0 when it does not.

    The median of ``y/ŷ − 1`` over the top 1 % of rows by load (at least 20). It counts when four
    rows in five lie on its side of the line, on three days or more, and it exceeds three standard
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
        Excess [ratio]; negative where usage stays below the line.

    Examples
    --------
    >>> rps = np.linspace(10, 60, 2000)
    >>> cores = 0.08 * rps * (1 + 0.3 * np.maximum(rps / 50 - 1, 0))
    >>> fit = huber_nnls(rps[:, None], cores)
    >>> round(top_excess(cores, fit, load=rps, day=None), 2)
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
    sure = abs(middle) > 3 * fit.scale / np.sqrt(independent)
    one_side = np.mean(excess * middle > 0) >= 0.8  # noqa: PLR2004  the rule above
    return middle if sure and independent >= 3 and one_side else 0.0  # noqa: PLR2004  the rule above
