from __future__ import annotations

from decimal import Decimal

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from capmodel.report import change_comment
from capmodel.report.comment import MOST_LINES

ROW = {
    "frame": "limits", "key": "base api cpu_cores", "metric": "peak_p50", "unit": "cores",
    "old": 504.0, "new": 564.48, "delta": 60.48, "delta_x": 0.12, "status_old": "GREEN",
    "status_new": "GREEN", "cause": "scenarios.base.growth_yoy_x.checkouts",
}  # fmt: skip
GATE = {
    "gate": "season cost", "scope": "scenario base", "threshold": "max +5 %",
    "value": Decimal("71912.45"), "result": "FAIL", "waiver_until": "", "unit": "USD",
    "baseline": Decimal("63452.16"), "change_x": 2 / 15, "detail": "",
}  # fmt: skip
INPUT = {"input": "seed", "old": "7", "new": "8"}
COLUMNS = list(ROW)


def comment(changes=(ROW,), *, inputs=(INPUT,), gates=None, lead=()) -> str:
    return change_comment(
        pd.DataFrame(list(changes), columns=COLUMNS, dtype=object),
        title="Holiday",
        inputs=pd.DataFrame(list(inputs), columns=list(INPUT)),
        gates=None if gates is None else pd.DataFrame(gates, columns=list(GATE), dtype=object),
        lead=lead,
    )


@given(
    changes=st.integers(0, 300), gates=st.integers(0, 40), inputs=st.integers(0, 30),
    lead=st.integers(0, 9),
)  # fmt: skip
def test_a_comment_has_at_most_60_lines_and_loses_nothing_silently(changes, gates, inputs, lead):
    text = comment(
        [ROW] * changes,
        inputs=[INPUT] * inputs,
        gates=[GATE] * gates,
        lead=["A sentence."] * lead,
    )
    lines = text.splitlines()
    assert len(lines) <= MOST_LINES
    shown = sum("564.5 cores" in line for line in lines)
    left = [int(line.split()[0]) for line in lines if line.endswith("--format csv")]
    assert shown + sum(left) == changes
    failed = sum(line.endswith("FAIL |") for line in lines)
    left = [int(line.split()[0]) for line in lines if "more gates" in line]
    assert failed + sum(left) == gates


def test_worse_statuses_come_first_then_money_then_what_is_bought():
    kinds = [("demand", "peak_p50"), ("limits", "peak_p50"), ("nodes", "required"), ("cost", "usd")]
    rows = [{**ROW, "frame": f, "metric": m, "key": f} for f, m in kinds]
    worse = {**ROW, "metric": "status", "unit": "", "old": "GREEN", "new": "RED", "delta": None,
             "delta_x": None, "status_new": "RED", "key": "worse"}  # fmt: skip
    better = {**worse, "old": "RED", "new": "GREEN", "status_old": "RED", "status_new": "GREEN",
              "key": "better"}  # fmt: skip
    lines = comment([*rows, better, worse]).splitlines()
    found = [line.split("|")[1].strip() for line in lines if line.startswith("| ")][1:]
    assert found == [
        "limits: worse", "limits: better", "cost: cost", "nodes: nodes", "limits: limits",
        "demand: demand",
    ]  # fmt: skip
    assert "| GREEN → RED |" in next(line for line in lines if "worse" in line)


def test_larger_changes_come_before_smaller_ones():
    rows = [{**ROW, "key": f"k{x}", "delta_x": x} for x in (0.1, -0.5, 0.3)]
    lines = [line for line in comment(rows).splitlines() if line.startswith("| limits")]
    assert [line.split()[2] for line in lines] == ["k-0.5", "k0.3", "k0.1"]


@pytest.mark.parametrize(
    ("unit", "old", "new", "delta", "delta_x", "words"),
    [
        ("USD", Decimal("63452.16"), Decimal("71912.45"), Decimal("8460.29"), 2 / 15,
         "63,452.16 USD | 71,912.45 USD | +8,460.29 USD (+13.3 %)"),
        ("USD", Decimal("71912.45"), Decimal("63452.16"), Decimal("-8460.29"), -0.11765,
         "71,912.45 USD | 63,452.16 USD | −8,460.29 USD (−11.8 %)"),
        ("ratio", 0.0026, 0.0, -0.0026, -1.0, "0.3 % | 0 % | −0.3 percentage points"),
        ("nodes", 90.0, 102.0, 12.0, 2 / 15, "90 nodes | 102 nodes | +12 nodes (+13.3 %)"),
        ("nodes", None, 102.0, None, None, "- | 102 nodes"),
        ("", "2026-11-02", "2026-10-28", None, None, "2026-11-02 | 2026-10-28"),
    ],
)  # fmt: skip
def test_figures_are_written_with_their_units(unit, old, new, delta, delta_x, words):
    row = {**ROW, "unit": unit, "old": old, "new": new, "delta": delta, "delta_x": delta_x}
    assert f"| {words} |" in comment([row])


def test_failed_gates_stand_on_top_and_passed_ones_below():
    passed = {**GATE, "gate": "nodes", "result": "PASS"}
    stale = {**GATE, "gate": "age", "result": "STALE", "unit": "days", "value": 61.0}
    lines = comment(gates=[passed, stale, GATE]).splitlines()
    rows = [line for line in lines if line.startswith("| ")][:4]
    assert [row.split("|")[1].strip() for row in rows] == ["Gate", "season cost", "age", "nodes"]
    assert rows[1].startswith(
        "| season cost | scenario base | max +5 % | 63,452.16 USD | 71,912.45 USD | +13.3 % | FAIL"
    )


def test_nothing_changed_is_said():
    text = comment([], inputs=[])
    assert "No recorded input differs." in text
    assert "No figure changed." in text


def test_names_become_no_markup():
    row = {**ROW, "key": "a|b <script> `x`", "cause": "*bold*\nline"}
    text = comment([row], lead=["<b>"])
    assert "a\\|b &lt;script&gt; \\`x\\`" in text
    assert "\\*bold\\* line" in text
    assert "<b>" not in text
