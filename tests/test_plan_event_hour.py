"""The event hour of a plan, through the declared door and through somebody's hourly forecast."""

from __future__ import annotations

import math
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np
import pandas as pd
import pytest
from stories import TZ, given_forecast, proportional_pool

import capmodel as cm
from capmodel.capacity.nodes import usable
from capmodel.catalog import Catalog
from capmodel.errors import InputError
from capmodel.plan import PlanSet
from capmodel.plan.event_hour import (
    AFTER_MIN,
    RISE,
    SETTLE,
    STEADY_MIN,
    TICKS,
    event_demand,
    groups_of,
)
from capmodel.plan.make import solve
from capmodel.plan.request import Horizon, PlanRequest, Sampling, Setting
from capmodel.topology import Dynamics, Topology

NODE = usable(Catalog.builtin().node_type("m6i.2xlarge"))
FIFTH = NODE.cpu_cores / 5
"""CPU request of which five fill a node."""
HIDDEN = {"pods_start": 10, "pods_peak": 29}

# 36,000 checkouts a minute are 600 a second: 6 cores, ten pods of one core at 60 %.
API: dict[str, Any] = {
    "calls": {"checkouts": 1}, "tier": 0, "pod": {"cpu_cores": 1, "memory_gib": 1},
    "imbalance_x": 1.0, "replicas": {"min": 2, "max": 60},
    "usage": {"cpu_cores": {"per_pod": 0, "per_request": 0.01}},
}  # fmt: skip


def estate(api: dict[str, Any] | None = None, *, sigma_log: float = 0.0, **more: Any) -> Topology:
    driver = {"today_per_min": 36_000, "sigma_log": sigma_log}
    services = {"api": API | (api or {}), **more.pop("services", {})}
    return Topology.model_validate({"drivers": {"checkouts": driver}, "services": services, **more})


def pooled(api: dict[str, Any] | None = None, **pool: Any) -> Topology:
    """Return ten pods on two full nodes."""
    on_nodes = {
        "pool": "general", "pod": {"cpu_cores": FIFTH, "memory_gib": 1},
        "usage": {"cpu_cores": {"per_pod": 0, "per_request": 0.01 * FIFTH}},
    }  # fmt: skip
    declared = {"types": ["m6i.2xlarge"], "zones": 1, "today": 2, "max": 100} | pool
    policy = {"hold": [{"quantile": "1-risk", "up_to": "hard"}]}
    return estate(on_nodes | (api or {}), pools={"general": declared}, policy=policy)


def plan(topology: Topology, x: float = 2.0, **options: Any) -> PlanSet:
    return (
        cm.CapacityModel(topology)
        .declare()
        .plan(
            [cm.Scenario(name="base", demand_x={"checkouts": x})],
            start="2026-11-30",
            end="2026-12-02",
            draws=options.pop("draws", 100),
            also=["event_hour"],
            **options,
        )
    )


def runs(plans: PlanSet, service: str = "api") -> dict[str, dict[str, Any]]:
    frame = plans.to_frame("event_hour")
    rows: list[dict[Any, Any]] = frame[frame["service"] == service].to_dict("records")
    return {row["run"]: row for row in rows}


def test_a_step_to_one_and_a_half_survives() -> None:
    played = runs(plan(estate(), 1.5))
    assert list(played) == ["as it stands", "as ordered"]
    stands = played["as it stands"]
    # Nine cores on ten pods; the autoscaler asks for 15 and none was missing.
    assert (stands["share_surviving"], stands["minutes_above_hard_p95"]) == (1, 0)
    assert (stands["pods_start"], stands["pods_peak"], stands["status"]) == (10, 15, "GREEN")
    assert (stands["profile"], stands["hour"]) == ("step", "2026-11-30")
    assert math.isnan(stands["pre_scale_pods"])


