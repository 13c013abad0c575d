"""The model and its fit: history and topology in, everything that a plan needs out.

This module answers: what is learnt from history, what is declared, and what is assumed? It
orchestrates the layers below and computes nothing of its own.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from typing import TYPE_CHECKING

from capmodel.capacity.loads import CallRatio
from capmodel.capacity.use import POD_RESOURCES
from capmodel.demand import Batched, DemandFit, GivenDemand
from capmodel.errors import InputError, Problem, nearest
from capmodel.events import Events
from capmodel.history import History
from capmodel.peaks import PeakFit, fit_peaks
from capmodel.peaks.imbalance import ImbalanceFit, fit_imbalance
from capmodel.plan.calls import carried_calls, fit_calls
from capmodel.plan.made_from import input_days, input_digests
from capmodel.plan.make import make_plan
from capmodel.plan.observations import check_observations, split_observations
from capmodel.plan.request import Horizon, PlanRequest, Sampling, Setting
from capmodel.plan.suspects import history_findings
from capmodel.plan.today import RootToday, declared_today, measured_today
from capmodel.scenario import Scenario
from capmodel.schema import Finding, Findings
from capmodel.topology import Driver, Service, Topology
from capmodel.usage import LinearUsage, RobustLinear, declared_usage

if TYPE_CHECKING:
    import pandas as pd

    from capmodel.catalog import Catalog, Quotas
    from capmodel.commitments import PurchasePolicy
    from capmodel.ledger import Ledger
    from capmodel.orders import OrdersPolicy
    from capmodel.plan.planset import PlanSet
    from capmodel.scenario import Grid, Overlay
    from capmodel.sources import Recommendations

__all__ = ["CapacityFit", "CapacityModel"]

SHOWN_REMARKS = ("regime_change", "saturated_rows")
"""What usage fits remark that belongs in a plan's findings though it doubts nothing."""


@dataclass(frozen=True, slots=True, eq=False)
class CapacityFit:
    """A fitted (or declared) model: what a plan is made from."""

    topology: Topology
    events: Events
    business_tz: str
    demand: DemandFit | GivenDemand | None
    """Forecast of what history or a given forecast covers; None when everything is declared."""
    usage: Mapping[tuple[str, str], LinearUsage]
    """By (node, resource)."""
    peaks: PeakFit
    calls: Mapping[tuple[str, str], CallRatio]
    """By (caller, node)."""
    today: Mapping[str, RootToday]
    """By root."""
    last_day: date | None
    """Local date of the last row; None without history."""
    findings: Findings
    inputs: Mapping[str, str]
    """Digest of each input."""
    owns: tuple[str, ...] = ()
    """Services with calls whose own history is forecast beside the top-down figure."""
    imbalance: ImbalanceFit = field(default_factory=lambda: ImbalanceFit(()))
    """Hottest pod, zone and reader against the mean, where series per unit were given."""
    input_days: Mapping[str, date] = field(default_factory=dict)
    """Last local day of each input that has days."""

    @property
    def roots(self) -> tuple[str, ...]:
        """Drivers, and services that nothing calls."""
        return self.topology.roots

    def plan(  # noqa: PLR0913  every option is a plain, named value
        self,
        scenarios: Scenario | Sequence[Scenario] | Grid,
        *,
        start: str | date,
        end: str | date,
        season: tuple[str | date, str | date] | None = None,
        risk: float | None = None,
        seed: int = 0,
        draws: int = 1000,
        as_of: str | date | None = None,
        orders: OrdersPolicy | None = None,
        catalog: Catalog | None = None,
        quotas: Quotas | None = None,
        overlays: Sequence[Overlay] = (),
        title: str = "Capacity review",
        also: Collection[str] = (),
        recommendations: Recommendations | Sequence[Recommendations] | None = None,
        workloads: Mapping[str, str] | None = None,
        ledger: Ledger | None = None,
        purchase: PurchasePolicy | None = None,
    ) -> PlanSet:
        """Plan scenarios: capacity, cost, orders and risk.

        Parameters
        ----------
        scenarios
            One or more, or :func:`capmodel.grid`; probabilities all absent, or summing to 1.
        start, end
            Local dates of the horizon, end exclusive.
        season
            Span that risk and season cost are counted over; None: the horizon.
        risk
            Accepted probability for every tier, instead of the policy's [ratio].
        seed, draws
            Random streams and number of paths per scenario.
        as_of
            The day on which the plan is made; None: the local date after the last row.
        orders, catalog, quotas, overlays, title, ledger, purchase
            Lead times, prices, limits of the cloud, failures to look at, heading, past seasons, how
            capacity is bought (which adds the part ``commitments``).
        also
            Parts that cost more than the rest: ``schedule`` (each week and event sized, and ways to
            provide compared), ``mix`` (the floor of pools with several types), ``event_hour`` (what
            is above hard while pods and nodes start, what must stand before), ``rightsizing``,
            ``changes`` (what each launch, push, mix and efficiency breaks), ``fan``, ``summary``
            (each scenario planned for itself; a grid always has it), ``tornado``.
        recommendations, workloads
            What KRR or VPA recommend, set beside the right sizes; ``{"namespace/workload":
            "service"}`` where names differ.

        Raises
        ------
        InputError
            For dates, scenarios or names that do not fit, all of them together.
        """
        listed = [scenarios] if isinstance(scenarios, Scenario) else scenarios
        request = PlanRequest.of(
            self,
            listed,
            horizon=Horizon.of(start, end, season=season),
            sampling=Sampling(risk=risk, seed=seed, draws=draws),
            setting=Setting(
                as_of=as_of,
                orders=orders,
                catalog=catalog,
                quotas=quotas,
                overlays=tuple(overlays),
                title=title,
                also=also,
                recommendations=recommendations,
                workloads=workloads,
                ledger=ledger,
                purchase=purchase,
            ),
        )
        return make_plan(self, request)

    def with_topology(self, topology: Topology) -> CapacityFit:
        """Return this fit on another topology; one without history is declared anew."""
        if self.last_day is not None:
            return replace(self, topology=topology)
        given = self.demand if isinstance(self.demand, GivenDemand) else None
        model = CapacityModel(topology=topology, events=self.events, given=given)
        return model.declare(business_tz=self.business_tz)


