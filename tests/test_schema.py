from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from capmodel.schema import (
    BASES,
    DEMAND_QUANTITIES,
    QUANTITIES,
    Finding,
    Findings,
    order_statistic,
    rng_for,
    worst_basis,
)

names = st.lists(st.text(min_size=1, max_size=8), min_size=1, max_size=4)


@given(seed=st.integers(0, 2**32), stream=names)
def test_a_stream_follows_from_seed_and_names_alone(seed: int, stream: list[str]) -> None:
    alone = rng_for(seed, *stream).standard_normal(3)
    rng_for(seed, *stream, "another").standard_normal(100)
    rng_for(seed + 1, *stream).standard_normal(100)
    assert (rng_for(seed, *stream).standard_normal(3) == alone).all()


@given(seed=st.integers(0, 2**32), stream=names)
def test_another_name_or_seed_is_another_stream(seed: int, stream: list[str]) -> None:
    alone = rng_for(seed, *stream).random(2)
    assert (rng_for(seed, *stream, "x").random(2) != alone).all()
    assert (rng_for(seed + 1, *stream).random(2) != alone).all()


def test_names_are_not_run_together() -> None:
    assert rng_for(7, "ab", "c").random() != rng_for(7, "a", "bc").random()


def test_streams_are_independent() -> None:
    # |r| of 10,000 independent pairs stays below 5 / sqrt(10,000) but for 1 in 1.7 million.
    first, second = (rng_for(7, "shock", n).standard_normal(10_000) for n in ("a", "b"))
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.05


finite = st.floats(-1e6, 1e6).map(lambda x: round(x, 2))


@given(
    values=st.lists(finite, min_size=1, max_size=30),
    q=st.floats(0.01, 0.99),
    data=st.data(),
)
def test_weighted_order_statistic_against_its_definition(
    values: list[float], q: float, data: st.DataObject
) -> None:
    """The smallest draw whose share of the weight at or below it reaches q."""
    n = len(values)
    weights = data.draw(st.lists(st.integers(0, 9), min_size=n, max_size=n).filter(any))
    total = sum(weights)

    def share(x: float) -> float:
        return sum(w for v, w in zip(values, weights, strict=True) if v <= x) / total

    reached = [v for v in values if share(v) >= q * (1 - 1e-12)]
    at = order_statistic(np.array(values), q, np.array(weights, dtype=float))
    assert values[at] == min(reached)


@given(values=st.lists(finite, min_size=1, max_size=40), q=st.sampled_from([0.02, 0.5, 0.95, 0.98]))
def test_equal_weights_are_no_weights(values: list[float], q: float) -> None:
    array = np.array(values)
    plain = array[order_statistic(array, q)]
    assert plain == array[order_statistic(array, q, np.full(len(values), 0.3))]
    # Hyndman & Fan 1996, definition 1, which numpy calls the inverted empirical distribution.
    assert plain == np.quantile(array, q, method="inverted_cdf")


def test_order_statistic_does_not_slip_by_rounding() -> None:
    values = np.arange(100.0)
    assert [order_statistic(values, q) for q in (0.07, 0.29, 0.58, 0.98)] == [6, 28, 57, 97]


def test_worst_basis_is_the_weakest_link() -> None:
    assert [worst_basis(BASES[: k + 1]) for k in range(len(BASES))] == list(BASES)
    assert worst_basis(["borrowed", "measured", "fitted"]) == "borrowed"
    assert worst_basis([]) == "measured"


def test_quantities_end_in_their_unit_and_cannot_be_changed() -> None:
    suffixes: dict[str, tuple[str, ...]] = {
        "1/min": ("_min",), "1/s": ("rps", "_read", "_write", "_per_s"), "ms": ("_ms",),
        "cores": ("_cores",), "GiB": ("_gib",), "Mbit/s": ("_mbps",), "pods": ("replicas",),
        "connections": ("connections",), "MiB/s": ("_mib_per_s",), "ratio": ("_share",),
        "requests": ("in_flight",), "threads": ("threads_running",),
    }  # fmt: skip
    for name, quantity in QUANTITIES.items():
        assert quantity.name == name
        assert name.endswith(suffixes[quantity.unit])
    assert all(QUANTITIES[name].kind == "demand" for name in DEMAND_QUANTITIES)
    with pytest.raises(TypeError):
        QUANTITIES["rps"] = QUANTITIES["per_min"]  # type: ignore[index]


GAP = Finding("gap", "warning", "api", "3 hours are missing", {"hours": 3})
MIXED = Finding("mixed_step", "error", "", "steps of 5 and 60 minutes")
OTHER = Finding("gap", "error", "core-db", "40 days are missing")


def test_findings_add_up_in_order() -> None:
    both = Findings((GAP,)) + Findings((MIXED, OTHER))
    assert list(both) == [GAP, MIXED, OTHER]
    assert len(both) == 3
    assert both.codes == ("gap", "mixed_step")
    assert (both + Findings()).items == both.items


def test_errors_are_overruled_by_code_and_warnings_never_disqualify() -> None:
    findings = Findings((GAP, MIXED, OTHER))
    assert findings.errors() == (MIXED, OTHER)
    assert findings.errors(["gap"]) == (MIXED,)
    assert findings.errors(iter(["gap", "mixed_step"])) == ()


def test_findings_print_as_a_table() -> None:
    frame = Findings((GAP, MIXED)).to_frame()
    assert list(frame.columns) == ["code", "severity", "service", "message", "data"]
    assert frame.loc[0, "data"] == {"hours": 3}
    assert "3 hours are missing" in str(Findings((GAP,)))
    assert "<table" in Findings((GAP,))._repr_html_()
    assert str(Findings()) == "no findings"
    assert list(Findings().to_frame().columns) == list(frame.columns)


def test_findings_are_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        GAP.code = "none"  # type: ignore[misc]
