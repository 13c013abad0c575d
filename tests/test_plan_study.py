"""A study's own events: whole days and windows of the clock, as written and as planned."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from capmodel.errors import InputError
from capmodel.plan import Study
from capmodel.plan.planset import PlanSet

TOPOLOGY = """\
drivers:
  checkouts: {today_per_min: 2400, sigma_log: 0.1, peak_minute_x: 1.35}
services:
  api:
    calls: {checkouts: 4}
    pod: {cpu_cores: 2, memory_gib: 4}
    replicas: {min: 6, max: 200, today: 40}
    usage: {cpu_cores: {per_pod: 0.05, per_request: 0.085}}
"""
STUDY = """\
business_tz: America/New_York
as_of: 2026-09-21
horizon: {start: 2026-11-16, end: 2026-12-01}
draws: 100
topology: topology.yaml
events:
  calendar: us_retail
  add:
    - {name: flash_sale, start: 2026-11-20T18:00, end: 2026-11-20T22:00, tag: flash}
    - {name: flash_sale, start: "2026-11-27 22:00", end: 2026-11-28T02:00:00}
    - {name: launch, start: 2026-11-23, days: 2}
    - {name: early, start: 2026-11-17, end: 2026-11-17T06:00}
scenarios:
  base:
    lift:
      flash_sale: {checkouts: 2.5}
      launch: {checkouts: 1.2}
      black_friday: {checkouts: 3.0}
"""


def written(folder: Path, text: str) -> Path:
    (folder / "topology.yaml").write_text(TOPOLOGY, encoding="utf-8")
    path = folder / "study.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def own_days(study: Study) -> list[tuple[str, str, int, int]]:
    return [
        (day.name, str(day.date), day.start_hour, day.end_hour)
        for day in study.make_events(2026)
        if day.tag in ("flash", "custom")
    ]


def test_windows_are_read_from_the_file(tmp_path: Path) -> None:
    study = Study.read(written(tmp_path, STUDY))
    assert own_days(study) == [
        ("early", "2026-11-17", 0, 6),
        ("flash_sale", "2026-11-20", 18, 22),
        ("launch", "2026-11-23", 0, 24),
        ("launch_day_2", "2026-11-24", 0, 24),
        ("flash_sale", "2026-11-27", 22, 24),
        ("flash_sale_day_2", "2026-11-28", 0, 2),
    ]


def test_a_study_reads_what_it_writes(tmp_path: Path) -> None:
    study = Study.read(written(tmp_path, STUDY))
    fields = json.loads(study.model_dump_json(exclude_none=True))
    again = Study.read(written(tmp_path, yaml.safe_dump(fields)))
    assert again == study
    assert own_days(again) == own_days(study)
    assert Study.model_validate(fields).events == study.events


@pytest.mark.parametrize(
    ("event", "message"),
    [
        ("start: 2026-11-20T18:00, end: 22:00", r'study.yaml:9 events.add.0.end: got "22:00"'),
        ("start: 2026-11-20T18:00, end: 2026-11-21", "2026-11-21T00:00 is where the day begins"),
        ("start: 2026-11-20T18:00, end: '2026-11-21'", "2026-11-21T00:00 is where the day begins"),
        ("start: 2026-11-20T18:00, end: 2026-11-20T22:00, days: 1", "days, end: got days 1 and"),
        ("start: 2026-11-20T18:00", r"event flash_sale: start: got 2026-11-20T18:00:00; .* an end"),
        ("start: 2026-11-20T18:00, end: 2026-11-20T17:00", "an end after the start"),
        ("start: 2026-11-20T18:00, end: 2026-11-20T18:45", "a local time on the hour"),
        ("start: 2026-11-20T18:00Z, end: 2026-11-20T22:00Z", "2 problems"),
        ("start: 2026-11-20, until: 2026-11-20T22:00", 'unknown field "until"'),
    ],
)
def test_wrong_windows_are_refused(tmp_path: Path, event: str, message: str) -> None:
    kept = "start: 2026-11-20T18:00, end: 2026-11-20T22:00"
    path = written(tmp_path, STUDY.replace(kept, event))
    with pytest.raises(InputError, match=message):
        Study.read(path).make_events(2026)


@pytest.mark.slow
def test_a_window_is_in_the_plan_and_the_plan_comes_back(tmp_path: Path) -> None:
    """A declared level has one peak minute a day, which may lie in the window: both lifts count."""
    plan = Study.read(written(tmp_path, STUDY)).plan()
    demand = plan.to_frame("demand")
    days = demand[(demand["service"] == "checkouts") & (demand["window"] == "day")]
    peak = days[days["scenario"] == "base"].set_index("date")["peak_p50"]
    event = days[days["scenario"] == "base"].set_index("date")["event"]
    assert event["2026-11-20"] == "flash_sale"
    assert event["2026-11-27"] == "black_friday"
    usual = peak["2026-11-18"]
    for date, lift in (("2026-11-20", 2.5), ("2026-11-23", 1.2), ("2026-11-27", 7.5)):
        assert peak[date] / usual == pytest.approx(lift)
    file = tmp_path / "plan.json"
    plan.save(file)
    assert PlanSet.load(file).to_frame("lifts").equals(plan.to_frame("lifts"))
