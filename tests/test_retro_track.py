"""The live tracker: conditioning that is exact where a formula exists, calibration on planted luck,
and what it says about gaps, zones and days outside the plan."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
import stories
from command import runner
from hypothesis import given
from hypothesis import strategies as st

from capmodel.errors import InputError
from capmodel.history import History
from capmodel.retro import Track, track
from capmodel.retro.conditioning import Fan, covariance, revise, stated_sd

if TYPE_CHECKING:
    from pathlib import Path

    from capmodel.plan import PlanSet


def only(frame: pd.DataFrame, **where: object) -> Any:
    """Return the first row whose columns hold these values."""
    for column, value in where.items():
        frame = frame[frame[column] == value]
    return frame.iloc[0]


DAYS = 10
WEEK = np.repeat([0, 1], [6, 4])
EVERY = np.arange(DAYS)


def fan(*, common: float = 0.15, day: float = 0.06, event: float = 0.0, p50: float = 1000.0) -> Fan:
    """Return ten days; the last two share an event."""
    luck = ("",) * 8 + ("cyber_week 2026",) * 2
    return Fan(
        log_p50=np.full(DAYS, math.log(p50)),
        covariance=covariance(
            walk=np.full(DAYS, common),
            common=np.zeros(DAYS),
            shock=np.where(EVERY >= 8, event, 0.0),
            luck=luck,
            week=WEEK,
            week_sd=np.full(DAYS, 0.02),
            day=np.full(DAYS, day),
        ),
        weight=1.0,
    )


def start_of(ratio: float, seen: int = 6, *, of: Fan | None = None):
    one = fan() if of is None else of
    return revise(
        (one,), seen=EVERY[:seen], log_actual=one.log_p50[:seen] + math.log(ratio),
        rest=EVERY[seen:], seed=7,
    )  # fmt: skip


def unseen(of: Fan | None = None):
    one = fan() if of is None else of
    return revise((one,), seen=EVERY[:0], log_actual=np.zeros(0), rest=EVERY[6:], seed=7)


@given(common=st.floats(0.03, 0.4), day=st.floats(0.03, 0.2), event=st.floats(0, 0.3))
def test_a_start_on_plan_leaves_the_p50_and_narrows_the_p99(common, day, event) -> None:
    one = fan(common=common, day=day, event=event)
    before, after = unseen(one), start_of(1.0, of=one)
    assert after.quantiles[:, 1] == pytest.approx(1000.0, rel=1e-3)
    assert (after.quantiles[:, 3] < before.quantiles[:, 3]).all()
    assert (after.quantiles[:, 0] > before.quantiles[:, 0]).all()
    assert after.highest[3] < before.highest[3]


@given(k=st.floats(0.01, 100), ratio=st.floats(0.8, 1.25))
def test_k_times_the_plan_and_the_actuals_is_k_times_the_rest(k, ratio) -> None:
    one, more = start_of(ratio), start_of(ratio, of=fan(p50=1000 * k))
    assert more.quantiles == pytest.approx(k * one.quantiles, rel=1e-6)
    assert more.highest == pytest.approx(k * one.highest, rel=1e-6)


def test_two_days_are_the_textbook_regression() -> None:
    # Days with common sd 0.15, weeks 0.02 apart and own sd 0.06: the slope of the second on the
    # first is cov / var = 0.15^2 / (0.15^2 + 0.02^2 + 0.06^2).
    slope = 0.15**2 / (0.15**2 + 0.02**2 + 0.06**2)
    one = fan()
    made = revise((one,), seen=np.array([0]), log_actual=one.log_p50[:1] + 0.1, rest=np.array([8]),
                  seed=7)  # fmt: skip
    assert made.quantiles[0, 1] == pytest.approx(1000 * math.exp(slope * 0.1), rel=1e-4)
    left = math.sqrt(0.15**2 + 0.02**2 + 0.06**2) * math.sqrt(1 - slope**2)
    spread = math.log(made.quantiles[0, 3] / made.quantiles[0, 1]) / 2.3263
    assert spread == pytest.approx(left, rel=0.005)


def test_a_start_unlike_the_plan_widens_the_rest() -> None:
    calm, wild = start_of(1.0), start_of(3.0)
    width = [math.log(x.highest[3] / x.highest[1]) for x in (calm, wild)]
    assert wild.surprise_x > 4 > calm.surprise_x
    assert width[1] > 1.5 * width[0]


def test_scenarios_are_weighed_by_what_was_seen() -> None:
    low, high = fan(common=0.05, p50=1000.0), fan(common=0.05, p50=1300.0)
    made = revise(
        (low, high), seen=EVERY[:6], log_actual=np.full(6, math.log(1290.0)), rest=EVERY[6:], seed=7
    )
    assert made.weights[1] > 0.9
    assert stated_sd([math.log(1000), math.log(1300)])[0] == pytest.approx(math.log(1.3) / 2)


def nature(rng: np.random.Generator, seasons: int) -> np.ndarray:
    """Return log ratios of planted seasons: a fat-tailed level, weeks, and days that remember.

    The level is Student's t of 6 degrees of freedom, days are a first-order autoregression: nothing
    that the tracker's own formula draws.
    """
    level = 0.12 * rng.standard_t(6, size=(seasons, 1)) / math.sqrt(6 / 4)
    week = 0.02 * rng.standard_normal((seasons, 2))[:, WEEK]
    noise = rng.standard_normal((seasons, DAYS))
    for n in range(1, DAYS):
        noise[:, n] = 0.2 * noise[:, n - 1] + math.sqrt(1 - 0.2**2) * noise[:, n]
    return level + week + 0.06 * noise


@pytest.mark.slow
@pytest.mark.parametrize("seen", [2, 6])
def test_the_revised_p99_is_exceeded_in_about_1_percent_of_planted_seasons(seen: int) -> None:
    one = fan(common=0.12, day=0.06)
    planted = nature(np.random.default_rng(0), 1000)
    over, halves = 0, 0
    for row in planted:
        made = revise((one,), seen=EVERY[:seen], log_actual=one.log_p50[:seen] + row[:seen],
                      rest=EVERY[seen:], seed=7)  # fmt: skip
        highest = 1000 * math.exp(row[seen:].max())
        over += highest > made.highest[3]
        halves += highest > made.highest[1]
    print(f"revised P99 exceeded {over / 1000:.1%}")  # noqa: T201  figures for the log
    assert 0.003 <= over / 1000 <= 0.03, over
    assert 0.44 <= halves / 1000 <= 0.56, halves


@pytest.mark.slow
@pytest.mark.parametrize("cut", ["2026-11-05", "2026-11-28"])
def test_seasons_of_the_shops_own_model_exceed_the_revised_p99_as_promised(
    shop_study, shop_fit, shop_plans, cut, monkeypatch
) -> None:
    from capmodel.plan import Study, make
    from capmodel.retro.planned import planned_of
    from capmodel.retro.tracking import fans_of

    solved: dict[str, Any] = {}
    monkeypatch.setattr(make, "assemble", lambda one, **_: solved.setdefault("paths", one))
    overrides = {"seed": "99", "also": "[]"}  # other luck than the plan's own
    Study.read(shop_study._path, overrides=overrides).plan(shop_fit)
    planned = planned_of(shop_plans)
    peaks = [loads.root_peak("checkouts") * 60 for loads in solved["paths"].futures.loads]
    weights = np.array(list(planned.weights.values()))
    chosen = np.random.default_rng(5).choice(len(peaks), size=1000, p=weights)
    season = np.flatnonzero(planned.in_season)
    at = int(np.flatnonzero(planned.dates == np.datetime64(cut))[0])
    seen, rest = season[season < at], season[season >= at]
    fans = fans_of(planned, "checkouts")
    over = 0
    for d, s in enumerate(chosen):
        y = peaks[s][d]
        made = revise(fans, seen=seen, log_actual=np.log(y[seen]), rest=rest, seed=7)
        over += y[rest].max() > made.highest[3]
    print(f"revised P99 exceeded {over / 1000:.1%}")  # noqa: T201  figures for the log
    assert 0.003 <= over / 1000 <= 0.03, over


# A whole track of the shop

NOW = "2026-11-29 15:00"


def planted_hours(plan: PlanSet, ratio: float, *, end: str = NOW, start: str = "2026-11-02"):
    """Return hours that reach a multiple of the base scenario's P50 on every day, at 20:00."""
    times = pd.date_range(start, end, freq="h", tz=stories.TZ, inclusive="left")
    demand = plan.to_frame("demand").query("scenario == 'base' and window == 'day'")
    parts = []
    for root in ("checkouts", "impressions"):
        own, of_days = demand[demand["service"] == root], plan.to_frame("fan")
        bursts = of_days[of_days["service"] == root].set_index("date")["burst_x"]
        peak = own.set_index("date")["peak_p50"] / bursts[own["date"]]
        value = peak.reindex(times.strftime("%Y-%m-%d")).fillna(1000.0).to_numpy()
        shape = np.where(times.hour == 20, 1.0, 0.4)
        columns = {
            "service": root,
            "time": times.tz_convert("UTC"),
            "per_min": ratio * value * shape,
        }
        parts.append(pd.DataFrame(columns))
    return pd.concat(parts, ignore_index=True)


