"""What a database's callers hold: threads, pools, connections and their memory, replicas.

This module answers: given rates of queries, reads and writes, how many threads run, how many
connections are needed and allowed, and what do replicas carry? Its pages and bytes are
:mod:`capmodel.usage.database_io`'s, its storage :mod:`capmodel.usage.storage`'s, which resource
binds is :mod:`capmodel.usage.binding`'s, and lines fitted to measurements are
:class:`capmodel.usage.RobustLinear`'s.

Connections that pools may open (pods × processes × pool size, with the surge of a rollout) are
counted where their limit is held: :func:`capmodel.capacity.databases.connection_use`.
"""

from __future__ import annotations

import math
from typing import Annotated, Final

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field

from capmodel.errors import InputError
from capmodel.laws.arguments import number, raise_any, whole
from capmodel.laws.erlang import min_servers

__all__ = [
    "ConnectionBuffers",
    "aurora_mysql_max_connections",
    "connection_memory_mib",
    "min_replicas",
    "pool_size",
    "rds_mysql_max_connections",
    "replica_utilization",
    "threads_running",
    "writer_bound_x",
]

Floats = npt.NDArray[np.float64]

_GIB: Final = 2.0**30
_EXACT: Final = 1e-9
"""A count that exceeds a whole number by less is that whole number."""

_RATE: Final = "Give a rate in queries per second, without gaps."
_TIME: Final = "Give a mean time in seconds, without gaps."
_RATIO: Final = "Give a ratio, not percent: 0.4 for 40 %."
_FORMULA: Final = "Take it from the parameter group's formula."


class ConnectionBuffers(BaseModel):
    """Buffers of one MySQL connection, by the names of their variables; defaults of MySQL 8.0.

    References
    ----------
    MySQL 8.0 Reference Manual, 5.1.8 Server System Variables and 8.12.3.1 How MySQL Uses Memory.

    Examples
    --------
    >>> ConnectionBuffers(sort_buffer_kib=2048).sort_buffer_kib
    2048.0
    """

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    thread_stack_kib: Annotated[float, Field(ge=0)] = 1024.0
    """Stack of the connection's thread (280 KiB before 8.0.27) [KiB]."""
    net_buffer_kib: Annotated[float, Field(ge=0)] = 16.0
    """``net_buffer_length``: connection buffer and result buffer begin with it, each [KiB]."""
    sort_buffer_kib: Annotated[float, Field(ge=0)] = 256.0
    """``sort_buffer_size`` [KiB]."""
    join_buffer_kib: Annotated[float, Field(ge=0)] = 256.0
    """``join_buffer_size`` [KiB]."""
    read_buffer_kib: Annotated[float, Field(ge=0)] = 128.0
    """``read_buffer_size`` [KiB]."""
    read_rnd_buffer_kib: Annotated[float, Field(ge=0)] = 256.0
    """``read_rnd_buffer_size`` [KiB]."""
    tmp_table_kib: Annotated[float, Field(ge=0)] = 16_384.0
    """``tmp_table_size``, of one in-memory temporary table [KiB]."""
    binlog_cache_kib: Annotated[float, Field(ge=0)] = 32.0
    """``binlog_cache_size`` [KiB]."""


def threads_running(qps: npt.ArrayLike, latency_s: npt.ArrayLike) -> Floats:
    """Return the statements that run at once, by Little's law: ``L = X · R``.

    Rising threads at a flat rate are the signal of saturation: then it is R that grows.

    Parameters
    ----------
    qps
        Queries completed, any shape [1/s].
    latency_s
        Their mean latency in the database, broadcastable to `qps` [s].

    Returns
    -------
    numpy.ndarray
        Mean of ``Threads_running`` [threads].

    Raises
    ------
    InputError
        For negative or infinite numbers.

    References
    ----------
    Little, J. D. C. (1961), Operations Research 9, 383–387.

    Examples
    --------
    >>> threads_running([5_000, 20_000, 800], [0.004, 0.0015, 0.025]).round(9).tolist()
    [20.0, 30.0, 20.0]
    """
    raise_any(
        [*number("qps", qps, _RATE, least=0), *number("latency_s", latency_s, _TIME, least=0)]
    )
    return _array(qps) * _array(latency_s)


