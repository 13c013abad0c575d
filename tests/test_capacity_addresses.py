from __future__ import annotations

import datetime as dt
import itertools
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capmodel.capacity import addresses, network
from capmodel.capacity.addresses import VpcCni
from capmodel.capacity.nodes import max_pods
from capmodel.catalog import Catalog, NodeType, Quotas
from capmodel.errors import InputError


def node_of(name: str, enis: int, ips: int, vcpu: int = 2) -> NodeType:
    day = dt.date(2026, 1, 1)
    return NodeType("us-east-1", name, "x86_64", vcpu, 8.0, enis, ips, Decimal(1), day, "test")


SMALL = node_of("t3.small", 3, 4)
LARGE = node_of("m6i.large", 3, 10)
HUGE = node_of("p3dn.24xlarge", 15, 50, vcpu=96)


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return Catalog.builtin()


# aws/amazon-vpc-cni-k8s, docs/eni-and-ip-target.md @0f77b523, every row of its table: type,
# WARM_ENI_TARGET, WARM_IP_TARGET, MINIMUM_IP_TARGET, pods, interfaces, secondary addresses.
SECONDARY = [
    (SMALL, 1, None, None, 0, 1, 3),
    (SMALL, 1, None, None, 5, 3, 9),
    (SMALL, 1, None, None, 9, 3, 9),
    (SMALL, 0, 1, 1, 0, 1, 1),
    (SMALL, 0, 1, 1, 5, 2, 6),
    (SMALL, 0, 1, 1, 9, 3, 9),
    (SMALL, 0, 2, 5, 0, 2, 5),
    (SMALL, 0, 2, 5, 5, 3, 7),
    (SMALL, 0, 2, 5, 9, 3, 9),
    (HUGE, 1, None, None, 0, 1, 49),
    (HUGE, 1, None, None, 3, 2, 98),
    (HUGE, 1, None, None, 95, 3, 147),
    (HUGE, 0, 5, 10, 0, 1, 10),
    (HUGE, 0, 5, 10, 7, 1, 12),
    (HUGE, 0, 5, 10, 15, 1, 20),
    (HUGE, 0, 5, 10, 45, 2, 50),
]


@pytest.mark.parametrize(
    ("node", "warm_eni", "warm_ip", "minimum_ip", "pods", "interfaces", "secondary"), SECONDARY
)
def test_secondary_addresses_are_those_of_the_plugin(
    node: NodeType,
    warm_eni: int,
    warm_ip: int | None,
    minimum_ip: int | None,
    pods: int,
    interfaces: int,
    secondary: int,
) -> None:
    cni = VpcCni(warm_eni=warm_eni, warm_ip=warm_ip, minimum_ip=minimum_ip)
    got = addresses.node_addresses(node, pods, cni=cni)
    assert int(got.interfaces) == interfaces
    assert int(got.pod_subnet) == secondary + interfaces
    assert (int(got.prefixes), int(got.node_subnet), int(got.short)) == (0, 0, 0)


# docs/prefix-and-ip-target.md @02590850: type, WARM_PREFIX_TARGET, WARM_IP_TARGET,
# MINIMUM_IP_TARGET, pods, attached prefixes, unused addresses. Its row of t3.small with targets 7
# and 20 and no pods contradicts itself (1 attached, 2 on the interface); the text asks for 2.
PREFIXES = [
    (SMALL, 1, None, None, 0, 1, 16),
    (SMALL, 1, None, None, 5, 2, 27),
    (SMALL, 1, None, None, 16, 2, 16),
    (SMALL, 1, None, None, 17, 3, 31),
    (SMALL, 1, None, None, 58, 5, 22),
    (SMALL, 1, 1, 1, 0, 1, 16),
    (SMALL, 1, 1, 1, 5, 1, 11),
    (SMALL, 1, 1, 1, 17, 2, 15),
    (SMALL, 1, 1, 1, 58, 4, 6),
    (SMALL, 1, 7, 20, 5, 2, 27),
    (SMALL, 1, 7, 20, 17, 2, 15),
    (SMALL, 1, 7, 20, 58, 5, 22),
    (HUGE, 1, None, None, 0, 1, 16),
    (HUGE, 1, None, None, 3, 2, 29),
    (HUGE, 1, None, None, 95, 7, 17),
    (HUGE, 1, 5, 10, 0, 1, 16),
    (HUGE, 1, 5, 10, 7, 1, 9),
    (HUGE, 1, 5, 10, 15, 2, 17),
    (HUGE, 1, 5, 10, 45, 4, 19),
]


