"""Ports, packets, targets and vCPU quotas: what a fleet takes of the network and of an account.

This module answers: how many connections does a NAT gateway hold at once, how many packets go to
the resolver, how many targets does a load balancer carry, and how many vCPUs count against which
quota? It compares with no limit: those stand in :class:`capmodel.catalog.Quotas`. Every function
takes arrays of draws.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final, Literal

import numpy as np
import numpy.typing as npt

from capmodel.capacity.replicas import ceil_units, surge_pods
from capmodel.errors import InputError, require

if TYPE_CHECKING:
    from capmodel.catalog import NodeType

__all__ = [
    "NAT_CONNECTIONS",
    "load_balancer_targets",
    "nat_addresses",
    "nat_connections",
    "quota_group",
    "resolver_packets",
    "vcpu_use",
]

Floats = npt.NDArray[np.float64]

NAT_CONNECTIONS: Final = 55_000
"""Simultaneous connections of a NAT gateway per address and unique destination."""

# Letters of an instance family to the end of its quotas' names (Service Quotas, service ec2).
_GROUPS: Final[Mapping[str, str]] = {
    **dict.fromkeys(("a", "c", "d", "h", "i", "im", "is", "m", "r", "t", "z"), "standard"),
    **dict.fromkeys(("g", "gr", "vt"), "g_vt"),
    **{family: family for family in ("dl", "f", "hpc", "inf", "p", "trn", "x")},
    "u": "high_memory",
}


def quota_group(instance_type: str, *, where: str = "instance type") -> str:
    """Return the family group whose vCPU quota an instance type counts against.

    The names of the groups end the names of the quotas: ``on_demand_vcpu_standard``.

    Parameters
    ----------
    instance_type
        For example ``"m6i.4xlarge"``.
    where
        What asks, for the message.

    Raises
    ------
    InputError
        For a family that belongs to no known group.

    References
    ----------
    Service Quotas of EC2: "Running On-Demand Standard (A, C, D, H, I, M, R, T, Z) instances", and
    one quota each for F, G and VT, High Memory, HPC, Inf, P, Trn, DL and X.

    Examples
    --------
    >>> [quota_group(name) for name in ("m6i.large", "im4gn.large", "g5.xlarge", "x2gd.large")]
    ['standard', 'standard', 'g_vt', 'x']
    """
    family, dot, _ = instance_type.partition(".")
    letters = "".join(itertools.takewhile(str.isalpha, family))
    if dot and letters in _GROUPS:
        return _GROUPS[letters]
    raise InputError.of(
        where,
        got=f'"{instance_type}", of no known family',
        expected=f"a family out of: {', '.join(sorted(_GROUPS))}",
        do="Correct the instance type.",
    )


def vcpu_use(types: Sequence[NodeType], nodes: npt.ArrayLike) -> dict[str, Floats]:
    """Return the vCPUs that a fleet takes of each family group's quota.

    Formula: ``sum over types of nodes * vcpu`` within each group. On-demand reservations count
    too, used or not: pass them among the nodes.

    Parameters
    ----------
    types
        T instance types.
    nodes
        Nodes of each type at once, surge and replacement included, shape (..., T) [nodes].

    Returns
    -------
    dict
        Group (see :func:`quota_group`) to vCPUs, shape (...) [vCPU].

    Examples
    --------
    >>> from capmodel.catalog import Catalog
    >>> of = Catalog.builtin().node_type
    >>> use = vcpu_use([of("m6i.4xlarge"), of("c7g.large")], [[10, 4], [20, 0]])
    >>> {group: vcpu.tolist() for group, vcpu in use.items()}
    {'standard': [168.0, 320.0]}
    """
    counts = np.asarray(nodes, dtype=np.float64)
    require(
        counts.ndim > 0 and counts.shape[-1] == len(types) and bool(np.all(counts >= 0)),
        "nodes",
        f"shape {counts.shape} for {len(types)} types",
        "one count of at least 0 for each type along the last axis",
    )
    use: dict[str, Floats] = {}
    for index, node in enumerate(types):
        group = quota_group(node.name)
        use[group] = np.asarray(use.get(group, 0.0) + counts[..., index] * node.vcpu)
    return use


def nat_connections(
    new_per_s: npt.ArrayLike, *, holding_s: npt.ArrayLike, linger_s: npt.ArrayLike = 0.0
) -> Floats:
    """Return the connections that a NAT gateway holds at once to one destination.

    Formula (Little's law): ``new connections per s * (holding + linger)``. A connection keeps its
    port while it is open and until the gateway lets go: after TIME_WAIT, or idle for 350 s where
    nobody closes it. Connections kept open and reused count once, so pools cut `new_per_s`.

    Parameters
    ----------
    new_per_s
        New connections per second to one destination (address, port and protocol) [1/s].
    holding_s, linger_s
        Time open, and time the port stays taken afterwards [s]; broadcast together.

    References
    ----------
    Amazon VPC user guide, "NAT gateways": 55,000 connections to a unique destination per address.

    Examples
    --------
    >>> float(nat_connections(900, holding_s=1.0, linger_s=60.0))
    54900.0
    """
    rate, held, rest = (
        np.asarray(values, dtype=np.float64) for values in (new_per_s, holding_s, linger_s)
    )
    lowest = min(float(np.min(values, initial=0.0)) for values in (rate, held, rest))
    require(lowest >= 0, "NAT connections", lowest, "rates and times of at least 0")
    return np.asarray(rate * (held + rest))


def nat_addresses(connections: npt.ArrayLike, *, per_address: float = NAT_CONNECTIONS) -> Floats:
    """Return the NAT addresses that hold the connections to one destination.

    Formula: ``ceil(connections / per_address)``, at least 1. A gateway carries up to 8 addresses,
    see ``nat_addresses_max`` in the catalog's limits; more than that takes another gateway.

    Parameters
    ----------
    connections
        Connections at once to one destination through all gateways, any shape.
    per_address
        Connections per address [connections].

    Examples
    --------
    >>> nat_addresses([0, 55_000, 55_001, 600_000]).tolist()
    [1.0, 1.0, 2.0, 11.0]
    """
    require(per_address > 0, "per_address", per_address, "more than 0")
    needed = ceil_units(np.asarray(connections, dtype=np.float64) / per_address)
    return np.asarray(np.maximum(needed, 1.0))


def resolver_packets(
    lookups_per_s: npt.ArrayLike,
    *,
    dots: int,
    search_domains: int,
    ndots: int = 5,
    record_types: int = 2,
    interfaces: npt.ArrayLike = 1,
) -> Floats:
    """Return the packets per second that each network interface sends to the VPC's resolver.

    Formula: ``lookups * names * record_types / interfaces``. A name with fewer dots than `ndots` is
    tried with each search domain before it is tried as it stands: ``names = search_domains + 1``,
    else 1. IPv4 and IPv6 are asked for one by one (`record_types` 2).

    Parameters
    ----------
    lookups_per_s
        Lookups that no cache answers, of names outside the search domains, any shape [1/s].
    dots
        Dots in the name: ``api.partner.com`` has 2.
    search_domains
        Search domains whose queries reach the resolver: those of the cluster itself end at the
        cluster's DNS, the VPC's own domain does not.
    ndots
        Of the pod's resolver configuration: 5 in Kubernetes; 0 for a name that ends in a dot.
    record_types
        Queries per name.
    interfaces
        Interfaces that the lookups leave through: those of the nodes that run the cluster's DNS.

    References
    ----------
    resolv.conf(5), options `ndots` and `search`; Kubernetes documentation, *DNS for Services and
    Pods*; Amazon VPC user guide, "Amazon VPC quotas": 1,024 packets per second and interface.

    Examples
    --------
    >>> float(resolver_packets(300, dots=2, search_domains=1))
    1200.0
    >>> float(resolver_packets(300, dots=2, search_domains=1, ndots=0, interfaces=2))
    300.0
    """
    least = min(dots, search_domains, ndots)
    require(least >= 0, "dots, search_domains, ndots", least, "at least 0")
    require(record_types >= 1, "record_types", record_types, "at least 1")
    shared = np.asarray(interfaces, dtype=np.float64)
    require(bool(np.all(shared > 0)), "interfaces", interfaces, "more than 0")
    names = search_domains + 1 if dots < ndots else 1
    lookups = np.asarray(lookups_per_s, dtype=np.float64)
    return np.asarray(lookups * names * record_types / shared)


def load_balancer_targets(
    mode: Literal["ip", "instance"],
    *,
    pods: npt.ArrayLike,
    nodes: npt.ArrayLike,
    target_groups: int = 1,
    surge: float = 0.0,
) -> Floats:
    """Return the targets that a load balancer holds.

    Formula: ``ip`` ``ceil(pods * (1 + surge)) * target_groups``, for old and new pods are targets
    at once; ``instance`` ``nodes * target_groups``, for every node is a target of every group.

    Parameters
    ----------
    mode
        What is registered: the pods' addresses or the nodes.
    pods, nodes
        Pods behind the balancer and nodes of the cluster, any shape.
    target_groups
        Groups that register the same pods or nodes.
    surge
        Extra pods of a rollout [ratio of replicas].

    References
    ----------
    aws-eks-best-practices, loadbalancing.adoc; limits: ``alb_targets, nlb_targets_per_zone``.

    Examples
    --------
    >>> float(load_balancer_targets("ip", pods=900, nodes=40, surge=0.25))
    1125.0
    >>> float(load_balancer_targets("instance", pods=900, nodes=40, target_groups=3))
    120.0
    """
    require(mode in {"ip", "instance"}, "target mode", f'"{mode}"', '"ip" or "instance"')
    require(target_groups >= 1, "target_groups", target_groups, "at least 1")
    if mode == "ip":
        return np.asarray(surge_pods(pods, surge=surge) * target_groups)
    return np.asarray(np.asarray(nodes, dtype=np.float64) * target_groups)
