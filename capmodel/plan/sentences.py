"""The headline: what breaks first, when, what to order by when, at which cost and risk."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from capmodel.plan.frames_limits import MIXTURE
from capmodel.plots.labels import humanize

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["bought", "headline_of"]

PEAKS: Final = 3
"""Roots whose peak is told in the headline."""
NOUNS: Final[Mapping[str, str]] = {
    "cpu_cores": "CPU",
    "memory_gib": "memory",
    "replicas": "replicas",
    "connections": "connections",
    "quota": "quota",
    "nodes": "nodes",
    "usage": "limit",
    "reader_cpu_cores": "reader CPU",
    "iops": "IOPS",
    "applier": "replica appliers",
    "throughput_mib": "throughput",
    "network_gbps": "network",
    "storage_gib": "storage",
    "throttling": "CPU throttling",
    "addresses": "addresses",
}


def headline_of(frames: Mapping[str, pd.DataFrame], meta: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the plan in sentences, the most important first."""
    sentences = [
        *_first_breaks(frames["limits"]),
        *_callers(frames),
        *_peaks(frames, meta),
        *_orders(frames["orders"], frames["limits"]),
        *_risk(frames["risk"]),
        *_cost(frames["cost"], meta["today_usd"]),
    ]
    return tuple(sentences)


def _day(text: str) -> str:
    day = dt.date.fromisoformat(text)
    return f"{day:%a} {text}"


def _main(meta: Mapping[str, Any]) -> str:
    return str(max(meta["scenarios"], key=lambda s: float(s["weight"]))["name"])


def _first_breaks(limits: pd.DataFrame) -> list[str]:
    rows = limits[(limits["scenario"] == MIXTURE) & (limits["status"] != "GREY")]
    if rows.empty:
        unknown = (
            "No limit is bounded by evidence, so nothing can be judged or ordered: declare limits, "
            "replicas.max or the nodes of today."
        )
        return [unknown]
    broken = rows[rows["first_hard_breach"] != ""]
    if broken.empty:
        top = rows.sort_values("p_saturate", ascending=False, kind="stable").iloc[0]
        closest = (
            f"No hard limit is exceeded at P50. Closest: {top['node']} {NOUNS[top['limit']]}, "
            f"{top['utilization_p50']:.0%} full at the season's P50 peak, exceeded with "
            f"probability {top['p_saturate']:.1%}."
        )
        return [closest]
    first = broken.iloc[0]
    breaks_at = first["breaks_at_x"]
    at = f", at {breaks_at:.2f} x today's traffic" if math.isfinite(breaks_at) else ""
    sentence = (
        f"First to break: {first['node']} {NOUNS[first['limit']]} on "
        f"{_day(first['first_hard_breach'])}{at} (the season's P50 peak needs "
        f"{first['peak_p50']:,.5g} {first['unit']}, the limit is {first['hard']:,.5g}; exceeded "
        f"with probability {first['p_saturate']:.0%})."
    )
    rest = [
        f"{r.node} {NOUNS[str(r.limit)]} ({r.first_hard_breach})"
        for r in broken.iloc[1:].itertuples()
    ]
    if rest:
        more = f" and {len(rest) - 4} more" if len(rest) > 4 else ""  # noqa: PLR2004  four fit a line
        return [sentence, f"Then: {', '.join(rest[:4])}{more}."]
    return [sentence]


def _callers(frames: Mapping[str, pd.DataFrame]) -> list[str]:
    """Return who holds the connections where they break first, the largest share first."""
    limits, sizing = frames["limits"], frames["sizing"]
    broken = limits[(limits["scenario"] == MIXTURE) & (limits["first_hard_breach"] != "")]
    if broken.empty or broken.iloc[0]["limit"] != "connections":
        return []
    kept = (sizing["scenario"] == MIXTURE) & (sizing["kind"] == "connections")
    rows = sizing[kept & (sizing["unit"] == broken.iloc[0]["node"])]
    held = rows.set_index("service")["connections"].sort_values(ascending=False, kind="stable")
    shares = ", ".join(f"{name} {share:.0%}" for name, share in (held / held.sum()).items())
    return [f"These connections are held by {shares}."]


