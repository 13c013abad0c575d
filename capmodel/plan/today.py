"""Today's load of each root: the P50 of the event-free busiest minute of the last 28 days.

This module answers: what does "today" mean when a limit binds at twice today's traffic?
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from capmodel.history import local_cube, local_days
from capmodel.schema import Basis

if TYPE_CHECKING:
    from capmodel.events import Events
    from capmodel.history import History
    from capmodel.peaks import PeakFit
    from capmodel.topology import Topology

__all__ = ["RootToday", "declared_today", "measured_today"]

DAYS: Final = 28


@dataclass(frozen=True, slots=True)
class RootToday:
    """A root's present busiest minute."""

    service: str
    quantity: str
    value: float
    """[the quantity's unit]; nan where it is not known."""
    burst_x: float
    """Busiest minute of the day / mean of the day's busiest hour [ratio]."""
    basis: Basis

    @property
    def per_second(self) -> float:
        """Events per second."""
        return self.value / (60.0 if self.quantity == "per_min" else 1.0)


def typical_burst(peaks: PeakFit, name: str, *, per_min: float | None = None) -> float:
    """Return the median of busiest minute / mean of its hour on ordinary days.

    Parameters
    ----------
    peaks
        The burst pools.
    name
        The root.
    per_min
        Mean of the hour [1/min]; None, where it is not known: a busy hour of the pool.
    """
    return float(peaks.pool(name, "ordinary").quantile(0.5, per_min))


def declared_today(topology: Topology, *, peaks: PeakFit) -> dict[str, RootToday]:
    """Return what the topology declares, for a fit without history.

    A given forecast says nothing about today.
    """
    return {name: _declared(topology, name, peaks) for name in topology.roots}


def _declared(topology: Topology, name: str, peaks: PeakFit) -> RootToday:
    if name in topology.drivers:
        value, quantity = topology.drivers[name].today_per_min, "per_min"
    else:
        value, quantity = topology.services[name].today_rps, "rps"
    return RootToday(
        service=name,
        quantity=quantity,
        value=float("nan") if value is None else value,
        burst_x=typical_burst(peaks, name),
        basis="assumed",
    )


def measured_today(
    topology: Topology,
    history: History,
    fine: History | None,
    *,
    peaks: PeakFit,
    events: Events,
) -> dict[str, RootToday]:
    """Return each root's busiest minute of an ordinary recent day.

    ``today = median over the last 28 event-free days of the busiest hour's mean * burst`` with
    burst = median over the fine history's days of (busiest minute / busiest hour's mean), or the
    typical burst of an hour of that rate where no minutes are known.
    """
    result = {}
    for name in topology.roots:
        declared = _declared(topology, name, peaks)
        if not np.isnan(declared.value) or name not in history.services:
            result[name] = declared
            continue
        quantity = history.demand_quantity(name)
        _, busiest = _busiest_hours(history, name, quantity, events)
        if not len(busiest):
            result[name] = declared  # no whole ordinary day by the hour: today is not known
            continue
        burst, basis = _day_burst(fine, name, quantity, events)
        if np.isnan(burst):
            per_min = float(np.median(busiest[-DAYS:])) * (60.0 if quantity == "rps" else 1.0)
            burst, basis = typical_burst(peaks, name, per_min=per_min), "assumed"
        result[name] = RootToday(
            service=name,
            quantity=quantity,
            value=float(np.median(busiest[-DAYS:]) * burst),
            burst_x=burst,
            basis=basis,
        )
    return result


def _busiest_hours(
    history: History, name: str, quantity: str, events: Events
) -> tuple[np.ndarray, np.ndarray]:
    """Return (dates, busiest hour's mean) of full, event-free local days."""
    dates, cube = local_cube(
        history.series(name, quantity)[None, :],
        start=history.start,
        step_min=history.step_min,
        tz=history.business_tz,
    )
    values = cube[:, :, 0]
    special = np.array(sorted({d.date for d in events.days}), dtype="datetime64[D]")
    full = (~np.isnan(values)).sum(axis=1) >= 23  # noqa: PLR2004  a day of the spring change has 23
    keep = full & ~np.isin(dates, special)
    return dates[keep], np.nanmax(values[keep], axis=1)


def _day_burst(
    fine: History | None, name: str, quantity: str, events: Events
) -> tuple[float, Basis]:
    if fine is None or name not in fine.services or quantity not in fine.measured(name):
        return float("nan"), "assumed"
    minutes = fine.series(name, quantity)
    days = local_days(fine.start, fine.n_steps, fine.step_min, fine.business_tz)
    ratios = [
        np.nanmax(minutes[days.day_of_step == np.searchsorted(days.dates, day)]) / hour
        for day, hour in zip(*_busiest_hours(fine, name, quantity, events), strict=True)
    ]
    return (float(np.median(ratios)), "measured") if ratios else (float("nan"), "assumed")
