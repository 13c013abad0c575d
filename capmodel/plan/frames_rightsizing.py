"""Right-sized pods of each service, and what look-back tools recommend beside them, as frames.

This module answers: what should a pod request and how many should run in the season and in quiet,
which cores, GiB and USD does that free against today, and where would a tool that looks back leave
the season short? Sized on the mixture, at the level of the service's tier.

Shapes: S scenarios, D draws, N local days.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd

from capmodel.capacity.lookback import BesideRow, beside
from capmodel.capacity.rightsizing import (
    PodsToday,
    RightSize,
    ServicePods,
    SizingRules,
    Weights,
    right_size_all,
    rightsizing_rows,
)
from capmodel.cost import CORE_WEIGHT, GIB_WEIGHT, unit_price
from capmodel.plan.observations import digest_of_rows
from capmodel.schema import Finding, Findings, worst_basis

if TYPE_CHECKING:
    from datetime import date

    from capmodel.plan.make import Solved
    from capmodel.plan.request import PlanRequest

__all__ = ["RightSizing", "recommendation_digests", "right_sizing"]

RIGHTSIZING_COLUMNS: Final = [
    "service", "season", "status", "binding", "reason", "basis", "day",
    "today_pods", "replicas", "settled_pods",
    "today_cpu_cores", "cpu_request_cores", "least_cores",
    "today_memory_gib", "memory_request_gib", "least_gib", "hpa_percent",
    "cores", "freed_cores", "memory_gib", "freed_gib", "freed_usd_per_hour",
]  # fmt: skip
LOOKBACK_COLUMNS: Final = [
    "service", "resource", "unit", "source", "lookback_days", "verdict",
    "today", "theirs", "ours", "least", "short", "pods", "pods_at_theirs", "text",
]  # fmt: skip
_RECOMMENDED: Final = (
    "replicas", "settled_pods", "cpu_request_cores", "least_cores", "memory_request_gib",
    "least_gib", "hpa_percent", "cores", "freed_cores", "memory_gib", "freed_gib",
    "freed_usd_per_hour",
)  # fmt: skip
_UNITS: Final[Mapping[str, str]] = {"cpu_cores": "cores", "memory_gib": "GiB"}
_NO_QUIET: Final = "the horizon has no day outside the season"
_NO_PRICE: Final = "runs on no declared pool: what is freed has no price"
_NO_PROMISE: Final = "no hold row of the policy is promised to its tier"
ALL: Final = slice(None)


@dataclass(frozen=True, slots=True, eq=False)
class RightSizing:
    """The two frames, both empty where right-sizing was not asked for, and what is noted."""

    rightsizing: pd.DataFrame
    """Two rows per service, ``season`` and ``quiet``."""
    lookback: pd.DataFrame
    """One row per service, resource and tool."""
    findings: Findings


def right_sizing(solved: Solved) -> RightSizing:
    """Return each service's right-sized pods, beside what the imported tools recommend.

    Freed USD are those of requests at the price of a core and a GiB of the pool's type
    (:func:`capmodel.cost.unit_price`): the bill falls when nodes go.
    """
    request = solved.request
    results: list[RightSize] = []
    if "rightsizing" in request.also:
        results = [_right_size(solved, name) for name in solved.estate.topology.services]
    rows = [row for result in results for row in _rows(solved, result)]
    lookback, findings = _lookback(request, results)
    return RightSizing(
        rightsizing=pd.DataFrame(rows, columns=RIGHTSIZING_COLUMNS),
        lookback=pd.DataFrame(lookback, columns=LOOKBACK_COLUMNS),
        findings=findings,
    )


def recommendation_digests(request: PlanRequest) -> dict[str, str]:
    """Return the digest of the recommendations that were given, by the name of the input."""
    parts = [given.frame for given in request.recommendations]
    return {"recommendations": digest_of_rows(pd.concat(parts))} if parts else {}


def _right_size(solved: Solved, name: str) -> RightSize:
    """Return a service's right size under the rows that its tier is promised."""
    pods, policy = _pods(solved, name), solved.estate.topology.policy
    promised = tuple(hold for hold in policy.hold if hold.holds_for(pods.tier))
    if not promised:
        return RightSize(pods, "GREY", _NO_PROMISE, "assumed")
    [result] = right_size_all(
        [pods],
        policy=policy.model_copy(update={"hold": promised}),
        rules=_rules(solved, name),
        weights=_weights(solved, name),
    )
    return result


