"""Closed and open networks: reference values, other ways to the same truth, properties."""

from __future__ import annotations

import itertools
import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from capmodel import laws
from capmodel.errors import InputError, ModelError

CENTRES = [0.010, 0.025, 0.040]

# N, X, R, Q at the slowest centre, then Schweitzer's X and R; think time 0.5 s. Exact values agree
# with PDQ to 12 digits.
TABLE = [
    (1, 1.73913043478261, 0.075, 0.0695652173913043, 1.73913043478261, 0.075),
    (2, 3.45397206787806, 0.0790434782608696, 0.14776993542574, 3.45261994366846,
     0.0792702448086334),
    (5, 8.41748035407579, 0.0940019803644653, 0.449851977590817, 8.39682860966993,
     0.0954629101565696),
    (10, 15.7833525819811, 0.133578952764216, 1.32360766877171, 15.5926211294315,
     0.141328992540241),
    (20, 24.0441771187409, 0.331802223932682, 6.25136522371341, 22.8817139905049,
     0.374060396362757),
    (40, 24.9998550345745, 1.10000927784103, 25.5002722269511, 24.6606564894704,
     1.12201683548365),
]  # fmt: skip

# c, S, N, Z, X, R, U.
POPULATIONS = [
    (1, 1, 5, 10, 0.436047823144597, 1.46663217796172, 0.436047823144597),
    (4, 0.1, 20, 1, 18.1196943625376, 0.103771377145849, 0.45299235906344),
    (4, 0.1, 40, 1, 34.3097956189214, 0.165847807555592, 0.857744890473036),
    (4, 0.1, 60, 1, 39.9415429795284, 0.502195346603218, 0.99853857448821),
    (8, 0.05, 200, 2, 97.4590702722808, 0.052143524879119, 0.609119189201755),
]

DEMANDS = st.lists(st.floats(0.001, 1.0), min_size=1, max_size=4)


@pytest.mark.real
def test_all_reference_values_of_mva(data_dir: Path) -> None:
    path = data_dir / "reference" / "queueing_reference.json"
    rows = json.loads(path.read_text())["mva_closed"]
    assert len(rows) == 12
    for row in rows:
        got = laws.closed_mva(row["demands"], customers=row["n"], think_s=row["think"])
        assert got.throughput == pytest.approx(row["x"], rel=1e-10)
        assert got.response_s == pytest.approx(row["r"], rel=1e-10)
        np.testing.assert_allclose(got.queue_length, row["q"], rtol=1e-10)


@pytest.mark.real
def test_all_reference_values_of_finite_populations(data_dir: Path) -> None:
    rows = json.loads((data_dir / "reference" / "queueing_reference.json").read_text())["mmcn"]
    assert len(rows) == 9
    for row in rows:
        got = laws.finite_population(
            servers=row["c"], service_s=row["s"], customers=row["n"], think_s=row["z"]
        )
        assert got.throughput == pytest.approx(row["x"], rel=1e-10)
        assert got.response_s == pytest.approx(row["r"], rel=1e-10)
        assert got.utilization == pytest.approx(row["u"], rel=1e-10)
        assert got.all_busy_probability == pytest.approx(row["p_all_busy"], rel=1e-10)


@pytest.mark.parametrize("row", TABLE, ids=lambda row: str(row[0]))
def test_table_of_three_centres(row) -> None:
    n, x, r, slowest, approximate_x, approximate_r = row
    exact = laws.closed_mva(CENTRES, customers=n, think_s=0.5)
    assert exact.throughput == pytest.approx(x, rel=5e-14)
    assert exact.response_s == pytest.approx(r, rel=5e-14)
    assert exact.queue_length[2] == pytest.approx(slowest, rel=5e-14)
    approximate = laws.schweitzer_mva(CENTRES, customers=n, think_s=0.5)
    assert approximate.throughput == pytest.approx(approximate_x, rel=1e-12)
    assert approximate.response_s == pytest.approx(approximate_r, rel=1e-12)


def test_machine_repair() -> None:
    expected = {
        100: (0.332453152876946, 0.794259686308592),
        300: (0.994488050882606, 1.66274972710891),
        500: (1.56911751953318, 18.650447640628),
    }
    for n, (x, r) in expected.items():
        got = laws.closed_mva([0.63], customers=n, think_s=300.0)
        assert (got.throughput, got.response_s) == pytest.approx((x, r), rel=1e-12)


