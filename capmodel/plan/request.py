"""What is asked of a plan: scenarios, dates, seed, prices and lead times, checked together."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import TYPE_CHECKING, Final, Self

import numpy as np

from capmodel.catalog import Catalog, Quotas
from capmodel.commitments import PurchasePolicy
from capmodel.errors import InputError, Problem, nearest
from capmodel.ledger import Ledger
from capmodel.orders import OrdersPolicy
from capmodel.plan.purchases import net_of_negotiation, purchase_problems
from capmodel.scenario import (
    Grid,
    Overlay,
    Scenario,
    check_names,
    check_overlays,
    check_topology,
    mixture_weights,
    window_problems,
)

if TYPE_CHECKING:
    from capmodel.plan.model import CapacityFit
    from capmodel.sources import Recommendations
    from capmodel.topology import Topology

__all__ = ["PARTS", "Horizon", "PlanRequest", "Sampling", "Setting", "as_date"]

MIN_DRAWS = 100
PARTS: Final = (
    "schedule", "mix", "event_hour", "rightsizing", "changes", "fan", "commitments", "summary",
    "tornado",
)  # fmt: skip
"""What a plan holds where it is asked for: each week and event sized, with ways to provide compared
(a second for 60 services); the instance mix of pools with several types (a second each); the
season's busiest hour tick by tick (two seconds); pods right-sized (25 ms a service); what each
launch, push, mix and efficiency breaks (a third of a plan for each entry, nothing without any); how
days err together (5 ms a root), which plans of up to 20 roots always hold; cost by hour and what to
commit to over a term (a second); each scenario planned for itself (40 ms each, always with a grid);
the inputs moved one by one (a fifth of a second each, some 25 of them)."""
KEY = ("cluster", "namespace", "kind", "service", "container", "resource")
"""What tells one row of a recommendation from another, besides the tool."""


@dataclass(frozen=True, slots=True)
class Horizon:
    """Local days of the plan and of the season within it, ends exclusive."""

    start: date
    end: date
    season_start: date
    season_end: date

    @classmethod
    def of(
        cls,
        start: str | date,
        end: str | date,
        *,
        season: tuple[str | date, str | date] | None = None,
    ) -> Self:
        """Read dates or ISO texts; without a season the whole horizon is one.

        Raises
        ------
        InputError
            For a text that is no date.
        """
        first, last = as_date(start, "start"), as_date(end, "end")
        return cls(
            start=first,
            end=last,
            season_start=as_date(season[0], "season.start") if season else first,
            season_end=as_date(season[1], "season.end") if season else last,
        )


@dataclass(frozen=True, slots=True)
class Sampling:
    """Random streams, paths per scenario, and the accepted risk where it is not the policy's."""

    risk: float | None = None
    seed: int = 0
    draws: int = 1000


@dataclass(frozen=True, slots=True)
class Setting:
    """When and under which prices, lead times and failures a plan is made; None: the defaults."""

    as_of: str | date | None = None
    orders: OrdersPolicy | None = None
    catalog: Catalog | None = None
    quotas: Quotas | None = None
    overlays: tuple[Overlay, ...] = ()
    title: str = "Capacity review"
    also: Collection[str] = ()
    """Parts that cost more than the rest, of :data:`PARTS`."""
    recommendations: Recommendations | Sequence[Recommendations] | None = None
    workloads: Mapping[str, str] | None = None
    """``namespace/workload`` of a recommendation to the service that it is, where names differ."""
    ledger: Ledger | None = None
    """Past seasons, whose misses widen the season's luck."""
    purchase: PurchasePolicy | None = None
    """How capacity is bought; where it is given, the part `commitments` is asked for."""

    @property
    def policy(self) -> PurchasePolicy:
        """How capacity is bought, the default where nothing is said."""
        return self.purchase if self.purchase is not None else PurchasePolicy()

    @property
    def parts(self) -> frozenset[str]:
        """The parts that are asked for, by name or by what they work on."""
        implied = {
            "rightsizing": bool(_listed(self.recommendations)),
            "commitments": self.purchase is not None,
        }
        return frozenset(self.also) | {part for part, given in implied.items() if given}


