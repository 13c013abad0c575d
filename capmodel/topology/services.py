"""Drivers, services and partners as declared: who calls whom, what a pod is, what it uses."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from capmodel.topology.spec import Calls, Coefficients, NonNegative, Positive, Spec

__all__ = ["Driver", "External", "Pod", "Replicas", "Service"]


class Driver(Spec):
    """A business driver, in events per minute."""

    today_per_min: Positive | None = None
    """Declared P50 of today's event-free peak minute [1/min]; None: from history."""
    sigma_log: NonNegative = 0.0
    """Declared log standard deviation of the season's level; used with `today_per_min` only."""
    peak_minute_x: Annotated[float, Field(ge=1)] | None = None
    """Declared peak minute / mean of its hour [ratio]; None: from fine history, else the prior."""
    calls: Calls = Field(default_factory=dict)
    """Events per event of another driver [ratio]: this driver follows that one."""


class Pod(Spec):
    """What one pod requests."""

    cpu_cores: Positive
    memory_gib: Positive


class Replicas(Spec):
    """The autoscaler's bounds and the present count [pods]."""

    min: Annotated[int, Field(ge=0)] = 1
    max: Annotated[int, Field(ge=1)] | None = None
    today: Annotated[int, Field(ge=0)] | None = None

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.max is not None and self.max < self.min:
            msg = f"max {self.max} is below min {self.min}"
            raise ValueError(msg)
        return self


class Service(Spec):
    """A service: who calls it, how it is deployed, what it uses per request."""

    calls: Calls = Field(default_factory=dict)
    """Requests per unit of the caller (driver event or caller request) [ratio]."""
    today_rps: Positive | None = None
    """Declared P50 of today's event-free peak minute [1/s]; for a service without `calls`."""
    tier: Annotated[int, Field(ge=0, le=3)] = 1
    pool: str | None = None
    pod: Pod | None = None
    imbalance_x: Annotated[float, Field(ge=1)] | None = None
    """Hottest pod / mean pod [ratio]; None: the prior 1.1 (`assumed`)."""
    replicas: Replicas = Field(default_factory=Replicas)
    usage: dict[str, Coefficients] = Field(default_factory=dict)
    """Per resource: {per_pod, per_request} declared, or `fit`; left out: from history."""


class External(Spec):
    """A partner's service with a quota."""

    calls: Calls = Field(default_factory=dict)
    limit_rps: Positive
    lead_days: Annotated[int, Field(ge=0)] = 0
    """Days from asking for a higher quota to having it."""
    shed_max: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Largest share of the calls that may be left out [ratio]; 0: none."""
    waits: bool = False
    """Whether calls above the limit may queue."""
    tier: Annotated[int, Field(ge=0, le=3)] | None = None
