"""What a database's instances use besides the writer's cores, as lines in queries, ready for paths.

This module answers: at so many reads and writes per second, how many cores does the hottest reader
burn, and how many operations, MiB/s and Gbit/s pass each instance, against which hard value?
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from capmodel.capacity.db_readers import engine_rules
from capmodel.capacity.db_storage import storage_limits
from capmodel.capacity.use import DatabaseUse
from capmodel.schema import worst_basis

if TYPE_CHECKING:
    import numpy as np

    from capmodel.catalog import DbClass
    from capmodel.topology import Database, Utilization

__all__ = ["DatabaseLine", "database_lines", "scaled", "summed"]

_IO_KIB = 16.0
"""Size of an operation: an InnoDB page [KiB]."""


@dataclass(frozen=True, slots=True, eq=False)
class DatabaseLine:
    """``idle + per_read * reads + per_write * writes`` of one instance, with its bound."""

    use: DatabaseUse
    """On all queries that callers send, wherever they are served."""
    unit: str
    hard: float
    policy_x: float
    source: str


def scaled(use: DatabaseUse, *, read_x: float, write_x: float, idle_x: float = 1.0) -> DatabaseUse:
    """Return a use with its coefficients multiplied."""
    idle, per_read, per_write = use.central
    return replace(
        use,
        idle=use.idle * idle_x,
        per_read=use.per_read * read_x,
        per_write=use.per_write * write_x,
        central=(idle * idle_x, per_read * read_x, per_write * write_x),
    )


def summed(uses: list[DatabaseUse]) -> DatabaseUse:
    """Return the sum of several uses of one database."""
    total, *others = uses
    for other in others:
        (a, b, c), (d, e, f) = total.central, other.central
        total = replace(
            total,
            idle=total.idle + other.idle,
            per_read=total.per_read + other.per_read,
            per_write=total.per_write + other.per_write,
            central=(a + d, b + e, c + f),
            qps_max=min(total.qps_max, other.qps_max),
            basis=worst_basis([total.basis, other.basis]),
            follows_load=total.follows_load and other.follows_load,
        )
    return total


def database_lines(
    database: Database,
    *,
    cores: DatabaseUse | None,
    operations: DatabaseUse | None,
    network: DatabaseUse | None,
    db_class: DbClass,
    policy: Utilization,
) -> dict[str, DatabaseLine]:
    """Return the lines of a database's instances by limit name.

    Parameters
    ----------
    database
        As declared.
    cores, operations, network
        Busy cores, operations on storage [1/s] and traffic [Mbit/s] of the whole database by query,
        None where not known.
    db_class
        The class that it runs on.
    policy
        Planned utilizations.
    """
    lines: dict[str, DatabaseLine] = {}
    on_readers = 1.0 - database.reads_on_writer
    where = f"catalog, {db_class.name}"
    if cores is not None and on_readers > 0:
        lines["reader_cpu_cores"] = DatabaseLine(
            use=_hottest_reader(database, cores),
            unit="cores",
            hard=float(db_class.vcpu),
            policy_x=policy.database_cpu_cores,
            source=where,
        )
    if cores is not None and database.readers and engine_rules(database.engine).binlog:
        lines["applier"] = DatabaseLine(
            use=scaled(cores, read_x=0.0, write_x=_apply_x(database), idle_x=0.0),
            unit="threads",
            hard=float(database.appliers),
            policy_x=policy.database_io,
            source="topology, appliers: a reader that applies less than is written falls behind",
        )
    if operations is not None and engine_rules(database.engine).own_volume:
        writer = scaled(operations, read_x=1.0 - on_readers, write_x=1.0)
        lines |= _storage_lines(writer, database, db_class, policy_x=policy.database_io)
    if network is not None and db_class.network_gbps is not None:
        gbit = 1e-3
        lines["network_gbps"] = DatabaseLine(
            use=scaled(network, read_x=gbit * (1.0 - on_readers), write_x=gbit, idle_x=gbit),
            unit="Gbit/s",
            hard=db_class.network_gbps,
            policy_x=policy.database_io,
            source=where,
        )
    return lines


def _storage_lines(
    writer: DatabaseUse, database: Database, db_class: DbClass, *, policy_x: float
) -> dict[str, DatabaseLine]:
    """Return operations and throughput of the writer's volume, on the baseline of its instance."""
    held = storage_limits(db_class, database.storage)
    catalog = f"catalog, {db_class.name}"
    by = {"volume": "topology, storage of the database", "instance": catalog, "": catalog}
    mib = _IO_KIB / 1024.0
    return {
        "iops": DatabaseLine(
            use=writer,
            unit="1/s",
            hard=math.nan if held.iops is None else held.iops,
            policy_x=policy_x,
            source=by[held.iops_binding],
        ),
        "throughput_mib": DatabaseLine(
            use=scaled(writer, read_x=mib, write_x=mib, idle_x=mib),
            unit="MiB/s",
            hard=math.nan if held.throughput_mib is None else held.throughput_mib,
            policy_x=policy_x,
            source=by[held.throughput_binding],
        ),
    }


def _hottest_reader(database: Database, cores: DatabaseUse) -> DatabaseUse:
    """Return the cores of the hottest reader: its share of the reads, and every write applied."""
    share = database.reads_on_readers * database.reader_skew_x / database.readers
    return scaled(cores, read_x=share, write_x=_apply_x(database))


def _apply_x(database: Database) -> float:
    """Return the write CPU that a reader repeats, of the writer's: declared, or the prior."""
    prior = engine_rules(database.engine).apply_x
    return prior if database.apply_x is None else database.apply_x


def queries_of(
    database: Database, loads: Mapping[str, np.ndarray | float]
) -> tuple[np.ndarray | float, np.ndarray | float]:
    """Return (reads, writes) that all callers send, for their loads [1/s]."""
    reads: np.ndarray | float = 0.0
    writes: np.ndarray | float = 0.0
    for user, caller in database.used_by.items():
        reads = reads + loads[user] * caller.reads
        writes = writes + loads[user] * caller.writes
    return reads, writes
