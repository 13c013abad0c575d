"""Demand of an event hour in ticks of 15 seconds.

This module answers: what do a step, a ramp, or an hour known by the minute look like to the
simulator? Arrays of requests per second, one value per tick, constant within it.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt

from capmodel.capacity.simulator.specs import TICK_S
from capmodel.errors import InputError

__all__ = ["from_minutes", "ramp", "step", "ticks_of"]

Floats = npt.NDArray[np.float64]

_PER_MINUTE = int(60 / TICK_S)


def ticks_of(minutes: float) -> int:
    """Return the whole ticks of a time: ``minutes * 4``.

    Raises
    ------
    InputError
        The time is negative or no multiple of 15 s.

    Examples
    --------
    >>> ticks_of(5), ticks_of(0.25)
    (20, 1)
    """
    ticks = minutes * _PER_MINUTE
    if not (ticks >= 0 and ticks == round(ticks)):
        raise InputError.of(
            "minutes",
            got=minutes,
            expected="a multiple of 0.25, at least 0",
            do="A tick is 15 seconds.",
        )
    return round(ticks)


def _begin(at_min: float, minutes: float) -> int:
    if at_min >= minutes:
        raise InputError.of(
            "at_min",
            got=at_min,
            expected=f"before the end ({minutes} min)",
            do="Begin earlier, or play longer.",
        )
    return ticks_of(at_min)


def step(rps: float, *, factor: float, at_min: float, minutes: float) -> Floats:
    """Return a demand that jumps at once: `rps`, and ``rps * factor`` from `at_min` on.

    Parameters
    ----------
    rps
        Demand before the step [1/s].
    factor
        Demand after / before [ratio].
    at_min
        Time of the step [min].
    minutes
        Length of the whole [min].

    Returns
    -------
    numpy.ndarray
        Shape (T,) [1/s].

    Examples
    --------
    >>> step(100, factor=1.5, at_min=0.5, minutes=1).tolist()
    [100.0, 100.0, 150.0, 150.0]
    """
    offered = np.full(ticks_of(minutes), float(rps))
    offered[_begin(at_min, minutes) :] *= factor
    return offered


def ramp(rps: float, *, factor: float, at_min: float, rise_min: float, minutes: float) -> Floats:
    """Return a demand that rises in a straight line within `rise_min`, and stays.

    The value of a tick is the line at the tick's end: the load that its last second brings.

    Parameters
    ----------
    rps, factor, at_min, minutes
        As in :func:`step`.
    rise_min
        Time from the first to the last value of the line [min]; 0 is a step.

    Examples
    --------
    >>> ramp(100, factor=2, at_min=0.25, rise_min=0.5, minutes=1).tolist()
    [100.0, 150.0, 200.0, 200.0]
    """
    begin, rise = _begin(at_min, minutes), ticks_of(rise_min)
    ends = np.arange(1, ticks_of(minutes) + 1) - begin
    share = np.clip(ends / rise, 0, 1) if rise else (ends > 0).astype(np.float64)
    return np.asarray(rps * (1 + (factor - 1) * share))


def from_minutes(
    rps: npt.ArrayLike, *, within: Literal["constant", "linear"] = "constant"
) -> Floats:
    """Return ticks from minutes, along the axis of time.

    Parameters
    ----------
    rps
        Mean demand of each minute, shape (M,), (D, M) or (D, M, S) [1/s].
    within
        ``constant``: four equal ticks, which keeps every minute's sum. ``linear``: between the
        middles of the minutes, flat before the first and after the last; peaks are cut.

    Returns
    -------
    numpy.ndarray
        Shape (4 M,), (D, 4 M) or (D, 4 M, S) [1/s].

    Examples
    --------
    >>> from_minutes([60, 120]).tolist()
    [60.0, 60.0, 60.0, 60.0, 120.0, 120.0, 120.0, 120.0]
    >>> from_minutes([60, 120], within="linear").tolist()
    [60.0, 60.0, 67.5, 82.5, 97.5, 112.5, 120.0, 120.0]
    """
    given = np.asarray(rps, dtype=np.float64)
    if given.ndim not in {1, 2, 3} or 0 in given.shape:
        raise InputError.of(
            "rps",
            got=f"shape {given.shape}",
            expected="(minutes,), (draws, minutes) or (draws, minutes, services), none empty",
            do="Put the minutes on axis 1, or on the only axis.",
        )
    axis = min(given.ndim - 1, 1)
    count = given.shape[axis]
    if within == "constant":
        return np.repeat(given, _PER_MINUTE, axis=axis)
    # Ticks' middles on the scale of minutes' middles.
    at = np.clip((np.arange(count * _PER_MINUTE) + 0.5) / _PER_MINUTE - 0.5, 0, count - 1)
    left = np.minimum(at.astype(np.intp), max(count - 2, 0))
    right = np.minimum(left + 1, count - 1)
    share = (at - left).reshape([-1 if k == axis else 1 for k in range(given.ndim)])
    return np.asarray(given.take(left, axis) * (1 - share) + given.take(right, axis) * share)
