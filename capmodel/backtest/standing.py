"""What stood, or would have stood, in a past season: topologies, and the estates that they make.

This module answers: which topology do a plan's orders make, on how many nodes did the recorded pods
stand, and what does an estate look like at the coefficients that are known in hindsight?
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from capmodel.backtest.observed import certain_calls
from capmodel.capacity.db_connections import class_connections
from capmodel.capacity.estate import pod_requests, pool_services
from capmodel.capacity.nodes import PodShape, pack_zone
from capmodel.capacity.replicas import SLACK, ceil_units
from capmodel.history import local_days
from capmodel.plan.equip import make_estate

if TYPE_CHECKING:
    import pandas as pd

    from capmodel.capacity.estate import Estate
    from capmodel.catalog import Catalog
    from capmodel.history import History
    from capmodel.plan import CapacityFit
    from capmodel.plan.request import PlanRequest
    from capmodel.topology import Topology
    from capmodel.usage import LinearUsage

__all__ = [
    "Recorded",
    "as_learnt",
    "changed",
    "ordered",
    "recorded",
    "standing_estate",
    "todays",
    "with_class",
    "without",
]

RECENT_DAYS: Final = 28


@dataclass(frozen=True, slots=True, eq=False)
class Recorded:
    """Pods as the history recorded them, and the nodes that they fill at least."""

    pods: Mapping[str, np.ndarray]
    """Service to pods by step, shape (T,); NaN where they were not recorded."""
    nodes: Mapping[str, np.ndarray]
    """Pool to nodes by step, shape (T,); NaN where pods of the pool were not recorded."""
    dates: np.ndarray
    """Local day of each step, shape (T,)."""
    time: np.ndarray
    """Start of each step, UTC, shape (T,)."""

    def today(self, values: np.ndarray) -> int | None:
        """Return the median over the last 28 days of the day's most, None without a record."""
        days = np.unique(self.dates)[-RECENT_DAYS:]
        most = [np.nanmax(v) for d in days if not np.isnan(v := values[self.dates == d]).all()]
        return None if not most else math.ceil(float(np.median(most)) - SLACK)


def recorded(estate: Estate, history: History) -> Recorded:
    """Return the pods of a history, and the nodes whose zones hold them evenly.

    Pods of a zone are packed by their requests, as the plan packs its own.
    """
    steps = np.full(history.n_steps, np.nan)
    topology = estate.topology
    pods = {
        name: history.series(name, "replicas") if _counted(history, name) else steps
        for name in topology.services
    }
    nodes = {pool: _nodes_of(estate, pool, pods, history.n_steps) for pool in topology.pools}
    days = local_days(history.start, history.n_steps, history.step_min, history.business_tz)
    return Recorded(
        pods=pods,
        nodes=nodes,
        dates=days.dates[days.day_of_step],
        time=history.start.astype("datetime64[s]")
        + np.arange(history.n_steps) * np.timedelta64(history.step_min * 60, "s"),
    )


def _counted(history: History, name: str) -> bool:
    return name in history.services and "replicas" in history.measured(name)


def _nodes_of(estate: Estate, pool: str, pods: Mapping[str, np.ndarray], steps: int) -> np.ndarray:
    names = pool_services(estate, pool)
    shapes = [PodShape(name, *pod_requests(estate, name)[:2]) for name in names]
    found = np.full(steps, np.nan)
    if not names:
        return found
    counts = np.stack([pods[name] for name in names], axis=1)
    zones = estate.topology.pools[pool].zones
    known = ~np.isnan(counts).any(axis=1)
    per_zone = ceil_units(np.where(known[:, None], counts, 0.0) / zones).astype(int)
    for row in np.unique(per_zone[known], axis=0):
        packed = pack_zone(shapes, row.tolist(), usable=estate.nodes[pool]).nodes
        found[known & (per_zone == row).all(axis=1)] = zones * packed
    return found


def todays(topology: Topology, record: Recorded) -> Topology:
    """Return the topology with today's pods and nodes as recorded, declared ones where not."""
    return changed(
        topology,
        {
            **{
                ("services", name, "replicas", "today"): record.today(pods)
                for name, pods in record.pods.items()
            },
            **{("pools", name, "today"): record.today(n) for name, n in record.nodes.items()},
        },
    )


def without(topology: Topology, names: Sequence[str]) -> Topology:
    """Return the topology without some services, their calls, what only they called and filled."""
    gone = set(names)
    data = topology.model_dump(by_alias=True)
    while True:
        for kind in ("services", "externals"):
            data[kind] = {n: spec for n, spec in data[kind].items() if n not in gone}
            orphans = set()
            for name, spec in data[kind].items():
                kept = {c: x for c, x in spec["calls"].items() if c not in gone}
                if spec["calls"] and not kept:
                    orphans.add(name)
                spec["calls"] = kept
            gone |= orphans
        if not gone & {*data["services"], *data["externals"]}:
            break
    for database in data["databases"].values():
        database["used_by"] = {c: u for c, u in database["used_by"].items() if c not in gone}
    data["databases"] = {n: d for n, d in data["databases"].items() if d["used_by"]}
    used = {spec["pool"] for spec in data["services"].values()}
    gone |= data["pools"].keys() - used
    data["pools"] = {n: pool for n, pool in data["pools"].items() if n in used}
    data["limits"] = {
        n: kept for n, spec in data["limits"].items() if (kept := _unfilled(spec, gone))
    }
    return type(topology).model_validate(data)


