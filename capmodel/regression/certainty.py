"""How sure a robust line is: what its loads can tell apart, and its coefficients' covariance.

This module answers: which coefficients do the rows know, and how well? It works on arrays.
"""

from __future__ import annotations

import numpy as np

from capmodel.regression.lines import RobustFit, psi, psi_slope

__all__ = ["remaining_share", "sandwich_covariance"]


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
    length = np.linalg.norm(design, axis=0)
    used = length > 0
    share = np.zeros(design.shape[1])
    if not used.any():
        return share
    # mode "r" returns the array alone, whatever the stubs say.
    triangle = np.asarray(np.linalg.qr(design[:, used] / length[used], mode="r"))
    left = np.ones(triangle.shape[1])
    if triangle.shape[1] > 1:
        for k in range(triangle.shape[1]):
            others = np.delete(triangle, k, axis=1)
            solved = np.linalg.lstsq(others, triangle[:, k], rcond=None)[0]
            left[k] = np.sum((triangle[:, k] - others @ solved) ** 2)
    share[used] = np.clip(left, 0.0, 1.0)
    return share


def sandwich_covariance(
    design: np.ndarray,
    y: np.ndarray,
    fit: RobustFit,
    *,
    day: np.ndarray | None = None,
) -> np.ndarray:
    """Return the coefficients' covariance, robust to correlation within days and between them.

    ``A⁻¹ M A⁻¹`` with ``A = Σ ψ'(r) z zᵀ``, ``z = x/ŷ``, and ``M`` the Newey–West sum of the daily
    sums of ``ψ(r) z``: clustering by day takes any correlation within a day, the Bartlett-weighted
    lags over calendar days what carries over. Where the lags narrow an interval, the clustered one
    stands (few days estimate lags badly, and low). Closed form; one pass over the rows.

    Parameters
    ----------
    design, y, fit
        What :func:`huber_nnls` or :func:`mm_nnls` was given, and what it returned. ψ is that of
        the fit's last step, its scale taken as known.
    day
        Non-negative calendar day number of each row, shape (T,); None: rows are independent.

    Returns
    -------
    numpy.ndarray
        Covariance, shape (K, K). Coefficients at the bound 0 get the variance they would have
        without the bound, which is wider than the bounded one.

    References
    ----------
    Liang & Zeger (1986), Biometrika 73, 13–22; Newey & West (1987), Econometrica 55, 703–708;
    Cameron & Miller (2015), J. Human Resources 50, 317–372, equation 11 (small-sample factor);
    Maronna et al. (2019), *Robust Statistics*, section 5.5 (any ψ).
    """
    rows, columns = design.shape
    z = design / fit.divisor[:, None]
    residual = (y - fit.fitted) / fit.divisor
    length = np.linalg.norm(z, axis=0)
    length = np.where(length > 0, length, 1.0)
    z = z / length
    slope = psi_slope(fit, residual)
    bread = np.linalg.pinv(z.T @ (z * slope[:, None]), hermitian=True)
    scores = z * psi(fit, residual)[:, None]
    if day is None:
        scaled, groups = bread @ (scores.T @ scores) @ bread, rows
    else:
        daily = np.column_stack([np.bincount(day, weights=scores[:, c]) for c in range(columns)])
        groups = int(np.count_nonzero(np.bincount(day)))
        scaled = _wider(*(bread @ _newey_west(daily, lags=n) @ bread for n in (_lags(groups), 0)))
    factor = groups / max(groups - 1, 1) * (rows - 1) / max(rows - columns, 1)
    return np.asarray((scaled + scaled.T) / 2 * factor / np.outer(length, length))


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
