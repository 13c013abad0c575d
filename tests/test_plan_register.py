"""The risk register and its stories: story A7's limit by its own formula, owners, links, shares."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pytest
from one_pool import DATES, one_pool
from pydantic import ValidationError
from scipy.stats import norm

import capmodel as cm
from capmodel.plan import PlanSet

SCENARIOS = (("low", 0.25, 1.10), ("base", 0.55, 1.25), ("high", 0.20, 1.50))
P50 = np.array([5280.0, 6000.0, 7200.0])
WEIGHTS = np.array([0.25, 0.55, 0.20])
HARD = 7200.0


def a7(**limit: Any) -> PlanSet:
    """Return the plan of story A7: 7,200 checkouts a minute, three log-normals of sd 0.10."""
    bound = {
        "unit": "1/min", "per_request": {"checkouts": 60}, "hard": HARD, "policy_x": 1.0, "tier": 0,
    }  # fmt: skip
    topology = {
        "drivers": {"checkouts": {"today_per_min": 4800, "sigma_log": 0.10}},
        "limits": {"checkouts-served": bound | limit},
    }
    scenarios = [
        cm.Scenario(name=name, probability=p, demand_x={"checkouts": x}) for name, p, x in SCENARIOS
    ]
    fit = cm.CapacityModel(
        cm.Topology.model_validate(topology), events=cm.Events.us_retail(2026, 2026)
    ).declare()
    return fit.plan(
        scenarios, start="2026-11-23", end="2026-12-03", as_of="2026-09-21", seed=7, draws=20_000
    )


@pytest.fixture(scope="module")
def story() -> PlanSet:
    return a7(owner="checkout")


@pytest.fixture(scope="module")
def pool() -> PlanSet:
    scenario = cm.Scenario(name="base", growth_yoy_x={"checkouts": 1.25})
    return one_pool(sigma=0.10).plan(scenario, draws=2001, seed=1, **DATES)


def test_a7_has_one_row_with_its_risk_and_first_breach(story: PlanSet) -> None:
    (row,) = story.to_frame("register").to_dict("records")
    assert row["id"] == "checkouts-served:usage"
    assert row["p_saturate"] == pytest.approx(0.119, abs=0.007)
    assert row["p_first"] == row["p_saturate"]  # nothing else can be the first
    assert 0 < row["mc_se"] < 0.0025
    # Every declared day is alike, so who passes it at all does so on the first.
    assert row["day"] == "2026-11-23"
    assert row["hard"] == HARD
    assert row["owner_team"] == "checkout"


def test_a7s_shortfall_is_the_mean_of_the_tails(story: PlanSet) -> None:
    # E[(X - c)+] of a log-normal: m exp(s^2 / 2) Phi(d + s) - c Phi(d), with d = ln(m / c) / s.
    s, d = 0.10, np.log(P50 / HARD) / 0.10
    means = P50 * math.exp(s**2 / 2) * norm.cdf(d + s) - HARD * norm.cdf(d)
    (row,) = story.to_frame("register").to_dict("records")
    assert row["expected_shortfall"] == pytest.approx(WEIGHTS @ means, rel=0.05)
    assert row["shortfall_if"] == pytest.approx(row["expected_shortfall"] / row["p_saturate"])


def test_the_order_and_what_it_leaves_stand_beside_the_risk(story: PlanSet) -> None:
    (row,) = story.to_frame("register").to_dict("records")
    (order,) = story.to_frame("orders").to_dict("records")
    assert (row["order_id"], row["order_by"]) == (order["id"], order["latest_by"])
    left = float(WEIGHTS @ norm.sf(np.log(float(order["to"].replace(",", "")) / P50) / 0.10))
    assert row["residual_p"] == pytest.approx(left, abs=0.003)
    assert row["residual_p"] <= 0.02


def test_every_bounded_limit_has_one_row(pool: PlanSet) -> None:
    limits = pool.to_frame("limits").query("scenario == 'mixture' and hard == hard")
    register = pool.to_frame("register")
    keys = set(zip(register["node"], register["limit"], strict=True))
    assert keys == set(zip(limits["node"], limits["limit"], strict=True))
    assert len(register) == len(limits)
    assert register["id"].is_unique


def test_rows_stand_by_their_risk_and_agree_with_the_limits(pool: PlanSet) -> None:
    register = pool.to_frame("register")
    assert register["rank"].tolist() == list(range(1, len(register) + 1))
    assert register["p_saturate"].is_monotonic_decreasing
    limits = pool.to_frame("limits").query("scenario == 'mixture'").set_index(["node", "limit"])
    for row in register.to_dict("records"):
        same = limits.loc[(row["node"], row["limit"])]
        assert row["p_saturate"] == same["p_saturate"]
        assert row["status"] == same["status"]
        if same["first_hard_breach"]:
            assert row["day"] == same["first_hard_breach"]


def test_owners_callers_and_money_come_from_where_they_stand(pool: PlanSet) -> None:
    rows = pool.to_frame("register").set_index("id")
    nodes = rows.loc["general:nodes"]
    assert (nodes["owner_team"], nodes["callers"], nodes["traffic"]) == (
        "platform", "api", "checkouts 100%",
    )  # fmt: skip
    order = pool.to_frame("orders").set_index("id").loc["nodes:general"]
    assert nodes["order_id"] == "nodes:general"
    assert nodes["order_by"] == order["recommended_by"]
    assert nodes["usd"] == order["usd"]
    assert rows.loc["api:cpu_cores"]["owner_team"] == "payments"
    assert rows.loc["api:cpu_cores"]["usd"] is None


def test_a_limit_without_risk_has_no_day_and_no_shortfall(pool: PlanSet) -> None:
    row = pool.to_frame("register").set_index("id").loc["api:cpu_cores"]
    assert row["p_saturate"] == 0
    assert (row["day"], row["event"], row["order_id"]) == ("", "", "")
    assert (row["expected_shortfall"], row["shortfall_if"], row["residual_p"]) == (0, 0, 0)


def test_traffic_is_the_share_of_events_that_calls_reach() -> None:
    topology = {
        "drivers": {"checkouts": {"today_per_min": 4800}, "refunds": {"today_per_min": 60}},
        "services": {
            "api": {"calls": {"checkouts": 4, "refunds": 0.5}},
            "scoring": {"calls": {"api": 0.05}},
        },
        "externals": {"bureau": {"calls": {"scoring": 1}, "limit_rps": 10, "owner": "credit"}},
    }
    plans = (
        cm.CapacityModel(cm.Topology.model_validate(topology))
        .declare()
        .plan(cm.Scenario(name="base"), draws=100, **DATES)
    )
    (row,) = plans.to_frame("register").to_dict("records")
    # 4 x 0.05 = 20 % of checkouts and 0.5 x 0.05 = 2.5 % of refunds end at the bureau.
    assert row["traffic_share"] == pytest.approx(0.2)
    assert row["traffic"] == "checkouts 20%, refunds 2%"
    assert (row["callers"], row["owner_team"]) == ("scoring", "credit")
    # 80 x 0.2 + 1 x 0.025 = 16.025 a second against 10.
    assert row["expected_shortfall"] == pytest.approx(6.025)


def test_stories_are_of_the_likeliest_and_name_their_row(story: PlanSet, pool: PlanSet) -> None:
    (told,) = story.stories()
    assert told.startswith("On Mon 2026-11-23, the limit of checkouts-served is exceeded: more ")
    assert "by checkout" in told
    assert told.endswith("[checkouts-served:usage]")
    nodes, *rest = pool.stories()
    assert "general runs out of nodes: more than the 6 nodes there are" in nodes
    assert "nodes:general" in nodes
    assert nodes.endswith("[general:nodes]")
    assert rest == []  # nothing else is ever exceeded


def test_an_owner_has_a_name() -> None:
    with pytest.raises(ValidationError, match="owner"):
        a7(owner="")


def test_options_say_the_shortfall_the_difference_and_until_when(pool: PlanSet) -> None:
    rows = pool.to_frame("options").query("node == 'general'")
    (plan,) = rows[rows["option"].str.contains("plan")].to_dict("records")
    assert plan["vs_plan_usd"] == Decimal("0.00")
    for row in rows.to_dict("records"):
        extra = Decimal(repr(row["units"] - plan["units"])) * Decimal("46.08")
        assert row["vs_plan_usd"] == extra.quantize(Decimal("0.01"))
    shortfall = rows.sort_values("units")["expected_shortfall"]
    assert shortfall.is_monotonic_decreasing
    (today,) = rows[rows["option"].str.contains("today")].to_dict("records")
    register = pool.to_frame("register").set_index("id")
    assert today["expected_shortfall"] == register.loc["general:nodes"]["expected_shortfall"]
    order = pool.to_frame("orders").set_index("id").loc["nodes:general"]
    assert set(rows["reversible_until"]) == {order["latest_by"]}


def test_a_loaded_plan_tells_the_same_stories(pool: PlanSet, tmp_path) -> None:
    pool.save(tmp_path / "plan.json")
    again = cm.load_plan(tmp_path / "plan.json")
    assert again.stories() == pool.stories()
    pd.testing.assert_frame_equal(
        again.to_frame("register"), pool.to_frame("register"), check_dtype=False, rtol=1e-8
    )
