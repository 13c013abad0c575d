"""What a database's instances need in each hold row, as numbers to compare with a class.

This module answers: at a promise's quantile and under its failure, how many cores, connections,
operations, MiB/s, GiB of buffer pool and Gbit/s does the writer need, and how many the hottest
reader? It knows no class.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field

from capmodel.capacity.db_connections import Engine
from capmodel.capacity.db_failures import (
    NO_FAILURE,
    AfterFailure,
    DbFailure,
    after_failure,
    dns_skew_x,
)
from capmodel.capacity.db_readers import DbCosts, DbUsage, reader_usage, writer_usage
from capmodel.capacity.db_storage import DbVolume
from capmodel.errors import InputError
from capmodel.laws.arguments import number, raise_any
from capmodel.schema import order_statistic

__all__ = [
    "DbDemand",
    "DbHold",
    "DbNeeds",
    "DbPolicy",
    "DbSetup",
    "LimitName",
    "Role",
    "daily_needs",
    "db_hold",
    "needs_of",
]

Floats = npt.NDArray[np.float64]
Ratio = Annotated[float, Field(gt=0, le=1)]
LimitName = Literal[
    "cpu_cores",
    "connections",
    "iops",
    "throughput_mib",
    "buffer_pool_gib",
    "network_gbps",
    "instances",
]
Role = Literal["writer", "reader"]


class DbPolicy(BaseModel):
    """Planned utilization of each limit of a database [ratio]."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    cpu_cores: Ratio = 0.70
    """Active sessions on CPU, of the vCPUs."""
    connections: Ratio = 0.85
    iops: Ratio = 0.85
    throughput_mib: Ratio = 0.85
    buffer_pool_gib: Ratio = 1.0
    """The working set, of the buffer pool."""
    network_gbps: Ratio = 0.85
    degraded: Ratio | None = 0.85
    """Accepted under a failure, where it is more than the planned; None: the planned."""


@dataclass(frozen=True, slots=True, eq=False)
class DbDemand:
    """What all callers of a database ask of it, on draws and days.

    ``reads`` and ``writes`` the busiest minute of each day, shape (D, T) [1/s];
    ``writer_connections`` and ``reader_connections`` (all readers together) broadcast to it
    [connections]; ``working_set_gib`` of the data that is read again and again, 0 when unknown
    [GiB]; ``weights`` of the draws, shape (D,), None when equal.
    """

    reads: npt.ArrayLike
    writes: npt.ArrayLike
    writer_connections: npt.ArrayLike = 0.0
    reader_connections: npt.ArrayLike = 0.0
    working_set_gib: float = 0.0
    weights: npt.ArrayLike | None = None


@dataclass(frozen=True, slots=True)
class DbHold:
    """One promise: at this quantile, under this failure, use stays within these shares of hard.

    ``up_to`` limit to share [ratio], 1 for a limit left out.
    """

    name: str
    quantile: float
    up_to: Mapping[str, float] = field(default_factory=dict)
    failure: DbFailure = NO_FAILURE


@dataclass(frozen=True, slots=True)
class DbSetup:
    """How a database runs, whatever its class.

    ``costs`` of its queries; ``engine``; ``reads_on_readers`` [ratio]; ``zones`` its instances
    span; ``standby`` for Multi-AZ of RDS; ``volume`` of each RDS instance; ``skew_x`` hottest /
    mean reader, as measured [ratio]; ``clients`` processes that resolve the reader endpoint, for a
    skew of chance where it is larger; ``cold_x`` factor on a new writer's misses [ratio];
    ``recreate_ok`` accepts minutes without any writer where no instance is left to promote.
    """

    costs: DbCosts
    engine: Engine
    reads_on_readers: float = 0.0
    zones: int = 3
    standby: bool = False
    volume: DbVolume | None = None
    skew_x: float = 1.0
    clients: int = 0
    cold_x: float = 1.0
    recreate_ok: bool = False


@dataclass(frozen=True, slots=True)
class DbNeeds:
    """Needs under one hold row with some number of readers.

    ``by_role`` role to limit to need; a limit without any need is left out; no readers serve where
    ``"reader"`` is missing.
    """

    hold: DbHold
    readers: int
    after: AfterFailure
    by_role: Mapping[Role, Mapping[LimitName, float]]

    def survives(self, *, recreate_ok: bool) -> bool:
        """Whether an instance is left to be the writer, at once or, if accepted, after minutes."""
        lost = ("outage",) if recreate_ok else ("outage", "recreate")
        return self.after.recovery not in lost


def db_hold(
    name: str,
    *,
    quantile: float,
    up_to: Literal["hard", "utilization", "utilization_degraded"],
    policy: DbPolicy | None = None,
    failure: DbFailure = NO_FAILURE,
) -> DbHold:
    """Return a hold row from the policy's words.

    Examples
    --------
    >>> row = db_hold("P50", quantile=0.5, up_to="utilization")
    >>> row.up_to["cpu_cores"], row.up_to["connections"]
    (0.7, 0.85)
    """
    raise_any(number("quantile", quantile, "0.5 for P50.", above=0, below=1))
    planned = (policy or DbPolicy()).model_dump()
    degraded = planned.pop("degraded")
    if up_to == "hard":
        planned = dict.fromkeys(planned, 1.0)
    elif up_to == "utilization_degraded" and degraded is not None:
        planned = {limit: max(share, degraded) for limit, share in planned.items()}
    return DbHold(name, quantile, planned, failure)


