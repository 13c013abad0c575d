"""An estate that changes on dates: cores per request before and after, day by day.

This module answers: which pods follow from load on a day on which a service burns fewer (or more)
cores per request than today? Days of one state form a phase; each phase is evaluated with its own
estate, and the days are put side by side again.

Shapes: D draws, N local days.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import wraps
from typing import TYPE_CHECKING, Concatenate, ParamSpec, TypeVar, cast

import numpy as np

from capmodel.capacity.estate import Estate, PodRates, rate_under
from capmodel.capacity.use import PodUse, ServiceUse

if TYPE_CHECKING:
    from capmodel.capacity.loads import Loads
    from capmodel.topology import Hold

__all__ = ["Improved", "by_phase", "estate_under", "with_phases"]

P = ParamSpec("P")
Result = TypeVar("Result")
ALL = slice(None)


@dataclass(frozen=True, slots=True, eq=False)
class Improved:
    """A service that burns other cores per request than today."""

    uses: tuple[PodUse, ...]
    by_row: Mapping[Hold, np.ndarray]
    """Pods per unit of load under each row, shape (D, 1) [pods per 1/s]."""


def with_phases(estate: Estate, changes: Iterable[Mapping[str, np.ndarray]]) -> Estate:
    """Return the estate with every state of its services that some scenario brings.

    A service that no number of pods keeps in one state is left out in all of them, so that its
    nodes do not come and go.

    Parameters
    ----------
    estate
        As it stands today.
    changes
        One mapping per scenario: service to cores on each day / today's, shape (N,) [ratio].
    """
    policy = estate.topology.policy
    states = sorted({(n, float(x)) for one in changes for n, xs in one.items() for x in set(xs)})
    improved: dict[tuple[str, float], Improved] = {}
    infeasible = dict(estate.rates.infeasible)
    for name, x in states:
        service = estate.services[name]
        if x == 1.0 or not any(use.resource == "cpu_cores" for use in service.uses):
            continue  # pods that follow from nothing but today's count know no cores
        changed = replace(service, uses=tuple(_scaled(use, x) for use in service.uses))
        rows = [hold for node, hold in estate.rates.by_row if node == name]
        improved[name, x] = Improved(
            uses=changed.uses, by_row={hold: rate_under(changed, hold, policy) for hold in rows}
        )
        over = _infeasible(changed, rows, estate)
        if over is not None:
            infeasible.setdefault(name, over)
    rates = PodRates(by_row=estate.rates.by_row, infeasible=infeasible)
    return replace(estate, rates=rates, improved=improved)


def _scaled(use: PodUse, x: float) -> PodUse:
    """Return a pod's use with cores per request and of an idle pod times x."""
    if use.resource != "cpu_cores":
        return use
    return replace(
        use,
        per_request=use.per_request * x,
        per_pod=use.per_pod * x,
        per_request_draws=use.per_request_draws * x,
        per_pod_draws=use.per_pod_draws * x,
    )


def _infeasible(
    service: ServiceUse, rows: Sequence[Hold], estate: Estate
) -> tuple[PodUse, Hold] | None:
    for hold in rows:
        targets = service.targets(hold, estate.topology.policy)
        use = service.infeasible(targets, hard=hold.is_hard)
        if use is not None:
            return use, hold
    return None


def estate_under(estate: Estate, state: Mapping[str, float]) -> Estate:
    """Return the estate with services in a state: service to cores / today's [ratio]."""
    found = {
        name: estate.improved[name, x] for name, x in state.items() if (name, x) in estate.improved
    }
    if not found:
        return estate
    services = {
        name: replace(service, uses=found[name].uses) if name in found else service
        for name, service in estate.services.items()
    }
    by_row = dict(estate.rates.by_row)
    by_row |= {(name, hold): r for name, one in found.items() for hold, r in one.by_row.items()}
    return replace(estate, services=services, rates=replace(estate.rates, by_row=by_row))


def phases_of(loads: Loads) -> Iterator[tuple[slice, dict[str, float]]]:
    """Yield runs of days with the same state of every service, in order."""
    days = len(loads.dates)
    states = np.stack([*loads.cores_x.values()]) if loads.cores_x else np.ones((0, days))
    cuts = 1 + np.flatnonzero((states[:, 1:] != states[:, :-1]).any(axis=0))
    for start, end in zip([0, *cuts.tolist()], [*cuts.tolist(), days], strict=True):
        state = {name: float(x[start]) for name, x in loads.cores_x.items()}
        yield slice(start, end), state


def by_phase(
    function: Callable[Concatenate[Estate, Loads, P], Result],
) -> Callable[Concatenate[Estate, Loads, P], Result]:
    """Let a function of estate and loads see one state of the estate at a time.

    The function takes (estate, loads, ...) and returns arrays over days, shape (D, N), alone, in
    lists or in mappings. Other arguments that hold such arrays are cut to the phase's days. Loads
    without dated changes cost nothing.
    """

    @wraps(function)
    def phased(estate: Estate, loads: Loads, /, *args: P.args, **kwargs: P.kwargs) -> Result:
        if not loads.cores_x:
            return function(estate, loads, *args, **kwargs)
        total, parts = len(loads.dates), []
        for days, state in phases_of(loads):
            here = replace(estate_under(estate, state), surge=estate.surge[days])
            cut_args = [_cut(one, days, total) for one in args]
            cut_kwargs = {name: _cut(one, days, total) for name, one in kwargs.items()}
            part = replace(loads.take(ALL, days), cores_x={})
            made = function(here, part, *cut_args, **cut_kwargs)  # type: ignore[arg-type]
            parts.append((days.stop - days.start, made))
        return cast("Result", _joined(parts))

    return phased


def _cut(value: object, days: slice, total: int) -> object:
    """Return an argument's days, where it has any."""
    if isinstance(value, np.ndarray):
        whole = value.ndim > 1 and value.shape[1] == total
        return value[:, days] if whole else value
    if isinstance(value, Mapping):
        return {key: _cut(one, days, total) for key, one in value.items()}
    return value


def _joined(parts: Sequence[tuple[int, object]]) -> object:
    """Return results of consecutive phases, each of so many days, as one."""
    first = parts[0][1]
    if isinstance(first, np.ndarray):
        arrays = [(n, cast("np.ndarray", one)) for n, one in parts]
        rows = max(len(one) for _, one in arrays)
        return np.concatenate([np.broadcast_to(one, (rows, n)) for n, one in arrays], axis=1)
    if isinstance(first, Mapping):
        return {
            key: _joined([(n, cast("Mapping[object, object]", one)[key]) for n, one in parts])
            for key in first
        }
    listed = [(n, cast("Sequence[object]", one)) for n, one in parts]
    joined = [_joined([(n, one[k]) for n, one in listed]) for k in range(len(listed[0][1]))]
    return tuple(joined) if isinstance(first, tuple) else joined
