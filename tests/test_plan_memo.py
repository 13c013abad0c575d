"""The decision memo: what it must say, in how many lines, and the command that prints it."""

from __future__ import annotations

from decimal import Decimal

import pytest
from command import Run, runner
from one_pool import DATES, SCENARIOS, one_pool

import capmodel as cm
from capmodel.plan import PlanSet
from capmodel.plan.memo import assumed_share

PARTS = (
    "What we ask for", "Options", "Risk before and after", "What it rests on",
    "What would change our mind", "How it would fail", "Who decides by when",
)  # fmt: skip


@pytest.fixture(scope="module")
def plans() -> PlanSet:
    fit = one_pool(sigma=0.10, unit_usd={"general": {"short_usd": 500}})
    return fit.plan(SCENARIOS, also=["tornado"], draws=501, **DATES)


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    return runner(capsys)


def part(memo: str, title: str) -> str:
    return memo.split(f"## {title}\n")[1].split("\n## ", maxsplit=1)[0]


def test_every_part_is_there_in_its_order_and_short(plans: PlanSet) -> None:
    memo = plans.to_memo()
    heads = [line.removeprefix("## ") for line in memo.splitlines() if line.startswith("## ")]
    assert tuple(heads) == PARTS
    assert len(memo.splitlines()) <= 120


def test_the_ask_has_dates_and_usd(plans: PlanSet) -> None:
    ask = part(plans.to_memo(), "What we ask for")
    (order,) = plans.to_frame("orders").to_dict("records")
    for said in (order["action"], order["latest_by"], order["in_place_by"], f"{order['usd']:,.2f}"):
        assert said in ask
    cost = plans.to_frame("cost").query("scenario == 'mixture'")
    assert f"**{sum(cost['usd'], Decimal(0)):,.2f} USD**" in ask


def test_least_regret_is_told_with_both_costs(plans: PlanSet) -> None:
    options = plans.to_frame("options")
    (least,) = options[options["chosen"].str.contains("least regret")].to_dict("records")
    said = (
        f"Least expected regret for general: {least['units']:g} nodes, with "
        f"{least['over_usd']:,.2f} USD expected for units that stand unused and "
        f"{least['under_usd']:,.2f} for units that are missing."
    )
    assert said in part(plans.to_memo(), "Options")


def test_without_a_price_there_is_no_regret_and_the_memo_says_so() -> None:
    memo = one_pool().plan(SCENARIOS, draws=100, **DATES).to_memo()
    assert "No least regret" in part(memo, "Options")
    assert "ask for it with `also: [tornado]`" in part(memo, "What would change our mind")


def test_risk_stands_before_and_after(plans: PlanSet) -> None:
    risk = plans.to_frame("risk").query("scenario == 'mixture' and tier == 0").iloc[0]
    row = f"| tier 0 | 2.0% | {risk['p_any']:.1%} | {risk['p_any_after_orders']:.1%} |"
    assert row in part(plans.to_memo(), "Risk before and after")


def test_what_moves_most_and_what_to_measure_first(plans: PlanSet) -> None:
    text = part(plans.to_memo(), "What would change our mind")
    tornado = plans.to_frame("tornado")
    # A declared estate tells nothing by a later look: its order is sized at once.
    first, second, *_ = text.strip().splitlines()
    assert first == "- Orders sized at once, at full risk: 1; the plan says why."
    assert second.startswith(f"- {tornado['input'].iloc[0]}")
    best = tornado.dropna(subset=["saves_usd"]).sort_values("saves_usd", ascending=False).iloc[0]
    assert f"Worth knowing first: {best['input']}" in text
    assert f"{best['saves_usd']:,.2f} USD less" in text


def test_stories_and_deciders_are_linked(plans: PlanSet) -> None:
    memo = plans.to_memo()
    assert r"\[general:nodes\]" in part(memo, "How it would fail")
    assert "| platform | " in part(memo, "Who decides by when")


def test_a_name_never_becomes_markup() -> None:
    hostile = "a|b*c"
    plans = one_pool().plan(cm.Scenario(name="base"), draws=100, title=f"Review {hostile}", **DATES)
    assert plans.to_memo().startswith("# Decision memo: Review a\\|b\\*c\n")


def test_the_share_that_rests_on_assumptions() -> None:
    plans = one_pool().plan(cm.Scenario(name="base"), draws=100, **DATES)
    frames = dict(plans.frames)
    assert assumed_share(frames) == 1
    services, sizing = frames["services"], frames["sizing"]
    # Half of the pool's cores are another service's, whose figures are measured.
    other = services.assign(service="other", basis="fitted")
    nodes = sizing[sizing["kind"] == "nodes"]
    frames["services"] = type(services)([*services.to_dict("records"), *other.to_dict("records")])
    frames["sizing"] = type(sizing)(
        [*nodes.to_dict("records"), *nodes.assign(service="other").to_dict("records")]
    )
    assert assumed_share(frames) == Decimal("0.5")


def test_a_plan_of_nothing_still_makes_a_memo() -> None:
    topology = cm.Topology.model_validate({"drivers": {"checkouts": {"today_per_min": 4800}}})
    plans = cm.CapacityModel(topology).declare().plan(cm.Scenario(name="base"), draws=100, **DATES)
    memo = plans.to_memo()
    assert "Nothing has to be ordered." in memo
    assert "Nothing in the plan has a price." in memo


def test_the_command_prints_and_writes_the_same(plans: PlanSet, run: Run, tmp_path) -> None:
    plans.save(tmp_path / "plan.json")
    printed = run("memo", tmp_path / "plan.json")
    assert printed.code == 0
    assert printed.out == plans.to_memo()
    done = run("memo", tmp_path / "plan.json", "--out", tmp_path / "memo.md")
    assert (done.code, done.out) == (0, "")
    assert "memo.md" in done.err
    assert (tmp_path / "memo.md").read_text(encoding="utf-8") == plans.to_memo()
    assert run("memo", tmp_path / "nothing.json").code == 2
