"""How many pods must stand before an event, and when they must be ordered.

This module answers: autoscaling is late; which pods per service have to run when the event begins,
on how many nodes, so that an accepted share of the draws at most is above hard in any service, and
what is the latest time to order them?
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from capmodel.capacity.replicas import SLACK, ceil_units
from capmodel.capacity.risk import union_level
from capmodel.capacity.simulator.arrays import Arrays, arrays_of, nodes_for, ticks_up
from capmodel.capacity.simulator.engine import Start, demand_array, play, standing_start
from capmodel.capacity.simulator.result import EventHour
from capmodel.capacity.simulator.specs import TICK_S, Cluster
from capmodel.errors import InputError
from capmodel.schema import order_statistic

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["PreScale", "required_pre_scale"]

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

_NO_BOUND: Final = 10**9
"""More nodes or connections than any simulation asks for."""

_PARTS: Final = 64
"""Steps from the services' own needs to their autoscaler-free ones."""

_SPARE_TICKS: Final = 8
"""Ticks that an order takes beside its delays: syncs, one tick from decision to effect each."""


@dataclass(frozen=True, slots=True, eq=False)
class PreScale:
    """Pods that must stand before an event: S services, D draws, K databases."""

    services: tuple[str, ...]
    pods_now: Floats
    """Pods of the specs, shape (S,) [pods]."""
    pods: Floats
    """Pods to hold as the autoscaler's minimum, shape (S,) [pods]; never fewer than now. Where
    `limits` are named, as many as they allow or more: not enough, or not to be had."""
    need: Floats
    """The same for each draw alone, shape (D, S) [pods]; ``inf`` where max_pods is too few."""
    nodes: float
    """Nodes under `pods`, spare ones included [nodes]; 0 without a node pool."""
    connections: Floats
    """Connections of `pods`, shape (K,) [connections]."""
    share_without: float
    """Share of draws above hard in any service without a pre-scale [ratio]."""
    share_above_hard: float
    """The same with `pods` standing, simulated [ratio]."""
    event_s: float
    """Start of the first tick above hard of any draw without a pre-scale [s from the start of the
    demand]; NaN where there is none."""
    latest_order_s: float
    """Latest time of the order [s from the start of the demand, before it if negative]; NaN where
    no pre-scale is needed or none helps."""
    limits: tuple[str, ...]
    """What stands in the way; empty where the pre-scale does it."""

    @property
    def feasible(self) -> bool:
        """Whether the pre-scale keeps the accepted share."""
        return not self.limits

    @property
    def lead_s(self) -> float:
        """Time from the latest order to the first tick that would be above hard [s]."""
        return self.event_s - self.latest_order_s

    def to_frame(self) -> pd.DataFrame:
        """Return one row per service: pods now, pods to hold, pods to add."""
        import pandas as pd  # noqa: PLC0415  seconds of import; searches need none

        return pd.DataFrame(
            {
                "service": self.services,
                "pods_now": self.pods_now,
                "pods": self.pods,
                "added_pods": self.pods - self.pods_now,
            }
        )


