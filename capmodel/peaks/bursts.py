"""From the mean of an hour to its busiest minute: burst ratios, learned or assumed.

This module answers: how much higher is the peak minute of an hour than the hour's mean? The ratio
is a distribution, drawn per hour and path *before* the maximum over hours is taken, because the
busiest minute often lies outside the busiest hour. It does not know demand, only its ratios.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final, Literal

import numpy as np
import pandas as pd
from scipy.special import ndtri

from capmodel.errors import InputError, nearest
from capmodel.schema import DEMAND_QUANTITIES, Basis, Finding, Findings

if TYPE_CHECKING:
    from capmodel.events import Events
    from capmodel.history import History

__all__ = [
    "EVENT_TAG",
    "PRIOR_MEDIAN_X",
    "PRIOR_P95_X",
    "BurstPool",
    "PeakFit",
    "burst_ratios",
    "fit_peaks",
    "hour_mean_undersize",
    "is_event_day",
]

PRIOR_MEDIAN_X: Final = 1.2
PRIOR_P95_X: Final = 1.6
"""Peak minute / hour mean without fine data: median 1.2, 95 % below 1.6. Rounded from 2,084 full
hours of the 1998 World Cup site (median 1.215, p95 1.587)."""

EVENT_TAG: Final = "retail_peak"
"""Tag of the event days whose hours form a pool of their own."""

_MIN_COVERAGE: Final = 50 / 60
"""Share of an hour's minutes that must be there."""

_INTERRUPTED: Final = 0.1
"""An hour with a minute below this share of its median minute was interrupted, not bursty."""

_MIN_HOURS: Final = 24
"""Fewest hours of a pool."""

_NORMAL_95: Final = 1.6448536269514722

Kind = Literal["ordinary", "event"]
_KINDS: Final[tuple[Kind, ...]] = ("ordinary", "event")


@dataclass(frozen=True, slots=True, eq=False)
class BurstPool:
    """A distribution of peak minute / hour mean.

    ``ratios`` are the observed ratios, sorted; empty for the prior lognormal, one value for a
    stated number. ``n_hours`` counts the hours behind it, ``dropped`` those left out by reason.
    """

    ratios: np.ndarray
    basis: Basis
    n_hours: int = 0
    dropped: Mapping[str, int] = field(default_factory=dict)
    note: str = ""

    def quantile(self, u: np.ndarray | float) -> np.ndarray:
        """Return the ratio at probabilities `u`, any shape; never below 1.

        An observed pool gives its own values (inverse of the empirical distribution); the prior is
        lognormal, cut at 1, since no peak minute lies below the mean of its hour.
        """
        u = np.asarray(u, dtype=float)
        if len(self.ratios):
            index = np.minimum((u * len(self.ratios)).astype(np.intp), len(self.ratios) - 1)
            return np.asarray(self.ratios[index])
        sigma = math.log(PRIOR_P95_X / PRIOR_MEDIAN_X) / _NORMAL_95
        return np.maximum(np.exp(math.log(PRIOR_MEDIAN_X) + sigma * ndtri(u)), 1.0)


