"""How to buy the plan: months, commitments, reservations, unit cost and levers, under the cost.

This module answers: which of the plan's frames on purchase are shown, in which order, under which
titles? A plan without them shows nothing here.
"""

from __future__ import annotations

from typing import Final

from capmodel.report.views import Block, Column, Material, Note, table

__all__ = ["purchase_blocks"]

_KINDS: Final = {
    "reserved": "Reserved instances",
    "instance_sp": "EC2 Instance SP",
    "compute_sp": "Compute SP",
    "database_sp": "Database SP",
}


def purchase_blocks(material: Material) -> list[Block]:
    """Return the tables of what a plan holds on how it is bought."""
    return [
        *_months(material),
        *_commitments(material),
        *_term(material),
        *_reservations(material),
        *_unit_cost(material),
        *_levers(material),
    ]


def _months(material: Material) -> list[Block]:
    frame = material.frame("cost_month")
    if frame.empty:
        return []
    columns = (
        Column("scenario", "Scenario"),
        Column("window", "Month"),
        Column("probability", "Probability", "ratio"),
        Column("on_demand_usd", "On demand", "usd", "USD"),
        Column("spot_usd", "Spot", "usd", "USD"),
        Column("existing_usd", "Existing commitments", "usd", "USD"),
        Column("usd", "Cost, mean", "usd", "USD"),
        Column("usd_p50", "P50", "usd", "USD"),
        Column("usd_p90", "P90", "usd", "USD"),
        Column("saving_usd", "Proposed would save", "usd", "USD"),
        Column("comparable_yoy_x", "Demand on the year, by event", "x"),
        Column("calendar_yoy_x", "by the calendar", "x"),
    )
    shown = table(frame, columns, caption="Cost by scenario and local month", name="cost_month")
    said = (
        "In the season stands what the scenario, or the mixture, orders; outside it nodes follow "
        "the autoscaler hour by hour. Commitments that exist are paid until they end."
    )
    return [shown, Note(said)]


def _commitments(material: Material) -> list[Block]:
    frame = material.frame("commitments")
    if frame.empty:
        return []
    columns = (
        Column("kind", "Kind"),
        Column("years", "Years", "count"),
        Column("payment", "Payment", "name"),
        Column("scope", "Of", "code"),
        Column("status", "Status", "status"),
        Column("discount", "Discount", "ratio"),
        Column("usage_usd_per_hour", "Eligible usage", "price", "USD/h"),
        Column("existing_usd_per_hour", "Covered by existing", "price", "USD/h"),
        Column("covers_usd_per_hour", "To cover", "price", "USD/h"),
        Column("pays_usd_per_hour", "To commit", "price", "USD/h"),
        Column("saving_usd", "Saves over the term", "usd", "USD"),
        Column("waste_usd", "Paid and unused", "usd", "USD"),
        Column("regret_usd", "Regret at 20 % less", "usd", "USD"),
        Column("basis", "Basis"),
        Column("as_of", "Discount of", "date"),
        Column("source", "Source"),
        Column("reason", "Note"),
    )
    caption = "Commitments beyond those that exist, in the order of their decision"
    named = frame.assign(kind=[_KINDS.get(str(kind), str(kind)) for kind in frame["kind"]])
    return [table(named, columns, caption=caption, name="commitments")]


def _term(material: Material) -> list[Block]:
    frame = material.frame("cost_term")
    if frame.empty:
        return []
    columns = (
        Column("component", "Part", "code"),
        Column("kind", "Paid as", "name"),
        Column("usd", "Year", "usd", "USD"),
        Column("usd_p50", "P50", "usd", "USD"),
        Column("usd_p90", "P90", "usd", "USD"),
    )
    start, end = frame["start"].iloc[0], frame["end"].iloc[0]
    caption = f"A year's bill with the proposed commitments, {start} to {end}"
    return [table(frame, columns, caption=caption, name="cost_term")]


def _reservations(material: Material) -> list[Block]:
    frame = material.frame("reservations")
    if frame.empty:
        return []
    columns = (
        Column("pool", "Pool", "code"),
        Column("instance_type", "Type", "code"),
        Column("zone", "Zone"),
        Column("count", "Count", "count"),
        Column("start", "From", "date"),
        Column("end", "Until", "date"),
        Column("quantile", "Suffices on", "ratio"),
        Column("usd", "Cost", "usd", "USD"),
        Column("idle_share", "Idle", "ratio"),
        Column("idle_usd", "Paid for idleness", "usd", "USD"),
        Column("discount_usd", "Discounts on that", "usd", "USD"),
        Column("idle_net_usd", "Price of idleness", "usd", "USD"),
        Column("status", "Status", "status"),
        Column("reason", "Note"),
    )
    caption = "Capacity to reserve beyond today's nodes"
    return [table(frame, columns, caption=caption, name="reservations")]


def _unit_cost(material: Material) -> list[Block]:
    frame = material.deciding("unit_cost")
    if frame.empty:
        return []
    columns = (
        Column("window", "Month"),
        Column("driver", "Driver", "code"),
        Column("units_thousand", "Thousands", "count"),
        Column("usd", "Cost", "usd", "USD"),
        Column("usd_per_1k", "USD per thousand", "price", "USD"),
        Column("reason", "Note"),
    )
    scenario = frame["scenario"].iloc[0]
    return [table(frame, columns, caption=f"Unit cost, {scenario}", name="unit_cost")]


def _levers(material: Material) -> list[Block]:
    frame = material.frame("levers")
    if frame.empty:
        return []
    columns = (
        Column("lever", "Lever"),
        Column("item", "Of", "code"),
        Column("usd", "Saves", "usd", "USD"),
        Column("per", "per"),
        Column("applied", "Applied", "flag"),
        Column("basis", "Basis"),
        Column("evidence", "Evidence"),
    )
    shown = table(frame, columns, caption="Levers, each taken alone", name="levers")
    return [shown, Note("Levers act on the same bill: they overlap, and have no total.")]
