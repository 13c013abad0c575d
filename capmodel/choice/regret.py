"""Losses of a size on every path, and the regret against what hindsight would have chosen.

This module answers: if C units stand and a path needs x, what does the difference cost, and how
much less would the best of the options have cost on that path? Arrays only.

Formulas: over-provisioning ``o * max(C - x, 0)``, under-provisioning
``u * max(x - C, 0) + b * [x > C]``; regret is the loss minus the smallest loss of any option on the
same path (Savage 1951). The option of least expected regret is the option of least expected loss:
what hindsight would have paid does not depend on the choice.

References
----------
Savage 1951, *The Theory of Statistical Decision*, Journal of the American Statistical Association
46(253), 55-67. Arrow, Harris & Marschak 1951, *Optimal Inventory Policy*, Econometrica 19(3),
250-272 (the critical ratio).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from capmodel.errors import InputError, Problem

__all__ = ["Losses", "losses_of", "newsvendor_quantile"]


@dataclass(frozen=True, slots=True, eq=False)
class Losses:
    """What each of K options costs on every path beyond serving the need exactly."""

    over_usd: np.ndarray
    """Shape (K, S, D) [USD]; 0 where the need is infinite."""
    under_usd: np.ndarray
    """Shape (K, S, D) [USD]; 0 where the need is infinite: no option serves it."""
    regret_usd: np.ndarray
    """Shape (K, S, D) [USD]; 0 where the need is infinite."""


def losses_of(
    need: np.ndarray,
    options: np.ndarray,
    *,
    over_usd_per_unit: float,
    under_usd_per_unit: float = 0.0,
    under_usd_per_breach: float = 0.0,
) -> Losses:
    """Return losses and regret of every option on every path.

    Parameters
    ----------
    need
        Shape (S, D) [units]; inf where no number of units suffices.
    options
        Sizes, shape (K,) [units].
    over_usd_per_unit
        Cost of one unit that stands unused [USD / unit].
    under_usd_per_unit
        Cost of one unit that is missing [USD / unit].
    under_usd_per_breach
        Cost of a path that exceeds the size at all [USD].

    Raises
    ------
    InputError
        When a cost is negative, or one side costs nothing: the choice would be the largest or the
        smallest option whatever the demand.

    Examples
    --------
    >>> losses = losses_of(
    ...     np.array([[8.0, 12.0]]),
    ...     np.array([10.0, 13.0]),
    ...     over_usd_per_unit=1,
    ...     under_usd_per_unit=5,
    ... )
    >>> losses.over_usd[:, 0].tolist(), losses.under_usd[:, 0].tolist()
    ([[2.0, 0.0], [5.0, 1.0]], [[0.0, 10.0], [0.0, 0.0]])
    >>> losses.regret_usd[:, 0].tolist()
    [[0.0, 9.0], [3.0, 0.0]]
    """
    _check_costs(over_usd_per_unit, under_usd_per_unit, under_usd_per_breach)
    served = np.isfinite(need)
    finite = np.where(served, need, 0.0)[None]
    size = np.asarray(options, dtype=np.float64)[:, None, None]
    over = np.where(served, over_usd_per_unit * np.maximum(size - finite, 0.0), 0.0)
    missing = np.maximum(finite - size, 0.0)
    breach = under_usd_per_breach * (missing > 0)
    under = np.where(served, under_usd_per_unit * missing + breach, 0.0)
    loss = over + under
    return Losses(over_usd=over, under_usd=under, regret_usd=loss - loss.min(axis=0))


def _check_costs(over: float, per_unit: float, per_breach: float) -> None:
    problems = [
        Problem(where=name, got=f"{usd:g}", expected="USD of at least 0", do=f"Correct {name}.")
        for name, usd in (
            ("over_usd_per_unit", over),
            ("under_usd_per_unit", per_unit),
            ("under_usd_per_breach", per_breach),
        )
        if not 0 <= usd < np.inf
    ]
    if not problems and (over == 0 or per_unit + per_breach == 0):
        problems = [
            Problem(
                where="over_usd_per_unit, under_usd_per_unit, under_usd_per_breach",
                got=f"{over:g}, {per_unit:g}, {per_breach:g} USD",
                expected="a cost of too much and a cost of too little",
                do="State both: a side that is free needs no comparison.",
            )
        ]
    if problems:
        raise InputError(problems)


def newsvendor_quantile(*, over_usd_per_unit: float, under_usd_per_unit: float) -> float:
    """Return the quantile of the need at which the expected loss is least.

    Formula: the critical ratio ``q* = u / (u + o)`` (Arrow, Harris & Marschak 1951), for costs per
    unit on both sides.

    Examples
    --------
    >>> newsvendor_quantile(over_usd_per_unit=2, under_usd_per_unit=98)
    0.98
    """
    _check_costs(over_usd_per_unit, under_usd_per_unit, 0.0)
    return under_usd_per_unit / (under_usd_per_unit + over_usd_per_unit)
