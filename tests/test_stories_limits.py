"""Stories of limits: somebody else's (A6), headroom from risk (A7), failures that compose (A8)."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pandas as pd
import pytest

import capmodel as cm
from capmodel.capacity.disturb import disturb
from capmodel.capacity.evaluate import database_rates

SCENARIOS = (("low", 0.25, 1.10), ("base", 0.55, 1.25), ("high", 0.20, 1.50))
CALLS = {"edge-gateway": 14, "checkout-api": 4, "underwriting": 1.2, "ledger": 2.5}
POD = {"cpu_cores": 7.9, "memory_gib": 8}
# 100 checkouts a second fill 120 such pods to 60 %, two on each node of 15.89 cores.
PER_CHECKOUT = 120 * 0.60 * 7.9 / 100


def topology(**changed: Any) -> cm.Topology:
    """Return the reference estate; 60 nodes at 6,000 checkouts a minute, in three zones."""
    services: dict[str, Any] = {n: {"calls": {"checkouts": c}, "tier": 0} for n, c in CALLS.items()}
    services["checkout-api"] |= {
        "pool": "general", "pod": POD, "replicas": {"min": 3, "max": 600},
        "imbalance_x": 1.0,
        "usage": {"cpu_cores": {"per_pod": 0, "per_request": PER_CHECKOUT / 4}},
    }  # fmt: skip
    declared: dict[str, Any] = {
        "drivers": {"checkouts": {"today_per_min": 4800, "sigma_log": 0.10}},
        "services": services,
        "databases": {
            "core-db": {
                "class": "db.r6g.4xlarge", "max_connections": 4000, "cache_hit_ratio": 0.80,
                "usage": {"cpu_cores": {"idle": 0.4, "per_read": 0.00156, "per_write": 0.00156}},
                "used_by": {
                    "checkout-api": {"reads": 5, "writes": 2},
                    "underwriting": {"reads": 12, "writes": 3},
                    "ledger": {"reads": 2, "writes": 4},
                },
            }
        },
        "externals": {
            "credit-bureau": {
                "calls": {"underwriting": 0.7}, "limit_rps": 80, "lead_days": 42,
                "shed_max": 0.05, "waits": True,
            }
        },
        "pools": {"general": {"types": ["m6i.4xlarge"], "zones": 3, "today": 60}},
        "policy": {"utilization_degraded": 0.60, "surge": 0},
    }  # fmt: skip
    return cm.Topology.model_validate({**declared, **changed})


def plan(declared: cm.Topology, *, draws: int = 1000, overlays: Any = ()) -> cm.PlanSet:
    return (
        cm.CapacityModel(declared, events=cm.Events.us_retail(2025, 2027))
        .declare()
        .plan(
            [
                cm.Scenario(name=name, probability=p, demand_x={"checkouts": x})
                for name, p, x in SCENARIOS
            ],
            start="2026-11-23",
            end="2026-12-03",
            as_of="2026-09-21",
            seed=7,
            draws=draws,
            overlays=overlays,
        )
    )


def rows(plans: cm.PlanSet, frame: str, **wanted: str) -> pd.DataFrame:
    found = plans.to_frame(frame)
    for column, value in wanted.items():
        found = found[found[column] == value]
    return found


@pytest.fixture(scope="module")
def reference() -> cm.PlanSet:
    return plan(topology())


def test_a6_somebody_elses_limit(reference: cm.PlanSet) -> None:
    quota = rows(reference, "limits", node="credit-bureau").set_index("scenario")
    # The P50 is an order statistic of 1,000 draws: 0.013 % below the median at sigma 0.10.
    for scenario, load, status in (
        ("low", 73.92, "AMBER"), ("base", 84.00, "RED"), ("high", 100.80, "RED")
    ):  # fmt: skip
        assert quota.loc[scenario, "peak_p50"] == pytest.approx(load, rel=2e-4)
        assert quota.loc[scenario, "utilization_p50"] == pytest.approx(load / 80, rel=2e-4)
        assert quota.loc[scenario, "status"] == status


def test_a6_raise_shed_or_wait(reference: cm.PlanSet) -> None:
    order = rows(reference, "orders", item="credit-bureau").iloc[0]
    assert order["action"] == "raise the quota of credit-bureau from 80 to 126 rps"
    assert order["latest_by"] == "2026-10-12"  # 42 days before 2026-11-23
    raised, shed, waiting = rows(reference, "remedies", node="credit-bureau").to_dict("records")
    assert (raised["to"], raised["lead_days"]) == ("126", 42)
    # The mixture's P50 is not base's: 84 rps times 0.9952.
    load = rows(reference, "limits", node="credit-bureau", scenario="mixture")["peak_p50"].iloc[0]
    assert shed["remedy"] == "leave out 0.05 of the calls, not enough"
    assert shed["status_after"] == "AMBER"
    assert shed["utilization_after"] == pytest.approx(0.95 * load / 80)
    # 84 rps against 80 and today's 67.2: see the doctest of backlog_of for base itself.
    per_hour, oldest = 3600 * (load - 80), 3600 * (load - 80) / 80
    drain = 3600 * (load - 80) / (80 - 67.2) / 60
    assert waiting["to"] == (
        f"{per_hour:,.6g} waiting per hour at the peak, oldest {oldest:.3g} s, "
        f"drain {drain:.3g} min"
    )


def test_a6_shedding_five_percent_in_base() -> None:
    from capmodel.capacity.quota_relief import QuotaPressure, quota_remedies

    pressure = QuotaPressure(
        load=84.0, today=67.2, hard=80.0, policy_x=0.85, needed=115, lead_days=42,
        basis="assumed", shed_max=0.05,
    )  # fmt: skip
    _, shed = quota_remedies(pressure, ask=126)
    assert shed.utilization_after == pytest.approx(0.9975)
    assert (shed.to_value, shed.status_after) == ("79.8", "AMBER")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("capacity", "p"), [(7200, 0.119), (7740, 0.05), (8196, 0.02), (8493, 0.01)]
)
def test_a7_headroom_from_risk(capacity: float, p: float) -> None:
    bound = {
        "unit": "1/min", "per_request": {"checkouts": 60}, "hard": capacity, "policy_x": 1.0,
        "tier": 0,
    }  # fmt: skip
    declared = cm.Topology.model_validate(
        {
            "drivers": {"checkouts": {"today_per_min": 4800, "sigma_log": 0.10}},
            "limits": {"checkouts-served": bound},
        }
    )
    plans = plan(declared, draws=20_000)
    row = rows(plans, "limits", node="checkouts-served", scenario="mixture").iloc[0]
    assert row["p_saturate"] == pytest.approx(p, abs=0.007)
    assert row["status"] == ("RED" if p > 0.02 else "GREEN")
    # What tier 0 needs at 2 % is the same whatever stands today: base + 36.6 %.
    orders = rows(plans, "orders", item="checkouts-served")
    if capacity < 8100:
        assert orders["to"].tolist() == ["9000"]  # asked for once: 1.5 times base's 6,000
    remedy = rows(plans, "remedies", node="checkouts-served")
    assert remedy.empty == (capacity > 8196)


def test_a8_static_cover_of_a_zone() -> None:
    declared = topology(drivers={"checkouts": {"today_per_min": 4800}})
    calm = plan(declared, overlays=[cm.LoseZonesOverlay(zones=1)])
    nodes = rows(calm, "nodes", scenario="base").iloc[0]
    assert (nodes["required"], nodes["per_zone"]) == (90, 30)
    waterfall = rows(calm, "waterfall", scenario="base").set_index("step")["nodes"]
    assert waterfall["today"] + waterfall["organic"] + waterfall["event"] == 60
    assert waterfall["failure cover"] == 30
    lost = rows(calm, "overlays", overlay="lose 1 zone", node="general").iloc[0]
    assert lost["needed"] == 90
    assert lost["breaks_today"]
    assert not lost["breaks"]


@pytest.mark.parametrize(("nodes", "full", "status"), [(90, 0.60, "GREEN"), (75, 0.72, "RED")])
def test_a8_a_plan_of_75_nodes_fails(nodes: int, full: float, status: str) -> None:
    declared = topology(
        drivers={"checkouts": {"today_per_min": 6000}},
        pools={"general": {"types": ["m6i.4xlarge"], "zones": 3, "today": nodes}},
    )
    plans = (
        cm.CapacityModel(declared, events=cm.Events.us_retail(2025, 2027))
        .declare()
        .plan(cm.Scenario(name="base"), start="2026-11-23", end="2026-12-03",
              as_of="2026-09-21", overlays=[cm.LoseZonesOverlay(zones=1)])
    )  # fmt: skip
    lost = rows(plans, "overlays", node="general").iloc[0]
    assert lost["utilization_today"] == pytest.approx(full)
    assert lost["breaks_today"] == (status == "RED")
    assert rows(plans, "limits", node="general", scenario="base")["status"].iloc[0] == status


def test_a8_a_cold_cache_triples_the_reads() -> None:
    declared = topology()
    loads = {name: np.array([[100.0 * calls]]) for name, calls in CALLS.items()}
    for hit_ratio, factor in ((0.40, 3.0), (0.0, 5.0)):
        cold = disturb(declared, {}, [cm.ColdCacheOverlay(database="core-db", hit_ratio=hit_ratio)])
        reads, writes = _rates(cold.topology, loads)
        assert reads == pytest.approx(3940 * factor)
        assert writes == pytest.approx(2160)


def _rates(declared: cm.Topology, loads: dict[str, np.ndarray]) -> tuple[float, float]:
    class Holder:
        topology = declared

    reads, writes = database_rates(Holder(), "core-db", loads)  # type: ignore[arg-type]
    return float(np.asarray(reads)[0, 0]), float(np.asarray(writes)[0, 0])


LOST = cm.LoseZonesOverlay(zones=1)
COLD = cm.ColdCacheOverlay(database="core-db", hit_ratio=0.40)
STORM = cm.RetryStormOverlay(target="checkout-api", failure=0.3, attempts=3, layers=3)


@pytest.fixture(scope="module")
def failures() -> dict[tuple[int, ...], pd.DataFrame]:
    declared = topology(drivers={"checkouts": {"today_per_min": 4800}})
    overlays = (LOST, COLD, STORM)
    return {
        order: plan(declared, draws=100, overlays=[overlays[k] for k in order]).to_frame("overlays")
        for order in itertools.permutations(range(3))
    }


def test_a8_the_order_of_overlays_changes_nothing(failures) -> None:
    keys = ["overlay", "node", "limit"]
    first, *others = (
        frame.sort_values(keys).reset_index(drop=True).drop(columns="broken_by")
        for frame in failures.values()
    )
    for other in others:
        pd.testing.assert_frame_equal(first, other)


def test_a8_it_is_said_which_overlay_broke_which_limit(failures) -> None:
    frame = failures[0, 1, 2].set_index(["overlay", "node", "limit"])
    storm, cold, lost = STORM.words, COLD.words, LOST.words
    # At the mixture's P50, which is base's; a database is planned to 70 %.
    cores = 0.4 + 0.00156 * (3 * 3940 + 2160)
    assert frame.loc[(cold, "core-db", "cpu_cores"), "needed"] == pytest.approx(cores / 0.70)
    assert frame.loc[(cold, "core-db", "cpu_cores"), "breaks"]
    # 1 / (1 - 0.3), less the third layer's rest: 1.4286 times the pods, on the zones that stay.
    assert frame.loc[(storm, "general", "nodes"), "needed"] == 3 * np.ceil(1.4286 * 120 / 3 / 2)
    assert not frame.loc[(storm, "general", "nodes"), "breaks"]
    together = frame.loc[("all together", "general", "nodes")]
    assert together["needed"] == 3 * np.ceil(np.ceil(1.4286 * 120 / 2) / 2)
    assert together["broken_by"] == "all together"  # neither the loss nor the storm alone does
    database = frame.loc[("all together", "core-db", "cpu_cores")]
    assert database["broken_by"] == f"{cold}; {storm}"
    stormed = 0.4 + 0.00156 * (3940 + 2160 + 0.4286 * 400 * 7)
    assert frame.loc[(storm, "core-db", "cpu_cores"), "needed"] == pytest.approx(
        stormed / 0.70, rel=1e-4
    )
    # The zone takes the writer, which is created anew: it then works as before.
    usual = 0.4 + 0.00156 * (3940 + 2160)
    assert frame.loc[(lost, "core-db", "cpu_cores"), "needed"] == pytest.approx(usual / 0.70)


def test_a8_unknown_names_are_refused_with_the_nearest() -> None:
    overlays = [
        cm.ColdCacheOverlay(database="core-dp", hit_ratio=0.4),
        cm.RetryStormOverlay(target="checkout-ap", failure=0.3),
    ]
    with pytest.raises(cm.InputError) as refused:
        plan(topology(), overlays=overlays)
    assert [problem.do for problem in refused.value.problems] == [
        'Did you mean "core-db"?',
        'Did you mean "checkout-api"?',
    ]


def test_a8_a_cache_without_a_hit_ratio_cannot_cool() -> None:
    bare = topology().databases["core-db"].model_copy(update={"cache_hit_ratio": None})
    declared = topology().model_copy(update={"databases": {"core-db": bare}})
    with pytest.raises(cm.InputError, match="cache_hit_ratio"):
        plan(declared, overlays=[COLD])
