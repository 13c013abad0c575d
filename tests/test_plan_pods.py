"""Pods in a plan: own targets, CPU limits, SLOs, starts, throttling, replicas per zone, spares."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pod_plans import HARD, messages, plan, row, topology

import capmodel as cm
from capmodel.capacity.estate import AUTOSCALED, SATURATED
from capmodel.capacity.use import ServiceUse, pod_uses, targets_of
from capmodel.plan.suspects import history_findings
from capmodel.topology import Policy, Service, Slo
from capmodel.usage import declared_usage


def service(*, limit_x: float = 1.0, gib_per_request: float = 0.0, **changed: Any) -> ServiceUse:
    terms = {"cpu_cores": 0.1, "memory_gib": gib_per_request}
    return ServiceUse(
        name="api",
        uses=tuple(
            use
            for resource, slope in terms.items()
            for use in pod_uses(
                declared_usage("api", resource, {"per_pod": 0.0, "per_request": slope}),
                request=1.0 if resource == "cpu_cores" else 4.0,
                draws=10,
                seed=1,
            )
        ),
        imbalance_x=1.25,
        today_rps=40.0,
        today_pods=None,
        minimum=1,
        maximum=None,
        cpu_limit_x=limit_x,
        **changed,
    )


# ---- the target in use -------------------------------------------------------------------------


def test_a_service_s_own_utilization_wins_over_the_policy_s() -> None:
    # 40/s x 1.26 = 50.4 cores: / (0.60 x 2) = 42 pods, / (0.30 x 2) = 84.
    policys, own = plan(topology()), plan(topology(api={"utilization": 0.30}))
    assert row(policys, "services")["replicas_needed"] == 42
    found = row(own, "services")
    assert (found["replicas_needed"], found["utilization_target"]) == (84, 0.30)
    assert found["hpa_percent"] == 30
    limit = row(own, "limits", node="api", limit="cpu_cores")
    assert (limit["hard"], limit["policy_x"]) == (400.0, 0.30)
    assert limit["binds_at_x"] == pytest.approx(0.30 * 400 / 50.4)
    factors = own.to_frame("factors")
    sources = set(factors[(factors["node"] == "api") & (factors["factor"] == "policy")]["source"])
    assert sources == {"topology, api.utilization"}
    assumed = own.to_frame("assumptions").set_index("name")
    assert assumed.loc["planned utilization of api", "value"] == "0.3"


def test_the_own_target_holds_rows_up_to_utilization_only() -> None:
    policy, own = Policy(), service(utilization=0.30)
    rows = {hold.up_to: own.targets(hold, policy)["cpu_cores"] for hold in policy.hold}
    assert rows == {"hard": 1.0, "utilization": 0.30, "utilization_degraded": 0.85}
    without = policy.model_copy(update={"utilization_degraded": None})
    assert own.targets(policy.hold[2], without)["cpu_cores"] == 0.30
    assert own.targets(AUTOSCALED, policy)["memory_gib"] == 0.80
    for hold in policy.hold:
        assert service().targets(hold, policy) == targets_of(hold, policy)


def test_connections_nodes_and_quotas_follow_the_own_target() -> None:
    """Twice the pods open twice the connections and fill twice the targets of a balancer."""
    more: dict[str, Any] = {
        "databases": {
            "db": {"class": "db.r6g.4xlarge", "usage": {"cpu_cores": {"idle": 0.4}},
                   "used_by": {"api": {"reads": 1, "pool_max": 5}}}
        },
        "limits": {"targets": {"unit": "targets", "hard": 1000, "per_pod": {"api": 1}}},
    }  # fmt: skip
    for utilization, pods in ((0.60, 42), (0.30, 84)):
        plans = plan(topology(api={"utilization": utilization}, policy={"surge": 0}, **more))
        assert row(plans, "limits", node="db", limit="connections")["peak_p50"] == 5 * pods
        assert row(plans, "limits", node="targets")["peak_p50"] == pods
        assert row(plans, "nodes")["pods"] == pods


# ---- CPU limits --------------------------------------------------------------------------------


def test_a_pod_with_a_limit_is_full_there_and_takes_it_from_its_node() -> None:
    # Up to hard: 50.4 cores / 2 = 26 pods, or 13 at a limit of 4; either way 50.4 cores of nodes.
    hard = {"hold": [HARD]}
    pod = {"cpu_cores": 2, "memory_gib": 4}
    without = plan(topology(policy=hard))
    limited = plan(topology(policy=hard, api={"pod": {**pod, "cpu_limit_cores": 4}}))
    assert row(without, "services")["replicas_needed"] == 26
    assert row(limited, "services")["replicas_needed"] == 13
    assert row(limited, "sizing", kind="nodes")["cpu_cores"] == 4.0
    assert row(without, "sizing", kind="nodes")["cpu_cores"] == 2.0
    # 9 pods of 2 cores a zone, 7 on a node of 15.89; 5 pods of 4 cores a zone, 3 on a node.
    assert row(without, "nodes")["required"] == 6
    assert row(limited, "nodes")["required"] == 6
    bound = row(limited, "limits", node="api", limit="cpu_cores")
    assert (bound["hard"], bound["policy_x"]) == (200 * 4.0, 0.30)  # 0.60 of the request
    assert bound["binds_at_x"] == row(without, "limits", node="api")["binds_at_x"]


def test_a_limit_above_the_node_ends_at_the_node() -> None:
    pod = {"cpu_cores": 2, "memory_gib": 4, "cpu_limit_cores": 64}
    plans = plan(topology(policy={"hold": [HARD]}, api={"pod": pod}))
    assert row(plans, "limits", node="api", limit="cpu_cores")["hard"] == pytest.approx(200 * 15.89)
    assert row(plans, "services")["replicas_needed"] == math.ceil(50.4 / 15.89)


@given(limit_x=st.floats(1, 8), gib=st.floats(0, 2))
def test_full_pods_never_use_more_than_their_nodes_give_them(limit_x: float, gib: float) -> None:
    """The hottest pod's cores at the rate that a hard row asks, against what nodes set aside."""
    limited, policy = service(limit_x=limit_x, gib_per_request=gib), Policy()
    rate = limited.pods_per_load(limited.targets(SATURATED, policy), hard=True)
    hottest = 0.1 / rate * limited.imbalance_x
    taken = limited.node_cores_x(SATURATED, policy) * 1.0
    assert taken == pytest.approx(max(hottest, 1.0))
    assert taken <= limit_x * (1 + 1e-12)
    assert limited.node_cores_x(AUTOSCALED, policy) == 1.0
    assert service(gib_per_request=gib).node_cores_x(SATURATED, policy) == 1.0


