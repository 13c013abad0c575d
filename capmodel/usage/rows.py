"""From a history, or a frame of observations, to the rows of one node's usage regression.

This module answers: which loads explain a node's usage, and which rows may speak? Every row that
may not is counted under a reason.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np

from capmodel.errors import InputError, Problem, nearest
from capmodel.usage.hinge import hinge_column
from capmodel.usage.saturation import FAILED_SHARE, Saturation, saturated_rows
from capmodel.usage.terms import is_background, load_column, load_of, node_terms, request_load

if TYPE_CHECKING:
    import pandas as pd

    from capmodel.history import History

__all__ = [
    "Node",
    "Rows",
    "derived_load",
    "join_rows",
    "nodes_of_frame",
    "nodes_of_history",
    "select_rows",
]

LOAD_TEST_TAG: Final = "load_test"

_LATENCIES: Final = ("latency_mean_ms", "latency_p50_ms", "latency_p99_ms")

_FEWEST_FAILED: Final = 30
"""Fewest rows with many failures that can price them."""


@dataclass(frozen=True, slots=True, eq=False)
class Node:
    """What was measured of one node: columns by name (``rps``, ``rps:CLASS``, …), each (T,).

    ``day`` (T,) numbers local days from 0, -1 outside; ``dates`` (N,) are those days; both None for
    observations without time. ``load_test`` (T,) says which rows come from a load test.
    """

    service: str
    columns: Mapping[str, np.ndarray]
    day: np.ndarray | None
    dates: np.ndarray | None
    load_test: np.ndarray | None = None

    @property
    def n_rows(self) -> int:
        """How many rows there are."""
        return len(next(iter(self.columns.values()))) if self.columns else 0


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """The rows of one regression.

    Attributes
    ----------
    terms, design, y
        Names of the loads, loads (T, K), usage (T,).
    requests
        All requests or queries [1/s], shape (T,): what the range is judged by.
    day
        Day number, shape (T,), or None.
    load_test
        Which rows come from a load test, shape (T,).
    at_limit
        Which rows are saturated, shape (T,): their usage is only a lower bound.
    saturated
        Those rows counted by reason.
    dropped
        Rows left out, counted by reason.
    """

    terms: tuple[str, ...]
    design: np.ndarray
    y: np.ndarray
    requests: np.ndarray
    day: np.ndarray | None
    load_test: np.ndarray
    at_limit: np.ndarray
    saturated: Mapping[str, int]
    dropped: Mapping[str, int]

    @property
    def background(self) -> np.ndarray:
        """Which terms do not follow requests, shape (K,)."""
        return is_background(self.terms)

    @property
    def n_free(self) -> int:
        """Rows whose usage is known, and not only bounded from below."""
        return len(self.y) - int(np.count_nonzero(self.at_limit))

    @property
    def pods(self) -> np.ndarray | None:
        """Running pods [pods], shape (T,); None where they were not counted."""
        return self.design[:, self.terms.index("per_pod")] if "per_pod" in self.terms else None

    def keep(self, mask: np.ndarray, reasons: Mapping[str, int]) -> Rows:
        """Return the rows under `mask`, with the others counted by reason."""
        if mask.all():
            return self
        return replace(
            self,
            design=self.design[mask],
            y=self.y[mask],
            requests=self.requests[mask],
            day=None if self.day is None else self.day[mask],
            load_test=self.load_test[mask],
            at_limit=self.at_limit[mask],
            dropped={**self.dropped, **{reason: n for reason, n in reasons.items() if n}},
        )

    def with_term(self, term: str, load: np.ndarray) -> Rows:
        """Return the rows with one more load."""
        design = np.column_stack([self.design, load])
        return replace(self, terms=(*self.terms, term), design=design)


def nodes_of_history(history: History, services: Iterable[str] | None) -> tuple[Node, ...]:
    """Return the nodes of a history, without masked cells but with load-test rows.

    A load test is no demand, but its usage at its load is as true as any, and reaches further.
    """
    names = tuple(services) if services is not None else history.services
    unknown = [name for name in names if name not in history.services]
    if unknown:
        raise InputError([_unknown(name, history.services) for name in unknown])
    days = history.axis.days()
    masked = history.masked(keep_tags=(LOAD_TEST_TAG,))
    tests = history.tags.get(LOAD_TEST_TAG)
    nodes = []
    for name in names:
        row = history.services.index(name)
        columns = {}
        for (quantity, service_class), array in masked.values.items():
            if np.isfinite(array[row]).any():
                column = f"{quantity}:{service_class}" if service_class else quantity
                columns[column] = array[row]
        tested = None if tests is None else tests[row]
        nodes.append(Node(name, columns, days.day_of_step, days.dates, tested))
    return tuple(nodes)


def nodes_of_frame(frame: pd.DataFrame, services: Iterable[str] | None) -> tuple[Node, ...]:
    """Return the nodes of a frame of observations without time, one row per observation."""
    problems = []
    if "service" not in frame.columns:
        problems.append(
            Problem(
                where="observations",
                got=f"columns {', '.join(map(str, frame.columns)) or 'none'}",
                expected="a column service, loads (rps, replicas, …) and usage (cpu_cores, …)",
                do="Name the node of each row.",
            )
        )
    for name, advice in (
        ("time", "Read it with History.from_frame, or drop the column to ignore the order."),
        ("class", "Write one column per class, named rps:CLASS."),
    ):
        if name in frame.columns:
            problems.append(
                Problem("observations", f"a column {name}", "rows that stand alone", advice)
            )
    if frame.columns.has_duplicates:
        twice = sorted(set(frame.columns[frame.columns.duplicated()]))
        problems.append(
            Problem("observations", f"columns twice: {', '.join(twice)}", "each once", "Rename.")
        )
    if problems:
        raise InputError(problems)
    present = tuple(sorted(frame["service"].unique()))
    names = tuple(services) if services is not None else present
    unknown = [name for name in names if name not in present]
    if unknown:
        raise InputError([_unknown(name, present) for name in unknown])
    numbers = frame.select_dtypes("number")
    nodes = []
    for name in names:
        part = numbers[frame["service"] == name]
        columns = {str(c): part[c].to_numpy(dtype=float, na_value=np.nan) for c in part.columns}
        kept = {c: values for c, values in columns.items() if np.isfinite(values).any()}
        nodes.append(Node(name, kept, None, None))
    return tuple(nodes)


def _unknown(name: str, known: Iterable[str]) -> Problem:
    close = nearest(name, known)
    return Problem(
        where="services",
        got=f'"{name}", which has no rows',
        expected=f"one of: {', '.join(sorted(known))}",
        do=f'Did you mean "{close}"?' if close else "Add its history or leave it out.",
    )


def select_rows(node: Node, resource: str, *, terms: tuple[str, ...] | None = None) -> Rows:
    """Return the usable rows of a node and resource, the others counted by reason.

    Rows go only when a number in them is missing or impossible; never because usage is high or
    low, which would select on the outcome.

    Parameters
    ----------
    node, resource
        What was measured, and what is explained.
    terms
        The loads to take; None: those of :func:`capmodel.usage.terms.node_terms`, without a price
        of failures where fewer than 30 rows have more than 5 % of them.

    Raises
    ------
    InputError
        For a column that cannot be what its name says, a throttled share above 1.
    """
    names = _material(node)
    if terms is None:
        terms = tuple(node_terms(names, resource))
    saturation = _saturation(node, resource, priced="per_failed" in terms)
    n, usage = node.n_rows, node.columns[resource]
    missing = np.full(n, np.nan)
    loads = {term: load_of(term, terms, node.columns, n=n) for term in terms}
    design = np.column_stack([missing if load is None else load for load in loads.values()])
    requests = request_load(node.columns)
    everything = Rows(
        terms=terms,
        design=design,
        y=np.where(saturation.mask, saturation.bound, usage),
        requests=missing if requests is None else requests,
        day=node.day,
        load_test=np.zeros(n, dtype=bool) if node.load_test is None else node.load_test,
        at_limit=saturation.mask,
        saturated=dict(saturation.reasons),
        dropped={},
    )
    return _usable(everything)


def _saturation(node: Node, resource: str, *, priced: bool) -> Saturation:
    """Return which rows of a node are only lower bounds; memory is none: heaps fill by design.

    Failures that have a price of their own (`priced`) are work done, not work left undone.
    """
    usage = node.columns[resource]
    requests = request_load(node.columns)
    if resource == "memory_gib" or requests is None:
        return Saturation(np.zeros(len(usage), dtype=bool), usage, {})

    def known(name: str) -> np.ndarray | None:
        values = node.columns.get(name)
        return None if values is None else np.where(values >= 0, values, np.nan)

    pods, limit = known("replicas"), known("cpu_limit_cores")
    if limit is not None and pods is not None:
        limit = np.divide(limit, pods, out=np.full(len(pods), np.nan), where=pods > 0)
    load, offered = _reached_and_offered(
        np.where(requests >= 0, requests, np.nan),
        served=known("served_rps"),
        failed=known("errors_rps"),
        shed=known("shed_rps"),
    )
    latency = [name for name in _LATENCIES if name in node.columns]
    return saturated_rows(
        np.where(usage >= 0, usage, np.nan),
        load,
        pods=pods,
        limit=limit if resource == "cpu_cores" else None,
        throttled_share=known("throttled_share") if resource == "cpu_cores" else None,
        failed_rps=None if priced else _unusual_failures(known("errors_rps"), requests),
        offered_rps=offered,
        latency_ms=known(latency[0]) if latency else None,
    )


def _reached_and_offered(
    requests: np.ndarray,
    *,
    served: np.ndarray | None,
    failed: np.ndarray | None,
    shed: np.ndarray | None,
) -> tuple[np.ndarray, np.ndarray | None]:
    """Return attempts that reached the node, and those that were sent, None where nobody counted.

    Where answers were counted (``served_rps``), requests are what was sent; where requests turned
    away were (``shed_rps``), requests are what reached the node.
    """
    if served is not None:
        return served + (0.0 if failed is None else np.nan_to_num(failed)), requests
    return requests, None if shed is None else requests + np.nan_to_num(shed)


def _unusual_failures(failed: np.ndarray | None, requests: np.ndarray) -> np.ndarray | None:
    """Return failures beyond the node's ordinary share of requests [1/s]: those are answers."""
    if failed is None:
        return None
    share = np.divide(failed, requests, out=np.full(len(failed), np.nan), where=requests > 0)
    if not np.isfinite(share).any():
        return None
    return np.maximum(failed - float(np.nanmedian(share)) * requests, 0.0)


