"""The event hour of a plan: who shares it, which paths are played, and what each service receives.

This module answers: in the hour around the season's busiest minute, how fast does every path rise,
from which level, and how many requests can one pod take meanwhile? Services that share a node pool
are played together; a service without one alone.

Demand in ticks of 15 s, on each path its own day and hour:

- *ramp*: a straight line from the mean of the hour before to the mean of the busiest hour in
  30 minutes, then the path's busiest minute, then a line towards the mean of the hour after;
- *flash* (an event tagged ``flash`` acts on the day): the mean of the hour before until the busiest
  hour begins, the busiest minute at once, then what is left of the hour's mean;
- *step* (a declared level has no hours): today's level, then the path's peak at once, which stays.

Ten minutes come before it, in which every path goes from the median path's level, where the pods of
the start are at rest, to its own. Where no path rises in a ramp, the level before holds for five
minutes instead of 30. Fifteen minutes after the busiest one, the play ends.

Shapes: K paths, T ticks, S services.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

import numpy as np

from capmodel.capacity.estate import AUTOSCALED, SATURATED, pool_services
from capmodel.capacity.risk import mixture_quantiles

if TYPE_CHECKING:
    from capmodel.capacity.loads import Loads
    from capmodel.plan.make import Solved

__all__ = [
    "EventDemand",
    "Group",
    "PathHours",
    "PodLine",
    "event_demand",
    "groups_of",
    "pod_line",
]

PER_MIN: Final = 4
"""Ticks of a minute."""
SETTLE_MIN: Final = 10
RISE_MIN: Final = 30
STEADY_MIN: Final = 5
AFTER_MIN: Final = 15
SETTLE: Final = SETTLE_MIN * PER_MIN
RISE: Final = RISE_MIN * PER_MIN
TICKS: Final = RISE + PER_MIN + AFTER_MIN * PER_MIN
"""Of the hour itself, without the minutes in which paths part."""
MOST_PATHS: Final = 200
FEWEST_PATHS: Final = 50
SERVICE_PATHS: Final = 2000
"""Services times paths that a group plays, between the two bounds of paths: what keeps 60 services
within 5 CPU-seconds."""


@dataclass(frozen=True, slots=True)
class Group:
    """Services that are played together."""

    pool: str
    """Their nodes; '' where none are counted."""
    services: tuple[str, ...]
    """Strictest tier first: in this order they find nodes and connections."""


@dataclass(frozen=True, slots=True, eq=False)
class PodLine:
    """What one pod of a service takes and how the autoscaler reads it, in cores of its request."""

    requested_cores: float
    memory_gib: float
    idle_cores: float
    per_request_core_s: float
    effective_cores: float
    """Cores at which the hottest pod is full, by whichever resource that is first."""
    target: float
    """Utilization of the request at which the autoscaler comes to rest [ratio]."""
    rps_at_target: float
    """Load of a pod at the target [1/s]."""
    per_request_x: np.ndarray
    """What a request takes on each draw / at the median, shape (D,) or (1,) [ratio]."""


@dataclass(frozen=True, slots=True, eq=False)
class PathHours:
    """The paths that are played: a stratified sample of the mixture by what the group needs."""

    scenario: np.ndarray
    draw: np.ndarray
    day: np.ndarray
    """Index of the horizon."""
    hour: np.ndarray
    """Local hour; -1 where no hours are known."""
    flash: np.ndarray
    """Whether the path's day starts with a flash."""

    def __len__(self) -> int:
        """Return the number of paths."""
        return len(self.draw)


