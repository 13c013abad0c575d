"""The retrospective's parts: quantiles, steps that sum, bases of comparison, refusals."""

from __future__ import annotations

import datetime as dt
import math
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
import stories
from hypothesis import given
from hypothesis import strategies as st

from capmodel.errors import InputError
from capmodel.history import History
from capmodel.plan import Study
from capmodel.retro import Retro, retro
from capmodel.retro.decompose import exact_steps, running_products
from capmodel.retro.quantiles import mixture_quantiles, normal_score, pit

if TYPE_CHECKING:
    from capmodel.plan import PlanSet

POSITIVE = st.floats(1e-9, 1e12, allow_nan=False)
Z = np.array([-1.2815515655446004, 0.0, 1.2815515655446004, 1.6448536269514722])
FROZEN = dt.date(2026, 10, 1)


# What stands on arrays alone


def only(frame: pd.DataFrame, **where: object) -> Any:
    """Return the first row whose columns hold these values."""
    for column, value in where.items():
        frame = frame[frame[column] == value]
    return frame.iloc[0]


@given(factors=st.lists(st.tuples(POSITIVE, POSITIVE), min_size=1, max_size=4))
def test_steps_sum_exactly_for_any_positive_factors(factors) -> None:
    planned, actual = zip(*factors, strict=True)
    totals = running_products(planned, actual)
    steps = exact_steps(totals)
    assert totals[0] == pytest.approx(math.prod(planned))
    assert totals[-1] == pytest.approx(math.prod(actual))
    whole = exact_steps((totals[0], totals[-1], totals[totals.index(max(totals))]))[0]
    assert sum(steps) == whole  # Decimal: to the last digit
    assert float(whole) == pytest.approx(totals[-1] - totals[0], abs=2e-8 * max(totals))


@given(k=st.floats(0.01, 100), factors=st.lists(st.tuples(POSITIVE, POSITIVE), min_size=2))
def test_steps_scale_with_their_factors(k, factors) -> None:
    planned, actual = zip(*factors[:3], strict=True)
    one = exact_steps(running_products(planned, actual))
    more = exact_steps(
        running_products((planned[0] * k, *planned[1:]), (actual[0] * k, *actual[1:]))
    )
    largest = max(running_products(planned, actual))
    for a, b in zip(one, more, strict=True):
        assert float(b) == pytest.approx(k * float(a), abs=1e-7 * k * largest)


def test_equal_factors_make_no_step() -> None:
    assert exact_steps(running_products((3.0, 0.2), (3.0, 0.2))) == (Decimal(0), Decimal(0))


@given(sigma=st.floats(0.01, 1), z=st.floats(-5, 5), p50=st.floats(1e-3, 1e6))
def test_a_log_normal_plan_gives_back_its_scores(sigma, z, p50) -> None:
    quantiles = (p50 * np.exp(sigma * Z)).tolist()
    assert normal_score(p50 * math.exp(sigma * z), quantiles) == pytest.approx(z, abs=1e-6)


def test_a_plan_without_spread_gives_no_score() -> None:
    assert math.isnan(normal_score(5.0, (4.0, 4.0, 4.0, 4.0)))
    assert math.isnan(pit(0.0, (1.0, 2.0, 3.0, 4.0)))


def test_the_mixture_of_a7_from_its_parts() -> None:
    # P(saturate) of practice's table: 7,200 is exceeded by 11.9 %, 7,740 by 5 %.
    rows = [(m * np.exp(0.1 * Z)).tolist() for m in (5280.0, 6000.0, 7200.0)]
    p10, p50, p90, p95 = mixture_quantiles(rows, (0.25, 0.55, 0.20))
    assert (p10, p50, p90, p95) == pytest.approx((5030, 5986, 7319, 7740), rel=0.001)
    flat = mixture_quantiles([(5.0,) * 4, (7.0,) * 4], (0.7, 0.3))
    assert flat == pytest.approx((5.0, 5.0, 7.0, 7.0))


# A plan with pods and nodes, and hours of what happened

SEASON = pd.date_range("2026-11-29", "2026-12-02", freq="h", tz=stories.TZ, inclusive="left")


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> PlanSet:
    folder = tmp_path_factory.mktemp("retro")
    path = stories.proportional_pool(folder)
    text = path.read_text(encoding="utf-8")
    text = text.replace("2026-11-01", "2026-11-29").replace("2026-12-17", "2026-12-02")
    path.write_text(text.replace("2026-11-02", "2026-11-29"), encoding="utf-8")
    return Study.read(path).plan()


def hours(**quantities: dict[str, float]) -> History:
    """Return constant hours of the season: node, underscored, to its quantities."""
    parts = [
        pd.DataFrame({"service": name.replace("_", "-"), "time": SEASON.tz_convert("UTC"), **q})
        for name, q in quantities.items()
    ]
    return History.from_frame(pd.concat(parts), business_tz=stories.TZ)


