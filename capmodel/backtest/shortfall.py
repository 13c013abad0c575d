"""What stands held against what arrived: minutes above each limit, and the season's bill.

This module answers: for how many minutes did traffic exceed a hard limit, which limit was first,
what would the loss of a zone at any minute have meant, and what did it cost?
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import TYPE_CHECKING, Final

import numpy as np

from capmodel.backtest.standing import changed, with_class
from capmodel.capacity.estate import AUTOSCALED, SATURATED, pod_requests, pool_services
from capmodel.capacity.evaluate import (
    pods_needed,
    pool_pods_per_zone,
    saturation_of,
    usage_of,
    zone_fill,
)
from capmodel.capacity.limits import limits_of
from capmodel.capacity.nodes import PodShape, pack_zone
from capmodel.capacity.replicas import SLACK, ceil_units
from capmodel.cost import cents, database_lines, node_line, total_usd
from capmodel.topology import Hold, LoseZones

if TYPE_CHECKING:
    from capmodel.backtest.observed import Observed
    from capmodel.backtest.standing import Recorded
    from capmodel.capacity.estate import Estate, Limit
    from capmodel.capacity.loads import Loads
    from capmodel.catalog import Catalog
    from capmodel.topology import Topology

__all__ = [
    "LimitShort",
    "Shortfall",
    "bill",
    "hindsight",
    "recorded_bill",
    "recorded_shortfall",
    "rule_of_thumb",
    "shortfall",
]

NOT_BY_MINUTE: Final = frozenset({"storage"})
"""Limits that fill over weeks: no minute exceeds them."""
OF_PODS: Final = frozenset({"nodes", "replicas", "cpu_cores"})
"""Limits of what pods and nodes may run, where those that ran are recorded."""
FULL: Final = 1 + 1e-9
"""Rounding may put a usage at its limit an ulp above it [ratio]."""


@dataclass(frozen=True, slots=True)
class LimitShort:
    """One limit held against a season that happened."""

    node: str
    limit: str
    unit: str
    tier: int
    hard: float
    """What stood at the season's end [unit]."""
    peak: float
    """The most that was needed [unit]."""
    minutes_short: float
    """Minutes above it [min]."""
    first: str
    """Local day of the first such minute, '' for none."""
    worst_x: float
    """Needed / hard in the worst minute [ratio]."""


@dataclass(frozen=True, slots=True, eq=False)
class Shortfall:
    """What one way to provide would have meant; minutes of a tier count each minute once."""

    limits: tuple[LimitShort, ...]
    """In the order in which they were exceeded, those that never were by how full they got."""
    minutes_short: float
    """Minutes in which any hard limit was exceeded [min]."""
    minutes_short_by_tier: Mapping[int, float]
    minutes_short_zone_lost: float
    """Minutes in which the loss of one zone would have left too few nodes [min]; nan: unknown."""
    minutes_over_policy: float
    """Minutes in which something was fuller than the policy plans for [min]; nan: unknown."""
    nodes: Mapping[str, int]

    @property
    def first(self) -> LimitShort | None:
        """The limit that was exceeded first, None where none was."""
        return next((row for row in self.limits if row.minutes_short > 0), None)


def usages(estate: Estate, loads: Loads) -> Iterator[tuple[Limit, np.ndarray]]:
    """Yield every bounded limit with its usage as the hard value sees it, by column, (N,)."""
    for limit in limits_of(estate):
        if not math.isfinite(limit.hard) or limit.kind in NOT_BY_MINUTE:
            continue
        usage = usage_of(limit, estate, loads)
        full = np.atleast_2d(saturation_of(limit, estate, loads, usage))
        yield limit, np.broadcast_to(full, (1, len(loads.dates)))[0]


def shortfall(stood: Sequence[tuple[Estate, Observed]]) -> Shortfall:
    """Return the minutes in which what stood would not have held what arrived.

    Every pod may run full and every pool places what its pods need then: what is short is short
    after scaling out to all that stands.

    Parameters
    ----------
    stood
        Parts of the season in the order of time, each with what stood in it.
    """
    parts = [_held(estate, seen) for estate, seen in stood]
    last, minutes = stood[-1][0], np.concatenate([seen.minutes for _, seen in stood])
    dates = np.concatenate([seen.dates for _, seen in stood])
    rows, above_of = [], dict[tuple[str, str], tuple[int, np.ndarray]]()
    for key, (limit, _, _) in parts[-1].limits.items():
        above = np.concatenate([part.limits[key][2] for part in parts])
        above_of[key] = (limit.tier, above)
        worst = max(_worst(part.limits[key][1], part.limits[key][0].hard) for part in parts)
        peak = max(float(part.limits[key][1].max(initial=0.0)) for part in parts)
        rows.append(_row(limit, peak, worst, above, minutes, dates))
    return Shortfall(
        limits=_by_day(rows),
        minutes_short=_minutes(above_of, minutes),
        minutes_short_by_tier=_minutes_by_tier(above_of, minutes),
        minutes_short_zone_lost=float(minutes[np.concatenate([p.zone_lost for p in parts])].sum()),
        minutes_over_policy=float(minutes[np.concatenate([p.over_policy for p in parts])].sum()),
        nodes={n: pool.today for n, pool in last.topology.pools.items() if pool.today is not None},
    )


