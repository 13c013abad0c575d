"""Commitments on top of one another: what each covers in every hour, in the order of a bill.

This module answers: with these commitments, which usage is covered, what is paid for nothing, and
what stays on demand? Usage is that of items (a pool, a database), each with its own discount under
a commitment that spans several; the highest discount is served first.

Shapes: P paths, T hours; usage of an item is (P, T) or (1, T) where every path has the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from capmodel.commitments.optimum import optimal_commitment

__all__ = ["Layer", "Spending", "apply_layers", "covered", "optimal_payment"]

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Layer:
    """A commitment: what it pays, and which items it covers at which discount."""

    name: str
    discounts: Mapping[str, float]
    """Item to what the commitment takes off its on-demand price [ratio]."""
    pays: npt.ArrayLike
    """Paid in each hour, used or not: a number, or shape (T,), 0 outside the term [USD/h]."""


@dataclass(frozen=True, slots=True, eq=False)
class Spending:
    """What layers leave: usage on demand by item, and by layer what it covered and wasted."""

    left: Mapping[str, Floats]
    """Item to usage that no layer covers, at on-demand prices [USD/h]."""
    covered: tuple[Mapping[str, Floats], ...]
    """For each layer, item to usage that it covers, at on-demand prices [USD/h]."""
    wasted: tuple[Floats, ...]
    """For each layer, what is paid and not used [USD/h]."""


def covered(
    usage: Mapping[str, Floats], *, discounts: Mapping[str, float], pays: npt.ArrayLike
) -> tuple[dict[str, Floats], Floats]:
    """Return what a payment covers of each item, highest discount first, and what is left of it.

    Parameters
    ----------
    usage
        Item to usage at on-demand prices [USD/h].
    discounts
        Item to discount; items without one are not covered [ratio].
    pays
        Paid in each hour [USD/h].

    Examples
    --------
    >>> usage = {"m6i": np.array([[10.0]]), "c7g": np.array([[10.0]])}
    >>> found, wasted = covered(usage, discounts={"m6i": 0.2, "c7g": 0.5}, pays=9.0)
    >>> {item: float(c[0, 0]) for item, c in found.items()}, float(wasted[0, 0])
    ({'c7g': 10.0, 'm6i': 5.0}, 0.0)
    """
    left = np.atleast_2d(np.asarray(pays, dtype=np.float64))
    found: dict[str, Floats] = {}
    for item in _by_discount(discounts):
        rate = 1.0 - discounts[item]
        spent = np.minimum(left, rate * usage[item])
        found[item] = spent / rate
        left = left - spent
    return found, left


def apply_layers(usage: Mapping[str, Floats], layers: Sequence[Layer]) -> Spending:
    """Return what layers cover one after the other, and what they leave on demand.

    A provider applies reserved instances first, then the Savings Plans of one family, then those of
    all: `layers` stand in that order.
    """
    left = dict(usage)
    by_layer: list[Mapping[str, Floats]] = []
    wasted: list[Floats] = []
    for layer in layers:
        found, unused = covered(left, discounts=layer.discounts, pays=layer.pays)
        # Covering all of an item leaves nothing: rounding must not leave less than that.
        left |= {item: np.maximum(left[item] - part, 0.0) for item, part in found.items()}
        by_layer.append(found)
        wasted.append(unused)
    return Spending(left=left, covered=tuple(by_layer), wasted=tuple(wasted))


def optimal_payment(usage: Mapping[str, Floats], *, discounts: Mapping[str, float]) -> float:
    """Return the payment per hour with the lowest mean cost, over items of different discounts.

    With items in falling order of discount, ``b_j`` what covering the first j of them costs in an
    hour and ``v_j = 1 / (1 - d_j)`` the usage that a dollar covers, a further dollar covers
    ``sum_j (v_j - v_{j+1}) P(b_j > K)`` on average; the best K is the smallest at which that is at
    most the dollar itself. For one item it is ``(1 - d)`` times the d-quantile of its usage.

    Parameters
    ----------
    usage
        Item to usage at on-demand prices, hours and paths all alike probable [USD/h].
    discounts
        Item to discount, each in (0, 1) [ratio].

    Returns
    -------
    float
        What to pay in every hour: the figure that a provider's console asks for [USD/h].

    References
    ----------
    Arrow, Harris and Marschak (1951), Econometrica 19, 250-272, for one item; the same first-order
    condition of a convex cost for several.

    Examples
    --------
    >>> usage = {"m6i": np.array([[60.0, 80.0, 100.0, 120.0, 140.0]])}
    >>> optimal_payment(usage, discounts={"m6i": 0.4})
    48.0
    """
    items = _by_discount(discounts)
    if not items:
        return 0.0
    if len({discounts[item] for item in items}) == 1:
        together = sum(usage[item] for item in items)
        return optimal_commitment(together, discount=discounts[items[0]]).pays_usd_per_hour
    worth = [1.0 / (1.0 - discounts[item]) for item in items] + [0.0]
    spent: Floats = np.zeros((1, 1))
    shape = np.broadcast_shapes(*(usage[item].shape for item in items))
    costs, drops = [], []
    for j, item in enumerate(items):
        spent = spent + (1.0 - discounts[item]) * usage[item]
        drop = worth[j] - worth[j + 1]
        if drop > 0:
            costs.append(np.broadcast_to(spent, shape).ravel())
            drops.append(drop)
    return _where_it_is_worth_one(costs, drops)


def _where_it_is_worth_one(costs: Sequence[Floats], drops: Sequence[float]) -> float:
    """Return the smallest cost at which a further dollar covers a dollar at most."""
    size = costs[0].size
    values = np.concatenate(costs)
    weights = np.repeat(drops, size) / size
    order = np.argsort(values, kind="stable")
    reached = np.cumsum(weights[order])
    position = int(np.searchsorted(reached, reached[-1] - 1.0 - 1e-12))
    return float(values[order][min(position, len(values) - 1)])


def _by_discount(discounts: Mapping[str, float]) -> list[str]:
    return sorted(discounts, key=lambda item: (-discounts[item], item))
