"""The parts on risk and money."""

from __future__ import annotations

import pandas as pd

from capmodel.plots.labels import number, usd
from capmodel.report.choose import options, register, summary, tornado
from capmodel.report.decide import season_totals
from capmodel.report.purchase import purchase_blocks
from capmodel.report.views import Block, Column, Figure, Material, Note, Section, table, where

__all__ = ["cost", "risk"]

_FIGURES_OF_POOLS = 4


def risk(material: Material) -> Section:
    """Return the chance that any hard limit of a tier is exceeded, before and after the orders."""
    frame = material.frame("risk")
    if frame.empty:
        empty = Note("The plan holds no risk figures.", "empty")
        return Section("risk", "Risk", "", (empty,))
    columns = (
        Column("tier", "Tier", "count"),
        Column("scenario", "Scenario"),
        Column("risk", "Target, at most", "ratio"),
        Column("p_any", "Before orders", "ratio", error="mc_se"),
        Column("p_any_after_orders", "After orders", "ratio"),
        Column("alpha", "Level per limit", "ratio"),
        Column("contributors", "Contributors"),
        Column("status", "Status", "status"),
    )
    lead = (
        "The chance that any hard limit of a tier is exceeded in any minute of the season, without "
        "failures. The mixture weighs the scenarios by their probability and decides."
    )
    shown = table(frame, columns, caption="Risk by tier and scenario", name="risk")
    blocks = (
        shown, *register(material), *options(material), *summary(material), *tornado(material),
        *_overlays(material),
    )  # fmt: skip
    return Section("risk", "Risk", lead, blocks)


def _overlays(material: Material) -> list[Block]:
    """Return what each failure needs beside what is there, where the plan looked at failures."""
    frame = material.frame("overlays")
    if frame.empty:
        return []
    columns = (
        Column("overlay", "Failure"),
        Column("node", "Node", "code"),
        Column("limit", "Limit", "name"),
        Column("needed", "Needed", "count"),
        Column("today", "Today", "count"),
        Column("utilization_today", "Utilization then", "ratio"),
        Column("after_orders", "After orders", "count"),
        Column("breaks_today", "Breaks today", "flag"),
        Column("breaks", "Breaks after orders", "flag"),
        Column("broken_by", "Broken by"),
    )
    return [table(frame, columns, caption="Failures at the median peak", name="overlays")]


def cost(material: Material) -> Section:
    """Return the waterfalls, the totals by scenario and the lines of the scenario that decides."""
    blocks: list[Block] = [*_waterfalls(material)]
    totals = season_totals(material)
    if totals:
        chances = [material.probability.get(s) for s in totals]
        frame = pd.DataFrame(
            {"scenario": list(totals), "probability": chances, "usd": list(totals.values())}
        )
        columns = (
            Column("scenario", "Scenario"),
            Column("probability", "Probability", "ratio"),
            Column("usd", "Season total", "usd", "USD"),
        )
        blocks.append(table(frame, columns, caption="Season totals", name="cost"))
        blocks.append(_lines(material))
    blocks += purchase_blocks(material)
    if not blocks:
        blocks = [Note("The plan holds no costs.", "empty")]
    lead = "Prices are inputs with a date; money is summed exactly."
    return Section("cost", "Cost", lead, tuple(blocks))


def _waterfalls(material: Material) -> list[Block]:
    frame = material.deciding("waterfall")
    if frame.empty:
        return []
    scenario = str(frame["scenario"].iloc[0])
    pools = [str(pool) for pool in dict.fromkeys(frame["pool"])]
    blocks: list[Block] = []
    for pool in pools[:_FIGURES_OF_POOLS]:
        rows = where(frame, pool=pool)
        steps = ", ".join(
            f"{step} {number(n)} nodes ({usd(money)} USD)"
            for step, n, money in zip(rows["step"], rows["nodes"], rows["usd"], strict=True)
        )
        blocks.append(Figure("waterfall", f"Waterfall of pool {pool}: {steps}.", scenario, pool))
    columns = (
        Column("pool", "Pool", "code"),
        Column("step", "Step"),
        Column("nodes", "Nodes", "count"),
        Column("usd", "Season cost", "usd", "USD"),
    )
    caption = f"Waterfall as numbers, {scenario}"
    blocks.append(table(frame, columns, caption=caption, name="waterfall"))
    rest = len(pools) - _FIGURES_OF_POOLS
    if rest > 0:
        blocks.append(Note(f"{rest} more pools have no figure here; the table holds them."))
    return blocks


def _lines(material: Material) -> Block:
    rows = material.deciding("cost")
    columns = (
        Column("item", "Item", "code"),
        Column("kind", "Kind"),
        Column("type", "Type", "code"),
        Column("count", "Count", "count"),
        Column("hours", "Hours", "count", "h"),
        Column("price_usd_per_hour", "Price", "price", "USD/h"),
        Column("usd", "Season cost", "usd", "USD"),
        Column("as_of", "Price of", "date"),
        Column("source", "Source"),
    )
    caption = f"Cost lines, {rows['scenario'].iloc[0]}"
    return table(rows, columns, caption=caption, name="cost")
