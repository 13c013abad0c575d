from __future__ import annotations

import math
from decimal import Decimal

import pandas as pd

from capmodel.plan.diffs import COLUMNS, diff_frames


def limits(**changes: object) -> dict[str, pd.DataFrame]:
    row = {
        "scenario": "base", "node": "core-db", "limit": "connections",
        "unit": "connections", "hard": 4000.0,
        "peak_p50": 4275.0, "first_hard_breach": "2026-11-30", "binds_at_x": 2.386,
        "status": "RED", "remedy": "not compared",
    }  # fmt: skip
    return {"limits": pd.DataFrame([row | changes])}


def cost(usd: Decimal | None, **changes: object) -> dict[str, pd.DataFrame]:
    row = {"scenario": "base", "item": "general", "kind": "nodes", "count": 24.0, "usd": usd}
    return {"cost": pd.DataFrame([row | changes])}


def rows(found: pd.DataFrame) -> list[tuple[object, ...]]:
    return [tuple(row) for row in found.itertuples(index=False, name=None)]


def test_a_plan_does_not_differ_from_itself() -> None:
    found = diff_frames(limits(binds_at_x=math.nan), limits(binds_at_x=math.nan))
    assert found.empty
    assert tuple(found.columns) == COLUMNS
    assert diff_frames({}, {}).empty


def test_numbers_differ_by_amount_and_share() -> None:
    assert rows(diff_frames(limits(), limits(peak_p50=4702.5, remedy="changed"))) == [
        (
            "limits", "base core-db connections", "peak_p50", "connections", 4275.0, 4702.5, 427.5,
            0.1, "RED", "RED", "",
        )
    ]  # fmt: skip


def test_rounding_is_no_change() -> None:
    assert diff_frames(limits(), limits(peak_p50=4275.0 * (1 + 1e-12))).empty
    assert len(diff_frames(limits(), limits(peak_p50=4275.0 * (1 + 1e-4)))) == 1


def test_words_and_dates_differ_without_an_amount() -> None:
    changed = limits(status="AMBER", first_hard_breach="")
    assert [
        (row[1], row[2], *row[4:]) for row in rows(diff_frames(limits(), changed))
    ] == [
        (
            "base core-db connections", "first_hard_breach", "2026-11-30", "", None, None, "RED",
            "AMBER", "",
        ),
        (
            "base core-db connections", "status", "RED", "AMBER", None, None, "RED", "AMBER", "",
        ),
    ]  # fmt: skip


def test_money_differs_to_the_cent() -> None:
    old, new = cost(Decimal("63452.16")), cost(Decimal("50761.73"))
    ((*_, unit, before, after, delta, ratio, _, _, _),) = rows(diff_frames(old, new))
    assert unit == "USD"
    assert (before, after) == (Decimal("63452.16"), Decimal("50761.73"))
    assert delta == Decimal("-12690.43")
    assert isinstance(delta, Decimal)
    assert isinstance(ratio, float)
    assert round(ratio, 4) == -0.2
    assert diff_frames(old, cost(Decimal("63452.160"))).empty


def test_money_beside_a_number_stays_exact() -> None:
    as_number = {"cost": cost(None)["cost"].assign(usd=0.3)}
    ((*_, delta, _, _, _, _),) = rows(diff_frames(cost(Decimal("0.10")), as_number))
    assert delta == Decimal("0.20")  # 0.3 - 0.1 is 0.19999999999999998


def test_a_figure_that_appears_or_starts_from_zero_has_no_ratio() -> None:
    found = rows(diff_frames(limits(hard=math.nan), limits(hard=80.0)))
    ((_, _, metric, _, _, new, delta, ratio, _, _, _),) = found
    assert (metric, new, delta, ratio) == ("hard", 80.0, None, None)
    ((*_, delta, ratio, _, _, _),) = rows(diff_frames(cost(Decimal(0)), cost(Decimal("10.00"))))
    assert (delta, ratio) == (Decimal("10.00"), None)


def test_a_row_on_one_side_only_has_none_on_the_other() -> None:
    both = pd.concat([cost(Decimal(1))["cost"], cost(Decimal(2), item="promo")["cost"]])
    found = diff_frames(cost(Decimal(1)), {"cost": both})
    assert [(*r[1:3], *r[4:6]) for r in rows(found)] == [
        ("base promo nodes", "count", None, 24.0),
        ("base promo nodes", "usd", None, Decimal(2)),
    ]
    gone = diff_frames({"cost": both}, {})
    assert [(*r[1:3], *r[4:6]) for r in rows(gone)] == [
        ("base general nodes", "count", 24.0, None),
        ("base general nodes", "usd", Decimal(1), None),
        ("base promo nodes", "count", 24.0, None),
        ("base promo nodes", "usd", Decimal(2), None),
    ]


def test_the_order_of_rows_does_not_matter() -> None:
    both = pd.concat([cost(Decimal(1))["cost"], cost(Decimal(2), item="promo")["cost"]])
    assert diff_frames({"cost": both}, {"cost": both.iloc[::-1]}).empty


def test_demand_is_compared_by_season() -> None:
    def demand(day: float, season: float) -> dict[str, pd.DataFrame]:
        both = [("day", "2026-11-30", day), ("season", "", season)]
        frame = pd.DataFrame(both, columns=["window", "date", "peak_p50"])
        return {"demand": frame.assign(scenario="base", service="checkouts")}

    assert diff_frames(demand(1, 5), demand(2, 5)).empty
    ((_, key, metric, *_),) = rows(diff_frames(demand(1, 5), demand(1, 6)))
    assert (key, metric) == ("base checkouts season", "peak_p50")
