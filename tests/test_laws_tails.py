"""The guarded tail: what it refuses, what it holds, intervals against brute force and coverage."""

from __future__ import annotations

import math

import numpy as np
import pytest

from capmodel.errors import InputError
from capmodel.laws.extremes import fit_gpd, gpd_nllh, gpd_return_level
from capmodel.laws.tails import FEW_EXCEEDANCES, XI_HELD, decluster, gpd_tail

GRID = (np.arange(200) + 0.5) / 200


def pareto(xi: float, n: int = 200) -> np.ndarray:
    u = 1 - (np.arange(n) + 0.5) / n
    return np.asarray(1000 + 150 * (-np.log(u) if xi == 0 else (u**-xi - 1) / xi))


def test_a_sound_tail_gives_the_return_level_of_its_fit() -> None:
    tail = gpd_tail(pareto(0.1), threshold=1000, zeta=0.02, period=36500)
    fit = fit_gpd(pareto(0.1) - 1000)
    level = gpd_return_level(36500, threshold=1000, sigma=fit.sigma, xi=fit.xi, zeta=0.02)
    assert tail.level == pytest.approx(float(level))
    assert (tail.xi_basis, tail.needs_review, tail.reason, tail.n) == ("fitted", False, "", 200)
    assert tail.xi == tail.xi_free


def test_a_shape_above_a_half_gives_no_number() -> None:
    tail = gpd_tail(pareto(0.94), threshold=1000, zeta=0.02, period=36500)
    assert tail.needs_review
    assert all(math.isnan(v) for v in (tail.level, tail.low, tail.high))
    assert tail.xi > 0.5
    assert "look for gaps, restarts and event days" in tail.reason
    # Somebody who has looked states the shape, and takes the number on themselves.
    reviewed = gpd_tail(pareto(0.94), threshold=1000, zeta=0.02, period=36500, xi=0.6)
    assert (reviewed.xi_basis, reviewed.needs_review) == ("given", False)
    assert reviewed.low < reviewed.level < reviewed.high


def test_few_exceedances_hold_the_shape() -> None:
    for xi, held in ((0.4, 0.25), (0.1, None), (-0.3, 0.0)):
        tail = gpd_tail(pareto(xi, 40), threshold=1000, zeta=0.01, period=1e5)
        assert tail.xi_basis == "held"
        assert XI_HELD[0] <= tail.xi <= XI_HELD[1]
        assert held is None or tail.xi == pytest.approx(held)
        assert not tail.needs_review
    assert gpd_tail(pareto(0.1, 50), threshold=1000, zeta=0.01, period=1e5).xi_basis == "fitted"
    assert FEW_EXCEEDANCES == 50


def test_holding_the_shape_does_not_hide_dirty_data() -> None:
    tail = gpd_tail(pareto(0.94, 40), threshold=1000, zeta=0.01, period=1e5)
    assert tail.needs_review
    assert math.isnan(tail.level)
    assert (tail.xi_basis, tail.xi) == ("held", 0.25)
    assert tail.xi_free > 0.5


@pytest.mark.parametrize("xi", [None, 0.1])
def test_the_interval_is_where_the_deviance_says(xi: float | None) -> None:
    tail = gpd_tail(pareto(0.1), threshold=1000, zeta=0.02, period=36500, xi=xi)
    shapes = np.linspace(-0.4, 0.9, 2601) if xi is None else np.array([xi])
    times = 36500 * 0.02
    excesses = pareto(0.1) - 1000
    best = gpd_nllh(tail.sigma, tail.xi, excesses)
    for level in (tail.low, tail.high):
        scales = (level - 1000) * shapes / np.expm1(shapes * math.log(times) + 1e-300)
        profile = min(
            gpd_nllh(s, x, excesses) for s, x in zip(scales, shapes, strict=True) if abs(x) > 1e-9
        )
        assert 2 * (profile - best) == pytest.approx(3.841458821, abs=2e-4)
    # The likelihood of a level is skewed: more room above than below.
    assert tail.high - tail.level > tail.level - tail.low


def test_less_confidence_gives_a_narrower_interval() -> None:
    wide = gpd_tail(pareto(0.1), threshold=1000, zeta=0.02, period=36500)
    narrow = gpd_tail(pareto(0.1), threshold=1000, zeta=0.02, period=36500, confidence=0.5)
    assert wide.low < narrow.low < narrow.level < narrow.high < wide.high
    assert narrow.level == wide.level


@pytest.mark.slow
def test_the_interval_covers_as_often_as_it_says() -> None:
    rng = np.random.default_rng(4)
    times = 36500 * 0.02
    truth = 1000 + 150 * (times**0.1 - 1) / 0.1
    hit = [
        t.low <= truth <= t.high
        for t in (
            gpd_tail(
                1000 + 1500 * (rng.random(200) ** -0.1 - 1),
                threshold=1000,
                zeta=0.02,
                period=36500,
            )
            for _ in range(200)
        )
    ]
    assert np.mean(hit) == pytest.approx(0.95, abs=0.04)


def test_clusters_end_after_a_run_below_the_threshold() -> None:
    values = [0, 6, 7, 0, 6.5, 0, 0, 8, 8, np.nan, np.nan, 9, 0]
    assert decluster(values, threshold=5, run=1).tolist() == [2, 4, 7, 11]
    assert decluster(values, threshold=5, run=2).tolist() == [2, 7, 11]
    assert decluster(values, threshold=5, run=3).tolist() == [11]
    assert decluster(values, threshold=99, run=1).tolist() == []
    assert decluster([9.0, 0, 0], threshold=5, run=2).tolist() == [0]


def test_declustering_counts_planted_clusters() -> None:
    # Each shock stays for five steps: the extremal index is 1/5.
    rng = np.random.default_rng(2)
    series = np.zeros(20_000)
    starts = np.arange(50, 19_900, 100)
    height = 10 * rng.pareto(4, len(starts)) + 1
    for k in range(5):
        series[starts + k] = height * 0.9**k + 5
    found = decluster(series, threshold=5, run=30)
    assert found.tolist() == starts.tolist()
    assert len(found) / np.count_nonzero(series > 5) == pytest.approx(0.2)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"threshold": 1001}, "exceedances: got 1000.3"),
        ({"confidence": 95}, "confidence: got 95"),
        ({"xi": -0.7}, "xi: got -0.7"),
        ({"period": 40}, "more than 1/zeta = 50 observations"),
        ({"zeta": 0}, "zeta: got 0"),
    ],
)
def test_impossible_arguments_are_named(options, message) -> None:
    arguments = {"threshold": 1000, "zeta": 0.02, "period": 36500} | options
    with pytest.raises(InputError, match=message):
        gpd_tail(pareto(0.1), **arguments)


def test_a_run_is_at_least_one_step() -> None:
    with pytest.raises(InputError, match="run: got 0"):
        decluster([1.0, 2.0], threshold=1, run=0)
