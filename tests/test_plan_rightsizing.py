"""Right-sizing in a plan: one service worked by hand, and files of KRR and VPA beside it.

The service `api` uses 0.1 cores idle and 0.05 core-seconds a request, 0.5 GiB and 0.02 GiB per
request a second. Quiet brings 40 requests a second, Black Friday 120, on three zones of which one
may be lost. With pods of r cores the season takes ``6 / (0.6 r - 0.1)`` pods at the planned
utilization and ``6 / (0.85 r - 0.1)`` in the two zones left:

    r [cores]        0.50  0.75  1.00  1.25  1.50  1.75
    planned           30    18    12    10     8     7
    zones left, 3/2   30    18    12    12     9     9
    r * pods          15    13.5  12    15    13.5  15.75

1 core it is. A pod of the zones left has 15 requests a second: 0.8 GiB at 0.85 of 0.941, so 1 GiB.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import capmodel as cm
from capmodel.errors import InputError
from capmodel.plan.columns import FRAMES
from capmodel.plan.frames_rightsizing import (
    LOOKBACK_COLUMNS,
    RIGHTSIZING_COLUMNS,
    right_sizing,
)
from capmodel.plan.make import solve
from capmodel.plan.request import Horizon, PlanRequest, Sampling, Setting

API: dict[str, Any] = {
    "calls": {"checkouts": 4}, "tier": 1, "pool": "general", "imbalance_x": 1.0,
    "pod": {"cpu_cores": 1.5, "memory_gib": 2}, "replicas": {"min": 3, "max": 50, "today": 20},
    "usage": {
        "cpu_cores": {"per_pod": 0.1, "per_request": 0.05},
        "memory_gib": {"per_pod": 0.5, "per_request": 0.02},
    },
}  # fmt: skip
BASE = cm.Scenario(
    name="base", demand_x={"checkouts": 1.0}, lift={"black_friday": {"checkouts": 3}}
)
# 0.096 USD for 2 cores and 8 GiB: 0.096 · 0.031611 / (2 · 0.031611 + 8 · 0.004237), and per GiB.
USD_PER_CORE, USD_PER_GIB = 0.0312472, 0.00418823
HEADER = (
    "Namespace,Name,Pods,Old Pods,Type,Container,"
    "CPU Requests Current,CPU Requests Recommended,CPU Limits Current,CPU Limits Recommended,"
    "Memory Requests Current,Memory Requests Recommended,"
    "Memory Limits Current,Memory Limits Recommended"
)
VPA = """\
apiVersion: v1
kind: List
items:
  - apiVersion: autoscaling.k8s.io/v1
    kind: VerticalPodAutoscaler
    metadata: {name: api-vpa, namespace: shop}
    spec: {targetRef: {apiVersion: apps/v1, kind: Deployment, name: api}}
    status:
      recommendation:
        containerRecommendations:
          - containerName: app
            target: {cpu: 1200m, memory: 900Mi}
            lowerBound: {cpu: 900m, memory: 800Mi}
            upperBound: {cpu: "2", memory: 2Gi}
            uncappedTarget: {cpu: 1200m, memory: 900Mi}
"""


def topology(policy: dict[str, Any] | None = None, **services: dict[str, Any]) -> cm.Topology:
    return cm.Topology.model_validate(
        {
            "drivers": {"checkouts": {"today_per_min": 600}},
            "services": {"api": API, **services},
            "pools": {"general": {"types": ["m6i.large"], "zones": 3, "today": 20}},
            "policy": policy or {},
        }
    )


def planned(
    *scenarios: cm.Scenario, estate: cm.Topology | None = None, **changes: Any
) -> cm.PlanSet:
    fit = cm.CapacityModel(estate or topology(), events=cm.Events.us_retail(2026, 2027)).declare()
    asked = {
        "start": "2026-10-01", "end": "2026-12-20", "season": ("2026-11-02", "2026-12-17"),
        "draws": 100, "also": ["rightsizing"], **changes,
    }  # fmt: skip
    return fit.plan(scenarios or BASE, **asked)


@pytest.fixture(scope="module")
def by_hand() -> cm.PlanSet:
    return planned()


def sized(plan: cm.PlanSet, service: str = "api") -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the rows of the season and of quiet."""
    frame = plan.to_frame("rightsizing")
    rows = frame[frame["service"] == service].itertuples(index=False, name=None)
    season, quiet = (dict(zip(frame.columns, row, strict=True)) for row in rows)
    assert (season["season"], quiet["season"]) == ("season", "quiet")
    return season, quiet