def required_pre_scale(cluster: Cluster, offered: npt.ArrayLike, *, risk: float = 0.0) -> PreScale:
    """Return the pods that must stand before an event, and the latest time to order them.

    Each draw's need is found by bisection between today's pods and those that carry the draw's
    peak without any autoscaler; the bounds of nodes and connections are left out of that search.
    The services are sized at one common level of their needs, so that the union of their draws
    above hard keeps the risk (see :func:`capmodel.capacity.risk.union_level`), and played together
    with every bound. Where that fails, because all of them wait for the same nodes, every service
    is raised by the same share of the way to its autoscaler-free need, the smallest share of 1/64
    that holds; where none does, the bounds in the way are named. The latest order is found by
    bisection over the time of the order, played from today's pods and nodes under the first tick's
    demand.

    Bisection takes for granted that more pods, or earlier ones, are never worse. The autoscaler's
    tolerance can break that by a pod or two: ten pods at 66.6 % become twelve, eleven at 60.5 %
    stay. What is returned was simulated and holds, and each draw's need less one pod was simulated
    and does not; a still smaller number may hold by such luck.

    Parameters
    ----------
    cluster
        Services, nodes, databases as they run today.
    offered
        First calls per second of each tick of 15 s, shape (T,) or (D, T) for one service, or
        (D, T, S) [1/s].
    risk
        Accepted share of draws with any service above hard in any tick [ratio].

    Returns
    -------
    PreScale
        Pods per service, nodes, connections, latest order, limits in the way.

    Raises
    ------
    InputError
        Bad demand, or a risk outside [0, 1).

    Examples
    --------
    Ten pods at 60 % do not take twice the load; twelve do, ordered a minute before (a sync,
    and the start of a pod):

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
    >>> need = required_pre_scale(
    ...     Cluster(services=(api,)), step(600, factor=2, at_min=5, minutes=30)
    ... )
    >>> need.pods.tolist(), need.lead_s, need.share_above_hard
    ([12.0], 60.0, 0.0)
    """
    if not 0 <= risk < 1:
        raise InputError.of("risk", got=risk, expected="a ratio in [0, 1)", do="Write 2 % as 0.02.")
    search = _Search(cluster, demand_array(cluster, offered), risk)
    without = search.play(search.today, cluster)
    above = without.minutes_above_hard > 0
    need = search.needs(_unbounded(cluster), above)
    held, hour = search.together(need)
    latest, limits = np.nan, search.limits(need, held, hour)
    if not limits and bool(np.any(held > search.today)):
        latest = search.latest_order_s(held[0], without)
        limits = () if np.isfinite(latest) else ("no order is early enough",)
    pool, arrays = cluster.nodes, search.arrays
    firsts = without.first_above_hard_s[above]
    return PreScale(
        services=cluster.names,
        pods_now=search.today[0],
        pods=held[0],
        need=need,
        nodes=0.0 if pool is None else float(nodes_for(held[0], arrays.node_share, pool)),
        connections=held[0] @ arrays.pools,
        share_without=search.share(without),
        share_above_hard=search.share(hour),
        event_s=float(firsts.min()) if len(firsts) else np.nan,
        latest_order_s=latest,
        limits=limits,
    )


def _unbounded(cluster: Cluster) -> Cluster:
    """Return the cluster with room for every node and connection."""
    pool = cluster.nodes
    return cluster.model_copy(
        update={
            "nodes": pool and pool.model_copy(update={"max_nodes": _NO_BOUND}),
            "databases": tuple(
                database.model_copy(update={"max_connections": _NO_BOUND})
                for database in cluster.databases
            ),
        }
    )


