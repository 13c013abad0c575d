"""What the laws share: checked arguments, results shaped like the argument, roots.

This module answers: can these arguments be computed with, and if not, what is wrong with each?
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar, cast

import numpy as np
import numpy.typing as npt

from capmodel.errors import InputError, Problem

__all__ = [
    "F",
    "Floats",
    "as_given",
    "decreasing_root",
    "number",
    "raise_any",
    "root",
    "unstable",
    "whole",
]

Floats = npt.NDArray[np.float64]
F = TypeVar("F", float, Floats)
"""A number, or an array of them: the result is what the argument was."""


def as_given(values: npt.ArrayLike, given: F) -> F:
    """Return `values` as a float where a number was given, else as an array.

    Examples
    --------
    >>> as_given(np.array(2.0), 1.0)
    2.0
    """
    result = np.asarray(values, dtype=float)
    return cast("F", result if np.ndim(given) else float(result))


def number(  # noqa: PLR0913  the four ends of a range, named
    where: str,
    value: npt.ArrayLike,
    do: str,
    *,
    least: float | None = None,
    above: float | None = None,
    most: float | None = None,
    below: float | None = None,
) -> list[Problem]:
    """Return what is wrong with `value`: not a number, not finite, or outside the range.

    Examples
    --------
    >>> print(number("load", -1.0, "Give a load in Erlangs.", least=0)[0])
    load: got -1.0; expected a finite number >= 0. Give a load in Erlangs.
    """
    ends = [(">=", least), (">", above), ("<=", most), ("<", below)]
    wanted = " and ".join(f"{sign} {end:g}" for sign, end in ends if end is not None)
    expected = f"a finite number {wanted}".rstrip()
    try:
        values = np.atleast_1d(np.asarray(value, dtype=float))
    except (TypeError, ValueError):
        return [Problem(where, repr(value), expected, do)]
    good = np.isfinite(values)
    for end, inside in (
        (least, np.greater_equal),
        (above, np.greater),
        (most, np.less_equal),
        (below, np.less),
    ):
        if end is not None:
            good &= inside(values, end)
    if not values.size:
        return [Problem(where, "an empty array", expected, do)]
    return [] if good.all() else [Problem(where, str(float(values[~good][0])), expected, do)]


def whole(where: str, value: float, *, least: int = 1) -> list[Problem]:
    """Return what is wrong with a count: not one whole number, or below `least`.

    Examples
    --------
    >>> print(whole("servers", 2.5)[0])
    servers: got 2.5; expected a whole number >= 1. Round it yourself: the law knows whole servers.
    """
    thing = where.rsplit(" ", 1)[-1]
    try:
        given = float(value)
    except (TypeError, ValueError):
        given = float("nan")
    if given.is_integer() and given >= least:
        return []
    do = f"Round it yourself: the law knows whole {thing}."
    return [Problem(where, repr(value), f"a whole number >= {least}", do)]


def unstable(servers: int, load: npt.ArrayLike) -> list[Problem]:
    """Return what is wrong with the load of a queue without a limit: not below its servers."""
    problems = number("load", load, "Load is rate × service time, in Erlangs.", least=0)
    highest = 0.0 if problems else float(np.max(np.asarray(load, dtype=float)))
    if highest >= servers:
        do = "The queue grows without end. Add servers, or use finite_population or erlang_b."
        problems.append(Problem("load", str(highest), f"less than servers ({servers})", do))
    return problems


def raise_any(problems: Iterable[Problem]) -> None:
    """Raise one InputError with all `problems`, if there is any."""
    found = list(problems)
    if found:
        raise InputError(found)


def root(function: Callable[[float], float], low: float, high: float) -> float:
    """Return where `function` changes its sign, to the last digits of a float.

    References
    ----------
    Brent, R. P. (1973). Algorithms for Minimization without Derivatives, chapter 4.

    Examples
    --------
    >>> round(root(lambda x: x * x - 2, 0.0, 2.0), 14)
    1.41421356237309
    """
    from scipy.optimize import brentq  # noqa: PLC0415  the package loads faster without it

    return float(brentq(function, low, high, xtol=1e-300, rtol=1e-15, maxiter=500))


def decreasing_root(function: Callable[[float], float], step: float) -> float:
    """Return where a falling `function` of a number from 0 crosses 0, looked for in doubled steps.

    Examples
    --------
    >>> decreasing_root(lambda x: 100 - x, 1.0)
    100.0
    """
    low, high = 0.0, step
    while function(high) > 0:
        low, high = high, 2 * high
    return root(function, low, high)
