"""A database through a season: replica lag, warm-up, paid support, and the day it is outgrown.

This module answers: does a replica keep up with the writes and how long is it behind, how long is a
cache cold after a change of class, how many vCPU-hours are billed as Extended Support, and on which
day does the need exceed the largest class? It knows no money: a price times vCPU-hours is the
caller's.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import numpy as np
import numpy.typing as npt

from capmodel.capacity.db_connections import Engine
from capmodel.capacity.db_readers import engine_rules
from capmodel.capacity.replicas import SLACK
from capmodel.errors import InputError, Problem
from capmodel.laws.arguments import number, raise_any, whole
from capmodel.schema import order_statistic

__all__ = [
    "SUPPORT_DATES",
    "OutgrownOn",
    "ReplicaLag",
    "SupportDates",
    "SupportHours",
    "apply_utilization",
    "extended_support",
    "outgrown_on",
    "replica_lag",
    "warm_up_s",
]

Floats = npt.NDArray[np.float64]

_KIB_PER_MIB: Final = 1024.0
_PAGE_KIB: Final = 16.0
_CHEAP_YEARS: Final = 2


@dataclass(frozen=True, slots=True, eq=False)
class ReplicaLag:
    """How far a replica is behind, each of the shape of the utilization.

    ``backlog_s`` work not yet applied [s of the appliers]; ``lag_s`` age of the write that is
    applied now, as `Seconds_Behind_Source` shows it [s].
    """

    backlog_s: Floats
    lag_s: Floats

    @property
    def worst_s(self) -> Floats:
        """Largest lag of each draw, shape (D,) [s]."""
        return np.asarray(self.lag_s.max(axis=-1))


@dataclass(frozen=True, slots=True)
class SupportDates:
    """Dates of a major version: end of standard support, first billed day, and what says so."""

    ends: dt.date
    billed_from: dt.date
    source: str


@dataclass(frozen=True, slots=True)
class SupportHours:
    """Extended Support billed in a period.

    ``vcpu_hours`` in its first two years and ``vcpu_hours_year_3`` after them, which cost more
    [vCPU h]; ``dates`` that were used.
    """

    vcpu_hours: float
    vcpu_hours_year_3: float
    dates: SupportDates


@dataclass(frozen=True, slots=True)
class OutgrownOn:
    """The first day on which a need exceeds what the largest class allows.

    ``limit`` exceeded by the largest ratio on that day, ``need`` its quantile, ``allowed``.
    """

    date: dt.date
    limit: str
    need: float
    allowed: float
    db_class: str

    @property
    def reason(self) -> str:
        """The day in words."""
        return (
            f"outgrows {self.db_class} on {self.date}: {self.need:,.6g} {self.limit}, "
            f"{self.allowed:,.6g} allowed"
        )


_RDS_DOC: Final = "Amazon RDS User Guide, *Using Amazon RDS Extended Support*"
SUPPORT_DATES: Final[Mapping[tuple[str, str], SupportDates]] = MappingProxyType(
    {
        ("mysql", "5.7"): SupportDates(dt.date(2024, 2, 29), dt.date(2024, 3, 1), _RDS_DOC),
        ("mysql", "8.0"): SupportDates(
            dt.date(2026, 7, 31),
            dt.date(2026, 8, 1),
            "second-hand: buttonmen-dev/buttonmen#3098; check it with "
            "describe-db-major-engine-versions",
        ),
        ("aurora-mysql", "5.7"): SupportDates(
            dt.date(2024, 10, 31),
            dt.date(2024, 12, 1),
            "Amazon Aurora User Guide, *Using Amazon RDS Extended Support*",
        ),
    }
)
"""(engine, major version) to dates, for versions whose dates were read."""


def apply_utilization(
    writes: npt.ArrayLike,
    *,
    apply_s_per_write: float,
    engine: Engine,
    appliers: int = 1,
) -> Floats:
    """Return how busy a replica's appliers are: ``writes · seconds per write / appliers``.

    At 1 and above the replica falls behind for as long as it lasts. One applier is one thread on
    one core whatever the class, so a larger class does not help; parallel appliers (by commit
    group) do. Readers of Aurora apply nothing: 0.

    Parameters
    ----------
    writes
        Writes of the writer, any shape [1/s].
    apply_s_per_write
        Time of one on an applier, waits for storage included [s].
    engine
        ``"mysql"`` or ``"aurora-mysql"``.
    appliers
        `replica_parallel_workers` that really run side by side.

    Examples
    --------
    >>> apply_utilization([1000, 2500], apply_s_per_write=0.0005, engine="mysql").tolist()
    [0.5, 1.25]
    """
    do = "Give a number without gaps."
    raise_any(
        [
            *number("writes", writes, do, least=0),
            *number("apply_s_per_write", apply_s_per_write, do, least=0),
            *whole("appliers", appliers),
        ]
    )
    busy = np.asarray(writes, dtype=np.float64) * (apply_s_per_write / appliers)
    return np.asarray(busy if engine_rules(engine).binlog else np.zeros_like(busy))


def replica_lag(utilization: npt.ArrayLike, *, step_s: float) -> ReplicaLag:
    """Return the lag of a replica along paths of its appliers' utilization.

    Formula: ``backlog' = max(0, backlog + (u - 1) · step)``; the lag is the time since the work
    applied so far had arrived.

    Parameters
    ----------
    utilization
        See :func:`apply_utilization`, shape (T,) or (D, T) [ratio].
    step_s
        Time from step to step [s].

    Returns
    -------
    ReplicaLag
        At the end of each step; it starts without a backlog.

    References
    ----------
    Lindley (1952), Proc. Camb. Phil. Soc. 48, 277-289 (the recursion of the backlog).

    Examples
    --------
    >>> spike = [0.5, 1.25, 1.25, 0.5, 0.5]
    >>> lag = replica_lag(spike, step_s=60)
    >>> lag.backlog_s.tolist(), lag.lag_s.tolist()
    ([[0.0, 15.0, 30.0, 0.0, 0.0]], [[0.0, 12.0, 24.0, 0.0, 0.0]])
    """
    busy = np.atleast_2d(np.asarray(utilization, dtype=np.float64))
    raise_any(
        [
            *number("utilization", busy, "Give ratios, without gaps.", least=0),
            *number("step_s", step_s, "Give seconds.", above=0),
        ]
    )
    work = (busy - 1.0) * step_s
    # The backlog is the walk's height above its lowest point so far (reflection at 0).
    walk = np.concatenate([np.zeros((len(busy), 1)), np.cumsum(work, axis=1)], axis=1)
    backlog = (walk - np.minimum.accumulate(walk, axis=1))[:, 1:]
    backlog[backlog < SLACK * step_s] = 0.0
    at = np.arange(busy.shape[1] + 1) * step_s
    arrived = np.concatenate([np.zeros((len(busy), 1)), np.cumsum(busy, axis=1)], axis=1) * step_s
    lag = np.zeros_like(backlog)
    for draw in np.flatnonzero(backlog.any(axis=1)):
        applied = arrived[draw, 1:] - backlog[draw]
        lag[draw] = at[1:] - np.interp(applied, arrived[draw], at)
    return ReplicaLag(backlog_s=backlog, lag_s=np.where(backlog > 0, lag, 0.0))


def warm_up_s(
    fill_gib: npt.ArrayLike,
    *,
    read_mib_per_s: npt.ArrayLike,
    misses_per_s: npt.ArrayLike | None = None,
) -> Floats:
    """Return how long a cold buffer pool takes to fill after a restart or a change of class.

    Formula: ``fill / min(read throughput to spare, misses · 16 KiB)``: pages come in as fast as
    storage reads them, and no faster than queries ask.

    Parameters
    ----------
    fill_gib
        The working set, at most the buffer pool, any shape [GiB].
    read_mib_per_s
        Throughput that storage has to spare [MiB/s].
    misses_per_s
        Reads that miss while it is cold; None: as many as storage serves (a prefetch) [1/s].

    Returns
    -------
    numpy.ndarray
        Seconds; inf where nothing is read.

    Examples
    --------
    >>> warm_up_s(96, read_mib_per_s=[125, 500]).tolist()
    [786.432, 196.608]
    >>> float(warm_up_s(96, read_mib_per_s=500, misses_per_s=3000))
    2097.152
    """
    do = "Give a number without gaps."
    raise_any(
        [
            *number("fill_gib", fill_gib, do, least=0),
            *number("read_mib_per_s", read_mib_per_s, do, least=0),
            *number("misses_per_s", 0 if misses_per_s is None else misses_per_s, do, least=0),
        ]
    )
    rate = np.asarray(read_mib_per_s, dtype=np.float64)
    if misses_per_s is not None:
        asked = np.asarray(misses_per_s, dtype=np.float64) * _PAGE_KIB / _KIB_PER_MIB
        rate = np.minimum(rate, asked)
    needed, rate = np.broadcast_arrays(np.asarray(fill_gib, dtype=np.float64) * 1024.0, rate)
    seconds = np.where(needed > 0, np.inf, 0.0)
    np.divide(needed, rate, out=seconds, where=(rate > 0) & (needed > 0))
    return seconds


def extended_support(  # noqa: PLR0913  a version, a fleet and a period
    engine: Engine,
    version: str,
    *,
    vcpu: float,
    instances: int,
    start: dt.date,
    end: dt.date,
    dates: SupportDates | None = None,
) -> SupportHours:
    """Return the vCPU-hours that a period bills as Extended Support.

    Formula: ``vcpu · instances · 24 · days`` from the first billed day on, two years at the first
    price and the rest at the third year's. A Multi-AZ instance counts its standby too: give it as
    an instance.

    Parameters
    ----------
    engine, version
        For example ``"mysql"``, ``"8.0"``.
    vcpu
        Of one instance [cores].
    instances
        Writer, readers and standby.
    start, end
        The period, its end exclusive.
    dates
        Dates of the version; None: the table's.

    Raises
    ------
    InputError
        For a version whose dates no table holds.

    Examples
    --------
    >>> import datetime as dt
    >>> year = {"start": dt.date(2026, 1, 1), "end": dt.date(2027, 1, 1)}
    >>> extended_support("mysql", "8.0", vcpu=16, instances=1, **year).vcpu_hours  # 153 days
    58752.0
    """
    engine_rules(engine)
    problems = [*number("vcpu", vcpu, "Give the class's.", above=0), *whole("instances", instances)]
    if end < start:
        problems.append(Problem("end", str(end), f"not before {start}", "Swap start and end."))
    raise_any(problems)
    known = dates or _dates_of(engine, version)
    third = _years_later(known.billed_from, _CHEAP_YEARS)
    per_day = vcpu * instances * 24.0
    early = (min(end, third) - max(start, known.billed_from)).days
    late = (end - max(start, third)).days
    return SupportHours(
        vcpu_hours=per_day * max(early, 0),
        vcpu_hours_year_3=per_day * max(late, 0),
        dates=known,
    )


def outgrown_on(
    needs: Mapping[str, npt.ArrayLike],
    *,
    allowed: Mapping[str, float],
    dates: Sequence[dt.date],
    db_class: str,
    quantile: float = 0.5,
    weights: npt.ArrayLike | None = None,
) -> OutgrownOn | None:
    """Return the first day on which a quantile of some need exceeds the largest class, if any.

    Parameters
    ----------
    needs
        Limit to need per draw and day, shape (D, T).
    allowed
        Limit to what the class allows, policy included, in the same unit.
    dates
        The days, T of them.
    db_class
        Name of the largest class, for the result.
    quantile
        Of the draws [ratio].
    weights
        Of the draws, shape (D,); None: equal.

    Raises
    ------
    InputError
        For a need without an allowance, or shapes that do not match the dates.

    Examples
    --------
    >>> import datetime as dt
    >>> found = outgrown_on(
    ...     {"cpu_cores": [[40, 44, 46]], "connections": [[4000, 4900, 5600]]},
    ...     allowed={"cpu_cores": 44.8, "connections": 5100},
    ...     dates=[dt.date(2026, 11, 25 + d) for d in range(3)],
    ...     db_class="db.r6g.16xlarge",
    ... )
    >>> found.reason
    'outgrows db.r6g.16xlarge on 2026-11-27: 5,600 connections, 5,100 allowed'
    """
    raise_any(number("quantile", quantile, "0.5 for P50.", above=0, below=1))
    draws_weights = None if weights is None else np.asarray(weights, dtype=np.float64)
    first: OutgrownOn | None = None
    ratio = 0.0
    for limit, values in needs.items():
        by_day = _by_day(limit, values, allowed=allowed, days=len(dates))
        levels = np.array([c[order_statistic(c, quantile, draws_weights)] for c in by_day.T])
        over = np.flatnonzero(levels > allowed[limit] + SLACK)
        if not len(over):
            continue
        need, day = float(levels[over[0]]), dates[int(over[0])]
        exceeded = need / allowed[limit] if allowed[limit] else np.inf
        if first is None or day < first.date or (day == first.date and exceeded > ratio):
            first = OutgrownOn(day, limit, need, float(allowed[limit]), db_class)
            ratio = exceeded
    return first


def _dates_of(engine: Engine, version: str) -> SupportDates:
    known = SUPPORT_DATES.get((engine, version))
    if known is not None:
        return known
    raise InputError.of(
        "version",
        got=f'"{engine} {version}"',
        expected=", ".join(f"{e} {v}" for e, v in SUPPORT_DATES),
        do="Give its dates: SupportDates(ends, billed_from, source).",
    )


def _by_day(
    limit: str, values: npt.ArrayLike, *, allowed: Mapping[str, float], days: int
) -> Floats:
    by_day = np.atleast_2d(np.asarray(values, dtype=np.float64))
    if limit not in allowed or by_day.shape[1] != days:
        got = f"shape {by_day.shape}" if limit in allowed else "no allowance"
        raise InputError.of(
            f"needs[{limit}]",
            got=got,
            expected=f"draws x {days} days, and an allowance in `allowed`",
            do="Align needs, allowed and dates.",
        )
    return by_day


def _years_later(day: dt.date, years: int) -> dt.date:
    leap_day = (2, 29)
    if (day.month, day.day) == leap_day:
        return dt.date(day.year + years, 3, 1)
    return day.replace(year=day.year + years)
