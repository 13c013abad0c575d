"""What every measure of accuracy shares: pairing, sums over what was seen, checks."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from capmodel.errors import InputError

__all__ = [
    "Bools",
    "Floats",
    "check_length",
    "check_probability",
    "check_season",
    "divide",
    "paired",
    "seen_sum",
]

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


def paired(actual: npt.ArrayLike, forecast: npt.ArrayLike) -> tuple[Floats, Floats, Bools]:
    """Return both as floats, and where the actual is known."""
    y, f = np.asarray(actual, dtype=float), np.asarray(forecast, dtype=float)
    if not (y.ndim and f.ndim and y.shape[-1] == f.shape[-1]):
        raise InputError.of(
            "forecast",
            got=f"shape {f.shape} for actuals of shape {y.shape}",
            expected="as many steps on the last axis",
            do="Judge the same steps.",
        )
    return y, f, ~np.isnan(y)


def seen_sum(values: Floats, seen: Bools) -> Floats:
    """Return the sum over the last axis of what was seen."""
    return np.asarray(np.where(seen, values, 0.0).sum(axis=-1))


def divide(numerator: npt.ArrayLike, denominator: npt.ArrayLike) -> Floats:
    """Divide without a warning: 0 / 0 is NaN, and says so in the result."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.divide(numerator, denominator), dtype=float)


def check_season(m: Any) -> int:
    """Return the season if it is a whole number of steps, 1 or more."""
    if isinstance(m, bool) or not isinstance(m, int | np.integer) or m < 1:
        raise InputError.of(
            "m", got=repr(m), expected="a season of 1 or more steps", do="Hours of a week: 168."
        )
    return int(m)


def check_length(y: Floats, needed: int) -> None:
    """Refuse a training part of fewer steps."""
    if y.ndim == 0 or y.shape[-1] < needed:
        raise InputError.of(
            "train",
            got=f"{y.shape[-1] if y.ndim else 0} steps",
            expected=f"at least {needed} steps",
            do="Give a longer training part or a shorter season.",
        )


def check_probability(name: str, value: float) -> None:
    """Refuse what is no probability inside (0, 1)."""
    if not 0 < value < 1:
        raise InputError.of(
            name,
            got=value,
            expected="a probability inside (0, 1)",
            do=f"Did you mean {value / 100:g}?" if 1 < value < 100 else "Write 0.95 for 95 %.",  # noqa: PLR2004
        )
