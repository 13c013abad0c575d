"""Demand as the model takes it: local days x 24 hours x services, the unusable ones set aside.

This module answers: which nodes of a history carry demand, in which quantity, and which of them
cannot be fitted? One bad service never stops the others.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from capmodel.errors import InputError, Problem
from capmodel.history import local_cube
from capmodel.schema import DEMAND_QUANTITIES, SHED_OF, Finding

if TYPE_CHECKING:
    from capmodel.history import History

__all__ = ["SET_ASIDE", "SHORTEST_DAYS", "Panel", "nothing_usable", "read_panel"]

SHORTEST_DAYS: Final = 14
"""Fewer observed days than this cannot be fitted [days]."""
EXPECTED: Final = f"{SHORTEST_DAYS} days of hourly demand in {' or '.join(DEMAND_QUANTITIES)}"
SET_ASIDE: Final = "; the service is set aside and the others go on"
"""How the reason of a service that cannot be fitted ends, while others can."""
MANY_ZEROS: Final = 0.30
"""Share of zero hours above which a log model is doubtful [ratio]."""
MANY_NEGATIVE: Final = 0.01
"""Share of negative steps above which they are no glitch that a mask mends [ratio]."""
STALE_DAYS: Final = 28
"""A service silent for longer than this before the history's end is named [days]."""
SATURATED: Final = "saturated"
"""Tag of steps in which more was asked for than was served."""
HOUR_MIN: Final = 60
DAY_MIN: Final = 1440
HOURS: Final = 24


@dataclass(frozen=True, slots=True, eq=False)
class Panel:
    """Usable demand of every service on the same local days."""

    services: tuple[str, ...]
    quantities: tuple[str, ...]
    dates: np.ndarray
    """Consecutive local days, shape (N,), datetime64[D]."""
    values: np.ndarray
    """Hour means with NaN for gaps, shape (N, 24, S) [the service's quantity]."""
    first_day: np.ndarray
    """First observed day of each service, shape (S,)."""
    refused: tuple[Finding, ...]
    notes: tuple[Finding, ...]
    censored: np.ndarray | None = None
    """Hours whose value is only a lower bound, shape (N, 24, S) bool; None: there are none."""

    def censored_in(self, first: int, columns: np.ndarray) -> np.ndarray | None:
        """Return the lower bounds of some services from a day on."""
        return None if self.censored is None else self.censored[first:, :, columns]


def _daily_only() -> Finding:
    text = (
        "demand is known by the day: every hour is forecast at its day's mean, so the busiest hour "
        "is not known; give hourly data before sizing for a peak"
    )
    return Finding("daily_only", "warning", "", text)


def _without_demand(name: str, *, is_empty: bool) -> Finding:
    """Return the finding for a node without demand: a fault only when it has no data at all."""
    text = f"{name}: no {' or '.join(DEMAND_QUANTITIES)} column has values; it has no forecast"
    if is_empty:
        return Finding("all_nan", "error", name, text)
    return Finding("no_demand", "info", name, text)


def _negative_share(series: np.ndarray) -> float:
    """Return the share of the observed steps that are negative, before masking [ratio]."""
    seen = ~np.isnan(series)
    return float((series[seen] < 0).mean()) if seen.any() else 0.0


def _fault(name: str, values: np.ndarray, *, negative: float) -> Finding | None:
    """Return why a service cannot be fitted, None when it can; values have shape (N, 24)."""
    seen = values[~np.isnan(values)]
    days = int((~np.isnan(values)).any(axis=1).sum())
    checks = (
        (
            negative > MANY_NEGATIVE,
            "negative",
            f"demand is negative in {negative:.1%} of the steps",
        ),
        (len(seen) == 0, "all_nan", "no demand was observed"),
        (bool(np.isinf(seen).any()), "infinite", "demand holds infinite values"),
        (days < SHORTEST_DAYS, "too_short", f"{days} days observed, {SHORTEST_DAYS} are needed"),
        (not (seen > 0).any(), "constant_zero", "demand is zero throughout"),
    )
    for is_fault, code, message in checks:
        if is_fault:
            text = f"{name}: {message}{SET_ASIDE}"
            return Finding(code, "error", name, text, {"days": days})
    return None


def _notes(name: str, values: np.ndarray) -> list[Finding]:
    """Return what is doubtful about a usable service; values have shape (N, 24)."""
    out = []
    seen = ~np.isnan(values)
    zeros = float((values[seen] == 0).mean())
    if zeros > MANY_ZEROS:
        text = (
            f"{name}: {zeros:.0%} of the hours are zero; a log model describes such a series badly"
        )
        out.append(Finding("many_zeros", "warning", name, text, {"zero_share": zeros}))
    silent = len(values) - 1 - int(np.flatnonzero(seen.any(axis=1))[-1])
    if silent > STALE_DAYS:
        text = f"{name}: no demand observed in the last {silent} days; its level today is a guess"
        out.append(Finding("stale", "warning", name, text, {"days": silent}))
    return out


