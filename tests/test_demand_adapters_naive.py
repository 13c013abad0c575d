"""The plain rules by numbers worked by hand, and their paths by what they promise."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from demand_worlds import calendar, history_of, local_day_sum, planted

from capmodel.demand.adapters import LastYearAligned, SeasonalNaive
from capmodel.events import Events


def daily(start, values, *, tz="UTC"):
    """Return an hourly series that holds each value for a local day."""
    hours = pd.date_range(start, periods=24 * len(values), freq="h", tz=tz)
    return pd.Series(np.repeat(np.asarray(values, dtype=float), 24), index=hours.tz_convert("UTC"))


def utc_history(series):
    """Return a history whose local days are those of UTC."""
    from capmodel.history import History

    frame = pd.concat(
        pd.DataFrame({"service": name, "time": one.index, "per_min": one.to_numpy()})
        for name, one in series.items()
    )
    return History.from_frame(frame, business_tz="UTC")


def rule_of(fit) -> Any:
    """Return the rule behind a fit."""
    return fit.futures.rule


def median_days(fit, start, end, *, draws=200):
    """Return the median of each local day's mean, by service."""
    forecast = fit.forecast(start, end, draws=draws)
    return {s: np.median(forecast.paths(s), axis=0).mean(axis=1) for s in forecast.services}


def test_the_last_period_repeats():
    """Five weeks from a Monday on, all alike: a naive week repeats them, a naive day its Sunday."""
    week = [100, 110, 120, 130, 140, 70, 60]
    history = utc_history({"a": daily("2026-01-05", week * 5)})
    got = median_days(SeasonalNaive(period_hours=168).fit(history), "2026-02-09", "2026-02-18")
    np.testing.assert_allclose(got["a"], [*week, 100, 110], rtol=1e-9)
    day = median_days(SeasonalNaive(period_hours=24).fit(history), "2026-02-09", "2026-02-12")
    np.testing.assert_allclose(day["a"], [60, 60, 60], rtol=1e-9)


def test_the_last_period_counts_not_the_mean():
    """The last of 20 weeks is half as busy as the others, and that is what is forecast."""
    week = [100, 110, 120, 130, 140, 70, 60]
    history = utc_history({"a": daily("2026-01-05", week * 19 + [v / 2 for v in week])})
    got = median_days(SeasonalNaive(period_hours=168).fit(history), "2026-05-25", "2026-06-08")
    np.testing.assert_allclose(got["a"], [v / 2 for v in week] * 2, rtol=1e-9)


def test_a_horizon_may_begin_later_and_on_the_last_day():
    values = np.arange(100.0, 149.0)  # 49 days: the last, day 48, holds 148
    fit = SeasonalNaive().fit(utc_history({"a": daily("2026-01-01", values)}))
    later = rule_of(fit).point(0, np.array(["2026-03-05"], dtype="datetime64[D]"))
    assert later.mean() == 142 + 7 - 7  # 2026-02-19 is day 49, so 2026-03-05 is 63 and reads 42
    today = rule_of(fit).point(0, np.array(["2026-02-18"], dtype="datetime64[D]"))
    assert today.mean() == 141
    assert fit.forecast("2026-02-18", "2026-02-20", draws=5).paths("a").shape == (5, 2, 24)


def test_a_gap_holds_one_more_period_ago_and_is_counted():
    values = daily("2026-01-05", np.arange(35.0) + 1)
    values.iloc[-30:-27] = np.nan  # 18:00 to 20:00 on day 33
    values.iloc[-3:] = np.nan  # 21:00 on of day 35
    fit = SeasonalNaive().fit(utc_history({"a": values}))
    point = rule_of(fit).point(0, np.arange("2026-02-14", "2026-02-16", dtype="datetime64[D]"))
    assert point[0, [17, 18, 20, 21]].tolist() == [34, 27, 27, 34]
    assert point[1, [20, 21, 23]].tolist() == [35, 28, 28]
    (finding,) = fit.findings
    assert (finding.code, finding.severity) == ("gaps_filled", "info")
    assert finding.data == {"hours": 6, "share": 6 / 840}
    rough = values.where(np.random.default_rng(1).random(len(values)) > 0.2)
    (finding,) = SeasonalNaive().fit(utc_history({"a": rough})).findings
    assert finding.severity == "warning"


def test_paths_centre_on_the_rule_and_spread_as_it_erred():
    """Independent log errors of sd 0.1: a difference of two of them has sd 0.1414."""
    rng = np.random.default_rng(4)
    index = pd.date_range("2025-01-06", periods=52 * 168, freq="h", tz="UTC")
    series = pd.Series(1000 * np.exp(0.1 * rng.standard_normal(len(index))), index=index)
    fit = SeasonalNaive().fit(utc_history({"a": series}))
    paths = fit.forecast("2026-01-05", "2026-02-02", draws=2000).paths("a")
    point = rule_of(fit).point(0, np.arange("2026-01-05", "2026-02-02", dtype="datetime64[D]"))
    noise = np.log(paths / point)
    assert np.median(noise) == pytest.approx(0, abs=0.005)
    assert noise.std() == pytest.approx(0.1414, rel=0.04)
    assert noise[:, -7:].std() == pytest.approx(noise[:, :7].std(), rel=0.05)


