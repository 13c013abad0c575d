"""What exists, as declared: drivers, services, databases, externals, pools, limits and policy."""

from capmodel.topology.core import Topology
from capmodel.topology.databases import CallerOfDatabase, Database, DbVolume, OtherConnections
from capmodel.topology.dynamics import Autoscaling, Dynamics, NodeDynamics, Retrying, ScaleStep
from capmodel.topology.limits import DeclaredLimit
from capmodel.topology.policy import Hold, LoseZones, Policy, Risk, UnitCost, Utilization
from capmodel.topology.pools import Pool, PoolMix, Subnet, WorkPerCore
from capmodel.topology.services import Driver, External, Pod, Replicas, Service, Slo

__all__ = [
    "Autoscaling",
    "CallerOfDatabase",
    "Database",
    "DbVolume",
    "DeclaredLimit",
    "Driver",
    "Dynamics",
    "External",
    "Hold",
    "LoseZones",
    "NodeDynamics",
    "OtherConnections",
    "Pod",
    "Policy",
    "Pool",
    "PoolMix",
    "Replicas",
    "Retrying",
    "Risk",
    "ScaleStep",
    "Service",
    "Slo",
    "Subnet",
    "Topology",
    "UnitCost",
    "Utilization",
    "WorkPerCore",
]
