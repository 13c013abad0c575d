"""How events clump: what is drawn has the moments that are stated, and planted ones are found."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from capmodel.demand.clumping import (
    Clumping,
    CountShape,
    _p_empty,
    _p_silent,
    _trusted,
    measure_clumping,
    one_event,
)
from capmodel.demand.shapes import Dice

LUMPY = Clumping(event=0.5, size=4.0, size_variance=0.5, hour=0.3, day=0.4, week=0.1, silent=0.2)
RATE = np.linspace(0.5, 6.0, 24) * np.linspace(0.5, 1.5, 7)[:, None]


def drawn(clumping, rate, *, draws, luck=0.0, seed=1):
    days = len(rate)
    shape = CountShape(
        rate=rate,
        silent=np.full(days, clumping.silent),
        week=np.arange(days) // 7,
        clumping=clumping,
    )
    source = np.zeros((draws, days), dtype=int)
    dice = Dice(source, np.full((draws, days), luck), np.random.default_rng(seed))
    return shape.draw(dice)


@pytest.fixture(scope="module")
def weeks():
    return drawn(LUMPY, RATE, draws=12000)


def test_draws_have_the_stated_mean_and_variances(weeks):
    np.testing.assert_allclose(weeks.mean(axis=(0, 2)), RATE.mean(axis=1), rtol=0.05)
    hour = LUMPY.variance(RATE, RATE**2, RATE**2)
    np.testing.assert_allclose(weeks.var(axis=0).mean(), hour.mean(), rtol=0.06)
    day = RATE.sum(axis=1)
    by_day = LUMPY.variance(day, (RATE**2).sum(axis=1), day**2)
    np.testing.assert_allclose(weeks.sum(axis=2).var(axis=0).mean(), by_day.mean(), rtol=0.06)
    whole = LUMPY.variance(RATE.sum(), (RATE**2).sum(), (day**2).sum())
    assert weeks.sum(axis=(1, 2)).var() == pytest.approx(float(whole), rel=0.08)


def test_draws_are_as_often_empty_as_stated(weeks):
    empty = (weeks == 0).mean(axis=0)
    # Three gamma variables are taken as one.
    np.testing.assert_allclose(empty, _p_empty(LUMPY, RATE), atol=0.04)
    silent = (weeks.sum(axis=2) == 0).mean(axis=0)
    np.testing.assert_allclose(silent, _p_silent(LUMPY, RATE), atol=0.04)


def test_draws_times_their_luck_are_whole_events():
    values = drawn(LUMPY, RATE, draws=50, luck=0.3) * np.exp(0.3) / LUMPY.event
    np.testing.assert_allclose(values, np.rint(values), atol=1e-9)
    assert values.mean() * LUMPY.event == pytest.approx(RATE.mean() * np.exp(0.3), rel=0.3)


def measured(values, mean):
    seen = np.ones(values.shape, dtype=bool)
    return measure_clumping(values, mean, seen=seen, event=one_event(values.ravel()))


MEAN = (0.05 + np.exp(-0.5 * ((np.arange(24) - 13) / 4.0) ** 2)) * np.ones((728, 1))


def test_single_requests_are_found_to_be_single():
    rng = np.random.default_rng(1)
    found = measured(rng.poisson(MEAN).astype(float), MEAN)
    assert found.event == 1
    assert found.linear == pytest.approx(1, abs=0.06)
    assert found.hour < 0.06
    assert found.day + found.week < 0.03
    assert found.silent == 0


def test_batches_of_one_size_are_found():
    rng = np.random.default_rng(2)
    found = measured(rng.poisson(MEAN / 8) * 40.0, MEAN * 5)
    assert found.event == 40
    assert found.size == pytest.approx(40, rel=0.1)


def test_batches_of_many_sizes_have_the_right_variance():
    """Lognormal sizes around 40: E size^2 / E size = 40 exp(0.36) is the variance over the mean."""
    rng = np.random.default_rng(3)
    n = rng.poisson(MEAN / 8)
    values = np.zeros(MEAN.shape)
    values[n > 0] = [40 * np.exp(rng.normal(-0.18, 0.6, k)).sum() for k in n[n > 0]]
    found = measured(values, MEAN * 5)
    typical = (MEAN * 5)[0] ** 2
    variance = found.variance(MEAN[0] * 5, typical, typical)
    planted = 40 * np.exp(0.36) * MEAN[0] * 5
    assert variance.sum() == pytest.approx(planted.sum(), rel=0.1)
    empty = _p_empty(found, MEAN[0] * 5).mean()
    assert empty == pytest.approx((n == 0).mean(), abs=0.02)


def test_lucky_days_and_weeks_are_told_apart():
    rng = np.random.default_rng(4)
    day = rng.gamma(1 / 0.5, 0.5, 728)
    week = np.repeat(rng.gamma(1 / 0.3, 0.3, 104), 7)
    values = rng.poisson(MEAN * (day * week)[:, None]).astype(float)
    found = measured(values, MEAN)
    assert found.day == pytest.approx(0.5, rel=0.3)
    assert found.week == pytest.approx(0.3, rel=0.4)


def test_days_off_are_silent_not_unlucky():
    rng = np.random.default_rng(5)
    runs = rng.random(728) < 0.25
    values = rng.poisson(40 * MEAN * runs[:, None]).astype(float)
    found = measured(values, 10 * MEAN)
    assert found.silent == pytest.approx(0.75, abs=0.03)
    assert found.day < 0.2


def test_a_job_by_the_clock_is_no_poisson_count():
    values = np.zeros((200, 24))
    values[:, 3] = 5000.0
    found = measured(values, np.where(np.arange(24) == 3, 5000.0, 1e-3) * np.ones((200, 1)))
    paths = drawn(found, np.where(np.arange(24) == 3, 5000.0, 0.0) * np.ones((7, 1)), draws=200)
    assert paths[:, :, 3].std() < 0.1 * 5000


@pytest.mark.parametrize(
    ("values", "step"),
    [
        ([0, 1, 3, 2, 0, 1], 1.0),
        ([10, 12, 15, 12, 10, 15, 30, 15], None),
        ([10, 11, 15, 11, 10, 15, 30, 12, 12], 1.0),
        ([0.5, 0.7311, 1.91, 2.403], None),
        ([0, 0], None),
    ],
)
def test_one_event(values, step):
    assert one_event(np.array(values, dtype=float)) == step


def test_hours_observed_in_part_do_not_hide_the_step():
    rng = np.random.default_rng(6)
    values = rng.poisson(2.0, 5000) / 3600
    values[:100] *= 60 / 47
    assert one_event(values) == pytest.approx(1 / 3600)


@given(st.floats(0, 100), st.floats(0, 100), st.floats(1e-3, 1))
def test_trust_lies_between_prior_and_estimate(estimate, error, prior):
    found = _trusted(estimate, error, prior)
    slack = 1e-9 * max(estimate, prior)
    assert min(estimate, prior) - slack <= found <= max(estimate, prior) + slack
    assert _trusted(estimate, 0.0, prior) == pytest.approx(estimate)