@pytest.mark.parametrize("row", POPULATIONS)
def test_table_of_finite_populations(row) -> None:
    c, s, n, z, x, r, u = row
    got = laws.finite_population(servers=c, service_s=s, customers=n, think_s=z)
    assert (got.throughput, got.response_s, got.utilization) == pytest.approx((x, r, u), rel=2e-14)


def test_two_classes() -> None:
    got = laws.multiclass_mva(
        [[0.005, 0.020], [0.015, 0.060]], customers=[12, 4], think_s=[0.4, 1.0]
    )
    np.testing.assert_allclose(got.throughput, [26.0806877709001, 3.39539010060351], rtol=1e-13)
    np.testing.assert_allclose(got.response_s, [0.0601105655422612, 0.178067874819162], rtol=1e-13)
    np.testing.assert_allclose(
        got.queue_length.sum(axis=0), [0.218404306052011, 1.95393048498442], rtol=1e-13
    )
    opened = laws.open_network([[0.005, 0.020], [0.015, 0.060]], arrivals=[20, 5])
    np.testing.assert_allclose(opened.utilization, [0.175, 0.7], rtol=1e-14)
    np.testing.assert_allclose(
        opened.response_s, [0.0727272727272727, 0.218181818181818], rtol=2e-14
    )


def _weights(demand: np.ndarray, think: np.ndarray, counts: tuple[int, ...]) -> float:
    """Normalising constant of the product form, state by state (Baskett et al. 1975)."""
    places = demand.shape[1] + 1  # the first is the think time

    def spread(n: int) -> list[tuple[int, ...]]:
        return [s for s in itertools.product(range(n + 1), repeat=places) if sum(s) == n]

    total = 0.0
    for state in itertools.product(*(spread(n) for n in counts)):
        at = np.array(state)
        weight = 1.0
        for c, k in np.ndindex(at.shape):
            own = think[c] if k == 0 else demand[c, k - 1]
            weight *= own ** at[c, k] / math.factorial(at[c, k])
        for k in range(1, places):
            weight *= math.factorial(int(at[:, k].sum()))
        total += weight
    return total


def test_classes_against_the_product_form() -> None:
    demand, think = np.array([[0.3, 1.1], [0.7, 0.2]]), np.array([0.9, 2.0])
    whole = _weights(demand, think, (3, 2))
    expected = [
        _weights(demand, think, (2, 2)) / whole,
        _weights(demand, think, (3, 1)) / whole,
    ]
    got = laws.multiclass_mva(demand, customers=[3, 2], think_s=think)
    np.testing.assert_allclose(got.throughput, expected, rtol=1e-13)


@pytest.mark.parametrize(("servers", "customers"), [(3, 7), (5, 4), (1, 6)])
def test_population_against_its_balance_equations(servers: int, customers: int) -> None:
    """The stationary vector of the generator matrix."""
    n = np.arange(customers + 1)
    rates = np.diag((customers - n[:-1]) / 1.7, 1) + np.diag(np.minimum(n[1:], servers) / 0.4, -1)
    generator = rates - np.diag(rates.sum(axis=1))
    system = np.vstack([generator.T, np.ones(customers + 1)])
    p = np.linalg.lstsq(system, np.append(np.zeros(customers + 1), 1.0), rcond=None)[0]
    got = laws.finite_population(servers=servers, service_s=0.4, customers=customers, think_s=1.7)
    assert got.throughput == pytest.approx(float(np.minimum(n, servers) @ p) / 0.4, rel=1e-11)
    assert got.in_flight == pytest.approx(float(n @ p), rel=1e-11)
    assert got.response_s == pytest.approx(got.in_flight / got.throughput)
    assert got.all_busy_probability == pytest.approx(float(p[servers:].sum()), abs=1e-12)


@given(st.floats(0.001, 2.0), st.integers(1, 300), st.floats(0.001, 100.0))
def test_one_server_is_mva_of_one_centre(service_s: float, n: int, think_s: float) -> None:
    one = laws.finite_population(servers=1, service_s=service_s, customers=n, think_s=think_s)
    other = laws.closed_mva([service_s], customers=n, think_s=think_s)
    assert one.throughput == pytest.approx(other.throughput, rel=1e-9)
    assert one.response_s == pytest.approx(other.response_s, rel=1e-9)


