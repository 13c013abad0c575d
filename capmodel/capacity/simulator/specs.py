"""What an event hour is played with: services, their autoscalers, nodes, databases, clients.

This module answers: what must be known about a cluster before its event hour can be simulated, in
which unit, and what is assumed where nothing was measured? The specs are frozen; they hold no
arrays and compute nothing.

Times are seconds; the simulation rounds each up to whole ticks of 15 s.

Declared priors: the default delays of metric, pod and node (60 s, 45 s, 120 s) are assumptions, not
measurements. They were chosen so that a reaction takes the 2 to 4 minutes that a vendor of
autoscaling quotes for reactive scale-out (sedai.io): 2 on a node that stands, 4 where a node has to
come first. Measure and replace them: they decide how much must stand before the event.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from capmodel.capacity.replicas import HPA_TOLERANCE
from capmodel.errors import InputError, Problem, nearest

__all__ = [
    "TICK_S",
    "Autoscaler",
    "Cluster",
    "DatabaseSpec",
    "NodePool",
    "Queue",
    "Retries",
    "ScalePolicy",
    "ServiceSpec",
    "Shed",
]

TICK_S: Final = 15.0
"""Length of a tick [s]: the autoscaler's default sync period."""

Positive = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0)]
Count = Annotated[int, Field(ge=1)]


class _Spec(BaseModel):
    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False
    )


class ScalePolicy(_Spec):
    """How fast the autoscaler may change a service: the larger of two changes per period.

    References
    ----------
    Kubernetes documentation, *Horizontal Pod Autoscaling*, "Scaling policies" and "Default
    behavior": up by 4 pods or 100 % per 15 s, whichever is more; down by 100 % per 15 s.
    """

    max_pods: Annotated[int, Field(ge=0)]
    """Pods per period; 0: the percentage alone counts [pods]."""
    max_percent: NonNegative
    """Share of the pods at the start of the period; 0: the count alone [percent]."""
    period_s: Positive = 15.0
    """Length of the sliding period [s]."""


class Autoscaler(_Spec):
    """A horizontal pod autoscaler on CPU utilization of the request.

    At every sync it sees the mean utilization of the pods that were ready when the sample was
    taken. Pods that were not are set aside, and count as idle when it would scale up. It asks for
    ``ceil(pods * ratio)`` outside the tolerance; the highest recommendation of `down_window_s`
    counts; the policies limit the step; the bounds come last. Pods below `min_pods` are raised to
    it at the next sync, whatever the policies say. Without a ready pod nothing changes.

    References
    ----------
    Kubernetes documentation, *Horizontal Pod Autoscaling*, "Algorithm details", "Stabilization
    window", "Default behavior".
    """

    target: Positive
    """Target of utilization: busy cores / requested cores [ratio]."""
    min_pods: Count
    """Lower bound [pods]."""
    max_pods: Count
    """Upper bound [pods]."""
    tolerance: NonNegative = HPA_TOLERANCE
    """Deviation of utilization / target from 1 that changes nothing [ratio]."""
    metric_delay_s: NonNegative = 60.0
    """Age of the sample that a sync sees, scrape and averaging window together [s]: a prior."""
    sync_s: Positive = 15.0
    """Time between two syncs [s]."""
    up: ScalePolicy = ScalePolicy(max_pods=4, max_percent=100.0)
    """Speed of scaling up."""
    down: ScalePolicy = ScalePolicy(max_pods=0, max_percent=100.0)
    """Speed of scaling down; both figures 0 switch it off."""
    down_window_s: NonNegative = 300.0
    """Stabilisation of scaling down: the highest recommendation of this window counts [s]."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.max_pods < self.min_pods:
            raise InputError.of(
                "autoscaler.max_pods",
                got=self.max_pods,
                expected=f"at least min_pods ({self.min_pods})",
                do="Correct the bounds.",
            )
        return self


class Queue(_Spec):
    """Requests above the capacity wait, first come first served, until their client gives up."""

    timeout_s: Positive | None = 60.0
    """Longest wait [s]; later the request has expired and takes no capacity. None: no end.

    60 s is the default idle timeout of an Application Load Balancer (AWS documentation)."""


class Shed(_Spec):
    """Requests above a share of the capacity are refused at once and cost nothing."""

    above: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Share of the ready pods' capacity that is served [ratio]."""


class Retries(_Spec):
    """Clients call again when a request was refused or has expired, one tick later."""

    attempts: Count
    """Calls per request at most, the first included [calls]."""
    budget: NonNegative | None = None
    """Retries / first calls of the same tick, at most [ratio]; None: no budget."""


