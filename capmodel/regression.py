"""Robust regression kernels on arrays: Huber-NNLS, its covariance, identifiability, change points.

This module answers: what does a unit of load use, how sure is that, and when did it change? It
knows arrays only: no services, no dates, no units.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.optimize import nnls as _scipy_nnls

__all__ = [
    "ChangePoint",
    "HuberFit",
    "change_points",
    "group_median",
    "huber_nnls",
    "long_run_scale",
    "nnls",
    "remaining_share",
    "sandwich_covariance",
    "scaled_mad",
]

HUBER_K: Final = 1.345
"""Huber's constant: 95 % efficiency at the normal (Huber 1981, section 4.5)."""

MAD_TO_SD: Final = 1.482602218505602
"""Median absolute deviation to standard deviation at the normal: 1/Φ⁻¹(3/4)."""

_FLOOR: Final = 0.01
"""Relative weights stop growing below this share of the mean fitted value."""


@dataclass(frozen=True, slots=True, eq=False)
class HuberFit:
    """The result of :func:`huber_nnls`.

    ``value`` (K,) are the coefficients, ``fitted`` (T,) the fitted values, ``divisor`` (T,) what
    residuals were divided by (fitted values, floored, or ones), ``weights`` (T,) the Huber weights
    in (0, 1], ``scale`` the scaled MAD of the divided residuals, ``iterations`` the steps taken
    and ``converged`` whether the last one still moved anything.
    """

    value: np.ndarray
    fitted: np.ndarray
    divisor: np.ndarray
    weights: np.ndarray
    scale: float
    iterations: int
    converged: bool


@dataclass(frozen=True, slots=True)
class ChangePoint:
    """A step in a series: first index after it, its size and the size's standard error."""

    index: int
    size: float
    se: float


def scaled_mad(values: np.ndarray, *, center: float | None = 0.0) -> float:
    """Return ``1.4826 · median|values − center|``; ``center=None`` takes the median.

    Examples
    --------
    >>> scaled_mad(np.array([-1.0, 0.0, 1.0, 50.0]))
    1.482602218505602
    """
    middle = float(np.median(values)) if center is None else center
    return MAD_TO_SD * float(np.median(np.abs(values - middle)))


def nnls(design: np.ndarray, target: np.ndarray, *, nonnegative: bool = True) -> np.ndarray:
    """Return the least-squares coefficients, non-negative unless told otherwise.

    The tall system is reduced to K + 1 rows by one QR factorisation, whose residual sum differs
    from the full one by a constant; columns are scaled to unit length first. So the active-set
    steps (Lawson & Hanson 1974, chapter 23) do not touch the data again.

    Parameters
    ----------
    design
        Regressors, shape (T, K).
    target
        Response, shape (T,).
    nonnegative
        False solves the ordinary problem.

    Returns
    -------
    numpy.ndarray
        Coefficients, shape (K,); 0 for a column of zeros.

    Examples
    --------
    >>> nnls(np.array([[1.0, 0.0], [1.0, 1.0], [1.0, 2.0]]), np.array([3.0, 2.0, 1.0])).round(12)
    array([2., 0.])
    """
    length = np.linalg.norm(design, axis=0)
    used = length > 0
    value = np.zeros(design.shape[1])
    if not used.any():
        return value
    scaled = design[:, used] / length[used]
    triangle = _triangle(np.column_stack([scaled, target]))
    left, right = triangle[:, :-1], triangle[:, -1]
    if nonnegative:
        solution = _scipy_nnls(left, right)[0]
    else:
        solution = np.linalg.lstsq(left, right, rcond=None)[0]
    value[used] = solution / length[used]
    return value


def _triangle(tall: np.ndarray) -> np.ndarray:
    # mode "r" returns the array alone, whatever the stubs say.
    return np.asarray(np.linalg.qr(tall, mode="r"))


