"""Units that contradict the topology: what no pod or server of that size can have used."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from capmodel.schema import Finding, Findings

if TYPE_CHECKING:
    from capmodel.history import History
    from capmodel.topology import Topology

__all__ = ["unit_findings"]

POD_X: Final = 8.0
"""A pod may burst above its request; this many times the request, on most days, it does not."""


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
