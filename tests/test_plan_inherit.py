"""Scenarios and studies that extend others: what is handed on, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from capmodel.cli import main
from capmodel.documents import merged
from capmodel.errors import InputError
from capmodel.plan import Study, load_plan
from capmodel.plan.inherit import filled_in

TOPOLOGY = (
    "drivers:\n  checkouts: {today_per_min: 2400}\nservices:\n  api: {calls: {checkouts: 4}}\n"
)
STUDY = """\
business_tz: America/New_York
horizon: {start: 2026-11-16, end: 2026-12-01}
draws: 100
also: []
topology: topology.yaml
"""
SCENARIOS = """\
base:
  probability: 0.6
  growth_yoy_x: {checkouts: 1.25}
  lift: {black_friday: {checkouts: 3.0}, cyber_monday: {checkouts: 2.5}}
  launches:
    - {name: tv, root: checkouts, start: 2026-11-20, per_min: 300, source: plan}
high:
  extends: base
  probability: 0.4
  growth_yoy_x: {checkouts: 1.5}
  lift: {cyber_monday: {checkouts: 4.0}}
"""


def written(folder: Path, scenarios: str = SCENARIOS) -> Path:
    """Write a study and return its path."""
    folder.mkdir(exist_ok=True)
    (folder / "topology.yaml").write_text(TOPOLOGY, encoding="utf-8")
    path = folder / "study.yaml"
    indented = "".join(f"  {line}\n" for line in scenarios.splitlines())
    path.write_text(f"{STUDY}scenarios:\n{indented}", encoding="utf-8")
    return path


def test_the_child_wins_field_by_field(tmp_path: Path) -> None:
    base, high = Study.read(written(tmp_path)).read_scenarios()
    assert (base.probability, high.probability) == (0.6, 0.4)
    assert high.growth_yoy_x == {"checkouts": 1.5}
    assert high.lift == {"black_friday": {"checkouts": 3.0}, "cyber_monday": {"checkouts": 4.0}}
    assert high.launches == base.launches != ()


def test_a_probability_is_not_inherited(tmp_path: Path) -> None:
    path = written(tmp_path, SCENARIOS.replace("  probability: 0.4\n", ""))
    with pytest.raises(InputError, match=r"base 0\.6, high None .*all absent, or all present"):
        Study.read(path).plan()


def test_grandchildren_and_fields_taken_away(tmp_path: Path) -> None:
    more = SCENARIOS.replace("probability: 0.4", "probability: 0.2")
    more += "total:\n  extends: high\n  probability: 0.2\n  growth_yoy_x: null\n"
    more += "  anchor: {root: checkouts, start: 2026-11-23, end: 2026-11-30, total: 4.0e+7}\n"
    *_, total = Study.read(written(tmp_path, more)).read_scenarios()
    assert total.growth_yoy_x == {}
    assert total.lift["cyber_monday"] == {"checkouts": 4.0}
    assert total.anchor[0].days == 7


def test_parents_may_stand_in_other_files(tmp_path: Path) -> None:
    written(tmp_path)
    base, high = SCENARIOS.split("high:")
    (tmp_path / "a.yaml").write_text(f"high:{high}", encoding="utf-8")
    (tmp_path / "b.yaml").write_text(base, encoding="utf-8")
    path = tmp_path / "study.yaml"
    path.write_text(STUDY + "scenarios: [a.yaml, b.yaml]\n", encoding="utf-8")
    found = {s.name: s for s in Study.read(path).read_scenarios()}
    assert list(found) == ["high", "base"]
    assert found["high"].lift["black_friday"] == {"checkouts": 3.0}


@pytest.mark.parametrize(
    ("override", "value", "found"),
    [
        ("scenarios.high.growth_yoy_x.checkouts", "1.4", {"growth_yoy_x": {"checkouts": 1.4}}),
        # the parent's alone: the child has no such field of its own
        ("scenarios.high.demand_x.checkouts", "1.1", {"demand_x": {"checkouts": 1.1}}),
        ("scenarios.base.lift.black_friday.checkouts", "2.0",
         {"lift": {"black_friday": {"checkouts": 2.0}, "cyber_monday": {"checkouts": 4.0}}}),
    ],
)  # fmt: skip
def test_overrides_reach_inherited_fields(
    tmp_path: Path, override: str, value: str, found: dict[str, Any]
) -> None:
    path = written(tmp_path, SCENARIOS.replace("  growth_yoy_x: {checkouts: 1.5}\n", ""))
    overrides = {override: value}
    if "demand_x" in override:
        overrides["scenarios.base.growth_yoy_x"] = "{}"
    _, high = Study.read(path, overrides=overrides).read_scenarios()
    assert {name: getattr(high, name) for name in found} == found


@pytest.mark.slow
def test_the_command_sets_an_inherited_field(tmp_path: Path) -> None:
    path = written(tmp_path, SCENARIOS.replace("  growth_yoy_x: {checkouts: 1.5}\n", ""))
    changed = "scenarios.high.growth_yoy_x.checkouts=1.4"
    out = tmp_path / "review"
    with pytest.raises(SystemExit) as ended:
        main(["plan", str(path), "--set", changed, "--out", str(out)])
    assert ended.value.code == 0
    yoy = load_plan(out / "plan.json").to_frame("yoy").set_index("scenario")
    assert yoy["scenario_yoy_x"].to_dict() == {"base": 1.25, "high": 1.4}


@pytest.mark.parametrize(
    ("scenarios", "where", "got", "do"),
    [
        ("base: {}\nhigh: {extends: bsae}", "study.yaml:8 scenarios.high.extends",
         'unknown scenario "bsae"', 'Did you mean "base"?'),
        ("base: {extends: base}", "study.yaml:7 scenarios.base.extends",
         "a circle: base > base", "Remove extends from one of them."),
        ("a: {extends: b}\nb: {extends: c}\nc: {extends: b}", "study.yaml:8 scenarios.b.extends",
         "a circle: b > c > b", "Remove extends from one of them."),
    ],
)  # fmt: skip
def test_parents_that_lead_nowhere(
    tmp_path: Path, scenarios: str, where: str, got: str, do: str
) -> None:
    with pytest.raises(InputError) as error:
        Study.read(written(tmp_path, scenarios)).read_scenarios()
    first = error.value.problems[0]
    assert (first.where, first.got, first.do) == (where, got, do)
    assert first.expected


# ---- studies -----------------------------------------------------------------------------------


def child(tmp_path: Path, text: str) -> Path:
    written(tmp_path / "base")
    (tmp_path / "sub").mkdir()
    path = tmp_path / "sub" / "child.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_study_extends_another_whose_paths_stay_its_own(tmp_path: Path) -> None:
    text = "extends: ../base/study.yaml\ndraws: 200\nscenarios: {low: {extends: base}}\n"
    shares = {"scenarios.high.probability": "0.3", "scenarios.low.probability": "0.1"}
    study = Study.read(child(tmp_path, text), overrides=shares)
    assert (study.draws, study.seed, study.business_tz) == (200, 0, "America/New_York")
    topology = study.read_topology()
    assert topology is not None
    assert topology.roots == ("checkouts",)
    names = {s.name: s.probability for s in study.read_scenarios()}
    assert names == {"base": 0.6, "high": 0.3, "low": 0.1}


def test_a_typo_is_told_where_it_stands(tmp_path: Path) -> None:
    path = child(tmp_path, "extends: ../base/study.yaml\ndrows: 200\n")
    base = tmp_path / "base" / "study.yaml"
    base.write_text(base.read_text(encoding="utf-8").replace("also", "aslo"), encoding="utf-8")
    with pytest.raises(InputError) as error:
        Study.read(path)
    assert {p.where for p in error.value.problems} == {"child.yaml:2 drows", "study.yaml:4 aslo"}


@pytest.mark.parametrize(
    ("text", "where", "got"),
    [
        ("extends: ../base/stuudy.yaml\n", "stuudy.yaml", "no such file"),
        ("extends: child.yaml\n", "child.yaml extends", "child.yaml > child.yaml"),
    ],
)
def test_studies_that_lead_nowhere(tmp_path: Path, text: str, where: str, got: str) -> None:
    with pytest.raises(InputError) as error:
        Study.read(child(tmp_path, text))
    (problem,) = error.value.problems
    assert problem.where.endswith(where)
    assert problem.got == got
    assert problem.do


# ---- properties --------------------------------------------------------------------------------

values = st.recursive(
    st.integers(), lambda inner: st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip
mappings = st.dictionaries(st.sampled_from("abc"), values, max_size=3)


@given(parent=mappings, child=mappings)
@pytest.mark.slow
def test_merging_keeps_the_child_and_nothing_else_is_lost(
    parent: dict[str, Any], child: dict[str, Any]
) -> None:
    both = merged(parent, child)
    assert set(both) == set(parent) | set(child)
    assert merged(both, child) == both
    assert merged(parent, {}) == parent
    assert merged({}, child) == child
    for key, value in child.items():
        if not (isinstance(value, dict) and isinstance(parent.get(key), dict)):
            assert both[key] == value


@given(order=st.permutations(["base", "high", "top"]))
def test_the_order_of_scenarios_does_not_matter(order: list[str]) -> None:
    given = {
        **yaml.safe_load(SCENARIOS),
        "top": {"extends": "high", "lift": {"black_friday": None}},
    }
    file = Path("study.yaml")
    one = filled_in({name: (given[name], file) for name in order})
    other = filled_in({name: (given[name], file) for name in given})
    assert one == other
    assert one["top"][0]["lift"] == {"cyber_monday": {"checkouts": 4.0}}
