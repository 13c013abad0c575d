from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import pytest
from estates import DAYS, DRAWS, estate, loads

from capmodel.capacity.estate import AUTOSCALED, Limit, surviving_zones
from capmodel.capacity.evaluate import (
    autoscaled_pods,
    database_rates,
    nodes_needed,
    pods_needed,
    pool_pods_per_zone,
    saturation_of,
    usage_of,
    zone_fill,
)
from capmodel.capacity.limits import limits_of
from capmodel.capacity.loads import Loads
from capmodel.errors import InputError
from capmodel.topology import Hold, LoseZones

LOST = Hold(failure=LoseZones(lose_zones=1), quantile=0.5, up_to="utilization_degraded")
HARD = Hold(failure="none", quantile="1-risk", up_to="hard")


def by_key() -> Mapping[tuple[str, str], Limit]:
    return {limit.key: limit for limit in limits_of(estate())}


def test_every_bound_is_a_limit() -> None:
    assert list(by_key()) == [
        ("api", "cpu_cores"),
        ("api", "memory_gib"),
        ("underwriting", "cpu_cores"),
        ("db", "cpu_cores"),
        ("db", "connections"),
        ("bureau", "quota"),
        ("general", "nodes"),
    ]


def test_hard_values_policies_and_tiers() -> None:
    limits = by_key()
    cores = limits["api", "cpu_cores"]
    assert (cores.hard, cores.policy_x, cores.tier) == (200 * 2.0, 0.60, 0)
    # The hottest pod, not the mean, meets the hard value.
    assert cores.saturation.usage(2.0) == pytest.approx(1.1 * cores.curve.usage(2.0))
    assert cores.policy == pytest.approx(240)
    assert (limits["db", "cpu_cores"].hard, limits["db", "cpu_cores"].tier) == (16, 0)
    assert limits["db", "connections"].policy == pytest.approx(0.85 * 4000)
    assert (limits["bureau", "quota"].hard, limits["bureau", "quota"].unit) == (80, "1/s")
    assert limits["general", "nodes"].hard == 24  # today's count: no larger one is declared
    assert math.isnan(limits["underwriting", "cpu_cores"].hard)  # replicas.max is not declared


def test_the_weakest_evidence_is_shown() -> None:
    limits = by_key()
    assert limits["bureau", "quota"].basis == "fitted"  # its calls are
    assert limits["api", "cpu_cores"].basis == "assumed"  # its usage is declared


def test_usage_by_hand_at_one_hundred_checkouts_a_second() -> None:
    """api 400 rps, underwriting 120 rps; reads 400 * 5 + 120 * 12, writes 400 * 2 + 120 * 3."""
    limits, made, load = by_key(), estate(), loads(100.0)

    def usage(*key: str) -> float:
        found = usage_of(limits[key[0], key[1]], made, load)
        assert found.shape == (DRAWS, DAYS)
        assert len(np.unique(found)) == 1
        return float(found[0, 0])

    assert usage("api", "cpu_cores") == pytest.approx(0.05 * 200 + 0.085 * 400)
    # Nothing bounds underwriting: the 11 pods that run idle at 0.05 cores each.
    assert usage("underwriting", "cpu_cores") == pytest.approx(0.102 * 120 + 0.05 * 11)
    assert usage("db", "cpu_cores") == pytest.approx(0.4 + 0.00156 * (3440 + 1160))
    assert usage("bureau", "quota") == pytest.approx(0.7 * 120)
    # api: 400 * 0.085 / (1.2 - 0.05) = 29.6, 30 pods; a quarter more in a rollout: 37.5, 38 of 20.
    # underwriting: 11 pods; 13.75, 14 of 15.
    assert usage("db", "connections") == 38 * 20 + 14 * 15


