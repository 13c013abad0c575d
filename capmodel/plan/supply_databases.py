"""What databases need: cores, connections, the class that holds, and relief short of a class.

This module answers: which class of the family holds the writer's cores and everybody's connections,
which smaller connection pools spare it, and what do callers open on the path that is planned for?
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from capmodel.capacity.databases import (
    Caller,
    ClassNeed,
    DbLimit,
)
from capmodel.capacity.estate import Estate, pooled_callers
from capmodel.capacity.evaluate import autoscaled_pods, connections_instant, usage_of
from capmodel.capacity.remedies import Remedy, class_remedy, connection_remedies
from capmodel.capacity.replicas import ceil_units
from capmodel.capacity.risk import mixture_quantiles
from capmodel.capacity.sizing import limit_paths
from capmodel.cost import season_hours, season_usd
from capmodel.plan.frames_limits import MIXTURE, scenario_weights, scenarios_of
from capmodel.plan.paths import at_p50
from capmodel.plan.size_databases import ladder_of, sized_database

if TYPE_CHECKING:
    from capmodel.capacity.db_sizing import DbSizing
    from capmodel.capacity.sizing import LimitPaths
    from capmodel.catalog import DbClass
    from capmodel.plan.make import Solved

__all__ = [
    "DatabaseNeed",
    "DatabaseSupply",
    "Relief",
    "connection_sheet",
    "hours_of",
    "make_databases",
]


@dataclass(frozen=True, slots=True, eq=False)
class DatabaseNeed:
    """Cores, connections, class and readers of a database in one scenario (or the mixture)."""

    cores_p50: float
    cores_level: float
    connections_p50: float
    connections_level: float
    sizing: DbSizing
    sheet: tuple[Mapping[str, Any], ...]
    """One row per caller: pods and connections of the P50 path."""

    @property
    def ordered(self) -> DbClass:
        """The class that holds; where none does, the largest of the family."""
        chosen = self.sizing.chosen
        return self.sizing.largest if chosen is None else chosen.db_class

    @property
    def readers(self) -> int:
        """Readers beside the writer; where nothing holds, as many as were tried."""
        chosen = self.sizing.chosen
        return self.sizing.rejected[-1].readers if chosen is None else chosen.readers


@dataclass(frozen=True, slots=True, eq=False)
class Relief:
    """Smaller connection pools that spare a database a larger class."""

    changes: tuple[tuple[str, int, int], ...]
    """(service, pool_max today, pool_max needed)."""
    lead_days: int
    connections: np.ndarray
    """Season peaks with the smaller pools, shape (S, D) [connections]."""


@dataclass(frozen=True, slots=True, eq=False)
class DatabaseSupply:
    """Needs by (scenario, database); remedies by (database, limit), relief by database."""

    needs: Mapping[tuple[str, str], DatabaseNeed]
    remedies: Mapping[tuple[str, str], tuple[Remedy, ...]]
    relieved: Mapping[str, Relief]
    connections: Mapping[str, np.ndarray]
    """Database to season peaks once everything is ordered, shape (S, D) [connections]."""


def hours_of(solved: Solved) -> float:
    """Return the hours of the season by the local calendar [h]."""
    request = solved.request
    return season_hours(request.season_start, request.season_end, tz=solved.fit.business_tz)


def make_databases(
    solved: Solved, ordered: Mapping[str, float], *, names: Sequence[str] | None = None
) -> DatabaseSupply:
    """Return what every scenario and the mixture need of each database.

    Where smaller pools alone bring connections within policy and risk, they are taken instead of a
    larger class: they cost nothing.

    Parameters
    ----------
    solved
        The plan's arrays.
    ordered
        Service to the pods that the mixture needs: more pods open more connections.
    names
        Scenarios that are wanted, the mixture among them; None: all.
    """
    names = scenarios_of(solved) if names is None else names
    paths = {path.limit.key: path for path in solved.paths}
    planned = _with_ordered_pods(solved, ordered)
    if planned is not solved:
        paths.update(_connections_again(planned))
    remedies: dict[tuple[str, str], tuple[Remedy, ...]] = {}
    relieved: dict[str, Relief] = {}
    databases: dict[tuple[str, str], DatabaseNeed] = {}
    for name in solved.estate.topology.databases:
        needs = {s: _database(planned, s, name, paths) for s in names}
        for limit, found in _database_remedies(planned, needs[MIXTURE], name).items():
            remedies[name, limit] = found
        relief = _relief(planned, name, paths, remedies.get((name, "connections"), ()))
        if relief is not None:
            relieved[name] = relief
            spared = paths[name, "connections"]
            paths[name, "connections"] = replace(spared, season_peak=relief.connections)
            needs = {
                s: replace(_database(planned, s, name, paths), sheet=need.sheet,
                           connections_p50=need.connections_p50)
                for s, need in needs.items()
            }  # fmt: skip
        databases.update({(s, name): need for s, need in needs.items()})
    return DatabaseSupply(
        needs=databases,
        remedies=remedies,
        relieved=relieved,
        connections={n: p.season_peak for (n, limit), p in paths.items() if limit == "connections"},
    )


def _with_ordered_pods(solved: Solved, ordered: Mapping[str, float]) -> Solved:
    """Return the plan with autoscalers raised as ordered: more pods open more connections."""
    raised = {
        name: replace(service, maximum=int(ordered[name]))
        for name, service in solved.estate.services.items()
        if service.maximum is not None
        and name in ordered
        and service.maximum < ordered[name] < math.inf
    }
    if not raised:
        return solved
    estate = replace(solved.estate, services={**solved.estate.services, **raised})
    return replace(solved, estate=estate)


def _connections_again(planned: Solved) -> dict[tuple[str, str], LimitPaths]:
    """Return the connections of every database with the pods as ordered."""
    estate = planned.estate.take(slice(None), planned.season.days)
    return {
        path.limit.key: limit_paths(path.limit, estate, planned.season_loads, season=planned.season)
        for path in planned.paths
        if path.limit.kind == "connections"
    }


def _relief(
    solved: Solved,
    name: str,
    paths: Mapping[tuple[str, str], LimitPaths],
    remedies: Sequence[Remedy],
) -> Relief | None:
    """Return the first-ranked pool change that keeps policy and risk on every path, if any."""
    path = paths.get((name, "connections"))
    if path is None:
        return None
    for remedy in remedies:
        if not remedy.pools or remedy.status_after != "GREEN":
            continue
        estate = _with_pools(solved.estate, name, remedy.pools)
        estate = estate.take(slice(None), solved.season.days)
        peaks = np.stack(
            [usage_of(path.limit, estate, load).max(axis=1) for load in solved.season_loads]
        )
        eased = replace(path, season_peak=peaks)
        p50, high = _p50_and_size(solved, eased, MIXTURE)
        if p50 <= path.limit.policy and high <= path.limit.hard:
            return Relief(remedy.pools, remedy.lead_days, peaks)
    return None


def _with_pools(estate: Estate, name: str, pools: Sequence[tuple[str, int, int]]) -> Estate:
    database = estate.topology.databases[name]
    used_by = dict(database.used_by)
    for service, _, after in pools:
        used_by[service] = used_by[service].model_copy(update={"pool_max": after})
    databases = {
        **estate.topology.databases,
        name: database.model_copy(update={"used_by": used_by}),
    }
    return replace(estate, topology=estate.topology.model_copy(update={"databases": databases}))


def _database_remedies(
    solved: Solved, need: DatabaseNeed, name: str
) -> dict[str, tuple[Remedy, ...]]:
    """Return relief at the mixture's P50 path for the database's limits beyond policy."""
    topology = solved.estate.topology
    database = topology.databases[name]
    policy = topology.policy.utilization
    ladder = ladder_of(solved, name)
    instances = 1 + database.readers + database.standby
    bill = season_usd(ladder.classes, instances=instances, hours=hours_of(solved))
    wanted = ClassNeed(
        cpu_cores=need.cores_p50,
        connections=need.connections_p50,
        cpu_policy_x=policy.database_cpu_cores,
        connections_policy_x=policy.connections,
    )
    found: dict[str, tuple[Remedy, ...]] = {}
    hard = solved.estate.max_connections[name]

    def larger(limit: DbLimit) -> Remedy | None:
        return class_remedy(ladder, need=wanted, limit=limit, season_usd=bill)

    within = _share(need.connections_p50, need.connections_level, policy.connections)
    if need.connections_p50 > within * hard and database.proxy:
        wider = larger("connections")
        found["connections"] = () if wider is None else (wider,)
    elif need.connections_p50 > within * hard:
        found["connections"] = connection_remedies(
            _callers(solved, need, name),
            limit=int(hard),
            policy_x=within,
            surge=_surge_at(solved, need),
            larger_class=larger("connections"),
        )
    cores = solved.estate.database_cores[name]
    share = _share(need.cores_p50, need.cores_level, policy.database_cpu_cores)
    cpu = larger("cpu_cores") if need.cores_p50 > share * cores else None
    if cpu is not None:
        found["cpu_cores"] = (cpu,)
    return found


def _share(p50: float, level: float, policy_x: float) -> float:
    """Return the share of a limit that the P50 may fill: the policy's, or less where risk binds.

    The tier's level may reach the hard value, so the P50 may reach ``P50 / level`` of it.
    """
    return min(policy_x, p50 / level) if level > 0 else policy_x


def _surge_at(solved: Solved, need: DatabaseNeed) -> float:
    if not need.sheet:
        return 0.0
    day = int(np.flatnonzero(solved.request.dates == np.datetime64(need.sheet[0]["date"]))[0])
    return float(solved.estate.surge[day])


def _callers(solved: Solved, need: DatabaseNeed, name: str) -> tuple[Caller, ...]:
    database = solved.estate.topology.databases[name]
    rows = {row["service"]: row for row in need.sheet}
    return tuple(
        Caller(
            service=user,
            replicas=rows[user]["pods"],
            pool_max=caller.pool_max,
            processes=caller.processes,
            qps=rows[user]["rps"] * (caller.reads + caller.writes),
        )
        for user, caller in database.used_by.items()
        if user in rows
    )


def _database(
    solved: Solved, scenario: str, name: str, paths: Mapping[tuple[str, str], LimitPaths]
) -> DatabaseNeed:
    cores = _p50_and_size(solved, paths.get((name, "cpu_cores")), scenario)
    connections = _p50_and_size(solved, paths.get((name, "connections")), scenario)
    return DatabaseNeed(
        cores_p50=cores[0],
        cores_level=cores[1],
        connections_p50=connections[0],
        connections_level=connections[1],
        sizing=sized_database(solved, scenario, name, paths),
        sheet=connection_sheet(solved, scenario, name, paths),
    )


def _p50_and_size(solved: Solved, path: LimitPaths | None, scenario: str) -> tuple[float, float]:
    """Return the P50 of a limit and what keeps the tier's risk.

    That is the mixture's size where the plan has made one of these very paths; a scenario alone,
    and connections after a change of pods or pools, stand at the tier's level of their draws.
    """
    if path is None:
        return math.nan, math.nan
    weights = scenario_weights(solved, scenario)
    sizes, peak = solved.sizes[path.limit.tier], path.season_peak
    p50, high = (float(peak[at]) for at in mixture_quantiles(peak, (0.5, sizes.level), weights))
    if scenario == MIXTURE and any(path is known for known in solved.paths):
        high = sizes.sizes.get(path.limit.key, high)
    return p50, high


def connection_sheet(
    solved: Solved, scenario: str, name: str, paths: Mapping[tuple[str, str], LimitPaths]
) -> tuple[Mapping[str, Any], ...]:
    """Return each caller's load, pods and connections on the P50 path of a database.

    None behind a proxy, which lends its sessions to queries and not to pools.
    """
    path = paths.get((name, "connections"))
    if path is None or solved.estate.topology.databases[name].proxy:
        return ()
    at = at_p50(solved, path, scenario_weights(solved, scenario))
    instant = connections_instant(at.estate, at.loads, name)
    surge = float(at.estate.surge[0])
    rows = []
    for caller in pooled_callers(at.estate, name):
        load = at.loads.at(caller.name, instant)
        pods = at.of(autoscaled_pods(at.estate, caller.name, load))
        rows.append(
            {
                "scenario": scenario,
                "unit": name,
                "kind": "connections",
                "hold": "P50",
                "date": str(solved.request.dates[at.day]),
                "service": caller.name,
                "rps": at.of(load),
                "pods": pods,
                "per_zone": math.nan,
                "cpu_cores": math.nan,
                "memory_gib": math.nan,
                "connections": float(ceil_units(pods * (1 + surge))) * caller.per_pod,
            }
        )
    return tuple(rows)
