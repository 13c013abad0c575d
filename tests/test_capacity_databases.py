from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capmodel.capacity import databases as db
from capmodel.capacity.databases import Caller, ClassLadder, ClassNeed
from capmodel.catalog import Catalog, DbClass
from capmodel.errors import InputError

FAMILY = Catalog.builtin().db_ladder("aurora-mysql", "db.r6g.4xlarge")
LADDER = ClassLadder(FAMILY, today="db.r6g.4xlarge")

# Story A5: pods and pools today; everything scales with traffic.
TODAY = (
    Caller("checkout-api", 40, 20),
    Caller("account-service", 15, 15),
    Caller("ledger", 20, 20),
)


def at(multiple: float) -> list[Caller]:
    return [dataclasses.replace(c, replicas=c.replicas * multiple) for c in TODAY]


def need(cores: float = 1.0, connections: float = 100.0) -> ClassNeed:
    return ClassNeed(cores, connections, cpu_policy_x=0.70, connections_policy_x=0.85)


def test_story_a5_connections_break_before_cpu() -> None:
    assert db.connection_use(TODAY).total == 1425
    use = db.connection_use(at(3.0))
    assert use.total == 4275
    assert use.total / 4000 == pytest.approx(1.069, abs=5e-4)
    assert db.status_of(use.total / 4000, policy_x=0.85) == "RED"
    assert list(use.shares) == ["checkout-api", "ledger", "account-service"]
    assert sum(use.shares.values()) == pytest.approx(1)
    cores = float(db.writer_cores(6000, 0, idle=0.4, per_read=0.00156, per_write=0.00156))
    assert cores / 16 == pytest.approx(0.610, abs=5e-4)
    assert db.status_of(cores / 16, policy_x=0.70) == "GREEN"


def test_story_a5_multiples_at_which_policy_and_hard_limit_bind() -> None:
    def connections(x: float) -> float:
        pods = np.array([40, 15, 20]) * x
        return float(db.caller_connections(pods, pool_max=[20, 15, 20], continuous=True).sum())

    assert connections(2.386) / 4000 == pytest.approx(0.85, abs=2e-4)
    assert connections(2.807) / 4000 == pytest.approx(1.00, abs=2e-4)
    policy = float(db.writer_cores(2000 * 3.46, 0, idle=0.4, per_read=0.00156, per_write=0.0))
    assert policy / 16 == pytest.approx(0.70, abs=5e-4)


def test_the_surge_of_a_rollout_opens_its_own_pools() -> None:
    # 20 pods with a pool of 30 and a surge of 25 % are 750 connections, not 600.
    assert float(db.caller_connections(20, pool_max=30, surge=0.25)) == 750
    assert float(db.caller_connections(20, pool_max=30, surge=0.0)) == 600
    assert float(db.caller_connections(21, pool_max=10, processes=2, surge=0.25)) == 27 * 2 * 10


def test_reads_on_readers_leave_the_writer() -> None:
    cores = db.writer_cores(
        [1000, 0], [100, 100], idle=0.5, per_read=0.001, per_write=0.002, reads_on_readers=0.75
    )
    assert cores == pytest.approx([0.5 + 0.25 + 0.2, 0.5 + 0.2])
    with pytest.raises(InputError, match="reads_on_readers"):
        db.writer_cores(1, 1, idle=0, per_read=0, per_write=0, reads_on_readers=1.5)


def test_the_present_class_stays_while_it_holds() -> None:
    choice = db.choose_class(LADDER, need=need(11.2, 3400))
    assert choice.chosen is LADDER.now
    assert (choice.rejected, choice.binding, choice.outgrown) == ((), "", False)


def test_each_rejected_class_says_which_limit_fails() -> None:
    choice = db.choose_class(LADDER, need=need(9.76, 4275))
    assert choice.chosen is not None
    assert choice.chosen.name == "db.r6g.12xlarge"
    assert [r.name for r in choice.rejected] == ["db.r6g.4xlarge", "db.r6g.8xlarge"]
    assert choice.rejected[1].reason == (
        "db.r6g.8xlarge: 4,275 connections, 4,250 allowed by policy"
    )
    assert choice.binding == "connections"
    by_cpu = db.choose_class(LADDER, need=need(12.0, 100))
    assert by_cpu.chosen is not None
    assert (by_cpu.chosen.name, by_cpu.binding) == ("db.r6g.8xlarge", "cpu_cores")


