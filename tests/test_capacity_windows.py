"""Windows of the horizon: local ISO weeks, and events that take their days or share them."""

from __future__ import annotations

import numpy as np
import pytest

from capmodel.capacity.windows import calendar_windows
from capmodel.errors import InputError

DATES = np.arange(np.datetime64("2026-11-23"), np.datetime64("2026-12-14"))  # W48 to W50
EVENTS = [("black_friday", 4, 4), ("cyber_monday", 7, 7)]


def test_weeks_are_iso_weeks_of_local_days_and_may_be_parts() -> None:
    """1 January 2027 is a Friday of ISO week 53 of 2026."""
    days = np.arange(np.datetime64("2026-12-27"), np.datetime64("2027-01-05"))
    windows = calendar_windows(days)
    assert [(w.name, w.days[0], len(w.days)) for w in windows] == [
        ("2026-W52", 0, 1), ("2026-W53", 1, 7), ("2027-W01", 8, 1),
    ]  # fmt: skip


def test_events_take_their_days_or_share_them() -> None:
    apart = calendar_windows(DATES, EVENTS)
    assert [(w.name, w.kind) for w in apart] == [
        ("2026-W48", "week"), ("black_friday", "event"), ("cyber_monday", "event"),
        ("2026-W49", "week"), ("2026-W50", "week"),
    ]  # fmt: skip
    assert sorted(day for w in apart for day in w.days) == list(range(21))
    assert apart[0].days == (0, 1, 2, 3, 5, 6)
    whole = calendar_windows(DATES, EVENTS, apart=False)
    assert [len(w.days) for w in whole if w.kind == "week"] == [7, 7, 7]
    assert {w.name for w in calendar_windows(DATES[:7], [("sale", 0, 6)])} == {"sale"}


def test_a_calendar_with_holes_or_an_event_outside_is_refused_in_one_error() -> None:
    with pytest.raises(InputError, match=r"(?s)dates: got 2 days.*events.launch: got days 1 to 9"):
        calendar_windows(DATES[[0, 2]], [("launch", 1, 9)])
    with pytest.raises(InputError, match="no days"):
        calendar_windows(DATES[:0])
