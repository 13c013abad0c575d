"""How sure a robust line is: what its loads can tell apart, and its coefficients' covariance.

This module answers: which coefficients do the rows know, and how well? It works on arrays.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from capmodel.regression.censored import Censored, certainty
from capmodel.regression.lines import RobustFit
from capmodel.regression.steps import ROUNDING, Residuals, gram

__all__ = ["remaining_share", "sandwich_covariance"]

_HELD_SHARE: Final = 0.8
"""Rows at a limit, whose distribution is estimated too, take at most a fifth of the curvature that
the exact rows have on their own."""

_LEAST_SLOPE: Final = 0.1
"""Least mean ψ' of rows in proportion to their weight: below it most rows would be rejected."""

_SMALLEST: Final = 1e-6
"""Below this eigenvalue of the normalised columns' products, shares are taken from the columns."""


def remaining_share(design: np.ndarray) -> np.ndarray:
    """Return the share of each column's square sum that the other columns cannot reproduce.

    It is the reciprocal of the (uncentred) variance inflation factor: 1 for orthogonal columns, 0
    for a column that is a combination of the others, and 0 for a column of zeros.

    Parameters
    ----------
    design
        Weighted regressors as the fit sees them, shape (T, K).

    Returns
    -------
    numpy.ndarray
        Shares in [0, 1], shape (K,).

    References
    ----------
    Belsley, Kuh, Welsch (1980), *Regression Diagnostics*, section 3.1.

    Examples
    --------
    >>> pods = np.array([2.0, 4.0, 6.0])
    >>> remaining_share(np.column_stack([pods, 10 * pods])).round(9).tolist()
    [0.0, 0.0]
    """
    columns = np.ascontiguousarray(design.T)
    products = gram(columns)
    length = np.sqrt(np.diag(products))
    used = np.flatnonzero(length > 0)
    share = np.zeros(len(length))
    if not len(used):
        return share
    products = products[np.ix_(used, used)] / np.outer(length[used], length[used])
    np.fill_diagonal(products, 1.0)
    spread = np.linalg.eigvalsh(products)
    if spread[0] > _SMALLEST:
        left = 1 / np.diag(np.linalg.inv(products))
    else:
        # mode "r" returns the array alone, whatever the stubs say.
        triangle = np.asarray(np.linalg.qr(design[:, used] / length[used], mode="r"))
        left = np.array([_left_over(triangle, k) for k in range(len(used))])
    share[used] = np.clip(left, 0.0, 1.0)
    return share


def _left_over(triangle: np.ndarray, k: int) -> float:
    others = np.delete(triangle, k, axis=1)
    solved = np.linalg.lstsq(others, triangle[:, k], rcond=None)[0]
    return float(np.sum((triangle[:, k] - others @ solved) ** 2))


def sandwich_covariance(  # noqa: PLR0913  what the fit was given, and by which days
    design: np.ndarray,
    y: np.ndarray,
    fit: RobustFit,
    *,
    day: np.ndarray | None = None,
    at_limit: np.ndarray | None = None,
    row_weight: np.ndarray | None = None,
    prior_sd: np.ndarray | None = None,
) -> np.ndarray:
    """Return the coefficients' covariance, robust to correlation within days and between them.

    ``A⁻¹ (M + s²P) A⁻¹`` with ``A = Σ v ψ'(r) z zᵀ + P``, ``z = x/ŷ``, ``P = diag(s²/sd²)`` and
    ``M`` the Newey–West sum of the daily sums of ``v ψ(r) z``: clustering by day takes any
    correlation within a day, the Bartlett-weighted lags over calendar days what carries over. Where
    the lags narrow an interval, the clustered one stands (few days estimate lags badly, and low).
    Closed form; one pass over the rows.

    Where ψ redescends, single ψ'(r) are negative, and rejected rows at the lowest loads can leave
    their sum without any curvature; so there ``A = m Σ v w z zᵀ`` with the fit's weights w and the
    mean ``m = Σ v ψ' / Σ v w``, the same where residuals do not depend on the load.

    Parameters
    ----------
    design, y, fit
        What :func:`huber_nnls` or :func:`mm_nnls` was given, and what it returned. ψ is that of
        the fit's last step, its scale taken as known.
    day
        Non-negative calendar day number of each row, shape (T,); None: rows are independent.
    at_limit, row_weight, prior_sd
        What the fit was given. Rows at a limit count by what they still tell, and so does that the
        distribution beyond their bounds is estimated. Weights are not taken for more rows: doubling
        all of them changes nothing.

    Returns
    -------
    numpy.ndarray
        Covariance, shape (K, K). Coefficients at the bound 0 get the variance they would have
        without the bound, which is wider than the bounded one; where nothing is known but the
        prior, the covariance is the prior's. NaN if all rows are at a limit.

    References
    ----------
    Liang & Zeger (1986), Biometrika 73, 13–22; Newey & West (1987), Econometrica 55, 703–708;
    Cameron & Miller (2015), J. Human Resources 50, 317–372, equation 11 (small-sample factor);
    Maronna et al. (2019), *Robust Statistics*, section 5.5 (any ψ).
    """
    columns = design.shape[1]
    if at_limit is not None and at_limit.all():
        return np.full((columns, columns), np.nan)
    weight = np.ones(len(y)) if row_weight is None else row_weight
    rows = int(np.count_nonzero(weight))
    z = np.ascontiguousarray(design.T) / fit.divisor
    scale = max(fit.scale, ROUNDING)
    precision = np.zeros(columns) if prior_sd is None else (scale / prior_sd) ** 2
    length = np.sqrt(np.einsum("kt,kt->k", z, z) + precision)
    length = np.where(length > 0, length, 1.0)
    precision = precision / length**2
    if at_limit is None or not at_limit.any():
        curvature, scores = _curvature(z, fit, weight), z * (weight * fit.score)
    else:
        loss = Censored(fit.family, fit.cut / scale, fit.scale, at_limit, row_weight, fit.spread)
        at = Residuals(fit.fitted, fit.divisor, (y - fit.fitted) / fit.divisor)
        curvature, scores = certainty(loss, z, at)
        free = np.where(at_limit, 0.0, weight)
        curvature = _at_least(curvature, _HELD_SHARE * _curvature(z, fit, free))
    bread = np.linalg.pinv(curvature / np.outer(length, length) + np.diag(precision))
    if day is None:
        groups, (lagged, plain) = rows, (gram(scores),) * 2
    else:
        daily = _daily_sums(scores, day)
        groups = int(np.count_nonzero(np.bincount(day[weight > 0])))
        lagged, plain = (_newey_west(daily, lags=n) for n in (_lags(groups), 0))
    factor = groups / max(groups - 1, 1) * (rows - 1) / max(rows - columns, 1)
    of_prior = scale**2 * np.diag(precision)
    spread = [
        bread @ (meat * factor / np.outer(length, length) + of_prior) @ bread.T
        for meat in (lagged, plain)
    ]
    scaled = _wider(*spread)
    scaled = (scaled + scaled.T) / 2
    np.fill_diagonal(scaled, np.maximum(np.diag(scaled), 0.0))  # rounding below a variance of 0
    return np.asarray(scaled / np.outer(length, length))


