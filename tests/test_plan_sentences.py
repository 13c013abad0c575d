from __future__ import annotations

from decimal import Decimal
from typing import Any

import pandas as pd

from capmodel.plan.sentences import headline_of

META = {
    "scenarios": [{"name": "low", "weight": 0.4}, {"name": "base", "weight": 0.6}],
    "today": {"checkouts": {"value": 2000.0}},
    "today_usd": "0.05",
}


def limit(node: str, name: str, **changes: object) -> dict[str, Any]:
    return {
        "scenario": "mixture", "node": node, "limit": name, "unit": "connections", "hard": 4000.0,
        "peak_p50": 4275.0, "utilization_p50": 1.069, "p_saturate": 0.62, "breaks_at_x": 2.807,
        "first_hard_breach": "2026-11-30", "status": "RED", **changes,
    }  # fmt: skip


def order(action: str, **changes: object) -> dict[str, Any]:
    return {
        "action": action, "recommended_by": "2026-09-25", "latest_by": "2026-11-15",
        "in_place_by": "2026-11-20", "status": "GREEN", "usd": Decimal("1234.50"), **changes,
    }  # fmt: skip


DAYS = [
    ("low", "day", "2026-11-30", "cyber_monday", 9e9),
    ("base", "day", "2026-11-27", "black_friday", 5500.0),
    ("base", "day", "2026-11-30", "cyber_monday", 6000.4),
    ("base", "season", "", "", 7e9),
]


def frames(**changes: object) -> dict[str, pd.DataFrame]:
    demand = pd.DataFrame(DAYS, columns=["scenario", "window", "date", "event", "peak_p50"])
    sizing = pd.DataFrame(
        [("mixture", "connections", "core-db", name, held) for name, held in
         [("ledger", 1200.0), ("checkout-api", 2400.0), ("account-service", 675.0)]],
        columns=["scenario", "kind", "unit", "service", "connections"],
    )  # fmt: skip
    risk = {"scenario": "mixture", "risk": 0.02, "status": "GREEN", "contributors_after": ""}
    made: dict[str, Any] = {
        "limits": [limit("core-db", "connections")],
        "demand": demand.assign(service="checkouts", quantity="per_min", peak_p95=7070.0),
        "sizing": sizing,
        "orders": [order("reserve 42 more m6i.4xlarge for general")],
        "risk": [
            {**risk, "tier": 0, "p_any": 0.3, "p_any_after_orders": 0.015},
            {**risk, "tier": 1, "p_any": 0.01, "p_any_after_orders": 0.01},
        ],
        "cost": [
            {"scenario": "mixture", "kind": "nodes", "usd": Decimal("0.10"), "as_of": "2026-06-01"},
            {"scenario": "mixture", "kind": "nodes", "usd": Decimal("0.20"), "as_of": "2026-03-28"},
            {"scenario": "base", "kind": "nodes", "usd": Decimal(99), "as_of": "2020-01-01"},
        ],
    }
    return {name: pd.DataFrame(value) for name, value in {**made, **changes}.items()}


def text(**changes: object) -> str:
    return "\n".join(headline_of(frames(**changes), META))


def has(sentence: str, *facts: str) -> bool:
    """The wording may change, the facts may not."""
    return all(fact in sentence for fact in facts)


def test_the_first_breach_comes_first_with_day_multiple_and_numbers() -> None:
    first = headline_of(frames(), META)[0]
    assert has(first, "First to break: core-db connections on Mon 2026-11-30", "2.81 x today")
    assert has(first, "4,275", "4,000", "62%")


def test_story_a5_the_holders_of_the_connections_are_named_with_their_shares() -> None:
    # 2,400, 1,200 and 675 of 4,275 connections.
    shares = "These connections are held by checkout-api 56%, ledger 28%, account-service 16%."
    assert shares in text()
    nodes = [limit("general", "nodes")]
    assert "held by" not in text(limits=nodes)


