"""Story A4, end to end: fit the cost, notice the deploy, buy the pods."""

from __future__ import annotations

import datetime as dt
import re
from typing import Any

import numpy as np
import pandas as pd
import pytest

import capmodel as cm
from capmodel.plan import CapacityFit, PlanSet

TZ = "America/New_York"
FIRST = pd.Timestamp("2026-06-25 04:00", tz="UTC")
DEPLOY = dt.date(2026, 8, 24)  # day 60
SEEN_PER_POD = 1.15 / 0.102 / 2
"""Half the load of a pod at 60 % of two cores after the deploy: the story's 2.0 times."""

WITHIN = {"failure": "none", "quantile": 0.5, "up_to": "utilization"}
ZONE = {"failure": {"lose_zones": 1}, "quantile": 0.5, "up_to": "utilization_degraded"}


def topology(*hold: dict[str, Any]) -> cm.Topology:
    """Return 2-core pods planned at 60 %, one target before and after the loss of a zone."""
    return cm.Topology.model_validate(
        {
            "services": {
                "underwriting": {
                    "tier": 0,
                    "pool": "general",
                    "pod": {"cpu_cores": 2, "memory_gib": 4},
                    "imbalance_x": 1.0,
                    "replicas": {"min": 1, "max": 200, "today": 6},
                }
            },
            "pools": {"general": {"types": ["m6i.4xlarge"], "zones": 3, "today": 24}},
            "policy": {
                "surge": 0,
                "utilization": {"cpu_cores": 0.60},
                "utilization_degraded": 0.60,
                "hold": list(hold),
            },
        }
    )


def history(seed: int, *, deploy: bool = True, proportional: bool = False) -> cm.History:
    """Ninety days of hours up to 60 rps; gamma noise of 3 %, a deploy on day 60 that costs 20 %."""
    rng = np.random.default_rng(seed)
    hour = np.arange(90 * 24)
    rps = (33 + 22 * np.sin(2 * np.pi * hour / 24)) * rng.lognormal(0, 0.08, len(hour))
    rps *= 60 / rps.max()
    pods = rps / SEEN_PER_POD
    if not proportional:
        pods = np.ceil(pods) + rng.integers(0, 4, len(hour))
    per_request = np.where(deploy & (hour >= 60 * 24), 0.102, 0.085)
    cores = (0.05 * pods + per_request * rps) * rng.gamma(1111, 1 / 1111, len(hour))
    time = FIRST + pd.to_timedelta(hour, unit="h")
    columns = {"rps": rps, "replicas": pods, "cpu_cores": cores}
    frame = pd.DataFrame({"service": "underwriting", "time": time, **columns})
    return cm.History.from_frame(frame, business_tz=TZ)


def fitted(past: cm.History, *hold: dict[str, Any]) -> CapacityFit:
    return cm.CapacityModel(topology(*hold)).fit(past)


def planned(fit: CapacityFit) -> PlanSet:
    """Plan for 120 rps in the busiest minute."""
    peak = {"underwriting": cm.LogNormal(p50=120.0, p95=120.001)}
    scenario = cm.Scenario(name="base", peak=peak)
    return fit.plan(
        scenario, start="2026-11-20", end="2026-12-05", as_of="2026-09-23", seed=1, draws=200
    )


def pods(plans: PlanSet) -> float:
    return float(plans.to_frame("services")["replicas_needed"].iloc[0])


@pytest.mark.parametrize("seed", range(3))
def test_a4_the_deploy_is_dated_and_sized_and_the_latest_cost_used(seed: int) -> None:
    fit = fitted(history(seed), WITHIN)
    usage = fit.usage["underwriting", "cpu_cores"]
    assert usage.terms == ("per_pod", "per_request")
    assert (usage.low < [0.05, 0.102]).all()
    assert (usage.high > [0.05, 0.102]).all()
    assert usage.regime_from is not None
    assert usage.regime_change_x is not None
    assert abs((usage.regime_from - DEPLOY).days) <= 2
    assert usage.regime_change_x == pytest.approx(1.20, abs=0.03)
    (deploy,) = (f for f in fit.findings if f.code == "regime_change")
    assert deploy.data["date"] == usage.regime_from.isoformat()


def test_a4_eleven_pods_and_eighteen_with_a_zone_lost() -> None:
    past = history(0)
    assert pods(planned(fitted(past, WITHIN))) == 11
    plans = planned(fitted(past, WITHIN, ZONE))
    assert pods(plans) == 18
    findings = plans.to_frame("findings")
    (warned,) = findings.loc[findings["code"] == "extrapolating", "message"]
    beyond = re.match(r"extrapolating to ([0-9.]+) x the largest load seen", warned)
    assert beyond is not None
    assert float(beyond[1]) == pytest.approx(2.0, abs=0.02)
    assert plans.to_frame("limits")["extrapolating"].any()


def test_a4_nine_and_fifteen_at_the_old_cost() -> None:
    past = history(0, deploy=False)
    assert pods(planned(fitted(past, WITHIN))) == 9
    assert pods(planned(fitted(past, WITHIN, ZONE))) == 15


def test_a4_pods_that_follow_the_load_leave_the_intercept_unknown() -> None:
    fit = fitted(history(0, deploy=False, proportional=True), WITHIN)
    usage = fit.usage["underwriting", "cpu_cores"]
    assert usage.identifiable == (False, False)
    assert usage.value[0] == 0
    # The total is what the data know: 0.085 per request and 0.05 for every 5.64 rps of them.
    assert usage.value[1] == pytest.approx(0.085 + 0.05 / SEEN_PER_POD, rel=0.005)
