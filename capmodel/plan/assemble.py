"""From solved arrays to the plan: every frame, what was asked, what was assumed."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from capmodel.capacity.sizing import hard_row
from capmodel.plan.assumptions import assumptions_frame
from capmodel.plan.equip import root_basis
from capmodel.plan.explain import factors_frame
from capmodel.plan.frames_demand import demand_frame, fits_frame, lifts_frame, yoy_frame
from capmodel.plan.frames_limits import MIXTURE, limits_frame, risk_frame
from capmodel.plan.frames_money import cost_frame, quota_needed, remedies_frame, waterfall_frame
from capmodel.plan.frames_orders import orders_frame
from capmodel.plan.frames_supply import (
    databases_frame,
    nodes_frame,
    services_frame,
    sizing_frame,
)
from capmodel.plan.planset import PlanSet, environment
from capmodel.plan.supply import make_supply
from capmodel.schema import Finding, Findings

if TYPE_CHECKING:
    from capmodel.plan.make import Solved
    from capmodel.plan.supply import Supply

__all__ = ["assemble"]


def assemble(solved: Solved) -> PlanSet:
    """Return the plan of solved arrays."""
    supply = make_supply(solved)
    remedies = remedies_frame(solved, supply)
    orders, order_findings = orders_frame(solved, supply)
    findings = solved.fit.findings + Findings((*solved.futures.findings, *order_findings))
    findings = findings + solved.request.catalog.findings(solved.request.as_of, _rows_used(solved, supply))
    findings = findings + Findings(tuple(_own_findings(solved, supply)))
    frames = {
        "demand": demand_frame(solved),
        "yoy": yoy_frame(solved),
        "lifts": lifts_frame(solved),
        "fits": fits_frame(solved),
        "limits": _with_remedies(limits_frame(solved), remedies),
        "services": services_frame(solved, supply),
        "nodes": nodes_frame(solved, supply),
        "databases": databases_frame(solved, supply),
        "sizing": sizing_frame(supply),
        "cost": cost_frame(solved, supply),
        "waterfall": waterfall_frame(solved, supply),
        "orders": orders,
        "remedies": remedies,
        "risk": risk_frame(solved, exceeded_after(solved, supply)),
        "factors": factors_frame(solved),
        "assumptions": assumptions_frame(solved),
        "findings": findings.to_frame().drop(columns="data"),
    }
    return PlanSet(
        frames=frames, meta=_meta(solved), curves=_curves(solved), environment=environment()
    )


def _with_remedies(limits: pd.DataFrame, remedies: pd.DataFrame) -> pd.DataFrame:
    """Name the first-ranked remedy beside each limit that needs one."""
    first = remedies[remedies["rank"] == 1].set_index(["node", "limit"])
    words = [
        f"{first.loc[key, 'remedy']} {first.loc[key, 'from']} to {first.loc[key, 'to']}"
        if (key := (row.node, row.limit)) in first.index and row.status in {"RED", "AMBER"}
        else ""
        for row in limits.itertuples()
    ]
    return limits.assign(remedy=words)


def exceeded_after(solved: Solved, supply: Supply) -> dict[int, np.ndarray]:
    """Return by tier whether any limit is exceeded on a path once everything is ordered."""
    topology, needs = solved.estate.topology, solved.needs
    shape = (len(solved.request.names), solved.request.draws)
    after = {tier: np.zeros(shape, dtype=bool) for tier in solved.risks}
    row = hard_row(needs.holds)
    if row is not None:
        for name, need in needs.pods.items():
            available = supply.services[MIXTURE, name].replicas
            after[topology.tier_of(name)] |= need[row] > available
        for name, need in needs.nodes.items():
            available = float(supply.pools[MIXTURE, name].placed.nodes)
            after[topology.tier_of(name)] |= need[row] > available
    for path in solved.paths:
        hard = _hard_after(solved, supply, path)
        relief = supply.relieved.get(path.limit.node) if path.limit.name == "connections" else None
        peak = path.season_peak if relief is None else relief.connections
        if math.isfinite(hard):
            after[path.limit.tier] |= peak > hard
    return after


def _hard_after(solved: Solved, supply: Supply, path: Any) -> float:  # noqa: ANN401  LimitPaths
    """Return a database's or quota's hard value after the orders; nan for other limits."""
    limit = path.limit
    if limit.name == "quota":
        return max(limit.hard, quota_needed(solved, path))
    if limit.node not in solved.estate.topology.databases:
        return math.nan
    database = solved.estate.topology.databases[limit.node]
    chosen = supply.databases[MIXTURE, limit.node].choice.chosen
    if chosen is None or chosen.name == database.db_class:
        return limit.hard
    if limit.name == "cpu_cores":
        return float(chosen.vcpu)
    return float(max(chosen.max_connections or 0, limit.hard))


def _rows_used(solved: Solved, supply: Supply) -> list[Any]:
    catalog, topology = solved.request.catalog, solved.estate.topology
    rows: list[Any] = [catalog.node_type(node.instance_type) for node in solved.estate.nodes.values()]
    for (scenario, name), need in supply.databases.items():
        if scenario == MIXTURE:
            declared = topology.databases[name]
            today = catalog.db_class(declared.engine, declared.db_class)
            rows += [today, need.choice.chosen or today]
    return rows


def _own_findings(solved: Solved, supply: Supply) -> list[Finding]:
    """Return what the plan itself has to say: missing evidence, extrapolation, infeasible needs."""
    findings = []
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
    for path in solved.paths:
        limit = path.limit
        if limit.extrapolating_x > 1:
            findings.append(
                Finding(
                    code="extrapolating",
                    severity="warning",
                    service=limit.node,
                    message=(
                        f"{limit.name}: extrapolating to {limit.extrapolating_x:.2f} x the largest "
                        "load seen; a load test in that range would narrow the plan"
                    ),
                    data={"x": limit.extrapolating_x},
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


def _meta(solved: Solved) -> dict[str, Any]:
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
        "season_x": _season_multiples(solved),
        "freeze": [
            {"start": freeze.start.isoformat(), "end": freeze.end.isoformat()}
            for freeze in request.orders.freeze
        ],
        "inputs": dict(fit.inputs),
        "topology": solved.estate.topology.model_dump(mode="json", by_alias=True),
        "orders_policy": request.orders.model_dump(mode="json", by_alias=True),
        "notes": _notes(solved),
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


def _notes(solved: Solved) -> dict[str, str]:
    """Return the sentences that stand under the report's sections."""
    roots = [root for root in solved.fit.roots if root_basis(solved.fit, root) == "fitted"]
    notes = {}
    if roots:
        burst = {r: solved.fit.today[r].burst_x for r in roots}
        words = ", ".join(f"{1 - 1 / x:.1%} ({r})" for r, x in burst.items())
        notes["demand"] = (
            "Peaks are busiest minutes. Sizing on the mean of the busiest hour would under-size an "
            f"ordinary day by {words}."
        )
    declared = {
        name: driver.peak_minute_x
        for name, driver in solved.estate.topology.drivers.items()
        if driver.peak_minute_x is not None
    }
    if declared and not roots:
        words = ", ".join(f"{1 - 1 / x:.1%} ({r})" for r, x in declared.items())
        notes["demand"] = (
            f"Peaks are busiest minutes. Sizing on the hourly mean would under-size by {words}."
        )
    return notes


def _curves(solved: Solved) -> tuple[Mapping[str, Any], ...]:
    return tuple(
        {
            "node": path.limit.node,
            "limit": path.limit.name,
            "unit": path.limit.unit,
            "hard": path.limit.hard,
            "policy_x": path.limit.policy_x,
            "curve": path.limit.curve.model_dump(mode="json"),
        }
        for path in solved.paths
        if math.isfinite(path.limit.hard)
    )
