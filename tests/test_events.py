"""The calendar: known dates, names by rank, the day of last season, events of one's own."""

from __future__ import annotations

import datetime as dt
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from capmodel.errors import InputError
from capmodel.events import EventDay, Events, thanksgiving

D = dt.date.fromisoformat
US = Events.us_retail(2019, 2028)
DAYS = st.dates(D("2020-06-30"), D("2028-12-31"))

# United States Office of Personnel Management, federal holidays 2023-2027 (days and observed
# days); Thanksgiving's neighbours follow from it. Mother's Day: second Sunday of May.
KNOWN = {
    "new_year": ["2023-01-01", "2024-01-01", "2025-01-01", "2026-01-01", "2027-01-01"],
    "martin_luther_king_day": [
        "2023-01-16", "2024-01-15", "2025-01-20", "2026-01-19", "2027-01-18",
    ],
    "presidents_day": ["2023-02-20", "2024-02-19", "2025-02-17", "2026-02-16", "2027-02-15"],
    "valentines_day": ["2023-02-14", "2024-02-14", "2025-02-14", "2026-02-14", "2027-02-14"],
    "mothers_day": ["2023-05-14", "2024-05-12", "2025-05-11", "2026-05-10", "2027-05-09"],
    "memorial_day": ["2023-05-29", "2024-05-27", "2025-05-26", "2026-05-25", "2027-05-31"],
    "juneteenth": ["2023-06-19", "2024-06-19", "2025-06-19", "2026-06-19", "2027-06-19"],
    "independence_day": ["2023-07-04", "2024-07-04", "2025-07-04", "2026-07-04", "2027-07-04"],
    "independence_day_observed": ["2026-07-03", "2027-07-05"],
    "labor_day": ["2023-09-04", "2024-09-02", "2025-09-01", "2026-09-07", "2027-09-06"],
    "columbus_day": ["2023-10-09", "2024-10-14", "2025-10-13", "2026-10-12", "2027-10-11"],
    "veterans_day": ["2023-11-11", "2024-11-11", "2025-11-11", "2026-11-11", "2027-11-11"],
    "veterans_day_observed": ["2023-11-10"],
    "thanksgiving_eve": ["2023-11-22", "2024-11-27", "2025-11-26", "2026-11-25", "2027-11-24"],
    "thanksgiving": ["2023-11-23", "2024-11-28", "2025-11-27", "2026-11-26", "2027-11-25"],
    "black_friday": ["2023-11-24", "2024-11-29", "2025-11-28", "2026-11-27", "2027-11-26"],
    "black_friday_saturday": [
        "2023-11-25", "2024-11-30", "2025-11-29", "2026-11-28", "2027-11-27",
    ],
    "black_friday_sunday": [
        "2023-11-26", "2024-12-01", "2025-11-30", "2026-11-29", "2027-11-28",
    ],
    "cyber_monday": ["2023-11-27", "2024-12-02", "2025-12-01", "2026-11-30", "2027-11-29"],
    "cyber_tuesday": ["2023-11-28", "2024-12-03", "2025-12-02", "2026-12-01", "2027-11-30"],
    "christmas_eve": ["2023-12-24", "2024-12-24", "2025-12-24", "2026-12-24", "2027-12-24"],
    "christmas": ["2023-12-25", "2024-12-25", "2025-12-25", "2026-12-25", "2027-12-25"],
    "christmas_observed": ["2027-12-24"],
    "day_after_christmas": ["2023-12-26", "2024-12-26", "2025-12-26", "2026-12-26", "2027-12-26"],
    "new_years_eve": ["2023-12-31", "2024-12-31", "2025-12-31", "2026-12-31", "2027-12-31"],
    "prime_day": ["2023-07-11", "2024-07-16", "2025-07-08"],
    "prime_day_2": ["2023-07-12", "2024-07-17", "2025-07-09"],
    "prime_day_3": ["2025-07-10"],
    "prime_day_4": ["2025-07-11"],
}  # fmt: skip


@pytest.mark.parametrize("name", KNOWN)
def test_us_retail_days_fall_on_their_known_dates(name: str) -> None:
    dates = Events.us_retail(2023, 2027).dates_of(name)
    assert [str(date) for date in dates] == KNOWN[name]


def test_us_retail_holds_no_other_days_than_known() -> None:
    extra = set(Events.us_retail(2023, 2027).names) - set(KNOWN)
    # 2023-01-01 is a Sunday, 2028-01-01 and 2027-06-19 are Saturdays.
    assert extra == {"new_year_observed", "juneteenth_observed"}


