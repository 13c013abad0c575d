"""From a plan to what people apply: autoscalers, node pools, reservations, database changes.

This package answers: which files bring the plan into the cluster and the account, between which
days, and what of the plan has no file and why? It decides nothing: every number stands in the plan,
and only the mixture's needs are exported. Whatever has no file is listed with its reason.
"""

from __future__ import annotations

from capmodel.exports.autoscalers import hpa, scaled_objects
from capmodel.exports.databases import db_instances
from capmodel.exports.folder import exports, write_exports
from capmodel.exports.names import ExportNames, Workload
from capmodel.exports.nodes import capacity_buffers, node_pools
from capmodel.exports.reservations import capacity_reservations
from capmodel.exports.result import Exported, ExportFile, LeftOut, PlanView
from capmodel.exports.windows import CronWindow, cron_window

__all__ = [
    "CronWindow",
    "ExportFile",
    "ExportNames",
    "Exported",
    "LeftOut",
    "PlanView",
    "Workload",
    "capacity_buffers",
    "capacity_reservations",
    "cron_window",
    "db_instances",
    "exports",
    "hpa",
    "node_pools",
    "scaled_objects",
    "write_exports",
]
