"""Dates: by when capacity must be asked for, so that it stands before the event."""

from __future__ import annotations

from capmodel.orders.book import (
    ORDER_COLUMNS,
    ConfigRequest,
    DbRequest,
    NodeRequest,
    Order,
    QuotaRequest,
    config_order,
    db_order,
    node_order,
    order_book,
    quota_order,
)
from capmodel.orders.looks import Looks, look_dates
from capmodel.orders.rules import (
    Action,
    DbClassLead,
    Freeze,
    InPlace,
    NodeLead,
    OrdersPolicy,
    in_place_by,
    request_by,
)

__all__ = [
    "ORDER_COLUMNS",
    "Action",
    "ConfigRequest",
    "DbClassLead",
    "DbRequest",
    "Freeze",
    "InPlace",
    "Looks",
    "NodeLead",
    "NodeRequest",
    "Order",
    "OrdersPolicy",
    "QuotaRequest",
    "config_order",
    "db_order",
    "in_place_by",
    "look_dates",
    "node_order",
    "order_book",
    "quota_order",
    "request_by",
]
