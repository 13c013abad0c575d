"""Usage beyond CPU per request: memory, databases, failures, known work, load tests, releases."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from capmodel.capacity.use import database_use, pod_uses
from capmodel.history import History
from capmodel.usage import LinearUsage, QuantileLinear, RobustLinear, UsageFit

RNG = np.random.default_rng


def of(fit: UsageFit, service: str, resource: str = "cpu_cores") -> LinearUsage:
    usage = fit.get(service, resource)
    assert usage is not None, fit.refused
    return usage


def by_term(usage: LinearUsage) -> dict[str, float]:
    return dict(zip(usage.terms, usage.value.tolist(), strict=True))


def gamma(rng: np.random.Generator, sd: float, n: int) -> np.ndarray:
    """Skewed noise of mean 1, where the fit thinks of symmetric relative residuals."""
    return rng.gamma(1 / sd**2, sd**2, n)


def minutes(seed: int, n: int = 4000) -> tuple[np.random.Generator, np.ndarray, np.ndarray]:
    """Return a generator, requests [1/s] and pods of a service over some days of minutes."""
    rng = RNG(seed)
    rps = 60 * (1 + 0.6 * np.sin(2 * np.pi * np.arange(n) / 1440)) * rng.lognormal(0, 0.1, n)
    return rng, rps, np.ceil(rps / 15) + rng.integers(0, 3, n)


def history(columns: dict[str, np.ndarray], *, step: str = "h") -> History:
    n = len(next(iter(columns.values())))
    time = pd.date_range("2026-04-01", periods=n, freq=step, tz="UTC")
    return History.from_frame(
        pd.DataFrame({"service": "api", "time": time, **columns}), business_tz="UTC"
    )


# --- failures -----------------------------------------------------------------------------------


def test_ordinary_failures_have_a_price_of_their_own() -> None:
    """A tenth of requests are refused early, more on some days: they cost a fifth."""
    rng, rps, pods = minutes(0)
    share = np.repeat(rng.uniform(0.02, 0.2, len(rps) // 100), 100)
    failed = rng.binomial(np.round(60 * rps).astype(int), share) / 60
    cores = (0.05 * pods + 0.02 * (rps - failed) + 0.004 * failed) * gamma(rng, 0.04, len(rps))
    columns = {"rps": rps, "errors_rps": failed, "replicas": pods, "cpu_cores": cores}
    fit = RobustLinear().fit(pd.DataFrame({"service": "api", **columns}))
    usage = of(fit, "api")
    assert by_term(usage)["per_request"] == pytest.approx(0.02, rel=0.01)
    assert by_term(usage)["per_failed"] == pytest.approx(0.004, abs=0.002)
    assert usage.n_saturated == 0
    # Without failures named, the usual share is assumed; without failures at all, none.
    loads = {"service": ["api"], "rps": [100.0], "replicas": [8.0]}
    none = fit.predict(pd.DataFrame({**loads, "errors_rps": [0.0]}))["p50"].item()
    assert none == pytest.approx(0.4 + 2.0, rel=0.01)
    usual = fit.predict(pd.DataFrame(loads))["p50"].item()
    assert 0.4 + 2.0 - 0.2 * 1.6 < usual < none


def test_a_burst_of_failures_is_overload_and_only_a_lower_bound() -> None:
    rng, rps, pods = minutes(1)
    failed = np.zeros(len(rps))
    over = np.sort(rng.choice(len(rps), 25, replace=False))
    failed[over] = 0.4 * rps[over]
    served = rps - failed
    cores = (0.05 * pods + 0.02 * served) * gamma(rng, 0.04, len(rps))
    columns = {"rps": rps, "errors_rps": failed, "replicas": pods, "cpu_cores": cores}
    usage = of(RobustLinear().fit(pd.DataFrame({"service": "api", **columns})), "api")
    assert "per_failed" not in usage.terms
    assert dict(usage.saturated) == {"failed": 25}
    assert usage.basis == "censored"
    assert by_term(usage)["per_request"] == pytest.approx(0.02, rel=0.01)


# --- limits ------------------------------------------------------------------------------------


@pytest.mark.parametrize("named", [True, False])
def test_a_cpu_limit_bends_no_slope(*, named: bool) -> None:
    """Pods are throttled at 75 % of what the busiest hours would use; noise 20 %."""
    errors, dropped = [], []
    for seed in range(4):
        rng, rps, _ = minutes(seed)
        pods = np.full(len(rps), 6.0)
        wanted = (0.05 * pods + 0.02 * rps) * gamma(rng, 0.2, len(rps))
        limit = np.full(len(rps), 0.75 * np.quantile(wanted, 0.99))
        cores = np.minimum(wanted, limit * (1 - 0.01 * rng.random(len(rps))))
        columns = {"rps": rps, "replicas": pods, "cpu_cores": cores}
        frame = pd.DataFrame({"service": "api", **columns})
        seen = frame.assign(cpu_limit_cores=limit) if named else frame
        usage = of(RobustLinear().fit(seen), "api")
        assert list(usage.saturated) == ["at_limit" if named else "plateau"]
        assert 0.05 < usage.n_saturated / len(rps) < 0.35
        errors.append(by_term(usage)["per_request"] / 0.02 - 1)
        free = frame[frame["cpu_cores"] < 0.95 * limit]
        kept = of(RobustLinear().fit(free), "api")
        dropped.append(by_term(kept)["per_request"] / 0.02 - 1)
    assert abs(np.mean(errors)) <= 0.02
    assert np.mean(dropped) < -0.05  # what dropping would do


# --- known work --------------------------------------------------------------------------------


def test_known_work_takes_its_share_and_is_not_planned_with() -> None:
    rng, rps, pods = minutes(2)
    at_night = (np.arange(len(rps)) % 1440) < 120
    rows = np.where(at_night, rng.uniform(200, 400, len(rps)), 0.0)
    cores = (0.05 * pods + 0.02 * rps + 0.004 * rows) * gamma(rng, 0.03, len(rps))
    columns = {"rps": rps, "work_per_s": rows, "replicas": pods, "cpu_cores": cores}
    usage = of(RobustLinear().fit(pd.DataFrame({"service": "api", **columns})), "api")
    assert by_term(usage)["per_work"] == pytest.approx(0.004, rel=0.02)
    assert by_term(usage)["per_request"] == pytest.approx(0.02, rel=0.01)
    day = {"service": ["api"], "rps": [100.0], "replicas": [8.0]}
    assert UsageFit((usage,)).predict(pd.DataFrame(day))["p50"].item() == pytest.approx(
        2.4, rel=0.02
    )


# --- memory ------------------------------------------------------------------------------------


def memory(*, leak: float, seed: int = 0) -> History:
    """Sixty days of hours: 0.5 GiB a pod, 0.2 a request in flight, and a leak [GiB/pod/day]."""
    rng = RNG(seed)
    hour = np.arange(60 * 24)
    rps = (60 + 40 * np.sin(2 * np.pi * hour / 24)) * rng.lognormal(0, 0.1, len(hour))
    latency = (40 + 0.8 * rps) * rng.lognormal(0, 0.2, len(hour))
    pods = np.ceil(rps / 12) + rng.integers(0, 3, len(hour))
    used = pods * (0.5 + leak * hour / 24) + 0.2 * rps * latency / 1000
    used *= gamma(rng, 0.02, len(hour))
    columns = {"rps": rps, "latency_mean_ms": latency, "replicas": pods, "memory_gib": used}
    return history(columns)


def test_memory_follows_requests_in_flight() -> None:
    fit = RobustLinear().fit(memory(leak=0.0))
    usage = of(fit, "api", "memory_gib")
    assert by_term(usage) == pytest.approx({"per_pod": 0.5, "per_in_flight": 0.2}, rel=0.05)
    assert "usage_grows" not in fit.findings.codes
    row = {"service": ["api"], "rps": [100.0], "replicas": [9.0]}
    slow = pd.DataFrame({**row, "latency_mean_ms": [400.0]})
    assert fit.predict(slow)["p50"].item() == pytest.approx(4.5 + 0.2 * 40, rel=0.03)
    (use,) = pod_uses(usage, request=4.0, draws=10, seed=0)
    # A plan has no latency: it takes that of the busiest tenth of hours, about 0.13 s.
    assert use.per_request == pytest.approx(0.2 * 0.13, rel=0.1)


def test_a_leak_is_reported_and_the_last_level_used() -> None:
    fit = RobustLinear().fit(memory(leak=0.004))
    usage = of(fit, "api", "memory_gib")
    assert usage.regimes == ()  # a leak is no stair of deploys
    assert by_term(usage)["per_pod_day"] == pytest.approx(0.004, rel=0.05)
    (grows,) = (f for f in fit.notes if f.code == "usage_grows")
    assert "restart" in grows.message
    (use,) = pod_uses(usage, request=4.0, draws=10, seed=0)
    assert use.per_pod == pytest.approx(0.5 + 0.004 * 60, rel=0.03)
    row = pd.DataFrame({"service": ["api"], "rps": [0.0], "replicas": [10.0]})
    assert fit.predict(row)["p50"].item() == pytest.approx(7.4, rel=0.03)


def test_a_deploy_that_needs_more_memory_is_no_leak() -> None:
    past = memory(leak=0.0)
    values = dict(past.values)
    later = np.arange(past.n_steps) >= 30 * 24
    values["memory_gib", ""] = values["memory_gib", ""] * np.where(later, 1.3, 1.0)
    fit = RobustLinear().fit(dataclasses.replace(past, values=values))
    usage = of(fit, "api", "memory_gib")
    assert len(usage.regimes) == 2
    assert usage.regime_change_x == pytest.approx(1.3, rel=0.02)
    assert "usage_grows" not in fit.findings.codes


def test_percentiles_follow_the_line_into_its_derived_loads() -> None:
    past = memory(leak=0.004)
    fit = QuantileLinear(line=RobustLinear(find_regimes=False), draws=0).fit(past)
    (usage,) = fit.fits
    assert usage.line.terms[-1] == "per_pod_day"
    k = usage.line.terms.index("per_pod_day")
    assert usage.value[0, k] == pytest.approx(0.004, rel=0.05)
    rng, rps, _ = minutes(9)
    x = rps / 4
    cores = 4 * (0.05 + 0.02 * x + 0.03 * np.maximum(x - 15, 0)) * gamma(rng, 0.03, len(x))
    frame = pd.DataFrame({"service": "api", "rps": rps, "replicas": 4.0, "cpu_cores": cores})
    (bent,) = QuantileLinear(line=RobustLinear(convex=True), draws=0).fit(frame).fits
    assert bent.line.terms[-1] == "per_request_above_knee"
    assert bent.value[0, -1] == pytest.approx(0.03, rel=0.1)
    assert bent.below.tolist() == pytest.approx([0.5, 0.95], abs=0.005)


# --- fleets ------------------------------------------------------------------------------------


def test_a_fleet_in_blocks_is_the_fleet_at_once() -> None:
    parts = []
    for k in range(3):
        rng, rps, pods = minutes(k, 600)
        cores = (0.05 * pods + 0.02 * rps) * gamma(rng, 0.03, len(rps))
        time = pd.date_range("2026-04-01", periods=len(rps), freq="min", tz="UTC")
        columns = {"rps": rps, "replicas": pods, "cpu_cores": cores}
        parts.append(pd.DataFrame({"service": f"api-{k}", "time": time, **columns}))
    blocks = [History.from_frame(part, business_tz="UTC") for part in parts]
    whole = RobustLinear().fit(History.from_frame(pd.concat(parts), business_tz="UTC"))
    fleet = RobustLinear().fit_blocks(blocks)
    pd.testing.assert_frame_equal(fleet.to_frame(), whole.to_frame())
    assert all(usage.sample is None for usage in fleet.fits)
    assert fleet.findings.codes == whole.findings.codes


# --- databases ---------------------------------------------------------------------------------


def database(seed: int = 0, n: int = 3000) -> pd.DataFrame:
    rng = RNG(seed)
    day = 2 * np.pi * np.arange(n) / 1440
    reads = 3000 * (1 + 0.5 * np.sin(day)) * rng.lognormal(0, 0.1, n)
    writes = 700 * (1 + 0.5 * np.sin(day + 0.8)) * rng.lognormal(0, 0.1, n)
    examined = reads * np.repeat(rng.uniform(5, 40, n // 100), 100)
    misses = reads * np.repeat(rng.uniform(0.001, 0.02, n // 100), 100)
    noise = {k: gamma(rng, 0.03, n) for k in ("cpu", "reads", "writes", "redo")}
    return pd.DataFrame(
        {
            "service": "db",
            "qps_read": reads,
            "qps_write": writes,
            "rows_examined_per_s": examined,
            "buffer_pool_misses_per_s": misses,
            "cpu_cores": (0.4 + 2e-5 * examined + 0.001 * writes) * noise["cpu"],
            "iops_read": (5 + 1.1 * misses) * noise["reads"],
            "iops_write": (20 + 2.2 * writes) * noise["writes"],
            "redo_mib_per_s": 0.003 * writes * noise["redo"],
        }
    )


def test_a_database_is_explained_resource_by_resource() -> None:
    fit = RobustLinear().fit(database())
    cpu = of(fit, "db")
    assert by_term(cpu) == pytest.approx(
        {"idle": 0.4, "per_row_examined": 2e-5, "per_write": 0.001}, rel=0.03
    )
    assert by_term(of(fit, "db", "iops_read")) == pytest.approx(
        {"idle": 5.0, "per_miss": 1.1}, rel=0.05
    )
    assert by_term(of(fit, "db", "iops_write"))["per_write"] == pytest.approx(2.2, rel=0.02)
    assert by_term(of(fit, "db", "redo_mib_per_s"))["per_write"] == pytest.approx(0.003, rel=0.01)
    frame = fit.to_frame()
    units = dict(zip(frame["resource"] + " " + frame["term"], frame["unit"], strict=True))
    assert units["redo_mib_per_s per_write"] == "MiB/write"
    assert units["cpu_cores per_row_examined"] == "core-s/row examined"


def test_a_plan_has_queries_only_and_takes_the_rows_that_they_usually_examine() -> None:
    frame = database()
    use = database_use(of(RobustLinear().fit(frame), "db"), draws=5, seed=0)
    total = frame["qps_read"] + frame["qps_write"]
    busy = total >= np.quantile(total, 0.9)
    idle, per_read, per_write = use.central
    got = idle + per_read * frame["qps_read"][busy] + per_write * frame["qps_write"][busy]
    assert got.mean() == pytest.approx(frame["cpu_cores"][busy].mean(), rel=0.02)
    assert use.qps_max == pytest.approx(total.max(), rel=0.01)


# --- classes -----------------------------------------------------------------------------------


def test_a_plan_weighs_classes_by_the_busiest_mix_and_not_by_one_each() -> None:
    rng, rps, pods = minutes(3)
    share = np.repeat(rng.uniform(0.1, 0.4, len(rps) // 50), 50)
    a, b = rps * share, rps * (1 - share)
    cores = (0.05 * pods + 0.03 * a + 0.01 * b) * gamma(rng, 0.03, len(rps))
    columns = {"rps:pay": a, "rps:quote": b, "replicas": pods, "cpu_cores": cores}
    fit = RobustLinear().fit(pd.DataFrame({"service": "api", **columns}))
    (use,) = pod_uses(of(fit, "api"), request=2.0, draws=3, seed=0)
    busy = rps >= np.quantile(rps, 0.9)
    mean = (0.03 * a[busy].sum() + 0.01 * b[busy].sum()) / rps[busy].sum()
    assert use.per_request == pytest.approx(mean, rel=0.01)
    mix, sd = share.mean(), share.std(ddof=1)
    assert f"mix of requests seen: pay {mix:.1%} ± {sd:.1%}, quote {1 - mix:.1%}" in fit.explain(
        "api"
    )


def test_a_mix_never_seen_is_extrapolation_and_widens() -> None:
    rng, rps, pods = minutes(4)
    share = 0.25 * rng.lognormal(0, 0.05, len(rps))
    a, b = rps * share, rps * (1 - share)
    cores = (0.05 * pods + 0.03 * a + 0.01 * b) * gamma(rng, 0.03, len(rps))
    columns = {"rps:pay": a, "rps:quote": b, "replicas": pods, "cpu_cores": cores}
    fit = RobustLinear().fit(pd.DataFrame({"service": "api", **columns}))
    loads = pd.DataFrame(
        {
            "service": "api",
            "rps:pay": [20.0, 40.0],
            "rps:quote": [60.0, 40.0],
            "replicas": [6.0, 6.0],
        }
    )
    usual, holiday = fit.predict(loads).to_dict("records")
    assert usual["mix_x"] < 1 < holiday["mix_x"]
    assert not usual["extrapolating"]
    assert holiday["extrapolating"]
    width = [row["p95"] / row["p50"] for row in (usual, holiday)]
    assert width[1] > width[0]


def test_a_new_release_keeps_the_proportions_of_the_old_where_it_cannot_know() -> None:
    """Twenty days after a deploy the mix has hardly moved: the prices before it decide."""
    rng = RNG(5)
    n, deploy = 90 * 24, 70 * 24
    rps = (60 + 40 * np.sin(2 * np.pi * np.arange(n) / 24)) * rng.lognormal(0, 0.1, n)
    wobble = np.where(np.arange(n) < deploy, 0.3, 0.002)
    share = 0.3 * np.exp(wobble * np.repeat(rng.standard_normal(n // 24), 24))
    a, b = rps * share, rps * (1 - share)
    price = np.where(np.arange(n) < deploy, 1.0, 1.2)
    cores = (0.3 + price * (0.03 * a + 0.01 * b)) * gamma(rng, 0.03, n)
    time = pd.date_range("2026-04-01", periods=n, freq="h", tz="UTC")
    rows = [
        pd.DataFrame({"service": "api", "time": time, "class": name, "rps": load})
        for name, load in (("pay", a), ("quote", b))
    ]
    rows.append(pd.DataFrame({"service": "api", "time": time, "class": "", "cpu_cores": cores}))
    past = History.from_frame(pd.concat(rows), business_tz="UTC")
    tied = of(RobustLinear().fit(past), "api")
    assert tied.regime_from is not None
    loose = of(RobustLinear(release_sd=100.0).fit(past), "api")
    truth = {"per_request:pay": 0.036, "per_request:quote": 0.012}
    off = [max(abs(by_term(u)[t] / v - 1) for t, v in truth.items()) for u in (tied, loose)]
    assert off[0] < 0.10 < off[1]


# --- load tests --------------------------------------------------------------------------------


def test_load_tests_reach_further_and_a_strange_one_is_reported() -> None:
    rng, rps, _ = minutes(6)
    pods = np.full(len(rps), 6.0)
    cores = (0.05 * pods + 0.02 * rps) * gamma(rng, 0.04, len(rps))
    frame = pd.DataFrame({"service": "api", "rps": rps, "replicas": pods, "cpu_cores": cores})
    high = np.linspace(150.0, 400.0, 40)
    test = pd.DataFrame({"service": "api", "rps": high, "replicas": 6.0})
    good = test.assign(cpu_cores=0.3 + 0.02 * high)
    alone, joined = (RobustLinear().fit(frame, load_tests=t) for t in (None, good))
    assert of(joined, "api").load_per_pod_max == pytest.approx(400 / 6)
    assert of(alone, "api").load_per_pod_max < 30
    narrow, wide = (
        (u.high[1] - u.low[1]) / u.value[1] for u in (of(joined, "api"), of(alone, "api"))
    )
    assert narrow < wide
    strange = RobustLinear().fit(frame, load_tests=test.assign(cpu_cores=0.3 + 0.03 * high))
    assert "load_test_disagrees" in strange.findings.codes
    assert "load_test_disagrees" not in joined.findings.codes


# --- bad input ---------------------------------------------------------------------------------


def good_frame() -> pd.DataFrame:
    rng, rps, pods = minutes(7, 600)
    cores = (0.05 * pods + 0.02 * rps) * gamma(rng, 0.03, len(rps))
    return pd.DataFrame({"service": "api", "rps": rps, "replicas": pods, "cpu_cores": cores})


@pytest.mark.parametrize(
    ("spoil", "code", "remedy"),
    [
        (lambda f: f.assign(cpu_cores=30.0 * f["cpu_cores"], cpu_limit_cores=2.0 * f["replicas"]),
         "unit_suspect", "percent"),
        (lambda f: f.assign(throttled_share=20.0), "unit_suspect", "Check the unit"),
        (lambda f: f.assign(rps=50.0, replicas=4.0), "slope_unidentifiable", "load test"),
        (lambda f: f[:29], "too_few_rows", "add history or declare"),
        (lambda f: f.drop(columns="rps"), "usage_without_traffic", "add rps"),
        (lambda f: f.assign(cpu_cores=np.where(f.index < 40, -1.0, f["cpu_cores"])),
         "negative_usage", "repair the counter"),
        (lambda f: f.assign(**{"rps:a": f["rps"], "rps:b": f["rps"]}), "duplicated_columns",
         "drop one"),
    ],
)  # fmt: skip
def test_bad_input_is_named_with_its_remedy(
    spoil: Callable[[pd.DataFrame], pd.DataFrame], code: str, remedy: str
) -> None:
    fit = RobustLinear().fit(spoil(good_frame()))
    found = [f for f in fit.findings if f.code == code]
    assert found, [f"{f.code}: {f.message}" for f in fit.findings]
    assert remedy in found[0].message


def test_usage_that_ignores_the_load_has_no_price_per_request() -> None:
    rng, rps, pods = minutes(8)
    cores = 2.0 * np.exp(np.repeat(rng.normal(0, 0.5, len(rps) // 20), 20))
    frame = pd.DataFrame({"service": "api", "rps": rps, "replicas": pods, "cpu_cores": cores})
    fit = RobustLinear().fit(frame)
    usage = of(fit, "api")
    assert not usage.identifiable[usage.terms.index("per_request")]
    assert "load_explains_little" in fit.findings.codes


# --- properties --------------------------------------------------------------------------------


@given(x=st.floats(0.001, 1000), seed=st.integers(0, 3))
def test_a_unit_of_time_scales_the_price_and_nothing_else(x: float, seed: int) -> None:
    rng, rps, pods = minutes(seed, 400)
    cores = (0.05 * pods + 0.02 * rps) * gamma(rng, 0.03, len(rps))
    frame = pd.DataFrame({"service": "api", "rps": rps, "replicas": pods, "cpu_cores": cores})
    first = of(RobustLinear().fit(frame), "api")
    second = of(RobustLinear().fit(frame.assign(rps=x * rps)), "api")
    assert second.value[0] == pytest.approx(first.value[0], rel=1e-6)
    assert second.value[1] * x == pytest.approx(first.value[1], rel=1e-6)
    assert second.identifiable == first.identifiable


@given(rps=st.floats(0, 1e4), more=st.floats(1, 10), pods=st.floats(1, 1e3), seed=st.integers(0, 2))
def test_usage_is_monotone_in_load(rps: float, more: float, pods: float, seed: int) -> None:
    rng, load, replicas = minutes(seed, 400)
    cores = (0.05 * replicas + 0.02 * load) * gamma(rng, 0.03, len(load))
    frame = pd.DataFrame({"service": "api", "rps": load, "replicas": replicas, "cpu_cores": cores})
    fit = RobustLinear().fit(frame)
    rows = pd.DataFrame({"service": "api", "rps": [rps, rps * more], "replicas": pods})
    low, high = fit.predict(rows)["p50"]
    assert high >= low
