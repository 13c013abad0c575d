"""What was to break first, what did, and for how long usage was above what stood there.

This module answers: which limit did the plan name first, which was reached first, how full was each
at its worst, and how many minutes were short of provisioned units?
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

import numpy as np
import pandas as pd

from capmodel.cost import cents
from capmodel.errors import InputError, Problem, nearest
from capmodel.retro.observed import Observed
from capmodel.retro.planned import Planned
from capmodel.schema import MIXTURE

__all__ = ["check_provisioned", "limits_frame", "money_frame", "usage_of"]

MEASURES: Final[Mapping[str, tuple[str, ...]]] = {
    "cpu_cores": ("cpu_cores",),
    "memory_gib": ("memory_gib",),
    "connections": ("connections",),
    "iops": ("iops_read", "iops_write"),
    "storage_gib": ("storage_gib",),
    "quota": ("rps",),
    "replicas": ("replicas",),
    "nodes": ("replicas",),
}
"""Limit to the quantities of a history that add up to its usage."""
COLUMNS: Final = [
    "node", "limit", "unit", "planned_rank", "planned_p50", "planned_p95", "planned_breach",
    "p_saturate", "hard", "provisioned", "provided_by", "actual", "actual_at", "utilization",
    "ape", "bias", "short_from", "short_minutes", "actual_rank",
]  # fmt: skip
MONEY_COLUMNS: Final = [
    "pool", "type", "planned_nodes", "actual_nodes_max", "actual_nodes_mean", "hours_seen",
    "hours_season", "price_usd_per_hour", "planned_usd", "actual_usd", "over_usd",
]  # fmt: skip
Provisioned = Mapping[tuple[str, str], float]


def limits_frame(planned: Planned, observed: Observed, provisioned: Provisioned) -> pd.DataFrame:
    """Return one row per planned limit, those that ran short first, then by how full they were.

    What stood there is what the caller says; else pods running times a pod's size, minute by
    minute, where pods were counted; else the plan's hard value.

    Raises
    ------
    InputError
        For a provisioned limit that the plan does not hold, or one that is not positive.
    """
    limits = planned.frame("limits", MIXTURE)
    point = planned.frame("limits", planned.main).set_index(["node", "limit"])["peak_p50"]
    keys = list(zip(limits["node"].astype(str), limits["limit"].astype(str), strict=True))
    check_provisioned(provisioned, keys)
    ladder = planned.plan.frames["ladder"]
    ranks = {
        (str(n), str(x)): int(r)
        for n, x, r in zip(ladder["node"], ladder["limit"], ladder["rank"], strict=True)
    }
    rows = []
    for row, key in zip(limits.to_dict("records"), keys, strict=True):
        rows.append(
            {
                "node": key[0],
                "limit": key[1],
                "unit": row["unit"],
                "planned_rank": ranks.get(key, len(ranks) + 1),
                "planned_p50": float(point.get(key, math.nan)),
                "planned_p95": float(row["peak_p95"]),
                "planned_breach": row["first_hard_breach"],
                "p_saturate": float(row["p_saturate"]),
                "hard": float(row["hard"]),
                **_actual(planned, observed, key, float(row["hard"]), provisioned),
            }
        )
    frame = pd.DataFrame(rows, columns=COLUMNS)
    error = (frame["planned_p50"] - frame["actual"]) / frame["actual"]
    frame["bias"], frame["ape"] = error, error.abs()
    return _ranked(frame)


def _ranked(frame: pd.DataFrame) -> pd.DataFrame:
    """Rank what was measured: by when it ran short, then by how full it was; NaN stays last."""
    order = frame.assign(
        when=frame["short_from"].where(frame["short_from"] != "", "9"),
        full=-frame["utilization"].fillna(-1.0),
    ).sort_values(["when", "full", "planned_rank"], kind="stable")
    ranked = frame.loc[order.index].reset_index(drop=True)
    known = ranked["actual"].notna().to_numpy()
    ranked["actual_rank"] = np.where(known, np.cumsum(known), np.nan)
    return ranked


def check_provisioned(provisioned: Provisioned, keys: list[tuple[str, str]]) -> None:
    """Refuse what is said to have stood there of limits that the plan does not hold."""
    problems = []
    names = [f"{node}.{limit}" for node, limit in keys]
    for (node, limit), value in provisioned.items():
        name = f"{node}.{limit}"
        if name not in names:
            near = nearest(name, names)
            problems.append(
                Problem(
                    where="provisioned",
                    got=f'no limit "{name}" in the plan',
                    expected=f"one of: {', '.join(names)}",
                    do=f'Did you mean "{near}"?' if near else "Correct the name.",
                )
            )
        elif not (math.isfinite(value) and value > 0):
            problems.append(
                Problem(
                    where=f"provisioned.{name}",
                    got=f"{value:g}",
                    expected="what stood there, above 0",
                    do="Give it in the limit's unit.",
                )
            )
    if problems:
        raise InputError(problems)


def _actual(
    planned: Planned,
    observed: Observed,
    key: tuple[str, str],
    hard: float,
    provisioned: Provisioned,
) -> dict[str, Any]:
    stated = provisioned.get(key)
    unknown = {
        "provisioned": stated if stated is not None else hard,
        "provided_by": "stated" if stated is not None else "the plan's hard value",
        "actual": math.nan,
        "actual_at": "",
        "utilization": math.nan,
        "short_from": "",
        "short_minutes": math.nan,
        "actual_rank": math.nan,
    }
    usage = usage_of(planned, observed, key)
    if usage is None:
        return unknown
    stood, by = _stood(planned, observed, key, stated, hard)
    full = usage / stood
    known = ~np.isnan(full)
    if not known.any():
        return unknown
    worst = int(np.nanargmax(usage))
    short = known & (full > 1)
    axis = observed.history.axis
    return {
        "provisioned": float(stood[worst]),
        "provided_by": by,
        "actual": float(usage[worst]),
        "actual_at": axis.local_text(worst),
        "utilization": float(np.nanmax(full)),
        "short_from": axis.local_text(int(np.argmax(short))) if short.any() else "",
        "short_minutes": float(short.sum() * observed.step_min),
        "actual_rank": math.nan,
    }


def usage_of(planned: Planned, observed: Observed, key: tuple[str, str]) -> np.ndarray | None:
    """Return a limit's usage in the season, shape (T,), None where it was not measured."""
    node, limit = key
    history = observed.history
    wanted = MEASURES.get(limit)
    if wanted is None or node not in history.services:
        return None
    there = [q for q in wanted if q in history.measured(node)]
    if not there:
        return None
    total = np.sum([history.series(node, q) for q in there], axis=0)
    return np.where(planned.in_season[observed.day_of_step], total, np.nan)


