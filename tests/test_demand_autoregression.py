"""Batched autoregression against dense algebra, planted truth and what gaps and edges must do."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from capmodel.demand.autoregression import AutoregressionFit, extend_ar, fit_ar, fit_ar_at
from capmodel.errors import InputError

LAGS = (1, 2, 24, 30)
WEEK_LAGS = (1, 2, 3, 4, 23, 24, 25, 26, 48, 72, 144, 167, 168, 169)


def dense(z, *, lags, ridge, weight):
    """One series at a time: the ridge as extra rows of an ordinary least-squares problem."""
    seen = ~np.isnan(z)
    mean = np.average(z[seen], weights=weight[seen])
    variance = np.average((z[seen] - mean) ** 2, weights=weight[seen])
    d = z - mean
    t = np.arange(max(lags), len(z))
    x, y = np.stack([d[t - lag] for lag in lags], axis=1), d[t]
    rows = ~np.isnan(x).any(axis=1) & ~np.isnan(y)
    root = np.sqrt(weight[t][rows])
    system = np.vstack([x[rows] * root[:, None], np.eye(len(lags)) * np.sqrt(ridge * variance)])
    target = np.concatenate([y[rows] * root, np.zeros(len(lags))])
    return np.linalg.lstsq(system, target)[0], mean, rows.sum()


@pytest.fixture(scope="module")
def walks():
    """Five random walks far from zero, shape (500, 5)."""
    rng = np.random.default_rng(1)
    return 1000 + 3 * rng.standard_normal((500, 5)).cumsum(axis=0)


@pytest.mark.parametrize("gaps", [0.0, 0.03])
@pytest.mark.parametrize("is_weighted", [False, True])
def test_equals_dense_least_squares(walks, gaps, is_weighted):
    rng = np.random.default_rng(2)
    z = np.where(rng.random(walks.shape) < gaps, np.nan, walks)
    weight = rng.random(z.shape) if is_weighted else None
    fit = fit_ar(z, lags=LAGS, ridge=2.0, weight=weight)
    ones = np.ones(len(z))
    for s in range(z.shape[1]):
        by_row = ones if weight is None else weight[:, s]
        coefficients, mean, n_rows = dense(z[:, s], lags=LAGS, ridge=2.0, weight=by_row)
        np.testing.assert_allclose(fit.coefficients[s], coefficients, rtol=1e-8)
        assert fit.mean[s] == pytest.approx(mean, rel=1e-12)
        assert fit.n_rows[s] == n_rows
        assert fit.lowest[s] == np.nanmin(z[:, s])
        assert fit.highest[s] == np.nanmax(z[:, s])


def test_lags_come_in_any_order(walks):
    fit = fit_ar(walks, lags=(24, 1, 30, 2), ridge=1.0)
    assert fit.lags == LAGS
    np.testing.assert_array_equal(
        fit.coefficients, fit_ar(walks, lags=LAGS, ridge=1.0).coefficients
    )


@pytest.mark.parametrize("recent", [None, 200])
def test_one_pass_over_many_origins_equals_a_fit_of_each(walks, recent):
    rng = np.random.default_rng(3)
    z = np.where(rng.random(walks.shape) < 0.02, np.nan, walks)
    weight = rng.random(z.shape)
    origins = (25, 240, 400, 500)  # as of the first, no row has all its lags
    fit = fit_ar_at(z, lags=LAGS, ridge=2.0, origins=origins, recent=recent, weight=weight)
    for e, origin in enumerate(origins):
        span = slice(0 if recent is None else max(origin - recent, 0), origin)
        alone = fit_ar(z[span], lags=LAGS, ridge=2.0, weight=weight[span])
        own = slice(e * 5, e * 5 + 5)
        np.testing.assert_allclose(fit.coefficients[own], alone.coefficients, rtol=1e-8, atol=1e-12)
        np.testing.assert_allclose(fit.mean[own], alone.mean, rtol=1e-12)
        np.testing.assert_array_equal(fit.n_rows[own], alone.n_rows)
        np.testing.assert_array_equal(fit.highest[own], alone.highest)
    assert not fit.coefficients[:5].any()


def test_series_of_many_chunks_equal_series_alone(walks):
    many = np.tile(walks, (1, 40)) + np.arange(200)
    fit = fit_ar(many, lags=WEEK_LAGS, ridge=5.0)
    alone = fit_ar(np.ascontiguousarray(many[:, 150:151]), lags=WEEK_LAGS, ridge=5.0)
    np.testing.assert_allclose(fit.coefficients[150], alone.coefficients[0], rtol=1e-8)


def simulated(n_steps, n_series, *, burn=500):
    """x_t = 0.5 x_(t-1) + 0.4 x_(t-24) + e_t with standard normal e."""
    rng = np.random.default_rng(4)
    x = rng.standard_normal((burn + n_steps, n_series))
    for t in range(24, len(x)):
        x[t] += 0.5 * x[t - 1] + 0.4 * x[t - 24]
    return x[burn:]


def test_recovers_planted_coefficients_and_beats_the_mean():
    x = simulated(4024, 50)
    fit = fit_ar(x[:4000], lags=(1, 2, 24), ridge=1.0)
    # The standard error of one series' coefficient is below 1 / sqrt(4000) = 0.016.
    np.testing.assert_allclose(fit.coefficients.mean(axis=0), [0.5, 0.0, 0.4], atol=0.01)
    np.testing.assert_allclose(fit.coefficients, np.tile([0.5, 0.0, 0.4], (50, 1)), atol=0.07)
    miss = (extend_ar(fit, x[:4000], 24) - x[4000:]) ** 2
    variance = x.var()
    assert variance > 1.5
    # One step ahead only the planted noise is left, of variance 1 (50 draws: +- 0.4).
    assert 0.6 < miss[0].mean() < 1.4
    assert miss.mean() < 0.85 * variance


def test_a_sine_is_its_own_autoregression():
    """sin wt = 2 cos w sin w(t-1) - sin w(t-2): least squares finds it, Yule-Walker would not."""
    w = 2 * np.pi / 24
    z = np.sin(w * np.arange(96))[:, None]
    fit = fit_ar(z, lags=(1, 2), ridge=1e-9)
    np.testing.assert_allclose(fit.coefficients[0], [2 * np.cos(w), -1.0], atol=1e-6)
    ahead = np.sin(w * np.arange(96, 96 + 240))
    np.testing.assert_allclose(extend_ar(fit, z, 240)[:, 0], ahead, atol=1e-4)


def test_single_precision_is_close(walks):
    double = fit_ar(walks, lags=WEEK_LAGS, ridge=5.0)
    single = fit_ar(walks.astype(np.float32), lags=WEEK_LAGS, ridge=5.0)
    np.testing.assert_allclose(single.coefficients, double.coefficients, atol=2e-3)


@given(shift=st.floats(-1e4, 1e4), factor=st.sampled_from([-3.0, 1e-3, 0.5, 20.0]))
def test_shifted_and_scaled_series_have_shifted_and_scaled_forecasts(shift, factor):
    z = np.random.default_rng(5).standard_normal((120, 3)).cumsum(axis=0)
    z[7, 1] = np.nan
    plain, moved = (fit_ar(x, lags=(1, 2, 24), ridge=3.0) for x in (z, shift + factor * z))
    expected = shift + factor * extend_ar(plain, z, 12)
    got = extend_ar(moved, shift + factor * z, 12)
    np.testing.assert_allclose(got, expected, rtol=1e-6, atol=1e-6 * abs(factor))


def test_constant_unseen_and_short_series_stand_beside_others(walks):
    z = walks[:, :4].copy()
    z[:, 1], z[:, 2], z[10:, 3] = 7.0, np.nan, np.nan
    fit = fit_ar(z, lags=LAGS, ridge=1.0)
    alone = fit_ar(walks[:, :1].copy(), lags=LAGS, ridge=1.0)
    np.testing.assert_allclose(fit.coefficients[0], alone.coefficients[0], rtol=1e-8)
    np.testing.assert_allclose(fit.coefficients[1:], 0.0, atol=1e-12)
    np.testing.assert_array_equal(fit.n_rows[2:], 0)
    path = extend_ar(fit, z[-30:], 5)
    np.testing.assert_allclose(path[:, 1], 7.0, rtol=1e-12)
    assert np.isnan(path[:, 2]).all()
    np.testing.assert_allclose(path[:, 3], walks[:10, 3].mean(), rtol=1e-12)


def test_a_later_jump_does_not_unsettle_the_forecast_before_it():
    """Products are taken about the mean of the whole series; what that rounds off is bounded."""
    z = np.repeat([0.1, 1e6], 100)[:, None]
    fit = fit_ar_at(z, lags=(1, 2), ridge=1.0, origins=(90, 200))
    path = extend_ar(fit, np.stack([z[88:90, 0], z[198:, 0]], axis=1), 48)
    np.testing.assert_allclose(path[:, 0], 0.1, atol=1e-9)
    assert path[0, 1] > 0.99e6


def test_fewer_steps_than_the_largest_lag_forecast_the_mean():
    z = np.arange(20.0)[:, None]
    fit = fit_ar(z, lags=(1, 24), ridge=1.0)
    assert fit.n_rows[0] == 0
    np.testing.assert_allclose(extend_ar(fit, np.full((24, 1), np.nan), 3), 9.5)


def planted(coefficients, *, lowest=-1.0, highest=2.0):
    return AutoregressionFit(
        lags=tuple(range(1, len(coefficients) + 1)),
        coefficients=np.array([coefficients]),
        mean=np.zeros(1),
        lowest=np.array([lowest]),
        highest=np.array([highest]),
        n_rows=np.array([100]),
    )


def test_an_explosive_fit_stays_within_its_bound():
    up = extend_ar(planted([3.0]), np.array([[1.0]]), 500)
    down = extend_ar(planted([3.0]), np.array([[-1.0]]), 500, bound=1.5)
    np.testing.assert_array_equal(up[:3, 0], [3.0, 4.0, 4.0])  # twice the highest
    assert up.max() == 4.0
    assert down.min() == down[-1, 0] == -1.5


def test_damping_returns_to_the_mean():
    path = extend_ar(planted([1.0]), np.array([[1.0]]), 3, damp=0.5)
    np.testing.assert_allclose(path[:, 0], [0.5, 0.25, 0.125])
    assert not extend_ar(planted([1.0]), np.array([[1.0]]), 3, damp=0.0).any()


def test_a_gap_in_the_tail_counts_as_the_mean():
    fit = planted([0.5, 0.25])
    np.testing.assert_allclose(extend_ar(fit, np.array([[1.0], [np.nan]]), 1), [[0.25]])
    assert extend_ar(fit, np.ones((9, 1)), 0).shape == (0, 1)


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"lags": ()}, "lags"),
        ({"lags": (0, 1)}, "lags"),
        ({"lags": (1, 1)}, "lags"),
        ({"ridge": 0.0}, "ridge"),
        ({"ridge": np.nan}, "ridge"),
        ({"weight": np.ones((3, 1))}, "weight"),
        ({"weight": np.full((50, 1), -1.0)}, "weight"),
        ({"origins": (40, 20)}, "origins"),
        ({"origins": (51,)}, "origins"),
        ({"z": np.ones(50)}, "shape (T, S)"),
        ({"z": np.ones((50, 1), dtype=int)}, "float64 or float32"),
        ({"z": np.full((50, 1), np.inf)}, "infinite"),
    ],
)
def test_bad_arguments_are_named(changed, named):
    z = changed.pop("z", np.ones((50, 1)))
    arguments = {"lags": (1,), "ridge": 1.0, "origins": (50,), **changed}
    with pytest.raises(InputError, match="autoregression") as caught:
        fit_ar_at(z, **arguments)
    assert named in str(caught.value)


def test_all_bad_arguments_of_a_forecast_are_named_together():
    with pytest.raises(InputError) as caught:
        extend_ar(planted([1.0, 0.0]), np.ones((1, 1)), -1, damp=2.0, bound=0.5)
    assert len(caught.value.problems) == 4


@pytest.mark.slow
def test_fourteen_lags_of_forty_days_cost_a_fifth_of_a_millisecond():
    z = np.random.default_rng(6).standard_normal((960, 400)).cumsum(axis=0)
    costs = []
    for _ in range(3):
        started = time.process_time()
        extend_ar(fit_ar(z, lags=WEEK_LAGS, ridge=5.0), z[-169:], 48)
        costs.append((time.process_time() - started) / z.shape[1] * 1e3)
    assert min(costs) <= 0.2
