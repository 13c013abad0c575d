"""Drivers, services and partners as declared: who calls whom, what a pod is, what it uses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Self

from pydantic import Field, model_validator

from capmodel.topology.dynamics import Dynamics
from capmodel.topology.spec import Calls, Coefficients, NonNegative, Positive, Ratio, Spec

if TYPE_CHECKING:
    from capmodel.laws import Rule

__all__ = ["Driver", "External", "Pod", "Replicas", "Service", "Slo"]


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
    """What one pod requests, may use at most, and asks for while it starts."""

    cpu_cores: Positive
    """CPU request [cores]: what the scheduler sets aside on a node."""
    memory_gib: Positive
    """Memory request [GiB]."""
    cpu_limit_cores: Positive | None = None
    """CPU limit [cores]; None, the default that we recommend: none. Where it is set it is what a
    full pod uses, on its node as well."""
    startup_cpu_cores: Positive | None = None
    """Cores that a start uses when nothing holds it back [cores]; None: those of the request."""
    startup_s: Positive | None = None
    """How long such a start takes [s]."""

    @model_validator(mode="after")
    def _limit_above_request(self) -> Self:
        if self.cpu_limit_cores is not None and self.cpu_limit_cores < self.cpu_cores:
            msg = (
                f"cpu_limit_cores {self.cpu_limit_cores:g} is below the request of "
                f"{self.cpu_cores:g} cores"
            )
            raise ValueError(msg)
        return self


class Replicas(Spec):
    """The autoscaler's bounds and the present count [pods]."""

    min: Annotated[int, Field(ge=0)] = 1
    max: Annotated[int, Field(ge=1)] | None = None
    today: Annotated[int, Field(ge=0)] | None = None
    min_per_zone: Annotated[int, Field(ge=0)] = 0
    """Fewest pods in every zone of the pool [pods]; beside `min`, the larger of the two holds."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.max is not None and self.max < self.min:
            msg = f"max {self.max} is below min {self.min}"
            raise ValueError(msg)
        return self


class Slo(Spec):
    """What requests are promised; the queue for a pod's cores turns it into a target utilization.

    Give at least one rule; the tightest binds. See :func:`capmodel.laws.target_utilization`.
    """

    p95_s: Positive | None = None
    """95th percentile of the response time [s]."""
    p99_s: Positive | None = None
    """99th percentile of the response time [s]."""
    p999_s: Positive | None = None
    """99.9th percentile of the response time [s]."""
    wait_p99_s: Positive | None = None
    """99th percentile of the wait for a core [s]."""
    wait_probability: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Largest share of requests that wait for a core [ratio]."""
    mean_response_x: Annotated[float, Field(gt=1)] | None = None
    """Mean response / that of an idle pod [ratio]."""
    service_s: Positive | None = None
    """CPU per request [s]; None: the slope of the service's use of cores."""
    service_scv: NonNegative = 1.0
    """Variance / mean² of the CPU per request [ratio]."""
    arrival_scv: NonNegative = 1.0
    """Variance / mean² of the time between requests [ratio]; 1 is Poisson."""
    burst_x: Annotated[float, Field(ge=1)] = 1.0
    """Load of the busiest seconds / mean of the time that the autoscaler looks at [ratio]."""

    @model_validator(mode="after")
    def _promises_something(self) -> Self:
        if not self.rules:
            msg = (
                "no rule: give p95_s, p99_s, p999_s, wait_p99_s, wait_probability or "
                "mean_response_x"
            )
            raise ValueError(msg)
        if self.service_scv == self.arrival_scv == 0:
            msg = "service_scv and arrival_scv are both 0: nothing varies, so nothing ever waits"
            raise ValueError(msg)
        return self

    @property
    def rules(self) -> tuple[Rule, ...]:
        """The rules as the queue reads them."""
        from capmodel.laws import (  # noqa: PLC0415  brings scipy, which few topologies need
            MeanResponse,
            ResponsePercentile,
            WaitPercentile,
            WaitProbability,
        )

        rules: list[Rule] = []
        for q, at_most_s in ((0.95, self.p95_s), (0.99, self.p99_s), (0.999, self.p999_s)):
            if at_most_s is not None:
                rules.append(ResponsePercentile(q, at_most_s))
        if self.wait_p99_s is not None:
            rules.append(WaitPercentile(0.99, self.wait_p99_s))
        if self.wait_probability is not None:
            rules.append(WaitProbability(self.wait_probability))
        if self.mean_response_x is not None:
            rules.append(MeanResponse(self.mean_response_x))
        return tuple(rules)


class Service(Spec):
    """A service: who calls it, how it is deployed, what it uses per request."""

    calls: Calls = Field(default_factory=dict)
    """Requests per unit of the caller (driver event or caller request) [ratio]."""
    today_rps: Positive | None = None
    """Declared P50 of today's event-free peak minute [1/s]; for a service without `calls`."""
    tier: Annotated[int, Field(ge=0, le=3)] = 1
    owner: Annotated[str, Field(min_length=1)] | None = None
    """The team that answers for it, for the risk register."""
    pool: str | None = None
    pod: Pod | None = None
    utilization: Ratio | None = None
    """Planned utilization of this service's cores, of the request [ratio]; None: the policy's."""
    slo: Slo | None = None
    """What requests are promised: a target derived from it is advice beside the planned one."""
    imbalance_x: Annotated[float, Field(ge=1)] | None = None
    """Hottest pod / mean pod [ratio]; None: the prior 1.1 (`assumed`)."""
    replicas: Replicas = Field(default_factory=Replicas)
    dynamics: Dynamics | None = None
    """How its pods follow the load, for the event hour; None: priors (`assumed`)."""
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
    owner: Annotated[str, Field(min_length=1)] | None = None
    """The team that answers for it, for the risk register."""
