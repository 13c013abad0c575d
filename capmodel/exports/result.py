"""What an export is: files, what has none and why, and the part of a plan that both read.

This module answers: how is an object written so that every parser reads the same, and which plan
does it come from? The plan's hash stands in every object as an annotation, since the value of a
label may have 63 characters and the hash has 64.
"""

from __future__ import annotations

import datetime as dt
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Self

import yaml

from capmodel.schema import MIXTURE

if TYPE_CHECKING:
    from capmodel.plan import PlanSet

__all__ = ["ExportFile", "Exported", "LeftOut", "PlanView", "to_yaml", "whole"]

_LOOKS_LIKE_NUMBER: Final = re.compile(r"[-+.0-9]")


@dataclass(frozen=True, slots=True)
class ExportFile:
    """A file to apply: its name in the folder, its text, what it does and how it is applied.

    ``start`` and ``end`` are the days between which it holds, as ISO text, end exclusive; '' where
    the file itself names the days. ``apply`` is a command with ``{file}`` for the file.
    """

    name: str
    text: str
    what: str
    apply: str
    start: str = ""
    end: str = ""


@dataclass(frozen=True, slots=True)
class LeftOut:
    """What of the plan stands in no file: the export, the item and the reason."""

    export: str
    item: str
    reason: str


@dataclass(frozen=True, slots=True)
class Exported:
    """Files, and what was left out of them."""

    files: tuple[ExportFile, ...]
    left_out: tuple[LeftOut, ...] = ()

    def __add__(self, other: Exported) -> Exported:
        return Exported(self.files + other.files, self.left_out + other.left_out)


@dataclass(frozen=True, slots=True, eq=False)
class PlanView:
    """What exports read of a plan; made once, for the hash of a large plan takes a while."""

    frames: Mapping[str, Any]
    meta: Mapping[str, Any]
    hash: str

    @classmethod
    def of(cls, plan: PlanSet | PlanView) -> PlanView:
        """Return the view of a plan, and a view as it is."""
        if isinstance(plan, PlanView):
            return plan
        return cls(frames=plan.frames, meta=plan.meta, hash=plan.hash)

    def rows(self, frame: str) -> list[dict[str, Any]]:
        """Return the mixture's rows of a frame; all rows where a frame has no scenarios."""
        if frame not in self.frames:
            return []
        records: list[dict[str, Any]] = self.frames[frame].to_dict("records")
        return [row for row in records if row.get("scenario", MIXTURE) == MIXTURE]

    @property
    def as_of(self) -> dt.date:
        """The plan's date."""
        return dt.date.fromisoformat(self.meta["as_of"])

    @property
    def business_tz(self) -> str:
        """The time zone of the plan's days."""
        return str(self.meta["business_tz"])

    @property
    def season(self) -> tuple[str, str]:
        """First day of the season and the day after its last, as ISO text."""
        return str(self.meta["season"]["start"]), str(self.meta["season"]["end"])

    def declared(self, kind: str, name: str) -> Mapping[str, Any]:
        """Return what the topology declares of a service, pool or database."""
        declared: Mapping[str, Any] = self.meta["topology"][kind].get(name, {})
        return declared

    def annotations(self, *, start: str, end: str) -> dict[str, str]:
        """Return what every object says of its plan and of the days between which it holds."""
        return {
            "capmodel/as-of": self.as_of.isoformat(),
            "capmodel/from": start,
            "capmodel/plan-hash": self.hash,
            "capmodel/until": end,
        }


def whole(value: float | None) -> int | None:
    """Return a whole number, or None where it is missing or infinite.

    Needs are whole already; a fraction is rounded up, as in
    :func:`capmodel.capacity.replicas.ceil_units`.

    Examples
    --------
    >>> whole(12.0), whole(12.2), whole(math.inf), whole(math.nan)
    (12, 13, None, None)
    """
    if value is None or not math.isfinite(value):
        return None
    return math.ceil(value - 1e-9)


def to_yaml(documents: Sequence[Mapping[str, Any]]) -> str:
    r"""Return YAML documents in the order of their keys, with numbers never mistaken for text.

    Text that starts like a number is quoted: YAML 1.1 and 1.2 differ in what is a number
    (``1e3``, ``0o17``), and both kinds of parser read these files.

    Examples
    --------
    >>> print(to_yaml([{"kind": "A", "name": "1e3", "replicas": 2}]), end="")
    kind: A
    name: "1e3"
    replicas: 2
    """
    return yaml.dump_all(
        list(documents),
        Dumper=_Dumper,
        sort_keys=False,
        allow_unicode=True,
        default_flow_style=False,
        width=1000,
    )


class _Dumper(yaml.SafeDumper):
    """Quotes text that starts like a number; writes no anchors."""

    def ignore_aliases(self, data: Any) -> bool:
        del data
        return True

    @classmethod
    def make(cls) -> type[Self]:
        """Return the class with its way of writing text."""
        cls.add_representer(str, _text)
        return cls


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    style = '"' if _LOOKS_LIKE_NUMBER.match(value) else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


_Dumper.make()