def _material(node: Node) -> set[str]:
    """Return the columns of a node, without failures that are too few to have a price."""
    names = set(node.columns)
    if {"rps", "errors_rps"} <= names:
        many = node.columns["errors_rps"] > FAILED_SHARE * node.columns["rps"]
        if np.count_nonzero(many) < _FEWEST_FAILED:
            names.discard("errors_rps")
    return names


def _usable(rows: Rows) -> Rows:
    y = rows.y
    # Column by column: along the short axis of a tall array each row would pay for a call.
    columns = dict(zip(rows.terms, rows.design.T, strict=True))
    known = {term: np.isfinite(column) for term, column in columns.items()}
    measured = [known[term] for term in rows.terms if load_column(term)]
    loads = [
        columns[t] > 0 for t, back in zip(rows.terms, rows.background, strict=True) if not back
    ]
    pods = np.ones(len(y)) if rows.pods is None else rows.pods
    tests = {
        "not_measured": ~np.isfinite(y) & ~np.logical_or.reduce(measured),
        "usage_missing": ~np.isfinite(y),
        "load_missing": ~np.logical_and.reduce(list(known.values())),
        "load_negative": np.logical_or.reduce([column < 0 for column in columns.values()]),
        "no_pods": pods <= 0,
        "no_load": ~np.logical_or.reduce(loads),
        "usage_not_positive": ~(y > 0),
    }
    if rows.day is not None:
        tests["outside_local_days"] = rows.day < 0
    usable = np.ones(len(y), dtype=bool)
    reasons = {}
    for reason, bad in tests.items():
        reasons[reason] = int(np.count_nonzero(usable & bad))
        usable &= ~bad
    return rows.keep(usable, reasons)


