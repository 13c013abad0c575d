"""Hottest / mean of pods, zones and readers: balancers simulated by hand, chance, bad input."""

from __future__ import annotations

import heapq
import math
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from capmodel.errors import InputError
from capmodel.laws.headroom import normal_peak_x
from capmodel.peaks.imbalance import IMBALANCE_PRIOR_X, ImbalanceFit, fit_imbalance


def long(
    table: np.ndarray,
    *,
    unit: str = "pod",
    service: str = "api",
    quantity: str = "rps",
    start: str = "2026-09-07",
    freq: str = "min",
) -> pd.DataFrame:
    """Return intervals × units as a long frame; NaN: the unit is not there."""
    n, k = table.shape
    time = pd.date_range(start, periods=n, freq=freq, tz="UTC")
    frame = pd.DataFrame(
        {
            "service": service,
            "time": np.repeat(time, k),
            unit: np.tile([f"{unit}-{i}" for i in range(k)], n),
            quantity: table.ravel(),
        }
    )
    return frame[frame[quantity].notna()].reset_index(drop=True)


def daily(n: int) -> np.ndarray:
    """Return a load that rises by day and falls by night, in minutes."""
    return np.asarray(1000 * (1.2 + np.sin(2 * np.pi * np.arange(n) / 1440)))


def test_a_planted_share_is_read_off() -> None:
    table = daily(7 * 1440)[:, None] * np.array([0.3, 0.25, 0.25, 0.2])
    got = fit_imbalance(long(table)).get("api")
    assert got.imbalance_x == pytest.approx(1.2)
    assert (got.low, got.high) == (pytest.approx(1.2), pytest.approx(1.2))
    assert got.persistent_x == pytest.approx(1.2)
    assert (got.basis, got.unit, got.quantity, got.units) == ("measured", "pod", "rps", 4)
    assert (got.n_usable, got.n_intervals) == (7 * 1440, 1008)


def test_zones_weigh_by_the_pods_they_hold() -> None:
    # 5, 4 and 3 equal pods: the hottest zone has 5/12 of the load, times 3 zones.
    pods = daily(3000)[:, None] * np.full(12, 1 / 12)
    zones = np.stack([pods[:, :5].sum(1), pods[:, 5:9].sum(1), pods[:, 9:].sum(1)], axis=1)
    both = pd.concat([long(pods), long(zones, unit="zone")])
    fit = fit_imbalance(both)
    assert fit.get("api", "zone").imbalance_x == pytest.approx(5 / 12 * 3)
    assert fit.get("api", "pod").imbalance_x == pytest.approx(1)
    assert fit.to_frame()["unit"].tolist() == ["pod", "zone"]


def test_a_zone_without_load_counts_when_it_has_rows() -> None:
    idle = daily(400)[:, None] * np.array([0.5, 0.5, 0.0])
    assert fit_imbalance(long(idle, unit="zone")).get("api", "zone").imbalance_x == 1.5
    gone = np.where(idle > 0, idle, np.nan)
    assert fit_imbalance(long(gone, unit="zone")).get("api", "zone").imbalance_x == 1.0


def least_connections(service_s: np.ndarray, rate: float, intervals: int, seed: int) -> np.ndarray:
    """Return requests per second and pod: each goes to the pod with the fewest in flight."""
    rng = np.random.default_rng(seed)
    flying = np.zeros(len(service_s))
    ends: list[tuple[float, int]] = []
    served = np.zeros((intervals, len(service_s)))
    for now in np.cumsum(rng.exponential(1 / rate, int(rate * intervals))):
        while ends and ends[0][0] <= now:
            flying[heapq.heappop(ends)[1]] -= 1
        free = np.flatnonzero(flying == flying.min())
        pod = int(free[rng.integers(len(free))])
        flying[pod] += 1
        heapq.heappush(ends, (now + rng.exponential(service_s[pod]), pod))
        if now < intervals:
            served[int(now), pod] += 1
    return served


@pytest.mark.slow
def test_least_connections_sends_a_fast_pod_more() -> None:
    # With many in flight every pod holds as many, so by Little's law its rate goes with 1/S: one
    # pod twice as fast as the other four has 2 of 6 parts, 5/3 of the mean.
    service = np.array([0.4, 0.2, 0.4, 0.4, 0.4])
    served = least_connections(service, 1200.0, 65, 3)[5:]
    got = fit_imbalance(long(served, freq="s")).get("api")
    assert got.persistent_x == pytest.approx(5 / 3, rel=0.01)
    assert got.persistent_x == pytest.approx(served[:, 1].sum() / served.sum() * 5, rel=0.01)
    # The same pod is always the hottest; in one second of twenty chance adds 5 %.
    assert got.median_x == pytest.approx(got.persistent_x, rel=0.01)
    assert got.imbalance_x == pytest.approx(5 / 3 * 1.05, rel=0.02)


