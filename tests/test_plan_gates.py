from __future__ import annotations

import math
from datetime import date
from decimal import Decimal

import pytest
import stories
from command import runner
from hypothesis import given
from hypothesis import strategies as st

from capmodel import documents
from capmodel.errors import InputError, Problem
from capmodel.plan import Study
from capmodel.plan.diffs import worse_status
from capmodel.plan.gates import apply_gates, input_dates
from capmodel.plan.metrics import METRICS
from capmodel.plan.rules import GateRules


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return Study.read(stories.proportional_pool(tmp_path_factory.mktemp("pool")))


@pytest.fixture(scope="module")
def old(study):
    return study.plan()


@pytest.fixture(scope="module")
def new(study):
    changed = study.model_copy(
        update={"scenarios": {**study.scenarios, "base": {"probability": 0.55,
                                                          "growth_yoy_x": {"checkouts": 1.40}}}}
    )  # fmt: skip
    return changed.plan()


def read(text: str) -> GateRules:
    return documents.parse_model(GateRules, text, name="gates.yaml")


def rule(text: str) -> GateRules:
    return read(f"gates: {{it: {{{text}}}}}")


def problems(call) -> tuple[Problem, ...]:
    with pytest.raises(InputError) as caught:
        call()
    return caught.value.problems


def only(result):
    (row,) = result.to_frame().to_dict("records")
    return row


# ---- bounds and metrics ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "value", "result"),
    [
        # The story's own numbers: 102 nodes, 71,912.45 USD, the bureau's 94.08 of 80.
        ("metric: nodes, scope: {pool: general, scenario: base}, max: 102", 102, "PASS"),
        ("metric: nodes, scope: {pool: general, scenario: base}, max: 101", 102, "FAIL"),
        ("metric: nodes, scope: {pool: general, scenario: base}, min: 103", 102, "FAIL"),
        ("metric: season_usd, scope: {scenario: base}, max: 71912.45", 71912.45, "PASS"),
        ("metric: season_usd, scope: {scenario: base}, max: 71912.44", 71912.45, "FAIL"),
        ("metric: utilization_p50, scope: {scenario: base, node: credit-bureau}, max: 1.17",
         1.176, "FAIL"),
        ("metric: utilization_p50, scope: {scenario: base, node: credit-bureau}, max: 118 %",
         1.176, "PASS"),
        ("metric: p_any, scope: {tier: 0}, max: 2 %", 0.99875, "FAIL"),
        ("metric: p_any_after_orders, scope: {tier: 0}, max: 2 %", 0.0, "PASS"),
        ("metric: status_count, scope: {status: RED, scenario: base}, max: 2", 2, "PASS"),
        ("metric: status_count, scope: {status: GREY}, max: 0", 0, "PASS"),
        ("metric: breaks_at_x, scope: {node: credit-bureau}, min: 1.2", 95.238095 / 80, "FAIL"),
        ("metric: orders_overdue, max: 0", 0, "PASS"),
        ("metric: assumed_usd_x, max: 50 %", 1.0, "FAIL"),
        ("metric: findings, scope: {severity: warning}, max: 0", 0, "PASS"),
    ],
)  # fmt: skip
def test_a_bound_on_a_figure_of_the_plan(new, text, value, result):
    row = only(new.gate(rule(text)))
    assert float(row["value"]) == pytest.approx(value, rel=1e-5)
    assert row["result"] == result


def test_every_metric_measures_a_plan(new):
    scopes = {"tier": 0, "status": "RED", "node": "general", "limit": "nodes"}
    for name, metric in METRICS.items():
        scope = {field: scopes[field] for field in metric.needs}
        row = only(new.gate(GateRules.model_validate(
            {"gates": {"it": {"metric": name, "scope": scope, "max": 1e9 if metric.unit != "ratio"
                              else 1.0}}}
        )))  # fmt: skip
        assert not math.isnan(float(row["value"])), name
        assert row["unit"] == metric.unit


