"""The retro ribbon: what was forecast as a band, what happened as a line, the residual below."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Final

import numpy as np

from capmodel.plots.canvas import (
    BAND,
    BLUE,
    DARK,
    FILL,
    INK,
    MUTED,
    RULE,
    SAND,
    WIDTH_IN,
    Frames,
    Margins,
    day_number,
    heading,
    new_axes,
    pick,
    quiet,
)
from capmodel.plots.demand import set_date_axis
from capmodel.plots.labels import humanize, number, short_date
from capmodel.plots.svg import inline_svg

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

__all__ = ["draw_ribbon", "ribbon_svg"]

_COLUMNS: Final = (
    "service", "date", "event", "quantity", "peak_p10", "peak_p50", "peak_p90", "actual",
    "residual_x", "inside_p80",
)  # fmt: skip
_MARGINS: Final = Margins(left=0.72, right=0.2, top=0.62, bottom=1.72)
_HEIGHT_IN: Final = 4.6
_RESIDUAL_IN: Final = (0.46, 1.0)
"""Bottom and height of the residual's axes [inch]."""
_ZERO: Final = 1e-9
_UNITS: Final = {"per_min": "per minute", "rps": "requests per second"}


def draw_ribbon(frames: Frames, ax: Axes | None = None, *, of: str | None = None) -> Axes:
    """Draw a root's days of a retrospective: band P10 to P90, P50, actual, and actual / P50 - 1.

    Parameters
    ----------
    frames
        The retrospective's frames; ``days`` is drawn.
    ax
        Axes to draw on, without the residual; None makes a figure of its own with both.
    of
        The root; None takes the first.

    Raises
    ------
    InputError
        A missing frame or column, or no matching row.
    """
    rows = pick(frames, "days", columns=_COLUMNS, where={"service": of})
    service = str(rows["service"].iloc[0])
    rows = rows[rows["service"].astype(str) == service].sort_values("date", kind="stable")
    margins = _MARGINS if ax is None else None
    ours = ax is None
    ax = new_axes(_HEIGHT_IN, _MARGINS) if ax is None else ax
    _band(ax, rows)
    inside = int(rows["inside_p80"].sum())
    quantity = str(rows["quantity"].iloc[0])
    heading(
        ax,
        f"{service}: busiest minute of each day, planned and actual "
        f"[{_UNITS.get(quantity, quantity)}]",
        f"Band: planned P10 to P90, line P50. Dots: actual, {inside} of {len(rows)} inside the "
        "band, red outside. Below: actual / P50 \N{MINUS SIGN} 1.",
        margins=margins,
    )
    if ours:
        _residual(ax, rows)
    else:
        set_date_axis(ax)
    return ax


def _band(ax: Axes, rows: pd.DataFrame) -> None:
    x = [day_number(date) for date in rows["date"]]
    low, middle, high, actual = (
        rows[c].astype(float).to_numpy() for c in ("peak_p10", "peak_p50", "peak_p90", "actual")
    )
    inside = rows["inside_p80"].astype(bool).to_numpy()
    quiet(ax)
    _shade(ax, rows, x)
    ax.fill_between(x, low, high, step="mid", color=BAND, linewidth=0, label="P10-P90", zorder=2)
    ax.plot(x, middle, drawstyle="steps-mid", color=BLUE, linewidth=1.2, label="P50", zorder=3)
    ax.plot(x, actual, color=INK, linewidth=0.7, zorder=4)
    colors = [INK if one else FILL["RED"] for one in inside]
    ax.scatter(x, actual, s=13, color=colors, zorder=5, label="actual")
    top = int(np.nanargmax(actual))
    right = x[top] < (x[0] + x[-1]) / 2
    event = str(rows["event"].iloc[top])
    words = humanize(event) if event else short_date(_day(rows, top))
    ax.annotate(
        f"{number(actual[top])} on {words}\nplanned P50 {number(middle[top])}",
        xy=(x[top], actual[top]), xytext=(10 if right else -10, 4), textcoords="offset points",
        ha="left" if right else "right", va="bottom", fontsize=8.5, color=INK, zorder=6,
    )  # fmt: skip
    ax.set_ylim(0, float(np.nanmax([*high, *actual])) * 1.22)
    ax.set_xlim(min(x) - 0.5, max(x) + 0.5)
    ax.yaxis.set_major_formatter(lambda value, _: number(value))


def _day(rows: pd.DataFrame, at: int) -> dt.date:
    return dt.date.fromisoformat(str(rows["date"].iloc[at])[:10])


def _shade(ax: Axes, rows: pd.DataFrame, x: list[float]) -> None:
    for at, event in zip(x, rows["event"], strict=True):
        if event:
            ax.axvspan(at - 0.5, at + 0.5, color=SAND, linewidth=0, zorder=1)


def _residual(ax: Axes, rows: pd.DataFrame) -> None:
    """Add the residual's axes below, on the same days; the dates stand there."""
    figure = ax.get_figure(root=True)
    if figure is None:
        return
    m, (bottom, height) = _MARGINS, _RESIDUAL_IN
    below = figure.add_axes(
        (
            m.left / WIDTH_IN,
            bottom / _HEIGHT_IN,
            1 - (m.left + m.right) / WIDTH_IN,
            height / _HEIGHT_IN,
        )
    )
    quiet(below)
    x = [day_number(date) for date in rows["date"]]
    _shade(below, rows, x)
    residual = rows["residual_x"].astype(float).to_numpy()
    inside = rows["inside_p80"].astype(bool).to_numpy()
    below.bar(x, residual, width=0.8, color=[DARK if i else FILL["RED"] for i in inside], zorder=3)
    below.axhline(0, color=MUTED, linewidth=0.8, zorder=4)
    reach = max(float(np.nanmax(np.abs(residual))) * 1.15, 0.05)
    below.set_ylim(-reach, reach)
    below.set_xlim(ax.get_xlim())
    below.yaxis.set_major_formatter(lambda value, _: _signed(value))
    below.spines["bottom"].set_color(RULE)
    set_date_axis(below)
    ax.set_xticks(below.get_xticks(), [""] * len(below.get_xticks()))


def _signed(value: float) -> str:
    return f"{value:+.0%}".replace("-", "\N{MINUS SIGN}") if abs(value) > _ZERO else "0%"


def ribbon_svg(frames: Frames, *, of: str | None = None, alt: str = "") -> str:
    """Return the ribbon as an SVG element to stand inside a page, the same bytes every time."""
    return inline_svg(lambda: draw_ribbon(frames, of=of), key=f"ribbon-{of or ''}", alt=alt)
