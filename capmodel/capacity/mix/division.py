"""Services divided over instance types as if pods were liquid, and what the division is worth.

This module answers: can nodes of these types hold these pods at all, if not what do their prices
say, and how little could any nodes weigh?
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from capmodel.capacity.mix.model import LinearModel
from capmodel.capacity.mix.spec import UNITS, Floats, Ints, Pool

__all__ = ["Division", "divide", "least_weight_prices", "node_worth"]

_UNPLACED: Final = 1e3
"""What a pod left over counts against a type's utilization: it is left over last of all."""
_WHOLE: Final = 1e-6


@dataclass(frozen=True, slots=True, eq=False)
class Division:
    """Pods of services divided over types.

    ``pods`` whole pods, rounded down (T, S). ``fullest`` the highest utilization of any resource of
    any type [ratio]; above 1 no placement exists. ``prices`` per pod (S,), for which the nodes are
    worth less than the pods then.
    """

    pods: Ints
    fullest: float
    prices: Floats


def divide(pool: Pool, counts: Ints, pods: Ints) -> Division:
    """Divide pods (S,) over nodes (T,) such that the fullest resource of any type is lowest.

    Formula: ``min u`` with ``sum over t of x[t, i] = pods[i]``, ``sum over i of request[i] x[t, i]
    <= u counts[t] room[t]`` and ``x[t, i] <= counts[t] most[t, i]``.
    """
    groups, runs = np.flatnonzero(counts), np.flatnonzero(pods)
    most = pool.most * counts[:, None]
    if groups.size < 2 or not runs.size:  # noqa: PLR2004  one type takes all
        whole = np.minimum(most, pods)
        filled = whole[groups] @ pool.request / (pool.room[groups] * counts[groups, None])
        fullest = float(filled.max(initial=0.0))
        return Division(pods=whole, fullest=fullest, prices=np.zeros(pods.size))
    model = LinearModel()
    highest = model.variables([np.inf], cost=1.0)
    left = model.variables(np.full(runs.size, np.inf), cost=_UNPLACED)
    shares = [model.variables(most[group, runs]) for group in groups]
    each = np.eye(runs.size)
    model.require(
        (left, each), *((one, each) for one in shares), at_least=pods[runs], at_most=pods[runs]
    )
    for group, one in zip(groups, shares, strict=True):
        filled = pool.request[runs].T / (pool.room[group] * counts[group])[:, None]
        model.require((one, filled), (highest, -np.ones((UNITS.size, 1))), at_most=0.0)
    found = model.solve_fractions()
    values = found.values if found.values is not None else np.zeros(model.size)
    whole, prices = np.zeros_like(most), np.zeros(pods.size)
    for group, one in zip(groups, shares, strict=True):
        whole[group, runs] = np.floor(values[one] + _WHOLE)
    prices[runs] = np.maximum(found.prices, 0.0)
    return Division(pods=np.minimum(whole, most), fullest=float(values[highest][0]), prices=prices)


def least_weight_prices(pool: Pool) -> Floats:
    """Return the price of a pod of each service (S,) in the lightest fractional nodes.

    Formula: the multipliers of ``sum over t of x[t, i] = pods[i]`` in ``min sum of weight[t] n[t]``
    with ``sum over i of request[i] x[t, i] <= room[t] n[t]``.
    """
    runs = np.flatnonzero(pool.pods)
    prices = np.zeros(pool.pods.size)
    if not runs.size:
        return prices
    model = LinearModel()
    nodes = model.variables(
        np.where(pool.allowed, np.inf, 0.0), cost=pool.weight / pool.weight.mean()
    )
    shares = [model.variables(np.where(fits, np.inf, 0.0)) for fits in pool.most[:, runs] > 0]
    each = np.eye(runs.size)
    model.require(
        *((one, each) for one in shares), at_least=pool.pods[runs], at_most=pool.pods[runs]
    )
    for kind, one in enumerate(shares):
        room = np.zeros((UNITS.size, len(shares)))
        room[:, kind] = -pool.room[kind] / UNITS
        model.require((one, (pool.request[runs] / UNITS).T), (nodes, room), at_most=0.0)
    prices[runs] = np.maximum(model.solve_fractions().prices, 0.0)
    return prices


def node_worth(pool: Pool, prices: Floats) -> Floats:
    """Return the most that the pods of one node can be worth, for each type (T,).

    Formula: ``max sum of prices[i] y[i]`` with ``sum of request[i] y[i] <= room[t]`` and ``y[i] <=
    most[t, i]``. Whatever the prices, nodes that hold the pods are worth no less than the pods.

    References
    ----------
    Gilmore, P. C., Gomory, R. E. (1961). *A Linear Programming Approach to the Cutting-Stock
    Problem*, Operations Research 9(6): prices of pieces, and the knapsack that they make of a roll.
    """
    dear = np.flatnonzero((prices > 0) & (pool.pods > 0))
    model = LinearModel()
    shares = [
        model.variables(np.minimum(most, pool.pods[dear]), cost=-prices[dear])
        for most in pool.most[:, dear]
    ]
    for room, one in zip(pool.room, shares, strict=True):
        model.require((one, (pool.request[dear] / UNITS).T), at_most=room / UNITS)
    found = model.solve_fractions()
    values = found.values if found.values is not None else np.zeros(model.size)
    return np.array([prices[dear] @ values[one] for one in shares])
