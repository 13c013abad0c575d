"""Futures of a plan: windowed events under scenarios that assume different lifts of them."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from demand_worlds import history_of, planted

from capmodel.capacity.loads import CallRatio
from capmodel.errors import InputError
from capmodel.events import Events
from capmodel.peaks import PeakFit, Remainder
from capmodel.peaks.pools import observed_pool
from capmodel.plan.calls import carried_calls
from capmodel.plan.futures import Futures, make_futures
from capmodel.plan.model import CapacityFit, CapacityModel
from capmodel.plan.request import Horizon, PlanRequest, Sampling, Setting
from capmodel.scenario import Scenario
from capmodel.topology import Topology

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


SEEN = {"flash_sale": {"cart": 2.0, "shop": 2.0}}


def request_of(fit: CapacityFit, scenarios: list[Scenario]) -> PlanRequest:
    return PlanRequest.of(
        fit, scenarios, horizon=Horizon.of("2026-06-01", "2026-06-28"),
        sampling=Sampling(seed=3, draws=200), setting=Setting(),
    )  # fmt: skip


def futures(fit: CapacityFit, *lifts: dict[str, float]) -> Futures:
    """Return the futures of scenarios s0, s1, ... that assume these lifts of the sale."""
    scenarios = [Scenario(name=f"s{i}", lift={"flash_sale": lift}) for i, lift in enumerate(lifts)]
    return make_futures(fit, request_of(fit, scenarios))


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


def test_a_scenario_s_burst_is_that_of_its_own_rates(fit: CapacityFit) -> None:
    """Planted: log burst falls by 0.1 per log rate, so half the demand has 2^0.1 of the burst."""
    rate = np.geomspace(1e-2, 1e8, 400)
    pool = observed_pool(np.exp(0.1 * np.log(1e8 / rate)), rate, slope=-0.1)
    assert pool is not None
    peaks = PeakFit({"cart": pool}, {"cart": pool})
    fit = dataclasses.replace(fit, peaks=peaks)
    demand = [{}, {"cart": 0.5}, {"cart": 0.5}]
    made = make_futures(
        fit,
        request_of(
            fit, [Scenario(name=f"s{i}", lift=SEEN, demand_x=x) for i, x in enumerate(demand)]
        ),
    )
    full, half, again = (load.roots["cart"] for load in made.loads)
    np.testing.assert_allclose(half.burst_x / full.burst_x, 2**0.1, rtol=1e-6)
    low, high = made.loads[1].root_peak("cart"), made.loads[0].root_peak("cart")
    np.testing.assert_allclose(low / high, 0.5 * 2**0.1, rtol=1e-6)
    assert again is half
    assert made.loads[0].roots["shop"] is made.loads[1].roots["shop"]


def test_a_stated_factor_is_exact_in_every_scenario(fit: CapacityFit) -> None:
    stated = dataclasses.replace(fit, peaks=fit.peaks.with_declared({"cart": 1.35}))
    scenarios = [Scenario(name=f"s{x}", lift=SEEN, demand_x={"cart": x}) for x in (1.0, 0.5)]
    made = make_futures(stated, request_of(stated, scenarios))
    for load in made.loads:
        cart = load.roots["cart"]
        assert (cart.burst_x == 1.35).all()
        mean = cart.root.shape.max(axis=2) * load.factor["cart"]
        seconds = 60.0 if cart.root.quantity == "per_min" else 1.0
        np.testing.assert_allclose(load.root_peak("cart"), 1.35 * mean / seconds)
    assert made.loads[0].roots["cart"] is made.loads[1].roots["cart"]


def test_services_whose_minutes_can_be_compared_with_their_roots() -> None:
    """Promo is fed by two roots, one of them without minutes; batch calls nobody."""
    topology = Topology.model_validate(
        {
            "drivers": {"checkouts": {}, "impressions": {}},
            "services": {
                "api": {"calls": {"checkouts": 4}},
                "ledger": {"calls": {"api": 0.5}},
                "promo": {"calls": {"api": 1, "impressions": 1}},
                "batch": {},
            },
        }
    )
    edges = {
        (caller, node): CallRatio(caller=caller, node=node, ratio=float(ratio))
        for node in topology.order
        for caller, ratio in topology.calls_of(node).items()
    }
    names = ("checkouts", "ledger", "promo", "batch")
    series = {name: planted("2026-03-01", "2026-03-08", lifts={}) for name in names}
    assert carried_calls(topology, edges, history_of(series)) == {"ledger": {"checkouts": 2.0}}


def test_a_remainder_is_drawn_for_its_service_only(fit: CapacityFit) -> None:
    """By name: a second remainder changes no draw of the first."""
    scenario = [Scenario(name="s", lift=SEEN)]
    one = {"cart": Remainder(log_median=0.1, log_sd=0.2, n_hours=99)}
    made = [
        make_futures(
            changed := dataclasses.replace(fit, peaks=dataclasses.replace(fit.peaks, remainders=r)),
            request_of(changed, scenario),
        ).loads[0]
        for r in ({}, one, {**one, "shop": one["cart"]})
    ]
    none, first, both = made
    assert (first.day_peak("shop") == none.day_peak("shop")).all()
    assert (first.day_peak("cart") == both.day_peak("cart")).all()
    log = np.log(first.day_peak("cart") / none.day_peak("cart"))
    assert log.mean() == pytest.approx(0.1, abs=0.01)
    assert log.std() == pytest.approx(0.2, rel=0.05)
    assert set(both.remainder) == {"cart", "shop"}
    assert not (both.remainder["cart"] == both.remainder["shop"]).any()


def test_a_sale_never_seen_asks_every_scenario_for_its_lift(fit: CapacityFit) -> None:
    with pytest.raises(
        InputError, match=r"scenarios.s1.lift: got no lift of \"flash_sale\" for sh"
    ):
        futures(fit, {"cart": 2.0, "shop": 2.0}, {"cart": 3.0})
