"""Failures laid over a plan, to see what they break: never scenarios with a probability.

This module answers: what fails, by how much, and does the topology know what is named? What an
overlay does to loads and limits is `capmodel.capacity.disturb`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

from capmodel.errors import InputError, Problem, nearest

if TYPE_CHECKING:
    from capmodel.topology import Topology

__all__ = [
    "ColdCacheOverlay",
    "LoseZonesOverlay",
    "Overlay",
    "RetryStormOverlay",
    "check_overlays",
]


class _Spec(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class LoseZonesOverlay(_Spec):
    """Whole zones fail: their pods and nodes, their readers, gateways and reservations."""

    kind: Literal["lose_zones"] = "lose_zones"
    stage: ClassVar[str] = "losses"
    zones: Annotated[int, Field(ge=1)] = 1

    @property
    def words(self) -> str:
        """The failure in words."""
        return f"lose {self.zones} zone" + ("s" if self.zones > 1 else "")


class ColdCacheOverlay(_Spec):
    """The cache in front of a database answers fewer reads than it usually does."""

    kind: Literal["cold_cache"] = "cold_cache"
    stage: ClassVar[str] = "cache"
    database: str
    hit_ratio: Annotated[float, Field(ge=0, lt=1)]
    """Share of reads that the cache still answers [ratio]; 0: it is lost."""

    @property
    def words(self) -> str:
        """The failure in words."""
        return f"cache of {self.database} at {self.hit_ratio:g}"


class RetryStormOverlay(_Spec):
    """Calls of a node fail, and every layer above retries what the layer below gave up."""

    kind: Literal["retry_storm"] = "retry_storm"
    stage: ClassVar[str] = "retry"
    target: str
    """A service, driver, external or database."""
    failure: Annotated[float, Field(ge=0, le=1)]
    """Probability that one call of the target fails [ratio]."""
    attempts: Annotated[int, Field(ge=1)] = 3
    """Calls that a layer makes at most, the first included."""
    layers: Annotated[int, Field(ge=1)] = 1
    """Layers above the target that retry."""
    budget: Annotated[float, Field(ge=0)] | None = None
    """Retries / calls, at most [ratio]; None: no budget."""

    @property
    def words(self) -> str:
        """The failure in words."""
        return f"{self.failure:.0%} of calls of {self.target} fail, {self.attempts} attempts"


Overlay = Annotated[
    LoseZonesOverlay | ColdCacheOverlay | RetryStormOverlay, Field(discriminator="kind")
]


def check_overlays(overlays: Sequence[Overlay], topology: Topology) -> None:
    """Refuse overlays on what the topology does not know, naming the nearest that it does.

    Raises
    ------
    InputError
        With one problem for each unknown name, and for a cache that no hit ratio is known of.
    """
    problems = []
    nodes = [*topology.drivers, *topology.services, *topology.externals, *topology.databases]
    for i, overlay in enumerate(overlays):
        if isinstance(overlay, ColdCacheOverlay):
            where, name, known = f"overlays.{i}.database", overlay.database, [*topology.databases]
        elif isinstance(overlay, RetryStormOverlay):
            where, name, known = f"overlays.{i}.target", overlay.target, nodes
        else:
            continue
        if name not in known:
            close = nearest(name, known)
            problems.append(
                Problem(
                    where=where,
                    got=f'"{name}"',
                    expected=f"one of: {', '.join(known) or 'none declared'}",
                    do=f'Did you mean "{close}"?' if close else "Correct the name.",
                )
            )
        elif isinstance(overlay, ColdCacheOverlay):
            usual = topology.databases[name].cache_hit_ratio
            if usual is None or usual < overlay.hit_ratio:
                problems.append(
                    Problem(
                        where=f"databases.{name}.cache_hit_ratio",
                        got="none"
                        if usual is None
                        else f"{usual:g}, and {overlay.hit_ratio:g} in the failure",
                        expected="the usual hit ratio, above that of the failure",
                        do="Declare cache_hit_ratio of the database, or lower the overlay's.",
                    )
                )
    if problems:
        raise InputError(problems)
