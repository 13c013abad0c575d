from __future__ import annotations

import dataclasses
import datetime as dt
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capmodel.capacity import db_needs as dbd
from capmodel.capacity import db_sizing as dbz
from capmodel.capacity.databases import ClassLadder
from capmodel.capacity.db_connections import Engine
from capmodel.capacity.db_failures import DbFailure
from capmodel.capacity.db_needs import DbDemand, DbHold, DbSetup, db_hold
from capmodel.capacity.db_readers import DbCosts
from capmodel.capacity.db_storage import DbVolume
from capmodel.catalog import Catalog
from capmodel.errors import InputError

CATALOG = Catalog.builtin()
AURORA = CATALOG.db_ladder("aurora-mysql", "db.r6g.large")
RDS = CATALOG.db_ladder("mysql", "db.r6g.large")
P50 = db_hold("P50", quantile=0.5, up_to="utilization")
FAILOVER = DbFailure("failover", writer_lost=True)
ZONE = DbFailure("zone", zones_lost=1)

A5 = DbCosts(per_read=0.00156, per_write=0.00156, idle=0.4)


def flat(reads: float, writes: float = 0.0, **fields: float) -> DbDemand:
    return DbDemand([[reads]], [[writes]], **fields)


def size(
    demand: DbDemand,
    *,
    family=AURORA,
    today: str = "db.r6g.large",
    holds=(P50,),
    readers=(0, 0),
    costs: DbCosts = A5,
    engine: Engine = "aurora-mysql",
    weights=None,
    reader_class: str | None = None,
    declared: int | None = None,
    allow_smaller: bool = False,
    **setup,
) -> dbz.DbSizing:
    return dbz.size_database(
        demand,
        ladder=ClassLadder(family, today, declared=declared),
        setup=DbSetup(costs, engine, **setup),
        holds=holds,
        readers=readers,
        weights=weights,
        reader_class=reader_class,
        allow_smaller=allow_smaller,
    )


def name_of(sizing: dbz.DbSizing) -> str:
    assert sizing.chosen is not None, sizing.reason
    return sizing.chosen.db_class.name


def test_story_a5_takes_the_class_that_today_s_rule_takes() -> None:
    # 9.76 cores fit 16 vCPUs at 70 %; 4,275 connections need 6,000 at 85 %.
    sizing = size(flat(6000, writer_connections=4275), today="db.r6g.4xlarge")
    assert name_of(sizing) == "db.r6g.12xlarge"
    assert sizing.binding == "connections"
    assert [r.name for r in sizing.rejected] == ["db.r6g.4xlarge", "db.r6g.8xlarge"]
    worst = sizing.rejected[1].worst
    assert (worst.limit, worst.need, worst.allowed) == ("connections", 4275, 4250)
    assert sizing.chosen is not None
    tightest = sizing.chosen.tightest
    assert tightest is not None
    assert (tightest.limit, tightest.utilization) == ("connections", pytest.approx(0.7125))


def test_a_database_that_nobody_calls_keeps_its_class() -> None:
    sizing = size(flat(0), costs=DbCosts(per_read=0.001, per_write=0.001), today="db.r6g.xlarge")
    assert name_of(sizing) == "db.r6g.xlarge"
    assert (sizing.rejected, sizing.binding, sizing.unchecked) == ((), "", ())
    assert sizing.chosen is not None
    assert (sizing.chosen.uses, sizing.chosen.tightest) == ((), None)


@pytest.mark.parametrize(
    ("k", "expected"),
    [
        (1, "db.r5.large"),
        (2, "db.r5.xlarge"),
        (3, "db.r5.2xlarge"),
        (5, "db.r5.4xlarge"),
        (8, "db.r5.4xlarge"),
        (10, "db.r5.8xlarge"),
        (20, "db.r5.12xlarge"),
        (30, "db.r5.16xlarge"),
    ],
)
def test_growth_of_500_reads_at_2_ms_and_100_writes_at_3_ms(k: int, expected: str) -> None:
    # netflix-scm R4/R5: 1.3 cores times k within 70 % of 2, 4, 8, 16, 32, 48, 64 vCPUs.
    family = CATALOG.db_ladder("aurora-mysql", "db.r5.large")
    costs = DbCosts(per_read=0.002, per_write=0.003)
    assert name_of(
        size(flat(500 * k, 100 * k), family=family, today="db.r5.large", costs=costs)
    ) == (expected)


