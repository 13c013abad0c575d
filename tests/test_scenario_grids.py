"""Grids: the scenarios of a product of axes, their names, and axes that do not fit."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import capmodel as cm
from capmodel.errors import InputError

BASE = cm.Scenario(
    name="base", growth_yoy_x={"checkouts": 1.25}, lift={"launch": {"checkouts": 1.15}}
)
ratios = st.lists(
    st.sampled_from([0.5, 0.8, 1.0, 1.1, 1.25, 1.5, 2.0, 4.0]), min_size=1, max_size=4, unique=True
)


def test_a_grid_is_the_product_in_the_order_of_its_axes() -> None:
    sweep = cm.grid(BASE, growth=[1.1, 1.25, 1.5], lift=[1.0, 1.2])
    made = sweep.scenarios(["checkouts", "impressions"])
    assert [s.name for s in made] == [
        f"growth {g:g}, lift {x:g}" for g in (1.1, 1.25, 1.5) for x in (1.0, 1.2)
    ]
    last = made[-1]
    assert last.growth_yoy_x == {"checkouts": 1.5, "impressions": 1.5}
    assert last.lift_x == {"all_events": 1.2}
    assert last.lift == BASE.lift
    assert {s.probability for s in made} == {None}


@given(growth=ratios, demand=ratios)
def test_every_point_is_met_once_and_named_for_itself(
    growth: list[float], demand: list[float]
) -> None:
    sweep = cm.grid(axes={"growth_yoy_x.a": growth, "demand_x.b": demand})
    made = sweep.scenarios(["a", "b"])
    points = [(s.growth_yoy_x["a"], s.demand_x["b"]) for s in made]
    assert points == list(itertools.product(growth, demand))
    assert len({s.name for s in made}) == len(growth) * len(demand)


def test_demand_multiplies_whatever_states_the_level() -> None:
    stated = cm.LogNormal(p50=6000, p95=7070)
    base = cm.Scenario(name="base", growth_yoy_x={"a": 1.2}, peak={"b": stated})
    (made,) = cm.grid(base, demand=[1.5]).scenarios(["a", "b", "c"])
    assert made.growth_yoy_x["a"] == pytest.approx(1.8)
    assert (made.peak["b"].p50, made.peak["b"].p95) == pytest.approx((9000, 10605))
    assert made.demand_x == {"c": 1.5}


def test_growth_takes_the_place_of_a_stated_demand() -> None:
    base = cm.Scenario(name="base", demand_x={"a": 1.2})
    (made,) = cm.grid(base, growth=[1.4]).scenarios(["a"])
    assert (made.growth_yoy_x, made.demand_x) == ({"a": 1.4}, {})


def test_a_lift_of_an_event_is_set_and_a_multiple_of_it_multiplied() -> None:
    axes = {"lift.cyber_monday.a": [3.0], "lift_x.black_friday": [1.1]}
    (made,) = cm.grid(cm.Scenario(name="base", lift_x={"black_friday": 2.0}), axes=axes).scenarios(
        ["a"]
    )
    assert made.lift == {"cyber_monday": {"a": 3.0}}
    assert made.lift_x == {"black_friday": 1.1}


def test_lift_multiplies_the_multiples_that_the_base_holds() -> None:
    base = cm.Scenario(name="base", lift_x={"black_friday": 2.0})
    (made,) = cm.grid(base, lift=[1.5]).scenarios(["a"])
    assert made.lift_x == {"all_events": 1.5, "black_friday": 3.0}


def test_probabilities_are_laid_on_in_the_order_of_the_names() -> None:
    sweep = cm.grid(growth=[1.1, 1.5], probabilities=[0.7, 0.3])
    assert [s.probability for s in sweep.scenarios(["a"])] == [0.7, 0.3]


WRONG: list[tuple[dict[str, Any], str, str, str]] = [
    ({"growth": [25.0]}, "grid.growth", "25", "Did you mean 1.25?"),
    ({"growth": [0.25]}, "grid.growth", "0.25", "Did you mean 1.25?"),
    ({"lift": [4.5]}, "grid.lift", "4.5", "Did you mean 1.045?"),
    ({"axes": {"growht": [1.2]}}, "grid.growht", 'unknown axis "growht"', 'Did you mean "growth"?'),
    (
        {"axes": {"growth_yoy.checkouts": [1.2]}},
        "grid.growth_yoy.checkouts",
        'unknown axis "growth_yoy.checkouts"',
        'Did you mean "growth_yoy_x.checkouts"?',
    ),
    ({"axes": {"lift.cyber_monday": [1.2]}}, "grid.lift.cyber_monday", "unknown axis", "lift"),
    ({"demand": []}, "grid.demand", "[]", "Write [1.1, 1.25, 1.5]."),
    ({"demand": [1.1, 1.1]}, "grid.demand", "[1.1, 1.1]", "Write [1.1, 1.25, 1.5]."),
    ({"demand": [math.nan]}, "grid.demand", "[nan]", "Write [1.1, 1.25, 1.5]."),
    ({}, "grid", "no axis", "Write grid(growth=[1.1, 1.25, 1.5])."),
    (
        {"growth": [1.1, 1.2], "probabilities": [0.5, 0.4]},
        "grid.probabilities",
        "2 of sum 0.9",
        "leave them out",
    ),
    (
        {"growth": [1.1, 1.2], "probabilities": [1.0]},
        "grid.probabilities",
        "1 of sum 1",
        "leave them out",
    ),
]


@pytest.mark.parametrize(("arguments", "where", "got", "do"), WRONG)
def test_what_does_not_fit_is_refused(
    arguments: dict[str, Any], where: str, got: str, do: str
) -> None:
    with pytest.raises(InputError) as error:
        cm.grid(**arguments)
    (problem,) = error.value.problems
    assert problem.where == where
    assert got in problem.got
    assert problem.expected
    assert do in problem.do


def test_every_axis_is_refused_at_once() -> None:
    with pytest.raises(InputError) as error:
        cm.grid(growth=[25], lift=[], axes={"x": [1]})
    assert [p.where for p in error.value.problems] == ["grid.growth", "grid.lift", "grid.x"]


def test_a_grid_has_an_end() -> None:
    values = [1 + k / 100 for k in range(20)]
    with pytest.raises(InputError, match="400 scenarios"):
        cm.grid(growth=values, demand=values)


def test_a_product_outside_the_range_is_refused_for_the_grid_too() -> None:
    sweep = cm.grid(BASE, demand=[1.0, 3.5])  # 1.25 x 3.5 = 4.375
    with pytest.raises(InputError) as error:
        sweep.scenarios(["checkouts"])
    (problem,) = error.value.problems
    assert problem.where == "demand 3.5.growth_yoy_x.checkouts"
    assert problem.got == "4.375"


def test_an_axis_of_an_unknown_root_is_named_once() -> None:
    sweep = cm.grid(axes={"growth_yoy_x.chekouts": [1.1, 1.2, 1.3]})
    with pytest.raises(InputError) as error:
        sweep.scenarios(["checkouts", "impressions"])
    (problem,) = error.value.problems
    assert problem.got == 'unknown driver "chekouts"'
    assert problem.do == 'Did you mean "growth_yoy_x.checkouts"?'


def test_growth_and_lift_of_a_stated_peak_move_nothing_and_are_refused() -> None:
    base = cm.Scenario(name="base", peak={"a": cm.LogNormal(p50=6000, p95=7070)})
    with pytest.raises(InputError) as error:
        cm.grid(base, growth=[1.1], lift=[1.2]).scenarios(["a"])
    assert [p.where for p in error.value.problems] == ["grid.growth", "grid.lift"]
    assert all("Use demand" in p.do for p in error.value.problems)
