"""What the plan uses hour by hour over a commitment's term, on paths of the same demand model.

This module answers: how many nodes and database instances run in each hour of the horizon and of
the years that a commitment spans, and what would they cost on demand? In the season stands what is
ordered; outside it nodes follow the autoscaler at its target, hour by hour, and databases are those
of today or, by policy, those ordered. The term is forecast for a year with fewer draws than the
plan; a day further ahead repeats the one 52 weeks before it, times the policy's growth.

Shapes: P paths of a scenario or the mixture, N forecast local days, T hours.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Literal

import numpy as np

from capmodel.capacity.estate import AUTOSCALED, pool_services
from capmodel.capacity.evaluate import zone_fills
from capmodel.capacity.phases import with_phases
from capmodel.capacity.replicas import ceil_units
from capmodel.catalog import DbClass, NodeType
from capmodel.demand import DemandFit, GivenDemand
from capmodel.errors import ModelError
from capmodel.history.localtime import hours_in, local_days, midnights
from capmodel.plan.equip import make_estate
from capmodel.plan.frames_limits import MIXTURE, scenarios_of
from capmodel.plan.frames_schedule import packing_x
from capmodel.plan.futures import make_futures
from capmodel.plan.prices import class_in, node_in

if TYPE_CHECKING:
    from capmodel.capacity.estate import Estate
    from capmodel.capacity.loads import Loads
    from capmodel.plan.make import Solved
    from capmodel.plan.request import PlanRequest
    from capmodel.plan.supply import Supply

__all__ = [
    "Hours",
    "Item",
    "TermUsage",
    "day_profile",
    "make_term_usage",
    "paths_by_scenario",
    "years_after",
]

DRAWS: Final = 200
"""Paths of the mixture, shared out to the scenarios by their probabilities."""

LEAST: Final = 25
"""Paths of a scenario at least, where it stands by itself."""

REPEATED: Final = 364
"""A day beyond the forecast takes the one so many days before it, the same weekday [days]."""


@dataclass(frozen=True, slots=True)
class Item:
    """A pool or a database class in use: what it is, and its row of the catalog."""

    key: str
    name: str
    kind: Literal["nodes", "database"]
    family: str
    engine: str
    """'' of a pool."""
    row: NodeType | DbClass

    @property
    def group(self) -> str:
        """What a commitment cannot tell apart: the engine and family."""
        return f"{self.engine} {self.family}".strip()

    @property
    def price(self) -> float:
        """On demand, in the mixture [USD/h]."""
        return float(self.row.price_usd_per_hour)


@dataclass(frozen=True, slots=True, eq=False)
class Hours:
    """Real hours one after the other: the repeated hour of autumn comes twice, spring's not."""

    day: np.ndarray
    """Index of the forecast day that stands for each hour, shape (T,)."""
    slot: np.ndarray
    """Hour of the wall clock, shape (T,)."""
    growth_x: np.ndarray
    """What the repetition of a year multiplies it by, shape (T,) [ratio]."""
    date: np.ndarray
    """Local day of each hour, shape (T,), datetime64[D]."""

    def __len__(self) -> int:
        return len(self.day)


