"""Small declared studies at the edge of what can be planned: each plans, or says what is wrong.

BASE is the README's example topology; every case changes one thing.
"""

from __future__ import annotations

import copy
import dataclasses
import math
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from pydantic import ValidationError

from capmodel.capacity.databases import Caller
from capmodel.capacity.remedies import pool_remedies
from capmodel.demand import GivenDemand
from capmodel.errors import InputError
from capmodel.events import Events
from capmodel.plan import CapacityModel, PlanSet, Study
from capmodel.scenario import Scenario
from capmodel.topology import Topology

TZ = "America/New_York"
Document = dict[str, Any]
BASE: Document = {
    "drivers": {"checkouts": {"today_per_min": 600, "sigma_log": 0.10}},
    "services": {
        "api": {
            "calls": {"checkouts": 4},
            "tier": 0,
            "pool": "general",
            "pod": {"cpu_cores": 2, "memory_gib": 4},
            "replicas": {"min": 6, "max": 160, "today": 23},
            "usage": {"cpu_cores": {"per_pod": 0.05, "per_request": 0.60}},
        }
    },
    "databases": {
        "db": {
            "class": "db.r6g.4xlarge",
            "max_connections": 1200,
            "usage": {"cpu_cores": {"idle": 0.4, "per_read": 0.0016, "per_write": 0.0016}},
            "used_by": {"api": {"reads": 30, "writes": 5, "pool_max": 20}},
        }
    },
    "externals": {
        "cb": {"calls": {"checkouts": 0.84}, "limit_rps": 24, "lead_days": 42, "tier": 0}
    },
    "pools": {"general": {"types": ["m6i.4xlarge"], "zones": 3, "today": 9}},
}
STUDY: Document = {
    "business_tz": TZ,
    "as_of": "2026-09-21",
    "horizon": {"start": "2026-11-23", "end": "2026-12-07"},
    "draws": 101,
    "topology": "topology.yaml",
    "scenarios": {"base": {"lift": {"cyber_monday": {"checkouts": 3.0}}}},
}
REMOVED = object()


def changed(document: Document = BASE, **fields: object) -> Document:
    """Return a document with fields set by their path, `services__api__tier=1`."""
    made = copy.deepcopy(document)
    for path, value in fields.items():
        *parents, last = path.split("__")
        place = made
        for key in parents:
            place = place[key]
        if value is REMOVED:
            del place[last]
        else:
            place[last] = copy.deepcopy(value)
    return made


def planned(topology: Document, folder: Path, **study: object) -> PlanSet:
    """Write a study, plan it, and look at everything that a plan shows, saved and loaded too."""
    (folder / "topology.yaml").write_text(yaml.safe_dump(topology), encoding="utf-8")
    text = yaml.safe_dump({**STUDY, **study})
    (folder / "study.yaml").write_text(text, encoding="utf-8")
    return shown(Study.read(folder / "study.yaml").plan(), folder)


def shown(plan: PlanSet, folder: Path) -> PlanSet:
    plan.save(folder / "plan.json")
    loaded = PlanSet.load(folder / "plan.json")
    for one in (plan, loaded):
        assert "inf" not in one.headline()
        assert "nan" not in one.headline()
        assert one.to_html()
        assert one.to_markdown()
    pd.testing.assert_frame_equal(plan.sweep([1, 3]), loaded.sweep([1, 3]), check_dtype=False)
    return plan


def row(plan: PlanSet, frame: str, **wanted: str) -> pd.Series:
    rows = plan.to_frame(frame)
    for column, value in wanted.items():
        rows = rows[rows[column] == value]
    assert len(rows) == 1, rows
    return rows.iloc[0]


def messages(plan: PlanSet, code: str) -> dict[str, str]:
    findings = plan.to_frame("findings")
    found = findings[findings["code"] == code]
    return dict(zip(found["service"], found["message"], strict=True))


def refusal(topology: Document) -> tuple[str, str]:
    with pytest.raises(InputError) as caught:
        Topology.model_validate(topology)
    (problem,) = caught.value.problems
    return problem.where, str(problem)


