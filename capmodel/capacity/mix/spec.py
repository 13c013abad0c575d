"""What an instance mix is chosen from: services, candidate types, zones and rules.

This module answers: is the question well put, and what is it in whole millicores, KiB and pods?
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, model_validator

from capmodel.capacity.nodes import PodShape, Usable
from capmodel.errors import InputError, Problem, nearest

__all__ = ["UNITS", "Candidate", "Floats", "Ints", "MixRules", "Pool", "pool_of", "with_rules"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

UNITS: Final = np.array([1e3, 1 << 20, 1.0])
"""Millicores in a core, KiB in a GiB, pods in a pod."""

_SHARE_SLACK: Final = 1e-9
_UNIT_SLACK: Final = 1e-6


@dataclass(frozen=True, slots=True)
class Candidate:
    """An instance type that the pool may use.

    ``usable`` what a node leaves to pods. ``weight`` what one node weighs in the sum that is made
    small, in any unit (USD/h, kgCO2e/h, cores) [unit per node]. ``today`` nodes of the type that
    run now, one count per zone; empty where none do [nodes].

    Where a core of one type does more work than a core of another (another architecture or
    generation), give the cores of the type multiplied by that stated ratio.
    """

    usable: Usable
    weight: float
    today: tuple[int, ...] = ()


class MixRules(BaseModel):
    """What a mix must keep to beside holding every pod.

    Examples
    --------
    >>> MixRules(max_types=3, spare_nodes_per_zone=1).max_types
    3
    """

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    max_types: int | None = Field(default=None, ge=1)
    """Instance types in the pool, at most [types]."""
    largest_type: str | None = None
    """Candidate whose cores no chosen type exceeds; memory may differ by family."""
    max_type_share: float = Field(default=1.0, gt=0, le=1)
    """Share of a zone that one instance type may carry [ratio]."""
    share_of: Literal["cpu_cores", "weight"] = "cpu_cores"
    """What `max_type_share` is a share of: the zone's usable cores, or its weight."""
    max_node_share: float = Field(default=1.0, gt=0, le=1)
    """Share of a service's pods in a zone that one node may hold, never below one pod [ratio]."""
    min_nodes_per_zone: int = Field(default=0, ge=0)
    """Nodes in each zone, at least [nodes]."""
    spare_nodes_per_zone: int = Field(default=0, ge=0)
    """Nodes that any zone may lose, its largest ones included, with room left for its pods."""
    max_changes: int | None = Field(default=None, ge=0)
    """Nodes added plus nodes removed against today over all zones, at most [nodes]."""
    change_weight: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    """Weight of adding or removing one node against today [unit per node]."""

    @model_validator(mode="after")
    def _share_is_of_the_whole(self) -> MixRules:
        if self.share_of == "weight" and self.max_type_share == 1:
            raise ValueError("share_of says what max_type_share is a share of; give both")
        return self

    @property
    def looks_at_today(self) -> bool:
        """Whether today's nodes bear on the choice."""
        return self.max_changes is not None or self.change_weight > 0


@dataclass(frozen=True, slots=True, eq=False)
class Pool:
    """The question in arrays: S services, T types, A zones; room in millicores, KiB, pods.

    ``need`` pods that must stand after the loss of ``lose`` zones (S,); ``pods`` pods of one zone
    (S,); ``request`` of one pod (S, 3); ``room`` of one node (T, 3); ``weight`` (T,); ``today``
    (A, T); ``allowed`` types by rule (T,); ``most`` pods of a service that an empty node holds
    under the blast-radius rule (T, S), ``node_cap`` that rule's own bound (S,).
    ``size`` the largest share that a pod takes of the largest allowed node's room in any resource
    (S,), ``largest_first`` the services in its order.
    """

    services: tuple[str, ...]
    types: tuple[str, ...]
    zones: int
    lose: int
    rules: MixRules
    need: Ints
    pods: Ints
    request: Ints
    room: Ints
    weight: Floats
    today: Ints
    allowed: npt.NDArray[np.bool_]
    most: Ints
    node_cap: Ints
    size: Floats
    largest_first: tuple[int, ...]


