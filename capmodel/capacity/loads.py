"""From root paths to the load of every node in the busiest minute of each day.

This module answers: under a scenario, how many requests per second reach a node, on each path and
local day, in the day's busiest minute, and what do its neighbours receive *in that same minute*?
Loads are linear in the roots, so a node is a set of weights on root paths; peaks of several roots
are added minute by minute, never peak to peak.

Shapes: D draws, N local days, H hours of a day (1 where only day peaks are known).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from capmodel.errors import InputError
from capmodel.schema import Basis, rng_for, worst_basis

if TYPE_CHECKING:
    from capmodel.demand.paths import RootPaths
    from capmodel.scenario import LogNormal
    from capmodel.topology import Topology

__all__ = [
    "CallRatio",
    "Loads",
    "RootMinutes",
    "Weights",
    "call_weights",
    "point_weights",
    "root_minutes",
    "stated_peak_factor",
]

Value = TypeVar("Value")
Taken = TypeVar("Taken")
Weights = Mapping[str, np.ndarray]
"""Root to the node's requests per root event, shape (D, N) or (1, 1)."""


@dataclass(frozen=True, slots=True)
class CallRatio:
    """Calls of one edge per unit of the caller: a distribution, with its own event-day regime."""

    caller: str
    node: str
    ratio: float
    """Central calls per caller unit on ordinary days [ratio]."""
    log_se: float = 0.0
    """Log standard error of the central ratio, drawn once per path."""
    day_log_sd: float = 0.0
    """Log standard deviation from day to day, drawn per path and day."""
    event_x: float = 1.0
    """Event days' ratio / ordinary days' ratio."""
    event_log_se: float = 0.0
    basis: Basis = "assumed"


@dataclass(frozen=True, slots=True, eq=False)
class RootMinutes:
    """One root's busiest minutes before a scenario's factor, in events per second.

    The burst is drawn at the rate of each hour, so scenarios of other rates have other minutes.
    """

    root: RootPaths
    day_peak: np.ndarray
    """Busiest minute of each day, shape (D, N) [1/s]."""
    burst_x: np.ndarray
    """Busiest minute of the day / mean of its hour, shape (D, N) [ratio]."""
    minutes: np.ndarray | None
    """Busiest minute of each hour, shape (D, N, H) [1/s]; None where one root feeds each node."""

    def take(self, draws: slice, days: slice) -> RootMinutes:
        """Return these draws and days; `root` stays whole."""
        minutes = None if self.minutes is None else taken(self.minutes, draws, days)
        return replace(
            self,
            day_peak=taken(self.day_peak, draws, days),
            burst_x=taken(self.burst_x, draws, days),
            minutes=minutes,
        )


def taken(values: np.ndarray, draws: slice, days: slice) -> np.ndarray:
    """Return a view of some draws and days of an array that may be broadcast along either."""
    rows = values if len(values) == 1 else values[draws]
    return rows if rows.shape[1] == 1 else rows[:, days]


class _Lazily(Mapping[str, Taken]):
    """A mapping of the same keys, each value made when it is asked for."""

    def __init__(self, base: Mapping[str, Value], made: Callable[[Value], Taken]) -> None:
        self._base, self._made = base, made

    def __getitem__(self, key: str) -> Taken:
        return self._made(self._base[key])

    def __iter__(self) -> Iterator[str]:
        return iter(self._base)

    def __len__(self) -> int:
        return len(self._base)


def root_minutes(root: RootPaths, burst: np.ndarray, *, keep_hours: bool) -> RootMinutes:
    """Return a root's busiest minutes: hour means times the burst drawn for each hour and path.

    Parameters
    ----------
    root
        Hour means, shape (D or 1, N, H).
    burst
        Peak minute / mean of its hour, shape broadcastable to (D, N, H) [ratio].
    keep_hours
        Keep every hour, for nodes that several roots feed.
    """
    seconds = 60.0 if root.quantity == "per_min" else 1.0
    minutes = root.shape * burst / seconds
    hour = minutes.argmax(axis=2)[:, :, None]
    factors = np.broadcast_to(burst, minutes.shape)
    return RootMinutes(
        root=root,
        day_peak=np.take_along_axis(minutes, hour, axis=2)[:, :, 0],
        burst_x=np.take_along_axis(factors, hour, axis=2)[:, :, 0],
        minutes=minutes if keep_hours else None,
    )