def pool_size(
    qps: float, holding_s: float, *, pods: float = 1.0, wait_probability: float = 0.01
) -> int:
    """Return the connections that each pod's pool needs: Erlang C on the busy demand of one pod.

    Busy demand per pod is ``a = qps · holding_s / pods``; the pool is the smallest c whose
    probability that a query waits for a connection, C(c, a), is within the one asked for. Many
    small pools need more connections together than one large one.

    Parameters
    ----------
    qps
        Queries, or transactions, of all pods [1/s].
    holding_s
        Mean time that one holds a connection, idle time between its statements included [s].
    pods
        Pods that share the load evenly [pods].
    wait_probability
        Allowed probability of waiting for a connection [ratio], in (0, 1).

    Returns
    -------
    int
        Connections per pod, at least 1.

    Raises
    ------
    InputError
        For negative rates or times, no pods, or a probability outside (0, 1).

    References
    ----------
    Erlang, A. K. (1917); Kleinrock, L. (1975), *Queueing Systems* 1, equation 3.40.

    Examples
    --------
    >>> pool_size(5_000, 0.004), 10 * pool_size(5_000, 0.004, pods=10)
    (32, 70)
    """
    raise_any(
        [
            *number("qps", qps, _RATE, least=0),
            *number("holding_s", holding_s, _TIME, least=0),
            *number("pods", pods, "Give the pods that share the load.", above=0),
            *number("wait_probability", wait_probability, _RATIO, above=0, below=1),
        ]
    )
    return min_servers(qps * holding_s / pods, wait_probability=wait_probability)


def rds_mysql_max_connections(
    memory_gib: npt.ArrayLike, *, bytes_per_connection: float = 12_582_880.0
) -> Floats:
    """Return the default ``max_connections`` of RDS MySQL: ``memory / bytes_per_connection``.

    `memory_gib` is the class's memory less what the instance reserves for itself, so the full
    memory of a class gives an upper bound. The server takes the integer part.

    Parameters
    ----------
    memory_gib
        ``DBInstanceClassMemory``, any shape [GiB].
    bytes_per_connection
        The divisor of the parameter group [bytes].

    Returns
    -------
    numpy.ndarray
        Connections, not rounded.

    Raises
    ------
    InputError
        For memory or a divisor that is not positive.

    References
    ----------
    Amazon RDS User Guide, Quotas and constraints: maximum number of database connections.

    Examples
    --------
    >>> rds_mysql_max_connections([1, 8, 16, 64]).round(2).tolist()
    [85.33, 682.67, 1365.34, 5461.35]
    """
    raise_any(
        [
            *number("memory_gib", memory_gib, "Give the memory of the class in GiB.", above=0),
            *number("bytes_per_connection", bytes_per_connection, _FORMULA, above=0),
        ]
    )
    return _array(memory_gib) * _GIB / bytes_per_connection


