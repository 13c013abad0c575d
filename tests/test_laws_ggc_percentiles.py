"""G/G/c tails: M/M/c as a special case, a table, simulations, properties."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from queue_simulation import hyperexponential, simulate

from capmodel import laws
from capmodel.errors import InputError

# c, a, ca², cs², p99 of the wait as simulated and as the formula gives it (S = 1).
WAIT_P99 = [
    (4, 3.0, 1, 1, 3.963, 3.931),
    (4, 3.0, 1, 0, 1.879, 1.965),
    (4, 3.0, 1, 4, 10.32, 9.83),
    (10, 8.0, 1, 4, 4.640, 4.639),
    (10, 8.0, 1, 0, 0.9155, 0.928),
    (4, 3.0, 0.5, 0.5, 1.891, 1.965),
    (4, 3.0, 4, 1, 8.849, 9.827),
    (4, 3.2, 4, 4, 21.03, 20.44),
]


def queue(c, a, ca2, cs2, service_s=1.0):
    return {
        "servers": c, "load": a, "service_s": service_s, "arrival_scv": ca2, "service_scv": cs2,
    }  # fmt: skip


@pytest.mark.parametrize("row", WAIT_P99)
def test_table_of_waits(row) -> None:
    *numbers, simulated, formula = row
    got = laws.ggc_wait_percentile(0.99, **queue(*numbers))
    digit = 5e-4 if formula < 9.9 and formula != 9.83 else 5e-3
    assert got == pytest.approx(formula, abs=1.001 * digit)
    assert got == pytest.approx(simulated, rel=0.12)


@given(st.integers(1, 100), st.floats(0.01, 0.99), st.floats(0.01, 0.999), st.floats(0.0, 8.0))
def test_exponential_times_give_mmc(c: int, rho: float, q: float, t: float) -> None:
    args = queue(c, rho * c, 1.0, 1.0, 0.5)
    markov = {name: value for name, value in args.items() if "scv" not in name}
    assert laws.ggc_wait_tail(t, **args) == pytest.approx(laws.mmc_wait_tail(t, **markov))
    assert laws.ggc_response_tail(t, **args) == pytest.approx(laws.mmc_response_tail(t, **markov))
    assert laws.ggc_wait_percentile(q, **args) == pytest.approx(
        laws.mmc_wait_percentile(q, **markov)
    )
    assert laws.ggc_response_percentile(q, **args) == pytest.approx(
        laws.mmc_response_percentile(q, **markov)
    )


@given(st.floats(0.05, 0.95), st.floats(0.01, 6.0), st.floats(0.2, 6.0))
def test_mean_of_the_response_tail_is_service_plus_wait(rho: float, cs2: float, ca2: float) -> None:
    """∫ P(R > t) dt = E[R]: the service law has mean S, the wait Allen and Cunneen's mean."""
    args = queue(4, 4 * rho, ca2, cs2, 0.5)
    constant = max(0.0, 0.5 * (1 - np.sqrt(cs2)))
    t = np.linspace(constant, laws.ggc_response_percentile(1 - 1e-10, **args), 200_001)
    mean = constant + np.trapezoid(laws.ggc_response_tail(t, **args), t)
    assert mean == pytest.approx(0.5 + laws.allen_cunneen(**args), rel=1e-6)


@given(st.floats(0.01, 9.0), st.floats(0.05, 0.95))
def test_variance_of_the_service_law_is_the_one_asked_for(cs2: float, service_s: float) -> None:
    """At no load the response is the service: E[V²] = ∫ 2t·P(V > t) dt = S²(1 + cs²)."""
    args = queue(2, 0.0, 1.0, cs2, service_s)
    constant = max(0.0, service_s * (1 - np.sqrt(cs2)))
    t = np.linspace(constant, laws.ggc_response_percentile(1 - 1e-11, **args), 200_001)
    square = constant**2 + np.trapezoid(2 * t * laws.ggc_response_tail(t, **args), t)
    assert square == pytest.approx(service_s**2 * (1 + cs2), rel=1e-6)


@given(
    st.integers(1, 32), st.floats(0.01, 0.99), st.floats(0.01, 0.99), st.floats(0.5, 0.999),
    st.floats(0.0, 8.0), st.floats(0.1, 8.0), st.floats(0.01, 100.0),
)  # fmt: skip
def test_monotone_in_load_and_units_of_time_scale_times_only(
    c: int, one: float, other: float, q: float, cs2: float, ca2: float, unit: float
) -> None:
    low, high = sorted((one, other))
    for law in (laws.ggc_wait_percentile, laws.ggc_response_percentile):
        at_low = law(q, **queue(c, low * c, ca2, cs2))
        assert at_low <= law(q, **queue(c, high * c, ca2, cs2)) * (1 + 1e-9)
        assert law(q, **queue(c, low * c, ca2, cs2, unit)) == pytest.approx(unit * at_low)


def test_constant_service_is_a_step() -> None:
    args = queue(4, 3.0, 1.0, 0.0)
    t = np.array([0.0, 0.999, 1.0, 2.0])
    delay = laws.erlang_c(servers=4, load=3.0)
    expected = [1.0, 1.0, delay, delay * np.exp(-2.0)]
    np.testing.assert_allclose(laws.ggc_response_tail(t, **args), expected)


@pytest.mark.slow
@pytest.mark.parametrize(("c", "a", "cs2"), [(4, 3.0, 0.0), (4, 3.0, 4.0), (10, 8.0, 4.0)])
def test_simulated_responses_are_within_a_tenth(c: int, a: float, cs2: float) -> None:
    rng, n = np.random.default_rng(31), 1_000_000
    service = hyperexponential(rng, n, mean=1.0, scv=cs2) if cs2 else np.ones(n)
    seen = simulate(rng.exponential(1 / a, n), service, servers=c)
    for q in (0.95, 0.99):
        predicted = laws.ggc_response_percentile(q, **queue(c, a, 1.0, cs2))
        assert predicted == pytest.approx(np.quantile(seen.response, q), rel=0.10)


def test_bad_input_is_named() -> None:
    with pytest.raises(InputError, match=r"arrival_scv \+ service_scv: got 0.0"):
        laws.ggc_response_tail(1.0, **queue(2, 1.0, 0.0, 0.0))
    with pytest.raises(InputError, match=r"t_s: got -1\.0"):
        laws.ggc_wait_tail(-1.0, **queue(2, 1.0, 1.0, 1.0))
    with pytest.raises(InputError, match="t_s: got nan"):
        laws.ggc_response_tail(np.array([1.0, np.nan]), **queue(2, 1.0, 1.0, 1.0))
    with pytest.raises(InputError, match=r"q: got 99\.0"):
        laws.ggc_response_percentile(99.0, **queue(2, 1.0, 1.0, 1.0))
    with pytest.raises(InputError, match=r"q: got 0\.0"):
        laws.ggc_wait_percentile(0.0, **queue(2, 1.0, 1.0, 1.0))
    with pytest.raises(InputError, match=r"less than servers \(2\)"):
        laws.ggc_wait_percentile(0.5, **queue(2, 2.0, 1.0, 1.0))
    with pytest.raises(InputError, match=r"service_s: got 0\.0"):
        laws.ggc_response_percentile(0.5, **queue(2, 1.0, 1.0, 1.0, 0.0))
