"""How much usage to commit to for a term: one quantile of it, and what a wrong guess costs.

This module answers: which part of an estate's hourly usage should a discounted commitment cover,
what does it cost and save, and how much is regretted if demand falls short? Usage is what an hour
costs on demand [USD/h], on paths that span the term and not only its season: a holiday's month is
a twelfth of a year's hours, and hardly moves the optimum however high it is.

Shapes: any; every entry is one hour of one path, all alike probable.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from capmodel.errors import InputError
from capmodel.laws.arguments import number, raise_any

__all__ = ["Commitment", "commitment_at", "commitment_regret", "optimal_commitment"]

Floats = npt.NDArray[np.float64]
_USAGE = "Give each hour's usage at on-demand prices, without gaps [USD/h]."
_DISCOUNT = "Give 0.28 for 28 % off the on-demand price."


@dataclass(frozen=True, slots=True)
class Commitment:
    """A commitment beyond those that exist, and what the hours then cost on average."""

    covers_usd_per_hour: float
    """Usage that it covers, at on-demand prices [USD/h]."""
    pays_usd_per_hour: float
    """What it costs, used or not: the figure that a provider's console asks for [USD/h]."""
    usd_per_hour: float
    """Mean cost of an hour: the commitment, and the rest on demand [USD/h]."""
    on_demand_usd_per_hour: float
    """Mean cost of an hour without it [USD/h]."""
    waste_usd_per_hour: float
    """Mean of what is paid and not used [USD/h]."""

    @property
    def saving_usd_per_hour(self) -> float:
        """Mean saving of an hour; negative where it costs more than it saves [USD/h]."""
        return self.on_demand_usd_per_hour - self.usd_per_hour


def commitment_at(
    usage_usd_per_hour: npt.ArrayLike,
    *,
    covers: float,
    discount: float,
    existing: npt.ArrayLike = 0.0,
) -> Commitment:
    """Return what a given commitment costs, saves and wastes.

    Formula: ``cost(c) = (1 - d) c + mean max(D - c, 0)`` with D the usage above ``existing``;
    ``waste = (1 - d) mean max(c - D, 0)``.

    Parameters
    ----------
    usage_usd_per_hour
        Usage at on-demand prices, any shape [USD/h].
    covers
        Usage that the commitment covers, beyond `existing` [USD/h].
    discount
        Off the on-demand price, in (0, 1) [ratio].
    existing
        Usage that earlier commitments cover in each hour, broadcastable: 0 after their end [USD/h].

    Raises
    ------
    InputError
        For usage that is empty, negative or has gaps, and a discount outside (0, 1).

    Examples
    --------
    >>> commitment_at([60, 100, 140, 100], covers=100, discount=0.25).usd_per_hour
    85.0
    """
    usage = _above(usage_usd_per_hour, existing, discount)
    raise_any(number("covers", covers, "Give the usage to cover [USD/h].", least=0))
    pays = (1.0 - discount) * covers
    return Commitment(
        covers_usd_per_hour=float(covers),
        pays_usd_per_hour=pays,
        usd_per_hour=pays + float(np.maximum(usage - covers, 0.0).mean()),
        on_demand_usd_per_hour=float(usage.mean()),
        waste_usd_per_hour=(1.0 - discount) * float(np.maximum(covers - usage, 0.0).mean()),
    )


def optimal_commitment(
    usage_usd_per_hour: npt.ArrayLike, *, discount: float, existing: npt.ArrayLike = 0.0
) -> Commitment:
    """Return the commitment with the lowest mean cost: the d-quantile of the usage.

    Formula: ``cost'(c) = (1 - d) - P(D > c) = 0``, so ``F(c*) = d``; of hours given one by one the
    smallest usage that at least a share d of them does not exceed. A larger commitment pays in more
    than a share d of the hours for what nobody uses.

    Parameters
    ----------
    usage_usd_per_hour
        Usage at on-demand prices on paths that span the term, any shape [USD/h].
    discount
        Off the on-demand price, in (0, 1) [ratio].
    existing
        Usage that earlier commitments cover in each hour, broadcastable: 0 after their end [USD/h].

    Raises
    ------
    InputError
        For usage that is empty, negative or has gaps, and a discount outside (0, 1).

    References
    ----------
    The newsvendor's critical ratio: Arrow, Harris and Marschak (1951), Econometrica 19, 250-272.

    Examples
    --------
    >>> best = optimal_commitment([60, 80, 100, 120, 140], discount=0.4)
    >>> best.covers_usd_per_hour, best.pays_usd_per_hour
    (80.0, 48.0)
    """
    usage = _above(usage_usd_per_hour, existing, discount)
    # A share d of n hours; rounding may put 0.28 * 100 above 28, which is no further hour.
    rank = max(int(np.ceil(discount * usage.size - 1e-9)), 1)
    covers = float(np.partition(usage.ravel(), rank - 1)[rank - 1])
    return commitment_at(usage, covers=covers, discount=discount)


def commitment_regret(
    usage_usd_per_hour: npt.ArrayLike,
    *,
    covers: float,
    discount: float,
    demand_x: float,
    existing: npt.ArrayLike = 0.0,
) -> float:
    """Return how much an hour costs more than with the best commitment if demand differs [USD/h].

    Formula: ``cost(c; x D) - min over c of cost(c; x D)``.

    Parameters
    ----------
    usage_usd_per_hour, discount, existing
        As of :func:`optimal_commitment`.
    covers
        The commitment that was made [USD/h].
    demand_x
        Usage that comes / usage expected: 0.8 for a fifth less [ratio].

    Examples
    --------
    >>> commitment_regret([100, 100, 100], covers=100, discount=0.3, demand_x=0.8)
    14.0
    """
    raise_any(number("demand_x", demand_x, "Give 0.8 for a fifth less.", above=0))
    usage = np.asarray(usage_usd_per_hour, dtype=np.float64) * demand_x
    made = commitment_at(usage, covers=covers, discount=discount, existing=existing)
    best = optimal_commitment(usage, discount=discount, existing=existing)
    return max(made.usd_per_hour - best.usd_per_hour, 0.0)


def _above(usage_usd_per_hour: npt.ArrayLike, existing: npt.ArrayLike, discount: float) -> Floats:
    """Return the usage that no commitment covers yet."""
    raise_any(
        [
            *number("usage_usd_per_hour", usage_usd_per_hour, _USAGE, least=0),
            *number("existing", existing, "Give the usage that is covered [USD/h].", least=0),
            *number("discount", discount, _DISCOUNT, above=0, below=1),
        ]
    )
    usage = np.asarray(usage_usd_per_hour, dtype=np.float64)
    covered = np.asarray(existing, dtype=np.float64)
    try:
        covered = np.broadcast_to(covered, usage.shape)
    except ValueError:
        raise InputError.of(
            "existing",
            got=f"shape {covered.shape}",
            expected=f"one figure, or one per hour of usage of shape {usage.shape}",
            do="Give both for the same hours.",
        ) from None
    return np.maximum(usage - covered, 0.0)
