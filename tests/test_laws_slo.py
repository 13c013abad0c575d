"""Targets from an SLO: what is done with the bound of a rule, and what an autoscaler is told."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capmodel import laws
from capmodel.errors import InputError

POD = laws.Station(servers=8, service_s=0.010)
P99_WAIT = laws.WaitPercentile(0.99, 0.010)


def test_the_steps_from_slo_to_target() -> None:
    """Eight cores, p99 of the wait within one service time: 0.6373 in the table of exact bounds."""
    target = laws.target_utilization(POD, [laws.WaitProbability(0.3), P99_WAIT], burst_x=1.6)
    assert [bound.rule for bound in target.bounds] == ["P(wait) <= 0.3", "p99 wait <= 0.01 s"]
    assert [bound.utilization for bound in target.bounds] == pytest.approx(
        [0.7180, 0.6373], abs=5e-5
    )
    assert target.binds == "p99 wait <= 0.01 s"
    assert target.raw == target.bounds[1].utilization
    assert target.short_term == pytest.approx(target.raw / 1.1)
    assert target.utilization == pytest.approx(target.raw / 1.1 / 1.6)
    assert target.advisory


def test_the_cap_stops_a_lenient_rule_on_many_cores() -> None:
    """On 128 cores p95 R <= 5 S allows 99.3 %, where no forecast error is survived."""
    many = laws.Station(servers=128, service_s=0.010)
    target = laws.target_utilization(many, [laws.ResponsePercentile(0.95, 0.050)], burst_x=1.25)
    assert target.raw == pytest.approx(0.9932, abs=5e-5)
    assert target.binds == "hard cap 0.85"
    assert target.short_term == 0.85
    assert target.utilization == pytest.approx(0.68)
    open_cap = laws.target_utilization(
        many, [laws.ResponsePercentile(0.95, 0.050)], hard_cap=0.95, sensitivity_x=1.0
    )
    assert open_cap.binds == "hard cap 0.95"


def test_a_rule_that_never_binds_leaves_the_cap() -> None:
    target = laws.target_utilization(POD, [laws.MeanResponse(1e15)])
    assert target.raw > 0.999999
    assert target.binds == "hard cap 0.85"


@given(
    st.integers(1, 64), st.floats(0.02, 0.4), st.floats(1.5, 12.0), st.floats(1.0, 1.5),
    st.sampled_from([0.25, 1.0, 4.0]), st.sampled_from([0.5, 1.0, 3.0]),
)  # fmt: skip
def test_ten_percent_more_load_still_meets_every_rule(
    servers: int, waits: float, slack: float, burst_x: float, cs2: float, ca2: float
) -> None:
    station = laws.Station(servers, 0.010, service_scv=cs2, arrival_scv=ca2)
    longest = slack * station.response_percentile(0.99, utilization=0.0)
    slo: list[laws.Rule] = [
        laws.WaitProbability(waits),
        laws.MeanResponse(slack),
        laws.WaitPercentile(0.95, 0.010 * slack),
        laws.ResponsePercentile(0.99, longest),
    ]
    target = laws.target_utilization(station, slo, burst_x=burst_x)
    stressed = 1.1 * burst_x * target.utilization
    assert 0 < target.utilization <= 0.85 / burst_x * (1 + 1e-12)
    near = 1 + 1e-6
    assert laws.erlang_c(servers=servers, load=stressed * servers) <= waits * near
    assert station.mean_response(utilization=stressed) <= slack * 0.010 * near
    assert station.wait_percentile(0.95, utilization=stressed) <= 0.010 * slack * near
    assert station.response_percentile(0.99, utilization=stressed) <= longest * near


@pytest.mark.slow
@given(
    st.integers(1, 64), st.floats(0.0, 5.0), st.floats(0.2, 5.0), st.floats(1.01, 20.0),
    st.floats(1.01, 3.0), st.floats(0.001, 1000.0),
)  # fmt: skip
def test_stricter_is_lower_more_cores_are_higher_and_units_cancel(
    servers: int, cs2: float, ca2: float, slack: float, more: float, unit: float
) -> None:
    station = laws.Station(servers, 1.0, service_scv=cs2, arrival_scv=ca2)
    idle = station.response_percentile(0.99, utilization=0.0)

    def rules(x: float, s: float = 1.0) -> list[laws.Rule]:
        return [
            laws.WaitProbability(0.5 - 0.4 / x),
            laws.MeanResponse(x),
            laws.WaitPercentile(0.99, s * x),
            laws.ResponsePercentile(0.99, s * x * idle),
        ]

    def bounds(station: laws.Station, slo: list[laws.Rule]) -> list[float]:
        return [b.utilization for b in laws.target_utilization(station, slo).bounds]

    strict, loose = bounds(station, rules(slack)), bounds(station, rules(slack * more))
    assert all(a <= b * (1 + 1e-9) for a, b in zip(strict, loose, strict=True))
    wider = laws.Station(servers + 1, 1.0, service_scv=cs2, arrival_scv=ca2)
    assert all(
        a <= b * (1 + 1e-9) for a, b in zip(strict, bounds(wider, rules(slack)), strict=True)
    )
    scaled = laws.Station(servers, unit, service_scv=cs2, arrival_scv=ca2)
    assert bounds(scaled, rules(slack, unit)) == pytest.approx(strict, rel=1e-7)


def test_longer_requests_leave_less() -> None:
    """The same SLO in seconds, with demand rising."""
    slo = [laws.ResponsePercentile(0.99, 0.2)]
    found = [laws.target_utilization(laws.Station(4, s), slo).raw for s in (0.01, 0.02, 0.03, 0.04)]
    assert found == sorted(found, reverse=True)


def test_small_pods_have_queues_of_their_own() -> None:
    """Eight pods of 4 cores against one node of 32, at most one request in five waiting."""
    rule = [laws.WaitProbability(0.2)]
    pod, node = (laws.target_utilization(laws.Station(c, 0.01), rule).raw for c in (4, 32))
    assert (pod, node) == pytest.approx((0.5255, 0.8185), abs=5e-5)


def test_a_confirmed_target_is_no_longer_advisory() -> None:
    target = laws.target_utilization(POD, [P99_WAIT])
    for observed, advisory in ((0.114, False), (0.086, False), (0.116, True), (0.084, True)):
        checked = target.confirmed(observed_p99_s=observed, predicted_p99_s=0.1)
        assert checked.advisory is advisory
        assert checked.confirmation_error == pytest.approx(observed / 0.1 - 1)
        assert checked.utilization == target.utilization
    assert target.advisory  # the original is not changed
    again = target.confirmed(observed_p99_s=0.1, predicted_p99_s=0.1).confirmed(
        observed_p99_s=0.3, predicted_p99_s=0.1
    )
    assert again.advisory
    assert "(advisory)" in again.explain()
    with pytest.raises(InputError) as caught:
        target.confirmed(observed_p99_s=0.0, predicted_p99_s=float("nan"))
    assert [p.where for p in caught.value.problems] == ["observed_p99_s", "predicted_p99_s"]


def test_percent_of_request() -> None:
    assert laws.hpa_target_percent(0.6, limit_cores=4.0, request_cores=1.5) == 160
    assert laws.hpa_target_percent(0.7, limit_cores=2.0, request_cores=1.0) == 140  # not 139
    assert laws.hpa_target_percent(0.699, limit_cores=1.0, request_cores=1.0) == 69
    with pytest.raises(InputError, match="at least 1 % of the request"):
        laws.hpa_target_percent(0.5, limit_cores=0.1, request_cores=10.0)
    with pytest.raises(InputError) as caught:
        laws.hpa_target_percent(70, limit_cores=0.0, request_cores=-1.0)
    where = [p.where for p in caught.value.problems]
    assert where == ["target_utilization", "limit_cores", "request_cores"]


@given(st.floats(0.0, 0.95), st.integers(2, 6), st.data())
def test_losing_zones_conserves_the_load(rho: float, zones: int, data: st.DataObject) -> None:
    lost = data.draw(st.integers(0, zones - 1))
    after = laws.utilization_after_zone_loss(rho, zones=zones, lost=lost)
    assert after * (zones - lost) == pytest.approx(rho * zones)
    before = laws.utilization_before_zone_loss(after, zones=zones, lost=lost)
    assert before == pytest.approx(rho)


def test_one_zone_of_three() -> None:
    assert laws.utilization_after_zone_loss(0.5, zones=3) == pytest.approx(0.75)
    assert laws.utilization_after_zone_loss(0.8, zones=3) > 1  # told, not hidden
    assert laws.utilization_before_zone_loss(0.85, zones=3) == pytest.approx(0.85 * 2 / 3)
    with pytest.raises(InputError, match="lost: got 3 of 3 zones"):
        laws.utilization_after_zone_loss(0.5, zones=3, lost=3)
    with pytest.raises(InputError) as caught:
        laws.utilization_before_zone_loss(-0.5, zones=2.5, lost=-1)  # type: ignore[arg-type]
    assert [p.where for p in caught.value.problems] == ["rho", "zones", "lost"]


def test_bad_arguments_of_a_target() -> None:
    with pytest.raises(InputError) as caught:
        laws.target_utilization(POD, [P99_WAIT], burst_x=0.5, sensitivity_x=0.9, hard_cap=85)
    where = [p.where for p in caught.value.problems]
    assert where == ["burst_x", "sensitivity_x", "hard_cap"]
    with pytest.raises(InputError, match="declare the target utilization"):
        laws.target_utilization(POD, [])
