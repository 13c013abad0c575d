"""Tripwires in sentences: what to read on which day, above what to order how much more."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["tripwire_sentences"]

DIGITS: Final = 4
"""Significant digits of a threshold in words; rounded down, so that it fires early, not late."""

NEVER: Final = 0.005
"""A probability that is not worth a clause."""


def tripwire_sentences(frame: pd.DataFrame) -> tuple[str, ...]:
    """Return one sentence per order, those with wires first.

    Parameters
    ----------
    frame
        The plan's frame `tripwires`.

    Examples
    --------
    >>> import pandas as pd
    >>> tripwire_sentences(pd.DataFrame())
    ('Nothing has to be ordered, so nothing has to be watched.',)
    """
    if frame.empty:
        return ("Nothing has to be ordered, so nothing has to be watched.",)
    orders: dict[str, list[dict[str, Any]]] = {}
    for row in frame.to_dict("records"):
        orders.setdefault(str(row["order"]), []).append({str(k): v for k, v in row.items()})
    wired = [_wired(rows) for rows in orders.values() if len(rows) > 1]
    alone = [_alone(rows[0]) for rows in orders.values() if len(rows) == 1]
    return (*wired, *alone)


def _alone(row: dict[str, Any]) -> str:
    return f"{row['item']}: {row['action']}, by {row['latest_by']}; {row['reason']}."


def _wired(rows: list[dict[str, Any]]) -> str:
    start, wires = rows[0], rows[1:]
    window = f"{start['window_start']} to {start['look_on']}"
    steps = ", ".join(
        f"above {_amount(row['threshold_per_day'])} {'reserve' if k == 0 else 'then'} "
        f"{row['count']:.0f} more"
        for k, row in enumerate(wires)
    )
    return (
        f"{start['item']}: {start['action']} ({start['units_after']:.0f} in all). On "
        f"{start['look_on']} read the mean daily {start['driver']} of the event-free days from "
        f"{window}: {steps}, by "
        f"{start['latest_by']}; else release the option. {_money(start)}"
    )


def _money(start: dict[str, Any]) -> str:
    """Return what two orders cost beside one, and what one would risk."""
    expected, at_once = start["usd_expected"], start["usd_one_shot"]
    one = f"one order of {start['one_shot_units']:.0f}"
    if start["p_one_shot_fails"] >= NEVER:
        one += (
            ", which falls short of the policy, as it will be known then, in "
            f"{start['p_one_shot_fails']:.0%} of seasons"
        )
    if not (isinstance(expected, Decimal) and isinstance(at_once, Decimal)):
        return f"On average {start['expected_units']:.1f} nodes, beside {one}."
    saved = at_once - expected
    if saved >= 0:
        return f"Saves {saved:,.2f} USD on average beside {one}."
    return f"Costs {-saved:,.2f} USD more on average than {one}."


def _amount(value: float) -> str:
    """Return a number rounded down to a few digits, in thousands or millions.

    Examples
    --------
    >>> _amount(1_923_456.0), _amount(46_499.0), _amount(812.7)
    ('1.923 M', '46.49 k', '812.7')
    """
    if not value > 0:
        return f"{value:g}"
    step = 10.0 ** (math.floor(math.log10(value)) - DIGITS + 1)
    down = math.floor(value / step * (1 + 1e-12)) * step
    for size, letter in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if down >= size:
            return f"{down / size:.{DIGITS}g}{letter}"
    return f"{down:.{DIGITS}g}"
