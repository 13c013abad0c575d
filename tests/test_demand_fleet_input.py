"""Long frames as blocks by local hour: the same cells as the history's own fold, faults by name."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pandas as pd
import pytest
from demand_worlds import calendar
from hypothesis import given
from hypothesis import strategies as st

from capmodel.demand import Batched, fleet_input
from capmodel.demand.fleet_input import blocks_of_frame
from capmodel.errors import InputError
from capmodel.history import local_cube

# Whole hours off UTC with and without clock changes, half an hour, and a change of half an hour.
ZONES = ("America/New_York", "UTC", "Asia/Kolkata", "Australia/Lord_Howe")


def long_frame(values, start, *, step_min=60, unit="us") -> pd.DataFrame:
    """Return series on a UTC grid, shape (S, T), as rows; cells that are NaN have no row."""
    time = pd.date_range(start, periods=values.shape[1], freq=f"{step_min}min", tz="UTC")
    code, step = np.nonzero(~np.isnan(values))
    names = [f"service_{i}" for i in range(len(values))]
    return pd.DataFrame(
        {
            "service": pd.Categorical.from_codes(code, pd.Index(names)),
            "time": pd.DatetimeIndex(time[step]).as_unit(unit),
            "rps": values[code, step].astype(np.float32),
        }
    )


def whole(frame: pd.DataFrame, *, tz: str = "UTC") -> np.ndarray:
    """Return all blocks of a frame as one array."""
    return np.concatenate(list(blocks_of_frame(frame, business_tz=tz)[0]))


@pytest.fixture
def hours() -> pd.DataFrame:
    """Three services over 100 days of UTC hours."""
    values = np.random.default_rng(1).random((3, 2400)) + 1
    return long_frame(values, "2026-01-01")


@given(
    zone=st.sampled_from(ZONES),
    step_min=st.sampled_from([60, 30, 20, 5]),
    unit=st.sampled_from(["s", "ms", "us", "ns"]),
    first=st.sampled_from(["2026-03-05 00:00", "2026-10-02 13:00", "2026-10-29 05:30"]),
    seed=st.integers(0, 1000),
)
def test_hours_are_those_of_the_histories_own_fold(zone, step_min, unit, first, seed) -> None:
    """Any order of rows; ten days, with a clock change in two of the zones."""
    rng = np.random.default_rng(seed)
    values = rng.random((4, 10 * 1440 // step_min)) * 100
    values[rng.random(values.shape) < 0.3] = np.nan
    values[:, [0, -1]] = 1.0
    frame = long_frame(values, first, step_min=step_min, unit=unit)
    shuffled = frame.iloc[rng.permutation(len(frame))]
    blocks, start, services = blocks_of_frame(shuffled, business_tz=zone)
    expected = local_cube(
        values, start=np.datetime64(first.replace(" ", "T")), step_min=step_min, tz=zone
    )
    got = np.concatenate(list(blocks))
    assert got.dtype == np.float32
    assert start == expected.dates[0].astype(dt.date)
    assert services == ("service_0", "service_1", "service_2", "service_3")
    np.testing.assert_allclose(got, expected.cube.reshape(-1, 4).T, rtol=1e-6)


def test_the_repeated_hour_is_averaged_over_what_was_observed() -> None:
    values = np.arange(50.0) + 100 * np.arange(3)[:, None]
    values[1, 1] = values[2, 1] = values[2, 2] = np.nan
    got = whole(long_frame(values, "2026-11-01T04:00"), tz="America/New_York")
    assert got[:, 0].tolist() == [0, 100, 200]
    np.testing.assert_array_equal(got[:, 1], [1.5, 102, np.nan])
    assert got[:, 2].tolist() == [3, 103, 203]
    assert got.shape == (3, 72)
    assert np.isnan(got[:, 49:]).all()  # 49 local hours were measured; the last day is padded


@given(sizes=st.tuples(st.integers(300, 5000), st.integers(1, 9000)), seed=st.integers(0, 99))
def test_sizes_of_blocks_and_slices_change_nothing(sizes, seed) -> None:
    rng = np.random.default_rng(seed)
    values = rng.random((9, 24 * 40))
    values[rng.random(values.shape) < 0.1] = np.nan
    frame = long_frame(values, "2026-01-01")
    by_time = frame.sort_values(["time", "service"])
    expected = whole(frame)
    np.testing.assert_allclose(expected, values, rtol=1e-6)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fleet_input, "ROWS", sizes[0])
        patch.setattr(fleet_input, "CELLS", sizes[1])
        for rows in (frame, by_time):
            np.testing.assert_array_equal(whole(rows), expected)


def test_names_are_categories_in_their_order_or_sorted_and_those_without_rows_left_out(hours):
    categories = ["zeta", "service_1", "empty", "service_0", "service_2"]
    some = hours[hours["service"] != "service_2"]
    given_order = some.assign(service=some["service"].cat.set_categories(categories))
    text = some.assign(service=some["service"].astype(str))
    blocks, _, services = blocks_of_frame(given_order, business_tz="UTC")
    assert services == ("service_1", "service_0")
    rows = np.concatenate(list(blocks))
    blocks, _, services = blocks_of_frame(text, business_tz="UTC")
    assert services == ("service_0", "service_1")
    np.testing.assert_array_equal(np.concatenate(list(blocks))[::-1], rows)


def test_columns_have_any_name_and_numbers_any_type(hours):
    renamed = hours.rename(columns={"service": "app", "time": "at", "rps": "calls"})
    whole_numbers = renamed.assign(calls=np.arange(len(renamed)) % 1000)
    nullable = renamed.assign(calls=pd.array(whole_numbers["calls"], dtype="Int64"))
    nullable.loc[7, "calls"] = pd.NA
    before = nullable.copy()
    expected = (np.arange(7200) % 1000).astype(np.float32).reshape(3, 2400)
    for frame in (whole_numbers, nullable):
        blocks, _, _ = blocks_of_frame(
            frame, business_tz="UTC", service="app", time="at", value="calls"
        )
        got = np.concatenate(list(blocks))
        assert np.isnan(got[0, 7]) == (frame is nullable)
        np.testing.assert_array_equal(np.delete(got, 7, axis=1), np.delete(expected, 7, axis=1))
    pd.testing.assert_frame_equal(nullable, before)


def test_a_frame_is_fitted_as_its_arrays_are():
    """Local days of New York over the spring change, rows by time."""
    rng = np.random.default_rng(5)
    hour = np.arange(140 * 24 - 1)
    busy = 2 + np.sin(hour / 24 * 2 * np.pi) + (hour // 24 % 7 < 5)
    values = busy * rng.lognormal(3, 1, (3, 1)) * rng.lognormal(0, 0.05, (3, len(hour)))
    frame = long_frame(values, "2025-12-01T05:00").sort_values("time")
    tz, events = "America/New_York", calendar()
    blocks, start, services = blocks_of_frame(frame, business_tz=tz)
    fit = Batched().fit_fleet(blocks, start=start, business_tz=tz, events=events, services=services)
    cube = local_cube(values, start=np.datetime64("2025-12-01T05:00"), tz=tz).cube
    arrays = cube.reshape(-1, 3).T
    again = Batched().fit_fleet(arrays, start="2025-12-01", business_tz=tz, events=events)
    assert fit.services == ("service_0", "service_1", "service_2")
    assert fit.end == again.end == np.datetime64("2026-04-20")
    np.testing.assert_allclose(fit.forecast(14).values, again.forecast(14).values, rtol=1e-4)


def test_a_step_given_twice_is_named_with_its_service(hours):
    again = hours[hours["service"] == "service_1"].iloc[[5, 40]]
    other = hours[hours["service"] == "service_2"].iloc[[9]].assign(rps=np.float32(np.nan))
    blocks, _, _ = blocks_of_frame(pd.concat([hours, again, other]), business_tz="UTC")
    with pytest.raises(InputError) as caught:
        list(blocks)
    assert [(p.where, p.got[:6]) for p in caught.value.problems] == [
        ("service_1 at 2026-01-01T05:00:00 UTC", "2 rows"),
        ("service_2 at 2026-01-01T09:00:00 UTC", "1 rows"),
    ]


def test_naive_times_and_every_other_fault_of_a_column_are_named_together(hours):
    bad = hours.assign(
        time=hours["time"].dt.tz_localize(None),
        rps="many",
        service=hours["service"].where(hours.index != 3),
    )
    with pytest.raises(InputError) as caught:
        blocks_of_frame(bad, business_tz="UTC")
    assert [p.where for p in caught.value.problems] == [
        'column "service"',
        'column "time"',
        'column "rps"',
    ]
    assert "tz_localize" in caught.value.problems[1].do
    with pytest.raises(InputError, match=r'(?s)column "at".*column "demand"'):
        blocks_of_frame(hours, business_tz="UTC", time="at", value="demand")
    with pytest.raises(InputError, match="no rows"):
        blocks_of_frame(hours.iloc[:0], business_tz="UTC")
    with pytest.raises(InputError, match="1 empty cells"):
        blocks_of_frame(hours.assign(time=hours["time"].where(hours.index != 3)), business_tz="UTC")
    with pytest.raises(InputError, match="Did you mean 'Europe/Berlin'"):
        blocks_of_frame(hours, business_tz="Europe/Berlni")


def test_irregular_times_and_a_wrong_clock_are_named(hours):
    late = hours.copy()
    late.loc[4000, "time"] += pd.Timedelta("7s")
    with pytest.raises(InputError, match=r"service_1 at 2026-03-08T16:00:07 UTC.*fraction"):
        blocks_of_frame(late, business_tz="UTC")
    early = hours.copy()
    early.loc[[4801, 4802], "time"] -= pd.Timedelta("20000D")
    with pytest.raises(InputError, match=r"service_2 at 1971-03-31T01:00:00 UTC: got 2 rows"):
        blocks_of_frame(early, business_tz="UTC")
    # Half of all rows lie beyond the gap: they are no wrong clock.
    halves = hours.copy()
    halves.loc[3600:, "time"] += pd.Timedelta("400D")
    assert whole(halves).shape == (3, 500 * 24)


def test_names_given_twice_are_refused_before_anything_is_fitted(hours):
    rows = whole(hours)
    with pytest.raises(InputError, match="api more than once"):
        Batched().fit_fleet(
            rows, start="2026-01-01", business_tz="UTC", services=["api", "cart", "api"]
        )
