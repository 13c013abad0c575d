"""What to commit to, beyond what exists: one row per kind, term and scope, and a year's bill.

This module answers: which usage may a commitment cover, how much of it do existing ones cover, what
should be typed into the console, and what does that save, waste and regret over the term? Only
rates become money: a published maximum leaves its row GREY.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd

from capmodel.catalog import Discounts
from capmodel.catalog.tables import age_findings
from capmodel.commitments import Layer, Tier, TierMember, TierResult, apply_layers, solve_tiers
from capmodel.commitments.tiers import KINDS
from capmodel.cost import cents
from capmodel.plan.equip import root_basis
from capmodel.plan.frames_limits import MIXTURE
from capmodel.plan.term_usage import Hours, Item, TermUsage, years_after
from capmodel.schema import Finding, Findings, worst_basis

if TYPE_CHECKING:
    from capmodel.commitments import Buy, Existing
    from capmodel.schema import Basis

__all__ = [
    "Proposal",
    "commitments_frame",
    "existing_layers",
    "make_proposal",
    "spending_of",
    "usd",
]

COMMITMENT_COLUMNS: Final = [
    "kind", "years", "payment", "scope", "items", "start", "end", "hours", "status", "discount",
    "usage_usd_per_hour", "existing_usd_per_hour", "above_usd_per_hour", "covers_usd_per_hour",
    "pays_usd_per_hour", "count", "paid_usd", "saving_usd", "waste_usd", "regret_usd", "draws",
    "basis", "as_of", "source", "reason",
]  # fmt: skip
MONEY: Final = ("paid_usd", "saving_usd", "waste_usd", "regret_usd")
DEMAND_X: Final = 0.8
"""Regret is told for usage that comes out a fifth lower [ratio]."""
EVERY: Final = "all"


@dataclass(frozen=True, slots=True)
class Offer:
    """A commitment that the policy may buy, over one scope; `tier` is None where no rate is known.

    ``reason`` says why, or which items it leaves out.
    """

    buy: Buy
    scope: str
    items: tuple[Item, ...]
    tier: Tier | None
    reason: str


@dataclass(frozen=True, slots=True, eq=False)
class Proposal:
    """The offers, and what became of those with a rate."""

    usage: TermUsage
    offers: tuple[Offer, ...]
    results: tuple[TierResult, ...]

    def result(self, offer: Offer) -> TierResult | None:
        """Return what an offer came to."""
        return next((r for r in self.results if r.tier is offer.tier), None)

    def layers(self, when: Hours) -> list[Layer]:
        """Return what exists and what is proposed, in the order in which it was solved, by item."""
        made = existing_layers(self.usage, when)
        start = np.datetime64(self.usage.start)
        for result in self.results:
            years = next(o.buy.years for o in self.offers if o.tier is result.tier)
            end = np.datetime64(years_after(self.usage.start, years))
            active = (when.date >= start) & (when.date < end)
            made.append(Layer(result.tier.scope, result.tier.discounts, result.pays * active))
        return [_by_item(layer, self.usage) for layer in made]

    def findings(self) -> Findings:
        """Report rates that are old at the plan's date, and commitments that cover nothing."""
        rows = {member.discount for r in self.results for member in r.tier.members}
        aged = age_findings(
            (
                (row, f"the discount of {row.kind}", {"kind": row.kind, "family": row.family})
                for row in rows
            ),
            as_of=self.usage.solved.request.as_of,
            of="discount",
        )
        unused = [
            Finding(
                code="commitment_unused",
                severity="warning",
                service="",
                message=f"the existing {row.kind} {row.type or row.family} ({row.source}) covers "
                f"nothing of the plan: it is paid until {row.end} all the same",
            )
            for row in self.usage.solved.request.purchase.existing
            if not _covered_by(row, self.usage)
        ]
        return aged + Findings(tuple(unused))


def usd(amount: float) -> Decimal:
    """Return an amount of floating point in cents, an error in its ninth decimal left behind.

    Examples
    --------
    >>> usd(0.1 + 0.2)
    Decimal('0.30')
    """
    return cents(Decimal(repr(round(float(amount), 6))))


def make_proposal(usage: TermUsage) -> Proposal:
    """Return the best size of each commitment that the policy may buy."""
    offers = tuple(_offers(usage))
    tiers = [offer.tier for offer in offers if offer.tier is not None]
    results: tuple[TierResult, ...] = ()
    if tiers:
        years = max(offer.buy.years for offer in offers if offer.tier is not None)
        when = usage.hours(usage.start, years_after(usage.start, years))
        results = solve_tiers(
            _by_group(usage, when),
            existing=existing_layers(usage, when),
            tiers=tiers,
            demand_x=DEMAND_X,
        )
    return Proposal(usage=usage, offers=offers, results=results)


