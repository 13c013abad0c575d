"""Bad input about decisions, through files and the command: each named with its remedy, exit 2.

The story's pool of 60 nodes with one thing wrong at a time, and one file that is edited later. Old
prices are no error: the plan is made and says so.
"""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
import stories
from command import Run, runner

STORM = "overlays: [{kind: retry_storm, target: chekout-api, failure: 0.3}]\n"
FREEZE = (
    "events: {{calendar: us_retail}}\n"
    "orders: {{in_place: {{event: black_friday, days_before: 7}}, "
    "freeze: [{{start: 2026-10-01, end: 2027-01-04}}], declared: [{}]}}\n"
)
LAUNCH = "{{name: {}, root: checkouts, start: {}, end: 2026-12-01, per_min: 100, source: plan}}"


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    return runner(capsys)


@pytest.fixture
def study(tmp_path: Path) -> Path:
    return stories.proportional_pool(tmp_path)


def launches(*texts: str) -> tuple[str, str]:
    listed = ", ".join(LAUNCH.format(*text.split()) for text in texts)
    old = "base: {probability: 0.55, growth_yoy_x: {checkouts: 1.25}"
    return f"{old}}}", f"{old}, launches: [{listed}]}}"


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("probability: 0.55", "probability: 0.65",
         ["scenarios.probability: got low 0.25, base 0.65, high 0.2 (sum 1.1)",
          "Change them so that they sum to 1."]),
        ("checkouts: 1.25", "checkouts: 25",
         ["scenarios.base.growth_yoy_x.checkouts: got 25", "Did you mean 1.25?"]),
        ("checkouts: 1.25", "checkouts: 0.25",
         ["a ratio between 0.5 and 4.0", "Did you mean 1.25?"]),
        ("scenarios:", STORM + "scenarios:",
         ['overlays.0.target: got "chekout-api"', 'Did you mean "checkout-api"?']),
        (*launches("one 2026-11-10", "two 2026-11-20"),
         ["scenarios.base.launches.two: got overlapping launches of checkouts", "together"]),
        ("scenarios:", FREEZE.format(
            "{id: deploy, rule: config, item: checkout-api, action: deploy it,"
            " execute: 2026-11-09}") + "scenarios:",
         ["on 2026-11-09, inside the freeze from 2026-10-01", "waiver"]),
        ("scenarios:", FREEZE.format(
            "{id: small, rule: ec2_reservation, item: general, action: reserve one, count: 1,"
            " vcpu: 24}") + "scenarios:",
         ["24", "32 vCPU"]),
    ],
)  # fmt: skip
def test_a_study_that_contradicts_itself(study: Path, run: Run, old, new, said) -> None:
    text = study.read_text(encoding="utf-8")
    assert text.count(old) >= 1
    study.write_text(text.replace(old, new, 1), encoding="utf-8")
    done = run("plan", study)
    assert done.code == 2
    for words in said:
        assert words in done.err, done.err


@pytest.mark.parametrize(
    ("column", "value"), [("source", ""), ("as_of", ""), ("price_usd_per_hour", "-1")]
)
def test_a_price_without_source_or_date(study: Path, run: Run, column: str, value: str) -> None:
    prices = study.parent / "prices.csv"
    frame = pd.read_csv(prices, dtype=str)
    frame[column] = value
    frame.to_csv(prices, index=False)
    done = run("plan", study)
    assert done.code == 2
    assert "prices.csv" in done.err
    assert column in done.err


def test_old_prices_are_told_and_a_rule_stops_at_them(study: Path, run: Run) -> None:
    """181 days before the plan's date is a warning in the plan; the gate's rule gives exit 3."""
    prices = study.parent / "prices.csv"
    text = prices.read_text(encoding="utf-8").replace("2026-09-01", "2026-03-24")
    prices.write_text(text, encoding="utf-8")
    out = study.parent / "review"
    assert run("plan", study, "--out", out).code == 0
    findings = pd.read_csv(out / "csv" / "findings.csv")
    assert "stale_price" in set(findings["code"])
    rules = study.parent / "gates.yaml"
    rules.write_text("max_age_days: {prices: 180}\n", encoding="utf-8")
    assert run("gate", out, "--rules", rules).code == 3


def test_a_baseline_that_was_edited_after_its_freeze(study: Path, run: Run) -> None:
    out, baseline = study.parent / "review", study.parent / "baseline.json"
    assert run("plan", study, "--out", out).code == 0
    assert run("freeze", out, "--out", baseline, "--on", "2026-09-22").code == 0
    document = json.loads(baseline.read_text(encoding="utf-8"))
    document["baseline"]["note"] = "we always said so"
    baseline.write_text(json.dumps(document), encoding="utf-8")
    done = run("gate", out, "--rules", _rules(study, "season_usd"), "--baseline", baseline)
    assert done.code == 2
    assert "edited after its freeze" in done.err
    assert document["hash"] in done.err


def test_a_gate_that_names_an_unknown_metric(study: Path, run: Run) -> None:
    out = study.parent / "review"
    assert run("plan", study, "--out", out).code == 0
    done = run("gate", out, "--rules", _rules(study, "seson_usd"))
    assert done.code == 2
    assert "gates.cost.metric" in done.err
    assert 'Did you mean "season_usd"?' in done.err


def _rules(study: Path, metric: str) -> Path:
    path = study.parent / "gates.yaml"
    path.write_text(f"gates: {{cost: {{metric: {metric}, max: 100000}}}}\n", encoding="utf-8")
    return path
