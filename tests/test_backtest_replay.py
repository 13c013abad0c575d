"""Last season planned again: the planted truth, hand-made seasons, and what is refused."""

from __future__ import annotations

import datetime as dt
import math
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from command import runner

import capmodel as cm
from capmodel.backtest.past_season import past_season
from capmodel.backtest.replay import _too_late
from capmodel.backtest.replayed import Replay
from capmodel.backtest.standing import changed, ordered, without
from capmodel.catalog import Catalog
from capmodel.errors import InputError
from capmodel.history import offered_per_second
from capmodel.plan import Study

HOT_POD_X = 1.1  # the documented prior of per-request balancing
TZ = "America/New_York"

WORLD = """\
drivers:
  orders: {}
services:
  api:
    calls: {orders: 2}
    tier: 0
    pool: general
    pod: {cpu_cores: 1, memory_gib: 1}
    imbalance_x: 1
    replicas: {min: 2, today: 12}
    usage: {cpu_cores: {per_pod: 0, per_request: 0.1}}
externals:
  bureau: {calls: {api: 0.5}, limit_rps: 110, lead_days: 20}
pools:
  general: {types: [m6i.xlarge], zones: 1, today: 12}
policy:
  hold:
    - {failure: none, quantile: 1-risk, up_to: hard}
    - {failure: none, quantile: 0.5, up_to: utilization}
"""

STUDY = """\
business_tz: UTC
as_of: 2026-01-01
horizon: {start: 2026-03-01, end: 2026-06-01}
season: {start: 2026-04-01, end: 2026-05-01}
draws: 200
topology: topology.yaml
history: {base: history.csv}
events: {calendar: none}
orders: {db_class: {notice_business_days: 0}}
scenarios: {base: {}}
"""


def rows(peak_from: str | None = None) -> pd.DataFrame:
    """Return two years of orders: 50 a second at 20 h, 60 in the second year; one hour of 150."""
    hours = pd.date_range("2024-01-01", "2025-12-31 23:00", freq="h", tz="UTC")
    noise = np.random.default_rng(5).normal(0, 0.03, len(hours))
    shape = 0.3 + 0.7 * np.exp(-(((hours.hour - 20) / 4.0) ** 2))
    level = np.where(hours >= pd.Timestamp("2025-01-01", tz="UTC"), 60.0, 50.0)
    values = np.asarray(60 * level * shape * np.exp(noise))
    if peak_from is not None:
        at = hours == pd.Timestamp(peak_from, tz="UTC")
        values[at] = 60 * 150.0
    return pd.DataFrame({"service": "orders", "time": hours, "per_min": values})


def written(
    folder: Path, history: pd.DataFrame, topology: str = WORLD, study: str = STUDY
) -> Study:
    history.to_csv(folder / "history.csv", index=False)
    (folder / "topology.yaml").write_text(topology, encoding="utf-8")
    (folder / "study.yaml").write_text(study, encoding="utf-8")
    return Study.read(folder / "study.yaml")


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> tuple[Study, Replay]:
    study = written(tmp_path_factory.mktemp("replay"), rows("2025-04-10 20:00"))
    return study, cm.replay(study)


def test_minutes_short_are_those_of_a_sheet_by_hand(world):
    """2025-04-10, 20 h: 150 orders/s are 300 api/s, 30 full pods, 150 bureau calls/s.

    A node of m6i.xlarge leaves 3.92 cores: 30 of them fill 7.7, so 8 nodes of the 12; the quota of
    110/s is exceeded in that one hour of means, whose sixty minutes count.
    """
    _, found = world
    short = {(r.node, r.limit): r for r in found.stood.limits}
    quota = short["bureau", "quota"]
    assert (quota.peak, quota.hard, quota.minutes_short) == (pytest.approx(150.0), 110.0, 60.0)
    assert quota.first == "2025-04-10"
    nodes = short["general", "nodes"]
    assert (nodes.peak, nodes.hard, nodes.minutes_short) == (8.0, 12.0, 0.0)
    assert found.stood.minutes_short == 60.0
    assert found.stood.minutes_short_by_tier == {0: 60.0}
    assert found.to_frame("named").iloc[-1][["node", "limit", "day"]].tolist() == [
        "bureau", "quota", "2025-04-10",
    ]  # fmt: skip


