"""What is judged: each service's hours after a cut, and what the weekly seasonal naive says.

This module answers: what happened in the hours of a window that were really measured, what would
last week have predicted, and by what scale are errors judged? Only the days before the cut enter
the naive forecast and the scale.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np

from capmodel.accuracy import seasonal_scale
from capmodel.errors import InputError
from capmodel.history import History, local_cube
from capmodel.schema import DEMAND_QUANTITIES

if TYPE_CHECKING:
    from capmodel.backtest.origins import Origin
    from capmodel.events import Events

__all__ = [
    "Refusal",
    "Task",
    "Window",
    "demand_only",
    "make_tasks",
    "seen_by_models",
    "weekly_naive",
]

WEEK: Final = 7
CHUNK: Final = 256
"""Services whose whole past is folded into local days at a time: bounds the memory."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Something that could not be judged, and why."""

    origin: str
    """Cut; '' for every origin."""
    model: str
    """'' for every model."""
    service: str
    """'' for every service."""
    stage: str
    """history, fit or forecast."""
    reason: str


@dataclass(frozen=True, slots=True, eq=False)
class Window:
    """The judged days of an origin, N of them."""

    origin: Origin
    dates: np.ndarray
    """Local days, shape (N,), datetime64[D]."""
    event: tuple[str, ...]
    """Event day's name or ''."""

    @classmethod
    def of(cls, origin: Origin, events: Events | None) -> Window:
        """Name the judged days."""
        dates = origin.dates
        named = [None if events is None else events.primary(day) for day in dates]
        return cls(
            origin=origin,
            dates=dates,
            event=tuple("" if event is None else event.name for event in named),
        )

    @property
    def day_ahead(self) -> np.ndarray:
        """Days since the cut, the cut's own day 1, shape (N,)."""
        return np.asarray((self.dates - np.datetime64(self.origin.cut, "D")).astype(int) + 1)


@dataclass(frozen=True, slots=True, eq=False)
class Task:
    """One service at one origin; arrays over the judged hours, M of them."""

    window: Window
    service: str
    quantity: str
    slots: int
    """Hours of a local day: 24, or 1 in a daily history."""
    position: np.ndarray
    """Which of the window's N * slots hours are judged, shape (M,)."""
    actual: np.ndarray
    """What happened, shape (M,) [quantity]."""
    naive: np.ndarray
    """Weekly seasonal naive forecast, shape (M,); NaN where that hour of week was never seen."""
    scale: float
    """Mean absolute weekly difference before the cut [quantity]; NaN or 0 where there is none."""

    @property
    def n_left_out(self) -> int:
        """Hours of the window that are not judged: gaps, outages, the hour that spring skips."""
        return len(self.window.dates) * self.slots - len(self.position)

    @property
    def day(self) -> np.ndarray:
        """Day of the window of each judged hour, shape (M,)."""
        return self.position // self.slots


def seen_by_models(history: History, origin: Origin) -> History:
    """Return the part of a history that models are fitted on: nothing from the cut on."""
    first = origin.train_start
    begin = str(history.axis.local_text(0))[:10] if first is None else first
    return history.between(begin, origin.cut)


def demand_only(history: History) -> History:
    """Return the demand of a history without misleading hours: what is judged.

    Classes are added up before anything is cut, since a class that has not begun counts as 0.
    """
    clean = history.masked()
    kept = {(q, ""): clean.array(q) for q in DEMAND_QUANTITIES if q in clean.quantities}
    if not kept:
        raise InputError.of(
            "backtest",
            got=f"a history of {', '.join(history.quantities) or 'nothing'}",
            expected=f"demand: {' or '.join(DEMAND_QUANTITIES)}",
            do="Add demand to the history.",
        )
    return replace(clean, values=kept, tags={})


