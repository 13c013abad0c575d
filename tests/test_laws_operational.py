"""Operational laws: a worked check, planted logs, and bounds that no exact solution crosses."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from capmodel import laws
from capmodel.errors import InputError

TIMES = st.floats(0.001, 10.0)


def test_demand_of_a_measured_interval() -> None:
    """Eight cores at 42 % for 300 s, 51,000 completions."""
    demand = laws.service_demand(busy_servers=0.42 * 8, throughput=51_000 / 300)
    assert demand == pytest.approx(0.0197647058823529, rel=1e-14)
    assert laws.utilization(throughput=170, service_s=demand, servers=8) == pytest.approx(0.42)


def test_laws_hold_on_a_log_of_requests() -> None:
    """Little's and the utilization law are identities of any log that starts and ends empty."""
    rng = np.random.default_rng(7)
    arrive = np.sort(rng.uniform(0, 90, 400))
    free, leave, served = 0.0, [], rng.gamma(2.0, 0.08, 400)
    for at, need in zip(arrive, served, strict=True):
        free = max(free, at) + need
        leave.append(free)
    total_s = max(leave)
    edges = np.sort(np.concatenate([arrive, leave]))
    middle = (edges[1:] + edges[:-1]) / 2
    inside = [(arrive < t).sum() - (np.array(leave) < t).sum() for t in middle]
    in_flight = float(np.dot(inside, np.diff(edges))) / total_s
    throughput, response = 400 / total_s, float(np.mean(np.array(leave) - arrive))
    assert laws.little(throughput=throughput, response_s=response) == pytest.approx(in_flight)
    assert laws.little(in_flight=in_flight, response_s=response) == pytest.approx(throughput)
    assert laws.little(in_flight=in_flight, throughput=throughput) == pytest.approx(response)
    busy = float(served.sum()) / total_s
    assert laws.utilization(throughput=throughput, service_s=float(served.mean())) == pytest.approx(
        busy
    )


def test_calls_of_a_request_add_up_to_its_demand() -> None:
    """A request that calls a database 2.5 times for 4 ms needs 10 ms of it: D = V·S."""
    calls = laws.forced_flow(throughput=40.0, visits=2.5)
    assert calls == 100.0
    busy = laws.utilization(throughput=calls, service_s=0.004)
    assert laws.service_demand(busy_servers=busy, throughput=40.0) == pytest.approx(0.010)


@given(st.integers(1, 8), TIMES, st.integers(1, 200), st.floats(0.0, 20.0))
def test_interactive_response_agrees_with_the_finite_population(
    servers: int, service_s: float, customers: int, think_s: float
) -> None:
    state = laws.finite_population(
        servers=servers, service_s=service_s, customers=customers, think_s=think_s
    )
    response = laws.interactive_response(
        customers=customers, throughput=state.throughput, think_s=think_s
    )
    assert response == pytest.approx(state.response_s, rel=1e-6, abs=1e-9 * think_s)


def test_knee_and_bounds_of_three_centres() -> None:
    bounds = laws.bottleneck_bounds([0.010, 0.025, 0.040], customers=[1, 10, 40], think_s=0.5)
    assert bounds.knee_customers == pytest.approx(14.375, rel=1e-14)
    assert bounds.bottleneck == 2
    np.testing.assert_allclose(bounds.throughput_most, [1 / 0.575, 10 / 0.575, 25.0])
    np.testing.assert_allclose(bounds.response_least_s, [0.075, 0.075, 1.1])


@given(st.lists(TIMES, min_size=1, max_size=4), st.integers(1, 60), st.floats(0.0, 30.0))
def test_no_exact_solution_crosses_the_bounds(
    demands: list[float], customers: int, think_s: float
) -> None:
    bounds = laws.bottleneck_bounds(demands, customers=customers, think_s=think_s)
    exact = laws.closed_mva(demands, customers=customers, think_s=think_s)
    assert exact.throughput <= float(bounds.throughput_most) * (1 + 1e-12)
    assert exact.response_s >= float(bounds.response_least_s) * (1 - 1e-9)


@given(st.lists(TIMES, min_size=1, max_size=4), st.floats(0.0, 30.0), st.floats(0.01, 1000))
def test_a_unit_of_time_scales_only_times(
    demands: list[float], think_s: float, unit: float
) -> None:
    one = laws.bottleneck_bounds(demands, customers=9, think_s=think_s)
    other = laws.bottleneck_bounds([unit * d for d in demands], customers=9, think_s=unit * think_s)
    assert other.knee_customers == pytest.approx(one.knee_customers)
    assert float(other.response_least_s) == pytest.approx(unit * float(one.response_least_s))
    assert float(other.throughput_most) == pytest.approx(float(one.throughput_most) / unit)


def test_little_wants_exactly_two() -> None:
    with pytest.raises(InputError, match="two of in_flight, throughput and response_s"):
        laws.little(throughput=3.0)
    with pytest.raises(InputError, match="got in_flight, throughput, response_s"):
        laws.little(in_flight=1.0, throughput=3.0, response_s=0.3)
    assert laws.little(throughput=0.0, response_s=5.0) == 0.0
    with pytest.raises(InputError, match=r"throughput: got 0\.0; expected a finite number > 0"):
        laws.little(in_flight=1.0, throughput=0.0)


def test_more_throughput_than_users_offer_is_a_wrong_measurement() -> None:
    with pytest.raises(InputError, match="expected at most 10/s"):
        laws.interactive_response(customers=10, throughput=11.0, think_s=1.0)


def test_every_bad_argument_is_named_at_once() -> None:
    with pytest.raises(InputError) as caught:
        laws.utilization(throughput=-1.0, service_s=float("nan"), servers=2.5)  # type: ignore[arg-type]
    assert [p.where for p in caught.value.problems] == ["throughput", "service_s", "servers"]
    with pytest.raises(InputError, match="Without completions no demand"):
        laws.service_demand(busy_servers=1.0, throughput=0.0)
    with pytest.raises(InputError, match="visits"):
        laws.forced_flow(throughput=1.0, visits=float("inf"))
    with pytest.raises(InputError, match="Name a resource that works"):
        laws.bottleneck_bounds([0.0, 0.0], customers=3)
    with pytest.raises(InputError, match="an empty array"):
        laws.bottleneck_bounds([], customers=3)
    with pytest.raises(InputError, match="'fast'"):
        laws.bottleneck_bounds("fast", customers=3)
