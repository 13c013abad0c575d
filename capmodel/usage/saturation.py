"""Rows whose usage is only a lower bound: at a limit, throttled, or with requests left unserved.

This module answers: in which rows would the load have used more, had it been allowed to? Such rows
are right-censored, not dropped: dropping them selects on the outcome and lowers the slope. It works
on arrays.

The load of a regression counts *attempts*, failed ones included, because plans multiply its slope
by demand, which is attempts too. Where few fail, attempts and requests served are the same number;
where many fail, usage falls short of what the attempts would use, and the row is a lower bound.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.special import ndtr

from capmodel.errors import InputError, Problem
from capmodel.regression import mm_nnls

__all__ = ["Saturation", "saturated_rows"]

AT_LIMIT: Final = 0.95
"""A row's mean usage from this share of its limit is at it: the quota bites in periods of 0.1 s,
so a minute's mean stays a little below a limit that binds within it."""

THROTTLED_SHARE: Final = 0.05
"""Throttled share above which usage is held back; the limit that plans hold it to."""

FAILED_SHARE: Final = 0.05
"""Share of attempts unserved from which a row counts: below it, usage is short by no more than the
scatter of ordinary minutes."""

SLOW: Final = 5.0
"""Latency above this many times its unloaded level: one server's utilization of 0.8, as
``R = S/(1 − ρ)``."""

SLOW_SHORTFALL: Final = 0.02
"""Share unserved that counts where latency says the same."""

NEIGHBOURS: Final = 11
"""Rows of similar load whose served and offered requests are summed: what one interval completes
of the previous one's requests cancels among them."""

PLATEAU_BAND: Final = 0.04
"""A plateau shows within this share below the largest usage: counters are off by up to 2 %."""

PLATEAU_ROWS: Final = 10
"""Fewest rows on a plateau."""

PLATEAU_PILE: Final = 3.0
"""The plateau holds this many times the rows of an equal band below it. Without a limit, rows thin
out toward the largest usage, or at most gather there as at the top of a sine: 2.4 times."""

PLATEAU_SHORTFALL: Final = 1.1
"""The load of an upper quarter of the plateau's rows asks for this much more than the plateau."""

PLATEAU_MISSING: Final = 15.0
"""… or the line and its scatter ask for this many rows above the largest usage, where none is: by
chance in one of three million cases."""

PLATEAU_STEPS: Final = 1.5
"""… and for this many steps more where usage comes in whole steps (rounded or integer)."""


@dataclass(frozen=True, slots=True, eq=False)
class Saturation:
    """Rows whose usage is a lower bound (``mask``, shape (T,)), what it was at least, and why.

    ``bound`` (T,) is usage itself, except where usage chose the row: there it is the level from
    which rows were chosen (95 % of the limit, the foot of the plateau), for that alone is known of
    all of them. ``reasons`` counts ``at_limit``, ``plateau``, ``throttled``, ``failed``,
    ``unserved`` and ``slow``; a row may have several, and reasons without rows are left out.
    """

    mask: np.ndarray
    bound: np.ndarray
    reasons: Mapping[str, int]


