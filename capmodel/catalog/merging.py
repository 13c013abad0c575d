"""Prices and shapes from files, joined with the rows of a catalog.

This module answers: which rows follow from a table, prices of one file and shapes of another, in
whatever order they were read? Nothing is guessed: a price without a shape makes no row.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from capmodel.catalog.prices import Price
from capmodel.catalog.rows import DbClass, Key, NodeType, Row
from capmodel.catalog.shapes import Shape

__all__ = ["merge"]


def merge(
    rows: Mapping[Key, Row], prices: Mapping[Key, Price], shapes: Mapping[str, Shape]
) -> tuple[dict[Key, Row], dict[Key, Price]]:
    """Return the rows with prices and shapes put in, and the prices that found no shape.

    Parameters
    ----------
    rows
        The table so far.
    prices
        They replace the price, date and source of the row with their key.
    shapes
        By name of a node type; they replace the shape of its rows in every region.
    """
    merged = {
        key: _shaped(row, shapes[row.name])
        if isinstance(row, NodeType) and row.name in shapes
        else row
        for key, row in rows.items()
    }
    unshaped: dict[Key, Price] = {}
    for key, price in prices.items():
        row = _priced(merged.get(key), price, shapes.get(key[3]))
        if row is None:
            unshaped[key] = price
        else:
            merged[key] = row
    return merged, unshaped


def _shaped(row: NodeType, shape: Shape) -> NodeType:
    return replace(
        row,
        arch=shape.arch,
        vcpu=shape.vcpu,
        memory_gib=shape.memory_gib,
        enis=shape.enis,
        ips_per_eni=shape.ips_per_eni,
        network_gbps=shape.network_gbps,
    )


def _priced(row: Row | None, price: Price, shape: Shape | None) -> Row | None:
    usd, as_of, source = price.price_usd_per_hour, price.as_of, price.source
    if row is not None:
        return replace(row, price_usd_per_hour=usd, as_of=as_of, source=source)
    region, kind, engine, name = price.key
    if kind == "node" and shape is not None:
        return NodeType(
            region=region,
            name=name,
            arch=shape.arch,
            vcpu=shape.vcpu,
            memory_gib=shape.memory_gib,
            enis=shape.enis,
            ips_per_eni=shape.ips_per_eni,
            price_usd_per_hour=usd,
            as_of=as_of,
            source=source,
            network_gbps=shape.network_gbps,
        )
    if kind == "db" and price.vcpu is not None and price.memory_gib is not None:
        return DbClass(
            region=region,
            engine=engine,
            name=name,
            vcpu=price.vcpu,
            memory_gib=price.memory_gib,
            max_connections=None,
            price_usd_per_hour=usd,
            as_of=as_of,
            source=source,
        )
    return None
