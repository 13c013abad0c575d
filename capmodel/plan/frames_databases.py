"""Databases: class, readers and what rules out the others, as a frame and as findings."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from capmodel.capacity.db_autoscaling import fastest_fill_gib_per_h
from capmodel.capacity.db_connections import reconnect_storm
from capmodel.capacity.db_failures import DbFailure, after_failure
from capmodel.capacity.db_season import extended_support, warm_up_s
from capmodel.capacity.db_storage import gp3_step_findings, storage_limits
from capmodel.capacity.evaluate import storage_usage
from capmodel.capacity.risk import mixture_value
from capmodel.errors import InputError
from capmodel.plan.frames_limits import MIXTURE
from capmodel.plan.size_databases import outgrown_day
from capmodel.schema import Finding

if TYPE_CHECKING:
    from capmodel.catalog import DbClass
    from capmodel.plan.make import Solved
    from capmodel.plan.supply import Supply
    from capmodel.plan.supply_databases import DatabaseNeed

__all__ = ["database_findings", "databases_frame", "storage_needed"]

DATABASE_COLUMNS = [
    "scenario", "database", "engine", "class_today", "class_needed", "readers_today",
    "readers_needed", "cpu_cores_p50", "cpu_utilization_p50", "connections_p50", "max_connections",
    "binding", "tightest", "tightest_x", "unchecked", "rejected",
]  # fmt: skip
HOURS_A_DAY = 24.0
ROUND_GIB = 10.0
"""Storage is ordered in this step [GiB]."""


def databases_frame(solved: Solved, supply: Supply) -> pd.DataFrame:
    """Return class and readers per scenario and database, and every candidate that fails.

    ``tightest`` is the limit nearest to its allowance on what is ordered, and how near [ratio].
    """
    rows = []
    for (scenario, name), need in supply.databases.needs.items():
        database = solved.estate.topology.databases[name]
        chosen = need.sizing.chosen
        tightest = chosen.tightest if chosen else None
        rows.append(
            {
                "scenario": scenario,
                "database": name,
                "engine": database.engine,
                "class_today": database.db_class,
                "class_needed": chosen.db_class.name if chosen else "none: outgrows the family",
                "readers_today": database.readers,
                "readers_needed": need.readers,
                "cpu_cores_p50": need.cores_p50,
                "cpu_utilization_p50": need.cores_p50 / solved.estate.database_cores[name],
                "connections_p50": need.connections_p50,
                "max_connections": solved.estate.max_connections[name],
                "binding": need.sizing.binding,
                "tightest": f"{tightest.role} {tightest.limit}, {tightest.hold}"
                if tightest
                else "",
                "tightest_x": tightest.excess_x if tightest else np.nan,
                "unchecked": ", ".join(need.sizing.unchecked),
                "rejected": "; ".join(r.reason for r in need.sizing.rejected),
            }
        )
    return pd.DataFrame(rows, columns=DATABASE_COLUMNS)


def database_findings(solved: Solved, supply: Supply) -> list[Finding]:
    """Return what a class does not solve: outgrown families, no failover, storage, support."""
    found: list[Finding] = []
    for name, database in solved.estate.topology.databases.items():
        need = supply.databases.needs[MIXTURE, name]
        if need.sizing.outgrown:
            found.append(_outgrown(solved, name, need.sizing.reason))
        found += _without_failover(solved, name, need.readers)
        found += _reconnecting(solved, name, need)
        found += _storage(solved, name)
        found += _too_fast_to_grow(solved, name)
        found += _warm_up(solved, name, need.ordered)
        if database.version is not None:
            found += _support(solved, name, 1 + need.readers + database.standby)
    return found


def _outgrown(solved: Solved, name: str, reason: str) -> Finding:
    day = outgrown_day(solved, name)
    words = reason if day is None else f"{day.reason}; {reason}"
    return Finding("outgrown", "warning", name, words)


def _without_failover(solved: Solved, name: str, readers: int) -> list[Finding]:
    """Tell where a promised failure leaves minutes without a writer, or no instance at all."""
    database, policy = solved.estate.topology.databases[name], solved.estate.topology.policy
    lost = max((hold.zones_lost for hold in policy.hold), default=0)
    if not lost:
        return []
    after = after_failure(
        DbFailure("zone", zones_lost=min(lost, database.zones)),
        readers=readers,
        engine=database.engine,
        zones=database.zones,
        standby=database.standby,
    )
    if after.recovery not in {"recreate", "outage"}:
        return []
    words = (
        "its writer is created anew: minutes without one"
        if after.recovery == "recreate"
        else ("no instance is left")
    )
    standby = " or a standby" if database.engine == "mysql" else ""
    message = f"after the loss of {lost} zone {words}; a reader{standby} would take over"
    return [Finding("no_failover", "warning", name, message)]


def _reconnecting(solved: Solved, name: str, need: DatabaseNeed) -> list[Finding]:
    """Tell what all pools ask of the promoted instance, where one connection's cost is known.

    A proxy keeps its clients' connections through a failover, so nothing is told of one.
    """
    database = solved.estate.topology.databases[name]
    if database.connect_core_s is None or database.proxy or need.connections_level <= 0:
        return []
    window, vcpu = database.reconnect_window_s, need.ordered.vcpu
    storm = reconnect_storm(
        need.connections_level,
        window_s=window,
        connect_core_s=database.connect_core_s,
        vcpu=vcpu,
    )
    cores, seconds = float(storm.cores), float(storm.seconds)
    message = (
        f"after a failover {need.connections_level:,.0f} connections come back within {window:g} s "
        f"and ask {cores:,.3g} cores of {need.ordered.name}'s {vcpu}"
    )
    values = {"connections": need.connections_level, "cores": cores, "seconds": seconds}
    if seconds <= window:
        return [Finding("reconnect_storm", "info", name, message, values)]
    message += (
        f": {seconds:,.3g} s without a query; lengthen the pools' back-off, make them smaller, or "
        "put a proxy in front"
    )
    return [Finding("reconnect_storm", "warning", name, message, values)]


def storage_needed(solved: Solved, name: str) -> float | None:
    """Return the storage that keeps policy and risk [GiB], None where none is planned."""
    path = next((p for p in solved.paths if p.limit.key == (name, "storage_gib")), None)
    volume = solved.estate.topology.databases[name].storage
    if path is None or volume is None:
        return None
    sizes = solved.sizes[path.limit.tier].sizes
    p50 = mixture_value(path.season_peak, 0.5, solved.request.weights)
    needed = max(p50 / path.limit.policy_x, sizes[path.limit.key])
    return float(np.ceil(max(needed, volume.gib) / ROUND_GIB - 1e-9) * ROUND_GIB)


def _storage(solved: Solved, name: str) -> list[Finding]:
    """Tell where storage grows across gp3's step, at which RDS copies all data."""
    volume, needed = solved.estate.topology.databases[name].storage, storage_needed(solved, name)
    if volume is None or needed is None or needed <= volume.gib:
        return []
    freezes = [freeze.start for freeze in solved.request.orders.freeze]
    in_place = _last_day_below(solved, name)
    return list(
        gp3_step_findings(
            name,
            volume,
            to_gib=needed,
            freeze_from=min(freezes, default=solved.request.season_start),
            crosses_on=in_place,
        )
    )