def _curvature(z: np.ndarray, fit: RobustFit, weight: np.ndarray) -> np.ndarray:
    """Return ``Σ v ψ' z zᵀ`` (K, K), never without curvature: see :func:`sandwich_covariance`."""
    if fit.family == "huber":
        return gram(z, weight * fit.slope)
    counted = weight * fit.weights
    mean = float(np.sum(weight * fit.slope)) / max(float(counted.sum()), ROUNDING)
    return max(mean, _LEAST_SLOPE) * gram(z, counted)


def _at_least(curvature: np.ndarray, least: np.ndarray) -> np.ndarray:
    """Return `curvature`, raised where a direction has less than `least` gives it."""
    length = np.sqrt(np.where(np.diag(least) > 0, np.diag(least), 1.0))
    scaled = least / np.outer(length, length)
    if np.linalg.eigvalsh(scaled)[0] < _SMALLEST:
        return curvature
    root = np.linalg.cholesky(scaled) * length[:, None]
    inverse = np.linalg.inv(root)
    relative = inverse @ curvature @ inverse.T
    values, vectors = np.linalg.eigh((relative + relative.T) / 2)
    short = np.maximum(1 - values, 0.0)
    return np.asarray(curvature + root @ ((vectors * short) @ vectors.T) @ root.T)


def _daily_sums(scores: np.ndarray, day: np.ndarray) -> np.ndarray:
    """Return the sums of scores (K, T) by calendar day, shape (days, K)."""
    first = np.flatnonzero(np.diff(day, prepend=-1))
    if np.all(day[first][1:] > day[first][:-1]):
        daily = np.zeros((int(day[-1]) + 1, len(scores)))
        daily[day[first]] = np.add.reduceat(scores, first, axis=1).T
        return daily
    return np.column_stack([np.bincount(day, weights=column) for column in scores])


def _wider(covariance: np.ndarray, least: np.ndarray) -> np.ndarray:
    """Return `covariance` with its variances raised to those of `least`, correlations kept."""
    variance = np.diag(covariance)
    raised = np.maximum(np.diag(least) / np.where(variance > 0, variance, 1.0), 1.0)
    return np.asarray(covariance * np.sqrt(np.outer(raised, raised)))


def _lags(days: int) -> int:
    # Newey & West (1994), table II.C: 4 (n/100)^(2/9) for the Bartlett kernel; too few days carry
    # no usable estimate of what is left between them.
    return int(4 * (days / 100) ** (2 / 9)) if days >= 30 else 0  # noqa: PLR2004


def _newey_west(daily: np.ndarray, *, lags: int) -> np.ndarray:
    total = daily.T @ daily
    for lag in range(1, min(lags, len(daily) - 1) + 1):
        cross = daily[lag:].T @ daily[:-lag]
        total = total + (1 - lag / (lags + 1)) * (cross + cross.T)
    return np.asarray(total)
