"""The design that all services share, kept as day factors times hour factors.

This module answers: which columns explain a service's demand, and how are ``X'z`` and ``X b``
computed without ever forming the T x p matrix? Every column is the product of a factor of the
local day and a factor of the local hour,

    x_j(d, h) = A[d, day_of(j)] * B[h, hour_of(j)]

so the data passes are small matrix products over days and hours, and the Gram matrix over a set of
days is an elementwise product of two small ones, ``G = (A'A)[..] * (B'B)[..]``. An event whose
window differs between its occurrences is a sum of such products, one for each window: they share
their column, and so their coefficient.
Missing hours are the caller's business (they are filled before the passes).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Literal

import numpy as np

from capmodel.demand.event_columns import (
    EVENT_TERMS,
    EventColumns,
    WindowDay,
    event_hour_terms,
    ordinary_hours,
)
from capmodel.demand.penalties import Configuration

if TYPE_CHECKING:
    from capmodel.events import Events

__all__ = [
    "Block",
    "Design",
    "Rows",
    "Window",
    "event_names_on",
    "gram",
    "predict",
    "project",
    "public_weekday",
    "weekdays",
]

HOURS: Final = 24
HINGE_EVERY_DAYS: Final = 28
RAMP_EVERY_DAYS: Final = 14
YEARLY_ORDER: Final = 8
SEASONAL_ORDER: Final = 2
"""Yearly harmonics that may change the shape of the day and the weekend."""
SEASONAL_HOUR_ORDER: Final = 3
YEAR_DAYS: Final = 365.25
WEEKEND_STARTS: Final = 5

Kind = Literal["day", "table", "sparse"]
"""``day``: the same at every hour. ``table``: every day has a row. ``sparse``: few days have."""


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """Columns with one meaning: every day factor times every hour factor."""

    name: str
    kind: Kind
    start: int
    """First column of the design; the windows of one event share their columns."""
    day: slice
    """The block's columns of the day factors."""
    hour: np.ndarray
    """Hour factors, shape (24, b)."""
    weight: np.ndarray
    """What multiplies the block's penalty, shape (a * b,)."""

    @property
    def n_day(self) -> int:
        """Number of day factors."""
        return int(self.day.stop - self.day.start)

    @property
    def columns(self) -> slice:
        """The block's columns of the design, day factor by day factor."""
        return slice(self.start, self.start + self.n_day * self.hour.shape[1])


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """The day factors of some local days."""

    factors: np.ndarray
    """Shape (N, a_total)."""
    special: np.ndarray
    """Positions of the days on which a sparse block is not zero."""

    @classmethod
    def of(cls, factors: np.ndarray, sparse: Sequence[slice]) -> Rows:
        """Find the days on which the sparse columns are not zero."""
        active = np.zeros(len(factors), dtype=bool)
        for columns in sparse:
            active |= (factors[:, columns] != 0).any(axis=1)
        return cls(factors=factors, special=np.flatnonzero(active))


def hour_harmonics(order: int) -> np.ndarray:
    """Return cosine and sine of the hour of day for harmonics 1 to `order`, shape (24, 2 order)."""
    angle = 2 * np.pi * np.arange(HOURS)[:, None] * np.arange(1, order + 1) / HOURS
    return np.stack([np.cos(angle), np.sin(angle)], axis=2).reshape(HOURS, 2 * order)


def _yearly_harmonics(dates: np.ndarray) -> np.ndarray:
    day_of_year = (dates - dates.astype("datetime64[Y]")).astype(float) + 0.5
    angle = 2 * np.pi * day_of_year[:, None] * np.arange(1, YEARLY_ORDER + 1) / YEAR_DAYS
    return np.stack([np.cos(angle), np.sin(angle)], axis=2).reshape(len(dates), 2 * YEARLY_ORDER)


def weekdays(dates: np.ndarray) -> np.ndarray:
    """Return 0 for Monday to 6 for Sunday."""
    return (dates.astype("datetime64[D]").astype(int) + 3) % 7


def event_names_on(events: Events, dates: np.ndarray) -> tuple[str, ...]:
    """Return the name of each local day's event, '' on ordinary days.

    A day that carries several events is called by its :meth:`Events.primary` one; windows that act
    besides it are in :func:`~capmodel.demand.event_columns.events_on`.
    """
    first, last = dates.min().astype(dt.date), dates.max().astype(dt.date)
    near = events.between(first, last + dt.timedelta(days=1))
    # The calendar is sorted by date, the event that names a date first: the first one stays.
    primary = {day.date: day.name for day in reversed(near.days)}
    return tuple(primary.get(date, "") for date in dates.astype(dt.date).tolist())


