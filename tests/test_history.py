"""History: a long frame becomes dense arrays, whatever order and dirt its rows come in."""

from __future__ import annotations

import copy
import datetime as dt
import pickle

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capmodel.errors import InputError
from capmodel.history import History

NEW_YORK = "America/New_York"


def hours(n, start="2026-01-01"):
    return pd.date_range(start, periods=n, freq="h", tz="UTC")


def frame(n=48, service="api", start="2026-01-01", **quantities):
    columns = quantities or {"rps": np.arange(float(n))}
    return pd.DataFrame({"service": service, "time": hours(n, start), **columns})


def read(df, **arguments):
    return History.from_frame(df, business_tz=NEW_YORK, **arguments)


def same(one, other):
    assert one.services == other.services
    assert one.start == other.start
    assert one.step_min == other.step_min
    assert set(one.values) == set(other.values)
    for key, array in one.values.items():
        np.testing.assert_array_equal(array, other.values[key])
    assert set(one.tags) == set(other.tags)
    for tag, mask in one.tags.items():
        np.testing.assert_array_equal(mask, other.tags[tag])
    assert one.digest() == other.digest()


# ---------------------------------------------------------------- reading


def test_dense_arrays_on_a_utc_grid():
    df = pd.concat([frame(5, "web", "2026-01-01 02:00"), frame(4, "api")])
    history = read(df)
    assert history.services == ("api", "web")
    assert history.start == np.datetime64("2026-01-01T00:00:00")
    assert history.end == np.datetime64("2026-01-01T07:00:00")
    assert (history.step_min, history.n_steps) == (60, 7)
    nan = np.nan
    expected = [[0, 1, 2, 3, nan, nan, nan], [nan, nan, 0, 1, 2, 3, 4]]
    np.testing.assert_array_equal(history.array("rps"), expected)
    assert history.times[2] == pd.Timestamp("2026-01-01 02:00", tz="UTC")
    assert history.times.freq is not None
    np.testing.assert_array_equal(history.series("web", "rps"), expected[1])


def test_times_of_any_zone_and_resolution_are_the_same_instants():
    df = frame(30)
    same(read(df), read(df.assign(time=df["time"].dt.tz_convert("Asia/Kolkata"))))
    same(read(df), read(df.assign(time=df["time"].dt.as_unit("s"))))
    same(read(df), read(df.assign(time=df["time"].astype(object))))
    same(read(df), read(df.assign(time=[t.isoformat() for t in df["time"]])))
    same(read(df), read(df.assign(service=df["service"].astype("category"))))
    same(read(df), read(df.assign(rps=df["rps"].astype("Int64"))))
    same(read(df), read(df.assign(rps=df["rps"].astype(str))))


def test_the_input_is_not_changed_and_arrays_are_read_only():
    df = frame(30)
    before = df.copy()
    history = read(df)
    pd.testing.assert_frame_equal(df, before)
    with pytest.raises(ValueError, match="read-only"):
        history.array("rps")[0, 0] = 1
    with pytest.raises(TypeError):
        history.values["rps", ""] = None


def test_dates_are_local_days():
    days = [dt.date(2026, 3, 7) + dt.timedelta(i) for i in range(5)]  # 2026-03-08 has 23 hours
    df = pd.DataFrame({"service": "api", "time": days, "rps": np.arange(5.0)})
    history = read(df)
    assert (history.step_min, history.start) == (1440, np.datetime64("2026-03-07T00:00:00"))
    for column in (
        [str(day) for day in days],
        pd.to_datetime(days),
        # local midnights as moments: 24 and 23 hours apart
        pd.DatetimeIndex(pd.to_datetime(days)).tz_localize(NEW_YORK),
    ):
        same(history, read(df.assign(time=column)))
    assert read(df).check().codes == ("too_short",)


def test_utc_days_are_taken_for_the_local_day_that_holds_most_of_them_and_said():
    df = pd.DataFrame(
        {
            "service": "api",
            "time": pd.date_range("2026-01-01", periods=20, freq="D", tz="UTC"),
            "rps": np.arange(20.0),
        }
    )
    history = read(df)
    assert history.start == np.datetime64("2026-01-01T00:00:00")
    (note,) = history.notes
    assert (note.code, note.data["median_shift_hours"]) == ("shifted_days", -5.0)