def test_sticky_connections_after_a_rolling_restart() -> None:
    # Each pod restarts in turn; its clients reconnect to the others and stay there.
    held = [Fraction(1)] * 4
    for pod in range(4):
        moved = held[pod] / 3
        held = [Fraction(0) if i == pod else h + moved for i, h in enumerate(held)]
    assert held == [Fraction(n, 81) for n in (148, 112, 64, 0)]
    table = np.ones((2 * 1440, 4)) * 100
    # The evening is busier than the morning of the restarts.
    table[200:] = np.linspace(100, 150, 2680)[:, None] * np.array([float(h) for h in held])
    for pod in range(4):
        table[196 + pod, pod] = np.nan
    fit = fit_imbalance(long(table, quantity="connections"))
    got = fit.get("api")
    assert got.imbalance_x == pytest.approx(148 / 81)
    assert got.persistent_x == pytest.approx(148 / 81)
    assert IMBALANCE_PRIOR_X["per_connection"] < got.imbalance_x
    assert "imbalance_by_chance" not in fit.findings.codes


@pytest.mark.slow
@pytest.mark.parametrize(("mean", "pods"), [(20.0, 8), (400.0, 8), (50.0, 30)])
def test_chance_counts_against_limits_but_does_not_persist(mean: float, pods: int) -> None:
    # Equal pods, independent arrivals: the hottest of n counts around their own mean.
    rng = np.random.default_rng(1)
    fit = fit_imbalance(long(rng.poisson(mean, (20_000, pods)).astype(float)))
    got = fit.get("api")
    shrink = 1 - 1 / pods
    busy_mean = mean + 1.755 * math.sqrt(mean / pods)  # mean of the top tenth of a normal's values
    want = normal_peak_x(busy_mean, pods, [0.5, 0.95], dispersion=shrink)
    np.testing.assert_allclose([got.median_x, got.imbalance_x], want, rtol=0.02)
    assert got.persistent_x == pytest.approx(1, abs=0.01)
    assert ("imbalance_by_chance" in fit.findings.codes) == (got.median_x > 1.05)


def test_chance_and_persistence_together() -> None:
    # One of six pods lastingly 30 % above the others: 1.3/1.05 of the mean, plus chance.
    rng = np.random.default_rng(2)
    table = rng.poisson(40 * np.array([1.3, 1, 1, 1, 1, 1.0]), (14_400, 6)).astype(float)
    frame = long(table)
    got = fit_imbalance(frame).get("api")
    assert got.persistent_x == pytest.approx(1.3 / 1.05, rel=0.02)
    assert got.imbalance_x > got.median_x > got.persistent_x
    assert got.low < got.imbalance_x < got.high
    other = fit_imbalance(frame, seed=1).get("api")
    assert other.imbalance_x == got.imbalance_x
    assert (other.low, other.high) != (got.low, got.high)


def autoscaled(*, first: float, edge: int = 1) -> pd.DataFrame:
    """Equal pods; the third comes by day, and has `first` of a share while it starts."""
    load = daily(3 * 1440)
    table = np.repeat(load[:, None] / 3, 3, axis=1)
    away = load < 1500
    table[away, 2] = np.nan
    come = np.flatnonzero(away[:-1] & ~away[1:]) + 1
    for k in range(edge):
        table[come + k, 2] *= first
    return long(table, quantity="cpu_cores")


@pytest.mark.parametrize("first", [0.05, 4.0])  # cold, or hot from warming up
def test_pods_that_come_and_go_do_not_count_while_they_do(first: float) -> None:
    frame = autoscaled(first=first)
    got = fit_imbalance(frame).get("api")
    assert got.imbalance_x == pytest.approx(1)
    assert got.dropped["rows_at_the_ends_of_a_unit"] == 6
    assert not fit_imbalance(frame).findings