# A service that no number of pods holds

HEAVY = {
    "cpu_cores": {"per_pod": 0.05, "per_request": 0.60},
    "memory_gib": {"per_pod": 3.6},
}


@pytest.mark.slow
def test_idle_pods_beyond_their_target_are_a_finding_with_the_resource_named(tmp_path):
    web = {**BASE["services"]["api"], "calls": {"checkouts": 1}}
    heavy = changed(services__web=web, services__api__usage=HEAVY)
    plan = planned(heavy, tmp_path)
    text = messages(plan, "infeasible")["api"]
    assert text.startswith("an idle pod uses 3.6 of memory_gib, its target is 0.8 x 4 = 3.2")
    assert "left out of the nodes of general" in text
    service = row(plan, "services", scenario="base", service="api")
    assert (service["replicas_needed"], service["status"]) == (math.inf, "RED")
    # The pool holds what is left: as if the heavy service did not run there.
    (tmp_path / "alone").mkdir()
    alone = planned(changed(heavy, services__api__pool=REMOVED), tmp_path / "alone")
    for frame in ("nodes", "cost", "waterfall"):
        pd.testing.assert_frame_equal(plan.to_frame(frame), alone.to_frame(frame))
    assert "replicas_max" not in set(plan.to_frame("findings")["code"])
    assert not plan.to_frame("orders")["id"].str.contains("replicas.max").any()


@pytest.mark.slow
@pytest.mark.parametrize("maximum", [160, None])
def test_an_infeasible_service_alone_leaves_a_pool_without_nodes(tmp_path, maximum):
    topology = changed(services__api__usage=HEAVY, services__api__replicas__max=maximum)
    plan = planned(topology, tmp_path, overlays=[{"kind": "lose_zones", "zones": 1}])
    assert plan.to_frame("nodes").empty
    assert list(messages(plan, "infeasible")) == ["api"]
    # An autoscaler that never reaches its target runs at its bound; without one nobody knows.
    connections = plan.to_frame("limits").query("limit == 'connections'")
    held = {160 * 1.25 * 20} if maximum else set()
    assert set(connections["peak_p50"]) == held
    overlays = plan.to_frame("overlays").query("node == 'api'")
    assert bool(len(overlays)) == (maximum is not None)  # without a bound there is no limit
    assert (overlays["needed"] == math.inf).all()
    assert overlays["breaks"].all()


@pytest.mark.slow
def test_without_a_bound_an_infeasible_resource_counts_no_idle_pods(tmp_path):
    usage = {"cpu_cores": {"per_pod": 0, "per_request": 0.6}, "memory_gib": {"per_pod": 3.6}}
    topology = changed(services__api__usage=usage, services__api__replicas__max=REMOVED)
    plan = planned(topology, tmp_path)
    limit = row(plan, "limits", scenario="base", node="api", limit="cpu_cores")
    assert 0.6 * 40 * 3 * 0.8 < limit["peak_p50"] < 0.6 * 40 * 3 * 1.2


@pytest.mark.slow
def test_a_row_that_some_paths_cannot_hold_leaves_the_other_rows_to_size_the_nodes(tmp_path):
    """Idle memory is fitted at 3.0 +- 0.5 GiB: at the tier's risk no number of pods holds."""
    usage = {**HEAVY, "memory_gib": {"per_pod": 3.0}}
    topology = Topology.model_validate(changed(services__api__usage=usage))
    fit = CapacityModel(topology).declare(business_tz=TZ)
    one = fit.usage["api", "memory_gib"]
    wide = dataclasses.replace(one, covariance=np.diag([0.5**2 if v else 0 for v in one.value]))
    fit = dataclasses.replace(fit, usage={**fit.usage, ("api", "memory_gib"): wide})
    plan = fit.plan(Scenario(name="base"), start="2026-11-23", end="2026-12-07", draws=201)
    shown(plan, tmp_path)
    found = messages(plan, "infeasible")
    assert set(found) == {"api", "general"}
    assert "1-risk, up to hard: on too many paths" in found["general"]
    node = row(plan, "nodes", scenario="base", pool="general")
    assert node["hold"] == "P50, up to utilization"
    assert node["pods"] >= 40 * 0.6 / (0.6 * 2 - 0.05)


