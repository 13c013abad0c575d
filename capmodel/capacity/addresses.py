"""Addresses: what pods and nodes take from the subnets that they live in.

This module answers: how many pods may the nodes of a group run, what does a node take from its
subnet for the pods on it, and when is a subnet exhausted? Pods that exist at once during a rollout
are counted. It knows IPv4 and the Amazon VPC network plugin only; ports, packets, targets and vCPU
quotas stand in :mod:`capmodel.capacity.network`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, Protocol

import numpy as np
import numpy.typing as npt

from capmodel.capacity.nodes import max_pods
from capmodel.capacity.replicas import surge_pods
from capmodel.errors import require

if TYPE_CHECKING:
    from capmodel.catalog import NodeType

__all__ = [
    "ADDRESSES_PER_PREFIX",
    "SUBNET_RESERVED",
    "Interfaces",
    "NodeAddresses",
    "SubnetRoom",
    "VpcCni",
    "ZoneAddresses",
    "group_max_pods",
    "node_addresses",
    "subnet_addresses",
    "subnet_prefixes",
    "subnet_room",
    "zone_addresses",
]

Ints = npt.NDArray[np.int64]

ADDRESSES_PER_PREFIX: Final = 16
"""Addresses of the /28 block that the network plugin assigns in prefix mode."""

SUBNET_RESERVED: Final = 5
"""Addresses of a subnet that AWS keeps: the first four and the last."""

_ADDRESS_BITS: Final = 32
_PREFIX_BITS: Final = 28
_LARGEST_SUBNET: Final = 16


class Interfaces(Protocol):
    """The network interfaces of an instance type: ``enis``, each with ``ips_per_eni`` addresses."""

    @property
    def enis(self) -> int:
        """Interfaces at most."""

    @property
    def ips_per_eni(self) -> int:
        """IPv4 addresses of each interface, its own included."""


@dataclass(frozen=True, slots=True)
class VpcCni:
    """How the Amazon VPC network plugin of a pool hands out addresses.

    ``warm_eni`` interfaces and ``warm_prefix`` blocks kept in reserve (WARM_ENI_TARGET,
    WARM_PREFIX_TARGET); ``warm_ip`` addresses in reserve and ``minimum_ip`` addresses at least
    (WARM_IP_TARGET, MINIMUM_IP_TARGET) replace both once either is set. ``prefix_mode`` assigns
    /28 blocks; with ``custom_networking`` pods live in subnets of their own.
    """

    warm_eni: int = 1
    warm_prefix: int = 1
    warm_ip: int | None = None
    minimum_ip: int | None = None
    prefix_mode: bool = False
    custom_networking: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class NodeAddresses:
    """What a node takes from its subnets, shape as the pods.

    ``interfaces`` that carry pods; ``prefixes`` /28 blocks (0 with secondary addresses);
    ``pod_subnet`` addresses taken where pods live, those of the interfaces included;
    ``node_subnet`` addresses taken elsewhere (1 with custom networking, else 0); ``short`` pods for
    which the node has no address left [pods].
    """

    interfaces: Ints
    prefixes: Ints
    pod_subnet: Ints
    node_subnet: Ints
    short: Ints


@dataclass(frozen=True, slots=True, eq=False)
class ZoneAddresses:
    """What the nodes of a zone take from its subnets: ``pods`` with the surge, then as a node."""

    pods: Ints
    prefixes: Ints
    pod_subnet: Ints
    node_subnet: Ints
    short: Ints


@dataclass(frozen=True, slots=True)
class SubnetRoom:
    """What one subnet holds, filled node after node.

    ``nodes`` and ``pods`` that get their addresses; ``exhausted_by`` what the subnet refuses first
    after them: ``"nodes"`` (the next node does not start) or ``"pods"`` (the last node started, but
    a pod on it waits for an address). ``addresses`` taken, and ``usable`` [addresses].
    """

    nodes: int
    pods: int
    exhausted_by: Literal["nodes", "pods"]
    addresses: int
    usable: int


def group_max_pods(
    types: Sequence[NodeType], *, prefix_mode: bool = False, custom_networking: bool = False
) -> int:
    """Return the pods that each node of a mixed node group may run: the lowest of its types.

    Parameters
    ----------
    types
        The instance types of the group.
    prefix_mode, custom_networking
        As in :func:`capmodel.capacity.nodes.max_pods`.

    References
    ----------
    aws-eks-best-practices, prefix-mode_linux.adoc: the lowest maximum of any type in the group
    holds for every node of it.

    Examples
    --------
    >>> from capmodel.catalog import Catalog
    >>> of = Catalog.builtin().node_type
    >>> group_max_pods([of("m6i.large"), of("m6i.4xlarge")])
    29
    """
    require(bool(types), "node group", "no instance type", "at least one")
    return min(
        max_pods(node, prefix_mode=prefix_mode, custom_networking=custom_networking)
        for node in types
    )


def node_addresses(node: Interfaces, pods: npt.ArrayLike, *, cni: VpcCni) -> NodeAddresses:
    """Return the addresses that a node takes from its subnet for the pods on it.

    Formula, with ``s = ips_per_eni - 1`` slots on each interface: interfaces
    ``ceil(p / s) + warm_eni``, all slots filled; with address targets ``max(p + warm_ip,
    minimum_ip)`` addresses on as few interfaces as hold them. In prefix mode a slot holds a /28
    block: ``ceil(p / 16) + warm_prefix`` blocks, or ``ceil(max(p + warm_ip, minimum_ip) / 16)``.
    Each interface takes one address more for itself; the type's interfaces are the ceiling.

    Parameters
    ----------
    node
        The instance type.
    pods
        Pods with an address of their own, not those on the host's network, any shape [pods].
    cni
        Settings of the network plugin.

    Raises
    ------
    InputError
        For negative pods or targets, or a prefix mode that keeps nothing in reserve, which the
        plugin does not support.

    References
    ----------
    aws/amazon-vpc-cni-k8s, docs/eni-and-ip-target.md @0f77b523 and docs/prefix-and-ip-target.md
    @02590850; their tables of examples are the tests of this function.

    Examples
    --------
    >>> from capmodel.catalog import Catalog
    >>> node = Catalog.builtin().node_type("m6i.large")  # 3 interfaces of 10 addresses
    >>> node_addresses(node, [0, 1, 9, 10], cni=VpcCni()).pod_subnet.tolist()
    [10, 20, 20, 30]
    >>> node_addresses(node, [0, 1, 9, 10], cni=VpcCni(warm_ip=2)).pod_subnet.tolist()
    [3, 4, 13, 14]
    >>> node_addresses(node, 20, cni=VpcCni(prefix_mode=True)).prefixes.tolist()
    3
    """
    wanted = _whole_counts(pods, "pods")
    _check_cni(cni)
    slots = node.ips_per_eni - 1
    most = node.enis - cni.custom_networking
    least = 1 - cni.custom_networking  # the first interface is there before any pod
    reserve = np.maximum(wanted + (cni.warm_ip or 0), cni.minimum_ip or 0)
    by_address = cni.warm_ip is not None or cni.minimum_ip is not None
    prefixes = np.zeros_like(wanted)
    if cni.prefix_mode:
        size = ADDRESSES_PER_PREFIX
        prefixes = -(-reserve // size) if by_address else -(-wanted // size) + cni.warm_prefix
        prefixes = np.minimum(prefixes, most * slots)
        interfaces = np.maximum(-(-prefixes // slots), least)
        attached = size * prefixes
    elif by_address:
        attached = np.minimum(reserve, most * slots)
        interfaces = np.maximum(-(-attached // slots), least)
    else:
        interfaces = np.clip(-(-wanted // slots) + cni.warm_eni, least, most)
        attached = interfaces * slots
    return NodeAddresses(
        interfaces=interfaces,
        prefixes=prefixes,
        pod_subnet=attached + interfaces,
        node_subnet=np.full_like(wanted, cni.custom_networking),
        short=np.maximum(wanted - attached, 0),
    )


def zone_addresses(
    node: Interfaces, *, nodes: npt.ArrayLike, pods: npt.ArrayLike, cni: VpcCni, surge: float = 0.0
) -> ZoneAddresses:
    """Return the addresses that a zone takes while old and new pods of a rollout exist at once.

    Formula: pods ``ceil(pods * (1 + surge))``, spread evenly over the nodes: each carries the floor
    or the ceiling of the mean, see :func:`node_addresses`.

    Parameters
    ----------
    node
        The instance type.
    nodes, pods
        Nodes of the zone, and replicas with an address of their own on them; arrays allowed.
    cni
        Settings of the network plugin.
    surge
        Extra pods of the rollout [ratio of replicas]; the Deployment default is 0.25.

    Raises
    ------
    InputError
        For pods where there is no node, and as :func:`node_addresses`.

    Examples
    --------
    >>> from capmodel.catalog import Catalog
    >>> node = Catalog.builtin().node_type("m6i.large")
    >>> at_rest = zone_addresses(node, nodes=10, pods=90, cni=VpcCni())
    >>> rolling = zone_addresses(node, nodes=10, pods=90, cni=VpcCni(), surge=0.25)
    >>> int(at_rest.pod_subnet), int(rolling.pods), int(rolling.pod_subnet)
    (200, 113, 300)
    """
    each = _whole_counts(nodes, "nodes")
    alive = surge_pods(_whole_counts(pods, "pods"), surge=surge).astype(np.int64)
    each, alive = np.broadcast_arrays(each, alive)
    require(bool(np.all((each > 0) | (alive == 0))), "nodes", "pods but no node", "a node")
    mean = alive // np.maximum(each, 1)
    fuller = alive - mean * each
    low, high = (node_addresses(node, mean + k, cni=cni) for k in (0, 1))

    def total(name: Literal["prefixes", "pod_subnet", "node_subnet", "short"]) -> Ints:
        few, many = getattr(low, name), getattr(high, name)
        return np.asarray((each - fuller) * few + fuller * many)

    return ZoneAddresses(
        pods=alive,
        prefixes=total("prefixes"),
        pod_subnet=total("pod_subnet"),
        node_subnet=total("node_subnet"),
        short=total("short"),
    )


def subnet_addresses(prefix_length: int) -> int:
    """Return the addresses of a subnet that instances may take: ``2**(32 - length) - 5``.

    Parameters
    ----------
    prefix_length
        Length of the subnet's prefix, 16 to 28 [bits].

    References
    ----------
    EC2 API, CreateSubnet: the first four addresses and the last are reserved (botocore 1.44.5).

    Examples
    --------
    >>> subnet_addresses(24), subnet_addresses(28)
    (251, 11)
    """
    require(
        _LARGEST_SUBNET <= prefix_length <= _PREFIX_BITS,
        "prefix_length",
        prefix_length,
        "16 to 28, the sizes that AWS allows",
    )
    return int(2 ** (_ADDRESS_BITS - prefix_length)) - SUBNET_RESERVED


def subnet_prefixes(prefix_length: int, *, fragmented: float = 0.0) -> int:
    """Return the /28 blocks of a subnet that are free as a whole.

    Formula: ``floor((2**(28 - length) - 2) * (1 - fragmented))``: the first and the last block
    hold reserved addresses. Single addresses scattered over a used subnet break further blocks, and
    the plugin then fails with ``InsufficientCidrBlocks`` although addresses are free; the share
    broken is the caller's to state, and 0 holds for a subnet kept for prefixes only.

    Parameters
    ----------
    prefix_length
        Length of the subnet's prefix, 16 to 28 [bits].
    fragmented
        Share of the blocks that single addresses have broken [ratio].

    References
    ----------
    aws-eks-best-practices, prefix-mode_linux.adoc, "Avoid Prefix Mode when".

    Examples
    --------
    >>> subnet_prefixes(24), subnet_prefixes(24, fragmented=0.5), subnet_prefixes(28)
    (14, 7, 0)
    """
    subnet_addresses(prefix_length)
    require(0 <= fragmented <= 1, "fragmented", fragmented, "a ratio in [0, 1]")
    whole = max(int(2 ** (_PREFIX_BITS - prefix_length)) - 2, 0)
    return int(np.floor(whole * (1.0 - fragmented) + 1e-9))


def subnet_room(
    node: NodeType,
    *,
    prefix_length: int,
    pods_per_node: int,
    cni: VpcCni,
    taken: int = 0,
    fragmented: float = 0.0,
) -> SubnetRoom:
    """Return the nodes and pods that one subnet holds, and what it refuses first.

    Nodes join one after another, each with `pods_per_node` pods, until a node finds no addresses or
    a pod on the last node waits for one. With custom networking the subnet is the pods'.

    Parameters
    ----------
    node
        The instance type.
    prefix_length
        Length of the subnet's prefix [bits].
    pods_per_node
        Pods with an address of their own on a full node, the surge included [pods].
    cni
        Settings of the network plugin.
    taken
        Addresses that something else holds: load balancers, endpoints, databases.
    fragmented
        As in :func:`subnet_prefixes`; counts in prefix mode only.

    Raises
    ------
    InputError
        For no pod, or more than the node has addresses for, and as :func:`node_addresses`.

    Examples
    --------
    >>> from capmodel.catalog import Catalog
    >>> node = Catalog.builtin().node_type("m6i.large")
    >>> room = subnet_room(node, prefix_length=24, pods_per_node=9, cni=VpcCni())
    >>> room.nodes, room.pods, room.exhausted_by, room.addresses, room.usable
    (13, 108, 'pods', 250, 251)
    """
    require(pods_per_node >= 1, "pods_per_node", pods_per_node, "at least 1")
    per_node = node_addresses(node, np.arange(pods_per_node + 1), cni=cni)
    most = pods_per_node - int(per_node.short[-1])
    require(
        pods_per_node <= most,
        "pods_per_node",
        pods_per_node,
        f"at most the {most} that a {node.name} has addresses for",
    )
    usable = max(subnet_addresses(prefix_length) - taken, 0)
    blocks = subnet_prefixes(prefix_length, fragmented=fragmented)
    costs, prefixes = per_node.pod_subnet, per_node.prefixes
    full = usable // int(costs[-1])
    if prefixes[-1]:
        full = min(full, blocks // int(prefixes[-1]))
    left, left_blocks = usable - full * costs[-1], blocks - full * prefixes[-1]
    fits = np.flatnonzero((costs <= left) & (prefixes <= left_blocks))
    last = int(fits[-1]) if len(fits) else -1
    return SubnetRoom(
        nodes=int(full) + (last >= 0),
        pods=int(full) * pods_per_node + max(last, 0),
        exhausted_by="pods" if last >= 0 else "nodes",
        addresses=int(full * costs[-1] + (costs[last] if last >= 0 else 0)),
        usable=usable,
    )


def _whole_counts(values: npt.ArrayLike, where: str) -> Ints:
    counts = np.asarray(values, dtype=np.float64)
    ok = bool(np.all(np.isfinite(counts) & (counts >= 0) & (counts == np.floor(counts))))
    require(ok, where, values, "whole numbers of at least 0")
    return np.asarray(counts.astype(np.int64))


def _check_cni(cni: VpcCni) -> None:
    targets = (cni.warm_eni, cni.warm_prefix, cni.warm_ip or 0, cni.minimum_ip or 0)
    require(min(targets) >= 0, "warm targets", min(targets), "at least 0")
    by_address = cni.warm_ip is not None or cni.minimum_ip is not None
    kept = (cni.warm_ip or 0) + (cni.minimum_ip or 0) if by_address else cni.warm_prefix
    require(
        not cni.prefix_mode or kept > 0,
        "warm targets in prefix mode",
        "none kept in reserve, which the network plugin does not support",
        "warm_prefix, or warm_ip or minimum_ip, of at least 1",
    )
