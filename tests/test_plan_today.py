from __future__ import annotations

import dataclasses
import datetime as dt

import numpy as np
import pandas as pd
import pytest

from capmodel.events import Events
from capmodel.history import History
from capmodel.peaks import PeakFit
from capmodel.plan.today import RootToday, declared_today, measured_today, typical_burst
from capmodel.topology import Topology

TZ = "America/New_York"
PEAKS = PeakFit.number(["checkouts", "batch"], 1.35)
ESTATE = Topology.model_validate({"drivers": {"checkouts": {}}, "services": {"batch": {}}})
# A sale on the last Friday: ten times an ordinary day, and none of today's business.
SALE = dt.date(2026, 9, 18)
EVENTS = Events.none().add("sale", SALE)


def hourly(*, days: int = 60) -> History:
    """Whole local days up to 2026-09-20: the busiest hour of day d is 1000 + d at 20:00."""
    end = pd.Timestamp("2026-09-21", tz=TZ)
    time = pd.date_range(end - pd.Timedelta(days=days), end, freq="h", inclusive="left")
    day = (time.normalize() - time[0].normalize()).days.to_numpy()
    hour = time.hour.to_numpy()
    busiest = 1000.0 + day
    value = busiest * np.where(hour == 20, 1.0, 0.5)
    value = value * np.where(time.date == SALE, 10.0, 1.0)
    frame = pd.DataFrame({"service": "checkouts", "time": time.tz_convert("UTC"), "per_min": value})
    return History.from_frame(frame, business_tz=TZ)


def minutely(*, burst: float = 1.2) -> History:
    """Three local days by minute: flat hours of 100, 21:00 at 200 with one minute `burst` times."""
    time = pd.date_range("2026-09-17", "2026-09-20", freq="min", tz=TZ, inclusive="left")
    value = np.where(time.hour == 21, 200.0, 100.0)
    at = (time.hour == 21) & (time.minute == 30)
    # 59 equal minutes and one of `burst` times the hour's mean of 200.
    value = np.where((time.hour == 21) & ~at, 200.0 * (60 - burst) / 59, value)
    value = np.where(at, 200.0 * burst, value)
    value = value * np.where(time.date == SALE, 3.0, 1.0)
    value = np.where((time.date == SALE) & at, 9000.0, value)
    frame = pd.DataFrame({"service": "checkouts", "time": time.tz_convert("UTC"), "per_min": value})
    return History.from_frame(frame, business_tz=TZ)


def today(history: History, fine: History | None, estate: Topology = ESTATE) -> RootToday:
    return measured_today(estate, history, fine, peaks=PEAKS, events=EVENTS)["checkouts"]


def test_the_median_of_the_last_28_event_free_days_times_the_measured_burst() -> None:
    found = today(hourly(), minutely())
    # Days 0 to 59, of which 57 is the sale: the last 28 others are 31 to 59, median 44.5 by hand.
    kept = [d for d in range(60) if d != 57][-28:]
    assert kept[0] == 31
    assert found.value == pytest.approx((1000 + np.median(kept)) * 1.2, rel=1e-4)
    assert (found.burst_x, found.basis) == (pytest.approx(1.2, rel=1e-4), "measured")
    assert found.per_second == pytest.approx(found.value / 60)


def test_without_minutes_the_typical_burst_is_assumed() -> None:
    found = today(hourly(), None)
    assert (found.burst_x, found.basis) == (1.35, "assumed")
    assert typical_burst(PEAKS, "checkouts") == 1.35


def test_a_partial_last_day_does_not_count() -> None:
    """History that ends at noon: that day has not had its evening yet."""
    frame = hourly().to_frame()
    morning = frame[frame["time"] < pd.Timestamp("2026-09-20T12:00", tz=TZ)]
    found = today(History.from_frame(morning, business_tz=TZ), None)
    kept = [d for d in range(59) if d != 57][-28:]
    assert found.value == pytest.approx((1000 + np.median(kept)) * 1.35)


def test_a_declared_level_wins_over_history() -> None:
    declared = Topology.model_validate(
        {"drivers": {"checkouts": {"today_per_min": 4800}}, "services": {"batch": {"today_rps": 5}}}
    )
    found = measured_today(declared, hourly(), None, peaks=PEAKS, events=EVENTS)
    assert found["checkouts"].value == 4800
    assert found["checkouts"].basis == "assumed"
    assert found == declared_today(declared, peaks=PEAKS)
    assert found["batch"].per_second == 5  # per second already
    assert found["checkouts"].per_second == 80


def test_a_history_by_the_day_has_no_busiest_hour() -> None:
    time = pd.date_range("2026-05-01", periods=90, freq="D", tz="UTC")
    frame = pd.DataFrame({"service": "checkouts", "time": time, "per_min": 100.0})
    assert np.isnan(today(History.from_frame(frame, business_tz="UTC"), None).value)


def test_what_nobody_knows_is_nan() -> None:
    found = measured_today(ESTATE, hourly(), None, peaks=PEAKS, events=EVENTS)
    assert np.isnan(found["batch"].value)
    assert dataclasses.replace(found["batch"], value=3.0).per_second == 3.0