# Today's load not known


def given_demand(peak: float = 1800.0) -> GivenDemand:
    hours = pd.date_range("2026-11-23", "2026-12-07", freq="h", tz=TZ, inclusive="left")
    p50 = np.where(hours == pd.Timestamp("2026-11-30 20:00", tz=TZ), peak, 600.0)
    frame = pd.DataFrame({"service": "checkouts", "time": hours, "p50": p50})
    return GivenDemand.from_frame(frame.assign(p10=p50, p90=p50), business_tz=TZ)


def planned_given(topology: Document, folder: Path) -> PlanSet:
    model = CapacityModel(Topology.model_validate(topology), given=given_demand())
    fit = model.declare(business_tz=TZ)
    plan = fit.plan(Scenario(name="base"), start="2026-11-23", end="2026-12-07", draws=101)
    return shown(plan, folder)


@pytest.mark.slow
def test_a_given_forecast_without_today_plans_and_tells_no_multiples(tmp_path):
    plan = planned_given(changed(drivers__checkouts={}), tmp_path)
    limits = plan.to_frame("limits")
    assert limits[["today", "today_x", "binds_at_x", "breaks_at_x"]].isna().all(axis=None)
    assert set(plan.sweep([1, 2])["status"]) == {"GREY"}
    assert plan.headline().startswith("First to break: cb quota on Mon 2026-11-30 (the season's")
    assert "today's load is not known" in messages(plan, "no_evidence")["checkouts"]
    today = row(plan, "assumptions", name="today of checkouts")
    assert today["value"] == "not known"
    # What the season needs does not depend on today.
    (tmp_path / "known").mkdir()
    known = planned_given(changed(drivers__checkouts={"today_per_min": 600}), tmp_path / "known")
    pd.testing.assert_frame_equal(plan.to_frame("nodes"), known.to_frame("nodes"))
    column = ["node", "limit", "peak_p50"]
    pd.testing.assert_frame_equal(
        limits[column].sort_values(column, ignore_index=True),
        known.to_frame("limits")[column].sort_values(column, ignore_index=True),
    )


@pytest.mark.slow
def test_pods_of_today_say_nothing_without_the_load_of_today(tmp_path):
    topology = changed(drivers__checkouts={}, services__api__usage=REMOVED)
    plan = planned_given(topology, tmp_path)
    text = messages(plan, "no_evidence")["api"]
    assert "today's load behind its 23 pods is not known" in text
    assert row(plan, "services", scenario="base", service="api")["status"] == "GREY"


# Nodes that nothing calls


@pytest.mark.slow
def test_a_database_without_callers_idles(tmp_path):
    plan = planned(changed(databases__db__used_by={}), tmp_path)
    assert row(plan, "limits", scenario="base", node="db", limit="cpu_cores")["peak_p50"] == 0.4
    assert list(messages(plan, "no_callers")) == ["db"]


def test_an_external_that_nothing_calls_is_refused():
    where, text = refusal(changed(externals__cb={"limit_rps": 24}))
    assert where == "externals.cb.calls"
    assert "got no calls" in text


def test_a_topology_without_demand_is_refused():
    where, text = refusal({"pools": BASE["pools"]})
    assert where == "topology"
    assert "no driver and no service" in text


