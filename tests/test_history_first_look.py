"""overlay and lifts: arithmetic on local-day means, exact where it can be worked by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from capmodel.errors import InputError
from capmodel.events import Events
from capmodel.history import History
from capmodel.history.first_look import normal_level

NEW_YORK = "America/New_York"


def hourly(value_of_day, *, first="2024-01-01", last="2026-03-01", quantity="rps", service="api"):
    """Build a history whose every hour of a local day holds ``value_of_day(dates)``."""
    begin, end = (pd.Timestamp(day, tz=NEW_YORK).tz_convert("UTC") for day in (first, last))
    times = pd.date_range(begin, end, freq="h", inclusive="left")
    local = times.tz_convert(NEW_YORK).tz_localize(None).normalize()
    values = value_of_day(local)
    frame = pd.DataFrame({"service": service, "time": times, quantity: values})
    return History.from_frame(frame, business_tz=NEW_YORK)


def weekly(dates):
    """100 on Mondays … 160 on Sundays."""
    return 100.0 + 10 * dates.day_of_week.to_numpy()


def cyber(dates, lifts):
    values = weekly(dates)
    for day, lift in lifts.items():
        values = np.where(dates == pd.Timestamp(day), values * lift, values)
    return values


PLANTED = {"2024-12-02": 2.5, "2025-12-01": 3.0, "2025-11-28": 2.0, "2024-11-29": 1.8}


def test_planted_lifts_on_local_days_are_exact_without_growth():
    history = hourly(lambda dates: cyber(dates, PLANTED))
    table = history.lifts(Events.us_retail(2024, 2025))
    lifts = table.set_index(["event", "year"])["lift_x"]
    assert lifts["cyber_monday", 2024] == pytest.approx(2.5, rel=1e-12)
    assert lifts["cyber_monday", 2025] == pytest.approx(3.0, rel=1e-12)
    assert lifts["black_friday", 2025] == pytest.approx(2.0, rel=1e-12)
    assert lifts["thanksgiving", 2025] == pytest.approx(1.0, rel=1e-12)
    assert table.columns.tolist() == [
        *("service", "event", "year", "date", "actual", "normal", "lift_x"),
        *("n_days_normal", "sides"),
    ]
    row = table[(table["event"] == "cyber_monday") & (table["year"] == 2025)].iloc[0]
    assert (row["date"], row["n_days_normal"], row["sides"]) == ("2025-12-01", 8, "both")
    assert (row["actual"], row["normal"]) == (300.0, 100.0)


def test_linear_growth_cancels_although_the_sides_differ():
    def growing(dates):
        day = (dates - pd.Timestamp("2024-01-01")).days.to_numpy()
        lift = np.where(dates == pd.Timestamp("2025-12-01"), 2.0, 1.0)
        return (1000.0 + 3.0 * day) * lift

    # Two of the following Mondays are events as well: the sides have different distances.
    events = Events.none().add("cyber_monday", "2025-12-01").add("sale", "2025-12-08")
    table = hourly(growing).lifts(events.add("more", "2025-12-22")).set_index("event")
    assert table.loc["cyber_monday", "lift_x"] == pytest.approx(2.0, rel=1e-12)
    assert table.loc["cyber_monday", "n_days_normal"] == 8


@given(
    slope=st.floats(-5, 5), events=st.sets(st.integers(1, 8), max_size=5), at=st.integers(56, 140)
)
def test_the_normal_level_of_a_line_is_the_line(slope, events, at):
    line = 1000 + slope * np.arange(200.0)[:, None]
    expected = line[at, 0]
    line[at] = np.nan
    for week in events:
        line[at - 7 * week] = np.nan
    level, n_days, sides = normal_level(line, at)
    assert level[0] == pytest.approx(expected, rel=1e-9)
    assert n_days[0] == 4 + min(4, 8 - len(events))
    assert sides == ["both"]


def test_one_sided_normals_say_so():
    history = hourly(weekly, first="2025-11-01", last="2025-12-02")
    table = history.lifts(Events.us_retail(2025, 2025)).set_index("event")
    assert table.loc["cyber_monday", "sides"] == "before"
    assert table.loc["cyber_monday", "n_days_normal"] == 4  # Mondays 3 to 24 November
    assert "christmas" not in table.index


def test_days_with_too_few_hours_do_not_count():
    def holed(dates):
        values = cyber(dates, PLANTED)
        first = np.flatnonzero(dates == pd.Timestamp("2025-12-01"))
        values[first[:5]] = np.nan  # 19 of 24 hours left
        second = np.flatnonzero(dates == pd.Timestamp("2025-11-28"))
        values[second[:4]] = np.nan  # 20 of 24 hours left
        return values

    table = hourly(holed).lifts(Events.us_retail(2025, 2025)).set_index("event")
    assert np.isnan(table.loc["cyber_monday", "lift_x"])
    assert table.loc["black_friday", "lift_x"] == pytest.approx(2.0)


def test_outage_hours_do_not_lower_an_event_day():
    def down(dates):
        values = cyber(dates, PLANTED)
        values[np.flatnonzero(dates == pd.Timestamp("2025-12-01"))[10:12]] = 0.0
        return values

    table = hourly(down).lifts(Events.us_retail(2025, 2025)).set_index("event")
    assert table.loc["cyber_monday", "lift_x"] == pytest.approx(3.0)


def test_overlay_puts_years_on_one_axis():
    history = hourly(lambda dates: cyber(dates, PLANTED))
    table = history.overlay("cyber_monday")  # US retail over the history's years
    assert table.columns.tolist() == [
        *("event", "year", "days_from", "date", "service", "value", "multiple_of_normal")
    ]
    assert sorted(table["year"].unique().tolist()) == [2024, 2025]
    assert len(table) == 2 * 29
    at = table.set_index(["year", "days_from"])
    assert at.loc[(2025, 0), "multiple_of_normal"] == pytest.approx(3.0)
    assert at.loc[(2025, -3), "multiple_of_normal"] == pytest.approx(2.0)  # Black Friday
    assert at.loc[(2025, -3), "date"] == "2025-11-28"
    assert at.loc[(2024, 0), "value"] == pytest.approx(250.0)
    others = table[~table["days_from"].isin([0, -3])]["multiple_of_normal"]
    np.testing.assert_allclose(others, 1.0)


def test_overlay_normal_is_the_median_of_eight_weeks_before_day_minus_14():
    def steps(dates):
        # The level doubles 15 days before the event: still inside the eight weeks, as a minority.
        return np.where(dates >= pd.Timestamp("2025-11-16"), 200.0, 100.0)

    table = hourly(steps, first="2025-09-01").overlay("cyber_monday", Events.us_retail(2025, 2025))
    assert set(table["multiple_of_normal"]) == {2.0}


def test_overlay_of_days_outside_the_history_has_no_value():
    history = hourly(weekly, first="2025-09-01", last="2025-12-03")
    table = history.overlay("cyber_monday").set_index("days_from")
    assert table.loc[0, "multiple_of_normal"] == pytest.approx(1.0)
    assert np.isnan(table.loc[2:, "value"]).all()
    assert np.isnan(table.loc[2:, "multiple_of_normal"]).all()


def test_overlay_names_unknown_and_unseen_events():
    history = hourly(weekly, first="2025-09-01", last="2025-10-15")
    with pytest.raises(InputError, match='Did you mean "cyber_monday"'):
        history.overlay("cyber_mondy")
    with pytest.raises(InputError, match="2025-12-01"):
        history.overlay("cyber_monday")


def test_services_without_demand_are_left_out_and_daily_history_works():
    days = pd.date_range("2025-01-01", periods=420, freq="D")
    frame = pd.concat(
        [
            pd.DataFrame({"service": "shop", "time": days, "per_min": cyber(days, PLANTED)}),
            pd.DataFrame({"service": "db", "time": days, "cpu_cores": 3.0}),
        ]
    )
    history = History.from_frame(frame, business_tz=NEW_YORK)
    table = history.lifts(Events.us_retail(2025, 2025))
    assert set(table["service"]) == {"shop"}
    assert table.set_index("event").loc["cyber_monday", "lift_x"] == pytest.approx(3.0)
    with pytest.raises(InputError, match="per_min, rps"):
        history.select(["db"]).lifts(Events.none())


def test_no_event_in_range_gives_an_empty_table_with_columns():
    history = hourly(weekly, first="2025-09-01", last="2025-10-15")
    table = history.lifts(Events.none())
    assert len(table) == 0
    assert "lift_x" in table.columns
