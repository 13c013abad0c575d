"""From covers to a mix that holds: repair, shrink, exchange, and the plain alternatives.

This module answers: which node counts per type and zone hold every pod at the least weight found?
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from capmodel.capacity.mix.cover import (
    CoverRows,
    ZoneGroups,
    binding_rules,
    demand_of,
    keeps_rules,
    objective_of,
    solve_cover,
    with_prices,
)
from capmodel.capacity.mix.packing import Packer
from capmodel.capacity.mix.single import SingleType
from capmodel.capacity.mix.spec import Floats, Ints, Pool

__all__ = ["Answer", "Search", "find_mix"]

_ROUNDS: Final = 40
_SHRINKS: Final = 3
_EXCHANGES: Final = 60
"""Exchanges of nodes that are packed to see whether they hold, at most."""
_SMALL_ZONE: Final = 16
"""Nodes in a zone up to which exchanges may pay: beyond, one node is a small part of the whole."""
_CLOSE: Final = 2e-3
"""Distance from the proven bound [ratio] at which an answer is good enough."""
_RAISE: Final = 0.5
_OVERFULL: Final = 1e-6
_TIE: Final = 1e-9


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """Counts of each zone group (G, T) that hold every pod, and their objective."""

    counts: Ints
    objective: float
    origin: Literal["mix", "single type", "today"]


@dataclass(frozen=True, slots=True, eq=False)
class Search:
    """The best answer, None where none was found; rounds of repair; the rule in the way."""

    answer: Answer | None
    rounds: int
    bound: float
    infeasible: str


def find_mix(
    pool: Pool, rows: CoverRows, groups: ZoneGroups, packer: Packer, single: SingleType | None
) -> Search:
    """Return the lightest of the mix, the best single type and today's nodes, changes weighed."""
    found = _repair(pool, rows, groups, packer)
    answers = [*_plain_answers(pool, groups, packer, single)]
    if found.answer is not None:
        answers.append(_exchange(pool, rows, groups, packer, found.answer))
    if not answers:
        return found
    best = answers[0]
    for one in answers[1:]:
        if one.objective < best.objective * (1 - _TIE):
            best = one
    return Search(answer=best, rounds=found.rounds, bound=found.bound, infeasible="")


def _plain_answers(
    pool: Pool, groups: ZoneGroups, packer: Packer, single: SingleType | None
) -> list[Answer]:
    """Return today's nodes and the single type, where they keep the rules and hold every pod."""
    plain: list[tuple[Literal["single type", "today"], Ints]] = []
    if pool.today.any() and (pool.today[groups.first][groups.of_zone] == pool.today).all():
        plain.append(("today", pool.today[groups.first]))
    if single is not None:
        alone = np.zeros((groups.size.size, len(pool.types)), dtype=np.int64)
        alone[:, single.kind] = single.nodes
        plain.append(("single type", alone))
    return [
        Answer(counts=counts, objective=objective_of(pool, counts, groups), origin=origin)
        for origin, counts in plain
        if keeps_rules(pool, counts, groups) and _holds(packer, counts)
    ]


def _holds(packer: Packer, counts: Ints) -> bool:
    return all(packer.pack(row).holds for row in counts)


def _repair(pool: Pool, rows: CoverRows, groups: ZoneGroups, packer: Packer) -> Search:
    """Cover, divide, place; where division fails add its prices, where placing fails more demand.

    Demand is raised by half of what found no node, by more where that changes nothing.
    """
    raised = low = np.zeros((groups.size.size, len(rows.per_pod)))
    before: Ints | None = None
    bound, factor, number = -np.inf, _RAISE, 0
    for number in range(1, _ROUNDS + 1):
        demand = demand_of(pool, rows, groups)
        cover = solve_cover(pool, rows, demand=demand + raised, groups=groups)
        bound = bound if raised.any() else max(bound, cover.bound)
        if cover.counts is None:
            reason = _reason(pool, rows, groups, demand + raised, proven=cover.infeasible)
            return Search(None, number, bound, reason)
        priced = _with_overfull(pool, rows, packer, cover.counts)
        if priced is not rows:
            more = len(priced.per_pod) - len(rows.per_pod)
            raised, low = (np.pad(one, ((0, 0), (0, more))) for one in (raised, low))
            rows = priced
            continue
        left = np.array([packer.pack(row).left for row in cover.counts])
        if not left.any():
            answer = _answer(pool, groups, cover.counts)
            if answer.objective > bound * (1 + _CLOSE):
                answer = _shrink(pool, rows, groups, packer, answer=answer, raises=(low, raised))
            return Search(answer, number, bound, "")
        same = before is not None and bool((before == cover.counts).all())
        factor = 2 * factor if same else _RAISE
        before, low = cover.counts, raised
        raised = raised + factor * (left @ rows.per_pod.T)
    return Search(None, number, bound, f"no placement of every pod in {_ROUNDS} rounds of repair")


