"""Static, scheduled, autoscaled: hand-worked hours, and what must hold on any path."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from capmodel.capacity.provisioning import (
    Autoscaler,
    autoscaled_units,
    compare_provisioning,
    scheduled_units,
    static_units,
)
from capmodel.errors import InputError

ALONE = np.ones(1)


def test_two_days_by_hand() -> None:
    """Four steps of six hours: 20, 100, 20, 20 requests/s; 10 per unit at target, 16 at most.

    Static 10: 240 unit-hours. Scheduled 10 then 3: 6*(10+10+3+3) = 156. Autoscaled, three hours
    late, at least 3: asked 3, 10, 3, 3; each step half the last and half its own: 18, 39, 39, 18 =
    114 unit-hours, and 3 units for 100 requests (needs 6.25) for three hours.
    """
    load = np.array([[[20.0, 100.0, 20.0, 20.0]]])
    scaler = Autoscaler(units_per_load=0.1, minimum=3, maximum=40, delay_h=3.0)
    days = np.array([10.0, 3.0])
    ways = {
        "static": static_units(days),
        "scheduled": scheduled_units(days, day_of_step=np.array([0, 0, 1, 1])),
        "autoscaled": autoscaled_units(load, scaler, step_h=6.0),
    }
    found = compare_provisioning(load, ways, hard_units_per_load=1 / 16, weights=ALONE, step_h=6.0)
    assert [w.unit_hours_mean for w in found.ways.values()] == pytest.approx([240, 156, 114])
    assert [w.short_hours_mean for w in found.ways.values()] == [0.0, 0.0, 3.0]
    late = found.ways["autoscaled"]
    assert (late.p_short, late.short_share, late.peak_units_max) == (1.0, 3 / 24, 10.0)
    frame = found.to_frame().set_index("way")
    assert frame.loc["autoscaled", "of_largest_x"] == pytest.approx(114 / 240)
    assert found.hours == 24


def test_quantiles_and_probabilities_over_the_mixture() -> None:
    """Two scenarios of 0.75 and 0.25, four draws: one of the second's exceeds the static 10."""
    load = np.array([[[1.0], [2.0], [3.0], [4.0]], [[5.0], [6.0], [9.0], [12.0]]])
    scaler = Autoscaler(units_per_load=1.0, minimum=0, maximum=100, delay_h=0.0)
    found = compare_provisioning(
        load,
        {
            "static": static_units(np.array([10.0])),
            "auto": autoscaled_units(load, scaler, step_h=1),
        },
        hard_units_per_load=1.0,
        weights=np.array([0.75, 0.25]),
        step_h=1.0,
    )
    static, auto = found.ways["static"], found.ways["auto"]
    assert static.p_short == pytest.approx(0.0625)
    assert auto.p_short == 0.0
    assert auto.unit_hours_mean == pytest.approx(0.75 * 2.5 + 0.25 * 8.0)
    assert (auto.unit_hours_p50, auto.unit_hours_p90) == (3.0, 9.0)
    assert (auto.peak_units_p50, auto.peak_units_max) == (3.0, 12.0)
    assert static.mc_se > 0


def test_a_schedule_rises_early_and_falls_on_the_day() -> None:
    days = np.array([2.0, 2.0, 2.0, 9.0, 5.0, 2.0])
    day_of_step = np.repeat(np.arange(6), [24, 23, 24, 24, 25, 24])  # clocks change twice
    for lead, expected in ((0, [2, 2, 2, 9, 5, 2]), (2, [2, 9, 9, 9, 5, 2])):
        units = scheduled_units(days, day_of_step=day_of_step, lead_days=lead).parts[0][1]
        assert units.shape == (144,)
        assert units[np.searchsorted(day_of_step, np.arange(6))].tolist() == expected


