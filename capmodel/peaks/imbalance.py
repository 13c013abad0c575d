"""From the mean unit to the hottest: imbalance of pods, zones and readers, measured or assumed.

This module answers: by how much does the hottest pod, zone or reader exceed the mean one when the
service is busiest? The factor multiplies usage against per-pod, per-zone and per-reader limits.

A limit is broken by the unit that really is the hottest, whether the balancer keeps it hot or
chance does, so the factor counts both: per interval ``hottest / mean``, of that the P95 over the
busiest tenth of intervals. The median would be too low in every second busy minute, the maximum
would grow with the length of the history, and quiet intervals say little about the peak: counts
are small then, and so the hottest is further from the mean by chance alone. How much of the factor
persists stands beside it, as ``persistent_x``: chance shrinks with the load per unit, a pod with
too many connections stays hot.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Literal

import numpy as np

from capmodel.errors import InputError, Problem, nearest
from capmodel.peaks.hottest import (
    MIN_BLOCKS,
    MIN_INTERVALS,
    QUANTILE,
    HottestRatios,
    block_interval,
    busiest,
    hottest_ratios,
    persistent_x,
)
from capmodel.peaks.unit_rows import UNITS, Rows, Unit, unit_rows
from capmodel.schema import Basis, Finding, Findings, order_statistic, rng_for

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "IMBALANCE_PRIOR_X",
    "Balancing",
    "Imbalance",
    "ImbalanceFit",
    "fit_imbalance",
]

Balancing = Literal["per_request", "per_connection"]

IMBALANCE_PRIOR_X: Final[Mapping[Balancing, float]] = MappingProxyType(
    {"per_request": 1.1, "per_connection": 1.4}
)
"""Hottest / mean where nothing was measured, by what the balancer deals out [ratio]."""

_USUAL: Final[Mapping[Unit, Balancing]] = MappingProxyType(
    {"pod": "per_request", "zone": "per_request", "reader": "per_connection"}
)
_PAIR: Final = 2


@dataclass(frozen=True, slots=True, eq=False)
class Imbalance:
    """How far the hottest unit of one service exceeds the mean one.

    Attributes
    ----------
    service, unit, quantity
        The service, what its units are (``pod``, ``zone``, ``reader``), what was measured.
    imbalance_x
        P95 over the busiest intervals of hottest / mean [ratio], at least 1: what limits use.
    low, high
        Its 95 % interval; NaN where history is too short for one.
    median_x
        Median over the same intervals.
    persistent_x
        What the hottest unit of a day keeps when chance is taken out [ratio], NaN if unknown.
    units
        Units that counted in the median busy interval.
    n_intervals, n_usable
        Busiest intervals, and usable intervals that they were chosen from.
    dropped
        Intervals and rows left out by reason.
    basis, note
        ``measured`` or ``assumed``, and why.
    """

    service: str
    unit: Unit
    quantity: str
    imbalance_x: float
    low: float
    high: float
    median_x: float
    persistent_x: float
    units: float
    n_intervals: int
    n_usable: int
    dropped: Mapping[str, int] = field(default_factory=dict)
    basis: Basis = "measured"
    note: str = ""


_COLUMNS: Final = (
    "service", "unit", "quantity", "imbalance_x", "low", "high", "median_x", "persistent_x",
    "units", "n_intervals", "n_usable", "basis", "note",
)  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class ImbalanceFit:
    """Imbalance by service and kind of unit; what is missing has the prior, ``basis=assumed``."""

    items: tuple[Imbalance, ...]
    notes: tuple[Finding, ...] = ()

    @classmethod
    def assumed(
        cls, services: Iterable[str], *, unit: Unit = "pod", balancing: Balancing | None = None
    ) -> ImbalanceFit:
        """Return the prior for every service: what a plan without unit series rests on.

        Parameters
        ----------
        services
            Whose units.
        unit
            What the units are.
        balancing
            What the balancer deals out; None: requests to pods and zones, connections to readers.

        Examples
        --------
        >>> ImbalanceFit.assumed(["api"], balancing="per_connection").get("api").imbalance_x
        1.4
        """
        why = "no series per unit"
        kind = _balancing("balancing", balancing, unit)
        items = tuple(_prior(name, unit, kind, why) for name in services)
        return cls(items, tuple(_finding("imbalance_assumed", item, why) for item in items))

    @property
    def findings(self) -> Findings:
        """What is assumed, unusable, or mostly chance."""
        return Findings(self.notes)

    def get(self, service: str, unit: Unit = "pod") -> Imbalance:
        """Return the imbalance of a service's units, the prior where it has none."""
        for item in self.items:
            if (item.service, item.unit) == (service, unit):
                return item
        return _prior(service, unit, _USUAL[unit], "not in the unit series")

    def to_frame(self) -> pd.DataFrame:
        """Return one row per service and kind of unit."""
        import pandas as pd  # noqa: PLC0415  kept out of import time

        rows = [[getattr(item, column) for column in _COLUMNS] for item in self.items]
        return pd.DataFrame(rows, columns=list(_COLUMNS))

    def explain(self, service: str) -> str:
        """Return, as text, a service's factors, their evidence, and what was left out.

        Raises
        ------
        InputError
            For a service that is not in the fit.
        """
        items = [item for item in self.items if item.service == service]
        if not items:
            known = sorted({item.service for item in self.items})
            raise InputError([_unknown(service, known, "Fit its units, or declare imbalance_x.")])
        lines = [service, *(line for item in items for line in _explained(item))]
        lines += [f"  {f.code}: {f.message}" for f in self.notes if f.service == service]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        return str(self.to_frame().to_html(index=False))


