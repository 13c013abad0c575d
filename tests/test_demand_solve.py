"""Gaps, outliers, backtests and their combination against plain dense algebra."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_demand_design import dense

from capmodel.demand.design import Window, predict
from capmodel.demand.filling import fill
from capmodel.demand.penalties import CONFIGURATIONS
from capmodel.demand.scale import restore, standardise
from capmodel.demand.solve import select, statistics
from capmodel.demand.systems import Systems, backtest_windows
from capmodel.events import Events

DAYS = np.arange(np.datetime64("2024-01-01"), np.datetime64("2024-07-01"))
REFERENCE = CONFIGURATIONS["local_level"]


@pytest.fixture(scope="module")
def window():
    return Window.over(DAYS, Events.us_retail(2024, 2024))


@pytest.fixture(scope="module")
def smooth():
    """Series that the design can express, with a little noise, shape (N, 24, 3)."""
    rng = np.random.default_rng(3)
    hours = np.sin(2 * np.pi * (np.arange(24) - 9) / 24)
    trend = np.linspace(-0.4, 0.4, len(DAYS))[:, None, None]
    return hours[None, :, None] + trend + 0.1 * rng.standard_normal((len(DAYS), 24, 3))


def test_gaps_are_solved_exactly(window, smooth):
    """Preconditioned conjugate gradients against the normal equations of the observed rows."""
    z = smooth.copy()
    rng = np.random.default_rng(4)
    z[rng.random(z.shape) < 0.3] = np.nan
    z[40:61, :, 1] = np.nan
    penalty = window.design.penalties(REFERENCE)
    filled = fill(Systems.of(window, [REFERENCE]), z)
    assert filled.unsolved.max() < 1e-6
    x = dense(window.design, window.rows)
    for s in range(3):
        seen = ~np.isnan(z[:, :, s].ravel())
        # No cell is far enough off to be clipped, so the pseudo-data are the data.
        observed = z[:, :, s].ravel()[seen]
        np.testing.assert_allclose(filled.z[:, :, s].ravel()[seen], observed, atol=1e-12)
        system = x[seen].T @ x[seen] + np.diag(penalty)
        exact = x @ np.linalg.solve(system, x[seen].T @ z[:, :, s].ravel()[seen])
        np.testing.assert_allclose(filled.z[:, :, s].ravel()[~seen], exact[~seen], atol=5e-5)


def test_outliers_are_pulled_in_but_never_on_event_days(window, smooth):
    z = smooth.copy()
    event = int(np.flatnonzero(~window.ordinary)[2])
    calm = int(np.flatnonzero(window.ordinary)[50])
    z[calm, 5, 0] += 8
    z[event, :, 0] += 5
    filled = fill(Systems.of(window, [REFERENCE]), z)
    assert abs(filled.z[calm, 5, 0] - smooth[calm, 5, 0]) < 1
    np.testing.assert_allclose(filled.z[event, :, 0], z[event, :, 0])


def test_sparse_gaps_and_dense_ones_are_filled_alike(window, smooth):
    """The quick route for scattered gaps against the equations' own solution."""
    z = smooth.copy()
    z[np.random.default_rng(6).random(z.shape) < 0.03] = np.nan
    systems = Systems.of(window, [REFERENCE])
    quick = fill(systems, z).z
    z[60:75, :, 2] = np.nan  # one dense series does not change the route of the others
    some = fill(systems, z).z
    np.testing.assert_allclose(some[:, :, :2], quick[:, :, :2], rtol=1e-11, atol=1e-13)
    x = dense(window.design, window.rows)
    seen = ~np.isnan(z[:, :, 0].ravel())
    system = x[seen].T @ x[seen] + np.diag(systems.reference_penalty)
    exact = x @ np.linalg.solve(system, x[seen].T @ z[:, :, 0].ravel()[seen])
    missed = np.abs(quick[:, :, 0].ravel() - exact).reshape(z.shape[:2])
    gap = np.isnan(z[:, :, 0])
    assert missed[gap & window.ordinary[:, None]].max() < 2e-3  # of a standard deviation of 1
    assert gap[~window.ordinary].any()
    assert missed[gap & ~window.ordinary[:, None]].max() < 0.05


