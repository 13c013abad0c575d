from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from capmodel.errors import InputError
from capmodel.topology import Hold, LoseZones, Policy, Risk, Topology

# The call graph of the reference estate: two ways from checkouts to account-service.
ESTATE = {
    "drivers": {"checkouts": {"today_per_min": 2000}},
    "services": {
        "account-service": {"calls": {"edge-gateway": 0.2, "checkout-api": 0.9}, "tier": 2},
        "checkout-api": {"calls": {"checkouts": 4}, "tier": 0, "pool": "general"},
        "edge-gateway": {"calls": {"checkouts": 14}, "tier": 1, "pool": "general"},
        "batch": {"today_rps": 5, "tier": 3},
    },
    "databases": {
        "core-db": {"class": "db.r6g.4xlarge", "used_by": {"checkout-api": {"reads": 5}}},
        "account-db": {"class": "db.r6g.xlarge", "used_by": {"account-service": {}, "batch": {}}},
    },
    "externals": {
        "bureau": {"calls": {"checkout-api": 0.3}, "limit_rps": 80},
        "mail": {"calls": {"batch": 1}, "limit_rps": 10, "tier": 1},
    },
    "pools": {"general": {"types": ["m6i.4xlarge"]}, "spare": {"types": ["m6i.large"]}},
}


def estate() -> Topology:
    return Topology.model_validate(ESTATE)


def refused(document: dict[str, object]) -> InputError:
    with pytest.raises(InputError) as caught:
        Topology.model_validate(document)
    return caught.value


def test_callers_stand_before_the_called() -> None:
    topology = estate()
    order = topology.order
    assert set(order) == {
        "checkouts", "account-service", "checkout-api", "edge-gateway", "batch", "bureau", "mail",
    }  # fmt: skip
    for node in order:
        for caller in topology.calls_of(node):
            assert order.index(caller) < order.index(node)


@given(data=st.data(), n=st.integers(1, 9))
def test_any_graph_without_a_cycle_is_ordered(data: st.DataObject, n: int) -> None:
    """Edges go from lower to higher numbers; the services are declared in any order."""
    services: dict[str, dict[str, object]] = {}
    for i in data.draw(st.permutations(range(n))):
        callers = data.draw(st.sets(st.integers(0, i - 1)) if i else st.just(set()))
        services[f"s{i}"] = {"calls": {f"s{c}": 1.0 for c in callers} or {"d": 2.0}}
    topology = Topology.model_validate({"drivers": {"d": {}}, "services": services})
    order = topology.order
    assert sorted(order) == sorted(["d", *services])
    assert all(
        order.index(c) < order.index(node) for node in order for c in topology.calls_of(node)
    )


def test_roots_are_what_nothing_calls() -> None:
    assert estate().roots == ("checkouts", "batch")


def test_paths_lead_from_each_root() -> None:
    paths = estate().paths_to("account-service")
    assert set(paths) == {
        ("checkouts", "edge-gateway", "account-service"),
        ("checkouts", "checkout-api", "account-service"),
    }
    assert estate().paths_to("bureau") == (("checkouts", "checkout-api", "bureau"),)
    assert estate().paths_to("batch") == (("batch",),)


@pytest.mark.parametrize(
    ("node", "tier"),
    [
        ("checkout-api", 0),
        ("core-db", 0),  # its only caller's
        ("account-db", 2),  # the stricter of 2 and 3
        ("bureau", 0),
        ("mail", 1),  # declared, although its caller is of tier 3
        ("general", 0),
        ("spare", 1),
    ],
)
def test_tier_is_declared_or_the_strictest_users(node: str, tier: int) -> None:
    assert estate().tier_of(node) == tier


def test_a_cycle_is_named_in_the_direction_of_the_calls() -> None:
    error = refused(
        {
            "drivers": {"d": {}},
            "services": {
                "a": {"calls": {"d": 1, "c": 1}},
                "b": {"calls": {"a": 1}},
                "c": {"calls": {"b": 1}},
            },
        }
    )
    assert error.problems[0].got == "a cycle: a -> b -> c -> a"


def test_a_service_that_calls_itself_is_a_cycle() -> None:
    error = refused({"services": {"a": {"calls": {"a": 0.5}}}})
    assert error.problems[0].got == "a cycle: a -> a"


