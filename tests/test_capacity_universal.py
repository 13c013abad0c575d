"""What holds for every limit of any estate: the same twice, monotone, never without an answer."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import capmodel as cm
from capmodel.catalog import Catalog

pytestmark = pytest.mark.slow
EXAMPLES = settings(
    max_examples=12, deadline=None, derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)  # fmt: skip
KEYS = ["node", "limit"]
UNITS = {"services": ("service", "replicas_needed"), "nodes": ("pool", "required")}


@st.composite
def estates(draw: st.DrawFn) -> dict[str, Any]:
    """Return a declared estate with every kind of limit in it."""
    services: dict[str, Any] = {}
    for k in range(draw(st.integers(1, 4))):
        cores = draw(st.sampled_from([0.5, 1, 2, 4]))
        services[f"s{k}"] = {
            "calls": {"checkouts": draw(st.sampled_from([0.5, 1, 3]))},
            "tier": draw(st.integers(0, 1)),
            "pool": "general",
            "pod": {"cpu_cores": cores, "memory_gib": draw(st.sampled_from([1, 4, 8]))},
            "replicas": {"min": draw(st.integers(1, 6)), "max": draw(st.sampled_from([20, 400]))},
            "usage": {
                "cpu_cores": {
                    "per_pod": draw(st.sampled_from([0, 0.05])),
                    "per_request": draw(st.sampled_from([0.01, 0.05, 0.2])),
                },
                "memory_gib": {"per_pod": 0.3, "per_request": 0.002},
            },
        }
    pooled = {
        name: {"reads": 3, "writes": 1, "pool_max": draw(st.sampled_from([0, 5, 20]))}
        for name in services
    }
    engine = draw(st.sampled_from(["aurora-mysql", "mysql"]))
    database: dict[str, Any] = {
        "engine": engine, "class": "db.r6g.2xlarge", "readers": draw(st.integers(0, 2)),
        "reads_on_readers": draw(st.sampled_from([0, 0.5])), "max_connections": 2000,
        "usage": {
            "cpu_cores": {"idle": 0.2, "per_read": 0.001, "per_write": 0.003},
            "iops": {"per_read": 0.5, "per_write": 4.0},
        },
        "used_by": pooled,
    }  # fmt: skip
    if engine == "mysql":
        database["storage"] = {"gib": 500, "used_gib": 300, "gib_per_day": 1.0}
    return {
        "drivers": {"checkouts": {"today_per_min": draw(st.sampled_from([300, 3000, 12000])),
                                  "sigma_log": draw(st.sampled_from([0.0, 0.1]))}},
        "services": services,
        "databases": {"db": database},
        "externals": {"bureau": {"calls": {"s0": 0.5}, "limit_rps": 60}},
        "pools": {"general": {"types": ["m6i.2xlarge"], "zones": 3, "today": 12}},
        "limits": {
            "vcpus": {"unit": "vCPU", "hard": 512, "per_node": {"general": "vcpus"}},
            "targets": {"unit": "targets", "hard": 500, "per_pod": dict.fromkeys(services, 1)},
            "gateway": {"unit": "1/s", "hard": 900, "per_request": {"s0": 1, "bureau": 2}},
        },
    }  # fmt: skip


def plan(declared: dict[str, Any], *, demand_x: float = 1.0, **options: Any) -> cm.PlanSet:
    fit = cm.CapacityModel(
        cm.Topology.model_validate(declared), events=cm.Events.us_retail(2025, 2027)
    ).declare()
    low = cm.Scenario(name="low", probability=0.4, demand_x={"checkouts": demand_x * 0.9})
    scenarios = [low, low.replace(name="high", probability=0.6, demand_x={"checkouts": demand_x})]
    return fit.plan(
        scenarios, start="2026-11-24", end="2026-12-01", as_of="2026-09-21", seed=3, draws=100,
        **options,
    )  # fmt: skip


def needs(plans: cm.PlanSet) -> pd.Series:
    """Return pods and nodes of the mixture, by name; inf where none suffice."""
    found = []
    for frame, (name, units) in UNITS.items():
        rows = plans.to_frame(frame)
        rows = rows[rows["scenario"] == "mixture"]
        found.append(pd.Series(rows[units].to_numpy(dtype=float), index=rows[name]))
    return pd.concat(found)


def classes(plans: cm.PlanSet) -> dict[str, tuple[float, int]]:
    """Return vCPUs and readers of each database as needed, inf where the family is outgrown."""
    rows = plans.to_frame("databases").query("scenario == 'mixture'")
    catalog = Catalog.builtin()
    return {
        row["database"]: (
            float("inf")
            if row["class_needed"].startswith("none")
            else float(catalog.db_class(row["engine"], row["class_needed"]).vcpu),
            int(row["readers_needed"]),
        )
        for row in rows.to_dict("records")
    }


def limits(plans: cm.PlanSet) -> pd.DataFrame:
    return plans.to_frame("limits").query("scenario == 'mixture'").set_index(KEYS).sort_index()


@EXAMPLES
@given(estates())
def test_the_same_twice(declared: dict[str, Any]) -> None:
    assert plan(declared).to_json() == plan(declared).to_json()


@EXAMPLES
@given(estates(), st.sampled_from([1.01, 1.3, 2.0]))
def test_more_demand_never_needs_less(declared: dict[str, Any], x: float) -> None:
    usual, more = plan(declared), plan(declared, demand_x=x)
    assert (needs(more) >= needs(usual) - 1e-9).all()
    assert classes(more)["db"][0] >= classes(usual)["db"][0]
    before, after = limits(usual), limits(more)
    for column in ("peak_p50", "peak_p95", "p_saturate", "p_any"):
        assert (after[column].fillna(0) >= before[column].fillna(0) - 1e-9).all(), column


@EXAMPLES
@given(estates(), st.sampled_from([0.01, 0.02]))
def test_less_risk_never_needs_less(declared: dict[str, Any], risk: float) -> None:
    loose, strict = plan(declared, risk=0.10), plan(declared, risk=risk)
    assert (needs(strict) >= needs(loose) - 1e-9).all()
    assert classes(strict)["db"][0] >= classes(loose)["db"][0]


@EXAMPLES
@given(estates())
def test_more_zones_lost_never_need_less(declared: dict[str, Any]) -> None:
    def survive(zones: int) -> cm.PlanSet:
        row = {"failure": {"lose_zones": zones}, "quantile": 0.5, "up_to": "utilization_degraded"}
        plain = {"failure": "none", "quantile": "1-risk", "up_to": "hard"}
        return plan({**declared, "policy": {"hold": [plain, row] if zones else [plain]}})

    none, one, two = (needs(survive(zones)) for zones in (0, 1, 2))
    assert (one >= none).all()
    assert (two >= one).all()


@EXAMPLES
@given(estates())
def test_twice_the_node_and_the_load_never_need_more_than_twice(declared: dict[str, Any]) -> None:
    """Pods of twice the size on nodes of twice the size: as many of each for twice the load."""
    doubled = {**declared, "services": {}, "pools": {"general": {
        **declared["pools"]["general"], "types": ["m6i.4xlarge"]}}}  # fmt: skip
    for name, service in declared["services"].items():
        pod = {resource: 2 * size for resource, size in service["pod"].items()}
        usage = {
            resource: {"per_pod": 2 * line["per_pod"], "per_request": line["per_request"]}
            for resource, line in service["usage"].items()
        }
        doubled["services"][name] = {**service, "pod": pod, "usage": usage}
    usual, twice = needs(plan(declared)), needs(plan(doubled, demand_x=2.0))
    # The pods are equal; a node of twice the size keeps less than twice for itself.
    for name in declared["services"]:
        assert twice[name] == usual[name]
    assert twice["general"] <= 2 * usual["general"]


@EXAMPLES
@given(estates(), st.sampled_from([1.0, 3.9]))
def test_feasible_or_a_named_limit(declared: dict[str, Any], x: float) -> None:
    plans = plan(declared, demand_x=x)
    for row in plans.to_frame("databases").to_dict("records"):
        outgrown = row["class_needed"].startswith("none")
        assert bool(row["binding"]) or not outgrown
        assert not outgrown or row["rejected"]
    told = set(plans.to_frame("findings").query("code == 'infeasible'")["service"])
    services = plans.to_frame("services")
    assert set(services[np.isinf(services["replicas_needed"])]["service"]) <= told
    red = limits(plans).query("status == 'RED'")
    assert (red["p_saturate"] > 0).all()
    # Every limit has a row, a unit and a source behind its bound.
    for node, limit in limits(plans).index:
        steps = plans.explain(node, limit)
        bound = steps[steps["factor"] == "/ hard limit"]
        assert len(bound) == 1
        assert (bound["source"] != "").all()


def test_every_kind_of_limit_takes_part() -> None:
    """The estates above would prove nothing about limits that they do not have."""
    found: set[str] = set()

    @settings(max_examples=25, deadline=None, derandomize=True)
    @given(estates())
    def look(declared: dict[str, Any]) -> None:
        found.update(row["limit"] for row in plan(declared).curves)

    look()
    assert found >= {
        "cpu_cores", "memory_gib", "connections", "quota", "nodes", "usage", "iops",
        "throughput_mib", "reader_cpu_cores", "storage_gib",
    }  # fmt: skip
