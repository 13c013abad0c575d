"""What was really paid: effective rates out of a Cost and Usage Report 2.0 or a FOCUS export.

This module answers: what did an instance hour of each type cost, commitments and private discounts
included? Rates are amortised: a covered hour costs its share of the commitment. Commitments that
nobody used, taxes, credits and fees belong to no hour and stay out.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Final

from capmodel.catalog.aws_files import AwsFile, open_aws_file, records
from capmodel.catalog.prices import Collected, Price, key_of_usage, trimmed
from capmodel.catalog.rows import Key
from capmodel.errors import InputError

__all__ = ["read_billing"]

_CUR: Final = (
    "line_item_line_item_type", "line_item_usage_start_date", "line_item_usage_type",
    "line_item_operation", "line_item_usage_amount", "line_item_currency_code",
    "line_item_unblended_cost", "product_region_code",
)  # fmt: skip
_NET: Final = "line_item_net_unblended_cost"
_COSTS: Final[Mapping[str, tuple[str, str]]] = {
    "Usage": (_NET, "line_item_unblended_cost"),
    "SavingsPlanCoveredUsage": (
        "savings_plan_net_savings_plan_effective_cost",
        "savings_plan_savings_plan_effective_cost",
    ),
    "DiscountedUsage": ("reservation_net_effective_cost", "reservation_effective_cost"),
}
"""Type of a line to its amortised cost, net of private discounts and before them.