def test_an_outgrown_family_names_the_binding_limit() -> None:
    choice = db.choose_class(LADDER, need=need(60.0, 1000))
    assert (choice.outgrown, choice.chosen, choice.binding) == (True, None, "cpu_cores")
    assert len(choice.rejected) == 4
    crowded = db.choose_class(LADDER, need=need(1.0, 6000))
    assert (crowded.outgrown, crowded.binding) == (True, "connections")


def test_a_season_does_not_shrink_a_database_unless_asked() -> None:
    assert db.choose_class(LADDER, need=need(1.0, 500)).chosen is LADDER.now
    smaller = db.choose_class(LADDER, need=need(1.0, 500), allow_smaller=True)
    assert smaller.chosen is not None
    assert smaller.chosen.name == "db.r6g.large"


@pytest.mark.parametrize(
    ("name", "declared", "expected"),
    [
        ("db.r6g.4xlarge", 3500, 3500),  # the parameter, below the default
        ("db.r6g.8xlarge", 3500, 5000),  # upwards the larger of both
        ("db.r6g.8xlarge", 9000, 9000),
        ("db.r6g.xlarge", 3500, 2000),  # downwards the smaller
        ("db.r6g.4xlarge", None, 4000),
    ],
)
def test_a_declared_parameter_moves_with_the_class(
    name: str, declared: int | None, expected: int
) -> None:
    candidate = next(c for c in FAMILY if c.name == name)
    assert db.connection_limit(candidate, declared=declared, today=LADDER.now) == expected


def test_an_unknown_default_must_be_declared() -> None:
    family = Catalog.builtin().db_ladder("aurora-mysql", "db.r7g.large")
    with pytest.raises(InputError, match=r"core-db.*no documented default.*db\.r7g\.large"):
        db.connection_limit(family[0], declared=None, today=family[0], where="core-db")
    assert db.connection_limit(family[1], declared=900, today=family[0]) == 900


def test_a_class_outside_the_ladder_offers_the_nearest() -> None:
    with pytest.raises(InputError, match=r'Did you mean "db\.r6g\.4xlarge"'):
        db.choose_class(ClassLadder(FAMILY, today="db.r6g4xlarge"), need=need())


def test_shares_of_nothing_are_zero() -> None:
    use = db.connection_use([Caller("idle", 0, 20)])
    assert (use.total, use.shares) == (0, {"idle": 0.0})


def _rank(chosen: DbClass | None) -> int:
    return len(FAMILY) if chosen is None else FAMILY.index(chosen)


@pytest.mark.slow
@settings(deadline=None, max_examples=100)
@given(
    cores=st.floats(0, 60), connections=st.floats(0, 7000), more=st.floats(1, 3), x=st.floats(0, 1)
)
def test_more_need_never_takes_a_smaller_class(
    cores: float, connections: float, more: float, x: float
) -> None:
    small = db.choose_class(LADDER, need=need(cores, connections), allow_smaller=True)
    large = need(cores * more, connections * (1 + x))
    assert _rank(db.choose_class(LADDER, need=large, allow_smaller=True).chosen) >= _rank(
        small.chosen
    )
    assert _rank(db.choose_class(LADDER, need=large).chosen) >= FAMILY.index(LADDER.now)


@given(
    pods=st.lists(st.integers(0, 500), min_size=1, max_size=6),
    surge=st.floats(0, 1),
    pool=st.integers(0, 50),
)
def test_connections_grow_with_pods_and_double_never_more_than_double(
    pods: list[int], surge: float, pool: int
) -> None:
    one = db.caller_connections(pods, pool_max=pool, surge=surge)
    two = db.caller_connections([2 * p for p in pods], pool_max=pool, surge=surge)
    assert (two >= one).all()
    assert (two <= 2 * one).all()
    assert (
        db.caller_connections(pods, pool_max=pool, surge=surge, continuous=True) <= one + 1e-6
    ).all()
