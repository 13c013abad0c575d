"""Fleets: thousands of services as plain arrays, in single precision.

This module answers: what may ten thousand services need in three months, in seconds and in less
memory than their history takes? It is the model that :class:`capmodel.demand.Batched` fits for a
plan; what it leaves out are joint paths. Its bands are of single hours: for a peak, or for a sum of
services, draw paths.
"""

from __future__ import annotations

import datetime as dt
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np

from capmodel.demand.bands import hour_bands, noise_table
from capmodel.demand.cohort import LONG_DAYS, fit_numbers
from capmodel.demand.design import HOURS, Design, Window, gram, predict, project
from capmodel.demand.event_columns import events_on, ordinary_hours
from capmodel.demand.filling import CLIP_AT, CLIP_FLOOR
from capmodel.demand.fleet_input import (
    Chunk,
    Stream,
    checked_quantiles,
    screened,
)
from capmodel.demand.groups import pool_events, shared_luck
from capmodel.demand.horizon import check_day
from capmodel.demand.lending import Lender
from capmodel.demand.panel import SHORTEST_DAYS, nothing_usable
from capmodel.demand.penalties import Configuration
from capmodel.demand.scale import LOG_OFFSET, Scale
from capmodel.demand.solve import combined
from capmodel.demand.systems import Solver, Systems
from capmodel.demand.uncertainty import (
    EventSpread,
    Misses,
    event_spread,
    fleet_prior,
    measure_misses,
    out_of_sample,
)
from capmodel.errors import InputError, Problem
from capmodel.history.localtime import check_tz, hours_in, local_days, midnights
from capmodel.schema import Finding, Findings

if TYPE_CHECKING:
    import pandas as pd

    from capmodel.events import EventDay, Events

__all__ = ["FleetFit", "FleetForecast", "fit_fleet"]

WEEK: Final = 7
APPEND_DAYS: Final = 28
"""Days that may be appended before the level's knots are too old [days]."""


@dataclass(frozen=True, slots=True, eq=False)
class FleetForecast:
    """Quantiles of every hour of every service."""

    services: tuple[str, ...]
    time: np.ndarray
    """Start of each hour, UTC, shape (H,), datetime64[s]."""
    quantiles: tuple[float, ...]
    values: np.ndarray
    """Shape (Q, S, H) [the input's unit]; NaN for services set aside."""
    findings: Findings
    """Services set aside, each with its reason."""

    def to_frame(self) -> pd.DataFrame:
        """Return a long frame: service, time (UTC), p50, p90, ...; services set aside left out."""
        import pandas as pd  # noqa: PLC0415  kept out of import time

        kept = np.flatnonzero(~np.isnan(self.values[0, :, 0]))
        codes = np.repeat(kept, len(self.time))
        names = pd.Categorical.from_codes(codes, pd.Index(self.services))
        time = pd.DatetimeIndex(np.tile(self.time, len(kept)), tz="UTC")
        columns = {
            f"p{100 * q:g}": self.values[i, kept].ravel() for i, q in enumerate(self.quantiles)
        }
        return pd.DataFrame({"service": names, "time": time, **columns})


@dataclass(frozen=True, slots=True, eq=False)
class FleetBlock:
    """Some services of a fleet on one window; arrays are (.., S) in the order of `positions`."""

    positions: np.ndarray
    """Places in the fleet."""
    services: tuple[str, ...]
    systems: Systems
    scale: Scale
    beta: np.ndarray
    """Shape (p, S) [z]."""
    prior: np.ndarray | None
    whole: np.ndarray
    """``X'z`` of the whole window, shape (p, S)."""
    weights: np.ndarray
    clip: np.ndarray
    """How far a residual may lie off before it is pulled in [z], shape (S,)."""
    misses: Misses | None
    spread: EventSpread
    noise: np.ndarray
    """Quantiles of residuals by quarter of the day, the median first, (Q + 1, 4, S) [log]."""
    is_borrowing: bool

    @property
    def design(self) -> Design:
        """Columns of the block's window."""
        return self.systems.window.design

    @property
    def log_beta(self) -> np.ndarray:
        """Coefficients in log units of demand, shape (p, S)."""
        return np.asarray(self.beta * self.scale.sd)


