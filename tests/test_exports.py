"""Exports: what is written, that the published schemas take it, and that nothing is dropped."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import math
import re
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pandas as pd
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

import capmodel as cm
from capmodel.exports import (
    Exported,
    ExportNames,
    Workload,
    capacity_buffers,
    capacity_reservations,
    db_instances,
    exports,
    hpa,
    node_pools,
    scaled_objects,
    write_exports,
)
from capmodel.exports.nodes import per_zone
from capmodel.exports.result import PlanView
from capmodel.orders import OrdersPolicy
from capmodel.plan import PlanSet

TZ = "America/New_York"
HASH = "9f2c1b7ad0d94c4f0fb1c7c7d4f6a2f3b1f8d3d3b0a94c6e9a8f3c2d1e0f9a8b"
ZONES = ("us-east-1a", "us-east-1b", "us-east-1c")
NAMES = ExportNames(namespace="shop", zones=ZONES)

# 4,800 checkouts a minute are 80 a second; times 1.25 are 100.
TOPOLOGY: dict[str, Any] = {
    "drivers": {"checkouts": {"today_per_min": 4800}},
    "services": {
        "api": {
            "calls": {"checkouts": 4},
            "tier": 0,
            "pool": "general",
            "pod": {"cpu_cores": 2, "memory_gib": 4},
            "imbalance_x": 1.0,
            "replicas": {"min": 6, "max": 30, "today": 20},
            "usage": {"cpu_cores": {"per_request": 0.3}},
        },
        "ledger": {
            "calls": {"checkouts": 2.5},
            "pool": "batch",
            "pod": {"cpu_cores": 1, "memory_gib": 2},
            "replicas": {"min": 3, "today": 200},
            "usage": {"cpu_cores": {"per_request": 0.01}},
        },
        "hungry": {  # its idle pods use more than their share
            "calls": {"checkouts": 1},
            "pod": {"cpu_cores": 2, "memory_gib": 4},
            "replicas": {"today": 5},
            "usage": {"cpu_cores": {"per_pod": 1.9, "per_request": 0.01}},
        },
        "relay": {"calls": {"checkouts": 1}},  # no pod is declared: nothing to size
    },
    "databases": {
        "core-db": {
            "class": "db.r6g.large",
            "readers": 1,
            "usage": {"cpu_cores": {"idle": 0.4, "per_read": 0.0015, "per_write": 0.002}},
            "used_by": {"api": {"reads": 2, "writes": 1}},
        }
    },
    "externals": {"bureau": {"calls": {"api": 0.2}, "limit_rps": 60, "lead_days": 42}},
    "pools": {
        "general": {"types": ["m6i.4xlarge"], "zones": 3, "today": 3},
        "batch": {"types": ["c6i.2xlarge"], "zones": 3, "today": 1},
    },
}


@pytest.fixture(scope="module")
def plan() -> PlanSet:
    orders = OrdersPolicy.model_validate(
        {"freeze": [{"start": "2026-11-02", "end": "2027-01-04"}], "in_place": None}
    )
    fit = cm.CapacityModel(cm.Topology.model_validate(TOPOLOGY)).declare(business_tz=TZ)
    return fit.plan(
        [cm.Scenario(name="base", demand_x={"checkouts": 1.25})],
        start="2026-10-01",
        end="2027-01-05",
        season=("2026-11-02", "2026-12-17"),
        as_of="2026-09-21",
        draws=100,
        orders=orders,
        title="Shop",
    )


@pytest.fixture(scope="module")
def view(plan: PlanSet) -> PlanView:
    """Return the plan with a hash that can be typed in."""
    return PlanView(frames=plan.frames, meta=plan.meta, hash=HASH)


def with_frame(plan: PlanView, name: str, frame: pd.DataFrame) -> PlanView:
    return dataclasses.replace(plan, frames={**plan.frames, name: frame})


def with_cells(plan: PlanView, name: str, where: dict[str, Any], **cells: Any) -> PlanView:
    frame = plan.frames[name].copy()
    rows = frame[list(where)].eq(pd.Series(where)).all(axis=1)
    assert rows.any()
    for column, value in cells.items():
        frame[column] = frame[column].astype(object).mask(rows, value)
    return with_frame(plan, name, frame)


def schedule(*rows: tuple[str, str, str, str, float]) -> pd.DataFrame:
    """Return a schedule of pods: unit, window, start, end, units."""
    return pd.DataFrame(
        [
            {"scenario": scenario, "kind": "pods", "unit": unit, "window": window, "start": start,
             "end": end, "units": units * x, "units_p50": units * x * 0.8}
            for unit, window, start, end, units in rows
            for scenario, x in (("base", 3), ("mixture", 1))
        ]
    )  # fmt: skip


SCHEDULE = schedule(
    ("api", "2026-W45", "2026-11-02", "2026-11-09", 12.0),
    ("api", "2026-W48", "2026-11-23", "2026-11-30", 140.0),
    ("api", "cyber_monday", "2026-11-30", "2026-12-01", 140.0),
    ("api", "black_friday", "2026-11-27", "2026-11-28", 120.0),
)


def text_of(exported: Exported, name: str) -> str:
    (found,) = (file.text for file in exported.files if file.name == name)
    return found


def documents_of(exported: Exported, name: str) -> list[Any]:
    return list(yaml.safe_load_all(text_of(exported, name)))


def reason_of(exported: Exported, item: str, export: str = "") -> str:
    (found,) = (o.reason for o in exported.left_out if o.item == item and export in {"", o.export})
    return found


# Pods


def test_an_autoscaler_is_written_to_the_letter(view):
    # 400 rps x 0.3 cores = 120 cores. At 60 % of 2 cores 100 pods; without one zone of three 100 x
    # 1.5 x 0.60 / 0.85 = 105.9, so 3 x 36 pods where each zone has the same number.
    assert (
        text_of(hpa(view, NAMES), "hpa/shop.api.yaml")
        == f"""\
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata:
  name: api
  namespace: shop
  annotations:
    capmodel/as-of: "2026-09-21"
    capmodel/from: "2026-11-02"
    capmodel/plan-hash: "{HASH}"
    capmodel/until: "2026-12-17"
