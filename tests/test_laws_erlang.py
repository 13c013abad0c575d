"""M/M/c: 40-digit reference values, exact fractions, limits, properties, a simulation."""

from __future__ import annotations

import json
import math
import time
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from queue_simulation import simulate

from capmodel import laws
from capmodel.errors import InputError

# Computed with 40 digits, S = 1: c, a, B, C, Wq and p95, p99 of wait and of response (None: not
# tabulated).
TABLE = [
    (1, 0.5, 0.333333333333333, 0.5, 1, 4.60517018599, 7.82404601086, 5.99146454711, 9.21034037198),
    (1, 0.9, 0.473684210526316, 0.9, 9, None, None, None, None),
    (2, 1.0, 0.2, 0.333333333333333, 0.333333333333333,
     1.89711998489, 3.50655789732, 3.81646030517, 5.66596068379),
    (2, 1.6, 0.329896907216495, 0.711111111111111, 1.77777777777778,
     6.63701421646, 10.6606089975, 7.91068425201, 11.937370236),
    (3, 2.0, 0.210526315789474, 0.444444444444444, 0.444444444444444, None, None, None, None),
    (4, 3.0, 0.206106870229008, 0.509433962264151, 0.509433962264151,
     2.32127722601, 3.93071513844, 4.12809980242, 6.00630817656),
    (4, 3.6, 0.270685067145244, 0.787753264295362, 1.96938316073841,
     6.89290479756, 10.9164995786, 8.16552481841, 12.1931674362),
    (5, 4.0, 0.199066874027994, 0.554112554112554, 0.554112554112554, None, None, None, None),
    (8, 6.0, 0.121875783666304, 0.35698108587868, 0.17849054293934,
     0.982829897108, 1.78754885333, 3.29115745331, 4.90848832464),
    (10, 8.0, 0.121661064252952, 0.409180150796444, 0.204590075398222,
     1.05106626007, 1.85578521628, 3.32827467856, 4.94611132761),
    (10, 9.0, 0.167963226291586, 0.668731524107697, 0.668731524107697,
     2.5933596649, 4.20279757733, 4.36086656778, 6.24987669885),
    (16, 12.0, 0.0604125924625645, 0.20457385843574, 0.051143464608935, None, None, None, None),
    (20, 18.0, 0.109212845872522, 0.550769004816118, 0.275384502408059, None, None, None, None),
    (32, 28.0, 0.0664978582423397, 0.363008057499647, 0.0907520143749118,
     0.49560050639, 0.897959984498, 3.10994623517, 4.71939364938),
    (64, 60.0, 0.0603627382042357, 0.506866270975763, 0.126716567743941, None, None, None, None),
    (100, 90.0, 0.0269573804643592, 0.216940480906366, 0.0216940480906366, None, None, None, None),
    (100, 95.0, 0.0488042061786778, 0.506456853913021, 0.101291370782604,
     0.463083225972, 0.784970808459, 3.11494870121, 4.72438704895),
    (1000, 970.0, 0.00952919327171859, 0.242823336180412, 0.00809411120601372,
     None, None, None, None),
]  # fmt: skip

# load: exact c for P(wait) <= 0.2, 0.05, 0.01, then what the square-root rule says.
STAFFING = {
    1: ((3, 4, 5), (3, 3, 4)),
    5: ((8, 10, 12), (8, 9, 11)),
    10: ((14, 17, 19), (14, 16, 18)),
    50: ((58, 64, 68), (58, 63, 67)),
    100: ((111, 119, 125), (111, 118, 124)),
    500: ((525, 540, 555), (524, 539, 554)),
    1000: ((1034, 1056, 1077), (1034, 1056, 1076)),
}


def queue(servers, load, service_s):
    return {"servers": servers, "load": load, "service_s": service_s}


def exact_b(servers: int, load: Fraction) -> Fraction:
    """Erlang's recursion in exact fractions."""
    blocked = Fraction(1)
    for k in range(1, servers + 1):
        blocked = load * blocked / (k + load * blocked)
    return blocked


