"""Files of the cloud as catalog rows: price lists, instance types, bills, and what is wrong."""

from __future__ import annotations

import datetime as dt
import tracemalloc
from collections.abc import Callable
from decimal import Decimal
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import aws_files as aws
import pytest
import stories
from hypothesis import given, settings
from hypothesis import strategies as st

from capmodel.catalog import Catalog, DbClass, NodeType
from capmodel.errors import InputError
from capmodel.plan import Study

Writer = Callable[..., Path]
WRITERS = {
    "csv": aws.offer_csv,
    "gzip": lambda folder, *lines: aws.offer_csv(folder, *lines, name="index.csv.gz"),
    "json": aws.offer_json,
    "products": aws.products,
    "objects": lambda folder, *lines: aws.products(folder, *lines, as_text=False),
}
DAY = dt.date(2026, 10, 6)


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return Catalog.builtin()


def problems_of(call: Callable[[], object]) -> list[str]:
    with pytest.raises(InputError) as error:
        call()
    for problem in error.value.problems:
        assert all((problem.where, problem.got, problem.expected, problem.do))
    return [str(problem) for problem in error.value.problems]


@pytest.mark.parametrize("form", WRITERS)
def test_every_form_of_a_price_list_gives_the_same_rows(
    tmp_path: Path, catalog: Catalog, form: str
) -> None:
    lines = [*aws.other_goods(), aws.node(price="0.8000000000"), aws.database(price="0.2250000000")]
    mine = catalog.with_offer(WRITERS[form](tmp_path, *lines))
    node = mine.node_type("m6i.4xlarge")
    assert (str(node.price_usd_per_hour), node.as_of) == ("0.8", DAY)
    assert node.source == "AWS price list AmazonEC2 version 20261006224050"
    assert (node.vcpu, node.enis, node.ips_per_eni) == (16, 8, 30)  # the table's shape stays
    assert str(mine.db_class("mysql", "db.r6g.large").price_usd_per_hour) == "0.225"
    changed = {key for key, row in mine.rows.items() if row != catalog.rows.get(key)}
    assert {key[3] for key in changed} == {"m6i.4xlarge", "db.r6g.large"}
    assert not mine.unshaped


@pytest.mark.parametrize("good", range(len(aws.other_goods())))
def test_what_is_no_plain_instance_hour_makes_no_row(
    tmp_path: Path, catalog: Catalog, good: int
) -> None:
    found = problems_of(
        lambda: catalog.with_offer(aws.offer_csv(tmp_path, aws.other_goods()[good]))
    )
    assert len(found) == 1
    assert "no line of a Linux node" in found[0]


def test_aurora_is_told_from_mysql_and_a_new_class_brings_its_shape(
    tmp_path: Path, catalog: Catalog
) -> None:
    lines = [
        aws.database("db.r8g.large", "0.276", **{"Database Engine": "Aurora MySQL"}),
        aws.database("db.r8g.large", "0.239", Memory="1,952 GiB", vCPU="64"),
    ]
    mine = catalog.with_offer(aws.offer_csv(tmp_path, *lines, service="AmazonRDS"))
    aurora = mine.db_class("aurora-mysql", "db.r8g.large")
    assert (str(aurora.price_usd_per_hour), aurora.vcpu, aurora.memory_gib) == ("0.276", 2, 16.0)
    mysql = mine.db_class("mysql", "db.r8g.large")
    assert (str(mysql.price_usd_per_hour), mysql.vcpu, mysql.memory_gib) == ("0.239", 64, 1952.0)
    assert mysql.source == "AWS price list AmazonRDS version 20261006224050"


def test_a_node_is_a_row_once_price_and_shape_are_known_in_either_order(
    tmp_path: Path, catalog: Catalog
) -> None:
    offer = aws.offer_csv(tmp_path, aws.node("m8g.4xlarge", "0.71808"))
    arm = {"ProcessorInfo": {"SupportedArchitectures": ["arm64"]}}
    types = aws.instance_types(tmp_path, aws.instance_type("m8g.4xlarge", **arm))
    priced = catalog.with_offer(offer)
    assert [key[3] for key in priced.unshaped] == ["m8g.4xlarge"]
    (said,) = problems_of(lambda: priced.node_type("m8g.4xlarge", where="pools.general.types"))
    assert "of which a price is known but no shape" in said
    assert "describe-instance-types" in said
    first, second = priced.with_instance_types(types), catalog.with_instance_types(types)
    assert first.rows == second.with_offer(offer).rows
    assert not first.unshaped
    assert first.node_type("m8g.4xlarge") == NodeType(
        region="us-east-1", name="m8g.4xlarge", arch="arm64", vcpu=16, memory_gib=64.0, enis=8,
        ips_per_eni=30, price_usd_per_hour=Decimal("0.71808"), as_of=DAY,
        source="AWS price list AmazonEC2 version 20261006224050", network_gbps=6.25,
    )  # fmt: skip


