"""Sizes for seasons that did not make them: hand-worked ranks, planted unions, odd needs."""

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

from capmodel.capacity.risk import union_level
from capmodel.capacity.union import left_out_level, left_out_risk, union_sizes, weight_problems
from capmodel.errors import InputError
from capmodel.schema import order_statistic

ALONE = np.ones(1)
THREE = np.array([0.25, 0.55, 0.20])


def planted(seed: int, n: int, *, limits: int = 60, correlation: float = 0.6) -> np.ndarray:
    rng = np.random.default_rng(seed)
    luck = np.sqrt(correlation) * rng.standard_normal(n)
    luck = luck + np.sqrt(1 - correlation) * rng.standard_normal((limits, n))
    return np.asarray(np.exp(0.1 * luck))[:, None, :]


def p_any(needs: np.ndarray, sizes: np.ndarray) -> float:
    return float((needs[:, 0] > sizes[:, None]).any(axis=0).mean())


def test_one_limit_is_exceeded_as_its_rank_says() -> None:
    """A new draw exceeds the k-th largest of n - 1 with probability k / n."""
    need = np.random.default_rng(0).permutation(100.0 + np.arange(100))[None, None]
    for k in (1, 2, 5, 20):
        assert left_out_risk(need, ALONE, 1 - (k - 0.5) / 99) == pytest.approx(k / 100)
    found = left_out_level(need, ALONE, 0.05)
    assert found.kept
    assert found.p_any == pytest.approx(0.05)
    assert need[0, 0, order_statistic(need[0, 0], found.level)] == 195  # the 5th largest


def test_the_left_out_share_by_leaving_each_draw_out() -> None:
    """Brute force over three scenarios of shared luck: size on the others, look at the one."""
    needs = np.random.default_rng(1).integers(0, 30, size=(4, 3, 40)).astype(float)
    level = 0.96
    hits = np.zeros((3, 40))
    for draw in range(40):
        others = np.delete(needs, draw, axis=2)
        for need, rest in zip(needs, others, strict=True):
            values = np.unique(rest)
            above = [float(THREE @ (rest > v).mean(axis=1)) for v in values]
            size = values[np.argmax(np.array(above) <= 1 - level + 1e-12)]
            hits[:, draw] = np.maximum(hits[:, draw], need[:, draw] > size)
    assert left_out_risk(needs, THREE, level) == pytest.approx(float(THREE @ hits.mean(axis=1)))


def test_records_of_independent_limits() -> None:
    """The largest of 1,000 draws of 60 independent limits: 1 - (1 - 1/1000)**60 = 5.8 %."""
    needs = np.stack([planted(s, 1000, correlation=0.0) for s in range(5)])
    worth = np.mean([left_out_risk(n, ALONE, 1.0) for n in needs])
    assert worth == pytest.approx(1 - (1 - 1 / 1000) ** 60, abs=0.002)
    short = left_out_level(needs[0], ALONE, 0.02)
    assert (short.level, short.kept) == (1.0, False)
    assert short.p_any == left_out_risk(needs[0], ALONE, 1.0)


@pytest.mark.slow
def test_the_in_sample_level_is_worth_less_than_it_says_and_the_left_out_draws_say_so() -> None:
    """Mean of 8 sizings on 1,000 draws, each judged on 10,000 others."""
    later = planted(999, 10_000)
    said, found, kept = [], [], []
    for seed in range(8):
        needs = planted(seed, 1000)
        level = union_level(needs[:, 0], np.full(1000, 1e-3), 0.02)
        sizes = np.array([n[order_statistic(n, level)] for n in needs[:, 0]])
        assert p_any(needs, sizes) <= 0.02
        found.append(p_any(later, sizes))
        said.append(left_out_risk(needs, ALONE, level))
        kept.append(p_any(later, union_sizes(needs, ALONE, 0.02).sizes))
    assert np.mean(found) > 0.025
    assert np.mean(said) == pytest.approx(np.mean(found), abs=0.003)
    assert np.mean(kept) == pytest.approx(0.02, abs=0.0031)  # 2 se: 2 * 0.0044 / sqrt(8)


def test_sizes_of_one_limit_meet_the_closed_form() -> None:
    """Log-normal, sd 0.1: P98 is exp(0.1 * 2.0537) = 1.228."""
    need = planted(5, 20_000, limits=1)
    assert union_sizes(need, ALONE, 0.02).sizes[0] == pytest.approx(1.228, rel=0.006)


