"""Dated prices, shapes and limits of the cloud, and the user's overlay of them.

The built-in tables are small, dated and sourced: facts to start with, not a quote. A user's CSV
rows replace them by key. Nothing is scaled from one size, engine or region to another.
"""

from __future__ import annotations

from capmodel.catalog.discounts import Discount, Discounts
from capmodel.catalog.lookup import Catalog
from capmodel.catalog.quotas import Quota, Quotas
from capmodel.catalog.rows import DbClass, NodeType
from capmodel.catalog.tables import STALE_AFTER_DAYS

__all__ = [
    "STALE_AFTER_DAYS",
    "Catalog",
    "DbClass",
    "Discount",
    "Discounts",
    "NodeType",
    "Quota",
    "Quotas",
]
