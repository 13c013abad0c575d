"""The actuals of a season, laid on the plan's local days.

This module answers: what happened on each day that the plan speaks of, in which resolution, and
what of it is missing? Nothing is filled in: a day that was seen in part says so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from capmodel.errors import InputError, nearest
from capmodel.history import History, hours_in, offered_per_second
from capmodel.history.localtime import local_days
from capmodel.retro.planned import Planned
from capmodel.schema import DEMAND_QUANTITIES, Finding

__all__ = ["Observed", "observe"]

HOUR_MIN: Final = 60
WHOLE: Final = 0.999
"""Share of a day's steps that makes the day whole [ratio]."""
PREFIX_NAMES: Final = 5


@dataclass(frozen=True, slots=True, eq=False)
class Observed:
    """Actuals on the N local days of a plan, T steps of them seen."""

    history: History
    """What was seen inside the horizon, misleading cells left out."""
    step_min: int
    day_of_step: np.ndarray
    """Which day of the plan each step belongs to, shape (T,)."""
    nodes: tuple[str, ...]
    """The plan's nodes of which some demand was measured."""
    peaks: Mapping[str, np.ndarray]
    """Node to the busiest step of each day [its quantity of the plan], shape (N,), NaN unseen."""
    peak_at: Mapping[str, np.ndarray]
    """Node to the step at which it came, shape (N,), -1 unseen."""
    seen: Mapping[str, np.ndarray]
    """Node to the share of each day's steps that were seen, shape (N,) [ratio]."""
    findings: tuple[Finding, ...]

    def whole(self, node: str) -> np.ndarray:
        """Return which days were seen whole, shape (N,)."""
        return self.seen[node] >= WHOLE

    @property
    def basis(self) -> str:
        """What a peak of the actuals is: a busiest minute, or the mean of a longer step."""
        return "minute" if self.step_min == 1 else f"{self.step_min}-minute mean"


def observe(planned: Planned, actuals: History, *, running: bool = False) -> Observed:
    """Lay actuals on the days of a plan.

    Parameters
    ----------
    planned
        The plan.
    actuals
        What was measured.
    running
        Whether the season still runs: days that are not over are no gap.

    Raises
    ------
    InputError
        For actuals of another business zone, coarser than an hour, wholly outside the plan's
        horizon, or without any node of the plan.
    """
    _check(planned, actuals)
    start, end = planned.start, planned.end
    inside = _between(planned, actuals)
    findings = [*_outside(planned, actuals, inside)]
    clean = inside.masked()
    axis = clean.axis
    days = local_days(axis.start, axis.n_steps, axis.step_min, axis.tz)
    first = (days.dates[0] - np.datetime64(start)).astype(int)
    day_of_step = days.day_of_step + first
    expected = hours_in(planned.dates, axis.tz) * HOUR_MIN / axis.step_min
    n_days = (end - start).days
    nodes, peaks, peak_at, seen = [], {}, {}, {}
    for node in planned.season:
        if node not in clean.services:
            continue
        demand = _demand(clean, node, planned)
        if demand is None:
            continue
        nodes.append(node)
        peaks[node], peak_at[node] = _day_peaks(demand, day_of_step, n_days)
        count = np.bincount(day_of_step[~np.isnan(demand)], minlength=n_days)
        seen[node] = count / expected
    if not nodes:
        raise _no_node(planned, actuals)
    findings += _missing_nodes(planned, nodes, clean.services)
    over = np.arange(n_days) < (day_of_step[-1] if running else n_days)
    findings += _gaps(planned, seen, clean, over=over)
    return Observed(
        history=clean,
        step_min=axis.step_min,
        day_of_step=day_of_step,
        nodes=tuple(nodes),
        peaks=peaks,
        peak_at=peak_at,
        seen=seen,
        findings=tuple(findings),
    )


def _check(planned: Planned, actuals: History) -> None:
    if actuals.business_tz != planned.business_tz:
        raise InputError.of(
            "actuals",
            got=f"business_tz {actuals.business_tz}",
            expected=f"{planned.business_tz}, whose local days the plan speaks of",
            do=f'Read them with business_tz="{planned.business_tz}".',
        )
    if actuals.step_min > HOUR_MIN:
        raise InputError.of(
            "actuals",
            got=f"steps of {actuals.step_min} min",
            expected="minutes or hours: a mean over a day holds no peak",
            do="Export the season hourly, or by the minute.",
        )


