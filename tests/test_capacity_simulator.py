from __future__ import annotations

import numpy as np
import pytest

from capmodel.capacity.simulator import (
    Autoscaler,
    Cluster,
    DatabaseSpec,
    NodePool,
    Queue,
    Retries,
    ScalePolicy,
    ServiceSpec,
    Shed,
    retry_factor,
    simulate,
)
from capmodel.capacity.simulator.arrays import arrays_of
from capmodel.capacity.simulator.demand import from_minutes, ramp, step
from capmodel.errors import InputError

HPA = Autoscaler(target=0.6, min_pods=1, max_pods=200)
AT_ONCE = HPA.model_copy(update={"metric_delay_s": 0.0})
# 10 pods of one core, 100 requests per second and pod: 600 rps are 60 %.
API = ServiceSpec(
    name="api",
    per_request_core_s=0.01,
    requested_cores=1.0,
    effective_cores=1.0,
    pods=10,
    autoscaler=HPA,
)
NODES = NodePool(cores=5.0, memory_gib=64.0, max_pods=58, max_nodes=100, launch_per_min=60.0)


def cluster(*services, nodes=None, databases=(), **changes):
    services = services or (API,)
    services = tuple(ServiceSpec(**{**dict(s), **changes}) for s in services)
    return Cluster(services=services, nodes=nodes, databases=databases)


def traced(estate, offered, **options):
    hour = simulate(estate, offered, keep_trace=True, **options)
    assert hour.trace is not None
    return hour, hour.trace


def replicas(estate, offered):
    return traced(estate, offered)[1].replicas[:, 0, 0].tolist()


@pytest.mark.parametrize(
    ("factor", "survives", "minutes"),
    # 60 % times 1.5 is 90 %; 60 % times 1.66 is 99.6 %; twice the load is 120 %. Pods come after
    # 60 s of metric, a sync of 15 s and 45 s of start: two minutes.
    [(1.0, True, 0), (1.5, True, 0), (1.66, True, 0), (1.7, False, 2), (2.0, False, 2)],
)
def test_a_step_at_a_target_of_60_percent(factor, survives, minutes) -> None:
    hour = simulate(cluster(), step(600, factor=factor, at_min=5, minutes=30))
    assert bool(hour.survives[0]) is survives
    assert hour.minutes_above_hard.item() == minutes
    assert hour.queued.item() == 0


@pytest.mark.parametrize(("ratio", "pods"), [(1.09, 10), (1.10, 10), (1.11, 12), (0.91, 10)])
def test_the_tolerance_on_the_documented_ratios(ratio, pods) -> None:
    # Kubernetes documentation, "Algorithm details": ceil(10 * 1.11) = 12; nothing within 0.1.
    assert replicas(cluster(autoscaler=AT_ONCE), np.full(30, 600 * ratio))[-1] == pods


@pytest.mark.parametrize(
    ("pods", "up", "path"),
    [
        # The default, 4 pods or 100 % per 15 s, whichever is more: 2 + 4, then doubling.
        (2, ScalePolicy(max_pods=4, max_percent=100), [2, 6, 12, 24, 48, 96]),
        (3, ScalePolicy(max_pods=4, max_percent=100), [3, 7, 14, 28, 56, 112]),
        (10, ScalePolicy(max_pods=4, max_percent=0), [10, 14, 18, 22, 26, 30]),
        # 15 % of 10, rounded up, and so on.
        (10, ScalePolicy(max_pods=0, max_percent=15), [10, 12, 14, 17, 20, 23]),
        # Four pods per minute: the period slides.
        (2, ScalePolicy(max_pods=4, max_percent=0, period_s=60), [2, 6, 6, 6, 6, 10]),
        (10, ScalePolicy(max_pods=0, max_percent=0), [10] * 6),
    ],
)
def test_scaling_up_is_limited_per_period(pods, up, path) -> None:
    fast = AT_ONCE.model_copy(update={"target": 0.01, "up": up})
    estate = cluster(pods=pods, autoscaler=fast, pod_start_s=0.0)
    assert replicas(estate, np.full(6, 1e6)) == path


def test_scaling_down_waits_300_seconds_for_the_highest_recommendation() -> None:
    # The last recommendation of ten pods is that of tick 9; 20 ticks later it no longer counts.
    offered = np.repeat([600.0, 300.0], [10, 40])
    path = replicas(cluster(autoscaler=AT_ONCE), offered)
    assert path == [10.0] * 30 + [5.0] * 20
    # A return to ten pods inside the window starts it anew.
    offered[20] = 600.0
    assert replicas(cluster(autoscaler=AT_ONCE), offered) == [10.0] * 41 + [5.0] * 9


