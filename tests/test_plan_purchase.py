"""How a plan is bought, from a study's files: a month by hand, cents that sum, what is refused.

The estate is small enough for a sheet. 600 checkouts a minute from 8 to 20 o'clock, 300 else, twice
that in the season; 4 requests each of 0.3 core-seconds, at 60 % of pods of 2 cores: 10 pods by day,
5 by night. A node of 15.89 usable cores takes 7 pods: 2 nodes by day and 1 by night; 3 and 2 in the
season, in which the 3 that are ordered stand.
"""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from command import runner

import capmodel as cm
from capmodel.cost import usd_per_thousand
from capmodel.errors import InputError
from capmodel.exports.databases import db_instances
from capmodel.plan import PlanSet

TZ = "America/New_York"
NODE, CLASS = Decimal("0.768"), Decimal("0.276")
TOPOLOGY = """\
drivers: {checkouts: {peak_minute_x: 1.0}}
services:
  api:
    calls: {checkouts: 4}
    pool: general
    pod: {cpu_cores: 2, memory_gib: 4}
    replicas: {min: 1, max: 200, today: 10}
    usage: {cpu_cores: {per_pod: 0, per_request: 0.3}}
databases:
  db:
    class: db.r7g.large
    usage: {cpu_cores: {idle: 0.1, per_read: 0.0001, per_write: 0.0001}}
    used_by: {api: {reads: 1, writes: 1}}
  old:
    class: db.r6g.large
    usage: {cpu_cores: {idle: 0.1, per_read: 0.0001, per_write: 0.0001}}
    used_by: {api: {reads: 1, writes: 1}}
pools:
  general: {types: [m6i.4xlarge], zones: 1, today: 1}
policy:
  hold: [{failure: none, quantile: 0.5, up_to: utilization}]
"""
STUDY = """\
business_tz: America/New_York
as_of: 2026-09-20
horizon: {start: 2026-10-20, end: 2026-12-01}
season: {start: 2026-11-20, end: 2026-11-30}
draws: 100
topology: topology.yaml
demand: {given: demand.csv}
events: {calendar: none}
scenarios: {base: {}}
also: [commitments]
"""
RATES = """\
  discounts:
    - {kind: compute_sp, discount: 0.28, as_of: 2026-09-01, source: console}
    - {kind: compute_sp, years: 3, discount: 0.5, as_of: 2026-09-01, source: console}
    - {kind: database_sp, discount: 0.2, as_of: 2026-09-01, source: console}
"""
PLAIN = "purchase:\n  buy: [{kind: compute_sp}, {kind: database_sp}]\n" + RATES
OLD = """\
  existing:
    - {kind: compute_sp, usd_per_hour: 0.72, discount: 0.25, end: 2026-11-24, source: bill}
    - {kind: reserved, count: 1, type: db.r7g.large, engine: aurora-mysql, discount: 0.2,
       end: 2027-04-20, source: bill}
"""


RESERVED = """\
  existing:
    - {kind: reserved, count: 1, type: m6i.3xlarge, discount: 0.2, end: 2027-01-01, source: bill}
"""


def demand(until: str) -> pd.DataFrame:
    time = pd.date_range("2026-10-20", until, freq="h", tz=TZ, inclusive="left")
    day = time.tz_localize(None).normalize()
    level = np.where((time.hour >= 8) & (time.hour < 20), 600.0, 300.0)
    season = (day >= pd.Timestamp("2026-11-20")) & (day < pd.Timestamp("2026-11-30"))
    level *= np.where(season, 2.0, 1.0)
    stamps = [moment.isoformat() for moment in time]
    return pd.DataFrame({"service": "checkouts", "time": stamps, "quantity": "per_min",
                         "p10": level, "p50": level, "p90": level})  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("purchase")
    demand("2027-10-21").to_csv(place / "demand.csv", index=False)
    (place / "topology.yaml").write_text(TOPOLOGY, encoding="utf-8")
    return place


def planned(folder: Path, purchase: str, *, study: str = STUDY) -> PlanSet:
    path = folder / "study.yaml"
    path.write_text(study + purchase, encoding="utf-8")
    return cm.Study.read(path).plan()


@pytest.fixture(scope="module")
def plain(folder: Path) -> PlanSet:
    return planned(folder, PLAIN)


@pytest.fixture(scope="module")
def bought(folder: Path) -> PlanSet:
    return planned(folder, PLAIN + OLD)