@pytest.mark.parametrize(
    ("bound", "most", "result"),
    [
        ("max: +5 %", "66624.77", "FAIL"),  # 63,452.16 x 1.05
        ("max: +13.4 %", "71954.75", "PASS"),
        ("max: -5 %", "60279.55", "FAIL"),
        ("min: -5 %", "60279.55", "PASS"),
        ("max_change: 8460.29", "71912.45", "PASS"),
        ("max_change: 8460.28", "71912.44", "FAIL"),
    ],
)
def test_a_bound_against_the_baseline(old, new, bound, most, result):
    row = only(new.gate(rule(f"metric: season_usd, scope: {{scenario: base}}, {bound}"),
                        baseline=old))  # fmt: skip
    assert row["baseline"] == Decimal("63452.16")
    assert round(row["bound"], 2) == Decimal(most)
    assert row["change_x"] == pytest.approx(2 / 15)
    assert row["result"] == result


def test_the_result_names_what_a_review_asks_for(old, new):
    frame = new.gate(rule("metric: season_usd, max: +5 %"), baseline=old).to_frame()
    assert list(frame.columns)[:6] == [
        "gate", "scope", "threshold", "value", "result", "waiver_until",
    ]  # fmt: skip


def test_an_unknown_value_fails_for_want_of_evidence(old):
    from dataclasses import replace

    limits = old.frames["limits"].assign(utilization_p50=math.nan)
    grey = replace(old, frames={**old.frames, "limits": limits})
    row = only(grey.gate(rule("metric: utilization_p50, max: 0.9")))
    assert (row["result"], row["detail"]) == ("FAIL", "no evidence: the value is not known")


# ---- statuses ----------------------------------------------------------------------------------


@given(st.sampled_from(["GREEN", "AMBER", "RED", "GREY"]))
def test_a_status_is_never_worse_than_itself(status):
    assert not worse_status(status, status)


def test_worse_is_an_order_and_evidence_lost_is_worse():
    colours = ["GREEN", "AMBER", "RED"]
    worse = [(a, b) for a in colours for b in colours if worse_status(a, b)]
    assert worse == [("GREEN", "AMBER"), ("GREEN", "RED"), ("AMBER", "RED")]
    assert all(worse_status(colour, "GREY") for colour in colours)
    assert [worse_status("GREY", colour) for colour in colours] == [False, True, True]


def with_status(plan, node: str, status: str):
    from dataclasses import replace

    limits = plan.frames["limits"].copy()
    limits.loc[(limits["node"] == node) & (limits["scenario"] == "base"), "status"] = status
    return replace(plan, frames={**plan.frames, "limits": limits})


def test_a_worse_status_fails_in_its_tier_and_is_named(old):
    worse = with_status(old, "checkout-api", "AMBER")
    row = only(worse.gate(rule("no_worse_status: tier 0"), baseline=old))
    assert (row["result"], row["value"]) == ("FAIL", 1)
    assert row["detail"] == "base checkout-api cpu_cores GREEN → AMBER"
    assert only(worse.gate(rule("no_worse_status: all"), baseline=old))["result"] == "FAIL"
    assert only(worse.gate(rule("no_worse_status: tier 1"), baseline=old))["result"] == "PASS"
    assert only(old.gate(rule("no_worse_status: all"), baseline=worse))["result"] == "PASS"


def test_a_new_row_was_green_before(old):
    from dataclasses import replace

    limits = old.frames["limits"]
    without = replace(old, frames={**old.frames, "limits": limits[limits["node"] != "general"]})
    row = only(old.gate(rule("no_worse_status: tier 0"), baseline=without))
    assert row["value"] == (limits["node"] == "general").sum()
    assert row["detail"].endswith(" and 1 more")


# ---- waivers and age ---------------------------------------------------------------------------

WAIVED = "metric: nodes, max: 50, waiver_until: 2026-10-31, reason: CFO agreed"


def test_a_waiver_holds_to_its_last_day_and_then_waives_nothing(old):
    def on(day: int, month: int):
        return old.gate(rule(WAIVED), as_of=date(2026, month, day))

    held = on(31, 10)
    assert (only(held)["result"], only(held)["detail"]) == ("WAIVED", "CFO agreed")
    assert (held.failed, held.stale) == (False, False)
    ended = on(1, 11)
    assert only(ended)["result"] == "FAIL"
    assert only(ended)["detail"] == "waiver expired on 2026-10-31"
    assert ended.failed
    kept = old.gate(rule(WAIVED.replace("50", "500")), as_of=date(2026, 11, 1))
    assert only(kept)["result"] == "PASS"  # a rule that is kept needs no waiver


