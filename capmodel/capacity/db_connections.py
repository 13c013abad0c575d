"""The connection table of a MySQL server: how large it is, and who fills it when.

This module answers: what is `max_connections` on a class where nobody declared it, how many
connections do pools, jobs and administrators hold at once, how many does a proxy need instead, and
what do all pools ask of the server when they reconnect after a failover?
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

import numpy as np
import numpy.typing as npt

from capmodel.capacity.databases import Caller, ClassLadder, connection_limit, connection_use
from capmodel.capacity.replicas import ceil_units
from capmodel.errors import InputError
from capmodel.laws.arguments import number, raise_any, whole
from capmodel.topology import OtherConnections

if TYPE_CHECKING:
    from capmodel.catalog import DbClass

__all__ = [
    "AURORA_CEILING",
    "ConnectionDefault",
    "ConnectionDemand",
    "Engine",
    "OtherConnections",
    "ProxyUse",
    "ReconnectStorm",
    "busy_connections",
    "class_connections",
    "connection_demand",
    "connection_formula",
    "needed_pool",
    "proxy_use",
    "reconnect_storm",
]

Floats = npt.NDArray[np.float64]
Engine = Literal["mysql", "aurora-mysql"]

AURORA_CEILING: Final = 16_000
"""Largest `max_connections` of Aurora MySQL (Aurora User Guide, *Managing performance*)."""

_GIB: Final = 2.0**30
_RDS_BYTES: Final = 12_582_880.0
_RDS_AT_16_GIB: Final = 1_300.0
_USABLE: Final = _RDS_AT_16_GIB * _RDS_BYTES / (16 * _GIB)
"""Part of a class's memory that counts: 1,300 connections on 16 GiB, not 1,365 [ratio]."""
_TABLED_FROM_GIB: Final = 16.0
"""From here up Aurora's table holds the formula rounded to thousands [GiB]."""
_HEADROOM: Final = 0.30
_IDLE: Final = 0.50


@dataclass(frozen=True, slots=True)
class ConnectionDefault:
    """`max_connections` of a class and what says so.

    ``basis`` is ``"declared"`` for the explicit parameter, ``"documented"`` for a default that a
    table states, ``"formula"`` for one computed from memory; ``formula`` the formula's own value,
    0 where none was computed.
    """

    value: int
    basis: Literal["declared", "documented", "formula"]
    formula: float = 0.0

    @property
    def difference_x(self) -> float:
        """Value / formula - 1: what the table and the formula disagree by [ratio]."""
        return self.value / self.formula - 1 if self.formula else 0.0


@dataclass(frozen=True, slots=True)
class ConnectionDemand:
    """Connections on one server at once: ``total`` = pools + other, and each caller's pools."""

    total: float
    pools: float
    other: OtherConnections
    by_caller: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class ProxyUse:
    """Server sessions that a proxy holds for its callers.

    ``busy`` sessions at the quantile, pinned ones included; ``needed`` the same with 30 % to spare;
    ``allowed`` what `MaxConnectionsPercent` grants; ``idle`` what the proxy keeps open unused;
    ``percent`` the smallest `MaxConnectionsPercent` that holds the need [%].
    """

    busy: float
    needed: float
    allowed: float
    idle: float
    percent: float

    @property
    def holds(self) -> bool:
        """Whether the need fits into what is granted."""
        return self.needed <= self.allowed + 1e-9


@dataclass(frozen=True, slots=True, eq=False)
class ReconnectStorm:
    """All pools reconnecting at once.

    ``rate_per_s`` new connections [1/s]; ``cores`` that accepting them takes [cores]; ``share_x``
    of the server's vCPUs [ratio]; ``seconds`` until all are back when no more than the server's
    cores accept [s].
    """

    rate_per_s: Floats
    cores: Floats
    share_x: Floats
    seconds: Floats


