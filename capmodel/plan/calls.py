"""Calls per caller unit, from history or as declared: the edges of the call graph as distributions.

This module answers: how many requests does one unit of the caller cause, how sure is that, and is
it different on event days? Requests of a node are compared with its callers' in the same hours.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, Literal

import numpy as np

from capmodel.capacity.loads import CallRatio, point_weights
from capmodel.errors import InputError
from capmodel.history import local_cube
from capmodel.peaks import is_event_day
from capmodel.regression import huber_nnls, scaled_mad
from capmodel.schema import DEMAND_QUANTITIES, Finding

if TYPE_CHECKING:
    from capmodel.events import Events
    from capmodel.history import History
    from capmodel.topology import Topology

__all__ = ["carried_calls", "fit_calls"]

WINDOW_DAYS: Final = 120
"""Ordinary days, counted back from the last row, that the ratio is taken from: ratios drift."""
MIN_DAYS: Final = 14
MIN_EVENT_DAYS: Final = 3
EVENT_Z: Final = 3.0
"""The event regime is used where its log ratio lies this many standard errors from zero."""


def _per_second(history: History, node: str) -> np.ndarray:
    """Return a node's demand in events per second, shape (T,)."""
    quantity = history.demand_quantity(node)
    return history.series(node, quantity) / (60.0 if quantity == "per_min" else 1.0)


def _day_means(history: History, nodes: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Return (dates, means) of hours that every node has, means of shape (nodes, N)."""
    values = np.stack([_per_second(history, node) for node in nodes])
    values = np.where(np.isnan(values).any(axis=0), np.nan, values)
    dates, cube = local_cube(
        values, start=history.start, step_min=history.step_min, tz=history.business_tz
    )
    seen = (~np.isnan(cube)).sum(axis=1)
    sums = np.nansum(cube, axis=1)
    enough = seen >= seen.max() / 2
    return dates, np.where(enough, sums / np.maximum(seen, 1), np.nan).T


def fit_calls(
    history: History, topology: Topology, *, events: Events
) -> tuple[dict[tuple[str, str], CallRatio], tuple[Finding, ...]]:
    """Return every edge of the topology: declared numbers as they are, `fit` from history.

    The central ratio is the median of daily ratios over the last ordinary days (one caller), or a
    robust non-negative regression on the callers (several). The event-day regime is the mean log
    ratio of event days to that, used where it is clearly not zero.

    Parameters
    ----------
    history
        Demand of callers and called.
    topology
        The call graph.
    events
        The calendar, whose retail peak days form the event regime.

    Raises
    ------
    InputError
        Where an edge says `fit` and the history lacks one of its ends.
    """
    edges: dict[tuple[str, str], CallRatio] = {}
    findings: list[Finding] = []
    for node in topology.order:
        calls = topology.calls_of(node)
        fitted = [caller for caller, ratio in calls.items() if ratio == "fit"]
        for caller, ratio in calls.items():
            if ratio != "fit":
                edges[caller, node] = CallRatio(caller=caller, node=node, ratio=float(ratio))
        if fitted:
            _check_measured(history, node, [node, *calls])
            found = _fit_node(history, node, calls, fitted, events)
            edges.update({(edge.caller, node): edge for edge in found})
            findings += [_regime_finding(edge) for edge in found if edge.event_x != 1.0]
    return edges, tuple(findings)


def carried_calls(
    topology: Topology, edges: Mapping[tuple[str, str], CallRatio], fine: History
) -> dict[str, dict[str, float]]:
    """Return the services whose minutes can be compared with those carried down from their roots.

    Parameters
    ----------
    topology
        The call graph.
    edges
        Ratio of each edge by (caller, node).
    fine
        The minutes.

    Returns
    -------
    dict
        Service with calls and minutes of demand to root to its calls per root event; left out are
        services one of whose roots has no minutes.
    """
    with_minutes = {
        name for name in fine.services if set(fine.measured(name)) & set(DEMAND_QUANTITIES)
    }
    return {
        node: dict(weights)
        for node, weights in point_weights(topology, edges).items()
        if topology.calls_of(node) and with_minutes >= {node, *weights}
    }


def _check_measured(history: History, node: str, nodes: list[str]) -> None:
    missing = [n for n in nodes if n not in history.services]
    if missing:
        raise InputError.of(
            f"{node}.calls",
            got=f"fit, but the history has no rows for {', '.join(missing)}",
            expected="history of the node and of everything that calls it",
            do="Add the rows, or declare the calls as numbers.",
        )


def _fit_node(
    history: History,
    node: str,
    calls: Mapping[str, float | Literal["fit"]],
    fitted: list[str],
    events: Events,
) -> list[CallRatio]:
    dates, means = _day_means(history, [node, *calls])
    target = means[0].copy()
    regressors = []
    for mean, (_caller, ratio) in zip(means[1:], calls.items(), strict=True):
        if ratio == "fit":
            regressors.append(mean)
        else:
            target = target - float(ratio) * mean
    x = np.stack(regressors, axis=1)
    usable = ~np.isnan(target) & (x > 0).all(axis=1) & (target > 0)
    is_event = is_event_day(events, dates)
    recent = np.flatnonzero(usable & ~is_event)[-WINDOW_DAYS:]
    if len(recent) < MIN_DAYS:
        raise InputError.of(
            f"{node}.calls",
            got=f"fit with {len(recent)} common days of history",
            expected=f"{MIN_DAYS} days or more in which the node and its callers are measured",
            do="Declare the calls as numbers.",
        )
    if len(fitted) == 1:
        ratios = np.array([float(np.median(target[recent] / x[recent, 0]))])
    else:
        ratios = huber_nnls(x[recent], target[recent]).value
    log_ratio = np.full(len(dates), np.nan)
    log_ratio[usable] = np.log(target[usable] / (x[usable] @ ratios))
    sd = scaled_mad(log_ratio[recent], center=None)
    log_se = _week_error(log_ratio[recent])
    event_x, event_se = _event_regime(log_ratio[usable & is_event], sd)
    return [
        CallRatio(
            caller=caller,
            node=node,
            ratio=float(ratio),
            log_se=log_se,
            day_log_sd=sd,
            event_x=event_x,
            event_log_se=event_se,
            basis="fitted",
        )
        for caller, ratio in zip(fitted, ratios, strict=True)
    ]


def _week_error(log_ratio: np.ndarray) -> float:
    """Return the standard error of the central log ratio from the scatter of its weeks.

    Days within a week are correlated; weeks nearly not.
    """
    weeks = np.array(
        [np.median(week) for week in np.array_split(log_ratio, max(len(log_ratio) // 7, 2))]
    )
    return float(weeks.std(ddof=1) / np.sqrt(len(weeks)))


def _event_regime(log_ratio: np.ndarray, day_sd: float) -> tuple[float, float]:
    """Return (event ratio / ordinary ratio, its log standard error)."""
    n = len(log_ratio)
    if n < MIN_EVENT_DAYS:
        return 1.0, 0.0
    mean = float(log_ratio.mean())
    error = max(float(log_ratio.std(ddof=1)), day_sd) / np.sqrt(n)
    if abs(mean) <= EVENT_Z * error:
        return 1.0, 0.0
    return float(np.exp(mean)), float(error)


def _regime_finding(edge: CallRatio) -> Finding:
    change = edge.event_x - 1
    return Finding(
        code="event_calls",
        severity="info",
        service=edge.node,
        message=f"calls per {edge.caller} on event days are {change:+.1%} against ordinary days",
        data={"caller": edge.caller, "ratio": edge.ratio, "event_x": edge.event_x},
    )
