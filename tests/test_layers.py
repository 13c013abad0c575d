"""The house of the design: a module imports only from rows below its own."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from importlinter.cli import lint_imports

BROKEN = [
    ("errors", "from capmodel import schema", "the house"),
    ("errors", "def late():\n    from capmodel import schema", "the house"),
    ("demand", "from capmodel import usage", "the house"),
    ("report", "import matplotlib", "plots alone"),
    ("demand", "def late():\n    from statsmodels import api", "demand.adapters alone"),
]


def test_modules_import_only_from_rows_below(
    repo: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(repo)
    status = lint_imports(config_filename="pyproject.toml", no_cache=True)
    assert status == 0, capsys.readouterr().out


def test_every_module_has_its_row(repo: Path) -> None:
    config = tomllib.loads((repo / "pyproject.toml").read_text(encoding="utf-8"))
    house = config["tool"]["importlinter"]["contracts"][0]
    rows = {name.strip(" ()") for row in house["layers"] for name in row.split("|")}
    found = {
        path.stem
        for path in (repo / "capmodel").iterdir()
        if path.suffix == ".py" or (path / "__init__.py").exists()
    } - {"__init__", "__main__"}
    assert house["exhaustive"]
    assert found
    assert found <= rows


@pytest.mark.slow
@pytest.mark.parametrize(("module", "code", "contract"), BROKEN)
def test_contracts_catch_what_they_forbid(
    repo: Path, tmp_path: Path, module: str, code: str, contract: str
) -> None:
    package = tmp_path / "capmodel"
    package.mkdir()
    for name in ("__init__", "errors", "schema", "demand", "usage", "report", "plots"):
        (package / f"{name}.py").write_text("", encoding="utf-8")
    config = (repo / "pyproject.toml").read_text(encoding="utf-8")
    (tmp_path / "pyproject.toml").write_text(config, encoding="utf-8")
    command = [str(Path(sys.executable).parent / "lint-imports"), "--no-cache", "--no-logo"]

    def lint() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command, cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(tmp_path)},
            capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip

    clean = lint()
    assert clean.returncode == 0, clean.stdout
    (package / f"{module}.py").write_text(code, encoding="utf-8")
    broken = lint()
    assert broken.returncode == 1
    lines = [line for line in broken.stdout.splitlines() if line.endswith("BROKEN")]
    assert len(lines) == 1
    assert lines[0].startswith(contract)
