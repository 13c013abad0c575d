"""The order book on a time axis: window opens, recommended, latest, in place; freezes shaded."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from capmodel.plots.canvas import (
    BAND,
    BLUE,
    FILL,
    INK,
    MUTED,
    SAND,
    TEXT,
    Frames,
    Margins,
    Marks,
    day_number,
    heading,
    new_axes,
    pick,
    quiet,
)
from capmodel.plots.demand import set_date_axis
from capmodel.plots.labels import is_missing

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["TOP", "draw_orders"]

TOP: Final = 24
"""Orders that are drawn; the subtitle says how many there are."""

_DATES: Final = ("request_opens", "recommended_by", "latest_by", "in_place_by")
_MARKERS: Final = (
    ("request_opens", "|", "window opens"),
    ("recommended_by", "o", "recommended by"),
    ("latest_by", "D", "latest by"),
    ("in_place_by", "s", "in place by"),
)
_MARK_PT: Final = 11.0  # room for the labels of freeze and as-of [points]
_MARGINS: Final = Margins(left=2.75, right=0.85, top=0.62 + _MARK_PT / 72, bottom=0.7)
_LABEL_CHARACTERS: Final = 44


def draw_orders(frames: Frames, ax: Axes | None, *, marks: Marks) -> Axes:
    """Draw one line per order; the as-of date as a line, change freezes as shaded bands."""
    every = pick(frames, "orders", columns=("item", "action", "status", *_DATES), where={})
    rows = every.head(TOP)
    margins = _MARGINS if ax is None else None
    if ax is None:
        ax = new_axes(_MARGINS.top + _MARGINS.bottom + 0.42 * max(len(rows), 2), _MARGINS)
    quiet(ax, grid="x")
    labels = []
    for i, row in enumerate(rows.to_dict("records")):
        y = len(rows) - 1 - i
        _draw_order(ax, y, {d: day_number(row[d]) for d in _DATES if not is_missing(row[d])})
        status = str(row["status"])
        ax.annotate(
            status, xy=(1, y), xycoords=("axes fraction", "data"), xytext=(8, 0), va="center",
            textcoords="offset points", fontsize=8, fontweight="bold", annotation_clip=False,
            color=TEXT.get(status, TEXT["GREY"]),
        )  # fmt: skip
        action = textwrap.shorten(
            str(row["action"]), _LABEL_CHARACTERS, placeholder=" \N{HORIZONTAL ELLIPSIS}"
        )
        labels.append(f"{row['item']}\n{action}")
    ax.set_yticks(range(len(rows)), labels[::-1], fontsize=7.5, color=INK, linespacing=1.3)
    ax.set_ylim(-0.6, max(len(rows), 1) - 0.4)
    _set_span(ax, [row[d] for row in rows.to_dict("records") for d in _DATES], marks)
    _draw_marks(ax, marks)
    set_date_axis(ax)
    _draw_key(ax)
    rest = f" {len(rows)} of {len(every)} orders." if len(every) > len(rows) else ""
    heading(
        ax,
        "Order book: when to ask, and when it must be in place [local dates]",
        f"Thick line: recommended to latest date to ask. Thin: request window, delivery.{rest}",
        margins=margins,
        above=_MARK_PT,
    )
    return ax


def _draw_order(ax: Axes, y: int, at: Mapping[str, float]) -> None:
    if not at:
        return
    ax.plot([min(at.values()), max(at.values())], [y, y], color=BAND, linewidth=1.6, zorder=3)
    if "recommended_by" in at and "latest_by" in at:
        ax.plot([at["recommended_by"], at["latest_by"]], [y, y], color=BLUE, linewidth=4.5,
                solid_capstyle="butt", zorder=4)  # fmt: skip
    for name, marker, label in _MARKERS:
        if name in at:
            face = "white" if name == "recommended_by" else BLUE
            ax.plot(
                [at[name]], [y], marker=marker, markersize=7, color=BLUE, zorder=5, linestyle="",
                markerfacecolor=face, markeredgewidth=1.4, label=label,
            )  # fmt: skip


def _set_span(ax: Axes, dates: list[object], marks: Marks) -> None:
    days = [day_number(d) for d in dates if not is_missing(d)]
    if marks.as_of:
        days.append(day_number(marks.as_of))
    if not days:
        return
    # A freeze usually ends after the last order: shade it, but do not stretch the axis for it.
    starts = [day_number(start) for start, _ in marks.freeze]
    first, last = min(days), max([*days, *starts])
    pad = max(0.04 * (last - first), 4.0)
    ax.set_xlim(first - pad, last + 2 * pad)


def _draw_marks(ax: Axes, marks: Marks) -> None:
    first, last = ax.get_xlim()
    for start, end in marks.freeze:
        left, right = max(day_number(start), first), min(day_number(end), last)
        if left >= right:
            continue
        ax.axvspan(left, right, color=SAND, linewidth=0, zorder=1, label="change freeze")
        _mark_text(ax, left, "change freeze", align="left")
    if marks.as_of:
        x = day_number(marks.as_of)
        ax.axvline(x, color=FILL["RED"], linewidth=1.1, zorder=2, label="as of")
        _mark_text(ax, x, f"as of {marks.as_of}", align="center")


def _mark_text(ax: Axes, x: float, text: str, *, align: str) -> None:
    ax.annotate(
        text, xy=(x, 1), xycoords=("data", "axes fraction"), xytext=(0, 2), ha=align, va="bottom",
        textcoords="offset points", fontsize=7.5, color=MUTED, annotation_clip=False,
    )  # fmt: skip


def _draw_key(ax: Axes) -> None:
    from matplotlib.lines import Line2D  # noqa: PLC0415  heavy

    handles = [
        Line2D([], [], linestyle="", marker=marker, markersize=6, color=BLUE, label=label,
               markerfacecolor="white" if name == "recommended_by" else BLUE)
        for name, marker, label in _MARKERS
    ]  # fmt: skip
    ax.legend(
        handles=handles, loc="upper left", bbox_to_anchor=(0, 0), borderaxespad=3.6, ncols=4,
        frameon=False, fontsize=7.5, labelcolor=MUTED, handletextpad=0.2, columnspacing=1.4,
        borderpad=0,
    )  # fmt: skip