def test_classes_add_up_where_each_is_measured():
    nan = np.nan
    df = pd.concat(
        [
            frame(6, rps=[1.0, 2, 3, 4, 5, 6]).assign(**{"class": "read"}),
            frame(6, rps=[nan, nan, 10, nan, 10, nan]).assign(**{"class": "write"}),
        ]
    )
    history = read(df)
    np.testing.assert_array_equal(history.array("rps", "read")[0], [1, 2, 3, 4, 5, 6])
    # write begins with step 2 and ends with step 4: no gap before and after, one at step 3
    np.testing.assert_array_equal(history.array("rps")[0], [1, 2, 13, nan, 15, 6])
    np.testing.assert_array_equal(history.series("api", "rps"), history.array("rps")[0])
    with pytest.raises(InputError, match='Did you mean "write"'):
        history.array("rps", "wite")


def test_parts_of_a_row_may_come_in_two_rows():
    df = pd.concat([frame(30, rps=np.arange(30.0)), frame(30, cpu_cores=np.arange(30.0) / 10)])
    history = read(df)
    assert history.notes.codes == ()
    assert history.measured("api") == ("rps", "cpu_cores")


def test_demand_is_per_min_before_rps():
    df = pd.concat(
        [
            frame(20, "checkouts", per_min=np.ones(20), rps=np.ones(20)),
            frame(20, "api", rps=np.ones(20)),
            frame(20, "db", cpu_cores=np.ones(20)),
        ]
    )
    history = read(df)
    assert history.demand_quantity("checkouts") == "per_min"
    assert history.demand_quantity("api") == "rps"
    with pytest.raises(InputError, match="one of per_min, rps"):
        history.demand_quantity("db")


# ---------------------------------------------------------------- dirt while reading


def test_identical_duplicates_count_once():
    df = frame(48)
    history = read(pd.concat([df, df.iloc[10:20]]))
    (note,) = history.notes
    assert (note.code, note.severity, note.service) == ("identical_duplicates", "warning", "api")
    assert note.data["steps"] == 10
    same(history, read(df))


def test_conflicting_duplicates_are_an_error_and_their_mean_is_used_when_accepted():
    df = frame(48)
    history = read(pd.concat([df, df.iloc[10:11].assign(rps=20.0), df.iloc[11:12]]))
    conflict = next(note for note in history.notes if note.severity == "error")
    assert conflict.code == "conflicting_duplicates"
    assert conflict.data["first"] == "2026-01-01 05:00"  # local for 10:00 UTC
    assert history.check().errors() == (
        conflict,
        *history.check().errors(["conflicting_duplicates"]),
    )
    np.testing.assert_array_equal(history.series("api", "rps")[9:12], [9, 15, 11])


def test_mixed_steps_are_an_error():
    minutes = pd.date_range("2026-01-01", periods=48 * 12, freq="5min", tz="UTC")
    fine = pd.DataFrame({"service": "fine", "time": minutes, "rps": np.arange(48 * 12.0)})
    history = read(pd.concat([frame(48), frame(48, "web"), fine]))
    (note,) = history.notes
    assert (note.code, note.severity, note.service) == ("mixed_step", "error", "fine")
    assert note.data == {"step_min": 5, "history_step_min": 60}
    # when accepted: the mean of the twelve values of the hour
    assert history.series("fine", "rps")[0] == np.arange(12).mean()
    assert history.n_steps == 48


def test_a_jumped_clock_moves_to_the_nearest_step_and_is_reported():
    df = frame(48)
    times = df["time"].tolist()
    times[20:23] = [t + pd.Timedelta(minutes=7) for t in times[20:23]]
    history = read(df.assign(time=times))
    (note,) = history.notes
    assert (note.code, note.data["rows"]) == ("clock_jump", 3)
    same(history, read(df))


def test_a_row_that_belongs_wins_over_one_that_was_moved():
    df = frame(48)
    stray = df.iloc[20:21].assign(time=df["time"].iloc[20] + pd.Timedelta(minutes=7), rps=999.0)
    history = read(pd.concat([df, stray]))
    assert history.notes.codes == ("clock_jump",)
    same(history, read(df))


def test_rows_of_a_clock_in_another_year_are_set_aside():
    df = frame(24 * 60)
    stray = frame(2, start="2028-05-05", rps=[1.0, 2.0])
    history = read(pd.concat([stray, df]))
    (note,) = history.notes
    assert (note.code, note.data["rows"]) == ("clock_jump", 2)
    same(history, read(df))


