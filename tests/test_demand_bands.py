"""Bands of single hours: exact for normals, and the same as sorting the paths."""

from __future__ import annotations

import numpy as np
import pytest
from demand_worlds import calendar, history_of, planted
from scipy.stats import norm, t

from capmodel.demand import Batched
from capmodel.demand.bands import hour_bands, noise_table
from capmodel.demand.cohort import Cohort
from capmodel.demand.uncertainty import OutOfSample


def test_widths_add_in_squares():
    quantiles = (0.5, 0.9, 0.99)
    noise = np.repeat(np.array(norm.ppf((0.5, *quantiles)))[:, None, None], 4, axis=1) * 0.1
    errors = OutOfSample(
        level_sd=np.array([0.03]), drift_sd=np.array([0.04]), df=7.0, inflation=np.array([1.5])
    )
    bands = hour_bands(
        np.full((2, 24, 1), 2.0),
        noise,
        errors,
        quantiles=quantiles,
        days_ahead=np.array([45, 90]),
        event_sd=np.array([[[0.0]], [[0.2]]]),
    )
    for i, q in enumerate(quantiles):
        own = 1.5 * 0.1 * norm.ppf(q)
        ordinary = np.hypot(own, t.ppf(q, 7) * np.sqrt(0.03**2 + 0.04**2 / 2))
        event = np.hypot(own, t.ppf(q, 7) * np.sqrt(0.03**2 + 0.04**2 + 0.2**2))
        np.testing.assert_allclose(bands[i, 0, :, 0], 2 + ordinary)
        np.testing.assert_allclose(bands[i, 1, :, 0], 2 + event)


def test_noise_is_told_apart_by_quarter_of_the_day_and_gaps_do_not_count():
    rng = np.random.default_rng(1)
    residual = rng.standard_normal((300, 24, 2))
    residual[:, :6] *= 3
    residual[rng.random(residual.shape) < 0.4] = np.nan
    table = noise_table(residual, (0.5, 0.95))
    assert table.shape == (2, 4, 2)
    assert table[1, 0] == pytest.approx(3 * 1.645, rel=0.12)
    assert table[1, 1:] == pytest.approx(1.645, rel=0.15)
    assert table[0] == pytest.approx(0, abs=0.25)


def test_bands_agree_with_the_paths():
    series = planted("2024-03-01", "2026-03-01", noise=0.1, seed=3)
    fit = Batched().fit(history_of({"a": series}), events=calendar())
    forecast = fit.forecast("2026-03-02", "2026-05-01", draws=2000, seed=4)
    cohort, _ = fit.locate("a")
    assert isinstance(cohort, Cohort)
    dates = forecast.dates
    ordinary = np.array([not name for name in forecast.draw("a").event])
    log = cohort.quiet_log(cohort.design.rows(dates))
    quantiles = (0.1, 0.9, 0.95)
    usual = cohort.residual
    bands = hour_bands(
        log + cohort.short_range_log(dates),
        noise_table(usual, (0.5, *quantiles)),
        cohort.errors,
        quantiles=quantiles,
        days_ahead=(dates - fit.dates[-1]).astype(int),
        event_sd=np.zeros((len(dates), 1, 1)),
    )
    paths = forecast.paths("a")[:, ordinary]
    for q, band in zip(quantiles, bands, strict=True):
        expected = np.quantile(paths, q, axis=0)
        got = (np.exp(band[ordinary, :, 0]) - 0.01) * cohort.scale.mean[0]
        assert (got / expected).mean() == pytest.approx(1, abs=0.02)
