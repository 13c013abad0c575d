"""The option ``plan --grid``: the summary of a sweep, and axes that do not fit."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pandas as pd
import pytest
from command import Run, runner

TOPOLOGY = """\
drivers: {checkouts: {today_per_min: 4800, sigma_log: 0.1}}
externals: {bureau: {calls: {checkouts: 0.84}, limit_rps: 90, lead_days: 42, tier: 0}}
"""
STUDY = """\
business_tz: America/New_York
as_of: 2026-09-21
horizon: {start: 2026-11-20, end: 2026-12-04}
draws: 200
topology: topology.yaml
scenarios:
  base: {probability: 0.8, growth_yoy_x: {checkouts: 1.25}}
  low: {probability: 0.2, growth_yoy_x: {checkouts: 1.10}}
"""


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    return runner(capsys)


@pytest.fixture
def study(tmp_path: Path) -> Path:
    (tmp_path / "topology.yaml").write_text(TOPOLOGY, encoding="utf-8")
    path = tmp_path / "study.yaml"
    path.write_text(STUDY, encoding="utf-8")
    return path


def test_a_grid_prints_its_summary(run: Run, study: Path) -> None:
    done = run("plan", study, "--grid", "growth=1,1.25", "--grid", "lift=1,1.2")
    assert done.code == 0
    assert "growth 1.25, lift 1.2" in done.out
    assert "peak_p50" in done.out
    assert "all weigh the same" in done.err


def test_every_form_holds_the_same_rows(run: Run, study: Path) -> None:
    args = ("plan", study, "--grid", "growth=1,1.25,1.5", "--format")
    frame = pd.read_csv(io.StringIO(run(*args, "csv").out))
    assert frame["scenario"].tolist() == ["growth 1", "growth 1.25", "growth 1.5", "mixture"]
    rows = json.loads(run(*args, "json").out)
    assert [row["scenario"] for row in rows] == frame["scenario"].tolist()
    assert [row["p_any_tier_0"] for row in rows] == pytest.approx(frame["p_any_tier_0"].tolist())
    # 80 a second today at growth 1, 0.84 calls each: 67.2 against 90, 84 and 100.8.
    assert frame["peak_p50"].tolist()[:3] == pytest.approx([4800, 6000, 7200], rel=0.02)
    assert frame["p_any_tier_0"].is_monotonic_increasing or frame["p_any_tier_0"][2] > 0.8


@pytest.mark.slow
def test_a_grid_writes_its_review(run: Run, study: Path, tmp_path: Path) -> None:
    done = run("plan", study, "--grid", "growth=1,1.5", "--grid", "lift=1,1.2", "--out",
               tmp_path / "review")  # fmt: skip
    assert done.code == 0
    page = (tmp_path / "review" / "review.html").read_text(encoding="utf-8")
    assert "Risk of Tier 0, as things stand over the grid" in page  # nothing here has a price
    assert "Scenarios side by side" in page
    assert (tmp_path / "review" / "csv" / "summary.csv").exists()


@pytest.mark.parametrize(
    ("axes", "words"),
    [
        (["growth"], ["write each axis once as AXIS=X,X"]),
        (["growth=fast"], ["write each axis once as AXIS=X,X"]),
        (["growth=1.1", "growth=1.2"], ["write each axis once"]),
        (["growht=1.1"], ['unknown axis "growht"', 'Did you mean "growth"?']),
        (["growth=25"], ["grid.growth", "Did you mean 1.25?"]),
        (["growth_yoy_x.chekouts=1.1"], ['Did you mean "growth_yoy_x.checkouts"?']),
    ],
)
def test_axes_that_do_not_fit_end_in_2(
    run: Run, study: Path, axes: list[str], words: list[str]
) -> None:
    done = run("plan", study, *(part for axis in axes for part in ("--grid", axis)))
    assert done.code == 2
    assert done.out == ""
    for word in words:
        assert word in " ".join(done.err.split())
