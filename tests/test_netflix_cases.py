"""Netflix's published cases: its recorded core counts, and what our door makes of the demand.

The recorded values are those of service-capacity-modeling 0.3.212, us-east-1 (cases R1 to R6, R11
and R13 of a study of October 2026). The live run of the package belongs to the benchmark.
"""

from __future__ import annotations

import datetime as dt
import math
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest
from scipy.stats import lognorm

SPEED = {"m5": 3.1, "m6a": 4.14, "m6i": 4.025, "m7a": 7.215, "c7a": 7.215, "c8a": 7.92}
"""GHz x IPC of the package's shapes."""


@pytest.fixture(scope="module")
def bench(repo: Path) -> Iterator[ModuleType]:
    """Return the benchmark's module; scripts are no package."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(repo / "benchmarks"))
        yield import_module("netflix")
        for name in ("netflix", "netflix_cases"):
            sys.modules.pop(name, None)


@pytest.fixture(scope="module")
def cases(bench: ModuleType) -> ModuleType:
    """Return the cases and the peer's arithmetic."""
    return import_module(bench.staffed.__module__)


@pytest.mark.parametrize(
    ("busy", "family", "how", "cores"),
    [
        (1, "m6a", {}, 5),  # R1a
        (10, "c8a", {}, 12),  # R1b
        (100, "c7a", {}, 95),  # R1c
        (100, "c8a", {}, 86),
        (500, "c8a", {}, 393),  # R1d
        (1000, "c8a", {}, 767),  # R1e
        (100, "m5", {}, 219),  # R2
        (100, "m6i", {}, 169),
        (100, "m7a", {}, 95),
        (100, "c8a", {"tier": 0}, 91),  # R3
        (100, "c8a", {"tier": 3}, 80),
        (100, "c8a", {"failover": False}, 35),
        (500, "m6i", {}, 772),
    ],
)
def test_our_reading_of_their_arithmetic_gives_their_service_cores(
    cases, busy, family, how, cores
) -> None:
    assert cases.service_cores(busy, SPEED[family], **how) == cores


@pytest.mark.parametrize(
    ("busy", "tier", "cores"),
    [
        (1.3, 1, 4),  # R4
        (1.3, 2, 3),
        (65, 1, 66),  # R5, x50
        (3, 1, 6),  # R6
        (3, 2, 5),
        (6, 2, 8),
        (15, 2, 17),
        (30, 2, 31),
        (60, 2, 57),
    ],
)
def test_our_reading_of_their_arithmetic_gives_their_writer_cores(cases, busy, tier, cores) -> None:
    assert cases.server_cores(busy, SPEED["m5"], tier=tier) == cores


@pytest.mark.parametrize("name", ["R1a", "R1b", "R1c", "R1d", "R1e"])
def test_their_totals_are_instances_and_twelve_dollars_of_disk_each(cases, name) -> None:
    recorded = cases.RECORDED[name]["fleet"]
    each = cases.HARDWARE[recorded["type"]]["usd"] + 10 * 1.20  # 10 GiB of gp2
    assert recorded["count"] * each == pytest.approx(recorded["usd"], abs=0.01)


@pytest.mark.parametrize("name", ["m6a.large", "m6i.4xlarge", "c7a.8xlarge", "c8a.16xlarge"])
def test_their_memory_takes_mib_for_millions_of_bytes(bench, cases, name) -> None:
    theirs = cases.HARDWARE[name]["memory_gib"]
    ours = bench.our_catalog().node_type(name).memory_gib
    assert theirs * 1.024**2 == pytest.approx(ours, rel=0.001)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("rps", "kind", "pods", "nodes"),
    [
        # busy = rps / 1000 x 2.3 / speed; with a zone lost 3 x ceil(ceil(busy / 1.615) / 2) pods.
        (1e5, "c7a.8xlarge", 30, 3),  # 31.88 busy, 20 pods left of 30, 16 fit a node
        (5e5, "c8a.xlarge", 135, 69),  # 145.20 busy, 90 of 135, 2 fit a node
        (1e6, "c8a.16xlarge", 270, 9),  # 290.40 busy, 180 of 270, 33 fit a node
    ],
)
def test_our_fleet_for_the_same_demand_by_hand(bench, rps, kind, pods, nodes) -> None:
    cost = 0.001 * 2.3 / SPEED[kind[:3]]
    ours = bench.provided(bench.service_plan(rps, cost, kind))
    assert (ours.pods, ours.nodes) == (pods, nodes)
    assert "lose 1 zone" in ours.hold


@pytest.mark.slow
@pytest.mark.parametrize("busy", [24 * 16 * 0.30, 12 * 16 * 0.80])
def test_more_demand_always_moves_our_plan(bench, busy) -> None:
    """Their plans for these clusters, R12, are the same at one and at a hundred times."""
    plans = [
        bench.provided(bench.service_plan(1e4 * k, busy / 1e4, "m6i.4xlarge"))
        for k in (1, 2, 5, 10, 100)
    ]
    by_hand = [3 * math.ceil(math.ceil(busy * k / 1.615) / 2) for k in (1, 2, 5, 10, 100)]
    assert [plan.pods for plan in plans] == by_hand
    assert [plan.nodes for plan in plans] == [3 * math.ceil(pods / 3 / 8) for pods in by_hand]


