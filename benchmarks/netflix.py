"""Print our plans beside those of Netflix's service-capacity-modeling, on its own cases.

Run it where capmodel is installed; the peer gets an environment of its own from the pinned list
``netflix_peers.txt``, kept in a cache folder (260 MB)::

    python benchmarks/netflix.py                 # half a minute, the first time a minute
    python benchmarks/netflix.py --peer none     # our side, the peer as recorded

The cases are R1 (stateless services), R4, R5 (Aurora MySQL and its growth) and R6 (RDS MySQL) of a
study of release 0.3.212; R11 (an interval), R12 and R13 (the present cluster given) say how demand
moves a plan. The peer states CPU milliseconds on a reference core of 2.3 GHz; the same demand is
that time divided by its own speed of the instance type (GHz x IPC / 2.3), so both sides plan the
same busy cores. Ours goes through the usual door: a declared topology with the default policy, pods
of 1.9 cores and 3 GiB on one instance type in three zones. Fleets, not choices, are compared: both
counts of the type that the peer chose, at the peer's price list (3 years, all upfront, per year)
and at ours (on demand x 8,760 h), instances alone: no disks, input/output or transfer.
"""

from __future__ import annotations

import argparse
import itertools
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import NormalDist

import numpy as np
import pandas as pd
from netflix_cases import (
    GRID,
    GROWTH,
    INTERVALS,
    NOTHING,
    R1,
    R4,
    R6,
    READS,
    RECORDED,
    REFERENCE_GHZ,
    SERVER_NOTES,
    SERVER_SPEED,
    SERVICE_NOTES,
    STAFFING,
    WRITES,
    ZONES,
    Json,
    Server,
    ask,
    carried_rps,
    failover_cores,
    server_cores,
    service_cores,
    staffed,
)

import capmodel as cm
from capmodel.catalog import Catalog
from capmodel.demand import GivenDemand
from capmodel.laws import erlang_c, halfin_whitt, min_servers
from capmodel.plan import PlanSet

CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "capmodel" / "netflix"
POD_CORES = 1.9
SPAN: Json = {"start": "2026-11-20", "end": "2026-12-05", "as_of": "2026-10-20"}
DRAWS = 1000
HOURS = 8760

# Types that the catalog may not hold. Prices of nodes: aws/karpenter-provider-aws
# zz_generated.pricing_aws.go @031e72b6; interfaces of c7a: aws/amazon-vpc-cni-k8s eni-max-pods.txt
# @01d744a5; those of c8a are supposed to be c7a's (addresses bind nowhere here). The class costs
# what each vCPU of its family costs.
OVERLAY = """\
region,kind,engine,name,arch,vcpu,memory_gib,enis,ips_per_eni,price_usd_per_hour,as_of,source
us-east-1,node,,c7a.8xlarge,x86_64,32,64,8,30,1.64224,2026-01-19,karpenter @031e72b6
us-east-1,node,,c8a.xlarge,x86_64,4,8,4,15,0.21554,2026-01-19,karpenter @031e72b6
us-east-1,node,,c8a.16xlarge,x86_64,64,128,15,50,3.44864,2026-01-19,karpenter @031e72b6
us-east-1,db,aurora-mysql,db.r5.24xlarge,,96,768,,,13.92,2026-03-28,96 x 0.145 of db.r5
"""


def our_catalog() -> Catalog:
    """Return the built-in catalog with the peer's types added."""
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "overlay.csv"
        path.write_text(OVERLAY, encoding="utf-8")
        return Catalog.builtin().with_overlay(path)


def first(frame: pd.DataFrame, **where: str) -> Json:
    """Return the first row that holds these values."""
    for name, value in where.items():
        frame = frame[frame[name] == value]
    return {str(name): value for name, value in frame.iloc[0].items()}


