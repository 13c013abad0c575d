"""Reading, findings and lifts on data that others measured."""

from __future__ import annotations

import numpy as np
import pytest

from capmodel.sources import read_csv

pytestmark = pytest.mark.real


def test_bikes_are_naive_local_time_with_hours_that_never_were(data_dir):
    history = read_csv(
        data_dir / "bike_sharing_hourly_uci" / "bike_sharing_dataset_clean.csv.gz",
        business_tz="America/New_York",
        naive_tz="America/New_York",
        columns={"date_time": "time", "users": "per_min"},
        service="bikes",
    )
    assert history.n_steps == 17_544  # SOURCE.md: every hour of 2011 and 2012
    notes = {note.code: note for note in history.notes}
    assert notes["nonexistent_hour"].data["days"] == ["2011-03-13", "2012-03-11"]
    assert notes["ambiguous_hour"].data["days"] == ["2011-11-06", "2012-11-04"]
    total = np.nansum(history.between("2012-01-01", "2013-01-01").array("per_min"))
    # 2,050,498 rentals in 2012 (SOURCE.md); one hour was left out, one counted twice.
    assert total == pytest.approx(2_050_498, rel=1e-3)


def test_road_traffic_is_dirty_and_its_holidays_are_known(data_dir):
    history = read_csv(
        data_dir / "metro_interstate_traffic" / "hourly_traffic_volume.csv.gz",
        business_tz="America/Chicago",
        naive_tz="America/Chicago",
        columns={"date_time": "time", "traffic_volume": "per_min"},
        service="road",
    )
    findings = {finding.code: finding for finding in history.check()}
    assert history.check().errors() == ()
    # SOURCE.md: the longest gap ends 2015-06-11 20:00 after 308 days.
    gap = findings["gap"].data
    assert gap["longest_steps"] // 24 == 307
    assert gap["missing"]["per_min"] == pytest.approx(11_976, abs=10)
    assert findings["identical_duplicates"].data["steps"] > 5_000
    # Published multiples of normal: Thanksgiving and Christmas 0.57, Columbus Day 0.98 (SOURCE.md).
    lifts = history.lifts().groupby("event")["lift_x"].median()
    assert lifts["thanksgiving"] == pytest.approx(0.57, abs=0.06)
    assert lifts["christmas"] == pytest.approx(0.57, abs=0.06)
    assert lifts["columbus_day"] == pytest.approx(0.98, abs=0.03)
