"""What failures do to calls and queries, in fixed stages: retries, then caches, then losses.

This module answers: with these overlays together, how often is each node called, what reaches each
database, and how many zones are left? Every stage multiplies what it meets, and losses come last,
so the order in which overlays are listed changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from capmodel.capacity.simulator.retries import retry_factor
from capmodel.scenario import ColdCacheOverlay, LoseZonesOverlay, RetryStormOverlay

if TYPE_CHECKING:
    from capmodel.capacity.loads import CallRatio
    from capmodel.scenario import Overlay
    from capmodel.topology import Database, Topology

__all__ = ["Disturbed", "disturb", "miss_factor"]


@dataclass(frozen=True, slots=True, eq=False)
class Disturbed:
    """A topology and its calls under failures."""

    topology: Topology
    calls: Mapping[tuple[str, str], CallRatio]
    root_x: Mapping[str, float]
    """Retries of the users of a root / their first attempts, plus 1 [ratio]."""
    zones_lost: int
    touched: frozenset[str]
    """Nodes and databases whose load is not what it was."""


def miss_factor(usual: float, cold: float) -> float:
    """Return reads that pass a cold cache / reads that pass it usually.

    Formula: ``(1 - cold) / (1 - usual)``.

    Parameters
    ----------
    usual, cold
        Share of reads that the cache answers [ratio].

    Examples
    --------
    >>> round(miss_factor(0.8, 0.4), 9), round(miss_factor(0.8, 0.0), 9)
    (3.0, 5.0)
    """
    return (1.0 - cold) / (1.0 - usual)


def disturb(
    topology: Topology, calls: Mapping[tuple[str, str], CallRatio], overlays: Sequence[Overlay]
) -> Disturbed:
    """Return topology and calls under all these overlays at once.

    Parameters
    ----------
    topology, calls
        As they stand.
    overlays
        Failures whose names the topology knows (:func:`capmodel.scenario.check_overlays`). Zones
        lost add up; of several cold caches of one database each multiplies its misses.
    """
    retried: dict[str, float] = {}
    missed: dict[str, float] = {}
    zones = 0
    for overlay in overlays:
        if isinstance(overlay, RetryStormOverlay):
            x = float(
                retry_factor(
                    overlay.failure,
                    attempts=overlay.attempts,
                    layers=overlay.layers,
                    budget=overlay.budget,
                )
            )
            retried[overlay.target] = retried.get(overlay.target, 1.0) * x
        elif isinstance(overlay, ColdCacheOverlay):
            usual = topology.databases[overlay.database].cache_hit_ratio or 0.0
            x = miss_factor(usual, overlay.hit_ratio)
            missed[overlay.database] = missed.get(overlay.database, 1.0) * x
        elif isinstance(overlay, LoseZonesOverlay):
            zones += overlay.zones
    more = {pair: replace(edge, ratio=edge.ratio * retried.get(pair[1], 1.0))
            for pair, edge in calls.items()}  # fmt: skip
    databases = {
        name: _queried(database, retried.get(name, 1.0), missed.get(name, 1.0))
        for name, database in topology.databases.items()
    }
    return Disturbed(
        topology=topology.model_copy(update={"databases": databases}),
        calls=more,
        root_x={root: retried[root] for root in topology.roots if root in retried},
        zones_lost=zones,
        touched=_touched(topology, retried, missed),
    )


def _queried(database: Database, retried: float, missed: float) -> Database:
    """Return a database whose callers send more: all queries retried, reads missed besides."""
    if retried == missed == 1.0:
        return database
    used_by = {
        user: caller.model_copy(
            update={
                "reads": caller.reads * retried * missed,
                "writes": caller.writes * retried,
            }
        )
        for user, caller in database.used_by.items()
    }
    return database.model_copy(update={"used_by": used_by})


def _touched(
    topology: Topology, retried: Mapping[str, float], missed: Mapping[str, float]
) -> frozenset[str]:
    """Return what is retried or missed, what it calls, and the databases and limits behind."""
    nodes = set(retried)
    for node in topology.order:
        if nodes & set(topology.calls_of(node)):
            nodes.add(node)
    behind = {n for n, db in topology.databases.items() if nodes & set(db.used_by)}
    limits = {n for n in topology.limits if nodes & set(topology.users_of_limit(n))}
    return frozenset(nodes | set(missed) | behind | limits)