@dataclass(frozen=True, slots=True, eq=False)
class CapacityModel:
    """What to fit with: topology, calendar, demand model and usage model.

    Without a topology each service of the history is its own driver.
    """

    topology: Topology | None = None
    events: Events = field(default_factory=Events.none)
    demand: Batched = field(default_factory=Batched)
    usage: RobustLinear = field(default_factory=RobustLinear)
    given: GivenDemand | None = None
    """A forecast from elsewhere, used instead of `demand` for the roots it covers."""

    def fit(
        self,
        history: History,
        *,
        fine: History | None = None,
        accept: Sequence[str] = (),
        observations: pd.DataFrame | None = None,
        units: pd.DataFrame | None = None,
    ) -> CapacityFit:
        """Fit demand, usage, calls and burst.

        Parameters
        ----------
        history
            The coarse history (hourly).
        fine
            Minutes, for the burst within the hour.
        accept
            Codes of disqualifying findings that are overruled; recorded as assumptions.
        observations
            Rows without time (a load test): ``service``, ``rps`` and ``replicas`` (``qps_read``,
            ``qps_write`` of a database) beside ``cpu_cores`` or ``memory_gib``. For a node whose
            usage the history measures they count beside its rows, by weight, and reach further;
            any other is fitted to them alone; see :meth:`RobustLinear.fit`.
        units
            Series per pod, zone or reader, for how far the hottest exceeds the mean; see
            :func:`capmodel.peaks.fit_imbalance`.

        Raises
        ------
        InputError
            For disqualifying findings that are not accepted, and for nodes of the topology that
            neither history nor declaration describes.
        """
        _require_history(history)
        topology = self.topology or own_drivers(history)
        findings = self._checked(history, fine, accept, units=history_findings(topology, history))
        check_observations(observations)
        _require_described(topology, history, self.given, observations)
        clean = history.masked()
        calls, call_findings = fit_calls(clean, topology, events=self.events)
        demand, demand_findings = self._demand(topology, clean)
        usage, usage_findings = self._usage(topology, history, observations)
        peaks = self._peaks(topology, fine, calls)
        imbalance = ImbalanceFit(()) if units is None else fit_imbalance(units)
        fitted = demand.services if isinstance(demand, DemandFit) else ()
        days = input_days(history, fine)
        return CapacityFit(
            topology=topology,
            events=self.events,
            business_tz=history.business_tz,
            demand=demand,
            usage=usage,
            peaks=peaks,
            calls=calls,
            today=measured_today(topology, clean, fine, peaks=peaks, events=self.events),
            last_day=days["history"],
            input_days=days,
            findings=findings
            + Findings((*call_findings, *demand_findings, *usage_findings))
            + _burst_findings(topology, peaks, self.given)
            + imbalance.findings,
            inputs=input_digests(history, fine, observations, units),
            owns=tuple(n for n in fitted if topology.calls_of(n)),
            imbalance=imbalance,
        )

    def declare(self, *, business_tz: str = "UTC", fine: History | None = None) -> CapacityFit:
        """Return the same fit without history: everything is stated, ``basis=assumed``.

        Raises
        ------
        InputError
            For every field that would need history.
        """
        if self.topology is None:
            raise InputError.of(
                "declare",
                got="no topology",
                expected="a topology that declares drivers, calls and usage",
                do="Pass CapacityModel(topology=...).",
            )
        _require_declared(self.topology, self.given)
        edges = {
            (caller, node): CallRatio(caller=caller, node=node, ratio=float(ratio))
            for node in self.topology.order
            for caller, ratio in self.topology.calls_of(node).items()
        }
        peaks = self._peaks(self.topology, fine, {})
        return CapacityFit(
            topology=self.topology,
            events=self.events,
            business_tz=business_tz,
            demand=self.given,
            usage=_declared(self.topology),
            peaks=peaks,
            calls=edges,
            today=declared_today(self.topology, peaks=peaks),
            last_day=None,
            findings=_burst_findings(self.topology, peaks, self.given),
            inputs={"fine": fine.digest()} if fine is not None else {},
        )

    def _checked(
        self, history: History, fine: History | None, accept: Sequence[str], *, units: Findings
    ) -> Findings:
        findings = history.check() + units + (Findings() if fine is None else fine.check(fine=True))
        refused = findings.errors(accept)
        if refused:
            raise InputError(
                Problem(
                    where=f.service or "history",
                    got=f"{f.code}: {f.message}",
                    expected="data without disqualifying findings",
                    do=f"Repair the data, or overrule it: accept: [{f.code}].",
                )
                for f in refused
            )
        return findings

    def _demand(
        self, topology: Topology, clean: History
    ) -> tuple[DemandFit | GivenDemand, tuple[Finding, ...]]:
        if self.given is not None:
            return self.given, ()
        demand = self.demand.fit(clean.select(_to_forecast(topology, clean)), events=self.events)
        return demand, tuple(demand.refused)

    def _usage(
        self, topology: Topology, history: History, observations: pd.DataFrame | None
    ) -> tuple[dict[tuple[str, str], LinearUsage], tuple[Finding, ...]]:
        usage = _declared(topology)
        nodes = (*topology.services, *topology.databases)
        beside, alone = split_observations(observations, history, nodes)
        wanted = tuple(n for n in nodes if n in set(history.services))
        part = history.masked(keep_tags=("load_test",)).select(wanted)
        found = [self.usage.fit(part, load_tests=beside)]
        if alone is not None:
            found.append(self.usage.fit(alone))
        for one in (line for fit in found for line in fit.fits):
            usage.setdefault((one.service, one.resource), one)
        declared = _fully_declared(topology)
        said = [f for fit in found for f in (*fit.refused, *fit.notes)]
        shown = [f for f in said if f.severity == "warning" or f.code in SHOWN_REMARKS]
        return usage, tuple(f for f in shown if f.service not in declared)

    def _peaks(
        self,
        topology: Topology,
        fine: History | None,
        calls: Mapping[tuple[str, str], CallRatio],
    ) -> PeakFit:
        declared = {
            name: driver.peak_minute_x
            for name, driver in topology.drivers.items()
            if driver.peak_minute_x is not None
        }
        if fine is None:
            return PeakFit.assumed(topology.roots).with_declared(declared)
        roots = [r for r in topology.roots if r in fine.services]
        fed_by = carried_calls(topology, calls, fine) if calls else None
        fitted = fit_peaks(fine, events=self.events, services=roots, fed_by=fed_by)
        return fitted.with_declared(declared)