def row(plan: PlanSet, frame: str, **wanted: object) -> Any:
    found = plan.to_frame(frame)
    for column, value in wanted.items():
        found = found[found[column] == value]
    assert len(found) == 1
    return found.iloc[0]


def test_november_by_hand_with_its_25_hour_day(plain: PlanSet) -> None:
    # 1 to 19 and 30 November: 20 days of 12 hours at 2 nodes and 12 at 1, and the repeated hour of
    # the first night; 10 days of 24 hours at 3. 721 hours; both databases stand all the time.
    found = row(plain, "cost_month", scenario="mixture", window="2026-11")
    assert found["hours"] == 20 * 24 + 1 + 10 * 24 == 721
    nodes = NODE * (20 * 12 * 2 + (20 * 12 + 1) * 1 + 240 * 3)
    assert nodes == Decimal("1106.688")
    old = Decimal("0.26") * 721
    databases = (CLASS * 721).quantize(Decimal("0.01")), old.quantize(Decimal("0.01"))
    assert found["on_demand_usd"] == Decimal("1106.69") + sum(databases)
    assert found["usd"] == found["on_demand_usd"]
    assert (found["spot_usd"], found["existing_usd"]) == (Decimal("0.00"), Decimal("0.00"))


def test_every_hour_of_the_day_of_25_has_its_row(plain: PlanSet) -> None:
    hours = plain.to_frame("cost_hour")
    assert len(hours) == 288 + 721
    night = hours[hours["time"].str.startswith("2026-11-01T01:00")]
    assert night["time"].str[-6:].tolist() == ["-04:00", "-05:00"]
    assert night["usd_per_hour_mean"].tolist() == pytest.approx([0.768 + 0.276 + 0.26] * 2)
    noon = hours[hours["time"] == "2026-11-25T12:00:00-05:00"].iloc[0]
    for column in ("usd_per_hour_mean", "usd_per_hour_p50", "usd_per_hour_p90"):
        assert noon[column] == pytest.approx(3 * 0.768 + 0.276 + 0.26)


def test_a_thousand_checkouts_by_hand(plain: PlanSet) -> None:
    # A day is 12 x 60 x (600 + 300) = 648,000; twice that in the season; 18,000 in the extra hour.
    units = 20 * 648_000 + 18_000 + 10 * 1_296_000
    found = row(plain, "unit_cost", scenario="base", window="2026-11")
    assert (found["driver"], found["units_thousand"]) == ("checkouts", pytest.approx(units / 1000))
    usd = row(plain, "cost_month", scenario="base", window="2026-11")["usd"]
    assert found["usd_per_1k"] == float(usd_per_thousand(usd, units))
    season = row(plain, "unit_cost", scenario="base", window="season")
    assert season["units_thousand"] == pytest.approx(12_960)


@pytest.mark.parametrize("scenario", ["base", "mixture"])
def test_the_season_is_that_of_the_cost_frame_to_the_cent(plain: PlanSet, scenario: str) -> None:
    lines = plain.to_frame("cost")
    total = sum(lines[lines["scenario"] == scenario]["usd"], Decimal(0))
    assert row(plain, "cost_month", scenario=scenario, window="season")["usd"] == total


def test_a_years_commitments_by_hand(plain: PlanSet) -> None:
    # One node runs in 355 x 12 of 8,760 hours, 48.6 %: the 0.28-quantile is one node, 0.768 USD.
    found = row(plain, "commitments", kind="compute_sp")
    assert found["hours"] == 8760
    assert found["covers_usd_per_hour"] == pytest.approx(0.768)
    assert found["pays_usd_per_hour"] == pytest.approx(0.72 * 0.768)
    assert found["saving_usd"] == Decimal("1883.75")  # 0.28 x 0.768 x 8760 = 1883.7504
    assert found["waste_usd"] == Decimal("0.00")
    nodes = 355 * 12 * (2 + 1) + 10 * 24 * 3
    assert found["usage_usd_per_hour"] == pytest.approx(0.768 * nodes / 8760)
    # A fifth less: the nights' 0.6144 is the quantile; 0.1536 x 0.72 is paid for nothing in them,
    # 355 x 12 hours, and saves 0.28 of it in the others.
    nights = 355 * 12
    regret = 0.1536 * (0.72 * nights - 0.28 * (8760 - nights))
    assert found["regret_usd"] == Decimal(f"{regret:.2f}")
    assert (found["as_of"], found["source"], found["status"]) == ("2026-09-01", "console", "GREEN")


