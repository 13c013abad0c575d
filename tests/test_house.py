"""The house rules that no linter knows: sizes of files and functions, and what no file may name."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

MAX_FILE_LINES = 500
MAX_BODY_LINES = 50  # without the docstring

SKIPPED_FOLDERS = {"build", "dist", "review", "__pycache__"}

FORBIDDEN = {
    "a path of one machine": re.compile(r"(?<![\w.:])/(?:work|root|home|Users)/\w"),
    "an address of a package registry": re.compile(
        r"pythonhosted\.org|pypi\.(?:org|python)|registry\.npm|(?:deb|ftp|security)\.debian\."
    ),
}


def _files(folder: Path) -> Iterator[Path]:
    """Every file that could be committed, without asking git."""
    for path in sorted(folder.iterdir()):
        if path.is_dir():
            hidden = path.name.startswith(".") and path.name != ".ci"
            if not hidden and path.name not in SKIPPED_FOLDERS:
                yield from _files(path)
        else:
            yield path


def _body_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    lines = (function.end_lineno or function.lineno) - function.lineno + 1
    first = function.body[0]
    if ast.get_docstring(function) is not None:
        lines -= (first.end_lineno or first.lineno) - first.lineno + 1
    return lines


def test_files_and_functions_stay_small(repo: Path) -> None:
    too_long = []
    modules = sorted((repo / "capmodel").rglob("*.py"))
    assert modules
    for path in modules:
        source = path.read_text(encoding="utf-8")
        name = path.relative_to(repo)
        lines = source.count("\n")
        if lines > MAX_FILE_LINES:
            too_long.append(f"{name}: {lines} lines; split it by meaning")
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = _body_lines(node)
                if lines > MAX_BODY_LINES:
                    too_long.append(f"{name}:{node.lineno} {node.name}: {lines} lines")
    assert too_long == []


def test_no_file_names_a_machine_or_a_registry(repo: Path) -> None:
    named = []
    for path in _files(repo):
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        for what, pattern in FORBIDDEN.items():
            named += [f"{path.relative_to(repo)}: {what}: {hit}" for hit in pattern.findall(text)]
    assert named == []


@pytest.mark.parametrize(
    ("text", "hits"),
    [
        ("cp /" + "work/main/x .", 1),
        ("see https://" + "pypi" + ".org/simple", 1),
        ("https://example.org/work/2026", 0),
        ("#!/usr/bin/env bash", 0),
    ],
)
def test_the_patterns_find_what_they_are_for(text: str, hits: int) -> None:
    assert sum(len(pattern.findall(text)) for pattern in FORBIDDEN.values()) == hits


def test_no_lock_file_with_addresses(repo: Path) -> None:
    ignored = (repo / ".gitignore").read_text(encoding="utf-8").split()
    assert {"uv.lock", ".venv/", "review/"} <= set(ignored)
