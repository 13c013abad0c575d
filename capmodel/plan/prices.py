"""Prices as a scenario assumes them: the catalog's row, or what the scenario puts in its place.

This module answers: what does a node type or a database class cost under a scenario, and in the
mixture, whose price is the mean over scenarios by their probability?
"""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING, TypeVar

from capmodel.catalog import DbClass, NodeType
from capmodel.plan.frames_limits import MIXTURE

if TYPE_CHECKING:
    from capmodel.plan.make import Solved

__all__ = ["assumed_price", "class_in", "node_in"]

Priced = TypeVar("Priced", NodeType, DbClass)


def node_in(solved: Solved, scenario: str, name: str) -> NodeType:
    """Return an instance type at the price of a scenario, or of the mixture."""
    return assumed_price(solved, scenario, solved.request.catalog.node_type(name))


def class_in(solved: Solved, scenario: str, row: DbClass) -> DbClass:
    """Return a database class at the price of a scenario, or of the mixture."""
    return assumed_price(solved, scenario, row)


def assumed_price(solved: Solved, scenario: str, row: Priced) -> Priced:
    """Return a catalog row at the price of a scenario (or the mixture), itself where none is."""
    request = solved.request
    stated = [
        (float(weight), change)
        for one, weight in zip(request.scenarios, request.weights, strict=True)
        if scenario in {one.name, MIXTURE}
        for change in one.price
        if change.type == row.name
    ]
    if not stated:
        return row
    changes = [change for _, change in stated]
    prices = {change.of(row.price_usd_per_hour) for change in changes}
    price = prices.pop()
    if prices or (scenario == MIXTURE and len(stated) < len(request.scenarios)):
        shares = [(Decimal(repr(w)), change.of(row.price_usd_per_hour)) for w, change in stated]
        rest = Decimal(1) - sum(share for share, _ in shares)
        price = rest * row.price_usd_per_hour + sum(share * usd for share, usd in shares)
    return replace(
        row,
        price_usd_per_hour=price,
        as_of=max(change.as_of for change in changes),
        source="; ".join(sorted({change.source for change in changes})),
    )
