"""What the plan costs hour by hour, month by month, and per thousand units of its driver.

This module answers: what does an hour, a local month and the season cost, in every scenario and in
the mixture, on demand, on Spot and under the commitments that exist; what would the proposed ones
save; and what does a thousand events cost? Cost is the mean over paths, P50 and P90 beside it.

Shapes: P paths, T hours.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd

from capmodel.cost import usd_per_thousand
from capmodel.plan.frames_commitments import Proposal, spending_of, usd
from capmodel.plan.frames_limits import MIXTURE, scenarios_of
from capmodel.plan.term_usage import Hours, years_after
from capmodel.schema import order_statistic

if TYPE_CHECKING:
    from capmodel.plan.make import Solved

__all__ = ["cost_hour_frame", "cost_month_frame", "cost_term_frame", "unit_cost_frame"]

HOUR_COLUMNS: Final = [
    "scenario", "time", "usd_per_hour_mean", "usd_per_hour_p50", "usd_per_hour_p90",
]  # fmt: skip
MONTH_COLUMNS: Final = [
    "scenario", "probability", "window", "start", "end", "hours", "on_demand_usd", "spot_usd",
    "existing_usd", "usd", "usd_p50", "usd_p90", "saving_usd", "driver", "comparable_yoy_x",
    "calendar_yoy_x",
]  # fmt: skip
UNIT_COLUMNS: Final = [
    "scenario", "window", "start", "end", "driver", "units_thousand", "usd", "usd_per_1k", "reason",
]  # fmt: skip
TERM_COLUMNS: Final = [
    "scenario", "component", "kind", "start", "end", "usd", "usd_p50", "usd_p90",
]  # fmt: skip
SEASON: Final = "season"
TOTAL: Final = "total"


def cost_hour_frame(proposal: Proposal) -> pd.DataFrame:
    """Return the mixture's cost of each real hour of the horizon: mean, P50 and P90 over paths.

    At on-demand prices, Spot at its own and before any commitment. ``time`` is local with its
    offset from UTC: the repeated hour of autumn comes twice.
    """
    usage = proposal.usage
    request = usage.solved.request
    when = usage.hours(request.start, request.end)
    parts = (*usage.usage(MIXTURE, when).values(), *usage.spot(MIXTURE, when).values())
    total: np.ndarray = np.zeros((1, len(when)))
    for part in parts:
        total = total + part
    first = pd.Timestamp(request.start, tz=usage.solved.fit.business_tz)
    local = pd.date_range(first.tz_convert("UTC"), periods=len(when), freq="h").tz_convert(first.tz)
    ranked = np.sort(total, axis=0)
    return pd.DataFrame(
        {
            "scenario": MIXTURE,
            "time": [moment.isoformat() for moment in local],
            "usd_per_hour_mean": total.mean(axis=0),
            "usd_per_hour_p50": ranked[_rank(0.5, len(total))],
            "usd_per_hour_p90": ranked[_rank(0.9, len(total))],
        },
        columns=HOUR_COLUMNS,
    )


def _rank(q: float, paths: int) -> int:
    return max(math.ceil(q * paths - 1e-9) - 1, 0)


def windows_of(solved: Solved) -> dict[str, tuple[dt.date, dt.date]]:
    """Return the local months of the horizon, cut at its ends, and the season; ends exclusive."""
    request = solved.request
    found: dict[str, tuple[dt.date, dt.date]] = {}
    day = request.start
    while day < request.end:
        following = (day.replace(day=1) + dt.timedelta(days=32)).replace(day=1)
        found[f"{day:%Y-%m}"] = (day, min(following, request.end))
        day = following
    return {**found, SEASON: (request.season_start, request.season_end)}


def cost_month_frame(proposal: Proposal, calendar_yoy: pd.DataFrame) -> pd.DataFrame:
    """Return one row per scenario and local month of the horizon, and for the season.

    ``usd = on_demand_usd + spot_usd + existing_usd``, each a mean over paths of rounded lines by
    item; ``existing_usd`` is what commitments pay, used or not. In the season stands what the
    scenario's row of the frame `cost` counts, in the mixture what is ordered. ``saving_usd`` is
    what the proposed commitments would take off, negative where they only pay. Demand's growth on
    the year stands beside it, event by event and by the calendar, where history has that month.
    """
    solved = proposal.usage.solved
    weights = {**dict(zip(solved.request.names, solved.request.weights, strict=True)), MIXTURE: 1.0}
    driver = _driver(solved)
    rows: list[dict[str, Any]] = []
    for scenario in scenarios_of(solved):
        for name, (first, end) in windows_of(solved).items():
            when = proposal.usage.hours(first, end)
            rows.append(
                {
                    "scenario": scenario,
                    "probability": float(weights[scenario]),
                    "window": name,
                    "start": str(first),
                    "end": str(end),
                    "hours": float(len(when)),
                    **_bill(proposal, scenario, when),
                    "driver": driver,
                    **_growth(calendar_yoy, scenario, driver, name),
                }
            )
    return pd.DataFrame(rows, columns=MONTH_COLUMNS)


def _driver(solved: Solved) -> str:
    """Return the root whose units the cost is divided by."""
    policy = solved.request.purchase
    return policy.unit_of or next(iter(solved.estate.topology.drivers), solved.fit.roots[0])


def _bill(proposal: Proposal, scenario: str, when: Hours) -> dict[str, Decimal]:
    left, pays = spending_of(proposal, scenario, when, proposed=False)
    spot = proposal.usage.spot(scenario, when)
    on_demand = sum((usd(part.sum(axis=1).mean()) for part in left.values()), Decimal("0.00"))
    at_spot = sum((usd(part.sum(axis=1).mean()) for part in spot.values()), Decimal("0.00"))
    existing = usd(pays.sum())
    paths = float(pays.sum()) + _by_path([*left.values(), *spot.values()])
    then, paid = spending_of(proposal, scenario, when, proposed=True)
    after = sum(float(part.sum(axis=1).mean()) for part in then.values()) + float(paid.sum())
    before = sum(float(part.sum(axis=1).mean()) for part in left.values()) + float(pays.sum())
    return {
        "on_demand_usd": on_demand,
        "spot_usd": at_spot,
        "existing_usd": existing,
        "usd": on_demand + at_spot + existing,
        **_quantiles(paths),
        "saving_usd": usd(before - after),
    }


def _by_path(parts: Sequence[np.ndarray]) -> np.ndarray:
    """Return the sum over hours and parts on each path, shape (P,) or (1,)."""
    total: np.ndarray = np.zeros(1)
    for part in parts:
        total = total + part.sum(axis=1)
    return total


def _quantiles(paths: np.ndarray) -> dict[str, Decimal]:
    wanted = {"usd_p50": 0.5, "usd_p90": 0.9}
    return {name: usd(paths[order_statistic(paths, q)]) for name, q in wanted.items()}


def _growth(
    calendar_yoy: pd.DataFrame, scenario: str, driver: str, window: str
) -> Mapping[str, float]:
    """Return the driver's growth in a month, nan where it is not known."""
    names = ("comparable_yoy_x", "calendar_yoy_x")
    if calendar_yoy.empty:
        return dict.fromkeys(names, math.nan)
    rows = calendar_yoy[
        (calendar_yoy["scenario"] == scenario)
        & (calendar_yoy["driver"] == driver)
        & (calendar_yoy["window"] == window)
    ]
    return {name: float(rows[name].iloc[0]) if len(rows) else math.nan for name in names}


