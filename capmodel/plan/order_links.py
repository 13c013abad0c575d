"""Which orders wait for which others, and what an account's vCPU quota has to do with nodes.

This module answers: which limit must be raised before a pool's nodes can be reserved, does the
account's vCPU quota hold them, and which orders could an estate ask for at all?
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from capmodel.catalog import Quotas

if TYPE_CHECKING:
    from capmodel.orders import Kind, Order
    from capmodel.plan.make import Solved

__all__ = [
    "VCPU_QUOTA",
    "AccountVcpu",
    "account_vcpu",
    "could_be_ordered",
    "prerequisites",
    "quota_note",
]

VCPU_QUOTA: Final = "ec2.on_demand_vcpu_standard"
"""Running vCPU of the standard families that an account may have in a region."""
_STANDARD: Final = frozenset("acdhimrtz")
"""First letters of these families (Amazon EC2 User Guide, On-Demand Instance quotas)."""


@dataclass(frozen=True, slots=True)
class AccountVcpu:
    """The account's vCPU quota beside what the plan's nodes take."""

    needed: float
    """All nodes of the standard families once everything is ordered [vCPU]."""
    granted: float | None
    """What the study's own row of limits says [vCPU]; None: only the provider's default is known,
    which says nothing of an account that runs more."""
    lead_days: int


def account_vcpu(solved: Solved, nodes: Mapping[str, int]) -> AccountVcpu | None:
    """Return the vCPU quota beside the nodes; None where the topology declares it as a limit."""
    request = solved.request
    if any(limit.quota == VCPU_QUOTA for limit in solved.estate.topology.limits.values()):
        return None
    service, _, name = VCPU_QUOTA.rpartition(".")
    row = request.quotas.get(name, service=service)
    builtin = Quotas.builtin(request.quotas.region).get(name, service=service)
    needed = sum(
        count * request.catalog.node_type(solved.estate.nodes[pool].instance_type).vcpu
        for pool, count in nodes.items()
        if _is_standard(solved.estate.nodes[pool].instance_type)
    )
    return AccountVcpu(
        needed=float(needed),
        granted=None if row == builtin else row.value,
        lead_days=row.lead_days or 0,
    )


def _is_standard(instance_type: str) -> bool:
    return instance_type[:1] in _STANDARD


def quota_note(solved: Solved, pool: str, account: AccountVcpu | None) -> str:
    """Return that a pool's vCPU quota is not known, '' where it is."""
    if not _is_standard(solved.estate.nodes[pool].instance_type) or _counting(solved, pool):
        return ""
    if account is None or account.granted is not None:
        return ""
    return f"; the account's vCPU quota is not declared ({VCPU_QUOTA})"


def _counting(solved: Solved, pool: str) -> list[str]:
    """Return the declared limits that count a pool's nodes."""
    return [n for n, limit in solved.estate.topology.limits.items() if pool in limit.per_node]


def prerequisites(
    solved: Solved, orders: Sequence[Order], could_be: Mapping[str, Kind]
) -> dict[str, tuple[str, ...]]:
    """Return by order what must be done before it: quotas before the nodes that they count.

    What the study states is added; a link to what could be ordered and is not needed now is none.
    """
    policy = solved.request.orders
    book = {order.id for order in orders}
    before: dict[str, dict[str, None]] = {}
    for order in orders:
        if order.kind == "nodes" and order.item in solved.estate.nodes:
            quotas = [*_counting(solved, order.item), order.item]
            if _is_standard(solved.estate.nodes[order.item].instance_type):
                quotas.append(VCPU_QUOTA)
            found = [f"quota:{name}" for name in quotas if f"quota:{name}" in book]
            before[order.id] = dict.fromkeys(found)
    said = [*policy.depends_on.items(), *((one.id, one.depends_on) for one in policy.declared)]
    for dependant, names in said:
        if dependant in could_be and dependant not in book:
            continue
        wanted = [n for n in names if n in book or n not in could_be]
        before.setdefault(dependant, {}).update(dict.fromkeys(wanted))
    return {name: tuple(names) for name, names in before.items() if names}


def could_be_ordered(solved: Solved) -> dict[str, Kind]:
    """Return every id that the plan of this estate could order, with its kind."""
    topology = solved.estate.topology
    found: dict[str, Kind] = {f"nodes:{pool}": "nodes" for pool in topology.pools}
    found[f"quota:{VCPU_QUOTA}"] = "quota"
    for name in (*topology.externals, *topology.limits, *topology.pools):
        found[f"quota:{name}"] = "quota"
    for service in topology.services:
        found[f"config:{service}:replicas.max"] = "config"
    for name, database in topology.databases.items():
        found[f"db_class:{name}"] = "db_class"
        found[f"config:{name}:readers"] = "config"
        found[f"config:{name}:storage gib"] = "storage"
        found[f"config:{name}:storage max_gib"] = "config"
        for service in database.used_by:
            found[f"config:{service}:pool_max:{name}"] = "config"
    return found
