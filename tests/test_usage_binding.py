"""Which resource binds, and which load drives it: measured runs, planted servers, refusals."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from capmodel.errors import InputError
from capmodel.usage.binding import Waiting, binding_resource
from capmodel.usage.drivers import best_driver


def day_of_minutes(seed: int, rows: int = 720, *, busiest: float = 400.0) -> np.ndarray:
    """Return transactions per second of a day: a wave with luck in it."""
    rng = np.random.default_rng(seed)
    wave = 0.55 + 0.45 * np.sin(np.linspace(0, 2 * np.pi, rows))
    return rng.poisson(60 * busiest * np.clip(wave, 0.1, 1)) / 60


def server(seed: int, tps: np.ndarray, *, core_ms: float, misses: float) -> pd.DataFrame:
    """Sum what each transaction costs: gamma CPU times, Poisson page misses, jobs in between."""
    rng = np.random.default_rng(seed)
    count = np.round(tps * 60)
    cpu = rng.gamma(count * 0.8, core_ms / 0.8 / 1000) / 60 + 0.3
    cpu[rng.random(len(tps)) < 0.02] *= 1.6
    reads = rng.poisson(count * misses) / 60 + rng.gamma(20, 2, len(tps))
    return pd.DataFrame({"tps": tps, "cpu_cores": cpu, "iops_read": reads})


@pytest.mark.real
def test_cpu_is_not_the_binding_resource_of_pgbench(data_dir: Path) -> None:
    """A run that waits for its disk: 24 cores a quarter busy, the device all of the time."""
    raw = pd.read_csv(data_dir / "pgbench_os_metrics_480s" / "combined-wide.csv.gz")
    rows = pd.DataFrame(
        {
            "tps": raw["rate"],
            "cpu_cores": 24 * (raw["us"] + raw["sy"]) / 100,
            "device_busy": raw["nvme2n1_%util"] / 100,
            "queue": raw["nvme2n1_aqu-sz"],
        }
    )
    limits = {"cpu_cores": 24.0, "device_busy": 1.0}
    queue = {"device_busy": Waiting("queue", at_least=1.0)}
    for waiting in (None, queue):
        found = binding_resource(rows, load="tps", limits=limits, waiting=waiting)
        assert found.binding == "device_busy"
        assert found.verdict.startswith("device_busy is the binding resource: 101% of its limit")
        assert "cpu_cores is not the binding resource: 26% of its limit" in found.verdict
    cpu, device = found.get("cpu_cores"), found.get("device_busy")
    assert cpu.n_used == 481
    assert cpu.r2 < 0.5
    assert cpu.status == "GREY"
    assert cpu.binds_at_x_low > 3
    assert (device.status, device.waited_for) == ("RED", True)
    alone = binding_resource(rows, load="tps", limits={"cpu_cores": 24.0})
    assert alone.binding is None
    assert alone.verdict.startswith("nothing can be said; cpu_cores cannot be judged")


@pytest.mark.real
@pytest.mark.parametrize(("usage", "r2"), [("cpu_util", 0.8155), ("cpu_time", 0.9310)])
def test_logical_reads_drive_the_cpu_of_an_oracle_database(
    data_dir: Path, usage: str, r2: float
) -> None:
    rows = pd.read_csv(data_dir / "usl" / "oracledb.csv")
    loads = {"transactions": rows["txn_rate"], "logical_reads": rows["lio_rate"]}
    choice = best_driver(rows[usage], loads)
    assert (choice.best, choice.sure, choice.n_used) == ("logical_reads", True, 360)
    reads, transactions = choice.drivers
    assert reads.r2 == pytest.approx(r2, abs=5e-5)
    assert transactions.r2 == pytest.approx(
        {"cpu_util": 0.4982, "cpu_time": 0.5481}[usage], abs=1e-4
    )
    assert reads.r2_out > 0.8
    assert transactions.r2_out < 0.6


@pytest.mark.parametrize("seed", range(3))
def test_cpu_binds_where_it_does(seed: int) -> None:
    rows = server(seed, day_of_minutes(seed), core_ms=20, misses=2.0)
    found = binding_resource(rows, load="tps", limits={"cpu_cores": 16, "iops_read": 4_000})
    # Planted: 0.3 + 0.02·tps = 16 at 785, 40 + 2·tps = 4,000 at 1,980.
    assert found.binding == "cpu_cores"
    assert found.candidates == ("cpu_cores",)
    cpu, reads = found.get("cpu_cores"), found.get("iops_read")
    assert cpu.binds_at_x * found.load_busiest == pytest.approx(785, rel=0.02)
    assert reads.binds_at_x * found.load_busiest == pytest.approx(1980, rel=0.02)
    assert cpu.binds_at_x_low < 785 / found.load_busiest < cpu.binds_at_x_high
    assert cpu.low < 0.02 < cpu.high
    assert [cpu.status, reads.status] == ["GREEN", "GREEN"]
    assert "iops_read is not the binding resource" in found.verdict
    assert found.to_frame()["binds"].tolist() == ["yes", "no"]


def test_reads_bind_where_they_do() -> None:
    rows = server(5, day_of_minutes(5), core_ms=5, misses=6.0)
    found = binding_resource(rows, load="tps", limits={"cpu_cores": 16, "iops_read": 4_000})
    assert found.binding == "iops_read"


def test_two_that_come_close_are_not_told_apart() -> None:
    rows = server(6, day_of_minutes(6), core_ms=20, misses=4.9)
    found = binding_resource(rows, load="tps", limits={"cpu_cores": 16, "iops_read": 4_000})
    assert found.binding is None
    assert found.candidates == ("cpu_cores", "iops_read")
    assert found.verdict.startswith("the binding resource is not certain; cpu_cores may be")
    assert found.to_frame()["binds"].tolist() == ["unknown", "unknown"]


def test_nothing_can_be_said() -> None:
    rng = np.random.default_rng(4)
    tps = day_of_minutes(4)
    rows = pd.DataFrame(
        {
            "tps": tps,
            "cpu_cores": rng.gamma(4, 1.5, len(tps)),
            "iops_read": rng.gamma(4, 300, len(tps)),
        }
    )
    found = binding_resource(rows, load="tps", limits={"cpu_cores": 16, "iops_read": 4_000})
    assert found.binding is None
    assert [use.status for use in found.resources] == ["GREY", "GREY"]
    assert found.verdict.startswith("nothing can be said; cpu_cores cannot be judged (the load")
    assert found.to_frame()["reason"].str.contains("of its variance, 50% needed").all()
    rows["tps"] = 300 + rng.normal(0, 1, len(tps))
    still = binding_resource(rows, load="tps", limits={"cpu_cores": 16})
    assert still.get("cpu_cores").reason == "the load was constant"
    rows["tps"] = 0.0
    idle = binding_resource(rows, load="tps", limits={"cpu_cores": 16})
    assert (idle.binding, idle.get("cpu_cores").reason) == (None, "the load was constant")
    short = binding_resource(rows[:29], load="tps", limits={"cpu_cores": 16})
    assert short.get("cpu_cores").reason == "29 usable rows, 30 needed"
    assert short.binding is None


def test_grey_is_ruled_out_only_by_a_bound() -> None:
    """CPU without a line: usage seen at the top may grow in proportion, no faster."""
    rng = np.random.default_rng(8)
    rows = server(8, day_of_minutes(8), core_ms=1, misses=5.0)
    for busy, binding in ((0.25, "iops_read"), (0.85, None)):
        rows["cpu_cores"] = 16 * busy * rng.uniform(0.9, 1.1, len(rows))
        rows["cpu_cores"] *= 1 + 0.3 * (rows.index % 180 < 90)
        found = binding_resource(
            rows, load="tps", limits={"cpu_cores": 24, "iops_read": 4_000}, min_r2=0.8
        )
        assert found.get("cpu_cores").status == "GREY"
        assert found.binding == binding


def test_a_resource_at_its_limit_binds_now() -> None:
    tps = day_of_minutes(2, busiest=900)
    rows = server(2, tps, core_ms=20, misses=2.0)
    rows["cpu_cores"] = np.minimum(rows["cpu_cores"], 15.9)
    found = binding_resource(rows, load="tps", limits={"cpu_cores": 16, "iops_read": 4_000})
    assert found.binding == "cpu_cores"
    assert found.get("cpu_cores").status == "RED"
    assert found.get("cpu_cores").utilization == pytest.approx(15.9 / 16)


def test_waiting_tells_two_full_resources_apart() -> None:
    tps = day_of_minutes(3)
    full = np.minimum(tps / 200, 1.0)
    rows = pd.DataFrame({"tps": tps, "pool": 20 * full, "disk": full, "queue": 30 * (full == 1)})
    limits = {"pool": 20, "disk": 1}
    both = binding_resource(rows, load="tps", limits=limits)
    assert (both.binding, both.candidates) == (None, ("pool", "disk"))
    queue = {"disk": Waiting("queue", at_least=4)}
    assert binding_resource(rows, load="tps", limits=limits, waiting=queue).binding == "disk"
    # A queue is evidence by itself, at any utilization.
    rows["disk"] *= 0.8
    alone = binding_resource(rows, load="tps", limits={"disk": 1}, waiting=queue)
    assert (alone.binding, alone.get("disk").status) == ("disk", "RED")


def test_memory_that_does_not_follow_the_load_does_not_bind() -> None:
    rng = np.random.default_rng(9)
    rows = server(9, day_of_minutes(9), core_ms=20, misses=1.0)
    rows["memory_gib"] = 54 + rng.normal(0, 0.3, len(rows))
    found = binding_resource(rows, load="tps", limits={"cpu_cores": 16, "memory_gib": 64})
    assert found.binding == "cpu_cores"
    memory = found.get("memory_gib")
    assert memory.status == "GREEN"
    assert memory.utilization == pytest.approx(54 / 64, rel=0.01)
    assert memory.reason.startswith("does not follow the load")


def test_percent_against_cores_is_not_believed() -> None:
    rows = server(1, day_of_minutes(1), core_ms=20, misses=1.0)
    rows["cpu_cores"] *= 100 / 16
    found = binding_resource(rows, load="tps", limits={"cpu_cores": 16})
    assert found.binding is None
    assert "correct the limit or its unit" in found.get("cpu_cores").reason


def test_the_line_by_hand() -> None:
    """0.4 + 0.01·tps = 16 at 1,560; the median of the top ten of 100..500 is 491.0."""
    tps = np.linspace(100, 500, 201)
    rows = {"tps": tps, "cpu_cores": 0.4 + 0.01 * tps}
    found = binding_resource(rows, load="tps", limits={"cpu_cores": 16})
    assert found.load_busiest == pytest.approx(491)
    cpu = found.get("cpu_cores")
    assert cpu.binds_at_x == pytest.approx(1560 / 491, rel=1e-6)
    # Exact rows leave the extrapolation's error alone: ln(x/500) tenths of the slope's part.
    early = cpu.binds_at_x_low * 491
    log_sd = 0.01 * early / (0.4 + 0.01 * early) * 0.1 * np.log(early / 500)
    assert (0.4 + 0.01 * early) * np.exp(2.048 * log_sd) == pytest.approx(16, rel=1e-3)
    given_today = binding_resource(rows, load="tps", limits={"cpu_cores": 16}, busiest=390)
    assert given_today.get("cpu_cores").binds_at_x == pytest.approx(4.0)


def test_interval_covers_the_planted_limit() -> None:
    covered = []
    for seed in range(40):
        rows = server(seed, day_of_minutes(seed, 300), core_ms=20, misses=1.0)
        use = binding_resource(rows, load="tps", limits={"cpu_cores": 10})
        cpu = use.get("cpu_cores")
        covered.append(cpu.binds_at_x_low <= 485 / use.load_busiest <= cpu.binds_at_x_high)
    assert np.mean(covered) >= 0.9


def test_r2_is_consistent_at_the_normal() -> None:
    """Equal variance of line and noise: r2 is 1/2, however the weights cut the noise."""
    rng = np.random.default_rng(0)
    x = rng.normal(100, 10, 20_000)
    rows = {"x": x, "y": 1000 + x + rng.normal(0, 10, 20_000)}
    found = binding_resource(rows, load="x", limits={"y": 2000}, min_r2=0.0)
    assert found.get("y").r2 == pytest.approx(0.5, abs=0.01)


@given(st.floats(0.01, 100), st.floats(0.1, 10))
def test_units_of_time_and_of_the_resource_change_nothing(time: float, unit: float) -> None:
    rows = server(3, day_of_minutes(3, 200), core_ms=20, misses=2.0)
    plain = binding_resource(rows, load="tps", limits={"cpu_cores": 16, "iops_read": 4_000})
    scaled = rows.assign(tps=rows["tps"] * time, cpu_cores=rows["cpu_cores"] * unit)
    other = binding_resource(
        scaled, load="tps", limits={"iops_read": 4_000, "cpu_cores": 16 * unit}
    )
    assert other.binding == plain.binding == "cpu_cores"
    cpu, same = plain.get("cpu_cores"), other.get("cpu_cores")
    assert same.binds_at_x == pytest.approx(cpu.binds_at_x, rel=1e-6)
    assert same.per_load == pytest.approx(cpu.per_load * unit / time, rel=1e-6)


@given(st.floats(1.0, 3.0), st.floats(1.0, 3.0))
def test_monotone_in_limit_and_in_demand(higher: float, dearer: float) -> None:
    rows = server(4, day_of_minutes(4, 200), core_ms=10, misses=2.0)

    def binds(limit: float, cost: float) -> float:
        observed = rows.assign(cpu_cores=rows["cpu_cores"] * cost)
        return (
            binding_resource(observed, load="tps", limits={"cpu_cores": limit})
            .get("cpu_cores")
            .binds_at_x
        )

    assert binds(32 * higher, 1.0) >= binds(32, 1.0) - 1e-9
    assert binds(32, dearer) <= binds(32, 1.0) + 1e-9


def test_gaps_are_left_out() -> None:
    rows = server(7, day_of_minutes(7), core_ms=20, misses=2.0)
    whole = binding_resource(rows, load="tps", limits={"cpu_cores": 16})
    rows.loc[::5, "cpu_cores"] = np.nan
    left = binding_resource(rows, load="tps", limits={"cpu_cores": 16})
    assert left.get("cpu_cores").n_used == 576
    assert left.get("cpu_cores").per_load == pytest.approx(
        whole.get("cpu_cores").per_load, rel=0.01
    )


def test_bad_input_is_told_together() -> None:
    rows = server(1, day_of_minutes(1, 60), core_ms=20, misses=2.0)
    rows["iops_read"] *= -1
    with pytest.raises(InputError) as caught:
        binding_resource(
            rows,
            load="tps",
            limits={"cpu_core": 16, "iops_read": 0, "tps": 5},
            waiting={"disk": Waiting("tps", 1)},
            busiest=-1,
        )
    told = str(caught.value)
    for part in (
        'Did you mean "cpu_cores"?',
        "limits, iops_read: got 0; expected a finite limit above 0",
        'the load "tps"',
        'waiting: got "disk"',
        "observations, iops_read: got -",
        "busiest: got -1",
    ):
        assert part in told
    twice = pd.concat([rows[["tps", "cpu_cores"]], rows[["cpu_cores"]]], axis=1)
    with pytest.raises(InputError, match="2 columns of this name"):
        binding_resource(twice, load="tps", limits={"cpu_cores": 16})
    with pytest.raises(InputError, match="limits: got none"):
        binding_resource(rows, load="tps", limits={})
    with pytest.raises(InputError, match="columns of one length"):
        binding_resource(
            {"tps": [1.0, 2.0], "cpu_cores": [1.0]}, load="tps", limits={"cpu_cores": 1}
        )
    with pytest.raises(InputError, match="expected numbers"):
        binding_resource(rows.assign(tps="fast"), load="tps", limits={"cpu_cores": 16})
    found = binding_resource(rows, load="tps", limits={"cpu_cores": 16})
    with pytest.raises(InputError, match="Did you mean"):
        found.get("cpu_core")


def test_the_driver_is_told_from_its_shadow() -> None:
    """CPU follows rows; queries follow rows too, loosely; and nothing follows the weather."""
    rng = np.random.default_rng(2)
    examined = day_of_minutes(2) * 500
    queries = examined / 500 * rng.lognormal(0, 0.3, len(examined))
    cores = 0.5 + 4e-5 * examined * rng.lognormal(0, 0.05, len(examined))
    loads = {"queries": queries, "rows_examined": examined, "weather": rng.gamma(9, 1, 720)}
    choice = best_driver(cores, loads)
    assert [driver.name for driver in choice.drivers[:1]] == ["rows_examined"]
    assert (choice.best, choice.sure) == ("rows_examined", True)
    assert choice.drivers[-1].r2_out < 0.05
    both = best_driver(
        0.5 + 3e-5 * examined + 0.02 * loads["weather"],
        {"rows_examined": examined, "both": np.column_stack([examined, loads["weather"]])},
    )
    assert both.best == "both"
    assert choice.to_frame()["name"].tolist()[0] == "rows_examined"


def test_no_driver_and_no_sure_driver() -> None:
    rng = np.random.default_rng(3)
    load = rng.uniform(100, 200, 300)
    noise = best_driver(rng.gamma(4, 1, 300), {"load": load, "flat": np.full(300, 7.0)})
    assert (noise.best, noise.sure) == (None, False)
    assert noise.drivers[-1].reason == "was constant"
    assert noise.verdict.startswith("no candidate explains the usage")
    twins = {name: load * rng.lognormal(0, 0.02, 300) for name in ("a", "b")}
    close = best_driver(0.02 * load, twins)
    assert close.best in twins
    assert not close.sure
    assert "not surely better" in close.verdict


def test_bad_drivers() -> None:
    load = np.linspace(1, 2, 200)
    with pytest.raises(InputError) as caught:
        best_driver(load, {"a": -load, "b": load[:-1]}, blocks=2)
    where = [problem.where for problem in caught.value.problems]
    assert where == ["blocks", "candidates, a", "candidates, b"]
    with pytest.raises(InputError, match="at least 100, ten per block"):
        best_driver(np.where(load > 1.4, np.nan, load), {"a": load})
    with pytest.raises(InputError, match="candidates: got none"):
        best_driver(load, {})
