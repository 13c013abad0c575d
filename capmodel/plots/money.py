"""The waterfall from today's nodes to the plan's, in nodes and USD."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from capmodel.plots.canvas import (
    BLUE,
    DARK,
    FILL,
    INK,
    MUTED,
    WIDTH_IN,
    Frames,
    Margins,
    heading,
    new_axes,
    pick,
    quiet,
)
from capmodel.plots.labels import is_missing, number, usd

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw_waterfall"]

_COLUMNS: Final = ("pool", "step", "nodes", "usd")
_TOTALS: Final = frozenset({"today", "plan"})
_MARGINS: Final = Margins(left=0.6, right=0.2, top=0.62, bottom=0.34)


def draw_waterfall(frames: Frames, ax: Axes | None, *, scenario: str, of: str | None) -> Axes:
    """Draw one pool's steps as signed bars between grounded totals; `of` None takes the first.

    Each bar starts where the one before ended, so the last step must meet the plan: what the
    picture shows is the frame's own sum.
    """
    rows = pick(frames, "waterfall", columns=_COLUMNS, where={"scenario": scenario, "pool": of})
    pool = str(rows["pool"].iloc[0])
    rows = rows[rows["pool"].astype(str) == pool]
    margins = _MARGINS if ax is None else None
    ax = new_axes(3.1, _MARGINS) if ax is None else ax
    quiet(ax)
    level, highest = 0.0, 0.0
    ends: list[float] = []
    for i, (step, nodes, money) in enumerate(
        zip(rows["step"], rows["nodes"].astype(float), rows["usd"], strict=True)
    ):
        total = str(step) in _TOTALS
        start = 0.0 if total else level
        level = nodes if total else level + nodes
        color = DARK if total else (BLUE if nodes >= 0 else FILL["GREEN"])
        ax.bar(i, nodes, bottom=start, width=0.62, color=color, zorder=2)
        ends.append(level)
        top = max(start, level)
        highest = max(highest, top)
        sign = "" if total or nodes == 0 else ("+" if nodes > 0 else "\N{MINUS SIGN}")
        _label(ax, i, top, f"{sign}{number(abs(nodes))}", _money(money, total=total))
    for i, end in enumerate(ends[:-1]):
        ax.plot([i + 0.31, i + 0.69], [end, end], color=MUTED, linewidth=0.8, zorder=3)
    ax.set_xticks(range(len(rows)), [str(s) for s in rows["step"]], fontsize=8.5, color=INK)
    ax.set_xlim(-0.6, max(len(rows) - 0.4, WIDTH_IN / 4))
    ax.set_ylim(0, max(highest, 1.0) * 1.24)
    ax.yaxis.set_major_formatter(lambda value, _: number(value))
    heading(
        ax,
        f"{pool}: from today's nodes to the plan's [nodes; USD for the season]",
        f"Scenario {scenario}. Totals stand on the ground; the steps between them sum exactly.",
        margins=margins,
    )
    return ax


def _money(value: object, *, total: bool) -> str:
    return "" if is_missing(value) else f"{usd(value, signed=not total)} USD"


def _label(ax: Axes, x: int, y: float, nodes: str, money: str) -> None:
    for text, lift, size, color, weight in (
        (nodes, 13 if money else 3, 9.5, INK, "bold"),
        (money, 3, 7, MUTED, "normal"),
    ):
        if text:
            ax.annotate(
                text, xy=(x, y), xytext=(0, lift), textcoords="offset points", ha="center",
                va="bottom", fontsize=size, color=color, fontweight=weight, zorder=4,
            )  # fmt: skip