def public_weekday(events: Events, dates: np.ndarray) -> np.ndarray:
    """Return which local days are a public holiday on a weekday, shape (N,) bool."""
    public = {np.datetime64(day.date, "D") for day in events.days if day.public}
    on = np.array([date in public for date in dates], dtype=bool)
    return on & (weekdays(dates) < WEEKEND_STARTS)


@dataclass(frozen=True, slots=True, eq=False)
class Design:
    """The columns learned on one training window, and how to evaluate them on any local day."""

    origin: np.datetime64
    n_days: int
    """Days of the training window, from `origin`."""
    hinges: np.ndarray
    """Positions of the trend's bends [days from origin]."""
    ramps: np.ndarray
    """Starts of the level's ramps [days from origin]."""
    events: Events
    event_columns: EventColumns
    """Events with an occurrence in the training window; the others have no column."""
    blocks: tuple[Block, ...]
    day_of: np.ndarray
    """Day factor of each product, shape (m,)."""
    hour_of: np.ndarray
    """Hour factor of each product, shape (m,)."""
    column_of: np.ndarray
    """Column of each product, shape (m,); m is p unless products share a column."""
    hours: np.ndarray
    """All hour factors side by side, shape (24, b_total)."""

    @classmethod
    def over(cls, dates: np.ndarray, events: Events) -> Design:
        """Lay out the columns for a training window.

        Parameters
        ----------
        dates
            Consecutive local days, shape (N,), datetime64[D].
        events
            The calendar; a day of it counts when it falls into the window.
        """
        n = len(dates)
        hinges = np.arange(n - HINGE_EVERY_DAYS / 2, HINGE_EVERY_DAYS, -HINGE_EVERY_DAYS)[::-1]
        middles = np.arange(n - RAMP_EVERY_DAYS / 2, RAMP_EVERY_DAYS / 2, -RAMP_EVERY_DAYS)[::-1]
        columns = EventColumns.over(dates, events)
        blocks = _layout(n_hinges=len(hinges), n_ramps=len(middles), events=columns)
        starts = np.cumsum([0, *(block.hour.shape[1] for block in blocks)])
        day_of = [np.repeat(np.arange(b.day.start, b.day.stop), b.hour.shape[1]) for b in blocks]
        hour_of = [
            np.tile(np.arange(start, start + b.hour.shape[1]), b.n_day)
            for b, start in zip(blocks, starts[:-1], strict=True)
        ]
        return cls(
            origin=dates[0],
            n_days=n,
            hinges=hinges,
            ramps=middles - RAMP_EVERY_DAYS / 2,
            events=events,
            event_columns=columns,
            blocks=blocks,
            day_of=np.concatenate(day_of),
            hour_of=np.concatenate(hour_of),
            column_of=np.concatenate([np.r_[b.columns] for b in blocks]),
            hours=np.concatenate([b.hour for b in blocks], axis=1),
        )

    @property
    def p(self) -> int:
        """Number of columns."""
        return int(self.column_of[-1]) + 1

    @property
    def event_names(self) -> tuple[str, ...]:
        """Events with columns, sorted."""
        return self.event_columns.names

    def of_event(self, event: int) -> slice:
        """Return the columns of an event, given by its position in `event_names`.

        The first one's coefficient is the event's mean log effect over the hours it covers.
        """
        width = self.event_columns.widths[event]
        whole = self.event_columns.whole_days
        blocks = [block for block in self.blocks if block.name == "event"]
        if event in whole:
            start = blocks[0].start + whole.index(event) * width
        else:
            windowed = [e for e, _ in self.event_columns.windowed]
            start = blocks[1 + windowed.index(event)].start
        return slice(start, start + width)

    def block(self, name: str) -> Block:
        """Return the block of this name; of ``event``, the one of whole days."""
        return next(block for block in self.blocks if block.name == name)

    def mask(self, *names: str) -> np.ndarray:
        """Return which columns belong to the blocks of these names, shape (p,)."""
        chosen = np.zeros(self.p, dtype=bool)
        for block in self.blocks:
            if block.name in names:
                chosen[block.columns] = True
        return chosen

    def rows(self, dates: np.ndarray) -> Rows:
        """Return the day factors of any local days, in or after the training window."""
        day = (dates - self.origin).astype(float) + 0.5
        weekday = weekdays(dates)
        yearly = _yearly_harmonics(dates)
        weekend = (weekday >= WEEKEND_STARTS) - 2 / 7
        n = len(dates)
        factors = np.concatenate(
            [
                np.ones((n, 1)),
                (day[:, None] - self.n_days) / 365.0,
                np.maximum(day[:, None] - self.hinges, 0) / 365.0,
                # A ramp from 0 to 1 over a fortnight: a random walk with linear interpolation,
                # constant after the window, so a local level is carried forward flat.
                np.clip((day[:, None] - self.ramps) / RAMP_EVERY_DAYS, 0, 1),
                np.eye(7)[weekday] - 1 / 7,
                yearly,
                yearly[:, : 2 * SEASONAL_ORDER] * weekend[:, None],
                np.ones((n, 1)),
                np.eye(7)[weekday],
                yearly[:, : 2 * SEASONAL_ORDER],
                self.event_columns.factors(dates, self.events),
                public_weekday(self.events, dates)[:, None].astype(float),
            ],
            axis=1,
        )
        return Rows.of(factors, [b.day for b in self.blocks if b.kind == "sparse"])

    def penalties(self, configuration: Configuration) -> np.ndarray:
        """Return the diagonal of the ridge penalty, shape (p,)."""
        diagonal = np.empty(self.p)
        for block in self.blocks:
            diagonal[block.columns] = configuration.penalty_of(block.name) * block.weight
        return diagonal


