"""Tripwires of a plan: the shop's wires, what closes first, run rates, words, figure, command."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import math
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import plan_frames
import pytest
from command import runner
from pydantic import ValidationError

import capmodel as cm
from capmodel import plots
from capmodel.choice import Ask, Lattice
from capmodel.orders import Looks, OrdersPolicy, look_dates
from capmodel.plan import CapacityFit, PlanSet, Study, load_plan
from capmodel.plan.frames_tripwires import _hang, _Watched, _wired
from capmodel.plan.make import Solved, solve
from capmodel.plan.request import Horizon, PlanRequest, Sampling, Setting
from capmodel.plan.run_rates import RunRate, Window, run_rate, says_nothing, window_of
from capmodel.plan.tripwire_rows import Wired
from capmodel.plan.tripwire_words import tripwire_sentences

pytestmark = pytest.mark.slow

FULL = "sized one-shot at full risk"


@pytest.fixture(scope="module")
def wires(shop_plans: PlanSet) -> pd.DataFrame:
    return shop_plans.tripwires()


def steps(frame: pd.DataFrame, order: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    found = frame[frame["order"] == order].to_dict("records")
    rows = [{str(k): v for k, v in row.items()} for row in found]
    return rows[0], rows[1:]


def test_every_order_has_its_rows_and_only_nodes_have_wires(
    shop_plans: PlanSet, wires: pd.DataFrame
) -> None:
    orders = shop_plans.to_frame("orders")
    assert list(dict.fromkeys(wires["order"])) == orders["id"].tolist()
    assert wires[wires["step"] == 0]["latest_by"].tolist() == orders["latest_by"].tolist()
    assert set(wires[wires["step"] > 0]["order"]) == {"nodes:general", "nodes:promo"}
    assert wires[wires["step"] == 0]["usd_one_shot"].tolist() == orders["usd"].tolist()


def test_what_closes_before_the_next_look_is_sized_one_shot(wires: pd.DataFrame) -> None:
    """Looks come on Mondays from 2026-09-21; two weeks of the horizon are seen by 2026-10-19."""
    reasons = {order: steps(wires, order)[0]["reason"] for order in wires["order"]}
    for order in ("db_class:core-db", "db_class:account-db"):
        assert reasons[order] == f"closes 2026-10-16, before the next look 2026-10-19: {FULL}"
    quota = reasons["quota:credit-bureau"]
    assert quota == f"closes 2026-10-09, before the next look 2026-10-19: {FULL}"
    free = reasons["config:checkout-api:pool_max:core-db"]
    assert free == f"asking costs nothing and waiting saves nothing: {FULL}"


def test_the_shops_nodes_wait_for_the_last_look_in_time(wires: pd.DataFrame) -> None:
    start, more = steps(wires, "nodes:general")
    assert (start["driver"], start["look_on"]) == ("checkouts", "2026-11-09")
    assert start["one_shot_units"] == 66
    assert start["units_before"] == 24
    # Low, base and high growth lie 12 % and 20 % apart: the run rate tells which one it is.
    assert start["sigma_log_seen"] < start["sigma_log"]
    assert 0.3 < start["explained_x"] < 0.45
    above = [row["threshold_per_day"] for row in more]
    assert above == sorted(above)
    assert above == pytest.approx([1440 * row["threshold_per_min"] for row in more])
    assert [row["units_before"] for row in more] == [
        start["units_after"], *(row["units_after"] for row in more[:-1]),
    ]  # fmt: skip
    assert any(row["units_before"] == 66 and 0.15 < row["p_fires"] < 0.25 for row in more)
    assert start["p_any"] <= 0.02
    assert start["basis"] == "assumed"


def test_promo_orders_no_less_than_a_reservation_of_32_vcpu(wires: pd.DataFrame) -> None:
    start, more = steps(wires, "nodes:promo")
    assert all(row["count"] * 8 >= 32 for row in [start, *more])
    assert all(row["units_after"] % 3 == 0 for row in [start, *more])


def test_money_sums_to_the_cent(wires: pd.DataFrame, shop_plans: PlanSet) -> None:
    """0.768 and 0.384 USD/h over 1,080 h: 829.44 and 414.72 USD a node."""
    for order, node in (("nodes:general", Decimal("829.44")), ("nodes:promo", Decimal("414.72"))):
        start, more = steps(wires, order)
        for row in [start, *more]:
            assert row["usd"] == node * int(row["count"])
        expected = start["usd"] + sum(
            (Decimal(repr(row["p_fires"])) * row["usd"] for row in more), Decimal(0)
        )
        assert start["usd_expected"] == expected.quantize(Decimal("0.01"))
        assert [row["usd_of_waiting"] for row in more] == [Decimal("0.00")] * len(more)
        mean = start["units_before"] + float(start["usd_expected"] / node)
        assert mean == pytest.approx(start["expected_units"], abs=1e-3)
        assert "waiting costs 0 USD" in start["reason"]
    assert shop_plans.to_frame("orders")["usd"].tolist()[-2:] == [
        Decimal("34836.48"), Decimal("3732.48"),
    ]  # fmt: skip


def test_sentences_say_what_to_read_when_and_what_it_costs(shop_plans: PlanSet) -> None:
    first, second, *rest = shop_plans.tripwire_headline().split("\n")
    assert first.startswith("general: reserve ")
    assert "On 2026-11-09 read the mean daily checkouts of the event-free days from 2026-1" in first
    assert "by 2026-11-15; else release the option." in first
    assert "one order of 66, which falls short of the policy" in first
    assert second.startswith("promo: ")
    assert len(rest) == 4
    assert all(FULL in sentence for sentence in rest)


@pytest.mark.slow
def test_a_loaded_plan_answers_the_same(shop_plans: PlanSet, tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    shop_plans.save(path)
    loaded = load_plan(path)
    assert loaded.tripwire_headline() == shop_plans.tripwire_headline()
    there, here = loaded.tripwires(), shop_plans.tripwires()
    assert there["usd_expected"].tolist() == here["usd_expected"].tolist()
    assert there["threshold_per_day"].tolist() == pytest.approx(
        here["threshold_per_day"].tolist(), rel=1e-8, nan_ok=True
    )


def test_command_prints_sentences_then_rows(
    shop_plans: PlanSet, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shop_plans.save(tmp_path / "plan.json")
    run = runner(capsys, "tripwires")
    done = run(tmp_path)
    assert done.code == 0
    assert done.out.startswith(shop_plans.tripwire_headline())
    assert "threshold_per_day" in done.out
    rows = json.loads(run(tmp_path, "--format", "json").out)
    assert len(rows) == len(shop_plans.tripwires())
    assert run(tmp_path / "none").code == 2


def test_figure_draws_the_staircase_and_the_thresholds(shop_plans: PlanSet) -> None:
    frame = shop_plans.tripwires()
    ax = shop_plans.plot("tripwires", of="nodes:general")
    _, more = steps(frame, "nodes:general")
    lines = [line.get_xdata() for line in ax.lines if line.get_color() == "#b5382a"]
    assert [np.asarray(x, dtype=float)[0] for x in lines] == [
        row["threshold_per_day"] for row in more
    ]
    assert "one order: 66" in {text.get_text() for text in ax.texts}
    with pytest.raises(cm.InputError, match="nodes:general"):
        shop_plans.plot("tripwires", of="nodes:genera")


@pytest.mark.slow
def test_report_holds_the_wires(shop_plans: PlanSet) -> None:
    page, text = shop_plans.to_html(), shop_plans.to_markdown()
    assert "Tripwires: what may wait for a look" in page
    assert "Need of general by the run rate of checkouts on 2026-11-09" in page
    assert "Tripwires: what may wait for a look" in text
    assert "before the next look 2026-10-19" in text


def test_curve_is_inside_the_run_rates_of_the_paths(shop_plans: PlanSet) -> None:
    curve = shop_plans.to_frame("tripwire_curve")
    for _, rows in curve.groupby("order"):
        assert rows["p_below"].is_monotonic_increasing
        assert rows["p_below"].iloc[-1] == pytest.approx(1.0)
        assert (rows["need_p10"] < rows["need_p50"]).all()
        assert (rows["need_p50"] < rows["need_p90"]).all()
        assert (rows["units"] >= rows["need_sized"].cummax() - 1e-6).all()


def test_words_of_a_typed_frame() -> None:
    """Thresholds are rounded down: a wire may fire early, not late."""
    frame = plan_frames.tripwires().assign(p_one_shot_fails=0.3)
    wait, alone = tripwire_sentences(frame)
    assert "above 1.923 M reserve 6 more, above 2.104 M then 12 more, by 2026-11-15" in wait
    assert wait.endswith(
        "Saves 5,922.20 USD on average beside one order of 90, which falls short of the policy, "
        "as it will be known then, in 30% of seasons."
    )
    assert alone == (
        "credit-bureau: raise the partner's quota, by 2026-10-09; closes 2026-10-09, before the "
        f"next look 2026-10-19: {FULL}."
    )
    never = tripwire_sentences(frame.assign(p_one_shot_fails=0.0))[0]
    assert never.endswith("Saves 5,922.20 USD on average beside one order of 90.")
    dear = frame.assign(
        usd_expected=pd.Series([Decimal("50000.00"), None, None, None], dtype=object)
    )
    assert "Costs 3,468.42 USD more on average than one order of 90" in tripwire_sentences(dear)[0]


def declared(*, as_of: str, draws: int = 100) -> PlanSet:
    """Return a declared estate whose pool and partner fall short: no history, so no run rate."""
    topology = cm.Topology.model_validate(
        {
            "drivers": {"checkouts": {"today_per_min": 4800, "sigma_log": 0.13}},
            "services": {
                "api": {
                    "calls": {"checkouts": 4}, "pool": "general", "tier": 0,
                    "pod": {"cpu_cores": 2, "memory_gib": 4}, "replicas": {"min": 6, "max": 900},
                    "usage": {"cpu_cores": {"per_request": 0.5}},
                }
            },
            "externals": {"bureau": {"calls": {"api": 0.1}, "limit_rps": 20, "lead_days": 42}},
            "pools": {"general": {"types": ["m6i.4xlarge"], "zones": 3, "today": 3}},
        }
    )  # fmt: skip
    return (
        cm.CapacityModel(topology)
        .declare()
        .plan(
            cm.Scenario(name="base"), start="2026-10-01", end="2026-12-10", as_of=as_of,
            season=("2026-11-20", "2026-12-10"), draws=draws,
        )
    )  # fmt: skip


def test_a_declared_level_says_nothing_by_then() -> None:
    frame = declared(as_of="2026-09-01").tripwires()
    assert set(frame["order"]) == {"nodes:general", "quota:bureau"}
    assert frame["step"].tolist() == [0, 0]
    assert set(frame["reason"]) == {
        "the level of checkouts is declared: no history says what early days tell of the season: "
        + FULL
    }
    assert frame["usd_expected"].tolist() == [None, None]
    assert set(frame["basis"]) == {"assumed"}


def test_past_its_latest_date_nothing_can_wait() -> None:
    frame = declared(as_of="2026-11-18").tripwires()
    for row in frame.to_dict("records"):
        passed = f"its latest date {row['latest_by']} has passed: {FULL}, ask at once"
        assert row["reason"] == passed
        assert dt.date.fromisoformat(row["latest_by"]) < dt.date(2026, 11, 18)


def test_looks_come_in_a_rhythm_from_the_plans_date() -> None:
    as_of = dt.date(2026, 9, 21)
    daily = look_dates(as_of, dt.date(2026, 9, 24), every_days=1)
    assert [day.day for day in daily] == [22, 23, 24]
    assert look_dates(as_of, as_of, every_days=1) == ()
    assert look_dates(as_of, dt.date(2026, 9, 1), every_days=7) == ()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("every_days", 0), ("window_days", 3), ("unseen_days", 0), ("late_price_x", 0.8),
        ("p_refused", 1.0), ("p_refused", -0.1), ("look_every", 7),
    ],
)  # fmt: skip
def test_looks_that_cannot_be_are_refused(field: str, value: float) -> None:
    with pytest.raises(ValidationError, match=field):
        OrdersPolicy.model_validate({"looks": {field: value}})


def asked(study: Study, fit: CapacityFit, **looks: object) -> PlanRequest:
    """Return the shop's request with other looks."""
    orders = study.orders.model_copy(update={"looks": Looks.model_validate(looks)})
    return PlanRequest.of(
        fit,
        study.read_scenarios(),
        horizon=Horizon.of("2026-10-01", "2027-01-05", season=("2026-11-02", "2026-12-17")),
        sampling=Sampling(seed=7, draws=200),
        setting=Setting(as_of="2026-09-21", orders=orders, catalog=study.read_catalog()),
    )