CALM: dict[str, dict[str, float]] = {
    "checkouts": {"per_min": 6600.0},
    # 440 rps x 1.30 cores a request = 572 cores on 550 pods of 2 cores.
    "checkout_api": {"rps": 440.0, "cpu_cores": 572.0, "replicas": 550.0},
    "credit_bureau": {"rps": 92.4},
    "general": {"replicas": 96.0},
}


@pytest.fixture(scope="module")
def result(plan: PlanSet) -> Retro:
    return retro(plan.freeze(on=FROZEN), hours(**CALM))


def test_cores_and_pods_are_split_in_the_stated_order(result: Retro) -> None:
    steps = result.to_frame("decomposition").query("service == 'checkout-api'")
    assert steps.groupby("total", sort=False)["step"].apply(list).to_dict() == {
        "peak_rps": ["driver", "fan_out"],
        "cpu_cores": ["driver", "fan_out", "per_request"],
        "pods": ["driver", "fan_out", "per_request", "headroom"],
    }
    cores = steps[steps["total"] == "cpu_cores"]
    # By hand: 400 x 1.26 = 504; driver x 1.1 = 554.4; calls as planned; 440 x 1.30 = 572.
    assert [float(c) for c in cores["change"]] == pytest.approx([50.4, 0.0, 17.6], abs=1e-6)
    assert sum(cores["change"]) == Decimal(68)
    pods = steps[steps["total"] == "pods"]
    # 630 pods planned at 504 / (630 x 2) = 40 % full; 550 ran at 572 / 1,100 = 52 %.
    assert pods["from"].iloc[0] == pytest.approx(630)
    assert pods["to"].iloc[-1] == pytest.approx(550)
    assert sum(pods["change"]) == Decimal(-80)
    assert [float(c) for c in pods["change"]] == pytest.approx([63, 0, 22, -165], abs=1e-5)
    assert pods["actual_factor"].iloc[-1] == pytest.approx(0.52)


def test_money_is_of_nodes_at_the_plans_price(result: Retro) -> None:
    row = result.to_frame("money").iloc[0]
    assert row["planned_usd"] == Decimal("4230.14")  # 90 x 72 h x 0.6528 = 4,230.144
    assert row["actual_usd"] == Decimal("4512.15")  # 96 x 72 h x 0.6528 = 4,512.1536
    assert row["over_usd"] == row["actual_usd"] - row["planned_usd"]
    assert "Nodes cost 4,512.15, planned 4,230.14: +282.01." in result.headline()


def test_short_minutes_count_against_pods_that_ran(plan: PlanSet) -> None:
    few = CALM | {"checkout_api": {"rps": 440.0, "cpu_cores": 572.0, "replicas": 280.0}}
    limits = retro(plan.freeze(on=FROZEN), hours(**few)).to_frame("limits")
    row = only(limits, node="checkout-api", limit="cpu_cores")
    assert row["provided_by"] == "pods running x a pod's size"
    assert row["utilization"] == pytest.approx(572 / 560)
    assert row["short_minutes"] == 72 * 60
    assert row["short_from"] == "2026-11-29 00:00"


def test_hours_are_raised_by_the_plans_own_burst_and_say_so(shop_plans: PlanSet) -> None:
    fan = shop_plans.to_frame("fan").query("service == 'checkouts'")
    burst = dict(zip(fan["date"], fan["burst_x"], strict=True))
    times = pd.date_range("2026-11-02", "2026-12-17", freq="h", tz=stories.TZ, inclusive="left")
    frame = pd.DataFrame({"service": "checkouts", "time": times.tz_convert("UTC")})
    frame["per_min"] = np.where(times == pd.Timestamp("2026-11-30 20:00", tz=stories.TZ), 5000, 900)
    done = retro(shop_plans, History.from_frame(frame, business_tz=stories.TZ))
    row = only(done.to_frame("peaks"), service="checkouts")
    assert 1.15 < burst["2026-11-30"] < 1.45
    assert row["actual"] == pytest.approx(5000 * burst["2026-11-30"])
    assert row["basis"] == "hour mean x the plan's burst of the day"
    assert "raised_to_minutes" in set(done.to_frame("findings")["code"])
    # Quarters of an hour are compared as they are, and a finding says that they understate.
    quarters = pd.concat(
        [frame.assign(time=frame["time"] + pd.Timedelta(minutes=15 * i)) for i in range(4)]
    )
    rough = retro(shop_plans, History.from_frame(quarters, business_tz=stories.TZ))
    assert only(rough.to_frame("peaks"), service="checkouts")["actual"] == 5000
    assert "coarser_than_plan" in set(rough.to_frame("findings")["code"])


# What is refused, and what is said