@dataclass(frozen=True, slots=True, eq=False)
class Window:
    """A training window: the design laid out on it, its day factors, its ordinary days.

    A day with a windowed event is no ordinary day (trends are judged and levels taken from others),
    but its other hours are ordinary hours.
    """

    design: Design
    rows: Rows
    ordinary: np.ndarray
    """Days without an event, shape (N,) bool."""
    ordinary_hours: np.ndarray
    """Hours that no event covers, shape (N, 24) bool."""
    names: tuple[str, ...]
    """Each day's event, '' on ordinary days."""
    event_of_day: np.ndarray
    """Position of each day's whole-day event in the design's names, -1 without, shape (N,)."""
    windowed: tuple[WindowDay, ...]
    """Every occurrence of a windowed event."""

    @classmethod
    def over(cls, dates: np.ndarray, events: Events) -> Window:
        """Lay out the design on consecutive local days."""
        design = Design.over(dates, events)
        names = event_names_on(events, dates)
        event_of_day, windowed = design.event_columns.days_of(dates, events)
        return cls(
            design=design,
            rows=design.rows(dates),
            ordinary=np.array([not name for name in names]),
            ordinary_hours=ordinary_hours(events, dates),
            names=names,
            event_of_day=event_of_day,
            windowed=windowed,
        )

    def part(self, days: np.ndarray) -> Rows:
        """Return the day factors of some days of the window, given by position."""
        sparse = [block.day for block in self.design.blocks if block.kind == "sparse"]
        return Rows.of(self.rows.factors[days], sparse)


def _layout(*, n_hinges: int, n_ramps: int, events: EventColumns) -> tuple[Block, ...]:
    ones = np.ones((HOURS, 1))
    squares = np.repeat(np.arange(1.0, YEARLY_ORDER + 1) ** 2, 2)
    seasonal = squares[: 2 * SEASONAL_ORDER]
    flat = np.ones
    table: list[tuple[str, Kind, int, np.ndarray, np.ndarray]] = [
        ("intercept", "day", 1, ones, flat(1)),
        ("linear", "day", 1, ones, flat(1)),
        ("hinge", "day", n_hinges, ones, flat(n_hinges)),
        ("ramp", "day", n_ramps, ones, flat(n_ramps)),
        ("day_of_week", "day", 7, ones, flat(7)),
        ("yearly", "day", 2 * YEARLY_ORDER, ones, squares),
        ("yearly_weekend", "day", 2 * SEASONAL_ORDER, ones, seasonal),
        ("hour_of_day", "table", 1, np.eye(HOURS), flat(HOURS)),
        ("hour_of_week", "table", 7, np.eye(HOURS), flat(7 * HOURS)),
        (
            "yearly_hour",
            "table",
            2 * SEASONAL_ORDER,
            hour_harmonics(SEASONAL_HOUR_ORDER),
            np.repeat(seasonal, 2 * SEASONAL_HOUR_ORDER),
        ),
    ]
    blocks: list[Block] = []
    for name, kind, count, hour, weight in table:
        _put(blocks, name, kind, count=count, hour=hour, weight=weight)
    _put_events(blocks, events)
    _put(blocks, "public_weekday", "sparse", count=1, hour=np.eye(HOURS), weight=flat(HOURS))
    return tuple(blocks)


def _put(
    blocks: list[Block], name: str, kind: Kind, *, count: int, hour: np.ndarray, weight: np.ndarray
) -> None:
    """Append a block after the columns and day factors of the last one."""
    column, factor = (blocks[-1].columns.stop, blocks[-1].day.stop) if blocks else (0, 0)
    day = slice(factor, factor + count)
    blocks.append(Block(name, kind, column, day, hour, np.asarray(weight, dtype=float)))


