"""One service's series as a library takes it: cut, scaled, its gaps filled where they must be.

This module answers: which hours of a service were observed, what stands in for those that were not,
and which events to come has it never seen? Everything is on the local clock, 24 hours a day.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np

from capmodel.demand.design import HOURS, event_names_on
from capmodel.demand.scale import restore, standardise
from capmodel.schema import Finding

if TYPE_CHECKING:
    from capmodel.demand.panel import Panel
    from capmodel.events import Events

__all__ = [
    "Scaling",
    "Series",
    "Unfit",
    "carried",
    "fill_gaps",
    "gap_finding",
    "hours_of",
    "never_observed",
    "unseen_events",
]

WEEK: Final = 7
MANY_GAPS: Final = 0.05
"""Share of filled hours above which the finding is a warning [ratio]."""
FLAT: Final = 1e-9
"""Smallest standard deviation of a scaled linear series, relative to its mean [ratio]."""


class Unfit(Exception):  # noqa: N818  a verdict on the data, not an error of the code
    """Why a service cannot be fitted: a finding's code, what is wrong, and its numbers."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code


def hours_of(dates: np.ndarray) -> np.ndarray:
    """Return the local clock hours of some days, shape (24 N,), datetime64[h]."""
    hours = dates.astype("datetime64[h]")[:, None] + np.arange(HOURS)
    return np.asarray(hours.ravel())


def carried(values: np.ndarray, days: int) -> np.ndarray:
    """Return values whose gaps take the same hour a whole number of periods earlier.

    Parameters
    ----------
    values
        NaN for gaps, consecutive days along the first axis; not modified.
    days
        The period [days].
    """
    pad = -len(values) % days
    padding = np.full((pad, *values.shape[1:]), np.nan)
    periods = np.concatenate([padding, values]).reshape(-1, days, *values.shape[1:])
    for i in range(1, len(periods)):
        periods[i] = np.where(np.isnan(periods[i]), periods[i - 1], periods[i])
    return np.asarray(periods.reshape(-1, *values.shape[1:])[pad:])


def fill_gaps(values: np.ndarray) -> np.ndarray:
    """Return values whose gaps take the same weekday and hour of the nearest earlier week.

    Where there is none, of the nearest later one. An hour of the week that was never observed
    stays NaN. Arguments are those of :func:`carried`.
    """
    return carried(carried(values, WEEK)[::-1], WEEK)[::-1]


def never_observed(values: np.ndarray) -> np.ndarray:
    """Return how many hours of the week were never observed, shape of `values` from axis 2 on."""
    seen = ~np.isnan(values)
    padding = np.zeros((-len(seen) % WEEK, *seen.shape[1:]), dtype=bool)
    weeks = np.concatenate([padding, seen]).reshape(-1, WEEK, *seen.shape[1:])
    return np.asarray((~weeks.any(axis=0)).sum(axis=(0, 1)))


def gap_finding(service: str, *, gaps: int, hours: int, how: str) -> list[Finding]:
    """Return what was filled, as no finding or one."""
    if not gaps:
        return []
    share = gaps / hours
    text = f"{service}: {gaps} of {hours} hours were gaps ({share:.1%}); {how}"
    data = {"hours": gaps, "share": share}
    many = share > MANY_GAPS
    return [Finding("gaps_filled", "warning" if many else "info", service, text, data)]


def unseen_events(
    events: Events,
    dates: np.ndarray,
    observed: np.ndarray,
    *,
    services: Iterable[str],
    instead: str,
) -> list[Finding]:
    """Return findings for the coming events of which a service has no past occurrence.

    Coming means: as far ahead as the history is long. What no service has seen is said once.

    Parameters
    ----------
    events
        The calendar.
    dates
        Local days of the history, shape (N,).
    observed
        Whether a service was observed on a day, shape (N, S) bool.
    services
        S names.
    instead
        What such a day is forecast as.
    """
    names = np.array(event_names_on(events, dates))
    coming = dates[-1] + 1 + np.arange(len(dates))
    ahead: dict[str, str] = {}
    for name, date in zip(event_names_on(events, coming), coming, strict=True):
        if name:
            ahead.setdefault(name, str(date))
    missing = {s: ahead.keys() - set(names[observed[:, i]]) for i, s in enumerate(services)}
    common = set.intersection(*missing.values()) if missing else set()
    groups = {"": common, **{s: lacking - common for s, lacking in missing.items()}}
    return [
        Finding(
            "event_unseen",
            "warning",
            service,
            f"{f'{service}: ' if service else ''}no past occurrence of "
            f"{', '.join(f'{name} ({ahead[name]})' for name in ahead if name in lacking)}; "
            f"forecast as {instead}",
            {"events": [name for name in ahead if name in lacking]},
        )
        for service, lacking in groups.items()
        if lacking
    ]


