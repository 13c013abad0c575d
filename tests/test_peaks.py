"""Burst ratios: planted minutes, event hours apart, the prior, and a real site's minutes."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capmodel.errors import InputError
from capmodel.events import Events
from capmodel.history import History
from capmodel.peaks import (
    PeakFit,
    burst_ratios,
    fit_peaks,
    hour_mean_undersize,
    is_event_day,
)
from capmodel.schema import rng_for

TZ = "America/New_York"
EVENTS = Events.us_retail(2025, 2026)


def minutes(
    start: str,
    days: int,
    *,
    peak_x: float | np.ndarray = 1.35,
    seed: int = 0,
    service: str = "checkouts",
) -> pd.DataFrame:
    """Minutes in which one random minute of each hour is `peak_x` times the hour's mean."""
    rng = np.random.default_rng(seed)
    time = pd.date_range(start, periods=days * 1440, freq="min", tz="UTC")
    hours = days * 24
    rate = 3000 * (1 + 0.6 * np.sin(np.arange(hours) * np.pi / 12))
    ratio = np.broadcast_to(peak_x, hours)
    table = np.repeat((rate * (60 - ratio) / 59)[:, None], 60, axis=1)
    table[np.arange(hours), rng.integers(0, 60, hours)] = rate * ratio
    return pd.DataFrame({"service": service, "time": time, "per_min": table.ravel()})


def test_a_planted_factor_is_read_off() -> None:
    history = History.from_frame(minutes("2026-09-07 04:00", 14), business_tz=TZ)
    fit = fit_peaks(history, events=EVENTS)
    pool = fit.pool("checkouts", "ordinary")
    np.testing.assert_allclose(pool.ratios, 1.35)
    # The grid starts at a full hour, but only a change of the clock proves one: 335 hours, and the
    # half of them at or above the median rate.
    assert pool.n_hours == 168
    assert pool.basis == "measured"
    draws = fit.burst("checkouts", np.zeros(7, dtype=bool), (5, 7, 24), rng_for(0, "x"))
    np.testing.assert_allclose(draws, 1.35)


def test_only_busy_hours_are_pooled() -> None:
    rate = 1 + 0.6 * np.sin(np.arange(14 * 24) * np.pi / 12)
    ratio = np.where(rate >= np.median(rate) * 0.999, 1.2, 2.0)  # the night is bursty
    history = History.from_frame(minutes("2026-09-07 04:00", 14, peak_x=ratio), business_tz=TZ)
    pool = fit_peaks(history, events=EVENTS).pool("checkouts", "ordinary")
    np.testing.assert_allclose(pool.ratios, 1.2)


def test_event_hours_stand_apart_in_local_days() -> None:
    # Thanksgiving (27th) to Cyber Monday (1st) are the retail peaks; from local midnight on.
    start = pd.Timestamp("2025-11-26", tz=TZ)
    hour = np.arange(7 * 24)
    at_event = (hour >= 24) & (hour < 6 * 24)
    frame = minutes(
        str(start.tz_convert("UTC").tz_localize(None)),
        7,
        peak_x=np.where(at_event, 1.6, 1.25),
    )
    ordinary = minutes("2026-09-07 04:00", 14, peak_x=1.25)
    history = History.from_frame(pd.concat([frame, ordinary]), business_tz=TZ)
    fit = fit_peaks(history, events=EVENTS)
    np.testing.assert_allclose(fit.pool("checkouts", "event").ratios, 1.6)
    np.testing.assert_allclose(fit.pool("checkouts", "ordinary").ratios, 1.25)
    assert fit.findings.codes == ()
    days = np.array([False, True, False])
    draws = fit.burst("checkouts", days, (4, 3, 24), rng_for(0, "x"))
    np.testing.assert_allclose(draws[:, days], 1.6)
    np.testing.assert_allclose(draws[:, ~days], 1.25)
    assert 60 <= fit.pool("checkouts", "event").n_hours <= 65  # half of 120, and ties
    assert fit.summary["median_x"].tolist() == pytest.approx([1.25, 1.6])


def test_without_event_hours_ordinary_ones_are_borrowed() -> None:
    history = History.from_frame(minutes("2026-09-07 04:00", 14), business_tz=TZ)
    fit = fit_peaks(history, events=EVENTS)
    assert fit.basis("checkouts", event=False) == "measured"
    assert fit.basis("checkouts", event=True) == "borrowed"
    assert "ordinary hours stand in" in fit.pool("checkouts", "event").note
    assert fit.findings.codes == ("burst_borrowed",)


