"""Which rows of a usage regression are lower bounds: planted ceilings, and measured load tests."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from scipy.stats import norm

from capmodel.errors import InputError
from capmodel.regression import mm_nnls
from capmodel.usage import RobustLinear
from capmodel.usage.saturation import saturated_rows

SLOPE = 0.1


def day_load(rng: np.random.Generator, *, jitter: float = 0.02, rows: int = 2000) -> np.ndarray:
    """Return a daily wave between 20 and 100 requests per second."""
    wave = 60 + 40 * np.sin(np.arange(rows) / 1440 * 2 * np.pi)
    return wave * np.exp(rng.normal(0, jitter, rows)) if jitter else wave


def capped(rng: np.random.Generator, *, noise: float = 0.2) -> tuple[np.ndarray, ...]:
    """Return load, usage held at the 80 % quantile of what was asked, which rows, and the cap."""
    load = rng.uniform(10, 100, 5000)
    asked = np.maximum(SLOPE * load * (1 + noise * rng.normal(size=5000)), 0.01)
    cap = np.quantile(asked, 0.8)
    return load, np.minimum(asked, cap), asked > cap, cap


def test_limit_counts_per_pod_times_pods() -> None:
    """2 cores a pod: 95 % of it is 1.9 for one pod, 3.8 for two, 5.7 for three."""
    usage = np.array([1.89, 1.91, 3.79, 3.81, 5.69, 5.71])
    pods = np.array([1.0, 1.0, 2.0, 2.0, 3.0, 3.0])
    found = saturated_rows(usage, np.full(6, 10.0), pods=pods, limit=2.0)
    assert found.mask.tolist() == [False, True, False, True, False, True]
    # Usage chose these rows, so all that is known of them is that they passed the level.
    assert found.bound == pytest.approx([1.89, 1.9, 3.79, 3.8, 5.69, 5.7])
    assert dict(found.reasons) == {"at_limit": 3}


def test_rows_without_a_limit_or_pods_are_not_at_it() -> None:
    """No limit, an unknown one, and no pods."""
    limit = np.array([np.inf, np.nan, 1.0])
    found = saturated_rows(np.ones(3), np.ones(3), limit=limit, pods=np.array([1.0, 1.0, 0.0]))
    assert not found.mask.any()
    assert found.reasons == {}


def test_throttling_and_failures_count_from_five_percent() -> None:
    """Each row for itself; a missing value is evidence of nothing."""
    share = np.array([0.05, 0.051, np.nan, 0.0])
    found = saturated_rows(np.ones(4), np.full(4, 100.0), throttled_share=share)
    assert found.mask.tolist() == [False, True, False, False]
    failed = np.array([5.0, 5.1, np.nan, 0.0])
    found = saturated_rows(np.ones(4), np.full(4, 100.0), failed_rps=failed)
    assert found.mask.tolist() == [False, True, False, False]
    assert found.bound.tolist() == [1.0, 1.0, 1.0, 1.0]
    both = saturated_rows(np.ones(4), np.full(4, 100.0), failed_rps=failed, throttled_share=share)
    assert dict(both.reasons) == {"throttled": 1, "failed": 1}
    assert both.mask.sum() == 1


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("counter", [0.0, 0.005])
def test_a_planted_ceiling_shows_without_a_limit(seed: int, counter: float) -> None:
    """All rows that 20 % noise drove into the cap, and few that only came near it.

    `counter` is the error with which the cap itself is read.
    """
    rng = np.random.default_rng(seed)
    load, usage, held, cap = capped(rng)
    usage = usage * np.where(held, np.exp(rng.normal(0, counter, len(usage))), 1.0)
    found = saturated_rows(usage, load)
    assert found.mask[held].mean() >= (1.0 if counter == 0 else 0.98)
    assert found.mask[~held].mean() <= 0.06
    foot = found.bound[found.mask]
    assert np.ptp(foot) == 0
    assert 0.96 * cap * (1 - 1e-9) <= foot[0] <= cap


UNSATURATED = {
    "noise 5 %": lambda x, rng: SLOPE * x * np.exp(rng.normal(0, 0.05, len(x))),
    "noise 1 %": lambda x, rng: SLOPE * x * np.exp(rng.normal(0, 0.01, len(x))),
    "exact": lambda x, _: SLOPE * x,
    "background": lambda x, _: 3 + SLOPE * x,
    "concave": lambda x, rng: x**0.6 * np.exp(rng.normal(0, 0.01, len(x))),
    "constant": lambda x, rng: 5 * np.exp(rng.normal(0, 0.01, len(x))),
    "integers": lambda x, _: np.round(SLOPE * x),
    "few integers": lambda x, _: np.ceil(0.03 * x),
    "rounded": lambda x, _: np.round(0.01 * x, 2),
    "idle": lambda x, _: np.zeros(len(x)),
}


@pytest.mark.parametrize("kind", UNSATURATED)
@pytest.mark.parametrize("jitter", [0.0, 0.02])
def test_ordinary_usage_shows_no_plateau(kind: str, jitter: float) -> None:
    """A day's wave gathers rows at its top, integers gather rows on steps: neither is a ceiling."""
    for seed in range(8):
        rng = np.random.default_rng(seed)
        load = day_load(rng, jitter=jitter)
        assert not saturated_rows(UNSATURATED[kind](load, rng), load).mask.any()


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    spread=st.floats(0.02, 0.8),
    noise=st.floats(0.01, 0.3),
    background=st.floats(0, 20),
)
def test_no_line_shows_a_plateau(seed: int, spread: float, noise: float, background: float) -> None:
    """Whatever the load's spread, the noise and the background."""
    rng = np.random.default_rng(seed)
    load = np.exp(rng.normal(3, spread, 1000))
    usage = (background + SLOPE * load) * np.exp(rng.normal(0, noise, 1000))
    assert not saturated_rows(usage, load).mask.any()