def _edge_draws(edge: CallRatio, *, is_event: np.ndarray, draws: int, seed: int) -> np.ndarray:
    """Return calls per caller unit, shape (D, N), or (1, 1) for a plain number."""
    if not (edge.log_se or edge.day_log_sd or edge.event_log_se) and edge.event_x == 1.0:
        return np.full((1, 1), edge.ratio)
    names = (edge.caller, edge.node)
    level = edge.log_se * rng_for(seed, "calls", *names).standard_normal(draws)
    event_log = np.log(edge.event_x) + edge.event_log_se * rng_for(
        seed, "calls-event", *names
    ).standard_normal(draws)
    log_ratio = level[:, None] + np.where(is_event[None, :], event_log[:, None], 0.0)
    if edge.day_log_sd:
        noise = rng_for(seed, "calls-day", *names).standard_normal((draws, len(is_event)))
        log_ratio = log_ratio + edge.day_log_sd * noise
    return np.asarray(edge.ratio * np.exp(log_ratio))


def call_weights(
    topology: Topology,
    edges: Mapping[tuple[str, str], CallRatio],
    *,
    is_event: np.ndarray,
    draws: int,
    seed: int,
    edge_x: Mapping[tuple[str, str], np.ndarray] = MappingProxyType({}),
) -> dict[str, dict[str, np.ndarray]]:
    """Return each node's requests per event of each root, multiplied along every path of calls.

    Formula: the forced flow law, ``V_node = sum over callers of V_caller * calls`` (Denning &
    Buzen 1978, *The Operational Analysis of Queueing Network Models*).

    Parameters
    ----------
    topology
        The call graph.
    edges
        Ratio of each edge by (caller, node).
    is_event
        Which local days take the event regime, shape (N,).
    draws, seed
        Number of paths and the plan's seed; streams are named by the edge.
    edge_x
        (caller, node) to what multiplies its calls on each day, shape (1, N) [ratio].

    Returns
    -------
    dict
        Node to root to weights, shape (D, N) or (1, 1).
    """
    weights: dict[str, dict[str, np.ndarray]] = {}
    for node in topology.order:
        callers = topology.calls_of(node)
        if not callers:
            weights[node] = {node: np.ones((1, 1))}
            continue
        total: dict[str, np.ndarray] = {}
        for caller in callers:
            ratio = _edge_draws(edges[caller, node], is_event=is_event, draws=draws, seed=seed)
            ratio = ratio * edge_x[caller, node] if (caller, node) in edge_x else ratio
            for root, weight in weights[caller].items():
                part = weight * ratio
                total[root] = total[root] + part if root in total else part
        weights[node] = total
    return weights


def point_weights(
    topology: Topology, edges: Mapping[tuple[str, str], CallRatio], *, event: bool = False
) -> dict[str, dict[str, float]]:
    """Return the central weights of :func:`call_weights`, on ordinary or on event days."""
    weights: dict[str, dict[str, float]] = {}
    for node in topology.order:
        callers = topology.calls_of(node)
        weights[node] = {} if callers else {node: 1.0}
        for caller in callers:
            edge = edges[caller, node]
            ratio = edge.ratio * (edge.event_x if event else 1.0)
            for root, weight in weights[caller].items():
                weights[node][root] = weights[node].get(root, 0.0) + weight * ratio
    return weights


def weights_basis(
    topology: Topology, edges: Mapping[tuple[str, str], CallRatio], node: str
) -> Basis:
    """Return the weakest evidence on any path of calls to a node."""
    return worst_basis(edges[pair].basis for pair in topology.edges_to(node))


def stated_peak_factor(
    peak: np.ndarray, *, stated: LogNormal, season: np.ndarray, normal: np.ndarray
) -> np.ndarray:
    """Return the factor that gives each path the stated busiest minute of the season.

    Parameters
    ----------
    peak
        Busiest minute of each day, shape (D, N) [any unit].
    stated
        The season's busiest minute [the same unit].
    season
        Which days belong to the season, shape (N,).
    normal
        Standard normal draws, shape (D,).

    Returns
    -------
    numpy.ndarray
        Shape (D, 1) [ratio].
    """
    target = stated.p50 * np.exp(stated.sigma * normal)
    return np.asarray((target / peak[:, season].max(axis=1))[:, None])


