from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capmodel.capacity import redundancy
from capmodel.capacity.nodes import PodShape, PoolNodes, Usable, nodes_for, pack_zone
from capmodel.capacity.replicas import surge_pods, zone_cover
from capmodel.errors import InputError

NODE = Usable("m6i.4xlarge", cpu_cores=15.59, memory_gib=55.84, pods=234)
API = [PodShape("api", 2, 4)]


def spreads(pods: int, zones: int) -> Iterator[tuple[int, ...]]:
    """Every way to put pods into zones."""
    for counts in itertools.product(range(pods + 1), repeat=zones - 1):
        if sum(counts) <= pods:
            yield (*counts, pods - sum(counts))


@pytest.mark.parametrize(
    ("need", "zones", "total"),
    # 1 of 3: 1.5x; 1 of 2: 2x; 1 of 4: 1.33x plus rounding (10 pods take 16, not 14).
    [(10, 3, 15), (20, 3, 30), (21, 3, 33), (100, 3, 150), (10, 2, 20), (7, 2, 14), (10, 4, 16)],
)
def test_zone_cover_vectors(need: int, zones: int, total: int) -> None:
    assert float(zone_cover(need, zones=zones, lost=1)) == total


@pytest.mark.parametrize(("zones", "lost"), [(2, 1), (3, 1), (3, 2), (4, 1), (4, 2)])
@pytest.mark.parametrize("need", [1, 2, 5, 7, 10])
def test_zone_cover_by_enumeration(need: int, zones: int, lost: int) -> None:
    # The least equal count per zone of which any zones left still hold the need.
    per_zone = next(n for n in itertools.count() if n * (zones - lost) >= need)
    assert float(zone_cover(need, zones=zones, lost=lost)) == zones * per_zone


@pytest.mark.parametrize(("pods", "zones"), [(10, 3), (7, 3), (2, 3), (9, 4), (5, 2), (0, 3)])
@pytest.mark.parametrize("skew", [1, 2, 3])
def test_spread_by_enumeration(pods: int, zones: int, skew: int) -> None:
    allowed = [c for c in spreads(pods, zones) if max(c) - min(c) <= skew]
    got = redundancy.zone_spread(pods, zones=zones, max_skew=skew)
    assert tuple(got.counts.tolist()) in allowed
    assert int(got.heaviest) == max(max(counts) for counts in allowed)
    assert int(got.counts.max() - got.counts.min()) <= 1
    assert int(got.unplaced) == 0


def test_too_few_domains_hold_no_more_than_the_skew() -> None:
    # minDomains 3 with two zones: the emptiest counts as 0, so each zone takes maxSkew pods.
    got = redundancy.zone_spread([10, 1], zones=2, max_skew=2, min_domains=3)
    assert got.counts.tolist() == [[2, 2], [1, 0]]
    assert (got.heaviest.tolist(), got.unplaced.tolist()) == ([2, 1], [6, 0])


def test_a_zone_before_the_loss_runs_at_half() -> None:
    before = redundancy.max_utilization_before_loss
    assert float(before(0.75, zones=3)) == 0.50
    assert before([0.8, 0.6], zones=4, lost=2).tolist() == [0.4, 0.3]
    with pytest.raises(InputError, match="at least one zone left"):
        before(0.75, zones=2, lost=2)


def test_one_node_to_spare_in_each_zone() -> None:
    # ceil(need / usable) + 1, also where the need is whole.
    got = redundancy.n_plus_one_per_zone([0, 15.59, 15.6, 31.18], per_node=15.59)
    assert got.tolist() == [1, 2, 3, 3]
    with pytest.raises(InputError, match="per_node"):
        redundancy.n_plus_one_per_zone(1, per_node=0)


def test_the_surge_of_a_rollout_holds_connections_too() -> None:
    # 20 replicas with 30 connections each and a surge of 25 %: 750 connections at once, not 600.
    assert float(surge_pods(20, surge=0.25) * 30) == 750
    assert surge_pods([1, 3, 21], surge=0.25).tolist() == [2, 4, 27]


def _drain(pods: int, budget: int) -> int:
    """Evict pods as the budget allows until each has moved; return the rounds."""
    rounds, waiting = 0, pods
    while waiting:
        waiting -= min(budget, waiting)
        rounds += 1
    return rounds


@pytest.mark.parametrize(("pods", "budget"), [(20, 1), (20, 5), (21, 5), (3, 5), (0, 1)])
def test_roll_rounds_by_draining(pods: int, budget: int) -> None:
    assert float(redundancy.roll_rounds(pods, max_unavailable=budget)) == _drain(pods, budget)