def test_database_plans_take_the_latest_generations_only(plain: PlanSet) -> None:
    found = row(plain, "commitments", kind="database_sp")
    assert found["items"] == "db db.r7g.large"  # not the r6g
    assert found["covers_usd_per_hour"] == pytest.approx(0.276)
    assert found["saving_usd"] == Decimal("483.55")  # 0.2 x 0.276 x 8760 = 483.552


@pytest.mark.slow
def test_what_exists_is_covered_until_it_ends(bought: PlanSet) -> None:
    # 0.72 USD/h at 25 % off cover 0.96: a node and a quarter, for 35 of the 365 days: to the 24th.
    found = row(bought, "commitments", kind="compute_sp")
    days = 31 * 12  # before the season: 1.536 by day, of which 0.96 are covered, 0.768 by night
    in_season = 4 * 24
    covered = (days * (0.96 + 0.768) + 1 * 0.768 + in_season * 0.96) / 8760
    assert found["existing_usd_per_hour"] == pytest.approx(covered)
    assert found["covers_usd_per_hour"] == pytest.approx(0.768)  # 330 days need it again
    databases = row(bought, "commitments", kind="database_sp")
    # Reserved until 20 April: 182 days, of the 25-hour day and the 23-hour day one each, 4,368 h.
    assert databases["existing_usd_per_hour"] == pytest.approx(0.276 * 4368 / 8760)
    # In 49.9 % of the hours nothing is left to cover, more than the 20 % of the discount.
    assert databases["covers_usd_per_hour"] == 0.0
    assert "nothing more pays for itself" in databases["reason"]
    month = row(bought, "cost_month", scenario="mixture", window="2026-11")
    # 23 days of 0.72 and the extra hour; 721 hours of 0.8 x 0.276.
    paid = Decimal("0.72") * (23 * 24 + 1) + Decimal("0.8") * CLASS * 721
    assert month["existing_usd"] == paid.quantize(Decimal("0.01"))


@pytest.mark.slow
def test_cents_sum_in_every_frame(plain: PlanSet, bought: PlanSet) -> None:
    for plan in (plain, bought):
        for _, found in plan.to_frame("cost_month").iterrows():
            parts = found["on_demand_usd"] + found["spot_usd"] + found["existing_usd"]
            assert found["usd"] == parts
        term = plan.to_frame("cost_term")
        assert sum(term["usd"][:-1], Decimal(0)) == term["usd"].iloc[-1]
        for _, found in plan.to_frame("reservations").iterrows():
            assert found["usd"] == found["used_usd"] + found["idle_usd"]
            assert found["idle_usd"] == found["discount_usd"] + found["idle_net_usd"]


def test_a_year_with_the_proposal_costs_what_the_savings_say(plain: PlanSet) -> None:
    term = plain.to_frame("cost_term")
    nodes = NODE * (355 * 12 * 3 + 10 * 24 * 3)
    listed = nodes + (CLASS + Decimal("0.26")) * 8760
    saved = sum(plain.to_frame("commitments")["saving_usd"], Decimal(0))
    assert abs(term["usd"].iloc[-1] - (listed - saved)) <= Decimal("0.03")
    assert term["usd_p50"].iloc[-1] == term["usd_p90"].iloc[-1]  # the demand is certain


def test_a_reservation_by_hand(plain: PlanSet) -> None:
    # 2 nodes beyond today's one, from the season's start for the 14 days of a reservation's term.
    # The autoscaler fills 2 by day and 1 by night in the season, 1 by day and none by night after.
    found = row(plain, "reservations", pool="general")
    assert (found["zone"], found["count"], found["start"], found["end"]) == (
        "zone 1", 2, "2026-11-20", "2026-12-04",
    )  # fmt: skip
    used = 10 * 12 * (2 + 1) + 4 * 12
    assert found["hours"] == 336
    assert found["usd"] == Decimal("516.10")  # 2 x 336 x 0.768 = 516.096
    assert found["idle_share"] == pytest.approx(1 - used / 672)
    assert found["idle_usd"] == Decimal("202.75")  # 264 x 0.768 = 202.752
    assert found["discount_usd"] == Decimal("0.00")  # one node is always there for the commitment
    assert found["quantile"] == 1.0