def _pods(solved: Solved, name: str) -> ServicePods:
    estate, request = solved.estate, solved.request
    service, use = estate.topology.services[name], estate.services[name]
    season = solved.needs.load_peak[name]
    quiet = _quiet_peak(solved, name)
    today = None
    if service.pod is not None and service.replicas.today is not None:
        pod = service.pod
        today = PodsToday(float(service.replicas.today), pod.cpu_cores, pod.memory_gib)
    return ServicePods(
        name=name,
        uses=use.uses,
        season_rps=season,
        quiet_rps=season if quiet is None else quiet,  # its row is left out below
        today=today,
        imbalance_x=use.imbalance_x,
        minimum=use.minimum,
        maximum=use.maximum,
        zones=estate.topology.pools[service.pool].zones if service.pool else None,
        tier=service.tier,
        level=solved.sizes[service.tier].level,
        scenario_weights=None if len(request.weights) == 1 else request.weights,
        season_day=_likely_day(solved, name),
        cpu_target=estate.targets(name)["cpu_cores"],
        startup_cores=service.pod.startup_cpu_cores if service.pod else None,
    )


def _quiet_peak(solved: Solved, name: str) -> np.ndarray | None:
    """Return the busiest minute outside the season, shape (S, D) [1/s]; None without such a day."""
    season, days = solved.season, len(solved.request.dates)
    spans = [span for span in (slice(0, season.start), slice(season.end, days)) if _any(span)]
    if not spans:
        return None
    return np.stack(
        [
            np.max([load.take(ALL, span).day_peak(name).max(axis=1) for span in spans], axis=0)
            for load in solved.futures.loads
        ]
    )


def _any(span: slice) -> bool:
    return bool(span.stop > span.start)


def _likely_day(solved: Solved, name: str) -> date | None:
    """Return the day on which most of the mixture's paths have the season's peak."""
    days = solved.needs.pods_day.get(name)
    if days is None:
        return None
    weights = np.repeat(solved.request.weights, days.shape[1])
    counted = np.bincount(days.ravel(), weights=weights)
    likely: date = solved.request.dates[int(counted.argmax())].item()
    return likely


def _rules(solved: Solved, name: str) -> SizingRules:
    """Return the rules, with no pod larger than what a node of the service's pool offers."""
    rules, pool = SizingRules(), solved.estate.topology.services[name].pool
    if pool is None:
        return rules
    node = solved.estate.nodes[pool]
    most = {
        "cpu_most_cores": min(rules.cpu_most_cores, node.cpu_cores),
        "memory_most_gib": min(rules.memory_most_gib, node.memory_gib),
    }
    return rules.model_copy(update=most)


def _weights(solved: Solved, name: str) -> Weights:
    """Return what a core and a GiB cost on the service's pool; without one, OpenCost's ratio."""
    pool = solved.estate.topology.services[name].pool
    if pool is None:
        return Weights(per_core=float(CORE_WEIGHT), per_gib=float(GIB_WEIGHT))
    node = solved.request.catalog.node_type(solved.estate.nodes[pool].instance_type)
    price = unit_price(node)
    return Weights(float(price.usd_per_core_hour), float(price.usd_per_gib_hour))


def _rows(solved: Solved, result: RightSize) -> list[dict[str, Any]]:
    """Return the rows of a service: text is never missing, numbers are nan where there is none."""
    topology, estate = solved.estate.topology, solved.estate
    priced = topology.services[result.name].pool is not None
    quiet_days = not solved.request.season.all()
    basis = worst_basis([estate.services[result.name].basis, estate.call_basis[result.name]])
    rows = []
    for row in rightsizing_rows([result]):
        made = {name: _finite(value) for name, value in row.items()}
        made["freed_usd_per_hour"] = made["freed_weight"] if priced else math.nan
        made["basis"] = worst_basis([result.basis, basis])
        made["day"] = "" if row["day"] is None else str(row["day"])
        if row["season"] == "quiet" and not quiet_days and result.season is not None:
            blank = dict.fromkeys(_RECOMMENDED, math.nan)
            made |= {**blank, "status": "GREY", "reason": _NO_QUIET, "binding": ""}
        elif result.season is not None and not priced:
            made["reason"] = "; ".join(filter(None, (row["reason"], _NO_PRICE)))
        rows.append(made)
    return rows


def _finite(value: Any) -> Any:
    """Return numbers as floats, nan for what no number or an infinite one stands for."""
    if value is None:
        return math.nan
    if isinstance(value, int | float):
        return float(value) if math.isfinite(value) else math.nan
    return value


def _lookback(
    request: PlanRequest, results: Sequence[RightSize]
) -> tuple[list[dict[str, Any]], Findings]:
    """Return the comparison's rows and all that reading and comparing noted."""
    if not request.recommendations:
        return [], Findings()
    theirs = pd.concat([given.frame for given in request.recommendations], ignore_index=True)
    found = beside(results, theirs, names=request.workloads)
    notes: list[Finding] = [note for given in request.recommendations for note in given.notes]
    return [_beside_row(row) for row in found.rows], Findings((*notes, *found.notes))


def _beside_row(row: BesideRow) -> dict[str, Any]:
    """Return a comparison; that no number of pods holds is told by its text."""
    made = asdict(row)
    return {name: _finite(value) for name, value in made.items()} | {"unit": _UNITS[row.resource]}
