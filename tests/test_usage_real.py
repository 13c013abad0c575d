"""Usage fits on load tests that others measured."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import linprog

from capmodel.usage import RobustLinear


@pytest.mark.real
@pytest.mark.skipif("CAPMODEL_DATA" not in os.environ, reason="CAPMODEL_DATA is not set")
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_held_out_rows_of_measured_load_tests(seed: int) -> None:
    """Terminus primeapp (Jindal, Podolskiy, Gerndt, ICPE 2019), half fitted, half predicted.

    Unsaturated means ``pod_util_cpu_avg / pod_cpu_limit < 0.9``. Below 300 requests a minute (5 %
    of these rows, 0.1 % of the CPU) the table shows a quarter of the cost per request of all other
    rows, so relative errors are several hundred per cent there and *no* non-negative line has a
    plain MAPE below 20 %. The test therefore asks three things: plain MAPE within 5 % of the
    smallest that any such line can have, fitted to the very rows it is judged on; MAPE and WAPE of
    at most 10 % from 300 requests a minute on. That bound was set after looking at the table; it
    cuts on the regressor, never on the outcome, and nothing in the model was chosen by it.
    """
    path = Path(os.environ["CAPMODEL_DATA"]) / "terminus_microservices" / "primeapp_primeapp.csv"
    raw = pd.read_csv(path)
    raw = raw[raw["pod_util_cpu_avg"] / raw["pod_cpu_limit"] < 0.9]
    rows = pd.DataFrame(
        {
            "service": "primeapp",
            "rps": raw["requests"] / 60,
            "replicas": raw["num_pods"].astype(float),
            "cpu_cores": raw["total_cpu_util"],
        }
    ).reset_index(drop=True)
    half = np.random.default_rng(seed).random(len(rows)) < 0.5
    fit = RobustLinear().fit(rows[half])
    held = rows[~half].reset_index(drop=True)
    got = fit.predict(held[["service", "rps", "replicas"]])["p50"]
    error = (got / held["cpu_cores"] - 1).abs()
    busy = held["rps"] >= 300 / 60
    wape = (got - held["cpu_cores"]).abs().sum() / held["cpu_cores"].sum()
    best = smallest_mape(held[["replicas", "rps"]].to_numpy(), held["cpu_cores"].to_numpy())
    print(  # noqa: T201  the measured figures belong in the log
        f"plain MAPE {error.mean():.3f} (best line {best:.3f}), "
        f"from 300/min {error[busy].mean():.3f}, median {error.median():.3f}, WAPE {wape:.3f}"
    )
    assert error[busy].mean() <= 0.10
    assert wape <= 0.10
    assert error.median() <= 0.10
    assert error.mean() <= best * 1.05
    assert busy.mean() >= 0.94
    assert held["cpu_cores"][busy].sum() / held["cpu_cores"].sum() >= 0.998


def smallest_mape(design: np.ndarray, y: np.ndarray) -> float:
    """Return the smallest MAPE of any non-negative line on these rows (a linear programme)."""
    n, k = design.shape
    scaled = design / y[:, None]
    eye = np.eye(n)
    solved = linprog(
        np.r_[np.zeros(k), np.full(n, 1 / n)],
        A_ub=np.block([[scaled, -eye], [-scaled, -eye]]),
        b_ub=np.r_[np.ones(n), -np.ones(n)],
        method="highs",
    )
    line = np.asarray(solved.x)[:k]
    return float(np.mean(np.abs(scaled @ line - 1)))
