"""How far the plan leaves the range that the usage fits have seen, node by node."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from capmodel.capacity.evaluate import database_instant, database_rates
from capmodel.capacity.phases import estate_under
from capmodel.capacity.risk import mixture_value
from capmodel.plan.paths import at_p50

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
    peaks = solved.needs.load_peak[name]
    p50 = mixture_value(peaks, 0.5, solved.request.weights)
    states = {float(x) for load in solved.futures.loads for x in load.cores_x.get(name, ())}
    return max(
        estate.services[name].extrapolation_x(estate.targets(name), load=p50)
        for estate in (estate_under(solved.estate, {name: x}) for x in states | {1.0})
    )


def _database(solved: Solved, name: str) -> float:
    use = solved.estate.databases[name]
    path = next(p for p in solved.paths if p.limit.key == (name, "cpu_cores"))
    if not math.isfinite(use.qps_max):
        return 0.0
    at = at_p50(solved, path, solved.request.weights)
    instant = database_instant(at.estate, at.loads, name)
    users = solved.estate.topology.databases[name].used_by
    callers = {user: at.of(at.loads.at(user, instant)) for user in users}
    reads, writes = database_rates(solved.estate, name, callers)
    return float(reads + writes) / use.qps_max