def huber_nnls(  # noqa: PLR0913  each argument is one documented choice
    design: np.ndarray,
    y: np.ndarray,
    *,
    k: float = HUBER_K,
    relative: bool = True,
    nonnegative: bool = True,
    max_iterations: int = 50,
    tolerance: float = 1e-8,
) -> HuberFit:
    """Fit ``y ≈ design · value`` robustly, with non-negative coefficients and relative residuals.

    Iterates ``r = (y − ŷ)/ŷ``, ``s = 1.4826 · median|r|``, ``w = min(1, k·s/|r|)`` and non-negative
    least squares on rows weighted by ``√w/ŷ``. Noise of resource use is roughly proportional to
    use, hence the division by ŷ (never by y, which would pull the fit down).

    Parameters
    ----------
    design
        Loads, shape (T, K).
    y
        Usage, shape (T,).
    k
        Huber's constant [standard deviations].
    relative
        False leaves residuals in units of `y`.
    nonnegative
        False allows negative coefficients.
    max_iterations, tolerance
        Stop after so many steps, or once no column's contribution moves by more than `tolerance`
        of the largest one.

    Returns
    -------
    HuberFit

    Notes
    -----
    Below 1 % of the mean fitted value the divisor stays at that floor: idle rows would otherwise
    weigh without bound. Bounded influence covers gross errors in `y`; a regressor that is wrong by
    a factor appears as a large residual too, unless it dominates the design.

    References
    ----------
    Huber, P. J. (1981), *Robust Statistics*, chapter 7. Zhang, Cherkasova, Smirni (2007), "A
    regression-based analytic model for dynamic resource provisioning", ICAC (NNLS on utilization).

    Examples
    --------
    >>> rps = np.linspace(10, 60, 50)
    >>> cores = 0.4 + 0.085 * rps
    >>> cores[7] *= 3  # a batch job
    >>> fit = huber_nnls(np.column_stack([np.ones(50), rps]), cores)
    >>> fit.value.round(6).tolist()
    [0.4, 0.085]
    """
    value = nnls(design, y, nonnegative=nonnegative)
    length = np.sqrt(np.mean(design**2, axis=0))
    weights = np.ones_like(y)
    scale, iterations, converged = 0.0, 0, False
    divisor = _divisor(design @ value, relative=relative)
    for iterations in range(1, max_iterations + 1):  # noqa: B007  reported
        residual = (y - design @ value) / divisor
        scale = scaled_mad(residual)
        weights = _huber_weights(residual, k * scale)
        root = np.sqrt(weights) / divisor
        new = nnls(design * root[:, None], y * root, nonnegative=nonnegative)
        moved = np.max(np.abs(new - value) * length)
        value = new
        divisor = _divisor(design @ value, relative=relative)
        if moved <= tolerance * np.max(np.abs(value) * length):
            converged = True
            break
    fitted = design @ value
    scale = scaled_mad((y - fitted) / divisor)
    return HuberFit(value, fitted, divisor, weights, scale, iterations, converged)


def _divisor(fitted: np.ndarray, *, relative: bool) -> np.ndarray:
    if not relative:
        return np.ones_like(fitted)
    floor = _FLOOR * float(np.mean(np.abs(fitted)))
    return np.asarray(np.maximum(fitted, floor if floor > 0 else 1.0))


