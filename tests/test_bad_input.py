"""Bad input, through files: one clear error with where, got, expected, do; nothing half-written.

Each case spoils one file of a small study that works, reads it, plans it, and is refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from capmodel import report
from capmodel.cli import main
from capmodel.errors import InputError
from capmodel.plan import PlanSet, Study

DECLARED_TOPOLOGY = """\
drivers:
  checkouts: {today_per_min: 600}
services:
  api:
    calls: {checkouts: 4}
    tier: 0
    pool: general
    pod: {cpu_cores: 2, memory_gib: 4}
    replicas: {min: 3, max: 60, today: 8}
    usage: {cpu_cores: {per_pod: 0.05, per_request: 0.2}}
  worker:
    calls: {api: 0.5}
    pool: general
    pod: {cpu_cores: 1, memory_gib: 2}
    replicas: {max: 40}
    usage: {cpu_cores: {per_request: 0.1}}
databases:
  core-db:
    class: db.r6g.4xlarge
    usage: {cpu_cores: {idle: 0.4, per_read: 0.001}}
    used_by: {api: {reads: 5, pool_max: 20}}
externals:
  bureau: {calls: {api: 0.1}, limit_rps: 30, lead_days: 42}
pools:
  general: {types: [m6i.4xlarge], zones: 3, today: 6}
"""
DECLARED_STUDY = """\
business_tz: America/New_York
as_of: 2026-09-21
horizon: {start: 2026-11-20, end: 2026-12-05}
season: {start: 2026-11-23, end: 2026-12-02}
draws: 100
topology: topology.yaml
catalog: {region: us-east-1, overlay: prices.csv}
scenarios:
  base:
    probability: 0.8
    demand_x: {checkouts: 1.25}
    lift:
      black_friday: {checkouts: 2.6}
  low:
    probability: 0.2
    lift: {black_friday: {checkouts: 2.0}}
also: []
"""
PRICES = """\
kind,region,engine,name,price_usd_per_hour,as_of,source
node,us-east-1,,m6i.4xlarge,0.70,2026-09-01,our agreement of September
"""
MEASURED_TOPOLOGY = """\
drivers:
  checkouts: {}
services:
  api:
    calls: {checkouts: fit}
    pod: {cpu_cores: 2, memory_gib: 4}
    replicas: {min: 3, max: 60, today: 8}
"""
MEASURED_STUDY = """\
business_tz: America/New_York
horizon: {start: 2026-09-08, end: 2026-09-22}
draws: 100
topology: topology.yaml
history: {base: history.csv}
events:
  calendar: none
  add: [{name: launch, start: 2026-09-14, days: 2}]
scenarios:
  base: {lift: {launch: {checkouts: 1.5}}}