def saturated_rows(  # noqa: PLR0913  each argument is one column that may have been measured
    usage: np.ndarray,
    load: np.ndarray,
    *,
    pods: np.ndarray | None = None,
    limit: np.ndarray | float | None = None,
    throttled_share: np.ndarray | None = None,
    failed_rps: np.ndarray | None = None,
    offered_rps: np.ndarray | None = None,
    latency_ms: np.ndarray | None = None,
) -> Saturation:
    """Find the rows in which usage is a lower bound of what the load asked for.

    - ``at_limit``: usage ≥ 95 % of `limit` times `pods`.
    - ``plateau``, among the other rows: at least ten lie within 4 % of the largest usage per pod,
      three times as many as in the 4 % below, and the line through the rows of lower loads asks for
      at least 10 % more (1.5 steps where usage is rounded) at their upper-quartile load, or its
      scatter for fifteen rows above the largest usage.
    - ``throttled``: `throttled_share` > 5 %.
    - ``failed``: `failed_rps` > 5 % of `load`: counted by the same counter, each row for itself.
    - ``unserved``: in the upper half of offered load, less than 95 % of it was served, summed over
      the eleven rows of nearest offered load: `load` and `offered_rps` come from two clocks.
    - ``slow``: as ``unserved`` from 98 %, in a row whose latency is more than five times the median
      of the lower half of offered load.

    Parameters
    ----------
    usage
        Usage of the node, all pods together, shape (T,).
    load
        Attempts that reached the node, failed ones included [1/s], shape (T,).
    pods
        Running pods, shape (T,); None: one node.
    limit
        Limit per pod [unit of usage], one number or shape (T,); NaN or infinite where there is
        none.
    throttled_share
        Share of time or periods throttled [0 to 1], shape (T,).
    failed_rps
        Those of `load` that were not served: errors, timeouts, turned away [1/s], shape (T,).
    offered_rps
        Attempts as the callers count them, also those that never reached the node [1/s],
        shape (T,).
    latency_ms
        Latency of one kind throughout [ms], shape (T,).

    Returns
    -------
    Saturation

    Raises
    ------
    InputError
        For a column of another length, a negative value, or a throttled share above 1; every such
        column is named.

    Notes
    -----
    Missing values (NaN) are evidence of nothing. Latency alone marks no row: by Little's law at
    most ``latency / interval`` of an interval's requests are in flight at its end, so while
    throughput follows offered load, usage is what the load asked for, however slow. Usage near zero
    at full load is an outlier, not saturated: the robust fit rejects it.

    References
    ----------
    Tobin, J. (1958), Estimation of relationships for limited dependent variables, Econometrica
    26(1), 24–36. Little, J. D. C. (1961), Operations Research 9(3), 383–387.

    Examples
    --------
    >>> rps = np.linspace(10.0, 60.0, 6)
    >>> found = saturated_rows(np.minimum(0.1 * rps, 4.0), rps, limit=2.0, pods=np.full(6, 2.0))
    >>> found.mask.tolist()
    [False, False, False, True, True, True]
    >>> dict(found.reasons)
    {'at_limit': 3}
    """
    given = {
        "usage": usage,
        "load": load,
        "pods": pods,
        "limit": limit,
        "throttled_share": throttled_share,
        "failed_rps": failed_rps,
        "offered_rps": offered_rps,
        "latency_ms": latency_ms,
    }
    _check(given, rows=len(usage))
    count = np.ones(len(usage)) if pods is None else pods
    with np.errstate(divide="ignore", invalid="ignore"):
        level = AT_LIMIT * np.where(count > 0, (np.inf if limit is None else limit) * count, np.inf)
        at_limit = usage >= level
        # A ceiling below the limit (one thread, a full node) shows in the other rows.
        foot = _plateau((usage / count)[~at_limit], (load / count)[~at_limit]) * count
        plateau = ~at_limit & (usage >= foot)
    found = {"at_limit": at_limit, "plateau": plateau}
    if throttled_share is not None:
        found["throttled"] = throttled_share > THROTTLED_SHARE
    if failed_rps is not None:
        found["failed"] = (load > 0) & (failed_rps > FAILED_SHARE * load)
    if offered_rps is not None:
        failed = np.zeros(len(load)) if failed_rps is None else failed_rps
        with np.errstate(divide="ignore", invalid="ignore"):
            offered = offered_rps / count
            short, high = _shortfall((load - failed) / count, offered)
        found["unserved"] = high & (short > FAILED_SHARE)
        if latency_ms is not None:
            slow = latency_ms > SLOW * _unloaded(latency_ms, offered, high)
            found["slow"] = high & slow & (short > SLOW_SHORTFALL)
    mask = np.logical_or.reduce(list(found.values()))
    reasons = {k: int(rows.sum()) for k, rows in found.items() if rows.any()}
    return Saturation(mask, np.select([at_limit, plateau], [level, foot], usage), reasons)


