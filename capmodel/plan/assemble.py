"""From solved arrays to the plan: every frame, what was asked, what was assumed."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from capmodel.capacity.replicas import ceil_units
from capmodel.capacity.sizing import hard_row
from capmodel.peaks import hour_mean_undersize
from capmodel.plan.assumptions import assumptions_frame
from capmodel.plan.calendar_yoy import calendar_sentences, calendar_yoy_frame
from capmodel.plan.explain import factors_frame
from capmodel.plan.frames_demand import demand_frame, fits_frame, lifts_frame, yoy_frame
from capmodel.plan.frames_limits import MIXTURE, limits_frame, risk_frame
from capmodel.plan.frames_money import (
    cost_frame,
    quota_needed,
    remedies_frame,
    today_usd,
    waterfall_frame,
)
from capmodel.plan.frames_orders import orders_frame
from capmodel.plan.frames_overlays import overlays_frame
from capmodel.plan.frames_supply import (
    databases_frame,
    nodes_frame,
    services_frame,
    sizing_frame,
)
from capmodel.plan.planset import PlanSet, environment
from capmodel.plan.range_seen import beyond_seen
from capmodel.plan.supply import make_supply
from capmodel.schema import Finding, Findings

if TYPE_CHECKING:
    import pandas as pd

    from capmodel.capacity.sizing import LimitPaths
    from capmodel.catalog import DbClass, NodeType
    from capmodel.plan.make import Solved
    from capmodel.plan.supply import Supply

__all__ = ["assemble"]


def assemble(solved: Solved) -> PlanSet:
    """Return the plan of solved arrays."""
    supply = make_supply(solved)
    beyond = beyond_seen(solved)
    remedies = remedies_frame(solved, supply)
    orders, order_findings = orders_frame(solved, supply)
    findings = solved.fit.findings + Findings((*solved.futures.findings, *order_findings))
    findings = findings + solved.request.catalog.findings(
        solved.request.as_of, _rows_used(solved, supply)
    )
    findings = findings + Findings(tuple(_own_findings(solved, supply, beyond)))
    calendar = calendar_yoy_frame(solved)
    frames = {
        "demand": demand_frame(solved),
        "yoy": yoy_frame(solved),
        "calendar_yoy": calendar,
        "lifts": lifts_frame(solved),
        "fits": fits_frame(solved),
        "limits": _with_remedies(limits_frame(solved, beyond), remedies),
        "services": services_frame(solved, supply),
        "nodes": nodes_frame(solved, supply),
        "databases": databases_frame(solved, supply),
        "sizing": sizing_frame(supply),
        "cost": cost_frame(solved, supply),
        "waterfall": waterfall_frame(solved, supply),
        "orders": orders,
        "remedies": remedies,
        "overlays": overlays_frame(solved, supply),
        "risk": risk_frame(solved, exceeded_after(solved, supply)),
        "factors": factors_frame(solved, beyond),
        "assumptions": assumptions_frame(solved),
        "findings": findings.to_frame().drop(columns="data"),
    }
    return PlanSet(
        frames=frames,
        meta=_meta(solved, calendar),
        curves=_curves(solved),
        environment=environment(),
    )


def _with_remedies(limits: pd.DataFrame, remedies: pd.DataFrame) -> pd.DataFrame:
    """Name the first-ranked remedy beside each limit that needs one."""
    first = {
        (row["node"], row["limit"]): f"{row['remedy']} {row['from']} to {row['to']}"
        for row in remedies[remedies["rank"] == 1].to_dict("records")
    }
    words = [
        first.get((row["node"], row["limit"]), "") if row["status"] in {"RED", "AMBER"} else ""
        for row in limits.to_dict("records")
    ]
    return limits.assign(remedy=words)


def exceeded_after(solved: Solved, supply: Supply) -> dict[tuple[str, str], np.ndarray]:
    """Return by (node, limit) on which paths it is exceeded once everything is ordered, (S, D)."""
    needs = solved.needs
    after: dict[tuple[str, str], np.ndarray] = {}
    row = hard_row(needs.holds)
    if row is not None:
        for name, need in needs.pods.items():
            maximum = solved.estate.services[name].maximum
            if maximum is not None:
                allowed = max(float(maximum), supply.services[MIXTURE, name].replicas)
                after[name, "pods"] = ceil_units(need[row]) > allowed
        for name, need in needs.nodes.items():
            pool = solved.estate.topology.pools[name]
            ordered = supply.pools[MIXTURE, name].placed.nodes
            after[name, "nodes"] = ceil_units(need[row]) * pool.zones > max(
                pool.today or 0, ordered
            )
    for path in solved.paths:
        hard = _hard_after(solved, supply, path)
        relief = supply.relieved.get(path.limit.node) if path.limit.name == "connections" else None
        peak = path.season_peak if relief is None else relief.connections
        if math.isfinite(hard):
            after[path.limit.key] = peak > hard
    return after


def _hard_after(solved: Solved, supply: Supply, path: LimitPaths) -> float:
    """Return a database's or quota's hard value after the orders; nan for other limits."""
    limit = path.limit
    if limit.name == "quota":
        return max(limit.hard, quota_needed(solved, path))
    if limit.node not in solved.estate.topology.databases:
        return math.nan
    database = solved.estate.topology.databases[limit.node]
    chosen = supply.databases[MIXTURE, limit.node].ordered
    if chosen.name == database.db_class:
        return limit.hard
    if limit.name == "cpu_cores":
        return float(chosen.vcpu)
    return float(max(chosen.max_connections or 0, limit.hard))


def _rows_used(solved: Solved, supply: Supply) -> list[NodeType | DbClass]:
    catalog, topology = solved.request.catalog, solved.estate.topology
    rows: list[NodeType | DbClass] = [
        catalog.node_type(node.instance_type) for node in solved.estate.nodes.values()
    ]
    for (scenario, name), need in supply.databases.items():
        if scenario == MIXTURE:
            declared = topology.databases[name]
            today = catalog.db_class(declared.engine, declared.db_class)
            rows += [today, need.ordered]
    return rows


def _own_findings(solved: Solved, supply: Supply, beyond: Mapping[str, float]) -> list[Finding]:
    """Return what the plan itself has to say: missing evidence, extrapolation, infeasible needs."""
    findings = _ignored(solved)
    for name, service in solved.estate.services.items():
        if solved.estate.topology.services[name].pod is not None and not service.known:
            findings.append(
                Finding(
                    code="no_usage",
                    severity="warning",
                    service=name,
                    message="neither usage nor replicas today are known: its pods are not planned",
                )
            )
    for name, x in beyond.items():
        if x > 1:
            findings.append(
                Finding(
                    code="extrapolating",
                    severity="warning",
                    service=name,
                    message=(
                        f"extrapolating to {x:.2f} x the largest load seen; a load test in that "
                        "range would narrow the plan"
                    ),
                    data={"x": x},
                )
            )
    for (scenario, name), need in supply.services.items():
        maximum = solved.estate.services[name].maximum
        if scenario == MIXTURE and maximum is not None and need.replicas > maximum:
            findings.append(
                Finding(
                    code="replicas_max",
                    severity="warning",
                    service=name,
                    message=f"needs {need.replicas:g} pods, the autoscaler stops at {maximum}",
                    data={"needed": need.replicas, "max": maximum},
                )
            )
    return findings


def _ignored(solved: Solved) -> list[Finding]:
    """Return what the study states and this plan records without using it."""
    found = [
        Finding(
            code="pool_types",
            severity="info",
            service=name,
            message=f"sized on {pool.types[0]} alone; {', '.join(pool.types[1:])} are not used",
        )
        for name, pool in solved.estate.topology.pools.items()
        if len(pool.types) > 1
    ]
    found += [
        Finding(
            code="efficiency_not_applied",
            severity="warning",
            service=change.pool,
            message=(
                f"scenario {scenario.name}: cores_x {change.cores_x:g} is recorded, not applied"
            ),
        )
        for scenario in solved.request.scenarios
        for change in scenario.efficiency
    ]
    return found


def _meta(solved: Solved, calendar: pd.DataFrame) -> dict[str, Any]:
    request, fit = solved.request, solved.fit
    return {
        "title": request.title,
        "business_tz": fit.business_tz,
        "as_of": request.as_of.isoformat(),
        "horizon": {"start": request.start.isoformat(), "end": request.end.isoformat()},
        "season": {
            "start": request.season_start.isoformat(),
            "end": request.season_end.isoformat(),
        },
        "seed": request.seed,
        "draws": request.draws,
        "scenarios": [
            {
                "name": scenario.name,
                "weight": float(weight),
                "assumptions": scenario.model_dump(mode="json", by_alias=True),
            }
            for scenario, weight in zip(request.scenarios, request.weights, strict=True)
        ],
        "overlays": [overlay.model_dump(mode="json") for overlay in request.overlays],
        "today": {
            name: {"value": today.value, "quantity": today.quantity, "basis": today.basis}
            for name, today in fit.today.items()
        },
        "peak_basis": "minute",
        "season_x": _season_multiples(solved),
        "today_usd": str(today_usd(solved)),
        "freeze": [
            {"start": freeze.start.isoformat(), "end": freeze.end.isoformat()}
            for freeze in request.orders.freeze
        ],
        "inputs": dict(fit.inputs),
        "topology": solved.estate.topology.model_dump(mode="json", by_alias=True),
        "orders_policy": request.orders.model_dump(mode="json", by_alias=True),
        "notes": _notes(solved, calendar),
    }


def _season_multiples(solved: Solved) -> dict[str, float]:
    """Return each scenario's P50 season peak of the first root, by multiple of today."""
    root = solved.fit.roots[0]
    today = solved.fit.today[root].per_second
    season = solved.request.season
    return {
        name: float(np.median(load.root_peak(root)[:, season].max(axis=1))) / today
        for name, load in zip(solved.request.names, solved.futures.loads, strict=True)
    }


