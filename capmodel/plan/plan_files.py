"""A plan's files: the schema of a saved one, what a folder holds, which versions made it."""

from __future__ import annotations

import json
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from capmodel.errors import InputError

__all__ = ["SCHEMA", "WRITTEN", "environment", "read_document"]

WRITTEN: Final = ("plan.json", "review.html", "review.md", "csv")
"""What :meth:`PlanSet.write` puts into a folder, and all that it may replace there."""
SCHEMA: Final = "capmodel.plan/1"
PACKAGES: Final = ("capmodel", "numpy", "pandas", "scipy", "pydantic", "holidays")


def read_document(
    path: str | Path, *, expected: str = "a saved plan", do: str = "Name a plan.json."
) -> dict[str, Any]:
    """Return the mapping that a JSON file holds."""
    try:
        data = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError.of(str(path), got=str(error), expected=expected, do=do) from error
    if not isinstance(data, dict):
        raise InputError.of(
            str(path), got=f"a JSON {type(data).__name__}, schema None", expected=expected, do=do
        )
    return data


def environment() -> dict[str, str]:
    """Return the versions that a plan was made with."""
    found = {name: version(name) for name in PACKAGES}
    return {"python": platform.python_version(), **found}
