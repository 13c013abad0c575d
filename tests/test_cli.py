"""The command, in process: what is printed where, which exit code, and what bad input gets told."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from command import Done, Run, runner

from capmodel.cli import main, progress
from capmodel.cli.commands import capmodel
from capmodel.cli.tables import say
from capmodel.plan import PlanSet, Study

if TYPE_CHECKING:
    from capmodel.plan import CapacityFit

# Story A5 of the reference estate, everything declared: three callers that keep 20, 15 and 20
# connections in each of 40, 15 and 20 pods today, and 2,000 queries a second.
TOPOLOGY = """\
drivers:
  checkouts: {today_per_min: 600}
services:
  checkout-api:
    calls: {checkouts: 4}
    tier: 0
    pod: {cpu_cores: 1, memory_gib: 2}
    imbalance_x: 1
    replicas: {max: 200, today: 40}
    usage: {cpu_cores: {per_request: 0.6}}
  account-service:
    calls: {checkouts: 1.5}
    tier: 0
    pod: {cpu_cores: 1, memory_gib: 2}
    imbalance_x: 1
    replicas: {max: 200, today: 15}
    usage: {cpu_cores: {per_request: 0.6}}
  ledger:
    calls: {checkouts: 2}
    tier: 0
    pod: {cpu_cores: 1, memory_gib: 2}
    imbalance_x: 1
    replicas: {max: 200, today: 20}
    usage: {cpu_cores: {per_request: 0.6}}
databases:
  core-db:
    class: db.r6g.4xlarge
    max_connections: 4000
    usage: {cpu_cores: {idle: 0.4, per_read: 0.00156}}
    used_by:
      checkout-api: {reads: 30, pool_max: 20}
      account-service: {reads: 20, pool_max: 15}
      ledger: {reads: 25, pool_max: 20}
policy: {surge: 0}
"""
STUDY = """\
business_tz: America/New_York
as_of: 2026-09-21
horizon: {start: 2026-11-02, end: 2026-12-17}
draws: 100
seed: 7
topology: topology.yaml
events: {calendar: us_retail}
scenarios:
  base:
    probability: 0.8
    lift:
      thanksgiving: {checkouts: 1.6}
      black_friday: {checkouts: 2.6}
      cyber_monday: {checkouts: 3.0}
  low:
    probability: 0.2
    lift: {black_friday: {checkouts: 2.0}, cyber_monday: {checkouts: 2.2}}
also: []
"""
HISTORY = """\
business_tz: America/New_York
horizon: {start: 2026-11-02, end: 2026-12-17}
topology: topology.yaml
history: {base: history.csv}
scenarios: {base: {}}
also: []
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


