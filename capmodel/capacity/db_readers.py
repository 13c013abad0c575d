"""Writer and readers of a MySQL server: which work is whose, and how many readers hold it.

This module answers: what do queries ask of the writer and of the hottest reader, and how many
readers hold a read load? What failures leave is `db_failures`.
RDS and Aurora differ: an RDS replica repeats every write from the binlog on its own volume, an
Aurora reader shares the writer's volume and only refreshes its cache.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Annotated, Final

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field

from capmodel.capacity.db_connections import Engine
from capmodel.capacity.replicas import ceil_units
from capmodel.errors import InputError
from capmodel.laws.arguments import number, raise_any, whole

__all__ = [
    "MAX_READERS",
    "DbCosts",
    "DbUsage",
    "EngineRules",
    "ReaderNeed",
    "active_sessions",
    "engine_rules",
    "reader_usage",
    "readers_needed",
    "writer_usage",
]

Floats = npt.NDArray[np.float64]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]

MAX_READERS: Final = 15
"""Most readers of one writer, RDS and Aurora alike (RDS and Aurora User Guides)."""

_GBIT_PER_KIB: Final = 1024 * 8 / 1e9
_MIB_PER_KIB: Final = 1 / 1024


@dataclass(frozen=True, slots=True)
class EngineRules:
    """What differs between the engines.

    ``apply_x`` the writer's write CPU that a reader repeats when nothing is declared (a prior,
    basis ``assumed``; published figures for binlog replicas run from 0.3 to 1.0) [ratio];
    ``apply_ios_x`` the writer's write operations that a reader repeats [ratio]; ``own_volume``
    whether an instance has a volume with limits of its own; ``binlog`` whether readers fetch the
    writer's log over its network.
    """

    apply_x: float
    apply_ios_x: float
    own_volume: bool
    binlog: bool


_RULES: Final[Mapping[str, EngineRules]] = MappingProxyType(
    {
        "mysql": EngineRules(apply_x=0.5, apply_ios_x=1.0, own_volume=True, binlog=True),
        "aurora-mysql": EngineRules(apply_x=0.0, apply_ios_x=0.0, own_volume=False, binlog=False),
    }
)


class DbCosts(BaseModel):
    """What one query costs the server."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    idle: NonNegative = 0.0
    """Cores without traffic, of every instance [cores]."""
    per_read: NonNegative
    """Core-seconds of a read query [cores s]."""
    per_write: NonNegative
    """Core-seconds of a write query [cores s]."""
    apply_x: Annotated[float, Field(ge=0, le=1)] | None = None
    """Write CPU that every reader repeats, of the writer's [ratio]; None: the engine's prior."""
    read_ios: NonNegative = 0.0
    """Pages read from storage per read query, with a warm cache [operations]."""
    write_ios: NonNegative = 0.0
    """Operations on storage per write query: log, flushes, doublewrite [operations]."""
    read_io_kib: Annotated[float, Field(gt=0)] = 16.0
    """Size of a read operation: an InnoDB page [KiB]."""
    write_io_kib: Annotated[float, Field(gt=0)] = 16.0
    """Mean size of a write operation [KiB]."""
    miss_core_s: NonNegative = 0.0
    """Extra CPU of a page read from storage, above a warm query's [cores s]."""
    read_net_kib: NonNegative = 0.0
    """Bytes that a read query sends to its client [KiB]."""
    write_net_kib: NonNegative = 0.0
    """Bytes of a write query, and of its binlog to each replica [KiB]."""


@dataclass(frozen=True, slots=True, eq=False)
class DbUsage:
    """What one instance uses, each of the shape of the load.

    ``cpu_cores`` busy [cores], ``iops`` [1/s], ``throughput_mib`` to its volume [MiB/s],
    ``network_gbps`` [Gbit/s]; an Aurora instance reaches its storage over the network.
    """

    cpu_cores: Floats
    iops: Floats
    throughput_mib: Floats
    network_gbps: Floats


@dataclass(frozen=True, slots=True, eq=False)
class ReaderNeed:
    """Readers per draw.

    ``readers`` whole, failures included; ``continuous`` those that must serve, before rounding;
    ``infeasible`` where applying the writes alone exceeds the allowance (``inf``), or more than
    15 readers would be needed (the number is kept).
    """

    readers: Floats
    continuous: Floats
    infeasible: npt.NDArray[np.bool_]