@pytest.fixture(scope="module")
def solved(shop_study: Study, shop_fit: CapacityFit) -> Solved:
    return solve(shop_fit, asked(shop_study, shop_fit))


@pytest.mark.slow
def test_run_rate_is_the_mean_that_a_dashboard_shows(solved: Solved) -> None:
    """Every path's hours, summed by hand: level, growth and day noise in it, events not."""
    known: dict[dt.date, float] = {}
    window = window_of(solved, dt.date(2026, 11, 9), known)
    assert len(window.days) == window.unseen == 28
    assert str(window.start) == "2026-10-11"
    assert dt.date(2026, 10, 12) not in window.days  # Columbus Day
    assert window.days[-1] == dt.date(2026, 11, 8)
    found = run_rate(solved, "checkouts", window).per_min
    for s, growth in enumerate((1.10, 1.25, 1.50)):
        path = solved.futures.roots["checkouts"].root
        for draw in (0, 17, 199):
            days = []
            for day in window.days:
                n = (day - dt.date(2026, 10, 1)).days
                level = math.exp(path.level[draw] + path.to_growth[n]) * growth
                days.append(sum(path.shape[draw, n, h] for h in range(24)) / 24 * level)
            assert found[s, draw] == pytest.approx(sum(days) / 28, rel=1e-9)


