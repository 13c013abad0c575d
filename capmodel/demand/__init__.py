"""Demand: what arrives, as paths of the future, from history, from a given forecast, or declared.

Three doors lead to the same :class:`RootPaths`: :class:`Batched` fits a history,
:class:`GivenDemand` takes anybody's p10, p50 and p90, and :func:`declared_roots` takes a peak
minute that somebody states.
"""

from __future__ import annotations

from capmodel.demand.batched import Batched
from capmodel.demand.fit import DemandFit
from capmodel.demand.given import GivenDemand, declared_roots
from capmodel.demand.paths import DemandForecast, RootPaths

__all__ = [
    "Batched",
    "DemandFit",
    "DemandForecast",
    "GivenDemand",
    "RootPaths",
    "declared_roots",
]