def test_each_input_has_its_own_age(old):
    assert input_dates(old) == {"prices": date(2026, 9, 1), "fit": date(2026, 9, 21)}
    rules = read("max_age_days: {prices: 30, fit: 9, history: 400, load_tests: 90}")
    found = old.gate(rules, as_of=date(2026, 10, 1)).to_frame().set_index("scope")
    assert found["result"].to_dict() == {
        "prices": "PASS", "fit": "STALE", "history": "STALE", "load_tests": "STALE",
    }  # fmt: skip
    assert found.loc["prices", "value"] == 30
    assert found.loc["history", "detail"] == "the plan has none"


@pytest.mark.slow
def test_a_fitted_plan_says_up_to_which_day_its_inputs_reach(shop_plans):
    days = input_dates(shop_plans)
    assert (days["history"], days["fine"]) == (date(2026, 9, 20), date(2026, 9, 19))
    assert days["fit"] == date(2026, 9, 21)
    assert days["load_tests"] == date(2026, 8, 18)  # the fixture's SOURCE.md plants it


# ---- bad input ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "where", "got", "do"),
    [
        ("metric: season_cost, max: +5 %", "it.metric", 'unknown metric "season_cost"',
         'Did you mean "season_usd"?'),
        ("metric: nodes, scope: {pol: general}, max: 5", "it.scope.pol", 'unknown scope "pol"',
         'Did you mean "pool"?'),
        ("metric: p_any, max: 2 %", "it.scope", "no tier", "Name it: scope: {tier: …}."),
        ("metric: season_usd", "it", "no threshold", "Write max: +5 %, for example."),
        ("metric: season_usd, max: +5 %, min: -5 %", "it", "max and min together",
         "Make two rules of it."),
        ("max: 5", "it", "neither metric nor no_worse_status",
         "Write metric and max, or no_worse_status: tier 0."),
        ("metric: season_usd, no_worse_status: all, max: 5", "it", "both",
         "Write metric and max, or no_worse_status: tier 0."),
        ("no_worse_status: all, max: 0", "it", "max beside no_worse_status",
         "Make it a rule of its own."),
        ("no_worse_status: tier zero", "it.no_worse_status", '"tier zero"', "Rewrite it."),
        ("metric: p_any, scope: {tier: 0}, max: 5", "it.max", "5", 'Did you mean "5 %"?'),
        ('metric: p_any, scope: {tier: 0}, max: "5"', "it.max", '"5"', 'Did you mean "5 %"?'),
        ("metric: season_usd, max: 5", "it.max", "5 USD", 'Did you mean "+5 %"?'),
        ("metric: season_usd, max: 0.05", "it.max", "0.05 USD", 'Did you mean "+5 %"?'),
        ("metric: season_usd, max: 5 %", "it.max", '"5 %" of USD', 'Did you mean "+5 %"?'),
        ("metric: nodes, max: five", "it.max", '"five"',
         "Write a number, 2 % of a ratio, or +5 %."),
        ("metric: nodes, max: 5, waiver_until: 2026-10-01", "it", "a waiver without a reason",
         "Say until when a breach is waived, by whom and why; or leave both out."),
        ("metric: nodes, max: 5, reason: CFO", "it", "a waiver without waiver_until",
         "Say until when a breach is waived, by whom and why; or leave both out."),
        ("metric: nodes, maxx: 5", "it.maxx", 'the unknown field "maxx"', 'Did you mean "max"?'),
    ],
)  # fmt: skip
def test_a_rule_that_says_no_clear_thing_is_refused(text, where, got, do):
    found = problems(lambda: rule(text))[0]
    assert found.where == f"gates.yaml:1 gates.{where}"
    assert found.got == got
    assert found.do == do
    assert found.expected


def test_all_problems_of_a_file_are_raised_together():
    text = "gates:\n  a: {metric: node, max: 1}\n  b: {metric: nodes}\nmax_age_days: {price: 3}\n"
    found = problems(lambda: read(text))
    assert [one.where for one in found] == [
        "gates.yaml:2 gates.a.metric", "gates.yaml:3 gates.b", "gates.yaml:4 max_age_days.price",
    ]  # fmt: skip
    assert found[2].do == 'Did you mean "prices"?'
    assert problems(lambda: read("gates: {}"))[0].got == "no rule"
    # A name with a space is found in the file, too.
    spaced = problems(lambda: read("gates:\n  a rule: {metric: node, max: 1}\n"))
    assert spaced[0].where == "gates.yaml:2 gates.a rule.metric"


