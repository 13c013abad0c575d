"""Limits as declared: a bound on anything that grows with requests, pods or nodes.

One form serves a gateway's requests, ports of a NAT gateway, addresses of a subnet, targets of a
load balancer, packets of a resolver, partitions of a stream, threads, and the quota of a cloud.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from capmodel.topology.spec import NonNegative, Positive, Ratio, Spec

__all__ = ["DeclaredLimit"]


class DeclaredLimit(Spec):
    """``usage = constant + Σ per_request · load + Σ per_pod · pods + Σ per_node · nodes``.

    Loads are requests per second of services, drivers' events per second, or an external's
    requests; pods are those of the autoscaler with a rollout's surge; nodes are those of a pool.
    """

    unit: Annotated[str, Field(min_length=1)]
    """What the limit counts, as the catalog writes it where `quota` names a row."""
    hard: Positive | None = None
    """The bound [unit]; None: the value of the catalog's row `quota`."""
    quota: str | None = None
    """A row of the catalog's limits: ``SERVICE.NAME``, say ``ec2.on_demand_vcpu_standard``."""
    constant: NonNegative = 0.0
    """Used without any traffic [unit]."""
    per_request: dict[str, NonNegative] = Field(default_factory=dict)
    """Driver, service or external to usage per event or request a second [unit s]."""
    per_pod: dict[str, NonNegative] = Field(default_factory=dict)
    """Service to usage of one pod [unit]."""
    per_node: dict[str, NonNegative | Literal["vcpus"]] = Field(default_factory=dict)
    """Pool to usage of one node [unit]; ``vcpus``: those of the pool's type, from the catalog."""
    imbalance_x: Annotated[float, Field(ge=1)] = 1.0
    """Hottest part / mean part (zone, partition, address), against the hard value [ratio]."""
    zones: Annotated[int, Field(ge=1)] | None = None
    """Zones that the bound is spread over and lost with (gateways, subnets); None: regional."""
    policy_x: Ratio | None = None
    """Planned share of the bound [ratio]; None: policy.utilization.quota."""
    lead_days: Annotated[int, Field(ge=0)] | None = None
    """Days from asking for more to having it; None: the catalog's row, or 0."""
    tier: Annotated[int, Field(ge=0, le=3)] | None = None
    """None: the strictest tier among the services that use it."""
    owner: Annotated[str, Field(min_length=1)] | None = None
    """The team that answers for it, for the risk register."""

    @model_validator(mode="after")
    def _counts_something(self) -> Self:
        if not (self.per_request or self.per_pod or self.per_node):
            msg = "nothing uses it: give per_request, per_pod or per_node"
            raise ValueError(msg)
        if self.hard is None and self.quota is None:
            msg = "neither hard nor quota: state the bound, or name a row of the catalog"
            raise ValueError(msg)
        return self
