"""Which inputs move the plan: each one low and high with all others as they are, widest first.

This module answers: how many nodes and USD hang on this number, where does its range come from, and
what would the plan save if somebody measured it? Every case is sized in full, on the draws of the
plan itself, so that a difference is the input's and not luck's.

A range is P10 to P90 of the input's own evidence where there is any (the scenarios', a lift's, a
slope's, a call ratio's), else stated here. One input moves at a time: effects that need two are
not seen (Eschenbach 1992, *Spiderplots versus Tornado Diagrams for Sensitivity Analysis*,
Interfaces 22(6), 40-46).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Protocol

import pandas as pd

from capmodel.capacity.risk import probability
from capmodel.cost import cents
from capmodel.plan.alone import Totals, totals
from capmodel.plan.cases import Case, Move
from capmodel.plan.moves import moves_of
from capmodel.plan.supply import make_supply

if TYPE_CHECKING:
    from capmodel.plan.futures import Futures
    from capmodel.plan.make import Solved
    from capmodel.plan.model import CapacityFit
    from capmodel.plan.request import PlanRequest
    from capmodel.plan.supply import Supply

__all__ = ["TORNADO_COLUMNS", "tornado_frame"]

TORNADO_COLUMNS = [
    "rank", "input", "kind", "node", "low", "central", "high", "unit", "range", "basis",
    "nodes_low", "nodes_plan", "nodes_high", "swing_nodes", "usd_low", "usd_plan", "usd_high",
    "swing_usd", "p_any_low", "p_any_plan", "p_any_high", "usd_if_known", "saves_usd", "measure",
]  # fmt: skip

Figures = tuple[float, Decimal, float]
"""Nodes, season's USD, p_any of the strictest tier."""


class Solve(Protocol):
    """What sizes a request: :func:`capmodel.plan.make.solve`."""

    def __call__(
        self, fit: CapacityFit, request: PlanRequest, *, futures: Futures | None = None
    ) -> Solved:
        """Return the arrays of a plan."""


def tornado_frame(solved: Solved, supply: Supply, *, solve: Solve) -> pd.DataFrame:
    """Return one row per input, the one that moves the season's USD most on top.

    ``low`` and ``high`` are values of the input; ``nodes_low`` and so on what the mixture orders
    there. ``p_any`` is that of the strictest tier as things stand. ``usd_if_known`` is what the
    plan would cost on average if the input were known before ordering, where the plan holds its
    uncertainty; ``saves_usd`` what that is less than the plan: nothing where neither end of the
    range moves anything.
    """
    bill = totals(solved, supply)
    plan = _figures(solved, bill)

    known: dict[Case, Figures] = {}  # cases are equal where they are the same object

    def moved(case: Case) -> Figures:
        if case not in known:
            known[case] = figures_of(case)
        return known[case]

    def figures_of(case: Case) -> Figures:
        if case.price_x != 1.0:
            usd = cents(bill.usd * Decimal(repr(case.price_x)))
            return _figures(solved, replace(bill, usd=usd))
        fit, request, futures = case.inputs(solved)
        other = solve(fit, request, futures=futures)
        return _figures(other, totals(other, make_supply(other, mixture_only=True)))

    rows = [_row(move, plan, moved) for move in moves_of(solved, supply)]
    rows.sort(key=lambda r: (-r["swing_usd"], -r["swing_nodes"], r["input"]))
    return pd.DataFrame(
        [row | {"rank": rank} for rank, row in enumerate(rows, 1)], columns=TORNADO_COLUMNS
    )


def _row(move: Move, plan: Figures, moved: Callable[[Case], Figures]) -> dict[str, Any]:
    low, high = moved(move.at_low), moved(move.at_high)
    known = plan[1] if move.if_known and low == high == plan else _if_known(move, moved)
    return {
        "input": move.name,
        "kind": move.kind,
        "node": move.node,
        "low": move.low,
        "central": move.central,
        "high": move.high,
        "unit": move.unit,
        "range": move.source,
        "basis": move.basis,
        **{f"nodes_{at}": f[0] for at, f in (("low", low), ("plan", plan), ("high", high))},
        "swing_nodes": max(low[0], high[0], plan[0]) - min(low[0], high[0], plan[0]),
        **{f"usd_{at}": f[1] for at, f in (("low", low), ("plan", plan), ("high", high))},
        "swing_usd": max(low[1], high[1], plan[1]) - min(low[1], high[1], plan[1]),
        **{f"p_any_{at}": f[2] for at, f in (("low", low), ("plan", plan), ("high", high))},
        "usd_if_known": known,
        "saves_usd": None if known is None else plan[1] - known,
        "measure": move.measure,
    }


def _figures(solved: Solved, bill: Totals) -> Figures:
    tier = min(solved.tier_any, default=None)
    p_any = math.nan
    if tier is not None:
        p_any = probability(solved.tier_any[tier], solved.request.weights)
    return bill.nodes, bill.usd, p_any


def _if_known(move: Move, moved: Callable[[Case], Figures]) -> Decimal | None:
    """Return the mean bill over what the input may turn out to be, each known before ordering."""
    if not move.if_known:
        return None
    bills = [Decimal(repr(weight)) * moved(case)[1] for weight, case in move.if_known]
    return cents(sum(bills, Decimal(0)))