def test_a_roll_takes_the_longer_of_pods_and_nodes_and_a_budget_of_none_forever() -> None:
    got = redundancy.roll_rounds([20, 2, 2], max_unavailable=[2, 1, 0], nodes=12, nodes_at_once=2)
    assert got.tolist() == [10, 6, np.inf]
    assert float(redundancy.roll_rounds(0, max_unavailable=0)) == 0
    # 10 rounds of 30 s to end and 60 s to start are a quarter of an hour.
    assert float(got[0]) * (30 + 60) == 15 * 60


def test_overprovisioned_nodes_cover_their_start_and_each_zone() -> None:
    # Two nodes asked for per minute, two minutes to start one: four on their way.
    got = redundancy.overprovision_nodes([0, 2, 2.1], node_start_min=2, zones=3)
    assert got.tolist() == [3, 4, 5]
    with pytest.raises(InputError, match="at least 0"):
        redundancy.overprovision_nodes(-1, node_start_min=2)


@pytest.mark.parametrize(("units", "needed"), [(3, 1), (3, 2), (4, 3), (2, 2), (5, 0)])
def test_availability_by_enumeration(units: int, needed: int) -> None:
    a = 0.97
    total = sum(
        np.prod([a if up else 1 - a for up in state])
        for state in itertools.product([True, False], repeat=units)
        if sum(state) >= needed
    )
    got = float(redundancy.availability(a, units=units, needed=needed))
    assert got == pytest.approx(total, abs=1e-14)
    if needed == 1:
        assert got == pytest.approx(1 - (1 - a) ** units, abs=1e-14)


def test_availability_refuses_more_than_there_are() -> None:
    with pytest.raises(InputError, match="4 of 3 units"):
        redundancy.availability(0.9, units=3, needed=4)


SHAPES = st.lists(
    st.tuples(st.floats(0.05, 9), st.floats(0.1, 30), st.integers(1, 60)), min_size=1, max_size=6
)


@settings(deadline=None, max_examples=100)
@given(drawn=SHAPES, zones=st.integers(2, 4), lost=st.integers(1, 2))
def test_a_covered_pool_runs_every_pod_without_any_zone(
    drawn: list[tuple[float, float, int]], zones: int, lost: int
) -> None:
    lost = min(lost, zones - 1)
    shapes = [PodShape(f"s{i}", cpu, gib) for i, (cpu, gib, _) in enumerate(drawn)]
    needed = [count for *_, count in drawn]
    per_zone = (zone_cover(needed, zones=zones, lost=lost) / zones).astype(int).tolist()
    pool = nodes_for(shapes, per_zone, usable=NODE, zones=zones)
    got = redundancy.survives(pool, shapes, usable=NODE, lost=lost, needed=needed)
    assert got.holds
    assert not got.moved.any()  # what is needed already runs where it stays
    assert len(got.lost) == len(list(itertools.combinations(range(zones), lost)))


def _one_by_one(
    zones: list[list[int]], shapes: list[PodShape], gone: int, spare: int, skew: int | None
) -> list[int]:
    """Move the pods of a zone one after another, as a scheduler would; return those left over."""
    need = np.ceil([[s.cpu_cores * 1000 - 1e-6, s.memory_gib * 2**20 - 1e-6, 1] for s in shapes])
    room = np.floor([NODE.cpu_cores * 1000 + 1e-6, NODE.memory_gib * 2**20 + 1e-6, NODE.pods])
    left: list[tuple[int, np.ndarray]] = []
    for zone in (z for z in range(len(zones)) if z != gone):
        packing = pack_zone(shapes, zones[zone], usable=NODE)
        free = [room.copy() for _ in range(packing.nodes + spare)]
        for shape, node, pods in packing.placements.tolist():
            free[node] -= pods * need[shape]
        left += [(zone, node) for node in free]
    running = {zone: list(zones[zone]) for zone, _ in left}
    unplaced = [0] * len(shapes)
    for i in sorted(range(len(shapes)), key=lambda i: (-need[i, 0], -need[i, 1], i)):
        for _ in range(zones[gone][i]):
            lowest = min(counts[i] for counts in running.values())
            open_nodes = [
                (running[zone][i] if skew else 0, k)
                for k, (zone, node) in enumerate(left)
                if (node >= need[i]).all() and (not skew or running[zone][i] + 1 - lowest <= skew)
            ]
            if not open_nodes:
                unplaced[i] += 1
                continue
            zone, node = left[min(open_nodes)[1]]
            node -= need[i]
            running[zone][i] += 1
    return unplaced