def test_sizes_of_independent_limits_meet_the_closed_form() -> None:
    """Each of ten limits of one kind gets 1 - 0.98**0.1 = 0.202 %, z = 2.874."""
    found = union_sizes(planted(6, 20_000, limits=10, correlation=0.0), ALONE, 0.02)
    assert found.sizes.mean() == pytest.approx(np.exp(0.2874), rel=0.01)
    each = norm.sf(np.log(found.sizes) / 0.1)
    assert 1 - np.prod(1 - each) == pytest.approx(0.02, abs=0.002)  # 2 se: 2 * 0.14 / sqrt(20,000)
    assert each.mean() == pytest.approx(1 - 0.98**0.1, rel=0.1)
    assert found.alpha == pytest.approx(each.mean(), rel=0.25)  # an exponential tail is heavier
    assert found.p_any <= 0.02
    assert not found.beyond.any()


def test_a_need_that_never_varies_takes_no_share() -> None:
    need = planted(7, 1000, limits=1)
    constant = np.full((3, 1, 1000), 40.0)
    found = union_sizes(np.concatenate([constant, need]), ALONE, 0.02)
    assert found.sizes[:3].tolist() == [40.0] * 3
    assert found.sizes[3] == union_sizes(need, ALONE, 0.02).sizes[0]
    assert union_sizes(constant, ALONE, 0.02).sizes.tolist() == [40.0] * 3


def test_a_scenario_without_probability_does_not_size() -> None:
    usual = planted(8, 500, limits=4)
    both = np.concatenate([usual, usual + 100], axis=1)
    alone = union_sizes(usual, ALONE, 0.02)
    assert union_sizes(both, np.array([1.0, 0.0]), 0.02).sizes == pytest.approx(alone.sizes)


def test_infeasible_paths_use_up_risk_and_a_hopeless_limit_has_no_size() -> None:
    needs = planted(9, 1000, limits=3)
    needs[0, 0, :10] = np.inf  # 1 % of 2 %
    needs[2, 0, 500:] = np.inf
    found = union_sizes(needs, ALONE, 0.02)
    assert found.infeasible.tolist() == pytest.approx([0.01, 0.0, 0.5])
    assert np.isfinite(found.sizes[:2]).all()
    assert np.isinf(found.sizes[2])
    assert p_any(needs[:2], found.sizes[:2]) == pytest.approx(0.02, abs=0.003)
    free = union_sizes(planted(9, 1000, limits=3)[:2], ALONE, 0.02)
    assert found.sizes[1] > free.sizes[1]


def test_all_infeasible() -> None:
    found = union_sizes(np.full((2, 3, 100), np.inf), THREE, 0.02)
    assert np.isinf(found.sizes).all()
    assert found.infeasible.tolist() == pytest.approx([1.0, 1.0])
    assert found.p_any == 1.0


def test_infeasible_paths_of_several_limits_beyond_the_risk_are_said() -> None:
    needs = planted(10, 1000, limits=2)
    needs[0, 0, :15] = np.inf
    needs[1, 0, 500:515] = np.inf
    found = union_sizes(needs, ALONE, 0.02)
    assert np.isfinite(found.sizes).all()
    assert found.p_any == pytest.approx(0.03)


@pytest.mark.parametrize("draws", [1, 2, 19])
def test_few_draws_give_the_largest_and_what_that_is_worth(draws: int) -> None:
    need = planted(11, draws, limits=1)
    found = union_sizes(need, ALONE, 0.02)
    assert found.sizes[0] == need.max()
    assert found.p_any == pytest.approx(1 / draws)
    assert not left_out_level(need, ALONE, 0.02).kept


def test_fewer_draws_than_the_risk_asks_are_continued_by_the_tail() -> None:
    found = union_sizes(planted(12, 40, limits=5), ALONE, 0.02)
    assert found.beyond.any()
    assert (found.sizes >= planted(12, 40, limits=5).max(axis=(1, 2)) * 0.9).all()
    assert found.p_any == 0.02


@given(
    seed=st.integers(0, 50),
    low=st.sampled_from([0.01, 0.02, 0.05]),
    high=st.sampled_from([0.05, 0.1, 0.3]),
    limits=st.integers(1, 5),
)
def test_more_risk_never_asks_for_more(seed: int, low: float, high: float, limits: int) -> None:
    needs = planted(seed, 200, limits=limits)
    careful, bold = (union_sizes(needs, ALONE, risk).sizes for risk in (low, high))
    assert (careful >= bold).all()
    levels = [left_out_level(needs, ALONE, risk).level for risk in (low, high)]
    assert levels[0] >= levels[1]


