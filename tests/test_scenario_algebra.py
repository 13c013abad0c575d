"""What holds of any set of assumptions: identities, no order, and demand in proportion to input."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from demand_worlds import calendar, history_of, planted
from hypothesis import given, settings
from hypothesis import strategies as st

from capmodel.capacity.disturb import disturb
from capmodel.capacity.estate import AUTOSCALED
from capmodel.capacity.evaluate import pods_needed
from capmodel.capacity.phases import with_phases
from capmodel.demand.paths import RootPaths
from capmodel.events import Events
from capmodel.plan import CapacityFit, CapacityModel, PlanSet
from capmodel.plan.equip import make_estate
from capmodel.plan.futures import Futures, make_futures
from capmodel.plan.request import Horizon, PlanRequest, Sampling, Setting
from capmodel.scenario import (
    ColdCacheOverlay,
    LoseZonesOverlay,
    Overlay,
    RetryStormOverlay,
    Scenario,
    day_factor,
)
from capmodel.topology import Topology

TODAY = 4800.0
TOPOLOGY: dict[str, Any] = {
    "drivers": {
        "checkouts": {"today_per_min": TODAY, "sigma_log": 0.1},
        "visits": {"today_per_min": 9000, "sigma_log": 0.05},
    },
    "services": {
        "api": {
            "calls": {"checkouts": 4, "visits": 1}, "pool": "general",
            "pod": {"cpu_cores": 2, "memory_gib": 4}, "replicas": {"min": 1, "max": 2000},
            "usage": {"cpu_cores": {"per_pod": 0.05, "per_request": 1.26}},
        },
        "ledger": {"calls": {"checkouts": 2}},
    },
    "databases": {
        "core": {
            "class": "db.r6g.4xlarge", "cache_hit_ratio": 0.8,
            "usage": {"cpu_cores": {"idle": 0.4, "per_read": 1e-3, "per_write": 2e-3}},
            "used_by": {"ledger": {"reads": 5, "writes": 2}},
        }
    },
    "pools": {"general": {"types": ["m6i.4xlarge"], "zones": 3, "today": 60}},
}  # fmt: skip
CHANGES: dict[str, list[dict[str, Any]]] = {
    "launches": [
        {"name": "tv", "root": "checkouts", "start": "2026-11-05", "per_min": 301.7,
         "ramp_days": 3, "half_life_days": 6, "source": "plan"},
        {"name": "city", "root": "checkouts", "start": "2026-11-07", "rps": 1.13, "ramp_days": 7,
         "together": True, "source": "plan"},
        {"name": "app", "root": "visits", "start": "2026-11-02", "per_min": 77.7, "source": "plan"},
    ],
    "pushes": [
        {"name": "a", "root": "checkouts", "start": "2026-11-10T09:00", "reach": 1.1e6,
         "response": 0.013, "half_life_hours": 2, "source": "CRM"},
        {"name": "b", "root": "checkouts", "start": "2026-11-10T09:30", "reach": 7e5,
         "response": 0.017, "half_life_hours": 0.7, "source": "CRM"},
    ],
    "efficiency": [
        {"pool": "general", "cores_x": 0.83, "from": "2026-11-06", "source": "load test"},
        {"pool": "general", "cores_x": 0.91, "from": "2026-11-11", "source": "load test"},
        {"pool": "general", "cores_x": 1.07, "source": "a library"},
    ],
    "mix": [
        {"caller": "visits", "node": "api", "ratio_x": 1.7, "from": "2026-11-08", "source": "app"},
        {"caller": "visits", "node": "api", "ratio_x": 1.1, "source": "page"},
    ],
}  # fmt: skip
OVERLAYS: tuple[Overlay, ...] = (
    LoseZonesOverlay(),
    RetryStormOverlay(target="ledger", failure=0.3, attempts=3),
    ColdCacheOverlay(database="core", hit_ratio=0.4),
    RetryStormOverlay(target="core", failure=0.2, attempts=2),
)


def declared(k: float = 1.0) -> CapacityFit:
    """Return the estate, its drivers k times as large."""
    drivers = {
        name: {**driver, "today_per_min": k * driver["today_per_min"]}
        for name, driver in TOPOLOGY["drivers"].items()
    }
    topology = Topology.model_validate({**TOPOLOGY, "drivers": drivers})
    events = Events.us_retail(2025, 2026)
    return CapacityModel(topology=topology, events=events).declare(business_tz="America/New_York")


FIT = declared()


def request(fit: CapacityFit, *scenarios: Scenario) -> PlanRequest:
    return PlanRequest.of(
        fit, scenarios, horizon=Horizon.of("2026-11-01", "2026-11-15"),
        sampling=Sampling(seed=3, draws=100), setting=Setting(),
    )  # fmt: skip


def futures(*scenarios: Scenario, fit: CapacityFit = FIT) -> Futures:
    return make_futures(fit, request(fit, *scenarios))


def peaks(made: Futures, scenario: int = 0) -> dict[str, np.ndarray]:
    """Return every node's busiest minutes."""
    return {node: made.loads[scenario].day_peak(node) for node in FIT.topology.order}