def test_shapes_of_files_agree_with_the_built_in_table_and_replace_it(
    tmp_path: Path, catalog: Catalog
) -> None:
    same = catalog.with_instance_types(aws.instance_types(tmp_path, aws.instance_type()))
    row, old = same.node_type("m6i.4xlarge"), catalog.node_type("m6i.4xlarge")
    assert (row.vcpu, row.memory_gib, row.enis, row.ips_per_eni, row.arch) == (
        old.vcpu, old.memory_gib, old.enis, old.ips_per_eni, old.arch,
    )  # fmt: skip
    assert (row.price_usd_per_hour, row.network_gbps) == (old.price_usd_per_hour, 6.25)
    smaller = aws.instance_type(MemoryInfo={"SizeInMiB": 63488})
    mine = catalog.with_instance_types(aws.instance_types(tmp_path, smaller))
    assert mine.node_type("m6i.4xlarge").memory_gib == 62.0


def test_pods_get_addresses_of_the_default_card_and_bandwidth_adds_up(
    tmp_path: Path, catalog: Catalog
) -> None:
    # p5.48xlarge has 32 cards; two stand for them here.
    cards = [
        {"NetworkCardIndex": 0, "MaximumNetworkInterfaces": 2, "BaselineBandwidthInGbps": 100.0},
        {"NetworkCardIndex": 1, "MaximumNetworkInterfaces": 2, "BaselineBandwidthInGbps": 100.0},
    ]
    network = {
        "MaximumNetworkInterfaces": 4, "DefaultNetworkCardIndex": 0, "NetworkCards": cards,
        "Ipv4AddressesPerInterface": 50,
    }  # fmt: skip
    item = aws.instance_type("m6i.large", NetworkInfo=network)
    row = catalog.with_instance_types(aws.instance_types(tmp_path, item)).node_type("m6i.large")
    assert (row.enis, row.ips_per_eni, row.network_gbps) == (2, 50, 200.0)


def test_a_type_without_figures_is_named_and_macos_is_passed_over(
    tmp_path: Path, catalog: Catalog
) -> None:
    mac = aws.instance_type("mac2.metal", ProcessorInfo={"SupportedArchitectures": ["arm64_mac"]})
    assert "mac2.metal" not in catalog.with_instance_types(aws.instance_types(tmp_path, mac)).shapes
    broken = [aws.instance_type(), aws.instance_type("m6i.large", MemoryInfo={})]
    (said,) = problems_of(
        lambda: catalog.with_instance_types(aws.instance_types(tmp_path, *broken))
    )
    assert "types.json InstanceTypes[1]: got m6i.large without a usable 'SizeInMiB'" in said


# What was paid


def test_effective_rates_weigh_hours_and_take_commitments_at_their_cost(
    tmp_path: Path, catalog: Catalog
) -> None:
    # 100 h at 0.768 on demand, 250 h under a plan at 0.50, 50 h reserved at 0.45:
    # (76.8 + 125 + 22.5) / 400 = 224.3 / 400 = 0.56075 USD/h.
    lines = [
        aws.charge("Usage", 100, 76.8),
        aws.charge("SavingsPlanCoveredUsage", 250, 192.0,
                   savings_plan_savings_plan_effective_cost=125.0,
                   line_item_usage_start_date="2026-09-17 03:00:00"),
        aws.charge("SavingsPlanNegation", 250, -192.0),
        aws.charge("DiscountedUsage", 50, 0.0, reservation_effective_cost=22.5),
        aws.charge("SavingsPlanRecurringFee", 720, 360.0, line_item_usage_type="ComputeSP:1yrNoUp"),
        aws.charge("RIFee", 744, 320.0, line_item_usage_type="HeavyUsage:m6i.4xlarge"),
        aws.charge("Tax", 1, 40.0),
        aws.charge("Credit", 0, -30.0),
        aws.charge("Usage", 40, 9.0, line_item_usage_type="SpotUsage:m6i.4xlarge"),
        aws.charge("Usage", 10, 15.0, line_item_operation="RunInstances:0002"),
        aws.charge("Usage", 10, 99.0, product_region_code="eu-west-1",
                   line_item_usage_type="EUW1-BoxUsage:m6i.4xlarge"),
    ]  # fmt: skip
    for suffix in ("csv", "csv.gz", "parquet"):
        mine = catalog.with_billing(aws.bill(tmp_path, *lines, suffix=suffix))
        row = mine.node_type("m6i.4xlarge")
        assert str(row.price_usd_per_hour) == "0.56075", suffix
        assert row.as_of == dt.date(2026, 9, 17)
        assert row.source == (
            "CUR 2.0 effective rate, 400 instance hours, 2026-09-01 to 2026-09-17"
        )
    # Europe's hours: 99 USD for 10 hours, of a type whose shape the table holds for us-east-1 only.
    europe = Catalog.builtin("eu-west-1").with_billing(tmp_path / "bill.csv")
    (price,) = europe.unshaped.values()
    assert str(price.price_usd_per_hour) == "9.9"


