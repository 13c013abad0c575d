"""The public face: every name resolves, and nothing heavy is loaded before it is needed.

Times are printed by ``benchmarks/study.py``; here stands what they follow from.
"""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

import capmodel

# 0.1 to 1.5 s of import each (statsmodels 1.5, prophet 0.8, scipy.stats 0.7, pandas 0.4).
HEAVY = {
    *{"cmdstanpy", "holidays", "jinja2", "matplotlib", "numpy", "pandas", "prophet", "pyarrow"},
    *{"pydantic", "scipy", "statsmodels"},
}

_LOADED = """
import json, sys
print("\\n" + json.dumps(sorted({name.split(".")[0] for name in sys.modules})))
"""

_IMPORT_AND_HELP = """
import sys, capmodel
after_import = set(sys.modules)
assert not [name for name in after_import if name.startswith("capmodel.")], "import is not lazy"
assert "click" not in after_import, "import loads the command"
from capmodel.cli import main
try:
    main(["--help"])
except SystemExit as stop:
    assert stop.code in (0, None), stop.code
"""


def _loaded_after(statement: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", f"{statement}\n{_LOADED}"],
        capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    return set(json.loads(done.stdout.splitlines()[-1]))


def _typing_imports(source: str) -> dict[str, str]:
    """Name -> module of the imports that type checkers see."""
    blocks = [
        node
        for node in ast.parse(source).body
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
    ]
    return {
        alias.name: str(node.module).removeprefix("capmodel.")
        for block in blocks
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }


def test_table_of_names_is_what_type_checkers_see(repo: Path) -> None:
    source = (repo / "capmodel" / "__init__.py").read_text(encoding="utf-8")
    packages = dict.fromkeys(capmodel._PACKAGES, "capmodel")
    assert _typing_imports(source) == {**capmodel._MODULE_OF, **packages}
    names = [*capmodel._MODULE_OF, *packages, "__version__"]
    assert sorted(names) == sorted(capmodel.__all__)


@pytest.mark.parametrize("name", sorted(capmodel.__all__))
def test_every_public_name_resolves_and_is_listed(name: str) -> None:
    assert getattr(capmodel, name) is not None
    assert name in dir(capmodel)
    assert getattr(capmodel, name) is getattr(capmodel, name)


def test_a_misspelt_name_is_an_attribute_error_that_names_it() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Scenaro'"):
        _ = capmodel.Scenaro  # type: ignore[attr-defined]


def test_version_is_the_installed_one(repo: Path) -> None:
    import tomllib

    project = tomllib.loads((repo / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert capmodel.__version__ == project["version"]


def test_import_and_help_load_nothing_heavy() -> None:
    loaded = _loaded_after(_IMPORT_AND_HELP)
    assert "click" in loaded
    assert loaded & HEAVY == set()


@pytest.mark.slow
def test_every_public_name_loads_alone_without_plots_or_prophet() -> None:
    names = sorted(set(capmodel.__all__) - {"__version__"})
    statement = f"import capmodel\nfor name in {names!r}: getattr(capmodel, name)"
    assert _loaded_after(statement) & {"matplotlib", "prophet", "statsmodels", "cmdstanpy"} == set()
