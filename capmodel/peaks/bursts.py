"""From the mean of an hour to its busiest minute: burst ratios, learned or assumed.

This module answers: how much higher is the peak minute of an hour than the hour's mean? The ratio
is a distribution that depends on the hour's rate, drawn per hour and path *before* the maximum over
hours is taken, because the busiest minute often lies outside the busiest hour. It does not know
demand, only its ratios.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final, Literal

import numpy as np

from capmodel.errors import InputError
from capmodel.peaks.pools import BurstPool, Observed, prior_pool, stated_pool
from capmodel.peaks.ratios import Unevenness
from capmodel.peaks.remainder import Remainder
from capmodel.peaks.windows import WindowFactor, assumed_window
from capmodel.schema import Basis, Finding, Findings

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["KINDS", "MINUTE_S", "Kind", "PeakFit", "check_window", "hour_mean_undersize"]

Kind = Literal["ordinary", "event"]
KINDS: Final[tuple[Kind, ...]] = ("ordinary", "event")

MINUTE_S: Final = 60.0

_COLUMNS: Final = (
    "service", "hours", "n_hours", "median_x", "p95_x", "max_x", "basis", "note", "eta",
    "low_per_min", "high_per_min", "dispersion_p10", "dispersion_p50", "dispersion_p90",
    "variance_slope", "window",
)  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class PeakFit:
    """Burst pools per service, for ordinary and for event hours.

    A service without a pool gets the prior, ``basis=assumed``.
    """

    ordinary: Mapping[str, BurstPool]
    event: Mapping[str, BurstPool]
    notes: tuple[Finding, ...] = ()
    unevenness: Mapping[str, Unevenness] = field(default_factory=dict)
    """Dispersion and slope of each service's minutes."""
    windows: Mapping[str, WindowFactor] = field(default_factory=dict)
    """From the busiest step to the busiest window, where that is shorter."""
    remainders: Mapping[str, Remainder] = field(default_factory=dict)
    """What services with calls have of their own beside the driver's burst."""
    window_s: float = MINUTE_S
    """Length of the window that peaks are of [s]."""

    @classmethod
    def assumed(cls, services: Iterable[str], *, window_s: float = MINUTE_S) -> PeakFit:
        """Return the prior for every service: what a plan without fine data rests on.

        Parameters
        ----------
        services
            Names.
        window_s
            As in :func:`capmodel.peaks.fit_peaks`.
        """
        names = tuple(services)
        check_window(window_s)
        why = "no fine history"
        pools = dict.fromkeys(names, prior_pool(why))
        notes = tuple(assumed_finding(name, why) for name in names)
        return cls(pools, pools, notes, window_s=window_s)

    @classmethod
    def number(cls, services: Iterable[str], peak_minute_x: float) -> PeakFit:
        """Return one stated factor for every service.

        Examples
        --------
        >>> PeakFit.number(["checkouts"], 1.35).pool("checkouts", "event").quantile(0.5).item()
        1.35
        """
        return cls.assumed(()).with_declared(dict.fromkeys(services, peak_minute_x))

    @property
    def findings(self) -> Findings:
        """What is assumed or borrowed."""
        return Findings(self.notes)

    def pool(self, service: str, kind: Kind) -> BurstPool:
        """Return the pool of a service, the prior where it has none."""
        pools = self.event if kind == "event" else self.ordinary
        return pools.get(service) or prior_pool("not in the fine history")

    def basis(self, service: str, *, event: bool) -> Basis:
        """Return what a service's factor rests on."""
        return self.pool(service, "event" if event else "ordinary").basis

    def by_rate(self, service: str) -> bool:
        """Return whether a service's factor depends on the hour's rate."""
        return any(self.pool(service, kind).by_rate for kind in KINDS)

    def burst(
        self,
        service: str,
        is_event: np.ndarray,
        per_min: np.ndarray,
        rng: np.random.Generator,
    ) -> np.ndarray:
        """Draw the peak-minute factor of every path, day and hour at that hour's rate.

        One uniform per cell through the inverse distribution of the day's pool; with a window
        shorter than a minute, times the factor of the window, one more uniform per cell. Rates
        beyond those seen take the ratio of the nearest seen (below, plus counting noise).

        Parameters
        ----------
        service
            Whose pools.
        is_event
            Which days are event days, shape (N,).
        per_min
            Mean of each hour, shape (draws, N, slots a day) [1/min]. With one slot a day the level
            already is the day's peak minute, so the factor is 1 and nothing is drawn.
        rng
            Source of randomness.

        Returns
        -------
        numpy.ndarray
            Factor on the hour's mean [ratio], shape of `per_min`.

        Raises
        ------
        InputError
            If `per_min` does not have three axes, or `is_event` one value per day.

        Examples
        --------
        >>> fit = PeakFit.number(["checkouts"], 1.35)
        >>> days = np.array([False, True])
        >>> rate = np.full((3, 2, 24), 100.0)
        >>> fit.burst("checkouts", days, rate, np.random.default_rng(0)).max()
        np.float64(1.35)
        """
        if per_min.ndim != 3 or np.shape(is_event) != (per_min.shape[1],):  # noqa: PLR2004
            raise InputError.of(
                f"burst of {service}",
                got=f"rates of shape {per_min.shape}, is_event of shape {np.shape(is_event)}",
                expected="rates (draws, days, slots) and one flag per day",
                do="Give rates and is_event for the same days.",
            )
        if per_min.shape[2] == 1:
            return np.ones(per_min.shape)
        uniform = rng.random(per_min.shape)
        factor = np.empty(per_min.shape)
        for kind in KINDS:
            days = is_event if kind == "event" else ~is_event
            if days.any():
                pool = self.pool(service, kind)
                factor[:, days] = pool.quantile(uniform[:, days], per_min[:, days])
        window = self._window(service)
        if window is None:
            return factor
        return np.asarray(factor * window.quantile(rng.random(per_min.shape), per_min * factor))

    def _window(self, service: str) -> WindowFactor | None:
        """Return the factor below the step; a stated factor is exact and has none."""
        if not self.by_rate(service):
            return None
        if service in self.unevenness:
            return self.windows.get(service)
        return assumed_window(self.window_s)

    def with_declared(self, peak_minute_x: Mapping[str, float]) -> PeakFit:
        """Return a copy in which these services have a stated factor, ``basis=assumed``.

        Parameters
        ----------
        peak_minute_x
            Service to peak minute / mean of its hour [ratio]; exact, whatever the window.

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
        pools = {service: stated_pool(factor) for service, factor in peak_minute_x.items()}
        notes = tuple(n for n in self.notes if n.service not in pools)
        return replace(
            self,
            ordinary={**self.ordinary, **pools},
            event={**self.event, **pools},
            notes=notes,
        )

    @property
    def summary(self) -> pd.DataFrame:
        """One row per service and kind of hour.

        Hours, median and p95 (in a busy hour of the pool: the 75 % quantile of its rates), largest
        ratio, basis, note, slope on log rate (eta), range of rates [1/min]; and of the service the
        index of dispersion (p10, p50, p90 of its hours), the slope of log sd on the minutes
        averaged, and how windows shorter than the step were reached.
        """
        import pandas as pd  # noqa: PLC0415  heavy

        rows = [self._row(name, kind) for name in sorted(self.ordinary) for kind in KINDS]
        return pd.DataFrame(rows, columns=list(_COLUMNS))

    def _row(self, service: str, kind: Kind) -> tuple[object, ...]:
        pool = self.pool(service, kind)
        law = pool.law
        median, p95 = pool.quantile(np.array([0.5, 0.95]))
        eta, low, high, top = math.nan, math.nan, math.nan, math.nan
        if isinstance(law, Observed):
            eta, (low, high), top = law.slope, law.range_per_min, law.max_x
        even = self.unevenness.get(service, Unevenness())
        dispersion = (even.dispersion_p10, even.dispersion_p50, even.dispersion_p90)
        window = self._window(service)
        note = "" if window is None else window.note
        head = (service, kind, pool.n_hours, median, p95, top, pool.basis, pool.note)
        return (*head, eta, low, high, *dispersion, even.slope, note)

    def to_frame(self) -> pd.DataFrame:
        """Return :attr:`summary`, the name every result answers to."""
        return self.summary

    def _repr_html_(self) -> str:
        return str(self.summary.to_html(index=False))


def hour_mean_undersize(peak_minute_x: float) -> float:
    """Return by how much sizing on the hour's mean under-sizes: ``1 − 1/factor`` [ratio].

    Examples
    --------
    >>> round(hour_mean_undersize(1.35), 3)
    0.259
    """
    return 1 - 1 / peak_minute_x


def check_window(window_s: float) -> None:
    """Refuse a window that is no part of a minute.

    Raises
    ------
    InputError
        Outside 1 to 60 s.
    """
    if not 1 <= window_s <= MINUTE_S:
        raise InputError.of(
            "window_s",
            got=window_s,
            expected="1 to 60 seconds",
            do="Give the time that queues can absorb; 60 is the busiest minute.",
        )


def assumed_finding(name: str, why: str) -> Finding:
    """Return the finding of a service that gets the prior."""
    message = (
        f"{why}: peak minute / hour mean assumed lognormal, median 1.2, p95 1.6, and more at few "
        "events a minute (counting noise)"
    )
    return Finding("burst_assumed", "warning", name, message)
