"""Laws of databases: published tables, hand sheets, planted growth, bad input."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from capmodel.errors import InputError
from capmodel.usage.database_io import (
    buffer_pool_misses,
    flush_iops,
    fsyncs_per_s,
    io_per_s,
    log_mib_per_s,
    miss_ratio_bound,
)
from capmodel.usage.databases import (
    ConnectionBuffers,
    aurora_mysql_max_connections,
    connection_memory_mib,
    min_replicas,
    pool_size,
    rds_mysql_max_connections,
    replica_utilization,
    threads_running,
    writer_bound_x,
)
from capmodel.usage.storage import binlog_gib, rows_gib_per_day, storage_growth

rates = st.floats(0, 1e5)
ratios = st.floats(0, 1)


@pytest.mark.parametrize(
    ("qps", "latency_s", "threads"), [(5_000, 0.004, 20), (20_000, 0.0015, 30), (800, 0.025, 20)]
)
def test_threads_running(qps: float, latency_s: float, threads: float) -> None:
    assert threads_running(qps, latency_s) == pytest.approx(threads, rel=1e-12)


@pytest.mark.real
def test_little_on_measured_databases(data_dir: Path) -> None:
    """54 runs of sysbench-tpcc on Aurora, RDS and Kubernetes, 1 to 256 threads (Percona 2020)."""
    runs = pd.read_csv(data_dir / "percona_aurora_rds_tpcc_2020" / "summary.csv")
    running = threads_running(runs["tps_total"], runs["avg_ms"] / 1000)
    assert len(runs) == 54
    assert np.abs(running / runs["threads"] - 1).max() < 0.001


@given(rates, st.floats(1e-4, 1), st.floats(1.01, 100))
def test_threads_do_not_know_the_unit_of_time(qps: float, latency_s: float, unit: float) -> None:
    scaled = threads_running(qps * unit, latency_s / unit)
    assert scaled == pytest.approx(threads_running(qps, latency_s), rel=1e-12)


def erlang_c(c: int, a: float) -> float:
    """Return Erlang's delay formula in its textbook form (Kleinrock 1975, equation 3.40)."""
    last = a**c / math.factorial(c) * c / (c - a)
    return last / (sum(a**k / math.factorial(k) for k in range(c)) + last)


@pytest.mark.parametrize(("qps", "pods"), [(5_000, 1), (5_000, 10), (800, 4), (50, 1)])
def test_pool_is_the_smallest_that_holds(qps: float, pods: int) -> None:
    size, busy = pool_size(qps, 0.004, pods=pods, wait_probability=0.01), qps * 0.004 / pods
    assert erlang_c(size, busy) <= 0.01
    assert size - 1 <= busy or erlang_c(size - 1, busy) > 0.01


@given(st.floats(0, 2_000), st.floats(1.0, 3.0), st.floats(0.001, 0.4))
def test_pools_grow_with_load_and_strictness(qps: float, more: float, wait: float) -> None:
    size = pool_size(qps, 0.01, wait_probability=wait)
    assert size >= 1
    assert pool_size(qps * more, 0.01, wait_probability=wait) >= size
    assert pool_size(qps, 0.01, wait_probability=wait / 2) >= size


def test_small_pools_need_more_together() -> None:
    assert [n * pool_size(5_000, 0.004, pods=n) for n in (1, 10, 100)] == [32, 70, 300]


def test_default_max_connections() -> None:
    """Values of the parameter groups' formulas before the instance's reservation, by hand."""
    rds = rds_mysql_max_connections([1, 8, 16, 64])
    assert rds.round(2).tolist() == [85.33, 682.67, 1365.34, 5461.35]
    aurora = aurora_mysql_max_connections([8, 16, 32])
    assert aurora.round(2).tolist() == [153.68, 1069.26, 2069.26]
    # Each doubling adds 45 connections on the small branch, 1,000 on the large one.
    small, large = aurora_mysql_max_connections([2, 4]), aurora_mysql_max_connections([64, 128])
    assert np.diff(small).item() == pytest.approx(45)
    assert np.diff(large).item() == pytest.approx(1000)


