"""Which class and how many readers hold a database's season: from paths to every candidate.

This module answers: in the minute in which the writer is busiest, what do all callers ask on each
path, and which class of the family, with how many readers, keeps every promise of the policy?
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from capmodel.capacity.databases import ClassLadder
from capmodel.capacity.db_failures import DbFailure
from capmodel.capacity.db_needs import DbDemand, DbHold, DbPolicy, DbSetup, db_hold
from capmodel.capacity.db_readers import DbCosts
from capmodel.capacity.db_sizing import DbSizing, outgrows_on, size_database
from capmodel.capacity.evaluate import queries_at_peak, usage_of
from capmodel.plan.frames_limits import MIXTURE

if TYPE_CHECKING:
    from capmodel.capacity.db_season import OutgrownOn
    from capmodel.capacity.sizing import LimitPaths
    from capmodel.plan.make import Solved
    from capmodel.topology import Hold

__all__ = ["ladder_of", "outgrown_day", "setup_of", "sized_database"]

TINY = 1e-12
MEDIAN = 0.5


def ladder_of(solved: Solved, name: str) -> ClassLadder:
    """Return the classes that a database may run on."""
    database = solved.estate.topology.databases[name]
    return ClassLadder(
        classes=solved.request.catalog.db_ladder(database.engine, database.db_class),
        today=database.db_class,
        declared=database.max_connections,
        share=database.connections_share,
    )


def sized_database(
    solved: Solved, scenario: str, name: str, paths: Mapping[tuple[str, str], LimitPaths]
) -> DbSizing:
    """Return the lightest class and readers that keep every row of the policy, by price.

    Parameters
    ----------
    solved, scenario, name
        The plan, one of its scenarios or the mixture, and the database.
    paths
        Cores and connections of databases as planned, by (database, limit).
    """
    database = solved.estate.topology.databases[name]
    ladder = ladder_of(solved, name)
    most = database.readers if database.readers_max is None else database.readers_max
    prices = {c.name: float(c.price_usd_per_hour) for c in ladder.classes}
    return size_database(
        _demand(solved, scenario, name, paths),
        ladder=ladder,
        setup=setup_of(solved, name),
        holds=_holds(solved, name),
        readers=(database.readers, most),
        weights=prices,
    )


def outgrown_day(solved: Solved, name: str) -> OutgrownOn | None:
    """Return the first day on which the mixture's P50 exceeds what the largest class allows."""
    database, request = solved.estate.topology.databases[name], solved.request
    estate = solved.estate.take(slice(None), solved.season.days)
    use = solved.estate.databases.get(name)
    connections = next((p for p in solved.paths if p.limit.key == (name, "connections")), None)
    shape = (request.draws, solved.season.end - solved.season.start)
    parts: list[list[np.ndarray]] = [[], [], []]
    for load in solved.season_loads:
        for kept, part in zip(parts, queries_at_peak(estate, load, name, use), strict=False):
            kept.append(np.broadcast_to(np.asarray(part, dtype=float), shape))
        pooled = np.zeros(shape)
        if connections is not None:
            pooled = usage_of(connections.limit, estate, load)
        parts[2].append(np.broadcast_to(pooled, shape))
    reads, writes, pooled = (np.concatenate(part) for part in parts)
    row = next((h for h in _holds(solved, name) if h.quantile == MEDIAN), None)
    if row is None:
        return None
    return outgrows_on(
        DbDemand(
            reads=reads,
            writes=writes,
            writer_connections=pooled,
            working_set_gib=database.working_set_gib or 0.0,
            weights=np.repeat(request.weights / request.draws, request.draws),
        ),
        ladder=ladder_of(solved, name),
        setup=setup_of(solved, name),
        hold=row,
        readers=database.readers if database.readers_max is None else database.readers_max,
        dates=[d.astype(object) for d in request.dates[solved.season.days]],
    )