def _too_fast_to_grow(solved: Solved, name: str) -> list[Finding]:
    """Tell where storage autoscaling, which waits six hours, cannot follow the season's growth."""
    volume = solved.estate.topology.databases[name].storage
    if volume is None or volume.max_gib is None or volume.used_gib is None:
        return []
    as_of = np.datetime64(solved.request.as_of)
    days = [storage_usage(solved.estate, load, name, as_of) for load in solved.futures.loads]
    growth = np.stack([np.diff(d[:, solved.season.days], axis=1).max(axis=1) for d in days])
    weights = solved.request.weights
    rate = mixture_value(growth, 0.95, weights) / HOURS_A_DAY
    survived = float(fastest_fill_gib_per_h(volume.gib, rate_gib_per_h=0.0))
    if rate <= survived:
        return []
    message = (
        f"grows by {rate:.3g} GiB an hour on its fastest day (P95); autoscaling of {volume.gib:g} "
        f"GiB that was quiet before survives {survived:.3g}: allocate before the season"
    )
    return [Finding("storage_autoscaling_too_slow", "warning", name, message)]


def _warm_up(solved: Solved, name: str, ordered: DbClass) -> list[Finding]:
    """Tell how long the cache refills after a change of class, where the working set is known."""
    database = solved.estate.topology.databases[name]
    if database.working_set_gib is None or ordered.name == database.db_class:
        return []
    sustained = storage_limits(ordered, database.storage).throughput_mib
    if sustained is None or not np.isfinite(sustained):
        return []
    seconds = float(warm_up_s(database.working_set_gib, read_mib_per_s=sustained))
    message = (
        f"after the change to {ordered.name} its cache is cold: {database.working_set_gib:g} GiB "
        f"at {sustained:.4g} MiB/s take {seconds / 60:.3g} minutes"
    )
    return [Finding("warm_up", "info", name, message, {"seconds": seconds})]


def _last_day_below(solved: Solved, name: str) -> dt.date:
    """Return the day by which storage has to be larger: the P50's first day above the policy."""
    path = next(p for p in solved.paths if p.limit.key == (name, "storage_gib"))
    days = path.policy_day[path.policy_day >= 0]
    day = int(days.min()) if days.size else solved.season.end - 1
    return dt.date.fromisoformat(str(solved.request.dates[day]))


def _support(solved: Solved, name: str, instances: int) -> list[Finding]:
    """Tell what of the season is billed as Extended Support."""
    database, request = solved.estate.topology.databases[name], solved.request
    try:
        hours = extended_support(
            database.engine,
            database.version or "",
            vcpu=solved.estate.database_cores[name],
            instances=instances,
            start=request.season_start,
            end=request.season_end,
        )
    except InputError as error:
        return [Finding("support_unknown", "info", name, str(error))]
    billed = hours.vcpu_hours + hours.vcpu_hours_year_3
    if billed == 0:
        return []
    message = (
        f"{database.engine} {database.version} is past its standard support: {billed:,.0f} "
        f"vCPU-hours of the season are billed as Extended Support (from "
        f"{hours.dates.billed_from}; {hours.dates.source}); not in the plan's cost"
    )
    return [Finding("extended_support", "warning", name, message, {"vcpu_hours": billed})]