def _peaks(frames: Mapping[str, pd.DataFrame], meta: Mapping[str, Any]) -> list[str]:
    demand = frames["demand"]
    name = _main(meta)
    days = demand[(demand["scenario"] == name) & (demand["window"] == "day")]
    sentences = []
    roots = list(dict.fromkeys(days["service"]))
    for root in roots[:PEAKS]:
        rows = days[days["service"] == root]
        peak = rows.iloc[int(rows["peak_p50"].argmax())]
        today = meta["today"].get(root, {}).get("value")
        unit = "/min" if peak["quantity"] == "per_min" else "/s"
        event = f", {humanize(peak['event'])}" if peak["event"] else ""
        known = meta["today"].get(root, {}).get("basis") != "assumed" or peak["basis"] == "assumed"
        burst = "" if known else "; the burst within the hour is assumed, give minutes"
        now = f"; today {today:,.0f}{unit}" if today and math.isfinite(today) else ""
        sentences.append(
            f"Scenario {name}: {root} peaks at {peak['peak_p50']:,.0f}{unit} (P95 "
            f"{peak['peak_p95']:,.0f}) in the busiest minute of {_day(peak['date'])}{event}"
            f"{now}{burst}."
        )
    if len(roots) > PEAKS:
        sentences.append(f"And {len(roots) - PEAKS} more in the frame demand.")
    return sentences


def _orders(orders: pd.DataFrame, limits: pd.DataFrame) -> list[str]:
    """Return one sentence per order that costs money or is not GREEN, and one for the rest."""
    if orders.empty:
        return [] if limits.empty else ["Nothing has to be ordered."]
    rows = orders.to_dict("records")
    big = [
        r for r in rows if r["status"] != "GREEN" or (isinstance(r["usd"], Decimal) and r["usd"])
    ]
    small = [r for r in rows if r not in big]
    sentences = [_order(row) for row in sorted(big, key=_due)]
    if small:
        listed = ", ".join(f"{r['action']} ({r['latest_by']})" for r in small[:4])
        more = f" and {len(small) - 4} more" if len(small) > 4 else ""  # noqa: PLR2004  a line
        sentences.append(f"Also, by the date in brackets: {listed}{more}.")
    return sentences


def _due(row: Mapping[Any, Any]) -> str:
    return str(row["recommended_by"] or row["latest_by"])


def _order(row: Mapping[Any, Any]) -> str:
    latest = f", at the latest {row['latest_by']}" if row["recommended_by"] else ""
    usd = row["usd"]
    money = f"; {usd:,.2f} USD for the season" if isinstance(usd, Decimal) and usd else ""
    late = "" if row["status"] == "GREEN" else f"{row['status']}: "
    action = str(row["action"])
    if row.get("state", "planned") not in {"planned", "cancelled"}:
        done = f"{str(row['state']).replace('_', ' ')} on {row['state_on']}"
        return f"{late}{action}, {done}, needed by {row['in_place_by']}{money}."
    return f"Order by {_due(row)}{latest}: {late}{action}, in place {row['in_place_by']}{money}."


def _risk(risk: pd.DataFrame) -> list[str]:
    """Return the tiers at risk as things stand, one sentence each, and one for the others."""
    rows = risk[risk["scenario"] == MIXTURE].to_dict("records")
    at_risk = [r for r in rows if r["p_any"] > r["risk"]]
    sentences = [
        f"Tier {row['tier']}: some limit is exceeded with probability {row['p_any']:.1%} as things "
        f"stand, {row['p_any_after_orders']:.1%} once everything is ordered (accepted "
        f"{row['risk']:.1%})"
        + (f"; what remains: {row['contributors_after']}." if row["status"] == "RED" else ".")
        for row in at_risk
    ]
    calm = ", ".join(str(r["tier"]) for r in rows if r not in at_risk)
    if calm:
        sentences.append(f"Within the accepted risk as things stand: tier {calm}.")
    return sentences


def _cost(cost: pd.DataFrame, today: str | None) -> list[str]:
    rows = cost[cost["scenario"] == MIXTURE]
    if rows.empty:
        return []
    total = sum(rows["usd"], Decimal(0))
    more = (
        ""
        if today is None
        else f" ({total - Decimal(today):+,.2f} against today's nodes and classes over the same "
        "days)"
    )
    oldest = rows["as_of"].min()
    return [f"The season costs {total:,.2f} USD {bought(rows)}{more}, prices as of {oldest}."]


def bought(cost: pd.DataFrame) -> str:
    """Return how the lines of a bill are bought, in words: commitments stand beside it."""
    return "on demand and on Spot" if (cost["kind"] == "spot").any() else "on demand"