def service_plan(
    rps: float, cpu_s: float, kind: str, *, p95: float | None = None, pods_max: int | None = None
) -> PlanSet:
    """Plan a service of so many CPU seconds per request on one instance type, tier 1."""
    app = {
        "today_rps": rps,
        "tier": 1,
        "pool": "nodes",
        "pod": {"cpu_cores": POD_CORES, "memory_gib": 3},
        "replicas": {"max": pods_max},
        "usage": {"cpu_cores": {"per_pod": 0, "per_request": cpu_s}},
    }
    nodes = {"types": [kind], "zones": ZONES}
    topology = cm.Topology.model_validate({"services": {"app": app}, "pools": {"nodes": nodes}})
    peak = cm.LogNormal(p50=rps, p95=rps if p95 is None else p95)
    return (
        cm.CapacityModel(topology)
        .declare()
        .plan(
            cm.Scenario(name="case", peak={"app": peak}), **SPAN, draws=DRAWS, catalog=our_catalog()
        )
    )


@dataclass(frozen=True, slots=True)
class Pods:
    """What our plan provides for a service."""

    pods: int
    nodes: int
    usable_cores: float
    hold: str


def provided(plan: PlanSet) -> Pods:
    """Return pods and nodes of a plan of :func:`service_plan`."""
    service, pool = first(plan.to_frame("services")), first(plan.to_frame("nodes"))
    return Pods(
        int(service["replicas_needed"]),
        int(pool["required"]),
        float(pool["cpu_cores_usable"]),
        str(service["hold"]),
    )


def server_topology(server: Server, *, db_class: str, driver: bool) -> cm.Topology:
    """Return a writer with one reader, its queries at their cost on the peer's types."""
    cost = REFERENCE_GHZ / SERVER_SPEED / 1000
    app: Json = {"tier": 1, "pod": {"cpu_cores": 2, "memory_gib": 4}}
    app["usage"] = {"cpu_cores": {"per_pod": 0, "per_request": 0.001}}
    app |= {"calls": {"requests": 1}} if driver else {"today_rps": WRITES}
    database = {
        "engine": server.engine,
        "class": db_class,
        "readers": 1,
        "usage": {
            "cpu_cores": {
                "idle": 0,
                "per_read": server.read_ms * cost,
                "per_write": server.write_ms * cost,
            }
        },
        "used_by": {"app": {"reads": READS / WRITES, "writes": 1}},
    }
    drivers = {"requests": {"peak_minute_x": 1}} if driver else {}
    return cm.Topology.model_validate(
        {"drivers": drivers, "services": {"app": app}, "databases": {"db": database}}
    )


def server_plan(server: Server, times: float, *, db_class: str = "") -> PlanSet:
    """Plan a database case at a multiple of its demand; the class grows from the smallest."""
    topology = server_topology(server, db_class=db_class or server.first_class, driver=False)
    peak = cm.LogNormal(p50=WRITES * times, p95=WRITES * times)
    return (
        cm.CapacityModel(topology)
        .declare()
        .plan(
            cm.Scenario(name="case", peak={"app": peak}), **SPAN, draws=DRAWS, catalog=our_catalog()
        )
    )


def growing_server(server: Server, times: float, *, db_class: str) -> PlanSet:
    """Plan a year in which the demand of a database case grows evenly to a multiple."""
    topology = server_topology(server, db_class=db_class, driver=True)
    hours = pd.date_range("2026-11-01", "2027-11-01", freq="h", tz="UTC", inclusive="left")
    per_min = 60 * WRITES * times ** np.linspace(0, 1, len(hours))
    rows = {"service": "requests", "time": hours, "p10": per_min, "p50": per_min, "p90": per_min}
    given = GivenDemand.from_frame(pd.DataFrame(rows), business_tz="UTC")
    return (
        cm.CapacityModel(topology, given=given)
        .declare()
        .plan(
            cm.Scenario(name="growth"),
            start="2026-11-01",
            end="2027-11-01",
            as_of="2026-10-20",
            draws=100,
            catalog=our_catalog(),
        )
    )


