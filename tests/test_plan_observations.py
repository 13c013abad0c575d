"""Load-test rows without time: beside a history they join it, and alone they are fitted."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from capmodel.errors import InputError
from capmodel.history import History
from capmodel.plan import CapacityModel
from capmodel.plan.observations import digest_of
from capmodel.topology import Topology

TOPOLOGY = Topology.model_validate(
    {
        "drivers": {"checkouts": {}},
        "services": {
            "api": {"calls": {"checkouts": 4}, "pod": {"cpu_cores": 2, "memory_gib": 4}},
        },
    }
)


def history(**columns: float) -> History:
    times = pd.date_range("2026-01-01", periods=60 * 24, freq="h", tz="UTC")
    busy = 600 + 300 * np.sin(2 * np.pi * np.arange(len(times)) / 24)
    rows = [pd.DataFrame({"service": "checkouts", "time": times, "per_min": busy})]
    if columns:
        rows.append(pd.DataFrame({"service": "api", "time": times, "rps": busy / 15, **columns}))
    return History.from_frame(pd.concat(rows), business_tz="UTC")


def load_test() -> pd.DataFrame:
    rps = np.linspace(5.0, 80.0, 120)
    cores = 0.05 * 4 + 0.085 * rps
    return pd.DataFrame({"service": "api", "rps": rps, "replicas": 4.0, "cpu_cores": cores})


def test_a_service_without_history_is_planned_from_its_load_test():
    fit = CapacityModel(TOPOLOGY).fit(history(), observations=load_test())
    usage = fit.usage["api", "cpu_cores"]
    assert usage.basis == "fitted"
    assert dict(zip(usage.terms, usage.value, strict=True)) == pytest.approx(
        {"per_pod": 0.05, "per_request": 0.085}, rel=1e-3
    )
    assert fit.inputs["observations"] == digest_of(load_test())


def test_row_order_changes_neither_fit_nor_digest_and_a_value_does():
    rows = load_test()
    shuffled = rows.sample(frac=1.0, random_state=1)
    model, past = CapacityModel(TOPOLOGY), history()
    first, second = (model.fit(past, observations=o) for o in (rows, shuffled))
    assert np.array_equal(
        first.usage["api", "cpu_cores"].value, second.usage["api", "cpu_cores"].value
    )
    assert first.inputs == second.inputs
    changed = rows.assign(rps=rows["rps"] * 1.001)
    assert digest_of(changed) != digest_of(rows)


def test_without_observations_the_service_is_refused():
    with pytest.raises(InputError, match=r"services\.api"):
        CapacityModel(TOPOLOGY).fit(history())


def test_beside_measured_usage_they_are_load_tests_that_reach_further():
    times = pd.date_range("2026-01-01", periods=60 * 24, freq="h", tz="UTC")
    rng = np.random.default_rng(0)
    busy = 600 + 300 * np.sin(2 * np.pi * np.arange(len(times)) / 24)
    rps = busy / 15
    cores = (0.05 * 4 + 0.085 * rps) * rng.gamma(1111, 1 / 1111, len(rps))
    rows = [pd.DataFrame({"service": "checkouts", "time": times, "per_min": busy})]
    measured = {"rps": rps, "replicas": 4.0, "cpu_cores": cores}
    rows.append(pd.DataFrame({"service": "api", "time": times, **measured}))
    past = History.from_frame(pd.concat(rows), business_tz="UTC")
    alone = CapacityModel(TOPOLOGY).fit(past).usage["api", "cpu_cores"]
    both = CapacityModel(TOPOLOGY).fit(past, observations=load_test()).usage["api", "cpu_cores"]
    assert both.n_used == alone.n_used + 120
    assert alone.load_per_pod_max == pytest.approx(rps.max() / 4)
    assert both.load_per_pod_max == pytest.approx(20.0)
    assert (both.low < [0.05, 0.085]).all()
    assert (both.high > [0.05, 0.085]).all()
    assert both.value[1] == pytest.approx(0.085, rel=0.005)


def test_rows_without_a_node_are_refused():
    rows = load_test().drop(columns="service")
    with pytest.raises(InputError, match="a column service"):
        CapacityModel(TOPOLOGY).fit(history(), observations=rows)
