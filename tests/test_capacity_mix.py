"""The instance mix: hand-worked pools, brute force on tiny ones, and what holds for all."""

from __future__ import annotations

import itertools
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capmodel.capacity.mix import Candidate, Mix, MixRules, choose_mix, verify
from capmodel.capacity.nodes import PodShape, Usable, nodes_for

SMALL = Usable("small", cpu_cores=4, memory_gib=16, pods=30)
LARGE = Usable("large", cpu_cores=16, memory_gib=64, pods=110)
WIDE = Usable("wide", cpu_cores=8, memory_gib=64, pods=60)


def test_one_type_one_service_by_hand() -> None:
    # 20 pods must stand after one of three zones: 10 a zone, 8 on a node of 16 cores: 2 nodes.
    mix = choose_mix(
        [PodShape("api", 2, 4)], [20], candidates=[Candidate(LARGE, 0.8)], zones=3, lose=1
    )
    assert mix.counts.tolist() == [[2, 2, 2]]
    assert mix.weight == pytest.approx(4.8)
    # 20 cores of 16 a zone: 1.25 nodes of 0.8, three zones.
    assert mix.lp_bound == pytest.approx(3.0)
    assert mix.gap == pytest.approx(0.6)
    filled = {"cpu_cores": 20 / 32, "memory_gib": 40 / 128, "pods": 10 / 220}
    assert mix.utilization == pytest.approx(filled)
    assert (mix.best_single_type, mix.saving, mix.infeasible) == ("large", 0.0, "")


def test_a_small_node_takes_the_rest_of_a_large_one() -> None:
    # 10 cores a zone: one large node (8) leaves one pod of 2 cores, for which a small one does.
    mix = choose_mix(
        [PodShape("api", 2, 4)],
        [18],
        candidates=[Candidate(LARGE, 0.8), Candidate(SMALL, 0.2)],
        zones=3,
        lose=1,
    )
    assert dict(zip(mix.types, mix.counts[:, 0].tolist(), strict=True)) in (
        {"large": 1, "small": 1},
        {"large": 0, "small": 5},
    )
    assert mix.weight == pytest.approx(3.0)


def test_lean_and_wide_pods_each_get_their_type() -> None:
    # 16 lean pods (1 core, 2 GiB) and 8 wide ones (1 core, 8 GiB) in one zone. One large node
    # (16 cores, 32 of 64 GiB) and one wide node (8 cores, 64 GiB) are filled to the last core.
    shapes = [PodShape("lean", 1, 2), PodShape("wide", 1, 8)]
    mix = choose_mix(
        shapes, [16, 8], candidates=[Candidate(LARGE, 0.8), Candidate(WIDE, 0.5)], zones=1
    )
    assert mix.counts.tolist() == [[1], [1]]
    assert mix.weight == pytest.approx(1.3)
    # In fractions, one and a half large nodes: 24 cores and 96 GiB.
    assert mix.lp_bound == pytest.approx(1.2)
    # Alone: 24 cores take 2 large nodes (1.6) or 3 wide ones (1.5).
    assert (mix.best_single_type, mix.best_single_weight) == ("wide", pytest.approx(1.5))
    assert mix.saving == pytest.approx(1 - 1.3 / 1.5)


def test_the_bound_knows_that_a_pod_keeps_its_shape() -> None:
    # In total 1 lean node (8 cores, 8 GiB) and 1 wide one (2 cores, 32 GiB) hold 10 pods of 1 core
    # and 4 GiB; but the lean node takes 2 of them and the wide one 2. Per pod: lean 0.05 = 0.1 / 2,
    # wide 0.05: ten pods weigh at least 0.5, where the totals alone say 0.2.
    lean = Usable("lean", cpu_cores=8, memory_gib=8, pods=100)
    wide = Usable("wide", cpu_cores=2, memory_gib=32, pods=100)
    mix = choose_mix(
        [PodShape("api", 1, 4)], [10], candidates=[Candidate(lean, 0.1), Candidate(wide, 0.1)],
        zones=1,
    )  # fmt: skip
    assert mix.lp_bound == pytest.approx(0.5)
    assert mix.weight == pytest.approx(0.5)


