"""One row per scenario and the mixture: peak, capacity, money, risk, and what breaks first.

This module answers: how do the scenarios compare, each planned for itself, and which of their
plans would be regretted least if another of them came? The mixture's row is what the plan orders.
"""

from __future__ import annotations

import math
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd

from capmodel.choice import options_table
from capmodel.plan.after import exceeded_after, hard_after
from capmodel.plan.alone import alone, tier_risk, totals
from capmodel.plan.frames_limits import MIXTURE
from capmodel.plan.frames_options import KINDS, unit_usd
from capmodel.plan.supply import make_supply
from capmodel.schema import STATUSES, order_statistic

if TYPE_CHECKING:
    from collections.abc import Sequence

    from capmodel.capacity.sizing import LimitPaths
    from capmodel.plan.make import Solved
    from capmodel.plan.supply import Supply

__all__ = ["SUMMARY_KEYS", "summary_frame"]

SUMMARY_KEYS: Final = (
    "scenario", "weight", "weights", "root", "quantity", "peak_p50", "peak_p95", "nodes", "pods",
    "usd_season", "regret_usd", "least_regret", "first_limit", "first_hard_breach", "status",
)  # fmt: skip
"""The columns besides the grid's axes and the tiers' probabilities."""


def summary_frame(solved: Solved, supply: Supply, limits: pd.DataFrame) -> pd.DataFrame:
    """Return one row per scenario, each planned as if it were certain, and the mixture's row.

    Parameters
    ----------
    solved, supply
        The plan of all scenarios.
    limits
        The plan's frame of limits: what breaks first in each scenario, and the status.

    Returns
    -------
    pandas.DataFrame
        ``weight`` is the scenario's share of the mixture and ``weights`` says whether somebody
        stated it or all weigh the same. Peaks are of the first root. ``nodes``, ``pods``,
        ``usd_season`` and ``p_any_after_tier_T`` are of a plan for that scenario alone; the
        mixture's are the plan's own. ``regret_usd`` is what ordering that row's sizes is expected
        to cost above the best of all rows' sizes, over the mixture, summed over the limits whose
        unit has a price; nothing where none has.
    """
    request = solved.request
    each = [alone(solved, s) for s in range(len(request.scenarios))]
    made = [(one, make_supply(one, mixture_only=True)) for one in each] + [(solved, supply)]
    names = (*request.names, MIXTURE)
    regret = _regret(solved, made)
    stated = request.scenarios[0].probability is not None
    rows = []
    for k, (name, (one, its)) in enumerate(zip(names, made, strict=True)):
        weight = 1.0 if name == MIXTURE else float(request.weights[k])
        row: dict[str, Any] = {
            "scenario": name,
            "weight": weight,
            "weights": "stated" if stated else "equal",
            **_axes(solved, k),
            **_peak(one),
            **_ordered(one, its),
            "regret_usd": regret[k],
            "least_regret": regret[k] is not None
            and regret[k] == min(r for r in regret if r is not None),
            **_first(limits, name),
        }
        rows.append(row)
    columns = list(dict.fromkeys(column for row in rows for column in row))
    return pd.DataFrame(rows, columns=columns)


def _axes(solved: Solved, k: int) -> dict[str, float]:
    """Return a scenario's place on the grid's axes; the mixture has none."""
    sweep = solved.request.grid
    if sweep is None:
        return {}
    nowhere = (math.nan,) * len(sweep.axes)
    point = sweep.points[k] if k < len(sweep.points) else nowhere
    return dict(zip(sweep.axes, point, strict=True))


def _peak(one: Solved) -> dict[str, Any]:
    root = one.fit.roots[0]
    today = one.fit.today[root]
    each = 60.0 if today.quantity == "per_min" else 1.0
    peak = np.stack([load.root_peak(root).max(axis=1) for load in one.season_loads]) * each
    weights = np.repeat(one.request.weights / peak.shape[1], peak.shape[1])
    p50, p95 = (float(peak.ravel()[order_statistic(peak.ravel(), q, weights)]) for q in (0.5, 0.95))
    return {"root": root, "quantity": today.quantity, "peak_p50": p50, "peak_p95": p95}


def _ordered(one: Solved, its: Supply) -> dict[str, Any]:
    after, bill = exceeded_after(one, its), totals(one, its)
    risks: dict[str, Any] = {}
    for tier in one.tier_any:
        before, left = tier_risk(one, after, tier)
        risks |= {f"p_any_tier_{tier}": before, f"p_any_after_tier_{tier}": left}
    return {"nodes": bill.nodes, "pods": bill.pods, "usd_season": bill.usd, **risks}


def _first(limits: pd.DataFrame, scenario: str) -> dict[str, str]:
    rows = limits[limits["scenario"] == scenario]
    broken = rows[rows["first_hard_breach"] != ""].to_dict("records")
    held = set(rows["status"])
    return {
        "first_limit": f"{broken[0]['node']} {broken[0]['limit']}" if broken else "",
        "first_hard_breach": str(broken[0]["first_hard_breach"]) if broken else "",
        "status": next((word for word in STATUSES if word in held), "GREY"),
    }


def _regret(solved: Solved, made: Sequence[tuple[Solved, Supply]]) -> list[Decimal | None]:
    """Return each row's expected regret over the mixture, None where no unit has both prices."""
    total: list[Decimal] | None = None
    for position, path in enumerate(solved.paths):
        if path.limit.kind not in KINDS:
            continue
        spare, short = unit_usd(solved, path)
        sizes = [_size(one, its, one.paths[position]) for one, its in made]
        if spare is None or short is None or not all(map(math.isfinite, sizes)):
            continue
        table = options_table(
            path.full_peak,
            solved.request.weights,
            sizes,
            today=1.0,
            risk=solved.risks[path.limit.tier],
            over_usd_per_unit=spare,
            under_usd_per_unit=short,
        )
        regret = {row.units: row.regret_usd for row in table.rows}
        found = [regret[size] for size in sizes]
        total = found if total is None else [a + b for a, b in zip(total, found, strict=True)]
    return [None] * len(made) if total is None else [*total]


def _size(one: Solved, its: Supply, path: LimitPaths) -> float:
    if path.limit.kind == "nodes":
        return float(its.pools[MIXTURE, path.limit.node].placed.nodes)
    return hard_after(one, its, path)