def test_a_ceiling_below_the_limit_shows() -> None:
    """One thread in a pod of two cores: usage stops at one core per pod."""
    rng = np.random.default_rng(0)
    load = rng.uniform(10, 100, 3000)
    pods = rng.integers(2, 5, 3000).astype(float)
    usage = pods * np.minimum(0.015 * load * np.exp(rng.normal(0, 0.05, 3000)), 1.0)
    found = saturated_rows(usage, load * pods, pods=pods, limit=2.0)
    assert dict(found.reasons) == {"plateau": int(found.mask.sum())}
    assert found.mask[usage / pods > 0.999].all()
    assert found.bound[found.mask] == pytest.approx(0.96 * pods[found.mask])


def late_counts(rng: np.random.Generator, *, rows: int = 400) -> tuple[np.ndarray, np.ndarray]:
    """Return offered load to twice a capacity of 100, and served, counted an interval late or so.

    A quarter of each interval's requests, on average, is counted in the next one.
    """
    offered = np.linspace(5, 200, rows)
    served = np.minimum(offered, 100.0)
    late = rng.uniform(0, 0.5, rows) * served
    return offered, served - late + np.r_[0.0, late[:-1]]


def test_unserved_load_marks_high_rows_alone_although_counters_disagree() -> None:
    """Single rows serve 60 to 140 % of what was offered; summed over neighbours they tell."""
    offered, served = late_counts(np.random.default_rng(0))
    assert (served / offered)[offered < 95].min() < 0.8
    found = saturated_rows(0.01 * served, served, offered_rps=offered)
    assert set(found.reasons) == {"unserved"}
    assert not found.mask[offered < 95].any()
    assert found.mask[offered > 125].all()


@given(st.permutations(range(80)))
@settings(max_examples=20, deadline=None)
def test_the_order_of_rows_does_not_matter(order: list[int]) -> None:
    """A frame of observations has no time."""
    offered, served = late_counts(np.random.default_rng(1), rows=80)
    expected = saturated_rows(0.01 * served, served, offered_rps=offered).mask[order]
    got = saturated_rows(0.01 * served[order], served[order], offered_rps=offered[order]).mask
    assert got.tolist() == expected.tolist()


