"""What every local week and every event of the horizon needs, so that a schedule keeps the risk.

This module answers: how many pods and nodes does each window need, which hold row asks for them,
and how likely does a season exceed any of them? The windows of all services and pools of a tier
share the tier's risk (:mod:`capmodel.capacity.schedule`): a quiet week sized at the season's own
quantile would spend that risk again in every week.

Shapes: S scenarios, D draws, N local days of the horizon, W windows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import pandas as pd

from capmodel.capacity.evaluate import pods_needed, zone_fills
from capmodel.capacity.schedule import Ask, Need, WindowSizes, window_sizes
from capmodel.capacity.sizing import OWN_NEED, whole_nodes, whole_pods
from capmodel.capacity.windows import Window, calendar_windows
from capmodel.plan.frames_limits import MIXTURE

if TYPE_CHECKING:
    from capmodel.events import Events
    from capmodel.plan.make import Solved
    from capmodel.plan.supply import Supply
    from capmodel.topology import Hold

__all__ = ["Schedule", "event_runs", "make_schedule", "packing_x", "schedule_frame"]

SCHEDULE_COLUMNS = [
    "scenario", "kind", "unit", "window", "start", "end", "units", "units_p50", "hold", "p_any",
]  # fmt: skip

ALL: Final = slice(None)


@dataclass(frozen=True, slots=True, eq=False)
class Schedule:
    """The mixture's units of every window."""

    windows: tuple[Window, ...]
    sizes: tuple[WindowSizes, ...]
    p_any: Mapping[int, float]
    """Tier to the probability, at most, that a season exceeds any of its windows."""

    def daily(self, kind: str, unit: str) -> np.ndarray:
        """Return the units of each local day: the most that a window holding it asks, (N,)."""
        (sized,) = (s for s in self.sizes if (s.kind, s.unit) == (kind, unit))
        days = np.full(max(day for w in self.windows for day in w.days) + 1, -np.inf)
        for window, units in zip(self.windows, sized.units, strict=True):
            inside = list(window.days)
            days[inside] = np.maximum(days[inside], units)
        return days


def event_runs(events: Events, dates: np.ndarray) -> list[tuple[str, int, int]]:
    """Return (event, first day, last day) of what acts on the days of a horizon, in order.

    Days of one span that follow one another are one event; one that covers some hours has its days.

    Examples
    --------
    >>> from capmodel.events import Events
    >>> events = Events.none().add("launch", "2026-11-20", days=3)
    >>> event_runs(events, np.arange(np.datetime64("2026-11-18"), np.datetime64("2026-12-01")))
    [('launch', 2, 4)]
    """
    runs: list[tuple[str, int, int]] = []
    last: dict[str, int] = {}
    for index, date in enumerate(dates):
        for span in dict.fromkeys(day.span for day in events.acting(date)):
            at = last.get(span)
            if at is not None and runs[at][2] == index - 1:
                runs[at] = (span, runs[at][1], index)
            else:
                last[span] = len(runs)
                runs.append((span, index, index))
    return runs


def make_schedule(solved: Solved, supply: Supply) -> Schedule:
    """Return the units of every window for the services and pools that the plan sizes."""
    dates = solved.request.dates
    windows = calendar_windows(dates, event_runs(solved.fit.events, dates))
    topology = solved.estate.topology
    sizes: list[WindowSizes] = []
    p_any: dict[int, float] = {}
    for tier, risk in solved.risks.items():
        asks = [
            _pods(solved, supply, n, windows)
            for n in solved.needs.pods
            if topology.tier_of(n) == tier
        ]
        asks += [
            _nodes(solved, supply, n, windows)
            for n in solved.needs.nodes
            if topology.tier_of(n) == tier
        ]
        holds = [hold for hold in topology.policy.hold if hold.holds_for(tier)]
        if not (asks and holds):
            continue
        found, p_any[tier] = window_sizes(
            asks, holds, weights=solved.request.weights, risk=risk, others=_others(solved, tier)
        )
        sizes += found
    return Schedule(windows=windows, sizes=tuple(sizes), p_any=p_any)


def _others(solved: Solved, tier: int) -> list[np.ndarray]:
    """Return the season's needs of the tier's limits that no schedule provides, (S, D) each."""
    return [
        path.full_peak
        for path in solved.paths
        if path.limit.kind in OWN_NEED and path.limit.tier == tier and np.isfinite(path.limit.hard)
    ]


def _by_window(days: np.ndarray, windows: Sequence[Window]) -> np.ndarray:
    """Return each window's largest value of a matrix of days, shape (W, D), from (D, N)."""
    by_day = np.ascontiguousarray(days.T)
    return np.stack([by_day[_index(window.days)].max(axis=0) for window in windows])


def _index(days: tuple[int, ...]) -> slice | list[int]:
    """Return an index of some days: a slice, which copies nothing, where they are consecutive."""
    consecutive = days[-1] - days[0] + 1 == len(days)
    return slice(days[0], days[-1] + 1) if consecutive else list(days)


