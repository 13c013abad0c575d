"""The result of asking which resource binds: figures per resource, a name or None, and words.

This module answers: how is it told which resource binds, and why the others do not? It decides
nothing; :mod:`capmodel.usage.binding` does.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from capmodel.errors import InputError, nearest

if TYPE_CHECKING:
    import pandas as pd

    from capmodel.schema import Status

__all__ = ["Binding", "ResourceUse"]


@dataclass(frozen=True, slots=True)
class ResourceUse:
    """What the rows say of one resource.

    Attributes
    ----------
    resource, limit
        The column, and its hard limit in the same unit.
    status
        ``RED`` at its limit at the largest loads; ``GREEN`` judged and below it; ``GREY`` without a
        line that could be judged, see ``reason``.
    utilization
        Median share of the limit in use at the largest loads seen [ratio].
    waiting
        Median of the waiting column at the largest loads, NaN without one.
    waited_for, saturated
        Whether that reaches its threshold; whether it does, or 95 % of the limit is in use.
    idle, per_load, low, high
        The line: usage at no load, usage per unit of load, and the slope's 95 % interval.
    r2
        Share of the variance explained, gross errors left out by the fit's own weights.
    binds_at_x, binds_at_x_low, binds_at_x_high
        Load at which the limit is reached over today's busiest, with a 95 % interval. For a GREY
        resource only the lower end is known: usage that grows in proportion to the load.
    n_used
        Rows with both usage and load.
    reason
        Why the status is GREY, or what is special; '' otherwise.
    """

    resource: str
    limit: float
    status: Status
    utilization: float
    waiting: float
    waited_for: bool
    saturated: bool
    idle: float
    per_load: float
    low: float
    high: float
    r2: float
    binds_at_x: float
    binds_at_x_low: float
    binds_at_x_high: float
    n_used: int
    reason: str

    @property
    def evidence(self) -> str:
        """The resource's figures in words."""
        if not self.n_used:
            return self.reason
        parts = [f"{self.utilization:.0%} of its limit at the largest loads"]
        if math.isfinite(self.waiting):
            parts.append(f"waiting {self.waiting:.3g}")
        if math.isfinite(self.r2):
            parts.append(f"r2 {self.r2:.2f}")
        if math.isfinite(self.binds_at_x) and not self.saturated:
            parts.append(f"limit at {self.binds_at_x:.3g} times today's busiest load")
        return ", ".join(parts)


@dataclass(frozen=True, slots=True)
class Binding:
    """Which resource binds, and why the others do not.

    ``binding`` is None where several may (``candidates``), or where nothing can be said.
    ``load_busiest`` is what ``binds_at_x`` counts from, in units of ``load``.
    """

    load: str
    load_busiest: float
    resources: tuple[ResourceUse, ...]
    candidates: tuple[str, ...]
    binding: str | None

    def get(self, resource: str) -> ResourceUse:
        """Return the figures of one resource.

        Raises
        ------
        InputError
            For a resource that was not asked about.
        """
        for use in self.resources:
            if use.resource == resource:
                return use
        known = [use.resource for use in self.resources]
        close = nearest(resource, known)
        raise InputError.of(
            "resource",
            got=f'"{resource}"',
            expected=f"one of: {', '.join(known)}",
            do=f'Did you mean "{close}"?' if close else "Give it a limit.",
        )

    @property
    def verdict(self) -> str:
        """The result in words, the binding resource first."""
        ranked = sorted(self.resources, key=lambda use: use.resource != self.binding)
        sentences = [f"{use.resource} {self._says(use)}: {use.evidence}" for use in ranked]
        if self.binding is None and not any(use.saturated for use in self.resources):
            judged = any(use.status != "GREY" for use in self.resources)
            what = "the binding resource is not certain" if judged else "nothing can be said"
            sentences.insert(0, what)
        return "; ".join(sentences)

    def _says(self, use: ResourceUse) -> str:
        if use.resource == self.binding:
            return "is the binding resource"
        if use.resource not in self.candidates:
            return "is not the binding resource"
        if use.status == "GREY":
            return f"cannot be judged ({use.reason})"
        return "may be the binding resource"

    def to_frame(self) -> pd.DataFrame:
        """Return one row per resource: status, ``binds`` (yes, no, unknown) and its figures."""
        import pandas as pd  # noqa: PLC0415  frames only

        rows = [
            {
                "resource": use.resource,
                "status": use.status,
                "binds": "yes" if use.resource == self.binding else _open(use, self.candidates),
                "limit": use.limit,
                "utilization": use.utilization,
                "waiting": use.waiting,
                "idle": use.idle,
                "per_load": use.per_load,
                "per_load_low": use.low,
                "per_load_high": use.high,
                "r2": use.r2,
                "binds_at_x": use.binds_at_x,
                "binds_at_x_low": use.binds_at_x_low,
                "binds_at_x_high": use.binds_at_x_high,
                "n_used": use.n_used,
                "reason": use.reason,
            }
            for use in self.resources
        ]
        return pd.DataFrame(rows)


def _open(use: ResourceUse, candidates: tuple[str, ...]) -> str:
    return "unknown" if use.resource in candidates else "no"
