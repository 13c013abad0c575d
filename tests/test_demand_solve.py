"""Gaps, outliers, backtests and their combination against plain dense algebra."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_demand_design import dense

from capmodel.demand.design import Window
from capmodel.demand.penalties import CONFIGURATIONS
from capmodel.demand.solve import backtest_windows, fill, restore, select, standardise
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
    filled = fill(window, z, penalty=penalty)
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
    filled = fill(window, z, penalty=window.design.penalties(REFERENCE))
    assert abs(filled.z[calm, 5, 0] - smooth[calm, 5, 0]) < 1
    np.testing.assert_allclose(filled.z[event, :, 0], z[event, :, 0])


def test_backtest_errors_equal_those_of_separate_dense_fits(window, smooth):
    names = ["local_level", "linear"]
    penalties = np.array([window.design.penalties(CONFIGURATIONS[n]) for n in names])
    selection = select(window, smooth, penalties=penalties, kappa=2.0)
    x = dense(window.design, window.rows).reshape(len(DAYS), 24, -1)
    windows = selection.windows
    assert len(windows.cuts) == 3
    errors = np.zeros((2, 3))
    for cut in windows.cuts:
        judged = np.arange(cut, cut + windows.days)
        judged = judged[window.ordinary[judged]]
        early = x[:cut].reshape(-1, x.shape[2])
        for g, penalty in enumerate(penalties):
            beta = np.linalg.solve(
                early.T @ early + np.diag(penalty), early.T @ smooth[:cut].reshape(-1, 3)
            )
            missed = smooth[judged] - np.einsum("nhp,ps->nhs", x[judged], beta)
            errors[g] += (missed**2).mean(axis=(0, 1)) / 3
    np.testing.assert_allclose(selection.errors, errors, rtol=1e-6)
    expected = np.exp(-2 * (errors / errors.min(axis=0) - 1))
    np.testing.assert_allclose(selection.weights, expected / expected.sum(axis=0), rtol=1e-4)


def test_kappa_zero_averages(window, smooth):
    penalties = np.array([window.design.penalties(c) for c in CONFIGURATIONS.values()])
    selection = select(window, smooth, penalties=penalties, kappa=0.0)
    np.testing.assert_allclose(selection.weights, 1 / len(penalties))


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
