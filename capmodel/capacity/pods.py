"""One pod's CPU: what it can use, how full it may be, and what the autoscaler reads.

This module answers: how many cores does a pod really have, which utilization target follows from
its SLO or from how fast load grows, which percentage must the autoscaler be told, and at how many
pods does it come to rest? A request buys a place and a share of the node, a limit takes time away:
:mod:`capmodel.capacity.throttling` says how much.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from capmodel.capacity.replicas import HPA_TOLERANCE
from capmodel.errors import Problem
from capmodel.laws import Rule, Station, hpa_target_percent, target_utilization
from capmodel.laws.arguments import number, raise_any, whole

__all__ = [
    "PodCpu",
    "PodSlo",
    "PodTarget",
    "Ramp",
    "cpu_shares",
    "hpa_settled_pods",
    "percent_after",
    "pod_target",
    "ramp_target",
    "replicas_floor",
]

_SHARES_PER_CORE: Final = 1024
_FEWEST_SHARES: Final = 2
_CORES = "Give cores of one pod."
_RATIO = "Write 0.6 for 60 %."


def cpu_shares(request_cores: float) -> int:
    """Return the cgroup weight of a request: ``max(2, floor(1024 · cores))``.

    References
    ----------
    Kubernetes documentation, *Resource Management for Pods and Containers*, "How Pods with resource
    limits are run"; Linux kernel documentation, *CFS scheduler*, ``cpu.shares``. With cgroup v2 the
    runtime converts the shares to ``cpu.weight``.

    Examples
    --------
    >>> cpu_shares(0.25), cpu_shares(0.0)
    (256, 2)
    """
    raise_any(number("request_cores", request_cores, _CORES, least=0))
    return max(_FEWEST_SHARES, math.floor(_SHARES_PER_CORE * request_cores + 1e-9))


@dataclass(frozen=True, slots=True)
class PodCpu:
    """What a pod requests, may use at most, and where it runs.

    Raises
    ------
    InputError
        A request that is not above 0, a limit below it, a node without room for it, or requests on
        the node that exceed its cores (the scheduler allows neither).

    Examples
    --------
    >>> pod = PodCpu(request_cores=1, node_cores=15.89, requested_on_node_cores=10)
    >>> round(pod.effective_cores, 3), pod.bound_by
    (1.589, 'share of the node')
    >>> PodCpu(request_cores=1, limit_cores=2, node_cores=15.89).effective_cores
    2.0
    """

    request_cores: float
    limit_cores: float | None = None
    """The CPU limit [cores]; None, the default that we recommend: none."""
    node_cores: float = math.inf
    """Allocatable cores of the node; inf where it is not known."""
    requested_on_node_cores: float | None = None
    """Sum of the requests of the node's pods, this one's included [cores]; None: a full node."""

    def __post_init__(self) -> None:
        problems = number("request_cores", self.request_cores, _CORES, above=0)
        if not problems and self.limit_cores is not None:
            problems += number("limit_cores", self.limit_cores, _CORES, least=self.request_cores)
        if not problems and not self.node_cores >= self.request_cores:
            expected = f"at least the pod's request ({self.request_cores:g})"
            do = "Name a larger node, or a smaller pod."
            problems.append(Problem("node_cores", str(self.node_cores), expected, do))
        if not problems and self.requested_on_node_cores is not None:
            ends = {"least": self.request_cores, "most": self.node_cores}
            most = ends["most"] if math.isfinite(ends["most"]) else None
            where, do = "requested_on_node_cores", "Sum the requests of the pods on one node."
            given = self.requested_on_node_cores
            problems += number(where, given, do, least=ends["least"], most=most)
        raise_any(problems)

    @property
    def burst_share_cores(self) -> float:
        """Cores while every pod of the node is busy: ``node · request / requested on the node``.

        At least the request; idle neighbours leave more, which nobody promises.
        """
        if not math.isfinite(self.node_cores) or self.requested_on_node_cores is None:
            return self.request_cores
        return self.node_cores * self.request_cores / self.requested_on_node_cores

    @property
    def effective_cores(self) -> float:
        """Cores to plan with: the limit if set (on a node that has them), else the burst share."""
        if self.limit_cores is not None:
            return float(min(self.limit_cores, self.node_cores))
        return float(self.burst_share_cores)

    @property
    def bound_by(self) -> Literal["limit", "share of the node", "request"]:
        """What the effective cores come from."""
        if self.limit_cores is not None:
            return "limit"
        return "share of the node" if self.burst_share_cores > self.request_cores else "request"


@dataclass(frozen=True, slots=True)
class PodSlo:
    """What an SLO asks of a pod's queue for its cores; see :class:`capmodel.laws.Station`."""

    service_s: float
    """CPU per request [s]: the slope of the usage fit."""
    rules: Sequence[Rule]
    service_scv: float = 1.0
    arrival_scv: float = 1.0
    burst_x: float = 1.0
    """Short-term load / mean of the monitored time [ratio]."""


