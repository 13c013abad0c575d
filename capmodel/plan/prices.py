"""Prices as scenarios assume them: the catalog's rows, or what a scenario puts in their place.

This module answers: what does a node type or a database class cost under a scenario, and in the
mixture, whose price is the mean over scenarios by their probability? What is ordered is the
mixture's, so everything but a scenario's own bill counts with the mixture's prices.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from types import MappingProxyType
from typing import TYPE_CHECKING

from capmodel.catalog import Catalog, DbClass, NodeType

if TYPE_CHECKING:
    from capmodel.plan.make import Solved
    from capmodel.plan.request import PlanRequest

__all__ = ["Prices", "class_in", "node_in", "priced"]

Row = NodeType | DbClass
Key = tuple[str, str, str, str]


@dataclass(frozen=True, slots=True, eq=False)
class Prices:
    """The catalog as it was given, and what scenarios say instead."""

    given: Catalog
    rows: Mapping[tuple[str, Key], Row]
    """(scenario, key of the catalog) to the row at the scenario's price."""


def priced(request: PlanRequest) -> tuple[Catalog, Prices]:
    """Return the catalog at the mixture's prices, and what is behind them.

    ``price = sum of probability * the scenario's price``; a row that no scenario changes stays.
    """
    catalog, named = request.catalog, {p.type for s in request.scenarios for p in s.price}
    if not named:
        return catalog, Prices(catalog, {})
    rows, found = dict(catalog.rows), dict[tuple[str, Key], Row]()
    for key, row in catalog.rows.items():
        if key[0] != catalog.region or key[3] not in named:
            continue
        by_scenario = [_under(request, row, s) for s in request.names]
        found |= {(s, key): one for s, one in zip(request.names, by_scenario, strict=True)}
        rows[key] = _mean(by_scenario, request.weights.tolist())
    return replace(catalog, rows=MappingProxyType(rows)), Prices(catalog, found)


def _under(request: PlanRequest, row: Row, scenario: str) -> Row:
    """Return a row at a scenario's price, itself where it states none."""
    (spec,) = (s for s in request.scenarios if s.name == scenario)
    for price in spec.price:
        if price.type == row.name:
            usd = price.of(row.price_usd_per_hour)
            source = price.source
            return replace(row, price_usd_per_hour=usd, as_of=price.as_of, source=source)
    return row


def _mean(rows: list[Row], weights: list[float]) -> Row:
    """Return a row at the mean price; dates and sources are those of the newest, and of all."""
    prices = [row.price_usd_per_hour for row in rows]
    usd = prices[0]
    if len(set(prices)) > 1:
        shares = [Decimal(repr(weight)) for weight in weights]
        usd = sum((s * p for s, p in zip(shares, prices, strict=True)), Decimal(0)) / sum(shares)
    newest = max(row.as_of for row in rows)
    sources = "; ".join(dict.fromkeys(sorted(row.source for row in rows)))
    return replace(rows[0], price_usd_per_hour=usd, as_of=newest, source=sources)


def node_in(solved: Solved, scenario: str, name: str) -> NodeType:
    """Return an instance type at the price of a scenario, or of the mixture."""
    row = solved.request.catalog.node_type(name)
    found = solved.prices.rows.get((scenario, row.key), row)
    return found if isinstance(found, NodeType) else row


def class_in(solved: Solved, scenario: str, row: DbClass) -> DbClass:
    """Return a database class at the price of a scenario, or of the mixture."""
    found = solved.prices.rows.get((scenario, row.key), row)
    return found if isinstance(found, DbClass) else row
