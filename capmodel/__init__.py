"""Capacity modeling and forecasting: what breaks first, when, and what to order by which date.

The names below are the public face. Each is imported from its module when it is first used, so that
``import capmodel`` costs next to nothing and a command loads only what it needs.

Examples
--------
>>> import capmodel as cm
>>> cm.Scenario(name="base", growth_yoy_x={"checkouts": 1.25}).name
'base'
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from capmodel import laws, retro
    from capmodel.backtest.replay import replay
    from capmodel.catalog import Catalog
    from capmodel.commitments import PurchasePolicy
    from capmodel.demand import Batched, GivenDemand
    from capmodel.demand.adapters import (
        Ets,
        LastYearAligned,
        Prophet,
        SeasonalNaive,
        StlEts,
        UnobservedComponents,
    )
    from capmodel.demand.pool import AutoregressivePool
    from capmodel.errors import CapmodelError, InputError, ModelError
    from capmodel.events import Events
    from capmodel.history import History
    from capmodel.ledger import Ledger
    from capmodel.orders import OrdersPolicy
    from capmodel.plan import (
        Baseline,
        CapacityFit,
        CapacityModel,
        GateRules,
        PlanSet,
        Study,
        load_baseline,
        load_plan,
    )
    from capmodel.scenario import (
        Anchor,
        CallMix,
        ColdCacheOverlay,
        Efficiency,
        Launch,
        LogNormal,
        LoseZonesOverlay,
        Onboarding,
        Price,
        Push,
        RetryStormOverlay,
        Scenario,
        grid,
    )
    from capmodel.schema import Finding, Findings
    from capmodel.sources import (
        read_csv,
        read_krr_csv,
        read_krr_json,
        read_parquet,
        read_vpa,
    )
    from capmodel.topology import Topology
    from capmodel.usage import QuantileLinear, RobustLinear, Usl

    __version__: str

__all__ = [
    "Anchor",
    "AutoregressivePool",
    "Baseline",
    "Batched",
    "CallMix",
    "CapacityFit",
    "CapacityModel",
    "CapmodelError",
    "Catalog",
    "ColdCacheOverlay",
    "Efficiency",
    "Ets",
    "Events",
    "Finding",
    "Findings",
    "GateRules",
    "GivenDemand",
    "History",
    "InputError",
    "LastYearAligned",
    "Launch",
    "Ledger",
    "LogNormal",
    "LoseZonesOverlay",
    "ModelError",
    "Onboarding",
    "OrdersPolicy",
    "PlanSet",
    "Price",
    "Prophet",
    "PurchasePolicy",
    "Push",
    "QuantileLinear",
    "RetryStormOverlay",
    "RobustLinear",
    "Scenario",
    "SeasonalNaive",
    "StlEts",
    "Study",
    "Topology",
    "UnobservedComponents",
    "Usl",
    "__version__",
    "grid",
    "laws",
    "load_baseline",
    "load_plan",
    "read_csv",
    "read_krr_csv",
    "read_krr_json",
    "read_parquet",
    "read_vpa",
    "replay",
    "retro",
]

_MODULE_OF: Final = {
    "Anchor": "scenario",
    "AutoregressivePool": "demand.pool",
    "Baseline": "plan",
    "Batched": "demand",
    "CallMix": "scenario",
    "CapacityFit": "plan",
    "CapacityModel": "plan",
    "CapmodelError": "errors",
    "Catalog": "catalog",
    "ColdCacheOverlay": "scenario",
    "Efficiency": "scenario",
    "Ets": "demand.adapters",
    "Events": "events",
    "Finding": "schema",
    "Findings": "schema",
    "GateRules": "plan",
    "GivenDemand": "demand",
    "History": "history",
    "InputError": "errors",
    "LastYearAligned": "demand.adapters",
    "Launch": "scenario",
    "Ledger": "ledger",
    "LogNormal": "scenario",
    "LoseZonesOverlay": "scenario",
    "ModelError": "errors",
    "Onboarding": "scenario",
    "OrdersPolicy": "orders",
    "PlanSet": "plan",
    "Price": "scenario",
    "Prophet": "demand.adapters",
    "Push": "scenario",
    "PurchasePolicy": "commitments",
    "QuantileLinear": "usage",
    "RetryStormOverlay": "scenario",
    "RobustLinear": "usage",
    "Scenario": "scenario",
    "SeasonalNaive": "demand.adapters",
    "StlEts": "demand.adapters",
    "Study": "plan",
    "Topology": "topology",
    "UnobservedComponents": "demand.adapters",
    "Usl": "usage",
    "load_baseline": "plan",
    "grid": "scenario",
    "load_plan": "plan",
    "read_csv": "sources",
    "read_krr_csv": "sources",
    "read_krr_json": "sources",
    "read_parquet": "sources",
    "read_vpa": "sources",
    "replay": "backtest.replay",
}
"""The module that each public name comes from; a test compares it with the imports above."""

_PACKAGES: Final = ("laws", "retro")
"""Packages that are a public name as a whole."""


if not TYPE_CHECKING:  # a type checker reads the imports above and then knows a misspelt name

    def __getattr__(name: str) -> Any:
        if name == "__version__":
            from importlib.metadata import version  # noqa: PLC0415  asked for rarely

            value = version("capmodel")
        elif name in _PACKAGES:
            value = import_module(f"{__name__}.{name}")
        elif name in _MODULE_OF:
            value = getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
        else:
            msg = f"module {__name__!r} has no attribute {name!r}"
            raise AttributeError(msg, name=name, obj=import_module(__name__))
        globals()[name] = value  # the next look-up does not come here
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
