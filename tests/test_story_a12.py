"""Story A12: one plan, four readers, one truth.

The first four steps of the waterfall are declared (24 nodes today, 28 with organic growth, 48 at
the event, 60 with headroom); the cover of a zone and the efficiency follow. Sums and formats are
what is proved; the price is an overlay's row.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import math
import re
import sys
import zipfile
from decimal import Decimal
from pathlib import Path

import formats
import openpyxl
import pandas as pd
import pytest
import stories
from html_page import Page

from capmodel import cost
from capmodel.capacity.replicas import zone_cover
from capmodel.cli import main
from capmodel.errors import InputError
from capmodel.plan import PlanSet, Study
from capmodel.plots.labels import exact

SEASON = (dt.date(2026, 11, 2), dt.date(2026, 12, 17))
STEPS = [
    ("general", "today", 24, Decimal("16920.58")),
    ("general", "organic", 4, Decimal("2820.09")),
    ("general", "event", 20, Decimal("14100.48")),
    ("general", "headroom", 12, Decimal("8460.29")),
    ("general", "failure cover", 30, Decimal("21150.72")),
    ("general", "efficiency", -18, Decimal("-12690.43")),
    ("general", "plan", 72, Decimal("50761.73")),
]
"""Of 0.6528 x 1,080 h: 24 nodes 16,920.576 USD, 28 19,740.672, 48 33,841.152, 60 42,301.44."""


def covered(nodes: int) -> int:
    """Return the nodes of three zones of which one may be lost."""
    return int(zone_cover(nodes, zones=3, lost=1))


@pytest.fixture(scope="module")
def owned(tmp_path_factory: pytest.TempPathFactory) -> PlanSet:
    return Study.read(stories.owners_estate(tmp_path_factory.mktemp("owners"))).plan()


@pytest.fixture(scope="module")
def plans(owned: PlanSet, tmp_path_factory: pytest.TempPathFactory) -> PlanSet:
    """Return the estate's plan with the story's nodes, priced by the overlay's row."""
    study = Study.read(stories.owners_estate(tmp_path_factory.mktemp("priced")))
    node = study.read_catalog().node_type("m6i.4xlarge")
    hours = cost.season_hours(*SEASON, tz=study.business_tz)
    efficient = math.ceil(60 * 0.80)  # Graviton: 20 % fewer cores
    cumulative = {
        "today": 24, "organic": 28, "event": 48, "headroom": 60,
        "failure cover": covered(60), "efficiency": covered(efficient),
    }  # fmt: skip
    steps = cost.waterfall(cumulative, price_usd_per_hour=node.price_usd_per_hour, hours=hours)
    line = cost.node_line("general", node=node, count=covered(efficient), hours=hours)
    waterfall = [
        {"scenario": s, "pool": "general"} | dataclasses.asdict(step)
        for s in ("base", "mixture")
        for step in steps
    ]
    lines = [
        {"scenario": s}
        | dataclasses.asdict(line)
        | {"price_usd_per_hour": float(line.price_usd_per_hour), "as_of": line.as_of.isoformat()}
        for s in ("base", "mixture")
    ]
    made = {"waterfall": pd.DataFrame(waterfall), "cost": pd.DataFrame(lines)}
    return dataclasses.replace(owned, frames={**owned.frames, **made})