def connection_formula(engine: Engine, memory_gib: npt.ArrayLike) -> Floats:
    """Return the engine's default `max_connections` by its formula, before any rounding.

    Formula: RDS MySQL ``M / 12582880``; Aurora MySQL ``max(45 · log2(M / 805306368), 1000 ·
    log2(M / 8187281408))``, at most 16,000. M is memory in bytes; the engines take it after the
    operating system's part, so a class's full memory gives an upper bound.

    Parameters
    ----------
    engine
        ``"mysql"`` or ``"aurora-mysql"``.
    memory_gib
        Memory, any shape [GiB].

    Returns
    -------
    numpy.ndarray
        Connections, with fractions; 0 for an Aurora memory below the formula's zero.

    Raises
    ------
    InputError
        For another engine or a memory that is not positive.

    References
    ----------
    Amazon RDS User Guide, *Quotas and constraints*; the Aurora formula from public repositories:
    rounded to thousands it is the table of the Aurora User Guide, *Maximum connections to an Aurora
    MySQL DB instance*.

    Examples
    --------
    >>> connection_formula("mysql", [1, 8, 16, 64]).round(2).tolist()
    [85.33, 682.67, 1365.34, 5461.35]
    >>> connection_formula("aurora-mysql", [8, 16, 32]).round(2).tolist()
    [153.68, 1069.26, 2069.26]
    """
    raise_any(number("memory_gib", memory_gib, "Give a size in GiB.", above=0))
    memory = np.asarray(memory_gib, dtype=np.float64) * _GIB
    if engine == "mysql":
        return np.asarray(memory / _RDS_BYTES)
    if engine == "aurora-mysql":
        small = np.log2(memory / 805_306_368.0) * 45.0
        large = np.log2(memory / 8_187_281_408.0) * 1000.0
        return np.asarray(np.clip(np.maximum(small, large), 0.0, AURORA_CEILING))
    raise InputError.of(
        "engine",
        got=f'"{engine}"',
        expected='"mysql" or "aurora-mysql"',
        do="Declare max_connections of the database.",
    )


def class_connections(
    candidate: DbClass, *, declared: int | None = None, today: DbClass | None = None
) -> ConnectionDefault:
    """Return `max_connections` of a class: declared, else documented, else by formula.

    The documented table wins over the formula, which differs from it: db.r6g.12xlarge 6,000 against
    5,654, 16xlarge 6,000 against 6,069, db.t4g.medium 90 against 109. Where only the formula is
    left the value is the cautious one: RDS counts 95.2 % of memory (about 1,300 connections on
    16 GiB), Aurora takes the lower of the formula and its rounding to thousands.

    Parameters
    ----------
    candidate
        The class in question.
    declared
        The explicit parameter, None where the default applies [connections]. On another class than
        `today` it moves as :func:`capmodel.capacity.databases.connection_limit` says.
    today
        The present class; None: the candidate.

    Examples
    --------
    >>> from capmodel.catalog import Catalog
    >>> catalog = Catalog.builtin()
    >>> class_connections(catalog.db_class("aurora-mysql", "db.r6g.12xlarge")).value
    6000
    >>> unknown = class_connections(catalog.db_class("aurora-mysql", "db.r7g.12xlarge"))
    >>> unknown.value, unknown.basis
    (5654, 'formula')
    """
    engine: Engine = "aurora-mysql" if candidate.engine == "aurora-mysql" else "mysql"
    formula = float(connection_formula(engine, candidate.memory_gib))
    if declared is not None:
        value = connection_limit(candidate, declared=declared, today=today or candidate)
        return ConnectionDefault(value, "declared", formula)
    if candidate.max_connections is not None:
        return ConnectionDefault(candidate.max_connections, "documented", formula)
    cautious = formula * _USABLE if engine == "mysql" else formula
    if engine == "aurora-mysql" and candidate.memory_gib >= _TABLED_FROM_GIB:
        cautious = min(formula, float(np.round(formula, -3)))
    return ConnectionDefault(int(cautious + 1e-9), "formula", formula)


def ladder_connections(ladder: ClassLadder, candidate: DbClass) -> tuple[float, str]:
    """Return the connections that callers may take of a class, and on what that rests.

    :func:`class_connections` of a declared, a documented or a computed value, times the share that
    a proxy may take.

    Examples
    --------
    >>> from capmodel.capacity.databases import ClassLadder
    >>> from capmodel.catalog import Catalog
    >>> family = Catalog.builtin().db_ladder("aurora-mysql", "db.r6g.large")
    >>> ladder_connections(ClassLadder(family, "db.r6g.large", share=0.5), family[0])
    (500.0, 'documented')
    """
    found = class_connections(candidate, declared=ladder.declared, today=ladder.now)
    return found.value * ladder.share, found.basis


