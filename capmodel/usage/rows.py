"""From a history, or a frame of observations, to the rows of one node's usage regression.

This module answers: which loads explain a node's usage, and which rows may speak? Every row that
may not is counted under a reason.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from capmodel.errors import InputError, Problem, nearest
from capmodel.usage.linear import BACKGROUND_TERMS

if TYPE_CHECKING:
    import pandas as pd

    from capmodel.history import History

__all__ = ["Node", "Rows", "node_terms", "nodes_of_frame", "nodes_of_history", "select_rows"]

LOAD_TEST_TAG: Final = "load_test"


@dataclass(frozen=True, slots=True, eq=False)
class Node:
    """What was measured of one node: columns by name (``rps``, ``rps:CLASS``, …), each (T,).

    ``day`` (T,) numbers local days from 0, -1 outside; ``dates`` (N,) are those days; both None for
    observations without time.
    """

    service: str
    columns: Mapping[str, np.ndarray]
    day: np.ndarray | None
    dates: np.ndarray | None


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """The rows of one regression: loads (T, K), usage (T,), day (T,) or None, and what was left."""

    terms: tuple[str, ...]
    design: np.ndarray
    y: np.ndarray
    day: np.ndarray | None
    dropped: Mapping[str, int]

    @property
    def background(self) -> np.ndarray:
        """Which terms do not follow requests, shape (K,)."""
        return np.array([term in BACKGROUND_TERMS for term in self.terms])

    def keep(self, mask: np.ndarray, reasons: Mapping[str, int]) -> Rows:
        """Return the rows under `mask`, with the others counted by reason."""
        day = None if self.day is None else self.day[mask]
        dropped = {**self.dropped, **{reason: n for reason, n in reasons.items() if n}}
        return Rows(self.terms, self.design[mask], self.y[mask], day, dropped)


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
    nodes = []
    for name in names:
        row = history.services.index(name)
        columns = {}
        for (quantity, service_class), array in masked.values.items():
            if np.isfinite(array[row]).any():
                column = f"{quantity}:{service_class}" if service_class else quantity
                columns[column] = array[row]
        nodes.append(Node(name, columns, days.day_of_step, days.dates))
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


def node_terms(columns: Iterable[str]) -> dict[str, str]:
    """Return the terms that explain a node's usage and the column of each ('' for 1).

    A node with read or write queries is a database: idle, per_read, per_write. Any other has a
    background per pod (idle where pods were not counted) and a cost per request, by class where
    there are several. Empty where no requests were measured.

    Examples
    --------
    >>> node_terms(["replicas", "rps", "cpu_cores"])
    {'per_pod': 'replicas', 'per_request': 'rps'}
    >>> node_terms(["qps_read", "qps_write"])
    {'idle': '', 'per_read': 'qps_read', 'per_write': 'qps_write'}
    """
    names = set(columns)
    queries = {f"per_{kind}": f"qps_{kind}" for kind in ("read", "write") if f"qps_{kind}" in names}
    if queries:
        return {"idle": "", **queries}
    classes = sorted(name for name in names if name.startswith("rps:"))
    if len(classes) > 1 or (classes and "rps" not in names):
        requests = {f"per_request:{name.partition(':')[2]}": name for name in classes}
    elif "rps" in names:
        requests = {"per_request": "rps"}
    else:
        return {}
    background = {"per_pod": "replicas"} if "replicas" in names else {"idle": ""}
    return {**background, **requests}


def select_rows(node: Node, resource: str) -> Rows:
    """Return the usable rows of a node and resource, the others counted by reason.

    Rows go only when a number in them is missing or impossible; never because usage is high or
    low, which would select on the outcome.
    """
    columns = node_terms(node.columns)
    y = node.columns[resource]
    design = np.column_stack([node.columns[c] if c else np.ones(len(y)) for c in columns.values()])
    known = np.isfinite(design)
    loads = design[:, [c not in ("", "replicas") for c in columns.values()]]
    pods = design[:, list(columns).index("per_pod")] if "per_pod" in columns else np.ones(len(y))
    tests = {
        "not_measured": ~np.isfinite(y)
        & ~known[:, [c != "" for c in columns.values()]].any(axis=1),
        "usage_missing": ~np.isfinite(y),
        "load_missing": ~known.all(axis=1),
        "load_negative": (design < 0).any(axis=1),
        "no_pods": pods <= 0,
        "no_load": ~(loads > 0).any(axis=1),
        "usage_not_positive": ~(y > 0),
    }
    if node.day is not None:
        tests["outside_local_days"] = node.day < 0
    usable = np.ones(len(y), dtype=bool)
    reasons = {}
    for reason, bad in tests.items():
        reasons[reason] = int(np.count_nonzero(usable & bad))
        usable &= ~bad
    everything = Rows(tuple(columns), design, y, node.day, {})
    return everything.keep(usable, reasons)
