"""Scenarios that extend others: what each says together with what it stands on.

This module answers: which fields does a scenario of a study have once those of its parents, in the
same file or another one, are filled in? A probability is a scenario's own: it is never inherited.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from capmodel.documents import merged
from capmodel.errors import InputError, Problem, nearest

__all__ = ["filled_in"]

EXTENDS: Final = "extends"
OWN: Final = frozenset({EXTENDS, "probability"})
"""Fields that are not handed on."""
Given = Mapping[str, tuple[Mapping[str, Any], Path]]


def filled_in(given: Given) -> dict[str, tuple[dict[str, Any], Path]]:
    """Return every scenario's fields with those that it inherits, and the file it stands in.

    Nested mappings merge field by field and the child wins; a field that the child sets to nothing
    is taken away; lists are replaced as a whole.

    Parameters
    ----------
    given
        Name to (fields, file); ``extends`` names another of them.

    Raises
    ------
    InputError
        For every parent that is unknown, and every circle.

    Examples
    --------
    >>> study = Path("study.yaml")
    >>> base = {"probability": 0.6, "growth_yoy_x": {"checkouts": 1.25}, "peak": {}}
    >>> high = {"extends": "base", "probability": 0.4, "growth_yoy_x": {"checkouts": 1.5}}
    >>> filled_in({"base": (base, study), "high": (high, study)})["high"][0]
    {'growth_yoy_x': {'checkouts': 1.5}, 'peak': {}, 'probability': 0.4}
    """
    problems = [
        problem
        for name in given
        for problem in [_chain_problem(given, name)]
        if problem is not None
    ]
    if problems:
        raise InputError(problems)
    return {name: (_fields(given, name), file) for name, (_, file) in given.items()}


def _chain_problem(given: Given, name: str) -> Problem | None:
    """Return why a scenario's own parent cannot be followed, None where it can."""
    parent = given[name][0].get(EXTENDS)
    if parent is None:
        return None
    where = f"scenarios.{name}.{EXTENDS}"
    if parent not in given:
        known = [other for other in given if other != name]
        close = nearest(str(parent), known)
        return Problem(
            where=where,
            got=f'unknown scenario "{parent}"',
            expected=f"one of: {', '.join(known) or 'none'}",
            do=f'Did you mean "{close}"?' if close else "Correct the name, or add the scenario.",
        )
    chain, following = [name], str(parent)
    while following in given:
        chain.append(following)
        if following in chain[:-1]:
            break
        following = str(given[following][0].get(EXTENDS, ""))
    if chain[-1] != name:
        return None  # no circle, or one further up, which its own members tell
    return Problem(
        where=where,
        got=f"a circle: {' > '.join(chain)}",
        expected="scenarios that stand on each other without a circle",
        do=f"Remove {EXTENDS} from one of them.",
    )


def _fields(given: Given, name: str) -> dict[str, Any]:
    fields = given[name][0]
    parent = fields.get(EXTENDS)
    own = {key: value for key, value in fields.items() if key != EXTENDS}
    if parent is None:
        return own
    above = {k: v for k, v in _fields(given, parent).items() if k not in OWN}
    return merged(above, own)
