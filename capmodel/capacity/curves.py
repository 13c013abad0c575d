"""Usage of a limit as a function of the traffic multiple: the sweep, and where a limit binds.

This module answers: at k times today's traffic, how full is a limit, and at which multiple does it
reach a bound? Curves use the central coefficients, are monotone in the multiple, and are plain
numbers, so a saved plan can be swept without its history.

``x`` is the multiple of today's event-free peak minute. Given multiples use integer pods and nodes,
with ``ceil(v - 1e-9)``; the multiple at which a limit binds uses continuous ones (DESIGN §9).
Where today's load is not known slopes are NaN, and so is every usage.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter

from capmodel.capacity.addresses import VpcCni, node_addresses, zone_addresses
from capmodel.capacity.db_connections import busy_connections

__all__ = [
    "AddressesCurve",
    "AnyCurve",
    "BentCurve",
    "BusyCurve",
    "ConnectionsCurve",
    "Curve",
    "LinearCurve",
    "NodeNetwork",
    "NodesCurve",
    "PodsCurve",
    "PodsOnPool",
    "PooledCaller",
    "SumCurve",
    "curve_from_dict",
    "multiple_at",
]

X_MAX = 1e6
"""A limit that does not bind below this multiple never binds."""


def _nan_of_none(value: object) -> object:
    return math.nan if value is None else value


Slope = Annotated[float, BeforeValidator(_nan_of_none)]
"""Usage per multiple of today; NaN where today is not known, which a saved plan holds as null."""


def _whole(units: float) -> float:
    return units if math.isnan(units) else float(math.ceil(units - 1e-9))


class _Curve(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class LinearCurve(_Curve):
    """``usage = constant + slope * x``."""

    kind: Literal["linear"] = "linear"
    constant: float
    slope: Slope

    def usage(self, x: float, *, integer: bool = True) -> float:
        """Return the usage at a multiple [the limit's unit]."""
        del integer  # nothing here comes in whole pieces
        return self.constant + self.slope * x


class BentCurve(_Curve):
    """The larger of two lines: usage whose cost per request rises from a knee on."""

    kind: Literal["bent"] = "bent"
    flat: LinearCurve
    steep: LinearCurve

    def usage(self, x: float, *, integer: bool = True) -> float:
        """Return the usage at a multiple [the limit's unit]."""
        return max(line.usage(x, integer=integer) for line in (self.flat, self.steep))


class PodsCurve(_Curve):
    """Pods that the autoscaler runs: ``clamp(ceil(slope * x), minimum, maximum)``."""

    slope: Slope
    minimum: int = 0
    maximum: int | None = None

    def pods(self, x: float, *, integer: bool = True) -> float:
        """Return the pods at a multiple."""
        wanted = _whole(self.slope * x) if integer else self.slope * x
        if math.isnan(wanted):
            return wanted
        if self.maximum is not None:
            wanted = min(wanted, self.maximum)
        return float(max(wanted, self.minimum))


class PooledCaller(_Curve):
    """A service that keeps a connection pool in every process of every pod."""

    name: str
    pods: PodsCurve
    per_pod: int | float
    """Connections per pod: processes * pool_max; or what else a pod uses of a limit."""
    surge: float = 0.0
    """Extra pods of a rollout [ratio]."""

    def connections(self, x: float, *, integer: bool = True) -> float:
        """Return the connections at a multiple."""
        pods = self.pods.pods(x, integer=integer) * (1 + self.surge)
        return (_whole(pods) if integer else pods) * self.per_pod


class ConnectionsCurve(_Curve):
    """``usage = sum over callers of ceil(pods * (1 + surge)) * processes * pool_max``."""

    kind: Literal["connections"] = "connections"
    callers: tuple[PooledCaller, ...]
    other: float = 0.0
    """Connections that no pool holds."""

    def usage(self, x: float, *, integer: bool = True) -> float:
        """Return the connections at a multiple."""
        pooled = sum(caller.connections(x, integer=integer) for caller in self.callers)
        return pooled + self.other


class BusyCurve(_Curve):
    """Sessions that queries keep busy behind a proxy: a quantile of their number (Little)."""

    kind: Literal["busy"] = "busy"
    qps: Slope
    """Queries per multiple of today [1/s]."""
    hold_s: float
    quantile: float
    other: float = 0.0

    def usage(self, x: float, *, integer: bool = True) -> float:
        """Return the sessions at a multiple; between whole ones the line of the mean."""
        if math.isnan(self.qps):
            return math.nan
        del integer  # the quantile is whole, and monotone in the multiple
        busy = busy_connections(self.qps * x, hold_s=self.hold_s, quantile=self.quantile)
        return float(busy) + self.other


class PodsOnPool(_Curve):
    """A service's pods and what one of them requests of a node."""

    name: str
    pods: PodsCurve
    requests: tuple[float, ...]
    """Cores, GiB and pods (1) of one pod."""


class NodesCurve(_Curve):
    """Nodes of a pool: zones times the nodes that one zone's share of the pods needs."""

    kind: Literal["nodes"] = "nodes"
    zones: int
    usable: tuple[float, ...]
    """Cores, GiB and pods of one node after daemonsets."""
    services: tuple[PodsOnPool, ...]
    spare_per_zone: int = 0
    """Nodes of each zone beside those that the pods need; for what nodes themselves take."""

    def usage(self, x: float, *, integer: bool = True) -> float:
        """Return the nodes at a multiple."""
        zones = self.zones if integer else 1
        totals = [0.0] * len(self.usable)
        for service in self.services:
            pods = service.pods.pods(x, integer=integer) / zones
            share = _whole(pods) if integer else pods
            totals = [t + share * r for t, r in zip(totals, service.requests, strict=True)]
        fill = max(t / u for t, u in zip(totals, self.usable, strict=True))
        spare = self.zones * self.spare_per_zone
        return (zones * _whole(fill) if integer else fill) + spare


class NodeNetwork(_Curve):
    """Interfaces of a pool's nodes and the settings of their network plugin.

    See :mod:`capmodel.capacity.addresses`.
    """

    enis: int
    ips_per_eni: int
    prefix_mode: bool = False
    custom_networking: bool = False
    warm_eni: int = 1
    warm_prefix: int = 1
    warm_ip: int | None = None
    minimum_ip: int | None = None
    daemonset_pods: int = 0
    """Pods of daemonsets on every node, each with an address."""

    @property
    def cni(self) -> VpcCni:
        """The plugin's settings."""
        return VpcCni(
            warm_eni=self.warm_eni,
            warm_prefix=self.warm_prefix,
            warm_ip=self.warm_ip,
            minimum_ip=self.minimum_ip,
            prefix_mode=self.prefix_mode,
            custom_networking=self.custom_networking,
        )

    def zone_use(self, nodes: np.ndarray, pods: np.ndarray) -> np.ndarray:
        """Return the addresses that a zone's nodes and pods take, any shape [addresses].

        `pods` are those of services, a rollout's surge included. Inf where either is inf: no
        number of pods suffices there.
        """
        finite = np.isfinite(nodes) & np.isfinite(pods)
        whole, alive = np.where(finite, nodes, 0.0), np.where(finite, pods, 0.0)
        alive = alive + whole * self.daemonset_pods
        taken = zone_addresses(self, nodes=whole, pods=alive, cni=self.cni).pod_subnet
        return np.where(finite, taken, np.inf)


class AddressesCurve(_Curve):
    """Addresses that a zone's nodes and pods take: :func:`capmodel.capacity.addresses`.

    Pods spread evenly over the nodes. With whole nodes, one node more may take less: its pods leave
    interfaces of the others. The continuous form, in which a limit binds, has no such steps.
    """

    kind: Literal["addresses"] = "addresses"
    nodes: NodesCurve
    network: NodeNetwork
    surge: float = 0.0
    """Extra pods of a rollout [ratio]."""

    def usage(self, x: float, *, integer: bool = True) -> float:
        """Return the addresses of one zone at a multiple."""
        zones = self.nodes.zones
        each = [service.pods.pods(x, integer=integer) / zones for service in self.nodes.services]
        pods = sum(_whole(p) if integer else p for p in each) * (1 + self.surge)
        nodes = self.nodes.usage(x, integer=integer) / zones
        if math.isnan(pods) or math.isnan(nodes):
            return math.nan
        if integer:
            return float(self.network.zone_use(np.array(nodes), np.array(_whole(pods))))
        if nodes == 0:
            return 0.0
        mean = pods / nodes + self.network.daemonset_pods
        low = math.floor(mean)
        few, many = node_addresses(self.network, [low, low + 1], cni=self.network.cni).pod_subnet
        return float(nodes * (few + (mean - low) * (many - few)))


class NodesOfPool(_Curve):
    """A pool's nodes and what one of them uses of a limit."""

    per_node: float
    nodes: NodesCurve


class SumCurve(_Curve):
    """``usage = (line + sum over pods + sum over nodes) * imbalance``: a declared limit."""

    kind: Literal["sum"] = "sum"
    line: LinearCurve
    pods: tuple[PooledCaller, ...] = ()
    pools: tuple[NodesOfPool, ...] = ()
    imbalance_x: float = 1.0

    def usage(self, x: float, *, integer: bool = True) -> float:
        """Return the usage at a multiple [the limit's unit]."""
        total = self.line.usage(x, integer=integer)
        total += sum(caller.connections(x, integer=integer) for caller in self.pods)
        total += sum(p.per_node * p.nodes.usage(x, integer=integer) for p in self.pools)
        return total * self.imbalance_x


AnyCurve = (
    LinearCurve | BentCurve | ConnectionsCurve | BusyCurve | NodesCurve | AddressesCurve | SumCurve
)
Curve = Annotated[AnyCurve, Field(discriminator="kind")]
_ADAPTER: TypeAdapter[AnyCurve] = TypeAdapter(Curve)


def curve_from_dict(data: dict[str, object]) -> AnyCurve:
    """Return the curve that a saved plan holds."""
    return _ADAPTER.validate_python(data)


def multiple_at(curve: AnyCurve, bound: float) -> float:
    """Return the smallest multiple of today at which continuous usage reaches a bound.

    Parameters
    ----------
    curve
        The limit's usage.
    bound
        Policy or hard value [the limit's unit].

    Returns
    -------
    float
        The multiple; ``inf`` when the bound is never reached, 0 when it is reached without traffic,
        NaN where today is not known.

    Examples
    --------
    >>> round(multiple_at(LinearCurve(constant=0.4, slope=3.12), 0.70 * 16), 3)
    3.462
    """
    if math.isnan(curve.usage(1.0, integer=False)):
        return math.nan
    if curve.usage(0.0, integer=False) >= bound:
        return 0.0
    if isinstance(curve, LinearCurve):
        return (bound - curve.constant) / curve.slope if curve.slope > 0 else math.inf
    high = 1.0
    while curve.usage(high, integer=False) < bound:
        high *= 2
        if high > X_MAX:
            return math.inf
    low = 0.0
    for _ in range(200):
        middle = (low + high) / 2
        if middle in (low, high):
            break
        if curve.usage(middle, integer=False) >= bound:
            high = middle
        else:
            low = middle
    return high


@dataclass(frozen=True, slots=True)
class SweepPoint:
    """A limit at a multiple."""

    x: float
    usage: float
    utilization: float
    status: str


def sweep_points(
    curve: AnyCurve,
    *,
    hard: float,
    policy_x: float,
    multiples: Sequence[float],
    saturation: AnyCurve | None = None,
    follows_load: bool = True,
) -> tuple[SweepPoint, ...]:
    """Return how full a limit is at given multiples, with integer pods and nodes.

    RED where `saturation` (the curve itself by default) exceeds the hard value, AMBER where the
    usage exceeds policy * hard, GREY where it is not known, or where the fit saw usage follow
    something else than the load (`follows_load` False), GREEN otherwise.
    """
    within = "GREEN" if follows_load else "GREY"
    points = []
    for x in multiples:
        usage = curve.usage(x)
        full = usage if saturation is None else saturation.usage(x)
        status = "RED" if full > hard else "AMBER" if usage > policy_x * hard else within
        status = "GREY" if math.isnan(full) else status
        share = usage / hard if hard else math.inf
        points.append(SweepPoint(x=x, usage=usage, utilization=share, status=status))
    return tuple(points)
