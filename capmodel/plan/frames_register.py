"""The risk register: what may run out, how likely, who would notice, what is done about it by when.

This module answers, limit by limit and the likeliest first: on which day of which event is it
passed first, how much would be missing, whose traffic goes through it, which order relieves it by
which date, how likely is it still then, and which team owns it?
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from capmodel.capacity.loads import point_weights
from capmodel.capacity.risk import probability, standard_error
from capmodel.plan.frames_limits import MIXTURE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from capmodel.capacity.sizing import LimitPaths
    from capmodel.plan.make import Solved

__all__ = ["REGISTER_COLUMNS", "register_frame"]

REGISTER_COLUMNS = [
    "id", "rank", "node", "limit", "unit", "tier", "owner_team", "event", "day", "p_saturate",
    "mc_se", "p_first", "status", "hard", "expected_shortfall", "shortfall_if", "callers",
    "traffic", "traffic_share", "mitigation", "order_id", "order_by", "order_status", "residual_p",
    "usd",
]  # fmt: skip
PODS = frozenset({"pods", "replicas"})


@dataclass(frozen=True, slots=True)
class _Beside:
    """What the plan's other frames say, by (node, limit)."""

    judged: Mapping[tuple[str, str], Mapping[Any, Any]]
    """The mixture's rows of the limits."""
    users: Mapping[tuple[str, str], Sequence[str]]
    """Who fills a limit, the largest share first."""
    mitigation: Mapping[tuple[str, str], str]
    """Its remedies in words, the best first."""
    orders: Sequence[Mapping[Any, Any]]


def _beside(frames: Mapping[str, pd.DataFrame]) -> _Beside:
    limits, remedies = frames["limits"], frames["remedies"]
    users: dict[tuple[str, str], list[str]] = {}
    for row in frames["shares"].to_dict("records"):
        users.setdefault((row["node"], row["limit"]), []).append(row["user"])
    words: dict[tuple[str, str], list[str]] = {}
    for row in remedies.sort_values("rank", kind="stable").to_dict("records"):
        said = f"{row['rank']}. {row['remedy']} {row['from']} to {row['to']}"
        words.setdefault((row["node"], row["limit"]), []).append(said)
    return _Beside(
        judged={
            (row["node"], row["limit"]): row
            for row in limits[limits["scenario"] == MIXTURE].to_dict("records")
        },
        users=users,
        mitigation={key: "; ".join(said) for key, said in words.items()},
        orders=frames["orders"].to_dict("records"),
    )


def register_frame(
    solved: Solved,
    frames: Mapping[str, pd.DataFrame],
    after: Mapping[tuple[str, str], np.ndarray],
) -> pd.DataFrame:
    """Return one row per bounded limit over the mixture, the likeliest to saturate on top.

    Parameters
    ----------
    solved
        The plan's arrays.
    frames
        Those made before: limits, remedies, orders, shares.
    after
        (node, limit) to the paths on which it is exceeded once everything is ordered, (S, D).

    Returns
    -------
    pandas.DataFrame
        ``day`` is the first on which the P50 is above the hard value, else the day on which most
        of the paths that pass it do so first, '' where none does; ``event`` is that day's.
        ``expected_shortfall`` is the mean over all paths of what is missing in the season's
        busiest minute, ``shortfall_if`` over the paths where something is [the limit's unit].
        ``traffic_share`` is the largest share of a root's events whose calls reach the node: calls
        per event, at most 1. ``residual_p`` is ``p_saturate`` once everything is ordered; for what
        no order changes it is the same.
    """
    beside = _beside(frames)
    weights = point_weights(solved.estate.topology, solved.futures.calls, event=True)
    made = [
        _row(solved, path, beside, after, weights)
        for path in solved.paths
        if math.isfinite(path.limit.hard)
    ]
    made.sort(
        key=lambda r: (-r["p_saturate"], r["tier"], r["day"] or "9999", r["node"], r["limit"])
    )
    return pd.DataFrame(
        [row | {"rank": rank} for rank, row in enumerate(made, 1)], columns=REGISTER_COLUMNS
    )


