"""The forecast fan: busiest minute of each local day, with event days as labelled bands."""

from __future__ import annotations

import datetime as dt
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from capmodel.plots.canvas import (
    BAND,
    BLUE,
    DARK,
    INK,
    MUTED,
    SAND,
    WIDTH_IN,
    Frames,
    Margins,
    Marks,
    day_number,
    day_of,
    heading,
    new_axes,
    pick,
    quiet,
)
from capmodel.plots.labels import humanize, is_missing, number, short_date

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

__all__ = ["draw_demand", "draw_lifts", "set_date_axis"]

_COLUMNS: Final = (
    "service", "kind", "quantity", "window", "date", "event", "peak_p10", "peak_p50", "peak_p90",
)  # fmt: skip
_MARGINS: Final = Margins(left=0.72, right=0.2, bottom=0.5)
_UNITS: Final = {"per_min": "per minute", "rps": "requests per second"}
_SHORT_UNITS: Final = {"per_min": "/min", "rps": "/s"}
_MONTHLY_FROM_DAYS: Final = 46
_HALVES_UNTIL_DAYS: Final = 150
_CHARACTER_IN: Final = 0.072  # width of a character at the band labels' size, generous
_LEVELS: Final = 3


@dataclass(frozen=True, slots=True)
class _Run:
    """Event days next to each other, labelled by the highest of them."""

    first: dt.date
    last: dt.date
    name: str

    @property
    def text(self) -> str:
        if self.first == self.last:
            return f"{self.name}\n{short_date(self.first)}"
        same = self.first.month == self.last.month
        first = str(self.first.day) if same else short_date(self.first)
        return f"{self.name}\n{first}\N{EN DASH}{short_date(self.last)}"


def draw_demand(
    frames: Frames, ax: Axes | None, *, scenario: str, of: str | None, marks: Marks
) -> Axes:
    """Draw the fan of one driver or service; `of` None takes the first root of the frame."""
    where = {"scenario": scenario, "window": "day"}
    where |= {"kind": "root"} if of is None else {"service": of}
    rows = pick(frames, "demand", columns=_COLUMNS, where=where)
    service = str(rows["service"].iloc[0])
    rows = rows[rows["service"].astype(str) == service].sort_values("date", kind="stable")
    quantity = str(rows["quantity"].iloc[0])
    x = [day_number(date) for date in rows["date"]]
    low, middle, high = (
        rows[c].astype(float).to_numpy() for c in ("peak_p10", "peak_p50", "peak_p90")
    )

    margins = _MARGINS if ax is None else None
    ax = new_axes(3.5, _MARGINS) if ax is None else ax
    quiet(ax)
    ax.fill_between(
        x, low, high, step="mid", color=BAND, linewidth=0, label="P10\N{EN DASH}P90", zorder=2
    )
    ax.plot(x, middle, drawstyle="steps-mid", color=BLUE, linewidth=1.5, label="P50", zorder=3)
    _draw_own(ax, rows, x)
    for label, value in marks.lines.items():
        _draw_line(ax, label, value, unit=_SHORT_UNITS.get(quantity, ""))
    tops = [float(v) for v in (*middle, *high, *marks.lines.values()) if math.isfinite(v)]
    ax.set_ylim(0, max(tops, default=1.0) * 1.42)
    ax.set_xlim(min(x) - 0.5, max(x) + 0.5)
    _draw_events(ax, rows)
    _draw_peak(ax, rows, x, unit=_SHORT_UNITS.get(quantity, ""))
    set_date_axis(ax)
    ax.yaxis.set_major_formatter(lambda value, _: number(value))
    heading(
        ax,
        f"{service}: busiest minute of each day [{_UNITS.get(quantity, quantity)}]",
        f"Scenario {scenario}, local days. Line: P50. Band: P10 to P90 of the day's peak minute.",
        margins=margins,
    )
    return ax