@pytest.mark.slow
def test_existing_commitments_take_something_off_idleness(bought: PlanSet) -> None:
    # For 4 days both plans run: 0.96 are covered by what exists, 0.768 by what is proposed. Two
    # nodes run by night, 1.536: 0.192 is left for the idle third, at 28 % off, in 4 x 12 hours.
    found = row(bought, "reservations", pool="general")
    assert found["discount_usd"] == Decimal("2.58")
    assert found["idle_net_usd"] == Decimal("200.17")


def test_levers_are_the_commitments_and_have_no_total(plain: PlanSet) -> None:
    levers = plain.to_frame("levers")
    assert levers["lever"].tolist() == ["commit", "commit"]
    assert levers["usd"].tolist() == plain.to_frame("commitments")["saving_usd"].tolist()
    assert not levers["applied"].any()
    assert "right-size pods" in levers["overlaps"].iloc[0]


@pytest.mark.slow
def test_every_format_says_the_same_cents(bought: PlanSet, tmp_path: Path) -> None:
    bought.write(tmp_path / "review")
    total = str(row(bought, "cost_month", scenario="mixture", window="2026-11")["usd"])
    text = f"{Decimal(total):,.2f}"
    assert text in (tmp_path / "review" / "review.html").read_text(encoding="utf-8")
    assert text in (tmp_path / "review" / "review.md").read_text(encoding="utf-8")
    assert total in (tmp_path / "review" / "csv" / "cost_month.csv").read_text(encoding="utf-8")
    again = cm.load_plan(tmp_path / "review" / "plan.json")
    for name in ("cost_month", "unit_cost", "cost_term", "commitments", "reservations", "levers"):
        pd.testing.assert_frame_equal(again.to_frame(name), bought.to_frame(name), rtol=1e-8)
    saved = json.loads((tmp_path / "review" / "plan.json").read_text(encoding="utf-8"))
    assert saved["plan"]["meta"]["purchase"]["existing"][0]["end"] == "2026-11-24"


@pytest.mark.slow
def test_without_a_purchase_nothing_is_added(folder: Path) -> None:
    plan = planned(folder, "", study=STUDY.replace("also: [commitments]\n", "also: []\n"))
    assert not {"cost_month", "commitments", "levers"} & set(plan.frames)
    assert "purchase" not in plan.meta


@pytest.mark.slow
def test_spot_a_negotiated_price_and_only_a_maximum(folder: Path) -> None:
    extra = """\
purchase:
  discounts: [{kind: compute_sp, discount: 0.28, as_of: 2026-09-01, source: console}]
  existing: [{kind: instance_sp, family: c5, usd_per_hour: 1, discount: 0.4, end: 2026-11-02,
              source: bill}]
  spot: {general: {share: 0.5, discount: 0.6, reserve: 0.5, source: assumed}}
  negotiated: {discount: 0.1, as_of: 2026-01-01, source: contract}
"""
    plan = planned(folder, extra)
    # Of 3 nodes 1 is on Spot, with half a node more, which is one: 2 on demand and 2 on Spot.
    lines = plan.to_frame("cost").query("scenario == 'mixture' and item == 'general'")
    assert lines[["kind", "count"]].to_numpy().tolist() == [["nodes", 2.0], ["spot", 2.0]]
    price = NODE * Decimal("0.9")
    assert lines["usd"].tolist() == [
        (price * 2 * 240).quantize(Decimal("0.01")),
        (price * Decimal("0.4") * 2 * 240).quantize(Decimal("0.01")),
    ]
    asked = row(plan, "orders", id="nodes:general")["reason"]
    assert "; 1 of the 3 run on Spot, which no reservation holds" in asked
    month = row(plan, "cost_month", scenario="mixture", window="2026-11")
    # Two nodes by day put one on Spot, one by night puts none: 240 hours of 1 + 1 spare, 240 more.
    at_spot = price * Decimal("0.4") * (240 * 2 + 240 * 2)
    assert month["spot_usd"] == at_spot.quantize(Decimal("0.01"))
    season = row(plan, "cost_month", scenario="mixture", window="season")
    total = plan.to_frame("cost").query("scenario == 'mixture'")["usd"]
    assert season["usd"] == sum(total, Decimal(0))
    # What covers nothing is paid to its end, and told: 25 hours of November, less what is agreed.
    assert month["existing_usd"] == Decimal("22.50")
    stated = plan.to_frame("assumptions").set_index("name")
    spot = stated.loc["purchase: Spot discount of general"]
    assert (spot["value"], spot["basis"], spot["source"]) == ("0.6", "assumed", "assumed")
    assert stated.loc["purchase: databases after season", "value"] == "today"
    told = row(plan, "findings", code="commitment_unused")["message"]
    assert told.startswith("the existing instance_sp c5 (bill) covers nothing of the plan")
    # What Spot runs is not eligible: a node is on demand by day and by night, two in the season.
    # The console asks for list prices, the bill has what was negotiated.
    known = row(plan, "commitments", kind="compute_sp")
    assert known["covers_usd_per_hour"] == pytest.approx(float(price))
    assert known["usage_usd_per_hour"] == pytest.approx(float(price) * (1 + 240 / 8760))
    assert known["pays_usd_per_hour"] == pytest.approx(0.72 * 0.768)
    assert known["paid_usd"] == Decimal(f"{0.72 * 0.6912 * 8760:.2f}")
    grey = row(plan, "commitments", kind="database_sp")
    assert (grey["status"], grey["saving_usd"]) == ("GREY", None)
    assert grey["reason"].startswith("only a published maximum of 20% is known for database_sp")


