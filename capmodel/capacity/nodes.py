"""Nodes of a pool: what a node really offers to pods, and how many nodes hold a set of pods.

This module answers: what is left of an instance type after the kubelet, eviction and daemonsets,
and how many nodes per zone does a first-fit-decreasing scheduler fill? It knows neither demand nor
money, and takes one instance type per pool.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from capmodel.errors import InputError, Problem

if TYPE_CHECKING:
    from capmodel.catalog import NodeType

__all__ = [
    "RESOURCES",
    "Allocatable",
    "NodeNeed",
    "Packing",
    "PodShape",
    "PoolNodes",
    "Usable",
    "allocatable",
    "max_pods",
    "nodes_continuous",
    "nodes_for",
    "pack_zone",
    "usable",
    "whole_units",
]

RESOURCES: Final = ("cpu_cores", "memory_gib", "pods")
"""The dimensions in which a node fills, in the order of the columns of :class:`Packing`."""

_MIB_PER_GIB: Final = 1024
_KIB_PER_GIB: Final = 1024 * 1024

# EKS: share of each range of cores that the kubelet reserves [range end in millicores, share in
# ten-thousandths], amazon-eks-ami nodeadm/internal/kubelet/config.go @81fec2e8.
_CPU_RESERVED: Final = ((1000, 600), (2000, 100), (4000, 50), (1 << 31, 25))
_RESERVED_MIB_PER_POD: Final = 11
_RESERVED_MIB: Final = 255
_EVICTION_MIB: Final = 100
# Karpenter for AWS, pkg/providers/instancetype/types.go @1d927085: what the hypervisor and, on
# Graviton, the contiguous memory allocator keep. The share is its default until a node was seen.
_VM_OVERHEAD_RATIO: Final = 0.075
_ARM64_MIB: Final = 64


@dataclass(frozen=True, slots=True)
class Allocatable:
    """What a node offers to pods, daemonsets included, as the kubelet counts it.

    ``cpu_millicores`` [1/1000 core], ``memory_mib`` [MiB], ``max_pods`` [pods].
    """

    cpu_millicores: int
    memory_mib: int
    max_pods: int


@dataclass(frozen=True, slots=True)
class Usable:
    """What is left of a node for the pods of services, after its daemonsets."""

    instance_type: str
    cpu_cores: float
    memory_gib: float
    pods: int


@dataclass(frozen=True, slots=True)
class PodShape:
    """What one pod of a service requests."""

    service: str
    cpu_cores: float
    memory_gib: float


@dataclass(frozen=True, slots=True, eq=False)
class Packing:
    """One zone's pods placed on nodes.

    ``nodes`` the count [nodes]. ``lower_bound`` the nodes that each resource alone would take,
    unrounded: ``sum(requests) / usable`` [nodes]; ``binding`` the resource with the largest.
    ``placements`` rows (shape index, node index, pods) in the order of placement, shape (P, 3).
    """

    nodes: int
    lower_bound: Mapping[str, float]
    binding: str
    placements: npt.NDArray[np.int64]

    @property
    def efficiency(self) -> float:
        """Lower bound / nodes placed [ratio]; 1 for an empty zone."""
        return max(self.lower_bound.values()) / self.nodes if self.nodes else 1.0


@dataclass(frozen=True, slots=True, eq=False)
class PoolNodes:
    """The nodes of a pool: every zone holds the same count."""

    nodes: int
    per_zone: int
    packing: Packing


@dataclass(frozen=True, slots=True, eq=False)
class NodeNeed:
    """Continuous nodes per draw and the resource that binds, shape as the draws."""

    nodes: npt.NDArray[np.float64]
    binding: npt.NDArray[np.str_]


def max_pods(node: NodeType, *, prefix_mode: bool = False, custom_networking: bool = False) -> int:
    """Return the pods that a node may run, by the addresses of its network interfaces.

    Formula: ``enis * (ips_per_eni - 1) + 2`` with secondary addresses. In prefix mode each address
    becomes a block of 16, and the count is capped at 110, or 250 above 30 vCPU. With custom
    networking the first interface carries no pods: one interface fewer. The 2 are pods on the
    host's own network, which take no address.

    Parameters
    ----------
    node
        The instance type.
    prefix_mode
        Whether the network plugin assigns prefixes.
    custom_networking
        Whether pods live in subnets of their own.

    References
    ----------
    amazon-eks-ami, max-pods-calculator.sh @a92d9fde.

    Examples
    --------
    >>> from capmodel.catalog import Catalog
    >>> node = Catalog.builtin().node_type("m6i.4xlarge")
    >>> max_pods(node), max_pods(node, prefix_mode=True), max_pods(node, custom_networking=True)
    (234, 110, 205)
    """
    slots = (node.enis - custom_networking) * (node.ips_per_eni - 1)
    if not prefix_mode:
        return slots + 2
    cap = 250 if node.vcpu > 30 else 110  # noqa: PLR2004  the calculator's own threshold
    return min(cap, slots * 16 + 2)


def allocatable(
    node: NodeType, *, prefix_mode: bool = False, custom_networking: bool = False
) -> Allocatable:
    """Return what an EKS node offers to pods.

    Formula: ``allocatable = capacity - kube-reserved - eviction``, with kube-reserved CPU 6 % of
    the first core, 1 % of the second, 0.5 % of the next two and 0.25 % of the rest (whole
    millicores); kube-reserved memory ``11 * max_pods + 255`` MiB; eviction 100 MiB; memory capacity
    the size less 64 MiB on arm64, less 7.5 % for the hypervisor (rounded up).

    Parameters
    ----------
    node
        The instance type.
    prefix_mode, custom_networking
        As in :func:`max_pods`; more pods reserve more memory.

    References
    ----------
    amazon-eks-ami nodeadm/internal/kubelet/config.go @81fec2e8; karpenter-provider-aws
    pkg/providers/instancetype/types.go @1d927085.

    Examples
    --------
    >>> from capmodel.catalog import Catalog
    >>> allocatable(Catalog.builtin().node_type("m6i.large"))
    Allocatable(cpu_millicores=1930, memory_mib=6903, max_pods=29)
    """
    millicores = node.vcpu * 1000
    reserved, start = 0, 0
    for end, share in _CPU_RESERVED:
        reserved += max(min(millicores, end) - start, 0) * share // 10_000
        start = end
    pods = max_pods(node, prefix_mode=prefix_mode, custom_networking=custom_networking)
    memory = round(node.memory_gib * _MIB_PER_GIB) - (_ARM64_MIB if node.arch == "arm64" else 0)
    memory -= int(np.ceil(memory * _VM_OVERHEAD_RATIO))
    memory -= _RESERVED_MIB_PER_POD * pods + _RESERVED_MIB + _EVICTION_MIB
    return Allocatable(cpu_millicores=millicores - reserved, memory_mib=memory, max_pods=pods)


def usable(
    node: NodeType,
    *,
    prefix_mode: bool = False,
    custom_networking: bool = False,
    daemonset_cpu_cores: float = 0.0,
    daemonset_memory_gib: float = 0.0,
    daemonset_pods: int = 0,
) -> Usable:
    """Return what a node leaves to the pods of services: allocatable less its daemonsets.

    Parameters
    ----------
    node
        The instance type.
    prefix_mode, custom_networking
        As in :func:`max_pods`.
    daemonset_cpu_cores, daemonset_memory_gib, daemonset_pods
        What the daemonsets request on every node, together [cores, GiB, pods].

    Raises
    ------
    InputError
        When the daemonsets leave nothing.

    Examples
    --------
    >>> from capmodel.catalog import Catalog
    >>> usable(Catalog.builtin().node_type("m6i.4xlarge"), daemonset_cpu_cores=0.3).cpu_cores
    15.59
    """
    whole = allocatable(node, prefix_mode=prefix_mode, custom_networking=custom_networking)
    left = Usable(
        instance_type=node.name,
        cpu_cores=round(whole.cpu_millicores / 1000 - daemonset_cpu_cores, 9),
        memory_gib=whole.memory_mib / _MIB_PER_GIB - daemonset_memory_gib,
        pods=whole.max_pods - daemonset_pods,
    )
    if min(left.cpu_cores, left.memory_gib, left.pods) <= 0:
        raise InputError.of(
            f"daemonsets on {node.name}",
            got=f"{daemonset_cpu_cores:g} cores, {daemonset_memory_gib:g} GiB and "
            f"{daemonset_pods} pods, which leave nothing of {whole.cpu_millicores / 1000:g} cores, "
            f"{whole.memory_mib / _MIB_PER_GIB:.2f} GiB and {whole.max_pods} pods",
            expected="room for at least one pod on each node",
            do="Choose a larger instance type, or correct the daemonsets' requests.",
        )
    return left


def pack_zone(shapes: Sequence[PodShape], counts: Sequence[int], *, usable: Usable) -> Packing:
    """Place a zone's pods on nodes, first fit, largest first, and return the nodes filled.

    Pods are sorted by cores, then memory, descending, as the provisioner sorts them; each goes to
    the first node with room for its cores, its memory and one more pod. Identical pods are placed
    in bulk, which gives the same placement. Arithmetic is in whole millicores and KiB, requests
    rounded up and nodes down, so no pod fits by rounding error.

    Parameters
    ----------
    shapes
        What one pod of each service requests.
    counts
        Pods of each service in the zone, same order [pods].
    usable
        What one node offers.

    Returns
    -------
    Packing
        The count, a lower bound per resource, and every placement.

    Raises
    ------
    InputError
        For each pod that is larger than an empty node; both are named.

    Notes
    -----
    First-fit decreasing needs at most a few percent more nodes than the optimum on such shapes;
    `lower_bound` shows how much at most. Affinity and spread rules are not modelled here.

    Examples
    --------
    >>> node = Usable("m6i.4xlarge", cpu_cores=15.59, memory_gib=55.8, pods=234)
    >>> packing = pack_zone([PodShape("api", 2, 4), PodShape("web", 1, 2)], [20, 11], usable=node)
    >>> packing.nodes, packing.binding
    (4, 'cpu_cores')
    """
    need, room = whole_units(shapes, usable)
    amounts = np.asarray(counts, dtype=np.int64)
    _check_counts(shapes, amounts)
    _check_sizes(shapes, need, room, usable)
    order = sorted(
        np.flatnonzero(amounts).tolist(),
        key=lambda i: (-int(need[i, 0]), -int(need[i, 1]), shapes[i].service),
    )
    placed = _first_fit(need, amounts, room=room, order=order)
    bound = (amounts @ need) / room
    return Packing(
        nodes=int(placed[:, 1].max()) + 1 if len(placed) else 0,
        lower_bound=dict(zip(RESOURCES, bound.tolist(), strict=True)),
        binding=RESOURCES[int(bound.argmax())],
        placements=placed,
    )


def nodes_for(
    shapes: Sequence[PodShape], pods_per_zone: Sequence[int], *, usable: Usable, zones: int
) -> PoolNodes:
    """Return the nodes of a pool whose zones all hold the same pods.

    Formula: ``zones * nodes of one zone``. For a pool that must survive the loss of zones, the pods
    per zone already carry the cover: ``ceil(N / (A - k))`` of each service.

    Parameters
    ----------
    shapes, pods_per_zone
        Pods of each service in one zone, see :func:`pack_zone`.
    usable
        What one node offers.
    zones
        Zones that the pool spans.

    Examples
    --------
    >>> node = Usable("m6i.4xlarge", cpu_cores=15.59, memory_gib=55.8, pods=234)
    >>> nodes_for([PodShape("api", 2, 4)], [20], usable=node, zones=3).nodes
    9
    """
    packing = pack_zone(shapes, pods_per_zone, usable=usable)
    return PoolNodes(nodes=zones * packing.nodes, per_zone=packing.nodes, packing=packing)


def nodes_continuous(
    shapes: Sequence[PodShape], replicas: npt.ArrayLike, *, usable: Usable
) -> NodeNeed:
    """Return the fractional nodes that draws of replicas take if packing were perfect.

    Formula: ``max over resources of sum over services of replicas * request / usable``. It is the
    lower bound of :func:`pack_zone` summed over zones, for sweeps and for many draws at once.

    Parameters
    ----------
    shapes
        What one pod of each of S services requests.
    replicas
        Pods of each service, shape (..., S) [pods]; ``inf`` is kept.
    usable
        What one node offers.

    Returns
    -------
    NodeNeed
        Nodes and binding resource, shape (...).

    Examples
    --------
    >>> node = Usable("m6i.4xlarge", cpu_cores=16, memory_gib=56, pods=234)
    >>> nodes_continuous([PodShape("api", 2, 4)], [[60], [90]], usable=node).nodes.tolist()
    [7.5, 11.25]
    """
    need, room = whole_units(shapes, usable)
    _check_sizes(shapes, need, room, usable)
    share = need / room
    nodes = np.asarray(replicas, dtype=np.float64) @ share
    return NodeNeed(
        nodes=np.asarray(nodes.max(axis=-1)),
        binding=np.asarray(np.array(RESOURCES, dtype=np.str_)[nodes.argmax(axis=-1)]),
    )


def whole_units(
    shapes: Sequence[PodShape], usable: Usable
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return requests (S, 3) rounded up and room (3,) rounded down: millicores, KiB and pods."""
    scale = np.array([1000.0, _KIB_PER_GIB, 1.0])
    requests = np.array([[s.cpu_cores, s.memory_gib, 1.0] for s in shapes]).reshape(-1, 3)
    offered = np.array([usable.cpu_cores, usable.memory_gib, usable.pods], dtype=np.float64)
    need = np.ceil(requests * scale - 1e-6).astype(np.int64)
    return need, np.floor(offered * scale + 1e-6).astype(np.int64)