def _draw_own(ax: Axes, rows: pd.DataFrame, x: list[float]) -> None:
    if "own_p50" not in rows.columns:
        return
    own = rows["own_p50"].astype(float).to_numpy()
    if not np.isnan(own).all():
        label = "own forecast, P50"
        ax.plot(x, own, drawstyle="steps-mid", color=DARK, linewidth=1, linestyle=":", label=label)


def _draw_line(ax: Axes, label: str, value: float, *, unit: str) -> None:
    ax.axhline(value, color=DARK, linewidth=1, linestyle=(0, (4, 3)), zorder=4, label=label)
    ax.annotate(
        f"{label} {number(value)}{unit}", xy=(0, value), xycoords=("axes fraction", "data"),
        xytext=(3, 3), textcoords="offset points", fontsize=8, color=DARK, zorder=6,
    )  # fmt: skip


def _runs(rows: pd.DataFrame) -> list[_Run]:
    days = [
        (dt.date.fromisoformat(str(date)[:10]), str(event), float(p50))
        for date, event, p50 in zip(rows["date"], rows["event"], rows["peak_p50"], strict=True)
        if not is_missing(event)
    ]
    groups: list[list[tuple[dt.date, str, float]]] = []
    for day in days:
        if groups and (day[0] - groups[-1][-1][0]).days <= 1:
            groups[-1].append(day)
        else:
            groups.append([day])
    return [
        _Run(group[0][0], group[-1][0], humanize(max(group, key=lambda day: day[2])[1]))
        for group in groups
    ]


def _draw_events(ax: Axes, rows: pd.DataFrame) -> None:
    """Shade each run of event days and write its label above, on the first level that is free."""
    first, last = ax.get_xlim()
    days_per_inch = (last - first) / (WIDTH_IN - _MARGINS.left - _MARGINS.right)
    free_from = [first] * _LEVELS
    for run in _runs(rows):
        start, end = day_number(run.first) - 0.5, day_number(run.last) + 0.5
        ax.axvspan(start, end, color=SAND, linewidth=0, zorder=1)
        width = max(len(line) for line in run.text.split("\n")) * _CHARACTER_IN * days_per_inch
        middle = min(max((start + end) / 2, first + width / 2), last - width / 2)
        fits = [i for i, free in enumerate(free_from) if middle - width / 2 >= free]
        level = fits[0] if fits else free_from.index(min(free_from))
        free_from[level] = middle + width / 2
        ax.annotate(
            run.text, xy=(middle, 1), xycoords=("data", "axes fraction"),
            xytext=(0, -3 - 24 * level), textcoords="offset points", ha="center", va="top",
            fontsize=7.5, color=MUTED, linespacing=1.25, zorder=6,
        )  # fmt: skip


def _draw_peak(ax: Axes, rows: pd.DataFrame, x: list[float], *, unit: str) -> None:
    p50 = rows["peak_p50"].astype(float).to_numpy()
    if np.isnan(p50).all():
        return
    top = int(np.nanargmax(p50))
    right = x[top] < (x[0] + x[-1]) / 2
    values = rows.iloc[top]
    # The label stands outside the run of event days, where the fan is low.
    edges = [(day_number(r.first) - 0.5, day_number(r.last) + 0.5) for r in _runs(rows)]
    left_edge, right_edge = next((e for e in edges if e[0] < x[top] < e[1]), (x[top], x[top]))
    low, high = number(values["peak_p10"]), number(values["peak_p90"])
    ax.plot([x[top]], [p50[top]], marker="o", markersize=4, color=BLUE, zorder=5)
    ax.annotate(
        f"{number(p50[top])}{unit}\nP10 {low}, P90 {high}", xy=(x[top], p50[top]),
        xytext=((right_edge + 1) if right else (left_edge - 1), p50[top]), va="center",
        ha="left" if right else "right", fontsize=8.5, color=INK, zorder=6, linespacing=1.3,
        arrowprops={"arrowstyle": "-", "color": MUTED, "linewidth": 0.6, "shrinkB": 3},
    )  # fmt: skip