def test_a_longer_warm_up_takes_a_longer_edge() -> None:
    rng = np.random.default_rng(0)
    table = np.full((600, 6), 10.0)
    table[:, 5] = np.nan
    for start in range(10, 580, 40):
        table[start : start + 30, 5] = 10.0
        table[start : start + 4, 5] = 40.0  # four minutes of compilation
    table *= rng.uniform(0.99, 1.01, (600, 1))
    assert fit_imbalance(long(table)).get("api").imbalance_x > 1.9
    settled = fit_imbalance(long(table), edge_intervals=4).get("api")
    assert settled.imbalance_x == pytest.approx(1)


def test_only_the_busiest_intervals_count() -> None:
    load = daily(5 * 1440)
    share = np.where(load[:, None] > 2000, [0.6, 0.4], [0.9, 0.1])
    got = fit_imbalance(long(load[:, None] * share)).get("api")
    assert got.imbalance_x == pytest.approx(1.2)


def test_a_short_history_is_judged_on_thirty_intervals_without_an_interval() -> None:
    fit = fit_imbalance(long(np.full((40, 3), 5.0)))
    got = fit.get("api")
    assert (got.n_intervals, got.n_usable) == (30, 40)
    assert math.isnan(got.low)
    assert fit.findings.codes == ("imbalance_short",)


def test_days_that_differ_give_an_interval_as_wide_as_they_differ() -> None:
    rng = np.random.default_rng(6)
    hot = 1.2 + 0.2 * rng.random(28)
    share = np.repeat(hot, 1440)[:, None] / 4 * np.array([1.0, 0, 0, 0])
    rest = (1 - share.sum(1, keepdims=True)) / 3 * np.array([0, 1.0, 1, 1])
    frame = long(daily(28 * 1440)[:, None] * (share + rest))
    got = fit_imbalance(frame).get("api")
    assert got.imbalance_x == pytest.approx(np.sort(hot)[26], abs=1e-9)  # P95 of 28 equal days
    assert got.low < got.imbalance_x <= got.high == pytest.approx(hot.max())
    assert got.persistent_x == pytest.approx(hot.mean(), rel=1e-3)
    assert fit_imbalance(frame).get("api").low == got.low


def test_one_unit_carries_no_information() -> None:
    frame = pd.concat(
        [
            long(np.full((100, 1), 5.0)),
            long(np.full((100, 1), 5.0), unit="reader", service="db", quantity="rps"),
            long(np.full((100, 2), 5.0), service="web"),
        ]
    )
    fit = fit_imbalance(frame, balancing={"api": "per_connection"})
    assert fit.get("api").imbalance_x == 1.4
    assert fit.get("db", "reader").imbalance_x == 1.4  # readers hold connections
    assert fit.get("web").imbalance_x == 1.0
    assert fit.get("api").basis == "assumed"
    assert "so the hottest is the mean" in fit.get("api").note
    assert [f.code for f in fit.findings if f.severity == "warning"] == ["imbalance_one_unit"] * 2


def test_the_prior_stands_in_by_what_is_balanced() -> None:
    assert dict(IMBALANCE_PRIOR_X) == {"per_request": 1.1, "per_connection": 1.4}
    fit = ImbalanceFit.assumed(["api", "db"])
    assert fit.to_frame()["imbalance_x"].tolist() == [1.1, 1.1]
    assert fit.findings.codes == ("imbalance_assumed",)
    assert ImbalanceFit.assumed(["db"], unit="reader").get("db", "reader").imbalance_x == 1.4
    unheard = fit.get("unheard-of", "zone")
    assert (unheard.imbalance_x, unheard.basis) == (1.1, "assumed")


def test_one_bad_service_fails_no_other() -> None:
    good = long(np.full((60, 2), 5.0))
    negative = long(np.full((60, 2), -5.0), service="minus")
    twice = long(np.full((60, 2), 5.0), service="twice")
    few = long(np.full((20, 2), 5.0), service="few")
    idle = long(np.zeros((60, 2)), service="idle")
    gaps = long(np.full((60, 2), 5.0), service="gaps")
    gaps.loc[gaps.index[10:12], "rps"] = np.nan
    fit = fit_imbalance(pd.concat([good, negative, twice, twice.iloc[:3], few, idle, gaps]))
    assert fit.get("api").basis == "measured"
    assert fit.get("gaps").dropped["rows_without_value"] == 2
    found = {f.service: (f.code, f.severity) for f in fit.findings if f.severity != "info"}
    assert found == {
        "minus": ("imbalance_negative", "error"),
        "twice": ("imbalance_duplicates", "error"),
        "few": ("imbalance_too_few", "warning"),
        "idle": ("imbalance_too_few", "warning"),
    }
    assert {fit.get(name).imbalance_x for name in found} == {1.1}
    assert "60 intervals without load" in fit.get("idle").note
    messages = " ".join(f.message for f in fit.findings)
    assert "3 rows repeat a pod and time" in messages
    assert "declare imbalance_x" in messages


