"""The calendar of rules: when each kind of thing can be asked for in this season."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import pandas as pd

from capmodel.orders import LEAD_TIMES, Kind, RuleName, dates_of, last_open_day, order_status

if TYPE_CHECKING:
    from capmodel.orders import Order, OrdersPolicy

__all__ = ["LEAD_TIME_COLUMNS", "lead_times_frame"]

LEAD_TIME_COLUMNS: Final = [
    "rule", "what", "stands_by", "request_opens", "recommended_by", "latest_by", "commit_until",
    "days", "min_vcpu", "weekdays", "hours", "timing", "orders", "source", "as_of",
]  # fmt: skip
_RULE_OF: Final[dict[Kind, RuleName]] = {"nodes": "ec2_reservation", "storage": "config"}
"""Rule of a kind of order, where it has another name."""


def lead_times_frame(
    orders: Sequence[Order],
    policy: OrdersPolicy,
    *,
    in_place: dt.date,
    event: dt.date,
    as_of: dt.date,
) -> pd.DataFrame:
    """Return every lead-time rule with its dates in this season, whether anything needs it or not.

    Parameters
    ----------
    orders
        The book, named beside the rules that it follows.
    policy
        The rules and the freezes.
    in_place, event
        Days that the rules count back from.
    as_of
        The plan's date.
    """
    rows = []
    for name in (rule.name for rule in LEAD_TIMES):
        rule = policy.lead(name)
        stands = in_place if rule.before == "in_place" else event
        if rule.action in {"db_class", "config"}:
            stands = last_open_day(
                policy.freeze, stands, action=rule.action, weekdays=rule.weekdays
            )
        if name == "db_class" and policy.db_class.execute is not None:
            stands = policy.db_class.execute
        dates = dates_of(policy, rule, stands)
        row = {
            "rule": name,
            "what": rule.what,
            "stands_by": stands.isoformat(),
            "request_opens": _iso(dates.opens),
            "recommended_by": _iso(dates.recommended),
            "latest_by": dates.latest.isoformat(),
            "commit_until": _iso(dates.commit_until),
            "days": rule.days,
            "min_vcpu": math.nan if rule.min_vcpu is None else float(rule.min_vcpu),
            "weekdays": ", ".join(rule.weekdays),
            "hours": rule.hours or "",
            "orders": ", ".join(o.id for o in orders if _RULE_OF.get(o.kind, o.kind) == name),
            "source": rule.source,
            "as_of": rule.as_of.isoformat(),
        }
        plain = {"in_place_by": row["stands_by"], "count": None, "least_status": "GREEN"}
        rows.append(row | {"timing": order_status(row | plain, None, as_of=as_of)[1]})
    return pd.DataFrame(rows, columns=LEAD_TIME_COLUMNS)


def _iso(day: dt.date | None) -> str:
    return "" if day is None else day.isoformat()