# ---- replicas per zone, nodes to spare ---------------------------------------------------------


def test_min_per_zone_holds_beside_min() -> None:
    few = {"usage": {"cpu_cores": {"per_request": 0.001}}}
    for replicas, pods, per_zone in (
        ({"min": 2}, 2, 1),
        ({"min": 2, "min_per_zone": 2}, 6, 2),
        ({"min": 8, "min_per_zone": 2}, 8, 3),
    ):
        plans = plan(topology(api={**few, "replicas": replicas}))
        assert row(plans, "services")["replicas_needed"] == pods
        assert row(plans, "sizing", kind="nodes")["per_zone"] == per_zone


def test_spare_nodes_stand_in_every_zone_are_ordered_and_count_against_quotas() -> None:
    quota = {"vcpu": {"unit": "vCPU", "hard": 640, "per_node": {"general": "vcpus"}}}
    for spare, nodes in ((0, 6), (1, 9), (2, 12)):
        plans = plan(topology(pool={"spare_nodes_per_zone": spare, "today": 6}, limits=quota))
        found = row(plans, "nodes")
        assert (found["required"], found["per_zone"]) == (nodes, nodes / 3)
        assert found["spare_per_zone"] == spare
        assert row(plans, "limits", node="vcpu")["peak_p50"] == nodes * 16
        assert plans.sweep([1.0]).set_index("node").loc["vcpu", "usage"] == nodes * 16
        orders = plans.to_frame("orders")
        assert orders["to"].tolist() == ([str(nodes)] if spare else [])
        assert all(f"; {spare} to spare in each zone" in reason for reason in orders["reason"])