def test_scaling_down_follows_its_window_policy_and_minimum() -> None:
    offered = np.zeros(12)
    now = AT_ONCE.model_copy(update={"down_window_s": 0.0, "min_pods": 3})
    assert replicas(cluster(autoscaler=now), offered)[:3] == [10, 3, 3]
    slow = now.model_copy(update={"down": ScalePolicy(max_pods=2, max_percent=0, period_s=30)})
    assert replicas(cluster(autoscaler=slow), offered)[:9] == [10, 8, 8, 6, 6, 4, 4, 3, 3]
    off = now.model_copy(update={"down": ScalePolicy(max_pods=0, max_percent=0)})
    assert set(replicas(cluster(autoscaler=off), offered)) == {10}


def test_services_keep_their_own_windows_and_metrics() -> None:
    quick = AT_ONCE.model_copy(update={"down_window_s": 60.0})
    late = HPA.model_copy(update={"metric_delay_s": 30.0, "sync_s": 60.0})
    services = [
        API.model_copy(update={"name": name, "autoscaler": autoscaler})
        for name, autoscaler in (("a", AT_ONCE), ("b", quick), ("c", late), ("d", None))
    ]
    offered = np.repeat(np.repeat([600.0, 300.0], [10, 40])[None, :, None], 4, axis=2)
    _, trace = traced(cluster(*services), offered)
    first_low = (trace.replicas[:, 0] < 10).argmax(axis=0)
    # c sees tick 10 at its first sync after 30 s, tick 12; its last high one is that of tick 8,
    # out of the window at tick 28. d has no autoscaler.
    assert first_low.tolist() == [30, 14, 29, 0]
    assert (trace.replicas[:, 0, 3] == 10).all()


def test_pods_that_start_are_not_asked_for_twice() -> None:
    # At 100 % of a core the ratio is 1.67: 17 pods, as long as no new one has been seen.
    path = replicas(cluster(pod_start_s=600.0), step(600, factor=3, at_min=5, minutes=12))
    assert set(path[:25]) == {10}
    assert set(path[25:]) == {17}


def test_startup_cpu_of_ready_pods_takes_capacity_and_scales() -> None:
    warm = {"warm_up_s": 120.0, "startup_cores": 0.9}
    offered = step(600, factor=2, at_min=5, minutes=30)
    cold = simulate(cluster(**warm, ready="after_start"), offered)
    held = simulate(cluster(**warm), offered)
    plain = simulate(cluster(), offered)
    # Ready at once with a tenth of a core, or two minutes later with a whole one.
    assert plain.minutes_above_hard.item() == 2
    assert held.minutes_above_hard.item() == 4
    assert 2 < cold.minutes_above_hard.item() <= 4
    assert cold.peak_pods.item() > plain.peak_pods.item()


def test_priors_add_up_to_the_quoted_two_to_four_minutes() -> None:
    offered = step(600, factor=2, at_min=5, minutes=30)
    traces = [traced(estate, offered)[1] for estate in (cluster(), cluster(nodes=NODES))]
    reaction = [float((trace.ready[:, 0, 0] > 10).argmax() - 20) / 4 for trace in traces]
    assert reaction == [2.0, 4.0]


def test_nodes_arrive_at_the_launch_rate() -> None:
    pool = NODES.model_copy(update={"launch_per_min": 1.0, "node_start_s": 0.0})
    estate = cluster(nodes=pool, autoscaler=None, pods=5, pod_start_s=0.0)
    hour, trace = traced(estate, np.zeros(16), pre_scale={"api": 20}, order_s=0.0)
    # One node per four ticks, the first at the end of tick 3; five pods each.
    assert trace.nodes[:, 0].tolist() == [1] * 4 + [2] * 4 + [3] * 4 + [4] * 4
    assert (trace.ready[:, 0, 0] == 5 * trace.nodes[:, 0]).all()
    assert hour.peak_unplaced.item() == 15


