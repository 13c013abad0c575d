"""Relief for a database's limits: smaller pools, a larger class, a proxy, ranked.

This module answers: what brings a database back within policy, at which season's bill and lead
time? Prices arrive as USD of the season by class; the only arithmetic on money is a difference.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import TYPE_CHECKING, Final

import numpy as np

from capmodel.capacity.databases import (
    Caller,
    ClassLadder,
    ClassNeed,
    DbLimit,
    connection_use,
    status_of,
)
from capmodel.capacity.db_connections import ladder_connections
from capmodel.capacity.replicas import SLACK, ceil_units, surge_pods

if TYPE_CHECKING:
    from capmodel.catalog import DbClass
    from capmodel.schema import Basis, Status

__all__ = [
    "Remedy",
    "RemedyTerms",
    "class_remedy",
    "connection_remedies",
    "pool_remedies",
    "proxy_remedy",
    "rank_remedies",
]

_SMALLEST_POOL: Final = 5
"""No pool is proposed below this [connections]: requests of one pod would queue for each other."""
_POOL_STEP: Final = 5
"""Pool sizes are proposed in this step [connections]: what people write into a configuration."""


@dataclass(frozen=True, slots=True)
class Remedy:
    """One way to relieve a limit, and what it leaves.

    ``usd_season`` is the change of the season's bill [USD], None where no price is known;
    ``lead_days`` from decision to effect [days]. ``pools`` are the pool sizes that change, each
    (service, before, after).
    """

    remedy: str
    from_value: str
    to_value: str
    utilization_after: float
    status_after: Status
    usd_season: Decimal | None
    lead_days: int
    basis: Basis
    pools: tuple[tuple[str, int, int], ...] = ()


@dataclass(frozen=True, slots=True)
class RemedyTerms:
    """What the remedies assume: holding time, lead times, the price of a proxy.

    ``hold_s`` a connection is busy for one query [s]; the lead times are days of calendar.
    """

    hold_s: float = 0.010
    pool_lead_days: int = 5
    class_lead_days: int = 14
    proxy_lead_days: int = 21
    proxy_usd_season: Decimal | None = None


def connection_remedies(
    callers: Sequence[Caller],
    *,
    limit: int,
    policy_x: float,
    surge: float = 0.0,
    terms: RemedyTerms | None = None,
    larger_class: Remedy | None = None,
) -> tuple[Remedy, ...]:
    """Return what relieves the connections of a database, the best first.

    Candidates: a smaller pool of one caller (of all callers where no single one suffices), a larger
    class, a proxy. Ranked by :func:`rank_remedies`.

    Parameters
    ----------
    callers
        Every service with a pool, in the minute to be held.
    limit
        `max_connections` [connections].
    policy_x
        Planned utilization [ratio].
    surge
        Extra pods of a rollout [ratio].
    terms
        Holding time, lead times and the price of a proxy; None: the documented assumptions.
    larger_class
        The remedy of :func:`class_remedy`, None where the family has none.

    Examples
    --------
    >>> from capmodel.capacity.databases import Caller
    >>> found = connection_remedies(
    ...     [
    ...         Caller("checkout-api", 120, 20),
    ...         Caller("account-service", 45, 15),
    ...         Caller("ledger", 60, 20),
    ...     ],
    ...     limit=4000,
    ...     policy_x=0.85,
    ... )
    >>> found[0].remedy, found[0].to_value, found[0].utilization_after
    ('checkout-api pool_max', '10', 0.76875)
    """
    terms = terms or RemedyTerms()
    found = list(pool_remedies(callers, limit=limit, policy_x=policy_x, surge=surge, terms=terms))
    if larger_class is not None:
        found.append(larger_class)
    proxied = proxy_remedy(callers, limit=limit, policy_x=policy_x, terms=terms)
    if proxied is not None:
        found.append(proxied)
    return rank_remedies(found)


def rank_remedies(remedies: Sequence[Remedy]) -> tuple[Remedy, ...]:
    """Return remedies in the order in which to try them: what fixes it, then USD, then lead time.

    A remedy without a known price stands after those of its status that have one; equals keep the
    order given.
    """
    order = ("GREEN", "AMBER", "RED", "GREY")
    return tuple(
        sorted(
            remedies,
            key=lambda r: (
                order.index(r.status_after),
                r.usd_season is None,
                r.usd_season or Decimal(0),
                r.lead_days,
            ),
        )
    )


def pool_remedies(
    callers: Sequence[Caller],
    *,
    limit: int,
    policy_x: float,
    surge: float = 0.0,
    terms: RemedyTerms | None = None,
) -> tuple[Remedy, ...]:
    """Return for each caller the largest pool with which all connections are GREEN.

    Formula: ``pool <= (policy * limit - connections of the others) / (pods * processes)``, proposed
    in steps of 5 where that is possible, and never below 5 or what the caller's own queries keep
    busy (Little's law: ``qps * hold / (pods * processes)``). Where no caller suffices alone, one
    remedy cuts every pool that allows it by the same ratio.

    Returns
    -------
    tuple of Remedy
        Free of charge, ``basis="assumed"`` for the holding time; the mildest cut first.
    """
    terms = terms or RemedyTerms()
    use = connection_use(callers, surge=surge)
    if use.total <= policy_x * limit + SLACK:
        return ()
    found: list[tuple[float, Remedy]] = []
    for caller in callers:
        workers = _workers(caller, surge)
        others = use.total - use.by_caller[caller.service]
        if workers <= 0:
            continue
        pool = _rounded_pool((policy_x * limit - others) / workers, _busy_pool(caller, terms))
        if pool is None or pool >= caller.pool_max:
            continue
        after = (others + workers * pool) / limit
        change = ((caller.service, caller.pool_max, pool),)
        remedy = _pool_remedy(f"{caller.service} pool_max", change, after, policy_x, terms)
        found.append((pool / caller.pool_max, remedy))
    if found:
        return tuple(r for _, r in sorted(found, key=lambda f: (-f[0], f[1].remedy)))
    return _every_pool(callers, limit=limit, policy_x=policy_x, surge=surge, terms=terms)


def class_remedy(
    ladder: ClassLadder,
    *,
    need: ClassNeed,
    limit: DbLimit,
    season_usd: Mapping[str, Decimal],
    terms: RemedyTerms | None = None,
) -> Remedy | None:
    """Return the smallest larger class that relieves one limit, else the largest of the family.

    Parameters
    ----------
    ladder
        The classes, today's, and the explicit `max_connections`.
    need
        Cores, connections and their policies.
    limit
        The limit to relieve.
    season_usd
        Class name to the season's bill of the whole database, readers included [USD].
    terms
        Lead times; None: the documented assumptions.

    Returns
    -------
    Remedy or None
        None where no larger class raises the limit.
    """
    before = _hard(ladder, ladder.now, limit)
    wanted, policy_x = need.of(limit)
    best: Remedy | None = None
    for candidate in ladder.larger:
        hard = _hard(ladder, candidate, limit)
        if hard <= before:
            continue
        priced = ladder.today in season_usd and candidate.name in season_usd
        best = Remedy(
            remedy="larger class",
            from_value=ladder.today,
            to_value=candidate.name,
            utilization_after=wanted / hard,
            status_after=status_of(wanted / hard, policy_x=policy_x),
            usd_season=season_usd[candidate.name] - season_usd[ladder.today] if priced else None,
            lead_days=(terms or RemedyTerms()).class_lead_days,
            basis="measured",
        )
        if best.status_after == "GREEN":
            break
    return best


def _hard(ladder: ClassLadder, candidate: DbClass, limit: DbLimit) -> float:
    """Return the hard value of a limit on a class."""
    if limit == "cpu_cores":
        return float(candidate.vcpu)
    return ladder_connections(ladder, candidate)[0]


def proxy_remedy(
    callers: Sequence[Caller], *, limit: int, policy_x: float, terms: RemedyTerms | None = None
) -> Remedy | None:
    """Return the relief by a proxy that shares its server sessions among all pools.

    Formula: Little's law, ``sessions = ceil(sum of qps * hold)``: a mean, so read it as an order of
    magnitude until the holding time is measured; sessions pinned by transactions come on top.

    Returns
    -------
    Remedy or None
        ``basis="assumed"``; None where the queries of some caller are unknown, for then the
        sessions are too.

    References
    ----------
    Little, J. D. C. (1961), *A Proof for the Queuing Formula L = lambda W*.

    Examples
    --------
    >>> from capmodel.capacity.databases import Caller
    >>> proxy_remedy([Caller("api", 120, 20, qps=6000)], limit=4000, policy_x=0.85).to_value
    'proxy, 60 sessions'
    """
    terms = terms or RemedyTerms()
    if any(caller.qps <= 0 and caller.replicas > 0 for caller in callers):
        return None
    sessions = float(ceil_units(sum(caller.qps for caller in callers) * terms.hold_s))
    return Remedy(
        remedy="proxy",
        from_value="direct",
        to_value=f"proxy, {sessions:.0f} sessions",
        utilization_after=sessions / limit,
        status_after=status_of(sessions / limit, policy_x=policy_x),
        usd_season=terms.proxy_usd_season,
        lead_days=terms.proxy_lead_days,
        basis="assumed",
    )


def _workers(caller: Caller, surge: float) -> float:
    """Return the processes that hold a pool at once."""
    return float(surge_pods(caller.replicas, surge=surge)) * caller.processes


def _busy_pool(caller: Caller, terms: RemedyTerms) -> int:
    """Return the smallest pool to propose: what one process keeps busy, and room for its bursts."""
    processes = caller.replicas * caller.processes
    busy = caller.qps * terms.hold_s / processes if processes > 0 else 0.0
    return max(int(ceil_units(busy)), min(_SMALLEST_POOL, caller.pool_max))


def _rounded_pool(largest: float, busy: int) -> int | None:
    """Return the pool to propose: a round number where one fits between busy and largest."""
    whole = int(np.floor(largest + SLACK))
    if whole < busy:
        return None
    rounded = whole - whole % _POOL_STEP
    return rounded if rounded >= busy else whole


def _every_pool(
    callers: Sequence[Caller], *, limit: int, policy_x: float, surge: float, terms: RemedyTerms
) -> tuple[Remedy, ...]:
    total = connection_use(callers, surge=surge).total
    ratio = policy_x * limit / total
    cut = [
        replace(c, pool_max=min(c.pool_max, max(int(c.pool_max * ratio + SLACK), floor)))
        for c, floor in ((c, _busy_pool(c, terms)) for c in callers)
    ]
    after = connection_use(cut, surge=surge).total
    if after >= total:
        return ()
    pools = tuple(
        (old.service, old.pool_max, new.pool_max)
        for old, new in zip(callers, cut, strict=True)
        if new.pool_max < old.pool_max
    )
    if len(pools) < 2:  # noqa: PLR2004  one pool alone was tried before, and does not suffice
        return ()
    return (_pool_remedy("every pool_max", pools, after / limit, policy_x, terms),)


def _pool_remedy(
    name: str,
    pools: tuple[tuple[str, int, int], ...],
    after: float,
    policy_x: float,
    terms: RemedyTerms,
) -> Remedy:
    single = len(pools) == 1
    values = [
        ", ".join(str(p[side]) if single else f"{p[0]} {p[side]}" for p in pools) for side in (1, 2)
    ]
    return Remedy(
        remedy=name,
        from_value=values[0],
        to_value=values[1],
        utilization_after=after,
        status_after=status_of(after, policy_x=policy_x),
        usd_season=Decimal("0.00"),
        lead_days=terms.pool_lead_days,
        basis="assumed",
        pools=pools,
    )
