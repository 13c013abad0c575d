"""Usage against load: the rows, the line with its band, what was seen and what is extrapolated."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from capmodel.errors import InputError, Problem, nearest
from capmodel.plots.canvas import (
    BAND,
    BLUE,
    DARK,
    FILL,
    INK,
    MUTED,
    SAND,
    Margins,
    heading,
    new_axes,
    quiet,
)
from capmodel.plots.labels import number
from capmodel.plots.svg import inline_svg

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

__all__ = ["ROLES", "TOP_POINTS", "draw_usage", "usage_svg"]

ROLES: Final = ("used", "load_test", "censored", "dropped")
"""What a row was to the fit: used, used from a load test, used as a lower bound, left out."""

TOP_POINTS: Final = 2000
"""Rows of one role that are drawn; the subtitle says how many there are."""

_POINTS: Final = ("load", "usage", "role")
_LINE: Final = ("load", "p05", "p50", "p95", "extrapolating")
_MARKS: Final[Mapping[str, Mapping[str, Any]]] = {
    "used": {"marker": "o", "markersize": 2.6, "color": BLUE, "alpha": 0.45, "zorder": 3},
    "load_test": {"marker": "s", "markersize": 5, "color": DARK, "zorder": 5},
    "censored": {"marker": "^", "markersize": 5, "color": FILL["AMBER"], "zorder": 4},
    "dropped": {"marker": "x", "markersize": 4.5, "color": MUTED, "zorder": 4},
}
_NAMES: Final = {
    "used": "used",
    "load_test": "load test",
    "censored": "censored, at least this much",
    "dropped": "dropped",
}
_MARK_PT: Final = 11.0  # room for the label of the planned load [points]
_MARGINS: Final = Margins(left=0.78, right=0.25, top=0.62 + _MARK_PT / 72, bottom=1.02)


def draw_usage(  # noqa: PLR0913  two frames, three texts, one mark
    points: pd.DataFrame,
    line: pd.DataFrame,
    *,
    ax: Axes | None = None,
    title: str = "Usage against load",
    load_label: str = "load",
    usage_label: str = "usage",
    planned: float | None = None,
) -> Axes:
    """Draw one resource of one service against its load.

    Parameters
    ----------
    points
        One row per observation: ``load``, ``usage``, ``role`` (one of `ROLES`); may be empty.
        Dropped rows do not stretch the axes: how many lie outside is written in the key.
    line
        The fit along the load: ``load``, ``p05``, ``p50``, ``p95`` (NaN: no band),
        ``extrapolating``.
    ax
        Axes to draw on; None makes a figure of its own, found at ``axes.figure``.
    title
        Names service and resource, with the unit in brackets.
    load_label, usage_label
        Names of the axes, with units in brackets.
    planned
        Load of the planned peak, a vertical line; None draws none.

    Returns
    -------
    matplotlib.axes.Axes
        The axes drawn on.

    Raises
    ------
    InputError
        For missing columns, an unknown role, a line without rows or without a median.

    Examples
    --------
    >>> import pandas as pd
    >>> rows = pd.DataFrame({"load": [10.0, 20.0], "usage": [1.1, 2.0], "role": "used"})
    >>> load = np.array([0.0, 20.0, 40.0])
    >>> line = pd.DataFrame({"load": load, "p50": load / 10, "extrapolating": load > 20})
    >>> ax = draw_usage(rows, line.assign(p05=line["p50"] * 0.9, p95=line["p50"] * 1.1))
    >>> [float(x) for x in ax.get_xlim()]
    [0.0, 41.2]
    """
    _check(points, line)
    line = line.sort_values("load", kind="stable")
    marks = {role: _rows(points, role) for role in ROLES}
    margins = _MARGINS if ax is None else None
    ax = new_axes(3.9, _MARGINS) if ax is None else ax
    quiet(ax)
    right, top = _reach(marks, line, planned)
    ax.set_xlim(0, right)
    ax.set_ylim(0, top)
    edge = _edge(line)
    _draw_line(ax, line, edge)
    _draw_zone(ax, edge)
    for role, rows in marks.items():
        _draw_rows(ax, role, rows)
    _draw_seen(ax, marks)
    if planned is not None:
        _draw_planned(ax, planned)
    ax.xaxis.set_major_formatter(lambda value, _: number(value))
    ax.yaxis.set_major_formatter(lambda value, _: f"{value:,.6g}")
    ax.set_xlabel(load_label, fontsize=8, color=MUTED, loc="right", labelpad=3)
    ax.set_ylabel(usage_label, fontsize=8, color=MUTED, labelpad=6)
    _draw_key(ax)
    heading(ax, title, _subtitle(marks, edge), margins=margins, above=_MARK_PT)
    return ax


def usage_svg(  # noqa: PLR0913  as draw_usage takes them
    points: pd.DataFrame,
    line: pd.DataFrame,
    *,
    title: str = "Usage against load",
    load_label: str = "load",
    usage_label: str = "usage",
    planned: float | None = None,
    alt: str = "",
) -> str:
    """Return the figure as an SVG element to stand inside a page, the same bytes every time.

    Parameters
    ----------
    points, line, title, load_label, usage_label, planned
        As :func:`draw_usage` takes them.
    alt
        What the figure shows, for readers who do not see it; '' takes the title.

    Returns
    -------
    str
        ``<svg …>…</svg>``.
    """
    return inline_svg(
        lambda: draw_usage(
            points,
            line,
            title=title,
            load_label=load_label,
            usage_label=usage_label,
            planned=planned,
        ),
        key=f"usage-{title}",
        alt=alt,
    )


def _check(points: pd.DataFrame, line: pd.DataFrame) -> None:
    problems = []
    for name, frame, columns in (("points", points, _POINTS), ("line", line, _LINE)):
        missing = [c for c in columns if c not in frame.columns]
        if missing:
            got, do = f"columns {list(frame.columns)}", "Name the columns so."
            problems.append(Problem(name, got, f"also {missing}", do))
    if problems:
        raise InputError(problems)
    for role in dict.fromkeys(points["role"]):
        if role not in ROLES:
            guess = nearest(str(role), ROLES)
            do = f"Did you mean {guess!r}?" if guess else "Say what the row was to the fit."
            problems.append(Problem("points.role", repr(role), f"one of {list(ROLES)}", do))
    if line.empty:
        problems.append(Problem("line", "no row", "at least one load", "Predict some loads."))
    elif not np.isfinite(line[["load", "p50"]].to_numpy(dtype=np.float64)).all():
        got = "values that are not finite"
        problems.append(Problem("line", got, "load and p50 at every row", "Leave the rows out."))
    if problems:
        raise InputError(problems)


def _rows(points: pd.DataFrame, role: str) -> np.ndarray:
    """Return load and usage of one role in order of load, shape (R, 2)."""
    rows = points.loc[points["role"] == role, ["load", "usage"]].to_numpy(dtype=np.float64)
    return np.asarray(rows[np.argsort(rows[:, 0], kind="stable")])


def _reach(
    marks: dict[str, np.ndarray], line: pd.DataFrame, planned: float | None
) -> tuple[float, float]:
    """Return the ends of both axes: the line and every row that was used."""
    kept = np.concatenate([marks[role] for role in ROLES if role != "dropped"])
    kept = kept[np.isfinite(kept).all(axis=1)]
    loads = [float(line["load"].max()), kept[:, 0].max(initial=0.0), planned or 0.0]
    high = line[["p50", "p95"]].to_numpy(dtype=np.float64)
    usages = [float(np.nanmax(high)), kept[:, 1].max(initial=0.0)]
    return (max(loads) or 1.0) * 1.03, (max(usages) or 1.0) * 1.12


def _edge(line: pd.DataFrame) -> float:
    """Return the load beyond which the line is extrapolated, infinity where it never is."""
    load, beyond = line["load"].to_numpy(), line["extrapolating"].to_numpy(dtype=bool)
    inside = load[~beyond]
    edge = float(inside.max()) if len(inside) else float(load.min())
    return edge if (beyond & (load >= edge)).any() else math.inf


def _draw_line(ax: Axes, line: pd.DataFrame, edge: float) -> None:
    load, low, middle, high = (
        line[c].to_numpy(dtype=np.float64) for c in ("load", "p05", "p50", "p95")
    )
    if np.isfinite(low).any():
        ax.fill_between(load, low, high, color=BAND, alpha=0.75, linewidth=0, zorder=2,
                        label="P5\N{EN DASH}P95")  # fmt: skip
    for part, style, label in (
        (load <= edge, "-", "P50"),
        (load >= edge, (0, (4, 2)), "P50, extrapolated"),
    ):
        if part.any():
            ax.plot(load[part], middle[part], color=INK, linewidth=1.5, linestyle=style,
                    label=label, zorder=6)  # fmt: skip


def _draw_zone(ax: Axes, edge: float) -> None:
    right = ax.get_xlim()[1]
    if edge >= right:
        return
    ax.axvspan(edge, right, color=SAND, linewidth=0, zorder=1, label="extrapolated")
    # A narrow zone is labelled on its left, where the axes have room.
    narrow = right - edge < 0.3 * right
    ax.annotate(
        f"extrapolated beyond {number(edge)}", xy=(edge, 1), xycoords=("data", "axes fraction"),
        xytext=(-5 if narrow else 5, -4), textcoords="offset points",
        ha="right" if narrow else "left", va="top", fontsize=7.5, color=MUTED, zorder=7,
    )  # fmt: skip


def _draw_rows(ax: Axes, role: str, rows: np.ndarray) -> None:
    if not len(rows):
        return
    (_, right), (_, top) = ax.get_xlim(), ax.get_ylim()
    inside = rows[(rows[:, 0] <= right) & (rows[:, 1] <= top)]
    outside = len(rows) - len(inside)
    label = f"{_NAMES[role]} ({number(len(rows))}"
    label += f"; {number(outside)} outside)" if outside else ")"
    shown = inside[_spread(len(inside))]
    ax.plot(shown[:, 0], shown[:, 1], linestyle="", markeredgewidth=1 if role == "dropped" else 0,
            label=label, **_MARKS[role])  # fmt: skip


def _spread(n: int) -> np.ndarray:
    """Return which of n rows in order of load are drawn: the ends always, the rest evenly."""
    return np.unique(np.linspace(0, n - 1, min(n, TOP_POINTS)).round().astype(np.intp))


def _draw_seen(ax: Axes, marks: dict[str, np.ndarray]) -> None:
    loads = np.concatenate([marks[role][:, 0] for role in ROLES if role != "dropped"])
    loads = loads[np.isfinite(loads)]
    if not len(loads):
        return
    low, high = float(loads.min()), float(loads.max())
    label = f"seen: {number(low)} to {number(high)}"
    ax.plot([low, high], [0, 0], color=DARK, linewidth=4, solid_capstyle="butt", zorder=7,
            label=label, clip_on=False)  # fmt: skip


def _draw_planned(ax: Axes, planned: float) -> None:
    right = ax.get_xlim()[1]
    align = "right" if planned > 0.85 * right else "center"
    ax.axvline(planned, color=FILL["RED"], linewidth=1.1, zorder=6, label="planned peak")
    ax.annotate(
        f"planned peak {number(planned)}", xy=(planned, 1), xycoords=("data", "axes fraction"),
        xytext=(0, 2), textcoords="offset points", ha=align, va="bottom", fontsize=7.5,
        color=INK, annotation_clip=False,
    )  # fmt: skip


def _draw_key(ax: Axes) -> None:
    # The zone and the planned load are labelled where they stand. Rows come first, lines after.
    handles, labels = ax.get_legend_handles_labels()
    own = {"extrapolated", "planned peak"}
    shown = [pair for pair in zip(handles, labels, strict=True) if pair[1] not in own]
    shown.sort(key=lambda pair: not pair[1].startswith(tuple(_NAMES.values())))
    ax.legend(
        *zip(*shown, strict=True), loc="upper left", bbox_to_anchor=(0, 0), borderaxespad=4.4,
        ncols=4, frameon=False, fontsize=7.5, labelcolor=MUTED, handletextpad=0.6,
        columnspacing=1.6, borderpad=0,
    )  # fmt: skip


def _subtitle(marks: dict[str, np.ndarray], edge: float) -> str:
    text = "Line: P50 of one interval. Band: P5 to P95."
    if math.isfinite(edge):
        text += " Shaded: beyond the loads that were seen, the band widens."
    for role, rows in marks.items():
        if len(rows) > TOP_POINTS:
            text += f" {number(TOP_POINTS)} of {number(len(rows))} rows {_NAMES[role]} are drawn."
    return text