def _require_history(history: object) -> None:
    """Refuse a frame where a validated history is wanted."""
    if not isinstance(history, History):
        raise InputError.of(
            "fit",
            got=type(history).__name__,
            expected="a History",
            do="Make one: History.from_frame(df, business_tz=...), or read_csv, read_parquet.",
        )


def _burst_findings(topology: Topology, peaks: PeakFit, given: GivenDemand | None) -> Findings:
    """Return what is assumed about the burst of roots that have hours at all.

    A declared level is a busiest minute already: it needs no factor.
    """
    covered = set(given.services) if given is not None else set()
    declared = {n for n, d in topology.drivers.items() if d.today_per_min is not None}
    declared |= {n for n, s in topology.services.items() if s.today_rps is not None}
    return Findings(tuple(f for f in peaks.notes if f.service not in declared - covered))


def own_drivers(history: History) -> Topology:
    """Return the topology in which every service with demand stands for itself."""
    drivers, services = {}, {}
    for name in history.services:
        measured = history.measured(name)
        if "per_min" in measured:
            drivers[name] = Driver()
        elif "rps" in measured:
            services[name] = Service()
    return Topology(drivers=drivers, services=services)


def _to_forecast(topology: Topology, history: History) -> tuple[str, ...]:
    known = set(history.services)
    nodes = (*topology.drivers, *topology.services)
    declared = {n for n, d in topology.drivers.items() if d.today_per_min is not None}
    declared |= {n for n, s in topology.services.items() if s.today_rps is not None}
    with_demand = {n for n in known if {"per_min", "rps"} & set(history.measured(n))}
    return tuple(n for n in nodes if n in with_demand and n not in declared)


