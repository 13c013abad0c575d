from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy.stats import poisson

from capmodel.capacity import db_connections as dbc
from capmodel.capacity.databases import Caller
from capmodel.catalog import Catalog
from capmodel.errors import InputError

CATALOG = Catalog.builtin()


@pytest.mark.parametrize(
    ("gib", "expected"), [(1, 85.33), (8, 682.67), (16, 1365.34), (64, 5461.35)]
)
def test_rds_formula(gib: float, expected: float) -> None:
    # DBInstanceClassMemory / 12582880 on the whole memory: 85.3 per GiB.
    assert float(dbc.connection_formula("mysql", gib)) == pytest.approx(expected, abs=0.01)


@pytest.mark.parametrize(
    ("gib", "formula", "table"),
    [
        (8, 153.68, None),
        (16, 1069.26, 1000),
        (32, 2069.26, 2000),
        (64, 3069.26, 3000),
        (128, 4069.26, 4000),
        (256, 5069.26, 5000),
        (384, 5654.23, 6000),
        (512, 6069.26, 6000),
        (768, 6654.23, 7000),
    ],
)
def test_aurora_formula_rounds_to_its_table(gib: float, formula: float, table: int | None) -> None:
    value = float(dbc.connection_formula("aurora-mysql", gib))
    assert value == pytest.approx(formula, abs=0.01)
    if table is not None:
        assert round(value, -3) == table


def test_aurora_never_passes_its_ceiling() -> None:
    assert float(dbc.connection_formula("aurora-mysql", 2.0**20)) == dbc.AURORA_CEILING == 16_000
    assert float(dbc.connection_formula("aurora-mysql", 0.5)) == 0.0


def test_the_documented_table_wins_and_its_difference_is_stated() -> None:
    twelve = dbc.class_connections(CATALOG.db_class("aurora-mysql", "db.r6g.12xlarge"))
    assert (twelve.value, twelve.basis) == (6000, "documented")
    assert twelve.difference_x == pytest.approx(6000 / 5654.23 - 1, abs=1e-4)  # +6.1 %
    small = dbc.class_connections(CATALOG.db_class("aurora-mysql", "db.t4g.medium"))
    assert (small.value, round(small.formula, 1)) == (90, 108.7)


def test_a_class_without_a_documented_default_gets_the_cautious_formula() -> None:
    # Quotas page: about 1,300 on 16 GiB, where the whole memory would give 1,365.
    rds = dbc.class_connections(CATALOG.db_class("mysql", "db.r6g.large"))
    assert (rds.value, rds.basis) == (1300, "formula")
    large = dbc.class_connections(CATALOG.db_class("aurora-mysql", "db.r7g.large"))
    assert (large.value, large.basis) == (1000, "formula")  # not 1,069
    twelve = dbc.class_connections(CATALOG.db_class("aurora-mysql", "db.r7g.12xlarge"))
    assert twelve.value == 5654  # not the 6,000 that rounding would give


def test_a_declared_parameter_comes_first() -> None:
    family = CATALOG.db_ladder("aurora-mysql", "db.r6g.4xlarge")
    kept = dbc.class_connections(family[3], declared=3500, today=family[3])
    assert (kept.value, kept.basis) == (3500, "declared")
    moved = dbc.class_connections(family[4], declared=3500, today=family[3])
    assert moved.value == 5000


def test_trap_11_connections_include_the_surge_and_everything_else() -> None:
    api = [Caller("api", 20, 30)]
    assert dbc.connection_demand(api).total == 600
    demand = dbc.connection_demand(
        api, surge=0.25, other=dbc.OtherConnections(batch=30, admin=5, reserved=10, draining=25)
    )
    assert (demand.pools, demand.total, demand.by_caller) == (750, 820, {"api": 750})
    nobody = dbc.connection_demand([], other=dbc.OtherConnections(admin=5))
    assert (nobody.pools, nobody.total) == (0, 5)
    with pytest.raises(ValidationError, match="2 validation errors"):
        dbc.OtherConnections(batch=-1, admin=float("nan"))


