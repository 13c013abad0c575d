"""A plan that is frozen: what a review agreed on, under a hash of its own.

This module answers: what was the plan on that day, and is this file still what was frozen? It holds
the record; :mod:`capmodel.plan.baseline` reads the file.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from capmodel import documents
from capmodel.errors import InputError

if TYPE_CHECKING:
    from capmodel.plan.planset import PlanSet

__all__ = ["BASELINE_SCHEMA", "Baseline", "baseline_hash", "freeze"]

BASELINE_SCHEMA: Final = "capmodel.baseline/1"


@dataclass(frozen=True, slots=True, eq=False)
class Baseline:
    """A frozen plan, the day of its freeze and a note; ``hash`` covers all three."""

    plan: PlanSet
    frozen_on: date
    note: str = ""
    hash: str = field(init=False)
    """SHA-256 of plan, environment, day and note."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "hash", baseline_hash(self._content()))

    def _content(self) -> dict[str, Any]:
        return {
            "plan": json.loads(self.plan.to_json()),
            "frozen_on": self.frozen_on.isoformat(),
            "note": self.note,
        }

    def to_json(self) -> str:
        """Return the baseline as canonical JSON: the same freeze gives the same bytes."""
        document = {"schema": BASELINE_SCHEMA, "hash": self.hash, "baseline": self._content()}
        return documents.canonical_json(document) + "\n"

    def save(self, path: str | Path) -> None:
        """Write the baseline to a JSON file.

        Raises
        ------
        InputError
            Where the file exists and holds something else: a freeze is not overwritten.
        """
        text, file = self.to_json(), Path(path)
        if file.is_file() and file.read_text(encoding="utf-8", errors="replace") != text:
            raise InputError.of(
                str(path),
                got="a file that holds something else",
                expected="a new file: a freeze is not overwritten",
                do="Choose another name, or move the old file away.",
            )
        documents.write_text_atomic(file, text)


def baseline_hash(content: Any) -> str:
    """Return the SHA-256 of what a baseline file holds under ``baseline``."""
    return documents.sha256_hex(documents.canonical_json(content))


def freeze(plan: PlanSet, *, on: date, note: str = "") -> Baseline:
    """Return a plan as it stands, frozen on a day.

    Raises
    ------
    InputError
        For a day before the plan was made, or after its horizon: a plan that is frozen when the
        season is over was never tested by it.
    """
    as_of = date.fromisoformat(str(plan.meta["as_of"]))
    end = date.fromisoformat(str(plan.meta["horizon"]["end"]))
    if not as_of <= on < end:
        raise InputError.of(
            "freeze.on",
            got=str(on),
            expected=f"a day from {as_of}, when the plan was made, and before {end}, its end",
            do="Name the day on which the plan was agreed.",
        )
    return Baseline(plan=plan, frozen_on=on, note=note)
