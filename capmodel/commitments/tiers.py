"""Commitments to buy, tier by tier: the longest term first, each on what is left above the others.

This module answers: how much of each kind and term should be bought beyond what exists, what does
it save over its term, what is wasted, and what is regretted if demand falls short? Two tiers over
the same hours collapse to the deeper discount, so tiers differ by their term: that of three years
is solved on three years of hours, that of one year on what is above it in the first.

Shapes: P paths, T hours of the longest term; a tier of fewer years has the first of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from capmodel.catalog.discounts import CommitmentKind, Discount
from capmodel.commitments.layers import Layer, apply_layers, covered, optimal_payment

__all__ = ["KINDS", "Tier", "TierMember", "TierResult", "in_order", "solve_tiers"]

Floats = npt.NDArray[np.float64]

KINDS: Final[tuple[CommitmentKind, ...]] = (
    "reserved",
    "instance_sp",
    "compute_sp",
    "database_sp",
)
"""In the order in which they apply."""


@dataclass(frozen=True, slots=True)
class TierMember:
    """An item that a tier may cover, and the discount that is known for it."""

    item: str
    discount: Discount


@dataclass(frozen=True, slots=True)
class Tier:
    """A commitment that may be bought: its kind and term, and the items that it covers."""

    kind: CommitmentKind
    scope: str
    """The family, or ``all``."""
    hours: int
    """Of the term, from the first one on [h]."""
    members: tuple[TierMember, ...]

    @property
    def discounts(self) -> dict[str, float]:
        """Item to discount [ratio]."""
        return {member.item: float(member.discount.share) for member in self.members}


@dataclass(frozen=True, slots=True, eq=False)
class TierResult:
    """What a tier should be, and what an hour of its term then costs on average [USD/h]."""

    tier: Tier
    usage: float
    """Usage that is eligible, at on-demand prices."""
    existing: float
    """Of that, covered by commitments that exist, at on-demand prices."""
    above: float
    """Of that, covered by tiers solved before."""
    pays: float
    covers: float
    """Usage that the payment covers where it is used, at on-demand prices."""
    saving: float
    waste: float
    regret: float
    """What an hour costs more than with the best size, if usage comes out at `demand_x`."""

    @property
    def layer(self) -> Layer:
        """The tier as bought, for the hours of its term."""
        return Layer(self.tier.scope, self.tier.discounts, self.pays)


def in_order(tiers: Sequence[Tier]) -> list[Tier]:
    """Return tiers as they are solved: longest term first, then by kind, then by discount."""
    return sorted(
        tiers,
        key=lambda t: (-t.hours, KINDS.index(t.kind), -max(t.discounts.values()), t.scope),
    )


def solve_tiers(
    usage: Mapping[str, Floats],
    *,
    existing: Sequence[Layer],
    tiers: Sequence[Tier],
    demand_x: float = 0.8,
) -> tuple[TierResult, ...]:
    """Return the best size of each tier, beyond what exists and the tiers solved before it.

    Parameters
    ----------
    usage
        Item to usage at on-demand prices over the longest term [USD/h].
    existing
        Commitments that exist, in their order of application, each paying 0 after its end.
    tiers
        What may be bought, each with one member at least.
    demand_x
        Usage that comes / usage expected, for the regret [ratio].

    Returns
    -------
    tuple of TierResult
        In the order in which they were solved.
    """
    lower = {item: demand_x * values for item, values in usage.items()}
    left = dict(apply_layers(usage, existing).left)
    left_lower = dict(apply_layers(lower, existing).left)
    uncovered = dict(left)
    results = []
    for tier in in_order(tiers):
        hours = slice(0, tier.hours)
        names = [member.item for member in tier.members]
        here = {item: left[item][:, hours] for item in names}
        pays = optimal_payment(here, discounts=tier.discounts)
        found, wasted = covered(here, discounts=tier.discounts, pays=pays)
        mean = _mean(found.values())
        spent = pays - float(wasted.mean())
        eligible, open_before = (
            _mean(values[item][:, hours] for item in names) for values in (usage, uncovered)
        )
        low = {item: left_lower[item][:, hours] for item in names}
        results.append(
            TierResult(
                tier=tier,
                usage=eligible,
                existing=eligible - open_before,
                above=open_before - _mean(here.values()),
                pays=pays,
                covers=pays * mean / spent if spent > 0 else 0.0,
                saving=mean - pays,
                waste=float(wasted.mean()),
                regret=_regret(low, tier.discounts, pays),
            )
        )
        left |= _less(left, found, hours)
        made, _ = covered(low, discounts=tier.discounts, pays=pays)
        left_lower |= _less(left_lower, made, hours)
    return tuple(results)


def _mean(parts: Iterable[Floats]) -> float:
    return float(sum(float(part.mean()) for part in parts))


def _regret(usage: Mapping[str, Floats], discounts: Mapping[str, float], pays: float) -> float:
    """Return the mean cost of a payment above that of the best one, at least 0 [USD/h]."""
    best = optimal_payment(usage, discounts=discounts)
    costs = [
        payment - _mean(covered(usage, discounts=discounts, pays=payment)[0].values())
        for payment in (pays, best)
    ]
    return max(costs[0] - costs[1], 0.0)


def _less(
    left: Mapping[str, Floats], found: Mapping[str, Floats], hours: slice
) -> dict[str, Floats]:
    """Return the items' usage without what is covered in some hours."""
    result = {}
    for item, part in found.items():
        shape = np.broadcast_shapes(left[item][:, hours].shape, part.shape)
        whole = np.broadcast_to(left[item], (shape[0], left[item].shape[1])).copy()
        whole[:, hours] = np.maximum(whole[:, hours] - part, 0.0)
        result[item] = whole
    return result