# ---- the SLO's target --------------------------------------------------------------------------


def one_core(**slo: Any) -> dict[str, Any]:
    return {"pod": {"cpu_cores": 1, "memory_gib": 4}, "slo": {"service_s": 0.02, **slo}}


def test_an_slo_below_the_target_in_use_is_told_and_changes_nothing() -> None:
    # M/M/1: R = S / (1 - rho) <= 2 S at rho 0.5; with 1.1 x the load to spare 0.5 / 1.1.
    plans = plan(topology(api=one_core(mean_response_x=2)))
    found = row(plans, "services")
    assert found["slo_target"] == pytest.approx(0.5 / 1.1)
    assert (found["utilization_target"], found["hpa_percent"]) == (0.60, 60)
    assert found["slo_binds"] == "mean response <= 2 x service"
    assert found["replicas_needed"] == 84  # 50.4 cores / 0.60
    assert messages(plans, "slo_target") == {
        "api": "planned at a utilization of 0.60 of the request; mean response <= 2 x service "
        "allows 0.45: confirm it by a load test, or declare that target"
    }


def test_an_slo_is_counted_in_the_request_and_the_tightest_rule_binds() -> None:
    # A limit of 2 cores: M/M/2 with R = S / (1 - rho^2) <= 2 S at sqrt(0.5), of 2 cores.
    api = one_core(mean_response_x=2)
    api["pod"]["cpu_limit_cores"] = 2
    found = row(plan(topology(api=api)), "services")
    assert found["slo_target"] == pytest.approx(2 * math.sqrt(0.5) / 1.1)
    # One core: P(wait) = rho <= 0.2 is tighter than the mean.
    both = row(plan(topology(api=one_core(mean_response_x=2, wait_probability=0.2))), "services")
    assert both["slo_target"] == pytest.approx(0.2 / 1.1)
    assert both["slo_binds"] == "P(wait) <= 0.2"
    # M/M/1: the p99 of the response is S ln(100) / (1 - rho); bursts of 1.25 x lower the target.
    slow = row(plan(topology(api=one_core(p99_s=0.2, burst_x=1.25))), "services")
    rho = 1 - 0.02 * math.log(100) / 0.2
    assert slow["slo_target"] == pytest.approx(rho / 1.1 / 1.25)


def test_cpu_per_request_comes_from_usage_where_the_slo_does_not_say() -> None:
    declared = {**one_core(p99_s=0.2), "usage": {"cpu_cores": {"per_request": 0.02}}}
    measured = {**declared, "slo": {"p99_s": 0.2}}
    targets = [
        row(plan(topology(api=api)), "services")["slo_target"] for api in (declared, measured)
    ]
    assert targets[0] == targets[1] == pytest.approx((1 - 0.1 * math.log(100)) / 1.1)
    unknown = {"slo": {"p99_s": 0.2}, "usage": {"memory_gib": {"per_request": 0.1}}}
    plans = plan(topology(api=unknown))
    assert math.isnan(row(plans, "services")["slo_target"])
    assert "give slo.service_s" in messages(plans, "slo_target")["api"]


def test_an_slo_that_idle_pods_break_leaves_the_plan_standing() -> None:
    plans = plan(topology(api=one_core(p99_s=0.001)))
    found = row(plans, "services")
    assert math.isnan(found["slo_target"])
    assert (found["replicas_needed"], found["slo_binds"]) == (84, "")
    assert "breaks it on idle servers" in messages(plans, "slo_target")["api"]