@pytest.mark.slow
def test_a_step_to_twice_the_load_needs_the_pre_scale_that_it_asks_for() -> None:
    played = runs(plan(estate()))
    stands = played["as it stands"]
    # Twelve cores on ten: 200 requests a second queue for the 120 s of metric, sync and start.
    assert (stands["share_surviving"], stands["minutes_above_hard_p50"]) == (0, 2)
    assert stands["backlog_p95"] == pytest.approx(200 * 120)
    assert {column: stands[column] for column in HIDDEN} == HIDDEN
    # 1,200 requests of 0.01 core-seconds; a sync of 15 s and the pod's start of 45 s before.
    assert (stands["pre_scale_pods"], stands["pre_scale_min_before"]) == (12, 1)
    assert (stands["status"], stands["limits"]) == ("AMBER", "")
    held = played["with pre-scale"]
    assert (held["pods_start"], held["share_surviving"], held["status"]) == (12, 1, "GREEN")
    # Twenty pods hold 1,200 requests at 60 %.
    assert (played["as ordered"]["pods_start"], played["as ordered"]["share_surviving"]) == (20, 1)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("topology", "minutes", "nodes"),
    [
        (estate({"dynamics": {"pod_start_s": 90}}), (15 + 90) / 60, math.nan),
        # The pod's own start-up time, where no other is declared.
        (
            estate({"pod": {"cpu_cores": 1, "memory_gib": 1, "startup_s": 30}}),
            (15 + 45 + 30) / 60,
            math.nan,
        ),
        # The order, a node, a pod: two nodes are full, three hold twelve pods.
        (pooled(), (15 + 120 + 45) / 60, 3),
        (pooled(dynamics={"node_start_s": 300}), (15 + 300 + 45) / 60, 3),
        # A spare node stands, and the pre-scale leaves another one free.
        (pooled(dynamics={"spare_nodes": 1}), (15 + 45) / 60, 4),
    ],
)
def test_declared_times_move_the_latest_order(
    topology: Topology, minutes: float, nodes: float
) -> None:
    stands = runs(plan(topology))["as it stands"]
    assert stands["pre_scale_pods"] == 12
    assert stands["pre_scale_min_before"] == pytest.approx(minutes)
    assert stands["pre_scale_nodes"] == pytest.approx(nodes, nan_ok=True)


@pytest.mark.slow
def test_nodes_end_where_the_pool_does_and_the_order_lifts_it() -> None:
    played = runs(plan(pooled(max=2)))
    stands, ordered = played["as it stands"], played["as ordered"]
    assert (stands["status"], stands["limits"].split("; ")[0]) == ("RED", "max_nodes")
    assert (stands["nodes_start"], stands["nodes_peak"]) == (2, 2)
    # 1,200 requests fill twelve pods: three nodes are ordered.
    assert (ordered["nodes_start"], ordered["share_surviving"], ordered["limits"]) == (3, 1, "")


def test_pods_of_several_sizes_share_nodes() -> None:
    """Seven pods of two cores leave a core free that the simulator alone would not give away."""
    big = usable(Catalog.builtin().node_type("m6i.4xlarge")).cpu_cores
    small = {"pod": {"cpu_cores": big - 14, "memory_gib": 1}, "pool": "general"}
    usage = {"cpu_cores": {"per_pod": 0, "per_request": 0.02}}
    large = {"pod": {"cpu_cores": 2, "memory_gib": 1}, "pool": "general", "usage": usage}
    replicas = {"replicas": {"min": 7, "max": 7}}, {"replicas": {"min": 1, "max": 1}}
    topology = estate(
        large | replicas[0],
        services={"beside": API | {"calls": {"checkouts": 0.001}} | small | replicas[1]},
        pools={"general": {"types": ["m6i.4xlarge"], "zones": 1, "today": 1}},
        policy={"hold": [{"quantile": "1-risk", "up_to": "hard"}]},
    )
    stands = runs(plan(topology, 1.0), "beside")["as it stands"]
    assert (stands["nodes_start"], stands["share_surviving"]) == (1, 1)