@pytest.mark.parametrize("row", TABLE, ids=lambda row: f"{row[0]}-{row[1]}")
def test_table_of_mmc(row) -> None:
    c, a, b, delay, wait, w95, w99, r95, r99 = row
    assert laws.erlang_b(servers=c, load=a) == pytest.approx(b, rel=3e-15, abs=5e-16)
    assert laws.erlang_c(servers=c, load=a) == pytest.approx(delay, rel=3e-15, abs=5e-16)
    assert laws.mmc_wait(servers=c, load=a, service_s=1.0) == pytest.approx(wait, rel=6e-15)
    if w95 is not None:
        args = queue(c, a, 1.0)
        assert laws.mmc_wait_percentile(0.95, **args) == pytest.approx(w95, rel=6e-12)
        assert laws.mmc_wait_percentile(0.99, **args) == pytest.approx(w99, rel=6e-12)
        assert laws.mmc_response_percentile(0.95, **args) == pytest.approx(r95, rel=6e-12)
        assert laws.mmc_response_percentile(0.99, **args) == pytest.approx(r99, rel=6e-12)


@pytest.mark.real
def test_all_reference_values_of_mmc(data_dir: Path) -> None:
    rows = json.loads((data_dir / "reference" / "queueing_reference.json").read_text())["mmc"]
    assert len(rows) == 18
    for row in rows:
        plain = {"servers": row["c"], "load": row["a"]}
        timed = {**plain, "service_s": 1.0}
        got = {
            "erlang_b": laws.erlang_b(**plain),
            "erlang_c": laws.erlang_c(**plain),
            "lq": laws.mmc_queue_length(**plain),
            "wq_mean": laws.mmc_wait(**timed),
            "r_mean": 1 + laws.mmc_wait(**timed),
            "rho": laws.utilization(throughput=row["a"], service_s=1.0, servers=row["c"]),
        }
        for name, q in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99), ("p999", 0.999)):
            if f"wq_{name}" in row:
                got[f"wq_{name}"] = laws.mmc_wait_percentile(q, **timed)
            got[f"r_{name}"] = laws.mmc_response_percentile(q, **timed)
        expected = {name: value for name, value in row.items() if name not in ("a", "c")}
        assert got == pytest.approx(expected, rel=1e-10)


@pytest.mark.real
def test_all_reference_values_of_halfin_and_whitt(data_dir: Path) -> None:
    path = data_dir / "reference" / "queueing_reference.json"
    rows = json.loads(path.read_text())["halfin_whitt"]
    assert len(rows) == 15
    for row in rows:
        forward = laws.halfin_whitt(row["beta"])
        assert forward == pytest.approx(row["p_wait"], rel=1e-10)
        assert laws.halfin_whitt_inverse(row["p_wait"]) == pytest.approx(row["beta"], rel=1e-10)


def test_table_of_halfin_and_whitt() -> None:
    forward = {
        0.5: 0.50453864099795, 1.0: 0.22336127479826, 1.5: 0.084690394493858,
        2.0: 0.026881362429432, 3.0: 0.0014770946446143,
    }  # fmt: skip
    inverse = {
        0.5: 0.50605446898918, 0.3: 0.82894463335624, 0.2: 1.0615162754187, 0.1: 1.4201868881004,
        0.05: 1.7398362717905, 0.01: 2.3748881475351, 0.001: 3.1152601548073,
    }  # fmt: skip
    for beta, probability in forward.items():
        assert laws.halfin_whitt(beta) == pytest.approx(probability, rel=5e-14)
    for probability, beta in inverse.items():
        assert laws.halfin_whitt_inverse(probability) == pytest.approx(beta, rel=5e-14)
    assert laws.halfin_whitt(0.0) == 1.0


@pytest.mark.parametrize("load", STAFFING)
def test_smallest_servers_are_exact_and_the_root_rule_is_not(load: int) -> None:
    exact, rule = STAFFING[load]
    targets = (0.2, 0.05, 0.01)
    assert tuple(laws.min_servers(load, wait_probability=p) for p in targets) == exact
    assert tuple(laws.square_root_servers(load, wait_probability=p) for p in targets) == rule


@given(st.integers(1, 60), st.integers(1, 8000))
def test_loss_and_delay_against_exact_fractions(servers: int, hundredths: int) -> None:
    load = Fraction(hundredths, 100)
    loss = exact_b(servers, load)
    given_load = float(load)
    assert laws.erlang_b(servers=servers, load=given_load) == pytest.approx(float(loss), rel=1e-13)
    if load < servers:
        delay = loss / (1 - load / servers * (1 - loss))
        got = laws.erlang_c(servers=servers, load=given_load)
        assert got == pytest.approx(float(delay), rel=1e-12)