def test_the_rule_is_last_seasons_peak_times_the_factor(world):
    """April 2024: the busiest hour times 1.3, of what each limit used; the rest stays."""
    study, found = world
    history, _ = study.read_history()
    april = history.between("2024-04-03", "2024-05-03").series("orders", "per_min").max() / 60
    rule = next(p for p in found.provided if p.name == "last peak x 1.3")
    expected = max(110.0, math.ceil(april * 2 * 0.5 * 1.3))
    assert rule.topology.externals["bureau"].limit_rps == expected
    # No pods were recorded: as the autoscaler would have run them, at 60 % of a core each.
    pods = math.ceil(april * 2 * 0.1 / 0.6 - 1e-9)
    assert rule.topology.pools["general"].today == max(12, math.ceil(math.ceil(pods / 3) * 1.3))


def test_what_was_turned_away_was_asked_for():
    served = pd.DataFrame(
        {
            "service": "orders",
            "time": pd.date_range("2025-04-01", periods=48, freq="h", tz="UTC"),
            "per_min": 600.0,
            "shed_per_min": [120.0] * 24 + [math.nan] * 24,
        }
    )
    offered = offered_per_second(cm.History.from_frame(served, business_tz="UTC"), "orders")
    assert offered.tolist() == [12.0] * 24 + [10.0] * 24


def test_perfect_foresight_keeps_the_policy_at_what_came(world):
    """300 api/s at 60 % of a core are 50 pods, three a node; 150/s within 85 % of a quota 177."""
    _, found = world
    best = next(p for p in found.provided if p.name == "perfect foresight")
    assert best.topology.pools["general"].today == 17
    assert best.topology.externals["bureau"].limit_rps == 177.0
    assert best.shortfall.minutes_short == best.shortfall.minutes_over_policy == 0.0
    # 30 days of 24 hours at 0.192 USD/h, the built-in price of m6i.xlarge in us-east-1.
    assert best.usd == Decimal("2350.08")
    frame = found.to_frame("provided").set_index("provision")
    assert frame.loc["perfect foresight", "over_foresight_usd"] == Decimal("0.00")
    for name, row in frame.iterrows():
        other = next(p for p in found.provided if p.name == name)
        assert row["over_foresight_usd"] == other.usd - best.usd


@pytest.mark.slow
def test_nothing_after_the_cut_moves_a_plan(world, tmp_path):
    """What came after the plan's day may be anything: the plan is the same to the byte."""
    _, found = world
    other = rows("2025-04-10 20:00")
    later = other["time"] >= pd.Timestamp("2025-01-29", tz="UTC")
    other.loc[later, "per_min"] *= 3
    again = cm.replay(written(tmp_path, other))
    name = "plan, 9 weeks before"
    assert found.as_of[name] == dt.date(2025, 1, 29)
    assert again.plans[name].hash == found.plans[name].hash
    assert again.plans["plan, 2 weeks before"].hash != found.plans["plan, 2 weeks before"].hash


def test_a_level_that_is_declared_today_is_not_known_then(world, tmp_path):
    _, found = world
    told = WORLD.replace("orders: {}", "orders: {today_per_min: 99999, sigma_log: 0.5}", 1)
    again = cm.replay(written(tmp_path, rows("2025-04-10 20:00"), told))
    for name, plan in found.plans.items():
        same = again.plans[name].to_frame("orders")
        pd.testing.assert_frame_equal(plan.to_frame("orders"), same)


