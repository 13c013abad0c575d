"""Story A11, were we right: a frozen plan, its season in a file, the ledger, the season after.

The estate is the stories' reference estate with its three scenarios and two services more, so that
ten service peaks can be judged. The numbers are the story's own.
"""

from __future__ import annotations

import datetime as dt
import json
import math
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
import stories
from command import runner

from capmodel.errors import InputError
from capmodel.ledger import Entry, Ledger
from capmodel.plan import Study
from capmodel.plan.baseline import Baseline, load_baseline
from capmodel.retro import Retro, retro
from capmodel.sources import read_csv

if TYPE_CHECKING:
    from capmodel.history import History
    from capmodel.plan import PlanSet

FROZEN = dt.date(2026, 10, 1)
PEAK_AT = "2026-11-30 20:17"
# Calls per checkout that really happened; underwriting was planned with 1.2.
ACTUAL_CALLS = {
    "edge-gateway": 14.0, "checkout-api": 4.0, "underwriting": 1.32, "ledger": 2.5,
    "notifications": 1.0, "account-service": 0.5, "search": 9.0, "promo-messaging": 60.0,
    "credit-bureau": 1.32 * 0.7,
}  # fmt: skip


def write_estate(folder: Path, *, more: str = "") -> Path:
    drivers = "drivers:\n  checkouts: {today_per_min: 4800, sigma_log: 0.10}\n"
    services = "  account-service: {calls: {checkouts: 0.5}}\n  search: {calls: {checkouts: 9}}\n"
    graph = stories.GRAPH.replace("services:\n", "services:\n" + services)
    study = stories.STUDY.replace("2026-11-01", "2026-11-29").replace("2026-12-17", "2026-12-02")
    study = study.replace("2026-11-02", "2026-11-29")
    scenarios = stories.MIXTURE.replace("catalog: {overlay: prices.csv}\n", "")
    topology = drivers + stories.IMPRESSIONS + graph
    return stories.write(folder, topology=topology, study=study + more + scenarios)


def write_actuals(path: Path, *, calls: dict[str, float] = ACTUAL_CALLS) -> Path:
    """Write minutes of 1,500 checkouts, and one of 6,420 in the evening of Cyber Monday."""
    times = pd.date_range("2026-11-29", "2026-12-02", freq="min", tz=stories.TZ, inclusive="left")
    per_min = np.where(times == pd.Timestamp(PEAK_AT, tz=stories.TZ), 6420.0, 1500.0)
    utc = times.tz_convert("UTC").strftime("%Y-%m-%dT%H:%MZ")
    parts = [pd.DataFrame({"service": "checkouts", "time": utc, "per_min": per_min})]
    parts += [
        pd.DataFrame({"service": name, "time": utc, "rps": per_min / 60 * x})
        for name, x in calls.items()
    ]
    pd.concat(parts).to_csv(path, index=False)
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("a11")


@pytest.fixture(scope="module")
def plan(folder: Path) -> PlanSet:
    return Study.read(write_estate(folder)).plan()


@pytest.fixture(scope="module")
def baseline(folder: Path, plan: PlanSet) -> Baseline:
    plan.freeze(on=FROZEN).save(folder / "baseline.json")
    return load_baseline(folder / "baseline.json")


@pytest.fixture(scope="module")
def actuals(folder: Path) -> Path:
    return write_actuals(folder / "actuals.csv")


@pytest.fixture(scope="module")
def history(actuals: Path) -> History:
    return read_csv(actuals, business_tz=stories.TZ)


@pytest.fixture(scope="module")
def result(baseline: Baseline, history: History) -> Retro:
    return retro(baseline, history)


def only(frame: pd.DataFrame, **where: object) -> Any:
    """Return the first row whose columns hold these values."""
    for column, value in where.items():
        frame = frame[frame[column] == value]
    return frame.iloc[0]


def checkouts(result: Retro) -> Any:
    return only(result.to_frame("peaks"), service="checkouts")


def test_a11_the_plan_is_the_storys(result):
    row = checkouts(result)
    assert row["planned"] == pytest.approx(6000, rel=1e-9)
    # The mixture of three log-normals of sigma 0.10; 1,001 draws leave 0.3 %.
    for column, value in (("peak_p10", 5030), ("peak_p50", 5986), ("peak_p90", 7319)):
        assert row[column] == pytest.approx(value, rel=0.003), column


