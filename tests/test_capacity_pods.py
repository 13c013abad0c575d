"""A pod's cores, targets and throttling: hand-worked numbers, simulations of another form."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from capmodel.capacity import pods, throttling
from capmodel.capacity.pods import PodCpu, PodSlo, Ramp
from capmodel.capacity.replicas import hpa_replicas
from capmodel.errors import InputError, ModelError
from capmodel.laws import MeanResponse, ResponsePercentile, Station, WaitProbability, rule_bound


@pytest.mark.parametrize(
    ("cores", "shares"),
    # Kubernetes documentation: cores × 1024, at least 2; 100 m is 102.4, rounded down.
    [(1.0, 1024), (0.5, 512), (0.1, 102), (0.001, 2), (0.0, 2)],
)
def test_shares_of_a_request(cores: float, shares: int) -> None:
    assert pods.cpu_shares(cores) == shares


def test_the_burst_share_is_the_request_over_all_requests_of_the_node() -> None:
    # m6i.4xlarge offers 15.89 cores; pods that request 1, 3 and 6 cores share them 1 : 3 : 6.
    pod = PodCpu(request_cores=1, node_cores=15.89, requested_on_node_cores=10)
    assert pod.burst_share_cores == pytest.approx(1.589)
    assert pod.effective_cores == pytest.approx(1.589)
    shares = [pods.cpu_shares(r) for r in (1, 3, 6)]
    assert pod.burst_share_cores == pytest.approx(15.89 * shares[0] / sum(shares))


def test_a_limit_decides_where_it_is_set_and_a_full_node_leaves_the_request() -> None:
    limited = PodCpu(request_cores=1, limit_cores=2, node_cores=15.89, requested_on_node_cores=2)
    assert (limited.effective_cores, limited.bound_by) == (2.0, "limit")
    assert limited.burst_share_cores == pytest.approx(7.945)
    full = PodCpu(request_cores=1.5, node_cores=8, requested_on_node_cores=8)
    assert (full.effective_cores, full.bound_by) == (1.5, "request")
    assert PodCpu(request_cores=1.5).effective_cores == 1.5
    assert PodCpu(request_cores=1, limit_cores=32, node_cores=8).effective_cores == 8


@pytest.mark.parametrize(
    ("fields", "where"),
    [
        ({"request_cores": 0}, "request_cores"),
        ({"request_cores": 2, "limit_cores": 1}, "limit_cores"),
        ({"request_cores": 4, "node_cores": 2}, "node_cores"),
        (
            {"request_cores": 1, "node_cores": 8, "requested_on_node_cores": 9},
            "requested_on_node_cores",
        ),
        (
            {"request_cores": 2, "node_cores": 8, "requested_on_node_cores": 1},
            "requested_on_node_cores",
        ),
    ],
)
def test_pods_that_kubernetes_would_refuse(fields: dict[str, float], where: str) -> None:
    with pytest.raises(InputError) as error:
        PodCpu(**fields)
    assert error.value.problems[0].where == where


def test_the_ramp_target_of_the_research_note() -> None:
    # U_max / (1 + g)^L with U_max 0.9, 10 % a minute, 5 minutes: 0.9 / 1.61051.
    assert pods.ramp_target(Ramp(0.10, 5, most=0.9)) == pytest.approx(0.9 / 1.61051)
    # Followed minute by minute the load just reaches the most that is allowed.
    u = pods.ramp_target(Ramp(0.07, 8, most=0.95))
    for _ in range(8):
        u *= 1.07
    assert u == pytest.approx(0.95)


def test_an_slo_target_holds_where_the_autoscaler_may_leave_the_pods() -> None:
    cpu = PodCpu(request_cores=1, limit_cores=4)
    rule = WaitProbability(0.2)
    target = pods.pod_target(cpu, slo=PodSlo(0.01, [rule]))
    bound = rule_bound(rule, Station(servers=4, service_s=0.01))
    assert target.sized_on == pytest.approx(bound)
    assert target.utilization == pytest.approx(bound / 1.1)
    assert target.hpa_percent == math.floor(100 * bound / 1.1 * 4)
    assert (target.source, target.advisory) == ("slo", True)


def test_the_margin_of_the_tolerance_is_not_taken_twice() -> None:
    # M/M/1, mean response twice the service: utilization 0.5; target 0.5 / 1.1, not / 1.21.
    target = pods.pod_target(PodCpu(request_cores=1), slo=PodSlo(0.02, [MeanResponse(2.0)]))
    assert target.utilization == pytest.approx(0.5 / 1.1)
    assert target.hpa_percent == 45
    wide = pods.pod_target(
        PodCpu(request_cores=1), slo=PodSlo(0.02, [MeanResponse(2.0)]), tolerance=0.25
    )
    assert wide.utilization == pytest.approx(0.4)


def test_the_lower_of_slo_and_ramp_decides() -> None:
    cpu = PodCpu(request_cores=1)
    slo = PodSlo(0.02, [MeanResponse(2.0)])
    steep = pods.pod_target(cpu, slo=slo, ramp=Ramp(0.2, 6))
    assert steep.source == "ramp"
    assert steep.sized_on == pytest.approx(1 / 1.2**6)
    assert steep.binds == "load +20% a minute for 6 min"
    assert pods.pod_target(cpu, slo=slo, ramp=Ramp(0.01, 2)).source == "slo"


def test_a_declared_target_wins_and_says_where_it_passes_the_slo() -> None:
    cpu = PodCpu(request_cores=1)
    slo = PodSlo(0.02, [MeanResponse(2.0)])
    target = pods.pod_target(cpu, declared=0.6, slo=slo)
    assert (target.source, target.advisory, target.hpa_percent) == ("declared", False, 60)
    assert (target.utilization, target.sized_on) == (0.6, pytest.approx(0.66))
    assert target.derived == pytest.approx(0.5 / 1.1)
    assert "0.60" in target.note
    assert "0.66" in target.note
    assert "0.45" in target.note
    assert pods.pod_target(cpu, declared=0.4, slo=slo).note == ""


def test_a_declared_target_counts_the_request_and_the_queue_the_effective_cores() -> None:
    target = pods.pod_target(PodCpu(request_cores=1, limit_cores=2), declared=0.6)
    assert (target.of_request, target.utilization, target.hpa_percent) == (0.6, 0.3, 60)
    assert math.isnan(target.derived)


def test_a_target_needs_a_source_and_an_slo_that_can_be_met() -> None:
    with pytest.raises(InputError, match="declared, slo or ramp"):
        pods.pod_target(PodCpu(request_cores=1))
    with pytest.raises(ModelError, match="idle servers"):
        pods.pod_target(PodCpu(request_cores=1), slo=PodSlo(0.1, [ResponsePercentile(0.99, 0.05)]))
    with pytest.raises(InputError, match="declared"):
        pods.pod_target(PodCpu(request_cores=1), declared=60)


def settle(load: float, per_request: float, per_pod: float, goal_cores: float) -> float:
    """Run the autoscaler from 1 pod until it rests; usage by the pods that it has itself made."""
    n = 1.0
    for _ in range(200):
        usage = per_pod + per_request * load / n
        moved = float(hpa_replicas(n, metric=usage, target=goal_cores, tolerance=0.0))
        if moved == n:
            return n
        n = moved
    return n


@pytest.mark.parametrize(("percent", "request_cores"), [(60, 2.0), (80, 1.5), (140, 0.5)])
def test_the_fixed_point_is_where_the_autoscaler_comes_to_rest(
    percent: float, request_cores: float
) -> None:
    exact = pods.hpa_settled_pods(
        120, per_request=0.102, per_pod=0.05, request_cores=request_cores, percent=percent
    )
    assert settle(120, 0.102, 0.05, percent / 100 * request_cores) == math.ceil(float(exact))


def test_shrinking_the_request_to_the_usage_never_ends_and_moving_both_changes_nothing() -> None:
    # krr#80: request 1 at 80 %; the peak is 0.8, which becomes the request; then 0.64, ...
    line = {"per_request": 0.01, "per_pod": 0.0}
    request, percent = 1.0, 80.0
    seen = []
    for _ in range(4):
        n = settle(800, goal_cores=percent / 100 * request, **line)
        seen.append(n)
        request = 0.01 * 800 / n  # what a tool that looks back then recommends
    assert seen == [10, 13, 17, 22]
    both = pods.percent_after(80, request_from=1.0, request_to=0.8)
    kept = pods.hpa_settled_pods(800, request_cores=0.8, percent=both, **line)
    assert (both, float(kept)) == (pytest.approx(100), pytest.approx(10))


def test_idle_usage_above_the_goal_never_comes_to_rest() -> None:
    line = {"per_request": 0.1, "per_pod": 0.3, "request_cores": 0.5}
    assert math.isinf(float(pods.hpa_settled_pods(10, percent=60, **line)))
    assert float(pods.hpa_settled_pods(0, percent=80, **line)) == 0


@given(
    st.floats(0.1, 4), st.floats(0.1, 4), st.floats(10, 200), st.floats(1, 1000), st.floats(0, 0.01)
)
def test_the_percentage_that_keeps_the_pods(
    old: float, new: float, percent: float, load: float, idle: float
) -> None:
    line = {"per_request": 0.05, "per_pod": idle}
    before = pods.hpa_settled_pods(load, request_cores=old, percent=percent, **line)
    other = pods.percent_after(percent, request_from=old, request_to=new)
    after = pods.hpa_settled_pods(load, request_cores=new, percent=other, **line)
    assert float(after) == pytest.approx(float(before))


def test_a_pod_in_every_zone() -> None:
    assert pods.replicas_floor(2, zones=3) == 3
    assert pods.replicas_floor(2, zones=3, per_zone=2) == 6
    assert pods.replicas_floor(0, zones=3, per_zone=0) == 0
    with pytest.raises(InputError, match="zones"):
        pods.replicas_floor(1, zones=0)


@pytest.mark.parametrize(
    ("limit", "threads", "runs", "stalls"),
    # limit × 100 ms / threads: 1 core and 4 threads run 25 ms, half a core and 10 threads 5 ms.
    [(1, 4, 0.025, 0.075), (0.5, 10, 0.005, 0.095), (4, 4, 0.1, 0.0), (4, 2, 0.1, 0.0)],
)
def test_a_quota_runs_dry(limit: float, threads: float, runs: float, stalls: float) -> None:
    assert throttling.quota_runway(limit_cores=limit, threads=threads) == (
        pytest.approx(runs), pytest.approx(stalls),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("usage", "limit", "service_s"), [(1.0, 2.0, 0.01), (1.0, 1.3, 0.001), (0.5, 1.0, 0.002)]
)
def test_throttling_agrees_with_simulated_periods_where_it_may_stand(
    usage: float, limit: float, service_s: float
) -> None:
    rng = np.random.default_rng(1)
    requests = rng.poisson(usage * 0.1 / service_s, 60_000)
    work = np.where(requests, rng.gamma(np.maximum(requests, 1), service_s), 0.0)
    left, stopped = 0.0, 0
    for asked in work:
        stopped += left + asked > limit * 0.1
        left = max(left + asked - limit * 0.1, 0.0)
    estimate = throttling.throttling(usage_cores=usage, limit_cores=limit, service_s=service_s)
    assert not estimate.measure
    # Within a tenth of the limit of 5 %.
    assert estimate.share == pytest.approx(stopped / len(work), abs=0.005)


def test_throttling_must_be_measured_where_the_estimate_cannot_stand() -> None:
    full = throttling.throttling(usage_cores=1.7, limit_cores=2, service_s=0.01)
    assert full.measure
    assert "carried" in full.reason
    long = throttling.throttling(usage_cores=0.1, limit_cores=2, service_s=0.08)
    assert long.measure
    assert "no small part" in long.reason
    often = throttling.throttling(usage_cores=1.4, limit_cores=2, service_s=0.01)
    assert often.share > 0.05
    assert often.measure


def test_the_mean_of_a_minute_hides_throttling() -> None:
    # Half of the limit on the mean, and yet stopped once in 30 periods: three times a second.
    half = throttling.throttling(usage_cores=1.0, limit_cores=2.0, service_s=0.01)
    assert 0.02 < half.share < 0.05
    bursty = throttling.throttling(usage_cores=1.0, limit_cores=2.0, service_s=0.01, dispersion=4)
    assert bursty.share > 2 * half.share


def test_nothing_throttles_without_a_limit_or_without_threads() -> None:
    free = throttling.throttling(usage_cores=9, limit_cores=None, service_s=0.01)
    assert (free.share, free.measure, free.reason) == (0.0, False, "no CPU limit")
    few = throttling.throttling(usage_cores=1.9, limit_cores=2, service_s=0.01, threads=2)
    assert few.share == 0.0


def test_a_start_needs_its_limit_and_its_node() -> None:
    free = throttling.start_up(3, PodCpu(request_cores=1), node_free_cores=2)
    assert (free.available_cores, free.fits) == (3.0, True)
    limited = throttling.start_up(3, PodCpu(request_cores=1, limit_cores=1.5), node_free_cores=8)
    assert (limited.slower_x, limited.fits) == (2.0, False)
    crowd = throttling.start_up(3, PodCpu(request_cores=1), node_free_cores=2, starting=4)
    assert crowd.slower_x == pytest.approx(3 / 1.5)


@given(st.floats(0.05, 1.9), st.floats(1.0, 1.5))
def test_more_usage_never_throttles_less(usage: float, more: float) -> None:
    shares = [
        throttling.throttling(usage_cores=u, limit_cores=2, service_s=0.01).share
        for u in (usage, usage * more)
    ]
    assert shares[1] >= shares[0] - 1e-12
