"""Scenarios of a summary in the order of one of its columns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from capmodel.errors import InputError, require_known
from capmodel.plan.frames_limits import MIXTURE

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd

__all__ = ["ranked"]

COLUMNS: Final[Mapping[str, str]] = {
    "usd": "usd_season",
    "p_any": "p_any_tier_",
    "nodes": "nodes",
    "regret": "regret_usd",
}


def ranked(summary: pd.DataFrame, by: str) -> pd.DataFrame:
    """Return the scenarios by rising USD, probability, nodes or regret; equals keep their order.

    Raises
    ------
    InputError
        For another word than these, and where nothing has a regret.
    """
    require_known("rank.by", by, COLUMNS)
    rows = summary[summary["scenario"] != MIXTURE]
    column = next((c for c in sorted(rows.columns) if c.startswith(COLUMNS[by])), "")
    if not column or rows[column].isna().any():
        raise InputError.of(
            "rank.by",
            got=f'"{by}", which this plan does not know',
            expected="a figure for every scenario",
            do="State policy.unit_usd of a pool, external or limit."
            if by == "regret"
            else "Declare limits, replicas.max or the nodes of today.",
        )
    order = sorted(range(len(rows)), key=lambda i: (rows[column].iloc[i], i))
    found = rows.iloc[order].reset_index(drop=True)
    found.insert(0, "rank", range(1, len(found) + 1))
    return found
