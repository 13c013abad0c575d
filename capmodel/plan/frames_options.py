"""Sizes to choose from for each pool, quota and declared limit, by risk, cost and regret.

This module answers: how likely is each size exceeded, at which percentile of the need does it
stand, what would one size too large or too small cost, which is the cheapest within the tier's
risk, and which is regretted least over the mixture? The need is the season's, as the hard value
sees it and without failures: what `p_saturate` of the limits means. Hold rows for failures and for
the planned utilization ask for more; the plan's own size stands among the options.

What a missing unit costs is the planner's to say (``policy.unit_usd``), per unit and season: a
price per lost event would need to know for how long a season stands above its size, which a
forecast of daily peaks does not. Without it no regret is shown.

Shapes: S scenarios, D draws.
"""

from __future__ import annotations

import math
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd

from capmodel.capacity.replicas import SLACK
from capmodel.choice import options_table, risk_options
from capmodel.cost import cents
from capmodel.demand import DemandFit
from capmodel.plan.after import hard_after
from capmodel.plan.frames_limits import MIXTURE
from capmodel.plan.supply_databases import hours_of
from capmodel.schema import order_statistic

if TYPE_CHECKING:
    from capmodel.capacity.sizing import LimitPaths
    from capmodel.choice import Option
    from capmodel.plan.make import Solved
    from capmodel.plan.supply import Supply

__all__ = ["KINDS", "options_frame", "unit_usd"]

OPTIONS_COLUMNS = [
    "scenario", "node", "limit", "unit", "option", "units", "p_saturate", "mc_se", "percentile",
    "expected_shortfall", "usd", "vs_plan_usd", "over_usd", "under_usd", "regret_usd", "chosen",
    "reversible_until", "p_infeasible", "unserved",
]  # fmt: skip

KINDS: Final = frozenset({"nodes", "quota", "declared"})
"""Limits whose size is ordered in units of its own."""

RISKS: Final = (0.05, 0.02, 0.01)

HABIT_X: Final = 1.3
"""What teams without a forecast put on last season's peak: shown to be judged [ratio]."""


def options_frame(solved: Solved, supply: Supply, orders: pd.DataFrame) -> pd.DataFrame:
    """Return one row per limit and size, judged on the mixture's paths.

    ``option`` names where the size comes from: today's, the plan's, each scenario's P50, 5 %, 2 %
    and 1 % risk, last season's peak times 1.3 where it is known. ``usd`` is what all units cost
    over the season, ``vs_plan_usd`` that against the plan's own size. ``expected_shortfall`` is
    what is missing in the busiest minute on average [units]; until ``reversible_until``, the
    order's latest date, another size can still be chosen. ``over_usd`` and ``under_usd`` are
    expectations of what stands unused and of what is missing. ``p_infeasible`` is the probability
    that no number of units suffices, ``unserved`` where: such paths are in every probability and
    in no sum of USD.
    """
    rows: list[dict[str, Any]] = []
    for path in solved.paths:
        if path.limit.kind in KINDS:
            rows += _limit_rows(solved, supply, path, until=_until(path, orders))
    return pd.DataFrame(rows, columns=OPTIONS_COLUMNS)


def _until(path: LimitPaths, orders: pd.DataFrame) -> str:
    """Return the latest date of the order of a limit's units, '' where nothing is ordered."""
    kind = "nodes" if path.limit.kind == "nodes" else "quota"
    due = orders[(orders["item"] == path.limit.node) & (orders["kind"] == kind)]["latest_by"]
    return "" if due.empty else str(due.iloc[0])


def _limit_rows(
    solved: Solved, supply: Supply, path: LimitPaths, *, until: str
) -> list[dict[str, Any]]:
    sizes = _sizes(solved, supply, path)
    limit, weights = path.limit, solved.request.weights
    head = {"scenario": MIXTURE, "node": limit.node, "limit": limit.name, "unit": limit.unit}
    if not sizes:
        infeasible = float(weights @ np.isinf(path.full_peak).mean(axis=1))
        nothing = dict.fromkeys(("usd", "vs_plan_usd", "over_usd", "under_usd", "regret_usd"))
        words = "no finite size: on too many paths no number of units suffices"
        return [head | nothing | {"option": "", "chosen": "", "p_infeasible": infeasible,
                                  "reversible_until": until, "unserved": words}]  # fmt: skip
    spare, short = unit_usd(solved, path)
    table = options_table(
        path.full_peak,
        weights,
        list(sizes),
        today=_today(solved, path) or 1.0,  # the frame shows no multiple of today
        risk=solved.risks[limit.tier],
        # A table judges two costs: a stand-in for one that is not stated leaves its column empty.
        over_usd_per_unit=spare or 1,
        under_usd_per_unit=short or 1,
        unit=limit.unit,
        scenarios=solved.request.names,
    )
    names = [", ".join(sizes[size]) for size in sorted(sizes)]
    unserved = ", ".join(
        f"{row.infeasible} draws of {row.scenario}" for row in table.unserved if row.infeasible
    )
    planned = next((size for size in sizes if "plan" in sizes[size]), None)
    return [
        head
        | {"option": name, "p_infeasible": table.p_infeasible, "unserved": unserved}
        | {"reversible_until": until, "expected_shortfall": _missing(path, weights, row.units)}
        | _judged(row, spare=spare, short=short, planned=planned)
        for name, row in zip(names, table.rows, strict=True)
    ]


