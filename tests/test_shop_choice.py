"""Grid, register and tornado of the shop: its known plan is one point of each."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

import capmodel as cm

if TYPE_CHECKING:
    from capmodel.plan import CapacityFit, PlanSet, Study

PLAN_USD = Decimal("73418.40")
PLAN_NODES = 66 + 18  # 24 + 42 of general, 9 + 9 of promo


def test_the_register_names_what_the_shop_orders(shop_plans: PlanSet) -> None:
    register = shop_plans.to_frame("register")
    limits = shop_plans.to_frame("limits").query("scenario == 'mixture' and hard == hard")
    assert len(register) == len(limits)
    linked = set(register["order_id"]) - {""}
    assert linked == set(shop_plans.to_frame("orders")["id"])
    likely = register.head(4)
    assert likely["node"].tolist() == ["general", "core-db", "promo", "credit-bureau"]
    assert likely["event"].tolist() == [
        "thanksgiving", "black_friday", "black_friday", "cyber_monday",
    ]  # fmt: skip
    assert (register["residual_p"] <= register["p_saturate"]).all()


def test_the_memo_of_the_shop_is_one_page(shop_plans: PlanSet) -> None:
    memo = shop_plans.to_memo()
    assert len(memo.splitlines()) <= 120
    assert "73,418.40 USD" in memo
    assert "+44,174.16 against what stands today" in memo


@pytest.mark.slow
def test_a_point_of_a_grid_is_the_plan_of_that_scenario(
    shop_study: Study, shop_fit: CapacityFit
) -> None:
    _, base, _ = shop_study.read_scenarios()
    alone = shop_study.plan(shop_fit, scenarios=[base.replace(probability=None)], also=())
    sweep = cm.grid(base.replace(probability=None), growth=[1.25, 1.5], lift=[1.0, 1.2])
    summary = shop_study.plan(shop_fit, scenarios=sweep, also=()).summary()
    (row,) = summary.query("scenario == 'growth 1.25, lift 1'").to_dict("records")
    cost = alone.to_frame("cost").query("scenario == 'mixture'")
    assert row["usd_season"] == sum(cost["usd"], Decimal(0)) == PLAN_USD
    assert row["nodes"] == PLAN_NODES
    for tier in range(4):
        risk = alone.to_frame("risk").query("scenario == 'mixture' and tier == @tier").iloc[0]
        assert row[f"p_any_tier_{tier}"] == risk["p_any"]
        assert row[f"p_any_after_tier_{tier}"] == risk["p_any_after_orders"]
    peak = alone.to_frame("demand").query(
        "scenario == 'base' and service == 'checkouts' and window == 'season'"
    )
    assert row["peak_p50"] == pytest.approx(peak["peak_p50"].iloc[0], rel=1e-12)


@pytest.mark.slow
def test_the_tornado_moves_around_the_known_plan(shop_study: Study, shop_fit: CapacityFit) -> None:
    frame = shop_study.plan(shop_fit, also=["tornado"]).to_frame("tornado").set_index("input")
    assert set(frame["nodes_plan"]) == {PLAN_NODES}
    assert set(frame["usd_plan"]) == {PLAN_USD}
    growth = frame.loc["growth of checkouts"]
    assert (growth["low"], growth["high"]) == (1.10, 1.50)
    assert growth["nodes_low"] < PLAN_NODES < growth["nodes_high"]
    lift = frame.loc["lift of Cyber Monday on checkouts"]
    lifts = shop_fit.demand.lifts()  # type: ignore[union-attr]
    told = lifts.query("service == 'checkouts' and event == 'cyber_monday'").iloc[0]
    assert lift["high"] / lift["low"] == pytest.approx(told["lift_p90"] / told["lift_p10"])
    slope = frame.loc["cores per request of checkout-api"]
    use = shop_fit.usage["checkout-api", "cpu_cores"]
    k = use.terms.index("per_request")
    width = float(use.high[k] - use.low[k]) / (2 * 1.959964) * 1.281552
    assert slope["high"] - slope["central"] == pytest.approx(width, rel=1e-6)
    assert slope["central"] == pytest.approx(float(use.value[k]))
