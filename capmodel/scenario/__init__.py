"""Assumptions about the future: scenarios with a probability, failures as overlays."""

from capmodel.scenario.additive import (
    Added,
    Launch,
    Onboarding,
    Push,
    Timetable,
    added_to,
    sharpened,
    with_added,
)
from capmodel.scenario.anchor import Anchor, solve_anchors
from capmodel.scenario.changes import CallMix, Efficiency, Price, product_of
from capmodel.scenario.checks import check_names, check_topology, window_problems
from capmodel.scenario.core import LogNormal, Scenario, mixture_weights
from capmodel.scenario.factors import assumed_lift, day_factor, with_window_lifts
from capmodel.scenario.grids import Grid, grid
from capmodel.scenario.overlays import (
    ColdCacheOverlay,
    LoseZonesOverlay,
    Overlay,
    RetryStormOverlay,
    check_overlays,
)

__all__ = [
    "Added",
    "Anchor",
    "CallMix",
    "ColdCacheOverlay",
    "Efficiency",
    "Grid",
    "Launch",
    "LogNormal",
    "LoseZonesOverlay",
    "Onboarding",
    "Overlay",
    "Price",
    "Push",
    "RetryStormOverlay",
    "Scenario",
    "Timetable",
    "added_to",
    "assumed_lift",
    "check_names",
    "check_overlays",
    "check_topology",
    "day_factor",
    "grid",
    "mixture_weights",
    "product_of",
    "sharpened",
    "solve_anchors",
    "window_problems",
    "with_added",
    "with_window_lifts",
]
