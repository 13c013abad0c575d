"""The pure parts of the accuracy benchmark: cutting tasks, naive forecasts, scores, their shelf."""

from __future__ import annotations

import datetime as dt
import math
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest

NAMES = ("tasks", "peer_worker", "scores", "peers", "ours", "accuracy_tables", "accuracy")


@pytest.fixture(scope="module")
def bench(repo: Path) -> Iterator[dict[str, ModuleType]]:
    """Return the benchmark's modules by name; scripts are no package."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(repo / "benchmarks"))
        yield {name: import_module(name) for name in NAMES}
        for name in NAMES:
            sys.modules.pop(name, None)


@pytest.fixture
def task(bench):
    """Return 600 days of NZ hours (1 on odd weeks, 3 on even ones), then 10 days of 4."""
    week = np.arange(600) // 7
    train = np.repeat(np.where(week % 2, 3.0, 1.0)[:, None], 24, axis=1)
    actual = np.full((10, 24), 4.0)
    actual[0, 0] = np.nan
    origin = np.datetime64("2024-03-01")
    return bench["tasks"].Task("queen street", "auckland", origin, train, actual)


def test_a_repeated_hour_is_averaged_and_a_missing_one_stays_a_gap(bench) -> None:
    times = pd.to_datetime(
        ["2024-11-03 01:00", "2024-11-03 01:30", "2024-11-03 03:00", "2024-11-04 00:00"]
    )
    days, cube = bench["tasks"].by_days(pd.Series(times), pd.Series([10, 20, 7, 5]))
    assert [str(day) for day in days] == ["2024-11-03", "2024-11-04"]
    assert cube[0, 1] == 15.0
    assert cube[0, 3] == 7.0
    assert cube[1, 0] == 5.0
    assert np.isfinite(cube).sum() == 3


@pytest.mark.parametrize(
    ("length", "count", "horizon", "expected"),
    [
        (1000, 3, 90, [731, 820, 910]),  # evenly between two years and 90 days before the end
        (731, 2, 90, [600, 641]),  # two years in all: the last 90 days, and the least training
        (900, 2, 90, [720, 810]),  # 731 and 810 would be less than a horizon apart
        (2922, 4, 90, [731, 1431, 2131, 2832]),
        (689, 2, 90, []),  # 599 training days
        (731, 2, 180, []),  # 551
    ],
)
def test_origins_are_spread_evenly(bench, length, count, horizon, expected) -> None:
    assert bench["tasks"].origins(np.arange(length), count, horizon=horizon) == expected


def test_a_task_knows_its_first_day_and_only_the_holidays_that_it_has_seen(bench, task) -> None:
    assert task.first == np.datetime64("2022-07-10")
    known = bench["tasks"].known_calendar(task)
    # The mourning day of 2022-09-26 was in the training days, Matariki began in June 2022.
    assert dt.date(2022, 9, 26) in {day.date for day in known}
    assert known.dates_of("matariki")[-1] > dt.date(2025, 1, 1)
    earlier = bench["tasks"].Task("a", "auckland", np.datetime64("2022-03-01"), *[task.train] * 2)
    assert "matariki" not in bench["tasks"].known_calendar(earlier).names
    assert "christmas_day" in bench["tasks"].known_calendar(earlier).names


def test_tasks_of_the_same_days_are_one_fleet(bench, task) -> None:
    make = bench["tasks"].Task
    later = make("b", "auckland", np.datetime64("2024-04-01"), task.train, task.actual)
    other = make("albert street", "auckland", task.origin, task.train + 1, task.actual)
    fleets = bench["ours"].by_fleet([task, later, other])
    assert [[one.series for one in members] for members in fleets] == [
        ["queen street", "albert street"],
        ["b"],
    ]
    history = bench["tasks"].fleet(fleets[0])
    assert history.services == ("albert street", "queen street")
    assert history.values["rps", ""][:, 0].tolist() == [2.0, 1.0]


def test_gaps_hold_the_value_a_week_before_and_at_the_beginning_a_week_after(bench) -> None:
    hours = np.arange(400.0)
    holes = hours.copy()
    holes[[5, 173, 180, 348, 399]] = np.nan
    full = bench["peer_worker"].filled(holes)
    assert full[[5, 173, 180, 348, 399]].tolist() == [341, 341, 12, 12, 231]
    kept = np.isfinite(holes)
    assert (full[kept] == hours[kept]).all()


def test_the_naive_forecast_repeats_the_last_week(bench) -> None:
    worker = bench["peer_worker"]
    hours = np.arange(1000.0)
    hours[990] = np.nan
    none = np.array([])
    series = worker.Series(hours, np.datetime64("2024-01-01T00"), 400, none, none)
    forecast = worker.naive(series)
    assert forecast[:3].tolist() == [832, 833, 834]
    assert forecast[158] == 990 - 168
    assert (forecast[168:336] == forecast[:168]).all()
    assert len(forecast) == 400


def test_scores_by_hand(bench, task) -> None:
    """Weeks differ by 2, so the scale is 2; the first hour of the actual part is missing."""
    forecast = np.full((10, 24), 3.0)
    forecast[1:7] = 6.0
    got = bench["scores"].score(task, forecast, cpu_s=1.5, peak_mb=80.0)
    assert got.day == pytest.approx(1 / 2)
    assert got.week == pytest.approx((23 * 1 + 144 * 2) / 167 / 2)
    assert got.mase == pytest.approx((23 * 1 + 144 * 2 + 72 * 1) / 239 / 2)
    assert got.wape == pytest.approx((23 * 1 + 144 * 2 + 72 * 1) / (239 * 4))
    assert got.mase_clipped == got.mase
    below = bench["scores"].score(task, forecast - 9, cpu_s=1.5, peak_mb=80.0)
    assert below.mase == pytest.approx((95 * 10 + 144 * 7) / 239 / 2)
    assert below.mase_clipped == pytest.approx(4 / 2)
    missing = bench["scores"].score(task, forecast * np.nan, cpu_s=1.5, peak_mb=80.0, failed="why")
    assert math.isnan(missing.mase)
    assert missing.failed == "why"


def test_the_shelf_keeps_scores_of_the_same_data_only(bench, task, tmp_path) -> None:
    scores = bench["scores"]
    path = tmp_path / "peers.json"
    shelf = scores.Shelf(path)
    one = scores.score(task, np.full((10, 24), 3.0), cpu_s=1.5, peak_mb=80.0)
    shelf.put("naive", {task.name: one}, versions="numpy 2")
    again = scores.Shelf()
    again.load(path)
    assert again.scores == {"naive": {task.name: one}}
    assert again.versions == {"naive": "numpy 2"}
    assert again.has("naive", task)
    assert not again.has("tuned", task)
    changed = task.train.copy()
    changed[0, 0] = 1.5
    mended = bench["tasks"].Task(task.series, task.group, task.origin, changed, task.actual)
    assert not again.has("naive", mended)


def test_goals_are_kept_at_their_bound(bench) -> None:
    goal = bench["accuracy_tables"].Goal(0.55, 0.52)
    assert [goal.verdict(x) for x in (0.52, 0.55, 0.551, math.nan)] == [
        *("stretch reached", "reached", "not reached", "not reached"),
    ]
    share = bench["accuracy_tables"].Goal(0.93, 0.95, at_least=True)
    assert [share.verdict(x) for x in (0.95, 0.93, 0.929)] == [
        *("stretch reached", "reached", "not reached"),
    ]
    assert str(share) == "≥ 0.93 (stretch 0.95)"


def test_a_row_by_hand(bench, task) -> None:
    """Two tasks: ours 1 and 2, theirs 2 and 4, the naive 4 and 1."""
    make = bench["tasks"].Task
    other = make("albert street", "auckland", task.origin, task.train, task.actual)
    shelf = bench["scores"].Shelf()
    for method, errors, cpu_s in (
        *(("ours", (1.0, 2.0), 0.01), ("tuned", (2.0, 4.0), 4.0)),
        *(("naive", (4.0, 1.0), 0.001),),
    ):
        scores = {
            one.name: bench["scores"].Score(
                error, error, 2 * error, error / 10, error / 2, cpu_s, 100.0, ""
            )
            for one, error in zip((task, other), errors, strict=True)
        }
        shelf.put(method, scores, versions="1")
    tables = bench["accuracy_tables"]
    row = tables.Row.of("tuned", [task, other], shelf)
    assert row.mase == pytest.approx(8**0.5)
    assert row.ratio == row.clipped == pytest.approx(0.5)
    assert row.share == 1.0
    assert row.wape == pytest.approx(0.3)
    assert row.day == row.week == pytest.approx(2**0.5)
    assert row.cpu_x == pytest.approx(400)
    assert tables.Row.of("naive", [task, other], shelf).share == 0.5
    goals = tables.goal_table([task, other], ["ours", "naive", "tuned"], shelf)
    assert "| MASE, ours / Prophet, hand-tuned            | 0.500   |" in goals
    assert goals.count("stretch reached") == 2  # tuned: the ratio and the share
    assert goals.count("not reached") == 1  # the first day: sqrt(2 / 4) = 0.707 of the naive


def test_no_forecast_of_ours_is_no_win(bench) -> None:
    ours, theirs = np.array([1.0, 1.0, np.nan, 1.0]), np.array([2.0, 0.5, 1.0, np.nan])
    assert bench["accuracy_tables"].share_better(ours, theirs) == pytest.approx(1 / 3)


def test_the_pinned_peers_are_names_and_versions(bench) -> None:
    lines = bench["peers"].PINS.read_text(encoding="utf-8").splitlines()
    pins = dict(line.split("==") for line in lines if not line.startswith("#"))
    assert pins["statsforecast"] == "2.1.1"
    assert pins["pandas"] < "3"
    assert set(bench["peers"].PEERS) == set(bench["peer_worker"].METHODS)


def test_the_command_line_names_what_is_unknown(bench, capsys) -> None:
    read = bench["accuracy"].arguments
    assert read(["--peers", "none"]).peers == ["naive"]
    assert read(["--peers", "mfles,prophet"]).peers == ["naive", "prophet", "mfles"]
    with pytest.raises(SystemExit):
        read(["--groups", "bikes,comet"])
    assert 'unknown group "comet"' in capsys.readouterr().err


def test_a_planted_fleet_is_judged_end_to_end(bench) -> None:
    """Two services of exactly repeating weeks: the median is right, the quantiles above it."""
    rng = np.random.default_rng(4)
    week = 100 + 50 * rng.random((7, 24))
    hours = np.tile(week, (104, 1)) * (1 + 0.02 * rng.standard_normal((728, 24)))
    make = bench["tasks"].Task
    origin = np.datetime64("2024-03-04")
    members = [
        make(name, "auckland", origin, size * hours[:700], size * hours[700:])
        for name, size in (("a", 1.0), ("b", 30.0))
    ]
    scores, covered = bench["ours"].forecast_points(members, draws=200)
    for one in members:
        assert scores[one.name].wape < 0.03  # noise of 2 %: mean |e| = 0.016
        assert scores[one.name].mase < 1.0
    assert [one.hours for one in covered] == [672, 672]
    for one in covered:
        assert one.hits[0] <= one.hits[1] <= one.hits[2] <= 672
        assert one.hits[1] / one.hours > 0.85
