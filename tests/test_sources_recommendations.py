"""Files of KRR and VPA: the formats as their tools write them, and every way they go wrong."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capmodel.errors import InputError
from capmodel.sources.recommendations import (
    COLUMNS,
    Recommendations,
    parse_quantity,
    read_krr_csv,
    read_krr_json,
    read_vpa,
)

HEADER = (
    "Namespace,Name,Pods,Old Pods,Type,Container,Severity,"
    "CPU Requests Current,CPU Requests Recommended,CPU Limits Current,CPU Limits Recommended,"
    "Memory Requests Current,Memory Requests Recommended,"
    "Memory Limits Current,Memory Limits Recommended"
)
API = (
    "shop,api,12,3,Deployment,app,CRITICAL,2,0.35,unset,unset,"
    "4294967296,1288490188.8,4294967296,1288490188.8"
)
PROXY = "shop,api,12,3,Deployment,proxy,GOOD,0.1,0.02,2,unset,134217728,104857600,unset,104857600"
SCALED = "shop,checkout,6,0,Deployment,app,UNKNOWN,1,?,unset,?,2147483648,?,2147483648,?"


def csv_file(tmp_path: Path, *lines: str) -> Path:
    file = tmp_path / "krr.csv"
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return file


def cell(read: Recommendations, container: str, resource: str, column: str) -> Any:
    frame = read.frame
    row = frame[(frame["container"] == container) & (frame["resource"] == resource)]
    assert len(row) == 1
    return row[column].iloc[0]


@pytest.mark.parametrize(
    ("text", "value"),
    # Kubernetes API reference, Quantity: 1024 = 1Ki but 1000 = 1k; 1E is exa, 1E3 an exponent.
    [
        ("250m", 0.25), ("1.5", 1.5), ("0", 0.0), (".5", 0.5), ("2.", 2.0), ("+1", 1.0),
        ("1Ki", 1024), ("1Mi", 1024**2), ("1Gi", 1024**3), ("1Ti", 1024**4), ("1Pi", 1024**5),
        ("1k", 1e3), ("1M", 1e6), ("1G", 1e9), ("1T", 1e12), ("1E", 1e18), ("1Ei", 1024**6),
        ("12e6", 12e6), ("1E3", 1e3), ("1e-05", 1e-5), ("100n", 1e-7), ("5u", 5e-6),
        ("128974848000m", 128974848.0), ("131072k", 131072000), ("628694953", 628694953),
    ],
)  # fmt: skip
def test_quantities(text: str, value: float) -> None:
    assert parse_quantity(text) == pytest.approx(value, rel=1e-15)


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("1GB", "Write G for powers of 1000 or Gi for powers of 1024"),
        ("1GiB", "Write G for powers of 1000 or Gi for powers of 1024"),
        ("512mb", "Write M for powers of 1000 or Mi"),
        ("512K", "Write k for 1000 or Ki for 1024"),
        ("0,5", "decimal point"),
        ("1 Gi", "a number with one of"),
        ("1gi", "a number with one of"),
        ("500mc", "a number with one of"),
        ("1e400", "a number with one of"),
        ("inf", "a number with one of"),
        ("", "a number with one of"),
        ("-1", "Export it again"),
    ],
)
def test_text_that_kubernetes_would_not_read(text: str, hint: str) -> None:
    with pytest.raises(InputError, match=r"^cpu: got") as error:
        parse_quantity(text, where="cpu")
    assert hint in str(error.value)


@given(st.integers(0, 10**9))
def test_millicores_and_mebibytes(n: int) -> None:
    assert parse_quantity(f"{n}m") == pytest.approx(n / 1000, rel=1e-15)
    assert parse_quantity(f"{n}Mi") == n * 2**20


def test_krr_csv_raw_in_cores_and_gib(tmp_path: Path) -> None:
    read = read_krr_csv(csv_file(tmp_path, HEADER, API, PROXY), lookback_days=7)
    assert tuple(read.frame.columns) == COLUMNS
    assert len(read.frame) == 4
    assert len(read.notes) == 0
    assert cell(read, "app", "cpu_cores", "current_request") == 2
    assert cell(read, "app", "cpu_cores", "recommended_request") == 0.35
    assert cell(read, "app", "memory_gib", "current_request") == 4
    assert cell(read, "app", "memory_gib", "recommended_limit") == pytest.approx(1.2)
    assert cell(read, "proxy", "cpu_cores", "current_limit") == 2
    assert cell(read, "proxy", "memory_gib", "unit") == "GiB"
    assert cell(read, "app", "cpu_cores", "pods") == 12
    assert set(read.frame["source"]) == {"krr"}
    assert set(read.frame["lookback_days"]) == {7.0}


def test_what_krr_does_not_say_is_missing_with_a_reason(tmp_path: Path) -> None:
    read = read_krr_csv(csv_file(tmp_path, HEADER, API, SCALED), lookback_days=14)
    checkout = read.frame[read.frame["service"] == "checkout"]
    assert checkout["recommended_request"].isna().all()
    assert "recommended_request: KRR gives none" in checkout["reason"].iloc[0]
    assert "current_limit: unset" in checkout["reason"].iloc[0]
    assert checkout["current_request"].tolist() == [1, 2]
    assert math.isnan(
        cell(Recommendations(read.frame[:2], read.notes), "app", "cpu_cores", "current_limit")
    )


def test_a_look_back_that_the_file_does_not_tell_is_assumed_aloud(tmp_path: Path) -> None:
    read = read_krr_csv(csv_file(tmp_path, HEADER, API))
    assert read.notes.codes == ("lookback_assumed",)
    assert set(read.frame["lookback_days"]) == {14.0}
    with pytest.raises(InputError, match="lookback_days"):
        read_krr_csv(csv_file(tmp_path, HEADER, API), lookback_days=0)


def test_a_slip_of_unit_is_left_out_and_said(tmp_path: Path) -> None:
    # 512 for 512 MiB, 250 for 250 millicores... of one container: 500 cores no node has.
    slip = "shop,slip,2,0,Deployment,app,OK,500,0.2,unset,unset,2,512,unset,unset"
    read = read_krr_csv(csv_file(tmp_path, HEADER, API, slip), lookback_days=14)
    row = read.frame[read.frame["service"] == "slip"]
    assert row["current_request"].isna().all()
    assert math.isnan(row["recommended_request"].iloc[1])
    assert row["recommended_request"].iloc[0] == 0.2
    messages = [finding.message for finding in read.notes]
    assert read.notes.codes == ("suspect_unit",)
    assert "millicores want an m" in messages[0]
    assert "less than 1 MiB" in messages[1]


def test_gigabytes_are_no_gibibytes(tmp_path: Path) -> None:
    decimal = API.replace("1288490188.8", "1G")
    read = read_krr_csv(csv_file(tmp_path, HEADER, decimal), lookback_days=14)
    assert cell(read, "app", "memory_gib", "recommended_request") == pytest.approx(0.931322575)


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ((API, PROXY), "a header without Namespace, Name"),
        ((HEADER,), "no container"),
        ((HEADER.replace(",CPU Limits Current", ""), API), "a header without CPU Limits Current"),
        ((HEADER, API + ",7"), "16 cells; expected 15"),
        ((HEADER, API.replace("0.35", "350 millis")), "krr.csv:2, recommended_request"),
        ((HEADER, API.replace("4294967296", "4GB")), "Write G for powers of 1000"),
        ((HEADER, API, API), "cpu_cores twice"),
        ((HEADER, API.replace(",12,", ",some,")), "krr.csv:2, Pods"),
        (
            ("Namespace,Name,Pods,Old Pods,Type,Container,CPU Diff,CPU Requests,CPU Limits",),
            "KRR's `csv`, made for reading",
        ),
        (("[20:33:46] INFO Using clusters", HEADER, API), "--quiet"),
    ],
)
def test_malformed_csv(tmp_path: Path, lines: tuple[str, ...], said: str) -> None:
    with pytest.raises(InputError) as error:
        read_krr_csv(csv_file(tmp_path, *lines))
    assert said in str(error.value)


def test_every_problem_of_a_file_is_told_at_once(tmp_path: Path) -> None:
    bad = API.replace("0.35", "x").replace("1288490188.8", "1GB")
    with pytest.raises(InputError) as error:
        read_krr_csv(csv_file(tmp_path, HEADER, bad, PROXY + ",9"))
    assert len(error.value.problems) == 4


@pytest.mark.parametrize("read", [read_krr_csv, read_krr_json, read_vpa])
def test_empty_and_missing_files(tmp_path: Path, read: Any) -> None:
    empty = tmp_path / "empty"
    empty.write_text("\n", encoding="utf-8")
    with pytest.raises(InputError, match="an empty file"):
        read(empty)
    with pytest.raises(InputError, match="no such file"):
        read(tmp_path / "nowhere")


def scan(**changes: Any) -> dict[str, Any]:
    """Return one entry as KRR dumps it: numbers in cores and bytes, quantities and ``?`` too."""
    made: dict[str, Any] = {
        "object": {
            "cluster": "prod", "name": "api", "container": "app", "namespace": "shop",
            "kind": "Deployment", "hpa": None,
            "pods": [
                {"name": "a", "deleted": False}, {"name": "b", "deleted": False},
                {"name": "c", "deleted": True},
            ],
            "allocations": {
                "requests": {"cpu": "500m", "memory": 2147483648.0},
                "limits": {"cpu": None, "memory": "2Gi"},
                "info": {},
            },
        },
        "recommended": {
            "requests": {
                "cpu": {"value": 0.0065, "severity": "WARNING"},
                "memory": {"value": "?", "severity": "UNKNOWN"},
            },
            "limits": {
                "cpu": {"value": None, "severity": "GOOD"},
                "memory": {"value": "?", "severity": "UNKNOWN"},
            },
            "info": {"cpu": None, "memory": "Not enough data"},
        },
        "severity": "WARNING",
    }  # fmt: skip
    return {**made, **changes}


def json_file(tmp_path: Path, data: Any) -> Path:
    file = tmp_path / "krr.json"
    file.write_text(data if isinstance(data, str) else json.dumps(data), encoding="utf-8")
    return file


def krr(*scans: Any, settings: Any = None) -> dict[str, Any]:
    strategy = {"name": "simple", "settings": settings or {"history_duration": 336.0}}
    return {"scans": list(scans), "score": 60, "resources": ["cpu", "memory"], "strategy": strategy}


def test_krr_json(tmp_path: Path) -> None:
    read = read_krr_json(json_file(tmp_path, krr(scan())))
    assert cell(read, "app", "cpu_cores", "current_request") == 0.5
    assert cell(read, "app", "cpu_cores", "recommended_request") == 0.0065
    assert cell(read, "app", "memory_gib", "current_request") == 2
    assert cell(read, "app", "memory_gib", "current_limit") == 2
    assert math.isnan(cell(read, "app", "memory_gib", "recommended_request"))
    assert "recommended_request: Not enough data" in cell(read, "app", "memory_gib", "reason")
    assert cell(read, "app", "cpu_cores", "pods") == 2
    assert cell(read, "app", "cpu_cores", "cluster") == "prod"
    assert set(read.frame["lookback_days"]) == {14.0}


def test_krr_json_says_how_far_back_it_looked(tmp_path: Path) -> None:
    file = json_file(tmp_path, krr(scan(), settings={"history_duration": "168"}))
    assert set(read_krr_json(file).frame["lookback_days"]) == {7.0}
    assert set(read_krr_json(file, lookback_days=3).frame["lookback_days"]) == {3.0}
    silent = read_krr_json(json_file(tmp_path, {"scans": [scan()], "strategy": "simple"}))
    assert silent.notes.codes == ("lookback_assumed",)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ("{", "Expecting property name"),
        ("[1]", "JSON without a list of scans"),
        ({"items": []}, "Use read_vpa"),
        (krr(), "no container"),
        (krr({"object": {}}), "scans[0]"),
        (krr(scan(recommended={"requests": {}})), "no 'limits'"),
        (krr(scan(), scan()), "twice"),
        (krr(scan(), settings={"history_duration": "two weeks"}), "history_duration"),
    ],
)
def test_malformed_json(tmp_path: Path, data: Any, said: str) -> None:
    with pytest.raises(InputError) as error:
        read_krr_json(json_file(tmp_path, data))
    assert said in str(error.value)


VPA = """\
apiVersion: v1
kind: List
metadata:
  resourceVersion: ""