spec:
  scaleTargetRef:
    apiVersion: apps/v1
    kind: Deployment
    name: api
  minReplicas: 108
  maxReplicas: 108
  metrics:
  - type: Resource
    resource:
      name: cpu
      target:
        type: Utilization
        averageUtilization: 60
"""
    )


def test_a_patch_holds_the_bounds_alone(view):
    (patch,) = documents_of(hpa(view, NAMES), "hpa/shop.api.patch.yaml")
    (whole,) = documents_of(hpa(view, NAMES), "hpa/shop.api.yaml")
    assert patch["spec"] == {"minReplicas": 108, "maxReplicas": 108}
    assert patch["metadata"] == whole["metadata"]


def test_a_declared_maximum_above_the_need_stays(view):
    roomy = dataclasses.replace(view, meta=json.loads(json.dumps(view.meta)))
    roomy.meta["topology"]["services"]["api"]["replicas"]["max"] = 500
    (patch,) = documents_of(hpa(roomy, NAMES), "hpa/shop.api.patch.yaml")
    assert patch["spec"] == {"minReplicas": 108, "maxReplicas": 500}


@pytest.mark.parametrize(
    ("ratio", "percent"), [(0.6, 60), (0.29, 29), (0.575, 57), (0.005, 1), (1.0, 100)]
)
def test_the_target_is_rounded_down_and_at_least_one_percent(view, ratio, percent):
    other = dataclasses.replace(view, meta=json.loads(json.dumps(view.meta)))
    other.meta["topology"]["policy"]["utilization"]["cpu_cores"] = ratio
    (whole,) = documents_of(hpa(other), "hpa/default.api.yaml")
    assert whole["spec"]["metrics"][0]["resource"]["target"]["averageUtilization"] == percent


def test_the_published_schema_takes_every_autoscaler(view):
    import kubernetes_validate  # type: ignore[import-untyped]

    checked = 0
    for file in hpa(view, NAMES).files:
        if file.name.endswith(".patch.yaml"):
            continue
        for version in ("1.29", "1.37"):
            kubernetes_validate.validate(yaml.safe_load(file.text), version, strict=True)
            checked += 1
    assert checked == 4  # two services, two versions
    broken = yaml.safe_load(text_of(hpa(view), "hpa/default.api.yaml"))
    broken["spec"]["maxReplicas"] = "108"
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(broken, "1.37", strict=True)


def test_a_workload_may_have_another_name_namespace_and_kind(view):
    names = ExportNames(
        namespace="shop", services={"api": Workload(name="web", namespace="edge", kind="Rollout")}
    )
    found = exports(view, names)
    (whole,) = documents_of(found, "hpa/edge.web.yaml")
    assert whole["metadata"]["namespace"] == "edge"
    assert whole["spec"]["scaleTargetRef"] == {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Rollout",
        "name": "web",
    }
    (buffer,) = documents_of(found, "capacity-buffers/edge.web.yaml")
    assert buffer["spec"]["scalableRef"] == {
        "apiGroup": "argoproj.io", "kind": "Rollout", "name": "web",
    }  # fmt: skip


def test_a_scaled_object_is_written_to_the_letter(view):
    found = scaled_objects(with_frame(view, "schedule", SCHEDULE), NAMES)
    assert (
        text_of(found, "keda/shop.api.yaml").split("annotations:")[1]
        == f"""
    capmodel/as-of: "2026-09-21"
    capmodel/from: "2026-11-27"
    capmodel/plan-hash: "{HASH}"
    capmodel/until: "2026-12-01"