def test_latency_alone_is_no_evidence() -> None:
    """Twenty times slower, and all of it served: usage is what the load asked for (Little)."""
    offered = np.linspace(1, 100, 200)
    latency = np.where(offered > 80, 400.0, 20.0)
    calm = saturated_rows(offered, offered, offered_rps=offered, latency_ms=latency)
    assert not calm.mask.any()
    served = np.where(offered > 80, 0.97 * offered, offered)
    unsure = saturated_rows(offered, served, offered_rps=offered)
    assert not unsure.mask.any()
    found = saturated_rows(offered, served, offered_rps=offered, latency_ms=latency)
    assert set(found.reasons) == {"slow"}
    assert found.mask[offered > 83].all()
    assert not found.mask[offered < 80].any()


def test_usage_near_zero_at_full_load_is_an_outlier() -> None:
    """A probe that went: the robust fit rejects it; a lower bound near 0 would say nothing."""
    rng = np.random.default_rng(0)
    load = rng.uniform(10, 100, 500)
    usage = SLOPE * load * np.exp(rng.normal(0, 0.05, 500))
    usage[load > 97] = 0.01
    assert (load > 97).any()
    assert not saturated_rows(usage, load, limit=20.0).mask.any()


@given(st.floats(1e-3, 1e6))
@settings(max_examples=20, deadline=None)
def test_units_do_not_matter(factor: float) -> None:
    """Cores, millicores, percent: the same rows, the bound in the same unit."""
    load, usage, _, _ = capped(np.random.default_rng(2))
    plain, scaled = (saturated_rows(f * usage, load) for f in (1.0, factor))
    assert plain.mask.any()
    assert scaled.mask.tolist() == plain.mask.tolist()
    assert scaled.bound == pytest.approx(factor * plain.bound)


def test_every_bad_column_is_named() -> None:
    """Percent for a share, a negative rate, a column of another length."""
    with pytest.raises(InputError) as caught:
        saturated_rows(
            np.ones(3),
            np.ones(3),
            throttled_share=np.array([5.0, 0.0, 0.0]),
            failed_rps=np.array([-1.0, 0.0, 0.0]),
            latency_ms=np.ones(2),
        )
    assert [p.where for p in caught.value.problems] == [
        "throttled_share",
        "failed_rps",
        "latency_ms",
    ]


def censored_slope(
    load: np.ndarray, bound: np.ndarray, mask: np.ndarray, noise: float = 0.2
) -> float:
    """Return the maximum-likelihood slope with right-censored rows (Tobin 1958), noise known."""

    def loss(slope: float) -> float:
        middle = slope * load
        seen = norm.logpdf(bound[~mask], middle[~mask], noise * middle[~mask])
        over = norm.logsf(bound[mask], middle[mask], noise * middle[mask])
        return -float(seen.sum() + over.sum())

    return float(minimize_scalar(loss, bounds=(0.05, 0.2), method="bounded").x)


def test_the_bound_leaves_the_slope_unbiased() -> None:
    """20 % noise, one row in five capped.

    Tobin's estimate is within 0.3 % (mean of eight draws) with the bound, with a limit and without.
    With usage itself as the bound, rows between 95 and 100 % of the limit, which were free, pull
    it up by over 0.5 %; leaving the rows out lowers it by 3 to 5 %.
    """
    bias: dict[str, list[float]] = {"limit": [], "plateau": [], "usage": [], "dropped": []}
    for seed in range(8):
        load, usage, _, cap = capped(np.random.default_rng(seed))
        known, seen = saturated_rows(usage, load, limit=cap), saturated_rows(usage, load)
        kept = ~known.mask
        nothing = np.zeros(int(kept.sum()), dtype=bool)
        bias["limit"].append(censored_slope(load, known.bound, known.mask) / SLOPE - 1)
        bias["plateau"].append(censored_slope(load, seen.bound, seen.mask) / SLOPE - 1)
        bias["usage"].append(censored_slope(load, usage, known.mask) / SLOPE - 1)
        bias["dropped"].append(censored_slope(load[kept], usage[kept], nothing) / SLOPE - 1)
    mean = {name: float(np.mean(values)) for name, values in bias.items()}
    print(mean)  # noqa: T201  the measured figures belong in the log
    assert abs(mean["limit"]) <= 0.003
    assert abs(mean["plateau"]) <= 0.003
    assert mean["usage"] > 0.005
    assert -0.05 <= mean["dropped"] <= -0.03