class ServiceSpec(_Spec):
    """One service: what a request costs, what a pod is, how it starts and what it does in excess.

    A ready pod serves ``(effective_cores - idle_cores) / per_request_core_s`` requests per second;
    more is *above hard*. Load is spread evenly over the ready pods: where the hottest pod carries
    more than the mean, divide `effective_cores` by that imbalance.
    """

    name: str
    per_request_core_s: Positive
    """CPU per request [core-seconds]."""
    requested_cores: Positive
    """CPU request of a pod: what the autoscaler and the scheduler count [cores]."""
    effective_cores: Positive
    """CPU that a pod can really use: its limit, or its share of the node [cores]."""
    pods: Count
    """Pods that run when the simulation starts [pods]."""
    idle_cores: NonNegative = 0.0
    """CPU of an idle pod [cores]."""
    memory_gib: NonNegative = 0.0
    """Memory request of a pod [GiB]."""
    autoscaler: Autoscaler | None = None
    """None: the number of pods stays."""
    pod_start_s: NonNegative = 45.0
    """From a place on a node to a running container: image, init, start [s]: a prior."""
    warm_up_s: NonNegative = 0.0
    """From a running container to full speed: just-in-time compiler, caches [s]."""
    startup_cores: NonNegative = 0.0
    """CPU that a pod burns for itself while it warms up [cores]."""
    ready: Literal["after_warm_up", "after_start"] = "after_warm_up"
    """When a pod gets requests. After the start, `startup_cores` are taken from its capacity and
    counted by the autoscaler until it is warm; after the warm-up they trouble nobody."""
    overload: Queue | Shed = Queue()
    """What happens to requests above the capacity."""
    retries: Retries | None = None
    """None: clients do not call again."""
    pools: dict[str, Annotated[int, Field(ge=0)]] = Field(default_factory=dict)
    """Database to connections of one pod: processes times pool maximum [connections]."""

    @model_validator(mode="after")
    def _can_serve(self) -> Self:
        taken = self.idle_cores + (self.startup_cores if self.ready == "after_start" else 0.0)
        if self.effective_cores <= taken:
            raise InputError.of(
                f"{self.name}.effective_cores",
                got=self.effective_cores,
                expected=f"more than an idle or starting pod takes ({taken} cores)",
                do="Raise the limit, or correct idle_cores and startup_cores.",
            )
        return self


class NodePool(_Spec):
    """Nodes that the services share.

    A pod takes the share ``1 / (pods of its kind that fit one node)`` of a node, the tightest of
    cores, memory and pod count. That is exact for one kind of pod; with several, mixing them may
    save part of a node per kind. Pods wait until a node has room, services in the order of the
    cluster first. Nodes are ordered for all pods asked for and the spare ones, and never removed.
    """

    cores: Positive
    """Allocatable cores of a node, daemonsets taken off [cores]."""
    memory_gib: Positive
    """Allocatable memory of a node, daemonsets taken off [GiB]."""
    max_pods: Count
    """Pods that a node takes, daemonsets taken off [pods]."""
    max_nodes: Count
    """Upper bound: the pool's limit or a quota [nodes]."""
    launch_per_min: Positive
    """Nodes that the provisioner starts per minute [1/min]."""
    nodes: Count | None = None
    """Nodes when the simulation starts; None: what the pods need, and the spare ones [nodes]."""
    node_start_s: NonNegative = 120.0
    """From the order to a ready node [s]: a prior."""
    spare_nodes: Annotated[int, Field(ge=0)] = 0
    """Nodes kept empty by pods of low priority that yield at once [nodes]. The rule of the Amazon
    EKS best-practices guide: nodes that arrive per minute times the minutes of a node's start."""

    @model_validator(mode="after")
    def _bounded(self) -> Self:
        if self.nodes is not None and self.nodes > self.max_nodes:
            raise InputError.of(
                "nodes.nodes",
                got=self.nodes,
                expected=f"at most max_nodes ({self.max_nodes})",
                do="Correct either.",
            )
        return self


class DatabaseSpec(_Spec):
    """A table of connections that several services share.

    A started pod gets requests only when its whole pool is open. Pools open in the order of the
    cluster, as fast as the database accepts them and while the table has room for the whole pool;
    a pod without them is refused and waits.
    """

    name: str
    max_connections: Count
    """Size of the table that the services may use, reserves taken off [connections]."""
    ramp_per_s: Positive | None = None
    """Connections that can be opened per second [1/s]; None: no bound."""


class Cluster(_Spec):
    """Services and what they share. The order of the services is their priority.

    Raises
    ------
    InputError
        Names used twice, an unknown database, a pod that fits no node: all problems together.

    Examples
    --------
    >>> api = ServiceSpec(
    ...     name="api",
    ...     per_request_core_s=0.01,
    ...     requested_cores=1.0,
    ...     effective_cores=1.0,
    ...     pods=10,
    ...     autoscaler=Autoscaler(target=0.6, min_pods=2, max_pods=60),
    ... )
    >>> Cluster(services=(api,)).names
    ('api',)
    """

    services: Annotated[tuple[ServiceSpec, ...], Field(min_length=1)]
    nodes: NodePool | None = None
    """None: every pod finds room at once."""
    databases: tuple[DatabaseSpec, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the services, in order."""
        return tuple(service.name for service in self.services)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        known = [database.name for database in self.databases]
        problems = [
            Problem(what, name, "a name used once", "Rename one.")
            for what, names in (("services", list(self.names)), ("databases", known))
            for name in dict.fromkeys(names)
            if names.count(name) > 1
        ]
        for service in self.services:
            for name in service.pools:
                if name not in known:
                    near = nearest(name, known)
                    hint = f"Did you mean {near!r}?" if near else "Add it to the databases."
                    problems.append(Problem(f"{service.name}.pools", name, f"one of {known}", hint))
        problems += self._homeless()
        if problems:
            raise InputError(problems)
        return self

    def _homeless(self) -> list[Problem]:
        if self.nodes is None:
            return []
        return [
            Problem(
                f"{service.name}.{field}",
                str(size),
                f"at most what a node has ({room})",
                "Take a larger node, or a smaller pod.",
            )
            for service in self.services
            for field, size, room in (
                ("requested_cores", service.requested_cores, self.nodes.cores),
                ("memory_gib", service.memory_gib, self.nodes.memory_gib),
            )
            if size > room
        ]