@pytest.mark.slow
def test_a_window_reaches_into_the_history_where_no_day_is_missing(
    shop_study: Study, shop_fit: CapacityFit
) -> None:
    request = asked(shop_study, shop_fit, unseen_days=7)
    near = dataclasses.replace(request, start=dt.date(2026, 9, 21))
    near_solved = solve(shop_fit, near)
    means = {dt.date(2026, 9, d): 800.0 + d for d in range(1, 21)}
    window = window_of(near_solved, dt.date(2026, 9, 30), means)
    assert window.unseen == 9
    assert str(window.days[0]) == "2026-09-01"
    assert dt.date(2026, 9, 7) not in window.days  # Labor Day
    # Ten days between history and horizon are on no dashboard of this plan: the window ends there.
    far = window_of(solve(shop_fit, request), dt.date(2026, 10, 9), means)
    assert (str(far.start), far.unseen) == ("2026-10-01", 8)
    found = run_rate(near_solved, "checkouts", window_of(
        near_solved, dt.date(2026, 9, 30), {}))  # fmt: skip
    assert found.window.unseen == len(found.window.days) == 9


@pytest.mark.slow
def test_with_the_risk_row_alone_the_shops_wires_save_money(
    shop_study: Study, shop_fit: CapacityFit
) -> None:
    """The P50 rows of the shop ask as much as its risk row; without them a look pays."""
    policy = shop_fit.topology.policy
    risk_row = tuple(hold for hold in policy.hold if hold.at_saturation)
    alone = shop_fit.topology.model_copy(
        update={"policy": policy.model_copy(update={"hold": risk_row})}
    )
    fit = dataclasses.replace(shop_fit, topology=alone)
    frame = shop_study.plan(fit).tripwires()
    start, more = steps(frame, "nodes:general")
    assert more
    whole = start["expected_units"] / start["one_shot_units"]
    assert whole < 0.95
    assert start["usd_expected"] < Decimal("0.92") * start["usd_one_shot"]
    assert start["p_short"] <= 0.02
    assert start["p_any"] <= 0.02
    sentence = tripwire_sentences(frame)[0]
    assert "Saves " in sentence


