"""What exists, as declared: drivers, services, databases, externals, pools, limits and policy.

This module answers: who calls whom, where do limits sit, and what does the team's policy ask?
It holds no history and no money. Numbers in it are *declared* (``basis=assumed``); the word
``fit``, or leaving a field out, means "from history".
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from capmodel import callgraph, documents
from capmodel.errors import InputError, Problem, nearest

__all__ = [
    "CallerOfDatabase",
    "Database",
    "Driver",
    "External",
    "Hold",
    "Pod",
    "Policy",
    "Pool",
    "Replicas",
    "Service",
    "Topology",
]

Calls = dict[str, Annotated[float, Field(ge=0)] | Literal["fit"]]
NonNegative = Annotated[float, Field(ge=0)]
Positive = Annotated[float, Field(gt=0)]
Ratio = Annotated[float, Field(gt=0, le=1)]
Coefficients = dict[str, NonNegative] | Literal["fit"]


class _Spec(BaseModel):
    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        use_attribute_docstrings=True,
        populate_by_name=True,
        allow_inf_nan=False,
    )


class Driver(_Spec):
    """A business driver, in events per minute."""

    today_per_min: Positive | None = None
    """Declared P50 of today's event-free peak minute [1/min]; None: from history."""
    sigma_log: NonNegative = 0.0
    """Declared log standard deviation of the season's level; used with `today_per_min` only."""
    peak_minute_x: Annotated[float, Field(ge=1)] | None = None
    """Declared peak minute / mean of its hour [ratio]; None: from fine history, else the prior."""
    calls: Calls = Field(default_factory=dict)
    """Events per event of another driver [ratio]: this driver follows that one."""


class Pod(_Spec):
    """What one pod requests."""

    cpu_cores: Positive
    memory_gib: Positive


class Replicas(_Spec):
    """The autoscaler's bounds and the present count [pods]."""

    min: Annotated[int, Field(ge=0)] = 1
    max: Annotated[int, Field(ge=1)] | None = None
    today: Annotated[int, Field(ge=0)] | None = None

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.max is not None and self.max < self.min:
            msg = f"max {self.max} is below min {self.min}"
            raise ValueError(msg)
        return self


class Service(_Spec):
    """A service: who calls it, how it is deployed, what it uses per request."""

    calls: Calls = Field(default_factory=dict)
    """Requests per unit of the caller (driver event or caller request) [ratio]."""
    today_rps: Positive | None = None
    """Declared P50 of today's event-free peak minute [1/s]; for a service without `calls`."""
    tier: Annotated[int, Field(ge=0, le=3)] = 1
    pool: str | None = None
    pod: Pod | None = None
    imbalance_x: Annotated[float, Field(ge=1)] | None = None
    """Hottest pod / mean pod [ratio]; None: the prior 1.1 (`assumed`)."""
    replicas: Replicas = Field(default_factory=Replicas)
    usage: dict[str, Coefficients] = Field(default_factory=dict)
    """Per resource: {per_pod, per_request} declared, or `fit`; left out: from history."""


class CallerOfDatabase(_Spec):
    """What one request of a service asks of a database, and how the service pools."""

    reads: NonNegative = 0.0
    """Read queries per request of the service [ratio]."""
    writes: NonNegative = 0.0
    """Write queries per request of the service [ratio]."""
    pool_max: Annotated[int, Field(ge=0)] = 0
    """Largest pool of one process [connections]."""
    processes: Annotated[int, Field(ge=1)] = 1
    """Processes per pod, each with its own pool."""


class Database(_Spec):
    """A shared MySQL server: engine, class, limits and callers."""

    engine: Literal["aurora-mysql", "mysql"] = "aurora-mysql"
    db_class: Annotated[str, Field(alias="class")]
    readers: Annotated[int, Field(ge=0, le=15)] = 0
    reads_on_readers: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Share of reads that goes to readers [ratio]; the writer serves the rest."""
    max_connections: Annotated[int, Field(gt=0)] | None = None
    """Declared; None: the default of the class, from the catalog."""
    proxy: bool = False
    cache_hit_ratio: Annotated[float, Field(ge=0, lt=1)] | None = None
    """Share of reads that a cache in front answers [ratio]; kept, and no figure uses it yet."""
    tier: Annotated[int, Field(ge=0, le=3)] | None = None
    """None: the strictest tier among the callers."""
    usage: dict[str, Coefficients] = Field(default_factory=dict)
    """Per resource: {idle, per_read, per_write} declared, or `fit`; left out: from history."""
    used_by: dict[str, CallerOfDatabase] = Field(default_factory=dict)


class External(_Spec):
    """A partner's service with a quota."""

    calls: Calls = Field(default_factory=dict)
    limit_rps: Positive
    lead_days: Annotated[int, Field(ge=0)] = 0
    """Days from asking for a higher quota to having it."""
    tier: Annotated[int, Field(ge=0, le=3)] | None = None