def test_private_discounts_count_once(tmp_path: Path, catalog: Catalog) -> None:
    gross = [
        aws.charge("Usage", 100, 76.8),
        aws.charge("PrivateRateDiscount", 100, -6.8),
        aws.charge("EdpDiscount", 100, -7.0),
    ]
    mine = catalog.with_billing(aws.bill(tmp_path, *gross))
    assert str(mine.node_type("m6i.4xlarge").price_usd_per_hour) == "0.63"
    net = [
        aws.charge("Usage", 100, 76.8, line_item_net_unblended_cost=63.0),
        aws.charge("PrivateRateDiscount", 100, -6.8, line_item_net_unblended_cost=0.0),
        aws.charge("EdpDiscount", 100, -7.0, line_item_net_unblended_cost=None),
    ]
    mine = catalog.with_billing(aws.bill(tmp_path, *net))
    assert str(mine.node_type("m6i.4xlarge").price_usd_per_hour) == "0.63"


def test_a_bill_in_several_files_is_one_average(tmp_path: Path, catalog: Catalog) -> None:
    first = aws.bill(tmp_path, aws.charge("Usage", 300, 210.0), name="one", suffix="parquet")
    second = aws.bill(tmp_path, aws.charge("Usage", 100, 90.0), name="two")
    both = catalog.with_billing(first, second).node_type("m6i.4xlarge")
    assert str(both.price_usd_per_hour) == "0.75"  # not 0.8, the mean of 0.7 and 0.9


@settings(max_examples=10)
@given(
    st.lists(
        st.tuples(st.integers(1, 1000), st.decimals("0.01", "9", places=4)), min_size=1, max_size=6
    ),
    st.randoms(use_true_random=False),
)
def test_a_rate_lies_between_its_lines_and_their_order_is_nothing(
    tmp_path_factory: pytest.TempPathFactory, lines: list[tuple[int, Decimal]], luck: Random
) -> None:
    folder = tmp_path_factory.mktemp("bill")
    charges = [aws.charge("Usage", hours, float(hours * rate)) for hours, rate in lines]
    rates = []
    for name in ("first", "second"):
        path = aws.bill(folder, *charges, name=name)
        row = Catalog.builtin().with_billing(path).node_type("m6i.4xlarge")
        rates.append(row.price_usd_per_hour)
        luck.shuffle(charges)
    assert rates[0] == rates[1]
    last = Decimal("0.000001")  # rates carry six decimals
    assert min(r for _, r in lines) - last <= rates[0] <= max(r for _, r in lines) + last


def test_databases_of_a_bill_are_told_by_their_operation(tmp_path: Path, catalog: Catalog) -> None:
    usage = {"line_item_usage_type": "InstanceUsage:db.r6g.large"}
    lines = [
        aws.charge("Usage", 10, 2.0, line_item_operation="CreateDBInstance:0002", **usage),
        aws.charge("Usage", 10, 2.6, line_item_operation="CreateDBInstance:0016", **usage),
        aws.charge("Usage", 10, 9.0, line_item_operation="CreateDBInstance:0014", **usage),
    ]
    mine = catalog.with_billing(aws.bill(tmp_path, *lines))
    rates = [
        str(mine.db_class(e, "db.r6g.large").price_usd_per_hour) for e in ("mysql", "aurora-mysql")
    ]
    assert rates == ["0.2", "0.26"]


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_focus_lines_give_the_same_rates(tmp_path: Path, catalog: Catalog, suffix: str) -> None:
    lines = [
        aws.focus(100, 76.8),
        aws.focus(250, 125.0, CommitmentDiscountStatus="Used"),
        aws.focus(720, 360.0, CommitmentDiscountStatus="Unused"),
        aws.focus(1, 900.0, ChargeCategory="Purchase"),
        aws.focus(50, 22.5, x_UsageType=None, SkuMeter="BoxUsage:m6i.4xlarge"),
    ]
    row = catalog.with_billing(aws.bill(tmp_path, *lines, suffix=suffix)).node_type("m6i.4xlarge")
    assert str(row.price_usd_per_hour) == "0.56075"
    assert row.source == "FOCUS effective rate, 400 instance hours, 2026-09-30 to 2026-09-30"


