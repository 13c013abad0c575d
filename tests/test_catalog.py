from __future__ import annotations

import csv
import datetime as dt
import re
from decimal import Decimal
from pathlib import Path

import pytest

from capmodel.catalog import Catalog, DbClass, NodeType
from capmodel.errors import InputError

HEADER = (
    "region,kind,engine,name,arch,vcpu,memory_gib,enis,ips_per_eni,max_connections,"
    "price_usd_per_hour,as_of,source"
)
NODE = "us-east-1,node,,m6i.4xlarge,,,,,,,0.6528,2026-09-01,private offer 2026"


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return Catalog.builtin()


def overlay(folder: Path, *rows: str, header: str = HEADER) -> Path:
    path = folder / "prices.csv"
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return path


def problems_of(folder: Path, *rows: str, header: str = HEADER) -> list[str]:
    with pytest.raises(InputError) as error:
        Catalog.builtin().with_overlay(overlay(folder, *rows, header=header))
    return [str(problem) for problem in error.value.problems]


def test_built_in_tables_hold_every_row_dated_and_sourced(catalog: Catalog) -> None:
    nodes = [row for row in catalog.rows.values() if isinstance(row, NodeType)]
    classes = [row for row in catalog.rows.values() if isinstance(row, DbClass)]
    assert (len(nodes), len(classes)) == (77, 67)
    assert {row.engine for row in classes} == {"mysql", "aurora-mysql"}
    for row in catalog.rows.values():
        assert row.source
        assert dt.date(2022, 1, 1) <= row.as_of <= dt.date(2026, 11, 22)
        assert row.price_usd_per_hour > 0
    assert catalog.regions == ("us-east-1",)


def test_golden_rows(catalog: Catalog) -> None:
    # AWS price list, us-east-1; shapes from DescribeInstanceTypes.
    node = catalog.node_type("m7g.4xlarge")
    assert (node.vcpu, node.memory_gib, node.enis, node.ips_per_eni) == (16, 64.0, 8, 30)
    assert (node.arch, node.price_usd_per_hour) == ("arm64", Decimal("0.6528"))
    writer = catalog.db_class("aurora-mysql", "db.r6g.4xlarge")
    assert (writer.vcpu, writer.memory_gib, writer.max_connections) == (16, 128.0, 4000)
    assert writer.price_usd_per_hour == Decimal("2.076")
    # 8xlarge is listed at 2.74, not at four times the 2xlarge's 0.684.
    assert catalog.db_class("mysql", "db.m5.8xlarge").price_usd_per_hour == Decimal("2.74")


def test_defaults_that_no_table_states_stay_unknown(catalog: Catalog) -> None:
    assert catalog.db_class("aurora-mysql", "db.r7g.4xlarge").max_connections is None
    assert catalog.db_class("mysql", "db.r6g.large").max_connections is None


def test_golden_storage_and_network_figures_of_classes(catalog: Catalog) -> None:
    # EC2 DescribeInstanceTypes of the instance type of the same name.
    large = catalog.db_class("mysql", "db.r6g.large")
    assert (large.ebs_baseline_iops, large.ebs_max_iops) == (3600, 20_000)
    assert (large.ebs_baseline_mb_per_s, large.ebs_max_mb_per_s) == (78.75, 593.75)
    assert large.network_gbps == 0.75
    # The RDS guide's page swaps EBS and network of db.m6i: 10,000 Mbit/s of EBS are 1,250 MB/s.
    assert catalog.db_class("mysql", "db.m6i.2xlarge").ebs_max_mb_per_s == 1250.0
    writer = catalog.db_class("aurora-mysql", "db.r6g.8xlarge")
    assert (writer.ebs_baseline_iops, writer.network_gbps) == (None, 12.0)


def test_every_storage_figure_of_a_class_is_dated_and_sourced(repo: Path, catalog: Catalog) -> None:
    text = (repo / "capmodel" / "catalog" / "db_classes.csv").read_text(encoding="utf-8")
    for cells in csv.DictReader(text.splitlines()):
        row = catalog.db_class(cells["engine"], cells["name"])
        assert row.network_gbps is not None
        assert cells["io_source"]
        assert dt.date.fromisoformat(cells["io_as_of"]) <= dt.date(2026, 11, 22)
        figures = (
            row.ebs_baseline_iops,
            row.ebs_max_iops,
            row.ebs_baseline_mb_per_s,
            row.ebs_max_mb_per_s,
        )
        # Aurora's storage is reached over the network: no volume, no EBS figures.
        assert [f is None for f in figures] == [row.engine == "aurora-mysql"] * 4


def test_within_a_family_a_larger_class_never_carries_less(catalog: Catalog) -> None:
    classes = [row for row in catalog.rows.values() if isinstance(row, DbClass)]
    for first in {(row.engine, row.family): row for row in classes}.values():
        ladder = catalog.db_ladder(first.engine, first.name)
        for column in ("ebs_baseline_iops", "ebs_baseline_mb_per_s", "network_gbps"):
            values = [getattr(row, column) for row in ladder]
            if values[0] is not None:
                assert values == sorted(values), (first.family, column)


