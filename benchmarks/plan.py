"""Print what a plan costs: 60 and 1,000 services, three scenarios of 1,000 draws, from a fit.

Run it as ``make benchmark-plan``, or ``python benchmarks/plan.py [--services 60 1000]``. The estate
is planted and declared: calls one and two deep from two drivers, cores and memory of every service,
a database for every six of them, a node pool for every sixty. Each size runs in a process of its
own; CPU seconds and the largest resident set count, for the machine may be shared.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import sys
import time
from typing import Any

import numpy as np

import capmodel as cm

SCENARIOS = (("low", 0.25, 1.10), ("base", 0.55, 1.25), ("high", 0.20, 1.50))
REPEATS = 3
RSS_UNITS_PER_MB = 1e6 if sys.platform == "darwin" else 1e6 / 1024


def estate(services: int) -> dict[str, Any]:
    """Return a declared topology of so many services."""
    rng = np.random.default_rng(0)
    pools = {f"pool-{k}": {"types": ["m6i.4xlarge"], "zones": 3, "today": 300}
             for k in range(max(2, services // 60))}  # fmt: skip
    declared: dict[str, Any] = {}
    for i in range(services):
        calls = {"checkouts": float(rng.uniform(0.1, 3))} if i % 3 else {"impressions": 0.02}
        if i > 10 and i % 4 == 0:
            calls = {f"service-{i - 7}": 0.5}
        declared[f"service-{i}"] = {
            "calls": calls, "tier": i % 4, "pool": f"pool-{i % len(pools)}",
            "pod": {"cpu_cores": 2, "memory_gib": 4},
            "replicas": {"min": 3, "max": 400, "today": 20},
            "usage": {
                "cpu_cores": {"per_pod": 0.05, "per_request": float(rng.uniform(0.01, 0.1))},
                "memory_gib": {"per_pod": 1.0, "per_request": 0.01},
            },
        }  # fmt: skip
    line = {"idle": 0.4, "per_read": 0.0005, "per_write": 0.0005}
    databases = {
        f"db-{d}": {
            "class": "db.r6g.4xlarge", "readers": 1, "usage": {"cpu_cores": line},
            "used_by": {
                f"service-{i}": {"reads": 1, "writes": 0.2, "pool_max": 10}
                for i in range(6 * d, 6 * d + 3)
            },
        }
        for d in range(services // 6)
    }  # fmt: skip
    drivers = {
        "checkouts": {"today_per_min": 4800, "sigma_log": 0.1, "peak_minute_x": 1.35},
        "impressions": {"today_per_min": 100_000, "sigma_log": 0.1},
    }
    return {"drivers": drivers, "services": declared, "databases": databases, "pools": pools}


def measure(services: int) -> tuple[float, float, int]:
    """Return (CPU seconds of the fastest plan, peak resident MB, limits) of one size."""
    events = cm.Events.us_retail(2023, 2027)
    model = cm.CapacityModel(cm.Topology.model_validate(estate(services)), events=events)
    fit = model.declare()
    scenarios = [
        cm.Scenario(name=name, probability=p, demand_x={"checkouts": x}) for name, p, x in SCENARIOS
    ]
    taken = []
    for _ in range(REPEATS):
        started = time.process_time()
        plans = fit.plan(scenarios, start="2026-10-01", end="2027-01-05", as_of="2026-09-21",
                         season=("2026-11-02", "2026-12-17"), seed=7)  # fmt: skip
        taken.append(time.process_time() - started)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / RSS_UNITS_PER_MB
    return min(taken), peak, len(plans.curves)


def main() -> None:
    """Print one row for each size."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--services", type=int, nargs="+", default=[60, 1000])
    sizes = parser.parse_args().services
    print("A plan from a fit, 3 scenarios x 1,000 draws, 96 days, 45 of them the season")
    print(f"{'services':>8} {'limits':>7} {'CPU s':>7} {'goal':>5} {'MB':>6} {'goal':>6}")
    goals = {60: (1.0, 4000), 1000: (30.0, 4000)}
    for services in sizes:
        with multiprocessing.get_context("spawn").Pool(1) as process:
            cpu_s, peak_mb, limits = process.apply(measure, (services,))
        goal_s, goal_mb = goals.get(services, (float("nan"), float("nan")))
        print(
            f"{services:>8,} {limits:>7,} {cpu_s:>7.2f} {goal_s:>5.0f} {peak_mb:>6.0f} "
            f"{goal_mb:>6,.0f}"
        )


if __name__ == "__main__":
    main()
