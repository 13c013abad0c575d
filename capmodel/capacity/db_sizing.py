"""Class and readers of a database together, over every limit and every promise.

This module answers: which class, with how many readers, holds the writer's and the hottest
reader's cores, connections, operations, throughput, buffer pool and network in every hold row, at
the least weight; and why does each other candidate not? Weights are numbers: a caller may pass
prices, this module knows no money. A need that outgrows the family is a result that names limit
and class.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from capmodel.capacity.db_connections import ladder_connections
from capmodel.capacity.db_needs import (
    DbDemand,
    DbHold,
    DbNeeds,
    DbSetup,
    LimitName,
    Role,
    daily_needs,
    needs_of,
)
from capmodel.capacity.db_readers import MAX_READERS
from capmodel.capacity.db_season import OutgrownOn, outgrown_on
from capmodel.capacity.db_storage import storage_limits
from capmodel.capacity.replicas import SLACK
from capmodel.errors import InputError, Problem
from capmodel.laws.arguments import number, raise_any, whole

if TYPE_CHECKING:
    from capmodel.capacity.databases import ClassLadder
    from capmodel.catalog import DbClass

__all__ = [
    "BUFFER_POOL_X",
    "ClassLimits",
    "DbOption",
    "DbSizing",
    "LimitUse",
    "RejectedDb",
    "class_limits",
    "outgrows_on",
    "size_database",
]

BUFFER_POOL_X: Final = 0.75
"""Buffer pool / memory, the default of RDS and Aurora [ratio] (RDS User Guide)."""

_NOUN: Final[Mapping[str, str]] = {
    "cpu_cores": "cores",
    "connections": "connections",
    "iops": "IOPS",
    "throughput_mib": "MiB/s",
    "buffer_pool_gib": "GiB of buffer pool",
    "network_gbps": "Gbit/s",
    "instances": "instances",
}


@dataclass(frozen=True, slots=True)
class ClassLimits:
    """The hard values of a class.

    ``hard`` limit to value, inf where there is none; a limit that no table states is left out and
    named in ``unknown``. ``set_by`` says ``"volume"`` or ``"instance"`` where the two compete, and
    ``"formula"`` for connections that no table states.
    """

    hard: Mapping[str, float]
    set_by: Mapping[str, str]
    unknown: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LimitUse:
    """The use of one limit of one instance in one hold row, against what is allowed and hard."""

    hold: str
    role: Role
    limit: LimitName
    need: float
    allowed: float
    hard: float
    set_by: str = ""

    @property
    def utilization(self) -> float:
        """Need / hard value [ratio]."""
        return self.need / self.hard if self.hard else float("inf")

    @property
    def excess_x(self) -> float:
        """Need / allowance [ratio]; above 1 it does not hold."""
        return self.need / self.allowed if self.allowed else float("inf")


@dataclass(frozen=True, slots=True)
class RejectedDb:
    """A class and number of readers that does not hold, and the limit that it fails by most."""

    name: str
    reader_name: str
    readers: int
    worst: LimitUse

    @property
    def reason(self) -> str:
        """The rejection in words."""
        use = self.worst
        by = f" (set by the {use.set_by})" if use.set_by else ""
        readers = f"{self.readers} reader{'' if self.readers == 1 else 's'}"
        return (
            f"{self.name} with {readers}: {use.role} needs {use.need:,.6g} {_NOUN[use.limit]}, "
            f"{use.allowed:,.6g} allowed{by}, in {use.hold}"
        )


@dataclass(frozen=True, slots=True)
class DbOption:
    """A class and number of readers that holds, its weight, and how full each limit is."""

    db_class: DbClass
    reader_class: DbClass
    readers: int
    weight: float
    uses: tuple[LimitUse, ...]

    @property
    def tightest(self) -> LimitUse | None:
        """The limit nearest to its allowance; None where nothing is used."""
        return max(self.uses, key=lambda use: use.excess_x, default=None)


@dataclass(frozen=True, slots=True)
class DbSizing:
    """The lightest option, all options that hold, and every candidate that does not.

    ``chosen`` is None when nothing of the family holds; ``binding`` is then the limit that the
    largest candidate fails by most, else the limit that ruled out the candidate before the chosen
    one ('' when none was). ``largest`` class of the family. ``unchecked`` limits that are needed
    and that no table states, each with its class.
    """

    chosen: DbOption | None
    options: tuple[DbOption, ...]
    rejected: tuple[RejectedDb, ...]
    binding: LimitName | Literal[""]
    largest: DbClass
    unchecked: tuple[str, ...]

    @property
    def outgrown(self) -> bool:
        """Whether the need exceeds the largest class with the most readers."""
        return self.chosen is None

    @property
    def reason(self) -> str:
        """Why nothing holds, in words; '' when something does."""
        if self.chosen is not None:
            return ""
        return f"outgrows {self.largest.name}: {self.rejected[-1].reason}"


def class_limits(candidate: DbClass, *, ladder: ClassLadder, setup: DbSetup) -> ClassLimits:
    """Return the hard values of a class: vCPUs, connections, storage, buffer pool, network.

    Examples
    --------
    >>> from capmodel.capacity.databases import ClassLadder
    >>> from capmodel.capacity.db_readers import DbCosts
    >>> from capmodel.catalog import Catalog
    >>> family = Catalog.builtin().db_ladder("mysql", "db.r6g.large")
    >>> setup = DbSetup(DbCosts(per_read=0.001, per_write=0.002), "mysql")
    >>> limits = class_limits(family[0], ladder=ClassLadder(family, "db.r6g.large"), setup=setup)
    >>> limits.hard["cpu_cores"], limits.hard["iops"], limits.hard["buffer_pool_gib"]
    (2.0, 3600.0, 12.0)
    >>> limits.hard["connections"], limits.set_by["connections"]
    (1300.0, 'formula')
    """
    connections, basis = ladder_connections(ladder, candidate)
    storage = storage_limits(candidate, setup.volume)
    values: dict[str, float | None] = {
        "cpu_cores": float(candidate.vcpu),
        "connections": connections,
        "iops": storage.iops,
        "throughput_mib": storage.throughput_mib,
        "buffer_pool_gib": BUFFER_POOL_X * candidate.memory_gib,
        "network_gbps": candidate.network_gbps,
    }
    set_by: dict[str, str] = {
        "iops": storage.iops_binding,
        "throughput_mib": storage.throughput_binding,
    }
    if basis == "formula":
        set_by["connections"] = "formula"
    missing = [name for name, value in values.items() if value is None]
    return ClassLimits(
        hard={name: value for name, value in values.items() if value is not None},
        set_by=set_by,
        unknown=tuple(missing) + storage.unknown,
    )


def size_database(  # noqa: PLR0913  a need, a ladder, promises and what may change
    demand: DbDemand,
    *,
    ladder: ClassLadder,
    setup: DbSetup,
    holds: Sequence[DbHold],
    readers: tuple[int, int],
    weights: Mapping[str, float] | None = None,
    reader_class: str | None = None,
    allow_smaller: bool = False,
) -> DbSizing:
    """Return the lightest class and number of readers that holds every promise.

    Every class from today's up is tried with every number of readers in the range, fewest first,
    until one holds: a larger class and more readers compete by weight. A promoted reader must hold
    the writer's need.

    Parameters
    ----------
    demand
        Loads and connections on draws and days.
    ladder
        The classes of the family, today's, and an explicit `max_connections`.
    setup
        Costs, engine, failure cover, volume.
    holds
        The promises; all of them must hold.
    readers
        Fewest and most readers to consider; equal for a fixed number, at most 15.
    weights
        Class name to weight of an instance, for example its price; None: vCPUs. A standby counts
        as an instance.
    reader_class
        Class of the readers; None: the writer's.
    allow_smaller
        Consider classes below today's too.

    Raises
    ------
    InputError
        For a range of readers that is none, no promise, or a class without a weight.

    Examples
    --------
    >>> from capmodel.capacity.databases import ClassLadder
    >>> from capmodel.capacity.db_needs import db_hold
    >>> from capmodel.capacity.db_readers import DbCosts
    >>> from capmodel.catalog import Catalog
    >>> family = Catalog.builtin().db_ladder("aurora-mysql", "db.r6g.4xlarge")
    >>> sizing = size_database(
    ...     DbDemand([[6000.0]], [[0.0]], writer_connections=4275),
    ...     ladder=ClassLadder(family, "db.r6g.4xlarge"),
    ...     setup=DbSetup(DbCosts(per_read=0.00156, per_write=0.0, idle=0.4), "aurora-mysql"),
    ...     holds=[db_hold("P50", quantile=0.5, up_to="utilization")],
    ...     readers=(0, 0),
    ... )
    >>> sizing.chosen.db_class.name, sizing.binding
    ('db.r6g.12xlarge', 'connections')
    >>> sizing.rejected[0].reason
    'db.r6g.4xlarge with 0 readers: writer needs 4,275 connections, 3,400 allowed, in P50'
    """
    low, high = _checked(ladder, holds=holds, readers=readers, weights=weights)
    named = {c.name: c for c in ladder.classes}
    if reader_class is not None and reader_class not in named:
        raise _unknown_reader(reader_class, named)
    now = ladder.now
    needs = _Needs(demand, holds=holds, setup=setup)
    limits = {c.name: class_limits(c, ladder=ladder, setup=setup) for c in ladder.classes}
    options: list[DbOption] = []
    rejected: list[RejectedDb] = []
    binding_of: dict[str, LimitName | Literal[""]] = {}
    for candidate in ladder.classes:
        if not allow_smaller and _size(candidate) < _size(now):
            continue
        serves = named[reader_class] if reader_class is not None else candidate
        for count in range(low, high + 1):
            uses = needs.uses(count, limits[candidate.name], limits[serves.name])
            worst = max(uses, key=lambda use: use.excess_x, default=None)
            if worst is not None and worst.need > worst.allowed + SLACK:
                rejected.append(RejectedDb(candidate.name, serves.name, count, worst))
                continue
            writers = 1 + setup.standby
            weight = _weight(candidate, weights) * writers + _weight(serves, weights) * count
            binding_of[candidate.name] = rejected[-1].worst.limit if rejected else ""
            options.append(DbOption(candidate, serves, count, weight, uses))
            break
    chosen = min(options, key=lambda o: (o.weight, _size(o.db_class), o.readers), default=None)
    return DbSizing(
        chosen=chosen,
        options=tuple(options),
        rejected=tuple(rejected),
        binding=binding_of[chosen.db_class.name] if chosen else rejected[-1].worst.limit,
        largest=ladder.classes[-1],
        unchecked=_unchecked(needs, limits, ladder.classes),
    )


def outgrows_on(
    demand: DbDemand,
    *,
    ladder: ClassLadder,
    setup: DbSetup,
    hold: DbHold,
    readers: int,
    dates: Sequence[dt.date],
) -> OutgrownOn | None:
    """Return the first day on which the largest class does not hold a promise, and its limit.

    Parameters
    ----------
    demand, ladder, setup
        As in :func:`size_database`.
    hold
        The promise; its quantile is taken day by day.
    readers
        Readers on that day.
    dates
        The days of the demand's second axis.

    Examples
    --------
    >>> import datetime as dt
    >>> from capmodel.capacity.databases import ClassLadder
    >>> from capmodel.capacity.db_needs import db_hold
    >>> from capmodel.capacity.db_readers import DbCosts
    >>> from capmodel.catalog import Catalog
    >>> family = Catalog.builtin().db_ladder("aurora-mysql", "db.r6g.large")
    >>> day = outgrows_on(
    ...     DbDemand([[20_000.0, 40_000.0]], [[0.0, 0.0]]),
    ...     ladder=ClassLadder(family, "db.r6g.large"),
    ...     setup=DbSetup(DbCosts(per_read=0.0015, per_write=0.0), "aurora-mysql"),
    ...     hold=db_hold("P50", quantile=0.5, up_to="utilization"),
    ...     readers=0,
    ...     dates=[dt.date(2026, 11, 26), dt.date(2026, 11, 27)],
    ... )
    >>> day.reason
    'outgrows db.r6g.16xlarge on 2026-11-27: 60 writer cpu_cores, 44.8 allowed'
    """
    limits = class_limits(ladder.classes[-1], ladder=ladder, setup=setup).hard
    _, by_role = daily_needs(demand, hold, setup=setup, readers=readers)
    needs = {
        f"{role} {limit}": (values, hold.up_to.get(limit, 1.0) * limits[limit])
        for role, by_limit in by_role.items()
        for limit, values in by_limit.items()
        if limit in limits
    }
    return outgrown_on(
        {name: values for name, (values, _) in needs.items()},
        allowed={name: allowed for name, (_, allowed) in needs.items()},
        dates=dates,
        db_class=ladder.classes[-1].name,
        quantile=hold.quantile,
        weights=demand.weights,
    )


class _Needs:
    """Needs of every hold row by number of readers, computed when first asked for."""

    def __init__(self, demand: DbDemand, *, holds: Sequence[DbHold], setup: DbSetup) -> None:
        self._demand, self._holds, self._setup = demand, holds, setup
        self._known: dict[int, tuple[DbNeeds, ...]] = {}

    def uses(self, count: int, writer: ClassLimits, reader: ClassLimits) -> tuple[LimitUse, ...]:
        """Return every use with this many readers, on the limits of writer's and readers' class."""
        if count not in self._known:
            self._known[count] = tuple(
                needs_of(self._demand, hold, setup=self._setup, readers=count)
                for hold in self._holds
            )
        return _uses(self._known[count], writer, reader, setup=self._setup, count=count)

    @property
    def limits(self) -> set[str]:
        """The limits that some need asked for."""
        return {
            limit
            for rows in self._known.values()
            for row in rows
            for needs in row.by_role.values()
            for limit in needs
        }


def _uses(
    needs: Sequence[DbNeeds],
    of_writer: ClassLimits,
    of_reader: ClassLimits,
    *,
    setup: DbSetup,
    count: int,
) -> tuple[LimitUse, ...]:
    """Return the use of every known limit by every instance in every hold row."""
    found: list[LimitUse] = []
    for row in needs:
        if not row.survives(recreate_ok=setup.recreate_ok):
            have = float(count + 1 + setup.standby)
            found.append(LimitUse(row.hold.name, "writer", "instances", have + 1, have, have))
        promoted = row.after.recovery == "promotion"
        for role, by_limit in row.by_role.items():
            limits = of_reader if role == "reader" or promoted else of_writer
            found += _role_uses(row, role, by_limit, limits)
    return tuple(found)


def _role_uses(
    row: DbNeeds, role: Role, by_limit: Mapping[LimitName, float], limits: ClassLimits
) -> list[LimitUse]:
    return [
        LimitUse(
            hold=row.hold.name,
            role=role,
            limit=limit,
            need=need,
            allowed=row.hold.up_to.get(limit, 1.0) * limits.hard[limit],
            hard=limits.hard[limit],
            set_by=limits.set_by.get(limit, ""),
        )
        for limit, need in by_limit.items()
        if limit in limits.hard
    ]


def _unchecked(
    needs: _Needs, limits: Mapping[str, ClassLimits], classes: Sequence[DbClass]
) -> tuple[str, ...]:
    """Return the needed limits that no table states, as "db.r6g.large: network_gbps"."""
    wanted = needs.limits
    return tuple(
        f"{candidate.name}: {name}"
        for candidate in classes
        for name in limits[candidate.name].unknown
        if name.split()[-1] in wanted
    )


def _weight(candidate: DbClass, weights: Mapping[str, float] | None) -> float:
    return float(candidate.vcpu) if weights is None else float(weights[candidate.name])


def _size(candidate: DbClass) -> tuple[int, float]:
    return (candidate.vcpu, candidate.memory_gib)


def _checked(
    ladder: ClassLadder,
    *,
    holds: Sequence[DbHold],
    readers: tuple[int, int],
    weights: Mapping[str, float] | None,
) -> tuple[int, int]:
    low, high = readers
    problems = [*whole("readers", low, least=0), *whole("readers", high, least=0)]
    if not problems and not low <= high <= MAX_READERS:
        do = "Give (fewest, most)."
        problems.append(Problem("readers", str(readers), f"fewest <= most <= {MAX_READERS}", do))
    if not holds:
        problems.append(Problem("holds", "none", "at least one promise", "Give the policy's rows."))
    if weights is not None:
        for candidate in ladder.classes:
            if candidate.name not in weights:
                do = "Give every class of the ladder a weight."
                problems.append(Problem("weights", f"none of {candidate.name}", "a number", do))
            else:
                value = weights[candidate.name]
                problems += number(f"weights[{candidate.name}]", value, "Correct it.", least=0)
    raise_any(problems)
    return low, high


def _unknown_reader(name: str, named: Mapping[str, DbClass]) -> Exception:
    return InputError.of(
        "reader_class",
        got=f'"{name}"',
        expected=f"a class of the ladder: {', '.join(named)}",
        do="Correct the class of the readers.",
    )
