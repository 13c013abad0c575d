from __future__ import annotations

import datetime as dt
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capmodel import cost
from capmodel.catalog import Catalog
from capmodel.errors import InputError

NEW_YORK = "America/New_York"
# Stories A10 and A12: an overlay's price of a 16-vCPU node, and the season of 45 days.
PRICE = Decimal("0.6528")
HOURS = 1080.0


@pytest.mark.parametrize(
    ("start", "end", "hours"),
    [
        (dt.date(2026, 11, 2), dt.date(2026, 12, 17), 1080),  # after the change of clocks
        (dt.date(2026, 11, 1), dt.date(2026, 11, 2), 25),
        (dt.date(2027, 3, 14), dt.date(2027, 3, 15), 23),
        (dt.date(2026, 10, 1), dt.date(2027, 1, 5), 96 * 24 + 1),
        (dt.date(2028, 2, 28), dt.date(2028, 3, 1), 48),  # a leap day
    ],
)
def test_hours_follow_the_local_calendar(start: dt.date, end: dt.date, hours: float) -> None:
    assert cost.season_hours(start, end, tz=NEW_YORK) == hours


def test_clocks_that_move_by_half_an_hour_count_exactly() -> None:
    day = cost.season_hours(dt.date(2026, 4, 5), dt.date(2026, 4, 6), tz="Australia/Lord_Howe")
    assert day == 24.5


def test_an_empty_season_and_an_unknown_zone_are_refused() -> None:
    day = dt.date(2026, 11, 2)
    with pytest.raises(InputError, match="an end after the start"):
        cost.season_hours(day, day, tz=NEW_YORK)
    with pytest.raises(InputError, match='Did you mean "America/New_York"'):
        cost.season_hours(day, dt.date(2026, 11, 3), tz="America/NewYork")


def test_story_a10_twelve_more_nodes_to_the_cent() -> None:
    node = Catalog.builtin().node_type("m7g.4xlarge")
    assert node.price_usd_per_hour == PRICE
    before = cost.node_line("general", node=node, count=90, hours=HOURS)
    after = cost.node_line("general", node=node, count=102, hours=HOURS)
    assert before.usd == Decimal("63452.16")
    assert after.usd - before.usd == Decimal("8460.29")
    assert round(after.usd / before.usd - 1, 3) == Decimal("0.133")
    assert (before.as_of, before.source) == (node.as_of, node.source)


def test_story_a12_the_waterfall_sums_in_nodes_and_in_cents() -> None:
    cumulative = {
        "today": 24,
        "organic": 28,
        "event": 48,
        "headroom": 60,
        "failure cover": 90,
        "efficiency": 72,
    }
    steps = cost.waterfall(cumulative, price_usd_per_hour=PRICE, hours=HOURS)
    assert [s.nodes for s in steps] == [24, 4, 20, 12, 30, -18, 72]
    plan = steps[-1]
    assert (plan.step, plan.usd) == ("plan", Decimal("50761.73"))
    assert steps[-2].usd == Decimal("-12690.43")
    assert sum(s.usd for s in steps[:-2]) == Decimal("63452.16")
    assert sum(s.usd for s in steps[:-1]) == plan.usd


def test_database_lines_count_every_instance() -> None:
    row = Catalog.builtin().db_class("aurora-mysql", "db.r6g.4xlarge")
    line = cost.database_line("core-db", db_class=row, instances=2, hours=HOURS)
    assert (line.kind, line.type, line.count) == ("database", "db.r6g.4xlarge", 2)
    assert line.usd == Decimal("4484.16")  # 2 * 1080 * 2.076
    assert cost.season_usd([row], instances=2, hours=HOURS) == {row.name: line.usd}


def test_a_nodes_price_is_split_as_opencost_splits_it() -> None:
    # 0.384 · 0.031611 / (8 · 0.031611 + 32 · 0.004237), and per GiB.
    price = cost.unit_price(Catalog.builtin().node_type("m6i.2xlarge"))
    assert round(price.usd_per_core_hour, 5) == Decimal("0.03125")
    assert round(price.usd_per_gib_hour, 5) == Decimal("0.00419")


