"""Each service's miss, split into driver, calls per event, cost per request and headroom.

This module answers: which factor made the plan wrong? Steps are taken in this order, each with the
actual factor put in place of the planned one, first in requests per second, then in cores, then in
pods:

    driver -> fan_out -> per_request -> headroom

    rps = driver * fan_out;  cores = rps * per_request;  pods = cores / (headroom * cores of a pod)

where headroom is how full the provisioned pods are by the cores that requests take [ratio].
"""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Any, Final

import numpy as np
import pandas as pd

from capmodel.retro.comparable import Comparable
from capmodel.retro.decompose import exact_steps, running_products
from capmodel.retro.observed import Observed
from capmodel.retro.planned import Planned

__all__ = ["ORDER", "decomposition_frame"]

ORDER: Final = ("driver", "fan_out", "per_request", "headroom")
"""In which factors are replaced; what two of them make together counts to the later."""
COLUMNS: Final = [
    "service", "total", "unit", "step", "planned_factor", "actual_factor", "change", "from", "to",
]  # fmt: skip


def decomposition_frame(planned: Planned, observed: Observed, actual: Comparable) -> pd.DataFrame:
    """Return each service's steps from the planned peak to the actual one.

    ``change`` is `Decimal`: the steps of one service and total sum to ``to`` of the last less
    ``from`` of the first, to the last digit.
    """
    rows: list[dict[str, Any]] = []
    for node in observed.nodes:
        if planned.kind[node] == "root" or not planned.roots_of[node]:
            continue
        rows += _of_node(planned, observed, actual, node)
    return pd.DataFrame(rows, columns=COLUMNS)


def _of_node(
    planned: Planned, observed: Observed, actual: Comparable, node: str
) -> list[dict[str, Any]]:
    season = planned.in_season
    value, day = actual.season(node, season)
    driver = _driver_x(planned, observed, actual, node)
    point = planned.points[node]
    if math.isnan(value) or math.isnan(driver) or point <= 0:
        return []
    shown = _first_root_rate(planned, actual, node)
    fan_out = point / shown[0], value / shown[1]
    # The driver is counted as planned load: with several roots it is their planned mix that grows.
    factors = {"driver": (point, point * driver), "fan_out": (1.0, value / (point * driver))}
    words = {"driver": shown, "fan_out": fan_out}
    rows = _steps(node, "peak_rps", "1/s", factors, words)
    cost = _per_request(planned, observed, node, day)
    if cost is None:
        return rows
    factors["per_request"] = words["per_request"] = cost
    rows += _steps(node, "cpu_cores", "cores of requests", factors, words)
    provided = _pods(planned, observed, node, day)
    if provided is None:
        return rows
    size, pods = provided
    full = (
        point * cost[0] / (pods[0] * size),
        value * cost[1] / (pods[1] * size),
    )
    factors["headroom"] = 1 / full[0] / size, 1 / full[1] / size
    words["headroom"] = full
    return [*rows, *_steps(node, "pods", "pods", factors, words)]


def _steps(
    node: str,
    total: str,
    unit: str,
    factors: dict[str, tuple[float, float]],
    words: dict[str, tuple[float, float]],
) -> list[dict[str, Any]]:
    totals = running_products(
        [before for before, _ in factors.values()], [after for _, after in factors.values()]
    )
    changes = exact_steps(totals)
    return [
        {
            "service": node,
            "total": total,
            "unit": unit,
            "step": step,
            "planned_factor": words[step][0],
            "actual_factor": words[step][1],
            "change": Decimal(f"{change.normalize():f}"),
            "from": totals[k],
            "to": totals[k + 1],
        }
        for k, (step, change) in enumerate(zip(factors, changes, strict=True))
    ]


def _driver_x(planned: Planned, observed: Observed, actual: Comparable, node: str) -> float:
    """Return the actual over the planned peaks of the roots, by their planned share of the node."""
    roots = planned.roots_of[node]
    shares = _shares(planned, node)
    total = 0.0
    for root in roots:
        if root not in observed.nodes:
            return math.nan
        value, _ = actual.season(root, planned.in_season)
        total += shares[root] * value / planned.points[root]
    return total


def _first_root_rate(planned: Planned, actual: Comparable, node: str) -> tuple[float, float]:
    """Return the largest root's planned and actual peak [1/s]."""
    shares = _shares(planned, node)
    root = max(shares, key=lambda name: shares[name])
    seconds = planned.seconds(root)
    return planned.points[root] / seconds, actual.season(root, planned.in_season)[0] / seconds


def _shares(planned: Planned, node: str) -> dict[str, float]:
    """Return each root's share of the node's planned load, from the plan's calls [ratio]."""
    roots = planned.roots_of[node]
    if len(roots) == 1:
        return {roots[0]: 1.0}
    calls = planned.plan.frames["fits"]
    calls = calls[calls["resource"] == "calls"]
    edges = {
        (str(term).removeprefix("per "), str(service)): float(value)
        for term, service, value in zip(
            calls["term"], calls["service"], calls["value"], strict=True
        )
    }

    def per(root: str, at: str) -> float:
        if at == root:
            return 1.0
        callers = [(caller, x) for (caller, called), x in edges.items() if called == at]
        return sum(x * per(root, caller) for caller, x in callers)

    load = {root: per(root, node) * planned.points[root] / planned.seconds(root) for root in roots}
    whole = sum(load.values())
    return {root: part / whole if whole else 1 / len(roots) for root, part in load.items()}


def _fitted(planned: Planned, node: str) -> dict[str, float]:
    fits = planned.plan.frames["fits"]
    own = fits[(fits["service"] == node) & (fits["resource"] == "cpu_cores")]
    return {str(t): float(v) for t, v in zip(own["term"], own["value"], strict=True)}


def _per_request(
    planned: Planned, observed: Observed, node: str, day: int
) -> tuple[float, float] | None:
    """Return planned and actual core-seconds per request in the peak's own step, None unknown.

    From the measured cores goes what the plan's fit gives to pods and idling, whatever the load.
    """
    terms = _fitted(planned, node)
    history = observed.history
    if "per_request" not in terms or "cpu_cores" not in history.measured(node):
        return None
    at = int(observed.peak_at[node][day])
    cores = float(history.series(node, "cpu_cores")[at])
    rate = float(observed.peaks[node][day]) / planned.seconds(node)
    other = terms.get("idle", 0.0)
    if terms.get("per_pod", 0.0):
        pods = _running(observed, node, at)
        other += terms["per_pod"] * (pods if pods is not None else math.nan)
    actual = (cores - other) / rate if rate > 0 else math.nan
    if not (actual > 0 and terms["per_request"] > 0):
        return None
    return terms["per_request"], actual


def _running(observed: Observed, node: str, at: int) -> float | None:
    if "replicas" not in observed.history.measured(node):
        return None
    return float(observed.history.series(node, "replicas")[at])


def _pods(
    planned: Planned, observed: Observed, node: str, day: int
) -> tuple[float, tuple[float, float]] | None:
    """Return the cores of a pod, and the pods planned and running at the peak, None unknown."""
    service = planned.plan.meta["topology"]["services"].get(node)
    pod = service.get("pod") if service else None
    needed = planned.frame("services", planned.main)
    rows = needed[needed["service"] == node] if len(needed) else needed
    running = _running(observed, node, int(observed.peak_at[node][day]))
    if not pod or rows.empty or running is None:
        return None
    wanted = float(rows["replicas_needed"].iloc[0])
    if not (np.isfinite(wanted) and wanted > 0 and running > 0):
        return None
    return float(pod["cpu_cores"]), (wanted, running)