def test_a_long_gap_is_no_wrong_clock():
    df = pd.concat([frame(24 * 40), frame(24 * 40, start="2026-08-01")])
    history = read(df)
    assert len(history.notes) == 0
    assert history.n_steps == (212 + 40) * 24  # 2026-01-01 to 2026-08-01 are 212 days


def test_infinite_values_become_gaps_with_a_finding():
    df = frame(48)
    df.loc[5, "rps"] = np.inf
    history = read(df)
    assert history.notes.codes == ("not_finite",)
    assert np.isnan(history.series("api", "rps")[5])


# ---------------------------------------------------------------- errors


def test_every_problem_is_raised_at_once():
    df = frame(5).rename(columns={"service": "svc"}).assign(cpu_core=1.0)
    with pytest.raises(InputError) as caught:
        read(df)
    text = str(caught.value)
    assert len(caught.value.problems) >= 3
    assert 'a column "service"' in text
    assert 'Did you mean "cpu_cores"?' in text


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda df: df.drop(columns="time"), 'expected a column "time"'),
        (lambda df: df.set_index("time"), "reset_index"),
        (lambda df: df.assign(time=df["time"].dt.tz_localize(None)), "without a time zone"),
        (lambda df: df.assign(time=df["time"].dt.strftime("%Y-%m-%d %H:%M")), "without a time"),
        (lambda df: df.assign(time=df["time"].dt.strftime("%d/%m/%Y")), "ISO 8601"),
        (lambda df: df.assign(time=np.arange(len(df))), 'unit="s"'),
        (lambda df: df.assign(time=df["time"].where(df.index != 3)), 'row 3, column "time"'),
        (lambda df: df.assign(rps=["1,000", *["2"] * (len(df) - 1)]), 'row 0, column "rps"'),
        (lambda df: df.assign(rps=True), "expected numbers"),
        (lambda df: df.assign(service=df["service"].where(df.index != 2)), "row 2"),
        (lambda df: df.drop(columns="rps"), "at least one quantity"),
        (lambda df: df.iloc[:0], "no rows"),
        (lambda df: df.iloc[:1], "step_min=60"),
        (lambda df: df.iloc[::7], "a step of 420 min"),
        (lambda df: pd.concat([df, df["rps"]], axis=1), "2 times"),
        (lambda df: df.rename(columns={"rps": "rsp"}), 'Did you mean "rps"'),
    ],
)  # fmt: skip
def test_bad_input_says_where_got_expected_do(change, words):
    with pytest.raises(InputError) as caught:
        read(change(frame(48)))
    assert words in str(caught.value)


def test_seconds_are_too_fine():
    times = pd.date_range("2026-01-01", periods=90, freq="15s", tz="UTC")
    with pytest.raises(InputError, match="half a minute"):
        read(pd.DataFrame({"service": "api", "time": times, "rps": 1.0}))


def test_unknown_names_offer_the_nearest():
    history = read(frame(48))
    with pytest.raises(InputError, match='Did you mean "api"'):
        history.series("apo", "rps")
    with pytest.raises(InputError, match='Did you mean "rps"'):
        history.array("rpz")
    with pytest.raises(InputError, match='Did you mean "api"'):
        history.select(["ap"])
    with pytest.raises(InputError, match="business_tz"):
        History.from_frame(frame(48), business_tz="Mars/Olympus")


def test_arrays_of_different_shapes_are_refused():
    values = {("rps", ""): np.ones((1, 3)), ("cpu_cores", ""): np.ones((1, 4))}
    with pytest.raises(InputError, match="one shape"):
        History(("api",), np.datetime64("2026-01-01"), 60, values, {}, "UTC")


# ---------------------------------------------------------------- parts of a history


def test_between_takes_local_days_and_select_takes_names():
    df = pd.concat([frame(24 * 10), frame(24 * 10, "web")])
    history = read(df)
    part = history.between("2026-01-03", "2026-01-05").select(["web"])
    assert part.services == ("web",)
    assert part.start == np.datetime64("2026-01-03T05:00:00")  # midnight in New York
    np.testing.assert_array_equal(part.series("web", "rps"), np.arange(53.0, 53 + 48))
    moment = pd.Timestamp("2026-01-03 00:30", tz=NEW_YORK)
    assert history.between(moment, "2026-02-01").start == np.datetime64("2026-01-03T06:00:00")
    with pytest.raises(InputError, match="The start comes before the end"):
        history.between("2026-01-05", "2026-01-03")