def test_an_slo_needs_a_rule_and_something_that_varies() -> None:
    for slo in ({}, {"service_s": 0.02}, {"p99_s": 0.1, "service_scv": 0, "arrival_scv": 0}):
        with pytest.raises(ValueError, match=r"no rule|nothing varies"):
            Slo.model_validate(slo)
    rules = Slo(p95_s=0.1, p99_s=0.2, p999_s=0.4, wait_p99_s=0.05, wait_probability=0.1,
                mean_response_x=1.5).rules  # fmt: skip
    assert [str(rule) for rule in rules] == [
        "p95 response <= 0.1 s", "p99 response <= 0.2 s", "p99.9 response <= 0.4 s",
        "p99 wait <= 0.05 s", "P(wait) <= 0.1", "mean response <= 1.5 x service",
    ]  # fmt: skip


# ---- starts ------------------------------------------------------------------------------------


def test_a_start_without_its_cpu_is_told_with_the_seconds() -> None:
    pod = {"cpu_cores": 1, "memory_gib": 2, "cpu_limit_cores": 2, "startup_cpu_cores": 3,
           "startup_s": 60}  # fmt: skip
    plans = plan(topology(api={"pod": pod}))
    # 15 pods on 15.89 cores, 4 of them starting: 15.89 - 4 - 11 x 0.6 = 5.29 cores idle; the limit.
    assert messages(plans, "startup_cpu") == {
        "api": "a start asks 3 cores and finds 2, 4 starting on one node: it takes 1.50 x as long, "
        "90 s instead of 60 s"
    }
    free = {**pod, "cpu_limit_cores": None}
    # Without a limit: 1 + 5.29 / 4 = 2.32 cores for each.
    assert "finds 2.32" in messages(plan(topology(api={"pod": free})), "startup_cpu")["api"]
    enough = {**free, "startup_cpu_cores": 2.3}
    assert messages(plan(topology(api={"pod": enough})), "startup_cpu") == {}
    assert messages(plan(topology()), "startup_cpu") == {}


# ---- throttling --------------------------------------------------------------------------------


def test_a_wide_limit_is_green_by_estimate_and_a_narrow_one_has_to_be_measured() -> None:
    quick = {"usage": {"cpu_cores": {"per_request": 0.005}}}
    wide = {**quick, "pod": {"cpu_cores": 1, "memory_gib": 2, "cpu_limit_cores": 4}}
    plans = plan(topology(api=wide))
    found = row(plans, "limits", node="api", limit="throttling")
    # 0.6 cores: 60 ms asked per 100 ms, scale 10 ms, against 400 ms: P(Gamma(6) > 40) ~ 3e-12.
    assert (found["status"], found["hard"], found["unit"]) == ("GREEN", 0.05, "ratio")
    poisson = math.exp(-40) * sum(40**k / math.factorial(k) for k in range(6))
    assert found["peak_p50"] == pytest.approx(poisson, rel=1e-6)
    narrow = {**quick, "pod": {"cpu_cores": 1, "memory_gib": 2, "cpu_limit_cores": 1}}
    plans = plan(topology(api=narrow))
    found = row(plans, "limits", node="api", limit="throttling")
    # The same pod against 100 ms: P(Gamma(6) > 10) = exp(-10) sum 10^k / k!, k < 6: 6.7 %.
    assert found["peak_p50"] == pytest.approx(0.0671, abs=5e-5)
    assert (found["status"], math.isnan(found["hard"])) == ("GREY", True)
    assert "measure it" in messages(plans, "throttling")["api"]
    assert "throttling" not in set(plans.to_frame("ladder")["limit"])
    assert "throttling" not in set(plan(topology()).to_frame("limits")["limit"])


def history(share: np.ndarray) -> cm.History:
    hours = len(share)
    frame = pd.DataFrame(
        {
            "service": "api",
            "time": pd.Timestamp("2026-08-01T00:00Z") + pd.to_timedelta(np.arange(hours), unit="h"),
            "rps": 40.0,
            "throttled_share": share,
        }
    )
    return cm.History.from_frame(frame, business_tz="UTC")