def test_growth_by_80_names_the_limit_and_the_largest_class() -> None:
    family = CATALOG.db_ladder("aurora-mysql", "db.r5.large")
    costs = DbCosts(per_read=0.002, per_write=0.003)
    sizing = size(flat(40_000, 8_000), family=family, today="db.r5.large", costs=costs)
    assert sizing.outgrown
    assert (sizing.binding, sizing.largest.name) == ("cpu_cores", "db.r5.16xlarge")
    assert len(sizing.rejected) == 7
    assert sizing.reason == (
        "outgrows db.r5.16xlarge: db.r5.16xlarge with 0 readers: writer needs 104 cores, "
        "44.8 allowed, in P50"
    )


def test_readers_carry_reads_and_a_larger_class_competes_by_weight() -> None:
    # 24 cores of reads, all on readers; 1 core of writes. Per class: ceil(24 / (0.7 vCPU)).
    costs = DbCosts(per_read=0.001, per_write=0.001)
    demand = flat(24_000, 1_000)
    of: dict[str, Any] = {"readers": (0, 15), "costs": costs, "reads_on_readers": 1.0}
    sizing = size(demand, **of)
    counts = {o.db_class.name: o.readers for o in sizing.options}
    assert counts == {
        "db.r6g.xlarge": 9,
        "db.r6g.2xlarge": 5,
        "db.r6g.4xlarge": 3,
        "db.r6g.8xlarge": 2,
        "db.r6g.12xlarge": 0,
        "db.r6g.16xlarge": 0,
    }
    # vCPUs: 10 x 4 = 40, 6 x 8 = 48, 4 x 16 = 64, 3 x 32 = 96, 48, 64: many small ones win.
    assert name_of(sizing) == "db.r6g.xlarge"
    per_instance = dict.fromkeys((c.name for c in AURORA), 1.0)
    fewest = size(demand, weights=per_instance, **of)
    assert name_of(fewest) == "db.r6g.12xlarge"
    assert fewest.chosen is not None
    assert (fewest.chosen.readers, fewest.chosen.weight) == (0, 1.0)
    every = {(r.name, r.readers) for r in sizing.rejected}
    assert ("db.r6g.large", 15) in every  # 24 cores of reads over 15 of 2 vCPUs: 1.6 > 1.4
    assert all(r.worst.need > r.worst.allowed for r in sizing.rejected)


def test_binlog_replicas_need_a_larger_class_where_aurora_readers_do_not() -> None:
    # 3 cores of writes: an RDS replica applies 1.5 of them, beside 4.8 / 3 of reads = 3.1 > 2.8.
    costs = DbCosts(per_read=0.001, per_write=0.001)
    demand = flat(4_800, 2_700)
    of: dict[str, Any] = {"readers": (3, 3), "costs": costs, "reads_on_readers": 1.0}
    assert name_of(size(demand, **of)) == "db.r6g.xlarge"
    rds = size(demand, family=RDS, engine="mysql", **of)
    assert name_of(rds) == "db.r6g.2xlarge"
    assert (rds.binding, rds.rejected[-1].worst.role) == ("cpu_cores", "reader")


def test_a_lost_reader_and_a_failover_need_their_own_cover() -> None:
    costs = DbCosts(per_read=0.001, per_write=0.001)
    demand = flat(5_000, 2_000)
    lose = [P50, db_hold("lose a reader", quantile=0.5, up_to="utilization",
                         failure=DbFailure("reader", readers_lost=1))]  # fmt: skip
    of: dict[str, Any] = {
        "costs": costs,
        "reads_on_readers": 1.0,
        "readers": (1, 15),
        "today": "db.r6g.xlarge",
    }
    weights = {c.name: 1.0 if c.name == "db.r6g.xlarge" else 1e6 for c in AURORA}
    # 5 cores over 2.8: two readers, three with one to lose.
    for holds, expected in (([P50], 2), (lose, 3)):
        sizing = size(demand, holds=holds, weights=weights, **of)
        assert sizing.chosen is not None
        assert sizing.chosen.readers == expected


