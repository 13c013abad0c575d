from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from capmodel.capacity.risk import (
    FirstBreach,
    first_breach,
    first_limit,
    mixture_quantile,
    probability,
    standard_error,
    union_level,
)

PATHS = 5000
EQUAL = np.full(PATHS, 1 / PATHS)


def size(need: np.ndarray, weights: np.ndarray, level: float) -> float:
    """The smallest value that at least `level` of the weight does not exceed, by sorting."""
    order = np.argsort(need)
    reached = np.cumsum(weights[order]) >= level * (1 - 1e-12)
    return float(need[order][np.argmax(reached)])


def p_any(needs: np.ndarray, weights: np.ndarray, level: float) -> float:
    over = [need > size(need, weights, level) for need in needs]
    return float(weights @ np.logical_or.reduce(over))


def test_sixty_independent_limits_share_one_risk() -> None:
    """At their own 2 % some limit is exceeded with 1 - 0.98**60 = 70 %; the share is 0.034 %."""
    needs = np.random.default_rng(0).uniform(size=(60, 20_000))
    equal = np.full(20_000, 1 / 20_000)
    assert p_any(needs, equal, 0.98) == pytest.approx(1 - 0.98**60, abs=0.02)
    level = union_level(needs, equal, 0.02)
    assert 0.016 < p_any(needs, equal, level) <= 0.02
    assert 1 - level == pytest.approx(1 - 0.98 ** (1 / 60), rel=0.25)


def test_perfectly_dependent_limits_each_get_the_whole_risk() -> None:
    luck = np.random.default_rng(1).standard_normal(PATHS)
    needs = np.stack([np.exp(luck), 3 * luck - 7, luck**3])  # one order, three units
    level = union_level(needs, EQUAL, 0.02)
    assert 1 - level == pytest.approx(0.02, abs=1.01 / PATHS)
    assert p_any(needs, EQUAL, level) == pytest.approx(0.02, abs=1e-9)


def test_one_limit_gets_the_whole_risk() -> None:
    need = np.random.default_rng(2).uniform(size=(1, PATHS))
    assert union_level(need, EQUAL, 0.05) == pytest.approx(0.95, abs=1.01 / PATHS)


def test_a_need_that_never_varies_takes_no_share() -> None:
    luck = np.random.default_rng(3).uniform(size=(1, PATHS))
    constant = np.full((5, PATHS), 40.0)
    alone = union_level(luck, EQUAL, 0.02)
    assert union_level(np.vstack([constant, luck]), EQUAL, 0.02) == alone
    assert union_level(constant, EQUAL, 0.02) == 0.98


small = st.integers(1, 6).flatmap(
    lambda n: st.tuples(
        st.lists(st.lists(st.integers(0, 4), min_size=n, max_size=n), min_size=1, max_size=4),
        st.lists(st.integers(1, 5), min_size=n, max_size=n),
    )
)


@given(case=small, risk=st.sampled_from([0.02, 0.1, 0.3, 0.6]))
def test_the_union_holds_with_ties_and_weights(
    case: tuple[list[list[int]], list[int]], risk: float
) -> None:
    """Small integers: pods and nodes tie on most paths."""
    rows, counts = case
    needs, weights = np.array(rows, dtype=float), np.array(counts) / sum(counts)
    level = union_level(needs, weights, risk)
    assert 1 - risk <= level <= 1
    assert p_any(needs, weights, level) <= risk + 1e-9


@given(case=small, risk=st.sampled_from([0.1, 0.3, 0.6]))
def test_no_lower_level_would_do(case: tuple[list[list[int]], list[int]], risk: float) -> None:
    rows, counts = case
    needs, weights = np.array(rows, dtype=float), np.array(counts) / sum(counts)
    level = union_level(needs, weights, risk)
    lower = level - weights.min()
    if lower > 1 - risk:
        assert p_any(needs, weights, lower) > risk - 1e-9


def test_more_risk_never_asks_for_more() -> None:
    needs = np.random.default_rng(4).gamma(3.0, size=(8, PATHS))
    levels = [union_level(needs, EQUAL, risk) for risk in (0.005, 0.01, 0.02, 0.05, 0.2)]
    assert levels == sorted(levels, reverse=True)
    assert len(set(levels)) == 5


