"""``capmodel prices``: what is printed, what is written, and with which exit code it ends."""

from __future__ import annotations

import json
from pathlib import Path

import aws_files as aws
import pytest
from command import Run, runner

from capmodel.catalog import Catalog


@pytest.fixture
def prices(capsys: pytest.CaptureFixture[str]) -> Run:
    return runner(capsys, "prices")


def all_prices(folder: Path, *changed: aws.Line) -> Path:
    """Write an offer of every node of the table at the table's price, but for what is changed."""
    table = {row.name: row for row in Catalog.builtin().rows.values() if row.key[1] == "node"}
    lines = {name: aws.node(name, str(row.price_usd_per_hour)) for name, row in table.items()}
    return aws.offer_csv(
        folder, *(lines | {line["Instance Type"]: line for line in changed}).values()
    )


def test_an_offer_that_agrees_exits_0(tmp_path: Path, prices: Run) -> None:
    done = prices("check", all_prices(tmp_path))
    assert (done.code, done.out) == (0, "(no rows)\n")
    assert "77 same; 0 stale at 2026-10-06" in done.err


def test_a_changed_price_exits_1_with_old_new_and_percent(tmp_path: Path, prices: Run) -> None:
    path = all_prices(tmp_path, aws.node(price="0.80640"), aws.node("m9g.large", "0.09"))
    done = prices("check", path)
    assert done.code == 1
    changed, new = (line.split() for line in done.out.splitlines()[1:])
    assert changed == [
        "changed", "no", "node", "-", "m6i.4xlarge", "0.768", "0.8064", "+5.00%", "2026-07-20",
        "2026-10-06",
    ]  # fmt: skip
    assert (new[0], new[4], new[6]) == ("new", "m9g.large", "0.09")
    assert "1 changed, 1 new, 76 same; 0 stale" in done.err


def test_only_stale_rows_exit_3_and_a_confirmed_price_is_young_again(
    tmp_path: Path, prices: Run
) -> None:
    # Nodes of the table are of 2026-07-20: 180 days old on 2027-01-16.
    one = aws.offer_csv(tmp_path, aws.node())
    assert prices("check", one, "--as-of", "2027-01-16").code == 0
    done = prices("check", one, "--as-of", "2027-01-17", "--format", "json")
    assert done.code == 3
    rows = {row["name"]: row for row in json.loads(done.out)}
    assert (rows["m6i.4xlarge"]["status"], rows["m6i.4xlarge"]["stale"]) == ("same", False)
    assert rows["m6i.4xlarge"]["age_days"] == 103  # from 2026-10-06
    assert (rows["m6i.large"]["status"], rows["m6i.large"]["stale"]) == ("missing", True)
    assert rows["m6i.large"]["age_days"] == 181
    # A difference is worse than an age.
    assert prices("check", aws.offer_csv(tmp_path, aws.node(price="0.9")), "--as-of",
                  "2027-01-17").code == 1  # fmt: skip


def test_an_offer_says_nothing_about_what_it_does_not_hold(tmp_path: Path, prices: Run) -> None:
    done = prices("check", aws.offer_csv(tmp_path, aws.database()), "--format", "json")
    rows = json.loads(done.out)
    assert {(row["kind"], row["engine"]) for row in rows} == {("db", "mysql")}
    assert {row["status"] for row in rows} == {"same", "missing"}


def test_without_a_file_only_the_age_counts_and_the_day_is_asked_for(prices: Run) -> None:
    done = prices("check", "--as-of", "2026-11-23", "--format", "csv")
    assert done.code == 3  # classes whose price was read in 2022
    rows = [line.split(",") for line in done.out.splitlines()[1:]]
    assert {row[0] for row in rows} == {"unchecked"}
    stale = [row for row in rows if row[1] == "true"]
    assert {row[3] for row in stale} == {"db"}
    assert prices("check").code == 2
    assert "--as-of YYYY-MM-DD" in prices("check").err
    assert prices("check", "--as-of", "soon").code == 2


def test_the_catalog_of_a_study_is_what_is_checked(tmp_path: Path, prices: Run) -> None:
    header = "region,kind,engine,name,price_usd_per_hour,as_of,source\n"
    row = "us-east-1,node,,m6i.4xlarge,0.6528,2026-09-01,private offer\n"
    (tmp_path / "prices.csv").write_text(header + row, encoding="utf-8")
    study = tmp_path / "study.yaml"
    study.write_text(
        "business_tz: America/New_York\nas_of: 2026-10-10\n"
        "horizon: {start: 2026-11-01, end: 2026-12-17}\ntopology: topology.yaml\n"
        "scenarios: {base: {}}\ncatalog: {overlay: prices.csv}\n",
        encoding="utf-8",
    )
    done = prices("check", all_prices(tmp_path), "--study", study)
    assert done.code == 1
    assert "0.6528  " in done.out
    assert "stale at 2026-10-10" in done.err


def test_another_region_is_bad_input(tmp_path: Path, prices: Run) -> None:
    done = prices("check", all_prices(tmp_path), "--region", "eu-west-1")
    assert done.code == 2
    assert "no on-demand price of eu-west-1, but of us-east-1" in done.err


def test_an_import_is_an_overlay_that_the_check_then_agrees_with(
    tmp_path: Path, prices: Run
) -> None:
    offer = aws.offer_csv(
        tmp_path, aws.node(price="0.8"), aws.node("m8g.4xlarge", "0.7"), aws.database()
    )
    out = tmp_path / "prices.csv"
    done = prices("import", offer, "--out", out)
    assert (done.code, done.out) == (0, "")
    assert "wrote 2 rows" in done.err
    assert "left out, for their shape is not known: m8g.4xlarge; name --instance-types" in done.err
    types = aws.instance_types(tmp_path, aws.instance_type("m8g.4xlarge"), aws.instance_type())
    done = prices("import", offer, "--out", out, "--instance-types", types)
    assert "wrote 3 rows" in done.err
    assert "left out" not in done.err
    mine = Catalog.builtin().with_overlay(out)
    assert str(mine.node_type("m8g.4xlarge").price_usd_per_hour) == "0.7"
    assert mine.node_type("m6i.4xlarge").source.endswith("version 20261006224050")


def test_a_bill_is_imported_on_request(tmp_path: Path, prices: Run) -> None:
    bill = aws.bill(tmp_path, aws.charge("Usage", 10, 5.0), suffix="parquet")
    assert prices("import", bill, "--out", tmp_path / "prices.csv").code == 2
    assert prices("import", bill, "--billing", "--out", tmp_path / "prices.csv").code == 0
    mine = Catalog.builtin().with_overlay(tmp_path / "prices.csv")
    assert str(mine.node_type("m6i.4xlarge").price_usd_per_hour) == "0.5"