@pytest.mark.slow
def test_calls_of_zero_compare_nothing_with_a_service_s_own_history(tmp_path):
    """The own history of `api` is forecast, while its callers are declared never to call it."""
    times = pd.date_range("2025-01-06", "2026-11-09", freq="h", tz="UTC", inclusive="left")
    daily = 1 + 0.3 * np.sin(2 * np.pi * times.hour / 24)
    frames = [
        pd.DataFrame({"service": "checkouts", "time": times, "per_min": 600 * daily}),
        pd.DataFrame({"service": "api", "time": times, "rps": 40 * daily}),
    ]
    pd.concat(frames).to_parquet(tmp_path / "history.parquet", index=False)
    topology = {
        "drivers": {"checkouts": {}},
        "services": {"api": {"calls": {"checkouts": 0}}},
    }
    plan = planned(
        topology, tmp_path, history={"base": "history.parquet"}, as_of="2026-11-09",
        scenarios={"base": {}}, events={"calendar": "none"},
    )  # fmt: skip
    season = row(plan, "demand", scenario="base", service="api", window="season")
    assert season["peak_p50"] == 0
    assert math.isnan(season["gap_x"])


# Paths of calls

LAYERS, WIDTH = 8, 4


def layered() -> Document:
    """Return eight layers of four services, each calling all of the next: 65,536 paths to one."""
    topology = changed()
    above = ["checkouts"]
    for layer in range(LAYERS):
        names = [f"s{layer}{k}" for k in range(WIDTH)]
        calls = dict.fromkeys(above, 0.25)
        topology["services"] |= {name: {"calls": calls} for name in names}
        above = names
    topology["externals"]["last"] = {"calls": dict.fromkeys(above, 1), "limit_rps": 80}
    return topology


@pytest.mark.slow
def test_paths_are_counted_not_listed(tmp_path):
    plan = planned(layered(), tmp_path)
    text = row(plan, "demand", scenario="base", service="last", window="season")["paths"]
    paths = WIDTH**LAYERS
    assert text.count("checkouts > s0") == 12
    assert text.endswith(f"; and {paths - 12:,} more")
    source = plan.explain("last", "quota").set_index("factor")["source"]
    assert source["x requests per event of checkouts"] == text
    assert len(plan.to_json()) < 1_000_000


def test_counts_roots_and_edges_agree_with_the_paths():
    topology = Topology.model_validate(
        {
            "drivers": {"d": {}, "e": {}},
            "services": {
                "a": {"calls": {"d": 1, "e": 1}},
                "b": {"calls": {"d": 1}},
                "c": {"calls": {"a": 1, "b": 1}},
            },
        }
    )
    paths = topology.paths_to("c")
    assert set(paths) == {("d", "a", "c"), ("e", "a", "c"), ("d", "b", "c")}
    assert topology.roots_of("c") == tuple(sorted({path[0] for path in paths}))
    steps = {pair for path in paths for pair in pairwise(path)}
    assert topology.edges_to("c") == tuple(sorted(steps))
    assert topology.paths_text("c", root="d") == "d > a > c; d > b > c"
    assert topology.paths_text("b", root="e") == ""
    assert (topology.roots_of("d"), topology.edges_to("d")) == (("d",), ())
    assert topology.followers == {"a": ("d", "e"), "b": ("d",), "c": ("d", "e")}


# Orders and remedies


@pytest.mark.slow
def test_pools_of_one_service_on_two_databases_are_two_orders(tmp_path):
    plan = planned(changed(databases__other=BASE["databases"]["db"]), tmp_path)
    orders = plan.to_frame("orders")
    assert orders["id"].is_unique
    actions = orders[orders["id"].str.startswith("config:api:pool_max")]["action"]
    assert sorted(actions) == [
        "change pool_max of api on db from 20 to 10",
        "change pool_max of api on other from 20 to 10",
    ]


def test_a_cut_of_every_pool_names_only_the_pools_that_change():
    callers = [Caller("a", 100, 30), Caller("b", 100, 30), Caller("c", 10, 5)]
    (found,) = pool_remedies(callers, limit=2500, policy_x=0.85)
    assert found.pools == (("a", 30, 10), ("b", 30, 10))
    assert (found.from_value, found.to_value) == ("a 30, b 30", "a 10, b 10")
    # One pool alone is no cut of every pool; that it does not suffice was found before.
    assert pool_remedies([Caller("a", 100, 30), Caller("c", 300, 5)], limit=1500, policy_x=1) == ()


# Declared values that nothing would use