@pytest.mark.parametrize("kind", ["m6i.2xlarge", "c7g.4xlarge", "r7g.large", "m7a.large"])
def test_the_parts_of_a_nodes_cores_and_gib_sum_to_its_price(kind: str) -> None:
    node = Catalog.builtin().node_type(kind)
    price = cost.unit_price(node)
    parts = node.vcpu * price.usd_per_core_hour + Decimal(node.memory_gib) * price.usd_per_gib_hour
    assert abs(parts - node.price_usd_per_hour) < Decimal("1e-20")
    assert round(price.usd_per_core_hour / price.usd_per_gib_hour, 2) == Decimal("7.46")


def test_totals_are_sums_of_rounded_lines() -> None:
    node = Catalog.builtin().node_type("m7a.large")  # 0.11592
    lines = [cost.node_line(f"p{i}", node=node, count=1, hours=1) for i in range(3)]
    assert [line.usd for line in lines] == [Decimal("0.12")] * 3
    assert cost.total_usd(lines) == Decimal("0.36")  # not 0.35, the rounded sum
    assert cost.total_usd([]) == Decimal("0.00")


def test_halves_round_to_even() -> None:
    assert [cost.cents(Decimal(x)) for x in ("1.005", "1.015", "-1.005")] == [
        Decimal("1.00"),
        Decimal("1.02"),
        Decimal("-1.00"),
    ]


def test_impossible_counts_and_steps_are_refused() -> None:
    node = Catalog.builtin().node_type("m7g.large")
    with pytest.raises(InputError, match="-1 instances"):
        cost.node_line("general", node=node, count=-1, hours=1)
    for steps in ({}, {"today": 3, "plan": 4}):
        with pytest.raises(InputError, match="waterfall"):
            cost.waterfall(steps, price_usd_per_hour=PRICE, hours=HOURS)


@given(
    nodes=st.lists(st.integers(0, 500), min_size=1, max_size=8),
    price=st.decimals("0.0001", "9", places=5),
    hours=st.integers(1, 3000),
)
def test_steps_always_sum_to_the_plan(nodes: list[int], price: Decimal, hours: int) -> None:
    cumulative = {f"step {i}": n for i, n in enumerate(nodes)}
    steps = cost.waterfall(cumulative, price_usd_per_hour=price, hours=hours)
    assert sum(s.nodes for s in steps[:-1]) == steps[-1].nodes == nodes[-1]
    assert sum(s.usd for s in steps[:-1]) == steps[-1].usd == cost.cents(nodes[-1] * hours * price)


@given(count=st.integers(0, 5000), more=st.integers(0, 500), hours=st.integers(0, 5000))
def test_more_nodes_never_cost_less(count: int, more: int, hours: int) -> None:
    node = Catalog.builtin().node_type("m7a.large")
    one = cost.node_line("p", node=node, count=count, hours=hours).usd
    assert cost.node_line("p", node=node, count=count + more, hours=hours).usd >= one
    double = cost.node_line("p", node=node, count=2 * count, hours=hours).usd
    assert abs(double - 2 * one) <= Decimal("0.01")


def test_a_thousand_units_by_hand() -> None:
    # 50,761.73 USD over 45 days of 648,000: 29,160 thousand.
    usd = cost.usd_per_thousand(Decimal("50761.73"), 45 * 648_000)
    assert usd == Decimal("1.7408")  # 50761.73 / 29160 = 1.740800
    assert cost.usd_per_thousand(Decimal("0.00"), 1) == 0
    for units in (0, -1, float("nan")):
        with pytest.raises(InputError, match=r"units: got .*expected more than 0 events"):
            cost.usd_per_thousand(usd, units)


@given(st.decimals(0, 10**7, places=2), st.integers(1, 10**9), st.integers(2, 9))
def test_a_thousand_units_cost_the_same_of_k_times_both(usd: Decimal, units: int, k: int) -> None:
    assert cost.usd_per_thousand(usd * k, units * k) == cost.usd_per_thousand(usd, units)


def test_a_spot_line_is_the_price_less_its_discount() -> None:
    node = Catalog.builtin().node_type("m7g.4xlarge")
    line = cost.spot_line("general", node=node, count=90, hours=HOURS, discount=0.6, source="desk")
    assert (line.kind, line.price_usd_per_hour) == ("spot", PRICE * Decimal("0.4"))
    assert line.usd == Decimal("25380.86")  # 63452.16 x 0.4 = 25380.864
    assert line.source.endswith("60.0% off assumed of Spot (desk)")