also: []
"""
DAYS = 62  # local days, 2026-07-01 to 2026-08-31


def history() -> pd.DataFrame:
    """Return two months of one driver and one service that follows it, hourly, in UTC."""
    rng = np.random.default_rng(5)
    hour = np.arange(DAYS * 24)
    time = pd.Timestamp("2026-07-01T04:00Z") + pd.to_timedelta(hour, unit="h")
    shape = 1 + 0.5 * np.sin(2 * np.pi * (hour - 9) / 24)
    per_min = 300 * shape * rng.lognormal(0, 0.03, len(hour))
    rps = 4 * per_min / 60 * rng.lognormal(0, 0.01, len(hour))
    pods = np.ceil(rps / 5)
    cores = (0.05 * pods + 0.2 * rps) * rng.lognormal(0, 0.02, len(hour))
    driver = pd.DataFrame({"service": "checkouts", "time": time, "per_min": per_min.round(3)})
    api = {"time": time, "rps": rps.round(4), "replicas": pods, "cpu_cores": cores.round(4)}
    return pd.concat([driver, pd.DataFrame({"service": "api", **api})], ignore_index=True)


def write_history(folder: Path, frame: pd.DataFrame) -> None:
    frame.to_csv(folder / "history.csv", index=False, date_format="%Y-%m-%dT%H:%M:%SZ")


@pytest.fixture(scope="module")
def measured_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("measured")
    write_history(folder, history())
    (folder / "topology.yaml").write_text(MEASURED_TOPOLOGY, encoding="utf-8")
    (folder / "study.yaml").write_text(MEASURED_STUDY, encoding="utf-8")
    return folder


@pytest.fixture
def declared(tmp_path: Path) -> Path:
    (tmp_path / "topology.yaml").write_text(DECLARED_TOPOLOGY, encoding="utf-8")
    (tmp_path / "study.yaml").write_text(DECLARED_STUDY, encoding="utf-8")
    (tmp_path / "prices.csv").write_text(PRICES, encoding="utf-8")
    return tmp_path


@pytest.fixture
def measured(tmp_path: Path, measured_files: Path) -> Path:
    for file in measured_files.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    return tmp_path


@dataclass(frozen=True)
class Case:
    """How a study is spoilt, and a word that each part of the answer must hold."""

    name: str
    spoil: Callable[[Path], object]
    where: str
    got: str
    expected: str
    do: str


def edit(file: str, old: str, new: str) -> Callable[[Path], object]:
    """Return what replaces `old` by `new` in a file."""

    def spoil(folder: Path) -> None:
        text = (folder / file).read_text(encoding="utf-8")
        assert text.count(old) == 1, (file, old)
        (folder / file).write_text(text.replace(old, new), encoding="utf-8")

    return spoil


def refused(folder: Path) -> InputError:
    """Plan the study of a folder and return the error, complete in its four parts."""
    with pytest.raises(InputError) as caught:
        Study.read(folder / "study.yaml").plan()
    for problem in caught.value.problems:
        parts = (problem.where, problem.got, problem.expected, problem.do)
        assert all(part.strip() for part in parts), problem
        assert problem.do.endswith((".", "?")), problem
        assert "Traceback" not in str(problem)
    return caught.value


def assert_named(error: InputError, case: Case) -> None:
    matching = [
        problem
        for problem in error.problems
        if case.where in problem.where
        and case.got in problem.got
        and case.expected in problem.expected
        and case.do in problem.do
    ]
    assert len(matching) == 1, str(error)


def ends_with_2(folder: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """Plan by the command into a new folder; return what it says on standard error."""
    before = sorted(path.name for path in folder.iterdir())
    capsys.readouterr()
    with pytest.raises(SystemExit) as stop:
        main(["plan", str(folder / "study.yaml"), "--out", str(folder / "review")])
    out, err = capsys.readouterr()
    assert stop.value.code == 2
    assert out == ""
    assert "Traceback" not in err
    assert sorted(path.name for path in folder.iterdir()) == before
    return err


# ---- everything declared -----------------------------------------------------------------------

OVERLAY = "node,us-east-1,,m6i.4xlarge,0.70,2026-09-01,our agreement of September"
DECLARED_CASES = (
    Case(
        "unknown field in the topology",
        edit("topology.yaml", "replicas: {min: 3,", "replcas: {min: 3,"),
        "topology.yaml:9 services.api.replcas", "unknown field", "replicas", '"replicas"?',
    ),
    Case(
        "unknown field in the study",
        edit("study.yaml", "season:", "seasn:"),
        "study.yaml:4 seasn", "unknown field", "season", '"season"?',
    ),
    Case(
        "unknown field in a scenario",
        edit("study.yaml", "demand_x:", "deman_x:"),
        "study.yaml:11 scenarios.base.deman_x", "unknown field", "demand_x", '"demand_x"?',
    ),
    Case(
        "a field twice",
        edit("study.yaml", "draws: 100", "draws: 100\ndraws: 200"),
        "study.yaml:6 draws", '"draws" twice', "once", "the first is on line 5",
    ),
    Case(
        "broken YAML",
        edit("study.yaml", "season: {start", "season: {start: [start"),
        "study.yaml:", "", "YAML", "YAML",
    ),
    Case(
        "probabilities above 1 in sum",
        edit("study.yaml", "probability: 0.2", "probability: 0.3"),
        "scenarios.probability", "sum 1.1", "sum to 1", "sum to 1",
    ),
    Case(
        "a probability without the other",
        edit("study.yaml", "    probability: 0.2\n", ""),
        "scenarios.probability", "low None", "all absent, or all present", "sum to 1",
    ),
    Case(
        "a cycle",
        edit("topology.yaml", "calls: {checkouts: 4}", "calls: {checkouts: 4, worker: 1}"),
        "calls", "api -> worker -> api", "never back", "Remove one of these calls",
    ),
    Case(
        "a price without source",
        edit("prices.csv", ",our agreement of September", ","),
        "prices.csv:2", "without source", "as_of, source", "evidence",
    ),
    Case(
        "a price without date",
        edit("prices.csv", "2026-09-01", ""),
        "prices.csv:2", "without as_of", "as_of, source", "evidence",
    ),
    Case(
        "a price of no number",
        edit("prices.csv", "0.70", "0.7O"),
        "prices.csv:2", '"0.7O"', "a number", "price_usd_per_hour",
    ),
    Case(
        "horizon ends before it starts",
        edit("study.yaml", "end: 2026-12-05}", "end: 2026-11-05}"),
        "study.yaml:3 horizon", "end 2026-11-05 is not after start 2026-11-20", "", "Change",
    ),
    Case(
        "season ends before it starts",
        edit("study.yaml", "end: 2026-12-02}", "end: 2026-11-02}"),
        "study.yaml:4 season", "end 2026-11-02 is not after start 2026-11-23", "", "Change",
    ),
    Case(
        "season outside the horizon",
        edit("study.yaml", "end: 2026-12-02}", "end: 2026-12-12}"),
        "season", "2026-12-12", "inside the horizon 2026-11-20 to 2026-12-05", "widen",
    ),
    Case(
        "unknown instance type",
        edit("topology.yaml", "m6i.4xlarge", "m6i.4xlage"),
        "pools.general.types", '"m6i.4xlage"', "m6i.4xlarge", '"m6i.4xlarge"?',
    ),
    Case(
        "unknown database class",
        edit("topology.yaml", "db.r6g.4xlarge", "db.r6g.4xlarg"),
        "databases.core-db.class", '"db.r6g.4xlarg"', "db.r6g.4xlarge", '"db.r6g.4xlarge"?',
    ),
    Case(
        "unknown event in a lift",
        edit("study.yaml", "      black_friday:", "      blck_friday:"),
        "scenarios.base.lift", '"blck_friday"', "black_friday", '"black_friday"?',
    ),
    Case(
        "unknown driver in a scenario",
        edit("study.yaml", "demand_x: {checkouts", "demand_x: {checkout"),
        "scenarios.base.demand_x", 'unknown driver "checkout"', "checkouts", '"checkouts"?',
    ),
    Case(
        "growth in percent",
        edit("study.yaml", "demand_x: {checkouts: 1.25}", "growth_yoy_x: {checkouts: 25}"),
        "scenarios.base.growth_yoy_x.checkouts", "25", "between 0.5 and 4", "1.25?",
    ),
    Case(
        "growth as a change",
        edit("study.yaml", "demand_x: {checkouts: 1.25}", "growth_yoy_x: {checkouts: 0.25}"),
        "scenarios.base.growth_yoy_x.checkouts", "0.25", "between 0.5 and 4", "1.25?",
    ),
    Case(
        "growth and demand_x at once",
        edit(
            "study.yaml",
            "demand_x: {checkouts: 1.25}",
            "demand_x: {checkouts: 1.25}\n    growth_yoy_x: {checkouts: 1.1}",
        ),
        "scenarios.base.growth_yoy_x.checkouts", "demand_x", "one of the two", "keep one",
    ),
    Case(
        "no topology file",
        lambda folder: (folder / "topology.yaml").rename(folder / "topolgy.yaml"),
        "topology.yaml", "no such file", "file", "",
    ),
    Case(
        "an empty topology",
        lambda folder: (folder / "topology.yaml").write_text("", encoding="utf-8"),
        "topology.yaml", "empty file", "mapping", "",
    ),
    Case(
        "replicas max below min",
        edit("topology.yaml", "{min: 3, max: 60", "{min: 70, max: 60"),
        "topology.yaml:9 services.api.replicas", "max 60 is below min 70", "fit", "Change",
    ),
    Case(
        "an unknown pool",
        edit("topology.yaml", "    tier: 0\n    pool: general", "    tier: 0\n    pool: genral"),
        "services.api.pool", '"genral"', "general", '"general"?',
    ),
    Case(
        "a name used twice",
        edit("topology.yaml", "  bureau: {calls", "  worker: {calls"),
        "externals.worker", "services.worker", "unique", "Rename",
    ),
    Case(
        "too few draws",
        edit("study.yaml", "draws: 100", "draws: 10"),
        "study.yaml:5 draws", "10", "100", "",
    ),
    Case(
        "nothing to fit from",
        edit("topology.yaml", "{today_per_min: 600}", "{}"),
        "drivers.checkouts.today_per_min", "no history", "declared", "add history",
    ),
    Case(
        "a date that is none",
        edit("study.yaml", "as_of: 2026-09-21", "as_of: soon"),
        "study.yaml:2 as_of", "soon", "date", "",
    ),
)  # fmt: skip


def test_the_declared_study_works_unspoilt(declared: Path) -> None:
    plans = Study.read(declared / "study.yaml").plan()
    assert "m6i.4xlarge" in set(plans.to_frame("nodes")["instance_type"])
    assert (plans.to_frame("cost")["price_usd_per_hour"] == 0.70).any()


@pytest.mark.parametrize("case", DECLARED_CASES, ids=lambda case: case.name)
def test_a_declared_study_is_refused(
    case: Case, declared: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    case.spoil(declared)
    error = refused(declared)
    assert_named(error, case)
    said = ends_with_2(declared, capsys)
    for problem in error.problems:
        assert " ".join(str(problem).split()) in " ".join(said.split())


def test_all_problems_of_a_file_come_together(declared: Path) -> None:
    edit("topology.yaml", "replicas: {min: 3,", "replcas: {min: 3,")(declared)
    edit("topology.yaml", "limit_rps: 30", "limit_rps: -30")(declared)
    edit("topology.yaml", "zones: 3", "zones: 0")(declared)
    error = refused(declared)
    assert len(error.problems) == 3
    lines = [int(found.group(1)) for found in re.finditer(r"topology\.yaml:(\d+)", str(error))]
    assert lines == sorted(lines)
    assert str(error).startswith("3 problems:")


def test_all_problems_of_the_scenarios_come_together(declared: Path) -> None:
    edit("study.yaml", "demand_x: {checkouts: 1.25}", "demand_x: {checkouts: 25}")(declared)
    edit("study.yaml", "    probability: 0.2", "    probability: 2")(declared)
    error = refused(declared)
    assert [p.where.split()[-1] for p in error.problems] == [
        "scenarios.base.demand_x.checkouts",
        "scenarios.low.probability",
    ]


# ---- with a history ----------------------------------------------------------------------------


def changed(change: Callable[[pd.DataFrame], pd.DataFrame]) -> Callable[[Path], object]:
    """Return what writes the history again after a change."""
    return lambda folder: write_history(folder, change(history()))


def minutes_for_seconds(frame: pd.DataFrame) -> pd.DataFrame:
    late = (frame["service"] == "api") & (frame["time"] >= "2026-08-01T04:00Z")
    return frame.assign(rps=frame["rps"].where(~late, 60 * frame["rps"]))


def without_zone(folder: Path) -> None:
    frame = history()
    clock = frame["time"].dt.tz_convert("America/New_York").dt.strftime("%Y-%m-%d %H:%M:%S")
    frame.assign(time=clock).to_csv(folder / "history.csv", index=False)


def broken_parquet(folder: Path) -> None:
    (folder / "history.parquet").write_bytes(b"PAR1 this is no table PAR1")
    edit("study.yaml", "history.csv", "history.parquet")(folder)


def first_row_says(text: str) -> Callable[[Path], object]:
    def spoil(folder: Path) -> None:
        lines = (folder / "history.csv").read_text(encoding="utf-8").splitlines()
        cells = lines[1].split(",")
        cells[2] = text
        lines[1] = ",".join(cells)
        (folder / "history.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")

    return spoil


MEASURED_CASES = (
    Case(
        "no column time",
        changed(lambda frame: frame.rename(columns={"time": "tme"})),
        "history.csv", "'tme'", 'a column "time"', 'Rename "tme" to "time"',
    ),
    Case(
        "no column service",
        changed(lambda frame: frame.drop(columns="service")),
        "history.csv", "columns", 'a column "service"', '"service"',
    ),
    Case(
        "an unknown column",
        changed(lambda frame: frame.rename(columns={"cpu_cores": "cpu_core"})),
        'history.csv, column "cpu_core"', "unknown column", "cpu_cores", '"cpu_cores"?',
    ),
    Case("naive times", without_zone, "history.csv", "zone", "zone", "naive_tz"),
    Case(
        "mixed units",
        changed(minutes_for_seconds),
        "api", "unit_suspect", "disqualifying", "accept: [unit_suspect]",
    ),
    Case(
        "an empty file",
        lambda folder: (folder / "history.csv").write_text("", encoding="utf-8"),
        "history.csv", "an empty file", "a table", "Export",
    ),
    Case(
        "a header without rows",
        changed(lambda frame: frame.iloc[:0]),
        "history.csv", "no rows", "at least one row", "query",
    ),
    Case(
        "text for a number",
        first_row_says("many"),
        "history.csv:2", "'many'", "a number", "",
    ),
    Case(
        "no such history",
        edit("study.yaml", "history.csv", "histroy.csv"),
        "histroy.csv", "no such file", "existing file", "history.csv",
    ),
    Case("an unreadable Parquet file", broken_parquet, "history.parquet", "", "Parquet", "write"),
    Case(
        "a service without history",
        edit("topology.yaml", "  api:\n", "  apy:\n"),
        "services.apy", "no rows in the history", "declared in the topology", '"api"?',
    ),
    Case(
        "a driver without history",
        edit("topology.yaml", "  checkouts: {}", "  checkouts: {}\n  impressions: {}"),
        "drivers.impressions", "no rows in the history", "today_per_min", "today_per_min",
    ),
    Case(
        "too short a history",
        changed(lambda frame: frame[frame["time"] >= "2026-08-25T04:00Z"]),
        "history", "too_short", "disqualifying", "accept: [too_short]",
    ),
    Case(
        "rows that contradict each other",
        changed(lambda f: pd.concat([f, f.iloc[:30].assign(per_min=lambda g: 2 * g["per_min"])])),
        "checkouts", "conflicting_duplicates", "disqualifying", "accept: [conflicting_duplicates]",
    ),
    Case(
        "an event that nobody has seen",
        edit("study.yaml", "lift: {launch: {checkouts: 1.5}}", "demand_x: {}"),
        "scenarios.base.lift", '"launch" for checkouts', "assumed lift", "lift: {launch:",
    ),
    Case(
        "a horizon inside the history",
        edit("study.yaml", "start: 2026-09-08", "start: 2026-08-08"),
        "start", "the history ends on 2026-08-31", "after the last day", "2026-09-01 or later",
    ),
    Case(
        "a horizon longer than the history",
        edit("study.yaml", "end: 2026-09-22", "end: 2026-12-22"),
        "horizon.end", "2026-12-21", "days ahead", "Shorten the horizon",
    ),
    Case(
        "growth without last season",
        edit("study.yaml", "base: {lift", "base: {growth_yoy_x: {checkouts: 1.25}, lift"),
        "scenarios.base.growth_yoy_x.checkouts", "last season", "last season", "demand_x",
    ),
)  # fmt: skip


def test_the_measured_study_works_unspoilt(measured: Path) -> None:
    plans = Study.read(measured / "study.yaml").plan()
    assert set(plans.to_frame("limits")["node"]) == {"api"}


@pytest.mark.parametrize("case", MEASURED_CASES, ids=lambda case: case.name)
def test_a_measured_study_is_refused(case: Case, measured: Path) -> None:
    case.spoil(measured)
    assert_named(refused(measured), case)


@pytest.mark.parametrize(
    "case",
    [c for c in MEASURED_CASES if c.name in {"naive times", "mixed units", "no column time"}],
    ids=lambda case: case.name,
)
def test_the_command_ends_with_2_and_leaves_nothing(
    case: Case, measured: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    case.spoil(measured)
    said = ends_with_2(measured, capsys)
    assert case.do in said


def test_naive_times_are_taken_once_their_zone_is_named(measured: Path) -> None:
    without_zone(measured)
    base = "{base: history.csv"
    edit("study.yaml", base, f"{base}, naive_tz: America/New_York")(measured)
    history_read, _ = Study.read(measured / "study.yaml").read_history()
    assert history_read is not None
    assert str(history_read.start) == "2026-07-01T04:00:00"


def test_a_finding_is_overruled_by_name_and_the_plan_says_so(measured: Path) -> None:
    changed(minutes_for_seconds)(measured)
    edit("study.yaml", "{base: history.csv", "{accept: [unit_suspect], base: history.csv")(measured)
    plans = Study.read(measured / "study.yaml").plan()
    assert "unit_suspect" in set(plans.to_frame("findings")["code"])


# ---- nothing half-written ----------------------------------------------------------------------


@pytest.fixture(scope="module")
def plans(tmp_path_factory: pytest.TempPathFactory) -> PlanSet:
    folder = tmp_path_factory.mktemp("plans")
    (folder / "topology.yaml").write_text(DECLARED_TOPOLOGY, encoding="utf-8")
    (folder / "study.yaml").write_text(DECLARED_STUDY, encoding="utf-8")
    (folder / "prices.csv").write_text(PRICES, encoding="utf-8")
    return Study.read(folder / "study.yaml").plan()


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else b""
        for path in sorted(folder.rglob("*"))
    }


def test_somebody_elses_folder_is_left_alone(
    declared: Path, plans: PlanSet, capsys: pytest.CaptureFixture[str]
) -> None:
    theirs = declared / "review"
    theirs.mkdir()
    (theirs / "thesis.txt").write_text("three years of work", encoding="utf-8")
    before = contents(declared)
    with pytest.raises(InputError) as caught:
        plans.write(theirs)
    (problem,) = caught.value.problems
    assert problem.where == str(theirs)
    assert "other files and no plan.json" in problem.got
    assert "an empty one" in problem.expected
    assert "Name another folder" in problem.do
    said = ends_with_2(declared, capsys)
    assert "other files and no plan.json" in said
    assert contents(declared) == before


class DiskFullError(RuntimeError):
    """Stands for whatever may go wrong halfway."""


def fails(*_: object, **__: object) -> str:
    raise DiskFullError


@pytest.mark.slow
@pytest.mark.parametrize("step", ["to_html", "to_markdown", "write_csvs"])
def test_writing_that_fails_midway_leaves_no_trace(
    step: str, plans: PlanSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report, step, fails)
    with pytest.raises(DiskFullError):
        plans.write(tmp_path / "new" / "review")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_writing_that_fails_midway_keeps_the_earlier_plan(
    plans: PlanSet,
    declared: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    plans.write(declared / "review")
    before = contents(declared)
    assert {"review/plan.json", "review/review.html", "review/review.md"} <= set(before)
    edit("study.yaml", "draws: 100", "draws: 120")(declared)
    expected = {**before, "study.yaml": (declared / "study.yaml").read_bytes()}
    monkeypatch.setattr(report, "to_markdown", fails)
    capsys.readouterr()
    with pytest.raises(SystemExit) as stop:
        main(["plan", str(declared / "study.yaml"), "--out", str(declared / "review")])
    assert stop.value.code == 70  # ours, not the user's
    assert "DiskFullError" in capsys.readouterr().err
    assert contents(declared) == expected


# ---- questions to a plan -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ask", "where", "got", "do"),
    [
        (lambda p: p.to_frame("limit"), "to_frame", "'limit'", '"limits"?'),
        (lambda p: p.explain("core-bd", "connections"), "explain.node", "'core-bd'", '"core-db"?'),
        (lambda p: p.explain("core-db", "conections"), "explain.limit", "'conections'", "ctions"),
        (
            lambda p: p.explain("core-db", "connections", scenario="bas"),
            "explain.scenario", "'bas'", '"base"?',
        ),
        (lambda p: p.sweep([1, -2]), "sweep", "[-2]", "today"),
        (lambda p: p.diff("base", "lw"), "diff", "'lw'", '"low"?'),
        (lambda p: p.diff("base"), "diff", "None", "diff("),
    ],
)  # fmt: skip
def test_a_question_that_a_plan_cannot_answer(
    ask: Callable[[PlanSet], object], where: str, got: str, do: str, plans: PlanSet
) -> None:
    with pytest.raises(InputError) as caught:
        ask(plans)
    (problem,) = caught.value.problems
    assert problem.where == where
    assert got in problem.got
    assert problem.expected
    assert do in problem.do


@pytest.mark.parametrize(
    ("spoil", "got"),
    [
        (lambda text: text[: len(text) // 2], ""),
        (lambda text: text.replace('"seed":0', '"seed":1'), "does not match its hash"),
        (lambda text: text.replace("capmodel.plan/1", "capmodel.plan/0"), "capmodel.plan/0"),
        (lambda _: "[]", "None"),
    ],
    ids=["cut off", "edited", "another version", "no plan"],
)
def test_a_plan_file_that_is_none(
    spoil: Callable[[str], str], got: str, plans: PlanSet, tmp_path: Path
) -> None:
    text = plans.to_json()
    spoilt = spoil(text)
    assert spoilt != text
    (tmp_path / "plan.json").write_text(spoilt, encoding="utf-8")
    with pytest.raises(InputError) as caught:
        PlanSet.load(tmp_path / "plan.json")
    (problem,) = caught.value.problems
    assert problem.where.endswith("plan.json")
    assert got in problem.got
    assert problem.expected
    assert problem.do
