"""Efficiency, prices, mixes and what scenarios change, in whole plans of declared estates."""

from __future__ import annotations

import dataclasses
import datetime as dt
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from stories import PROPORTIONAL, proportional_pool

import capmodel as cm
from capmodel.cost import cents
from capmodel.errors import InputError
from capmodel.events import Events
from capmodel.plan import CapacityFit, CapacityModel, PlanSet, Study
from capmodel.plan.causes import explained_diff
from capmodel.topology import Topology

SAVED = {"pool": "general", "cores_x": 0.8, "source": "load test 2026-08"}
SEASON = ("2026-11-02", "2026-11-12")


def fit(topology: str = PROPORTIONAL) -> CapacityFit:
    import yaml

    made = Topology.model_validate(yaml.safe_load(topology))
    return CapacityModel(topology=made, events=Events.none()).declare(business_tz="UTC")


FIT = fit()


def plan(*scenarios: dict[str, Any], made: CapacityFit = FIT, **asked: Any) -> PlanSet:
    listed = [cm.Scenario.model_validate({"name": f"s{i}", **s}) for i, s in enumerate(scenarios)]
    return made.plan(
        listed, start=SEASON[0], end=SEASON[1], draws=101, seed=7, as_of="2026-09-21", **asked
    )


def steps(plans: PlanSet, scenario: str) -> dict[str, float]:
    frame = plans.to_frame("waterfall")
    return dict(frame[frame["scenario"] == scenario][["step", "nodes"]].to_numpy())


# ---- efficiency --------------------------------------------------------------------------------


@pytest.mark.slow
def test_a12_twenty_percent_fewer_cores_take_eighteen_of_ninety_nodes(tmp_path: Path) -> None:
    """90 nodes in base, 72 after; 63,452.16 - 12,690.43 = 50,761.73 USD."""
    study = proportional_pool(tmp_path)
    saved = (
        "growth_yoy_x: {checkouts: 1.25}, efficiency: [{pool: general, cores_x: 0.8, source: x}]"
    )
    text = study.read_text(encoding="utf-8")
    study.write_text(text.replace("growth_yoy_x: {checkouts: 1.25}", saved), encoding="utf-8")
    assert saved in study.read_text(encoding="utf-8")
    plans = Study.read(study).plan()
    frame = plans.to_frame("waterfall")
    base = frame[frame["scenario"] == "base"].set_index("step")
    assert base.loc["efficiency", "nodes"] == -18
    assert base.loc["efficiency", "usd"] == Decimal("-12690.43")
    assert base.loc["plan", "nodes"] == base["nodes"].drop("plan").sum() == 72
    assert base.loc["plan", "usd"] == base["usd"].drop("plan").sum() == Decimal("50761.73")
    assert base["usd"].drop(["plan", "efficiency"]).sum() == Decimal("63452.16")
    cost = plans.to_frame("cost")
    assert cost[cost["scenario"] == "base"]["usd"].tolist() == [Decimal("50761.73")]
    assert (frame[frame["scenario"] == "low"].set_index("step").loc["efficiency", "nodes"]) == 0


@pytest.mark.slow
def test_the_other_steps_know_no_efficiency() -> None:
    with_it, without = plan({"efficiency": [SAVED]}), plan({})
    for scenario in ("s0", "mixture"):
        saved, today = steps(with_it, scenario), steps(without, scenario)
        assert today["efficiency"] == 0
        assert saved["efficiency"] < 0
        kept = ("today", "organic", "event", "headroom", "failure cover")
        assert [saved[k] for k in kept] == [today[k] for k in kept]
        assert saved["plan"] == today["plan"] + saved["efficiency"]


LAUNCH = {"name": "tv", "root": "checkouts", "start": "2026-11-03", "end": "2026-11-04",
          "per_min": 4800, "source": "plan"}  # fmt: skip


def test_efficiency_counts_from_its_date() -> None:
    """The launch doubles demand on the third of November alone.

    Before that day fewer cores save its nodes; from the day after they do not: what sizes the pool
    lies before.
    """
    early, late, never = (
        steps(plan({"launches": [LAUNCH], **change}), "s0")["plan"]
        for change in (
            {"efficiency": [{**SAVED, "from": "2026-11-03"}]},
            {"efficiency": [{**SAVED, "from": "2026-11-04"}]},
            {},
        )
    )
    assert late == never
    assert early == pytest.approx(0.8 * never, abs=3)  # whole nodes in three zones