def unit_cost_frame(proposal: Proposal, cost_month: pd.DataFrame) -> pd.DataFrame:
    """Return what a thousand units of the driver cost, by scenario, local month and season.

    ``usd_per_1k = mean cost / mean units in thousands``; no figure where a driver is declared as a
    busiest minute, of which no month follows.
    """
    usage = proposal.usage
    rows = []
    for row in cost_month.to_dict("records"):
        when = usage.hours(dt.date.fromisoformat(row["start"]), dt.date.fromisoformat(row["end"]))
        events = usage.units_of(row["scenario"], row["driver"], when)
        units = math.nan if events is None else float(events.sum(axis=1).mean())
        known = units > 0
        rows.append(
            {
                **{name: row[name] for name in ("scenario", "window", "start", "end", "driver")},
                "units_thousand": units / 1000.0,
                "usd": row["usd"],
                "usd_per_1k": float(usd_per_thousand(row["usd"], units)) if known else math.nan,
                "reason": "" if known else f"{row['driver']} is declared as a busiest minute",
            }
        )
    return pd.DataFrame(rows, columns=UNIT_COLUMNS)


def cost_term_frame(proposal: Proposal) -> pd.DataFrame:
    """Return the mixture's bill of the terms' first year, part by part, with the proposal bought.

    Parts are on demand by item, Spot by pool, each commitment that exists and each that is
    proposed; ``total`` is the sum of the rounded parts, with P50 and P90 of the paths' totals. No
    rows where a year is not known.
    """
    usage = proposal.usage
    if usage.reason:
        return pd.DataFrame(columns=TERM_COLUMNS)
    end = years_after(usage.start, 1)
    when = usage.hours(usage.start, end)
    left, paid = spending_of(proposal, MIXTURE, when, proposed=True)
    spot = usage.spot(MIXTURE, when)
    paths = float(paid.sum()) + _by_path([*left.values(), *spot.values()])
    layers = proposal.layers(when)
    bought = len(layers) - len(proposal.results)
    parts = [(key, "on_demand", usd(part.sum(axis=1).mean())) for key, part in left.items()]
    parts += [(name, "spot", usd(part.sum(axis=1).mean())) for name, part in spot.items()]
    for i, layer in enumerate(layers):
        pays = usd(float(np.broadcast_to(layer.pays, len(when)).sum()))
        if i < bought:
            parts.append((layer.name, "existing", pays))
        else:
            tier = proposal.results[i - bought].tier
            years = next(o.buy.years for o in proposal.offers if o.tier is tier)
            parts.append((f"{tier.kind} {tier.scope}, {years} y", "proposed", pays))
    parts.append((TOTAL, TOTAL, sum((part[2] for part in parts), Decimal("0.00"))))
    quantiles = _quantiles(paths)
    blank = dict.fromkeys(quantiles)
    rows = [
        {"scenario": MIXTURE, "component": name, "kind": kind, "start": str(usage.start),
         "end": str(end), "usd": amount, **(quantiles if kind == TOTAL else blank)}
        for name, kind, amount in parts
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=TERM_COLUMNS)
