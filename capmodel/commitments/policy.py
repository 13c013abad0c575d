"""How capacity is bought: the section `purchase` of a study.

This module answers: which commitments exist and when do they end, which may be bought for which
term, at which discount and by whose word, which share of a pool runs on Spot, and which shortfall
of reserved capacity is accepted? It computes nothing.
"""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Annotated, Final, Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, model_validator

from capmodel.catalog.discounts import CommitmentKind, Discount, Payment
from capmodel.errors import InputError, Problem

__all__ = ["Buy", "DiscountRow", "Existing", "Negotiated", "PurchasePolicy", "Spot"]

Text = Annotated[str, Field(min_length=1)]

Floats = npt.NDArray[np.float64]

_WHOLE: Final = 1e-9
"""Rounding of a product may not cost a node."""
_DATABASE_FAMILIES: Final = ("r7g", "r7i", "r8g", "m7g")


class _Spec(BaseModel):
    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False
    )


class DiscountRow(_Spec):
    """What a kind of commitment takes off, by the user's own word; before any built-in row."""

    kind: CommitmentKind
    engine: Literal["", "aurora-mysql", "mysql"] = ""
    family: str = ""
    """``m6i`` or ``db.r6g``; '' for all."""
    years: Literal[1, 3] = 1
    payment: Payment = "no_upfront"
    discount: float
    """Off the on-demand price [ratio]."""
    as_of: dt.date
    source: Text

    def row(self) -> Discount:
        """Return it as a row of the table."""
        return Discount(
            kind=self.kind,
            engine=self.engine,
            family=self.family,
            years=self.years,
            payment=self.payment,
            share=Decimal(repr(self.discount)),
            figure="rate",
            as_of=self.as_of,
            source=self.source,
        )


class Existing(_Spec):
    """A commitment that was bought before: a plan in USD per hour, or a count of reserved ones."""

    kind: CommitmentKind
    family: str = ""
    """Of an `instance_sp`: ``m6i``."""
    type: str = ""
    """Of `reserved`: the instance type or database class."""
    engine: Literal["", "aurora-mysql", "mysql"] = ""
    """Of a reserved database."""
    usd_per_hour: Annotated[float, Field(gt=0)] | None = None
    """Of a Savings Plan: what is paid, as the console shows it [USD/h]."""
    count: Annotated[int, Field(ge=1)] | None = None
    """Of `reserved`: instances."""
    discount: float
    """That it takes off the on-demand price [ratio]."""
    end: dt.date
    """Local day on which it no longer applies."""
    source: Text

    @property
    def problem(self) -> str:
        """What does not fit its kind, in words; '' where all does."""
        if self.kind == "reserved":
            fits = self.count is not None and self.type and self.usd_per_hour is None
            return "" if fits else "reserved is given as count and type, without usd_per_hour"
        if self.usd_per_hour is None or self.count is not None:
            return f"{self.kind} is given as usd_per_hour, without count"
        if self.kind == "instance_sp" and not self.family:
            return "instance_sp needs its family"
        return ""


class Buy(_Spec):
    """A commitment that may be bought."""

    kind: CommitmentKind
    years: Literal[1, 3] = 1
    payment: Payment = "no_upfront"


class Spot(_Spec):
    """How much of a pool runs on Spot; no commitment ever covers it."""

    share: Annotated[float, Field(ge=0, le=1)]
    """Of the pool's nodes, rounded down to whole ones [ratio]."""
    discount: float
    """Off the on-demand price, assumed: Spot has no price list [ratio]."""
    reserve: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Spot nodes kept beside each, so that an interruption leaves enough [ratio]."""
    source: Text

    def nodes(self, nodes: npt.ArrayLike) -> Floats:
        """Return how many of a pool's nodes Spot stands for, whole ones."""
        return np.floor(np.asarray(nodes, dtype=np.float64) * self.share + _WHOLE)

    def units(self, nodes: npt.ArrayLike) -> Floats:
        """Return how many Spot nodes run for a pool's nodes, their reserve included.

        Examples
        --------
        >>> half = Spot(share=0.5, discount=0.6, reserve=0.1, source="assumed")
        >>> float(half.nodes(21)), float(half.units(21))
        (10.0, 11.0)
        """
        return np.ceil(self.nodes(nodes) * (1.0 + self.reserve) - _WHOLE)