def test_between_on_daily_history():
    days = pd.date_range("2026-03-01", periods=20, freq="D")
    history = read(pd.DataFrame({"service": "api", "time": days, "rps": np.arange(20.0)}))
    part = history.between("2026-03-08", "2026-03-10")
    np.testing.assert_array_equal(part.series("api", "rps"), [7, 8])


def test_pickle_and_copy_keep_everything():
    history = read(frame(48).assign(tag=["", "load_test"] * 24))
    same(history, pickle.loads(pickle.dumps(history)))  # noqa: S301  our own bytes
    same(history, copy.deepcopy(history))


def test_representations_are_short_and_escape():
    history = read(frame(48, "<b>"))
    assert repr(history) == (
        "<History: 1 service, 48 steps of 60 min, 2025-12-31 19:00 to 2026-01-02 19:00 "
        "America/New_York>"
    )
    page = history._repr_html_()
    assert "&lt;b&gt;" in page
    assert "<b>" not in page
    assert "2026-01-02 18:00" in page


def test_digest_sees_content_and_nothing_else():
    df = frame(48).assign(tag="")
    base = read(df).digest()
    assert read(df.assign(cpu_cores=np.nan)).digest() == base  # not measured
    assert read(pd.concat([df, df.iloc[:3]])).digest() == base  # a note, no value
    assert read(df.assign(rps=-0.0)).digest() == read(df.assign(rps=0.0)).digest()
    changed = df.copy()
    changed.loc[7, "rps"] += 1e-6
    others = {
        read(changed).digest(),
        read(df.assign(service="web")).digest(),
        read(df.assign(tag="load_test")).digest(),
        read(df.assign(time=df["time"] + pd.Timedelta(hours=1))).digest(),
        History.from_frame(df, business_tz="UTC").digest(),
    }
    assert base not in others
    assert len(others) == 5


# ---------------------------------------------------------------- properties

CELL = st.one_of(st.just(np.nan), st.floats(0, 1e6))


@st.composite
def histories(draw):
    """A long frame with gaps, classes, tags, duplicates and rows of several services."""
    n = draw(st.integers(3, 30))
    classed, tagged = draw(st.booleans()), draw(st.booleans())
    step = draw(st.sampled_from([1, 60, 1440]))
    parts = []
    for service in draw(st.lists(st.sampled_from("abcde"), min_size=1, max_size=3, unique=True)):
        classes = draw(st.lists(st.sampled_from(["r", "w"]), min_size=1, unique=True))
        for name in classes if classed else [""]:
            cells = {q: draw(st.lists(CELL, min_size=n, max_size=n)) for q in ("rps", "cpu_cores")}
            part = frame(n, service, **cells)
            part["time"] = pd.Timestamp("2026-03-01", tz="UTC") + np.arange(n) * pd.Timedelta(
                minutes=step
            )
            if step == 1440:
                part["time"] = part["time"].dt.tz_localize(None)
            if classed:
                part["class"] = name
            if tagged:
                tags = st.sampled_from(["", "load_test", "deploy", "deploy,load_test"])
                part["tag"] = draw(st.lists(tags, min_size=n, max_size=n))
            parts.append(part)
    return pd.concat(parts, ignore_index=True)


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(df=histories(), seed=st.integers(0, 2**32 - 1))
def test_row_order_changes_nothing(df, seed):
    rng = np.random.default_rng(seed)
    noisy = df.iloc[rng.integers(0, len(df), 6)].copy()
    noisy["rps"] += rng.choice([0.0, 0.1, 0.3], 6)  # some identical, some conflicting duplicates
    whole = pd.concat([df, noisy], ignore_index=True)
    one = read(whole)
    other = read(whole.iloc[rng.permutation(len(whole))])
    same(one, other)
    assert one.notes == other.notes
    assert one.check() == other.check()


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(df=histories())
def test_frame_round_trip_is_the_identity(df):
    history = read(df)
    long = history.to_frame()
    same(history, read(long))
    pd.testing.assert_frame_equal(read(long).to_frame(), long)


@settings(max_examples=30, deadline=None)
@given(df=histories(), factor=st.sampled_from([0.5, 2.0, 1024.0]))
def test_scaling_the_values_scales_the_arrays(df, factor):
    scaled = read(df.assign(rps=df["rps"] * factor))
    np.testing.assert_array_equal(scaled.array("rps"), read(df).array("rps") * factor)