def tracked(plan: PlanSet, frame: pd.DataFrame, **options: object) -> Track:
    return track(plan, History.from_frame(frame, business_tz=stories.TZ), **options)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def on_plan(shop_plans: PlanSet) -> Track:
    return tracked(shop_plans, planted_hours(shop_plans, 1.0))


def test_a_season_on_plan_keeps_its_p50_and_narrows_its_p99(on_plan: Track) -> None:
    row = only(on_plan.to_frame("rest"), service="checkouts")
    assert (row["days_seen"], row["days_left"]) == (27, 18)
    assert row["ratio_x"] == pytest.approx(1.0, abs=0.002)  # the mixture's P50 is not base's
    assert row["revised_p50"] == pytest.approx(row["planned_p50"], rel=0.03)
    assert row["revised_p99"] < 0.95 * row["planned_p99"]
    assert row["so_far_on"] == "2026-11-27"
    days = on_plan.to_frame("days").query("service == 'checkouts'")
    assert only(days, date="2026-11-27")["state"] == "seen"
    assert (
        only(days, date="2026-11-29")["state"] == "in part"
    )  # 15:00: the evening is still to come
    assert math.isnan(only(days, date="2026-11-29")["ratio_x"])
    assert only(days, date="2026-11-30")["state"] == "ahead"
    assert on_plan.to_frame("scenarios").set_index("scenario")["p_now"]["base"].min() > 0.9
    assert on_plan.meta["now"] == NOW


