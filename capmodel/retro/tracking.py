"""The season while it runs: actual against the fan, room left, and how high the rest can go.

This module answers: are we above plan, will it last, and which limit is at risk from here? Nothing
reads the clock: now is where the actuals end.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import date
from typing import Any, Final

import numpy as np
import pandas as pd

from capmodel.errors import InputError
from capmodel.history import History
from capmodel.plan import PlanSet
from capmodel.plan.baseline import Baseline
from capmodel.plan.frames_fan import week_of
from capmodel.plan.request import as_date
from capmodel.retro.comparable import Comparable, comparable
from capmodel.retro.conditioning import Fan, Revised, covariance, revise, stated_sd
from capmodel.retro.observed import Observed, observe
from capmodel.retro.planned import Planned, planned_of
from capmodel.retro.quantiles import pit
from capmodel.retro.rooms import rooms_frame
from capmodel.retro.track_result import Track
from capmodel.schema import Finding, Findings

__all__ = ["fans_of", "track"]

FAR: Final = 4.0
"""Days seen that depart by this multiple of what the plan expects do not look like its days."""
SPREADS: Final = ("walk_sd", "common_sd", "shock_sd", "week_sd", "day_sd")
DAY_COLUMNS: Final = [
    "service", "date", "event", "quantity", "peak_p10", "peak_p50", "peak_p90", "actual", "ratio_x",
    "pit", "state", "revised_p10", "revised_p50", "revised_p90", "revised_p99",
]  # fmt: skip
REST_COLUMNS: Final = [
    "service", "quantity", "days_seen", "days_left", "so_far", "so_far_on", "ratio_x",
    "planned_p50", "planned_p99", "revised_p50", "revised_p90", "revised_p99", "p_above_so_far",
]  # fmt: skip


def track(
    plan: PlanSet | Baseline,
    actuals: History,
    now: str | pd.Timestamp | None = None,
    *,
    until: str | date | None = None,
    provisioned: Mapping[tuple[str, str], float] | None = None,
) -> Track:
    """Set the actuals of a running season against the plan's fan and revise the rest.

    Whole days seen are evidence; a day that is under way, or was seen in part, counts to the rest,
    and its peak so far stands beside.

    Parameters
    ----------
    plan
        A plan, frozen or not.
    actuals
        The season so far, hourly or by the minute.
    now
        Where to cut the actuals, a date or a moment with its zone; None: where they end.
    until
        End of what is still to come, exclusive; None: the season's end.
    provisioned
        What stands there where it is not the plan's hard value, in the limit's unit.

    Raises
    ------
    InputError
        For actuals of another zone, time or nodes than the plan's, a plan without its fan, and a
        season of which no day is left.
    """
    planned = planned_of(plan.plan if isinstance(plan, Baseline) else plan)
    if now is not None:
        actuals = actuals.between(planned.start, now)
    observed = observe(planned, actuals, running=True)
    actual = comparable(planned, observed)
    last = _last_day(planned, until)
    present = _present(planned, observed)
    if present >= last:
        raise InputError.of(
            "actuals",
            got=f"rows up to {_now(observed)}",
            expected=f"an end before {planned.dates[last - 1] + 1}, with days left to revise",
            do="The season is over: compare it with capmodel retro.",
        )
    days, rest, revised, findings = [], [], {}, [*observed.findings, *actual.findings]
    for root in (r for r in planned.roots if r in observed.nodes):
        one = _Root(planned, observed, actual, root, present=present, last=last)
        revised[root] = one.revise()
        days.append(one.days(revised[root]))
        rest.append(one.rest(revised[root]))
        findings += one.findings(revised[root])
    rests = pd.DataFrame(rest, columns=REST_COLUMNS)
    frames = {
        "rest": rests,
        "limits": rooms_frame(planned, observed, rests, provisioned or {}),
        "days": pd.concat(days, ignore_index=True),
        "scenarios": _scenarios(planned, revised),
        "findings": Findings(tuple(findings)).to_frame().drop(columns="data"),
    }
    meta = {
        "title": str(planned.plan.meta["title"]),
        "as_of": str(planned.plan.meta["as_of"]),
        "now": _now(observed),
        "until": str(planned.dates[last - 1] + 1),
        "basis": actual.basis,
    }
    return Track(frames=frames, meta=meta)


def _last_day(planned: Planned, until: str | date | None) -> int:
    end = planned.season_end
    if until is not None:
        end = as_date(until, "until")
    if not planned.start < end <= planned.end:
        raise InputError.of(
            "until",
            got=str(end),
            expected=f"a day after {planned.start} and up to {planned.end}, the plan's end",
            do="Name the end of the event or season.",
        )
    return (end - planned.start).days


def _now(observed: Observed) -> str:
    axis = observed.history.axis
    return axis.local_text(axis.n_steps)


def _present(planned: Planned, observed: Observed) -> int:
    """Return the first day that is not over: that of the end of the actuals."""
    return (date.fromisoformat(_now(observed)[:10]) - planned.start).days


class _Root:
    """One root while it is tracked."""

    def __init__(
        self,
        planned: Planned,
        observed: Observed,
        actual: Comparable,
        root: str,
        *,
        present: int,
        last: int,
    ) -> None:
        self.planned, self.root = planned, root
        self.peaks = actual.peaks[root]
        self.in_season = planned.in_season & (np.arange(len(self.peaks)) < last)
        whole = observed.whole(root) & (np.arange(len(self.peaks)) < present)
        self.seen = np.flatnonzero(whole & planned.in_season & (self.peaks > 0))
        self.ahead = np.flatnonzero(self.in_season & (np.arange(len(self.peaks)) >= present))
        self.fans = fans_of(planned, root)

    def revise(self) -> Revised:
        """Return the days to come given those seen."""
        return self._revised(self.seen)

    def _revised(self, seen: np.ndarray) -> Revised:
        return revise(
            self.fans,
            seen=seen,
            log_actual=np.log(self.peaks[seen]),
            rest=self.ahead,
            seed=int(self.planned.plan.meta["seed"]),
        )

    def days(self, revised: Revised) -> pd.DataFrame:
        """Return one row per day of the season."""
        planned, rows = self.planned, []
        ahead = {int(n): m for m, n in enumerate(self.ahead)}
        whole = set(self.seen.tolist())
        for n in np.flatnonzero(self.in_season).tolist():
            quantiles, value = planned.days[self.root][n], float(self.peaks[n])
            state = "seen" if n in whole else "ahead" if math.isnan(value) else "in part"
            if n not in ahead and math.isnan(value):
                state = "not seen"
            judged = math.nan if state == "in part" else value
            score = pit(judged, quantiles.tolist())
            new = revised.quantiles[ahead[n]] if n in ahead else [math.nan] * 4
            rows.append(
                (self.root, str(planned.dates[n]), planned.events[n], planned.quantity[self.root],
                 *quantiles[:3], value, judged / quantiles[1], score, state, *new)
            )  # fmt: skip
        return pd.DataFrame(rows, columns=DAY_COLUMNS)

    def rest(self, revised: Revised) -> dict[str, Any]:
        """Return the row of what is still to come."""
        before = self._revised(self.seen[:0])
        season = np.where(self.in_season, self.peaks, np.nan)
        known = not np.isnan(season).all()
        top = int(np.nanargmax(season)) if known else -1
        p50 = self.planned.days[self.root][self.seen, 1]
        ratio = np.exp(np.mean(np.log(self.peaks[self.seen] / p50))) if len(self.seen) else math.nan
        so_far = float(season[top]) if known else math.nan
        return {
            "service": self.root,
            "quantity": self.planned.quantity[self.root],
            "days_seen": len(self.seen),
            "days_left": len(self.ahead),
            "so_far": so_far,
            "so_far_on": str(self.planned.dates[top]) if known else "",
            "ratio_x": float(ratio),
            "planned_p50": float(before.highest[1]),
            "planned_p99": float(before.highest[3]),
            "revised_p50": float(revised.highest[1]),
            "revised_p90": float(revised.highest[2]),
            "revised_p99": float(revised.highest[3]),
            "p_above_so_far": float((revised.paths > so_far).mean()) if known else math.nan,
        }

    def findings(self, revised: Revised) -> list[Finding]:
        """Say where the days seen do not look like the plan's, or are too few."""
        found = []
        if not len(self.seen):
            found.append(
                Finding(
                    code="nothing_seen",
                    severity="warning",
                    service=self.root,
                    message="no day of the season was seen whole: the rest is as planned",
                )
            )
        if revised.surprise_x > FAR:
            found.append(
                Finding(
                    code="unlike_plan",
                    severity="warning",
                    service=self.root,
                    message=(
                        f"the days seen depart {math.sqrt(revised.surprise_x):.1f} times as far as "
                        "the plan's own spread expects: the rest is widened by as much"
                    ),
                    data={"surprise_x": revised.surprise_x},
                )
            )
        return found