def _by_day(rows: Sequence[LimitShort]) -> tuple[LimitShort, ...]:
    """Return limits by the day on which they were first exceeded, of one day the worst first."""
    return tuple(sorted(rows, key=lambda row: (row.first or "9999", -row.worst_x)))


def _minutes(
    above_of: Mapping[tuple[str, str], tuple[int, np.ndarray]],
    minutes: np.ndarray,
    tier: int | None = None,
) -> float:
    """Return the minutes in which any limit (of a tier) is exceeded, each counted once."""
    hit = np.zeros(len(minutes), dtype=bool)
    for of, above in above_of.values():
        if tier is None or of == tier:
            hit |= above
    return float(minutes[hit].sum())


def _minutes_by_tier(
    above_of: Mapping[tuple[str, str], tuple[int, np.ndarray]], minutes: np.ndarray
) -> dict[int, float]:
    tiers = sorted({tier for tier, _ in above_of.values()})
    return {tier: _minutes(above_of, minutes, tier) for tier in tiers}


@dataclass(frozen=True, slots=True, eq=False)
class _Held:
    """A part of the season held against what stood in it; arrays by column."""

    limits: Mapping[tuple[str, str], tuple[Limit, np.ndarray, np.ndarray]]
    """Limit, usage, and where it exceeds."""
    over_policy: np.ndarray
    zone_lost: np.ndarray


def _held(estate: Estate, seen: Observed) -> _Held:
    over_policy = np.zeros(len(seen.minutes), dtype=bool)
    limits = {}
    for limit, usage in usages(estate, seen.loads):
        over_policy |= _over_policy(limit, estate, seen.loads)
        limits[limit.key] = (limit, usage, usage > limit.hard * FULL)
    return _Held(limits, over_policy, _zone_lost(estate, seen))


def _over_policy(limit: Limit, estate: Estate, loads: Loads) -> np.ndarray:
    """Return the columns in which a limit is fuller than planned, shape (N,)."""
    usage = np.atleast_2d(usage_of(limit, estate, loads))
    return np.asarray(np.broadcast_to(usage > limit.policy * FULL, (1, len(loads.dates)))[0])


def _worst(usage: np.ndarray, hard: float) -> float:
    peak = float(usage.max(initial=0.0))
    if hard == 0:
        return math.inf if peak > 0 else 0.0
    return peak / hard


def _row(
    limit: Limit,
    peak: float,
    worst: float,
    above: np.ndarray,
    minutes: np.ndarray,
    dates: np.ndarray,
) -> LimitShort:
    return LimitShort(
        node=limit.node,
        limit=limit.name,
        unit=limit.unit,
        tier=limit.tier,
        hard=float(limit.hard),
        peak=peak,
        minutes_short=float(minutes[above].sum()),
        first=str(dates[above][0]) if above.any() else "",
        worst_x=worst,
    )


def _zone_lost(estate: Estate, seen: Observed) -> np.ndarray:
    """Return the columns in which the zones that are left could not hold every full pod."""
    hit = np.zeros(len(seen.minutes), dtype=bool)
    row = Hold(failure=LoseZones(lose_zones=1), quantile=0.5, up_to="hard")
    for name, pool in estate.topology.pools.items():
        if pool.today is None or pool.zones == 1 or not pool_services(estate, name):
            continue
        fill = ceil_units(zone_fill(estate, seen.loads, name, row))[0]
        hit |= fill > pool.today // pool.zones
    return hit


