"""Room left under each limit: against the highest so far, and against the rest of the season.

This module answers: how many times the load so far, the rest's P50 and the rest's P99 would still
fit? What was measured is taken as measured; what was not is read from the plan's own curve of usage
by multiple of today's traffic.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

import pandas as pd

from capmodel.capacity.curves import curve_from_dict, sweep_points
from capmodel.retro.limits import check_provisioned, usage_of
from capmodel.retro.observed import Observed
from capmodel.retro.planned import Planned

__all__ = ["rooms_frame"]

COLUMNS: Final = [
    "node", "limit", "unit", "hard", "so_far", "so_far_by", "headroom_so_far_x", "rest_p50",
    "headroom_p50_x", "rest_p99", "headroom_p99_x", "status",
]  # fmt: skip
ORDER: Final = {"RED": 0, "AMBER": 1, "GREY": 2, "GREEN": 3}


def rooms_frame(
    planned: Planned,
    observed: Observed,
    rest: pd.DataFrame,
    provisioned: Mapping[tuple[str, str], float],
) -> pd.DataFrame:
    """Return one row per limit, the fullest first.

    RED: above hard already, or at the rest's P50. AMBER: above hard at the rest's P99. GREY: the
    load of the rest is not known.
    """
    curves = planned.plan.curves
    check_provisioned(provisioned, [(str(c["node"]), str(c["limit"])) for c in curves])
    rows = [_row(planned, observed, rest, curve, provisioned) for curve in curves]
    frame = pd.DataFrame(rows, columns=COLUMNS)
    order = frame.assign(at=frame["status"].map(ORDER)).sort_values(
        ["at", "headroom_p99_x", "node", "limit"], kind="stable"
    )
    return frame.loc[order.index].reset_index(drop=True)


def _row(
    planned: Planned,
    observed: Observed,
    rest: pd.DataFrame,
    curve: Mapping[str, Any],
    provisioned: Mapping[tuple[str, str], float],
) -> dict[str, Any]:
    key = (str(curve["node"]), str(curve["limit"]))
    hard = provisioned.get(key, float(curve["hard"]))
    x = _multiples(planned, rest, key[0])
    measured = usage_of(planned, observed, key)
    known = measured is not None and not pd.isna(measured).all()
    so_far = float(pd.Series(measured).max()) if known else _usage(curve, x["so_far"])
    # The curve says how usage grows; what was measured says where it stands.
    level = so_far / at if known and (at := _usage(curve, x["so_far"])) > 0 else 1.0
    p50, p99 = (_usage(curve, x[name]) * level for name in ("revised_p50", "revised_p99"))
    return {
        "node": key[0],
        "limit": key[1],
        "unit": curve["unit"],
        "hard": hard,
        "so_far": so_far,
        "so_far_by": "measured" if known else "the plan's curve",
        "headroom_so_far_x": _over(hard, so_far),
        "rest_p50": p50,
        "headroom_p50_x": _over(hard, p50),
        "rest_p99": p99,
        "headroom_p99_x": _over(hard, p99),
        "status": _status(hard, so_far, p50, p99),
    }


def _multiples(planned: Planned, rest: pd.DataFrame, node: str) -> dict[str, float]:
    """Return what is so far and to come as multiples of today, of the root that feeds the node.

    Where several feed it, or the plan does not say which, the highest multiple counts.
    """
    feeding = planned.roots_of.get(node, ())
    rows = rest[rest["service"].isin(feeding)] if feeding else rest
    names = ("so_far", "revised_p50", "revised_p99")
    result = dict.fromkeys(names, math.nan)
    for row in rows.to_dict("records"):
        today = planned.plan.meta["today"][row["service"]]["value"]
        if today is None or not today > 0:
            continue
        for name in names:
            multiple = float(row[name]) / float(today)
            result[name] = multiple if math.isnan(result[name]) else max(result[name], multiple)
    return result


def _usage(curve: Mapping[str, Any], x: float) -> float:
    if not x > 0:
        return math.nan
    (point,) = sweep_points(
        curve_from_dict(curve["curve"]),
        hard=curve["hard"],
        policy_x=curve["policy_x"],
        multiples=[x],
        saturation=curve_from_dict(curve["saturation"]),
        follows_load=curve["follows_load"],
    )
    return float(point.usage)


def _over(hard: float, usage: float) -> float:
    return hard / usage if usage > 0 else math.nan


def _status(hard: float, so_far: float, p50: float, p99: float) -> str:
    if so_far > hard or p50 > hard:
        return "RED"
    if math.isnan(p99):
        return "GREY"
    return "AMBER" if p99 > hard else "GREEN"