def test_a_delay_of_more_than_a_step() -> None:
    """90 minutes late on hourly steps: half of what was asked two hours ago, half one ago."""
    load = np.array([[[1.0, 2.0, 3.0, 4.0]]])
    scaler = Autoscaler(units_per_load=1.0, minimum=0, maximum=100, delay_h=1.5)
    parts = autoscaled_units(load, scaler, step_h=1.0).parts
    assert [(share, units[0, 0].tolist()) for share, units in parts] == [
        (0.5, [1, 1, 1, 2]), (0.5, [1, 1, 2, 3]),
    ]  # fmt: skip


def test_a_step_of_the_load_survives_as_the_target_allows() -> None:
    """At a 60 % target units hold 1/0.6 = 1.67 times the load that they were scaled for."""
    scaler = Autoscaler(units_per_load=1 / 0.6, minimum=1, maximum=1e6, delay_h=5 / 60)
    for rise, short in ((1.5, 0.0), (2.0, 5.0)):
        load = np.full((1, 1, 60), 600.0)
        load[..., 30:] *= rise
        way = autoscaled_units(load, scaler, step_h=1 / 60)
        found = compare_provisioning(
            load, {"auto": way}, hard_units_per_load=1.0, weights=ALONE, step_h=1 / 60
        )
        assert 60 * found.ways["auto"].short_hours_mean == pytest.approx(short)


@given(
    seed=st.integers(0, 40),
    delay=st.sampled_from([0.0, 0.1, 1.0, 2.5]),
    k=st.sampled_from([1.0, 1.4, 3.0]),
)
def test_properties_on_any_path(seed: int, delay: float, k: float) -> None:
    rng = np.random.default_rng(seed)
    load = rng.gamma(4.0, 10.0, size=(2, 5, 48))
    weights = np.array([0.4, 0.6])

    def judged(scale: float, floor: float) -> dict[str, float]:
        scaler = Autoscaler(units_per_load=0.5, minimum=floor, maximum=400, delay_h=delay)
        way = autoscaled_units(scale * load, scaler, step_h=1.0)
        top = static_units(np.ceil(scale * load * 0.5).max(axis=(0, 1)))
        ways = {"auto": way, "static": top}
        found = compare_provisioning(
            scale * load, ways, hard_units_per_load=0.4, weights=weights, step_h=1.0
        ).ways
        assert found["static"].p_short == 0
        assert found["auto"].unit_hours_mean <= max(found["static"].unit_hours_mean, 48 * floor)
        assert found["auto"].p_short >= found["auto"].short_share
        return {"hours": found["auto"].unit_hours_mean, "short": found["auto"].short_hours_mean}

    assert judged(1.0, 2) == judged(1.0, 2)
    assert judged(k, 2)["hours"] >= judged(1.0, 2)["hours"]
    assert judged(1.0, 30)["short"] <= judged(1.0, 2)["short"]
    if delay == 0:
        assert judged(k, 2)["short"] == 0


def test_one_path_of_one_step_and_an_infeasible_schedule() -> None:
    load = np.array([[[5.0]]])
    ways = {"none": static_units(np.array([np.inf])), "zero": static_units(np.array([0.0]))}
    found = compare_provisioning(load, ways, hard_units_per_load=1.0, weights=ALONE, step_h=0.25)
    assert found.ways["none"].unit_hours_mean == np.inf
    assert found.ways["zero"].short_hours_mean == 0.25


def test_bad_input_names_every_argument() -> None:
    with pytest.raises(InputError, match=r"(?s)units_per_load.*maximum.*delay_h"):
        Autoscaler(units_per_load=0, minimum=5, maximum=4, delay_h=-1)
    with pytest.raises(InputError, match=r"(?s)load.*weights.*ways.*step_h"):
        compare_provisioning(
            np.array([[[-1.0]]]), {}, hard_units_per_load=1, weights=ALONE * 0.5, step_h=0
        )
    with pytest.raises(InputError, match="lead_days"):
        scheduled_units(np.ones(2), day_of_step=np.arange(2), lead_days=-1)
