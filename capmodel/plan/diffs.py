"""What changed between two plans: one row per figure that differs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

import pandas as pd

__all__ = ["COLUMNS", "Figure", "diff_frames", "figures", "is_number", "same", "worse_status"]

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
COLUMNS: Final = (
    "frame", "key", "metric", "unit", "old", "new", "delta", "delta_x", "status_old", "status_new",
    "cause",
)  # fmt: skip
METRIC_UNITS: Final[Mapping[str, str]] = {
    "usd": "USD",
    "required": "nodes",
    "replicas_needed": "pods",
    "connections_p50": "connections",
    "binds_at_x": "x today",
    "utilization_p50": "ratio",
    "p_saturate": "ratio",
    "risk": "ratio",
    "p_any": "ratio",
    "p_any_after_orders": "ratio",
}
OWN_UNIT: Final = ("hard", "peak_p50", "peak_p95")
"""Figures in the unit that their row names."""
STATUSES: Final = ("GREEN", "AMBER", "RED")
QUANTITY_UNITS: Final = {"per_min": "1/min", "rps": "1/s"}

Figure = tuple[str, str, str]
"""(frame, key, metric)."""


def diff_frames(old: Mapping[str, pd.DataFrame], new: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Return one row per figure that differs; a row on one side only has None on the other.

    Day-by-day demand is left to the season rows: a changed season names it once.
    """
    rows: list[tuple[Any, ...]] = []
    for name, (keys, metrics) in KEYS.items():
        before, after = _rows(old.get(name), keys), _rows(new.get(name), keys)
        for key in sorted(set(before) | set(after)):
            one, other = before.get(key, {}), after.get(key, {})
            statuses = tuple(_status(row) for row in (one, other))
            for metric in metrics:
                a, b = one.get(metric), other.get(metric)
                if not same(a, b):
                    words = (name, _words(key), metric, _unit(metric, other or one))
                    rows.append((*words, a, b, *_change(a, b), *statuses, ""))
    return pd.DataFrame(rows, columns=list(COLUMNS), dtype=object)


def figures(frames: Mapping[str, pd.DataFrame]) -> dict[Figure, Any]:
    """Return every figure that a diff compares, by frame, key and metric."""
    return {
        (name, _words(key), metric): row.get(metric)
        for name, (keys, metrics) in KEYS.items()
        for key, row in _rows(frames.get(name), keys).items()
        for metric in metrics
    }


def worse_status(old: str, new: str) -> bool:
    """Return whether a status is worse than before; evidence that is lost is worse than any.

    Examples
    --------
    >>> worse_status("GREEN", "AMBER"), worse_status("RED", "AMBER"), worse_status("RED", "GREY")
    (True, False, True)
    """
    if "GREY" in {old, new}:
        return new == "GREY" != old or (old == "GREY" and new in {"AMBER", "RED"})
    return STATUSES.index(new) > STATUSES.index(old)


def _words(key: tuple[str, ...]) -> str:
    return " ".join(part for part in key if part)


def _status(row: Mapping[str, Any]) -> str | None:
    status = row.get("status")
    return status if isinstance(status, str) else None


def _unit(metric: str, row: Mapping[str, Any]) -> str:
    if metric in OWN_UNIT:
        unit = row.get("unit", row.get("quantity"))
        return QUANTITY_UNITS.get(str(unit), str(unit)) if isinstance(unit, str) else ""
    if metric == "count":
        return "nodes" if row.get("kind") == "nodes" else "instances"
    return METRIC_UNITS.get(metric, "")


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


def same(a: Any, b: Any) -> bool:
    """Return whether two figures are the same, up to what nine digits can tell."""
    if _missing(a) or _missing(b):
        return _missing(a) and _missing(b)
    if isinstance(a, int | float) and isinstance(b, int | float):
        return math.isclose(a, b, rel_tol=RELATIVE, abs_tol=1e-12)
    return bool(a == b)


def is_number(value: Any) -> bool:
    """Return whether a figure can be subtracted."""
    return isinstance(value, int | float | Decimal) and not isinstance(value, bool)


def _change(a: Any, b: Any) -> tuple[Any, Any]:
    if _missing(a) or _missing(b) or not (is_number(a) and is_number(b)):
        return None, None
    exact = isinstance(a, Decimal) or isinstance(b, Decimal)
    delta = Decimal(str(b)) - Decimal(str(a)) if exact else b - a
    return delta, float(delta) / float(a) if float(a) else None
