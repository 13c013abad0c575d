"""Inputs of the estate and of policy that may be wrong, each with a range.

This module answers: how far may what services use, how they call, how evenly they share, how they
pool and what the team plans to, be off, and what would measure it?
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from capmodel.demand.given import Z_90
from capmodel.demand.paths import Z_975
from capmodel.plan.cases import TENTH, Case, Move
from capmodel.plan.frames_limits import MIXTURE

if TYPE_CHECKING:
    from capmodel.capacity.loads import CallRatio
    from capmodel.plan.make import Solved
    from capmodel.plan.model import CapacityFit
    from capmodel.plan.supply import Supply
    from capmodel.topology import Topology
    from capmodel.usage import LinearUsage

__all__ = ["calls", "databases", "policies", "slopes"]

LARGEST: Final = 3
"""Services, and calls, that are moved: those that fill the most cores."""
POINTS: Final = 0.05
"""How far a planned utilization and a hit ratio are moved [ratio]."""
UNEVEN: Final = 0.5
"""How far the hottest pod's excess over the mean is moved [ratio]."""
POOLS: Final = 0.25
"""How far the largest connection pools are moved [ratio]."""


def _largest(solved: Solved, supply: Supply) -> list[str]:
    """Return the services that request the most cores in the mixture, the largest first."""
    cores = {
        name: need.replicas * pod.cpu_cores
        for (scenario, name), need in supply.services.items()
        if scenario == MIXTURE and (pod := solved.estate.topology.services[name].pod) is not None
    }
    return sorted((n for n in cores if math.isfinite(cores[n])), key=lambda n: (-cores[n], n))


def slopes(solved: Solved, supply: Supply) -> Iterator[Move]:
    """Yield the cores per request of the largest services."""
    known = [n for n in _largest(solved, supply) if (n, "cpu_cores") in solved.fit.usage]
    for name in known[:LARGEST]:
        use = solved.fit.usage[name, "cpu_cores"]
        slopes = [k for k, term in enumerate(use.terms) if term.startswith("per_request")]
        if not slopes:
            continue
        k = max(slopes, key=lambda i: float(use.value[i]))
        central = float(use.value[k])
        se = float(use.high[k] - use.low[k]) / (2 * Z_975)
        told = use.basis != "assumed" and 0 < se < math.inf and central > 0
        width = min(Z_90 * se / central, 0.9) if told else TENTH
        one = len(slopes) == 1
        yield Move(
            name=f"cores per request of {name}",
            kind="per_request",
            node=name,
            low=(1 - width) * (central if one else 1.0),
            central=central if one else 1.0,
            high=(1 + width) * (central if one else 1.0),
            unit="core s" if one else "x the slopes",
            source="P10 to P90 of the fit" if told else "10 % either way",
            basis=use.basis,
            at_low=_with_usage(solved, use, _scaled(use, 1 - width)),
            at_high=_with_usage(solved, use, _scaled(use, 1 + width)),
            measure="a load test of the build that will run",
            if_known=((1.0, _with_usage(solved, use, _certain(use))),) if told else (),
        )


def _scaled(use: LinearUsage, x: float) -> LinearUsage:
    by = np.array([x if term.startswith("per_request") else 1.0 for term in use.terms])
    return replace(
        use,
        value=use.value * by,
        covariance=use.covariance * np.outer(by, by),
        low=use.low * by,
        high=use.high * by,
    )


def _certain(use: LinearUsage) -> LinearUsage:
    return replace(use, covariance=np.zeros_like(use.covariance), low=use.value, high=use.value)


def _with_usage(solved: Solved, old: LinearUsage, new: LinearUsage) -> Case:
    usage = {**solved.fit.usage, (old.service, old.resource): new}
    return Case(fit=replace(solved.fit, usage=usage))


def calls(solved: Solved, supply: Supply) -> Iterator[Move]:
    """Yield the calls of the largest services by their callers."""
    topology = solved.estate.topology
    edges = [
        (caller, name)
        for name in _largest(solved, supply)
        for caller in topology.calls_of(name)
        if (caller, name) in solved.fit.calls
    ]
    for pair in edges[:LARGEST]:
        edge = solved.fit.calls[pair]
        log_se = math.hypot(edge.log_se, edge.event_log_se)
        low_x = math.exp(-Z_90 * log_se) if log_se else 1 - TENTH
        high_x = math.exp(Z_90 * log_se) if log_se else 1 + TENTH
        central = edge.ratio * edge.event_x
        certain = replace(edge, log_se=0.0, event_log_se=0.0)
        yield Move(
            name=f"calls of {pair[1]} per {pair[0]}",
            kind="calls",
            node=pair[1],
            low=central * low_x,
            central=central,
            high=central * high_x,
            unit="calls",
            source="P10 to P90 of the fit" if log_se else "10 % either way",
            basis=edge.basis,
            at_low=_with_edge(solved, pair, replace(edge, ratio=edge.ratio * low_x)),
            at_high=_with_edge(solved, pair, replace(edge, ratio=edge.ratio * high_x)),
            measure="traces of a busy day",
            if_known=((1.0, _with_edge(solved, pair, certain)),) if log_se else (),
        )