def _check(given: Mapping[str, np.ndarray | float | None], *, rows: int) -> None:
    problems = []
    for name, column in given.items():
        if column is None:
            continue
        values = np.asarray(column, dtype=float)
        if values.shape != (rows,) and not (name == "limit" and values.ndim == 0):
            problems.append(
                Problem(name, f"shape {values.shape}", f"shape ({rows},)", "Give one per row.")
            )
            continue
        most = 1.0 if name == "throttled_share" else np.inf
        if (values < 0).any() or (values > most).any():
            worst = float(np.nanmin(values) if (values < 0).any() else np.nanmax(values))
            what = "a share from 0 to 1" if most == 1 else "a number >= 0"
            problems.append(Problem(name, f"{worst:.4g}", what, "Check the unit, or set it NaN."))
    if problems:
        raise InputError(problems)


def _plateau(usage: np.ndarray, load: np.ndarray) -> float:
    """Return the foot of a plateau that usage shows itself, infinite where there is none."""
    known = np.isfinite(usage) & np.isfinite(load)
    if np.count_nonzero(known) < 2 * PLATEAU_ROWS:
        return np.inf
    top = float(usage[known].max())
    band = PLATEAU_BAND * top
    on = known & (usage >= top - band)
    below = known & (usage >= top - 2 * band) & ~on
    held = np.count_nonzero(on)
    if held < PLATEAU_ROWS or held < PLATEAU_PILE * np.count_nonzero(below):
        return np.inf
    # Chosen by load, not by usage: the rows that noise kept off the plateau would lower the line.
    lower = known & (load < np.quantile(load[on], 0.25)) & (load > 0)
    if np.count_nonzero(lower) < PLATEAU_ROWS:
        return np.inf
    line = mm_nnls(np.column_stack([np.ones(np.count_nonzero(lower)), load[lower]]), usage[lower])
    asked = float(line.value[0] + line.value[1] * np.quantile(load[on], 0.75))
    step = float(np.diff(np.unique(usage[known])).min(initial=np.inf))
    sure = asked >= max(PLATEAU_SHORTFALL * top, top + PLATEAU_STEPS * step)
    if not sure and line.scale > 0 and step < band / 4:  # in whole steps every value is a pile
        fitted = line.value[0] + line.value[1] * load[known]
        score = np.log((top + step / 2) / np.maximum(fitted, 1e-300)) / line.scale
        sure = float(ndtr(-score).sum()) >= PLATEAU_MISSING
    return top - band if sure else np.inf


def _shortfall(served: np.ndarray, offered: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the share unserved among rows of similar offered load, and which half is the upper."""
    short = np.zeros(len(offered))
    known = np.flatnonzero(np.isfinite(served) & np.isfinite(offered) & (offered > 0))
    high = np.zeros(len(offered), dtype=bool)
    if len(known) < 2 * NEIGHBOURS:
        return short, high
    order = known[np.argsort(offered[known], kind="stable")]
    # The first and last rows share the outermost full window.
    sums = [
        np.convolve(column[order], np.ones(NEIGHBOURS), mode="valid")
        for column in (served, offered)
    ]
    position = np.clip(np.arange(len(order)) - NEIGHBOURS // 2, 0, len(order) - NEIGHBOURS)
    short[order] = (1 - sums[0] / sums[1])[position]
    high[known] = offered[known] > np.median(offered[known])
    return short, high


def _unloaded(latency: np.ndarray, offered: np.ndarray, high: np.ndarray) -> float:
    seen = latency[~high & (offered > 0) & (latency > 0)]
    return float(np.median(seen)) if len(seen) else np.inf