def krr_line(cpu: str, gib: float, *, owner: str = "shop,api,20,0,Deployment,app") -> str:
    memory = f"{gib * 2**30:.0f}"
    return f"{owner},1.5,{cpu},unset,unset,2147483648,{memory},2147483648,{memory}"


def written(folder: Path, name: str, *lines: str) -> Path:
    file = folder / name
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return file


def notes(plan: cm.PlanSet, code: str) -> pd.DataFrame:
    found = plan.to_frame("findings")
    return found[found["code"] == code]


def test_the_season_by_hand(by_hand: cm.PlanSet) -> None:
    season, _ = sized(by_hand)
    # Today 20 pods of 1.5 cores and 2 GiB: 30 cores and 40 GiB; then 12 of 1 core and 1 GiB.
    expected = {
        "status": "GREEN", "binding": "P50, up to utilization", "reason": "", "basis": "assumed",
        "day": "2026-11-27", "today_pods": 20, "replicas": 12, "today_cpu_cores": 1.5,
        "cpu_request_cores": 1.0, "today_memory_gib": 2, "memory_request_gib": 1.0,
        "hpa_percent": 60, "cores": 12, "freed_cores": 18, "memory_gib": 12, "freed_gib": 28,
    }  # fmt: skip
    assert {name: season[name] for name in expected} == expected
    assert season["least_cores"] == pytest.approx(1.0)
    assert season["least_gib"] == pytest.approx(0.8 / 0.85)
    assert season["settled_pods"] == pytest.approx(12)
    usd = 18 * USD_PER_CORE + 28 * USD_PER_GIB
    assert season["freed_usd_per_hour"] == pytest.approx(usd, rel=1e-5)


def test_quiet_by_hand_keeps_the_pod_and_needs_half_of_them(by_hand: cm.PlanSet) -> None:
    _, quiet = sized(by_hand)
    # 40 a second: 2 / 0.5 = 4 pods planned; 2 / 0.75 = 2.7 in the zones left: 3 · ceil(3 / 2) = 6.
    expected = {
        "status": "GREEN", "binding": "P50, lose 1 zone, up to utilization_degraded", "day": "",
        "replicas": 6, "cpu_request_cores": 1.0, "memory_request_gib": 1.0, "hpa_percent": 60,
        "cores": 6, "freed_cores": 24, "memory_gib": 6, "freed_gib": 34,
    }  # fmt: skip
    assert {name: quiet[name] for name in expected} == expected
    assert quiet["settled_pods"] == pytest.approx(4)
    assert quiet["least_cores"] == pytest.approx((0.1 + 0.05 * 40 / 6) / 0.6)
    usd = 24 * USD_PER_CORE + 34 * USD_PER_GIB
    assert quiet["freed_usd_per_hour"] == pytest.approx(usd, rel=1e-5)


def test_quiet_has_its_own_busy_days() -> None:
    # Columbus Day, twice a usual day: 80 a second, 8 pods planned; 5.33 left of zones: 9.
    lift = {"black_friday": {"checkouts": 3.0}, "columbus_day": {"checkouts": 2.0}}
    before = BASE.replace(lift=lift)
    assert sized(planned(before))[1]["replicas"] == 9
    after = BASE.replace(lift={"black_friday": {"checkouts": 3.0}, "launch": {"checkouts": 2.0}})
    events = cm.Events.us_retail(2026, 2027).add("launch", "2026-12-18")
    fit = cm.CapacityModel(topology(), events=events).declare()
    season = ("2026-11-02", "2026-12-17")
    plan = fit.plan(
        after, start="2026-10-01", end="2026-12-20", season=season, draws=100, also=["rightsizing"]
    )
    assert sized(plan)[1]["replicas"] == 9