@pytest.mark.slow
def test_one_service_without_enough_pods_hides_no_other() -> None:
    bounded = API | {"replicas": {"min": 2, "max": 11}}
    found = plan(estate(services={"short": bounded}))
    assert runs(found, "short")["as it stands"]["status"] == "RED"
    assert runs(found, "short")["as it stands"]["limits"].startswith("max_pods of short")
    assert runs(found)["as it stands"]["status"] == "AMBER"
    assert runs(found, "short")["as ordered"]["status"] == "GREEN"  # the maximum is raised


@pytest.mark.slow
def test_services_of_one_pool_are_judged_each() -> None:
    short = pooled()
    services = {name: service.model_dump() for name, service in short.services.items()}
    services["short"] = services["api"] | {"replicas": {"min": 2, "max": 11}}
    found = plan(short.replace(services=services))
    api, other = runs(found)["as it stands"], runs(found, "short")["as it stands"]
    assert (api["status"], api["pre_scale_pods"], api["limits"]) == ("AMBER", 12, "")
    assert (other["status"], other["pre_scale_pods"]) == ("RED", 11)
    assert "max_pods of short" in other["limits"]


@pytest.mark.slow
def test_connections_stand_in_the_way() -> None:
    databases = {
        "core-db": {
            "class": "db.r6g.4xlarge", "max_connections": 1150,
            "usage": {"cpu_cores": {"idle": 0.1, "per_read": 0.0001, "per_write": 0.0001}},
            "used_by": {"api": {"reads": 1, "pool_max": 50, "processes": 2}},
        }
    }  # fmt: skip
    stands = runs(plan(estate(databases=databases)))["as it stands"]
    # Eleven pods of 100 connections fit, twelve are needed.
    assert (stands["status"], stands["pods_start"]) == ("RED", 10)
    assert "max_connections of core-db" in stands["limits"]


@pytest.mark.slow
def test_requests_shed_do_not_queue_and_come_again_where_clients_retry() -> None:
    shed = runs(plan(estate({"dynamics": {"shed_above": 1.0}})))["as it stands"]
    assert (shed["backlog_p95"], shed["drain_min_p95"]) == (0, 0)
    assert shed["minutes_above_hard_p50"] == 2
    again = {"shed_above": 1.0, "retries": {"attempts": 3}}
    retried = runs(plan(estate({"dynamics": again})))["as it stands"]
    assert retried["minutes_above_hard_p50"] > 2


@pytest.mark.slow
def test_the_share_that_survives_is_the_probability_below_the_pods_that_stand() -> None:
    stands = runs(plan(estate(sigma_log=0.2), 1.5, draws=1000))["as it stands"]
    # Ten pods serve 1,000 a second: 10 / 9 of the median of 900.
    expected = NormalDist().cdf(math.log(10 / 9) / 0.2)
    assert stands["share_surviving"] == pytest.approx(expected, abs=1 / stands["paths"])


def test_a_service_without_evidence_is_grey() -> None:
    dark = {"calls": {"checkouts": 1}, "tier": 3}
    idle = API | {"usage": {"cpu_cores": {"per_pod": 0.9, "per_request": 0.01}}}
    found = plan(estate(services={"dark": dark, "idle": idle}), 1.5)
    frame = found.to_frame("event_hour")
    grey = frame[frame["status"] == "GREY"].set_index("service")
    assert grey["limits"].to_dict() == {
        "dark": "no evidence: pods do not follow from load",
        "idle": "no number of pods holds its targets",
    }
    assert grey["share_surviving"].isna().all()
    assert frame[frame["service"] == "api"]["status"].tolist() == ["GREEN", "GREEN"]


