"""Nodes: spare room for pods to come, ceilings of node pools, and nodes that stand in advance.

This module answers: what do Karpenter and the cluster autoscaler have to be told, so that nodes are
there before the pods that need them?

References
----------
kubernetes/autoscaler, cluster-autoscaler/apis/config/crd/autoscaling.x-k8s.io_capacitybuffers.yaml:
CapacityBuffer v1beta1 (v1alpha1 is deprecated there).
kubernetes-sigs/karpenter, pkg/apis/crds/karpenter.sh_nodepools.yaml: NodePool karpenter.sh/v1; with
`replicas`, of the limits `nodes` alone is allowed and `weight` is not; the field is alpha.
Amazon EKS user guide, "Static capacity node pools": a pool per zone for an even spread, and
`limits.nodes` above `replicas` for replacements.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from capmodel.catalog import Catalog
from capmodel.errors import InputError
from capmodel.exports.autoscalers import need_of
from capmodel.exports.names import ExportNames, Workload, is_dns_name
from capmodel.exports.result import Exported, ExportFile, LeftOut, PlanView, to_yaml, whole

if TYPE_CHECKING:
    from capmodel.catalog import NodeType
    from capmodel.plan import PlanSet

__all__ = [
    "BUFFER",
    "LIMITS",
    "STATIC",
    "capacity_buffers",
    "node_pools",
    "node_type",
    "per_zone",
    "zones_of",
]

BUFFER: Final = "CapacityBuffer"
LIMITS: Final = "NodePool limits"
STATIC: Final = "static NodePool"
SPARE_PER_ZONE: Final = 1
"""Nodes above the need in each zone, for a node is replaced before it goes."""


def capacity_buffers(plan: PlanSet | PlanView, names: ExportNames | None = None) -> Exported:
    """Return a CapacityBuffer per service: room for the pods that the season adds to today's.

    Formula: ``replicas = replicas_needed - replicas_today``. A buffer keeps its room on top of the
    pods that run, so it belongs where pods are *not* raised in advance, and it is deleted when the
    season ends.

    Parameters
    ----------
    plan
        The plan; its frame `services`.
    names
        Workloads and namespaces; None: Deployments of the services' names in ``default``.
    """
    view, names = PlanView.of(plan), names or ExportNames()
    files: list[ExportFile] = []
    left: list[LeftOut] = []
    for row in view.rows("services"):
        work = names.workload(row["service"])
        need, reason = need_of(row, work)
        today = whole(row["replicas_today"])
        if need is not None and today is None:
            reason = "replicas.today is not declared: what comes on top of it is not known"
        elif need is not None and today is not None and need <= today:
            reason = f"today's {today} pods hold the need of {need}"
        if reason or need is None or today is None:
            left.append(LeftOut(BUFFER, row["service"], reason))
        else:
            files.append(_buffer(view, row["service"], need - today, work))
    return Exported(tuple(files), tuple(left))


def _buffer(view: PlanView, service: str, extra: int, work: Workload) -> ExportFile:
    start, end = view.season
    document = {
        "apiVersion": "autoscaling.x-k8s.io/v1beta1",
        "kind": "CapacityBuffer",
        "metadata": {
            "name": work.name,
            "namespace": work.namespace,
            "annotations": view.annotations(start=start, end=end),
        },
        "spec": {
            "scalableRef": {
                "apiGroup": work.api_version.split("/")[0],
                "kind": work.kind,
                "name": work.name,
            },
            "replicas": extra,
            "provisioningStrategy": "buffer.x-k8s.io/active-capacity",
        },
    }
    return ExportFile(
        name=f"capacity-buffers/{work.namespace}.{work.name}.yaml",
        text=to_yaml([document]),
        what=f"room for {extra} more pods of {service}",
        apply="kubectl apply -f {file}",
        start=start,
        end=end,
    )


def node_pools(
    plan: PlanSet | PlanView, names: ExportNames | None = None, *, catalog: Catalog | None = None
) -> Exported:
    """Return per pool a patch of its limits, and NodePools of the nodes that stand in advance.

    Limits: ``(required + one node per zone) * shape of the node``, for a node is replaced before it
    goes, and a limit at the need itself would stop that. Static NodePools hold ``required - today``
    nodes, the same number in each zone (rounded up), reserved capacity before on demand. The
    EC2NodeClass that they refer to, their labels and their taints stay the team's own.

    Parameters
    ----------
    plan
        The plan; its frame `nodes`.
    names
        Zones and node class; without zones one static NodePool spreads as Karpenter likes.
    catalog
        Shapes of instance types; None: the built-in catalog.

    Raises
    ------
    InputError
        Where fewer zones are named than a pool spans.
    """
    view, names = PlanView.of(plan), names or ExportNames()
    catalog = catalog or Catalog.builtin()
    rows = view.rows("nodes")
    zones = zones_of(rows, names)
    files: list[ExportFile] = []
    left: list[LeftOut] = []
    for row in rows:
        pool, required = row["pool"], whole(row["required"])
        if required is None or not is_dns_name(pool):
            reason = (
                "infinite need: its pods fit on no number of nodes"
                if required is None
                else f"{pool!r} is no Kubernetes name"
            )
            left += [LeftOut(export, pool, reason) for export in (LIMITS, STATIC)]
            continue
        node = node_type(catalog, row["instance_type"])
        if node is None:
            reason = f"{row['instance_type']} is not in the catalog: its shape is not known"
            left.append(LeftOut(LIMITS, pool, reason))
        else:
            files.append(_limits(view, row, required, node))
        extra, reason = _to_add(row, required)
        if extra and not all(is_dns_name(name) for name in _static_names(pool, zones[pool])):
            reason = f"the name {pool} is too long for one with '-static-' and a zone behind it"
            left.append(LeftOut(STATIC, pool, reason))
        elif extra:
            files.append(_static(view, row, extra, (zones[pool], names.node_class)))
        else:
            left.append(LeftOut(STATIC, pool, reason))
    return Exported(tuple(files), tuple(left))


def per_zone(count: int, zones: int) -> int:
    """Return the equal share of a zone, rounded up: ``ceil(count / zones)``.

    Examples
    --------
    >>> per_zone(66, 3), per_zone(67, 3)
    (22, 23)
    """
    return -(-count // zones)


def zones_of(rows: list[dict[str, Any]], names: ExportNames) -> dict[str, tuple[str, ...]]:
    """Return the named zones that each pool spans, none where none are named.

    Raises
    ------
    InputError
        Where fewer are named than a pool spans: the plan survives zones that would not be there.
    """
    spans = {row["pool"]: int(row["zones"]) for row in rows}
    short = [f"{pool} spans {count}" for pool, count in spans.items() if len(names.zones) < count]
    if names.zones and short:
        raise InputError.of(
            "names.zones",
            got=f"{len(names.zones)}: {', '.join(names.zones)}",
            expected=f"as many as the pools span ({', '.join(short)})",
            do="Name every zone: the plan counts on the spread when it survives a lost zone.",
        )
    return {pool: names.zones[:count] for pool, count in spans.items()}


def node_type(catalog: Catalog, name: str) -> NodeType | None:
    """Return the shape of an instance type, None where the catalog lacks it."""
    try:
        return catalog.node_type(name)
    except InputError:
        return None


def _to_add(row: Mapping[str, Any], required: int) -> tuple[int, str]:
    today = whole(row["today"])
    if today is None:
        return 0, "today's nodes are not declared: what comes on top of them is not known"
    if required <= today:
        return 0, f"today's {today} nodes hold the need of {required}"
    return required - today, ""


def _limits(view: PlanView, row: Mapping[str, Any], required: int, node: NodeType) -> ExportFile:
    start, end = view.season
    pool = row["pool"]
    most = required + SPARE_PER_ZONE * int(row["zones"])
    limits = {"cpu": most * node.vcpu, "memory": f"{math.ceil(most * node.memory_gib)}Gi"}
    document = {
        "apiVersion": "karpenter.sh/v1",
        "kind": "NodePool",
        "metadata": {"name": pool, "annotations": view.annotations(start=start, end=end)},
        "spec": {"limits": limits},
    }
    return ExportFile(
        name=f"karpenter/{pool}.limits.patch.yaml",
        text=to_yaml([document]),
        what=f"ceiling of {pool}: {most} {node.name}, {required} needed",
        apply=f"kubectl patch nodepool {pool} --type merge --patch-file {{file}}",
        start=start,
        end=end,
    )


def _static(
    view: PlanView, row: Mapping[str, Any], extra: int, where: tuple[tuple[str, ...], str]
) -> ExportFile:
    zones, node_class = where
    start, end = view.season
    pool = row["pool"]
    count = per_zone(extra, len(zones) or 1)
    # Without zones one pool spans them all, and each may replace a node at the same time.
    spare = SPARE_PER_ZONE if zones else SPARE_PER_ZONE * int(row["zones"])
    documents = [
        {
            "apiVersion": "karpenter.sh/v1",
            "kind": "NodePool",
            "metadata": {
                "name": name,
                "annotations": view.annotations(start=start, end=end),
            },
            "spec": {
                "replicas": count,
                "limits": {"nodes": count + spare},
                "template": {
                    "spec": {
                        "nodeClassRef": {
                            "group": "karpenter.k8s.aws",
                            "kind": "EC2NodeClass",
                            "name": node_class,
                        },
                        "requirements": _requirements(row["instance_type"], zone),
                    }
                },
            },
        }
        for name, zone in _static_names(pool, zones).items()
    ]
    spread = f"{count} in each of {', '.join(zones)}" if zones else f"{count} in any zone"
    return ExportFile(
        name=f"karpenter/{pool}.static.yaml",
        text=to_yaml(documents),
        what=f"{extra} more {row['instance_type']} for {pool} in advance, {spread}",
        apply="kubectl apply -f {file}",
        start=start,
        end=end,
    )


def _static_names(pool: str, zones: tuple[str, ...]) -> dict[str, str]:
    """Return the static NodePools of a pool: name to zone, '' for any."""
    return {f"{pool}-static-{zone}": zone for zone in zones} or {f"{pool}-static": ""}


def _requirements(instance_type: str, zone: str) -> list[dict[str, Any]]:
    wanted = {
        "node.kubernetes.io/instance-type": [instance_type],
        "karpenter.sh/capacity-type": ["reserved", "on-demand"],
        **({"topology.kubernetes.io/zone": [zone]} if zone else {}),
    }
    return [{"key": key, "operator": "In", "values": values} for key, values in wanted.items()]