@dataclass(frozen=True, slots=True, eq=False)
class EventDemand:
    """What the services of a group receive in their event hour."""

    group: Group
    lines: tuple[PodLine, ...]
    paths: PathHours
    offered: np.ndarray
    """First calls, in median requests: a costlier draw counts as more of them, (K, T, S) [1/s]."""
    start_rps: np.ndarray
    """Level of the median path in the hour before, shape (S,) [1/s]."""
    lead_min: int
    """From the first tick to the busiest minute [min]."""
    profile: str
    """``ramp``, ``flash`` or ``step``, and several where paths differ."""
    dates: np.ndarray

    @property
    def hour(self) -> str:
        """Local date and hour of most paths; the date alone where no hours are known."""
        at = self._most_common()
        day = str(self.dates[int(self.paths.day[at])])
        hour = int(self.paths.hour[at])
        return day if hour < 0 else f"{day} {hour:02d}:00"

    def local_time(self, seconds: float) -> str:
        """Return the local time of a moment of the demand; '' where no hours are known.

        Parameters
        ----------
        seconds
            From the first tick, negative before it [s].
        """
        at = self._most_common()
        if int(self.paths.hour[at]) < 0 or not math.isfinite(seconds):
            return ""
        peak_min = 0 if self.paths.flash[at] else RISE_MIN
        begin = datetime.fromisoformat(self.hour) + timedelta(minutes=peak_min - self.lead_min)
        return (begin + timedelta(seconds=seconds)).isoformat(" ", timespec="minutes")

    def _most_common(self) -> int:
        """Return the first path of those that share the commonest day and hour."""
        places = list(zip(self.paths.day.tolist(), self.paths.hour.tolist(), strict=True))
        return places.index(Counter(places).most_common(1)[0][0])


def groups_of(solved: Solved) -> tuple[tuple[Group, ...], dict[str, str]]:
    """Return the groups that can be played, and why the other services cannot."""
    topology, estate = solved.estate.topology, solved.estate
    pooled = {name: pool for pool in topology.pools for name in pool_services(estate, pool)}
    grey: dict[str, str] = {}
    members: dict[str, list[str]] = {}
    alone: list[Group] = []
    for name in sorted(topology.services, key=lambda n: topology.services[n].tier):
        reason = _unknown(solved, name)
        if reason:
            grey[name] = reason
        elif name in pooled:
            members.setdefault(pooled[name], []).append(name)
        else:
            alone.append(Group("", (name,)))
    pools = [Group(pool, tuple(names)) for pool, names in members.items()]
    return (*pools, *alone), grey


def _unknown(solved: Solved, name: str) -> str:
    """Return why a service's event hour is not known, '' where it is."""
    estate, service = solved.estate, solved.estate.topology.services[name]
    use = estate.services[name]
    if not use.known:
        return "no evidence: pods do not follow from load"
    if name in estate.rates.infeasible:
        return "no number of pods holds its targets"
    if use.uses and not any(one.follows_load for one in use.uses):
        return "no evidence: usage follows something else than the load"
    rates = [float(np.median(estate.rate(name, hold))) for hold in (AUTOSCALED, SATURATED)]
    if not all(0 < rate < math.inf for rate in rates):
        return "no evidence: pods do not follow from load"
    node = estate.nodes.get(service.pool or "")
    if (
        node
        and service.pod
        and not (
            service.pod.cpu_cores <= node.cpu_cores and service.pod.memory_gib <= node.memory_gib
        )
    ):
        return f"a pod fits no node of {service.pool}"
    return ""


def pod_line(solved: Solved, name: str) -> PodLine:
    """Return what one pod of a service takes, so that its autoscaler runs the plan's pods.

    The autoscaler reads cores (memory where only that is known): its target is their utilization
    at the load per pod of the planned utilization. A pod is full at the load per pod of the hard
    row, by whichever resource binds there. Where nothing but pods and load is known, today's pods
    are taken to stand at the planned utilization.
    """
    estate = solved.estate
    pod, use = estate.topology.services[name].pod, estate.services[name]
    cores = pod.cpu_cores if pod else 1.0
    hard_rate = estate.rate(name, SATURATED)[:, 0]
    at_target = 1.0 / float(np.median(estate.rate(name, AUTOSCALED)))
    full = 1.0 / float(np.median(hard_rate))
    read = use.uses_of("cpu_cores") or use.uses
    target, idle = estate.targets(name)["cpu_cores"], 0.0
    if read:
        line = max(read, key=lambda one: one.per_pod + one.per_request * at_target)
        target = (line.per_pod + line.per_request * at_target) / line.request
        idle = max(line.per_pod, 0.0) / line.request
    else:
        full = at_target / (target * use.imbalance_x)
    per_request = (target - idle) * cores / at_target
    return PodLine(
        requested_cores=cores,
        memory_gib=pod.memory_gib if pod else 0.0,
        idle_cores=idle * cores,
        per_request_core_s=per_request,
        effective_cores=idle * cores + per_request * full,
        target=target,
        rps_at_target=at_target,
        per_request_x=hard_rate / np.median(hard_rate),
    )