# What is wrong with a file


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ([aws.node(price="0.0000000000")], 'PricePerUnit "0.0000000000"; expected a price above 0'),
        ([aws.node(price="free")], 'PricePerUnit "free"; expected a price above 0'),
        ([aws.node(Currency="CNY")], "got a price in CNY; expected USD"),
        ([aws.node(), aws.node(price="0.9")],
         "got 0.9 USD/h for us-east-1 node m6i.4xlarge, of which index.csv:7 says 0.768"),
    ],
)  # fmt: skip
def test_each_faulty_line_of_an_offer_is_named(
    tmp_path: Path, catalog: Catalog, lines: list[aws.Line], said: str
) -> None:
    found = problems_of(lambda: catalog.with_offer(aws.offer_csv(tmp_path, *lines)))
    assert len(found) == 1
    assert said in found[0]
    assert f"index.csv:{6 + len(lines)}" in found[0]


def test_the_same_price_twice_is_one_price(tmp_path: Path, catalog: Catalog) -> None:
    path = aws.offer_csv(tmp_path, aws.node(price="0.7680000000"), aws.node(price="0.768"))
    assert str(catalog.with_offer(path).node_type("m6i.4xlarge").price_usd_per_hour) == "0.768"


def test_all_faults_are_collected_and_a_hopeless_file_is_put_down(
    tmp_path: Path, catalog: Catalog
) -> None:
    sizes = ("large", "xlarge", "2xlarge")
    path = aws.offer_csv(tmp_path, *(aws.node(f"m6i.{size}", "0") for size in sizes))
    assert len(problems_of(lambda: catalog.with_offer(path))) == 3
    path = aws.offer_csv(tmp_path, *(aws.node(f"m6i.x{i}", "0") for i in range(50)))
    assert len(problems_of(lambda: catalog.with_offer(path))) == 20


@pytest.mark.parametrize("absent", ["Publication Date", "Version", "OfferCode"])
def test_an_offer_without_source_or_date_is_refused(
    tmp_path: Path, catalog: Catalog, absent: str
) -> None:
    path = aws.offer_csv(tmp_path, aws.node(), metadata={absent: ""})
    (said,) = problems_of(lambda: catalog.with_offer(path))
    assert "an offer without" in said
    assert "a price without date and source is no evidence" in said


def test_an_entry_without_version_or_with_a_damaged_date_is_refused(
    tmp_path: Path, catalog: Catalog
) -> None:
    path = aws.products(tmp_path, aws.node(), version=None)
    (said,) = problems_of(lambda: catalog.with_offer(path))
    assert "products.json PriceList[0]: got an offer without version" in said
    path = aws.offer_json(tmp_path, aws.node(), publicationDate="yesterday")
    (said,) = problems_of(lambda: catalog.with_offer(path))
    assert 'the publication date "yesterday"' in said