def connection_demand(
    callers: Sequence[Caller], *, surge: float = 0.0, other: OtherConnections | None = None
) -> ConnectionDemand:
    """Return the connections on a server at once: every caller's pools and everything else.

    Formula: ``sum of ceil(replicas · (1 + surge)) · processes · pool_max, plus batch, admin,
    reserved, draining``.

    Parameters
    ----------
    callers
        Every service that shares the server; none is a database that only jobs use.
    surge
        Extra pods of a rollout [ratio].
    other
        Connections outside the pools; None: none.

    Examples
    --------
    >>> demand = connection_demand(
    ...     [Caller("api", 20, 30)], surge=0.25, other=OtherConnections(batch=40, admin=10)
    ... )
    >>> demand.pools, demand.total
    (750.0, 800.0)
    """
    other = other or OtherConnections()
    use = connection_use(callers, surge=surge)
    pools = float(use.total)
    return ConnectionDemand(
        total=pools + other.total, pools=pools, other=other, by_caller=use.by_caller
    )


def busy_connections(
    qps: npt.ArrayLike, *, hold_s: npt.ArrayLike, quantile: float | None = None
) -> Floats:
    """Return connections in use: the mean, or a quantile of the number in use at an instant.

    Formula: ``qps · hold_s`` (Little's law). For arrivals at random their number is Poisson
    whatever the holding times' distribution (M/G/∞), so the quantile is the smallest k with
    ``P(Poisson(qps · hold_s) <= k) >= quantile``. Arrivals in bursts need more.

    Parameters
    ----------
    qps
        Transactions that take a connection, any shape [1/s].
    hold_s
        Mean time one holds it, broadcastable [s].
    quantile
        For example 0.99; None: the mean [ratio].

    References
    ----------
    Little (1961), Operations Research 9, 383-387; Takács (1962), Introduction to the Theory of
    Queues, chapter 3 (the infinite-server queue).

    Examples
    --------
    >>> busy_connections([5000, 800], hold_s=[0.004, 0.025]).tolist()
    [20.0, 20.0]
    >>> float(busy_connections(5000, hold_s=0.004, quantile=0.99))
    31.0
    """
    raise_any(
        [
            *number("qps", qps, "Give a rate per second, without gaps.", least=0),
            *number("hold_s", hold_s, "Give seconds, without gaps.", least=0),
            *number("quantile", 0.5 if quantile is None else quantile, "0.99 for P99.", above=0,
                    below=1),
        ]
    )  # fmt: skip
    mean = np.asarray(np.multiply(qps, hold_s), dtype=np.float64)
    if quantile is None:
        return mean
    from scipy.stats import poisson  # noqa: PLC0415  the package loads faster without it

    return np.asarray(np.where(mean > 0, poisson.ppf(quantile, np.maximum(mean, 1e-300)), 0.0))


def needed_pool(
    qps: npt.ArrayLike, *, hold_s: npt.ArrayLike, workers: npt.ArrayLike, quantile: float = 0.99
) -> Floats:
    """Return the pool that each process needs, by what it keeps busy itself.

    Formula: the quantile of Poisson(``qps · hold_s / workers``), at least 1: every process has its
    own pool and its own chance, so it is more than the quantile of all divided by the processes.

    Parameters
    ----------
    qps, hold_s
        As in :func:`busy_connections`, of the whole service.
    workers
        Processes over which requests spread evenly, broadcastable.
    quantile
        Chance that no request waits for a connection [ratio].

    Examples
    --------
    >>> float(needed_pool(6000, hold_s=0.004, workers=40))
    3.0
    """
    raise_any(number("workers", workers, "Give pods times processes.", above=0))
    share = np.asarray(qps, dtype=np.float64) / np.asarray(workers, dtype=np.float64)
    return np.asarray(np.maximum(busy_connections(share, hold_s=hold_s, quantile=quantile), 1.0))


