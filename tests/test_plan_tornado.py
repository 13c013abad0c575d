"""The tornado on an estate that is worked by hand: one input at a time, everything else the plan's.

The sheet (see ``one_pool``): growth 1.25 needs ceil(32 x 1.25) = 40 pods on 14 nodes, 645.12 USD.

====================  =====  ====  =====  =====
input                 value  pods  nodes  USD
====================  =====  ====  =====  =====
growth                1.125    36     12  552.96
growth                1.375    44     15  691.20
core s per request    0.054    36     12  552.96
core s per request    0.066    44     15  691.20
calls per checkout      3.6    36     12  552.96
calls per checkout      4.4    44     15  691.20
planned utilization    0.55    44     15  691.20
planned utilization    0.65    37     13  599.04
prices                  0.9    40     14  580.61
prices                  1.1    40     14  709.63
====================  =====  ====  =====  =====
"""

from __future__ import annotations

import itertools
import math
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
from matplotlib.patches import Rectangle
from one_pool import DATES, NODE_USD, SCENARIOS, one_pool

import capmodel as cm
from capmodel.plan import PlanSet

BASE = cm.Scenario(name="base", growth_yoy_x={"checkouts": 1.25})
SHEET = {
    "growth of checkouts": ((1.125, 36, 12), (1.375, 44, 15)),
    "cores per request of api": ((0.054, 36, 12), (0.066, 44, 15)),
    "calls of api per checkouts": ((3.6, 36, 12), (4.4, 44, 15)),
    "planned utilization": ((0.55, 44, 15), (0.65, 37, 13)),
}


@pytest.fixture(scope="module")
def plans() -> PlanSet:
    return one_pool().plan(BASE, also=["tornado"], draws=100, **DATES)


def rows_of(plans: PlanSet) -> dict[str, pd.Series]:
    frame = plans.to_frame("tornado")
    return {str(row["input"]): row for _, row in frame.iterrows()}


def test_every_input_moves_what_the_sheet_says(plans: PlanSet) -> None:
    rows = rows_of(plans)
    assert set(rows) == {*SHEET, "prices"}
    for name, ends in SHEET.items():
        row = rows[name]
        for end, (value, pods, nodes) in zip(("low", "high"), ends, strict=True):
            assert math.ceil(pods / 3) == nodes
            assert row[end] == pytest.approx(value)
            assert row[f"nodes_{end}"] == nodes
            assert row[f"usd_{end}"] == Decimal(str(round(nodes * NODE_USD, 2)))
        assert row["nodes_plan"] == 14
        assert row["usd_plan"] == Decimal("645.12")
        assert row["swing_usd"] == max(row["usd_low"], row["usd_high"], row["usd_plan"]) - min(
            row["usd_low"], row["usd_high"], row["usd_plan"]
        )


def test_prices_move_the_bill_and_no_node(plans: PlanSet) -> None:
    row = rows_of(plans)["prices"]
    assert (row["usd_low"], row["usd_high"]) == (Decimal("580.61"), Decimal("709.63"))
    assert row["swing_nodes"] == 0


def test_the_widest_stands_on_top(plans: PlanSet) -> None:
    frame = plans.to_frame("tornado")
    assert frame["rank"].tolist() == list(range(1, len(frame) + 1))
    swings = frame["swing_usd"].tolist()
    assert swings == sorted(swings, reverse=True)
    assert swings[-1] == Decimal("92.16")  # 15 to 13 nodes at another utilization


def test_risk_moves_with_the_load_as_things_stand() -> None:
    # 6 nodes of 3.92 cores hold 23 whole pods; full ones are 80 x 4 x 0.06 = 19.2 x growth.
    plans = one_pool(sigma=0.10).plan(BASE, also=["tornado"], draws=4001, **DATES)
    row = rows_of(plans)["growth of checkouts"]

    def p_above(growth: float) -> float:
        return 0.5 * math.erfc(math.log(23 / (19.2 * growth)) / 0.10 / math.sqrt(2))

    for end, growth in (("low", 1.125), ("plan", 1.25), ("high", 1.375)):
        # Four standard errors of 4,001 draws are 3 points.
        assert row[f"p_any_{end}"] == pytest.approx(p_above(growth), abs=0.03)