@given(st.floats(0.0, 1e6))
def test_a_hundred_thousand_servers_do_not_overflow(load: float) -> None:
    loss = laws.erlang_b(servers=100_000, load=load)
    assert 0.0 <= loss <= 1.0
    assert loss >= 1 - 100_000 / load if load > 100_000 else loss < 0.003


def test_a_hundred_thousand_servers_agree_with_recursion_and_limit() -> None:
    inverse = 1.0
    for k in range(1, 100_001):
        inverse = 1 + inverse * k / 99_700.0
    assert laws.erlang_b(servers=100_000, load=99_700.0) == pytest.approx(1 / inverse, rel=1e-12)
    load = 100_000 - math.sqrt(100_000)  # β = 1 but for terms of order 1/√c
    assert laws.erlang_c(servers=100_000, load=load) == pytest.approx(0.22336127479826, rel=0.005)
    servers = laws.min_servers(99_000.0, wait_probability=0.05)
    assert laws.erlang_c(servers=servers, load=99_000.0) <= 0.05
    assert laws.erlang_c(servers=servers - 1, load=99_000.0) > 0.05


def test_a_hundred_thousand_servers_are_quick() -> None:
    loads = np.linspace(90_000, 99_900, 100)
    laws.erlang_c(servers=10, load=8.0)
    start = time.process_time()
    laws.erlang_c(servers=100_000, load=loads)
    assert time.process_time() - start < 1.0  # 0.02 s on a quiet machine


def test_an_array_of_loads_gives_what_its_numbers_give() -> None:
    loads = np.array([[0.0, 0.1, 3.0], [7.5, 9.99, 8.0]])
    for law in (laws.erlang_b, laws.erlang_c, laws.mmc_queue_length):
        each = [[law(servers=10, load=float(x)) for x in row] for row in loads]
        np.testing.assert_allclose(law(servers=10, load=loads), each, rtol=1e-13)
    waits = laws.mmc_wait_percentile(0.9, servers=10, load=loads, service_s=0.3)
    assert waits.shape == (2, 3)
    assert waits[0].tolist() == [0.0, 0.0, 0.0]
    assert isinstance(laws.erlang_c(servers=10, load=8.0), float)


def test_nothing_waits_without_load() -> None:
    assert laws.erlang_b(servers=4, load=0.0) == 0.0
    assert laws.erlang_b(servers=0, load=3.0) == 1.0
    assert laws.erlang_c(servers=4, load=0.0) == 0.0
    assert laws.mmc_wait(servers=4, load=0.0, service_s=1.0) == 0.0
    assert laws.min_servers(0.0, wait_probability=0.01) == 1
    assert laws.square_root_servers(0.0, wait_probability=0.01) == 1
    p99 = laws.mmc_response_percentile(0.99, servers=4, load=0.0, service_s=2.0)
    assert p99 == pytest.approx(2 * math.log(100))  # service alone


def test_response_tail_has_no_hole_where_one_server_is_spare() -> None:
    """At c − a = 1 two exponentials merge; the textbook form divides by zero there."""
    t = np.linspace(0, 12, 25)
    delay = laws.erlang_c(servers=4, load=3.0)
    at = laws.mmc_response_tail(t, servers=4, load=3.0, service_s=1.0)
    np.testing.assert_allclose(at, np.exp(-t) * (1 + delay * t), rtol=1e-14)
    for nudge in (1e-15, 1e-12, 1e-9, 1e-6):
        near = laws.mmc_response_tail(t, servers=4, load=3.0 + nudge, service_s=1.0)
        np.testing.assert_allclose(near, at, rtol=20 * nudge + 1e-14)


def test_response_of_an_almost_full_queue_is_finite() -> None:
    p99 = laws.mmc_response_percentile(0.99, servers=1, load=1 - 1e-9, service_s=1.0)
    assert p99 == pytest.approx(math.log(100) * 1e9, rel=1e-6)


@given(st.integers(1, 200), st.floats(0.001, 0.999), st.floats(0.01, 0.9999))
def test_percentiles_invert_tails(servers: int, rho: float, q: float) -> None:
    args = queue(servers, rho * servers, 0.02)
    response = laws.mmc_response_percentile(q, **args)
    assert laws.mmc_response_tail(response, **args) == pytest.approx(1 - q, rel=1e-8)
    wait = laws.mmc_wait_percentile(q, **args)
    assert wait <= response
    if wait > 0:
        assert laws.mmc_wait_tail(wait, **args) == pytest.approx(1 - q, rel=1e-8)
    else:
        assert laws.mmc_wait_tail(0.0, **args) <= (1 - q) * (1 + 1e-9)


