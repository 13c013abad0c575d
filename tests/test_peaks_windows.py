"""From the busiest minute to the busiest second: planted noise, counts, and the limits."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from capmodel.peaks.ratios import Unevenness, unevenness, usable_hours
from capmodel.peaks.windows import (
    ASSUMED_HALF,
    ASSUMED_SLOPE,
    assumed_window,
    extrapolated_window,
    inner_variance,
)


def test_a_window_of_the_step_is_no_factor() -> None:
    assert assumed_window(60) is None
    assert extrapolated_window(Unevenness(), window_s=60, step_min=1) is None
    assert extrapolated_window(Unevenness(), window_s=60, step_min=5) is not None


def test_variance_within_is_the_sum_of_halvings() -> None:
    # D of one step to two is 0.01; a half step has 0.01 * 2^0.4 more, a quarter 2^0.8 more again.
    expected = 0.01 * (2**0.4 + 2**0.8)
    assert inner_variance(1 / 4, slope=-0.2, half=0.01) == pytest.approx(expected)
    assert inner_variance(1 / 4, slope=0.0, half=0.01) == pytest.approx(0.02)
    near = [inner_variance(1 / 60, slope=s, half=0.01) for s in (-1e-5, 0.0, 1e-5)]
    assert near == pytest.approx([near[1]] * 3, rel=1e-3)


@pytest.mark.parametrize("mean", [30.0, 600.0, 6_000.0])
def test_poisson_seconds_are_reached_from_poisson_minutes(mean: float) -> None:
    """Planted: no unevenness but counting. Fitted on minutes, judged on seconds."""
    rng = np.random.default_rng(4)
    series = rng.poisson(mean, 400 * 60).astype(float)
    found = unevenness(usable_hours(series, steps_per_hour=60, events_per_unit=1), step_min=1)
    factor = extrapolated_window(found, window_s=1, step_min=1)
    assert factor is not None
    seconds = rng.poisson(mean / 60, (20_000, 60))
    truth = np.quantile(seconds.max(axis=1), [0.5, 0.95]) / (mean / 60)
    got = factor.quantile(np.array([0.5, 0.95]), np.array(mean))
    np.testing.assert_allclose(got, truth, rtol=0.05)


def test_uneven_seconds_are_reached_from_minutes() -> None:
    """Planted: independent noise of seconds (30 % of their mean) at rates beyond counting."""
    rng = np.random.default_rng(5)
    seconds = 1e6 * (1 + 0.3 * rng.standard_normal((400, 60, 60)))
    found = unevenness(
        usable_hours(seconds.mean(axis=2).ravel() * 60, steps_per_hour=60), step_min=1
    )
    factor = extrapolated_window(found, window_s=1, step_min=1)
    assert factor is not None
    truth = np.quantile(seconds.max(axis=2) / seconds.mean(axis=2), [0.5, 0.95])
    got = factor.quantile(np.array([0.5, 0.95]), np.array(6e7))
    np.testing.assert_allclose(got, truth, rtol=0.05)


def test_what_minutes_do_not_tell_is_assumed_and_said() -> None:
    factor = assumed_window(1)
    assert factor is not None
    assert factor.variance == pytest.approx(
        inner_variance(1 / 60, slope=ASSUMED_SLOPE, half=ASSUMED_HALF)
    )
    assert factor.note == "to 1 s extrapolated from 1 min with an assumed slope -0.18"
    steep = extrapolated_window(Unevenness(slope=-0.9, half=0.1), window_s=1, step_min=1)
    assert steep is not None
    assert steep.variance == pytest.approx(0.1 * 59 * 2)  # no steeper than independent seconds


@given(
    u=st.floats(1e-6, 1 - 1e-6),
    log_rate=st.floats(-4, 7),
    window_s=st.sampled_from([1.0, 5.0, 15.0, 30.0]),
)
def test_a_window_lies_between_the_mean_and_all_of_the_minute(
    u: float, log_rate: float, window_s: float
) -> None:
    factor = assumed_window(window_s)
    assert factor is not None
    low, high = factor.quantile(np.array([u, min(u * 1.01, 1.0)]), np.array(10.0**log_rate))
    assert 1 <= low <= high <= 60 / window_s