AWS, *Cost and Usage Reports 2.0 table dictionary*: the net columns exist where the account has a
discount.
"""
_CUR_OPTIONAL: Final = tuple(
    column for pair in _COSTS.values() for column in pair if column not in _CUR
)
_FOCUS: Final = (
    "ChargeCategory", "ChargePeriodStart", "RegionId", "BillingCurrency", "ConsumedQuantity",
    "EffectiveCost",
)  # fmt: skip
_FOCUS_OPTIONAL: Final = ("x_UsageType", "SkuMeter", "x_Operation", "CommitmentDiscountStatus")
_RATE: Final = Decimal("0.000001")
_LINUX: Final = "RunInstances"
_ZERO: Final = Decimal(0)


@dataclass(frozen=True, slots=True)
class _Charge:
    """One line of a bill: which usage, how many hours, what it cost."""

    where: str
    usage_type: str
    operation: str
    region: str
    day: str
    currency: str
    hours: str
    usd: str


@dataclass(slots=True)
class _Sum:
    usd: Decimal = _ZERO
    hours: Decimal = _ZERO
    first: str = ""
    last: str = ""
    where: str = ""


def read_billing(paths: Sequence[str | Path], *, region: str) -> dict[Key, Price]:
    """Return what an instance hour really cost in a region, by type.

    Formula: ``sum of amortised cost / sum of instance hours`` over the lines of a type, which
    weighs every line by its hours. Amortised cost of a CUR line: unblended cost of usage on demand,
    effective cost of an hour under a savings plan or a reservation, each net of private discounts
    where the export states it net; else the discount lines of the usage type are added. Of a
    FOCUS line: ``EffectiveCost``.

    Parameters
    ----------
    paths
        Files of one export, CSV (plain or gzip) or Parquet, read line by line and taken together.
    region
        Lines of other regions are passed over.

    Returns
    -------
    dict
        Key (region, kind, engine, name) to rate, to six decimals; dated by the type's last day of
        usage.

    References
    ----------
    AWS, *Data Exports user guide*, CUR 2.0 line item, reservation and savings plan columns. FinOps
    Foundation, *FOCUS specification* 1.0, ``EffectiveCost``, ``ConsumedQuantity``.

    Raises
    ------
    InputError
        For a file of another kind; no instance hour of the region; a currency other than USD;
        cost without hours, or hours without cost.
    """
    sums: dict[Key, _Sum] = {}
    found = Collected("")
    kinds: set[str] = set()
    others: set[str] = set()
    for path in paths:
        file = open_aws_file(
            path, kinds=("cur", "focus"), instead="Read public prices with with_offer."
        )
        kinds.add("CUR 2.0" if file.kind == "cur" else "FOCUS")
        for charge in _cur_charges(file) if file.kind == "cur" else _focus_charges(file):
            key = _key(charge)
            if key is None:
                continue
            if not key[0]:
                found.fault(
                    charge.where,
                    got=f"{charge.usage_type} without a region",
                    expected="a region on every line of an instance",
                    do="Export the table again with its region column filled.",
                )
            elif key[0] != region:
                others.add(key[0])
            else:
                _count(sums.setdefault(key, _Sum(where=charge.where)), charge, found)
            if found.full:
                break
    if not sums and not found.problems:
        raise InputError.of(
            ", ".join(str(path) for path in paths),
            got=f"no instance hour of {region}"
            + (f", but of {', '.join(sorted(others))}" if others else ""),
            expected="lines of BoxUsage (Linux) or InstanceUsage (MySQL, Aurora MySQL)",
            do="Name an export that covers this region's instances.",
        )
    for key, total in sorted(sums.items()):
        if not found.full:
            _add_rate(found, key, total, kind=" and ".join(sorted(kinds)))
    return found.result()


def _key(charge: _Charge) -> Key | None:
    key = key_of_usage(charge.usage_type, region=charge.region, engine=charge.operation)
    if key is None or (key[1] == "node" and charge.operation != _LINUX):
        return None
    return key


def _count(total: _Sum, charge: _Charge, found: Collected) -> None:
    if charge.currency != "USD":
        found.fault(
            charge.where,
            got=f'currency "{charge.currency}"',
            expected="USD",
            do="Give the rows in USD by a catalog overlay; capmodel converts no currencies.",
        )
        return
    try:
        usd, hours = Decimal(charge.usd or "0"), Decimal(charge.hours or "0")
        day = dt.date.fromisoformat(charge.day[:10]).isoformat()
    except (InvalidOperation, ValueError):
        found.fault(
            charge.where,
            got=f'cost "{charge.usd}", hours "{charge.hours}", start "{charge.day}"',
            expected="two numbers and a date",
            do="Export the table again: the line is damaged.",
        )
        return
    total.usd += usd
    total.hours += hours
    total.first = min(total.first or day, day)
    total.last = max(total.last, day)


def _add_rate(found: Collected, key: Key, total: _Sum, *, kind: str) -> None:
    rate = total.usd / total.hours if total.hours > 0 else _ZERO
    rate = rate.quantize(_RATE)
    if rate <= 0:
        if not found.problems:
            _fault_free_hours(found, key, total)
        return
    days = f"{total.first} to {total.last}"
    found.add(
        Price(
            key=key,
            price_usd_per_hour=trimmed(rate),
            as_of=dt.date.fromisoformat(total.last),
            source=f"{kind} effective rate, {trimmed(total.hours):f} instance hours, {days}",
            where=total.where,
        )
    )


def _fault_free_hours(found: Collected, key: Key, total: _Sum) -> None:
    found.fault(
        total.where,
        got=f"{total.usd:f} USD for {total.hours:f} hours of {key[3]}",
        expected="more than 0 USD and more than 0 hours",
        do="Export the table again with its cost columns: usage, savings plans, reservations.",
    )


def _cur_charges(file: AwsFile) -> Iterator[_Charge]:
    for where, cells in records(file, _CUR, _CUR_OPTIONAL):
        kind = cells["line_item_line_item_type"]
        discount = kind.endswith("Discount") and _NET not in cells
        if kind not in _COSTS and not discount:
            continue
        net, gross = _COSTS["Usage" if discount else kind]
        yield _Charge(
            where=where,
            usage_type=cells["line_item_usage_type"],
            operation=cells["line_item_operation"],
            region=cells["product_region_code"],
            day=cells["line_item_usage_start_date"],
            currency=cells["line_item_currency_code"],
            # A discount is money off hours that their own lines count.
            hours="0" if discount else cells["line_item_usage_amount"],
            usd=cells.get(net) or cells.get(gross, ""),
        )


def _focus_charges(file: AwsFile) -> Iterator[_Charge]:
    for where, cells in records(file, _FOCUS, _FOCUS_OPTIONAL):
        if cells["ChargeCategory"] != "Usage" or cells.get("CommitmentDiscountStatus") == "Unused":
            continue
        yield _Charge(
            where=where,
            # FOCUS 1.0 exports of AWS name it x_UsageType, later ones SkuMeter.
            usage_type=cells.get("x_UsageType") or cells.get("SkuMeter", ""),
            operation=cells.get("x_Operation", ""),
            region=cells["RegionId"],
            day=cells["ChargePeriodStart"],
            currency=cells["BillingCurrency"],
            hours=cells["ConsumedQuantity"],
            usd=cells["EffectiveCost"],
        )
