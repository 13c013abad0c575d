"""The chains behind a database's limits: queries, cost per query, pools, storage."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from capmodel.capacity.evaluate import (
    connections_instant,
    database_instant,
    queries_at_peak,
)
from capmodel.capacity.replicas import ceil_units
from capmodel.plan.factors import Factor, root_steps
from capmodel.plan.supply_databases import connection_sheet

if TYPE_CHECKING:
    from capmodel.capacity.sizing import LimitPaths
    from capmodel.plan.make import Solved
    from capmodel.plan.paths import At

__all__ = ["connection_steps", "database_steps", "line_steps", "storage_steps"]


def database_steps(solved: Solved, path: LimitPaths, _scenario: str, at: At) -> Iterator[Factor]:
    """Yield each caller's queries, and what they cost the writer."""
    name = path.limit.node
    database = solved.estate.topology.databases[name]
    use = solved.estate.databases[name]
    instant = database_instant(at.estate, at.loads, name)
    reads = writes = 0.0
    for root in sorted(instant):
        yield from root_steps(solved, root, at, instant)
    for user, caller in database.used_by.items():
        load = at.of(at.loads.at(user, instant))
        reads += load * caller.reads * database.reads_on_writer
        writes += load * caller.writes
        yield Factor(
            f"load of {user}",
            load,
            "1/s",
            solved.estate.call_basis[user],
            f"{caller.reads:g} reads and {caller.writes:g} writes per request (declared)",
        )
    yield Factor("= reads on the writer", reads, "1/s", "assumed", "sum over callers")
    yield Factor("= writes", writes, "1/s", "assumed", "sum over callers")
    source = "topology, usage" if use.basis == "assumed" else "usage fit"
    yield Factor("x per_read", at.of(use.per_read), "core-s/read", use.basis, source)
    yield Factor("x per_write", at.of(use.per_write), "core-s/write", use.basis, source)
    yield Factor("+ idle", at.of(use.idle), "cores", use.basis, source)


def line_steps(_solved: Solved, path: LimitPaths, _scenario: str, at: At) -> Iterator[Factor]:
    """Yield all callers' queries, and what one of them costs the instance that is looked at."""
    limit = path.limit
    use = at.estate.database_lines[limit.key].use
    reads, writes = queries_at_peak(at.estate, at.loads, limit.node, use)
    source = "topology, usage" if use.basis == "assumed" else "usage fit"
    yield Factor("reads of all callers", at.of(np.atleast_2d(reads)), "1/s", "assumed", "declared")
    yield Factor(
        "writes of all callers", at.of(np.atleast_2d(writes)), "1/s", "assumed", "declared"
    )
    yield Factor("x per read", at.of(use.per_read), f"{limit.unit} per 1/s", use.basis, source)
    yield Factor("x per write", at.of(use.per_write), f"{limit.unit} per 1/s", use.basis, source)
    yield Factor("+ idle", at.of(use.idle), limit.unit, use.basis, source)


def storage_steps(solved: Solved, path: LimitPaths, _scenario: str, at: At) -> Iterator[Factor]:
    """Yield what is in use today, and how it grows."""
    name = path.limit.node
    volume = solved.estate.topology.databases[name].storage
    if volume is None or volume.used_gib is None:
        return
    days = (solved.request.dates[at.day] - np.datetime64(solved.request.as_of)).astype(int) + 1
    yield Factor("in use today", volume.used_gib, "GiB", "assumed", f"{name}.storage.used_gib")
    yield Factor("+ growth per day", volume.gib_per_day, "GiB/day", "assumed", "gib_per_day")
    yield Factor("x days", float(days), "days", "measured", f"to {solved.request.dates[at.day]}")
    if volume.kib_per_write:
        words = "sum of each day's writes x this"
        yield Factor("+ per write", volume.kib_per_write, "KiB", "assumed", words)


def connection_steps(solved: Solved, path: LimitPaths, scenario: str, at: At) -> Iterator[Factor]:
    """Yield each caller's pods and connections; behind a proxy the queries that are busy."""
    name = path.limit.node
    database = solved.estate.topology.databases[name]
    surge = float(solved.estate.surge[at.day])
    if database.proxy:
        reads, writes = queries_at_peak(at.estate, at.loads, name, None)
        qps = at.of(np.atleast_2d(np.asarray(reads + writes)))
        words = f"busy at the P99: Poisson of queries x {database.hold_s:g} s, behind a proxy"
        yield Factor("queries of all callers", qps, "1/s", "assumed", words)
        return
    sheet = connection_sheet(solved, scenario, name, {path.limit.key: path})
    instant = connections_instant(at.estate, at.loads, name)
    for root in sorted(instant):
        yield from root_steps(solved, root, at, instant)
    for row in sheet:
        caller = database.used_by[row["service"]]
        basis = solved.estate.services[row["service"]].basis
        pods = row["pods"]
        yield Factor(f"pods of {row['service']}", pods, "pods", basis, f"at {row['rps']:.4g}/s")
        yield Factor(
            f"= connections of {row['service']}",
            row["connections"],
            "connections",
            basis,
            f"{float(ceil_units(pods * (1 + surge))):g} pods with {surge:.0%} surge x "
            f"{caller.processes} processes x pool_max {caller.pool_max}",
        )
