"""Story A10, through files and the command: the pull request that changes November.

A base growth of 1.25 becomes 1.40, 6,000 checkouts a minute become 6,720 (x 1.12). 400 requests a
second need 420 pods of 2 cores, 7 to a node: 60 nodes, 90 with one of three zones to lose; 448 need
471 pods: 68 nodes, 102 with a zone to lose. 12 nodes x 0.6528 USD x 1,080 h are 8,460.29 USD.
"""

from __future__ import annotations

import csv
import io
import json
from contextlib import redirect_stdout
from decimal import Decimal
from pathlib import Path

import pytest
import stories
from command import runner

from capmodel.cli import main

GROWTH = "scenarios.base.growth_yoy_x.checkouts"
RULES = """\
gates:
  season cost: {metric: season_usd, scope: {scenario: base}, max: +5 %}
  tier 0: {no_worse_status: tier 0}
"""
FRESH = """\
gates: {nodes: {metric: nodes, scope: {pool: general, scenario: base}, max: 110}}
max_age_days: {prices: 60}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return Path(stories.proportional_pool(tmp_path_factory.mktemp("a10"))).parent


@pytest.fixture
def run(capsys):
    return runner(capsys)


def printed(*args: object) -> str:
    """Return what the command prints, outside a test."""
    with redirect_stdout(io.StringIO()) as out, pytest.raises(SystemExit, match="0"):
        main([str(arg) for arg in args])
    return out.getvalue()


@pytest.fixture(scope="module")
def plans(folder):
    """Return what CI has: the saved base plan, frozen, and the plan of the changed study."""
    old, new = folder / "old.json", folder / "new.json"
    for path, settings in ((old, ()), (new, ("--set", f"{GROWTH}=1.40"))):
        path.write_text(printed("plan", folder / "study.yaml", *settings, "--format", "json"))
    frozen = folder / "baseline.json"
    printed("freeze", old, "--out", frozen, "--on", "2026-09-22")
    return frozen, new


def rules(folder: Path, text: str) -> Path:
    path = folder / "gates.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def figures(text: str) -> dict[tuple[str, str], dict[str, str]]:
    rows = csv.DictReader(io.StringIO(text))
    return {(f"{row['frame']} {row['key']}", row["metric"]): row for row in rows}


def test_the_diff_gives_nodes_money_and_quota_each_with_its_cause(run, plans):
    done = run("diff", *plans, "--format", "csv")
    assert done.code == 0
    rows = figures(done.out)
    assert {row["cause"] for row in rows.values()} == {GROWTH}
    assert done.err.strip() == f"capmodel: {GROWTH}: 1.25 → 1.4"
    nodes = rows["nodes base general", "required"]
    assert [float(nodes[k]) for k in ("old", "new", "delta")] == [90, 102, 12]
    assert nodes["unit"] == "nodes"
    usd = rows["cost base general nodes", "usd"]
    assert [Decimal(usd[k]) for k in ("old", "delta")] == [Decimal("63452.16"), Decimal("8460.29")]
    assert Decimal(usd["delta"]) == round(12 * Decimal("0.6528") * 1080, 2)
    assert usd["unit"] == "USD"
    assert float(usd["delta_x"]) == pytest.approx(0.1333, abs=5e-5)
    bureau = rows["limits base credit-bureau quota", "peak_p50"]
    assert [float(bureau[k]) for k in ("old", "new")] == pytest.approx([84.0, 94.08], rel=1e-8)
    assert (bureau["unit"], bureau["status_old"], bureau["status_new"]) == ("1/s", "RED", "RED")


def test_only_changed_rows_are_listed(run, plans):
    rows = figures(run("diff", *plans, "--format", "csv").out)
    assert all(row["old"] != row["new"] for row in rows.values())
    # The other scenarios need what they needed; their risk changes, for more is ordered.
    others = [at for at in rows if " low" in at[0] or " high" in at[0]]
    assert {metric for _, metric in others} <= {"p_any_after_orders"}
    assert run("diff", plans[0], plans[0]).out == "no differences\n"


def test_the_gate_on_cost_fails_with_exit_1(run, plans, tmp_path):
    done = run(
        "gate", plans[1], "--rules", rules(tmp_path, RULES), "--baseline", plans[0],
        "--format", "json",
    )  # fmt: skip
    assert done.code == 1
    cost, tier = json.loads(done.out)
    assert (cost["result"], cost["threshold"]) == ("FAIL", "max +5 %")
    assert (cost["baseline"], cost["value"], cost["bound"]) == (
        "63452.16", "71912.45", "66624.77",
    )  # fmt: skip
    assert cost["change_x"] == pytest.approx(0.133, abs=5e-4)
    assert (tier["result"], tier["value"]) == ("PASS", 0)
    assert "1 failed, 1 passed" in done.err
    same = run("gate", plans[0], "--rules", rules(tmp_path, RULES), "--baseline", plans[0])
    assert same.code == 0


def test_a_tier_0_row_whose_status_worsens_fails_with_exit_1(run, folder, tmp_path):
    """At 99 rps the bureau's 84 is under the policy of .85 (84.15), 94.08 is not."""
    text = (folder / "topology.yaml").read_text(encoding="utf-8")
    study = (folder / "study.yaml").read_text(encoding="utf-8")
    high = "  high: {probability: 0.20, growth_yoy_x: {checkouts: 1.50}}\n"
    low = "  low: {probability: 0.25, growth_yoy_x: {checkouts: 1.10}}\n"
    study = study.replace(high, "").replace(low, "").replace("probability: 0.55, ", "")
    text = text.replace("sigma_log: 0.10", "sigma_log: 0.01")
    path = stories.write(
        tmp_path, topology=text.replace("limit_rps: 80", "limit_rps: 99"), study=study
    )
    (tmp_path / "prices.csv").write_text(stories.PRICES, encoding="utf-8")
    old, new = tmp_path / "old.json", tmp_path / "new.json"
    old.write_text(run("plan", path, "--format", "json").out)
    new.write_text(run("plan", path, "--set", f"{GROWTH}=1.40", "--format", "json").out)
    only = rules(tmp_path, "gates: {tier 0: {no_worse_status: tier 0}}\n")
    done = run("gate", new, "--rules", only, "--baseline", old, "--format", "json")
    (row,) = json.loads(done.out)
    assert (done.code, row["result"]) == (1, "FAIL")
    assert "base credit-bureau quota GREEN → AMBER" in row["detail"]
    other = rules(tmp_path, "gates: {tier 1: {no_worse_status: tier 1}}")
    assert run("gate", new, "--rules", other, "--baseline", old).code == 0


