"""How fast capacity follows demand, as declared: pods, autoscalers, clients in excess, nodes.

This module answers: how long until a pod serves, what does its autoscaler see and how fast may it
go, what becomes of requests above capacity, and how fast do nodes come? The event hour of a plan is
played with these (:mod:`capmodel.capacity.simulator`).

Every default is a documented prior (``basis=assumed``), not a measurement. The delays of metric,
pod and node (60 s, 45 s, 120 s) were chosen so that a reaction takes the 2 to 4 minutes that a
vendor of autoscaling quotes for reactive scale-out (sedai.io); the policies are those of the
platform (Kubernetes documentation, *Horizontal Pod Autoscaling*, "Default behavior"); a queue's 60
s are the idle timeout of an Application Load Balancer (AWS documentation); 20 nodes a minute are a
sixth of what EC2 launches for long (2 a second, *Request throttling for the Amazon EC2 API*).
Measure and replace them: they decide how much must stand before an event.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal, Self

from pydantic import Field, model_validator

from capmodel.topology.spec import NonNegative, Positive, Ratio, Spec

__all__ = ["PRIOR_QUEUE_S", "Autoscaling", "Dynamics", "NodeDynamics", "Retrying", "ScaleStep"]

PRIOR_QUEUE_S: Final = 60.0
"""How long a request waits where nothing is declared [s]."""


class ScaleStep(Spec):
    """How fast replicas may change: the larger of two changes per period."""

    max_pods: Annotated[int, Field(ge=0)]
    """Pods per period; 0: the percentage alone counts [pods]."""
    max_percent: NonNegative
    """Share of the pods at the start of the period; 0: the count alone [percent]."""
    period_s: Positive = 15.0
    """Length of the period [s]."""


class Autoscaling(Spec):
    """What the autoscaler sees and how fast it goes; its bounds are the service's replicas."""

    metric_delay_s: NonNegative = 60.0
    """Age of the sample that it sees, scrape and averaging together [s]: a prior."""
    tolerance: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """Deviation of utilization / target from 1 that changes nothing [ratio]."""
    up: ScaleStep = ScaleStep(max_pods=4, max_percent=100.0)
    """Speed of scaling up."""
    down: ScaleStep = ScaleStep(max_pods=0, max_percent=100.0)
    """Speed of scaling down; both figures 0 switch it off."""
    down_window_s: NonNegative = 300.0
    """Stabilisation of scaling down [s]."""


class Retrying(Spec):
    """Clients that call again when a request was refused or waited too long."""

    attempts: Annotated[int, Field(ge=1)]
    """Calls per request at most, the first included [calls]."""
    budget: NonNegative | None = None
    """Retries / first calls, at most [ratio]; None: no budget."""


class Dynamics(Spec):
    """How a service follows its load, and what its clients do meanwhile.

    Examples
    --------
    >>> Dynamics(pod_start_s=90).autoscaler.metric_delay_s
    60.0
    """

    pod_start_s: NonNegative = 45.0
    """From a place on a node to a running container: image, init, start [s]: a prior."""
    warm_up_s: NonNegative | None = None
    """From a running container to full speed [s]; None: the pod's ``startup_s``, else 0."""
    ready: Literal["after_warm_up", "after_start"] = "after_warm_up"
    """When a pod gets requests. After the start, the pod's ``startup_cpu_cores`` are taken from its
    capacity until it is warm; after the warm-up they trouble nobody."""
    autoscaler: Autoscaling = Field(default_factory=Autoscaling)
    queue_s: Positive | None = None
    """Longest wait of a request above capacity [s]; None: the prior of 60 s."""
    shed_above: Ratio | None = None
    """Requests above this share of the capacity are refused at once [ratio]; None: they wait."""
    retries: Retrying | None = None
    """None: clients do not call again."""

    @model_validator(mode="after")
    def _waits_or_sheds(self) -> Self:
        if self.queue_s is not None and self.shed_above is not None:
            msg = "queue_s and shed_above: what is refused at once does not wait; give one of them"
            raise ValueError(msg)
        return self


class NodeDynamics(Spec):
    """How fast a pool's nodes come."""

    node_start_s: NonNegative = 120.0
    """From the order to a ready node [s]: a prior."""
    launch_per_min: Positive = 20.0
    """Nodes that the provisioner starts per minute [1/min]: a prior."""
    spare_nodes: Annotated[int, Field(ge=0)] = 0
    """Nodes kept empty by pods of low priority that yield at once [nodes]."""