def test_a_gap_is_named_and_its_season_stays_out_of_the_ledger(plan: PlanSet) -> None:
    frame = hours(**CALM).to_frame()
    late = pd.Timestamp("2026-11-30 18:00", tz=stories.TZ)
    frame.loc[frame["time"].between(late, late + pd.Timedelta(hours=4)), "per_min"] = np.nan
    done = retro(plan.freeze(on=FROZEN), History.from_frame(frame, business_tz=stories.TZ))
    finding = done.to_frame("findings").query("code == 'gap' and service == 'checkouts'").iloc[0]
    assert "5 hours of 1 season days were not seen (2026-11-30)" in finding["message"]
    assert "as far as was seen" in done.headline()
    assert not only(done.to_frame("peaks"), service="checkouts")["whole"]
    with pytest.raises(InputError, match="no root whose season was seen whole"):
        done.entries()


def test_only_plans_frozen_before_the_season_enter_the_ledger(plan: PlanSet) -> None:
    for baseline, words in (
        (plan, "never frozen"),
        (plan.freeze(on=dt.date(2026, 11, 30)), "frozen on 2026-11-30, after its season began"),
    ):
        done = retro(baseline, hours(**CALM))
        assert words in done.headline()
        assert "not_frozen" in set(done.to_frame("findings")["code"])
        with pytest.raises(InputError, match=words) as refused:
            done.entries()
        assert "capmodel freeze" in refused.value.problems[0].do


def refused(plan: PlanSet, actuals: History, **options: object) -> InputError:
    with pytest.raises(InputError) as stop:
        retro(plan, actuals, **options)  # type: ignore[arg-type]
    return stop.value


def test_another_zone_another_year_daily_means_and_strange_names_are_refused(plan) -> None:
    frame = hours(**CALM).to_frame()
    (problem,) = refused(plan, History.from_frame(frame, business_tz="Europe/Berlin")).problems
    assert problem.got == "business_tz Europe/Berlin"
    assert "America/New_York" in problem.expected
    assert 'business_tz="America/New_York"' in problem.do
    past = frame.assign(time=frame["time"] - pd.Timedelta(days=364))
    (problem,) = refused(plan, History.from_frame(past, business_tz=stories.TZ)).problems
    assert problem.got == "2025-11-30 00:00 to 2025-12-03 00:00"
    assert "2026-11-29 to 2026-12-02" in problem.expected
    days = pd.DataFrame({"time": pd.date_range("2026-11-29", periods=3), "per_min": 900.0})
    days = days.assign(service="checkouts")
    (problem,) = refused(plan, History.from_frame(days, business_tz=stories.TZ)).problems
    assert "no peak" in problem.expected
    strange = frame[frame["service"] == "checkouts"].assign(service="checkout")
    (problem,) = refused(plan, History.from_frame(strange, business_tz=stories.TZ)).problems
    assert "Did you mean" in problem.do


def test_what_stood_there_is_checked(plan: PlanSet) -> None:
    wrong = {("credit-buro", "quota"): 126.0, ("credit-bureau", "quota"): -1.0}
    problems = refused(plan, hours(**CALM), provisioned=wrong).problems
    assert 'Did you mean "credit-bureau.quota"?' in problems[0].do
    assert problems[1].where == "provisioned.credit-bureau.quota"
    assert problems[1].got == "-1"


def test_a_misspelt_root_is_named_beside_the_one_that_is_missing(plan: PlanSet) -> None:
    calm = {"chekouts" if name == "checkouts" else name: q for name, q in CALM.items()}
    found = retro(plan, hours(**calm)).to_frame("findings")
    row = only(found, code="not_measured", service="checkouts")
    assert row["severity"] == "warning"
    assert 'the actuals hold "chekouts"' in row["message"]


def test_rows_outside_the_plan_are_said_to_be_left_out(plan: PlanSet) -> None:
    frame = hours(**CALM).to_frame()
    early = frame.assign(time=frame["time"] - pd.Timedelta(days=3))
    both = pd.concat([early, frame])
    done = retro(plan, History.from_frame(both, business_tz=stories.TZ))
    message = only(done.to_frame("findings"), code="outside_plan")["message"]
    assert message.startswith("3 days of the actuals lie outside")


def test_unknown_frames_name_the_nearest(result: Retro) -> None:
    with pytest.raises(InputError, match='Did you mean "coverage"'):
        result.to_frame("covrage")


def test_the_ribbon_shows_band_days_and_residual(result: Retro, tmp_path: Path) -> None:
    from matplotlib.patches import Rectangle

    ax = result.plot()
    figure = ax.get_figure(root=True)
    assert figure is not None
    above, below = figure.axes
    days = result.to_frame("days")
    bars = [p.get_height() for p in below.patches if isinstance(p, Rectangle)][-len(days) :]
    assert bars == pytest.approx((6600 / days["peak_p50"] - 1).tolist())
    assert "3 of 3 inside the band" in above.texts[1].get_text() + above.texts[0].get_text()
    dots = [c for c in above.collections if c.get_label() == "actual"]
    assert [y for _, y in dots[0].get_offsets().tolist()] == [6600.0] * 3  # type: ignore[union-attr]
    figure.savefig(tmp_path / "ribbon.png")