def test_memory_of_a_connection() -> None:
    """Hand sheet: 1,024 + 2·16 + 32 idle; 256 + 256 + 128 + 256 of queries; 16,384 a table."""
    buffers = ConnectionBuffers()
    assert connection_memory_mib(buffers, in_use_x=0, tmp_tables_x=0) == 1088 / 1024
    assert connection_memory_mib(buffers, in_use_x=1, tmp_tables_x=0) == 1984 / 1024
    assert connection_memory_mib(buffers, in_use_x=0.1, tmp_tables_x=0.05) == pytest.approx(
        (1088 + 89.6 + 819.2) / 1024
    )


def test_misses_not_the_ratio() -> None:
    misses = buffer_pool_misses([1e5, 1e5, 7e5], hit_ratio=[0.999, 0.99, 0.995])
    assert misses.tolist() == pytest.approx([100, 1000, 3500], rel=1e-9)
    doubled = buffer_pool_misses(1e5, hit_ratio=0.99, miss_x=2.0)
    assert doubled == pytest.approx(2000, rel=1e-9)


@given(rates, st.floats(0.5, 1), st.floats(1, 3), st.floats(1, 2))
def test_misses_grow_with_reads_and_factor(
    reads: float, hit: float, more: float, factor: float
) -> None:
    misses = buffer_pool_misses(reads, hit_ratio=hit)
    assert buffer_pool_misses(reads * more, hit_ratio=hit) >= misses
    assert misses <= buffer_pool_misses(reads, hit_ratio=hit, miss_x=factor) <= reads * (1 + 1e-9)


def test_miss_ratio_of_even_access() -> None:
    """A pool of 300 of 400 pages, read at random, misses a quarter; a skewed one misses less."""
    rng = np.random.default_rng(7)
    for exponent, low, high in ((0.0, 0.24, 0.26), (1.2, 0.0, 0.24)):
        weight = 1 / np.arange(1, 401) ** exponent
        pages = rng.choice(400, 30_000, p=weight / weight.sum())
        held: dict[int, None] = {}
        missed = 0
        for i, page in enumerate(pages.tolist()):
            hit = page in held
            missed += not hit and i >= 5_000
            held.pop(page, None)
            held[page] = None
            if len(held) > 300:
                del held[next(iter(held))]
        assert low <= missed / 25_000 <= high
    assert miss_ratio_bound(300, 400) == 0.25
    assert miss_ratio_bound(300, 200) == 0


def test_writes_of_the_device() -> None:
    """Hand sheet: 2 MiB/s of redo, 512 bytes a change: 4,096 changes, each page written twice."""
    redo = log_mib_per_s(4_096, bytes_per_write=512)
    assert redo == 2
    assert flush_iops(redo, redo_bytes_per_change=512) == 8192
    assert flush_iops(redo, redo_bytes_per_change=512, doublewrite_x=1) == 4096
    assert flush_iops(redo, redo_bytes_per_change=512, changes_per_flush=4) == 2048
    assert fsyncs_per_s(3_000, group_size=6, logs=2) == 1000
    assert io_per_s(125, io_kib=[16, 256]).tolist() == [8000, 500]


def test_growth_from_rows_and_binlogs() -> None:
    """Hand sheet: 86.4 million rows a day of 200 + 100 bytes; 2 MiB/s kept for a day."""
    grown = rows_gib_per_day(1_000, bytes_per_row=200, indexes_x=0.5)
    assert grown == pytest.approx(86.4e6 * 300 / 2**30)
    assert binlog_gib(2.0, retention_h=24) == 168.75