def test_overload_makes_attempts_a_lower_bound() -> None:
    """Beyond 140 requests per second the rest fails at a tenth of the cost.

    Attempts over all rows predict a peak of 300 too low by 8 %. Without the rows that the failed
    share marks they are right within 0.5 %, on loads to half that peak.
    """
    errors = []
    for seed in range(5):
        rng = np.random.default_rng(seed)
        attempts = 100 * np.exp(rng.normal(0, 0.4, 4000))
        served = np.minimum(attempts, 140 * np.exp(rng.normal(0, 0.03, 4000)))
        failed = attempts - served
        usage = (0.2 + 0.01 * served + 0.001 * failed) * np.exp(rng.normal(0, 0.05, 4000))
        marked = saturated_rows(usage, attempts, failed_rps=failed).mask
        design = np.column_stack([np.ones(4000), attempts])
        lines = [mm_nnls(design[rows], usage[rows]).value for rows in (slice(None), ~marked)]
        errors.append([line @ [1, 300] / 3.2 - 1 for line in lines])
    everything, rest = np.mean(errors, axis=0)
    assert everything < -0.06
    assert abs(rest) <= 0.005


@pytest.mark.real
@pytest.mark.slow
@pytest.mark.parametrize(("app", "most"), [("primeapp", 0.10), ("webacapp", 0.20)])
def test_one_pod_shape_predicts_the_others(data_dir: Path, app: str, most: float) -> None:
    """Terminus (Jindal, Podolskiy, Gerndt, ICPE 2019): fitted on one CPU limit and node size.

    Rows below 95 % of their limit; the error is that of all other shapes' rows together, as a share
    of the CPU they used (WAPE). A mean of relative errors cannot be held to 10 %: in the first
    minutes of a test usage is a third of what its requests cost, and even the line of smallest MAPE
    on the very rows it is judged by has 24 % (primeapp, median shape).
    """
    raw = pd.read_csv(data_dir / "terminus_microservices" / f"{app}_{app}.csv")
    rows = pd.DataFrame(
        {
            "service": app,
            "rps": raw["requests"] / 60,
            "replicas": raw["num_pods"].astype(float),
            "cpu_cores": raw["total_cpu_util"],
        }
    )
    found = saturated_rows(
        rows["cpu_cores"].to_numpy(),
        rows["rps"].to_numpy(),
        pods=rows["replicas"].to_numpy(),
        limit=raw["pod_cpu_limit"].to_numpy(),
    )
    assert set(found.reasons) == {"at_limit"}
    shape = raw["pod_cpu_limit"].astype(str) + "/" + raw["node_cores"].astype(str)
    wape, mape, median = [], [], []
    for one in shape.unique():
        mine = rows[(shape == one) & ~found.mask]
        if len(mine) < 30:
            continue
        others = rows[(shape != one) & ~found.mask].reset_index(drop=True)
        fit = RobustLinear().fit(mine.reset_index(drop=True), resources=["cpu_cores"])
        usage = fit.get(app, "cpu_cores")
        assert usage is not None
        columns = {c: others[c].to_numpy() for c in ("rps", "replicas")}
        got = usage.loads(columns, n=len(others)) @ usage.value
        error = (got - others["cpu_cores"]).abs()
        wape.append(float(error.sum() / others["cpu_cores"].sum()))
        mape.append(float((error / others["cpu_cores"]).mean()))
        median.append(float((error / others["cpu_cores"]).median()))
    print(  # noqa: T201  the measured figures belong in the log
        f"{app}: {len(wape)} shapes; WAPE median {np.median(wape):.3f} max {max(wape):.3f}; "
        f"median relative error {np.median(median):.3f}; MAPE {np.median(mape):.3f}"
    )
    assert np.median(wape) <= most
    assert max(wape) <= 1.5 * most
