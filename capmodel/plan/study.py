"""A study: one file that names history, topology, scenarios, catalog, horizon and as-of date.

This module answers: what does a study file say, and which objects does it stand for? It reads the
files it names; everything it computes is computed by :mod:`capmodel.plan.model`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, Self

from pydantic import Field, PrivateAttr, model_validator

from capmodel import documents
from capmodel.catalog import Catalog, Quotas
from capmodel.commitments import PurchasePolicy
from capmodel.demand import GivenDemand
from capmodel.errors import InputError, Problem
from capmodel.events import Events
from capmodel.ledger import Ledger
from capmodel.orders import OrdersPolicy
from capmodel.plan.inherit import filled_in
from capmodel.plan.model import CapacityFit, CapacityModel
from capmodel.plan.request import PARTS
from capmodel.plan.study_sections import (
    Calendar,
    CatalogChoice,
    Country,
    GivenDemandFile,
    HistoryFiles,
    RecommendationsFile,
    Span,
    Spec,
)
from capmodel.scenario import Grid, Overlay, Scenario
from capmodel.topology import Topology
from capmodel.usage import RobustLinear

if TYPE_CHECKING:
    import pandas as pd

    from capmodel.history import History
    from capmodel.plan.planset import PlanSet
    from capmodel.sources import Recommendations

__all__ = ["Study"]

MOST_SERVICES: Final[Mapping[str, int]] = MappingProxyType(
    {"event_hour": 100, "rightsizing": 300, "fan": 300, "summary": 300}
)
"""Parts that a study has unless it says otherwise, up to so many services: seconds."""
ON_REQUEST: Final = frozenset({"tornado", "commitments"})
"""Parts that a study has only where it says so; `purchase` asks for commitments."""


def _named_once(error: InputError, name: str) -> InputError:
    """Return the error without the name that a scenario puts first, which its key path holds."""
    twice = f"scenarios.{name}.{name}."
    return InputError(
        replace(problem, where=problem.where.replace(twice, f"scenarios.{name}."))
        for problem in error.problems
    )


class Study(Spec):
    """Everything a plan is made from, in one file."""

    extends: Path | None = None
    """Another study, whose values stand where this one has none; its paths stay its own."""
    title: str = "Capacity review"
    business_tz: str
    as_of: date | None = None
    horizon: Span
    season: Span | None = None
    """The span that risk and season cost are counted over; None: the horizon."""
    draws: Annotated[int, Field(ge=100, le=100_000)] = 1000
    seed: Annotated[int, Field(ge=0)] = 0
    topology: Path | None = None
    history: HistoryFiles | None = None
    demand: GivenDemandFile | None = None
    usage: RobustLinear = Field(default_factory=RobustLinear)
    """How usage is fitted, for example ``{convex: true}``."""
    catalog: CatalogChoice = Field(default_factory=CatalogChoice)
    events: Calendar = Field(default_factory=Calendar)
    orders: OrdersPolicy = Field(default_factory=OrdersPolicy)
    scenarios: dict[str, dict[str, Any]] | list[Path]
    overlays: tuple[Overlay, ...] = ()
    also: (
        tuple[
            Literal[
                "schedule",
                "mix",
                "event_hour",
                "rightsizing",
                "changes",
                "fan",
                "commitments",
                "summary",
                "tornado",
            ],
            ...,
        ]
        | None
    ) = None
    """Parts of the plan that cost more; None: all but the tornado, in large estates without the
    dearest."""
    recommendations: tuple[RecommendationsFile, ...] = ()
    """What tools that look back recommend, to be set beside what the season needs."""
    purchase: PurchasePolicy | None = None
    """How capacity is bought; without it no commitments are planned."""

    ledger: Path | None = None
    """Accuracy ledger of past seasons, a CSV that `capmodel retro --ledger` appends to."""

    _path: Path = PrivateAttr(default=Path())
    _catalog: Catalog | None = PrivateAttr(default=None)
    """Prices and shapes instead of those that the files hold."""

    @model_validator(mode="after")
    def _season_inside(self) -> Self:
        season = self.season
        if season and not (self.horizon.start <= season.start and season.end <= self.horizon.end):
            raise InputError.of(
                "season",
                got=f"{season.start} to {season.end}",
                expected=f"a span inside the horizon {self.horizon.start} to {self.horizon.end}",
                do="Move the season or widen the horizon.",
            )
        if self.history is None and self.topology is None:
            raise InputError.of(
                "study",
                got="neither history nor topology",
                expected="a history to learn from, a topology that declares, or both",
                do="Add history: {base: FILE} or topology: FILE.",
            )
        return self

    @classmethod
    def read(cls, path: str | Path, *, overrides: Mapping[str, str] | None = None) -> Self:
        """Read a study file; paths in it are relative to its folder.

        Parameters
        ----------
        path
            The YAML file.
        overrides
            Field path to YAML scalar, for example
            ``{"scenarios.base.growth_yoy_x.checkouts": "1.4"}``.

        Raises
        ------
        InputError
            For every problem of the file together, each with its line.
        """
        study = documents.read_model(cls, path, overrides=overrides or {}, extends="extends")
        study._path = Path(path)  # noqa: SLF001  our own private attribute
        return study

    def _at(self, path: Path) -> Path:
        return path if path.is_absolute() else self._path.parent / path

    def read_topology(self) -> Topology | None:
        """Return the topology that the study names."""
        return Topology.read(self._at(self.topology)) if self.topology else None

    def read_scenarios(self) -> tuple[Scenario, ...]:
        """Return the scenarios, in the order of the file.

        Raises
        ------
        InputError
            With every problem of every scenario.
        """
        result: list[Scenario] = []
        problems: list[Problem] = []
        for name, (fields, file) in self._inherited().items():
            try:
                given = {"name": name, **fields}
                result.append(documents.validate(Scenario, given, where=f"scenarios.{name}"))
            except InputError as error:
                problems += documents.locate(_named_once(error, name), file).problems
        if problems:
            raise InputError(problems)
        return tuple(result)

    def _inherited(self) -> dict[str, tuple[dict[str, Any], Path]]:
        """Return each scenario's fields with those of the scenario that it extends."""
        given = self._scenario_fields()
        try:
            return filled_in(given)
        except InputError as error:
            for file in dict.fromkeys(file for _, file in given.values()):
                error = documents.locate(error, file)
            raise error from None

    def _scenario_fields(self) -> dict[str, tuple[Mapping[str, Any], Path]]:
        """Return each scenario's fields and the file they stand in."""
        if isinstance(self.scenarios, dict):
            return {name: (fields, self._path) for name, fields in self.scenarios.items()}
        found: dict[str, tuple[Mapping[str, Any], Path]] = {}
        for listed in self.scenarios:
            file = self._at(listed)
            for name, fields in documents.read_yaml(file).items():
                if name in found:
                    raise InputError.of(
                        str(listed),
                        got=f'scenario "{name}", which {found[name][1].name} holds already',
                        expected="each scenario in one file",
                        do="Rename one of the two.",
                    )
                found[name] = (fields, file)
        return found

    def read_history(self) -> tuple[History | None, History | None]:
        """Return the coarse history and the fine one, None where the study names none."""
        if self.history is None:
            return None, None
        base = self._read(self._at(self.history.base))
        fine = self._read(self._at(self.history.fine)) if self.history.fine else None
        return base, fine

    def read_observations(self) -> pd.DataFrame | None:
        """Return the load-test rows, None where the study names none."""
        return self._rows(self.history.observations if self.history else None)

    def read_units(self) -> pd.DataFrame | None:
        """Return the series per pod, zone or reader, None where the study names none."""
        return self._rows(self.history.units if self.history else None)

    def _rows(self, path: Path | None) -> pd.DataFrame | None:
        from capmodel import sources  # noqa: PLC0415  pyarrow only when a file is read

        return None if path is None else sources.read_rows(self._at(path))

    def _read(self, path: Path) -> History:
        from capmodel import sources  # noqa: PLC0415  pyarrow only when a file is read

        if path.suffix in {".parquet", ".pq"}:
            return sources.read_parquet(path, business_tz=self.business_tz)
        naive_tz = self.history.naive_tz if self.history else None
        return sources.read_csv(path, business_tz=self.business_tz, naive_tz=naive_tz)

    def read_catalog(self) -> Catalog:
        """Return the built-in catalog of the region with the study's files, the overlay last."""
        if self._catalog is not None:
            return self._catalog
        asked = self.catalog
        catalog = Catalog.builtin(asked.region)
        if asked.instance_types:
            catalog = catalog.with_instance_types(self._at(asked.instance_types))
        for offer in asked.offers:
            catalog = catalog.with_offer(self._at(offer))
        if asked.billing:
            catalog = catalog.with_billing(*map(self._at, asked.billing))
        return catalog.with_overlay(self._at(asked.overlay)) if asked.overlay else catalog

    def read_quotas(self) -> Quotas:
        """Return the built-in limits of the region with the study's overlay."""
        quotas = Quotas.builtin(self.catalog.region)
        overlay = self.catalog.limits
        return quotas.with_overlay(self._at(overlay)) if overlay else quotas

    def read_recommendations(self) -> tuple[Recommendations, ...]:
        """Return what right-sizing tools recommend, one for each file.

        Raises
        ------
        InputError
            With every problem of every file.
        """
        from capmodel import sources  # noqa: PLC0415  only when a file is read

        result: list[Recommendations] = []
        problems: list[Problem] = []
        for listed in self.recommendations:
            days = listed.lookback_days
            try:
                if listed.krr_csv is not None:
                    made = sources.read_krr_csv(self._at(listed.krr_csv), lookback_days=days)
                elif listed.krr_json is not None:
                    made = sources.read_krr_json(self._at(listed.krr_json), lookback_days=days)
                else:
                    made = sources.read_vpa(self._at(listed.vpa or Path()))
                result.append(made)
            except InputError as error:
                problems += error.problems
        if problems:
            raise InputError(problems)
        return tuple(result)

    def _workloads(self) -> dict[str, str]:
        """Return the names that the recommendations' files are given, all together."""
        names: dict[str, str] = {}
        for workload, name in (p for r in self.recommendations for p in r.names.items()):
            if names.setdefault(workload, name) != name:
                raise InputError.of(
                    f"recommendations.names.{workload}",
                    got=f"{names[workload]} and {name}",
                    expected="one service of ours",
                    do="Correct one of the two.",
                )
        return names

    def make_events(self, first_year: int) -> Events:
        """Return the calendar from a year (or the declared years) to the end of the horizon."""
        first, last = self.events.years or (first_year, self.horizon.end.year)
        chosen = self.events.calendar
        if isinstance(chosen, Country):
            events = Events.country(chosen.country, first, last, subdiv=chosen.subdiv)
        else:
            events = Events.us_retail(first, last) if chosen == "us_retail" else Events.none()
        for event in self.events.add:
            events = event.added_to(events)
        return events

    def fit(self, *, topology: Topology | None = None) -> CapacityFit:
        """Read the past and fit everything that the study (or another topology) leaves to it."""
        base, fine = self.read_history()
        topology = topology or self.read_topology()
        as_of = self.as_of or self.horizon.start
        first_year = base.start.astype(object).year if base is not None else as_of.year - 1
        events = self.make_events(first_year)
        given = None if self.demand is None else self._given(self.demand, events)
        model = CapacityModel(topology=topology, events=events, usage=self.usage, given=given)
        if base is None:
            return model.declare(business_tz=self.business_tz, fine=fine)
        accept = self.history.accept if self.history else ()
        return model.fit(
            base,
            fine=fine,
            accept=accept,
            observations=self.read_observations(),
            units=self.read_units(),
        )

    def _given(self, demand: GivenDemandFile, events: Events) -> GivenDemand:
        return GivenDemand.read(self._at(demand.given), business_tz=self.business_tz, events=events)

    def _also(self, topology: Topology) -> tuple[str, ...]:
        """Return the parts asked for, or those that the number of services leaves time for."""
        if self.also is not None:
            return self.also
        services = len(topology.services)
        return tuple(
            part
            for part in PARTS
            if part not in ON_REQUEST and services <= MOST_SERVICES.get(part, services)
        )

    def with_catalog(self, catalog: Catalog) -> Self:
        """Return a copy that plans with these prices and shapes."""
        copy = self.model_copy()
        copy._catalog = catalog  # noqa: SLF001  our own private attribute
        return copy

    def plan(
        self,
        fit: CapacityFit | None = None,
        *,
        scenarios: Sequence[Scenario] | Grid | None = None,
        also: Sequence[str] | None = None,
    ) -> PlanSet:
        """Make the plan: fit (unless given), scenarios, capacity, cost and orders.

        Parameters
        ----------
        fit
            A fit of this study; None: make it.
        scenarios
            Other scenarios than the study's own, or a grid.
        also
            Other parts than the study's own.
        """
        fit = fit or self.fit()
        return fit.plan(
            self.read_scenarios() if scenarios is None else scenarios,
            start=self.horizon.start,
            end=self.horizon.end,
            season=(self.season.start, self.season.end) if self.season else None,
            seed=self.seed,
            draws=self.draws,
            as_of=self.as_of,
            orders=self.orders,
            catalog=self.read_catalog(),
            quotas=self.read_quotas(),
            overlays=self.overlays,
            title=self.title,
            also=self._also(fit.topology) if also is None else also,
            recommendations=self.read_recommendations(),
            workloads=self._workloads(),
            ledger=Ledger.read(self._at(self.ledger)) if self.ledger else None,
            purchase=self.purchase,
        )
