"""Capacity per local ISO week and per event: windows that share the season's risk.

This module answers: how many pods or nodes does each week and each event of the horizon need, so
that a schedule which provisions every window by itself is exceeded in *any* of them with at most
the risk that the season allows? A quiet week sized at the season's own quantile would spend that
risk again in every week: with W windows the budget is theirs together.

Formula: the windows' needs are a union of limits on the same joint paths, sized at one common
share of risk by :func:`capmodel.capacity.union.union_sizes`. Hold rows at a fixed quantile (P50
under a failure) make no joint promise and take each window's own quantile.

Shapes: S scenarios, D draws, N local days, W windows, R hold rows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np

from capmodel.capacity.risk import mixture_quantile
from capmodel.capacity.union import union_sizes
from capmodel.errors import InputError, Problem

if TYPE_CHECKING:
    import pandas as pd

    from capmodel.topology import Hold

__all__ = [
    "Window",
    "WindowNeed",
    "WindowNeeds",
    "calendar_windows",
    "daily_units",
    "window_needs",
    "window_peaks",
]


@dataclass(frozen=True, slots=True)
class Window:
    """Some local days of the horizon that are provisioned alike."""

    name: str
    """``2026-W48``, or the event's name."""
    kind: Literal["week", "event"]
    days: tuple[int, ...]
    """Indices of its local days, rising."""


@dataclass(frozen=True, slots=True)
class WindowNeed:
    """What one hold row asks of one window, and the path that asks it."""

    window: Window
    hold: Hold
    quantile: float
    """Level of the window's own need at which it is sized; by the fitted tail beyond the draws."""
    units: float
    """Whole pods or nodes, zone cover included; inf where no number suffices."""
    p50: float
    """Whole units of the window's P50 under the same row."""
    scenario: int
    draw: int
    day: int
    """The path that asks for the units: the smallest need not below them, else the largest."""
    beyond: bool
    """Whether the units follow from the tail above the largest draw."""


@dataclass(frozen=True, slots=True, eq=False)
class WindowNeeds:
    """Needs of every window under every hold row."""

    windows: tuple[Window, ...]
    rows: tuple[WindowNeed, ...]
    """Window by window, in each the policy's rows in their order."""
    p_any: float
    """Expected probability that a new season exceeds any window's size without a failure; nan
    without a row at the tier's risk."""

    def required(self) -> tuple[WindowNeed, ...]:
        """Return each window's row that asks the most; of equals the first."""
        rows = [[row for row in self.rows if row.window == window] for window in self.windows]
        return tuple(max(own, key=lambda row: row.units) for own in rows)

    def to_frame(self) -> pd.DataFrame:
        """Return one row per window and hold row."""
        import pandas as pd  # noqa: PLC0415  a plan's arrays need no frame

        columns = [
            "window", "kind", "days", "first_day", "last_day", "failure", "up_to", "quantile",
            "p50", "units", "beyond",
        ]  # fmt: skip
        return pd.DataFrame(
            [
                (
                    row.window.name, row.window.kind, len(row.window.days), row.window.days[0],
                    row.window.days[-1], f"lose {row.hold.zones_lost} zone"
                    if row.hold.zones_lost else "none", row.hold.up_to, row.quantile, row.p50,
                    row.units, row.beyond,
                )
                for row in self.rows
            ],
            columns=columns,
        )  # fmt: skip


def calendar_windows(
    dates: np.ndarray, events: Sequence[tuple[str, int, int]] = (), *, apart: bool = True
) -> tuple[Window, ...]:
    """Return the local ISO weeks of a horizon and the event spans inside it.

    Parameters
    ----------
    dates
        Consecutive local days, shape (N,), datetime64[D]; weeks at the edges may be parts.
    events
        (name, first index, last index) over `dates`, both inclusive.
    apart
        Whether days of an event belong to the event alone, for a schedule that steps up for it; a
        week of event days only is then no window. False keeps weeks whole: they cover their events.

    Returns
    -------
    tuple of Window
        In order of their first days, a week before an event that begins with it.

    Raises
    ------
    InputError
        When days are missing or an event lies outside the horizon.

    Examples
    --------
    >>> days = np.arange(np.datetime64("2026-11-23"), np.datetime64("2026-12-07"))
    >>> windows = calendar_windows(days, [("black_friday", 4, 4), ("cyber_monday", 7, 7)])
    >>> [(w.name, len(w.days)) for w in windows]
    [('2026-W48', 6), ('black_friday', 1), ('cyber_monday', 1), ('2026-W49', 6)]
    """
    dates = np.asarray(dates, dtype="datetime64[D]")
    _check_calendar(dates, events)
    taken = {day for _, first, last in events for day in range(first, last + 1)} if apart else set()
    weeks: dict[str, list[int]] = {}
    for index, date in enumerate(dates.tolist()):
        if index not in taken:
            year, week, _ = date.isocalendar()
            weeks.setdefault(f"{year}-W{week:02d}", []).append(index)
    windows = [Window(name, "week", tuple(days)) for name, days in weeks.items()]
    windows += [Window(name, "event", tuple(range(a, b + 1))) for name, a, b in events]
    return tuple(sorted(windows, key=lambda w: (w.days[0], w.kind == "event")))