def scenario(**fields: Any) -> Scenario:
    return Scenario.model_validate({"name": "base", **fields})


def plan(*scenarios: Scenario, overlays: tuple[Overlay, ...] = ()) -> PlanSet:
    return FIT.plan(
        scenarios, start="2026-11-01", end="2026-11-15", draws=100, seed=3, overlays=overlays,
    )  # fmt: skip


growth = st.floats(0.5, 4.0)


# ---- identities --------------------------------------------------------------------------------


@settings(max_examples=5)
@given(x=growth)
def test_a_demand_ratio_of_one_is_the_identity(x: float) -> None:
    alone = {"growth_yoy_x": {"visits": x}}
    with_one = peaks(futures(scenario(**alone, demand_x={"checkouts": 1.0})))
    without = peaks(futures(scenario(**alone)))
    assert all((with_one[node] == without[node]).all() for node in without)


def test_a_demand_ratio_of_one_changes_no_figure_of_the_plan() -> None:
    """Bytes of every frame; only the assumption itself is listed."""
    one, none = plan(scenario(demand_x={"checkouts": 1.0})), plan(scenario())
    listed = {"assumptions", "changes"}
    for name in sorted(set(none.frames) - listed):
        text = [plans.to_frame(name).to_csv(index=False) for plans in (one, none)]
        assert text[0].replace(", demand_x 1", "") == text[1], name


def paths(ratio: np.ndarray | float, *, draws: int = 20) -> RootPaths:
    """Return paths whose own trend makes them `ratio` times last season, path by path."""
    rng = np.random.default_rng(5)
    days = np.arange(np.datetime64("2026-11-26"), np.datetime64("2026-12-01"))
    to_growth = np.log([0.8, 0.8, 0.75, 0.75, 0.7])
    drift = np.broadcast_to(np.log(ratio)[..., None] + to_growth, (draws, len(days)))
    return RootPaths(
        service="checkouts", quantity="per_min", dates=days,
        event=("thanksgiving", "black_friday", "", "", "cyber_monday"),
        shape=1000 * rng.lognormal(0, 0.1, (draws, len(days), 24)),
        level=0.02 * rng.standard_normal(draws), drift=drift,
        shock=0.1 * rng.standard_normal((draws, len(days))), to_growth=to_growth,
        lift_x=np.array([2.0, 4.0, 1.0, 1.0, 5.0]), basis="fitted",
    )  # fmt: skip


@given(ratios=st.lists(growth, min_size=20, max_size=20))
def test_growth_equal_to_a_path_s_own_is_the_identity(ratios: list[float]) -> None:
    """Each path's own year-on-year ratio is exp(drift - to_growth)."""
    fitted = paths(np.array(ratios))
    free = day_factor(fitted, scenario())
    for d, ratio in enumerate(ratios):
        stated = day_factor(fitted, scenario(growth_yoy_x={"checkouts": ratio}))
        np.testing.assert_allclose(stated[d], free[d], rtol=1e-9)


@settings(max_examples=5)
@given(x=growth)
def test_growth_of_a_declared_root_is_on_today(x: float) -> None:
    ratio = peaks(futures(scenario(growth_yoy_x={"checkouts": x})))["ledger"]
    np.testing.assert_allclose(ratio, x * peaks(futures(scenario()))["ledger"], rtol=1e-9)
    same = peaks(futures(scenario(growth_yoy_x={"checkouts": 1.0})))
    assert all((same[n] == v).all() for n, v in peaks(futures(scenario())).items())


