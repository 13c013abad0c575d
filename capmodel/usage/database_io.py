"""What a database reads and writes: misses, log bytes, flushes, syncs, operations of the device.

This module answers: given logical reads and writes per second, how much does the device do? Misses
are the quantity that is modelled, never the hit ratio, which looks the same at ten times the reads.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from capmodel.errors import InputError
from capmodel.laws.arguments import number, raise_any, whole

__all__ = [
    "buffer_pool_misses",
    "flush_iops",
    "fsyncs_per_s",
    "io_per_s",
    "log_mib_per_s",
    "miss_ratio_bound",
]

Floats = npt.NDArray[np.float64]

_MIB: Final = 2.0**20
_EXACT: Final = 1e-9

_RATE: Final = "Give a rate per second, without gaps."
_BYTES: Final = "Give a mean size, without gaps."
_SIZE: Final = "Give a size in GiB."
_RATIO: Final = "Give a ratio, not percent: 0.99 for 99 %."
_MEAN: Final = "Give a mean count: 1 when there is no grouping."


def buffer_pool_misses(
    logical_reads_per_s: npt.ArrayLike, *, hit_ratio: npt.ArrayLike, miss_x: npt.ArrayLike = 1.0
) -> Floats:
    """Return reads that miss the buffer pool: ``logical reads · (1 − hit_ratio) · miss_x``.

    A miss reads one page, so this is also read IOPS without read-ahead. Misses are what to model:
    a hit ratio of .999 against .99 looks like nothing and is ten times the reads.

    Parameters
    ----------
    logical_reads_per_s
        ``Innodb_buffer_pool_read_requests`` as a rate, any shape [1/s].
    hit_ratio
        Share of them found in the pool [ratio].
    miss_x
        A scenario's factor on misses, for a working set that outgrew the pool or a cold one
        [ratio].

    Returns
    -------
    numpy.ndarray
        Misses, ``Innodb_buffer_pool_reads`` as a rate [1/s].

    Raises
    ------
    InputError
        For a hit ratio outside [0, 1], or a factor with which more than every read would miss.

    Examples
    --------
    >>> buffer_pool_misses([1e5, 1e5, 7e5], hit_ratio=[0.999, 0.99, 0.995]).round(6).tolist()
    [100.0, 1000.0, 3500.0]
    """
    raise_any(
        [
            *number("logical_reads_per_s", logical_reads_per_s, _RATE, least=0),
            *number("hit_ratio", hit_ratio, _RATIO, least=0, most=1),
            *number("miss_x", miss_x, "Give a factor: 1 changes nothing.", least=0),
        ]
    )
    share = (1.0 - _array(hit_ratio)) * _array(miss_x)
    if np.any(share > 1 + _EXACT):
        raise InputError.of(
            "miss_x",
            got=f"a miss ratio of {float(np.max(share)):.3g} after the factor",
            expected="at most 1: no read misses twice",
            do="Lower miss_x, or give the scenario's own hit_ratio.",
        )
    return _array(logical_reads_per_s) * share


def miss_ratio_bound(buffer_pool_gib: npt.ArrayLike, working_set_gib: npt.ArrayLike) -> Floats:
    """Return the largest miss ratio of a pool that holds part of its working set.

    Formula: ``1 − buffer_pool / working_set``, at least 0: independent reads, every page asked for
    equally often. Any skew misses less, so it bounds a scenario and predicts no measured ratio.
    Scans that go round a table larger than the pool are no independent reads: they miss every page.

    Parameters
    ----------
    buffer_pool_gib, working_set_gib
        Sizes, broadcastable to each other [GiB].

    Returns
    -------
    numpy.ndarray
        Miss ratio [ratio].

    Raises
    ------
    InputError
        For a negative pool or a working set that is not positive.

    References
    ----------
    King, W. F. (1971), Analysis of demand paging algorithms, IFIP Congress (independent reference
    model).

    Examples
    --------
    >>> miss_ratio_bound(96, [64, 100, 120]).round(3).tolist()
    [0.0, 0.04, 0.2]
    """
    raise_any(
        [
            *number("buffer_pool_gib", buffer_pool_gib, _SIZE, least=0),
            *number("working_set_gib", working_set_gib, _SIZE, above=0),
        ]
    )
    return np.asarray(np.maximum(1.0 - _array(buffer_pool_gib) / _array(working_set_gib), 0.0))


def log_mib_per_s(writes_per_s: npt.ArrayLike, *, bytes_per_write: npt.ArrayLike) -> Floats:
    """Return bytes of redo, or of binlog: ``Σ writes · bytes_per_write``, for one class of writes.

    Bytes per write are the slope of ``Innodb_os_log_written`` (redo), or of the binlog's size, on
    writes; classes add.

    Parameters
    ----------
    writes_per_s
        Row changes or write statements, as the slope was fitted, any shape [1/s].
    bytes_per_write
        Log bytes of one [bytes].

    Returns
    -------
    numpy.ndarray
        Log written [MiB/s].

    Raises
    ------
    InputError
        For negative or infinite numbers.

    Examples
    --------
    >>> float(log_mib_per_s(2_048, bytes_per_write=1_024))
    2.0
    """
    raise_any(
        [
            *number("writes_per_s", writes_per_s, _RATE, least=0),
            *number("bytes_per_write", bytes_per_write, _BYTES, least=0),
        ]
    )
    return _array(writes_per_s) * _array(bytes_per_write) / _MIB


def flush_iops(
    redo_mib_per_s: npt.ArrayLike,
    *,
    redo_bytes_per_change: float,
    changes_per_flush: float = 1.0,
    doublewrite_x: float = 2.0,
) -> Floats:
    """Return writes that flush dirty pages, from the redo that made them dirty.

    Formula: ``redo bytes / redo_bytes_per_change / changes_per_flush · doublewrite_x``. With one
    change per flush it is the upper bound: a page changed again before its flush is written once.

    Parameters
    ----------
    redo_mib_per_s
        Redo written, any shape [MiB/s].
    redo_bytes_per_change
        Mean redo of one page change [bytes].
    changes_per_flush
        Mean changes of a page between two flushes, at least 1.
    doublewrite_x
        Times a page is written: 2 with the doublewrite buffer, 1 without.

    Returns
    -------
    numpy.ndarray
        Page writes [1/s].

    Raises
    ------
    InputError
        For negative redo, or fewer than one change per flush or write per page.

    References
    ----------
    MySQL 8.0 Reference Manual, 15.6.4 Doublewrite Buffer.

    Examples
    --------
    >>> float(flush_iops(1.0, redo_bytes_per_change=512.0))
    4096.0
    """
    raise_any(
        [
            *number("redo_mib_per_s", redo_mib_per_s, _RATE, least=0),
            *number("redo_bytes_per_change", redo_bytes_per_change, _BYTES, above=0),
            *number("changes_per_flush", changes_per_flush, _MEAN, least=1),
            *number("doublewrite_x", doublewrite_x, _MEAN, least=1),
        ]
    )
    changes = _array(redo_mib_per_s) * _MIB / redo_bytes_per_change
    return changes / changes_per_flush * doublewrite_x


def fsyncs_per_s(commits_per_s: npt.ArrayLike, *, group_size: npt.ArrayLike, logs: int) -> Floats:
    """Return syncs of the logs at commit: ``logs · commits / group_size``.

    Parameters
    ----------
    commits_per_s
        Commits, any shape [1/s].
    group_size
        Mean commits synced together, at least 1.
    logs
        Logs synced at every group commit: 1 for ``innodb_flush_log_at_trx_commit = 1`` or
        ``sync_binlog = 1`` alone, 2 for both, 0 for neither.

    Returns
    -------
    numpy.ndarray
        Syncs [1/s].

    Raises
    ------
    InputError
        For negative commits or logs, or groups below one commit.

    Examples
    --------
    >>> fsyncs_per_s(3_000, group_size=[1, 6], logs=2).tolist()
    [6000.0, 1000.0]
    """
    raise_any(
        [
            *number("commits_per_s", commits_per_s, _RATE, least=0),
            *number("group_size", group_size, _MEAN, least=1),
            *whole("logs", logs, least=0),
        ]
    )
    return logs * _array(commits_per_s) / _array(group_size)


def io_per_s(mib_per_s: npt.ArrayLike, *, io_kib: npt.ArrayLike) -> Floats:
    """Return the operations that move bytes: ``bytes / size of one operation``.

    Parameters
    ----------
    mib_per_s
        Bytes moved, any shape [MiB/s].
    io_kib
        Size of one operation [KiB]: 16 for single InnoDB pages, up to the device's own limit (256
        on network block storage) for sequential ones that it merges.

    Returns
    -------
    numpy.ndarray
        Operations [1/s].

    Raises
    ------
    InputError
        For negative bytes or a size that is not positive.

    Examples
    --------
    >>> io_per_s(125, io_kib=[16, 256]).tolist()
    [8000.0, 500.0]
    """
    raise_any(
        [
            *number("mib_per_s", mib_per_s, _RATE, least=0),
            *number("io_kib", io_kib, _BYTES, above=0),
        ]
    )
    return _array(mib_per_s) * 1024 / _array(io_kib)


def _array(values: npt.ArrayLike) -> Floats:
    return np.asarray(values, dtype=np.float64)
