"""Units that contradict the topology, and what the history says of pods beside their usage.

This module answers: which columns hold what no pod of that size can have used, which declared
memory looks like another unit, and which pods did their CPU limit stop?
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

import numpy as np

from capmodel.schema import Finding, Findings
from capmodel.usage.saturation import THROTTLED_SHARE

if TYPE_CHECKING:
    from capmodel.history import History
    from capmodel.topology import Topology

__all__ = ["THROTTLED_CODE", "history_findings", "size_findings", "suspect_gib", "unit_findings"]

POD_X: Final = 8.0
"""A pod may burst above its request; this many times the request, on most days, it does not."""
THROTTLED_CODE: Final = "throttled"
THROTTLED_DAYS: Final = 28
_GB_PER_GIB: Final = 1024**3 / 1e9
_SAME: Final = 3e-4
"""Two sizes are the same within rounding to four digits [ratio]."""
_MIB_FROM: Final = 512.0
"""A pod of so many GiB is a pod whose memory was given in MiB."""


def history_findings(topology: Topology, history: History) -> Findings:
    """Return :func:`unit_findings`, and how often CPU limits stopped each service's pods.

    The share is the P95 of ``throttled_share`` over the last 28 days: what busy hours see.
    """
    rows = max(int(THROTTLED_DAYS * 24 * 60 / history.step_min), 1)
    found = []
    for name, service in topology.services.items():
        if service.pod is None or name not in history.services:
            continue
        if "throttled_share" in history.measured(name):
            recent = history.series(name, "throttled_share")[-rows:]
            found += [_throttled(name, recent)] if np.isfinite(recent).any() else []
    return unit_findings(topology, history) + Findings(tuple(found))


def _throttled(name: str, recent: np.ndarray) -> Finding:
    """Return the share of a service's recent rows, or that it can be no share."""
    if float(np.nanmax(recent)) > 1:
        return Finding(
            code="unit_suspect",
            severity="error",
            service=name,
            message=f"throttled_share reaches {np.nanmax(recent):.3g}; percent instead of a ratio?",
        )
    share = float(np.nanquantile(recent, 0.95))
    return Finding(
        code=THROTTLED_CODE,
        severity="warning" if share > THROTTLED_SHARE else "info",
        service=name,
        message=(
            f"its CPU limit stopped its pods in {share:.1%} of the periods, the P95 of the last "
            f"{THROTTLED_DAYS} days; {THROTTLED_SHARE:.0%} is the limit"
        ),
        data={"share": share},
    )


def suspect_gib(memory: float) -> float | None:
    """Return the GiB that a size was probably meant to be, None where nothing is suspicious.

    A power of two GiB written in GB (17.18 for 16), or in MiB (4096 for 4).

    Examples
    --------
    >>> suspect_gib(17.18), suspect_gib(4.295), suspect_gib(4096), suspect_gib(4.3)
    (16.0, 4.0, 4.0, None)
    """
    if memory <= 0:
        return None
    meant = 2.0 ** round(math.log2(memory / _GB_PER_GIB))
    if abs(memory / (meant * _GB_PER_GIB) - 1) <= _SAME:
        return meant
    whole = 2.0 ** round(math.log2(memory))
    return memory / 1024 if memory >= _MIB_FROM and memory == whole else None


def size_findings(topology: Topology) -> Iterator[Finding]:
    """Yield declared memory that looks like a power of two GiB written in GB or MiB."""
    declared: list[tuple[str, str, float]] = []
    for name, service in topology.services.items():
        if service.pod is not None:
            declared.append((name, "pod.memory_gib", service.pod.memory_gib))
        terms = service.usage.get("memory_gib", {})
        if not isinstance(terms, str):
            declared += [(name, f"usage.memory_gib.{t}", v) for t, v in terms.items()]
    for name, pool in topology.pools.items():
        declared.append((name, "daemonsets.memory_gib", pool.daemonsets.memory_gib))
    for name, field, memory in declared:
        meant = suspect_gib(memory)
        if meant is not None:
            unit = "MiB" if memory >= _MIB_FROM and meant == memory / 1024 else "GB"
            yield Finding(
                code="unit_suspect",
                severity="warning",
                service=name,
                message=f"{field} {memory:g}: in {unit} that would be {meant:g} GiB; is it {unit}?",
                data={"declared": memory, "gib": meant},
            )


def unit_findings(topology: Topology, history: History) -> Findings:
    """Return services whose cores per pod exceed what a pod requests beyond belief.

    Percent in a column of cores is the usual cause: a busy 2-core pod would show 100 or more. The
    median over all hours is judged, so that bursts and load tests do not matter.
    """
    found = []
    for name, service in topology.services.items():
        if service.pod is None or name not in history.services:
            continue
        if not {"cpu_cores", "replicas"} <= set(history.measured(name)):
            continue
        cores, pods = history.series(name, "cpu_cores"), history.series(name, "replicas")
        per_pod = cores[pods > 0] / pods[pods > 0]
        median = float(np.nanmedian(per_pod)) if np.isfinite(per_pod).any() else 0.0
        if median > POD_X * service.pod.cpu_cores:
            found.append(
                Finding(
                    code="unit_suspect",
                    severity="error",
                    service=name,
                    message=(
                        f"cpu_cores has a median of {median:.3g} per pod, but a pod requests "
                        f"{service.pod.cpu_cores:g}; percent instead of cores?"
                    ),
                    data={"per_pod": median, "request": service.pod.cpu_cores},
                )
            )
    return Findings(tuple(found))