items:
- apiVersion: autoscaling.k8s.io/v1
  kind: VerticalPodAutoscaler
  metadata:
    name: goldilocks-api
    namespace: shop
  spec:
    targetRef: {apiVersion: apps/v1, kind: Deployment, name: api}
    updatePolicy: {updateMode: "Off"}
  status:
    conditions:
    - {lastTransitionTime: "2026-11-01T11:08:45Z", status: "True", type: RecommendationProvided}
    recommendation:
      containerRecommendations:
      - containerName: app
        lowerBound: {cpu: 25m, memory: 262144k}
        target: {cpu: 410m, memory: "628694953"}
        uncappedTarget: {cpu: 410m, memory: "628694953"}
        upperBound: {cpu: 2, memory: 1553712527}
      - containerName: proxy
        target: {cpu: 25m, memory: 262144k}
        uncappedTarget: {cpu: 12m, memory: 262144k}
- apiVersion: autoscaling.k8s.io/v1
  kind: VerticalPodAutoscaler
  metadata: {name: new, namespace: shop}
  spec: {targetRef: {kind: Deployment, name: new}}
  status:
    conditions:
    - {status: "True", type: NoPodsMatched, message: No pods match this VPA object}
- apiVersion: v1
  kind: ConfigMap
"""


def test_vpa_objects(tmp_path: Path) -> None:
    file = tmp_path / "vpa.yaml"
    file.write_text(VPA, encoding="utf-8")
    read = read_vpa(file)
    assert cell(read, "app", "cpu_cores", "recommended_request") == pytest.approx(0.41)
    assert cell(read, "app", "cpu_cores", "upper_bound") == 2
    assert cell(read, "app", "memory_gib", "recommended_request") == pytest.approx(
        628694953 / 2**30
    )
    assert cell(read, "proxy", "memory_gib", "recommended_request") == pytest.approx(0.244140625)
    assert math.isnan(cell(read, "app", "cpu_cores", "current_request"))
    assert "neither today's request nor any limit" in cell(read, "app", "cpu_cores", "reason")
    assert set(read.frame["service"]) == {"api", "new"}
    assert set(read.frame["lookback_days"]) == {8.0}
    assert read.notes.codes == ("not_a_vpa", "vpa_capped")
    silent = read.frame[read.frame["service"] == "new"]
    assert silent["recommended_request"].isna().all()
    assert "No pods match this VPA object" in silent["reason"].iloc[0]


def test_vpa_as_json_and_a_single_object(tmp_path: Path) -> None:
    item = {
        "kind": "VerticalPodAutoscaler",
        "metadata": {"name": "api", "namespace": "shop"},
        "spec": {"targetRef": {"kind": "StatefulSet", "name": "cart"}},
        "status": {
            "recommendation": {
                "containerRecommendations": [{"containerName": "app", "target": {"cpu": "1"}}]
            }
        },
    }
    file = tmp_path / "vpa.json"
    file.write_text(json.dumps(item), encoding="utf-8")
    frame = read_vpa(file).frame
    assert frame[["service", "kind", "resource"]].to_numpy().tolist() == [
        ["cart", "StatefulSet", "cpu_cores"]
    ]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            "  spec:\n    targetRef: {apiVersion: apps/v1, kind: Deployment, name: api}",
            "  spec:",
            "items[0]",
        ),
        ("cpu: 410m", "cpu: 410mc", "recommended_request"),
        ("containerName: proxy", "containerName: app", "twice"),
        ("items:", "things:", "no container"),
    ],
)
def test_malformed_vpa(tmp_path: Path, old: str, new: str, said: str) -> None:
    file = tmp_path / "vpa.yaml"
    file.write_text(VPA.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(InputError) as error:
        read_vpa(file)
    assert said in str(error.value)