def test_ratios_of_one_in_mix_and_cores_are_the_identity() -> None:
    one = plan(
        scenario(
            mix=[{"caller": "visits", "node": "api", "ratio_x": 1, "source": "x"}],
            efficiency=[{"pool": "general", "cores_x": 1, "source": "x"}],
        )
    )
    none = plan(scenario())
    for name in ("demand", "limits", "nodes", "services", "cost", "waterfall", "risk"):
        pd.testing.assert_frame_equal(one.to_frame(name), none.to_frame(name))


# ---- no order ----------------------------------------------------------------------------------


@given(data=st.data())
def test_entries_have_no_order(data: st.DataObject) -> None:
    mixed = {field: data.draw(st.permutations(entries)) for field, entries in CHANGES.items()}
    assert scenario(**mixed) == scenario(**CHANGES)


@settings(max_examples=5)
@given(data=st.data())
def test_whatever_the_order_demand_is_the_same_to_the_bit(data: st.DataObject) -> None:
    mixed = {field: data.draw(st.permutations(entries)) for field, entries in CHANGES.items()}
    one, other = peaks(futures(scenario(**mixed))), peaks(futures(scenario(**CHANGES)))
    assert all((one[node] == other[node]).all() for node in one)


@given(order=st.permutations(OVERLAYS))
def test_overlays_have_no_order(order: list[Overlay]) -> None:
    one, other = (disturb(FIT.topology, FIT.calls, chosen) for chosen in (order, OVERLAYS))
    assert (one.zones_lost, one.touched) == (other.zones_lost, other.touched)
    assert {e: c.ratio for e, c in one.calls.items()} == pytest.approx(
        {e: c.ratio for e, c in other.calls.items()}, rel=1e-12
    )
    queries = [
        made.topology.databases["core"].used_by["ledger"].model_dump() for made in (one, other)
    ]
    assert queries[0] == pytest.approx(queries[1], rel=1e-12)


def test_the_order_of_overlays_and_scenarios_changes_no_row() -> None:
    """Rows come in the order of what was asked; sorted, they are the same to 1e-9."""
    low = scenario(name="low", growth_yoy_x={"checkouts": 0.9}, **CHANGES)
    high = scenario(name="high", growth_yoy_x={"checkouts": 1.6})
    one = plan(low, high, overlays=OVERLAYS)
    other = plan(high, low, overlays=OVERLAYS[::-1])
    assert set(one.to_frame("overlays")["stage"]) > {"retry", "cache", "losses"}
    assert set(one.to_frame("changes")["stage"]) == {"growth", "mix", "additive", "cores"}
    for name in ("demand", "limits", "nodes", "databases", "cost", "waterfall", "overlays", "risk",
                 "changes"):  # fmt: skip
        frames = [plans.to_frame(name) for plans in (one, other)]
        keys = [c for c in frames[0] if c in ("scenario", "overlay", "window", "step", "change")]
        keys += [c for c in frames[0] if c in ("node", "limit", "service", "date", "pool", "item")]
        keys += [c for c in ("tier", "database") if c in frames[0]]
        frames = [f.sort_values(keys, kind="stable").reset_index(drop=True) for f in frames]
        if name == "overlays":  # its culprits are listed in the order of the overlays
            frames = [f.assign(broken_by=f["broken_by"].map(_sorted_words)) for f in frames]
        pd.testing.assert_frame_equal(frames[0], frames[1], rtol=1e-9, check_exact=False)


def _sorted_words(text: str) -> str:
    return "; ".join(sorted(text.split("; ")))


# ---- proportion --------------------------------------------------------------------------------


def scaled(k: float) -> dict[str, list[dict[str, Any]]]:
    """Return the changes with everything that is counted k times as large."""
    return {
        field: [
            {key: v * k if key in {"per_min", "rps", "reach"} else v for key, v in one.items()}
            for one in entries
        ]
        for field, entries in CHANGES.items()
    }