@dataclass(frozen=True, slots=True, eq=False)
class Scaling:
    """What takes demand to the unit-free series that a library fits, and back."""

    mean: float
    """Mean demand [the quantity's unit]."""
    center: float
    sd: float
    log: bool

    @classmethod
    def of(cls, values: np.ndarray, *, log: bool) -> tuple[np.ndarray, Scaling]:
        """Return ``z = (log(y / mean + 0.01) - center) / sd``, without the logarithm if so asked.

        Parameters
        ----------
        values
            Demand with NaN for gaps, shape (n, 24).
        log
            Whether to take logarithms.
        """
        if log:
            z, scale = standardise(values[:, :, None])
            mean, center, sd = (float(part[0]) for part in (scale.mean, scale.center, scale.sd))
            return z[:, :, 0], cls(mean=mean, center=center, sd=sd, log=True)
        mean = float(np.nanmean(values))
        sd = max(float(np.nanstd(values / mean)), FLAT)
        return (values / mean - 1.0) / sd, cls(mean=mean, center=1.0, sd=sd, log=False)

    def demand(self, z: np.ndarray) -> np.ndarray:
        """Return demand; what comes out below zero is zero, since demand has no less."""
        linear = z * self.sd + self.center
        if self.log:
            with np.errstate(over="ignore"):  # infinite demand is for the caller to refuse
                return restore(linear, self.mean)
        return np.asarray(np.maximum(linear, 0.0) * self.mean)


@dataclass(frozen=True, slots=True, eq=False)
class Series:
    """One service from its first observed day to its last."""

    service: str
    dates: np.ndarray
    """Consecutive local days, shape (n,), datetime64[D]."""
    values: np.ndarray
    """Hour means with NaN for gaps, shape (n, 24) [the service's quantity]."""
    reached: np.ndarray
    """Hours that exist on the clock and that the history reaches, shape (n, 24) bool."""

    @classmethod
    def of(cls, panel: Panel, column: int, reached: np.ndarray) -> Series:
        """Cut one service out of a panel; `reached` is that of all days, shape (N, 24)."""
        values = np.asarray(panel.values[:, :, column], dtype=float)
        days = np.flatnonzero((~np.isnan(values)).any(axis=1))
        own = slice(days[0], days[-1] + 1)
        return cls(
            service=panel.services[column],
            dates=panel.dates[own],
            values=values[own],
            reached=reached[own],
        )

    def last(self, days: int | None) -> Series:
        """Return the last days of the series, all of it for None."""
        keep = slice(None) if days is None else slice(-days, None)
        return replace(
            self, dates=self.dates[keep], values=self.values[keep], reached=self.reached[keep]
        )

    @property
    def span(self) -> slice:
        """From the first observed hour to the last one, in hours since the first day began."""
        seen = np.flatnonzero(~np.isnan(self.values.ravel()))
        return slice(int(seen[0]), int(seen[-1]) + 1)

    def filled(self, z: np.ndarray) -> tuple[np.ndarray, list[Finding]]:
        """Return the span of a transformed series without gaps, shape (T,), and what was filled.

        Parameters
        ----------
        z
            The series' values on any scale, NaN where they are, shape (n, 24).

        Raises
        ------
        Unfit
            When an hour of the week was never observed.
        """
        never = int(never_observed(z))
        if never:
            raise Unfit("hours_missing", f"{never} hours of the week were never observed")
        flat = fill_gaps(z).ravel()[self.span]
        reached = self.reached.ravel()[self.span]
        gaps = int((np.isnan(self.values).ravel()[self.span] & reached).sum())
        how = "each holds the same weekday and hour of the nearest earlier week, else a later one"
        return flat, gap_finding(self.service, gaps=gaps, hours=int(reached.sum()), how=how)
