"""Actual peaks in the plan's own terms: busiest minutes.

This module answers: what is compared with what? A plan holds busiest minutes. Minutes are compared
as they are. Hour means are raised by the plan's own burst of that day, always in this direction, so
that the planned figures stay those that were agreed. Other steps are compared as they are, and a
finding says that they understate.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from capmodel.retro.observed import Observed
from capmodel.retro.planned import Planned
from capmodel.schema import Finding

__all__ = ["Comparable", "comparable"]

HOUR_MIN: Final = 60


@dataclass(frozen=True, slots=True, eq=False)
class Comparable:
    """Actual peaks by day on the plan's basis."""

    peaks: Mapping[str, np.ndarray]
    """Node to the busiest minute of each day [its quantity of the plan], shape (N,)."""
    raised_x: Mapping[str, np.ndarray]
    """Node to what each day's peak was multiplied by, shape (N,) [ratio]."""
    basis: str
    findings: tuple[Finding, ...]

    def season(self, node: str, days: np.ndarray) -> tuple[float, int]:
        """Return the highest peak of some days and the day it came on; (NaN, -1) where unseen."""
        peaks = np.where(days, self.peaks[node], np.nan)
        if np.isnan(peaks).all():
            return float("nan"), -1
        day = int(np.nanargmax(peaks))
        return float(peaks[day]), day


def comparable(planned: Planned, observed: Observed) -> Comparable:
    """Return the actual peaks on the basis of the plan."""
    ones = np.ones(len(planned.dates))
    if observed.step_min == 1:
        return _raised(observed, dict.fromkeys(observed.nodes, ones), "busiest minute", ())
    bursts = _bursts(planned)
    if observed.step_min < HOUR_MIN or not bursts:
        why = (
            "the plan's burst is of an hour"
            if observed.step_min < HOUR_MIN
            else "the plan holds no burst of its days"
        )
        finding = Finding(
            code="coarser_than_plan",
            severity="warning",
            service="",
            message=(
                f"the plan holds busiest minutes, the actuals are {observed.basis}s and {why}: "
                "they are compared as they are, and understate"
            ),
        )
        raised = dict.fromkeys(observed.nodes, ones)
        return _raised(observed, raised, f"{observed.basis}, as it is", (finding,))
    raised = {
        node: bursts.get(next(iter(planned.roots_of[node]), ""), ones) for node in observed.nodes
    }
    highest = max(float(x[planned.in_season].max()) for x in raised.values())
    finding = Finding(
        code="raised_to_minutes",
        severity="info",
        service="",
        message=(
            "the actuals are hour means: each is multiplied by the plan's own median of busiest "
            f"minute over its hour on that day (up to {highest:.2f})"
        ),
        data={"highest_x": highest},
    )
    return _raised(observed, raised, "hour mean x the plan's burst of the day", (finding,))


def _raised(
    observed: Observed,
    raised: Mapping[str, np.ndarray],
    basis: str,
    findings: tuple[Finding, ...],
) -> Comparable:
    return Comparable(
        peaks={node: observed.peaks[node] * raised[node] for node in observed.nodes},
        raised_x=raised,
        basis=basis,
        findings=findings,
    )


def _bursts(planned: Planned) -> dict[str, np.ndarray]:
    """Return each root's median burst by day, empty where the plan does not hold it."""
    fan = planned.plan.frames.get("fan")
    if fan is None or fan.empty:
        return {}
    found = {}
    for root in planned.roots:
        rows = fan[fan["service"] == root]
        first = rows[rows["scenario"] == rows["scenario"].iloc[0]] if len(rows) else rows
        if len(first) == len(planned.dates):
            found[root] = first["burst_x"].to_numpy(dtype=float)
    return found
