"""The likeliest failures told before they happen, each linked to its row of the risk register.

This module answers: if the season goes wrong, how will it have gone wrong (Klein 2007, *Performing
a Project Premortem*, Harvard Business Review 85(9), 18-19)? Sentences are made from the frames, so
a loaded plan tells the same.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from capmodel.plan.sentences import NOUNS
from capmodel.plots.labels import humanize, number

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["stories_of"]

MOST: Final = 3
CALLERS: Final = 4
EXCEEDED: Final = frozenset({"usage", "throttling"})
"""Limits that are no thing to run out of."""


def stories_of(frames: Mapping[str, pd.DataFrame], *, most: int = MOST) -> tuple[str, ...]:
    """Return one paragraph for each of the likeliest failures, the likeliest first.

    Each ends with the id of its row in the frame `register`.
    """
    rows = frames["register"].to_dict("records")
    likely = [row for row in rows if row["p_saturate"] > 0]
    return tuple(_story(row) for row in likely[:most])


def _story(row: Mapping[Any, Any]) -> str:
    parts = [_what(row), _who(row), _remedy(row)]
    return f"{' '.join(parts)} [{row['id']}]"


def _what(row: Mapping[Any, Any]) -> str:
    when = ""
    if row["day"]:
        day = dt.date.fromisoformat(row["day"])
        event = f", {humanize(row['event'])}" if row["event"] else ""
        when = f"On {day:%a} {row['day']}{event}, "
    short = row["shortfall_if"]
    missing = f"; {number(short)} {row['unit']} short on average then" if short else ""
    return (
        f"{when}{_fails(row)}: more than the {number(row['hard'])} {row['unit']} there are, with "
        f"probability {row['p_saturate']:.1%}{missing}."
    )


def _fails(row: Mapping[Any, Any]) -> str:
    noun = NOUNS[row["limit"]]
    if row["limit"] in EXCEEDED:
        return f"the {noun} of {row['node']} is exceeded"
    return f"{row['node']} runs out of {noun}"


def _who(row: Mapping[Any, Any]) -> str:
    names = [name for name in row["callers"].split(", ") if name]
    more = f" and {len(names) - CALLERS} more" if len(names) > CALLERS else ""
    share = row["traffic_share"]
    through = "" if math.isnan(share) else f"; up to {share:.0%} of traffic passes here"
    by = f"It is felt by {', '.join(names[:CALLERS])}{more}" if names else "It is felt here"
    return f"{by}{through} (tier {row['tier']})."


def _remedy(row: Mapping[Any, Any]) -> str:
    if not row["order_id"]:
        if row["mitigation"]:
            return f"What would help: {row['mitigation']}; nothing of it is ordered."
        return f"Nothing is ordered against it; {row['residual_p']:.1%} remain."
    usd = f", for {row['usd']:,.2f} USD" if isinstance(row["usd"], Decimal) and row["usd"] else ""
    owner = f", by {row['owner_team']}" if row["owner_team"] else ""
    return (
        f"The order {row['order_id']}, due {row['order_by']}{owner}{usd}, leaves "
        f"{row['residual_p']:.1%}."
    )
