"""The order book on a time axis: when to ask, when it stands, how long one is bound, what waits."""

from __future__ import annotations

import textwrap
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from capmodel.plots.canvas import (
    BAND,
    BLUE,
    DARK,
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
_AFTER: Final = ("commit_until", "release_on")
_MARKERS: Final = (
    ("request_opens", "|", "window opens"),
    ("recommended_by", "o", "recommended by"),
    ("latest_by", "D", "latest by"),
    ("in_place_by", "s", "in place by"),
)
_RELEASE: Final = ("release_on", "v", "may be given back")
_LINE_PT: Final = 10.0
_MARK_PT: Final = 21.0  # room for the labels of freeze and as-of [points]
_MARGINS: Final = Margins(left=2.75, right=0.85, top=0.62 + _MARK_PT / 72, bottom=0.86)
_LABEL_CHARACTERS: Final = 44
_LABEL_SHARE: Final = 0.13
"""Width of a label above the axes, as a share of it."""


def draw_orders(frames: Frames, ax: Axes | None, *, marks: Marks) -> Axes:
    """Draw one line per order; the as-of date as a line, change freezes as shaded bands.

    Commitments, releases and arrows from a prerequisite to what waits for it are drawn where the
    frames say them.
    """
    every = pick(frames, "orders", columns=("item", "action", "status", *_DATES), where={})
    rows = every.head(TOP)
    margins = _MARGINS if ax is None else None
    if ax is None:
        ax = new_axes(_MARGINS.top + _MARGINS.bottom + 0.42 * max(len(rows), 2), _MARGINS)
    quiet(ax, grid="x")
    labels = []
    listed = rows.to_dict("records")
    released = _release_days(frames)
    for i, row in enumerate(listed):
        y = len(rows) - 1 - i
        at = {d: day_number(row[d]) for d in (*_DATES, *_AFTER) if not is_missing(row.get(d))}
        _draw_order(ax, y, at, late=_is_late(row, marks))
        _draw_after(ax, y, at, released.get(str(row.get("id")), []))
        _draw_status(ax, y, row)
        action = textwrap.shorten(
            str(row["action"]), _LABEL_CHARACTERS, placeholder=" \N{HORIZONTAL ELLIPSIS}"
        )
        labels.append(f"{row['item']}\n{action}")
    ax.set_yticks(range(len(rows)), labels[::-1], fontsize=7.5, color=INK, linespacing=1.3)
    ax.set_ylim(-0.6, max(len(rows), 1) - 0.4)
    _draw_links(ax, listed)
    _set_span(ax, [row.get(d) for row in listed for d in (*_DATES, *_AFTER)], marks)
    _draw_marks(ax, marks)
    set_date_axis(ax)
    _draw_key(ax, rows.columns)
    rest = f" {len(rows)} of {len(every)} orders." if len(every) > len(rows) else ""
    heading(
        ax,
        "Order book: when to ask, and when it must be in place [local dates]",
        f"Thick: recommended to latest day to ask, red when overdue. Thin: window, delivery.{rest}",
        margins=margins,
        above=_MARK_PT,
    )
    return ax


def _is_late(row: Mapping[Any, Any], marks: Marks) -> bool:
    """Return whether a day to ask has passed and nothing was asked for, or the status is RED."""
    latest = row.get("latest_by")
    return bool(
        row["status"] == "RED"
        and marks.as_of
        and not is_missing(latest)
        and str(latest) < marks.as_of
    )


def _draw_status(ax: Axes, y: int, row: Mapping[Any, Any]) -> None:
    """Write the status beside a line, and what was done where something was."""
    status, state = str(row["status"]), row.get("state")
    done = "" if is_missing(state) or state == "planned" else str(state).replace("_", " ")
    ax.annotate(
        status, xy=(1, y), xycoords=("axes fraction", "data"), xytext=(8, 5 if done else 0),
        va="center", textcoords="offset points", fontsize=8, fontweight="bold",
        annotation_clip=False, color=TEXT.get(status, TEXT["GREY"]),
    )  # fmt: skip
    if done:
        ax.annotate(
            done, xy=(1, y), xycoords=("axes fraction", "data"), xytext=(8, -5), va="center",
            textcoords="offset points", fontsize=7.5, annotation_clip=False, color=MUTED,
        )  # fmt: skip


def _draw_order(ax: Axes, y: int, at: Mapping[str, float], *, late: bool) -> None:
    known = [day for name, day in at.items() if name in _DATES]
    if not known:
        return
    color = FILL["RED"] if late else BLUE
    ax.plot([min(known), max(known)], [y, y], color=BAND, linewidth=1.6, zorder=3)
    if "recommended_by" in at and "latest_by" in at:
        ax.plot([at["recommended_by"], at["latest_by"]], [y, y], color=color, linewidth=4.5,
                solid_capstyle="butt", zorder=4)  # fmt: skip
    for name, marker, label in _MARKERS:
        if name in at:
            face = "white" if name == "recommended_by" else color
            ax.plot(
                [at[name]], [y], marker=marker, markersize=6, color=color, zorder=5, linestyle="",
                markerfacecolor=face, markeredgewidth=1.4, label=label,
            )  # fmt: skip


def _draw_after(ax: Axes, y: int, at: Mapping[str, float], stages: Sequence[float]) -> None:
    """Draw how long an order binds, and from when it may be given back."""
    stands, until = at.get("in_place_by"), at.get("commit_until")
    if stands is None:
        return
    if until is not None:
        ax.plot([stands, until], [y, y], color=DARK, linewidth=4.5, solid_capstyle="butt",
                zorder=4, label="commitment")  # fmt: skip
    days = list(stages) or [at[name] for name in ("release_on",) if name in at]
    if not days:
        return
    _, marker, label = _RELEASE
    ax.plot([until or stands, max(days)], [y, y], color=MUTED, linewidth=1.0, linestyle=":",
            zorder=3)  # fmt: skip
    ax.plot(days, [y] * len(days), marker=marker, markersize=6.5, linestyle="", color=DARK,
            markerfacecolor="white", markeredgewidth=1.3, zorder=6, label=label)  # fmt: skip


def _release_days(frames: Frames) -> dict[str, list[float]]:
    """Return by order the days of its release, where the frames have them."""
    found: dict[str, list[float]] = {}
    release = frames.get("release")
    if release is not None:
        for row in release.to_dict("records"):
            found.setdefault(str(row["order"]), []).append(day_number(row["release_on"]))
    return found


def _draw_links(ax: Axes, rows: Sequence[Mapping[Any, Any]]) -> None:
    """Draw an arrow from where a prerequisite stands to the latest day to ask for what waits."""
    place = {str(row.get("id")): len(rows) - 1 - i for i, row in enumerate(rows)}
    stands = {str(row.get("id")): row["in_place_by"] for row in rows}
    for row in rows:
        listed = row.get("depends_on")
        for name in [] if is_missing(listed) else str(listed).split(", "):
            if name not in place or is_missing(stands[name]) or is_missing(row["latest_by"]):
                continue
            ax.annotate(
                "", xy=(day_number(row["latest_by"]), place[str(row["id"])]),
                xytext=(day_number(stands[name]), place[name]),
                arrowprops={"arrowstyle": "-|>", "color": DARK, "linewidth": 0.9,
                            "shrinkA": 5, "shrinkB": 6, "connectionstyle": "arc3,rad=-0.25"},
                zorder=7,
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
    """Shade the freezes and mark the as-of day; their words stand on lines of their own."""
    first, last = ax.get_xlim()
    free = first
    for start, end in marks.freeze:
        left, right = max(day_number(start), first), min(day_number(end), last)
        if left >= right:
            continue
        ax.axvspan(left, right, color=SAND, linewidth=0, zorder=1, label="change freeze")
        if left >= free:
            _mark_text(ax, left, "change freeze", align="left", line=1)
            free = left + _LABEL_SHARE * (last - first)
    if marks.as_of:
        x = day_number(marks.as_of)
        ax.axvline(x, color=FILL["RED"], linewidth=1.1, zorder=2, label="as of")
        _mark_text(ax, x, f"as of {marks.as_of}", align="center", line=0)


def _mark_text(ax: Axes, x: float, text: str, *, align: str, line: int) -> None:
    ax.annotate(
        text, xy=(x, 1), xycoords=("data", "axes fraction"), xytext=(0, 2 + _LINE_PT * line),
        ha=align, va="bottom", textcoords="offset points", fontsize=7.5, color=MUTED,
        annotation_clip=False,
    )  # fmt: skip


def _draw_key(ax: Axes, columns: Collection[str]) -> None:
    from matplotlib.lines import Line2D  # noqa: PLC0415  heavy

    handles = [
        Line2D([], [], linestyle="", marker=marker, markersize=6, color=BLUE, label=label,
               markerfacecolor="white" if name == "recommended_by" else BLUE)
        for name, marker, label in _MARKERS
    ]  # fmt: skip
    name, marker, label = _RELEASE
    if "commit_until" in columns:
        handles.append(Line2D([], [], color=DARK, linewidth=4, label="commitment"))
    if name in columns:
        handles.append(Line2D([], [], linestyle="", marker=marker, markersize=6, color=DARK,
                              markerfacecolor="white", label=label))  # fmt: skip
    if "depends_on" in columns:
        handles.append(Line2D([], [], color=DARK, linewidth=0.9, marker=">", markersize=4,
                              label="needed first"))  # fmt: skip
    ax.legend(
        handles=handles, loc="upper left", bbox_to_anchor=(0, 0), borderaxespad=3.6, ncols=4,
        frameon=False, fontsize=7.5, labelcolor=MUTED, handletextpad=0.6, columnspacing=1.4,
        borderpad=0,
    )  # fmt: skip
