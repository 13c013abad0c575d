"""How much of a miss each factor made, in an order that is stated, summing exactly.

This module answers: was it the driver, the calls per event, the cost of a request or the headroom
that made the plan wrong, and by how much each?
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from decimal import Decimal
from itertools import pairwise
from typing import Final

__all__ = ["DIGITS", "exact_steps", "running_products"]

DIGITS: Final = 9
"""Significant digits of the largest total that steps are counted in."""


def running_products(planned: Sequence[float], actual: Sequence[float]) -> tuple[float, ...]:
    """Return what is planned, then with the first actual factor, with the first two, and so on.

    ``T_k = a_1 ... a_k * p_(k+1) ... p_n``: each factor is replaced in the order given, so an
    interaction counts to the later one.

    Parameters
    ----------
    planned, actual
        The factors, in the order of replacement.

    Examples
    --------
    >>> running_products((100.0, 1.2), (107.0, 1.32))  # driver [1/s], calls per event
    (120.0, 128.4, 141.24)
    """
    return tuple(math.prod((*actual[:k], *planned[k:])) for k in range(len(planned) + 1))


def exact_steps(totals: Sequence[float]) -> tuple[Decimal, ...]:
    """Return the differences of consecutive totals, which sum to last - first to the last digit.

    Totals are rounded to nine significant digits of the largest before they are subtracted.

    Parameters
    ----------
    totals
        Finite numbers, two or more.

    Examples
    --------
    >>> steps = exact_steps((120.0, 128.4, 141.24))
    >>> [str(s.normalize()) for s in steps], str(sum(steps).normalize())
    (['8.4', '12.84'], '21.24')
    """
    largest = max(abs(t) for t in totals)
    exponent = math.floor(math.log10(largest)) - DIGITS + 1 if largest > 0 else 0
    quantum = Decimal(1).scaleb(exponent)
    rounded = [round(Decimal(t) / quantum) for t in totals]
    return tuple((later - earlier) * quantum for earlier, later in pairwise(rounded))
