"""Limits of a database: cores, sessions, storage, and what else its instances use."""

from __future__ import annotations

from capmodel.capacity.curves import BusyCurve, ConnectionsCurve, LinearCurve
from capmodel.capacity.db_lines import DatabaseLine, queries_of
from capmodel.capacity.estate import Estate, Limit, pooled_callers
from capmodel.capacity.evaluate import BUSY_QUANTILE, database_rates
from capmodel.schema import worst_basis

__all__ = ["database_limits"]


def database_limits(estate: Estate, name: str) -> list[Limit]:
    """Return every limit of a database: writer, other lines of its instances, storage, sessions."""
    database = estate.topology.databases[name]
    limits = [_cores_limit(estate, name)] if name in estate.databases else []
    limits += [
        _line_limit(estate, name, limit, line)
        for (owner, limit), line in estate.database_lines.items()
        if owner == name
    ]
    if database.storage is not None and database.storage.used_gib is not None:
        limits.append(_storage_limit(estate, name, database.storage.used_gib))
    if pooled_callers(estate, name):
        limits.append(_connections_limit(estate, name))
    return limits


def _cores_limit(estate: Estate, name: str) -> Limit:
    topology, use = estate.topology, estate.databases[name]
    database = topology.databases[name]
    idle, per_read, per_write = use.central
    reads, writes = database_rates(estate, name, {u: estate.today[u] for u in database.used_by})
    return Limit(
        node=name,
        name="cpu_cores",
        kind="database_cores",
        unit="cores",
        tier=topology.tier_of(name),
        hard=estate.database_cores[name],
        policy_x=topology.policy.utilization.database_cpu_cores,
        imbalance_x=1.0,
        basis=worst_basis([use.basis, *(estate.call_basis[u] for u in database.used_by)]),
        curve=LinearCurve(constant=idle, slope=float(per_read * reads + per_write * writes)),
        follows_load=use.follows_load,
        source=f"catalog, {database.db_class}",
    )


def _connections_limit(estate: Estate, name: str) -> Limit:
    topology = estate.topology
    called = (estate.call_basis[user] for user in topology.databases[name].used_by)
    pods = (estate.services[caller.name].basis for caller in pooled_callers(estate, name))
    return Limit(
        node=name,
        name="connections",
        kind="connections",
        unit="connections",
        tier=topology.tier_of(name),
        hard=estate.max_connections[name],
        policy_x=topology.policy.utilization.connections,
        imbalance_x=1.0,
        basis=worst_basis([*called, *pods]),
        curve=_connections_curve(estate, name),
        source=estate.connection_source[name],
    )


def _connections_curve(estate: Estate, name: str) -> ConnectionsCurve | BusyCurve:
    database = estate.topology.databases[name]
    other = database.other_connections.total
    if not database.proxy:
        return ConnectionsCurve(callers=pooled_callers(estate, name), other=other)
    reads, writes = queries_of(database, {u: estate.today[u] for u in database.used_by})
    return BusyCurve(
        qps=float(reads + writes), hold_s=database.hold_s, quantile=BUSY_QUANTILE, other=other
    )


def _line_limit(estate: Estate, name: str, limit: str, line: DatabaseLine) -> Limit:
    database = estate.topology.databases[name]
    idle, per_read, per_write = line.use.central
    reads, writes = queries_of(database, {u: estate.today[u] for u in database.used_by})
    return Limit(
        node=name,
        name=limit,
        kind="database",
        unit=line.unit,
        tier=estate.topology.tier_of(name),
        hard=line.hard,
        policy_x=line.policy_x,
        imbalance_x=1.0,
        basis=worst_basis([line.use.basis, *(estate.call_basis[u] for u in database.used_by)]),
        curve=LinearCurve(constant=idle, slope=float(per_read * reads + per_write * writes)),
        follows_load=line.use.follows_load,
        source=line.source,
    )


def _storage_limit(estate: Estate, name: str, used_gib: float) -> Limit:
    """Return the bound on storage, which grows with time and not with the multiple of today."""
    volume = estate.topology.databases[name].storage
    field = "gib" if volume is None or volume.max_gib is None else "max_gib"
    return Limit(
        node=name,
        name="storage_gib",
        kind="storage",
        unit="GiB",
        tier=estate.topology.tier_of(name),
        hard=float(getattr(volume, field)),
        policy_x=estate.topology.policy.utilization.storage,
        imbalance_x=1.0,
        basis="assumed",
        curve=LinearCurve(constant=used_gib, slope=0.0),
        source=f"topology, {name}.storage.{field}",
    )