@dataclass(frozen=True, slots=True)
class Ramp:
    """How fast load grows and how long capacity takes to follow."""

    growth_per_min: float
    """g: 0.1 is 10 % more each minute [1/min]."""
    reaction_min: float
    """L: scrape, autoscaler's sync, node start and pod start together [min]."""
    most: float = 1.0
    """Utilization of the effective cores that must not be passed meanwhile [ratio]."""


def ramp_target(ramp: Ramp) -> float:
    """Return the utilization from which a ramp stays bearable: ``U_max / (1 + g)^L`` [ratio].

    Raises
    ------
    InputError
        A negative growth or reaction; a `most` that is no ratio.

    Examples
    --------
    >>> round(ramp_target(Ramp(growth_per_min=0.10, reaction_min=5, most=0.9)), 4)
    0.5588
    """
    raise_any(
        [
            *number("growth_per_min", ramp.growth_per_min, "Write 0.1 for 10 % a minute.", least=0),
            *number("reaction_min", ramp.reaction_min, "Give minutes.", least=0),
            *number("most", ramp.most, _RATIO, above=0, most=1),
        ]
    )
    return float(ramp.most / (1.0 + ramp.growth_per_min) ** ramp.reaction_min)


@dataclass(frozen=True, slots=True)
class PodTarget:
    """A utilization target, what pods may steadily run at with it, and where it comes from."""

    utilization: float
    """What the autoscaler steers to, of the effective cores [ratio]."""
    sized_on: float
    """``(1 + tolerance) · utilization``: where the autoscaler may leave pods for good [ratio]."""
    of_request: float
    """The target as a ratio of the request, as the policy counts [ratio]."""
    hpa_percent: int
    """The target as the autoscaler reads it [percent of the request]."""
    source: Literal["declared", "slo", "ramp"]
    advisory: bool
    """True for a derived one: until a load test confirms the queue, it is a proposal."""
    derived: float
    """The target that SLO and ramp allow [ratio of the effective cores]; nan without either."""
    binds: str
    """The rule or ramp that decides the derived target; '' without one."""
    note: str
    """In words, where a declared target and the derived one disagree; '' otherwise."""


def pod_target(
    cpu: PodCpu,
    *,
    declared: float | None = None,
    slo: PodSlo | None = None,
    ramp: Ramp | None = None,
    tolerance: float = HPA_TOLERANCE,
) -> PodTarget:
    """Return a pod's target utilization: the declared one, else what SLO and ramp allow.

    The autoscaler changes nothing while usage is within ``target · (1 ± tolerance)``, so pods may
    stay at 1.1 times their target: the SLO must hold *there*. That is what the SLO's own margin of
    10 % load to spare (`sensitivity_x`) says; the two are one margin and not multiplied. A ramp
    starts from there as well: ``target = ramp_target / (1 + tolerance)``.

    Parameters
    ----------
    cpu
        The pod; its effective cores are the servers of the queue.
    declared
        Target as a ratio of the *request*, as ``policy.utilization`` counts; it wins.
    slo, ramp
        What the target is derived from; the lower of the two.
    tolerance
        Of the autoscaler [ratio].

    Raises
    ------
    InputError
        Nothing to take a target from; an argument outside its range.
    ModelError
        An SLO that an idle pod breaks.

    Examples
    --------
    >>> from capmodel.laws import ResponsePercentile
    >>> pod = PodCpu(request_cores=2, limit_cores=4, node_cores=16)
    >>> slo = PodSlo(service_s=0.02, rules=[ResponsePercentile(0.99, 0.12)])
    >>> target = pod_target(pod, slo=slo)
    >>> round(target.utilization, 4), round(target.sized_on, 4), target.hpa_percent
    (0.6814, 0.7495, 136)
    """
    raise_any(number("tolerance", tolerance, "Write 0.1 for 10 %.", least=0, below=1))
    allowed: dict[Literal["slo", "ramp"], tuple[float, str]] = {}
    if slo is not None:
        station = Station(cpu.effective_cores, slo.service_s, slo.service_scv, slo.arrival_scv)
        bound = target_utilization(
            station, slo.rules, burst_x=slo.burst_x, sensitivity_x=1 + tolerance
        )
        allowed["slo"] = (bound.utilization, bound.binds)
    if ramp is not None:
        text = f"load +{ramp.growth_per_min:.0%} a minute for {ramp.reaction_min:g} min"
        allowed["ramp"] = (ramp_target(ramp) / (1 + tolerance), text)
    source: Literal["declared", "slo", "ramp"] = "declared"
    derived, binds = math.nan, ""
    if allowed:
        lowest = min(allowed, key=lambda name: allowed[name][0])
        source, (derived, binds) = lowest, allowed[lowest]
    target, note = derived, ""
    if declared is not None:
        raise_any(number("declared", declared, _RATIO, above=0, most=1))
        source, target = "declared", declared * cpu.request_cores / cpu.effective_cores
        note = _disagreement(target, derived, binds, tolerance)
    if not allowed and declared is None:
        do = "Declare a target, or give the SLO or the ramp that it follows from."
        raise_any([Problem("target", "nothing", "declared, slo or ramp", do)])
    return PodTarget(
        utilization=target,
        sized_on=(1 + tolerance) * target,
        of_request=target * cpu.effective_cores / cpu.request_cores,
        hpa_percent=hpa_target_percent(
            target, limit_cores=cpu.effective_cores, request_cores=cpu.request_cores
        ),
        source=source,
        advisory=source != "declared",
        derived=derived,
        binds=binds,
        note=note,
    )


