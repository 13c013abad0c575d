"""What of the orders may be given back after the season's events, by week, with hours and USD.

This module answers: after which day are fewer nodes, or a database's former class, enough on every
path of the season that was drawn, and what does giving the rest back then save?
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from decimal import Decimal
from functools import cache
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd

from capmodel.capacity.evaluate import saturation_of, usage_of
from capmodel.capacity.replicas import ceil_units
from capmodel.capacity.risk import mixture_value
from capmodel.cost import node_line, season_hours, season_usd
from capmodel.orders import Order, Stage, dates_of, first_open_day, release_stages
from capmodel.plan.frames_limits import MIXTURE
from capmodel.plan.frames_schedule import packing_x

if TYPE_CHECKING:
    from capmodel.plan.make import Solved
    from capmodel.plan.supply import Supply

__all__ = ["RELEASE_COLUMNS", "release_frame", "with_release"]

RELEASE_COLUMNS: Final = [
    "order", "unit", "kind", "stage", "release_on", "ask_by", "from", "to", "count",
    "last_needed_on", "unit_hours_saved", "usd_avoided", "usd_past_season", "reason",
]  # fmt: skip
_DAY: Final = dt.timedelta(days=1)
_ZERO: Final = Decimal("0.00")
_HALF: Final = 0.5


def release_frame(solved: Solved, supply: Supply, orders: Sequence[Order]) -> pd.DataFrame:
    """Return the stages in which ordered nodes and classes are given back.

    What is kept holds on every drawn path for the rows at the tier's risk, and at their own
    quantile for the others, from the stage's day to the season's end: no path runs short by giving
    back. ``unit_hours_saved`` and ``usd_avoided`` are against keeping all to the season's end, as
    the frame `cost` does; ``usd_past_season`` is what stands beyond it because a commitment or a
    freeze holds it.
    """
    rows: list[dict[str, Any]] = []
    for order in orders:
        if order.from_value == order.to_value or not order.count:
            continue  # declared by the study, or nothing that stands afterwards
        if order.kind == "nodes" and order.item in solved.needs.nodes:
            rows += _node_rows(solved, supply, order)
        elif order.kind == "db_class":
            rows += _database_rows(solved, order)
    rows.sort(key=lambda row: (row["release_on"], row["order"]))
    return pd.DataFrame(rows, columns=RELEASE_COLUMNS)


def with_release(orders: Sequence[Order], release: pd.DataFrame) -> tuple[Order, ...]:
    """Return orders with the first day on which some of each may be given back."""
    first: dict[str, str] = {}
    for row in release.to_dict("records"):
        first.setdefault(row["order"], row["release_on"])
    return tuple(
        replace(order, release_on=dt.date.fromisoformat(first[order.id]))
        if order.id in first
        else order
        for order in orders
    )


def _node_rows(solved: Solved, supply: Supply, order: Order) -> list[dict[str, Any]]:
    request, today = solved.request, int(order.from_value)
    node = request.catalog.node_type(solved.estate.nodes[order.item].instance_type)
    stages = release_stages(
        _nodes_from(solved, supply, order.item),
        season=(request.season_start, request.season_end),
        counts=(today, int(order.to_value)),
        first=max(filter(None, [order.commit_until, order.in_place_by])),
        every_days=request.orders.release.every_days,
    )

    def bill(count: int, hours: float) -> Decimal:
        return node_line(order.item, node=node, count=count, hours=hours).usd if hours else _ZERO

    rows = []
    for number, stage in enumerate(stages, start=1):
        saved, past = _hours(solved, stage.on)
        committed = order.commit_until is not None and stage.on == order.commit_until
        rows.append(
            {
                "order": order.id, "unit": order.item, "kind": "nodes", "stage": number,
                "release_on": stage.on.isoformat(), "ask_by": "", "from": str(stage.before),
                "to": str(stage.after), "count": stage.given_back,
                "last_needed_on": _iso(stage.last_needed),
                "unit_hours_saved": stage.given_back * saved,
                "usd_avoided": bill(stage.given_back, saved),
                "usd_past_season": bill(stage.given_back, past),
                "reason": _why(stage, request.season_end, committed=committed),
            }
        )  # fmt: skip
    return rows


def _hours(solved: Solved, day: dt.date) -> tuple[float, float]:
    """Return hours from a day to the season's end, and from that end to the day [h]."""
    end, tz = solved.request.season_end, solved.fit.business_tz
    saved = season_hours(day, end, tz=tz) if day < end else 0.0
    return saved, season_hours(end, day, tz=tz) if day > end else 0.0


