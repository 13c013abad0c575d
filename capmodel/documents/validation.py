"""From a YAML file to a pydantic model: every problem with its line, all raised at once.

This module answers: which field is wrong, what was expected, and what should be written instead?
Nearest names come from the very sub-model that a typo stands in (`annotations`, `explain`).
"""

from __future__ import annotations

import dataclasses
import re
import types
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

from pydantic import BaseModel, ValidationError

from capmodel.documents.annotations import children, is_entity, is_model
from capmodel.documents.explain import problems_of, shown
from capmodel.documents.inherit import read_extended
from capmodel.documents.strict_yaml import (
    KeyPath,
    LocatedDict,
    dotted,
    parse_value,
    parse_yaml,
    read_text,
    read_yaml,
)
from capmodel.errors import InputError, Problem, nearest

__all__ = ["locate", "parse_model", "read_model", "validate"]

M = TypeVar("M", bound=BaseModel)

_NO_OVERRIDES: Final[Mapping[str, str]] = types.MappingProxyType({})


def read_model(
    model: type[M],
    path: str | Path,
    *,
    overrides: Mapping[str, str] = _NO_OVERRIDES,
    extends: str | None = None,
) -> M:
    """Read a YAML file into a pydantic model.

    Parameters
    ----------
    model
        The model, usually with ``extra="forbid"`` so that unknown fields are errors.
    path
        The file, strict YAML (see `read_yaml`).
    overrides
        Dotted key path to new value, each value a piece of YAML:
        ``{"scenarios.base.growth_yoy_x.checkouts": "1.4"}``; list items by index. An override may
        set any field, but it names no new scenario, service or the like on its way.

    Returns
    -------
    BaseModel
        A valid instance of `model`.

    Raises
    ------
    InputError
        With one problem for each thing that is wrong, as ``where="topology.yaml:12
        services.api.replcas"``: unreadable files, duplicate keys, unknown fields (with the
        nearest known field), wrong types, bounds, and whatever the model's own validators raise.
    """
    if extends is None:
        return parse_model(model, read_text(path), name=Path(path).name, overrides=overrides)
    located, found = read_extended(model, Path(path), field=extends)
    return _modelled(model, located, found, overrides)


def parse_model(
    model: type[M],
    text: str,
    *,
    name: str,
    overrides: Mapping[str, str] = _NO_OVERRIDES,
) -> M:
    """Parse YAML text into a pydantic model; `read_model` without the file.

    Parameters
    ----------
    model
        The model.
    text
        The YAML text.
    name
        What messages call the text, for example the file's name.
    overrides
        As in `read_model`.

    Returns
    -------
    BaseModel
        A valid instance of `model`.

    Raises
    ------
    InputError
        With one problem for each thing that is wrong.

    Examples
    --------
    >>> class Pool(BaseModel, extra="forbid"):
    ...     zones: int = 3
    >>> parse_model(Pool, "zones: 2", name="pool.yaml", overrides={"zones": "4"})
    Pool(zones=4)
    >>> parse_model(Pool, "zone: 2", name="pool.yaml")
    Traceback (most recent call last):
        ...
    capmodel.errors.InputError: pool.yaml:1 zone: got the unknown field "zone"; expected one of: \
zones. Did you mean "zones"?
    """
    located, found = parse_yaml(text, name=name)
    return _modelled(model, located, found, overrides)


def _modelled(
    model: type[M],
    located: LocatedDict,
    found: Iterable[Problem],
    overrides: Mapping[str, str],
) -> M:
    """Return the instance of a document with some values changed."""
    problems = list(found)
    for path, value in overrides.items():
        located, more = _override(model, located, path, value)
        problems += more
    valid, more = _validated(model, located)
    problems += more
    if valid is None or problems:
        raise InputError(problems)
    return valid


def validate(model: type[M], data: Mapping[str, Any], *, where: str) -> M:
    """Validate plain values, with the messages of `read_model`; for parts of a file read before.

    Parameters
    ----------
    model
        The model.
    data
        Its fields.
    where
        Key path of `data` in its file, which messages begin with; `locate` adds file and line.

    Returns
    -------
    BaseModel
        A valid instance of `model`.

    Raises
    ------
    InputError
        With one problem for each thing that is wrong.

    Examples
    --------
    >>> class Pool(BaseModel, extra="forbid"):
    ...     zones: int = 3
    >>> validate(Pool, {"zones": "many"}, where="pools.general")
    Traceback (most recent call last):
        ...
    capmodel.errors.InputError: pools.general.zones: got "many"; expected a whole number. \
Correct the value.
    """
    valid, problems = _validated(model, LocatedDict(data, name=where, lines={}))
    if valid is None:
        cut = len(where) + 1
        raise InputError(
            dataclasses.replace(p, where=f"{where}.{p.where[cut:]}")
            if p.where.startswith(f"{where} ")
            else p
            for p in problems
        )
    return valid


