"""A price as a file of the cloud states it, and what every such file is checked for.

This module answers: which row of the catalog does this line speak of, and is it a price that can
be used? It does not open files and knows no shape but what a price line itself states.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Final

from capmodel.catalog.rows import Key
from capmodel.errors import InputError, Problem

__all__ = ["MOST_PROBLEMS", "Collected", "Price", "engine_of", "key_of_usage", "trimmed", "usd_of"]

MOST_PROBLEMS: Final = 20
"""A file with more faulty lines is of another kind: reading stops."""
_NODE_USAGE: Final = re.compile(r"(?:[A-Z0-9]+-)?BoxUsage:([a-z0-9][a-z0-9.-]*)")
_DB_USAGE: Final = re.compile(r"(?:[A-Z0-9]+-)?InstanceUsage:(db\.[a-z0-9.-]+)")
_ENGINES: Final[Mapping[str, str]] = {
    "MySQL": "mysql",
    "Aurora MySQL": "aurora-mysql",
    # The operation of a bill: AWS, "Tracking Amazon RDS costs", table of operation codes.
    "CreateDBInstance:0002": "mysql",
    "CreateDBInstance:0016": "aurora-mysql",
}


@dataclass(frozen=True, slots=True)
class Price:
    """What one instance of a type costs per hour [USD/h], by which file, on which date.

    ``where`` is the line, for messages; ``vcpu`` and ``memory_gib`` what the line says about the
    shape, None where it says nothing.
    """

    key: Key
    price_usd_per_hour: Decimal
    as_of: dt.date
    source: str
    where: str
    vcpu: int | None = None
    memory_gib: float | None = None


class Collected:
    """The prices and problems of one file while it is read, line by line."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.prices: dict[Key, Price] = {}
        self.problems: list[Problem] = []

    @property
    def full(self) -> bool:
        """So many problems that reading on says nothing new."""
        return len(self.problems) >= MOST_PROBLEMS

    def fault(self, where: str, *, got: str, expected: str, do: str) -> None:
        """Note one problem."""
        self.problems.append(Problem(where=where, got=got, expected=expected, do=do))

    def add(self, price: Price) -> None:
        """Keep a price; another one for the same key is a problem, the same one twice is not."""
        held = self.prices.setdefault(price.key, price)
        if held.price_usd_per_hour != price.price_usd_per_hour:
            called = " ".join(part for part in price.key if part)
            self.fault(
                price.where,
                got=f"{price.price_usd_per_hour} USD/h for {called}, of which {held.where} says "
                f"{held.price_usd_per_hour}",
                expected="one price for each region, kind, engine and name",
                do="Keep one of the two lines.",
            )

    def result(self) -> dict[Key, Price]:
        """Return the prices by key.

        Raises
        ------
        InputError
            With every problem that was noted.
        """
        if self.problems:
            raise InputError(self.problems)
        return dict(sorted(self.prices.items()))


def key_of_usage(usage_type: str, *, region: str, engine: str) -> Key | None:
    """Return the row that a usage type pays for; None for what is no plain instance hour.

    Linux nodes of shared tenancy are ``BoxUsage``, databases in one zone ``InstanceUsage``, both
    with a prefix of the region outside us-east-1. Spot, dedicated, reserved but unused and
    I/O-optimized hours have names of their own.

    Examples
    --------
    >>> key_of_usage("EUW1-BoxUsage:m6i.large", region="eu-west-1", engine="")
    ('eu-west-1', 'node', '', 'm6i.large')
    >>> key_of_usage("InstanceUsage:db.r6g.large", region="us-east-1", engine="Aurora MySQL")
    ('us-east-1', 'db', 'aurora-mysql', 'db.r6g.large')
    >>> key_of_usage("InstanceUsageIOOptimized:db.r6g.large", region="us-east-1", engine="MySQL")
    """
    if node := _NODE_USAGE.fullmatch(usage_type):
        return (region, "node", "", node.group(1))
    known = engine_of(engine)
    if known and (database := _DB_USAGE.fullmatch(usage_type)):
        return (region, "db", known, database.group(1))
    return None


def engine_of(text: str) -> str | None:
    """Return our name of a database engine or billing operation, None for one we do not plan."""
    return _ENGINES.get(text)


def usd_of(text: str, *, where: str, column: str) -> Decimal:
    """Return a price per hour [USD/h] above 0.

    Raises
    ------
    InputError
        For text that is no number, and for 0 or less: an instance hour is never free.
    """
    try:
        value = Decimal(text)
    except InvalidOperation:
        value = Decimal("NaN")
    if not value.is_finite() or value <= 0:
        raise InputError.of(
            where,
            got=f'{column} "{text}"',
            expected="a price above 0 USD per instance hour",
            do="Remove the line, or correct it: an hour that costs nothing hides the plan's cost.",
        )
    return trimmed(value)


def trimmed(value: Decimal) -> Decimal:
    """Return a number without trailing zeros: 0.6528000000 and 0.6528 are written one way.

    Examples
    --------
    >>> trimmed(Decimal("0.6528000000")), trimmed(Decimal("10.00"))
    (Decimal('0.6528'), Decimal('10'))
    """
    return value.quantize(Decimal(1)) if value == value.to_integral_value() else value.normalize()
