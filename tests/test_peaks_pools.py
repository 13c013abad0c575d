"""Ratios by rate: planted lines, curves and counts, shrinkage, the edges of the range."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from capmodel.peaks.counting import counting_excess
from capmodel.peaks.pools import Observed, observed_pool, prior_pool, rate_slope, stated_pool


def law_of(ratio: np.ndarray, per_min: np.ndarray, *, slope: float | None = None) -> Observed:
    eta = rate_slope(np.log(ratio), np.log(per_min)) if slope is None else slope
    pool = observed_pool(ratio, per_min, slope=eta)
    assert pool is not None
    assert isinstance(pool.law, Observed)
    return pool.law


def log_uniform(n: int, low: float, high: float, rng: np.random.Generator) -> np.ndarray:
    return np.asarray(np.exp(rng.uniform(np.log(low), np.log(high), n)))


def test_a_planted_line_is_found_with_its_residuals() -> None:
    rng = np.random.default_rng(1)
    rate = log_uniform(2_000, 100, 10_000, rng)
    ratio = np.exp(0.9 - 0.08 * np.log(rate) + rng.gumbel(0, 0.03, len(rate)))
    law = law_of(ratio, rate)
    assert law.slope == pytest.approx(-0.08, abs=0.002)
    for at in (150.0, 1_000.0, 8_000.0):
        truth = np.exp(0.9 - 0.08 * np.log(at) - 0.03 * np.log(-np.log([0.5, 0.95, 0.99])))
        got = law.quantile(np.array([0.5, 0.95, 0.99]), np.array(at))
        np.testing.assert_allclose(got, truth, rtol=0.02)


def test_small_hours_do_not_lend_their_burstiness_to_large_ones() -> None:
    """Planted Poisson minutes from 20 to 2,000 a minute: curved, and of ever smaller spread."""
    rng = np.random.default_rng(2)
    rate = log_uniform(2_000, 20, 2_000, rng)
    counts = rng.poisson(rate[:, None], (len(rate), 60)).astype(float)
    law = law_of(counts.max(axis=1) / counts.mean(axis=1), counts.mean(axis=1))
    for at in (50.0, 200.0, 1_000.0):
        fresh = rng.poisson(at, (5_000, 60))
        truth = np.quantile(fresh.max(axis=1) / fresh.mean(axis=1), [0.5, 0.95])
        np.testing.assert_allclose(
            law.quantile(np.array([0.5, 0.95]), np.array(at)), truth, rtol=0.03
        )
    # The same hours without the rate: at 1,000 a minute far too bursty.
    assert np.quantile(counts.max(axis=1) / counts.mean(axis=1), 0.95) > 1.45
    assert law.quantile(np.array(0.95), np.array(1_000.0)).item() < 1.13


def test_beyond_the_rates_seen_the_edge_holds_and_counting_is_added_below() -> None:
    rng = np.random.default_rng(3)
    rate = log_uniform(400, 50, 500, rng)
    ratio = np.exp(0.8 - 0.1 * np.log(rate) + np.abs(rng.normal(0, 0.05, 400)))
    law = law_of(ratio, rate)
    low, high = law.range_per_min
    u = np.array([0.2, 0.5, 0.95])
    edge = law.quantile(u, np.array(high))
    np.testing.assert_array_equal(law.quantile(u, np.array(1e6)), edge)
    edge = law.quantile(u, np.array(low))
    np.testing.assert_allclose(law.quantile(u, np.array(low * (1 - 1e-9))), edge, rtol=1e-6)
    below = law.quantile(u, np.array(1 / 60))
    more = (
        counting_excess(np.array(1 / 60), 60, u) ** 2 - counting_excess(np.array(low), 60, u) ** 2
    )
    np.testing.assert_allclose(below, 1 + np.sqrt((edge - 1) ** 2 + np.maximum(more, 0)))
    assert below[1] == pytest.approx(60, rel=0.01)
    np.testing.assert_allclose(law.quantile(u, np.array(0.0)), edge)


def test_little_range_of_rate_leaves_no_slope() -> None:
    rng = np.random.default_rng(4)
    x = rng.normal(0, 0.0005, 60)
    y = 0.2 + rng.normal(0, 0.05, 60)
    raw = np.polyfit(x, y, 1)[0]
    assert abs(raw) > 1
    assert abs(rate_slope(y, x)) < 0.01
    assert rate_slope(y, np.zeros(60)) == 0.0


def test_one_hour_in_ten_cut_short_moves_no_slope() -> None:
    rng = np.random.default_rng(5)
    x = rng.uniform(0, 4, 500)
    y = 0.6 - 0.1 * x + rng.normal(0, 0.03, 500)
    y[x > 3.6] += 1.0
    assert rate_slope(y, x) == pytest.approx(-0.1, abs=0.02)


def test_hours_of_like_rate_keep_their_own_middle() -> None:
    """Smoother with load until the event hours: no line fits both halves."""
    rng = np.random.default_rng(6)
    rate = log_uniform(800, 100, 10_000, rng)
    middle = np.where(rate > 4_000, 0.4, 0.5 - 0.1 * np.log(rate / 100))
    law = law_of(np.exp(middle + rng.uniform(0, 0.05, 800)), rate)
    for at, truth in ((200.0, 0.456), (1_000.0, 0.295), (8_000.0, 0.425)):
        assert np.log(law.quantile(np.array(0.5), np.array(at))) == pytest.approx(truth, abs=0.03)


def test_fewer_than_a_day_of_hours_is_no_pool() -> None:
    assert observed_pool(np.full(23, 1.2), np.full(23, 5.0), slope=0.0) is None
    pool = observed_pool(np.full(24, 1.2), np.full(24, 5.0), slope=0.0)
    assert pool is not None
    np.testing.assert_allclose(pool.quantile(np.array([0.0, 1.0])), 1.2)


def test_an_event_effect_shifts_the_log() -> None:
    pool = observed_pool(np.full(48, 1.2), np.linspace(10, 90, 48), slope=0.0)
    assert pool is not None
    shifted = pool.shifted(np.log(1.25), basis="borrowed", note="why")
    assert shifted.quantile(0.5, 50.0).item() == pytest.approx(1.5)
    assert (shifted.basis, shifted.note, shifted.n_hours) == ("borrowed", "why", 48)


def test_a_stated_number_is_exact_at_any_rate() -> None:
    pool = stated_pool(1.35)
    assert (
        pool.quantile(np.random.default_rng(0).random(50), np.geomspace(1e-9, 1e9, 50)) == 1.35
    ).all()
    assert not pool.by_rate
    assert prior_pool("").by_rate


@given(seed=st.integers(0, 10**6), n=st.integers(24, 300), sd=st.floats(0, 1))
def test_quantiles_rise_stay_above_one_and_within_what_was_seen(
    seed: int, n: int, sd: float
) -> None:
    rng = np.random.default_rng(seed)
    rate = rng.lognormal(4, 1, n)
    ratio = np.exp(np.abs(rng.normal(0.2, sd, n)))
    law = law_of(ratio, rate)
    u = np.linspace(0, 1, 101)
    for at in np.quantile(rate, [0, 0.3, 1]):
        got = law.quantile(u, np.array(at))
        assert (got >= 1).all()
        assert (np.diff(got) >= 0).all()
    # At its own rate and rank, an hour is what it was.
    order = np.argsort(rate)
    x, y = np.log(rate[order]), np.log(ratio[order])
    residual = (y - np.interp(x, law.log_rate, law.center)) / np.interp(x, law.log_rate, law.spread)
    u = (np.searchsorted(law.residual, residual) + 0.5) / n
    np.testing.assert_allclose(law.quantile(u, rate[order]), ratio[order], rtol=1e-9)