@given(seed=st.integers(0, 50), k=st.sampled_from([1.5, 10.0]), shift=st.sampled_from([0.0, 3.0]))
def test_sizes_follow_the_unit_and_ignore_the_order_of_scenarios(
    seed: int, k: float, shift: float
) -> None:
    growth = np.array([1.0, 1.2, 1.5])
    needs = planted(seed, 100, limits=3) * growth[:, None]
    found = union_sizes(needs, THREE, 0.05).sizes
    assert union_sizes(needs, THREE, 0.05).sizes.tolist() == found.tolist()
    assert union_sizes(k * needs + shift, THREE, 0.05).sizes == pytest.approx(k * found + shift)
    order = [2, 0, 1]
    again = union_sizes(needs[:, order], THREE[order], 0.05).sizes
    assert again == pytest.approx(found)


def test_every_problem_is_named_at_once() -> None:
    with pytest.raises(InputError, match=r"(?s)needs: .*risk: "):
        union_sizes(np.full((1, 1, 30), np.nan), ALONE, 2.0)
    with pytest.raises(InputError, match=r"weights: got \[0.5\], sum 0.5"):
        union_sizes(np.ones((1, 1, 30)), np.array([0.5]), 0.02)
    assert weight_problems(THREE, 3) == []


@pytest.fixture
def bench(repo: Path) -> Iterator[ModuleType]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(repo / "benchmarks"))
        yield import_module("union_risk")
        sys.modules.pop("union_risk", None)


@pytest.mark.slow
@pytest.mark.parametrize("mixture", [False, True])
@pytest.mark.parametrize(
    ("world", "own"), [("0.65 0.75", (0.20, 0.32)), ("0.75 0.85", (0.13, 0.22))]
)
def test_sixty_limits_share_two_percent_in_seasons_that_did_not_size_them(
    bench: ModuleType, world: str, own: tuple[float, float], *, mixture: bool
) -> None:
    """1,000 draws, 1,000 other seasons, 15 times: heavy shocks and Gumbel minutes, see there."""
    rows = bench.sizings(world, 15, mixture=mixture)
    mean, se = rows.mean(), rows.std() / np.sqrt(len(rows))
    assert own[0] < mean["own"] < own[1]
    assert mean["sizes"] <= 0.02 + 2 * se["sizes"]
    assert bench.passes(rows["sizes"]) >= 0.8
    assert mean["in-sample"] > 0.02 + 2 * se["in-sample"]
    assert mean["said"] == pytest.approx(mean["in-sample"], abs=0.004)


@pytest.mark.slow
def test_twelve_callers_of_one_database(bench: ModuleType) -> None:
    """P98 of the sum within 3 % of a million planted draws at correlation 0.8."""
    truth = bench.planted_p98(sd=0.112, correlation=0.8)
    errors = np.array(
        [bench.sum_errors(s, sd=0.112, correlation=0.8, truth=truth) for s in range(12)]
    )
    right, wrong = errors.T
    assert np.abs(right).max() < 0.03
    assert abs(right.mean()) < 0.006
    assert wrong.mean() > 0.012
    loose = bench.planted_p98(sd=0.25, correlation=0.0)
    assert bench.sum_errors(0, sd=0.25, correlation=0.0, truth=loose)[1] > 0.3


@pytest.mark.parametrize(("risk", "size"), [(0.02, 8.0), (0.10, 8.0), (0.25, 7.0), (0.80, 6.0)])
def test_needs_that_take_few_values_are_sized_by_what_exceeds_them(risk, size):
    """A quarter needs 6, 55 % need 7, a fifth 8: below 20 % only 8 will do, below 75 % only 7."""
    needs = np.repeat(np.array([6.0, 7.0, 8.0])[:, None], 1000, axis=1)[None]
    found = union_sizes(needs, np.array([0.25, 0.55, 0.20]), risk)
    assert found.sizes[0] == size


@given(
    values=st.lists(st.integers(1, 6), min_size=100, max_size=300),
    risk=st.floats(0.02, 0.5),
)
def test_whole_needs_are_exceeded_within_the_risk_on_the_draws_themselves(values, risk):
    need = np.array(values, dtype=float)[None, None, :]
    found = union_sizes(need, np.ones(1), risk)
    assert (need > found.sizes[0]).mean() <= risk + 1 / len(values)