def usd(amount: float) -> str:
    """Return dollars with thousands, or a dash."""
    return "-" if math.isnan(amount) else f"{amount:,.0f}"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return aligned columns, the first to the left."""
    lines = [list(head), *map(list, rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def fleet_name(answer: Json) -> str:
    """Return count and type of an answer's fleet, or that there is none."""
    found = answer["fleet"]
    return f"{found['count']} x {found['type']}" if found else "[]"


def print_services(answers: Mapping[str, Json]) -> None:
    """Print R1: counts and prices of both fleets, then the lines that lead to them."""
    hardware, catalog = answers["hardware"], our_catalog()
    rows, lines = [], []
    for name, rps in R1.items():
        theirs = answers[name]["fleet"]
        kind, count = theirs["type"], theirs["count"]
        known, hourly = hardware[kind], float(catalog.node_type(kind).price_usd_per_hour)
        busy = rps / 1000 * REFERENCE_GHZ / known["speed"]
        ours = provided(service_plan(rps, busy / rps, kind))
        slow = provided(service_plan(rps, 0.001, kind))
        rows.append(
            [
                *(name, f"{rps:,.0f}", kind, f"{theirs['cores']:g}", f"{count}", f"{ours.nodes}"),
                *(usd(known["usd"] * count), usd(known["usd"] * ours.nodes)),
                *(usd(hourly * HOURS * count), usd(hourly * HOURS * ours.nodes)),
                f"{slow.nodes}",
            ]
        )
        lines.append(service_lines(rps / 1000, busy, known, count, ours))
    print("\nR1: stateless services, 1 reference CPU ms per request; USD per year, instances alone")
    head = ["case", "1/s", "type", "cores asked", "theirs", "ours", "3y theirs", "3y ours"]
    print(table([*head, "od theirs", "od ours", "ours, 1 ms on the type"], rows))
    print("\nline by line [cores unless said otherwise]")
    labels = list(lines[0])
    print(table(["", *R1], [[label, *(line[label] for line in lines)] for label in labels]))
    print(SERVICE_NOTES)


def service_lines(
    reference: float, busy: float, known: Json, count: int, ours: Pods
) -> dict[str, str]:
    """Return the steps from busy cores to bought ones, theirs and then ours."""
    vcpu = known["vcpu"]
    need = service_cores(reference, known["speed"])
    waiting = halfin_whitt(STAFFING[1])
    alone = [erlang_c(servers=vcpu, load=busy / nodes) for nodes in (count, ours.nodes)]
    per_zone = math.ceil(ours.pods / ZONES)
    return {
        "busy on the 2.3 GHz reference": f"{reference:g}",
        "theirs: pooled staffing a + 1.761 sqrt(a)": f"{staffed(reference)}",
        "  / 0.4 for a region's failover": f"{failover_cores(reference)}",
        f"  x 2.3 / (GHz x IPC), here {REFERENCE_GHZ:g} over": f"{known['speed']:.3f}",
        "  asked": f"{need}",
        "  nodes, at least 2, then a multiple of 3": f"{max(2, math.ceil(need / vcpu))} > {count}",
        "  bought": f"{count * vcpu}",
        "  utilization, all zones / one lost": _pair(busy, count * vcpu),
        "ours: busy on the type": f"{busy:.2f}",
        "  / 0.60 planned": f"{busy / 0.6:.2f}",
        "  / 0.85 with a zone lost, x 3/2": f"{busy / 0.85 * 1.5:.2f}",
        "  pods of 1.9 (the larger promise)": f"{ours.pods}",
        "  pods that fit a node of x cores": f"{int(ours.usable_cores / POD_CORES + 1e-9)}",
        "  pods per zone > nodes": f"{per_zone} > {ours.nodes}",
        "  bought ": f"{ours.nodes * vcpu}",
        "  utilization, all zones / one lost ": _pair(busy, ours.nodes * vcpu),
        f"M/M/c exact, P(wait) <= {waiting:.1%}, one pool": str(
            min_servers(busy, wait_probability=waiting)
        ),
        "P(wait), each node its own queue, theirs": f"{alone[0]:.1%}",
        "P(wait), each node its own queue, ours": f"{alone[1]:.1%}",
    }