@pytest.mark.parametrize(
    ("year", "first", "days"),
    [
        (2019, "2019-07-15", 2),
        (2020, "2020-10-13", 2),
        (2021, "2021-06-21", 2),
        (2022, "2022-07-12", 2),
        (2025, "2025-07-08", 4),
        (2026, None, 0),  # not guessed
    ],
)
def test_prime_day_is_a_dated_fact(year: int, first: str | None, days: int) -> None:
    prime = [day for day in Events.us_retail(year, year) if day.span == "prime_day"]
    assert len(prime) == days
    assert first is None or prime[0].date == D(first)
    assert all(day.tag == "retail_peak" and not day.public for day in prime)


def test_tags_and_holidays() -> None:
    tags = {day.name: (day.tag, day.public) for day in US}
    assert tags["cyber_monday"] == ("retail_peak", False)
    assert tags["thanksgiving"] == ("retail_peak", True)
    assert tags["christmas"] == ("public_holiday", True)
    assert tags["christmas_observed"] == ("public_holiday", True)
    assert tags["christmas_eve"] == ("retail", False)
    peak = {day.name for day in US if day.tag == "retail_peak" and day.span != "prime_day"}
    assert peak == {
        "thanksgiving", "black_friday", "black_friday_saturday", "black_friday_sunday",
        "cyber_monday",
    }  # fmt: skip


# ---- what names a day --------------------------------------------------------------------------


def test_the_tag_decides_what_names_a_day() -> None:
    events = (
        Events.none()
        .add("zeta", "2026-11-27", tag="public_holiday")
        .add("a_sale", "2026-11-27", tag="retail")
        .add("peak", "2026-11-27", tag="retail_peak")
        .add("launch", "2026-11-27", tag="flash")
        .add("b_launch", "2026-11-27")
    )
    names = [day.name for day in events.on("2026-11-27")]
    assert names == ["b_launch", "launch", "peak", "zeta", "a_sale"]


@pytest.mark.parametrize(
    ("date", "name"),
    [
        ("2027-12-24", "christmas_eve"),  # also christmas_observed
        ("2022-12-26", "day_after_christmas"),  # also christmas_observed
        ("2027-12-31", "new_years_eve"),  # also new_year_observed
        ("2026-07-03", "independence_day_observed"),
        ("2026-11-30", "cyber_monday"),
        ("2026-11-18", None),
    ],
)
def test_the_primary_event(date: str, name: str | None) -> None:
    primary = US.primary(date)
    assert (primary and primary.name) == name


@given(DAYS)
def test_on_finds_exactly_the_days_of_a_date(date: dt.date) -> None:
    assert list(US.on(date)) == [day for day in US.days if day.date == date]
    assert US.on(np.datetime64(date)) == US.on(date.isoformat()) == US.on(date)


# ---- the day of last season --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("day", "last"),
    [
        ("2026-11-30", "2025-12-01"),  # Cyber Monday: 364 days
        ("2024-12-02", "2023-11-27"),  # … 371 days
        ("2024-11-27", "2023-11-22"),  # Thanksgiving eve
        ("2024-11-21", "2023-11-16"),  # 7 days before Thanksgiving: in the season
        ("2024-11-20", "2023-11-22"),  # 8 days before: the same weekday
        ("2024-12-09", "2023-12-04"),  # 7 days after Cyber Monday: in the season
        ("2024-12-10", "2023-12-12"),  # 8 days after
        ("2025-12-04", "2024-12-05"),
        ("2025-12-25", "2024-12-25"),
        ("2024-12-25", "2023-12-25"),  # leap year: 366 days
        ("2027-12-24", "2026-12-24"),  # Christmas Eve, though Christmas is observed on it
        ("2025-07-09", "2024-07-17"),  # second day of Prime Day
        ("2025-07-10", "2024-07-11"),  # no third day before: the same weekday
        ("2020-10-13", "2019-10-15"),  # Prime Day moved by three months: no longer a year
        ("2021-06-21", "2020-06-22"),  # … and back
        ("2022-07-12", "2021-06-21"),  # moved by three weeks: 386 days
        ("2026-07-03", "2025-07-04"),  # observed on another weekday; none near: 364 days
        ("2026-09-10", "2025-09-11"),
    ],
)
def test_the_counterpart_of_a_day(day: str, last: str) -> None:
    assert US.counterpart(day) == D(last)


