"""The ladder of limits: at which multiple of today each one binds, and what breaks first."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from capmodel.plots.canvas import (
    DARK,
    FILL,
    INK,
    MUTED,
    RULE,
    TEXT,
    Frames,
    Margins,
    Marks,
    heading,
    new_axes,
    pick,
    quiet,
)
from capmodel.plots.labels import humanize, is_missing, lower, multiple

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

__all__ = ["TOP", "draw_limits"]

TOP: Final = 12
"""Rows of the ladder that are drawn; the subtitle says how many there are."""

_SEASON_PT: Final = 22.0  # room for two rows of season labels [points]
_COLUMNS: Final = ("node", "limit", "binds_at_x", "breaks_at_x", "status")


def draw_limits(frames: Frames, ax: Axes | None, *, scenario: str, marks: Marks) -> Axes:
    """Draw `binds_at_x` as bars and `breaks_at_x` as ticks, what breaks first on top."""
    every = pick(frames, "limits", columns=_COLUMNS, where={"scenario": scenario})
    binds = every["binds_at_x"].astype(float)
    finite = every[[math.isfinite(x) for x in binds]]
    rows = finite.sort_values("binds_at_x", kind="stable").head(TOP)
    margins = Margins(left=2.45, right=1.72, top=0.62 + _SEASON_PT / 72, bottom=0.32)
    ours = ax is None
    if ax is None:
        ax = new_axes(margins.top + margins.bottom + 0.29 * max(len(rows), 2), margins)
    quiet(ax, grid="x")
    reach = _reach(rows, marks)
    for y, row in enumerate(rows.itertuples(index=False)):
        _draw_rung(ax, len(rows) - 1 - y, row, reach)
    names = [
        f"{node} \N{MIDDLE DOT} {lower(humanize(limit))}"
        for node, limit in zip(rows["node"], rows["limit"], strict=True)
    ]
    ax.set_yticks(range(len(rows)), names[::-1], color=INK, fontsize=8)
    ax.set_xlim(0, reach)
    ax.set_ylim(-0.6, max(len(rows), 1) - 0.4)
    ax.xaxis.set_major_formatter(lambda value, _: f"{value:g}\N{MULTIPLICATION SIGN}")
    _draw_seasons(ax, marks)
    _draw_columns(ax, len(rows))
    never = sum(math.isinf(x) for x in binds)
    unknown = len(every) - len(finite) - never
    rest = f"{len(rows)} of {len(every)} limits" if len(every) > len(rows) else "all limits"
    rest += f"; {never} never bind{'s' if never == 1 else ''}" if never else ""
    rest += f"; {unknown} without evidence" if unknown else ""
    heading(
        ax,
        "What breaks first: traffic at which each limit binds [multiple of today]",
        f"Bar: policy limit binds. Tick: hard limit breaks. {scenario.capitalize()}, {rest}.",
        margins=margins if ours else None,
        above=_SEASON_PT,
    )
    return ax


def _reach(rows: pd.DataFrame, marks: Marks) -> float:
    """Return the axis' end: all seasons and most bars; a bar far beyond ends in an arrow."""
    binds = [float(x) for x in rows["binds_at_x"]]
    breaks = [float(x) for x in rows["breaks_at_x"] if not is_missing(x) and math.isfinite(x)]
    seasons = list(marks.season_x.values())
    full = max([*binds, *breaks, *seasons, 1.0])
    useful = max([1.6 * max(seasons, default=0.0), 2.5 * min(binds, default=1.0), 2.0])
    return min(full, useful) * 1.04


def _draw_rung(ax: Axes, y: int, row: object, reach: float) -> None:
    # itertuples rows carry the columns as attributes; the frame's contract fixes their names.
    binds, breaks = float(getattr(row, "binds_at_x")), getattr(row, "breaks_at_x")  # noqa: B009
    status = str(getattr(row, "status"))  # noqa: B009
    ax.barh(y, binds, height=0.56, color=FILL.get(status, FILL["GREY"]), zorder=2)
    if binds > reach:
        ax.annotate(
            "\N{RIGHTWARDS ARROW}", xy=(reach, y), xytext=(-3, 0), textcoords="offset points",
            ha="right", va="center", color="white", fontsize=9, zorder=5,
        )  # fmt: skip
    if not is_missing(breaks) and math.isfinite(breaks):
        ax.plot([min(binds, reach), min(breaks, reach)], [y, y], color=DARK, linewidth=0.8,
                zorder=3)  # fmt: skip
        if breaks <= reach:
            ax.plot([breaks, breaks], [y - 0.28, y + 0.28], color=INK, linewidth=2, zorder=4)
    for text, x, color, weight in (
        (status, 10, TEXT.get(status, TEXT["GREY"]), "bold"),
        (multiple(binds), 82, INK, "normal"),
        (multiple(breaks), 120, MUTED, "normal"),
    ):
        ax.annotate(
            text, xy=(1, y), xycoords=("axes fraction", "data"), xytext=(x, 0),
            textcoords="offset points", ha="left" if text == status else "right", va="center",
            fontsize=8, color=color, fontweight=weight, annotation_clip=False,
        )  # fmt: skip


def _draw_columns(ax: Axes, n: int) -> None:
    for text, x, align in (
        ("Status", 10, "left"),
        ("binds", 82, "right"),
        ("breaks", 120, "right"),
    ):
        ax.annotate(
            text, xy=(1, max(n, 1) - 0.4), xycoords=("axes fraction", "data"), xytext=(x, 5),
            textcoords="offset points", ha=align, va="bottom", fontsize=7.5, color=MUTED,
            annotation_clip=False,
        )  # fmt: skip


def _draw_seasons(ax: Axes, marks: Marks) -> None:
    """Draw the multiple that each scenario's season reaches, labels staggered where they meet."""
    near = 0.145 * ax.get_xlim()[1]  # closer than this, two labels overlap
    last_at = [-math.inf, -math.inf]
    for name, x in sorted(marks.season_x.items(), key=lambda item: item[1]):
        ax.axvline(x, color=INK, linewidth=1, linestyle=(0, (4, 3)), zorder=5, label=name)
        free = [i for i, at in enumerate(last_at) if x - at >= near]
        level = free[0] if free else last_at.index(min(last_at))
        last_at[level] = x
        ax.annotate(
            f"{name} {multiple(x)}", xy=(x, 1), xycoords=("data", "axes fraction"),
            xytext=(0, 4 + 10 * level), textcoords="offset points", ha="center", va="bottom",
            fontsize=7.5, color=INK, annotation_clip=False, zorder=6,
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.6},
        )  # fmt: skip
    ax.axvline(1.0, color=RULE, linewidth=1.2, zorder=1)
