"""Causes: planted changes of one input and of several, each found again where it acts."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest
import stories

from capmodel.errors import InputError
from capmodel.plan import Study
from capmodel.plan.causes import UNRECORDED, UNRESOLVED, Swaps, _cause, with_causes
from capmodel.plan.changes import MOST, changed_inputs, inputs_of, mismatch
from capmodel.plan.diffs import diff_frames
from capmodel.plan.swaps import Replanner

GROWTH = "scenarios.base.growth_yoy_x.checkouts"
LIMIT = "topology.externals.credit-bureau.limit_rps"
PRICE = "catalog.m6i.4xlarge.price_usd_per_hour"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = stories.proportional_pool(tmp_path_factory.mktemp("pool"))
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("draws: 1001", "draws: 101"), encoding="utf-8")  # as odd, quicker
    return path.parent


@pytest.fixture(scope="module")
def old(folder):
    return Study.read(folder / "study.yaml").plan()


def changed(folder, name, *, topology=(), prices=(), **overrides):
    """Return the study with other values, in files of its own."""
    place = folder / name
    place.mkdir(exist_ok=True)
    for file, changes in (("topology.yaml", topology), ("prices.csv", prices), ("study.yaml", ())):
        text = (folder / file).read_text(encoding="utf-8")
        for before, after in changes:
            assert before in text
            text = text.replace(before, after)
        (place / file).write_text(text, encoding="utf-8")
    paths = {name.replace("__", "."): value for name, value in overrides.items()}
    return Study.read(place / "study.yaml", overrides=paths)


@pytest.fixture(scope="module")
def three(folder):
    """Return the study with another growth, another quota and another price."""
    return changed(
        folder, "three",
        topology=[("limit_rps: 80", "limit_rps: 90")],
        prices=[("0.6528", "0.7")],
        scenarios__base__growth_yoy_x__checkouts="1.40",
    )  # fmt: skip


@pytest.fixture(scope="module")
def three_plan(three):
    return three.plan()


@pytest.fixture(scope="module")
def three_diff(old, three, three_plan):
    return three_plan.diff(old, study=three)


def causes(frame):
    return {
        (f"{row['frame']} {row['key']}", row["metric"]): row["cause"]
        for row in frame.to_dict("records")
    }


# ---- which inputs differ -----------------------------------------------------------------------


def test_the_inputs_that_differ_are_named_with_both_values(old, three_plan):
    found = three_plan.changed_inputs(old)
    assert found.to_dict("records") == [
        {"input": PRICE, "old": "0.6528", "new": "0.7", "swaps": True},
        {"input": GROWTH, "old": "1.25", "new": "1.4", "swaps": True},
        {"input": LIMIT, "old": "80.0", "new": "90.0", "swaps": True},
    ]
    assert old.changed_inputs(old).empty


@pytest.mark.parametrize(
    ("overrides", "name"),
    [
        ({"seed": "8"}, "seed"),
        ({"draws": "1003"}, "draws"),
        ({"as_of": "2026-09-22"}, "as_of"),
        ({"season__end": "2026-12-10"}, "season.end"),
        ({"horizon__end": "2026-12-20", "season__end": "2026-12-20"}, "horizon, season"),
        ({"scenarios__low__probability": "0.35", "scenarios__base__probability": "0.45"},
         "scenarios.probability"),
        ({"scenarios__base__lift": "{cyber_monday: {checkouts: 3.0}}"},
         "scenarios.base.lift.cyber_monday"),
        ({"orders__nodes__latest_days": "6"}, "orders.nodes.latest_days"),
        ({"overlays": "[{kind: lose_zones, zones: 1}]"}, "overlays"),
        ({"title": "Another"}, None),
    ],
)  # fmt: skip
@pytest.mark.slow
def test_one_changed_field_is_one_input(folder, old, overrides, name):
    new = changed(folder, "one", **overrides).plan()
    assert [c.name for c in changed_inputs(old, new)] == ([name] if name else [])
    frame = new.diff(old)
    assert set(frame["cause"]) <= {name}
    if name in {"draws", "horizon, season", "scenarios.probability"}:
        assert not frame.empty


def test_a_scenario_more_is_one_input_with_the_probabilities(folder, old):
    study = changed(folder, "more")
    less = {**study.scenarios["low"], "probability": 0.15}
    more = {"probability": 0.10, "growth_yoy_x": {"checkouts": 1.8}}
    new = study.model_copy(update={"scenarios": {**study.scenarios, "low": less, "worst": more}})
    (change,) = changed_inputs(old, new.plan())
    assert change.name == "scenarios.probability"
    assert change.paths == (("scenarios", "low", "probability"), ("scenarios", "worst"))


def test_versions_and_histories_differ_and_are_not_swapped(old):
    meta = {**old.meta, "inputs": {"history": "ab"}}
    new = replace(old, meta=meta, environment={**old.environment, "numpy": "9.9"})
    assert [(c.name, c.swaps) for c in changed_inputs(old, new)] == [
        ("environment.numpy", False), ("history", False),
    ]  # fmt: skip


def test_many_fields_are_joined_under_the_one_that_holds_them(folder, old):
    pool = {"cpu_cores": "0.5", "memory_gib": "0.6", "quota": "0.7", "connections": "0.75",
            "storage": "0.8", "nodes": "0.9"}  # fmt: skip
    policy = "policy:\n  utilization: {" + ", ".join(f"{k}: {v}" for k, v in pool.items()) + "}\n"
    new = changed(folder, "many", topology=[("policy:\n", policy)], seed="9")
    found = changed_inputs(old, new.plan())
    assert [c.name for c in found] == ["seed", "topology.policy.utilization"]
    assert len(found) <= MOST < 1 + len(found[1].paths)


def test_plans_of_other_nodes_are_said_to_be_of_other_studies(old, shop_like):
    assert mismatch(old, old) == ""
    assert mismatch(old, shop_like) == "the plans share 2 of 5 nodes: are they of one study?"
    others = [{**one, "name": f"{one['name']} 2"} for one in old.meta["scenarios"]]
    renamed = replace(old, meta={**old.meta, "scenarios": others})
    assert mismatch(old, renamed) == "the plans share no scenario: are they of one study?"


@pytest.fixture(scope="module")
def shop_like(tmp_path_factory):
    path = stories.connections_before_cpu(tmp_path_factory.mktemp("other"))
    return Study.read(path).plan()


# ---- which input moved what --------------------------------------------------------------------


def test_several_inputs_without_a_study_are_not_guessed(old, three_plan):
    frame = three_plan.diff(old)
    assert set(frame["cause"]) == {UNRESOLVED}


def test_each_figure_gets_the_input_that_acts_on_it(three_diff):
    """A quota moves its own limit alone, a price USD alone, a growth what demand reaches."""
    found = causes(three_diff)
    assert found["limits base credit-bureau quota", "hard"] == LIMIT
    assert found["limits low credit-bureau quota", "utilization_p50"] == LIMIT
    assert found["demand base checkouts season", "peak_p50"] == GROWTH
    assert found["nodes base general", "required"] == GROWTH
    assert found["cost low general nodes", "usd"] == PRICE
    assert found["limits base checkout-api cpu_cores", "peak_p50"] == GROWTH


def test_shares_of_two_inputs_are_the_sheets(three_diff):
    """90 nodes at 0.6528 become 102 at 0.7 over 1,080 h.

    Growth: 12 x (0.6528 + 0.7) / 2 x 1,080 = 8,766.14; price: (90 + 102) / 2 x 0.0472 x 1,080
    = 4,893.70; together 13,659.84, of which 64 % and 36 %.
    """
    row = three_diff[
        (three_diff["key"] == "base general nodes") & (three_diff["metric"] == "usd")
    ].iloc[0]
    assert row["delta"] == Decimal("13659.84")
    assert row["cause"] == f"{GROWTH} 64%, {PRICE} 36%"


def test_inputs_that_offset_each_other_are_shown_with_amounts(three_diff):
    """84 of 80 is 1.05, 94.08 of 90 is 1.0453: growth +.119, the quota -.12367, as the sheet says.

    Growth: ((94.08 - 84) / 90 + (94.08 - 84) / 80) / 2 = 0.119; quota: (94.08 / 90 - 94.08 / 80 +
    84 / 90 - 84 / 80) / 2 = -0.12366667.
    """
    cause = causes(three_diff)["limits base credit-bureau quota", "utilization_p50"]
    assert cause == f"{LIMIT} -0.123667, {GROWTH} +0.119"


@pytest.mark.slow
def test_a_fit_finds_the_same_causes_as_the_study(old, three, three_plan, three_diff):
    assert three_plan.diff(old, fit=three.fit()).equals(three_diff)


def test_a_study_that_does_not_give_the_plan_is_refused(folder, old, three_plan):
    with pytest.raises(InputError) as caught:
        three_plan.diff(old, study=changed(folder, "plain"))
    (problem,) = caught.value.problems
    assert problem.where == "diff.study"
    assert "whose plan differs from NEW in" in problem.got
    assert problem.do == "Name NEW's own study, or plan it again first."


@pytest.mark.slow
def test_a_changed_history_is_the_remainder(old, three, three_plan):
    """What remains with every other input as before is the history's."""
    limits = old.frames["limits"].copy()
    bureau = limits["node"] == "credit-bureau"
    limits.loc[bureau, "peak_p50"] = limits.loc[bureau, "peak_p50"] / 2
    orders = old.frames["orders"].assign(latest_by="2026-01-01")
    before = replace(
        old,
        frames={**old.frames, "limits": limits, "orders": orders},
        meta={**old.meta, "inputs": {"history": "ab"}},
    )
    found = causes(three_plan.diff(before, study=three))
    # 42 became 94.08: growth 10.08 of 52.08.
    assert found["limits base credit-bureau quota", "peak_p50"] == f"history 81%, {GROWTH} 19%"
    assert found["limits low credit-bureau quota", "peak_p50"] == "history"
    assert found["orders nodes:general", "latest_by"] == "history"
    assert found["limits base credit-bureau quota", "hard"] == LIMIT


