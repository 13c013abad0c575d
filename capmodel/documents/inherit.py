"""Values that stand where a mapping has none of its own: field by field, the child wins.

This module answers: what does a mapping say together with the one it extends, and from which file
does each value come?
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from capmodel.documents.annotations import children
from capmodel.documents.strict_yaml import LocatedDict, parse_yaml, read_text
from capmodel.errors import InputError, Problem

if TYPE_CHECKING:
    from pydantic import BaseModel

__all__ = ["merged", "read_extended"]


def merged(parent: Mapping[str, Any], child: Mapping[str, Any]) -> dict[str, Any]:
    """Return both mappings as one: nested mappings field by field, anything else as the child says.

    A field that the child sets to nothing is taken away; lists are replaced as a whole.

    Examples
    --------
    >>> merged({"growth": {"a": 1.2, "b": 1.1}, "lift": {"x": 2}}, {"growth": {"a": 1.5}})
    {'growth': {'a': 1.5, 'b': 1.1}, 'lift': {'x': 2}}
    >>> merged({"growth": {"a": 1.2}, "lift": {"x": 2}}, {"lift": None})
    {'growth': {'a': 1.2}}
    """
    both = dict(parent)
    for key, value in child.items():
        above = both.get(key)
        if value is None and key in both:
            del both[key]
        elif isinstance(value, Mapping) and isinstance(above, Mapping):
            both[key] = merged(above, value)
        else:
            both[key] = value
    return both


def read_extended(
    model: type[BaseModel], path: Path, *, field: str, seen: tuple[Path, ...] = ()
) -> tuple[LocatedDict, list[Problem]]:
    """Return a YAML file with the values of the file that its `field` names, and their problems.

    Paths of the parent stay relative to the parent's folder: they are made absolute.

    Raises
    ------
    InputError
        For a file that cannot be read, and for files that extend each other in a circle.
    """
    if path.resolve() in seen:
        raise InputError.of(
            f"{path.name} {field}",
            got=" > ".join(one.name for one in (*seen, path)),
            expected="files that extend each other without a circle",
            do=f"Remove {field} from one of them.",
        )
    located, problems = parse_yaml(read_text(path), name=path.name)
    named = located.get(field)
    if not isinstance(named, str):
        return located, list(problems)
    chain = (*seen, path.resolve())
    parent, more = read_extended(model, path.parent / named, field=field, seen=chain)
    folder = (path.parent / named).parent.absolute()
    inherited = _rebased([model], dict(parent), folder)
    inherited.pop(field, None)
    both = LocatedDict(
        merged(inherited, located), name=located.name, lines=located.lines, parent=parent
    )
    return both, [*problems, *more]


def _rebased(kinds: list[Any], value: Any, folder: Path) -> Any:
    """Return values with every path put below a folder, unless it is absolute."""
    if isinstance(value, Mapping):
        return {k: _rebased(children(kinds, k), one, folder) for k, one in value.items()}
    if isinstance(value, list):
        return [_rebased(children(kinds, i), one, folder) for i, one in enumerate(value)]
    return str(folder / value) if isinstance(value, str) and Path in kinds else value