def _stood(
    planned: Planned,
    observed: Observed,
    key: tuple[str, str],
    stated: float | None,
    hard: float,
) -> tuple[np.ndarray, str]:
    """Return what stood there step by step, shape (T,), and who says so."""
    node, limit = key
    steps = np.ones(len(observed.day_of_step))
    if stated is not None:
        return steps * stated, "stated"
    service = planned.plan.meta["topology"]["services"].get(node) or {}
    pod, history = service.get("pod"), observed.history
    if limit in {"cpu_cores", "memory_gib"} and pod and "replicas" in history.measured(node):
        pods = history.series(node, "replicas")
        stood = np.where(pods > 0, pods * float(pod[limit]), np.nan)
        return stood, "pods running x a pod's size"
    return steps * hard, "the plan's hard value"


def money_frame(planned: Planned, observed: Observed) -> pd.DataFrame:
    """Return what the nodes of each pool cost against what was planned, for counted pools.

    Node-hours times the plan's own price, so that the difference is of nodes, not of prices.
    Hours that were not seen are not charged; their number stands beside.
    """
    cost = planned.frame("cost", MIXTURE)
    rows = []
    for row in cost[cost["kind"] == "nodes"].to_dict("records"):
        nodes = usage_of(planned, observed, (str(row["item"]), "nodes"))
        if nodes is None or np.isnan(nodes).all():
            continue
        hours = observed.step_min / 60
        seen = float((~np.isnan(nodes)).sum()) * hours
        node_hours = Decimal(str(float(np.nansum(nodes)) * hours))
        usd = cents(node_hours * Decimal(str(row["price_usd_per_hour"])))
        rows.append(
            {
                "pool": row["item"],
                "type": row["type"],
                "planned_nodes": float(row["count"]),
                "actual_nodes_max": float(np.nanmax(nodes)),
                "actual_nodes_mean": float(np.nanmean(nodes)),
                "hours_seen": seen,
                "hours_season": float(row["hours"]),
                "price_usd_per_hour": float(row["price_usd_per_hour"]),
                "planned_usd": row["usd"],
                "actual_usd": usd,
                "over_usd": usd - row["usd"],
            }
        )
    return pd.DataFrame(rows, columns=MONEY_COLUMNS)