def test_small_pool_of_three_services_and_six_pods() -> None:
    shapes = [PodShape("api", 1, 2), PodShape("web", 0.5, 1), PodShape("job", 2, 8)]
    mix = choose_mix(
        shapes,
        [2, 2, 2],
        candidates=[Candidate(SMALL, 0.2), Candidate(LARGE, 0.8)],
        zones=3,
        lose=1,
    )
    assert dict(zip(mix.types, mix.counts.tolist(), strict=True)) == {
        "large": [0, 0, 0],
        "small": [1, 1, 1],
    }
    assert verify(mix).holds


def test_services_without_pods_take_no_room() -> None:
    shapes = [PodShape("api", 2, 4), PodShape("huge", 400, 4)]
    mix = choose_mix(shapes, [8, 0], candidates=[Candidate(LARGE, 0.8)], zones=1)
    assert mix.counts.tolist() == [[1]]
    empty = choose_mix(shapes, [0, 0], candidates=[Candidate(LARGE, 0.8)], zones=2, lose=1)
    assert (empty.weight, empty.gap, empty.saving, empty.infeasible) == (0.0, 0.0, 0.0, "")
    assert verify(empty).holds
    assert choose_mix([], [], candidates=[Candidate(LARGE, 0.8)], zones=1).weight == 0.0


def test_two_of_five_zones_lost() -> None:
    # 9 pods after the loss of two of five zones: 3 a zone, every zone the same.
    mix = choose_mix(
        [PodShape("api", 2, 4)], [9], candidates=[Candidate(SMALL, 0.2)], zones=5, lose=2
    )
    assert mix.counts.tolist() == [[2] * 5]
    found = verify(mix)
    assert found.holds
    assert len(found.zone_losses) == 10


def test_frame_adds_up() -> None:
    shapes = [PodShape("lean", 1, 2), PodShape("wide", 1, 8)]
    mix = choose_mix(
        shapes, [32, 16], candidates=[Candidate(LARGE, 0.8), Candidate(WIDE, 0.5)], zones=3, lose=1
    )
    frame = mix.to_frame()
    assert frame["weight"].sum() == pytest.approx(mix.weight)
    assert frame["pods"].sum() == 3 * (16 + 8)
    assert frame.columns.tolist()[:4] == ["zone", "instance_type", "nodes", "nodes_today"]
    assert frame["cpu_cores_utilization"].to_numpy() == pytest.approx(1.0)


def test_the_first_fit_of_one_type_is_never_beaten_by_more_nodes() -> None:
    rng = np.random.default_rng(5)
    sizes = rng.uniform(0.2, 3, (20, 2)).tolist()
    shapes = [PodShape(f"s{i}", cores, memory) for i, (cores, memory) in enumerate(sizes)]
    need = rng.integers(1, 30, 20).tolist()
    mix = choose_mix(shapes, need, candidates=[Candidate(LARGE, 0.8)], zones=1)
    assert mix.counts.sum() <= nodes_for(shapes, need, usable=LARGE, zones=1).nodes


# Tiny pools: services in halves of a core, and every set of nodes tried by enumeration.
TINY = st.lists(
    st.tuples(st.sampled_from([0.5, 1, 1.5, 2.5, 3]), st.sampled_from([1, 2, 5, 9, 12]),
              st.integers(0, 3)),
    min_size=1, max_size=3,
)  # fmt: skip
TYPES = (
    (Usable("a", 4, 16, 5), 1.0),
    (Usable("b", 8, 32, 10), 1.9),
    (Usable("c", 6, 12, 8), 1.2),
)


def _fits(pods: list[tuple[float, float]], nodes: list[tuple[float, float, int]]) -> bool:
    """Whether pods fit nodes, by trying every node for every pod in turn."""
    if not pods:
        return True
    (cpu, memory), rest = pods[0], pods[1:]
    for k, (c, m, n) in enumerate(nodes):
        if (c, m, n) in nodes[:k] or cpu > c or memory > m or n < 1:
            continue
        left = [*nodes[:k], (c - cpu, m - memory, n - 1), *nodes[k + 1 :]]
        if _fits(rest, left):
            return True
    return False


