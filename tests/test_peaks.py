"""Burst ratios: planted minutes, event hours apart, the prior, and a real site's minutes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from capmodel.errors import InputError
from capmodel.events import Events
from capmodel.history import History
from capmodel.peaks import PeakFit, burst_ratios, fit_peaks, hour_mean_undersize, is_event_day
from capmodel.peaks.pools import BurstPool, observed_pool, rate_slope
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


def rates(draws: int, days: int, *, per_min: float = 3000.0) -> np.ndarray:
    return np.full((draws, days, 24), per_min)


def ratios_of(pool: BurstPool, per_min: float | None = None) -> np.ndarray:
    return pool.quantile(np.linspace(0, 1, 21), per_min)


def test_a_planted_factor_is_read_off() -> None:
    history = History.from_frame(minutes("2026-09-07 04:00", 14), business_tz=TZ)
    fit = fit_peaks(history, events=EVENTS)
    pool = fit.pool("checkouts", "ordinary")
    np.testing.assert_allclose(ratios_of(pool), 1.35)
    # The grid starts at a full hour, but only a change of the clock proves one: 335 hours of 336.
    assert pool.n_hours == 335
    assert pool.basis == "measured"
    draws = fit.burst("checkouts", np.zeros(7, dtype=bool), rates(5, 7), rng_for(0, "x"))
    np.testing.assert_allclose(draws, 1.35)


def test_an_hour_takes_the_ratio_of_its_rate() -> None:
    rate = 1 + 0.6 * np.sin(np.arange(14 * 24) * np.pi / 12)
    ratio = np.where(rate >= np.median(rate) * 0.999, 1.2, 2.0)  # the night is bursty
    history = History.from_frame(minutes("2026-09-07 04:00", 14, peak_x=ratio), business_tz=TZ)
    fit = fit_peaks(history, events=EVENTS)
    pool = fit.pool("checkouts", "ordinary")
    got = pool.quantile(0.5, np.array([1500.0, 4500.0, 1e6]))
    np.testing.assert_allclose(got, np.array([2.0, 1.2, 1.2]), rtol=0.02)
    path = rates(1, 1)
    path[0, 0, :12], path[0, 0, 12:] = 1500, 1e6
    draws = fit.burst("checkouts", np.array([False]), path, rng_for(0, "x"))
    assert draws[0, 0, :12].mean() > 1.8
    np.testing.assert_allclose(draws[0, 0, 12:], 1.2, rtol=0.04)


def test_event_hours_stand_apart_in_local_days() -> None:
    fit = fit_peaks(with_event(), events=EVENTS)
    np.testing.assert_allclose(ratios_of(fit.pool("checkouts", "event")), 1.6)
    np.testing.assert_allclose(ratios_of(fit.pool("checkouts", "ordinary")), 1.25)
    assert fit.findings.codes == ()
    days = np.array([False, True, False])
    draws = fit.burst("checkouts", days, rates(4, 3), rng_for(0, "x"))
    np.testing.assert_allclose(draws[:, days], 1.6)
    np.testing.assert_allclose(draws[:, ~days], 1.25)
    assert fit.pool("checkouts", "event").n_hours == 120
    assert fit.summary["median_x"].tolist() == pytest.approx([1.25, 1.6])


def with_event(**more: pd.DataFrame) -> History:
    """Three weeks with the cyber week of 2025: 1.25 on ordinary days, 1.6 on the five of it."""
    # Thanksgiving (27th) to Cyber Monday (1st) are the retail peaks; from local midnight on.
    start = pd.Timestamp("2025-11-26", tz=TZ)
    hour = np.arange(7 * 24)
    at_event = (hour >= 24) & (hour < 6 * 24)
    text = str(start.tz_convert("UTC").tz_localize(None))
    frame = minutes(text, 7, peak_x=np.where(at_event, 1.6, 1.25))
    ordinary = minutes("2026-09-07 04:00", 14, peak_x=1.25)
    return History.from_frame(pd.concat([frame, ordinary, *more.values()]), business_tz=TZ)


def test_without_event_hours_ordinary_ones_are_borrowed() -> None:
    history = History.from_frame(minutes("2026-09-07 04:00", 14), business_tz=TZ)
    fit = fit_peaks(history, events=EVENTS)
    assert fit.basis("checkouts", event=False) == "measured"
    assert fit.basis("checkouts", event=True) == "borrowed"
    assert "ordinary hours stand in" in fit.pool("checkouts", "event").note
    assert fit.findings.codes == ("burst_borrowed",)
    np.testing.assert_allclose(ratios_of(fit.pool("checkouts", "event")), 1.35)


def test_the_event_effect_is_borrowed_from_who_saw_both() -> None:
    search = minutes("2026-09-07 04:00", 14, peak_x=1.1, service="search")
    fit = fit_peaks(with_event(search=search), events=EVENTS)
    pool = fit.pool("search", "event")
    # 1.6 / 1.25 of checkouts, on 1.1.
    np.testing.assert_allclose(ratios_of(pool), 1.1 * 1.6 / 1.25)
    assert pool.basis == "borrowed"
    assert "1.28 times as bursty" in pool.note
    assert fit.pool("search", "ordinary").basis == "measured"


def test_a_service_with_few_hours_borrows_everybody_s() -> None:
    young = minutes("2026-09-20 04:00", 1, peak_x=3.0, service="young")[:720]
    cart = minutes("2026-09-07 04:00", 14, peak_x=1.25, service="cart")
    history = History.from_frame(pd.concat([cart, young]), business_tz=TZ)
    fit = fit_peaks(history)
    pool = fit.pool("young", "ordinary")
    assert pool.basis == "borrowed"
    assert "all other services' hours" in pool.note
    np.testing.assert_allclose(ratios_of(pool), 1.25)
    assert fit.basis("young", event=True) == "borrowed"
    # Few events an hour: everybody's ratio, and the counting noise that they do not have.
    assert pool.quantile(0.5, 1 / 60).item() == pytest.approx(60, rel=0.01)


def test_what_a_service_measured_depends_on_no_other() -> None:
    rng = np.random.default_rng(0)
    ratio = rng.lognormal(np.log(1.25), 0.1, 14 * 24)
    cart = minutes("2026-09-07 04:00", 14, peak_x=ratio, service="cart")
    other = minutes("2026-09-07 04:00", 14, peak_x=2.5, seed=9, service="other")
    alone, beside = [
        fit_peaks(History.from_frame(frame, business_tz=TZ)).burst(
            "cart", np.zeros(7, dtype=bool), rates(20, 7), rng_for(1, "burst", "cart")
        )
        for frame in (cart, pd.concat([cart, other]))
    ]
    np.testing.assert_array_equal(alone, beside)


def test_too_little_fine_data_gives_the_prior() -> None:
    history = History.from_frame(minutes("2026-09-07 04:00", 1), business_tz=TZ)
    fit = fit_peaks(history)
    assert fit.basis("checkouts", event=True) == "assumed"
    assert "burst_assumed" in fit.findings.codes


def test_the_prior_has_its_median_and_p95_and_stays_above_one() -> None:
    fit = PeakFit.assumed(["checkouts"])
    days = np.zeros(100, dtype=bool)
    draws = fit.burst("checkouts", days, rates(100, 100, per_min=1e7), rng_for(3, "checkouts"))
    assert np.median(draws) == pytest.approx(1.2, rel=0.002)
    assert np.quantile(draws, 0.95) == pytest.approx(1.6, rel=0.005)
    assert draws.min() >= 1.0
    assert fit.basis("checkouts", event=False) == "assumed"
    assert fit.findings.codes == ("burst_assumed",)
    assert fit.pool("unheard-of", "ordinary").basis == "assumed"


def test_the_prior_counts_at_one_event_an_hour() -> None:
    fit = PeakFit.assumed(["refunds"])
    path = rates(50, 20, per_min=1 / 60)
    draws = fit.burst("refunds", np.zeros(20, dtype=bool), path, rng_for(3, "refunds"))
    # P(no event) = exp(-1) = 37 %; else one event in a minute, 60 times the mean, rarely two.
    assert np.mean(draws > 2) == pytest.approx(1 - np.exp(-1), abs=0.01)
    assert np.median(draws) == pytest.approx(60, rel=0.001)


def test_draws_are_independent_by_hour_and_repeat_by_seed() -> None:
    rng = np.random.default_rng(0)
    ratio = rng.lognormal(np.log(1.25), 0.1, 14 * 24)
    history = History.from_frame(minutes("2026-09-07 04:00", 14, peak_x=ratio), business_tz=TZ)
    fit = fit_peaks(history)
    days = np.zeros(30, dtype=bool)
    first = fit.burst("checkouts", days, rates(200, 30), rng_for(7, "checkouts"))
    again = fit.burst("checkouts", days, rates(200, 30), rng_for(7, "checkouts"))
    np.testing.assert_array_equal(first, again)
    lag = np.corrcoef(first[:, :, :-1].ravel(), first[:, :, 1:].ravel())[0, 1]
    assert abs(lag) < 0.01
    planted = np.quantile(ratio.clip(1), [0.5, 0.95])
    np.testing.assert_allclose(np.quantile(first, [0.5, 0.95]), planted, rtol=0.03)
    # Drawn before the maximum: the day's peak exceeds any hour's typical factor.
    assert first.max(axis=2).mean() > np.quantile(ratio, 0.9)


def test_day_peaks_need_no_factor() -> None:
    fit = PeakFit.assumed(["checkouts"])
    days = np.array([True, False])
    np.testing.assert_array_equal(
        fit.burst("checkouts", days, np.ones((3, 2, 1)), rng_for(0, "x")), 1.0
    )


def test_declared_factors_replace_pools_and_notes() -> None:
    fit = PeakFit.assumed(["checkouts", "impressions"], window_s=5).with_declared(
        {"checkouts": 1.35}
    )
    days = np.array([True, False])
    got = fit.burst("checkouts", days, rates(3, 2, per_min=0.01), rng_for(0, "x"))
    np.testing.assert_array_equal(got, 1.35)  # exact at any rate and for any window
    assert (fit.by_rate("checkouts"), fit.by_rate("impressions")) == (False, True)
    assert fit.basis("checkouts", event=True) == "assumed"
    assert [f.service for f in fit.findings] == ["impressions"]
    row = fit.to_frame().query("service == 'checkouts' and hours == 'ordinary'").iloc[0]
    assert (row["median_x"], row["p95_x"], row["note"]) == (1.35, 1.35, "declared")


def test_a_shorter_window_is_higher_and_moves_no_minute() -> None:
    history = History.from_frame(minutes("2026-09-07 04:00", 14), business_tz=TZ)
    days = np.zeros(7, dtype=bool)
    by_window = {
        window_s: fit_peaks(history, window_s=window_s).burst(
            "checkouts", days, rates(40, 7), rng_for(5, "burst", "checkouts")
        )
        for window_s in (60, 15, 1)
    }
    assert (by_window[15] >= by_window[60]).all()
    assert np.median(by_window[1]) > np.median(by_window[15]) > np.median(by_window[60])
    summary = fit_peaks(history, window_s=1).summary
    assert summary["window"].str.contains("extrapolated").all()
    assert (fit_peaks(history).summary["window"] == "").all()
    assert "assumed slope" in PeakFit.assumed(["a"], window_s=1).summary["window"].iloc[0]
    for bad in (0, 90, float("nan")):
        with pytest.raises(InputError, match="window_s"):
            fit_peaks(history, window_s=bad)


def test_a_remainder_is_what_the_driver_s_minutes_do_not_explain() -> None:
    """Planted: 0.5 calls per checkout, the busiest minute of each hour a lognormal factor more."""
    rng = np.random.default_rng(2)
    n = 14 * 24
    driver_x, own_x = rng.lognormal(0.25, 0.05, n), rng.lognormal(0.1, 0.08, n)
    driver = minutes("2026-09-07 04:00", 14, peak_x=driver_x)
    called = minutes("2026-09-07 04:00", 14, peak_x=driver_x * own_x, service="called")
    called["per_min"] *= 0.5
    history = History.from_frame(pd.concat([driver, called]), business_tz=TZ)
    fit = fit_peaks(history, services=["checkouts"], fed_by={"called": {"checkouts": 0.5}})
    found = fit.remainders["called"]
    # Standard errors of 167 busy hours: 0.007 of the sd (from two MADs), 0.008 of the median.
    assert found.log_median == pytest.approx(0.1, abs=0.025)
    assert found.log_sd == pytest.approx(0.08, abs=0.025)
    assert set(fit.ordinary) == {"checkouts"}
    assert fit_peaks(history).remainders == {}
    draws = found.draw((20_000,), rng_for(0, "r"))
    assert np.log(draws).std() == pytest.approx(found.log_sd, rel=0.03)


def test_too_few_common_hours_leave_no_remainder() -> None:
    driver = minutes("2026-09-07 04:00", 2)
    called = minutes("2026-09-08 04:00", 1, service="called")
    history = History.from_frame(pd.concat([driver, called]), business_tz=TZ)
    fit = fit_peaks(history, services=["checkouts"], fed_by={"called": {"checkouts": 1.0}})
    assert fit.remainders == {}
    assert "burst_remainder" in fit.findings.codes


@pytest.mark.parametrize("factor", [0.9, float("nan"), float("inf")])
def test_a_factor_below_one_is_refused(factor: float) -> None:
    with pytest.raises(InputError, match=r"checkouts\.peak_minute_x.*a ratio >= 1"):
        PeakFit.number(["checkouts"], factor)


def test_sizing_on_the_hour_mean() -> None:
    assert hour_mean_undersize(1.35) == pytest.approx(0.259, abs=5e-4)
    assert hour_mean_undersize(1.0) == 0


def test_half_hour_zones_have_hours_of_their_own() -> None:
    # Local hours of Kolkata begin at half past in UTC; the planted peaks follow local hours.
    frame = minutes("2026-09-07 00:30", 14)
    fit = fit_peaks(History.from_frame(frame, business_tz="Asia/Kolkata"))
    np.testing.assert_allclose(ratios_of(fit.pool("checkouts", "ordinary")), 1.35)


def test_coarser_steps_divide_the_hour() -> None:
    frame = minutes("2026-09-07 04:00", 14)
    five = frame.set_index("time").groupby("service").resample("5min").mean().reset_index()
    fit = fit_peaks(History.from_frame(five, business_tz=TZ))
    # The peak minute among four at (60 − 1.35)/59 of the mean.
    coarse = (1.35 + 4 * 58.65 / 59) / 5
    np.testing.assert_allclose(ratios_of(fit.pool("checkouts", "ordinary")), coarse)
    draws = fit.burst("checkouts", np.zeros(7, dtype=bool), rates(5, 7), rng_for(0, "x"))
    assert draws.mean() > coarse  # the busiest minute of those five, extrapolated
    assert fit.summary["window"].iloc[0].startswith("to 60 s extrapolated from 5 min")
    hourly = frame.set_index("time").groupby("service").resample("h").mean().reset_index()
    with pytest.raises(InputError, match="a step of 60 min"):
        fit_peaks(History.from_frame(hourly, business_tz=TZ))


def test_unknown_services_and_wrong_days_are_refused() -> None:
    history = History.from_frame(minutes("2026-09-07 04:00", 2), business_tz=TZ)
    with pytest.raises(InputError, match='Did you mean "checkouts"'):
        fit_peaks(history, services=["checkout"])
    with pytest.raises(InputError, match="one flag per day"):
        PeakFit.number(["x"], 1.2).burst("x", np.zeros(3, dtype=bool), rates(1, 2), rng_for(0, "x"))


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


def world_cup(data_dir: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return busiest minute / mean and mean of the site's usable hours, in order."""
    raw = pd.read_csv(data_dir / "worldcup98_requests_per_minute" / "invocation_count.csv.gz")
    series = raw.set_index(pd.to_datetime(raw["period"], utc=True))["count"].asfreq("min")
    series = series[series.index >= series.index[0].ceil("h")].astype(float)
    ratios, rate, _, dropped = burst_ratios(
        series.to_numpy(), steps_per_hour=60, events_per_unit=1.0
    )
    # 1998 World Cup: 125,300 minutes, of which 2,084 full hours (Arlitt and Jin, 2000).
    assert len(ratios) + sum(dropped.values()) == pytest.approx(2084, abs=5)
    return ratios, rate


