from __future__ import annotations

import datetime as dt
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from capmodel.demand.paths import RootPaths
from capmodel.demand.windows import EventWindow
from capmodel.errors import InputError
from capmodel.scenario import (
    LogNormal,
    Scenario,
    assumed_lift,
    check_names,
    day_factor,
    mixture_weights,
    with_window_lifts,
)

DAYS = np.arange(np.datetime64("2026-11-26"), np.datetime64("2026-12-01"))
EVENT = ("thanksgiving", "black_friday", "", "", "cyber_monday")
LIFT = np.array([2.0, 4.0, 1.0, 1.0, 5.0])
TO_GROWTH = np.log([0.8, 0.8, 0.75, 0.75, 0.7])
DRAWS = 50


def root(*, to_growth: np.ndarray = TO_GROWTH, drift: float = 0.05) -> RootPaths:
    rng = np.random.default_rng(0)
    return RootPaths(
        service="checkouts",
        quantity="per_min",
        dates=DAYS,
        event=EVENT,
        shape=np.full((1, len(DAYS), 24), 1000.0),
        level=0.02 * rng.standard_normal(DRAWS),
        drift=drift * rng.standard_normal((DRAWS, len(DAYS))),
        shock=0.1 * rng.standard_normal((DRAWS, len(DAYS))) * (LIFT > 1),
        to_growth=to_growth,
        lift_x=LIFT,
        basis="fitted",
    )


def scenario(**fields: object) -> Scenario:
    return Scenario.model_validate({"name": "base", **fields})


def test_nothing_assumed_leaves_the_forecast_as_it_is() -> None:
    path = root()
    factor = day_factor(path, scenario())
    assert factor.shape == (DRAWS, len(DAYS))
    assert path.shape * factor[:, :, None] == pytest.approx(path.demand(), rel=1e-12)
    assert (day_factor(path, scenario(demand_x={"checkouts": 1.0})) == factor).all()


@given(x=st.floats(0.5, 4.0))
def test_demand_x_multiplies_and_keeps_the_drift(x: float) -> None:
    path = root()
    ratio = day_factor(path, scenario(demand_x={"checkouts": x})) / day_factor(path, scenario())
    assert ratio == pytest.approx(np.full_like(ratio, x), rel=1e-12)


def test_growth_replaces_the_trend_and_keeps_level_and_shock() -> None:
    path = root()
    factor = day_factor(path, scenario(growth_yoy_x={"checkouts": 1.25}))
    by_hand = np.exp(path.level[:, None] + path.shock) * np.exp(TO_GROWTH) * 1.25
    assert factor == pytest.approx(by_hand, rel=1e-12)
    # No trend is left to disagree about: two fits that differ in drift alone give the same.
    other = day_factor(root(drift=0.5), scenario(growth_yoy_x={"checkouts": 1.25}))
    assert (other == factor).all()


def test_growth_of_another_root_does_not_concern_this_one() -> None:
    path = root()
    assert (
        day_factor(path, scenario(growth_yoy_x={"other": 2.0})) == day_factor(path, scenario())
    ).all()


def test_an_assumed_lift_replaces_the_fitted_one_on_its_day_only() -> None:
    path = root()
    changed = scenario(lift={"cyber_monday": {"checkouts": 3.0}})
    ratio = day_factor(path, changed) / day_factor(path, scenario())
    expected = np.array([1, 1, 1, 1, 3.0 / 5.0])
    assert ratio == pytest.approx(np.tile(expected, (DRAWS, 1)), rel=1e-12)


def test_a_lift_by_span_reaches_its_days_unless_the_day_is_named() -> None:
    both = scenario(lift={"cyber_week": {"checkouts": 2.0}, "cyber_monday": {"checkouts": 3.0}})
    spans = {"black_friday": "cyber_week", "cyber_monday": "cyber_week"}
    ratio = day_factor(root(), both, spans=spans)[0] / day_factor(root(), scenario())[0]
    assert ratio == pytest.approx([1, 2.0 / 4.0, 1, 1, 3.0 / 5.0])
    assert assumed_lift(both, "checkouts", "black_friday", "cyber_week") == 2.0
    assert assumed_lift(both, "checkouts", "cyber_monday", "cyber_week") == 3.0
    assert assumed_lift(both, "impressions", "cyber_monday", "cyber_week") is None