def test_no_think_time_keeps_every_customer_inside() -> None:
    for n, busy in ((3, 3), (4, 4), (9, 4)):
        got = laws.finite_population(servers=4, service_s=0.1, customers=n, think_s=0.0)
        assert got.throughput == pytest.approx(busy / 0.1)
        assert got.response_s == pytest.approx(n / (busy / 0.1))
        assert (got.utilization, got.in_flight) == pytest.approx((busy / 4, n))
        limit = laws.finite_population(servers=4, service_s=0.1, customers=n, think_s=1e-12)
        assert limit.throughput == pytest.approx(got.throughput, rel=1e-9)
    tiny = laws.finite_population(servers=2, service_s=1.0, customers=5, think_s=5e-324)
    assert tiny.throughput == pytest.approx(2.0)


@pytest.mark.parametrize("think_s", [1e-3, 10.0, 99.0, 1e6])
def test_ten_thousand_customers_are_safe(think_s: float) -> None:
    got = laws.finite_population(servers=100, service_s=1.0, customers=10_000, think_s=think_s)
    assert got.throughput * (got.response_s + think_s) == pytest.approx(10_000, rel=1e-10)
    assert got.throughput <= 100 * (1 + 1e-12)
    if think_s < 50:
        assert got.response_s == pytest.approx(100 - think_s, rel=1e-9)


def test_many_customers_who_think_long_are_an_erlang_queue() -> None:
    """N → ∞ with N/Z fixed is M/M/c; at the throughput reached, the rest is of order 1/N."""
    got = laws.finite_population(servers=10, service_s=1.0, customers=1_000_000, think_s=125_000.0)
    wait = laws.mmc_wait(servers=10, load=got.throughput, service_s=1.0)
    assert got.response_s == pytest.approx(1 + wait, rel=1e-5)


@given(DEMANDS, st.integers(1, 40), st.floats(0.001, 5.0))
def test_a_delay_centre_is_think_time(demands: list[float], n: int, delay_s: float) -> None:
    for law in (laws.closed_mva, laws.schweitzer_mva):
        inside = law([*demands, delay_s], customers=n, delay=[*(False for _ in demands), True])
        outside = law(demands, customers=n, think_s=delay_s)
        assert inside.throughput == pytest.approx(outside.throughput, rel=1e-9)
        assert inside.response_s == pytest.approx(outside.response_s + delay_s, rel=1e-9)
        assert inside.residence_s[-1] == delay_s


@given(DEMANDS, st.integers(1, 60), st.floats(0.0, 5.0), st.floats(0.01, 100.0))
def test_closed_networks_are_monotone_and_scale(
    demands: list[float], n: int, think_s: float, unit: float
) -> None:
    one = laws.closed_mva(demands, customers=n, think_s=think_s)
    more = laws.closed_mva(demands, customers=n + 1, think_s=think_s)
    slower = laws.closed_mva([1.1 * d for d in demands], customers=n, think_s=think_s)
    assert more.throughput >= one.throughput * (1 - 1e-12)
    assert more.response_s >= one.response_s * (1 - 1e-12)
    assert slower.throughput <= one.throughput
    scaled = laws.closed_mva([unit * d for d in demands], customers=n, think_s=unit * think_s)
    assert scaled.throughput == pytest.approx(one.throughput / unit)
    np.testing.assert_allclose(scaled.queue_length, one.queue_length, rtol=1e-9)
    assert float(one.queue_length.sum()) + one.throughput * think_s == pytest.approx(n)
    around = laws.closed_mva(demands[::-1], customers=n, think_s=think_s)
    np.testing.assert_allclose(around.queue_length[::-1], one.queue_length, rtol=1e-9)


