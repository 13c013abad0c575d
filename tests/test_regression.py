"""Kernels of robust regression: published values, planted truth, properties."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from capmodel.regression import (
    BISQUARE_C,
    change_points,
    group_median,
    huber_nnls,
    long_run_scale,
    mm_nnls,
    nnls,
    remaining_share,
    sandwich_covariance,
)
from capmodel.regression.lines import _reason_to_keep

# Worked by hand in fractions; OLS of the same rows has a negative last coefficient.
ACTIVE = np.array(
    [
        [1.0, 10, 2, 1],
        [1.0, 20, 3, 0],
        [1.0, 30, 8, 2],
        [1.0, 40, 7, 1],
        [1.0, 50, 13, 3],
        [1.0, 60, 11, 2],
    ]
)
ACTIVE_Y = np.array([0.712, 0.85, 1.02, 1.24, 1.49, 1.5])

# Brownlee (1965), Statistical Theory and Methodology, p. 454: air flow, water temperature, acid
# concentration, stack loss.
STACKLOSS = np.array(
    [
        [80, 27, 89, 42], [80, 27, 88, 37], [75, 25, 90, 37], [62, 24, 87, 28], [62, 22, 87, 18],
        [62, 23, 87, 18], [62, 24, 93, 19], [62, 24, 93, 20], [58, 23, 87, 15], [58, 18, 80, 14],
        [58, 18, 89, 14], [58, 17, 88, 13], [58, 18, 82, 11], [58, 19, 93, 12], [50, 18, 89, 8],
        [50, 18, 86, 7], [50, 19, 72, 8], [50, 19, 79, 8], [50, 20, 80, 9], [56, 20, 82, 15],
        [70, 20, 91, 15],
    ],
    dtype=float,
)  # fmt: skip


def ar1(rng: np.random.Generator, n: int, *, phi: float, sd: float) -> np.ndarray:
    noise = rng.normal(0, sd * np.sqrt(1 - phi**2), n)
    noise[0] = rng.normal(0, sd)
    for i in range(1, n):
        noise[i] += phi * noise[i - 1]
    return noise


def test_nnls_with_an_active_constraint() -> None:
    value = nnls(ACTIVE, ACTIVE_Y)
    expected = [52404 / 99125, 26061 / 1982500, 317 / 15860, 0]
    np.testing.assert_allclose(value, expected, rtol=1e-12, atol=1e-15)
    residual = np.linalg.norm(ACTIVE @ value - ACTIVE_Y)
    np.testing.assert_allclose(residual, 0.09760951104092995, rtol=1e-12)


def test_ordinary_least_squares_of_the_same_rows() -> None:
    expected = [13921 / 26100, 7897 / 652500, 207 / 7250, -1349 / 65250]
    np.testing.assert_allclose(nnls(ACTIVE, ACTIVE_Y, nonnegative=False), expected, rtol=1e-11)


@pytest.mark.parametrize("relative", [True, False])
def test_exact_rows_are_recovered(*, relative: bool) -> None:
    truth = np.array([0.5, 0.010, 0.040, 0.002])
    fit = huber_nnls(ACTIVE, ACTIVE @ truth, relative=relative)
    np.testing.assert_allclose(fit.value, truth, rtol=1e-12)
    assert fit.converged


def test_least_squares_on_stackloss() -> None:
    # The textbook values (R, lm(stack.loss ~ .)).
    design = np.column_stack([np.ones(21), STACKLOSS[:, :3]])
    value = nnls(design, STACKLOSS[:, 3], nonnegative=False)
    np.testing.assert_allclose(value, [-39.919674, 0.715640, 1.295286, -0.152123], atol=5e-7)


def test_huber_on_stackloss() -> None:
    # R, MASS::rlm(stack.loss ~ ., psi = psi.huber, k = 1.345) and statsmodels RLM.
    design = np.column_stack([np.ones(21), STACKLOSS[:, :3]])
    fit = huber_nnls(
        design,
        STACKLOSS[:, 3],
        relative=False,
        nonnegative=False,
        max_iterations=500,
        tolerance=1e-12,
    )
    np.testing.assert_allclose(
        fit.value, [-41.026498, 0.829384, 0.926066, -0.127847], rtol=0, atol=1e-6
    )
    assert fit.scale == pytest.approx(2.440536, abs=1e-6)


def test_outliers_move_plain_nnls_and_not_the_robust_fit() -> None:
    rng = np.random.default_rng(1)
    rps = rng.uniform(5, 60, 3000)
    design = np.column_stack([np.ones(3000), rps])
    y = (0.4 + 0.085 * rps) * rng.gamma(400, 1 / 400, 3000)  # 5 %, skewed: not the fitted form
    bad = rng.random(3000) < 0.05
    y[bad] *= rng.uniform(1.5, 3, bad.sum())
    plain = nnls(design, y) @ [1, 50]
    robust = huber_nnls(design, y).value @ [1, 50]
    truth = 0.4 + 0.085 * 50
    assert plain / truth - 1 > 0.04
    assert abs(robust / truth - 1) < 0.006


COST = np.array([0.05, 0.085])  # per pod and per request


def hours(rng: np.random.Generator, days: int = 60) -> np.ndarray:
    """Return pods and requests of hours whose trough is at the 18th."""
    rps = 33 + 22 * np.sin(np.arange(24 * days) * np.pi / 12)
    rps *= rng.lognormal(0, 0.08, len(rps))
    return np.column_stack([np.maximum(4, np.ceil(rps / 12)), rps])


def batch(n: int) -> np.ndarray:
    """Return which rows a nightly job lifts: one in twelve, at the lowest loads."""
    return np.isin(np.arange(n) % 24, [18, 19])


@pytest.mark.parametrize("lift", [1.2, 12.0])
def test_a_nightly_batch_biases_huber_and_not_the_bisquare_step(lift: float) -> None:
    found: dict[str, list[np.ndarray]] = {"huber": [], "mm": []}
    for seed in range(10):
        rng = np.random.default_rng(seed)
        design = hours(rng)
        job = batch(len(design))
        y = design @ COST * np.exp(rng.normal(0, 0.03, len(design))) + lift * job
        found["huber"].append(huber_nnls(design, y).value)
        fit = mm_nnls(design, y)
        found["mm"].append(fit.value)
        assert (fit.family, fit.huber_kept, fit.converged) == ("bisquare", "", True)
        assert fit.weights[job].max() == 0
        assert fit.weights[~job].mean() > 0.9
    error = {name: np.mean(values, axis=0) / COST - 1 for name, values in found.items()}
    assert error["huber"][1] < -0.02
    assert abs(error["mm"][1]) < 0.005


def test_the_bisquare_step_minimises_its_loss_at_huber_s_scale() -> None:
    design = np.column_stack([np.ones(21), STACKLOSS[:, :3]])
    y = STACKLOSS[:, 3]
    start, fit = (
        line(design, y, relative=False, nonnegative=False, max_iterations=500, tolerance=1e-12)
        for line in (huber_nnls, mm_nnls)
    )
    assert (fit.family, fit.scale) == ("bisquare", start.scale)

    def loss(value: np.ndarray) -> float:
        u = (y - design @ value) / (BISQUARE_C * start.scale)
        return float(np.sum(1 - np.maximum(1 - u**2, 0) ** 3))

    least = minimize(
        loss,
        start.value,
        method="Nelder-Mead",
        options={"xatol": 1e-10, "fatol": 1e-14, "maxiter": 20000, "maxfev": 20000},
    )
    np.testing.assert_allclose(fit.value, least.x, rtol=1e-5)


def test_clean_rows_are_fitted_as_well_as_by_huber() -> None:
    error: dict[str, list[np.ndarray]] = {"huber": [], "mm": []}
    for seed in range(40):
        rng = np.random.default_rng(seed)
        design = hours(rng, days=30)
        y = design @ COST * np.exp(rng.normal(0, 0.03, len(design)))
        for name, fit in (("huber", huber_nnls(design, y)), ("mm", mm_nnls(design, y))):
            error[name].append(fit.value / COST - 1)
    spread = {name: np.sqrt(np.mean(np.square(values), axis=0)) for name, values in error.items()}
    np.testing.assert_allclose(spread["mm"], spread["huber"], rtol=0.05)


@pytest.mark.parametrize("sd", [0.005, 0.01])
def test_a_load_test_off_the_line_is_not_rejected(sd: float) -> None:
    rng = np.random.default_rng(1)
    design = hours(rng)
    test = np.arange(len(design)) % 50 == 0  # 2 % of the rows, at three times the load
    design[test] = np.column_stack([np.full(test.sum(), 9), rng.uniform(150, 165, test.sum())])
    y = design @ COST * np.exp(rng.normal(0, sd, len(design))) * np.where(test, 1.08, 1)
    fit, huber = mm_nnls(design, y), huber_nnls(design, y)
    assert (fit.family, fit.huber_kept) == ("huber", "top_rows")
    np.testing.assert_array_equal(fit.value, huber.value)
    assert fit.weights[test].min() > 0


@pytest.mark.parametrize("sd", [0.005, 0.01, 0.03])
def test_a_bend_at_the_top_moves_the_bisquare_line_as_it_moves_huber_s(sd: float) -> None:
    rng = np.random.default_rng(2)
    design = hours(rng)
    bend = 1 + 0.08 * np.clip(design[:, 1] / design[:, 1].max() / 0.3 - 0.7 / 0.3, 0, 1)
    y = design @ COST * bend * np.exp(rng.normal(0, sd, len(design)))
    fit, huber = mm_nnls(design, y), huber_nnls(design, y)
    top = design[np.argsort(design[:, 1])[-20:]].mean(axis=0)
    assert top @ fit.value == pytest.approx(top @ huber.value, rel=0.0005)
    assert fit.weights[np.argsort(design[:, 1])[-20:]].mean() > 0.1


def test_the_bisquare_step_says_why_it_does_not_stand() -> None:
    rng = np.random.default_rng(3)
    design = hours(rng)
    y = design @ COST * np.exp(rng.normal(0, 0.03, len(design))) + 1.2 * batch(len(design))
    short = mm_nnls(design, y, max_iterations=2)
    assert (short.family, short.huber_kept) == ("huber", "not_converged")
    weights = np.ones(100)
    weights[:51] = 0
    assert _reason_to_keep(np.arange(100.0), weights, converged=True) == "too_few_rows"
    assert _reason_to_keep(np.arange(100.0), 1 - weights, converged=True) == "top_rows"
    assert _reason_to_keep(np.arange(100.0), np.ones(100), converged=True) == ""


def test_idle_rows_do_not_take_over() -> None:
    # Rows that idle at a ten-thousandth of the others would have 10⁸ times their weight.
    rng = np.random.default_rng(2)
    rps = np.where(rng.random(500) < 0.5, 1e-3, rng.uniform(20, 60, 500))
    y = 0.085 * rps * np.exp(rng.normal(0, 0.03, 500)) + np.where(rps < 1, 0.0005, 0)
    fit = huber_nnls(rps[:, None], y)
    assert fit.value[0] == pytest.approx(0.085, rel=0.01)


@settings(max_examples=30, deadline=None)
@given(
    scale=st.floats(1e-4, 1e4),
    unit=st.floats(1e-3, 1e3),
    order=st.permutations([0, 1, 2]),
    seed=st.integers(0, 1000),
)
def test_units_and_order_of_loads_change_only_their_coefficients(
    scale: float, unit: float, order: list[int], seed: int
) -> None:
    rng = np.random.default_rng(seed)
    design = np.column_stack([np.ones(200), rng.uniform(1, 9, 200), rng.uniform(1, 9, 200)])
    y = design @ [0.3, 0.1, 0.02] * np.exp(rng.normal(0, 0.05, 200))
    value = huber_nnls(design, y, tolerance=1e-12).value
    other = huber_nnls((design * [1, scale, 1])[:, order], y * unit, tolerance=1e-12).value
    expected = (value * unit / [1, scale, 1])[order]
    np.testing.assert_allclose(other, expected, rtol=1e-6, atol=1e-9 * expected.max())


def test_remaining_share_is_one_minus_the_uncentred_r2() -> None:
    x = np.random.default_rng(0).normal(size=(50, 3))
    solved = np.linalg.lstsq(x[:, 1:], x[:, 0], rcond=None)[0]
    left = np.sum((x[:, 0] - x[:, 1:] @ solved) ** 2) / np.sum(x[:, 0] ** 2)
    np.testing.assert_allclose(remaining_share(x)[0], left, rtol=1e-12)
    np.testing.assert_allclose(remaining_share(np.eye(3)), 1)
    assert remaining_share(np.column_stack([x[:, 0], np.zeros(50)])).tolist() == [1.0, 0.0]


def test_independent_rows_get_the_textbook_covariance() -> None:
    rng = np.random.default_rng(5)
    design = np.column_stack([np.ones(20000), rng.uniform(1, 9, 20000)])
    y = design @ [5.0, 1.0] + rng.normal(0, 0.2, 20000)
    textbook = np.linalg.inv(design.T @ design) * 0.2**2 / 0.95  # both have 95 % efficiency
    for fit in (huber_nnls(design, y, relative=False), mm_nnls(design, y, relative=False)):
        np.testing.assert_allclose(sandwich_covariance(design, y, fit), textbook, rtol=0.05)


@pytest.mark.slow
@pytest.mark.parametrize("lift", [0.0, 1.2])
@pytest.mark.parametrize(("phi", "days"), [(0.0, 30), (0.8, 30), (0.8, 120)])
def test_intervals_by_day_hold_under_autocorrelated_noise_and_batches(
    phi: float, days: int, lift: float
) -> None:
    day = np.arange(24 * days) // 24
    inside: list[np.ndarray] = []
    naive: list[np.ndarray] = []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        design = hours(rng, days)
        y = design @ COST * np.exp(ar1(rng, 24 * days, phi=phi, sd=0.03))
        y += lift * batch(24 * days)
        fit = mm_nnls(design, y)
        for store, group in ((inside, day), (naive, None)):
            sd = np.sqrt(np.diag(sandwich_covariance(design, y, fit, day=group)))
            store.append(np.abs(fit.value - COST) <= 2.05 * sd)
    assert np.mean(inside) >= 0.90
    if phi:
        assert np.mean(naive) < 0.80


def test_group_median_is_that_of_pandas() -> None:
    rng = np.random.default_rng(0)
    group = rng.integers(0, 40, 500)
    values = rng.normal(size=500)
    expected = pd.Series(values).groupby(group).median().reindex(range(41)).to_numpy()
    np.testing.assert_array_equal(group_median(values, group, 41), expected)
    few = group_median(values, group, 41, min_count=500)
    assert np.isnan(few).all()


@pytest.mark.parametrize("phi", [0.0, 0.3, 0.6])
def test_long_run_scale_ignores_steps_and_outliers(phi: float) -> None:
    expected = 0.02 * np.sqrt((1 + phi) / (1 - phi))
    found = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        x = ar1(rng, 400, phi=phi, sd=0.02)
        x[200:] += 0.2
        x[::50] += 0.5
        found.append(long_run_scale(x))
    assert np.median(found) == pytest.approx(expected, rel=0.25)


@pytest.mark.parametrize("size", [0.08, -0.08, 0.18])
def test_a_step_is_dated_and_sized(size: float) -> None:
    for seed in range(20):
        rng = np.random.default_rng(seed)
        x = rng.standard_t(4, 200) * 0.01 + 0.005 * (np.arange(200) % 7 == 6)  # heavy, weekly
        x[140:] += size
        x[[20, 90, 160]] += 0.6
        x[[30, 31, 32, 150]] = np.nan
        steps = change_points(x, min_size=0.05)
        assert [abs(step.index - 140) <= 2 for step in steps] == [True]
        assert abs(steps[0].size - size) < 0.01
        assert steps[0].se < 0.01


def test_several_steps_and_a_return() -> None:
    x = np.random.default_rng(0).normal(0, 0.01, 300)
    x[100:] += 0.10
    x[180:] -= 0.10
    x[250:] += 0.20
    steps = change_points(x, min_size=0.05)
    assert [step.index for step in steps] == [100, 180, 250]
    np.testing.assert_allclose([step.size for step in steps], [0.10, -0.10, 0.20], atol=0.01)


def test_no_step_is_read_into_noise_blips_or_small_steps() -> None:
    for seed in range(60):
        rng = np.random.default_rng(seed)
        x = ar1(rng, 700, phi=0.6, sd=0.03)
        x[300:304] += 0.5  # four bad days
        x[500:] += 0.02  # real, below the size asked for
        assert change_points(x, min_size=0.05) == ()
    assert change_points(np.full(15, np.nan), min_size=0.05) == ()
    assert change_points(np.zeros(100), min_size=0.05) == ()
