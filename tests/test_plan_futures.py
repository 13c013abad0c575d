"""Futures of a plan: windowed events under scenarios that assume different lifts of them."""

from __future__ import annotations

import numpy as np
import pytest
from demand_worlds import history_of, planted

from capmodel.errors import InputError
from capmodel.events import Events
from capmodel.plan.futures import Futures, make_futures
from capmodel.plan.model import CapacityFit, CapacityModel
from capmodel.plan.request import Horizon, PlanRequest, Sampling, Setting
from capmodel.scenario import Scenario

SALE = ("2026-06-18T18:00", "2026-06-18T22:00")
DAY = 17
"""The sale's place in a horizon from the first of June."""


@pytest.fixture(scope="module")
def fit() -> CapacityFit:
    events = Events.none().add("flash_sale", SALE[0], end=SALE[1], tag="flash")
    series = {
        name: planted("2026-03-01", "2026-06-01", lifts={}, noise=0.02, seed=i)
        for i, name in enumerate(("cart", "shop"))
    }
    return CapacityModel(events=events).fit(history_of(series))


def futures(fit: CapacityFit, *lifts: dict[str, float]) -> Futures:
    """Return the futures of scenarios s0, s1, ... that assume these lifts of the sale."""
    scenarios = [Scenario(name=f"s{i}", lift={"flash_sale": lift}) for i, lift in enumerate(lifts)]
    request = PlanRequest.of(
        fit, scenarios, horizon=Horizon.of("2026-06-01", "2026-06-28"),
        sampling=Sampling(seed=3, draws=200), setting=Setting(),
    )  # fmt: skip
    return make_futures(fit, request)


def hours(made: Futures, scenario: int, name: str) -> np.ndarray:
    return made.loads[scenario].roots[name].root.shape


def test_scenarios_lift_the_hours_of_a_sale_each_in_its_own_way(fit: CapacityFit) -> None:
    made = futures(fit, {"cart": 2.0, "shop": 2.0}, {"cart": 3.0, "shop": 2.0})
    ratio = hours(made, 1, "cart") / hours(made, 0, "cart")
    np.testing.assert_allclose(ratio[:, DAY, 18:22], 1.5)
    np.testing.assert_allclose(np.delete(ratio, DAY, axis=1), 1.0)
    np.testing.assert_allclose(ratio[:, DAY, :18], 1.0)
    low, high = (load.root_peak("cart") for load in made.loads)
    assert np.median(high[:, DAY] / low[:, DAY]) == pytest.approx(1.5, rel=0.01)  # in the evening
    np.testing.assert_allclose(np.delete(high, DAY, axis=1), np.delete(low, DAY, axis=1))
    assert made.loads[0].roots["shop"] is made.loads[1].roots["shop"]
    assert made.loads[1].roots["cart"].root.lift_x[DAY] == pytest.approx(3.0)


def test_a_sale_never_seen_asks_every_scenario_for_its_lift(fit: CapacityFit) -> None:
    with pytest.raises(
        InputError, match=r"scenarios.s1.lift: got no lift of \"flash_sale\" for sh"
    ):
        futures(fit, {"cart": 2.0, "shop": 2.0}, {"cart": 3.0})
