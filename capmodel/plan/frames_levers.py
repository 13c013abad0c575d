"""Ways to spend less on the same capacity: what each is worth, on which evidence, and not added up.

This module answers: what do smaller pods, a pinned mix of types, commitments and autoscaling in the
season each save, taken alone? They act on the same bill, so every row names those that it overlaps
with, and there is no total.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

import pandas as pd

from capmodel.cost import cents

__all__ = ["levers_frame"]

COLUMNS: Final = ["lever", "item", "usd", "per", "applied", "overlaps", "basis", "evidence"]

RIGHT_SIZE: Final = "right-size pods"
MIX: Final = "pin the instance mix"
COMMIT: Final = "commit"
SCALE: Final = "autoscale in the season"


def levers_frame(frames: Mapping[str, pd.DataFrame], *, season_hours: float) -> pd.DataFrame:
    """Return one row per lever and item, of the plan's other frames; none is applied.

    ``usd`` is what the lever saves alone over the season or a year, negative where it costs more;
    rows of one lever may be added, rows of several may not. Services whose pods are too small for
    the season free nothing and have no row; the frame `rightsizing` holds them all.

    Parameters
    ----------
    frames
        The plan's frames by name; a part that was not asked for has no row.
    season_hours
        Hours of the season [h].
    """
    rows = [
        *_right_size(frames.get("rightsizing", pd.DataFrame()), season_hours),
        *_mix(frames.get("mix_floor", pd.DataFrame())),
        *_commit(frames.get("commitments", pd.DataFrame())),
        *_scale(frames.get("provisioning", pd.DataFrame())),
    ]
    return pd.DataFrame(rows, columns=COLUMNS)


def _row(lever: str, item: str, usd: Decimal, **more: str) -> dict[str, Any]:
    others = [name for name in (RIGHT_SIZE, MIX, COMMIT, SCALE) if name != lever]
    return {
        "lever": lever,
        "item": item,
        "usd": usd,
        "per": more.get("per", "season"),
        "applied": False,
        "overlaps": ", ".join(others),
        "basis": more["basis"],
        "evidence": more["evidence"],
    }


def _right_size(frame: pd.DataFrame, hours: float) -> list[dict[str, Any]]:
    rows = []
    for row in _of(frame, season="season"):
        if not row["freed_usd_per_hour"] > 0:  # nan where nothing has a price
            continue
        amount = cents(Decimal(repr(round(float(row["freed_usd_per_hour"]), 9))) * Decimal(hours))
        evidence = (
            f"{row['freed_cores']:g} cores and {row['freed_gib']:g} GiB of requests freed for the "
            f"season, at the price of a core and a GiB; {row['binding'] or 'nothing'} binds"
        )
        rows.append(_row(RIGHT_SIZE, row["service"], amount, basis=row["basis"], evidence=evidence))
    return rows


def _mix(frame: pd.DataFrame) -> list[dict[str, Any]]:
    return [
        _row(
            MIX,
            row["pool"],
            row["usd"],
            basis="assumed",
            evidence=f"{row['mix']}, every pod placed; within {row['gap']:.2%} of a proven bound",
        )
        for row in _of(frame)
        if isinstance(row["usd"], Decimal)
    ]


def _commit(frame: pd.DataFrame) -> list[dict[str, Any]]:
    return [
        _row(
            COMMIT,
            f"{row['kind']} {row['scope']}, {row['years']:g} y",
            cents(row["saving_usd"] / int(row["years"])),
            per="year",
            basis=row["basis"],
            evidence=f"{row['pays_usd_per_hour']:.3f} USD/h for {row['years']:g} y on "
            f"{row['draws']:g} paths, {row['discount']:.1%} off ({row['as_of']}, {row['source']})",
        )
        for row in _of(frame)
        if isinstance(row["saving_usd"], Decimal)
    ]


def _scale(frame: pd.DataFrame) -> list[dict[str, Any]]:
    rows = []
    for pool in dict.fromkeys(frame["pool"]) if len(frame) else ():
        ways = {row["way"]: row for row in _of(frame, pool=pool)}
        if not {"static", "autoscaled"} <= set(ways):
            continue
        static, scaled = ways["static"], ways["autoscaled"]
        hours = scaled["unit_hours_mean"], static["unit_hours_mean"]
        evidence = (
            f"{hours[0]:.0f} instead of {hours[1]:.0f} node-hours on {scaled['draws']:g} paths; "
            f"too small in {scaled['short_hours_mean']:.2f} h of the season, {scaled['status']} "
            "under the tier's risk"
        )
        rows.append(
            _row(SCALE, pool, static["usd"] - scaled["usd"], basis="assumed", evidence=evidence)
        )
    return rows


def _of(frame: pd.DataFrame, **wanted: str) -> list[dict[Any, Any]]:
    """Return the rows whose columns hold these texts."""
    for column, value in wanted.items():
        frame = frame[frame[column] == value] if len(frame) else frame
    return frame.to_dict("records")
