"""A simulated year with a peak month: the figures of the literature, against a search of a grid."""

from __future__ import annotations

import numpy as np
import pytest

from capmodel.commitments import commitment_at, optimal_commitment, optimal_payment

DISCOUNTS = (0.20, 0.28, 0.35, 0.50, 0.60)
STEP = 0.25
HOURS = np.arange(365 * 24)
# USD 100 an hour, a daily sine of 30, independent noise of 10: nature makes days like this.
QUIET = (
    100 + 30 * np.sin(2 * np.pi * HOURS / 24) + 10 * np.random.default_rng(0).standard_normal(8760)
)
IN_PEAK = (HOURS // 24 >= 320) & (HOURS // 24 < 350)
PEAK = np.where(IN_PEAK, 2.2, 1.0) * QUIET


def cheapest_of_a_grid(usage: np.ndarray, discount: float) -> tuple[float, float]:
    """Return the best of all commitments on a grid, and its mean cost: no quantile anywhere."""
    grid = np.arange(0, 340 + STEP, STEP)
    costs = [(1 - discount) * c + np.clip(usage - c, 0, None).mean() for c in grid]
    best = int(np.argmin(costs))
    return float(grid[best]), float(costs[best])


@pytest.mark.parametrize("discount", DISCOUNTS)
@pytest.mark.parametrize("usage", [QUIET, PEAK], ids=["quiet", "peak"])
def test_the_grid_finds_the_quantile(usage: np.ndarray, discount: float) -> None:
    best = optimal_commitment(usage, discount=discount)
    covers, cost = cheapest_of_a_grid(usage, discount)
    assert abs(best.covers_usd_per_hour - covers) <= STEP
    assert best.usd_per_hour <= cost + 1e-9
    assert cost - best.usd_per_hour <= STEP  # the cost's slope is below 1
    # F(c*) = d: the smallest value that a share d of the hours does not exceed.
    assert (usage <= best.covers_usd_per_hour).mean() >= discount - 1e-12
    assert (usage < best.covers_usd_per_hour).mean() < discount
    paid = optimal_payment({"all": usage[None, :]}, discounts={"all": discount})
    assert paid == pytest.approx(best.pays_usd_per_hour, rel=1e-12)


@pytest.mark.parametrize(("discount", "before", "after"), [(0.28, 82.5, 84.3), (0.50, 99.9, 103.9)])
def test_a_month_of_2_2_times_the_usage_hardly_moves_it(
    discount: float, before: float, after: float
) -> None:
    # Known of such a year: the maximum goes from 159 to 335, c* from 82.5 to 84.3 at a discount of
    # 0.28 and from 99.9 to 103.9 at 0.5.
    assert (round(QUIET.max()), round(PEAK.max())) == (159, 335)
    found = [optimal_commitment(u, discount=discount).covers_usd_per_hour for u in (QUIET, PEAK)]
    print(f"discount {discount:.0%}: {found[0]:.1f} to {found[1]:.1f}")  # noqa: T201  figures for the log
    assert [round(c, 1) for c in found] == [before, after]
    follower = commitment_at(PEAK, covers=PEAK.max(), discount=discount)
    assert follower.saving_usd_per_hour < 0  # a commitment as high as the peak costs more than none