def test_littles_law_vectors() -> None:
    busy = dbc.busy_connections([5000, 20_000, 800], hold_s=[0.004, 0.0015, 0.025])
    assert busy.tolist() == [20, 30, 20]


def test_p99_of_busy_against_simulated_sessions() -> None:
    # Planted: deterministic and heavy-tailed holding times give the same number in use (M/G/inf).
    rng = np.random.default_rng(7)
    for holds in (np.full(400_000, 0.02), rng.lognormal(np.log(0.02) - 0.5, 1.0, 400_000)):
        starts = np.cumsum(rng.exponential(1 / 1500, 400_000))
        at = rng.uniform(starts[20_000], starts[-20_000], 4_000)
        ends = np.sort(starts + holds)
        in_use = np.searchsorted(starts, at) - np.searchsorted(ends, at)
        share = np.mean(in_use <= float(dbc.busy_connections(1500, hold_s=0.02, quantile=0.99)))
        assert 0.985 <= share <= 0.998


def test_pools_need_more_per_process_than_their_share_of_all() -> None:
    one = float(dbc.busy_connections(6000, hold_s=0.004, quantile=0.99)) / 40
    assert float(dbc.needed_pool(6000, hold_s=0.004, workers=40)) > one
    assert float(dbc.needed_pool(0, hold_s=0.004, workers=40)) == 1
    assert poisson.cdf(3, 0.6) >= 0.99 > poisson.cdf(2, 0.6)


def test_a_proxy_needs_busy_sessions_not_pools() -> None:
    callers = [Caller("api", 120, 20, qps=6000), Caller("ledger", 60, 20, qps=1000)]
    use = dbc.proxy_use(callers, max_connections=1000, hold_s=0.01, max_connections_percent=80)
    # Poisson(70) has its P99 at 90; 30 % to spare is 117 of the 800 granted; half of them idle.
    assert (use.busy, use.needed, use.allowed, use.idle) == (90, 117, 800, 400)
    assert use.percent == pytest.approx(11.7)
    assert use.holds
    pinned = dbc.proxy_use(callers, max_connections=1000, hold_s=0.01, pinned_share=0.5)
    assert pinned.busy > 1800  # half of 3,600 pooled connections are pinned
    assert not pinned.holds


def test_a_proxy_without_queries_or_with_odd_settings_is_refused() -> None:
    with pytest.raises(InputError, match="0 of api"):
        dbc.proxy_use([Caller("api", 10, 10)], max_connections=1000, hold_s=0.01)
    with pytest.raises(InputError) as error:
        dbc.proxy_use(
            [], max_connections=0, hold_s=0.01, max_connections_percent=120, pinned_share=2
        )
    assert len(error.value.problems) == 3


def test_reconnect_storm_sheet() -> None:
    # 4,000 in 2 s = 2,000/s at 8 ms each = 16 cores, four times a 4-vCPU server: 8 s until all are.
    storm = dbc.reconnect_storm([4000, 100], window_s=2, connect_core_s=0.008, vcpu=4)
    assert storm.rate_per_s.tolist() == [2000, 50]
    assert storm.cores.tolist() == [16, 0.4]
    assert storm.share_x.tolist() == [4, 0.1]
    assert storm.seconds.tolist() == [8, 2]


def test_an_unknown_engine_is_refused() -> None:
    with pytest.raises(InputError, match=r'"mysql" or "aurora-mysql"'):
        dbc.connection_formula("postgres", 16)  # type: ignore[arg-type]


@settings(deadline=None, max_examples=60)
@given(
    qps=st.floats(0, 1e5), hold=st.floats(0, 1), more=st.floats(1, 3), memory=st.floats(0.5, 2000)
)
def test_more_queries_or_memory_never_mean_less(
    qps: float, hold: float, more: float, memory: float
) -> None:
    busy = dbc.busy_connections([qps, qps * more], hold_s=hold, quantile=0.99)
    assert busy[1] >= busy[0] >= np.floor(qps * hold)
    for engine in ("mysql", "aurora-mysql"):
        few, many = dbc.connection_formula(engine, [memory, memory * more])
        assert many >= few >= 0