def _declared(topology: Topology) -> dict[tuple[str, str], LinearUsage]:
    usage: dict[tuple[str, str], LinearUsage] = {}
    for kind in (topology.services, topology.databases):
        for name, node in kind.items():
            for resource, coefficients in node.usage.items():
                if not isinstance(coefficients, str):
                    usage[name, resource] = declared_usage(name, resource, coefficients)
    return usage


def _fully_declared(topology: Topology) -> set[str]:
    declared = _declared(topology)
    return {n for n in topology.services if any((n, r) in declared for r in POD_RESOURCES)} | {
        n for n in topology.databases if (n, "cpu_cores") in declared
    }


def _require_described(
    topology: Topology,
    history: History,
    given: GivenDemand | None,
    observations: pd.DataFrame | None,
) -> None:
    """Refuse nodes that neither history nor declaration describes, all at once."""
    known = set(history.services)
    declared = _fully_declared(topology)
    if observations is not None:
        declared |= set(observations["service"])
    covered = set(given.services) if given is not None else set()
    problems = []
    for name, driver in topology.drivers.items():
        if name not in known | covered and driver.today_per_min is None and not driver.calls:
            problems.append(_without_history("drivers", name, known, "today_per_min"))
    for name, service in topology.services.items():
        needs_demand = not service.calls and service.today_rps is None and name not in covered
        needs_usage = service.pod is not None and name not in declared
        if name not in known and needs_demand:
            problems.append(_without_history("services", name, known, "today_rps"))
        elif name not in known and "fit" in service.calls.values():
            problems.append(_without_history("services", name, known, "calls as numbers"))
        elif name not in known and needs_usage and service.replicas.today is None:
            problems.append(_without_history("services", name, known, "usage"))
    problems += [
        _without_history("databases", name, known, "usage")
        for name in topology.databases
        if name not in known and name not in declared
    ]
    if problems:
        raise InputError(problems)


def _without_history(kind: str, name: str, known: set[str], do: str) -> Problem:
    close = nearest(name, known)
    hint = f'Did you mean "{close}"? Else' if close else "Add its rows or"
    return Problem(
        where=f"{kind}.{name}",
        got="no rows in the history",
        expected=f"history for it, or {do} declared in the topology",
        do=f"{hint} declare {do}.",
    )


def _require_declared(topology: Topology, given: GivenDemand | None) -> None:
    """Refuse whatever would need a history, all at once."""
    covered = set(given.services) if given is not None else set()
    places = [*_without_today(topology, covered), *_to_be_fitted(topology)]
    if places:
        raise InputError([_undeclared(place) for place in places])


def _without_today(topology: Topology, covered: set[str]) -> Iterator[str]:
    """Yield the fields that would say what a root receives today."""
    for name, driver in topology.drivers.items():
        if not driver.calls and driver.today_per_min is None and name not in covered:
            yield f"drivers.{name}.today_per_min"
    for name, service in topology.services.items():
        if not service.calls and service.today_rps is None and name not in covered:
            yield f"services.{name}.today_rps"


def _to_be_fitted(topology: Topology) -> Iterator[str]:
    """Yield the fields that say `fit`."""
    for node in topology.order:
        for caller, ratio in topology.calls_of(node).items():
            if ratio == "fit":
                yield f"{node}.calls.{caller}"
    for kind, nodes in (("services", topology.services), ("databases", topology.databases)):
        for name, spec in nodes.items():
            for resource, coefficients in spec.usage.items():
                if coefficients == "fit":
                    yield f"{kind}.{name}.usage.{resource}"


def _undeclared(where: str) -> Problem:
    return Problem(
        where=where,
        got="nothing to fit it from: the study has no history",
        expected="a declared number",
        do="Declare it, or add history: {base: FILE} to the study.",
    )
