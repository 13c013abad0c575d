"""The exceptions of capmodel, split by whose move is next.

::

    CapmodelError
    ├── InputError      change the input: data, a file, an argument
    └── ModelError      the input is fine; the model cannot answer the question asked

A message says *where* the problem is, what was *got*, what was *expected* and what to *do*.
Several problems found together are raised together: ``InputError.problems`` keeps each one.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

__all__ = [
    "CapmodelError",
    "InputError",
    "ModelError",
    "Problem",
    "nearest",
    "require",
    "require_known",
]


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong, in the four parts every message carries."""

    where: str
    got: str
    expected: str
    do: str

    def __str__(self) -> str:
        return f"{self.where}: got {self.got}; expected {self.expected}. {self.do}"


class CapmodelError(Exception):
    """Base of everything that capmodel raises on purpose."""

    def __init__(self, problems: Problem | Iterable[Problem]) -> None:
        self.problems: tuple[Problem, ...] = (
            (problems,) if isinstance(problems, Problem) else tuple(problems)
        )
        super().__init__(self._text())

    def _text(self) -> str:
        if len(self.problems) == 1:
            return str(self.problems[0])
        lines = [f"{len(self.problems)} problems:"]
        lines += [f"  {i}. {problem}" for i, problem in enumerate(self.problems, 1)]
        return "\n".join(lines)

    @classmethod
    def of(cls, where: str, *, got: object, expected: str, do: str) -> Self:
        """Make the exception for a single problem.

        Examples
        --------
        >>> print(InputError.of("--risk", got=2, expected="a ratio in (0, 1)", do="Write 0.02."))
        --risk: got 2; expected a ratio in (0, 1). Write 0.02.
        """
        return cls(Problem(where=where, got=str(got), expected=expected, do=do))


class InputError(CapmodelError):
    """The input has to change: a file, a column, a field, an argument."""


class ModelError(CapmodelError):
    """The input is valid, but the model cannot give an honest answer to this question."""


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return the known name closest in spelling to `name`, or None when none is close.

    Examples
    --------
    >>> nearest("replcas", ["replicas", "pod"])
    'replicas'
    """
    known = sorted(known)
    # A field given with another unit suffix or none ("limit" for "limit_rps") is nearer than the
    # edit distance alone says.
    starts = [k for k in known if k.startswith(name) or name.startswith(k)]
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    return next(iter(close or starts), None)


def require(ok: bool, where: str, got: object, expected: str) -> None:  # noqa: FBT001
    """Raise an InputError about one argument unless a condition holds.

    Examples
    --------
    >>> require(3 >= 2, "zones", 3, "at least 2")
    """
    if not ok:
        raise InputError.of(where, got=got, expected=expected, do=f"Correct {where}.")


def require_known(where: str, name: str, known: Iterable[str]) -> None:
    """Raise an InputError that names the nearest unless a name is one of the known.

    Examples
    --------
    >>> require_known("to_frame", "limit", ["limits", "orders"])
    Traceback (most recent call last):
    capmodel.errors.InputError: to_frame: got 'limit'; expected one of: limits, orders. \
Did you mean "limits"?
    """
    known = tuple(known)
    if name not in known:
        close = nearest(name, known)
        raise InputError.of(
            where,
            got=repr(name),
            expected=f"one of: {', '.join(known) or 'none'}",
            do=f'Did you mean "{close}"?' if close else "Choose one of these.",
        )