@pytest.mark.parametrize(
    ("where", "fields"),
    [
        ("services.api.today_rps", {"services__api__today_rps": 5}),
        (
            "drivers.imp.today_per_min",
            {"drivers__imp": {"calls": {"checkouts": 5}, "today_per_min": 9}},
        ),
        (
            "drivers.imp.peak_minute_x",
            {"drivers__imp": {"calls": {"checkouts": 5}, "peak_minute_x": 1.2}},
        ),
        ("drivers.checkouts.sigma_log", {"drivers__checkouts": {"sigma_log": 0.1}}),
    ],
)
def test_values_that_would_be_ignored_are_refused(where, fields):
    found, text = refusal(changed(**fields))
    assert found == where
    assert "remove" in text.lower()


def test_bounds_that_contradict_are_refused():
    with pytest.raises(ValidationError, match="max 5 is below today 9"):
        Topology.model_validate(changed(pools__general__max=5))
    Topology.model_validate(changed(pools__general__max=9))
    with pytest.raises(ValidationError, match="hold"):
        Topology.model_validate(changed(policy={"hold": []}))


# Failures, limits and scenarios


@pytest.mark.slow
def test_losing_every_zone_breaks_whatever_is_ordered(tmp_path):
    plan = planned(changed(), tmp_path, overlays=[{"kind": "lose_zones", "zones": 3}])
    overlays = plan.to_frame("overlays")
    assert set(overlays["node"]) == {"general", "api", "db"}
    assert (overlays["needed"] == math.inf).all()
    assert overlays["breaks_today"].all()
    assert overlays["breaks"].all()
    assert np.isfinite(overlays["after_orders"]).all()


MYSQL = {
    "engine": "mysql",
    "class": "db.r6g.4xlarge",
    "usage": {"cpu_cores": {"idle": 0.4, "per_read": 0.0016}},
    "used_by": {"api": {"reads": 30}},
}


@pytest.mark.slow
def test_a_missing_default_of_max_connections_is_computed_from_memory(tmp_path):
    plan = planned(changed(databases__db=MYSQL), tmp_path)
    database = row(plan, "databases", scenario="base", database="db")
    assert database["class_needed"] == "db.r6g.4xlarge"
    # 128 GiB, of which RDS counts 95.2 %, at 12,582,880 bytes each, to the nearest hundred.
    assert database["max_connections"] == round(0.952 * 128 * 2**30 / 12_582_880, -2)
    assert row(plan, "assumptions", name="max_connections of db")["value"] == "10400"


@pytest.mark.slow
def test_with_pools_a_missing_default_is_computed_from_memory_and_says_so(tmp_path):
    pooled = {"api": {"reads": 30, "pool_max": 5}}
    plan = planned(changed(databases__db={**MYSQL, "used_by": pooled}), tmp_path)
    steps = plan.explain("db", "connections")
    hard = steps[steps["factor"] == "/ hard limit"].iloc[0]
    assert hard["value"] == 10_400  # 0.952 x 128 GiB / 12,582,880 bytes, rounded to a hundred
    assert hard["source"].startswith("formula of the memory of db.r6g.4xlarge")


@pytest.mark.parametrize(
    ("scenario", "do"),
    [
        ({"growth_yoy_x": {"imp": 1.2}}, "imp follows checkouts; state growth there."),
        ({"demand_x": {"api": 1.2}}, "api follows checkouts; state demand there."),
        ({"lift": {"cyber_monday": {"imp": 2}}}, "imp follows checkouts; state lifts there."),
    ],
)
def test_what_follows_has_no_growth_of_its_own(scenario, do):
    topology = Topology.model_validate(changed(drivers__imp={"calls": {"checkouts": 5}}))
    fit = CapacityModel(topology, events=Events.us_retail(2025, 2026)).declare(business_tz=TZ)
    with pytest.raises(InputError) as caught:
        fit.plan(Scenario(name="v1.2", **scenario), start="2026-11-23", end="2026-12-07")
    (problem,) = caught.value.problems
    assert problem.do == do
    assert problem.where.startswith("scenarios.v1.2.")
