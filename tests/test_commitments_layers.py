"""Commitments on top of one another: by hand, a grid over two families, what always holds."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from capmodel.catalog import Discount
from capmodel.commitments import (
    Layer,
    Tier,
    TierMember,
    apply_layers,
    covered,
    optimal_commitment,
    optimal_payment,
    solve_tiers,
)

HOURS = arrays(
    np.float64, st.tuples(st.just(1), st.integers(1, 40)), elements=st.integers(0, 300).map(float)
)
RATES = st.sampled_from([0.2, 0.28, 0.35, 0.5, 0.6])


def rate(share: float, kind: str = "compute_sp", years: int = 1) -> Discount:
    return Discount(
        kind=kind,  # type: ignore[arg-type]
        engine="",
        family="",
        years=years,
        payment="",
        share=Decimal(str(share)),
        figure="rate",
        as_of=dt.date(2026, 9, 1),
        source="test",
    )


def tier(hours: int, *, kind: str = "compute_sp", scope: str = "all", **shares: float) -> Tier:
    members = tuple(TierMember(item, rate(share, kind)) for item, share in shares.items())
    return Tier(kind, scope, hours, members)  # type: ignore[arg-type]


def test_the_highest_saving_is_served_first() -> None:
    # 10 USD/h are paid. c7g at half price: 12 of usage cost 6. The 4 left cover 5 of m6i at 0.8.
    usage = {"m6i": np.array([[20.0]]), "c7g": np.array([[12.0]])}
    found, wasted = covered(usage, discounts={"m6i": 0.2, "c7g": 0.5}, pays=10.0)
    assert {k: v.tolist() for k, v in found.items()} == {"c7g": [[12.0]], "m6i": [[5.0]]}
    assert wasted.tolist() == [[0.0]]


def test_layers_apply_in_their_order_and_end_when_they_end() -> None:
    # Hours of 100, 100, 40. Reserved ones of 30 at half price (15 paid) in the first two hours;
    # then a family's plan that pays 20 at 20 % off: it covers 25; then one of all: 45 at 10 % off.
    usage = {"m6i": np.array([[100.0, 100.0, 40.0]])}
    layers = [
        Layer("reserved", {"m6i": 0.5}, np.array([15.0, 15.0, 0.0])),
        Layer("instance", {"m6i": 0.2}, 20.0),
        Layer("compute", {"m6i": 0.1}, 40.5),
    ]
    spending = apply_layers(usage, layers)
    assert [c["m6i"].ravel().tolist() for c in spending.covered] == [
        [30.0, 30.0, 0.0],
        [25.0, 25.0, 25.0],
        pytest.approx([45.0, 45.0, 15.0]),
    ]
    assert spending.left["m6i"].ravel().tolist() == pytest.approx([0.0, 0.0, 0.0])
    assert spending.wasted[2].ravel().tolist() == pytest.approx([0.0, 0.0, 40.5 - 13.5])


@settings(max_examples=30)
@given(HOURS, HOURS, RATES, RATES)
def test_no_payment_on_a_grid_is_cheaper_over_two_families(
    first: np.ndarray, second: np.ndarray, a: float, b: float
) -> None:
    length = min(first.shape[1], second.shape[1])
    usage = {"m6i": first[:, :length], "c7g": second[:, :length]}
    discounts = {"m6i": a, "c7g": b}

    def cost(pays: float) -> float:
        found, _ = covered(usage, discounts=discounts, pays=pays)
        return pays + sum(float((usage[i] - found[i]).mean()) for i in usage)

    best = optimal_payment(usage, discounts=discounts)
    top = sum(float(u.max()) for u in usage.values())
    assert cost(best) <= min(cost(k) for k in np.linspace(0, max(top, 1.0), 101)) + 1e-9


@given(HOURS, RATES, st.integers(0, 300), st.integers(0, 300))
def test_more_that_exists_never_raises_what_is_new(
    usage: np.ndarray, share: float, some: int, more: int
) -> None:
    def new(pays: float) -> float:
        (result,) = solve_tiers(
            {"m6i": usage},
            existing=[Layer("old", {"m6i": 0.3}, 0.7 * pays)],
            tiers=[tier(usage.shape[1], m6i=share)],
        )
        assert result.saving >= -1e-9
        assert result.regret >= 0
        assert result.usage == pytest.approx(float(usage.mean()))
        left = np.maximum(usage - pays, 0.0)
        assert result.existing == pytest.approx(float((usage - left).mean()), abs=1e-9)
        alone = optimal_commitment(left, discount=share)
        assert result.pays == pytest.approx(alone.pays_usd_per_hour, abs=1e-9)
        assert result.saving == pytest.approx(alone.saving_usd_per_hour, abs=1e-9)
        assert result.waste == pytest.approx(alone.waste_usd_per_hour, abs=1e-9)
        return result.pays

    low, high = sorted((some, more))
    assert new(high) <= new(low) + 1e-9


def test_three_years_first_then_one_year_on_what_is_above() -> None:
    # Year one 100 in half its hours and 60 in the others, then 40 for two years (a migration): of
    # six half-years 40 40 40 40 60 100. At 60 % off the 0.6-quantile is the fourth: 40, 16 paid.
    # What is above in year one is 60 and 20: at 50 % off the 0.5-quantile is 20, 10 paid.
    usage = {"m6i": np.array([[100.0, 60.0, 40.0, 40.0, 40.0, 40.0]])}
    results = solve_tiers(usage, existing=[], tiers=[tier(2, m6i=0.5), tier(6, m6i=0.6)])
    assert [r.tier.hours for r in results] == [6, 2]
    assert [r.pays for r in results] == pytest.approx([16.0, 10.0])
    assert [r.covers for r in results] == pytest.approx([40.0, 20.0])
    assert results[1].above == pytest.approx(40.0)
    # Saved in an hour of year one: 20 covered for 10, of both halves.
    assert (results[1].saving, results[1].waste) == (pytest.approx(10.0), pytest.approx(0.0))


def test_families_are_solved_before_what_covers_all_and_the_deepest_first() -> None:
    usage = {name: np.full((1, 10), 50.0) for name in ("m6i", "c7g")}
    tiers = [
        tier(10, m6i=0.3, c7g=0.3),
        tier(10, kind="instance_sp", scope="m6i", m6i=0.4),
        tier(10, kind="reserved", scope="c7g", c7g=0.35),
        tier(10, kind="instance_sp", scope="c7g", c7g=0.45),
    ]
    results = solve_tiers(usage, existing=[], tiers=tiers)
    assert [(r.tier.kind, r.tier.scope) for r in results] == [
        ("reserved", "c7g"),
        ("instance_sp", "c7g"),
        ("instance_sp", "m6i"),
        ("compute_sp", "all"),
    ]
    assert [r.covers for r in results] == pytest.approx([50.0, 0.0, 50.0, 0.0])


def test_regret_of_a_flat_estate_at_a_fifth_less() -> None:
    # 70 are paid where 56 would do: 14 an hour.
    (result,) = solve_tiers(
        {"m6i": np.full((1, 9), 100.0)}, existing=[], tiers=[tier(9, m6i=0.3)], demand_x=0.8
    )
    assert (result.pays, result.regret) == (pytest.approx(70.0), pytest.approx(14.0))


@given(HOURS, RATES, RATES, st.integers(0, 200))
def test_parts_of_an_hour_sum_to_its_usage(
    usage: np.ndarray, first: float, second: float, pays: int
) -> None:
    layers = [Layer("a", {"m6i": first}, float(pays)), Layer("b", {"m6i": second}, 10.0)]
    spending = apply_layers({"m6i": usage}, layers)
    parts = spending.left["m6i"] + sum(found["m6i"] for found in spending.covered)
    assert np.allclose(parts, usage, atol=1e-9)
    assert all((w >= 0).all() for w in spending.wasted)
    for layer, found, wasted in zip(layers, spending.covered, spending.wasted, strict=True):
        spent = found["m6i"] * (1 - layer.discounts["m6i"]) + wasted
        assert np.allclose(spent, layer.pays, atol=1e-9)