def locate(error: InputError, path: str | Path) -> InputError:
    """Return the error with file and line wherever a problem names a key path of this file.

    Parameters
    ----------
    error
        Whose problems say ``where`` as a dotted key path, or as the only ending of one.
    path
        The YAML file.

    Returns
    -------
    InputError
        The same problems; the ones that name something else are left as they are.
    """
    located = read_yaml(path)
    return InputError(
        dataclasses.replace(problem, where=_place(located, problem.where) or problem.where)
        for problem in error.problems
    )


def _validated(model: type[M], located: LocatedDict) -> tuple[M | None, list[Problem]]:
    """Return the instance, or None and everything that is wrong."""
    try:
        return model.model_validate(dict(located)), []
    except ValidationError as error:
        return None, problems_of(model, located, error)
    except InputError as error:  # raised whole inside a validator
        return None, [_with_line(located, problem) for problem in error.problems]


_KEY_PATH: Final = re.compile(r"(?!.*\.(ya?ml|csv|parquet|json)$)[^\s:./-][^\s:/]*")


def _with_line(located: LocatedDict, problem: Problem) -> Problem:
    """Add the file to a problem whose `where` is a key path, and the line where it stands."""
    named = located.find(problem.where)  # a name of the user's own may hold spaces
    if named is None and not _KEY_PATH.fullmatch(problem.where):
        return problem  # it already names a file and a line, or something else altogether
    place = _place(located, problem.where) or f"{located.name} {problem.where}"
    return dataclasses.replace(problem, where=place)


def _place(located: LocatedDict, where: str) -> str | None:
    """Return file, line and key path of a key or, where the key is missing, of its parent."""
    path = located.find(where)
    if path is None:
        parent, _, key = where.rpartition(".")
        above = located.find(parent) if parent else None
        path = (*above, key) if above else None
    return located.where(*path) if path else None


# ---- overrides ---------------------------------------------------------------------------------


def _override(
    model: type[BaseModel], located: LocatedDict, path: str, text: str
) -> tuple[LocatedDict, list[Problem]]:
    """Return the document with one value changed, or the reason why it cannot be."""
    try:
        value = parse_value(text, name=f"override {path}")
        keys = _keys(model, located, path)
    except InputError as error:
        return located, list(error.problems)
    data = _put(dict(located), keys, value)
    overridden = located.overridden | {keys}
    changed = LocatedDict(
        data,
        name=located.name,
        lines=located.lines,
        overridden=overridden,
        parent=located.parent,
    )
    return changed, []


def _put(data: Any, keys: KeyPath, value: Any) -> Any:
    if not keys:
        return value
    key, rest = keys[0], keys[1:]
    if isinstance(key, int):
        return [*data[:key], _put(data[key], rest, value), *data[key + 1 :]]
    data = data or {}
    return {**data, key: _put(data.get(key), rest, value)}


def _keys(model: type[BaseModel], located: LocatedDict, path: str) -> KeyPath:
    """Split a dotted path into keys: known keys first, for names may hold dots themselves."""
    where, parts = f"override {path}", path.split(".")
    if "" in parts:
        got, do = "an empty name", "Write names with single dots between."
        raise InputError.of(where, got=got, expected="a dotted key path", do=do)
    here: Any = located
    types_here: list[Any] = [model]
    keys: list[str | int] = []
    while parts:
        key: str | int
        if isinstance(here, list):
            key = _index(here, parts.pop(0), where=where)
        elif here is None or isinstance(here, dict):
            sizes = (n for n in range(len(parts), 0, -1) if ".".join(parts[:n]) in (here or {}))
            size = next(sizes, 1)
            key, parts = ".".join(parts[:size]), parts[size:]
        else:
            raise InputError.of(
                where,
                got=f"a path through {dotted(keys)}, which is {shown(here)}",
                expected="a path through mappings and lists",
                do=f"End the path at {dotted(keys)}.",
            )
        if parts and isinstance(key, str) and key not in (here or {}):
            _refuse_new_name(types_here, key, known=here or {}, where=where)
        types_here = children(types_here, key)
        here = here[int(key)] if isinstance(here, list) else (here or {}).get(key)
        keys.append(key)
    return tuple(keys)


def _index(items: Sequence[Any], part: str, *, where: str) -> int:
    if part.isdecimal() and int(part) < len(items):
        return int(part)
    raise InputError.of(
        where,
        got=f'"{part}" for a list of {len(items)}',
        expected=f"an index from 0 to {len(items) - 1}" if items else "nothing: the list is empty",
        do="Write the item's index, or override the whole list.",
    )


def _refuse_new_name(parents: list[Any], key: str, *, known: Iterable[str], where: str) -> None:
    """Refuse `scenarios.bsae.probability`: it would add a scenario instead of changing one.

    A field left out of a model may be created on the way, and so may a mapping of numbers.
    """
    if any(map(is_model, parents)) or not any(map(is_entity, children(parents, key))):
        return
    close = nearest(key, known)
    raise InputError.of(
        where,
        got=f'the unknown name "{key}"',
        expected=f"one of: {', '.join(sorted(known)) or 'none declared'}",
        do=f'Did you mean "{close}"?' if close else f"Declare {key} in the file first.",
    )
