"""Whether a scenario speaks of what exists: roots, events, edges, pools, days of the horizon."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from capmodel.errors import InputError, Problem, nearest
from capmodel.scenario.factors import ALL_EVENTS

if TYPE_CHECKING:
    from capmodel.scenario.additive import Onboarding
    from capmodel.scenario.core import Scenario
    from capmodel.topology import Topology

__all__ = ["check_names", "check_topology", "window_problems"]


def check_names(
    scenarios: Iterable[Scenario],
    *,
    roots: Iterable[str],
    events: Iterable[str],
    follows: Mapping[str, Sequence[str]] | None = None,
) -> None:
    """Refuse scenarios that speak of unknown roots or events, naming the nearest known.

    `follows` names the roots of what is called: it grows with them and has no growth of its own.

    Raises
    ------
    InputError
        With one problem for each unknown name.
    """
    roots, events = tuple(roots), tuple(events)
    problems = []
    for scenario in scenarios:
        named: dict[str, Iterable[str]] = {
            "growth_yoy_x": scenario.growth_yoy_x,
            "demand_x": scenario.demand_x,
            "peak": scenario.peak,
            **{f"lift.{event}": lifts for event, lifts in scenario.lift.items()},
            **{f"anchor.{one.root}": (one.root,) for one in scenario.anchor},
            **{
                f"{field}.{one.name}": (one.root,)
                for field in ("launches", "pushes", "onboarding")
                for one in getattr(scenario, field)
            },
        }
        for field, values in named.items():
            problems += [
                _follower(f"scenarios.{scenario.name}", field, root, follows[root])
                if follows is not None and root in follows
                else _unknown(f"scenarios.{scenario.name}.{field}", root, "driver", roots)
                for root in values
                if root not in roots
            ]
        problems += [
            _unknown(f"scenarios.{scenario.name}.lift", event, "event", events)
            for event in scenario.lift
            if event not in events
        ]
        problems += [
            _unknown(f"scenarios.{scenario.name}.lift_x", event, "event", (*events, ALL_EVENTS))
            for event in scenario.lift_x
            if event not in (*events, ALL_EVENTS)
        ]
    if problems:
        raise InputError(problems)


def _follower(scenario: str, field: str, name: str, roots: Sequence[str]) -> Problem:
    nouns = {
        "growth_yoy_x": "growth",
        "demand_x": "demand",
        "peak": "the peak",
        "lift": "lifts",
        "anchor": "the total",
    }
    noun = nouns.get(field.partition(".")[0], "what is added")
    return Problem(
        where=f"{scenario}.{field}",
        got=f'"{name}", which has calls',
        expected=f"a root: {' or '.join(roots)}",
        do=f"{name} follows {' and '.join(roots)}; state {noun} there.",
    )


def _unknown(where: str, name: str, kind: str, known: tuple[str, ...]) -> Problem:
    close = nearest(name, known)
    return Problem(
        where=where,
        got=f'unknown {kind} "{name}"',
        expected=f"one of: {', '.join(known) or 'none'}",
        do=f'Did you mean "{close}"?' if close else f"Remove it or declare the {kind}.",
    )


def window_problems(
    scenarios: Iterable[Scenario], *, start: dt.date, end: dt.date, last_day: dt.date | None
) -> list[Problem]:
    """Return what lies outside the horizon, and volume that the history may hold unsaid.

    Parameters
    ----------
    scenarios
        What is assumed.
    start, end
        Local days of the horizon, end exclusive.
    last_day
        Local day of the last row of history; None without one.
    """
    span = f"the horizon {start} to {end}"
    problems = []
    for scenario in scenarios:
        where = f"scenarios.{scenario.name}"
        for anchor in scenario.anchor:
            if anchor.start < start or anchor.end > end:
                got = f"{anchor.start} to {anchor.end}"
                problems.append(_outside(f"{where}.anchor.{anchor.root}", got, f"days in {span}"))
        for push in scenario.pushes:
            if not start <= push.start.date() < end:
                got = f"sent at {push.start.isoformat()}"
                problems.append(_outside(f"{where}.pushes.{push.name}", got, f"a time in {span}"))
        for launch in scenario.launches:
            if launch.start >= end or (launch.end is not None and launch.end <= start):
                expected = f"days that touch {span}"
                problems.append(_outside(f"{where}.launches.{launch.name}", launch.words, expected))
        for merchant in scenario.onboarding:
            place = f"{where}.onboarding.{merchant.name}"
            if merchant.start >= end:
                problems.append(_outside(place, f"from {merchant.start}", f"a day before {end}"))
            problems += _history_problems(place, merchant, last_day)
    return problems


def _outside(where: str, got: str, expected: str) -> Problem:
    return Problem(where, got, expected, "Move it, or widen the horizon.")


def _history_problems(
    where: str, merchant: Onboarding, last_day: dt.date | None
) -> Iterator[Problem]:
    """Yield what is not said, or said wrongly, about a merchant and the history."""
    since = merchant.in_history_since
    if since is not None and (last_day is None or since > last_day):
        ends = "there is none" if last_day is None else f"it ends on {last_day}"
        yield Problem(
            where=where,
            got=f"in_history_since {since}",
            expected=f"a day of the history: {ends}",
            do="Leave it out: what the history does not hold is added.",
        )
    elif since is None and last_day is not None and merchant.start <= last_day:
        yield Problem(
            where=where,
            got=f"volume from {merchant.start}, while the history runs to {last_day}",
            expected="in_history_since, which says from when the history holds it",
            do=f"State in_history_since: {merchant.start}, or a start after the history.",
        )


def check_topology(
    scenarios: Iterable[Scenario], topology: Topology, *, types: Sequence[str]
) -> None:
    """Refuse scenarios that speak of unknown pools, calls or types, naming the nearest known.

    Parameters
    ----------
    scenarios
        What is assumed.
    topology
        What exists.
    types
        Instance types and database classes that have a price.

    Raises
    ------
    InputError
        With one problem for each unknown name.
    """
    problems = []
    pools, known = tuple(topology.pools), tuple(dict.fromkeys(types))
    for scenario in scenarios:
        where = f"scenarios.{scenario.name}"
        problems += [
            _unknown(f"{where}.efficiency", change.pool, "pool", pools)
            for change in scenario.efficiency
            if change.pool not in topology.pools
        ]
        for mix in scenario.mix:
            callers = tuple(topology.calls_of(mix.node)) if mix.node in topology.order else ()
            if mix.node not in topology.order:
                called = tuple(node for node in topology.order if topology.calls_of(node))
                problems.append(_unknown(f"{where}.mix", mix.node, "node", called))
            elif mix.caller not in callers:
                problems.append(_unknown(f"{where}.mix.{mix.node}", mix.caller, "caller", callers))
        problems += [
            _unknown(f"{where}.price", price.type, "type", known)
            for price in scenario.price
            if price.type not in known
        ]
    if problems:
        raise InputError(problems)
