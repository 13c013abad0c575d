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

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter

__all__ = [
    "AnyCurve",
    "BentCurve",
    "ConnectionsCurve",
    "Curve",
    "LinearCurve",
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

    def usage(self, x: float, *, integer: bool = True) -> float:
        """Return the connections at a multiple."""
        return sum(caller.connections(x, integer=integer) for caller in self.callers)


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

    def usage(self, x: float, *, integer: bool = True) -> float:
        """Return the nodes at a multiple."""
        zones = self.zones if integer else 1
        totals = [0.0] * len(self.usable)
        for service in self.services:
            pods = service.pods.pods(x, integer=integer) / zones
            share = _whole(pods) if integer else pods
            totals = [t + share * r for t, r in zip(totals, service.requests, strict=True)]
        fill = max(t / u for t, u in zip(totals, self.usable, strict=True))
        return zones * _whole(fill) if integer else fill


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


AnyCurve = LinearCurve | BentCurve | ConnectionsCurve | NodesCurve | SumCurve
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
        points.append(SweepPoint(x=x, usage=usage, utilization=usage / hard if hard else math.inf, status=status))
    return tuple(points)