@pytest.mark.parametrize(
    ("node", "warm_prefix", "warm_ip", "minimum_ip", "pods", "prefixes", "unused"), PREFIXES
)
def test_prefixes_are_those_of_the_plugin(
    node: NodeType,
    warm_prefix: int,
    warm_ip: int | None,
    minimum_ip: int | None,
    pods: int,
    prefixes: int,
    unused: int,
) -> None:
    cni = VpcCni(warm_prefix=warm_prefix, warm_ip=warm_ip, minimum_ip=minimum_ip, prefix_mode=True)
    got = addresses.node_addresses(node, pods, cni=cni)
    assert int(got.prefixes) == prefixes
    assert 16 * prefixes - pods == unused
    # Prefixes fill an interface's three (or 49) slots before the next interface comes.
    assert int(got.interfaces) == max(-(-prefixes // (node.ips_per_eni - 1)), 1)
    assert int(got.pod_subnet) == 16 * prefixes + int(got.interfaces)


def test_three_small_nodes_and_two_pods_take_fifty_addresses() -> None:
    # aws-eks-best-practices, vpc-cni.adoc: c5.large (3 interfaces of 10 addresses), one pod each on
    # two nodes and none on the third: 20, 20 and 10.
    got = addresses.node_addresses(LARGE, [1, 1, 0], cni=VpcCni())
    assert got.pod_subnet.tolist() == [20, 20, 10]


def test_custom_networking_moves_pods_to_their_own_subnet() -> None:
    cni = VpcCni(custom_networking=True)
    got = addresses.node_addresses(LARGE, [0, 1, 18, 19], cni=cni)
    assert got.interfaces.tolist() == [1, 2, 2, 2]  # two of the three carry pods
    assert got.pod_subnet.tolist() == [10, 20, 20, 20]
    assert got.node_subnet.tolist() == [1, 1, 1, 1]
    assert got.short.tolist() == [0, 0, 0, 1]
    assert max_pods(LARGE, custom_networking=True) == 18 + 2


def test_pods_beyond_the_interfaces_are_short_not_lost() -> None:
    got = addresses.node_addresses(SMALL, [9, 10, 12], cni=VpcCni())
    assert got.short.tolist() == [0, 1, 3]
    assert got.pod_subnet.tolist() == [12, 12, 12]


@settings(deadline=None, max_examples=150)
@given(
    enis=st.integers(2, 15),
    ips=st.integers(3, 50),
    warm=st.tuples(st.integers(0, 3), st.integers(1, 3)),
    targets=st.tuples(st.none() | st.integers(1, 20), st.none() | st.integers(0, 40)),
    modes=st.tuples(st.booleans(), st.booleans()),
)
def test_addresses_cover_the_pods_and_grow_with_them(
    enis: int,
    ips: int,
    warm: tuple[int, int],
    targets: tuple[int | None, int | None],
    modes: tuple[bool, bool],
) -> None:
    node = node_of("any", enis, ips, vcpu=96)
    prefix, custom = modes
    cni = VpcCni(*warm, targets[0], (targets[1] or 1) if prefix else targets[1], prefix, custom)
    pods = np.arange(max_pods(node, prefix_mode=prefix, custom_networking=custom) - 1)
    got = addresses.node_addresses(node, pods, cni=cni)
    assert not got.short.any()  # every pod with an address that max_pods allows gets one
    assert (got.pod_subnet >= pods + got.interfaces).all()
    assert (np.diff(got.pod_subnet) >= 0).all()
    assert (got.interfaces <= enis - custom).all()


@pytest.mark.parametrize(
    "cni",
    [
        VpcCni(prefix_mode=True, warm_prefix=0),
        VpcCni(prefix_mode=True, warm_ip=0),
        VpcCni(warm_eni=-1),
    ],
)
def test_unsupported_targets_are_refused(cni: VpcCni) -> None:
    with pytest.raises(InputError, match="warm targets"):
        addresses.node_addresses(LARGE, 1, cni=cni)


@pytest.mark.parametrize("pods", [-1, 1.5, np.inf])
def test_part_of_a_pod_has_no_address(pods: float) -> None:
    with pytest.raises(InputError, match="whole numbers of at least 0"):
        addresses.node_addresses(LARGE, pods, cni=VpcCni())


def test_a_mixed_group_runs_the_lowest_maximum_of_its_types(catalog: Catalog) -> None:
    types = [catalog.node_type(name) for name in ("m6i.4xlarge", "m6i.xlarge", "m6i.large")]
    assert addresses.group_max_pods(types) == 29
    assert addresses.group_max_pods(types[:2]) == 58
    assert addresses.group_max_pods(types, prefix_mode=True) == 110
    with pytest.raises(InputError, match="node group"):
        addresses.group_max_pods([])


def test_subnets_lose_five_addresses() -> None:
    assert [addresses.subnet_addresses(n) for n in (16, 20, 24, 28)] == [65531, 4091, 251, 11]
    reserved = Quotas.builtin("us-east-1").get("subnet_reserved_addresses").value
    assert reserved == addresses.SUBNET_RESERVED
    for length in (15, 29):
        with pytest.raises(InputError, match="16 to 28"):
            addresses.subnet_addresses(length)


@pytest.mark.parametrize("length", range(20, 29))
def test_whole_blocks_of_a_subnet_by_enumeration(length: int) -> None:
    size = 2 ** (32 - length)
    reserved = {0, 1, 2, 3, size - 1}
    whole = sum(not reserved & set(range(at, at + 16)) for at in range(0, size, 16))
    assert addresses.subnet_prefixes(length) == whole


def test_fragmentation_breaks_blocks_although_addresses_are_free() -> None:
    cni = VpcCni(prefix_mode=True)
    whole = addresses.subnet_room(LARGE, prefix_length=24, pods_per_node=16, cni=cni)
    broken = addresses.subnet_room(
        LARGE, prefix_length=24, pods_per_node=16, cni=cni, fragmented=0.5
    )
    assert (whole.nodes, broken.nodes, broken.usable) == (7, 4, 251)
    # Three full nodes of two blocks each; the fourth starts on the last block and gets no second.
    assert (broken.pods, broken.exhausted_by) == (48, "pods")


def _one_by_one(
    node: NodeType, pods_per_node: int, cni: VpcCni, usable: int
) -> tuple[int, int, str]:
    """Fill a subnet as a cluster grows: a node, then its pods one after another, and so on."""
    before = 0
    for nodes in itertools.count(1):
        for pods in range(pods_per_node + 1):
            used = before + int(addresses.node_addresses(node, pods, cni=cni).pod_subnet)
            if used > usable:
                return (
                    nodes if pods else nodes - 1,
                    (nodes - 1) * pods_per_node + max(pods - 1, 0),
                    "pods" if pods else "nodes",
                )
        before = used
    raise AssertionError


@pytest.mark.parametrize("cni", [VpcCni(), VpcCni(warm_ip=2, minimum_ip=4), VpcCni(warm_eni=0)])
@pytest.mark.parametrize("pods_per_node", [1, 9, 20, 27])
@pytest.mark.parametrize("length", [26, 24])
def test_the_room_of_a_subnet_is_that_of_filling_it(
    cni: VpcCni, pods_per_node: int, length: int
) -> None:
    room = addresses.subnet_room(LARGE, prefix_length=length, pods_per_node=pods_per_node, cni=cni)
    usable = addresses.subnet_addresses(length)
    assert room.usable == usable
    assert (room.nodes, room.pods, room.exhausted_by) == _one_by_one(
        LARGE, pods_per_node, cni, usable
    )
    assert room.addresses <= usable


def test_fewer_warm_addresses_make_room_for_more_nodes() -> None:
    # 9 pods take 20 of 251 addresses with a warm interface: 12 nodes, and an empty one on 10 of the
    # last 11. With two warm addresses they take 11 and two interfaces: 19 nodes, one pod on 4 more.
    warm = addresses.subnet_room(LARGE, prefix_length=24, pods_per_node=9, cni=VpcCni())
    lean = addresses.subnet_room(LARGE, prefix_length=24, pods_per_node=9, cni=VpcCni(warm_ip=2))
    assert (warm.nodes, lean.nodes) == (13, 20)
    assert (warm.pods, lean.pods) == (108, 172)
    with pytest.raises(InputError, match=r"at most the 27 that a m6i\.large has addresses for"):
        addresses.subnet_room(LARGE, prefix_length=24, pods_per_node=28, cni=VpcCni())


def test_taken_addresses_make_less_room() -> None:
    full = addresses.subnet_room(LARGE, prefix_length=24, pods_per_node=9, cni=VpcCni(), taken=300)
    assert (full.nodes, full.pods, full.exhausted_by, full.usable) == (0, 0, "nodes", 0)


def test_a_rollout_needs_the_surge_pods_addresses_too() -> None:
    cni = VpcCni(warm_ip=1)
    quiet = addresses.zone_addresses(LARGE, nodes=[4, 4], pods=[40, 42], cni=cni)
    # 10 pods a node: 11 addresses on two interfaces; two nodes of the second zone carry 11.
    assert quiet.pod_subnet.tolist() == [4 * 13, 2 * 13 + 2 * 14]
    rolling = addresses.zone_addresses(LARGE, nodes=4, pods=42, cni=cni, surge=0.25)
    assert int(rolling.pods) == 53
    # One node carries 14, three 13: 15 and 14 addresses on two interfaces each.
    assert int(rolling.pod_subnet) == 17 + 3 * 16
    with pytest.raises(InputError, match="pods but no node"):
        addresses.zone_addresses(LARGE, nodes=0, pods=1, cni=cni)


def test_custom_networking_of_a_zone_counts_both_subnets() -> None:
    cni = VpcCni(custom_networking=True, prefix_mode=True)
    zone = addresses.zone_addresses(LARGE, nodes=3, pods=60, cni=cni)
    assert (int(zone.node_subnet), int(zone.prefixes)) == (3, 3 * 3)
    assert int(zone.pod_subnet) == 3 * (48 + 1)
    assert int(zone.short) == 0


@pytest.mark.parametrize(
    ("name", "group"),
    [
        ("m7i-flex.large", "standard"),
        ("c7gn.large", "standard"),
        ("im4gn.large", "standard"),
        ("z1d.large", "standard"),
        ("t4g.nano", "standard"),
        ("g6e.xlarge", "g_vt"),
        ("vt1.3xlarge", "g_vt"),
        ("p5.48xlarge", "p"),
        ("inf2.xlarge", "inf"),
        ("trn1.2xlarge", "trn"),
        ("x2iedn.xlarge", "x"),
        ("hpc7a.12xlarge", "hpc"),
        ("u-6tb1.metal", "high_memory"),
    ],
)
def test_families_count_against_their_own_quota(name: str, group: str) -> None:
    assert network.quota_group(name) == group


@pytest.mark.parametrize("name", ["mac2.metal", "m6i", "", "4xlarge"])
def test_an_unknown_family_is_refused(name: str) -> None:
    with pytest.raises(InputError, match="of no known family"):
        network.quota_group(name, where="pools.general")


def test_vcpus_by_group_against_the_default_quota(catalog: Catalog) -> None:
    types = [catalog.node_type(name) for name in ("m6i.4xlarge", "r7g.2xlarge")]
    use = network.vcpu_use([*types, node_of("g5.xlarge", 4, 15, vcpu=4)], [[30, 5, 2], [0, 0, 0]])
    assert {k: v.tolist() for k, v in use.items()} == {"standard": [520, 0], "g_vt": [8, 0]}
    quota = Quotas.builtin("us-east-1").get(f"on_demand_vcpu_{next(iter(use))}")
    quota.check_unit("vCPU")
    assert (use["standard"] > quota.value).tolist() == [True, False]
    with pytest.raises(InputError, match="one count of at least 0 for each type"):
        network.vcpu_use(types, [1, 2, 3])


def test_nat_ports_at_the_rate_that_the_guide_names() -> None:
    # VPC user guide: about 900 new connections per second to one destination, 55,000 a minute.
    held = network.nat_connections([900, 917], holding_s=0.0, linger_s=60.0)
    assert network.nat_addresses(held).tolist() == [1, 2]
    # Reuse cuts it: a tenth of the new connections, open for 10 s.
    assert float(network.nat_connections(90, holding_s=10.0, linger_s=60.0)) == 6300
    per_address = Quotas.builtin("us-east-1").get("nat_connections_per_destination").value
    assert per_address == network.NAT_CONNECTIONS
    with pytest.raises(InputError, match="rates and times of at least 0"):
        network.nat_connections(1, holding_s=-1)


def test_resolver_packets_count_every_name_tried() -> None:
    def packets(**keys: int) -> float:
        return float(network.resolver_packets(100, **{"dots": 2, "search_domains": 4, **keys}))

    # Five names (four search domains and the name itself), two record types.
    assert packets() == 1000
    assert packets(dots=5) == 200  # at ndots the name is tried as it stands, and is found
    assert packets(ndots=0) == 200
    assert packets(record_types=1) == 500
    assert packets(interfaces=4) == 250
    limit = Quotas.builtin("us-east-1").get("resolver_packets_per_interface")
    assert packets() < limit.value < float(network.resolver_packets(103, dots=2, search_domains=4))
    with pytest.raises(InputError, match="interfaces"):
        packets(interfaces=0)


def test_load_balancer_targets_by_mode() -> None:
    def targets(mode, **keys):
        return network.load_balancer_targets(mode, pods=[801, 1000], nodes=[50, 60], **keys)

    # 801 pods and a quarter more during a rollout pass the 1,000 targets of a balancer.
    assert targets("ip").tolist() == [801, 1000]
    assert targets("ip", surge=0.25).tolist() == [1002, 1250]
    assert targets("instance", surge=0.25, target_groups=3).tolist() == [150, 180]
    with pytest.raises(InputError, match='got "pod"; expected "ip" or "instance"'):
        targets("pod")
