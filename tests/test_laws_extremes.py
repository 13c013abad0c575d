"""Extreme values: published fits, closed forms, scipy's distributions, samples of known tail."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from capmodel.errors import InputError
from capmodel.laws.extremes import (
    fit_gev,
    fit_gpd,
    fit_gpd_pwm,
    gev_return_level,
    gpd_nllh,
    gpd_quantile,
    gpd_return_level,
)

# Annual maximum sea levels [m] at Port Pirie, 1923-1987 (Coles 2001, section 3.4.1).
PORT_PIRIE = np.array([
    4.03, 3.83, 3.65, 3.88, 4.01, 4.08, 4.18, 3.8, 4.36, 3.96, 3.98, 4.69, 3.85, 3.96, 3.85, 3.93,
    3.75, 3.63, 3.57, 4.25, 3.97, 4.05, 4.24, 4.22, 3.73, 4.37, 4.06, 3.71, 3.96, 4.06, 4.55,
    3.79, 3.89, 4.11, 3.85, 3.86, 3.86, 4.21, 4.01, 4.11, 4.24, 3.96, 4.21, 3.74, 3.85, 3.88,
    3.66, 4.11, 3.71, 4.18, 3.9, 3.78, 3.91, 3.72, 4, 3.66, 3.62, 4.33, 4.55, 3.75, 4.08, 3.9,
    3.88, 3.94, 4.33,
])  # fmt: skip
GRID = (np.arange(200) + 0.5) / 200
PARETO = 1500 * ((1 - GRID) ** -0.1 - 1)  # quantiles of sigma = 150, xi = 0.1


def test_port_pirie_as_r_and_coles_have_it() -> None:
    fit = fit_gev(PORT_PIRIE)
    # R evd 2.3, whose optimiser stops 5e-6 away from the summit.
    assert fit.loc == pytest.approx(3.87475133257, abs=1e-5)
    assert fit.scale == pytest.approx(0.19804887842, abs=1e-5)
    assert fit.xi == pytest.approx(-0.05011657675, abs=1e-5)
    np.testing.assert_allclose(fit.se, [0.0279326, 0.0202479, 0.0982558], rtol=1e-4)
    assert fit.nllh == pytest.approx(-4.339058443, abs=1e-7)
    assert fit.nllh <= -4.339058443  # at least as high a summit as R's
    level = gev_return_level([10, 100], loc=fit.loc, scale=fit.scale, xi=fit.xi)
    np.testing.assert_allclose(level, [4.29622, 4.68841], atol=1e-5)
    # Coles 2001, page 60: 3.87, 0.198, -0.050; 4.30 and 4.69.
    assert (round(fit.loc, 2), round(fit.scale, 3), round(fit.xi, 3)) == (3.87, 0.198, -0.050)
    assert level.round(2).tolist() == [4.3, 4.69]


@pytest.mark.slow  # scipy.stats loads for half a second
def test_scipys_shape_has_the_other_sign() -> None:
    from scipy.stats import genextreme, genpareto

    c, loc, scale = genextreme.fit(PORT_PIRIE)
    fit = fit_gev(PORT_PIRIE)
    assert -c == pytest.approx(fit.xi, abs=1e-4)
    np.testing.assert_allclose([loc, scale], [fit.loc, fit.scale], atol=2e-5)
    upper = genextreme.isf(0.01, -0.1, loc=100, scale=20)
    assert float(gev_return_level(100, loc=100, scale=20, xi=0.1)) == pytest.approx(upper)
    c, _, sigma = genpareto.fit(PARETO, floc=0)
    assert c == pytest.approx(fit_gpd(PARETO).xi, abs=1e-4)
    assert sigma == pytest.approx(fit_gpd(PARETO).sigma, rel=1e-4)
    assert gpd_nllh(150, 0.1, PARETO) == pytest.approx(genpareto.nnlf((0.1, 0, 150), PARETO))


@pytest.mark.parametrize(
    ("loc", "scale", "xi", "want"),
    [
        (100, 20, 0.1, [150.473743654103, 195.453431538707, 216.819524759265]),
        (3.87, 0.198, -0.05, [4.29141949691041, 4.57189058738867, 4.68367041000552]),
        (0, 1, 0, [2.25036732731245, 3.90193865793583, 4.60014922677658]),
    ],
)
def test_return_levels_of_blocks(loc: float, scale: float, xi: float, want: list[float]) -> None:
    got = gev_return_level([10, 50, 100], loc=loc, scale=scale, xi=xi)
    np.testing.assert_allclose(got, want, rtol=1e-13)


@pytest.mark.parametrize(
    ("xi", "want"),
    [
        (0.1, [1388.38811769125, 1877.33978869167, 2492.89347245332]),
        (-0.2, [1276.78199163986, 1451.41962208488, 1561.60851763678]),
    ],
)
def test_pareto_quantiles(xi: float, want: list[float]) -> None:
    got = gpd_quantile([0.9, 0.99, 0.999], threshold=1000, sigma=150, xi=xi)
    np.testing.assert_allclose(got, want, rtol=1e-13)


def test_return_levels_over_a_threshold() -> None:
    years = np.array([1, 10, 100]) * 365
    got = gpd_return_level(years, threshold=1000, sigma=150, xi=0.1, zeta=0.02)
    want = [1329.8839378891896, 1803.6873900426801, 2400.1705961545113]
    np.testing.assert_allclose(got, want, rtol=1e-13)
    flat = gpd_return_level(3650, threshold=1000, sigma=150, xi=0, zeta=0.02)
    assert float(flat) == pytest.approx(1000 + 150 * np.log(73), rel=1e-14)
    # The level of one observation in m is the quantile 1 − 1/(m·zeta) of exceedances.
    same = gpd_quantile(1 - 1 / 73, threshold=1000, sigma=150, xi=0.1)
    assert got[1] == pytest.approx(float(same))


def test_pareto_fit_of_a_deterministic_sample() -> None:
    fit = fit_gpd(PARETO)
    # Numerical optimisers: 151.1534773507827, .0903978829 and nllh 1221.738719498024; R evd
    # 151.15352, .0903979, standard errors 16.0038 and .0790587.
    assert fit.sigma == pytest.approx(151.1534773507827, rel=2e-8)
    assert fit.xi == pytest.approx(0.0903978829, rel=2e-8)
    assert fit.nllh == pytest.approx(1221.738719498024, rel=1e-13)
    np.testing.assert_allclose(fit.se, [16.0038, 0.0790587], rtol=5e-5)


def test_pareto_moments_of_the_same_sample() -> None:
    fit = fit_gpd_pwm(PARETO[::-1])
    assert fit.sigma == pytest.approx(149.558454389, rel=1e-11)
    assert fit.xi == pytest.approx(0.0996714314, rel=1e-9)
    a0, a1 = 166.115415637, 39.3506830496
    assert fit.sigma == pytest.approx(2 * a0 * a1 / (a0 - 2 * a1), rel=1e-11)


def test_a_given_shape_leaves_the_scale_to_be_found() -> None:
    # Exponential: the scale of highest likelihood is the mean.
    fit = fit_gpd(PARETO, xi_bounds=(0.0, 0.0))
    assert fit.sigma == pytest.approx(PARETO.mean(), rel=1e-12)
    assert np.isnan(fit.se).all()
    held = fit_gpd(PARETO, xi_bounds=(0.2, 0.3))
    assert held.xi == 0.2
    assert held.nllh > fit_gpd(PARETO).nllh


@pytest.mark.parametrize("xi", [-0.3, 0.0, 0.4, 0.9])
def test_the_fit_finds_the_tail_that_was_drawn(xi: float) -> None:
    rng = np.random.default_rng(8)
    u = rng.random(4000)
    sample = -np.log(u) if xi == 0 else (u**-xi - 1) / xi
    fit = fit_gpd(150 * sample)
    np.testing.assert_array_less(np.abs([fit.sigma - 150, fit.xi - xi]), 3.5 * fit.se)


def test_a_left_skewed_sample_has_a_fit() -> None:
    sample = np.append(np.linspace(10.0, 11.0, 60), -5.0)
    fit = fit_gev(sample)
    assert np.isfinite([fit.loc, fit.scale, fit.xi]).all()


@given(
    seed=st.integers(0, 10**6),
    scale=st.floats(1e-6, 1e6),
    xi=st.floats(-0.3, 0.8),
)
def test_units_do_not_matter(seed: int, scale: float, xi: float) -> None:
    u = np.random.default_rng(seed).random(60)
    sample = np.expm1(-xi * np.log(u)) / xi if abs(xi) > 1e-9 else -np.log(u)
    one, other = fit_gpd(sample), fit_gpd(scale * sample)
    assert other.xi == pytest.approx(one.xi, abs=1e-7)
    assert other.sigma == pytest.approx(scale * one.sigma, rel=1e-7)
    assert other.nllh == pytest.approx(one.nllh + 60 * np.log(scale), abs=1e-7)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: fit_gev(np.ones(20)), "equal values"),
        (lambda: fit_gev([1.0, 2.0]), "got 2 values; expected at least 10"),
        (lambda: fit_gev([np.nan] * 20), "maxima: got nan"),
        (lambda: fit_gpd(np.zeros(20)), "excesses: got 0.0; expected a finite number > 0"),
        (lambda: fit_gpd(PARETO, xi_bounds=(0.3, 0.1)), "Order the bounds"),
        (lambda: gpd_quantile(1.0, threshold=0, sigma=1, xi=0), "p: got 1.0"),
        (lambda: gpd_quantile(0.9, threshold=0, sigma=0, xi=0), "sigma: got 0.0"),
        (lambda: gev_return_level(1, loc=0, scale=0, xi=0), "2 problems"),
        (
            lambda: gpd_return_level(40, threshold=0, sigma=1, xi=0, zeta=0.02),
            "more than 1/zeta = 50 observations",
        ),
    ],
)
def test_impossible_input_is_named(call, message) -> None:
    with pytest.raises(InputError, match=message):
        call()
