"""Resource use per request: what a service or database consumes for the load it serves.

``RobustLinear().fit(history)`` → :class:`UsageFit`, one :class:`LinearUsage` per node and resource;
``declared_usage`` makes the same object from numbers somebody states.
"""

from __future__ import annotations

from capmodel.usage.linear import LinearUsage, Regime, declared_usage, extrapolation_log_sd
from capmodel.usage.result import UsageFit
from capmodel.usage.robust import RobustLinear
from capmodel.usage.terms import term_unit

__all__ = [
    "LinearUsage",
    "Regime",
    "RobustLinear",
    "UsageFit",
    "declared_usage",
    "extrapolation_log_sd",
    "term_unit",
]
