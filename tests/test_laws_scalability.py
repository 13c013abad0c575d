"""The scalability law: published coefficients, exact inverses, peaks, and its algebra."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from capmodel.errors import InputError
from capmodel.laws.scalability import (
    UslPeak,
    amdahl_limit,
    usl_concurrency_at_latency,
    usl_concurrency_at_throughput,
    usl_latency,
    usl_peak,
    usl_throughput,
    usl_throughput_at_latency,
)

# Schwartz (2015), the Cisco benchmark, as in the tests of usl4j 15ef46d; the values below are the
# exact inverses at these coefficients, to 15 digits.
CISCO = {"alpha": 0.02671591, "beta": 7.690945e-4, "gamma": 995.6486}


@pytest.mark.parametrize(
    ("n", "x"),
    [
        (1.0, 995.6486),
        (20.0, 11063.6337907064),
        (35.0, 12341.7455622596),
        (36.0, 12342.2585693480),
    ],
)
def test_throughput_at_published_coefficients(n: float, x: float) -> None:
    assert usl_throughput(n, **CISCO) == pytest.approx(x, rel=1e-13)


def test_latency_at_published_coefficients() -> None:
    assert usl_latency(20.0, **CISCO) == pytest.approx(0.001807724331656771, rel=1e-13)


@pytest.mark.parametrize(
    ("x", "n"),
    [
        (955.0, 0.958069639962024),
        # The usual library gives 15.35 and 17.73 here: it inverts Amdahl's law instead.
        (11048.0, 19.9238996429849),
        (12201.0, 29.5690302220858),
    ],
)
def test_concurrency_at_throughput_is_the_exact_lower_branch(x: float, n: float) -> None:
    assert usl_concurrency_at_throughput(x, **CISCO) == pytest.approx(n, rel=1e-13)


def test_latency_at_a_throughput() -> None:
    n = usl_concurrency_at_throughput(11048.0, **CISCO)
    assert usl_latency(n, **CISCO) == pytest.approx(0.001803394247192696, rel=1e-13)


def test_concurrency_and_throughput_at_latency() -> None:
    assert usl_concurrency_at_latency(0.03, **CISCO) == pytest.approx(177.698345143694, rel=1e-13)
    # 7047.84 in the usual library, whose sign of beta − alpha is turned.
    assert usl_throughput_at_latency(0.03, **CISCO) == pytest.approx(5923.27817145646, rel=1e-13)


def test_peak_is_not_rounded() -> None:
    peak = usl_peak(**CISCO)
    assert peak.n == pytest.approx(35.5737754416562, rel=1e-13)
    assert peak.x == pytest.approx(12342.8523940128, rel=1e-13)


def test_without_coherency_delay_there_is_no_peak_but_a_limit() -> None:
    assert usl_peak(alpha=0.05, beta=0.0, gamma=20.0) == UslPeak(math.inf, 400.0)
    assert amdahl_limit(alpha=0.0, gamma=20.0) == math.inf
    assert usl_throughput(1e9, alpha=0.05, beta=0.0, gamma=20.0) == pytest.approx(400, rel=1e-6)


def test_a_curve_that_only_falls_peaks_at_one() -> None:
    assert usl_peak(alpha=1.0, beta=0.3, gamma=7.0) == UslPeak(1.0, 7.0)


def test_an_array_gives_an_array_of_its_shape_and_a_number_a_number() -> None:
    n = np.array([[1.0, 2.0, 4.0], [8.0, 16.0, 32.0]])
    for law in (usl_throughput, usl_latency):
        assert law(n, **CISCO).shape == (2, 3)
        assert isinstance(law(3.0, **CISCO), float)
    x = usl_throughput(n, **CISCO)
    np.testing.assert_allclose(usl_concurrency_at_throughput(x, **CISCO), n, rtol=1e-12)


coefficients = st.fixed_dictionaries(
    {
        "alpha": st.floats(0, 0.9),
        "beta": st.one_of(st.just(0.0), st.floats(1e-12, 0.9)),
        "gamma": st.floats(1e-3, 1e6),
    }
)


@given(law=coefficients, n=st.floats(1, 1e4))
def test_little_holds_in_every_direction(law: dict[str, float], n: float) -> None:
    r = usl_latency(n, **law)
    assert usl_throughput(n, **law) * r == pytest.approx(n, rel=1e-12)
    if law["alpha"] + law["beta"] > 1e-6:
        back = usl_concurrency_at_latency(r, **law)
        assert back == pytest.approx(n, rel=1e-6)
        assert usl_throughput_at_latency(r, **law) * r == pytest.approx(back, rel=1e-12)


@given(law=coefficients, share=st.floats(0.01, 0.999))
def test_concurrency_of_throughput_is_the_way_back_below_the_peak(
    law: dict[str, float], share: float
) -> None:
    assume(law["alpha"] + law["beta"] < 1)  # else throughput falls from the first user on
    n = share * min(usl_peak(**law).n, 1e6)
    x = usl_throughput(n, **law)
    # Near the peak, and near Amdahl's limit, throughput hardly tells concurrencies apart.
    assert usl_concurrency_at_throughput(x, **law) == pytest.approx(n, rel=1e-5)


@given(law=coefficients)
def test_the_peak_is_the_highest_point(law: dict[str, float]) -> None:
    peak = usl_peak(**law)
    n = np.geomspace(1.0, 1e7, 400)
    assert np.all(usl_throughput(n, **law) <= peak.x * (1 + 1e-12))


@given(law=coefficients, factor=st.floats(1e-3, 1e3), n=st.floats(1, 1e3))
def test_another_unit_of_time_scales_throughput_alone(
    law: dict[str, float], factor: float, n: float
) -> None:
    other = {**law, "gamma": law["gamma"] * factor}
    assert usl_throughput(n, **other) == pytest.approx(factor * usl_throughput(n, **law), rel=1e-12)
    assert usl_peak(**other).n == usl_peak(**law).n


@pytest.mark.parametrize("beta", [0.0, 1e-300, 1e-18, 1e-15])
def test_hardly_any_coherency_delay_is_none(beta: float) -> None:
    # The textbook root loses every digit here.
    n = usl_concurrency_at_throughput(300.0, alpha=0.05, beta=beta, gamma=20.0)
    assert n == pytest.approx(0.95 / (20 / 300 - 0.05), rel=1e-9)


def test_throughput_at_the_peak_itself_is_reached() -> None:
    peak = usl_peak(**CISCO)
    assert usl_concurrency_at_throughput(peak.x, **CISCO) == pytest.approx(peak.n, rel=1e-6)


def test_what_the_curve_never_reaches_is_refused() -> None:
    with pytest.raises(InputError, match=r"throughput 12400; expected at most 12342\.9"):
        usl_concurrency_at_throughput(12400.0, **CISCO)
    with pytest.raises(InputError, match="less than 400"):
        usl_concurrency_at_throughput(400.0, alpha=0.05, beta=0.0, gamma=20.0)
    with pytest.raises(InputError, match="no lower branch"):
        usl_concurrency_at_throughput(1.0, alpha=1.0, beta=0.1, gamma=20.0)
    with pytest.raises(InputError, match="An empty system is slower"):
        usl_concurrency_at_latency(0.0009, **CISCO)
    with pytest.raises(InputError, match="both 0"):
        usl_concurrency_at_latency(0.1, alpha=0.0, beta=0.0, gamma=20.0)


def test_all_problems_are_named_at_once() -> None:
    with pytest.raises(InputError) as caught:
        usl_throughput(0.0, alpha=1.5, beta=-1e-4, gamma=0.0)
    assert [problem.where for problem in caught.value.problems] == ["n", "alpha", "beta", "gamma"]