@dataclass(frozen=True, slots=True, eq=False)
class PeakFit:
    """Burst pools per service, for ordinary and for event hours.

    A service without a pool gets the prior, ``basis=assumed``.
    """

    ordinary: Mapping[str, BurstPool]
    event: Mapping[str, BurstPool]
    notes: tuple[Finding, ...] = ()

    @classmethod
    def assumed(cls, services: Iterable[str]) -> PeakFit:
        """Return the prior for every service: what a plan without fine data rests on."""
        names = tuple(services)
        why = "no fine history"
        pools = dict.fromkeys(names, _prior(why))
        return cls(pools, pools, tuple(_assumed(name, why) for name in names))

    @classmethod
    def number(cls, services: Iterable[str], peak_minute_x: float) -> PeakFit:
        """Return one stated factor for every service.

        Examples
        --------
        >>> PeakFit.number(["checkouts"], 1.35).pool("checkouts", "event").ratios
        array([1.35])
        """
        return cls.assumed(()).with_declared(dict.fromkeys(services, peak_minute_x))

    @property
    def findings(self) -> Findings:
        """What is assumed or borrowed."""
        return Findings(self.notes)

    def pool(self, service: str, kind: Kind) -> BurstPool:
        """Return the pool of a service, the prior where it has none."""
        pools = self.event if kind == "event" else self.ordinary
        return pools.get(service) or _prior("not in the fine history")

    def basis(self, service: str, *, event: bool) -> Basis:
        """Return what a service's factor rests on."""
        return self.pool(service, "event" if event else "ordinary").basis

    def burst(
        self,
        service: str,
        is_event: np.ndarray,
        shape: tuple[int, int, int],
        rng: np.random.Generator,
    ) -> np.ndarray:
        """Draw the peak-minute factor of every path, day and hour.

        One uniform per cell through the inverse distribution of the day's pool.

        Parameters
        ----------
        service
            Whose pools.
        is_event
            Which days are event days, shape (N,).
        shape
            (draws, days, slots a day). With one slot a day the level already is the day's peak
            minute, so the factor is 1 and nothing is drawn.
        rng
            Source of randomness.

        Returns
        -------
        numpy.ndarray
            Factor on the hour's mean [ratio], shape `shape`.

        Raises
        ------
        InputError
            If `is_event` does not have one value per day.

        Examples
        --------
        >>> fit = PeakFit.number(["checkouts"], 1.35)
        >>> days = np.array([False, True])
        >>> fit.burst("checkouts", days, (3, 2, 24), np.random.default_rng(0)).max()
        np.float64(1.35)
        """
        if np.shape(is_event) != (shape[1],):
            raise InputError.of(
                f"burst of {service}",
                got=f"is_event of shape {np.shape(is_event)}",
                expected=f"one flag per day, shape ({shape[1]},)",
                do="Give is_event for the same days as the paths.",
            )
        if shape[2] == 1:
            return np.ones(shape)
        uniform = rng.random(shape)
        factor = np.empty(shape)
        for kind in _KINDS:
            days = is_event if kind == "event" else ~is_event
            if days.any():
                factor[:, days] = self.pool(service, kind).quantile(uniform[:, days])
        return factor

    def with_declared(self, peak_minute_x: Mapping[str, float]) -> PeakFit:
        """Return a copy in which these services have a stated factor, ``basis=assumed``.

        Parameters
        ----------
        peak_minute_x
            Service to peak minute / mean of its hour [ratio].

        Raises
        ------
        InputError
            For a factor below 1.
        """
        for service, factor in peak_minute_x.items():
            if not (math.isfinite(factor) and factor >= 1):
                raise InputError.of(
                    f"{service}.peak_minute_x",
                    got=factor,
                    expected="a ratio >= 1",
                    do="A peak minute is no lower than the mean of its hour.",
                )
        pools = {
            service: BurstPool(np.array([float(factor)]), "assumed", note="declared")
            for service, factor in peak_minute_x.items()
        }
        notes = tuple(n for n in self.notes if n.service not in pools)
        return replace(
            self,
            ordinary={**self.ordinary, **pools},
            event={**self.event, **pools},
            notes=notes,
        )

    @property
    def summary(self) -> pd.DataFrame:
        """One row per service and kind of hour: hours, median, p95, largest, basis, note."""
        rows = []
        for service in sorted(self.ordinary):
            for kind in _KINDS:
                pool = self.pool(service, kind)
                median, p95 = pool.quantile(np.array([0.5, 0.95]))
                top = float(pool.ratios[-1]) if len(pool.ratios) else math.nan
                row = (service, kind, pool.n_hours, median, p95, top, pool.basis, pool.note)
                rows.append(row)
        columns = ["service", "hours", "n_hours", "median_x", "p95_x", "max_x", "basis", "note"]
        return pd.DataFrame(rows, columns=columns)

    def to_frame(self) -> pd.DataFrame:
        """Return :attr:`summary`, the name every result answers to."""
        return self.summary

    def _repr_html_(self) -> str:
        return str(self.summary.to_html(index=False))


def fit_peaks(
    fine: History, *, events: Events | None = None, services: Iterable[str] | None = None
) -> PeakFit:
    """Learn burst ratios from fine history, ordinary and event hours apart.

    Per hour ``ratio = busiest step / mean of the hour``. An hour counts when at least 50 of its 60
    minutes are there and none was interrupted (below a tenth of the hour's median minute). Of each
    kind only the hours at or above the median rate are pooled: peaks happen there, and small hours
    are burstier than any that a plan is sized for.

    Parameters
    ----------
    fine
        History with a step of 1 to 30 minutes; ratios of a coarser step are lower.
    events
        Days tagged ``retail_peak`` form the event pool; None: there are none.
    services
        Whose demand; None: every node with demand.

    Returns
    -------
    PeakFit
        Event hours without a pool of their own (fewer than 24 hours) borrow the ordinary one,
        ``basis=borrowed``; services without enough hours get the prior, ``basis=assumed``.

    Raises
    ------
    InputError
        For an unknown service, or a step that does not divide an hour.
    """
    if fine.step_min >= 60 or 60 % fine.step_min:  # noqa: PLR2004  minutes of an hour
        raise InputError.of(
            "fine history",
            got=f"a step of {fine.step_min} min",
            expected="a step below 60 min that divides the hour",
            do="Give minutes, or leave the fine history out.",
        )
    if services is None:
        names = tuple(s for s in fine.services if set(fine.measured(s)) & set(DEMAND_QUANTITIES))
    else:
        names = tuple(services)
        _check_known(names, fine.services)
    days = fine.axis.days()
    event_step = is_event_day(events, days.dates)[days.day_of_step]
    first = _first_full_hour(days.hour_of_step)
    clean = fine.masked()
    ordinary, event, notes = {}, {}, []
    for name in names:
        series = clean.series(name, clean.demand_quantity(name))
        ratios, rate, start, dropped = burst_ratios(
            series[first:], steps_per_hour=60 // fine.step_min
        )
        at_event = event_step[first:][start]
        pools, found = _pools(name, ratios, rate, at_event, dropped)
        ordinary[name], event[name] = pools
        notes += found
    return PeakFit(ordinary, event, tuple(notes))


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