def test_an_overlay_row_without_storage_figures_still_loads(
    tmp_path: Path, catalog: Catalog
) -> None:
    row = "us-east-1,db,mysql,db.r6g.large,,2,16,,,,0.20,2026-09-01,quote 17"
    mine = catalog.with_overlay(overlay(tmp_path, row)).db_class("mysql", "db.r6g.large")
    assert mine.ebs_baseline_iops is None
    price = "us-east-1,db,mysql,db.r6g.large,,,,,,,0.20,2026-09-01,quote 17"
    mine = catalog.with_overlay(overlay(tmp_path, price)).db_class("mysql", "db.r6g.large")
    assert (mine.ebs_baseline_iops, mine.network_gbps) == (3600, 0.75)


def test_an_overlay_may_state_storage_figures_and_swapped_ones_are_refused(
    tmp_path: Path, catalog: Catalog
) -> None:
    header = (
        "region,kind,engine,name,vcpu,memory_gib,ebs_baseline_iops,ebs_max_iops,"
        "ebs_baseline_mb_per_s,ebs_max_mb_per_s,network_gbps,price_usd_per_hour,as_of,source"
    )
    good = "us-east-1,db,mysql,db.r7g.4xlarge,16,128,20000,40000,625,1250,7.5,1.9,2026-09-01,q"
    mine = catalog.with_overlay(overlay(tmp_path, good, header=header))
    assert mine.db_class("mysql", "db.r7g.4xlarge").ebs_baseline_mb_per_s == 625.0
    swapped = good.replace("625,1250", "1250,625")
    (problem,) = problems_of(tmp_path, swapped, header=header)
    assert "ebs_baseline_mb_per_s 1250 above ebs_max_mb_per_s 625" in problem
    part = good.replace("16,128", ",")
    assert "a shape without vcpu" in problems_of(tmp_path, part, header=header)[0]


def test_a_larger_node_costs_more_within_each_family(catalog: Catalog) -> None:
    families: dict[str, list[NodeType]] = {}
    for row in catalog.rows.values():
        if isinstance(row, NodeType):
            families.setdefault(row.name.partition(".")[0], []).append(row)
    assert len(families) == 11
    for rows in families.values():
        rows.sort(key=lambda row: row.vcpu)
        assert [row.vcpu for row in rows] == [2, 4, 8, 16, 32, 48, 64]
        prices = [row.price_usd_per_hour for row in rows]
        assert prices == sorted(prices)


def test_the_ladder_is_the_family_ascending(catalog: Catalog) -> None:
    ladder = catalog.db_ladder("aurora-mysql", "db.r6g.4xlarge")
    assert [c.name.rpartition(".")[2] for c in ladder] == [
        "large",
        "xlarge",
        "2xlarge",
        "4xlarge",
        "8xlarge",
        "12xlarge",
        "16xlarge",
    ]
    assert {c.family for c in ladder} == {"db.r6g"}
    assert [c.max_connections for c in ladder] == [1000, 2000, 3000, 4000, 5000, 6000, 6000]


def test_an_unknown_name_offers_the_nearest_and_scales_nothing(catalog: Catalog) -> None:
    with pytest.raises(InputError, match=r'pools\.general.*Did you mean "m6i\.4xlarge"') as error:
        catalog.node_type("m6i4xlarge", where="pools.general.types")
    assert "sizes are never scaled" in str(error.value)
    with pytest.raises(InputError, match=r'aurora-mysql class "db\.r6g\.32xlarge"'):
        catalog.db_class("aurora-mysql", "db.r6g.32xlarge")
    with pytest.raises(InputError, match=r"db\.r6i\.large"):
        catalog.db_class("aurora-mysql", "db.r6i.large")


def test_another_region_is_unknown_until_an_overlay_fills_it(tmp_path: Path) -> None:
    ireland = Catalog.builtin("eu-west-1")
    with pytest.raises(InputError, match="eu-west-1, of which no row is known") as error:
        ireland.node_type("m6i.4xlarge")
    assert "us-east-1 node" in str(error.value)
    row = "eu-west-1,node,,m6i.4xlarge,x86_64,16,64,8,30,,0.856,2026-09-01,offer file"
    filled = ireland.with_overlay(overlay(tmp_path, row))
    assert filled.node_type("m6i.4xlarge").price_usd_per_hour == Decimal("0.856")
    assert filled.regions == ("eu-west-1", "us-east-1")


def test_a_price_only_row_keeps_the_shape(tmp_path: Path, catalog: Catalog) -> None:
    mine = catalog.with_overlay(overlay(tmp_path, NODE)).node_type("m6i.4xlarge")
    theirs = catalog.node_type("m6i.4xlarge")
    assert mine.price_usd_per_hour == Decimal("0.6528")
    assert (mine.as_of, mine.source) == (dt.date(2026, 9, 1), "private offer 2026")
    assert (mine.vcpu, mine.memory_gib, mine.enis) == (theirs.vcpu, theirs.memory_gib, theirs.enis)
    assert theirs.price_usd_per_hour == Decimal("0.768")  # the first catalog is unchanged


