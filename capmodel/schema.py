"""Quantities and units, findings, and the small vocabulary that every layer shares.

This module answers: what may a column be called, what unit does it carry, and how is something
noteworthy about the data reported? It knows no model and no file.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "BASES",
    "DEMAND_QUANTITIES",
    "MIXTURE",
    "QUANTITIES",
    "SHED_OF",
    "STATUSES",
    "Basis",
    "Finding",
    "Findings",
    "Quantity",
    "Status",
    "order_statistic",
    "rng_for",
    "worst_basis",
]

Basis = Literal["measured", "fitted", "censored", "borrowed", "assumed"]
Status = Literal["GREEN", "AMBER", "RED", "GREY"]
Severity = Literal["error", "warning", "info"]

BASES: Final[tuple[Basis, ...]] = ("measured", "fitted", "censored", "borrowed", "assumed")
"""Evidence in falling order of trust; ``censored``: fitted on values that were lower bounds."""
STATUSES: Final[tuple[Status, ...]] = ("RED", "AMBER", "GREY", "GREEN")
MIXTURE: Final = "mixture"
"""Stands for all scenarios by their probabilities in a frame's column ``scenario``."""


@dataclass(frozen=True, slots=True)
class Quantity:
    """A measured quantity: the column's name (ending in its unit), unit, title and kind."""

    name: str
    unit: str
    title: str
    kind: Literal["demand", "usage", "state", "quality"]


def _quantities(*rows: Quantity) -> Mapping[str, Quantity]:
    return MappingProxyType({row.name: row for row in rows})


QUANTITIES: Final[Mapping[str, Quantity]] = _quantities(
    Quantity("per_min", "1/min", "business events per minute", "demand"),
    Quantity("rps", "1/s", "requests per second", "demand"),
    Quantity("shed_per_min", "1/min", "business events turned away per minute", "quality"),
    Quantity("shed_rps", "1/s", "requests turned away unserved", "quality"),
    Quantity(
        "served_rps", "1/s", "requests answered per second, where rps are those sent", "quality"
    ),
    Quantity("errors_rps", "1/s", "failed requests per second", "quality"),
    Quantity("latency_mean_ms", "ms", "mean latency", "quality"),
    Quantity("latency_p50_ms", "ms", "median latency", "quality"),
    Quantity("latency_p99_ms", "ms", "99th percentile latency", "quality"),
    Quantity("cpu_cores", "cores", "busy cores", "usage"),
    Quantity("memory_gib", "GiB", "memory in use", "usage"),
    Quantity("network_mbps", "Mbit/s", "network traffic", "usage"),
    Quantity("log_mib_per_s", "MiB/s", "logs and traces written", "usage"),
    Quantity("replicas", "pods", "running pods", "state"),
    Quantity("cpu_limit_cores", "cores", "CPU limit, summed over pods", "state"),
    Quantity(
        "throttled_share", "ratio", "share of periods in which the CPU was throttled", "quality"
    ),
    Quantity("in_flight", "requests", "requests in flight", "state"),
    Quantity("work_per_s", "1/s", "known work that is no request", "state"),
    Quantity("qps_read", "1/s", "read queries per second", "demand"),
    Quantity("qps_write", "1/s", "write queries per second", "demand"),
    Quantity("rows_examined_per_s", "1/s", "rows that queries examined per second", "state"),
    Quantity("buffer_pool_misses_per_s", "1/s", "pages read from disk per second", "state"),
    Quantity("threads_running", "threads", "queries being executed", "usage"),
    Quantity("connections", "connections", "open database connections", "usage"),
    Quantity("iops_read", "1/s", "read operations per second", "usage"),
    Quantity("iops_write", "1/s", "write operations per second", "usage"),
    Quantity("redo_mib_per_s", "MiB/s", "redo log written", "usage"),
    Quantity("binlog_mib_per_s", "MiB/s", "binary log written", "usage"),
    Quantity("storage_gib", "GiB", "storage in use", "usage"),
)
"""Every column that a history may carry; contracts, plots and reports read this table."""

DEMAND_QUANTITIES: Final[tuple[str, ...]] = ("per_min", "rps")
"""The quantity that stands for a node's demand: the first of these that the node has."""

