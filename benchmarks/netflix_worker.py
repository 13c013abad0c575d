"""Ask Netflix's service-capacity-modeling, in a process of its own.

This script answers: what does the package plan for a case, and what does the plan cost in CPU
seconds? ``netflix.py`` runs it with the interpreter of the environment in which the package is
installed, so it imports nothing of capmodel::

    python netflix_worker.py SOURCE TARGET

SOURCE (.json): a list of questions, each with ``how`` (a name of ``HOWS``), and for plans ``model``
(``org.netflix.`` left out), ``tier``, a number or ``[low, mid, high, confidence]`` for each of
``reads``, ``writes`` [1/s], ``read_ms``, ``write_ms`` [CPU ms], ``read_bytes``, ``write_bytes``,
``state_gib``, ``working_set`` [ratio], and ``families``, ``arguments``, ``current`` (type, count,
zonal or not, and per instance CPU %, GiB, Mbit/s, GiB of disk). TARGET (.json): the answers in the
same order.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from service_capacity_modeling.capacity_planner import (  # type: ignore[import-not-found]
    planner,
)
from service_capacity_modeling.hardware import shapes  # type: ignore[import-not-found]
from service_capacity_modeling.interface import (  # type: ignore[import-not-found]
    CapacityDesires,
    CurrentClusters,
    CurrentRegionClusterCapacity,
    CurrentZoneClusterCapacity,
    DataShape,
    Interval,
    QueryPattern,
    certain_float,
    certain_int,
)
from service_capacity_modeling.stats import (  # type: ignore[import-not-found]
    dist_for_interval,
)

REGION = "us-east-1"
SIMULATIONS = 128
REPEATS = 3
QUERY = {
    "reads": "estimated_read_per_second",
    "writes": "estimated_write_per_second",
    "read_ms": "estimated_mean_read_latency_ms",
    "write_ms": "estimated_mean_write_latency_ms",
    "read_bytes": "estimated_mean_read_size_bytes",
    "write_bytes": "estimated_mean_write_size_bytes",
}
DATA = {"state_gib": "estimated_state_size_gib", "working_set": "estimated_working_set_percent"}
PRESENT = {
    "cpu_percent": "cpu_utilization",
    "memory_gib": "memory_utilization_gib",
    "network_mbps": "network_utilization_mbps",
    "disk_gib": "disk_utilization_gib",
}
Json = dict[str, Any]


def interval(value: float | list[float]) -> Interval:
    """Return a certain number, or an interval of low, mid, high and confidence."""
    if isinstance(value, list):
        low, mid, high, confidence = value
        return Interval(low=low, mid=mid, high=high, confidence=confidence)
    return certain_float(value)


def current(given: Json) -> CurrentClusters:
    """Return the present clusters of a question: three zones alike, or one region."""
    fields = {
        "cluster_instance_name": given["type"],
        "cluster_instance_count": certain_int(given["count"]),
        **{to: certain_float(given[name]) for name, to in PRESENT.items() if name in given},
    }
    if given["zonal"]:
        return CurrentClusters(zonal=[CurrentZoneClusterCapacity(**fields)] * 3)
    return CurrentClusters(regional=[CurrentRegionClusterCapacity(**fields)])


def call(question: Json) -> Json:
    """Return the arguments of a plan; fields that a question leaves out stay unset."""
    query = {to: interval(question[name]) for name, to in QUERY.items() if name in question}
    data = {to: interval(question[name]) for name, to in DATA.items() if name in question}
    desires: Json = {"service_tier": question["tier"], "query_pattern": QueryPattern(**query)}
    if data:
        desires["data_shape"] = DataShape(**data)
    if "current" in question:
        desires["current_clusters"] = current(question["current"])
    out: Json = {
        "model_name": f"org.netflix.{question['model']}",
        "region": REGION,
        "desires": CapacityDesires(**desires),
    }
    if "families" in question:
        out["instance_families"] = question["families"]
    if "arguments" in question:
        out["extra_model_arguments"] = question["arguments"]
    return out


def fleet(plan: Any) -> Json:
    """Return the first cluster of a plan: what it is, what it needs, what it costs."""
    clusters = plan.candidate_clusters
    first = (clusters.regional or clusters.zonal)[0]
    needs = (plan.requirements.regional or plan.requirements.zonal)[0]
    return {
        "type": first.instance.name,
        "count": first.count,
        "usd": float(clusters.total_annual_cost),
        "cores": float(needs.cpu_cores.mid),
    }


def timed(work: Callable[[], Any]) -> tuple[Any, float]:
    """Return the first answer, and the median CPU seconds of the repetitions after it."""
    answer, seconds = work(), []
    for _ in range(REPEATS):
        started = time.process_time()
        work()
        seconds.append(time.process_time() - started)
    return answer, statistics.median(seconds)


def certain(question: Json) -> Json:
    """Return the best plan of a case without uncertainty; no fleet when it has none."""
    arguments = call(question)
    plans, cpu_s = timed(lambda: planner.plan_certain(**arguments, num_results=1))
    return {"fleet": fleet(plans[0]) if plans else None, "cpu_s": cpu_s}


def uncertain(question: Json) -> Json:
    """Return the least-regret plan of a case with intervals."""
    arguments = call(question)
    answer, cpu_s = timed(lambda: planner.plan(**arguments, simulations=SIMULATIONS))
    best = answer.least_regret
    return {"fleet": fleet(best[0]) if best else None, "cpu_s": cpu_s}


def quantiles(question: Json) -> Json:
    """Return quantiles of the distribution that an interval becomes."""
    law = dist_for_interval(interval(question["interval"]))
    return {"quantiles": [float(law.ppf(q)) for q in question["at"]]}


def hardware(question: Json) -> Json:
    """Return cores, GHz times IPC, GiB and annual price of instance types."""
    known = shapes.region(REGION).instances
    found = {name: known[name] for name in question["types"]}
    return {
        name: {
            "vcpu": shape.cpu,
            "speed": shape.cpu_ghz * shape.cpu_ipc_scale,
            "memory_gib": shape.ram_gib,
            "usd": float(shape.annual_cost),
        }
        for name, shape in found.items()
    }


HOWS: dict[str, Callable[[Json], Json]] = {
    "certain": certain,
    "plan": uncertain,
    "quantiles": quantiles,
    "hardware": hardware,
}


def main() -> None:
    """Read SOURCE, answer, write TARGET."""
    source, target = map(Path, sys.argv[1:])
    questions = json.loads(source.read_text(encoding="utf-8"))
    answers = [HOWS[question["how"]](question) for question in questions]
    target.write_text(json.dumps(answers), encoding="utf-8")


if __name__ == "__main__":
    main()
