"""Node pools as declared: instance types, zones, daemonsets, the present count."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from capmodel.topology.spec import NonNegative, Spec

__all__ = ["Daemonsets", "Pool"]


class Daemonsets(Spec):
    """What the daemonsets of every node request."""

    cpu_cores: NonNegative = 0.0
    memory_gib: NonNegative = 0.0
    pods: Annotated[int, Field(ge=0)] = 0


class Pool(Spec):
    """A node pool: instance types, zones and the present count."""

    types: Annotated[list[str], Field(min_length=1)]
    zones: Annotated[int, Field(ge=1)] = 3
    today: Annotated[int, Field(ge=0)] | None = None
    max: Annotated[int, Field(ge=1)] | None = None
    """Largest node count that the pool may reach without a change; None: no such bound."""
    prefix_mode: bool = False
    daemonsets: Daemonsets = Field(default_factory=Daemonsets)

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.max is not None and self.today is not None and self.max < self.today:
            msg = f"max {self.max} is below today {self.today}"
            raise ValueError(msg)
        return self
