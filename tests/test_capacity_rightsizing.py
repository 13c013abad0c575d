"""Right-sizing: hand-worked pods, brute force on draws, planted truth of another form."""

from __future__ import annotations

import datetime as dt
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from capmodel.capacity import rightsizing
from capmodel.capacity.lookback import beside
from capmodel.capacity.podsizes import path_quantile
from capmodel.capacity.replicas import ceil_units, zone_cover
from capmodel.capacity.rightsizing import (
    PodsToday,
    RightSize,
    ServicePods,
    SizingRules,
    Weights,
    right_size,
    right_size_all,
)
from capmodel.capacity.use import PodUse, ServiceUse, pod_uses, targets_of
from capmodel.errors import InputError
from capmodel.schema import order_statistic, rng_for
from capmodel.sources.recommendations import COLUMNS, parse_quantity, read_krr_csv
from capmodel.topology import Hold, LoseZones, Policy
from capmodel.usage import declared_usage

POLICY = Policy()
PRICES = Weights(per_core=0.03, per_gib=0.004)
TWO_CORES = SizingRules(cpu_step_cores=2, cpu_most_cores=2)
CORES_ONLY = Weights(per_core=1, per_gib=0)
TODAY = PodsToday(pods=40, cpu_cores=2, memory_gib=4)


def lines(
    cpu: tuple[float, float] = (0.05, 0.102), memory: tuple[float, float] = (1.0, 0.2)
) -> tuple[PodUse, ...]:
    """Return declared lines (idle, per request) of a pod's cores and GiB."""
    return tuple(
        use
        for resource, (idle, slope) in (("cpu_cores", cpu), ("memory_gib", memory))
        for use in pod_uses(
            declared_usage("api", resource, {"per_pod": idle, "per_request": slope}),
            request=1.0,
            draws=1,
            seed=1,
        )
    )


def api(**changes: Any) -> ServicePods:
    made = ServicePods(
        name="api",
        uses=lines(),
        season_rps=np.array([120.0]),
        quiet_rps=np.array([40.0]),
        today=TODAY,
        zones=3,
        season_day=dt.date(2026, 11, 27),
    )
    return replace(made, **changes)


def sized(
    service: ServicePods,
    *,
    rules: SizingRules = TWO_CORES,
    weights: Weights = PRICES,
    policy: Policy = POLICY,
) -> RightSize:
    return right_size(service, policy=policy, rules=rules, weights=weights)


def test_story_a4_twelve_pods_and_eighteen_without_a_degraded_target() -> None:
    # 120 rps, 0.102 core-seconds, 0.05 idle, 2 cores, one of three zones lost: at 0.85 eight pods
    # must be left, 12 in all; at 0.60 eleven, 18 in all.
    result = sized(api())
    assert result.season is not None
    assert (result.season.replicas, result.season.cores) == (12, 24)
    assert result.season.binding == "P50, lose 1 zone, up to utilization_degraded"
    one_target = sized(api(), policy=Policy(utilization_degraded=None))
    assert one_target.season is not None
    assert one_target.season.replicas == 18


def test_the_memory_request_by_hand() -> None:
    # A pod of the zones left at 0.85 has (1.7 - 0.05) / 0.102 = 16.176 rps: 1 + 0.2 · 16.176 =
    # 4.2353 GiB. Times 1.15: 4.871; the policy's row asks 4.2353 / 0.85 = 4.983: 5 GiB.
    result = sized(api())
    assert result.season is not None
    assert result.season.least_gib == pytest.approx((1 + 0.2 * 1.65 / 0.102) / 0.85)
    assert result.memory_request_gib == 5.0
    assert result.season.memory_gib == 60.0


def test_what_the_season_and_the_quiet_free_against_today() -> None:
    result = sized(api())
    season, quiet = result.season, result.quiet
    assert season is not None
    assert quiet is not None
    # Today 80 cores and 160 GiB; the season 24 and 60; in quiet 40 rps: 3 pods left of 3 zones, 6.
    assert (season.freed_cores, season.freed_gib) == (56, 100)
    assert season.freed_weight == pytest.approx(56 * 0.03 + 100 * 0.004)
    assert (quiet.replicas, quiet.cores, quiet.memory_gib) == (6, 12, 30)
    assert (quiet.freed_cores, quiet.freed_gib) == (68, 130)
    assert (result.status, result.reason, result.basis) == ("GREEN", "", "assumed")