@given(st.permutations([0, 1, 2]), st.integers(0, 3), st.integers(1, 3), st.integers(1, 4))
def test_permuting_classes_permutes_results(order: list[int], a: int, b: int, c: int) -> None:
    demand = np.array([[0.1, 0.4], [0.3, 0.2], [0.25, 0.05]])
    think, counts = np.array([1.0, 0.0, 2.5]), np.array([a, b, c])
    one = laws.multiclass_mva(demand, customers=counts, think_s=think)
    other = laws.multiclass_mva(demand[order], customers=counts[order], think_s=think[order])
    np.testing.assert_allclose(other.throughput, one.throughput[order], rtol=1e-12)
    np.testing.assert_allclose(other.response_s, one.response_s[order], rtol=1e-12)
    np.testing.assert_allclose(other.utilization, one.utilization, rtol=1e-12)
    opened = laws.open_network(demand, arrivals=counts / 10)
    swapped = laws.open_network(demand[order], arrivals=counts[order] / 10)
    np.testing.assert_allclose(swapped.response_s, opened.response_s[order], rtol=1e-12)


def test_a_class_without_customers_changes_nothing_and_sees_the_queues() -> None:
    alone = laws.closed_mva([0.02, 0.06], customers=6, think_s=1.0)
    both = laws.multiclass_mva([[0.02, 0.06], [0.1, 0.1]], customers=[6, 0], think_s=[1.0, 1.0])
    np.testing.assert_allclose(both.throughput, [alone.throughput, 0.0], rtol=1e-13)
    assert both.response_s[0] == pytest.approx(alone.response_s, rel=1e-13)
    np.testing.assert_allclose(both.residence_s[1], 0.1 * (1 + alone.queue_length), rtol=1e-13)
    nobody = laws.multiclass_mva([[0.02, 0.06]], customers=[0], think_s=[0.0])
    np.testing.assert_allclose(nobody.residence_s, [[0.02, 0.06]])


def test_identical_classes_are_one_class() -> None:
    one = laws.closed_mva(CENTRES, customers=9, think_s=0.5, delay=[False, True, False])
    split = laws.multiclass_mva(
        [CENTRES, CENTRES], customers=[6, 3], think_s=[0.5, 0.5], delay=[False, True, False]
    )
    assert float(split.throughput.sum()) == pytest.approx(one.throughput, rel=1e-12)
    np.testing.assert_allclose(split.response_s, one.response_s, rtol=1e-12)


def test_delay_centres_of_an_open_network_may_hold_many() -> None:
    got = laws.open_network([[0.5, 0.01]], arrivals=[20.0], delay=[True, False])
    assert got.response_s[0] == pytest.approx(0.5 + 0.01 / 0.8)
    assert got.utilization.tolist() == pytest.approx([10.0, 0.2])


def test_bad_input_is_named() -> None:
    with pytest.raises(InputError) as caught:
        laws.finite_population(servers=0, service_s=0.0, customers=2.5, think_s=-1.0)  # type: ignore[arg-type]
    where = [p.where for p in caught.value.problems]
    assert where == ["servers", "customers", "service_s", "think_s"]
    with pytest.raises(InputError, match="expected shape"):
        laws.closed_mva([[0.1]], customers=3)
    with pytest.raises(InputError, match="delay: got bool of shape"):
        laws.closed_mva([0.1, 0.2], customers=3, delay=[True])
    with pytest.raises(InputError, match="delay: got int64"):
        laws.closed_mva([0.1, 0.2], customers=3, delay=[0, 2])
    with pytest.raises(InputError, match=r"together: got 0\.0"):
        laws.schweitzer_mva([0.0], customers=3)
    with pytest.raises(InputError, match="class 1 customers: got"):
        laws.multiclass_mva([[0.1], [0.2]], customers=[1, 1.5], think_s=[0, 0])
    with pytest.raises(InputError) as caught:
        laws.multiclass_mva([[0.1], [0.2]], customers=[1], think_s=[0, 0, 0])
    assert [p.where for p in caught.value.problems] == ["customers", "think_s"]
    with pytest.raises(ModelError, match="251,001 populations"):
        laws.multiclass_mva([[0.1], [0.2]], customers=[500, 500], think_s=[0, 0])
    with pytest.raises(InputError) as caught:
        laws.open_network([[0.1, 0.2, 0.01]], arrivals=[10.0])
    assert [p.where for p in caught.value.problems] == ["centre 0", "centre 1"]
    with pytest.raises(InputError, match="arrivals: got shape"):
        laws.open_network([[0.1]], arrivals=[1.0, 2.0])
