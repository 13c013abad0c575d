"""Changes of how work is done and paid for: calls per request, cores per request, prices.

This module answers: from which day on, by how much, and who says so? What they do to loads, pods
and money is done where loads, pods and money are.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from decimal import Decimal
from typing import Annotated, Self

import numpy as np
from pydantic import Field, model_validator

from capmodel.scenario.base import Source, Spec

__all__ = ["CallMix", "Efficiency", "Price", "product_of"]


class Efficiency(Spec):
    """A change in what a pool's services burn, from a date on.

    Cores per request and cores of an idle pod are multiplied by ``cores_x``; requests, limits and
    memory of a pod stay, so that fewer pods serve the load, as far as cores decide their number.
    Several changes of one pool multiply.
    """

    pool: str
    cores_x: Annotated[float, Field(gt=0, le=4)]
    """Cores afterwards / cores before [ratio]."""
    since: Annotated[dt.date | None, Field(alias="from")] = None
    """First local day; None: all along."""
    source: Source

    def x(self, dates: np.ndarray) -> np.ndarray:
        """Return the ratio of each day, shape (N,)."""
        return np.where(_between(dates, self.since, None), self.cores_x, 1.0)


class CallMix(Spec):
    """A change in how often one node calls another: another share of channels, a new page.

    Calls per request of the caller are multiplied by ``ratio_x``, on every request alike: those
    that a launch or a push adds too. Where a share of users moves from one channel to another,
    :meth:`of_shares` gives the ratio.
    """

    caller: str
    node: str
    ratio_x: Annotated[float, Field(gt=0, le=20)]
    """Calls afterwards / calls before [ratio]."""
    since: Annotated[dt.date | None, Field(alias="from")] = None
    """First local day; None: all along."""
    until: dt.date | None = None
    """First local day on which all is as before, exclusive; None: it stays."""
    source: Source

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.since is not None and self.until is not None and self.until <= self.since:
            msg = f"until {self.until} is not after from {self.since}"
            raise ValueError(msg)
        return self

    def x(self, dates: np.ndarray) -> np.ndarray:
        """Return the ratio of each day, shape (N,)."""
        return np.where(_between(dates, self.since, self.until), self.ratio_x, 1.0)

    @staticmethod
    def of_shares(
        before: dict[str, float], after: dict[str, float], calls: dict[str, float]
    ) -> float:
        """Return ``ratio_x`` of a move between channels.

        ``sum(after * calls) / sum(before * calls)``: the forced flow law over channels (Denning &
        Buzen 1978).

        Parameters
        ----------
        before, after
            Channel to its share of the caller's requests [ratio], each summing to 1.
        calls
            Channel to calls of the node per request.

        Examples
        --------
        Phones make 1.8 calls where the site makes 1, and go from 40 % to 78 %:

        >>> calls = {"phone": 1.8, "site": 1.0}
        >>> x = CallMix.of_shares(
        ...     {"phone": 0.40, "site": 0.60}, {"phone": 0.78, "site": 0.22}, calls
        ... )
        >>> round(x, 4)
        1.2303
        """
        for name, shares in (("before", before), ("after", after)):
            if set(shares) != set(calls) or abs(sum(shares.values()) - 1) > 1e-9:  # noqa: PLR2004
                from capmodel.errors import InputError  # noqa: PLC0415  the usual case needs none

                raise InputError.of(
                    f"mix.{name}",
                    got=", ".join(f"{k} {v:g}" for k, v in shares.items()) or "no channel",
                    expected=f"shares of {', '.join(calls)} that sum to 1",
                    do="Name every channel once, with its share of all requests.",
                )
        return sum(after[c] * calls[c] for c in calls) / sum(before[c] * calls[c] for c in calls)


class Price(Spec):
    """What an instance type or database class will cost: a ratio to the catalog, or a price."""

    type: str
    """Instance type or database class, for example ``m7g.4xlarge``."""
    price_x: Annotated[float, Field(gt=0, le=4)] | None = None
    """Price / the catalog's [ratio]; this or `usd_per_hour`."""
    usd_per_hour: Annotated[Decimal, Field(gt=0)] | None = None
    """Price [USD/h]; this or `price_x`."""
    as_of: dt.date
    """The day on which the source says so."""
    source: Source

    @model_validator(mode="after")
    def _one_of_two(self) -> Self:
        if (self.price_x is None) == (self.usd_per_hour is None):
            msg = "state the price once: price_x or usd_per_hour"
            raise ValueError(msg)
        return self

    def of(self, price_usd_per_hour: Decimal) -> Decimal:
        """Return the price that takes the place of the catalog's [USD/h].

        Examples
        --------
        >>> new = Price(type="m7g.large", price_x=0.9, as_of="2026-09-01", source="offer")
        >>> new.of(Decimal("0.0816"))
        Decimal('0.07344')
        """
        if self.usd_per_hour is not None:
            return self.usd_per_hour
        return price_usd_per_hour * Decimal(str(self.price_x))


def _between(dates: np.ndarray, since: dt.date | None, until: dt.date | None) -> np.ndarray:
    inside = np.ones(len(dates), dtype=bool)
    if since is not None:
        inside &= dates >= np.datetime64(since)
    if until is not None:
        inside &= dates < np.datetime64(until)
    return inside


def product_of(changes: Sequence[Efficiency | CallMix], dates: np.ndarray) -> np.ndarray:
    """Return the product of dated ratios on each day, shape (N,) [ratio]."""
    ratios = [np.ones(len(dates)), *(change.x(dates) for change in changes)]
    return np.asarray(np.multiply.reduce(ratios))
