"""Usage fits: planted truth, regimes, refusals, predictions."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from capmodel.errors import InputError
from capmodel.history import History
from capmodel.schema import rng_for
from capmodel.usage import LinearUsage, RobustLinear, UsageFit

TZ = "America/New_York"
SHARES = np.array([0.50, 0.20, 0.05, 0.25])
HOLIDAY = np.array([0.35, 0.30, 0.12, 0.23])
DEMANDS = np.array([4, 12, 30, 0.8]) / 1000
CLASSES = ("a", "b", "c", "d")


def of(fit: UsageFit, service: str, resource: str = "cpu_cores") -> LinearUsage:
    usage = fit.get(service, resource)
    assert usage is not None, fit.refused
    return usage


def mixed_minutes(seed: int, *, mix_sd: float, outliers: float) -> pd.DataFrame:
    """Seven days of minutes of four endpoints with drifting mix, and batch jobs as outliers."""
    rng = np.random.default_rng(seed)
    minutes = 7 * 1440
    base = 400 * (1 + 0.6 * np.sin(2 * np.pi * np.arange(minutes) / 1440))
    base *= rng.lognormal(0, 0.05, minutes)
    drift = rng.normal(0, mix_sd * np.sqrt(1 - 0.95**2), (minutes // 15, 4))
    for i in range(1, len(drift)):
        drift[i] += 0.95 * drift[i - 1]
    mix = SHARES * np.exp(np.repeat(drift, 15, axis=0))
    rps = rng.poisson(60 * base[:, None] * mix) / 60
    cores = (0.6 + rps @ DEMANDS) * (1 + rng.normal(0, 0.05, minutes))
    batch = rng.random(minutes) < outliers
    cores[batch] *= rng.uniform(1.5, 3, batch.sum())
    columns = {f"rps:{c}": rps[:, k] for k, c in enumerate(CLASSES)}
    return pd.DataFrame({"service": "shop", **columns, "cpu_cores": cores})


@pytest.mark.parametrize(("mix_sd", "outliers"), [(0.15, 0.01), (0.15, 0.05), (0.03, 0.01)])
def test_planted_endpoints(mix_sd: float, outliers: float) -> None:
    same: list[float] = []
    holiday: list[float] = []
    for seed in range(3):
        frame = mixed_minutes(seed, mix_sd=mix_sd, outliers=outliers)
        usage = of(RobustLinear().fit(frame), "shop")
        assert usage.terms == ("idle", *(f"per_request:{c}" for c in CLASSES))
        for mix, store in ((SHARES, same), (HOLIDAY, holiday)):
            truth = 0.6 + 2000 * mix @ DEMANDS
            store.append(usage.value @ [1, *(2000 * mix)] / truth - 1)
        # The cheap endpoint is 3 % of the load: nothing here can tell what it costs.
        assert not usage.identifiable[4]
        assert usage.identifiable[2] == (mix_sd == 0.15)
    assert abs(np.mean(same)) <= 0.005
    assert np.max(np.abs(holiday)) <= 0.04


def underwriting(seed: int, *, deploy_day: int = 60, proportional: bool = False) -> pd.DataFrame:
    """90 days of hours: 0.05 per pod + 0.085 per request/s, a deploy that makes requests dearer."""
    rng = np.random.default_rng(seed)
    time = pd.date_range("2026-04-01 04:00", periods=90 * 24, freq="h", tz="UTC")
    hour = np.arange(len(time))
    rps = (33 + 22 * np.sin(2 * np.pi * hour / 24)) * rng.lognormal(0, 0.08, len(time))
    rps *= 60 / rps.max()
    pods = rps / 10 if proportional else np.maximum(4, np.ceil(rps / 12))
    per_request = np.where(hour < deploy_day * 24, 0.085, 0.102)
    # Gamma noise, 3 %: skewed, where the fit thinks of symmetric relative residuals.
    cores = (0.05 * pods + per_request * rps) * rng.gamma(1111, 1 / 1111, len(time))
    columns = {"rps": rps, "replicas": pods, "cpu_cores": cores}
    return pd.DataFrame({"service": "underwriting", "time": time, **columns})


@pytest.mark.parametrize("seed", range(4))
def test_a_deploy_is_dated_sized_and_left_behind(seed: int) -> None:
    history = History.from_frame(underwriting(seed), business_tz=TZ)
    fit = RobustLinear().fit(history)
    usage = of(fit, "underwriting")
    assert usage.regime_from is not None
    assert usage.regime_change_x is not None
    assert abs((usage.regime_from - dt.date(2026, 5, 31)).days) <= 2
    assert abs(usage.regime_change_x - 1.20) <= 0.03
    assert [r.start for r in usage.regimes] == [dt.date(2026, 4, 1), usage.regime_from]
    assert usage.regimes[-1].low < usage.regime_change_x < usage.regimes[-1].high
    np.testing.assert_array_less(usage.low, [0.05, 0.102])
    np.testing.assert_array_less([0.05, 0.102], usage.high)
    assert all(usage.identifiable)
    (change,) = (f for f in fit.notes if f.code == "regime_change")
    assert change.data["date"] == usage.regime_from.isoformat()
    assert usage.dropped["earlier_regime"] == pytest.approx(60 * 24, abs=48)
    assert usage.n_used + sum(usage.dropped.values()) == history.n_steps
    assert usage.resid_log_sd == pytest.approx(0.03, rel=0.1)
    text = fit.explain("underwriting")
    for part in (usage.equation, "rows used 7", "earlier_regime", "regime from 2026-0"):
        assert part in text


def test_a_deploy_is_seen_and_sized_under_a_nightly_batch() -> None:
    for seed in range(4):
        frame = underwriting(seed)
        frame.loc[frame["time"].dt.hour.isin([22, 23]), "cpu_cores"] += 1.2
        fit = RobustLinear().fit(History.from_frame(frame, business_tz=TZ))
        usage = of(fit, "underwriting")
        assert usage.regime_from == dt.date(2026, 5, 31)
        assert usage.regime_change_x == pytest.approx(1.20, abs=0.03)
        assert usage.value[1] == pytest.approx(0.102, rel=0.01)
        assert "huber_kept" not in fit.findings.codes


def test_a_load_test_off_the_line_is_kept_and_reported() -> None:
    frame = underwriting(0, deploy_day=1000).drop(columns="time")
    rng = np.random.default_rng(0)
    test = frame.index[::50]
    frame.loc[test, ["rps", "replicas"]] = [180.0, 15.0]
    factor = np.where(frame.index.isin(test), 1.08, 1.0) * np.exp(rng.normal(0, 0.01, len(frame)))
    frame["cpu_cores"] = (0.05 * frame["replicas"] + 0.085 * frame["rps"]) * factor
    fit = RobustLinear().fit(frame)
    assert {"huber_kept", "convex_usage"} <= set(fit.findings.codes)
    (kept,) = (f for f in fit.notes if f.code == "huber_kept")
    assert kept.data["reason"] == "top_rows"
    assert of(fit, "underwriting").load_max[1] == 180


def test_without_a_change_there_is_one_regime_and_a_window() -> None:
    frame = underwriting(0, deploy_day=1000)
    history = History.from_frame(frame, business_tz=TZ)
    usage = of(RobustLinear(window_days=28).fit(history), "underwriting")
    assert (usage.regime_from, usage.regime_change_x, usage.regimes) == (None, None, ())
    assert usage.n_used == 28 * 24
    assert usage.dropped == {"before_window": 62 * 24}
    full = of(RobustLinear().fit(history), "underwriting")
    assert full.n_used == 90 * 24
    off = RobustLinear(find_regimes=False)
    deployed = History.from_frame(underwriting(0), business_tz=TZ)
    assert of(off.fit(deployed), "underwriting").regimes == ()


def test_pods_proportional_to_load_get_no_invented_intercept() -> None:
    frame = underwriting(0, deploy_day=1000, proportional=True)
    usage = of(RobustLinear().fit(frame.drop(columns="time")), "underwriting")
    assert usage.identifiable == (False, False)
    assert usage.value[0] == 0
    assert usage.value[1] == pytest.approx(0.085 + 0.05 / 10, rel=0.003)  # the total stays right
    np.testing.assert_array_less(usage.low - 1e-12, [0.05, 0.085])
    np.testing.assert_array_less([0.05, 0.085], usage.high)


def database(*, collinear: bool) -> pd.DataFrame:
    rng = np.random.default_rng(4)
    read = 1300 * (1 + 0.6 * np.sin(np.arange(2000) * np.pi / 12)) * rng.lognormal(0, 0.05, 2000)
    write = 0.55 * read if collinear else 0.55 * read * rng.lognormal(0, 0.3, 2000)
    cores = (0.4 + 0.0010 * read + 0.0030 * write) * rng.gamma(1111, 1 / 1111, 2000)
    columns = {"qps_read": read, "qps_write": write, "cpu_cores": cores}
    return pd.DataFrame({"service": "core-db", **columns})


def test_database_reads_and_writes() -> None:
    usage = of(RobustLinear().fit(database(collinear=False)), "core-db")
    assert usage.terms == ("idle", "per_read", "per_write")
    np.testing.assert_allclose(usage.value, [0.4, 0.0010, 0.0030], rtol=0.03)
    assert all(usage.identifiable)
    assert np.isnan(usage.load_per_pod_max)


def test_collinear_reads_and_writes_share_one_cost_and_the_total_is_good() -> None:
    fit = RobustLinear().fit(database(collinear=True))
    usage = of(fit, "core-db")
    assert usage.identifiable == (True, False, False)
    assert usage.value[1] == usage.value[2]
    truth = 0.4 + 0.0010 * 2000 + 0.0030 * 1100
    assert usage.value @ [1, 2000, 1100] == pytest.approx(truth, rel=0.005)
    np.testing.assert_array_less([0.0010, 0.0030], usage.high[1:])
    np.testing.assert_array_less(usage.low[1:], [0.0010, 0.0030])
    assert "not_identifiable" in fit.findings.codes
    total = usage.draws(2000, rng_for(1, "x")) @ [1, 2000, 1100]
    assert total.std() / total.mean() < 0.005  # known apart or not, the sum is known


def test_classes_permute_and_an_idle_class_changes_nothing() -> None:
    frame = mixed_minutes(0, mix_sd=0.15, outliers=0.01)
    usage = of(RobustLinear().fit(frame), "shop")
    renamed = frame.rename(columns={"rps:a": "rps:z"})
    permuted = of(RobustLinear().fit(renamed), "shop")
    assert permuted.terms[-1] == "per_request:z"
    np.testing.assert_allclose(permuted.value, usage.value[[0, 2, 3, 4, 1]], rtol=1e-6)
    idle = of(RobustLinear().fit(frame.assign(**{"rps:e": 0.0})), "shop")
    np.testing.assert_allclose(idle.value[:5], usage.value, rtol=1e-9)
    assert (idle.value[5], idle.identifiable[5]) == (0, False)
    assert np.isnan(idle.high[5])


def test_load_tests_extend_the_range_outages_and_gaps_go() -> None:
    frame = underwriting(1, deploy_day=1000).assign(tag="")
    test = frame.index[1000:1004]
    frame.loc[test, ["rps", "replicas"]] = [240.0, 10.0]
    frame.loc[test, "cpu_cores"] = 0.05 * 10 + 0.085 * 240
    frame.loc[test, "tag"] = "load_test"
    frame.loc[1500, ["rps", "cpu_cores"]] = 0.0
    frame = frame.drop(index=range(1700, 1720))
    frame.loc[1800, "rps"] = np.nan
    usage = of(RobustLinear().fit(History.from_frame(frame, business_tz=TZ)), "underwriting")
    assert usage.load_max[1] == 240
    assert usage.load_per_pod_max == 24
    np.testing.assert_allclose(usage.value, [0.05, 0.085], rtol=0.05)
    assert usage.n_used == 90 * 24 - 22
    assert sum(usage.dropped.values()) == 22
    assert usage.dropped["load_missing"] == 1


def test_a_load_that_no_usage_follows_extends_no_range() -> None:
    frame = underwriting(1, deploy_day=1000).drop(columns="time")
    frame.loc[7, "rps"] = 900.0  # a counter glitch: the cores do not follow
    usage = of(RobustLinear().fit(frame), "underwriting")
    assert usage.load_max[1] == pytest.approx(60)
    np.testing.assert_allclose(usage.value, [0.05, 0.085], rtol=0.05)


def small(**columns: object) -> pd.DataFrame:
    rps = np.linspace(10, 60, 200)
    base = {"service": "api", "rps": rps, "replicas": 5.0, "cpu_cores": 0.25 + 0.085 * rps}
    return pd.DataFrame({**base, **columns}, index=range(200))


@pytest.mark.parametrize(
    ("frame", "code", "part"),
    [
        (small(rps=30.0, cpu_cores=2.8), "slope_unidentifiable", "constant"),
        (small().head(29), "too_few_rows", "29 usable rows, 30 needed"),
        (small(rps=np.nan), "usage_without_traffic", "add rps"),
        (small(cpu_cores=-1.0), "too_few_rows", "200 usage_not_positive"),
        (small(replicas=0.0), "too_few_rows", "200 no_pods"),
    ],
)
def test_refused_with_a_reason_and_the_others_go_on(
    frame: pd.DataFrame, code: str, part: str
) -> None:
    good = small(service="good")
    fit = RobustLinear().fit(pd.concat([frame, good]))
    assert [f.code for f in fit.refused] == [code]
    assert part in fit.refused[0].message
    assert fit.get("api", "cpu_cores") is None
    assert of(fit, "good").value == pytest.approx([0.05, 0.085])
    with pytest.raises(InputError, match=part):
        fit.of("api")


def test_percent_is_suspected_and_cores_are_not() -> None:
    percent = small(cpu_cores=np.linspace(30, 95, 200), replicas=3.0)
    fit = RobustLinear().fit(percent)
    assert "unit_suspect" in fit.findings.codes
    assert "multiply by cores / 100" in str([f.message for f in fit.findings])
    assert RobustLinear().fit(small()).findings.codes == ()


def test_convex_usage_is_noted() -> None:
    rng = np.random.default_rng(3)
    rps = rng.uniform(10, 60, 3000)
    noise = np.exp(rng.normal(0, 0.03, 3000))
    straight = pd.DataFrame({"service": "api", "rps": rps, "cpu_cores": (0.3 + 0.08 * rps) * noise})
    assert RobustLinear().fit(straight).notes == ()
    bent = straight.assign(cpu_cores=(0.3 + 0.08 * rps + 0.0008 * rps**2) * noise)
    (note,) = (f for f in RobustLinear().fit(bent).notes if f.code == "convex_usage")
    assert 0.03 < note.data["excess"] < 0.3


def test_memory_is_fitted_beside_cpu() -> None:
    rng = np.random.default_rng(0)
    pods = np.repeat([4.0, 6.0, 8.0, 10.0], 50)
    rps = rng.uniform(10, 60, 200)
    memory = (1.2 * pods + 0.01 * rps) * np.exp(rng.normal(0, 0.01, 200))
    fit = RobustLinear().fit(small(replicas=pods, rps=rps, memory_gib=memory))
    usage = of(fit, "api", "memory_gib")
    np.testing.assert_allclose(usage.value, [1.2, 0.01], rtol=0.05)
    assert [usage.resource for usage in fit.fits] == ["cpu_cores", "memory_gib"]


def test_a_named_service_without_usage_is_reported() -> None:
    frame = pd.concat([small(), small(service="edge").drop(columns="cpu_cores")])
    assert RobustLinear().fit(frame).refused == ()
    (finding,) = RobustLinear().fit(frame, services=["api", "edge"]).refused
    assert (finding.code, finding.service) == ("usage_not_measured", "edge")


def test_input_is_not_changed() -> None:
    frame = small()
    before = frame.copy()
    RobustLinear().fit(frame).predict(frame[["service", "rps", "replicas"]])
    pd.testing.assert_frame_equal(frame, before)


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: small().drop(columns="service"), "column service"),
        (lambda: small(time=pd.Timestamp("2026-01-01", tz="UTC")), r"History\.from_frame"),
        (lambda: small(**{"class": "a"}), "rps:CLASS"),
        (lambda: pd.concat([small(), small()[["rps"]]], axis=1), "columns twice: rps"),
    ],
)
def test_bad_frames_are_refused(make: Callable[[], pd.DataFrame], match: str) -> None:
    with pytest.raises(InputError, match=match):
        RobustLinear().fit(make())


def test_unknown_services_name_the_nearest() -> None:
    with pytest.raises(InputError, match='Did you mean "api"'):
        RobustLinear().fit(small(), services=["apii"])
    history = History.from_frame(underwriting(0), business_tz=TZ)
    with pytest.raises(InputError, match='Did you mean "underwriting"'):
        RobustLinear().fit(history, services=["underwritin"])


def test_predict_gives_quantiles_and_flags_the_range() -> None:
    rng = np.random.default_rng(0)
    noisy = small()
    noisy["cpu_cores"] *= np.exp(rng.normal(0, 0.05, 200))
    fit = RobustLinear().fit(noisy)
    usage = of(fit, "api")
    loads = pd.DataFrame(
        {"service": "api", "rps": [30.0, 60.0, 120.0, 120.0], "replicas": [5.0, 5.0, 5.0, 10.0]}
    )
    got = fit.predict(loads)
    np.testing.assert_allclose(got["p50"], loads[["replicas", "rps"]] @ usage.value)
    # 24 requests/s per pod is twice the range; on 10 pods it is inside.
    assert got["extrapolating"].tolist() == [False, False, True, False]
    np.testing.assert_allclose(got["load_x"], [1, 1, 2, 1])
    width = np.log(got["p95"] / got["p50"]) / 1.6448536
    assert width[0] == pytest.approx(usage.resid_log_sd, rel=0.05)
    share = usage.value[1] * 120 / got["p50"][2]
    extra = np.sqrt(width[2] ** 2 - (0.10 * np.log(2) * share) ** 2)
    assert extra == pytest.approx(width[0], rel=0.1)
    np.testing.assert_allclose(got["p50"] / got["p05"], got["p95"] / got["p50"])


def test_predict_keeps_the_order_of_mixed_rows() -> None:
    fit = RobustLinear().fit(pd.concat([small(), database(collinear=False)]))
    loads = pd.DataFrame(
        {
            "service": ["core-db", "api", "core-db"],
            "rps": [np.nan, 30.0, np.nan],
            "replicas": [np.nan, 5.0, np.nan],
            "qps_read": [1000.0, np.nan, 9000.0],
            "qps_write": [500.0, np.nan, 500.0],
        }
    )
    got = fit.predict(loads)
    assert got["row"].tolist() == [0, 1, 2]
    assert got["service"].tolist() == ["core-db", "api", "core-db"]
    assert got["extrapolating"].tolist() == [False, False, True]
    np.testing.assert_allclose(got["p50"][[0, 1]], [0.4 + 1.0 + 1.5, 0.25 + 2.55], rtol=0.01)


@pytest.mark.parametrize(
    ("loads", "match"),
    [
        (pd.DataFrame({"service": ["apy"], "rps": [1.0], "replicas": [1.0]}), 'mean "api"'),
        (pd.DataFrame({"service": ["api"], "rps": [1.0]}), "Add replicas"),
        (pd.DataFrame({"service": ["api"], "rps": [-1.0], "replicas": [1.0]}), "row 0"),
        (pd.DataFrame({"rps": [1.0]}), "column service"),
    ],
)
def test_bad_loads_are_refused(loads: pd.DataFrame, match: str) -> None:
    with pytest.raises(InputError, match=match):
        RobustLinear().fit(small()).predict(loads)


def test_predictions_cover_what_happens() -> None:
    frame = underwriting(3, deploy_day=1000).drop(columns="time")
    fit = RobustLinear().fit(frame.head(1500))
    rest = frame.tail(600).reset_index(drop=True)
    got = fit.predict(rest[["service", "rps", "replicas"]])
    inside = (rest["cpu_cores"] >= got["p05"]) & (rest["cpu_cores"] <= got["p95"])
    assert 0.86 <= inside.mean() <= 0.94


def test_frames_have_the_columns_the_plan_promises() -> None:
    fit = RobustLinear().fit(pd.concat([small(), database(collinear=True)]))
    columns = "service resource term value low high unit identifiable load_max load_per_pod_max"
    columns += " n_used r2 regime_from regime_change_x basis"
    frame = fit.to_frame()
    assert frame.columns.tolist() == columns.split()
    assert frame["unit"].tolist() == [
        "cores/pod",
        "core-s/request",
        "cores",
        "core-s/read",
        "core-s/write",
    ]
    assert fit.summary["not_identifiable"].tolist() == ["", "per_read, per_write"]
    empty = UsageFit(())
    assert empty.to_frame().columns.tolist() == columns.split()
    assert empty.predict(pd.DataFrame({"service": []})).empty


def test_a_step_of_load_is_no_change_of_cost() -> None:
    frame = underwriting(2, deploy_day=1000)
    later = frame.index >= 50 * 24
    frame.loc[later, ["rps", "replicas"]] *= 2.0
    frame["cpu_cores"] = (0.5 * frame["replicas"] + 0.085 * frame["rps"]) * np.random.default_rng(
        0
    ).gamma(1111, 1 / 1111, len(frame))
    frame.loc[later, "replicas"] += 8  # the background's share rises with the load's step
    frame.loc[later, "cpu_cores"] += 0.5 * 8
    usage = of(RobustLinear().fit(History.from_frame(frame, business_tz=TZ)), "underwriting")
    assert usage.regimes == ()
    np.testing.assert_allclose(usage.value, [0.5, 0.085], rtol=0.05)