def test_thanksgiving_season_needs_no_year_before_in_the_calendar() -> None:
    assert Events.us_retail(2024, 2024).counterpart("2024-12-02") == D("2023-11-27")
    assert Events.country("US", 2024, 2024).counterpart("2024-12-02") == D("2023-11-27")


def test_calendars_without_the_american_thanksgiving_keep_the_weekday() -> None:
    assert Events.none().counterpart("2024-12-02") == D("2023-12-04")
    # Canada's Thanksgiving is in October.
    assert Events.country("CA", 2023, 2024).counterpart("2024-12-02") == D("2023-12-04")


def test_a_campaign_of_every_quarter_meets_the_same_quarter() -> None:
    events = Events.none()
    for start in ("2025-02-10", "2025-05-12", "2025-08-11", "2025-11-10", "2026-02-09"):
        events = events.add("sale", start)
    assert events.counterpart("2026-02-09") == D("2025-02-10")
    assert events.counterpart("2025-11-10") == D("2024-11-11")  # none a year before


def test_a_launch_over_cyber_monday_without_precedent_still_meets_cyber_monday() -> None:
    events = US.add("launch", "2024-12-02")
    assert events.primary("2024-12-02") == EventDay(
        "launch", D("2024-12-02"), "launch", "custom", public=False
    )
    assert events.counterpart("2024-12-02") == D("2023-11-27")


@given(DAYS)
def test_the_counterpart_lies_about_a_year_before(day: dt.date) -> None:
    back = (day - US.counterpart(day)).days
    assert 300 <= back <= 428
    if not US.on(day):
        assert back in {364, 371}
    elif back != 364:
        names = {event.name for event in US.on(day)}
        assert names & {event.name for event in US.on(US.counterpart(day))}


@given(st.integers(1942, 2100), st.integers(-7, 11))
def test_the_season_follows_thanksgiving(year: int, offset: int) -> None:
    day = thanksgiving(year) + dt.timedelta(offset)
    assert (thanksgiving(year).month, thanksgiving(year).weekday()) == (11, 3)
    assert 22 <= thanksgiving(year).day <= 28
    last = Events.us_retail(2020, 2020).counterpart(day)
    assert last == thanksgiving(year - 1) + dt.timedelta(offset)


# ---- own events --------------------------------------------------------------------------------


def test_added_days_are_named_one_by_one_and_share_a_span() -> None:
    events = US.add("launch", "2026-11-20", days=3, tag="flash")
    new = [day for day in events if day not in US.days]
    assert [(d.name, str(d.date), d.span, d.tag, d.public) for d in new] == [
        ("launch", "2026-11-20", "launch", "flash", False),
        ("launch_day_2", "2026-11-21", "launch", "flash", False),
        ("launch_day_3", "2026-11-22", "launch", "flash", False),
    ]
    assert "launch" not in US.names  # nothing is changed in place
    assert {"launch", "prime_day", "cyber_monday"} <= set(events.spans)
    assert "launch_day_2" not in events.spans


def test_a_known_event_keeps_its_tag_and_its_day_names() -> None:
    events = US.add("prime_day", "2026-06-23", days=2)
    added = [day for day in events if day.date.year == 2026 and day.span == "prime_day"]
    assert [(d.name, d.tag) for d in added] == [
        ("prime_day", "retail_peak"),
        ("prime_day_2", "retail_peak"),
    ]
    assert events.counterpart("2026-06-24") == D("2025-07-09")
    with pytest.raises(InputError, match='expected "retail_peak", the tag of its other'):
        US.add("prime_day", "2026-06-23", tag="flash")


@given(st.permutations([("a", "2024-05-01"), ("b", "2024-05-01"), ("a", "2025-05-01")]))
def test_the_order_of_adding_does_not_matter(order: list[tuple[str, str]]) -> None:
    events = Events.none()
    for name, start in order:
        events = events.add(name, start, days=2)
    assert events.names == ("a", "a_day_2", "b", "b_day_2")
    assert [str(d) for d in events.dates_of("a_day_2")] == ["2024-05-02", "2025-05-02"]
    assert [d.date for d in events] == sorted(d.date for d in events)


