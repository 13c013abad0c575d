"""Future-dated capacity reservations (ODCR) of the order book, one per pool and zone.

This module answers: with which arguments is `create-capacity-reservation` called, and between which
days? The count comes on top of what runs, as AWS delivers a future-dated reservation.

References
----------
botocore 1.44.5, EC2 2016-11-15, CreateCapacityReservationRequest: a future-dated reservation is
`targeted` and `incremental`, holds 32 vCPU or more of the families C, M, R, I, T and G, 1 to 1,000
instances, starts 5 to 120 days ahead, and does not end within its commitment (in seconds).
"""

from __future__ import annotations

import csv
import datetime as dt
import io
import json
from collections.abc import Mapping
from string import ascii_lowercase
from typing import TYPE_CHECKING, Any, Final
from zoneinfo import ZoneInfo

from capmodel import documents
from capmodel.catalog import Catalog
from capmodel.exports.names import ExportNames
from capmodel.exports.nodes import node_type, per_zone, zones_of
from capmodel.exports.result import Exported, ExportFile, LeftOut, PlanView, whole

if TYPE_CHECKING:
    from capmodel.plan import PlanSet

__all__ = ["ODCR", "capacity_reservations", "local_midnight"]

ODCR: Final = "capacity reservation"
FAMILIES: Final = ("c", "m", "r", "i", "t", "g")
MOST_INSTANCES: Final = 1000
"""Of one request."""
_COLUMNS: Final = (
    "order", "pool", "request_opens", "recommended_by", "latest_by", "InstanceType",
    "InstancePlatform", "AvailabilityZone", "InstanceCount", "StartDate", "EndDateType", "EndDate",
    "InstanceMatchCriteria", "CommitmentDuration", "DeliveryPreference",
)  # fmt: skip


def capacity_reservations(
    plan: PlanSet | PlanView, names: ExportNames | None = None, *, catalog: Catalog | None = None
) -> Exported:
    """Return the reservations of the plan's node orders, as JSON arguments and as CSV.

    Each zone gets ``ceil(count / zones)`` instances, from the start of the day on which capacity
    must be in place to the end of the season, and no shorter than the commitment.

    Parameters
    ----------
    plan
        The plan; its frames `orders` and `nodes`, and the lead times that it was made with.
    names
        The zones to reserve in.
    catalog
        Shapes of instance types; None: the built-in catalog.

    Raises
    ------
    InputError
        Where fewer zones are named than a pool spans.
    """
    view, names = PlanView.of(plan), names or ExportNames()
    catalog = catalog or Catalog.builtin()
    pools = {row["pool"]: row for row in view.rows("nodes")}
    zones = zones_of(list(pools.values()), names)
    entries: list[dict[str, Any]] = []
    left: list[LeftOut] = []
    for order in view.rows("orders"):
        if order["kind"] != "nodes":
            continue
        pool = pools[order["item"]]
        reason = _refusal(view, order, (pool, zones[order["item"]]), catalog)
        if reason:
            left.append(LeftOut(ODCR, order["id"], reason))
        else:
            entries += _entries(view, order, pool["instance_type"], zones[order["item"]])
    return Exported(tuple(_files(entries)), tuple(left))


def _refusal(
    view: PlanView,
    order: Mapping[str, Any],
    where: tuple[Mapping[str, Any], tuple[str, ...]],
    catalog: Catalog,
) -> str:
    """Return why an order cannot be reserved, '' where it can."""
    pool, zones = where
    if _placed(order) and not _left(order):
        return f"{order['state'].replace('_', ' ')} on {order['state_on']} already"
    if order.get("match") == "open":
        return (
            f"EC2 dates ahead only targeted reservations; reserve {whole(order['reserve_total'])} "
            f"open ones at once on {order['in_place_by']}, which guarantees nothing until then"
        )
    if not order["request_opens"]:
        return f"{order['action']}: {order['reason']}"
    if view.as_of > dt.date.fromisoformat(order["latest_by"]):
        return f"overdue since {order['latest_by']}; {order['fallback']}"
    if not zones:
        return "no zone is named, and a reservation holds in one zone"
    least = int(view.meta["orders_policy"]["nodes"]["min_vcpu"])
    return _size_refusal(pool["instance_type"], order, len(zones), (least, catalog))


