"""Status in the mixture: which of the limits of a broken tier must grow."""

from __future__ import annotations

import math
from typing import Any

import pytest
from scipy.stats import norm

import capmodel as cm


def plan(**hard: float) -> cm.PlanSet:
    """Return a plan of one driver, 6,000 a minute at the median with sd 0.10, and its bounds."""
    limits: dict[str, Any] = {
        name: {"unit": "1/min", "per_request": {"checkouts": 60}, "hard": value, "policy_x": 1.0,
               "tier": 0}
        for name, value in hard.items()
    }  # fmt: skip
    topology = cm.Topology.model_validate(
        {"drivers": {"checkouts": {"today_per_min": 4800, "sigma_log": 0.10}}, "limits": limits}
    )
    scenario = cm.Scenario(name="base", probability=1.0, demand_x={"checkouts": 1.25})
    return (
        cm.CapacityModel(topology)
        .declare()
        .plan([scenario], draws=4000, start="2026-11-30", end="2026-12-01", as_of="2026-09-21")
    )


def mixture(plans: cm.PlanSet) -> dict[str, dict[Any, Any]]:
    frame = plans.to_frame("limits").query("scenario == 'mixture'")
    return {str(row["node"]): row for row in frame.to_dict(orient="records")}


def exceeded(hard: float) -> float:
    """P(season's peak > hard), log-normal around 6,000 with sd 0.10."""
    return float(norm.sf(math.log(hard / 6000) / 0.10))


def test_a_limit_that_fits_its_share_stays_while_another_breaks_the_tier() -> None:
    # Both follow one driver, so they share their seasons: each may keep 2 %, which is near 7,370.
    limits = mixture(plan(tight=7000, ample=7700))
    tight, ample = limits["tight"], limits["ample"]
    assert tight["p_any"] == pytest.approx(exceeded(7000), abs=0.012)  # 6.2 %, above tier 0's 2 %
    assert ample["p_saturate"] == pytest.approx(exceeded(7700), abs=0.004)  # 0.6 %
    assert (tight["status"], ample["status"]) == ("RED", "GREEN")


def test_without_a_broken_tier_nothing_is_red() -> None:
    limits = plan(ample=7700, wide=9000).to_frame("limits")
    assert set(limits["status"]) == {"GREEN"}


def test_of_two_limits_that_break_together_both_are_red() -> None:
    limits = mixture(plan(tight=7000, close=7100))
    assert (limits["tight"]["status"], limits["close"]["status"]) == ("RED", "RED")
