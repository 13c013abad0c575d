"""What a plan says about its season, as numbers to compare with.

This module answers: what did the plan say about this node's peak, about this day, this limit?
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from capmodel.plan import PlanSet
from capmodel.retro.quantiles import mixture_quantiles
from capmodel.schema import MIXTURE

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["PEAKS", "Planned", "planned_of"]

PEAKS: Final = ("peak_p10", "peak_p50", "peak_p90", "peak_p95")


@dataclass(frozen=True, slots=True, eq=False)
class Planned:
    """A plan, read for comparison; peaks are busiest minutes in each node's own unit."""

    plan: PlanSet
    main: str
    """The likeliest scenario: its P50 is the planning point."""
    weights: Mapping[str, float]
    start: date
    end: date
    season_start: date
    season_end: date
    kind: Mapping[str, str]
    """Node to root, service or external."""
    quantity: Mapping[str, str]
    points: Mapping[str, float]
    """Node to the main scenario's P50 of the season's peak."""
    season: Mapping[str, tuple[float, ...]]
    """Node to the mixture's P10, P50, P90 and P95 of the season's peak."""
    days: Mapping[str, np.ndarray]
    """Root to the mixture's P10, P50, P90 and P95 of each day's peak, shape (N, 4)."""
    events: tuple[str, ...]
    """Event or '' of each day, N of them."""
    roots_of: Mapping[str, tuple[str, ...]]
    """Node to the roots that feed it."""

    @property
    def business_tz(self) -> str:
        """IANA zone of the plan."""
        return str(self.plan.meta["business_tz"])

    @property
    def dates(self) -> np.ndarray:
        """Local days of the horizon, shape (N,)."""
        return np.arange(np.datetime64(self.start), np.datetime64(self.end))

    @property
    def in_season(self) -> np.ndarray:
        """Which days belong to the season, shape (N,)."""
        dates = self.dates
        return (dates >= np.datetime64(self.season_start)) & (
            dates < np.datetime64(self.season_end)
        )

    @property
    def roots(self) -> tuple[str, ...]:
        """Roots, in the plan's order."""
        return tuple(self.days)

    def seconds(self, node: str) -> float:
        """Return how many seconds the node's unit counts over."""
        return 60.0 if self.quantity[node] == "per_min" else 1.0

    def frame(self, name: str, scenario: str) -> pd.DataFrame:
        """Return a frame's rows of one scenario, empty where the plan has no such frame."""
        import pandas as pd  # noqa: PLC0415  kept out of import time

        if name not in self.plan.frames:
            return pd.DataFrame()
        frame = self.plan.frames[name]
        if "scenario" not in frame.columns:
            return frame
        return frame[frame["scenario"] == scenario].reset_index(drop=True)


def planned_of(plan: PlanSet) -> Planned:
    """Read a plan for comparison."""
    meta = plan.meta
    weights = {str(s["name"]): float(s["weight"]) for s in meta["scenarios"]}
    main = max(weights, key=lambda name: weights[name])
    demand = plan.frames["demand"]
    season = demand[demand["window"] == "season"]
    mixture = season[season["scenario"] == MIXTURE].to_dict("records")
    point = season[season["scenario"] == main].set_index("service")["peak_p50"]
    roots = [str(r["service"]) for r in mixture if r["kind"] == "root"]
    by_day = demand[demand["window"] == "day"]
    days, events = _days(by_day, roots, weights)
    return Planned(
        plan=plan,
        main=main,
        weights=weights,
        start=_date(meta["horizon"]["start"]),
        end=_date(meta["horizon"]["end"]),
        season_start=_date(meta["season"]["start"]),
        season_end=_date(meta["season"]["end"]),
        kind={str(r["service"]): str(r["kind"]) for r in mixture},
        quantity={str(r["service"]): str(r["quantity"]) for r in mixture},
        points={str(name): float(value) for name, value in point.items()},
        season={str(r["service"]): tuple(float(r[c]) for c in PEAKS) for r in mixture},
        days=days,
        events=events,
        roots_of={
            str(r["service"]): tuple(root for root in roots if root in _starts(r["paths"]))
            for r in mixture
        },
    )


def _date(text: Any) -> date:
    return date.fromisoformat(str(text))


def _starts(paths: object) -> set[str]:
    """Return the first node of each path in words such as 'checkouts > underwriting; ...'."""
    return {path.split(" > ", maxsplit=1)[0].strip() for path in str(paths).split(";")}


def _days(
    by_day: pd.DataFrame, roots: list[str], weights: Mapping[str, float]
) -> tuple[dict[str, np.ndarray], tuple[str, ...]]:
    found: dict[str, np.ndarray] = {}
    events: tuple[str, ...] = ()
    for root in roots:
        rows = by_day[by_day["service"] == root]
        parts = [
            rows[rows["scenario"] == name][list(PEAKS)].to_numpy(dtype=float) for name in weights
        ]
        events = tuple(str(e) for e in rows[rows["scenario"] == next(iter(weights))]["event"])
        if len(parts) == 1:
            found[root] = parts[0]
            continue
        stacked = np.stack(parts)
        found[root] = np.array(
            [mixture_quantiles(day, list(weights.values())) for day in stacked.swapaxes(0, 1)]
        )
    return found, events