@pytest.mark.slow
def test_efficiency_after_the_season_changes_no_figure_but_itself() -> None:
    late, never = plan({"efficiency": [{**SAVED, "from": "2026-12-24"}]}), plan({})
    for name in ("limits", "nodes", "services", "cost", "waterfall", "risk", "factors"):
        pd.testing.assert_frame_equal(late.to_frame(name), never.to_frame(name))


def needed(plans: PlanSet) -> float:
    services = plans.to_frame("services")
    return float(services[services["scenario"] == "s0"]["replicas_needed"].max())


@pytest.mark.slow
def test_pods_that_memory_sizes_do_not_follow_their_cores() -> None:
    memory = PROPORTIONAL.replace(
        "usage: {cpu_cores: {per_request: 1.26}}",
        "usage: {cpu_cores: {per_request: 1.26}, memory_gib: {per_request: 3.6}}",
    )
    held = fit(memory)  # 1.26 of 1.2 cores at the target, 3.6 of 3.2 GiB: memory asks for more
    pods = [
        needed(plan(s, made=held))
        for s in ({}, {"efficiency": [SAVED]}, {"efficiency": [{**SAVED, "cores_x": 1.5}]})
    ]
    assert pods[0] == pods[1] < pods[2]


def test_what_efficiency_saves_is_explained_and_listed() -> None:
    plans = plan({"efficiency": [{**SAVED, "from": "2026-10-15"}]})
    chain = plans.explain("checkout-api", "cpu_cores").set_index("factor")
    assert chain.loc["x per_request", "value"] == pytest.approx(1.26 * 0.8)
    assert "with the scenario's efficiency" in str(chain.loc["x per_request", "source"])
    listed = plans.to_frame("assumptions").set_index("name")
    row = listed.loc["scenario s0 efficiency of general from 2026-10-15"]
    assert (row["value"], row["source"], row["basis"]) == ("0.8", "load test 2026-08", "assumed")
    assert not plans.to_frame("findings")["code"].str.startswith("efficiency").any()


@pytest.mark.slow
def test_pods_without_known_cores_keep_their_number_and_it_is_said() -> None:
    counted = PROPORTIONAL.replace("    usage: {cpu_cores: {per_request: 1.26}}\n", "").replace(
        "max: 2000", "max: 2000, today: 336"
    )
    unknown = fit(counted)
    saved, today = (plan(s, made=unknown) for s in ({"efficiency": [SAVED]}, {}))
    assert steps(saved, "s0") == steps(today, "s0")
    found = saved.to_frame("findings").set_index("code").loc["efficiency_without_usage"]
    assert found["service"] == "checkout-api"


def test_efficiency_from_before_the_end_of_the_history_may_count_twice() -> None:
    known = dataclasses.replace(FIT, last_day=dt.date(2026, 9, 20))
    saved = [{**SAVED, "from": day} for day in ("2026-09-20", "2026-09-21")]
    found = plan({"efficiency": saved}, made=known).to_frame("findings").set_index("code")
    told = str(found.loc["efficiency_in_history", "message"])
    assert told.startswith("scenario s0: from 2026-09-20,")


@pytest.mark.slow
def test_right_sizes_and_the_event_hour_count_the_cores_of_the_peak() -> None:
    """The season's only big day is the third; from then on pods burn a fifth less."""
    known = PROPORTIONAL.replace("max: 2000", "max: 2000, today: 336")
    known = known.replace("1.26}}", "1.26}, memory_gib: {per_pod: 1, per_request: 0.1}}")
    made = fit(known)
    parts = ["rightsizing", "event_hour"]
    saved: list[list[dict[str, Any]]] = [[], [{**SAVED, "from": "2026-11-03"}], [SAVED]]
    today, less, whole = (
        plan({"launches": [LAUNCH], "efficiency": change}, made=made, also=parts)
        for change in saved
    )
    for name in parts:
        assert not today.to_frame(name).equals(less.to_frame(name))
        pd.testing.assert_frame_equal(less.to_frame(name), whole.to_frame(name))
    assert "efficiency_at_the_peak" in less.to_frame("findings")["code"].tolist()
    assert "efficiency_at_the_peak" not in whole.to_frame("findings")["code"].tolist()


# ---- prices ------------------------------------------------------------------------------------

OFFER = {"type": "m6i.4xlarge", "as_of": "2026-09-10", "source": "offer of 2026-09-10"}


def priced(plans: PlanSet, scenario: str) -> pd.Series:
    frame = plans.to_frame("cost")
    return frame[frame["scenario"] == scenario].iloc[0]