def test_a11_the_planning_point_missed_by_654(result):
    row = checkouts(result)
    assert row["actual"] == pytest.approx(6420, rel=1e-9)
    assert round(row["ape"], 4) == 0.0654
    assert round(row["bias"], 4) == -0.0654
    assert row["inside_p80"]
    assert (row["date"], row["event"]) == ("2026-11-30", "cyber_monday")
    assert row["basis"] == "busiest minute"
    # By hand: the mixture's chance of at most 6,420 with medians 5,280, 6,000 and 7,200.
    phi = [0.5 * (1 + math.erf(math.log(6420 / m) / 0.1 / 2**0.5)) for m in (5280, 6000, 7200)]
    by_hand = 0.25 * phi[0] + 0.55 * phi[1] + 0.20 * phi[2]
    assert row["pit"] == pytest.approx(by_hand, abs=0.02)
    assert row["pinball_p90"] == pytest.approx(0.1 * (row["peak_p90"] - 6420), rel=1e-9)


def test_a11_underwritings_error_is_driver_840_and_fan_out_1284_exactly(result):
    steps = result.to_frame("decomposition").query("service == 'underwriting'")
    assert steps["step"].tolist() == ["driver", "fan_out"]
    assert steps["change"].tolist() == [Decimal("8.4"), Decimal("12.84")]
    assert sum(steps["change"]) == Decimal("21.24")
    assert steps["from"].iloc[0] == pytest.approx(120.0, rel=1e-9)
    assert steps["to"].iloc[1] == pytest.approx(141.24, rel=1e-9)
    assert steps["planned_factor"].tolist() == pytest.approx([100, 1.2])
    assert steps["actual_factor"].tolist() == pytest.approx([107, 1.32])
    line = next(s for s in result.headline().splitlines() if s.startswith("underwriting"))
    assert "+21.24 = driver +8.40, fan-out +12.84 (in this order)" in line


def test_a11_coverage_is_reported_with_its_binomial_interval(result):
    row = result.to_frame("coverage").iloc[0]
    assert (row["of"], row["hits"], row["n"]) == ("service peaks of the season", 10, 10)
    # Clopper and Pearson: of n hits in n cases the lower end is (alpha / 2)^(1 / n).
    assert row["coverage_low"] == pytest.approx(0.025 ** (1 / 10), rel=1e-9)
    assert row["coverage_high"] == 1.0
    assert row["nominal"] == 0.80


def test_a11_the_bureau_was_named_first_and_ran_short_first(result):
    limits = result.to_frame("limits")
    first = limits.iloc[0]
    assert (first["node"], first["planned_rank"], first["actual_rank"]) == ("credit-bureau", 1, 1)
    assert first["actual"] == pytest.approx(107 * 1.32 * 0.7, rel=1e-9)
    assert (first["short_minutes"], first["short_from"]) == (1.0, PEAK_AT)


@pytest.mark.slow
def test_a11_every_format_tells_the_same(result, tmp_path):
    markdown = result.to_markdown(tmp_path / "retro.md")
    assert (
        "| underwriting | peak\\_rps | 1/s | fan\\_out | 1.2 | 1.32 | +12.84 | 141.2 |" in markdown
    )
    assert (tmp_path / "retro.md").read_text(encoding="utf-8") == markdown
    page = result.to_html()
    assert "<td class=n>+12.84</td>" in page
    assert page == result.to_html()
    assert repr(result) == result.headline()


def test_a11_a_quota_that_was_raised_in_time_was_never_short(baseline, history):
    raised = retro(baseline, history, provisioned={("credit-bureau", "quota"): 126})
    row = only(raised.to_frame("limits"), node="credit-bureau")
    assert (row["provided_by"], row["short_minutes"]) == ("stated", 0.0)
    assert row["utilization"] == pytest.approx(98.868 / 126, rel=1e-9)


def test_a11_the_ledger_grows_by_one_row_and_refuses_a_second(result, tmp_path):
    file = tmp_path / "ledger.csv"
    Ledger.append_to(file, result.entries())
    frame = pd.read_csv(file)
    assert frame[["season", "service", "in_p80"]].to_numpy().tolist() == [
        [2026, "checkouts", "yes"]
    ]
    assert frame["ape"].iloc[0] == pytest.approx(420 / 6420, rel=1e-6)
    assert frame["made_on"].iloc[0] == "2026-12-02"
    before = file.read_bytes()
    with pytest.raises(InputError, match="a second time") as refused:
        Ledger.append_to(file, result.entries())
    assert "judged once a season" in refused.value.problems[0].expected
    assert file.read_bytes() == before