def test_orders_that_are_too_late_are_not_in_place(world):
    """The bureau takes 20 days, so two weeks before the season nobody can raise it."""
    _, found = world
    frame = found.to_frame("orders")
    late = frame[frame["plan"] == "plan, 2 weeks before"].set_index("action")["too_late"]
    early = frame[frame["plan"] == "plan, 9 weeks before"]["too_late"]
    quota = [action for action in late.index if action.startswith("raise the quota")]
    assert quota  # both plans ask for it: April's usual evening is near the bound already
    assert late[quota].all()
    assert not early.any()


@pytest.mark.slow
@pytest.mark.parametrize(("day", "short"), [("2025-04-10", 60.0), ("2025-04-18", 0.0)])
def test_an_order_helps_from_the_day_on_which_it_is_in_place(tmp_path, day, short):
    """Five days before the sale of 2025-04-20 the higher quota stands: not yet on the 10th."""
    study = STUDY.replace(
        "{calendar: none}",
        "{calendar: none, add: [{name: sale, start: 2024-04-20}, {name: sale, start: 2025-04-20},"
        " {name: sale, start: 2026-04-20}]}",
    ).replace("orders: {", "orders: {in_place: {event: sale, days_before: 5}, ")
    found = cm.replay(written(tmp_path, rows(f"{day} 20:00"), study=study), weeks_before=[9])
    (plan,) = (p for p in found.provided if p.name == "plan, 9 weeks before")
    raised = plan.topology.externals["bureau"].limit_rps
    assert raised > 150.0
    assert plan.shortfall.minutes_short == short
    assert found.stood.minutes_short == 60.0


@pytest.mark.slow
def test_minutes_count_where_there_are_minutes(tmp_path):
    """One minute of 400/s in an hour of 100/s: a minute short by the minute, none by the hour."""
    history = rows()
    at = pd.Timestamp("2025-04-10 20:00", tz="UTC")
    history.loc[history["time"] == at, "per_min"] = 60 * 105.0
    minutes = pd.date_range("2025-04-10", periods=24 * 60, freq="min", tz="UTC")
    fine = np.full(len(minutes), 60 * 30.0)
    evening = (minutes >= at) & (minutes < at + pd.Timedelta("1h"))
    fine[evening] = 60 * (105 * 60 - 400) / 59
    fine[minutes == at + pd.Timedelta("10min")] = 60 * 400.0
    pd.DataFrame({"service": "orders", "time": minutes, "per_min": fine}).to_csv(
        tmp_path / "minutes.csv", index=False
    )
    study = written(
        tmp_path, history, study=STUDY.replace("history.csv}", "history.csv, fine: minutes.csv}")
    )
    found = cm.replay(study, weeks_before=[9])
    quota = next(r for r in found.stood.limits if r.limit == "quota")
    assert quota.minutes_short == 1.0
    assert quota.peak == pytest.approx(400.0)
    # 24 of the season's 30 x 24 hours are known by the minute.
    assert found.by_minute == pytest.approx(24 / 720)
    without_minutes = cm.replay(written(tmp_path, history), weeks_before=[9])
    assert without_minutes.stood.minutes_short == 0.0


@pytest.mark.slow
def test_hours_that_were_not_measured_are_counted_and_not_judged(tmp_path):
    history = rows("2025-04-10 20:00")
    gap = (history["time"] >= pd.Timestamp("2025-04-10 18:00", tz="UTC")) & (
        history["time"] < pd.Timestamp("2025-04-10 22:00", tz="UTC")
    )
    found = cm.replay(written(tmp_path, history[~gap]), weeks_before=[9])
    assert found.missing_h == 4.0
    assert found.stood.minutes_short == 0.0
    assert "4 hours were not measured" in found.headline()