def test_a_failover_with_one_reader_puts_all_on_the_promoted_one() -> None:
    costs = DbCosts(per_read=0.001, per_write=0.001)
    hold = db_hold("failover", quantile=0.5, up_to="hard", failure=FAILOVER)
    of: dict[str, Any] = {
        "costs": costs,
        "holds": [hold],
        "readers": (1, 1),
        "reads_on_readers": 1.0,
    }
    # 3 cores of reads and 1 of writes fit a 4-vCPU reader and writer, but the promoted reader
    # has both: 4.0 cores of 4 just hold, 4.1 do not.
    assert name_of(size(flat(3_000, 1_000), **of)) == "db.r6g.xlarge"
    assert name_of(size(flat(3_000, 1_100), **of)) == "db.r6g.2xlarge"


def test_small_readers_fail_the_promotion_and_say_so() -> None:
    costs = DbCosts(per_read=0.001, per_write=0.001)
    demand = flat(1_000, 4_000)
    hold = db_hold("failover", quantile=0.5, up_to="utilization_degraded", failure=FAILOVER)
    of: dict[str, Any] = {
        "costs": costs,
        "readers": (2, 2),
        "reads_on_readers": 1.0,
        "today": "db.r6g.2xlarge",
    }
    assert name_of(size(demand, reader_class="db.r6g.xlarge", **of)) == "db.r6g.2xlarge"
    broken = size(demand, holds=[P50, hold], reader_class="db.r6g.xlarge", **of)
    assert broken.outgrown
    assert broken.rejected[0].reason == (
        "db.r6g.2xlarge with 2 readers: writer needs 4 cores, 3.4 allowed, in failover"
    )
    assert name_of(size(demand, holds=[P50, hold], **of)) == "db.r6g.2xlarge"


def test_nothing_to_promote_is_a_limit_of_instances() -> None:
    hold = db_hold("zone", quantile=0.5, up_to="utilization_degraded", failure=ZONE)
    sizing = size(flat(100), holds=[hold])
    assert (sizing.outgrown, sizing.binding) == (True, "instances")
    assert "writer needs 2 instances, 1 allowed, in zone" in sizing.reason
    assert name_of(size(flat(100), holds=[hold], recreate_ok=True)) == "db.r6g.large"
    free = size(flat(100), holds=[hold], readers=(0, 15))
    assert free.chosen is not None
    assert (free.chosen.readers, free.binding) == (1, "instances")
    standby = size(flat(100), holds=[hold], family=RDS, engine="mysql", standby=True)
    assert standby.chosen is not None
    assert standby.chosen.weight == 4.0  # the standby is an instance too


def test_a_cold_cache_after_failover_reads_more() -> None:
    # 500 reads/s x 5 misses = 2,500 IOPS warm, 7,500 at 3.0x: baselines 3,600, 6,000, 12,000.
    costs = DbCosts(per_read=0, per_write=0, read_ios=5)
    hold = db_hold("failover", quantile=0.5, up_to="hard", failure=FAILOVER)
    of: dict[str, Any] = {
        "family": RDS,
        "engine": "mysql",
        "costs": costs,
        "standby": True,
        "holds": [P50, hold],
    }
    assert name_of(size(flat(500), **of)) == "db.r6g.large"
    cold = size(flat(500), cold_x=3.0, **of)
    assert (name_of(cold), cold.binding) == ("db.r6g.2xlarge", "iops")


def test_the_volume_binds_whatever_the_class() -> None:
    costs = DbCosts(per_read=0, per_write=0, read_ios=1)
    of: dict[str, Any] = {"family": RDS, "engine": "mysql", "costs": costs}
    small = size(flat(3_000), volume=DbVolume(gib=399), **of)
    assert (small.outgrown, small.binding) == (True, "iops")
    assert "2,550 allowed (set by the volume)" in small.reason
    assert name_of(size(flat(3_000), volume=DbVolume(gib=400), **of)) == "db.r6g.large"
    aurora = size(flat(3_000), costs=costs)  # no limit of operations: 49 MB/s of network
    assert name_of(aurora) == "db.r6g.large"


def test_throughput_network_and_buffer_pool_bind_too() -> None:
    # 80 MiB/s: baselines 75.1 and 141.6 MiB/s at 85 %. 1 Gbit/s: 0.75 and 1.25 at 85 %.
    bytes_ = DbCosts(per_read=0, per_write=0, read_ios=1, read_io_kib=64)
    moved = size(flat(1_280), family=RDS, engine="mysql", costs=bytes_, volume=DbVolume(gib=400))
    assert (name_of(moved), moved.binding) == ("db.r6g.xlarge", "throughput_mib")
    sent = size(flat(1_000), costs=DbCosts(per_read=0, per_write=0, read_net_kib=122))
    assert (name_of(sent), sent.binding) == ("db.r6g.xlarge", "network_gbps")
    kept = size(flat(10, working_set_gib=90))  # 0.75 x 128 = 96 GiB
    assert (name_of(kept), kept.binding) == ("db.r6g.4xlarge", "buffer_pool_gib")