def test_a_pod_takes_the_tightest_share_of_a_node() -> None:
    pool = NodePool(cores=15.9, memory_gib=57.0, max_pods=20, max_nodes=9, launch_per_min=1)
    sizes = [(3.0, 1.0), (0.5, 8.0), (0.1, 0.1)]
    services = [
        API.model_copy(update={"name": str(k), "requested_cores": cores, "memory_gib": memory})
        for k, (cores, memory) in enumerate(sizes)
    ]
    # 15.9 / 3 is 5 pods by cores, 57 / 8 is 7 by memory, 20 by count.
    shares = arrays_of(cluster(*services, nodes=pool)).node_share
    assert (1 / shares).round(9).tolist() == [5, 7, 20]


def test_the_first_service_gets_the_room_and_spare_nodes_are_ready() -> None:
    second = API.model_copy(update={"name": "second"})
    estate = cluster(API, second, nodes=NODES.model_copy(update={"spare_nodes": 1}))
    offered = np.stack([step(600, factor=1.6, at_min=5, minutes=12)] * 2, axis=-1)[None]
    ready = traced(estate, offered)[1].ready[:, 0]
    # Ten pods each on four nodes, five more places on the spare one, six asked for by each.
    at_two_minutes = ready[28]
    assert at_two_minutes.tolist() == [15, 10]
    assert ready[-1].tolist() == [16, 16]


def test_pods_beyond_the_table_of_connections_do_not_serve() -> None:
    table = DatabaseSpec(name="core-db", max_connections=105)
    estate = cluster(databases=[table], pods=8, pools={"core-db": 20}, autoscaler=None)
    hour, trace = traced(estate, np.full(8, 600.0))
    assert set(trace.ready.ravel().tolist()) == {5}
    assert hour.peak_refused_pods.item() == 3
    assert (hour.peak_connections.item(), hour.peak_wanted_connections.item()) == (100, 160)
    assert hour.minutes_above_hard.item() == 2  # 600 rps on five pods


def test_connections_open_at_the_ramp() -> None:
    table = DatabaseSpec(name="core-db", max_connections=1000, ramp_per_s=1.0)
    estate = cluster(
        databases=[table], pods=1, pools={"core-db": 20}, autoscaler=None, pod_start_s=0.0
    )
    _, trace = traced(estate, np.zeros(9), pre_scale={"api": 5}, order_s=0.0)
    # 15 connections a tick, what is left is kept: 30, 25 and 20 suffice for a pod, then 15 do not.
    assert trace.ready[:, 0, 0].tolist() == [1, 2, 3, 4, 4, 5, 5, 5, 5]
    slow = table.model_copy(update={"ramp_per_s": 0.5})
    estate = cluster(
        databases=[slow], pods=1, pools={"core-db": 20}, autoscaler=None, pod_start_s=0.0
    )
    _, trace = traced(estate, np.zeros(9), pre_scale={"api": 5}, order_s=0.0)
    # 7.5 a tick: 15, 22.5; then 10, 17.5, 25; then 12.5, 20; then 7.5.
    assert trace.ready[:, 0, 0].tolist() == [1, 1, 2, 2, 2, 3, 3, 4, 4]


def test_a_queue_is_first_come_first_served_until_the_timeout() -> None:
    # One pod, 1,500 requests a tick; four ticks of twice that, then none; a wait of two ticks.
    # Ticks 4 and 5 each serve half of what came two ticks before and let the rest expire.
    estate = cluster(pods=1, autoscaler=None, overload=Queue(timeout_s=30.0))
    hour, trace = traced(estate, np.repeat([200.0, 0.0], [4, 6]))
    assert (trace.backlog[:, 0, 0] / 1500).tolist() == [1, 2, 3, 4, 2, 0, 0, 0, 0, 0]
    assert (hour.served.item(), hour.expired.item(), hour.refused.item()) == (9000, 3000, 3000)
    assert hour.lost.item() == 3000
    assert (hour.largest_backlog.item(), hour.drain_s.item()) == (6000, 30)
    assert (hour.first_above_hard_s.item(), hour.last_above_hard_s.item()) == (0, 60)


def test_a_queue_without_a_timeout_serves_all_and_says_when_it_is_empty() -> None:
    estate = cluster(pods=1, autoscaler=None, overload=Queue(timeout_s=None))
    offered = np.repeat([200.0, 50.0], [4, 20])
    hour = simulate(estate, offered)
    # 4 ticks of backlog at half a tick per tick: 8 ticks.
    assert (hour.refused.item(), hour.queued.item(), hour.drain_s.item()) == (0, 0, 120)
    short = simulate(estate, offered[:10])
    assert np.isinf(short.drain_s.item())
    assert short.queued.item() == 1500