def _placed(order: Mapping[str, Any]) -> bool:
    """Return whether something was asked for already."""
    return order.get("state", "planned") not in {"planned", "cancelled"}


def _left(order: Mapping[str, Any]) -> int:
    """Return how many instances are still to be reserved."""
    count = whole(order["count"]) or 0
    if not _placed(order):
        return count
    placed = whole(order.get("placed_count"))
    return 0 if placed is None else count - placed


def _size_refusal(
    kind: str, order: Mapping[str, Any], zones: int, rules: tuple[int, Catalog]
) -> str:
    least, catalog = rules
    if kind[: len(kind) - len(kind.lstrip(ascii_lowercase))] not in FAMILIES:
        return f"{kind} is of no family that AWS reserves ahead ({', '.join(FAMILIES)})"
    node = node_type(catalog, kind)
    if node is None:
        return f"{kind} is not in the catalog: its vCPU are not known"
    each = per_zone(_left(order), zones)
    if each * node.vcpu < least:
        return (
            f"{each} {kind} in each of {zones} zones are {each * node.vcpu} vCPU; "
            f"the smallest reservation is {least}"
        )
    if each > MOST_INSTANCES:
        return f"{each} instances in a zone; one request holds {MOST_INSTANCES} at most: split it"
    return ""


def _entries(
    view: PlanView, order: Mapping[str, Any], instance_type: str, zones: tuple[str, ...]
) -> list[dict[str, Any]]:
    start = local_midnight(order["in_place_by"], view.business_tz)
    commitment = dt.timedelta(days=int(view.meta["orders_policy"]["nodes"]["min_term_days"]))
    end = max(local_midnight(view.season[1], view.business_tz), start + commitment)
    count = _left(order)
    dates = {day: order[day] for day in ("request_opens", "recommended_by", "latest_by")}
    return [
        {
            "order": order["id"],
            "pool": order["item"],
            **dates,
            "arguments": {
                "InstanceType": instance_type,
                "InstancePlatform": "Linux/UNIX",
                "AvailabilityZone": zone,
                "InstanceCount": per_zone(count, len(zones)),
                "StartDate": _utc(start),
                "EndDateType": "limited",
                "EndDate": _utc(end),
                "InstanceMatchCriteria": "targeted",
                "CommitmentDuration": int(commitment.total_seconds()),
                "DeliveryPreference": "incremental",
                # The same request of the same plan is one reservation, however often it is sent.
                "ClientToken": documents.sha256_hex(f"{view.hash} {order['id']} {zone}"),
                "TagSpecifications": [
                    {
                        "ResourceType": "capacity-reservation",
                        "Tags": [{"Key": "capmodel/plan-hash", "Value": view.hash}],
                    }
                ],
            },
        }
        for zone in zones
    ]


def _files(entries: list[dict[str, Any]]) -> list[ExportFile]:
    if not entries:
        return []
    table = io.StringIO()
    writer = csv.DictWriter(table, _COLUMNS, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows({**entry, **entry["arguments"]} for entry in entries)
    what = f"{len(entries)} capacity reservations, each with the days to ask for it"
    loop = (
        "jq -c '.[].arguments' {file} | while read -r one; "
        'do aws ec2 create-capacity-reservation --cli-input-json "$one"; done'
    )
    return [
        ExportFile(
            name="aws/capacity_reservations.json",
            text=json.dumps(entries, indent=2, ensure_ascii=False) + "\n",
            what=what,
            apply=loop,
        ),
        ExportFile(
            name="aws/capacity_reservations.csv",
            text=table.getvalue(),
            what=f"{what}, to read",
            apply="",
        ),
    ]


def local_midnight(day: str, business_tz: str) -> dt.datetime:
    """Return the first instant of a local day.

    Examples
    --------
    >>> local_midnight("2026-11-20", "America/New_York").astimezone(dt.UTC).isoformat()
    '2026-11-20T05:00:00+00:00'
    """
    midnight = dt.datetime.fromisoformat(day).replace(tzinfo=ZoneInfo(business_tz))
    return midnight.astimezone(dt.UTC)


def _utc(instant: dt.datetime) -> str:
    return instant.strftime("%Y-%m-%dT%H:%M:%S.000Z")
