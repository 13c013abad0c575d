"""Fleets as arrays: blocks of services read once, checked, and laid out by local hour.

This module answers: how does a long frame become blocks, which rows of a large array can be fitted,
and why not the others? It fits nothing.
"""

from __future__ import annotations

import datetime as dt
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from capmodel.demand.design import HOURS
from capmodel.demand.panel import SET_ASIDE, SHORTEST_DAYS
from capmodel.errors import InputError, Problem
from capmodel.history.grid import FAR_GAP_DAYS, FAR_SHARE
from capmodel.history.localtime import check_tz, local_days
from capmodel.schema import Finding

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "Chunk",
    "Stream",
    "blocks_of_frame",
    "checked_quantiles",
    "screened",
]

CHUNK: Final = 256
"""Services solved side by side: their arrays fit a few tens of MB."""
TILE: Final = 64
"""Hours transposed at a time."""
ROWS: Final = 2**16
"""Rows of a frame worked on at a time: their numbers stay in the cache."""
CELLS: Final = 2**25
"""Cells of a block made from a frame: 128 MB, 1,792 services of two years."""
MINUTES: Final = {"s": 60, "ms": 60_000, "us": 60_000_000, "ns": 60_000_000_000}
"""Ticks of a minute, by the unit of a time column."""


@dataclass(frozen=True, slots=True, eq=False)
class _Rows:
    """The columns of a long frame, as pandas holds them."""

    names: tuple[str, ...]
    code: np.ndarray
    """Which name, shape (n,), -1 where there is none."""
    ticks: np.ndarray
    """Time since 1970 UTC in the column's unit, shape (n,), int64."""
    unit: str
    values: np.ndarray

    def slices(self) -> list[slice]:
        """Return bounded runs of rows."""
        return [slice(at, at + ROWS) for at in range(0, len(self.code), ROWS)]

    def text(self, row: int) -> str:
        """Return a row's service and time."""
        return f"{self.names[self.code[row]]} at {self.instant(int(self.ticks[row]))} UTC"

    def instant(self, ticks: int) -> np.datetime64:
        """Return a time in whole seconds."""
        time = np.array([ticks]).view(f"datetime64[{self.unit}]").astype("datetime64[s]")
        return np.datetime64(time[0])


@dataclass(frozen=True, slots=True, eq=False)
class _Layout:
    """Where the steps of a UTC grid lie among local hours.

    The first step of an hour has the hour's own column; each later one (finer steps, the hour that
    the autumn change repeats) has a column behind the hours.
    """

    origin: int
    """First step [ticks]."""
    step: int
    """Length of a step [ticks]."""
    start: dt.date
    n_hours: int
    """Hours of the local days, 24 a day."""
    column: np.ndarray
    """Column of each step, shape (T,)."""
    later: tuple[tuple[np.ndarray, np.ndarray], ...]
    """Columns behind the hours and the hours they belong to, each hour once a pair."""

    @property
    def width(self) -> int:
        """All columns."""
        return self.n_hours + sum(len(columns) for columns, _ in self.later)