@pytest.mark.slow
def test_a_season_moves_with_its_event(shop_study):
    history, _ = shop_study.read_history()
    events = shop_study.make_events(2023)
    season = past_season(shop_study, history, events)
    # Black Friday 2026-11-27 and 2025-11-28: 364 days; 2024-11-29: 728.
    assert (season.year, season.shift_days) == (2025, 364)
    assert (season.start, season.end) == (dt.date(2025, 11, 3), dt.date(2025, 12, 18))
    assert season.last_start == dt.date(2024, 11, 4)
    assert season.orders.freeze[0].start == dt.date(2025, 11, 3)
    assert season.orders.db_class.execute == dt.date(2025, 11, 2)


def test_services_that_were_not_born_are_left_out_with_what_only_they_called(shop_dir):
    topology = cm.Topology.read(shop_dir / "topology.yaml")
    fewer = without(topology, ["underwriting"])
    assert "underwriting" not in fewer.services
    assert "credit-bureau" not in fewer.externals
    assert "underwriting" not in fewer.databases["core-db"].used_by
    assert set(topology.services) - set(fewer.services) == {"underwriting"}


LIMITS = """\
limits:
  gateway: {unit: connections, hard: 120, per_request: {api: 1, newborn: 1},
            per_node: {general: 0.5, fresh: 2}}
  theirs: {unit: connections, hard: 10, per_pod: {newborn: 1}}
"""
NEWBORN = """\
  newborn:
    pool: fresh
    pod: {cpu_cores: 1, memory_gib: 1}
    usage: {cpu_cores: {per_pod: 0, per_request: 0.1}}
externals:"""


def test_limits_and_pools_of_the_unborn_are_left_out_too(tmp_path):
    path = tmp_path / "topology.yaml"
    pools = "  fresh: {types: [m6i.xlarge], zones: 1, today: 3}\npolicy:"
    world = WORLD.replace("externals:", NEWBORN).replace("policy:", pools)
    path.write_text(world + LIMITS, encoding="utf-8")
    fewer = without(cm.Topology.read(path), ["newborn"])
    assert set(fewer.pools) == {"general"}
    assert set(fewer.limits) == {"gateway"}
    assert dict(fewer.limits["gateway"].per_request) == {"api": 1}
    assert dict(fewer.limits["gateway"].per_node) == {"general": 0.5}


@pytest.fixture(scope="module")
def bounded(tmp_path_factory) -> Replay:
    """The same world with an autoscaler's bound, a declared limit, and orders of the user's own."""
    world = WORLD.replace("{min: 2, today: 12}", "{min: 2, max: 20, today: 12}")
    world += "limits:\n  gateway: {unit: connections, hard: 120, per_request: {api: 1}}\n"
    declared = """declared: [
      {id: keep, rule: ec2_reservation, item: general, action: reserve, count: 8, vcpu: 32},
      {id: ask, rule: quota, item: bureau, action: ask the bureau}]"""
    study = STUDY.replace("orders: {", f"orders: {{{declared}, ")
    folder = tmp_path_factory.mktemp("bounded")
    return cm.replay(written(folder, rows("2025-04-10 20:00"), world, study))


def test_perfect_foresight_raises_every_bound_that_is_raised_by_asking(bounded):
    """300 api/s at 60 % of a core are 50 pods; 300 connections within 85 % are 353."""
    best = next(p for p in bounded.provided if p.name == "perfect foresight")
    assert best.topology.services["api"].replicas.max == 50
    assert best.topology.limits["gateway"].hard == 353.0
    assert best.shortfall.minutes_short == best.shortfall.minutes_over_policy == 0.0


def test_the_rule_raises_every_bound_by_last_seasons_peak(bounded):
    history = rows("2025-04-10 20:00")
    april = history["time"].between("2024-04-03", "2024-05-03", inclusive="left")
    peak = history.loc[april, "per_min"].max() / 60 * 2  # api/s
    rule = next(p for p in bounded.provided if p.name == "last peak x 1.3")
    assert rule.topology.limits["gateway"].hard == math.ceil(peak * 1.3)
    pods = math.ceil(peak * 0.1 / 0.6)  # 60 % of a core each
    assert rule.topology.services["api"].replicas.max == math.ceil(pods * 1.3)


