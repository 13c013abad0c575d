"""Which loads explain which resource, and what a coefficient of each means.

This module answers: what may a usage line of this resource rest on, which column carries that load,
does the load follow requests or pods, and in which unit is its price? It holds no fit.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal

import numpy as np

from capmodel.schema import QUANTITIES

__all__ = [
    "DERIVED_TERMS",
    "TERMS",
    "Term",
    "follows",
    "is_background",
    "load_column",
    "load_of",
    "modelled",
    "node_terms",
    "request_classes",
    "request_load",
    "term_unit",
]

Follows = Literal["requests", "pods", "nothing"]


@dataclass(frozen=True, slots=True)
class Term:
    """A kind of load: its column, what it grows with, what one unit is called, if it is a rate."""

    column: str
    follows: Follows
    unit: str
    rate: bool


def _terms(rows: Mapping[str, Term]) -> Mapping[str, Term]:
    return MappingProxyType(dict(rows))


TERMS: Final[Mapping[str, Term]] = _terms(
    {
        "idle": Term("", "nothing", "", rate=False),
        "per_pod": Term("replicas", "pods", "pod", rate=False),
        "per_request": Term("rps", "requests", "request", rate=True),
        "per_request_above_knee": Term("", "requests", "request", rate=True),
        "per_failed": Term("errors_rps", "requests", "failed request", rate=True),
        "per_in_flight": Term("in_flight", "requests", "request in flight", rate=False),
        "per_read": Term("qps_read", "requests", "read", rate=True),
        "per_write": Term("qps_write", "requests", "write", rate=True),
        "per_row_examined": Term("rows_examined_per_s", "requests", "row examined", rate=True),
        "per_miss": Term("buffer_pool_misses_per_s", "requests", "miss", rate=True),
        "per_connection": Term("connections", "pods", "connection", rate=False),
        "per_work": Term("work_per_s", "nothing", "unit of work", rate=True),
        "per_pod_day": Term("pod_days", "pods", "pod and day", rate=False),
        "per_day": Term("days", "nothing", "day", rate=False),
    }
)
"""Every kind of term. ``per_request``, ``per_read``, ``per_write`` and ``per_work`` may carry a
class: ``per_request:search`` rests on the column ``rps:search``. ``pod_days`` are pods times the
days since the first row of the fit, ``days`` those days."""

DERIVED_TERMS: Final = ("per_request_above_knee", "per_pod_day", "per_day")
"""Terms whose load is worked out from the rows of a fit (``capmodel.usage.rows.derived_load``)."""

_REQUESTS: Final = ("per_request", "per_read", "per_write")
"""Terms whose loads add up to a node's requests: the load that a range is judged by."""

_CPU: Final = ("cpu_cores", "network_mbps", "log_mib_per_s")
_READS: Final = ("iops_read",)
_WRITES: Final = ("iops_write", "redo_mib_per_s", "binlog_mib_per_s")


def modelled(columns: Iterable[str]) -> tuple[str, ...]:
    """Return the resources among `columns` that a line can explain, in the order of the schema.

    Threads by Little's law, connections by pools and storage by growth are no lines on load; see
    :mod:`capmodel.usage.databases`.

    Examples
    --------
    >>> modelled(["rps", "iops_read", "connections", "cpu_cores"])
    ('cpu_cores', 'iops_read')
    """
    present = set(columns)
    known = {*_CPU, "memory_gib", *_READS, *_WRITES}
    return tuple(name for name in QUANTITIES if name in present and name in known)


def node_terms(columns: Iterable[str], resource: str = "cpu_cores") -> dict[str, str]:
    """Return the terms that explain a node's use of a resource and the column of each ('' for 1).

    A node with read or write queries is a database: idle, reads and writes; reads of the device
    follow the misses of the buffer pool where those are measured, writes of device and logs the
    write queries alone. Any other node has a background per pod (idle where pods were not counted)
    and a price per request, by class where there are several; failed requests have a price of their
    own where they are measured for the node as a whole. Memory follows requests in flight where
    those, or the mean latency, are measured (Little), and open connections. Known work that is no
    request is a load beside them. Empty where no requests were measured.

    Parameters
    ----------
    columns
        Columns of the node, classes as ``rps:CLASS``.
    resource
        What is explained.

    Examples
    --------
    >>> node_terms(["replicas", "rps", "cpu_cores"])
    {'per_pod': 'replicas', 'per_request': 'rps'}
    >>> node_terms(["qps_read", "qps_write"])
    {'idle': '', 'per_read': 'qps_read', 'per_write': 'qps_write'}
    >>> node_terms(["qps_read", "qps_write", "buffer_pool_misses_per_s"], "iops_read")
    {'idle': '', 'per_miss': 'buffer_pool_misses_per_s'}
    >>> node_terms(["replicas", "rps", "latency_mean_ms"], "memory_gib")
    {'per_pod': 'replicas', 'per_in_flight': 'in_flight'}
    """
    names = set(columns)
    if any(name.partition(":")[0] in ("qps_read", "qps_write") for name in names):
        loads = _database_terms(names, resource)
        background = {"idle": ""}
    else:
        loads = _service_terms(names, resource)
        background = {"per_pod": "replicas"} if "replicas" in names else {"idle": ""}
    if not loads:
        return {}
    work = _by_class("per_work", names) if resource in _CPU else {}
    return {**background, **loads, **work}