def test_another_region_is_refused_by_name(tmp_path: Path, catalog: Catalog) -> None:
    ireland = {"Region_Code": "eu-west-1", "usageType": "EUW1-BoxUsage:m6i.4xlarge"}
    path = aws.offer_csv(tmp_path, aws.node(**ireland))
    (said,) = problems_of(lambda: catalog.with_offer(path))
    assert "got no on-demand price of us-east-1, but of eu-west-1" in said
    assert "prices are never carried over" in said
    there = Catalog.builtin("eu-west-1").with_offer(path)
    assert [key[0] for key in there.unshaped] == ["eu-west-1"]
    path = aws.bill(tmp_path, aws.charge("Usage", 1, 1.0, product_region_code="eu-west-1"))
    (said,) = problems_of(lambda: catalog.with_billing(path))
    assert "got no instance hour of us-east-1, but of eu-west-1" in said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "a file of no known kind"),
        ("a,b\n1,2\n", "a file of no known kind"),
        ('{"Reservations": []}', "a file of no known kind"),
        ("[1, 2]", "a file of no known kind"),
        ('{"PriceList": [', "an unreadable file"),
        ("\x00\udcff", "an unreadable file"),
    ],
)
def test_a_file_of_another_kind_is_refused(
    tmp_path: Path, catalog: Catalog, text: str, said: str
) -> None:
    path = tmp_path / "file.json"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    for read in (catalog.with_offer, catalog.with_billing, catalog.with_instance_types):
        (found,) = problems_of(partial(read, path))
        assert said in found
    (found,) = problems_of(lambda: catalog.with_offer(tmp_path / "absent.csv"))
    assert "an unreadable file" in found


def test_a_file_read_by_the_wrong_method_names_the_right_one(
    tmp_path: Path, catalog: Catalog
) -> None:
    types = aws.instance_types(tmp_path, aws.instance_type())
    (said,) = problems_of(lambda: catalog.with_offer(types))
    assert "got the output of aws ec2 describe-instance-types" in said
    assert "with_instance_types" in said
    (said,) = problems_of(lambda: catalog.with_billing(aws.offer_csv(tmp_path, aws.node())))
    assert "got a bulk offer CSV" in said
    assert "with_offer" in said


def test_a_cut_off_offer_and_missing_columns_are_named(tmp_path: Path, catalog: Catalog) -> None:
    path = aws.offer_csv(tmp_path, aws.node())
    text = path.read_text(encoding="utf-8")
    path.write_text(text[:-100], encoding="utf-8")
    (said,) = problems_of(lambda: catalog.with_offer(path))
    assert "the file is cut off or damaged" in said
    path.write_text(text.replace('"PricePerUnit"', '"Price"'), encoding="utf-8")
    (said,) = problems_of(lambda: catalog.with_offer(path))
    assert "no column PricePerUnit" in said
    line = aws.charge("Usage", 1, 1.0)
    del line["product_region_code"]
    (said,) = problems_of(lambda: catalog.with_billing(aws.bill(tmp_path, line)))
    assert "no column product_region_code" in said


@pytest.mark.parametrize("cut", [-9, -400])
def test_a_damaged_file_is_bad_input_not_a_fault_of_ours(
    tmp_path: Path, catalog: Catalog, cut: int
) -> None:
    lines = [aws.node(f"m6i.x{i}", str(1 + i / 7)) for i in range(300)]
    path = aws.offer_csv(tmp_path, *lines, name="index.csv.gz")
    path.write_bytes(path.read_bytes()[:cut])
    (said,) = problems_of(lambda: catalog.with_offer(path))
    assert "a damaged file" in said
    path = aws.offer_csv(tmp_path, *lines)
    path.write_bytes(path.read_bytes()[:-20] + b"\xff\xfe")
    (said,) = problems_of(lambda: catalog.with_offer(path))
    assert "a damaged file" in said


@pytest.mark.parametrize(
    "changed", [{"terms": []}, {"products": {"S": 1}}, {"terms": {"OnDemand": {"SKU": [1]}}}]
)
def test_json_of_another_build_is_bad_input(
    tmp_path: Path, catalog: Catalog, changed: dict[str, Any]
) -> None:
    path = aws.offer_json(tmp_path, aws.node() | {"SKU": "SKU"}, **changed)
    text = path.read_text(encoding="utf-8").replace("SKU0", "SKU")
    path.write_text(text, encoding="utf-8")
    (said,) = problems_of(lambda: catalog.with_offer(path))
    assert "where the price list has an object" in said


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (aws.charge("Usage", 1, 1.0, line_item_currency_code="EUR"), 'currency "EUR"'),
        (aws.charge("SavingsPlanCoveredUsage", 5, 4.0), "0 USD for 5 hours of m6i.4xlarge"),
        (aws.charge("Usage", 5, 4.0, product_region_code=""), "m6i.4xlarge without a region"),
        (aws.charge("Usage", 0, 4.0), "4.0 USD for 0 hours of m6i.4xlarge"),
        (aws.charge("Usage", 1, 1.0, line_item_usage_amount="many"), 'hours "many"'),
    ],
)
def test_each_faulty_line_of_a_bill_is_named(
    tmp_path: Path, catalog: Catalog, line: dict[str, Any], said: str
) -> None:
    (found,) = problems_of(lambda: catalog.with_billing(aws.bill(tmp_path, line)))
    assert said in found
    assert "bill.csv:2" in found


