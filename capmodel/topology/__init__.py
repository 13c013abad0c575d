"""What exists, as declared: drivers, services, databases, externals, pools, limits and policy."""

from capmodel.topology.core import Topology
from capmodel.topology.databases import CallerOfDatabase, Database
from capmodel.topology.limits import DeclaredLimit
from capmodel.topology.policy import Hold, LoseZones, Policy, Risk, Utilization
from capmodel.topology.pools import Pool
from capmodel.topology.services import Driver, External, Pod, Replicas, Service

__all__ = [
    "CallerOfDatabase",
    "Database",
    "DeclaredLimit",
    "Driver",
    "External",
    "Hold",
    "LoseZones",
    "Pod",
    "Policy",
    "Pool",
    "Replicas",
    "Risk",
    "Service",
    "Topology",
    "Utilization",
]