def engine_rules(engine: Engine) -> EngineRules:
    """Return the rules of an engine.

    Raises
    ------
    InputError
        For another engine.

    Examples
    --------
    >>> engine_rules("mysql").apply_x, engine_rules("aurora-mysql").own_volume
    (0.5, False)
    """
    if engine not in _RULES:
        raise InputError.of(
            "engine",
            got=f'"{engine}"',
            expected=" or ".join(f'"{name}"' for name in _RULES),
            do="Correct the engine; serverless and other engines have other rules.",
        )
    return _RULES[engine]


def active_sessions(
    qps: npt.ArrayLike, *, core_s: npt.ArrayLike, idle: npt.ArrayLike = 0.0
) -> Floats:
    """Return average active sessions on CPU: ``idle + qps · core-seconds per query``.

    It is what `DBLoadCPU` shows; a server holds it while it is at most the policy's share of vCPU.

    Parameters
    ----------
    qps
        Queries, any shape [1/s].
    core_s
        CPU time of one [cores s].
    idle
        Sessions of the server itself [cores].

    References
    ----------
    Amazon RDS User Guide, *Database load* (average active sessions against max vCPU).

    Examples
    --------
    >>> float(active_sessions(6000, core_s=0.00156, idle=0.4).round(3))
    9.76
    """
    do = "Give a number without gaps."
    raise_any([p for n, v in (("qps", qps), ("core_s", core_s)) for p in number(n, v, do, least=0)])
    return np.asarray(np.asarray(idle, dtype=np.float64) + np.multiply(qps, core_s))


def writer_usage(  # noqa: PLR0913  two loads, three choices of who serves them
    reads: npt.ArrayLike,
    writes: npt.ArrayLike,
    *,
    costs: DbCosts,
    engine: Engine,
    readers: int,
    reads_on_readers: float,
    miss_x: float = 1.0,
) -> DbUsage:
    """Return what the writer uses.

    Formula: reads of its own ``R' = reads · (1 - share)``, all of them where no reader serves;
    ``cores = idle + per_read R' + per_write W + miss_core_s (miss_x - 1) read_ios R'``;
    ``iops = miss_x · read_ios R' + write_ios W``.

    Parameters
    ----------
    reads, writes
        Queries of all callers, any shape [1/s].
    costs
        What a query costs.
    engine
        Its rules: RDS sends its binlog to every replica; Aurora's storage is the network's.
    readers
        Readers that serve.
    reads_on_readers
        Share of reads sent to them [ratio].
    miss_x
        Factor on misses of a cold cache, see `db_failures.cold_miss_x` [ratio].

    Examples
    --------
    >>> costs = DbCosts(per_read=0.001, per_write=0.002, idle=0.5)
    >>> use = writer_usage(1000, 100, costs=costs, engine="mysql", readers=2, reads_on_readers=0.75)
    >>> float(use.cpu_cores.round(6))
    0.95
    """
    _check_load(reads, writes, readers=readers, share=reads_on_readers, miss_x=miss_x)
    rules = engine_rules(engine)
    own = np.asarray(reads, dtype=np.float64) * (1.0 - (reads_on_readers if readers else 0.0))
    written = np.asarray(writes, dtype=np.float64)
    copies = readers if rules.binlog else 0
    network = costs.read_net_kib * own + costs.write_net_kib * written * (1 + copies)
    return _usage(
        own,
        cpu=costs.per_write * written,
        ios=costs.write_ios * written,
        network_kib=network,
        costs=costs,
        rules=rules,
        miss_x=miss_x,
    )


def reader_usage(  # noqa: PLR0913  two loads, three choices of who serves them
    reads: npt.ArrayLike,
    writes: npt.ArrayLike,
    *,
    costs: DbCosts,
    engine: Engine,
    readers: int,
    reads_on_readers: float,
    skew_x: float = 1.0,
    miss_x: float = 1.0,
) -> DbUsage:
    """Return what the hottest reader uses.

    Formula: its reads ``R' = skew · reads · share / readers``; ``cores = idle + per_read R' +
    apply_x per_write W``: every reader repeats *all* writes, so readers never add write capacity.

    Parameters
    ----------
    reads, writes, costs, engine, readers, reads_on_readers, miss_x
        As in :func:`writer_usage`; `readers` is at least 1.
    skew_x
        Hottest reader / mean reader, see `db_failures.dns_skew_x` [ratio].

    Examples
    --------
    >>> costs = DbCosts(per_read=0.001, per_write=0.002)
    >>> of = {"costs": costs, "readers": 2, "reads_on_readers": 0.8}
    >>> float(reader_usage(5000, 500, engine="mysql", **of).cpu_cores)  # 2.0 of reads + 0.5 applied
    2.5
    >>> float(reader_usage(5000, 500, engine="aurora-mysql", **of).cpu_cores)
    2.0
    """
    _check_load(reads, writes, readers=readers, share=reads_on_readers, miss_x=miss_x)
    raise_any([*whole("readers", readers), *number("skew_x", skew_x, "Hottest / mean.", least=1)])
    rules = engine_rules(engine)
    own = np.asarray(reads, dtype=np.float64) * (skew_x * reads_on_readers / readers)
    written = np.asarray(writes, dtype=np.float64)
    return _usage(
        own,
        cpu=_apply_x(costs, rules) * costs.per_write * written,
        ios=rules.apply_ios_x * costs.write_ios * written,
        network_kib=costs.read_net_kib * own + costs.write_net_kib * written,
        costs=costs,
        rules=rules,
        miss_x=miss_x,
    )


