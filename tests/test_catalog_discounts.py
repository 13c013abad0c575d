"""The built-in discounts: figures of the table, which row is found, and what a maximum is not."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import pytest

from capmodel.catalog import Catalog, Discount, Discounts

TABLE = Discounts.builtin()


@pytest.mark.parametrize(
    ("wanted", "share", "figure"),
    [
        # computed from two price tables, read on 2026-06-09 (EC2) and 2026-01-05 (Aurora)
        (("instance_sp", "m6i", "", 3, "all_upfront"), "0.605", "rate"),
        (("reserved", "c7g", "", 3, "all_upfront"), "0.617", "rate"),
        (("reserved", "db.r7g", "aurora-mysql", 3, "all_upfront"), "0.47", "rate"),
        (("reserved", "db.r6g", "aurora-mysql", 3, "all_upfront"), "0.651", "rate"),
        # AWS's conservative figures for Aurora
        (("reserved", "db.r6g", "aurora-mysql", 1, "no_upfront"), "0.20", "estimate"),
        (("reserved", "db.r8g", "aurora-mysql", 3, "all_upfront"), "0.55", "estimate"),
        # published as "up to"
        (("compute_sp", "m6i", "", 1, "no_upfront"), "0.66", "maximum"),
        (("instance_sp", "m6i", "", 1, "no_upfront"), "0.72", "maximum"),
        (("database_sp", "db.r7g", "aurora-mysql", 1, "no_upfront"), "0.20", "maximum"),
    ],
)
def test_the_row_that_fits_best(
    wanted: tuple[str, str, str, int, str], share: str, figure: str
) -> None:
    kind, family, engine, years, payment = wanted
    found = TABLE.find(kind, family=family, engine=engine, years=years, payment=payment)  # type: ignore[arg-type]
    assert found is not None
    assert (str(found.share), found.figure) == (share, figure)
    assert found.source
    assert found.as_of <= dt.date(2026, 8, 20)


def test_what_nobody_states_is_not_made_up() -> None:
    assert TABLE.find("reserved", family="m6i", years=1) is None  # three years are no one year
    assert TABLE.find("reserved", family="db.r7g", engine="mysql", years=3) is None
    assert TABLE.find("reserved", family="x2g", years=3, payment="all_upfront") is None


def test_the_users_row_comes_before_any_of_the_table() -> None:
    own = Discount("instance_sp", "", "", 3, "all_upfront", Decimal("0.5"), "rate",
                   dt.date(2026, 9, 1), "quote")  # fmt: skip
    found = TABLE.with_overlay([own]).find(
        "instance_sp", family="m6i", years=3, payment="all_upfront"
    )
    assert found is own


def test_every_row_is_dated_sourced_and_a_ratio() -> None:
    assert len(TABLE.rows) == len({row.key for row in TABLE.rows}) > 20
    assert all(0 < row.share < 1 and row.source for row in TABLE.rows)
    assert {row.figure for row in TABLE.rows} == {"rate", "estimate", "maximum"}


def test_a_negotiated_discount_lowers_every_price_and_says_so() -> None:
    listed = Catalog.builtin()
    less = listed.negotiated(0.05, as_of=dt.date(2026, 1, 1), source="contract 17")
    for key, row in listed.rows.items():
        assert less.rows[key].price_usd_per_hour == row.price_usd_per_hour * Decimal("0.95")
    assert less.node_type("m6i.4xlarge").source.endswith(
        "; less 5.0% negotiated (contract 17, 2026-01-01)"
    )
