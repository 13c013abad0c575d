"""The measurements of a scaling curve: concurrency, throughput and weight, checked and counted.

This module answers: which measurements may speak about scaling? Every row left out is counted under
a reason; everything wrong with the arrays is reported at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from capmodel.errors import InputError, Problem

__all__ = ["BEYOND_KNEE", "ENOUGH_N", "FEWEST_N", "ScalingRows", "scaling_rows"]

FEWEST_N: Final = 4
"""Fewest distinct n of a fit: three coefficients and some scatter."""

BEYOND_KNEE: Final = 2
"""Distinct n beyond the knee that show it."""

ENOUGH_N: Final = 6
"""Fewest distinct n whose curve is believed; see :class:`capmodel.usage.Usl`."""


@dataclass(frozen=True, slots=True, eq=False)
class ScalingRows:
    """What was measured: n, x and weights (mean 1), each (N,), by rising n, and what was left."""

    n: np.ndarray
    x: np.ndarray
    weights: np.ndarray
    dropped: Mapping[str, int]

    @property
    def n_distinct(self) -> int:
        """How many different n there are."""
        return len(np.unique(self.n))


def scaling_rows(
    n: npt.ArrayLike, x: npt.ArrayLike, *, weights: npt.ArrayLike | None, min_n: float
) -> ScalingRows:
    """Check measurements and drop those that must not speak, with counts.

    Parameters
    ----------
    n, x
        Concurrency and throughput, shape (N,).
    weights
        Of squared residuals: replicates behind a row, or 1/sd²; None: all equal.
    min_n
        Rows with n below this are dropped.

    Raises
    ------
    InputError
        With every problem found: shapes, negative n, throughput not above 0, too few distinct n.
    """
    at, measured = (np.asarray(values, dtype=float) for values in (n, x))
    weight = np.ones(at.shape) if weights is None else np.asarray(weights, dtype=float)
    if at.ndim != 1 or not at.shape == measured.shape == weight.shape:
        raise InputError.of(
            "n, x, weights",
            got=f"shapes {at.shape}, {measured.shape}, {weight.shape}",
            expected="arrays of one dimension and the same length",
            do="Give one concurrency and one throughput per measurement.",
        )
    problems = [
        *_bad("n", at, at < 0, "values >= 0", "Concurrency counts users, threads or nodes."),
        *_bad("x", measured, measured <= 0, "values > 0", "Leave out rows without work."),
        *_bad(
            "weights",
            weight,
            ~(np.isfinite(weight) & (weight > 0)),
            "finite values > 0",
            "Give replicates or 1/sd²; leave a row out to give it no weight.",
        ),
    ]
    known = np.isfinite(at) & np.isfinite(measured)
    small = known & (at < min_n)
    kept = known & ~small
    levels = len(np.unique(at[kept]))
    if levels < FEWEST_N:
        problems.append(
            Problem(
                "n",
                f"{levels} distinct values >= {min_n:g} in {len(at)} rows",
                f"at least {FEWEST_N}",
                "Measure throughput at more levels of load, below and above the knee.",
            )
        )
    if problems:
        raise InputError(problems)
    order = np.argsort(at[kept], kind="stable")
    counts = {"not finite": int((~known).sum()), f"n below {min_n:g}": int(small.sum())}
    return ScalingRows(
        n=at[kept][order],
        x=measured[kept][order],
        weights=(weight[kept] / np.mean(weight[kept]))[order],
        dropped={reason: count for reason, count in counts.items() if count},
    )


def _bad(name: str, values: np.ndarray, wrong: np.ndarray, expected: str, do: str) -> list[Problem]:
    """Return the first of the wrong values as a problem; NaN rows are counted, not wrong."""
    rows = np.flatnonzero(wrong)
    if not len(rows):
        return []
    return [Problem(f"{name}, row {rows[0]}", f"{values[rows[0]]:g}", expected, do)]
