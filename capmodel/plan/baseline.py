"""Frozen plans in files: what was agreed, refused where it was edited since.

This module answers: which plan does this file hold, and is it the one that was frozen?
"""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

from capmodel.errors import InputError
from capmodel.plan.freezing import BASELINE_SCHEMA, Baseline, baseline_hash
from capmodel.plan.plan_files import read_document
from capmodel.plan.planset import PlanSet

__all__ = ["Baseline", "load_baseline", "load_plan_or_baseline"]


def load_baseline(path: str | Path) -> Baseline:
    """Read a frozen plan.

    Raises
    ------
    InputError
        For a file that is no baseline, and for one that was edited after its freeze: its content
        no longer has the hash that the freeze wrote.

    Examples
    --------
    >>> load_baseline("plan.yaml")
    Traceback (most recent call last):
        ...
    capmodel.errors.InputError: plan.yaml: got [Errno 2] No such file or directory: 'plan.yaml'; \
expected a frozen plan. Name a file that capmodel freeze wrote.
    """
    where = str(path)
    document = read_document(
        path, expected="a frozen plan", do="Name a file that capmodel freeze wrote."
    )
    schema = document.get("schema")
    if schema != BASELINE_SCHEMA:
        raise InputError.of(
            where,
            got=f"schema {schema!r}",
            expected=BASELINE_SCHEMA,
            do="Freeze the plan first: capmodel freeze PLAN --out baseline.json --on DATE.",
        )
    return _unedited(document, where)


def _unedited(document: dict[str, Any], where: str) -> Baseline:
    try:
        content, written = document["baseline"], str(document["hash"])
        found = baseline_hash(content)
        if found != written:
            raise InputError.of(
                where,
                got=f"content with the hash {found}: edited after its freeze",
                expected=f"the hash {written}, which the freeze wrote",
                do="Restore the file from version control, or freeze the plan anew.",
            )
        return Baseline(
            plan=PlanSet.of_document(content["plan"], where=where),
            frozen_on=date.fromisoformat(content["frozen_on"]),
            note=str(content["note"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise InputError.of(
            where,
            got=f"a baseline without its parts: {type(error).__name__} {error}",
            expected="hash and baseline: {plan, frozen_on, note}",
            do="Restore the file from version control, or freeze the plan anew.",
        ) from error


def load_plan_or_baseline(path: str | Path) -> PlanSet:
    """Read a saved plan, or the plan inside a frozen one.

    Raises
    ------
    InputError
        For a file that is neither, or that was edited.
    """
    document = read_document(path)
    if document.get("schema") == BASELINE_SCHEMA:
        return _unedited(document, str(path)).plan
    return PlanSet.of_document(document, where=str(path))