def recorded_shortfall(estate: Estate, seen: Observed, record: Recorded) -> Shortfall:
    """Return the same of the pods that ran: minutes in which all of them full were too few.

    Parameters
    ----------
    estate
        What stood beside the pods: databases, quotas.
    seen
        What arrived.
    record
        Pods by step of the same days.
    """
    step = np.searchsorted(record.time, seen.time, side="right") - 1
    rows, above_of = [], dict[tuple[str, str], tuple[int, np.ndarray]]()
    for key, (limit, usage, above) in _held(estate, seen).limits.items():
        if key[1] in OF_PODS and key[0] not in estate.topology.databases:
            continue  # the pods that ran say it instead
        above_of[key] = (limit.tier, above)
        peak, worst = float(usage.max(initial=0.0)), _worst(usage, limit.hard)
        rows.append(_row(limit, peak, worst, above, seen.minutes, seen.dates))
    for name, pods in record.pods.items():
        ran = pods[step]
        if np.isnan(ran).all() or not estate.services[name].known:
            continue
        need = np.broadcast_to(pods_needed(estate, seen.loads, name, SATURATED), (1, len(ran)))[0]
        above = need > np.where(np.isnan(ran), np.inf, ran) * FULL
        tier = estate.topology.tier_of(name)
        above_of[name, "pods"] = (tier, above)
        rows.append(_pods_row(name, tier, need, ran, above, seen))
    return Shortfall(
        limits=_by_day(rows),
        minutes_short=_minutes(above_of, seen.minutes),
        minutes_short_by_tier=_minutes_by_tier(above_of, seen.minutes),
        minutes_short_zone_lost=math.nan,
        minutes_over_policy=math.nan,
        nodes={n: int(np.nanmax(v)) for n, v in record.nodes.items() if not np.isnan(v).all()},
    )


def _pods_row(
    name: str, tier: int, need: np.ndarray, ran: np.ndarray, above: np.ndarray, seen: Observed
) -> LimitShort:
    ratio = need / np.where(ran > 0, ran, np.nan)
    return LimitShort(
        node=name,
        limit="pods",
        unit="pods",
        tier=tier,
        hard=float(np.nanmax(ran)),
        peak=float(need.max()),
        minutes_short=float(seen.minutes[above].sum()),
        first=str(seen.dates[above][0]) if above.any() else "",
        worst_x=float(np.nanmax(ratio)) if np.isfinite(ratio).any() else 0.0,
    )


def bill(topology: Topology, *, catalog: Catalog, hours: float) -> Decimal:
    """Return what the nodes and database instances of a topology cost, on demand [USD].

    Pools that declare no nodes are left out.
    """
    lines = [
        node_line(name, node=catalog.node_type(pool.types[0]), count=pool.today, hours=hours)
        for name, pool in topology.pools.items()
        if pool.today is not None
    ]
    return total_usd([*lines, *database_lines(topology, catalog=catalog, hours=hours)])


def recorded_bill(
    topology: Topology, record: Recorded, *, catalog: Catalog, hours: float
) -> Decimal:
    """Return what the recorded pods' nodes cost hour by hour, with today's databases [USD].

    Steps without a record are taken at the mean of the others.
    """
    total = bill(topology, catalog=catalog, hours=hours)
    for name, pool in topology.pools.items():
        nodes = record.nodes[name]
        price = catalog.node_type(pool.types[0]).price_usd_per_hour
        if pool.today is not None:
            node = catalog.node_type(pool.types[0])
            total -= node_line(name, node=node, count=pool.today, hours=hours).usd
        if not np.isnan(nodes).all():
            total += cents(Decimal(repr(float(np.nanmean(nodes)) * hours)) * price)
    return total


def rule_of_thumb(
    topology: Topology,
    *,
    estate_of: Callable[[Topology, Observed], Estate],
    last: Observed,
    record: Recorded,
    catalog: Catalog,
    x: float,
) -> Topology:
    """Return last season's peak times a factor: nodes that ran, classes, quotas, autoscalers.

    Nodes of which no pods were recorded count as the autoscaler would have run them.

    Parameters
    ----------
    topology
        What stands before.
    estate_of
        Makes the estate of a topology for the columns of loads.
    last, record
        Loads and pods of the season before.
    catalog
        Database classes.
    x
        The factor, 1.3 for 30 % on top [ratio].
    """
    estate = estate_of(topology, last)
    wanted: dict[tuple[str, ...], float | int | None] = {}
    for name, pool in topology.pools.items():
        if not pool_services(estate, name):
            continue
        ran = record.nodes[name]
        most = pool.zones * float(ceil_units(zone_fill(estate, last.loads, name, AUTOSCALED)).max())
        if not np.isnan(ran).all():
            most = float(np.nanmax(ran))
        zones = pool.zones * math.ceil(most * x / pool.zones - SLACK)
        wanted["pools", name, "today"] = max(zones, pool.today or 0)
    for place, (hard, need) in _asked(estate, last.loads, (), policy=False).items():
        wanted[place] = max(hard, math.ceil(need * x - SLACK))
    scaled = _times(last, x)
    return _with_classes(
        changed(topology, wanted), estate_of=estate_of, seen=scaled, catalog=catalog, policy=False
    )