def burst_ratios(
    series: np.ndarray, *, steps_per_hour: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, Mapping[str, int]]:
    """Return busiest step / mean of each usable hour.

    Parameters
    ----------
    series
        Rates from a full hour's start on, shape (T,), NaN is a gap.
    steps_per_hour
        60 for minutes.

    Returns
    -------
    ratios, rate, start, dropped
        Ratio and mean rate per usable hour, the index of its first step, and the hours left out
        by reason (hours without any value are not counted).

    Examples
    --------
    >>> minutes = np.full(120, 100.0)
    >>> minutes[70] = 150.0
    >>> ratios, rate, start, _ = burst_ratios(minutes, steps_per_hour=60)
    >>> ratios.round(4).tolist(), start.tolist()
    ([1.0, 1.4876], [0, 60])
    """
    hours = len(series) // steps_per_hour
    table = series[: hours * steps_per_hour].reshape(hours, steps_per_hour)
    count = np.isfinite(table).sum(axis=1)
    some = np.flatnonzero(count > 0)
    full = some[count[some] >= math.ceil(_MIN_COVERAGE * steps_per_hour)]
    table = table[full]
    mean = np.nanmean(table, axis=1) if len(full) else np.empty(0)
    calm = mean > 0
    if len(full):
        calm &= np.nanmin(table, axis=1) >= _INTERRUPTED * np.nanmedian(table, axis=1)
    dropped = {
        "incomplete_hour": len(some) - len(full),
        "interrupted_hour": int(np.count_nonzero(~calm)),
    }
    kept = table[calm]
    top = np.nanmax(kept, axis=1) if len(kept) else np.empty(0)
    reasons = {reason: n for reason, n in dropped.items() if n}
    return top / mean[calm], mean[calm], full[calm] * steps_per_hour, reasons


def hour_mean_undersize(peak_minute_x: float) -> float:
    """Return by how much sizing on the hour's mean under-sizes: ``1 − 1/factor`` [ratio].

    Examples
    --------
    >>> round(hour_mean_undersize(1.35), 3)
    0.259
    """
    return 1 - 1 / peak_minute_x


def _first_full_hour(hour_of_step: np.ndarray) -> int:
    # Found on the clock, not computed from UTC: in half-hour zones local hours start at :30 UTC.
    # The first change starts a full hour whether or not the grid starts with one.
    changes = np.flatnonzero(np.diff(hour_of_step))
    return int(changes[0]) + 1 if len(changes) else 0


def _pools(
    name: str,
    ratios: np.ndarray,
    rate: np.ndarray,
    at_event: np.ndarray,
    dropped: Mapping[str, int],
) -> tuple[tuple[BurstPool, BurstPool], list[Finding]]:
    ordinary = _pool(ratios[~at_event], rate[~at_event], dropped)
    event = _pool(ratios[at_event], rate[at_event], dropped)
    notes = []
    if ordinary is None:
        why = f"fewer than {_MIN_HOURS} usable ordinary hours"
        ordinary = _prior(why)
        notes.append(_assumed(name, why))
    if event is None:
        note = "no event hours in the fine history: ordinary hours stand in"
        basis: Basis = "assumed" if ordinary.basis == "assumed" else "borrowed"
        event = replace(ordinary, basis=basis, note=note)
        message = f"{note}; event hours were burstier where both were seen"
        notes.append(Finding("burst_borrowed", "info", name, message))
    return (ordinary, event), notes


def _pool(ratios: np.ndarray, rate: np.ndarray, dropped: Mapping[str, int]) -> BurstPool | None:
    if not len(rate):
        return None
    busy = rate >= np.median(rate)
    if np.count_nonzero(busy) < _MIN_HOURS:
        return None
    return BurstPool(np.sort(ratios[busy]), "measured", int(np.count_nonzero(busy)), dropped)


def _prior(why: str) -> BurstPool:
    return BurstPool(np.empty(0), "assumed", note=f"prior: {why}")


def _assumed(name: str, why: str) -> Finding:
    message = f"{why}: peak minute / hour mean assumed lognormal, median 1.2, p95 1.6"
    return Finding("burst_assumed", "warning", name, message)


def _check_known(names: Iterable[str], known: tuple[str, ...]) -> None:
    for name in names:
        if name not in known:
            close = nearest(name, known)
            raise InputError.of(
                "services of the fine history",
                got=f'"{name}"',
                expected=f"one of: {', '.join(known)}",
                do=f'Did you mean "{close}"?' if close else "Leave it out: it gets the prior.",
            )