def test_missing_is_negative() -> None:
    result = sized(api(today=PodsToday(pods=6, cpu_cores=2, memory_gib=4)))
    assert result.season is not None
    assert (result.season.freed_cores, result.season.freed_gib) == (-12, -36)


def test_the_least_request_keeps_the_policy_and_less_breaks_it() -> None:
    # Eight pods left of twelve: 0.05 + 0.102 · 15 = 1.58 cores at 0.85.
    result = sized(api())
    assert result.season is not None
    assert result.paths is not None
    assert result.season.least_cores == pytest.approx(1.58 / 0.85)
    just = np.array([1.58 / 0.85, 1.58 / 0.85 - 0.01])
    assert result.paths.pods(just).whole.tolist() == [12, 15]


def test_request_and_percent_belong_together() -> None:
    # The autoscaler rests at 12.24 / (0.6 · 2 - 0.05) pods: what the utilization row asks.
    result = sized(api())
    assert result.season is not None
    assert result.hpa_percent == 60
    assert result.season.settled_pods == pytest.approx(12.24 / 1.15)
    own = sized(api(cpu_target=0.5))
    assert own.hpa_percent == 50
    assert own.season is not None
    assert own.season.settled_pods == pytest.approx(12.24 / 0.95)


def test_larger_pods_win_where_each_brings_idle_usage() -> None:
    # Half a core idle per pod: small pods are mostly idle. Cores alone count here.
    idle = lines(cpu=(0.5, 0.102))
    rules = SizingRules(cpu_step_cores=1, cpu_most_cores=4)
    result = sized(api(uses=idle), rules=rules, weights=CORES_ONLY)
    assert result.cpu_request_cores > 2
    assert result.season is not None
    totals = [
        zone_cover(12.24 / (0.85 * size - 0.5), zones=3, lost=1) * size for size in (1, 2, 3, 4)
    ]
    util = [ceil_units(12.24 / (0.6 * size - 0.5)) * size for size in (1, 2, 3, 4)]
    best = min(max(float(a), float(b)) for a, b in zip(totals, util, strict=True))
    assert result.season.cores == best


def test_a_saving_too_small_leaves_todays_request() -> None:
    rules = SizingRules(cpu_step_cores=0.25, cpu_most_cores=4, worth=0.5)
    assert sized(api(), rules=rules).cpu_request_cores == 2
    free = sized(api(), rules=rules.model_copy(update={"worth": 0.0}))
    kept = sized(api(), rules=rules)
    assert free.season is not None
    assert kept.season is not None
    assert free.season.freed_weight >= kept.season.freed_weight


def test_pods_larger_than_any_measured_are_not_recommended() -> None:
    seen = tuple(replace(use, load_per_pod_max=12.0) for use in lines(cpu=(0.5, 0.102)))
    rules = SizingRules(cpu_step_cores=1, cpu_most_cores=8, reach_x=1.5)
    result = sized(api(uses=seen), rules=rules, weights=CORES_ONLY)
    # At 0.6 a pod of r cores takes (0.6 r - 0.5) / 0.102 rps: 18 at 3.89 cores.
    assert result.cpu_request_cores <= 3
    assert result.status == "GREEN"
    far = sized(api(uses=tuple(replace(use, load_per_pod_max=2.0) for use in seen)), rules=rules)
    assert (far.cpu_request_cores, far.status) == (2.0, "AMBER")
    assert "times the load that any was measured at" in far.reason


def test_the_minimum_binds_and_memory_follows_the_load_that_pods_then_see() -> None:
    result = sized(api(season_rps=np.array([3.0]), quiet_rps=np.array([1.0]), minimum=2))
    assert result.season is not None
    assert (result.season.replicas, result.season.binding) == (3, "minimum")  # one per zone
    # Two pods are left of three: 1.5 rps each, (1 + 0.3) / 0.85 against 1.15 · 1.3.
    assert result.season.least_gib == pytest.approx(1.3 / 0.85)