def past(scores: list[float]) -> tuple[Entry, ...]:
    """Return seasons that ended so many standard deviations off their plans."""
    return tuple(
        Entry(
            season=str(2025 - i), metric="season_peak", service="checkouts", unit="per_min",
            planned=1000.0, forecast=1000.0, p10=880.0, p90=1137.0, actual=1000 * math.exp(z / 10),
            ape=abs(math.exp(-z / 10) - 1), bias=math.exp(-z / 10) - 1, in_p80=abs(z) < 1.2816,
            pit=0.5 * (1 + math.erf(z / 2**0.5)), score=z, plan_hash=f"{i:064x}",
            made_on=dt.date(2026 - i, 1, 5),
        )
        for i, z in enumerate(scores)
    )  # fmt: skip


def season_peak(plan: PlanSet, scenario: str = "base") -> Any:
    demand = plan.to_frame("demand").query("window == 'season' and service == 'checkouts'")
    return only(demand, scenario=scenario)


def test_a11_next_seasons_interval_widens_where_coverage_is_below_nominal(plan, tmp_path):
    study = write_estate(tmp_path, more="ledger: ledger.csv\n")
    Ledger.append_to(tmp_path / "ledger.csv", past([2.1, -1.9, 1.7, -2.2, 0.4]))
    wide = Study.read(study, overrides={"draws": "10001"}).plan()
    before, after = season_peak(plan), season_peak(wide)
    assert after["peak_p50"] == pytest.approx(before["peak_p50"], rel=1e-9)
    # mean z^2 = 15.91 / 5 of 5 seasons: t_5(0.9) = 1.476 where the normal has 1.2816.
    by_hand = math.sqrt(15.91 / 5) * 1.476 / 1.2816
    grown = math.log(after["peak_p90"] / 6000) / math.log(before["peak_p90"] / 6000)
    assert grown == pytest.approx(by_hand, rel=0.04)  # 10,001 draws: 1.4 % standard error
    row = only(wide.to_frame("assumptions"), name="season luck of checkouts, x log sd")
    assert float(row["value"]) == pytest.approx(math.sqrt(15.91 / 5), rel=1e-5)
    assert row["source"].startswith("ledger.csv: 20% of 5 seasons inside P10 to P90")
    assert "ledger" in wide.meta["inputs"]
    assert "ledger" not in plan.meta["inputs"]


def test_a11_a_calm_ledger_changes_no_number(plan, tmp_path):
    study = write_estate(tmp_path, more="ledger: ledger.csv\n")
    Ledger.append_to(tmp_path / "ledger.csv", past([0.3, -0.9, 1.1, -0.2, 0.7]))
    calm = Study.read(study).plan()
    pd.testing.assert_frame_equal(calm.to_frame("demand"), plan.to_frame("demand"))
    assert calm.hash != plan.hash  # the ledger is an input


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"frozen_on":"2026-10-01"', '"frozen_on":"2026-09-30"'),
        ('"today_per_min":4800', '"today_per_min":5100'),
        ('"as_of":"2026-09-21"', '"as_of":"2026-09-20"'),
    ],
)
def test_a11_an_edited_plan_is_refused(folder, baseline, tmp_path, old, new):
    assert baseline.frozen_on == FROZEN
    text = (folder / "baseline.json").read_text(encoding="utf-8")
    assert old in text
    path = tmp_path / "edited.json"
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(InputError, match="edited after its freeze"):
        load_baseline(path)


@pytest.mark.slow
def test_a11_runs_as_a_command(folder, baseline, actuals, tmp_path, capsys):
    assert baseline.hash
    run = runner(capsys)
    ledger, page = tmp_path / "ledger.csv", tmp_path / "retro.html"
    arguments = ("retro", folder / "baseline.json", actuals, "--ledger", ledger)
    done = run(*arguments, "--out", page)
    assert done.code == 0
    assert "APE 6.54%, bias -6.54% (an under-forecast), inside P10 to P90" in done.out
    assert "+21.24 = driver +8.40, fan-out +12.84" in done.out
    assert "1 entry added" in done.err
    text = page.read_text(encoding="utf-8")
    assert "<svg" in text
    assert "http" not in text
    assert "<script" not in text
    again = run(*arguments)
    assert again.code == 2
    assert "a second time" in again.err
    both = json.loads(run("retro", folder / "baseline.json", actuals, "--format", "json").out)
    row = next(r for r in both["frames"]["decomposition"] if r["step"] == "fan_out"
               and r["service"] == "underwriting")  # fmt: skip
    assert row["change"] == "12.84"


def test_a11_an_edited_plan_fails_the_command(folder, baseline, actuals, tmp_path, capsys):
    assert baseline.hash
    text = (folder / "baseline.json").read_text(encoding="utf-8")
    path = tmp_path / "edited.json"
    path.write_text(text.replace("2026-10-01", "2026-09-30", 1), encoding="utf-8")
    done = runner(capsys)("retro", path, actuals)
    assert done.code == 2
    assert "edited after its freeze" in done.err