def fans_of(planned: Planned, root: str) -> tuple[Fan, ...]:
    """Return each scenario's days; one without rows of its own shares the first one's luck."""
    fan = planned.plan.frames.get("fan")
    rows = fan[fan["service"] == root] if fan is not None and len(fan) else pd.DataFrame()
    if len(rows) < len(planned.dates):
        raise InputError.of(
            f"plan, {root}",
            got="no fan: how its days err together is not in it",
            expected="the frame fan, which plans of up to 20 roots hold, others where asked for",
            do="Make the plan again from its study, with also: [fan].",
        )
    demand = planned.plan.frames["demand"]
    demand = demand[(demand["window"] == "day") & (demand["service"] == root)]
    week = week_of(planned.dates)
    first = str(rows["scenario"].iloc[0])
    log_p50 = {
        name: np.log(demand[demand["scenario"] == name]["peak_p50"].to_numpy(dtype=float))
        for name, weight in planned.weights.items()
        if weight > 0
    }
    stated = stated_sd([float(days[planned.in_season].mean()) for days in log_p50.values()])
    own = {
        str(name): _covariance(part, week) for name, part in rows.groupby("scenario", sort=False)
    }
    return tuple(
        Fan(
            log_p50=days,
            covariance=own.get(name, own[first]) + sd**2,
            weight=planned.weights[name],
        )
        for (name, days), sd in zip(log_p50.items(), stated, strict=True)
    )


def _covariance(rows: pd.DataFrame, week: np.ndarray) -> np.ndarray:
    column = {name: rows[name].to_numpy(dtype=float) for name in SPREADS}
    return covariance(
        walk=column["walk_sd"],
        common=column["common_sd"],
        shock=column["shock_sd"],
        luck=tuple(rows["luck"].astype(str)),
        week=week,
        week_sd=column["week_sd"],
        day=column["day_sd"],
    )


def _scenarios(planned: Planned, revised: Mapping[str, Revised]) -> pd.DataFrame:
    """Return how likely each scenario was, and is given each root's days."""
    names = [name for name, weight in planned.weights.items() if weight > 0]
    rows = [
        (root, name, planned.weights[name], float(now))
        for root, one in revised.items()
        for name, now in zip(names, one.weights, strict=True)
    ]
    return pd.DataFrame(rows, columns=["service", "scenario", "p_planned", "p_now"])