def test_where_errors_are_few_their_spread_grows_with_the_root_of_the_periods():
    """42 days hold errors of at most two weeks ahead; eight weeks ahead has twice that spread."""
    rng = np.random.default_rng(5)
    index = pd.date_range("2026-01-05", periods=42 * 24, freq="h", tz="UTC")
    series = pd.Series(1000 * np.exp(0.05 * rng.standard_normal(len(index))), index=index)
    rule = rule_of(SeasonalNaive().fit(utc_history({"a": series})))
    two, eight = rule.errors(0, 2), rule.errors(0, 8)
    assert np.isnan(two[:14]).all()
    assert not np.isnan(two[14:]).any()
    np.testing.assert_allclose(eight, 2 * two)
    assert np.nanstd(two) == pytest.approx(0.0707, rel=0.1)


def test_services_move_together():
    """The second has half the first one's noise, in the same hours."""
    shared = planted("2025-06-01", "2026-03-01", noise=0.1, seed=1, lifts={})
    calm = planted("2025-06-01", "2026-03-01", noise=0.0, lifts={})
    history = history_of({"a": shared, "b": 0.01 * calm * (shared / calm) ** 0.5})
    forecast = SeasonalNaive().fit(history).forecast("2026-03-01", "2026-03-15", draws=300)
    a, b = (np.log(forecast.paths(s).sum(axis=2)) for s in "ab")
    a, b = a - a.mean(axis=0), b - b.mean(axis=0)
    assert np.corrcoef(a.ravel(), b.ravel())[0, 1] > 0.95
    assert b.std() / a.std() == pytest.approx(0.5, rel=0.1)


def test_quantiles_hold_on_a_stationary_world():
    """Twenty services, since all hours of one lean on the luck of a single week."""
    fleet = {
        f"s{i}": planted("2025-01-01", "2026-01-28", growth=1, noise=0.1, seed=i, lifts={})
        for i in range(20)
    }
    history = history_of({name: one.loc[:"2025-12-31 04:00"] for name, one in fleet.items()})
    upper = (
        SeasonalNaive().fit(history).forecast("2025-12-31", "2026-01-28", draws=200).quantile(0.9)
    )
    actual = pd.DataFrame(fleet).reindex(upper.index)[upper.columns]
    assert (actual.to_numpy() <= upper.to_numpy()).mean() == pytest.approx(0.9, abs=0.03)


@pytest.fixture(scope="module")
def moved():
    """Thanksgiving on 2023-11-23 and 2024-11-28: five days later, and in another week."""
    series = planted("2023-09-01", "2024-12-15", noise=0.0)
    return series, history_of({"shop": series.loc[:"2024-11-15 04:00"]})


def test_a_moved_holiday_is_missed_by_the_period_and_hit_by_its_name(moved):
    series, history = moved
    naive = SeasonalNaive(period_hours=8736).fit(history, events=calendar())
    aligned = LastYearAligned().fit(history, events=calendar())
    ratios = {}
    for name, fit in (("naive", naive), ("aligned", aligned)):
        sums = fit.forecast("2024-11-15", "2024-12-10", draws=400).quantile(0.5)["shop"]
        ratios[name] = {
            day: local_day_sum(sums, day) / local_day_sum(series, day)
            for day in ("2024-11-25", "2024-11-29", "2024-12-02")
        }
    # Cyber Monday 2024 is 364 days after an ordinary Monday, and the lift was planted as 5.
    assert ratios["naive"]["2024-12-02"] == pytest.approx(1 / (5 * 1.3), rel=0.05)
    assert ratios["naive"]["2024-11-25"] == pytest.approx(5 / 1.3, rel=0.05)
    assert ratios["naive"]["2024-11-29"] == pytest.approx(1 / (4 * 1.3), rel=0.05)
    for day in ratios["aligned"]:
        assert ratios["aligned"][day] == pytest.approx(1.0, abs=0.03)


@pytest.mark.parametrize(
    ("options", "days_of_growth"),
    [
        ({}, (364, 364, 728)),
        ({"damping": 0.0}, (363, 274, 328)),
        ({"damping": 0.5}, (363.5, 319, 528)),
        ({"growth": "none"}, (0, 0, 0)),
    ],
)
def test_the_level_ratio_by_hand(options, days_of_growth):
    """100 for 364 days, then 130 for 70: g = 1.3 in 364 days, and every counterpart holds 100.

    Tomorrow's lies 363 days before the last day, that in 90 days 274, that in 400 days 328 (two
    seasons back); the rest of the way lies ahead.
    """
    series = daily("2025-01-06", [100.0] * 364 + [130.0] * 70)  # the last day is 2026-03-15
    fit = LastYearAligned(**options).fit(utc_history({"a": series}))
    days = [np.datetime64("2026-03-15") + n for n in (1, 90, 400)]
    got = [median_days(fit, str(d), str(d + 1), draws=20)["a"][0] for d in days]
    expected = 100 * 1.3 ** (np.array(days_of_growth) / 364)
    np.testing.assert_allclose(got, expected, rtol=1e-9)


