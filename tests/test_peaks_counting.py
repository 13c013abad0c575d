"""What counting alone does to a peak: the published table, exactness, planted Cox minutes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import poisson

from capmodel.laws import poisson_peak
from capmodel.peaks.counting import counting_excess, prior_ratio, uneven_ratio

P = np.array([0.5, 0.95, 0.99])


@pytest.mark.parametrize(
    ("mean", "counts"),
    [
        (1, [6, 7, 8]),
        (10, [23, 26, 27]),
        (100, [137, 145, 149]),
        (1_000, [1114, 1135, 1147]),
        (10_000, [10357, 10421, 10457]),
    ],
)
def test_the_busiest_second_of_an_hour(mean: float, counts: list[int]) -> None:
    """Largest of 3,600 Poisson counts; the 95 % ratios are 7.00, 2.60, 1.45, 1.135, 1.042."""
    assert poisson_peak(np.array(float(mean)), 3600, P).tolist() == counts


@given(
    log_mean=st.floats(-4, 4),
    windows=st.sampled_from([1.0, 6.0, 12.0, 60.0, 3600.0]),
    u=st.floats(1e-6, 1 - 1e-6),
)
def test_the_count_is_the_smallest_that_reaches_the_probability(
    log_mean: float, windows: float, u: float
) -> None:
    mean = 10.0**log_mean
    k = float(poisson_peak(np.array(mean), windows, np.array(u)))
    p = np.exp(np.log(u) / windows)
    assert poisson.cdf(k, mean) >= p
    assert k == 0 or poisson.cdf(k - 1, mean) < p


def test_the_expansion_continues_the_count() -> None:
    u = np.linspace(0.001, 0.999, 999)
    for mean in (100.0, 1_000.0, 30_000.0):
        exact = poisson_peak(np.array(mean), 60, u)
        smooth = (1 + counting_excess(np.array(mean), 60, u)) * mean
        assert np.abs(smooth - exact).max() <= 1.05  # a count is at most one step above
        assert np.mean(exact - smooth) == pytest.approx(0, abs=0.05)


def test_the_prior_has_its_quantiles_at_high_rates_and_counts_at_low_ones() -> None:
    u = np.array([0.5, 0.95])
    np.testing.assert_allclose(prior_ratio(u, None), [1.2, 1.6])
    np.testing.assert_allclose(prior_ratio(u, np.array(1e7)), [1.2, 1.6], rtol=1e-4)
    # One event an hour: the busiest minute has one, 60 times the mean (1.2 would be a fiftieth of
    # it). By hand it has two in 60 * (1/60)^2 / 2 = 0.83 % of hours.
    rare = prior_ratio(np.array([0.5, 0.99, 0.993]), np.array(1 / 60))
    np.testing.assert_allclose(rare, [60, 60, 120], rtol=1e-3)
    assert prior_ratio(np.array(0.01), np.array(0.0)).item() == 1.0
    assert uneven_ratio(np.array(1e-9)).item() == 1.0


def test_the_prior_holds_for_uneven_minutes_that_are_counted() -> None:
    """Planted: rates of minutes spread by 8.8 %, Poisson counts. The prior's form, not its spread.

    Its median unevenness 1.2 is that of the largest of 60 such rates (z_60 = 2.2739).
    """
    rng = np.random.default_rng(5)
    spread = 0.2 / 2.273900672
    for mean in (0.5, 2.0, 10.0, 50.0, 200.0, 1_000.0, 10_000.0):
        rate = mean * (1 + spread * rng.standard_normal((6_000, 60)))
        median = np.median(rng.poisson(rate).max(axis=1)) / mean
        assert prior_ratio(np.array(0.5), np.array(mean)).item() == pytest.approx(median, rel=0.02)


@given(
    u=st.floats(0.001, 0.998),
    step=st.floats(0, 0.001),
    log_mean=st.floats(-5, 7),
)
def test_the_prior_rises_with_probability_and_never_falls_below_one(
    u: float, step: float, log_mean: float
) -> None:
    mean = np.array(10.0**log_mean)
    low, high = prior_ratio(np.array([u, u + step]), mean)
    assert 1 <= low <= high
    assert low >= prior_ratio(np.array(u), None).item()
