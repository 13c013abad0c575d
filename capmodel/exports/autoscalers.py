"""Pods: bounds of HorizontalPodAutoscalers, and KEDA triggers that raise them in event windows.

This module answers: how many pods must stand and how many may run, per service, for the season or
window by window? One workload takes one of the two: KEDA makes an autoscaler of its own.

References
----------
Kubernetes API reference, HorizontalPodAutoscaler autoscaling/v2.
kedacore/keda, config/crd/bases/keda.sh_scaledobjects.yaml: ScaledObject keda.sh/v1alpha1.
KEDA documentation, "ScaledObject specification": maxReplicaCount is 100 where it is not written.
"""

from __future__ import annotations

import datetime as dt
import math
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from capmodel.exports.names import ExportNames, Workload, is_dns_name
from capmodel.exports.result import Exported, ExportFile, LeftOut, PlanView, to_yaml, whole
from capmodel.exports.windows import cron_window

if TYPE_CHECKING:
    from capmodel.plan import PlanSet

__all__ = ["HPA", "KEDA", "hpa", "need_of", "scaled_objects"]

HPA: Final = "HPA"
KEDA: Final = "KEDA"
_WEEK: Final = re.compile(r"\d{4}-W\d{2}")


def hpa(plan: PlanSet | PlanView, names: ExportNames | None = None) -> Exported:
    """Return the bounds of each service's HorizontalPodAutoscaler: an object and a patch.

    ``minReplicas`` is the need of the season, for pods stand before a zone is lost;
    ``maxReplicas`` is the larger of the need and the declared maximum. Both are at least 1, the
    least that the API takes. The object's target is the planned utilization in percent of the CPU
    request, rounded down. The patch holds the bounds alone: metrics are one atomic list, which a
    patch would replace, and `behavior` stays the team's own.

    Parameters
    ----------
    plan
        The plan; its frame `services` says how many pods each service needs.
    names
        Workloads and namespaces; None: Deployments of the services' names in ``default``.

    Examples
    --------
    >>> import capmodel as cm
    >>> topology = cm.Topology.model_validate(
    ...     {
    ...         "drivers": {"checkouts": {"today_per_min": 4800}},
    ...         "services": {
    ...             "api": {
    ...                 "calls": {"checkouts": 4},
    ...                 "pod": {"cpu_cores": 2, "memory_gib": 4},
    ...                 "replicas": {"min": 6, "max": 60},
    ...                 "usage": {"cpu_cores": {"per_pod": 0.05, "per_request": 0.085}},
    ...             }
    ...         },
    ...     }
    ... )
    >>> plans = (
    ...     cm.CapacityModel(topology)
    ...     .declare(business_tz="UTC")
    ...     .plan(
    ...         [cm.Scenario(name="base")],
    ...         start="2026-11-01",
    ...         end="2026-12-01",
    ...         as_of="2026-09-21",
    ...         draws=100,
    ...     )
    ... )
    >>> patch = hpa(plans).files[1]
    >>> patch.name, patch.text.split("spec:")[1].split()
    ('hpa/default.api.patch.yaml', ['minReplicas:', '24', 'maxReplicas:', '60'])
    """
    view, names = PlanView.of(plan), names or ExportNames()
    files: list[ExportFile] = []
    left: list[LeftOut] = []
    for row in view.rows("services"):
        need, reason = need_of(row, names.workload(row["service"]))
        if need is None:
            left.append(LeftOut(HPA, row["service"], reason))
        else:
            files += _hpa_files(view, row["service"], need, names.workload(row["service"]))
    return Exported(tuple(files), tuple(left))


def need_of(row: Mapping[str, Any], work: Workload) -> tuple[int | None, str]:
    """Return a service's pods in the season, or None and why there is no number to apply."""
    if row["status"] == "GREY":
        return None, "GREY: no evidence to size it by"
    need = whole(row["replicas_needed"])
    if need is None:
        return None, "infinite need: no number of pods holds the policy; see the plan's limits"
    for what, name in (("name", work.name), ("namespace", work.namespace)):
        if not is_dns_name(str(name)):
            return None, f"{name!r} is no Kubernetes {what}; state the workload in the names"
    return need, ""


def ceiling_of(view: PlanView, service: str, need: int) -> int:
    """Return the most pods that may run: never below the need, never below the declared maximum."""
    declared = view.declared("services", service).get("replicas", {}).get("max")
    return max(need, declared or 0, 1)


def target_percent(view: PlanView, service: str) -> int:
    """Return a service's planned CPU utilization in whole percent of the request, rounded down."""
    own = view.declared("services", service).get("utilization")
    policy = view.meta["topology"]["policy"]["utilization"]["cpu_cores"]
    return max(math.floor(100 * float(policy if own is None else own) + 1e-9), 1)


def least_of(view: PlanView, service: str) -> int:
    """Return the fewest pods that a service declares, whole zones of `min_per_zone` included."""
    spec = view.declared("services", service)
    replicas = spec.get("replicas", {})
    pool = view.declared("pools", spec["pool"]) if spec.get("pool") else {}
    zones = int(pool.get("zones", 1))
    return max(int(replicas.get("min", 1)), int(replicas.get("min_per_zone") or 0) * zones)