def test_explain_says_what_the_factor_rests_on() -> None:
    frame = pd.concat([autoscaled(first=0.1), long(np.ones((9, 2)), service="b", quantity="x")])
    frame["cpu_cores"] = frame["cpu_cores"].fillna(frame.pop("x"))
    fit = fit_imbalance(frame)
    text = fit.explain("api")
    for part in (
        "hottest / mean pod 1.000, 95 % 1.000 to 1.000   (measured on cpu_cores)",
        "P95 of the 432 busiest of 4320 intervals, 3 pods",
        "median 1.000, of which lasting 1.000",
        "6 rows at the ends of a unit",
    ):
        assert part in text
    assert "prior for per-request balancing: 9 usable intervals" in fit.explain("b")
    with pytest.raises(InputError, match='Did you mean "api"'):
        fit.explain("apy")


@pytest.mark.slow
@given(
    seed=st.integers(0, 10**6),
    scale=st.floats(1e-6, 1e6),
    pods=st.integers(2, 9),
    there=st.floats(0.9, 1),
)
def test_free_of_units_names_and_company(seed: int, scale: float, pods: int, there: float) -> None:
    rng = np.random.default_rng(seed)
    table = rng.lognormal(0, 0.4, (120, pods)) * rng.lognormal(0, 0.3, pods)
    table[rng.random(table.shape) > there] = np.nan
    frame = long(table)
    one = fit_imbalance(frame).get("api")
    names = dict(zip(frame["pod"].unique(), rng.permutation(frame["pod"].unique()), strict=True))
    other = frame.assign(pod=frame["pod"].map(names), rps=frame["rps"] * scale)
    company = long(table * 3, service="other")
    again = fit_imbalance(pd.concat([company, other.sample(frac=1, random_state=0)])).get("api")
    if one.basis == "measured":
        assert 1 <= one.median_x <= one.imbalance_x <= pods
    for field in ("imbalance_x", "low", "high", "median_x", "persistent_x", "n_intervals"):
        value = getattr(one, field)
        assert getattr(again, field) == pytest.approx(value, rel=1e-9, nan_ok=True), field
    assert math.isnan(one.persistent_x) or one.persistent_x >= 1


BASE = long(np.full((40, 2), 5.0))


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (BASE.drop(columns="time"), "also time"),
        (BASE.drop(columns="pod"), "one of the columns pod, zone, reader"),
        (BASE.drop(columns="rps"), "exactly one column of numbers"),
        (BASE.assign(cpu_cores=1.0), "Keep one: fit each quantity"),
        (BASE.assign(zone="a"), "pod and zone filled at once"),
        (BASE.assign(pod=None), "no pod; expected the name of a unit"),
        (BASE.assign(time=range(80)), "Convert epochs"),
        (BASE.assign(time="yesterday-ish"), "Write ISO 8601"),
        (BASE.assign(time=pd.Series([pd.NaT] * 80)), "missing times"),
        (BASE.assign(service=None), "rows without one"),
        (pd.concat([BASE, BASE[["rps"]]], axis=1), "columns twice: rps"),
        (BASE[["rps"]], "2 problems"),
    ],
)
def test_frames_that_cannot_be_read_say_why(frame: pd.DataFrame, message: str) -> None:
    with pytest.raises(InputError, match=message):
        fit_imbalance(frame)


def test_unknown_names_are_answered_with_the_nearest() -> None:
    with pytest.raises(InputError, match='Did you mean "api"'):
        fit_imbalance(BASE, services=["ap"])
    with pytest.raises(InputError, match='Did you mean "api"'):
        fit_imbalance(BASE, balancing={"apj": "per_request"})
    with pytest.raises(InputError, match='Did you mean "per_request"'):
        fit_imbalance(BASE, balancing={"api": "per_requests"})  # type: ignore[dict-item]
    with pytest.raises(InputError, match="edge_intervals: got -1"):
        fit_imbalance(BASE, edge_intervals=-1)
    assert fit_imbalance(BASE, services=["api"]).get("api").basis == "measured"


def test_the_frame_given_is_left_alone() -> None:
    held = BASE.copy()
    fit_imbalance(BASE)
    pd.testing.assert_frame_equal(BASE, held)
