"""Addresses, and limits of the network and the cloud, in a plan: every number redone by hand.

The estate of ``pod_plans``: 14 pods in each of three zones on 2 nodes; with a rollout's surge of
25 % 18 pods. A m6i.4xlarge has 8 interfaces of 30 addresses, 29 of them for pods.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pod_plans import plan, row, topology

import capmodel as cm
from capmodel.capacity.addresses import zone_addresses
from capmodel.capacity.curves import (
    AddressesCurve,
    NodeNetwork,
    NodesCurve,
    PodsCurve,
    PodsOnPool,
    curve_from_dict,
    multiple_at,
)
from capmodel.capacity.network import (
    load_balancer_targets,
    nat_connections,
    resolver_packets,
    vcpu_use,
)
from capmodel.catalog import Catalog
from capmodel.orders import OrdersPolicy

NETWORK = NodeNetwork(enis=8, ips_per_eni=30)


def subnet(free: int = 1000, **settings: Any) -> dict[str, Any]:
    return {"subnet": {"free_addresses_per_zone": free, **settings}}


def addresses(pool: dict[str, Any], **options: Any) -> float:
    return float(row(plan(topology(pool=pool), **options), "limits", limit="addresses")["peak_p50"])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("pool", "taken"),
    [
        # 9 pods a node: one interface for them, one warm, 30 addresses each.
        (subnet(), 2 * 2 * 30),
        # A spare node: 6 pods on each of 3.
        ({**subnet(), "spare_nodes_per_zone": 1}, 3 * 2 * 30),
        # 9 + 2 addresses and the interface's own.
        (subnet(warm_ip=2), 2 * 12),
        (subnet(minimum_ip=40), 2 * (40 + 2)),
        # One block of 16 for 9 pods and one warm, on one interface.
        ({**subnet(), "prefix_mode": True}, 2 * (32 + 1)),
        # With 8 daemons a node, 17 pods: two blocks and one warm.
        ({**subnet(), "prefix_mode": True, "daemonsets": {"pods": 8}}, 2 * (48 + 1)),
        # The first interface carries no pods and lives in the other subnet.
        ({**subnet(warm_eni=0), "custom_networking": True}, 2 * 30),
    ],
)
def test_addresses_of_a_zone_by_hand(pool: dict[str, Any], taken: float) -> None:
    assert addresses(pool) == taken


def test_only_a_rollout_outside_the_freeze_takes_more() -> None:
    # No warm address: one for each pod, and one for the interface of each of two nodes.
    calm = topology(pool=subnet(warm_ip=0), policy={"surge": 0})
    assert row(plan(calm), "limits", limit="addresses")["peak_p50"] == 14 + 2
    rolling = topology(pool=subnet(warm_ip=0), policy={"surge": 0.25})
    assert row(plan(rolling), "limits", limit="addresses")["peak_p50"] == 18 + 2
    frozen = OrdersPolicy.model_validate(
        {"freeze": [{"start": "2026-11-01", "end": "2026-12-31", "exempt": ["reservation"]}]}
    )
    assert row(plan(rolling, orders=frozen), "limits", limit="addresses")["peak_p50"] == 14 + 2


def test_a_full_subnet_is_asked_for_and_shown_with_its_users() -> None:
    web = {
        "calls": {"checkouts": 4}, "tier": 1, "pool": "general", "imbalance_x": 1.0,
        "pod": {"cpu_cores": 1, "memory_gib": 2}, "usage": {"cpu_cores": {"per_request": 0.315}},
    }  # fmt: skip
    made = topology(pool={**subnet(100, lead_days=21), "today": 9})
    both = made.replace(services={**made.model_dump()["services"], "web": web})
    plans = plan(both)
    # web: 40 x 0.315 / 0.6 = 21 pods, 7 a zone; 35 cores a zone on 3 nodes; 26.25 pods rolling.
    found = row(plans, "limits", limit="addresses")
    assert (found["node"], found["unit"], found["tier"]) == ("general", "addresses", 0)
    assert (found["hard"], found["peak_p50"], found["status"]) == (100.0, 180.0, "RED")
    order = row(plans, "orders", kind="quota")
    # 180 / 0.85 = 212, the ask is 1.5 x 180.
    assert order["action"] == "raise the limit of general from 100 to 270 addresses per zone"
    assert order["latest_by"] == "2026-11-02"  # 21 days before 2026-11-23
    relief = row(plans, "remedies", limit="addresses")
    assert (relief["remedy"], relief["to"]) == ("more addresses per zone", "270")
    ladder = row(plans, "ladder", limit="addresses")
    assert ladder["order_by"] == "2026-11-02"
    shares = plans.to_frame("shares").query("limit == 'addresses'").set_index("user")["usage"]
    assert shares.to_dict() == pytest.approx({"api": 180 * 14 / 21, "web": 180 * 7 / 21})
    chain = plans.to_frame("factors").query("limit == 'addresses' and scenario == 'mixture'")
    values = dict(zip(chain["factor"], chain["value"], strict=True))
    assert (values["pods of api per zone"], values["nodes per zone"]) == (14, 3)
    risk = plans.to_frame("risk").query("scenario == 'mixture' and tier == 0").iloc[0]
    assert (risk["p_any"], risk["p_any_after_orders"]) == (1.0, 0.0)


def test_enough_addresses_are_green_and_ask_for_nothing() -> None:
    plans = plan(topology(pool=subnet(200)))
    found = row(plans, "limits", limit="addresses")
    assert (found["status"], found["policy_x"], found["utilization_p50"]) == ("GREEN", 0.85, 0.6)
    assert "quota" not in set(plans.to_frame("orders")["kind"])
    assert "addresses" not in set(plan(topology()).to_frame("limits")["limit"])


def test_a_lost_zone_is_shown_on_the_addresses_of_the_others() -> None:
    plans = plan(topology(pool=subnet(200)), overlays=[cm.LoseZonesOverlay(zones=1)])
    found = row(plans, "overlays", limit="addresses")
    # 120 a zone, 180 in each of the two left; the policy fills limits to 0.85 under a failure.
    assert found["needed"] == pytest.approx(180 / 0.85)
    assert found["breaks_today"]


def test_the_sweep_and_the_multiple_follow_nodes_and_pods(tmp_path: Path) -> None:
    plans = plan(topology(pool=subnet(400)))
    plans.save(tmp_path / "plan.json")
    swept = cm.PlanSet.load(tmp_path / "plan.json").sweep([1, 2, 4])
    swept = swept[swept["limit"] == "addresses"]
    # 2 x: 28 pods a zone on 4 nodes, 35 rolling; 4 x: 56 on 8, 70 rolling; two interfaces each.
    assert swept["usage"].tolist() == [120, 240, 480]
    assert swept["status"].tolist() == ["GREEN", "GREEN", "RED"]
    # Continuous: 28 / 15.89 nodes a zone and multiple of today, 9.9 pods on each, 60 addresses.
    found = row(plans, "limits", limit="addresses")
    per_x = 28 / 15.89 * 60
    assert found["binds_at_x"] == pytest.approx(0.85 * 400 / per_x)
    assert found["breaks_at_x"] == pytest.approx(400 / per_x)


def curve(network: NodeNetwork, *, slope: float = 42.0, spare: int = 0) -> AddressesCurve:
    api = PodsOnPool(name="api", pods=PodsCurve(slope=slope), requests=(2.0, 4.0, 1.0))
    nodes = NodesCurve(zones=3, usable=(15.89, 56.3, 234.0), services=(api,), spare_per_zone=spare)
    return AddressesCurve(nodes=nodes, network=network, surge=0.25)


NETWORKS = st.builds(
    NodeNetwork,
    enis=st.integers(2, 15),
    ips_per_eni=st.integers(2, 50),
    prefix_mode=st.booleans(),
    warm_eni=st.integers(0, 2),
    warm_prefix=st.integers(1, 2),
    warm_ip=st.none() | st.integers(1, 20),
    daemonset_pods=st.integers(0, 5),
)


@given(network=NETWORKS, spare=st.integers(0, 2), x=st.floats(0.01, 50), more=st.floats(1, 3))
def test_continuous_addresses_grow_with_traffic_and_the_whole_ones_are_the_function_s(
    network: NodeNetwork, spare: int, x: float, more: float
) -> None:
    made = curve(network, spare=spare)
    assert made.usage(x * more, integer=False) >= made.usage(x, integer=False) * (1 - 1e-12)
    each = np.ceil(np.ceil(42 * x - 1e-9) / 3 - 1e-9)
    nodes = np.ceil(each * 2 / 15.89 - 1e-9) + spare
    alive = np.ceil(each * 1.25 - 1e-9) + nodes * network.daemonset_pods
    expected = zone_addresses(network, nodes=nodes, pods=alive, cni=network.cni).pod_subnet
    assert made.usage(x) == float(expected)
    assert curve_from_dict(made.model_dump(mode="json")) == made


def test_no_traffic_takes_no_address_and_an_unknown_today_none_that_is_known() -> None:
    assert curve(NETWORK).usage(0.0) == curve(NETWORK).usage(0.0, integer=False) == 0.0
    assert np.isnan(multiple_at(curve(NETWORK, slope=float("nan")), 100.0))


def test_paths_on_which_no_pods_suffice_take_infinitely_many() -> None:
    taken = NETWORK.zone_use(np.array([[2.0, np.inf]]), np.array([[18.0, np.inf]]))
    assert taken.tolist() == [[120.0, np.inf]]


# ---- limits of the network and the cloud, as anybody may declare them --------------------------

LIMITS: dict[str, Any] = {
    # On-demand vCPUs of the account: every node of the pool counts with all of its own.
    "vcpu": {"quota": "ec2.on_demand_vcpu_standard", "unit": "vCPU", "hard": 640,
             "per_node": {"general": "vcpus"}},
    # NAT: 2 new connections a checkout to one destination, 1 s open and 60 s in TIME_WAIT.
    "nat": {"quota": "vpc.nat_connections_per_destination", "unit": "connections",
            "per_request": {"checkouts": 122}},
    # Pods behind a load balancer by address, old and new ones of a rollout.
    "targets": {"quota": "elb.targets_per_target_group", "unit": "targets", "per_pod": {"api": 1}},
    # One lookup in two requests, 2 names x 2 record types, through 2 interfaces.
    "resolver": {"quota": "vpc.resolver_packets_per_interface", "unit": "packets/s",
                 "per_request": {"api": 1.0}},
    # A gateway in front: 1.2 calls a checkout, its retries included.
    "gateway": {"quota": "api-gateway.requests_rate", "unit": "requests/s",
                "per_request": {"checkouts": 1.2}},
}  # fmt: skip


def test_declared_limits_of_network_and_cloud_are_the_functions_numbers() -> None:
    plans = plan(topology(limits=LIMITS))
    found = plans.to_frame("limits").query("scenario == 'mixture'").set_index("node")
    node = Catalog.builtin().node_type("m6i.4xlarge")
    by_hand: dict[str, tuple[float, Any]] = {
        "vcpu": (96.0, vcpu_use([node], [6])["standard"]),
        "nat": (1220.0, nat_connections(20, holding_s=1, linger_s=60)),
        "targets": (53.0, load_balancer_targets("ip", pods=42, nodes=6, surge=0.25)),
        "resolver": (40.0, resolver_packets(20, dots=2, search_domains=1, interfaces=2)),
        "gateway": (12.0, 1.2 * 10),
    }
    for name, (expected, function) in by_hand.items():
        assert found.loc[name, "peak_p50"] == expected == float(function), name
    hard = found["hard"].to_dict()
    assert {name: hard[name] for name in by_hand} == {
        "vcpu": 640, "nat": 55_000, "targets": 1000, "resolver": 1024, "gateway": 10_000,
    }  # fmt: skip
    assert {found.loc[name, "status"] for name in by_hand} == {"GREEN"}


def test_a_zone_s_nat_gateway_takes_its_share_and_more_after_a_loss() -> None:
    # 400 checkouts a second: 48,800 connections over three gateways, the hottest 1.2 x the mean.
    nat = {**LIMITS["nat"], "hard": 3 * 55_000, "zones": 3, "imbalance_x": 1.2}
    made = topology(limits={"nat": nat})
    plans = plan(made, demand_x=4.0, overlays=[cm.LoseZonesOverlay(zones=1)])
    assert row(plans, "limits", node="nat")["peak_p50"] == pytest.approx(4880)
    # 1.2 x 4,880 over two of three gateways, within 0.85 of the bound.
    lost = row(plans, "overlays", node="nat")
    assert lost["needed"] == pytest.approx(1.2 * 4880 * 3 / 2 / 0.85)