def _pair(busy: float, cores: float) -> str:
    return f"{busy / cores:.0%} / {busy / cores * ZONES / (ZONES - 1):.0%}"


def print_servers(answers: Mapping[str, Json]) -> None:
    """Print R4, R5 and R6: class, price, what rules smaller classes out."""
    hardware, catalog = answers["hardware"], our_catalog()
    for server in (R4, R6):
        rows = []
        for k in server.growth:
            answer = answers[f"{server.title} x{k}"]
            busy = server.busy * k * REFERENCE_GHZ / SERVER_SPEED
            row = first(server_plan(server, k).to_frame("databases"))
            ours = str(row["class_needed"])
            known = not ours.startswith("none")
            vcpu = catalog.db_class(server.engine, ours).vcpu if known else 0
            hourly = _hourly(catalog, server.engine, ours)
            theirs = answer["fleet"]["type"] if answer["fleet"] else ""
            waits = erlang_c(servers=vcpu, load=busy) if vcpu > busy else math.nan
            rows.append(
                [
                    *(f"x{k}", f"{busy:.2f}", theirs or "[]"),
                    f"{server_cores(server.busy * k, SERVER_SPEED, tier=server.tier)}",
                    *(ours, "-" if math.isnan(waits) else f"{waits:.0%}"),
                    f"{min_servers(busy, wait_probability=halfin_whitt(STAFFING[server.tier]))}",
                    usd(2 * hardware[theirs]["usd"] if theirs else math.nan),
                    usd(2 * hardware[ours]["usd"] if ours in hardware else math.nan),
                    usd(2 * HOURS * _hourly(catalog, server.engine, theirs)),
                    usd(2 * HOURS * hourly),
                ]
            )
        print(f"\n{server.title}: {server.engine}, tier {server.tier}, two instances; USD per year")
        head = ["", "busy", "theirs", "asks", "ours", "P(wait)", "M/M/c", "3y theirs", "3y ours"]
        print(table([*head, "od theirs", "od ours"], rows))
    tiers = {t: fleet_name(answers[f"R4 tier {t}"]) for t in (0, 2)}
    print(f"their tiers in R4: 0 {tiers[0]}, 2 {tiers[2]} (count 1, price of 2)")
    print(SERVER_NOTES)


def _hourly(catalog: Catalog, engine: str, name: str) -> float:
    """Return the price of a class by the hour; the peer's EC2 types stand for their class."""
    wanted = name if name.startswith("db.") else f"db.{name}"
    found = catalog.rows.get((catalog.region, "db", engine, wanted))
    return float(found.price_usd_per_hour) if found else math.nan


def print_growth(answers: Mapping[str, Json]) -> None:
    """Print what k times the demand does to a plan when the present cluster is given."""
    rows = []
    for name in ("R12 evcache", "R12 kafka", "R12 cassandra", "R13"):
        found = [answers.get(f"{name} x{k}") for k in GROWTH]
        rows.append([f"theirs {name}", *(fleet_name(one) if one else "-" for one in found)])
        cores = [one["fleet"]["cores"] if one and one["fleet"] else math.nan for one in found]
        rows.append(["  asks", *("-" if math.isnan(n) else f"{n:g} cores" for n in cores)])
    # 24 x m6id.4xlarge 30 % busy, and 12 x m6i.4xlarge 80 % busy, both at 10,000/s.
    for name, busy in (("R12", 24 * 16 * 0.30), ("R13", 12 * 16 * 0.80)):
        plans = [provided(service_plan(1e4 * k, busy / 1e4, "m6i.4xlarge")) for k in GROWTH]
        rows.append([f"ours {name}", *(f"{p.nodes} x m6i.4xlarge" for p in plans)])
        moved = all(b.nodes > a.nodes for a, b in itertools.pairwise(plans))
        rows.append([f"  moves at every step: {moved}", *(f"{p.pods} pods" for p in plans)])
    print(
        "\nR12, R13: 10,000/s x k, the present cluster given (R12: 3 x 8 nodes 30 % busy, a zone's"
    )
    print("plan shown; R13: 12 nodes 80 % busy)")
    print(table(["", *(f"x{k}" for k in GROWTH)], rows))
    print(
        "- R12: their need follows the cluster's utilization, not the demand. R13: it follows the"
    )
    print(
        "  demand, not the 154 busy cores. Ours: cost per request (busy cores / 10,000) x demand."
    )


