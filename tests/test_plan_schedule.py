"""Weeks and events by themselves: hand-worked units, one budget of risk, ways to provide nodes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pytest

import capmodel as cm
from capmodel.capacity.risk import mixture_quantile
from capmodel.capacity.schedule import (
    Ask,
    Need,
    exceedance,
    mixture_values,
    window_sizes,
)
from capmodel.capacity.simulator.specs import Autoscaler, NodePool, ServiceSpec
from capmodel.exports import scaled_objects
from capmodel.plan import PlanSet, load_plan
from capmodel.plan.frames_provisioning import DELAY_H
from capmodel.plan.frames_schedule import event_runs
from capmodel.report.pay import risk
from capmodel.report.provide import services
from capmodel.report.views import Table, make_material
from capmodel.topology import Hold

TZ = "America/New_York"
HARD = Hold(failure="none", quantile="1-risk", up_to="hard")
P50 = Hold(failure="none", quantile=0.5, up_to="utilization")
WEIGHTS = np.array([0.25, 0.55, 0.20])

# 600 a minute are 10 checkouts a second, 40 requests; each takes 3 core-seconds of pods of 2 cores.
TOPOLOGY: dict[str, Any] = {
    "drivers": {"checkouts": {"peak_minute_x": 1}},
    "services": {
        "api": {
            "calls": {"checkouts": 4}, "tier": 0, "pool": "general", "imbalance_x": 1.0,
            "pod": {"cpu_cores": 2, "memory_gib": 1}, "replicas": {"min": 6, "max": 400},
            "usage": {"cpu_cores": {"per_request": 3}},
        },
        "batch": {
            "calls": {"checkouts": 0.01}, "tier": 3, "imbalance_x": 1.0,
            "pod": {"cpu_cores": 1, "memory_gib": 1}, "replicas": {"min": 4},
            "usage": {"cpu_cores": {"per_request": 1}},
        },
        "unknown": {"calls": {"checkouts": 1}, "pod": {"cpu_cores": 1, "memory_gib": 1}},
    },
    "pools": {"general": {"types": ["m6i.4xlarge"], "zones": 3, "today": 24}},
}  # fmt: skip
BUSY = {"2026-11-27": 2.0, "2026-11-30": 2.5}  # Black Friday and Cyber Monday, in the evening


def given(**spread: float) -> cm.GivenDemand:
    """Return hourly checkouts: 600 a minute from 20 to 21 o'clock, half of it in other hours."""
    hours = pd.date_range("2026-11-16", "2026-12-07", freq="h", tz=TZ, inclusive="left")
    frame = pd.DataFrame({"service": "checkouts", "time": hours.tz_convert("UTC")})
    frame["p50"] = np.where(hours.hour == 20, 600.0, 300.0)
    for day, x in BUSY.items():
        frame.loc[hours.strftime("%Y-%m-%d") == day, "p50"] *= x
    frame["p10"] = frame["p50"] * spread.get("p10", 1.0)
    frame["p90"] = frame["p50"] * spread.get("p90", 1.0)
    return cm.GivenDemand.from_frame(frame, business_tz=TZ)


def plan(*, declared: Any = TOPOLOGY, demand: cm.GivenDemand | None = None, **more: Any) -> PlanSet:
    events = cm.Events.none().add("black_friday", "2026-11-27").add("cyber_monday", "2026-11-30")
    arguments: dict[str, Any] = {
        "start": "2026-11-16", "end": "2026-12-07", "as_of": "2026-09-21", "draws": 100,
        "also": ["schedule"],
    }  # fmt: skip
    topology = cm.Topology.model_validate(declared)
    return (
        cm.CapacityModel(topology, events=events, given=demand or given())
        .declare(business_tz=TZ)
        .plan([cm.Scenario(name="base")], **(arguments | more))
    )


@pytest.fixture(scope="module")
def certain() -> PlanSet:
    """The plan of a demand without any luck."""
    return plan()


def units(plans: PlanSet, unit: str, column: str = "units") -> list[Any]:
    frame = plans.to_frame("schedule")
    return list(frame.loc[frame["unit"] == unit, column])