def _hpa_files(view: PlanView, service: str, need: int, work: Workload) -> list[ExportFile]:
    start, end = view.season
    bounds = {"minReplicas": max(need, 1), "maxReplicas": ceiling_of(view, service, need)}
    head = {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {
            "name": work.name,
            "namespace": work.namespace,
            "annotations": view.annotations(start=start, end=end),
        },
    }
    target = {"type": "Utilization", "averageUtilization": target_percent(view, service)}
    metric = {"type": "Resource", "resource": {"name": "cpu", "target": target}}
    whole_object = {
        **head,
        "spec": {"scaleTargetRef": work.reference, **bounds, "metrics": [metric]},
    }
    stem = f"hpa/{work.namespace}.{work.name}"
    words = f"{bounds['minReplicas']} to {bounds['maxReplicas']} pods of {service}"
    return [
        ExportFile(
            name=f"{stem}.yaml",
            text=to_yaml([whole_object]),
            what=f"{words}, at {target['averageUtilization']} % of the CPU request",
            apply="kubectl apply -f {file}",
            start=start,
            end=end,
        ),
        ExportFile(
            name=f"{stem}.patch.yaml",
            text=to_yaml([{**head, "spec": bounds}]),
            what=f"{words}, the rest of the autoscaler as it is",
            apply=f"kubectl patch hpa {work.name} -n {work.namespace} --patch-file {{file}}",
            start=start,
            end=end,
        ),
    ]


def scaled_objects(plan: PlanSet | PlanView, names: ExportNames | None = None) -> Exported:
    """Return a KEDA ScaledObject per service: a floor in each event window, CPU in between.

    Each event window of the plan's frame `schedule` becomes a cron trigger with the window's pods;
    KEDA takes the largest of all triggers. ``minReplicaCount`` is the need of the quietest week
    (the declared minimum where the schedule has no weeks), at least 1. ``maxReplicaCount`` is
    always written, and never below the need of the season or of a window.

    Parameters
    ----------
    plan
        The plan; its frames `services` and `schedule`.
    names
        Workloads and namespaces; None: Deployments of the services' names in ``default``.
    """
    view, names = PlanView.of(plan), names or ExportNames()
    services = view.rows("services")
    if "schedule" not in view.frames:
        reason = "the plan has no schedule: its event windows are not known"
        return Exported((), (LeftOut(KEDA, "every service", reason),))
    schedule = [row for row in view.rows("schedule") if row["kind"] == "pods"]
    files: list[ExportFile] = []
    left: list[LeftOut] = []
    for row in services:
        service = row["service"]
        work = names.workload(service)
        need, reason = need_of(row, work)
        if need is None:
            left.append(LeftOut(KEDA, service, reason))
            continue
        own = [entry for entry in schedule if entry["unit"] == service]
        windows, refused = _cron_windows(view, own)
        left += [LeftOut(KEDA, f"{service}, {window}", why) for window, why in refused]
        if windows:
            bounds = _bounds(view, service, need, (own, windows))
            files.append(_scaled_object(view, service, work, (bounds, windows)))
        else:
            left.append(LeftOut(KEDA, service, "no event window to scale for"))
    return Exported(tuple(files), tuple(left))


def _cron_windows(
    view: PlanView, rows: list[dict[str, Any]]
) -> tuple[list[dict[str, Any]], list[tuple[str, str]]]:
    """Return the event windows that cron can say, in order of time, and the others with reasons."""
    windows, refused = [], []
    for row in sorted(rows, key=lambda row: (str(row["start"]), str(row["window"]))):
        if _WEEK.fullmatch(row["window"]):
            continue
        start, end = _day(row["start"]), _day(row["end"])
        cron = cron_window(start, end, business_tz=view.business_tz, as_of=view.as_of)
        units = whole(row["units"])
        if cron.reason or units is None:
            refused.append((row["window"], cron.reason or "infinite need"))
        else:
            name = f"{row['window']}-{start}"
            windows.append({"name": name, "start": start, "end": end, "cron": cron, "units": units})
    return windows, refused


def _bounds(
    view: PlanView,
    service: str,
    need: int,
    scheduled: tuple[list[dict[str, Any]], list[dict[str, Any]]],
) -> tuple[int, int]:
    """Return the fewest and the most pods of a ScaledObject."""
    rows, windows = scheduled
    weeks = [whole(row["units"]) for row in rows if _WEEK.fullmatch(row["window"])]
    known = [units for units in weeks if units is not None]
    declared = least_of(view, service)
    floor = max(min(known) if known else declared, declared, 1)
    most = max(window["units"] for window in windows)
    return floor, max(ceiling_of(view, service, need), floor, most)


def _scaled_object(
    view: PlanView,
    service: str,
    work: Workload,
    scheduled: tuple[tuple[int, int], list[dict[str, Any]]],
) -> ExportFile:
    (floor, ceiling), windows = scheduled
    start = min(window["start"] for window in windows).isoformat()
    end = max(window["end"] for window in windows).isoformat()
    cpu = {
        "type": "cpu",
        "metricType": "Utilization",
        "metadata": {"value": str(target_percent(view, service))},
    }
    document = {
        "apiVersion": "keda.sh/v1alpha1",
        "kind": "ScaledObject",
        "metadata": {
            "name": work.name,
            "namespace": work.namespace,
            "annotations": view.annotations(start=start, end=end),
        },
        "spec": {
            "scaleTargetRef": work.reference,
            "minReplicaCount": floor,
            "maxReplicaCount": ceiling,
            "triggers": [cpu, *(_trigger(view, window) for window in windows)],
        },
    }
    return ExportFile(
        name=f"keda/{work.namespace}.{work.name}.yaml",
        text=to_yaml([document]),
        what=f"{floor} to {ceiling} pods of {service}, raised in {len(windows)} windows",
        apply="kubectl apply -f {file}",
        start=start,
        end=end,
    )


def _trigger(view: PlanView, window: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "type": "cron",
        "name": window["name"],
        "metadata": {
            "timezone": view.business_tz,
            "start": window["cron"].start,
            "end": window["cron"].end,
            "desiredReplicas": str(window["units"]),
        },
    }


def _day(value: Any) -> dt.date:
    """Return the day of an ISO text, a date or a timestamp."""
    return dt.date.fromisoformat(str(value)[:10])
