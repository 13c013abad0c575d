from __future__ import annotations

import dataclasses
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capmodel.capacity import remedies
from capmodel.capacity.databases import Caller, ClassLadder, ClassNeed, connection_use
from capmodel.capacity.remedies import Remedy, RemedyTerms
from capmodel.catalog import Catalog

FAMILY = Catalog.builtin().db_ladder("aurora-mysql", "db.r6g.4xlarge")
LADDER = ClassLadder(FAMILY, today="db.r6g.4xlarge")
HOURS = 1080
SEASON_USD = {c.name: 2 * c.price_usd_per_hour * HOURS for c in FAMILY}  # writer and one reader
NEED = ClassNeed(9.76, 4275, cpu_policy_x=0.70, connections_policy_x=0.85)

# Story A5 at 3.0 times today's traffic.
CALLERS = (
    Caller("checkout-api", 120, 20, qps=3000),
    Caller("account-service", 45, 15, qps=1000),
    Caller("ledger", 60, 20, qps=2000),
)


def test_story_a5_the_pool_of_one_caller_is_the_first_remedy() -> None:
    larger = remedies.class_remedy(LADDER, need=NEED, limit="connections", season_usd=SEASON_USD)
    found = remedies.connection_remedies(CALLERS, limit=4000, policy_x=0.85, larger_class=larger)
    first = found[0]
    assert (first.remedy, first.from_value, first.to_value) == ("checkout-api pool_max", "20", "10")
    assert first.utilization_after * 4000 == pytest.approx(3075)
    assert round(first.utilization_after, 3) == 0.769
    assert first.status_after == "GREEN"
    assert first.usd_season == Decimal(0)
    assert [r.remedy for r in found[1:]] == ["ledger pool_max", "larger class", "proxy"]
    assert all(r.status_after == "GREEN" for r in found)


def test_the_larger_class_is_the_first_that_is_green() -> None:
    larger = remedies.class_remedy(LADDER, need=NEED, limit="connections", season_usd=SEASON_USD)
    assert larger is not None
    # 8xlarge holds 5,000: 85.5 % is above the policy; 12xlarge holds 6,000.
    assert larger.to_value == "db.r6g.12xlarge"
    assert larger.utilization_after == pytest.approx(4275 / 6000)
    assert larger.usd_season == 2 * (Decimal("6.228") - Decimal("2.076")) * HOURS
    cpu = remedies.class_remedy(LADDER, need=NEED, limit="cpu_cores", season_usd={})
    assert cpu is not None
    assert (cpu.to_value, cpu.usd_season) == ("db.r6g.8xlarge", None)


def test_a_class_that_does_not_suffice_is_still_shown_with_what_it_leaves() -> None:
    need = dataclasses.replace(NEED, connections=7000)
    larger = remedies.class_remedy(LADDER, need=need, limit="connections", season_usd=SEASON_USD)
    assert larger is not None
    # 12xlarge and 16xlarge hold 6,000 both.
    assert larger.status_after == "RED"
    assert larger.utilization_after == pytest.approx(7000 / 6000)


def test_no_class_remedy_at_the_top_or_where_a_parameter_rules() -> None:
    top = ClassLadder(FAMILY, today="db.r6g.16xlarge")
    assert remedies.class_remedy(top, need=NEED, limit="cpu_cores", season_usd=SEASON_USD) is None
    declared = ClassLadder(FAMILY, today="db.r6g.4xlarge", declared=16000)
    assert (
        remedies.class_remedy(declared, need=NEED, limit="connections", season_usd=SEASON_USD)
        is None
    )


def test_a_proxy_holds_what_littles_law_keeps_busy() -> None:
    found = remedies.proxy_remedy(CALLERS, limit=4000, policy_x=0.85)
    assert found is not None
    assert found.utilization_after == pytest.approx(6000 * 0.010 / 4000)
    assert (found.status_after, found.basis, found.usd_season) == ("GREEN", "assumed", None)
    slow = remedies.proxy_remedy(CALLERS, limit=4000, policy_x=0.85, terms=RemedyTerms(hold_s=0.65))
    assert slow is not None
    assert slow.status_after == "AMBER"


