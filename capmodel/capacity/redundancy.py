"""Redundancy: what must stand so that a zone, a node or a rollout may take some of it away.

This module answers: how many nodes carry one to spare in each zone, how many pods may sit in one
zone, how busy may a zone be before another is lost, how long does a roll of the nodes take, and
does a placement really survive the loss of any zone? Pods per zone for a loss, ``A * ceil(N / (A -
k))``, and the surge stand in :mod:`capmodel.capacity.replicas`. Capacity that must survive is there
before the failure: in a zone loss everyone asks the other zones for nodes at once.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import bdtrc

from capmodel.capacity.nodes import Packing, PodShape, PoolNodes, Usable, whole_units
from capmodel.capacity.replicas import ceil_units, check_loss
from capmodel.errors import require

__all__ = [
    "Survival",
    "ZoneSpread",
    "availability",
    "max_utilization_before_loss",
    "n_plus_one_per_zone",
    "overprovision_nodes",
    "roll_rounds",
    "survives",
    "zone_spread",
]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class ZoneSpread:
    """Pods per zone under a topology spread constraint.

    ``counts`` of the most even spread, shape (..., zones); ``heaviest`` the most pods that the
    constraint lets one zone hold, shape (...): what its loss may take; ``unplaced`` pods that the
    constraint keeps pending, shape (...).
    """

    counts: Ints
    heaviest: Ints
    unplaced: Ints


@dataclass(frozen=True, slots=True, eq=False)
class Survival:
    """What happens to a placement when zones are removed.

    ``lost`` the L combinations of zones removed; ``moved`` pods of each of S services that had to
    be placed anew in the zones left, and ``unplaced`` those of them that found no node, shape
    (L, S) [pods].
    """

    lost: tuple[tuple[int, ...], ...]
    moved: Ints
    unplaced: Ints

    @property
    def holds(self) -> bool:
        """Whether every pod found a node, whichever zones are lost."""
        return not self.unplaced.any()


def n_plus_one_per_zone(
    need: npt.ArrayLike, *, per_node: npt.ArrayLike = 1.0, spare: int = 1
) -> Floats:
    """Return the nodes of a zone that may drain some of them: ``ceil(need / per_node) + spare``.

    Parameters
    ----------
    need
        What the zone needs, in nodes or in any unit that `per_node` shares; any shape.
    per_node
        What one node offers to pods.
    spare
        Nodes that may be missing at once: one that drains, or that an image roll replaces.

    Examples
    --------
    >>> n_plus_one_per_zone([30, 31.2], per_node=15.59).tolist()
    [3.0, 4.0]
    """
    offered = np.asarray(per_node, dtype=np.float64)
    wanted = np.asarray(need, dtype=np.float64)
    require(bool(np.all(offered > 0)), "per_node", per_node, "more than 0")
    require(bool(np.all(wanted >= 0)), "need", need, "at least 0")
    require(spare >= 0, "spare", spare, "at least 0")
    return np.asarray(ceil_units(wanted / offered) + spare)


def zone_spread(
    pods: npt.ArrayLike, *, zones: int, max_skew: int = 1, min_domains: int = 1
) -> ZoneSpread:
    """Return the pods per zone that a topology spread constraint allows (``DoNotSchedule``).

    Formula: no zone may exceed the emptiest by more than `max_skew`, so the heaviest holds at most
    ``min(pods, floor((pods + (zones - 1) * max_skew) / zones))``. With fewer zones than
    `min_domains` the emptiest counts as 0, and each zone takes at most `max_skew` pods.

    Parameters
    ----------
    pods
        Replicas, any shape [pods].
    zones
        Zones that have nodes for them.
    max_skew, min_domains
        Of the constraint; 1 and 1 are the defaults.

    References
    ----------
    Kubernetes documentation, *Pod Topology Spread Constraints*.

    Examples
    --------
    >>> spread = zone_spread(10, zones=3)
    >>> spread.counts.tolist(), int(spread.heaviest)
    ([4, 3, 3], 4)
    >>> int(zone_spread(10, zones=3, max_skew=4).heaviest)
    6
    """
    require(zones >= 1, "zones", zones, "at least 1")
    require(max_skew >= 1, "max_skew", max_skew, "at least 1")
    total = np.asarray(pods, dtype=np.int64)
    require(bool(np.all(total >= 0)), "pods", pods, "at least 0")
    even, rest = total // zones, total % zones
    counts = even[..., None] + (np.arange(zones) < rest[..., None])
    heaviest = np.minimum(total, (total + (zones - 1) * max_skew) // zones)
    if zones < min_domains:
        counts, heaviest = np.minimum(counts, max_skew), np.minimum(heaviest, max_skew)
    return ZoneSpread(
        counts=counts,
        heaviest=np.asarray(heaviest),
        unplaced=np.asarray(total - counts.sum(axis=-1)),
    )


def max_utilization_before_loss(utilization: npt.ArrayLike, *, zones: int, lost: int = 1) -> Floats:
    """Return the utilization that, before zones are lost, becomes the highest allowed after it.

    Formula: ``U * (A - k) / A``: the zones left carry the whole load.

    Parameters
    ----------
    utilization
        Highest utilization allowed after the loss [ratio].
    zones, lost
        Zones A, and zones k that may be lost at once.

    Examples
    --------
    >>> float(max_utilization_before_loss(0.75, zones=3))
    0.5
    """
    check_loss(lost, zones)
    return np.asarray(np.asarray(utilization, dtype=np.float64) * (zones - lost) / zones)


def roll_rounds(
    pods: npt.ArrayLike,
    *,
    max_unavailable: npt.ArrayLike,
    nodes: npt.ArrayLike = 0,
    nodes_at_once: int = 1,
) -> Floats:
    """Return the rounds that a roll of all nodes takes at least.

    Formula: ``max(ceil(pods / max_unavailable), ceil(nodes / nodes_at_once))``: every pod moves
    once, and the disruption budget lets `max_unavailable` of them be away at a time. A round lasts
    as long as a pod takes to end and another to start, so the roll takes ``rounds * (termination +
    start)`` seconds at least. A budget of 0 never drains: ``inf``.

    Parameters
    ----------
    pods
        Pods under the budget, any shape [pods].
    max_unavailable
        Pods that may be away at once [pods]; Kubernetes rounds a percentage up.
    nodes, nodes_at_once
        Nodes to replace, and how many at a time.

    References
    ----------
    Kubernetes documentation, *Specifying a Disruption Budget for your Application*.

    Examples
    --------
    >>> roll_rounds([20, 20, 20], max_unavailable=[1, 5, 0]).tolist()
    [20.0, 4.0, inf]
    >>> float(roll_rounds(20, max_unavailable=5, nodes=12, nodes_at_once=2))
    6.0
    """
    moving = np.asarray(pods, dtype=np.float64)
    allowed = np.asarray(max_unavailable, dtype=np.float64)
    replaced = np.asarray(nodes, dtype=np.float64)
    least = min(float(np.min(values, initial=0.0)) for values in (moving, allowed, replaced))
    require(least >= 0, "pods, max_unavailable, nodes", least, "at least 0")
    require(nodes_at_once >= 1, "nodes_at_once", nodes_at_once, "at least 1")
    moving, allowed = np.broadcast_arrays(moving, allowed)
    rounds = np.where(moving > 0, np.inf, 0.0)
    np.divide(moving, allowed, out=rounds, where=allowed > 0)
    return np.asarray(np.maximum(ceil_units(rounds), ceil_units(replaced / nodes_at_once)))


def overprovision_nodes(
    arrivals_per_min: npt.ArrayLike, *, node_start_min: npt.ArrayLike, zones: int = 1
) -> Floats:
    """Return the nodes kept empty so that pods need not wait for nodes.

    Formula: ``max(ceil(nodes needed per minute * minutes to start one), zones)``: those that would
    be on their way, and at least one in each zone.

    Parameters
    ----------
    arrivals_per_min
        Nodes that the steepest growth asks for [nodes/min], any shape.
    node_start_min
        Time from the request of a node to the first pod on it [min].
    zones
        Zones that the pool spans.

    References
    ----------
    aws-eks-best-practices @dc0243ad, "Overprovisioning" of the cluster autoscaler.

    Examples
    --------
    >>> overprovision_nodes([0.5, 2.5], node_start_min=2.0, zones=3).tolist()
    [3.0, 5.0]
    """
    rate = np.asarray(arrivals_per_min, dtype=np.float64)
    wait = np.asarray(node_start_min, dtype=np.float64)
    least = min(float(np.min(values, initial=0.0)) for values in (rate, wait))
    require(least >= 0, "arrivals_per_min, node_start_min", least, "at least 0")
    require(zones >= 1, "zones", zones, "at least 1")
    return np.asarray(np.maximum(ceil_units(rate * wait), float(zones)))


def availability(unit: npt.ArrayLike, *, units: int, needed: int = 1) -> Floats:
    """Return the probability that enough units are up, if they fail independently of each other.

    Formula: ``P(X >= needed)`` for X binomial (`units`, `unit`); with one needed ``1 - (1 - a)^n``.
    Zones, images and configurations fail together, so the figure is an upper bound; prefer to
    survive a named failure, see :func:`survives`.

    Parameters
    ----------
    unit
        Availability a of one unit [ratio], any shape.
    units, needed
        Units n, and units that carry the load.

    Examples
    --------
    >>> availability(0.99, units=3).round(9).tolist()
    0.999999
    >>> availability(0.99, units=3, needed=2).round(9).tolist()
    0.999702
    """
    up = np.asarray(unit, dtype=np.float64)
    require(bool(np.all((up >= 0) & (up <= 1))), "unit", unit, "a ratio in [0, 1]")
    require(0 <= needed <= units, "needed", f"{needed} of {units} units", "0 to all of them")
    return np.asarray(bdtrc(needed - 1, units, up) if needed else np.ones_like(up))


def survives(
    pool: PoolNodes | Sequence[Packing],
    shapes: Sequence[PodShape],
    *,
    usable: Usable,
    lost: int = 1,
    needed: Sequence[int] | None = None,
    max_skew: int | None = None,
) -> Survival:
    """Remove every combination of zones and place the missing pods on the nodes that are left.

    The zones left keep their pods; no node is added. What is missing of `needed` is placed first
    fit, largest first, into the room that these nodes really have in cores, memory and pods.

    Parameters
    ----------
    pool
        Placed nodes: a pool whose zones are alike (nodes beyond its packing are empty ones), or one
        packing for each zone.
    shapes
        What one pod of each of S services requests, in the order of the packing.
    usable
        What one node offers.
    lost
        Zones removed at once.
    needed
        Pods of each service that must run after the loss [pods]; None: as many as before it.
    max_skew
        Topology spread over the zones left: none may exceed the emptiest of them by more; None: no
        constraint. Pods that it keeps pending count as unplaced.

    Returns
    -------
    Survival
        Pods moved and unplaced, per combination and service.

    Raises
    ------
    InputError
        When no zone would be left, for counts that do not match the shapes, and for shapes or
        nodes that are not those of the packing.

    Examples
    --------
    Ten pods of 2 cores needed, five in each of three zones: any zone may go.

    >>> from capmodel.capacity.nodes import nodes_for
    >>> node = Usable("m6i.4xlarge", cpu_cores=15.59, memory_gib=55.8, pods=234)
    >>> shapes = [PodShape("api", 2, 4)]
    >>> pool = nodes_for(shapes, [5], usable=node, zones=3)
    >>> survives(pool, shapes, usable=node, needed=[10]).holds
    True
    >>> lossy = survives(pool, shapes, usable=node)  # and all fifteen?
    >>> lossy.moved.tolist(), lossy.unplaced.tolist()
    ([[5], [5], [5]], [[1], [1], [1]])
    """
    packings = _zones_of(pool)
    if not packings:
        return Survival(lost=(), moved=_no_pods(shapes), unplaced=_no_pods(shapes))
    check_loss(lost, len(packings))
    need, room = whole_units(shapes, usable)
    counts = np.stack([_pods_of(packing, len(shapes)) for packing, _ in packings])
    free = [_free_room(packing, nodes, need, room) for packing, nodes in packings]
    after = counts.sum(axis=0) if needed is None else np.asarray(needed, dtype=np.int64)
    require(
        after.shape == (len(shapes),) and bool(np.all(after >= 0)),
        "needed",
        needed,
        f"one count of at least 0 for each of {len(shapes)} services",
    )
    combinations = tuple(itertools.combinations(range(len(packings)), lost))
    order = sorted(
        range(len(shapes)),
        key=lambda i: (-int(need[i, 0]), -int(need[i, 1]), shapes[i].service),
    )
    moved = np.zeros((len(combinations), len(shapes)), dtype=np.int64)
    unplaced = np.zeros_like(moved)
    for row, gone in enumerate(combinations):
        # A zone without a node is no domain: no spread is counted over it.
        left = [zone for zone, nodes in enumerate(free) if zone not in gone and len(nodes)]
        rooms = [free[zone].copy() for zone in left]
        running = counts[np.array(left, dtype=np.int64)]
        moved[row] = np.maximum(after - running.sum(axis=0), 0)
        for shape in order:
            unplaced[row, shape] = _place(
                need[shape], int(moved[row, shape]), rooms, running[:, shape], max_skew=max_skew
            )
    return Survival(lost=combinations, moved=moved, unplaced=unplaced)


def _zones_of(pool: PoolNodes | Sequence[Packing]) -> list[tuple[Packing, int]]:
    """Return (packing, nodes) of each zone; none for a pool without nodes."""
    if isinstance(pool, PoolNodes):
        zones = pool.nodes // pool.per_zone if pool.per_zone else 0
        return [(pool.packing, pool.per_zone)] * zones
    return [(packing, packing.nodes) for packing in pool]


def _no_pods(shapes: Sequence[PodShape]) -> Ints:
    return np.zeros((0, len(shapes)), dtype=np.int64)


def _pods_of(packing: Packing, services: int) -> Ints:
    known = bool(np.all(packing.placements[:, 0] < services))
    require(known, "shapes", f"{services}", "the shapes of every service packed")
    counts = np.zeros(services, dtype=np.int64)
    np.add.at(counts, packing.placements[:, 0], packing.placements[:, 2])
    return counts


def _free_room(packing: Packing, nodes: int, need: Ints, room: Ints) -> Ints:
    """Return what each node of a zone has left, shape (nodes, 3)."""
    free = np.tile(room, (max(nodes, packing.nodes), 1))
    shape, node, pods = packing.placements.T
    np.subtract.at(free, node, need[shape] * pods[:, None])
    require(bool(np.all(free >= 0)), "usable", "less than the pods take", "the packing's own")
    return free


def _place(
    request: Ints, wanted: int, rooms: Sequence[Ints], running: Ints, *, max_skew: int | None
) -> int:
    """Place pods of one service into the rooms of the zones left; return how many found none."""
    asked = request > 0
    fits = [(room[:, asked] // request[asked]).min(axis=1) for room in rooms]
    most = np.array([int(zone.sum()) for zone in fits], dtype=np.int64)
    take = _share(wanted, most, running, max_skew=max_skew)
    for room, zone, pods in zip(rooms, fits, take, strict=True):
        before = np.cumsum(zone) - zone
        np.subtract(room, np.clip(pods - before, 0, zone)[:, None] * request, out=room)
    running += take
    return wanted - int(take.sum())


def _share(wanted: int, most: Ints, running: Ints, *, max_skew: int | None) -> Ints:
    """Return the pods that each zone takes: in order, or the emptiest first under a skew."""
    if max_skew is None or not most.any():
        before = np.cumsum(most) - most
        return np.asarray(np.clip(wanted - before, 0, most))
    take = np.zeros_like(most)
    for _ in range(wanted):
        level = running + take
        open_zones = np.flatnonzero((take < most) & (level + 1 - level.min() <= max_skew))
        if not len(open_zones):
            break
        take[open_zones[level[open_zones].argmin()]] += 1
    return take
