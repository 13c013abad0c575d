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

__all__ = ["class_in", "node_in"]

Priced = TypeVar("Priced", NodeType, DbClass)


def node_in(solved: Solved, scenario: str, name: str) -> NodeType:
    """Return an instance type at the price of a scenario, or of the mixture."""
    return _priced(solved, scenario, solved.request.catalog.node_type(name))


def class_in(solved: Solved, scenario: str, row: DbClass) -> DbClass:
    """Return a database class at the price of a scenario, or of the mixture."""
    return _priced(solved, scenario, row)


def _priced(solved: Solved, scenario: str, row: Priced) -> Priced:
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
    if scenario != MIXTURE:
        (change,) = changes
        return replace(
            row,
            price_usd_per_hour=change.of(row.price_usd_per_hour),
            as_of=change.as_of,
            source=change.source,
        )
    shares = [(Decimal(repr(w)), change.of(row.price_usd_per_hour)) for w, change in stated]
    rest = Decimal(1) - sum(share for share, _ in shares)
    mean = sum(share * price for share, price in shares) + max(rest, Decimal(0)) * (
        row.price_usd_per_hour
    )
    price = {price for _, price in shares}
    alike = len(price) == 1 and len(shares) == len(request.scenarios)
    return replace(
        row,
        price_usd_per_hour=price.pop() if alike else mean,
        as_of=max(change.as_of for change in changes),
        source="; ".join(sorted({change.source for change in changes})),
    )
