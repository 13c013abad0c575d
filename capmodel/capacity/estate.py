"""The estate ready to be loaded: what every part uses and offers, and each limit as one object.

This module answers: which pods follow from load, at which rate under each row of the policy, and
which services stand on a pool? A limit is a usage function of loads and provisioned units, a hard
value and a policy, whatever it bounds (cores, memory, connections, nodes, a partner's quota). Usage
on paths: `evaluate`. It knows no money.

Shapes: D draws, N local days.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

import numpy as np

from capmodel.capacity.curves import AnyCurve, NodeNetwork, PodsCurve, PooledCaller
from capmodel.capacity.db_lines import DatabaseLine
from capmodel.capacity.nodes import Usable
from capmodel.capacity.use import DatabaseUse, PodUse, ServiceUse
from capmodel.errors import InputError
from capmodel.schema import Basis
from capmodel.topology import Hold

if TYPE_CHECKING:
    from capmodel.capacity.phases import Improved
    from capmodel.topology import Policy, Topology


__all__ = [
    "AUTOSCALED",
    "RAISED_BY_OTHERS",
    "SATURATED",
    "DeclaredBound",
    "Estate",
    "Limit",
    "PodRates",
    "Throttled",
    "pod_rates",
]

LimitKind = Literal[
    "pods", "replicas", "database_cores", "connections", "quota", "nodes", "database", "storage",
    "declared", "addresses", "throttling",
]  # fmt: skip
"""How usage follows from loads: see :func:`capmodel.capacity.evaluate.usage_of`."""
RAISED_BY_OTHERS = frozenset({"quota", "declared", "addresses"})
"""Limits of partners, the cloud and the network: more has to be asked for."""
AUTOSCALED = Hold(failure="none", quantile=0.5, up_to="utilization")
"""The row whose target the autoscaler runs at: the mean of the pods at the planned utilization."""
SATURATED = Hold(failure="none", quantile="1-risk", up_to="hard")
"""The row at which requests are lost: the hottest pod full."""


@dataclass(frozen=True, slots=True, eq=False)
class PodRates:
    """How pods follow from load: a rate per draw, service and hold row."""

    by_row: Mapping[tuple[str, Hold], np.ndarray]
    """Pods per unit of load, unrounded, shape (D, 1) [pods per 1/s]; inf where none suffices."""
    infeasible: Mapping[str, tuple[PodUse, Hold]]
    """Services whose idle pods exceed a target by themselves: by which resource, in which row."""


def pod_rates(topology: Topology, services: Mapping[str, ServiceUse]) -> PodRates:
    """Return the rates of every service under the policy's rows and the two that always count."""
    policy = topology.policy
    rows = tuple(dict.fromkeys((AUTOSCALED, *policy.hold, SATURATED)))
    known = {name: service for name, service in services.items() if service.known}
    return PodRates(
        by_row={
            (name, hold): rate_under(service, hold, policy)
            for name, service in known.items()
            for hold in rows
        },
        infeasible={
            name: over
            for name, service in services.items()
            if (over := _infeasible_use(service, rows, policy)) is not None
        },
    )


def rate_under(service: ServiceUse, hold: Hold, policy: Policy) -> np.ndarray:
    """Return a service's pods per unit of load under a row, shape (D, 1) [pods per 1/s]."""
    return service.pods(np.ones((1, 1)), targets=service.targets(hold, policy), hard=hold.is_hard)


def _infeasible_use(
    service: ServiceUse, rows: tuple[Hold, ...], policy: Policy
) -> tuple[PodUse, Hold] | None:
    """Return the (resource, row) that no number of pods keeps, None where all hold."""
    for hold in rows:
        use = service.infeasible(service.targets(hold, policy), hard=hold.is_hard)
        if use is not None:
            return use, hold
    return None


@dataclass(frozen=True, slots=True)
class DeclaredBound:
    """A declared limit's bound, and what a node of each pool uses of it."""

    hard: float
    """[the limit's unit]."""
    per_node: Mapping[str, float]
    lead_days: int
    source: str


@dataclass(frozen=True, slots=True)
class Throttled:
    """How often a service's CPU limit stops its pods at the planned utilization."""

    share: float
    """Share of the periods [ratio]; nan where nothing tells."""
    known: bool
    """Whether the share is measured, or an estimate that may stand for a measurement."""
    basis: Basis
    source: str


