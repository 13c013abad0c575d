"""USL and its rivals on load tests that others measured, and on one with a known server."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from capmodel.usage.arrivals import check_arrivals
from capmodel.usage.scaling_models import compare_scaling
from capmodel.usage.usl import Usl

pytestmark = pytest.mark.real


def series(path: Path, n: str, x: str) -> tuple[np.ndarray, np.ndarray]:
    frame = pd.read_csv(path)
    return frame[n].to_numpy(dtype=float), frame[x].to_numpy(dtype=float)


def test_published_fits(data_dir: Path) -> None:
    """Coefficients and peaks as the saved test outputs of R package usl 3.0.3 print them."""
    published = json.loads((data_dir / "usl_reference" / "published_fits.json").read_text())
    spec, six, inline = published["fits"]
    fit = Usl().fit(*series(data_dir / "usl" / "specsdm91.csv", "load", "throughput"))
    assert fit.alpha == pytest.approx(spec["alpha"], abs=5e-6)
    assert fit.beta == pytest.approx(spec["beta"], abs=5e-8)
    assert fit.gamma == pytest.approx(spec["gamma"], abs=5e-3)
    assert fit.peak_n == pytest.approx(spec["peak_load"], rel=1e-6)
    assert fit.peak_x == pytest.approx(spec["peak_throughput"], abs=0.5)
    assert fit.limit_x == pytest.approx(spec["amdahl_limit"], rel=1e-6)
    assert 1 / fit.alpha == pytest.approx(spec["optimal_load"], rel=1e-6)
    assert fit.resid_sd == pytest.approx(spec["residual_standard_error"], abs=5e-3)
    for name, se in spec["std_error"].items():
        assert fit.se[name] == pytest.approx(se, rel=5e-4)
    n, x = series(data_dir / "usl" / "raytracer.csv", "processors", "throughput")
    fit = Usl().fit(n[:6], x[:6])
    for name in ("alpha", "beta", "gamma"):
        assert getattr(fit, name) == pytest.approx(six[name], abs=6e-6)
    fit = Usl().fit(inline["x"], inline["y"])
    assert (fit.alpha, fit.beta, fit.gamma) == pytest.approx((0.02, 0.02, 1.0), abs=6e-6)


def test_all_rows_of_a_ray_tracer_have_no_peak(data_dir: Path) -> None:
    fit = Usl().fit(*series(data_dir / "usl" / "raytracer.csv", "processors", "throughput"))
    assert fit.at_bound == {"beta": 0.0}
    assert (fit.alpha, fit.gamma) == pytest.approx((0.057770781, 21.848843), rel=1e-6)


def test_cisco(data_dir: Path) -> None:
    fit = Usl().fit(*series(data_dir / "usl" / "cisco.csv", "concurrency", "throughput"))
    expected = (0.026715945, 7.6909392e-4, 995.64879, 35.573788, 12342.852554)
    assert (fit.alpha, fit.beta, fit.gamma, fit.peak_n, fit.peak_x) == pytest.approx(
        expected, rel=1e-6
    )


def test_a_production_database(data_dir: Path) -> None:
    """Two-minute rows of a login service: mean active sessions, most of them below 1 to 3."""
    n, x = series(data_dir / "usl" / "oracledb.csv", "db_time", "txn_rate")
    fit = Usl(min_n=0.0).fit(n, x)
    assert len(fit.rows.n) == 360
    expected = (0.44137156, 0.045298335, 3.3860784, 205.4932, 3.511724, 4.740921)
    got = (fit.alpha, fit.beta, fit.gamma, fit.rss, fit.peak_n, fit.peak_x)
    assert got == pytest.approx(expected, rel=1e-6)
    assert fit.r2 == pytest.approx(0.586, abs=5e-4)
    dropped = Usl().fit(n, x)
    assert dropped.rows.dropped == {"n below 1": int((n < 1).sum())}


def test_managed_databases(data_dir: Path) -> None:
    """sysbench-tpcc on Aurora, RDS and PXC, 1 to 256 threads: R2, and no peak where none is."""
    frame = pd.read_csv(data_dir / "percona_aurora_rds_tpcc_2020" / "summary.csv")
    no_peak = []
    for system, rows in frame.groupby("system"):
        n, x = rows["threads"].to_numpy(float), rows["tps_mean_after_300s"].to_numpy(float)
        fit = Usl().fit(n, x)
        assert fit.r2 >= 0.95, system
        assert fit.extrapolated == "", system
        winner = compare_scaling(n, x).winner
        print(f"{system}: {fit.summary['peak'][0]}; r2 {fit.r2:.4f}; {winner.title}")  # noqa: T201
        if fit.beta == 0:
            no_peak.append(system)
            assert "usl_no_peak" in fit.findings.codes
            assert "no peak, Amdahl limit gamma/alpha = 792.68" in fit.explain()
    assert no_peak == ["Aurora-3nodes-5tables-db.r5.xlarge-1"]


STEP_S = 6
STEPS = 5


@pytest.fixture(scope="module")
def staircase(data_dir: Path) -> tuple[np.ndarray, np.ndarray]:
    """Mean in flight (server) and requests/s (generator) of each step's four whole seconds."""
    folder = data_dir / "locust_sample" / "closed_steps"
    entries = json.loads((folder / "steps.json").read_text())
    count = pd.Series(0.0, index=pd.Index([], dtype=int))
    for entry in entries:
        part = pd.Series({int(s): float(c) for s, c in entry["num_reqs_per_sec"].items()})
        count = count.add(part, fill_value=0.0)
    server = pd.read_csv(folder / "server_metrics.csv").set_index("epoch_s")
    first = int(min(entry["start_time"] for entry in entries)) + 1
    seconds = [[first + STEP_S * k + s for s in range(4)] for k in range(STEPS)]
    in_flight = np.array([server.loc[s, "mean_inflight"].mean() for s in seconds])
    return in_flight, np.array([count[s].mean() for s in seconds])