class _Search:
    """One demand on one cluster, played with different pods at the start."""

    def __init__(self, cluster: Cluster, demand: Floats, risk: float) -> None:
        self.cluster, self.demand, self.risk = cluster, demand, risk
        self.arrays: Arrays = arrays_of(cluster)
        self.today = np.tile(self.arrays.pods, (demand.shape[1], 1))

    def play(self, pods: Floats, cluster: Cluster) -> EventHour:
        """Play the event with some pods standing and held, shape (D, S)."""
        nodes = standing_start(cluster.nodes, self.arrays, self.today, pods)
        held = np.where(pods > self.today, pods, 0.0)
        return play(cluster, self.demand, Start(pods=pods, nodes=nodes, floor=held))

    def share(self, hour: EventHour) -> float:
        """Return the share of draws above hard in any service."""
        return 1.0 - hour.share_surviving

    def needs(self, cluster: Cluster, above: Bools) -> Floats:
        """Return each draw's and service's smallest pods at the start, shape (D, S).

        Parameters
        ----------
        cluster
            What is played.
        above
            Which draws and services are above hard with today's pods.
        """
        enough = np.maximum(np.minimum(self._static(), self.arrays.max_pods), self.today)
        low, high = self.today.copy(), np.where(above, enough, self.today)
        never = self.play(high, cluster).minutes_above_hard > 0
        while (open_ := above & ~never & (high - low > 1)).any():
            middle = np.where(open_, np.floor((low + high) / 2), high)
            hit = self.play(middle, cluster).minutes_above_hard > 0
            low = np.where(open_ & hit, middle, low)
            high = np.where(open_ & ~hit, middle, high)
        return np.where(above & never, np.inf, high)

    def together(self, need: Floats) -> tuple[Floats, EventHour]:
        """Return pods that keep the risk for all services together, shape (D, S), and their hour.

        Where no share of the way to the autoscaler-free need does, those of the level.
        """
        least = self.at_level(need)
        first = self.play(least, self.cluster)
        if self.share(first) <= self.risk + SLACK:
            return least, first
        most = np.maximum(self.at_level(np.minimum(self._static(), self.arrays.max_pods)), least)

        def raised(part: int) -> tuple[Floats, EventHour]:
            pods = ceil_units(least + (most - least) * part / _PARTS)
            return pods, self.play(pods, self.cluster)

        low = 0
        for part in range(_PARTS // 4, _PARTS + 1, _PARTS // 4):
            found = raised(part)
            if self.share(found[1]) <= self.risk + SLACK:
                break
            low = part
        else:
            return least, first
        high = low + _PARTS // 4
        while high - low > 1:
            middle = (low + high) // 2
            tried = raised(middle)
            if self.share(tried[1]) <= self.risk + SLACK:
                high, found = middle, tried
            else:
                low = middle
        return found

    def _static(self) -> Floats:
        """Return the pods that carry each draw's peak without any autoscaler, shape (D, S)."""
        arrays = self.arrays
        one_pod = arrays.effective - arrays.idle
        return ceil_units(self.demand.max(axis=0) * arrays.per_request / one_pod)

    def at_level(self, need: Floats) -> Floats:
        """Return the pods that keep the risk for all services together, shape (D, S), every draw.

        Where no number of pods does, the largest that the autoscaler may run.
        """
        draws = len(need)
        level = union_level(need.T, np.full(draws, 1.0 / draws), self.risk)
        pods = np.array([column[order_statistic(column, level)] for column in need.T])
        finite = np.where(np.isfinite(need), need, 0.0).max(axis=0)
        most = np.where(np.isfinite(self.arrays.max_pods), self.arrays.max_pods, finite)
        pods = np.where(np.isfinite(pods), pods, np.maximum(most, self.arrays.pods))
        return np.tile(pods, (draws, 1))

    def limits(self, need: Floats, held: Floats, hour: EventHour) -> tuple[str, ...]:
        """Return what keeps the standing pods from holding the risk."""
        if self.share(hour) <= self.risk + SLACK:
            return ()
        short = (np.isinf(need) & (hour.minutes_above_hard > 0)).any(axis=0)
        at_most = held[0] >= self.arrays.max_pods
        named = [
            f"max_pods of {name}"
            for name, binds in zip(self.cluster.names, short & at_most, strict=True)
            if binds
        ]
        pool = self.cluster.nodes
        if pool is not None and hour.peak_unplaced.any():
            full = hour.peak_nodes.max() >= pool.max_nodes
            named.append("max_nodes" if full else "launch_per_min and node_start_s")
        named += [
            f"max_connections of {database.name}"
            for database, wanted in zip(
                self.cluster.databases, hour.peak_wanted_connections.T, strict=True
            )
            if wanted.max() > database.max_connections
        ]
        return tuple(named) or ("pods that start too late",)

    def latest_order_s(self, pods: Floats, without: EventHour) -> float:
        """Return the latest order that keeps the risk [s from the start]; NaN where none does."""
        pad = self._longest_lead(pods)
        first = without.first_above_hard_s
        event = int(np.nanmin(first) // TICK_S)
        demand = np.concatenate([np.repeat(self.demand[:1], pad, axis=0), self.demand])
        floor = np.tile(np.where(pods > self.arrays.pods, pods, 0.0), (len(self.today), 1))
        nodes = standing_start(self.cluster.nodes, self.arrays, self.today, self.today)

        def holds(tick: int) -> bool:
            start = Start(
                pods=self.today, nodes=nodes, floor=floor, order_tick=tick, judge_from=pad
            )
            return self.share(play(self.cluster, demand, start)) <= self.risk + SLACK

        early, late = 0, pad + event + 1
        if not holds(early):
            return float("nan")
        while late - early > 1:
            middle = (early + late) // 2
            early, late = (middle, late) if holds(middle) else (early, middle)
        return (early - pad) * TICK_S

    def _longest_lead(self, pods: Floats) -> int:
        """Return ticks within which an order stands, whatever the other services do."""
        arrays, pool = self.arrays, self.cluster.nodes
        ticks = int((arrays.start_ticks + arrays.warm_ticks + arrays.sync_ticks).max())
        if pool is not None:
            nodes = float(nodes_for(pods, arrays.node_share, pool))
            ticks += ticks_up(pool.node_start_s + 60.0 * nodes / pool.launch_per_min)
        opened = np.max(pods @ arrays.pools / arrays.ramp, initial=0.0)
        return ticks + int(ceil_units(opened)) + _SPARE_TICKS