def event_demand(solved: Solved, group: Group) -> EventDemand:
    """Return what a group's services receive in its event hour, path by path."""
    paths = _paths(solved, group)
    lines = tuple(pod_line(solved, name) for name in group.services)
    loads = solved.futures.loads
    before = np.empty((len(paths), len(group.services)))
    hour = np.empty((len(paths), TICKS, len(group.services)))
    kinds: set[str] = set()
    for s in np.unique(paths.scenario):
        chosen = paths.scenario == s
        part = _taken(paths, chosen)
        before[chosen], hour[chosen], found = _scenario_demand(solved, loads[s], group, part)
        kinds |= found
    costlier = np.stack([_picked(line.per_request_x, paths.draw) for line in lines], axis=1)
    before, hour = before * costlier, hour * costlier[:, None]
    start = np.median(before, axis=0)
    share = (np.arange(SETTLE) / SETTLE)[:, None]
    settling = start + (before[:, None] - start) * share
    lead_min = RISE_MIN if "ramp" in kinds else STEADY_MIN
    hour = hour[:, RISE - lead_min * PER_MIN :]
    return EventDemand(
        group=group,
        lines=lines,
        paths=paths,
        offered=np.concatenate([settling, hour], axis=1),
        start_rps=start,
        lead_min=SETTLE_MIN + lead_min,
        profile=", ".join(sorted(kinds)),
        dates=solved.request.dates,
    )