def set_date_axis(ax: Axes) -> None:
    """Label months (or weeks, on a short axis) in English, whatever the locale."""
    from matplotlib.ticker import FixedLocator  # noqa: PLC0415  heavy

    first, last = ax.get_xlim()
    start = day_of(first)
    days = [start + dt.timedelta(days=i) for i in range(int(last - first) + 2)]
    if last - first >= _MONTHLY_FROM_DAYS:
        halves = {1, 15} if last - first < _HALVES_UNTIL_DAYS else {1}
        major = [day for day in days if day.day in halves]
    else:
        major = [day for day in days if day.weekday() == 0]
    inside = [day for day in major if first <= day_number(day) <= last]
    ax.xaxis.set_major_locator(FixedLocator([day_number(day) for day in inside]))
    labels = [short_date(day) for day in inside]
    if inside:
        labels[0] = f"{labels[0]}\n{inside[0].year}"
    years = {inside[0].year} if inside else set()
    for i, day in enumerate(inside):
        if day.year not in years:
            labels[i] = f"{labels[i]}\n{day.year}"
            years.add(day.year)
    ax.set_xticklabels(labels)


def draw_lifts(frames: Frames, ax: Axes | None, *, of: str | None) -> Axes:
    """Draw the lift of each event with its P10 to P90 interval; `of` None takes the first row's."""
    columns = ("service", "event", "n_events", "lift_x", "lift_p10", "lift_p90")
    rows = pick(frames, "lifts", columns=columns, where={"service": of})
    service = str(rows["service"].iloc[0])
    rows = rows[rows["service"].astype(str) == service]
    rows = rows.sort_values("lift_x", kind="stable")
    margins = Margins(left=1.7, right=1.5, top=0.62, bottom=0.36)
    height = margins.top + margins.bottom + 0.24 * len(rows) + 0.1
    ours = ax is None
    ax = new_axes(height, margins) if ax is None else ax
    quiet(ax, grid="x")
    y = list(range(len(rows)))
    ax.hlines(y, rows["lift_p10"].astype(float), rows["lift_p90"].astype(float), color=BAND,
              linewidth=6, zorder=2)  # fmt: skip
    lift = rows["lift_x"].astype(float).to_numpy()
    ax.plot(lift, y, linestyle="", marker="o", markersize=4.5, color=BLUE, zorder=3, label="lift_x")
    ax.axvline(1.0, color=DARK, linewidth=0.8, zorder=1)
    ax.set_yticks(y, [humanize(str(e)) for e in rows["event"]], color=INK, fontsize=8)
    # An assumed lift has no interval: max() of a missing value and a number may be missing.
    ends = [*rows["lift_p90"].astype(float), *lift, 1.0]
    top = max(end for end in ends if not is_missing(end))
    ax.set_xlim(0, top * 1.04)
    ax.set_ylim(-0.6, len(rows) - 0.4)
    ax.xaxis.set_major_formatter(lambda value, _: f"{value:g}\N{MULTIPLICATION SIGN}")
    basis = rows["basis"] if "basis" in rows.columns else [""] * len(rows)
    for i, (x, n, word) in enumerate(zip(lift, rows["n_events"], basis, strict=True)):
        ax.annotate(
            f"{x:.2f}\N{MULTIPLICATION SIGN}  n = {number(n)}  {word}", xy=(1, i),
            xycoords=("axes fraction", "data"), xytext=(6, 0), textcoords="offset points",
            va="center", fontsize=7.5, color=MUTED, annotation_clip=False,
        )  # fmt: skip
    heading(
        ax,
        f"{service}: lift of event days [ratio of local-day sums]",
        "Dot: estimate. Band: P10 to P90. 1\N{MULTIPLICATION SIGN} is an ordinary day.",
        margins=margins if ours else None,
    )
    return ax
