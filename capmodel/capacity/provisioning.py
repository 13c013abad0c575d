"""Static, scheduled and autoscaled provisioning on the same paths.

This module answers: what do the three ways to provide the same service take in unit-hours, and
what do they leave unserved? *Static* holds the season's units all the time. *Scheduled* steps at
the edges of windows, some days ahead of a rise. *Autoscaled* follows the load at its target between
two bounds, late by its delay. No money in here: unit-hours are priced elsewhere.

Formulas, per path and step of length h: ``unit_hours = sum units * h``; a step falls short where
``load * hard_units_per_load > units``, and ``short_hours = sum h * short``. The autoscaler asks for
``ceil(load * units_per_load)``; a delay of k + f steps leaves the share f of each step to what was
asked k + 1 steps before and the rest to what was asked k steps before. Load is taken as constant
within a step: give busiest minutes per hour to be safe, means per minute to be exact.

Shapes: S scenarios, D draws, T steps. Path (s, d) has weight ``weights[s] / D``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from capmodel.capacity.replicas import SLACK, ceil_units
from capmodel.capacity.risk import mixture_value, probability, standard_error
from capmodel.capacity.union import weight_problems
from capmodel.errors import InputError, Problem

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "Autoscaler",
    "Provided",
    "Provisioning",
    "ProvisioningComparison",
    "autoscaled_units",
    "compare_provisioning",
    "scheduled_units",
    "static_units",
]

_AXES: Final = 3


@dataclass(frozen=True, slots=True)
class Autoscaler:
    """How an autoscaler follows the load."""

    units_per_load: float
    """Units per unit of load at its target [units / load]."""
    minimum: float
    """Floor that it keeps [units]."""
    maximum: float
    """Ceiling [units]; inf without one."""
    delay_h: float
    """From a rise of the load to ready units: metric, decision, node, start, warm-up [h]."""

    def __post_init__(self) -> None:
        problems = [
            Problem(where=f"autoscaler.{name}", got=str(got), expected=expected, do="Correct it.")
            for name, got, ok, expected in (
                ("units_per_load", self.units_per_load, self.units_per_load > 0, "more than 0"),
                ("minimum", self.minimum, self.minimum >= 0, "at least 0"),
                ("maximum", self.maximum, self.maximum >= self.minimum, "at least the minimum"),
                ("delay_h", self.delay_h, 0 <= self.delay_h < math.inf, "hours of at least 0"),
            )
            if not ok
        ]
        if problems:
            raise InputError(problems)


@dataclass(frozen=True, slots=True, eq=False)
class Provided:
    """Units that stand: parts of each step and their units."""

    parts: tuple[tuple[float, np.ndarray], ...]
    """(share of the step, units broadcastable to (S, D, T)); shares sum to 1."""


@dataclass(frozen=True, slots=True)
class Provisioning:
    """What one way to provide takes and leaves unserved, over the mixture of scenarios."""

    unit_hours_mean: float
    """[unit h]."""
    unit_hours_p50: float
    unit_hours_p90: float
    peak_units_p50: float
    """Most units at once on a path [units]."""
    peak_units_max: float
    """The same on the path with the most [units]."""
    p_short: float
    """Probability that any step of the horizon falls short."""
    mc_se: float
    """Monte-Carlo standard error of `p_short`."""
    short_share: float
    """Mean share of the time that falls short [ratio]: the chance that a given minute does."""
    short_hours_mean: float
    """[h]."""
    short_hours_p90: float


@dataclass(frozen=True, slots=True, eq=False)
class ProvisioningComparison:
    """Ways to provide by name, judged on the same paths."""

    ways: Mapping[str, Provisioning]
    hours: float
    """Length of the horizon [h]."""

    def to_frame(self) -> pd.DataFrame:
        """Return one row per way, with its unit-hours as a share of the most that any takes."""
        import pandas as pd  # noqa: PLC0415  arrays need no frame

        most = max(way.unit_hours_mean for way in self.ways.values())
        return pd.DataFrame(
            [
                {"way": name, **asdict(way), "of_largest_x": way.unit_hours_mean / most}
                for name, way in self.ways.items()
            ]
        )


def static_units(day_units: np.ndarray) -> Provided:
    """Return the largest of the days' units, all the time.

    Parameters
    ----------
    day_units
        Units of each local day, shape (N,) [units].
    """
    return Provided(parts=((1.0, np.array([np.max(day_units)])),))


def scheduled_units(
    day_units: np.ndarray, *, day_of_step: np.ndarray, lead_days: int = 0
) -> Provided:
    """Return units that step with the days, up `lead_days` ahead of a rise and down on the day.

    Parameters
    ----------
    day_units
        Units that each local day needs, shape (N,) [units].
    day_of_step
        Index of each step's local day, shape (T,); days of 23 and 25 hours have as many steps.
    lead_days
        Days by which a rise comes early: start, warm-up and a try-out [days].

    Examples
    --------
    >>> days = np.array([4.0, 4.0, 9.0, 4.0])
    >>> scheduled_units(days, day_of_step=np.arange(4), lead_days=1).parts[0][1].tolist()
    [4.0, 9.0, 9.0, 4.0]
    """
    if lead_days < 0:
        raise InputError.of(
            "lead_days", got=lead_days, expected="at least 0 days", do="Correct lead_days."
        )
    early = np.array([day_units[d : d + lead_days + 1].max() for d in range(len(day_units))])
    return Provided(parts=((1.0, early[day_of_step]),))


def autoscaled_units(load: np.ndarray, scaler: Autoscaler, *, step_h: float) -> Provided:
    """Return the units of an autoscaler that starts at rest on the first step's load.

    Parameters
    ----------
    load
        Shape (S, D, T) [load].
    scaler
        Its target, bounds and delay.
    step_h
        Length of a step [h].

    Examples
    --------
    A quarter of an hour late by the hour: for a quarter of each hour, what the last hour asked.

    >>> scaler = Autoscaler(units_per_load=0.1, minimum=2, maximum=8, delay_h=0.25)
    >>> parts = autoscaled_units(np.array([[[10.0, 55.0, 99.0]]]), scaler, step_h=1.0).parts
    >>> [(share, units[0, 0].tolist()) for share, units in parts]
    [(0.25, [2.0, 2.0, 6.0]), (0.75, [2.0, 6.0, 8.0])]
    """
    asked = np.clip(ceil_units(load * scaler.units_per_load), scaler.minimum, scaler.maximum)
    late = scaler.delay_h / step_h
    steps = math.floor(late + SLACK)
    part = max(late - steps, 0.0)
    on_time = (1.0 - part, _later(asked, steps))
    return Provided(parts=((part, _later(asked, steps + 1)), on_time) if part else (on_time,))


def _later(units: np.ndarray, steps: int) -> np.ndarray:
    """Return units shifted to later steps, the first one standing before."""
    index = np.maximum(np.arange(units.shape[-1]) - steps, 0)
    return np.asarray(units[..., index])


def compare_provisioning(
    load: np.ndarray,
    ways: Mapping[str, Provided],
    *,
    hard_units_per_load: float,
    weights: np.ndarray,
    step_h: float,
) -> ProvisioningComparison:
    """Return what each way takes and leaves unserved on the same paths.

    Parameters
    ----------
    load
        Shape (S, D, T) [load].
    ways
        Name to what stands, from :func:`static_units`, :func:`scheduled_units` and
        :func:`autoscaled_units`.
    hard_units_per_load
        Units per unit of load at which requests are lost: the hottest unit full [units / load].
    weights
        Probability of each scenario, shape (S,).
    step_h
        Length of a step [h].

    Examples
    --------
    >>> load = np.tile([[[10.0, 10.0, 80.0, 10.0]]], (1, 2, 1))
    >>> scaler = Autoscaler(units_per_load=0.2, minimum=3, maximum=20, delay_h=0.5)
    >>> compared = compare_provisioning(
    ...     load,
    ...     {
    ...         "static": static_units(np.array([16.0])),
    ...         "autoscaled": autoscaled_units(load, scaler, step_h=1.0),
    ...     },
    ...     hard_units_per_load=0.12,
    ...     weights=np.ones(1),
    ...     step_h=1.0,
    ... )
    >>> [(w.unit_hours_mean, w.short_hours_mean) for w in compared.ways.values()]
    [(64.0, 0.0), (25.0, 0.5)]
    """
    load, weights = np.asarray(load, dtype=np.float64), np.asarray(weights, dtype=np.float64)
    _check(load, ways, weights, step_h)
    least = load * hard_units_per_load - SLACK
    return ProvisioningComparison(
        ways={name: _judged(way, least, weights, step_h) for name, way in ways.items()},
        hours=load.shape[2] * step_h,
    )


def _judged(way: Provided, least: np.ndarray, weights: np.ndarray, step_h: float) -> Provisioning:
    steps = least.shape[2]
    unit_hours, short = np.zeros(least.shape[:2]), np.zeros(least.shape[:2])
    peak = np.full(least.shape[:2], -np.inf)
    for share, stands in way.parts:
        units = np.broadcast_to(stands, least.shape)
        unit_hours += share * step_h * units.sum(axis=2)
        short += share * step_h * (least > units).sum(axis=2)
        np.maximum(peak, units.max(axis=2), out=peak)
    return Provisioning(
        unit_hours_mean=_mean(unit_hours, weights),
        unit_hours_p50=mixture_value(unit_hours, 0.5, weights),
        unit_hours_p90=mixture_value(unit_hours, 0.9, weights),
        peak_units_p50=mixture_value(peak, 0.5, weights),
        peak_units_max=float(peak[weights > 0].max()),
        p_short=probability(short > 0, weights),
        mc_se=standard_error(short > 0, weights),
        short_share=_mean(short, weights) / (steps * step_h),
        short_hours_mean=_mean(short, weights),
        short_hours_p90=mixture_value(short, 0.9, weights),
    )


def _mean(values: np.ndarray, weights: np.ndarray) -> float:
    return float(weights @ values.mean(axis=1))


def _check(
    load: np.ndarray, ways: Mapping[str, Provided], weights: np.ndarray, step_h: float
) -> None:
    problems = []
    if load.ndim != _AXES or 0 in load.shape or not np.isfinite(load).all() or (load < 0).any():
        problems.append(
            Problem(
                where="load",
                got=f"shape {load.shape}",
                expected="finite loads of at least 0, shape (scenarios, draws, steps), none empty",
                do="Correct the loads.",
            )
        )
    if load.ndim:
        problems += weight_problems(weights, load.shape[0])
    if not ways:
        problems.append(
            Problem(where="ways", got="none", expected="at least one", do="Name what to compare.")
        )
    if step_h <= 0:
        problems.append(
            Problem(where="step_h", got=str(step_h), expected="more than 0 hours", do="Correct it.")
        )
    if problems:
        raise InputError(problems)