def _why(stage: Stage, end: dt.date, *, committed: bool) -> str:
    if stage.on >= end:
        return "the season is over"
    bound = "the commitment ends" if committed else "the week's look"
    last = f"; {stage.last_needed} was the last day to need more" if stage.last_needed else ""
    return f"{bound}{last}"


def _iso(day: dt.date | None) -> str:
    return "" if day is None else day.isoformat()


def _nodes_from(solved: Solved, supply: Supply, pool: str) -> Callable[[int], float]:
    """Return what a day of the season and every later one need: nodes of all zones, by day."""
    topology, weights = solved.estate.topology, solved.request.weights
    declared, tier = topology.pools[pool], topology.tier_of(pool)
    loss, fills = packing_x(solved, supply, pool), solved.needs.fills[pool]
    holds = [hold for hold in solved.needs.holds if hold.holds_for(tier)]
    most = supply.pools[MIXTURE, pool].placed.nodes

    rest_of = {
        hold: np.stack(
            [np.maximum.accumulate(f[hold].T[::-1], axis=0)[::-1] for f in fills], axis=1
        )
        for hold in holds
    }

    @cache
    def needed(day: int) -> float:
        asked = []
        for hold in holds:
            rest = rest_of[hold][day]
            asked.append(
                float(rest[weights > 0].max())
                if hold.quantile == "1-risk"
                else mixture_value(rest, float(hold.quantile), weights)
            )
        fill = max(asked, default=0.0) * loss
        if not math.isfinite(fill):
            return float(most)
        per_zone = float(ceil_units(fill)) + declared.spare_nodes_per_zone
        return min(declared.zones * per_zone, float(most))

    return needed


def _database_rows(solved: Solved, order: Order) -> list[dict[str, Any]]:
    request = solved.request
    policy, rule = request.orders, request.orders.lead("db_class")
    last = _last_day_above_class(solved, order.item)
    free = max(order.in_place_by, request.season_start if last is None else last + _DAY)
    on = first_open_day(policy.freeze, free, action="db_class", weekdays=rule.weekdays)
    saved, past = _hours(solved, on)
    database = solved.estate.topology.databases[order.item]
    ladder = request.catalog.db_ladder(database.engine, database.db_class)

    def bill(hours: float) -> Decimal:
        if not hours:
            return _ZERO
        usd = season_usd(ladder, instances=order.count or 0, hours=hours)
        return usd[order.to_value] - usd[order.from_value]

    shut = f"; frozen until {on}" if on > free else ""
    needed = f"{last} is the last day that the former class would not hold" if last else ""
    return [
        {
            "order": order.id, "unit": order.item, "kind": "db_class", "stage": 1,
            "release_on": on.isoformat(),
            "ask_by": dates_of(policy, rule, on).latest.isoformat(),
            "from": order.to_value, "to": order.from_value, "count": order.count,
            "last_needed_on": _iso(last), "unit_hours_saved": (order.count or 0) * saved,
            "usd_avoided": bill(saved), "usd_past_season": bill(past),
            "reason": f"{needed or 'no day of the season needs it'}{shut}",
        }
    ]  # fmt: skip


def _last_day_above_class(solved: Solved, name: str) -> dt.date | None:
    """Return the last season day on which today's class falls short on some path or at P50."""
    season, weights = solved.season, solved.request.weights
    estate = solved.estate.take(slice(None), season.days)
    last = -1
    for path in solved.paths:
        limit = path.limit
        if limit.node != name or limit.kind == "storage" or not math.isfinite(limit.hard):
            continue
        if not ((path.full_peak > limit.hard).any() or (path.season_peak > limit.policy).any()):
            continue
        above = np.zeros(season.end - season.start)
        short = np.zeros(len(above), dtype=bool)
        for load, weight in zip(solved.season_loads, weights, strict=True):
            usage = usage_of(limit, estate, load)
            above += weight * (usage > limit.policy).mean(axis=0)
            if weight > 0:
                short |= (saturation_of(limit, estate, load, usage) > limit.hard).any(axis=0)
        last = max([last, *np.flatnonzero(short | (above > _HALF)).tolist()])
    return None if last < 0 else solved.request.season_start + last * _DAY
