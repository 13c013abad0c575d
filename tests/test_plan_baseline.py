from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import pytest
import stories
from command import runner

import capmodel as cm
from capmodel import documents
from capmodel.errors import InputError, Problem
from capmodel.plan import Study
from capmodel.plan.baseline import load_plan_or_baseline

AGREED = date(2026, 9, 25)


@pytest.fixture(scope="module")
def plans(tmp_path_factory):
    return Study.read(stories.proportional_pool(tmp_path_factory.mktemp("pool"))).plan()


@pytest.fixture
def saved(plans, tmp_path):
    plans.save(tmp_path / "plan.json")
    return tmp_path / "plan.json"


@pytest.fixture
def frozen(plans, tmp_path):
    plans.freeze(on=AGREED, note="agreed in the review").save(tmp_path / "baseline.json")
    return tmp_path / "baseline.json"


def edited(path: Path, change) -> Path:
    document = json.loads(path.read_text(encoding="utf-8"))
    change(document)
    path.write_text(json.dumps(document), encoding="utf-8")
    return path


def problem_of(call) -> Problem:
    with pytest.raises(InputError) as caught:
        call()
    (problem,) = caught.value.problems
    return problem


@pytest.mark.slow
def test_a_baseline_holds_the_plan_its_hash_and_the_day(plans, frozen):
    baseline = cm.load_baseline(frozen)
    assert baseline.plan.to_json() == plans.to_json()
    assert (baseline.frozen_on, baseline.note) == (AGREED, "agreed in the review")
    assert baseline.hash == plans.freeze(on=AGREED, note="agreed in the review").hash
    assert baseline.to_json() == frozen.read_text(encoding="utf-8")
    others = {plans.freeze(on=date(2026, 9, 26)).hash, plans.freeze(on=AGREED).hash}
    assert len(others | {baseline.hash, plans.hash}) == 4


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d["baseline"].update(frozen_on="2026-09-24"),
        lambda d: d["baseline"].update(note="agreed by nobody"),
        lambda d: d["baseline"]["plan"]["plan"]["frames"]["cost"]["rows"][0].__setitem__(4, 1.0),
        lambda d: d["baseline"]["plan"]["environment"].update(numpy="1.0"),
    ],
)
def test_a_baseline_edited_after_its_freeze_is_refused(frozen, change):
    written = json.loads(frozen.read_text(encoding="utf-8"))["hash"]
    found = problem_of(lambda: cm.load_baseline(edited(frozen, change)))
    assert found.where == str(frozen)
    assert "edited after its freeze" in found.got
    assert written in found.expected
    assert found.do == "Restore the file from version control, or freeze the plan anew."
    with pytest.raises(InputError, match="edited after its freeze"):
        load_plan_or_baseline(frozen)


def test_a_plan_edited_before_a_new_hash_was_written_is_refused_too(frozen):
    def forge(document):
        rows = document["baseline"]["plan"]["plan"]["frames"]["cost"]["rows"]
        rows[0][4] = 1.0
        document["hash"] = documents.sha256_hex(documents.canonical_json(document["baseline"]))

    found = problem_of(lambda: cm.load_baseline(edited(frozen, forge)))
    assert found.got == "content that does not match its hash"


def test_what_is_no_baseline_is_refused(saved, tmp_path):
    found = problem_of(lambda: cm.load_baseline(saved))
    assert found.got == "schema 'capmodel.plan/1'"
    assert found.do.startswith("Freeze the plan first: capmodel freeze")
    (tmp_path / "list.json").write_text("[]", encoding="utf-8")
    assert problem_of(lambda: cm.load_baseline(tmp_path / "list.json")).got.startswith(
        "a JSON list"
    )
    assert "No such file" in problem_of(lambda: cm.load_baseline(tmp_path / "none.json")).got


def test_a_baseline_without_a_part_is_refused_in_words(frozen):
    found = problem_of(lambda: cm.load_baseline(edited(frozen, lambda d: d.pop("baseline"))))
    assert found.got == "a baseline without its parts: KeyError 'baseline'"


@pytest.mark.parametrize("day", [date(2026, 9, 20), date(2026, 12, 17)])
def test_a_freeze_before_the_plan_or_after_its_season_is_refused(plans, day):
    found = problem_of(lambda: plans.freeze(on=day))
    assert (found.where, found.got) == ("freeze.on", str(day))
    assert found.expected.startswith("a day from 2026-09-21, when the plan was made, and before")


def test_a_freeze_is_not_overwritten(plans, frozen):
    before = frozen.read_text(encoding="utf-8")
    plans.freeze(on=AGREED, note="agreed in the review").save(frozen)  # the same: nothing to lose
    with pytest.raises(InputError, match="a freeze is not overwritten"):
        plans.freeze(on=AGREED, note="agreed again").save(frozen)
    assert frozen.read_text(encoding="utf-8") == before


@pytest.mark.slow
def test_the_command_freezes_and_prints_the_hash(plans, saved, tmp_path, capsys):
    run = runner(capsys, "freeze")
    out = tmp_path / "baseline.json"
    done = run(saved, "--out", out, "--on", "2026-09-25", "--note", "agreed")
    assert (done.code, done.out.strip()) == (0, plans.freeze(on=AGREED, note="agreed").hash)
    assert cm.load_baseline(out).frozen_on == AGREED
    again = run(saved, "--out", out, "--on", "2026-09-26")
    assert again.code == 2
    assert "a freeze is not overwritten" in again.err
    early = run(saved, "--out", tmp_path / "early.json", "--on", "2026-09-01")
    assert early.code == 2
    assert "when the plan was made" in early.err
    # A baseline is read wherever a plan is.
    assert runner(capsys, "explain")(out, "general", "nodes").code == 0