def print_outgrown(answers: Mapping[str, Json]) -> None:
    """Print what is said of 80 times R4: the limit, the multiple and the date."""
    largest = "db.r5.24xlarge"
    row = first(server_plan(R4, 80).to_frame("databases"))
    limits = server_plan(R4, 1, db_class=largest).to_frame("limits")
    cpu = first(limits, node="db", limit="cpu_cores")
    grown = growing_server(R4, 80, db_class=largest).to_frame("limits")
    dated = first(grown, node="db", limit="cpu_cores")
    print("\nR4 x 80")
    print(f"theirs: {fleet_name(answers['R4 x80'])}, no reason")
    print(f"ours: {row['class_needed']}; binding {row['binding']}")
    print(f"  {str(row['rejected']).split('; ')[-1]}")
    print(
        f"  {largest} leaves policy at x{cpu['binds_at_x']:.1f}, full at x{cpu['breaks_at_x']:.1f}"
    )
    print("  grown evenly from x1 on 2026-11-01 to x80 a year later:")
    full = dated["first_hard_breach"] or "not in the year"
    print(f"  policy exceeded on {dated['first_policy_breach']}, full {full}")


def _at(quantiles: Sequence[float], q: float) -> float:
    return float(np.interp(q, GRID, quantiles))


def stated(mid: float, high: float, confidence: float) -> cm.LogNormal:
    """Return the log-normal with this median and this upper end of a central interval."""
    ends = NormalDist()
    share = ends.inv_cdf(0.95) / ends.inv_cdf((1 + confidence) / 2)
    return cm.LogNormal(p50=mid, p95=mid * (high / mid) ** share)


def print_intervals(answers: Mapping[str, Json]) -> None:
    """Print what becomes of a stated interval, and where a plan for one stands."""
    rows = []
    for i, (low, mid, high, confidence) in enumerate(INTERVALS):
        tail, law = (1 - confidence) / 2, stated(mid, high, confidence)
        z = NormalDist().inv_cdf(1 - tail)
        plan = service_plan(mid, 1e-6, "c7a.8xlarge", p95=law.p95)
        drawn = first(plan.to_frame("demand"), window="season")
        theirs = answers.get(f"interval {i}")
        cells = ["-", "-", "-"]
        if theirs:
            found = theirs["quantiles"]
            cells = [f"{_at(found, q):,.0f}" for q in (tail, 0.5, 1 - tail)]
        ours = [mid * math.exp(law.sigma * x) for x in (-z, 0, z)]
        rows.append(
            [
                f"{low:,} / {mid:,} / {high:,} at P{100 * tail:g}, 50, {100 - 100 * tail:g}",
                " / ".join(cells),
                " / ".join(f"{x:,.0f}" for x in ours),
                f"{drawn['peak_p95'] / law.p95 - 1:+.1%}",
            ]
        )
    print("\nan interval as a distribution: low / middle / high")
    print(table(["asked", "theirs", "ours", f"P95 of {DRAWS:,} draws off by"], rows))
    print_regret(answers)


