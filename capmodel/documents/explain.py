"""Pydantic's errors in four parts: where, got, expected, do.

This module answers: what would a planner have to write instead? Errors of the branches of one
union become one problem.
"""

from __future__ import annotations

import re
import types
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from pydantic import BaseModel, ValidationError

from capmodel.documents.annotations import fields_at
from capmodel.errors import Problem, nearest

if TYPE_CHECKING:
    from capmodel.documents.strict_yaml import KeyPath, LocatedDict

__all__ = ["problems_of", "shown"]


@dataclass(frozen=True, slots=True)
class _Located:
    """One of pydantic's errors, with its location split into key path and union branch."""

    error: Mapping[str, Any]
    path: KeyPath
    branch: str | None
    """The union member that pydantic tried last on its way, if any."""
    branch_path: KeyPath
    """Where that union stands."""


def problems_of(
    model: type[BaseModel], located: LocatedDict, error: ValidationError
) -> list[Problem]:
    """Return what is wrong, in pydantic's order, each thing once and with its line."""
    entries = [_split(located, e) for e in error.errors(include_url=False)]
    grouped: dict[tuple[KeyPath, bool], list[_Located]] = {}
    for entry in entries:
        if not _outdone(entry, entries):
            # A wrong value tried against each member of a union is one problem, not several.
            single = entry.branch is not None and entry.path == entry.branch_path
            grouped.setdefault((entry.path, single), []).append(entry)
    problems = []
    for (path, single), group in grouped.items():
        parts = [_parts(model, entry) for entry in group]
        where = located.where(*path)
        if single:
            expected = " or ".join(dict.fromkeys(p[1] for p in parts))
            do = next((p[2] for p in parts if p[2].startswith("Did you")), parts[0][2])
            parts = [(parts[0][0], expected, do)]
        problems += [Problem(where, *part) for part in parts]
    return problems


def _split(located: LocatedDict, error: Mapping[str, Any]) -> _Located:
    """Tell keys of the file from the union branches that pydantic adds to its locations."""
    here: Any = located
    path: KeyPath = ()
    branch, branch_path = None, path
    for i, step in enumerate(error["loc"]):
        last = i == len(error["loc"]) - 1
        inside = isinstance(here, dict) and step in here
        if inside or (isinstance(here, list) and isinstance(step, int)):
            here, path = here[step], (*path, step)
        elif last and error["type"] == "missing":
            path = (*path, step)
        else:
            branch, branch_path = str(step), path
    return _Located(error, path, branch, branch_path)


def _outdone(entry: _Located, entries: Sequence[_Located]) -> bool:
    """Return whether another branch of the same union got further into the value."""
    here = entry.path
    return entry.branch is not None and any(
        other.branch_path == entry.branch_path == here and len(other.path) > len(here)
        for other in entries
    )


_TYPES: Final[Mapping[str, str]] = types.MappingProxyType(
    {
        "float": "a number",
        "finite": "a finite number",
        "decimal": "a decimal number",
        "int": "a whole number",
        "bool": "true or false",
        "string": "text",
        "date": "a date like 2026-11-30",
        "datetime": "a time like 2026-11-30T20:00:00",
        "dict": "a mapping (key: value)",
        "mapping": "a mapping (key: value)",
        "model": "a mapping (key: value)",
        "list": "a list",
        "tuple": "a list",
        "set": "a list",
    }
)
_BOUNDS: Final[tuple[tuple[str, str], ...]] = (
    ("gt", "a value above {}"),
    ("ge", "a value of at least {}"),
    ("lt", "a value below {}"),
    ("le", "a value of at most {}"),
    ("min_length", "a length of at least {}"),
    ("max_length", "a length of at most {}"),
    ("multiple_of", "a multiple of {}"),
    ("pattern", "text that matches {}"),
)


def _parts(model: type[BaseModel], entry: _Located) -> tuple[str, str, str]:
    """Return (got, expected, do) of one error."""
    error, kind = entry.error, str(entry.error["type"])
    if kind == "extra_forbidden":
        return _unknown_field(model, entry)
    if kind == "missing":
        name = str(entry.path[-1])
        parts = "nothing", f'the required field "{name}"', f"Add {name}."
    elif kind in ("value_error", "assertion_error"):
        reason = str(error["ctx"]["error"]) or kind
        parts = shown(error["input"]), f"a valid value ({reason})", "Correct the value."
        if isinstance(error["input"], (dict, BaseModel)):
            parts = reason, "fields that fit together", "Change one of these fields."
    elif kind.startswith("union_tag"):
        parts = _wrong_tag(error)
    elif kind in ("literal_error", "enum"):
        options = str(error["ctx"]["expected"])
        do = _choose(error["input"], options, or_else="Write one of these.")
        parts = shown(error["input"]), options, do
    else:
        expected = _expected(error)
        do = "Write it in quotes." if expected == "text" else "Correct the value."
        parts = shown(error["input"]), expected, do
    return parts


def _expected(error: Mapping[str, Any]) -> str:
    context: Mapping[str, Any] = error.get("ctx", {})
    for key, text in _BOUNDS:
        if key in context:
            edge = context[key]
            return text.format(f"{edge:g}" if isinstance(edge, (int, float)) else edge)
    stem = str(error["type"]).split("_", maxsplit=1)[0]
    return _TYPES.get(stem, f"another value ({error['msg']})")


def _wrong_tag(error: Mapping[str, Any]) -> tuple[str, str, str]:
    """Explain a mapping whose kind (the discriminator of a union) is unknown or absent."""
    field = str(error["ctx"]["discriminator"]).strip("'")
    tags = str(error["ctx"].get("expected_tags", ""))
    value = error["input"].get(field) if isinstance(error["input"], Mapping) else error["input"]
    got = f"no {field}" if value is None else f"{field}: {shown(value)}"
    expected = f"{field} as one of {tags}" if tags else f'the field "{field}"'
    return got, expected, _choose(value, tags, or_else=f"Add a known {field}.")


def _unknown_field(model: type[BaseModel], entry: _Located) -> tuple[str, str, str]:
    *parent, name = entry.path
    known = fields_at(model, tuple(parent), entry.branch)
    close = nearest(str(name), known)
    do = f'Did you mean "{close}"?' if close else f"Remove {name}."
    expected = f"one of: {', '.join(known)}" if known else "known fields only"
    return f'the unknown field "{name}"', expected, do


def _choose(value: object, options: str, *, or_else: str) -> str:
    close = nearest(str(value), re.findall(r"'([^']*)'", options))
    return f'Did you mean "{close}"?' if close else or_else


def shown(value: object) -> str:
    """Return a value as a planner would recognise it from the file."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f'"{value}"' if len(value) <= 60 else f'"{value[:60]}…"'  # noqa: PLR2004  a line
    if isinstance(value, Mapping):
        return f"a mapping with {', '.join(map(str, value))}" if value else "an empty mapping"
    if isinstance(value, Sequence):
        return f"a list of {len(value)}"
    return str(value)
