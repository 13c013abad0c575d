"""From solved arrays to the plan: every frame, what was asked, what was assumed."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from capmodel.capacity.use import targets_of
from capmodel.peaks import hour_mean_undersize
from capmodel.plan.after import exceeded_after
from capmodel.plan.assumptions import assumptions_frame
from capmodel.plan.calendar_yoy import calendar_sentences, calendar_yoy_frame
from capmodel.plan.equip import quota_of
from capmodel.plan.explain import factors_frame
from capmodel.plan.frames_demand import demand_frame, fits_frame, lifts_frame, yoy_frame
from capmodel.plan.frames_ladder import ladder_frame, shares_frame
from capmodel.plan.frames_limits import MIXTURE, limits_frame, risk_frame
from capmodel.plan.frames_money import (
    cost_frame,
    today_usd,
    waterfall_frame,
)
from capmodel.plan.frames_orders import orders_frame
from capmodel.plan.frames_overlays import overlays_frame
from capmodel.plan.frames_remedies import remedies_frame
from capmodel.plan.frames_supply import (
    databases_frame,
    nodes_frame,
    services_frame,
    sizing_frame,
)
from capmodel.plan.planset import PlanSet, environment
from capmodel.plan.range_seen import beyond_seen
from capmodel.plan.supply import hold_text, make_supply
from capmodel.schema import Finding, Findings

if TYPE_CHECKING:
    import pandas as pd

    from capmodel.capacity.use import PodUse
    from capmodel.catalog import DbClass, NodeType
    from capmodel.plan.make import Solved
    from capmodel.plan.supply import Supply
    from capmodel.topology import Hold

__all__ = ["assemble"]

STALE_DAYS = 14
"""A history that ends longer before the as-of date says little about today."""


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
    quotas = [
        quota_of(solved.estate.topology, solved.request.quotas, n) for n in solved.estate.declared
    ]
    used = [q for q in quotas if q is not None]
    findings = findings + solved.request.quotas.findings(solved.request.as_of, used)
    findings = findings + Findings(tuple(_own_findings(solved, supply, beyond)))
    calendar = calendar_yoy_frame(solved)
    limits = _with_remedies(limits_frame(solved, beyond), remedies)
    frames = {
        "demand": demand_frame(solved),
        "yoy": yoy_frame(solved),
        "calendar_yoy": calendar,
        "lifts": lifts_frame(solved),
        "fits": fits_frame(solved),
        "limits": limits,
        "ladder": ladder_frame(limits, remedies, orders),
        "shares": shares_frame(solved),
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


def _rows_used(solved: Solved, supply: Supply) -> list[NodeType | DbClass]:
    catalog, topology = solved.request.catalog, solved.estate.topology
    rows: list[NodeType | DbClass] = [
        catalog.node_type(node.instance_type) for node in solved.estate.nodes.values()
    ]
    for (scenario, name), need in supply.databases.needs.items():
        if scenario == MIXTURE:
            declared = topology.databases[name]
            today = catalog.db_class(declared.engine, declared.db_class)
            rows += [today, need.ordered]
    return rows


def _own_findings(solved: Solved, supply: Supply, beyond: Mapping[str, float]) -> list[Finding]:
    """Return what the plan itself has to say: missing evidence, extrapolation, infeasible needs."""
    findings = [*_ignored(solved), *_doubtful(solved)]
    findings += [*_without_evidence(solved), *_infeasible(solved, supply)]
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
        if scenario == MIXTURE and maximum is not None and maximum < need.replicas < math.inf:
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


def _without_evidence(solved: Solved) -> list[Finding]:
    """Return the services and databases that the plan cannot size, and what hangs on them."""
    topology, estate = solved.estate.topology, solved.estate
    found = []
    for name, service in topology.services.items():
        pooled = [n for n, db in topology.databases.items() if name in db.used_by]
        concerned = service.pod is not None or service.pool or service.usage or pooled
        if concerned and not estate.services[name].known:
            missing = "its pods are not planned"
            if service.replicas.today is not None and math.isnan(estate.today[name]):
                missing = f"today's load behind its {service.replicas.today} pods is not known"
            if pooled:
                missing += f", and its connections to {', '.join(pooled)} are missing"
            if service.usage and service.pod is None:
                missing += "; declared usage needs a pod to fill"
            found.append((name, f"pods do not follow from load: {missing}"))
    now = "today's load is not known: nothing is told as a multiple of it"
    found += [(name, now) for name, t in solved.fit.today.items() if math.isnan(t.value)]
    unknown = "the use of cores is not known: its CPU is not planned"
    found += [(name, unknown) for name in topology.databases if name not in estate.databases]
    undeclared = "today's nodes are not declared: none can be ordered or compared"
    found += [
        (name, undeclared) for name in solved.needs.nodes if topology.pools[name].today is None
    ]
    alone = [
        Finding("no_callers", "warning", name, "no service uses it: only its idle use is planned")
        for name, database in topology.databases.items()
        if not database.used_by
    ]
    return [*(Finding("no_evidence", "warning", name, message) for name, message in found), *alone]


def _infeasible(solved: Solved, supply: Supply) -> list[Finding]:
    """Return what no number of pods holds: at the median, or on too many paths for a hold row."""
    found = [
        _idle_beyond(solved, name, *over) for name, over in solved.estate.rates.infeasible.items()
    ]
    told = {finding.service for finding in found}
    rows = [(*key, need.rows) for key, need in supply.services.items()]
    rows += [(*key, need.rows) for key, need in supply.pools.items()]
    found += [
        Finding(
            code="infeasible",
            severity="warning",
            service=name,
            message=(
                f"{hold_text(row.hold)}: on too many paths idle pods exceed their target, no "
                "number of pods holds; nodes follow from the other rows"
            ),
        )
        for scenario, name, asked in rows
        for row in asked
        if scenario == MIXTURE and math.isinf(row.units) and name not in told
    ]
    return found


def _idle_beyond(solved: Solved, name: str, use: PodUse, hold: Hold) -> Finding:
    """Return the finding of a service whose idle pods exceed their target by themselves."""
    estate, service = solved.estate, solved.estate.topology.services[name]
    target = targets_of(hold, estate.topology.policy)[use.resource]
    hottest = estate.services[name].imbalance_x if hold.up_to == "hard" else 1.0
    words = "the hottest idle pod" if hottest > 1 else "an idle pod"
    missing = [f"the nodes of {service.pool}"] if service.pool else []
    if service.replicas.max is None:
        databases = estate.topology.databases.items()
        missing += [f"the connections of {n}" for n, db in databases if name in db.used_by]
    return Finding(
        code="infeasible",
        severity="warning",
        service=name,
        message=(
            f"{words} uses {use.per_pod * hottest:.4g} of {use.resource}, its target is "
            f"{target:g} x {use.request:g} = {target * use.request:.4g}: no number of pods holds"
            + (f"; left out of {' and '.join(missing)}" if missing else "")
        ),
        data={
            "resource": use.resource,
            "per_pod": use.per_pod,
            "target": target,
            "request": use.request,
        },
    )


def _doubtful(solved: Solved) -> list[Finding]:
    """Return databases that would be full today, and a history that ends far from as_of."""
    found = [
        Finding(
            code="unit_suspect",
            severity="warning",
            service=path.limit.node,
            message=(
                f"uses {path.limit.curve.usage(1.0):.3g} cores today, its class has "
                f"{path.limit.hard:g}; percent instead of cores?"
            ),
        )
        for path in solved.paths
        if path.limit.node in solved.estate.databases
        and path.limit.name == "cpu_cores"
        and path.limit.curve.usage(1.0) > path.limit.hard
    ]
    last, as_of = solved.fit.last_day, solved.request.as_of
    if last is not None and not 0 < (as_of - last).days <= STALE_DAYS:
        late = as_of > last
        words = "the newest rows are old" if late else "rows after as_of are used"
        found.append(
            Finding(
                code="as_of",
                severity="warning",
                service="",
                message=f"the history ends on {last}, the plan is made as of {as_of}: {words}",
            )
        )
    return found


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
        "today_usd": None if (usd := today_usd(solved)) is None else str(usd),
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
    """Return each scenario's P50 season peak of the first root, by multiple of today if known."""
    root = solved.fit.roots[0]
    today = solved.fit.today[root].per_second
    if math.isnan(today):
        return {}
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
            "follows_load": path.limit.follows_load,
        }
        for path in solved.paths
        if math.isfinite(path.limit.hard)
    )
