"""How much risk and utilization a team accepts, and which failures it promises to survive."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from capmodel.topology.spec import NonNegative, Positive, Ratio, Spec

__all__ = ["Hold", "LoseZones", "Policy", "Risk", "UnitCost", "Utilization"]


class LoseZones(Spec):
    """The failure of whole zones."""

    lose_zones: Annotated[int, Field(ge=1)]


class Hold(Spec):
    """One promise of the policy: at this quantile, under this failure, usage stays within."""

    failure: Literal["none"] | LoseZones = "none"
    quantile: Literal["1-risk"] | Annotated[float, Field(gt=0, lt=1)]
    up_to: Literal["hard", "utilization", "utilization_degraded"]
    tiers: tuple[Annotated[int, Field(ge=0, le=3)], ...] | None = None
    """The tiers that the row is promised to; None: all."""

    @property
    def is_hard(self) -> bool:
        """Whether the row fills the hottest unit up to its hard value."""
        return self.up_to == "hard"

    @property
    def at_saturation(self) -> bool:
        """Whether the row asks for hard limits at the tier's risk, without a failure."""
        return self.is_hard and self.quantile == "1-risk" and not self.zones_lost

    @property
    def words(self) -> str:
        """The row in words, for example ``P50, lose 1 zone, up to utilization_degraded``."""
        quantile = "1-risk" if self.quantile == "1-risk" else f"P{self.quantile * 100:g}"
        failure = f"lose {self.zones_lost} zone, " if self.zones_lost else ""
        return f"{quantile}, {failure}up to {self.up_to}"

    def holds_for(self, tier: int) -> bool:
        """Return whether the row is promised to a tier."""
        return self.tiers is None or tier in self.tiers

    @property
    def zones_lost(self) -> int:
        """Zones lost under this row's failure."""
        return 0 if isinstance(self.failure, str) else self.failure.lose_zones


class Risk(Spec):
    """Accepted probability that any hard limit of the tier is exceeded in the season."""

    tier_0: Annotated[float, Field(gt=0, lt=1)] = 0.02
    other: Annotated[float, Field(gt=0, lt=1)] = 0.05

    def of(self, tier: int) -> float:
        """Return the risk of a tier."""
        return self.tier_0 if tier == 0 else self.other


class Utilization(Spec):
    """Planned utilization of each kind of limit [ratio]."""

    cpu_cores: Ratio = 0.60
    memory_gib: Ratio = 0.80
    database_cpu_cores: Ratio = 0.70
    database_io: Ratio = 0.85
    """Operations, throughput and network of a database."""
    storage: Ratio = 0.90
    """Storage of a database: where it starts to grow by itself."""
    connections: Ratio = 0.85
    quota: Ratio = 0.85
    nodes: Ratio = 1.0


class UnitCost(Spec):
    """What one unit too few and one too many cost over the season, where options are compared."""

    short_usd: Positive
    """Lost for each unit that is missing in the season's busiest minute [USD per unit, season]."""
    spare_usd: Positive | None = None
    """Paid for each unit that stands unused [USD per unit and season]; None: a node's price over
    the season, and no figure where a unit has no price."""


def _default_hold() -> tuple[Hold, ...]:
    return (
        Hold(failure="none", quantile="1-risk", up_to="hard"),
        Hold(failure="none", quantile=0.5, up_to="utilization"),
        Hold(failure=LoseZones(lose_zones=1), quantile=0.5, up_to="utilization_degraded"),
    )


class Policy(Spec):
    """How much risk and utilization the team accepts; buffers are alternatives, not products."""

    risk: Risk = Field(default_factory=Risk)
    surge: NonNegative = 0.25
    """Extra pods of a rollout outside the freeze [ratio of replicas]."""
    rollback_surge: NonNegative = 0.0
    """Extra pods of a rollback inside the freeze [ratio of replicas]."""
    utilization: Utilization = Field(default_factory=Utilization)
    utilization_degraded: Ratio | None = 0.85
    """Accepted under a failure [ratio]; None: the same as `utilization`."""
    hold: tuple[Hold, ...] = Field(default_factory=_default_hold)
    unit_usd: dict[str, UnitCost] = Field(default_factory=dict)
    """Pool, external or limit to what its units cost; without one, options have no regret."""

    @model_validator(mode="after")
    def _promises_something(self) -> Self:
        if not self.hold:
            msg = "hold is empty: the policy must promise something"
            raise ValueError(msg)
        return self
