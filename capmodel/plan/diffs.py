"""What changed between two plans: one row per figure that differs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

import pandas as pd

__all__ = ["diff_frames"]

KEYS: Final[Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]]] = {
    "limits": (
        ("scenario", "node", "limit"),
        (
            "hard", "peak_p50", "utilization_p50", "p_saturate", "first_policy_breach",
            "first_hard_breach", "binds_at_x", "status",
        ),
    ),
    "nodes": (("scenario", "pool"), ("instance_type", "required", "binding")),
    "databases": (("scenario", "database"), ("class_needed", "connections_p50")),
    "cost": (("scenario", "item", "kind"), ("type", "count", "usd")),
    "services": (("scenario", "service"), ("replicas_needed", "status")),
    "orders": (("id",), ("action", "count", "latest_by", "status", "usd")),
    "risk": (("tier", "scenario"), ("risk", "p_any", "p_any_after_orders")),
    "demand": (("scenario", "service", "window", "date"), ("peak_p50", "peak_p95")),
}  # fmt: skip
"""Frame to its key columns and the figures that are compared."""
RELATIVE: Final = 1e-6
"""Files hold nine digits, and machines differ in the last ones: less is no change [ratio]."""
COLUMNS: Final = ["frame", "key", "metric", "old", "new", "delta", "delta_ratio"]


def diff_frames(old: Mapping[str, pd.DataFrame], new: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Return one row per figure that differs; a row on one side only has None on the other.

    Day-by-day demand is left to the season rows: a changed season names it once.
    """
    rows: list[tuple[Any, ...]] = []
    for name, (keys, metrics) in KEYS.items():
        before, after = _rows(old.get(name), keys), _rows(new.get(name), keys)
        for key in sorted(set(before) | set(after)):
            for metric in metrics:
                a = before.get(key, {}).get(metric)
                b = after.get(key, {}).get(metric)
                if not _same(a, b):
                    rows.append((name, " ".join(k for k in key if k), metric, a, b, *_change(a, b)))
    return pd.DataFrame(rows, columns=COLUMNS, dtype=object)


def _rows(
    frame: pd.DataFrame | None, keys: tuple[str, ...]
) -> dict[tuple[str, ...], dict[str, Any]]:
    if frame is None or frame.empty:
        return {}
    if "window" in frame.columns:
        frame = frame[frame["window"] == "season"]
    present = [k for k in keys if k in frame.columns]
    records = [
        dict(zip(frame.columns, row, strict=True))
        for row in frame.itertuples(index=False, name=None)
    ]
    return {tuple(str(record[k]) for k in present): record for record in records}


def _missing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def _same(a: Any, b: Any) -> bool:
    if _missing(a) or _missing(b):
        return _missing(a) and _missing(b)
    if isinstance(a, int | float) and isinstance(b, int | float):
        return math.isclose(a, b, rel_tol=RELATIVE, abs_tol=1e-12)
    return bool(a == b)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | Decimal) and not isinstance(value, bool)


def _change(a: Any, b: Any) -> tuple[Any, Any]:
    if _missing(a) or _missing(b) or not (_is_number(a) and _is_number(b)):
        return None, None
    exact = isinstance(a, Decimal) or isinstance(b, Decimal)
    delta = Decimal(str(b)) - Decimal(str(a)) if exact else b - a
    return delta, float(delta) / float(a) if float(a) else None