@pytest.fixture(scope="module")
def declared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a plan of the declared study, written by the command."""
    folder = tmp_path_factory.mktemp("declared")
    (folder / "topology.yaml").write_text(TOPOLOGY, encoding="utf-8")
    (folder / "study.yaml").write_text(STUDY, encoding="utf-8")
    with pytest.raises(SystemExit) as stop:
        main(["plan", str(folder / "study.yaml"), "--out", str(folder / "review")])
    assert stop.value.code == 0
    return folder / "review"


def change(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


# ---- help --------------------------------------------------------------------------------------


def test_help_names_every_command_and_the_exit_codes(run: Run) -> None:
    done = run("--help")
    assert done.code == 0
    names = (
        "backtest",
        "check",
        "diff",
        "explain",
        "fit",
        "freeze",
        "gate",
        "plan",
        "report",
        "sweep",
    )
    for name in names:
        assert re.search(rf"^  {name} +\S", done.out, flags=re.MULTILINE), name
    assert "1 a gate failed" in done.out
    assert "2 bad input" in done.out
    assert "3 inputs stale" in done.out
    assert "70 a fault" in done.out


@pytest.mark.parametrize("command", sorted(capmodel.commands))
def test_every_option_says_what_it_is_by_default(command: str) -> None:
    for option in capmodel.commands[command].params:
        if option.param_type_name == "option":
            words = getattr(option, "help", None) or ""
            shown = getattr(option, "show_default", False)
            assert len(words) > 20, option.name
            assert shown or "default" in words, option.name


def test_version_is_the_package_s(run: Run) -> None:
    from importlib.metadata import version

    assert run("--version").out == f"capmodel {version('capmodel')}\n"


# ---- plan --------------------------------------------------------------------------------------


def test_plan_prints_the_headline_and_the_ladder(run: Run, study: Path) -> None:
    done = run("plan", study)
    assert done.code == 0
    first, *_ = done.out.splitlines()
    assert first.startswith("First to break: core-db connections on Mon 2026-11-30")
    # 3.0 times 1,425 connections of a limit of 4,000; 0.4 + 0.00156 * 6,000 of 16 cores.
    assert re.search(r"^RED +core-db +connections +4,275 +4,000", done.out, flags=re.MULTILINE)
    assert re.search(r"^GREEN +core-db +cpu_cores +9\.76 +16", done.out, flags=re.MULTILINE)
    # The database of the story has no reader to fail over to, which the policy's zone loss asks.
    assert done.err == "capmodel: 1 warning about data and model: --out writes them down\n"
    assert sorted(p.name for p in study.parent.iterdir()) == ["study.yaml", "topology.yaml"]


def test_plan_out_writes_a_folder_and_says_which_file_to_open(run: Run, study: Path) -> None:
    out = study.parent / "review"
    done = run("plan", study, "--out", out)
    assert done.code == 0
    assert done.out.startswith("First to break: core-db connections")
    assert "utilization_p50" not in done.out  # the ladder stands in the review
    assert f"open {out / 'review.html'}" in done.err
    assert {p.name for p in out.iterdir()} == {"plan.json", "review.html", "review.md", "csv"}
    assert (out / "csv" / "limits.csv").is_file()
    before = (out / "plan.json").read_bytes()
    (out / "csv" / "stale.csv").write_text("old", encoding="utf-8")
    assert run("plan", study, "--out", out).code == 0
    assert (out / "plan.json").read_bytes() == before
    assert not (out / "csv" / "stale.csv").exists()


def test_plan_formats_hold_the_same_plan(run: Run, study: Path, declared: Path) -> None:
    saved = PlanSet.load(declared / "plan.json")
    assert run("plan", study, "--format", "json").out == saved.to_json()
    rows = list(csv.DictReader(io.StringIO(run("plan", study, "--format", "csv").out)))
    assert len(rows) == len(saved.to_frame("limits"))
    assert {row["scenario"] for row in rows} == {"base", "low", "mixture"}
    markdown = run("plan", study, "--format", "md").out
    assert markdown == saved.to_markdown()


def test_set_overrides_a_field_of_the_study(run: Run, study: Path) -> None:
    setting = "scenarios.base.lift.cyber_monday.checkouts=2.0"
    done = run(
        "plan", study, "--set", setting, "--set", "scenarios.base.lift.black_friday.checkouts=1.5"
    )
    assert done.code == 0
    assert done.out.startswith("No hard limit is exceeded at P50")


# ---- check and fit -----------------------------------------------------------------------------


def hourly(days: int, *, start: str = "2026-07-01") -> str:
    import pandas as pd

    times = pd.date_range(start, periods=24 * days, freq="h", tz="UTC")
    rows = "".join(f"checkouts,{t.isoformat()},{400 + 9 * t.hour}\n" for t in times)
    return "service,time,per_min\n" + rows


@pytest.fixture
def history(tmp_path: Path) -> Path:
    (tmp_path / "topology.yaml").write_text("drivers: {checkouts: {}}\n", encoding="utf-8")
    (tmp_path / "history.csv").write_text(hourly(60), encoding="utf-8")
    path = tmp_path / "study.yaml"
    path.write_text(HISTORY, encoding="utf-8")
    return path


def test_check_says_when_there_is_nothing_to_say_about_a_history(run: Run, history: Path) -> None:
    assert run("check", history) == Done(0, "no findings\n", "")


def test_check_says_when_there_is_nothing_to_say_about_declarations(run: Run, study: Path) -> None:
    assert run("check", study) == Done(0, "no findings\n", "")
    assert json.loads(run("check", study, "--format", "json").out) == []


def test_check_shows_findings_and_exits_2_where_a_fit_would_refuse(run: Run, history: Path) -> None:
    (history.parent / "history.csv").write_text(hourly(9), encoding="utf-8")
    done = run("check", history)
    assert done.code == 2
    assert re.search(r"^error +too_short +history\.csv", done.out, flags=re.MULTILINE)
    assert "accept: [too_short]" in done.err
    assert run("fit", history).code == 2
    accepted = run("check", history, "--set", "history.accept=[too_short]")
    assert accepted.code == 0
    assert "accepts: too_short" in accepted.err


def test_check_finds_every_problem_of_every_file(run: Run, study: Path) -> None:
    change(study, "probability: 0.2", "probability: 0.3")
    change(study.parent / "topology.yaml", "db.r6g.4xlarge", "db.r6g.5xlarge")
    done = run("check", study)
    assert done.code == 2
    assert done.err.startswith("capmodel: 2 problems")
    assert "sum 1.1" in done.err
    assert "db.r6g.5xlarge" in done.err


def test_fit_prints_its_tables(run: Run, study: Path) -> None:
    done = run("fit", study)
    assert done.code == 0
    assert [line for line in done.out.splitlines() if " " not in line and line] == [
        "growth", "lifts", "usage", "calls", "bursts", "imbalance",
    ]  # fmt: skip
    assert re.search(r"^core-db +cpu_cores +per_read +0\.00156 ", done.out, flags=re.MULTILINE)
    assert re.search(r"^checkouts +account-service +1\.5 ", done.out, flags=re.MULTILINE)
    tables = json.loads(run("fit", study, "--format", "json").out)
    assert sorted(tables) == ["bursts", "calls", "growth", "imbalance", "lifts", "usage"]
    alone = run("fit", study, "--table", "calls", "--format", "csv").out
    assert alone.startswith(
        "caller,node,calls_x,low,high,event_x,basis\ncheckouts,checkout-api,4.0,"
    )
    without = run("fit", study, "--format", "csv")
    assert without.code == 2
    assert "add --table" in without.err


# ---- a saved plan ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["", "plan.json"])
def test_a_plan_is_its_file_or_its_folder(run: Run, declared: Path, name: str) -> None:
    done = run("sweep", declared / name, "--x", "1,3")
    assert done.code == 0
    assert re.search(r"core-db +cpu_cores +16 +cores +22\.0% GREEN +61\.0% GREEN", done.out)
    assert re.search(
        r"core-db +connections +4,000 +connections +35\.6% GREEN +106\.9% RED", done.out
    )


def test_explain_prints_a_chain_with_sources(run: Run, declared: Path) -> None:
    done = run(
        "explain", declared, "core-db", "connections", "--scenario", "base", "--format", "json"
    )
    rows = json.loads(done.out)
    values = {row["factor"]: row["value"] for row in rows}
    assert values["pods of checkout-api"] == 120
    assert values["utilization"] == pytest.approx(4275 / 4000, abs=1e-9)
    assert all(row["basis"] == "assumed" and row["source"] for row in rows)


def test_diff_of_plans_and_of_scenarios(run: Run, study: Path, declared: Path) -> None:
    assert run("diff", declared, declared).out == "no differences\n"
    new = study.parent / "new.json"
    setting = "scenarios.base.lift.cyber_monday.checkouts=2.7"
    new.write_text(run("plan", study, "--set", setting, "--format", "json").out, encoding="utf-8")
    rows = list(csv.DictReader(io.StringIO(run("diff", declared, new, "--format", "csv").out)))
    changed = {(row["key"], row["metric"]): row for row in rows}
    row = changed["base core-db connections", "peak_p50"]
    # 108 * 20 + 41 * 15 (40.5 pods are 41) + 54 * 20
    assert (float(row["old"]), float(row["new"])) == (4275, 3855)
    inside = run("diff", declared, "--scenarios", "base,low")
    assert inside.code == 0
    assert re.search(
        r"limits +core-db connections +peak_p50 +connections +4,275 +3,135 +-1,140", inside.out
    )


def test_diff_tells_several_inputs_apart_with_the_study(
    run: Run, study: Path, declared: Path
) -> None:
    new = study.parent / "new.json"
    changes = ("--set", "draws=110", "--set", "scenarios.base.lift.cyber_monday.checkouts=2.7")
    new.write_text(run("plan", study, *changes, "--format", "json").out, encoding="utf-8")
    lift = "scenarios.base.lift.cyber_monday.checkouts"
    alone = run("diff", declared, new, "--format", "csv")
    assert "unresolved, add --study" in alone.out
    assert f"capmodel: draws: 100 → 110\ncapmodel: {lift}: 3.0 → 2.7\n" in alone.err
    # What a plan records of its inputs goes before the study's file: no --set is repeated.
    told = run("diff", declared, new, "--study", study, "--format", "csv")
    rows = {(r["key"], r["metric"]): r["cause"] for r in csv.DictReader(io.StringIO(told.out))}
    assert rows["base core-db connections", "peak_p50"] == lift
    change(study.parent / "topology.yaml", "max_connections: 4000", "max_connections: 5000")
    other = run("diff", declared, new, "--study", study, "--format", "csv")
    assert other.code == 2
    assert "whose plan differs from NEW" in other.err


def test_diff_of_two_studies_is_doubted(run: Run, study: Path, declared: Path) -> None:
    topology = study.parent / "topology.yaml"
    text = topology.read_text(encoding="utf-8")
    for name in ("checkout-api", "account-service", "ledger", "core-db"):
        text = text.replace(name, f"{name}-2")
    topology.write_text(text, encoding="utf-8")
    new = study.parent / "new.json"
    new.write_text(run("plan", study, "--format", "json").out, encoding="utf-8")
    done = run("diff", declared, new, "--format", "md")
    doubt = "the plans share 1 of 5 nodes: are they of one study?"
    assert f"capmodel: warning: {doubt}" in done.err
    assert f"- {doubt}" in done.out.splitlines()


def test_report_writes_html_and_markdown(run: Run, declared: Path, tmp_path: Path) -> None:
    page, text = tmp_path / "q4.html", tmp_path / "q4.md"
    done = run("report", declared, "--out", page)
    assert (done.code, done.out) == (0, "")
    assert f"wrote {page}" in done.err
    written, drawn = (path.read_text(encoding="utf-8") for path in (page, declared / "review.html"))
    # A saved number has nine digits, so a line of a figure may end a millionth of a pixel beside.
    figure = re.compile(r"<svg.*?</svg>", flags=re.DOTALL)
    assert len(figure.findall(written)) == len(figure.findall(drawn)) > 0
    assert figure.sub("", written) == figure.sub("", drawn)
    assert run("report", declared, "--out", text).code == 0
    assert text.read_text(encoding="utf-8") == (declared / "review.md").read_text(encoding="utf-8")


# ---- bad input ---------------------------------------------------------------------------------

OVERLAY = "region,name,price_usd_per_hour,as_of,source,kind\n"
LOOP = "calls: {checkouts: 1.5, ledger: 1}"

in_the_study = {
    "unknown field": ("as_of:", "as_off:", ["study.yaml:2", "as_off", 'Did you mean "as_of"?']),
    "missing topology": ("topology.yaml", "topolgy.yaml", ["no such file", "topology.yaml"]),
    "probabilities": ("0.2\n", "0.3\n", ["base 0.8, low 0.3 (sum 1.1)", "sum to 1"]),
    "end before start": ("end: 2026-12-17", "end: 2026-10-17", ["study.yaml:3", "not after start"]),
    "unknown event": ("black_friday", "black_fryday", ['Did you mean "black_friday"?']),
    "unknown driver": ("{checkouts: 1.6}", "{checkout: 1.6}", ['Did you mean "checkouts"?']),
    "a percentage": (
        "probability: 0.8", "probability: 0.8\n    growth_yoy_x: {checkouts: 25}",
        ["Did you mean 1.25?"],
    ),
    "a key twice": ("seed: 7", "seed: 7\nseed: 8", ["study.yaml:6", '"seed" twice']),
    "broken YAML": ("seed: 7", "seed: [7", ["study.yaml:"]),
    "unknown zone": ("America/New_York", "America/New_Yrok", ['Did you mean "America/New_York"?']),
    "no history file": (
        "topology: topology.yaml", "topology: topology.yaml\nhistory: {base: h.csv}", ["h.csv"],
    ),
}  # fmt: skip
in_the_topology = {
    "unknown field": ("imbalance_x", "imbalanse_x", ["topology.yaml:8", '"imbalance_x"?']),
    "unknown caller": ("checkouts: 1.5", "checkout: 1.5", ['Did you mean "checkouts"?']),
    "a cycle": (
        "calls: {checkouts: 2}", "calls: {checkouts: 2, account-service: 1}",
        ["a cycle: ", "account-service", "ledger", "Remove one of these calls"],
    ),
    "unknown class": ("db.r6g.4xlarge", "db.r6g.5xlarge", ["db.r6g.5xlarge", "Did you mean"]),
    "unknown type": (
        "policy:", "pools: {general: {types: [m6i.5xlarge]}}\npolicy:",
        ["m6i.5xlarge", "Did you mean"],
    ),
    "nothing to fit from": ("today_per_min: 600", "", ["checkouts.today_per_min", "no history"]),
}  # fmt: skip


def refused(done: Done, words: list[str], folder: Path, kept: set[str]) -> None:
    """One clear error and nothing left behind."""
    assert done.code == 2
    assert done.out == ""
    assert "Traceback" not in done.err
    for word in words:
        assert word in done.err
    assert {path.name for path in folder.iterdir()} == kept


@pytest.mark.parametrize("case", sorted(in_the_study))
def test_bad_study(run: Run, study: Path, case: str) -> None:
    old, new, words = in_the_study[case]
    change(study, old, new)
    done = run("plan", study, "--out", study.parent / "review")
    refused(done, ["got", "expected", *words], study.parent, {"study.yaml", "topology.yaml"})


@pytest.mark.parametrize("case", sorted(in_the_topology))
def test_bad_topology(run: Run, study: Path, case: str) -> None:
    if case == "a cycle":
        change(study.parent / "topology.yaml", "calls: {checkouts: 1.5}", LOOP)
    old, new, words = in_the_topology[case]
    change(study.parent / "topology.yaml", old, new)
    done = run("plan", study, "--out", study.parent / "review")
    refused(done, ["got", "expected", *words], study.parent, {"study.yaml", "topology.yaml"})


def test_missing_study(run: Run, study: Path) -> None:
    done = run("plan", study.parent / "stady.yaml")
    refused(
        done, ["stady.yaml: got no such file", 'Did you mean "study.yaml"?'],
        study.parent, {"study.yaml", "topology.yaml"},
    )  # fmt: skip


def test_price_without_date(run: Run, study: Path) -> None:
    (study.parent / "prices.csv").write_text(
        OVERLAY + "us-east-1,m6i.4xlarge,0.7,,our contract,node\n", encoding="utf-8"
    )
    change(study, "seed: 7", "seed: 7\ncatalog: {overlay: prices.csv}")
    done = run("plan", study, "--out", study.parent / "review")
    kept = {"study.yaml", "topology.yaml", "prices.csv"}
    refused(done, ["prices.csv:2", "as_of"], study.parent, kept)


bad_history = {
    "missing column": (lambda text: text.replace("per_min", "perr_min"), ["perr_min", "per_min"]),
    "naive times": (lambda text: text.replace("+00:00", ""), ["naive_tz"]),
    "empty file": (lambda _: "", ["history.csv"]),
    "no rows for the node": (
        lambda text: text.replace("checkouts", "orders"),
        ["drivers.checkouts"],
    ),
}


@pytest.mark.parametrize("case", sorted(bad_history))
def test_bad_history(run: Run, history: Path, case: str) -> None:
    mend, words = bad_history[case]
    path = history.parent / "history.csv"
    path.write_text(mend(path.read_text(encoding="utf-8")), encoding="utf-8")
    done = run("plan", history, "--out", history.parent / "review")
    kept = {"history.csv", "study.yaml", "topology.yaml"}
    refused(done, ["got", "expected", *words], history.parent, kept)


def test_unreadable_parquet(run: Run, history: Path) -> None:
    (history.parent / "history.csv").rename(history.parent / "history.parquet")
    change(history, "history.csv", "history.parquet")
    done = run("plan", history, "--out", history.parent / "review")
    kept = {"history.parquet", "study.yaml", "topology.yaml"}
    refused(done, ["history.parquet", "got", "expected"], history.parent, kept)


def test_somebody_else_s_folder_is_left_alone(run: Run, study: Path) -> None:
    out = study.parent / "photos"
    out.mkdir()
    (out / "me.jpg").write_bytes(b"\xff\xd8")
    done = run("plan", study, "--out", out)
    assert done.code == 2
    assert "other files and no plan.json" in done.err
    assert [path.name for path in out.iterdir()] == ["me.jpg"]
    in_a_file = run("plan", study, "--out", study)
    assert in_a_file.code == 2
    assert "Name another folder" in in_a_file.err
    assert study.read_text(encoding="utf-8") == STUDY


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["sweep", "PLAN", "--x", "1,two"], ["1,1.5,2,3"]),
        (["sweep", "PLAN", "--x", "0,1"], ["multiples above 0"]),
        (["explain", "PLAN", "core-bd", "connections"], ['Did you mean "core-db"?']),
        (["explain", "PLAN", "core-db", "conections"], ['Did you mean "connections"?']),
        (
            ["explain", "PLAN", "core-db", "connections", "--scenario", "bas"],
            ['Did you mean "base"?'],
        ),
        (["diff", "PLAN"], ["OLD NEW"]),
        (["diff", "PLAN", "PLAN", "--scenarios", "base,low"], ["OLD NEW"]),
        (["diff", "PLAN", "--scenarios", "base"], ["two names"]),
        (["diff", "PLAN", "PLAN", "--set", "seed=8"], ["add --study"]),
        (["gate", "PLAN"], ["--rules"]),
        (["freeze", "PLAN", "--out", "x.json"], ["--on"]),
        (["diff", "PLAN", "--scenarios", "base,lou"], ['Did you mean "low"?']),
        (["report", "PLAN", "--out", "q4.pdf"], [".html or .md"]),
        (["report", "PLAN"], ["--out"]),
        (["sweep", "PLAN/csv"], ["plan.json"]),
        (["sweep", "PLAN/review.md"], ["a saved plan"]),
        (["plan", "PLAN", "--set", "seed"], ["PATH=VALUE"]),
        (["plan", "PLAN", "--format", "xml"], ["'xml' is not one of"]),
        (["paln", "PLAN"], ["No such command"]),
    ],
)
def test_bad_arguments(run: Run, declared: Path, args: list[str], words: list[str]) -> None:
    done = run(*[arg.replace("PLAN", str(declared)) for arg in args])
    assert (done.code, done.out) == (2, "")
    assert "Traceback" not in done.err
    for word in words:
        assert word in done.err


def test_an_edited_plan_is_refused(run: Run, declared: Path, tmp_path: Path) -> None:
    text = (declared / "plan.json").read_text(encoding="utf-8")
    path = tmp_path / "plan.json"
    path.write_text(text.replace("4275", "4000"), encoding="utf-8")
    done = run("sweep", path)
    assert done.code == 2
    assert "does not match its hash" in done.err


# ---- faults, interruptions, patience -----------------------------------------------------------


def fail_with(error: BaseException) -> Callable[..., None]:
    def fit(_study: Study) -> None:
        raise error

    return fit


def test_a_fault_of_ours_is_one_line(
    run: Run, study: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Study, "fit", fail_with(ZeroDivisionError("half\na pod")))
    done = run("plan", study, "--out", study.parent / "review")
    assert (done.code, done.out) == (70, "")
    assert len(done.err.splitlines()) == 1
    assert "ZeroDivisionError: half a pod" in done.err
    assert "--debug" in done.err
    assert not (study.parent / "review").exists()


@pytest.mark.parametrize("before", [True, False])
def test_debug_shows_the_traceback(
    run: Run, study: Path, monkeypatch: pytest.MonkeyPatch, *, before: bool
) -> None:
    monkeypatch.setattr(Study, "fit", fail_with(ZeroDivisionError("half a pod")))
    done = run("--debug", "plan", study) if before else run("plan", study, "--debug")
    assert done.code == 70
    assert "Traceback (most recent call last)" in done.err
    assert done.err.rstrip().endswith("ZeroDivisionError: half a pod")


def test_an_interruption_exits_130(run: Run, study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Study, "fit", fail_with(KeyboardInterrupt()))
    done = run("plan", study, "--out", study.parent / "review")
    assert (done.code, done.out) == (130, "")
    assert "interrupted" in done.err
    assert not (study.parent / "review").exists()


def test_a_step_speaks_only_when_it_takes_long(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert progress.PATIENCE_S == 2.0
    with progress.step("counting"):
        pass
    monkeypatch.setattr(progress, "PATIENCE_S", 0.01)
    with progress.step("fitting"):
        time.sleep(0.2)
    captured = capsys.readouterr()
    assert captured.err == "capmodel: fitting …\n"
    assert captured.out == ""


def test_a_reader_may_stop_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as pipe:
        monkeypatch.setattr(sys, "stdout", pipe)
        say("a ladder")
        say("another")  # what is left goes nowhere, without an error
        monkeypatch.undo()


# ---- the shop ----------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_shop_through_the_command(
    run: Run,
    shop_dir: Path,
    shop_fit: CapacityFit,
    shop_plans: PlanSet,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Study, "fit", lambda _study: shop_fit)  # fitted once per session
    done = run("plan", shop_dir / "study.yaml", "--out", tmp_path / "review")
    assert done.code == 0
    assert done.out == shop_plans.headline() + "\n"
    assert (tmp_path / "review" / "plan.json").read_text(encoding="utf-8") == shop_plans.to_json()
    page = (tmp_path / "review" / "review.html").stat().st_size
    assert 50_000 < page < 5_000_000
    chain = json.loads(
        run("explain", tmp_path / "review", "core-db", "connections", "--format", "json").out
    )
    limits = shop_plans.to_frame("limits")
    at = limits[
        (limits["scenario"] == "base")
        & (limits["node"] == "core-db")
        & (limits["limit"] == "connections")
    ]
    total = next(row["value"] for row in chain if row["factor"].startswith("usage"))
    assert total == pytest.approx(float(at["peak_p50"].iloc[0]), rel=1e-8)
    assert sum(r["value"] for r in chain if r["factor"].startswith("= connections")) == total
