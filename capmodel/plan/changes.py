"""Which inputs differ between two plans: found in what each plan recorded about itself.

This module answers: what was changed between these two plans, field by field? What moved which
figure is :mod:`capmodel.plan.causes`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import pandas as pd

from capmodel.documents import canonical_json

if TYPE_CHECKING:
    from capmodel.plan.planset import PlanSet

__all__ = ["Change", "changed_inputs", "changes_frame", "inputs_of", "mismatch", "value_at"]

Path = tuple[str, ...]

DERIVED: Final = frozenset(
    {"title", "notes", "peak_basis", "season_x", "today", "today_usd", "freeze", "input_days"}
)
"""What a record holds that follows from the rest, or moves no figure."""
SWAPPED: Final = frozenset(
    {
        "scenarios", "topology", "orders", "overlays", "horizon", "season", "seed", "draws",
        "as_of", "catalog",
    }
)  # fmt: skip
"""What a plan can be made again with; a history, a calendar and versions are not."""
MOST: Final = 5
"""So many inputs are told apart; more are joined under the field that holds them."""
OF_A_PRICE: Final = ("as_of", "source")
PROBABILITY: Final = "probability"
EMPTY: Final[tuple[Any, ...]] = (None, "", [], {})
LONGEST: Final = 48
"""Longer values are cut in words [characters]."""
NODES: Final = ("drivers", "services", "databases", "externals", "pools")
SHARED: Final = 0.5
"""Plans that share fewer of their nodes are of different studies [ratio]."""


@dataclass(frozen=True, slots=True)
class Change:
    """An input that differs: its name, where it stands in the record, both values in words."""

    name: str
    paths: tuple[Path, ...]
    old: str
    new: str

    @property
    def swaps(self) -> bool:
        """Whether a plan can be made again with the other value."""
        return all(path[0] in SWAPPED for path in self.paths)


def inputs_of(plan: PlanSet) -> dict[str, Any]:
    """Return what a plan was made from, as nested plain values."""
    meta = json.loads(canonical_json({k: v for k, v in plan.meta.items() if k not in DERIVED}))
    scenarios = meta.pop("scenarios")
    meta["scenarios"] = {
        one["name"]: {k: v for k, v in one["assumptions"].items() if k != "name"}
        for one in scenarios
    }
    meta["orders"] = meta.pop("orders_policy")
    meta |= meta.pop("inputs")  # digests, under the input's own name
    prices = meta.pop("catalog", {})
    rows, meta["quotas"] = prices.get("rows", {}), prices.get("quotas", {})
    meta["catalog"] = {
        name: {k: v for k, v in row.items() if k not in OF_A_PRICE} for name, row in rows.items()
    }
    meta["environment"] = dict(plan.environment)
    return dict(meta)


def value_at(inputs: Mapping[str, Any], path: Path) -> Any:
    """Return the value at a path, None where the path ends before."""
    value: Any = inputs
    for key in path:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def changed_inputs(old: PlanSet, new: PlanSet) -> tuple[Change, ...]:
    """Return the inputs that differ, in the order of their names.

    Probabilities, and scenarios on one side only, are one input: a mixture sums to 1. So are
    horizon and season, of which one lies inside the other. Beyond five, fields are joined under the
    one that holds them.
    """
    before, after = inputs_of(old), inputs_of(new)
    paths = [path for path in _differing(before, after, ()) if _counts(path, before, after)]
    depth = max((len(path) for path in paths), default=1)
    groups = _grouped(paths, depth, before, after)
    while len(groups) > MOST and depth > 1:
        depth -= 1
        groups = _grouped(paths, depth, before, after)
    return tuple(_change(name, members, before, after) for name, members in groups.items())


def _differing(old: Any, new: Any, at: Path) -> Iterator[Path]:
    """Yield the paths at which two nested values differ; a mapping on one side only is one.

    Nothing and an empty value are the same: a record lacks the fields of later releases.
    """
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in sorted(set(old) | set(new)):
            yield from _differing(old.get(key), new.get(key), (*at, key))
    elif old != new and not (old in EMPTY and new in EMPTY):
        yield at


def _counts(path: Path, before: Mapping[str, Any], after: Mapping[str, Any]) -> bool:
    """Return whether a difference is an input.

    Which rows of a catalog stand in a record follows from the topology, and a record of an earlier
    release holds none.
    """
    if path[0] not in {"catalog", "quotas", "events"}:
        return True
    return all(value_at(one, path[:2]) is not None for one in (before, after))


def _grouped(
    paths: Sequence[Path], depth: int, before: Mapping[str, Any], after: Mapping[str, Any]
) -> dict[str, tuple[Path, ...]]:
    found: dict[str, list[Path]] = {}
    for path in paths:
        found.setdefault(_group(path, depth, before, after), []).append(path)
    return {
        ".".join(members[0]) if len(members) == 1 else name: tuple(members)
        for name, members in found.items()
    }


def _group(path: Path, depth: int, before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    if path[0] == "scenarios":
        lone = any(value_at(one, path[:2]) is None for one in (before, after))
        if lone or path[-1] == PROBABILITY:
            return "scenarios.probability"
    return "horizon, season" if path[0] in {"horizon", "season"} else ".".join(path[:depth])


def _change(
    name: str, paths: tuple[Path, ...], before: Mapping[str, Any], after: Mapping[str, Any]
) -> Change:
    old, new = (_words([value_at(one, path) for path in paths]) for one in (before, after))
    return Change(name=name, paths=paths, old=old, new=new)


def _words(values: Sequence[Any]) -> str:
    """Return values in words: short ones as they are, many as a count."""
    if len(values) > MOST:
        return f"{len(values)} fields"
    texts = ["-" if v is None else v if isinstance(v, str) else canonical_json(v) for v in values]
    return ", ".join(text if len(text) <= LONGEST else f"{text[:LONGEST]}…" for text in texts)


def changes_frame(changes: Sequence[Change]) -> pd.DataFrame:
    """Return one row per input that differs."""
    rows = [(c.name, c.old, c.new, c.swaps) for c in changes]
    return pd.DataFrame(rows, columns=["input", "old", "new", "swaps"])


def mismatch(old: PlanSet, new: PlanSet) -> str:
    """Return why two plans look like plans of different studies, '' where they do not."""
    nodes = [
        {(kind, name) for kind in NODES for name in plan.meta["topology"][kind]}
        for plan in (old, new)
    ]
    both, most = len(nodes[0] & nodes[1]), max(map(len, nodes))
    if both < SHARED * most:
        return f"the plans share {both} of {most} nodes: are they of one study?"
    if not set(old.scenarios) & set(new.scenarios):
        return "the plans share no scenario: are they of one study?"
    return ""