def _between(planned: Planned, actuals: History) -> History:
    try:
        return actuals.between(planned.start, planned.end)
    except InputError as error:
        axis = actuals.axis
        raise InputError.of(
            "actuals",
            got=f"{axis.local_text(0)} to {axis.local_text(axis.n_steps)}",
            expected=f"days inside the plan's horizon {planned.start} to {planned.end}",
            do="Give the actuals of the season that was planned.",
        ) from error


def _outside(planned: Planned, actuals: History, inside: History) -> list[Finding]:
    left_out = actuals.n_steps - inside.n_steps
    if not left_out:
        return []
    return [
        Finding(
            code="outside_plan",
            severity="info",
            service="",
            message=(
                f"{actuals.axis.length_text(left_out)} of the actuals lie outside the plan's "
                f"horizon {planned.start} to {planned.end} and are not judged"
            ),
            data={"steps": left_out},
        )
    ]


def _demand(clean: History, node: str, planned: Planned) -> np.ndarray | None:
    """Return what was offered: served, and turned away where that was counted, in plan units."""
    if not set(DEMAND_QUANTITIES).intersection(clean.measured(node)):
        return None
    return offered_per_second(clean, node) * planned.seconds(node)


def _day_peaks(
    demand: np.ndarray, day_of_step: np.ndarray, n_days: int
) -> tuple[np.ndarray, np.ndarray]:
    known = np.flatnonzero(~np.isnan(demand))
    peak, at = np.full(n_days, np.nan), np.full(n_days, -1)
    # Sorted by day, then by demand, then the earlier last: the last of a day is its busiest step.
    order = known[np.lexsort((-known, demand[known], day_of_step[known]))]
    days = day_of_step[order]
    last = np.append(np.diff(days) != 0, True) if len(days) else np.zeros(0, dtype=bool)
    peak[days[last]] = demand[order[last]]
    at[days[last]] = order[last]
    return peak, at


def _no_node(planned: Planned, actuals: History) -> InputError:
    known = tuple(planned.season)
    near = nearest(actuals.services[0], known) if actuals.services else None
    return InputError.of(
        "actuals",
        got=f"demand of {', '.join(actuals.services[:PREFIX_NAMES]) or 'nothing'}",
        expected=f"per_min or rps of some of: {', '.join(known)}",
        do=f'Did you mean "{near}"?' if near else "Name the nodes as the plan does.",
    )


def _missing_nodes(planned: Planned, nodes: list[str], known: Sequence[str]) -> list[Finding]:
    """Name the roots that were not measured one by one, what they feed in one finding."""
    missing = [node for node in planned.season if node not in nodes]
    words = "the plan holds the peak, the actuals do not: it is not judged"
    others = [node for node in known if node not in planned.kind]

    def close(node: str) -> str:
        near = nearest(node, others)
        return f'; the actuals hold "{near}", which the plan does not know' if near else ""

    found = [
        Finding(code="not_measured", severity="warning", service=node, message=words + close(node))
        for node in missing
        if planned.kind[node] == "root"
    ]
    fed = [node for node in missing if planned.kind[node] != "root"]
    if fed:
        listed = ", ".join(fed[:PREFIX_NAMES]) + (", ..." if len(fed) > PREFIX_NAMES else "")
        verb = "nodes are" if len(fed) > 1 else "node is"
        message = f"{len(fed)} {verb} planned and not in the actuals ({listed}): not judged"
        found.append(
            Finding(
                code="not_measured",
                severity="info",
                service="",
                message=message,
                data={"nodes": fed},
            )
        )
    return found


def _gaps(
    planned: Planned, seen: Mapping[str, np.ndarray], clean: History, *, over: np.ndarray
) -> list[Finding]:
    """Say which days of the season each node was not seen whole, as one finding a node."""
    findings = []
    season = planned.in_season & over
    for node, share in seen.items():
        partly = season & (share < WHOLE)
        if not partly.any():
            continue
        dates = planned.dates[partly].astype(str)
        missing = float(((1 - share) * hours_in(planned.dates, clean.business_tz))[partly].sum())
        listed = ", ".join(dates[:3]) + (", ..." if len(dates) > 3 else "")  # noqa: PLR2004
        findings.append(
            Finding(
                code="gap",
                severity="warning",
                service=node,
                message=(
                    f"{missing:,.0f} hours of {len(dates)} season days were not seen ({listed}): "
                    "their peaks are lower bounds"
                ),
                data={"hours": missing, "days": len(dates)},
            )
        )
    return findings
