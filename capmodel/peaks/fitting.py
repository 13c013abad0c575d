"""Burst ratios from fine history: which hours count, and who borrows from whom.

This module answers: what do the minutes of these services say about the bursts of their hours?
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from capmodel.errors import InputError, nearest
from capmodel.peaks.bursts import MINUTE_S, PeakFit, assumed_finding, check_window
from capmodel.peaks.pools import (
    MIN_HOURS,
    BurstPool,
    Observed,
    observed_pool,
    prior_pool,
    rate_slope,
)
from capmodel.peaks.ratios import HourTable, unevenness, usable_hours
from capmodel.peaks.remainder import Remainder, fit_remainder
from capmodel.peaks.windows import extrapolated_window
from capmodel.schema import DEMAND_QUANTITIES, Basis, Finding

if TYPE_CHECKING:
    from capmodel.events import Events
    from capmodel.history import History

__all__ = ["EVENT_TAG", "fit_peaks", "is_event_day"]

EVENT_TAG: Final = "retail_peak"
"""Tag of the event days whose hours form a pool of their own."""

_HOUR_MIN: Final = 60


@dataclass(frozen=True, slots=True, eq=False)
class _Hours:
    """The usable hours of one service."""

    table: HourTable
    ratio: np.ndarray
    per_min: np.ndarray
    at_event: np.ndarray
    slope: float
    step_min: int

    def pool(self, hours: np.ndarray) -> BurstPool | None:
        """Return the pool of some of the hours."""
        return observed_pool(
            self.ratio[hours],
            self.per_min[hours],
            slope=self.slope,
            step_min=self.step_min,
            dropped=self.table.dropped,
        )


def fit_peaks(
    fine: History,
    *,
    events: Events | None = None,
    services: Iterable[str] | None = None,
    window_s: float = MINUTE_S,
    fed_by: Mapping[str, Mapping[str, float]] | None = None,
) -> PeakFit:
    """Learn burst ratios by rate from fine history, ordinary and event hours apart.

    Per hour ``B = busiest step / mean of the hour``, and over hours ``log B = mu(rate) + eta ·
    log(rate) + event effect + s(rate) · residual`` (:func:`capmodel.peaks.pools.observed_pool`),
    residuals empirical, eta robust and shrunk toward 0 where rates hardly differ. An hour counts
    when at least 50 of its 60 minutes are there and none was interrupted (below a tenth of the
    hour's median minute, and too low to be chance). Nothing is extrapolated beyond the rates seen:
    there the ratio of the nearest rate holds; below them the counting noise is added that a lower
    rate has more.

    Parameters
    ----------
    fine
        History with a step of 1 to 30 minutes.
    events
        Days tagged ``retail_peak`` form the event pool; None: there are none.
    services
        Whose demand; None: every node with demand.
    window_s
        Length of the window that peaks are of, 1 to 60 [s]. Below the step it is extrapolated from
        how the variance of 1- to 10-minute means falls (:mod:`capmodel.peaks.windows`), so 60 with
        5-minute steps is extrapolated too; the ratios of the pools are those of steps.
    fed_by
        For each service with minutes of its own that is fed by drivers: driver to calls per event.
        What its busiest minute has beside theirs becomes its remainder. None: no remainders.

    Returns
    -------
    PeakFit
        Event hours without a pool of their own (fewer than 24 hours) take the ordinary one, with
        the median event effect of the services that saw both, ``basis=borrowed``; services without
        enough hours take the pool of all other services' hours, ``basis=borrowed``, or without any
        the prior, ``basis=assumed``. What a service measured itself depends on no other service.

    Raises
    ------
    InputError
        For an unknown service, a window outside 1 to 60 s, or a step that does not divide an hour.
    """
    check_window(window_s)
    fed_by = fed_by or {}
    names = _names(fine, services)
    _check_known({*names, *fed_by, *(r for f in fed_by.values() for r in f)}, fine.services)
    clean = fine.masked()
    hours = _usable(clean, events, names)
    ordinary, event, notes = _pools(hours)
    even = {name: unevenness(one.table, step_min=fine.step_min) for name, one in hours.items()}
    found = {
        name: extrapolated_window(one, window_s=window_s, step_min=fine.step_min)
        for name, one in even.items()
    }
    remainders, missing = _remainders(clean, fed_by)
    return PeakFit(
        ordinary,
        event,
        (*notes, *missing),
        unevenness=even,
        windows={name: window for name, window in found.items() if window is not None},
        remainders=remainders,
        window_s=window_s,
    )


def is_event_day(events: Events | None, dates: np.ndarray) -> np.ndarray:
    """Return which days carry an event tagged ``retail_peak``, shape (N,).

    Parameters
    ----------
    events
        The calendar, or None.
    dates
        Local days, shape (N,), datetime64[D].
    """
    if events is None:
        return np.zeros(len(dates), dtype=bool)
    days = [day.date for day in events.days if day.tag == EVENT_TAG]
    return np.isin(dates, np.array(days, dtype="datetime64[D]"))


def _names(fine: History, services: Iterable[str] | None) -> tuple[str, ...]:
    if fine.step_min >= _HOUR_MIN or _HOUR_MIN % fine.step_min:
        raise InputError.of(
            "fine history",
            got=f"a step of {fine.step_min} min",
            expected="a step below 60 min that divides the hour",
            do="Give minutes, or leave the fine history out.",
        )
    if services is not None:
        return tuple(services)
    return tuple(s for s in fine.services if set(fine.measured(s)) & set(DEMAND_QUANTITIES))


def _usable(clean: History, events: Events | None, names: Iterable[str]) -> dict[str, _Hours]:
    days = clean.axis.days()
    event_step = is_event_day(events, days.dates)[days.day_of_step]
    first = _first_full_hour(days.hour_of_step)
    found = {}
    for name in names:
        table = usable_hours(
            _per_min(clean, name)[first:],
            steps_per_hour=_HOUR_MIN // clean.step_min,
            events_per_unit=clean.step_min,
        )
        ratio, per_min = table.ratio, table.mean
        at_event = event_step[first:][table.start]
        calm = ~at_event if np.count_nonzero(~at_event) >= MIN_HOURS else np.ones_like(at_event)
        slope = 0.0
        if np.count_nonzero(calm) >= MIN_HOURS:
            slope = rate_slope(np.log(ratio[calm]), np.log(per_min[calm]))
        found[name] = _Hours(table, ratio, per_min, at_event, slope, clean.step_min)
    return found


def _per_min(history: History, name: str) -> np.ndarray:
    """Return a node's demand in events per minute, shape (T,)."""
    quantity = history.demand_quantity(name)
    return history.series(name, quantity) * (60.0 if quantity == "rps" else 1.0)


def _first_full_hour(hour_of_step: np.ndarray) -> int:
    # Found on the clock, not computed from UTC: in half-hour zones local hours start at :30 UTC.
    # The first change starts a full hour whether or not the grid starts with one.
    changes = np.flatnonzero(np.diff(hour_of_step))
    return int(changes[0]) + 1 if len(changes) else 0


def _pools(
    hours: Mapping[str, _Hours],
) -> tuple[dict[str, BurstPool], dict[str, BurstPool], list[Finding]]:
    own = {name: one.pool(~one.at_event) for name, one in hours.items()}
    own_event = {name: one.pool(one.at_event) for name, one in hours.items()}
    fleet = _fleet(hours) if any(pool is None for pool in own.values()) else None
    effect = _event_effect(own, own_event)
    ordinary, event, notes = {}, {}, []
    for name in hours:
        pool, found = _ordinary(name, own[name], fleet)
        ordinary[name] = pool
        notes += found
        measured = own_event[name]
        if measured is None:
            measured, note = _event(name, pool, effect)
            notes.append(note)
        event[name] = measured
    return ordinary, event, notes


def _fleet(hours: Mapping[str, _Hours]) -> BurstPool | None:
    """Return one pool of the ordinary hours of all services that have enough of them."""
    enough = [one for one in hours.values() if np.count_nonzero(~one.at_event) >= MIN_HOURS]
    if not enough:
        return None
    ratio = np.concatenate([one.ratio[~one.at_event] for one in enough])
    per_min = np.concatenate([one.per_min[~one.at_event] for one in enough])
    slope = rate_slope(np.log(ratio), np.log(per_min))
    return observed_pool(ratio, per_min, slope=slope, step_min=enough[0].step_min)


def _ordinary(
    name: str, own: BurstPool | None, fleet: BurstPool | None
) -> tuple[BurstPool, list[Finding]]:
    if own is not None:
        return own, []
    why = f"fewer than {MIN_HOURS} usable ordinary hours"
    if fleet is None:
        return prior_pool(why), [assumed_finding(name, why)]
    note = f"{why}: all other services' hours stand in"
    found = Finding("burst_borrowed", "warning", name, note)
    return fleet.shifted(0.0, basis="borrowed", note=note), [found]


def _event_effect(
    own: Mapping[str, BurstPool | None], own_event: Mapping[str, BurstPool | None]
) -> float | None:
    """Return the median over services of how much log B is higher in event hours of like rate."""
    effects = []
    for name, event in own_event.items():
        ordinary = own[name]
        if event is None or ordinary is None:
            continue
        if isinstance(event.law, Observed) and isinstance(ordinary.law, Observed):
            rate = np.asarray(event.law.busy_per_min)
            effects.append(float(event.law.center_at(rate) - ordinary.law.center_at(rate)))
    return float(np.median(effects)) if effects else None


def _event(name: str, ordinary: BurstPool, effect: float | None) -> tuple[BurstPool, Finding]:
    note = "no event hours in the fine history: ordinary hours stand in"
    basis: Basis = "assumed" if ordinary.basis == "assumed" else "borrowed"
    message = f"{note}; event hours were burstier where both were seen"
    if effect is not None and basis != "assumed":
        note += f", {np.exp(effect):.3g} times as bursty as for the services that saw both"
        message = note
    pool = ordinary.shifted(effect or 0.0, basis=basis, note=note)
    return pool, Finding("burst_borrowed", "info", name, message)


def _remainders(
    clean: History, fed_by: Mapping[str, Mapping[str, float]]
) -> tuple[dict[str, Remainder], list[Finding]]:
    """Return what services' busiest minutes have beside those carried down from their drivers."""
    first = _first_full_hour(clean.axis.days().hour_of_step)
    found: dict[str, Remainder] = {}
    notes = []
    for name, calls in fed_by.items():
        own = _per_min(clean, name)[first:]
        carried = sum(
            (ratio * _per_min(clean, root)[first:] for root, ratio in calls.items()),
            start=np.zeros_like(own),
        )
        both = np.isfinite(own) & np.isfinite(carried)
        tables = [
            usable_hours(
                np.where(both, series, np.nan),
                steps_per_hour=_HOUR_MIN // clean.step_min,
                events_per_unit=clean.step_min,
            )
            for series in (own, carried)
        ]
        common = np.intersect1d(tables[0].start, tables[1].start)
        left, right = (t.keep(np.isin(t.start, common)) for t in tables)
        remainder = fit_remainder(left.ratio, right.ratio, left.mean)
        if remainder is None:
            why = f"fewer than {MIN_HOURS} busy hours common with what feeds it: no remainder"
            notes.append(Finding("burst_remainder", "info", name, why))
        else:
            found[name] = remainder
    return found, notes


def _check_known(names: Iterable[str], known: tuple[str, ...]) -> None:
    for name in sorted(names):
        if name not in known:
            close = nearest(name, known)
            raise InputError.of(
                "services of the fine history",
                got=f'"{name}"',
                expected=f"one of: {', '.join(known)}",
                do=f'Did you mean "{close}"?' if close else "Leave it out: it gets the prior.",
            )