def test_a_complete_row_adds_a_class(tmp_path: Path, catalog: Catalog) -> None:
    row = "us-east-1,db,mysql,db.r7g.4xlarge,,16,128,,,12000,1.912,2026-09-01,quote 17"
    mine = catalog.with_overlay(overlay(tmp_path, row))
    assert mine.db_ladder("mysql", "db.r7g.large")[-1].max_connections == 12000


def test_a_spreadsheet_byte_order_mark_is_read_over(tmp_path: Path, catalog: Catalog) -> None:
    path = overlay(tmp_path, NODE)
    path.write_text(path.read_text(encoding="utf-8"), encoding="utf-8-sig")
    assert catalog.with_overlay(path).node_type("m6i.4xlarge").source == "private offer 2026"


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (
            "us-east-1,node,,m6i.4xlarge,,,,,,,0.65,,offer",
            r"prices\.csv:2: got a row without as_of",
        ),
        ("us-east-1,node,,m6i.4xlarge,,,,,,,0.65,2026-09-01,", "a row without source"),
        ("us-east-1,node,,m6i.4xlarge,,,,,,,,2026-09-01,offer", "without price_usd_per_hour"),
        ("us-east-1,db,,db.r6g.large,,,,,,,0.2,2026-09-01,offer", "a row without engine"),
        ("us-east-1,node,,m6i.4xlarge,,,,,,,0.65,1 Sept 2026,offer", 'as_of "1 Sept 2026"'),
        ("us-east-1,node,,m6i.4xlarge,,,,,,,cheap,2026-09-01,offer", 'price_usd_per_hour "cheap"'),
        ("us-east-1,node,,m6i.4xlarge,,,,,,,nan,2026-09-01,offer", 'price_usd_per_hour "nan"'),
        ("us-east-1,node,,m6i.4xlarge,,,,,,,-1,2026-09-01,offer", 'price_usd_per_hour "-1"'),
        ("us-east-1,pod,,m6i.4xlarge,,,,,,,0.65,2026-09-01,offer", 'kind "pod"'),
        ("us-east-1,node,,m6i.5xlarge,,,,,,,0.65,2026-09-01,offer", "Did you mean"),
        (
            "us-east-1,node,,x.large,x86_64,2,8,,,,0.65,2026-09-01,offer",
            "a shape without enis, ips_per_eni",
        ),
        ("us-east-1,node,,x.large,arm,2,8,3,10,,0.65,2026-09-01,offer", 'arch "arm"'),
        ("us-east-1,node,,x.large,arm64,2.5,8,3,10,,0.65,2026-09-01,offer", "a whole number"),
        ("us-east-1,node,,x.large,arm64,0,8,3,10,,0.65,2026-09-01,offer", "vcpu 0"),
        ("us-east-1,node,,m6i.4xlarge,,,,,,,0.65,2026-09-01,offer, of June", "14 cells"),
        ("us-east-1,node,,m6i.4xlarge", "4 cells"),
    ],
)
def test_each_faulty_row_names_file_and_line(tmp_path: Path, row: str, message: str) -> None:
    (problem,) = problems_of(tmp_path, row)
    assert problem.startswith("prices.csv:2: got ")
    assert re.search(message, problem)


def test_all_faults_are_collected(tmp_path: Path) -> None:
    found = problems_of(
        tmp_path,
        NODE,
        "us-east-1,node,,m6i.4xlarge,,,,,,,0.70,2026-09-02,another",
        "us-east-1,node,,m6i.8xlarge,,,,,,,0.70,,another",
    )
    assert [text.partition(":")[2].partition(":")[0] for text in found] == ["3", "4"]
    assert "first on line 2" in found[0]


def test_an_unknown_or_missing_column_is_named(tmp_path: Path) -> None:
    found = problems_of(tmp_path, header=HEADER.replace("price_usd_per_hour", "price_usd_per_hr"))
    assert 'Did you mean "price_usd_per_hour"?' in found[0]
    assert "no column price_usd_per_hour" in found[1]
    assert "column source more than once" in problems_of(tmp_path, header=HEADER + ",source")[0]
    assert "an empty file" in problems_of(tmp_path, header="")[0]


def test_an_unreadable_overlay_is_an_input_error(tmp_path: Path, catalog: Catalog) -> None:
    with pytest.raises(InputError, match="an unreadable file"):
        catalog.with_overlay(tmp_path / "missing.csv")


def test_old_and_future_prices_are_findings(catalog: Catalog) -> None:
    node = catalog.node_type("m6i.4xlarge")  # 2026-07-20
    assert node.as_of == dt.date(2026, 7, 20)
    fresh = catalog.findings(dt.date(2027, 1, 16), [node])  # 180 days
    stale = catalog.findings(dt.date(2027, 1, 17), [node, node])  # 181 days, reported once
    early = catalog.findings(dt.date(2026, 7, 19), [node])
    assert (fresh.codes, stale.codes, early.codes) == ((), ("stale_price",), ("price_after_as_of",))
    assert len(stale) == 1
    (finding,) = stale
    assert (finding.severity, finding.data["age_days"]) == ("warning", 181)
    assert "m6i.4xlarge" in finding.message
    assert not stale.errors()
