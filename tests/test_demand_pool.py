"""The pool: planted series, its weights and bands, short and odd input, and the M4 competition."""

from __future__ import annotations

import sys
from importlib import import_module

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from capmodel.demand.pool import AutoregressivePool
from capmodel.demand.pool_members import (
    QUICK,
    THOROUGH,
    Autoregression,
    Past,
    Repeat,
    backtest_origins,
    expect,
    steps_needed,
)
from capmodel.errors import InputError

DAY, WEEK = 24, 168
POOL = AutoregressivePool()


def daily_cycle(n_steps):
    return 100 + 40 * np.sin(2 * np.pi * (np.arange(n_steps) - 8) / DAY)


def worlds(n_steps, n_series, *, seed):
    """A daily cycle times the exponential of persistent noise: of the form of no member."""
    rng = np.random.default_rng(seed)
    noise = 0.05 * rng.standard_normal((n_steps, n_series))
    for t in range(1, n_steps):
        noise[t] += 0.9 * noise[t - 1]
    return daily_cycle(n_steps)[:, None] * np.exp(noise) * rng.uniform(0.1, 50, n_series)


@pytest.fixture(scope="module")
def series():
    """Five weeks of four services, shape (840, 4)."""
    return worlds(840, 4, seed=1)


@pytest.fixture(scope="module")
def forecast(series):
    return POOL.forecast_pool(series, 48, quantiles=(0.025, 0.2, 0.5, 0.95, 0.99))


# --- what the forecast is -----------------------------------------------------------------------


def test_weights_are_shares_and_shapes_are_as_said(forecast):
    assert forecast.members == tuple(QUICK)
    assert forecast.weights.shape == (len(QUICK), 4)
    np.testing.assert_allclose(forecast.weights.sum(axis=0), 1.0, rtol=1e-12)
    assert (forecast.weights >= 0).all()
    assert forecast.median.shape == (48, 4)
    assert forecast.bands.shape == (5, 48, 4)
    assert not forecast.refused
    # Whole days before the end, a day apart, 60 % of 840 steps before the first of them.
    assert forecast.n_origins.tolist() == [13] * 4
    assert (forecast.n_bridged == 0).all()
    assert np.isfinite(forecast.errors).all()


def test_the_best_member_of_a_family_weighs_most(forecast):
    """The weights follow from the reported errors by the documented formula."""
    families = [member.family for member in QUICK.values()]
    prior = np.array([1 / families.count(family) for family in families])[:, None]
    error = forecast.member_errors
    expected = prior * np.exp(-4.0 * (error / error.min(axis=0) - 1))
    np.testing.assert_allclose(forecast.weights, expected / expected.sum(axis=0), rtol=1e-6)


def test_the_median_is_the_middle_band_and_bands_rise(forecast):
    np.testing.assert_array_equal(forecast.bands[2], forecast.median)
    assert (np.diff(forecast.bands, axis=0) > 0).all()


def test_an_exact_week_is_repeated_exactly():
    week = np.random.default_rng(2).uniform(10, 90, WEEK)
    forecast = POOL.forecast_pool(np.tile(week, 5)[:, None], 60)
    np.testing.assert_allclose(forecast.median[:, 0], np.tile(week, 2)[:60], rtol=1e-4)
    np.testing.assert_allclose(forecast.bands, np.tile(forecast.median, (3, 1, 1)), rtol=1e-3)