def test_a_scenario_without_probability_does_not_size() -> None:
    usual = np.random.default_rng(5).uniform(size=(2, 1000))
    needs = np.hstack([usual, usual + 100])
    weights = np.repeat([1 / 1000, 0.0], 1000)
    level = union_level(needs, weights, 0.02)
    assert level == union_level(usual, np.full(1000, 1 / 1000), 0.02)


def test_standard_error_of_draws_that_scenarios_share() -> None:
    """Three draws, each the same luck in both scenarios: shares 1, 0.3 and 0 of the weight."""
    weights = np.array([0.7, 0.3])
    seen = np.array([[True, False, False], [True, True, False]])
    shares = np.array([1.0, 0.3, 0.0])
    assert probability(seen, weights) == pytest.approx(shares.mean())
    assert standard_error(seen, weights) == pytest.approx(shares.std() / np.sqrt(3))


def test_standard_error_agrees_with_many_repetitions() -> None:
    rng = np.random.default_rng(5)
    weights, found, told = np.array([0.25, 0.55, 0.2]), [], []
    for _ in range(4000):
        luck = rng.standard_normal(200)
        hit = np.stack([luck > z for z in (1.9, 1.2, 0.4)])
        found.append(probability(hit, weights))
        told.append(standard_error(hit, weights))
    assert np.mean(told) == pytest.approx(np.std(found), rel=0.05)


def test_a_rare_event_never_has_an_error_of_zero() -> None:
    none = np.zeros((1, 1000), dtype=bool)
    p = 1 / 1002
    expected = np.sqrt(p * (1 - p) / 1000)
    assert probability(none, np.ones(1)) == 0
    assert standard_error(none, np.ones(1)) == pytest.approx(expected)
    # Only hits: as far from certain as no hits, by symmetry.
    certain = (1001 / 1002) * (1 / 1002)
    assert standard_error(~none, np.ones(1)) == pytest.approx(np.sqrt(certain / 1000))


def test_mixture_quantile_is_a_path_of_the_mixture() -> None:
    values = np.array([[1.0, 2.0, 3.0, 4.0], [10.0, 20.0, 30.0, 40.0]])
    # Cumulative weight: 0.1 0.2 0.3 0.4 for the first, then 0.15 each.
    weights = np.array([0.4, 0.6])
    at = [mixture_quantile(values, q, weights) for q in (0.1, 0.4, 0.41, 0.55, 0.56, 0.99)]
    assert at == [(0, 0), (0, 3), (1, 0), (1, 0), (1, 1), (1, 3)]
    assert mixture_quantile(values, 0.5, np.array([1.0, 0.0])) == (0, 1)
    assert mixture_quantile(values, 0.5, np.array([0.0, 1.0])) == (1, 1)


def test_first_breach_is_the_first_day_above_not_at_the_limit() -> None:
    usage = np.array([[90.0, 100.0, 101.0, 150.0], [100.0, 100.0, 100.0, 100.0], [120, 0, 0, 0]])
    breach = first_breach(usage, 100.0)
    assert breach.day.tolist() == [2, 4, 0]
    assert breach.ratio == pytest.approx([1.01, 0.0, 1.2])


def breach(day: int, ratio: float) -> FirstBreach:
    return FirstBreach(day=np.array([day]), ratio=np.array([ratio]))


@pytest.mark.parametrize(
    ("breaches", "first"),
    [
        ([breach(3, 9.0), breach(2, 1.01)], 1),  # an earlier day wins over a larger excess
        ([breach(2, 1.1), breach(2, 1.4)], 1),  # on one day the fuller limit was reached earlier
        ([breach(2, 1.4), breach(2, 1.4)], 0),
        ([breach(5, 0.0), breach(4, 1.2)], 1),  # 5 days: the first never breaks
        ([breach(5, 0.0), breach(5, 0.0)], -1),
        ([breach(0, 1e9), breach(1, 1e9)], 0),
    ],
)
def test_first_limit(breaches: list[FirstBreach], first: int) -> None:
    assert first_limit(breaches, 5).tolist() == [first]


def test_no_limit_is_first_without_limits() -> None:
    assert first_limit([], 5).size == 0
