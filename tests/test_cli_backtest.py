"""The command ``backtest``, in process: what is printed where, the exit codes, and patience."""

from __future__ import annotations

import csv
import io
import json
import os
import pty
import re
import sys
import termios
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from command import Run, runner
from demand_worlds import planted

from capmodel.cli import progress
from capmodel.cli.backtests import MODELS

STUDY = """\
business_tz: America/New_York
horizon: {start: 2027-06-01, end: 2027-07-01}
season: {start: 2027-06-15, end: 2027-06-29}
draws: 100
seed: 7
topology: topology.yaml
history: {base: history.csv}
events: {calendar: none}
scenarios: {base: {}}
"""
CALL = ("--models", "batched,seasonal_naive", "--origins", "2", "--horizon-days", "28")
PLAIN = ("--models", "seasonal_naive", *CALL[2:])


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    return runner(capsys, "backtest")


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("study")
    series = planted("2026-01-05 05:00", "2026-07-06 04:00", lifts={})
    columns = {"service": "checkouts", "time": series.index, "per_min": series.round(3)}
    pd.DataFrame(columns).to_csv(folder / "history.csv", index=False)
    (folder / "topology.yaml").write_text("drivers: {checkouts: {}}\n", encoding="utf-8")
    path = folder / "study.yaml"
    path.write_text(STUDY, encoding="utf-8")
    return path


def test_the_overview_compares_models(run: Run, study: Path) -> None:
    done = run(study, *CALL)
    assert done.code == 0
    headings = [line for line in done.out.splitlines() if line.isalpha()]
    assert headings == ["summary", "horizon", "coverage", "peak", "refused"]
    for model in ("batched", "seasonal_naive", "weekly_seasonal_naive"):
        assert re.search(rf"^{model} +2 +2 +\d+\.\d%", done.out, flags=re.MULTILINE), model
    assert re.search(r"^days 8-28 +batched +2 ", done.out, flags=re.MULTILINE)
    assert "(no rows)" in done.out.rpartition("refused")[2]
    assert "train to 2026-06-07, judge 2026-06-08 to 2026-07-05" in done.err
    assert "train" not in done.out


def test_an_event_cut_judges_the_study_s_season_instead(run: Run, study: Path) -> None:
    done = run(study, "--models", "batched", "--event-cut", "2026-05-31", "--format", "json")
    assert done.code == 0
    frames = json.loads(done.out)
    assert set(frames) == {"summary", "scores", "buckets", "quantiles", "peaks", "refused"}
    assert {row["origin"] for row in frames["scores"]} == {"2026-06-01"}
    assert {row["n_hours"] for row in frames["scores"]} == {14 * 24}
    assert "train to 2026-05-31, judge 2026-06-15 to 2026-06-28" in done.err
    both = run(study, *PLAIN, "--event-cut", "2026-05-31", "--table", "scores", "--format", "csv")
    rows = list(csv.DictReader(io.StringIO(both.out)))
    assert sorted({row["origin"] for row in rows}) == ["2026-05-11", "2026-06-01", "2026-06-08"]


def test_without_a_season_an_event_cut_judges_november(run: Run, study: Path) -> None:
    done = run(study, "--event-cut", "2026-05-31", "--set", "season=null")
    assert done.code == 2
    assert "judged to 2026-12-03" in done.err


def test_formats_hold_the_same_frame(run: Run, study: Path) -> None:
    call = (*PLAIN, "--table", "summary")
    records = json.loads(run(study, *call, "--format", "json").out)
    rows = list(csv.DictReader(io.StringIO(run(study, *call, "--format", "csv").out)))
    assert [row["model"] for row in rows] == [record["model"] for record in records]
    assert float(rows[0]["wape"]) == pytest.approx(records[0]["wape"], rel=1e-8)
    assert float(rows[0]["wape"]) > 0
    markdown = run(study, *PLAIN, "--format", "md").out
    assert "## horizon" in markdown
    assert "| day 1 | seasonal_naive |" in markdown