@pytest.mark.parametrize(
    ("text", "where", "got", "do"),
    [
        ("metric: nodes, scope: {pool: genral}, max: 5", "gates.it.scope.pool", '"genral"',
         'Did you mean "general"?'),
        ("metric: season_usd, scope: {scenario: bas}, max: 500", "gates.it.scope.scenario",
         '"bas"', 'Did you mean "base"?'),
        ("metric: p_any, scope: {tier: 3}, max: 2 %", "gates.it.scope.tier", '"3"',
         "Correct the scope."),
        ("metric: status_count, scope: {status: REDD}, max: 0", "gates.it.scope.status", '"REDD"',
         'Did you mean "RED"?'),
        ("metric: replicas, scope: {service: checkout}, max: 9", "gates.it.scope.service",
         '"checkout"', 'Did you mean "checkout-api"?'),
        ("metric: orders_overdue, scope: {item: genral}, max: 0", "gates.it.scope.item",
         '"genral"', 'Did you mean "general"?'),
        ("metric: findings, scope: {severity: warn}, max: 0", "gates.it.scope.severity", '"warn"',
         'Did you mean "warning"?'),
        ("metric: season_usd, max: +5 %", "gates.it.max", "no baseline",
         "Pass baseline=..., or --baseline OLD."),
        ("no_worse_status: all", "gates.it.no_worse_status", "no baseline",
         "Pass baseline=..., or --baseline OLD."),
    ],
)  # fmt: skip
def test_a_rule_that_does_not_fit_the_plan_is_refused(old, text, where, got, do):
    (found,) = problems(lambda: old.gate(rule(text)))
    assert (found.where, found.got, found.do) == (where, got, do)


def test_a_review_before_the_plan_is_refused(old):
    (found,) = problems(lambda: apply_gates(old, rule(WAIVED), as_of=date(2026, 9, 20)))
    assert (found.where, found.expected) == ("gate.as_of", "2026-09-21 or later")


def test_a_baseline_and_texts_are_taken_as_they_come(old, new):
    rules = rule("metric: season_usd, scope: {scenario: base}, max: +5 %")
    frozen = old.freeze(on="2026-09-22")
    by_baseline = new.gate(rules, baseline=frozen, as_of="2026-10-01")
    assert by_baseline.to_frame().equals(new.gate(rules, baseline=old).to_frame())
    assert by_baseline.as_of == date(2026, 10, 1)
    assert new.diff(frozen).equals(new.diff(old))
    assert new.change_comment(frozen, gates=by_baseline).splitlines()[0].endswith("what changed")
    (found,) = problems(lambda: new.gate(rules, as_of="tomorrow"))
    assert found.where == "gate.as_of"


def test_without_a_baseline_the_comment_tells_the_gates_alone(old, tmp_path, capsys):
    old.save(tmp_path / "plan.json")
    (tmp_path / "gates.yaml").write_text("gates: {nodes: {metric: nodes, max: 90}}")
    done = runner(capsys, "gate")(
        tmp_path / "plan.json", "--rules", tmp_path / "gates.yaml", "--format", "md"
    )
    assert done.code == 0
    assert done.out.splitlines() == [
        "### Capacity review: gates", "", "- Gates as of 2026-09-21: 1 passed.", "",
        "| Gate | Threshold | Was | Is | Result |", "|---|---|---|---|---|",
        "| nodes | max 90 | - | 90 nodes | PASS |",
    ]  # fmt: skip


def test_the_command_says_bad_rules_with_exit_2(old, tmp_path, capsys):
    run = runner(capsys, "gate")
    old.save(tmp_path / "plan.json")
    (tmp_path / "gates.yaml").write_text("gates: {a: {metric: p_anyy, max: 1}}", encoding="utf-8")
    done = run(tmp_path / "plan.json", "--rules", tmp_path / "gates.yaml")
    assert done.code == 2
    assert 'Did you mean "p_any"?' in done.err
    assert run(tmp_path / "plan.json", "--rules", tmp_path / "none.yaml").code == 2
