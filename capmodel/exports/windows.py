"""Cron expressions of a window of local days, as KEDA's cron trigger reads them.

This module answers: which two expressions make a trigger hold from the start of the first day to
the end of the last, also where clocks change, and when can no expression say it? A cron expression
has no year, so a window is held again every year until its trigger is removed.

References
----------
KEDA documentation, "Cron" scaler (v2.17): `timezone`, `start`, `end`, `desiredReplicas`.
kedacore/keda, pkg/scalers/cron_scaler.go: active while the next `end` is before the next `start`.
robfig/cron v3, package documentation: a time that the clock skips does not fire.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Final
from zoneinfo import ZoneInfo

__all__ = ["CronWindow", "cron_window"]

_YEAR: Final = dt.timedelta(days=365)
_HOUR: Final = dt.timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class CronWindow:
    """Two cron expressions in the time zone of the trigger, or why there are none."""

    start: str = ""
    end: str = ""
    reason: str = ""


def cron_window(start: dt.date, end: dt.date, *, business_tz: str, as_of: dt.date) -> CronWindow:
    """Return the cron expressions of the local days from `start` up to, not with, `end`.

    Parameters
    ----------
    start, end
        Local days, end exclusive.
    business_tz
        IANA time zone of the days and of the trigger.
    as_of
        Day from which the trigger exists.

    Returns
    -------
    CronWindow
        Minute, hour, day and month of both ends, any weekday; with a reason and no expressions for
        a window that is empty, over, or a year ahead, which cron would hold in a wrong year.

    Examples
    --------
    >>> black_friday = cron_window(
    ...     dt.date(2026, 11, 27),
    ...     dt.date(2026, 12, 1),
    ...     business_tz="America/New_York",
    ...     as_of=dt.date(2026, 9, 21),
    ... )
    >>> black_friday.start, black_friday.end
    ('0 0 27 11 *', '0 0 1 12 *')

    Midnight of 2026-09-06 does not exist in Santiago, where the clock goes from 0:00 to 1:00:

    >>> cron_window(
    ...     dt.date(2026, 9, 6),
    ...     dt.date(2026, 9, 7),
    ...     business_tz="America/Santiago",
    ...     as_of=dt.date(2026, 8, 1),
    ... ).start
    '0 1 6 9 *'
    """
    if start >= end:
        return CronWindow(reason=f"holds no day: {start} to {end}")
    if end <= as_of:
        return CronWindow(reason=f"over on {end}: cron has no year and would hold it next year")
    if start - as_of >= _YEAR or end - as_of >= _YEAR:
        return CronWindow(reason=f"ends {end}: cron has no year and would hold it a year early")
    zone = ZoneInfo(business_tz)
    return CronWindow(start=_expression(start, zone, early=True), end=_expression(end, zone))


def _expression(day: dt.date, zone: ZoneInfo, *, early: bool = False) -> str:
    """Return the cron expression of a day's first minute.

    A midnight that is skipped moves to the first minute that exists. One that comes twice would
    start a window at its second time, so such a start moves one hour forward, to the day before.
    """
    midnight = dt.datetime.combine(day, dt.time(), tzinfo=zone)
    instant = midnight.astimezone(dt.UTC)
    repeated = midnight.utcoffset() != midnight.replace(fold=1).utcoffset()
    at = instant.astimezone(zone)
    if early and repeated and at.replace(tzinfo=None) == midnight.replace(tzinfo=None):
        at = (instant - _HOUR).astimezone(zone)
    return f"{at.minute} {at.hour} {at.day} {at.month} *"