def test_too_little_fine_data_gives_the_prior() -> None:
    history = History.from_frame(minutes("2026-09-07 04:00", 1), business_tz=TZ)
    fit = fit_peaks(history)
    assert fit.basis("checkouts", event=True) == "assumed"
    assert "burst_assumed" in fit.findings.codes


def test_the_prior_has_its_median_and_p95_and_stays_above_one() -> None:
    fit = PeakFit.assumed(["checkouts"])
    days = np.zeros(100, dtype=bool)
    draws = fit.burst("checkouts", days, (100, 100, 24), rng_for(3, "checkouts"))
    assert np.median(draws) == pytest.approx(1.2, rel=0.002)
    assert np.quantile(draws, 0.95) == pytest.approx(1.6, rel=0.005)
    assert draws.min() == 1.0
    assert fit.basis("checkouts", event=False) == "assumed"
    assert fit.findings.codes == ("burst_assumed",)
    assert fit.pool("unheard-of", "ordinary").basis == "assumed"


def test_draws_are_independent_by_hour_and_repeat_by_seed() -> None:
    rng = np.random.default_rng(0)
    ratio = rng.lognormal(np.log(1.25), 0.1, 14 * 24)
    history = History.from_frame(minutes("2026-09-07 04:00", 14, peak_x=ratio), business_tz=TZ)
    fit = fit_peaks(history)
    days = np.zeros(30, dtype=bool)
    first = fit.burst("checkouts", days, (200, 30, 24), rng_for(7, "checkouts"))
    again = fit.burst("checkouts", days, (200, 30, 24), rng_for(7, "checkouts"))
    np.testing.assert_array_equal(first, again)
    lag = np.corrcoef(first[:, :, :-1].ravel(), first[:, :, 1:].ravel())[0, 1]
    assert abs(lag) < 0.01
    pool = fit.pool("checkouts", "ordinary").ratios
    assert set(np.unique(first)) == set(pool)
    # Drawn before the maximum: the day's peak exceeds any hour's typical factor.
    assert first.max(axis=2).mean() > np.quantile(pool, 0.9)


def test_day_peaks_need_no_factor() -> None:
    fit = PeakFit.number(["checkouts"], 1.35)
    days = np.array([True, False])
    np.testing.assert_array_equal(fit.burst("checkouts", days, (3, 2, 1), rng_for(0, "x")), 1.0)


def test_declared_factors_replace_pools_and_notes() -> None:
    fit = PeakFit.assumed(["checkouts", "impressions"]).with_declared({"checkouts": 1.35})
    days = np.array([True, False])
    got = fit.burst("checkouts", days, (3, 2, 24), rng_for(0, "x"))
    np.testing.assert_array_equal(got, 1.35)
    assert fit.basis("checkouts", event=True) == "assumed"
    assert [f.service for f in fit.findings] == ["impressions"]
    row = fit.to_frame().query("service == 'checkouts' and hours == 'ordinary'").iloc[0]
    assert (row["median_x"], row["p95_x"], row["note"]) == (1.35, 1.35, "declared")


@pytest.mark.parametrize("factor", [0.9, float("nan"), float("inf")])
def test_a_factor_below_one_is_refused(factor: float) -> None:
    with pytest.raises(InputError, match=r"checkouts\.peak_minute_x.*a ratio >= 1"):
        PeakFit.number(["checkouts"], factor)


def test_sizing_on_the_hour_mean() -> None:
    assert hour_mean_undersize(1.35) == pytest.approx(0.259, abs=5e-4)
    assert hour_mean_undersize(1.0) == 0


def test_gaps_and_interruptions_are_counted_not_pooled() -> None:
    frame = minutes("2026-09-07 04:00", 14)
    series = frame["per_min"].to_numpy().copy()
    series[60:75] = np.nan  # 45 of 60 minutes left
    series[120:128] = np.nan  # 52 left: enough
    series[200:230] = 1.0  # an outage of half an hour inside the hour from 180 on
    ratios, rate, start, dropped = burst_ratios(series, steps_per_hour=60)
    assert dropped == {"incomplete_hour": 1, "interrupted_hour": 1}
    assert len(ratios) == len(rate) == 14 * 24 - 2
    assert set(start[:3]) == {0, 120, 240}
    assert ratios.max() < 1.4


