from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capmodel.capacity import nodes
from capmodel.capacity.nodes import PodShape, Usable
from capmodel.catalog import Catalog
from capmodel.errors import InputError

NODE = Usable("m6i.4xlarge", cpu_cores=15.59, memory_gib=55.84, pods=234)


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return Catalog.builtin()


# The published rules computed for us-east-1 shapes, memory at two decimals of a GiB:
# (type, millicores, pods, GiB with secondary addresses, pods, GiB in prefix mode).
VECTORS = [
    ("m6i.large", 1930, 29, 6.74, 110, 5.87),
    ("m6i.xlarge", 3920, 58, 13.83, 110, 13.27),
    ("m6i.2xlarge", 7910, 58, 28.63, 110, 28.07),
    ("m6i.4xlarge", 15890, 234, 56.34, 110, 57.67),
    ("m6i.8xlarge", 31850, 234, 115.54, 250, 115.37),
    ("m6i.12xlarge", 47810, 234, 174.74, 250, 174.57),
    ("m6i.16xlarge", 63770, 737, 228.54, 250, 233.77),
]


@pytest.mark.parametrize(("name", "cpu", "pods", "gib", "prefix_pods", "prefix_gib"), VECTORS)
def test_allocatable_vectors(
    catalog: Catalog,
    name: str,
    cpu: int,
    pods: int,
    gib: float,
    prefix_pods: int,
    prefix_gib: float,
) -> None:
    node = catalog.node_type(name)
    plain = nodes.allocatable(node)
    prefix = nodes.allocatable(node, prefix_mode=True)
    assert (plain.cpu_millicores, plain.max_pods, round(plain.memory_mib / 1024, 2)) == (
        cpu,
        pods,
        gib,
    )
    assert (prefix.cpu_millicores, prefix.max_pods, round(prefix.memory_mib / 1024, 2)) == (
        cpu,
        prefix_pods,
        prefix_gib,
    )


@pytest.mark.parametrize(
    ("name", "plain", "custom", "prefix_custom"),
    # 3*9 + 2 = 29, 4*14 + 2 = 58, 8*29 + 2 = 234; one interface fewer: 2*9 + 2 and so on.
    [
        ("m6i.large", 29, 20, 110),
        ("m6i.xlarge", 58, 44, 110),
        ("m6i.2xlarge", 58, 44, 110),
        ("m6i.4xlarge", 234, 205, 110),
        ("m6i.8xlarge", 234, 205, 250),
    ],
)
def test_custom_networking_takes_an_interface(
    catalog: Catalog, name: str, plain: int, custom: int, prefix_custom: int
) -> None:
    node = catalog.node_type(name)
    assert nodes.max_pods(node) == plain
    assert nodes.max_pods(node, custom_networking=True) == custom
    assert nodes.max_pods(node, prefix_mode=True, custom_networking=True) == prefix_custom
    # Fewer pods reserve less: 11 MiB for each.
    gained = (
        nodes.allocatable(node, custom_networking=True).memory_mib
        - nodes.allocatable(node).memory_mib
    )
    assert gained == 11 * (plain - custom)
    left = nodes.usable(node, custom_networking=True, daemonset_pods=3)
    assert (left.pods, left.memory_gib) == (
        custom - 3,
        nodes.allocatable(node, custom_networking=True).memory_mib / 1024,
    )


def test_prefixes_cost_the_4xlarge_no_memory_and_secondary_addresses_do(catalog: Catalog) -> None:
    # 234 pods reserve 11 MiB each; in prefix mode the cap of 110 gives 1.33 GiB back.
    node = catalog.node_type("m6i.4xlarge")
    more = nodes.allocatable(node, prefix_mode=True).memory_mib - nodes.allocatable(node).memory_mib
    assert more == 11 * (234 - 110)
    assert round(more / 1024, 2) == 1.33


def test_more_pods_cost_memory(catalog: Catalog) -> None:
    # m6i.large from 29 to 110 pods loses 11 MiB for each: 0.87 of its 8 GiB.
    node = catalog.node_type("m6i.large")
    lost = nodes.allocatable(node).memory_mib - nodes.allocatable(node, prefix_mode=True).memory_mib
    assert lost == 11 * (110 - 29)