@dataclass(frozen=True, slots=True, eq=False)
class TermUsage:
    """Everything that runs, by scenario; the mixture has the order's counts in the season."""

    solved: Solved
    dates: np.ndarray
    """Forecast local days, shape (N,)."""
    items: tuple[Item, ...]
    followed: Mapping[str, tuple[np.ndarray, ...]]
    """Pool to nodes that the autoscaler asks for, by scenario, shape (D, N, 24 or 1)."""
    loads: tuple[Loads, ...]
    shares: tuple[int, ...]
    """Paths of each scenario in the mixture."""
    standing: Mapping[tuple[str, str], int]
    """(scenario, item) to units that stand in the season."""
    quiet: Mapping[tuple[str, str], int]
    """(scenario, database item) to instances outside the season."""
    packing_x: Mapping[str, float]
    """Pool to nodes that are taken / the fill of its zones [ratio]."""
    reason: str
    """Why a year is not known, '' where it is."""
    notes: tuple[str, ...]
    """What was assumed, in words."""

    @property
    def start(self) -> dt.date:
        """First day of the terms."""
        return self.solved.request.purchase.start or self.solved.request.start

    @property
    def known_until(self) -> dt.date:
        """First local day of which nothing is known; a year that repeats has none."""
        if not self.reason:
            return dt.date.max
        last: dt.date = (self.dates[-1] + 1).astype(dt.date)
        return last

    def price(self, scenario: str, item: Item) -> float:
        """Return what an item costs on demand under a scenario, or in the mixture [USD/h]."""
        if isinstance(item.row, NodeType):
            row: NodeType | DbClass = node_in(self.solved, scenario, item.row.name)
        else:
            row = class_in(self.solved, scenario, item.row)
        return float(row.price_usd_per_hour)

    def hours(self, first: dt.date, end: dt.date) -> Hours:
        """Return the hours between two local midnights, end exclusive.

        Raises
        ------
        ModelError
            For hours of which nothing is known.
        """
        if end > self.known_until:
            raise ModelError.of(
                "purchase", got=f"hours until {end}", expected="a forecast", do=self.reason
            )
        tz = self.solved.fit.business_tz
        dates = np.arange(np.datetime64(first), np.datetime64(end))
        begin = midnights(dates[:1], tz)[0]
        local = local_days(begin, int(hours_in(dates, tz).sum()), 60, tz)
        at = np.minimum(local.day_of_step, len(dates) - 1)
        ahead = (dates[at] - self.dates[0]).astype(int)
        repeats = -(-np.maximum(ahead - len(self.dates) + 1, 0) // REPEATED)
        growth = self.solved.request.purchase.growth_after_year_x
        return Hours(
            day=ahead - REPEATED * repeats,
            slot=local.hour_of_step,
            growth_x=growth ** repeats.astype(float),
            date=dates[at],
        )

    def parts(self, scenario: str) -> list[tuple[int, int]]:
        """Return (scenario's index, paths) that a scenario's or the mixture's paths are made of."""
        if scenario == MIXTURE:
            return [(s, n) for s, n in enumerate(self.shares) if n]
        index = self.solved.request.names.index(scenario)
        return [(index, max(self.shares[index], LEAST))]

    def nodes(self, scenario: str, pool: str, when: Hours) -> np.ndarray:
        """Return the nodes that stand in each hour, shape (P, T), before growth after a year."""
        season = self._season[when.day]
        return np.where(season, self.standing[scenario, pool], self.following(scenario, pool, when))

    def following(self, scenario: str, pool: str, when: Hours) -> np.ndarray:
        """Return the nodes that the autoscaler asks for in each hour, in the season too, (P, T)."""
        rows = []
        for index, paths in self.parts(scenario):
            nodes = self.followed[pool][index][:paths]
            rows.append(nodes[:, when.day, np.minimum(when.slot, nodes.shape[2] - 1)])
        return np.concatenate(rows)

    def usage(self, scenario: str, when: Hours) -> dict[str, np.ndarray]:
        """Return what each item costs on demand, Spot left out, shape (P or 1, T) [USD/h]."""
        return {
            item.key: self._units(scenario, item, when) * when.growth_x * self.price(scenario, item)
            for item in self.items
        }

    def spot(self, scenario: str, when: Hours) -> dict[str, np.ndarray]:
        """Return what each pool with Spot costs there, its reserve included, (P, T) [USD/h]."""
        policy = self.solved.request.purchase.spot
        found = {}
        for item in self.items:
            spot = policy.get(item.name) if item.kind == "nodes" else None
            if spot is not None:
                units = spot.units(self.nodes(scenario, item.name, when))
                price = self.price(scenario, item) * (1.0 - spot.discount)
                found[item.name] = units * when.growth_x * price
        return found

    def units_of(self, scenario: str, root: str, when: Hours) -> np.ndarray | None:
        """Return a root's events in each hour, shape (P, T); None where only its peak is known."""
        rows = []
        for index, paths in self.parts(scenario):
            load = self.loads[index]
            path = load.roots[root].root
            if path.shape.shape[2] == 1:
                return None
            factor = np.broadcast_to(load.factor[root][:paths], (paths, len(self.dates)))
            per_hour = 60.0 if path.quantity == "per_min" else 3600.0
            rows.append(path.shape[:paths, when.day, when.slot] * factor[:, when.day] * per_hour)
        return np.concatenate(rows)

    @property
    def _season(self) -> np.ndarray:
        request = self.solved.request
        first, end = np.datetime64(request.season_start), np.datetime64(request.season_end)
        return np.asarray((self.dates >= first) & (self.dates < end))

    def _units(self, scenario: str, item: Item, when: Hours) -> np.ndarray:
        if item.kind == "nodes":
            nodes = self.nodes(scenario, item.name, when)
            spot = self.solved.request.purchase.spot.get(item.name)
            return nodes if spot is None else nodes - spot.nodes(nodes)
        inside, outside = self.standing[scenario, item.key], self.quiet[scenario, item.key]
        return np.where(self._season[when.day], inside, outside)[None, :]


def years_after(day: dt.date, years: int) -> dt.date:
    """Return the same date some years later; 29 February becomes the 28th.

    Examples
    --------
    >>> str(years_after(dt.date(2028, 2, 29), 1))
    '2029-02-28'
    """
    try:
        return day.replace(year=day.year + years)
    except ValueError:
        return day.replace(year=day.year + years, day=28)


def make_term_usage(solved: Solved, supply: Supply) -> TermUsage:
    """Return what runs in each hour from the horizon's start to a year after the terms' start."""
    request = solved.request
    last, reason = _last_day(solved)
    shares = paths_by_scenario(request.weights, DRAWS)
    longer = replace(request, end=last, draws=max(*shares, LEAST))
    futures = make_futures(solved.fit, longer, known=solved.futures.larger)
    estate = with_phases(
        make_estate(solved.fit, longer, futures.calls, larger=solved.futures.larger),
        [load.cores_x for load in futures.loads],
    )
    losses = {pool: packing_x(solved, supply, pool) for pool in solved.needs.nodes}
    followed = {
        pool: tuple(
            _followed(estate, load, pool, loss=losses[pool], paths=max(n, LEAST))
            for load, n in zip(futures.loads, shares, strict=True)
        )
        for pool in solved.needs.nodes
    }
    items = _items(solved, supply)
    standing, quiet = _standing(solved, supply, items)
    return TermUsage(
        solved=solved,
        dates=longer.dates,
        items=items,
        followed=_finite(followed, standing),
        loads=futures.loads,
        shares=shares,
        standing=standing,
        quiet=quiet,
        packing_x=losses,
        reason=reason,
        notes=_notes(solved, longer, futures.loads, followed),
    )


def paths_by_scenario(weights: np.ndarray, total: int) -> tuple[int, ...]:
    """Return how many of some paths each scenario gets, by largest remainder.

    Examples
    --------
    >>> paths_by_scenario(np.array([0.25, 0.55, 0.20]), 200)
    (50, 110, 40)
    """
    wanted = weights / weights.sum() * total
    counts = np.floor(wanted + 1e-9).astype(int)
    rest = np.argsort(-(wanted - counts), kind="stable")[: total - int(counts.sum())]
    counts[rest] += 1
    return tuple(int(n) for n in counts)


def _last_day(solved: Solved) -> tuple[dt.date, str]:
    """Return the first day that is not forecast, and why a year is not known."""
    request, demand = solved.request, solved.fit.demand
    start = request.purchase.start or request.start
    wanted = max(request.end, years_after(start, 1))
    if isinstance(demand, DemandFit):
        most = (demand.dates[-1] + np.timedelta64(len(demand.dates) + 1, "D")).astype(dt.date)
    elif isinstance(demand, GivenDemand):
        most = (demand.dates[-1] + np.timedelta64(1, "D")).astype(dt.date)
    else:
        most = wanted
    last = max(min(wanted, most), request.end)
    known = (last - request.start).days
    if known >= REPEATED or last == wanted:
        return last, ""
    return last, f"demand is known until {last} only, {known} days of the year that a term spans"


def _followed(estate: Estate, load: Loads, pool: str, *, loss: float, paths: int) -> np.ndarray:
    """Return the nodes of a pool at the autoscaler's target by hour, shape (D, N, 24 or 1)."""
    topology, draws, every = estate.topology, slice(0, paths), slice(None)
    load, estate = load.take(draws, every), estate.take(draws, every)
    names = pool_services(estate, pool)
    roots = sorted({root for name in names for root in topology.roots_of(name)})
    profiles = {root: day_profile(load.roots[root].root.shape[:paths]) for root in roots}
    peaks = {root: load.root_peak(root) for root in roots}
    slots = max((profile.shape[2] for profile in profiles.values()), default=1)
    zones, most = topology.pools[pool].zones, topology.pools[pool].max
    shape = (paths, len(load.dates), slots)
    nodes = np.empty(shape, dtype=np.float32)
    for slot in range(slots):
        instant = {
            root: peaks[root] * profiles[root][:, :, min(slot, profiles[root].shape[2] - 1)]
            for root in roots
        }
        (fill,) = zone_fills(estate, load, pool, (AUTOSCALED,), instant)
        nodes[:, :, slot] = zones * ceil_units(fill * loss)
    return nodes if most is None else np.minimum(nodes, float(most))


def day_profile(shape: np.ndarray) -> np.ndarray:
    """Return each hour's mean over that of the day's busiest hour, (D or 1, N, H) [ratio].

    Examples
    --------
    >>> day_profile(np.array([[[30.0, 60.0, 15.0]]])).tolist()
    [[[0.5, 1.0, 0.25]]]
    """
    busiest = shape.max(axis=2, keepdims=True)
    return np.asarray(np.divide(shape, busiest, out=np.zeros_like(shape), where=busiest > 0))


def _finite(
    followed: Mapping[str, tuple[np.ndarray, ...]], standing: Mapping[tuple[str, str], int]
) -> dict[str, tuple[np.ndarray, ...]]:
    """Return the nodes, those ordered where no number suffices."""
    return {
        pool: tuple(np.where(np.isfinite(n), n, standing[MIXTURE, pool]) for n in nodes)
        for pool, nodes in followed.items()
    }


def _items(solved: Solved, supply: Supply) -> tuple[Item, ...]:
    """Return the pools, and each class that some scenario or today gives a database."""
    catalog, topology = solved.request.catalog, solved.estate.topology
    items = []
    for pool in solved.needs.nodes:
        node = catalog.node_type(solved.estate.nodes[pool].instance_type)
        items.append(Item(pool, pool, "nodes", node.name.partition(".")[0], "", node))
    for name, database in topology.databases.items():
        classes = {database.db_class: catalog.db_class(database.engine, database.db_class)}
        for (_, called), need in supply.databases.needs.items():
            if called == name:
                classes[need.ordered.name] = need.ordered
        items += [
            Item(f"{name} {row.name}", name, "database", row.family, row.engine, row)
            for row in classes.values()
        ]
    return tuple(items)


def _standing(
    solved: Solved, supply: Supply, items: tuple[Item, ...]
) -> tuple[dict[tuple[str, str], int], dict[tuple[str, str], int]]:
    """Return units in the season, and the databases' outside it, by (scenario, item)."""
    topology = solved.estate.topology
    ordered_stays = solved.request.purchase.databases_after_season == "ordered"
    standing, quiet = {}, {}
    for scenario in scenarios_of(solved):
        for item in items:
            at = scenario, item.key
            if item.kind == "nodes":
                standing[at] = supply.pools[scenario, item.name].placed.nodes
                continue
            need, database = (
                supply.databases.needs[scenario, item.name],
                topology.databases[item.name],
            )
            ordered = 1 + need.readers + database.standby
            today = 1 + database.readers + database.standby
            standing[at] = ordered if need.ordered.name == item.row.name else 0
            stays = today if database.db_class == item.row.name else 0
            quiet[at] = standing[at] if ordered_stays else stays
    return standing, quiet


def _notes(
    solved: Solved,
    longer: PlanRequest,
    loads: tuple[Loads, ...],
    followed: Mapping[str, tuple[np.ndarray, ...]],
) -> tuple[str, ...]:
    """Return what the usage of a term takes for granted."""
    notes = []
    flat = sorted(
        {root for root, minutes in loads[0].roots.items() if minutes.root.shape.shape[2] == 1}
    )
    if flat:
        notes.append(
            f"no hours are known of {', '.join(flat)}: the day's level stands for each of them, "
            "with the scenarios' growth and lifts"
        )
    years = [day.date.year for day in solved.fit.events.days] if solved.fit.events.days else []
    if years and longer.dates[-1].astype(dt.date).year > max(years):
        notes.append(f"the calendar holds no events after {max(years)}")
    without = [p for p, nodes in followed.items() if not all(np.isfinite(n).all() for n in nodes)]
    if without:
        notes.append(f"where no number of nodes suffices those ordered stand: {', '.join(without)}")
    return tuple(notes)
