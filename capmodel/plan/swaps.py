"""The plan again, with some of its inputs as they were: what a diff asks to find its causes.

This module answers: which figures would the plan have, had these inputs stayed what they were? It
keeps what was learnt wherever the changed input teaches nothing.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING, Any, Final

from pydantic import TypeAdapter

from capmodel.catalog import Catalog
from capmodel.documents import canonical_json
from capmodel.errors import InputError
from capmodel.orders import OrdersPolicy
from capmodel.plan.changes import Change, inputs_of, value_at
from capmodel.plan.diffs import Figure, figures
from capmodel.plan.made_from import with_recorded_rows
from capmodel.scenario import Overlay, Scenario
from capmodel.topology import Topology

if TYPE_CHECKING:
    import pandas as pd

    from capmodel.plan.model import CapacityFit
    from capmodel.plan.planset import PlanSet
    from capmodel.plan.study import Study

__all__ = ["Replanner", "with_changes"]

TAUGHT: Final = frozenset({"policy", "pools", "limits"})
"""Parts of a topology that no fit reads."""
TAUGHT_FIELDS: Final = {
    "services": frozenset({"tier", "pool", "slo", "utilization", "replicas"}),
    "externals": frozenset({"limit_rps", "lead_days", "shed_max", "waits", "tier"}),
}
"""Fields of nodes that no fit reads."""
OVERLAYS: Final = TypeAdapter(tuple[Overlay, ...])


def with_changes(
    inputs: Mapping[str, Any], source: Mapping[str, Any], changes: Iterable[Change]
) -> dict[str, Any]:
    """Return inputs in which these have the values of `source`."""
    result = copy.deepcopy(dict(inputs))
    for path in (path for change in changes for path in change.paths):
        place = result
        for key in path[:-1]:
            held = place.get(key)
            place[key] = held if isinstance(held, dict) else {}
            place = place[key]
        value = value_at(source, path)
        if value is None and path[-1] not in (value_at(source, path[:-1]) or {}):
            place.pop(path[-1], None)
        else:
            place[path[-1]] = copy.deepcopy(value)
    return result


@dataclass(slots=True, eq=False)
class Replanner:
    """Makes the plan of other inputs from the new plan's fit; counts how often it did.

    Raises
    ------
    InputError
        From :meth:`figures`, for inputs that do not go together, and for a field that only a fit
        can follow where there is no study to fit from.
    """

    plan: PlanSet
    fit: CapacityFit
    study: Study | None = None
    made: int = 0
    _fits: dict[str, CapacityFit] = field(default_factory=dict)

    def figures(self, inputs: Mapping[str, Any]) -> dict[Figure, Any]:
        """Return the figures of a plan from these inputs."""
        self.made += 1
        return figures(self._frames(inputs))

    def _frames(self, inputs: Mapping[str, Any]) -> Mapping[str, pd.DataFrame]:
        fit = self._fit_for(inputs["topology"])
        if self.study is not None:
            return self._variant(self.study, inputs).plan(fit).frames
        horizon, season = inputs["horizon"], inputs["season"]
        scenarios = [{"name": name, **given} for name, given in inputs["scenarios"].items()]
        return fit.plan(
            [Scenario.model_validate(one) for one in scenarios],
            start=horizon["start"],
            end=horizon["end"],
            season=(season["start"], season["end"]),
            seed=inputs["seed"],
            draws=inputs["draws"],
            as_of=inputs["as_of"],
            orders=OrdersPolicy.model_validate(inputs["orders"]),
            catalog=self._catalog(inputs, Catalog.builtin(self.plan.meta["catalog"]["region"])),
            overlays=OVERLAYS.validate_python(inputs["overlays"]),
        ).frames

    def _variant(self, study: Study, inputs: Mapping[str, Any]) -> Study:
        span = type(study.horizon)
        told = {
            "horizon": span.model_validate(inputs["horizon"]),
            "season": span.model_validate(inputs["season"]),
            "seed": inputs["seed"],
            "draws": inputs["draws"],
            "as_of": date.fromisoformat(inputs["as_of"]),
            "orders": OrdersPolicy.model_validate(inputs["orders"]),
            "overlays": OVERLAYS.validate_python(inputs["overlays"]),
            "scenarios": inputs["scenarios"],
        }
        parts = {"also": (), "recommendations": ()}  # no figure that is compared comes from them
        copied = study.model_copy(update={**told, **parts})
        return copied.with_catalog(self._catalog(inputs, study.read_catalog()))

    def _catalog(self, inputs: Mapping[str, Any], base: Catalog) -> Catalog:
        recorded = {
            name: {**row, **inputs["catalog"].get(name, {})}
            for name, row in self.plan.meta["catalog"]["rows"].items()
        }
        return with_recorded_rows(base, {"rows": recorded})

    def _fit_for(self, topology: Mapping[str, Any]) -> CapacityFit:
        """Return the fit of a topology: the one at hand, on it, or a new one."""
        own = inputs_of(self.plan)["topology"]
        paths = list(_leaves_that_differ(own, topology))
        if not paths:
            return self.fit
        key = canonical_json(topology)
        if key not in self._fits:
            self._fits[key] = self._refitted(Topology.model_validate(topology), paths)
        return self._fits[key]

    def _refitted(self, topology: Topology, paths: list[tuple[str, ...]]) -> CapacityFit:
        taught = [".".join(path) for path in paths if not _teaches_nothing(path)]
        if not taught:
            return self.fit.with_topology(topology)
        if self.study is not None:
            return self.study.fit(topology=topology)
        if self.fit.last_day is None and not self.fit.inputs:
            return self.fit.with_topology(topology)
        raise InputError.of(
            "diff",
            got=f"{', '.join(taught)} changed, which a fit learns from",
            expected="the study, to fit it again",
            do="Pass study=..., or add --study.",
        )


def _teaches_nothing(path: tuple[str, ...]) -> bool:
    if path[0] in TAUGHT:
        return True
    return len(path) > 2 and path[2] in TAUGHT_FIELDS.get(path[0], frozenset())  # noqa: PLR2004  kind, node, field


def _leaves_that_differ(old: Any, new: Any, at: tuple[str, ...] = ()) -> Iterable[tuple[str, ...]]:
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in sorted(set(old) | set(new)):
            yield from _leaves_that_differ(old.get(key), new.get(key), (*at, key))
    elif old != new:
        yield at
