"""Busiest of many windows and lognormal headroom: published tables, and counts drawn by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from capmodel.errors import InputError
from capmodel.laws.headroom import (
    combine_log_sd,
    critical_ratio,
    headroom_x,
    negative_binomial_peak,
    normal_peak_x,
    p_exceed,
    poisson_peak,
    z_max,
)

# One-second windows in an hour; median, 95 % and 99 % of the largest (computed with 40 digits).
POISSON = {
    1: (6, 7, 8),
    10: (23, 26, 27),
    100: (137, 145, 149),
    1_000: (1114, 1135, 1147),
    10_000: (10357, 10421, 10457),
}
# sigma -> factor at 90, 95, 99 and 99.9 %, and P(requirement > 1.3 x its median).
HEADROOM = {
    0.05: (1.0661751076, 1.0857192617, 1.1233523605, 1.1670878341, 7.7e-8),
    0.10: (1.13672936, 1.1787863152, 1.2619205259, 1.3620940124, 0.0043498),
    0.15: (1.2119525477, 1.2798310078, 1.4175814015, 1.5896833507, 0.0401373),
    0.20: (1.2921536379, 1.3895371768, 1.5924434137, 1.8553000987, 0.0947902),
    0.30: (1.4688289779, 1.6379674085, 2.00953703, 2.5270931556, 0.1909101),
}
FACTORS = (0.08, 0.06, 0.10, 0.05)


@pytest.mark.parametrize("mean", POISSON)
def test_largest_poisson_count_of_an_hour(mean: int) -> None:
    assert tuple(poisson_peak(mean, 3600, [0.5, 0.95, 0.99])) == POISSON[mean]


def test_largest_negative_binomial_count() -> None:
    got = negative_binomial_peak([[1000], [100]], 3600, 0.95, [2, 5, 20])
    assert got.tolist() == [[1195, 1321, 1702], [168, 219, 401]]


def test_largest_normal() -> None:
    got = z_max([[3600], [60]], [0.5, 0.95, 0.99])
    want = [[3.5501274465, 4.18516366, 4.5415764868], [2.273900672, 3.1366249677, 3.5866268556]]
    np.testing.assert_allclose(got, want, rtol=1e-9)
    assert float(z_max(86400, 0.95)) == pytest.approx(4.8577378895, rel=1e-10)
    assert float(z_max(1, 0.5)) == pytest.approx(0, abs=1e-15)


def test_the_normal_form_nears_the_count_as_the_mean_grows() -> None:
    mean = np.array([100.0, 1e4, 1e6])
    off = poisson_peak(mean, 3600, 0.95) / mean / normal_peak_x(mean, 3600, 0.95) - 1
    assert np.all(np.abs(off) < [0.03, 5e-4, 1e-5])
    assert np.all(off > 0)  # counts are skewed to the right
    assert float(normal_peak_x(1000, 3600, 0.95, dispersion=4)) == pytest.approx(
        1 + 4.18516366 * math.sqrt(4 / 1000)
    )


def test_counts_drawn_by_hand_agree() -> None:
    rng = np.random.default_rng(5)
    poisson = rng.poisson(10, (4000, 600)).max(axis=1)
    k = int(poisson_peak(10, 600, 0.95))
    # F(k)^n >= 0.95 > F(k − 1)^n, within four standard errors of 4,000 hours.
    se = 4 * math.sqrt(0.95 * 0.05 / 4000)
    assert np.mean(poisson <= k) >= 0.95 - se
    assert np.mean(poisson <= k - 1) < 0.95 + se
    # Variance / mean of a gamma-mixed Poisson count: 1 + mean/shape = 5.
    mixed = rng.poisson(rng.gamma(2.5, 4.0, (4000, 600))).max(axis=1)
    k = int(negative_binomial_peak(10, 600, 0.5, 5))
    assert np.mean(mixed <= k) >= 0.5 - 0.04
    assert np.mean(mixed <= k - 1) < 0.5 + 0.04


def test_extreme_means_neither_overflow_nor_stall() -> None:
    assert int(poisson_peak(1e-3, 10, 0.5)) == 0
    assert int(poisson_peak(1e12, 3600, 0.95)) == pytest.approx(1e12 + 4.18516366e6, rel=1e-11)
    assert int(negative_binomial_peak(1e-3, 10, 0.5, 1e6)) == 0


@given(
    mean=st.floats(0.01, 1e5),
    windows=st.integers(1, 10**6),
    p=st.floats(0.01, 0.999),
    dispersion=st.floats(1.01, 50),
)
def test_more_windows_or_certainty_never_lower_the_peak(
    mean: float, windows: int, p: float, dispersion: float
) -> None:
    k = int(poisson_peak(mean, windows, p))
    assert k <= int(poisson_peak(mean, 2 * windows, p))
    assert k <= int(poisson_peak(mean, windows, math.sqrt(p)))
    assert int(poisson_peak(mean, 2 * windows, p * p)) == k  # the same F(k)
    wide = int(negative_binomial_peak(mean, windows, p, dispersion))
    assert wide <= int(negative_binomial_peak(mean, 2 * windows, p, dispersion))
    assert wide <= int(negative_binomial_peak(mean, windows, math.sqrt(p), dispersion))


@pytest.mark.parametrize("sigma", HEADROOM)
def test_headroom_table(sigma: float) -> None:
    *factors, above = HEADROOM[sigma]
    np.testing.assert_allclose(headroom_x(sigma, [0.9, 0.95, 0.99, 0.999]), factors, rtol=1e-9)
    digits = 0.05e-8 if sigma == 0.05 else 0.5e-7  # the table's last one
    assert float(p_exceed(sigma, 1.3)) == pytest.approx(above, abs=digits)


def test_multiplying_each_factors_quantile_asks_for_too_much() -> None:
    p = np.array([0.95, 0.99, 0.999])
    joint = headroom_x(combine_log_sd(FACTORS), p)
    np.testing.assert_allclose(joint, [1.27983100778, 1.41758140155, 1.58968335075], rtol=1e-11)
    naive = np.prod(headroom_x(np.array(FACTORS)[:, None], p), axis=0)
    np.testing.assert_allclose(naive, [1.61124561184, 1.9633277859, 2.45019440108], rtol=1e-11)
    assert (100 * (naive / joint - 1)).round().tolist() == [26, 38, 54]


def test_correlation_lies_between_independence_and_all_unlucky_together() -> None:
    together = combine_log_sd(FACTORS, correlation=np.ones((4, 4)))
    assert together == pytest.approx(sum(FACTORS))
    half = np.eye(2) / 2 + 0.5
    assert combine_log_sd([0.3, 0.4], correlation=half) == pytest.approx(math.sqrt(0.25 + 0.12))
    assert combine_log_sd([0.3, 0.3], correlation=[[1, -1], [-1, 1]]) == pytest.approx(0)


@given(sigma=st.floats(0.01, 2), p=st.floats(0.01, 0.99))
def test_risk_and_headroom_are_inverse(sigma: float, p: float) -> None:
    assert float(p_exceed(sigma, headroom_x(sigma, p))) == pytest.approx(1 - p, rel=1e-9)


def test_a_requirement_without_uncertainty() -> None:
    assert p_exceed(0, [0.9, 1.0, 1.1]).tolist() == [1.0, 0.0, 0.0]
    assert float(headroom_x(0, 0.99)) == 1


def test_newsvendor() -> None:
    got = critical_ratio([9, 20, 100], 1)
    np.testing.assert_allclose(got, [0.9, 0.95238095, 0.99009901], rtol=1e-8)
    z = np.log(headroom_x(1.0, got))
    np.testing.assert_allclose(z, [1.2815515655, 1.6683911939, 2.3300789228], rtol=1e-9)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: poisson_peak(0, 10, 0.5), "mean: got 0.0"),
        (lambda: poisson_peak(-1, 0, 95), "3 problems"),
        (lambda: negative_binomial_peak(10, 10, 0.5, 1), "Use poisson_peak for 1"),
        (lambda: normal_peak_x(10, 10, 0.5, dispersion=0), "dispersion: got 0"),
        (lambda: z_max(0.5, 0.5), "windows: got 0.5"),
        (lambda: headroom_x(-0.1, 0.5), "log_sd: got -0.1"),
        (lambda: p_exceed(0.1, 0), "headroom: got 0"),
        (lambda: combine_log_sd([0.1, 0.2], correlation=np.eye(3)), "correlation matrix of 2"),
        (lambda: combine_log_sd([0.1, 0.2], correlation=[[1, 2], [2, 1]]), "negative eigenvalue"),
        (lambda: critical_ratio(0, 1), "under: got 0"),
    ],
)
def test_impossible_arguments_are_named(call, message) -> None:
    with pytest.raises(InputError, match=message):
        call()