def test_what_knowing_the_growth_saves_is_the_mean_over_the_scenarios() -> None:
    # Known: 12, 14 and 16 nodes with 25, 55 and 20 %: 13.9 on average instead of the mixture's 14.
    plans = one_pool().plan(SCENARIOS, also=["tornado"], draws=100, **DATES)
    row = rows_of(plans)["growth of checkouts"]
    assert (row["low"], row["central"], row["high"]) == pytest.approx((1.10, 1.2625, 1.50))
    assert row["range"] == "the scenarios' lowest and highest"
    assert (row["nodes_low"], row["nodes_plan"], row["nodes_high"]) == (12, 14, 16)
    assert row["usd_if_known"] == Decimal("640.51")  # 13.9 x 46.08 = 640.512
    assert row["saves_usd"] == Decimal("4.61")
    others = plans.to_frame("tornado").query("kind != 'growth'")
    assert others["usd_if_known"].isna().all()


def test_an_end_is_the_plan_that_holds_this_value() -> None:
    fit = one_pool(sigma=0.10)
    row = rows_of(fit.plan(BASE, also=["tornado"], draws=300, seed=3, **DATES))
    for end, growth in itertools.product(("low", "high"), (1.125, 1.375)):
        moved = row["growth of checkouts"]
        if not math.isclose(moved[end], growth):
            continue
        again = fit.plan(
            BASE.replace(growth_yoy_x={"checkouts": growth}), draws=300, seed=3, **DATES
        )
        nodes = again.to_frame("nodes").query("scenario == 'mixture'")["required"].sum()
        risk = again.to_frame("risk").query("scenario == 'mixture' and tier == 0")
        assert moved[f"nodes_{end}"] == nodes
        assert moved[f"p_any_{end}"] == risk["p_any"].iloc[0]


def test_a_stated_peak_is_moved_itself() -> None:
    scenarios = [
        cm.Scenario(
            name=name, probability=p, peak={"checkouts": cm.LogNormal(p50=p50, p95=p50 * 1.178)}
        )
        for name, p, p50 in (("low", 0.4, 5280), ("high", 0.6, 7200))
    ]
    plans = one_pool().plan(scenarios, also=["tornado"], draws=100, **DATES)
    row = rows_of(plans)["stated peak of checkouts"]
    assert (row["low"], row["central"], row["high"]) == pytest.approx((5280, 6432, 7200))
    assert row["nodes_low"] < row["nodes_high"]


def test_a_plan_without_the_part_has_no_tornado() -> None:
    plans = one_pool().plan(BASE, draws=100, **DATES)
    assert "tornado" not in plans.frames


def test_the_tornado_survives_its_file(plans: PlanSet, tmp_path) -> None:
    plans.save(tmp_path / "plan.json")
    again = cm.load_plan(tmp_path / "plan.json")
    pd.testing.assert_frame_equal(
        again.to_frame("tornado"), plans.to_frame("tornado"), check_dtype=False, rtol=1e-8
    )
    assert again.hash == plans.hash


def test_the_figure_draws_a_bar_to_each_end(plans: PlanSet) -> None:
    ax = plans.plot("tornado")
    bars = [bar for bar in ax.patches if isinstance(bar, Rectangle)]
    ends = {round(bar.get_x() + bar.get_width(), 2) for bar in bars}
    assert {552.96, 691.20, 599.04, 580.61, 709.63} <= ends
    assert [np.asarray(line.get_xdata()).tolist()[0] for line in ax.lines] == [645.12]
    assert np.isfinite(ax.get_xlim()).all()
