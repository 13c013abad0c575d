"""Plans: study and model in, capacity, cost, orders and risk out, explained and saved."""

from __future__ import annotations

from capmodel.plan.baseline import Baseline, load_baseline
from capmodel.plan.model import CapacityFit, CapacityModel
from capmodel.plan.planset import PlanSet, load_plan
from capmodel.plan.rules import GateRules
from capmodel.plan.study import Study

__all__ = [
    "Baseline",
    "CapacityFit",
    "CapacityModel",
    "GateRules",
    "PlanSet",
    "Study",
    "load_baseline",
    "load_plan",
]