@settings(max_examples=5)
@given(k=st.floats(0.01, 1000))
def test_k_times_the_input_is_k_times_the_demand(k: float) -> None:
    one = peaks(futures(scenario(growth_yoy_x={"visits": 1.3}, **CHANGES)))
    many = peaks(futures(scenario(growth_yoy_x={"visits": 1.3}, **scaled(k)), fit=declared(k)))
    for node, load in one.items():
        np.testing.assert_allclose(many[node], k * load, rtol=1e-9)


@settings(max_examples=5)
@given(cores_x=st.floats(0.3, 1.5), other=st.floats(0.3, 1.5))
def test_efficiencies_multiply_whatever_comes_first(cores_x: float, other: float) -> None:
    def pods(*values: float) -> np.ndarray:
        entries = [{"pool": "general", "cores_x": x, "source": "x"} for x in values]
        asked = request(FIT, scenario(efficiency=entries))
        made = make_futures(FIT, asked)
        estate = with_phases(
            make_estate(FIT, asked, made.calls), [load.cores_x for load in made.loads]
        )
        return pods_needed(estate, made.loads[0], "api", AUTOSCALED)

    np.testing.assert_allclose(pods(cores_x, other), pods(other, cores_x), rtol=1e-12)
    np.testing.assert_allclose(pods(cores_x, other), pods(cores_x * other), rtol=1e-9)


# ---- the same on a fitted history --------------------------------------------------------------


@pytest.fixture(scope="module")
def series() -> pd.Series:
    return planted("2024-06-01", "2026-09-21")


@pytest.fixture(scope="module")
def fitted(series: pd.Series) -> CapacityFit:
    return CapacityModel(events=calendar()).fit(history_of({"checkouts": series}))


@pytest.mark.slow
def test_k_times_a_history_is_k_times_the_demand(series: pd.Series, fitted: CapacityFit) -> None:
    launch = {**CHANGES["launches"][0], "start": "2026-11-05"}
    k = 7.0
    many = CapacityModel(events=calendar()).fit(history_of({"checkouts": k * series}))
    stated = [scenario(growth_yoy_x={"checkouts": 1.25}, launches=[launch]),
              scenario(growth_yoy_x={"checkouts": 1.25},
                       launches=[{**launch, "per_min": k * launch["per_min"]}])]  # fmt: skip
    one, other = (
        futures(s, fit=fit).loads[0] for s, fit in zip(stated, (fitted, many), strict=True)
    )
    first, second = (load.roots["checkouts"].root.shape for load in (one, other))
    np.testing.assert_allclose(second, k * first, rtol=1e-9)
    np.testing.assert_allclose(other.factor["checkouts"], one.factor["checkouts"], rtol=1e-9)


@pytest.mark.slow
def test_growth_at_the_fitted_ratio_is_the_identity_on_the_central_path(
    fitted: CapacityFit,
) -> None:
    """On the path without drift, day by day: growth exp(-to_growth) is where the trend stands."""
    root = futures(scenario(), fit=fitted).loads[0].roots["checkouts"].root
    central = replace(root, drift=np.zeros((1, len(root.dates))))
    free = day_factor(central, scenario())
    for n, ratio in enumerate(np.exp(-root.to_growth)):
        assert 0.5 < ratio < 4
        stated = day_factor(central, scenario(growth_yoy_x={"checkouts": float(ratio)}))
        np.testing.assert_allclose(stated[:, n], free[:, n], rtol=1e-9)


def test_changes_of_one_call_multiply_and_leave_others_alone() -> None:
    edges = itertools.permutations(
        [("visits", "api", 1.5), ("visits", "api", 2.0), ("checkouts", "ledger", 3.0)]
    )
    plain = peaks(futures(scenario()))
    for order in edges:
        mix = [{"caller": c, "node": n, "ratio_x": x, "source": "x"} for c, n, x in order]
        made = futures(scenario(mix=mix))
        np.testing.assert_allclose(peaks(made)["ledger"], 3 * plain["ledger"], rtol=1e-12)
        weight = made.loads[0].weights["api"]
        assert math.isclose(float(np.max(weight["visits"])), 3.0)
        assert math.isclose(float(np.max(weight["checkouts"])), 4.0)
