"""The summary of scenarios: each row is the plan of that scenario alone, number for number."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
from one_pool import AT_P50, DATES, NODE_USD, SCENARIOS, one_pool

import capmodel as cm
from capmodel.errors import InputError
from capmodel.plan import CapacityFit, PlanSet

EVENTFUL = DATES | {"start": "2026-11-20", "end": "2026-12-04"}
BASE = cm.Scenario(name="base", growth_yoy_x={"checkouts": 1.25})


def grid_plan(fit: CapacityFit, **axes: list[float]) -> PlanSet:
    return fit.plan(cm.grid(BASE, **axes), draws=300, seed=5, **EVENTFUL)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def fit() -> CapacityFit:
    at_risk = {"failure": "none", "quantile": "1-risk", "up_to": "hard"}
    return one_pool(sigma=0.10, events=True, hold=[at_risk, *AT_P50])


@pytest.fixture(scope="module")
def plans(fit: CapacityFit) -> PlanSet:
    return grid_plan(fit, growth=[1.1, 1.25, 1.5], lift=[1.0, 1.3])


def alone(fit: CapacityFit, scenario: cm.Scenario) -> dict[str, object]:
    """Return what a plan of one scenario says, from its own frames."""
    plan = fit.plan(scenario, draws=300, seed=5, **EVENTFUL)
    mixture = {name: plan.to_frame(name).query("scenario == 'mixture'") for name in
               ("nodes", "services", "cost", "risk")}  # fmt: skip
    limits = plan.to_frame("limits").query("scenario == @scenario.name")
    demand = plan.to_frame("demand").query(
        "service == 'checkouts' and window == 'season' and scenario == @scenario.name"
    )
    broken = limits[limits["first_hard_breach"] != ""]
    return {
        "nodes": float(mixture["nodes"]["required"].sum()),
        "pods": float(mixture["services"]["replicas_needed"].sum()),
        "usd_season": sum(mixture["cost"]["usd"], Decimal(0)),
        "p_any_tier_0": mixture["risk"]["p_any"].iloc[0],
        "p_any_after_tier_0": mixture["risk"]["p_any_after_orders"].iloc[0],
        "peak_p50": demand["peak_p50"].iloc[0],
        "peak_p95": demand["peak_p95"].iloc[0],
        "first_hard_breach": broken["first_hard_breach"].iloc[0] if len(broken) else "",
    }


@pytest.mark.slow
def test_each_row_is_the_plan_of_that_scenario_alone(fit: CapacityFit, plans: PlanSet) -> None:
    summary = plans.summary()
    sweep = cm.grid(BASE, growth=[1.1, 1.25, 1.5], lift=[1.0, 1.3])
    for scenario in sweep.scenarios(fit.roots):
        (row,) = summary[summary["scenario"] == scenario.name].to_dict("records")
        expected = alone(fit, scenario)
        assert {key: row[key] for key in expected} == expected, scenario.name
    assert summary["nodes"].nunique() > 3


def test_the_mixture_is_what_the_plan_orders(plans: PlanSet) -> None:
    (row,) = plans.summary().query("scenario == 'mixture'").to_dict("records")
    cost = plans.to_frame("cost").query("scenario == 'mixture'")
    risk = plans.to_frame("risk").query("scenario == 'mixture' and tier == 0")
    assert row["usd_season"] == sum(cost["usd"], Decimal(0))
    assert row["p_any_tier_0"] == risk["p_any"].iloc[0]
    assert row["p_any_after_tier_0"] == risk["p_any_after_orders"].iloc[0]
    assert row["weight"] == 1


def test_axes_stand_beside_their_rows_and_the_mixture_has_none(plans: PlanSet) -> None:
    summary = plans.summary()
    assert summary["growth"].tolist()[:-1] == [1.1, 1.1, 1.25, 1.25, 1.5, 1.5]
    assert summary["lift"].tolist()[:-1] == [1.0, 1.3] * 3
    assert summary.iloc[-1][["growth", "lift"]].isna().all()
    assert plans.meta["grid"] == {"growth": [1.1, 1.25, 1.5], "lift": [1.0, 1.3]}


def test_equal_weights_are_said_to_be_equal_weights(plans: PlanSet) -> None:
    assert set(plans.summary()["weights"]) == {"equal"}
    assert plans.summary()["weight"].tolist()[:-1] == pytest.approx([1 / 6] * 6)
    said = set(plans.to_frame("assumptions").query("name.str.endswith('probability')")["source"])
    assert said == {"equal, none stated"}
    assert "all weigh the same" in plans.to_html()
    assert "equal weights, nobody stated them" in plans.to_memo()


def test_lift_moves_event_days_and_growth_every_day(plans: PlanSet) -> None:
    days = plans.to_frame("demand").query("window == 'day' and service == 'checkouts'")
    p50 = days.pivot_table(index="date", columns="scenario", values="peak_p50")
    by_lift = p50["growth 1.1, lift 1.3"] / p50["growth 1.1, lift 1"]
    eventful = days.drop_duplicates("date").set_index("date")["event"].sort_index() != ""
    assert 0 < eventful.sum() < len(eventful)
    np.testing.assert_allclose(by_lift, np.where(eventful, 1.3, 1.0), rtol=1e-9)
    by_growth = p50["growth 1.5, lift 1"] / p50["growth 1.1, lift 1"]
    np.testing.assert_allclose(by_growth, 1.5 / 1.1, rtol=1e-9)


def test_the_most_special_multiple_holds_and_multiplies_an_assumed_lift(fit: CapacityFit) -> None:
    scenarios = [
        cm.Scenario(name="plain"),
        cm.Scenario(
            name="lifted",
            lift={"cyber_monday": {"checkouts": 2.0}},
            lift_x={"all_events": 1.1, "cyber_monday": 1.5},
        ),
    ]
    days = fit.plan(scenarios, draws=100, **EVENTFUL).to_frame("demand")
    p50 = days.query("window == 'day' and service == 'checkouts'").pivot_table(
        index="date", columns="scenario", values="peak_p50"
    )
    ratio = p50["lifted"] / p50["plain"]
    assert ratio["2026-11-30"] == pytest.approx(2.0 * 1.5)
    assert ratio["2026-11-27"] == pytest.approx(1.1)
    assert ratio["2026-11-23"] == pytest.approx(1.0)


def test_a_scenarios_own_price_and_efficiency_are_in_its_row_and_no_other() -> None:
    """Base: 14 nodes at 46.08 USD; dear: half the cores a call, ceil(20 / 3) = 7 nodes at 1.5 x."""
    dear = {
        "price": [
            {"type": "m6i.xlarge", "price_x": 1.5, "as_of": "2026-09-01", "source": "a quote"}
        ],
        "efficiency": [{"pool": "general", "cores_x": 0.5, "source": "a load test"}],
    }
    scenarios = [
        BASE.replace(probability=0.5),
        BASE.replace(name="dear", probability=0.5, **dear),
    ]
    plans = one_pool().plan(scenarios, also=["summary", "tornado"], draws=100, **DATES)
    summary = plans.summary().set_index("scenario")
    assert summary["nodes"].tolist()[:2] == [14, 7]
    assert summary["usd_season"]["base"] == Decimal("645.12")
    assert summary["usd_season"]["dear"] == Decimal("483.84")  # 7 x 46.08 x 1.5
    # What the tornado calls the plan is the mixture at the mean price, however often it is solved.
    rows = plans.to_frame("tornado").set_index("input")
    cost = plans.to_frame("cost").query("scenario == 'mixture'")
    assert set(rows["usd_plan"]) == {sum(cost["usd"], Decimal(0))}
    per_node = rows["usd_plan"].iloc[0] / Decimal(int(rows["nodes_plan"].iloc[0]))
    assert per_node == Decimal("57.60")  # 46.08 x (1 + 1.5) / 2
    growth = rows.loc["growth of checkouts"]
    assert growth["usd_high"] == per_node * Decimal(str(growth["nodes_high"]))


def test_stated_probabilities_weigh_the_mixture() -> None:
    fit = one_pool()
    sweep = cm.grid(growth=[1.1, 1.5], probabilities=[0.7, 0.3])
    summary = fit.plan(sweep, draws=100, **DATES).summary()
    assert summary["weight"].tolist() == pytest.approx([0.7, 0.3, 1.0])
    assert set(summary["weights"]) == {"stated"}
    assert summary["nodes"].tolist() == [12, 16, 12]  # the P50 of 70 % low is low


def test_regret_is_what_each_rows_nodes_cost_above_the_best() -> None:
    """A pod of 3.9 cores fills a node: full pods, and nodes, are ceil(19.2 x growth / 3.9).

    That is 6, 7 and 8, each certain in its scenario. A spare node costs 10, a missing one 90:
    ordering 6 misses 1 with 55 % and 2 with 20 %, 49.50 + 36.00 = 85.50; 7 has one to spare with
    25 % and misses one with 20 %, 2.50 + 18.00 = 20.50; 8 has two to spare with 25 % and one with
    55 %, 5.00 + 5.50 = 10.50, the least. The mixture's P50 is base.
    """
    fit = one_pool(
        pod_cores=3.9,
        utilization={"cpu_cores": 1.0},
        unit_usd={"general": {"spare_usd": 10, "short_usd": 90}},
    )
    plans = fit.plan(SCENARIOS, also=["summary"], draws=100, **DATES)
    summary = plans.summary()
    assert summary["nodes"].tolist() == [6, 7, 8, 7]
    assert [str(usd) for usd in summary["regret_usd"]] == ["85.50", "20.50", "10.50", "20.50"]
    assert summary["least_regret"].tolist() == [False, False, True, False]
    assert plans.rank("regret")["scenario"].tolist() == ["high", "base", "low"]


def test_rank_sorts_by_what_is_asked(plans: PlanSet) -> None:
    for by, column in (("usd", "usd_season"), ("p_any", "p_any_tier_0"), ("nodes", "nodes")):
        ranked = plans.rank(by)
        values = ranked[column].tolist()
        assert values == sorted(values)
        assert ranked["rank"].tolist() == list(range(1, 7))
        assert "mixture" not in set(ranked["scenario"])
    assert plans.rank("usd")["scenario"].iloc[0] == "growth 1.1, lift 1"


def test_rank_refuses_what_it_does_not_know(plans: PlanSet) -> None:
    with pytest.raises(InputError) as error:
        plans.rank("nods")
    (problem,) = error.value.problems
    assert (problem.where, problem.got) == ("rank.by", "'nods'")
    assert problem.expected == "one of: usd, p_any, nodes, regret"
    assert problem.do == 'Did you mean "nodes"?'
    with pytest.raises(InputError, match="unit_usd"):
        plans.rank("regret")


def test_a_plan_without_a_summary_says_how_to_have_one() -> None:
    plans = one_pool().plan(BASE, draws=100, **DATES)
    with pytest.raises(InputError) as error:
        plans.summary()
    (problem,) = error.value.problems
    assert problem.where == "summary"
    assert problem.expected == 'a plan made with also=["summary"]'


def test_an_event_that_is_not_there_is_refused(fit: CapacityFit) -> None:
    with pytest.raises(InputError, match='Did you mean "cyber_monday"'):
        fit.plan(cm.grid(axes={"lift_x.cyber_mondy": [1.2]}), draws=100, **EVENTFUL)


def test_the_grid_survives_its_file(plans: PlanSet, tmp_path) -> None:
    plans.save(tmp_path / "plan.json")
    again = cm.load_plan(tmp_path / "plan.json")
    assert again.hash == plans.hash
    assert again.rank("usd")["scenario"].tolist() == plans.rank("usd")["scenario"].tolist()
    assert again.plot("grid").get_title(loc="left") == plans.plot("grid").get_title(loc="left")


def test_two_axes_are_cells_and_one_a_line(fit: CapacityFit, plans: PlanSet) -> None:
    cells = plans.plot("grid", of="nodes")
    shown = {text.get_text() for text in cells.texts}
    assert {f"{nodes:g}" for nodes in plans.summary()["nodes"][:-1]} <= shown
    assert len(cells.patches) == 6
    line = grid_plan(fit, growth=[1.1, 1.5]).plot("grid", of="nodes").lines[0]
    assert np.asarray(line.get_xdata()).tolist() == [1.1, 1.5]


def test_a_figure_of_no_grid_and_of_no_column_is_refused(plans: PlanSet) -> None:
    with pytest.raises(InputError) as error:
        plans.plot("grid", of="node")
    assert error.value.problems[0].do == 'Did you mean "nodes"?'
    named = one_pool().plan(BASE, also=["summary"], draws=100, **DATES)
    with pytest.raises(InputError, match="one by one"):
        named.plot("grid")


def test_sums_are_to_the_cent(plans: PlanSet) -> None:
    summary = plans.summary()
    hours = 14 * 24
    for nodes, usd in zip(summary["nodes"], summary["usd_season"], strict=True):
        assert usd == Decimal(str(round(nodes * NODE_USD / 240 * hours, 2)))
    assert isinstance(summary, pd.DataFrame)