def as_learnt(topology: Topology, history: History) -> Topology:
    """Return the topology without declared levels of today, where the history has the demand.

    A level that is declared now was not known before a past season.
    """
    data = topology.model_dump(by_alias=True)
    told = {n for n in history.services if {"per_min", "rps"} & set(history.measured(n))}
    for name in data["drivers"].keys() & told:
        data["drivers"][name] |= {"today_per_min": None, "sigma_log": 0.0}
    for name in data["services"].keys() & told:
        data["services"][name]["today_rps"] = None
    return type(topology).model_validate(data)


def _unfilled(limit: dict[str, Any], gone: Collection[str]) -> dict[str, Any]:
    """Return a declared limit without some of what fills it; {} where nothing else does."""
    fields = ("per_request", "per_pod", "per_node")
    kept = {f: {n: x for n, x in limit[f].items() if n not in gone} for f in fields}
    return {**limit, **kept} if any(kept.values()) else {}


def with_class(topology: Topology, name: str, db_class: str, *, catalog: Catalog) -> Topology:
    """Return the topology with a database on another class; declared connections move along."""
    database = topology.databases[name]
    now, then = (catalog.db_class(database.engine, c) for c in (database.db_class, db_class))
    held = None
    if database.max_connections is not None:
        held = class_connections(then, declared=database.max_connections, today=now).value
    place = ("databases", name)
    return changed(topology, {(*place, "class"): db_class, (*place, "max_connections"): held})


def ordered(topology: Topology, orders: pd.DataFrame, *, catalog: Catalog) -> Topology:
    """Return the topology once orders are in place.

    Parameters
    ----------
    topology
        What stands before.
    orders
        Rows of a plan's frame ``orders``: ``kind``, ``item``, ``id`` and ``to``. Those that the
        study declares say no ``to``, and change nothing here.
    catalog
        Database classes.
    """
    changes: dict[tuple[str, ...], Any] = {}
    for row in orders[orders["to"] != ""].to_dict("records"):
        if row["kind"] == "db_class":
            topology = with_class(topology, str(row["item"]), str(row["to"]), catalog=catalog)
        else:
            changes |= _of_order(topology, row)
    return changed(topology, changes)


def _of_order(topology: Topology, row: Mapping[Any, Any]) -> dict[tuple[str, ...], Any]:
    """Return what an order changes; nothing for storage, whose days are not judged by minute."""
    item, to = str(row["item"]), str(row["to"])
    setting, _, database = str(row["id"]).partition(":")[2].partition(":")[2].partition(":")
    if row["kind"] == "nodes":
        return {("pools", item, "today"): int(to)}
    if row["kind"] == "quota":
        place = ("externals", item, "limit_rps") if item in topology.externals else None
        place = ("limits", item, "hard") if item in topology.limits else place
        return {} if place is None else {place: float(to)}
    paths: dict[str, tuple[str, ...]] = {
        "pool_max": ("databases", database, "used_by", item, "pool_max"),
        "replicas.max": ("services", item, "replicas", "max"),
        "readers": ("databases", item, "readers"),
    }
    return {paths[setting]: int(to)} if setting in paths else {}


def changed(topology: Topology, changes: Mapping[tuple[str, ...], Any]) -> Topology:
    """Return the topology with fields changed, by their path; None changes nothing.

    Bounds that would stand below the new value move along: a pool's `max`, an autoscaler's.
    """
    data = topology.model_dump(by_alias=True)
    for path, value in changes.items():
        if value is None:
            continue
        place = data
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = value
        if path[0] == "pools" and (place.get("max") or value) < value:
            place["max"] = value  # an order of more nodes raises the bound of the pool
        if path[-2:] == ("replicas", "today") and place.get("max") is not None:
            place["max"] = max(place["max"], value)
    return type(topology).model_validate(data)


def standing_estate(
    fit: CapacityFit, request: PlanRequest, topology: Topology, dates: np.ndarray
) -> Estate:
    """Return an estate at central coefficients, its columns those of `dates`.

    Parameters
    ----------
    fit, request
        What is known of usage and calls, and a request whose horizon holds the dates.
    topology
        What stands.
    dates
        Local day of each column, shape (N,).
    """
    exact = replace(
        fit,
        topology=topology,
        usage={key: _certain(line) for key, line in fit.usage.items()},
        calls=certain_calls(fit.calls),
    )
    estate = make_estate(exact, replace(request, draws=1), exact.calls)
    day = np.searchsorted(request.dates, dates)
    return replace(estate, surge=estate.surge[day])


def _certain(line: LinearUsage) -> LinearUsage:
    """Return a usage line without its uncertainty."""
    return replace(
        line,
        covariance=np.zeros_like(line.covariance),
        load_max=np.full_like(line.load_max, np.inf),
        load_per_pod_max=math.inf,
        load_total_max=math.inf,
    )
