from __future__ import annotations

import datetime as dt
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capmodel.capacity import db_autoscaling as dba
from capmodel.capacity import db_storage as dbs
from capmodel.capacity.db_storage import DbVolume
from capmodel.catalog import Catalog
from capmodel.errors import InputError

CATALOG = Catalog.builtin()


def rds(name: str):
    return CATALOG.db_class("mysql", name)


def test_trap_9_gp3_at_399_and_400_gib() -> None:
    below, above = (dbs.volume_limits(DbVolume(gib=gib)) for gib in (399, 400))
    assert (below.iops, below.throughput_mib, below.striped) == (3_000, 125, False)
    assert (above.iops, above.throughput_mib, above.striped) == (12_000, 500, True)
    assert above.iops == 4 * below.iops


@pytest.mark.parametrize(
    ("volume", "iops", "mib"),
    [
        (DbVolume(gib=400, iops=64_000, throughput_mib=4_000), 64_000, 4_000),
        (DbVolume(gib=400, iops=16_000, throughput_mib=4_000), 16_000, 4_000),
        (DbVolume(storage_type="gp2", gib=20), 100, None),
        (DbVolume(storage_type="gp2", gib=500), 1_500, None),  # not the burst of 3,000
        (DbVolume(storage_type="gp2", gib=30_000), 64_000, None),
        (DbVolume(storage_type="io1", gib=100, iops=5_000), 5_000, None),
        (DbVolume(storage_type="io2", gib=400, iops=256_000), 256_000, None),
    ],
)
def test_volume_tables(volume: DbVolume, iops: float, mib: float | None) -> None:
    held = dbs.volume_limits(volume)
    assert (held.iops, held.throughput_mib) == (iops, mib)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"gib": 399, "iops": 12_000}, "3000, fixed below 400 GiB"),
        ({"gib": 399, "throughput_mib": 500}, "125, fixed below 400 GiB"),
        ({"gib": 400, "iops": 3_000}, "12000 to 64000"),
        ({"gib": 400, "iops": 64_001}, "12000 to 64000"),
        ({"gib": 400, "throughput_mib": 3_001}, "500 to 3000 at 12000 IOPS"),
        ({"gib": 100, "storage_type": "io1", "iops": 5_001}, "50 to 5000 on 100 GiB"),
        ({"gib": 100, "storage_type": "io1", "iops": 49}, "50 to 5000"),
        ({"gib": 100, "storage_type": "io1"}, "what is provisioned"),
        ({"gib": 100, "storage_type": "io2", "iops": 256_001}, "at most 256000"),
        ({"gib": 100, "storage_type": "gp2", "iops": 300}, "gp2 earns 3 per GiB"),
        ({"gib": 100, "storage_type": "gp2", "throughput_mib": 250}, "gp3's alone"),
    ],
)
def test_what_rds_would_refuse(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        dbs.volume_limits(DbVolume(**fields))


def test_all_faults_of_a_volume_are_collected() -> None:
    with pytest.raises(InputError) as error:
        dbs.volume_limits(DbVolume(gib=399, iops=12_000, throughput_mib=500))
    assert len(error.value.problems) == 2


def test_the_smaller_of_volume_and_instance_on_the_baseline() -> None:
    volume = DbVolume(gib=400)
    small = dbs.storage_limits(rds("db.r6g.large"), volume)
    # Baseline 3,600 IOPS and 78.75 MB/s; the class bursts to 20,000, the volume has 12,000.
    assert (small.iops, small.iops_binding, small.burst_iops) == (3_600, "instance", 12_000)
    assert small.throughput_mib == pytest.approx(78.75e6 / 2**20)
    large = dbs.storage_limits(rds("db.r6g.8xlarge"), volume)
    assert (large.iops, large.iops_binding) == (12_000, "volume")
    assert (large.throughput_mib, large.throughput_binding) == (500, "volume")


def test_trap_10_mb_is_not_mib() -> None:
    assert round(dbs.MIB_PER_MB, 5) == 0.95367
    # 600 MiB/s of a volume do not fit through 593.75 MB/s of db.r6g.4xlarge.
    held = dbs.storage_limits(rds("db.r6g.4xlarge"), DbVolume(gib=400, throughput_mib=600))
    assert held.throughput_binding == "instance"
    assert held.throughput_mib == pytest.approx(566.244, abs=1e-3)


def test_unknown_sides_are_named_and_aurora_has_no_volume() -> None:
    io1 = DbVolume(storage_type="io1", gib=100, iops=5_000)
    held = dbs.storage_limits(rds("db.r6g.4xlarge"), io1)
    assert held.unknown == ("volume throughput_mib",)
    without = dbs.storage_limits(rds("db.r6g.4xlarge"), None)
    assert (without.iops, without.iops_binding) == (20_000, "instance")
    assert without.unknown == ("volume iops", "volume throughput_mib")
    aurora = CATALOG.db_class("aurora-mysql", "db.r6g.large")
    assert dbs.storage_limits(aurora, None).iops == math.inf
    with pytest.raises(InputError, match="a volume of aurora-mysql"):
        dbs.storage_limits(aurora, DbVolume(gib=400))


@settings(deadline=None, max_examples=100)
@given(gib=st.floats(20, 60_000), iops=st.floats(0, 64_000), mib=st.floats(0, 4_000))
def test_the_proposed_gp3_volume_is_valid_and_sustains_the_need(
    gib: float, iops: float, mib: float
) -> None:
    held = dbs.volume_limits(dbs.gp3_volume(gib=gib, iops=iops, throughput_mib=mib))
    assert held.iops >= iops
    assert held.throughput_mib is not None
    assert held.throughput_mib >= mib


def test_no_gp3_volume_beyond_its_maxima() -> None:
    with pytest.raises(InputError) as error:
        dbs.gp3_volume(gib=400, iops=64_001, throughput_mib=4_001)
    assert len(error.value.problems) == 2


def test_crossing_400_gib_is_a_finding_before_the_freeze() -> None:
    freeze = dt.date(2026, 11, 2)
    of: dict[str, Any] = {"to_gib": 400.0, "freeze_from": freeze}
    volume = DbVolume(gib=399)
    (inside,) = dbs.gp3_step_findings("core-db", volume, crosses_on=freeze, **of)
    assert (inside.code, inside.severity) == ("gp3_step_in_freeze", "warning")
    assert "copies all data" in inside.message
    assert "before the freeze of 2026-11-02" in inside.message
    (early,) = dbs.gp3_step_findings("core-db", volume, crosses_on=dt.date(2026, 11, 1), **of)
    assert early.code == "gp3_step"
    already = DbVolume(gib=400)
    assert not len(dbs.gp3_step_findings("core-db", already, crosses_on=freeze, **of))
    gp2 = DbVolume(storage_type="gp2", gib=399)
    assert not dbs.crosses_gp3_step(gp2, to_gib=500)


def test_days_until_full() -> None:
    used = np.array([[900.0, 950, 1000, 1000.1], [1, 2, 3, 4]])
    assert dba.days_until_full(used, allocated_gib=1000).tolist() == [3, math.inf]


def test_autoscaling_sheet() -> None:
    # 1,000 GiB, +10 GiB/h from 880. Low at 900 (2 h), five minutes later +max(5, 100, 70) = 1,100;
    # low again at 990 (11 h): +110 = 1,210; at 1,089 (20.9 h): 1,331.
    hours = np.arange(0, 24, 1 / 12)
    run = dba.autoscale_storage(880 + 10 * hours, allocated_gib=1000, max_gib=4000)
    sizes = run.allocated_gib[0]
    assert sizes[[24, 25, 132, 133, -1]].tolist() == [1000, 1100, 1100, 1210, 1331]
    assert (run.expansions.tolist(), run.p_full) == ([3], 0.0)


def test_seven_hours_of_growth_survive_the_six_hour_wait_when_steady() -> None:
    # 100 GiB/h: the trigger at 900 adds 7 x 100 = 700; six hours later 1,500 of 1,700 are used.
    hours = np.arange(0, 18, 1 / 12)
    steady = 700 + 100 * hours
    assert dba.autoscale_storage(steady, allocated_gib=1000, max_gib=9000).p_full == 0
    capped = dba.autoscale_storage(steady, allocated_gib=1000, max_gib=1200)
    assert capped.first_full[0] == 61  # above 1,200 after 5 h
    assert capped.expansions[0] == 1


@pytest.mark.parametrize(("speed_x", "full"), [(0.97, False), (1.03, True)])
def test_a_fill_that_speeds_up_beats_the_wait_at_the_closed_form(
    speed_x: float, *, full: bool
) -> None:
    before = 10.0
    limit = float(dba.fastest_fill_gib_per_h(1000, rate_gib_per_h=before))
    hours = np.arange(0, 8.5, 1 / 60)
    trigger = 2 + 5 / 60  # 900 GiB at 2 h, five minutes low
    after = np.maximum(hours - trigger, 0) * (speed_x * limit - before)
    used = 880 + before * hours + after
    run = dba.autoscale_storage(used, allocated_gib=1000, max_gib=9000, step_s=60)
    assert (run.p_full == 1) is full


def test_a_recent_change_postpones_the_first_expansion() -> None:
    used = 950 + 20 * np.arange(0, 5, 1 / 12)
    fresh = dba.autoscale_storage(used, allocated_gib=1000, max_gib=4000, changed_h_ago=1.0)
    assert fresh.p_full == 1
    assert dba.autoscale_storage(used, allocated_gib=1000, max_gib=4000).p_full == 0


def test_draws_do_not_touch_each_other() -> None:
    rng = np.random.default_rng(5)
    used = 850 + np.cumsum(rng.gamma(2, 0.4, (6, 300)), axis=1)
    together = dba.autoscale_storage(used, allocated_gib=1000, max_gib=4000)
    alone = [dba.autoscale_storage(row, allocated_gib=1000, max_gib=4000) for row in used]
    assert together.first_full.tolist() == [int(run.first_full[0]) for run in alone]
    assert np.all(np.diff(together.allocated_gib, axis=1) >= 0)


def test_bad_input_of_autoscaling() -> None:
    with pytest.raises(InputError) as error:
        dba.autoscale_storage([1, np.nan], allocated_gib=1000, max_gib=900, step_s=600)
    assert len(error.value.problems) == 3