def test_a_proxy_is_not_offered_on_unknown_queries() -> None:
    unknown = [*CALLERS, Caller("batch", 3, 10)]
    assert remedies.proxy_remedy(unknown, limit=4000, policy_x=0.85) is None


def test_no_pool_is_cut_below_what_its_queries_keep_busy() -> None:
    # 18,000 queries/s of 10 ms over 120 processes keep 1.5 busy: at least 2 each; with 100 ms, 15.
    busy = [dataclasses.replace(CALLERS[0], qps=18_000), *CALLERS[1:]]
    found = remedies.pool_remedies(busy, limit=4000, policy_x=0.85, terms=RemedyTerms(hold_s=0.1))
    assert [r.remedy for r in found] == ["ledger pool_max"]
    assert remedies.pool_remedies(busy, limit=4000, policy_x=0.85)[0].to_value == "10"


def test_every_pool_shrinks_where_no_single_one_suffices() -> None:
    crowd = [Caller("a", 100, 20), Caller("b", 100, 20), Caller("c", 100, 20)]
    (found,) = remedies.pool_remedies(crowd, limit=4000, policy_x=0.85)
    assert found.remedy == "every pool_max"
    assert (found.from_value, found.to_value) == ("a 20, b 20, c 20", "a 11, b 11, c 11")
    assert found.utilization_after == pytest.approx(0.825)
    assert found.status_after == "GREEN"


def test_nothing_is_proposed_within_policy() -> None:
    assert remedies.pool_remedies(CALLERS, limit=6000, policy_x=0.85) == ()


def test_pools_of_one_cannot_shrink() -> None:
    assert remedies.pool_remedies([Caller("a", 5000, 1)], limit=4000, policy_x=0.85) == ()


def test_rank_is_what_fixes_it_then_usd_then_lead_time() -> None:
    def remedy(name: str, status: str, usd: str | None, days: int) -> Remedy:
        return Remedy(
            remedy=name,
            from_value="",
            to_value="",
            utilization_after=0.5,
            status_after=status,  # type: ignore[arg-type]
            usd_season=None if usd is None else Decimal(usd),
            lead_days=days,
            basis="assumed",
        )

    ranked = remedies.rank_remedies(
        [
            remedy("free but not enough", "AMBER", "0", 1),
            remedy("dear", "GREEN", "900", 2),
            remedy("unpriced", "GREEN", None, 2),
            remedy("cheap and slow", "GREEN", "10", 30),
            remedy("cheap and quick", "GREEN", "10", 3),
        ]
    )
    assert [r.remedy for r in ranked] == [
        "cheap and quick",
        "cheap and slow",
        "dear",
        "unpriced",
        "free but not enough",
    ]


CROWD = st.lists(
    st.builds(
        Caller,
        service=st.sampled_from("abcdefgh"),
        replicas=st.integers(0, 200),
        pool_max=st.integers(1, 40),
        processes=st.integers(1, 3),
        qps=st.floats(0, 5000),
    ),
    min_size=1,
    max_size=5,
    unique_by=lambda caller: caller.service,
)


@settings(deadline=None, max_examples=150)
@given(callers=CROWD, limit=st.integers(50, 8000), surge=st.sampled_from([0.0, 0.25]))
def test_a_single_pool_remedy_is_green_and_true(
    callers: list[Caller], limit: int, surge: float
) -> None:
    for found in remedies.pool_remedies(callers, limit=limit, policy_x=0.85, surge=surge):
        if found.remedy == "every pool_max":
            continue
        service = found.remedy.removesuffix(" pool_max")
        cut = [
            dataclasses.replace(c, pool_max=int(found.to_value)) if c.service == service else c
            for c in callers
        ]
        after = connection_use(cut, surge=surge).total
        assert after / limit == pytest.approx(found.utilization_after)
        assert after <= 0.85 * limit + 1e-6
        assert found.status_after == "GREEN"