def test_graviton_keeps_64_mib_before_the_hypervisor_share(catalog: Catalog) -> None:
    # 8192 - 64 = 8128; less ceil(8128 * 0.075) = 610, 11 * 29 + 255 = 574 and 100.
    assert nodes.allocatable(catalog.node_type("m7g.large")).memory_mib == 8128 - 610 - 574 - 100


def test_usable_takes_the_daemonsets_off(catalog: Catalog) -> None:
    node = catalog.node_type("m6i.4xlarge")
    left = nodes.usable(node, daemonset_cpu_cores=0.3, daemonset_memory_gib=0.5, daemonset_pods=4)
    assert left.cpu_cores == 15.59
    assert left.memory_gib == pytest.approx(57691 / 1024 - 0.5)
    assert left.pods == 230
    with pytest.raises(InputError, match=r"daemonsets on m6i\.large.*leave nothing"):
        nodes.usable(catalog.node_type("m6i.large"), daemonset_cpu_cores=1.93)


def test_identical_pods_fill_node_by_node() -> None:
    packing = nodes.pack_zone([PodShape("api", 2, 4)], [20], usable=NODE)
    assert packing.nodes == 3  # seven pods of two cores in 15.59
    assert packing.placements.tolist() == [[0, 0, 7], [0, 1, 7], [0, 2, 6]]
    assert packing.lower_bound["cpu_cores"] == pytest.approx(40 / 15.59)
    assert packing.binding == "cpu_cores"
    assert nodes.nodes_for([PodShape("api", 2, 4)], [20], usable=NODE, zones=3).nodes == 9


def test_the_pod_limit_binds_for_small_pods() -> None:
    # 160 small pods on nodes that run 58 each take three nodes, though cores alone would take two.
    node = Usable("m6i.2xlarge", cpu_cores=7.9, memory_gib=28.0, pods=58)
    packing = nodes.pack_zone([PodShape("tiny", 0.07, 0.1)], [160], usable=node)
    assert (packing.nodes, packing.binding) == (3, "pods")


def test_memory_binds_for_wide_pods() -> None:
    packing = nodes.pack_zone([PodShape("cache", 1, 16)], [7], usable=NODE)
    assert (packing.nodes, packing.binding) == (3, "memory_gib")


def test_mixed_shapes_share_nodes() -> None:
    shapes = [PodShape("small", 1, 2), PodShape("large", 9, 20)]
    packing = nodes.pack_zone(shapes, [12, 2], usable=NODE)
    assert packing.nodes == 2
    assert packing.placements.tolist() == [[1, 0, 1], [1, 1, 1], [0, 0, 6], [0, 1, 6]]


def test_order_of_services_changes_nothing() -> None:
    shapes = [PodShape("a", 2, 4), PodShape("b", 2, 4), PodShape("c", 3, 4), PodShape("d", 0.5, 8)]
    counts = [7, 9, 11, 13]
    first = nodes.pack_zone(shapes, counts, usable=NODE)
    second = nodes.pack_zone(shapes[::-1], counts[::-1], usable=NODE)
    assert (first.nodes, first.binding) == (second.nodes, second.binding)


def test_nothing_to_place_takes_no_node() -> None:
    packing = nodes.pack_zone([PodShape("api", 2, 4)], [0], usable=NODE)
    assert (packing.nodes, packing.efficiency) == (0, 1.0)


def test_a_pod_larger_than_any_node_names_both() -> None:
    with pytest.raises(InputError, match=r"services\.big\.pod.*16 cores.*m6i\.4xlarge") as error:
        nodes.pack_zone([PodShape("big", 16, 4), PodShape("fat", 1, 60)], [1, 1], usable=NODE)
    assert len(error.value.problems) == 2


@pytest.mark.parametrize("counts", [[1, 2], [-1], []])
def test_counts_must_match_the_shapes(counts: list[int]) -> None:
    with pytest.raises(InputError, match="pods per zone"):
        nodes.pack_zone([PodShape("api", 2, 4)], counts, usable=NODE)


def test_requests_must_not_be_negative() -> None:
    with pytest.raises(InputError, match="at least 0"):
        nodes.pack_zone([PodShape("api", -2, 4)], [1], usable=NODE)


def test_continuous_need_is_the_largest_resource_per_draw() -> None:
    shapes = [PodShape("cpu", 2, 1), PodShape("ram", 0.1, 8)]
    need = nodes.nodes_continuous(shapes, np.array([[10, 0], [0, 10], [np.inf, 1]]), usable=NODE)
    assert need.nodes[:2] == pytest.approx([20 / 15.59, 80 / 55.84], rel=1e-6)
    assert need.binding.tolist() == ["cpu_cores", "memory_gib", "cpu_cores"]
    assert np.isinf(need.nodes[2])


