"""Where a backtest stands: what the models may see, and which days they are judged on.

This module answers: at which local day does training end, when does it begin, and what is judged?
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationInfo, field_validator, model_validator

from capmodel.demand.horizon import check_day
from capmodel.errors import InputError, Problem
from capmodel.history import hours_in, local_days

if TYPE_CHECKING:
    from capmodel.history import History

__all__ = ["SEASON", "Origin", "Origins", "event_origin", "place", "rolling_origins", "whole_days"]

SEASON: Final = ("11-01", "12-04")
"""Month and day: November and the week of Cyber Monday, which falls as late as 2 December; the
end is exclusive."""
SHORTEST_TRAIN_DAYS: Final = 14
"""Less than this is no history to learn from [days]."""

Day = str | dt.date


class Origin(BaseModel):
    """One cut of the past: models see the days before it and are judged on days after it.

    Local days, given as dates or ISO text.

    Examples
    --------
    >>> origin = Origin(cut="2024-07-01", start="2024-11-01", end="2024-12-04")
    >>> str(origin)
    'train to 2024-06-30, judge 2024-11-01 to 2024-12-03'
    >>> origin.lead_days
    123
    """

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    cut: dt.date
    """First local day that no model sees."""
    start: dt.date
    """First judged local day, the cut or later."""
    end: dt.date
    """Day after the last judged one."""
    train_start: dt.date | None = None
    """First local day that models see; None: as far back as the history goes."""

    @field_validator("*", mode="before")
    @classmethod
    def _day(cls, value: Any, info: ValidationInfo) -> dt.date | None:
        if value is None and info.field_name == "train_start":
            return None
        day: dt.date = check_day(value, where=f"origin.{info.field_name}").astype(dt.date)
        return day

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        begins = self.train_start is None or self.train_start < self.cut
        if not (begins and self.cut <= self.start < self.end):
            first = "" if self.train_start is None else f"train_start {self.train_start}, "
            raise InputError.of(
                "origin",
                got=f"{first}cut {self.cut}, start {self.start}, end {self.end}",
                expected="train_start before the cut, the cut not after start, start before end",
                do="The cut is the first day not trained on; the end is exclusive.",
            )
        return self

    def __str__(self) -> str:
        """Return the two spans in words."""
        since = "" if self.train_start is None else f" from {self.train_start}"
        last = self.cut - dt.timedelta(1)
        return f"train{since} to {last}, judge {self.start} to {self.end - dt.timedelta(1)}"

    @property
    def dates(self) -> np.ndarray:
        """Judged local days, shape (N,), datetime64[D]."""
        return np.arange(np.datetime64(self.start, "D"), np.datetime64(self.end, "D"))

    @property
    def lead_days(self) -> int:
        """Days from the cut to the first judged day."""
        return (self.start - self.cut).days


Origins = int | Sequence[Origin | Day]
"""How many rolling origins, or which: an :class:`Origin`, or the day of a cut."""


def whole_days(history: History) -> tuple[np.datetime64, np.datetime64]:
    """Return the first local day that a history holds whole, and the day after the last such."""
    days = local_days(history.start, history.n_steps, history.step_min, history.business_tz)
    count = np.bincount(days.day_of_step, minlength=len(days.dates))
    full = np.full(len(days.dates), 1)
    if history.step_min < 24 * 60:
        full = hours_in(days.dates, history.business_tz) * 60 // history.step_min
    whole = np.flatnonzero(count >= full)
    if not len(whole):
        raise InputError.of(
            "backtest",
            got=f"a history of {history.n_steps} steps",
            expected="whole local days",
            do="Give a longer history.",
        )
    return days.dates[whole[0]], days.dates[whole[-1]] + 1


def rolling_origins(
    history: History,
    n: int = 3,
    *,
    horizon_days: int = 90,
    train_days: int | None = None,
    step_days: int | None = None,
) -> tuple[Origin, ...]:
    """Return `n` cuts, the last of them a horizon before the history's end, oldest first.

    Parameters
    ----------
    history
        What is cut.
    n
        Number of cuts.
    horizon_days
        Judged days after each cut.
    train_days
        Days seen before each cut; None: all of them.
    step_days
        Days between cuts; None: the horizon, so that no day is judged twice.

    Raises
    ------
    InputError
        When a number is not positive, or the history is too short for so many: every cut needs
        `train_days` before it (None: as many as the horizon, 14 at least).

    References
    ----------
    Tashman, L. J. (2000). Out-of-sample tests of forecasting accuracy: an analysis and review.
    International Journal of Forecasting 16(4), 437-450.
    """
    step = horizon_days if step_days is None else step_days
    needed = max(horizon_days, SHORTEST_TRAIN_DAYS) if train_days is None else train_days
    named = {"origins": n, "horizon_days": horizon_days, "train_days": needed, "step_days": step}
    _check_counts(named)
    first, stop = whole_days(history)
    room = int((stop - first).astype(int)) - needed - horizon_days
    possible = room // step + 1 if room >= 0 else 0
    if n > possible:
        raise InputError.of(
            "origins",
            got=f"{n} cuts in {(stop - first).astype(int)} whole days",
            expected=f"at most {possible}: {needed} days before each cut, {horizon_days} judged",
            do="Ask for fewer cuts, a shorter horizon or a shorter training part.",
        )
    cuts = [stop - horizon_days - step * i for i in range(n)]
    return tuple(_placed(cut, cut, cut + horizon_days, train_days) for cut in reversed(cuts))


def event_origin(
    last_trained: Day,
    *,
    season: tuple[Day, Day] = SEASON,
    train_days: int | None = None,
) -> Origin:
    """Return the cut after a day, judged on the first season that begins after it.

    Parameters
    ----------
    last_trained
        Last local day that models see, for example 30 June.
    season
        Its start and end (exclusive): month and day 'MM-DD', or the dates of any year.
    train_days
        Days seen before the cut; None: all of them.

    Examples
    --------
    >>> print(event_origin("2024-06-30"))
    train to 2024-06-30, judge 2024-11-01 to 2024-12-03
    """
    cut = check_day(last_trained, where="event cut") + 1
    year = cut.astype("datetime64[Y]").astype(int) + 1970
    starts = [_in_year(year + i, season[0]) for i in (0, 1)]
    start = next(day for day in starts if day >= cut)
    ends = [_in_year(start.astype(dt.date).year + i, season[1]) for i in (0, 1)]
    end = next(day for day in ends if day > start)
    return _placed(cut, start, end, train_days)


def place(
    history: History,
    origins: Origins,
    *,
    horizon_days: int,
    train_days: int | None,
    window: tuple[Day, Day] | None,
) -> tuple[Origin, ...]:
    """Return the origins that a backtest was asked for; see :func:`capmodel.backtest.backtest`.

    Raises
    ------
    InputError
        With every origin that the history does not reach.
    """
    if isinstance(origins, int):
        if window is not None:
            raise InputError.of(
                "origins",
                got=f"{origins} rolling cuts and a window",
                expected="the days of the cuts where a window is judged",
                do='Name them: origins=["2024-07-01", "2024-09-01"].',
            )
        return rolling_origins(history, origins, horizon_days=horizon_days, train_days=train_days)
    _check_counts({"horizon_days": horizon_days, "train_days": train_days or 1})
    placed = tuple(
        _one(origin, horizon_days=horizon_days, train_days=train_days, window=window)
        for origin in origins
    )
    _check_reach(history, placed)
    return placed


def _one(
    origin: Origin | Day,
    *,
    horizon_days: int,
    train_days: int | None,
    window: tuple[Day, Day] | None,
) -> Origin:
    if isinstance(origin, Origin):
        start, end = window or (origin.start, origin.end)
        return Origin(cut=origin.cut, start=start, end=end, train_start=origin.train_start)
    cut = check_day(origin, where="origins")
    start, end = window or (str(cut), str(cut + horizon_days))
    begin = None if train_days is None else str(cut - train_days)
    return Origin(cut=str(cut), start=start, end=end, train_start=begin)


def _placed(
    cut: np.datetime64, start: np.datetime64, end: np.datetime64, train_days: int | None
) -> Origin:
    begin = None if train_days is None else str(cut - train_days)
    return Origin(cut=str(cut), start=str(start), end=str(end), train_start=begin)


def _in_year(year: int, day: Day) -> np.datetime64:
    return check_day(f"{year}-{str(day)[-5:]}", where="season")


def _check_reach(history: History, placed: tuple[Origin, ...]) -> None:
    first, stop = whole_days(history)
    problems = [] if placed else [Problem("origins", "none", "at least one cut", "Name a day.")]
    cuts = [origin.cut for origin in placed]
    for origin in placed:
        begin = first
        if origin.train_start is not None:
            begin = max(first, np.datetime64(origin.train_start, "D"))
        seen = int((np.datetime64(origin.cut, "D") - begin).astype(int))
        if seen < SHORTEST_TRAIN_DAYS or origin.dates[-1] >= stop:
            problems.append(
                Problem(
                    f"origin {origin.cut}",
                    f"{max(seen, 0)} days before the cut, judged to {origin.dates[-1]}",
                    f"{SHORTEST_TRAIN_DAYS} or more, and judged days before {stop}",
                    f"The history's whole days are {first} to {stop - 1}.",
                )
            )
        if cuts.count(origin.cut) > 1:
            problems.append(
                Problem(f"origin {origin.cut}", "twice", "each cut once", "Judge a longer span.")
            )
    if problems:
        raise InputError(dict.fromkeys(problems))


def _check_counts(named: Mapping[str, object]) -> None:
    problems = [
        Problem(name, str(count), "a whole number, 1 or more", "Give a positive number.")
        for name, count in named.items()
        if isinstance(count, bool) or not isinstance(count, int) or count < 1
    ]
    if problems:
        raise InputError(problems)
