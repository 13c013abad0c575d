"""Bad input about capacity, through files: named with its remedy, or told in the plan's findings.

Each case changes one line of a small study that works. What nobody could plan with is refused with
where, got, expected and do; what merely looks wrong, or cannot be had, is planned and told.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import capmodel as cm
from capmodel.errors import InputError
from capmodel.plan import PlanSet, Study
from capmodel.plan.suspects import suspect_gib

TOPOLOGY = """\
drivers:
  checkouts: {today_per_min: 600}
services:
  api:
    calls: {checkouts: 4}
    tier: 0
    pool: general
    pod: {cpu_cores: 2, memory_gib: 4}
    replicas: {min: 3, max: 60, today: 8}
    usage: {cpu_cores: {per_pod: 0.05, per_request: 0.2}}
  worker:
    calls: {api: 0.5}
    pool: general
    pod: {cpu_cores: 1, memory_gib: 2}
    usage: {cpu_cores: {per_request: 0.1}}
databases:
  core-db:
    class: db.r6g.4xlarge
    usage: {cpu_cores: {idle: 0.4, per_read: 0.001}}
    used_by: {api: {reads: 5, pool_max: 20}}
pools:
  general: {types: [m6i.4xlarge], zones: 3, today: 6, daemonsets: {cpu_cores: 0.3, memory_gib: 0.5}}
limits:
  vcpu: {quota: ec2.on_demand_vcpu_standard, unit: vCPU, hard: 640, per_node: {general: vcpus}}
  gateway: {unit: requests/s, hard: 500, constant: 20, per_request: {api: 1}}
