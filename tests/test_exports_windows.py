"""Cron windows, against a clock of their own: KEDA's rule stepped through local time."""

from __future__ import annotations

import datetime as dt
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capmodel.exports import CronWindow, cron_window

STEP = dt.timedelta(minutes=30)


def fires(expression: str, instant: dt.datetime, zone: ZoneInfo) -> bool:
    """Return whether a cron expression fires: local fields alone, a skipped time never comes."""
    minute, hour, day, month, weekday = expression.split()
    assert weekday == "*"
    local = instant.astimezone(zone)
    return (local.minute, local.hour, local.day, local.month) == (
        int(minute), int(hour), int(day), int(month),
    )  # fmt: skip


def next_fire(expression: str, after: dt.datetime, zone: ZoneInfo) -> dt.datetime:
    """Return the next time after an instant, within the two days around a yearly date."""
    _, hour, day, month, _ = (int(part) if part != "*" else 0 for part in expression.split())
    for year in range(after.year - 1, after.year + 6):
        try:
            near = dt.datetime(year, month, day, hour, tzinfo=dt.UTC)
        except ValueError:  # 29 February
            continue
        for step in range(-48, 49):
            instant = near + step * STEP
            if instant > after and fires(expression, instant, zone):
                return instant
    message = f"{expression} never fires"
    raise AssertionError(message)


def holds(window: CronWindow, now: dt.datetime, zone: ZoneInfo) -> bool:
    """KEDA's rule: active while the next end comes before the next start."""
    return next_fire(window.end, now, zone) < next_fire(window.start, now, zone)


def make(start: str, end: str, *, tz: str = "America/New_York", as_of: str = "") -> CronWindow:
    first = dt.date.fromisoformat(start)
    return cron_window(
        first,
        dt.date.fromisoformat(end),
        business_tz=tz,
        as_of=dt.date.fromisoformat(as_of) if as_of else first - dt.timedelta(days=60),
    )


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        ("2026-11-27", "2026-11-28", ("0 0 27 11 *", "0 0 28 11 *")),
        ("2026-11-30", "2026-12-01", ("0 0 30 11 *", "0 0 1 12 *")),  # the month's last day
        ("2026-12-31", "2027-01-01", ("0 0 31 12 *", "0 0 1 1 *")),  # the year's
        ("2028-02-28", "2028-03-01", ("0 0 28 2 *", "0 0 1 3 *")),  # a leap year
        ("2026-10-31", "2026-11-03", ("0 0 31 10 *", "0 0 3 11 *")),  # summer time ends inside
        ("2027-03-13", "2027-03-15", ("0 0 13 3 *", "0 0 15 3 *")),  # and begins
    ],
)
def test_a_window_is_its_local_midnights(start, end, expected):
    window = make(start, end)
    assert (window.start, window.end, window.reason) == (*expected, "")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("tz", "start", "end"),
    [
        ("America/New_York", "2026-10-31", "2026-11-02"),  # a day of 25 hours
        ("America/New_York", "2027-03-13", "2027-03-15"),  # a day of 23 hours
        ("America/New_York", "2026-12-30", "2027-01-02"),
        ("America/Santiago", "2026-09-06", "2026-09-08"),  # its first midnight is skipped
        ("America/Santiago", "2026-09-04", "2026-09-06"),  # its last is
        ("Asia/Kolkata", "2026-11-08", "2026-11-09"),
        ("Pacific/Auckland", "2026-09-26", "2026-09-28"),
    ],
)
def test_a_trigger_holds_exactly_on_the_days_of_its_window(tz, start, end):
    zone, window = ZoneInfo(tz), make(start, end, tz=tz)
    first, last = dt.date.fromisoformat(start), dt.date.fromisoformat(end)
    instant = dt.datetime.combine(first, dt.time(), tzinfo=dt.UTC) - dt.timedelta(days=2)
    stop = dt.datetime.combine(last, dt.time(), tzinfo=dt.UTC) + dt.timedelta(days=2)
    minute = dt.timedelta(minutes=1)
    inside = 0
    while instant < stop:
        now = instant + minute  # a fire and its instant are one moment apart
        wanted = first <= now.astimezone(zone).date() < last
        assert holds(window, now, zone) == wanted, now
        inside += wanted
        instant += STEP
    assert inside > 24


def test_a_midnight_that_comes_twice_starts_the_window_early_never_late():
    # The Azores go from 1:00 back to 0:00 on 2026-10-25.
    window = make("2026-10-25", "2026-10-26", tz="Atlantic/Azores")
    assert window.start == "0 23 24 10 *"
    zone = ZoneInfo("Atlantic/Azores")
    first = dt.datetime(2026, 10, 25, tzinfo=zone).astimezone(dt.UTC)
    for minutes in range(1, 24 * 60, 30):
        assert holds(window, first + dt.timedelta(minutes=minutes), zone)


@pytest.mark.parametrize(
    ("start", "end", "as_of", "reason"),
    [
        ("2026-11-27", "2026-11-27", "2026-09-21", "holds no day"),
        ("2026-11-28", "2026-11-27", "2026-09-21", "holds no day"),
        ("2026-09-07", "2026-09-08", "2026-09-21", "over on 2026-09-08"),
        ("2027-09-21", "2027-09-22", "2026-09-21", "a year early"),
        ("2027-09-20", "2027-09-22", "2026-09-21", "a year early"),
    ],
)
def test_a_window_that_cron_would_hold_in_a_wrong_year_is_refused(start, end, as_of, reason):
    window = make(start, end, as_of=as_of)
    assert reason in window.reason
    assert not window.start


def test_a_window_that_has_begun_still_holds():
    window = make("2026-09-20", "2026-09-25", as_of="2026-09-21")
    zone = ZoneInfo("America/New_York")
    assert holds(window, dt.datetime(2026, 9, 21, 12, tzinfo=dt.UTC), zone)


@given(
    start=st.dates(dt.date(2026, 10, 1), dt.date(2027, 7, 1)),
    days=st.integers(1, 40),
    offset=st.integers(-10, 60),
    tz=st.sampled_from(["America/New_York", "Europe/Berlin", "UTC", "Australia/Lord_Howe"]),
)
def test_any_window_holds_by_its_days(start, days, offset, tz):
    end = start + dt.timedelta(days=days)
    window = cron_window(start, end, business_tz=tz, as_of=dt.date(2026, 9, 21))
    noon = dt.datetime.combine(start + dt.timedelta(days=offset), dt.time(12), ZoneInfo(tz))
    assert holds(window, noon.astimezone(dt.UTC), ZoneInfo(tz)) == (start <= noon.date() < end)