def _by_group(usage: TermUsage, when: Hours) -> dict[str, np.ndarray]:
    """Return the mixture's usage by engine and family, shape (P or 1, T) [USD/h]."""
    found: dict[str, np.ndarray] = {}
    for item, values in zip(usage.items, usage.usage(MIXTURE, when).values(), strict=True):
        found[item.group] = found[item.group] + values if item.group in found else values
    return found


def _by_item(layer: Layer, usage: TermUsage) -> Layer:
    """Return a layer over groups as one over the items in them."""
    items = {i.key: layer.discounts[i.group] for i in usage.items if i.group in layer.discounts}
    return Layer(layer.name, items, layer.pays)


def existing_layers(usage: TermUsage, when: Hours) -> list[Layer]:
    """Return the commitments that exist, in the order in which they apply, over groups of items.

    Each pays 0 from its end on.
    """
    policy = usage.solved.request.purchase
    ranked = sorted(policy.existing, key=lambda row: (KINDS.index(row.kind), -row.discount))
    return [
        Layer(
            name=f"{row.kind} {row.type or row.family}".strip(),
            discounts=dict.fromkeys(_covered_by(row, usage), row.discount),
            pays=_pays(row, usage) * (when.date < np.datetime64(row.end)),
        )
        for row in ranked
    ]


def _pays(row: Existing, usage: TermUsage) -> float:
    """Return what an existing commitment pays, by prices as negotiated [USD/h]."""
    request = usage.solved.request
    if row.count is None:
        agreed = request.purchase.negotiated
        return (row.usd_per_hour or 0.0) * (1.0 - agreed.discount if agreed else 1.0)
    catalog = request.catalog
    kind = catalog.db_class(row.engine, row.type) if row.engine else catalog.node_type(row.type)
    return row.count * float(kind.price_usd_per_hour) * (1.0 - row.discount)


def _covered_by(row: Existing, usage: TermUsage) -> list[str]:
    """Return the groups of items that an existing commitment covers."""
    if row.kind == "reserved":
        family = row.type.rpartition(".")[0] if row.engine else row.type.partition(".")[0]
        fits = [i for i in usage.items if (i.family, i.engine) == (family, row.engine)]
    elif row.kind == "database_sp":
        fits = _of_database_plans(usage)
    else:
        fits = [i for i in usage.items if not i.engine and row.family in ("", i.family)]
    return list(dict.fromkeys(item.group for item in fits))


def _of_database_plans(usage: TermUsage) -> list[Item]:
    """Return the databases of families that a Database Savings Plan takes."""
    taken = usage.solved.request.purchase.database_sp_families
    return [i for i in usage.items if i.engine and i.family.removeprefix("db.") in taken]


def _offers(usage: TermUsage) -> list[Offer]:
    """Return what may be bought: a scope for each kind and term, with the rates that are known."""
    policy = usage.solved.request.purchase
    table = Discounts.builtin().with_overlay(row.row() for row in policy.discounts)
    offers = []
    for buy in sorted(policy.buy, key=lambda b: (-b.years, KINDS.index(b.kind))):
        end = years_after(usage.start, buy.years)
        hours = 0 if usage.reason else len(usage.hours(usage.start, end))
        for scope, items in _scopes(buy, usage).items():
            members, missing = _rates(buy, items, table)
            known = bool(members) and not usage.reason
            tier = Tier(buy.kind, scope, hours, tuple(members)) if known else None
            reason = usage.reason or "; ".join(dict.fromkeys(missing))
            offers.append(Offer(buy, scope, tuple(items), tier, reason))
    return offers


def _scopes(buy: Buy, usage: TermUsage) -> dict[str, list[Item]]:
    """Return the items that one commitment of a kind may cover together, by its scope."""
    if buy.kind == "compute_sp":
        found = {EVERY: [item for item in usage.items if not item.engine]}
    elif buy.kind == "database_sp":
        found = {EVERY: _of_database_plans(usage)}
    else:
        found = {}
        for item in usage.items:
            if buy.kind == "reserved" or not item.engine:
                found.setdefault(item.group, []).append(item)
    return {scope: items for scope, items in found.items() if items}


