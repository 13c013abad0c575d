"""The tables of ``accuracy.py``: each figure beside its goal.

This module answers: what does the run say, and is it what was promised?
"""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from ours import LEAD_DAYS, PEAK, UPPER, WINDOW_DAYS, Covered, PeakCase
from peers import PEERS
from tasks import HORIZON_DAYS, Task

from capmodel import accuracy

if TYPE_CHECKING:
    from scores import Shelf

TITLES = {"ours": "capmodel Batched"} | {name: peer.title for name, peer in PEERS.items()}


@dataclass(frozen=True, slots=True)
class Goal:
    """A bound on a figure, and one that would be better still."""

    bound: float
    stretch: float | None = None
    at_least: bool = False

    def __str__(self) -> str:
        """Return the bound in words."""
        sign = "≥" if self.at_least else "≤"
        more = "" if self.stretch is None else f" (stretch {self.stretch:g})"
        return f"{sign} {self.bound:g}{more}"

    def verdict(self, value: float) -> str:
        """Return whether a value keeps the bound."""
        turn = -1.0 if self.at_least else 1.0
        if not turn * value <= turn * self.bound:
            return "not reached"
        far = self.stretch is not None and turn * value <= turn * self.stretch
        return "stretch reached" if far else "reached"


RATIO_GOALS = {
    "prophet": Goal(0.55, 0.52),
    "tuned": Goal(0.82, 0.80),
    "mstl": Goal(0.78, 0.74),
    "mfles": Goal(0.78, 0.74),
}
"""Geometric-mean MASE, ours / theirs."""
SHARE_GOALS = {
    "prophet": Goal(0.93, 0.95, at_least=True),
    "tuned": Goal(0.75, 0.82, at_least=True),
    "mstl": Goal(0.75, 0.82, at_least=True),
    "mfles": Goal(0.75, 0.82, at_least=True),
}
"""Share of tasks on which ours is better."""
FIRST_GOALS = {"day": Goal(0.55), "week": Goal(0.75)}
"""MASE of the first day and week, ours / weekly naive."""
COVERAGE_GOAL = Goal(0.02)
"""Distance from the nominal share."""
PEAK_GOAL = Goal(0.08)
"""Share of windows above P95."""