def with_windows(lift_x: float = 2.0) -> RootPaths:
    """Return the root with a flash sale on Black Friday and one on the ordinary Saturday."""
    sales = tuple(
        EventWindow(day, "flash_sale", "flash_sale", 18, 22, lift_x=lift_x) for day in (1, 2)
    )
    event = (*EVENT[:2], "flash_sale", *EVENT[3:])
    return replace(root(), event=event, windows=sales, lift_x=np.array([2.0, 4.0, 2.0, 1.0, 5.0]))


def test_a_lift_of_a_window_changes_its_hours_and_no_others() -> None:
    path = with_windows()
    assumed = scenario(lift={"flash_sale": {"checkouts": 3.0}, "black_friday": {"checkouts": 6.0}})
    changed = with_window_lifts(path, assumed)
    expected = np.full((1, len(DAYS), 24), 1000.0)
    expected[:, 1:3, 18:22] = 1500.0
    np.testing.assert_allclose(changed.shape, expected)
    assert changed.lift_x.tolist() == [2, 4, 3, 1, 5]
    assert [window.lift_x for window in changed.windows] == [3, 3]
    assert path.shape.max() == 1000
    # The day's factor knows Black Friday's lift alone, on whichever of the two roots.
    for one in (path, changed):
        ratio = day_factor(one, assumed)[0] / day_factor(one, scenario())[0]
        assert ratio == pytest.approx([1, 6.0 / 4.0, 1, 1, 1])


def test_a_root_without_assumed_windows_is_itself() -> None:
    path = with_windows()
    assert with_window_lifts(path, scenario(lift={"black_friday": {"checkouts": 6.0}})) is path
    assert with_window_lifts(path, scenario(lift={"flash_sale": {"impressions": 3.0}})) is path
    plain = root()
    assert with_window_lifts(plain, scenario(lift={"flash_sale": {"checkouts": 3.0}})) is plain


def test_a_lift_of_a_window_needs_one_that_is_known() -> None:
    with pytest.raises(InputError, match=r"lift\.flash_sale\.checkouts.*does not say which lift"):
        with_window_lifts(with_windows(np.nan), scenario(lift={"flash_sale": {"checkouts": 3.0}}))


def test_growth_needs_last_season() -> None:
    unknown = np.where(np.arange(len(DAYS)) == 2, np.nan, TO_GROWTH)
    with pytest.raises(InputError, match="last season's level is not known") as caught:
        day_factor(root(to_growth=unknown), scenario(growth_yoy_x={"checkouts": 1.25}))
    assert "demand_x" in caught.value.problems[0].do
    day_factor(root(to_growth=unknown), scenario(demand_x={"checkouts": 1.25}))


@pytest.mark.parametrize(
    ("field", "value", "meant"),
    [
        ("growth_yoy_x", 25, "1.25"),  # percent
        ("growth_yoy_x", 0.25, "1.25"),  # the change
        ("demand_x", 140, "2.4"),
        ("demand_x", -0.1, "0.9"),
        ("growth_yoy_x", 4.001, "1.04001"),
    ],
)
def test_what_is_no_ratio_is_refused_with_what_was_meant(
    field: str, value: float, meant: str
) -> None:
    with pytest.raises(InputError) as caught:
        scenario(**{field: {"checkouts": value}})
    (problem,) = caught.value.problems
    assert problem.where == f"base.{field}.checkouts"
    assert problem.do == f"Did you mean {meant}?"


@pytest.mark.parametrize("value", [0.5, 1.0, 4.0])
def test_the_bounds_of_a_ratio_are_ratios(value: float) -> None:
    assert scenario(growth_yoy_x={"checkouts": value}).growth_yoy_x == {"checkouts": value}


def test_growth_and_demand_of_one_root_exclude_each_other() -> None:
    with pytest.raises(InputError, match="for the same root"):
        scenario(growth_yoy_x={"checkouts": 1.2}, demand_x={"checkouts": 1.2})
    both = scenario(growth_yoy_x={"checkouts": 1.2}, demand_x={"impressions": 1.2})
    assert both.demand_x == {"impressions": 1.2}


