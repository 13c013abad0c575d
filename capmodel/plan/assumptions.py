"""Every number that the plan takes on trust, with its unit and source."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pandas as pd

from capmodel.plan.frames_changes import scenario_changes
from capmodel.schema import QUANTITIES

if TYPE_CHECKING:
    from capmodel.plan.make import Solved
    from capmodel.scenario import Scenario
    from capmodel.topology import Service

__all__ = ["assumptions_frame"]

COLUMNS = ["name", "value", "unit", "basis", "source"]
Row = tuple[str, Any, str, str, str]


def assumptions_frame(solved: Solved) -> pd.DataFrame:
    """Return one row per declared or default number that moves the plan."""
    rows = [
        *_scenarios(solved),
        *_policy(solved),
        *_demand(solved),
        *_ledger(solved),
        *_services(solved),
        *_pools(solved),
        *_databases(solved),
        *_calls(solved),
    ]
    return pd.DataFrame([(n, str(v), u, b, s) for n, v, u, b, s in rows], columns=COLUMNS)


def _scenarios(solved: Solved) -> Iterator[Row]:
    request = solved.request
    for scenario, weight in zip(request.scenarios, request.weights, strict=True):
        where = f"scenario {scenario.name}"
        stated = "stated" if scenario.probability is not None else "equal, none stated"
        yield f"{where} probability", f"{weight:.6g}", "ratio", "assumed", stated
        for root, value in scenario.growth_yoy_x.items():
            source = "scenario" if root not in scenario.anchored else _anchor_source(scenario, root)
            yield f"{where} growth of {root}", value, "x last season", "assumed", source
        for root, value in scenario.demand_x.items():
            yield f"{where} demand of {root}", value, "x forecast", "assumed", "scenario"
        for event, lifts in scenario.lift.items():
            for root, value in lifts.items():
                yield f"{where} lift {event} of {root}", value, "ratio", "assumed", "scenario"
        for event, times in scenario.lift_x.items():
            yield f"{where} lifts of {event}", times, "x each lift", "assumed", "scenario"
        for root, peak in scenario.peak.items():
            text = f"P50 {peak.p50:g}, P95 {peak.p95:g}"
            yield f"{where} season peak of {root}", text, "unit of the root", "assumed", "scenario"
        for name, stated_value, unit, source in scenario_changes(scenario):
            yield f"{where} {name}", stated_value, unit, "assumed", source


def _anchor_source(scenario: Scenario, root: str) -> str:
    """Return which total growth was solved from."""
    (anchor,) = (one for one in scenario.anchor if one.root == root)
    return (
        f"solved: mean total of {anchor.total:,.0f} from {anchor.start} to {anchor.end}, "
        "the end exclusive"
    )


def _policy(solved: Solved) -> Iterator[Row]:
    policy = solved.estate.topology.policy
    for tier, risk in solved.risks.items():
        yield f"accepted risk, tier {tier}", risk, "ratio per season", "assumed", "policy.risk"
    for name, value in policy.utilization.model_dump().items():
        yield f"planned utilization of {name}", value, "ratio", "assumed", "policy.utilization"
    if policy.utilization_degraded is not None:
        yield (
            "planned utilization under a failure", policy.utilization_degraded, "ratio", "assumed",
            "policy.utilization_degraded",
        )  # fmt: skip
    yield "rollout surge outside the freeze", policy.surge, "ratio", "assumed", "policy.surge"
    yield (
        "rollback surge inside the freeze", policy.rollback_surge, "ratio", "assumed",
        "policy.rollback_surge",
    )  # fmt: skip


def _demand(solved: Solved) -> Iterator[Row]:
    fit, topology = solved.fit, solved.estate.topology
    for root, today in fit.today.items():
        unit = "1/min" if today.quantity == "per_min" else "1/s"
        source = "P50 of event-free busiest minutes, last 28 days"
        if root in topology.drivers and topology.drivers[root].today_per_min is not None:
            source = "topology, today_per_min"
            sigma = topology.drivers[root].sigma_log
            yield f"level of {root}, log sd", sigma, "ratio", "assumed", "topology, sigma_log"
        if root in topology.services and topology.services[root].today_rps is not None:
            source = "topology, today_rps"
        value = "not known" if math.isnan(today.value) else f"{today.value:.6g}"
        yield f"today of {root}", value, unit, today.basis, source
        for kind, event in (("ordinary", False), ("event", True)):
            pool = fit.peaks.pool(root, "event" if event else "ordinary")
            text = f"median {float(pool.quantile(0.5)):.4g}, P95 {float(pool.quantile(0.95)):.4g}"
            source = pool.note or f"{pool.n_hours} hours of fine history"
            yield f"burst of {root}, {kind} hours", text, "ratio", pool.basis, source


def _ledger(solved: Solved) -> Iterator[Row]:
    ledger = solved.request.ledger
    for root in solved.fit.roots:
        asked = ledger.widening(root)
        if not asked.seasons:
            continue
        source = (
            f"{ledger.source or 'ledger'}: {asked.covered:.0%} of {asked.seasons} seasons inside "
            f"P10 to P90; {asked.df:g} degrees of freedom; a stated season peak keeps its own"
        )
        yield f"season luck of {root}, x log sd", f"{asked.scale_x:.6g}", "ratio", "fitted", source


def _services(solved: Solved) -> Iterator[Row]:
    for name, service in solved.estate.topology.services.items():
        if service.pod is None:
            continue
        use = solved.estate.services[name]
        yield (
            f"hottest pod / mean of {name}", use.imbalance_x, "ratio", use.imbalance_basis,
            use.imbalance_source,
        )  # fmt: skip
        yield from _pod_terms(name, service)
        for resource in dict.fromkeys(one.resource for one in use.uses):
            yield from _idle(solved, name, resource)
        if not use.uses and use.known:
            yield (
                f"pods of {name}", "proportional to load", "", "assumed",
                "replicas.today at today's load; no usage is known",
            )  # fmt: skip
        for resource, coefficients in service.usage.items():
            if not isinstance(coefficients, str):
                for term, number in coefficients.items():
                    yield f"{name} {resource} {term}", number, "", "assumed", "topology"


def _pod_terms(name: str, service: Service) -> Iterator[Row]:
    """Yield a service's own target, its CPU limit and what its SLO promises."""
    if service.utilization is not None:
        source = f"topology, {name}.utilization; wins over the policy's"
        yield f"planned utilization of {name}", service.utilization, "ratio", "assumed", source
    if service.pod is not None and service.pod.cpu_limit_cores is not None:
        source = "topology, pod.cpu_limit_cores; a full pod uses it, on its node as well"
        yield f"CPU limit of {name}", service.pod.cpu_limit_cores, "cores", "assumed", source
    if service.slo is not None:
        rules = ", ".join(str(rule) for rule in service.slo.rules)
        yield f"SLO of {name}", rules, "", "assumed", "topology, slo; its target is advice"