def _put_events(blocks: list[Block], events: EventColumns) -> None:
    """Append the block of whole-day events, then one for each window of each other event.

    A term is weighted by its frequency over the event, and by the length of the event, so that the
    penalty takes the same share of a window's effect as of a day's.
    """
    frequency = np.maximum(np.arange(float(EVENT_TERMS)) / 2, 1.0) ** 2
    n = len(events.whole_days)
    weight = np.tile(frequency, n)
    _put(blocks, "event", "sparse", count=n, hour=event_hour_terms(), weight=weight)
    last = -1
    for event, window in events.windowed:
        width = events.widths[event]
        weight = frequency[:width] * events.hours[event] / HOURS
        hour = event_hour_terms(*window, width)
        _put(blocks, "event", "sparse", count=1, hour=hour, weight=weight)
        if event == last:  # another window of the same event: the same coefficients
            blocks[-1] = replace(blocks[-1], start=blocks[-2].start)
        last = event


def gram(design: Design, rows: Rows) -> np.ndarray:
    """Return ``X'X`` over full local days, shape (p, p), from two small Gram matrices."""
    days = rows.factors.T @ rows.factors
    hours = design.hours.T @ design.hours
    i, j, column = design.day_of, design.hour_of, design.column_of
    products = np.asarray(days[np.ix_(i, i)] * hours[np.ix_(j, j)])
    if len(column) == design.p:
        return products
    order = np.argsort(column, kind="stable")
    starts = np.searchsorted(column[order], np.arange(design.p))
    by_column = np.add.reduceat(products[np.ix_(order, order)], starts, axis=0)
    return np.asarray(np.add.reduceat(by_column, starts, axis=1))


def project(design: Design, rows: Rows, z: np.ndarray) -> np.ndarray:
    """Return ``X'z`` without forming X.

    Parameters
    ----------
    design, rows
        The columns, on N local days.
    z
        Values without gaps, shape (N, 24, S); the sums keep their type.

    Returns
    -------
    numpy.ndarray
        Shape (p, S).
    """
    n, _, s = z.shape
    out = np.zeros((design.p, s), dtype=z.dtype)
    factors = rows.factors.astype(z.dtype, copy=False)
    flat = z.reshape(n, HOURS * s)
    for kind, data, part in (
        ("day", z.sum(axis=1), factors),
        ("table", flat, factors),
        ("sparse", flat[rows.special], factors[rows.special]),
    ):
        blocks = [b for b in design.blocks if b.kind == kind]
        columns = slice(blocks[0].day.start, blocks[-1].day.stop)
        sums = part[:, columns].T @ data
        for block in blocks:
            found = sums[block.day.start - columns.start : block.day.stop - columns.start]
            if kind != "day":
                hour = block.hour.astype(z.dtype, copy=False)
                found = hour.T @ found.reshape(block.n_day, HOURS, s)
            out[block.columns] += found.reshape(-1, s)
    return out


def predict(design: Design, rows: Rows, beta: np.ndarray) -> np.ndarray:
    """Return ``X b`` without forming X.

    Parameters
    ----------
    design, rows
        The columns, on N local days.
    beta
        Coefficients, shape (p, S); the values keep their type.

    Returns
    -------
    numpy.ndarray
        Shape (N, 24, S).
    """
    n, s = len(rows.factors), beta.shape[1]
    factors = rows.factors.astype(beta.dtype, copy=False)
    by_kind = {kind: [b for b in design.blocks if b.kind == kind] for kind in ("table", "sparse")}
    tables = {
        kind: np.concatenate([_hour_rows(block, beta) for block in blocks])
        for kind, blocks in by_kind.items()
    }
    table, sparse = by_kind["table"], by_kind["sparse"]
    out = factors[:, table[0].day.start : table[-1].day.stop] @ tables["table"]
    if len(rows.special):
        special = factors[rows.special, sparse[0].day.start : sparse[-1].day.stop]
        out[rows.special] += special @ tables["sparse"]
    daily = [b for b in design.blocks if b.kind == "day"]
    level = factors[:, : daily[-1].day.stop] @ beta[: daily[-1].columns.stop]
    values = out.reshape(n, HOURS, s)
    values += level[:, None, :]
    return np.asarray(values)


def _hour_rows(block: Block, beta: np.ndarray) -> np.ndarray:
    """Return what each day factor of a block adds to the 24 hours, shape (a, 24 S)."""
    s = beta.shape[1]
    width = block.hour.shape[1]
    hour = block.hour.astype(beta.dtype, copy=False)
    return np.asarray(
        (hour @ beta[block.columns].reshape(block.n_day, width, s)).reshape(block.n_day, HOURS * s)
    )
