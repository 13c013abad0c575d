"""Databases from declaration to order: readers, operations, proxies, storage, failover, support."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from pydantic import ValidationError

import capmodel as cm
from capmodel.orders import OrdersPolicy

if TYPE_CHECKING:
    import pandas as pd

# 100 checkouts a second at the season's peak, 50 today: 1,000 reads and 200 writes a second.
READS, WRITES = 10.0, 2.0
MYSQL = {"engine": "mysql", "class": "db.r6g.large"}
AURORA = {"engine": "aurora-mysql", "class": "db.r6g.large"}


def topology(database: dict[str, Any], *, caller: dict[str, Any] | None = None) -> cm.Topology:
    used = {"reads": READS, "writes": WRITES} | (caller or {})
    return cm.Topology.model_validate(
        {
            "drivers": {"checkouts": {"today_per_min": 3000}},
            "services": {
                "api": {
                    "calls": {"checkouts": 1},
                    "pod": {"cpu_cores": 2, "memory_gib": 4},
                    "replicas": {"min": 4, "max": 40},
                    "imbalance_x": 1.0,
                    "usage": {"cpu_cores": {"per_pod": 0, "per_request": 0.12}},
                }
            },
            "databases": {"db": {**database, "used_by": {"api": used}}},
            "policy": {"surge": 0, "utilization_degraded": 0.85},
        }
    )


def plan(declared: cm.Topology, **options: Any) -> cm.PlanSet:
    fit = cm.CapacityModel(declared, events=cm.Events.us_retail(2025, 2027)).declare()
    return fit.plan(
        cm.Scenario(name="base", demand_x={"checkouts": 2.0}),
        start="2026-11-02", end="2026-12-17", as_of="2026-09-21", draws=100, **options,
    )  # fmt: skip


def row(plans: cm.PlanSet, frame: str, **wanted: Any) -> pd.Series:
    found = plans.to_frame(frame)
    if "scenario" in found:
        wanted = {"scenario": "mixture", **wanted}
    for column, value in wanted.items():
        found = found[found[column] == value]
    assert len(found) == 1
    return found.iloc[0]


def test_the_hottest_reader_is_a_limit_of_its_own() -> None:
    cores = {"cpu_cores": {"idle": 0.2, "per_read": 0.001, "per_write": 0.002}}
    database = {
        **MYSQL, "class": "db.r6g.xlarge", "readers": 2, "reads_on_readers": 0.8, "apply_x": 0.5,
        "reader_skew_x": 1.25, "usage": cores,
    }  # fmt: skip
    plans = plan(topology(database))
    writer = row(plans, "limits", node="db", limit="cpu_cores")
    assert writer["peak_p50"] == pytest.approx(0.2 + 0.001 * 0.2 * 1000 + 0.002 * 200)
    reader = row(plans, "limits", node="db", limit="reader_cpu_cores")
    # 800 reads over two readers, the hotter takes 1.25 of the mean; half of the write work again.
    assert reader["peak_p50"] == pytest.approx(0.2 + 0.001 * 500 + 0.5 * 0.002 * 200)
    assert reader["hard"] == 4
    steps = plans.explain("db", "reader_cpu_cores").set_index("factor")["value"]
    assert steps["reads of all callers"] == pytest.approx(1000)
    assert steps["x per read"] == pytest.approx(0.001 * 0.5)


def test_readers_are_added_where_they_may_be_and_are_cheaper() -> None:
    cores = {"cpu_cores": {"per_read": 0.006, "per_write": 0.0005}}
    of = {**AURORA, "class": "db.r6g.xlarge", "readers": 1, "reads_on_readers": 1.0, "usage": cores}
    fixed = row(plan(topology(of)), "databases", database="db")
    # 6 cores of reads on one reader, 70 % of its vCPUs: 16 of them; or three readers of 4.
    assert (fixed["class_needed"], fixed["readers_needed"]) == ("db.r6g.4xlarge", 1)
    free = plan(topology({**of, "readers_max": 6}))
    found = row(free, "databases", database="db")
    assert found["class_needed"] == "db.r6g.xlarge"
    # One zone of three lost takes two of four instances; the two left are a writer and a reader at
    # 85 %, so the loss decides.
    assert found["readers_needed"] >= 3
    order = row(free, "orders", item="db")
    assert order["action"] == f"change readers of db from 1 to {found['readers_needed']}"
    assert order["to"] == str(found["readers_needed"])


def test_operations_are_limited_by_the_volume_or_the_instance() -> None:
    usage = {
        "cpu_cores": {"per_read": 0.0001, "per_write": 0.0001},
        "iops": {"per_read": 2.0, "per_write": 4.0},
    }
    small = {**MYSQL, "class": "db.r6g.4xlarge", "usage": usage, "storage": {"gib": 399}}
    plans = plan(topology(small))
    limit = row(plans, "limits", node="db", limit="iops")
    # gp3 below 400 GiB has 3,000 IOPS, whatever the instance sustains: 2 * 1000 + 4 * 200.
    assert (limit["peak_p50"], limit["hard"]) == (pytest.approx(2800), 3000)
    assert limit["status"] == "AMBER"
    large = row(
        plan(topology({**small, "storage": {"gib": 400}})), "limits", node="db", limit="iops"
    )
    assert (large["hard"], large["status"]) == (12_000, "GREEN")
    throughput = row(plans, "limits", node="db", limit="throughput_mib")
    assert throughput["peak_p50"] == pytest.approx(2800 * 16 / 1024)
    assert throughput["hard"] == 125


def test_aurora_has_no_operations_to_run_out_of() -> None:
    usage = {"iops": {"per_read": 2.0, "per_write": 4.0}}
    limits = plan(topology({**AURORA, "usage": usage})).to_frame("limits")
    assert "iops" not in set(limits["limit"])
    with pytest.raises(ValidationError, match="storage is RDS's"):
        topology({**AURORA, "storage": {"gib": 400}})


def test_connections_beside_the_pools_count() -> None:
    pooled = {"pool_max": 50}
    alone = plan(topology({**AURORA, "max_connections": 1000}, caller=pooled))
    # 100 requests of 0.12 cores fill 10 pods of 2 cores to 60 %.
    assert row(alone, "limits", node="db", limit="connections")["peak_p50"] == 500
    other = {"admin": 5, "batch": 40, "reserved": 15}
    beside = plan(
        topology({**AURORA, "max_connections": 1000, "other_connections": other}, caller=pooled)
    )
    limit = row(beside, "limits", node="db", limit="connections")
    assert limit["peak_p50"] == 560
    assert beside.sweep([2.0]).query("limit == 'connections'")["usage"].tolist() == [560]


def test_behind_a_proxy_busy_sessions_count() -> None:
    database = {
        **AURORA, "max_connections": 1000, "proxy": True, "hold_s": 0.010,
        "max_connections_percent": 50,
    }  # fmt: skip
    plans = plan(topology(database, caller={"pool_max": 50}))
    limit = row(plans, "limits", node="db", limit="connections")
    # 1,200 queries of 10 ms keep 12 sessions busy; the P99 of Poisson(12) is 21.
    assert (limit["peak_p50"], limit["hard"]) == (21, 500)
    assert "x 0.01 s, behind a proxy" in " ".join(plans.explain("db", "connections")["source"])


def test_storage_fills_up_on_a_day_and_is_ordered_before_the_freeze() -> None:
    storage = {"gib": 390, "used_gib": 300, "gib_per_day": 1.0}
    declared = topology({**MYSQL, "storage": storage})
    orders = OrdersPolicy.model_validate({"freeze": [{"start": "2026-11-02", "end": "2027-01-04"}]})
    plans = plan(declared, orders=orders)
    limit = row(plans, "limits", node="db", limit="storage_gib")
    # 87 days from 2026-09-21 to the season's last, 2026-12-16; 390 on day 90; 351 on day 51.
    assert limit["peak_p50"] == pytest.approx(387)
    assert (limit["first_policy_breach"], limit["first_hard_breach"]) == ("2026-11-11", "")
    order = row(plans, "orders", item="db", kind="storage")
    assert order["to"] == "430"  # 387 / 0.9
    codes = plans.to_frame("findings").query("service == 'db'")["code"].tolist()
    assert "gp3_step_in_freeze" in codes  # crossing 400 GiB copies all data


def test_a_reader_that_applies_less_than_is_written_falls_behind() -> None:
    cores = {"cpu_cores": {"per_read": 0.0001, "per_write": 0.008}}
    database = {**MYSQL, "class": "db.r6g.xlarge", "readers": 1, "usage": cores}
    plans = plan(topology(database))
    limit = row(plans, "limits", node="db", limit="applier")
    # 200 writes of 8 ms, half of it again on the reader (assumed), by one thread: 0.8 of it.
    assert (limit["peak_p50"], limit["hard"]) == (pytest.approx(0.8), 1)
    two = row(plan(topology({**database, "apply_x": 0.7})), "remedies", node="db", limit="applier")
    assert (two["remedy"], two["from"], two["to"]) == ("apply in parallel", "1", "2")


def test_storage_autoscaling_waits_six_hours_and_a_cold_cache_minutes() -> None:
    storage = {"gib": 400, "used_gib": 200, "gib_per_day": 600, "max_gib": 65536}
    cores = {"cpu_cores": {"per_read": 0.003, "per_write": 0.0}}
    database = {**MYSQL, "storage": storage, "usage": cores, "working_set_gib": 96}
    told = plan(topology(database)).to_frame("findings").set_index("code")["message"]
    # (40 + 40) GiB in six hours: 13.3 an hour; 600 a day are 25.
    assert told["storage_autoscaling_too_slow"].startswith("grows by 25 GiB an hour")
    assert "survives 13.3" in told["storage_autoscaling_too_slow"]
    assert "96 GiB at" in told["warm_up"]


def test_growth_by_writes_needs_hours() -> None:
    storage = {"gib": 500, "used_gib": 300, "kib_per_write": 2.0}
    with pytest.raises(cm.InputError, match="busiest minute, of which no mean of a day follows"):
        plan(topology({**MYSQL, "storage": storage}))


def test_a_family_that_is_outgrown_says_on_which_day_and_is_no_green_order() -> None:
    cores = {"cpu_cores": {"per_read": 0.08, "per_write": 0.0}}
    plans = plan(topology({**AURORA, "usage": cores}))
    found = row(plans, "databases", database="db")
    assert found["class_needed"] == "none: outgrows the family"
    assert found["binding"] == "cpu_cores"
    outgrown = row(plans, "findings", service="db", code="outgrown")["message"]
    assert outgrown.startswith("outgrows db.r6g.16xlarge on 2026-11-02: 80 writer cpu_cores, 44.8")
    order = row(plans, "orders", item="db", kind="db_class")
    assert (order["to"], order["status"]) == ("db.r6g.16xlarge", "RED")
    assert row(plans, "risk", tier=1)["status"] == "RED"


def test_a_database_without_a_second_instance_says_so() -> None:
    messages = plan(topology(MYSQL)).to_frame("findings").set_index("code")["message"]
    assert messages["no_failover"].endswith("a reader or a standby would take over")
    covered = plan(topology({**MYSQL, "standby": True}))
    assert "no_failover" not in set(covered.to_frame("findings")["code"])
    assert row(covered, "cost", item="db")["count"] == 2


def test_connections_of_a_class_that_no_table_documents_follow_its_memory() -> None:
    # RDS: memory / 12,582,880 bytes, less what the system takes. 10 pods x 150 are 1,500, above
    # 85 % of the 1,300 of 16 GiB.
    plans = plan(topology({**MYSQL, "standby": True}, caller={"pool_max": 150}))
    limit = row(plans, "limits", node="db", limit="connections")
    assert (limit["peak_p50"], limit["hard"], limit["status"]) == (1500, 1300, "RED")
    wider = row(plans, "remedies", node="db", limit="connections", remedy="larger class")
    assert (wider["from"], wider["to"]) == ("db.r6g.large", "db.r6g.xlarge")
    assert wider["utilization_after"] == pytest.approx(1500 / 2600)
    pools = row(plans, "orders", item="api", kind="config")  # the cheaper way: 10 x 110 are 1,100
    assert (pools["from"], pools["to"]) == ("150", "110")
    assert row(plans, "databases", database="db")["class_needed"] == "db.r6g.large"


def test_a_proxys_share_holds_on_every_class() -> None:
    # 1,200 queries a second of 2 s are 2,400 sessions, P99 2,515: a half of 4,000 is too small.
    database = {"engine": "aurora-mysql", "class": "db.r6g.4xlarge", "readers": 1, "proxy": True,
                "hold_s": 2.0, "max_connections_percent": 50}  # fmt: skip
    plans = plan(topology(database, caller={"pool_max": 20}))
    limit = row(plans, "limits", node="db", limit="connections")
    assert (limit["hard"], limit["status"]) == (2000, "RED")
    need = row(plans, "databases", database="db")["class_needed"]
    half = {"db.r6g.8xlarge": 2500, "db.r6g.12xlarge": 3000, "db.r6g.16xlarge": 3000}
    assert limit["peak_p50"] <= 0.85 * half[need]
    shares = row(plans, "shares", node="db", limit="connections")
    assert (shares["user"], shares["usage"]) == ("api", pytest.approx(2400))  # not 10 pools of 20
    remedies = plans.to_frame("remedies").query("limit == 'connections'")
    assert set(remedies["remedy"]) <= {"larger class", "change the class"}


def test_without_a_reader_the_writer_serves_all_reads() -> None:
    cores = {"cpu_cores": {"per_read": 0.001, "per_write": 0.001}}
    database = {**AURORA, "readers": 0, "usage": cores}
    plain = plan(topology(database))
    shared = plan(topology({**database, "reads_on_readers": 0.8}))
    for plans in (plain, shared):
        limit = row(plans, "limits", node="db", limit="cpu_cores")
        assert limit["peak_p50"] == pytest.approx(1.2)  # 1,000 reads and 200 writes of 1 ms


def test_pools_that_reconnect_at_once_stop_the_promoted_instance() -> None:
    # 12 cores of checkouts on pods of 2 x 0.6 are 10 pods with a pool of 50: 500 connections of
    # 10 ms are 5 cores in one second, and 2.5 s on the 2 vCPU of a db.r6g.large.
    caller = {"pool_max": 50}
    database = {**AURORA, "readers": 1, "connect_core_s": 0.010}

    def told(**changed: Any) -> pd.DataFrame:
        frame = plan(topology({**database, **changed}, caller=caller)).to_frame("findings")
        return frame[frame["code"] == "reconnect_storm"]

    storm = told().iloc[0]
    assert storm["severity"] == "warning"
    assert (
        "500 connections come back within 1 s and ask 5 cores of db.r6g.large's 2: 2.5 s"
        in (storm["message"])
    )
    slower = told(reconnect_window_s=5.0).iloc[0]  # 1 core of 2
    assert (slower["severity"], "back-off" in slower["message"]) == ("info", False)
    assert told(proxy=True).empty
    assert told(connect_core_s=None).empty


def test_extended_support_is_counted_in_vcpu_hours() -> None:
    plans = plan(topology({**MYSQL, "version": "8.0"}))
    told = row(plans, "findings", code="extended_support")["message"]
    # 2 vCPU for 45 days, all after the first billed day.
    assert "2,160 vCPU-hours of the season" in told


def test_the_zone_of_writer_and_readers() -> None:
    cores = {"cpu_cores": {"per_read": 0.002, "per_write": 0.001}}
    database = {**AURORA, "class": "db.r6g.xlarge", "readers": 2, "reads_on_readers": 1.0,
                "usage": cores}  # fmt: skip
    plans = plan(topology(database), overlays=[cm.LoseZonesOverlay(zones=1)])
    lost = plans.to_frame("overlays").set_index("limit")
    # One of three instances goes, the writer; a reader is promoted, and one serves all reads.
    assert lost.loc["cpu_cores", "needed"] == pytest.approx(0.2 / 0.85)
    assert lost.loc["reader_cpu_cores", "needed"] == pytest.approx(2.0 / 0.85)
    assert not lost["breaks"].any()