def test_what_the_hard_value_sees() -> None:
    """The hottest pod for pods; for nodes those of full pods; the usage itself for the rest."""
    limits, made, load = by_key(), estate(), loads(100.0)

    def full(*key: str) -> tuple[float, float]:
        limit = limits[key[0], key[1]]
        usage = usage_of(limit, made, load)
        return float(usage[0, 0]), float(saturation_of(limit, made, load, usage)[0, 0])

    usage, saturated = full("api", "cpu_cores")
    assert saturated == pytest.approx(1.1 * usage)
    for key in (("db", "connections"), ("db", "cpu_cores"), ("bureau", "quota")):
        usage, saturated = full(*key)
        assert saturated == usage
    # api 1.1 * 34 / 1.945 = 19.2 pods, underwriting 6.9: 7 and 3 a zone, 20 cores on nodes of 15.
    # At 60 % they are 10 and 4, 28 cores: 2 nodes a zone in both cases, and 3 at 1.5 times.
    assert full("general", "nodes") == (6, 6)
    load = loads(150.0)
    assert full("general", "nodes") == (9, 6)


def test_the_freeze_takes_the_rollout_away() -> None:
    quiet = estate(surge=np.zeros(DAYS))
    connections = by_key()["db", "connections"]
    assert usage_of(connections, quiet, loads(100.0))[0, 0] == 30 * 20 + 11 * 15


def test_curves_agree_with_usage_at_multiples_of_today() -> None:
    made = estate()
    for limit in limits_of(made):
        for x in (1.0, 2.0, 3.5):
            on_paths = float(usage_of(limit, made, loads(x * 40.0))[0, 0])
            if limit.key != ("underwriting", "cpu_cores"):
                assert limit.curve.usage(x) == pytest.approx(on_paths), limit.key


def test_the_autoscaler_keeps_its_bounds() -> None:
    made = estate()
    pods = autoscaled_pods(made, "api", np.array([[0.0, 400.0, 1e6]]))
    assert pods[0].tolist() == [6, 30, 200]


def test_hold_rows_ask_at_their_own_targets() -> None:
    made, load = estate(), loads(100.0)
    # 12.24 cores of requests and 0.05 a pod: the mean at 60 %, the mean at 85 %, the hottest pod
    # (1.1 times the mean) at the 2 cores it requests.
    asked = [pods_needed(made, load, "underwriting", h)[0, 0] for h in (AUTOSCALED, LOST, HARD)]
    expected = [12.24 / (1.2 - 0.05), 12.24 / (1.7 - 0.05), 1.1 * 12.24 / (2 - 1.1 * 0.05)]
    assert asked == pytest.approx(expected)


def zone_pods(load: Loads, hold: Hold) -> dict[str, float]:
    per_zone = pool_pods_per_zone(estate(), load, "general", hold)
    return {name: float(pods[0, 0]) for name, pods in per_zone.items()}


def test_nodes_by_hand() -> None:
    """Requests per zone: 10 pods of api and 4 of underwriting, 2 cores and 4 GiB each."""
    made, load = estate(), loads(100.0)
    assert zone_pods(load, AUTOSCALED) == {"api": 10, "underwriting": 4}
    # 14 pods of 2 cores on nodes of 15 usable cores: 28 / 15, that is 2 in each of 3 zones.
    assert nodes_needed(made, load, "general", AUTOSCALED)[0, 0] == 6
    # One zone lost at 85 %: api 34 / 1.65 = 20.6 and underwriting 7.4 pods on two zones.
    assert zone_pods(load, LOST) == {"api": 11, "underwriting": 4}
    assert nodes_needed(made, load, "general", LOST)[0, 0] == 3 * 2  # 30 cores fill 2 nodes
    assert zone_fill(made, load, "general", LOST)[0, 0] == pytest.approx(30 / 15)


def test_declared_minima_stand_in_every_zone() -> None:
    assert zone_pods(loads(0.001), AUTOSCALED) == {"api": 2, "underwriting": 1}


def test_all_zones_cannot_be_lost() -> None:
    hold = Hold(failure=LoseZones(lose_zones=3), quantile=0.5, up_to="hard")
    assert surviving_zones(3, LOST, "general") == 2
    with pytest.raises(InputError, match="more zones than may be lost"):
        surviving_zones(3, hold, "general")


def test_readers_take_their_share_of_the_reads_only() -> None:
    made = estate(readers=2, reads_on_readers=0.75)
    reads, writes = database_rates(made, "db", {"api": 400.0, "underwriting": 120.0})
    assert (reads, writes) == (pytest.approx(0.25 * 3440), pytest.approx(1160))