def _by_class(term: str, names: set[str]) -> dict[str, str]:
    """Return a term's columns: by class where there are several or no total, else the total."""
    column = TERMS[term].column
    classes = sorted(name for name in names if name.startswith(f"{column}:"))
    if len(classes) > 1 or (classes and column not in names):
        return {f"{term}:{name.partition(':')[2]}": name for name in classes}
    return {term: column} if column in names else {}


def _service_terms(names: set[str], resource: str) -> dict[str, str]:
    requests = _by_class("per_request", names)
    if not requests:
        return {}
    if resource == "memory_gib":
        flight = "in_flight" in names or {"rps", "latency_mean_ms"} <= names
        loads = {"per_in_flight": "in_flight"} if flight else requests
        return {**loads, **_by_class("per_connection", names)}
    if "errors_rps" in names and list(requests) == ["per_request"]:
        return {**requests, "per_failed": "errors_rps"}
    return requests


def _database_terms(names: set[str], resource: str) -> dict[str, str]:
    reads, writes = _by_class("per_read", names), _by_class("per_write", names)
    if resource in _READS:
        return _by_class("per_miss", names) or reads
    if resource in _WRITES:
        return writes
    if resource == "memory_gib":
        return _by_class("per_connection", names) or {**reads, **writes}
    if resource == "cpu_cores" and "rows_examined_per_s" in names:
        return {**_by_class("per_row_examined", names), **writes}
    return {**reads, **writes}


def _kind(term: str) -> Term:
    return TERMS[term.partition(":")[0]]


def follows(term: str) -> Follows:
    """Return what a term's load grows with.

    Examples
    --------
    >>> follows("per_request:search"), follows("per_connection"), follows("idle")
    ('requests', 'pods', 'nothing')
    """
    return _kind(term).follows


def request_classes(terms: Sequence[str]) -> list[int]:
    """Return the places of the terms that price one class of requests each.

    Examples
    --------
    >>> request_classes(["per_pod", "per_request:pay", "per_request:quote", "per_work:batch"])
    [1, 2]
    """
    return [k for k, term in enumerate(terms) if ":" in term and follows(term) == "requests"]


def is_background(terms: Iterable[str]) -> np.ndarray:
    """Return which terms do not follow requests, shape (K,).

    Examples
    --------
    >>> is_background(["per_pod", "per_request"]).tolist()
    [True, False]
    """
    return np.array([follows(term) != "requests" for term in terms], dtype=bool)


def load_column(term: str) -> str:
    """Return the column a term's load stands in, '' for the constant 1 and for derived loads.

    Examples
    --------
    >>> load_column("per_pod"), load_column("per_request:search"), load_column("idle")
    ('replicas', 'rps:search', '')
    """
    name, _, service_class = term.partition(":")
    column = TERMS[name].column if name in TERMS else ""
    return f"{column}:{service_class}" if service_class and column else column


def load_of(
    term: str, terms: Sequence[str], columns: Mapping[str, np.ndarray], *, n: int
) -> np.ndarray | None:
    """Return the load of a term, shape (n,), None where its column is not there.

    Two columns are worked out: requests in flight are ``rps · latency`` (Little 1961) where they
    were not counted, and requests served are ``rps − errors_rps`` where failures have a term of
    their own. ``per_request_above_knee`` is the caller's: it needs the knee.
    """
    column = load_column(term)
    if not column:
        return np.ones(n) if term == "idle" else None
    if column == "in_flight" and column not in columns:
        if not {"rps", "latency_mean_ms"} <= set(columns):
            return None
        return np.asarray(columns["rps"] * columns["latency_mean_ms"] / 1000)
    if column not in columns:
        return None
    if term == "per_request" and "per_failed" in terms and "errors_rps" in columns:
        return np.asarray(columns[column] - columns["errors_rps"])
    return columns[column]


def request_load(columns: Mapping[str, np.ndarray]) -> np.ndarray | None:
    """Return a node's requests, or its queries, of all classes [1/s], shape (T,); None: none."""
    names = set(columns)
    found = [column for term in _REQUESTS for column in _by_class(term, names).values()]
    return np.sum([columns[column] for column in found], axis=0) if found else None


def term_unit(resource: str, term: str) -> str:
    """Return the unit of a coefficient.

    Examples
    --------
    >>> term_unit("cpu_cores", "per_request"), term_unit("memory_gib", "per_pod")
    ('core-s/request', 'GiB/pod')
    >>> term_unit("memory_gib", "per_request"), term_unit("iops_read", "per_miss")
    ('GiB per request/s', '1/miss')
    >>> term_unit("network_mbps", "per_request"), term_unit("redo_mib_per_s", "per_write")
    ('Mbit/request', 'MiB/write')
    """
    unit = QUANTITIES[resource].unit if resource in QUANTITIES else resource
    kind = _kind(term)
    if not kind.unit:
        return unit
    if not kind.rate:
        return f"{unit}/{kind.unit}"
    # A rate of usage over a rate of load: the seconds cancel.
    per_event = {"cores": "core-s", "1/s": "1"}.get(unit) or unit.removesuffix("/s")
    if per_event == unit:
        return f"{unit} per {kind.unit}/s"
    return f"{per_event}/{kind.unit}"
