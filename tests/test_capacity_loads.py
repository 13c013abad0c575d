from __future__ import annotations

import dataclasses
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from capmodel.capacity.loads import (
    CallRatio,
    Loads,
    call_weights,
    joint_roots,
    point_weights,
    root_minutes,
    stated_peak_factor,
    weights_basis,
)
from capmodel.demand.paths import RootPaths
from capmodel.scenario import LogNormal
from capmodel.schema import order_statistic
from capmodel.topology import Topology

DATES = np.arange(np.datetime64("2026-11-26"), np.datetime64("2026-12-01"))
N = len(DATES)
EVENT = np.array([False, True, False, False, True])
NO_EVENT = np.zeros(N, dtype=bool)

# checkouts reach account-service on two ways, impressions reach only promo.
DIAMOND = Topology.model_validate(
    {
        "drivers": {"checkouts": {}, "impressions": {}},
        "services": {
            "gateway": {"calls": {"checkouts": 14}},
            "api": {"calls": {"checkouts": 4}},
            "account": {"calls": {"gateway": 0.2, "api": 0.9}},
            "promo": {"calls": {"impressions": 1, "api": 0.5}},
        },
        "externals": {"bureau": {"calls": {"account": 0.7}, "limit_rps": 80}},
    }
)


def edges(**changes: CallRatio) -> dict[tuple[str, str], CallRatio]:
    plain = {
        (caller, node): CallRatio(caller=caller, node=node, ratio=float(ratio))
        for node in DIAMOND.order
        for caller, ratio in DIAMOND.calls_of(node).items()
    }
    return plain | {(edge.caller, edge.node): edge for edge in changes.values()}


def paths(name: str, shape: np.ndarray, *, quantity: str = "rps") -> RootPaths:
    draws, days = len(shape), shape.shape[1]
    return RootPaths(
        service=name,
        quantity=quantity,
        dates=DATES[:days],
        event=("",) * days,
        shape=shape,
        level=np.zeros(draws),
        drift=np.zeros((1, days)),
        shock=np.zeros((1, days)),
        to_growth=np.zeros(days),
        lift_x=np.ones(days),
        basis="fitted",
    )


def loads_of(
    shapes: dict[str, np.ndarray], *, keep_hours: bool = True, scale: float = 1.0
) -> Loads:
    draws, days, _ = next(iter(shapes.values())).shape
    weights = call_weights(DIAMOND, edges(), is_event=NO_EVENT[:days], draws=draws, seed=7)
    one = np.ones((1, 1, 1))
    return Loads(
        dates=DATES[:days],
        roots={
            name: root_minutes(paths(name, shape), one, keep_hours=keep_hours)
            for name, shape in shapes.items()
        },
        factor={name: np.full((draws, days), scale) for name in shapes},
        weights=weights,
    )


def test_requests_per_event_along_two_ways() -> None:
    """Forced flow law, by hand: 14 * 0.2 + 4 * 0.9 = 6.4 calls of account per checkout."""
    weights = point_weights(DIAMOND, edges())
    assert weights["account"] == pytest.approx({"checkouts": 6.4})
    assert weights["bureau"] == pytest.approx({"checkouts": 6.4 * 0.7})
    assert weights["promo"] == pytest.approx({"checkouts": 2.0, "impressions": 1.0})
    assert weights["checkouts"] == {"checkouts": 1.0}
    drawn = call_weights(DIAMOND, edges(), is_event=EVENT, draws=20, seed=7)
    for node, by_root in weights.items():
        assert {r: w.item() for r, w in drawn[node].items()} == pytest.approx(by_root)


def test_the_event_regime_holds_on_event_days_of_its_edge_only() -> None:
    regime = CallRatio(caller="api", node="account", ratio=0.9, event_x=1.5)
    weights = call_weights(DIAMOND, edges(one=regime), is_event=EVENT, draws=10, seed=7)
    ordinary, event = 14 * 0.2 + 4 * 0.9, 14 * 0.2 + 4 * 0.9 * 1.5
    expected = np.where(EVENT, event, ordinary)
    assert weights["account"]["checkouts"] == pytest.approx(np.tile(expected, (10, 1)))
    assert weights["gateway"]["checkouts"].item() == 14
    assert point_weights(DIAMOND, edges(one=regime), event=True)["account"]["checkouts"] == event
    assert point_weights(DIAMOND, edges(one=regime))["account"]["checkouts"] == ordinary


