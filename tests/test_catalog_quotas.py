from __future__ import annotations

import datetime as dt
import re
from pathlib import Path

import pytest

from capmodel.catalog import Catalog, Quota, Quotas
from capmodel.errors import InputError

HEADER = "region,service,name,value,unit,adjustable,lead_days,as_of,source,note"
MINE = "us-east-1,ec2,on_demand_vcpu_standard,3000,vCPU,true,5,2026-11-01,console export,"


@pytest.fixture(scope="module")
def quotas() -> Quotas:
    return Quotas.builtin("us-east-1")


def overlay(folder: Path, *rows: str, header: str = HEADER) -> Path:
    path = folder / "limits.csv"
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return path


def problems_of(folder: Path, *rows: str, header: str = HEADER) -> list[str]:
    with pytest.raises(InputError) as error:
        Quotas.builtin("us-east-1").with_overlay(overlay(folder, *rows, header=header))
    return [str(problem) for problem in error.value.problems]


def test_every_built_in_row_is_dated_sourced_and_has_a_unit(quotas: Quotas) -> None:
    assert len(quotas.rows) == 131
    for row in quotas.rows.values():
        assert row.source
        assert row.unit
        assert row.value > 0
        assert re.fullmatch(r"[a-z][a-z0-9_]*", row.name)
        assert dt.date(2023, 1, 1) <= row.as_of <= dt.date(2026, 11, 23)


@pytest.mark.parametrize(
    ("service", "name", "value", "unit", "adjustable"),
    [
        # awscli 1.46.3, get-aws-default-service-quota: L-1216C47A is 5.0.
        ("ec2", "on_demand_vcpu_standard", 5, "vCPU", True),
        # EC2 developer guide: 1,000 launches at once, then two a second, by five calls and two.
        ("ec2", "run_instances_burst", 1000, "instances", True),
        ("ec2", "run_instances_rate", 2, "instances/s", True),
        ("ec2", "api_run_instances_burst", 5, "requests", True),
        # EC2 API: a future-dated reservation is asked for 5 to 120 days ahead.
        ("ec2", "future_capacity_reservation_notice_min", 5, "days", False),
        ("vpc", "subnet_reserved_addresses", 5, "addresses", False),
        ("vpc", "nat_connections_per_destination", 55_000, "connections", False),
        ("vpc", "nat_addresses_max", 8, "addresses", False),
        ("vpc", "resolver_packets_per_interface", 1024, "packets/s", False),
        ("vpc-cni", "warm_eni_target", 1, "interfaces", True),
        ("eks", "nodes_per_managed_node_group", 450, "nodes", True),
        # awscli 1.46.3, describe-account-limits.
        ("elb", "alb_targets", 1000, "targets", True),
        ("elb", "nlb_targets_per_zone", 500, "targets", True),
        ("lambda", "concurrent_executions", 1000, "executions", True),
        ("api-gateway", "requests_rate", 10_000, "requests/s", True),
        ("rds", "instances_per_region", 40, "instances", True),
        ("rds-mysql", "read_replicas", 15, "replicas", False),
        ("ebs", "gp3_iops_max", 80_000, "IOPS", False),
        ("kinesis", "shard_write_records", 1000, "records/s", False),
        ("sqs", "in_flight_messages_fifo", 120_000, "messages", False),
    ],
)
def test_golden_rows(
    quotas: Quotas, service: str, name: str, value: float, unit: str, *, adjustable: bool
) -> None:
    row = quotas.get(name, service=service)
    assert (row.value, row.unit, row.adjustable) == (value, unit, adjustable)


def test_gp3_at_400_gib_has_four_times_the_iops_of_399(quotas: Quotas) -> None:
    # RDS user guide, CHAP_Storage: four volumes from 400 GiB on.
    def value(name: str) -> float:
        return quotas.get(name, service="rds-mysql").value

    assert value("gp3_striping_from") == 400
    assert value("gp3_iops_from_striping") == 4 * value("gp3_iops_below_striping") == 12_000
    assert value("gp3_throughput_from_striping") == 4 * value("gp3_throughput_below_striping")


def test_a_region_with_its_own_row_sees_it_and_no_other_does(quotas: Quotas) -> None:
    # API Gateway guide: 2,500 requests per second in Milan, 10,000 in most regions.
    milan = Quotas.builtin("eu-south-1")
    assert (milan.get("requests_rate").value, milan.get("requests_rate").region) == (
        2500,
        "eu-south-1",
    )
    assert quotas.get("requests_rate").region == "all"
    assert quotas.get("shards_per_region").value == 20_000
    with pytest.raises(InputError, match='unknown quota "shards_per_region"'):
        milan.get("shards_per_region")


def test_an_unknown_name_offers_the_nearest(quotas: Quotas) -> None:
    with pytest.raises(InputError, match=r'Did you mean "alb_targets"\?.*never guessed'):
        quotas.get("alb_target")
    with pytest.raises(InputError, match=r'of service "ebs".*one of the 7'):
        quotas.get("alb_targets", service="ebs")


