"""What usage fits change in a plan: measured imbalance, a cost that bends, studies that say how."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

import capmodel as cm
from capmodel.capacity.curves import BentCurve, LinearCurve, curve_from_dict, multiple_at
from capmodel.capacity.use import pod_uses
from capmodel.errors import InputError
from capmodel.plan import CapacityFit, PlanSet, Study
from capmodel.usage import RobustLinear

TOPOLOGY: dict[str, Any] = {
    "drivers": {"checkouts": {"today_per_min": 600}},
    "services": {
        "api": {
            "calls": {"checkouts": 6},
            "tier": 0,
            "pool": "general",
            "pod": {"cpu_cores": 2, "memory_gib": 4},
            "replicas": {"min": 1, "max": 60},
        }
    },
    "pools": {"general": {"types": ["m6i.4xlarge"], "zones": 3, "today": 9}},
}
KNEE, FLAT, STEEP = 20.0, 0.02, 0.05


def bent_rows(n: int = 3000) -> pd.DataFrame:
    """Six pods whose requests cost 20 core-ms up to 20 rps per pod, and 50 beyond."""
    rng = np.random.default_rng(0)
    rps = 90 * (1 + 0.7 * np.sin(2 * np.pi * np.arange(n) / 24)) * rng.lognormal(0, 0.1, n)
    cores = 0.1 * 6 + FLAT * rps + (STEEP - FLAT) * np.maximum(rps - KNEE * 6, 0)
    cores *= rng.gamma(1111, 1 / 1111, n)
    columns = {"rps": rps, "replicas": 6.0, "cpu_cores": cores}
    return pd.DataFrame({"service": "api", **columns})


def history() -> cm.History:
    rows = bent_rows(60 * 24)
    time = pd.date_range("2026-07-01", periods=len(rows), freq="h", tz="UTC")
    return cm.History.from_frame(rows.assign(time=time), business_tz="UTC")


def pods_of_each(**hottest: float) -> pd.DataFrame:
    """Two days of minutes of three pods, one of which takes a fixed share more."""
    time = pd.date_range("2026-09-07", periods=2 * 1440, freq="min", tz="UTC")
    shape = 1 + 0.3 * np.sin(2 * np.pi * np.arange(len(time)) / 1440)
    return pd.concat(
        [
            pd.DataFrame({"service": "api", "time": time, "pod": name, "rps": share * shape})
            for name, share in hottest.items()
        ],
        ignore_index=True,
    )


def plan_of(fit: CapacityFit) -> PlanSet:
    scenario = cm.Scenario(name="base", lift={"cyber_monday": {"checkouts": 3.0}})
    return fit.plan(
        scenario, start="2026-11-23", end="2026-12-07", as_of="2026-09-21", draws=200, seed=1
    )


def test_imbalance_is_measured_where_pods_are_given_and_says_so() -> None:
    model = cm.CapacityModel(
        cm.Topology.model_validate(TOPOLOGY), events=cm.Events.us_retail(2026, 2026)
    )
    units = pods_of_each(a=30.0, b=20.0, c=10.0)
    fit = model.fit(history(), units=units)
    assert fit.imbalance.get("api").imbalance_x == pytest.approx(1.5)
    assert "units" in fit.inputs
    assert fit.inputs["units"] == model.fit(history(), units=units[::-1]).inputs["units"]
    plans = plan_of(fit)
    chain = plans.explain("api", "cpu_cores")
    (hottest,) = chain[chain["factor"].str.startswith("hottest pod")].to_dict("records")
    assert hottest["value"] == pytest.approx(1.5)
    assert hottest["basis"] == "measured"
    assert "series per pod" in hottest["source"]
    trusted = plans.to_frame("assumptions")
    (row,) = trusted[trusted["name"].str.startswith("hottest pod")].to_dict("records")
    assert row["basis"] == "measured"
    prior = plan_of(model.fit(history())).explain("api", "cpu_cores")
    assert prior["value"].iloc[-1] == pytest.approx(1.1)
    assert prior["source"].iloc[-1] == "prior for per-request balancing"


def test_a_bent_cost_sizes_pods_by_the_line_that_holds_at_their_load() -> None:
    fit = RobustLinear(convex=True).fit(bent_rows())
    usage = fit.get("api", "cpu_cores")
    assert usage is not None
    assert usage.knee_per_pod == pytest.approx(KNEE, rel=0.05)
    flat, steep = pod_uses(usage, request=2.0, draws=20, seed=0)
    assert steep.per_request == pytest.approx(STEEP, rel=0.03)
    # A pod takes (1.2 − 0.1 + 0.03 · 20)/0.05 = 34 rps at 60 % of two cores; the flat line says 55.
    assert steep.load_per_pod(0.6) == pytest.approx(34.0, rel=0.02)
    assert flat.load_per_pod(0.6) == pytest.approx(55.0, rel=0.02)
    load = np.array([[680.0]])
    need = [
        use.pods(load, target=0.6, imbalance=1.0, load_per_pod=use.load_per_pod(0.6)).mean()
        for use in (flat, steep)
    ]
    assert need[1] == pytest.approx(20.0, rel=0.03)
    assert need[0] == pytest.approx(680 / 55, rel=0.03)


@pytest.mark.slow
def test_a_plan_with_a_bent_cost_sweeps_and_explains_both_lines() -> None:
    model = cm.CapacityModel(
        cm.Topology.model_validate(TOPOLOGY),
        events=cm.Events.us_retail(2026, 2026),
        usage=RobustLinear(convex=True),
    )
    straight = cm.CapacityModel(model.topology, events=model.events).fit(history())
    bent = model.fit(history())
    assert "convex_usage" in straight.findings.codes
    plans, other = plan_of(bent), plan_of(straight)
    # 180 rps on the busiest minute of Cyber Monday.
    needed = [
        p.to_frame("services").loc[lambda f: f["scenario"] == "base", "replicas_needed"].item()
        for p in (plans, other)
    ]
    assert needed[0] > needed[1]
    ladder = plans.to_frame("limits")
    assert len(ladder[(ladder["scenario"] == "base") & (ladder["limit"] == "cpu_cores")]) == 1
    points = plans.sweep([1, 3, 20])
    cores = points[points["limit"] == "cpu_cores"].set_index("x")["usage"]
    # Sixty pods may run: 6.0 cores idle; at 20 times today's 60 rps each has its 20 rps.
    assert cores[1] == pytest.approx(6.0 + FLAT * 60, rel=0.05)
    assert cores[20] == pytest.approx(6.0 + FLAT * 1200, rel=0.05)
    chain = plans.explain("api", "cpu_cores")
    slope = chain.loc[chain["factor"] == "x per_request", "value"].item()
    assert slope == pytest.approx(STEEP, rel=0.05)
    loaded = curve_from_dict(
        BentCurve(
            flat=LinearCurve(constant=6.0, slope=1.0), steep=LinearCurve(constant=0.0, slope=2.0)
        ).model_dump()
    )
    assert loaded.usage(2.0) == 8.0
    assert loaded.usage(10.0) == 20.0
    assert multiple_at(loaded, 20.0) == pytest.approx(10.0)


def test_a_study_names_load_tests_pods_and_how_usage_is_fitted(tmp_path: Path) -> None:
    history().to_frame().to_csv(tmp_path / "history.csv", index=False)
    pods_of_each(a=25.0, b=20.0, c=15.0).to_csv(tmp_path / "pods.csv", index=False)
    high = np.linspace(200, 300, 40)
    cores = 0.6 + FLAT * high + (STEEP - FLAT) * (high - KNEE * 6)
    tests = pd.DataFrame({"service": "api", "rps": high, "replicas": 6.0, "cpu_cores": cores})
    tests.to_csv(tmp_path / "tests.csv", index=False)
    (tmp_path / "topology.yaml").write_text(yaml.safe_dump(TOPOLOGY), encoding="utf-8")
    study = {
        "business_tz": "UTC",
        "as_of": "2026-09-21",
        "horizon": {"start": "2026-11-23", "end": "2026-12-07"},
        "topology": "topology.yaml",
        "history": {"base": "history.csv", "observations": "tests.csv", "units": "pods.csv"},
        "usage": {"convex": True},
        "scenarios": {"base": {"lift": {"cyber_monday": {"checkouts": 3.0}}}},
    }
    path = tmp_path / "study.yaml"
    path.write_text(yaml.safe_dump(study), encoding="utf-8")
    fit = Study.read(path).fit()
    usage = fit.usage["api", "cpu_cores"]
    assert usage.knee_per_pod == pytest.approx(KNEE, rel=0.1)
    assert usage.load_per_pod_max == pytest.approx(50.0)
    assert fit.imbalance.get("api").imbalance_x == pytest.approx(1.25)
    assert set(fit.inputs) == {"history", "observations", "units"}
    study["history"]["units"] = "pod.csv"  # type: ignore[index]
    path.write_text(yaml.safe_dump(study), encoding="utf-8")
    with pytest.raises(InputError, match=r"Did you mean .*pods\.csv"):
        Study.read(path).fit()


def test_usage_that_ignores_the_load_is_grey_and_never_green() -> None:
    rows = history().to_frame()
    rng = np.random.default_rng(3)
    batch = np.repeat(rng.lognormal(0, 0.4, len(rows) // 24), 24)
    past = cm.History.from_frame(rows.assign(cpu_cores=2.0 * batch), business_tz="UTC")
    model = cm.CapacityModel(
        cm.Topology.model_validate(TOPOLOGY), events=cm.Events.us_retail(2026, 2026)
    )
    plans = plan_of(model.fit(past))
    ladder = plans.to_frame("limits").set_index(["limit", "scenario"])["status"]
    assert ladder["cpu_cores", "base"] == "GREY"
    assert ladder["cpu_cores", "mixture"] == "GREY"
    swept = plans.sweep([1, 2]).set_index("limit")["status"]
    assert set(swept["cpu_cores"]) == {"GREY"}
    assert "load_explains_little" in set(plans.to_frame("findings")["code"])