def test_a_price_stands_for_the_catalog_s_with_its_date_and_source() -> None:
    plans = plan(
        {"probability": 0.75, "price": [{**OFFER, "usd_per_hour": "0.60"}]},
        {"probability": 0.25, "price": [{**OFFER, "price_x": 0.9}]},
    )
    first, second, both = (priced(plans, s) for s in ("s0", "s1", "mixture"))
    assert (first["price_usd_per_hour"], first["source"]) == (0.60, "offer of 2026-09-10")
    assert second["price_usd_per_hour"] == pytest.approx(0.768 * 0.9)
    mean = Decimal("0.75") * Decimal("0.60") + Decimal("0.25") * Decimal("0.768") * Decimal("0.9")
    assert both["usd"] == cents(Decimal(int(both["count"])) * 240 * mean)
    waterfall = plans.to_frame("waterfall")
    plan_usd = waterfall[waterfall["step"] == "plan"].set_index("scenario")["usd"]
    assert plan_usd["s0"] == first["usd"]
    assert plan_usd["mixture"] == both["usd"]
    orders = plans.to_frame("orders").set_index("kind")
    assert orders.loc["nodes", "usd"] == cents(Decimal(int(both["count"]) - 24) * 240 * mean)
    assert plans.to_frame("changes")["stage"].tolist() == ["price", "price"]


@pytest.mark.slow
def test_a_price_in_one_of_two_scenarios_weighs_with_the_catalog_s() -> None:
    plans = plan({"probability": 0.75, "price": [{**OFFER, "price_x": 0.5}]}, {"probability": 0.25})
    assert priced(plans, "s1")["price_usd_per_hour"] == 0.768
    assert priced(plans, "mixture")["price_usd_per_hour"] == pytest.approx(0.768 * 0.625)


def test_a_price_from_the_future_is_a_finding() -> None:
    plans = plan({"price": [{**OFFER, "as_of": "2026-10-01", "price_x": 0.9}]})
    codes = plans.to_frame("findings")["code"].tolist()
    assert "price_after_as_of" in codes


# ---- what broke --------------------------------------------------------------------------------


def test_each_change_names_the_limits_that_hold_without_it() -> None:
    """67.2 of the bureau's 80 rps at today's 80 checkouts a second; 24 nodes are too few anyway.

    A launch of 1,200 a minute brings 84.0, a mix of 1.1 on its calls 73.9; both break nothing that
    the other spares.
    """
    launch = {**LAUNCH, "per_min": 1200}
    mix = {"caller": "underwriting", "node": "credit-bureau", "ratio_x": 1.1, "source": "contract"}
    both = {"launches": [launch], "mix": [mix]}
    changes = plan(both, also=["changes"]).to_frame("changes").set_index("stage")
    assert changes.index.tolist() == ["mix", "additive"]
    assert changes.loc["additive", "breaks"] == "credit-bureau quota"
    assert changes.loc["mix", "breaks"] == ""
    grown = {"mix": [{**mix, "ratio_x": 1.3}], "growth_yoy_x": {"checkouts": 1.1}}
    alone = plan(grown, also=["changes"])
    rows = alone.to_frame("changes").set_index("stage")["breaks"]
    assert rows.to_dict() == {"growth": "not compared", "mix": "credit-bureau quota"}
    assert set(plan(both).to_frame("changes")["breaks"]) == {"not compared"}


def test_a_mix_raises_the_calls_of_its_days_alone() -> None:
    mix = {"caller": "underwriting", "node": "credit-bureau", "ratio_x": 1.5, "source": "phones",
           "from": "2026-11-03", "until": "2026-11-04"}  # fmt: skip
    raised, plain = (plan(s).to_frame("demand") for s in ({"mix": [mix]}, {}))
    season = [
        float(f[(f["service"] == "credit-bureau") & (f["scenario"] == "s0")]["peak_p50"].iloc[0])
        for f in (raised, plain)
    ]
    assert season[0] == pytest.approx(1.5 * season[1], rel=1e-9)
    calls = raised["service"] != "credit-bureau"
    np.testing.assert_array_equal(raised[calls]["peak_p50"], plain[calls]["peak_p50"])