def test_what_no_record_explains_is_said_to_be_unrecorded(old):
    limits = old.frames["limits"].assign(peak_p50=1.0)
    before = replace(old, frames={**old.frames, "limits": limits})
    assert set(old.diff(before)["cause"]) == {UNRECORDED}


@pytest.mark.parametrize(
    ("before", "without", "only", "now", "cause"),
    [
        # Both have to change: an AND.
        ("GREEN", ("GREEN", "GREEN"), ("GREEN", "GREEN"), "RED", "together: a, b"),
        (1.0, (1.0, 1.0), (1.0, 1.0), 2.0, "together: a, b"),
        # Either alone does it: an OR.
        ("GREEN", ("RED", "RED"), ("RED", "RED"), "RED", "either: a, b"),
        # One does, whatever the other is.
        ("GREEN", ("GREEN", "RED"), ("RED", "GREEN"), "RED", "a"),
        (1.0, (1.0, 4.0), (4.0, 1.0), 4.0, "a"),
        # Sums share the change, products too.
        (10.0, (12.0, 18.0), (18.0, 12.0), 20.0, "a 80%, b 20%"),
        (None, (None, None), (None, None), 2.0, "together: a, b"),
    ],
)
def test_two_inputs_and_what_they_do_to_one_figure(before, without, only, now, cause):
    at = ("limits", "base", "status")
    swaps = Swaps(
        names=("a", "b"), before={at: before}, without=tuple({at: v} for v in without),
        only=tuple({at: v} for v in only), rest="",
    )  # fmt: skip
    assert _cause(at, {at: before}, {at: now}, swaps) == cause


