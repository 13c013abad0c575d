"""What is late, as of any date: the status of an order from its dates and from what was done.

This module answers: is an order still in time, and why not? GREEN until the recommended day, AMBER
from the day after it, RED after the hard latest; what was asked for is judged by when that was, and
by whether it stands when it must. Nothing reads the clock.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any, Final

import pandas as pd

from capmodel.orders.rules import OrdersPolicy, placed_at

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from capmodel.orders.rules import Placed
    from capmodel.schema import Status

__all__ = ["order_status", "orders_as_of", "orders_table"]

_SEVERITY: Final = {"GREEN": 0, "GREY": 0, "AMBER": 1, "RED": 2}


def order_status(
    row: Mapping[str, Any], step: Placed | None, *, as_of: dt.date
) -> tuple[Status, str]:
    """Return an order's status on a date, and what it says of the dates.

    Parameters
    ----------
    row
        A row of the frame `orders`: its dates as ISO text, '' where none, `count` and
        `least_status`.
    step
        What was last done about it by then, None for nothing.
    as_of
        The date.

    Examples
    --------
    >>> row = {
    ...     "request_opens": "2026-07-23",
    ...     "recommended_by": "2026-09-25",
    ...     "count": 42,
    ...     "latest_by": "2026-11-15",
    ...     "in_place_by": "2026-11-20",
    ...     "fallback_by": "",
    ...     "fallback_latest": "",
    ...     "release_on": "",
    ...     "least_status": "GREEN",
    ... }
    >>> order_status(row, None, as_of=dt.date(2026, 9, 26))
    ('AMBER', 'inside recommended lead: was due by 2026-09-25')
    """
    status, timing = _planned(row, as_of)
    if step is not None and step.state == "cancelled":
        timing = f"cancelled on {step.date}; {timing}"
    elif step is not None:
        done = _DONE[step.state](row, step, as_of)
        asked = row["count"]
        missing = 0 if step.count is None or not _is_number(asked) else int(asked) - step.count
        if missing > 0 and step.state != "released":
            rest = f"{step.count} of {int(asked)}: {done[1]}; the other {missing}: {timing}"
            status, timing = _worse(done[0], status), rest
        else:
            status, timing = done
    return _worse(status, row["least_status"]), timing


def _planned(row: Mapping[str, Any], as_of: dt.date) -> tuple[Status, str]:
    latest, recommended = row["latest_by"], row["recommended_by"]
    today = as_of.isoformat()
    if today > latest:
        return "RED", f"overdue: the latest day to ask was {latest}"
    if recommended and today > recommended:
        return "AMBER", f"inside recommended lead: was due by {recommended}"
    opens = row["request_opens"]
    if not opens:
        return "GREEN", f"ask by {latest}"
    if today < opens:
        return "GREEN", f"request window opens {opens}"
    return "GREEN", f"request window open since {opens}"


def _requested(row: Mapping[str, Any], step: Placed, as_of: dt.date) -> tuple[Status, str]:
    day, today = step.date.isoformat(), as_of.isoformat()
    if today > row["in_place_by"]:
        return "RED", f"requested on {day}, not granted by {row['in_place_by']}"
    if day > row["latest_by"]:
        return "RED", f"requested on {day}, after the latest day {row['latest_by']}"
    if row["fallback_by"] and today > row["fallback_by"]:
        return "AMBER", (
            f"requested on {day}, no answer by {row['fallback_by']}: the fallback is due by "
            f"{row['fallback_latest']}"
        )
    if row["recommended_by"] and day > row["recommended_by"]:
        return "AMBER", (
            f"requested on {day}, inside recommended lead: was due by {row['recommended_by']}"
        )
    return "GREEN", f"requested on {day}"


def _granted(row: Mapping[str, Any], step: Placed, as_of: dt.date) -> tuple[Status, str]:
    if as_of.isoformat() > row["in_place_by"]:
        return "RED", f"granted on {step.date}, but not in place by {row['in_place_by']}"
    return "GREEN", f"granted on {step.date}"


def _in_place(row: Mapping[str, Any], step: Placed, as_of: dt.date) -> tuple[Status, str]:
    del row, as_of
    return "GREEN", f"in place since {step.date}"


def _released(row: Mapping[str, Any], step: Placed, as_of: dt.date) -> tuple[Status, str]:
    needed = row["release_on"] or row["in_place_by"]
    if step.date.isoformat() < needed and as_of.isoformat() < needed:
        return "RED", f"released on {step.date}, needed until {needed}"
    return "GREEN", f"released on {step.date}"


_DONE: Final = {
    "requested": _requested,
    "granted": _granted,
    "in_place": _in_place,
    "released": _released,
}


def orders_table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> pd.DataFrame:
    """Return rows as the frame `orders`: counts are numbers, nan where there is nothing to count.

    Parameters
    ----------
    rows
        Column to value, one mapping per order.
    columns
        The frame's columns.
    """
    made = pd.DataFrame(list(rows), columns=list(columns))
    counts = [name for name in ("count", "placed_count", "reserve_total") if name in made.columns]
    return made.astype(dict.fromkeys(counts, float))


def _retold(reason: str, before: str, now: str) -> str:
    """Return a reason whose words on the dates are those of another day."""
    return reason.replace(before, now) if before else reason


def _is_number(value: Any) -> bool:
    return value is not None and value == value  # noqa: PLR0124  nan is no count


def _worse(one: Status, other: Status) -> Status:
    return one if _SEVERITY[one] >= _SEVERITY[other] else other


_UNSAID: Final = {
    "state": "planned", "state_on": "", "placed_count": None, "timing": "", "fallback_by": "",
    "fallback_latest": "", "release_on": "", "least_status": "GREEN",
}  # fmt: skip
"""What a plan means that was saved before orders had states."""


def orders_as_of(frame: pd.DataFrame, policy: OrdersPolicy, as_of: dt.date) -> pd.DataFrame:
    """Return the frame `orders` with states and statuses of another date.

    Dates, counts and money are the plan's; states are the last steps of `policy.placed` by then.

    Parameters
    ----------
    frame
        The plan's frame `orders`.
    policy
        The rules it was made with.
    as_of
        The date.
    """
    rows = []
    for found in frame.to_dict("records"):
        row = {**_UNSAID, **{str(name): value for name, value in found.items()}}
        step = placed_at(policy, str(row["id"]), as_of)
        status, timing = order_status(row, step, as_of=as_of)
        rows.append(
            row
            | {
                "status": status,
                "timing": timing,
                "reason": _retold(str(row["reason"]), str(row["timing"]), timing),
                "state": "planned" if step is None else step.state,
                "state_on": "" if step is None else step.date.isoformat(),
                "placed_count": None if step is None else step.count,
            }
        )
    columns = list(dict.fromkeys([*frame.columns, *_UNSAID])) if rows else list(frame.columns)
    return orders_table(rows, columns)
