"""What is wrong with a topology as a whole: names, references, missing and idle values, cycles."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from capmodel import callgraph
from capmodel.errors import Problem, nearest

if TYPE_CHECKING:
    from capmodel.topology.core import Topology

__all__ = ["call_graph", "problems_of"]


def problems_of(topology: Topology) -> list[Problem]:
    """Return every problem; cycles are looked for where nothing else is wrong."""
    problems = [
        *_name_problems(topology),
        *_reference_problems(topology),
        *_missing_problems(topology),
        *_ignored_problems(topology),
        *_contradictions(topology),
        *_promise_problems(topology),
    ]
    return problems or _cycle_problems(topology)


def call_graph(topology: Topology) -> dict[str, tuple[str, ...]]:
    """Return each node's callers."""
    nodes = (*topology.drivers, *topology.services, *topology.externals)
    return {node: tuple(topology.calls_of(node)) for node in nodes}


def _name_problems(topology: Topology) -> list[Problem]:
    seen: dict[str, str] = {}
    problems = []
    for kind in ("drivers", "services", "databases", "externals", "pools", "limits"):
        for name in getattr(topology, kind):
            if name in seen:
                problems.append(
                    Problem(
                        where=f"{kind}.{name}",
                        got=f"a name that {seen[name]}.{name} already has",
                        expected="names unique over the whole file",
                        do="Rename one of the two.",
                    )
                )
            seen.setdefault(name, kind)
    return problems


def _unknown(where: str, name: str, kind: str, known: list[str]) -> Problem:
    close = nearest(name, known)
    hint = f'Did you mean "{close}"?' if close else f"Declare {name} or remove the reference."
    return Problem(
        where=where,
        got=f'unknown {kind} "{name}"',
        expected=f"one of: {', '.join(sorted(known)) or 'none declared'}",
        do=hint,
    )


def _reference_problems(topology: Topology) -> list[Problem]:
    callers = [*topology.drivers, *topology.services]
    problems = []
    for node in (*topology.drivers, *topology.services, *topology.externals):
        known = [*topology.drivers] if node in topology.drivers else callers
        problems += [
            _unknown(f"{node}.calls", caller, "caller", known)
            for caller in topology.calls_of(node)
            if caller not in known
        ]
    problems += [
        _unknown(f"services.{name}.pool", service.pool, "pool", [*topology.pools])
        for name, service in topology.services.items()
        if service.pool is not None and service.pool not in topology.pools
    ]
    problems += [
        _unknown(f"databases.{name}.used_by", user, "service", [*topology.services])
        for name, database in topology.databases.items()
        for user in database.used_by
        if user not in topology.services
    ]
    for name, limit in topology.limits.items():
        kinds: dict[str, tuple[Mapping[str, object], list[str]]] = {
            "per_request": (limit.per_request, [*callers, *topology.externals]),
            "per_pod": (limit.per_pod, [*topology.services]),
            "per_node": (limit.per_node, [*topology.pools]),
        }
        for field, (used, known) in kinds.items():
            kind = "pool" if field == "per_node" else "node"
            where = f"limits.{name}.{field}"
            problems += [_unknown(where, node, kind, known) for node in used if node not in known]
    return problems


def _missing_problems(topology: Topology) -> list[Problem]:
    """Return what nothing could be planned for: no demand at all, or externals nobody calls."""
    problems = [
        Problem(
            where=f"externals.{name}.calls",
            got="no calls",
            expected="the drivers or services that call it, with calls per unit of each",
            do="Write calls: {SERVICE: 0.5}, or remove the external.",
        )
        for name, external in topology.externals.items()
        if not external.calls
    ]
    if not topology.drivers and not topology.services:
        problems.append(
            Problem(
                where="topology",
                got="no driver and no service",
                expected="at least one of them",
                do="Declare drivers: {NAME: {today_per_min: 600}}, or services.",
            )
        )
    return problems


def _ignored_problems(topology: Topology) -> list[Problem]:
    """Return declared values that nothing would use."""
    follows = [
        (f"services.{name}.today_rps", service.today_rps)
        for name, service in topology.services.items()
        if service.calls
    ]
    for name, driver in topology.drivers.items():
        if driver.calls:
            follows.append((f"drivers.{name}.today_per_min", driver.today_per_min))
            follows.append((f"drivers.{name}.peak_minute_x", driver.peak_minute_x))
    problems = [
        Problem(
            where=where,
            got=f"{value:g}, beside calls",
            expected="either, for what has calls follows its callers",
            do="Remove the value or the calls.",
        )
        for where, value in follows
        if value is not None
    ]
    problems += [
        Problem(
            where=f"drivers.{name}.sigma_log",
            got=f"{driver.sigma_log:g} without today_per_min",
            expected="a declared level, which it spreads",
            do="Declare today_per_min or remove sigma_log.",
        )
        for name, driver in topology.drivers.items()
        if driver.sigma_log and driver.today_per_min is None
    ]
    return problems


def _contradictions(topology: Topology) -> list[Problem]:
    """Return bounds that exclude each other from the start."""
    problems = [
        Problem(
            where=f"limits.{name}.hard",
            got=f"{limit.hard:g} {limit.unit}, and a constant use of {limit.constant:g}",
            expected="a bound of at least what is used without any traffic",
            do="Correct hard or constant; are both in the same unit?",
        )
        for name, limit in topology.limits.items()
        if limit.hard is not None and limit.constant > limit.hard
    ]
    for name, service in topology.services.items():
        least, where = service.replicas.min_per_zone, f"services.{name}.replicas.min_per_zone"
        pool = topology.pools.get(service.pool or "")
        if least and service.pool is None:
            expected, do = "a pool, which has zones", "Name the pool, or use replicas.min."
            problems.append(Problem(where, f"{least} without a pool", expected, do))
        elif pool is not None and 0 < (service.replicas.max or 0) < least * pool.zones:
            problems.append(
                Problem(
                    where=where,
                    got=f"{least} in each of {pool.zones} zones",
                    expected=f"at most replicas.max ({service.replicas.max}) pods in all",
                    do="Lower min_per_zone or raise replicas.max.",
                )
            )
    return problems


def _promise_problems(topology: Topology) -> list[Problem]:
    """Return the tiers of services that no row of the policy promises anything."""
    promised = topology.policy.hold
    return [
        Problem(
            where="policy.hold",
            got=f"no row for tier {tier}, which {name} has",
            expected="at least one row for every tier in use",
            do="Leave out tiers of a row, which promises it to all, or add a row for this one.",
        )
        for tier, name in {s.tier: n for n, s in reversed(topology.services.items())}.items()
        if not any(row.holds_for(tier) for row in promised)
    ]


def _cycle_problems(topology: Topology) -> list[Problem]:
    _, cycle = callgraph.ordered(call_graph(topology))
    if not cycle:
        return []
    arrows = " -> ".join(reversed(cycle))
    return [
        Problem(
            where="calls",
            got=f"a cycle: {arrows}",
            expected="calls that lead from drivers to services and never back",
            do="Remove one of these calls, or model the loop as calls per request of its entry.",
        )
    ]
