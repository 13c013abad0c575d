"""The figures of a plan that a gate may bound, each with the scope that it needs.

This module answers: what is this figure of this plan, in this scope? It knows no bounds.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from capmodel.cost import cents
from capmodel.errors import InputError, nearest
from capmodel.plan.frames_limits import MIXTURE

if TYPE_CHECKING:
    import pandas as pd

    from capmodel.plan.planset import PlanSet

__all__ = ["METRICS", "Metric", "Number", "measure"]

Number = Decimal | float


@dataclass(frozen=True, slots=True)
class Metric:
    """One figure: its frame, what its scope may name, and how rows become one number."""

    frame: str
    unit: str
    scope: tuple[str, ...]
    """Fields that may be named; the mixture is meant where no scenario is."""
    value: Callable[[pd.DataFrame, PlanSet], Number]
    needs: tuple[str, ...] = ()
    """Fields that must be named."""
    absent: tuple[str, ...] = ()
    """Fields of which no row need be there: what is counted may not occur."""


def _total(column: str) -> Callable[[pd.DataFrame, PlanSet], Number]:
    def total(rows: pd.DataFrame, _plan: PlanSet) -> Number:
        return cents(sum((v for v in rows[column] if isinstance(v, Decimal)), Decimal(0)))

    return total


def _added(column: str) -> Callable[[pd.DataFrame, PlanSet], Number]:
    return lambda rows, _plan: float(rows[column].dropna().astype(float).sum())


def _largest(column: str) -> Callable[[pd.DataFrame, PlanSet], Number]:
    def largest(rows: pd.DataFrame, _plan: PlanSet) -> Number:
        known = rows[column].dropna()
        return float(known.astype(float).max()) if len(known) else math.nan

    return largest


def _smallest(column: str) -> Callable[[pd.DataFrame, PlanSet], Number]:
    def smallest(rows: pd.DataFrame, _plan: PlanSet) -> Number:
        known = rows[column].dropna()
        return float(known.astype(float).min()) if len(known) else math.inf

    return smallest


def _rows(rows: pd.DataFrame, _plan: PlanSet) -> Number:
    return float(len(rows))


def _overdue(rows: pd.DataFrame, _plan: PlanSet) -> Number:
    return float((rows["status"] == "RED").sum())


def _assumed(rows: pd.DataFrame, plan: PlanSet) -> Number:
    """Return the share of USD on items that some assumed limit row sizes."""
    limits = plan.frames["limits"]
    assumed = set(limits.loc[limits["basis"] == "assumed", "node"])
    total = sum((usd for usd in rows["usd"]), Decimal(0))
    part = sum(
        (usd for usd, item in zip(rows["usd"], rows["item"], strict=True) if item in assumed),
        Decimal(0),
    )
    return float(part / total) if total else math.nan


_FINDING: Final = ("severity", "service", "code")
_ORDER: Final = ("item", "kind")
_LIMIT: Final = ("scenario", "tier", "node", "limit")
METRICS: Final[Mapping[str, Metric]] = {
    "season_usd": Metric("cost", "USD", ("scenario", "item"), _total("usd")),
    "assumed_usd_x": Metric("cost", "ratio", ("scenario",), _assumed),
    "nodes": Metric("nodes", "nodes", ("scenario", "pool"), _added("required")),
    "replicas": Metric("services", "pods", ("scenario", "service"), _added("replicas_needed")),
    "p_any": Metric("risk", "ratio", ("scenario", "tier"), _largest("p_any"), ("tier",)),
    "p_any_after_orders": Metric(
        "risk", "ratio", ("scenario", "tier"), _largest("p_any_after_orders"), ("tier",)
    ),
    "p_saturate": Metric("limits", "ratio", _LIMIT, _largest("p_saturate")),
    "utilization_p50": Metric("limits", "ratio", _LIMIT, _largest("utilization_p50")),
    "utilization_p95": Metric("limits", "ratio", _LIMIT, _largest("utilization_p95")),
    "peak_p50": Metric("limits", "unit", _LIMIT, _largest("peak_p50"), ("node", "limit")),
    "binds_at_x": Metric("limits", "x today", _LIMIT, _smallest("binds_at_x")),
    "breaks_at_x": Metric("limits", "x today", _LIMIT, _smallest("breaks_at_x")),
    "status_count": Metric(
        "limits", "limits", (*_LIMIT, "status"), _rows, ("status",), absent=("status",)
    ),
    "findings": Metric("findings", "findings", _FINDING, _rows, absent=_FINDING),
    "orders_usd": Metric("orders", "USD", _ORDER, _total("usd"), absent=_ORDER),
    "orders_overdue": Metric("orders", "orders", _ORDER, _overdue, absent=_ORDER),
}
"""By name; where several rows remain, USD, nodes and pods are summed and limits' worst is taken."""
WORDS: Final[Mapping[str, tuple[str, ...]]] = {
    "status": ("GREEN", "AMBER", "RED", "GREY"),
    "severity": ("error", "warning", "info"),
    "kind": ("nodes", "db_class", "quota", "config", "storage"),
}
"""What a scope may name though no row has it."""
NODES: Final = ("drivers", "services", "databases", "externals", "pools", "limits")


def measure(metric: Metric, scope: Mapping[str, Any], plan: PlanSet, *, where: str) -> Number:
    """Return a metric's value in a scope of a plan.

    Raises
    ------
    InputError
        For a scope that no row of the plan can have; the nearest that one has is offered.
    """
    rows = plan.frames[metric.frame]
    wanted = dict(scope)
    if "scenario" in metric.scope:
        wanted.setdefault("scenario", MIXTURE)
    for column, value in sorted(wanted.items(), key=lambda one: one[0] in metric.absent):
        known = dict.fromkeys(str(v) for v in rows[column])
        if column in metric.absent:
            known |= dict.fromkeys(_words(column, plan) or (str(value),))
        if str(value) not in known:
            close = nearest(str(value), known)
            raise InputError.of(
                f"{where}.scope.{column}",
                got=f'"{value}"',
                expected=f"one of: {', '.join(known) or 'none, the plan has no such row'}",
                do=f'Did you mean "{close}"?' if close else "Correct the scope.",
            )
        rows = rows[rows[column].astype(str) == str(value)]
    return metric.value(rows, plan)


def _words(column: str, plan: PlanSet) -> tuple[str, ...]:
    """Return what a field may name beside what the rows hold; () where that is anything."""
    if column in {"item", "service"}:
        return tuple(name for kind in NODES for name in plan.meta["topology"][kind])
    return WORDS.get(column, ())