def aurora_mysql_max_connections(
    memory_gib: npt.ArrayLike,
    *,
    small_bytes: float = 805_306_368.0,
    small_step: float = 45.0,
    large_bytes: float = 8_187_281_408.0,
    large_step: float = 1_000.0,
) -> Floats:
    """Return the default ``max_connections`` of Aurora MySQL, which grows by doublings of memory.

    Formula: ``max(small_step · log2(m / small_bytes), large_step · log2(m / large_bytes))``. As
    for RDS, m is memory less the instance's own reservation. Where the engine's table states a
    default for the class (:mod:`capmodel.catalog`) the table wins: for the 12xlarge classes it says
    6,000, this formula 5,654.

    Parameters
    ----------
    memory_gib
        ``DBInstanceClassMemory``, any shape [GiB]; above `small_bytes`.
    small_bytes, large_bytes
        Memory at which each branch is 0 [bytes].
    small_step, large_step
        Connections gained by each doubling of memory.

    Returns
    -------
    numpy.ndarray
        Connections, not rounded.

    Raises
    ------
    InputError
        For memory at or below `small_bytes`, where the formula is not positive.

    References
    ----------
    Amazon Aurora User Guide, Maximum connections to an Aurora MySQL DB instance.

    Examples
    --------
    >>> aurora_mysql_max_connections([8, 16, 32]).round(2).tolist()
    [153.68, 1069.26, 2069.26]
    """
    branches = {
        "small_bytes": small_bytes,
        "small_step": small_step,
        "large_bytes": large_bytes,
        "large_step": large_step,
    }
    raise_any([problem for k, v in branches.items() for problem in number(k, v, _FORMULA, above=0)])
    do = "Give the memory of the class in GiB; the default begins above this, or declare it."
    raise_any(number("memory_gib", memory_gib, do, above=small_bytes / _GIB))
    memory = _array(memory_gib) * _GIB
    small = small_step * np.log2(memory / small_bytes)
    return np.maximum(small, large_step * np.log2(memory / large_bytes))


def connection_memory_mib(
    buffers: ConnectionBuffers, *, in_use_x: float, tmp_tables_x: float
) -> float:
    """Return the memory that one connection takes, from the buffers it allocates.

    Formula: ``thread_stack + 2 net_buffer + (sort + join + read + read_rnd) · in_use_x +
    tmp_table · tmp_tables_x + binlog_cache``. With both factors 0 it is an idle connection. The sum
    of all maxima is no planning value: measure, with ``memory_summary_global_by_event_name`` or a
    line of memory on connections, and use this to see what the measured value may grow to.

    Parameters
    ----------
    buffers
        Sizes of the buffers.
    in_use_x
        Share of connections that have their query buffers allocated [ratio]; above 1 where one
        query joins or sorts several times.
    tmp_tables_x
        In-memory temporary tables at full size per connection [ratio].

    Returns
    -------
    float
        Memory [MiB].

    Raises
    ------
    InputError
        For negative factors.

    References
    ----------
    MySQL 8.0 Reference Manual, 8.12.3.1 How MySQL Uses Memory.

    Examples
    --------
    >>> connection_memory_mib(ConnectionBuffers(), in_use_x=0, tmp_tables_x=0)
    1.0625
    """
    do = "Give a number per connection: 0.1 for one connection in ten."
    raise_any(
        [
            *number("in_use_x", in_use_x, do, least=0),
            *number("tmp_tables_x", tmp_tables_x, do, least=0),
        ]
    )
    query = (
        buffers.sort_buffer_kib
        + buffers.join_buffer_kib
        + buffers.read_buffer_kib
        + buffers.read_rnd_buffer_kib
    )
    idle = buffers.thread_stack_kib + 2 * buffers.net_buffer_kib + buffers.binlog_cache_kib
    return (idle + query * in_use_x + buffers.tmp_table_kib * tmp_tables_x) / 1024


def replica_utilization(
    writes: npt.ArrayLike, reads: npt.ArrayLike, *, replicas: npt.ArrayLike, apply_x: float
) -> Floats:
    """Return the utilization of each replica: ``apply_x · writes + reads / replicas``.

    Every replica repeats all writes, so replicas never add write capacity.

    Parameters
    ----------
    writes
        Utilization of the writer by its writes alone, any shape [ratio].
    reads
        Utilization that all offloaded reads would cause on one replica [ratio].
    replicas
        Replicas that serve; to survive the loss or the promotion of one, pass one fewer.
    apply_x
        Cost of applying a write over the cost of executing it on the writer [ratio].

    Returns
    -------
    numpy.ndarray
        Utilization [ratio].

    Raises
    ------
    InputError
        For negative numbers or no replicas.

    Examples
    --------
    >>> replica_utilization(0.4, 1.2, replicas=[3, 2], apply_x=0.5).round(3).tolist()
    [0.6, 0.8]
    """
    raise_any(
        [
            *number("writes", writes, _RATIO, least=0),
            *number("reads", reads, _RATIO, least=0),
            *number("replicas", replicas, "With none, the writer serves the reads.", above=0),
            *number("apply_x", apply_x, _RATIO, least=0),
        ]
    )
    return apply_x * _array(writes) + _array(reads) / _array(replicas)