def _huber_weights(residual: np.ndarray, cut: float) -> np.ndarray:
    # A fit that is exact for most rows has scale 0: rounding errors are then no outliers.
    cut = max(cut, 1e-9)
    size = np.abs(residual)
    return np.where(size <= cut, 1.0, cut / np.maximum(size, cut))


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
    triangle = _triangle(design[:, used] / length[used])
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
    fit: HuberFit,
    *,
    day: np.ndarray | None = None,
    k: float = HUBER_K,
) -> np.ndarray:
    """Return the coefficients' covariance, robust to correlation within days and between them.

    ``A⁻¹ M A⁻¹`` with ``A = Σ ψ'(r) z zᵀ``, ``z = x/ŷ``, and ``M`` the Newey–West sum of the daily
    sums of ``ψ(r) z``: clustering by day takes any correlation within a day, the Bartlett-weighted
    lags over calendar days what carries over. Where the lags narrow an interval, the clustered one
    stands (few days estimate lags badly, and low). Closed form; one pass over the rows.

    Parameters
    ----------
    design, y, fit
        What :func:`huber_nnls` was given, and what it returned.
    day
        Non-negative calendar day number of each row, shape (T,); None: rows are independent.
    k
        Huber's constant of the fit.

    Returns
    -------
    numpy.ndarray
        Covariance, shape (K, K). Coefficients at the bound 0 get the variance they would have
        without the bound, which is wider than the bounded one.

    References
    ----------
    Liang & Zeger (1986), Biometrika 73, 13–22; Newey & West (1987), Econometrica 55, 703–708;
    Cameron & Miller (2015), J. Human Resources 50, 317–372, equation 11 (small-sample factor).
    """
    rows, columns = design.shape
    z = design / fit.divisor[:, None]
    residual = (y - fit.fitted) / fit.divisor
    cut = max(k * fit.scale, 1e-9)
    length = np.linalg.norm(z, axis=0)
    length = np.where(length > 0, length, 1.0)
    z = z / length
    inside = np.abs(residual) <= cut
    bread = np.linalg.pinv(z[inside].T @ z[inside], hermitian=True)
    scores = z * np.clip(residual, -cut, cut)[:, None]
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


def group_median(
    values: np.ndarray, group: np.ndarray, n_groups: int, *, min_count: int = 1
) -> np.ndarray:
    """Return the median of each group, NaN for groups with fewer than `min_count` values.

    Examples
    --------
    >>> group_median(np.array([1.0, 9.0, 2.0, 5.0]), np.array([0, 0, 0, 2]), 3)
    array([ 2., nan,  5.])
    """
    order = np.lexsort((values, group))
    ordered = values[order]
    count = np.bincount(group, minlength=n_groups)
    first = np.cumsum(count) - count
    enough = count >= max(min_count, 1)
    low = first[enough] + (count[enough] - 1) // 2
    high = first[enough] + count[enough] // 2
    median = np.full(n_groups, np.nan)
    median[enough] = (ordered[low] + ordered[high]) / 2
    return median


def long_run_scale(x: np.ndarray) -> float:
    """Return the standard deviation that means of `x` behave by, blind to steps and outliers.

    From the mean squares of first and second-lag differences, taken as an AR(1) process:
    ``1 + φ = s₂²/s₁²``, ``σ² = s₁²/(2(1 − φ))``, long-run variance ``σ²(1 + φ)/(1 − φ)``. φ is held
    in [0, 0.9]. A step spoils one or two differences in n, and differences beyond three scaled
    MADs are left out, so it cannot hide itself.

    Examples
    --------
    >>> x = np.random.default_rng(1).normal(0, 0.1, 4000) + (np.arange(4000) > 2000)
    >>> bool(0.08 < long_run_scale(x) < 0.13)
    True
    """
    one, two = _trimmed_square(np.diff(x)), _trimmed_square(x[2:] - x[:-2])
    if one <= 0:
        return 0.0
    phi = float(np.clip(two / one - 1, 0.0, 0.9))
    return float(np.sqrt(one / (2 * (1 - phi)) * (1 + phi) / (1 - phi)))


def _trimmed_square(difference: np.ndarray) -> float:
    kept = difference[np.abs(difference) <= 3 * scaled_mad(difference)]
    return float(np.mean(kept**2)) if len(kept) else 0.0


