"""Figures of a plan: each takes the plan's frames, draws on an axes and computes nothing.

Frames are what ``to_frame(name)`` returns. matplotlib is imported when a figure is drawn, through
its object-oriented interface: pyplot, its global figures and the user's style stay untouched.
:func:`draw_usage` draws a usage fit, from two frames of its own, :func:`draw_ribbon` a
retrospective's days.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from capmodel.errors import InputError, nearest
from capmodel.plots.canvas import Frames, Marks
from capmodel.plots.demand import draw_demand, draw_lifts
from capmodel.plots.limits import draw_limits
from capmodel.plots.money import draw_waterfall
from capmodel.plots.orders import draw_orders
from capmodel.plots.ribbon import draw_ribbon, ribbon_svg
from capmodel.plots.risk import draw_grid, draw_tornado
from capmodel.plots.svg import inline_svg
from capmodel.plots.tripwires import draw_tripwires
from capmodel.plots.usage import draw_usage, usage_svg

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = [
    "FIGURES",
    "Marks",
    "draw_ribbon",
    "draw_usage",
    "figure_svg",
    "plot",
    "ribbon_svg",
    "usage_svg",
]

FIGURES: Final = (
    "demand", "lifts", "limits", "orders", "tripwires", "waterfall", "tornado", "grid",
)  # fmt: skip
"""The figures there are; each reads the frame of the same name, `grid` the summary."""


def plot(
    name: str,
    frames: Frames,
    *,
    ax: Axes | None = None,
    scenario: str = "base",
    of: str | None = None,
    marks: Marks | None = None,
) -> Axes:
    """Draw one figure of a plan and return its axes.

    Parameters
    ----------
    name
        ``demand``: fan of the busiest minute of each local day, event days as bands.
        ``lifts``: lift of each event day with its interval.
        ``limits``: the ladder, what breaks first on top.
        ``orders``: the order book as a Gantt chart.
        ``tripwires``: an order's need by run rate, with the thresholds above which to order more.
        ``waterfall``: from today's nodes to the plan's.
        ``tornado``: season's USD with each input low and high, the widest on top.
        ``grid``: a grid's scenarios, two axes as coloured cells, one as a line.
    frames
        The plan's frames by name (``demand``, ``limits``, …).
    ax
        Axes to draw on; None makes a figure of its own, found at ``axes.figure``.
    scenario
        The scenario to draw, or ``"mixture"``; `lifts`, `orders`, `tripwires`, `tornado` and `grid`
        have none.
    of
        What to draw where a frame holds several: the driver or service of `demand` and `lifts`,
        the pool of `waterfall`, the order of `tripwires`, the column of `grid`. None takes the
        first.
    marks
        Season multiples, lines, freezes and the as-of date, which no frame carries.

    Returns
    -------
    matplotlib.axes.Axes
        The axes drawn on.

    Raises
    ------
    InputError
        An unknown figure, a missing frame or column, or no matching row.

    Examples
    --------
    >>> import pandas as pd
    >>> steps = pd.DataFrame(
    ...     {
    ...         "scenario": "base",
    ...         "pool": "general",
    ...         "step": ["today", "event", "plan"],
    ...         "nodes": [24, 20, 44],
    ...         "usd": ["16920.58", "14100.48", "31021.06"],
    ...     }
    ... )
    >>> ax = plot("waterfall", {"waterfall": steps})
    >>> [float(bar.get_height()) for bar in ax.patches]
    [24.0, 20.0, 44.0]
    """
    marks = Marks() if marks is None else marks
    if name == "demand":
        return draw_demand(frames, ax, scenario=scenario, of=of, marks=marks)
    if name == "lifts":
        return draw_lifts(frames, ax, of=of)
    if name == "limits":
        return draw_limits(frames, ax, scenario=scenario, marks=marks)
    if name == "orders":
        return draw_orders(frames, ax, marks=marks)
    if name == "waterfall":
        return draw_waterfall(frames, ax, scenario=scenario, of=of)
    return _draw_comparison(name, frames, ax, of=of, marks=marks)


def _draw_comparison(
    name: str, frames: Frames, ax: Axes | None, *, of: str | None, marks: Marks
) -> Axes:
    """Draw how run rates, inputs or scenarios compare; these have no scenario of their own."""
    if name == "tripwires":
        return draw_tripwires(frames, ax, of=of)
    if name == "tornado":
        return draw_tornado(frames, ax)
    if name == "grid":
        return draw_grid(frames, ax, of=of, axes=marks.axes)
    guess = nearest(name, FIGURES)
    raise InputError.of(
        "plot",
        got=repr(name),
        expected=f"one of {list(FIGURES)}",
        do=f"Did you mean {guess!r}?" if guess else "Name one of these figures.",
    )


def figure_svg(
    name: str,
    frames: Frames,
    *,
    scenario: str = "base",
    of: str | None = None,
    marks: Marks | None = None,
    alt: str = "",
) -> str:
    """Return one figure as an SVG element to stand inside a page, the same bytes every time.

    Text stays text (searchable, and set in the reader's font), sizes follow the page, and nothing
    is loaded from elsewhere.

    Parameters
    ----------
    name, frames, scenario, of, marks
        As `plot` takes them.
    alt
        What the figure shows, for readers who do not see it; '' takes the title.

    Returns
    -------
    str
        ``<svg …>…</svg>``.
    """
    return inline_svg(
        lambda: plot(name, frames, scenario=scenario, of=of, marks=marks),
        key="-".join(part for part in (name, scenario, of) if part),
        alt=alt,
    )
