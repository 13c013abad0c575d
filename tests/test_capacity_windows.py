"""Windows of the horizon: the calendar, hand-worked needs, one budget over all windows."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from capmodel.capacity.replicas import ceil_units
from capmodel.capacity.risk import mixture_quantile
from capmodel.capacity.sizing import whole_nodes, whole_pods
from capmodel.capacity.windows import (
    Window,
    calendar_windows,
    daily_units,
    window_needs,
    window_peaks,
)
from capmodel.errors import InputError
from capmodel.topology import Hold

ALONE = np.ones(1)
HARD = Hold(failure="none", quantile="1-risk", up_to="hard")
P50 = Hold(failure="none", quantile=0.5, up_to="utilization")
ZONE = Hold(failure={"lose_zones": 1}, quantile=0.5, up_to="utilization_degraded")
PODS = partial(whole_pods, zones=3)
DATES = np.arange(np.datetime64("2026-11-23"), np.datetime64("2026-12-14"))  # W48 to W50
EVENTS = [("black_friday", 4, 4), ("cyber_monday", 7, 7)]


def season(seed: int, draws: int = 1000) -> np.ndarray:
    """Days of three weeks, (S=3, D, N): growth, a shock of the season, luck of the day, events."""
    rng = np.random.default_rng(seed)
    shape = np.where(np.arange(21) % 7 >= 5, 80.0, 100.0)
    shape[[4, 7]] = [260.0, 300.0]
    luck = 0.10 * rng.standard_normal((draws, 1)) + 0.05 * rng.standard_normal((draws, 21))
    return np.array([1.1, 1.25, 1.5])[:, None, None] * shape * np.exp(luck)


WEIGHTS = np.array([0.25, 0.55, 0.20])


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


def test_peaks_and_their_days() -> None:
    days = np.array([[[1.0, 5.0, 2.0], [9.0, 3.0, 4.0]]])
    peak, day = window_peaks(days, [Window("a", "week", (0, 1)), Window("b", "week", (2,))])
    assert peak.tolist() == [[[5.0, 9.0]], [[2.0, 4.0]]]
    assert day.tolist() == [[[1, 0]], [[2, 2]]]


def test_hand_worked_hold_rows() -> None:
    """Ten draws: P50 of the event is the 5th, 14.2 pods; with a zone of three lost ceil(15/2)*3."""
    rng = np.random.default_rng(0)
    event = rng.permutation([11.2, 12.2, 13.0, 13.9, 14.2, 15.0, 16.0, 17.0, 18.0, 19.5])
    days = np.stack([np.full(10, 4.0), event], axis=1)[None]
    windows = [Window("calm", "week", (0,)), Window("sale", "event", (1,))]
    found = window_needs(
        np.stack([days, days, days]), windows, holds=[HARD, P50, ZONE], alpha=0.1,
        weights=ALONE, whole=PODS,
    )  # fmt: skip
    rows = {(r.window.name, r.hold.up_to): r for r in found.rows}
    assert rows["sale", "utilization"].units == 15
    assert rows["sale", "utilization_degraded"].units == 24
    assert rows["sale", "utilization"].day == 1
    assert event[rows["sale", "utilization"].draw] == 14.2
    # Ten draws fit no tail: the largest, which an eleventh exceeds with probability 1/10 here.
    assert rows["sale", "hard"].units == 20
    assert found.p_any == pytest.approx(0.1)
    assert [r.units for r in found.rows if r.window.name == "calm"] == [4, 4, 6]
    assert [r.units for r in found.required()] == [6, 24]
    assert daily_units(found.required(), 2).tolist() == [6, 24]
    assert rows["sale", "hard"].p50 == 15


def test_windows_share_the_season_and_hold_in_seasons_that_did_not_size_them() -> None:
    """At their own 2 % three weeks and two events together are exceeded with 4.2 %."""
    windows = calendar_windows(DATES, EVENTS)
    shared: list[float] = []
    own: list[float] = []
    for seed in range(20):
        days = season(seed)
        found = window_needs(
            days[None], windows, holds=[HARD], alpha=0.02, weights=WEIGHTS, whole=lambda x, _: x
        )
        peak, _ = window_peaks(days, windows)
        each = [float(p[mixture_quantile(p, 0.98, WEIGHTS)]) for p in peak]
        after, _ = window_peaks(season(100 + seed, 4000), windows)
        for sizes, rows in (([r.units for r in found.rows], shared), (each, own)):
            over = (after > np.array(sizes)[:, None, None]).any(axis=0)
            rows.append(WEIGHTS @ over.mean(axis=1))
        assert found.p_any <= 0.02 + 1e-12
    # One sizing scatters by 0.2 * sqrt(0.1 * 0.9 / 1000) = 0.0019; 2 se of 20, judges included.
    assert np.mean(shared) == pytest.approx(0.02, abs=0.001)
    assert np.mean(own) == pytest.approx(0.042, abs=0.002)


def test_the_busiest_window_needs_at_least_the_seasons_units_and_the_others_fewer() -> None:
    days = season(3)
    windows = calendar_windows(DATES, EVENTS)
    rows = window_needs(days[None], windows, holds=[HARD], alpha=0.02, weights=WEIGHTS, whole=PODS)
    one = [Window("season", "week", tuple(range(21)))]
    (static,) = window_needs(
        days[None], one, holds=[HARD], alpha=0.02, weights=WEIGHTS, whole=PODS
    ).rows
    units = {row.window.name: row.units for row in rows.rows}
    assert static.units <= max(units.values()) <= 1.1 * static.units
    assert units["2026-W49"] < 0.5 * static.units
    schedule = daily_units(rows.required(), 21)
    assert schedule[7] == units["cyber_monday"]
    assert schedule.mean() < 0.6 * static.units


def test_the_path_named_asks_for_the_units_or_is_the_largest() -> None:
    days = season(4)
    windows = calendar_windows(DATES, EVENTS)
    for alpha in (0.02, 1e-5):
        rows = window_needs(
            days[None], windows, holds=[HARD], alpha=alpha, weights=WEIGHTS, whole=PODS
        ).rows
        for row in rows:
            need = ceil_units(days[row.scenario, row.draw, row.day])
            assert row.day in row.window.days
            assert need <= row.units if row.beyond else need >= row.units
    assert any(row.beyond for row in rows)


def test_nodes_round_per_zone_and_infeasible_days_are_inf() -> None:
    days = np.full((1, 1, 50, 2), 2.3)
    days[..., 1] = np.inf
    windows = [Window("a", "week", (0,)), Window("b", "week", (1,))]
    found = window_needs(
        days, windows, holds=[HARD], alpha=0.02, weights=ALONE, whole=partial(whole_nodes, zones=3)
    )
    assert [r.units for r in found.rows] == [9, np.inf]
    assert daily_units(found.required(), 2).tolist() == [9, np.inf]


@pytest.mark.slow
@given(seed=st.integers(0, 30), k=st.sampled_from([1.0, 1.3, 4.0]))
def test_monotone_in_demand_and_deterministic(seed: int, k: float) -> None:
    days = season(seed, 60)
    windows = calendar_windows(DATES, EVENTS)

    def units(scale: float, alpha: float) -> list[float]:
        rows = np.stack([scale * days, scale * days])
        found = window_needs(
            rows, windows, holds=[HARD, ZONE], alpha=alpha, weights=WEIGHTS, whole=PODS
        )
        return [row.units for row in found.required()]

    assert units(1.0, 0.05) == units(1.0, 0.05)
    assert all(a <= b for a, b in zip(units(1.0, 0.05), units(k, 0.05), strict=True))
    assert all(a <= b for a, b in zip(units(1.0, 0.2), units(1.0, 0.05), strict=True))


def test_rows_and_frame() -> None:
    windows = calendar_windows(DATES, EVENTS)
    days = season(5, 50)
    found = window_needs(
        np.stack([days, days]), windows, holds=[HARD, ZONE], alpha=0.02, weights=WEIGHTS, whole=PODS
    )
    frame = found.to_frame()
    assert len(frame) == 10
    monday = frame[(frame["window"] == "cyber_monday") & (frame["failure"] == "lose 1 zone")]
    assert monday[["days", "first_day", "last_day"]].to_numpy().tolist() == [[1, 7, 7]]
    with pytest.raises(InputError, match="20 of 21 days in no window"):
        daily_units([found.rows[2]], 21)
    with pytest.raises(InputError, match="needs of 1 rows for 2 hold rows"):
        window_needs(
            days[None], windows, holds=[HARD, P50], alpha=0.02, weights=WEIGHTS, whole=PODS
        )