def test_a_measured_share_is_the_p95_of_the_last_28_days() -> None:
    share = np.zeros(24 * 60)
    share[: 24 * 30] = 0.9  # before the last 28 days
    share[-24 * 28 :: 10] = 0.12  # one hour in ten since
    [found] = history_findings(topology(), history(share))
    assert (found.code, found.severity, found.data["share"]) == ("throttled", "warning", 0.12)
    share[-24 * 28 :] = 0.01
    [calm] = history_findings(topology(), history(share))
    assert (calm.severity, calm.data["share"]) == ("info", 0.01)
    share[-24 * 28 :] = np.nan
    assert len(history_findings(topology(), history(share))) == 0


@pytest.mark.parametrize(("share", "status"), [(0.12, "RED"), (0.01, "GREEN")])
def test_a_measured_share_decides_and_its_relief_is_no_limit(share: float, status: str) -> None:
    api = {"pod": {"cpu_cores": 2, "memory_gib": 4, "cpu_limit_cores": 2}}
    made = cm.CapacityModel(topology(api=api)).declare()
    measured = history_findings(made.topology, history(np.full(24 * 30, share)))
    plans = dataclasses.replace(made, findings=made.findings + measured).plan(
        cm.Scenario(name="base"),
        start="2026-11-23",
        end="2026-11-25",
        as_of="2026-09-21",
        draws=100,
    )
    found = row(plans, "limits", node="api", limit="throttling")
    assert (found["peak_p50"], found["hard"], found["basis"]) == (share, 0.05, "measured")
    assert found["status"] == status
    relief = plans.to_frame("remedies").query("limit == 'throttling'")
    wanted = [("remove the CPU limit", "2", "none", "GREEN")] if status == "RED" else []
    columns = relief[["remedy", "from", "to", "status_after"]].itertuples(index=False, name=None)
    assert list(columns) == wanted


def test_a_measured_share_comes_with_the_fit() -> None:
    """From the history to the plan: the finding that a fit carries is what the plan reads."""
    rng, hours = np.random.default_rng(5), np.arange(24 * 40)
    rps = 40 * (1 + 0.3 * np.sin(2 * np.pi * hours / 24)) * rng.lognormal(0, 0.03, len(hours))
    pods = np.ceil(rps / 5)
    cores = (0.05 * pods + 0.2 * rps) * rng.lognormal(0, 0.02, len(hours))
    time = pd.Timestamp("2026-08-01T00:00Z") + pd.to_timedelta(hours, unit="h")
    frame = pd.DataFrame(
        {"service": "api", "time": time, "rps": rps, "replicas": pods, "cpu_cores": cores,
         "throttled_share": np.where(rps > 48, 0.03, 0.001)}
    )  # fmt: skip
    pod = {"cpu_cores": 2, "memory_gib": 4, "cpu_limit_cores": 2}
    declared = cm.Topology(
        services={"api": Service.model_validate({"pod": pod, "replicas": {"max": 60}})}
    )
    fit = cm.CapacityModel(declared).fit(cm.History.from_frame(frame, business_tz="UTC"))
    plans = fit.plan(cm.Scenario(name="base"), start="2026-09-12", end="2026-09-19", draws=100)
    found = row(plans, "limits", node="api", limit="throttling")
    assert (found["peak_p50"], found["basis"], found["status"]) == (0.03, "measured", "GREEN")


# ---- a mixed group, custom networking ----------------------------------------------------------


@pytest.mark.slow
def test_a_mixed_group_runs_as_many_pods_as_its_smallest_type() -> None:
    types = ["m6i.4xlarge", "m6i.large"]
    for pool, pods in (
        ({"types": types[:1]}, 234),
        ({"types": types}, 234),
        ({"types": types, "mixed": True}, 29),
        ({"types": types, "mixed": True, "daemonsets": {"pods": 4}}, 25),
        ({"types": types[:1], "custom_networking": True}, 205),
        ({"types": types, "mixed": True, "custom_networking": True}, 20),
    ):
        assert row(plan(topology(pool=pool)), "nodes")["max_pods"] == pods
