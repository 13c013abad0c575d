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

    Unsaturated means ``pod_util_cpu_avg / pod_cpu_limit < 0.9``. A plain MAPE of 10 % is out of
    reach of any line here: even the non-negative line with the smallest MAPE on the very rows that
    it is judged on, found by a linear programme, has 20 to 23 %, because rows of a few requests a
    minute weigh as much as full ones and show a fraction of their cost per request. So the fit is
    held to that line (within 5 %), and to 10 % of the CPU that was really used (WAPE).
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
    wape = (got - held["cpu_cores"]).abs().sum() / held["cpu_cores"].sum()
    best = smallest_mape(held[["replicas", "rps"]].to_numpy(), held["cpu_cores"].to_numpy())
    print(  # noqa: T201  the measured figures belong in the log
        f"plain MAPE {error.mean():.3f} (best line {best:.3f}), WAPE {wape:.3f}"
    )
    assert error.mean() <= best * 1.05
    assert wape <= 0.10


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
