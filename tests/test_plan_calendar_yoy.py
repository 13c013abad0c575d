"""Year over year, where the year before has nothing to compare with."""

from __future__ import annotations

import datetime as dt
import math

import pytest

from capmodel.plan.calendar_yoy import _ratio


def test_a_silent_season_has_no_calendar_ratio():
    """A service that is mostly silent may have had nothing then: no ratio, and no warning."""
    day, before = dt.date(2026, 11, 30), dt.date(2025, 12, 1)
    assert math.isnan(_ratio({day: 3.0}, [day], {before: 0.0}, [before]))
    assert math.isnan(_ratio({day: 3.0}, [day], {}, [before]))
    assert _ratio({day: 3.0}, [day], {before: 2.0}, [before]) == pytest.approx(1.5)
