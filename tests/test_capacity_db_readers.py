from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capmodel.capacity import db_failures as dbf
from capmodel.capacity import db_readers as dbr
from capmodel.capacity.db_connections import Engine
from capmodel.capacity.db_failures import AfterFailure, DbFailure
from capmodel.capacity.db_readers import DbCosts
from capmodel.errors import InputError

COSTS = DbCosts(per_read=0.001, per_write=0.002, idle=0.5)


def test_aas_is_story_a5s_cpu() -> None:
    cores = float(dbr.active_sessions(6000, core_s=0.00156, idle=0.4))
    assert cores / 16 == pytest.approx(0.610, abs=5e-4)


def test_every_binlog_replica_repeats_all_writes_and_aurora_none() -> None:
    # 8,000 reads, 75 % on 3 readers: 2 cores each; 1,000 writes: 2 cores, half of it applied.
    of: dict[str, Any] = {"costs": COSTS, "readers": 3, "reads_on_readers": 0.75}
    rds = dbr.reader_usage(8000, 1000, engine="mysql", **of)
    aurora = dbr.reader_usage(8000, 1000, engine="aurora-mysql", **of)
    assert float(rds.cpu_cores) == pytest.approx(0.5 + 2 + 1)
    assert float(aurora.cpu_cores) == pytest.approx(0.5 + 2)
    writer = dbr.writer_usage(8000, 1000, engine="mysql", **of)
    assert float(writer.cpu_cores) == pytest.approx(0.5 + 2 + 2)
    declared = COSTS.model_copy(update={"apply_x": 1.0})
    full = dbr.reader_usage(8000, 1000, engine="mysql", **{**of, "costs": declared})
    assert float(full.cpu_cores) == pytest.approx(0.5 + 2 + 2)


def test_storage_and_network_by_engine() -> None:
    costs = DbCosts(
        per_read=0, per_write=0, read_ios=0.1, write_ios=3, read_net_kib=4, write_net_kib=2
    )
    of: dict[str, Any] = {"costs": costs, "readers": 2, "reads_on_readers": 0.5}
    rds = dbr.writer_usage(10_000, 100, engine="mysql", **of)
    # 5,000 reads: 500 misses + 300 writes of 16 KiB; clients 20,000 + 200 KiB, two binlogs 400.
    assert float(rds.iops) == pytest.approx(800)
    assert float(rds.throughput_mib) == pytest.approx(12.5)
    assert float(rds.network_gbps) == pytest.approx(20_600 * 1024 * 8 / 1e9)
    aurora = dbr.writer_usage(10_000, 100, engine="aurora-mysql", **of)
    assert float(aurora.network_gbps) == pytest.approx((20_200 + 800 * 16) * 1024 * 8 / 1e9)
    replica = dbr.reader_usage(10_000, 100, engine="mysql", **of)
    assert float(replica.iops) == pytest.approx(250 + 300)  # a volume of its own
    shared = dbr.reader_usage(10_000, 100, engine="aurora-mysql", **of)
    assert float(shared.iops) == pytest.approx(250)


def test_a8_a_cold_cache_triples_the_misses() -> None:
    # Hit 0.80 -> 0.40 is 3.0x, total loss 5.0x: 3,940 reads/s become 11,820 in a cache in front.
    assert dbf.cold_miss_x(0.80, cold_hit_ratio=[0.40, 0.0]).round(9).tolist() == [3.0, 5.0]
    assert 3940 * float(dbf.cold_miss_x(0.80, cold_hit_ratio=0.40)) == pytest.approx(11_820)
    costs = DbCosts(per_read=0.001, per_write=0, read_ios=0.2, miss_core_s=0.0001)
    of: dict[str, Any] = {"costs": costs, "engine": "mysql", "readers": 0, "reads_on_readers": 0.0}
    warm, cold = (dbr.writer_usage(1000, 0, miss_x=x, **of) for x in (1.0, 3.0))
    assert float(cold.iops) == pytest.approx(3 * float(warm.iops))
    assert float(cold.cpu_cores - warm.cpu_cores) == pytest.approx(1000 * 0.2 * 2 * 0.0001)


@pytest.mark.parametrize(
    ("failure", "readers", "engine", "standby", "serving", "recovery"),
    [
        (DbFailure(), 3, "mysql", False, 3, "none"),
        (DbFailure(readers_lost=1), 3, "mysql", False, 2, "none"),
        (DbFailure(readers_lost=2), 1, "mysql", False, 0, "none"),
        (DbFailure(writer_lost=True), 3, "mysql", True, 3, "standby"),
        (DbFailure(writer_lost=True), 3, "mysql", False, 2, "promotion"),
        (DbFailure(writer_lost=True), 1, "aurora-mysql", False, 0, "promotion"),
        (DbFailure(writer_lost=True), 0, "aurora-mysql", False, 0, "recreate"),
        (DbFailure(writer_lost=True, readers_lost=1), 3, "aurora-mysql", False, 1, "promotion"),
        (DbFailure(zones_lost=1), 2, "aurora-mysql", False, 1, "promotion"),
        (DbFailure(zones_lost=1), 3, "aurora-mysql", False, 1, "promotion"),
        (DbFailure(zones_lost=1), 0, "aurora-mysql", False, 0, "recreate"),
        (DbFailure(zones_lost=1), 3, "mysql", True, 2, "standby"),
        (DbFailure(zones_lost=2), 5, "aurora-mysql", False, 1, "promotion"),
        (DbFailure(zones_lost=3), 5, "aurora-mysql", False, 0, "outage"),
    ],
)
def test_what_a_failure_leaves(
    failure: DbFailure, readers: int, engine: Engine, *, standby: bool, serving: int, recovery: Any
) -> None:
    left = dbf.after_failure(failure, readers=readers, engine=engine, zones=3, standby=standby)
    assert left == AfterFailure(serving, recovery)
    assert left.cold == (recovery in {"standby", "promotion", "recreate"})


