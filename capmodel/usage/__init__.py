"""Resource use per request: what a service or database consumes for the load it serves.

``RobustLinear().fit(history)`` → :class:`UsageFit`, one :class:`LinearUsage` per node and resource;
``declared_usage`` makes the same object from numbers somebody states. Beside it: percentiles
(``QuantileLinear``), scalability (``Usl``,
``compare_scaling``), which resource binds (``binding_resource``), which load
drives it (``best_driver``), and when a disk is full (``storage_growth``).
"""

from __future__ import annotations

from capmodel.usage.arrivals import ArrivalCheck, batch_response_s, check_arrivals
from capmodel.usage.binding import Waiting, binding_resource
from capmodel.usage.binding_result import Binding
from capmodel.usage.drivers import DriverChoice, best_driver
from capmodel.usage.linear import LinearUsage, Regime, declared_usage, extrapolation_log_sd
from capmodel.usage.nonlinear import BendTest, find_bend
from capmodel.usage.quantile_linear import QuantileFit, QuantileLinear, QuantileUsage
from capmodel.usage.result import UsageFit
from capmodel.usage.robust import RobustLinear
from capmodel.usage.saturation import Saturation, saturated_rows
from capmodel.usage.scaling_models import ScalingComparison, ScalingModel, compare_scaling
from capmodel.usage.storage import StorageGrowth, storage_growth
from capmodel.usage.terms import term_unit
from capmodel.usage.usl import Usl
from capmodel.usage.usl_result import UslFit

__all__ = [
    "ArrivalCheck",
    "BendTest",
    "Binding",
    "DriverChoice",
    "LinearUsage",
    "QuantileFit",
    "QuantileLinear",
    "QuantileUsage",
    "Regime",
    "RobustLinear",
    "Saturation",
    "ScalingComparison",
    "ScalingModel",
    "StorageGrowth",
    "UsageFit",
    "Usl",
    "UslFit",
    "Waiting",
    "batch_response_s",
    "best_driver",
    "binding_resource",
    "check_arrivals",
    "compare_scaling",
    "declared_usage",
    "extrapolation_log_sd",
    "find_bend",
    "saturated_rows",
    "storage_growth",
    "term_unit",
]