def _missing(path: LimitPaths, weights: np.ndarray, units: float) -> float:
    """Return the mean of what the season's busiest minute lacks, over paths of finite need."""
    served = np.where(np.isfinite(path.full_peak), path.full_peak, 0.0)
    return float(weights @ np.maximum(served - units, 0.0).mean(axis=1))


def _judged(
    row: Option, *, spare: Decimal | None, short: Decimal | None, planned: float | None
) -> dict[str, Any]:
    known = spare is not None and short is not None
    picks = {
        "least regret": known and row.least_regret,
        "cheapest within risk": row.cheapest_within_risk,
    }
    return {
        "units": row.units,
        "p_saturate": row.p_saturate,
        "mc_se": row.mc_se,
        "percentile": row.stands_at,
        "usd": None if spare is None else cents(Decimal(repr(row.units)) * spare),
        "vs_plan_usd": None
        if spare is None or planned is None
        else cents(Decimal(repr(row.units)) * spare) - cents(Decimal(repr(planned)) * spare),
        "over_usd": None if spare is None else row.over_usd,
        "under_usd": None if short is None else row.under_usd,
        "regret_usd": row.regret_usd if known else None,
        "chosen": ", ".join(name for name, holds in picks.items() if holds),
    }


def unit_usd(solved: Solved, path: LimitPaths) -> tuple[Decimal | None, Decimal | None]:
    """Return what one unit costs over the season, too many and too few, None where not stated."""
    stated = solved.estate.topology.policy.unit_usd.get(path.limit.node)
    spare = None if stated is None or stated.spare_usd is None else Decimal(repr(stated.spare_usd))
    if spare is None and path.limit.kind == "nodes":
        node = solved.estate.nodes[path.limit.node].instance_type
        price = solved.request.catalog.node_type(node).price_usd_per_hour
        spare = price * Decimal(hours_of(solved))
    return spare or None, None if stated is None else Decimal(repr(stated.short_usd))


def _today(solved: Solved, path: LimitPaths) -> float | None:
    """Return the units that stand today, None where they are not declared or none do."""
    if path.limit.kind == "nodes":
        return float(solved.estate.topology.pools[path.limit.node].today or 0) or None
    return path.limit.hard


def _sizes(solved: Solved, supply: Supply, path: LimitPaths) -> dict[float, list[str]]:
    """Return whole sizes and where each comes from, those that no number reaches left out."""
    need, name = path.full_peak, path.limit.node
    nodes = path.limit.kind == "nodes"
    found: list[tuple[str, float]] = []
    if (today := _today(solved, path)) is not None:
        found.append(("today", today))
    if nodes:
        plan = float(supply.pools[MIXTURE, name].placed.nodes)
    else:
        plan = hard_after(solved, supply, path)
    found.append(("plan", plan))
    found += [
        (f"P50 {scenario}", float(peak[order_statistic(peak, 0.5)]))
        for scenario, peak in zip(solved.request.names, need, strict=True)
    ]
    for risk in RISKS:
        kept = risk_options(need, solved.request.weights, (risk,))
        found += [(f"{100 * risk:g} % risk", float(x)) for x in kept]
    last = _last_season(solved, path)
    if last is not None:
        found.append((f"last peak x {HABIT_X:g}", last))
    zones = solved.estate.topology.pools[name].zones if nodes else 1
    sizes: dict[float, list[str]] = {}
    for label, units in found:
        if not math.isfinite(units) or units < 0:
            continue
        whole = zones * math.ceil(units / zones - SLACK) if label != "today" else units
        sizes.setdefault(float(whole), []).append(label)
    return sizes


def _last_season(solved: Solved, path: LimitPaths) -> float | None:
    """Return usage at last season's peak times `HABIT_X`, by the central coefficients.

    Known where one root with a fitted history feeds the limit: the median busiest minute of the
    season's days at the fitted level of their counterparts last season, as a multiple of today.
    """
    roots = _roots(solved, path)
    if len(roots) != 1 or not isinstance(solved.fit.demand, DemandFit):
        return None
    (root,) = roots
    drawn, season = solved.futures.roots[root], solved.season.days
    days = drawn.day_peak[:, season] * np.exp(drawn.root.to_growth[season])
    x = HABIT_X * float(np.median(days.max(axis=1))) / solved.fit.today[root].per_second
    return path.limit.saturation.usage(x) if math.isfinite(x) else None


def _roots(solved: Solved, path: LimitPaths) -> set[str]:
    topology, name = solved.estate.topology, path.limit.node
    if path.limit.kind == "nodes":
        users = tuple(n for n, service in topology.services.items() if service.pool == name)
    elif path.limit.kind == "declared":
        users = topology.users_of_limit(name)
    else:
        users = (name,)
    return {root for user in users for root in topology.roots_of(user)}
