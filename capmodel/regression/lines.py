"""Lines of use on load: non-negative least squares, Huber's M-estimate, the MM-estimate from it.

This module answers: what does a unit of load use, when some rows are wrong? It works on arrays.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, Literal

import numpy as np

from capmodel.regression.censored import Censored, spread_by_load
from capmodel.regression.losses import Bisquare, Huber, bisquare_pull
from capmodel.regression.steps import ROUNDING, Loss, Rows, Solution

__all__ = ["BISQUARE_C", "HUBER_K", "RobustFit", "huber_nnls", "mm_nnls"]

HUBER_K: Final = 1.345
"""Huber's constant: 95 % efficiency at the normal (Huber 1981, section 4.5)."""

BISQUARE_C: Final = 4.685
"""Tukey's constant: 95 % efficiency at the normal (Maronna et al. 2019, section 2.3)."""

MIN_WEIGHT: Final = 0.5
"""Mean weight below which rows are too many to be outliers: breakdown of any regression."""

TOP_SHARE: Final = 0.01
"""Rows with the largest fitted values, whose weight is looked at on its own [share]."""

TOP_ROWS: Final = 20
"""Fewest such rows."""

_SPREAD_STEPS: Final = 3
"""How often the spread of residuals is taken from a line and the line from the spread."""

Kept = Literal["", "too_few_rows", "top_rows", "not_converged"]


@dataclass(frozen=True, slots=True, eq=False)
class RobustFit:
    """The result of :func:`huber_nnls` or :func:`mm_nnls`.

    ``value`` (K,) are the coefficients, ``fitted`` (T,) the fitted values, ``divisor`` (T,) what
    residuals were divided by (fitted values, floored, or ones), ``weights`` (T,) how much each row
    counts, in [0, 1] (held at a limit: how much it still bends the line), ``score`` and ``slope``
    (T,) ψ and ψ' of the divided residuals, ``scale`` the residuals' scale, ``spread`` (T,)
    how wide they are at each row (1 unless rows stand at a limit), ``iterations`` the steps taken
    over all rows and ``converged`` whether the last one settled it. ``family`` is the last step's ψ
    and ``cut`` where it bends (Huber) or ends in 0 (bisquare), in units of the divided residuals.
    ``huber_kept`` says why a bisquare step that was asked for does not stand, '' otherwise:
    ``too_few_rows``, ``top_rows`` or ``not_converged``.
    """

    value: np.ndarray
    fitted: np.ndarray
    divisor: np.ndarray
    weights: np.ndarray
    score: np.ndarray
    slope: np.ndarray
    scale: float
    spread: np.ndarray
    cut: float
    family: Literal["huber", "bisquare"]
    iterations: int
    converged: bool
    huber_kept: Kept = ""