@pytest.mark.slow
def test_five_inputs_are_told_apart_with_twelve_plans(folder, old):
    study = changed(
        folder, "five",
        topology=[("limit_rps: 80", "limit_rps: 90"), ("zones: 3", "zones: 4")],
        prices=[("0.6528", "0.7")],
        scenarios__base__growth_yoy_x__checkouts="1.40", seed="8",
    )  # fmt: skip
    new = study.plan()
    changes = changed_inputs(old, new)
    assert len(changes) == 5
    replanner = Replanner(plan=new, fit=study.fit(), study=study)
    frame = with_causes(diff_frames(old.frames, new.frames), old, new, changes, replanner)
    assert replanner.made == 12
    found = causes(frame)
    assert found["demand base checkouts season", "peak_p50"] == GROWTH
    assert found["nodes low general", "required"] == "topology.pools.general.zones"
    assert found["limits low credit-bureau quota", "hard"] == LIMIT


@pytest.mark.slow
def test_a_fitted_shop_is_planned_again_on_what_it_learnt(shop_dir, shop_fit, shop_plans, tmp_path):
    """A quota and a growth differ: no fit is needed for either, and a fan-out's needs one."""
    text = (shop_dir / "topology.yaml").read_text(encoding="utf-8")
    assert "limit_rps: 90" in text
    place = tmp_path / "topology.yaml"
    place.write_text(text.replace("limit_rps: 90", "limit_rps: 95"), encoding="utf-8")
    study = Study.read(
        shop_dir / "study.yaml",
        overrides={"topology": str(place), GROWTH: "1.40", "also": "[]"},
    )
    fit = shop_fit.with_topology(study.read_topology())
    new = study.plan(fit)
    assert [c.name for c in changed_inputs(shop_plans, new)] == [GROWTH, LIMIT]
    found = causes(new.diff(shop_plans, fit=fit, study=study))
    assert found["limits base credit-bureau quota", "hard"] == LIMIT
    assert found["demand base checkouts season", "peak_p50"] == GROWTH
    assert "unresolved" not in " ".join(found.values())
    assert not any("not recorded" in cause for cause in found.values())
    replanner = Replanner(plan=new, fit=fit)
    inputs = inputs_of(new)
    inputs["topology"]["services"]["underwriting"]["calls"] = {"checkouts": 9.0}
    with pytest.raises(InputError, match=r"calls\.checkouts changed, which a fit"):
        replanner.figures(inputs)