@pytest.mark.slow
def test_a_late_price_and_refusals_order_more_at_first(
    shop_study: Study, shop_fit: CapacityFit
) -> None:
    base = shop_study.plan(shop_fit).tripwires()
    looks = {"every_days": 1, "late_price_x": 1.5, "p_refused": 0.01}
    orders = shop_study.orders.model_copy(update={"looks": Looks.model_validate(looks)})
    frame = shop_study.model_copy(update={"orders": orders}).plan(shop_fit).tripwires()
    free, _ = steps(base, "nodes:general")
    start, more = steps(frame, "nodes:general")
    assert start["units_after"] >= free["units_after"]
    assert start["look_on"] == start["latest_by"] == "2026-11-15"
    for row in more:
        bill = Decimal("829.44") * int(row["count"])
        assert row["usd"] == bill * Decimal("1.5")
        assert row["usd_of_waiting"] == bill * Decimal("0.5")
    assert "assumed: a late unit costs 1.5 times as much" in start["reason"]


def test_a_given_forecast_says_nothing_of_its_days(shop_fit: CapacityFit) -> None:
    time = pd.date_range("2026-11-01", periods=48, freq="h", tz="UTC")
    p50 = np.full(48, 100.0)
    demand = cm.GivenDemand.from_frame(
        pd.DataFrame({"service": "checkouts", "time": time, "p10": p50, "p50": p50, "p90": p50}),
        business_tz="UTC",
    )

    class Holder:
        fit = dataclasses.replace(shop_fit, demand=demand)

    words = says_nothing(Holder, "checkouts")  # type: ignore[arg-type]
    assert words == "the given forecast of checkouts does not say how its days hang together"