def test_more_pods_than_the_maximum_is_red_with_the_number() -> None:
    result = sized(api(maximum=10))
    assert result.status == "RED"
    assert "takes 12 pods, replicas.max is 10" in result.reason
    assert result.season is not None
    larger = sized(api(maximum=10), rules=SizingRules(cpu_step_cores=2, cpu_most_cores=4))
    assert (larger.cpu_request_cores, larger.status) == (4.0, "GREEN")


def test_no_allowed_pod_is_red_with_the_limit_that_binds() -> None:
    full = sized(api(uses=lines(cpu=(3.0, 0.1))))
    assert full.status == "RED"
    assert "idle pod fills it" in full.reason
    assert full.season is None
    big = sized(api(), rules=TWO_CORES.model_copy(update={"memory_most_gib": 4.0}))
    assert big.status == "RED"
    assert "a pod needs 4.98 GiB, 4 are allowed" in big.reason


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"uses": lines()[:1]}, "no usage of memory_gib"),
        ({"uses": ()}, "no usage of cpu_cores"),
        (
            {"uses": (replace(lines()[0], follows_load=False), lines()[1])},
            "cpu_cores follow something else than the load",
        ),
        (
            {"uses": (replace(lines()[0], per_request_draws=np.array([[np.nan]])), lines()[1])},
            "the usage of cpu_cores is no number on some draws",
        ),
        ({"today": None}, "today's pods and requests are not known"),
        ({"season_rps": np.array([np.nan])}, "no load of the season"),
        ({"quiet_rps": np.array([])}, "no load of the quiet"),
    ],
)
def test_without_evidence_nothing_is_recommended(changes: dict[str, Any], reason: str) -> None:
    result = sized(api(**changes))
    assert result.status == "GREY"
    assert reason in result.reason
    assert math.isnan(result.cpu_request_cores)
    assert result.season is None
    rows = rightsizing.rightsizing_rows([result])
    assert [row["status"] for row in rows] == ["GREY", "GREY"]
    assert math.isnan(rows[0]["replicas"])


@pytest.mark.parametrize(
    ("changes", "where"),
    [
        ({"imbalance_x": 0.9}, "api.imbalance_x"),
        ({"cpu_target": 60.0}, "api.cpu_target"),
        ({"season_rps": np.array([-1.0])}, "api.season_rps"),
        ({"quiet_rps": np.array([1.0, 2.0])}, "api.quiet_rps"),
        ({"today": PodsToday(1, 0.0, -1.0)}, "api.today.cpu_cores"),
        ({"scenario_weights": np.array([0.5, 0.5])}, "api.scenario_weights"),
        ({"minimum": 5, "maximum": 4}, "api.maximum"),
    ],
)
def test_bad_numbers_name_their_place(changes: dict[str, Any], where: str) -> None:
    with pytest.raises(InputError) as error:
        sized(api(**changes))
    assert error.value.problems[0].where == where


def test_one_bad_service_fails_no_other() -> None:
    results = right_size_all(
        [api(name="bad", imbalance_x=0.5), api(), api(name="alone", zones=1)],
        policy=POLICY, rules=TWO_CORES, weights=PRICES,
    )  # fmt: skip
    assert [result.status for result in results] == ["GREY", "GREEN", "GREY"]
    assert "bad.imbalance_x" in results[0].reason
    assert "at least one zone left" in results[2].reason


def test_what_weakens_a_recommendation_is_said() -> None:
    throttled = sized(api(today=replace(TODAY, cpu_limit_cores=2, throttled_share=0.12)))
    assert throttled.status == "AMBER"
    assert "throttled in 12% of the periods today" in throttled.reason
    unmeasured = sized(api(today=replace(TODAY, cpu_limit_cores=2)))
    assert "not measured" in unmeasured.reason
    fine = sized(api(today=replace(TODAY, cpu_limit_cores=2, throttled_share=0.01)))
    assert fine.status == "GREEN"
    hot = sized(api(imbalance_x=1.6))
    assert "hottest pod at 106% of its request" in hot.reason
    leak = sized(api(uses=(lines()[0], replace(lines()[1], follows_load=False))))
    assert "memory follows something else" in leak.reason
    assert leak.memory_request_gib == 5.0