@pytest.mark.parametrize("level", [0.0, 7.0, 1e9])
def test_a_constant_series_stays(level, series):
    values = np.column_stack([np.full(840, level), series])
    forecast = POOL.forecast_pool(values, 24)
    np.testing.assert_allclose(forecast.median[:, 0], level, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(forecast.bands[:, :, 0], level, rtol=1e-9, atol=1e-12)
    alone = POOL.forecast_pool(series, 24)
    np.testing.assert_allclose(forecast.bands[:, :, 1:], alone.bands, rtol=1e-9)


def test_beats_the_seasonal_naive_and_covers_what_comes():
    """150 planted series: 95 % bands hold 95 % +- 2, and P90 is passed by 10 % +- 3."""
    values = worlds(700 + 48, 150, seed=3)
    actual = values[700:]
    forecast = POOL.forecast_pool(values[:700], 48, quantiles=(0.025, 0.9, 0.975))
    size = values.mean(axis=0)
    error = (np.abs(forecast.median - actual) / size).mean()
    naive = (np.abs(values[652:700] - actual) / size).mean()
    assert error < 0.85 * naive
    low, p90, high = forecast.bands
    assert abs(((low <= actual) & (actual <= high)).mean() - 0.95) <= 0.02
    assert abs((actual > p90).mean() - 0.10) <= 0.03


def test_thorough_has_every_quick_member_and_more(series):
    assert set(QUICK) < set(THOROUGH)
    forecast = AutoregressivePool(thorough=True).forecast_pool(series[:, :2], 24)
    assert forecast.members == tuple(THOROUGH)
    np.testing.assert_allclose(forecast.weights.sum(axis=0), 1.0, rtol=1e-12)


def test_kappa_zero_weighs_families_alike(series):
    forecast = AutoregressivePool(kappa=0.0).forecast_pool(series, 24)
    families = [member.family for member in QUICK.values()]
    shares = [1 / families.count(family) / len(set(families)) for family in families]
    np.testing.assert_allclose(forecast.weights, np.tile(shares, (4, 1)).T, rtol=1e-12)


# --- what must not matter -----------------------------------------------------------------------


@settings(max_examples=3)
@given(order=st.permutations(range(4)))
def test_the_order_of_series_does_not_matter(series, forecast, order):
    moved = POOL.forecast_pool(series[:, order], 48, quantiles=forecast.quantiles)
    np.testing.assert_allclose(moved.median, forecast.median[:, order], rtol=1e-8)
    np.testing.assert_allclose(moved.bands, forecast.bands[:, :, order], rtol=1e-6)
    np.testing.assert_allclose(moved.weights, forecast.weights[:, order], rtol=1e-6)


@settings(max_examples=3)
@given(factors=st.lists(st.floats(1e-6, 1e6), min_size=4, max_size=4).map(np.array))
def test_a_scaled_series_has_a_scaled_forecast(series, forecast, factors):
    scaled = POOL.forecast_pool(series * factors, 48, quantiles=forecast.quantiles)
    np.testing.assert_allclose(scaled.median, forecast.median * factors, rtol=1e-7)
    np.testing.assert_allclose(scaled.bands, forecast.bands * factors, rtol=1e-6)


def test_series_of_other_lengths_are_forecast_as_if_alone(series):
    values = np.full((900, 3), np.nan)
    for s, length in enumerate((840, 500, 700)):
        values[-length:, s] = series[-length:, s]
    together = POOL.forecast_pool(values, 24)
    for s, length in enumerate((840, 500, 700)):
        alone = POOL.forecast_pool(series[-length:, s : s + 1], 24)
        np.testing.assert_allclose(together.median[:, s], alone.median[:, 0], rtol=1e-8)
        assert together.n_origins[s] == alone.n_origins[0]


@pytest.mark.parametrize("scale", ["log", "linear"])
def test_no_member_looks_past_its_origin(series, scale):
    """Later steps in another order (so that the mean stands) change no forecast."""
    origins, later = (600, 700), np.random.default_rng(5).permutation(140)
    other = np.concatenate([series[:700], series[700:][later]])
    past, changed = (Past.of(x, origins=origins, scales=(scale,)) for x in (series, other))
    for name, member in THOROUGH.items():
        if isinstance(member, Repeat) or member.scale == scale:
            got, want = (expect(member, x, horizon=48) for x in (changed, past))
            np.testing.assert_allclose(got, want, rtol=1e-9, err_msg=name)


# --- members ------------------------------------------------------------------------------------


def test_repeats_by_hand():
    past = Past.of(np.arange(48.0)[:, None], origins=(24, 48), scales=("linear",))
    last = expect(Repeat(DAY), past, horizon=30)
    np.testing.assert_array_equal(last[:, 1, 0], np.r_[24:48, 24:30])
    past = Past.of(np.arange(48.0)[:, None], origins=(48,), scales=("linear",))
    np.testing.assert_array_equal(expect(Repeat(DAY, 2), past, horizon=2)[:, 0, 0], [12.0, 13.0])


@pytest.mark.parametrize("difference", [1, DAY, WEEK])
def test_a_steady_change_goes_on(difference):
    """A trend has a constant change; its forecast stays within twice the range seen."""
    values = (np.arange(600.0) + 50)[:, None]
    member = Autoregression("level", "linear", (1, 2), 1.0, difference=difference)
    past = Past.of(values, origins=(500, 600), scales=("linear",))
    path = expect(member, past, horizon=200)
    np.testing.assert_allclose(path[:, 0, 0], np.arange(200) + 550.0, rtol=1e-9)
    np.testing.assert_allclose(path[:, 1, 0], np.arange(200) + 650.0, rtol=1e-9)


def test_a_forecast_stays_within_the_widened_range():
    values = np.r_[np.full(300, 10.0), 10 * 1.2 ** np.arange(30)][:, None]
    member = Autoregression("hourly", "linear", (1,), 1e-6, difference=1)
    past = Past.of(values, origins=(330,), scales=("linear",))
    path = expect(member, past, horizon=300)
    assert path.max() == pytest.approx(values.max() + np.ptp(values))


def test_steps_needed_by_hand():
    assert steps_needed(QUICK["last_week"]) == 168
    assert steps_needed(Autoregression("level", "log", (1, 24), 1.0, difference=24)) == 24 + 24 + 4
    assert steps_needed(QUICK["log_deviation"]) == 336
    assert steps_needed(THOROUGH["log_recent"]) == 576


def test_backtest_origins_by_hand():
    assert backtest_origins(700, 48, most=14) == tuple(range(436, 653, 24))
    assert backtest_origins(960, 48, most=3) == (864, 888, 912)
    assert backtest_origins(960, 168, most=14) == (576, 648, 720, 792)
    assert backtest_origins(100, 30, most=14) == (52,)


# --- gaps ---------------------------------------------------------------------------------------


def test_gaps_change_little_and_are_counted(series, forecast):
    rng = np.random.default_rng(6)
    holed = series.copy()
    gone = rng.random(series.shape) < 0.05
    gone[[0, -1]] = False
    holed[gone] = np.nan
    got = POOL.forecast_pool(holed, 48)
    assert got.n_bridged.tolist() == gone.sum(axis=0).tolist()
    typical = np.abs(series[WEEK:] - series[:-WEEK]).mean(axis=0)
    assert (np.abs(got.median - forecast.median).mean(axis=0) < 0.1 * typical).all()


def test_bridges_keep_what_was_seen_and_stay_in_range(series):
    holed = series.copy()
    holed[100:130, 0] = holed[500:560, 0] = np.nan
    past = Past.of(holed, origins=(840,), scales=("log", "linear"))
    seen = ~np.isnan(holed)
    np.testing.assert_array_equal(past.values[seen], holed[seen])
    bridge, truth = past.values[500:560, 0], series[500:560, 0]
    assert series[:, 0].min() * 0.99 <= bridge.min() <= bridge.max() <= series[:, 0].max() * 1.01
    assert np.abs(bridge / truth - 1).mean() < 0.15


def test_a_late_series_is_forecast_from_its_last_value(series):
    late = series.copy()
    late[-30:, 1] = np.nan
    got = POOL.forecast_pool(late, 24)
    alone = POOL.forecast_pool(series[:-30, 1:2], 54)
    # The longer forecast is judged, and its members weighed, on the asked-for steps alone.
    np.testing.assert_allclose(got.median[:, 1], alone.median[30:, 0], rtol=0.05)
    prompt = POOL.forecast_pool(series, 24)
    width, prompt_width = (x.bands[2, :, 1] - x.bands[0, :, 1] for x in (got, prompt))
    assert width.mean() > prompt_width.mean()


# --- short, odd and bad -------------------------------------------------------------------------


def test_short_series_go_without_members_and_say_so(series):
    values = np.full((840, 2), np.nan)
    values[:, 0], values[-300:, 1] = series[:, 0], series[-300:, 1]
    forecast = POOL.forecast_pool(values, 24)
    named = {left.member: left for left in forecast.left_out}
    assert "last_week" not in named
    assert named["mean_2_weeks"].needs == 336
    assert named["mean_2_weeks"].series == (1,)
    assert str(named["log_deviation"]).startswith("log_deviation needs 336 steps")
    row = forecast.members.index("mean_2_weeks")
    assert forecast.weights[row, 1] == 0.0
    assert np.isnan(forecast.member_errors[row, 1])
    assert forecast.weights[row, 0] > 0
    np.testing.assert_allclose(forecast.weights.sum(axis=0), 1.0, rtol=1e-12)


def test_the_shortest_series_has_one_origin_and_bands_that_say_so():
    values = daily_cycle(96)[:, None] + np.random.default_rng(7).standard_normal((96, 1))
    forecast = POOL.forecast_pool(values, 48)
    assert forecast.n_origins.tolist() == [1]
    assert any("hold any out" in note for note in forecast.notes)
    assert np.isfinite(forecast.bands).all()


def test_quantiles_beyond_the_errors_seen_say_so(series):
    forecast = POOL.forecast_pool(series[:, :1], 24, quantiles=(0.5, 0.9999))
    assert any("0.9999" in note for note in forecast.notes)


@pytest.mark.parametrize("horizon", [1, 7, 30, WEEK])
def test_any_horizon(series, horizon):
    forecast = POOL.forecast_pool(series, horizon)
    assert forecast.median.shape == (horizon, 4)
    assert np.isfinite(forecast.bands).all()
    assert (forecast.bands[2] > forecast.bands[0]).all()


def test_one_bad_series_never_fails_the_others(series, forecast):
    bad = np.tile(series[:, :1], (1, 7))
    bad[:, 0] = np.nan
    bad[5, 1] = np.inf
    bad[9, 2] = -3.0
    bad[:-95, 3] = np.nan
    bad[-170:, 4] = np.nan
    bad[1::2, 5] = bad[2:40:4, 5] = np.nan
    bad[-171:-3, 6] = np.nan  # seen again: forecast
    got = POOL.forecast_pool(np.column_stack([bad, series]), 48, quantiles=forecast.quantiles)
    assert sorted(got.refused) == [0, 1, 2, 3, 4, 5]
    for s, words in enumerate(["no value at", "infinite", "linear", "too few", "ended", "gaps"]):
        assert words in got.refused[s]
    for values in (got.median, got.bands, got.weights, got.errors):
        assert np.isnan(values[..., :6]).all()
        assert np.isfinite(values[..., 6:]).all()
    np.testing.assert_allclose(got.median[:, 7:], forecast.median, rtol=1e-8)
    np.testing.assert_allclose(got.weights[:, 7:], forecast.weights, rtol=1e-6)


def test_values_below_zero_need_the_linear_scale(series):
    shifted = series - 1.1 * series.max(axis=0)
    pool = AutoregressivePool(scales=("linear",))
    forecast = pool.forecast_pool(shifted, 48)
    assert not forecast.refused
    assert (forecast.median < 0).all()
    assert all(name.startswith(("last", "mean", "linear")) for name in forecast.members)
    with pytest.raises(InputError, match="below 0"):
        POOL.forecast_pool(shifted, 48)


def test_demand_is_never_below_zero():
    rng = np.random.default_rng(8)
    rare = rng.poisson(0.05, (600, 3)).astype(float)
    forecast = POOL.forecast_pool(rare, 48, quantiles=(0.01, 0.99))
    assert forecast.bands.min() == 0.0
    assert (forecast.median >= 0).all()
    assert forecast.bands.max() <= 10 * rare.max()


@pytest.mark.parametrize(
    ("values", "horizon", "quantiles", "named"),
    [
        (np.ones(100), 24, (0.5,), "values"),
        (np.ones((100, 0)), 24, (0.5,), "values"),
        (np.ones((100, 1)), 0, (0.5,), "horizon"),
        (np.ones((100, 1)), 24, (0.5, 1.0), "quantiles"),
        (np.ones((100, 1)), 24, (95,), "quantiles"),
        (np.ones((100, 1)), 200, (0.5,), "series 0"),
        (np.full((100, 1), np.nan), 24, (0.5,), "no value"),
    ],
)
def test_bad_arguments_are_named(values, horizon, quantiles, named):
    with pytest.raises(InputError, match=named):
        POOL.forecast_pool(values, horizon, quantiles=quantiles)


@pytest.mark.parametrize("fields", [{"scales": ()}, {"kappa": -1}, {"origins": 0}, {"folds": 3}])
def test_a_bad_specification_is_refused(fields):
    with pytest.raises(ValidationError):
        AutoregressivePool(**fields)


# --- the competition ----------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.real
@pytest.mark.parametrize(("thorough", "owa", "cpu_ms"), [(False, 0.405, 5.0), (True, 0.39, 60.0)])
def test_m4_hourly(data_dir, repo, monkeypatch, thorough, owa, cpu_ms):
    """Better than the best official entry: Doornik et al., OWA 0.410, MSIS 6.14."""
    monkeypatch.syspath_prepend(str(repo / "benchmarks"))
    m4 = import_module("m4")
    monkeypatch.delitem(sys.modules, "m4")
    data = m4.read(data_dir / "m4_hourly")
    row = m4.forecast_row(data, thorough=thorough)
    assert row.owa <= owa
    assert row.msis <= 6.1
    assert abs(row.coverage - 0.95) <= 0.02
    assert row.cpu_ms <= cpu_ms


@pytest.mark.slow
@pytest.mark.real
def test_m4_scorer_reproduces_the_published_rows(data_dir, repo, monkeypatch):
    monkeypatch.syspath_prepend(str(repo / "benchmarks"))
    m4 = import_module("m4")
    monkeypatch.delitem(sys.modules, "m4")
    data = m4.read(data_dir / "m4_hourly")
    assert len(data.train) == 414
    snaive = np.stack([y[-24:] for y in data.train])[:, np.arange(48) % 24]
    for row, published in (
        (m4.judge("Naive2", data, data.naive2), m4.PUBLISHED[0]),
        (m4.judge("sNaive", data, snaive), m4.PUBLISHED[1]),
    ):
        assert round(row.smape, 3) == published.smape
        assert round(row.mase, 3) == published.mase
        assert round(row.owa, 3) == published.owa