def test_a_name_of_several_services_needs_one(quotas: Quotas) -> None:
    with pytest.raises(InputError, match="ebs, rds-mysql have"):
        quotas.get("gp3_iops_max")


def test_another_unit_is_refused_naming_both(quotas: Quotas) -> None:
    throughput = quotas.get("gp3_throughput_max", service="ebs")
    throughput.check_unit("MiB/s")
    with pytest.raises(InputError, match=r'disks: got ebs gp3_throughput_max in "MB/s".*"MiB/s"'):
        throughput.check_unit("MB/s", where="disks")
    with pytest.raises(InputError, match=r'in "cores"; expected "vCPU"'):
        quotas.get("on_demand_vcpu_standard").check_unit("cores")


def test_ec2_memory_is_whole_mebibytes() -> None:
    # EC2 describes memory in MiB: m6i.large has 8192, not 8000 or 7630.
    assert Catalog.builtin().node_type("m6i.large").memory_gib * 1024 == 8192


def test_a_declared_value_wins_over_the_default(tmp_path: Path, quotas: Quotas) -> None:
    mine = quotas.with_overlay(overlay(tmp_path, MINE))
    row = mine.get("on_demand_vcpu_standard")
    assert (row.value, row.lead_days, row.source) == (3000, 5, "console export")
    assert quotas.get("on_demand_vcpu_standard").value == 5  # the first one is unchanged
    assert mine.get("spot_vcpu_standard") == quotas.get("spot_vcpu_standard")
    for_all = quotas.with_overlay(overlay(tmp_path, MINE.replace("us-east-1", "all")))
    assert for_all.get("on_demand_vcpu_standard").value == 3000


def test_a_new_row_adds_a_limit_and_columns_may_be_left_out(tmp_path: Path, quotas: Quotas) -> None:
    row = "all,partner,payments_rate,300,requests/s,false,2026-10-02,contract 17"
    path = overlay(tmp_path, row, header=HEADER.replace("lead_days,", "").replace(",note", ""))
    path.write_text(path.read_text(encoding="utf-8"), encoding="utf-8-sig")
    found = quotas.with_overlay(path).get("payments_rate")
    assert isinstance(found, Quota)
    assert (found.value, found.lead_days, found.note) == (300, None, "")


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (MINE.replace("2026-11-01", ""), r"limits\.csv:2: got a row without as_of"),
        (MINE.replace("console export", ""), "a row without source"),
        (MINE.replace("vCPU", ""), "a row without unit"),
        (MINE.replace("vCPU", "cores"), r'in "cores"; expected "vCPU", the unit in which'),
        (MINE.replace("3000", "3,000"), "11 cells"),
        (MINE.replace("3000", "many"), 'value "many"'),
        (MINE.replace("3000", "inf"), 'value "inf"'),
        (MINE.replace("3000", "-1"), 'value "-1"'),
        (MINE.replace("true", "yes"), 'adjustable "yes"'),
        (MINE.replace(",5,", ",2.5,"), 'lead_days "2.5"'),
        (MINE.replace("2026-11-01", "1 Nov 2026"), 'as_of "1 Nov 2026"'),
    ],
)
def test_each_faulty_row_names_file_and_line(tmp_path: Path, row: str, message: str) -> None:
    (problem,) = problems_of(tmp_path, row)
    assert problem.startswith("limits.csv:2: got ")
    assert re.search(message, problem)


def test_all_faults_are_collected(tmp_path: Path) -> None:
    found = problems_of(tmp_path, MINE, MINE, MINE.replace("vCPU", ""))
    assert "a second row for us-east-1 ec2 on_demand_vcpu_standard" in found[0]
    assert found[1].startswith("limits.csv:4: got a row without unit")


def test_an_unknown_or_missing_column_is_named(tmp_path: Path) -> None:
    found = problems_of(tmp_path, header=HEADER.replace("unit", "units"))
    assert 'Did you mean "unit"?' in found[0]
    assert "no column unit" in found[1]
    assert "more than once" in problems_of(tmp_path, header=HEADER + ",note")[0]


def test_an_unreadable_overlay_is_an_input_error(tmp_path: Path, quotas: Quotas) -> None:
    with pytest.raises(InputError, match="an unreadable file"):
        quotas.with_overlay(tmp_path / "missing.csv")


def test_old_and_future_limits_are_findings(quotas: Quotas) -> None:
    row = quotas.get("on_demand_vcpu_standard")  # 2026-11-05
    assert row.as_of == dt.date(2026, 11, 5)
    fresh = quotas.findings(dt.date(2027, 5, 4), [row])  # 180 days
    stale = quotas.findings(dt.date(2027, 5, 5), [row, row])  # 181 days, reported once
    early = quotas.findings(dt.date(2026, 11, 4), [row])
    assert (fresh.codes, stale.codes, early.codes) == ((), ("stale_quota",), ("quota_after_as_of",))
    (finding,) = stale
    assert (finding.severity, finding.data["age_days"]) == ("warning", 181)
    assert "on_demand_vcpu_standard" in finding.message