def planted_tier(
    other: Callable[[np.ndarray, np.ndarray], np.ndarray],
) -> tuple[Any, dict[str, Any], dict[tuple[str, str], Any]]:
    """Return a tier of one pool that may wait and one limit that is exceeded on given paths."""
    rng = np.random.default_rng(3)
    seen = 0.11 * rng.standard_normal((1, 4000))
    need = 1000 * np.exp(seen + 0.07 * rng.standard_normal((1, 4000)))
    window = Window(dt.date(2026, 11, 9), (dt.date(2026, 11, 8),), 28)
    watched = _Watched(
        pool="general",
        tier=0,
        asks=(Ask(need, 0.012, is_risk=True),),
        lattice=Lattice(step=3),
        one_shot=float(np.quantile(need, 0.988)),
        rates=(RunRate("checkouts", "per_min", window, 1000 * np.exp(seen)),),
    )
    keys = (("general", "nodes"), ("core-db", "connections"))
    after = {keys[0]: need > watched.one_shot, keys[1]: other(need, seen)}
    return (
        SimpleNamespace(
            paths=[SimpleNamespace(limit=SimpleNamespace(key=key, tier=0)) for key in keys],
            request=SimpleNamespace(weights=np.ones(1), orders=OrdersPolicy()),
            risks={0: 0.017},
        ),
        {"nodes:general": watched},
        after,
    )


def test_the_tiers_risk_is_kept_over_all_its_limits() -> None:
    """One order is short in seasons in which the database is short anyhow; wires are in others.

    The database: 1.5 %. The union with one order: the same 1.5 %. With wires at their level: more
    than the accepted 1.7 %, so they get a smaller share.
    """
    solved, watched, after = planted_tier(lambda need, _: need > np.quantile(need, 0.985))
    database = after["core-db", "connections"]
    assert (after["general", "nodes"] | database).mean() == pytest.approx(0.015, abs=1e-3)
    alone = _hang(solved, watched["nodes:general"], 1.0)
    assert isinstance(alone, Wired)
    assert (alone.wires.short | database).mean() > 0.017
    (one,) = _wired(solved, watched, after)[0].values()
    assert one.share < 1
    assert one.p_any == (one.wires.short | database).mean() <= 0.017


def test_alone_in_its_tier_a_pool_keeps_its_level() -> None:
    solved, watched, after = planted_tier(lambda need, _: np.zeros(need.shape, dtype=bool))
    (one,) = _wired(solved, watched, after)[0].values()
    assert one.share == 1
    assert one.p_any == pytest.approx(one.wires.p_short)
    assert one.p_any <= 0.012


def test_typed_frames_draw_without_a_plan() -> None:
    ax = plots.plot("tripwires", plan_frames.make_frames())
    assert "one order: 90" in {text.get_text() for text in ax.texts}
