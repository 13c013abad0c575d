"""Hours of fine data: which count, how they disperse, how averaging smooths them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from capmodel.peaks import burst_ratios, dispersion_index, variance_slope
from capmodel.peaks.ratios import halving_variance, unevenness, usable_hours


def test_gaps_and_interruptions_are_counted_not_pooled() -> None:
    series = np.full(14 * 1440, 100.0)
    series[30::60] = 135.0
    series[60:75] = np.nan  # 45 of 60 minutes left
    series[120:128] = np.nan  # 52 left: enough
    series[200:230] = 1.0  # an outage of half an hour inside the hour from 180 on
    ratios, rate, start, dropped = burst_ratios(series, steps_per_hour=60)
    assert dropped == {"incomplete_hour": 1, "interrupted_hour": 1}
    assert len(ratios) == len(rate) == 14 * 24 - 2
    assert set(start[:3]) == {0, 120, 240}
    assert ratios.max() < 1.4


def test_a_minute_without_an_event_is_no_interruption_where_events_are_few() -> None:
    few = np.random.default_rng(0).poisson(3.0, 100 * 60).astype(float)
    assert usable_hours(few, steps_per_hour=60, events_per_unit=1).dropped == {}
    assert usable_hours(few, steps_per_hour=60).dropped["interrupted_hour"] > 90
    many = np.random.default_rng(0).poisson(300.0, 60).astype(float)
    many[7] = 0
    found = usable_hours(many, steps_per_hour=60, events_per_unit=1)
    assert found.dropped == {"interrupted_hour": 1}


@given(seed=st.integers(0, 10**6), scale=st.floats(1e-3, 1e6), sd=st.floats(0.0, 0.5))
def test_ratios_are_at_least_one_and_free_of_units(seed: int, scale: float, sd: float) -> None:
    series = np.random.default_rng(seed).lognormal(0, sd, 600)
    ratios, rate, _, _ = burst_ratios(series, steps_per_hour=60)
    scaled, scaled_rate, _, _ = burst_ratios(series * scale, steps_per_hour=60)
    assert np.all(ratios >= 1 - 1e-12)
    np.testing.assert_allclose(scaled, ratios, rtol=1e-9)
    np.testing.assert_allclose(scaled_rate, rate * scale, rtol=1e-9)


@pytest.mark.parametrize("dispersion", [1.0, 5.0, 20.0])
def test_the_index_of_planted_counts_on_a_slope(dispersion: float) -> None:
    """Poisson and negative binomial counts around 400 a minute, rising by a half in the hour."""
    rng = np.random.default_rng(1)
    mean = np.broadcast_to(400 * np.linspace(0.8, 1.2, 60), (4_000, 60))
    if dispersion > 1:
        mean = rng.gamma(mean / (dispersion - 1), dispersion - 1)
    found = dispersion_index(rng.poisson(mean).astype(float))
    # Standard error: dispersion * sqrt(2 / 58 / 4000) = 0.3 %.
    assert found.mean() == pytest.approx(dispersion, rel=0.012)


def test_halving_by_hand() -> None:
    hour = np.array([[1.0, 2.0, 3.0, 6.0]])  # mean 3; neighbours 1|2, 3|6, then 1.5|4.5
    assert halving_variance(hour, 1).item() == pytest.approx((1 + 9) / 2 / 4 / 9)
    assert halving_variance(hour, 2).item() == pytest.approx(9 / 4 / 9)


def test_independent_minutes_average_out_and_long_memory_does_not() -> None:
    rng = np.random.default_rng(2)
    noise = rng.poisson(200.0, (2_000, 60)).astype(float)
    assert variance_slope(noise) == pytest.approx(-0.5, abs=0.02)
    # Planted: the sum of noises that last 1, 2, 4, ... 32 minutes, each of the same variance, is
    # 1/f noise (Voss): every halving loses the same, slope 0.
    levels = []
    for k in (1, 2, 4, 8, 16, 32):
        fresh = np.repeat(rng.normal(size=(2_000, 60 // k + 2)), k, axis=1)
        at = rng.integers(0, k, 2_000)[:, None] + np.arange(60)
        levels.append(np.take_along_axis(fresh, at, axis=1))
    assert variance_slope(100 + np.sum(levels, axis=0)) == pytest.approx(0, abs=0.05)
    # A straight line within the hour is not long memory of the minutes: hardly any change.
    assert variance_slope(noise + 0.2 * np.arange(60)) == pytest.approx(-0.5, abs=0.04)


def test_steps_too_long_to_tell_say_so() -> None:
    half_hours = np.random.default_rng(3).poisson(200.0, 200).astype(float)
    found = unevenness(usable_hours(half_hours, steps_per_hour=2), step_min=30)
    assert np.isnan([found.dispersion_p50, found.slope, found.half]).all()
    assert np.isnan(variance_slope(np.ones((3, 12)), step_min=5))
    assert np.isnan(
        unevenness(usable_hours(np.full(60, np.nan), steps_per_hour=60), step_min=1).half
    )


@pytest.mark.real
def test_a_real_site_disperses_as_published(data_dir: Path) -> None:
    """1998 World Cup, straight line of each hour removed: p10 16, median 25, p90 68."""
    raw = pd.read_csv(data_dir / "worldcup98_requests_per_minute" / "invocation_count.csv.gz")
    series = raw.set_index(pd.to_datetime(raw["period"], utc=True))["count"].asfreq("min")
    series = series[series.index >= series.index[0].ceil("h")].to_numpy(dtype=float)
    hours = series[: len(series) // 60 * 60].reshape(-1, 60)
    hours = hours[np.isfinite(hours).all(axis=1)]
    got = np.quantile(dispersion_index(hours), [0.1, 0.5, 0.9])
    np.testing.assert_array_equal(got.round(), [16, 25, 68])
    # Far from the -0.5 of independent minutes: bursts do not average out.
    assert -0.2 < variance_slope(hours) < -0.05