class Daemonsets(_Spec):
    """What the daemonsets of every node request."""

    cpu_cores: NonNegative = 0.0
    memory_gib: NonNegative = 0.0
    pods: Annotated[int, Field(ge=0)] = 0


class Pool(_Spec):
    """A node pool: instance types, zones and the present count."""

    types: Annotated[list[str], Field(min_length=1)]
    zones: Annotated[int, Field(ge=1)] = 3
    today: Annotated[int, Field(ge=0)] | None = None
    max: Annotated[int, Field(ge=1)] | None = None
    """Largest node count that the pool may reach without a change; None: no such bound."""
    prefix_mode: bool = False
    daemonsets: Daemonsets = Field(default_factory=Daemonsets)

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.max is not None and self.today is not None and self.max < self.today:
            msg = f"max {self.max} is below today {self.today}"
            raise ValueError(msg)
        return self


class LoseZones(_Spec):
    """The failure of whole zones."""

    lose_zones: Annotated[int, Field(ge=1)]


class Hold(_Spec):
    """One promise of the policy: at this quantile, under this failure, usage stays within."""

    failure: Literal["none"] | LoseZones = "none"
    quantile: Literal["1-risk"] | Annotated[float, Field(gt=0, lt=1)]
    up_to: Literal["hard", "utilization", "utilization_degraded"]

    @property
    def zones_lost(self) -> int:
        """Zones lost under this row's failure."""
        return 0 if isinstance(self.failure, str) else self.failure.lose_zones


class Risk(_Spec):
    """Accepted probability that any hard limit of the tier is exceeded in the season."""

    tier_0: Annotated[float, Field(gt=0, lt=1)] = 0.02
    other: Annotated[float, Field(gt=0, lt=1)] = 0.05

    def of(self, tier: int) -> float:
        """Return the risk of a tier."""
        return self.tier_0 if tier == 0 else self.other


class Utilization(_Spec):
    """Planned utilization of each kind of limit [ratio]."""

    cpu_cores: Ratio = 0.60
    memory_gib: Ratio = 0.80
    database_cpu_cores: Ratio = 0.70
    connections: Ratio = 0.85
    quota: Ratio = 0.85
    nodes: Ratio = 1.0


def _default_hold() -> tuple[Hold, ...]:
    return (
        Hold(failure="none", quantile="1-risk", up_to="hard"),
        Hold(failure="none", quantile=0.5, up_to="utilization"),
        Hold(failure=LoseZones(lose_zones=1), quantile=0.5, up_to="utilization_degraded"),
    )


class Policy(_Spec):
    """How much risk and utilization the team accepts; buffers are alternatives, not products."""

    risk: Risk = Field(default_factory=Risk)
    surge: NonNegative = 0.25
    """Extra pods of a rollout outside the freeze [ratio of replicas]."""
    rollback_surge: NonNegative = 0.0
    """Extra pods of a rollback inside the freeze [ratio of replicas]."""
    utilization: Utilization = Field(default_factory=Utilization)
    utilization_degraded: Ratio | None = 0.85
    """Accepted under a failure [ratio]; None: the same as `utilization`."""
    hold: tuple[Hold, ...] = Field(default_factory=_default_hold)

    @model_validator(mode="after")
    def _promises_something(self) -> Self:
        if not self.hold:
            msg = "hold is empty: the policy must promise something"
            raise ValueError(msg)
        return self


