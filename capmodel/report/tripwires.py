"""The part on looks at the run rate: what may wait, and above what to order more."""

from __future__ import annotations

from typing import Final

from capmodel.report.views import Block, Column, Figure, Material, table, where

__all__ = ["tripwire_blocks"]

_FIGURES: Final = 4
"""Orders that are drawn."""


def tripwire_blocks(material: Material) -> list[Block]:
    """Return which orders may wait for a look at the run rate, and above what to order more."""
    frame = material.frame("tripwires")
    if frame.empty:
        return []
    columns = (
        Column("order", "No.", "code"),
        Column("step", "Step", "count"),
        Column("action", "Action"),
        Column("driver", "Watch", "code"),
        Column("look_on", "Look on", "date"),
        Column("threshold_per_day", "Above, a day", "mixed"),
        Column("latest_by", "Latest by", "date"),
        Column("p_fires", "Chance", "ratio"),
        Column("units_after", "Nodes then", "count"),
        Column("usd", "Season cost", "usd", "USD"),
        Column("usd_of_waiting", "Waiting costs", "usd", "USD"),
        Column("usd_expected", "Expected", "usd", "USD"),
        Column("usd_one_shot", "One order", "usd", "USD"),
        Column("reason", "Why"),
    )
    figures: list[Block] = []
    for order in list(dict.fromkeys(frame[frame["step"] > 0]["order"]))[:_FIGURES]:
        start = where(frame, order=str(order)).iloc[0]
        alt = (
            f"Need of {start['item']} by the run rate of {start['driver']} on {start['look_on']}: "
            f"{start['units_after']:.0f} nodes at first, {start['expected_units']:.1f} on average "
            f"after the look, {start['one_shot_units']:.0f} in one order."
        )
        figures.append(Figure("tripwires", alt, "", str(order)))
    caption = "Tripwires: what may wait for a look, and above what to order more"
    return [*figures, table(frame, columns, caption=caption, name="tripwires")]
