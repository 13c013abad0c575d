"""A shared MySQL server: its classes, what each allows, and what the callers' pools may open.

This module answers: how many connections can a database's callers open, how many does a class
allow, and which classes may follow today's? It takes numbers and knows no money. Sizes with
readers, failures, storage and all limits: `db_sizing`; relief short of a class: `remedies`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from capmodel.capacity.replicas import SLACK, surge_pods
from capmodel.errors import InputError, nearest

if TYPE_CHECKING:
    from capmodel.catalog import DbClass
    from capmodel.schema import Status

__all__ = [
    "Caller",
    "ClassLadder",
    "ClassNeed",
    "ConnectionUse",
    "DbLimit",
    "caller_connections",
    "connection_limit",
    "connection_use",
    "status_of",
]

Floats = npt.NDArray[np.float64]
DbLimit = Literal["cpu_cores", "connections"]


@dataclass(frozen=True, slots=True)
class Caller:
    """A service's connection pools on a database in one minute.

    ``replicas`` pods before any surge [pods]; ``pool_max`` the largest pool of one process
    [connections]; ``processes`` per pod; ``qps`` queries that the service sends [1/s], 0 when
    unknown.
    """

    service: str
    replicas: float
    pool_max: int
    processes: int = 1
    qps: float = 0.0


@dataclass(frozen=True, slots=True)
class ConnectionUse:
    """Connections that the callers of a database may open, together and by caller."""

    total: float
    by_caller: Mapping[str, float]

    @property
    def shares(self) -> dict[str, float]:
        """Each caller's part of the total [ratio], largest first."""
        ranked = sorted(self.by_caller.items(), key=lambda item: (-item[1], item[0]))
        return {name: part / self.total if self.total else 0.0 for name, part in ranked}


@dataclass(frozen=True, slots=True)
class ClassLadder:
    """The classes that a database may run on.

    ``classes`` of one family, smallest first; ``today`` the name of the present one; ``declared``
    an explicit `max_connections` parameter, None where the default of the class applies; ``share``
    what callers may take of them, less than 1 behind a proxy [ratio].
    """

    classes: tuple[DbClass, ...]
    today: str
    declared: int | None = None
    share: float = 1.0

    @property
    def now(self) -> DbClass:
        """The present class.

        Raises
        ------
        InputError
            When it is none of the ladder; the nearest is offered.
        """
        for candidate in self.classes:
            if candidate.name == self.today:
                return candidate
        known = [candidate.name for candidate in self.classes]
        close = nearest(self.today, known)
        raise InputError.of(
            "class",
            got=f'"{self.today}"',
            expected=f"a class of the ladder: {', '.join(known) or 'none'}",
            do=f'Did you mean "{close}"?' if close else "Correct the class.",
        )

    @property
    def larger(self) -> tuple[DbClass, ...]:
        """The classes above the present one, smallest first."""
        size = _size(self.now)
        return tuple(candidate for candidate in self.classes if _size(candidate) > size)


@dataclass(frozen=True, slots=True)
class ClassNeed:
    """What a class must hold: need and planned utilization of each limit.

    ``cpu_cores`` [cores] within ``cpu_policy_x`` of the class's vCPUs, ``connections`` within
    ``connections_policy_x`` of its `max_connections` [ratio].
    """

    cpu_cores: float
    connections: float
    cpu_policy_x: float
    connections_policy_x: float

    def of(self, limit: DbLimit) -> tuple[float, float]:
        """Return the need of a limit and its policy [ratio]."""
        if limit == "cpu_cores":
            return self.cpu_cores, self.cpu_policy_x
        return self.connections, self.connections_policy_x


def caller_connections(
    replicas: npt.ArrayLike,
    *,
    pool_max: npt.ArrayLike,
    processes: npt.ArrayLike = 1,
    surge: float = 0.0,
    continuous: bool = False,
) -> Floats:
    """Return the connections that pods may open at once, the surge of a rollout included.

    Formula: ``ceil(replicas * (1 + surge)) * processes * pool_max``.

    Parameters
    ----------
    replicas
        Pods of the callers, any shape [pods].
    pool_max
        Largest pool of one process, broadcastable to `replicas` [connections].
    processes
        Processes per pod, broadcastable to `replicas`.
    surge
        Extra pods of a rollout [ratio].
    continuous
        Keep fractions of pods, for sweeps.

    Examples
    --------
    >>> float(caller_connections(20, pool_max=30, surge=0.25))
    750.0
    """
    pods = surge_pods(replicas, surge=surge, continuous=continuous)
    return np.asarray(pods * np.asarray(processes) * np.asarray(pool_max))


def connection_use(callers: Sequence[Caller], *, surge: float = 0.0) -> ConnectionUse:
    """Return the connections of all callers of one database, together and by caller.

    Parameters
    ----------
    callers
        Every service that holds a pool on the database.
    surge
        Extra pods of a rollout [ratio].

    Examples
    --------
    >>> use = connection_use([Caller("api", 120, 20), Caller("ledger", 60, 20)])
    >>> use.total, use.shares["api"]
    (3600.0, 0.6666666666666666)
    """
    by_caller: dict[str, float] = {}
    for caller in callers:
        opened = caller_connections(
            caller.replicas, pool_max=caller.pool_max, processes=caller.processes, surge=surge
        )
        by_caller[caller.service] = by_caller.get(caller.service, 0.0) + float(opened)
    return ConnectionUse(total=sum(by_caller.values()), by_caller=by_caller)


def status_of(utilization: float, *, policy_x: float) -> Status:
    """Return RED above the hard limit, AMBER above the policy, else GREEN.

    Examples
    --------
    >>> [status_of(u, policy_x=0.85) for u in (0.769, 0.924, 1.069)]
    ['GREEN', 'AMBER', 'RED']
    """
    if utilization > 1 + SLACK:
        return "RED"
    return "AMBER" if utilization > policy_x + SLACK else "GREEN"


def connection_limit(
    candidate: DbClass, *, declared: int | None, today: DbClass, where: str = "max_connections"
) -> int:
    """Return `max_connections` of a database if it ran on a class.

    A declared value is an explicit parameter: it stays on today's class whatever the default, a
    larger class takes the larger of it and the class's own default, a smaller class the smaller,
    for its memory is no evidence that it carries the parameter.

    Parameters
    ----------
    candidate
        The class in question.
    declared
        The explicit parameter, None where the default applies [connections].
    today
        The present class.
    where
        What asks, for the message.

    Raises
    ------
    InputError
        When nothing is declared and no table states the default of the class.

    Examples
    --------
    >>> from capmodel.catalog import Catalog
    >>> now, larger = Catalog.builtin().db_ladder("aurora-mysql", "db.r6g.large")[3:5]
    >>> connection_limit(now, declared=3500, today=now)
    3500
    >>> connection_limit(larger, declared=3500, today=now)
    5000
    """
    default = candidate.max_connections
    if declared is None:
        if default is None:
            raise InputError.of(
                where,
                got=f"no declared value, and no documented default of {candidate.engine} "
                f"{candidate.name}",
                expected="a number of connections",
                do="Declare max_connections of the database, or give the class one in the overlay.",
            )
        return default
    if default is None or candidate.name == today.name:
        return declared
    larger = _size(candidate) >= _size(today)
    return max(declared, default) if larger else min(declared, default)


def _size(candidate: DbClass) -> tuple[int, float]:
    return (candidate.vcpu, candidate.memory_gib)