def test_priors_and_declared_times_are_assumptions() -> None:
    other = API | {"dynamics": {"pod_start_s": 90, "retries": {"attempts": 3, "budget": 0.1}}}
    found = plan(estate(services={"other": other}), 1.5)
    assumed = found.to_frame("assumptions").set_index("name")
    assert (assumed["basis"] == "assumed").loc[assumed.index.str.startswith("event hour")].all()
    prior, declared = (f"event hour: pod start{of}" for of in ("", " of other"))
    assert tuple(assumed.loc[prior, ["value", "source"]]) == ("45", "prior: none declared")
    assert tuple(assumed.loc[declared, ["value", "source"]]) == ("90", "topology, dynamics")
    assert assumed.loc["event hour: retries of other", "value"] == "3 attempts, budget 0.1"
    assert "no hours" in found.meta["notes"]["services"]


def test_without_the_flag_nothing_is_played() -> None:
    fit = cm.CapacityModel(estate()).declare()
    scenario = cm.Scenario(name="base")
    found = fit.plan([scenario], start="2026-11-30", end="2026-12-02", draws=100)
    assert found.to_frame("event_hour").empty
    assert not found.to_frame("assumptions")["name"].str.startswith("event hour").any()
    assert "services" not in found.meta["notes"]


@pytest.mark.slow
def test_a_plan_is_played_alike_again_and_read_as_it_was_saved(tmp_path: Path) -> None:
    topology = estate(sigma_log=0.2, services={"dark": {"calls": {"checkouts": 1}}})
    first, again = plan(topology, 1.6), plan(topology, 1.6)
    assert first.hash == again.hash
    first.save(tmp_path / "plan.json")
    loaded = cm.load_plan(tmp_path / "plan.json")
    assert loaded.hash == first.hash
    pd.testing.assert_frame_equal(
        loaded.to_frame("event_hour"), first.to_frame("event_hour"), check_dtype=False, rtol=1e-8
    )
    assert "busiest hour, tick by tick" in first.to_html()


@pytest.mark.slow
def test_a_study_plays_the_event_hour_unless_it_says_no(tmp_path: Path) -> None:
    proportional_pool(tmp_path)
    study = cm.Study.read(tmp_path / "study.yaml", overrides={"also": "null"})
    played = study.plan().to_frame("event_hour")
    # 320 requests a second of 1.26 core-seconds fill 336 pods of two cores to 60 %.
    row = played.query("service == 'checkout-api' and run == 'as it stands'").iloc[0]
    assert row["pods_start"] == 336
    # 24 nodes stand; seven of these pods fill one to 14 of 15.89 cores.
    assert (row["nodes_start"], row["limits"].split("; ")[0]) == (24, "max_nodes")
    quiet = cm.Study.read(tmp_path / "study.yaml", overrides={"also": "[]"})
    assert quiet.plan().to_frame("event_hour").empty


GIVEN_PER_S = 1000 / 60
BUSY_PER_S = 6000 / 1.35 / 60
"""Hour of Cyber Monday at 20:00; its busiest minute brings 6,000."""


def hourly(events: cm.Events) -> Any:
    topology = Topology.model_validate(
        {"drivers": {"checkouts": {"peak_minute_x": 1.35}}, "services": {"api": API}}
    )
    given = cm.GivenDemand.from_frame(given_forecast(), business_tz=TZ, events=events)
    model = cm.CapacityModel(topology, events=events, given=given)
    return model.declare(business_tz=TZ)


def demand_of(fit: Any) -> Any:
    request = PlanRequest.of(
        fit,
        [cm.Scenario(name="base")],
        horizon=Horizon.of("2026-11-01", "2026-12-17"),
        sampling=Sampling(draws=100),
        setting=Setting(),
    )
    solved = solve(fit, request)
    (group,), grey = groups_of(solved)
    assert not grey
    return event_demand(solved, group)


