"""A small estate with declared usage, for the tests of capacity: every number can be redone."""

from __future__ import annotations

from typing import Any

import numpy as np

from capmodel.capacity.estate import DeclaredBound, Estate, pod_rates
from capmodel.capacity.loads import CallRatio, Loads, call_weights, point_weights, root_minutes
from capmodel.capacity.nodes import Usable
from capmodel.capacity.sizing import Season
from capmodel.capacity.use import ServiceUse, database_use, pod_uses
from capmodel.demand.paths import RootPaths
from capmodel.topology import Topology
from capmodel.usage import declared_usage

DRAWS, DAYS = 4, 3
TODAY = 40.0  # checkouts per second
NODE = Usable(instance_type="m6i.4xlarge", cpu_cores=15.0, memory_gib=54.0, pods=234)

TOPOLOGY: dict[str, Any] = {
    "drivers": {"checkouts": {}},
    "services": {
        "api": {
            "calls": {"checkouts": 4}, "tier": 0, "pool": "general",
            "pod": {"cpu_cores": 2, "memory_gib": 4},
            "replicas": {"min": 6, "max": 200, "today": 40},
        },
        "underwriting": {
            "calls": {"checkouts": 1.2}, "tier": 1, "pool": "general",
            "pod": {"cpu_cores": 2, "memory_gib": 4}, "replicas": {"min": 1, "today": 6},
        },
    },
    "databases": {
        "db": {
            "class": "db.r6g.4xlarge", "max_connections": 4000,
            "used_by": {
                "api": {"reads": 5, "writes": 2, "pool_max": 20},
                "underwriting": {"reads": 12, "writes": 3, "pool_max": 5, "processes": 3},
            },
        }
    },
    "externals": {"bureau": {"calls": {"underwriting": 0.7}, "limit_rps": 80}},
    "pools": {"general": {"types": ["m6i.4xlarge"], "zones": 3, "today": 24}},
}  # fmt: skip
USAGE = {
    ("api", "cpu_cores"): {"per_pod": 0.05, "per_request": 0.085},
    ("api", "memory_gib"): {"per_pod": 1.0, "per_request": 0.02},
    ("underwriting", "cpu_cores"): {"per_pod": 0.05, "per_request": 0.102},
}


def edges(topology: Topology) -> dict[tuple[str, str], CallRatio]:
    """Return the declared edges, as if fitted without an error."""
    return {
        (caller, node): CallRatio(caller=caller, node=node, ratio=float(ratio), basis="fitted")
        for node in topology.order
        for caller, ratio in topology.calls_of(node).items()
    }


def topology(**database: Any) -> Topology:
    """Return the topology, with other fields of its database."""
    changed = {**TOPOLOGY["databases"]["db"], **database}
    return Topology.model_validate({**TOPOLOGY, "databases": {"db": changed}})


def estate(
    *,
    surge: np.ndarray | None = None,
    declared: Topology | None = None,
    draws: int = DRAWS,
    **database: Any,
) -> Estate:
    """Return the estate at 40 checkouts a second today."""
    made = declared or topology(**database)
    today = {n: TODAY * w["checkouts"] for n, w in point_weights(made, edges(made)).items()}
    requests = {"cpu_cores": 2.0, "memory_gib": 4.0}
    services = {
        name: ServiceUse(
            name=name,
            uses=tuple(
                use
                for (owner, resource), terms in USAGE.items()
                if owner == name
                for use in pod_uses(
                    declared_usage(name, resource, terms),
                    request=requests[resource],
                    draws=draws,
                    seed=7,
                )
            ),
            imbalance_x=1.1,
            today_rps=today[name],
            today_pods=service.replicas.today,
            minimum=service.replicas.min,
            maximum=service.replicas.max,
        )
        for name, service in made.services.items()
    }
    cores = declared_usage(
        "db", "cpu_cores", {"idle": 0.4, "per_read": 0.00156, "per_write": 0.00156}
    )
    return Estate(
        topology=made,
        services=services,
        rates=pod_rates(made, services),
        databases={"db": database_use(cores, draws=draws, seed=7)},
        database_lines={},
        nodes={"general": NODE},
        today=today,
        surge=np.full(DAYS, 0.25) if surge is None else surge,
        season_surge=0.25 if surge is None else float(surge.max()),
        database_cores={"db": 16.0},
        max_connections={"db": 4000.0},
        connection_source={"db": "topology, db.max_connections"},
        call_basis=dict.fromkeys(made.order, "fitted"),
        declared={
            name: DeclaredBound(
                hard=float(limit.hard or 0), per_node={}, lead_days=0, source="topology"
            )
            for name, limit in made.limits.items()
        },
    )


def season_of(made: Estate, load: Loads, start: int, end: int) -> tuple[Estate, Loads, Season]:
    """Return estate and loads of the season's days, and where these stand."""
    season = Season(start, end)
    return made.take(slice(None), season.days), load.take(slice(None), season.days), season


def loads(checkouts: float | np.ndarray) -> Loads:
    """Return loads of so many checkouts a second, one number or shape (draws, DAYS)."""
    made = topology()
    given = np.asarray(checkouts, dtype=float)
    draws = len(given) if given.ndim else DRAWS
    level = np.broadcast_to(given, (draws, DAYS))
    days = np.arange(np.datetime64("2026-11-26"), np.datetime64("2026-11-26") + DAYS)
    root = RootPaths(
        service="checkouts",
        quantity="per_min",
        dates=days,
        event=("",) * DAYS,
        shape=60.0 * level[:, :, None],
        level=np.zeros(draws),
        drift=np.zeros((1, DAYS)),
        shock=np.zeros((1, DAYS)),
        to_growth=np.zeros(DAYS),
        lift_x=np.ones(DAYS),
        basis="fitted",
    )
    calm = np.zeros(DAYS, dtype=bool)
    return Loads(
        dates=days,
        roots={"checkouts": root_minutes(root, np.ones((1, 1, 1)), keep_hours=False)},
        factor={"checkouts": np.ones((draws, DAYS))},
        weights=call_weights(made, edges(made), is_event=calm, draws=draws, seed=7),
    )