def fit_imbalance(
    frame: pd.DataFrame,
    *,
    services: Iterable[str] | None = None,
    balancing: Mapping[str, Balancing] | None = None,
    edge_intervals: int = 1,
    seed: int = 0,
) -> ImbalanceFit:
    """Measure imbalance from series per pod, zone or reader.

    Formula: per interval ``max(x_i) / mean(x_i)`` over the units present, which for zones is
    ``share of the hottest × zones``; of these the P95 over the tenth of intervals with the highest
    total (at least 30). A unit counts from `edge_intervals` after it appears to `edge_intervals`
    before it disappears: a pod that starts or stops within an interval is cold, or hot from warming
    up, because of its age, not of the balancer. The interval of the factor resamples whole days
    (hours, below five days). The persistent part picks a day's hottest unit on every other busy
    interval and reads its load off the rest, so that being hot by chance earns it nothing.

    Parameters
    ----------
    frame
        One row per service, interval and unit: ``service``, ``time``, one of ``pod``, ``zone``,
        ``reader``, and one column of values in any unit (``cpu_cores``, ``rps``, ``connections``).
        A zone or reader without load is a row with 0; without a row it is not there.
    services
        Whose units; None: every service of the frame.
    balancing
        Service to what its balancer deals out, for priors; as in :meth:`ImbalanceFit.assumed`.
    edge_intervals
        Intervals left out at both ends of a unit's life, >= 0; more where warming up takes longer.
    seed
        Seed of the resampling; each service has a stream of its own.

    Returns
    -------
    ImbalanceFit
        Services that cannot be measured (one unit, fewer than 30 usable intervals, duplicates,
        negative values) have the prior and a finding that says why.

    Raises
    ------
    InputError
        For missing or surplus columns, rows that name several units or none, times that are not
        timestamps, an unknown service or balancing.

    References
    ----------
    Davison & Hinkley 1997, *Bootstrap Methods and their Application*, section 8.2 (block
    resampling).

    Examples
    --------
    >>> import pandas as pd
    >>> time = pd.date_range("2026-09-07", periods=2 * 1440, freq="min", tz="UTC")
    >>> pods = [
    ...     pd.DataFrame({"service": "api", "time": time, "pod": pod, "rps": rps})
    ...     for pod, rps in (("a", 30.0), ("b", 20.0), ("c", 10.0))
    ... ]
    >>> fit = fit_imbalance(pd.concat(pods))
    >>> fit.get("api").imbalance_x, fit.get("api").persistent_x
    (1.5, 1.5)
    """
    kinds = dict(balancing or {})
    if edge_intervals < 0:
        raise InputError.of(
            "edge_intervals", got=edge_intervals, expected="a whole number >= 0", do="Count them."
        )
    table = unit_rows(frame)
    names = _names(table.services, services)
    _names(table.services, kinds)
    for name, kind in kinds.items():
        _balancing(f"balancing[{name!r}]", kind, "pod")
    items: list[Imbalance] = []
    notes: list[Finding] = []
    for unit in UNITS:
        for name in names:
            rows = table.of(name, unit)
            if rows is None:
                continue
            item, found = _fitted(rows, kinds.get(name), edge_intervals, seed)
            items.append(item)
            notes += found
    return ImbalanceFit(tuple(items), tuple(notes))


def _fitted(
    rows: Rows, balancing: Balancing | None, edge: int, seed: int
) -> tuple[Imbalance, list[Finding]]:
    prior = _prior(rows.service, rows.unit, balancing or _USUAL[rows.unit], "", rows.quantity)
    problem = rows.problem()
    if problem is not None:
        code, why = problem
        item = _with_note(prior, why, rows.dropped)
        return item, [_finding(code, item, why, severity="error")]
    ratios = hottest_ratios(rows.time, rows.code, rows.value, edge=edge)
    if len(ratios.ratio) < MIN_INTERVALS:
        code, why = _too_few(rows, ratios)
        item = _with_note(prior, why, {**rows.dropped, **ratios.dropped})
        return item, [_finding(code, item, why)]
    item = _summarised(rows, ratios, seed)
    notes = []
    if math.isnan(item.low):
        why = f"busy intervals of fewer than {MIN_BLOCKS} days or hours: no interval is given"
        notes.append(_finding("imbalance_short", item, why, severity="info"))
    if item.median_x - 1 > max(2 * (item.persistent_x - 1), 0.05):
        why = (
            f"the hottest {item.unit} is so mostly by chance (typically {item.median_x:.2f}, "
            f"persistently {item.persistent_x:.2f}): the factor falls with more load per "
            f"{item.unit}"
        )
        notes.append(_finding("imbalance_by_chance", item, why, severity="info"))
    return item, notes


