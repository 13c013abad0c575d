from __future__ import annotations

import numpy as np
import pytest

from capmodel.capacity.simulator import (
    Autoscaler,
    Cluster,
    DatabaseSpec,
    NodePool,
    ServiceSpec,
    required_pre_scale,
    simulate,
)
from capmodel.capacity.simulator.demand import from_minutes, ramp, step
from capmodel.errors import InputError

HPA = Autoscaler(target=0.6, min_pods=2, max_pods=200)
API = ServiceSpec(
    name="api",
    per_request_core_s=0.01,
    requested_cores=1.0,
    effective_cores=1.0,
    pods=10,
    autoscaler=HPA,
)
FULL = NodePool(cores=5.0, memory_gib=64.0, max_pods=58, max_nodes=100, launch_per_min=10.0)
DOUBLE = step(600, factor=2, at_min=5, minutes=10)


def one(nodes=None, databases=(), **changes):
    return Cluster(services=(API.model_copy(update=changes),), nodes=nodes, databases=databases)


def test_twice_the_load_needs_a_pre_scale_and_survives_with_it() -> None:
    estate = one()
    need = required_pre_scale(estate, DOUBLE)
    # 1,200 requests of 0.01 core-seconds are twelve cores.
    assert (need.pods.item(), need.share_without, need.share_above_hard) == (12, 1, 0)
    assert simulate(estate, DOUBLE, pre_scale={"api": 12}).survives.all()
    assert not simulate(estate, DOUBLE, pre_scale={"api": 11}).survives.any()
    assert need.to_frame()["added_pods"].tolist() == [2]


@pytest.mark.parametrize("factor", [1.0, 1.5])
def test_what_survives_needs_nothing(factor) -> None:
    need = required_pre_scale(one(), step(600, factor=factor, at_min=5, minutes=20))
    assert need.feasible
    assert need.pods.item() == 10
    assert np.isnan([need.event_s, need.latest_order_s]).all()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("estate", "lead_s"),
    [
        # A sync and the pod's start.
        (one(), 15 + 45),
        (one(warm_up_s=100.0), 15 + 150),  # 45 + 100, in whole ticks
        # The order, a node, a pod: two nodes are full.
        (one(nodes=FULL), 15 + 120 + 45),
        # A spare node stands.
        (one(nodes=FULL.model_copy(update={"spare_nodes": 1})), 15 + 45),
        # Two pods of 60 connections, 15 a tick: the first finds 75 saved, 15 are left, and the
        # second waits three ticks for the rest.
        (
            one(
                pools={"core-db": 60},
                databases=[DatabaseSpec(name="core-db", max_connections=800, ramp_per_s=1)],
            ),
            15 + 45 + 45,
        ),
    ],
)
def test_the_latest_order_is_the_sum_of_the_delays(estate, lead_s) -> None:
    need = required_pre_scale(estate, DOUBLE)
    assert need.feasible
    assert (need.pods.item(), need.event_s, need.lead_s) == (12, 300, lead_s)
    held = {"api": 12}
    assert simulate(estate, DOUBLE, pre_scale=held, order_s=need.latest_order_s).survives.all()
    late = need.latest_order_s + 15
    assert not simulate(estate, DOUBLE, pre_scale=held, order_s=late).survives.any()


def test_the_order_may_have_to_come_before_the_demand_begins() -> None:
    slow = FULL.model_copy(update={"launch_per_min": 0.5})
    need = required_pre_scale(one(nodes=slow), step(600, factor=5, at_min=1, minutes=5))
    # Thirty pods on six nodes: four more at two minutes each, the first after the order.
    assert (need.pods.item(), need.nodes) == (30, 6)
    assert -(8 * 60 + 180) <= need.latest_order_s - 60 <= -(6 * 60 + 180)


@pytest.mark.slow
def test_a_slow_ramp_needs_less_than_a_fast_one() -> None:
    pods = [
        required_pre_scale(
            one(), ramp(600, factor=3, at_min=5, rise_min=rise, minutes=40)
        ).pods.item()
        for rise in (0, 2, 10, 30)
    ]
    assert pods[0] == 18
    assert pods == sorted(pods, reverse=True)
    assert pods[-1] == 10


def test_the_risk_is_that_of_all_services_together() -> None:
    rng = np.random.default_rng(3)
    names = [f"s{k}" for k in range(6)]
    estate = Cluster(services=tuple(API.model_copy(update={"name": name}) for name in names))
    factor = rng.uniform(1, 5, (200, 1, len(names)))
    early = np.arange(24)[None, :, None] < 12
    offered = np.where(early, 600.0, 600.0 * factor)
    need = required_pre_scale(estate, offered, risk=0.1)
    # A step is carried by pods that stand: ceil(6 * factor), never fewer than ten.
    assert (need.need == np.maximum(np.ceil(6 * factor[:, 0]), 10)).all()
    failing = (need.need > need.pods).any(axis=1).mean()
    assert need.share_above_hard == pytest.approx(failing)
    assert 0.05 < failing <= 0.1
    # Each service at its own tenth would fail in almost half of the draws.
    own = np.quantile(need.need, 0.9, axis=0, method="inverted_cdf")
    assert (need.need > own).any(axis=1).mean() > 0.3
    assert required_pre_scale(estate, offered).share_above_hard == 0


