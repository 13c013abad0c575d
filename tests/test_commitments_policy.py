"""The section `purchase`: what is accepted, and every fault with where, got, expected and do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from capmodel import documents
from capmodel.commitments import PurchasePolicy, Spot
from capmodel.errors import InputError, Problem

RATE = {"kind": "compute_sp", "discount": 0.28, "as_of": "2026-09-01", "source": "console"}
OLD = {"kind": "compute_sp", "usd_per_hour": 3.0, "discount": 0.28, "end": "2027-03-01",
       "source": "bill"}  # fmt: skip


def problems(**fields: Any) -> tuple[Problem, ...]:
    with pytest.raises(InputError) as refused:
        documents.validate(PurchasePolicy, fields, where="purchase")
    return refused.value.problems


def only(**fields: Any) -> Problem:
    (problem,) = problems(**fields)
    return problem


def without(row: dict[str, Any], field: str) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name != field}


def test_a_discount_as_28_is_asked_about() -> None:
    found = only(discounts=[{**RATE, "discount": 28}])
    assert "purchase.discounts.0.discount" in found.where
    assert (found.got, found.do) == ("28", "Did you mean 0.28?")
    assert "0.28 is 28 % off" in found.expected


@pytest.mark.parametrize("discount", [0, 1, -0.1, 250])
def test_a_discount_is_a_ratio(discount: float) -> None:
    found = only(existing=[{**OLD, "discount": discount}])
    assert found.got == f"{discount:g}"
    assert found.expected.startswith("a ratio above 0 and below 1")


def test_every_discount_is_told_at_once() -> None:
    spot = {"general": {"share": 0.5, "discount": 60, "source": "assumed"}}
    found = problems(
        discounts=[{**RATE, "discount": 28}],
        spot=spot,
        negotiated={"discount": 5, "as_of": "2026-01-01", "source": "contract"},
    )
    assert [p.do for p in found] == [
        "Did you mean 0.28?",
        "Did you mean 0.6?",
        "Did you mean 0.05?",
    ]


def test_an_existing_commitment_without_an_end_is_refused() -> None:
    found = only(existing=[without(OLD, "end")])
    assert "existing" in found.where
    assert 'the required field "end"' in found.expected


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({**OLD, "kind": "instance_sp"}, "instance_sp needs its family"),
        ({**without(OLD, "usd_per_hour"), "count": 2}, "compute_sp is given as usd_per_hour"),
        ({**OLD, "kind": "reserved", "count": 2}, "reserved is given as count and type"),
        ({**without(OLD, "usd_per_hour"), "kind": "reserved", "count": 2}, "count and type"),
    ],
)
def test_an_existing_commitment_holds_what_its_kind_needs(row: dict[str, Any], said: str) -> None:
    found = only(existing=[row])
    assert "existing.0" in found.where
    assert said in found.got


def test_an_unknown_kind_names_the_nearest() -> None:
    found = only(buy=[{"kind": "compute_spp"}])
    assert found.got == '"compute_spp"'
    assert found.do == 'Did you mean "compute_sp"?'


@pytest.mark.parametrize("share", [-0.1, 1.5])
def test_a_spot_share_lies_between_0_and_1(share: float) -> None:
    found = only(spot={"general": {"share": share, "discount": 0.6, "source": "assumed"}})
    assert found.where.endswith("spot.general.share")
    assert found.expected in {"a value of at least 0", "a value of at most 1"}


@pytest.mark.parametrize("field", ["source", "as_of"])
def test_a_rate_without_source_or_date_is_refused(field: str) -> None:
    found = only(discounts=[without(RATE, field)])
    assert f'the required field "{field}"' in found.expected


def test_an_empty_source_is_no_source() -> None:
    assert "at least 1" in only(discounts=[{**RATE, "source": ""}]).expected


def test_each_kind_and_term_is_bought_once_and_database_plans_run_a_year() -> None:
    found = problems(buy=[{"kind": "compute_sp"}, {"kind": "compute_sp", "payment": "all_upfront"},
                          {"kind": "database_sp", "years": 3}])  # fmt: skip
    assert [p.got for p in found] == ["compute_sp of 1 years twice", "a database_sp of 3 years"]


def test_a_term_of_two_years_does_not_exist() -> None:
    assert only(buy=[{"kind": "compute_sp", "years": 2}]).expected == "1 or 3"


def test_a_fault_in_a_file_names_its_line(tmp_path: Path) -> None:
    path = tmp_path / "purchase.yaml"
    path.write_text(
        "discounts:\n  - {kind: compute_sp, discount: 0.28, as_of: 2026-09-01}\n", encoding="utf-8"
    )
    with pytest.raises(InputError, match=r"purchase\.yaml:2 discounts\.0\.source.*Add source"):
        documents.read_model(PurchasePolicy, path)


@given(
    st.integers(0, 500),
    st.floats(0, 1),
    st.floats(0, 1),
)
def test_spot_stands_for_whole_nodes_and_its_reserve_comes_on_top(
    nodes: int, share: float, reserve: float
) -> None:
    spot = Spot(share=share, discount=0.6, reserve=reserve, source="assumed")
    on_spot, units = float(spot.nodes(nodes)), float(spot.units(nodes))
    assert on_spot == int(on_spot)
    assert nodes * share - 1 < on_spot <= nodes * share + 1e-6
    assert on_spot * (1 + reserve) - 1e-6 <= units < on_spot * (1 + reserve) + 1
    assert np.array_equal(spot.nodes([0, nodes]), [0, on_spot])