def min_replicas(
    writes: float, reads: float, *, apply_x: float, policy_x: float, spare: int = 1
) -> int | None:
    """Return the fewest replicas that stay within policy when `spare` of them are gone.

    Formula: ``ceil(reads / (policy_x − apply_x · writes)) + spare``, at least one serving.

    Parameters
    ----------
    writes, reads, apply_x
        As for :func:`replica_utilization`.
    policy_x
        Allowed utilization of a replica [ratio].
    spare
        Replicas lost or promoted.

    Returns
    -------
    int or None
        Replicas; None when applying the writes leaves nothing for reads, whatever their number.

    Raises
    ------
    InputError
        For negative numbers, or a policy that is not positive.

    Examples
    --------
    >>> min_replicas(0.4, 1.2, apply_x=0.5, policy_x=0.6)
    4
    >>> min_replicas(0.9, 1.2, apply_x=0.8, policy_x=0.6) is None
    True
    """
    raise_any(
        [
            *number("writes", writes, _RATIO, least=0),
            *number("reads", reads, _RATIO, least=0),
            *number("apply_x", apply_x, _RATIO, least=0),
            *number("policy_x", policy_x, _RATIO, above=0),
            *whole("spare", spare, least=0),
        ]
    )
    left = policy_x - apply_x * writes
    if left < -_EXACT or (left <= _EXACT and reads > 0):
        return None
    serving = math.ceil(reads / left - _EXACT) if reads > 0 else 1
    return max(serving, 1) + spare


def writer_bound_x(
    writes: npt.ArrayLike,
    *,
    policy_x: float,
    idle: npt.ArrayLike = 0.0,
    reads_kept: npt.ArrayLike = 0.0,
) -> Floats:
    """Return the multiple of today's load at which the writer alone reaches its policy.

    Formula: ``(policy_x − idle) / (writes + reads_kept)``: reads can move to replicas; writes,
    reads after writes and their locks cannot, so no number of replicas lifts this bound.

    Parameters
    ----------
    writes
        Utilization of the writer by its writes today, any shape [ratio].
    policy_x
        Allowed utilization of the writer [ratio].
    idle
        Utilization without load [ratio].
    reads_kept
        Utilization by the reads that must stay [ratio].

    Returns
    -------
    numpy.ndarray
        Load over today's load [ratio]; infinite where nothing is written or kept.

    Raises
    ------
    InputError
        For negative numbers, or a writer that is over its policy when idle.

    Examples
    --------
    >>> float(writer_bound_x(0.25, policy_x=0.7, idle=0.05, reads_kept=0.075).round(6))
    2.0
    """
    raise_any(
        [
            *number("writes", writes, _RATIO, least=0),
            *number("policy_x", policy_x, _RATIO, above=0),
            *number("idle", idle, _RATIO, least=0),
            *number("reads_kept", reads_kept, _RATIO, least=0),
        ]
    )
    if np.any(_array(idle) >= policy_x):
        raise InputError.of(
            "idle",
            got=f"{float(np.max(_array(idle))):g}",
            expected=f"below policy_x = {policy_x:g}",
            do="Check the background of the fit: an idle writer should not fill its policy.",
        )
    load = _array(writes) + _array(reads_kept)
    room = policy_x - _array(idle)
    return np.asarray(np.where(load > 0, room / np.where(load > 0, load, 1.0), np.inf))


def _array(values: npt.ArrayLike) -> Floats:
    return np.asarray(values, dtype=np.float64)
