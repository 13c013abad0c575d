"""The need by run rate, with the thresholds above which more is ordered."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from capmodel.plots.canvas import (
    BAND,
    BLUE,
    DARK,
    FILL,
    INK,
    MUTED,
    Frames,
    Margins,
    heading,
    new_axes,
    pick,
    quiet,
)
from capmodel.plots.labels import number

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

__all__ = ["draw_tripwires"]

_MARGINS: Final = Margins(left=0.75, right=1.75, top=0.78, bottom=0.62)
_CURVE: Final = (
    "order", "run_rate_per_day", "p_below", "need_p10", "need_p50", "need_p90", "need_sized",
    "units",
)  # fmt: skip
_WIRES: Final = (
    "order", "step", "driver", "window_start", "look_on", "threshold_per_day", "p_fires", "count",
    "units_after", "one_shot_units",
)  # fmt: skip
_RUG: Final = 0.12
"""Height of the run rate's histogram [ratio of the axes]."""
_SPACE: Final = 0.028
"""Least distance of two labels of thresholds [ratio of the axes' width]."""


def draw_tripwires(frames: Frames, ax: Axes | None, *, of: str | None) -> Axes:
    """Draw one order's need given the run rate; `of` None takes the first order with wires."""
    from matplotlib.ticker import MaxNLocator  # noqa: PLC0415  heavy

    curve = pick(frames, "tripwire_curve", columns=_CURVE, where={"order": of})
    order = str(curve["order"].iloc[0])
    curve = curve[curve["order"].astype(str) == order].sort_values("run_rate_per_day")
    wires = pick(frames, "tripwires", columns=_WIRES, where={"order": order})
    start, steps = wires[wires["step"] == 0].iloc[0], wires[wires["step"] > 0]
    margins = _MARGINS if ax is None else None
    ax = new_axes(4.3, _MARGINS) if ax is None else ax
    quiet(ax)
    x = curve["run_rate_per_day"].astype(float).to_numpy()
    low, middle, high, sized = (
        curve[c].astype(float).to_numpy()
        for c in ("need_p10", "need_p50", "need_p90", "need_sized")
    )
    _set_limits(ax, x, low, np.concatenate([high, sized, steps["units_after"].astype(float)]))
    ax.fill_between(x, low, high, color=BAND, linewidth=0, zorder=2, label="need, P10 to P90")
    ax.plot(x, middle, color=BLUE, linewidth=1, linestyle=":", zorder=3, label="need, P50")
    ax.plot(x, sized, color=BLUE, linewidth=1.6, zorder=4, label="what the policy asks")
    _draw_stairs(ax, x, start, steps)
    _draw_one_shot(ax, float(start["one_shot_units"]))
    _draw_run_rates(ax, x, curve["p_below"].astype(float).to_numpy())
    ax.xaxis.set_major_formatter(lambda value, _: _short(value))
    ax.yaxis.set_major_locator(MaxNLocator(nbins=8, integer=True))
    ax.yaxis.set_major_formatter(lambda value, _: number(value))
    ax.legend(
        loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False, fontsize=7.5,
        labelcolor=MUTED, handlelength=1.6, borderaxespad=0.4,
    )  # fmt: skip
    ax.set_xlabel(
        f"mean daily {start['driver']}, event-free days from {start['window_start']} to the look "
        "(grey: how likely)",
        fontsize=8, color=MUTED, labelpad=6,
    )  # fmt: skip
    heading(
        ax,
        f"{order}: need by the run rate on {start['look_on']} [nodes]",
        f"Order {start['units_after']:.0f} in all at first; right of a red line order more. "
        "Nothing is drawn beyond the run rates that the paths show.",
        margins=margins,
        above=11.0,
    )
    return ax


def _set_limits(ax: Axes, x: np.ndarray, low: np.ndarray, tops: np.ndarray) -> None:
    bottom, top = float(np.nanmin(low)), float(np.nanmax(tops))
    span = top - bottom
    ax.set_ylim(bottom - (_RUG + 0.06) * span, top + 0.22 * span)
    pad = 0.02 * (x[-1] - x[0])
    ax.set_xlim(x[0] - pad, x[-1] + pad)


def _draw_stairs(ax: Axes, x: np.ndarray, start: pd.Series, steps: pd.DataFrame) -> None:
    """Draw what stands after the look, and a labelled line where that changes."""
    at = steps["threshold_per_day"].astype(float).tolist()
    stands = [float(start["units_after"]), *steps["units_after"].astype(float)]
    edges = [float(x[0]), *at, float(x[-1])]
    ax.stairs(
        stands, edges, baseline=None, color=INK, linewidth=1.3, zorder=5, label="units ordered"
    )
    left, right = ax.get_xlim()
    last = -np.inf
    for threshold, units in zip(at, stands[1:], strict=True):
        ax.axvline(threshold, color=FILL["RED"], linewidth=0.9, zorder=1)
        place = (threshold - left) / (right - left)
        if place - last < _SPACE:
            continue
        last = place
        ax.annotate(
            f"{units:.0f}", xy=(threshold, 1), xycoords=("data", "axes fraction"), xytext=(0, 2),
            textcoords="offset points", ha="center", va="bottom", fontsize=7.5, color=FILL["RED"],
            annotation_clip=False,
        )  # fmt: skip


def _draw_one_shot(ax: Axes, units: float) -> None:
    ax.axhline(units, color=DARK, linewidth=1, linestyle=(0, (4, 3)), zorder=3)
    ax.annotate(
        f"one order: {units:.0f}", xy=(1, units), xycoords=("axes fraction", "data"),
        xytext=(5, 0), textcoords="offset points", va="center", fontsize=8, color=DARK,
        annotation_clip=False,
    )  # fmt: skip


def _draw_run_rates(ax: Axes, x: np.ndarray, below: np.ndarray) -> None:
    """Draw how likely each stretch of run rates is, along the bottom."""
    chance = np.diff(below)
    if not chance.max() > 0:
        return
    bottom, top = ax.get_ylim()
    ax.stairs(
        bottom + _RUG * (top - bottom) * chance / chance.max(), x, baseline=bottom, fill=True,
        color=FILL["GREY"], alpha=0.6, linewidth=0, zorder=1,
    )  # fmt: skip


def _short(value: float) -> str:
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:g} {letter}"
    return f"{value:g}"