def _rates(buy: Buy, items: Sequence[Item], table: Discounts) -> tuple[list[TierMember], list[str]]:
    """Return the groups of items with a rate, and what is missing for the others, in words."""
    members, missing = [], []
    for item in {item.group: item for item in items}.values():
        row = table.find(
            buy.kind,
            family=item.family,
            engine=item.engine,
            years=buy.years,
            payment=buy.payment,
        )
        called = f"{buy.kind} of {buy.years} y, {buy.payment}, {item.family}"
        if row is None:
            missing.append(f"no discount is known for {called}: state it in purchase.discounts")
        elif row.figure == "maximum":
            missing.append(
                f"only a published maximum of {float(row.share):.0%} is known for {called}: "
                "state your rate in purchase.discounts"
            )
        else:
            members.append(TierMember(item.group, row))
    return members, missing


def commitments_frame(proposal: Proposal) -> pd.DataFrame:
    """Return one row per kind, term and scope, in the order in which they are decided.

    ``covers_usd_per_hour`` is the usage that the commitment covers beyond what exists and the rows
    above it, ``pays_usd_per_hour`` what is typed into the console, at list prices; saving, waste
    and regret are means over paths of the whole term. ``regret_usd`` is what the size costs more
    than the best one if usage comes out a fifth lower.
    """
    rows = [_row(proposal, offer) for offer in proposal.offers]
    return pd.DataFrame(rows, columns=COMMITMENT_COLUMNS)


def _row(proposal: Proposal, offer: Offer) -> dict[str, Any]:
    usage, buy = proposal.usage, offer.buy
    row: dict[str, Any] = {
        "kind": buy.kind,
        "years": float(buy.years),
        "payment": buy.payment,
        "scope": offer.scope,
        "items": ", ".join(item.key for item in offer.items),
        "start": str(usage.start),
        "end": str(years_after(usage.start, buy.years)),
        "draws": float(sum(usage.shares)),
    }
    result = proposal.result(offer)
    if result is None:
        text = dict.fromkeys(("as_of", "source"), "")
        return {**row, **text, **dict.fromkeys(MONEY), "status": "GREY", "basis": "assumed",
                "reason": offer.reason}  # fmt: skip
    return {**row, **_figures(usage, offer, result)}


def _figures(usage: TermUsage, offer: Offer, result: TierResult) -> dict[str, Any]:
    hours = float(result.tier.hours)
    rows = [member.discount for member in result.tier.members]
    agreed = usage.solved.request.purchase.negotiated
    listed = result.pays / (1.0 - agreed.discount) if agreed else result.pays
    prices = {item.price for item in offer.items}
    reserved = offer.buy.kind == "reserved" and len(prices) == 1
    return {
        "hours": hours,
        "status": "GREEN",
        "discount": 1.0 - result.pays / result.covers if result.covers else float(rows[0].share),
        "usage_usd_per_hour": result.usage,
        "existing_usd_per_hour": result.existing,
        "above_usd_per_hour": result.above,
        "covers_usd_per_hour": result.covers,
        "pays_usd_per_hour": listed,
        "count": result.covers / prices.pop() if reserved else math.nan,
        "paid_usd": usd(result.pays * hours),
        "saving_usd": usd(result.saving * hours),
        "waste_usd": usd(result.waste * hours),
        "regret_usd": usd(result.regret * hours),
        "basis": _basis(usage, offer, result),
        "as_of": min(row.as_of for row in rows).isoformat(),
        "source": "; ".join(dict.fromkeys(row.source for row in rows)),
        "reason": "; ".join(filter(None, [_nothing(result), offer.reason, *usage.notes])),
    }


def _nothing(result: TierResult) -> str:
    return "" if result.pays else "nothing more pays for itself"


def _basis(usage: TermUsage, offer: Offer, result: TierResult) -> Basis:
    """Return the weakest of demand and rate; years that repeat the first are assumed."""
    fit = usage.solved.fit
    bases: list[Basis] = [root_basis(fit, root) for root in fit.roots]
    grown = any(s.growth_yoy_x or s.demand_x for s in usage.solved.request.scenarios)
    estimated = any(member.discount.figure != "rate" for member in result.tier.members)
    if grown or estimated or usage.notes or offer.buy.years > 1:
        bases.append("assumed")
    return worst_basis(bases)


def spending_of(
    proposal: Proposal, scenario: str, when: Hours, *, proposed: bool
) -> tuple[Mapping[str, np.ndarray], np.ndarray]:
    """Return usage that stays on demand by item, (P or 1, T), and what commitments pay, (T,)."""
    usage = proposal.usage
    layers = (
        proposal.layers(when)
        if proposed
        else [_by_item(layer, usage) for layer in existing_layers(usage, when)]
    )
    spending = apply_layers(usage.usage(scenario, when), layers)
    pays = np.sum([np.broadcast_to(layer.pays, len(when)) for layer in layers], axis=0)
    return spending.left, np.broadcast_to(pays, len(when))