@pytest.mark.real
def test_the_prior_is_that_of_a_real_site(data_dir: Path) -> None:
    ratios, _ = world_cup(data_dir)
    # Published for all full hours: 1.215, 1.475, 1.587; here without 16 interrupted ones.
    got = np.quantile(ratios, [0.5, 0.9, 0.95])
    np.testing.assert_allclose(got, [1.215, 1.475, 1.587], rtol=0.01)
    prior = PeakFit.assumed(["site"]).pool("site", "ordinary").quantile(np.array([0.5, 0.95]))
    np.testing.assert_allclose(prior, got[[0, 2]], rtol=0.02)


@pytest.mark.real
def test_later_hours_exceed_p95_and_p99_as_often_as_they_should(data_dir: Path) -> None:
    """Fitted on the first 60 % of a real site's hours, judged on the later ones of rates seen.

    No calendar: match hours are in the tail of the busiest quarter, of which the later part of the
    tournament has more; there the P95 is exceeded in about 15 % of hours (a shared pool: 17 %).
    """
    ratios, rate = world_cup(data_dir)
    cut = int(0.6 * len(ratios))
    slope = rate_slope(np.log(ratios[:cut]), np.log(rate[:cut]))
    pool = observed_pool(ratios[:cut], rate[:cut], slope=slope)
    assert pool is not None
    seen = (rate[cut:] >= rate[:cut].min()) & (rate[cut:] <= rate[:cut].max())
    later, at = ratios[cut:][seen], rate[cut:][seen]
    assert len(later) > 800
    exceeded = [np.mean(later > pool.quantile(p, at)) for p in (0.95, 0.99)]
    # Two standard errors of 811 independent hours: 1.5 and 0.7 points.
    assert exceeded[0] == pytest.approx(0.05, abs=0.015)
    assert exceeded[1] == pytest.approx(0.01, abs=0.007)
    # One pool for all rates, of the busier half of hours: 16.9 % and 4.2 %.
    busy = ratios[:cut][rate[:cut] >= np.median(rate[:cut])]
    shared = [np.mean(later > np.quantile(busy, p)) for p in (0.95, 0.99)]
    found = ", ".join(f"{share:.1%}" for share in (*exceeded, *shared))
    print(f"{len(later)} later hours above P95, P99: {found} (the last two: one pool)")  # noqa: T201
    assert shared[0] > 3 * exceeded[0]
    assert shared[1] > 3 * exceeded[1]
