from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from capmodel.capacity.curves import (
    ConnectionsCurve,
    LinearCurve,
    NodesCurve,
    PodsCurve,
    PodsOnPool,
    PooledCaller,
    curve_from_dict,
    multiple_at,
    sweep_points,
)

AnyCurve = LinearCurve | ConnectionsCurve | NodesCurve


def pooled(name: str, pods: float, per_pod: int, **bounds: int) -> PooledCaller:
    return PooledCaller(name=name, pods=PodsCurve(slope=pods, **bounds), per_pod=per_pod)


# Story A5: a 16-vCPU writer and three callers with 1,425 of 4,000 connections today.
CPU = LinearCurve(constant=0.4, slope=0.00156 * 2000)
CONNECTIONS = ConnectionsCurve(
    callers=(
        pooled("checkout-api", 40, 20),
        pooled("account-service", 15, 15),
        pooled("ledger", 20, 20),
    )
)

slopes = st.floats(0, 50)
bounds = st.tuples(st.integers(0, 5), st.none() | st.integers(5, 300))
pods_curves = st.builds(
    lambda slope, b: PodsCurve(slope=slope, minimum=b[0], maximum=b[1]), slopes, bounds
)
curves: st.SearchStrategy[AnyCurve] = st.one_of(
    st.builds(LinearCurve, constant=st.floats(0, 10), slope=slopes),
    st.builds(
        ConnectionsCurve,
        callers=st.lists(
            st.builds(
                PooledCaller,
                name=st.just("api"),
                pods=pods_curves,
                per_pod=st.integers(0, 50),
                surge=st.sampled_from([0.0, 0.25]),
            ),
            max_size=3,
        ).map(tuple),
    ),
    st.builds(
        NodesCurve,
        zones=st.integers(1, 4),
        usable=st.just((14.9, 54.2, 234.0)),
        services=st.lists(
            st.builds(
                PodsOnPool,
                name=st.just("api"),
                pods=pods_curves,
                requests=st.sampled_from([(2.0, 4.0, 1.0), (0.25, 8.0, 1.0)]),
            ),
            min_size=1,
            max_size=3,
        ).map(tuple),
    ),
)
multiples = st.floats(0, 20)


def test_story_a5_where_the_limits_bind() -> None:
    assert multiple_at(CONNECTIONS, 0.85 * 4000) == pytest.approx(2.386, abs=5e-4)  # 3400 / 1425
    assert multiple_at(CONNECTIONS, 4000) == pytest.approx(2.807, abs=5e-4)  # 4000 / 1425
    assert multiple_at(CPU, 0.70 * 16) == pytest.approx(3.462, abs=5e-4)  # (11.2 - 0.4) / 3.12


def test_story_a5_the_sweep_at_three_times_today() -> None:
    (cpu,) = sweep_points(CPU, hard=16, policy_x=0.70, multiples=[3])
    assert (round(cpu.utilization, 3), cpu.status) == (0.610, "GREEN")
    (connections,) = sweep_points(CONNECTIONS, hard=4000, policy_x=0.85, multiples=[3.0])
    assert (connections.usage, connections.status) == (4275, "RED")
    assert connections.utilization == pytest.approx(1.06875)


def test_statuses_change_above_their_bounds_not_at_them() -> None:
    line = LinearCurve(constant=0, slope=1)
    points = sweep_points(line, hard=10, policy_x=0.5, multiples=[5, 5.1, 10, 10.1])
    assert [p.status for p in points] == ["GREEN", "AMBER", "AMBER", "RED"]


@given(curve=curves, x=multiples, more=multiples, integer=st.booleans())
def test_more_traffic_never_uses_less(
    curve: AnyCurve, x: float, more: float, *, integer: bool
) -> None:
    low, high = sorted([x, more])
    assert curve.usage(low, integer=integer) <= curve.usage(high, integer=integer) + 1e-9


@given(curve=curves, x=multiples)
def test_whole_pods_and_nodes_are_never_fewer_than_continuous(curve: AnyCurve, x: float) -> None:
    # ceil ignores 1e-9 of a unit, times at most 50 connections, three callers and 1.25 of surge.
    assert curve.usage(x) >= curve.usage(x, integer=False) - 1e-6


@given(curve=curves, bound=st.floats(0.01, 500))
def test_multiple_at_inverts_usage(curve: AnyCurve, bound: float) -> None:
    x = multiple_at(curve, bound)
    if x == 0:
        assert curve.usage(0, integer=False) >= bound
    elif math.isinf(x):
        assert curve.usage(1e5, integer=False) < bound
    else:
        assert curve.usage(x, integer=False) == pytest.approx(bound, rel=1e-9)
        assert curve.usage(x * (1 - 1e-9), integer=False) <= bound


@given(curve=curves, x=multiples)
def test_a_saved_curve_is_the_same_curve(curve: AnyCurve, x: float) -> None:
    again = curve_from_dict(json.loads(json.dumps(curve.model_dump(mode="json"))))
    assert again == curve
    assert again.usage(x) == curve.usage(x)


def test_a_curve_of_an_unknown_kind_is_refused() -> None:
    with pytest.raises(ValidationError, match="kind"):
        curve_from_dict({"kind": "cubic", "constant": 1.0, "slope": 1.0})


def test_the_autoscalers_maximum_ends_the_rise() -> None:
    capped = ConnectionsCurve(callers=(pooled("api", 40, 20, maximum=100),))
    assert capped.usage(9.0) == 2000
    assert multiple_at(capped, 2000.1) == math.inf
    assert multiple_at(capped, 2000) == pytest.approx(2.5)


def test_the_autoscalers_minimum_may_bind_without_traffic() -> None:
    assert multiple_at(ConnectionsCurve(callers=(pooled("api", 1, 20, minimum=6),)), 120) == 0


def test_surge_rounds_each_callers_pods_up() -> None:
    caller = pooled("api", 10, 20).model_copy(update={"surge": 0.25})
    # 10 pods and a quarter more: 12.5, that is 13 pods of 20 connections.
    assert caller.connections(1.0) == 260
    assert caller.connections(1.0, integer=False) == 250


def test_nodes_by_hand() -> None:
    """90 pods of 2 cores over 3 zones: 30 a zone, 60 cores on nodes of 15."""
    api = PodsOnPool(name="api", pods=PodsCurve(slope=30), requests=(2.0, 4.0, 1.0))
    curve = NodesCurve(zones=3, usable=(15.0, 54.0, 234.0), services=(api,))
    assert curve.usage(3.0) == 3 * 4  # 60 / 15 = 4, exactly full
    assert curve.usage(3.01) == 3 * 5  # one pod more in each zone
    assert curve.usage(3.0, integer=False) == pytest.approx(12)
    fat = api.model_copy(update={"requests": (2.0, 9.0, 1.0)})
    memory = NodesCurve(zones=3, usable=(15.0, 54.0, 234.0), services=(fat,))
    assert memory.usage(3.0) == 3 * 5  # 30 * 9 GiB = 270 = 5 * 54
