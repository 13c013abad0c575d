"""What may be given back after the season's events, and when.

This module answers: from which day are fewer units enough until the season ends, in which stages
are they given back, and how many hours does that save? A stage keeps what any later day needs; no
stage comes before a commitment ends.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
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
    needed: Sequence[float],
    *,
    start: dt.date,
    today: int,
    ordered: int,
    first: dt.date,
    every_days: int = 7,
) -> tuple[Stage, ...]:
    """Return the stages in which what was ordered is given back, down to what stood before.

    Formula: on day t ``kept(t) = max(today, max over u >= t of needed(u))``, looked at on `first`
    and every `every_days` after it, and once the season is over.

    Parameters
    ----------
    needed
        Units that each local day of the season needs, shape (N,); may be fractional.
    start
        The season's first day.
    today, ordered
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
    >>> stages = release_stages(
    ...     [30, 90, 60, 40, 25], start=dt.date(2026, 11, 26), today=24, ordered=90,
    ...     first=dt.date(2026, 11, 27), every_days=1,
    ... )
    >>> [(str(s.on), s.after, str(s.last_needed)) for s in stages]
    [('2026-11-28', 60, '2026-11-27'), ('2026-11-29', 40, '2026-11-28'), \
('2026-11-30', 25, '2026-11-29'), ('2026-12-01', 24, '2026-11-30')]
    """
    if ordered < today or not len(needed):
        raise InputError.of(
            "release",
            got=f"{ordered} ordered, {today} before, {len(needed)} days",
            expected="an order beyond what stood before, and a season",
            do="Give back only what was ordered.",
        )
    end = start + len(needed) * _DAY
    days = [first]
    while days[-1] < end:
        days.append(min(days[-1] + every_days * _DAY, end))
    stages: list[Stage] = []
    standing = ordered
    for day in days:
        rest = needed[max((day - start).days, 0) :]
        kept = min(max(today, *(_whole(n) for n in rest)) if len(rest) else today, standing)
        if kept < standing:
            stages.append(Stage(day, standing, kept, _last_above(needed, kept, start)))
            standing = kept
    return tuple(stages)


def _whole(units: float) -> int:
    """Return whole units, at least; a billionth more than a whole number is that number."""
    return int(-(-(units - 1e-9) // 1))


def _last_above(needed: Sequence[float], kept: int, start: dt.date) -> dt.date | None:
    over = [i for i, n in enumerate(needed) if _whole(n) > kept]
    return start + over[-1] * _DAY if over else None
