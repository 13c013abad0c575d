"""Targets and starts of pods beside what is planned: advice, and what does not fit.

This module answers: at which utilization is each service planned, which one does its SLO allow,
what must its autoscaler be told, is the CPU of a start there, and which CPU limits need a
measurement? A declared target is used, a derived one advises until a load test confirms its queue.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from capmodel.capacity.pods import PodCpu, PodSlo, pod_target
from capmodel.capacity.replicas import ceil_units
from capmodel.capacity.throttling import start_up
from capmodel.errors import ModelError
from capmodel.plan.equip_nodes import service_s_of
from capmodel.schema import Finding

if TYPE_CHECKING:
    from capmodel.plan.make import Solved
    from capmodel.topology import Pod, Service

__all__ = ["PodCheck", "pod_checks", "pod_findings"]


@dataclass(frozen=True, slots=True)
class PodCheck:
    """A service's target in use and the one that its SLO allows."""

    utilization_target: float
    """In use, of the request [ratio]."""
    slo_target: float
    """What the SLO allows, of the request [ratio]; nan without an SLO, or where none keeps it."""
    slo_binds: str
    """The rule that decides it; '' without one."""
    hpa_percent: float
    """The target in use as the autoscaler reads it [percent of the request]."""
    reason: str = ""
    """Why an SLO gives no target."""


def pod_checks(solved: Solved) -> dict[str, PodCheck]:
    """Return the targets of every service with a pod.

    The queue of the SLO has the pod's effective cores as servers: its limit, else its share of a
    full node, which is its request (:class:`capmodel.capacity.pods.PodCpu`).
    """
    return {
        name: _check(solved, name, service, service.pod)
        for name, service in solved.estate.topology.services.items()
        if service.pod is not None
    }


def _check(solved: Solved, name: str, service: Service, pod: Pod) -> PodCheck:
    cpu = _cpu(solved, service, pod)
    targets = solved.estate.targets(name)
    slo, reason = None, ""
    if service.slo is not None:
        service_s = service_s_of(service, solved.estate.services[name], targets)
        reason = "CPU per request is not known: give slo.service_s"
        if service_s > 0:
            reason = ""
            slo = PodSlo(
                service_s=service_s,
                rules=service.slo.rules,
                service_scv=service.slo.service_scv,
                arrival_scv=service.slo.arrival_scv,
                burst_x=service.slo.burst_x,
            )
    used = targets["cpu_cores"]
    try:
        target = pod_target(cpu, declared=used, slo=slo)
    except ModelError as error:  # an SLO that idle pods break
        target, reason = pod_target(cpu, declared=used), str(error)
    return PodCheck(
        utilization_target=used,
        slo_target=target.derived * cpu.effective_cores / cpu.request_cores,
        slo_binds=target.binds,
        hpa_percent=float(target.hpa_percent),
        reason=reason,
    )


def _cpu(solved: Solved, service: Service, pod: Pod) -> PodCpu:
    node = math.inf if service.pool is None else solved.estate.nodes[service.pool].cpu_cores
    return PodCpu(
        request_cores=pod.cpu_cores,
        limit_cores=pod.cpu_limit_cores,
        node_cores=max(node, pod.cpu_cores),
    )


def pod_findings(solved: Solved, checks: Mapping[str, PodCheck]) -> Iterator[Finding]:
    """Yield targets that break an SLO, starts without their CPU, limits that need measuring."""
    for name, check in checks.items():
        yield from _slo_findings(name, check)
        yield from _start_findings(solved, name)
    for name, found in solved.estate.throttled.items():
        if not found.known:
            words = "nr_throttled / nr_periods of its pods' cgroups"
            message = f"its CPU limit may stop its pods; {found.source} ({words})"
            yield Finding("throttling", "info", name, message)


def _slo_findings(name: str, check: PodCheck) -> Iterator[Finding]:
    if check.reason:
        message = f"no target follows from its SLO: {check.reason}"
        yield Finding("slo_target", "warning", name, message)
    elif check.slo_target < check.utilization_target - 1e-9:
        yield Finding(
            code="slo_target",
            severity="warning",
            service=name,
            message=(
                f"planned at a utilization of {check.utilization_target:.2f} of the request; "
                f"{check.slo_binds} allows {check.slo_target:.2f}: confirm it by a load test, or "
                "declare that target"
            ),
            data={
                "utilization_target": check.utilization_target,
                "slo_target": check.slo_target,
                "binds": check.slo_binds,
            },
        )


def _start_findings(solved: Solved, name: str) -> Iterator[Finding]:
    """Yield a start that wants more CPU than limit and node leave it.

    On a node that is full of such pods at the target in use, a rollout starts its surge at once.
    """
    estate = solved.estate
    service = estate.topology.services[name]
    pod = service.pod
    if pod is None or pod.startup_cpu_cores is None:
        return
    free, starting = 0.0, 1
    if service.pool is not None:
        node = estate.nodes[service.pool].cpu_cores
        pods = max(math.floor(node / pod.cpu_cores + 1e-9), 1)
        starting = min(max(int(ceil_units(pods * estate.topology.policy.surge)), 1), pods)
        running = (pods - starting) * estate.targets(name)["cpu_cores"]
        free = max(node - (starting + running) * pod.cpu_cores, 0.0)
    start = start_up(
        pod.startup_cpu_cores, _cpu(solved, service, pod), node_free_cores=free, starting=starting
    )
    if start.fits:
        return
    took = pod.startup_s
    longer = "" if took is None else f", {took * start.slower_x:.0f} s instead of {took:.0f} s"
    yield Finding(
        code="startup_cpu",
        severity="warning",
        service=name,
        message=(
            f"a start asks {pod.startup_cpu_cores:g} cores and finds {start.available_cores:.3g}, "
            f"{starting} starting on one node: it takes {start.slower_x:.2f} x as long{longer}"
        ),
        data={"available_cores": start.available_cores, "slower_x": start.slower_x},
    )