@pytest.mark.slow
def test_eighty_times_names_the_limit_the_multiple_and_the_date(bench, cases) -> None:
    row = bench.first(bench.server_plan(cases.R4, 80).to_frame("databases"))
    assert row["class_needed"] == "none: outgrows the family"
    assert row["binding"] == "cpu_cores"
    assert row["rejected"].endswith(
        "db.r5.24xlarge with 1 reader: writer needs 77.1613 cores, 67.2 allowed, in P50, up to "
        "utilization"
    )

    largest = bench.server_plan(cases.R4, 1, db_class="db.r5.24xlarge").to_frame("limits")
    limit = bench.first(largest, node="db", limit="cpu_cores")
    busy = (500 * 0.002 + 100 * 0.003) * 2.3 / 3.1
    assert limit["binds_at_x"] == pytest.approx(0.70 * 96 / busy)
    assert limit["breaks_at_x"] == pytest.approx(96 / busy)

    grown = bench.growing_server(cases.R4, 80, db_class="db.r5.24xlarge").to_frame("limits")
    dated = bench.first(grown, node="db", limit="cpu_cores")
    hour = math.ceil((365 * 24 - 1) * math.log(0.70 * 96 / busy) / math.log(80))
    reached = dt.datetime(2026, 11, 1, tzinfo=dt.UTC) + dt.timedelta(hours=hour)
    assert dated["first_policy_breach"] == reached.date().isoformat()
    assert dated["first_hard_breach"] == ""


@pytest.mark.slow
@pytest.mark.parametrize("k", [1, 2, 3, 5, 8, 10, 20, 30, 40, 50])
def test_our_class_is_the_smallest_of_the_ladder_within_policy(bench, cases, k) -> None:
    sizes = {2: "", 4: "x", 8: "2x", 16: "4x", 32: "8x", 48: "12x", 64: "16x", 96: "24x"}
    busy = 1.3 * k * 2.3 / 3.1
    vcpu = min(n for n in sizes if busy <= 0.70 * n)
    row = bench.first(bench.server_plan(cases.R4, k).to_frame("databases"))
    assert row["class_needed"] == f"db.r5.{sizes[vcpu]}large"


@pytest.mark.slow
def test_a_stated_interval_keeps_its_quantiles_and_its_draws_within_error(bench, cases) -> None:
    for low, mid, high, confidence in cases.INTERVALS:
        law = bench.stated(mid, high, confidence)
        exact = lognorm(s=law.sigma, scale=law.p50)
        assert exact.ppf((1 + confidence) / 2) == pytest.approx(high, rel=1e-6)
        if mid * mid == low * high:  # two quantiles fix the law; the third follows by symmetry
            assert exact.ppf((1 - confidence) / 2) == pytest.approx(low, rel=1e-6)
        plan = bench.service_plan(mid, 1e-6, "m6i.4xlarge", p95=law.p95)
        drawn = bench.first(plan.to_frame("demand"), window="season")["peak_p95"]
        # Standard error of the P95 of n normal draws: sqrt(p (1 - p) / n) / density.
        error = law.sigma * math.sqrt(0.05 * 0.95 / bench.DRAWS) / 0.10314
        assert abs(math.log(drawn / law.p95)) <= 3 * error


def test_where_the_plans_for_an_interval_stand(bench, cases) -> None:
    """R11: 3 x c7a.8xlarge are 96 cores, so 120 staffed ones: a + 1.761 sqrt(a) = 120."""
    root = (-1.761 + math.sqrt(1.761**2 + 480)) / 2
    carried = cases.carried_rps(96, SPEED["c7a"], service_s=0.001)
    assert carried == pytest.approx(1000 * root**2, rel=1e-5)

    cost = 0.001 * 2.3 / SPEED["c7a"]
    ours = bench.provided(bench.service_plan(1e5, cost, "c7a.8xlarge", p95=2e5))
    again = bench.service_plan(1e5, cost, "c7a.8xlarge", p95=2e5, pods_max=ours.pods)
    limit = bench.first(again.to_frame("limits"), node="app", limit="cpu_cores")
    assert 0.04 <= limit["p_saturate"] <= 0.05


@pytest.mark.slow
def test_the_benchmark_prints_our_side_without_the_peer(repo: Path) -> None:
    command = [sys.executable, "benchmarks/netflix.py", "--peer", "none"]
    done = subprocess.run(command, cwd=repo, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("service-capacity-modeling 0.3.212 as recorded")
    for heading in ("R1:", "R4:", "R6:", "R12, R13:", "R4 x 80", "R11:", "CPU seconds"):
        assert f"\n{heading}" in done.stdout