def test_a_lost_zone_leaves_what_placing_instances_shows() -> None:
    # Enumerated: instances 0..n go round the zones; the worst zones are lost; one writer remains.
    for readers, zones in itertools.product(range(16), range(1, 5)):
        place = np.arange(readers + 1) % zones
        for lost in range(zones):
            alive = min(
                int((~np.isin(place, gone)).sum())
                for gone in itertools.combinations(range(zones), lost)
            )
            left = dbf.after_failure(
                DbFailure(zones_lost=lost), readers=readers, engine="aurora-mysql", zones=zones
            )
            assert left.serving == max(alive - 1, 0), (readers, zones, lost)
            assert (left.recovery == "recreate") == (alive == 0)


def test_failures_that_make_no_sense_are_refused() -> None:
    with pytest.raises(InputError, match="standby of aurora-mysql"):
        dbf.after_failure(DbFailure(), readers=1, engine="aurora-mysql", standby=True)
    with pytest.raises(InputError, match="zones_lost"):
        dbf.after_failure(DbFailure(zones_lost=4), readers=1, engine="mysql", zones=3)
    with pytest.raises(InputError, match="engine"):
        dbr.engine_rules("postgres")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="at most the warm"):
        dbf.cold_miss_x(0.4, cold_hit_ratio=0.8)


def test_readers_needed_sheet() -> None:
    # 20 cores of reads; room 0.7 x 8 - 0.5 - 0.5 x 1.0 = 4.6: 4.35 -> 5, one more to lose one.
    need = dbr.readers_needed(
        [20_000, 0, 1e6, 100],
        [500, 500, 500, 6000],
        costs=COSTS,
        engine="mysql",
        vcpu=8,
        allowed_x=0.7,
        lost=1,
    )
    assert need.readers.tolist() == [6, 0, 219, np.inf]
    assert need.continuous[0] == pytest.approx(20 / 4.6)
    assert need.infeasible.tolist() == [False, False, True, True]
    skewed = dbr.readers_needed(
        20_000, 500, costs=COSTS, engine="aurora-mysql", vcpu=8, allowed_x=0.7, skew_x=1.5
    )
    assert float(skewed.readers) == 6  # 30 / 5.1


def test_readers_needed_is_where_the_hottest_reader_fits() -> None:
    for reads, writes, engine in ((9_000, 800, "mysql"), (31_000, 100, "aurora-mysql")):
        of: dict[str, Any] = {"costs": COSTS, "engine": engine}
        n = int(dbr.readers_needed(reads, writes, vcpu=8, allowed_x=0.7, skew_x=1.2, **of).readers)
        hottest = [
            float(
                dbr.reader_usage(
                    reads, writes, readers=k, reads_on_readers=1.0, skew_x=1.2, **of
                ).cpu_cores
            )
            for k in (n, n - 1)
        ]
        assert hottest[0] <= 5.6 < hottest[1]


def test_dns_skew_against_simulated_clients() -> None:
    rng = np.random.default_rng(3)
    for clients, readers in ((30, 3), (400, 5), (6, 4)):
        placed = rng.multinomial(clients, np.full(readers, 1 / readers), size=20_000).max(axis=1)
        skew = placed * readers / clients
        bound = dbf.dns_skew_x(clients, readers=readers, quantile=0.99)
        assert np.mean(skew <= bound + 1e-9) >= 0.99
        assert np.mean(skew <= bound - readers / clients + 1e-9) < 0.99  # one client less fails
    assert dbf.dns_skew_x(10, readers=1) == dbf.dns_skew_x(0, readers=3) == 1.0


def test_measured_skew_ignores_gaps() -> None:
    assert dbf.measured_skew_x(np.array([[3, 1], [np.nan, 1], [0, 0], [3, 1]])) == 1.5
    with pytest.raises(InputError, match="no row with a load"):
        dbf.measured_skew_x([[0, 0]])


@settings(deadline=None, max_examples=80)
@given(
    reads=st.floats(0, 1e5),
    writes=st.floats(0, 2000),
    more=st.floats(1, 2),
    lost=st.integers(0, 3),
    engine=st.sampled_from(["mysql", "aurora-mysql"]),
)
def test_more_load_failures_or_skew_never_need_fewer_readers(
    reads: float, writes: float, more: float, lost: int, engine: Engine
) -> None:
    def readers(r: float, w: float, k: int, skew: float = 1.0) -> float:
        need = dbr.readers_needed(
            r, w, costs=COSTS, engine=engine, vcpu=8, allowed_x=0.7, lost=k, skew_x=skew
        )
        return float(need.readers)

    base = readers(reads, writes, lost)
    assert readers(reads * more, writes, lost) >= base
    assert readers(reads, writes * more, lost) >= base
    assert readers(reads, writes, lost + 1) >= base
    assert readers(reads, writes, lost, more) >= base


@pytest.mark.slow
@settings(deadline=None, max_examples=80)
@given(readers=st.integers(0, 14), zones=st.integers(1, 4), lost=st.integers(0, 3))
def test_one_more_reader_never_leaves_fewer(readers: int, zones: int, lost: int) -> None:
    failure = DbFailure(zones_lost=min(lost, zones - 1))
    few, many = (
        dbf.after_failure(failure, readers=n, engine="aurora-mysql", zones=zones).serving
        for n in (readers, readers + 1)
    )
    assert few <= many <= few + 1
