"""What a pydantic model's annotations say about a key path: which types, and which fields."""

from __future__ import annotations

import types
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel

if TYPE_CHECKING:
    from capmodel.documents.strict_yaml import KeyPath

__all__ = ["children", "fields_at", "is_entity", "is_model"]


def is_model(kind: Any) -> bool:
    """Return whether an annotation is a pydantic model."""
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def is_entity(kind: Any) -> bool:
    """Return whether a type is a thing with fields: a model, or a mapping of anything."""
    origin = get_origin(kind)
    mapping = isinstance(origin, type) and issubclass(origin, Mapping)
    return is_model(kind) or (mapping and get_args(kind)[1] is Any)


def _labels(model: type[BaseModel]) -> dict[str, Any]:
    """Return the fields of a model as files write them, with their annotations."""
    return {field.alias or name: field.annotation for name, field in model.model_fields.items()}


def _members(annotation: Any) -> Iterator[Any]:
    """Yield the plain types behind Annotated, unions and type aliases."""
    origin = get_origin(annotation)
    if hasattr(annotation, "__value__"):
        yield from _members(annotation.__value__)
    elif origin is Annotated:
        yield from _members(get_args(annotation)[0])
    elif origin in (Union, types.UnionType):
        for member in get_args(annotation):
            yield from _members(member)
    else:
        yield annotation


def children(parents: Iterable[Any], key: str | int) -> list[Any]:
    """Return the plain types that may stand under a key of these types."""
    found: list[Any] = []
    for parent in parents:
        origin, args = get_origin(parent), get_args(parent)
        if is_model(parent):
            found += _members(_labels(parent).get(str(key)))
        elif isinstance(origin, type) and issubclass(origin, Mapping):
            found += _members(args[1])
        elif origin is tuple and isinstance(key, int) and args[-1] is not ...:
            found += _members(args[key]) if key < len(args) else []
        elif isinstance(origin, type) and issubclass(origin, Iterable):
            found += _members(args[0])
    return [kind for kind in found if kind is not None]


def fields_at(model: type[BaseModel], path: KeyPath, branch: str | None) -> list[str]:
    """Return the known fields of the sub-model at a key path.

    `branch` names the member of a union that pydantic tried: a class, or a discriminator's value.
    """
    kinds: list[Any] = [model]
    for key in path:
        kinds = children(kinds, key)
    models = [kind for kind in kinds if is_model(kind)]
    tagged = [
        kind
        for kind in models
        if branch == kind.__name__
        or any(branch in get_args(a) for a in _labels(kind).values() if get_origin(a) is Literal)
    ]
    return sorted({label for kind in tagged or models for label in _labels(kind)})
