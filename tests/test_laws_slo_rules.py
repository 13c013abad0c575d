"""Bounds of single rules: 40-digit reference values, fractional cores, rules that cannot hold."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from capmodel import laws
from capmodel.errors import InputError, ModelError

CORES = (1, 2, 4, 8, 16, 32, 64, 128)

# Largest utilization of M/M/c with S = 1, rounded to four digits, for CORES.
TABLE: dict[laws.Rule, tuple[float, ...]] = {
    laws.WaitProbability(0.01): (.0100, .0733, .2025, .3582, .5058, .6301, .7281, .8026),
    laws.WaitProbability(0.05): (.0500, .1711, .3296, .4836, .6139, .7166, .7945, .8522),
    laws.WaitProbability(0.20): (.2000, .3702, .5255, .6513, .7474, .8185, .8703, .9077),
    laws.WaitProbability(0.30): (.3000, .4695, .6100, .7180, .7978, .8558, .8975, .9273),
    laws.MeanResponse(1.2): (.1667, .4082, .6157, .7623, .8577, .9170, .9526, .9736),
    laws.MeanResponse(2.0): (.5000, .7071, .8349, .9092, .9510, .9740, .9864, .9929),
    laws.WaitPercentile(0.99, 1.0): (.0265, .1749, .4172, .6373, .7908, .8848, .9385, .9678),
    laws.ResponsePercentile(0.99, 8.0): (.4244, .6883, .8367, .9158, .9570, .9781, .9890, .9944),
    laws.ResponsePercentile(0.95, 5.0): (.4009, .6589, .8152, .9023, .9492, .9738, .9866, .9932),
}  # fmt: skip

NAMED: dict[str, Callable[[float], laws.Rule]] = {
    "erlang_c": laws.WaitProbability,
    "r_mean": laws.MeanResponse,
    "wq_p99": lambda t: laws.WaitPercentile(0.99, t),
    "r_p95": lambda t: laws.ResponsePercentile(0.95, t),
    "r_p99": lambda t: laws.ResponsePercentile(0.99, t),
}


@pytest.mark.parametrize("rule", TABLE, ids=str)
def test_table_of_bounds(rule: laws.Rule) -> None:
    found = [laws.rule_bound(rule, laws.Station(c, 1.0)) for c in CORES]
    assert found == pytest.approx(TABLE[rule], abs=5.001e-5)


@pytest.mark.real
def test_all_reference_values_of_bounds(data_dir: Path) -> None:
    rows = json.loads((data_dir / "reference" / "queueing_reference.json").read_text())["rho_max"]
    assert len(rows) == 99
    for row in rows:
        name, limit = row["rule"].split("<=")
        found = laws.rule_bound(NAMED[name](float(limit)), laws.Station(row["c"], 1.0))
        assert found == pytest.approx(row["rho"], rel=1e-10), row


def test_one_server_by_hand() -> None:
    """M/M/1: P(wait) = ρ, R = S/(1 − ρ), and R is exponential."""
    pod = laws.Station(1, 0.02)
    assert laws.rule_bound(laws.WaitProbability(1e-9), pod) == pytest.approx(1e-9, rel=1e-12)
    assert laws.rule_bound(laws.MeanResponse(5.0), pod) == pytest.approx(0.8, rel=1e-12)
    bound = laws.rule_bound(laws.ResponsePercentile(0.9, 0.1), pod)
    assert bound == pytest.approx(1 - np.log(10) * 0.02 / 0.1, rel=1e-12)


def test_poisson_arrivals_and_general_service_by_hand() -> None:
    """M/G/1: ρ(1 + cs²)/(2(1 − ρ)) = k − 1 gives ρ = 2(k − 1)/(2(k − 1) + 1 + cs²)."""
    pod = laws.Station(1, 0.02, service_scv=3.0)
    assert laws.rule_bound(laws.MeanResponse(3.0), pod) == pytest.approx(0.5, rel=1e-12)
    constant = laws.Station(1, 0.02, service_scv=0.0)
    assert laws.rule_bound(laws.MeanResponse(3.0), constant) == pytest.approx(0.8, rel=1e-12)


def test_a_wait_of_nothing_is_a_probability_of_waiting() -> None:
    pod = laws.Station(6, 0.02)
    at_once = laws.rule_bound(laws.WaitPercentile(0.95, 0.0), pod)
    assert at_once == pytest.approx(laws.rule_bound(laws.WaitProbability(0.05), pod), rel=1e-12)


def _queue(servers, load, service_s):
    return {"servers": servers, "load": load, "service_s": service_s}


def _mean_response(cores: float, utilization: float) -> float:
    """A queue that works at rate min(n, cores), state by state; S = 1."""
    n = np.arange(1, 4000)
    weights = np.cumprod(utilization * cores / np.minimum(n, cores))
    return float(n @ weights / (1 + weights.sum())) / (utilization * cores)


@given(st.floats(0.1, 12.0), st.sampled_from([1.2, 2.0, 5.0]))
def test_fractional_cores_are_on_the_safe_side(cores: float, at_most_x: float) -> None:
    station = laws.Station(cores, 1.0)
    bound = laws.rule_bound(laws.MeanResponse(at_most_x), station)
    assert _mean_response(cores, bound) <= at_most_x * station.queue_service_s * (1 + 1e-6)


def test_fractional_cores_become_whole_servers() -> None:
    for cores, servers, service_s, exact in (
        (0.25, 1, 0.08, False),
        (1.0, 1, 0.02, True),
        (1.99, 1, 0.02, False),
        (3 * 0.1 * 10, 3, 0.02, False),  # 3.0000000000000004
        (2.9999999999999996, 3, 0.02, False),
        (64.0, 64, 0.02, True),
    ):
        station = laws.Station(cores, 0.02)
        assert station.queue_servers == servers
        assert station.queue_service_s == pytest.approx(service_s)
        assert station.exact is exact
    assert not laws.Station(4, 0.02, service_scv=2.0).exact


def test_a_rule_that_idle_servers_break_is_refused() -> None:
    """An exponential service of 20 ms has a p99 of 92 ms without any queue."""
    with pytest.raises(ModelError, match="breaks it on idle servers"):
        laws.rule_bound(laws.ResponsePercentile(0.99, 0.09), laws.Station(8, 0.02))
    assert laws.rule_bound(laws.ResponsePercentile(0.99, 0.0925), laws.Station(8, 0.02)) > 0
    steady = laws.Station(8, 0.02, service_scv=0.01)
    assert laws.rule_bound(laws.ResponsePercentile(0.99, 0.09), steady) > 0.8
    with pytest.raises(ModelError, match=r"service time of 0\.08 s"):  # half a core takes twice
        laws.rule_bound(laws.ResponsePercentile(0.99, 0.2), laws.Station(0.25, 0.02))


def test_predictions_of_a_station_are_those_of_its_queue() -> None:
    pod = laws.Station(4, 0.02)
    queue = _queue(4, 3.0, 0.02)
    assert pod.mean_response(utilization=0.75) == 0.02 + laws.mmc_wait(**queue)
    for q in (0.5, 0.99):
        response = laws.mmc_response_percentile(q, **queue)
        assert pod.response_percentile(q, utilization=0.75) == pytest.approx(response)
        wait = laws.mmc_wait_percentile(q, **queue)
        assert pod.wait_percentile(q, utilization=0.75) == pytest.approx(wait)
    for ask in (pod.response_percentile, pod.wait_percentile):
        with pytest.raises(InputError, match=r"utilization: got 75\.0"):
            ask(0.99, utilization=75.0)
    with pytest.raises(InputError, match=r"utilization: got 1\.0"):
        pod.mean_response(utilization=1.0)


@pytest.mark.parametrize(
    ("make", "where"),
    [
        (lambda: laws.Station(0, -1.0, service_scv=-1.0, arrival_scv=np.inf),
         ["servers", "service_s", "service_scv", "arrival_scv"]),
        (lambda: laws.Station(4, 0.1, service_scv=0.0, arrival_scv=0.0),
         ["arrival_scv + service_scv"]),
        (lambda: laws.WaitProbability(20.0), ["at_most"]),
        (lambda: laws.MeanResponse(1.0), ["at_most_x"]),
        (lambda: laws.WaitPercentile(99, -0.1), ["q", "at_most_s"]),
        (lambda: laws.ResponsePercentile(1.0, 0.0), ["q", "at_most_s"]),
    ],
)  # fmt: skip
def test_bad_input_is_named(make, where) -> None:
    with pytest.raises(InputError) as caught:
        make()
    assert [p.where for p in caught.value.problems] == where