def _pools(solved: Solved) -> Iterator[Row]:
    for name, pool in solved.estate.topology.pools.items():
        if pool.spare_nodes_per_zone:
            words = f"spare nodes per zone of {name}"
            yield words, pool.spare_nodes_per_zone, "nodes", "assumed", "topology"
        if pool.subnet is not None:
            free = pool.subnet.free_addresses_per_zone
            words = f"free addresses per zone of {name}"
            yield words, free, "addresses", "assumed", "topology, subnet"


def _idle(solved: Solved, name: str, resource: str) -> Iterator[Row]:
    """Yield what a plan makes of idle usage that was fitted without a count of pods."""
    fit, today = solved.fit.usage[name, resource], solved.estate.services[name].today_pods
    if "idle" not in fit.terms:
        return
    idle = float(fit.value[fit.terms.index("idle")])
    unit = QUANTITIES[resource].unit
    if today:
        source = f"{idle:.4g} of the service, over replicas.today"
        yield f"{name} {resource} idle per pod", idle / today, unit, "assumed", source
    elif idle > 0:
        source = "pods were not counted: left out; add replicas to the history, or replicas.today"
        yield f"{name} {resource} idle per pod", 0, unit, "assumed", source


def _databases(solved: Solved) -> Iterator[Row]:
    for name, database in solved.estate.topology.databases.items():
        source = (
            "topology" if database.max_connections is not None else "catalog, default of the class"
        )
        connections = solved.estate.max_connections[name]
        hard = "not known" if math.isnan(connections) else f"{connections:g}"
        yield f"max_connections of {name}", hard, "connections", "assumed", source
        yield (
            f"reads of {name} on readers",
            database.reads_on_readers,
            "ratio",
            "assumed",
            "topology",
        )
        for user, caller in database.used_by.items():
            text = f"{caller.reads:g} reads, {caller.writes:g} writes, pool {caller.pool_max}"
            yield f"{user} on {name}", text, "per request", "assumed", "topology, used_by"


def _calls(solved: Solved) -> Iterator[Row]:
    for edge in solved.futures.calls.values():
        if edge.basis == "assumed":
            name = f"calls of {edge.node} per {edge.caller}"
            yield name, f"{edge.ratio:g}", "ratio", "assumed", "topology"
