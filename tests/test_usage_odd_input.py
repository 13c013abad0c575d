"""Whatever stands in the columns, a usage fit answers: with lines, refusals or one clear error."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from capmodel.errors import InputError
from capmodel.history import History
from capmodel.usage import QuantileLinear, RobustLinear, UsageFit

LOADS = (
    "rps", "rps:a", "rps:b", "replicas", "errors_rps", "shed_rps", "served_rps", "latency_mean_ms",
    "latency_p99_ms", "in_flight", "connections", "work_per_s", "cpu_limit_cores",
    "throttled_share", "qps_read", "qps_write", "rows_examined_per_s", "buffer_pool_misses_per_s",
)  # fmt: skip
RESOURCES = (
    "cpu_cores", "memory_gib", "network_mbps", "log_mib_per_s", "iops_read", "iops_write",
    "redo_mib_per_s",
)  # fmt: skip


def column(rng: np.random.Generator, n: int, scale: float) -> np.ndarray:
    """Return a column with one oddity of exports: gaps, zeros, minus signs, caps, whole steps."""
    values = scale * rng.lognormal(0, 0.5, n)
    some = rng.random(n)
    odd = (
        lambda: values,
        lambda: np.full(n, scale),
        lambda: np.round(values),
        lambda: np.where(some < 0.3, np.nan, values),
        lambda: np.where(some < 0.2, 0.0, values),
        lambda: np.where(some < 0.02, -values, values),
        lambda: np.where(some < 0.01, np.inf, values),
        lambda: np.minimum(values, np.quantile(values, 0.7)),
        lambda: values * 1e6,
    )
    return np.asarray(odd[int(rng.integers(len(odd)))]())


def odd_frame(seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    n = int(rng.choice([5, 31, 60, 300, 1500]))
    frame: dict[str, object] = {"service": "api"}
    for name in rng.choice(LOADS, int(rng.integers(1, 7)), replace=False):
        scale = 0.02 if name == "throttled_share" else 10 ** float(rng.uniform(-3, 4))
        frame[str(name)] = column(rng, n, scale)
    for name in rng.choice(RESOURCES, int(rng.integers(1, 4)), replace=False):
        load = np.nan_to_num(frame.get("rps", np.ones(n)), posinf=1.0)  # type: ignore[call-overload]
        follows = np.abs(0.1 + 0.02 * load) * rng.lognormal(0, 0.1, n)
        frame[str(name)] = follows if rng.random() < 0.6 else column(rng, n, 1.0)
    return pd.DataFrame(frame)


def judge(fit: UsageFit) -> None:
    fit.to_frame()
    for usage in fit.fits:
        assert np.isfinite(usage.value).all()
        assert (usage.value >= 0).all()
        assert (usage.draws(5, np.random.default_rng(0)) >= 0).all()
        assert usage.equation in fit.explain("api")
    for finding in fit.findings:
        assert finding.message


@pytest.mark.slow
@pytest.mark.parametrize("convex", [False, True])
@pytest.mark.parametrize("block", range(5))
def test_frames(block: int, *, convex: bool) -> None:
    fitted = 0
    for seed in range(60 * block, 60 * (block + 1)):
        try:
            fit = RobustLinear(convex=convex).fit(odd_frame(seed))
        except InputError:  # a frame that is none: nothing numeric, say
            continue
        judge(fit)
        fitted += len(fit.fits)
    assert fitted >= 10


@pytest.mark.slow
@pytest.mark.parametrize("block", range(3))
def test_histories(block: int) -> None:
    fitted = 0
    for seed in range(1000 + 30 * block, 1000 + 30 * (block + 1)):
        rng = np.random.default_rng(seed)
        frame = odd_frame(seed).replace([np.inf, -np.inf], np.nan)
        frame = frame.loc[rng.integers(0, len(frame), 24 * 30)].reset_index(drop=True)
        frame = frame[[name for name in frame if ":" not in str(name)]]
        time = pd.date_range("2026-01-01", periods=len(frame), freq="h", tz="UTC")
        past = History.from_frame(frame.assign(time=time), business_tz="UTC")
        fit = RobustLinear().fit(past)
        judge(fit)
        fitted += len(fit.fits)
        QuantileLinear(draws=3).fit(past).to_frame()
    assert fitted >= 5
