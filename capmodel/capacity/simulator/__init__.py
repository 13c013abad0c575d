"""The event hour: what happens while demand moves faster than capacity can follow.

This package answers: for how long is a service above what its ready pods serve, how long does the
backlog last, how many pods have to stand before the event, and when must they be ordered?

>>> from capmodel.capacity.simulator import demand
>>> api = ServiceSpec(
...     name="api",
...     per_request_core_s=0.01,
...     requested_cores=1.0,
...     effective_cores=1.0,
...     pods=10,
...     autoscaler=Autoscaler(target=0.6, min_pods=2, max_pods=60),
... )
>>> hour = simulate(Cluster(services=(api,)), demand.step(600, factor=2, at_min=5, minutes=30))
>>> hour.minutes_above_hard.tolist(), hour.drain_s.tolist(), hour.peak_pods.tolist()
([[2.0]], [[60.0]], [[29.0]])
"""

from capmodel.capacity.simulator.engine import simulate
from capmodel.capacity.simulator.prescale import PreScale, required_pre_scale
from capmodel.capacity.simulator.result import EventHour, Trace
from capmodel.capacity.simulator.retries import layered_budget_x, residual_failure, retry_factor
from capmodel.capacity.simulator.specs import (
    TICK_S,
    Autoscaler,
    Cluster,
    DatabaseSpec,
    NodePool,
    Queue,
    Retries,
    ScalePolicy,
    ServiceSpec,
    Shed,
)

__all__ = [
    "TICK_S",
    "Autoscaler",
    "Cluster",
    "DatabaseSpec",
    "EventHour",
    "NodePool",
    "PreScale",
    "Queue",
    "Retries",
    "ScalePolicy",
    "ServiceSpec",
    "Shed",
    "Trace",
    "layered_budget_x",
    "required_pre_scale",
    "residual_failure",
    "retry_factor",
    "simulate",
]
