"""The instance mix on planted fleets: how far from the bound, what it saves, and whether it holds.

    python benchmarks/mix.py [--seeds 5]

200 services in three zones of which one may be lost, 40 instance types of the built-in catalog at
their on-demand price. Services: 0.1 to 4 cores a pod, GiB per core lognormal around 3.2, pods
lognormal around 20. Daemonsets take 0.3 cores, 0.5 GiB and 4 pods of each node; a core counts as a
core on every architecture.

Printed per seed: pods that must stand, nodes and USD/h of the mix; what it is above the bound of
fractional nodes and liquid pods, and above the weaker bound that looks at the totals alone; the
best single type and the saving against it; the same type filled by first fit, largest first; pods
without a place in the mix, and in the worst of all simulated losses of a zone; CPU seconds. First
with ten families in four sizes, then with 40 types drawn at random, then under rules.
"""

from __future__ import annotations

import argparse
import time

import numpy as np

from capmodel.capacity.mix import Candidate, Mix, MixRules, choose_mix, verify
from capmodel.capacity.mix.cover import totals_bound
from capmodel.capacity.nodes import PodShape, nodes_for, usable
from capmodel.catalog import Catalog

FAMILIES = ("c6i", "c7i", "c7g", "m6i", "m6a", "m7i", "m7g", "r6i", "r7i", "r7g")
SIZES = ("2xlarge", "4xlarge", "8xlarge", "16xlarge")
MORE_FAMILIES = (*FAMILIES, "m7a")
MORE_SIZES = ("xlarge", *SIZES, "12xlarge")
SERVICES, ZONES = 200, 3

RULES = {
    "3 types": MixRules(max_types=3),
    "at most 40 % of the cores by a type": MixRules(max_type_share=0.4),
    "a tenth of a service on a node": MixRules(max_node_share=0.1),
    "nothing above 4xlarge": MixRules(largest_type="m6i.4xlarge"),
    "a spare node in each zone": MixRules(spare_nodes_per_zone=1),
    "all but the spare node": MixRules(
        max_types=4, max_type_share=0.4, max_node_share=0.1, largest_type="m6i.8xlarge"
    ),
}


def candidate(name: str, catalog: Catalog) -> Candidate:
    """Return an instance type with its room after daemonsets, weighed by price."""
    node = catalog.node_type(name)
    room = usable(node, daemonset_cpu_cores=0.3, daemonset_memory_gib=0.5, daemonset_pods=4)
    return Candidate(room, float(node.price_usd_per_hour))


def families() -> list[Candidate]:
    """Return ten families in four sizes."""
    catalog = Catalog.builtin()
    return [candidate(f"{family}.{size}", catalog) for family in FAMILIES for size in SIZES]


def drawn(seed: int) -> list[Candidate]:
    """Return 40 types at random."""
    catalog = Catalog.builtin()
    names = [f"{family}.{size}" for family in MORE_FAMILIES for size in MORE_SIZES]
    picked = np.random.default_rng(seed).choice(names, 40, replace=False)
    return [candidate(str(name), catalog) for name in picked]


def planted(seed: int) -> tuple[list[PodShape], list[int]]:
    """Return what a pod of each service requests, and the pods that must stand."""
    rng = np.random.default_rng(seed)
    cores = rng.choice([0.1, 0.25, 0.5, 1, 2, 4], SERVICES, p=[0.1, 0.2, 0.3, 0.25, 0.1, 0.05])
    memory = np.round(8 * cores * rng.lognormal(np.log(3.2), 0.6, SERVICES)) / 8 + 0.125
    need = np.maximum(rng.lognormal(np.log(20), 0.9, SERVICES), 2).astype(int)
    shapes = [
        PodShape(f"s{i:03}", float(c), float(m))
        for i, (c, m) in enumerate(zip(cores, memory, strict=True))
    ]
    return shapes, need.tolist()


def solved(
    seed: int, candidates: list[Candidate], rules: MixRules | None = None
) -> tuple[Mix, float]:
    """Return the mix of a seed and the CPU seconds that it took."""
    shapes, need = planted(seed)
    start = time.process_time()
    mix = choose_mix(shapes, need, candidates=candidates, zones=ZONES, lose=1, rules=rules)
    return mix, time.process_time() - start


def losses(mix: Mix) -> str:
    """Return the pods without a place: in the mix, after a zone is lost, after a node is."""
    found = verify(mix)
    zone = max(loss.unplaced for loss in found.zone_losses)
    node = max((loss.unplaced for loss in found.node_losses), default=0)
    return f"{found.misplaced + found.overfull_nodes:3} {zone:4} {node:4}"


def row(seed: int, candidates: list[Candidate]) -> str:
    """Return one seed's line of the table."""
    mix, seconds = solved(seed, candidates)
    shapes, need = planted(seed)
    single = next(c for c in candidates if c.usable.instance_type == mix.best_single_type)
    pods = mix.pool.pods.tolist()
    first_fit = nodes_for(shapes, pods, usable=single.usable, zones=ZONES).nodes * single.weight
    return (
        f"{seed:4} {sum(need):6} {mix.counts.sum():6} {mix.weight:8.2f} {mix.gap:8.2%} "
        f"{mix.weight / totals_bound(mix.pool) - 1:8.2%}   {mix.best_single_type:13} "
        f"{mix.saving:6.1%} {1 - mix.weight / first_fit:9.1%}   {losses(mix)} {seconds:6.1f}"
    )


def rule_row(name: str, seeds: int) -> str:
    """Return one rule's line: mean and largest distance from its bound, mean over no rule."""
    gaps, dearer, seconds, lost = [], [], [], []
    for seed in range(seeds):
        mix, spent = solved(seed, families(), RULES[name])
        plain, _ = solved(seed, families())
        gaps.append(mix.gap)
        dearer.append(mix.weight / plain.weight - 1)
        seconds.append(spent)
        lost.append(losses(mix))
    worst = max(lost)
    return (
        f"{name:36} {np.mean(gaps):7.2%} {np.max(gaps):7.2%} {np.mean(dearer):9.2%}   {worst} "
        f"{np.max(seconds):6.1f}"
    )


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    seeds = parser.parse_args().seeds
    head = (
        "seed   pods  nodes    USD/h    above   totals   single type    saving first fit   "
        "unplaced/zone/node  CPU s"
    )
    print(f"ten families in four sizes\n{head}")
    for seed in range(seeds):
        print(row(seed, families()))
    print(f"\n40 types at random\n{head}")
    for seed in range(seeds):
        print(row(seed, drawn(seed)))
    print(f"\n{'under a rule':36}   above,  worst    dearer   unplaced/zone/node  CPU s")
    for name in RULES:
        print(rule_row(name, seeds))


if __name__ == "__main__":
    main()
