"""Other people's demand models behind our own face, to compare with and to use.

Each is a frozen specification whose ``fit`` returns an :class:`AdaptedFit`: Prophet, three
classical models of statsmodels, and two plain rules. A library is imported when its model is
fitted.

>>> from capmodel.demand.adapters import SeasonalNaive
>>> SeasonalNaive(period_hours=24)
SeasonalNaive(period_hours=24)
"""

from __future__ import annotations

from capmodel.demand.adapters.base import AdaptedFit
from capmodel.demand.adapters.classical import Ets, StlEts, UnobservedComponents
from capmodel.demand.adapters.naive import LastYearAligned, SeasonalNaive
from capmodel.demand.adapters.prophet import Prophet

__all__ = [
    "AdaptedFit",
    "Ets",
    "LastYearAligned",
    "Prophet",
    "SeasonalNaive",
    "StlEts",
    "UnobservedComponents",
]
