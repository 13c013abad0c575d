"""What right-sizing starts from: one service's pods, loads and today, and the pods allowed.

This module answers: which numbers does a recommendation take, is there evidence enough for one, and
what is wrong with the numbers? :mod:`capmodel.capacity.rightsizing` computes with them.

Shapes: S scenarios, D draws.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from capmodel.capacity.replicas import HPA_TOLERANCE
from capmodel.capacity.use import POD_RESOURCES, PodUse
from capmodel.errors import Problem
from capmodel.laws.arguments import number, raise_any

__all__ = ["PodsToday", "ServicePods", "SizingRules", "Weights", "check", "no_evidence"]


class SizingRules(BaseModel):
    """Which pods are allowed and how a request is chosen."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False
    )

    cpu_step_cores: float = Field(0.25, gt=0)
    """Allowed CPU requests are multiples of this, and today's [cores]."""
    cpu_most_cores: float = Field(8.0, gt=0)
    """Largest CPU request [cores]."""
    memory_step_gib: float = Field(0.25, gt=0)
    memory_most_gib: float = Field(64.0, gt=0)
    """Largest memory request [GiB]."""
    memory_quantile: float = Field(0.99, gt=0, lt=1)
    """Quantile of the hottest pod's memory at the season's peak that the request covers."""
    memory_margin_x: float = Field(1.15, ge=1)
    """Request / that quantile [ratio]: the limit equals the request, above it a pod is killed."""
    reach_x: float = Field(1.5, ge=1)
    """Largest load of a pod / largest that a fit has seen, for another size than today's."""
    worth: float = Field(0.02, ge=0, lt=1)
    """Saving below which today's CPU request stays [ratio of the weight]."""
    per_zone: int = Field(1, ge=0)
    """Fewest pods of a zone [pods]."""
    tolerance: float = Field(HPA_TOLERANCE, ge=0, lt=1)
    """Of the autoscaler [ratio]."""


@dataclass(frozen=True, slots=True)
class Weights:
    """What a requested core and GiB weigh, in any unit: USD per hour from a caller with prices."""

    per_core: float
    per_gib: float

    def __post_init__(self) -> None:
        do = "Pass the price of one hour, or 1 for cores and 0 for GiB."
        raise_any(
            [
                *number("weights.per_core", self.per_core, do, above=0),
                *number("weights.per_gib", self.per_gib, do, least=0),
            ]
        )


@dataclass(frozen=True, slots=True)
class PodsToday:
    """What a service's pods request today, and how many there are."""

    pods: float
    cpu_cores: float
    memory_gib: float
    cpu_limit_cores: float | None = None
    throttled_share: float | None = None
    """Measured share of throttled periods [ratio]; None: not measured, or no limit."""


@dataclass(frozen=True, slots=True, eq=False)
class ServicePods:
    """What is known of one service: usage of its pods, loads, and today."""

    name: str
    uses: tuple[PodUse, ...]
    """Lines of CPU and memory; their own ``request`` is not used."""
    season_rps: np.ndarray
    """Busiest minute of the season, shape (D,) or (S, D) [1/s]."""
    quiet_rps: np.ndarray
    """Busiest minute outside the season, the same shape [1/s]."""
    today: PodsToday | None
    imbalance_x: float = 1.0
    minimum: int = 1
    maximum: int | None = None
    """The autoscaler's bounds [pods]."""
    zones: int | None = None
    """Zones of its pool; None: not known, and rows that lose zones cover no loss."""
    tier: int = 1
    level: float | None = None
    """Sizing level of rows at ``1-risk`` [ratio]; None: 1 − the tier's risk, without a union."""
    scenario_weights: np.ndarray | None = None
    """Probability of each scenario, shape (S,); None: equal."""
    cpu_target: float | None = None
    """Planned utilization of the CPU request [ratio]; None: the policy's."""
    season_day: dt.date | None = None
    """The day on which the peak is expected."""
    memory_seen_gib: float | None = None
    """Largest memory of a pod seen [GiB]: the request is not less than this with its margin."""
    startup_cores: float | None = None
    """Cores that a starting pod uses when nothing holds it back [cores]."""
    node_free_cores: float = 0.0
    """Idle cores of a node beyond all requests, for starts [cores]."""

    def resource(self, name: str) -> tuple[PodUse, ...]:
        """Return the lines of one resource."""
        return tuple(use for use in self.uses if use.resource == name)


def no_evidence(service: ServicePods) -> str:
    """Return why nothing can be recommended, '' where something can."""
    reasons = [f"no usage of {name}" for name in POD_RESOURCES if not service.resource(name)]
    cpu = service.resource("cpu_cores")
    if cpu and not all(use.follows_load for use in cpu):
        reasons.append("cpu_cores follow something else than the load")
    reasons += [
        f"the usage of {use.resource} is no number on some draws"
        for use in service.uses
        if not np.isfinite([use.per_request_draws.sum(), use.per_pod_draws.sum()]).all()
    ]
    if service.today is None:
        reasons.append("today's pods and requests are not known")
    for name, load in (("season", service.season_rps), ("quiet", service.quiet_rps)):
        if not load.size or not np.isfinite(load).all():
            reasons.append(f"no load of the {name}")
    return "; ".join(reasons)


def check(service: ServicePods, target: float) -> None:
    """Raise what is wrong with the numbers, all of it."""
    name, today = service.name, service.today
    problems: list[Problem] = number(
        f"{name}.imbalance_x", service.imbalance_x, "1 is even.", least=1
    )
    problems += number(f"{name}.cpu_target", target, "Write 0.6 for 60 %.", above=0, most=1)
    for season, load in (("season", service.season_rps), ("quiet", service.quiet_rps)):
        problems += number(f"{name}.{season}_rps", load, "Give requests per second.", least=0)
    if np.shape(service.season_rps) != np.shape(service.quiet_rps):
        got = f"{np.shape(service.season_rps)} and {np.shape(service.quiet_rps)}"
        do = "Draw both seasons on the same paths."
        problems.append(Problem(f"{name}.quiet_rps", got, "one shape", do))
    if today is not None:
        for field in ("cpu_cores", "memory_gib"):
            where, do = f"{name}.today.{field}", "Give what one pod requests."
            problems += number(where, getattr(today, field), do, above=0)
        problems += number(f"{name}.today.pods", today.pods, "Count today's pods.", least=0)
    weights = service.scenario_weights
    if weights is not None:
        where, do = f"{name}.scenario_weights", "One probability for each scenario."
        problems += number(where, weights, do, least=0)
        if not problems and np.shape(weights) != np.atleast_2d(service.season_rps).shape[:1]:
            problems.append(Problem(where, f"{len(weights)} weights", "one per scenario", do))
    if service.maximum is not None and service.maximum < service.minimum:
        expected = f"at least the minimum ({service.minimum})"
        do = "Correct replicas.max."
        problems.append(Problem(f"{name}.maximum", str(service.maximum), expected, do))
    raise_any(problems)