@given(st.integers(1, 200), st.floats(0.01, 0.99), st.floats(0.01, 0.99), st.floats(0.01, 1000))
def test_more_load_waits_longer_and_units_of_time_scale_times_only(
    servers: int, one: float, other: float, unit: float
) -> None:
    low, high = sorted((one * servers, other * servers))
    assert laws.erlang_c(servers=servers, load=low) <= laws.erlang_c(servers=servers, load=high) * (
        1 + 1e-12
    )
    r_low, r_high = (
        laws.mmc_response_percentile(0.95, servers=servers, load=load, service_s=1.0)
        for load in (low, high)
    )
    assert r_low <= r_high * (1 + 1e-12)
    scaled = laws.mmc_response_percentile(0.95, servers=servers, load=low, service_s=unit)
    assert scaled == pytest.approx(unit * r_low)
    assert laws.mmc_wait(servers=servers, load=low, service_s=unit) == pytest.approx(
        unit * laws.mmc_wait(servers=servers, load=low, service_s=1.0)
    )


@given(st.floats(0.0, 3000.0), st.floats(1e-4, 0.9), st.floats(1e-4, 0.9))
def test_smallest_servers_are_smallest_and_strictness_costs(
    load: float, one: float, other: float
) -> None:
    strict, loose = sorted((one, other))
    servers = laws.min_servers(load, wait_probability=strict)
    assert servers >= laws.min_servers(load, wait_probability=loose)
    assert laws.erlang_c(servers=servers, load=load) <= strict
    if servers - 1 > load:
        assert laws.erlang_c(servers=servers - 1, load=load) > strict


@pytest.mark.slow
def test_a_simulated_queue_agrees() -> None:
    rng = np.random.default_rng(11)
    n = 1_000_000
    seen = simulate(rng.exponential(1 / 3.0, n), rng.exponential(1.0, n), servers=4)
    args = queue(4, 3.0, 1.0)
    low, high = seen.interval(seen.wait)
    assert low <= laws.mmc_wait(**args) <= high
    assert high - low < 0.06
    low, high = seen.interval(seen.wait > 0)
    assert low <= laws.erlang_c(servers=4, load=3.0) <= high
    for t in (0.5, 2.0, 6.0):
        low, high = seen.interval(seen.response > t)
        assert low <= laws.mmc_response_tail(t, **args) <= high
        low, high = seen.interval(seen.wait > t)
        assert low <= laws.mmc_wait_tail(t, **args) <= high


def test_bad_input_is_named() -> None:
    with pytest.raises(InputError, match=r"less than servers \(10\)") as caught:
        laws.erlang_c(servers=10, load=10.0)
    assert "finite_population" in str(caught.value)
    with pytest.raises(InputError, match=r"servers: got 2\.5; expected a whole number >= 1"):
        laws.erlang_c(servers=2.5, load=1.0)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="servers: got None"):
        laws.erlang_b(servers=None, load=1.0)  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"load: got -1\.0"):
        laws.erlang_b(servers=2, load=np.array([1.0, -1.0]))
    with pytest.raises(InputError, match="load: got inf"):
        laws.erlang_b(servers=2, load=math.inf)
    with pytest.raises(InputError) as caught:
        laws.mmc_wait_percentile(1.0, servers=4, load=9.0, service_s=-1.0)
    assert [p.where for p in caught.value.problems] == ["load", "service_s", "q"]
    with pytest.raises(InputError, match=r"t_s: got -1\.0"):
        laws.mmc_wait_tail(-1.0, servers=1, load=0.5, service_s=1.0)
    with pytest.raises(InputError, match=r"service_s: got 0\.0"):
        laws.mmc_response_tail(1.0, servers=1, load=0.5, service_s=0.0)
    with pytest.raises(InputError, match="beta"):
        laws.halfin_whitt(-0.1)
    with pytest.raises(InputError, match="wait_probability"):
        laws.halfin_whitt_inverse(0.0)
    with pytest.raises(InputError, match="wait_probability"):
        laws.min_servers(5.0, wait_probability=1.0)