def _row(
    solved: Solved,
    path: LimitPaths,
    beside: _Beside,
    after: Mapping[tuple[str, str], np.ndarray],
    per_event: Mapping[str, Mapping[str, float]],
) -> dict[str, Any]:
    limit, weights = path.limit, solved.request.weights
    judged = beside.judged[limit.key]
    day = str(judged["first_hard_breach"]) or _likeliest_day(solved, path)
    order = _order_of(limit.node, limit.name, limit.kind, beside.orders)
    users = tuple(beside.users.get(limit.key, ())) or _callers(solved, limit.node)
    reached = _reached(users or (limit.node,), per_event)
    saturate = solved.limit_risk[limit.key].saturate
    left = _left(saturate, after, path, ordered=bool(order))
    usd = order.get("usd")
    return {
        "id": f"{limit.node}:{limit.name}",
        "node": limit.node,
        "limit": limit.name,
        "unit": limit.unit,
        "tier": limit.tier,
        "owner_team": owner_of(solved, limit.node),
        "event": _event_on(solved, day),
        "day": day,
        "p_saturate": probability(saturate, weights),
        "mc_se": standard_error(saturate, weights),
        "p_first": float(judged["p_first"]),
        "status": judged["status"],
        "hard": limit.hard,
        **_shortfall(path, weights),
        "callers": ", ".join(users),
        "traffic": ", ".join(f"{root} {share:.0%}" for root, share in reached.items()),
        "traffic_share": max(reached.values(), default=math.nan),
        "mitigation": beside.mitigation.get(limit.key, ""),
        "order_id": str(order.get("id", "")),
        "order_by": str(order.get("recommended_by") or order.get("latest_by") or ""),
        "order_status": str(order.get("status", "")),
        "residual_p": probability(left, weights),
        "usd": usd if isinstance(usd, Decimal) else None,
    }


def _left(
    saturate: np.ndarray,
    after: Mapping[tuple[str, str], np.ndarray],
    path: LimitPaths,
    *,
    ordered: bool,
) -> np.ndarray:
    """Return on which paths a limit is still exceeded once everything is ordered, shape (S, D).

    A service's limits share its pods: those that more of them relieve are left by its pods' need.
    """
    limit = path.limit
    if limit.kind in PODS:
        pods = after.get((limit.node, "pods"))
        return saturate & pods if ordered and pods is not None else saturate
    return after.get(limit.key, saturate)


def owner_of(solved: Solved, node: str) -> str:
    """Return the team that a node declares, '' where none."""
    topology = solved.estate.topology
    for kind in (
        topology.services, topology.databases, topology.externals, topology.pools, topology.limits,
    ):  # fmt: skip
        if node in kind:
            return kind[node].owner or ""
    return ""


def _likeliest_day(solved: Solved, path: LimitPaths) -> str:
    """Return the day on which most of the paths that pass the hard value do so first."""
    days = solved.season.end - solved.season.start
    counts = np.zeros(days + 1)
    for weight, breach in zip(solved.request.weights, path.breaches, strict=True):
        counts += weight * np.bincount(breach.day, minlength=days + 1)
    if not counts[:days].any():
        return ""
    return str(solved.request.dates[solved.season.start + int(counts[:days].argmax())])


def _event_on(solved: Solved, day: str) -> str:
    if not day:
        return ""
    position = int(np.flatnonzero(solved.request.dates == np.datetime64(day))[0])
    named = (minutes.root.event[position] for minutes in solved.futures.roots.values())
    return next((event for event in named if event), "")


def _shortfall(path: LimitPaths, weights: np.ndarray) -> dict[str, float]:
    """Return what is missing on average, over all paths and over those where something is.

    Paths on which no number of units suffices are left out: nothing can be said of how many.
    """
    finite = np.isfinite(path.full_peak)
    missing = np.where(finite, np.maximum(path.full_peak - path.limit.hard, 0.0), 0.0)
    expected = float(weights @ missing.mean(axis=1))
    p = probability((missing > 0) & finite, weights)
    return {"expected_shortfall": expected, "shortfall_if": expected / p if p else 0.0}


def _callers(solved: Solved, node: str) -> tuple[str, ...]:
    """Return who calls a node, or uses a database."""
    topology = solved.estate.topology
    if node in topology.databases:
        return tuple(topology.databases[node].used_by)
    return tuple(topology.calls_of(node))


def _reached(
    users: tuple[str, ...], per_event: Mapping[str, Mapping[str, float]]
) -> dict[str, float]:
    """Return by root the share of its events that reach one of the users, by the largest."""
    shares: dict[str, float] = {}
    for user in users:
        for root, calls in per_event.get(user, {}).items():
            shares[root] = max(shares.get(root, 0.0), min(calls, 1.0))
    return dict(sorted(shares.items(), key=lambda item: (-item[1], item[0])))


def _order_of(
    node: str, limit: str, kind: str, orders: Sequence[Mapping[Any, Any]]
) -> Mapping[Any, Any]:
    """Return the order that relieves a limit, {} where none does."""
    if kind in PODS:
        wanted = [f"config:{node}:replicas.max"]
    elif kind == "nodes":
        wanted = [f"nodes:{node}"]
    elif kind == "storage":
        wanted = [f"storage:{node}", f"config:{node}:storage"]
    elif kind in {"quota", "declared", "addresses"}:
        wanted = [f"quota:{node}", f"limit:{node}"]
    elif limit == "connections":
        wanted = ["pool_max", f"db_class:{node}"]
    else:
        wanted = [f"db_class:{node}", f"config:{node}:readers"]
    for start in wanted:
        for row in orders:
            name = str(row["id"])
            pooled = start == "pool_max" and ":pool_max:" in name and name.endswith(f":{node}")
            if pooled or name == start or name.startswith((f"{start}:", f"{start} ")):
                return row
    return {}