def _too_few(rows: Rows, ratios: HottestRatios) -> tuple[str, str]:
    if ratios.most_units < _PAIR:
        return (
            "imbalance_one_unit",
            f"never more than one {rows.unit} at a time, so the hottest is the mean",
        )
    dropped = {**rows.dropped, **ratios.dropped}
    left = (
        ", ".join(f"{n} {reason.replace('_', ' ')}" for reason, n in dropped.items()) or "nothing"
    )
    why = f"{len(ratios.ratio)} usable intervals of the {MIN_INTERVALS} needed (left out: {left})"
    return "imbalance_too_few", why


def _summarised(rows: Rows, ratios: HottestRatios, seed: int) -> Imbalance:
    busy = busiest(ratios.total)
    ratio = ratios.ratio[busy]
    rng = rng_for(seed, "imbalance", rows.service, rows.unit)
    low, high = block_interval(ratio, ratios.time[busy], rng)
    return Imbalance(
        service=rows.service,
        unit=rows.unit,
        quantity=rows.quantity,
        imbalance_x=float(ratio[order_statistic(ratio, QUANTILE)]),
        low=low,
        high=high,
        median_x=float(ratio[order_statistic(ratio, 0.5)]),
        persistent_x=persistent_x(ratios, busy),
        units=float(np.median(ratios.count[busy])),
        n_intervals=len(busy),
        n_usable=len(ratios.ratio),
        dropped={**rows.dropped, **ratios.dropped},
    )


def _names(known: tuple[str, ...], services: Iterable[str] | None) -> tuple[str, ...]:
    if services is None:
        return known
    names = tuple(dict.fromkeys(services))
    missing = [name for name in names if name not in known]
    if missing:
        do = "Leave it out: it gets the prior."
        raise InputError([_unknown(name, known, do) for name in missing])
    return names


def _unknown(name: str, known: Iterable[str], do: str) -> Problem:
    known = tuple(known)
    close = nearest(name, known)
    return Problem(
        where="services of the unit series",
        got=f'"{name}"',
        expected=f"one of: {', '.join(known) or 'none'}",
        do=f'Did you mean "{close}"?' if close else do,
    )


def _balancing(where: str, balancing: Balancing | None, unit: Unit) -> Balancing:
    kind = balancing or _USUAL[unit]
    if kind not in IMBALANCE_PRIOR_X:
        close = nearest(kind, IMBALANCE_PRIOR_X)
        raise InputError.of(
            where,
            got=repr(kind),
            expected=f"one of: {', '.join(IMBALANCE_PRIOR_X)}",
            do=f'Did you mean "{close}"?' if close else "Say what the balancer deals out.",
        )
    return kind


def _prior(
    service: str, unit: Unit, balancing: Balancing, why: str, quantity: str = ""
) -> Imbalance:
    factor, nan = IMBALANCE_PRIOR_X[balancing], math.nan
    note = f"prior for {balancing.replace('_', '-')} balancing" + (f": {why}" if why else "")
    return Imbalance(
        service, unit, quantity, factor, nan, nan, nan, nan, nan, 0, 0, basis="assumed", note=note
    )


def _with_note(prior: Imbalance, why: str, dropped: Mapping[str, int]) -> Imbalance:
    return replace(prior, note=f"{prior.note}: {why}", dropped=dropped)


def _finding(
    code: str,
    item: Imbalance,
    why: str,
    *,
    severity: Literal["error", "warning", "info"] = "warning",
) -> Finding:
    message = why
    if item.basis == "assumed":
        message += f"; hottest / mean {item.unit} assumed {item.imbalance_x:g}. "
        message += "Mend the series, or declare imbalance_x."
    return Finding(code, severity, item.service, message, {"unit": item.unit})


def _explained(item: Imbalance) -> list[str]:
    if item.basis == "assumed":
        return [f"  hottest / mean {item.unit} {item.imbalance_x:.3g}   ({item.note})"]
    text = f"  hottest / mean {item.unit} {item.imbalance_x:.3f}"
    if math.isfinite(item.low):
        text += f", 95 % {item.low:.3f} to {item.high:.3f}"
    dropped = ", ".join(f"{n} {reason.replace('_', ' ')}" for reason, n in item.dropped.items())
    units = f"{item.units:g} {item.unit}s"
    return [
        f"{text}   (measured on {item.quantity})",
        f"    P95 of the {item.n_intervals} busiest of {item.n_usable} intervals, {units}",
        f"    median {item.median_x:.3f}, of which lasting {item.persistent_x:.3f}",
        f"    left out: {dropped or 'nothing'}",
    ]