def test_the_burst_of_a_start_is_apart_from_the_request() -> None:
    without = sized(api())
    slow = sized(api(startup_cores=4.0, node_free_cores=1.0))
    assert slow.cpu_request_cores == without.cpu_request_cores
    assert slow.startup is not None
    assert slow.startup.slower_x == pytest.approx(4 / 3)
    assert slow.status == "AMBER"
    assert "1.3 times longer" in slow.reason
    assert sized(api(startup_cores=4.0, node_free_cores=2.0)).status == "GREEN"


def test_the_largest_memory_seen_is_a_floor() -> None:
    assert sized(api(memory_seen_gib=6.0)).memory_request_gib == 7.0  # 6 · 1.15 = 6.9
    assert sized(api(memory_seen_gib=1.0)).memory_request_gib == 5.0


def drawn(draws: int = 400) -> ServicePods:
    """Return a service of fitted usage on lognormal seasons."""
    rng = np.random.default_rng(5)
    season = 300 * np.exp(0.3 * rng.standard_normal((2, draws)) + np.array([[0.0], [0.2]]))
    fitted = tuple(
        replace(
            use,
            per_request_draws=use.per_request * np.exp(0.1 * rng.standard_normal((draws, 1))),
            per_pod_draws=np.full((draws, 1), use.per_pod),
            widening=rng.standard_normal((draws, 1)),
            load_per_pod_max=9.0,
            basis="fitted",
        )
        for use in lines()
    )
    return api(
        uses=fitted, season_rps=season, quiet_rps=season / 4, imbalance_x=1.2, minimum=6,
        scenario_weights=np.array([0.7, 0.3]),
    )  # fmt: skip


def test_brute_force_over_paths_finds_the_same_pods() -> None:
    # Every path is checked by itself: how full is the hottest pod, the mean, what is left?
    service = drawn()
    service = replace(
        service, uses=tuple(replace(use, load_per_pod_max=math.inf) for use in service.uses)
    )
    result = sized(service)
    assert result.season is not None
    weights = np.repeat(np.array([0.7, 0.3]) / 400, 400)
    slope = np.tile(service.uses[0].per_request_draws.ravel(), 2)
    load = np.ravel(service.season_rps)

    def holds(pods: float) -> bool:
        left = pods - math.ceil(pods / 3)
        kept = [
            (1.2 * (0.05 + slope * load / pods) <= 2.0, 0.95),
            (0.05 + slope * load / pods <= 0.6 * 2.0, 0.5),
            (0.05 + slope * load / left <= 0.85 * 2.0, 0.5),
        ]
        return all(float(weights[ok].sum()) >= q - 1e-12 for ok, q in kept)

    assert holds(result.season.replicas)
    assert not holds(result.season.replicas - 1)


def test_the_estate_finds_the_recommendation_sufficient() -> None:
    # The plan's own arithmetic, given the new requests, asks no more pods than recommended.
    service = drawn()
    result = sized(service, rules=SizingRules(cpu_step_cores=0.5, cpu_most_cores=3))
    assert result.season is not None
    request = {"cpu_cores": result.cpu_request_cores, "memory_gib": result.memory_request_gib}
    planned = ServiceUse(
        name="api",
        uses=tuple(replace(use, request=request[use.resource]) for use in service.uses),
        imbalance_x=1.2, today_rps=100.0, today_pods=40, minimum=6, maximum=None,
    )  # fmt: skip
    load = np.asarray(service.season_rps)
    weights = np.repeat(np.array([0.7, 0.3]) / 400, 400)
    asked = []
    for hold in POLICY.hold:
        need = np.ravel(
            [
                planned.pods(
                    row[:, None], targets=targets_of(hold, POLICY), hard=hold.up_to == "hard"
                )
                for row in load
            ]
        )
        q = 0.95 if isinstance(hold.quantile, str) else hold.quantile
        value = float(need[order_statistic(need, q, weights)])
        cover = zone_cover(value, zones=3, lost=1) if hold.zones_lost else ceil_units(value)
        asked.append(float(cover))
    assert max(asked) <= result.season.replicas
    assert max(asked) >= result.season.replicas - 3