@pytest.fixture(scope="module")
def files(plans: PlanSet, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return formats.written(plans, tmp_path_factory.mktemp("formats"))


def test_the_steps_sum_to_72_nodes_and_the_money_to_the_cent(plans: PlanSet) -> None:
    frame = plans.to_frame("waterfall")
    steps = frame[frame["scenario"] == "mixture"].set_index("step")
    assert steps["nodes"].tolist() == [24, 4, 20, 12, 30, -18, 72]
    assert steps["nodes"].iloc[:-1].sum() == 72
    usd: list[Decimal] = steps["usd"].tolist()
    assert (sum(usd[:5]), usd[5]) == (Decimal("63452.16"), Decimal("-12690.43"))
    assert sum(usd[:6]) == usd[6] == Decimal("50761.73")
    (line,) = plans.to_frame("cost").query("scenario == 'mixture'").to_dict("records")
    assert (line["usd"], line["count"], line["source"]) == (
        Decimal("50761.73"), 72, "the story's own price",
    )  # fmt: skip
    assert cost.usd_per_thousand(line["usd"], 60_000_000) == Decimal("0.8460")


@pytest.mark.slow
@pytest.mark.parametrize("form", formats.READERS)
def test_every_format_tells_the_same_money(files: dict[str, Path], form: str) -> None:
    money = formats.READERS[form](files[form])
    assert money.waterfall == STEPS
    assert money.totals == dict.fromkeys(("base", "mixture"), Decimal("50761.73"))
    assert money.orders == {}  # the quota and what else is asked for costs nothing here


@pytest.mark.slow
def test_the_page_is_one_file_without_addresses_or_scripts(files: dict[str, Path]) -> None:
    text = files["html"].read_text(encoding="utf-8")
    page = Page(text)
    assert not re.search(r"https?:|//[a-z]|@import|url\((?!#)", text)
    assert "script" not in page.tags
    assert all(link.startswith("#") for link in page.links)
    assert len(text.encode()) < 5_000_000
    assert "50,761.73 USD" in page.text  # read without running anything


def test_every_total_of_the_workbook_stands_beside_its_sum(plans: PlanSet, tmp_path: Path) -> None:
    plans.to_xlsx(tmp_path / "plan.xlsx")
    book = openpyxl.load_workbook(tmp_path / "plan.xlsx")
    assert book.sheetnames[:5] == ["Summary", "Scenarios", "Services", "Orders", "Assumptions"]
    assert {sheet.freeze_panes for sheet in book} == {"A2"}
    scenarios = book["Scenarios"]
    assert [scenarios["C3"].value, scenarios["D3"].value, scenarios["E3"].value] == [
        50761.73, "=SUMIFS(Cost!H2:H3,Cost!A2:A3,A3)", "=ROUND(C3-D3,2)",
    ]  # fmt: skip
    assert scenarios["C3"].number_format == "#,##0.00"
    waterfall = book["Waterfall"]
    assert [waterfall[f"{c}15"].value for c in "DEFGH"] == [
        72, 50761.73, "=SUM(D9:D14)", "=SUM(E9:E14)", "=ROUND(E15-G15,2)",
    ]  # fmt: skip
    # The formulas by hand: what they point at sums to what stands beside them.
    assert sum(waterfall[f"D{line}"].value for line in range(9, 15)) == 72
    assert round(sum(waterfall[f"E{line}"].value for line in range(9, 15)), 2) == 50761.73
    assert [book["Cost"]["A1"].value, book["Cost"]["H1"].value] == ["scenario", "usd"]
    summary = {row[0]: row for row in book["Summary"].values}
    assert summary["season total, mixture"][1:4] == (50761.73, "USD", "=Scenarios!D3")
    assert re.fullmatch("[0-9a-f]{64}", str(summary["plan hash"][1]))


def test_the_workbook_is_the_same_bytes_again(plans: PlanSet, tmp_path: Path) -> None:
    plans.to_xlsx(tmp_path / "a.xlsx")
    plans.save(tmp_path / "plan.json")
    PlanSet.load(tmp_path / "plan.json").to_xlsx(tmp_path / "b.xlsx")
    assert (tmp_path / "a.xlsx").read_bytes() == (tmp_path / "b.xlsx").read_bytes()
    with zipfile.ZipFile(tmp_path / "a.xlsx") as archive:
        assert {entry.date_time for entry in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        core = archive.read("docProps/core.xml").decode()
    assert re.findall(r">(\d{4}[^<]*)<", core) == ["2026-09-21T00:00:00Z"] * 2


def test_text_of_the_workbook_is_never_a_formula(plans: PlanSet, tmp_path: Path) -> None:
    hostile = plans.to_frame("orders")
    hostile.loc[:, "action"] = '=HYPERLINK("x")\x07'
    plan = dataclasses.replace(plans, frames={**plans.frames, "orders": hostile})
    plan.to_xlsx(tmp_path / "plan.xlsx")
    cell = openpyxl.load_workbook(tmp_path / "plan.xlsx")["Orders"]["D2"]
    assert (cell.data_type, cell.value) == ("s", '=HYPERLINK("x")\N{REPLACEMENT CHARACTER}')


def test_without_openpyxl_the_install_line_is_named(
    plans: PlanSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "openpyxl", None)
    with pytest.raises(InputError) as error:
        plans.to_xlsx(tmp_path / "plan.xlsx")
    (problem,) = error.value.problems
    assert (problem.where, problem.got) == ("to_xlsx", "no module openpyxl")
    assert problem.do == 'Install it: python -m pip install "capmodel[xlsx]".'


# The owner's page


def test_underwritings_page_says_what_to_expect_and_what_breaks_first(owned: PlanSet) -> None:
    text = owned.to_service_page("underwriting")
    headline = text.splitlines()[2]
    assert headline == (
        "**underwriting**: **120 rps** in the busiest minute of Cyber Monday (today **40 rps**), "
        "P90 **120 rps**; needs **15 pods** (today **6**); first limit: credit-bureau quota at "
        "**80 rps** \N{EM DASH} RED, over policy from 2026-11-27, over the limit from 2026-11-30."
    )
    tables = formats.markdown_tables(text)
    first = tables["**Limits, what breaks first on top**"][0]
    assert (first["Node"], first["Hard limit"], first["Peak P50"]) == ("credit-bureau", "80", "84")
    assert (first["Used P50"], first["First over limit"]) == ("105.0 %", "2026-11-30")
    asked = tables["**Actions**"][0]
    assert asked["Action"] == "raise the quota of credit-bureau from 80 to 126 rps"
    # 42 days before the day at which it has to be in place, a week before Black Friday.
    assert (asked["Ask by, latest"], asked["In place by"]) == ("2026-10-09", "2026-11-20")
    (caller,) = tables["**Callers, largest first**"]
    assert list(caller.values()) == ["checkouts", "1.2", "120", "100.0 %", "assumed"]
    assert "No test is recorded." in text


def test_after_the_deploy_of_a4_the_page_asks_for_18_pods(tmp_path: Path) -> None:
    after = Study.read(stories.owners_estate(tmp_path, per_request=0.102)).plan()
    assert "needs **18 pods** (today **6**)" in after.to_service_page("underwriting")


@pytest.mark.parametrize("service", ["underwriting", "checkout-api"])
def test_every_number_on_the_page_stands_in_the_plan_under_its_key(
    owned: PlanSet, service: str
) -> None:
    assert_keys_hold(owned, service)


def assert_keys_hold(plans: PlanSet, service: str) -> None:
    """Assert that the page's numbers are cells of plan.json, and its other digits text there."""
    frames = json.loads(plans.to_json())["plan"]["frames"]
    held: dict[str, set[str]] = {}
    words: set[str] = set()
    for name, frame in frames.items():
        for column, values in zip(frame["columns"], zip(*frame["rows"], strict=True), strict=False):
            held[f"{name}.{column}"] = {exact(value) for value in values}
            words |= {" ".join(value.split()) for value in values if isinstance(value, str)}
    page = Page(plans.to_service_page(service, form="html"))
    assert len(page.keyed) >= 3
    for key, value in page.keyed:
        assert value in held[key], key
    for text, key, value in page.cells:
        if key:
            # JSON has no infinity: what never binds is null there.
            assert value in held[key] or (value == "inf" and "" in held[key]), key
        elif re.search(r"\d", text):
            assert text in words
    markdown = plans.to_service_page(service)
    named = re.findall(r"In plan\.json: (.*)\.$", markdown.replace("\\", ""), flags=re.MULTILINE)
    assert {key for line in named for key in line.split(", ")} <= set(held)


def test_a_page_of_an_unknown_service_names_the_nearest(owned: PlanSet) -> None:
    with pytest.raises(InputError) as error:
        owned.to_service_page("underwritting")
    (problem,) = error.value.problems
    assert (problem.where, problem.got) == ("service", "'underwritting'")
    assert problem.do == 'Did you mean "underwriting"?'
    assert "checkout-api" in problem.expected


def test_the_command_writes_workbook_and_page(
    owned: PlanSet, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    saved = tmp_path / "plan.json"
    owned.save(saved)

    def run(*args: str) -> int:
        with pytest.raises(SystemExit) as stop:
            main(["report", str(saved), *args])
        return int(stop.value.code or 0)

    for name in ("page.md", "page.html"):
        assert run("--service", "underwriting", "--out", str(tmp_path / name)) == 0
    assert (tmp_path / "page.md").read_text(encoding="utf-8") == owned.to_service_page(
        "underwriting"
    )
    assert "<!DOCTYPE html>" in (tmp_path / "page.html").read_text(encoding="utf-8")
    assert run("--out", str(tmp_path / "plan.xlsx")) == 0
    assert (tmp_path / "plan.xlsx").read_bytes()[:2] == b"PK"
    assert run("--service", "underwriting", "--out", str(tmp_path / "page.xlsx")) == 2
    assert ".html or .md" in capsys.readouterr().err


# The shop: steps that the plan derived


@pytest.mark.slow
def test_all_formats_of_the_shop_agree_to_the_cent(shop_plans: PlanSet, tmp_path: Path) -> None:
    files = formats.written(shop_plans, tmp_path)
    read = {form: reader(files[form]) for form, reader in formats.READERS.items()}
    assert read["json"].totals["mixture"] == Decimal("73418.40")
    assert read["json"].orders["nodes:general"] == Decimal("34836.48")
    assert len(read["json"].waterfall) == 14
    for form, money in read.items():
        assert money == read["json"], form
    for pool in ("general", "promo"):
        steps = [(n, usd) for p, _, n, usd in read["json"].waterfall if p == pool]
        assert sum(n for n, _ in steps[:-1]) == steps[-1][0]
        assert sum((usd for _, usd in steps[:-1]), Decimal(0)) == steps[-1][1]
    for service in shop_plans.to_frame("services")["service"].unique():
        assert_keys_hold(shop_plans, service)