def test_the_mixture_at_the_tiers_level_sizes_the_hottest_pod() -> None:
    # Half the paths bring 240: 12 / (r - 0.1) pods are full, 14 of 1 core, 9 of 1.5: 13.5 cores.
    likely = BASE.replace(probability=0.5)
    high = BASE.replace(name="high", probability=0.5, demand_x={"checkouts": 2.0})
    season, _ = sized(planned(likely, high))
    assert (season["cpu_request_cores"], season["replicas"]) == (1.5, 9)
    assert season["binding"] == "1-risk, up to hard"
    # Two paths in a hundred are within the risk of 5 %.
    rare = (BASE.replace(probability=0.98), high.replace(probability=0.02))
    season, _ = sized(planned(*rare))
    assert (season["cpu_request_cores"], season["replicas"]) == (1.0, 12)
    assert season["binding"] == "P50, up to utilization"


def test_no_pod_is_larger_than_a_node_of_its_pool() -> None:
    # Half a core idle in each pod: the larger the better, up to m6i.large's 1.93 and xlarge's 3.92.
    idle = {
        "cpu_cores": {"per_pod": 0.5, "per_request": 0.05},
        "memory_gib": API["usage"]["memory_gib"],
    }
    estate = topology(api=API | {"usage": idle})
    assert sized(planned(estate=estate))[0]["cpu_request_cores"] == 1.75
    pools = {"general": {"types": ["m6i.xlarge"], "zones": 3, "today": 20}}
    larger = sized(planned(estate=estate.replace(pools=pools)))[0]
    assert 1.75 < larger["cpu_request_cores"] <= 3.75


def test_at_todays_request_the_pods_are_those_of_the_plan() -> None:
    # With 1 core today the request stays, and services are sized at it.
    pod = {"pod": {"cpu_cores": 1.0, "memory_gib": 2}}
    plan = planned(estate=topology(api=API | pod))
    services = plan.to_frame("services").query("scenario == 'mixture'")
    assert services["replicas_needed"].tolist() == [12]
    assert sized(plan)[0]["replicas"] == 12


def test_each_grey_row_says_why_and_leaves_the_others_alone() -> None:
    usage = {"cpu_cores": {"per_pod": 0.1, "per_request": 0.05}}
    estate = topology(
        cpu_only={**API, "usage": usage},
        unknown={**API, "replicas": {"min": 3}},
        no_pod={"calls": {"checkouts": 1}},
    )
    plan = planned(estate=estate)
    assert sized(plan)[0]["status"] == "GREEN"
    reasons = {
        "cpu_only": "no usage of memory_gib",
        "unknown": "today's pods and requests are not known",
        "no_pod": "no usage of cpu_cores; no usage of memory_gib; today's pods and requests",
    }
    for name, reason in reasons.items():
        for row in sized(plan, name):
            assert (row["status"], row["binding"]) == ("GREY", "")
            assert row["reason"].startswith(reason)
            assert np.isnan([row["replicas"], row["cpu_request_cores"], row["freed_cores"]]).all()


def test_only_the_rows_that_a_tier_is_promised_size_it() -> None:
    hold = [
        {"quantile": 0.5, "up_to": "utilization", "tiers": [0, 1]},
        {"failure": {"lose_zones": 1}, "quantile": 0.5, "up_to": "hard", "tiers": [2]},
    ]
    estate = topology({"hold": hold}, second=API | {"tier": 2})
    fit = cm.CapacityModel(estate, events=cm.Events.us_retail(2026, 2027)).declare()
    request = PlanRequest.of(
        fit, [BASE], horizon=Horizon.of("2026-10-01", "2026-12-20"),
        sampling=Sampling(draws=100), setting=Setting(also=["rightsizing"]),
    )  # fmt: skip
    frame = right_sizing(solve(fit, request)).rightsizing.query("season == 'season'")
    rows = frame.set_index("service")
    # Planned alone, 8 of 1.5 cores are as good as 12 of 1, and take less memory.
    assert rows.loc["api", "binding"] == "P50, up to utilization"
    assert rows.loc[["api"], ["cpu_request_cores", "replicas"]].values.tolist() == [[1.5, 8]]
    # Full in the zones left, 6 / (1.75 - 0.1) = 3.6: 3 · ceil(4 / 2) pods.
    assert rows.loc["second", "binding"] == "P50, lose 1 zone, up to hard"
    assert rows.loc[["second"], ["cpu_request_cores", "replicas"]].values.tolist() == [[1.75, 6]]


