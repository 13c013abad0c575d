"""How a value is written for a reader: numbers, ratios, money, names and dates as text.

Used by figures and reports so that one value reads the same everywhere. Nothing here computes: the
frames keep every digit, the text shows as many as a reader needs.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterable
from decimal import Decimal
from typing import Final, SupportsFloat, cast

import pandas as pd

__all__ = [
    "MISSING",
    "count",
    "decimals_for",
    "exact",
    "humanize",
    "is_missing",
    "lower",
    "multiple",
    "number",
    "percent",
    "share",
    "short_date",
    "usd",
    "weekday",
]

MISSING: Final = "\N{EN DASH}"
"""What stands in a cell that has no value."""

_WORDS: Final = {
    "api": "API", "cpu": "CPU", "db": "DB", "eni": "ENI", "gib": "GiB", "hpa": "HPA", "id": "ID",
    "iops": "IOPS", "ip": "IP", "ips": "IPs", "nat": "NAT", "rps": "RPS", "sha256": "SHA-256",
    "tz": "time zone", "us": "US", "usd": "USD", "utc": "UTC", "vcpu": "vCPU", "yoy": "YoY",
    "fathers": "Father's", "mothers": "Mother's", "presidents": "Presidents'",
    "christmas": "Christmas", "thanksgiving": "Thanksgiving", "valentines": "Valentine's",
    "years": "Year's",
}  # fmt: skip
_DAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS: Final = (
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
)  # fmt: skip
_DATE_LENGTH: Final = 10
# Decimals that keep about four digits: from this size on, this many decimals.
_STEPS: Final = ((1000.0, 0), (100.0, 1), (1.0, 2), (0.1, 3), (0.0, 4))
_TINY_SHARE: Final = 0.001


def is_missing(value: object) -> bool:
    """Say whether a cell has no value: None, NaN, NaT or ''.

    Examples
    --------
    >>> [is_missing(v) for v in (None, float("nan"), "", 0)]
    [True, True, True, False]
    """
    if value is None or value is pd.NaT or value is pd.NA:
        return True
    if isinstance(value, str):
        return not value
    if isinstance(value, (list, tuple, dict)):
        return not value
    return isinstance(value, float) and math.isnan(value)


def exact(value: object) -> str:
    """Write a value for a machine: nine significant digits, ISO dates, Decimal as it is.

    Examples
    --------
    >>> exact(1 / 3), exact(Decimal("50761.73")), exact(True), exact(7), exact(None)
    ('0.333333333', '50761.73', 'true', '7', '')
    """
    if is_missing(value):
        return ""
    # numpy scalars carry .item(); pandas cells are a mix of both kinds.
    plain = value.item() if hasattr(value, "item") else value
    if isinstance(plain, bool):
        return "true" if plain else "false"
    if isinstance(plain, float):
        return repr(float(f"{plain:.9g}")) if math.isfinite(plain) else _infinity(plain)
    if isinstance(plain, dt.datetime):
        return plain.isoformat()[:_DATE_LENGTH] if _is_midnight(plain) else plain.isoformat()
    return plain.isoformat() if isinstance(plain, dt.date) else str(plain)


def _infinity(value: float) -> str:
    if math.isnan(value):
        return ""
    return "inf" if value > 0 else "-inf"


def _is_midnight(moment: dt.datetime) -> bool:
    return moment.tzinfo is None and moment.time() == dt.time(0)


def _as_float(value: object) -> float | None:
    """Return a number as a saved plan holds it, so that a plan reads the same before and after."""
    try:
        x = float(cast("SupportsFloat", value))
    except (TypeError, ValueError):
        return None
    return float(f"{x:.9g}")


def decimals_for(values: Iterable[object]) -> int:
    """Return the decimals that one column of one unit needs so that its numbers line up.

    Examples
    --------
    >>> decimals_for([73.92, 84.0]), decimals_for([6000.0, 5280.4]), decimals_for([40.0, 6.0])
    (2, 0, 0)
    """
    numbers = [x for v in values if not is_missing(v) and (x := _as_float(v)) is not None]
    finite = [x for x in numbers if math.isfinite(x)]
    if not finite or all(x == round(x) for x in finite):
        return 0
    largest = max(abs(x) for x in finite)
    return next(decimals for size, decimals in _STEPS if largest >= size)


def number(value: object, decimals: int | None = None) -> str:
    """Write a number with thousands separators and about four digits.

    Examples
    --------
    >>> number(6719.999999), number(73.92), number(0.00156), number(84.0), number(84.0, 2)
    ('6,720', '73.92', '0.0016', '84', '84.00')
    """
    if is_missing(value):
        return MISSING
    x = _as_float(value)
    if x is None:
        return str(value)
    if not math.isfinite(x):
        return "never" if x > 0 else _infinity(x)
    if decimals is not None:
        return _minus(f"{x:,.{decimals}f}")
    text = _minus(f"{x:,.{decimals_for([x])}f}")
    return text.rstrip("0").rstrip(".") if "." in text else text


def count(value: object) -> str:
    """Write a count: an integer where it is one.

    Examples
    --------
    >>> count(90.0), count(1425)
    ('90', '1,425')
    """
    return number(value)


def percent(value: object) -> str:
    """Write a ratio as percent with one decimal; a share too small to show says so.

    Examples
    --------
    >>> percent(0.924), percent(0.0004), percent(0.0), percent(1.069)
    ('92.4 %', '< 0.1 %', '0 %', '106.9 %')
    """
    x = None if is_missing(value) else _as_float(value)
    if x is None:
        return MISSING if is_missing(value) else str(value)
    if 0 < x < _TINY_SHARE:
        return "< 0.1 %"
    return "0 %" if x == 0 else f"{100 * x:,.1f} %"


def share(value: float) -> str:
    """Write a stated probability with the digits it was stated with.

    Examples
    --------
    >>> share(0.55), share(0.125)
    ('55 %', '12.5 %')
    """
    return f"{100 * value:.6g} %"


def multiple(value: object) -> str:
    """Write a multiple of today.

    Examples
    --------
    >>> multiple(2.3864), multiple(float("inf"))
    ('2.39×', 'never')
    """
    text = number(value, 2)
    return text if text in {MISSING, "never"} else f"{text}\N{MULTIPLICATION SIGN}"


def usd(value: object, *, signed: bool = False) -> str:
    """Write money to the cent, without the currency.

    Examples
    --------
    >>> usd(Decimal("50761.73")), usd("-12690.43", signed=True)
    ('50,761.73', '−12,690.43')
    """
    if is_missing(value):
        return MISSING
    amount = value if isinstance(value, Decimal) else Decimal(str(value))
    text = f"{amount:+,.2f}" if signed else f"{amount:,.2f}"
    return _minus(text)


def _minus(text: str) -> str:
    return text.replace("-", "\N{MINUS SIGN}")


def humanize(name: str) -> str:
    """Turn an identifier into words.

    Examples
    --------
    >>> humanize("cyber_monday"), humanize("database_cpu_cores")
    ('Cyber Monday', 'Database CPU cores')
    >>> humanize("day_after_christmas"), humanize("launch_day_2")
    ('Day after Christmas', 'Launch day 2')
    """
    words = [_WORDS.get(word, word) for word in str(name).replace("_", " ").split()]
    if not words:
        return ""
    first = words[0] if words[0] in _WORDS.values() else words[0][:1].upper() + words[0][1:]
    if words[-1] in {"monday", "tuesday", "friday", "saturday", "sunday", "day", "eve", "year"}:
        words = [word[:1].upper() + word[1:] for word in words]
    return " ".join([first, *words[1:]])


def lower(words: str) -> str:
    """Lower the first letter of words that start a sentence, acronyms excepted.

    Examples
    --------
    >>> lower("Limit RPS"), lower("CPU cores")
    ('limit RPS', 'CPU cores')
    """
    first = words.split(" ", 1)[0]
    return words if first in _WORDS.values() else words[:1].lower() + words[1:]


def weekday(date: object) -> str:
    """Return the weekday of an ISO date, '' where the text is no date.

    Examples
    --------
    >>> weekday("2026-11-30"), weekday("soon")
    ('Mon', '')
    """
    try:
        return _DAYS[dt.date.fromisoformat(str(date)[:_DATE_LENGTH]).weekday()]
    except ValueError:
        return ""


def short_date(date: dt.date) -> str:
    """Write day and month for an axis, in English whatever the locale.

    Examples
    --------
    >>> short_date(dt.date(2026, 11, 30))
    '30 Nov'
    """
    return f"{date.day} {_MONTHS[date.month - 1]}"
