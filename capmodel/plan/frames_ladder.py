"""The ladder of limits, and who fills each, as frames.

This module answers: what breaks first, when, how likely, what is the cheapest relief and how long
does it take, and which callers fill the limit?
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pandas as pd

from capmodel.capacity.estate import AUTOSCALED, pod_requests
from capmodel.capacity.evaluate import (
    database_instant,
    database_rates,
    declared_shares,
    pool_instant,
    pool_pods_per_zone,
    zone_pods,
)
from capmodel.plan.frames_limits import MIXTURE
from capmodel.plan.paths import At, at_p50
from capmodel.plan.supply_databases import connection_sheet

if TYPE_CHECKING:
    from capmodel.capacity.sizing import LimitPaths
    from capmodel.plan.make import Solved

__all__ = ["ladder_frame", "shares_frame"]

LADDER_COLUMNS = [
    "rank", "node", "limit", "tier", "status", "first_policy_breach", "first_hard_breach",
    "breaks_at_x", "p_saturate", "p_first", "relief", "usd_season", "lead_days", "order_by",
]  # fmt: skip
_ASKED_FOR = frozenset({"quota", "usage", "addresses"})
"""Limits whose order is a request to others; a pool's nodes and its addresses share their item."""
SHARE_COLUMNS = ["node", "limit", "user", "usage", "unit", "share"]


def ladder_frame(
    limits: pd.DataFrame, remedies: pd.DataFrame, orders: pd.DataFrame
) -> pd.DataFrame:
    """Return the mixture's limits, what breaks first on top, each with its cheapest relief.

    Parameters
    ----------
    limits, remedies, orders
        The plan's frames of these names; limits without a bound are left out.
    """
    rows = limits[(limits["scenario"] == MIXTURE) & limits["hard"].notna()]
    first = {(r["node"], r["limit"]): r for r in remedies[remedies["rank"] == 1].to_dict("records")}
    due = {
        (str(o["item"]), o["kind"] == "quota"): str(o["latest_by"])
        for o in reversed(orders.to_dict("records"))
    }
    ladder = []
    for rank, row in enumerate(rows.to_dict("records"), 1):
        relief = first.get((row["node"], row["limit"])) if row["status"] != "GREEN" else None
        ladder.append(
            {column: row[column] for column in LADDER_COLUMNS if column in row}
            | {
                "rank": rank,
                "relief": f"{relief['remedy']} {relief['from']} to {relief['to']}"
                if relief
                else "",
                "usd_season": relief["usd_season"] if relief else None,
                "lead_days": relief["lead_days"] if relief else math.nan,
                "order_by": due.get((str(row["node"]), row["limit"] in _ASKED_FOR), "")
                if relief
                else "",
            }
        )
    return pd.DataFrame(ladder, columns=LADDER_COLUMNS)


def shares_frame(solved: Solved) -> pd.DataFrame:
    """Return who fills each shared limit on the path of the mixture's P50, largest first."""
    rows: list[dict[str, Any]] = []
    for path in solved.paths:
        parts = sorted(_parts(solved, path), key=lambda part: (-part[1], part[0]))
        total = math.fsum(usage for _, usage in parts)
        rows += [
            {
                "node": path.limit.node,
                "limit": path.limit.name,
                "user": user,
                "usage": usage,
                "unit": path.limit.unit,
                "share": usage / total if total > 0 else 0.0,
            }
            for user, usage in parts
        ]
    return pd.DataFrame(rows, columns=SHARE_COLUMNS)


def _parts(solved: Solved, path: LimitPaths) -> Iterator[tuple[str, float]]:
    """Yield (user, usage) of a limit that several users fill; idle usage belongs to nobody."""
    limit = path.limit
    if limit.kind == "connections" and solved.estate.topology.databases[limit.node].proxy:
        yield from _session_parts(solved, limit.node, at_p50(solved, path, solved.request.weights))
        return
    if limit.kind == "connections":
        sheet = connection_sheet(solved, MIXTURE, limit.node, {limit.key: path})
        yield from ((str(row["service"]), float(row["connections"])) for row in sheet)
        return
    if limit.kind not in {"database_cores", "nodes", "declared", "addresses"}:
        return
    at = at_p50(solved, path, solved.request.weights)
    if limit.kind == "database_cores":
        yield from _core_parts(solved, limit.node, at)
    elif limit.kind == "nodes":
        yield from _node_parts(solved, limit.node, at)
    elif limit.kind == "addresses":
        yield from _address_parts(path, at)
    else:
        for share in declared_shares(at.estate, at.loads, limit.node):
            yield share.user, at.of(share.usage)


def _session_parts(solved: Solved, name: str, at: At) -> Iterator[tuple[str, float]]:
    """Yield (user, mean sessions that its queries keep busy behind a proxy)."""
    database = solved.estate.topology.databases[name]
    queries = {user: caller.reads + caller.writes for user, caller in database.used_by.items()}
    instant = at.loads.instant({user: max(each, 1e-12) for user, each in queries.items()})
    for user, each in queries.items():
        yield user, at.of(at.loads.at(user, instant)) * each * database.hold_s


def _core_parts(solved: Solved, name: str, at: At) -> Iterator[tuple[str, float]]:
    use = solved.estate.databases[name]
    users = solved.estate.topology.databases[name].used_by
    instant = database_instant(at.estate, at.loads, name)
    for user in users:
        alone = {u: at.of(at.loads.at(u, instant)) if u == user else 0.0 for u in users}
        reads, writes = database_rates(solved.estate, name, alone)
        cores = at.of(use.per_read) * float(reads) + at.of(use.per_write) * float(writes)
        yield user, cores


def _address_parts(path: LimitPaths, at: At) -> Iterator[tuple[str, float]]:
    """Yield each service's part of a zone's addresses, by its pods; nodes' reserves go along."""
    pods, _ = zone_pods(at.estate, at.loads, path.limit.node)
    total = math.fsum(at.of(count) for count in pods.values())
    usage = float(path.season_peak[at.scenario, at.draw])
    for service, count in pods.items():
        yield service, usage * at.of(count) / total if total > 0 else 0.0


def _node_parts(solved: Solved, name: str, at: At) -> Iterator[tuple[str, float]]:
    """Yield each service's part of the nodes, by the resource that fills them."""
    node, zones = solved.estate.nodes[name], solved.estate.topology.pools[name].zones
    offered = (node.cpu_cores, node.memory_gib, float(node.pods))
    instant = pool_instant(at.estate, at.loads, name)
    pods = pool_pods_per_zone(at.estate, at.loads, name, AUTOSCALED, instant)
    filled = {
        service: [
            at.of(count) * r / o
            for r, o in zip(pod_requests(at.estate, service), offered, strict=True)
        ]
        for service, count in pods.items()
    }
    totals = [math.fsum(parts[k] for parts in filled.values()) for k in range(len(offered))]
    binding = totals.index(max(totals))
    for service, parts in filled.items():
        yield service, zones * parts[binding]