def test_orders_that_a_study_declares_stand_in_the_plan_and_change_no_topology(bounded):
    for name, plan in bounded.plans.items():
        orders = plan.to_frame("orders").set_index("id")
        assert orders.loc[["keep", "ask"], "to"].tolist() == ["", ""]
        assert not set(plan.to_frame("release")["order"]) & {"keep", "ask"}
        wires = plan.to_frame("tripwires")
        assert wires.loc[wires["order"] == "keep", "step"].tolist() == [0]
        made = next(p for p in bounded.provided if p.name == name).topology
        asked = orders["to"].get("nodes:general")
        assert made.pools["general"].today == int(asked or 12)


def test_a_season_over_new_year_moves_with_its_event_in_january(tmp_path):
    study = STUDY.replace("{start: 2026-04-01, end: 2026-05-01}",
                          "{start: 2026-12-15, end: 2027-01-15}")  # fmt: skip
    study = study.replace("end: 2026-06-01}", "end: 2027-02-01}")
    sales = "".join(f"{{name: sale, start: {day}}}, " for day in
                    ("2025-01-06", "2026-01-05", "2027-01-04"))  # fmt: skip
    study = study.replace("{calendar: none}", f"{{calendar: none, add: [{sales}]}}")
    study = study.replace("orders: {", "orders: {in_place: {event: sale, days_before: 7}, ")
    read = written(tmp_path, rows(), study=study)
    days = pd.date_range("2023-06-01", "2026-06-01", freq="h", tz="UTC", inclusive="left")
    history = cm.History.from_frame(
        pd.DataFrame({"service": "orders", "time": days, "per_min": 60.0}), business_tz="UTC"
    )
    found = past_season(read, history, read.make_events(2023))
    # 2027-01-04 and 2026-01-05 are 364 days apart, 2025-01-06 another 364.
    assert (found.year, found.shift_days) == (2025, 364)
    assert (found.start, found.end) == (dt.date(2025, 12, 16), dt.date(2026, 1, 16))
    assert found.last_start == dt.date(2024, 12, 17)


def test_orders_make_a_topology(shop_dir):
    topology = cm.Topology.read(shop_dir / "topology.yaml")
    orders = pd.DataFrame(
        [
            {"id": "nodes:general", "kind": "nodes", "item": "general", "to": "66"},
            {"id": "db_class:core-db", "kind": "db_class", "item": "core-db",
             "to": "db.r6g.8xlarge"},
            {"id": "quota:credit-bureau", "kind": "quota", "item": "credit-bureau", "to": "155"},
            {"id": "config:checkout-api:pool_max:core-db", "kind": "config",
             "item": "checkout-api", "to": "5"},
            {"id": "config:underwriting:replicas.max", "kind": "config", "item": "underwriting",
             "to": "84"},
            {"id": "config:core-db:readers", "kind": "config", "item": "core-db", "to": "2"},
        ]
    )  # fmt: skip
    made = ordered(topology, orders, catalog=Catalog.builtin())
    assert made.pools["general"].today == 66
    assert made.databases["core-db"].db_class == "db.r6g.8xlarge"
    # A declared parameter above the default of the larger class stays; never fewer than before.
    assert (made.databases["core-db"].max_connections or 0) >= 4000
    assert made.databases["core-db"].readers == 2
    assert made.externals["credit-bureau"].limit_rps == 155
    assert made.databases["core-db"].used_by["checkout-api"].pool_max == 5
    assert made.services["underwriting"].replicas.max == 84
    assert changed(made, {}) == made


@pytest.mark.parametrize(
    ("change", "kwargs", "said"),
    [
        ("", {"year": 2024}, "the season and the year before it"),
        ("", {"year": 2026}, "the season and the year before it"),
        ("", {"weeks_before": []}, "at least 1"),
        ("", {"weeks_before": [0]}, "at least 1"),
        ("topology: topology.yaml\n", {}, "a study without topology"),
    ],
)
def test_what_cannot_be_replayed_is_refused(world, tmp_path, change, kwargs, said):
    study, _ = world
    if change:
        study = written(tmp_path, rows(), study=STUDY.replace(change, ""))
    with pytest.raises(InputError, match=said):
        cm.replay(study, **kwargs)


