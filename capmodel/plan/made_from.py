"""What a plan was made from, in its own record: prices, calendar and the age of each input.

This module answers: which rows of the catalog and which events did this plan rest on, and up to
which day did each input reach? It says what was, and judges nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from datetime import date, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import numpy as np

from capmodel.catalog import Catalog
from capmodel.documents import canonical_json, sha256_hex
from capmodel.plan.equip import quota_of
from capmodel.plan.observations import digest_of, digest_of_rows

if TYPE_CHECKING:
    import pandas as pd

    from capmodel.events import Events
    from capmodel.history import History
    from capmodel.plan.make import Solved
    from capmodel.topology import Topology

__all__ = ["catalog_record", "events_digest", "input_days", "input_digests", "with_recorded_rows"]

LOAD_TEST = "load_test"


def input_days(history: History, fine: History | None) -> dict[str, date]:
    """Return the last local day of history, fine history, and rows tagged as a load test."""
    given = {"history": history} | ({} if fine is None else {"fine": fine})
    found = {name: _local_day(one.end, one.business_tz) for name, one in given.items()}
    tested = [
        _local_day(one.axis.start + one.axis.step * (int(steps[-1]) + 1), one.business_tz)
        for one in given.values()
        if LOAD_TEST in one.tags
        and len(steps := np.flatnonzero(np.asarray(one.tags[LOAD_TEST]).any(axis=0)))
    ]
    return found | ({"load_tests": max(tested)} if tested else {})


def _local_day(end: np.datetime64, business_tz: str) -> date:
    """Return the local date of the second before a moment."""
    last = end.astype("datetime64[s]").item() - timedelta(seconds=1)
    local: date = last.replace(tzinfo=ZoneInfo("UTC")).astimezone(ZoneInfo(business_tz)).date()
    return local


def input_digests(
    history: History,
    fine: History | None,
    observations: pd.DataFrame | None,
    units: pd.DataFrame | None,
) -> dict[str, str]:
    """Return the digest of each input that was given."""
    given = {
        "history": history.digest(),
        "fine": None if fine is None else fine.digest(),
        "observations": None if observations is None else digest_of(observations),
        "units": None if units is None else digest_of_rows(units),
    }
    return {name: digest for name, digest in given.items() if digest is not None}


def events_digest(events: Events) -> str:
    """Return the digest of a calendar: names, dates and hours of its days."""
    days = [(d.name, d.date.isoformat(), d.tag, d.start_hour, d.end_hour) for d in events.days]
    return sha256_hex(canonical_json(days))


def catalog_record(solved: Solved) -> dict[str, Any]:
    """Return the region, the rows that pools and databases may be sized with, the quotas used."""
    request, topology = solved.request, solved.estate.topology
    catalog = solved.prices.given
    quotas = (quota_of(topology, request.quotas, name) for name in topology.limits)
    return {
        "region": catalog.region,
        "rows": _rows(catalog, topology),
        "quotas": {f"{one.service} {one.name}": one.value for one in quotas if one is not None},
    }


def _rows(catalog: Catalog, topology: Topology) -> dict[str, dict[str, Any]]:
    rows = {
        kind: catalog.node_type(kind) for pool in topology.pools.values() for kind in pool.types
    }
    classes = {
        f"{one.engine} {row.name}": row
        for one in topology.databases.values()
        for row in catalog.db_ladder(one.engine, one.db_class)
    }
    return {
        name: {
            field: str(value) if isinstance(value, Decimal | date) else value
            for field, value in asdict(row).items()
        }
        for name, row in (rows | classes).items()
    }


def with_recorded_rows(catalog: Catalog, record: Mapping[str, Any]) -> Catalog:
    """Return a catalog whose rows hold what a plan's record says of them."""
    recorded = {
        (one["region"], one.get("engine", ""), one["name"]): one for one in record["rows"].values()
    }
    rows = dict(catalog.rows)
    for key, row in catalog.rows.items():
        fields = recorded.get((key[0], key[2], key[3]))
        if fields is not None:
            rows[key] = replace(
                row,
                **{
                    **fields,
                    "price_usd_per_hour": Decimal(fields["price_usd_per_hour"]),
                    "as_of": date.fromisoformat(fields["as_of"]),
                },
            )
    return Catalog(region=catalog.region, rows=rows)