def _check_calendar(dates: np.ndarray, events: Sequence[tuple[str, int, int]]) -> None:
    problems = []
    if dates.ndim != 1 or not dates.size or (np.diff(dates) != np.timedelta64(1, "D")).any():
        problems.append(
            Problem(
                where="dates",
                got=f"{dates.size} days that do not follow one another"
                if dates.size
                else "no days",
                expected="consecutive local days",
                do="Give every day of the horizon once, in order.",
            )
        )
    problems += [
        Problem(
            where=f"events.{name}",
            got=f"days {first} to {last}",
            expected=f"0 <= first <= last < {dates.size}",
            do="Cut the event to the horizon.",
        )
        for name, first, last in events
        if not 0 <= first <= last < dates.size
    ]
    if problems:
        raise InputError(problems)


def window_peaks(days: np.ndarray, windows: Sequence[Window]) -> tuple[np.ndarray, np.ndarray]:
    """Return each window's largest need and the day it falls on, both shape (W, ..., D).

    Parameters
    ----------
    days
        Need of each local day, shape (..., D, N) [any unit].
    windows
        At least one.
    """
    peaks, at = [], []
    for window in windows:
        inside = np.array(window.days)
        part = days[..., inside]
        best = part.argmax(axis=-1)
        peaks.append(np.take_along_axis(part, best[..., None], axis=-1)[..., 0])
        at.append(inside[best])
    return np.stack(peaks), np.stack(at)


def window_needs(
    days: np.ndarray,
    windows: Sequence[Window],
    *,
    holds: Sequence[Hold],
    alpha: float,
    weights: np.ndarray,
    whole: Callable[[float, Hold], float],
) -> WindowNeeds:
    """Return the whole units of each window under each hold row.

    Rows at the tier's risk are sized so that any window is exceeded with at most `alpha`. To spend
    a tier's risk over limits *and* windows at once, size all their :func:`window_peaks` by one
    :func:`capmodel.capacity.union.union_sizes`.

    Parameters
    ----------
    days
        Need of each local day under each row, unrounded, shape (R, S, D, N) [pods or nodes].
    windows
        From :func:`calendar_windows`.
    holds
        The policy's rows that are promised to the limit's tier, R of them.
    alpha
        The limit's share of the season's risk, ``1 - level`` of its tier.
    weights
        Probability of each scenario, shape (S,).
    whole
        Units to provision for a need under a row, as
        :func:`capmodel.capacity.sizing.hold_needs` takes it.
    """
    if not windows or len(days) != len(holds):
        raise InputError.of(
            "windows",
            got=f"{len(windows)} windows, needs of {len(days)} rows for {len(holds)} hold rows",
            expected="at least one window, and needs of each hold row",
            do="Pass calendar_windows(dates) and one need per row.",
        )
    by_hold, p_any = [], []
    for need, hold in zip(days, holds, strict=True):
        peak, day = window_peaks(need, windows)
        if hold.quantile == "1-risk":
            sized = union_sizes(peak, weights, alpha)
            p_any.append(sized.p_any)
            rows = [
                _at_size(w, hold, p, d, size=float(size), level=1 - sized.alpha, weights=weights)
                for w, p, d, size in zip(windows, peak, day, sized.sizes, strict=True)
            ]
        else:
            rows = [
                _at_quantile(w, hold, p, d, q=hold.quantile, weights=weights)
                for w, p, d in zip(windows, peak, day, strict=True)
            ]
        by_hold.append([_rounded(row, hold, whole) for row in rows])
    return WindowNeeds(
        windows=tuple(windows),
        rows=tuple(row for rows in zip(*by_hold, strict=True) for row in rows),
        p_any=max(p_any, default=np.nan),
    )


def _at_quantile(
    window: Window, hold: Hold, peak: np.ndarray, day: np.ndarray, *, q: float, weights: np.ndarray
) -> WindowNeed:
    s, d = mixture_quantile(peak, q, weights)
    p50 = float(peak[mixture_quantile(peak, 0.5, weights)])
    return WindowNeed(window, hold, q, float(peak[s, d]), p50, s, d, int(day[s, d]), beyond=False)


def _at_size(  # noqa: PLR0913  keyword-only past the arrays
    window: Window,
    hold: Hold,
    peak: np.ndarray,
    day: np.ndarray,
    *,
    size: float,
    level: float,
    weights: np.ndarray,
) -> WindowNeed:
    """Name the path nearest above a size; where none is, the largest."""
    likely = np.where((weights > 0)[:, None], peak, -np.inf)
    reaches = likely >= size
    beyond = not reaches.any()
    nearest = (likely if beyond else np.where(reaches, -likely, -np.inf)).argmax()
    s, d = divmod(int(nearest), peak.shape[1])
    p50 = float(peak[mixture_quantile(peak, 0.5, weights)])
    return WindowNeed(window, hold, level, size, p50, s, d, int(day[s, d]), beyond=beyond)


def _rounded(row: WindowNeed, hold: Hold, whole: Callable[[float, Hold], float]) -> WindowNeed:
    return replace(row, units=whole(row.units, hold), p50=whole(row.p50, hold))


def daily_units(needs: Sequence[WindowNeed], days: int) -> np.ndarray:
    """Return the units of each local day: the most that a window which holds the day asks.

    Parameters
    ----------
    needs
        For example :meth:`WindowNeeds.required`.
    days
        Number of local days N; each must lie in a window.

    Returns
    -------
    numpy.ndarray
        Shape (N,) [pods or nodes].
    """
    units = np.full(days, -np.inf)
    for need in needs:
        inside = list(need.window.days)
        units[inside] = np.maximum(units[inside], need.units)
    if np.isneginf(units).any():
        raise InputError.of(
            "windows",
            got=f"{int(np.isneginf(units).sum())} of {days} days in no window",
            expected="windows that cover the horizon",
            do="Make them with calendar_windows over the same days.",
        )
    return units