def huber_nnls(  # noqa: PLR0913  each argument is one documented choice
    design: np.ndarray,
    y: np.ndarray,
    *,
    k: float = HUBER_K,
    relative: bool = True,
    nonnegative: bool = True,
    max_iterations: int = 50,
    tolerance: float = 1e-8,
    at_limit: np.ndarray | None = None,
    row_weight: np.ndarray | None = None,
    prior: np.ndarray | None = None,
    prior_sd: np.ndarray | None = None,
    start: np.ndarray | None = None,
) -> RobustFit:
    """Fit ``y ≈ design · value`` robustly, with non-negative coefficients and relative residuals.

    Solves ``Σ v ψ(r)·x/ŷ = s²(β − β₀)/sd²`` for ``β ≥ 0`` with ``r = (y − ŷ)/ŷ``,
    ``s = 1.4826 · median|r|`` and ``ψ(r) = clip(r, ±k·s)``, by Newton's or reweighted steps. Noise
    of resource use is roughly proportional to use, hence the division by ŷ (never by y, which would
    pull the fit down).

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
        Stop after so many steps over all rows, or once no column's contribution is left to move by
        more than `tolerance` of the largest one.
    at_limit
        Rows whose usage was held down by a limit, shape (T,): there `y` is a lower bound of what
        the load asked for. Their ψ is its expectation beyond the bound, as the residuals of all
        rows show it (:class:`capmodel.regression.censored.Censored`). Dropping such rows would
        select on what is explained, and bend the line down.
    row_weight
        v, as how many rows each one counts (a minute of a load test may stand for many), shape
        (T,), at least 0; None: one each. The scale's median is weighted likewise.
    prior, prior_sd
        β₀ and sd, what the coefficients were (in the previous release) and by how much they may
        have moved since, shape (K,); sd > 0, infinite where nothing is known. The solution is the
        mode of the posterior: least ``Σ v ρ(r/s) + ½ Σ ((β − β₀)/sd)²``. Rows count as independent.
    start
        Coefficients near the solution, as of a rougher fit to the same rows, shape (K,): saves
        steps and changes nothing else.

    Returns
    -------
    RobustFit

    Notes
    -----
    With rows at a limit the scale's median is that of the product-limit distribution, and residuals
    may widen or narrow with the load (:func:`capmodel.regression.censored.spread_by_load`): rows at
    low loads would else say too much or too little of those at the limit. Steps then end where rows
    only change places: at s/(2T) of the largest contribution.

    Below 1 % of the mean fitted value the divisor stays at that floor: idle rows would otherwise
    weigh without bound. Bounded influence covers gross errors in `y`; a regressor that is wrong by
    a factor appears as a large residual too, unless it dominates the design. ψ is monotone, so the
    solution does not depend on the start (of many rows, the line of a stride through them), but
    errors that all lie on one side keep a pull of k·s each: :func:`mm_nnls` ends it.

    Steps solve the normal equations for what is left of the residuals, so rounding shrinks with
    the steps; where loads move as one, a QR factorisation takes over.

    References
    ----------
    Huber, P. J. (1981), *Robust Statistics*, chapter 7. Zhang, Cherkasova, Smirni (2007), "A
    regression-based analytic model for dynamic resource provisioning", ICAC (NNLS on utilization).
    Hoerl & Kennard (1970), Technometrics 12, 55–67 (ridge).

    Examples
    --------
    >>> rps = np.linspace(10, 60, 50)
    >>> cores = 0.4 + 0.085 * rps
    >>> cores[7] *= 3  # a batch job
    >>> fit = huber_nnls(np.column_stack([np.ones(50), rps]), cores)
    >>> fit.value.round(6).tolist()
    [0.4, 0.085]
    """
    rows = _rows(
        design,
        y,
        relative=relative,
        nonnegative=nonnegative,
        max_iterations=max_iterations,
        tolerance=tolerance,
        at_limit=at_limit,
        row_weight=row_weight,
        prior=prior,
        prior_sd=prior_sd,
    )
    return _huber(rows, k, start)


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
    at_limit: np.ndarray | None = None,
    row_weight: np.ndarray | None = None,
    prior: np.ndarray | None = None,
    prior_sd: np.ndarray | None = None,
    start: np.ndarray | None = None,
) -> RobustFit:
    """Fit like :func:`huber_nnls`, then end the pull of gross errors by a bisquare step.

    From the Huber line and its scale s, held fixed, solves the same equation with
    ``ψ(r) = r(1 − u²)²``, ``u = r/(c·s)``, 0 for ``|u| > 1``.

    Parameters
    ----------
    c
        Tukey's constant [standard deviations].
    design, y and all others
        As for :func:`huber_nnls`.

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
    rows = _rows(
        design,
        y,
        relative=relative,
        nonnegative=nonnegative,
        max_iterations=max_iterations,
        tolerance=tolerance,
        at_limit=at_limit,
        row_weight=row_weight,
        prior=prior,
        prior_sd=prior_sd,
    )
    huber = _huber(rows, k, start)
    rows = replace(rows, spread=huber.spread)
    loss: Loss = Bisquare(c, huber.scale)
    if rows.at_limit is not None:
        loss = Censored("bisquare", c, huber.scale, rows.at_limit, rows.row_weight, rows.spread)
    fit = _result(rows, rows.iterate(huber.value, loss, newton=False), loss, "bisquare")
    kept = _reason_to_keep(
        huber.fitted, _votes(rows, fit), converged=fit.converged, row_weight=row_weight
    )
    if kept:
        return replace(huber, huber_kept=kept)
    return replace(fit, iterations=huber.iterations + fit.iterations)


def _rows(  # noqa: PLR0913  what both fits take
    design: np.ndarray,
    y: np.ndarray,
    *,
    relative: bool,
    nonnegative: bool,
    max_iterations: int,
    tolerance: float,
    at_limit: np.ndarray | None,
    row_weight: np.ndarray | None,
    prior: np.ndarray | None,
    prior_sd: np.ndarray | None,
) -> Rows:
    nothing = np.zeros(design.shape[1])
    known = prior is not None and prior_sd is not None
    held = at_limit is not None and bool(at_limit.any())
    return Rows(
        columns=np.array(design.T, dtype=float, order="C"),
        y=np.asarray(y, dtype=float),
        relative=relative,
        nonnegative=nonnegative,
        max_iterations=max_iterations,
        tolerance=tolerance,
        at_limit=at_limit if held else None,
        spread=np.ones(len(y)),
        row_weight=row_weight,
        prior=np.asarray(prior, dtype=float) if known else nothing,
        prior_precision=np.asarray(prior_sd, dtype=float) ** -2.0 if known else nothing,
    )


def _huber(rows: Rows, k: float, start: np.ndarray | None) -> RobustFit:
    def loss(rows: Rows) -> Loss:
        if rows.at_limit is None:
            return Huber(k, rows.row_weight)
        return Censored("huber", k, None, rows.at_limit, rows.row_weight, rows.spread)

    value, near = rows.start(loss) if start is None else (np.asarray(start, dtype=float), True)
    fit = _result(rows, rows.iterate(value, loss(rows), newton=near), loss(rows), "huber")
    if rows.at_limit is None:
        return fit
    for _ in range(_SPREAD_STEPS):
        before = rows.spread
        rows = replace(rows, spread=spread_by_load(rows.at(fit.value), rows.at_limit))
        if np.array_equal(rows.spread, before):
            break
        found = rows.iterate(fit.value, loss(rows), newton=False)
        fit = _result(rows, found, loss(rows), "huber")
    return fit


def _votes(rows: Rows, fit: RobustFit) -> np.ndarray:
    """Return how far the line leaves each row alone; a bound below the line says nothing else."""
    if rows.at_limit is None:
        return fit.weights
    above = np.maximum((rows.y - fit.fitted) / fit.divisor / fit.spread, 0.0)
    at_bound = bisquare_pull(above, fit.cut / max(fit.scale, ROUNDING), fit.scale).weight
    return np.where(rows.at_limit, at_bound, fit.weights)


def _result(
    rows: Rows, found: Solution, loss: Loss, family: Literal["huber", "bisquare"]
) -> RobustFit:
    at = rows.at(found.value)
    pull = loss.pull(at)
    return RobustFit(
        value=found.value,
        fitted=at.fitted,
        divisor=at.divisor,
        weights=pull.weight,
        score=pull.score,
        slope=pull.slope,
        scale=pull.scale,
        cut=pull.cut,
        spread=rows.spread,
        family=family,
        iterations=found.steps,
        converged=found.converged,
    )


def _reason_to_keep(
    fitted: np.ndarray,
    weights: np.ndarray,
    *,
    converged: bool,
    row_weight: np.ndarray | None = None,
) -> Kept:
    """Return why the Huber fit stays, '' if the bisquare's weights may stand."""
    if not converged:
        return "not_converged"
    if row_weight is not None:
        counted = row_weight > 0
        fitted, weights, row_weight = fitted[counted], weights[counted], row_weight[counted]
    if np.average(weights, weights=row_weight) < MIN_WEIGHT:
        return "too_few_rows"
    n = min(max(int(TOP_SHARE * len(fitted)), TOP_ROWS), len(fitted))
    top = np.argpartition(fitted, -n)[-n:]
    share = np.average(weights[top], weights=None if row_weight is None else row_weight[top])
    return "top_rows" if share < MIN_WEIGHT else ""