@dataclass(frozen=True, slots=True, eq=False)
class FleetFit:
    """Every service of a fleet, fitted; holds sums and coefficients, not the history."""

    services: tuple[str, ...]
    business_tz: str
    end: np.datetime64
    """Local day after the last one fitted."""
    events: Events
    quantiles: tuple[float, ...]
    blocks: tuple[FleetBlock, ...]
    findings: Findings
    """Services set aside, each with its reason."""
    appended_days: int = 0

    def forecast(
        self, days: int = 90, *, lifts: Mapping[str, float] | None = None
    ) -> FleetForecast:
        """Forecast every service over the next local days.

        Parameters
        ----------
        days
            Length of the horizon [days].
        lifts
            Assumed lift [ratio] of events that nobody has seen, for all services; of the hours of a
            windowed event.

        Raises
        ------
        InputError
            When an event of the horizon has no precedent and no assumed lift, and for a horizon
            longer than the history.
        """
        dates = self.end + np.arange(_checked_days(days, self.blocks))
        acting = events_on(self.events, dates)
        wanted = _assumed(acting, blocks=self.blocks, lifts=lifts or {})
        time, day, hour = _clock(dates, self.business_tz)
        shape = (len(self.quantiles), len(self.services), len(time))
        values = np.full(shape, np.nan, dtype=np.float32)
        prior = fleet_prior([b.misses for b in self.blocks if b.misses is not None])
        for block in self.blocks:
            rows = block.design.rows(dates)
            log = predict(block.design, rows, block.beta)
            log *= block.scale.sd.astype(log.dtype)
            log += block.scale.center.astype(log.dtype)
            log += np.log(wanted).astype(log.dtype)[:, :, None]
            bands = hour_bands(
                log,
                block.noise,
                out_of_sample(block.misses, prior, n_services=len(block.services)),
                quantiles=self.quantiles,
                days_ahead=self.appended_days + np.arange(1, len(dates) + 1),
                event_sd=_event_sd(block, acting),
            )
            mean = block.scale.mean.astype(log.dtype)
            for i, band in enumerate(bands):
                found = _restored(band, mean)
                values[i, block.positions] = found[day, hour].T
        return FleetForecast(
            services=self.services,
            time=time,
            quantiles=self.quantiles,
            values=values,
            findings=self.findings,
        )

    def append(self, values: np.ndarray, *, days: int) -> FleetFit:
        """Return the fit with new local days added; what was fitted before is not read again.

        The sums grow by the new days, the coefficients are solved anew; scale, configuration
        weights and error sizes stay those of the full fit.

        Parameters
        ----------
        values
            New demand by local hour with NaN for gaps, shape (S, days * 24), in the order of
            `services` [the unit of the fit].
        days
            How many local days follow `end`.

        Raises
        ------
        InputError
            When the shape is another, the days hold an event never seen, or more than four weeks
            would have been appended since the full fit.
        """
        dates = self.end + np.arange(days)
        total = self.appended_days + days
        known = {name for block in self.blocks for name in block.design.event_names}
        coming = {event.name for acting in events_on(self.events, dates) for event in acting}
        new = sorted(coming - known)
        checks = (
            (
                values.shape != (len(self.services), days * HOURS),
                "append(values)",
                f"shape {values.shape}",
                f"shape ({len(self.services)}, {days * HOURS})",
            ),
            (total > APPEND_DAYS, "append(days)", f"{total} in all", f"{APPEND_DAYS} or fewer"),
            (bool(new), "append(days)", f"first occurrence of {', '.join(new)}", "known events"),
        )
        problems = [
            Problem(where, got, expected, "Fit the whole history again.")
            for bad, where, got, expected in checks
            if bad
        ]
        if problems:
            raise InputError(problems)
        cube = values.reshape(len(values), days, HOURS).transpose(1, 2, 0)
        grown: dict[int, Systems] = {}
        blocks = [_appended(block, cube, dates, grown=grown) for block in self.blocks]
        return replace(
            self, end=self.end + days, blocks=tuple(blocks), appended_days=self.appended_days + days
        )


@dataclass(frozen=True, slots=True, eq=False)
class _Job:
    """What every chunk is fitted with."""

    events: Events
    configurations: tuple[Configuration, ...]
    kappa: float
    groups: Mapping[str, str]
    quantiles: tuple[float, ...]
    """The median, then the asked ones."""


