"""How to buy the plan: every frame that stands on the hourly usage of a term.

This module answers: which frames does the part `commitments` add to a plan, and what does it note?
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd

from capmodel.plan.frames_commitments import commitments_frame, make_proposal
from capmodel.plan.frames_levers import levers_frame
from capmodel.plan.frames_reservations import reservations_frame
from capmodel.plan.frames_unit_cost import (
    cost_hour_frame,
    cost_month_frame,
    cost_term_frame,
    unit_cost_frame,
)
from capmodel.plan.supply_databases import hours_of
from capmodel.plan.term_usage import make_term_usage
from capmodel.schema import Findings

if TYPE_CHECKING:
    from capmodel.commitments import PurchasePolicy
    from capmodel.plan.make import Solved
    from capmodel.plan.supply import Supply

__all__ = ["Purchase", "make_purchase", "purchase_meta", "with_purchase"]


@dataclass(frozen=True, slots=True, eq=False)
class Purchase:
    """Frames by name, empty where the part was not asked for, and what is noted."""

    frames: Mapping[str, pd.DataFrame]
    findings: Findings


def make_purchase(
    solved: Solved, supply: Supply, *, orders: pd.DataFrame, calendar_yoy: pd.DataFrame
) -> Purchase:
    """Return what the plan costs by hour and month, what to commit to, and what to reserve."""
    if "commitments" not in solved.request.also:
        return Purchase({}, Findings())
    proposal = make_proposal(make_term_usage(solved, supply))
    months = cost_month_frame(proposal, calendar_yoy)
    frames = {
        "cost_hour": cost_hour_frame(proposal),
        "cost_month": months,
        "unit_cost": unit_cost_frame(proposal, months),
        "cost_term": cost_term_frame(proposal),
        "commitments": commitments_frame(proposal),
        "reservations": reservations_frame(proposal, orders),
    }
    return Purchase(frames, proposal.findings())


def with_purchase(solved: Solved, frames: Mapping[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """Return the frames with levers and what buying assumes, where the part was asked for."""
    if "commitments" not in solved.request.also:
        return dict(frames)
    assumptions = frames["assumptions"]
    added = pd.DataFrame(
        [
            (f"purchase: {n}", v, u, "assumed", s)
            for n, v, u, s in _assumed(solved.request.purchase)
        ],
        columns=assumptions.columns,
    )
    return {
        **frames,
        "levers": levers_frame(frames, season_hours=hours_of(solved)),
        "assumptions": pd.concat([assumptions, added], ignore_index=True),
    }


def _assumed(policy: PurchasePolicy) -> list[tuple[str, str, str, str]]:
    """Return (name, value, unit, source) of what the policy states without a measurement."""
    stated = policy.model_fields_set
    rows = [
        (name.replace("_", " "), f"{getattr(policy, name)}", unit,
         f"purchase, {name}" if name in stated else "default")
        for name, unit in (("growth_after_year_x", "ratio"), ("databases_after_season", ""))
    ]  # fmt: skip
    for pool, spot in policy.spot.items():
        rows += [
            (f"Spot share of {pool}", f"{spot.share:g}", "ratio", spot.source),
            (f"Spot discount of {pool}", f"{spot.discount:g}", "ratio", spot.source),
            (f"Spot reserve of {pool}", f"{spot.reserve:g}", "ratio", spot.source),
        ]
    rows += [
        (f"existing {row.kind} until {row.end}", f"{row.usd_per_hour or row.count:g}",
         "instances" if row.count else "USD/h", row.source)
        for row in policy.existing
    ]  # fmt: skip
    if policy.negotiated is not None:
        agreed = policy.negotiated
        rows.append(("negotiated discount", f"{agreed.discount:g}", "ratio", agreed.source))
    return rows


def purchase_meta(solved: Solved) -> dict[str, Any]:
    """Return the policy that was bought by, where the part was asked for."""
    if "commitments" not in solved.request.also:
        return {}
    return {"purchase": solved.request.purchase.model_dump(mode="json")}