def readers_needed(  # noqa: PLR0913  a load, a class and a promise
    reads: npt.ArrayLike,
    writes: npt.ArrayLike,
    *,
    costs: DbCosts,
    engine: Engine,
    vcpu: float,
    allowed_x: float,
    lost: int = 0,
    skew_x: float = 1.0,
) -> ReaderNeed:
    """Return the readers whose hottest one stays within its allowance after a loss.

    Formula: ``n = ceil(skew · per_read · R / (allowed · vcpu - idle - apply_x · per_write · W)) +
    lost``.

    Parameters
    ----------
    reads
        Reads that the readers serve together, any shape [1/s].
    writes
        Writes of the writer, which every reader repeats, broadcastable [1/s].
    costs, engine
        What a query costs, and whose rules hold.
    vcpu
        Of a reader's class [cores].
    allowed_x
        The hold row's share of it [ratio].
    lost
        Readers that fail at once [readers].
    skew_x
        Hottest / mean [ratio].

    Examples
    --------
    >>> costs = DbCosts(per_read=0.001, per_write=0.002)
    >>> need = readers_needed(
    ...     [20_000, 0], 500, costs=costs, engine="mysql", vcpu=8, allowed_x=0.7, lost=1
    ... )
    >>> need.readers.tolist()  # 20 cores of reads over 5.6 - 0.5 of room: 4, and one to lose
    [5.0, 0.0]
    """
    _check_load(reads, writes, readers=lost, share=0.0, miss_x=1.0)
    do = "Correct it."
    raise_any(
        [
            *number("vcpu", vcpu, do, above=0),
            *number("allowed_x", allowed_x, do, above=0, most=1),
            *number("skew_x", skew_x, do, least=1),
        ]
    )
    busy = skew_x * costs.per_read * np.asarray(reads, dtype=np.float64)
    apply = _apply_x(costs, engine_rules(engine)) * costs.per_write
    room = allowed_x * vcpu - costs.idle - apply * np.asarray(writes, dtype=np.float64)
    busy, room = np.broadcast_arrays(busy, room)
    serving = np.where(busy > 0, np.inf, 0.0)
    np.divide(busy, room, out=serving, where=(room > 0) & (busy > 0))
    total = np.where(serving > 0, ceil_units(serving) + lost, 0.0)
    return ReaderNeed(readers=total, continuous=serving, infeasible=total > MAX_READERS)


def _apply_x(costs: DbCosts, rules: EngineRules) -> float:
    return rules.apply_x if costs.apply_x is None else costs.apply_x


def _usage(  # noqa: PLR0913  the parts of one sum
    own: Floats,
    *,
    cpu: Floats,
    ios: Floats,
    network_kib: Floats,
    costs: DbCosts,
    rules: EngineRules,
    miss_x: float,
) -> DbUsage:
    misses = costs.read_ios * own
    cores = costs.idle + costs.per_read * own + cpu + costs.miss_core_s * (miss_x - 1.0) * misses
    storage_kib = costs.read_io_kib * miss_x * misses + costs.write_io_kib * ios
    over_network = network_kib if rules.own_volume else network_kib + storage_kib
    return DbUsage(
        cpu_cores=np.asarray(cores),
        iops=np.asarray(miss_x * misses + ios),
        throughput_mib=np.asarray(storage_kib * _MIB_PER_KIB),
        network_gbps=np.asarray(over_network * _GBIT_PER_KIB),
    )


def _check_load(
    reads: npt.ArrayLike, writes: npt.ArrayLike, *, readers: int, share: float, miss_x: float
) -> None:
    do = "Give a rate per second, without gaps."
    raise_any(
        [
            *number("reads", reads, do, least=0),
            *number("writes", writes, do, least=0),
            *whole("readers", readers, least=0),
            *number("reads_on_readers", share, "Give a ratio in [0, 1].", least=0, most=1),
            *number("miss_x", miss_x, "A cold cache misses more, not less.", least=1),
        ]
    )
