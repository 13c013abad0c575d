"""Bends: their size under straight lines, their power against laws of another form."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pytest
from scipy.signal import lfilter

from capmodel.usage.hinge import HingeFit, convex_fit, fit_hinge, hinge_column
from capmodel.usage.nonlinear import BendTest, find_bend, independent_groups

DAYS, PER_DAY = 14, 288
BACKGROUND = np.array([True, False])
Law = Literal["straight", "smt", "gc", "batch"]


class World:
    """Two weeks of five-minute rows: load, pods, AR(1) noise, and one law of cost per request."""

    def __init__(
        self,
        seed: int,
        law: Law,
        *,
        outliers: float = 0.0,
        noise: float = 0.05,
        scaled: bool = False,
        background: float = 0.05,
    ) -> None:
        rng = np.random.default_rng(seed)
        t = np.arange(DAYS * PER_DAY)
        self.day = t // PER_DAY
        self.rps = 60 * (1 + 0.6 * np.sin(2 * np.pi * t / PER_DAY)) * rng.lognormal(0, 0.05, len(t))
        self.rps *= rng.lognormal(0, 0.08, DAYS)[self.day]
        self.pods = np.full(len(t), 8.0)
        if scaled:
            self.pods = np.maximum(2.0, np.ceil(np.repeat(self.rps[::30], 30)[: len(t)] / 8))
        x = self.rps / self.pods
        top = np.quantile(x, 0.995)
        per_pod = {
            "straight": 0.085 * x,
            # A core's threads share it: D x + q x²/c (Zhang et al. 2013).
            "smt": 0.085 * x + 0.3 * 0.085 * x**2 / top,
            # Beyond a share of the heap the collector takes a seventh more.
            "gc": 0.085 * x * np.where(x > 0.75 * top, 1.15, 1.0),
            # Requests share batches: saturating.
            "batch": 0.03 * top * (1 - np.exp(-3 * x / top)),
        }[law]
        ar = lfilter([np.sqrt(1 - 0.9**2)], [1, -0.9], rng.standard_normal(len(t) + 100))[100:]
        self.y = self.pods * (background + per_pod) * np.exp(noise * ar)
        wild = rng.random(len(t)) < outliers
        self.y[wild] *= rng.uniform(1.5, 3.0, wild.sum())
        self.design = np.column_stack([self.pods, self.rps])

    def test(self) -> BendTest:
        return find_bend(
            self.design,
            self.y,
            rps=self.rps,
            background=BACKGROUND,
            pods=self.pods,
            day=self.day,
        )


@pytest.mark.slow
@pytest.mark.parametrize("scaled", [False, True])
@pytest.mark.parametrize("background", [0.0, 0.05])
def test_one_straight_line_in_twenty_looks_bent(*, scaled: bool, background: float) -> None:
    found = [
        World(seed, "straight", scaled=scaled, background=background).test() for seed in range(300)
    ]
    for p in ([test.p_hinge for test in found], [test.p_reset for test in found]):
        assert 0.02 <= np.mean(np.array(p) < 0.05) <= 0.09
    # What is significant by chance is too small to count.
    assert np.mean([test.verdict != "straight" for test in found]) <= 0.02


def test_straight_lines_stay_straight_under_outliers() -> None:
    found = [World(seed, "straight", outliers=0.05).test() for seed in range(20)]
    assert {test.verdict for test in found} == {"straight"}
    assert sum(test.p_hinge < 0.05 for test in found) <= 4
    for test in found:
        assert np.abs(test.decile_residual).max() < 0.05
        assert test.advice == ""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("law", "verdict"), [("smt", "convex"), ("gc", "convex"), ("batch", "concave")]
)
@pytest.mark.parametrize("scaled", [False, True])
def test_bends_are_found(law: Law, verdict: str, *, scaled: bool) -> None:
    found = [World(seed, law, outliers=0.05, scaled=scaled).test() for seed in range(10)]
    assert sum(test.verdict == verdict for test in found) >= 8
    assert {test.verdict for test in found} <= {verdict, "straight"}
    assert sum(test.p_reset < 0.05 for test in found) >= 5


def test_the_slope_at_the_top_is_that_of_the_law() -> None:
    for seed in range(4):
        world = World(seed, "smt", noise=0.02)
        test = world.test()
        top = np.quantile(world.rps / world.pods, 0.995)
        # The derivative of D x (1 + 0.3 x/top), between the knee and the top.
        middle = (test.knee + top) / 2
        assert test.above.value == pytest.approx(0.085 * (1 + 0.6 * middle / top), rel=0.07)
        assert test.above.low < test.above.value < test.above.high
        assert test.below.value < test.above.value
        assert "convex term" in test.advice
        # Below the line in the middle, above it at the top.
        assert test.decile_residual[9] > 0 > test.decile_residual[4]
    concave = World(0, "batch").test()
    assert concave.excess < -0.03
    assert concave.above.value < concave.below.value
    assert f"at the cost of the top, {concave.above.value:.4g}" in concave.advice


def test_a_nightly_job_is_no_bend() -> None:
    for seed in range(4):
        world = World(seed, "straight")
        hour = np.arange(len(world.y)) % PER_DAY // 12
        world.y[(hour >= 16) & (hour < 18)] += 1.2  # at the lowest loads
        assert world.test().verdict == "straight"


def test_a_narrow_range_shows_its_bend_by_a_background_below_zero() -> None:
    rng = np.random.default_rng(2)
    rps = rng.uniform(45, 60, 4000)
    noise = np.exp(rng.normal(0, 0.02, 4000))
    design = np.column_stack([np.ones(4000), rps])
    convex = 0.085 * rps * (rps / 60) ** 0.8  # nearly straight here, with an intercept of −4
    bent = find_bend(design, convex * noise, rps=rps, background=BACKGROUND)
    assert (bent.verdict, bent.p_hinge) == ("convex", 0.001)
    straight = find_bend(design, 0.085 * rps * noise, rps=rps, background=BACKGROUND)
    assert straight.verdict == "straight"


def test_one_day_proves_no_bend_and_five_do() -> None:
    verdicts = []
    for days in ([5], [3, 5, 7, 9, 11]):
        world = World(1, "straight", noise=0.02)
        for day in days:
            test = slice(day * PER_DAY + 100, day * PER_DAY + 130)
            world.rps[test] = 3 * 96.0
            world.design[test, 1] = world.rps[test]
            world.y[test] = (0.05 * 8 + 0.085 * world.rps[test]) * 1.2
        verdicts.append(world.test().verdict)
    assert verdicts == ["straight", "convex"]


def test_twice_the_pods_with_twice_the_load_is_the_same_service() -> None:
    world = World(0, "smt")
    one = world.test()
    both = find_bend(
        2 * world.design,
        2 * world.y,
        rps=2 * world.rps,
        background=BACKGROUND,
        pods=2 * world.pods,
        day=world.day + 7,
    )
    assert (both.p_hinge, both.p_reset, both.verdict) == (one.p_hinge, one.p_reset, one.verdict)
    assert both.knee == pytest.approx(one.knee)
    assert both.above.value == pytest.approx(one.above.value, rel=1e-6)


def test_what_cannot_be_tested_says_so() -> None:
    rng = np.random.default_rng(0)
    rps = rng.uniform(10, 60, 1000)
    even = find_bend(
        np.column_stack([rps / 10, rps]),
        0.1 * rps,
        rps=rps,
        background=BACKGROUND,
        pods=rps / 10,
    )
    few = find_bend(rps[:60, None], rps[:60], rps=rps[:60], background=BACKGROUND[1:])
    for test in (even, few):
        assert test.verdict == "untested"
        assert np.isnan([test.p_hinge, test.p_reset, test.knee]).all()
        assert "load-test" in test.advice
    exact = find_bend(rps[:, None], 0.085 * rps, rps=rps, background=BACKGROUND[1:])
    assert (exact.verdict, exact.p_hinge, exact.p_reset) == ("straight", 1.0, 1.0)


def test_known_bends_are_recovered_exactly() -> None:
    rng = np.random.default_rng(1)
    pods = rng.integers(2, 9, 800).astype(float)
    rps = pods * rng.uniform(2, 20, 800)
    design = np.column_stack([pods, rps])
    for extra in (0.05, -0.05):
        y = design @ [0.1, 0.08] + extra * hinge_column(rps, pods, 12.0)
        bent = fit_hinge(design, y, rps=rps, pods=pods)
        assert bent.knee == pytest.approx(12.0, abs=0.05)
        np.testing.assert_allclose(bent.value, [0.1, 0.08, extra], rtol=0.02)
        assert bent.sign == np.sign(extra)
        np.testing.assert_allclose(bent.fit.fitted, bent.columns @ bent.fit.value)
    flat = convex_fit(design, y, rps=rps, pods=pods)  # the last one bends downward
    assert np.isnan(flat.knee)
    assert flat.value[-1] == 0
    assert flat.columns.shape == (800, 2)


def test_a_convex_fit_beats_the_line_beyond_the_range() -> None:
    errors: list[list[float]] = []
    for seed in range(6):
        world = World(seed, "smt", outliers=0.05)
        bent: HingeFit = convex_fit(world.design, world.y, rps=world.rps, pods=world.pods)
        assert (bent.value >= 0).all()
        top = np.quantile(world.rps / world.pods, 0.995)
        x = 1.2 * top
        truth = 0.05 + 0.085 * x + 0.3 * 0.085 * x**2 / top
        hinge = hinge_column(np.array([x]), np.array([1.0]), bent.knee)[0]
        straight = fit_hinge(world.design, world.y, rps=world.rps, pods=world.pods, sign=-1)
        errors.append(
            [bent.value @ [1, x, hinge] / truth - 1, straight.value[:2] @ [1, x] / truth - 1]
        )
    mean = np.mean(errors, axis=0)
    assert abs(mean[0]) < 0.05
    assert mean[1] < -0.08  # what a line through the same rows promises too little


def test_groups_are_days_or_blocks() -> None:
    days = np.repeat([2, 4, 5, 7, 9, 10, 11, 30], 3)
    assert independent_groups(days, 24).tolist() == np.repeat(np.arange(8), 3).tolist()
    blocks = independent_groups(days[:21], 21)  # seven days: blocks, here one row each
    assert blocks.tolist() == list(range(21))
    assert np.bincount(independent_groups(None, 3200)).tolist() == [100] * 32
