"""The result of a replay: ways to provide side by side, what they named, and sentences."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from capmodel.errors import require_known
from capmodel.plan.frames_limits import MIXTURE

if TYPE_CHECKING:
    import pandas as pd

    from capmodel.backtest.past_season import PastSeason
    from capmodel.backtest.shortfall import LimitShort, Shortfall
    from capmodel.plan import PlanSet
    from capmodel.topology import Topology

__all__ = ["Provided", "Replay"]

RAN: Final = "what ran"
FORESIGHT: Final = "perfect foresight"
FRAMES: Final = ("provided", "named", "limits", "orders")


@dataclass(frozen=True, slots=True, eq=False)
class Provided:
    """One way to provide for the season: what stood, how it fared, its bill on demand."""

    name: str
    topology: Topology
    shortfall: Shortfall
    usd: Decimal
    too_late: tuple[str, ...]
    """Orders of a plan that could no longer be placed on its day."""


@dataclass(frozen=True, slots=True, eq=False)
class Replay:
    """A past season replayed; see :func:`capmodel.backtest.replay.replay`."""

    season: PastSeason
    provided: tuple[Provided, ...]
    plans: Mapping[str, PlanSet]
    """The plans by name, each as it would have been made."""
    as_of: Mapping[str, dt.date]
    stood: Shortfall
    """What would have happened to what stood on the first plan's day, without any order."""
    by_minute: float
    """Share of the season that is judged by the minute, the rest by hour means [ratio]."""
    missing_h: float
    """Hours that were not measured and are not judged [h]."""
    left_out: tuple[str, ...]
    """Services that had not been born when the first plan was made."""
    undated: tuple[str, ...]
    """Tables without dates, taken as known when the plans were made."""
    no_precedent: Mapping[str, tuple[str, ...]]
    """By plan, event days that nobody had seen: taken at a lift of 1."""

    def to_frame(self, name: str = "provided") -> pd.DataFrame:
        """Return one of the frames: provided, named, limits or orders.

        Raises
        ------
        InputError
            For an unknown name, naming the nearest.
        """
        import pandas as pd  # noqa: PLC0415

        made = {
            "provided": self._provided,
            "named": self._named,
            "limits": self._limits,
            "orders": self._orders,
        }
        require_known("to_frame", name, FRAMES)
        return pd.DataFrame(made[name]())

    def _provided(self) -> list[dict[str, Any]]:
        best = next(p for p in self.provided if p.name == FORESIGHT)
        return [
            {
                "provision": one.name,
                "nodes": sum(one.shortfall.nodes.values()),
                "season_usd": one.usd,
                "over_foresight_usd": one.usd - best.usd,
                "minutes_short": one.shortfall.minutes_short,
                "minutes_short_tier_0": one.shortfall.minutes_short_by_tier.get(0, 0.0),
                "minutes_short_zone_lost": one.shortfall.minutes_short_zone_lost,
                "minutes_over_policy": one.shortfall.minutes_over_policy,
                "first_short": _limit_words(one.shortfall.first),
                "too_late": len(one.too_late),
            }
            for one in self.provided
        ]

    def _named(self) -> list[dict[str, Any]]:
        rows = [
            {
                "by": name,
                "as_of": self.as_of[name].isoformat(),
                "node": str(first["node"]) if first is not None else "",
                "limit": str(first["limit"]) if first is not None else "",
                "day": str(first["first_hard_breach"]) if first is not None else "",
                "p_saturate": float(first["p_saturate"]) if first is not None else 0.0,
            }
            for name, plan in self.plans.items()
            for first in [first_named(plan)]
        ]
        came = self.stood.first
        rows.append(
            {
                "by": "what came",
                "as_of": "",
                "node": came.node if came else "",
                "limit": came.limit if came else "",
                "day": came.first if came else "",
                "p_saturate": 1.0 if came else 0.0,
            }
        )
        return rows

    def _limits(self) -> list[dict[str, Any]]:
        return [
            {
                "provision": one.name,
                "node": row.node,
                "limit": row.limit,
                "tier": row.tier,
                "hard": row.hard,
                "unit": row.unit,
                "peak": row.peak,
                "worst_x": row.worst_x,
                "minutes_short": row.minutes_short,
                "first_day": row.first,
            }
            for one in self.provided
            for row in one.shortfall.limits
        ]

    def _orders(self) -> list[dict[str, Any]]:
        late = {p.name: p.too_late for p in self.provided}
        return [
            {
                "plan": name,
                "action": row["action"],
                "latest_by": row["latest_by"],
                "in_place_by": row["in_place_by"],
                "usd": row["usd"],
                "too_late": row["action"] in late[name],
            }
            for name, plan in self.plans.items()
            for row in plan.to_frame("orders").to_dict("records")
        ]

    def headline(self) -> str:
        """Return the replay in sentences: what was named, minutes short, USD."""
        return "\n".join([*self._said(), *self._fared(), *self._caveats()])

    def _said(self) -> list[str]:
        came = self.stood.first
        truth = (
            f"As it stood, {_limit_words(came)} would have been exceeded first, on {came.first}."
            if came
            else "As it stood, no hard limit would have been exceeded."
        )
        lines = [f"Season {self.season.start} to {self.season.end - dt.timedelta(1)}. {truth}"]
        for name, plan in self.plans.items():
            first = first_named(plan)
            said = (
                f"{first['node']} {first['limit']} on {first['first_hard_breach']} "
                f"(exceeded with probability {first['p_saturate']:.0%})"
                if first is not None
                else "no limit at P50"
            )
            lines.append(f"The {name} (as of {self.as_of[name]}) names {said}.")
        return lines

    def _fared(self) -> list[str]:
        best = next(p for p in self.provided if p.name == FORESIGHT)
        lines = []
        for one in self.provided:
            held = one.shortfall
            zone, policy = held.minutes_short_zone_lost, held.minutes_over_policy
            lost = "" if math.isnan(zone) else f" ({zone:,.0f} had a zone been lost)"
            over = "" if math.isnan(policy) else f", {policy:,.0f} beyond the policy"
            late = f"; {len(one.too_late)} of its orders came too late" if one.too_late else ""
            bill = f"{one.usd:,.2f} USD"
            if one.name == RAN:
                bill += ", nodes hour by hour"
            elif one is not best:
                bill += f", {one.usd - best.usd:+,.2f} to perfect foresight"
            lines.append(
                f"{one.name[0].upper()}{one.name[1:]}: {held.minutes_short:,.0f} minutes "
                f"short{lost}{over}; {bill}{late}."
            )
        return lines

    def _caveats(self) -> list[str]:
        judged = (
            f"{self.by_minute:.0%} of the season is judged by the minute, the rest by hour means: "
            "minutes short are a lower bound there."
        )
        lines = [judged]
        if self.missing_h:
            lines.append(f"{self.missing_h:g} hours were not measured and are not judged.")
        if self.left_out:
            lines.append(f"Left out, born since: {', '.join(self.left_out)}.")
        if self.undated:
            lines.append(f"Without dates, so taken as known then: {', '.join(self.undated)}.")
        unseen = sorted({event for events in self.no_precedent.values() for event in events})
        if unseen:
            lines.append(f"Taken at a lift of 1, never seen before: {', '.join(unseen)}.")
        return lines

    def __repr__(self) -> str:
        return self.headline()


def first_named(plan: PlanSet) -> Mapping[str, Any] | None:
    """Return the limit that a plan names as the first to break at P50, None where none is."""
    limits = plan.to_frame("limits")
    rows = limits[(limits["scenario"] == MIXTURE) & (limits["status"] != "GREY")]
    broken = rows[rows["first_hard_breach"] != ""]
    if broken.empty:
        return None
    return {str(column): value for column, value in broken.iloc[0].items()}


def _limit_words(row: LimitShort | None) -> str:
    return "" if row is None else f"{row.node} {row.limit}"