def derived_load(term: str, rows: Rows, *, knee_per_pod: float = math.nan) -> np.ndarray:
    """Return the load of a term that no column holds, shape (T,).

    ``per_request_above_knee``: requests beyond the knee; ``per_pod_day`` and ``per_day``: days
    since the first row, times the pods.
    """
    if term == "per_request_above_knee":
        return hinge_column(rows.requests, rows.pods, knee_per_pod)
    if rows.day is None:
        return np.zeros(len(rows.y))
    days = (rows.day - rows.day.min()).astype(float)
    return np.asarray(days if rows.pods is None else days * rows.pods)


def join_rows(production: Rows, tests: Rows) -> Rows:
    """Return production rows and load-test rows as one regression.

    Load-test rows have no day of their own: they count as the last day of production, so they stand
    in the latest regime.
    """
    day = None
    if production.day is not None:
        last = production.day.max() if len(production.day) else 0
        day = np.concatenate([production.day, np.full(len(tests.y), last)])
    dropped = dict(production.dropped)
    for reason, n in tests.dropped.items():
        dropped[f"load_test_{reason}"] = n
    return replace(
        production,
        design=np.concatenate([production.design, tests.design]),
        y=np.concatenate([production.y, tests.y]),
        requests=np.concatenate([production.requests, tests.requests]),
        day=day,
        load_test=np.concatenate([production.load_test, np.ones(len(tests.y), dtype=bool)]),
        at_limit=np.concatenate([production.at_limit, tests.at_limit]),
        dropped=dropped,
    )
