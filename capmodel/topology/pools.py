"""Node pools as declared: instance types, zones, daemonsets, subnets, the present count."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from capmodel.topology.dynamics import NodeDynamics
from capmodel.topology.spec import NonNegative, Spec

__all__ = ["Daemonsets", "Pool", "PoolMix", "Subnet", "WorkPerCore"]


class Daemonsets(Spec):
    """What the daemonsets of every node request."""

    cpu_cores: NonNegative = 0.0
    memory_gib: NonNegative = 0.0
    pods: Annotated[int, Field(ge=0)] = 0


class Subnet(Spec):
    """The addresses of a pool's pods in one zone, and how the network plugin hands them out.

    With custom networking the subnet is that of the pods, else nodes and pods share it.
    """

    free_addresses_per_zone: Annotated[int, Field(ge=1)]
    """Addresses that the pool may take in each zone, those that it holds today included."""
    warm_eni: Annotated[int, Field(ge=0)] = 1
    """WARM_ENI_TARGET: interfaces kept in reserve on every node."""
    warm_prefix: Annotated[int, Field(ge=0)] = 1
    """WARM_PREFIX_TARGET: /28 blocks kept in reserve in prefix mode."""
    warm_ip: Annotated[int, Field(ge=0)] | None = None
    """WARM_IP_TARGET: addresses kept in reserve; replaces both of the above."""
    minimum_ip: Annotated[int, Field(ge=0)] | None = None
    """MINIMUM_IP_TARGET: addresses at least; replaces both of the above."""
    lead_days: Annotated[int, Field(ge=0)] = 0
    """Days until another subnet or address block can be used."""


class WorkPerCore(Spec):
    """How many cores of a type do the work of one core of the pool's first type."""

    cores_x: Annotated[float, Field(gt=0, le=4)]
    """0.8: a fifth fewer cores for the same work [ratio]."""
    source: Annotated[str, Field(min_length=1)]
    """The load test, or whoever says so."""


class PoolMix(Spec):
    """What a mix of the pool's types must keep to, beside holding every pod through a zone loss."""

    max_types: Annotated[int, Field(ge=1)] | None = None
    """Instance types in the mix, at most."""
    max_type_share: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Share of a zone's cores that one type may carry [ratio]."""
    max_node_share: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Share of a service's pods in a zone that one node may hold, never below one pod [ratio]."""
    min_nodes_per_zone: Annotated[int, Field(ge=0)] = 0
    max_changes: Annotated[int, Field(ge=0)] | None = None
    """Nodes added plus nodes removed against today, at most; None: no such bound."""
    work: dict[str, WorkPerCore] = Field(default_factory=dict)
    """By type or architecture (``arm64``); what is left out does the same work per core."""


class Pool(Spec):
    """A node pool: instance types, zones and the present count."""

    types: Annotated[list[str], Field(min_length=1)]
    zones: Annotated[int, Field(ge=1)] = 3
    today: Annotated[int, Field(ge=0)] | None = None
    max: Annotated[int, Field(ge=1)] | None = None
    """Largest node count that the pool may reach without a change; None: no such bound."""
    mix: PoolMix = Field(default_factory=PoolMix)
    """Rules for the mix of several types."""
    prefix_mode: bool = False
    custom_networking: bool = False
    """Pods live in subnets of their own: one interface of each node carries none."""
    mixed: bool = False
    """One node group holds all types: every node runs the fewest pods that one of them may."""
    spare_nodes_per_zone: Annotated[int, Field(ge=0)] = 0
    """Nodes of each zone that may drain or be replaced at once: 1 is N+1."""
    subnet: Subnet | None = None
    """Addresses of the pool's pods; None: not looked at."""
    daemonsets: Daemonsets = Field(default_factory=Daemonsets)
    dynamics: NodeDynamics | None = None
    """How fast its nodes come, for the event hour; None: priors (`assumed`)."""
    owner: Annotated[str, Field(min_length=1)] | None = None
    """The team that answers for it, for the risk register."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.max is not None and self.today is not None and self.max < self.today:
            msg = f"max {self.max} is below today {self.today}"
            raise ValueError(msg)
        if self.prefix_mode and self.subnet is not None:
            warm = (self.subnet.warm_ip, self.subnet.minimum_ip)
            by_address = any(target is not None for target in warm)
            if not (any(warm) if by_address else self.subnet.warm_prefix):
                msg = "prefix_mode with nothing in reserve: give warm_prefix, warm_ip or minimum_ip"
                raise ValueError(msg)
        return self