def test_a_line_through_a_bent_truth_holds_the_target_where_it_was_seen() -> None:
    # The pod's true CPU is convex; a straight line through 4 to 12 rps is all that is known.
    def truth(x: np.ndarray) -> np.ndarray:
        return 0.05 + 0.085 * x + 0.0012 * x**2

    seen = np.linspace(4, 12, 200)
    slope, idle = np.polyfit(seen, truth(seen), 1)
    fitted = (
        replace(
            lines()[0],
            per_request=float(slope), per_request_draws=np.array([[slope]]),
            per_pod=float(idle), per_pod_draws=np.array([[idle]]),
            load_per_pod_max=12.0,
        ),
        lines()[1],
    )  # fmt: skip
    result = sized(api(uses=fitted, season_rps=np.array([2000.0]), zones=None))
    assert result.season is not None
    filled = float(truth(np.array([2000.0 / result.season.replicas]))[0]) / 2.0
    assert filled == pytest.approx(0.60, abs=0.015)


def test_p99_memory_of_planted_draws_fits_the_request() -> None:
    service = drawn()
    result = sized(service)
    assert result.season is not None
    slope = np.tile(service.uses[1].per_request_draws.ravel(), 2)
    hot = 1.2 * (1.0 + slope * np.ravel(service.season_rps) / result.season.replicas)
    weights = np.repeat(np.array([0.7, 0.3]) / 400, 400)
    assert float(weights[hot <= result.memory_request_gib].sum()) >= 0.99


