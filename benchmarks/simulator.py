"""CPU time of the event-hour simulator, and what a step does at a target of 60 %.

    python benchmarks/simulator.py [--services 60] [--draws 200] [--ticks 240]

Printed: CPU-seconds of one hour of 15 s ticks with a shared node pool, a shared database and
retries, and of the search for its pre-scale and latest order; then a table of steps: minutes above
hard, drain time, and the pre-scale with its lead, where pods find room and where nodes have to come
first.
"""

from __future__ import annotations

import argparse
import resource
import time

import numpy as np

from capmodel.capacity.simulator import (
    Autoscaler,
    Cluster,
    DatabaseSpec,
    NodePool,
    Retries,
    ServiceSpec,
    required_pre_scale,
    simulate,
)
from capmodel.capacity.simulator.demand import step

STEPS = (1.0, 1.09, 1.11, 1.5, 1.66, 1.7, 2.0, 3.0, 5.0)


def fleet(services: int) -> Cluster:
    """Return services of planted sizes that share nodes and one database."""
    rng = np.random.default_rng(5)
    specs = tuple(
        ServiceSpec(
            name=f"service-{k:03d}",
            per_request_core_s=float(rng.uniform(0.004, 0.02)),
            requested_cores=1.0,
            effective_cores=1.0,
            idle_cores=0.05,
            memory_gib=2.0,
            pods=int(rng.integers(4, 40)),
            autoscaler=Autoscaler(target=0.6, min_pods=2, max_pods=400),
            retries=Retries(attempts=3, budget=0.1),
            pools={"core-db": 5} if k % 4 == 0 else {},
        )
        for k in range(services)
    )
    nodes = NodePool(
        cores=15.9, memory_gib=57.0, max_pods=58, max_nodes=1000, launch_per_min=20.0, spare_nodes=2
    )
    database = DatabaseSpec(name="core-db", max_connections=16_000, ramp_per_s=100.0)
    return Cluster(services=specs, nodes=nodes, databases=(database,))


def event(cluster: Cluster, draws: int, ticks: int) -> np.ndarray:
    """Return a demand that rises to 1.2 to 3 times within ten minutes, shape (D, T, S) [1/s]."""
    rng = np.random.default_rng(6)
    today = [s.pods * (0.6 - s.idle_cores) / s.per_request_core_s for s in cluster.services]
    height = rng.uniform(1.2, 3.0, (draws, 1, 1)) * rng.lognormal(0, 0.1, (draws, 1, len(today)))
    share = np.clip((np.arange(ticks) - 20) / 40, 0, 1)[:, None]
    noise = rng.lognormal(0, 0.03, (draws, ticks, len(today)))
    return np.asarray(np.array(today) * (1 + (height - 1) * share) * noise)


def step_table(*, nodes: bool) -> None:
    """Print what steps do to ten pods at 60 %, on nodes that stand or on full ones."""
    service = ServiceSpec(
        name="api",
        per_request_core_s=0.01,
        requested_cores=1.0,
        effective_cores=1.0,
        pods=10,
        autoscaler=Autoscaler(target=0.6, min_pods=2, max_pods=200),
    )
    pool = NodePool(cores=5.0, memory_gib=64.0, max_pods=58, max_nodes=100, launch_per_min=10.0)
    cluster = Cluster(services=(service,), nodes=pool if nodes else None)
    print("  step   min above   drain s   peak pods   pre-scale   nodes   lead s   above with it")
    for factor in STEPS:
        demand = step(600, factor=factor, at_min=5, minutes=30)
        hour = simulate(cluster, demand)
        need = required_pre_scale(cluster, demand)
        lead = f"{'–':>6}" if np.isnan(need.lead_s) else f"{need.lead_s:6.0f}"
        print(
            f"  {factor:4.2f}   {hour.minutes_above_hard[0, 0]:9.2f}   {hour.drain_s[0, 0]:7.0f}"
            f"   {hour.peak_pods[0, 0]:9.0f}   {need.pods[0]:9.0f}   {need.nodes:5.0f}   {lead}"
            f"   {need.share_above_hard:13.0%}"
        )


def main() -> None:
    """Time one hour and one search, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--services", type=int, default=60)
    parser.add_argument("--draws", type=int, default=200)
    parser.add_argument("--ticks", type=int, default=240)
    args = parser.parse_args()
    cluster = fleet(args.services)
    demand = event(cluster, args.draws, args.ticks)
    before = time.process_time()
    hour = simulate(cluster, demand)
    spent = time.process_time() - before
    print(f"{args.services} services x {args.draws} draws x {args.ticks} ticks: {spent:.2f} CPU-s")
    print(
        f"  {hour.share_surviving:.0%} of draws survive, up to {hour.peak_nodes.max():.0f} nodes,"
        f" {hour.peak_connections.max():.0f} connections"
    )
    before = time.process_time()
    need = required_pre_scale(cluster, demand, risk=0.02)
    spent = time.process_time() - before
    print(
        f"  pre-scale at risk 2 %: {need.pods_now.sum():.0f} -> {need.pods.sum():.0f} pods on"
        f" {need.nodes:.0f} nodes, {need.share_above_hard:.1%} of draws above hard,"
        f" lead {need.lead_s:.0f} s, limits {need.limits}: {spent:.1f} CPU-s"
    )
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"  peak memory {memory:,.0f} MB")
    print("Ten pods at 60 %, room for every pod:")
    step_table(nodes=False)
    print("The same on two full nodes of five pods:")
    step_table(nodes=True)


if __name__ == "__main__":
    main()