def test_a_stale_input_exits_3_and_a_failed_gate_goes_before_it(run, plans, tmp_path):
    """The prices are of 2026-09-01: 60 days later is 31 October."""
    new, fresh = plans[1], rules(tmp_path, FRESH)
    on_the_day = run("gate", new, "--rules", fresh, "--as-of", "2026-10-31")
    assert (on_the_day.code, on_the_day.err) == (
        0, "capmodel: Gates as of 2026-10-31: 2 passed.\n",
    )  # fmt: skip
    done = run("gate", new, "--rules", fresh, "--as-of", "2026-11-01", "--format", "json")
    gate, age = json.loads(done.out)
    assert done.code == 3
    assert (gate["result"], age["result"], age["value"]) == ("PASS", "STALE", 61)
    assert age["detail"] == "of 2026-09-01"
    both = rules(tmp_path, FRESH.replace("max: 110", "max: 101"))
    assert run("gate", new, "--rules", both, "--as-of", "2026-11-01").code == 1


def test_the_comment_has_at_most_60_lines_with_the_gates_on_top(run, plans, tmp_path):
    done = run(
        "gate", plans[1], "--rules", rules(tmp_path, RULES), "--baseline", plans[0],
        "--format", "md",
    )  # fmt: skip
    lines = done.out.splitlines()
    assert done.code == 1
    assert len(lines) <= 60
    cost, nodes, quota = (
        next(i for i, line in enumerate(lines) if text in line)
        for text in ("+8,460.29 USD (+13.3 %)", "+12 nodes (+13.3 %)", "| 84 1/s | 94.08 1/s |")
    )
    first = next(i for i, line in enumerate(lines) if "FAIL" in line)
    folded = next(i for i, line in enumerate(lines) if line.startswith("<details>"))
    assert first < cost < folded
    assert first < nodes < folded
    assert first < quota
    assert lines[-1] == "</details>"
    shown = [line for line in lines if line.startswith(("| limits:", "| demand:", "| cost:"))]
    assert all(line.endswith("scenarios.base.growth\\_yoy\\_x.checkouts |") for line in shown)
    assert run("diff", *plans, "--format", "md").out.splitlines()[-1] == "</details>"