def blocks_of_frame(
    frame: pd.DataFrame,
    *,
    business_tz: str,
    service: str = "service",
    time: str = "time",
    value: str = "rps",
) -> tuple[Iterator[np.ndarray], dt.date, tuple[str, ...]]:
    """Return a long frame as blocks by local hour, for :meth:`Batched.fit_fleet`.

    A local hour is the mean of the observed steps that start in it, as in
    :func:`capmodel.history.local_cube`: the hour that the autumn change repeats is averaged, the
    one that spring skips is NaN, and so is what the frame does not hold.

    Parameters
    ----------
    frame
        One row per service and step in any order, rows for gaps may be missing; not modified and
        not copied where the service is categorical, the time a datetime and the value a float.
    business_tz
        IANA zone of the local hours.
    service, time, value
        Columns: the name; the start of a step, with a time zone, an hour or a part of it apart; the
        demand, NaN where unknown.

    Returns
    -------
    blocks
        Arrays of shape (services, hours), float32, whole local days; made one by one as they are
        read, once, so keep the frame until then.
    start
        First local day.
    services
        Names, one a row of the blocks: categories in their order (those without a row left out),
        else sorted.

    Raises
    ------
    InputError
        When a column is missing or of another kind, times are naive, irregular or far from all
        others. A step that a service holds twice is found when its block is read.

    Examples
    --------
    >>> import pandas as pd
    >>> time = pd.date_range("2026-11-01T04:00Z", periods=25, freq="h")  # the clock goes back
    >>> frame = pd.DataFrame({"service": "api", "time": time, "rps": range(25)})
    >>> blocks, start, services = blocks_of_frame(frame, business_tz="America/New_York")
    >>> start.isoformat(), services, next(blocks)[:, :4]
    ('2026-11-01', ('api',), array([[0. , 1.5, 3. , 4. ]], dtype=float32))
    """
    tz = check_tz(business_tz)
    rows = _rows_of(frame, service=service, time=time, value=value)
    layout = _layout(rows, tz)
    used, parts = np.zeros(len(rows.names), dtype=bool), [rows.code[at] for at in rows.slices()]
    for part in parts:
        used[part] = True
    codes, bounds = np.flatnonzero(used), np.array([(part.min(), part.max()) for part in parts])
    size = max(CELLS // layout.width, 1)
    size -= size % CHUNK if size > CHUNK else 0
    blocks = (
        _block(rows, layout, codes[at : at + size], bounds=bounds)
        for at in range(0, len(codes), size)
    )
    return blocks, layout.start, tuple(rows.names[code] for code in codes)


def _rows_of(frame: pd.DataFrame, *, service: str, time: str, value: str) -> _Rows:
    """Return the three columns, every fault of them in one error."""
    import pandas as pd  # noqa: PLC0415  kept out of import time

    columns, do = [str(name) for name in frame.columns], "Name it: service=, time= or value=."
    problems = [
        Problem(f'column "{name}"', f"{columns.count(name)} of them among {columns}", "one", do)
        for name in (service, time, value)
        if columns.count(name) != 1
    ]
    if problems:
        raise InputError(problems)
    names, times, values = frame[service], frame[time], frame[value]
    if not isinstance(names.dtype, pd.CategoricalDtype):
        names = names.astype("category")
    code = names.cat.codes.to_numpy()
    is_time = isinstance(times.dtype, pd.DatetimeTZDtype)
    is_number = pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values)
    empty = {service: int((code < 0).sum()), time: int(times.isna().sum())}
    problems = [
        Problem(f'column "{name}"', f"{n} empty cells", "none", "Fill or drop those rows.")
        for name, n in empty.items()
        if n
    ]
    zoned = 'Write pd.to_datetime(column, utc=True), or column.dt.tz_localize("America/New_York").'
    checks = (
        (len(frame) > 0, "frame", "no rows", "at least one row", "Check the query."),
        (is_time, f'column "{time}"', f"type {times.dtype}", "moments with a time zone", zoned),
        (is_number, f'column "{value}"', f"type {values.dtype}", "numbers", "Convert it."),
    )
    if problems := [*problems, *(Problem(*texts) for good, *texts in checks if not good)]:
        raise InputError(problems)
    index = pd.DatetimeIndex(times)
    is_float = isinstance(values.dtype, np.dtype) and values.dtype.kind == "f"
    return _Rows(
        names=tuple(str(name) for name in names.cat.categories),
        code=code,
        ticks=index.asi8,
        unit=index.unit,
        values=values.to_numpy(None if is_float else np.float32, na_value=np.nan),
    )