def _first_fit(
    need: npt.NDArray[np.int64],
    amounts: npt.NDArray[np.int64],
    *,
    room: npt.NDArray[np.int64],
    order: Sequence[int],
) -> npt.NDArray[np.int64]:
    """Return placements (shape, node, pods); identical pods fill each node before the next."""
    left = np.tile(room, (64, 1))
    opened = 0
    rows: list[npt.NDArray[np.int64]] = []
    for shape in order:
        request, wanted = need[shape], int(amounts[shape])
        asked = request > 0
        fits = (left[:opened, asked] // request[asked]).min(axis=1)
        before = np.cumsum(fits) - fits
        take = np.clip(wanted - before, 0, fits)
        nodes = np.flatnonzero(take)
        each = int((room[asked] // request[asked]).min())
        rest = wanted - int(take.sum())
        fresh = -(-rest // each)
        if opened + fresh > len(left):
            left = np.vstack([left, np.tile(room, (opened + fresh, 1))])
        new = np.arange(opened, opened + fresh)
        new_take = np.minimum(rest - each * np.arange(fresh), each)
        at, pods = np.concatenate([nodes, new]), np.concatenate([take[nodes], new_take])
        left[at] -= pods[:, None] * request
        opened += fresh
        rows.append(np.column_stack([np.full(len(at), shape), at, pods]))
    return np.concatenate(rows) if rows else np.empty((0, 3), dtype=np.int64)


def _check_counts(shapes: Sequence[PodShape], amounts: npt.NDArray[np.int64]) -> None:
    if amounts.shape != (len(shapes),) or bool((amounts < 0).any()):
        raise InputError.of(
            "pods per zone",
            got=f"counts {amounts.tolist()} for {len(shapes)} services",
            expected="one count of at least 0 for each service",
            do="Pass the pods of each service in the order of the shapes.",
        )


def _check_sizes(
    shapes: Sequence[PodShape],
    need: npt.NDArray[np.int64],
    room: npt.NDArray[np.int64],
    usable: Usable,
) -> None:
    problems = [
        Problem(
            where=f"services.{shape.service}.pod",
            got=f"a request of {shape.cpu_cores:g} cores and {shape.memory_gib:g} GiB",
            expected=f"at most what {usable.instance_type} leaves to pods: "
            f"{usable.cpu_cores:g} cores, {usable.memory_gib:.2f} GiB",
            do="Choose a larger instance type for the pool, or a smaller pod.",
        )
        for shape, request in zip(shapes, need, strict=True)
        if bool((request > room).any())
    ]
    problems += [
        Problem(
            where=f"services.{shape.service}.pod",
            got=f"a request of {shape.cpu_cores:g} cores and {shape.memory_gib:g} GiB",
            expected="requests of at least 0",
            do="Correct the pod's requests.",
        )
        for shape in shapes
        if min(shape.cpu_cores, shape.memory_gib) < 0
    ]
    if problems:
        raise InputError(problems)