def _least(drawn: list[tuple[float, float, int]]) -> float:
    """The least weight of nodes that hold the pods of one zone, by enumeration."""
    pods = sorted([(c, m) for c, m, n in drawn for _ in range(n)], reverse=True)
    sets = sorted(
        (sum(w * n for (_, w), n in zip(TYPES, counts, strict=True)), counts)
        for counts in itertools.product(range(6), range(4), range(5))
    )
    for weight, counts in sets:
        nodes = [
            (u.cpu_cores, u.memory_gib, u.pods)
            for (u, _), n in zip(TYPES, counts, strict=True)
            for _ in range(n)
        ]
        room = [sum(node[k] for node in nodes) for k in range(3)]
        asked = [sum(p[0] for p in pods), sum(p[1] for p in pods), len(pods)]
        if all(a <= r for a, r in zip(asked, room, strict=True)) and _fits(pods, nodes):
            return weight
    raise AssertionError("the enumeration is too short")


@pytest.mark.slow
@settings(deadline=None, max_examples=20, derandomize=True)
@given(drawn=TINY)
def test_tiny_pools_reach_the_optimum_of_enumeration(drawn: list[tuple[float, float, int]]) -> None:
    mix = choose_mix(
        [PodShape(f"s{i}", c, m) for i, (c, m, _) in enumerate(drawn)],
        [n for *_, n in drawn],
        candidates=[Candidate(u, w) for u, w in TYPES],
        zones=1,
    )
    assert mix.weight == pytest.approx(_least(drawn))
    assert mix.lp_bound <= mix.weight + 1e-9


POOLS = st.lists(
    st.tuples(st.floats(0.05, 3.5), st.floats(0.05, 15), st.integers(0, 25)),
    min_size=1,
    max_size=6,
)
ALL = [Candidate(SMALL, 0.21), Candidate(LARGE, 0.8), Candidate(WIDE, 0.52)]


def _choose(
    drawn: list[tuple[float, float, int]], candidates: list[Candidate] = ALL, times: int = 1
) -> Mix:
    return choose_mix(
        [PodShape(f"s{i}", c, m) for i, (c, m, _) in enumerate(drawn)],
        [times * n for *_, n in drawn],
        candidates=candidates,
        zones=3,
        lose=1,
    )