@pytest.mark.slow
def test_three_years_repeat_the_first_and_grow_as_stated(folder: Path) -> None:
    wanted = """\
purchase:
  growth_after_year_x: 2.0
  buy: [{kind: compute_sp, years: 3}, {kind: compute_sp}]
"""
    plan = planned(folder, wanted + RATES.replace("as_of: 2026-09-01", "as_of: 2025-09-01", 1))
    assert "stale_discount" in plan.to_frame("findings")["code"].tolist()
    commitments = plan.to_frame("commitments")
    assert commitments["years"].tolist() == [3.0, 1.0]
    three, one = commitments.to_dict("records")
    assert three["hours"] == 26304  # 2028 has a leap day
    # Nights and days use 1 and 2 nodes, then 2 and 4, then 4 and 8. Without the seasons, which use
    # more, 3 x 355 x 12 of 26,304 hours use 2 or fewer: 48.6 %, and half need the next step.
    assert three["covers_usd_per_hour"] == pytest.approx(4 * 0.768)
    assert three["basis"] == "assumed"
    assert one["covers_usd_per_hour"] == 0.0
    assert one["above_usd_per_hour"] > 0


@pytest.mark.slow
def test_a_forecast_too_short_for_a_term_says_so(tmp_path: Path) -> None:
    demand("2026-12-05").to_csv(tmp_path / "demand.csv", index=False)
    (tmp_path / "topology.yaml").write_text(TOPOLOGY, encoding="utf-8")
    plan = planned(tmp_path, PLAIN)
    commitments = plan.to_frame("commitments")
    assert commitments["status"].tolist() == ["GREY", "GREY"]
    assert commitments["reason"].str.contains("demand is known until 2026-12-05 only").all()
    assert plan.to_frame("cost_term").empty
    assert len(plan.to_frame("cost_hour")) == 288 + 721  # the horizon is known
    assert row(plan, "reservations", pool="general")["usd"] == Decimal("516.10")


@pytest.mark.slow
def test_a_declared_level_stands_for_every_hour_and_has_no_unit_cost(tmp_path: Path) -> None:
    declared = TOPOLOGY.replace("{peak_minute_x: 1.0}", "{today_per_min: 600}")
    (tmp_path / "topology.yaml").write_text(declared, encoding="utf-8")
    study = STUDY.replace("demand: {given: demand.csv}\n", "").replace(
        "scenarios: {base: {}}", "scenarios: {base: {growth_yoy_x: {checkouts: 2.0}}}"
    )
    plan = planned(tmp_path, PLAIN, study=study)
    month = row(plan, "cost_month", scenario="base", window="2026-10")
    # 1,200 a minute at every hour: 20 pods, 3 nodes; 12 days.
    nodes, databases = NODE * 3 * 288, (CLASS + Decimal("0.26")) * 288
    assert abs(month["usd"] - nodes - databases) <= Decimal("0.01")
    found = row(plan, "unit_cost", scenario="base", window="season")
    assert np.isnan(found["usd_per_1k"])
    assert found["reason"] == "checkouts is declared as a busiest minute"
    first = plan.to_frame("commitments").iloc[0]
    assert first["reason"].startswith("no hours are known of checkouts")
    assert first["basis"] == "assumed"