@pytest.mark.parametrize(
    "start",
    [
        "2026-11-20",
        D("2026-11-20"),
        dt.datetime(2026, 11, 20),  # noqa: DTZ001  a local day
        pd.Timestamp("2026-11-20"),
    ],
)
def test_a_start_may_be_written_in_several_ways(start: str | dt.date) -> None:
    date = Events.none().add("launch", start).days[0].date
    assert type(date) is dt.date
    assert date == D("2026-11-20")


@pytest.mark.parametrize(
    ("name", "start", "days", "tag", "message"),
    [
        ("cyber_monday", "2026-11-30", 1, "custom", "already has it.*give the event a name"),
        ("thanksgiving", "2026-11-26", 1, "custom", "2026-11-26: got thanksgiving on a date"),
        ("launch", "2026-11-31", 1, "custom", "got '2026-11-31'; expected a date"),
        ("launch", "20261130", 1, "custom", "got '20261130'; expected a date"),
        ("launch", "next week", 1, "custom", "launch: start: got 'next week'"),
        ("launch", dt.datetime(2026, 11, 20, 9), 1, "custom", "expected a date"),  # noqa: DTZ001
        ("launch", "2026-11-20", 0, "custom", "launch: days: got 0; expected a whole number"),
        ("launch", "2026-11-20", 365, "custom", "got 365; expected a whole number"),
        ("launch", "2026-11-20", 1.5, "custom", "got 1.5; expected a whole number"),
        ("launch", "2026-11-20", True, "custom", "got True; expected a whole number"),
        ("Big Launch", "2026-11-20", 1, "custom", 'Write "big_launch"'),
        ("launch", "2026-11-20", 1, "Flash!", 'launch: tag: got "Flash!".*Write "flash"'),
        ("7up", "2026-11-20", 1, "custom", "Rename it"),
    ],
)
def test_a_wrong_event_is_refused(name: str, start: str, days: int, tag: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        US.add(name, start, days=days, tag=tag)


# ---- windows of the clock ----------------------------------------------------------------------


def hours_of(events: Events) -> list[tuple[str, str, int, int]]:
    return [(day.name, str(day.date), day.start_hour, day.end_hour) for day in events]


@pytest.mark.parametrize(
    ("start", "end", "parts"),
    [
        ("2026-11-20T18:00", "2026-11-20T22:00", [("sale", "2026-11-20", 18, 22)]),
        ("2026-11-20 18:00:00", "2026-11-20T19:00", [("sale", "2026-11-20", 18, 19)]),
        (
            "2026-12-31T22:00",
            "2027-01-01T02:00",
            [("sale", "2026-12-31", 22, 24), ("sale_day_2", "2027-01-01", 0, 2)],
        ),
        (
            "2026-11-20T18:00",
            "2026-11-22T06:00",
            [
                ("sale", "2026-11-20", 18, 24),
                ("sale_day_2", "2026-11-21", 0, 24),
                ("sale_day_3", "2026-11-22", 0, 6),
            ],
        ),
        ("2026-11-20T18:00", "2026-11-21T00:00", [("sale", "2026-11-20", 18, 24)]),
        ("2026-11-20", "2026-11-20T06:00", [("sale", "2026-11-20", 0, 6)]),
        (
            dt.datetime(2026, 11, 20, 18),  # noqa: DTZ001  the wall clock
            np.datetime64("2026-11-20T22"),
            [("sale", "2026-11-20", 18, 22)],
        ),
        (pd.Timestamp("2026-11-20 18:00"), "2026-11-20T22:00", [("sale", "2026-11-20", 18, 22)]),
    ],
)
def test_a_window_has_a_part_on_each_local_day(start, end, parts) -> None:
    events = Events.none().add("sale", start, end=end, tag="flash")
    assert hours_of(events) == parts
    assert {(day.span, day.tag) for day in events} == {("sale", "flash")}
    assert [day.is_windowed for day in events] == [last - first < 24 for *_, first, last in parts]


def test_midnight_to_midnight_is_a_whole_day() -> None:
    window = Events.none().add("sale", "2026-11-20T00:00", end="2026-11-22T00:00")
    assert window == Events.none().add("sale", "2026-11-20", days=2)


@given(st.datetimes(dt.datetime(2020, 1, 1), dt.datetime(2028, 1, 1)), st.integers(1, 24 * 30))  # noqa: DTZ001
def test_the_parts_of_a_window_add_up_to_it(start: dt.datetime, hours: int) -> None:
    start = dt.datetime.combine(start.date(), dt.time(start.hour))
    end = start + dt.timedelta(hours=hours)
    parts = Events.none().add("sale", start, end=end.isoformat()).days
    assert sum(day.n_hours for day in parts) == hours
    assert all(day.start_hour == 0 for day in parts[1:])
    assert all(day.end_hour == 24 for day in parts[:-1])
    dates = [day.date for day in parts]
    assert dates == [start.date() + dt.timedelta(i) for i in range(len(parts))]


def test_a_window_names_a_day_only_where_no_whole_day_event_does() -> None:
    events = US
    for date in ("2026-11-27", "2027-12-24", "2026-10-07"):
        for name, hour in (("flash_sale", 18), ("a_noon_sale", 12)):
            events = events.add(name, f"{date}T{hour}:00", end=f"{date}T{hour + 4}:00", tag="flash")
    assert [day.name for day in events.on("2026-11-27")] == [
        "black_friday", "a_noon_sale", "flash_sale",
    ]  # fmt: skip
    primary = [events.primary(day) for day in ("2026-11-27", "2027-12-24", "2026-10-07")]
    assert [day and day.name for day in primary] == ["black_friday", "christmas_eve", "a_noon_sale"]
    acting = [day.name for day in events.acting("2027-12-24")]
    assert acting == ["christmas_eve", "a_noon_sale", "flash_sale"]  # not christmas_observed
    assert events.acting("2026-10-08") == ()
    assert events.counterpart("2026-11-27") == D("2025-11-28")  # Black Friday's


def test_windows_of_two_years_are_occurrences_of_one_event() -> None:
    events = Events.none().add("sale", "2025-11-21T18:00", end="2025-11-21T22:00", tag="flash")
    events = events.add("sale", "2026-11-18T10:00", end="2026-11-18T13:00")
    assert events.names == ("sale",)
    assert {day.tag for day in events} == {"flash"}
    assert events.counterpart("2026-11-18") == D("2025-11-21")
    with pytest.raises(InputError, match="sale on a date where the calendar already has it"):
        events.add("sale", "2026-11-18T20:00", end="2026-11-18T21:00")


@pytest.mark.parametrize(
    ("start", "end", "message"),
    [
        (
            "2026-11-20T18:00",
            "2026-11-20T18:00",
            "start, end: got 2026-11-20T18:00 to .*an end aft",
        ),
        ("2026-11-20T18:00", "2026-11-20T02:00", "an end after the start"),
        ("2026-11-20T18:00", "2027-11-20T18:00", "at most 364 days"),
        ("2026-11-20T18:30", "2026-11-20T22:00", "start: got '2026-11-20T18:30'.*on the hour"),
        ("2026-11-20T18:00", "2026-11-20T22:00:30", "end: got '2026-11-20T22:00:30'"),
        ("2026-11-20T18:00", "2026-11-20T22:00Z", "without a time zone"),
        ("2026-11-20T18:00", dt.datetime(2026, 11, 20, 22, tzinfo=dt.UTC), "without a time zone"),
        ("2026-11-20T18:00", "2026-11-21", "got the date 2026-11-21.*Write its hour: 2026-11-21T0"),
        ("2026-11-20T18:00", D("2026-11-21"), "got the date 2026-11-21"),
        ("2026-11-20T18:00", "22:00", "end: got '22:00'"),
        ("2026-11-20T18:00", 22, "end: got 22"),
        ("2026-13-20T18:00", "2026-11-20T22:00", "start: got '2026-13-20T18:00'"),
        ("tonight", "late", "2 problems"),
    ],
)
def test_a_wrong_window_is_refused(start: str, end: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        US.add("sale", start, end=end)


def test_days_and_end_exclude_each_other_and_a_time_needs_an_end() -> None:
    with pytest.raises(InputError, match=r"days, end: got days 1 and end 2026.*Leave days out"):
        US.add("sale", "2026-11-20T18:00", days=1, end=dt.datetime(2026, 11, 20, 22))  # noqa: DTZ001
    with pytest.raises(InputError, match='add end="2026-11-30T22:00"'):
        US.add("sale", "2026-11-20T18:00")


# ---- selecting ---------------------------------------------------------------------------------


@given(DAYS, DAYS)
def test_between_is_half_open_and_splits_the_calendar(one: dt.date, two: dt.date) -> None:
    start, end = sorted((one, two))
    middle = US.between(start, end)
    assert all(start <= day.date < end for day in middle)
    parts = (US.between("2019-01-01", start), middle, US.between(end, "2029-01-01"))
    assert sum((part.days for part in parts), ()) == US.days


def test_wrong_questions_name_the_nearest() -> None:
    with pytest.raises(
        InputError, match=r'unknown name "cyber_munday".*Did you mean "cyber_monday"'
    ):
        US.dates_of("cyber_munday")
    with pytest.raises(InputError, match="an end after the start"):
        US.between("2026-01-02", "2026-01-01")
    with pytest.raises(InputError, match="day: got 20261130; expected a date"):
        US.counterpart(20261130)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="expected a date"):
        US.on(np.datetime64("NaT"))
    with pytest.raises(InputError, match="expected a date"):
        US.on(np.datetime64("2026-11-30T20"))


def test_the_frame_has_a_row_per_day() -> None:
    frame = US.to_frame()
    columns = ["date", "name", "span", "tag", "public", "start_hour", "end_hour"]
    assert list(frame.columns) == columns
    assert len(frame) == len(US)
    assert frame["date"].is_monotonic_increasing
    assert not frame.duplicated(["date", "name"]).any()
    row = frame[(frame["name"] == "cyber_monday") & frame["date"].str.startswith("2026")]
    assert row.to_numpy().tolist() == [
        ["2026-11-30", "cyber_monday", "cyber_monday", "retail_peak", False, 0, 24]
    ]
    assert list(Events.none().to_frame().columns) == list(frame.columns)


# ---- countries ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "subdiv", "date", "name"),
    [
        ("NZ", "AUK", "2026-01-26", "auckland_anniversary_day"),
        ("NZ", None, "2026-12-28", "boxing_day_observed"),
        ("DE", "BY", "2026-01-06", "epiphany"),
        ("DE", "Bayern", "2026-10-03", "german_unity_day"),
        ("FR", None, "2026-05-08", "victory_day"),
        ("GB", None, "2026-12-28", "boxing_day_observed"),
        ("CN", None, "2026-01-02", "day_off"),
        ("CN", None, "2026-02-17", "chinese_new_year_spring_festival"),
        ("SA", None, "2027-03-09", "eid_al_fitr_holiday"),
        ("SA", None, "2027-03-11", "eid_al_fitr_holiday_day_3"),
        ("SA", None, "2027-03-14", "eid_al_fitr_holiday_observed"),
    ],
)
def test_holidays_of_countries(code: str, subdiv: str | None, date: str, name: str) -> None:
    year = D(date).year
    events = Events.country(code, year, year, subdiv=subdiv)
    assert name in {day.name for day in events.on(date)}
    assert all(day.public and day.tag == "public_holiday" for day in events)
    assert all(day.date.year == year for day in events)
    assert not [day.name for day in events if not day.name.isascii()]