def _with_edge(solved: Solved, pair: tuple[str, str], edge: CallRatio) -> Case:
    return Case(fit=replace(solved.fit, calls={**solved.fit.calls, pair: edge}), demand=True)


def policies(solved: Solved) -> Iterator[Move]:
    """Yield what the team decides or buys: planned utilization, balance of pods, prices."""
    fit = solved.fit
    planned = fit.topology.policy.utilization.cpu_cores
    yield Move(
        name="planned utilization",
        kind="utilization",
        node="",
        low=planned - POINTS,
        central=planned,
        high=planned + POINTS,
        unit="ratio of cores",
        source="5 points either way, of every resource and under failures",
        basis="assumed",
        at_low=Case(fit=_with_topology(fit, _utilization(fit.topology, -POINTS))),
        at_high=Case(fit=_with_topology(fit, _utilization(fit.topology, POINTS))),
        measure="a load test of the largest service up to its latency target",
    )
    uneven = {n: s.imbalance_x for n, s in solved.estate.services.items() if s.imbalance_x > 1}
    if uneven:
        worst = max(uneven.values())
        yield Move(
            name="hottest pod / mean pod",
            kind="imbalance",
            node="",
            low=1 + (worst - 1) * (1 - UNEVEN),
            central=worst,
            high=1 + (worst - 1) * (1 + UNEVEN),
            unit="x, of the most uneven",
            source="half of each excess over 1 either way",
            basis="measured"
            if all(solved.estate.services[n].imbalance_basis == "measured" for n in uneven)
            else "assumed",
            at_low=Case(fit=_with_topology(fit, _balance(fit.topology, uneven, 1 - UNEVEN))),
            at_high=Case(fit=_with_topology(fit, _balance(fit.topology, uneven, 1 + UNEVEN))),
            measure="usage by pod over one busy day",
        )
    yield Move(
        name="prices",
        kind="price",
        node="",
        low=1 - TENTH,
        central=1.0,
        high=1 + TENTH,
        unit="x",
        source="10 % either way",
        basis="measured",
        at_low=Case(price_x=1 - TENTH),
        at_high=Case(price_x=1 + TENTH),
        measure="effective rates of the bill",
    )


def _with_topology(fit: CapacityFit, topology: Topology) -> CapacityFit:
    return replace(fit, topology=topology)


def _utilization(topology: Topology, points: float) -> Topology:
    policy = topology.policy
    planned = {
        name: min(max(value + points, POINTS), 1.0)
        for name, value in policy.utilization.model_dump().items()
        if name != "nodes"
    }
    degraded = policy.utilization_degraded
    changed: dict[str, Any] = {
        "utilization": policy.utilization.model_copy(update=planned),
        "utilization_degraded": None
        if degraded is None
        else min(max(degraded + points, POINTS), 1.0),
    }
    return topology.model_copy(update={"policy": policy.model_copy(update=changed)})


def _balance(topology: Topology, uneven: Mapping[str, float], x: float) -> Topology:
    services = {
        name: service.model_copy(update={"imbalance_x": 1 + (uneven[name] - 1) * x})
        if name in uneven
        else service
        for name, service in topology.services.items()
    }
    return topology.model_copy(update={"services": services})


def databases(solved: Solved) -> Iterator[Move]:
    """Yield pool sizes, and the hit ratio of caches in front, of each database."""
    fit = solved.fit
    for name, database in fit.topology.databases.items():
        if any(caller.pool_max for caller in database.used_by.values()) and not database.proxy:
            yield Move(
                name=f"connection pools on {name}",
                kind="pool_max",
                node=name,
                low=1 - POOLS,
                central=1.0,
                high=1 + POOLS,
                unit="x",
                source="a quarter either way",
                basis="assumed",
                at_low=_with_callers(fit, name, "pool_max", 1 - POOLS),
                at_high=_with_callers(fit, name, "pool_max", 1 + POOLS),
                measure="open connections by service at a peak",
            )
        hit = database.cache_hit_ratio
        if hit is not None:
            low, high = max(hit - POINTS, 0.0), min(hit + POINTS, 0.99)
            yield Move(
                name=f"cache hits in front of {name}",
                kind="hit_ratio",
                node=name,
                low=low,
                central=hit,
                high=high,
                unit="ratio",
                source="5 points either way",
                basis="assumed",
                at_low=_with_callers(fit, name, "reads", (1 - low) / (1 - hit)),
                at_high=_with_callers(fit, name, "reads", (1 - high) / (1 - hit)),
                measure="hits and misses of the cache on the last event",
            )


def _with_callers(fit: CapacityFit, name: str, what: str, x: float) -> Case:
    """Return the case in which every caller of a database pools or reads so many times as much."""
    database = fit.topology.databases[name]
    used_by = {
        caller: use.model_copy(
            update={what: round(getattr(use, what) * x) if what == "pool_max" else use.reads * x}
        )
        for caller, use in database.used_by.items()
    }
    changed = {**fit.topology.databases, name: database.model_copy(update={"used_by": used_by})}
    topology = fit.topology.model_copy(update={"databases": changed})
    return Case(fit=replace(fit, topology=topology))
