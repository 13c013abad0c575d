from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from capmodel.capacity.replicas import ceil_units
from capmodel.capacity.use import (
    POD_RESOURCES,
    ServiceUse,
    database_use,
    pod_uses,
    targets_of,
)
from capmodel.topology import Hold, Policy
from capmodel.usage import LinearUsage, declared_usage

DRAWS = 2000
PLANNED = {"cpu_cores": 0.60, "memory_gib": 0.80}
HARD = {"cpu_cores": 1.0, "memory_gib": 1.0}


def cpu(per_request: float, *, per_pod: float = 0.05, seen: float = math.nan) -> LinearUsage:
    stated = declared_usage(
        "underwriting", "cpu_cores", {"per_pod": per_pod, "per_request": per_request}
    )
    return dataclasses.replace(stated, load_per_pod_max=seen)


def service(*fits: LinearUsage, request: float = 2.0, **changes: object) -> ServiceUse:
    base = ServiceUse(
        name="underwriting",
        uses=tuple(
            use
            for f in fits
            for use in pod_uses(
                f, request=request if f.resource == "cpu_cores" else 4.0, draws=DRAWS, seed=7
            )
        ),
        imbalance_x=1.1,
        today_rps=40.0,
        today_pods=6,
        minimum=1,
        maximum=60,
    )
    return dataclasses.replace(base, **changes)  # type: ignore[arg-type]


def pods(use: ServiceUse, load: float, *, hard: bool = False) -> float:
    need = use.pods(np.array([[load]]), targets=HARD if hard else PLANNED, hard=hard)
    assert len(np.unique(need)) == 1
    return float(ceil_units(need.flat[0]))


@pytest.mark.parametrize(
    # Story A4 at 60 % of 2 cores: 120 * 0.085 / 1.15 = 8.9; after the deploy 12.24 / 1.15 = 10.6.
    ("per_request", "needed"),
    [(0.085, 9), (0.102, 11)],
)
def test_story_a4_pods_before_and_after_the_deploy(per_request: float, needed: int) -> None:
    assert pods(service(cpu(per_request)), 120.0) == needed


def test_imbalance_counts_against_the_hard_value_only() -> None:
    # Hard: the hottest pod, 1.1 times the mean, stays at 2 cores: 1.1 * (0.05 n + 12.24) <= 2 n.
    use = service(cpu(0.102))
    assert pods(use, 120.0, hard=True) == math.ceil(1.1 * 12.24 / (2 - 1.1 * 0.05)) == 7
    even = dataclasses.replace(use, imbalance_x=1.0)
    assert pods(even, 120.0) == pods(use, 120.0) == 11
    assert pods(even, 120.0, hard=True) == math.ceil(12.24 / 1.95)


def test_pods_per_load_agrees_with_pods_for_the_mean_and_the_hottest() -> None:
    # Continuous: 0.102 / (1.2 - 0.05) and 1.1 * 0.102 / (2 - 1.1 * 0.05) pods per request.
    use = service(cpu(0.102))
    assert use.pods_per_load(PLANNED) == pytest.approx(0.102 / 1.15)
    assert use.pods_per_load(HARD, hard=True) == pytest.approx(1.1 * 0.102 / 1.945)
    for targets, hard in ((PLANNED, False), (HARD, True)):
        need = use.pods(np.array([[120.0]]), targets=targets, hard=hard)
        assert need[0, 0] == pytest.approx(120 * use.pods_per_load(targets, hard=hard))


def test_the_binding_resource_asks() -> None:
    # Memory: 0.8 * 4 GiB - 1.2 GiB of background hold 2.0 / 0.1 = 20 rps a pod: 6 for 120 rps.
    memory = declared_usage("underwriting", "memory_gib", {"per_pod": 1.2, "per_request": 0.1})
    # CPU: (1.2 - 0.05) / 0.02 = 57.5 rps a pod: 3.
    both = service(cpu(0.02), memory)
    assert pods(service(cpu(0.02)), 120.0) == 3
    assert pods(both, 120.0) == 6
    assert both.load_per_pod(PLANNED) == pytest.approx(20)
    assert both.pods_per_load(PLANNED) == pytest.approx(1 / 20)