def test_a_table_alone_has_every_column(run: Run, study: Path) -> None:
    done = run(study, *PLAIN, "--table", "peaks")
    assert "local_time" in done.out.splitlines()[0]
    assert "summary" not in done.out


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--models", "batched,profet"], ["unknown model", 'did you mean "prophet"?']),
        (["--models", ","], ["one or more models"]),
        (["--origins", "0"], ["--origins"]),
        (["--origins", "9"], ["origins: got 9 cuts", "expected at most"]),
        (["--horizon-days", "x"], ["--horizon-days"]),
        (["--event-cut", "30 June"], ["event cut", "a local date"]),
        (["--format", "csv"], ["--table summary|scores"]),
        (["--table", "score"], ["'score' is not one of"]),
        (["--set", "history=null"], ["add history", "got a study without history"]),
    ],
)
def test_bad_arguments(run: Run, study: Path, args: list[str], words: list[str]) -> None:
    done = run(study, *args)
    assert (done.code, done.out) == (2, "")
    assert "Traceback" not in done.err
    for word in words:
        assert word.lower() in done.err.lower()


def test_data_that_a_fit_refuses_is_refused(run: Run, study: Path, tmp_path: Path) -> None:
    lines = (study.parent / "history.csv").read_text(encoding="utf-8").splitlines()
    (tmp_path / "history.csv").write_text("\n".join(lines[: 24 * 10]), encoding="utf-8")
    for name in ("study.yaml", "topology.yaml"):
        (tmp_path / name).write_text((study.parent / name).read_text(encoding="utf-8"))
    done = run(tmp_path / "study.yaml", *CALL)
    assert done.code == 2
    assert "too_short" in done.err
    assert "accept: [too_short]" in done.err


def test_nothing_that_could_be_compared_is_said(run: Run, study: Path, tmp_path: Path) -> None:
    """A launch that nothing in the past is like: the only model with a row is the reference."""
    text = STUDY.replace(
        "{calendar: none}",
        "{calendar: none, add: [{name: launch, start: 2026-06-20}]}",
    )
    (tmp_path / "study.yaml").write_text(text, encoding="utf-8")
    for name in ("history.csv", "topology.yaml"):
        (tmp_path / name).write_text((study.parent / name).read_text(encoding="utf-8"))
    done = run(
        tmp_path / "study.yaml", "--models", "batched", "--origins", "1", "--horizon-days", "28",
        "--table", "refused",
    )  # fmt: skip
    assert done.code == 0
    assert "2026-06-08  batched  checkouts  forecast" in done.out
    assert "launch on 2026-06-20" in done.out


@pytest.mark.parametrize("name", sorted(MODELS))
def test_every_name_makes_a_model(name: str) -> None:
    from capmodel.demand.protocol import DemandModel

    assert isinstance(MODELS[name](), DemandModel)


# ---- the bar ------------------------------------------------------------------------------------


def shown_on_a_terminal(monkeypatch: pytest.MonkeyPatch, steps: Callable[[], None]) -> str:
    """Return what a step writes to a standard error that is a terminal."""
    reader, writer = pty.openpty()
    termios.tcsetwinsize(writer, (24, 100))
    with os.fdopen(writer, "w") as terminal:
        monkeypatch.setattr(sys, "stderr", terminal)
        steps()
        print("end", file=terminal, flush=True)
        monkeypatch.undo()
        text = ""
        while "end" not in text:
            text += os.read(reader, 65536).decode()
    os.close(reader)
    return text


def three_steps() -> None:
    with progress.bar("backtest") as tell:
        for done in range(4):
            tell(done, 3, f"prophet at cut {done}")
            time.sleep(0.06)


@pytest.mark.slow
def test_a_bar_is_drawn_on_a_terminal_once_it_takes_long(monkeypatch: pytest.MonkeyPatch) -> None:
    assert shown_on_a_terminal(monkeypatch, three_steps).strip() == "end"  # not yet 2 s
    monkeypatch.setattr(progress, "PATIENCE_S", 0.05)
    shown = shown_on_a_terminal(monkeypatch, three_steps)
    assert re.search(r"capmodel: backtest: prophet at cut \d +\d+% \|", shown)
    assert shown.rstrip().endswith("\rend")  # and is wiped away


def test_elsewhere_the_step_is_named_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(progress, "PATIENCE_S", 0.05)
    three_steps()
    captured = capsys.readouterr()
    assert captured.err == "capmodel: backtest …\n"
    assert captured.out == ""
