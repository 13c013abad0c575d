"""Assumptions about the future: scenarios with a probability, failures as overlays."""

from capmodel.scenario.core import (
    Efficiency,
    LogNormal,
    Scenario,
    assumed_lift,
    check_names,
    day_factor,
    mixture_weights,
    with_window_lifts,
)
from capmodel.scenario.overlays import (
    ColdCacheOverlay,
    LoseZonesOverlay,
    Overlay,
    RetryStormOverlay,
    check_overlays,
)

__all__ = [
    "ColdCacheOverlay",
    "Efficiency",
    "LogNormal",
    "LoseZonesOverlay",
    "Overlay",
    "RetryStormOverlay",
    "Scenario",
    "assumed_lift",
    "check_names",
    "check_overlays",
    "day_factor",
    "mixture_weights",
    "with_window_lifts",
]