def _notes(solved: Solved, calendar: pd.DataFrame) -> dict[str, str]:
    """Return the sentences that stand under the report's sections."""
    bursts = {root: today.burst_x for root, today in solved.fit.today.items()}
    # A level that is declared as a busiest minute, without a factor, says nothing about its hour.
    known = {root: x for root, x in bursts.items() if x > 1 and _has_hours(solved, root)}
    sentences = ["Peaks are busiest minutes (peak_basis=minute)."]
    if known:
        shares = ", ".join(f"{hour_mean_undersize(x):.1%} ({r})" for r, x in known.items())
        sentences.append(
            f"Sizing on the mean of the busiest hour would under-size an ordinary day by {shares}."
        )
    main = solved.request.names[int(np.argmax(solved.request.weights))]
    sentences += calendar_sentences(calendar, scenario=main)
    return {"demand": " ".join(sentences)}


def _has_hours(solved: Solved, root: str) -> bool:
    """Return whether a root's busiest minute is known to differ from its hour's mean."""
    driver = solved.estate.topology.drivers.get(root)
    declared = driver is not None and driver.peak_minute_x is not None
    return declared or solved.futures.roots[root].root.shape.shape[2] > 1


def _curves(solved: Solved) -> tuple[Mapping[str, Any], ...]:
    return tuple(
        {
            "node": path.limit.node,
            "limit": path.limit.name,
            "unit": path.limit.unit,
            "hard": path.limit.hard,
            "policy_x": path.limit.policy_x,
            "curve": path.limit.curve.model_dump(mode="json"),
            "saturation": path.limit.saturation.model_dump(mode="json"),
        }
        for path in solved.paths
        if math.isfinite(path.limit.hard)
    )
