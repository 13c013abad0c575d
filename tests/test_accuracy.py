"""Measures of accuracy against hand-worked numbers, published ones, R, and simulated truth."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from capmodel import accuracy
from capmodel.errors import InputError

NAN = np.nan

# Monthly airline passengers 1949-1960 (Box, Jenkins & Reinsel, series G), and what R 4's
# decompose(AirPassengers, "multiplicative")$figure prints.
PASSENGERS = np.array([
    112, 118, 132, 129, 121, 135, 148, 148, 136, 119, 104, 118,
    115, 126, 141, 135, 125, 149, 170, 170, 158, 133, 114, 140,
    145, 150, 178, 163, 172, 178, 199, 199, 184, 162, 146, 166,
    171, 180, 193, 181, 183, 218, 230, 242, 209, 191, 172, 194,
    196, 196, 236, 235, 229, 243, 264, 272, 237, 211, 180, 201,
    204, 188, 235, 227, 234, 264, 302, 293, 259, 229, 203, 229,
    242, 233, 267, 269, 270, 315, 364, 347, 312, 274, 237, 278,
    284, 277, 317, 313, 318, 374, 413, 405, 355, 306, 271, 306,
    315, 301, 356, 348, 355, 422, 465, 467, 404, 347, 305, 336,
    340, 318, 362, 348, 363, 435, 491, 505, 404, 359, 310, 337,
    360, 342, 406, 396, 420, 472, 548, 559, 463, 407, 362, 405,
    417, 391, 419, 461, 472, 535, 622, 606, 508, 461, 390, 432,
], dtype=float)  # fmt: skip
FIGURE = [
    0.9102304, 0.8836253, 1.0073663, 0.9759060, 0.9813780, 1.1127758,
    1.2265555, 1.2199110, 1.0604919, 0.9217572, 0.8011781, 0.8988244,
]  # fmt: skip


# ---- point forecasts ----------------------------------------------------------------------------


def test_point_measures_worked_by_hand():
    actual = np.array([100.0, NAN, 300.0, 0.0])
    forecast = np.array([110.0, 999.0, 270.0, 20.0])
    assert accuracy.n_judged(actual) == 3
    assert accuracy.mae(actual, forecast) == pytest.approx((10 + 30 + 20) / 3)
    assert accuracy.wape(actual, forecast) == pytest.approx(60 / 400)
    assert accuracy.bias(actual, forecast) == pytest.approx((10 - 30 + 20) / 400)
    # |100 - 110| / 210, |300 - 270| / 570, 20 / 20
    expected = 200 * (10 / 210 + 30 / 570 + 1) / 3
    assert accuracy.smape(actual, forecast) == pytest.approx(expected)


def test_smape_of_two_zeros_is_no_error():
    assert accuracy.smape([0.0, 100.0], [0.0, 50.0]) == pytest.approx(200 * (50 / 150) / 2)


def test_the_scale_is_the_training_part_s_seasonal_difference():
    train = np.array([1.0, 10.0, 4.0, NAN, 6.0, 13.0])
    # Steps of 2: 1 -> 4, 10 -> gap, 4 -> 6, gap -> 13; steps of 1: 9, 6 and 7.
    assert accuracy.seasonal_scale(train, 2) == pytest.approx((3 + 2) / 2)
    assert accuracy.seasonal_scale(train, 1) == pytest.approx((9 + 6 + 7) / 3)
    scale = accuracy.seasonal_scale(train, 2)
    assert accuracy.mase([7.0, NAN, 9.0], [5.0, 0.0, 10.0], scale=scale) == pytest.approx(1.5 / 2.5)


def test_mase_of_the_seasonal_naive_inside_the_training_part_is_one():
    train = np.random.default_rng(1).normal(50, 5, 200)
    inside = accuracy.mase(train[24:], train[:-24], scale=accuracy.seasonal_scale(train, 24))
    assert inside == pytest.approx(1.0)


def test_no_scale_and_nothing_judged_are_said_and_not_warned_about():
    assert np.isnan(accuracy.seasonal_scale([1.0, 2.0], 2))
    assert np.isnan(accuracy.wape([NAN], [1.0]))
    assert np.isinf(accuracy.mase([1.0], [2.0], scale=0.0))
    assert np.isnan(accuracy.mase([1.0], [1.0], scale=0.0))


def test_a_missing_forecast_never_makes_a_score_better():
    for measure in (accuracy.mae, accuracy.wape, accuracy.bias, accuracy.smape):
        assert np.isnan(measure([1.0, 2.0], [1.0, NAN]))
    assert np.isnan(accuracy.pinball([1.0, 2.0], [1.0, NAN], 0.9))
    assert np.isnan(accuracy.coverage([1.0, 2.0], [1.0, NAN]).share)


def test_geometric_mean_ratio_by_hand():
    assert accuracy.geometric_mean_ratio([1.0, 8.0, NAN], [2.0, 4.0, 1.0]) == pytest.approx(1.0)
    assert accuracy.geometric_mean_ratio([0.0, 2.0], [0.0, 1.0]) == pytest.approx(np.sqrt(2))
    assert accuracy.geometric_mean_ratio([0.0, 2.0], [1.0, 1.0]) == 0
    assert np.isnan(accuracy.geometric_mean_ratio([NAN], [1.0]))


positive = arrays(float, 8, elements=st.floats(0.01, 100))


@given(positive, positive)
def test_the_geometric_mean_does_not_care_which_is_the_reference(one, two):
    there = float(accuracy.geometric_mean_ratio(one, two))
    back = float(accuracy.geometric_mean_ratio(two, one))
    assert there * back == pytest.approx(1.0)


@given(arrays(float, (3, 40), elements=st.floats(1, 100)), st.integers(0, 39))
def test_every_measure_of_a_block_is_that_of_its_rows(values, gap):
    actual, forecast = values[:, ::-1].copy(), values
    actual[1, gap] = NAN
    measures = {
        "wape": accuracy.wape,
        "bias": accuracy.bias,
        "smape": accuracy.smape,
        "pinball": lambda y, f: accuracy.pinball(y, f, 0.9),
        "coverage": lambda y, f: accuracy.coverage(y, f).high,
        "msis": lambda y, f: accuracy.msis(y, f - 1, f + 1, scale=2.0),
        "scale": lambda y, _: accuracy.seasonal_scale(y, 7),
        "naive2": lambda _, f: accuracy.naive2(f, 9, 7).sum(axis=-1),
    }
    for name, measure in measures.items():
        block = measure(actual, forecast)
        rows = [measure(actual[i], forecast[i]) for i in range(3)]
        np.testing.assert_allclose(block, rows, err_msg=name)


# ---- quantiles and shares -----------------------------------------------------------------------


def test_pinball_by_hand():
    actual, quantile = [10.0, 10.0, NAN], [8.0, 14.0, 0.0]
    # Too low by 2 costs 0.9 * 2, too high by 4 costs 0.1 * 4.
    assert accuracy.pinball(actual, quantile, 0.9) == pytest.approx((1.8 + 0.4) / 2)
    assert accuracy.pinball(actual, quantile, 0.5) == accuracy.mae(actual, quantile) / 2


def test_pinball_is_least_at_the_quantile():
    draws = np.random.default_rng(2).lognormal(0, 1, 4000)
    candidates = np.linspace(1, 8, 141)
    losses = accuracy.pinball(draws, np.broadcast_to(candidates[:, None], (141, 4000)), 0.95)
    best = candidates[losses.argmin()]
    assert best == pytest.approx(np.quantile(draws, 0.95), abs=0.05)


def test_msis_by_hand():
    actual = [10.0, 10.0, 10.0, NAN]
    lower, upper = [8.0, 11.0, 5.0, 0.0], [12.0, 14.0, 9.0, 1.0]
    # Widths 4, 3 and 4; the second and the third miss by 1 and pay 2 / 0.05 = 40 each.
    assert accuracy.msis(actual, lower, upper, scale=2.0) == pytest.approx((11 + 80) / 3 / 2)


def test_coverage_counts_at_or_below_and_inside():
    below = accuracy.coverage([1.0, 2.0, 3.0, NAN], [2.0, 2.0, 2.0, 2.0])
    assert (float(below.share), int(below.n)) == (pytest.approx(2 / 3), 3)
    inside = accuracy.coverage([1.0, 2.0, 3.0], [2.0, 2.0, 2.0], lower=[2.0, 2.0, 2.0])
    assert float(inside.share) == pytest.approx(1 / 3)
    low, high = accuracy.binomial_interval(1, 3)
    assert (inside.low, inside.high) == (low, high)


# Newcombe, R. G. (1998), Statistics in Medicine 17, 857-872, table I.
@pytest.mark.parametrize(
    ("hits", "n", "exact", "wilson"),
    [
        (81, 263, (0.2527, 0.3676), (0.2553, 0.3662)),
        (15, 148, (0.0578, 0.1617), (0.0624, 0.1605)),
        (0, 20, (0.0, 0.1684), (0.0, 0.1611)),
        (1, 29, (0.0009, 0.1776), (0.0061, 0.1718)),
    ],
)
def test_binomial_intervals_are_the_published_ones(hits, n, exact, wilson):
    assert accuracy.binomial_interval(hits, n) == pytest.approx(exact, abs=5e-5)
    found = accuracy.binomial_interval(hits, n, method="wilson")
    assert found == pytest.approx(wilson, abs=5e-5)
    low, high = accuracy.binomial_interval(n - hits, n)  # the other side of the same coin
    assert (1 - high, 1 - low) == pytest.approx(exact, abs=5e-5)


def test_no_cases_tell_nothing():
    for method in ("clopper_pearson", "wilson"):
        assert accuracy.binomial_interval(0, 0, method=method) == (0.0, 1.0)  # type: ignore[arg-type]
    none = accuracy.clustered_share([], [])
    assert np.isnan(none.share)
    assert (none.low, none.high, none.n) == (0.0, 1.0, 0)


def test_a_clustered_share_by_hand():
    # p = 0.925; spread (2.5^2 + 7.5^2 + 2.5^2 + 7.5^2) * 4/3 / 400^2 = 1.0417e-3, so 66.6 cases;
    # t with 399 and with 3 degrees of freedom: (1.96593 / 3.18245)^2 = 0.38160, so 25.41 cases.
    share = accuracy.clustered_share([90, 100, 95, 85], [100, 100, 100, 100])
    effective = 0.925 * 0.075 / (125 * 4 / 3 / 160_000) * (1.965927 / 3.182446) ** 2
    low, high = accuracy.binomial_interval(0.925 * effective, effective)
    assert (share.low, share.high) == pytest.approx((float(low), float(high)), abs=1e-4)
    assert (float(share.share), int(share.n)) == (0.925, 400)


def test_clusters_that_all_hit_count_once_each():
    share = accuracy.clustered_share([50, 80, 10], [50, 80, 10])
    assert (share.low, share.high) == accuracy.binomial_interval(3, 3)
    alone = accuracy.clustered_share([45], [50])
    assert alone.high - alone.low > 0.9  # one cluster tells next to nothing


def test_clustered_intervals_hold_where_binomial_ones_do_not():
    """Hours of a task hit together: its own share is Beta(9, 1), mean 0.9."""
    rng = np.random.default_rng(3)
    inside = {"clustered": 0, "binomial": 0}
    repeats = 300
    for _ in range(repeats):
        hits = rng.binomial(100, rng.beta(9, 1, size=30))
        share = accuracy.clustered_share(hits, np.full(30, 100))
        inside["clustered"] += bool(share.low <= 0.9 <= share.high)
        low, high = accuracy.binomial_interval(hits.sum(), 3000)
        inside["binomial"] += bool(low <= 0.9 <= high)
    assert inside["clustered"] / repeats >= 0.92
    assert inside["binomial"] / repeats < 0.6


# ---- naive forecasts ----------------------------------------------------------------------------


def test_seasonal_naive_repeats_the_last_season():
    assert accuracy.seasonal_naive([1.0, 2.0, 3.0], 5, 2).tolist() == [2, 3, 2, 3, 2]
    assert accuracy.seasonal_naive([1.0, 2.0, 3.0], 2, 1).tolist() == [3, 3]


def test_seasonal_indices_are_r_s():
    # The series ends in December, so phase 0 of the last 12 months is January.
    np.testing.assert_allclose(accuracy.seasonal_indices(PASSENGERS, 12), FIGURE, atol=5e-7)


def test_seasonal_indices_of_an_odd_season():
    series = 10 * np.tile([0.5, 1.0, 1.5], 6)
    np.testing.assert_allclose(accuracy.seasonal_indices(series, 3), [0.5, 1.0, 1.5])
    # One step later the last 3 steps begin with the middle phase.
    np.testing.assert_allclose(accuracy.seasonal_indices(series[:-2], 3), [1.0, 1.5, 0.5])


def test_the_seasonality_test_by_hand():
    # Alternating, T steps: r_1 = -(T - 1) / T and r_2 = (T - 2) / T. For T = 8 the limit is
    # 1.645 sqrt((1 + 2 * 0.7656) / 8) = 0.925 > 0.75; for T = 40 it is 0.443 < 0.95.
    assert not accuracy.is_seasonal(np.tile([1.0, 3.0], 4), 2)
    assert accuracy.is_seasonal(np.tile([1.0, 3.0], 20), 2)
    assert not accuracy.is_seasonal(np.full(40, 2.0), 2)  # no variance, no season
    assert not accuracy.is_seasonal(np.tile([1.0, 3.0], 2), 2)  # two seasons are too few
    assert not accuracy.is_seasonal(np.tile([1.0, 3.0], 20), 1)


def test_naive2_by_hand():
    seasonal = 4 * np.tile([0.5, 1.5], 20)  # indices 0.5 and 1.5, the last value 6 = 4 * 1.5
    np.testing.assert_allclose(accuracy.naive2(seasonal, 3, 2), [2, 6, 2])
    short = np.tile([1.0, 3.0], 4)  # not seasonal by the test above: the last value
    np.testing.assert_allclose(accuracy.naive2(short, 3, 2), [3, 3, 3])


def test_owa_by_hand():
    found = accuracy.owa(9.0, 0.9, naive2_smape=18.0, naive2_mase=3.0)
    assert found == pytest.approx((0.5 + 0.3) / 2)


# ---- bad input ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: accuracy.wape([1.0, 2.0], [1.0]), "as many steps"),
        (lambda: accuracy.pinball([1.0], [1.0], 95), "Did you mean 0.95"),
        (lambda: accuracy.pinball([1.0], [1.0], 0.0), "inside (0, 1)"),
        (lambda: accuracy.msis([1.0], [1.0], [2.0], scale=1.0, alpha=1.0), "alpha"),
        (lambda: accuracy.seasonal_scale([1.0, 2.0], 0), "1 or more steps"),
        (lambda: accuracy.seasonal_naive([1.0], 3, 24), "at least 24 steps"),
        (lambda: accuracy.seasonal_indices([1.0, 2.0, 3.0], 2), "at least 4 steps"),
        (lambda: accuracy.naive2([1.0, NAN, 2.0], 3, 1), "complete positive series"),
        (lambda: accuracy.naive2([1.0, 0.0, 2.0], 3, 1), "complete positive series"),
        (lambda: accuracy.binomial_interval(1, 2, level=95), "Did you mean 0.95"),
    ],
)
def test_bad_input_says_what_to_do(call, words):
    with pytest.raises(InputError, match=r"got .*; expected ") as error:
        call()
    assert words in str(error.value)


# ---- the published table ------------------------------------------------------------------------


@pytest.mark.real
def test_m4_hourly_rows_of_the_published_table(data_dir: Path):
    """Makridakis et al. (2020), Hourly: 414 series, 48 hours ahead."""
    folder = data_dir / "m4_hourly"
    train, test = (
        pd.read_csv(folder / f"Hourly-{part}.csv.gz", index_col=0).to_numpy(float)
        for part in ("train", "test")
    )
    length = (~np.isnan(train)).sum(axis=1)
    forecasts = {name: np.full(test.shape, NAN) for name in ("naive2", "snaive", "naive")}
    for steps in np.unique(length):
        rows = length == steps
        known = train[rows, :steps]
        forecasts["naive2"][rows] = accuracy.naive2(known, 48, 24)
        forecasts["snaive"][rows] = accuracy.seasonal_naive(known, 48, 24)
        forecasts["naive"][rows] = accuracy.seasonal_naive(known, 48, 1)
    scale = accuracy.seasonal_scale(train, 24)
    scores = {
        name: (
            float(accuracy.smape(test, forecast).mean()),
            float(accuracy.mase(test, forecast, scale=scale).mean()),
        )
        for name, forecast in forecasts.items()
    }
    rounded = {name: tuple(round(score, 3) for score in both) for name, both in scores.items()}
    assert rounded == {
        "naive2": (18.383, 2.395),
        "snaive": (13.912, 1.193),
        "naive": (43.003, 11.608),
    }
    smape, mase = scores["naive2"]
    assert round(accuracy.owa(*scores["snaive"], naive2_smape=smape, naive2_mase=mase), 3) == 0.628
