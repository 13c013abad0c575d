from __future__ import annotations

import datetime as dt
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from capmodel.capacity import db_season as dbn
from capmodel.errors import InputError

YEAR: dict[str, Any] = {"start": dt.date(2026, 1, 1), "end": dt.date(2027, 1, 1)}


def test_apply_utilization_by_engine_and_appliers() -> None:
    of: dict[str, Any] = {"apply_s_per_write": 0.0005}
    assert float(dbn.apply_utilization(2400, engine="mysql", **of)) == pytest.approx(1.2)
    parallel = dbn.apply_utilization(2400, engine="mysql", appliers=4, **of)
    assert float(parallel) == pytest.approx(0.3)
    assert float(dbn.apply_utilization(2400, engine="aurora-mysql", **of)) == 0


def test_lag_of_a_steady_overload_and_its_drain() -> None:
    # 1 h at 1.2: 720 s of work left, (1.2 - 1) / 1.2 h = 600 s behind; then 0.8: 720 / 0.2 = 1 h.
    # The hour's last write is applied after 72 minutes of work: 720 s late, the worst.
    busy = np.concatenate([np.full(60, 1.2), np.full(90, 0.8)])
    lag = dbn.replica_lag(busy, step_s=60)
    assert lag.backlog_s[0, 59] == pytest.approx(720)
    assert lag.lag_s[0, 59] == pytest.approx(600)
    assert lag.lag_s[0, 118] > 0
    assert lag.lag_s[0, 120:].tolist() == [0.0] * 30
    assert lag.worst_s.tolist() == pytest.approx([720])
    assert int(lag.lag_s[0].argmax()) == 71


def test_lag_against_a_replayed_binlog() -> None:
    # Planted: every write is replayed one by one by one thread; lag is the age of the one applied.
    rng = np.random.default_rng(11)
    rate = np.concatenate([np.full(300, 80.0), np.full(300, 130.0), np.full(600, 70.0)])
    per_second = rng.poisson(rate)
    arrivals = np.repeat(np.arange(1200), per_second) + rng.uniform(size=per_second.sum())
    arrivals.sort()
    service = 0.01
    done = service * np.arange(1, len(arrivals) + 1) + np.maximum.accumulate(
        arrivals - service * np.arange(len(arrivals))
    )
    lag = dbn.replica_lag(per_second * service, step_s=1.0).lag_s[0]
    for second in (450, 599, 700, 800):
        applying = np.searchsorted(done, second + 1)
        assert lag[second] == pytest.approx(second + 1 - arrivals[applying], abs=0.5)


@settings(deadline=None, max_examples=60)
@given(busy=arrays(float, (3, 20), elements=st.floats(0, 3)), more=st.floats(1, 2))
def test_more_writes_never_lag_less_and_steps_equal_the_recursion(
    busy: np.ndarray, more: float
) -> None:
    lag = dbn.replica_lag(busy, step_s=60)
    backlog = np.zeros(3)
    for t in range(20):
        backlog = np.maximum(backlog + (busy[:, t] - 1) * 60, 0)
        assert lag.backlog_s[:, t] == pytest.approx(backlog, abs=1e-6)
    heavier = dbn.replica_lag(busy * more, step_s=60)
    assert np.all(heavier.backlog_s >= lag.backlog_s - 1e-6)
    assert np.all((lag.lag_s >= 0) & (lag.lag_s <= 20 * 60))


def test_warm_up_sheet() -> None:
    # 96 GiB at 125 MiB/s: 98,304 / 125 = 786.4 s; at 3,000 misses/s of 16 KiB (46.9 MiB/s) 2,097 s.
    assert float(dbn.warm_up_s(96, read_mib_per_s=125)) == pytest.approx(786.432)
    slow = dbn.warm_up_s([96, 0], read_mib_per_s=125, misses_per_s=3000)
    assert slow.tolist() == pytest.approx([2097.152, 0])
    assert dbn.warm_up_s([1, 0], read_mib_per_s=0).tolist() == [np.inf, 0]