def test_without_a_day_outside_the_season_only_quiet_is_grey() -> None:
    season, quiet = sized(planned(season=None))
    assert (season["status"], season["replicas"]) == ("GREEN", 12)
    assert quiet["status"] == "GREY"
    assert quiet["reason"] == "the horizon has no day outside the season"
    assert np.isnan([quiet["replicas"], quiet["freed_usd_per_hour"], quiet["hpa_percent"]]).all()
    assert (quiet["today_pods"], quiet["today_cpu_cores"]) == (20, 1.5)


def test_pods_on_no_pool_have_no_price_and_say_so() -> None:
    estate = topology(api=API | {"pool": None})
    season, _ = sized(planned(estate=estate))
    assert season["status"] == "GREEN"
    # No zone to lose and larger pods: 6 / (0.6 · 3.5 - 0.1) = 3 of 3.5 cores, 10.5 instead of 30.
    assert (season["replicas"], season["freed_cores"]) == (3, 19.5)
    assert np.isnan(season["freed_usd_per_hour"])
    assert season["reason"] == "runs on no declared pool: what is freed has no price"


def test_more_pods_than_allowed_are_red_with_the_number() -> None:
    few = API | {"replicas": {"min": 3, "max": 5, "today": 5}}
    season, quiet = sized(planned(estate=topology(api=few)))
    assert season["status"] == quiet["status"] == "RED"
    assert "replicas.max is 5" in season["reason"]
    assert season["freed_cores"] < 0


def test_krr_that_would_shrink_what_the_season_needs(tmp_path: Path) -> None:
    file = written(tmp_path, "krr.csv", HEADER, krr_line("0.35", 1.0))
    plan = planned(recommendations=cm.read_krr_csv(file, lookback_days=14), also=[])
    cpu, memory = plan.to_frame("lookback").to_dict("records")
    # At 0.35 cores 6 / (0.21 - 0.1) = 54.5 pods; 12 pods miss 0.65 cores each.
    assert (cpu["service"], cpu["resource"], cpu["unit"], cpu["source"]) == (
        "api", "cpu_cores", "cores", "krr",
    )  # fmt: skip
    assert (cpu["verdict"], cpu["theirs"], cpu["ours"], cpu["today"]) == ("too small", 0.35, 1, 1.5)
    assert cpu["short"] == pytest.approx(12 * 0.65)
    assert (cpu["pods"], cpu["pods_at_theirs"], cpu["lookback_days"]) == (12, 55, 14)
    assert cpu["text"] == (
        "KRR (14 days back) shrinks the CPU request of 1.50 cores to 0.35, but the season's peak "
        "on 2026-11-27 takes 1.00 cores with 12 pods: 7.8 cores missing; at this request it takes "
        "55 pods, 43 more, above replicas.max of 50"
    )
    assert (memory["resource"], memory["unit"], memory["verdict"]) == (
        "memory_gib",
        "GiB",
        "agrees",
    )
    assert sized(plan)[0]["replicas"] == 12  # recommendations imply right-sizing


def test_a_request_that_no_number_of_pods_holds_is_told_in_words(tmp_path: Path) -> None:
    file = written(tmp_path, "krr.csv", HEADER, krr_line("0.1", 1.0))
    plan = planned(recommendations=cm.read_krr_csv(file, lookback_days=14))
    cpu = plan.to_frame("lookback").iloc[0]
    assert np.isnan(cpu["pods_at_theirs"])
    assert "no number of pods of this request holds it" in cpu["text"]