def test_replicas_repeat_all_writes() -> None:
    assert replica_utilization(0.4, 1.2, replicas=3, apply_x=0.5) == pytest.approx(0.6)
    # One of three lost, or promoted: 0.2 + 1.2/2.
    assert replica_utilization(0.4, 1.2, replicas=2, apply_x=0.5) == pytest.approx(0.8)
    assert min_replicas(0.4, 1.2, apply_x=0.5, policy_x=0.6) == 4
    assert min_replicas(0.4, 0.0, apply_x=0.5, policy_x=0.6) == 2
    assert min_replicas(0.8, 0.1, apply_x=0.8, policy_x=0.6) is None
    assert replica_utilization(0.8, 1.2, replicas=1e9, apply_x=0.8) > 0.6


@given(ratios, st.floats(0, 20), st.floats(0.3, 1), st.floats(0.05, 1), st.integers(0, 2))
def test_fewest_replicas(
    writes: float, reads: float, apply_x: float, policy: float, spare: int
) -> None:
    n = min_replicas(writes, reads, apply_x=apply_x, policy_x=policy, spare=spare)
    if n is None:
        assert replica_utilization(writes, 0.0, replicas=1, apply_x=apply_x) >= policy - 1e-9
        return
    left = n - spare
    assert replica_utilization(writes, reads, replicas=left, apply_x=apply_x) <= policy + 1e-6
    if left > 1:
        few = replica_utilization(writes, reads, replicas=left - 1, apply_x=apply_x)
        assert few > policy - 1e-9
    more = min_replicas(writes, reads * 1.5, apply_x=apply_x, policy_x=policy, spare=spare)
    assert more is None or more >= n


def test_the_writer_bounds_everything() -> None:
    bound = writer_bound_x([0.25, 0.5, 0.0], policy_x=0.7, idle=0.05, reads_kept=0.0)
    assert bound.tolist() == pytest.approx([2.6, 1.3, math.inf])
    at_bound = 0.05 + 2.6 * 0.25
    assert at_bound == pytest.approx(0.7)


def walk(seed: int, days: int, *, rate: float, sd: float) -> np.ndarray:
    """Return storage that adds up what every day brings: no line with independent errors."""
    rng = np.random.default_rng(seed)
    return 500 + np.cumsum(rate + rng.normal(0, sd, days))


def test_growth_interval_covers_what_days_bring() -> None:
    covered = []
    for seed in range(60):
        growth = storage_growth(np.arange(60), walk(seed, 60, rate=2.0, sd=1.5))
        covered.append(growth.low <= 2.0 <= growth.high)
    assert np.mean(covered) >= 0.9


def test_purges_and_rebuilds_are_no_growth() -> None:
    day = np.arange(90)
    used = walk(1, 90, rate=3.0, sd=0.3) - 100 * (day >= 30) - 60 * (day >= 61)
    growth = storage_growth(day, used)
    assert [step.day for step in growth.steps] == [30, 61]
    assert [step.change_gib for step in growth.steps] == pytest.approx([-100, -60], abs=4)
    assert growth.low <= 3.0 <= growth.high
    assert growth.high - growth.low < 0.6
    assert growth.net_gib_per_day == pytest.approx((used[-1] - used[0]) / 89, abs=0.15)
    slower = growth.days_to_full(1_000, steps_go_on=True)
    assert slower.days > growth.days_to_full(1_000).days


def test_weekly_loads_are_growth_and_one_import_is_not() -> None:
    day = np.arange(84)
    weekly = 500 + np.cumsum(np.where(day % 7 == 3, 8.0, 1.0))
    assert storage_growth(day, weekly).gib_per_day == pytest.approx(2.0, abs=0.05)
    imported = storage_growth(day, 500 + day + 200.0 * (day >= 40))
    assert imported.gib_per_day == pytest.approx(1.0)
    assert [(s.day, round(s.change_gib, 6)) for s in imported.steps] == [(40, 200.0)]


def test_only_the_latest_rate_counts() -> None:
    day = np.arange(100)
    used = walk(3, 100, rate=2.0, sd=0.4) + 4.0 * np.maximum(day - 60, 0)
    growth = storage_growth(day, used)
    assert len(growth.rate_changes) == 1
    assert abs(growth.rate_changes[0].day - 60) <= 2
    assert growth.rate_changes[0].change_gib_per_day == pytest.approx(4, abs=0.5)
    assert growth.low <= 6.0 <= growth.high


