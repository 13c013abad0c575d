"""Lines of use on load: non-negative least squares, Huber's M-estimate, the MM-estimate from it.

This module answers: what does a unit of load use, when some rows are wrong? It works on arrays.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, Literal

import numpy as np
from scipy.optimize import nnls as _scipy_nnls

__all__ = [
    "BISQUARE_C",
    "HUBER_K",
    "RobustFit",
    "huber_nnls",
    "mm_nnls",
    "nnls",
    "psi",
    "psi_slope",
    "scaled_mad",
]

HUBER_K: Final = 1.345
"""Huber's constant: 95 % efficiency at the normal (Huber 1981, section 4.5)."""

BISQUARE_C: Final = 4.685
"""Tukey's constant: 95 % efficiency at the normal (Maronna et al. 2019, section 2.3)."""

MAD_TO_SD: Final = 1.482602218505602
"""Median absolute deviation to standard deviation at the normal: 1/Φ⁻¹(3/4)."""

MIN_WEIGHT: Final = 0.5
"""Mean weight below which rows are too many to be outliers: breakdown of any regression."""

TOP_SHARE: Final = 0.01
"""Rows with the largest fitted values, whose weight is looked at on its own [share]."""

TOP_ROWS: Final = 20
"""Fewest such rows."""

_FLOOR: Final = 0.01
"""Relative weights stop growing below this share of the mean fitted value."""

_ROUNDING: Final = 1e-9
"""Residuals below this are no outliers, even where most rows are fitted exactly (scale 0)."""

Kept = Literal["", "too_few_rows", "top_rows", "not_converged"]


@dataclass(frozen=True, slots=True, eq=False)
class RobustFit:
    """The result of :func:`huber_nnls` or :func:`mm_nnls`.

    ``value`` (K,) are the coefficients, ``fitted`` (T,) the fitted values, ``divisor`` (T,) what
    residuals were divided by (fitted values, floored, or ones), ``weights`` (T,) those of the last
    step, in [0, 1], ``scale`` that of the divided residuals, ``iterations`` the steps taken and
    ``converged`` whether the last one still moved anything. ``family`` is the last step's ψ and
    ``cut`` where it bends (Huber) or ends in 0 (bisquare), in units of the divided residuals.
    ``huber_kept`` says why a bisquare step that was asked for does not stand, '' otherwise:
    ``too_few_rows``, ``top_rows`` or ``not_converged``.
    """

    value: np.ndarray
    fitted: np.ndarray
    divisor: np.ndarray
    weights: np.ndarray
    scale: float
    cut: float
    family: Literal["huber", "bisquare"]
    iterations: int
    converged: bool
    huber_kept: Kept = ""


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


@dataclass(frozen=True, slots=True, eq=False)
class _Rows:
    """One weighted problem and how to iterate on it."""

    design: np.ndarray
    y: np.ndarray
    relative: bool
    nonnegative: bool
    max_iterations: int
    tolerance: float

    def reweight(
        self, value: np.ndarray, weigh: Callable[[np.ndarray], np.ndarray]
    ) -> tuple[np.ndarray, np.ndarray, int, bool]:
        """Return (value, weights, steps, converged) of reweighted least squares from `value`."""
        length = np.sqrt(np.mean(self.design**2, axis=0))
        weights = np.ones_like(self.y)
        divisor = self.divisor(self.design @ value)
        for step in range(1, self.max_iterations + 1):
            weights = weigh((self.y - self.design @ value) / divisor)
            root = np.sqrt(weights) / divisor
            new = nnls(self.design * root[:, None], self.y * root, nonnegative=self.nonnegative)
            moved = np.max(np.abs(new - value) * length)
            value = new
            divisor = self.divisor(self.design @ value)
            if moved <= self.tolerance * np.max(np.abs(value) * length):
                return value, weights, step, True
        return value, weights, self.max_iterations, False

    def divisor(self, fitted: np.ndarray) -> np.ndarray:
        if not self.relative:
            return np.ones_like(fitted)
        floor = _FLOOR * float(np.mean(np.abs(fitted)))
        return np.asarray(np.maximum(fitted, floor if floor > 0 else 1.0))


def huber_nnls(  # noqa: PLR0913  each argument is one documented choice
    design: np.ndarray,
    y: np.ndarray,
    *,
    k: float = HUBER_K,
    relative: bool = True,
    nonnegative: bool = True,
    max_iterations: int = 50,
    tolerance: float = 1e-8,
) -> RobustFit:
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
    RobustFit

    Notes
    -----
    Below 1 % of the mean fitted value the divisor stays at that floor: idle rows would otherwise
    weigh without bound. Bounded influence covers gross errors in `y`; a regressor that is wrong by
    a factor appears as a large residual too, unless it dominates the design. ψ is monotone, so the
    solution does not depend on the start, but errors that all lie on one side keep a pull of k·s
    each: :func:`mm_nnls` ends it.

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
    rows = _Rows(design, y, relative, nonnegative, max_iterations, tolerance)
    value, weights, iterations, converged = rows.reweight(
        nnls(design, y, nonnegative=nonnegative),
        lambda residual: _huber_weights(residual, _cut(k, scaled_mad(residual))),
    )
    fitted = design @ value
    divisor = rows.divisor(fitted)
    scale = scaled_mad((y - fitted) / divisor)
    return RobustFit(
        value=value,
        fitted=fitted,
        divisor=divisor,
        weights=weights,
        scale=scale,
        cut=_cut(k, scale),
        family="huber",
        iterations=iterations,
        converged=converged,
    )