def test_hand_worked_units_of_pods(certain: PlanSet) -> None:
    """40 requests a second: 60 pods full, 100 at 60 %, 70.6 at 85 % on two zones: 3 * ceil(71/2).

    Twice as many on Black Friday: 3 * ceil(142/2); two and a half on Cyber Monday: 3 * ceil(177/2).
    """
    assert units(certain, "api", "window") == [
        "2026-W47", "2026-W48", "black_friday", "cyber_monday", "2026-W49",
    ]  # fmt: skip
    assert units(certain, "api") == [108, 108, 213, 267, 108]
    assert units(certain, "api", "units_p50") == units(certain, "api")
    assert set(units(certain, "api", "hold")) == {"P50, lose 1 zone, up to utilization_degraded"}
    # Monday to Sunday: Friday lies between, its units are the event's.
    assert units(certain, "api", "start")[1:3] == ["2026-11-23", "2026-11-27"]
    assert units(certain, "api", "end")[1:3] == ["2026-11-30", "2026-11-28"]
    frame = certain.to_frame("schedule")
    assert frame["kind"].unique().tolist() == ["pods", "nodes"]
    assert set(frame["scenario"]) == {"mixture"}
    assert (frame["p_any"] == 0).all()


def test_hand_worked_units_of_nodes(certain: PlanSet) -> None:
    """15.89 cores hold 7 pods of 2; on two zones 36, 71 and 89 pods each: 6, 11 and 13 nodes.

    The loss in packing is that of Cyber Monday, 13 nodes for 178 / 15.89 = 11.2; Black Friday's
    own would be 10.14 and is 142 / 15.89 * 1.16 = 10.4 here.
    """
    usable = float(certain.to_frame("nodes")["cpu_cores_usable"].iloc[0])
    assert int(usable // 2) == 7
    loss = 13 / (178 / usable)
    fills = [72 / usable, 142 / usable, 178 / usable]
    normal, friday, monday = (3 * math.ceil(fill * loss - 1e-9) for fill in fills)
    assert (normal, friday, monday) == (18, 33, 39)
    assert units(certain, "general") == [normal, normal, friday, monday, normal]
    season = certain.to_frame("nodes").set_index("scenario").loc["mixture", "required"]
    assert season == monday


def test_the_declared_minimum_asks_where_no_row_does(certain: PlanSet) -> None:
    assert units(certain, "batch") == [4] * 5
    assert set(units(certain, "batch", "hold")) == {"replicas.min"}
    # What cannot be sized has no window, and the plan says so elsewhere.
    assert units(certain, "unknown") == []
    findings = certain.to_frame("findings")
    assert "no_evidence" in findings.loc[findings["service"] == "unknown", "code"].tolist()


def test_no_window_of_the_season_takes_more_than_the_season_s_order() -> None:
    """The zone row orders more than the risk asks, so risk is left for the quieter windows."""
    demand = given(p10=0.85, p90=1.3)
    plans = plan(demand=demand, draws=400)
    services = plans.to_frame("services").query("scenario == 'mixture'").set_index("service")
    ordered = services["replicas_needed"].to_dict()
    ordered["general"] = plans.to_frame("nodes").query("scenario == 'mixture'")["required"].iloc[0]
    frame = plans.to_frame("schedule")
    most = frame["unit"].map(ordered)
    assert (frame["units"] <= most).all()
    assert (frame["units"] == most).any()
    assert (frame["units"] < most).any()
    assert (frame["p_any"] <= 0.05).all()


def test_days_outside_the_season_are_scheduled_too() -> None:
    inside = plan(season=("2026-11-16", "2026-11-25"))
    assert units(inside, "api") == [108, 108, 213, 267, 108]
    fills = units(inside, "general")
    # The season is sized by the zones left, 36 pods of 2 cores in each: 7 fit a node, 6 nodes.
    assert fills[0] == 3 * 6
    assert fills[3] == 3 * math.ceil(178 * 6 / 72)


def test_a_schedule_is_made_where_it_is_asked_for() -> None:
    without = plan(also=[])
    assert not {"schedule", "provisioning"} & set(without.frames)
    assert "options" in without.frames
    assert "no schedule" in scaled_objects(without).left_out[0].reason


def test_the_kubernetes_export_reads_the_schedule(certain: PlanSet) -> None:
    exported = {file.name: file.text for file in scaled_objects(certain).files}
    text = exported["keda/default.api.yaml"]
    assert "minReplicaCount: 108" in text
    assert 'desiredReplicas: "213"' in text
    assert 'start: "0 0 30 11 *"' in text
    assert 'desiredReplicas: "267"' in text


def test_round_trip(certain: PlanSet, tmp_path) -> None:
    certain.save(tmp_path / "plan.json")
    again = load_plan(tmp_path / "plan.json")
    for name in ("schedule", "provisioning", "options"):
        pd.testing.assert_frame_equal(
            again.to_frame(name), certain.to_frame(name), check_dtype=False, rtol=1e-8
        )
    assert again.hash == certain.hash


def test_the_report_shows_windows_ways_and_options(certain: PlanSet) -> None:
    material = make_material(
        certain.frames, title="", headline=(), provenance={}, scenarios=certain.scenarios,
        marks=None, notes=None,
    )  # fmt: skip
    tables = {
        block.caption: block
        for section in (services(material), risk(material))
        for block in section.blocks
        if isinstance(block, Table)
    }
    windows = tables["Weeks and events by themselves: 5 windows"]
    assert [cell.text for cell in windows.rows[0]][:6] == [
        "api", "pods", "108", "2026-W47", "267", "Cyber Monday, from 2026-11-30 until 2026-12-01",
    ]  # fmt: skip
    assert len(tables["Ways to provide the same nodes, hour by hour"].rows) == 3
    assert tables["Options: one size too many, one too few"].rows


def test_a_day_of_two_events_belongs_to_both_and_a_broken_span_is_two() -> None:
    events = (
        cm.Events.none()
        .add("launch", "2026-11-20", days=4)
        .add("flash_sale", "2026-11-21T18:00", end="2026-11-21T22:00")
        .add("launch", "2026-12-01")
    )
    dates = np.arange(np.datetime64("2026-11-19"), np.datetime64("2026-12-03"))
    assert event_runs(events, dates) == [
        ("launch", 1, 4), ("flash_sale", 2, 2), ("launch", 12, 12),
    ]  # fmt: skip


# --- one budget -----------------------------------------------------------------------------------

UNITS, WINDOWS = 6, 8


def season(seed: int, draws: int) -> np.ndarray:
    """Needs of six units in eight windows, (L, W, S, D): growth, luck of the season, of the window.

    Gumbel luck of the season, gamma of a unit and normal of each window: no tail of ours.
    """
    rng = np.random.default_rng(seed)
    shared = 0.06 * rng.gumbel(size=draws)
    own = 0.3 * rng.gamma(2.0, 0.15, size=(UNITS, 1, draws))
    window = 0.08 * rng.standard_normal((UNITS, WINDOWS, draws))
    level = np.linspace(40, 400, WINDOWS)[None, :, None] * np.exp(shared + own + window)
    growth = np.array([1.1, 1.25, 1.5])
    return np.asarray(level[:, :, None, :] * growth[None, None, :, None])


def asks(needs: np.ndarray, rates: Sequence[float] = (1.0,)) -> list[Ask]:
    """One ask per unit; each hold row's need is the season's times its rate."""

    def ask(values: np.ndarray, k: int) -> Ask:
        return Ask("pods", f"s{k}", lambda _: [Need(values, x) for x in rates], lambda x, _: x)

    return [ask(values, k) for k, values in enumerate(needs)]


def exceeded(found: list[Any], seed: int) -> float:
    after = season(seed, 4000)
    sizes = np.stack([one.units for one in found])
    over = (after > sizes[:, :, None, None]).any(axis=(0, 1))
    return float(WEIGHTS @ over.mean(axis=1))


@pytest.mark.slow
def test_windows_of_all_services_share_the_risk_of_seasons_that_did_not_size_them() -> None:
    """Each at its own 2 %, six services times eight windows are exceeded in 18 %."""
    shared, alone = [], []
    for seed in range(12):
        needs = season(seed, 1000)
        found, p_any = window_sizes(asks(needs), [HARD], weights=WEIGHTS, risk=0.02)
        assert p_any <= 0.02 + 1e-12
        shared.append(exceeded(found, 1000 + seed))
        over = season(1000 + seed, 4000)
        own = np.array([mixture_values(n, (0.98,), WEIGHTS)[0] for n in needs])
        alone.append(float(WEIGHTS @ (over > own[:, :, None, None]).any(axis=(0, 1)).mean(axis=1)))
    # One sizing scatters by 0.2 * sqrt(0.1 * 0.9 / 1000) = 0.0019; 2 se of 12, judges included.
    assert np.mean(shared) == pytest.approx(0.02, abs=0.0015)
    assert np.mean(alone) == pytest.approx(0.18, abs=0.01)


@pytest.mark.slow
def test_what_other_rows_hold_anyway_spends_no_risk_and_the_promise_stays() -> None:
    """The row at P50 / 0.6 stands above nearly every season: the row at the risk hardly asks."""
    kept, sizes = [], []
    for seed in range(8):
        needs = season(seed, 1000)
        found, p_any = window_sizes(asks(needs, (1.0, 1 / 0.72)), [HARD, P50], weights=WEIGHTS,
                                    risk=0.02)  # fmt: skip
        plain, _ = window_sizes(asks(needs), [HARD], weights=WEIGHTS, risk=0.02)
        assert p_any <= 0.02 + 1e-12
        kept.append(exceeded(found, 2000 + seed))
        stands = np.stack([mixture_values(n, (0.5,), WEIGHTS)[0] / 0.72 for n in needs])
        both = np.maximum(stands, [one.units for one in plain])
        got = np.stack([one.units for one in found])
        assert (got >= stands - 1e-9).all()
        sizes.append(got.sum() / both.sum())
    assert np.mean(kept) <= 0.02 + 0.0019
    assert max(sizes) <= 1.0 + 1e-9  # never more than to ask both rows of every window


def test_other_limits_of_the_tier_take_their_part() -> None:
    needs = season(3, 1000)
    other = season(4, 1000)[0]
    alone, _ = window_sizes(asks(needs), [HARD], weights=WEIGHTS, risk=0.02)
    beside, p_any = window_sizes(
        asks(needs), [HARD], weights=WEIGHTS, risk=0.02, others=list(other)
    )
    assert p_any <= 0.02 + 1e-12
    assert all((a.units <= b.units + 1e-9).all() for a, b in zip(alone, beside, strict=True))
    assert sum(b.units.sum() for b in beside) > sum(a.units.sum() for a in alone)


def test_infinite_needs_are_kept_and_a_policy_without_the_risk_has_no_p_any() -> None:
    needs = season(5, 200)[:2]
    needs[0, 1, :, :20] = np.inf  # a tenth of the draws: more than the risk
    found, _ = window_sizes(asks(needs), [HARD], weights=WEIGHTS, risk=0.02)
    assert np.isinf(found[0].units).tolist() == [w == 1 for w in range(WINDOWS)]
    assert np.isfinite(found[1].units).all()
    found, p_any = window_sizes(asks(needs), [P50], weights=WEIGHTS, risk=0.02)
    assert math.isnan(p_any)
    assert np.isfinite(found[0].units).all()


def test_quantiles_of_many_windows_are_those_of_each() -> None:
    needs = season(6, 333)[2]
    at = mixture_values(needs, (0.1, 0.5, 0.98), WEIGHTS)
    for q, row in zip((0.1, 0.5, 0.98), at, strict=True):
        assert row.tolist() == [need[mixture_quantile(need, q, WEIGHTS)] for need in needs]


def test_exceedance_meets_an_exponential_tail_beyond_the_draws() -> None:
    """P(x > u) of an exponential is exp(-u): 10 lies where one draw in 22,000 does."""
    draws = np.random.default_rng(8).exponential(size=(40, 1, 20_000))
    for u in (1.0, 4.0, 10.0):
        found = exceedance(draws, np.full(40, u), np.ones(1))
        assert np.median(found) == pytest.approx(math.exp(-u), rel=0.15)
    never = exceedance(draws, np.full(40, np.inf), np.ones(1))
    assert never.tolist() == [0.0] * 40


# --- ways to provide ------------------------------------------------------------------------------


def ways(plans: PlanSet) -> pd.DataFrame:
    return plans.to_frame("provisioning").set_index("way")


def test_hand_worked_node_hours(certain: PlanSet) -> None:
    """21 days: static 39 nodes, scheduled 18 on 19 of them, 33 and 39 on the events."""
    found = ways(certain)
    assert found.loc["static", "unit_hours_mean"] == 39 * 21 * 24
    assert found.loc["scheduled", "unit_hours_mean"] == 24 * (19 * 18 + 33 + 39)
    # At 60 % and three zones: 100 pods in the evening hour, 50 in others, twice and 2.5 times.
    usable = float(certain.to_frame("nodes")["cpu_cores_usable"].iloc[0])
    loss = 13 / (178 / usable)

    def nodes(pods: float) -> int:
        return 3 * math.ceil(math.ceil(pods / 3) * 2 / usable * loss - 1e-9)

    days = [1.0] * 19 + [2.0, 2.5]
    followed = sum(nodes(100 * x) + 23 * nodes(50 * x) for x in days)
    # Late by 4 minutes at both ends of a rise: what is not yet there is not yet gone either, but
    # for the first step's start and the last one's end.
    assert found.loc["autoscaled", "unit_hours_mean"] == pytest.approx(followed, rel=1e-3)
    assert found["short_hours_mean"].tolist()[:2] == [0.0, 0.0]
    assert found["status"].tolist()[:2] == ["GREEN", "GREEN"]
    assert found.loc["static", "draws"] == 100
    assert found.loc["static", "peak_units_max"] == 39


def test_usd_are_node_hours_times_the_price(certain: PlanSet) -> None:
    cost = certain.to_frame("cost")
    line = cost[(cost["scenario"] == "mixture") & (cost["kind"] == "nodes")].iloc[0]
    found = ways(certain)
    assert found.loc["static", "usd"] == line["usd"]
    price = Decimal(str(line["price_usd_per_hour"]))
    assert found.loc["scheduled", "usd"] == (price * 24 * (19 * 18 + 33 + 39)).quantize(
        Decimal("0.01")
    )
    shares = found["of_largest_x"].tolist()
    assert shares == sorted(shares, reverse=True)
    assert shares[0] == 1


def test_a_rise_above_the_headroom_leaves_an_autoscaler_short() -> None:
    """Pods at 60 % serve 1.67 times their load; the evening has twice as much.

    On ordinary days whole nodes hold it: 3 in each zone at night, 3 for 60 full pods. Black Friday
    evening needs 40 full pods in each zone, 80 / 15.89 or 6 nodes, and has 5 for 4 minutes; the
    midnight of Cyber Monday needs 25, or 4 nodes, and has 3.
    """
    found = ways(plan())
    assert found.loc["autoscaled", "short_hours_mean"] == pytest.approx(2 * DELAY_H)
    assert found.loc["autoscaled", "p_short"] == 1.0
    assert found.loc["autoscaled", "status"] == "RED"


@pytest.mark.slow
def test_a_declared_level_has_no_hours() -> None:
    declared = {**TOPOLOGY, "drivers": {"checkouts": {"today_per_min": 600, "sigma_log": 0.1}}}
    topology = cm.Topology.model_validate(declared)
    plans = (
        cm.CapacityModel(topology)
        .declare(business_tz=TZ)
        .plan(cm.Scenario(name="base"), start="2026-11-16", end="2026-12-07", as_of="2026-09-21",
              draws=100, also=["schedule"])
    )  # fmt: skip
    (row,) = plans.to_frame("provisioning").to_dict("records")
    assert (row["pool"], row["way"], row["status"]) == ("general", "", "GREY")
    assert row["reason"] == "no hours are known of checkouts: a level stands for the whole day"
    assert row["usd"] is None
    assert len(units(plans, "general")) == 3


def test_the_delay_is_the_sum_of_the_event_hours_priors() -> None:
    fields = (
        (Autoscaler, "metric_delay_s"), (Autoscaler, "sync_s"), (NodePool, "node_start_s"),
        (ServiceSpec, "pod_start_s"),
    )  # fmt: skip
    seconds = sum(spec.model_fields[name].default for spec, name in fields)
    assert seconds / 3600 == DELAY_H


def test_more_risk_never_asks_for_more() -> None:
    demand = given(p10=0.8, p90=1.6)
    strict = plan(demand=demand, risk=0.01, draws=400).to_frame("schedule")
    loose = plan(demand=demand, risk=0.10, draws=400).to_frame("schedule")
    assert (strict["units"] >= loose["units"]).all()
    assert (strict["units"] > loose["units"]).any()
    assert (strict["p_any"] <= 0.01 + 1e-12).all()
    assert "1-risk, up to hard" in set(strict["hold"])
