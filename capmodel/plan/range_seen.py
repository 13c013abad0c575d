"""How far the plan leaves the range that the usage fits have seen, node by node."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from capmodel.capacity.estate import AUTOSCALED, database_instant, database_rates
from capmodel.capacity.risk import mixture_quantile
from capmodel.capacity.use import targets_of

if TYPE_CHECKING:
    from capmodel.plan.make import Solved

__all__ = ["beyond_seen"]


def beyond_seen(solved: Solved) -> dict[str, float]:
    """Return the planned load / the largest that a fit has seen, by service and database [ratio].

    At the mixture's P50 season peak and without failures. Services are judged on load per pod: the
    load that fills a pod to the planned utilization, or less where the minimum of pods holds more
    than that; databases on the total of their queries. Nodes whose use is declared are left out.
    """
    found = {name: _service(solved, name) for name in solved.needs.pods}
    found.update({name: _database(solved, name) for name in solved.estate.databases})
    return {name: x for name, x in found.items() if x > 0}


def _service(solved: Solved, name: str) -> float:
    season = solved.request.season
    days = [load.day_peak(name)[:, season].max(axis=1) for load in solved.futures.loads]
    peaks = np.stack(days)
    p50 = float(peaks[mixture_quantile(peaks, 0.5, solved.request.weights)])
    targets = targets_of(AUTOSCALED, solved.estate.topology.policy)
    return solved.estate.services[name].extrapolation_x(targets, load=p50)


def _database(solved: Solved, name: str) -> float:
    use = solved.estate.databases[name]
    path = next(p for p in solved.paths if p.limit.key == (name, "cpu_cores"))
    if not math.isfinite(use.qps_max):
        return 0.0
    s, d = mixture_quantile(path.season_peak, 0.5, solved.request.weights)
    loads, day = solved.futures.loads[s], int(path.peak_day[s, d])
    instant = database_instant(solved.estate, loads, name)
    callers = {}
    for user in solved.estate.topology.databases[name].used_by:
        load = loads.at(user, instant)
        callers[user] = float(load[min(d, len(load) - 1), min(day, load.shape[1] - 1)])
    reads, writes = database_rates(solved.estate, name, callers)
    return float(reads + writes) / use.qps_max