def test_a_pod_that_idles_above_its_target_is_infeasible() -> None:
    use = service(cpu(0.085, per_pod=1.3))
    assert pods(use, 120.0) == math.inf
    assert use.pods_per_load(PLANNED) == math.inf
    assert use.load_per_pod(PLANNED) == 0
    assert math.isfinite(pods(use, 120.0, hard=True))  # 2 cores are more than 1.3


def test_without_usage_pods_follow_todays() -> None:
    use = service()
    assert use.basis == "assumed"
    assert pods(use, 120.0) == 18  # 6 pods at 40 rps
    assert pods(use, 121.0) == 19
    assert use.pods_per_load(PLANNED) == pytest.approx(6 / 40)
    assert use.known
    assert not dataclasses.replace(use, today_pods=None).known
    assert not dataclasses.replace(use, today_rps=math.nan).known


@given(
    load=st.floats(0, 1e4),
    more=st.floats(0, 1e4),
    per_request=st.floats(0.001, 0.5),
    per_pod=st.floats(0, 1.0),
)
def test_more_load_never_needs_fewer_pods_and_whole_pods_suffice(
    load: float, more: float, per_request: float, per_pod: float
) -> None:
    use = service(cpu(per_request, per_pod=per_pod))
    low, high = sorted([load, more])
    needed = pods(use, low)
    assert needed <= pods(use, high)
    assert needed >= use.pods_per_load(PLANNED) * low - 1e-6
    assert per_pod * needed + per_request * low <= 0.6 * 2.0 * needed + 1e-6
    if needed >= 1:  # one pod less would not do
        assert per_pod * (needed - 1) + per_request * low > 0.6 * 2.0 * (needed - 1) - 1e-6


def test_beyond_the_range_seen_the_slope_widens_and_inside_it_does_not() -> None:
    (seen,) = pod_uses(cpu(0.1, seen=10.0), request=2.0, draws=DRAWS, seed=7)
    for inside in (5.0, 10.0):
        assert (seen.per_request_at(inside) == 0.1).all()
    # DESIGN §7: 0.10 * ln(20 / 10) = 0.0693 at twice the range; 1.6 % error of an sd from 2,000.
    log = np.log(seen.per_request_at(20.0) / 0.1)
    assert log.std() == pytest.approx(0.0693, rel=0.06)
    assert np.log(seen.per_request_at(40.0) / 0.1) == pytest.approx(2 * log)
    (declared,) = pod_uses(cpu(0.1), request=2.0, draws=DRAWS, seed=7)
    assert (declared.per_request_at(1e6) == 0.1).all()


def test_story_a4_extrapolating_to_twice_the_largest_load() -> None:
    # A pod that is filled to 1.15 cores of requests takes 1.15 / 0.102 = 11.27 rps; seen: half.
    use = service(cpu(0.102, seen=1.15 / 0.102 / 2))
    assert use.extrapolation_x(PLANNED) == pytest.approx(2.0)
    need = use.pods(np.array([[120.0]]), targets=PLANNED, hard=False)
    assert need.shape == (DRAWS, 1)
    # 12.24 / 1.15 cores, with 0.10 * ln 2 of log sd.
    assert np.median(need) == pytest.approx(12.24 / 1.15, rel=0.005)
    assert np.log(need).std() == pytest.approx(0.0693, rel=0.06)
    assert service(cpu(0.102)).extrapolation_x(PLANNED) == 0


def test_draws_are_named_so_that_another_service_changes_nothing() -> None:
    fit = dataclasses.replace(cpu(0.1), covariance=np.diag([1e-6, 1e-4]))
    (first,) = pod_uses(fit, request=2.0, draws=50, seed=7)
    pod_uses(dataclasses.replace(fit, service="ledger"), request=2.0, draws=50, seed=7)
    (again,) = pod_uses(fit, request=2.0, draws=50, seed=7)
    (other,) = pod_uses(dataclasses.replace(fit, service="ledger"), request=2.0, draws=50, seed=7)
    assert (first.per_request_draws == again.per_request_draws).all()
    assert (first.per_request_draws != other.per_request_draws).any()
    assert (first.widening != other.widening).all()
    assert first.per_request_draws.std() == pytest.approx(0.01, rel=0.35)