def test_further_breaches_follow_in_the_ladders_order() -> None:
    more = [limit(f"db-{i}", "cpu_cores", first_hard_breach=f"2026-12-0{i}") for i in range(1, 7)]
    then = (
        "Then: db-1 CPU (2026-12-01), db-2 CPU (2026-12-02), db-3 CPU (2026-12-03), "
        "db-4 CPU (2026-12-04) and 2 more."
    )
    assert then in text(limits=[limit("core-db", "connections"), *more])
    assert "Then:" not in text()


def test_what_was_placed_is_told_as_done_and_not_asked_for_again() -> None:
    done = order("reserve 42 more m6i.4xlarge for general")
    placed = text(orders=[{**done, "state": "granted", "state_on": "2026-09-18"}])
    assert "reserve 42 more m6i.4xlarge for general, granted on 2026-09-18, needed by" in placed
    assert "Order by" not in placed
    assert "Order by" in text(orders=[{**done, "state": "planned", "state_on": ""}])


def test_without_a_breach_the_likeliest_limit_is_named() -> None:
    calm = [
        limit("core-db", "cpu_cores", first_hard_breach="", p_saturate=0.001, status="GREEN"),
        limit("bureau", "quota", first_hard_breach="", p_saturate=0.012, utilization_p50=0.83,
              status="AMBER"),
        limit("api", "memory_gib", first_hard_breach="", p_saturate=0.9, status="GREY"),
    ]  # fmt: skip
    assert headline_of(frames(limits=calm), META)[0] == (
        "No hard limit is exceeded at P50. Closest: bureau quota, 83% full at the season's P50 "
        "peak, exceeded with probability 1.2%."
    )


def test_without_evidence_it_says_what_to_declare() -> None:
    grey = [limit("api", "cpu_cores", status="GREY", first_hard_breach="")]
    assert headline_of(frames(limits=grey), META)[0].startswith("No limit is bounded by evidence")


def test_scenario_rows_are_not_the_mixture() -> None:
    rows = [limit("promo", "nodes", scenario="high"), limit("core-db", "connections")]
    assert "promo" not in text(limits=rows)


def test_the_peak_is_the_likeliest_scenarios_busiest_day() -> None:
    (peak,) = (line for line in text().splitlines() if "checkouts peaks" in line)
    assert has(peak, "base", "6,000/min", "7,070", "Mon 2026-11-30", "Cyber Monday", "2,000/min")


def test_orders_that_cost_or_hurry_have_their_own_sentence() -> None:
    orders = [
        order("raise the quota", usd=Decimal(0), recommended_by="", latest_by="2026-10-09"),
        order("change the class", status="RED", usd=None, recommended_by="2026-09-20"),
        order("reserve 42"),
    ]
    hurried, costly = (line for line in text(orders=orders).splitlines() if "Order by" in line)
    assert hurried == (
        "Order by 2026-09-20, at the latest 2026-11-15: RED: change the class, in place 2026-11-20."
    )
    assert costly == (
        "Order by 2026-09-25, at the latest 2026-11-15: reserve 42, in place 2026-11-20; "
        "1,234.50 USD for the season."
    )
    assert "Also, by the date in brackets: raise the quota (2026-10-09)." in text(orders=orders)
    assert "Nothing has to be ordered." in text(orders=[])


def test_risk_and_cost() -> None:
    whole = text()
    assert (
        "Tier 0: some limit is exceeded with probability 30.0% as things stand, 1.5% once "
        "everything is ordered (accepted 2.0%)."
    ) in whole
    assert "Within the accepted risk as things stand: tier 1." in whole
    # Of the mixture alone, the oldest price named; 0.05 is what today's estate would cost.
    assert has(whole.splitlines()[-1], "costs 0.30 USD on demand (", "+0.25", "2026-03-28")
    spot = [row | {"kind": "spot"} for row in frames()["cost"].to_dict("records")]
    assert "costs 0.30 USD on demand and on Spot" in text(cost=spot)
