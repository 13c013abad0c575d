"""Options for one limit: hand-worked costs, story A7, the critical ratio, paths nobody serves."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import brentq
from scipy.stats import norm

from capmodel.choice import Options, losses_of, newsvendor_quantile, options_table, risk_options
from capmodel.errors import InputError

ALONE = np.ones(1)
A7_P50 = np.array([5280.0, 6000.0, 7200.0])
A7_WEIGHTS = np.array([0.25, 0.55, 0.20])
A7_TABLE = {7200: 0.119, 7740: 0.05, 8196: 0.02, 8493: 0.01}


def a7_exceedance(units: float) -> float:
    """P(need > units) of the mixture of three log-normals of sd 0.10."""
    return float(A7_WEIGHTS @ norm.sf(np.log(units / A7_P50) / 0.10))


@pytest.fixture(scope="module")
def a7() -> np.ndarray:
    luck = np.random.default_rng(7).standard_normal((3, 20_000))
    return A7_P50[:, None] * np.exp(0.10 * luck)


def table(need: Any, options: Any, weights: Any = ALONE, **changes: Any) -> Options:
    arguments = {"today": 10, "risk": 0.02, "over_usd_per_unit": 1, "under_usd_per_unit": 5}
    return options_table(need, weights, options, **(arguments | changes))


def test_hand_worked_costs_and_regret() -> None:
    """Needs 8, 10, 12, 14 at USD 1 over and 5 under.

    10 units: over (2+0+0+0)/4 = 0.50, under 5*(2+4)/4 = 7.50. 12: over (4+2)/4, under 10/4.
    14: over (6+4+2)/4 = 3. Best on the paths, of the three: 2, 0, 0, 0.
    """
    found = table(np.array([[8.0, 10.0, 12.0, 14.0]]), [14, 10, 12])
    costs = [(row.units, row.over_usd, row.under_usd, row.regret_usd) for row in found.rows]
    assert costs == [
        (10, Decimal("0.50"), Decimal("7.50"), Decimal("7.50")),
        (12, Decimal("1.50"), Decimal("2.50"), Decimal("3.50")),
        (14, Decimal("3.00"), Decimal("0.00"), Decimal("2.50")),
    ]
    assert [row.loss_usd for row in found.rows] == [Decimal(x) for x in ("8.00", "4.00", "3.00")]
    assert [row.p_saturate for row in found.rows] == [0.5, 0.25, 0.0]
    assert [row.stands_at for row in found.rows] == [0.5, 0.75, 1.0]
    assert found.least_regret.units == 14
    assert [row.regret_p95_usd for row in found.rows] == [20, 10, 4]
    assert [row.over_today_x for row in found.rows] == pytest.approx([1.0, 1.2, 1.4])


def test_story_a7_by_the_closed_form() -> None:
    for units, p in A7_TABLE.items():
        assert a7_exceedance(units) == pytest.approx(p, abs=0.003)
    for risk, units in ((0.05, 7740), (0.02, 8196), (0.01, 8493)):
        exact = brentq(lambda c, risk=risk: a7_exceedance(c) - risk, 6000, 10_000)
        assert exact == pytest.approx(units, abs=1)
    assert pytest.approx(1.366, abs=5e-4) == 8196 / 6000
    assert pytest.approx(1.416, abs=5e-4) == 8493 / 6000


def test_story_a7_by_draws(a7: np.ndarray) -> None:
    """USD 10 for a unit too many; too few costs 50 times that: q* = 50/51, near 2 %."""
    found = table(
        a7, list(A7_TABLE), A7_WEIGHTS, today=6000, over_usd_per_unit=10, under_usd_per_unit=500,
        unit="per_min", scenarios=["low", "base", "high"],
    )  # fmt: skip
    for row, (units, p) in zip(found.rows, A7_TABLE.items(), strict=True):
        assert row.units == units
        assert row.p_saturate == pytest.approx(p, abs=0.007)
        assert row.stands_at == pytest.approx(1 - p, abs=0.007)
    assert found.cheapest_within_risk is not None
    assert found.cheapest_within_risk.units == 8196
    assert found.least_regret.units == 8196
    assert found.newsvendor_q == pytest.approx(50 / 51)
    assert found.newsvendor_units == pytest.approx(8196, rel=0.01)
    assert found.sentences()[0].startswith("Within 2.0% risk: 8,196 per_min at P98.0, expected USD")


def test_story_a7_options_at_the_risks(a7: np.ndarray) -> None:
    units = risk_options(a7, A7_WEIGHTS)
    assert units == pytest.approx([7740, 8196, 8493], rel=0.006)
    assert [a7_exceedance(u) for u in units] == pytest.approx([0.05, 0.02, 0.01], abs=0.003)


def test_expected_costs_meet_the_closed_form(a7: np.ndarray) -> None:
    """E[(x - C)+] of a log-normal (Black 1976): F Phi(d1) - C Phi(d2), F the mean."""
    size, mean = 7740.0, A7_P50 * np.exp(0.005)
    d1 = np.log(mean / size) / 0.1 + 0.05
    short = A7_WEIGHTS @ (mean * norm.cdf(d1) - size * norm.cdf(d1 - 0.1))
    spare = short + size - A7_WEIGHTS @ mean
    (row,) = table(a7, [size], A7_WEIGHTS, over_usd_per_unit=2, under_usd_per_unit=30).rows
    assert float(row.under_usd) == pytest.approx(30 * short, rel=0.04)
    assert float(row.over_usd) == pytest.approx(2 * spare, rel=0.01)


@pytest.mark.slow
def test_the_least_regret_of_all_sizes_is_the_critical_ratio() -> None:
    need = np.random.default_rng(1).permutation(np.arange(1.0, 1001.0))[None]
    for over, under in ((1, 1), (1, 9), (2, 98)):
        found = table(need, np.arange(1, 1001), over_usd_per_unit=over, under_usd_per_unit=under)
        assert found.newsvendor_q == pytest.approx(under / (under + over))
        assert found.least_regret.units == found.newsvendor_units == 1000 * under / (under + over)
        assert newsvendor_quantile(over_usd_per_unit=over, under_usd_per_unit=under) == (
            found.newsvendor_q
        )


def test_netflix_costs_stand_at_p56() -> None:
    """Linear costs of 1 and 1.25 stand at 1.25 / 2.25 = P55.6: no protection, and it is said."""
    need = np.arange(1.0, 1001.0)[None]
    found = table(need, np.arange(1, 1001), over_usd_per_unit=1, under_usd_per_unit=1.25)
    assert found.least_regret.stands_at == pytest.approx(0.556, abs=0.001)
    assert not found.least_regret.within_risk


def test_a_price_per_breach_has_no_critical_ratio() -> None:
    need = np.arange(1.0, 101.0)[None]
    found = table(need, [90, 99], under_usd_per_unit=0, under_usd_per_breach=200)
    assert found.newsvendor_q is None
    assert found.newsvendor_units is None
    assert [row.under_usd for row in found.rows] == [Decimal("20.00"), Decimal("2.00")]


def test_paths_that_no_option_serves_are_counted_and_named() -> None:
    """Scenario high: one draw of four needs 30 of at most 20, one has no answer."""
    need = np.array([[5.0, 6.0, 7.0, 8.0], [9.0, 12.0, 30.0, np.inf]])
    found = table(need, [10, 20], np.array([0.5, 0.5]), scenarios=["base", "high"])
    assert (found.p_above_largest, found.p_infeasible) == (0.125, 0.125)
    assert [row.p_saturate for row in found.rows] == [0.375, 0.25]
    assert found.cheapest_within_risk is None
    assert [(u.scenario, u.above_largest, u.infeasible) for u in found.unserved] == [("high", 1, 1)]
    assert found.sentences()[0] == "No option is within 2.0% risk."
    assert found.sentences()[2] == (
        "high: 1 draws need more than the largest option, 1 more than any number of units."
    )
    # 10 units on the path of 30: 100 against 50 USD, an eighth of the mixture.
    assert [row.regret_beyond_usd for row in found.rows] == [Decimal("6.25"), Decimal("0.00")]
    assert found.rows[1].under_usd == Decimal("6.25")
    assert found.newsvendor_units == 30  # 5/6 of the weight: the seventh of eight paths


def test_all_infeasible_one_draw_one_option() -> None:
    found = table(np.array([[np.inf]]), [10])
    (row,) = found.rows
    assert (row.p_saturate, row.stands_at, row.regret_usd, row.regret_p95_usd) == (1, 0, 0, 0)
    assert found.p_infeasible == 1.0
    assert row.least_regret
    assert not row.within_risk
    assert risk_options(np.array([[np.inf]]), ALONE).size == 0
    (served,) = table(np.array([[10.0]]), [10]).rows
    assert (served.p_saturate, served.loss_usd) == (0.0, 0)


def test_within_risk_reads_the_standard_error() -> None:
    """At 2 %, 1,000 draws doubt by 0.9 points, a tenth of the risk is 0.2; 10^5 draws by 0.09."""
    cases = ((1000, 20, True), (1000, 22, True), (1000, 23, False))
    for draws, over, within in (*cases, (100_000, 2085, True), (100_000, 2095, False)):
        need = np.r_[np.full(draws - over, 5.0), np.full(over, 15.0)][None]
        (row,) = table(need, [10]).rows
        assert row.within_risk is within
        assert row.p_saturate == pytest.approx(over / draws)


def test_frame() -> None:
    frame = table(np.array([[8.0, 12.0]]), [10, 13]).to_frame()
    assert frame["least_regret"].sum() == 1
    assert frame["units"].tolist() == [10.0, 13.0]


needs = st.lists(st.lists(st.integers(1, 40), min_size=6, max_size=6), min_size=3, max_size=3).map(
    lambda rows: np.array(rows, dtype=float)
)
sizes = st.lists(st.integers(0, 50), min_size=1, max_size=6)


@given(need=needs, options=sizes, order=st.permutations(range(3)))
def test_rows_do_not_depend_on_the_order_of_anything(
    need: np.ndarray, options: list[int], order: list[int]
) -> None:
    found = table(need, options, A7_WEIGHTS)
    again = table(need[order][:, ::-1], options[::-1], A7_WEIGHTS[order])
    for row, other in zip(found.rows, again.rows, strict=True):
        assert row.p_saturate == pytest.approx(other.p_saturate)
        assert abs(row.loss_usd - other.loss_usd) <= Decimal("0.02")
    assert found.rows == table(need, options, A7_WEIGHTS).rows


@given(need=needs, options=sizes, k=st.integers(0, 10))
def test_more_units_or_less_demand_never_raise_the_risk(
    need: np.ndarray, options: list[int], k: int
) -> None:
    found, grown = table(need, options, A7_WEIGHTS), table(need + k, options, A7_WEIGHTS)
    p = [row.p_saturate for row in found.rows]
    assert p == sorted(p, reverse=True)
    assert [row.over_usd for row in found.rows] == sorted(row.over_usd for row in found.rows)
    assert all(
        a.p_saturate <= b.p_saturate + 1e-12 for a, b in zip(found.rows, grown.rows, strict=True)
    )
    assert found.least_regret.units <= grown.least_regret.units
    by_loss = min(row.loss_usd for row in found.rows)
    assert found.least_regret.loss_usd <= by_loss + Decimal("0.02")
    of = losses_of(need, np.array(options), over_usd_per_unit=1, under_usd_per_unit=5)
    spare = np.array(options)[:, None, None] - need
    loss = np.where(spare >= 0, spare, -5 * spare)
    assert of.regret_usd == pytest.approx(loss - loss.min(axis=0))


def test_risk_options_rise_as_risk_falls() -> None:
    need = np.random.default_rng(2).gamma(5.0, 10.0, size=(3, 500))
    units = [risk_options(need, A7_WEIGHTS, [risk])[0] for risk in (0.2, 0.05, 0.01)]
    assert units == sorted(units)
    assert all(u == int(u) for u in units)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"weights": np.array([0.25, 0.55, 0.21])}, "weights: .* sum 1.01"),
        ({"options": []}, "options: "),
        ({"options": [10, np.inf], "today": 0}, "(?s)options: .*today: "),
        ({"risk": 2}, "risk: "),
        ({"scenarios": ["low"]}, "scenarios: "),
        ({"over_usd_per_unit": -1}, "over_usd_per_unit: got -1"),
        ({"under_usd_per_unit": 0}, "a cost of too much and a cost of too little"),
        ({"need": np.full((3, 2), np.nan)}, "need: .*6 NaN"),
    ],
)
def test_bad_input_is_named(changes: dict[str, object], named: str) -> None:
    arguments = {"need": np.ones((3, 2)), "weights": A7_WEIGHTS, "options": [1, 2]} | changes
    need, weights, options = (arguments.pop(key) for key in ("need", "weights", "options"))
    with pytest.raises(InputError, match=named):
        table(need, options, weights, **arguments)
    with pytest.raises(InputError, match="risks"):
        risk_options(np.ones((1, 2)), ALONE, [0.0])