def _paths(solved: Solved, group: Group) -> PathHours:
    """Return a sample of equally likely paths, by the group's need at the hard row.

    The mixture is cut into as many parts of the same probability as paths are played; the middle
    of each part stands for it.
    """
    needs, row = solved.needs, solved.needs.saturated
    if group.pool:
        need, days = needs.nodes[group.pool][row], needs.nodes_day[group.pool][row]
    else:
        (name,) = group.services
        need, days = needs.pods[name][row], needs.pods_day[name]
    count = int(np.clip(SERVICE_PATHS // len(group.services), FEWEST_PATHS, MOST_PATHS))
    count = min(count, need.size)
    levels = ((np.arange(count) + 0.5) / count).tolist()
    picked = np.array(mixture_quantiles(need, levels, solved.request.weights))
    scenario, draw = picked[:, 0], picked[:, 1]
    day = days[scenario, draw]
    hour = np.empty(count, dtype=int)
    for s in np.unique(scenario):
        chosen = scenario == s
        hour[chosen] = _busiest_hours(solved, s, group, (draw[chosen], day[chosen]))
    flash_days = _flash_days(solved)
    return PathHours(scenario=scenario, draw=draw, day=day, hour=hour, flash=flash_days[day])


def _flash_days(solved: Solved) -> np.ndarray:
    """Return which days of the horizon an event tagged ``flash`` acts on, shape (N,)."""
    dates = {day.date for day in solved.fit.events.days if day.tag == "flash"}
    return np.array([date.item() in dates for date in solved.request.dates])


def _taken(paths: PathHours, chosen: np.ndarray) -> PathHours:
    return PathHours(
        scenario=paths.scenario[chosen],
        draw=paths.draw[chosen],
        day=paths.day[chosen],
        hour=paths.hour[chosen],
        flash=paths.flash[chosen],
    )


def _picked(values: np.ndarray, draw: np.ndarray, day: np.ndarray | None = None) -> np.ndarray:
    """Return the values of some paths of an array that may be broadcast along draws or days."""
    rows = values[np.minimum(draw, len(values) - 1)]
    if day is None:
        return np.asarray(rows)
    return np.asarray(rows[np.arange(len(draw)), np.minimum(day, values.shape[1] - 1)])


def _roots(load: Loads, names: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(root for name in names for root in load.weights[name]))


def _busiest_hours(
    solved: Solved, scenario: int, group: Group, at: tuple[np.ndarray, np.ndarray]
) -> np.ndarray:
    """Return the hour of the day in which the group needs most, shape (K,); -1 without hours.

    Where one root feeds the group, its hour is found again by its mean: ``day_peak / burst``.
    """
    load = solved.futures.loads[scenario]
    draw, day = at
    roots = _roots(load, group.services)
    hours = max(load.roots[root].root.shape.shape[2] for root in roots)
    if hours == 1:
        return np.full(len(draw), -1)
    if len(roots) == 1:
        minutes = load.roots[roots[0]]
        seconds = 60.0 if minutes.root.quantity == "per_min" else 1.0
        mean = _picked(minutes.day_peak / minutes.burst_x, draw, day) * seconds
        return np.asarray(np.abs(_picked(minutes.root.shape, draw, day) - mean[:, None]).argmin(1))
    total = np.zeros((len(draw), hours))
    for name in group.services:
        own = float(np.median(solved.estate.rate(name, AUTOSCALED))) * _share(solved, group, name)
        for root, weight in load.weights[name].items():
            unit = own * _picked(weight, draw, day) * _picked(load.factor[root], draw, day)
            minutes = load.roots[root]
            kept = minutes.day_peak[:, :, None] if minutes.minutes is None else minutes.minutes
            total += unit[:, None] * _picked(kept, draw, day)
    return np.asarray(total.argmax(axis=1))


def _share(solved: Solved, group: Group, name: str) -> float:
    """Return the share of a node that a pod takes; 1 where no nodes are counted."""
    pod, node = solved.estate.topology.services[name].pod, solved.estate.nodes.get(group.pool)
    if pod is None or node is None:
        return 1.0
    parts = (pod.cpu_cores / node.cpu_cores, pod.memory_gib / node.memory_gib, 1.0 / node.pods)
    return max(parts)


def _scenario_demand(
    solved: Solved, load: Loads, group: Group, paths: PathHours
) -> tuple[np.ndarray, np.ndarray, set[str]]:
    """Return (level before, ticks of the hour, kinds of profile) of one scenario's paths."""
    by_root = {
        root: _root_ticks(solved, load, root, paths) for root in _roots(load, group.services)
    }
    before = np.zeros((len(paths), len(group.services)))
    hour = np.zeros((len(paths), TICKS, len(group.services)))
    kinds: set[str] = set()
    for k, name in enumerate(group.services):
        for root, weight in load.weights[name].items():
            level, ticks, found = by_root[root]
            carried = _picked(weight, paths.draw, paths.day)
            before[:, k] += carried * level
            hour[:, :, k] += carried[:, None] * ticks
            kinds |= found
        if name in load.remainder:
            own = _picked(load.remainder[name], paths.draw, paths.day)
            hour[:, RISE : RISE + PER_MIN, k] *= own[:, None]
    return before, hour, kinds


def _root_ticks(
    solved: Solved, load: Loads, root: str, paths: PathHours
) -> tuple[np.ndarray, np.ndarray, set[str]]:
    """Return a root's level in the hour before, its ticks and the kinds of its profiles."""
    minutes, factor = load.roots[root], load.factor[root]
    draw, day, shape = paths.draw, paths.day, minutes.root.shape
    hours = shape.shape[2]
    ticks = np.arange(TICKS) + 0.5
    rises = ticks < RISE
    busiest = _picked(minutes.day_peak, draw, day)
    if hours > 1 and minutes.minutes is not None:
        rows = np.minimum(draw, len(minutes.minutes) - 1)
        busiest = minutes.minutes[rows, day, paths.hour]
    peak = busiest * _picked(factor, draw, day)
    if hours == 1:
        today = solved.fit.today[root].per_second
        level = np.full(len(paths), peak if math.isnan(today) else today)
        return level, np.where(rises, level[:, None], peak[:, None]), {"step"}
    seconds = 60.0 if minutes.root.quantity == "per_min" else 1.0

    def mean(ahead: int) -> np.ndarray:
        flat = np.clip(day * hours + paths.hour + ahead, 0, shape.shape[1] * hours - 1)
        rows = np.minimum(draw, len(shape) - 1)
        at, hour = flat // hours, flat % hours
        return np.asarray(shape[rows, at, hour] * _picked(factor, draw, at) / seconds)

    before, busy, after = (mean(ahead)[:, None] for ahead in (-1, 0, 1))
    up = before + (busy - before) * ticks / RISE
    down = busy + (after - busy) * np.clip((ticks - RISE - PER_MIN) / RISE, 0.0, 1.0)
    rest = np.maximum((60.0 * busy - peak[:, None]) / 59.0, 0.0)
    flash = paths.flash[:, None]
    values = np.where(rises, np.where(flash, before, up), np.where(flash, rest, down))
    values[:, RISE : RISE + PER_MIN] = peak[:, None]
    kinds = {"flash" if starts else "ramp" for starts in np.unique(paths.flash)}
    return before[:, 0], values, kinds
