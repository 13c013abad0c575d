"""Failures of a MySQL server's instances, cold caches, and readers that are hotter than others.

This module answers: how many readers still serve after a failure and how does the writer come
back, how much more does a cold cache read, and how far is the hottest reader above the mean?
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from capmodel.capacity.db_connections import Engine
from capmodel.capacity.db_readers import engine_rules
from capmodel.errors import InputError
from capmodel.laws.arguments import number, raise_any, whole

__all__ = [
    "NO_FAILURE",
    "AfterFailure",
    "DbFailure",
    "after_failure",
    "cold_miss_x",
    "dns_skew_x",
    "measured_skew_x",
]

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class DbFailure:
    """A failure to survive: readers lost, the writer lost, or whole zones with all in them."""

    name: str = "none"
    readers_lost: int = 0
    writer_lost: bool = False
    zones_lost: int = 0


NO_FAILURE: Final = DbFailure()


@dataclass(frozen=True, slots=True)
class AfterFailure:
    """What serves after a failure.

    ``serving`` readers that still serve reads; ``recovery`` how the writer came back: ``"none"``
    (it was not lost), ``"standby"``, ``"promotion"`` of a reader, ``"recreate"`` (minutes without
    a writer), ``"outage"`` when no instance is left.
    """

    serving: int
    recovery: Literal["none", "standby", "promotion", "recreate", "outage"]

    @property
    def cold(self) -> bool:
        """Whether the writer starts with a cold cache."""
        return self.recovery in {"standby", "promotion", "recreate"}


def after_failure(
    failure: DbFailure, *, readers: int, engine: Engine, zones: int = 3, standby: bool = False
) -> AfterFailure:
    """Return how many readers still serve after a failure, and how the writer came back.

    Instances are spread evenly over zones; the zones lost are the fullest. A lost writer is
    replaced by the standby of a Multi-AZ RDS instance (which serves no reads), else by a promoted
    reader, which then serves no reads either; without both it is created anew.

    Parameters
    ----------
    failure
        What fails.
    readers
        Readers before it.
    engine
        ``"mysql"`` or ``"aurora-mysql"``; Aurora has no standby but its readers.
    zones
        Zones that the instances span.
    standby
        Whether an RDS instance is Multi-AZ.

    Raises
    ------
    InputError
        For a standby of Aurora, or more zones lost than there are.

    Examples
    --------
    >>> failover = DbFailure("failover", writer_lost=True)
    >>> after_failure(failover, readers=2, engine="aurora-mysql")
    AfterFailure(serving=1, recovery='promotion')
    >>> after_failure(failover, readers=2, engine="mysql", standby=True)
    AfterFailure(serving=2, recovery='standby')
    >>> after_failure(DbFailure("zone", zones_lost=1), readers=5, engine="aurora-mysql")
    AfterFailure(serving=3, recovery='promotion')
    """
    _check_failure(failure, readers=readers, engine=engine, zones=zones, standby=standby)
    lost_zones = failure.zones_lost
    if lost_zones == 0:
        serving = max(readers - failure.readers_lost, 0)
        if not failure.writer_lost:
            return AfterFailure(serving, "none")
        if standby:
            return AfterFailure(serving, "standby")
        return AfterFailure(serving - 1, "promotion") if serving else AfterFailure(0, "recreate")
    if standby and lost_zones == 1:
        return AfterFailure(readers - _in_fullest(readers, zones, lost_zones), "standby")
    left = readers + 1 - _in_fullest(readers + 1, zones, lost_zones)
    if standby:  # its writer and its standby may both be in the zones lost
        left = readers - _in_fullest(readers, zones, lost_zones)
    if left < 1:
        return AfterFailure(0, "outage" if lost_zones >= zones else "recreate")
    return AfterFailure(left - 1, "promotion")


def dns_skew_x(clients: int, *, readers: int, quantile: float = 0.99) -> float:
    """Return the hottest reader / mean reader when every client keeps the reader it resolved.

    A reader endpoint hands out one address per lookup and clients keep their connections, so the
    clients of a reader are Binomial(clients, 1/readers). The bound is Bonferroni's: the smallest m
    with ``readers · P(Binomial > m) <= 1 - quantile``, over the mean; all clients weigh the same.

    Parameters
    ----------
    clients
        Processes that resolve the name, each once [processes].
    readers
        Readers behind it.
    quantile
        Chance that no reader is hotter [ratio].

    Returns
    -------
    float
        1 for a single reader or no client.

    References
    ----------
    Raab & Steger (1998), "Balls into bins", RANDOM '98, LNCS 1518, 159-170.

    Examples
    --------
    >>> round(dns_skew_x(10, readers=2), 2), round(dns_skew_x(1000, readers=2), 2)
    (1.8, 1.08)
    """
    raise_any(
        [
            *whole("clients", clients, least=0),
            *whole("readers", readers),
            *number("quantile", quantile, "0.99 for P99.", above=0, below=1),
        ]
    )
    if readers == 1 or clients == 0:
        return 1.0
    from scipy.special import bdtrc  # noqa: PLC0415  a plan without readers does not need it

    hottest = np.arange(clients + 1)
    over = readers * bdtrc(hottest[:-1], clients, 1.0 / readers)
    held = int(np.flatnonzero(np.append(over, 0.0) <= 1.0 - quantile)[0])
    return max(held * readers / clients, 1.0)


def measured_skew_x(per_reader: npt.ArrayLike) -> float:
    """Return the measured skew: the median over time of the hottest reader / mean reader.

    Parameters
    ----------
    per_reader
        Queries or cores of each reader, shape (T, readers); NaN rows are left out.

    Raises
    ------
    InputError
        When no row is complete and busy.

    Examples
    --------
    >>> measured_skew_x([[100, 200], [150, 150], [90, 180]])
    1.3333333333333333
    """
    loads = np.atleast_2d(np.asarray(per_reader, dtype=np.float64))
    mean = loads.mean(axis=1) if loads.size else np.empty(0)
    busy = mean > 0  # False for NaN too
    if not busy.any():
        raise InputError.of(
            "per_reader",
            got="no row with a load on the readers",
            expected="loads of every reader at some times",
            do="Give the readers' own series, or use dns_skew_x.",
        )
    return float(np.median(loads[busy].max(axis=1) / mean[busy]))


def cold_miss_x(hit_ratio: npt.ArrayLike, *, cold_hit_ratio: npt.ArrayLike) -> Floats:
    """Return the factor on misses when a cache cools: ``(1 - cold) / (1 - warm)``.

    Parameters
    ----------
    hit_ratio, cold_hit_ratio
        Share of reads found in the cache, warm and after the restart [ratio].

    Raises
    ------
    InputError
        For a warm ratio of 1 (nothing ever missed: there is nothing to multiply), or a cold one
        above it.

    Examples
    --------
    >>> cold_miss_x(0.80, cold_hit_ratio=[0.80, 0.40, 0.0]).round(6).tolist()
    [1.0, 3.0, 5.0]
    """
    raise_any(
        [
            *number("hit_ratio", hit_ratio, "Give a ratio below 1: 0.99.", least=0, below=1),
            *number("cold_hit_ratio", cold_hit_ratio, "Give a ratio.", least=0, below=1),
        ]
    )
    warm, cold = np.asarray(hit_ratio, dtype=float), np.asarray(cold_hit_ratio, dtype=float)
    if np.any(cold > warm):
        raise InputError.of(
            "cold_hit_ratio",
            got=float(np.max(cold)),
            expected="at most the warm hit_ratio",
            do="Swap the two.",
        )
    return np.asarray((1.0 - cold) / (1.0 - warm))


def _in_fullest(instances: int, zones: int, lost: int) -> int:
    """Return the instances in the `lost` fullest of `zones` zones with an even spread."""
    each, rest = divmod(instances, zones)
    return each * lost + min(lost, rest)


def _check_failure(
    failure: DbFailure, *, readers: int, engine: Engine, zones: int, standby: bool
) -> None:
    engine_rules(engine)
    raise_any(
        [
            *whole("readers", readers, least=0),
            *whole("zones", zones),
            *whole("readers_lost", failure.readers_lost, least=0),
            *number(
                "zones_lost", failure.zones_lost, "Lose zones that exist.", least=0, most=zones
            ),
        ]
    )
    if standby and engine == "aurora-mysql":
        raise InputError.of(
            "standby",
            got="a standby of aurora-mysql",
            expected="none: an Aurora writer fails over to a reader",
            do="Give the database a reader, and leave standby out.",
        )
