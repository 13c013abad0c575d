"""One service on one pool of one zone, every number declared: plans of it are worked by hand.

80 checkouts a second today, 4 calls each, 0.06 core seconds a call, pods of 1 core planned to
60 %: ``pods = ceil(80 * growth * 4 * 0.06 / 0.6) = ceil(32 * growth)``. An m6i.xlarge offers 3.92
cores, so it holds 3 pods: ``nodes = ceil(pods / 3)``, each at 0.192 USD/h over 240 h, 46.08 USD.
"""

from __future__ import annotations

from typing import Any

import capmodel as cm
from capmodel.plan import CapacityFit

NODE_USD = 46.08  # 0.192 USD/h x 10 days x 24 h, in a calendar without a change of clocks
DATES: dict[str, Any] = {"start": "2026-11-02", "end": "2026-11-12", "as_of": "2026-09-21"}
SCENARIOS = tuple(
    cm.Scenario(name=name, probability=p, growth_yoy_x={"checkouts": x})
    for name, p, x in (("low", 0.25, 1.10), ("base", 0.55, 1.25), ("high", 0.20, 1.50))
)
AT_P50 = [{"failure": "none", "quantile": 0.5, "up_to": "utilization"}]


def one_pool(
    *, sigma: float = 0.0, events: bool = False, pod_cores: float = 1.0, **policy: Any
) -> CapacityFit:
    """Return the declared fit; `sigma` is the log standard deviation of the season's level."""
    topology = {
        "drivers": {"checkouts": {"today_per_min": 4800, "sigma_log": sigma}},
        "services": {
            "api": {
                "calls": {"checkouts": 4}, "tier": 0, "pool": "general", "imbalance_x": 1.0,
                "pod": {"cpu_cores": pod_cores, "memory_gib": 1}, "owner": "payments",
                "replicas": {"min": 1, "max": 100, "today": 20},
                "usage": {"cpu_cores": {"per_pod": 0.0, "per_request": 0.06}},
            }
        },
        "pools": {
            "general": {"types": ["m6i.xlarge"], "zones": 1, "today": 6, "owner": "platform"}
        },
        "policy": {"surge": 0, "utilization": {"cpu_cores": 0.6}, "hold": AT_P50} | policy,
    }  # fmt: skip
    calendar = cm.Events.us_retail(2025, 2026) if events else cm.Events.none()
    return cm.CapacityModel(cm.Topology.model_validate(topology), events=calendar).declare()