def pool_of(
    shapes: Sequence[PodShape],
    need: Sequence[int],
    *,
    candidates: Sequence[Candidate],
    zones: int,
    lose: int,
    rules: MixRules,
) -> Pool:
    """Return the question in arrays, types in alphabetical order.

    Formula: pods of a zone ``ceil(need / (A - k))``.

    Raises
    ------
    InputError
        With every problem of zones, services and candidates; for each pod that no allowed type
        holds, naming the service and the largest allowed type.
    """
    problems = [
        *_zone_problems(zones, lose),
        *_service_problems(shapes, need),
        *_candidate_problems(candidates, zones, rules),
    ]
    if problems:
        raise InputError(problems)
    candidates = sorted(candidates, key=lambda one: one.usable.instance_type)
    asked = np.array([[s.cpu_cores, s.memory_gib, 1.0] for s in shapes]).reshape(-1, 3)
    offers = [one.usable for one in candidates]
    offered = np.array([[o.cpu_cores, o.memory_gib, o.pods] for o in offers])
    total = np.asarray(need, dtype=np.int64)
    pool = Pool(
        services=tuple(shape.service for shape in shapes),
        types=tuple(one.usable.instance_type for one in candidates),
        zones=zones,
        lose=lose,
        rules=rules,
        need=total,
        pods=-(-total // (zones - lose)),
        # Requests rounded up and room down, so that no pod fits by rounding error.
        request=np.ceil(asked * UNITS - _UNIT_SLACK).astype(np.int64),
        room=np.floor(offered * UNITS + _UNIT_SLACK).astype(np.int64),
        weight=np.array([one.weight for one in candidates], dtype=np.float64),
        today=np.array([one.today or (0,) * zones for one in candidates], dtype=np.int64).T,
        allowed=np.ones(len(candidates), dtype=np.bool_),
        most=np.zeros((len(candidates), len(shapes)), dtype=np.int64),
        node_cap=np.zeros(len(shapes), dtype=np.int64),
        size=np.zeros(len(shapes)),
        largest_first=(),
    )
    pool = with_rules(pool, rules)
    _check_sizes(pool, shapes, candidates)
    return pool


def with_rules(pool: Pool, rules: MixRules) -> Pool:
    """Return the question under other rules."""
    allowed = np.ones(len(pool.types), dtype=np.bool_)
    if rules.largest_type is not None:
        allowed = pool.room[:, 0] <= pool.room[pool.types.index(rules.largest_type), 0]
    cap = np.maximum(np.floor(rules.max_node_share * pool.pods + _SHARE_SLACK), 1).astype(np.int64)
    asked = np.maximum(pool.request, 1)
    fits = (pool.room[:, None, :] // asked).astype(np.float64)
    fits[:, pool.request == 0] = np.inf
    most = np.minimum(fits.min(axis=2), cap).astype(np.int64) * allowed[:, None]
    size = (pool.request / pool.room[allowed].max(axis=0)).max(axis=1)
    order = tuple(int(i) for i in np.lexsort((np.arange(size.size), -size)))
    return replace(
        pool,
        rules=rules,
        allowed=allowed,
        most=most,
        node_cap=cap,
        size=size,
        largest_first=order,
    )


def _zone_problems(zones: int, lose: int) -> list[Problem]:
    if 0 <= lose < zones:
        return []
    return [
        Problem(
            where="zones",
            got=f"{zones} zones of which {lose} may be lost",
            expected="at least one zone more than the zones to lose, and none below 0",
            do="Add zones, or lose fewer.",
        )
    ]


def _service_problems(shapes: Sequence[PodShape], need: Sequence[int]) -> list[Problem]:
    problems = []
    if len(shapes) != len(need):
        problems.append(
            Problem(
                where="need",
                got=f"{len(need)} counts for {len(shapes)} services",
                expected="one count for each service",
                do="Pass the pods of each service in the order of the shapes.",
            )
        )
    problems += [
        Problem(
            where=f"services.{shape.service}.need",
            got=f"{count:g} pods",
            expected="a whole number of at least 0",
            do="Round up to whole pods first.",
        )
        for shape, count in zip(shapes, need, strict=False)
        if not (math.isfinite(count) and count >= 0 and count == int(count))
    ]
    problems += [
        Problem(
            where=f"services.{shape.service}.pod",
            got=f"a request of {shape.cpu_cores:g} cores and {shape.memory_gib:g} GiB",
            expected="finite requests of at least 0",
            do="Correct the pod's requests.",
        )
        for shape in shapes
        if not (0 <= shape.cpu_cores < math.inf and 0 <= shape.memory_gib < math.inf)
    ]
    names = [shape.service for shape in shapes]
    return problems + _repeated("shapes", names, "service")


def _candidate_problems(
    candidates: Sequence[Candidate], zones: int, rules: MixRules
) -> list[Problem]:
    names = [one.usable.instance_type for one in candidates]
    problems = _repeated("candidates", names, "instance type")
    if not candidates:
        problems.append(
            Problem(
                where="candidates",
                got="no instance type",
                expected="at least one",
                do="Name the types that the pool may use.",
            )
        )
    for one in candidates:
        problems += _one_candidate(one, zones)
    if rules.largest_type is not None and names and rules.largest_type not in names:
        near = nearest(rules.largest_type, names)
        problems.append(
            Problem(
                where="rules.largest_type",
                got=repr(rules.largest_type),
                expected="the name of a candidate" + (f", such as {near!r}" if near else ""),
                do="Correct the name, or add the type to the candidates.",
            )
        )
    if rules.looks_at_today and not any(one.today for one in candidates):
        problems.append(
            Problem(
                where="rules.max_changes, rules.change_weight",
                got="a rule about changes, and no candidate that runs today",
                expected="today's nodes by zone on the candidates that run",
                do="Set Candidate.today, or leave the rule out.",
            )
        )
    return problems


def _one_candidate(one: Candidate, zones: int) -> list[Problem]:
    where = f"candidates.{one.usable.instance_type}"
    problems = []
    if not 0 < one.weight < math.inf:
        problems.append(
            Problem(
                where=f"{where}.weight",
                got=f"{one.weight:g}",
                expected="a finite weight above 0",
                do="Give what one node weighs, all types in one unit.",
            )
        )
    room = (one.usable.cpu_cores, one.usable.memory_gib, one.usable.pods)
    if not all(0 < size < math.inf for size in room):
        problems.append(
            Problem(
                where=f"{where}.usable",
                got=f"{room[0]:g} cores, {room[1]:g} GiB and {room[2]:g} pods",
                expected="finite room above 0",
                do="Correct the room, see capacity.nodes.usable.",
            )
        )
    if one.today and (len(one.today) != zones or min(one.today) < 0):
        problems.append(
            Problem(
                where=f"{where}.today",
                got=f"counts {list(one.today)}",
                expected=f"{zones} counts of at least 0, one per zone",
                do="Give today's nodes of each zone, in one order of zones for all types.",
            )
        )
    return problems


def _repeated(where: str, names: Sequence[str], what: str) -> list[Problem]:
    twice = sorted({name for name in names if names.count(name) > 1})
    if not twice:
        return []
    return [
        Problem(
            where=where,
            got=f"{', '.join(twice)} more than once",
            expected=f"each {what} once",
            do="Merge the entries.",
        )
    ]


def _check_sizes(pool: Pool, shapes: Sequence[PodShape], candidates: Sequence[Candidate]) -> None:
    largest = max(
        (one for one, allowed in zip(candidates, pool.allowed, strict=True) if allowed),
        key=lambda one: (one.usable.cpu_cores, one.usable.memory_gib),
    ).usable
    problems = [
        Problem(
            where=f"services.{shape.service}.pod",
            got=f"a request of {shape.cpu_cores:g} cores and {shape.memory_gib:g} GiB",
            expected=f"a pod that an allowed type holds; the largest, {largest.instance_type}, "
            f"leaves {largest.cpu_cores:g} cores and {largest.memory_gib:.2f} GiB",
            do="Allow a larger instance type, or make the pod smaller.",
        )
        for i, shape in enumerate(shapes)
        if pool.pods[i] and not pool.most[:, i].any()
    ]
    if problems:
        raise InputError(problems)
