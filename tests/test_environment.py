"""What a fresh machine gets: the pinned set, the README's two commands, the wheel on its own."""

from __future__ import annotations

import os
import re
import subprocess
import tomllib
import venv
import zipfile
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PIN = re.compile(r"[a-z0-9][a-z0-9._-]*==[0-9][A-Za-z0-9.+!]*")


@pytest.fixture(scope="module")
def project(repo: Path) -> dict[str, Any]:
    text = (repo / "pyproject.toml").read_text(encoding="utf-8")
    return dict(tomllib.loads(text)["project"])


def _pins(repo: Path) -> dict[str, str]:
    lines = (repo / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    assert [pin for pin in pins if not PIN.fullmatch(pin)] == []
    return {canonicalize_name(name): version for name, version in (p.split("==") for p in pins)}


def test_constraints_pin_every_dependency_inside_its_bounds(
    repo: Path, project: dict[str, Any]
) -> None:
    pins = _pins(repo)
    extras = project["optional-dependencies"].values()
    wanted = [Requirement(row) for rows in [project["dependencies"], *extras] for row in rows]
    outside = [
        str(requirement)
        for requirement in wanted
        if requirement.name != project["name"]
        and not requirement.specifier.contains(pins.get(canonicalize_name(requirement.name), "0"))
    ]
    assert wanted
    assert outside == []


def test_readme_opens_with_the_two_commands_that_ci_runs(repo: Path) -> None:
    readme = (repo / "README.md").read_text(encoding="utf-8")
    first_block = readme.split("```sh\n")[1].split("```")[0]
    commands = [line.split("#")[0].strip() for line in first_block.splitlines()]
    assert [command for command in commands if command] == ["make plan", "make test"]
    targets = re.findall(
        r"^([a-z-]+):", (repo / "Makefile").read_text(encoding="utf-8"), re.MULTILINE
    )
    assert {"plan", "test", "check", "check-fast"} <= set(targets)
    script = (repo / ".ci" / "run").read_text(encoding="utf-8").splitlines()
    run = [line for line in script if line in {"make plan", "make test", "make check"}]
    assert run == ["make plan", "make test", "make check"]


def _run(*command: str | Path, cwd: Path) -> str:
    """Run a command far from the repository, so that only the installed package is found."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    done = subprocess.run(
        command, cwd=cwd, env=environment, capture_output=True, text=True, check=False, timeout=600
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.mark.slow
def test_wheel_alone_in_an_empty_environment_makes_the_plan(
    repo: Path, shop_dir: Path, tmp_path: Path
) -> None:
    venv.create(tmp_path / "env", with_pip=True)
    python, capmodel = (tmp_path / "env" / "bin" / name for name in ("python", "capmodel"))
    pip = (python, "-m", "pip", "--quiet", "--disable-pip-version-check")
    _run(*pip, "wheel", "--no-deps", "--wheel-dir", tmp_path, repo, cwd=tmp_path)
    (wheel,) = tmp_path.glob("capmodel-*.whl")

    names = set(zipfile.ZipFile(wheel).namelist())
    tops = {name.split("/")[0] for name in names}
    assert {name for name in tops if not name.endswith(".dist-info")} == {"capmodel"}
    sources = {str(p.relative_to(repo)) for p in (repo / "capmodel").rglob("*") if p.is_file()}
    assert "capmodel/py.typed" in names
    assert {name for name in sources if "__pycache__" not in name} <= names

    pinned = ("-c", repo / "constraints.txt")
    _run(*pip, "install", "--no-compile", *pinned, wheel, cwd=tmp_path)
    where = _run(python, "-c", "import capmodel; print(capmodel.__file__)", cwd=tmp_path)
    assert Path(where.strip()).is_relative_to(tmp_path)
    out = tmp_path / "review"
    printed = _run(capmodel, "plan", shop_dir / "study.yaml", "--out", out, cwd=tmp_path)
    assert printed.strip()
    assert {"plan.json", "review.html"} <= {path.name for path in out.iterdir()}