@pytest.mark.slow
def test_services_that_wait_for_the_same_nodes_are_raised_together() -> None:
    pool = FULL.model_copy(update={"launch_per_min": 3.0})
    services = tuple(API.model_copy(update={"name": name}) for name in "abcd")
    estate = Cluster(services=services, nodes=pool)
    hour = ramp(600, factor=4, at_min=5, rise_min=8, minutes=30)
    offered = np.repeat(hour[None, :, None], 4, axis=2)
    need = required_pre_scale(estate, offered)
    assert need.feasible
    assert need.share_above_hard == 0
    assert (need.pods >= need.need[0]).all()
    assert (need.pods > need.need[0]).any()
    assert (need.pods <= 24).all()


@pytest.mark.parametrize(
    ("estate", "limit"),
    [
        (one(autoscaler=HPA.model_copy(update={"max_pods": 11})), "max_pods of api"),
        (one(nodes=FULL.model_copy(update={"max_nodes": 2})), "max_nodes"),
        (
            one(
                pools={"core-db": 20},
                databases=[DatabaseSpec(name="core-db", max_connections=230)],
            ),
            "max_connections of core-db",
        ),
    ],
)
def test_what_cannot_be_had_is_named(estate, limit) -> None:
    need = required_pre_scale(estate, DOUBLE)
    assert need.limits == (limit,)
    assert not need.feasible
    assert need.share_above_hard == 1
    assert np.isnan(need.latest_order_s)


def test_a_service_without_an_autoscaler_is_scaled_by_hand() -> None:
    need = required_pre_scale(one(autoscaler=None), from_minutes([600, 600, 2000, 600]))
    assert need.pods.item() == 20
    assert need.lead_s == 60


@pytest.mark.parametrize("risk", [-0.1, 1.0, np.nan])
def test_the_risk_is_a_ratio(risk) -> None:
    with pytest.raises(InputError, match="risk"):
        required_pre_scale(one(), DOUBLE, risk=risk)


@pytest.mark.parametrize(
    ("offered", "message"),
    [
        (np.full((2, 3, 2), 1.0), r"shape \(2, 3, 2\)"),
        (np.zeros((0,)), "none empty"),
        ([1.0, -1.0], "negative or missing"),
        ([1.0, np.nan], "negative or missing"),
    ],
)
def test_bad_demand_is_refused(offered, message) -> None:
    with pytest.raises(InputError, match=message):
        simulate(one(), offered)


def test_one_demand_is_not_taken_for_that_of_several_services() -> None:
    second = API.model_copy(update={"name": "second"})
    with pytest.raises(InputError, match=r"\(draws, ticks, 2\)"):
        simulate(Cluster(services=(API, second)), DOUBLE)


@pytest.mark.parametrize(
    ("held", "message"),
    [
        ({"ap": 12}, "Did you mean 'api'"),
        ({"api": 201}, r"at most max_pods \(200\)"),
        ({"api": -1}, "whole pods"),
    ],
)
def test_bad_pre_scales_are_refused(held, message) -> None:
    with pytest.raises(InputError, match=message):
        simulate(one(), DOUBLE, pre_scale=held)


def test_an_order_outside_the_demand_is_refused() -> None:
    with pytest.raises(InputError, match="order_s"):
        simulate(one(), DOUBLE, pre_scale={"api": 12}, order_s=-15)


def test_a_cluster_names_all_its_problems() -> None:
    small = FULL.model_copy(update={"cores": 0.5, "memory_gib": 1.0})
    services = (
        API.model_copy(update={"pools": {"core": 5}, "memory_gib": 2.0}),
        API.model_copy(update={"requested_cores": 0.1}),
    )
    table = DatabaseSpec(name="core-db", max_connections=10)
    with pytest.raises(InputError) as raised:
        Cluster(services=services, nodes=small, databases=(table,))
    assert [problem.where for problem in raised.value.problems] == [
        "services",
        "api.pools",
        "api.requested_cores",
        "api.memory_gib",
    ]
    with pytest.raises(InputError, match="at least the 2"):
        simulate(one(nodes=FULL.model_copy(update={"nodes": 1})), DOUBLE)


def test_contradictory_specs_are_refused() -> None:
    with pytest.raises(InputError, match=r"at least min_pods \(9\)"):
        Autoscaler(target=0.6, min_pods=9, max_pods=3)
    with pytest.raises(InputError, match=r"at most max_nodes \(3\)"):
        NodePool(cores=1, memory_gib=1, max_pods=1, max_nodes=3, launch_per_min=1, nodes=4)
    with pytest.raises(InputError, match="idle or starting pod takes"):
        ServiceSpec(
            **{**dict(API), "idle_cores": 0.6, "startup_cores": 0.4, "ready": "after_start"}
        )