@pytest.mark.slow
@settings(deadline=None, max_examples=60)
@given(drawn=SHAPES, spare=st.integers(0, 2), skew=st.none() | st.integers(1, 12))
def test_zones_removed_in_bulk_equal_pods_moved_one_by_one(
    drawn: list[tuple[float, float, int]], spare: int, skew: int | None
) -> None:
    shapes = [PodShape(f"s{i}", cpu, gib) for i, (cpu, gib, _) in enumerate(drawn)]
    zones = [[count // 3 + k for *_, count in drawn] for k in range(3)]
    packings = [pack_zone(shapes, counts, usable=NODE) for counts in zones]
    packings = [dataclasses.replace(p, nodes=p.nodes + spare) for p in packings]
    got = redundancy.survives(packings, shapes, usable=NODE, max_skew=skew)
    for row, (gone,) in enumerate(got.lost):
        assert got.moved[row].tolist() == zones[gone]
        assert got.unplaced[row].tolist() == _one_by_one(zones, shapes, gone, spare, skew)


def test_a_zone_without_cover_leaves_pods_and_spare_nodes_take_them() -> None:
    # 14 pods fill two nodes of 7 in each zone; the third zone's 14 find no room, but in two more
    # nodes they do: one spare node in each of the two zones left.
    pool = nodes_for(API, [14], usable=NODE, zones=3)
    bare = redundancy.survives(pool, API, usable=NODE)
    assert bare.unplaced.tolist() == [[14], [14], [14]]
    assert not bare.holds
    spared = PoolNodes(nodes=9, per_zone=3, packing=pool.packing)
    assert redundancy.survives(spared, API, usable=NODE).holds


def test_uneven_zones_lose_what_stood_in_them() -> None:
    # 4, 3 and 3 pods; nodes of 7 have room for 3, 4 and 4 more.
    packings = [pack_zone(API, [n], usable=NODE) for n in (4, 3, 3)]
    got = redundancy.survives(packings, API, usable=NODE)
    assert (got.lost, got.moved.ravel().tolist()) == (((0,), (1,), (2,)), [4, 3, 3])
    assert got.holds
    two = redundancy.survives(packings, API, usable=NODE, lost=2)
    assert (two.lost[0], two.unplaced.ravel().tolist()) == ((0, 1), [3, 3, 3])


def test_a_skew_leaves_pods_pending_where_one_zone_is_full() -> None:
    # Zones of 7 and 2 pods on one node each, and a third lost with 5: only the second zone has
    # room. Without a constraint it takes all 5; a skew of 1 lets it catch up, and 5 still fit.
    packings = [pack_zone(API, [n], usable=NODE) for n in (7, 2, 5)]
    assert redundancy.survives(packings, API, usable=NODE).unplaced[2].tolist() == [0]
    even = redundancy.survives(packings, API, usable=NODE, max_skew=1)
    assert even.unplaced[2].tolist() == [0]
    # Now a large pod fills the first zone, which holds none of the service: with a skew of 3 the
    # second takes one of the five, and four wait.
    shapes = [*API, PodShape("big", 15, 4)]
    mixed = [pack_zone(shapes, c, usable=NODE) for c in ([0, 1], [2, 0], [5, 0])]
    assert redundancy.survives(mixed, shapes, usable=NODE).unplaced[2].tolist() == [0, 0]
    held = redundancy.survives(mixed, shapes, usable=NODE, max_skew=3)
    assert held.unplaced[2].tolist() == [4, 0]


def test_large_pods_move_before_small_ones() -> None:
    # One spare node left: a pod of 9 cores and six of 1 fit it only if the large one goes first.
    shapes = [PodShape("small", 1, 2), PodShape("large", 9, 20)]
    lost = pack_zone(shapes, [6, 1], usable=NODE)
    empty = dataclasses.replace(pack_zone(shapes, [0, 0], usable=NODE), nodes=1)
    assert redundancy.survives([lost, empty], shapes, usable=NODE).unplaced[0].tolist() == [0, 0]


def test_a_pool_without_nodes_has_nothing_to_lose() -> None:
    pool = nodes_for(API, [0], usable=NODE, zones=3)
    got = redundancy.survives(pool, API, usable=NODE)
    assert (got.lost, got.holds) == ((), True)


def test_bad_survival_input_is_refused() -> None:
    pool = nodes_for(API, [5], usable=NODE, zones=2)
    with pytest.raises(InputError, match="at least one zone left"):
        redundancy.survives(pool, API, usable=NODE, lost=2)
    with pytest.raises(InputError, match="needed"):
        redundancy.survives(pool, API, usable=NODE, needed=[1, 2])
    with pytest.raises(InputError, match="every service packed"):
        redundancy.survives(pool, [], usable=NODE)
    smaller = Usable("m6i.xlarge", cpu_cores=3.9, memory_gib=13.8, pods=58)
    with pytest.raises(InputError, match="less than the pods take"):
        redundancy.survives(pool, API, usable=smaller)