def print_regret(answers: Mapping[str, Json]) -> None:
    """Print at which percentile of the demand the plans for R11 stand."""
    theirs = answers["R11"]["fleet"]
    known = answers["hardware"][theirs["type"]]
    service_s = 0.001 * REFERENCE_GHZ / known["speed"]
    _, mid, high, _ = INTERVALS[2]
    asked = NormalDist(math.log(mid), cm.LogNormal(p50=mid, p95=high).sigma)
    carried = carried_rps(theirs["count"] * known["vcpu"], known["speed"], service_s=0.001)
    own = ""
    if "interval 2" in answers:
        share = float(np.interp(carried, answers["interval 2"]["quantiles"], GRID))
        own = f"P{100 * share:.0f} of its own distribution, "
    print(f"\nR11: {mid:,}/s, {high:,}/s at P95, {theirs['type']}")
    print(f"theirs: {fleet_name(answers['R11'])}: its rule allows {carried:,.0f}/s, {own}", end="")
    print(f"P{100 * asked.cdf(math.log(carried)):.0f} of what was asked; nothing states it.")
    ours = provided(service_plan(mid, service_s, theirs["type"], p95=high))
    again = service_plan(mid, service_s, theirs["type"], p95=high, pods_max=ours.pods)
    limit = first(again.to_frame("limits"), node="app", limit="cpu_cores")
    nodes = f"{ours.pods} pods on {ours.nodes} x {theirs['type']}"
    stands = f"P{100 - 100 * limit['p_saturate']:.1f}"
    print(f"ours: {nodes} for '{ours.hold}' (risk 5 %): full at {stands}", end="")
    print(f" (standard error {100 * limit['mc_se']:.1f}).")
    full = theirs["count"] * known["vcpu"] / service_s
    print(f"Their fleet would be full at {full:,.0f}/s: its 0.4 protects it, not its simulation.")


def print_seconds(answers: Mapping[str, Json]) -> None:
    """Print the CPU seconds of a plan, loaded and warm, median of three."""
    _, mid, high, _ = INTERVALS[2]
    ours: dict[str, Callable[[], object]] = {
        "stateless service": lambda: service_plan(mid, 0.001, "c7a.8xlarge", p95=high),
        "Aurora MySQL": lambda: server_plan(R4, 1),
    }
    asked = {"stateless service": ("R1c", "R11"), "Aurora MySQL": ("R4 x1", "aurora plan")}
    rows = []
    for name, work in ours.items():
        seconds = []
        for _ in range(3):
            started = time.process_time()
            work()
            seconds.append(time.process_time() - started)
        theirs = [answers.get(key, NOTHING)["cpu_s"] for key in asked[name]]
        cells = ["-" if math.isnan(x) else f"{x:.3f}" for x in theirs]
        rows.append([name, *cells, f"{statistics.median(seconds):.3f}"])
    print("\nCPU seconds per plan, in process and warm")
    print(table(["", "theirs, certain", "theirs, N = 128", f"ours, {DRAWS:,} draws"], rows))


def main() -> None:
    """Print every table."""
    parser = argparse.ArgumentParser(description="Our plans beside Netflix's, on its own cases.")
    parser.add_argument(
        "--peer", default=str(CACHE), help="folder of the peer's environment, or none"
    )
    place = parser.parse_args().peer
    answers, live = dict(RECORDED), False
    if place != "none":
        try:
            answers |= ask(Path(place))
            live = True
        except (OSError, subprocess.CalledProcessError) as error:
            print(f"the peer cannot be run: {error}", file=sys.stderr)
    pinned = "service-capacity-modeling 0.3.212"
    print(f"{pinned}, run here" if live else f"{pinned} as recorded in netflix_cases.py")
    print_services(answers)
    print_servers(answers)
    print_growth(answers)
    print_outgrown(answers)
    print_intervals(answers)
    print_seconds(answers)


if __name__ == "__main__":
    main()