def _disagreement(target: float, derived: float, binds: str, tolerance: float) -> str:
    if not target > derived + 1e-9:  # nan: nothing to compare with
        return ""
    return (
        f"the declared target is {target:.2f} of the effective cores, and the autoscaler may leave "
        f"pods at {(1 + tolerance) * target:.2f}; {binds} allows a target of {derived:.2f}"
    )


def hpa_settled_pods(
    load: npt.ArrayLike,
    *,
    per_request: npt.ArrayLike,
    per_pod: npt.ArrayLike,
    request_cores: float,
    percent: float,
) -> np.ndarray:
    """Return the pods at which the autoscaler comes to rest, unrounded; inf where it never does.

    Formula: the fixed point of ``n = n · usage(n) / (percent/100 · request)`` with
    ``usage(n) = per_pod + per_request · load / n``, which is
    ``per_request · load / (percent/100 · request − per_pod)``. Only the product of percent and
    request stands in it. A tool that shrinks the request to the usage and leaves the percent sees
    each time a usage of ``percent/100 · request`` again: requests fall by that factor at every run
    and pods multiply, without an end (robusta-dev/krr#80). Change both together:
    :func:`percent_after`.

    Parameters
    ----------
    load
        Requests per second of the service, any shape [1/s].
    per_request, per_pod
        The line of a pod's CPU, broadcastable to `load` [core s], [cores].
    request_cores
        CPU request of a pod [cores].
    percent
        The autoscaler's ``averageUtilization`` [percent of the request]; above 100 with bursts.

    Examples
    --------
    >>> line = {"per_request": 0.01, "per_pod": 0.0, "percent": 80}
    >>> pods = [hpa_settled_pods(800, request_cores=1 * 0.8**k, **line) for k in range(4)]
    >>> [round(float(n), 2) for n in pods]
    [10.0, 12.5, 15.62, 19.53]
    """
    raise_any(
        [
            *number("request_cores", request_cores, _CORES, above=0),
            *number("percent", percent, "Give percent of the request, such as 60.", above=0),
            *number("load", load, "Give requests per second.", least=0),
            *number("per_request", per_request, "Give core-seconds.", least=0),
            *number("per_pod", per_pod, _CORES),
        ]
    )
    busy = np.asarray(load, dtype=float) * np.asarray(per_request, dtype=float)
    room = percent / 100 * request_cores - np.asarray(per_pod, dtype=float)
    busy, room = np.broadcast_arrays(busy, room)
    pods = np.full(busy.shape, np.inf)
    np.divide(busy, room, out=pods, where=room > 0)
    return pods


def percent_after(percent: float, *, request_from: float, request_to: float) -> float:
    """Return the percentage that leaves the pods alone when the request changes.

    Formula: ``percent · request_from / request_to``: their product is what decides.

    Examples
    --------
    >>> percent_after(80, request_from=1.0, request_to=0.8)
    100.0
    """
    raise_any(
        [
            *number("percent", percent, "Give percent of the request, such as 60.", above=0),
            *number("request_from", request_from, _CORES, above=0),
            *number("request_to", request_to, _CORES, above=0),
        ]
    )
    return percent * request_from / request_to


def replicas_floor(minimum: int, *, zones: int, per_zone: int = 1) -> int:
    """Return the fewest pods: the declared minimum, and `per_zone` in every zone.

    Examples
    --------
    >>> replicas_floor(2, zones=3), replicas_floor(8, zones=3, per_zone=2)
    (3, 8)
    """
    problems = [*whole("minimum", minimum, least=0), *whole("zones", zones)]
    raise_any([*problems, *whole("per_zone", per_zone, least=0)])
    return max(minimum, zones * per_zone)