def test_limits_that_no_table_states_are_named_not_passed() -> None:
    bare = tuple(dataclasses.replace(c, ebs_baseline_iops=None, network_gbps=None) for c in RDS)
    costs = DbCosts(per_read=0.0001, per_write=0, read_ios=0.1, read_net_kib=1)
    sizing = size(flat(100), family=bare, engine="mysql", costs=costs)
    assert "db.r6g.large: iops" in sizing.unchecked
    assert "db.r6g.large: network_gbps" in sizing.unchecked
    assert sizing.chosen is not None
    assert {use.limit for use in sizing.chosen.uses} == {"cpu_cores", "throughput_mib"}
    told = size(flat(100), family=RDS, engine="mysql", costs=costs, volume=DbVolume(gib=400))
    assert told.unchecked == ()


def test_a_class_without_documented_connections_uses_the_formula_and_says_so() -> None:
    sizing = size(flat(10, writer_connections=1_200), family=RDS, engine="mysql")
    assert sizing.rejected[0].reason.endswith("1,105 allowed (set by the formula), in P50")
    assert name_of(sizing) == "db.r6g.xlarge"
    declared = size(flat(10, writer_connections=1_200), family=RDS, engine="mysql", declared=1_500)
    assert name_of(declared) == "db.r6g.large"


def test_reader_connections_spread_with_the_skew_and_move_when_readers_are_lost() -> None:
    demand = flat(10, writer_connections=500, reader_connections=800)
    setup = DbSetup(A5, "aurora-mysql", 0.5, skew_x=1.25)
    both = dbd.needs_of(demand, P50, setup=setup, readers=2).by_role
    assert both["reader"]["connections"] == 500
    assert both["writer"]["connections"] == 500
    lost = DbHold("reader", 0.5, failure=DbFailure(readers_lost=1))
    assert dbd.needs_of(demand, lost, setup=setup, readers=1).by_role == {
        "writer": pytest.approx({"cpu_cores": 0.4156, "connections": 1300})
    }
    chance = dataclasses.replace(setup, skew_x=1.0, clients=10)  # 9 of 10 clients at P99
    assert dbd.needs_of(demand, P50, setup=chance, readers=2).by_role["reader"][
        "connections"
    ] == pytest.approx(720)


def test_needs_are_quantiles_of_season_peaks_over_weighted_draws() -> None:
    reads = np.array([[100, 900, 200], [800, 100, 100], [300, 300, 300], [700, 0, 0]])
    costs = DbCosts(per_read=0.001, per_write=0)
    setup = DbSetup(costs, "aurora-mysql")
    zero = np.zeros_like(reads)
    needs = dbd.needs_of(DbDemand(reads, zero), DbHold("P50", 0.5), setup=setup, readers=0)
    assert needs.by_role["writer"]["cpu_cores"] == pytest.approx(0.7)  # of .9 .8 .3 .7
    heavy = DbDemand(reads, zero, weights=[0.6, 0.2, 0.1, 0.1])
    needs = dbd.needs_of(heavy, DbHold("P50", 0.5), setup=setup, readers=0)
    assert needs.by_role["writer"]["cpu_cores"] == pytest.approx(0.9)


def test_hold_rows_take_the_policy_s_words() -> None:
    hard = db_hold("risk", quantile=0.98, up_to="hard")
    assert set(hard.up_to.values()) == {1.0}
    degraded = db_hold("zone", quantile=0.5, up_to="utilization_degraded", failure=ZONE)
    assert (degraded.up_to["cpu_cores"], degraded.up_to["buffer_pool_gib"]) == (0.85, 1.0)
    strict = dbd.DbPolicy(degraded=None)
    assert db_hold("zone", quantile=0.5, up_to="utilization_degraded", policy=strict).up_to[
        "cpu_cores"
    ] == pytest.approx(0.70)


