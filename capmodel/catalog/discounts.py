"""Dated discounts of commitments: what a term of a year or three takes off the on-demand price.

This module answers: which rate is known for a kind of commitment, a family and a term, and who says
so? A published maximum is kept as such: it bounds a rate and is none.
"""

from __future__ import annotations

import csv
import datetime as dt
import io
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from importlib import resources
from typing import Final, Literal, Self, cast

__all__ = ["CommitmentKind", "Discount", "Discounts", "Figure", "Payment"]

CommitmentKind = Literal["reserved", "instance_sp", "compute_sp", "database_sp"]
"""In the order in which the first three apply to instances."""
Payment = Literal["no_upfront", "partial_upfront", "all_upfront"]
Figure = Literal["rate", "estimate", "maximum"]

_FILE: Final = "commitments.csv"


@dataclass(frozen=True, slots=True)
class Discount:
    """What a commitment takes off the on-demand price, for whom, and where the figure comes from.

    ``engine`` of a database, '' for instances; ``family`` (``m6i``, ``db.r6g``) or '' for all;
    ``years`` of the term; ``payment`` or '' for any; ``share`` off [ratio]; ``figure`` a ``rate``,
    somebody's ``estimate``, or a published ``maximum``.
    """

    kind: CommitmentKind
    engine: str
    family: str
    years: int
    payment: str
    share: Decimal
    figure: Figure
    as_of: dt.date
    source: str

    @property
    def key(self) -> tuple[str, ...]:
        """(kind, engine, family, years, payment)."""
        return (self.kind, self.engine, self.family, str(self.years), self.payment)


@dataclass(frozen=True, slots=True)
class Discounts:
    """Discounts by key; rows of an overlay come before the built-in ones.

    Examples
    --------
    >>> found = Discounts.builtin().find("instance_sp", family="m6i", years=3)
    >>> found.figure, str(found.share)
    ('maximum', '0.72')
    >>> found = Discounts.builtin().find(
    ...     "instance_sp", family="m6i", years=3, payment="all_upfront"
    ... )
    >>> found.figure, str(found.share), str(found.as_of)
    ('rate', '0.605', '2026-06-09')
    """

    overlay: tuple[Discount, ...]
    rows: tuple[Discount, ...]

    @classmethod
    def builtin(cls) -> Self:
        """Return the table that the package carries."""
        text = resources.files("capmodel.catalog").joinpath(_FILE).read_text(encoding="utf-8")
        return cls(
            overlay=(), rows=tuple(_row(cells) for cells in csv.DictReader(io.StringIO(text)))
        )

    def with_overlay(self, rows: Iterable[Discount]) -> Self:
        """Return a table in which these rows come before all others."""
        return type(self)(overlay=(*rows, *self.overlay), rows=self.rows)

    def find(
        self,
        kind: CommitmentKind,
        *,
        family: str = "",
        engine: str = "",
        years: int = 1,
        payment: Payment = "no_upfront",
    ) -> Discount | None:
        """Return the row that fits best, or None where nobody states one.

        A row of the family comes before one of all families, one of the payment before one of any;
        a user's row before either. Terms, engines and families are never exchanged for another.
        """
        for table in (self.overlay, self.rows):
            fitting = [
                row
                for row in table
                if (row.kind, row.years) == (kind, years)
                and row.engine in ("", engine)
                and row.family in ("", family)
                and row.payment in ("", payment)
            ]
            if fitting:
                return max(fitting, key=lambda r: (bool(r.family), bool(r.engine), bool(r.payment)))
        return None


def _row(cells: dict[str, str]) -> Discount:
    return Discount(
        kind=cast("CommitmentKind", cells["kind"]),
        engine=cells["engine"],
        family=cells["family"],
        years=int(cells["years"]),
        payment=cells["payment"],
        share=Decimal(cells["discount"]),
        figure=cast("Figure", cells["figure"]),
        as_of=dt.date.fromisoformat(cells["as_of"]),
        source=cells["source"],
    )