NOTES = """\
- MASE(168) and the ratios are geometric means over tasks, WAPE is the mean; a task on which a peer
  failed is left out of its row. Forecasts are judged as returned; "negatives as 0" is ours / it if
  negative ones were raised to 0.
- The weekly naive and statsforecast take no gaps: theirs hold the value a week before. Prophet and
  capmodel leave gaps out.
- CPU-s: user and system time of fit and forecast on one thread; Prophet's with Stan's process, ours
  with all quantiles of its paths, in fleets of 1 to 21 series (a large fleet shares far more). Peak
  MB: the method's own process (ours: this script with all data; Prophet's: without Stan's).
- Coverage is pooled over all measured hours; its interval is Korn and Graubard's, one cluster per
  series. Intervals of peaks are Clopper-Pearson's, as if windows were independent; windows with
  more than a quarter of gaps are left out."""


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table in Markdown, columns padded for reading it as text."""
    widths = [max(len(row[i]) for row in (header, *rows)) for i in range(len(header))]

    def line(cells: Sequence[str]) -> str:
        padded = [cell.ljust(width) for cell, width in zip(cells, widths, strict=True)]
        return "| " + " | ".join(padded) + " |"

    rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
    return "\n".join([line(header), rule, *(line(row) for row in rows)])


def _geometric_mean(values: np.ndarray) -> float:
    """Return the geometric mean of what is known."""
    return float(accuracy.geometric_mean_ratio(values, 1.0))


def share_better(ours: np.ndarray, theirs: np.ndarray) -> float:
    """Return the share of tasks on which our error is smaller; none of ours is no win."""
    judged = ~np.isnan(theirs)
    return float((ours < theirs)[judged].sum() / judged.sum()) if judged.any() else np.nan


@dataclass(frozen=True, slots=True)
class Row:
    """What one method gave over all tasks, beside ours and the weekly naive."""

    mase: float
    ratio: float
    """Geometric mean of MASE, ours / theirs."""
    clipped: float
    """The same if negative forecasts were raised to 0."""
    share: float
    """Of tasks on which ours is better."""
    wape: float
    day: float
    """MASE of the first day, theirs / weekly naive."""
    week: float
    cpu_s: float
    cpu_x: float
    """CPU seconds, theirs / ours."""
    peak_mb: float

    @classmethod
    def of(cls, method: str, judged: list[Task], shelf: Shelf) -> Row:
        """Return the row of a method."""

        def column(what: str, name: str = method) -> np.ndarray:
            scores = (shelf.scores[name][task.name] for task in judged)
            return np.array([getattr(one, what) for one in scores], dtype=float)

        def ratio(what: str, one: str, other: str) -> float:
            return float(accuracy.geometric_mean_ratio(column(what, one), column(what, other)))

        cpu_s = float(column("cpu_s").mean())
        wape = column("wape")
        return cls(
            mase=_geometric_mean(column("mase")),
            ratio=ratio("mase", "ours", method),
            clipped=ratio("mase_clipped", "ours", method),
            share=share_better(column("mase", "ours"), column("mase")),
            wape=float(wape[~np.isnan(wape)].mean()) if np.isfinite(wape).any() else np.nan,
            day=ratio("day", method, "naive"),
            week=ratio("week", method, "naive"),
            cpu_s=cpu_s,
            cpu_x=cpu_s / float(column("cpu_s", "ours").mean()),
            peak_mb=float(column("peak_mb").max()),
        )


def main_table(judged: list[Task], methods: Sequence[str], shelf: Shelf) -> str:
    """Return one line per method."""
    lines = []
    for method in methods:
        row = Row.of(method, judged, shelf)
        beside = [f"{row.ratio:.3f}", f"{row.clipped:.3f}", f"{row.share:.1%}"]
        lines.append(
            [
                TITLES[method],
                f"{row.mase:.3f}",
                *(["", "", ""] if method == "ours" else beside),
                f"{100 * row.wape:.1f} %",
                f"{row.day:.3f}",
                f"{row.week:.3f}",
                f"{row.cpu_s:.4f}" if row.cpu_s < 1 else f"{row.cpu_s:.2f}",
                f"{row.cpu_x:,.3g}",
                f"{row.peak_mb:.0f}",
            ]
        )
    header = [
        *(f"{len(judged)} tasks, {HORIZON_DAYS} days", "MASE(168)", "ours / it"),
        *("negatives as 0", "ours better", "WAPE", "1st day / naive", "1st week / naive"),
        *("CPU-s / series", "CPU / ours", "peak MB"),
    ]
    return markdown(header, lines)


def goal_table(judged: list[Task], methods: Sequence[str], shelf: Shelf) -> str:
    """Return what follows from the main table, each figure beside its goal."""
    ours = Row.of("ours", judged, shelf)
    lines = [
        ("MASE of the first day, ours / weekly naive", ours.day, FIRST_GOALS["day"]),
        ("MASE of the first week, ours / weekly naive", ours.week, FIRST_GOALS["week"]),
    ]
    for method in (name for name in methods if name in RATIO_GOALS):
        row = Row.of(method, judged, shelf)
        lines.append((f"MASE, ours / {TITLES[method]}", row.ratio, RATIO_GOALS[method]))
        lines.append((f"tasks better than {TITLES[method]}", row.share, SHARE_GOALS[method]))
    return markdown(
        ["figure", "reached", "goal", "verdict"],
        [[name, f"{x:.3f}", str(goal), goal.verdict(x)] for name, x, goal in lines],
    )


def group_table(judged: list[Task], methods: Sequence[str], shelf: Shelf) -> str:
    """Return the geometric-mean MASE by group of series."""
    groups = list(dict.fromkeys(task.group for task in judged))
    rows = []
    for method in methods:
        cells = [TITLES[method]]
        for group in groups:
            members = [task for task in judged if task.group == group]
            cells.append(f"{Row.of(method, members, shelf).mase:.3f}")
        rows.append(cells)
    counts = [sum(task.group == group for task in judged) for group in groups]
    named = [f"{group} ({n})" for group, n in zip(groups, counts, strict=True)]
    return markdown(["MASE(168) by group (tasks)", *named], rows)


def coverage_table(covered: list[Covered]) -> str:
    """Return the share of hours at or below each upper quantile, pooled over all tasks."""
    series = sorted({one.series for one in covered})
    hours = [sum(one.hours for one in covered if one.series == name) for name in series]
    rows = []
    for i, level in enumerate(UPPER):
        hits = [sum(one.hits[i] for one in covered if one.series == name) for name in series]
        share = accuracy.clustered_share(hits, hours)
        value = float(share.share)
        rows.append(
            [
                f"P{100 * level:g}",
                f"{value:.1%}",
                f"{float(share.low):.1%} to {float(share.high):.1%}",
                f"within ±{100 * COVERAGE_GOAL.bound:g} points",
                COVERAGE_GOAL.verdict(abs(value - level)),
            ]
        )
    header = [
        f"coverage, {sum(hours):,} hours of {len(series)} series",
        *("at or below", "95 % interval, clustered by series", "goal", "verdict"),
    ]
    return markdown(header, rows)


def peak_table(cases: list[PeakCase], *, expected: int) -> str:
    """Return bias and share above P50, P80 and P95 of the busiest hour, by lead time."""
    rows = []
    for lead in LEAD_DAYS:
        some = [case for case in cases if case.lead_days == lead]
        if not some:
            continue
        actual = np.array([case.actual for case in some])
        forecast = np.array([case.forecast for case in some])
        above = (actual[:, None] > forecast).sum(axis=0)
        low, high = accuracy.binomial_interval(above, len(some))
        with np.errstate(divide="ignore"):
            bias = float(np.log(forecast[:, 0] / actual).mean())
        shares = [
            f"{k / len(some):.1%} ({a:.0%} to {b:.0%})"
            for k, a, b in zip(above, low, high, strict=True)
        ]
        verdict = PEAK_GOAL.verdict(above[-1] / len(some))
        rows.append([f"{lead} days", f"{len(some)}", f"{bias:+.3f}", *shares, verdict])
    header = [
        *(f"busiest hour of {WINDOW_DAYS} days, ahead", f"windows of {expected}"),
        *("mean log(P50 / actual)", *(f"above P{100 * q:g}" for q in PEAK)),
        f"goal: P95 exceeded {PEAK_GOAL}",
    ]
    return markdown(header, rows)


def notes(judged: list[Task], methods: Sequence[str], shelf: Shelf) -> str:
    """Return what a reader must know to judge the tables, versions included."""
    lines = [f"{TITLES[name]}: {PEERS[name].note}." for name in methods if name in PEERS]
    for method in methods:
        for task in judged:
            why = shelf.scores[method][task.name].failed
            if why:
                lines.append(f"{TITLES[method]} failed on {task.name}: {why.rstrip('.')}.")
    lines += [f"{TITLES[method]}: {shelf.versions[method]}." for method in methods]
    lines.append(
        f"Python {platform.python_version()}, {platform.system()} {platform.machine()}, "
        f"{os.cpu_count()} cores."
    )
    return "\n".join([NOTES, *(f"- {line}" for line in lines)])