def fit_fleet(  # noqa: PLR0913  every option is a plain, named value
    values: np.ndarray | Iterable[np.ndarray],
    *,
    start: str | dt.date,
    business_tz: str,
    events: Events,
    configurations: Sequence[Configuration],
    kappa: float,
    groups: Mapping[str, str],
    quantiles: Sequence[float],
    services: Sequence[str] | None = None,
    workers: int = 1,
) -> FleetFit:
    """Fit a fleet; see :meth:`capmodel.demand.Batched.fit_fleet`."""
    tz = check_tz(business_tz)
    asked = checked_quantiles(quantiles)
    job = _Job(events, tuple(configurations), kappa, groups, (0.5, *asked))
    origin = check_day(start, where="start")
    stream = Stream(values, services)
    systems: Systems | None = None
    late: list[Chunk] = []
    findings: list[Finding] = []
    blocks: list[FleetBlock] = []
    with ThreadPoolExecutor(workers) as pool:
        waiting: deque[Future[FleetBlock]] = deque()
        for raw, names, position in stream:
            chunk, faults = screened(raw, names, position)
            findings += faults
            systems = systems or _systems(origin, raw.shape[1] // HOURS, job)
            is_late = chunk.first_day >= WEEK
            late += [chunk.pick(is_late)] if is_late.any() else []
            if not is_late.all():
                waiting.append(pool.submit(_fit_block, chunk.pick(~is_late), systems, job, None))
            while len(waiting) > workers:
                blocks.append(waiting.popleft().result())
        blocks += [future.result() for future in waiting]
    if systems is None or not (blocks or late):
        raise nothing_usable(findings, expected=f"{SHORTEST_DAYS} days of hourly demand")
    blocks += _fit_late(late, origin, job, donors=blocks)
    luck = shared_luck([b.spread for b in blocks], [b.misses for b in blocks if b.misses])
    blocks = pool_events(blocks, groups, luck)
    return FleetFit(
        services=tuple(stream.names),
        business_tz=tz,
        end=origin + systems.window.design.n_days,
        events=events,
        quantiles=asked,
        blocks=tuple(blocks),
        findings=Findings(tuple(findings)),
    )


def _systems(origin: np.datetime64, n_days: int, job: _Job) -> Systems:
    window = Window.over(origin + np.arange(n_days), job.events)
    return Systems.of(window, job.configurations, dtype=np.float32)


def _fit_block(chunk: Chunk, systems: Systems, job: _Job, lender: Lender | None) -> FleetBlock:
    """Fit services that share a window and keep what a forecast needs."""
    numbers = fit_numbers(
        systems, chunk.values, kappa=job.kappa, services=chunk.services, lender=lender
    )
    sd = numbers.scale.sd.astype(np.float32)
    residual = numbers.z - numbers.fitted
    misses = measure_misses(
        systems,
        numbers.filled.z,
        fitted=numbers.fitted,
        selection=numbers.selection,
        sd=numbers.scale.sd,
    )
    residual *= sd
    window = systems.window
    return FleetBlock(
        positions=chunk.positions,
        services=chunk.services,
        systems=systems,
        scale=numbers.scale,
        beta=numbers.beta,
        prior=numbers.prior,
        whole=numbers.stats.whole,
        weights=numbers.selection.weights,
        clip=CLIP_AT * np.maximum(numbers.filled.spread, CLIP_FLOOR),
        misses=misses,
        spread=event_spread(
            residual,
            None,
            event_of_day=window.event_of_day,
            leverage=systems.day_leverage,
            windowed=window.windowed,
        ),
        noise=noise_table(residual[window.ordinary], job.quantiles),
        is_borrowing=lender is not None,
    )


def _fit_late(
    late: Sequence[Chunk], origin: np.datetime64, job: _Job, *, donors: Sequence[FleetBlock]
) -> list[FleetBlock]:
    """Fit services born later, each on the window of its first week; the short ones borrow."""
    if not late:
        return []
    lender = Lender.of(donors, job.groups)
    blocks = []
    for week in sorted({int(day) // WEEK for chunk in late for day in chunk.first_day}):
        first = week * WEEK
        systems = _systems(origin + first, len(late[0].values) - first, job)
        is_short = systems.window.design.n_days < LONG_DAYS
        for chunk in late:
            born = chunk.first_day // WEEK == week
            if born.any():
                part = chunk.pick(born, first)
                blocks.append(_fit_block(part, systems, job, lender if is_short else None))
    return blocks


def _checked_days(days: int, blocks: Sequence[FleetBlock]) -> int:
    longest = max(block.design.n_days for block in blocks)
    if not 0 < days <= longest:
        raise InputError.of(
            "forecast(days)",
            got=days,
            expected=f"1 to {longest} days, the length of the history",
            do="Shorten the horizon or give a longer history.",
        )
    return days


def _assumed(
    acting: Sequence[Sequence[EventDay]],
    *,
    blocks: Sequence[FleetBlock],
    lifts: Mapping[str, float],
) -> np.ndarray:
    """Return each hour's assumed lift, 1 where the fit knows its events, shape (N, 24)."""
    known = {name for block in blocks for name in block.design.event_names}
    problems = [
        Problem(
            where=f"{event.name} on {event.date}",
            got="an event that no service has seen before",
            expected="a past occurrence, or an assumed lift [ratio]",
            do=f'Give one: lifts={{"{event.name}": 2.0}}.',
        )
        for several in acting
        for event in several
        if event.name not in known and event.name not in lifts
    ]
    if problems:
        raise InputError(problems)
    wanted = np.ones((len(acting), HOURS))
    for n, several in enumerate(acting):
        for event in several:
            if event.name not in known:
                wanted[n, event.start_hour : event.end_hour] *= lifts[event.name]
    return wanted


def _event_sd(block: FleetBlock, acting: Sequence[Sequence[EventDay]]) -> np.ndarray:
    """Return the log standard deviation of the events, 0 in ordinary hours, for `hour_bands`.

    Events of one hour err on their own, so their variances add.
    """
    index = {name: i for i, name in enumerate(block.design.event_names)}
    square = block.spread.shock_sd**2 + block.spread.coefficient_sd**2
    has_windows = any(event.is_windowed for several in acting for event in several)
    out = np.zeros((len(acting), HOURS if has_windows else 1, len(block.services)))
    for n, several in enumerate(acting):
        for event in several:
            if event.name in index:
                out[n, event.start_hour : event.end_hour] += square[:, index[event.name]]
    return np.sqrt(out)


def _clock(dates: np.ndarray, tz: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return each UTC hour of some local days with its day and local hour."""
    first = midnights(dates[:1], tz)[0]
    count = int(hours_in(dates, tz).sum())
    local = local_days(first, count, 60, tz)
    time = first + np.arange(count) * np.timedelta64(1, "h")
    return time, np.minimum(local.day_of_step, len(dates) - 1), local.hour_of_step


def _restored(log: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """Return demand from log quantiles in place; the same as :func:`scale.restore`."""
    np.exp(log, out=log)
    log -= log.dtype.type(LOG_OFFSET)
    np.maximum(log, 0, out=log)
    log *= mean
    return log


def _appended(
    block: FleetBlock, cube: np.ndarray, dates: np.ndarray, *, grown: dict[int, Systems]
) -> FleetBlock:
    """Return a block with new days in its sums and its coefficients solved anew."""
    design, dtype = block.design, block.beta.dtype
    rows = design.rows(dates)
    if id(block.systems) not in grown:
        grown[id(block.systems)] = _grown(block.systems, gram(design, rows))
    systems = grown[id(block.systems)]
    new = cube[:, :, block.positions].astype(dtype)
    z = np.log(new / block.scale.mean.astype(dtype) + dtype.type(LOG_OFFSET))
    z = (z - block.scale.center.astype(dtype)) / block.scale.sd.astype(dtype)
    fitted = predict(design, rows, block.beta)
    ordinary = ordinary_hours(design.events, dates)
    bound = np.where(ordinary[:, :, None], block.clip, np.inf).astype(dtype)
    z = fitted + np.clip(np.nan_to_num(z - fitted), -bound, bound)
    if block.prior is not None:
        z -= predict(design, rows, block.prior)
    whole = block.whole + project(design, rows, z)
    beta = combined([solve(whole) for solve in systems.final], block.weights)
    return replace(
        block,
        systems=systems,
        whole=whole,
        beta=beta if block.prior is None else beta + block.prior,
    )


def _grown(systems: Systems, more: np.ndarray) -> Systems:
    """Return the systems with the Gram matrix of new days added to the final ones."""
    whole = systems.gram + more
    return replace(
        systems,
        gram=whole,
        final=tuple(Solver.of(whole + np.diag(p), systems.dtype) for p in systems.penalties),
    )