def test_bad_values_and_gaps_change_little() -> None:
    hours = np.arange(60 * 24) / 24
    used = 800 + 2.5 * hours
    clean = storage_growth(hours, used)
    spoiled = used.copy()
    spoiled[24 * 20 : 24 * 21] *= 1.4
    spoiled[24 * 33 : 24 * 37] = np.nan
    dirty = storage_growth(hours, spoiled)
    assert (clean.n_days, dirty.n_days) == (60, 56)
    assert dirty.steps == ()
    assert clean.gib_per_day == pytest.approx(2.5)
    assert dirty.gib_per_day == pytest.approx(2.5, rel=0.001)


def test_days_to_full() -> None:
    growth = storage_growth(np.arange(60), walk(5, 60, rate=2.0, sd=0.5))
    full = growth.days_to_full(900)
    assert full.earliest < full.days < full.latest
    assert full.days == pytest.approx((900 - growth.level_gib) / growth.gib_per_day)
    assert growth.days_to_full(growth.level_gib / 2).days == 0
    still = storage_growth(np.arange(60), np.full(60, 500.0))
    assert still.days_to_full(900).days == math.inf
    shrinking = storage_growth(np.arange(60), 500 - 2.0 * np.arange(60))
    assert shrinking.gib_per_day == pytest.approx(-2)
    assert shrinking.days_to_full(900).earliest == math.inf


@given(st.integers(-20_000, 20_000), st.floats(0.01, 100))
def test_growth_knows_no_origin_and_no_unit(origin: int, unit: float) -> None:
    day, used = np.arange(40), walk(9, 40, rate=2.0, sd=0.5)
    plain, moved = storage_growth(day, used), storage_growth(day + origin, used * unit)
    assert moved.gib_per_day == pytest.approx(plain.gib_per_day * unit, rel=1e-6)
    assert moved.high == pytest.approx(plain.high * unit, rel=1e-6)
    assert moved.last_day == plain.last_day + origin


def test_bad_input_names_the_argument_and_the_remedy() -> None:
    with pytest.raises(InputError, match=r"hit_ratio: got 99\.0.*not percent"):
        buffer_pool_misses(1e5, hit_ratio=99)
    with pytest.raises(InputError, match="no read misses twice"):
        buffer_pool_misses(1e5, hit_ratio=0.5, miss_x=3)
    with pytest.raises(InputError) as caught:
        threads_running(-1, math.nan)
    assert [p.where for p in caught.value.problems] == ["qps", "latency_s"]
    with pytest.raises(InputError, match="memory_gib"):
        aurora_mysql_max_connections(0.5)
    with pytest.raises(InputError, match="wait_probability"):
        pool_size(100, 0.01, wait_probability=1.0)
    with pytest.raises(InputError, match="group_size"):
        fsyncs_per_s(100, group_size=0.5, logs=2)
    with pytest.raises(InputError, match="replicas"):
        replica_utilization(0.4, 1.2, replicas=0, apply_x=0.5)
    with pytest.raises(InputError, match="below policy_x"):
        writer_bound_x(0.4, policy_x=0.7, idle=0.8)


def test_bad_storage_input() -> None:
    day, used = np.arange(60.0), 500 + 2.0 * np.arange(60)
    with pytest.raises(InputError, match=r"20 days with a value.*rows_gib_per_day"):
        storage_growth(day[:20], used[:20])
    with pytest.raises(InputError, match="never decrease"):
        storage_growth(day[::-1], used)
    with pytest.raises(InputError) as caught:
        storage_growth(day, -used, min_days=10)
    assert [p.where for p in caught.value.problems] == ["min_days", "storage_gib"]
    with pytest.raises(InputError, match="Align"):
        storage_growth(day, used[:-1])
    with pytest.raises(InputError, match="0 days with a value"):
        storage_growth(day, np.full(60, np.nan))
    with pytest.raises(InputError, match="limit_gib"):
        storage_growth(day, used).days_to_full(0)
