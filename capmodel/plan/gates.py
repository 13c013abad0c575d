"""Gates: a plan against the rules of a review, on a day, and against its baseline.

This module answers: which rule fails, by how much, is the breach waived, and is an input too old to
judge by? A failed gate goes before a stale input, and a stale input before a pass: a plan that
breaks a rule on old prices breaks it, while one that passes on old prices has not been shown to.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

import pandas as pd

from capmodel.errors import InputError, Problem
from capmodel.plan.diffs import worse_status
from capmodel.plan.metrics import METRICS, Number, measure
from capmodel.plan.rules import Bound, GateRule, GateRules, bound_of, scope_words, tier_of

if TYPE_CHECKING:
    from capmodel.plan.planset import PlanSet

__all__ = ["GateResult", "apply_gates", "input_dates"]

COLUMNS: Final = [
    "gate", "scope", "threshold", "value", "result", "waiver_until", "metric", "unit", "baseline",
    "bound", "change_x", "detail",
]  # fmt: skip
FAILED, STALE, WAIVED, PASSED = "FAIL", "STALE", "WAIVED", "PASS"
SLACK: Final = 1e-9
"""Files hold nine digits [ratio]."""
SHOWN: Final = 3
STATUS_KEYS: Final[Mapping[str, tuple[str, ...]]] = {
    "limits": ("scenario", "node", "limit"),
    "services": ("scenario", "service"),
}
"""Frames with a status and a tier, and what names their rows."""


@dataclass(frozen=True, slots=True, eq=False)
class GateResult:
    """What each rule says about a plan on a day."""

    frame: pd.DataFrame
    as_of: date

    @property
    def failed(self) -> bool:
        """Whether a rule is broken and the breach is not waived."""
        return bool((self.frame["result"] == FAILED).any())

    @property
    def stale(self) -> bool:
        """Whether an input is older than its rule allows."""
        return bool((self.frame["result"] == STALE).any())

    def to_frame(self) -> pd.DataFrame:
        """Return one row per rule, in the order of the file."""
        return self.frame.copy()

    def headline(self) -> str:
        """Return how many rules failed, are stale, are waived and passed."""
        counts = self.frame["result"].value_counts()
        words = {FAILED: "failed", STALE: "stale", WAIVED: "waived", PASSED: "passed"}
        said = [f"{counts[r]} {word}" for r, word in words.items() if r in counts]
        return f"Gates as of {self.as_of}: {', '.join(said)}."


def apply_gates(
    plan: PlanSet, rules: GateRules, *, baseline: PlanSet | None = None, as_of: date | None = None
) -> GateResult:
    """Return what the rules say about a plan.

    Parameters
    ----------
    plan, rules
        What is judged, and by what.
    baseline
        The plan that changes are counted from.
    as_of
        The day on which inputs are judged fresh and waivers valid; None: the plan's own.

    Raises
    ------
    InputError
        For scopes that the plan does not have, for rules on a change without a baseline, and for a
        day before the plan was made.
    """
    made = date.fromisoformat(str(plan.meta["as_of"]))
    day = as_of or made
    if day < made:
        do = "Name the day of the review."
        raise InputError.of("gate.as_of", got=str(day), expected=f"{made} or later", do=do)
    rows: list[dict[str, Any]] = []
    problems: list[Problem] = []
    for name, rule in rules.gates.items():
        try:
            rows.append(_judged(name, rule, plan, baseline, day))
        except InputError as error:
            problems += error.problems
    if problems:
        raise InputError(problems)
    rows += _ages(rules.max_age_days, plan, day)
    return GateResult(pd.DataFrame(rows, columns=COLUMNS, dtype=object), day)


def _judged(
    name: str, rule: GateRule, plan: PlanSet, baseline: PlanSet | None, day: date
) -> dict[str, Any]:
    where = f"gates.{name}"
    if rule.metric is None:
        row = _status_row(rule, plan, _required(baseline, f"{where}.no_worse_status"), where)
    else:
        row = _metric_row(rule, plan, baseline, where)
    if row["result"] == FAILED and rule.waiver_until is not None:
        if day <= rule.waiver_until:
            row |= {"result": WAIVED, "detail": rule.reason}
        else:
            row["detail"] = f"waiver expired on {rule.waiver_until}; {row['detail']}".rstrip("; ")
    until = rule.waiver_until.isoformat() if rule.waiver_until else ""
    return {"gate": name, "waiver_until": until, **row}


def _required(baseline: PlanSet | None, where: str) -> PlanSet:
    if baseline is None:
        raise InputError.of(
            where,
            got="no baseline",
            expected="a plan that the change is counted from",
            do="Pass baseline=..., or --baseline OLD.",
        )
    return baseline


def _metric_row(
    rule: GateRule, plan: PlanSet, baseline: PlanSet | None, where: str
) -> dict[str, Any]:
    metric, bound = METRICS[rule.metric or ""], bound_of(rule, where)
    value = measure(metric, rule.scope, plan, where=where)
    if bound.relative:
        _required(baseline, f"{where}.{bound.side}")
    before = None if baseline is None else measure(metric, rule.scope, baseline, where=where)
    most = bound.against(before)
    known = value if before is None else before
    finite = all(math.isfinite(v) for v in (value, known))
    unknown = math.isnan(value) or math.isnan(most)
    return {
        "scope": scope_words(rule.scope),
        "threshold": bound.words,
        "value": value,
        "result": FAILED if unknown or _breaks(value, most, bound) else PASSED,
        "metric": rule.metric,
        "unit": metric.unit,
        "baseline": before,
        "bound": most,
        "change_x": float(value) / float(before) - 1 if finite and before else None,
        "detail": "no evidence: the value is not known" if unknown else "",
    }


def _breaks(value: Number, most: Number, bound: Bound) -> bool:
    if isinstance(value, Decimal) and isinstance(most, Decimal):
        return value > most if bound.side == "max" else value < most
    slack = SLACK * abs(float(most))
    if bound.side == "max":
        return float(value) > float(most) + slack
    return float(value) < float(most) - slack


def _status_row(rule: GateRule, plan: PlanSet, baseline: PlanSet, where: str) -> dict[str, Any]:
    scope = rule.no_worse_status or "all"
    worse = list(_worsened(plan, baseline, tier_of(scope, where)))
    more = f" and {len(worse) - SHOWN} more" if len(worse) > SHOWN else ""
    return {
        "scope": scope,
        "threshold": "no worse status",
        "value": float(len(worse)),
        "result": FAILED if worse else PASSED,
        "metric": "no_worse_status",
        "unit": "rows",
        "baseline": None,
        "bound": 0.0,
        "change_x": None,
        "detail": ", ".join(worse[:SHOWN]) + more,
    }


def _worsened(plan: PlanSet, baseline: PlanSet, tier: int | None) -> Iterator[str]:
    """Yield the rows whose status is worse; one that is new was GREEN before."""
    for name, keys in STATUS_KEYS.items():
        old, new = (_statuses(one.frames[name], keys, tier) for one in (baseline, plan))
        for key, status in new.items():
            before = old.get(key, "GREEN")
            if worse_status(before, status):
                yield f"{' '.join(key)} {before} → {status}"


def _statuses(
    frame: pd.DataFrame, keys: tuple[str, ...], tier: int | None
) -> dict[tuple[str, ...], str]:
    rows = frame if tier is None else frame[frame["tier"].astype(int) == tier]
    return {tuple(str(row[k]) for k in keys): str(row["status"]) for row in rows.to_dict("records")}


def input_dates(plan: PlanSet) -> dict[str, date]:
    """Return the day that each input of a plan reaches: see :data:`capmodel.plan.rules.AGED`."""
    days = {name: date.fromisoformat(day) for name, day in plan.meta.get("input_days", {}).items()}
    priced = sorted(str(day) for day in plan.frames["cost"]["as_of"])
    if priced:
        days["prices"] = date.fromisoformat(priced[0])
    return days | {"fit": date.fromisoformat(str(plan.meta["as_of"]))}


def _ages(limits: Mapping[str, int], plan: PlanSet, day: date) -> Iterator[dict[str, Any]]:
    """Yield a row for each input; one that is not there is no fresh evidence."""
    dates = input_dates(plan)
    for name, most in limits.items():
        known = dates.get(name)
        age = (day - known).days if known else None
        yield {
            "gate": f"age of {name}",
            "scope": name,
            "threshold": f"max {most} days",
            "value": None if age is None else float(age),
            "result": PASSED if age is not None and age <= most else STALE,
            "waiver_until": "",
            "metric": "age",
            "unit": "days",
            "baseline": None,
            "bound": float(most),
            "change_x": None,
            "detail": f"of {known}" if known else "the plan has none",
        }
