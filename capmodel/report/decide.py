"""The parts that leaders decide on: the ask, the demand behind it, and what breaks first."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import TYPE_CHECKING, Final

import numpy as np

from capmodel.plots.labels import humanize, is_missing, multiple, percent, share, usd, weekday
from capmodel.report.views import (
    Block,
    Column,
    Fact,
    Figure,
    Material,
    Note,
    Section,
    pivot,
    table,
    where,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

__all__ = ["ask", "breaks_first", "demand", "facts", "limit_columns", "season_totals"]

STATUS_TEXT: Final = (
    "RED: the median exceeds the hard limit, or a failure that the policy promises to survive "
    "does; in the mixture, the tier's risk is above its target and this limit must grow for it. "
    "AMBER: the median exceeds the utilization policy, or the chance to saturate exceeds the "
    "target. GREEN: neither. GREY: no evidence."
)
_FIGURES_OF_DRIVERS: Final = 3
_CHAINS: Final = 3
_PER: Final = {"per_min": "per minute", "rps": "per second"}


def ask(material: Material) -> Section:
    """Return the first section: what to decide, by when, for how much, at which risk."""
    orders = material.frame("orders")
    blocks: list[Block] = []
    if orders.empty:
        blocks.append(Note("Nothing has to be ordered.", "empty"))
    else:
        columns = (
            Column("id", "No.", "code"),
            Column("action", "Decision"),
            Column("item", "For", "code"),
            Column("from", "From", "code"),
            Column("to", "To", "code"),
            Column("latest_by", "Ask by, latest", "date"),
            Column("in_place_by", "In place by", "date"),
            Column("usd", "Season cost", "usd", "USD"),
            Column("status", "Status", "status"),
        )
        blocks.append(table(orders, columns, caption="Decisions to take", name="orders"))
    return Section("ask", "The ask", "", tuple(blocks))


def facts(material: Material) -> tuple[Fact, ...]:
    """Return the few numbers at the head: first limit, next date, money, risk."""
    found = (_first_limit(material), _next_date(material), _season_cost(material), _risk(material))
    return tuple(fact for fact in found if fact is not None)


def _first_limit(material: Material) -> Fact | None:
    rows = material.deciding("limits")
    if rows.empty:
        return None
    row = rows.iloc[0]
    day = row.get("first_policy_breach")
    when = f"; first over policy {day}" if day else ""
    return Fact(
        "Breaks first",
        f"{row['node']} {str(row['limit']).replace('_', ' ')}",
        f"binds at {multiple(row['binds_at_x'])} today{when}",
        str(row["status"]),
    )


def _next_date(material: Material) -> Fact | None:
    orders = material.frame("orders")
    if orders.empty or "latest_by" not in orders.columns:
        return None
    dated = orders[[not is_missing(date) for date in orders["latest_by"]]]
    if dated.empty:
        return None
    row = dated.sort_values("latest_by", kind="stable").iloc[0]
    date = str(row["latest_by"])
    return Fact(
        "Next latest date", f"{weekday(date)} {date}", f"{row['item']}: {row['action']}",
        str(row["status"]),
    )  # fmt: skip


def season_totals(material: Material) -> dict[str, Decimal]:
    """Return the sum of the cost lines by scenario [USD], scenarios in their order."""
    totals: dict[str, Decimal] = {}
    for scenario in material.columns:
        rows = material.at("cost", scenario)
        amounts = [Decimal(str(v)) for v in rows.get("usd", ()) if not is_missing(v)]
        if amounts:
            totals[scenario] = sum(amounts, Decimal(0))
    return totals


def _season_cost(material: Material) -> Fact | None:
    totals = season_totals(material)
    scenario = next((s for s in (material.decides, material.lead) if s in totals), "")
    if not scenario:
        return None
    others = [totals[s] for s in material.scenarios if s in totals]
    span = ""
    if len(others) > 1:
        span = f", scenarios from {usd(min(others))} to {usd(max(others))}"
    return Fact("Season cost", f"{usd(totals[scenario])} USD", f"{scenario}{span}")


def _risk(material: Material) -> Fact | None:
    rows = material.deciding("risk")
    if rows.empty:
        return None
    row = rows.sort_values("tier", kind="stable").iloc[0]
    before, after = percent(row["p_any"]), percent(row.get("p_any_after_orders"))
    return Fact(
        f"Risk of tier {row['tier']}",
        f"{before} \N{RIGHTWARDS ARROW} {after}",
        f"before and after the orders; target {percent(row['risk'])}",
    )


def demand(material: Material) -> Section:
    """Return the demand section: fans, season peaks, event days, and growth told honestly."""
    frame = material.frame("demand")
    roots = where(frame, kind="root")
    blocks: list[Block] = []
    if roots.empty:
        blocks.append(Note("The plan holds no forecast of its own.", "empty"))
    else:
        blocks += _fans(material, roots)
        blocks.append(_season_peaks(material, roots))
        blocks += _event_days(material, roots)
    blocks += _yoy(material)
    return Section(
        "demand",
        "Business demand",
        "What arrives in the busiest minute, not in the mean hour. Days are local days of the "
        "business.",
        tuple(blocks),
    )


def _fans(material: Material, roots: pd.DataFrame) -> list[Block]:
    days = where(roots, window="day", scenario=material.lead)
    names = [str(s) for s in dict.fromkeys(days.get("service", ()))]
    blocks: list[Block] = []
    for name in names[:_FIGURES_OF_DRIVERS]:
        own = where(days, service=name)
        p50 = own["peak_p50"].astype(float).to_numpy()
        if np.isnan(p50).all():
            blocks.append(Note(f"{name} has no forecast.", "empty"))
            continue
        top = own.iloc[int(np.nanargmax(p50))]
        alt = (
            f"Fan of {name}, scenario {material.lead}, from {own['date'].iloc[0]} to "
            f"{own['date'].iloc[-1]}: highest on {top['date']} with P50 {top['peak_p50']:,.0f}, "
            f"P10 {top['peak_p10']:,.0f} and P90 {top['peak_p90']:,.0f}."
        )
        blocks.append(Figure("demand", alt, material.lead, name))
    rest = len(names) - _FIGURES_OF_DRIVERS
    if rest > 0:
        blocks.append(Note(f"{rest} more drivers have no figure here; demand.csv holds them."))
    return blocks


def _season_peaks(material: Material, roots: pd.DataFrame) -> Block:
    rows = where(roots, window="season")
    order = {name: i for i, name in enumerate(material.columns)}
    services = {name: i for i, name in enumerate(dict.fromkeys(rows["service"]))}
    keys = [
        (services[s], order.get(str(c), len(order)))
        for s, c in zip(rows["service"], rows["scenario"], strict=True)
    ]
    rows = rows.iloc[sorted(range(len(rows)), key=keys.__getitem__)]
    chances = [material.probability.get(str(s), math.nan) for s in rows["scenario"]]
    return table(
        rows.assign(probability=chances, quantity=_per(rows)),
        (
            Column("service", "Driver", "code"),
            Column("scenario", "Scenario"),
            Column("probability", "Probability", "ratio"),
            Column("quantity", "Unit"),
            Column("peak_p10", "P10", "mixed"),
            Column("peak_p50", "P50", "mixed"),
            Column("peak_p90", "P90", "mixed"),
            Column("peak_p95", "P95", "mixed"),
            Column("basis", "Basis", "code"),
        ),
        caption="Busiest minute of the season",
        name="demand",
    )


def _event_days(material: Material, roots: pd.DataFrame) -> list[Block]:
    days = where(roots, window="day", scenario=material.lead)
    days = days[[not is_missing(event) for event in days["event"]]]
    if days.empty:
        return [Note("No event day lies in the horizon.", "empty")]
    columns = (
        Column("date", "Date", "date"),
        Column("event", "Event day", "name"),
        Column("service", "Driver", "code"),
        Column("quantity", "Unit"),
        Column("peak_p10", "P10", "mixed"),
        Column("peak_p50", "P50", "mixed"),
        Column("peak_p90", "P90", "mixed"),
    )
    days = days.assign(quantity=_per(days)).sort_values(["service", "date"], kind="stable")
    caption = f"Busiest minute of each event day, scenario {material.lead}"
    return [table(days, columns, caption=caption, name="demand", head=16)]


def _per(rows: pd.DataFrame) -> list[str]:
    return [_PER.get(str(quantity), str(quantity)) for quantity in rows["quantity"]]


def _yoy(material: Material) -> list[Block]:
    frame = material.frame("yoy")
    if frame.empty:
        return []
    columns = (
        Column("driver", "Driver", "code"),
        Column("scenario", "Scenario"),
        Column("last_season_yoy_x", "Last season on the one before", "x"),
        Column("run_rate_yoy_x", "Last 28 days on a year ago", "x"),
        Column("scenario_yoy_x", "This scenario on last season", "x"),
        Column("change_from_today_x", "Implied change from today", "x"),
        Column("basis", "Basis", "code"),
    )
    caption = "Growth year on year, event on event"
    return [table(frame.sort_values("driver", kind="stable"), columns, caption=caption, name="yoy")]


def breaks_first(material: Material) -> Section:
    """Return the ladder: figure, status by scenario, the numbers, and how the first were made."""
    rows = material.deciding("limits")
    if rows.empty:
        empty = Note("The plan holds no limit.", "empty")
        return Section("limits", "What breaks first", "", (empty,))
    scenario = str(rows["scenario"].iloc[0])
    first = rows.iloc[0]
    alt = (
        f"Ladder of limits: {first['node']} {first['limit']} binds first, at "
        f"{multiple(first['binds_at_x'])} today's traffic; status {first['status']}."
    )
    blocks: list[Block] = []
    if any(float(x) < float("inf") for x in rows["binds_at_x"]):
        blocks.append(Figure("limits", alt, scenario))
    blocks += [
        _status_matrix(material),
        table(
            rows, limit_columns(), head=15, name="limits",
            caption=f"Limits at the season's busiest minute, {scenario}, what breaks first on top",
        ),
        Note(STATUS_TEXT),
    ]  # fmt: skip
    blocks += _chains(material, rows)
    lead = (
        "Every limit is asked the same question: at which multiple of today's traffic does it bind?"
    )
    return Section("limits", "What breaks first", lead, tuple(blocks))


def limit_columns() -> Sequence[Column]:
    """Return the columns of a table of limits."""
    return (
        Column("node", "Node", "code"),
        Column("limit", "Limit", "name"),
        Column("status", "Status", "status"),
        Column("unit", "Unit"),
        Column("hard", "Hard limit", "mixed"),
        Column("today", "Today", "mixed"),
        Column("peak_p50", "Peak P50", "mixed"),
        Column("utilization_p50", "Used P50", "ratio"),
        Column("utilization_p95", "Used P95", "ratio"),
        Column("policy_x", "Policy", "ratio"),
        Column("p_saturate", "Chance to saturate", "ratio", error="mc_se"),
        Column("first_policy_breach", "First over policy", "day"),
        Column("first_hard_breach", "First over limit", "day"),
        Column("basis", "Basis", "code"),
    )


def _status_matrix(material: Material) -> Block:
    frame = material.frame("limits")
    wide = pivot(frame, ("node", "limit"), "status", material.columns)
    # The ladder's own order, which the deciding scenario's rows carry.
    order = pivot(material.deciding("limits"), ("node", "limit"), "status", material.columns)
    keys = list(zip(order["node"], order["limit"], strict=True))
    rank = {key: i for i, key in enumerate(keys)}
    at = [rank.get(key, len(rank)) for key in zip(wide["node"], wide["limit"], strict=True)]
    wide = wide.iloc[sorted(range(len(wide)), key=at.__getitem__)]
    names = [c for c in wide.columns if c not in {"node", "limit"}]
    columns = [Column("node", "Node", "code"), Column("limit", "Limit", "name")]
    for name in names:
        chance = material.probability.get(name)
        unit = "" if chance is None else f"probability {share(chance)}"
        columns.append(Column(name, humanize(name), "status", unit))
    return table(wide, columns, caption="Status by scenario", name="limits", head=15)


def _chains(material: Material, rows: pd.DataFrame) -> list[Block]:
    factors = material.frame("factors")
    blocks: list[Block] = []
    columns = (
        Column("step", "Step", "count"),
        Column("factor", "Factor"),
        Column("value", "Value", "mixed"),
        Column("unit", "Unit"),
        Column("basis", "Basis", "code"),
        Column("source", "Source"),
    )
    for node, limit in list(zip(rows["node"], rows["limit"], strict=True))[:_CHAINS]:
        own = where(factors, node=str(node), limit=str(limit))
        if own.empty:
            continue
        preferred = (material.decides, material.lead, *material.columns)
        scenario = next((s for s in preferred if not where(own, scenario=s).empty), None)
        own = own if scenario is None else where(own, scenario=scenario)
        caption = f"How the number is made: {node}, {limit}" + (f", {scenario}" if scenario else "")
        blocks.append(table(own, columns, caption=caption, name="factors"))
    return blocks
