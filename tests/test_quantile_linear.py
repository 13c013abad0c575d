"""Quantile lines: the published table, exactness, order, coverage, refusals."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy.optimize import linprog
from scipy.signal import lfilter
from scipy.sparse import csr_array, hstack, identity, vstack

from capmodel.errors import InputError
from capmodel.history import History
from capmodel.regression.quantiles import (
    bootstrap_lines,
    check_loss,
    quantile_lines,
    quantile_nnls,
)
from capmodel.usage import RobustLinear
from capmodel.usage.quantile_linear import QuantileFit, QuantileLinear, QuantileUsage

# R quantreg 5.94 (method "br"), foodexp ~ income.
ENGEL = {
    0.05: (124.880040812573, 0.343361057632),
    0.25: (95.483539634553, 0.474103208193),
    0.50: (81.482247416936, 0.560180551209),
    0.75: (62.396585528964, 0.644014139369),
    0.90: (67.350872080130, 0.686299480372),
    0.95: (64.103963181055, 0.709068516962),
}
ENGEL_LOSS = {
    0.05: 2174.317315317684,
    0.50: 8779.966323812845,
    0.90: 3391.983711028249,
    0.95: 1900.2442245062166,
}


@pytest.fixture(scope="module")
def engel() -> pd.DataFrame:
    """Return Engel's 235 households, from the package's file: importing it takes seconds."""
    spec = importlib.util.find_spec("statsmodels")
    assert spec is not None
    assert spec.origin is not None
    return pd.read_csv(Path(spec.origin).parent / "datasets" / "engel" / "engel.csv")


@pytest.mark.parametrize("q", ENGEL)
@pytest.mark.parametrize("nonnegative", [True, False])
def test_engels_table(engel: pd.DataFrame, q: float, *, nonnegative: bool) -> None:
    design = np.column_stack([np.ones(235), engel["income"]])
    y = engel["foodexp"].to_numpy()
    value = quantile_nnls(design, y, q=q, nonnegative=nonnegative)
    np.testing.assert_allclose(value, ENGEL[q], rtol=1e-9)
    if q in ENGEL_LOSS:
        assert check_loss(y - design @ value, q) == pytest.approx(ENGEL_LOSS[q], rel=1e-12)


def primal_loss(
    design: np.ndarray, y: np.ndarray, levels: tuple[float, ...], weights: np.ndarray
) -> float:
    """Return the least loss by the textbook program: positive and negative parts as variables."""
    rows, columns = design.shape
    blocks = []
    for j in range(len(levels)):
        parts = [csr_array(design * float(i <= j)) for i in range(len(levels))]
        own = [identity(rows) * float(i == j) for i in range(len(levels))]
        blocks.append(hstack([*parts, *own, *(-part for part in own)]))
    cost = [np.zeros(columns * len(levels))]
    cost += [weights * q for q in levels] + [weights * (1 - q) for q in levels]
    matrix: Any = vstack(blocks)  # its stubs allow no float blocks
    result = linprog(np.concatenate(cost), A_eq=matrix.tocsr(), b_eq=np.tile(y, len(levels)))
    assert result.fun is not None
    return float(result.fun)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_the_reduction_loses_nothing(seed: int) -> None:
    rng = np.random.default_rng(seed)
    design = rng.gamma(1.0, 1.0, (1500, 3)) * [1.0, 100.0, 0.01]
    # Skewed noise around a line with one load that matters nothing; some rows counted twice.
    y = design @ [2.0, 0.03, 0.0] + rng.exponential(1.0, 1500) * (1 + design[:, 0])
    weights = rng.integers(0, 3, 1500).astype(float)
    levels = ((0.9,), (0.3, 0.5))[seed % 2]
    lines = quantile_lines(design, y, levels=levels, weights=weights)
    loss = sum(
        check_loss(np.repeat(y - design @ line, weights.astype(int)), q)
        for q, line in zip(levels, lines, strict=True)
    )
    assert loss == pytest.approx(primal_loss(design, y, levels, weights), rel=1e-9)


def test_crossing_lines_are_fitted_together(engel: pd.DataFrame) -> None:
    design = np.column_stack([np.ones(235), engel["income"]])
    y = engel["foodexp"].to_numpy()
    levels = (0.05, 0.5, 0.95)  # the table's intercepts fall with the level: they cross below 0
    lines = quantile_lines(design, y, levels=levels)
    assert (np.diff(lines, axis=0) >= 0).all()
    assert np.diff(lines[:, 0]).tolist() == [0, 0]
    loss = sum(check_loss(y - design @ line, q) for q, line in zip(levels, lines, strict=True))
    assert loss == pytest.approx(primal_loss(design, y, levels, np.ones(235)), rel=1e-9)
    assert loss > ENGEL_LOSS[0.05] + ENGEL_LOSS[0.5] + ENGEL_LOSS[0.95]


def planted(seed: int, *, rows: int, columns: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Return loads and usage whose spread grows faster than load."""
    rng = np.random.default_rng(seed)
    design = rng.uniform(0.2, 1.0, (rows, columns)) * 10.0 ** rng.uniform(-1, 2, columns)
    middle = (design / design.mean(axis=0)).sum(axis=1)
    return design, middle * np.exp(0.05 * middle * rng.standard_normal(rows))


