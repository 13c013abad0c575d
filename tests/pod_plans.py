"""A declared estate of one service on one pool, for the tests of pods and addresses.

Ten checkouts a second call ``api`` 40 times a second, flat: every draw is the median. With 1.26
core-seconds per request and 60 % of 2 cores, 42 pods carry it, 14 in each of three zones; a node of
15.89 cores holds seven of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import capmodel as cm

if TYPE_CHECKING:
    import pandas as pd

HARD = {"failure": "none", "quantile": 0.5, "up_to": "hard"}
PLANNED = {"failure": "none", "quantile": 0.5, "up_to": "utilization"}


def topology(
    *,
    api: dict[str, Any] | None = None,
    pool: dict[str, Any] | None = None,
    policy: dict[str, Any] | None = None,
    **more: Any,
) -> cm.Topology:
    """Return the estate with other fields of its service, pool and policy."""
    service: dict[str, Any] = {
        "calls": {"checkouts": 4}, "tier": 0, "pool": "general", "imbalance_x": 1.0,
        "pod": {"cpu_cores": 2, "memory_gib": 4}, "replicas": {"min": 1, "max": 200},
        "usage": {"cpu_cores": {"per_request": 1.26}},
        **(api or {}),
    }  # fmt: skip
    nodes: dict[str, Any] = {"types": ["m6i.4xlarge"], "zones": 3, "today": 6, **(pool or {})}
    promised: dict[str, Any] = {"hold": [PLANNED], "surge": 0.25, **(policy or {})}
    return cm.Topology.model_validate(
        {
            "drivers": {"checkouts": {"today_per_min": 600}},
            "services": {"api": service},
            "pools": {"general": nodes},
            "policy": promised,
            **more,
        }
    )


def plan(declared: cm.Topology, *, demand_x: float = 1.0, **options: Any) -> cm.PlanSet:
    """Return a week's plan of 100 equal draws."""
    return (
        cm.CapacityModel(declared)
        .declare()
        .plan(
            cm.Scenario(name="base", demand_x={"checkouts": demand_x}),
            start="2026-11-23",
            end="2026-11-30",
            as_of="2026-09-21",
            draws=100,
            **options,
        )
    )


def row(plans: cm.PlanSet, frame: str, **wanted: str) -> pd.Series[Any]:
    """Return the one row of a frame with these values; of the mixture where there are scenarios."""
    found = plans.to_frame(frame)
    if "scenario" in found and "scenario" not in wanted:
        wanted["scenario"] = "mixture"
    for column, value in wanted.items():
        found = found[found[column] == value]
    assert len(found) == 1, found
    return found.iloc[0]


def messages(plans: cm.PlanSet, code: str) -> dict[str, str]:
    """Return the findings of a code: service to message."""
    found = plans.to_frame("findings")
    found = found[found["code"] == code]
    return dict(zip(found["service"], found["message"], strict=True))
