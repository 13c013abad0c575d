from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capmodel.capacity import databases as db
from capmodel.capacity.databases import Caller, ClassLadder
from capmodel.catalog import Catalog
from capmodel.errors import InputError

FAMILY = Catalog.builtin().db_ladder("aurora-mysql", "db.r6g.4xlarge")
LADDER = ClassLadder(FAMILY, today="db.r6g.4xlarge")


def test_the_surge_of_a_rollout_opens_its_own_pools() -> None:
    # 20 pods with a pool of 30 and a surge of 25 % are 750 connections, not 600.
    assert float(db.caller_connections(20, pool_max=30, surge=0.25)) == 750
    assert float(db.caller_connections(20, pool_max=30, surge=0.0)) == 600
    assert float(db.caller_connections(21, pool_max=10, processes=2, surge=0.25)) == 27 * 2 * 10


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


def test_shares_of_nothing_are_zero() -> None:
    use = db.connection_use([Caller("idle", 0, 20)])
    assert (use.total, use.shares) == (0, {"idle": 0.0})


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
