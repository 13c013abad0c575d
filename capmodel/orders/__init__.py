"""Dates: by when capacity must be asked for, so that it stands before the event."""

from __future__ import annotations

from capmodel.orders.book import (
    ConfigRequest,
    DbRequest,
    NodeRequest,
    QuotaRequest,
    config_order,
    dates_of,
    db_order,
    node_order,
    order_book,
    quota_order,
    stated,
)
from capmodel.orders.calendar import (
    Freeze,
    PublicHolidays,
    Waiver,
    first_open_day,
    last_open_day,
    request_by,
)
from capmodel.orders.declared import declared_order
from capmodel.orders.lead_times import (
    LEAD_TIMES,
    AskDates,
    LeadTime,
    LeadTimeChange,
    RuleName,
    ask_dates,
)
from capmodel.orders.links import linked_orders
from capmodel.orders.load_tests import (
    Evidence,
    LoadTest,
    LoadTestPolicy,
    load_test_evidence,
    load_test_target,
)
from capmodel.orders.looks import Looks, look_dates
from capmodel.orders.order import ORDER_COLUMNS, Kind, Order
from capmodel.orders.placing import placed_orders, with_fallbacks
from capmodel.orders.release import Stage, release_stages
from capmodel.orders.rules import (
    DbClassLead,
    DeclaredOrder,
    Fallback,
    InPlace,
    Match,
    NodeLead,
    OrdersPolicy,
    Placed,
    QuotaAsk,
    ReleasePolicy,
    State,
    in_place_by,
    placed_at,
)
from capmodel.orders.spec import Action
from capmodel.orders.status import order_status, orders_as_of, orders_table

__all__ = [
    "LEAD_TIMES",
    "ORDER_COLUMNS",
    "Action",
    "AskDates",
    "ConfigRequest",
    "DbClassLead",
    "DbRequest",
    "DeclaredOrder",
    "Evidence",
    "Fallback",
    "Freeze",
    "InPlace",
    "Kind",
    "LeadTime",
    "LeadTimeChange",
    "LoadTest",
    "LoadTestPolicy",
    "Looks",
    "Match",
    "NodeLead",
    "NodeRequest",
    "Order",
    "OrdersPolicy",
    "Placed",
    "PublicHolidays",
    "QuotaAsk",
    "QuotaRequest",
    "ReleasePolicy",
    "RuleName",
    "Stage",
    "State",
    "Waiver",
    "ask_dates",
    "config_order",
    "dates_of",
    "db_order",
    "declared_order",
    "first_open_day",
    "in_place_by",
    "last_open_day",
    "linked_orders",
    "load_test_evidence",
    "load_test_target",
    "look_dates",
    "node_order",
    "order_book",
    "order_status",
    "orders_as_of",
    "orders_table",
    "placed_at",
    "placed_orders",
    "quota_order",
    "release_stages",
    "request_by",
    "stated",
    "with_fallbacks",
]