@pytest.mark.parametrize(
    ("purchase", "where", "said"),
    [
        ("  spot: {genral: {share: 0.5, discount: 0.6, source: a}}\n", "purchase.spot.genral",
         'Did you mean "general"?'),
        ("  reserve: {general: 1}\n", "purchase.reserve.general",
         "32 vCPU or more, the smallest reservation for a future date. Reserve 2 or more"),
        ("  unit_of: checkout\n", "purchase.unit_of", 'Did you mean "checkouts"?'),
        ("  start: 2026-10-01\n", "purchase.start", "before the horizon's start 2026-10-20"),
        (RESERVED, "purchase.existing.0.type", "m6i.3xlarge"),
    ],
)  # fmt: skip
def test_what_the_plan_does_not_know_is_refused(
    folder: Path, purchase: str, where: str, said: str
) -> None:
    with pytest.raises(InputError) as refused:
        planned(folder, "purchase:\n" + purchase)
    (problem,) = refused.value.problems
    assert problem.where == where
    assert said in str(problem)


def test_the_command_refuses_a_discount_as_28(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = folder / "study.yaml"
    path.write_text(STUDY + PLAIN.replace("discount: 0.28", "discount: 28"), encoding="utf-8")
    done = runner(capsys, "plan")(path, "--out", tmp_path / "review")
    assert done.code == 2
    assert "Did you mean 0.28?" in done.err
    assert not (tmp_path / "review").exists()


@pytest.mark.slow
@pytest.mark.parametrize(("stays", "price"), [("today", "0.276"), ("ordered", "0.553")])
def test_what_a_season_needs_of_a_database_stands_as_the_policy_says(
    folder: Path, tmp_path: Path, stays: str, price: str
) -> None:
    # 80 reads and 80 writes a second of 10 ms: 1.7 cores in the season, above 70 % of 2.
    busier = TOPOLOGY.replace(
        "per_read: 0.0001, per_write: 0.0001", "per_read: 0.01, per_write: 0.01", 1
    )
    (tmp_path / "topology.yaml").write_text(busier, encoding="utf-8")
    (tmp_path / "demand.csv").write_bytes((folder / "demand.csv").read_bytes())
    plan = planned(tmp_path, PLAIN + f"  databases_after_season: {stays}\n")
    ordered = row(plan, "databases", scenario="mixture", database="db")
    assert "db.r7g.xlarge" in ordered.tolist()
    october = row(plan, "cost_month", scenario="mixture", window="2026-10")
    nodes = NODE * (12 * 12 * 3)  # 12 days, 2 nodes by day and 1 by night
    databases = (Decimal(price) * 288).quantize(Decimal("0.01")) + Decimal("74.88")  # 0.26 x 288
    assert october["usd"] == nodes.quantize(Decimal("0.01")) + databases


def test_faults_of_the_section_are_told_with_their_line(folder: Path) -> None:
    with pytest.raises(InputError) as refused:
        planned(folder, PLAIN.replace("discount: 0.28", "discount: 28"))
    (problem,) = refused.value.problems
    assert problem.where.endswith("purchase.discounts.0.discount")
    assert problem.where.startswith("study.yaml:")
    assert (problem.got, problem.do) == ("28", "Did you mean 0.28?")


@pytest.mark.slow
def test_a_scenarios_price_and_efficiency_hold_hour_by_hour(folder: Path) -> None:
    scenarios = """\
scenarios:
  base: {probability: 0.5}
  lean:
    probability: 0.5
    price: [{type: m6i.4xlarge, price_x: 0.5, as_of: 2026-09-01, source: offer}]
    efficiency: [{pool: general, cores_x: 0.5, from: 2026-11-01, source: load test}]
"""
    plan = planned(folder, PLAIN, study=STUDY.replace("scenarios: {base: {}}\n", scenarios))
    lines = plan.to_frame("cost")
    for scenario in ("base", "lean", "mixture"):
        total = sum(lines[lines["scenario"] == scenario]["usd"], Decimal(0))
        assert row(plan, "cost_month", scenario=scenario, window="season")["usd"] == total
    # Half the cores from November on: 5 pods by day are one node, at half the price. In October 2
    # and 1 still run, in the season the nodes that the scenario's own row counts.
    databases = (CLASS + Decimal("0.26")).quantize(Decimal("0.001"))
    october = row(plan, "cost_month", scenario="lean", window="2026-10")
    nodes = NODE / 2 * 12 * 12 * 3
    assert abs(october["usd"] - nodes - databases * 288) <= Decimal("0.01")
    november = row(plan, "cost_month", scenario="lean", window="2026-11")
    season = int(row(plan, "nodes", scenario="lean", pool="general")["required"])
    nodes = NODE / 2 * (481 + 240 * season)
    assert abs(november["usd"] - nodes - databases * 721) <= Decimal("0.01")


@pytest.mark.slow
def test_the_shop_is_bought_and_not_changed(
    shop_study: cm.Study, shop_fit: cm.CapacityFit, shop_plans: PlanSet
) -> None:
    policy = cm.PurchasePolicy.model_validate(
        {
            "p_shortfall": 0.02,
            "reserve": {"promo": 7},
            "buy": [{"kind": "compute_sp"}, {"kind": "reserved"}],
            "discounts": [
                {"kind": "compute_sp", "discount": 0.28, "as_of": "2026-09-01", "source": "console"}
            ],
        }
    )
    plan = shop_study.model_copy(update={"purchase": policy}).plan(shop_fit)
    for name in set(shop_plans.frames) - {"findings", "assumptions"}:
        pd.testing.assert_frame_equal(plan.to_frame(name), shop_plans.to_frame(name))
    totals = shop_plans.to_frame("cost").groupby("scenario")["usd"].sum()
    months = plan.to_frame("cost_month")
    for scenario, total in totals.items():
        season = row(plan, "cost_month", scenario=scenario, window="season")
        assert season["usd"] == season["usd_p50"] == season["usd_p90"] == total
    assert totals["mixture"] == Decimal("73418.40")
    # October follows demand, so its mean has quantiles beside it; finance's scenarios are ordered.
    october: Any = months[months["window"] == "2026-10"].set_index("scenario")
    assert october.loc["low", "usd"] < october.loc["base", "usd"] < october.loc["high", "usd"]
    assert october.loc["mixture", "usd_p50"] < october.loc["mixture", "usd_p90"]
    mean = sum(w * float(october.loc[s, "usd"]) for s, w in
               {"low": 0.25, "base": 0.55, "high": 0.20}.items())  # fmt: skip
    assert float(october.loc["mixture", "usd"]) == pytest.approx(mean, rel=1e-6)
    assert october.loc["base", "comparable_yoy_x"] == pytest.approx(1.25, abs=0.01)
    november: Any = months[months["window"] == "2026-11"].set_index("scenario")
    # Cyber Monday moved from December 2025 into November 2026: the calendar says 35 %.
    assert november.loc["base", "calendar_yoy_x"] > 1.30
    booked = plan.to_frame("reservations")
    general, promo = (booked[booked["pool"] == name] for name in ("general", "promo"))
    assert general["count"].max() - general["count"].min() <= 1
    assert (general["quantile"] >= 0.98).all()
    assert promo["count"].tolist() == [3.0, 2.0, 2.0]
    assert set(booked["start"]) == {"2026-11-20"}  # the orders' date
    compute = row(plan, "commitments", kind="compute_sp")
    assert 0 < compute["waste_usd"] < compute["saving_usd"]
    # A season of 45 days at 3.5 times the usage does not move what is committed to.
    assert compute["covers_usd_per_hour"] < 0.3 * (66 * 0.768 + 18 * 0.384)
    assert "Commitments beyond those that exist" in plan.to_markdown()


def test_orders_that_a_study_declares_move_no_reservation_and_are_no_change_of_class(
    folder: Path, plain: PlanSet
) -> None:
    declared = """\
orders:
  declared:
    - {id: keep, rule: ec2_reservation, item: general, action: reserve, count: 2, vcpu: 32,
       execute: 2026-10-25}
    - {id: look, rule: db_class, item: db, action: try the class, execute: 2026-11-10}
"""
    with_own = planned(folder, PLAIN, study=STUDY + declared)
    assert {"keep", "look"} <= set(with_own.to_frame("orders")["id"])
    pd.testing.assert_frame_equal(with_own.to_frame("reservations"), plain.to_frame("reservations"))
    assert db_instances(with_own).files == db_instances(plain).files