@dataclass(frozen=True, slots=True, eq=False)
class Loads:
    """The load of every node under one scenario."""

    dates: np.ndarray
    roots: Mapping[str, RootMinutes]
    factor: Mapping[str, np.ndarray]
    """What the scenario multiplies each root by, shape (D, N)."""
    weights: Mapping[str, Weights]
    remainder: Mapping[str, np.ndarray] = field(default_factory=dict)
    """Node to its own busiest minute / the one carried down to it, shape (D, N) [ratio].

    It multiplies the node's own load, not what the node calls; nodes without one follow the roots.
    """

    cores_x: Mapping[str, np.ndarray] = field(default_factory=dict)
    """Service to cores per request and per pod on each day / today's, shape (N,) [ratio].

    What serves the loads, not the loads: :mod:`capmodel.capacity.phases` puts it on the estate.
    """

    def take(self, draws: slice, days: slice) -> Loads:
        """Return the loads of some draws and days, as views; what is not asked for costs nothing.

        Examples
        --------
        One path and day: ``loads.take(slice(d, d + 1), slice(n, n + 1))``.
        """

        def part(values: np.ndarray) -> np.ndarray:
            return taken(values, draws, days)

        def parts(weights: Weights) -> Weights:
            return {root: part(weight) for root, weight in weights.items()}

        return Loads(
            dates=self.dates[days],
            roots=_Lazily(self.roots, lambda root: root.take(draws, days)),
            factor=_Lazily(self.factor, part),
            weights=_Lazily(self.weights, parts),
            remainder=_Lazily(self.remainder, part),
            cores_x={name: x[days] for name, x in self.cores_x.items()},
        )

    def root_peak(self, root: str) -> np.ndarray:
        """Return a root's busiest minute of each day, shape (D, N) [1/s]."""
        return np.asarray(self.roots[root].day_peak * self.factor[root])

    def instant(self, mix: Mapping[str, float]) -> dict[str, np.ndarray]:
        """Return the roots' loads in the day's busiest minute of a mix of nodes.

        Parameters
        ----------
        mix
            Node to the weight of one of its requests (cores, pods, connections per request).

        Returns
        -------
        dict
            Root to load, shape (D, N) [1/s], all in the same minute of the same path.
        """
        parts: dict[str, np.ndarray] = {}
        for node, unit in mix.items():
            own = self.remainder.get(node, 1.0)
            for root, weight in self.weights[node].items():
                part = np.asarray(unit * weight * own)
                parts[root] = parts[root] + part if root in parts else part
        if len(parts) <= 1:
            return {root: self.root_peak(root) for root in parts}
        return self._joint_instant(parts)

    def _joint_instant(self, parts: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        hourly = {root: self._minutes(root) for root in parts}
        hours = max(minutes.shape[2] for minutes in hourly.values())
        best: np.ndarray | None = None
        hour = np.zeros((1, 1), dtype=int)
        for h in range(hours):
            total = sum(
                part * self.factor[root] * hourly[root][:, :, min(h, hourly[root].shape[2] - 1)]
                for root, part in parts.items()
            )
            total = np.asarray(total)
            if best is None:
                best, hour = total, np.zeros(total.shape, dtype=int)
            else:
                better = total > best
                best = np.where(better, total, best)
                hour = np.where(better, h, hour)
        return {root: self._at_hour(root, hourly[root], hour) for root in parts}

    def _minutes(self, root: str) -> np.ndarray:
        minutes = self.roots[root].minutes
        return self.roots[root].day_peak[:, :, None] if minutes is None else minutes

    def _at_hour(self, root: str, minutes: np.ndarray, hour: np.ndarray) -> np.ndarray:
        index = np.minimum(hour, minutes.shape[2] - 1)[:, :, None]
        full = np.broadcast_to(minutes, (*hour.shape, minutes.shape[2]))
        return np.asarray(np.take_along_axis(full, index, axis=2)[:, :, 0] * self.factor[root])

    def at(self, node: str, instant: Mapping[str, np.ndarray]) -> np.ndarray:
        """Return a node's load in an instant, its remainder included, shape (D, N) [1/s]."""
        weights = self.weights[node]
        carried = np.asarray(sum(instant[root] * weight for root, weight in weights.items()))
        return carried * self.remainder[node] if node in self.remainder else carried

    def day_mean(self, node: str) -> np.ndarray:
        """Return a node's mean load of each day, shape (D, N) [1/s].

        Raises
        ------
        InputError
            When a root that reaches the node is declared as a busiest minute: its day is not known.
        """
        total: np.ndarray | float = 0.0
        for root, weight in self.weights[node].items():
            path = self.roots[root].root
            if path.shape.shape[2] == 1:
                raise InputError.of(
                    root,
                    got="a level declared as a busiest minute, of which no mean of a day follows",
                    expected="a forecast with hours",
                    do="State growth per day instead of per write, or give a history.",
                )
            seconds = 60.0 if path.quantity == "per_min" else 1.0
            total = total + weight * self.factor[root] * path.shape.mean(axis=2) / seconds
        return np.asarray(total)

    def day_peak(self, node: str) -> np.ndarray:
        """Return a node's own busiest minute of each day, shape (D, N) [1/s]."""
        return self.at(node, self.instant({node: 1.0}))


def joint_roots(groups: Sequence[Sequence[str]], weights: Mapping[str, Weights]) -> set[str]:
    """Return the roots whose hours must be kept: those that meet another root in some group.

    Parameters
    ----------
    groups
        Sets of nodes that share something (a database, a pool), and each node by itself.
    weights
        Node to root to weight.
    """
    joint: set[str] = set()
    for group in groups:
        roots = {root for node in group for root in weights[node]}
        if len(roots) > 1:
            joint |= roots
    return joint