def test_vpa_beside_krr(tmp_path: Path) -> None:
    krr = cm.read_krr_csv(written(tmp_path, "krr.csv", HEADER, krr_line("0.35", 1.0)))
    vpa = cm.read_vpa(written(tmp_path, "vpa.yaml", VPA))
    plan = planned(recommendations=[krr, vpa])
    frame = plan.to_frame("lookback")
    assert frame["source"].tolist() == ["krr", "krr", "vpa", "vpa"]
    cpu, memory = frame[frame["source"] == "vpa"].to_dict("records")
    # 1.2 cores are more than 1.1 times ours; 900 MiB are 0.879 of the 0.941 GiB that are needed.
    assert (cpu["verdict"], cpu["theirs"], cpu["lookback_days"]) == ("larger", 1.2, 8)
    assert memory["verdict"] == "too small"
    assert memory["short"] == pytest.approx(12 * (0.8 / 0.85 - 900 / 1024))
    assert "pods are killed instead of slowed" in memory["text"]
    assert notes(plan, "lookback_assumed")["severity"].tolist() == ["info"]


def test_services_that_no_tool_mentions_and_workloads_that_nobody_knows(tmp_path: Path) -> None:
    lines = [krr_line("0.35", 1.0), krr_line("1", 1.0, owner="shop,appi,2,0,Deployment,app")]
    krr = cm.read_krr_csv(written(tmp_path, "krr.csv", HEADER, *lines), lookback_days=14)
    plan = planned(estate=topology(ledger=API), recommendations=krr)
    assert notes(plan, "no_recommendation")["service"].tolist() == ["ledger"]
    [message] = notes(plan, "unmatched_workload")["message"]
    assert 'Deployment shop/appi matches no service. Did you mean "api"?' in message
    named = planned(
        estate=topology(ledger=API), recommendations=krr, workloads={"shop/appi": "ledger"}
    )
    assert notes(named, "no_recommendation").empty
    assert set(named.to_frame("lookback")["service"]) == {"api", "ledger"}


def test_wrong_recommendations_are_refused_together(tmp_path: Path) -> None:
    krr = cm.read_krr_csv(written(tmp_path, "krr.csv", HEADER, krr_line("0.35", 1.0)))
    with pytest.raises(InputError) as caught:
        planned(recommendations=[krr, krr], workloads={"shop/x": "apu"})
    first, second, third = caught.value.problems
    assert (first.where, first.do) == ("workloads.shop/x", 'Did you mean "api"?')
    assert second.got == "shop/Deployment/api/app/cpu_cores of KRR in two files"
    assert third.got.endswith("memory_gib of KRR in two files")
    with pytest.raises(InputError, match="got DataFrame; expected what read_krr_csv"):
        planned(recommendations=krr.frame)
    with pytest.raises(InputError, match="got Recommendations; expected what read_krr_csv"):
        planned(recommendations=replace(krr, frame=krr.frame.drop(columns="container")))


def test_without_being_asked_both_frames_are_empty_and_named(by_hand: cm.PlanSet) -> None:
    plan = planned(also=[])
    for name, columns in (("rightsizing", RIGHTSIZING_COLUMNS), ("lookback", LOOKBACK_COLUMNS)):
        assert name in FRAMES
        assert plan.to_frame(name).empty
        assert list(plan.to_frame(name).columns) == columns
    same = [name for name in FRAMES if name in plan.frames and name != "rightsizing"]
    assert all(plan.to_frame(name).equals(by_hand.to_frame(name)) for name in same)


