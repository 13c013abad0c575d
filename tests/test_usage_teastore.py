"""TeaStore: ramps of five services past the point where throughput follows, and a demand table."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from capmodel.usage import RobustLinear
from capmodel.usage.saturation import Saturation, saturated_rows

SERVICES = ("webui", "auth", "recommender", "image", "registry")
RUNS = [(level, mix) for level in ("low", "med", "high") for mix in ("browse", "buy")]
pytestmark = [pytest.mark.real]


def ramp(data_dir: Path, level: str, mix: str, *, seconds: int = 1) -> pd.DataFrame:
    """Return one run, in means over `seconds`: rates per second, latency in ms, CPU in percent."""
    raw = pd.read_csv(data_dir / "teastore_cpu_per_service" / f"results_{level}_{mix}.csv")
    means = raw.groupby((raw["Target Time"] // seconds).astype(int)).mean().reset_index(drop=True)
    columns = {
        "offered": means["Load Intensity"],
        "failed": means["Failed Transactions"] + means["Dropped Transactions"],
        "latency_ms": means["Avg Response Time"] * 1000,
    }
    columns["attempts"] = means["Successful Transactions"] + columns["failed"]
    return pd.DataFrame(columns | {s: means[f"CPU_{s} [%]"] for s in SERVICES})


def saturation(run: pd.DataFrame, service: str = "webui") -> Saturation:
    """Return the saturated rows of a run."""
    return saturated_rows(
        run[service].to_numpy(),
        run["attempts"].to_numpy(),
        failed_rps=run["failed"].to_numpy(),
        offered_rps=run["offered"].to_numpy(),
        latency_ms=run["latency_ms"].to_numpy(),
    )


def observations(run: pd.DataFrame, load: str) -> pd.DataFrame:
    """Return the run as rows of a usage regression (percent stand for cores: see below)."""
    frames = [pd.DataFrame({"service": s, "rps": run[load], "cpu_cores": run[s]}) for s in SERVICES]
    return pd.concat(frames, ignore_index=True)


def r2_of(run: pd.DataFrame, load: str, service: str, value: np.ndarray) -> float:
    """Return the plain R² of a line over all rows with that load, no row weighted down."""
    rows = run[run[load] > 0]
    error = rows[service] - value[0] - value[1] * rows[load]
    return float(1 - (error**2).sum() / ((rows[service] - rows[service].mean()) ** 2).sum())


@pytest.mark.parametrize("mix", ["browse", "buy"])
@pytest.mark.parametrize("seconds", [1, 5])
def test_saturated_rows_are_those_beyond_the_knee(data_dir: Path, mix: str, seconds: int) -> None:
    """In the high runs throughput stays near 1,030 (browse) and 1,120/s (buy) of up to 2,000/s."""
    run = ramp(data_dir, "high", mix, seconds=seconds)
    found = saturation(run)
    beyond = (run["offered"] > 1300).to_numpy()
    before = (run["offered"] < 950).to_numpy()
    served = run["attempts"][beyond].mean()
    print(mix, seconds, dict(found.reasons), f"served beyond {served:.0f}/s")  # noqa: T201
    assert found.mask[beyond].all()
    assert 1.4 * served < run["offered"][beyond].mean()
    # Below: at most the first seconds, in which every sixth request failed.
    assert found.mask[before].sum() == found.reasons.get("failed", 0) <= 1


@pytest.mark.parametrize(("level", "mix"), [r for r in RUNS if r[0] != "high"])
def test_runs_below_the_knee_are_not_saturated(data_dir: Path, level: str, mix: str) -> None:
    """One-second rows: at most two cold starts and three seconds of doubt in 120."""
    found = saturation(ramp(data_dir, level, mix))
    print(level, mix, dict(found.reasons))  # noqa: T201
    assert found.reasons.get("failed", 0) <= 2
    assert found.mask.sum() <= 5


@pytest.mark.slow
@pytest.mark.parametrize("load", ["offered", "attempts"])
@pytest.mark.parametrize("mix", ["browse", "buy"])
def test_the_rest_is_a_line(data_dir: Path, mix: str, load: str) -> None:
    """High runs, 5 s means, rows that are neither saturated nor after the end of the ramp.

    R² of all five services ≥ 0.9 on attempts that reached the node and on offered load. The 20 to
    30 s after the ramp (nothing offered, late responses still counted, CPU idle) are rows whose
    regressor is wrong: they leave with it, as they have no offered load.
    """
    run = ramp(data_dir, "high", mix, seconds=5)
    rest = run[~saturation(run).mask & (run["offered"] > 0)]
    fit = RobustLinear(min_rows=10).fit(observations(rest, load), resources=["cpu_cores"])
    for service in SERVICES:
        usage = fit.get(service, "cpu_cores")
        assert usage is not None
        plain = r2_of(rest, load, service, usage.value)
        print(f"{mix} {load} {service}: r2 {usage.r2:.3f}, plain {plain:.3f}")  # noqa: T201
        assert usage.r2 >= 0.9
        assert plain >= 0.9


@pytest.mark.slow
@pytest.mark.parametrize(("level", "mix"), RUNS)
def test_usage_follows_offered_load_not_throughput(data_dir: Path, level: str, mix: str) -> None:
    """Attempts are the regressor: on one-second rows offered load explains more than throughput.

    So it does in every run, and in the high ones by 18 points and more (R² 0.97 to 0.99 against
    0.68 to 0.79): throughput of a second counts requests of the seconds before.
    """
    run = ramp(data_dir, level, mix)
    rest = run[~saturation(run).mask & (run["offered"] > 0)]
    r2 = {}
    for load in ("offered", "attempts"):
        fit = RobustLinear().fit(observations(rest, load), resources=["cpu_cores"])
        usage = fit.get("webui", "cpu_cores")
        assert usage is not None
        r2[load] = r2_of(rest, load, "webui", usage.value)
    print(level, mix, r2)  # noqa: T201
    assert r2["offered"] >= 0.92
    assert r2["offered"] > r2["attempts"]
    if level == "high":
        assert r2["offered"] > r2["attempts"] + 0.18


@pytest.mark.slow
@pytest.mark.parametrize("mix", ["browse", "buy"])
def test_the_low_ramp_reaches_a_tenth_of_the_next(data_dir: Path, mix: str) -> None:
    """To 99 requests a second 0.15 % per request; the same service shows 0.06 % at 1,000.

    The prediction, 2.4 to 2.6 times what was measured, is one for ten times the range, and says so.
    """
    low, med = ramp(data_dir, "low", mix, seconds=5), ramp(data_dir, "med", mix, seconds=5)
    fit = RobustLinear(min_rows=10).fit(observations(low, "offered"), resources=["cpu_cores"])
    top = med[med["offered"] > 900]
    loads = pd.DataFrame({"service": "webui", "rps": [50.0, *top["offered"]]})
    got = fit.predict(loads)
    print(mix, got["p50"].max(), top["webui"].max(), got["load_x"].max())  # noqa: T201
    assert not got["extrapolating"].iloc[0]
    assert got["extrapolating"].iloc[1:].all()
    assert got["load_x"].max() == pytest.approx(top["offered"].max() / low["offered"].max())
    ratio = got["p50"].iloc[1:].to_numpy() / top["webui"].to_numpy()
    assert ((ratio > 2.2) & (ratio < 2.8)).all()
    # The wider interval warns and does not cure: it stays above what was measured.
    assert (got["p05"].iloc[1:].to_numpy() > top["webui"].to_numpy()).all()


def position_curve(run: pd.DataFrame, service: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the share of the ramp (0 to 1) and CPU relative to that at half the ramp."""
    ramped = run[run["offered"] > 0]
    share = (ramped["offered"] / ramped["offered"].max()).to_numpy()
    half = ramped[service][(share > 0.45) & (share < 0.55)].mean()
    return share, (ramped[service] / half).to_numpy()


