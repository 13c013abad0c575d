"""The package of laws: everything public is at hand, and loading it is light."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from capmodel import laws

# Helpers of the other modules, not laws.
PRIVATE_MODULES = {"__init__", "arguments"}


def test_the_example_of_the_public_face() -> None:
    assert laws.erlang_c(servers=10, load=8.0) == pytest.approx(0.409180150796444, rel=1e-14)


def test_every_public_name_of_every_module_is_at_hand(repo: Path) -> None:
    modules = {path.stem for path in (repo / "capmodel" / "laws").glob("*.py")} - PRIVATE_MODULES
    public = {
        name
        for module in modules
        for name in import_module(f"capmodel.laws.{module}").__all__
        if not name.isupper()
    }
    assert len(public) > 50
    assert public == set(laws.__all__)
    assert all(getattr(laws, name) is not None for name in public)


@pytest.mark.slow
def test_loading_the_laws_loads_no_optimizer_no_statistics_and_no_frames() -> None:
    code = "import capmodel.laws, sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    heavy = {"scipy.stats", "scipy.optimize", "pandas", "pydantic", "statsmodels", "matplotlib"}
    assert heavy & set(done.stdout.split()) == set()
