"""Rows held at a limit: published values, planted caps under noise of several forms, intervals."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.stats import norm

from capmodel.regression import (
    BISQUARE_C,
    HUBER_K,
    group_median,
    huber_nnls,
    mm_nnls,
    sandwich_covariance,
)
from capmodel.regression.censored import Censored, survival
from capmodel.regression.steps import Residuals
from capmodel.usage.regimes import find_steps

COST = np.array([0.1, 0.02, 0.05, 0.01])
SHARES = {1: [1.0], 2: [0.7, 0.3], 3: [0.5, 0.3, 0.2]}


def demand(
    seed: int, *, classes: int, noise: str, sd: float, outliers: float, rows: int = 4000
) -> tuple[np.ndarray, np.ndarray]:
    """Return loads and what they ask for: days of five minutes, drifting mix, 4 pods."""
    rng = np.random.default_rng(seed)
    rps = 100 * (1 + 0.6 * np.sin(2 * np.pi * np.arange(rows) / 288))
    rps *= np.repeat(rng.lognormal(0, 0.08, rows // 20), 20)
    design = np.column_stack(
        [np.full(rows, 4.0)]
        + [rps * s * np.exp(np.repeat(rng.normal(0, 0.3, rows // 10), 10)) for s in SHARES[classes]]
    )
    factor = {
        "normal": lambda: 1 + sd * rng.normal(size=rows),
        "lognormal": lambda: rng.lognormal(-(sd**2) / 2, sd, rows),
        "t": lambda: 1 + sd * rng.standard_t(4, rows) / np.sqrt(2),
        "gamma": lambda: rng.gamma(sd**-2, sd**2, rows),
    }[noise]()
    asked = design @ COST[: classes + 1] * np.maximum(factor, 0.05)
    wrong = rng.random(rows) < outliers
    return design, asked * np.where(wrong, rng.uniform(1.5, 3, rows), 1.0)


def at_cap(
    asked: np.ndarray, quantile: float, *, wobble: float = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    """Return usage under a cap, and which rows are seen to be held; a real cap wobbles."""
    cap = np.quantile(asked, quantile)
    held = asked >= cap
    if not wobble:
        return np.minimum(asked, cap), held
    below = 1 - np.abs(np.random.default_rng(0).normal(0, wobble, len(asked)))
    usage = np.where(held, cap * below, asked)
    return usage, usage >= cap * (1 - 2 * wobble)


def slope_error(value: np.ndarray, design: np.ndarray) -> float:
    """Return the relative error of what all requests together use, at the mean mix."""
    mean = design.mean(axis=0)[1:]
    return float(mean @ value[1:] / (mean @ COST[1 : len(value)]) - 1)


def test_the_product_limit_of_published_remission_times() -> None:
    # Freireich et al. (1963), Blood 21, 699–716, 6-MP arm; S(t) of Kalbfleisch & Prentice (2002),
    # The Statistical Analysis of Failure Time Data, table 1.2 and section 1.4.
    exact = [6, 6, 6, 7, 10, 13, 16, 22, 23]
    bounds = [6, 9, 10, 11, 17, 19, 20, 25, 32, 32, 34, 35]
    weeks = np.array(bounds + exact, dtype=float)
    found = survival(weeks, np.arange(21) < len(bounds))
    ordered = weeks[found.order]
    reached = [found.above[np.flatnonzero(ordered <= t)[-1]] for t in (6, 7, 10, 13, 16, 22, 23)]
    np.testing.assert_allclose(
        reached, [0.8571, 0.8067, 0.7529, 0.6902, 0.6275, 0.5378, 0.4482], atol=5e-5
    )
    assert found.left == pytest.approx(0.4482, abs=5e-5)
    weight = np.full(21, 3.0)
    weighed = survival(weeks, np.arange(21) < len(bounds), weight)
    np.testing.assert_allclose(weighed.above, found.above, rtol=1e-12)


@pytest.mark.parametrize(("family", "constant"), [("huber", HUBER_K), ("bisquare", BISQUARE_C)])
def test_beyond_all_exact_rows_the_normal_stands(family: str, constant: float) -> None:
    bound = np.array([-3.0, -1.0, 0.0, 0.7, 1.2, 2.5, 4.0])
    loss = Censored(family, constant, 1.0, np.ones(7, dtype=bool), None, np.ones(7))  # type: ignore[arg-type]
    ones = np.ones(7)
    pull = loss.pull(Residuals(ones, ones, bound))

    def psi(u: float) -> float:
        if family == "huber":
            return float(np.clip(u, -constant, constant))
        return u * (1 - (u / constant) ** 2) ** 2 if abs(u) < constant else 0.0

    expected = [
        quad(lambda u: psi(u) * norm.pdf(u), b, 12, points=[constant])[0] / norm.sf(b)
        for b in bound
    ]
    np.testing.assert_allclose(pull.score, expected, atol=2e-4)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_no_row_at_a_limit_is_the_plain_fit(seed: int) -> None:
    design, asked = demand(seed, classes=2, noise="t", sd=0.1, outliers=0.03, rows=400)
    none = np.zeros(len(asked), dtype=bool)
    for line in (huber_nnls, mm_nnls):
        plain, other = line(design, asked), line(design, asked, at_limit=none)
        np.testing.assert_array_equal(other.value, plain.value)
        np.testing.assert_array_equal(
            sandwich_covariance(design, asked, other, at_limit=none),
            sandwich_covariance(design, asked, plain),
        )


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000), order=st.permutations([0, 1, 2]), unit=st.floats(1e-2, 1e2))
def test_under_a_cap_too_order_and_units_change_only_their_coefficients(
    seed: int, order: list[int], unit: float
) -> None:
    design, asked = demand(seed, classes=2, noise="normal", sd=0.1, outliers=0, rows=400)
    usage, held = at_cap(asked, 0.75)
    value = mm_nnls(design, usage, at_limit=held).value
    other = mm_nnls((design * [1, unit, 1])[:, order], usage, at_limit=held).value
    expected = (value / [1, unit, 1])[order]
    # Steps end where rows only change places: at s/(2T) of the largest contribution.
    length = np.sqrt(np.mean((design * [1, unit, 1])[:, order] ** 2, axis=0))
    moved = np.abs(other - expected) * length / np.max(expected * length)
    assert moved.max() < 5e-3


def test_bounds_alone_have_no_interval() -> None:
    design, asked = demand(0, classes=1, noise="t", sd=0.1, outliers=0, rows=400)
    held = np.ones(len(asked), dtype=bool)
    fit = mm_nnls(design, asked, at_limit=held)
    assert np.isnan(sandwich_covariance(design, asked, fit, at_limit=held)).all()


@pytest.mark.parametrize("rows", [40, 400, 9000])
def test_exact_rows_under_a_cap_are_recovered(rows: int) -> None:
    rps = np.random.default_rng(0).uniform(5, 60, rows)
    design = np.column_stack([np.full(rows, 3.0), rps])
    usage, held = at_cap(design @ [0.1, 0.08], 0.7)
    fit = mm_nnls(design, usage, at_limit=held)
    np.testing.assert_allclose(fit.value, [0.1, 0.08], rtol=1e-7)
    assert fit.converged


@pytest.mark.parametrize(("noise", "outliers"), [("normal", 0.0), ("lognormal", 0.01),
                                                ("t", 0.05), ("gamma", 0.03)])  # fmt: skip
@pytest.mark.parametrize("wobble", [0.0, 0.02])
def test_a_cap_bends_the_line_where_its_rows_are_dropped_and_not_here(
    noise: str, outliers: float, wobble: float
) -> None:
    error: dict[str, list[float]] = {"whole": [], "dropped": [], "held": []}
    for seed in range(4):
        design, asked = demand(seed, classes=seed % 3 + 1, noise=noise, sd=0.2, outliers=outliers)
        usage, held = at_cap(asked, 0.75, wobble=wobble)
        fit = mm_nnls(design, usage, at_limit=held)
        assert (fit.family, fit.converged) == ("bisquare", True)
        error["whole"].append(slope_error(mm_nnls(design, asked).value, design))
        error["dropped"].append(slope_error(mm_nnls(design[~held], usage[~held]).value, design))
        error["held"].append(slope_error(fit.value, design))
    mean = {name: float(np.mean(values)) for name, values in error.items()}
    assert mean["dropped"] < -0.09
    assert abs(mean["held"]) < 0.02
    assert abs(mean["held"] - mean["whole"]) < 0.012


@pytest.mark.parametrize("power", [-1.0, -0.5, 0.8])
def test_noise_that_narrows_or_widens_with_the_load_bends_no_line_under_a_cap(
    power: float,
) -> None:
    whole, kept = [], []
    for seed in range(6):
        design, exact = demand(seed, classes=1, noise="normal", sd=1e-9, outliers=0.0)
        sd = 0.12 * (design[:, 1] / 90) ** power
        asked = exact * np.maximum(1 + sd * np.random.default_rng(seed).normal(size=4000), 0.05)
        usage, held = at_cap(asked, 0.75)
        fit = mm_nnls(design, usage, at_limit=held)
        found, planted = (
            np.polyfit(np.log(exact), np.log(width), 1)[0] for width in (fit.spread, sd)
        )
        assert found == pytest.approx(np.clip(planted, -1, 1), abs=0.25)
        kept.append(slope_error(fit.value, design))
        whole.append(slope_error(mm_nnls(design, asked).value, design))
    assert abs(np.mean(kept)) < 0.01
    assert abs(np.mean(kept) - np.mean(whole)) < 0.01


@pytest.mark.slow
@pytest.mark.parametrize("noise", ["normal", "lognormal", "t", "gamma"])
@pytest.mark.parametrize("sd", [0.05, 0.2])
@pytest.mark.parametrize("quantile", [0.7, 0.85])
@pytest.mark.parametrize("classes", [1, 2, 3])
def test_every_cap_is_seen_through(classes: int, quantile: float, sd: float, noise: str) -> None:
    for outliers in (0.0, 0.05):
        whole, kept = [], []
        for seed in range(10):
            design, asked = demand(seed, classes=classes, noise=noise, sd=sd, outliers=outliers)
            usage, held = at_cap(asked, quantile, wobble=0.02 if seed % 2 else 0.0)
            kept.append(slope_error(mm_nnls(design, usage, at_limit=held).value, design))
            whole.append(slope_error(mm_nnls(design, asked).value, design))
        assert abs(np.mean(kept)) < 0.02
        assert abs(np.mean(kept) - np.mean(whole)) < 0.012


def test_rows_that_a_cap_hides_only_partly_are_still_told_from_gross_errors() -> None:
    # A cap above nearly all of the load: the held rows are mostly gross errors, and pull nothing.
    design, asked = demand(1, classes=1, noise="normal", sd=0.05, outliers=0.05)
    usage, held = at_cap(asked, 0.97)
    fit = mm_nnls(design, usage, at_limit=held)
    assert slope_error(fit.value, design) == pytest.approx(0, abs=0.005)
    assert fit.weights[held].mean() < 0.3


@pytest.mark.slow
@pytest.mark.parametrize(
    ("classes", "noise", "sd", "quantile", "outliers"),
    [
        (1, "normal", 0.2, 0.5, 0.0),
        (1, "normal", 0.05, 0.7, 0.0),
        (2, "t", 0.2, 0.7, 0.03),
        (3, "gamma", 0.2, 0.8, 0.03),
    ],
)
def test_intervals_under_a_cap_are_as_wide_as_the_coefficients_vary(
    classes: int, noise: str, sd: float, quantile: float, outliers: float
) -> None:
    values, errors = [], []
    for seed in range(250):
        design, asked = demand(
            seed, classes=classes, noise=noise, sd=sd, outliers=outliers, rows=1500
        )
        usage, held = at_cap(asked, quantile)
        fit = mm_nnls(design, usage, at_limit=held)
        covariance = sandwich_covariance(design, usage, fit, at_limit=held)
        values.append(fit.value)
        errors.append(np.sqrt(np.diag(covariance)))
    ratio = np.mean(errors, axis=0) / np.std(values, axis=0)
    # A standard deviation of 250 values is known to 4.5 %.
    assert np.all((ratio > 0.88) & (ratio < 1.15))
    inside = np.abs(values - np.mean(values, axis=0)) <= 1.96 * np.array(errors)
    assert inside.mean() == pytest.approx(0.95, abs=0.03)


def test_a_median_of_which_part_is_bounds() -> None:
    values = np.array([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0])
    group = np.array([0, 0, 0, 0, 1, 1, 1])
    held = np.array([False, True, False, False, True, True, False])
    # Group 0 has mass 1/4, 3/8, 3/8 at 1, 3, 4; group 1 all of it at 7, its one exact value.
    assert group_median(values, group, 2, at_limit=held).tolist() == [3.0, 7.0]
    assert np.isnan(group_median(values, group, 2, at_limit=held, min_count=2)[1])
    beyond = np.array([False, False, True, True, False, False, False])
    np.testing.assert_array_equal(group_median(values, group, 2, at_limit=beyond), [np.nan, 6.0])


@pytest.mark.parametrize("change_x", [1.0, 1.15, 0.85])
def test_a_step_is_sized_under_a_cap_that_more_and_more_rows_reach(change_x: float) -> None:
    for seed in range(3):
        design, asked = demand(seed, classes=1, noise="gamma", sd=0.1, outliers=0.0, rows=288 * 30)
        day = np.arange(len(asked)) // 288
        growth = 1 + 0.3 * day / 30
        design *= growth[:, None]
        asked = asked * growth * np.where(day >= 18, change_x, 1)
        usage, held = at_cap(asked, 0.75)
        steps = find_steps(
            design, usage, day, background=np.array([True, False]), min_change=0.05, min_days=5,
            k=HUBER_K, at_limit=held,
        )  # fmt: skip
        if change_x == 1:
            assert steps == ()
            continue
        assert [step.day for step in steps] == [18]
        assert steps[0].change_x == pytest.approx(change_x, abs=0.02)
