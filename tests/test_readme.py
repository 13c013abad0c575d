"""What the README claims: its example runs, its files plan, its output is what is printed."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from capmodel.cli import main
from capmodel.cli.commands import capmodel
from capmodel.plan import Study
from capmodel.topology import Topology

if TYPE_CHECKING:
    from capmodel.plan import PlanSet

FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", flags=re.DOTALL | re.MULTILINE)


@pytest.fixture(scope="module")
def readme(repo: Path) -> str:
    return (repo / "README.md").read_text(encoding="utf-8")


def blocks(readme: str, language: str) -> list[str]:
    return [text for found, text in FENCE.findall(readme) if found == language]


def yaml_block(readme: str, first: str) -> str:
    """Return the YAML block that begins with a word."""
    (found,) = (text for text in blocks(readme, "yaml") if text.startswith(first))
    return found


@pytest.mark.slow
def test_the_python_examples_run(
    readme: str, repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    examples = blocks(readme, "python")
    (tmp_path / "data").symlink_to(repo / "data")
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for example in examples:
        assert len([line for line in example.splitlines() if line]) <= 20
        exec(compile(example, "README.md", "exec"), names)  # noqa: S102  our own text
    printed = capsys.readouterr().out
    assert "First to break: " in printed
    assert "weekly_seasonal_naive" in printed
    assert (tmp_path / "q4.plan.json").is_file()


def test_the_headline_is_the_shop_s(readme: str, shop_plans: PlanSet) -> None:
    (excerpt,) = (b.splitlines() for b in blocks(readme, "text") if b.startswith("First to break"))
    printed = shop_plans.headline().splitlines()
    shown = [line for line in excerpt if line != "…"]
    assert len(shown) >= 4
    assert [line for line in printed if line in shown] == shown


@pytest.mark.slow
def test_the_replay_is_the_shop_s(
    readme: str, repo: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (block,) = (b for b in blocks(readme, "text") if b.startswith("$ capmodel replay"))
    command, *shown = block.splitlines()
    monkeypatch.chdir(repo)
    with pytest.raises(SystemExit) as stop:
        main(shlex.split(command)[2:])
    assert stop.value.code == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[: len(shown) - 1] == shown[:-1]


def test_the_small_study_prints_what_is_shown(
    readme: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    topology, study = (yaml_block(readme, "drivers:"), yaml_block(readme, "business_tz:"))
    (tmp_path / "topology.yaml").write_text(topology, encoding="utf-8")
    (tmp_path / "study.yaml").write_text(study, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    (session,) = blocks(readme, "console")
    commands = re.split(r"^\$ ", session, flags=re.MULTILINE)[1:]
    assert len(commands) >= 3
    for text in commands:
        command, _, shown = text.partition("\n")
        words, _, target = command.partition(" > ")
        program, *args = shlex.split(words)
        assert program == "capmodel"
        with pytest.raises(SystemExit) as stop:
            main(args)
        assert stop.value.code == 0
        out = capsys.readouterr().out
        if target:
            (tmp_path / target).write_text(out, encoding="utf-8")
        else:
            assert out.rstrip() == shown.rstrip(), command


def test_what_more_can_be_declared_is_a_topology(readme: str) -> None:
    topology, more = (
        yaml.safe_load(yaml_block(readme, first)) for first in ("drivers:", "services:")
    )
    made = Topology.model_validate({**topology, **more})
    assert made.limits["vcpus"].per_node == {"general": "vcpus"}


def test_what_composes_is_a_study(readme: str, tmp_path: Path) -> None:
    """The block replaces the small study's scenarios, and joins its orders and purchase."""
    study = yaml.safe_load(yaml_block(readme, "business_tz:"))
    more = yaml.safe_load(yaml_block(readme, "scenarios:"))
    more["scenarios"]["base"] |= study["scenarios"]["base"] | {"growth_yoy_x": {}}
    more["scenarios"]["push"]["onboarding"][0]["start"] = study["horizon"]["start"]
    text = yaml.safe_dump({**study, **more, "draws": 100}, sort_keys=False)
    (tmp_path / "topology.yaml").write_text(yaml_block(readme, "drivers:"), encoding="utf-8")
    (tmp_path / "study.yaml").write_text(text, encoding="utf-8")
    plans = Study.read(tmp_path / "study.yaml").plan()
    changes = plans.to_frame("changes")
    assert set(changes["stage"]) >= {"additive", "mix", "cores"}
    assert not plans.to_frame("commitments").empty
    states = plans.to_frame("orders").set_index("id")["state"]
    assert states["nodes:general"] == "requested"


def test_the_gates_judge_the_shop(readme: str, shop_plans: PlanSet, tmp_path: Path) -> None:
    (tmp_path / "gates.yaml").write_text(yaml_block(readme, "gates:"), encoding="utf-8")
    result = shop_plans.gate(tmp_path / "gates.yaml", baseline=shop_plans)
    assert result.to_frame().set_index("gate")["result"].to_dict() == {
        "season cost": "PASS", "tier 0": "PASS", "risk": "PASS", "database": "WAIVED",
        "age of prices": "PASS", "age of history": "PASS",
    }  # fmt: skip


def test_the_tripwires_are_the_shop_s(readme: str, shop_plans: PlanSet) -> None:
    (block,) = (b for b in blocks(readme, "text") if b.startswith("$ capmodel tripwires"))
    assert block.splitlines()[1] == shop_plans.tripwire_headline().splitlines()[0]


def test_every_command_is_listed(readme: str) -> None:
    listed = re.findall(r"^\| `capmodel (\w+)", readme, flags=re.MULTILINE)
    assert sorted(listed) == sorted(capmodel.commands)


def test_every_path_that_is_named_exists(readme: str, repo: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)\)", readme)
    layout = blocks(readme, "text")[-1]
    paths = [
        Path("capmodel") / name
        for name in re.findall(r"(?<=  )([a-z_]+/|[a-z_]+\.py)(?= |$)", layout, flags=re.MULTILINE)
        if not (repo / name).exists()
    ]
    assert len(paths) >= 15
    missing = [path for path in (*links, *paths) if not (repo / path).exists()]
    assert missing == []


def test_every_module_stands_in_the_layout(readme: str, repo: Path) -> None:
    layout = blocks(readme, "text")[-1]
    modules = [
        f"{path.name}/" if path.is_dir() else path.name
        for path in sorted((repo / "capmodel").iterdir())
        if path.suffix in {"", ".py"} and not path.name.startswith("__")
    ]
    assert [name for name in modules if name not in layout] == []
