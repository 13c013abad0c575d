"""What a purchase policy asks of the rest of a plan: names that exist, dates and sizes that can be.

This module answers: does the policy name pools, types and roots that the plan knows, do its terms
begin inside the horizon, and is every reservation large enough to be one?
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import date
from typing import TYPE_CHECKING

from capmodel.errors import InputError, Problem, nearest

if TYPE_CHECKING:
    from capmodel.catalog import Catalog
    from capmodel.commitments import Existing, PurchasePolicy
    from capmodel.orders import OrdersPolicy
    from capmodel.plan.model import CapacityFit
    from capmodel.topology import Topology

__all__ = ["net_of_negotiation", "purchase_problems"]


def net_of_negotiation(catalog: Catalog, purchase: PurchasePolicy) -> Catalog:
    """Return the catalog with every price less by the negotiated discount, where there is one."""
    agreed = purchase.negotiated
    if agreed is None:
        return catalog
    return catalog.negotiated(agreed.discount, as_of=agreed.as_of, source=agreed.source)


def purchase_problems(
    purchase: PurchasePolicy,
    fit: CapacityFit,
    catalog: Catalog,
    *,
    orders: OrdersPolicy,
    start: date,
) -> list[Problem]:
    """Return what a policy names or asks that the rest of the plan does not bear."""
    topology = fit.topology
    problems = [
        *_unknown("spot", purchase.spot, topology.pools),
        *_unknown("reserve", purchase.reserve, topology.pools),
        *_too_small(purchase, topology, catalog, least=orders.nodes.min_vcpu),
    ]
    if purchase.unit_of is not None:
        problems += _unknown("unit_of", [purchase.unit_of], fit.roots)
    if purchase.start is not None and purchase.start < start:
        problems.append(
            Problem(
                where="purchase.start",
                got=f"{purchase.start}, before the horizon's start {start}",
                expected="a day on which demand is forecast",
                do="Begin the terms later, or the horizon earlier.",
            )
        )
    for i, row in enumerate(purchase.existing):
        problems += _not_in_catalog(row, catalog, where=f"purchase.existing.{i}.type")
    return problems


def _unknown(field: str, names: Collection[str], known: Collection[str]) -> list[Problem]:
    problems = []
    for name in names:
        if name in known:
            continue
        close = nearest(name, known)
        problems.append(
            Problem(
                where=f"purchase.{field}" if field == "unit_of" else f"purchase.{field}.{name}",
                got=f'"{name}"',
                expected=f"one of: {', '.join(known) or 'none declared'}",
                do=f'Did you mean "{close}"?' if close else "Correct the name.",
            )
        )
    return problems


def _too_small(
    purchase: PurchasePolicy, topology: Topology, catalog: Catalog, *, least: int
) -> list[Problem]:
    """Return reservations of too few cores to be made ahead."""
    problems = []
    for name, count in purchase.reserve.items():
        if name not in topology.pools:
            continue
        try:
            node = catalog.node_type(topology.pools[name].types[0])
        except InputError:
            continue  # told of the pool itself
        if count * node.vcpu < least:
            problems.append(
                Problem(
                    where=f"purchase.reserve.{name}",
                    got=f"{count} {node.name} of {node.vcpu} vCPU each, {count * node.vcpu} vCPU",
                    expected=f"{least} vCPU or more, the smallest reservation for a future date",
                    do=f"Reserve {-(-least // node.vcpu)} or more, or leave the pool out.",
                )
            )
    return problems


def _not_in_catalog(row: Existing, catalog: Catalog, *, where: str) -> list[Problem]:
    if row.kind != "reserved":
        return []
    try:
        if row.engine:
            catalog.db_class(row.engine, row.type, where=where)
        else:
            catalog.node_type(row.type, where=where)
    except InputError as error:
        return list(error.problems)
    return []