def test_a_ramp_leads_through_the_hours_means_to_the_busiest_minute() -> None:
    demand = demand_of(hourly(cm.Events.us_retail(2026, 2026)))
    assert (demand.hour, demand.profile) == ("2026-11-30 20:00", "ramp")
    rps = demand.offered[0, :, 0]
    assert len(rps) == SETTLE + TICKS
    peak = SETTLE + RISE
    assert rps[:SETTLE] == pytest.approx(GIVEN_PER_S)
    # A quarter of an hour into the rise of half an hour, between two ticks' middles.
    middle = SETTLE + RISE // 2
    assert rps[middle - 1 : middle + 1].mean() == pytest.approx((GIVEN_PER_S + BUSY_PER_S) / 2)
    assert rps[peak : peak + 4] == pytest.approx(100)
    assert np.diff(rps[peak + 4 :]) == pytest.approx(-(BUSY_PER_S - GIVEN_PER_S) / RISE)
    assert len(rps) - peak - 4 == 4 * AFTER_MIN


@pytest.mark.slow
def test_a_flash_starts_with_the_busiest_minute_and_keeps_the_hours_mean() -> None:
    events = cm.Events.us_retail(2026, 2026).add("drop", "2026-11-30", tag="flash")
    fit = hourly(events)
    demand = demand_of(fit)
    assert (demand.hour, demand.profile) == ("2026-11-30 20:00", "flash")
    rps, start = demand.offered[0, :, 0], SETTLE + 4 * STEADY_MIN
    assert rps[:start] == pytest.approx(GIVEN_PER_S)
    assert rps[start : start + 4] == pytest.approx(100)
    assert (rps[start] + 59 * rps[start + 4]) / 60 == pytest.approx(BUSY_PER_S)
    found = fit.plan(
        [cm.Scenario(name="base")],
        start="2026-11-01",
        end="2026-12-17",
        draws=100,
        also=["event_hour"],
    )  # fmt: skip
    stands = runs(found)["as it stands"]
    # 16.7 requests a second keep the two pods of the minimum; the 100 of the flash fill one: no
    # pre-scale. Twenty times the work per request: 6 pods at rest, 20 at the flash.
    assert (stands["pods_start"], stands["share_surviving"]) == (2, 1)
    heavy = fit.topology.replace(
        services={"api": API | {"usage": {"cpu_cores": {"per_pod": 0, "per_request": 0.2}}}}
    )
    model = cm.CapacityModel(heavy, events=events, given=fit.demand)
    found = model.declare(business_tz=TZ).plan(
        [cm.Scenario(name="base")],
        start="2026-11-01",
        end="2026-12-17",
        draws=100,
        also=["event_hour"],
    )  # fmt: skip
    stands = runs(found)["as it stands"]
    assert (stands["pods_start"], stands["pre_scale_pods"]) == (6, 20)
    # A sync and the start of a pod before 20:00.
    assert (stands["pre_scale_min_before"], stands["pre_scale_from"]) == (1, "2026-11-30 19:59")


def test_declared_times_are_checked(tmp_path: Path) -> None:
    file = tmp_path / "topology.yaml"
    file.write_text("services:\n  api:\n    today_rps: 5\n    dynamics: {pod_start: 9}\n")
    with pytest.raises(InputError, match=r"(?s)dynamics.*pod_start_s"):
        Topology.read(file)
    with pytest.raises(ValueError, match="give one of them"):
        Dynamics(queue_s=30, shed_above=0.9)


@pytest.mark.slow
def test_the_shop_survives_its_event_hour_as_ordered_and_not_as_it_stands(
    shop_plans: PlanSet,
) -> None:
    frame = shop_plans.to_frame("event_hour")
    assert set(frame["service"]) == set(shop_plans.to_frame("services")["service"])
    by_run = dict(iter(frame.groupby("run")))
    # 24 nodes stand and may, 63 are ordered: the pods of the hour before do not fit.
    general = by_run["as it stands"].query("pool == 'general'")
    assert (general["hour"] == "2026-11-30 20:00").all()
    assert general["limits"].str.startswith("max_nodes").all()
    assert (by_run["as ordered"]["status"] == "GREEN").all()
