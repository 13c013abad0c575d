"""G/G/c means: reference values, exact special cases, and simulations by others."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from queue_simulation import hyperexponential, simulate
from scipy.optimize import brentq

from capmodel import laws
from capmodel.errors import InputError

# Simulated (6e6 customers, S = 1): c, a, ca², cs², mean wait, 99 % half-width; then the two
# approximations.
SIMULATED = [
    (4, 3.0, 1, 1, 0.5122, 0.0102, None, 0.5368),
    (4, 3.0, 1, 0, 0.2683, 0.0040, 0.2547, 0.2684),
    (4, 3.0, 1, 4, 1.1397, 0.0186, 1.2736, 1.3421),
    (10, 8.0, 1, 4, 0.4341, 0.0103, 0.5115, 0.5486),
    (10, 8.0, 1, 0, 0.1105, 0.0025, 0.1023, 0.1097),
    (4, 3.0, 0.5, 0.5, 0.2154, 0.0020, 0.2547, 0.2684),
    (4, 3.0, 4, 1, 1.4917, 0.0146, 1.2736, 1.3421),
    (4, 3.2, 4, 4, 3.195, 0.144, 2.982, 3.086),
]

RHO = st.floats(0.0, 0.999)
SCV = st.floats(0.0, 10.0)


def queue(c, a, ca2, cs2, service_s=1.0):
    return {
        "servers": c, "load": a, "service_s": service_s, "arrival_scv": ca2, "service_scv": cs2,
    }  # fmt: skip


@pytest.mark.real
def test_all_reference_values_of_ggc(data_dir: Path) -> None:
    rows = json.loads((data_dir / "reference" / "queueing_reference.json").read_text())["ggc"]
    assert len(rows) == 40
    for row in rows:
        args = queue(row["c"], row["a"], row["ca2"], row["cs2"])
        assert laws.allen_cunneen(**args) == pytest.approx(row["allen_cunneen_wq"], rel=1e-10)
        assert laws.sakasegawa(**args) == pytest.approx(row["sakasegawa_wq"], rel=1e-10)


@pytest.mark.parametrize("row", SIMULATED)
def test_table_of_approximations(row) -> None:
    *numbers, simulated, half_width, allen, saka = row
    args = queue(*numbers)
    if allen is None:
        assert laws.allen_cunneen(**args) == laws.mmc_wait(servers=4, load=3.0, service_s=1.0)
        assert laws.cautious_wait(**args) == laws.allen_cunneen(**args)
    else:
        assert laws.allen_cunneen(**args) == pytest.approx(allen, abs=5.1e-4 if allen > 2 else 5e-5)
    assert laws.sakasegawa(**args) == pytest.approx(saka, abs=5.1e-4 if saka > 2 else 5e-5)
    # What is planned with is nowhere below what was simulated, and at most 30 % above.
    assert simulated - half_width <= laws.cautious_wait(**args) <= 1.3 * simulated


def test_bursty_arrivals_wait_15_percent_more_than_either_says() -> None:
    smooth, bursty = queue(4, 3.0, 1.5, 1.0), queue(4, 3.0, 1.51, 1.0)
    assert laws.cautious_wait(**smooth) == laws.sakasegawa(**smooth)
    assert laws.cautious_wait(**bursty) == pytest.approx(1.15 * laws.sakasegawa(**bursty))


@given(RHO, SCV)
def test_one_server_with_poisson_arrivals_has_one_answer(rho: float, cs2: float) -> None:
    exact = laws.pollaczek_khinchine(utilization=rho, service_s=0.02, service_scv=cs2)
    args = queue(1, rho, 1.0, cs2, 0.02)
    for law in (laws.allen_cunneen, laws.sakasegawa, laws.cautious_wait):
        assert law(**args) == pytest.approx(exact, rel=1e-9, abs=1e-300)
    for klb in (True, False):
        wait = laws.kingman(
            utilization=rho, service_s=0.02, arrival_scv=1.0, service_scv=cs2, klb_factor=klb
        )
        assert wait == pytest.approx(exact, rel=1e-9, abs=1e-300)


@pytest.mark.parametrize("rho", [0.6, 0.8, 0.95])
def test_factor_of_kraemer_and_langenbach_belz_where_the_answer_is_known(rho: float) -> None:
    """D/M/1 waits σ/(1 − σ) with σ = exp(−(1 − σ)/ρ) (Kleinrock 1975, section 6.4)."""
    sigma = brentq(lambda s: s - np.exp(-(1 - s) / rho), 0.0, 1 - 1e-6)

    def wait(*, klb_factor: bool) -> float:
        return laws.kingman(
            utilization=rho,
            service_s=1.0,
            arrival_scv=0.0,
            service_scv=1.0,
            klb_factor=klb_factor,
        )

    assert wait(klb_factor=True) == pytest.approx(sigma / (1 - sigma), rel=0.015)
    assert wait(klb_factor=False) > (1 + (1 - rho) / 2) * sigma / (1 - sigma)


def test_factor_of_kraemer_and_langenbach_belz_for_bursty_arrivals() -> None:
    """By hand: ρ = 0.5, ca² = 3, cs² = 1: 1 · 2 · exp(−0.5 · 2/7)."""
    wait = laws.kingman(utilization=0.5, service_s=1.0, arrival_scv=3.0, service_scv=1.0)
    assert wait == pytest.approx(2 * np.exp(-1 / 7), rel=1e-14)


def test_clockwork_does_not_wait() -> None:
    assert laws.kingman(utilization=0.9, service_s=1.0, arrival_scv=0.0, service_scv=0.0) == 0.0
    assert laws.allen_cunneen(**queue(3, 2.9, 0.0, 0.0)) == 0.0
    for ca2 in (0.0, 0.5, 3.0):
        assert laws.kingman(utilization=0.0, service_s=1.0, arrival_scv=ca2, service_scv=1.0) == 0.0


def test_shared_core_and_the_mean_of_a_convex_curve() -> None:
    """Utilization even over [0.4, 0.9]: mean R/S = 2·ln 6, not the 20/7 at its mean."""
    rho = np.linspace(0.4, 0.9, 200_001)
    response = laws.processor_sharing_response(utilization=rho, service_s=1.0)
    assert np.trapezoid(response, rho) / 0.5 == pytest.approx(3.58351893846, rel=1e-9)
    at_mean = laws.processor_sharing_response(utilization=0.65, service_s=1.0)
    assert at_mean == pytest.approx(2.85714285714, rel=1e-11)


@given(st.integers(1, 64), RHO, RHO, SCV, SCV, st.floats(0.01, 1000))
def test_more_load_or_spread_waits_longer_and_units_scale(
    c: int, one: float, other: float, ca2: float, cs2: float, unit: float
) -> None:
    low, high = sorted((one, other))
    for law in (laws.allen_cunneen, laws.sakasegawa, laws.cautious_wait):
        wait = law(**queue(c, low * c, ca2, cs2))
        assert wait <= law(**queue(c, high * c, ca2, cs2)) * (1 + 1e-12)
        assert law(**queue(c, low * c, ca2, cs2, unit)) == pytest.approx(unit * wait, rel=1e-12)
    more = laws.allen_cunneen(**queue(c, low * c, ca2 + 1, cs2 + 1))
    assert laws.allen_cunneen(**queue(c, low * c, ca2, cs2)) <= more


def test_arrays_of_load() -> None:
    loads = np.array([0.0, 1.0, 3.9])
    for law in (laws.allen_cunneen, laws.sakasegawa, laws.cautious_wait):
        got = law(**queue(4, loads, 2.0, 1.0))
        np.testing.assert_allclose(got, [law(**queue(4, float(a), 2.0, 1.0)) for a in loads])


@pytest.mark.slow
@pytest.mark.parametrize(("ca2", "cs2"), [(1, 4), (4, 1)])
def test_simulated_queues_do_not_wait_longer_than_planned(ca2: int, cs2: int) -> None:
    rng, n = np.random.default_rng(23), 1_000_000

    def times(mean: float, scv: int) -> np.ndarray:
        if scv == 1:
            return rng.exponential(mean, n)
        return hyperexponential(rng, n, mean=mean, scv=scv)

    seen = simulate(times(1 / 3.0, ca2), times(1.0, cs2), servers=4)
    low, _ = seen.interval(seen.wait)
    planned = laws.cautious_wait(**queue(4, 3.0, ca2, cs2))
    assert low <= planned <= 1.3 * seen.wait.mean()


def test_bad_input_is_named() -> None:
    with pytest.raises(InputError) as caught:
        laws.allen_cunneen(**queue(4.5, 1.0, -1.0, np.nan))
    assert [p.where for p in caught.value.problems] == ["servers", "arrival_scv", "service_scv"]
    with pytest.raises(InputError, match=r"less than servers \(4\)"):
        laws.cautious_wait(**queue(4, 4.0, 1.0, 1.0))
    with pytest.raises(InputError, match="at 1 the queue grows without end"):
        laws.pollaczek_khinchine(utilization=1.0, service_s=1.0, service_scv=1.0)
    with pytest.raises(InputError, match="service_s"):
        laws.processor_sharing_response(utilization=0.5, service_s=-1.0)
    with pytest.raises(InputError, match="arrival_scv"):
        laws.kingman(utilization=0.5, service_s=1.0, arrival_scv=-0.1, service_scv=1.0)