def test_lower_bounds_are_raised_to_what_they_hide(window):
    """Evenings cut off at a ceiling: the EM recovers the level that dropping them biases."""
    rng = np.random.default_rng(8)
    hours = 0.8 * np.sin(2 * np.pi * (np.arange(24) - 9) / 24)
    truth = hours[None, :, None] + 0.15 * rng.standard_normal((len(DAYS), 24, 1))
    ceiling = 0.75
    censored = truth > ceiling
    seen = np.minimum(truth, ceiling)
    systems = Systems.of(window, [REFERENCE])
    means = {}
    for name, z, mask in (
        ("raised", seen, censored),
        ("as if measured", seen, None),
        ("dropped", np.where(censored, np.nan, truth), None),
    ):
        filled = fill(systems, z, censored=mask)
        means[name] = filled.z[:, 15].mean()
    assert means["raised"] == pytest.approx(truth[:, 15].mean(), abs=0.02)
    assert means["as if measured"] < truth[:, 15].mean() - 0.06
    assert means["dropped"] < truth[:, 15].mean() - 0.06


def test_backtest_errors_equal_those_of_separate_dense_fits(window, smooth):
    """Fits and judgement of ordinary days on the columns that speak of them."""
    chosen = [CONFIGURATIONS[n] for n in ("local_level", "linear")]
    systems = Systems.of(window, chosen)
    selection = select(systems, statistics(systems, smooth), kappa=2.0)
    x = dense(window.design, window.rows).reshape(len(DAYS), 24, -1)[:, :, systems.quiet]
    windows = systems.backtests
    assert len(windows.cuts) == 3
    errors = np.zeros((2, 3))
    for cut in windows.cuts:
        judged = np.arange(cut, cut + windows.days)
        judged = judged[window.ordinary[judged]]
        calm = np.flatnonzero(window.ordinary[:cut])
        early = x[calm].reshape(-1, x.shape[2])
        for g, configuration in enumerate(chosen):
            penalty = window.design.penalties(configuration)[systems.quiet]
            beta = np.linalg.solve(
                early.T @ early + np.diag(penalty), early.T @ smooth[calm].reshape(-1, 3)
            )
            missed = smooth[judged] - np.einsum("nhp,ps->nhs", x[judged], beta)
            errors[g] += (missed**2).mean(axis=(0, 1)) / 3
    np.testing.assert_allclose(selection.errors, errors, rtol=1e-6)
    expected = np.array([[2.0], [3.0]]) * np.exp(-2 * (errors / errors.min(axis=0) - 1))
    np.testing.assert_allclose(selection.weights, expected / expected.sum(axis=0), rtol=1e-4)


def test_kappa_zero_leaves_the_shares_that_were_there_before(window, smooth):
    systems = Systems.of(window, list(CONFIGURATIONS.values()))
    selection = select(systems, statistics(systems, smooth), kappa=0.0)
    shares = dict(zip(CONFIGURATIONS, selection.weights[:, 0], strict=True))
    assert shares["quick_level"] == shares["smooth_level"] == pytest.approx(1 / 9)
    assert shares["linear"] == shares["damped_trend"] == pytest.approx(1 / 6)
    assert sum(shares.values()) == pytest.approx(1)


def test_single_precision_keeps_five_digits(window, smooth):
    chosen = list(CONFIGURATIONS.values())
    betas = []
    for dtype in (np.float64, np.float32):
        systems = Systems.of(window, chosen, dtype=dtype)
        z = fill(systems, smooth.astype(dtype)).z
        selection = select(systems, statistics(systems, z), kappa=2.0)
        betas.append(predict(window.design, window.rows, selection.beta))
    np.testing.assert_allclose(betas[1], betas[0], atol=2e-5)


def test_the_transform_is_undone_exactly():
    y = np.random.default_rng(5).lognormal(3, 1, (30, 24, 2))
    y[0, 0, 0] = 0
    y[1, 1, 1] = np.nan
    z, scale = standardise(y)
    back = restore(z * scale.sd + scale.center, scale.mean)
    np.testing.assert_allclose(back, y, rtol=1e-9, atol=1e-12)
    assert np.nanmean(z, axis=(0, 1)) == pytest.approx(0, abs=1e-9)
    assert np.nanstd(z, axis=(0, 1)) == pytest.approx(1)


@given(st.integers(14, 2000))
def test_backtests_stay_inside_the_window(n_days):
    windows = backtest_windows(n_days)
    assert all(cut > 0 and cut + windows.days <= n_days for cut in windows.cuts)
    assert windows.edges[0] == 0
    assert windows.edges[-1] == n_days
    assert len(windows.cuts) == 3 or n_days < 40
