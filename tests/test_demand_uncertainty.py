"""Level, drift and event shocks: degrees of freedom, shrinkage, and what may be drawn."""

from __future__ import annotations

import numpy as np
import pytest

from capmodel.demand.uncertainty import (
    PRIOR_DF,
    SHOCK_PRIOR_SD,
    event_spread,
    fill_weeks,
)


def _spread(deviations):
    """Residuals that are zero but for a whole-day deviation at each occurrence of one event."""
    n = 60 * len(deviations)
    residual = np.zeros((n, 24, 1))
    event_of_day = np.full(n, -1)
    for i, deviation in enumerate(deviations):
        residual[60 * i + 30] = deviation
        event_of_day[60 * i + 30] = 0
    return event_spread(
        residual, np.ones_like(residual), event_of_day=event_of_day, leverage=np.array([0.1])
    )


def test_one_season_leaves_the_prior():
    spread = _spread([0.0])
    assert spread.n[0, 0] == 1
    assert spread.shock_sd[0, 0] == pytest.approx(SHOCK_PRIOR_SD)
    assert spread.shock_df[0, 0] == PRIOR_DF


def test_calm_seasons_narrow_the_prior_by_their_number():
    spread = _spread([0.0, 0.0, 0.0])
    assert spread.shock_df[0, 0] == PRIOR_DF + 2
    assert spread.shock_sd[0, 0] == pytest.approx(SHOCK_PRIOR_SD * np.sqrt(4 / 6))


def test_the_prior_never_narrows_what_the_seasons_show():
    """Two lifts of 4.2 and 5.4: their log standard deviation is 0.178."""
    deviations = np.log([4.2, 5.4]) - np.log([4.2, 5.4]).mean()
    spread = _spread(deviations)
    assert spread.shock_sd[0, 0] == pytest.approx(np.std(np.log([4.2, 5.4]), ddof=1))
    # One day of two is half the evidence, whatever the shared leverage says.
    assert spread.coefficient_sd[0, 0] == pytest.approx(spread.shock_sd[0, 0] / np.sqrt(2))


def test_an_event_day_that_was_mostly_a_gap_is_no_precedent():
    residual = np.zeros((120, 24, 1))
    residual[90, 5:] = np.nan
    event_of_day = np.full(120, -1)
    event_of_day[[30, 90]] = 0
    spread = event_spread(
        residual, np.ones_like(residual), event_of_day=event_of_day, leverage=np.array([0.5])
    )
    assert spread.n[0, 0] == 1


def test_the_level_around_an_event_is_not_its_shock():
    residual = np.zeros((120, 24, 1))
    residual[80:100] = 0.3  # three weeks at a higher level, the event among them
    event_of_day = np.full(120, -1)
    event_of_day[[30, 90]] = 0
    spread = event_spread(
        residual, np.ones_like(residual), event_of_day=event_of_day, leverage=np.array([0.5])
    )
    assert spread.shock_sd[0, 0] == pytest.approx(SHOCK_PRIOR_SD * np.sqrt(4 / 5))


def test_gaps_take_the_same_weekday_and_hour():
    residual = np.arange(28 * 24, dtype=float).reshape(28, 24)
    gappy = residual.copy()
    gappy[9, 3] = np.nan
    gappy[0] = np.nan
    filled = fill_weeks(gappy, first_day=0)
    assert filled[9, 3] == residual[2, 3]
    np.testing.assert_array_equal(filled[0], residual[7])
    untouched = ~np.isnan(gappy)
    np.testing.assert_array_equal(filled[untouched], gappy[untouched])


def test_days_before_a_birth_repeat_own_days_on_the_same_weekday():
    residual = np.full((50, 24), np.nan)
    residual[29:] = np.arange(21)[:, None]
    filled = fill_weeks(residual, first_day=29)
    for day in range(29):
        assert (filled[day] == filled[day + 21]).all()
        assert (day - 29 - filled[day, 0]) % 7 == 0
    assert (
        fill_weeks(np.full((14, 24), np.nan), first_day=0).tolist() == np.zeros((14, 24)).tolist()
    )


def test_leaving_one_year_out_is_predicting_it_from_the_others():
    """Log lifts 1.0, 1.3, 1.6: from the other two each is missed by -0.45, 0, +0.45."""
    spread = _spread(list(np.array([1.0, 1.3, 1.6]) - 1.3))
    missed = np.array([-0.45, 0.0, 0.45])
    assert spread.left_out_error(0, 0) == pytest.approx(np.sqrt((missed**2).mean()))
    assert np.isnan(_spread([0.2]).left_out_error(0, 0))
