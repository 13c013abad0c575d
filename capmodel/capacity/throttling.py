"""CPU limits at work: how a quota stalls a pod, how often, and whether a start fits into it.

This module answers: how long does a pod with a CPU limit run in each period before it stands
still, in which share of the periods does that happen, when must this be measured instead, and is
the burst of its start there? Throttling is a usage of its own with a limit of 5 %: the mean usage
of a minute does not show it. Without a CPU limit, which is what we recommend, nothing throttles.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from capmodel.capacity.pods import PodCpu
from capmodel.laws.arguments import number, raise_any, whole
from capmodel.usage.saturation import THROTTLED_SHARE

__all__ = ["CFS_PERIOD_S", "StartUp", "Throttling", "quota_runway", "start_up", "throttling"]

CFS_PERIOD_S: Final = 0.1
"""The kubelet's default period of the CPU quota (``cpuCFSQuotaPeriod``) [s]."""
_CARRIES_OVER: Final = 0.8
"""Usage / limit above which a period's unfinished work fills the next ones as well [ratio]."""
_CORES = "Give cores of one pod."


def quota_runway(
    *, limit_cores: float, threads: float, period_s: float = CFS_PERIOD_S
) -> tuple[float, float]:
    """Return (seconds until the quota is used up, seconds stalled) of a period with busy threads.

    Formula: ``limit · period / threads`` and the rest of the period, where `threads` that want the
    CPU all the time exceed the limit; else nothing stalls. The mean usage of a minute says nothing
    of it: a pod far below its limit stalls in each short burst of many threads.

    Parameters
    ----------
    limit_cores
        CPU limit [cores].
    threads
        Runnable threads with a core each [1].
    period_s
        Of the quota [s].

    References
    ----------
    Linux kernel documentation, *CFS Bandwidth Control*.

    Examples
    --------
    Eight threads behind a limit of two cores run 25 ms and stand still for 75 ms:

    >>> [round(s, 3) for s in quota_runway(limit_cores=2, threads=8)]
    [0.025, 0.075]
    """
    raise_any(
        [
            *number("limit_cores", limit_cores, _CORES, above=0),
            *number("threads", threads, "Count runnable threads.", above=0),
            *number("period_s", period_s, "Give seconds.", above=0),
        ]
    )
    if threads <= limit_cores:
        return period_s, 0.0
    runs = limit_cores * period_s / threads
    return runs, period_s - runs


@dataclass(frozen=True, slots=True)
class Throttling:
    """How often a CPU limit stops a pod, and whether the estimate may stand for a measurement."""

    share: float
    """Share of periods in which the quota runs out [ratio]; its limit is 0.05."""
    measure: bool
    """Whether it must be measured: ``nr_throttled / nr_periods`` of the pods' cgroups."""
    reason: str


def throttling(
    *,
    usage_cores: float,
    limit_cores: float | None,
    service_s: float,
    service_scv: float = 1.0,
    dispersion: float = 1.0,
    threads: float = math.inf,
) -> Throttling:
    """Return an estimate of the share of periods in which a pod's quota runs out.

    Formula: the CPU asked in one period has mean ``m = usage · T`` and variance
    ``v = m · service · (scv + dispersion)`` (a random number of requests of random length); the
    share is ``P(G > limit · T)`` for a gamma variable G of this mean and variance. Work left over
    is not carried into the next period, so the estimate is low where that matters.

    It must be measured instead where the share is above the limit of 5 %, where usage passes 0.8 of
    the limit (work is carried over), where a request is no small part of a period, and wherever
    threads work that serve no request (garbage collection, start-up).

    Parameters
    ----------
    usage_cores
        The pod's mean usage at the load in question [cores].
    limit_cores
        Its CPU limit [cores]; None for none: nothing throttles then.
    service_s, service_scv
        CPU per request [s] and its variance / mean² [ratio].
    dispersion
        Variance / mean of the requests per period [ratio]; 1 is Poisson.
    threads
        Most threads that the pod runs at once; no more than the limit never stall.

    Examples
    --------
    >>> rare = throttling(usage_cores=1.0, limit_cores=2.0, service_s=0.005)
    >>> round(rare.share, 4), rare.measure
    (0.005, False)
    """
    from scipy.special import gammaincc  # noqa: PLC0415  keeps the import of sizing light

    if limit_cores is None:
        return Throttling(0.0, measure=False, reason="no CPU limit")
    raise_any(
        [
            *number("usage_cores", usage_cores, _CORES, least=0),
            *number("limit_cores", limit_cores, _CORES, above=0),
            *number("service_s", service_s, "Give CPU seconds per request.", above=0),
            *number("service_scv", service_scv, "Give variance / mean².", least=0),
            *number("dispersion", dispersion, "Give variance / mean; 1 is Poisson.", above=0),
        ]
    )
    if threads <= limit_cores or usage_cores == 0:
        return Throttling(0.0, measure=False, reason="never more threads than the limit")
    size = service_s * (service_scv + dispersion)
    share = float(gammaincc(usage_cores * CFS_PERIOD_S / size, limit_cores * CFS_PERIOD_S / size))
    reasons = []
    if usage_cores > _CARRIES_OVER * limit_cores:
        reasons.append("usage above 0.8 of the limit: work is carried from period to period")
    if service_s > CFS_PERIOD_S / 4:
        reasons.append("a request is no small part of a period")
    if share > THROTTLED_SHARE:
        reasons.append(f"{share:.0%} of the periods, above {THROTTLED_SHARE:.0%}")
    return Throttling(share, measure=bool(reasons), reason="; ".join(reasons))


@dataclass(frozen=True, slots=True)
class StartUp:
    """Whether the CPU of a start is there."""

    available_cores: float
    """What the pod can use while it starts: within its limit, and what its node leaves."""
    slower_x: float
    """How much longer a CPU-bound start takes than with all it asks [ratio], from 1."""

    @property
    def fits(self) -> bool:
        """Whether nothing is missing."""
        return self.slower_x <= 1.0


def start_up(
    startup_cores: float, cpu: PodCpu, *, node_free_cores: float, starting: int = 1
) -> StartUp:
    """Return whether a pod's burst at its start fits into its limit and its node.

    Formula: ``available = min(limit, request + node_free / starting)``: the request is the pod's
    own, what the node's pods leave unused is shared by the pods that start at once. A start that
    is slower by x comes x times later when load ramps.

    Parameters
    ----------
    startup_cores
        Cores that the start uses when nothing holds it back [cores].
    cpu
        The pod.
    node_free_cores
        Cores of the node that neither these pods' requests nor running pods use [cores].
    starting
        Pods that start on the node at once.

    Examples
    --------
    >>> start = start_up(3.0, PodCpu(request_cores=1, limit_cores=2), node_free_cores=8)
    >>> start.available_cores, start.slower_x, start.fits
    (2.0, 1.5, False)
    """
    raise_any(
        [
            *number("startup_cores", startup_cores, _CORES, above=0),
            *number("node_free_cores", node_free_cores, "Give idle cores of one node.", least=0),
            *whole("starting", starting),
        ]
    )
    limit = math.inf if cpu.limit_cores is None else cpu.limit_cores
    available = min(limit, cpu.request_cores + node_free_cores / starting)
    return StartUp(available_cores=float(available), slower_x=max(startup_cores / available, 1.0))