spec:
  scaleTargetRef:
    apiVersion: apps/v1
    kind: Deployment
    name: api
  minReplicaCount: 12
  maxReplicaCount: 140
  triggers:
  - type: cpu
    metricType: Utilization
    metadata:
      value: "60"
  - type: cron
    name: black_friday-2026-11-27
    metadata:
      timezone: America/New_York
      start: "0 0 27 11 *"
      end: "0 0 28 11 *"
      desiredReplicas: "120"
  - type: cron
    name: cyber_monday-2026-11-30
    metadata:
      timezone: America/New_York
      start: "0 0 30 11 *"
      end: "0 0 1 12 *"
      desiredReplicas: "140"
"""
    )


def test_kedas_silent_ceiling_of_100_is_never_left_standing(view):
    low = schedule(("api", "black_friday", "2026-11-27", "2026-11-28", 20.0))
    (document,) = documents_of(
        scaled_objects(with_frame(view, "schedule", low)), "keda/default.api.yaml"
    )
    assert document["spec"]["maxReplicaCount"] == 108  # the season's need, above every window
    assert document["spec"]["minReplicaCount"] == 6  # no weeks in the schedule: as declared


def test_windows_that_cron_cannot_say_are_listed(view):
    rows = schedule(
        ("api", "labor_day", "2026-09-07", "2026-09-08", 9.0),
        ("api", "black_friday", "2026-11-27", "2026-11-28", math.inf),
        ("api", "cyber_monday", "2026-11-30", "2026-12-01", 9.0),
        ("ledger", "prime_day", "2027-10-01", "2027-10-02", 9.0),
    )
    found = scaled_objects(with_frame(view, "schedule", rows))
    assert [file.name for file in found.files] == ["keda/default.api.yaml"]
    assert "over on 2026-09-08" in reason_of(found, "api, labor_day")
    assert reason_of(found, "api, black_friday") == "infinite need"
    assert "a year early" in reason_of(found, "ledger, prime_day")
    assert reason_of(found, "ledger") == "no event window to scale for"
    assert found.files[0].start == "2026-11-30"


def test_without_a_schedule_no_window_is_invented(view):
    frames = {name: frame for name, frame in view.frames.items() if name != "schedule"}
    found = scaled_objects(dataclasses.replace(view, frames=frames))
    assert not found.files
    assert "no schedule" in reason_of(found, "every service")


# No package for Python carries these three definitions, so their fields are typed here, from:
# kedacore/keda, config/crd/bases/keda.sh_scaledobjects.yaml, v1alpha1;
# kubernetes/autoscaler, apis/config/crd/autoscaling.x-k8s.io_capacitybuffers.yaml, v1beta1;
# kubernetes-sigs/karpenter, pkg/apis/crds/karpenter.sh_nodepools.yaml, v1.
# Other fields are refused, as a strict server would.


def fields(required: str = "", **properties: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": required.split(),
        "additionalProperties": False,
    }


TEXT = {"type": "string", "minLength": 1}
TEXTS = {"type": "object", "additionalProperties": TEXT}
COUNT = {"type": "integer", "minimum": 0}
QUANTITY = {"type": ["integer", "string"], "pattern": r"^[0-9]+(Ki|Mi|Gi|Ti)?$"}
META = fields("name annotations", name=TEXT, namespace=TEXT, annotations=TEXTS)


def resource(api: str, kind: str, spec: dict[str, Any]) -> dict[str, Any]:
    head = {"apiVersion": {"const": api}, "kind": {"const": kind}}
    return fields("apiVersion kind metadata spec", **head, metadata=META, spec=spec)


SCALED_OBJECT = resource(
    "keda.sh/v1alpha1",
    "ScaledObject",
    fields(
        "scaleTargetRef triggers",
        scaleTargetRef=fields("name", apiVersion=TEXT, kind=TEXT, name=TEXT),
        minReplicaCount=COUNT,
        maxReplicaCount=COUNT,
        triggers={
            "type": "array",
            "items": fields("type metadata", type=TEXT, name=TEXT, metricType=TEXT, metadata=TEXTS),
        },
    ),
)
CAPACITY_BUFFER = resource(
    "autoscaling.x-k8s.io/v1beta1",
    "CapacityBuffer",
    fields(
        "scalableRef",  # or podTemplateRef, never both; the latter is not used
        scalableRef=fields("kind name", apiGroup={"type": "string"}, kind=TEXT, name=TEXT),
        replicas=COUNT,
        percentage=COUNT,
        limits={"type": "object", "additionalProperties": QUANTITY},
        provisioningStrategy={"const": "buffer.x-k8s.io/active-capacity"},
    ),
)
STATIC_POOL = resource(
    "karpenter.sh/v1",
    "NodePool",
    fields(
        "replicas limits template",  # with replicas: no weight, and no limit but nodes
        replicas=COUNT,
        limits=fields("nodes", nodes=COUNT),
        template=fields(
            "spec",
            spec=fields(
                "nodeClassRef requirements",
                nodeClassRef=fields("group kind name", group=TEXT, kind=TEXT, name=TEXT),
                requirements={
                    "type": "array",
                    "items": fields(
                        "key operator values",
                        key=TEXT,
                        operator={"enum": ["In", "NotIn"]},
                        values={"type": "array", "items": TEXT, "minItems": 1},
                    ),
                },
            ),
        ),
    ),
)
POOL_PATCH = resource(
    "karpenter.sh/v1",
    "NodePool",
    fields("limits", limits=fields("cpu memory", cpu=COUNT, memory=QUANTITY)),
)


def test_custom_resources_hold_no_field_that_their_definitions_lack(view):
    found = exports(with_frame(view, "schedule", SCHEDULE), NAMES)
    schemas = {
        "keda/": SCALED_OBJECT,
        "capacity-buffers/": CAPACITY_BUFFER,
        ".static.yaml": STATIC_POOL,
        ".limits.patch.yaml": POOL_PATCH,
    }
    checked = dict.fromkeys(schemas, 0)
    for file in found.files:
        for part, schema in schemas.items():
            if part in file.name:
                for document in yaml.safe_load_all(file.text):
                    jsonschema.validate(document, schema)
                    checked[part] += 1
    assert checked == {
        "keda/": 1, "capacity-buffers/": 1, ".static.yaml": 6, ".limits.patch.yaml": 2,
    }  # fmt: skip


# Nodes


def test_a_buffer_is_what_the_season_adds_to_today(view):
    found = capacity_buffers(view, NAMES)
    (buffer,) = documents_of(found, "capacity-buffers/shop.api.yaml")
    assert buffer["spec"] == {
        "scalableRef": {"apiGroup": "apps", "kind": "Deployment", "name": "api"},
        "replicas": 88,  # 108 - 20
        "provisioningStrategy": "buffer.x-k8s.io/active-capacity",
    }
    assert reason_of(found, "ledger") == "today's 200 pods hold the need of 6"
    unknown = with_cells(view, "services", {"service": "api"}, replicas_today=math.nan)
    assert "replicas.today is not declared" in reason_of(capacity_buffers(unknown), "api")


def test_limits_leave_a_node_per_zone_to_replace_with(view):
    nodes = view.frames["nodes"].set_index(["scenario", "pool"])
    required = int(nodes.loc[("mixture", "general"), "required"])
    (patch,) = documents_of(node_pools(view), "karpenter/general.limits.patch.yaml")
    most = required + 3
    assert patch["spec"] == {"limits": {"cpu": most * 16, "memory": f"{most * 64}Gi"}}


def test_static_pools_stand_in_each_zone_with_reserved_capacity_first(view):
    found = node_pools(with_cells(view, "nodes", {"pool": "general"}, required=25.0), NAMES)
    pools = documents_of(found, "karpenter/general.static.yaml")
    assert [pool["metadata"]["name"] for pool in pools] == [
        f"general-static-{zone}" for zone in ZONES
    ]
    assert [pool["spec"]["replicas"] for pool in pools] == [8, 8, 8]  # 25 - 3 = 22, in three zones
    assert [pool["spec"]["limits"] for pool in pools] == [{"nodes": 9}] * 3
    wanted = pools[1]["spec"]["template"]["spec"]["requirements"]
    assert {rule["key"]: rule["values"] for rule in wanted} == {
        "node.kubernetes.io/instance-type": ["m6i.4xlarge"],
        "karpenter.sh/capacity-type": ["reserved", "on-demand"],
        "topology.kubernetes.io/zone": ["us-east-1b"],
    }
    (anywhere,) = documents_of(
        node_pools(with_cells(view, "nodes", {"pool": "general"}, required=25.0)),
        "karpenter/general.static.yaml",
    )
    assert anywhere["spec"]["replicas"] == 22
    assert anywhere["spec"]["limits"] == {"nodes": 25}


@pytest.mark.parametrize(
    ("cells", "reason"),
    [
        ({"required": math.inf}, "infinite need"),
        ({"required": math.nan}, "infinite need"),  # as a saved plan holds it
        ({"today": math.nan}, "today's nodes are not declared"),
        ({"today": 400.0}, "today's 400 nodes hold"),
    ],
)
def test_a_pool_without_nodes_to_add_is_listed(view, cells, reason):
    found = node_pools(with_cells(view, "nodes", {"pool": "general"}, **cells), NAMES)
    assert reason in reason_of(found, "general", "static NodePool")
    assert "karpenter/general.static.yaml" not in [file.name for file in found.files]


def test_names_that_kubernetes_refuses_are_listed(view):
    long = with_cells(view, "nodes", {"pool": "general"}, pool="g" * 50)
    assert "too long" in reason_of(node_pools(long, NAMES), "g" * 50)
    spaced = with_cells(view, "nodes", {"pool": "general"}, pool="general_pool")
    assert "no Kubernetes name" in reason_of(
        node_pools(spaced, NAMES), "general_pool", "NodePool limits"
    )
    names = ExportNames(services={"api": Workload(name="api_v2")})
    assert "'api_v2' is no Kubernetes name" in reason_of(hpa(view, names), "api")


def test_an_unknown_shape_has_no_limits(view):
    odd = with_cells(view, "nodes", {"pool": "general"}, instance_type="m99i.large")
    assert "not in the catalog" in reason_of(node_pools(odd), "general", "NodePool limits")


# The account


def reserved(plan: PlanView, count: int = 66, **cells: Any) -> PlanView:
    """Return the plan with an order of so many m6i.4xlarge, in place on 2026-11-20."""
    dates = {
        "in_place_by": "2026-11-20",
        "request_opens": "2026-07-23",
        "recommended_by": "2026-09-25",
        "latest_by": "2026-11-15",
    }
    return with_cells(
        plan, "orders", {"id": "nodes:general"}, **{**dates, "count": float(count), **cells}
    )


def test_a_reservation_carries_the_dates_of_its_order(view):
    entries = json.loads(
        text_of(capacity_reservations(reserved(view), NAMES), "aws/capacity_reservations.json")
    )
    assert [entry["arguments"]["AvailabilityZone"] for entry in entries] == list(ZONES)
    first = entries[0]
    assert (first["request_opens"], first["recommended_by"], first["latest_by"]) == (
        "2026-07-23", "2026-09-25", "2026-11-15",
    )  # fmt: skip
    token = first["arguments"].pop("ClientToken")
    assert len(token) == 64
    assert token not in [entry["arguments"].get("ClientToken") for entry in entries]
    tags = first["arguments"].pop("TagSpecifications")
    assert tags[0]["Tags"] == [{"Key": "capmodel/plan-hash", "Value": HASH}]
    assert first["arguments"] == {
        "InstanceType": "m6i.4xlarge",
        "InstancePlatform": "Linux/UNIX",
        "AvailabilityZone": "us-east-1a",
        "InstanceCount": 22,
        "StartDate": "2026-11-20T05:00:00.000Z",  # midnight in New York, UTC-5
        "EndDateType": "limited",
        "EndDate": "2026-12-17T05:00:00.000Z",  # the season's end
        "InstanceMatchCriteria": "targeted",
        "CommitmentDuration": 1_209_600,  # 14 days
        "DeliveryPreference": "incremental",
    }


def test_what_was_placed_is_not_reserved_again(view):
    granted: dict[str, Any] = {"state": "granted", "state_on": "2026-09-18"}
    done = capacity_reservations(reserved(view, **granted, placed_count=None), NAMES)
    assert reason_of(done, "nodes:general") == "granted on 2026-09-18 already"
    part = capacity_reservations(reserved(view, **granted, placed_count=30.0), NAMES)
    entries = json.loads(text_of(part, "aws/capacity_reservations.json"))
    assert [e["arguments"]["InstanceCount"] for e in entries] == [12, 12, 12]  # 36 of 66
    again: dict[str, Any] = {"state": "cancelled", "state_on": "2026-09-18", "placed_count": 30.0}
    entries = json.loads(
        text_of(
            capacity_reservations(reserved(view, **again), NAMES), "aws/capacity_reservations.json"
        )
    )
    assert entries[0]["arguments"]["InstanceCount"] == 22


def test_an_open_reservation_cannot_be_dated_ahead(view):
    opened = reserved(view, match="open", reserve_total=90.0)
    said = reason_of(capacity_reservations(opened, NAMES), "nodes:general")
    assert "only targeted" in said
    assert "reserve 90 open ones at once on 2026-11-20" in said


def test_a_reservation_does_not_end_within_its_commitment(view):
    # 14 days of 24 hours from 2026-12-10 end on 2026-12-24, after the season.
    late = reserved(view, in_place_by="2026-12-10")
    rows = csv.DictReader(
        io.StringIO(text_of(capacity_reservations(late, NAMES), "aws/capacity_reservations.csv"))
    )
    assert {row["EndDate"] for row in rows} == {"2026-12-24T05:00:00.000Z"}


def test_a_reservation_over_the_end_of_summer_time_starts_at_local_midnight(view):
    early = reserved(view, in_place_by="2026-10-30")
    entries = json.loads(
        text_of(capacity_reservations(early, NAMES), "aws/capacity_reservations.json")
    )
    assert entries[0]["arguments"]["StartDate"] == "2026-10-30T04:00:00.000Z"  # still UTC-4


def test_json_and_csv_of_reservations_agree(view):
    found = capacity_reservations(reserved(view, 67), NAMES)
    entries = json.loads(text_of(found, "aws/capacity_reservations.json"))
    rows = list(csv.DictReader(io.StringIO(text_of(found, "aws/capacity_reservations.csv"))))
    assert [int(row["InstanceCount"]) for row in rows] == [23, 23, 23]
    for row, entry in zip(rows, entries, strict=True):
        flat = {**entry, **entry["arguments"]}
        assert row == {name: str(flat[name]) for name in row}


@given(count=st.integers(1, 5000), zones=st.integers(1, 6))
def test_zones_share_an_order_equally_and_cover_it(count, zones):
    total = zones * per_zone(count, zones)
    assert count <= total < count + zones


@pytest.mark.parametrize(
    ("cells", "reason"),
    [
        ({"count": 5.0, "instance": "m6i.large"}, "2 m6i.large in each of 3 zones are 4 vCPU"),
        ({"count": 3003.0}, "1001 instances in a zone"),
        ({"latest_by": "2026-09-20", "fallback": "on demand"}, "overdue since 2026-09-20; on dem"),
        ({"instance": "p5.48xlarge"}, "of no family"),
        ({"instance": "m99i.large"}, "not in the catalog"),
        ({"request_opens": "", "action": "launch 3 more", "reason": "16 vCPU"}, "launch 3 more: 1"),
    ],
)
def test_an_order_that_cannot_be_reserved_is_listed(view, cells, reason):
    cells = dict(cells)
    instance = cells.pop("instance", "m6i.4xlarge")
    other = with_cells(
        reserved(view, **cells), "nodes", {"pool": "general"}, instance_type=instance
    )
    found = capacity_reservations(other, NAMES)
    assert reason in reason_of(found, "nodes:general")
    assert not found.files


def test_without_zones_nothing_is_reserved(view):
    assert "no zone is named" in reason_of(capacity_reservations(reserved(view)), "nodes:general")


def test_fewer_zones_than_a_pool_spans_are_refused(view):
    with pytest.raises(cm.InputError, match=r"general spans 3, batch spans 3"):
        exports(view, NAMES.replace(zones=ZONES[:2]))


def test_a_pool_of_fewer_zones_takes_the_first(view):
    names = NAMES.replace(zones=(*ZONES, "us-east-1d"))
    found = capacity_reservations(reserved(view), names)
    entries = json.loads(text_of(found, "aws/capacity_reservations.json"))
    assert [entry["arguments"]["AvailabilityZone"] for entry in entries] == list(ZONES)


def test_class_changes_wait_for_their_day(view):
    found = db_instances(view, NAMES.replace(instances={"core-db": ("core-db-r1", "core-db-w")}))
    entries = json.loads(text_of(found, "aws/db_instances.json"))
    assert [(e["execute_on"], e["request_by"]) for e in entries] == [
        ("2026-11-01", "2026-10-16")
    ] * 2
    assert [entry["arguments"] for entry in entries] == [
        {
            "DBInstanceIdentifier": name,
            "DBInstanceClass": "db.r6g.xlarge",
            "ApplyImmediately": False,
        }
        for name in ("core-db-r1", "core-db-w")
    ]


def test_a_storage_order_changes_the_storage(view):
    grown = with_cells(
        view, "orders", {"id": "db_class:core-db"}, kind="storage", to="400", count=1.0
    )
    (entry,) = json.loads(text_of(db_instances(grown), "aws/db_instances.json"))
    assert entry["arguments"] == {
        "DBInstanceIdentifier": "core-db", "AllocatedStorage": 400, "ApplyImmediately": False,
    }  # fmt: skip


def test_instances_have_to_be_named_in_full(view):
    with pytest.raises(cm.InputError, match=r"instances\.core-db.*expected 2"):
        db_instances(view, NAMES.replace(instances={"core-db": ("core-db-1",)}))


def test_a_database_that_outgrows_its_family_is_listed(view):
    outgrown = with_cells(
        view, "databases", {"database": "core-db"}, class_needed="none: outgrows the family"
    )
    assert "no class of the family holds" in reason_of(db_instances(outgrown), "core-db")


@pytest.mark.slow
@pytest.mark.parametrize("service", ["ec2", "rds"])
def test_the_published_models_of_aws_take_every_argument(view, service):
    import botocore.session  # type: ignore[import-untyped]
    from botocore.validate import ParamValidator  # type: ignore[import-untyped]

    operation, file = {
        "ec2": ("CreateCapacityReservation", "aws/capacity_reservations.json"),
        "rds": ("ModifyDBInstance", "aws/db_instances.json"),
    }[service]
    model = botocore.session.get_session().get_service_model(service)
    shape = model.operation_model(operation).input_shape
    entries = json.loads(text_of(exports(reserved(view), NAMES), file))
    for entry in entries:
        report = ParamValidator().validate(entry["arguments"], shape)
        assert not report.has_errors(), report.generate_report()
        for name, value in entry["arguments"].items():
            allowed = getattr(shape.members[name], "enum", [])
            assert not allowed or value in allowed
    entries[0]["arguments"]["Count"] = 1
    assert ParamValidator().validate(entries[0]["arguments"], shape).has_errors()


# All of it


def test_whatever_has_no_number_is_listed(view):
    found = exports(view, NAMES)
    for export in ("HPA", "CapacityBuffer"):
        assert "infinite need" in reason_of(found, "hungry", export)
        assert reason_of(found, "relay", export) == "GREY: no evidence to size it by"
    assert not [file.name for file in found.files if "hungry" in file.name or "relay" in file.name]


def test_every_unit_of_the_plan_is_in_a_file_or_in_the_list(view):
    found = exports(view, NAMES)
    text = "".join(f"{file.name} {file.what} {file.text}\n" for file in found.files)
    listed = {left.item for left in found.left_out}
    for frame, column in (("services", "service"), ("nodes", "pool"), ("databases", "database")):
        for unit in view.frames[frame][column].unique():
            named = re.search(rf"(?<![\w-]){re.escape(unit)}(?![\w-])", text)  # not apiVersion
            assert named or unit in listed, unit


@pytest.mark.slow
def test_a_loaded_plan_exports_the_same(plan, tmp_path):
    plan.save(tmp_path / "plan.json")
    assert exports(cm.load_plan(tmp_path / "plan.json"), NAMES) == exports(plan, NAMES)


def folder_bytes(folder: Path) -> dict[str, bytes]:
    return {
        str(file.relative_to(folder)): file.read_bytes()
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }


@pytest.mark.slow
def test_writing_twice_gives_the_same_bytes(plan, tmp_path):
    written = write_exports(plan, tmp_path / "out", NAMES)
    first = folder_bytes(tmp_path / "out")
    assert set(first) == {f.name for f in written.files} | {"README.md", "capmodel-exports.json"}
    write_exports(plan, tmp_path / "out", NAMES)
    assert folder_bytes(tmp_path / "out") == first
    write_exports(plan, tmp_path / "out", ExportNames())  # earlier files do not stay behind
    assert not [name for name in folder_bytes(tmp_path / "out") if name.startswith("hpa/shop")]


def test_the_index_tells_files_orders_and_what_is_missing(plan, tmp_path):
    found = write_exports(plan, tmp_path / "out", NAMES)
    readme = (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    index = json.loads((tmp_path / "out" / "capmodel-exports.json").read_text(encoding="utf-8"))
    assert plan.hash in readme
    assert index["plan_hash"] == plan.hash
    for file in found.files:
        assert f"`{file.name}`" in readme
    for left in found.left_out:
        assert f"| {left.export} | {left.item} |" in readme
    for order in plan.to_frame("orders")["id"]:
        assert f"| {order} |" in readme
    assert [o["item"] for o in index["left_out"]] == [left.item for left in found.left_out]
    assert "| quota:bureau |" in readme
    assert "a request to whoever sets the limit" in readme


def test_a_folder_of_somebody_else_is_not_replaced(plan, tmp_path):
    (tmp_path / "README.md").write_text("mine", encoding="utf-8")
    with pytest.raises(cm.InputError, match=r"capmodel-exports\.json"):
        write_exports(plan, tmp_path)
    assert (tmp_path / "README.md").read_text(encoding="utf-8") == "mine"


def test_unknown_names_and_shared_workloads_are_refused_together(view):
    names = ExportNames(
        services={"apii": Workload(), "ledger": Workload(name="api")},
        instances={"core": ("one",)},
    )
    with pytest.raises(cm.InputError) as caught:
        exports(view, names)
    text = str(caught.value)
    assert len(caught.value.problems) == 3
    assert 'Did you mean "api"?' in text
    assert 'Did you mean "core-db"?' in text
    assert "api and ledger as Deployment api in default" in text


@pytest.mark.parametrize("zones", [("us-east-1",), ("us-east-1a", "us-east-1a")])
def test_zones_have_to_be_zones_and_distinct(zones):
    with pytest.raises(cm.InputError):
        NAMES.replace(zones=zones)


def test_zones_may_be_local_ones():
    assert NAMES.replace(zones=("us-west-2-lax-1a",)).zones == ("us-west-2-lax-1a",)


@pytest.mark.slow
def test_the_shop_is_exported_whole(shop_plans, tmp_path):
    found = write_exports(shop_plans, tmp_path / "out", NAMES)
    services = shop_plans.to_frame("services")["service"].nunique()
    autoscalers = [f for f in found.files if f.name.startswith("hpa/")]
    refused = [left for left in found.left_out if left.export == "HPA"]
    assert len(autoscalers) / 2 + len(refused) == services