SHED_OF: Final[Mapping[str, str]] = MappingProxyType({"per_min": "shed_per_min", "rps": "shed_rps"})
"""What was turned away, by the demand quantity that does not count it."""


def worst_basis(bases: Iterable[Basis]) -> Basis:
    """Return the weakest evidence of several: a chain is as strong as its weakest factor.

    Examples
    --------
    >>> worst_basis(["measured", "assumed", "fitted"])
    'assumed'
    """
    return BASES[max((BASES.index(basis) for basis in bases), default=0)]


@dataclass(frozen=True, slots=True)
class Finding:
    """Something noteworthy about the input: reported, never silently mended.

    ``severity`` is ``"error"`` for what disqualifies the data (fit refuses unless the code is
    accepted by name), ``"warning"`` for what is masked or doubtful, ``"info"`` for the rest.
    ``service`` is '' for the whole input. ``data`` holds plain values (dates as ISO text).
    """

    code: str
    severity: Severity
    service: str
    message: str
    data: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Findings:
    """An ordered, immutable collection of findings; prints as a table."""

    items: tuple[Finding, ...] = ()

    def __iter__(self) -> Iterator[Finding]:
        return iter(self.items)

    def __len__(self) -> int:
        return len(self.items)

    def __add__(self, other: Findings) -> Findings:
        return Findings(self.items + other.items)

    @property
    def codes(self) -> tuple[str, ...]:
        """The distinct codes, in order of first appearance."""
        return tuple(dict.fromkeys(item.code for item in self.items))

    def errors(self, accept: Iterable[str] = ()) -> tuple[Finding, ...]:
        """Return the disqualifying findings whose code is not accepted."""
        accepted = set(accept)
        return tuple(f for f in self.items if f.severity == "error" and f.code not in accepted)

    def to_frame(self) -> pd.DataFrame:
        """Return one row per finding: code, severity, service, message, data."""
        import pandas as pd  # noqa: PLC0415  kept out of import time

        columns = ["code", "severity", "service", "message", "data"]
        rows = [[getattr(item, c) for c in columns] for item in self.items]
        return pd.DataFrame(rows, columns=columns)

    def _repr_html_(self) -> str:
        return self.to_frame().to_html(index=False)

    def __str__(self) -> str:
        if not self.items:
            return "no findings"
        return self.to_frame().drop(columns="data").to_string(index=False)


def rng_for(seed: int, *names: str) -> np.random.Generator:
    """Return the random stream of these names: adding another name changes no other stream.

    Parameters
    ----------
    seed
        The user's seed, recorded in the plan.
    *names
        What the stream is for, for example ``("day",)`` or ``("shock", "checkouts")``.

    Examples
    --------
    >>> float(rng_for(7, "day").random()) == float(rng_for(7, "day").random())
    True
    """
    digest = hashlib.sha256("\x1f".join(names).encode()).digest()
    words = np.frombuffer(digest[:16], dtype="<u4").astype(np.uint32)
    return np.random.default_rng([seed, *words.tolist()])


def order_statistic(values: np.ndarray, q: float, weights: np.ndarray | None = None) -> int:
    """Return the index of the order statistic that is the `q` quantile of weighted draws.

    The quantile is the smallest value whose cumulative weight reaches `q` (Hyndman & Fan 1996,
    definition 1, generalised to weights). It is one of the draws, so every number at that quantile
    can be explained by one path from demand to usage.

    Parameters
    ----------
    values
        Draws, shape (draws,).
    q
        Probability in (0, 1).
    weights
        Weight of each draw, shape (draws,), summing to anything positive; None means equal.

    Examples
    --------
    >>> order_statistic(np.array([3.0, 1.0, 2.0]), 0.5)
    2
    """
    if weights is None:
        position = min(max(int(np.ceil(q * len(values) - 1e-9)) - 1, 0), len(values) - 1)
        # The first of equal values, as a stable sort would order them.
        value = np.partition(values, position)[position]
        equal = np.flatnonzero(values == value)
        return int(equal[position - np.count_nonzero(values < value)])
    order = np.argsort(values, kind="stable")
    cumulative = np.cumsum(weights[order])
    position = int(np.searchsorted(cumulative, q * cumulative[-1] * (1 - 1e-12), side="left"))
    return int(order[min(position, len(values) - 1)])