def test_cpu_follows_the_ramps_position_in_every_run(data_dir: Path) -> None:
    """The CPU columns cannot be compared with published demands: they are no use of the requests.

    Ramps to 100, 1,000 and 2,000 requests a second all use 1.55 to 1.7 times as much at their end
    as in their middle (webui), and the same 95/s use 17, 11 and 9 %. Nor does CPU beyond its own
    curve move with the requests served in that second (|r| ≤ 0.15), although these jump threefold.
    """
    ends, at_100, moves = [], [], []
    for level, mix in RUNS:
        run = ramp(data_dir, level, mix)
        share, relative = position_curve(run, "webui")
        ends.append(relative[share > 0.95].mean())
        ramped = run[run["offered"] > 0]
        near = ramped["webui"][(ramped["offered"] - 95).abs() <= 15]
        at_100.append((level, float(near.mean())))
        curve = np.polyval(np.polyfit(share, ramped["webui"], 3), share)
        excess = (ramped["attempts"] - ramped["offered"]).to_numpy()
        moves.append(float(np.corrcoef(ramped["webui"] - curve, excess)[0, 1]))
    print(np.round(ends, 2), at_100, np.round(moves, 2))  # noqa: T201
    assert max(ends) - min(ends) <= 0.15
    by_level = {level: np.mean([v for k, v in at_100 if k == level]) for level, _ in RUNS}
    assert by_level["low"] > 1.4 * by_level["med"]
    assert by_level["med"] > 1.2 * by_level["high"]
    assert max(map(abs, moves)) <= 0.15