def test_replace_validates_again_and_leaves_the_original() -> None:
    base = scenario(growth_yoy_x={"checkouts": 1.25}, efficiency=[
        {"pool": "general", "cores_x": 0.8, "from": "2026-10-15", "source": "load test"}
    ])  # fmt: skip
    high = base.replace(name="high", growth_yoy_x={"checkouts": 1.5})
    assert (base.name, base.growth_yoy_x, high.name, high.growth_yoy_x) == (
        "base", {"checkouts": 1.25}, "high", {"checkouts": 1.5},
    )  # fmt: skip
    assert high.efficiency[0].since == dt.date(2026, 10, 15)
    with pytest.raises(InputError, match=r"Did you mean 1\.5"):
        base.replace(growth_yoy_x={"checkouts": 50})
    with pytest.raises(ValidationError):
        base.replace(growth={"checkouts": 1.5})
    with pytest.raises(ValidationError, match="frozen"):
        base.name = "other"  # type: ignore[misc]


def test_weights_are_the_probabilities_or_equal() -> None:
    names = ("low", "base", "high")
    stated = [
        scenario(name=n, probability=p) for n, p in zip(names, (0.25, 0.55, 0.2), strict=True)
    ]
    assert mixture_weights(stated).tolist() == [0.25, 0.55, 0.2]
    assert mixture_weights([scenario(name=n) for n in names]) == pytest.approx([1 / 3] * 3)


@pytest.mark.parametrize(
    ("names", "probabilities"),
    [
        (("low", "base"), (0.5, 0.4)),
        (("low", "base"), (0.5, None)),
        (("low", "base"), (0.5, 0.5 + 2e-9)),
        (("base", "base"), (0.5, 0.5)),
        (("base", "mixture"), (0.5, 0.5)),
        ((), ()),
    ],
)
def test_weights_that_are_none_are_refused(
    names: tuple[str, ...], probabilities: tuple[float | None, ...]
) -> None:
    wrong = [scenario(name=n, probability=p) for n, p in zip(names, probabilities, strict=True)]
    with pytest.raises(InputError, match="scenarios"):
        mixture_weights(wrong)


def test_sums_of_one_up_to_rounding_pass() -> None:
    tenths = [scenario(name=f"s{i}", probability=0.1) for i in range(10)]
    assert mixture_weights(tenths).sum() == pytest.approx(1)


def test_unknown_roots_and_events_are_all_named() -> None:
    wrong = scenario(
        growth_yoy_x={"checkout": 1.2},
        peak={"zebra": {"p50": 1, "p95": 2}},
        lift={"cyber_mondy": {"checkouts": 3.0}, "black_friday": {"check": 2.0}},
    )
    with pytest.raises(InputError) as caught:
        check_names([wrong], roots=["checkouts"], events=["cyber_monday", "black_friday"])
    assert {(p.where, p.do) for p in caught.value.problems} == {
        ("scenarios.base.growth_yoy_x", 'Did you mean "checkouts"?'),
        ("scenarios.base.peak", "Remove it or declare the driver."),
        ("scenarios.base.lift", 'Did you mean "cyber_monday"?'),
        ("scenarios.base.lift.black_friday", 'Did you mean "checkouts"?'),
    }
    check_names([scenario(growth_yoy_x={"checkouts": 1.2})], roots=["checkouts"], events=[])


def test_a_stated_peak_has_the_quantiles_that_were_stated() -> None:
    # Story A7's base: ln(7070 / 6000) / 1.644854 = 0.0998.
    peak = LogNormal(p50=6000, p95=7070)
    assert peak.sigma == pytest.approx(0.0998, abs=5e-5)
    assert 6000 * math.exp(1.6448536269514722 * peak.sigma) == pytest.approx(7070)
    assert LogNormal(p50=10, p95=10).sigma == 0
    with pytest.raises(ValidationError, match="below p50"):
        LogNormal(p50=10, p95=9)