def change_points(
    x: np.ndarray,
    *,
    min_size: float,
    min_segment: int = 10,
    evidence: float = 5.0,
) -> tuple[ChangePoint, ...]:
    """Find the steps of a piecewise constant series with noise, outliers and gaps.

    Binary segmentation: a segment is cut where the sum of squares falls most, if the fall divided
    by the long-run variance exceeds ``evidence · ln n`` (the price of one location and one level in
    a BIC, with room for what is not normal). Then neighbours that differ by less than `min_size`,
    or without that evidence, are merged again, weakest first.

    Parameters
    ----------
    x
        Series, shape (N,); NaN is a gap.
    min_size
        Smallest step reported, in units of `x`.
    min_segment
        Fewest values between two steps.
    evidence
        Multiple of ln n that a cut has to gain.

    Returns
    -------
    tuple of ChangePoint
        Index of the first value after each step in `x`, its size (difference of segment means)
        and the size's standard error.

    References
    ----------
    Vostrikova (1981), Soviet Math. Dokl. 24; Yao (1988), Stat. Prob. Letters 6, 181–189 (Schwarz
    criterion for the number of change points).

    Examples
    --------
    >>> x = np.random.default_rng(3).normal(0, 0.02, 120)
    >>> x[80:] += 0.18
    >>> [step.index for step in change_points(x, min_size=0.05)]
    [80]
    """
    known = np.flatnonzero(np.isfinite(x))
    if len(known) < 2 * min_segment:
        return ()
    sigma = max(long_run_scale(x[known]), min_size / 100)
    clean = _clip_outliers(x[known], sigma=sigma)
    threshold = evidence * np.log(len(clean)) * sigma**2
    cuts = _merge(
        clean, _segment(clean, min_segment, threshold), min_size=min_size, threshold=threshold
    )
    edges = [0, *cuts, len(clean)]
    steps = []
    for before, cut, after in zip(edges, cuts, edges[2:], strict=False):
        size = clean[cut:after].mean() - clean[before:cut].mean()
        se = sigma * np.sqrt(1 / (cut - before) + 1 / (after - cut))
        steps.append(ChangePoint(int(known[cut]), float(size), float(se)))
    return tuple(steps)


def _clip_outliers(x: np.ndarray, *, sigma: float) -> np.ndarray:
    # One day of broken metrics must not buy a cut; a step survives, the running median follows it.
    half = 5
    padded = np.pad(x, half, mode="reflect")
    middle = np.median(np.lib.stride_tricks.sliding_window_view(padded, 2 * half + 1), axis=1)
    return np.asarray(np.clip(x, middle - 3 * sigma, middle + 3 * sigma))


def _segment(x: np.ndarray, min_segment: int, threshold: float) -> list[int]:
    cuts: list[int] = []
    todo = [(0, len(x))]
    while todo:
        start, stop = todo.pop()
        cut, gain = _best_cut(x[start:stop], min_segment)
        if gain > threshold:
            cuts.append(start + cut)
            todo += [(start, start + cut), (start + cut, stop)]
    return sorted(cuts)


def _best_cut(x: np.ndarray, min_segment: int) -> tuple[int, float]:
    """Return the position and the fall in the sum of squares of the best single cut."""
    n = len(x)
    if n < 2 * min_segment:
        return 0, 0.0
    position = np.arange(min_segment, n - min_segment + 1)
    left = np.cumsum(x - x.mean())[position - 1]
    gain = left**2 * n / (position * (n - position))
    best = int(np.argmax(gain))
    return int(position[best]), float(gain[best])


def _merge(x: np.ndarray, cuts: list[int], *, min_size: float, threshold: float) -> list[int]:
    while cuts:
        edges = [0, *cuts, len(x)]
        margin = []
        for before, cut, after in zip(edges, cuts, edges[2:], strict=False):
            size = abs(x[cut:after].mean() - x[before:cut].mean())
            gain = size**2 * (cut - before) * (after - cut) / (after - before)
            margin.append(min(size / min_size, gain / threshold))
        weakest = int(np.argmin(margin))
        if margin[weakest] >= 1:
            break
        cuts = cuts[:weakest] + cuts[weakest + 1 :]
    return cuts
