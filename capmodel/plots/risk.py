"""The tornado of a plan's inputs, and a grid of scenarios."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Final

import numpy as np

from capmodel.errors import InputError, require_known
from capmodel.plots.canvas import (
    BAND,
    BLUE,
    DARK,
    INK,
    MUTED,
    Frames,
    Margins,
    heading,
    new_axes,
    pick,
    quiet,
)
from capmodel.plots.labels import count, percent

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

__all__ = ["draw_grid", "draw_tornado"]

TOP: Final = 14
"""Inputs that are drawn; the subtitle says how many there are."""
TWO: Final = 2
PALE: Final = "#e9eff5"
DARK_FROM: Final = 0.55
"""From this share of the range on a cell is dark enough for white letters."""
_COLUMNS: Final = (
    "input", "low", "high", "unit", "nodes_low", "nodes_high", "usd_low", "usd_plan", "usd_high",
    "swing_usd", "swing_nodes",
)  # fmt: skip
_TORNADO: Final = Margins(left=3.0, right=1.15, top=0.62, bottom=0.5)
_CELLS: Final = Margins(left=1.3, right=0.35, top=0.62, bottom=0.62)
_LINE: Final = Margins(left=0.9, right=0.35, top=0.62, bottom=0.62)
_LABEL_CHARACTERS: Final = 46


def draw_tornado(frames: Frames, ax: Axes | None) -> Axes:
    """Draw one bar per input that moves the season's USD, the plan's own USD as the line.

    The end at the input's low value is light, the end at its high value dark: a bar may point
    either way, and both ends may lie on one side.
    """
    every = pick(frames, "tornado", columns=_COLUMNS, where={})
    moving = every[[bool(swing) for swing in every["swing_usd"]]]
    rows = moving.head(TOP)
    margins = _TORNADO if ax is None else None
    if ax is None:
        ax = new_axes(_TORNADO.top + _TORNADO.bottom + 0.36 * max(len(rows), 2), _TORNADO)
    quiet(ax, grid="x")
    plan = float(every["usd_plan"].iloc[0])
    labels = []
    for i, row in enumerate(rows.to_dict("records")):
        y = len(rows) - 1 - i
        for end, color in (("low", BAND), ("high", BLUE)):
            usd = float(row[f"usd_{end}"])
            ax.barh(y, usd - plan, left=plan, height=0.56, color=color, zorder=2)
        _ends(ax, y, {str(row[f"usd_{end}"]): row[end] for end in ("low", "high")}, plan)
        nodes = f"{row['nodes_low']:,.0f} to {row['nodes_high']:,.0f}"
        _beside(ax, y, nodes if row["swing_nodes"] else "no change")
        name = textwrap.shorten(
            str(row["input"]), _LABEL_CHARACTERS, placeholder=" \N{HORIZONTAL ELLIPSIS}"
        )
        labels.append(f"{name}")
    ax.axvline(plan, color=DARK, linewidth=1.1, zorder=3)
    ax.set_yticks(range(len(rows)), labels[::-1], fontsize=8, color=INK)
    ax.set_ylim(-0.6, max(len(rows), 1) - 0.4)
    _room(ax, [float(rows[c].astype(float).min()) for c in ("usd_low", "usd_high")],
          [float(rows[c].astype(float).max()) for c in ("usd_low", "usd_high")], plan)  # fmt: skip
    ax.xaxis.set_major_formatter(lambda value, _: f"{value / 1000:,.6g}k")
    ax.set_xlabel("USD of the season", fontsize=8, color=MUTED)
    _beside(ax, len(rows) - 0.35, "nodes", bold=True)
    still = len(every) - len(moving)
    rest = f" {still} more inputs move nothing." if still else ""
    if len(moving) > len(rows):
        rest += f" {len(rows)} of {len(moving)} that do are shown."
    heading(
        ax,
        "Which input moves the plan [USD of the season]",
        f"One input at a time; light: its low value, dark: its high value. The line: the plan, "
        f"{plan:,.0f} USD.{rest}",
        margins=margins,
    )
    return ax


def _ends(ax: Axes, y: float, values: dict[str, float], plan: float) -> None:
    """Write the input's value at each end that leaves the line."""
    for usd, value in values.items():
        x = float(usd)
        if x == plan:
            continue
        right = x > plan
        ax.annotate(
            f"{value:.3g}", xy=(x, y), xytext=(3 if right else -3, 0), va="center",
            textcoords="offset points", ha="left" if right else "right", fontsize=7, color=MUTED,
        )  # fmt: skip


def _beside(ax: Axes, y: float, text: str, *, bold: bool = False) -> None:
    ax.annotate(
        text, xy=(1, y), xycoords=("axes fraction", "data"), xytext=(8, 0), va="center",
        textcoords="offset points", fontsize=7.5, color=MUTED, annotation_clip=False,
        fontweight="bold" if bold else "normal",
    )  # fmt: skip


def _room(ax: Axes, lows: list[float], highs: list[float], plan: float) -> None:
    finite = [x for x in (*lows, *highs, plan) if np.isfinite(x)]
    low, high = min(finite), max(finite)
    pad = max(0.1 * (high - low), 0.01 * plan, 1.0)
    ax.set_xlim(low - pad, high + pad)