def test_half_hour_zones_have_hours_of_their_own() -> None:
    # Local hours of Kolkata begin at half past in UTC; the planted peaks follow local hours.
    frame = minutes("2026-09-07 00:30", 14)
    fit = fit_peaks(History.from_frame(frame, business_tz="Asia/Kolkata"))
    np.testing.assert_allclose(fit.pool("checkouts", "ordinary").ratios, 1.35)


def test_coarser_steps_divide_the_hour() -> None:
    frame = minutes("2026-09-07 04:00", 14)
    five = frame.set_index("time").groupby("service").resample("5min").mean().reset_index()
    pool = fit_peaks(History.from_frame(five, business_tz=TZ)).pool("checkouts", "ordinary")
    # The peak minute among four at (60 − 1.35)/59 of the mean.
    np.testing.assert_allclose(pool.ratios, (1.35 + 4 * 58.65 / 59) / 5)
    hourly = frame.set_index("time").groupby("service").resample("h").mean().reset_index()
    with pytest.raises(InputError, match="a step of 60 min"):
        fit_peaks(History.from_frame(hourly, business_tz=TZ))


def test_unknown_services_and_wrong_days_are_refused() -> None:
    history = History.from_frame(minutes("2026-09-07 04:00", 2), business_tz=TZ)
    with pytest.raises(InputError, match='Did you mean "checkouts"'):
        fit_peaks(history, services=["checkout"])
    with pytest.raises(InputError, match=r"one flag per day, shape \(2,\)"):
        PeakFit.number(["x"], 1.2).burst("x", np.zeros(3, dtype=bool), (1, 2, 24), rng_for(0, "x"))


def test_event_days_are_the_retail_peaks() -> None:
    dates = np.arange("2025-11-25", "2025-12-04", dtype="datetime64[D]")
    flags = is_event_day(EVENTS, dates)
    assert dates[flags].astype(str).tolist() == [
        "2025-11-27",
        "2025-11-28",
        "2025-11-29",
        "2025-11-30",
        "2025-12-01",
    ]
    launch = Events.none().add("launch", "2025-11-25", days=1, tag="retail_peak")
    assert is_event_day(launch, dates).tolist() == [True] + [False] * 8
    assert not is_event_day(None, dates).any()


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), scale=st.floats(1e-3, 1e6), sd=st.floats(0.0, 0.5))
def test_ratios_are_at_least_one_and_free_of_units(seed: int, scale: float, sd: float) -> None:
    series = np.random.default_rng(seed).lognormal(0, sd, 600)
    ratios, rate, _, _ = burst_ratios(series, steps_per_hour=60)
    scaled, scaled_rate, _, _ = burst_ratios(series * scale, steps_per_hour=60)
    assert np.all(ratios >= 1)
    np.testing.assert_allclose(scaled, ratios, rtol=1e-9)
    np.testing.assert_allclose(scaled_rate, rate * scale, rtol=1e-9)


@pytest.mark.real
@pytest.mark.skipif("CAPMODEL_DATA" not in os.environ, reason="CAPMODEL_DATA is not set")
def test_the_prior_is_that_of_a_real_site() -> None:
    """World Cup 1998: 125,300 minutes, of which 2,084 full hours (Arlitt and Jin, 2000)."""
    folder = Path(os.environ["CAPMODEL_DATA"]) / "worldcup98_requests_per_minute"
    raw = pd.read_csv(folder / "invocation_count.csv.gz")
    series = raw.set_index(pd.to_datetime(raw["period"], utc=True))["count"].asfreq("min")
    series = series[series.index >= series.index[0].ceil("h")].astype(float)
    ratios, _, _, dropped = burst_ratios(series.to_numpy(), steps_per_hour=60)
    assert len(ratios) + sum(dropped.values()) == pytest.approx(2084, abs=5)
    # Published for all full hours: 1.215, 1.475, 1.587; here without 16 interrupted ones.
    got = np.quantile(ratios, [0.5, 0.9, 0.95])
    np.testing.assert_allclose(got, [1.215, 1.475, 1.587], rtol=0.01)
    prior = PeakFit.assumed(["site"]).pool("site", "ordinary").quantile(np.array([0.5, 0.95]))
    np.testing.assert_allclose(prior, got[[0, 2]], rtol=0.02)