def test_a_holiday_of_several_days_is_one_span() -> None:
    events = Events.country("SA", 2027, 2027)
    eid = [day.name for day in events if day.span == "eid_al_fitr_holiday"]
    assert eid == ["eid_al_fitr_holiday", *(f"eid_al_fitr_holiday_day_{n}" for n in (2, 3, 4))]


@pytest.mark.parametrize(
    ("code", "subdiv", "message"),
    [
        ("nz", None, 'got "nz".*Did you mean "NZ"'),
        ("Germany", None, 'Did you mean "DE"'),
        ("Untied States", None, 'Did you mean "US"'),
        ("§§", None, "Look the code up"),
        ("NZ", "AUCK", 'subdiv: got "AUCK".*Did you mean "AUK"'),
        ("SG", "X", "a subdivision of SG: none"),
    ],
)
def test_an_unknown_country_names_the_nearest(code: str, subdiv: str | None, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Events.country(code, 2026, 2026, subdiv=subdiv)


@pytest.mark.parametrize(
    ("first", "last", "message"),
    [
        (2027, 2023, "got 2027 to 2023.*Swap the two years"),
        (1900, 2023, "first_year: got 1900; expected a year from 1942 to 2100"),
        (2023, 2999, "last_year: got 2999"),
        ("2023", 2027, "first_year: got '2023'"),
    ],
)
def test_years_are_checked(first: int, last: int, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Events.us_retail(first, last)
    with pytest.raises(InputError, match="expected a year from 1949"):
        Events.country("JP", 1900, 2000)


def test_importing_the_module_loads_no_holidays() -> None:
    code = "import sys, capmodel.events; sys.exit('holidays' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