def test_frames_are_named(world):
    _, found = world
    with pytest.raises(InputError, match='Did you mean "provided"'):
        found.to_frame("provide")


@pytest.mark.slow
def test_the_command_prints_headline_and_frames(world, capsys):
    study, found = world
    folder = study._path.parent
    run = runner(capsys, "replay", str(folder / "study.yaml"))
    done = run("2025", "--weeks", "9")
    assert done.code == 0
    assert "As it stood, bureau quota would have been exceeded first, on 2025-04-10." in done.out
    csv = run("--weeks", "9,2", "--table", "provided", "--format", "csv")
    assert csv.out.splitlines()[0].startswith("provision,nodes,season_usd")
    assert len(csv.out.splitlines()) == 1 + len(found.provided)
    assert run("--format", "csv").code == 2
    assert run("--weeks", "nine").code == 2


@pytest.mark.slow
def test_the_shop_names_the_limit_that_its_planted_truth_names(shop_dir, shop_study):
    """The first limit by planted costs, calls and sale days is the one that the plans name."""
    found = cm.replay(shop_study, year=2025)
    hard = {(r.node, r.limit): r.hard for r in found.stood.limits}
    truth = yaml.safe_load((shop_dir / "truth.yaml").read_text(encoding="utf-8"))
    topology = yaml.safe_load((shop_dir / "topology.yaml").read_text(encoding="utf-8"))
    first = _planted_first(shop_dir, truth, topology, hard)
    order = sorted(first, key=lambda key: first[key])
    print(first)  # noqa: T201  figures for the log
    assert order[0] == ("general", "nodes")
    came = found.stood.first
    assert came is not None
    assert (came.node, came.limit) == order[0]
    assert abs((dt.date.fromisoformat(came.first) - first[order[0]]).days) <= 1
    named = found.to_frame("named")
    assert set(zip(named["node"], named["limit"], strict=True)) == {order[0]}
    by_name = {p.name: p for p in found.provided}
    assert by_name["plan, 9 weeks before"].shortfall.minutes_short == 0.0
    assert by_name["plan, 2 weeks before"].too_late  # the last database window has closed
    assert found.left_out == ("fraud-score",)


def _planted_first(
    folder: Path,
    truth: dict[str, Any],
    topology: dict[str, Any],
    hard: dict[tuple[str, str], float],
) -> dict[tuple[str, str], dt.date]:
    """Return the first local day on which each limit is exceeded by what was planted."""
    hours = pd.read_parquet(folder / "history.parquet", columns=["service", "time", "per_min"])
    wide = hours.dropna().pivot_table(index="time", columns="service", values="per_min")
    fine = pd.read_parquet(folder / "minutes.parquet", columns=["service", "time", "per_min"])
    minutes = fine.dropna().pivot_table(index="time", columns="service", values="per_min")
    hourly = wide[~wide.index.isin(pd.DatetimeIndex(minutes.index).floor("h"))]
    drivers = pd.concat([hourly, minutes])[["checkouts", "impressions"]].sort_index() / 60
    local = pd.DatetimeIndex(drivers.index).tz_convert(TZ)
    season = (local >= pd.Timestamp("2025-11-03", tz=TZ)) & (
        local < pd.Timestamp("2025-12-18", tz=TZ)
    )
    drivers, day = drivers[season], local[season].date
    sale = np.isin(
        [str(d) for d in day],
        [d for n in truth["sale_days"] for d in truth["lifts"]["checkouts"][n]["by_day_x"]],
    )
    rps = {name: drivers[name].to_numpy() for name in drivers}
    for name, spec in truth["services"].items():
        if name == "fraud-score":  # born in 2026
            continue
        rps[name] = sum(x * rps[caller] for caller, x in spec["calls"].items())
        rps[name] = rps[name] * np.where(sale, spec.get("calls_on_sale_days_x", 1.0), 1.0)
    cores = {"general": 0.0, "promo": 0.0}
    for name, spec in topology["services"].items():
        if name not in rps:
            continue
        planted, request = truth["services"][name], spec["pod"]["cpu_cores"]
        cost = planted["cpu_core_s_per_request"]
        if "regimes" in planted:  # the dearer one came in 2026
            cost = planted["regimes"][0]["cpu_core_s_per_request"]
        pods = cost * rps[name] / (request / HOT_POD_X - planted["cpu_cores_per_pod"])
        cores[spec["pool"]] = cores[spec["pool"]] + np.ceil(pods / 3) * 3 * request
    # Allocatable of m6i.4xlarge and 2xlarge: 16 and 8 vCPU less 0.11 and 0.09, less daemonsets.
    room = {"general": 15.89 - 0.3, "promo": 7.91 - 0.3}
    need = {(pool, "nodes"): 3 * np.ceil(cores[pool] / 3 / room[pool]) for pool in cores} | {
        ("credit-bureau", "quota"): 0.7 * rps["underwriting"]
    }
    return {
        key: day[(values > hard[key]).argmax()]
        for key, values in need.items()
        if (values > hard[key]).any()
    }


