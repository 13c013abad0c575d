"""YAML without surprises: no duplicate keys, no guessed types, and a line for every key path.

This module answers: what does this file say, and on which line does it say it? It follows the
YAML 1.2 core schema where YAML 1.1 (PyYAML's default) surprises: ``no`` and ``on`` are text (a
boolean field still takes them), ``1e6`` is a number, ``010`` is text rather than eight, and every
key is text as written. Plain dates become dates. It knows nothing of models.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml

from capmodel.errors import InputError, Problem, nearest

try:
    from yaml import CSafeLoader as _SafeLoader
except ImportError:  # PyYAML built without libyaml: the same nodes, ten times slower
    from yaml import SafeLoader as _SafeLoader  # type: ignore[assignment]

__all__ = [
    "KeyPath",
    "LocatedDict",
    "dotted",
    "parse_value",
    "parse_yaml",
    "read_text",
    "read_yaml",
]

KeyPath = tuple[str | int, ...]

_TAG: Final = "tag:yaml.org,2002:"
_PLAIN: Final[tuple[tuple[str, re.Pattern[str]], ...]] = (
    ("null", re.compile(r"~|null|Null|NULL|")),
    ("bool", re.compile(r"true|True|TRUE|false|False|FALSE")),
    ("int", re.compile(r"[-+]?(0|[1-9][0-9]*(_[0-9]+)*)")),
    (
        "float",
        re.compile(r"[-+]?(\.[0-9]+|(0|[1-9][0-9]*(_[0-9]+)*)(\.[0-9]*)?)([eE][-+]?[0-9]+)?"),
    ),
    ("float", re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")),
    (
        "timestamp",
        re.compile(
            r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
            r"([Tt ][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]+)?)?(Z|[-+][0-9]{2}:[0-9]{2})?)?"
        ),
    ),
)
# Aliases may repeat a part of a file; an alias of aliases of aliases can fill the memory.
_MAX_NODES: Final = 1_000_000
_MAX_DEPTH: Final = 50  # levels; the deepest of ours is 7


class _Loader(_SafeLoader):
    """Gives each plain scalar the tag of the core schema; builds nodes, never objects."""

    def resolve(self, kind: type, value: Any, implicit: Any) -> str:
        if kind is not yaml.ScalarNode:
            return str(super().resolve(kind, value, implicit))  # type: ignore[no-untyped-call]
        plain = implicit[0]
        matches = (tag for tag, pattern in _PLAIN if plain and pattern.fullmatch(value))
        return _TAG + next(matches, "str")


class LocatedDict(dict[str, Any]):
    """A mapping read from a file, which remembers where each of its keys stands.

    Attributes
    ----------
    name
        The file's name, as messages show it.
    lines
        Line of each key path (list items by index); the first line is 1.
    overridden
        Key paths whose value came from an override instead of the file.
    parent
        The file whose values stand where this one has none.
    """

    __slots__ = ("lines", "name", "overridden", "parent")

    def __init__(
        self,
        data: Mapping[str, Any],
        *,
        name: str,
        lines: Mapping[KeyPath, int],
        overridden: frozenset[KeyPath] = frozenset(),
        parent: LocatedDict | None = None,
    ) -> None:
        super().__init__(data)
        self.parent = parent
        self.name = name
        self.lines = lines
        self.overridden = overridden

    def where(self, *path: str | int) -> str:
        """Return the place of a key path for a message: file, line and dotted path.

        A path that the file does not hold gets the line of its nearest ancestor.

        Examples
        --------
        >>> data = LocatedDict({"seed": 7}, name="study.yaml", lines={("seed",): 3})
        >>> data.where("seed")
        'study.yaml:3 seed'
        """
        if any(path[: len(over)] == over for over in self.overridden):
            return f"override {dotted(path)}"
        if self.parent is not None and path not in self.lines and path in self.parent.lines:
            return self.parent.where(*path)
        ancestors = (self.lines.get(path[:n]) for n in range(len(path), 0, -1))
        line = next((line for line in ancestors if line is not None), None)
        return " ".join(
            p for p in (f"{self.name}:{line}" if line else self.name, dotted(path)) if p
        )

    def find(self, text: str) -> KeyPath | None:
        """Return the key path that `text` names: a dotted path, or the only one ending so."""
        exact = [path for path in self.lines if dotted(path) == text]
        ends = exact or [path for path in self.lines if dotted(path).endswith("." + text)]
        if not ends and self.parent is not None:
            return self.parent.find(text)
        return ends[0] if len(ends) == 1 else None


def dotted(path: Sequence[str | int]) -> str:
    """Return a key path as text: ``services.api.calls``; list items by index."""
    return ".".join(map(str, path))


@dataclass(slots=True)
class _Builder:
    """Turns nodes into plain values and collects lines and problems on the way."""

    name: str
    lines: dict[KeyPath, int] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    open_nodes: list[int] = field(default_factory=list)

    def problem(self, node: yaml.Node, path: KeyPath, *, got: str, expected: str, do: str) -> None:
        where = f"{self.name}:{node.start_mark.line + 1} {dotted(path)}".rstrip()
        self.problems.append(Problem(where=where, got=got, expected=expected, do=do))

    def value(self, node: yaml.Node, path: KeyPath) -> Any:
        self.lines.setdefault(path, node.start_mark.line + 1)
        if len(path) > _MAX_DEPTH or len(self.lines) > _MAX_NODES:
            deep = len(path) > _MAX_DEPTH
            got = "values nested too deep to read" if deep else f"over {_MAX_NODES:,} values"
            expected, do = "a few levels of nesting", "Flatten the file, or write aliases out."
            self.problem(node, path[:1], got=got, expected=expected, do=do)
            return None
        if id(node) in self.open_nodes:
            expected, do = "values that end", "Write the value out instead of the alias."
            self.problem(node, path, got="an alias inside itself", expected=expected, do=do)
            return None
        if isinstance(node, yaml.ScalarNode):
            return self.scalar(node, path)
        self.open_nodes.append(id(node))
        try:
            if isinstance(node, yaml.SequenceNode) and node.tag == _TAG + "seq":
                return [self.value(item, (*path, i)) for i, item in enumerate(node.value)]
            if isinstance(node, yaml.MappingNode) and node.tag == _TAG + "map":
                return self.mapping(node, path)
        finally:
            self.open_nodes.pop()
        return self.bad_tag(node, path)

    def mapping(self, node: yaml.MappingNode, path: KeyPath) -> dict[str, Any]:
        first: dict[str, int] = {}
        out: dict[str, Any] = {}
        for key, item in node.value:
            line = key.start_mark.line + 1
            if not isinstance(key, yaml.ScalarNode):
                expected = "text before the colon"
                got, do = "a list or mapping as a key", "Write a name, or quote the whole key."
                self.problem(key, path, got=got, expected=expected, do=do)
                continue
            here = (*path, key.value)
            if key.value == "<<" and not key.style:
                got, do = "the merge key <<", "Write the merged fields out."
                self.problem(key, here, got=got, expected="each field in its place", do=do)
                continue
            if key.value in first:
                do = f"Keep one of them; the first is on line {first[key.value]}."
                got = f'the key "{key.value}" twice'
                self.problem(key, here, got=got, expected="each key once per mapping", do=do)
                continue
            first[key.value] = self.lines[here] = line
            out[key.value] = self.value(item, here)
        return out

    def scalar(self, node: yaml.ScalarNode, path: KeyPath) -> Any:
        kind = node.tag.removeprefix(_TAG)
        if kind not in _EXPECTED:
            return self.bad_tag(node, path)
        try:
            return _scalar(kind, node.value)
        except ValueError:
            do = "Correct it, or quote it where text is meant."
            self.problem(node, path, got=node.value, expected=_EXPECTED[kind], do=do)
        return None

    def bad_tag(self, node: yaml.Node, path: KeyPath) -> None:
        tag = node.tag.replace(_TAG, "!!")
        expected = "plain values, lists and mappings"
        self.problem(node, path, got=f"the tag {tag}", expected=expected, do="Remove the tag.")


_EXPECTED: Final[Mapping[str, str]] = {
    "null": "nothing",
    "bool": "true or false",
    "int": "a whole number",
    "float": "a finite number",
    "timestamp": "a date of the calendar like 2026-11-30",
    "str": "text",
}


def _scalar(kind: str, text: str) -> Any:
    if kind == "null":
        return None
    if kind == "bool":
        return text.lower() == "true"
    if kind == "int":
        return int(text)
    if kind == "float":
        number = float(text.replace(".inf", "inf"))
        if not abs(number) < float("inf"):
            raise ValueError(text)
        return number
    if kind == "timestamp":
        day = len(text) == len("2026-11-30")
        return dt.date.fromisoformat(text) if day else dt.datetime.fromisoformat(text.upper())
    return text


def _compose(text: str, *, name: str) -> yaml.Node | None:
    try:
        return _Loader(text).get_single_node()
    except RecursionError:
        got, do = "values nested too deep to read", "Flatten the file."
        raise InputError.of(name, got=got, expected="a few levels of nesting", do=do) from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{name}:{mark.line + 1}" if mark else name
        what = getattr(error, "problem", None) or str(error).splitlines()[0]
        do = "Correct the YAML there; often it is the indentation, a missing colon or a quote."
        got = f"text that is no YAML ({what})"
        raise InputError.of(where, got=got, expected="one YAML document", do=do) from None


def parse_value(text: str, *, name: str) -> Any:
    """Return the value of one piece of YAML, such as ``1.4``, ``2026-10-15`` or ``[gap]``.

    Raises
    ------
    InputError
        When the text is no YAML; the message names `name`.

    Examples
    --------
    >>> parse_value("1.4", name="override growth"), parse_value("no", name="override growth")
    (1.4, 'no')
    """
    node = _compose(text, name=name)
    if node is None:
        return None
    builder = _Builder(name)
    value = builder.value(node, ())
    if builder.problems:
        raise InputError([Problem(name, p.got, p.expected, p.do) for p in builder.problems])
    return value


def parse_yaml(text: str, *, name: str) -> tuple[LocatedDict, tuple[Problem, ...]]:
    """Return the mapping that the text holds and the problems of its keys and scalars.

    Problems are handed back so that validation can add its own and raise all of them together.

    Raises
    ------
    InputError
        When there is nothing to validate: no YAML, an empty file, not a mapping.
    """
    node = _compose(text, name=name)
    if node is None:
        do = "Write the fields, or name another file."
        raise InputError.of(name, got="an empty file", expected="a YAML mapping", do=do)
    if not isinstance(node, yaml.MappingNode):
        got = "a list" if isinstance(node, yaml.SequenceNode) else "a single value"
        do = "Write `field: value` lines."
        raise InputError.of(f"{name}:1", got=got, expected="a YAML mapping", do=do)
    builder = _Builder(name)
    value = builder.value(node, ())
    data = value if isinstance(value, dict) else {}
    return LocatedDict(data, name=name, lines=builder.lines), tuple(builder.problems)


def read_text(path: str | Path) -> str:
    """Return a UTF-8 text file's content, or say in four parts why it cannot be read."""
    path = Path(path)
    try:
        return path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        siblings = [p.name for p in path.parent.glob("*") if p.is_file()]
        close = nearest(path.name, siblings)
        got, do = "no such file", f'Did you mean "{close}"?' if close else "Check the path."
    except IsADirectoryError:
        got, do = "a folder", "Name the file inside it."
    except UnicodeDecodeError as error:
        got, do = f"a byte that is not UTF-8 at position {error.start}", "Save the file as UTF-8."
    except (OSError, ValueError) as error:  # ValueError: a path with a null byte
        got, do = str(error), "Make the file readable."
    raise InputError.of(str(path), got=got, expected="a readable UTF-8 text file", do=do)


def read_yaml(path: str | Path) -> LocatedDict:
    r"""Read a strict YAML file that holds a mapping.

    Parameters
    ----------
    path
        The file.

    Returns
    -------
    LocatedDict
        The values, with the line of every key path.

    Raises
    ------
    InputError
        For a missing, unreadable or empty file, broken YAML, a duplicate key, a date that the
        calendar lacks, a number that is not finite, a tag or a merge key: all of them together.

    Examples
    --------
    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp()) / "study.yaml"
    >>> _ = file.write_text("as_of: 2026-09-21\nregions:\n  no: 1e3\n")
    >>> study = read_yaml(file)
    >>> study["regions"], study.where("regions", "no")
    ({'no': 1000.0}, 'study.yaml:3 regions.no')
    """
    located, problems = parse_yaml(read_text(path), name=Path(path).name)
    if problems:
        raise InputError(problems)
    return located