def make_tasks(
    demand: History, train: History, window: Window
) -> tuple[tuple[Task, ...], tuple[Refusal, ...]]:
    """Return what can be judged of every service that carries demand, and why the rest cannot.

    Parameters
    ----------
    demand
        From :func:`demand_only`, the whole time.
    train
        What the models see, as it was measured.
    window
        The judged days.
    """
    after = demand.between(window.origin.start, window.origin.end)
    before = demand_only(train)
    tasks: list[Task] = []
    groups, unseen = _by_quantity(train, after)
    late = "no demand was measured before the cut"
    refusals = [_unusable(window, name, late) for name in unseen]
    for quantity, names in groups:
        judged = _cube(after, quantity, names)
        past = _cube(before, quantity, names)
        slots = past.shape[1]
        scale = seasonal_scale(past.reshape(-1, len(names)).T, WEEK * slots)
        naive = weekly_naive(past, window.day_ahead)
        for s, name in enumerate(names):
            values = judged[:, :, s].ravel()
            position = np.flatnonzero(~np.isnan(values))
            if not len(position):
                refusals.append(_unusable(window, name, "no judged hour was measured"))
                continue
            tasks.append(
                Task(
                    window=window,
                    service=name,
                    quantity=quantity,
                    slots=slots,
                    position=position,
                    actual=values[position],
                    naive=naive[:, :, s].ravel()[position],
                    scale=float(scale[s]),
                )
            )
    return tuple(sorted(tasks, key=lambda task: task.service)), tuple(refusals)


def _unusable(window: Window, name: str, reason: str) -> Refusal:
    return Refusal(str(window.origin.cut), "", name, "history", f"{name}: {reason}")


def weekly_naive(past: np.ndarray, day_ahead: np.ndarray) -> np.ndarray:
    """Return the weekly seasonal naive forecast: the last measured value of the hour of the week.

    ``f_(T+h) = y_(T+h-m*ceil(h/m))`` with m a week (Hyndman & Athanasopoulos 2021, section 5.2);
    where that hour is a gap, the same hour of the latest week that has it.

    Parameters
    ----------
    past
        Demand before the cut, shape (N, H, S), NaN for gaps.
    day_ahead
        Days since the cut, the cut's own day 1, shape (M,).

    Returns
    -------
    ndarray
        Shape (M, H, S); NaN where the hour of the week was never measured.

    Examples
    --------
    >>> past = np.arange(14.0).reshape(14, 1, 1)
    >>> past[8] = np.nan  # the second day of last week
    >>> weekly_naive(past, np.array([1, 2, 9])).ravel()
    array([7., 1., 1.])
    """
    days = len(past)
    week = np.full((WEEK, *past.shape[1:]), np.nan)
    for end in range(days, 0, -WEEK):
        part = past[max(end - WEEK, 0) : end]
        last = week[WEEK - len(part) :]
        last[...] = np.where(np.isnan(last), part, last)
        if not np.isnan(week).any():
            break
    return np.asarray(week[(np.asarray(day_ahead) - 1) % WEEK])


def _by_quantity(
    train: History, after: History
) -> tuple[list[tuple[str, tuple[str, ...]]], list[str]]:
    """Return services by the quantity that models see as their demand, in bounded chunks.

    The second part are services whose demand begins after the cut.
    """
    names: dict[str, list[str]] = {quantity: [] for quantity in DEMAND_QUANTITIES}
    unseen = []
    for name in train.services:
        seen = [q for q in DEMAND_QUANTITIES if q in train.measured(name)]
        if seen:
            names[seen[0]].append(name)
        elif after.measured(name):
            unseen.append(name)
    chunks = [
        (quantity, tuple(group[i : i + CHUNK]))
        for quantity, group in names.items()
        for i in range(0, len(group), CHUNK)
    ]
    return chunks, unseen


def _cube(demand: History, quantity: str, names: tuple[str, ...]) -> np.ndarray:
    """Return services on local days, shape (N, H, S)."""
    rows = [demand.services.index(name) for name in names]
    values = demand.array(quantity)[rows]
    start, step = demand.start, demand.step_min
    return local_cube(values, start=start, step_min=step, tz=demand.business_tz).cube
