"""Replicas, nodes, databases and the sheets that a reviewer redoes by hand, as frames."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pandas as pd

from capmodel.capacity.risk import mixture_value
from capmodel.plan.frames_limits import scenario_weights, scenarios_of
from capmodel.schema import Status, worst_basis

if TYPE_CHECKING:
    import numpy as np

    from capmodel.plan.make import Solved
    from capmodel.plan.pod_checks import PodCheck
    from capmodel.plan.supply import ServiceNeed, Supply

__all__ = ["nodes_frame", "services_frame", "sizing_frame"]

SERVICE_COLUMNS = [
    "scenario", "service", "tier", "pool", "peak_rps_p50", "peak_rps_hold", "replicas_today",
    "replicas_needed", "hold", "replicas_max", "status", "basis", "utilization_target",
    "slo_target", "slo_binds", "hpa_percent", "today_rps",
]  # fmt: skip
NODE_COLUMNS = [
    "scenario", "pool", "instance_type", "zones", "today", "required", "per_zone",
    "spare_per_zone", "lower_bound", "binding", "hold", "pods", "cpu_cores_requested",
    "memory_gib_requested", "cpu_cores_usable", "memory_gib_usable", "max_pods",
]  # fmt: skip
SIZING_COLUMNS = [
    "scenario", "unit", "kind", "hold", "date", "service", "rps", "pods", "per_zone", "cpu_cores",
    "memory_gib", "connections",
]  # fmt: skip


def services_frame(solved: Solved, supply: Supply) -> pd.DataFrame:
    """Return replicas per scenario and service."""
    topology = solved.estate.topology
    rows = []
    for scenario in scenarios_of(solved):
        weights = scenario_weights(solved, scenario)
        for name, service in topology.services.items():
            need = supply.services.get((scenario, name))
            maximum = service.replicas.max
            rows.append(
                {
                    "scenario": scenario,
                    "service": name,
                    "tier": service.tier,
                    "pool": service.pool or "",
                    "peak_rps_p50": _median(solved.needs.load_peak[name], weights),
                    "peak_rps_hold": need.rps if need else math.nan,
                    "replicas_today": _number(service.replicas.today),
                    "replicas_needed": need.replicas if need else math.nan,
                    "hold": need.needed.hold.words if need else "",
                    "replicas_max": _number(maximum),
                    "status": _service_status(need, maximum),
                    "basis": worst_basis(
                        [solved.estate.services[name].basis, solved.estate.call_basis[name]]
                    ),
                }
                | _targets(supply.checks.get(name))
                | {"today_rps": solved.estate.today[name]}
            )
    return pd.DataFrame(rows, columns=SERVICE_COLUMNS)


def _targets(check: PodCheck | None) -> dict[str, float | str]:
    """Return the columns of a service's targets; it has none without a pod."""
    return {
        "utilization_target": check.utilization_target if check else math.nan,
        "slo_target": check.slo_target if check else math.nan,
        "slo_binds": check.slo_binds if check else "",
        "hpa_percent": check.hpa_percent if check else math.nan,
    }


def _median(peaks: np.ndarray, weights: np.ndarray) -> float:
    return mixture_value(peaks, 0.5, weights)


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)


def _service_status(need: ServiceNeed | None, maximum: int | None) -> Status:
    """RED where more is needed than the autoscaler may run, GREY without evidence."""
    if need is None:
        return "GREY"
    if math.isinf(need.replicas) or (maximum is not None and need.replicas > maximum):
        return "RED"
    return "GREEN"


def nodes_frame(solved: Solved, supply: Supply) -> pd.DataFrame:
    """Return nodes per scenario and pool, as scheduled: first fit, largest first."""
    rows = []
    for (scenario, name), need in supply.pools.items():
        pool = solved.estate.topology.pools[name]
        node = solved.estate.nodes[name]
        packing = need.placed.packing
        rows.append(
            {
                "scenario": scenario,
                "pool": name,
                "instance_type": node.instance_type,
                "zones": pool.zones,
                "today": _number(pool.today),
                "required": float(need.placed.nodes),
                "per_zone": float(need.placed.per_zone),
                "spare_per_zone": float(pool.spare_nodes_per_zone),
                "lower_bound": need.needed.units,
                "binding": packing.binding,
                "hold": need.needed.hold.words,
                "pods": sum(row["pods"] for row in need.sheet),
                "cpu_cores_requested": sum(r["pods"] * r["cpu_cores"] for r in need.sheet),
                "memory_gib_requested": sum(r["pods"] * r["memory_gib"] for r in need.sheet),
                "cpu_cores_usable": node.cpu_cores,
                "memory_gib_usable": node.memory_gib,
                "max_pods": node.pods,
            }
        )
    return pd.DataFrame(rows, columns=NODE_COLUMNS)


def sizing_frame(supply: Supply) -> pd.DataFrame:
    """Return the sheet behind nodes and connections: loads and pods of the path that sizes them."""
    rows = [row for need in supply.pools.values() for row in need.sheet]
    rows += [row for need in supply.databases.needs.values() for row in need.sheet]
    return pd.DataFrame(rows, columns=SIZING_COLUMNS)