def _demand(
    solved: Solved, scenario: str, name: str, paths: Mapping[tuple[str, str], LimitPaths]
) -> DbDemand:
    """Return what callers ask on each path in the season's busiest minute of the writer.

    Queries are scaled by path, so that the central costs per query give the cores of the path,
    whose own costs are drawn.
    """
    request = solved.request
    database, use = solved.estate.topology.databases[name], solved.estate.databases.get(name)
    cores, pooled = paths.get((name, "cpu_cores")), paths.get((name, "connections"))
    reads, writes = solved.database_queries[name]
    if use is not None and cores is not None:
        idle, per_read, per_write = use.central
        central = per_read * database.reads_on_writer * reads + per_write * writes
        # Without queries there is idle use alone, and nothing to scale.
        x = np.ones_like(central)
        busy = np.maximum(cores.season_peak - idle, 0.0)
        np.divide(busy, central, out=x, where=central > TINY)
        reads, writes = reads * x, writes * x
    connections = np.zeros_like(reads) if pooled is None else pooled.season_peak
    mixed = scenario == MIXTURE
    position = 0 if mixed else request.names.index(scenario)
    picked = slice(None) if mixed else slice(position, position + 1)
    weights = np.repeat(request.weights / request.draws, request.draws) if mixed else None
    return DbDemand(
        reads=reads[picked].reshape(-1, 1),
        writes=writes[picked].reshape(-1, 1),
        writer_connections=connections[picked].reshape(-1, 1),
        working_set_gib=database.working_set_gib or 0.0,
        weights=weights,
    )


def setup_of(solved: Solved, name: str) -> DbSetup:
    """Return how a database runs; costs that nobody knows are none, and its class is kept."""
    database = solved.estate.topology.databases[name]
    use = solved.estate.databases.get(name)
    idle, per_read, per_write = use.central if use is not None else (0.0, 0.0, 0.0)
    lines = solved.estate.database_lines
    operations = lines.get((name, "iops"))
    network = lines.get((name, "network_gbps"))
    on_writer = database.reads_on_writer

    def per_query(line: float, share: float) -> float:
        return line / share if share > 0 else 0.0

    of_io = operations.use.central if operations is not None else (0.0, 0.0, 0.0)
    of_net = network.use.central if network is not None else (0.0, 0.0, 0.0)
    kib = 1e9 / 8 / 1024
    return DbSetup(
        costs=DbCosts(
            idle=idle,
            per_read=per_read,
            per_write=per_write,
            apply_x=database.apply_x,
            read_ios=per_query(of_io[1], on_writer),
            write_ios=of_io[2],
            read_net_kib=per_query(of_net[1], on_writer) * kib,
            write_net_kib=of_net[2] * kib,
        ),
        engine=database.engine,
        reads_on_readers=database.reads_on_readers,
        zones=database.zones,
        standby=database.standby,
        volume=database.storage,
        skew_x=database.reader_skew_x,
        cold_x=database.cold_x,
        # Minutes without a writer are accepted where nothing stands by; the plan says so.
        recreate_ok=True,
    )


def _holds(solved: Solved, name: str) -> list[DbHold]:
    policy, tier = solved.estate.topology.policy, solved.estate.topology.tier_of(name)
    shares = DbPolicy(
        cpu_cores=policy.utilization.database_cpu_cores,
        connections=policy.utilization.connections,
        iops=policy.utilization.database_io,
        throughput_mib=policy.utilization.database_io,
        network_gbps=policy.utilization.database_io,
        degraded=policy.utilization_degraded,
    )
    level = solved.sizes[tier].level
    return [
        db_hold(
            hold.words,
            quantile=level if hold.quantile == "1-risk" else hold.quantile,
            up_to=hold.up_to,
            policy=shares,
            failure=_failure(hold),
        )
        for hold in policy.hold
        if hold.holds_for(tier)
    ]


def _failure(hold: Hold) -> DbFailure:
    return DbFailure(name=hold.words, zones_lost=hold.zones_lost)