def hindsight(
    topology: Topology,
    *,
    estate_of: Callable[[Topology, Observed], Estate],
    seen: Observed,
    catalog: Catalog,
) -> Topology:
    """Return what the policy asks for traffic that is known: the plan of perfect foresight.

    Every hold row at what came, without risk: the largest of the rows for nodes, the smallest class
    that keeps its limits within policy, quotas and autoscalers at policy.
    """
    estate = estate_of(topology, seen)
    policy = topology.policy
    wanted: dict[tuple[str, ...], float | int | None] = {}
    for name, pool in topology.pools.items():
        if not pool_services(estate, name):
            continue
        tier = topology.tier_of(name)
        rows = [hold for hold in policy.hold if hold.holds_for(tier)]
        most = max((_placed(estate, seen.loads, name, hold) for hold in rows), default=0)
        wanted["pools", name, "today"] = pool.zones * most
    for place, (hard, need) in _asked(estate, seen.loads, policy.hold, policy=True).items():
        wanted[place] = max(hard, math.ceil(need - SLACK))
    return _with_classes(
        changed(topology, wanted), estate_of=estate_of, seen=seen, catalog=catalog, policy=True
    )


def _asked(
    estate: Estate, loads: Loads, holds: Sequence[Hold], *, policy: bool
) -> dict[tuple[str, ...], tuple[float, float]]:
    """Return what stands and what is needed of all that is raised by asking, by field.

    Quotas and declared limits, within policy or as they are; autoscalers' bounds, for the pods at
    the planned utilization and for every hold row of the service's tier.
    """
    topology = estate.topology
    found: dict[tuple[str, ...], tuple[float, float]] = {}
    for limit, usage in usages(estate, loads):
        quota = limit.node in topology.externals
        if quota or limit.node in topology.limits:
            need = float(usage.max())
            if policy:
                planned = float(np.max(usage_of(limit, estate, loads)))
                need = max(need, planned / limit.policy_x)
            place = (
                ("externals", limit.node, "limit_rps") if quota else ("limits", limit.node, "hard")
            )
            found[place] = (limit.hard, need)
    for name, service in topology.services.items():
        if service.replicas.max is None or not estate.services[name].known:
            continue
        rows = [AUTOSCALED, *(hold for hold in holds if hold.holds_for(topology.tier_of(name)))]
        pods = max(float(ceil_units(pods_needed(estate, loads, name, row)).max()) for row in rows)
        found["services", name, "replicas", "max"] = (service.replicas.max, pods)
    return found


def _placed(estate: Estate, loads: Loads, pool: str, hold: Hold) -> int:
    """Return the nodes of one zone on which the pods of the busiest minute are placed."""
    busiest = int(zone_fill(estate, loads, pool, hold).argmax())
    at = slice(busiest, busiest + 1)
    minute = loads.take(slice(None), at)
    pods = pool_pods_per_zone(estate.take(slice(None), at), minute, pool, hold)
    shapes = [PodShape(name, *pod_requests(estate, name, hold)[:2]) for name in pods]
    counts = [int(count.max()) for count in pods.values()]
    return pack_zone(shapes, counts, usable=estate.nodes[pool]).nodes


def _times(seen: Observed, x: float) -> Observed:
    factor = {root: f * x for root, f in seen.loads.factor.items()}
    return replace(seen, loads=replace(seen.loads, factor=factor))


def _with_classes(
    topology: Topology,
    *,
    estate_of: Callable[[Topology, Observed], Estate],
    seen: Observed,
    catalog: Catalog,
    policy: bool,
) -> Topology:
    """Return the topology with the smallest class of each family that holds, never a smaller one.

    Where none holds, the largest.
    """
    for name, database in topology.databases.items():
        ladder = catalog.db_ladder(database.engine, database.db_class)
        now = [c.name for c in ladder].index(database.db_class)
        for candidate in ladder[now:]:
            tried = with_class(topology, name, candidate.name, catalog=catalog)
            estate = estate_of(tried, seen)
            full = max(
                (
                    float(usage.max()) / (limit.hard * (limit.policy_x if policy else 1.0))
                    for limit, usage in usages(estate, seen.loads)
                    if limit.node == name and limit.hard > 0
                ),
                default=0.0,
            )
            if full <= FULL:
                break
        topology = tried
    return topology