def test_the_level_is_compared_over_hours_known_in_both():
    """Evenings grew by half, nights not at all; last year's nights are partly lost."""
    series = daily("2025-01-06", [100.0] * 434)
    hour = series.index.hour
    series[(hour >= 12) & (series.index >= "2026-01-05")] = 150.0
    whole = LastYearAligned().fit(utc_history({"a": series}))
    assert np.exp(rule_of(whole).ratio[0, -1]) == pytest.approx(1.25)
    lost = series.mask((hour < 12) & (series.index >= "2025-02-17") & (series.index < "2025-03-03"))
    half = LastYearAligned().fit(utc_history({"a": lost}))
    # 28 days of evenings (12 h) and 14 of nights: (28×12×150 + 14×12×100) / (42×12×100)
    assert np.exp(rule_of(half).ratio[0, -1]) == pytest.approx(4 / 3)


def test_errors_are_those_of_the_lead():
    """Growth that began 30 days ago is known today and was not known 28 days before."""
    values = np.concatenate([np.full(364, 100.0), np.full(170, 100.0), np.full(30, 200.0)])
    history = utc_history({"a": daily("2025-01-06", values)})
    rule = rule_of(LastYearAligned().fit(history))
    now, before = rule.errors(0, 0), rule.errors(0, 28)
    assert now[-1].mean() == pytest.approx(0, abs=0.02)
    # Said 28 days before: two days of 200 in 28 of 100, a ratio of 30 / 28, in 336 + 28 days.
    offset = 0.01 * values.mean()
    error = np.log((200 + offset) / (100 * (30 / 28) + offset))
    np.testing.assert_allclose(before[-1], error)
    # Without growth ahead, only that of the 336 days counts.
    damped = rule_of(LastYearAligned(damping=0.0).fit(history)).errors(0, 28)
    error = np.log((200 + offset) / (100 * (30 / 28) ** (336 / 364) + offset))
    np.testing.assert_allclose(damped[-1], error)
    assert rule.leads(0, np.array(["2026-07-24"], dtype="datetime64[D]")).tolist() == [28]
    assert rule.leads(0, np.array(["2027-07-24"], dtype="datetime64[D]")).tolist() == [140]


def test_a_counterpart_before_the_first_day_is_the_same_weekday_a_year_earlier():
    """A fair on 2026-03-06; the last one, 422 days before, is older than one of the services."""
    events = Events.none().add("fair", "2025-01-08").add("fair", "2026-03-06")
    old = daily("2024-06-03", 1000.0 + np.arange(631))  # to 2026-02-23
    young = daily("2025-01-15", 100.0 + np.arange(405))
    fit = LastYearAligned(growth="none").fit(utc_history({"o": old, "y": young}), events=events)
    fair = np.array(["2026-03-06"], dtype="datetime64[D]")
    assert rule_of(fit).point(0, fair).mean() == 1000 + 219  # 2025-01-08
    assert rule_of(fit).point(1, fair).mean() == 100 + 51  # 2025-03-07, 364 days before


def test_what_cannot_be_judged_is_refused():
    """Two fortnights that no period of a year joins, and a level that is not known today."""
    long = daily("2024-01-01", np.full(600, 10.0))
    parts = long.where(((np.arange(600 * 24) // 24) % 600 < 14) | (np.arange(600 * 24) // 24 > 590))
    silent = long.where(np.arange(600 * 24) // 24 < 580)
    history = utc_history({"long": long, "parts": parts, "silent": silent})
    naive = SeasonalNaive(period_hours=8736).fit(history)
    assert {f.service: f.code for f in naive.refused} == {"parts": "no_errors"}
    aligned = LastYearAligned().fit(history)
    assert {f.service: f.code for f in aligned.refused} == {
        "parts": "no_errors",
        "silent": "level_unknown",
    }
    assert aligned.services == ("long",)


def test_a_new_service_has_spread_from_the_little_it_knows():
    series = planted("2026-01-01", "2026-01-23", noise=0.1)
    paths = SeasonalNaive().fit(history_of({"a": series})).forecast(
        "2026-01-24", "2026-02-07", draws=500
    ).paths("a")  # fmt: skip
    assert np.log(paths).std(axis=0).mean() > 0.05
    assert len(np.unique(paths.max(axis=(1, 2)).round(6))) == 3  # Mondays with a whole week after
