"""Business time: local days and cubes are exact over every clock change."""

from __future__ import annotations

import zoneinfo

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from capmodel.errors import InputError
from capmodel.history import hours_in, local_cube, local_days
from capmodel.history.localtime import Axis, midnights

NEW_YORK = "America/New_York"


def dates(*texts):
    return np.array(texts, dtype="datetime64[D]")


# IANA tz database: US changes on the second Sunday of March and the first Sunday of November.
@pytest.mark.parametrize(
    ("tz", "day", "hours"),
    [
        (NEW_YORK, "2025-03-09", 23),
        (NEW_YORK, "2025-11-02", 25),
        (NEW_YORK, "2026-11-01", 25),
        (NEW_YORK, "2026-11-02", 24),
        ("Asia/Kolkata", "2025-11-02", 24),
        ("America/Sao_Paulo", "2018-11-04", 23),  # midnight itself is skipped
        ("America/Havana", "2025-11-02", 25),  # midnight comes twice
        ("UTC", "2025-03-09", 24),
    ],
)
def test_hours_in_a_day(tz, day, hours):
    assert hours_in(dates(day), tz).tolist() == [hours]


def test_the_missing_hour_is_nan_and_no_other():
    start = midnights(dates("2025-03-09"), NEW_YORK)[0]
    cube = local_cube(np.arange(23.0)[None], start=start, tz=NEW_YORK)
    expected = [0, 1, np.nan, *range(2, 23)]
    np.testing.assert_array_equal(cube.cube[0, :, 0], expected)
    assert cube.dates.tolist() == dates("2025-03-09").tolist()


@pytest.mark.parametrize("day", ["2025-11-02", "2026-11-01"])
def test_the_repeated_hour_is_averaged(day):
    start = midnights(dates(day), NEW_YORK)[0]
    cube = local_cube(np.arange(25.0)[None], start=start, tz=NEW_YORK)
    np.testing.assert_array_equal(cube.cube[0, :, 0], [0, 1.5, *range(3, 25)])


def test_the_repeated_hour_is_averaged_over_what_was_observed():
    start = midnights(dates("2026-11-01"), NEW_YORK)[0]
    values = np.arange(25.0)[None].copy()
    values[0, 2] = np.nan
    assert local_cube(values, start=start, tz=NEW_YORK).cube[0, 1, 0] == 1.0
    values[0, 1] = np.nan
    assert np.isnan(local_cube(values, start=start, tz=NEW_YORK).cube[0, 1, 0])


def test_minutes_are_averaged_into_hours_and_the_repeated_hour_into_one():
    start = midnights(dates("2026-11-01"), NEW_YORK)[0]
    cube = local_cube(np.arange(25 * 60.0)[None], start=start, step_min=1, tz=NEW_YORK)
    assert cube.cube[0, 0, 0] == np.arange(60).mean()
    assert cube.cube[0, 1, 0] == np.arange(60, 180).mean()
    assert cube.cube[0, 2, 0] == np.arange(180, 240).mean()


def test_half_hour_zone_counts_an_interval_to_the_hour_in_which_it_starts():
    # 18:00 UTC is 23:30 in Kolkata (UTC+5:30).
    days = local_days(np.datetime64("2025-11-01T18:00"), 26, 60, "Asia/Kolkata")
    assert days.dates.tolist() == dates("2025-11-01", "2025-11-02", "2025-11-03").tolist()
    assert days.hour_of_step.tolist() == [23, *range(24), 0]
    assert days.day_of_step.tolist() == [0, *[1] * 24, 2]


def test_partial_first_and_last_days_are_kept_with_nan():
    cube = local_cube(np.ones((1, 24)), start=np.datetime64("2025-06-01T12:00"), tz="UTC").cube
    assert np.isnan(cube[0, :12, 0]).all()
    assert (cube[0, 12:, 0] == 1).all()
    assert (cube[1, :12, 0] == 1).all()
    assert np.isnan(cube[1, 12:, 0]).all()


