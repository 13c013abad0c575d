"""Every notebook runs from a clean kernel, is short, and is committed without outputs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).resolve().parents[1] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
CELL_SECONDS = 60  # a hung cell ends; the aim for a whole notebook is 20 s

each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)


def _code_cells(path: Path) -> list[dict[str, Any]]:
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return [cell for cell in cells if cell["cell_type"] == "code"]


def test_there_is_a_notebook() -> None:
    assert NOTEBOOKS


@each_notebook
def test_is_committed_without_outputs(path: Path) -> None:
    cells = _code_cells(path)
    assert cells
    assert [cell for cell in cells if cell["outputs"] or cell["execution_count"]] == []


@each_notebook
def test_asks_first_and_asserts_last(path: Path) -> None:
    first = json.loads(path.read_text(encoding="utf-8"))["cells"][0]
    assert first["cell_type"] == "markdown"
    assert "?" in "".join(first["source"])
    assert "assert " in "".join(_code_cells(path)[-1]["source"])


@pytest.mark.slow
@each_notebook
def test_runs(path: Path) -> None:
    import nbformat
    from nbclient import NotebookClient

    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(
        notebook, timeout=CELL_SECONDS, kernel_name="python3",
        resources={"metadata": {"path": str(FOLDER)}},
    )  # fmt: skip
    client.execute()
