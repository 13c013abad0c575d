"""What relieves each limit that needs it, best first, as a frame."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pandas as pd

from capmodel.capacity.databases import status_of
from capmodel.capacity.estate import RAISED_BY_OTHERS
from capmodel.capacity.quota_relief import QuotaPressure, quota_remedies
from capmodel.capacity.remedies import Remedy
from capmodel.capacity.replicas import SLACK
from capmodel.capacity.risk import mixture_value
from capmodel.plan.after import hard_after, quota_ask, quota_needed
from capmodel.plan.frames_limits import MIXTURE

if TYPE_CHECKING:
    from capmodel.capacity.sizing import LimitPaths
    from capmodel.plan.make import Solved
    from capmodel.plan.supply import Supply

__all__ = ["remedies_frame"]

REMEDY_COLUMNS = [
    "node", "limit", "rank", "remedy", "from", "to", "utilization_after", "status_after",
    "usd_season", "lead_days", "basis",
]  # fmt: skip


def remedies_frame(solved: Solved, supply: Supply) -> pd.DataFrame:
    """Return ranked relief for every limit that is AMBER or RED in the mixture."""
    rows: list[dict[str, Any]] = []
    for (name, limit), remedies in supply.databases.remedies.items():
        rows += [_remedy_row(name, limit, rank, r) for rank, r in enumerate(remedies, 1)]
    rows += _other_remedies(solved, supply)
    return pd.DataFrame(rows, columns=REMEDY_COLUMNS)


def _remedy_row(node: str, limit: str, rank: int, remedy: Remedy) -> dict[str, Any]:
    return {
        "node": node,
        "limit": limit,
        "rank": rank,
        "remedy": remedy.remedy,
        "from": remedy.from_value,
        "to": remedy.to_value,
        "utilization_after": remedy.utilization_after,
        "status_after": remedy.status_after,
        "usd_season": remedy.usd_season,
        "lead_days": float(remedy.lead_days),
        "basis": remedy.basis,
    }


def _other_remedies(solved: Solved, supply: Supply) -> list[dict[str, Any]]:
    """Return the relief of quotas, autoscaler bounds and pools."""
    rows: list[dict[str, Any]] = []
    for path in solved.paths:
        limit = path.limit
        if not math.isfinite(limit.hard) or limit.kind in {"database_cores", "connections"}:
            continue
        p50 = mixture_value(path.season_peak, 0.5, solved.request.weights)
        if limit.kind in {"database", "storage"}:
            found = _of_instances(solved, supply, path, p50)
        elif limit.kind in RAISED_BY_OTHERS:
            found = _of_somebody_else(solved, path, p50)
        elif limit.kind == "throttling":
            found = _without_limit(solved, path, p50)
        else:
            found = _of_ours(solved, supply, path, p50)
        rows += [_remedy_row(*limit.key, rank, remedy) for rank, remedy in enumerate(found, 1)]
    return rows


def _of_somebody_else(solved: Solved, path: LimitPaths, p50: float) -> tuple[Remedy, ...]:
    """Return what relieves a limit that only its owner can raise, where it needs relief."""
    limit, needed = path.limit, quota_needed(solved, path)
    if needed <= limit.hard and p50 <= limit.policy:
        return ()
    external = solved.estate.topology.externals.get(limit.node)
    today = limit.curve.usage(1.0)
    pressure = QuotaPressure(
        load=p50,
        today=today,
        hard=limit.hard,
        policy_x=limit.policy_x,
        needed=needed,
        lead_days=limit.lead_days,
        basis=limit.basis,
        shed_max=external.shed_max if external else 0.0,
        waits=external.waits if external else False,
    )
    found = quota_remedies(pressure, ask=quota_ask(solved, path))
    if limit.kind == "addresses":
        return tuple(replace(remedy, remedy="more addresses per zone") for remedy in found)
    return found


def _without_limit(solved: Solved, path: LimitPaths, p50: float) -> tuple[Remedy, ...]:
    """Return the relief of pods that their CPU limit stops: no limit, nothing throttles then."""
    limit, pod = path.limit, solved.estate.topology.services[path.limit.node].pod
    if p50 <= limit.policy:
        return ()
    today = "today's" if pod is None or pod.cpu_limit_cores is None else f"{pod.cpu_limit_cores:g}"
    return (
        Remedy(
            remedy="remove the CPU limit",
            from_value=today,
            to_value="none",
            utilization_after=0.0,
            status_after="GREEN",
            usd_season=None,
            lead_days=0,
            basis=limit.basis,
        ),
    )


def _of_instances(
    solved: Solved, supply: Supply, path: LimitPaths, p50: float
) -> tuple[Remedy, ...]:
    """Return what of the orders relieves a database's instances, where they need relief."""
    limit, sizes = path.limit, solved.sizes[path.limit.tier].sizes
    if p50 <= limit.policy and sizes[limit.key] <= limit.hard:
        return ()
    database = solved.estate.topology.databases[limit.node]
    need = supply.databases.needs[MIXTURE, limit.node]
    after = hard_after(solved, supply, path)
    words, values = "change the class", (database.db_class, need.ordered.name)
    if limit.kind == "storage":
        words, values = "allocate more storage", (f"{limit.hard:g}", f"{after:g}")
    elif limit.name == "applier":
        after = float(max(math.ceil(p50 / limit.policy_x - SLACK), database.appliers))
        words, values = "apply in parallel", (f"{database.appliers}", f"{after:g}")
    elif need.readers > database.readers:
        words, values = "add readers", (f"{database.readers}", f"{need.readers}")
    remedy = Remedy(
        remedy=words,
        from_value=values[0],
        to_value=values[1],
        utilization_after=p50 / after,
        status_after=status_of(p50 / after, policy_x=limit.policy_x),
        usd_season=None,
        lead_days=0,
        basis=limit.basis,
    )
    return (remedy,)


def _of_ours(solved: Solved, supply: Supply, path: LimitPaths, p50: float) -> tuple[Remedy, ...]:
    """Return the plain relief of autoscaler bounds and pools: have as much as is needed."""
    limit = path.limit
    if limit.kind == "nodes":
        units, each = limit.hard, 1.0
        wanted = float(supply.pools[MIXTURE, limit.node].placed.nodes)
        words, lead = "add nodes", solved.request.orders.nodes.recommended_days
    else:
        units = float(solved.estate.services[limit.node].maximum or 1)
        each = limit.hard / units
        wanted = supply.services[MIXTURE, limit.node].replicas
        words, lead = "raise replicas.max", 0
    if not math.isfinite(wanted) or (wanted <= units and p50 <= limit.policy):
        return ()
    after = p50 / (max(wanted, units) * each)
    remedy = Remedy(
        remedy=words,
        from_value=f"{units:,.6g}",
        to_value=f"{max(wanted, units):,.6g}",
        utilization_after=after,
        status_after=status_of(after, policy_x=limit.policy_x),
        usd_season=None,
        lead_days=lead,
        basis=limit.basis,
    )
    return (remedy,)