def demands(data_dir: Path) -> pd.DataFrame:
    """Return the published table: service, endpoint, CPU seconds per request."""
    return pd.read_csv(data_dir / "teastore_service_demands" / "default.csv")


@pytest.mark.parametrize("mix", ["browse", "buy"])
def test_no_mix_of_published_demands_gives_the_measured_ratio(data_dir: Path, mix: str) -> None:
    """Ratios between services need no core count, and bound what any mix could show.

    A page of webui costs 2.24 to 2.35 ms and asks the recommender (0.45 ms) at most once: at most
    0.20 of webui, whatever the mix. The CPU file shows 0.9 to 1.1. So no demand of the one file is
    comparable with the other within 10 %: they are different machines, versions or counters.
    """
    table = demands(data_dir)
    webui = table[table["service"] == "webui"]["service_demand"]
    most = table[table["service"] == "recommender"]["service_demand"].max() / webui.min()
    assert webui.max() / webui.min() < 1.06
    assert most == pytest.approx(0.2001, abs=1e-4)
    run = ramp(data_dir, "med", mix, seconds=5)
    run = run[run["offered"] > 0]
    slope = {s: np.polyfit(run["offered"], run[s], 1)[0] for s in SERVICES}
    ratio = slope["recommender"] / slope["webui"]
    print(mix, f"recommender/webui {ratio:.2f}, at most {most:.2f} published")  # noqa: T201
    assert ratio > 4 * most


@pytest.mark.slow
@pytest.mark.parametrize("service", ["auth", "persistence"])
def test_published_demands_come_back_from_a_varying_mix(data_dir: Path, service: str) -> None:
    """The table as planted truth: endpoints in shares that vary by 30 %, 5 % noise, Poisson counts.

    7 days of minutes at 200 requests a second. Each demand that is called identifiable is within
    10 % of the published one, and the dearest (login: 11.6 ms) is among them. Work for the mix of
    the table as a whole is within 1 %.
    """
    table = demands(data_dir)
    truth = table[table["service"] == service].set_index("endpoint")["service_demand"]
    rng = np.random.default_rng(5)
    rows, n = 7 * 1440, len(truth)
    total = 200 * (1 + 0.6 * np.sin(np.arange(rows) / 1440 * 2 * np.pi))
    mix = np.exp(rng.normal(0, 0.3, (rows, n)))
    rates = rng.poisson(60 * total[:, None] * mix / mix.sum(axis=1, keepdims=True)) / 60
    cores = (0.1 + rates @ truth.to_numpy()) * np.exp(rng.normal(0, 0.05, rows))
    frame = pd.DataFrame(rates, columns=[f"rps:{e}" for e in truth.index])
    fit = RobustLinear().fit(
        frame.assign(service=service, cpu_cores=cores), resources=["cpu_cores"]
    )
    usage = fit.get(service, "cpu_cores")
    assert usage is not None
    found = {t.partition(":")[2]: k for k, t in enumerate(usage.terms) if ":" in t}
    error = {e: usage.value[k] / truth[e] - 1 for e, k in found.items()}
    known = [e for e, k in found.items() if usage.identifiable[k]]
    print(service, {e: f"{error[e]:+.1%}" for e in error}, "identifiable:", known)  # noqa: T201
    assert all(abs(error[e]) <= 0.10 for e in known)
    assert str(truth.idxmax()) in known
    equal = np.r_[1.0, np.full(n, 200 / n)]
    assert usage.value @ equal == pytest.approx(0.1 + 200 * truth.mean(), rel=0.01)


@pytest.mark.parametrize("mix", ["browse", "buy"])
def test_a_fit_of_the_high_run_takes_its_saturated_rows_as_bounds(data_dir: Path, mix: str) -> None:
    """The whole run as it was exported, seconds after the ramp and all, through the fit itself."""
    run = ramp(data_dir, "high", mix)
    columns = {
        "rps": run["offered"],
        "served_rps": run["attempts"] - run["failed"],
        "errors_rps": run["failed"],
        "latency_mean_ms": run["latency_ms"],
    }
    frames = [pd.DataFrame({"service": s, **columns, "cpu_cores": run[s] / 100}) for s in SERVICES]
    fit = RobustLinear().fit(pd.concat(frames, ignore_index=True), resources=["cpu_cores"])
    assert not fit.refused
    for usage in fit.fits:
        print(mix, usage.service, usage.n_saturated, dict(usage.saturated), f"r2 {usage.r2:.3f}")  # noqa: T201
        assert usage.basis == "censored"
        assert 40 <= usage.n_saturated <= 60
        assert usage.r2 >= 0.9
        assert usage.dropped["no_load"] >= 20