def _offered(history: History) -> dict[str, np.ndarray]:
    """Return each demand quantity with what was turned away added where that was counted."""
    arrays = {}
    for quantity in DEMAND_QUANTITIES:
        if quantity not in history.quantities:
            continue
        arrays[quantity] = history.array(quantity)
        if SHED_OF[quantity] in history.quantities:
            arrays[quantity] = arrays[quantity] + np.nan_to_num(history.array(SHED_OF[quantity]))
    return arrays


def _censored(
    history: History, rows: Iterable[tuple[str, str, np.ndarray]]
) -> tuple[np.ndarray | None, list[Finding]]:
    """Return the hours tagged as saturated whose shed load nobody counted, and what to say of them.

    They are lower bounds of what was offered, shape (N, 24, S) bool; None where there are none.
    """
    tagged = history.tags.get(SATURATED)
    if tagged is None or not tagged.any() or history.step_min > HOUR_MIN:
        return None, []
    bounds, notes = [], []
    for name, quantity, _ in rows:
        counted = SHED_OF[quantity] in history.measured(name)
        own = tagged[history.services.index(name)] & ~np.bool_(counted)
        bounds.append(own.astype(float))
        if own.any():
            text = (
                f"{name}: {int(own.sum())} steps are tagged {SATURATED} and what was turned away "
                f"was not counted ({SHED_OF[quantity]}); they are taken as lower bounds"
            )
            notes.append(Finding("censored", "warning", name, text, {"steps": int(own.sum())}))
    _, cube = local_cube(
        np.stack(bounds), start=history.start, step_min=history.step_min, tz=history.business_tz
    )
    return cube > 0, notes


def _demand_of_nodes(
    history: History,
) -> tuple[list[tuple[str, str, np.ndarray]], list[Finding], list[Finding]]:
    """Return (name, quantity, series) of nodes with demand; what is refused; what is noted."""
    arrays = _offered(history.masked())
    rows: list[tuple[str, str, np.ndarray]] = []
    refused: list[Finding] = []
    notes: list[Finding] = []
    for row, name in enumerate(history.services):
        # Named from the unmasked history, so that a service masked everywhere is refused by name.
        measured = history.measured(name)
        quantity = next((q for q in DEMAND_QUANTITIES if q in measured), None)
        if quantity is None:
            finding = _without_demand(name, is_empty=not measured)
            (refused if finding.severity == "error" else notes).append(finding)
            continue
        rows.append((name, quantity, arrays[quantity][row]))
    return rows, refused, notes


def read_panel(history: History) -> Panel:
    """Fold a history's demand into local days and set unusable services aside.

    The demand quantity of a node is the first of ``schema.DEMAND_QUANTITIES`` that it has; nodes
    with none (databases, externals) are noted. Cells that the history masks (outages, load tests,
    resets, ...) count as gaps; what was turned away (``shed_rps``) is added to what was served; and
    steps tagged ``saturated`` without such a count are lower bounds. What ``history.check()`` holds
    against the data is for the caller to judge; only what makes a fit impossible is refused here.

    Parameters
    ----------
    history
        Hourly or finer; finer steps are averaged over each hour. Or daily: then every hour stands
        at its day's mean, and a finding says that the peak hour is not known.

    Raises
    ------
    InputError
        When the step lies between an hour and a day, or no service is usable.
    """
    is_daily = history.step_min == DAY_MIN
    if history.step_min > HOUR_MIN and not is_daily:
        raise InputError.of(
            "history",
            got=f"a step of {history.step_min} minutes",
            expected="hourly or finer demand, or daily means",
            do="Give hourly data.",
        )
    rows, refused, notes = _demand_of_nodes(history)
    if not rows:
        raise nothing_usable(refused + notes)
    stacked = np.stack([series for _, _, series in rows])
    dates, cube = local_cube(
        stacked, start=history.start, step_min=history.step_min, tz=history.business_tz
    )
    if is_daily:
        cube = np.repeat(cube, HOURS, axis=1)
        notes.append(_daily_only())
    faults = [
        _fault(name, cube[:, :, i], negative=_negative_share(history.series(name, quantity)))
        for i, (name, quantity, _) in enumerate(rows)
    ]
    kept = [i for i, fault in enumerate(faults) if fault is None]
    refused += [fault for fault in faults if fault is not None]
    if not kept:
        raise nothing_usable(refused)
    values = np.ascontiguousarray(cube[:, :, kept])
    kept_rows = [rows[i] for i in kept]
    censored, bounds = _censored(history, kept_rows)
    notes += bounds
    for position, i in enumerate(kept):
        notes += _notes(rows[i][0], values[:, :, position])
    return Panel(
        services=tuple(rows[i][0] for i in kept),
        quantities=tuple(rows[i][1] for i in kept),
        dates=dates,
        values=values,
        first_day=(~np.isnan(values)).any(axis=1).argmax(axis=0),
        censored=censored,
        refused=tuple(refused),
        notes=tuple(notes),
    )


def nothing_usable(findings: Iterable[Finding], *, expected: str = EXPECTED) -> InputError:
    """Return the error of a fleet without a usable service, with each one's reason."""
    return InputError(
        Problem(
            where=finding.service,
            got=finding.message.removeprefix(f"{finding.service}: ").removesuffix(SET_ASIDE),
            expected=expected,
            do="Give at least one service with demand.",
        )
        for finding in findings
    )