def mm_nnls(  # noqa: PLR0913  each argument is one documented choice
    design: np.ndarray,
    y: np.ndarray,
    *,
    k: float = HUBER_K,
    c: float = BISQUARE_C,
    relative: bool = True,
    nonnegative: bool = True,
    max_iterations: int = 50,
    tolerance: float = 1e-8,
) -> RobustFit:
    """Fit like :func:`huber_nnls`, then end the pull of gross errors by a bisquare step.

    From the Huber line and its scale s, held fixed, iterates ``u = (y − ŷ)/(ŷ·c·s)``,
    ``w = (1 − u²)²`` for ``|u| < 1``, else 0, and non-negative least squares on rows weighted by
    ``√w/ŷ``.

    Parameters
    ----------
    design, y, k, relative, nonnegative, max_iterations, tolerance
        As for :func:`huber_nnls`.
    c
        Tukey's constant [standard deviations].

    Returns
    -------
    RobustFit
        The bisquare fit; or the Huber fit, with the reason in ``huber_kept``, where the bisquare
        did not converge, keeps less than half of all weight, or less than half of the weight of
        the top 1 % of rows by fitted value (at least 20): what use does at the busiest hours,
        again and again, is no error, and rejecting it would hide a bend of the line.

    Notes
    -----
    Rows that a nightly job lifts are all too high: Huber's ψ bounds each one's pull but does not
    end it. A redescending ψ does, but has several solutions; the start picks the one near the
    Huber line. Two things stay: errors below about three standard deviations look like noise, and
    where most rows at the lowest loads are lifted, the lift is their background.

    References
    ----------
    Yohai, V. J. (1987), High breakdown-point and high efficiency robust estimates for regression,
    Annals of Statistics 15(2), 642–656. Maronna, Martin, Yohai & Salibián-Barrera (2019), *Robust
    Statistics*, 2nd edition, chapter 5. Beaton & Tukey (1974), Technometrics 16, 147–185.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> rps = rng.uniform(10, 60, 2000)
    >>> cores = 0.085 * rps * np.exp(rng.normal(0, 0.03, 2000))
    >>> cores[:160] *= 1.5  # a nightly batch, one row in twelve
    >>> [fit(rps[:, None], cores).value.round(4).item() for fit in (huber_nnls, mm_nnls)]
    [0.0854, 0.085]
    """
    start = huber_nnls(
        design,
        y,
        k=k,
        relative=relative,
        nonnegative=nonnegative,
        max_iterations=max_iterations,
        tolerance=tolerance,
    )
    rows = _Rows(design, y, relative, nonnegative, max_iterations, tolerance)
    cut = _cut(c, start.scale)
    value, weights, iterations, converged = rows.reweight(
        start.value, lambda residual: _bisquare_weights(residual, cut)
    )
    kept = _reason_to_keep(start.fitted, weights, converged=converged)
    if kept:
        return replace(start, huber_kept=kept)
    fitted = design @ value
    return RobustFit(
        value=value,
        fitted=fitted,
        divisor=rows.divisor(fitted),
        weights=weights,
        scale=start.scale,
        cut=cut,
        family="bisquare",
        iterations=start.iterations + iterations,
        converged=converged,
    )


def _reason_to_keep(fitted: np.ndarray, weights: np.ndarray, *, converged: bool) -> Kept:
    """Return why the Huber fit stays, '' if the bisquare's weights may stand."""
    if not converged:
        return "not_converged"
    if weights.mean() < MIN_WEIGHT:
        return "too_few_rows"
    n = min(max(int(TOP_SHARE * len(fitted)), TOP_ROWS), len(fitted))
    top = np.argpartition(fitted, -n)[-n:]
    return "top_rows" if weights[top].mean() < MIN_WEIGHT else ""


def _cut(constant: float, scale: float) -> float:
    return max(constant * scale, _ROUNDING)


def _huber_weights(residual: np.ndarray, cut: float) -> np.ndarray:
    size = np.abs(residual)
    return np.where(size <= cut, 1.0, cut / np.maximum(size, cut))


def _bisquare_weights(residual: np.ndarray, cut: float) -> np.ndarray:
    return np.asarray(np.maximum(1.0 - (residual / cut) ** 2, 0.0) ** 2)


def psi(fit: RobustFit, residual: np.ndarray) -> np.ndarray:
    """Return ψ of a fit's divided residuals, in their units: clipped (Huber) or ``r(1 − u²)²``."""
    if fit.family == "huber":
        return np.asarray(np.clip(residual, -fit.cut, fit.cut))
    return np.asarray(residual * _bisquare_weights(residual, fit.cut))


def psi_slope(fit: RobustFit, residual: np.ndarray) -> np.ndarray:
    """Return ψ'(r): 1 or 0 (Huber); ``(1 − u²)(1 − 5u²)`` for ``|u| < 1``, else 0 (bisquare)."""
    square = (residual / fit.cut) ** 2
    if fit.family == "huber":
        return np.asarray((square <= 1).astype(float))
    return np.asarray(np.where(square < 1, (1 - square) * (1 - 5 * square), 0.0))