def test_ten_thousand_mixed_pods_pack_quickly() -> None:
    rng = np.random.default_rng(3)
    shapes = [
        PodShape(f"s{i}", float(c), float(m))
        for i, (c, m) in enumerate(
            zip(rng.uniform(0.1, 4, 200), rng.uniform(0.2, 12, 200), strict=True)
        )
    ]
    start = time.process_time()
    packing = nodes.pack_zone(shapes, [50] * 200, usable=NODE)
    # The budget is 50 ms; the bound allows for a slow machine.
    assert time.process_time() - start < 0.5
    assert packing.placements[:, 2].sum() == 10_000
    assert packing.efficiency > 0.85


Drawn = list[tuple[float, float, int]]
SHAPES = st.lists(
    st.tuples(st.floats(0.01, 15.5), st.floats(0.01, 55.8), st.integers(0, 60)),
    min_size=1,
    max_size=8,
)


def _shapes(drawn: Drawn) -> list[PodShape]:
    return [PodShape(f"s{i}", cpu, memory) for i, (cpu, memory, _) in enumerate(drawn)]


@settings(deadline=None, max_examples=150)
@given(drawn=SHAPES)
def test_every_pod_is_placed_within_every_node(drawn: Drawn) -> None:
    shapes, counts = _shapes(drawn), [count for *_, count in drawn]
    packing = nodes.pack_zone(shapes, counts, usable=NODE)
    placed = np.zeros((len(shapes), max(packing.nodes, 1)))
    np.add.at(
        placed, (packing.placements[:, 0], packing.placements[:, 1]), packing.placements[:, 2]
    )
    assert placed.sum(axis=1).tolist() == counts
    cpu = np.array([s.cpu_cores for s in shapes]) @ placed
    memory = np.array([s.memory_gib for s in shapes]) @ placed
    assert cpu.max() <= NODE.cpu_cores + 1e-9
    assert memory.max() <= NODE.memory_gib + 1e-9
    assert placed.sum(axis=0).max() <= NODE.pods
    assert packing.nodes >= max(packing.lower_bound.values()) - 1e-9


def _one_by_one(shapes: list[PodShape], counts: list[int]) -> int:
    """First-fit decreasing as the textbook writes it, pod after pod."""
    pods = [s for s, n in zip(shapes, counts, strict=True) for _ in range(n)]
    pods.sort(key=lambda s: (-np.ceil(s.cpu_cores * 1000 - 1e-6), -np.ceil(s.memory_gib * 2**20)))
    left: list[np.ndarray] = []
    for pod in pods:
        need = np.ceil(np.array([pod.cpu_cores * 1000, pod.memory_gib * 2**20, 1]) - 1e-6)
        free = next((k for k, node in enumerate(left) if (node >= need).all()), None)
        if free is None:
            room = [NODE.cpu_cores * 1000 + 1e-6, NODE.memory_gib * 2**20 + 1e-6, NODE.pods]
            left.append(np.floor(room) - need)
        else:
            left[free] = left[free] - need
    return len(left)


@settings(deadline=None, max_examples=60)
@given(drawn=SHAPES)
def test_bulk_placement_equals_pod_by_pod(drawn: Drawn) -> None:
    shapes, counts = _shapes(drawn), [min(count, 12) for *_, count in drawn]
    assert nodes.pack_zone(shapes, counts, usable=NODE).nodes == _one_by_one(shapes, counts)


@settings(deadline=None, max_examples=100)
@given(cpu=st.floats(0.05, 15), memory=st.floats(0.05, 50), count=st.integers(1, 500))
def test_more_pods_never_need_fewer_nodes_and_double_never_more_than_double(
    cpu: float, memory: float, count: int
) -> None:
    shape = [PodShape("api", cpu, memory)]

    def need(pods: int) -> int:
        return nodes.pack_zone(shape, [pods], usable=NODE).nodes

    assert need(count) <= need(count + 1)
    assert need(2 * count) <= 2 * need(count)
    twice = Usable("double", 2 * NODE.cpu_cores, 2 * NODE.memory_gib, 2 * NODE.pods)
    assert nodes.pack_zone(shape, [count], usable=twice).nodes <= need(count)