@dataclass(frozen=True, slots=True, eq=False)
class PlanRequest:
    """A checked request; dates are local, ends exclusive."""

    scenarios: tuple[Scenario, ...]
    weights: np.ndarray
    """Probability of each scenario, shape (S,)."""
    start: date
    end: date
    season_start: date
    season_end: date
    risk: float | None
    seed: int
    draws: int
    as_of: date
    orders: OrdersPolicy
    catalog: Catalog
    quotas: Quotas
    overlays: tuple[Overlay, ...]
    title: str
    also: frozenset[str]
    recommendations: tuple[Recommendations, ...]
    workloads: Mapping[str, str]
    ledger: Ledger
    purchase: PurchasePolicy
    grid: Grid | None = None
    """The grid that the scenarios are the product of; None where they were named one by one."""

    @classmethod
    def of(
        cls,
        fit: CapacityFit,
        scenarios: Sequence[Scenario] | Grid,
        *,
        horizon: Horizon,
        sampling: Sampling,
        setting: Setting,
    ) -> Self:
        """Check and complete a request.

        Raises
        ------
        InputError
            With every problem of dates, numbers, scenarios and names.
        """
        sweep = scenarios if isinstance(scenarios, Grid) else None
        listed = scenarios.scenarios(fit.roots) if isinstance(scenarios, Grid) else scenarios
        made, purchase = _made_on(fit, setting.as_of, horizon), setting.policy
        catalog = setting.catalog if setting.catalog is not None else Catalog.builtin()
        orders = setting.orders if setting.orders is not None else OrdersPolicy()
        quotas = setting.quotas if setting.quotas is not None else Quotas.builtin(catalog.region)
        problems = [
            *_date_problems(fit, horizon, listed),
            *_as_of_problems(made, horizon),
            *_number_problems(sampling),
            *_catalog_problems(fit.topology, catalog),
            *_quota_problems(fit.topology, quotas),
            *_setting_problems(fit.topology, setting),
            *purchase_problems(purchase, fit, catalog, orders=orders, start=horizon.start),
        ]
        if problems:
            raise InputError(problems)
        _check_names(fit, listed, setting.overlays, catalog)
        return cls(
            scenarios=tuple(listed),
            weights=mixture_weights(listed),
            start=horizon.start,
            end=horizon.end,
            season_start=horizon.season_start,
            season_end=horizon.season_end,
            risk=sampling.risk,
            seed=sampling.seed,
            draws=sampling.draws,
            as_of=made,
            orders=orders,
            catalog=net_of_negotiation(catalog, purchase),
            quotas=quotas,
            overlays=setting.overlays,
            title=setting.title,
            also=setting.parts | ({"summary"} if sweep is not None else frozenset()),
            recommendations=_listed(setting.recommendations),
            workloads=setting.workloads or {},
            ledger=setting.ledger if setting.ledger is not None else Ledger(),
            purchase=purchase,
            grid=sweep,
        )

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the scenarios, in order."""
        return tuple(s.name for s in self.scenarios)

    @property
    def dates(self) -> np.ndarray:
        """Local days of the horizon, datetime64[D], shape (N,)."""
        return np.arange(np.datetime64(self.start), np.datetime64(self.end))

    @property
    def season(self) -> np.ndarray:
        """Which days belong to the season, shape (N,)."""
        dates = self.dates
        return (dates >= np.datetime64(self.season_start)) & (
            dates < np.datetime64(self.season_end)
        )


def as_date(value: str | date, where: str) -> date:
    """Return a date from ISO text, a date or a midnight.

    Raises
    ------
    InputError
        For anything else.
    """
    if isinstance(value, datetime):  # a datetime is a date to isinstance, but compares with none
        midnight = value.tzinfo is None and value.time() == time()
        value = value.date() if midnight else value.isoformat()
    if isinstance(value, date):
        return value
    try:
        return date.fromisoformat(value)
    except (TypeError, ValueError):
        raise InputError.of(
            where, got=repr(value), expected="an ISO date such as 2026-11-02", do="Rewrite it."
        ) from None


def _made_on(fit: CapacityFit, as_of: str | date | None, horizon: Horizon) -> date:
    if as_of is not None:
        return as_date(as_of, "as_of")
    return fit.last_day + timedelta(days=1) if fit.last_day is not None else horizon.start


def _check_names(
    fit: CapacityFit,
    scenarios: Sequence[Scenario],
    overlays: tuple[Overlay, ...],
    catalog: Catalog,
) -> None:
    """Refuse scenarios and overlays of drivers, events, nodes or types that are not there."""
    topology = fit.topology
    priced = [name for region, *_, name in catalog.rows if region == catalog.region]
    events = _event_names(fit)
    check_names(scenarios, roots=fit.roots, events=events, follows=topology.followers)
    check_topology(scenarios, topology, types=priced)
    check_overlays(overlays, topology)


def _event_names(fit: CapacityFit) -> tuple[str, ...]:
    return tuple(dict.fromkeys([*fit.events.names, *fit.events.spans]))


def _catalog_problems(topology: Topology, catalog: Catalog) -> list[Problem]:
    """Return the instance types and database classes that the catalog lacks."""
    problems: list[Problem] = []
    for name, pool in topology.pools.items():
        for kind in pool.types:
            try:
                catalog.node_type(kind, where=f"pools.{name}.types")
            except InputError as error:
                problems += error.problems
    for name, database in topology.databases.items():
        try:
            catalog.db_class(database.engine, database.db_class, where=f"databases.{name}.class")
        except InputError as error:
            problems += error.problems
    return problems


def _setting_problems(topology: Topology, setting: Setting) -> list[Problem]:
    """Return what is wrong with parts, priced units, workloads and recommendations."""
    return [
        *_part_problems(setting.also),
        *_unit_usd_problems(topology),
        *_workload_problems(topology, setting.workloads or {}),
        *_recommendation_problems(_listed(setting.recommendations)),
    ]


def _quota_problems(topology: Topology, quotas: Quotas) -> list[Problem]:
    """Return the rows of the catalog's limits that are unknown, or in another unit."""
    problems: list[Problem] = []
    for name, limit in topology.limits.items():
        if limit.quota is None:
            continue
        service, _, row = limit.quota.rpartition(".")
        try:
            found = quotas.get(row, service=service, where=f"limits.{name}.quota")
            found.check_unit(limit.unit, where=f"limits.{name}.unit")
        except InputError as error:
            problems += error.problems
    return problems