class Negotiated(_Spec):
    """A discount off every price of the catalog."""

    discount: float
    as_of: dt.date
    source: Text


def _default_buy() -> tuple[Buy, ...]:
    return (Buy(kind="compute_sp"), Buy(kind="database_sp"))


class PurchasePolicy(_Spec):
    """How capacity is bought: the section `purchase` of a study.

    Examples
    --------
    >>> policy = PurchasePolicy.model_validate(
    ...     {
    ...         "buy": [{"kind": "compute_sp", "years": 1}],
    ...         "discounts": [
    ...             {
    ...                 "kind": "compute_sp",
    ...                 "discount": 0.28,
    ...                 "as_of": "2026-09-01",
    ...                 "source": "console",
    ...             }
    ...         ],
    ...     }
    ... )
    >>> policy.buy[0].years, str(policy.discounts[0].row().share)
    (1, '0.28')
    """

    start: dt.date | None = None
    """First day of the terms; None: the horizon's start."""
    buy: tuple[Buy, ...] = Field(default_factory=_default_buy)
    existing: tuple[Existing, ...] = ()
    discounts: tuple[DiscountRow, ...] = ()
    """Come before the built-in ones, of which the maxima are no rates."""
    negotiated: Negotiated | None = None
    spot: dict[str, Spot] = Field(default_factory=dict)
    """Pool to what runs on Spot."""
    p_shortfall: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Accepted probability that a reservation is too small; None: reserve what is ordered."""
    reserve: dict[str, Annotated[int, Field(ge=1)]] = Field(default_factory=dict)
    """Pool to nodes to reserve, instead of a quantile."""
    growth_after_year_x: Annotated[float, Field(gt=0, le=4)] = 1.0
    """Usage of a later year of a term / the year before, assumed [ratio]."""
    databases_after_season: Literal["today", "ordered"] = "today"
    """Class and readers of databases outside the season."""
    database_sp_families: tuple[Text, ...] = _DATABASE_FAMILIES
    """Families that a Database Savings Plan takes."""
    unit_of: str | None = None
    """Root whose units the cost is divided by; None: the first driver."""

    @model_validator(mode="after")
    def _sound(self) -> Self:
        problems = [
            *_discount_problems(self),
            *(
                Problem(
                    f"purchase.existing.{i}", row.problem, "fields that fit the kind", "Correct it."
                )
                for i, row in enumerate(self.existing)
                if row.problem
            ),
            *_buy_problems(self.buy),
        ]
        if problems:
            raise InputError(problems)
        return self


def _discount_problems(policy: PurchasePolicy) -> list[Problem]:
    """Return discounts that are no ratio: 28 for 0.28."""
    given = {
        **{f"discounts.{i}": row.discount for i, row in enumerate(policy.discounts)},
        **{f"existing.{i}": row.discount for i, row in enumerate(policy.existing)},
        **{f"spot.{pool}": spot.discount for pool, spot in policy.spot.items()},
    }
    if policy.negotiated is not None:
        given["negotiated"] = policy.negotiated.discount
    return [
        Problem(
            where=f"purchase.{where}.discount",
            got=f"{value:g}",
            expected="a ratio above 0 and below 1: 0.28 is 28 % off the on-demand price",
            do=f"Did you mean {value / 100:g}?" if 1 <= value < 100 else "Correct the ratio.",  # noqa: PLR2004  percent
        )
        for where, value in given.items()
        if not 0 < value < 1
    ]


def _buy_problems(buy: tuple[Buy, ...]) -> list[Problem]:
    problems = []
    for i, one in enumerate(buy):
        if any((b.kind, b.years) == (one.kind, one.years) for b in buy[:i]):
            problems.append(
                Problem(
                    where=f"purchase.buy.{i}",
                    got=f"{one.kind} of {one.years} years twice",
                    expected="each kind and term once",
                    do="Keep one of the two.",
                )
            )
        if one.kind == "database_sp" and one.years != 1:
            problems.append(
                Problem(
                    where=f"purchase.buy.{i}.years",
                    got="a database_sp of 3 years",
                    expected="1: Database Savings Plans run for a year, nothing upfront",
                    do="Write years: 1.",
                )
            )
    return problems
