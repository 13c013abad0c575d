"""A total that somebody else stated, and the growth that it takes to get there.

This module answers: by how much must demand grow on last season, so that a window of days brings a
given total? The mean over paths meets it, as costs and totals are means; the median lies below.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Self

import numpy as np
from pydantic import Field, model_validator

from capmodel.errors import InputError, Problem
from capmodel.scenario.additive import events_per_slot
from capmodel.scenario.base import Spec
from capmodel.scenario.factors import RATIO_RANGE, day_factor, with_window_lifts

if TYPE_CHECKING:
    from capmodel.demand.paths import RootPaths
    from capmodel.scenario.additive import Added, Timetable
    from capmodel.scenario.core import Scenario

__all__ = ["Anchor", "solve_anchors"]


class Anchor(Spec):
    """A root's total over local days, from which growth is solved.

    The mean over paths of the window's total equals ``total``; launches, pushes and onboarding of
    the scenario are part of it.

    Examples
    --------
    >>> Anchor("checkouts", "2026-11-23", "2026-12-01", total=9.4e6).days
    8
    """

    root: str
    start: dt.date
    """First local day."""
    end: dt.date
    """Local day after the last, exclusive."""
    total: Annotated[float, Field(gt=0)]
    """Events of the root in the window."""

    def __init__(self, *window: str | dt.date, **fields: Any) -> None:
        """Take root, start and end by place or by name, the rest by name."""
        super().__init__(**dict(zip(("root", "start", "end"), window, strict=False)), **fields)

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.end <= self.start:
            msg = f"end {self.end} is not after start {self.start}"
            raise ValueError(msg)
        return self

    @property
    def days(self) -> int:
        """Days in the window."""
        return (self.end - self.start).days


def solve_anchors(
    scenario: Scenario,
    paths: Mapping[str, RootPaths],
    added: Mapping[str, Added],
    *,
    timetable: Timetable,
    spans: Mapping[str, str],
) -> Scenario:
    """Return the scenario with the growth that its anchors ask for; itself without anchors.

    ``growth = (total - added) / mean over paths of the window's total at growth 1``: demand is
    linear in growth.

    Parameters
    ----------
    scenario
        The assumptions.
    paths
        Root to its paths before any scenario.
    added
        Root to what the scenario adds to it.
    timetable
        Hours of the horizon.
    spans
        Event day to its span, for lifts stated per span.

    Raises
    ------
    InputError
        Where a total would need growth outside 0.5 to 4, saying which.
    """
    if not scenario.anchor:
        return scenario
    solved, problems = {}, []
    for anchor in scenario.anchor:
        where = f"scenarios.{scenario.name}.anchor.{anchor.root}"
        path, dates = paths[anchor.root], timetable.dates
        inside = (dates >= np.datetime64(anchor.start)) & (dates < np.datetime64(anchor.end))
        events = events_per_slot(path, timetable)[inside]
        if np.isnan(path.to_growth).any():
            problems.append(
                Problem(
                    where=where,
                    got="a root whose level last season is not known",
                    expected="a history that covers last season, for growth to be measured against",
                    do="Use demand_x, which multiplies the forecast itself.",
                )
            )
            continue
        one = scenario.with_growth({anchor.root: 1.0})
        factor = day_factor(path, one, spans=spans)[:, inside, None]
        organic = with_window_lifts(path, one).shape[:, inside] * factor * events
        mean = float(organic.sum(axis=(1, 2)).mean())
        extra = added.get(anchor.root)
        fixed = 0.0 if extra is None else float((extra.mean[inside] * events).sum())
        growth = (anchor.total - fixed) / mean if mean > 0 else float("inf")
        if RATIO_RANGE[0] <= growth <= RATIO_RANGE[1]:
            solved[anchor.root] = growth
            continue
        beside = f" besides the {fixed:,.0f} that are added" if fixed else ""
        problems.append(
            Problem(
                where=where,
                got=f"total {anchor.total:,.0f}, which needs growth {growth:.4g}{beside}",
                expected=f"a total that needs growth between {RATIO_RANGE[0]:g} and "
                f"{RATIO_RANGE[1]:g}; at growth 1 the window brings {mean + fixed:,.0f}",
                do="Check the total's unit and days.",
            )
        )
    if problems:
        raise InputError(problems)
    return scenario.with_growth(solved)