"""
STUDY = """\
business_tz: UTC
as_of: 2026-09-21
horizon: {start: 2026-11-23, end: 2026-11-30}
draws: 100
topology: topology.yaml
scenarios: {base: {}}
"""


def write(folder: Path, *changes: tuple[str, str]) -> Path:
    """Write the study with these lines changed."""
    text = TOPOLOGY
    for old, new in changes:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    (folder / "topology.yaml").write_text(text, encoding="utf-8")
    (folder / "study.yaml").write_text(STUDY, encoding="utf-8")
    return folder / "study.yaml"


def refused(folder: Path, *changes: tuple[str, str]) -> InputError:
    with pytest.raises(InputError) as caught:
        Study.read(write(folder, *changes)).plan()
    for problem in caught.value.problems:
        parts = (problem.where, problem.got, problem.expected, problem.do)
        assert all(part.strip() for part in parts), problem
    return caught.value


def planned(folder: Path, *changes: tuple[str, str]) -> PlanSet:
    return Study.read(write(folder, *changes)).plan()


def findings(plans: PlanSet, code: str) -> dict[str, str]:
    frame = plans.to_frame("findings")
    frame = frame[frame["code"] == code]
    return dict(zip(frame["service"], frame["message"], strict=True))


def test_the_study_works_unspoilt(tmp_path: Path) -> None:
    plans = planned(tmp_path)
    for code in ("unit_suspect", "replicas_max", "no_callers", "slo_target", "startup_cpu"):
        assert findings(plans, code) == {}


POD = "pod: {cpu_cores: 2, memory_gib: 4}"
REPLICAS = "replicas: {min: 3, max: 60, today: 8}"
GATEWAY = "hard: 500, constant: 20"
WORKER = "    pool: general\n    pod: {cpu_cores: 1,"
NOTHING_WARM = "{free_addresses_per_zone: 500, warm_prefix: 0}"
CLASS, TYPE = "class: db.r6g.4xlarge", "types: [m6i.4xlarge]"


@pytest.mark.parametrize(
    ("change", "where", "got", "expected", "do"),
    [
        pytest.param(
            (POD, "pod: {cpu_cores: 24, memory_gib: 4}"),
            "services.api.pod", "24 cores and 4 GiB", "m6i.4xlarge 15.59 cores, 55.84 GiB",
            "larger instance type", id="a pod larger than its node",
        ),
        pytest.param(
            (POD, "pod: {cpu_cores: 2, memory_gib: 4096}"),
            "services.api.pod", "4096 GiB", "m6i.4xlarge", "4096 looks like 4 in another unit",
            id="memory in MiB",
        ),
        pytest.param(
            (CLASS, "class: db.r6g.4xlrge"),
            "databases.core-db.class", '"db.r6g.4xlrge"', "", '"db.r6g.4xlarge"?',
            id="an unknown class",
        ),
        pytest.param(
            (TYPE, "types: [m6i.4xlrage]"),
            "pools.general.types", '"m6i.4xlrage"', "", '"m6i.4xlarge"?', id="an unknown type",
        ),
        pytest.param(
            ("zones: 3", "zones: 1"),
            "pools.general.zones", "1 zones and a policy that survives the loss of 1",
            "more zones than may be lost", "Add zones", id="fewer zones than may be lost",
        ),
        pytest.param(
            ("unit: vCPU", "unit: instances"),
            "limits.vcpu.unit", "instances", "vCPU", "vCPU", id="a quota in another unit",
        ),
        pytest.param(
            ("ec2.on_demand_vcpu_standard", "ec2.on_demand_vcpu_standart"),
            "limits.vcpu.quota", "on_demand_vcpu_standart", "", '"on_demand_vcpu_standard"?',
            id="an unknown quota",
        ),
        pytest.param(
            (GATEWAY, "hard: 500, constant: 600"),
            "limits.gateway.hard", "500 requests/s, and a constant use of 600", "at least",
            "same unit", id="a bound below its constant use",
        ),
        pytest.param(
            (POD, "pod: {cpu_cores: 2, memory_gib: 4, cpu_limit_cores: 1}"),
            "services.api.pod", "1", "below the request of 2 cores", "",
            id="a limit below the request",
        ),
        pytest.param(
            (REPLICAS, "replicas: {min: 30, max: 20}"),
            "services.api.replicas", "", "max 20 is below min 30", "", id="max below min",
        ),
        pytest.param(
            (REPLICAS, "replicas: {min: 3, max: 10, min_per_zone: 4}"),
            "services.api.replicas.min_per_zone", "4 in each of 3 zones",
            "replicas.max (10)", "raise replicas.max", id="more pods per zone than max",
        ),
        pytest.param(
            (WORKER, WORKER.replace("pool: general", "replicas: {min_per_zone: 1}")),
            "services.worker.replicas.min_per_zone", "1 without a pool", "has zones",
            "Name the pool", id="pods per zone without zones",
        ),
        pytest.param(
            ("today: 6,", "today: 6, max: 3,"),
            "pools.general", "", "max 3 is below today 6", "", id="a pool's max below today",
        ),
        pytest.param(
            ("today: 6,", f"today: 6, prefix_mode: true, subnet: {NOTHING_WARM},"),
            "pools.general", "", "nothing in reserve", "", id="prefix mode without a reserve",
        ),
    ],
)  # fmt: skip
def test_what_nobody_could_plan_with_is_refused(
    change: tuple[str, str], where: str, got: str, expected: str, do: str, tmp_path: Path
) -> None:
    [problem] = refused(tmp_path, change).problems
    assert where in problem.where
    text = str(problem)
    for part in (got, expected, do):
        assert part in text


@pytest.mark.parametrize(
    "change",
    [
        (POD, "pod: {cpu_cores: -2, memory_gib: 4}"),
        (POD, "pod: {cpu_cores: 2, memory_gib: 0}"),
        (POD, "pod: {cpu_cores: 2, memory_gib: 4, startup_cpu_cores: -1}"),
        (REPLICAS, "replicas: {min: -1}"),
        (REPLICAS, "replicas: {min_per_zone: -1}"),
        ("calls: {checkouts: 4}", "calls: {checkouts: 4}\n    utilization: 60"),
        ("calls: {checkouts: 4}", "calls: {checkouts: 4}\n    slo: {p99_s: -0.1}"),
        ("zones: 3", "zones: 0"),
        ("today: 6,", "today: 6, spare_nodes_per_zone: -1,"),
        ("today: 6,", "today: 6, subnet: {free_addresses_per_zone: -5},"),
        ("memory_gib: 0.5", "memory_gib: -0.5"),
        (GATEWAY, "hard: -500"),
        ("reads: 5", "reads: -5"),
    ],
    ids=lambda change: change[1].strip(),
)
def test_negative_sizes_and_percent_for_ratios_name_file_and_line(
    change: tuple[str, str], tmp_path: Path
) -> None:
    [problem] = refused(tmp_path, change).problems
    assert problem.where.startswith("topology.yaml:")


def test_every_pod_that_is_too_large_is_named_at_once(tmp_path: Path) -> None:
    error = refused(
        tmp_path,
        (POD, "pod: {cpu_cores: 2, memory_gib: 64}"),
        ("pod: {cpu_cores: 1, memory_gib: 2}", "pod: {cpu_cores: 17, memory_gib: 2}"),
        (TYPE, "types: [m6i.4xlarge, m6i.8xlarge]"),
    )
    assert [p.where for p in error.problems] == ["services.api.pod", "services.worker.pod"]
    for problem in error.problems:  # both types named, and that the second would do
        assert "m6i.4xlarge 15.59 cores" in problem.expected
        assert "m6i.8xlarge 31.55 cores" in problem.expected
        assert problem.do == "The pool is sized on its first type: name m6i.8xlarge first."


def test_a_pod_that_fills_its_node_to_the_last_millicore_fits(tmp_path: Path) -> None:
    plans = planned(tmp_path, (POD, "pod: {cpu_cores: 15.59, memory_gib: 4}"))
    nodes = plans.to_frame("nodes").query("scenario == 'mixture'").iloc[0]
    assert nodes["required"] > 0


def test_a_mixed_group_whose_smallest_type_holds_its_daemons_alone(tmp_path: Path) -> None:
    [problem] = refused(
        tmp_path,
        (TYPE, "types: [m6i.4xlarge, m6i.large], mixed: true"),
        ("memory_gib: 0.5}", "memory_gib: 0.5, pods: 29}"),
    ).problems
    assert "29 pods on nodes that may run 29" in problem.got
    assert "m6i.4xlarge, m6i.large" in problem.where


def test_replicas_max_below_the_need_is_red_with_the_number(tmp_path: Path) -> None:
    plans = planned(tmp_path, (REPLICAS, "replicas: {min: 3, max: 5, today: 5}"))
    # 40/s x 0.2 = 8 cores over 1.15 to spare in each pod: 7 pods; two zones left hold 0.85 x 2.
    found = plans.to_frame("services").query("scenario == 'mixture' and service == 'api'").iloc[0]
    needed = max(np.ceil(8 / (0.60 * 2 - 0.05)), 3 * np.ceil(np.ceil(8 / (0.85 * 2 - 0.05)) / 2))
    assert (found["status"], found["replicas_needed"], found["replicas_max"]) == ("RED", needed, 5)
    assert findings(plans, "replicas_max") == {"api": "needs 9 pods, the autoscaler stops at 5"}
    orders = plans.to_frame("orders").query("item == 'api'").iloc[0]
    assert (orders["from"], orders["to"]) == ("5", "9")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "node", "text"),
    [
        (
            (POD, "pod: {cpu_cores: 2, memory_gib: 17.18}"), "api",
            "pod.memory_gib 17.18: in GB that would be 16 GiB; is it GB?",
        ),
        (
            (POD, "pod: {cpu_cores: 2, memory_gib: 4.295}"), "api",
            "pod.memory_gib 4.295: in GB that would be 4 GiB; is it GB?",
        ),
        (
            ("memory_gib: 0.5", "memory_gib: 0.5369"), "general",
            "daemonsets.memory_gib 0.5369: in GB that would be 0.5 GiB; is it GB?",
        ),
        (
            ("    pool: general\n    pod: {cpu_cores: 1, memory_gib: 2}",
             "    pod: {cpu_cores: 1, memory_gib: 4096}"), "worker",
            "pod.memory_gib 4096: in MiB that would be 4 GiB; is it MiB?",
        ),
        (
            ("usage: {cpu_cores: {per_request: 0.1}}",
             "usage: {cpu_cores: {per_request: 0.1}, memory_gib: {per_pod: 1.0737}}"), "worker",
            "usage.memory_gib.per_pod 1.0737: in GB that would be 1 GiB; is it GB?",
        ),
    ],
)  # fmt: skip
def test_sizes_in_another_unit_are_suspected(
    change: tuple[str, str], node: str, text: str, tmp_path: Path
) -> None:
    assert findings(planned(tmp_path, change), "unit_suspect") == {node: text}


def test_no_whole_or_half_number_of_gib_is_suspected() -> None:
    common = [0.25, 0.5, 0.75, 1, 1.5, 2, 3, 3.5, 4, 4.3, 6, 8, 8.6, 12, 16, 17, 24, 32, 34, 48,
              64, 68, 96, 128, 137, 192, 256, 384]  # fmt: skip
    assert [size for size in common if suspect_gib(size) is not None] == []
    for power in range(-2, 9):
        gib = 2.0**power
        assert suspect_gib(gib * 1024**3 / 1e9) == gib
        assert suspect_gib(float(f"{gib * 1.073741824:.4g}")) == gib


def test_a_database_with_no_caller_is_told_and_planned_idle(tmp_path: Path) -> None:
    plans = planned(tmp_path, ("    used_by: {api: {reads: 5, pool_max: 20}}\n", ""))
    assert set(findings(plans, "no_callers")) == {"core-db"}
    limits = plans.to_frame("limits").query("scenario == 'mixture' and node == 'core-db'")
    cores = limits.set_index("limit").loc["cpu_cores"]
    assert (cores["peak_p50"], cores["status"]) == (0.4, "GREEN")


def test_a_throttled_share_in_percent_is_refused_before_it_is_a_limit() -> None:
    hours = np.arange(24 * 30)
    time = pd.Timestamp("2026-08-01T00:00Z") + pd.to_timedelta(hours, unit="h")
    frame = pd.DataFrame(
        {"service": "api", "time": time, "rps": 40.0, "replicas": 8.0, "cpu_cores": 8.0,
         "throttled_share": 20.0}
    )  # fmt: skip
    declared = cm.Topology.model_validate(
        {"services": {"api": {"pod": {"cpu_cores": 2, "memory_gib": 4}}}}
    )
    with pytest.raises(InputError, match=r"throttled_share reaches 20; percent"):
        cm.CapacityModel(declared).fit(cm.History.from_frame(frame, business_tz="UTC"))
