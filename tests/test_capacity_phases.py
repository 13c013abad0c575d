"""Estates that change on dates: each day is evaluated with its own cores per request."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from estates import DAYS, DRAWS, estate, loads
from hypothesis import given
from hypothesis import strategies as st

from capmodel.capacity.estate import AUTOSCALED, SATURATED, Estate
from capmodel.capacity.evaluate import (
    connections_instant,
    nodes_needed,
    pods_needed,
    pool_instant,
    pool_pods_per_zone,
    saturation_of,
    usage_of,
    zone_fills,
    zone_pods,
)
from capmodel.capacity.limits import limits_of
from capmodel.capacity.loads import Loads
from capmodel.capacity.phases import estate_under, phases_of, with_phases
from capmodel.capacity.sizing import Season, needs_of

LOAD = loads(np.array([[40.0, 55, 70], [90, 60, 40], [50, 50, 50], [45, 80, 20]]))
ratios = st.lists(st.sampled_from([0.5, 0.8, 1.0, 1.3]), min_size=DAYS, max_size=DAYS)


def dated(api: list[float], underwriting: list[float]) -> tuple[Estate, Loads]:
    """Return estate and loads whose services burn other cores on some days."""
    cores_x = {"api": np.array(api), "underwriting": np.array(underwriting)}
    return with_phases(estate(), [cores_x]), replace(LOAD, cores_x=cores_x)


def by_hand(made: Estate, load: Loads, day: int) -> tuple[Estate, Loads]:
    """Return one day with its own services, whatever stands on the others."""
    state = {name: float(x[day]) for name, x in load.cores_x.items()}
    here = slice(day, day + 1)
    one = replace(load.take(slice(None), here), cores_x={})
    return estate_under(made, state).take(slice(None), here), one


@given(api=ratios, underwriting=ratios)
@pytest.mark.slow
def test_every_answer_is_that_of_its_own_day(api: list[float], underwriting: list[float]) -> None:
    made, load = dated(api, underwriting)
    answers: list[Any] = [
        lambda e, one: pods_needed(e, one, "api", AUTOSCALED),
        lambda e, one: nodes_needed(e, one, "general", SATURATED),
        lambda e, one: zone_fills(e, one, "general", (AUTOSCALED, SATURATED))[1],
        lambda e, one: zone_fills(
            e, one, "general", (AUTOSCALED,), pool_instant(e, one, "general")
        )[0],
        lambda e, one: pool_pods_per_zone(e, one, "general", AUTOSCALED)["underwriting"],
        lambda e, one: zone_pods(e, one, "general")[1],
        lambda e, one: connections_instant(e, one, "db")["checkouts"],
    ]
    for limit in limits_of(made):
        if limit.kind != "storage":
            answers.append(lambda e, one, limit=limit: usage_of(limit, e, one))
            answers.append(
                lambda e, one, limit=limit: saturation_of(limit, e, one, usage_of(limit, e, one))
            )
    for answer in answers:
        whole = np.broadcast_to(answer(made, load), (DRAWS, DAYS))
        for day in range(DAYS):
            alone = np.broadcast_to(answer(*by_hand(made, load, day)), (DRAWS, 1))
            np.testing.assert_array_equal(whole[:, [day]], alone)


def test_runs_of_days_with_one_state_are_one_phase() -> None:
    _, load = dated([1.0, 0.8, 0.8], [1.0, 1.0, 1.0])
    assert [(days.start, days.stop, state["api"]) for days, state in phases_of(load)] == [
        (0, 1, 1.0), (1, 3, 0.8),
    ]  # fmt: skip


def test_pods_by_hand() -> None:
    """0.085 cores a request beside 0.05 idle, at 60 % of 2 cores; a fifth less from day two.

    On the second path the first day asks for the most, with today's cores; on the last the second,
    whose 80 checkouts a second weigh as 64.
    """
    made, load = dated([1.0, 0.8, 0.8], [1.0] * 3)
    pods = pods_needed(made, load, "api", AUTOSCALED)[0]
    expected = [160 * 0.085 / 1.15, 220 * 0.068 / 1.16, 280 * 0.068 / 1.16]
    np.testing.assert_allclose(pods, expected)
    needs = needs_of(made, [load], season=Season(0, DAYS))
    assert needs.pods_day["api"][0].tolist() == [2, 0, 0, 1]


def test_todays_cores_cost_nothing_and_change_nothing() -> None:
    made = estate()
    assert with_phases(made, [{}]).improved == {}
    assert estate_under(made, {"api": 0.8}) is made
    same, load = dated([1.0] * 3, [1.0] * 3)
    assert same.improved == {}
    pods = pods_needed(same, load, "api", SATURATED)
    assert (pods == pods_needed(made, LOAD, "api", SATURATED)).all()


def test_a_state_that_no_pods_hold_leaves_the_service_out_on_all_days() -> None:
    """0.05 idle cores times 25 are more than the 1.2 that the target leaves."""
    made, load = dated([1.0, 25.0, 1.0], [1.0] * 3)
    use, hold = made.rates.infeasible["api"]
    assert use.resource == "cpu_cores"
    assert hold == AUTOSCALED
    assert set(pool_pods_per_zone(made, load, "general", AUTOSCALED)) == {"underwriting"}


@pytest.mark.parametrize("days", [slice(0, 1), slice(1, 3)])
def test_parts_of_the_days_keep_their_own_ratios(days: slice) -> None:
    made, load = dated([1.0, 0.8, 0.5], [1.0] * 3)
    whole = pods_needed(made, load, "api", AUTOSCALED)
    part = pods_needed(
        made.take(slice(None), days), load.take(slice(None), days), "api", AUTOSCALED
    )
    np.testing.assert_array_equal(part, whole[:, days])
