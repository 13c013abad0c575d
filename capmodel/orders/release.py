"""What may be given back after the season's events, and when.

This module answers: from which day are fewer units enough until the season ends, in which stages
are they given back, and how many hours does that save? A stage keeps what any later day needs; no
stage comes before a commitment ends.
"""

from __future__ import annotations

import datetime as dt
import math
from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from capmodel.errors import InputError

__all__ = ["Stage", "release_stages"]

_DAY: Final = dt.timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Stage:
    """One step down: from ``before`` units to ``after``, from a local day on."""

    on: dt.date
    before: int
    after: int
    last_needed: dt.date | None
    """Last day that still needs more than `after`; None: no day of the season does."""

    @property
    def given_back(self) -> int:
        """Units less than before."""
        return self.before - self.after


def release_stages(
    needed: Callable[[int], float],
    *,
    season: tuple[dt.date, dt.date],
    counts: tuple[int, int],
    first: dt.date,
    every_days: int = 7,
) -> tuple[Stage, ...]:
    """Return the stages in which what was ordered is given back, down to what stood before.

    Formula: on day t ``kept(t) = max(today, needed(t))``, looked at on `first` and every
    `every_days` after it, and once the season is over.

    Parameters
    ----------
    needed
        Day of the season, from 0, to the units that it and every later day of the season need; may
        be fractional, and never rises.
    season
        First day and end, exclusive.
    counts
        Units that stood before the order, and those that stand with it.
    first
        First day on which anything may be given back: when a commitment ends, and no earlier than
        the day on which the units stand.
    every_days
        Days between two stages [days].

    Raises
    ------
    InputError
        When fewer are ordered than stood before, or the season has no day.

    Examples
    --------
    >>> days = [30, 90, 60, 40, 25]
    >>> stages = release_stages(
    ...     lambda day: max(days[day:]),
    ...     season=(dt.date(2026, 11, 26), dt.date(2026, 12, 1)),
    ...     counts=(24, 90),
    ...     first=dt.date(2026, 11, 27),
    ...     every_days=2,
    ... )
    >>> [(str(stage.on), stage.after, str(stage.last_needed)) for stage in stages]
    [('2026-11-29', 40, '2026-11-28'), ('2026-12-01', 24, '2026-11-30')]
    """
    (start, end), (today, ordered) = season, counts
    if ordered < today or end <= start:
        raise InputError.of(
            "release",
            got=f"{ordered} ordered, {today} before, a season from {start} to {end}",
            expected="an order beyond what stood before, and a season",
            do="Give back only what was ordered.",
        )
    days = [first]
    while days[-1] < end:
        days.append(min(days[-1] + every_days * _DAY, end))
    stages: list[Stage] = []
    standing = ordered
    for day in days:
        asked = _whole(needed(max((day - start).days, 0))) if day < end else 0
        kept = min(max(today, asked), standing)
        if kept < standing:
            stages.append(Stage(day, standing, kept, _last_above(needed, kept, (start, end))))
            standing = kept
    return tuple(stages)


def _whole(units: float) -> int:
    """Return whole units, at least; a billionth more than a whole number is that number."""
    return math.ceil(units - 1e-9)


def _last_above(
    needed: Callable[[int], float], kept: int, season: tuple[dt.date, dt.date]
) -> dt.date | None:
    """Return the last day that needs more than is kept; None where none does."""
    start, end = season
    days = range((end - start).days)
    above = bisect_left(days, 1, key=lambda day: int(_whole(needed(day)) <= kept))
    return start + (above - 1) * _DAY if above else None