def proxy_use(  # noqa: PLR0913  a proxy's own settings, named
    callers: Sequence[Caller],
    *,
    max_connections: int,
    hold_s: float,
    quantile: float = 0.99,
    max_connections_percent: float = 100.0,
    pinned_share: float = 0.0,
    surge: float = 0.0,
) -> ProxyUse:
    """Return the sessions that a proxy needs for its callers, instead of their pools.

    A proxy lends a session for one transaction, so the sessions needed are those busy, not those
    pooled: the quantile of Poisson(``sum of qps · hold_s``) plus a session for every pinned client
    connection. `MaxConnectionsPercent` should stay 30 % above use, and idle sessions are kept up to
    half of it.

    Parameters
    ----------
    callers
        Services behind the proxy, with their queries.
    max_connections
        Of the server [connections].
    hold_s
        Time that a transaction holds its session [s].
    quantile
        Of the number busy at an instant [ratio].
    max_connections_percent
        The proxy's setting [%].
    pinned_share
        Client connections that a session variable, a lock or a prepared statement pins [ratio].
    surge
        Extra pods of a rollout [ratio].

    Raises
    ------
    InputError
        For a caller without queries: its sessions are unknown.

    References
    ----------
    Amazon RDS User Guide, *Managing an RDS Proxy* (MaxConnectionsPercent).

    Examples
    --------
    >>> use = proxy_use([Caller("api", 120, 20, qps=6000)], max_connections=4000, hold_s=0.01)
    >>> use.busy, use.needed, use.holds
    (79.0, 103.0, True)
    """
    silent = [c.service for c in callers if c.qps <= 0 and c.replicas > 0]
    if silent:
        raise InputError.of(
            "qps",
            got=f"0 of {', '.join(silent)}",
            expected="the queries of every caller with pods",
            do="Give qps: sessions through a proxy follow queries, not pools.",
        )
    do = "Correct the setting of the proxy."
    raise_any(
        [
            *whole("max_connections", max_connections),
            *number("max_connections_percent", max_connections_percent, do, above=0, most=100),
            *number("pinned_share", pinned_share, do, least=0, most=1),
        ]
    )
    qps = sum(caller.qps for caller in callers)
    multiplexed = float(
        busy_connections(qps * (1.0 - pinned_share), hold_s=hold_s, quantile=quantile)
    )
    pinned = pinned_share * connection_use(callers, surge=surge).total
    busy = float(ceil_units(multiplexed + pinned))
    needed = float(ceil_units(busy * (1.0 + _HEADROOM)))
    allowed = max_connections_percent / 100.0 * max_connections
    return ProxyUse(
        busy=busy,
        needed=needed,
        allowed=allowed,
        idle=_IDLE * allowed,
        percent=100.0 * needed / max_connections,
    )


def reconnect_storm(
    connections: npt.ArrayLike, *, window_s: float, connect_core_s: float, vcpu: float
) -> ReconnectStorm:
    """Return what all pools ask of a server when they reconnect after a failover.

    Formula: ``rate = connections / window``, ``cores = rate · connect_core_s``; no server accepts
    faster than its cores, so it takes ``max(window, connections · connect_core_s / vcpu)``.

    Parameters
    ----------
    connections
        Client connections that the failover cut, any shape [connections].
    window_s
        Time over which clients retry: their back-off with jitter, or a second without any [s].
    connect_core_s
        Core-seconds of one connection: thread, TLS handshake, authentication [cores s]. Measure
        it; no default would be honest.
    vcpu
        Of the server that they reach [cores].

    Examples
    --------
    >>> storm = reconnect_storm(4000, window_s=2, connect_core_s=0.008, vcpu=4)
    >>> float(storm.rate_per_s), float(storm.cores), float(storm.seconds)
    (2000.0, 16.0, 8.0)
    """
    raise_any(
        [
            *number("connections", connections, "Give a number of connections.", least=0),
            *number("window_s", window_s, "Give seconds.", above=0),
            *number("connect_core_s", connect_core_s, "Measure it under load.", least=0),
            *number("vcpu", vcpu, "Give the vCPUs of the class.", above=0),
        ]
    )
    count = np.asarray(connections, dtype=np.float64)
    rate = np.asarray(count / window_s)
    cores = np.asarray(rate * connect_core_s)
    return ReconnectStorm(
        rate_per_s=rate,
        cores=cores,
        share_x=np.asarray(cores / vcpu),
        seconds=np.asarray(np.maximum(window_s, count * connect_core_s / vcpu)),
    )