@dataclass(frozen=True, slots=True, eq=False)
class Estate:
    """Topology with what each part uses and offers: all that sizing needs besides the loads."""

    topology: Topology
    services: Mapping[str, ServiceUse]
    rates: PodRates
    databases: Mapping[str, DatabaseUse]
    """Busy cores by query, wherever it is served."""
    database_lines: Mapping[tuple[str, str], DatabaseLine]
    """(database, limit) to what else its instances use."""
    nodes: Mapping[str, Usable]
    today: Mapping[str, float]
    """Central load of each node in today's busiest minute [1/s]."""
    surge: np.ndarray
    """Extra pods of a rollout on each day, shape (N,) [ratio]."""
    season_surge: float
    """The largest of them in the season, for curves, which have no days [ratio]."""
    database_cores: Mapping[str, float]
    max_connections: Mapping[str, float]
    connection_source: Mapping[str, str]
    """Where each database's bound on connections comes from."""
    call_basis: Mapping[str, Basis]
    """Evidence of a node's calls and demand."""
    declared: Mapping[str, DeclaredBound]
    """Bounds of the topology's own limits, resolved against the catalog."""
    throttled: Mapping[str, Throttled] = field(default_factory=dict)
    """Services with a CPU limit, or with a measured share."""
    networks: Mapping[str, NodeNetwork] = field(default_factory=dict)
    """Pools whose addresses are bounded."""
    improved: Mapping[tuple[str, float], Improved] = field(default_factory=dict)
    """(service, cores / today's) to how it then turns load into pods; see `phases`."""
    draws: slice = field(default_factory=lambda: slice(None))
    """Which draws of the coefficients are meant: those of the loads at hand."""

    def take(self, draws: slice, days: slice) -> Estate:
        """Return the estate for the loads of some draws and days."""
        return replace(self, draws=draws, surge=self.surge[days])

    def rate(self, name: str, hold: Hold) -> np.ndarray:
        """Return pods per unit of load under a row, shape (D, 1) or (1, 1) [pods per 1/s]."""
        rate = self.rates.by_row.get((name, hold))
        if rate is None:
            rate = rate_under(self.services[name], hold, self.topology.policy)
        return self.drawn(rate)

    def targets(self, name: str, hold: Hold = AUTOSCALED) -> dict[str, float]:
        """Return what a row accepts of each resource of a service's pods, of the request [ratio].

        The autoscaler's row by default: its target is the service's own, else the policy's.
        """
        return self.services[name].targets(hold, self.topology.policy)

    def drawn(self, coefficient: np.ndarray) -> np.ndarray:
        """Return the draws that are meant of a coefficient of shape (D, 1) or (1, 1)."""
        return coefficient if len(coefficient) == 1 else coefficient[self.draws]


@dataclass(frozen=True, slots=True)
class Limit:
    """One bound on a usage."""

    node: str
    name: str
    kind: LimitKind
    unit: str
    tier: int
    hard: float
    """The bound [unit]; nan where nothing bounds the usage."""
    policy_x: float
    """Planned share of the bound [ratio]."""
    imbalance_x: float
    """Hottest pod / mean pod, compared with the hard value only."""
    basis: Basis
    curve: AnyCurve
    """Usage as the policy sees it: pods at the planned utilization."""
    follows_load: bool = True
    """False where usage was fitted and follows something else than the load: no GREEN then."""
    own_saturation: AnyCurve | None = None
    """Usage as the hard value sees it, where it differs: the hottest pod, nodes of full pods."""
    lead_days: int = 0
    """Days from asking for more to having it."""
    source: str = ""
    """Where the hard value comes from."""

    @property
    def saturation(self) -> AnyCurve:
        """Usage as the hard value sees it, by multiple of today."""
        return self.own_saturation or self.curve

    @property
    def key(self) -> tuple[str, str]:
        """(node, name)."""
        return self.node, self.name

    def share(self, usage: float) -> float:
        """Return usage / bound [ratio]; inf of nothing where something is used, nan unbounded."""
        if self.hard == 0:
            return math.inf if usage > 0 else 0.0
        return usage / self.hard

    @property
    def policy(self) -> float:
        """Usage that the policy plans to [unit]."""
        return self.policy_x * self.hard


def pods_curve(estate: Estate, name: str, hold: Hold = AUTOSCALED) -> PodsCurve:
    """Return a service's pods under a row (the autoscaler's by default), by multiple of today."""
    service = estate.services[name]
    targets = estate.targets(name, hold)
    return PodsCurve(
        slope=min(
            service.pods_per_load(targets, hard=hold.up_to == "hard") * estate.today[name], 1e9
        ),
        minimum=service.minimum,
        maximum=service.maximum,
    )


def pooled_callers(estate: Estate, name: str) -> tuple[PooledCaller, ...]:
    """Return the services that hold pools on a database, with the surge of a season day."""
    database = estate.topology.databases[name]
    return tuple(
        PooledCaller(
            name=user,
            pods=pods_curve(estate, user),
            per_pod=caller.pool_max * caller.processes,
            surge=estate.season_surge,
        )
        for user, caller in database.used_by.items()
        if caller.pool_max and _has_pods(estate, user)
    )


def _has_pods(estate: Estate, name: str) -> bool:
    """Return whether a service's pods are a number: they follow from load, or the maximum holds."""
    service = estate.services[name]
    return service.known and (service.maximum is not None or name not in estate.rates.infeasible)


def pool_services(estate: Estate, pool: str) -> tuple[str, ...]:
    """Return the services whose pods run on a pool and whose pod count follows from load.

    Left out are those that no number of pods keeps within the policy: they need other pods first.
    """
    return tuple(
        name
        for name, service in estate.topology.services.items()
        if service.pool == pool
        and service.pod is not None
        and estate.services[name].known
        and name not in estate.rates.infeasible
    )


def pod_requests(estate: Estate, name: str, hold: Hold = AUTOSCALED) -> tuple[float, float, float]:
    """Return cores, GiB and pods (1) that one pod of a service takes from a node under a row.

    Its requests; where the row fills it beyond its request of cores, up to its limit, what it uses.
    """
    pod = estate.topology.services[name].pod
    if pod is None:
        return (0.0, 0.0, 1.0)
    cores_x = estate.services[name].node_cores_x(hold, estate.topology.policy)
    return (pod.cpu_cores * cores_x, pod.memory_gib, 1.0)


def surviving_zones(zones: int, hold: Hold, pool: str) -> int:
    """Return the zones left under a hold row's failure."""
    left = zones - hold.zones_lost
    if left < 1:
        raise InputError.of(
            f"pools.{pool}.zones",
            got=f"{zones} zones and a policy that survives the loss of {hold.zones_lost}",
            expected="more zones than may be lost",
            do="Add zones to the pool or lower lose_zones in policy.hold.",
        )
    return left