def test_extended_support_of_mysql_8_0() -> None:
    # k8s-aws-cost: db.r6g.4xlarge, 730 h: 11,680 vCPU-hours, 1,168 USD at 0.10.
    hours = dbn.extended_support(
        "mysql", "8.0", vcpu=16, instances=1, start=dt.date(2026, 8, 1), end=dt.date(2026, 8, 31)
    )
    assert hours.vcpu_hours == 16 * 24 * 30
    whole = dbn.extended_support("mysql", "8.0", vcpu=16, instances=3, **YEAR)
    assert whole.vcpu_hours == 16 * 3 * 24 * 153  # 1 August to 31 December
    assert whole.vcpu_hours_year_3 == 0
    assert whole.dates.ends == dt.date(2026, 7, 31)
    before = dbn.extended_support(
        "mysql", "8.0", vcpu=16, instances=1, start=dt.date(2026, 1, 1), end=dt.date(2026, 8, 1)
    )
    assert before.vcpu_hours == 0


def test_extended_support_third_year_and_aurora() -> None:
    # RDS MySQL 5.7 is billed from 2024-03-01, so the third year begins on 2026-03-01.
    old = dbn.extended_support("mysql", "5.7", vcpu=2, instances=1, **YEAR)
    assert (old.vcpu_hours, old.vcpu_hours_year_3) == (2 * 24 * 59, 2 * 24 * 306)
    aurora = dbn.extended_support("aurora-mysql", "5.7", vcpu=2, instances=1, **YEAR)
    assert aurora.vcpu_hours == 2 * 24 * 334  # from 2024-12-01: two years end on 2026-12-01
    assert aurora.vcpu_hours_year_3 == 2 * 24 * 31


def test_dates_that_were_not_read_must_be_given() -> None:
    with pytest.raises(InputError, match=r"aurora-mysql 8\.0.*SupportDates"):
        dbn.extended_support("aurora-mysql", "8.0", vcpu=2, instances=1, **YEAR)
    mine = dbn.SupportDates(dt.date(2026, 2, 28), dt.date(2024, 2, 29), "a contract")
    hours = dbn.extended_support("mysql", "8.4", vcpu=1, instances=1, dates=mine, **YEAR)
    assert hours.vcpu_hours == 24 * 59  # up to 2026-03-01, two years after a leap day
    with pytest.raises(InputError, match="not before 2027"):
        dbn.extended_support(
            "mysql", "8.0", vcpu=1, instances=1, start=YEAR["end"], end=YEAR["start"]
        )


DAYS = [dt.date(2026, 11, 25) + dt.timedelta(d) for d in range(4)]


def test_the_first_day_and_the_limit_that_is_outgrown() -> None:
    cores = np.array([[30, 45, 50, 40], [30, 44, 60, 40], [30, 46, 70, 40]])
    needs = {"cpu_cores": cores, "connections": np.tile([1000, 5000, 5200, 9000], (3, 1))}
    allowed = {"cpu_cores": 45.0, "connections": 5100.0}
    of: dict[str, Any] = {"allowed": allowed, "dates": DAYS, "db_class": "db.r6g.16xlarge"}
    found = dbn.outgrown_on(needs, **of)
    assert found is not None
    assert (found.date, found.limit, found.need) == (DAYS[2], "cpu_cores", 60)
    early = dbn.outgrown_on(needs, quantile=0.9, **of)
    assert early is not None
    assert early.date == DAYS[1]
    weighted = dbn.outgrown_on(needs, weights=[0.2, 0.2, 0.6], **of)
    assert weighted is not None
    assert (weighted.date, weighted.need) == (DAYS[1], 46)
    assert dbn.outgrown_on({"cpu_cores": cores / 2}, **of) is None


def test_needs_must_match_dates_and_allowances() -> None:
    of: dict[str, Any] = {
        "allowed": {"cpu_cores": 1.0},
        "dates": DAYS,
        "db_class": "db.r6g.16xlarge",
    }
    with pytest.raises(InputError, match="no allowance"):
        dbn.outgrown_on({"iops": [[1, 1, 1, 1]]}, **of)
    with pytest.raises(InputError, match=r"shape \(1, 2\)"):
        dbn.outgrown_on({"cpu_cores": [[1, 1]]}, **of)