def test_a_season_above_plan_raises_the_rest_and_its_limits(shop_plans, on_plan) -> None:
    above = tracked(shop_plans, planted_hours(shop_plans, 1.12))
    rest, plain = (only(t.to_frame("rest"), service="checkouts") for t in (above, on_plan))
    raised = rest["revised_p50"] / plain["revised_p50"]
    assert raised == pytest.approx(1.12, abs=0.06)
    one, other = (only(t.to_frame("limits"), limit="quota") for t in (on_plan, above))
    assert other["headroom_p99_x"] < one["headroom_p99_x"]
    assert one["so_far_by"] == "the plan's curve"
    assert above.headline().startswith(f"RED as of {NOW}.")


def test_what_was_measured_says_where_a_limit_stands(shop_plans) -> None:
    frame = planted_hours(shop_plans, 1.0)
    own = frame[frame["service"] == "checkouts"]
    bureau = own.assign(service="credit-bureau", rps=own["per_min"] / 80, per_min=np.nan)
    both = tracked(shop_plans, pd.concat([frame, bureau]))
    row = only(both.to_frame("limits"), node="credit-bureau", limit="quota")
    assert row["so_far_by"] == "measured"
    assert row["so_far"] == pytest.approx(own["per_min"].max() / 80)
    growth = only(both.to_frame("rest"), service="checkouts")
    wanted = row["so_far"] * growth["revised_p99"] / growth["so_far"]
    assert row["rest_p99"] == pytest.approx(wanted, rel=1e-6)  # a quota follows its driver
    stood = tracked(
        shop_plans, pd.concat([frame, bureau]), provisioned={("credit-bureau", "quota"): 1e6}
    )
    raised = only(stood.to_frame("limits"), node="credit-bureau", limit="quota")
    assert raised["status"] == "GREEN"


