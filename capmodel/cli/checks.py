"""Everything about a study that can be said before anything is fitted.

This module answers: which problems do the files have, all of them together, and what does the
history's own check find? It reads and compares; the checks themselves stand with what they check.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import pandas as pd

from capmodel.errors import InputError, Problem
from capmodel.plan import CapacityModel
from capmodel.plan.observations import check_observations
from capmodel.scenario import check_names, mixture_weights
from capmodel.topology import Topology

if TYPE_CHECKING:
    from capmodel.catalog import Catalog
    from capmodel.history import History
    from capmodel.plan import Study
    from capmodel.schema import Finding

__all__ = ["Checked", "check_study"]

T = TypeVar("T")
COLUMNS = ["severity", "code", "input", "service", "message"]


@dataclass(frozen=True, slots=True, eq=False)
class Checked:
    """Findings of a study's inputs: as rows, those that stop a fit, and those overruled."""

    findings: pd.DataFrame
    stopping: tuple[Finding, ...]
    accepted: tuple[str, ...]


def check_study(study: Study) -> Checked:
    """Read every input of a study and check it.

    Raises
    ------
    InputError
        With every problem of every file.
    """
    problems: list[Problem] = []

    def attempt(read: Callable[[], T]) -> T | None:
        try:
            return read()
        except InputError as error:
            problems.extend(error.problems)
            return None

    topology = attempt(study.read_topology)
    scenarios = attempt(study.read_scenarios)
    catalog = attempt(study.read_catalog)
    histories = attempt(study.read_history)
    base, fine = histories or (None, None)
    attempt(lambda: check_observations(study.read_observations()))
    attempt(study.read_units)
    first_year = base.start.astype(object).year if base is not None else study.horizon.start.year
    events = attempt(lambda: study.make_events(first_year))
    if scenarios is not None:
        attempt(lambda: mixture_weights(scenarios))
    if scenarios is not None and topology is not None and events is not None:
        names = (*events.names, *events.spans)
        attempt(
            lambda: check_names(
                scenarios, roots=topology.roots, events=names, follows=topology.followers
            )
        )
    if topology is not None and catalog is not None:
        problems += _catalog_problems(topology, catalog)
    if topology is not None and study.history is None and study.demand is None:
        attempt(CapacityModel(topology=topology).declare)
    if problems:
        raise InputError(problems)
    return _checked(study, base, fine)


def _catalog_problems(topology: Topology, catalog: Catalog) -> list[Problem]:
    problems: list[Problem] = []
    asked: list[Callable[[], object]] = [
        lambda name=name: catalog.node_type(name)  # type: ignore[misc]
        for pool in topology.pools.values()
        for name in pool.types
    ]
    asked += [
        lambda db=database: catalog.db_class(db.engine, db.db_class)  # type: ignore[misc]
        for database in topology.databases.values()
    ]
    for look_up in asked:
        try:
            look_up()
        except InputError as error:
            problems += error.problems
    return problems


def _checked(study: Study, base: History | None, fine: History | None) -> Checked:
    accepted = study.history.accept if study.history else ()
    found: list[tuple[str, Finding]] = []
    if base is not None and study.history is not None:
        found += [(study.history.base.name, f) for f in base.check()]
    if fine is not None and study.history is not None and study.history.fine is not None:
        found += [(study.history.fine.name, f) for f in fine.check(fine=True)]
    rows = [(f.severity, f.code, file, f.service, f.message) for file, f in found]
    return Checked(
        findings=pd.DataFrame(rows, columns=COLUMNS),
        stopping=tuple(f for _, f in found if f.severity == "error" and f.code not in accepted),
        accepted=accepted,
    )
