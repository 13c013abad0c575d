"""The days that a forecast is asked for.

This module answers: which local days does a request mean, and may this history be asked for them?
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable

import numpy as np

from capmodel.errors import InputError, Problem

__all__ = ["check_ahead", "check_day", "check_horizon"]


def check_day(value: str | dt.date, *, where: str) -> np.datetime64:
    """Return a local day given as a date, a midnight or ISO text.

    Raises
    ------
    InputError
        When it is none of these.
    """
    text = str(value)
    try:
        day = dt.date.fromisoformat(text[:10])
    except ValueError:
        day = None
    if day is None or text[10:].strip(" T0:"):
        raise InputError.of(
            where,
            got=repr(value),
            expected="a local date such as '2026-10-01'",
            do="Give whole local days.",
        )
    return np.datetime64(day, "D")


def check_horizon(start: str | dt.date, end: str | dt.date) -> np.ndarray:
    """Return the local days of a horizon, end exclusive.

    Raises
    ------
    InputError
        When a boundary is no date, or the end is not after the start.
    """
    first = check_day(start, where="horizon.start")
    stop = check_day(end, where="horizon.end")
    if stop <= first:
        raise InputError.of(
            "horizon",
            got=f"start {first}, end {stop}",
            expected="an end after the start (the end is exclusive)",
            do="Swap them, or move the end.",
        )
    return np.arange(first, stop)


def check_ahead(
    start: str | dt.date,
    end: str | dt.date,
    *,
    past: np.ndarray,
    draws: int,
    more: Iterable[Problem] = (),
) -> np.ndarray:
    """Return the local days of a horizon that follows a history, end exclusive.

    Parameters
    ----------
    start, end
        Local days; not before the history's last one.
    past
        The history's days, shape (N,), datetime64[D].
    draws
        Number of paths, at least 1.
    more
        What else the caller holds against the request: all problems are told together.

    Raises
    ------
    InputError
        For a horizon that is empty, in the past, or longer than the history.
    """
    dates = check_horizon(start, end)
    last, days = past[-1], len(past)
    checks = (
        (draws < 1, "draws", draws, "at least 1", "Use 1000."),
        (
            dates[0] < last,
            "horizon.start",
            dates[0],
            f"a day from {last}, the history's last, onwards",
            "Fit an earlier part of the history to judge the past.",
        ),
        (
            dates[-1] - last > np.timedelta64(days, "D"),
            "horizon.end",
            dates[-1],
            f"at most {days} days ahead, the length of the history",
            "Shorten the horizon or give a longer history.",
        ),
    )
    problems = [
        Problem(where, str(got), expected, do) for bad, where, got, expected, do in checks if bad
    ]
    if problems := [*problems, *more]:
        raise InputError(problems)
    return dates