def _pods(solved: Solved, supply: Supply, name: str, windows: Sequence[Window]) -> Ask:
    """Return a service's ask: pods are proportional to the load, so its window peaks suffice."""
    estate = solved.estate
    service = estate.topology.services[name]
    zones = estate.topology.pools[service.pool].zones if service.pool else None

    def needs(holds: Sequence[Hold]) -> list[Need]:
        if any(name in load.cores_x for load in solved.futures.loads):
            return [_dated(solved, name, hold, windows) for hold in holds]
        loads = [_by_window(load.day_peak(name), windows) for load in solved.futures.loads]
        peaks = np.stack(loads, axis=1)
        return [_proportional(peaks, estate.rate(name, hold)[:, 0]) for hold in holds]

    def whole(need: float, hold: Hold) -> float:
        return whole_pods(need, hold, zones=zones)

    most = _ordered(solved, windows, supply.services[MIXTURE, name].replicas)
    return Ask("pods", name, needs, whole, least=float(estate.services[name].minimum), most=most)


def _ordered(solved: Solved, windows: Sequence[Window], units: float) -> np.ndarray:
    """Return what is ordered in each window: the season's units in those of the season alone."""
    season = solved.season
    inside = [
        season.start <= min(window.days) and max(window.days) < season.end for window in windows
    ]
    return np.where(inside, units, np.inf)


def _dated(solved: Solved, name: str, hold: Hold, windows: Sequence[Window]) -> Need:
    """Return a service's pods by window where cores per request change with the days."""
    pods = [pods_needed(solved.estate, load, name, hold) for load in solved.futures.loads]
    return Need(np.stack([_by_window(days, windows) for days in pods], axis=1))


def _proportional(loads: np.ndarray, rate: np.ndarray) -> Need:
    if rate.max() == rate.min() and 0 < rate[0] < np.inf:
        return Need(loads, float(rate[0]))
    finite = np.isfinite(rate)
    return Need(np.where(finite, loads * np.where(finite, rate, 0.0), np.inf))


def _nodes(solved: Solved, supply: Supply, name: str, windows: Sequence[Window]) -> Ask:
    """Return a pool's ask: the fill of one zone, times zones and the season's loss in packing."""
    zones = solved.estate.topology.pools[name].zones
    nodes = zones * packing_x(solved, supply, name)

    def needs(holds: Sequence[Hold]) -> list[Need]:
        fills = _horizon_fills(solved, name, holds)
        return [
            Need(np.stack([_by_window(fill[k], windows) for fill in fills], axis=1), nodes)
            for k in range(len(holds))
        ]

    def whole(need: float, hold: Hold) -> float:
        return whole_nodes(need / zones, hold, zones=zones)

    most = _ordered(solved, windows, float(supply.pools[MIXTURE, name].placed.nodes))
    return Ask("nodes", name, needs, whole, most=most)


def packing_x(solved: Solved, supply: Supply, pool: str) -> float:
    """Return nodes that first fit takes / the zone's fill, on the path that sizes the pool [ratio].

    On a window with less to place the product is at most one node of a zone above what a packing of
    the same efficiency takes, and never below.
    """
    need = supply.pools[MIXTURE, pool]
    row = solved.needs.holds.index(need.needed.hold)
    fill = float(solved.needs.nodes[pool][row, need.needed.scenario, need.needed.draw])
    return max(need.placed.per_zone / fill, 1.0) if 0 < fill < np.inf else 1.0


def _horizon_fills(solved: Solved, pool: str, holds: Sequence[Hold]) -> list[list[np.ndarray]]:
    """Return nodes of one zone by scenario and row, shape (D, N); the season's are known."""
    season = solved.season
    outside = (slice(0, season.start), slice(season.end, len(solved.request.dates)))
    result = []
    for load, known in zip(solved.futures.loads, solved.needs.fills[pool], strict=True):
        before, after = (
            zone_fills(solved.estate.take(ALL, days), load.take(ALL, days), pool, holds)
            if days.start < days.stop
            else None
            for days in outside
        )
        rows = []
        for k, hold in enumerate(holds):
            parts = [known[hold]]
            parts = [before[k], *parts] if before else parts
            parts = [*parts, after[k]] if after else parts
            rows.append(np.concatenate(parts, axis=1) if len(parts) > 1 else parts[0])
        result.append(rows)
    return result


def schedule_frame(solved: Solved, schedule: Schedule) -> pd.DataFrame:
    """Return one row per service or pool and window, for the mixture.

    ``units`` are required under the policy's rows, `hold` names the one that asks. A week leaves
    its event days to the events. ``p_any`` is the probability, at most, that a season exceeds any
    window of the unit's tier without a failure.
    """
    dates, topology = solved.request.dates, solved.estate.topology
    rows = [
        {
            "scenario": MIXTURE,
            "kind": sized.kind,
            "unit": sized.unit,
            "window": window.name,
            "start": str(dates[window.days[0]]),
            "end": str(dates[window.days[-1]] + 1),
            "units": float(sized.units[w]),
            "units_p50": float(sized.p50[w]),
            "hold": hold.words if (hold := sized.holds[w]) else "replicas.min",
            "p_any": schedule.p_any[topology.tier_of(sized.unit)],
        }
        for sized in sorted(schedule.sizes, key=lambda s: s.kind != "pods")
        for w, window in enumerate(schedule.windows)
    ]
    return pd.DataFrame(rows, columns=SCHEDULE_COLUMNS)
