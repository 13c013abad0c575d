from __future__ import annotations

from datetime import date
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
import stories

from capmodel.catalog import Catalog
from capmodel.events import Events
from capmodel.history import History
from capmodel.plan import Study
from capmodel.plan.made_from import events_digest, input_days, with_recorded_rows

TZ = "America/New_York"


def history(start: str, hours: int, *, step: str = "h", tagged: slice = slice(0)) -> History:
    times = pd.date_range(start, periods=hours, freq=step, tz="UTC")
    tags = np.full(hours, "", dtype=object)
    tags[tagged] = "load_test"
    frame = pd.DataFrame({"service": "api", "time": times, "rps": 5.0, "tag": tags})
    return History.from_frame(frame, business_tz=TZ)


def test_days_are_local_and_of_the_last_interval():
    """The interval of 03:00 UTC on 21 September is 23:00 of the 20th in New York."""
    ends_at_four = history("2026-09-01T04:00", 20 * 24)  # the last interval starts at 03:00 UTC
    assert input_days(ends_at_four, None) == {"history": date(2026, 9, 20)}
    assert input_days(history("2026-09-01T04:00", 20 * 24 + 1), None)["history"] == date(
        2026, 9, 21
    )


def test_the_latest_load_test_of_either_history_counts():
    coarse = history("2026-09-01T04:00", 20 * 24, tagged=slice(24, 48))
    fine = history("2026-09-10T04:00", 1440, step="min", tagged=slice(10, 20))
    assert input_days(coarse, None)["load_tests"] == date(2026, 9, 2)
    assert input_days(coarse, fine) == {
        "history": date(2026, 9, 20), "fine": date(2026, 9, 10), "load_tests": date(2026, 9, 10),
    }  # fmt: skip


def test_a_calendar_is_known_by_its_days():
    retail = Events.us_retail(2025, 2026)
    assert events_digest(retail) == events_digest(Events(tuple(reversed(retail.days))))
    more = retail.add("launch", "2026-11-20", days=3)
    other = retail.add("launch", "2026-11-20", days=2)
    assert len({events_digest(one) for one in (retail, more, other)}) == 3


def test_recorded_rows_replace_a_catalog_s(tmp_path):
    plan = Study.read(stories.proportional_pool(tmp_path)).plan()
    builtin = Catalog.builtin()
    assert builtin.node_type("m6i.4xlarge").price_usd_per_hour == Decimal("0.768")
    recorded = with_recorded_rows(builtin, plan.meta["catalog"])
    row = recorded.node_type("m6i.4xlarge")
    assert (row.price_usd_per_hour, row.as_of) == (Decimal("0.6528"), date(2026, 9, 1))
    assert recorded.node_type("m6i.2xlarge") == builtin.node_type("m6i.2xlarge")


@pytest.mark.parametrize("place", ["events", "catalog"])
def test_a_record_of_an_earlier_release_is_no_changed_input(tmp_path, place):
    from dataclasses import replace

    plan = Study.read(stories.proportional_pool(tmp_path)).plan()
    earlier = replace(plan, meta={k: v for k, v in plan.meta.items() if k != place})
    assert plan.changed_inputs(earlier).empty
    assert earlier.changed_inputs(plan).empty


def test_a_field_that_an_earlier_release_lacks_is_no_change_while_it_is_empty(tmp_path):
    from dataclasses import replace

    plan = Study.read(stories.proportional_pool(tmp_path)).plan()
    scenarios = [
        {**one, "assumptions": {k: v for k, v in one["assumptions"].items() if k != "lift"}}
        for one in plan.meta["scenarios"]
    ]
    earlier = replace(plan, meta={**plan.meta, "scenarios": scenarios})
    assert plan.changed_inputs(earlier).empty