def _listed(
    given: Recommendations | Sequence[Recommendations] | None,
) -> tuple[Recommendations, ...]:
    if given is None:
        return ()
    return tuple(given) if isinstance(given, Sequence) else (given,)


def _workload_problems(topology: Topology, workloads: Mapping[str, str]) -> list[Problem]:
    """Return the names that workloads are given and no service has."""
    problems = []
    for workload, name in workloads.items():
        if name in topology.services:
            continue
        close = nearest(name, topology.services)
        do = f'Did you mean "{close}"?' if close else "Correct the name."
        expected = f"one of: {', '.join(sorted(topology.services)) or 'none declared'}"
        got = f'unknown service "{name}"'
        problems.append(Problem(f"workloads.{workload}", got, expected, do))
    return problems


def _recommendation_problems(given: Sequence[Recommendations]) -> list[Problem]:
    """Return what is no recommendation, and containers that two files of one tool hold."""
    problems, seen = [], set[tuple[str, ...]]()
    for one in given:
        rows = getattr(one, "frame", None)
        if rows is None or not {"source", *KEY} <= set(rows.columns):
            got, expected = type(one).__name__, "what read_krr_csv, read_krr_json or read_vpa read"
            do = "Read the tool's file with one of them."
            problems.append(Problem("recommendations", got, expected, do))
            continue
        for key in rows[["source", *KEY]].astype(str).itertuples(index=False, name=None):
            if key in seen:
                source, *owner = key
                got = f"{'/'.join(filter(None, owner))} of {source.upper()} in two files"
                do = "Keep the newer file; runs of one tool are not joined."
                problems.append(Problem("recommendations", got, "each container once", do))
            seen.add(key)
    return problems


