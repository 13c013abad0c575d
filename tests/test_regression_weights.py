"""Rows that count for many, coefficients known from before, coefficients that wander."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from capmodel.regression import (
    HUBER_K,
    RobustFit,
    coefficient_drift,
    huber_nnls,
    mm_nnls,
    nnls,
    sandwich_covariance,
    scaled_mad,
)


def planted(seed: int, rows: int = 240, *, sd: float = 0.05) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    design = np.column_stack(
        [np.full(rows, 3.0), rng.uniform(5, 60, rows), rng.uniform(1, 20, rows)]
    )
    y = design @ [0.1, 0.03, 0.05] * (1 + sd * rng.standard_t(5, rows))
    y[rng.random(rows) < 0.04] *= 2
    return design, y


def lines(design: np.ndarray, y: np.ndarray, weight: np.ndarray | None = None) -> list[RobustFit]:
    return [
        fit(design, y, row_weight=weight, tolerance=1e-12, max_iterations=500)
        for fit in (huber_nnls, mm_nnls)
    ]


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), order=st.permutations([0, 1, 2, 3]), unit=st.floats(1e-3, 1e3))
def test_order_units_and_silent_classes_change_only_their_own_coefficients(
    seed: int, order: list[int], unit: float
) -> None:
    design, y = planted(seed)
    silent = np.column_stack([design * [1, unit, 1], np.zeros(len(y))])[:, order]
    for plain, other in zip(lines(design, y), lines(silent, y), strict=True):
        expected = np.append(plain.value / [1, unit, 1], 0.0)[order]
        np.testing.assert_allclose(other.value, expected, rtol=1e-8, atol=1e-10 * expected.max())
        assert other.scale == pytest.approx(plain.scale, rel=1e-8)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_a_weight_of_two_is_a_row_twice_and_a_weight_of_none_no_row(seed: int) -> None:
    design, y = planted(seed)
    weight = np.random.default_rng(seed).integers(0, 4, len(y)).astype(float)
    many = np.repeat(np.arange(len(y)), weight.astype(int))
    weighed = lines(design, y, weight)
    for one, other in zip(weighed, lines(design[many], y[many]), strict=True):
        np.testing.assert_allclose(one.value, other.value, rtol=1e-8, atol=1e-12)
        assert one.scale == pytest.approx(other.scale, rel=1e-8)
        assert (one.family, one.huber_kept) == (other.family, other.huber_kept)


def test_the_weighted_median_is_that_of_repeated_values() -> None:
    rng = np.random.default_rng(4)
    for n in (1, 2, 7, 50):
        values, times = rng.normal(size=n), rng.integers(0, 3, n)
        times[0] = 1
        repeated = np.repeat(values, times)
        for center in (0.0, None):
            found = scaled_mad(values, center=center, weight=times.astype(float))
            assert found == pytest.approx(scaled_mad(repeated, center=center), rel=1e-14)


def test_weights_are_no_evidence_of_their_own() -> None:
    design, y = planted(1)
    day = np.arange(len(y)) // 10
    for groups in (day, None):
        one, ten = (
            sandwich_covariance(
                design, y, mm_nnls(design, y, row_weight=weight), day=groups, row_weight=weight
            )
            for weight in (None, np.full(len(y), 10.0))
        )
        np.testing.assert_allclose(ten, one, rtol=1e-6)


def test_rows_twice_on_a_day_weigh_as_a_weight_of_two() -> None:
    design, y = planted(2)
    weight = np.where(np.arange(len(y)) % 3 == 0, 2.0, 1.0)
    many = np.repeat(np.arange(len(y)), weight.astype(int))
    day = np.arange(len(y)) // 8
    one, other = lines(design, y, weight)[1], lines(design[many], y[many])[1]
    ours = sandwich_covariance(design, y, one, day=day, row_weight=weight)
    theirs = sandwich_covariance(design[many], y[many], other, day=day[many])
    t, n, k = len(y), len(many), design.shape[1]
    factor = ((t - 1) / (t - k)) / ((n - 1) / (n - k))
    np.testing.assert_allclose(ours, theirs * factor, rtol=1e-6)


def test_days_out_of_order_give_the_same_covariance() -> None:
    design, y = planted(3)
    day = np.arange(len(y)) // 6
    mixed = np.random.default_rng(0).permutation(len(y))
    fit, other = mm_nnls(design, y), mm_nnls(design[mixed], y[mixed])
    np.testing.assert_allclose(
        sandwich_covariance(design[mixed], y[mixed], other, day=day[mixed]),
        sandwich_covariance(design, y, fit, day=day),
        rtol=1e-5,
    )


def test_an_infinite_prior_sd_is_no_prior_and_a_tiny_one_the_prior() -> None:
    design, y = planted(5)
    before = np.array([0.2, 0.01, 0.09])
    for fit in (huber_nnls, mm_nnls):
        free, vague, certain = (
            fit(design, y, prior=prior, prior_sd=sd)
            for prior, sd in ((None, None), (before, np.full(3, np.inf)), (before, before * 1e-9))
        )
        np.testing.assert_array_equal(vague.value, free.value)
        np.testing.assert_allclose(certain.value, before, rtol=1e-9)
        np.testing.assert_allclose(
            np.sqrt(np.diag(sandwich_covariance(design, y, certain, prior_sd=before * 1e-9))),
            before * 1e-9,
            rtol=1e-6,
        )


def test_one_coefficient_known_exactly_leaves_the_others_their_intervals() -> None:
    design, y = planted(11, rows=2000)
    fixed = np.array([np.inf, 0.03e-9, np.inf])
    fit = mm_nnls(design, y, prior=np.array([0, 0.03, 0]), prior_sd=fixed)
    covariance = sandwich_covariance(design, y, fit, prior_sd=fixed)
    rest = mm_nnls(design[:, [0, 2]], y - 0.03 * design[:, 1], relative=False, nonnegative=False)
    assert fit.value[1] == pytest.approx(0.03, rel=1e-9)
    np.testing.assert_allclose(fit.value[[0, 2]], rest.value, rtol=0.03)
    spread = np.sqrt(np.diag(covariance))
    assert spread[1] == pytest.approx(0.03e-9, rel=1e-6)
    free = np.sqrt(np.diag(sandwich_covariance(design, y, mm_nnls(design, y))))
    assert np.all((spread[[0, 2]] > 0.3 * free[[0, 2]]) & (spread[[0, 2]] < 1.02 * free[[0, 2]]))


def test_the_line_with_a_prior_is_the_mode_of_the_posterior() -> None:
    design, y = planted(6)
    before, sd = np.array([0.12, 0.028, 0.06]), np.array([0.02, 0.0004, 0.002])
    fit = huber_nnls(design, y, relative=False, prior=before, prior_sd=sd, tolerance=1e-12)

    def loss(units: np.ndarray) -> float:
        u = np.abs(y - design @ (units * before)) / fit.scale
        rho = np.where(u <= HUBER_K, u**2 / 2, HUBER_K * (u - HUBER_K / 2))
        return float(np.sum(rho) + np.sum(((units * before - before) / sd) ** 2) / 2)

    least = minimize(loss, np.ones(3), method="BFGS", options={"gtol": 1e-7})
    np.testing.assert_allclose(fit.value, least.x * before, rtol=1e-6)
    free = huber_nnls(design, y, relative=False)
    assert np.all(np.abs(fit.value - before) < np.abs(free.value - before))


def test_a_class_without_traffic_keeps_the_coefficient_of_the_previous_release() -> None:
    design, y = planted(7)
    design[:, 2] = 0
    y = design @ [0.1, 0.03, 0] * np.exp(np.random.default_rng(0).normal(0, 0.05, len(y)))
    before, sd = np.array([0.1, 0.03, 0.07]), np.array([np.inf, np.inf, 0.01])
    fit = mm_nnls(design, y, prior=before, prior_sd=sd)
    covariance = sandwich_covariance(design, y, fit, prior_sd=sd)
    assert fit.value[2] == pytest.approx(0.07, rel=1e-9)
    assert covariance[2, 2] == pytest.approx(0.01**2, rel=1e-9)
    np.testing.assert_allclose(fit.value[:2], mm_nnls(design[:, :2], y).value, rtol=1e-7)


def test_a_prior_tells_apart_loads_that_move_together() -> None:
    truth, before = np.array([0.04, 0.09]), np.array([0.042, 0.086])
    error: dict[str, list[float]] = {"free": [], "prior": []}
    for seed in range(20):
        rng = np.random.default_rng(seed)
        rps = rng.uniform(20, 80, 400)
        design = np.column_stack([rps, rps * 0.2 * np.exp(rng.normal(0, 0.01, 400))])
        y = design @ truth * rng.gamma(400, 1 / 400, 400)
        for name, sd in (("free", np.inf), ("prior", 0.05)):
            value = mm_nnls(design, y, prior=before, prior_sd=before * sd).value
            error[name].append(abs(np.array([50.0, 30.0]) @ (value / truth - 1) / 80))
    assert np.mean(error["prior"]) < 0.3 * np.mean(error["free"])
    assert np.max(error["prior"]) < 0.06


def test_many_rows_are_fitted_as_their_balance_says() -> None:
    # 20,160 rows start from a stride through them; the line still solves Σ ψ(r) x/ŷ = 0 of all.
    design, y = planted(8, rows=20_160)
    for fit in lines(design, y):
        u = (y - fit.fitted) / fit.fitted / fit.cut
        pull = np.clip(u, -1, 1) if fit.family == "huber" else u * np.maximum(1 - u**2, 0) ** 2
        balance = (
            (pull / fit.fitted) @ design / np.linalg.norm(design / fit.fitted[:, None], axis=0)
        )
        assert np.abs(balance).max() < 1e-9
        assert fit.converged


@pytest.mark.parametrize("factor", [0.0, 0.7, 1.3, 10.0])
def test_the_start_decides_nothing_but_time(factor: float) -> None:
    design, y = planted(12, rows=2000)
    for fit in (huber_nnls, mm_nnls):
        cold = fit(design, y, tolerance=1e-12)
        warm = fit(design, y, tolerance=1e-12, start=cold.value * factor)
        np.testing.assert_allclose(warm.value, cold.value, rtol=1e-9)
    rough = huber_nnls(design, y, tolerance=1e-4)
    assert huber_nnls(design, y, start=rough.value).iterations <= 3


def test_loads_that_move_as_one_are_still_fitted() -> None:
    design, y = planted(9)
    double = np.column_stack([design, design[:, 1] * 2])
    plain, other = mm_nnls(design, y), mm_nnls(double, y)
    np.testing.assert_allclose(other.fitted, plain.fitted, rtol=1e-5)
    assert other.value.min() >= 0


def test_least_squares_on_stackloss_and_under_a_bound_agree_with_plain_nnls() -> None:
    # A cut beyond all residuals makes the M-estimate least squares; the bound is then active.
    active = np.array(
        [[1, 10, 2, 1], [1, 20, 3, 0], [1, 30, 8, 2], [1, 40, 7, 1], [1, 50, 13, 3], [1, 60, 11, 2]]
    )
    y = np.array([0.712, 0.85, 1.02, 1.24, 1.49, 1.5])
    fit = huber_nnls(active, y, k=1e6, relative=False)
    expected = [52404 / 99125, 26061 / 1982500, 317 / 15860, 0]
    np.testing.assert_allclose(fit.value, expected, rtol=1e-11, atol=1e-15)
    np.testing.assert_allclose(fit.value, nnls(active.astype(float), y), rtol=1e-11, atol=1e-15)


def test_the_scalar_filter_s_table() -> None:
    # D0 = 0.005, P0 = 1e-6, Q = 1e-8, R = 4e-4; worked with 30 digits.
    drift = coefficient_drift(
        np.array([[100.0], [120.0], [95.0], [138.0], [140.0]]),
        np.array([0.52, 0.61, 0.48, 0.70, 0.90]),
        start=np.array([0.005]),
        start_variance=np.array([1e-6]),
        step_variance=np.array([1e-8]),
        noise_variance=4e-4,
    )
    table = np.array(
        [
            [0.00519238095238095, 3.84761904761905e-8, 0.02, 0.0105, 0.1951800146],
            [0.00512305717457674, 1.76588953649736e-8, -0.0130857142857, 0.00109805714286,
             -0.3948980261],
            [0.0050959956562167, 1.70307750338844e-8, -0.00669043158479, 0.000649621530669,
             -0.2624967488],
            [0.00508275347291707, 1.18196506142416e-8, -0.00324740055791, 0.000914774079745,
             -0.1073690068],
            [0.00577815479457946, 1.05451585392881e-8, 0.188414513792, 0.000827665152039,
             6.549181388],
        ]
    )  # fmt: skip
    np.testing.assert_allclose(drift.value[:, 0], table[:, 0], rtol=1e-14)
    np.testing.assert_allclose(drift.covariance[:, 0, 0], table[:, 1], rtol=1e-14)
    # The table prints 12 digits of these, 10 of z.
    np.testing.assert_allclose(drift.innovation, table[:, 2], rtol=5e-12)
    np.testing.assert_allclose(drift.innovation_variance, table[:, 3], rtol=5e-12)
    np.testing.assert_allclose(drift.z, table[:, 4], rtol=5e-10)
    assert drift.alarms.tolist() == [4]


def test_a_filter_without_steps_is_bayesian_least_squares() -> None:
    design, y = planted(10)
    start, variance = np.array([0.2, 0.01, 0.09]), np.array([0.1, 0.01, 0.01]) ** 2
    drift = coefficient_drift(
        design, y, start=start, start_variance=variance, step_variance=np.zeros(3),
        noise_variance=0.04,
    )  # fmt: skip
    precision = np.diag(1 / variance) + design.T @ design / 0.04
    mode = np.linalg.solve(precision, start / variance + design.T @ y / 0.04)
    np.testing.assert_allclose(drift.value[-1], mode, rtol=1e-9)
    np.testing.assert_allclose(drift.covariance[-1], np.linalg.inv(precision), rtol=1e-8)