@pytest.mark.slow
@given(
    seed=st.integers(0, 99),
    load=st.lists(st.floats(0, 1e6), min_size=3, max_size=3),
    more=st.lists(st.floats(0, 1e6), min_size=3, max_size=3),
)
def test_lines_rise_with_load_and_never_cross(
    seed: int, load: list[float], more: list[float]
) -> None:
    design, y = planted(seed, rows=120)
    lines = quantile_lines(design, y, levels=(0.1, 0.5, 0.9))
    here, there = lines @ load, lines @ np.add(load, more)
    assert (np.diff(here) >= 0).all()
    assert (there >= here).all()


@pytest.mark.slow
@settings(max_examples=12)
@given(seed=st.integers(0, 99))
def test_permuting_scaling_and_an_idle_class_change_nothing_else(seed: int) -> None:
    design, y = planted(seed, rows=120)
    levels = (0.5, 0.9)
    lines = quantile_lines(design, y, levels=levels)
    other = quantile_lines(design[:, [2, 0, 1]], y, levels=levels)
    np.testing.assert_allclose(other, lines[:, [2, 0, 1]], rtol=1e-7, atol=1e-12)
    idle = quantile_lines(np.insert(design, 1, 0.0, axis=1), y, levels=levels)
    np.testing.assert_allclose(np.delete(idle, 1, axis=1), lines, rtol=1e-12)
    assert idle[:, 1].tolist() == [0, 0]
    scaled = quantile_lines(1000 * design, 7 * y, levels=levels)
    np.testing.assert_allclose(scaled, 0.007 * lines, rtol=1e-9, atol=1e-15)


def test_a_share_q_of_rows_lies_below() -> None:
    design, y = planted(1, rows=20_160)
    design = np.column_stack([np.ones(len(y)), design])
    for q in (0.5, 0.95):
        below = np.mean(y < design @ quantile_nnls(design, y, q=q, nonnegative=False))
        assert abs(below - q) <= 4 / len(y)  # Koenker 2005, theorem 2.2: all but K rows


def test_no_rows_no_loads_bad_levels() -> None:
    assert quantile_nnls(np.zeros((5, 2)), np.ones(5), q=0.5).tolist() == [0, 0]
    assert quantile_nnls(np.ones((5, 1)), np.zeros(5), q=0.5).tolist() == [0]
    for levels in ((), (0.0,), (0.5, 0.5), (0.9, 0.5), (1.0,)):
        with pytest.raises(InputError, match="rising"):
            quantile_lines(np.ones((5, 1)), np.ones(5), levels=levels)


def test_the_bootstrap_keeps_groups_whole() -> None:
    # Two groups of constant usage: a median of whole groups is one of them or between.
    group = np.repeat([0, 1], 50)
    drawn = bootstrap_lines(
        np.ones((100, 1)),
        np.where(group == 0, 1.0, 2.0),
        np.array([[1.5]]),
        levels=(0.4,),
        group=group,
        draws=60,
        rng=np.random.default_rng(0),
    )
    assert set(drawn.ravel().round(9)) == {1.0, 2.0}
    assert drawn.shape == (60, 1, 1)


