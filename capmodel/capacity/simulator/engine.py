"""The event hour, tick by tick.

This module answers: what happens to every service of a cluster while demand moves faster than pods,
nodes and connections can follow?

One tick of 15 s: nodes arrive; pods find a place, start, connect and warm up; requests are served,
queued or refused; every autoscaler that syncs sets its replicas from what it saw `metric_delay_s`
ago; nodes are ordered. What is decided at the end of a tick has its effect in the next at the
earliest. Draws and services are axes of arrays; only ticks are a loop.

Before the first tick the cluster is at rest: pods run, warm and connected, and the autoscaler's
window holds their number. There is no sample of that time: an autoscaler acts on its first one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from capmodel.capacity.simulator.arrays import Arrays, Ring, arrays_of, nodes_for
from capmodel.capacity.simulator.autoscaling import limited, recommended
from capmodel.capacity.simulator.pods import Fleet
from capmodel.capacity.simulator.result import EventHour, Gauges, Trace
from capmodel.capacity.simulator.specs import TICK_S, Cluster, NodePool
from capmodel.capacity.simulator.traffic import Traffic
from capmodel.errors import InputError, Problem, nearest

__all__ = ["Start", "demand_array", "play", "simulate", "standing_start"]

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Start:
    """What stands when the simulation starts, and what is ordered later."""

    pods: Floats
    """Shape (D, S) [pods]."""
    nodes: Floats
    """Shape (D,) [nodes]."""
    floor: Floats
    """Pods that the autoscaler holds from `order_tick` on, shape (D, S); 0: its own minimum."""
    order_tick: int = 0
    """At its end, the floor becomes known."""
    judge_from: int = 0
    """First tick that counts as above hard."""


def simulate(
    cluster: Cluster,
    offered: npt.ArrayLike,
    *,
    pre_scale: Mapping[str, int] | None = None,
    order_s: float | None = None,
    keep_trace: bool = False,
) -> EventHour:
    """Play an event hour.

    Parameters
    ----------
    cluster
        Services, nodes, databases.
    offered
        First calls per second of each tick of 15 s, shape (T,) or (D, T) for one service, or
        (D, T, S) [1/s].
    pre_scale
        Service to pods that the autoscaler holds as a minimum; others keep their own. With
        `order_s` None they stand, with their nodes, at the start.
    order_s
        When the pre-scale is ordered [s from the start]; until then the pods of the spec run.
    keep_trace
        Keep every tick: memory of six arrays of shape (T, D, S).

    Returns
    -------
    EventHour
        Minutes above hard, requests, backlog, peaks; per draw and service.

    Raises
    ------
    InputError
        Wrong shapes, negative or missing demand, unknown services, pods above an autoscaler's
        bounds or without nodes: all problems together.

    Examples
    --------
    Ten pods at 60 % take a step to 1.5 times the load, and not to twice the load:

    >>> from capmodel.capacity.simulator.demand import step
    >>> from capmodel.capacity.simulator.specs import Autoscaler, ServiceSpec
    >>> api = ServiceSpec(
    ...     name="api",
    ...     per_request_core_s=0.01,
    ...     requested_cores=1.0,
    ...     effective_cores=1.0,
    ...     pods=10,
    ...     autoscaler=Autoscaler(target=0.6, min_pods=2, max_pods=60),
    ... )
    >>> cluster = Cluster(services=(api,))
    >>> hours = [simulate(cluster, step(600, factor=x, at_min=5, minutes=30)) for x in (1.5, 2.0)]
    >>> [hour.share_surviving for hour in hours], hours[1].minutes_above_hard.tolist()
    ([1.0, 0.0], [[2.0]])
    """
    demand = demand_array(cluster, offered)
    pods = _pre_scaled(cluster, pre_scale or {})
    draws = demand.shape[1]
    today = np.tile(np.array([float(s.pods) for s in cluster.services]), (draws, 1))
    floor = np.tile(pods, (draws, 1))
    arrays = arrays_of(cluster)
    if order_s is None:
        pods_now, order_tick = np.maximum(today, floor), 0
    else:
        pods_now, order_tick = today, _order_tick(order_s, len(demand))
    _check_nodes(cluster, today[0], arrays)
    nodes = standing_start(cluster.nodes, arrays, today, pods_now)
    start = Start(pods=pods_now, nodes=nodes, floor=floor, order_tick=order_tick)
    return play(cluster, demand, start, keep_trace=keep_trace)


def standing_start(pool: NodePool | None, arrays: Arrays, today: Floats, pods: Floats) -> Floats:
    """Return the nodes that stand under some pods: the pool's own, more where the pods need them.

    Parameters
    ----------
    pool
        None: no nodes are counted.
    arrays
        The cluster.
    today, pods
        Pods of the spec, and those that stand, shape (D, S) [pods].
    """
    if pool is None:
        return np.zeros(len(pods))
    own = nodes_for(today, arrays.node_share, pool) if pool.nodes is None else pool.nodes
    needed = nodes_for(pods, arrays.node_share, pool)
    nodes = np.where((pods > today).any(axis=1), np.maximum(own, needed), own)
    return np.asarray(np.minimum(nodes, pool.max_nodes), dtype=np.float64)


def demand_array(cluster: Cluster, offered: npt.ArrayLike) -> Floats:
    """Return the demand with axes ticks, draws, services, checked.

    Parameters
    ----------
    cluster
        Whose services are counted.
    offered
        As in :func:`simulate`.
    """
    given = np.asarray(offered, dtype=np.float64)
    count = len(cluster.services)
    if given.ndim == 1:
        given = given[None]
    if given.ndim == 2 and count == 1:  # noqa: PLR2004  the axes draws and ticks
        given = given[:, :, None]
    problems = []
    if given.ndim != 3 or given.shape[-1] != count or 0 in given.shape:  # noqa: PLR2004  axes
        problems.append(
            Problem(
                "offered",
                f"shape {np.shape(offered)}",
                f"(draws, ticks, {count}), or fewer axes for one service; none empty",
                "Put draws on axis 0, ticks of 15 s on axis 1, services on axis 2.",
            )
        )
    if not np.all(np.isfinite(given) & (given >= 0)):
        problems.append(
            Problem(
                "offered",
                "negative or missing values",
                "requests per second, at least 0",
                "Fill or correct them: the simulator guesses no demand.",
            )
        )
    if problems:
        raise InputError(problems)
    return np.ascontiguousarray(given.transpose(1, 0, 2))


def play(cluster: Cluster, demand: Floats, start: Start, *, keep_trace: bool = False) -> EventHour:
    """Play an event hour from arrays that were checked.

    Parameters
    ----------
    cluster
        Services, nodes, databases.
    demand
        First calls per second, shape (T, D, S) [1/s].
    start
        What stands and what is ordered.
    keep_trace
        Keep every tick.
    """
    return _Hour(cluster, demand, start).run(keep_trace=keep_trace)


class _Hour:
    """The state of one simulation."""

    def __init__(self, cluster: Cluster, demand: Floats, start: Start) -> None:
        self.cluster, self.demand, self.start = cluster, demand, start
        self.arrays = arrays = arrays_of(cluster)
        self.fleet = Fleet.standing(arrays, cluster.nodes, start.pods, start.nodes)
        self.traffic = Traffic(arrays, start.pods)
        draws, services = start.pods.shape
        self.gauges = Gauges.new(draws, services, len(arrays.ramp))
        # Ready pods and their utilization, as far back as the slowest metric looks.
        self.seen = Ring(arrays.metric_ticks, start.pods)
        self.metric = Ring(arrays.metric_ticks, start.pods)
        # Recommendations and replicas, as far back as the longest window and policy look.
        self.asked = Ring(arrays.down_ticks - 1, start.pods)
        self.asked.values[:] = start.pods
        self.past = Ring(np.maximum(arrays.up.ticks, arrays.down.ticks) - 1, start.pods)
        self.past.values[:] = start.pods
        self.utilization = np.full_like(start.pods, np.nan)

    def run(self, *, keep_trace: bool) -> EventHour:
        """Play every tick."""
        rows: list[tuple[Floats, ...]] = []
        for tick, rps in enumerate(self.demand):
            self.fleet.advance(tick)
            self._serve(tick, rps)
            self._watch()
            if keep_trace:
                rows.append(self._row())
            self._scale(tick)
            self.fleet.order_nodes(tick)
        trace = Trace(*(np.stack(part) for part in zip(*rows, strict=True))) if rows else None
        return self._result(trace)

    def _serve(self, tick: int, rps: Floats) -> None:
        arrays, fleet = self.arrays, self.fleet
        own = arrays.idle * fleet.ready + arrays.startup * fleet.cold()
        cores = np.maximum(arrays.effective * fleet.ready - own, 0.0)
        capacity = cores / arrays.per_request * TICK_S
        above, served = self.traffic.play(tick, rps * TICK_S, capacity)
        if tick >= self.start.judge_from:
            self.gauges.mark(tick, above, self.traffic.backlog)
        busy = own + served * arrays.per_request / TICK_S
        self.utilization = np.full_like(busy, np.nan)
        np.divide(busy, fleet.ready * arrays.requested, out=self.utilization, where=fleet.ready > 0)
        self.seen.write(tick, fleet.ready)
        self.metric.write(tick, np.where(fleet.ready > 0, self.utilization, 0.0))

    def _watch(self) -> None:
        gauges, fleet = self.gauges, self.fleet
        for peak, now in (
            (gauges.pods, fleet.replicas),
            (gauges.unplaced, fleet.pending),
            (gauges.refused_pods, fleet.waiting),
            (gauges.nodes, fleet.nodes),
            (gauges.connections, fleet.connections()),
            (gauges.wanted, fleet.connections(wanted=True)),
        ):
            np.maximum(peak, now, out=peak)

    def _row(self) -> tuple[Floats, ...]:
        fleet = self.fleet
        return (
            fleet.replicas.copy(),
            fleet.ready.copy(),
            self.utilization,
            self.traffic.backlog,
            fleet.nodes.copy(),
            fleet.connections(),
        )

    def _scale(self, tick: int) -> None:
        """Set the replicas of the autoscalers that sync now."""
        arrays, fleet = self.arrays, self.fleet
        replicas = fleet.replicas
        self.past.write(tick, replicas)
        ago = tick - arrays.metric_ticks
        wanted = recommended(
            replicas,
            seen=np.minimum(self.seen.read(ago), fleet.ready),
            utilization=self.metric.read(ago),
            target=arrays.target,
            tolerance=arrays.tolerance,
        )
        syncs = arrays.scales & (tick % arrays.sync_ticks == 0)
        # No sync, no recommendation: the windows look past it.
        self.asked.write(tick, np.where(syncs, wanted, 0.0))
        highest = self._highest(tick)
        steps = limited(
            np.where(wanted < replicas, np.minimum(highest, replicas), wanted),
            replicas,
            up=arrays.up,
            down=arrays.down,
            up_start=self.past.read(tick + 1 - arrays.up.ticks),
            down_start=self.past.read(tick + 1 - arrays.down.ticks),
        )
        known = self.start.floor if tick >= self.start.order_tick else np.zeros_like(replicas)
        least = np.maximum(arrays.min_pods, known)
        new = np.where(syncs, np.minimum(steps, arrays.max_pods), replicas)
        # Bounds are set at a sync; a service without an autoscaler is scaled by hand, at once.
        bound = syncs | ~arrays.scales
        fleet.rescale(np.where(bound, np.maximum(new, least), new), tick)

    def _highest(self, tick: int) -> Floats:
        """Return the highest recommendation of each service's stabilisation window."""
        windows = self.arrays.down_ticks
        values = self.asked.values
        if (windows == windows[0]).all():
            return np.asarray(values.max(axis=0))
        age = (tick - np.arange(len(values))) % len(values)
        counts = age[:, None, None] < windows
        return np.asarray(np.where(counts, values, 0.0).max(axis=0))

    def _result(self, trace: Trace | None) -> EventHour:
        gauges, totals = self.gauges, self.traffic.totals
        return EventHour(
            services=self.cluster.names,
            databases=tuple(database.name for database in self.cluster.databases),
            ticks=len(self.demand),
            minutes_above_hard=gauges.above * TICK_S / 60.0,
            first_above_hard_s=gauges.first_s(),
            last_above_hard_s=gauges.last_s(),
            offered=totals.offered,
            retried=totals.retried,
            served=totals.served,
            refused=totals.refused,
            expired=totals.expired,
            lost=totals.lost,
            queued=self.traffic.backlog,
            retry_due=self.traffic.due,
            largest_backlog=gauges.backlog,
            drain_s=gauges.drain_s(self.traffic.backlog),
            peak_pods=gauges.pods,
            peak_unplaced=gauges.unplaced,
            peak_refused_pods=gauges.refused_pods,
            peak_nodes=gauges.nodes,
            peak_connections=gauges.connections,
            peak_wanted_connections=gauges.wanted,
            trace=trace,
        )


