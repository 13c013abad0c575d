from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capmodel.capacity import replicas
from capmodel.errors import InputError

# Story A4: 2-core pods at 60 %, 0.05 cores idle, 120 rps, cost before and after the deploy.
BEFORE = {"per_request": 0.085, "per_pod": 0.05, "pod_size": 2.0}
AFTER = {"per_request": 0.102, "per_pod": 0.05, "pod_size": 2.0}


def test_story_a4_pods_and_cover_before_and_after_the_deploy() -> None:
    old = replicas.replicas_for(120, target=0.60, **BEFORE).pods
    new = replicas.replicas_for(120, target=0.60, **AFTER).pods
    assert (float(old), float(new)) == (9, 11)
    assert float(replicas.zone_cover(old, zones=3, lost=1)) == 15
    assert float(replicas.zone_cover(new, zones=3, lost=1)) == 18


def test_story_a4_twelve_pods_when_the_degraded_target_is_85_percent() -> None:
    degraded = replicas.replicas_for(120, target=0.85, **AFTER).pods
    assert float(degraded) == 8
    assert float(replicas.zone_cover(degraded, zones=3, lost=1)) == 12


@pytest.mark.parametrize(
    ("need", "zones", "total"),
    # Enumerated: even spread, one zone lost; 10 pods in 4 zones take 16, not 14.
    [(10, 3, 15), (20, 3, 30), (21, 3, 33), (100, 3, 150), (10, 4, 16), (10, 2, 20), (60, 3, 90)],
)
def test_zone_cover_vectors(need: int, zones: int, total: int) -> None:
    assert float(replicas.zone_cover(need, zones=zones, lost=1)) == total


def test_zone_cover_rounds_each_zone_up_without_a_loss_too() -> None:
    assert float(replicas.zone_cover(11, zones=3, lost=0)) == 12
    assert float(replicas.zone_cover(11, zones=3, lost=1, continuous=True)) == 16.5


@pytest.mark.parametrize("lost", [3, 4, -1])
def test_zone_cover_refuses_to_lose_every_zone(lost: int) -> None:
    with pytest.raises(InputError, match="at least one zone left"):
        replicas.zone_cover(10, zones=3, lost=lost)


@pytest.mark.parametrize(
    ("ratio", "desired"), [(1.09, 10), (1.10, 10), (1.11, 12), (0.91, 10), (0.89, 9), (0.0, 0)]
)
def test_hpa_tolerance(ratio: float, desired: int) -> None:
    # Kubernetes documentation, "Algorithm details": ceil(10 * 1.11) = 12, nothing within 0.1.
    assert float(replicas.hpa_replicas(10, metric=ratio, target=1.0)) == desired


def test_hpa_refuses_a_target_of_zero() -> None:
    with pytest.raises(InputError, match="target: got 0"):
        replicas.hpa_replicas(10, metric=1.0, target=0)


def test_surge_counts_pods_that_exist_at_once() -> None:
    assert replicas.surge_pods([20, 21, 0], surge=0.25).tolist() == [25, 27, 0]
    assert float(replicas.surge_pods(21, surge=0.25, continuous=True)) == 26.25


def test_an_idle_pod_above_its_target_is_infeasible_and_flagged() -> None:
    need = replicas.replicas_for(
        [0.0, 10.0], per_request=0.1, per_pod=[1.2, 0.5], pod_size=2.0, target=0.6
    )
    assert need.infeasible.tolist() == [True, False]
    assert np.isinf(need.pods[0])
    assert need.pods[1] == 2
    assert np.isinf(replicas.zone_cover(need.pods, zones=3, lost=1)[0])


def test_no_load_needs_no_pods() -> None:
    need = replicas.replicas_for(0.0, target=0.6, **AFTER)
    assert str(float(need.pods)) == "0.0"


def test_draws_broadcast_over_days() -> None:
    load = np.full((4, 3), 120.0)
    per_request = np.array([0.085, 0.102, 0.085, 0.102])[:, None]
    pods = replicas.replicas_for(
        load, per_request=per_request, per_pod=0.05, pod_size=2.0, target=0.6
    ).pods
    assert pods.shape == (4, 3)
    assert pods[:, 0].tolist() == [9, 11, 9, 11]


