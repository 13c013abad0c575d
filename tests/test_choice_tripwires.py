"""Two orders instead of one: planted truth with a closed form, what must hold for any, edges."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from capmodel.capacity.union import union_sizes
from capmodel.choice import Ask, Late, Lattice, Tripwires, conditional_need, tripwires

ALONE = np.ones(1)
BEFORE, AFTER, RISK = 0.13, 0.07, 0.02
SEEN = np.sqrt(BEFORE**2 - AFTER**2)


def seasons(seed: int, n: int, *, nodes: float = 1000.0) -> tuple[np.ndarray, np.ndarray]:
    """Return (need, run rate): log-sd .13 before the run rate is seen and .07 after, (1, n)."""
    rng = np.random.default_rng([seed, 77])
    seen = SEEN * rng.standard_normal((1, n))
    return nodes * np.exp(seen + AFTER * rng.standard_normal((1, n))), 2e6 * np.exp(seen)


def two_orders(need: np.ndarray, rate: np.ndarray, **more: object) -> Tripwires:
    weights = np.full(len(need), 1 / len(need))
    found = tripwires([Ask(need, RISK, is_risk=True)], rate, weights, **more)  # type: ignore[arg-type]
    assert found is not None
    return found


def test_the_conditional_size_is_that_of_the_closed_form() -> None:
    """2 % of exp(m + .07 z) lies above exp(m + 2.054 * .07); a law fitted to 20,000 seasons."""
    need, rate = seasons(0, 20_000)
    law = conditional_need(need, rate, ALONE)
    assert law is not None
    at = 2e6 * np.exp(np.array([-0.15, 0.0, 0.15]))
    expected = 1000 * np.exp(np.array([-0.15, 0.0, 0.15]) + AFTER * norm.isf(RISK))
    assert law.size(at, RISK) == pytest.approx(expected, rel=0.006)
    assert law.size(at, 0.5) == pytest.approx(1000 * at / 2e6, rel=0.005)
    assert law.sigma_log == pytest.approx(BEFORE, rel=0.02)
    assert law.sigma_log_seen == pytest.approx(AFTER, rel=0.02)
    assert law.explained == pytest.approx(1 - (AFTER / BEFORE) ** 2, abs=0.01)


def test_two_orders_take_what_the_closed_form_says() -> None:
    """exp((.13^2 - .07^2) / 2 + 2.054 * .07) / exp(2.054 * .13) = 0.8894; rungs add at most 2 %."""
    need, rate = seasons(1, 20_000, nodes=100_000)
    found = two_orders(need, rate)
    one = 100_000 * np.exp(norm.isf(RISK) * BEFORE)
    closed = np.exp(SEEN**2 / 2 + norm.isf(RISK) * AFTER) / np.exp(norm.isf(RISK) * BEFORE)
    assert closed == pytest.approx(0.8894, abs=5e-5)
    assert closed < found.expected_units / one < closed + 0.025


def test_the_risk_is_kept_in_every_third_of_the_run_rates() -> None:
    """Not only on average: 60,000 fresh seasons, sized on 4,000; 2 % in each third within noise."""
    law = conditional_need(*seasons(2, 4000), ALONE)
    assert law is not None
    need, rate = (x[0] for x in seasons(3, 60_000))
    inside = (rate >= law.low) & (rate <= law.high)
    short = need[inside] > law.size(rate[inside], RISK)
    for third in np.array_split(np.argsort(rate[inside]), 3):
        # Sizing on 4,000 scatters by a seventh of the risk, judging on 20,000 by a twentieth.
        assert short[third].mean() == pytest.approx(RISK, abs=0.007)


def test_what_the_wires_say_of_units_and_risk_is_what_fresh_seasons_see() -> None:
    found = two_orders(*seasons(4, 20_000), lattice=Lattice(step=3, least=3))
    need, rate = seasons(5, 40_000)
    units = found.units(rate)
    assert units.mean() == pytest.approx(found.expected_units, rel=0.005)
    assert (need > units).mean() == pytest.approx(found.p_short, abs=0.003)
    assert found.p_short <= RISK
    for wire in found.wires:
        assert (rate > wire.above).mean() == pytest.approx(wire.p_fires, abs=0.02)


def test_a_run_rate_without_information_gives_the_one_order_back() -> None:
    need, _ = seasons(6, 4000)
    _, other = seasons(7, 4000)
    law = conditional_need(need, other, ALONE)
    assert law is not None
    one = union_sizes(need[None], ALONE, RISK)
    assert law.explained < 0.01
    assert law.size(np.quantile(other, [0.1, 0.5, 0.9]), one.alpha) == pytest.approx(
        np.repeat(one.sizes, 3), rel=0.02
    )
    found = tripwires([Ask(need, one.alpha, is_risk=True)], other, ALONE)
    assert found is not None
    assert found.expected_units == pytest.approx(one.sizes[0], rel=0.015)


def test_of_scenarios_the_run_rate_tells_which_one_it_is() -> None:
    """Growth of 1.10, 1.25 and 1.50 seen as it is; the need given that has log-sd .07 again."""
    growth, weights = np.array([1.10, 1.25, 1.50]), np.array([0.25, 0.55, 0.20])
    need, rate = seasons(8, 3000)
    many = growth[:, None] * need, growth[:, None] * rate
    law = conditional_need(*many, weights)
    assert law is not None
    assert law.sigma_log_seen == pytest.approx(AFTER, rel=0.04)
    found = tripwires([Ask(many[0], RISK, is_risk=True)], many[1], weights)
    one = union_sizes(many[0][None], weights, RISK).sizes[0]
    assert found is not None
    assert found.expected_units / one < 0.86
    assert found.p_short <= RISK


def test_thresholds_rise_with_units_and_rungs_join() -> None:
    found = two_orders(*seasons(9, 1000, nodes=90), lattice=Lattice(standing=24, step=3, least=6))
    above = [wire.above for wire in found.wires]
    assert above == sorted(above)
    stands = [found.now, *(wire.after for wire in found.wires)]
    assert [wire.before for wire in found.wires] == stands[:-1]
    assert all((wire.after - wire.before) % 3 == 0 for wire in found.wires)
    assert all(wire.after - wire.before >= 6 for wire in found.wires)
    fires = [wire.p_fires for wire in found.wires]
    assert fires == sorted(fires, reverse=True)
    assert found.low < above[0]
    assert above[-1] < found.high


@given(
    k=st.sampled_from([2, 5, 40]),
    rate_x=st.floats(1e-3, 1e3),
    seed=st.integers(0, 20),
)
def test_scaling_demand_scales_units_and_thresholds(k: int, rate_x: float, seed: int) -> None:
    need, rate = seasons(seed, 300, nodes=60)
    small = two_orders(need, rate, lattice=Lattice(standing=10, step=2, least=2))
    large = two_orders(k * need, rate_x * rate, lattice=Lattice(10 * k, 2 * k, 2 * k))
    assert large.now == k * small.now
    assert [w.after for w in large.wires] == [k * w.after for w in small.wires]
    assert [w.above for w in large.wires] == pytest.approx([rate_x * w.above for w in small.wires])
    assert large.expected_units == pytest.approx(k * small.expected_units)


def test_rows_of_the_policy_are_alternatives_and_the_larger_one_stands() -> None:
    """A row that asks 1.5 times the need at its median is above exp(2.054 * .07) = 1.155."""
    need, rate = seasons(10, 4000)
    rows = [Ask(need, RISK, is_risk=True), Ask(1.5 * need, 0.5)]
    both = tripwires(rows, rate, ALONE)
    median = tripwires(rows[1:], rate, ALONE)
    assert both is not None
    assert median is not None
    assert [(w.above, w.after) for w in both.wires] == [(w.above, w.after) for w in median.wires]
    assert both.asked == 1
    assert both.p_short < 0.001
    assert np.isnan(median.wires[0].p_short_if_refused) or median.p_short == 0


def test_a_late_price_orders_the_newsvendors_quantile_first() -> None:
    """At 1.25 times the price a unit is ordered late where it is needed in less than 80 %."""
    need, rate = seasons(11, 4000)
    free, dear = two_orders(need, rate), two_orders(need, rate, late=Late(price_x=1.25))
    assert dear.now > free.now
    assert dear.wires[0].p_fires == pytest.approx(0.8, abs=0.1)
    assert free.wires[0].p_fires > 0.9
    assert dear.expected_cost == pytest.approx(dear.now + 1.25 * (dear.expected_units - dear.now))
    assert dear.expected_cost > free.expected_cost
    assert free.expected_cost == free.expected_units


@pytest.mark.parametrize("p_refused", [0.02, 0.2])
def test_refusals_are_in_the_risk_of_both_stages(p_refused: float) -> None:
    """Fresh seasons, a coin for each late order: the whole stays within 2 %."""
    late = Late(p_refused=p_refused)
    found = two_orders(*seasons(12, 4000), late=late)
    need, rate = seasons(13, 60_000)
    refused = np.random.default_rng(0).random(need.shape) < p_refused
    stands = np.where(refused, found.now, found.units(rate))
    short = (need > stands).mean()
    assert short == pytest.approx(found.p_short, abs=0.003)
    assert short <= RISK + 0.002
    assert found.now > two_orders(*seasons(12, 4000)).now


def test_a_refusal_risks_what_the_first_order_leaves_open() -> None:
    found = two_orders(*seasons(14, 4000))
    need, rate = seasons(15, 60_000)
    last = found.wires[len(found.wires) // 2]
    after = found.wires[len(found.wires) // 2 + 1]
    band = (rate > last.above) & (rate <= after.above)
    assert (need[band] > found.now).mean() == pytest.approx(last.p_short_if_refused, abs=0.06)


@pytest.mark.parametrize("draws", [100, 101])
def test_a_hundred_draws_still_make_wires(draws: int) -> None:
    found = two_orders(*seasons(16, draws), lattice=Lattice(step=3))
    assert found.wires
    assert np.isfinite(found.expected_units)
    assert 0 <= found.p_short <= 0.06


def test_pools_of_one_or_two_units() -> None:
    found = two_orders(*seasons(17, 1000, nodes=1.2))
    assert {found.now, *(w.after for w in found.wires)} <= {1.0, 2.0, 3.0}
    assert found.units(np.array([found.low, found.high])).tolist() == [
        found.now, found.wires[-1].after if found.wires else found.now,
    ]  # fmt: skip


def test_needs_that_no_number_holds() -> None:
    need, rate = seasons(18, 2000)
    some, many = need.copy(), need.copy()
    some[0, :10], many[0, :100] = np.inf, np.inf  # 0.5 % and 5 % of the seasons
    found = two_orders(some, rate)
    assert np.isfinite([w.after for w in found.wires]).all()
    assert found.p_short >= 0.005
    assert tripwires([Ask(many, RISK, is_risk=True)], rate, ALONE) is None


def test_nothing_is_learnt_from_a_constant_and_nothing_is_extrapolated() -> None:
    need, rate = seasons(19, 500)
    assert conditional_need(need, np.ones_like(rate), ALONE) is None
    assert conditional_need(np.where(need > 1100, need, 0.0), rate, ALONE) is None
    assert tripwires([Ask(need, RISK, is_risk=True)], np.ones_like(rate), ALONE) is None
    law = conditional_need(need, rate, ALONE)
    assert law is not None
    for beyond in (law.low * 0.99, law.high * 1.01):
        with pytest.raises(ValueError, match="run rates from"):
            law.size(np.array([beyond]), RISK)
    found = two_orders(need, rate)
    assert found.units(np.array([found.low / 2, found.high * 2])).tolist() == [
        found.now, found.wires[-1].after,
    ]  # fmt: skip


def test_scenarios_without_probability_say_nothing() -> None:
    need, rate = seasons(20, 1000)
    wild = np.concatenate([need, 100 * need]), np.concatenate([rate, rate / 100])
    weights = np.array([1.0, 0.0])
    found = tripwires([Ask(wild[0], RISK, is_risk=True)], wild[1], weights)
    alone = tripwires([Ask(need, RISK, is_risk=True)], rate, ALONE)
    assert found is not None
    assert alone is not None
    assert found.wires == alone.wires


@pytest.fixture
def bench(repo: Path) -> Iterator[ModuleType]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(repo / "benchmarks"))
        held = sys.modules.pop("tripwires", None)
        yield import_module("tripwires")
        sys.modules.pop("tripwires", None)
        if held is not None:
            sys.modules["tripwires"] = held


@pytest.mark.slow
@pytest.mark.parametrize("world", ["walk", "heavy", "jumps", "growth", "normal"])
def test_two_orders_cost_eight_percent_less_at_no_more_risk(bench: ModuleType, world: str) -> None:
    """Ten sizings on 1,000 planted seasons, each judged on 2,000 that it has not seen."""
    rows = bench.sizings(world, 10)
    total, seasons_judged = rows.sum(), 10 * bench.SEASONS
    assert rows["sd"].mean() == pytest.approx(0.164 if world == "growth" else BEFORE, abs=0.006)
    assert rows["sd_seen"].mean() == pytest.approx(AFTER, abs=0.003)
    assert total["two"] / total["one"] <= 0.92
    assert total["two"] / total["same"] <= 0.92
    one, two = (bench.interval(total[k], seasons_judged) for k in ("short_one", "short_two"))
    assert two[0] <= one[1]
    assert total["short_two"] <= total["short_one"]
    assert two[1] <= RISK
    assert rows["p_short"].mean() == pytest.approx(total["short_two"] / seasons_judged, abs=0.003)


@pytest.mark.slow
def test_another_seasons_run_rate_saves_nothing(bench: ModuleType) -> None:
    rows = bench.sizings("blind", 10)
    assert rows["two"].sum() / rows["one"].sum() == pytest.approx(1.0, abs=0.02)
    assert rows["sd_seen"].mean() == pytest.approx(rows["sd"].mean(), rel=0.03)