def test_a_fitted_edge_is_drawn_around_its_centre() -> None:
    spread = CallRatio(caller="checkouts", node="api", ratio=4.0, log_se=0.05, day_log_sd=0.02)
    draws = 4000
    ways = call_weights(DIAMOND, edges(one=spread), is_event=EVENT, draws=draws, seed=7)
    log = np.log(ways["api"]["checkouts"] / 4.0)
    # Standard errors: 0.054 / sqrt(4000) of the mean, 1.1 % of a standard deviation.
    assert log.mean(axis=0) == pytest.approx(np.zeros(N), abs=0.0035)
    assert log.mean(axis=1).std() == pytest.approx(np.hypot(0.05, 0.02 / np.sqrt(N)), rel=0.05)
    assert (log - log.mean(axis=1, keepdims=True)).std() == pytest.approx(
        0.02 * np.sqrt(1 - 1 / N), rel=0.05
    )


def test_an_edge_keeps_its_luck_whatever_else_is_drawn() -> None:
    spread = CallRatio(caller="checkouts", node="api", ratio=4.0, log_se=0.05)
    other = CallRatio(caller="checkouts", node="gateway", ratio=14.0, log_se=0.3)
    alone = call_weights(DIAMOND, edges(a=spread), is_event=EVENT, draws=50, seed=7)
    both = call_weights(DIAMOND, edges(a=spread, b=other), is_event=EVENT, draws=50, seed=7)
    assert (alone["api"]["checkouts"] == both["api"]["checkouts"]).all()
    assert both["gateway"]["checkouts"].std() > 1


def test_the_weakest_edge_on_any_way_names_the_basis() -> None:
    fitted = {key: CallRatio(*key, ratio=1.0, basis="fitted") for key in edges()}
    assert weights_basis(DIAMOND, fitted, "bureau") == "fitted"
    declared = fitted | {("api", "account"): CallRatio("api", "account", 0.9, basis="assumed")}
    assert weights_basis(DIAMOND, declared, "bureau") == "assumed"
    assert weights_basis(DIAMOND, declared, "gateway") == "fitted"


def test_the_busiest_minute_need_not_lie_in_the_busiest_hour() -> None:
    hours = np.array([[[60.0, 120.0, 90.0]]])
    burst = np.array([[[1.0, 1.1, 2.0]]])
    minutes = root_minutes(paths("a", hours, quantity="per_min"), burst, keep_hours=True)
    assert minutes.day_peak.item() == pytest.approx(90 * 2 / 60)
    assert minutes.burst_x.item() == 2.0
    assert minutes.minutes == pytest.approx(hours * burst / 60)
    assert root_minutes(paths("a", hours), burst, keep_hours=False).minutes is None


def test_peaks_at_different_hours_add_up_minute_by_minute() -> None:
    """Morning impressions, evening checkouts: promo's busiest hour is neither's alone."""
    shapes = {
        "checkouts": np.array([[[10.0, 60.0, 100.0]]]),
        "impressions": np.array([[[300.0, 260.0, 50.0]]]),
    }
    loads = loads_of(shapes)
    # promo = impressions + 2 checkouts: 320, 380, 250; the sum of the peaks would be 500.
    assert loads.day_peak("promo").item() == 380
    instant = loads.instant({"promo": 1.0})
    assert {root: load.item() for root, load in instant.items()} == {
        "checkouts": 60, "impressions": 260,
    }  # fmt: skip
    assert loads.day_peak("api").item() == 400


@given(seed=st.integers(0, 10_000), unit=st.floats(0.1, 10))
def test_the_instant_of_a_mix_against_brute_force(seed: int, unit: float) -> None:
    rng = np.random.default_rng(seed)
    shapes = {n: rng.gamma(2.0, size=(4, N, 6)) for n in ("checkouts", "impressions")}
    loads = loads_of(shapes)
    mix = {"promo": 1.0, "account": unit}
    weight = {"checkouts": 2.0 + 6.4 * unit, "impressions": 1.0}
    total = np.asarray(sum(weight[name] * shape for name, shape in shapes.items()))
    instant = loads.instant(mix)
    reached = sum(weight[name] * load for name, load in instant.items())
    assert reached == pytest.approx(total.max(axis=2), rel=1e-12)
    for name, load in instant.items():
        hour = total.argmax(axis=2)[:, :, None]
        assert (load == np.take_along_axis(shapes[name], hour, axis=2)[:, :, 0]).all()
    peaks = sum(weight[name] * shape.max(axis=2) for name, shape in shapes.items())
    assert (np.asarray(reached) <= np.asarray(peaks) + 1e-9).all()


