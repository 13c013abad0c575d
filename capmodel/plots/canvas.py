"""The common ground of all figures: palette, axes, headings, and picking rows out of a frame."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from capmodel.errors import InputError, nearest

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

__all__ = [
    "BAND",
    "BLUE",
    "DARK",
    "FILL",
    "INK",
    "MUTED",
    "RULE",
    "SAND",
    "TEXT",
    "WIDTH_IN",
    "Frames",
    "Margins",
    "Marks",
    "day_number",
    "day_of",
    "heading",
    "new_axes",
    "pick",
    "quiet",
]

Frames = Mapping[str, "pd.DataFrame"]

_EPOCH: Final = dt.date(1970, 1, 1)

WIDTH_IN: Final = 8.6
INK: Final = "#1f2933"
MUTED: Final = "#5f6b76"
RULE: Final = "#d5dbe1"
DARK: Final = "#44505c"
BLUE: Final = "#28587b"
BAND: Final = "#bcd0df"
SAND: Final = "#f4ead4"
# Reds and greens that keep apart under the common colour blindnesses (the green leans to blue, the
# red to black); a status is written as a word as well, always.
FILL: Final = MappingProxyType(
    {"RED": "#b5382a", "AMBER": "#dfa02f", "GREEN": "#4f9d8b", "GREY": "#aab3bb"}
)
TEXT: Final = MappingProxyType(
    {"RED": "#9f2417", "AMBER": "#845300", "GREEN": "#1d6757", "GREY": "#5f6b76"}
)


@dataclass(frozen=True, slots=True)
class Marks:
    """What stands beside the frames in a figure: facts of the study that no frame carries.

    Parameters
    ----------
    season_x
        Multiple of today that the season's P50 peak reaches, by scenario [ratio].
    lines
        Horizontal lines in the demand figure: label to value, in the figure's unit.
    freeze
        Change freezes, each (start, end), ISO dates, end exclusive.
    as_of
        The plan's date, ISO; '' draws no line.
    axes
        The columns of `summary` that a grid of scenarios is the product of.
    """

    season_x: Mapping[str, float] = field(default_factory=dict)
    lines: Mapping[str, float] = field(default_factory=dict)
    freeze: tuple[tuple[str, str], ...] = ()
    as_of: str = ""
    axes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Margins:
    """White space around the axes [inch]."""

    left: float = 0.75
    right: float = 0.25
    top: float = 0.62
    bottom: float = 0.42


def new_axes(height_in: float, margins: Margins) -> Axes:
    """Return axes on a figure of their own, without any global state."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415  heavy
    from matplotlib.figure import Figure  # noqa: PLC0415  heavy

    figure = Figure(figsize=(WIDTH_IN, height_in), facecolor="white")
    FigureCanvasAgg(figure)
    m = margins
    return figure.add_axes(
        (
            m.left / WIDTH_IN,
            m.bottom / height_in,
            1 - (m.left + m.right) / WIDTH_IN,
            1 - (m.top + m.bottom) / height_in,
        )
    )


def quiet(ax: Axes, *, grid: str = "y") -> None:
    """Strip an axes to what carries information: one thin base line and a faint grid."""
    for side in ("top", "right", "left"):
        ax.spines[side].set_visible(False)
    ax.spines["bottom"].set_color(RULE)
    ax.tick_params(length=0, labelsize=8, labelcolor=MUTED, pad=4)
    ax.set_axisbelow(True)
    if grid == "x":
        ax.grid(visible=True, axis="x", color=RULE, linewidth=0.6)
    elif grid == "y":
        ax.grid(visible=True, axis="y", color=RULE, linewidth=0.6)


def heading(
    ax: Axes, title: str, subtitle: str, *, margins: Margins | None, above: float = 0.0
) -> None:
    """Write title and subtitle, flush with the figure's left edge when the figure is ours.

    `above` leaves room between the axes and the subtitle for labels of vertical lines [points].
    """
    x = 0.0
    if margins is not None:
        x = -margins.left / (WIDTH_IN - margins.left - margins.right)
    ax.set_title(
        title, loc="left", x=x, pad=23 + above, fontsize=10.5, fontweight="bold", color=INK
    )
    ax.annotate(
        subtitle, xy=(x, 1), xycoords="axes fraction", xytext=(0, 10 + above),
        textcoords="offset points", fontsize=8, color=MUTED, va="bottom", annotation_clip=False,
    )  # fmt: skip


def day_number(date: object) -> float:
    """Return matplotlib's number of an ISO date [days]."""
    # matplotlib counts days from 1970-01-01 (its default date.epoch), as numpy does.
    return float((dt.date.fromisoformat(str(date)[:10]) - _EPOCH).days)


def day_of(number: float) -> dt.date:
    """Return the date of a day number, the time of day cut off."""
    return _EPOCH + dt.timedelta(days=math.floor(number))


def pick(
    frames: Frames, name: str, *, columns: Sequence[str], where: Mapping[str, str | None]
) -> pd.DataFrame:
    """Return the rows of a frame that match, in the frame's order.

    Parameters
    ----------
    frames
        Frames by name.
    name
        The frame to read.
    columns
        Columns that the figure needs.
    where
        Column to wanted value; None means any.

    Raises
    ------
    InputError
        The frame or a column is missing, or no row matches.
    """
    if name not in frames:
        raise InputError.of(
            f"frames[{name!r}]",
            got=f"frames {sorted(frames)}",
            expected=f"the plan's frame {name!r}",
            do="Pass the frames of a plan, or plot one of those it has.",
        )
    rows = frames[name]
    missing = [c for c in (*columns, *where) if c not in rows.columns]
    if missing:
        raise InputError.of(
            f"frames[{name!r}]",
            got=f"columns {list(rows.columns)}",
            expected=f"also {missing}",
            do="Pass the frame as the plan returns it.",
        )
    for column, wanted in where.items():
        if wanted is None:
            continue
        known = [str(v) for v in rows[column].drop_duplicates()]
        if wanted not in known:
            guess = nearest(wanted, known)
            raise InputError.of(
                f"frames[{name!r}].{column}",
                got=repr(wanted),
                expected=f"one of {known[:12]}" if known else "a frame with rows",
                do=f"Did you mean {guess!r}?" if guess else "Name one that the frame has.",
            )
        rows = rows[rows[column].astype(str) == wanted]
    if rows.empty:
        raise InputError.of(
            f"frames[{name!r}]",
            got="no row" + "".join(f", {c}={v!r}" for c, v in where.items() if v is not None),
            expected="at least one row to draw",
            do="Draw another scenario or figure.",
        )
    return rows
