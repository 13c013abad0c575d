"""The table's prices beside those of a price list: same, changed, missing, new, and how old.

This module answers: can the prices that a plan would use today still be believed?
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal

from capmodel.catalog.prices import Price
from capmodel.catalog.rows import Key, Row
from capmodel.catalog.tables import STALE_AFTER_DAYS

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["CheckedPrice", "PriceCheck", "check_rows"]

Verdict = Literal["changed", "new", "missing", "same", "unchecked"]
_ORDER: tuple[Verdict, ...] = ("changed", "new", "missing", "same", "unchecked")
COLUMNS = [
    "status", "stale", "region", "kind", "engine", "name", "old_usd_per_hour", "new_usd_per_hour",
    "change", "as_of", "offer_as_of", "age_days", "source",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class CheckedPrice:
    """One key: the table's price [USD/h], the offer's, and the age of the newest evidence [days].

    ``status``: *same* or *changed* where both know it, *missing* where the offer does not, *new*
    where the table does not, *unchecked* without an offer. ``as_of`` dates the table's price. A
    row is ``stale`` when neither the table nor an offer that confirms it is young enough.
    """

    key: Key
    status: Verdict
    old: Decimal | None
    new: Decimal | None
    as_of: dt.date | None
    offer_as_of: dt.date | None
    age_days: int
    source: str

    @property
    def stale(self) -> bool:
        """Older than 180 days; a price that is not in the table cannot be stale there."""
        return self.status != "new" and self.age_days > STALE_AFTER_DAYS

    @property
    def change(self) -> float | None:
        """New price against the old one, as a ratio: 0.05 is 5 % dearer; None without both."""
        if self.old is None or self.new is None or self.old == 0:
            return None
        return float(self.new / self.old - 1)


@dataclass(frozen=True, slots=True)
class PriceCheck:
    """What a comparison found, changed prices first; the date at which ages count."""

    rows: tuple[CheckedPrice, ...]
    as_of: dt.date

    @property
    def changed(self) -> tuple[CheckedPrice, ...]:
        """Rows whose price differs from the offer's."""
        return tuple(row for row in self.rows if row.status == "changed")

    @property
    def stale(self) -> tuple[CheckedPrice, ...]:
        """Rows that nothing younger than 180 days confirms."""
        return tuple(row for row in self.rows if row.stale)

    def to_frame(self) -> pd.DataFrame:
        """Return one row per key, changed prices first, then new, missing and same ones."""
        import pandas as pd  # noqa: PLC0415  only when there is something to show

        return pd.DataFrame([_cells(row) for row in self.rows], columns=COLUMNS)


def _cells(row: CheckedPrice) -> list[Any]:
    return [
        row.status,
        row.stale,
        *row.key,
        None if row.old is None else float(row.old),
        None if row.new is None else float(row.new),
        row.change,
        "" if row.as_of is None else row.as_of.isoformat(),
        "" if row.offer_as_of is None else row.offer_as_of.isoformat(),
        row.age_days,
        row.source,
    ]


def check_rows(
    rows: Mapping[Key, Row], offered: Mapping[Key, Price] | None, *, as_of: dt.date
) -> PriceCheck:
    """Return every key of the table and the offer with its verdict.

    An offer speaks only of what it holds: rows of other kinds or engines are not looked at.

    Parameters
    ----------
    rows
        The table's rows of one region.
    offered
        The offer's prices of that region; None: only the age counts.
    as_of
        The date at which ages count.
    """
    if offered is None:
        checked = [_checked(key, row, None, as_of=as_of) for key, row in rows.items()]
    else:
        spoken_of = {key[:3] for key in offered}
        keys = {*offered, *(key for key in rows if key[:3] in spoken_of)}
        checked = [_checked(key, rows.get(key), offered, as_of=as_of) for key in keys]
    checked.sort(key=lambda row: (_ORDER.index(row.status), row.key))
    return PriceCheck(rows=tuple(checked), as_of=as_of)


def _checked(
    key: Key, row: Row | None, offered: Mapping[Key, Price] | None, *, as_of: dt.date
) -> CheckedPrice:
    price = (offered or {}).get(key)
    if row is None:
        status: Verdict = "new"
    elif price is None:
        status = "unchecked" if offered is None else "missing"
    else:
        status = "same" if price.price_usd_per_hour == row.price_usd_per_hour else "changed"
    # Whoever spoke last dates the evidence: an offer that confirms a price makes it young again.
    newest = max((held for held in (row, price) if held is not None), key=lambda h: h.as_of)
    return CheckedPrice(
        key=key,
        status=status,
        old=None if row is None else row.price_usd_per_hour,
        new=None if price is None else price.price_usd_per_hour,
        as_of=None if row is None else row.as_of,
        offer_as_of=None if price is None else price.as_of,
        age_days=(as_of - newest.as_of).days,
        source=newest.source,
    )