def test_the_day_on_which_the_family_is_outgrown() -> None:
    reads = np.array([[10_000, 40_000, 20_000], [12_000, 26_000, 20_000], [9_000, 42_000, 20_000]])
    days = [dt.date(2026, 11, 26) + dt.timedelta(d) for d in range(3)]
    of: dict[str, Any] = {
        "ladder": ClassLadder(AURORA, "db.r6g.large"),
        "setup": DbSetup(A5, "aurora-mysql"),
        "readers": 0,
        "dates": days,
    }
    found = dbz.outgrows_on(DbDemand(reads, np.zeros_like(reads)), hold=P50, **of)
    assert found is not None  # 0.4 + 0.00156 x 40,000 = 62.8 of 44.8
    assert (found.date, found.db_class, found.limit) == (
        days[1],
        "db.r6g.16xlarge",
        "writer cpu_cores",
    )
    assert found.need == pytest.approx(62.8)
    none = dbz.outgrows_on(DbDemand(reads / 2, np.zeros_like(reads)), hold=P50, **of)
    assert none is None


def test_bad_input_is_collected() -> None:
    with pytest.raises(InputError) as error:
        size(flat(1), holds=(), readers=(3, 16), weights={"db.r6g.large": -1.0})
    text = str(error.value)
    assert "fewest <= most <= 15" in text
    assert "at least one promise" in text
    assert "none of db.r6g.xlarge" in text
    with pytest.raises(InputError, match=r'reader_class: got "db\.r6g\.huge"'):
        size(flat(1), reader_class="db.r6g.huge")
    with pytest.raises(InputError, match=r"shape \(1, 2\)"):
        size(DbDemand([[1.0]], [[1.0, 2.0]]))
    with pytest.raises(InputError, match=r'Did you mean "db\.r6g\.4xlarge"'):
        size(flat(1), today="db.r6g4xlarge")


def test_a_season_does_not_shrink_a_database_unless_asked() -> None:
    assert name_of(size(flat(10), today="db.r6g.4xlarge")) == "db.r6g.4xlarge"
    assert name_of(size(flat(10), today="db.r6g.4xlarge", allow_smaller=True)) == "db.r6g.large"


LOADS = st.tuples(st.floats(0, 40_000), st.floats(0, 3_000), st.floats(0, 4_000))


@settings(deadline=None, max_examples=60)
@given(load=LOADS, more=st.floats(1, 3), readers=st.integers(0, 4), rds=st.booleans())
def test_more_load_never_takes_a_smaller_class(
    load: tuple[float, float, float], more: float, readers: int, *, rds: bool
) -> None:
    family = RDS if rds else AURORA
    costs = DbCosts(per_read=0.001, per_write=0.002, idle=0.2, read_ios=0.05, write_ios=2)
    hold = db_hold("P50", quantile=0.5, up_to="utilization", failure=ZONE)

    def rank(x: float) -> int:
        reads, writes, connections = (part * x for part in load)
        sizing = size(
            flat(reads, writes, writer_connections=connections),
            family=family,
            engine="mysql" if rds else "aurora-mysql",
            costs=costs,
            holds=(P50, hold),
            readers=(readers, readers),
            reads_on_readers=0.6,
            recreate_ok=True,
        )
        return len(family) if sizing.chosen is None else family.index(sizing.chosen.db_class)

    assert rank(more) >= rank(1.0)


@pytest.mark.slow
@settings(deadline=None, max_examples=40)
@given(load=LOADS, more=st.floats(1, 2), lost=st.integers(0, 2))
def test_more_load_or_failures_never_weigh_less_and_infeasible_names_a_limit(
    load: tuple[float, float, float], more: float, lost: int
) -> None:
    def weight(x: float, zones: int) -> float:
        reads, writes, connections = (part * x for part in load)
        failure = DbFailure("zones", zones_lost=zones)
        sizing = size(
            flat(reads, writes, writer_connections=connections),
            holds=(P50, db_hold("lost", quantile=0.5, up_to="utilization", failure=failure)),
            readers=(0, 15),
            reads_on_readers=0.8,
        )
        assert sizing.outgrown == (sizing.chosen is None) == bool(sizing.reason)
        assert not sizing.outgrown or sizing.binding
        return np.inf if sizing.chosen is None else sizing.chosen.weight

    base = weight(1.0, lost)
    assert weight(more, lost) >= base
    if lost < 2:
        assert weight(1.0, lost + 1) >= base