def needs_of(demand: DbDemand, hold: DbHold, *, setup: DbSetup, readers: int) -> DbNeeds:
    """Return what writer and hottest reader need in a hold row: quantiles of the season's peaks.

    Each limit's need is the row's quantile over draws of the largest value over the days. Where no
    reader serves, its reads and connections are the writer's.

    Parameters
    ----------
    demand
        Loads and connections.
    hold
        The promise.
    setup
        Costs, engine, failure cover.
    readers
        Readers before the failure.

    Examples
    --------
    >>> setup = DbSetup(DbCosts(per_read=0.001, per_write=0.002), "aurora-mysql", 0.5)
    >>> hold = DbHold("lose a reader", 0.5, failure=DbFailure("reader", readers_lost=1))
    >>> needs = needs_of(DbDemand([[4000.0]], [[500.0]]), hold, setup=setup, readers=3)
    >>> needs.by_role["writer"], needs.by_role["reader"]
    ({'cpu_cores': 3.0}, {'cpu_cores': 1.0})
    """
    after, by_day = daily_needs(demand, hold, setup=setup, readers=readers)
    weights = None if demand.weights is None else np.asarray(demand.weights, dtype=np.float64)
    by_role: dict[Role, Mapping[LimitName, float]] = {}
    for role, limits in by_day.items():
        levels: dict[LimitName, float] = {}
        for limit, value in limits.items():
            peak = value.max(axis=1)
            need = float(peak[order_statistic(peak, hold.quantile, weights)])
            if need > 0:
                levels[limit] = need
        by_role[role] = levels
    return DbNeeds(hold, readers, after, by_role)


def daily_needs(
    demand: DbDemand, hold: DbHold, *, setup: DbSetup, readers: int
) -> tuple[AfterFailure, Mapping[Role, Mapping[LimitName, Floats]]]:
    """Return what the failure leaves, and each role's need of each limit, shape (D, T).

    Parameters
    ----------
    demand, hold, setup, readers
        As in :func:`needs_of`.

    Examples
    --------
    >>> setup = DbSetup(DbCosts(per_read=0.001, per_write=0.002), "aurora-mysql")
    >>> _, needs = daily_needs(
    ...     DbDemand([[1000.0, 2000.0]], [[0.0, 500.0]]), DbHold("P50", 0.5), setup=setup, readers=0
    ... )
    >>> needs["writer"]["cpu_cores"].tolist()
    [[1.0, 3.0]]
    """
    reads, writes = _loads(demand)
    after = after_failure(
        hold.failure,
        readers=readers,
        engine=setup.engine,
        zones=setup.zones,
        standby=setup.standby,
    )
    writer = writer_usage(
        reads,
        writes,
        costs=setup.costs,
        engine=setup.engine,
        readers=after.serving,
        reads_on_readers=setup.reads_on_readers,
        miss_x=setup.cold_x if after.cold else 1.0,
    )
    total = _connections("writer_connections", demand.writer_connections, reads)
    on_readers = _connections("reader_connections", demand.reader_connections, reads)
    own = total if after.serving else total + on_readers
    needs: dict[Role, Mapping[LimitName, Floats]] = {"writer": _limits(writer, own, demand)}
    if after.serving:
        skew = setup.skew_x
        if setup.clients:
            skew = max(skew, dns_skew_x(setup.clients, readers=after.serving))
        hottest = reader_usage(
            reads,
            writes,
            costs=setup.costs,
            engine=setup.engine,
            readers=after.serving,
            reads_on_readers=setup.reads_on_readers,
            skew_x=skew,
        )
        needs["reader"] = _limits(hottest, on_readers * skew / after.serving, demand)
    return after, needs


def _loads(demand: DbDemand) -> tuple[Floats, Floats]:
    reads = np.atleast_2d(np.asarray(demand.reads, dtype=np.float64))
    writes = np.atleast_2d(np.asarray(demand.writes, dtype=np.float64))
    if reads.shape != writes.shape:
        raise InputError.of(
            "writes",
            got=f"shape {writes.shape}",
            expected=f"that of reads, {reads.shape}",
            do="Give both on the same draws and days.",
        )
    return reads, writes


def _connections(where: str, values: npt.ArrayLike, like: Floats) -> Floats:
    raise_any(number(where, values, "Give connections, without gaps.", least=0))
    return np.broadcast_to(np.asarray(values, dtype=np.float64), like.shape)


def _limits(usage: DbUsage, connections: Floats, demand: DbDemand) -> dict[LimitName, Floats]:
    set_gib = float(demand.working_set_gib)
    return {
        "cpu_cores": usage.cpu_cores,
        "connections": connections,
        "iops": usage.iops,
        "throughput_mib": usage.throughput_mib,
        "buffer_pool_gib": np.full(connections.shape, set_gib),
        "network_gbps": usage.network_gbps,
    }