def _order_tick(order_s: float, ticks: int) -> int:
    if not 0 <= order_s < ticks * TICK_S:
        raise InputError.of(
            "order_s",
            got=order_s,
            expected=f"a time within the simulated {ticks * TICK_S:g} s",
            do="Begin the demand earlier, with the load that comes before the event.",
        )
    return int(order_s // TICK_S)


def _pre_scaled(cluster: Cluster, pre_scale: Mapping[str, int]) -> Floats:
    """Return the pods that are held, shape (S,); 0 where none are."""
    problems = []
    for name in pre_scale:
        if name not in cluster.names:
            near = nearest(name, cluster.names)
            hint = f"Did you mean {near!r}?" if near else "Name a service of the cluster."
            problems.append(Problem("pre_scale", name, f"one of {list(cluster.names)}", hint))
    for service in cluster.services:
        pods = pre_scale.get(service.name, 0)
        most = service.autoscaler.max_pods if service.autoscaler else None
        if pods < 0 or pods != int(pods) or (most is not None and pods > most):
            bound = "" if most is None else f", at most max_pods ({most})"
            problems.append(
                Problem(
                    f"pre_scale[{service.name!r}]",
                    str(pods),
                    f"whole pods{bound}",
                    "Ask for fewer, or raise the autoscaler's max_pods.",
                )
            )
    if problems:
        raise InputError(problems)
    return np.array([float(pre_scale.get(name, 0)) for name in cluster.names])


def _check_nodes(cluster: Cluster, today: Floats, arrays: Arrays) -> None:
    pool = cluster.nodes
    if pool is None:
        return
    needed = float(nodes_for(today, arrays.node_share, pool)) - pool.spare_nodes
    stand = pool.max_nodes if pool.nodes is None else pool.nodes
    if needed > stand:
        raise InputError.of(
            "nodes",
            got=f"{stand} nodes",
            expected=f"at least the {needed:g} that the services' pods fill",
            do="Raise nodes or max_nodes, or start with fewer pods.",
        )