def test_daily_steps_are_local_days_labelled_by_date():
    days = local_days(np.datetime64("2025-03-08"), 3, 1440, NEW_YORK)
    assert days.dates.tolist() == dates("2025-03-08", "2025-03-09", "2025-03-10").tolist()
    cube = local_cube(
        np.arange(3.0)[None], start=np.datetime64("2025-03-08"), step_min=1440, tz=NEW_YORK
    )
    np.testing.assert_array_equal(cube.cube, np.arange(3.0).reshape(3, 1, 1))


def test_weekday_counts_from_monday():
    days = local_days(np.datetime64("2025-11-24"), 8, 1440, "UTC")  # a Monday
    assert days.weekday.tolist() == [0, 1, 2, 3, 4, 5, 6, 0]


ZONES = st.sampled_from(
    [NEW_YORK, "Asia/Kolkata", "Europe/London", "Pacific/Auckland", "America/Sao_Paulo",
     "Australia/Lord_Howe", "America/St_Johns", "America/Havana", "UTC"]
)  # fmt: skip


@given(
    tz=ZONES,
    hour=st.integers(0, 24 * 365 * 30),
    n_steps=st.integers(1, 24 * 9),
    step_min=st.sampled_from([15, 30, 60]),
)
def test_every_step_lands_where_the_zone_says(tz, hour, n_steps, step_min):
    start = np.datetime64("2000-01-01T00", "h") + hour
    values = np.random.default_rng(hour).normal(size=(2, n_steps))
    found = local_cube(values, start=start, step_min=step_min, tz=tz)
    # An independent count with the standard library, one step at a time.
    slots: dict[tuple[np.datetime64, int], list[int]] = {}
    zone = zoneinfo.ZoneInfo(tz)
    for step in range(n_steps):
        moment = pd.Timestamp(start, tz="UTC") + pd.Timedelta(minutes=step * step_min)
        local = moment.to_pydatetime().astimezone(zone)
        slots.setdefault((np.datetime64(local.date(), "D"), local.hour), []).append(step)
    assert np.count_nonzero(~np.isnan(found.cube[:, :, 0])) == len(slots)
    for (date, hour_of_day), steps in slots.items():
        day = int((date - found.dates[0]).astype(int))
        np.testing.assert_allclose(found.cube[day, hour_of_day], values[:, steps].mean(axis=1))


@given(tz=ZONES, first=st.integers(0, 7000), n_days=st.integers(1, 30))
def test_hours_in_equals_the_steps_that_fall_on_the_day(tz, first, n_days):
    # From 2012 on no zone here changes within the hour (Newfoundland did, at 00:01).
    days = np.datetime64("2012-01-01", "D") + first + np.arange(n_days + 1)
    edges = midnights(days, tz)
    half_hours = local_days(edges[0], int((edges[-1] - edges[0]).astype(int) // 1800), 30, tz)
    counted = np.bincount(half_hours.day_of_step, minlength=n_days) / 2
    expected = hours_in(days[:-1], tz)
    # Lord Howe shifts by half an hour; whole hours are promised.
    assert np.all(np.abs(counted - expected) <= 0.5)
    if tz != "Australia/Lord_Howe":
        assert counted.tolist() == expected.tolist()


def test_unknown_zone_names_the_nearest():
    with pytest.raises(InputError, match="America/New_York"):
        local_days(np.datetime64("2025-01-01"), 3, 60, "America/New_Yrok")


def test_boundaries_need_a_zone_or_are_local_midnights():
    axis = Axis(np.datetime64("2026-10-01T04:00:00"), 24 * 60, 60, NEW_YORK)
    assert str(axis.instant("2026-11-02", where="end")) == "2026-11-02T05:00:00"
    moment = pd.Timestamp("2026-11-01 12:00", tz="Asia/Kolkata")
    assert str(axis.instant(moment, where="end")) == "2026-11-01T06:30:00"
    with pytest.raises(InputError, match="without a time zone"):
        axis.instant("2026-11-01 12:00", where="end")
    with pytest.raises(InputError, match="a date"):
        axis.instant("soon", where="end")