def _layout(rows: _Rows, tz: str) -> _Layout:
    """Return the grid of all rows; irregular and far-off times are refused."""
    origin, last = int(rows.ticks.min()), int(rows.ticks.max())
    minute = MINUTES[rows.unit]
    hour = step = minute * 60
    count = np.zeros((last - origin) // (hour * HOURS) + 1, dtype=np.int64)
    for part in rows.slices():
        since = rows.ticks[part] - origin
        hours = since // hour
        count += np.bincount(hours // HOURS, minlength=len(count))
        since -= hours * hour
        if since.any() and (since % step).any():
            step = math.gcd(step, int(np.gcd.reduce(since)))
            if step % minute:
                raise InputError.of(
                    rows.text(part.start + int(np.argmax(since % minute != 0))),
                    got="a fraction of a minute between it and the first time of all",
                    expected="hours, or steps of whole minutes, for all services",
                    do='Write column.dt.floor("h"), and average per service and hour.',
                )
    _refuse_far(rows, count, origin, day=hour * HOURS)
    n_steps = (last - origin) // step + 1
    days = local_days(rows.instant(origin), n_steps, step // minute, tz)
    hour_of_step = days.day_of_step * HOURS + days.hour_of_step
    n_hours = len(days.dates) * HOURS
    column, later = _columns(hour_of_step, n_hours)
    return _Layout(origin, step, days.dates[0].astype(object), n_hours, column, later)


def _columns(
    hour: np.ndarray, n_hours: int
) -> tuple[np.ndarray, tuple[tuple[np.ndarray, np.ndarray], ...]]:
    """Return each step's column, and by rank in their hour the columns of its later steps."""
    order = np.argsort(hour, kind="stable")
    rank = np.empty(len(hour), dtype=np.int64)
    rank[order] = np.arange(len(hour)) - np.searchsorted(hour[order], hour[order])
    column, later, width = hour.copy(), [], n_hours
    for nth in range(1, int(rank.max()) + 1):
        steps = np.flatnonzero(rank == nth)
        column[steps] = width + np.arange(len(steps))
        later.append((column[steps], hour[steps]))
        width += len(steps)
    return column, tuple(later)


def _block(rows: _Rows, layout: _Layout, codes: np.ndarray, *, bounds: np.ndarray) -> np.ndarray:
    """Return some services by local hour, shape (S, hours), float32.

    `codes` are theirs, ascending, with no other used one between them; `bounds` the lowest and
    highest code of each slice of rows, shape (slices, 2).
    """
    low, high = codes[0], codes[-1]
    slices, touched = rows.slices(), (bounds[:, 0] <= high) & (bounds[:, 1] >= low)
    is_by_time = (touched & (bounds[:, 1] > bounds[:, 0] + 1)).sum() > touched.sum() / 2
    # Neighbouring rows go to neighbouring cells, whether they share their service or their time.
    strides = (1, len(codes)) if is_by_time else (layout.width, 1)
    place = np.zeros(high - low + 1, dtype=np.int64)
    place[codes - low] = np.arange(len(codes)) * strides[0]
    column = layout.column * strides[1]
    flat = np.full(len(codes) * layout.width, np.nan, dtype=np.float32)
    seen = np.zeros(flat.size, dtype=bool)
    n_rows = 0
    for i in np.flatnonzero(touched):
        code, ticks, value = (x[slices[i]] for x in (rows.code, rows.ticks, rows.values))
        if bounds[i, 0] < low or bounds[i, 1] > high:
            kept = np.flatnonzero((code >= low) & (code <= high))
            code, ticks, value = code[kept], ticks[kept], value[kept]
        cell = place[code - low]
        cell += column[(ticks - layout.origin) // layout.step]
        flat[cell] = value
        seen[cell] = True
        n_rows += len(cell)
    if np.count_nonzero(seen) < n_rows:
        raise _duplicates(rows, layout, codes)
    values = flat.reshape((len(codes), -1), order="F" if is_by_time else "C")
    return _hour_means(values, layout)


def _hour_means(values: np.ndarray, layout: _Layout) -> np.ndarray:
    """Return the mean of the observed steps of each hour, in place, shape (S, hours)."""
    hours = values[:, : layout.n_hours]
    if layout.later:
        again = np.unique(np.concatenate([hour for _, hour in layout.later]))
        total, count = _observed(hours[:, again])
        for columns, hour in layout.later:
            more, seen = _observed(values[:, columns])
            at = np.searchsorted(again, hour)
            total[:, at] += more
            count[:, at] += seen
        with np.errstate(invalid="ignore"):
            hours[:, again] = total / count
    return hours


def _observed(cells: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the cells with 0 for NaN, and which were known, both float32."""
    seen = ~np.isnan(cells)
    return np.where(seen, cells, np.float32(0)), seen.astype(np.float32)


def _refuse_far(rows: _Rows, count: np.ndarray, origin: int, *, day: int) -> None:
    """Raise when few rows lie beyond a long empty stretch; `count` is of rows by day."""
    occupied = np.flatnonzero(count)
    breaks = occupied[1:][np.diff(occupied) > FAR_GAP_DAYS]
    cluster = np.searchsorted(breaks, np.arange(len(count)), side="right")
    size = np.bincount(cluster, weights=count)
    far = size < FAR_SHARE * len(rows.code)
    if far.any():
        is_far = far[cluster[(rows.ticks - origin) // day]]
        raise InputError.of(
            rows.text(int(np.argmax(is_far))),
            got=f"{int(is_far.sum())} rows more than {FAR_GAP_DAYS} days from all others",
            expected="times of one period: a clock was wrong",
            do="Drop those rows, or mend their times.",
        )


def _duplicates(rows: _Rows, layout: _Layout, codes: np.ndarray) -> InputError:
    """Return the error of services that hold a step twice."""
    mine = np.flatnonzero(np.isin(rows.code, codes))
    step = (rows.ticks[mine] - layout.origin) // layout.step
    order = np.lexsort((step, rows.code[mine]))
    code, step = rows.code[mine][order], step[order]
    twice = 1 + np.flatnonzero((code[1:] == code[:-1]) & (step[1:] == step[:-1]))
    first = [int(twice[np.argmax(code[twice] == one)]) for one in np.unique(code[twice])]
    return InputError(
        Problem(
            rows.text(int(mine[order[at]])),
            f"{int((code[twice] == code[at]).sum())} rows of steps that were given before",
            "one row per service and step",
            "Drop them, or sum or average what they count apart.",
        )
        for at in first
    )


@dataclass(frozen=True, slots=True, eq=False)
class Chunk:
    """Some usable services by local hour."""

    positions: np.ndarray
    services: tuple[str, ...]
    values: np.ndarray
    """Shape (N, 24, S), float32."""
    first_day: np.ndarray
    """First observed day, shape (S,)."""

    def pick(self, keep: np.ndarray, first: int = 0) -> Chunk:
        """Return some of the services, from a day on."""
        where = np.flatnonzero(keep)
        whole = len(where) == len(self.positions)
        return Chunk(
            positions=self.positions[where],
            services=tuple(self.services[i] for i in where),
            values=self.values[first:] if whole else self.values[first:, :, where],
            first_day=self.first_day[where] - first,
        )


class Stream:
    """Chunks of a fleet with their names, read once."""

    def __init__(
        self, values: np.ndarray | Iterable[np.ndarray], services: Sequence[str] | None
    ) -> None:
        self.source = values
        self.given = services
        self.names: list[str] = []

    def __iter__(self) -> Iterator[tuple[np.ndarray, list[str], int]]:
        steps = 0
        self._refuse_twins()
        for block in [self.source] if isinstance(self.source, np.ndarray) else self.source:
            steps = _checked_steps(block, steps)
            for at in range(0, len(block), CHUNK):
                part = block[at : at + CHUNK]
                position = len(self.names)
                names = self._next_names(position, len(part))
                self.names += names
                yield part, names, position
        if self.given is not None and len(self.given) != len(self.names):
            raise self._wrong_names(f"{len(self.names)} rows")

    def _next_names(self, position: int, count: int) -> list[str]:
        if self.given is None:
            return [f"service_{position + i}" for i in range(count)]
        if len(self.given) < position + count:
            raise self._wrong_names(f"{position + count} rows or more")
        return list(self.given[position : position + count])

    def _refuse_twins(self) -> None:
        count = Counter(self.given or ())
        if twins := [name for name, times in count.items() if times > 1]:
            raise InputError.of(
                "services",
                got=f"{', '.join(twins[:3])} more than once ({len(twins)} such names)",
                expected="each name once",
                do="Add up the rows of a service, or name them apart.",
            )

    def _wrong_names(self, rows: str) -> InputError:
        return InputError.of(
            "services",
            got=f"{len(self.given or ())} names for {rows}",
            expected="one name for each row",
            do="Give as many names as rows.",
        )


def _checked_steps(block: np.ndarray, steps: int) -> int:
    n = block.shape[1] if block.ndim == 2 else 0  # noqa: PLR2004  services by hours
    if n == 0 or n % HOURS or (steps and n != steps):
        raise InputError.of(
            "values",
            got=f"shape {block.shape}",
            expected="(services, hours) with whole local days, the same for every block",
            do="Pad the first and last day with NaN.",
        )
    return int(n)


def checked_quantiles(quantiles: Sequence[float]) -> tuple[float, ...]:
    """Return the probabilities, refused where one is not inside (0, 1)."""
    bad = [q for q in quantiles if not 0 < q < 1]
    if bad or not quantiles:
        raise InputError.of(
            "quantiles",
            got=str(bad or quantiles),
            expected="probabilities inside (0, 1)",
            do="Write (0.5, 0.9, 0.95, 0.99).",
        )
    return tuple(float(q) for q in quantiles)


def screened(raw: np.ndarray, names: Sequence[str], position: int) -> tuple[Chunk, list[Finding]]:
    """Return the usable services by local hour and why the others are set aside."""
    days = (~np.isnan(raw)).reshape(len(raw), -1, HOURS).any(axis=2)
    lowest, highest = np.fmin.reduce(raw, axis=1), np.fmax.reduce(raw, axis=1)
    faults = (
        ("all_nan", ~days.any(axis=1), "no demand was observed"),
        ("infinite", np.isinf(lowest) | np.isinf(highest), "demand holds infinite values"),
        ("negative", lowest < 0, "demand is negative"),
        (
            "too_short",
            days.sum(axis=1) < SHORTEST_DAYS,
            f"fewer than {SHORTEST_DAYS} days observed",
        ),
        ("constant_zero", highest == 0, "demand is zero throughout"),
    )
    bad = np.zeros(len(raw), dtype=bool)
    findings = []
    for code, mask, text in faults:
        findings += [
            Finding(code, "error", names[i], f"{names[i]}: {text}{SET_ASIDE}")
            for i in np.flatnonzero(mask & ~bad).tolist()
        ]
        bad |= mask
    chunk = Chunk(
        positions=position + np.arange(len(raw)),
        services=tuple(names),
        values=_by_hour(raw),
        first_day=days.argmax(axis=1),
    )
    return chunk.pick(~bad), findings


def _by_hour(raw: np.ndarray) -> np.ndarray:
    """Return services by hours as days, hours, services, shape (N, 24, S), float32."""
    out = np.empty(raw.shape[::-1], dtype=np.float32)
    for at in range(0, len(out), TILE):  # a tile fits the cache, a whole column does not
        out[at : at + TILE] = raw[:, at : at + TILE].T
    return out.reshape(-1, HOURS, len(raw))