@pytest.mark.slow
def test_both_frames_are_saved_written_and_shown(tmp_path: Path) -> None:
    file = written(tmp_path, "krr.csv", HEADER, krr_line("0.1", 1.0))
    krr = cm.read_krr_csv(file, lookback_days=14)
    plan = planned(estate=topology(no_pod={"calls": {"checkouts": 1}}), recommendations=krr)
    plan.write(tmp_path / "out")
    again = cm.load_plan(tmp_path / "out" / "plan.json")
    for name in ("rightsizing", "lookback"):
        pd.testing.assert_frame_equal(again.to_frame(name), plan.to_frame(name), rtol=1e-8)
        rows = pd.read_csv(tmp_path / "out" / "csv" / f"{name}.csv")
        assert len(rows) == len(plan.to_frame(name)) > 0
    assert again.hash == plan.hash
    page = (tmp_path / "out" / "review.html").read_text(encoding="utf-8")
    for text in ("20 × 1.5 cores, 2 GiB", "12 × 1 cores, 1 GiB", "6 × 1 cores, 1 GiB"):
        assert text in page
    assert "no number of pods of this request holds it" in page
    assert "no usage of cpu_cores" in page
    units = json.loads((tmp_path / "out" / "plan.json").read_text(encoding="utf-8"))
    saved = units["plan"]["frames"]["rightsizing"]
    named = dict(zip(saved["columns"], saved["units"], strict=True))
    assert (named["freed_usd_per_hour"], named["replicas"]) == ("USD/h", "pods")
    assert "input recommendations" in plan.provenance()


TOPOLOGY_FILE = json.dumps(topology().model_dump(mode="json", by_alias=True))
STUDY = """\
business_tz: UTC
horizon: {start: 2026-10-01, end: 2026-12-20}
season: {start: 2026-11-02, end: 2026-12-17}
draws: 100
topology: topology.yaml
scenarios: {base: {demand_x: {checkouts: 1.0}, lift: {black_friday: {checkouts: 3.0}}}}
"""


def study(folder: Path, *lines: str) -> cm.Study:
    written(folder, "topology.yaml", TOPOLOGY_FILE)
    return cm.Study.read(written(folder, "study.yaml", STUDY, *lines))


@pytest.mark.slow
def test_a_study_right_sizes_unless_told_otherwise(tmp_path: Path) -> None:
    assert sized(study(tmp_path).plan())[0]["replicas"] == 12
    off = study(tmp_path, "also: []").plan()
    assert off.to_frame("rightsizing").empty


@pytest.mark.slow
def test_a_study_names_files_lookback_and_names(tmp_path: Path) -> None:
    written(
        tmp_path, "krr.csv", HEADER, krr_line("0.35", 1.0, owner="shop,web,20,0,Deployment,app")
    )
    written(tmp_path, "vpa.yaml", VPA)
    made = study(
        tmp_path,
        "recommendations:",
        "  - {krr_csv: krr.csv, lookback_days: 7, names: {shop/web: api}}",
        "  - {vpa: vpa.yaml, names: {shop/api: api}}",
    )
    frame = made.plan().to_frame("lookback")
    assert frame["service"].tolist() == ["api"] * 4
    assert frame["lookback_days"].tolist() == [7, 7, 8, 8]
    assert frame["text"].iloc[0].startswith("KRR (7 days back) shrinks the CPU request of 1.50")


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("{krr_csv: a.csv, vpa: b.yaml}", "krr_csv and vpa: name one file"),
        ("{lookback_days: 7}", "no file: name one file"),
        ("{vpa: b.yaml, lookback_days: 7}", "its memory window is fixed"),
        ("{krr_csv: a.csv, lookback_days: 0}", "lookback_days"),
        ("{krr: a.csv}", 'unknown field "krr"'),
    ],
)
def test_wrong_entries_of_a_study_name_their_line(tmp_path: Path, entry: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        study(tmp_path, "recommendations:", f"  - {entry}")
    assert "study.yaml:9" in str(caught.value)


def test_a_study_names_every_missing_file_and_a_name_for_two_services(tmp_path: Path) -> None:
    lines = [
        "recommendations:",
        "  - {krr_csv: a.csv}",
        "  - {krr_json: b.json}",
        "  - {vpa: c.yaml}",
    ]
    with pytest.raises(InputError) as caught:
        study(tmp_path, *lines).plan()
    assert len(caught.value.problems) == 3
    written(tmp_path, "krr.csv", HEADER, krr_line("0.35", 1.0))
    written(tmp_path, "vpa.yaml", VPA)
    twice = study(
        tmp_path,
        "recommendations:",
        "  - {krr_csv: krr.csv, names: {shop/api: api}}",
        "  - {vpa: vpa.yaml, names: {shop/api: ledger}}",
    )
    with pytest.raises(InputError, match="api and ledger"):
        twice.plan()