def test_unknown_names_are_all_reported_with_the_nearest() -> None:
    error = refused(
        {
            "drivers": {"checkouts": {}},
            "services": {
                "api": {"calls": {"checkout": 4}, "pool": "generl"},
                "far": {"calls": {"zebra": 1}},
            },
            "databases": {"db": {"class": "db.r6g.large", "used_by": {"apis": {}}}},
            "pools": {"general": {"types": ["m6i.large"]}},
        }
    )
    found = {p.where: (p.got, p.do) for p in error.problems}
    assert found == {
        "api.calls": ('unknown caller "checkout"', 'Did you mean "checkouts"?'),
        "far.calls": ('unknown caller "zebra"', "Declare zebra or remove the reference."),
        "services.api.pool": ('unknown pool "generl"', 'Did you mean "general"?'),
        "databases.db.used_by": ('unknown service "apis"', 'Did you mean "api"?'),
    }


def test_a_driver_follows_drivers_only() -> None:
    error = refused({"drivers": {"d": {"calls": {"api": 2}}}, "services": {"api": {"calls": {}}}})
    assert error.problems[0].got == 'unknown caller "api"'


def test_names_are_unique_over_the_whole_file() -> None:
    error = refused(
        {
            "drivers": {"api": {}},
            "services": {"api": {"calls": {"api": 1}}},
            "pools": {"api": {"types": ["m6i.large"]}},
        }
    )
    assert [(p.where, p.got) for p in error.problems] == [
        ("services.api", "a name that drivers.api already has"),
        ("pools.api", "a name that drivers.api already has"),
    ]


@pytest.mark.parametrize(
    "service",
    [
        {"replicas": {"min": 5, "max": 4}},
        {"imbalance_x": 0.9},
        {"tier": 4},
        {"pod": {"cpu_cores": 0, "memory_gib": 1}},
        {"calls": {"d": -1}},
        {"calls": {"d": float("inf")}},
        {"replcas": {}},
    ],
)
def test_values_out_of_range_are_refused(service: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Topology.model_validate({"drivers": {"d": {}}, "services": {"api": service}})


def test_replace_validates_again_and_leaves_the_original() -> None:
    topology = estate()
    changed = topology.replace(policy=Policy(risk=Risk(tier_0=0.01)))
    assert (changed.policy.risk.of(0), topology.policy.risk.of(0)) == (0.01, 0.02)
    assert (changed.policy.risk.of(1), changed.policy.risk.of(3)) == (0.05, 0.05)
    assert changed.databases["core-db"].db_class == "db.r6g.4xlarge"  # under its alias
    with pytest.raises(InputError, match="unknown caller"):
        topology.replace(drivers={})
    with pytest.raises(ValidationError):
        topology.replace(driver={})


def test_a_topology_is_frozen() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        estate().drivers = {}  # type: ignore[misc]


def test_hold_rows_say_what_is_lost() -> None:
    none, median, failure = Policy().hold
    assert (none.zones_lost, none.quantile, none.up_to) == (0, "1-risk", "hard")
    assert (median.zones_lost, median.quantile, median.up_to) == (0, 0.5, "utilization")
    assert (failure.zones_lost, failure.up_to) == (1, "utilization_degraded")
    assert Hold(failure=LoseZones(lose_zones=2), quantile=0.5, up_to="hard").zones_lost == 2


def test_a_file_is_read_with_lines_in_its_errors(tmp_path: Path) -> None:
    path = tmp_path / "topology.yaml"
    text = (
        "drivers:\n  checkouts: {today_per_min: 4800}\nservices:\n  api: {calls: {checkouts: 4}}\n"
    )
    path.write_text(text)
    assert Topology.read(path).order == ("checkouts", "api")
    path.write_text(text.replace("calls", "cals"))
    with pytest.raises(InputError, match=r'topology.yaml:4 (.|\n)*Did you mean "calls"'):
        Topology.read(path)


def test_a_tier_without_any_promise_is_refused() -> None:
    row = {"failure": "none", "quantile": 0.5, "up_to": "utilization", "tiers": [0]}
    with pytest.raises(InputError) as refused:
        Topology.model_validate(
            {
                "drivers": {"d": {"today_per_min": 60}},
                "services": {
                    "a": {"calls": {"d": 1}, "tier": 0},
                    "b": {"calls": {"d": 1}, "tier": 2},
                },
                "policy": {"hold": [row]},
            }
        )
    (problem,) = refused.value.problems
    assert problem.got == "no row for tier 2, which b has"