def test_a_root_known_by_day_only_counts_in_every_hour() -> None:
    shapes = {
        "checkouts": np.array([[[50.0]]]),
        "impressions": np.array([[[10.0, 30.0]]]),
    }
    assert loads_of(shapes).day_peak("promo").item() == 2 * 50 + 30


def test_one_root_needs_no_hours() -> None:
    shape = np.random.default_rng(0).gamma(2.0, size=(3, N, 24))
    shapes = {"checkouts": shape, "impressions": shape}
    with_hours, without = loads_of(shapes, scale=1.5), loads_of(shapes, keep_hours=False, scale=1.5)
    expected = 6.4 * 1.5 * shape.max(axis=2)
    assert with_hours.day_peak("account") == pytest.approx(expected)
    assert (with_hours.day_peak("account") == without.day_peak("account")).all()


def test_a_remainder_is_the_node_s_alone() -> None:
    """Account's own minute is 1.2 of the carried one: its callers and what it calls keep theirs."""
    rng = np.random.default_rng(1)
    shapes = {n: rng.gamma(2.0, size=(4, N, 6)) for n in ("checkouts", "impressions")}
    plain = loads_of(shapes)
    own = np.full((4, N), 1.2)
    own[0, 0] = 0.9
    loads = dataclasses.replace(plain, remainder={"account": own})
    assert loads.day_peak("account") == pytest.approx(plain.day_peak("account") * own)
    for node in ("gateway", "api", "promo", "bureau", "checkouts"):
        assert (loads.day_peak(node) == plain.day_peak(node)).all()


def test_a_mix_counts_remainders_when_it_looks_for_its_minute() -> None:
    shapes = {
        "checkouts": np.array([[[10.0, 60.0, 100.0]]]),
        "impressions": np.array([[[300.0, 260.0, 50.0]]]),
    }
    # By hand: 6.4 x 0.1 of checkouts and promo = 2 checkouts + impressions:
    # 326, 418, 314 without; with promo three times as high 966, 1178, 814.
    mix = {"account": 0.1, "promo": 1.0}
    plain = loads_of(shapes)
    busy = dataclasses.replace(plain, remainder={"promo": np.array([[3.0]])})
    assert sum(u * plain.at(n, plain.instant(mix)).item() for n, u in mix.items()) == pytest.approx(
        418.4
    )
    assert sum(u * busy.at(n, busy.instant(mix)).item() for n, u in mix.items()) == pytest.approx(
        1178.4
    )
    # Account ten times as high: 6.4 checkouts of it outweigh the impressions: the last hour.
    other = dataclasses.replace(plain, remainder={"account": np.array([[10.0]])})
    assert other.instant(mix)["checkouts"].item() == 100


def test_roots_that_meet_somewhere_keep_their_hours() -> None:
    weights = call_weights(DIAMOND, edges(), is_event=NO_EVENT, draws=1, seed=7)
    assert joint_roots([["api"], ["account"], ["gateway", "api"]], weights) == set()
    assert joint_roots([["promo"]], weights) == {"checkouts", "impressions"}
    assert joint_roots([["api", "impressions"]], weights) == {"checkouts", "impressions"}


def test_a_stated_peak_is_met_on_every_path() -> None:
    """The factor gives each path p50 * exp(sigma * z): the stated quantiles, by construction."""
    stated = LogNormal(p50=6000, p95=7070)
    rng = np.random.default_rng(3)
    peak = rng.gamma(5.0, size=(2000, N))
    season = np.array([False, True, True, True, False])
    # Exact normal scores, so that no sampling error is left.
    normal = np.array([NormalDist().inv_cdf((i + 0.5) / 2000) for i in rng.permutation(2000)])
    factor = stated_peak_factor(peak, stated=stated, season=season, normal=normal)
    assert factor.shape == (2000, 1)
    season_peak = (peak * factor)[:, season].max(axis=1)
    assert season_peak[order_statistic(season_peak, 0.5)] == pytest.approx(6000, rel=1e-3)
    assert season_peak[order_statistic(season_peak, 0.95)] == pytest.approx(7070, rel=1e-3)
