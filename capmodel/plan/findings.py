"""What a plan itself has to say: missing evidence, extrapolation, infeasible needs, old figures."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from capmodel.plan.equip import quota_of
from capmodel.plan.frames_databases import database_findings
from capmodel.plan.frames_limits import MIXTURE
from capmodel.plan.pod_checks import pod_findings
from capmodel.plan.suspects import size_findings
from capmodel.schema import Finding, Findings

if TYPE_CHECKING:
    from capmodel.capacity.use import PodUse
    from capmodel.catalog import DbClass, NodeType
    from capmodel.plan.make import Solved
    from capmodel.plan.supply import Supply
    from capmodel.topology import Hold

__all__ = ["plan_findings"]

STALE_DAYS = 14
"""A history that ends longer before the as-of date says little about today."""


def plan_findings(solved: Solved, supply: Supply, beyond: Mapping[str, float]) -> Findings:
    """Return what fit, catalogs and plan have to say.

    `beyond` is the planned load / the largest that a fit has seen, by node.
    """
    request, topology = solved.request, solved.estate.topology
    named = (quota_of(topology, request.quotas, name) for name in topology.limits)
    return (
        solved.fit.findings
        + Findings((*solved.futures.findings, *database_findings(solved, supply)))
        + request.catalog.findings(request.as_of, _rows_used(solved, supply))
        + request.quotas.findings(request.as_of, [quota for quota in named if quota is not None])
        + Findings(tuple(_own_findings(solved, supply, beyond)))
    )


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
    used = {row.key for row in rows}
    return [*rows, *(row for (_, key), row in solved.prices.rows.items() if key in used)]


def _own_findings(solved: Solved, supply: Supply, beyond: Mapping[str, float]) -> list[Finding]:
    """Return what the plan itself has to say: missing evidence, extrapolation, infeasible needs."""
    findings = [*_ignored(solved), *_doubtful(solved), *pod_findings(solved, supply.checks)]
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
                f"{row.hold.words}: on too many paths idle pods exceed their target, no "
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
    target = estate.targets(name, hold)[use.resource]
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
    found += size_findings(solved.estate.topology)
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
            message=(
                f"ordered on {pool.types[0]} alone; {', '.join(pool.types[1:])} count in the mix"
                + (", and in how many pods a node may run" if pool.mixed else "")
            ),
        )
        for name, pool in solved.estate.topology.pools.items()
        if len(pool.types) > 1
    ]
    return [*found, *_efficiency_gaps(solved)]


def _efficiency_gaps(solved: Solved) -> Iterator[Finding]:
    """Yield where a scenario's efficiency reaches nothing, or a part that counts today's cores."""
    changed = sorted({name for load in solved.futures.loads for name in load.cores_x})
    for name in changed:
        if not solved.estate.services[name].uses_of("cpu_cores"):
            yield Finding(
                code="efficiency_without_usage",
                severity="warning",
                service=name,
                message="its cores per request are not known: efficiency leaves its pods alone",
            )
    last = solved.fit.last_day
    for scenario in solved.request.scenarios:
        for saved in scenario.efficiency:
            if last is not None and saved.since is not None and saved.since <= last:
                yield Finding(
                    code="efficiency_in_history",
                    severity="warning",
                    service=saved.pool,
                    message=(
                        f"scenario {scenario.name}: from {saved.since}, while usage is fitted to "
                        f"rows up to {last}, which may hold it already"
                    ),
                )
    parts = sorted({"event_hour", "rightsizing"} & solved.request.also)
    states = {name: {float(x) for load in solved.futures.loads for x in load.cores_x.get(name, [1])}
              for name in changed}  # fmt: skip
    if parts and any(len(xs) > 1 for xs in states.values()):
        yield Finding(
            code="efficiency_at_the_peak",
            severity="info",
            service="",
            message=f"{' and '.join(parts)} count the cores of the likeliest peak day, the most of "
            "what scenarios say",
        )