def test_now_cuts_the_actuals(shop_plans, on_plan) -> None:
    whole = planted_hours(shop_plans, 1.0, end="2026-12-10")
    cut = tracked(shop_plans, whole, now=pd.Timestamp(NOW, tz=stories.TZ))
    pd.testing.assert_frame_equal(cut.to_frame("rest"), on_plan.to_frame("rest"))
    event = tracked(shop_plans, planted_hours(shop_plans, 1.0), until="2026-12-01")
    assert event.to_frame("rest")["days_left"].tolist() == [2, 2]


def test_gaps_and_early_rows_are_findings(shop_plans) -> None:
    frame = planted_hours(shop_plans, 1.0, start="2026-09-25")
    evening = pd.Timestamp("2026-11-20 19:00", tz=stories.TZ)
    gap = frame["time"].between(evening, evening + pd.Timedelta(hours=2))
    holes = tracked(shop_plans, frame[~gap])
    findings = holes.to_frame("findings").set_index("code")["message"]
    assert findings["outside_plan"].startswith("6 days")
    assert findings["gap"].iloc[0].startswith("3 hours of 1 season days were not seen (2026-11-20)")
    row = holes.to_frame("days").query("service == 'checkouts' and date == '2026-11-20'").iloc[0]
    assert row["state"] == "in part"
    early = tracked(
        shop_plans, planted_hours(shop_plans, 1.0, start="2026-10-20", end="2026-10-25")
    )
    assert "nothing_seen" in set(early.to_frame("findings")["code"])
    assert early.to_frame("rest")["days_seen"].tolist() == [0, 0]
    assert "nothing seen yet" in early.headline()


def test_seasons_that_are_over_other_zones_and_wrong_dates_are_refused(shop_plans) -> None:
    over = planted_hours(shop_plans, 1.0, end="2026-12-20")
    with pytest.raises(InputError, match="rows up to 2026-12-20") as stop:
        tracked(shop_plans, over)
    assert "capmodel retro" in stop.value.problems[0].do
    frame = planted_hours(shop_plans, 1.0)
    with pytest.raises(InputError, match="business_tz Europe/Berlin"):
        track(shop_plans, History.from_frame(frame, business_tz="Europe/Berlin"))
    for until in ("2027-03-01", "soon"):
        with pytest.raises(InputError, match="until"):
            tracked(shop_plans, frame, until=until)
    bare = type(shop_plans)(
        frames={n: f for n, f in shop_plans.frames.items() if n != "fan"},
        meta=shop_plans.meta, curves=shop_plans.curves, environment=shop_plans.environment,
    )  # fmt: skip
    with pytest.raises(InputError, match="no fan") as stop:
        tracked(bare, frame)
    assert "Make the plan again" in stop.value.problems[0].do


@pytest.mark.slow
def test_the_command_tracks_a_file(shop_plans, tmp_path: Path, capsys) -> None:
    shop_plans.save(tmp_path / "plan.json")
    planted_hours(shop_plans, 1.0).to_csv(tmp_path / "actuals.csv", index=False)
    run = runner(capsys)
    done = run("track", tmp_path / "plan.json", tmp_path / "actuals.csv")
    assert done.code == 0
    assert done.out.startswith(f"RED as of {NOW}.")
    rows = run("track", tmp_path / "plan.json", tmp_path / "actuals.csv", "--table", "rest",
               "--format", "csv")  # fmt: skip
    assert rows.out.splitlines()[0].startswith("service,quantity,days_seen")
    bad = run("track", tmp_path / "plan.json", tmp_path / "actuals.csv", "--provisioned", "quota=9")
    assert bad.code == 2
    assert "credit-bureau.quota=126" in bad.err
