"""How far the plan's peaks were from what happened, and whether its intervals held.

This module answers: by how much was each peak missed, was the actual inside P10 to P90, and how
much do so many peaks prove? Errors are forecast - actual: a negative bias is an under-forecast.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import pandas as pd

from capmodel import accuracy
from capmodel.retro.comparable import Comparable
from capmodel.retro.observed import Observed
from capmodel.retro.planned import Planned
from capmodel.retro.quantiles import pit

__all__ = ["coverage_frame", "days_frame", "peaks_frame", "scores_frame"]

NOMINAL: Final = 0.80
"""Share of actuals that P10 to P90 promises [ratio]."""
PEAK_COLUMNS: Final = [
    "kind", "service", "quantity", "planned", "peak_p10", "peak_p50", "peak_p90", "peak_p95",
    "actual", "date", "event", "ape", "bias", "pit", "inside_p80", "pinball_p50", "pinball_p90",
    "pinball_p95", "whole", "basis",
]  # fmt: skip
DAY_COLUMNS: Final = [
    "service", "date", "event", "quantity", "peak_p10", "peak_p50", "peak_p90", "peak_p95",
    "actual", "residual_x", "ape", "bias", "pit", "inside_p80", "whole",
]  # fmt: skip
SCORE_COLUMNS: Final = ["service", "days", "n_days", "wape", "bias", "p80_coverage"]
COVERAGE_COLUMNS: Final = [
    "of", "interval", "nominal", "hits", "n", "coverage", "coverage_low", "coverage_high", "reads",
]  # fmt: skip


def peaks_frame(planned: Planned, observed: Observed, actual: Comparable) -> pd.DataFrame:
    """Return one row per node: its season's peak, planned and actual.

    ``ape = |forecast - actual| / actual`` and ``bias = (forecast - actual) / actual`` are of the
    planning point, the likeliest scenario's P50; quantiles are the mixture's.
    """
    rows = []
    season = planned.in_season
    for node in observed.nodes:
        value, day = actual.season(node, season)
        if math.isnan(value):
            continue
        quantiles = planned.season[node]
        whole = bool(observed.whole(node)[season].all())
        losses = {
            f"pinball_p{round(100 * q)}": float(accuracy.pinball([value], [forecast], q))
            for q, forecast in zip((0.5, 0.9, 0.95), quantiles[1:], strict=True)
        }
        rows.append(
            {
                "kind": planned.kind[node],
                "service": node,
                "quantity": planned.quantity[node],
                "planned": planned.points[node],
                **_quantile_columns(quantiles),
                "actual": value,
                "date": str(planned.dates[day]),
                "event": planned.events[day],
                **_errors(planned.points[node], value),
                "pit": pit(value, quantiles),
                "inside_p80": quantiles[0] <= value <= quantiles[2],
                **losses,
                "whole": whole,
                "basis": actual.basis,
            }
        )
    return pd.DataFrame(rows, columns=PEAK_COLUMNS)


def days_frame(planned: Planned, observed: Observed, actual: Comparable) -> pd.DataFrame:
    """Return one row per root and seen day of the season, planned by the mixture."""
    rows = []
    for root in (r for r in planned.roots if r in observed.nodes):
        whole = observed.whole(root)
        for n in np.flatnonzero(planned.in_season & ~np.isnan(actual.peaks[root])):
            value, quantiles = float(actual.peaks[root][n]), planned.days[root][n].tolist()
            rows.append(
                {
                    "service": root,
                    "date": str(planned.dates[n]),
                    "event": planned.events[n],
                    "quantity": planned.quantity[root],
                    **_quantile_columns(quantiles),
                    "actual": value,
                    "residual_x": value / quantiles[1] - 1,
                    **_errors(quantiles[1], value),
                    "pit": pit(value, quantiles),
                    "inside_p80": quantiles[0] <= value <= quantiles[2],
                    "whole": bool(whole[n]),
                }
            )
    return pd.DataFrame(rows, columns=DAY_COLUMNS)


def _quantile_columns(quantiles: Sequence[float]) -> dict[str, float]:
    names = ("peak_p10", "peak_p50", "peak_p90", "peak_p95")
    return dict(zip(names, quantiles, strict=True))


def _errors(forecast: float, actual: float) -> dict[str, float]:
    error = (forecast - actual) / actual if actual > 0 else math.nan
    return {"ape": abs(error), "bias": error}


def scores_frame(days: pd.DataFrame) -> pd.DataFrame:
    """Return WAPE, bias and coverage of each root over its whole days, and over its event days."""
    rows: list[dict[str, Any]] = []
    whole = days[days["whole"].astype(bool)]
    for root in dict.fromkeys(whole["service"]):
        own = whole[whole["service"] == root]
        for words, part in (("all", own), ("event days", own[own["event"] != ""])):
            if part.empty:
                continue
            actual, forecast = part["actual"].to_numpy(), part["peak_p50"].to_numpy()
            rows.append(
                {
                    "service": root,
                    "days": words,
                    "n_days": len(part),
                    "wape": float(accuracy.wape(actual, forecast)),
                    "bias": float((forecast - actual).sum() / actual.sum()),
                    "p80_coverage": float(part["inside_p80"].mean()),
                }
            )
    return pd.DataFrame(rows, columns=SCORE_COLUMNS)


def coverage_frame(peaks: pd.DataFrame, days: pd.DataFrame) -> pd.DataFrame:
    """Return how often P10 to P90 held, with the binomial interval of Clopper and Pearson (1934).

    The interval takes peaks for independent. Peaks that one root feeds miss together, so it is
    the narrowest that so many peaks can justify.
    """
    kept = peaks[peaks["whole"].astype(bool)]
    whole = days[days["whole"].astype(bool)]
    parts = {
        "service peaks of the season": kept,
        "days of the roots": whole,
        "event days of the roots": whole[whole["event"] != ""],
    }
    rows = []
    for words, part in parts.items():
        hits, n = int(part["inside_p80"].sum()), len(part)
        low, high = (float(x) for x in accuracy.binomial_interval(hits, n))
        rows.append(
            {
                "of": words,
                "interval": "P10-P90",
                "nominal": NOMINAL,
                "hits": hits,
                "n": n,
                "coverage": hits / n if n else math.nan,
                "coverage_low": low,
                "coverage_high": high,
                "reads": _reads(low, high, n),
            }
        )
    return pd.DataFrame(rows, columns=COVERAGE_COLUMNS)


def _reads(low: float, high: float, n: int) -> str:
    if not n:
        return "nothing to judge"
    if high < NOMINAL:
        return "too narrow"
    return "too wide" if low > NOMINAL else "as promised, as far as so many show"