@pytest.mark.slow
def test_an_offer_is_read_line_by_line(tmp_path: Path, catalog: Catalog) -> None:
    filler = [aws.node(price="9.1", Operating_System="Windows")] * 8_000
    path = aws.offer_csv(tmp_path, *filler, aws.node())
    assert path.stat().st_size > 2_000_000
    tracemalloc.start()
    catalog.with_offer(path)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 1_000_000


def test_a_price_is_compared_with_the_offer_and_its_age_counted(
    tmp_path: Path, catalog: Catalog
) -> None:
    path = aws.offer_csv(tmp_path, aws.node(price="0.8064"), aws.node("m6i.large", "0.096"))
    checked = catalog.check_prices(path)
    assert checked.as_of == DAY  # the offer's own
    (row,) = checked.changed
    assert (row.key[3], str(row.old), str(row.new)) == ("m6i.4xlarge", "0.768", "0.8064")
    assert row.change == pytest.approx(0.05)
    assert not checked.stale
    assert {row.status for row in checked.rows} == {"changed", "same", "missing"}
    # 181 days after the table, 103 after the offer: what the offer does not confirm is old.
    later = catalog.check_prices(path, as_of=dt.date(2027, 1, 17))
    assert {row.status for row in later.stale} == {"missing"}
    (said,) = problems_of(catalog.check_prices)
    assert "got neither a file nor a date" in said


def test_a_plan_warns_of_prices_that_are_older_than_180_days(tmp_path: Path) -> None:
    path = stories.reference_declared(tmp_path)  # db.r6g.4xlarge, dated 2026-03-28
    codes = [
        set(Study.read(path, overrides={"as_of": day}).plan().to_frame("findings")["code"])
        for day in ("2026-09-24", "2026-09-25")
    ]
    assert ["stale_price" in found for found in codes] == [False, True]


# Overlays and studies


def test_rows_written_as_an_overlay_are_the_same_rows(tmp_path: Path, catalog: Catalog) -> None:
    lines = [aws.node("m8g.4xlarge", "0.71808"), aws.node(price="0.8"), aws.database()]
    mine = catalog.with_offer(aws.offer_csv(tmp_path, *lines)).with_instance_types(
        aws.instance_types(tmp_path, aws.instance_type("m8g.4xlarge"))
    )
    path = tmp_path / "prices.csv"
    path.write_text(mine.overlay_of(mine.rows), encoding="utf-8")
    again = Catalog(region="us-east-1", rows={}).with_overlay(path)
    assert again.rows == mine.rows
    assert {type(row) for row in again.rows.values()} == {NodeType, DbClass}


STUDY = """\
business_tz: America/New_York
as_of: 2026-09-21
horizon: {start: 2026-11-01, end: 2026-12-17}
topology: topology.yaml
scenarios: {base: {}}
"""


def test_a_study_reads_lists_then_the_bill_then_the_overlay(tmp_path: Path) -> None:
    aws.offer_csv(tmp_path, aws.node(price="0.8"), aws.node("m6i.large", "0.11"),
                  aws.node("m6i.xlarge", "0.21"), aws.node("m8g.4xlarge", "0.7"))  # fmt: skip
    usage = {"line_item_usage_type": "BoxUsage:m6i.large"}
    aws.bill(tmp_path, aws.charge("Usage", 10, 5.0), aws.charge("Usage", 10, 0.9, **usage))
    aws.instance_types(tmp_path, aws.instance_type("m8g.4xlarge"))
    header = "region,kind,engine,name,price_usd_per_hour,as_of,source\n"
    row = "us-east-1,node,,m6i.large,0.08,2026-09-01,private offer\n"
    (tmp_path / "prices.csv").write_text(header + row, encoding="utf-8")
    files = (
        "catalog: {offers: [index.csv], billing: [bill.csv], instance_types: types.json, "
        "overlay: prices.csv}\n"
    )
    (tmp_path / "study.yaml").write_text(STUDY + files, encoding="utf-8")
    mine = Study.read(tmp_path / "study.yaml").read_catalog()
    names = ("m6i.large", "m6i.xlarge", "m6i.4xlarge", "m8g.4xlarge")
    found = [str(mine.node_type(name).price_usd_per_hour) for name in names]
    assert found == ["0.08", "0.21", "0.5", "0.7"]
