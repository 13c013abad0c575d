"""Dated prices, shapes and limits of the cloud, and the user's overlay of them.

The built-in tables are small, dated and sourced: facts to start with, not a quote. Rows of the
user replace them by key: the cloud's own price lists and descriptions of types, what a bill says
was paid, and a CSV of one's own. Nothing is scaled from one size, engine or region to another.
"""

from __future__ import annotations

from capmodel.catalog.checking import CheckedPrice, PriceCheck
from capmodel.catalog.discounts import Discount, Discounts
from capmodel.catalog.lookup import Catalog
from capmodel.catalog.quotas import Quota, Quotas
from capmodel.catalog.rows import DbClass, NodeType
from capmodel.catalog.tables import STALE_AFTER_DAYS

__all__ = [
    "STALE_AFTER_DAYS",
    "Catalog",
    "CheckedPrice",
    "DbClass",
    "Discount",
    "Discounts",
    "NodeType",
    "PriceCheck",
    "Quota",
    "Quotas",
]