def draw_grid(frames: Frames, ax: Axes | None, *, of: str | None, axes: tuple[str, ...]) -> Axes:
    """Draw one column of a grid's summary: cells over two axes, a line over one.

    `of` names the column, season's USD by default. Of more than two axes the first two are drawn
    where the others have their first value.

    Raises
    ------
    InputError
        Where the plan is of no grid, and for an unknown column.
    """
    column = of or "usd_season"
    every = pick(frames, "summary", columns=("scenario",), where={})
    if not axes:
        raise InputError.of(
            "plot.grid",
            got="scenarios that were named one by one",
            expected="a plan of cm.grid(...)",
            do='Draw "limits" or "demand", or plan a grid.',
        )
    numbers = [c for c in every.columns if c not in axes and _is_number(every[c])]
    require_known("plot.grid.of", column, numbers)
    rows = every[every["scenario"] != "mixture"]
    held = ""
    for axis in axes[TWO:]:
        first = rows[axis].iloc[0]
        rows = rows[rows[axis] == first]
        held += f" {axis} {first:g}."
    if len(axes) == 1:
        return _line(rows, ax, axes[0], column)
    return _cells(rows, ax, axes[0], axes[1], column, held)


def _is_number(values: pd.Series) -> bool:
    try:
        return bool(np.isfinite(values.astype(float)).any())
    except (TypeError, ValueError):
        return False


def _words(column: str) -> str:
    known = {
        "usd_season": "season's cost [USD]",
        "nodes": "nodes ordered",
        "pods": "pods",
        "peak_p50": "season's P50 peak of the first root",
        "peak_p95": "season's P95 peak of the first root",
        "regret_usd": "expected regret [USD]",
    }
    if column.startswith("p_any_after_tier_"):
        return f"chance that tier {column.rsplit('_', 1)[1]} passes a hard limit, once ordered"
    if column.startswith("p_any_tier_"):
        return f"chance that tier {column.rsplit('_', 1)[1]} passes a hard limit, as things stand"
    return known.get(column, column)


def _text(column: str, value: float) -> str:
    return percent(value) if column.startswith("p_any") else count(value)


def _line(rows: pd.DataFrame, ax: Axes | None, axis: str, column: str) -> Axes:
    margins = _LINE if ax is None else None
    ax = new_axes(3.2, _LINE) if ax is None else ax
    quiet(ax)
    order = np.argsort(rows[axis].to_numpy(dtype=float))
    x = rows[axis].to_numpy(dtype=float)[order]
    y = rows[column].to_numpy(dtype=float)[order]
    ax.plot(x, y, color=BLUE, marker="o", markersize=5, linewidth=1.6, zorder=3)
    for at, value in zip(x, y, strict=True):
        ax.annotate(
            _text(column, value), xy=(at, value), xytext=(0, 7), textcoords="offset points",
            ha="center", fontsize=8, color=INK,
        )  # fmt: skip
    ax.set_xticks(x, [f"{at:g}" for at in x])
    ax.set_xlabel(axis, fontsize=8, color=MUTED)
    ax.margins(x=0.06)
    ax.set_ylim(0, max(float(y.max()), 1e-9) * 1.15)
    ax.yaxis.set_major_formatter(lambda value, _: _text(column, value))
    title = _words(column)
    heading(ax, f"{title[:1].upper()}{title[1:]}, by {axis}", "Each scenario planned for itself.",
            margins=margins)  # fmt: skip
    return ax


def _shade(share: float) -> tuple[float, ...]:
    """Return a blue between pale and full: lightness alone tells more from less."""
    from matplotlib.colors import to_rgb  # noqa: PLC0415  heavy

    pale, full = (np.array(to_rgb(color)) for color in (PALE, BLUE))
    return tuple(float(c) for c in pale + (full - pale) * share)


def _cells(
    rows: pd.DataFrame, ax: Axes | None, down: str, across: str, column: str, held: str
) -> Axes:
    ys = sorted(set(rows[down]))
    xs = sorted(set(rows[across]))
    margins = _CELLS if ax is None else None
    if ax is None:
        ax = new_axes(_CELLS.top + _CELLS.bottom + 0.42 * max(len(ys), 2), _CELLS)
    values = np.full((len(ys), len(xs)), np.nan)
    for row in rows.to_dict("records"):
        values[ys.index(row[down]), xs.index(row[across])] = float(row[column])
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    if column.startswith("p_any"):
        low, high = 0.0, 1.0
    for (i, j), value in np.ndenumerate(values):
        share = 0.0 if high == low else (value - low) / (high - low)
        ax.barh(i, 0.96, left=j - 0.48, height=0.94, color=_shade(share), zorder=1)
        ax.text(
            j, i, _text(column, value), ha="center", va="center", fontsize=8.5,
            color="white" if share > DARK_FROM else INK,
        )  # fmt: skip
    for side in ax.spines.values():
        side.set_visible(False)
    ax.tick_params(length=0, labelsize=8.5, labelcolor=INK)
    ax.set_xticks(range(len(xs)), [f"{x:g}" for x in xs])
    ax.set_yticks(range(len(ys)), [f"{y:g}" for y in ys])
    ax.set_xlim(-0.5, len(xs) - 0.5)
    ax.set_ylim(-0.5, len(ys) - 0.5)
    ax.set_xlabel(across, fontsize=8.5, color=MUTED)
    ax.set_ylabel(down, fontsize=8.5, color=MUTED)
    title = _words(column)
    heading(
        ax,
        f"{title[:1].upper()}{title[1:]}, by {down} and {across}",
        f"Each scenario planned for itself; darker is more.{held}",
        margins=margins,
    )
    return ax