# ---- names that do not exist -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "where", "got", "do"),
    [
        ({"efficiency": [{**SAVED, "pool": "genral"}]}, "efficiency", 'unknown pool "genral"',
         'Did you mean "general"?'),
        ({"launches": [{**LAUNCH, "root": "checkout"}]}, "launches.tv", 'unknown driver "checkout"',
         'Did you mean "checkouts"?'),
        ({"launches": [{**LAUNCH, "root": "checkout-api"}]}, "launches.tv",
         '"checkout-api", which has calls', "checkout-api follows checkouts; state what is added"),
        ({"anchor": {"root": "chekouts", "start": "2026-11-03", "end": "2026-11-04", "total": 1}},
         "anchor.chekouts", 'unknown driver "chekouts"', 'Did you mean "checkouts"?'),
        ({"mix": [{"caller": "checkouts", "node": "underwritng", "ratio_x": 2, "source": "x"}]},
         "mix", 'unknown node "underwritng"', 'Did you mean "underwriting"?'),
        ({"mix": [{"caller": "checkout", "node": "underwriting", "ratio_x": 2, "source": "x"}]},
         "mix.underwriting", 'unknown caller "checkout"', 'Did you mean "checkouts"?'),
        ({"price": [{**OFFER, "type": "m6i.4xlrge", "price_x": 1}]}, "price",
         'unknown type "m6i.4xlrge"', 'Did you mean "m6i.4xlarge"?'),
        ({"anchor": {"root": "checkouts", "start": "2026-11-03", "end": "2026-11-30", "total": 1}},
         "anchor.checkouts", "2026-11-03 to 2026-11-30", "Move it, or widen the horizon."),
        ({"pushes": [{"name": "a", "root": "checkouts", "start": "2026-11-12T00:00", "reach": 1,
                      "response": 1, "half_life_hours": 1, "source": "x"}]},
         "pushes.a", "sent at 2026-11-12T00:00:00", "Move it, or widen the horizon."),
        ({"launches": [{**LAUNCH, "start": "2026-11-12", "end": None}]}, "launches.tv",
         "tv from 2026-11-12 on", "Move it, or widen the horizon."),
        ({"onboarding": [{"name": "m", "root": "checkouts", "start": "2026-03-01", "per_min": 1,
                          "in_history_since": "2026-03-01", "source": "x"}]},
         "onboarding.m", "in_history_since 2026-03-01",
         "Leave it out: what the history does not hold is added."),
    ],
)  # fmt: skip
def test_names_and_days_that_do_not_exist(
    fields: dict[str, Any], where: str, got: str, do: str
) -> None:
    with pytest.raises(InputError) as error:
        plan(fields)
    (problem,) = error.value.problems
    assert (problem.where, problem.got) == (f"scenarios.s0.{where}", got)
    assert problem.do.startswith(do)
    assert problem.expected


MERCHANT = {"name": "m", "root": "checkouts", "start": "2026-03-01", "per_min": 1, "source": "x"}


@pytest.mark.parametrize(
    ("since", "got", "do"),
    [
        (None, "volume from 2026-03-01, while the history runs to 2026-09-20",
         "State in_history_since: 2026-03-01, or a start after the history."),
        ("2026-09-21", "in_history_since 2026-09-21",
         "Leave it out: what the history does not hold is added."),
        ("2026-03-01", "in_history_since of checkouts, whose level is stated",
         "Leave in_history_since out, and the merchant too if the level holds it."),
    ],
)  # fmt: skip
def test_a_merchant_and_the_history(since: str | None, got: str, do: str) -> None:
    known = dataclasses.replace(FIT, last_day=dt.date(2026, 9, 20))
    with pytest.raises(InputError) as error:
        plan({"onboarding": [{**MERCHANT, "in_history_since": since}]}, made=known)
    (problem,) = error.value.problems
    assert (problem.where, problem.got, problem.do) == ("scenarios.s0.onboarding.m", got, do)
    assert problem.expected


def test_what_is_added_is_named_where_a_load_is_explained() -> None:
    sent = {"name": "app", "root": "checkouts", "start": "2026-11-03T09:00", "reach": 1000,
            "response": 0.1, "half_life_hours": 1, "source": "CRM"}  # fmt: skip
    chain = plan({"launches": [LAUNCH], "pushes": [sent]}).explain("checkout-api", "cpu_cores")
    first = chain.iloc[0]
    assert "launch tv included, push app included" in first["source"]
    assert first["value"] == pytest.approx((4800 + 4800 + 100 * (1 - 2 ** (-1 / 60))) / 60)


@pytest.mark.slow
def test_a_plan_with_changes_is_made_again_from_its_own_record() -> None:
    """A diff re-plans from what the plans hold: prices are not taken off twice."""
    price = [{**OFFER, "price_x": 0.9}]
    old = plan({"price": price})
    new = plan({"price": price, "launches": [LAUNCH], "efficiency": [SAVED]})
    causes = explained_diff(old, new, fit=FIT)
    usd = causes[(causes["frame"] == "cost") & (causes["metric"] == "usd")].iloc[0]
    assert usd["cause"].startswith("scenarios.s0.launches +")
    assert ", scenarios.s0.efficiency -" in usd["cause"]
    for plans in (old, new):
        (recorded,) = plans.meta["catalog"]["rows"].values()
        assert recorded["price_usd_per_hour"] == "0.768"