def minutes(seed: int, *, days: int, spread: float, growing: float) -> pd.DataFrame:
    """Ten-minute rows; lognormal AR(1) noise whose spread grows with load per pod."""
    rng = np.random.default_rng(seed)
    t = np.arange(days * 144)
    rps = 60 * (1 + 0.6 * np.sin(2 * np.pi * t / 144)) * rng.lognormal(0, 0.05, len(t))
    rps *= rng.lognormal(0, 0.08, days)[t // 144]
    pods = np.maximum(2, np.ceil(np.repeat(rps[::18], 18) / 9))
    per_pod = rps / pods
    sd = spread + growing * per_pod / per_pod.max()
    noise = lfilter([0.6], [1, -0.8], rng.standard_normal(len(t) + 50))[50:]
    cores = (0.05 * pods + 0.085 * rps) * np.exp(sd * noise)
    time = pd.date_range("2026-03-02 05:00", periods=len(t), freq="10min", tz="UTC")
    columns = {"time": time, "rps": rps, "replicas": pods, "cpu_cores": cores}
    return pd.DataFrame({"service": "api", **columns})


def of(fit: QuantileFit, service: str = "api") -> QuantileUsage:
    usage = fit.get(service, "cpu_cores")
    assert usage is not None, fit.refused
    return usage


@pytest.mark.slow
def test_quantiles_hold_on_days_to_come() -> None:
    shares = []
    for seed in range(8):
        frame = minutes(seed, days=21, spread=0.03, growing=0.1)
        spec = QuantileLinear(levels=(0.5, 0.95), draws=0)
        fit = spec.fit(History.from_frame(frame[: 14 * 144], business_tz="America/New_York"))
        rest = frame[14 * 144 :].reset_index(drop=True)
        got = fit.predict(rest[["service", "rps", "replicas"]])
        shares.append([(rest["cpu_cores"] < got[c]).mean() for c in ("p50", "p95")])
    # One week's shares vary by 0.05 and 0.02, as rows carry over; eight weeks' means by a third.
    np.testing.assert_array_less(np.abs(np.mean(shares, axis=0) - [0.5, 0.95]), [0.05, 0.02])


@pytest.mark.slow
def test_intervals_cover_what_was_planted() -> None:
    covered = []
    for seed in range(12):
        frame = minutes(seed, days=14, spread=0.06, growing=0.0)
        fit = QuantileLinear(levels=(0.5,), draws=30).fit(
            History.from_frame(frame, business_tz="America/New_York")
        )
        usage = of(fit)
        covered.append((usage.low[0] <= [0.05, 0.085]) & (usage.high[0] >= [0.05, 0.085]))
        assert usage.high[0, 1] - usage.low[0, 1] < 0.03  # and they say something
    assert np.sum(covered) >= 20  # of 24; nominally 22.8


def small(service: str = "api", rows: int = 400) -> pd.DataFrame:
    rng = np.random.default_rng(5)
    rps = np.linspace(10, 60, rows)
    cores = (0.25 + 0.085 * rps) * rng.gamma(400, 1 / 400, rows)
    return pd.DataFrame({"service": service, "rps": rps, "replicas": 5.0, "cpu_cores": cores})


def test_frames_and_texts() -> None:
    fit = QuantileLinear(draws=5).fit(small())
    frame = fit.to_frame()
    assert frame.columns[:4].tolist() == ["service", "resource", "level", "term"]
    assert frame.columns[4:].tolist() == ["value", "low", "high", "unit"]
    assert frame["level"].tolist() == [0.5, 0.5, 0.95, 0.95]
    assert frame["unit"].tolist() == ["cores/pod", "core-s/request"] * 2
    assert (frame["low"] <= frame["value"]).all()
    assert (frame["value"] <= frame["high"]).all()
    loads = pd.DataFrame({"service": "api", "rps": [30.0, 120.0], "replicas": [5.0, 5.0]})
    got = fit.predict(loads)
    assert got.columns.tolist() == (
        ["row", "service", "resource", "p50", "p95", "extrapolating", "load_x", "mix_x"]
    )
    assert got["extrapolating"].tolist() == [False, True]
    np.testing.assert_allclose(got["load_x"], [1, 2])
    np.testing.assert_allclose(got["p95"], loads[["replicas", "rps"]] @ of(fit).value[1])
    assert (got["p95"] > got["p50"]).all()
    text = fit.explain("api")
    for part in (
        "p95: cpu_cores = ",
        f"{of(fit).below[1]:.1%} of rows below",
        "rows used 400",
        "peak second",
    ):
        assert part in text
    again = QuantileLinear(draws=5).fit(small()).to_frame()
    pd.testing.assert_frame_equal(again, frame)
    names = QuantileLinear(levels=(0.05, 0.5, 0.975), draws=0).fit(small()).predict(loads)
    assert names.columns.tolist()[3:6] == ["p05", "p50", "p97.5"]


def test_rows_are_the_robust_lines_and_only_the_latest_regime() -> None:
    frame = minutes(0, days=60, spread=0.03, growing=0.0)
    later = frame["time"] >= pd.Timestamp("2026-04-05 05:00", tz="UTC")
    frame.loc[later, "cpu_cores"] *= 1.3
    history = History.from_frame(frame, business_tz="America/New_York")
    fit = QuantileLinear(draws=0).fit(history)
    assert "regime_change" in fit.findings.codes
    usage = of(fit)
    middle = usage.value[0] @ [6.0, 60.0]
    assert middle == pytest.approx(1.3 * (0.05 * 6 + 0.085 * 60), rel=0.02)
    assert usage.line.dropped["earlier_regime"] == pytest.approx(34 * 144, abs=144)
    short = QuantileLinear(draws=0, line=RobustLinear(window_days=14)).fit(history)
    assert of(short).below[1] == pytest.approx(0.95, abs=0.003)  # of the same 14 days


def test_loads_that_move_as_one() -> None:
    rps = small()["rps"]
    proportional = small().assign(replicas=rps / 10)
    usage = of(QuantileLinear(draws=5).fit(proportional))
    assert usage.value[:, 0].tolist() == [0, 0]
    assert np.isnan(usage.high[:, 0]).all()
    assert usage.value[0, 1] == pytest.approx(np.median(proportional["cpu_cores"] / rps), rel=0.02)
    rng = np.random.default_rng(0)
    read = rng.uniform(500, 2000, 600)
    cores = (0.4 + 0.001 * read + 0.003 * 0.5 * read) * rng.gamma(1111, 1 / 1111, 600)
    columns = {"qps_read": read, "qps_write": 0.5 * read, "cpu_cores": cores}
    database = of(QuantileLinear(draws=5).fit(pd.DataFrame({"service": "db", **columns})), "db")
    np.testing.assert_allclose(database.value[:, 1], database.value[:, 2])
    assert np.isnan(database.low[:, 1:]).all()


@pytest.mark.parametrize(
    ("frame", "code", "part"),
    [
        (small("bad").assign(rps=30.0), "slope_unidentifiable", "constant"),
        (small("bad").head(29), "too_few_rows", "29 usable rows"),
        (small("bad").head(150), "too_few_rows", "150 usable rows, 200 needed for p95"),
        (small("bad").assign(rps=np.nan), "usage_without_traffic", "add rps"),
    ],
)
def test_refused_with_a_reason_and_the_others_go_on(
    frame: pd.DataFrame, code: str, part: str
) -> None:
    fit = QuantileLinear(draws=0).fit(pd.concat([frame, small()]))
    assert [f.code for f in fit.refused] == [code]
    assert part in fit.refused[0].message
    assert of(fit).value.shape == (2, 2)
    for ask in (fit.explain, lambda name: fit.predict(frame.assign(service=name))):
        with pytest.raises(InputError, match=part):
            ask("bad")


def test_levels_rise() -> None:
    for levels in ((0.95, 0.5), (0.0, 0.5), (), (0.5, 0.50000001)):
        with pytest.raises(ValidationError, match="levels"):
            QuantileLinear(levels=levels)