@pytest.mark.real
def test_bikes_name_the_limit_that_what_came_names(data_dir, tmp_path):
    """Rentals of 2012 drive a service at planted costs: by what came, the quota breaks first."""
    raw = pd.read_csv(data_dir / "bike_sharing_hourly_uci" / "bike_sharing_dataset_clean.csv.gz")
    times = pd.to_datetime(raw["date_time"])
    frame = pd.DataFrame({"service": "orders", "time": times.dt.tz_localize("UTC"),
                          "per_min": raw["users"].astype(float)})  # fmt: skip
    study = STUDY.replace("2026-03-01", "2013-03-01").replace("2026-06-01", "2013-12-01")
    study = study.replace("2026-04-01", "2013-09-01").replace("2026-05-01", "2013-12-01")
    study = study.replace("as_of: 2026-01-01", "as_of: 2013-01-15")
    topology = WORLD.replace("limit_rps: 110", "limit_rps: 11.5").replace("today: 12}", "today: 3}")
    found = cm.replay(written(tmp_path, frame, topology, study), year=2012)
    print(found.headline())  # noqa: T201  figures for the log
    # By what came: users/60 orders a second, as many bureau calls, 0.2 cores for each.
    season = (times >= pd.Timestamp(found.season.start)) & (times < pd.Timestamp(found.season.end))
    rate = raw.loc[season, "users"].to_numpy() / 60
    day = times[season].dt.date.to_numpy()
    quota = day[(rate * 2 * 0.5 > 11.5).argmax()]
    nodes = np.ceil(np.ceil(rate * 2 * 0.1 - 1e-9) / 3 - 1e-9) > 3
    assert quota < (day[nodes.argmax()] if nodes.any() else dt.date.max)
    came = found.stood.first
    assert came is not None
    assert (came.node, came.limit, came.first) == ("bureau", "quota", str(quota))
    named = found.to_frame("named")
    assert set(zip(named["node"], named["limit"], strict=True)) == {("bureau", "quota")}


def test_what_waits_for_a_late_order_is_late_too():
    """A reservation waits for a quota, a pool for the reservation; the quota's date is gone."""
    orders = pd.DataFrame(
        {
            "id": ["quota", "reservation", "pool", "other"],
            "latest_by": ["2026-09-01", "2026-11-15", "2026-11-16", ""],
            "depends_on": ["", "quota", "other, reservation", ""],
        }
    )
    assert _too_late(orders, "2026-09-21").tolist() == [True, True, True, False]
    assert not _too_late(orders, "2026-09-01").any()