def test_memory_can_bind_before_cpu() -> None:
    cpu = replicas.replicas_for(120, target=0.6, **AFTER).pods
    memory = replicas.replicas_for(120, per_request=0.2, per_pod=1.0, pod_size=4.0, target=0.8).pods
    need = replicas.largest_need({"cpu_cores": cpu, "memory_gib": memory})
    assert float(need.pods) == 11
    assert str(need.binding) == "cpu_cores"
    crowded = replicas.largest_need({"cpu_cores": cpu, "memory_gib": memory + 5})
    assert str(crowded.binding) == "memory_gib"


def test_bounds_report_what_the_maximum_withholds() -> None:
    held = replicas.bounded([2, 30, 70, np.inf], minimum=6, maximum=60)
    assert held.pods.tolist() == [6, 30, 60, 60]
    assert held.short.tolist() == [0, 0, 10, np.inf]
    free = replicas.bounded([2, np.inf], minimum=6)
    assert free.pods.tolist() == [6, np.inf]
    assert free.short.tolist() == [0, 0]
    with pytest.raises(InputError, match=r"at least replicas\.min"):
        replicas.bounded(3, minimum=6, maximum=5)


def test_utilization_without_pods_is_infinite_under_load_only() -> None:
    busy = replicas.pod_utilization([10, 0], pods=0, **AFTER)
    assert busy.tolist() == [np.inf, 0]


@pytest.mark.parametrize(
    "change", [{"pod_size": 0.0}, {"target": 60.0}, {"imbalance_x": 0.9}, {"per_request": -0.1}]
)
def test_replicas_for_refuses_impossible_numbers(change: dict[str, float]) -> None:
    with pytest.raises(InputError):
        replicas.replicas_for(10, **{**AFTER, "target": 0.6, **change})


LOADS = st.floats(min_value=0, max_value=1e5)
USAGE = st.fixed_dictionaries(
    {
        "per_request": st.floats(1e-4, 1.0),
        "per_pod": st.floats(0, 0.5),
        "pod_size": st.floats(1.5, 16.0),
        "target": st.floats(0.5, 1.0),
        "imbalance_x": st.floats(1.0, 1.4),
    }
)


@settings(deadline=None, max_examples=150)
@given(load=LOADS, more=st.floats(1.0, 3.0), usage=USAGE)
def test_more_load_never_needs_fewer_pods_and_double_never_more_than_double(
    load: float, more: float, usage: dict[str, float]
) -> None:
    one = replicas.replicas_for(load, **usage)
    assert not one.infeasible
    assert replicas.replicas_for(load * more, **usage).pods >= one.pods
    assert replicas.replicas_for(load * 2, **usage).pods <= 2 * one.pods


@settings(deadline=None, max_examples=150)
@given(load=st.floats(1, 1e4), usage=USAGE)
def test_the_need_is_the_smallest_count_within_the_target(
    load: float, usage: dict[str, float]
) -> None:
    pods = float(replicas.replicas_for(load, **usage).pods)
    target = usage.pop("target")
    assert float(replicas.pod_utilization(load, pods=pods, **usage)) <= target * (1 + 1e-6)
    if pods > 1:
        assert float(replicas.pod_utilization(load, pods=pods - 1, **usage)) > target * (1 - 1e-6)


@given(need=st.integers(0, 5000), zones=st.integers(1, 6), data=st.data())
def test_zone_cover_survives_and_grows_with_zones_lost(
    need: int, zones: int, data: st.DataObject
) -> None:
    lost = data.draw(st.integers(0, zones - 1))
    total = float(replicas.zone_cover(need, zones=zones, lost=lost))
    assert total / zones * (zones - lost) >= need
    assert (total / zones - 1) * (zones - lost) < need or total == 0
    if lost:
        assert total >= float(replicas.zone_cover(need, zones=zones, lost=lost - 1))