def test_the_staircase_is_read_as_it_was_run(staircase: tuple[np.ndarray, np.ndarray]) -> None:
    np.testing.assert_allclose(staircase[1], [66.75, 130.75, 138.25, 149.75, 148.5])
    np.testing.assert_allclose(staircase[0], [1.834, 3.565, 7.683, 15.609, 31.54], rtol=1e-3)


def test_four_slots_have_their_knee_at_four(staircase: tuple[np.ndarray, np.ndarray]) -> None:
    found = compare_scaling(*staircase)
    print(found.explain())  # noqa: T201  the figures belong in the log
    bound = found.get("two_line")
    assert bound.knee_n == pytest.approx(3.97, abs=0.1)
    assert bound.ceiling_x <= 4 / 0.0256
    assert found.winner.name in {"two_line", "finite_population"}
    assert bound.aicc < found.get("usl").aicc
    assert bound.loo_rmse < found.get("usl").loo_rmse
    assert found.get("finite_population").parameters["servers"] == 4


def test_four_slots_second_by_second(data_dir: Path) -> None:
    """Every second of the run, ramps included: the server's own counts."""
    rows = pd.read_csv(data_dir / "locust_sample" / "closed_steps" / "server_metrics.csv")
    rows = rows[rows["connections"] > 0]
    x = (rows["quote"] + rows["pay"]) / rows["interval_s"]
    found = compare_scaling(rows["mean_inflight"].to_numpy(), x.to_numpy())
    print(found.explain())  # noqa: T201  the figures belong in the log
    assert found.get("two_line").aicc < found.get("usl").aicc
    assert found.get("finite_population").parameters["servers"] == 4
    assert found.winner.name in {"two_line", "finite_population"}


@pytest.mark.parametrize(("run", "locked"), [("paced", True), ("think", False)])
def test_the_paced_run_marches_in_step(data_dir: Path, run: str, *, locked: bool) -> None:
    """40 users who start together at a constant pace, or who think for 0.47 s on average."""
    rows = pd.read_csv(data_dir / "locust_sample" / run / "server_metrics.csv")
    rows = rows[rows["connections"] == 40].iloc[3:-1]
    done = (rows["quote"] + rows["pay"]).sum()
    in_flight = (rows["mean_inflight"] * rows["interval_s"]).sum() / done
    busy = (rows["mean_busy_slots"] * rows["interval_s"]).sum() / done
    found = check_arrivals(
        users=40, think_s=0.47, service_s=busy, servers=4, observed_response_s=in_flight
    )
    print(found.explain())  # noqa: T201  the figures belong in the log
    assert found.phase_locked is locked
    assert found.findings.codes == (("phase_locked",) if locked else ())
    if locked:
        assert found.batch_response_s == pytest.approx(found.observed_response_s, rel=0.25)
