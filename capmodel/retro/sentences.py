"""The retrospective in sentences, the most important first."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from capmodel.plots.labels import humanize, number, usd

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["headline_of"]

UNITS = {"per_min": "per minute", "rps": "per second"}


def headline_of(frames: Mapping[str, pd.DataFrame], meta: Mapping[str, Any]) -> list[str]:
    """Return the sentences: peaks of roots, the largest miss, coverage, limits, money, doubts."""
    lines = [_root(row, str(meta["scenario"])) for row in _roots(frames["peaks"])]
    lines += _largest_miss(frames["decomposition"])
    lines += _coverage(frames["coverage"])
    lines += _limits(frames["limits"])
    lines += _money(frames["money"])
    if not meta["frozen_before"]:
        lines.append(f"The plan was {meta['frozen_words']}: it does not count for the ledger.")
    warnings = int((frames["findings"]["severity"] == "warning").sum())
    if warnings:
        what = "1 warning" if warnings == 1 else f"{warnings} warnings"
        lines.append(f"{what} about the actuals: see findings.")
    return lines


def _roots(peaks: pd.DataFrame) -> list[dict[Any, Any]]:
    rows: list[dict[Any, Any]] = peaks[peaks["kind"] == "root"].to_dict("records")
    return rows


def _root(row: Mapping[Any, Any], scenario: str) -> str:
    way = "an under-forecast" if row["bias"] < 0 else "an over-forecast"
    if row["bias"] == 0:
        way = "exact"
    inside = "inside" if row["inside_p80"] else "outside"
    on = f"{row['date']} ({humanize(row['event'])})" if row["event"] else row["date"]
    so_far = "" if row["whole"] else " as far as was seen"
    return (
        f"{row['service']} peaked at {number(row['actual'])} {UNITS[row['quantity']]} on {on}"
        f"{so_far}: planned {number(row['planned'])} ({scenario}), APE {row['ape']:.2%}, bias "
        f"{row['bias']:+.2%} ({way}), {inside} P10 to P90 ({number(row['peak_p10'])} to "
        f"{number(row['peak_p90'])})."
    )


def _largest_miss(steps: pd.DataFrame) -> list[str]:
    rates = steps[steps["total"] == "peak_rps"]
    if rates.empty:
        return []
    by_service = rates.groupby("service", sort=False)
    misses = {
        str(name): abs(float(part["to"].iloc[-1]) / float(part["from"].iloc[0]) - 1)
        for name, part in by_service
    }
    name = max(misses, key=lambda service: misses[service])
    part = rates[rates["service"] == name]
    first, last = float(part["from"].iloc[0]), float(part["to"].iloc[-1])
    steps_in_words = ", ".join(
        f"{step.replace('_', '-')} {change:+.2f}"
        for step, change in zip(part["step"], part["change"], strict=True)
    )
    return [
        (
            f"{name} missed by most: planned {first:.2f} rps, actual {last:.2f}, "
            f"{sum(part['change']):+.2f} = {steps_in_words} (in this order)."
        )
    ]


def _coverage(coverage: pd.DataFrame) -> list[str]:
    row = coverage.iloc[0]
    if not row["n"]:
        return []
    return [
        (
            f"P10 to P90 held for {row['hits']} of {row['n']} {row['of']} ({row['coverage']:.0%}, "
            f"binomial 95 % interval {row['coverage_low']:.0%} to {row['coverage_high']:.0%}; "
            f"{row['nominal']:.0%} was promised): {row['reads']}."
        )
    ]


def _limits(limits: pd.DataFrame) -> list[str]:
    if limits.empty:
        return []
    planned = limits.sort_values("planned_rank", kind="stable").iloc[0]
    words = f"Planned to break first: {planned['node']} {planned['limit']}"
    short = limits[limits["short_from"] != ""]
    if not short.empty:
        first = short.iloc[0]
        return [
            (
                f"{words}; what ran short first was {first['node']} {first['limit']} from "
                f"{first['short_from']}, {_minutes(first['short_minutes'])} in all at up to "
                f"{first['utilization']:.0%}."
            )
        ]
    seen = limits[limits["actual"].notna()]
    if seen.empty:
        return [f"{words}; no limit's usage was measured."]
    first = seen.iloc[0]
    return [
        (
            f"{words}; nothing that was measured ran short, the fullest was {first['node']} "
            f"{first['limit']} at {first['utilization']:.0%}."
        )
    ]


def _minutes(count: float) -> str:
    return "1 minute" if count == 1 else f"{count:,.0f} minutes"


def _money(money: pd.DataFrame) -> list[str]:
    if money.empty:
        return []
    planned, actual = sum(money["planned_usd"]), sum(money["actual_usd"])
    seen, season = float(money["hours_seen"].min()), float(money["hours_season"].max())
    part = "" if math.isclose(seen, season) else f" in {seen:,.0f} of {season:,.0f} hours"
    return [
        (
            f"Nodes cost {usd(actual)}{part}, planned {usd(planned)}: "
            f"{usd(actual - planned, signed=True)}."
        )
    ]