def _with_overfull(pool: Pool, rows: CoverRows, packer: Packer, counts: Ints) -> CoverRows:
    """Return the rows with those that say why counts (G, T) cannot hold the pods, if so."""
    for row in np.unique(counts, axis=0):
        division = packer.divide(row)
        if division.fullest > 1 + _OVERFULL:
            rows = with_prices(pool, rows, division.prices)
    return rows


def _reason(
    pool: Pool, rows: CoverRows, groups: ZoneGroups, demand: Floats, *, proven: bool
) -> str:
    if proven:
        return binding_rules(pool, rows, demand=demand, groups=groups)
    return "no whole counts found within the limit of branches"


def _answer(pool: Pool, groups: ZoneGroups, counts: Ints) -> Answer:
    return Answer(counts=counts, objective=objective_of(pool, counts, groups), origin="mix")


def _shrink(
    pool: Pool,
    rows: CoverRows,
    groups: ZoneGroups,
    packer: Packer,
    *,
    answer: Answer,
    raises: tuple[Floats, Floats],
) -> Answer:
    """Halve the last raise while less of it does: the first of two failed, the second holds."""
    demand = demand_of(pool, rows, groups)
    low, high = raises
    for _ in range(_SHRINKS if (high > low).any() else 0):
        middle = (low + high) / 2
        counts = solve_cover(pool, rows, demand=demand + middle, groups=groups).counts
        if counts is not None and _holds(packer, counts):
            high = middle
            one = _answer(pool, groups, counts)
            answer = one if one.objective < answer.objective else answer
        else:
            low = middle
    return answer


def _exchange(
    pool: Pool, rows: CoverRows, groups: ZoneGroups, packer: Packer, answer: Answer
) -> Answer:
    """Take away one or two nodes of a small zone and add up to two others, while that saves."""
    tries = _EXCHANGES
    better: Answer | None = answer
    while better is not None and better.counts.sum(axis=1).max() <= _SMALL_ZONE:
        answer, better = better, None
        for one in _cheaper(pool, rows, groups, answer):
            if not tries:
                return answer
            tries -= 1
            if _holds(packer, one.counts):
                better = one
                break
    return answer


def _cheaper(pool: Pool, rows: CoverRows, groups: ZoneGroups, answer: Answer) -> list[Answer]:
    """Return the neighbours that cover the pods at less, in order of their objective."""
    demand = rows.per_pod @ pool.pods
    found = []
    for group, counts in enumerate(answer.counts):
        steps = _steps(pool, counts)
        enough = (rows.per_node @ (counts + steps).T >= demand[:, None] * (1 - _TIE)).all(axis=0)
        for step in steps[enough & (steps @ pool.weight < pool.rules.change_weight * 4 + 0.0)]:
            moved = answer.counts.copy()
            moved[group] += step
            one = _answer(pool, groups, moved)
            if one.objective < answer.objective * (1 - _TIE) and keeps_rules(pool, moved, groups):
                found.append(one)
    return sorted(found, key=lambda one: (one.objective, one.counts.tolist()))


def _steps(pool: Pool, counts: Ints) -> Ints:
    """Return every change of a zone's counts by one or two nodes less and up to two more (X, T)."""
    unit = np.eye(counts.size, dtype=np.int64)
    used, allowed = np.flatnonzero(counts), np.flatnonzero(pool.allowed)
    take = [np.zeros_like(counts), *(unit[i] for i in used)]
    take += [unit[i] + unit[j] for i, j in itertools.combinations_with_replacement(used, 2)]
    give = [np.zeros_like(counts), *(unit[i] for i in allowed)]
    give += [unit[i] + unit[j] for i, j in itertools.combinations_with_replacement(allowed, 2)]
    steps = (np.array(give)[None] - np.array(take)[:, None]).reshape(-1, counts.size)
    steps = np.unique(steps, axis=0)
    return np.asarray(steps[(counts + steps >= 0).all(axis=1)])
