"""Commitments: hand-worked hours, a planted year with a peak, optimality, what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from capmodel.commitments import commitment_at, commitment_regret, optimal_commitment
from capmodel.errors import InputError

DISCOUNTS = (0.20, 0.28, 0.35, 0.50, 0.60)
USAGE = arrays(np.float64, st.integers(1, 60), elements=st.integers(0, 500).map(float))


def year(*, peak_x: float = 1.0) -> np.ndarray:
    """Return a year of hourly usage around USD 100: day, week, season, luck; and a peak month."""
    rng = np.random.default_rng(5)
    hours = np.arange(365 * 24)
    day = 1 + 0.35 * np.sin(2 * np.pi * (hours - 8) / 24)
    week = np.where(hours // 24 % 7 >= 5, 0.85, 1.06)
    season = 1 + 0.06 * np.sin(2 * np.pi * hours / hours.size)
    luck = np.zeros(hours.size)
    for k, shock in enumerate(0.03 * rng.standard_normal(hours.size)[1:], start=1):
        luck[k] = 0.9 * luck[k - 1] + shock
    peak = np.where((hours // 24 >= 325) & (hours // 24 < 355), peak_x, 1.0)
    return np.asarray(100 * day * week * season * np.exp(luck) * peak)


def test_a_sheet_of_four_hours() -> None:
    # 75 are paid for 100 in every hour; the hour of 140 pays 40 more; the hour of 60 leaves 40,
    # which cost 30: 85 and 7.5 on average, instead of 100.
    made = commitment_at([60, 100, 140, 100], covers=100, discount=0.25)
    assert (made.pays_usd_per_hour, made.usd_per_hour) == (75, 85)
    assert (made.on_demand_usd_per_hour, made.saving_usd_per_hour) == (100, 15)
    assert made.waste_usd_per_hour == 7.5


@pytest.mark.parametrize("discount", DISCOUNTS)
@pytest.mark.parametrize("peak_x", [1.0, 2.2])
def test_the_best_of_a_grid_is_the_quantile(discount: float, peak_x: float) -> None:
    usage = year(peak_x=peak_x)
    best = optimal_commitment(usage, discount=discount)
    assert best.covers_usd_per_hour == np.quantile(usage, discount, method="inverted_cdf")
    assert best.pays_usd_per_hour == pytest.approx((1 - discount) * best.covers_usd_per_hour)
    grid = np.arange(0, 400, 0.25)
    costs = [commitment_at(usage, covers=c, discount=discount).usd_per_hour for c in grid]
    assert grid[int(np.argmin(costs))] == pytest.approx(best.covers_usd_per_hour, abs=0.5)
    assert best.usd_per_hour <= min(costs) + 1e-9


@pytest.mark.parametrize(("discount", "most"), [(0.28, 0.03), (0.50, 0.05)])
def test_a_month_of_twice_the_usage_hardly_moves_it(discount: float, most: float) -> None:
    quiet, peak = year(), year(peak_x=2.2)
    assert peak.max() / quiet.max() > 1.8
    before = optimal_commitment(quiet, discount=discount).covers_usd_per_hour
    after = optimal_commitment(peak, discount=discount).covers_usd_per_hour
    assert 0 < after / before - 1 < most


@given(USAGE, st.floats(0.01, 0.99), st.floats(0, 600))
def test_no_other_commitment_is_cheaper_and_none_costs_more_than_on_demand(
    usage: np.ndarray, discount: float, covers: float
) -> None:
    best = optimal_commitment(usage, discount=discount)
    other = commitment_at(usage, covers=covers, discount=discount)
    assert best.usd_per_hour <= other.usd_per_hour + 1e-9 * max(1.0, other.usd_per_hour)
    assert best.saving_usd_per_hour >= -1e-9 * max(1.0, best.usd_per_hour)


@given(USAGE, st.sampled_from(DISCOUNTS), st.integers(0, 500))
def test_what_exists_is_not_bought_again(usage: np.ndarray, discount: float, existing: int) -> None:
    alone = optimal_commitment(usage, discount=discount).covers_usd_per_hour
    beyond = optimal_commitment(usage, discount=discount, existing=existing).covers_usd_per_hour
    assert beyond == max(alone - existing, 0)


def test_a_commitment_that_ends_is_bought_again_for_the_hours_after_it() -> None:
    usage = np.full(100, 80.0)
    ends = np.where(np.arange(100) < 30, 80.0, 0.0)  # 70 of 100 hours are uncovered
    assert optimal_commitment(usage, discount=0.35, existing=ends).covers_usd_per_hour == 80
    assert optimal_commitment(usage, discount=0.25, existing=ends).covers_usd_per_hour == 0


@given(USAGE, st.sampled_from(DISCOUNTS), st.floats(0.5, 1.5))
def test_regret_is_none_where_demand_comes_as_expected(
    usage: np.ndarray, discount: float, demand_x: float
) -> None:
    covers = optimal_commitment(usage, discount=discount).covers_usd_per_hour
    of = commitment_regret(usage, covers=covers, discount=discount, demand_x=1.0)
    assert of == pytest.approx(0, abs=1e-9 * max(1.0, covers))
    # A best commitment covers some hour's usage, or nothing.
    made, *others = (
        commitment_at(usage * demand_x, covers=c, discount=discount).usd_per_hour
        for c in (covers, 0.0, *(usage * demand_x))
    )
    expected = made - min(made, *others)
    found = commitment_regret(usage, covers=covers, discount=discount, demand_x=demand_x)
    assert found == pytest.approx(expected, abs=1e-9 * max(1.0, made))


def test_a_fifth_less_leaves_a_flat_estate_with_a_fifth_unused() -> None:
    # 70 are paid where 56 would do: 0.7 x (100 - 80).
    assert commitment_regret([100.0] * 9, covers=100, discount=0.3, demand_x=0.8) == 14


def test_bad_input_is_named_in_one_error() -> None:
    with pytest.raises(InputError, match=r"(?s)usage_usd_per_hour: got -1\.0.*discount: got 28"):
        optimal_commitment([5, -1], discount=28)
    with pytest.raises(InputError, match="usage_usd_per_hour: got nan"):
        optimal_commitment([5, np.nan], discount=0.28)
    with pytest.raises(InputError, match="usage_usd_per_hour: got an empty array"):
        optimal_commitment([], discount=0.28)
    with pytest.raises(InputError, match=r"existing: got shape \(2,\)"):
        optimal_commitment([5, 6, 7], discount=0.28, existing=[1, 2])
    with pytest.raises(InputError, match="demand_x"):
        commitment_regret([5], covers=5, discount=0.28, demand_x=0)