def test_idle_usage_of_pods_that_nobody_counted_is_shared_by_todays() -> None:
    fit = declared_usage("api", "cpu_cores", {"idle": 0.6, "per_request": 0.02})
    (use,) = pod_uses(fit, request=2.0, draws=3, seed=0, today_pods=6)
    assert use.per_pod == pytest.approx(0.1)
    # 100 rps take (2.0) / (1.2 - 0.1) pods at 60 %.
    assert use.pods_per_load(0.6) * 100 == pytest.approx(2.0 / 1.1)
    (unknown,) = pod_uses(fit, request=2.0, draws=3, seed=0)
    assert unknown.per_pod == 0


def test_per_class_slopes_add_up() -> None:
    fit = declared_usage(
        "api", "cpu_cores", {"per_pod": 0.1, "per_request:read": 0.02, "per_request:write": 0.03}
    )
    (use,) = pod_uses(fit, request=2.0, draws=3, seed=0)
    assert (use.per_request, use.per_pod) == (pytest.approx(0.05), 0.1)
    assert use.per_request_draws == pytest.approx(np.full((3, 1), 0.05))


def test_cores_of_a_database_by_hand() -> None:
    """Story A3's core-db: 3,940 reads and 2,160 writes at 0.00156 core-seconds, 0.4 idle."""
    fit = declared_usage(
        "core-db", "cpu_cores", {"idle": 0.4, "per_read": 0.00156, "per_write": 0.00156}
    )
    use = database_use(fit, draws=5, seed=7)
    cores = use.cores(np.array([[3940.0]]), np.array([[2160.0]]))
    assert cores == pytest.approx(np.full((5, 1), 0.4 + 0.00156 * 6100))
    assert use.central == (0.4, 0.00156, 0.00156)
    assert use.qps_max == math.inf


def test_a_database_beyond_its_range_widens_by_its_total_rate() -> None:
    fit = dataclasses.replace(
        declared_usage("db", "cpu_cores", {"idle": 1.0, "per_read": 0.001, "per_write": 0.002}),
        load_max=np.array([math.nan, 600.0, 400.0]),
    )
    use = database_use(fit, draws=DRAWS, seed=7)
    assert use.qps_max == 1000
    rates = (np.array([[500.0, 1500.0]]), np.array([[500.0, 500.0]]))
    inside, beyond = use.cores(*rates).T
    assert inside == pytest.approx(np.full(DRAWS, 1 + 0.5 + 1.0))
    log = np.log((beyond - 1.0) / (1.5 + 1.0))
    assert log.std() == pytest.approx(0.1 * math.log(2), rel=0.06)


def test_a_database_without_a_term_does_not_pay_for_it() -> None:
    use = database_use(declared_usage("db", "cpu_cores", {"per_read": 0.001}), draws=2, seed=7)
    assert use.cores(np.array([[100.0]]), np.array([[9e9]])) == pytest.approx(np.full((2, 1), 0.1))
    assert use.central == (0.0, 0.001, 0.0)


@pytest.mark.parametrize(
    ("up_to", "degraded", "cores", "memory"),
    [
        ("hard", 0.85, 1.0, 1.0),
        ("utilization", 0.85, 0.6, 0.8),
        ("utilization_degraded", 0.85, 0.85, 0.85),
        ("utilization_degraded", None, 0.6, 0.8),  # story A4: one target before and after the loss
    ],
)
def test_targets_of_a_hold_row(
    up_to: str, degraded: float | None, cores: float, memory: float
) -> None:
    hold = Hold.model_validate({"failure": "none", "quantile": 0.5, "up_to": up_to})
    targets = targets_of(hold, Policy(utilization_degraded=degraded))
    assert targets == {"cpu_cores": cores, "memory_gib": memory}
    assert tuple(targets) == POD_RESOURCES
