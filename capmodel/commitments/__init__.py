"""How capacity is bought: commitments, their order of application, and their best size.

This module answers: which part of an estate's hourly usage should a discounted commitment cover,
beyond those that exist, and what does it save, waste and regret?
"""

from __future__ import annotations

from capmodel.commitments.layers import Layer, Spending, apply_layers, covered, optimal_payment
from capmodel.commitments.optimum import (
    Commitment,
    commitment_at,
    commitment_regret,
    optimal_commitment,
)
from capmodel.commitments.policy import Buy, DiscountRow, Existing, Negotiated, PurchasePolicy, Spot
from capmodel.commitments.tiers import Tier, TierMember, TierResult, solve_tiers

__all__ = [
    "Buy",
    "Commitment",
    "DiscountRow",
    "Existing",
    "Layer",
    "Negotiated",
    "PurchasePolicy",
    "Spending",
    "Spot",
    "Tier",
    "TierMember",
    "TierResult",
    "apply_layers",
    "commitment_at",
    "commitment_regret",
    "covered",
    "optimal_commitment",
    "optimal_payment",
    "solve_tiers",
]