def test_shedding_refuses_above_its_share_and_keeps_no_backlog() -> None:
    estate = cluster(autoscaler=None, overload=Shed(above=0.8))
    hour = simulate(estate, np.full(4, 1000.0))
    assert (hour.served.item(), hour.refused.item()) == (48_000, 12_000)
    assert (hour.minutes_above_hard.item(), hour.largest_backlog.item()) == (0, 0)


@pytest.mark.slow
@pytest.mark.parametrize("attempts", [1, 2, 3, 5])
def test_retries_settle_at_the_closed_form(attempts) -> None:
    # Ten times the capacity is offered and the rest shed; in the steady state the calls of a tick
    # are first calls times the closed form of the share that is refused.
    estate = cluster(autoscaler=None, overload=Shed(), retries=Retries(attempts=attempts))
    long, longer = (simulate(estate, np.full(ticks, 10_000.0)) for ticks in (200, 201))
    calls = 150_000 + (longer.retried - long.retried).item()
    refused = (longer.refused - long.refused).item()
    factor = retry_factor(refused / calls, attempts=attempts)
    assert calls / 150_000 == pytest.approx(float(factor), rel=1e-9)


@pytest.mark.parametrize("overload", [Shed(), Queue(timeout_s=30.0)])
def test_a_retry_budget_caps_the_calls_at_1_1(overload) -> None:
    estate = cluster(autoscaler=None, overload=overload, retries=Retries(attempts=3, budget=0.1))
    hour = simulate(estate, np.full(100, 10_000.0))
    sent = (hour.retried + hour.retry_due).item()
    ticks_that_failed = 100 if isinstance(overload, Shed) else 98  # none expires before tick 2
    assert sent == pytest.approx(0.1 * 150_000 * ticks_that_failed)


def test_expired_calls_keep_the_attempt_that_they_were() -> None:
    # One tick of first calls, two attempts, nothing served but 1,500: what expires after two ticks
    # is called once more, and what expires again is given up.
    estate = cluster(
        pods=1, autoscaler=None, overload=Queue(timeout_s=15.0), retries=Retries(attempts=2)
    )
    hour = simulate(estate, np.repeat([1000.0, 0.0], [1, 20]))
    # 15,000 come: 1,500 + 1,500 served, 12,000 expire at the end of tick 1 and come in tick 2.
    assert hour.retried.item() == 12_000
    assert hour.served.item() == 6_000
    assert hour.lost.item() == 9_000


def test_demand_helpers_keep_sums_and_draws() -> None:
    rng = np.random.default_rng(1)
    minutes = rng.uniform(1, 9, (3, 5, 2))
    ticks = from_minutes(minutes)
    assert ticks.shape == (3, 20, 2)
    assert ticks.reshape(3, 5, 4, 2).mean(axis=2) == pytest.approx(minutes)
    line = from_minutes(np.arange(6.0), within="linear")
    assert np.diff(line[2:-2]) == pytest.approx(0.25)
    assert from_minutes([7.0], within="linear").tolist() == [7.0] * 4
    assert ramp(1, factor=3, at_min=1, rise_min=0, minutes=2).tolist() == [1.0] * 4 + [3.0] * 4


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: step(1, factor=2, at_min=5, minutes=5), "before the end"),
        (lambda: step(1, factor=2, at_min=0.1, minutes=5), "multiple of 0.25"),
        (lambda: from_minutes(np.zeros((2, 0))), "none empty"),
    ],
)
def test_times_that_make_no_event_are_refused(call, message) -> None:
    with pytest.raises(InputError, match=message):
        call()


def test_results_come_as_frames() -> None:
    table = DatabaseSpec(name="core-db", max_connections=500)
    second = API.model_copy(update={"name": "second"})
    estate = cluster(API, second, databases=[table], pools={"core-db": 10}, nodes=NODES)
    offered = np.full((3, 8, 2), 600.0)
    offered[2, :, 1] = 1200.0
    hour = simulate(estate, offered)
    frame = hour.to_frame()
    assert frame["service"].tolist() == ["api", "second"] * 3
    assert frame["minutes_above_hard"].tolist() == [0, 0, 0, 0, 0, 2]
    assert hour.share_surviving == pytest.approx(2 / 3)
    draws = hour.to_frame("draws")
    assert draws["survives"].tolist() == [True, True, False]
    assert draws["peak_connections_core-db"].tolist() == [200, 200, 200]
    with pytest.raises(InputError, match='Did you mean "draws"'):
        hour.to_frame("draw")