def test_losing_two_zones_leaves_enough_whatever_zones_go() -> None:
    policy = Policy(
        hold=(
            Hold(quantile="1-risk", up_to="hard"),
            Hold(failure=LoseZones(lose_zones=2), quantile=0.5, up_to="utilization_degraded"),
        )
    )
    result = sized(api(zones=4, season_rps=np.array([300.0])), policy=policy)
    assert result.season is not None
    n = int(result.season.replicas)
    fullest = sorted([n // 4 + (k < n % 4) for k in range(4)])
    assert 0.05 + 0.102 * 300 / sum(fullest[:2]) <= 0.85 * 2


RATES = st.floats(0.5, 5000)
FACTORS = st.floats(1.0, 3.0)
IDLE = st.floats(0.0, 0.4)
FREE = SizingRules(cpu_step_cores=0.5, cpu_most_cores=4, worth=0.0)


@given(RATES, FACTORS, IDLE)
def test_more_load_never_takes_fewer_cores(load: float, more: float, idle: float) -> None:
    totals = []
    for rate in (load, load * more):
        service = api(uses=lines(cpu=(idle, 0.1)), season_rps=np.array([rate]))
        result = sized(service, rules=FREE, weights=CORES_ONLY)
        assert result.season is not None
        totals.append(result.season.cores)
        fixed = sized(service)
        assert fixed.season is not None
        totals.append(fixed.season.cores)
    assert totals[2] >= totals[0] - 1e-9
    assert totals[3] >= totals[1] - 1e-9


@given(RATES, st.floats(1.0, 2.0), st.floats(1.0, 1.5))
def test_more_imbalance_never_takes_fewer_cores(load: float, imbalance: float, more: float) -> None:
    sized_twice = [
        sized(api(season_rps=np.array([load]), imbalance_x=x), rules=FREE, weights=CORES_ONLY)
        for x in (imbalance, imbalance * more)
    ]
    totals = [result.season.cores for result in sized_twice if result.season]
    assert totals[1] >= totals[0] - 1e-9


@given(RATES, st.floats(0.02, 0.98))
def test_the_season_never_gets_less_than_its_peak_needs(load: float, q: float) -> None:
    policy = Policy(hold=(Hold(quantile=q, up_to="utilization"),))
    rng = rng_for(3, "seasons")
    seasons = load * np.exp(0.4 * rng.standard_normal(200))
    result = sized(
        api(season_rps=seasons, quiet_rps=seasons / 5, zones=None), rules=FREE, policy=policy
    )
    assert result.season is not None
    per_pod = 0.05 + 0.102 * seasons / result.season.replicas
    full = per_pod / result.cpu_request_cores
    assert float(np.mean(full <= 0.6 + 1e-9)) >= q - 1e-9
    assert result.cpu_request_cores >= result.season.least_cores - 1e-9
    assert result.quiet is not None
    assert result.quiet.replicas <= result.season.replicas


def test_quantiles_of_many_rows_are_those_of_one() -> None:
    values = np.random.default_rng(2).lognormal(size=(5, 40))
    weights = np.random.default_rng(3).random(40)
    for q in (0.01, 0.5, 0.95, 0.99):
        for w in (None, weights):
            expected = [row[order_statistic(row, q, w)] for row in values]
            assert path_quantile(values, q, w).tolist() == expected


def test_draws_that_do_not_match_are_refused() -> None:
    uses = (replace(lines()[0], per_request_draws=np.full((3, 1), 0.1)), lines()[1])
    with pytest.raises(InputError, match="usage draws"):
        sized(api(uses=uses, season_rps=np.full(4, 9.0), quiet_rps=np.full(4, 3.0)))


def theirs(*rows: dict[str, Any]) -> pd.DataFrame:
    """Return a frame as the readers make it."""
    base = {
        "cluster": "", "namespace": "shop", "kind": "Deployment", "service": "api",
        "container": "app", "resource": "cpu_cores", "unit": "cores", "source": "krr",
        "lookback_days": 14.0, "reason": "",
    }  # fmt: skip
    return pd.DataFrame([{**base, **row} for row in rows], columns=list(COLUMNS))


def test_a_look_back_that_would_starve_the_season_says_how_much_and_when() -> None:
    found = beside([sized(api(maximum=60))], theirs({"recommended_request": 0.5}))
    (row,) = found.rows
    assert row.verdict == "too small"
    # Ours: 12 pods of at least 1.58 / 0.85 cores. At half a core: 12.24 / (0.3 - 0.05) = 48.96
    # pods, and 12.24 / (0.425 - 0.05) = 32.64 left of 51.
    assert row.short == pytest.approx(12 * (1.58 / 0.85 - 0.5))
    assert row.pods_at_theirs == 51
    assert row.text == (
        "KRR (14 days back) shrinks the CPU request of 2.00 cores to 0.50, but the season's peak "
        "on 2026-11-27 takes 1.86 cores with 12 pods: 16.3 cores missing; at this request it takes "
        "51 pods, 39 more"
    )
    capped = beside([sized(api(maximum=20))], theirs({"recommended_request": 0.5})).rows[0]
    assert "above replicas.max of 20" in capped.text


def test_a_request_that_idle_usage_fills_has_no_number_of_pods() -> None:
    row = beside([sized(api())], theirs({"recommended_request": 0.05})).rows[0]
    assert math.isinf(row.pods_at_theirs)
    assert "no number of pods" in row.text


def test_both_agree_and_both_differ_upwards() -> None:
    ours = [sized(api())]
    agree = beside(ours, theirs({"recommended_request": 1.9})).rows[0]
    assert (agree.verdict, agree.short) == ("agrees", 0.0)
    assert "agree: 1.90 cores" in agree.text
    larger = beside(ours, theirs({"recommended_request": 3.0})).rows[0]
    assert larger.verdict == "larger"
    assert "ours is 2.00" in larger.text


def test_containers_of_a_pod_add_up_and_one_silent_container_leaves_the_sum_unknown() -> None:
    two = theirs({"recommended_request": 1.5}, {"container": "proxy", "recommended_request": 0.4})
    row = beside([sized(api())], two).rows[0]
    assert (row.theirs, row.verdict) == (pytest.approx(1.9), "agrees")
    silent = theirs(
        {"recommended_request": 1.5}, {"container": "proxy", "reason": "Not enough data"}
    )
    unknown = beside([sized(api())], silent).rows[0]
    assert (unknown.verdict, math.isnan(unknown.theirs)) == ("unknown", True)
    assert "proxy Not enough data" in unknown.text


def test_memory_below_the_season_kills_pods() -> None:
    gib = parse_quantity("1288490188.8") / 2**30  # KRR's 1.2 GiB
    row = beside(
        [sized(api())],
        theirs({"resource": "memory_gib", "unit": "GiB", "recommended_request": gib}),
    ).rows[0]
    assert row.verdict == "too small"
    assert row.least == pytest.approx(4.9827, abs=1e-4)
    assert "pods are killed instead of slowed" in row.text


def test_names_without_a_partner_are_listed() -> None:
    frame = theirs(
        {"recommended_request": 1.9},
        {"service": "apii", "recommended_request": 1.0},
        {"service": "cron", "kind": "CronJob", "recommended_request": 0.1},
    )
    found = beside([sized(api()), sized(api(name="cart"))], frame)
    assert [row.service for row in found.rows] == ["api"]
    assert [(finding.code, finding.message) for finding in found.notes] == [
        (
            "unmatched_workload",
            "krr: CronJob shop/cron matches no service. Name it in names= to compare it.",
        ),
        (
            "unmatched_workload",
            (
                'krr: Deployment shop/apii matches no service. Did you mean "api"? Name it in '
                "names= to compare it."
            ),
        ),
        ("no_recommendation", "cart: no tool recommends anything"),
    ]


def test_one_name_in_two_namespaces_is_not_added_up() -> None:
    frame = theirs(
        {"recommended_request": 1.9}, {"namespace": "staging", "recommended_request": 0.1}
    )
    found = beside([sized(api())], frame)
    assert found.rows == ()
    assert "ambiguous_workload" in found.notes.codes
    named = beside([sized(api())], frame, names={"shop/api": "api"})
    assert [row.theirs for row in named.rows] == [1.9]
    assert named.notes.codes == ("unmatched_workload",)
    both = beside([sized(api())], frame, names={"staging/api": "api", "shop/api": "api"})
    assert both.rows == ()
    other = frame.assign(service=["api", "api-next"])
    assert len(beside([sized(api())], other).rows) == 1
    mapped = beside([sized(api(name="front"))], other, names={"shop/api": "front"})
    assert mapped.rows[0].service == "front"
    with pytest.raises(InputError, match='Did you mean "front"'):
        beside([sized(api(name="front"))], other, names={"shop/api": "frnt"})


def test_two_tools_stand_beside_each_other() -> None:
    frame = theirs(
        {"recommended_request": 0.5},
        {"source": "vpa", "lookback_days": 8.0, "recommended_request": 1.9},
    )
    rows = beside([sized(api())], frame).rows
    assert [(row.source, row.verdict) for row in rows] == [("krr", "too small"), ("vpa", "agrees")]


def test_a_service_without_our_recommendation_is_unknown_with_the_reason() -> None:
    row = beside([sized(api(today=None))], theirs({"recommended_request": 0.5})).rows[0]
    assert row.verdict == "unknown"
    assert "ours: none (today's pods and requests are not known)" in row.text


def test_from_the_tools_file_to_the_sentence(tmp_path: Path) -> None:
    parts = ("CPU Requests", "CPU Limits", "Memory Requests", "Memory Limits")
    columns = [f"{part} {when}" for part in parts for when in ("Current", "Recommended")]
    header = ["Namespace", "Name", "Pods", "Old Pods", "Type", "Container", *columns]
    cells = ["shop", "api", "40", "0", "Deployment", "app", "2", "0.5", "unset", "unset"]
    file = tmp_path / "krr.csv"
    file.write_text(",".join(header) + "\n" + ",".join([*cells, *["5Gi"] * 4]) + "\n")
    read = read_krr_csv(file, lookback_days=14)
    found = {row.resource: row.verdict for row in beside([sized(api())], read.frame).rows}
    assert found == {"cpu_cores": "too small", "memory_gib": "agrees"}


def test_a_frame_of_something_else_is_refused() -> None:
    with pytest.raises(InputError, match="read_krr_csv"):
        beside([sized(api())], pd.DataFrame({"service": ["api"]}))


def test_rows_carry_both_seasons_and_their_units() -> None:
    rows = rightsizing.rightsizing_rows([sized(api())])
    assert [row["season"] for row in rows] == ["season", "quiet"]
    assert rows[0]["day"] == dt.date(2026, 11, 27)
    assert rows[1]["day"] is None
    assert (rows[0]["replicas"], rows[1]["replicas"]) == (12, 6)
    assert rows[0]["cpu_request_cores"] == rows[1]["cpu_request_cores"] == 2
    assert rows[0]["freed_cores"] == 56


def test_weights_and_rules_are_checked() -> None:
    with pytest.raises(InputError, match=r"weights\.per_core"):
        Weights(per_core=0, per_gib=1)
    with pytest.raises(ValueError, match="memory_margin_x"):
        SizingRules(memory_margin_x=0.9)