@pytest.mark.slow
@settings(deadline=None, max_examples=12, derandomize=True)
@given(drawn=POOLS)
def test_every_pod_has_a_place_and_keeps_it_when_a_zone_goes(
    drawn: list[tuple[float, float, int]],
) -> None:
    mix = _choose(drawn)
    assert mix.infeasible == ""
    assert verify(mix).holds
    assert mix.weight >= mix.lp_bound * (1 - 1e-9)
    assert mix.weight <= mix.best_single_weight + 1e-9
    # Counted here from the placements alone, in floats.
    request = np.array([[c, m, 1.0] for c, m, _ in drawn])
    room = {"small": SMALL, "large": LARGE, "wide": WIDE}
    used: dict[tuple[int, int, int], np.ndarray] = {}
    for zone, kind, node, service, pods in mix.placements.tolist():
        key = (zone, kind, node)
        used[key] = used.get(key, np.zeros(3)) + pods * request[service]
        assert node < mix.counts[kind, zone]
    for (_, kind, _), amount in used.items():
        usable = room[mix.types[kind]]
        assert (amount <= np.array([usable.cpu_cores, usable.memory_gib, usable.pods]) + 1e-6).all()
    for zone in range(3):
        placed = np.zeros(len(drawn))
        rows = mix.placements[mix.placements[:, 0] == zone]
        np.add.at(placed, rows[:, 3], rows[:, 4])
        assert placed.tolist() == [-(-n // 2) for *_, n in drawn]


@pytest.mark.slow
@settings(deadline=None, max_examples=6, derandomize=True)
@given(drawn=POOLS, more=st.integers(0, 5))
def test_the_bound_rises_with_demand(drawn: list[tuple[float, float, int]], more: int) -> None:
    grown = [(c, m, n + more * (i == 0)) for i, (c, m, n) in enumerate(drawn)]
    assert _choose(grown).lp_bound >= _choose(drawn).lp_bound - 1e-9


@pytest.mark.slow
@settings(deadline=None, max_examples=6, derandomize=True)
@given(drawn=POOLS)
def test_doubling_nodes_and_load_never_needs_more_than_double(
    drawn: list[tuple[float, float, int]],
) -> None:
    # Nodes and pods twice as large: the same mix. Twice the pods: at most twice the bound.
    twice = [
        Candidate(
            Usable(
                one.usable.instance_type,
                2 * one.usable.cpu_cores,
                2 * one.usable.memory_gib,
                one.usable.pods,
            ),
            2 * one.weight,
        )
        for one in ALL
    ]
    mix = _choose(drawn)
    larger = _choose([(2 * c, 2 * m, n) for c, m, n in drawn], twice)
    assert larger.weight <= 2 * mix.weight * (1 + 1e-9)
    assert _choose(drawn, times=2).lp_bound <= 2 * mix.lp_bound + 1e-9


def _fleet(seed: int, services: int) -> tuple[list[PodShape], list[int]]:
    rng = np.random.default_rng(seed)
    cores = rng.choice([0.1, 0.25, 0.5, 1.0, 2.0], services)
    memory = np.round(cores * rng.lognormal(1.2, 0.6, services), 2) + 0.1
    need = rng.integers(2, 60, services)
    return [
        PodShape(f"s{i:03}", float(c), float(m))
        for i, (c, m) in enumerate(zip(cores, memory, strict=True))
    ], need.tolist()


def test_sixty_services_stay_within_two_percent_of_the_bound() -> None:
    shapes, need = _fleet(1, 60)
    mix = choose_mix(shapes, need, candidates=ALL, zones=3, lose=1)
    assert mix.gap < 0.02
    assert verify(mix).holds


@pytest.mark.slow
def test_same_input_same_answer_in_any_order_of_types() -> None:
    shapes, need = _fleet(2, 40)
    first = choose_mix(shapes, need, candidates=ALL, zones=3, lose=1)
    again = choose_mix(shapes, need, candidates=ALL[::-1], zones=3, lose=1)
    assert first.types == again.types
    assert first.counts.tolist() == again.counts.tolist()
    assert first.placements.tolist() == again.placements.tolist()


def test_the_solver_keeps_the_standard_output_clean(capfd: pytest.CaptureFixture[str]) -> None:
    shapes, need = _fleet(3, 60)
    choose_mix(shapes, need, candidates=ALL, zones=3, lose=1, rules=MixRules(max_types=2))
    assert capfd.readouterr().out == ""


@pytest.mark.slow
def test_two_hundred_services_forty_types_three_zones_within_one_percent_in_ten_seconds() -> None:
    rng = np.random.default_rng(20)
    shapes, need = _fleet(4, 200)
    candidates = [
        Candidate(
            Usable(f"{family}.{size}", size * 4 - 0.4, size * 4 * ratio * 0.92 - 1, 30 + 50 * size),
            size * price * float(rng.uniform(0.97, 1.03)),
        )
        for family, ratio, price in [
            ("c1", 2, 0.17), ("c2", 2, 0.178), ("c3", 2, 0.145), ("m1", 4, 0.192), ("m2", 4, 0.17),
            ("m3", 4, 0.202), ("m4", 4, 0.163), ("r1", 8, 0.252), ("r2", 8, 0.265), ("r3", 8, 0.2),
        ]
        for size in (2, 4, 8, 16)
    ]  # fmt: skip
    start = time.process_time()
    mix = choose_mix(shapes, need, candidates=candidates, zones=3, lose=1)
    assert time.process_time() - start < 10
    assert mix.gap <= 0.01
    assert mix.weight <= mix.best_single_weight
    assert verify(mix).holds