def _unit_usd_problems(topology: Topology) -> list[Problem]:
    """Return the names that the policy prices and that are no pool, external or limit."""
    known = (*topology.pools, *topology.externals, *topology.limits)
    problems = []
    for name in topology.policy.unit_usd:
        if name not in known:
            close = nearest(name, known)
            problems.append(
                Problem(
                    where=f"policy.unit_usd.{name}",
                    got="a name that is no pool, external or limit",
                    expected=f"one of: {', '.join(known) or 'none declared'}",
                    do=f'Did you mean "{close}"?' if close else "Remove it or declare it.",
                )
            )
    return problems


def _as_of_problems(as_of: date, horizon: Horizon) -> list[Problem]:
    end = horizon.end
    if as_of < end or end <= horizon.start:
        return []
    return [
        Problem(
            where="as_of",
            got=f"{as_of}, not before the horizon's end {end}",
            expected="a day on which something can still be ordered",
            do="Move as_of before the season, or plan a later horizon.",
        )
    ]


def _date_problems(
    fit: CapacityFit, horizon: Horizon, scenarios: Sequence[Scenario]
) -> list[Problem]:
    start, end = horizon.start, horizon.end
    season_start, season_end = horizon.season_start, horizon.season_end
    problems = []
    if end <= start:
        problems.append(
            Problem(
                "end", f"{end}, not after start {start}", "an end after the start", "Swap them."
            )
        )
    if not (start <= season_start < season_end <= end):
        problems.append(
            Problem(
                where="season",
                got=f"{season_start} to {season_end}",
                expected=f"a span inside the horizon {start} to {end}",
                do="Move the season or widen the horizon.",
            )
        )
    if fit.last_day is not None and start <= fit.last_day:
        problems.append(
            Problem(
                where="start",
                got=f"{start}, but the history ends on {fit.last_day}",
                expected="a horizon after the last day of history",
                do=f"Start on {fit.last_day + timedelta(days=1)} or later, or cut the history.",
            )
        )
    problems += window_problems(scenarios, start=start, end=end, last_day=fit.last_day)
    return problems


def _parts(
    also: Collection[str], *, given: Sequence[Recommendations], sweep: Grid | None
) -> frozenset[str]:
    """Return the parts asked for, with those that recommendations and a grid bring along."""
    always = {"rightsizing": bool(given), "summary": sweep is not None}
    return frozenset(also) | {part for part, needed in always.items() if needed}


def _part_problems(also: Collection[str]) -> list[Problem]:
    listed = [also] if isinstance(also, str) else also
    return [
        Problem(
            where="also",
            got=repr(part),
            expected=f"parts of a plan, listed: {', '.join(PARTS)}",
            do=f'Did you mean ["{close}"]?' if (close := nearest(part, PARTS)) else "Leave it out.",
        )
        for part in listed
        if part not in PARTS or isinstance(also, str)
    ]


def _number_problems(sampling: Sampling) -> list[Problem]:
    risk, seed, draws = sampling.risk, sampling.seed, sampling.draws
    problems = []
    if risk is not None and not 0 < risk < 1:
        problems.append(Problem("risk", str(risk), "a ratio in (0, 1)", "Write 2 % as 0.02."))
    if seed < 0:
        problems.append(Problem("seed", str(seed), "an integer of 0 or more", "Choose another."))
    if draws < MIN_DRAWS:
        problems.append(
            Problem("draws", str(draws), f"{MIN_DRAWS} paths or more", "1000 is the usual choice.")
        )
    return problems