class Topology(_Spec):
    """The estate as declared.

    Examples
    --------
    >>> estate = Topology.model_validate(
    ...     {
    ...         "drivers": {"checkouts": {"today_per_min": 4800}},
    ...         "services": {"api": {"calls": {"checkouts": 4}}},
    ...     }
    ... )
    >>> estate.order
    ('checkouts', 'api')
    """

    drivers: dict[str, Driver] = Field(default_factory=dict)
    services: dict[str, Service] = Field(default_factory=dict)
    databases: dict[str, Database] = Field(default_factory=dict)
    externals: dict[str, External] = Field(default_factory=dict)
    pools: dict[str, Pool] = Field(default_factory=dict)
    policy: Policy = Field(default_factory=Policy)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        problems = [
            *_name_problems(self),
            *_reference_problems(self),
            *_missing_problems(self),
            *_ignored_problems(self),
        ]
        if not problems:
            problems = _cycle_problems(self)
        if problems:
            raise InputError(problems)
        return self

    @classmethod
    def read(cls, path: str | Path) -> Self:
        """Read a topology from a strict YAML file.

        Raises
        ------
        InputError
            For an unreadable file, an unknown field (with line and nearest known field), a name
            used twice, an unknown caller, a cycle (named), or a value that nothing would use.
        """
        return documents.read_model(cls, path)

    def replace(self, **changes: Any) -> Self:
        """Return a copy with these fields changed, validated again."""
        return type(self).model_validate({**self.model_dump(by_alias=True), **changes})

    def calls_of(self, node: str) -> Calls:
        """Return what calls a node: caller to calls per caller unit."""
        for kind in (self.drivers, self.services, self.externals):
            if node in kind:
                return dict(kind[node].calls)
        return {}

    @property
    def order(self) -> tuple[str, ...]:
        """Drivers, services and externals such that callers stand before the called."""
        return callgraph.ordered(_call_graph(self))[0]

    @property
    def roots(self) -> tuple[str, ...]:
        """The nodes that nothing declared calls: what the forecast is made for."""
        return tuple(n for n in (*self.drivers, *self.services) if not self.calls_of(n))

    @property
    def followers(self) -> dict[str, tuple[str, ...]]:
        """The nodes that something calls, each with the roots that it follows."""
        counts = callgraph.path_counts(_call_graph(self))
        return {n: tuple(sorted(roots)) for n, roots in counts.items() if n not in roots}

    def tier_of(self, node: str) -> int:
        """Return a node's tier; databases, externals and pools take their strictest user's."""
        if node in self.services:
            return self.services[node].tier
        declared = self.databases.get(node) or self.externals.get(node)
        if declared is not None and declared.tier is not None:
            return declared.tier
        if node in self.databases:
            users: tuple[str, ...] = tuple(self.databases[node].used_by)
        elif node in self.externals:
            users = tuple(self.externals[node].calls)
        else:
            users = tuple(n for n, s in self.services.items() if s.pool == node)
        return min((self.tier_of(u) for u in users if u in self.services), default=1)

    def roots_of(self, node: str) -> tuple[str, ...]:
        """Return the roots from which calls lead to a node, sorted; a root's is itself."""
        part = callgraph.upstream(_call_graph(self), node)
        return tuple(sorted(name for name, callers in part.items() if not callers))

    def edges_to(self, node: str) -> tuple[tuple[str, str], ...]:
        """Return every call (caller, called) on the way from the roots to a node, sorted."""
        part = callgraph.upstream(_call_graph(self), node)
        return tuple(sorted((c, name) for name, callers in part.items() for c in callers))

    def paths_to(self, node: str) -> tuple[tuple[str, ...], ...]:
        """Return every path of calls from a root to a node, each root first.

        Paths multiply with every layer of calls; :meth:`paths_text` lists the first ones only.
        """
        return tuple(callgraph.paths_to(_call_graph(self), node))

    def paths_text(self, node: str, *, root: str | None = None) -> str:
        """Return the paths to a node in words, at most 12 of them and how many more there are."""
        return callgraph.paths_text(_call_graph(self), node, root=root)


def _call_graph(topology: Topology) -> dict[str, tuple[str, ...]]:
    nodes = (*topology.drivers, *topology.services, *topology.externals)
    return {node: tuple(topology.calls_of(node)) for node in nodes}


def _name_problems(topology: Topology) -> list[Problem]:
    seen: dict[str, str] = {}
    problems = []
    for kind in ("drivers", "services", "databases", "externals", "pools"):
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


def _cycle_problems(topology: Topology) -> list[Problem]:
    _, cycle = callgraph.ordered(_call_graph(topology))
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
